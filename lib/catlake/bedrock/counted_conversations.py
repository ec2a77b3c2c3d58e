"""The conversations of a Bedrock table, counted: what the archive and the consolidate job have in common."""

import os
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catlake.bedrock.conversation_items import COUNTED, ITEM, Conversations
from catlake.dynamodb import REJECTED
from catlake.dynamodb.export_manifest import export_age, refuse_foreign, refuse_stale
from catlake.dynamodb.incremental import OUTCOME as STATE
from catlake.dynamodb.incremental import find_exports, read_state
from catlake.dynamodb.item_versions import CURRENT, DELETED, REJECTED_OUTCOME, SUPERSEDED
from catlake.lake import Outcomes
from catlake.lake.outcomes import KEPT, OUTCOME, QUARANTINED
from catlake.runtime.environment import Environment
from catlake.runtime.errors import StoreError
from catlake.runtime.files import Files, LocalFiles, files_for, normalized
from catlake.runtime.metrics import EXPORT_AGE_HOURS
from catlake.runtime.run import Run


@dataclass(frozen=True)
class Counted:
    """A table's items, counted, and what became of them.

    Attributes:
        items: The columns of COUNTED, `_rejected` and `outcome`; persisted.
        read: The lines that the exports hold.
        outcomes: Items by `outcome`; those in quarantine could not be counted.
    """

    items: DataFrame
    read: int
    outcomes: Outcomes

    @property
    def kept(self) -> DataFrame:
        """The conversations that are counted, columns of COUNTED."""
        return self.items.where(F.col(OUTCOME) == KEPT).select(*COUNTED.names)

    @property
    def rejected(self) -> DataFrame:
        """The quarantined items, as file, line, reason and raw text."""
        return self.items.where(F.col(OUTCOME) == QUARANTINED).select(f"{REJECTED}.*")


def large_messages(run: Run) -> tuple[Files, str] | None:
    """Where `--large_messages_uri` says that offloaded message maps lie."""
    given = run.arguments["large_messages_uri"]
    if given is None:
        return None
    files, folder = files_for(run.spark, given), normalized(given)
    if isinstance(files, LocalFiles) and not os.path.isdir(folder):
        raise StoreError(f"{folder}: no such folder; mend --large_messages_uri")
    return files, folder


def read_counted(run: Run, count: Conversations) -> Counted:
    """The table's state at the end of the exports at `--export_uri`, each conversation counted as it is read."""
    uri = normalized(run.arguments["export_uri"])
    files = files_for(run.spark, uri)
    chain = find_exports(files, uri, allow_filtered=run.arguments["allow_filtered_export"])
    for export in chain.exports:
        filtered = {"filtered": export.part} if export.part else {}
        run.report.read_from(
            "dynamodb_export", export.uri, exported=export.export_time, items=export.item_count, **filtered
        )
    for left_out in chain.left_out:
        run.log("export_left_out", uri=left_out.uri, reason=left_out.reason)
    run.report.metrics[EXPORT_AGE_HOURS] = export_age(chain.state_time, run.run_date) / timedelta(hours=1)
    refuse_stale(chain.exports[-1].uri, chain.state_time, run.arguments["max_export_age_hours"], run.run_date)
    items = (
        read_state(run.spark, files, chain, ITEM, each_batch=count, output=COUNTED)
        .withColumn(OUTCOME, outcome())
        .persist(StorageLevel.MEMORY_AND_DISK)
    )
    outcomes = Outcomes.of(items)
    # What was replaced or deleted meanwhile is of whatever kind.
    refuse_foreign(chain.exports[-1], outcomes.known(SUPERSEDED, DELETED), outcomes.unknown)
    return Counted(items, chain.item_count, outcomes)


def outcome() -> Column:
    """What becomes of an item: `kept`, `quarantined` or the rule that filters it."""
    state = F.col(STATE)
    return (
        # An older version, or a deleted item: whatever is in it no longer counts.
        F.when(~state.isin(CURRENT, REJECTED_OUTCOME), state)
        .when(F.col("filter").isNotNull(), F.col("filter"))
        .when(F.col(REJECTED).isNotNull(), QUARANTINED)
        .otherwise(KEPT)
    )


def priced(conversations: DataFrame, environment: Environment, source: str) -> DataFrame:
    """Counted conversations with the columns of the consolidated datasets, at the flat price (SPEC 3.1).

    `create_date` is a timestamp cut to the second, in which the datasets are ordered and shown.
    """
    usd_input = usd(F.col("input"), environment.token_price_input)
    usd_output = usd(F.col("output"), environment.token_price_output)
    return conversations.select(
        F.date_trunc("second", "created").alias("create_date"),
        F.col("input").alias("input_token"),
        F.col("output").alias("output_token"),
        usd_input.alias("precio_token_input"),
        usd_output.alias("precio_token_output"),
        (usd_input + usd_output).cast("decimal(10,6)").alias("total_price"),
        "pk",
        "sk",
        F.lit(source).alias("source"),
    )


def usd(tokens: Column, per_thousand: Decimal) -> Column:
    """What tokens cost: exact, then rounded half-up once to `DECIMAL(10,6)`."""
    exact = tokens.cast("decimal(19,0)") * F.lit(per_thousand / 1000)
    return F.round(exact, 6).cast("decimal(10,6)")


def as_text(moment: str) -> Column:
    """A timestamp as the CSV files show it, UTC."""
    return F.date_format(moment, "yyyy-MM-dd HH:mm:ss").alias(moment)
