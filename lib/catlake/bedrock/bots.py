"""The bots of the chat application, from an export of its bot table (docs/spec.md 1.4)."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.storagelevel import StorageLevel

from catlake.bedrock.calls import DEFAULT_BUDGET, Bot
from catlake.dynamodb import OUTCOME as STATE
from catlake.dynamodb import REJECTED, attribute, find_exports, read_state
from catlake.dynamodb.export_selection import refuse_foreign
from catlake.dynamodb.newest_version import CURRENT, DELETED, REJECTED_OUTCOME, SUPERSEDED, TOO_EARLY
from catlake.lake import Outcomes
from catlake.lake.outcomes import KEPT, OTHER, OUTCOME, QUARANTINED
from catlake.runtime.files import files_for, normalized
from catlake.runtime.run import Run

KNOWLEDGE_TOOL = "knowledge_base_tool"
ALIAS = "bot_alias"
OUTCOMES = (KEPT, QUARANTINED, SUPERSEDED, DELETED, TOO_EARLY, ALIAS, OTHER)

_TEXT = T.StringType()


def _struct(**fields: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, data_type) for name, data_type in fields.items()])


_TEXTS = T.ArrayType(_TEXT)
_SOURCES = ("source_urls", "sitemap_urls", "filenames", "s3_urls")
_KNOWLEDGE_BASES = ("knowledge_base_id", "exist_knowledge_base_id")
_GENERATION = _struct(max_tokens=T.LongType(), reasoning_params=_struct(budget_tokens=T.LongType()))

ITEM = T.StructType(
    [
        attribute("PK", _TEXT),
        attribute("SK", _TEXT, required=True),
        attribute("bot_id", _TEXT, source="BotId"),
        attribute("title", _TEXT, source="Title"),
        attribute("caching", T.BooleanType(), source="PromptCachingEnabled"),
        attribute("generation", _GENERATION, source="GenerationParams"),
        attribute("agent", _struct(tools=T.ArrayType(_struct(name=_TEXT))), source="AgentData"),
        attribute("knowledge", _struct(**dict.fromkeys(_SOURCES, _TEXTS)), source="Knowledge"),
        attribute("knowledge_base", _struct(**dict.fromkeys(_KNOWLEDGE_BASES, _TEXT)), source="BedrockKnowledgeBase"),
        attribute("shows_sources", T.BooleanType(), source="DisplayRetrievedChunks"),
    ]
)


@dataclass(frozen=True)
class Bots:
    """The bots of an export, and the outcomes of its items.

    Attributes:
        rows: The dataset `bots`.
        settings: The settings that change the bots' calls, by bot id.
        read: The number of lines in the export.
        outcomes: The items by outcome.
        rejected: The items for the quarantine.
    """

    rows: DataFrame
    settings: dict[str, Bot]
    read: int
    outcomes: Outcomes
    rejected: DataFrame


def read_bots(run: Run) -> Bots | None:
    """The bots of the export at `--bots_export_uri`; None without one.

    Raises:
        ExportError: There is no export that can be read, or it is of another table.
    """
    if run.arguments["bots_export_uri"] is None:
        return None
    uri = normalized(run.arguments["bots_export_uri"])
    files = files_for(run.spark, uri)
    chain = find_exports(files, uri, allow_filtered=run.arguments["allow_filtered_export"])
    for export in chain.exports:
        run.report.read_from("dynamodb_export", export.uri, exported=export.export_time, table=export.table_arn)
    items = read_state(run.spark, files, chain, ITEM).withColumn(OUTCOME, _outcome()).persist(StorageLevel.DISK_ONLY)
    columns = ("bot_id", "caching", "generation", "agent", "knowledge", "knowledge_base", "shows_sources")
    counts = Observation("bots by outcome")
    is_kept = F.col(OUTCOME) == KEPT
    # One query for the counts and the settings.
    known = items.observe(counts, *Outcomes.counted(OUTCOMES)).where(is_kept).select(*columns).collect()
    outcomes = Outcomes(+Counter(counts.get))
    refuse_foreign(chain.exports[-1], outcomes.known(SUPERSEDED, DELETED), outcomes.unknown)
    kept = items.where(is_kept)
    rows = kept.select(
        "bot_id",
        "title",
        F.col("PK").alias("owner_user_id"),
        F.coalesce("caching", F.lit(True)).alias("prompt_caching_enabled"),
        F.col("generation.max_tokens").alias("max_tokens"),
    )
    rejected = items.where(F.col(OUTCOME) == QUARANTINED).select(f"{REJECTED}.*")
    settings = {row["bot_id"]: _settings(row.asDict(recursive=True)) for row in known}
    return Bots(rows, settings, chain.item_count, outcomes, rejected)


def _outcome() -> Column:
    return (
        F.when(~F.col(STATE).isin(CURRENT, REJECTED_OUTCOME), F.col(STATE))
        .when(F.col(REJECTED).isNotNull(), QUARANTINED)
        .when(F.col("SK").startswith("ALIAS#"), ALIAS)
        .when(~F.col("SK").startswith("BOT#") | F.col("bot_id").isNull(), OTHER)
        .otherwise(KEPT)
    )


def _settings(row: dict[str, Any]) -> Bot:
    """The bot's settings as the application reads them from its item."""
    tools = {tool["name"] for tool in (row["agent"] or {}).get("tools") or [] if tool and tool["name"]}
    # An item has both maps also without any knowledge: their lists are empty, their ids null.
    if any((row["knowledge"] or {}).values()) or any((row["knowledge_base"] or {}).values()):
        tools.add(KNOWLEDGE_TOOL)
    generation = row["generation"] or {}
    return Bot(
        row["caching"] is not False,
        generation.get("max_tokens"),
        frozenset(tools),
        row["shows_sources"] is True,
        (generation.get("reasoning_params") or {}).get("budget_tokens") or DEFAULT_BUDGET,
    )
