"""ETL-2, curate: the newest normalized CSV → one typed Parquet file with token counts (docs/spec.md 2.2)."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from catlake.contracts.contract import contract
from catlake.conversations.cl100k_tokens import cl100k_base, token_count
from catlake.lake import Lake
from catlake.lake.csv_rows import CORRUPT, REASON, read_checked, reason, rejected_rows
from catlake.lake.publish import publish, quarantine
from catlake.runtime.balance import Balance
from catlake.runtime.errors import StoreError
from catlake.runtime.run import Run

__all__ = ["CORRUPT", "REASON", "curate"]

PIPELINE = "conversations"
SOURCE = "normalized_conversations"
DATASET = "curated_conversations"

REMEDY = "normalize again"
PARTITIONS_A_CORE = 2
_MESSAGES = "array<struct<`from`:string,text:string>>"


def newest_normalized(run: Run, lake: Lake) -> str:
    """The newest `data_YYYYMMDD.csv` not after the run's date.

    Raises:
        StoreError: There is none.
    """
    newest = lake.newest(contract(SOURCE), run.run_date)
    if newest is None:
        raise StoreError(
            f"{lake.path(contract(SOURCE).root)}: no data_YYYYMMDD.csv of {run.run_date} or before; "
            "run the normalize job first, or give a later --run_date"
        )
    run.report.read_from("normalized_csv", newest.uri, bytes=newest.size)
    return newest.uri


def checked(rows: DataFrame) -> DataFrame:
    """Rows with their `messages`; `_reason` says why a row is rejected, and is null for a good row."""
    return rows.withColumn("messages", F.from_json("conversacion_completa", _MESSAGES)).withColumn(
        REASON,
        F.coalesce(
            reason(contract(SOURCE)),
            F.when(F.col("messages").isNull(), "conversacion_completa: text is not JSON"),
            F.when(_day_is_missing(), "fecha_primera_conversacion: no date of the calendar"),
        ),
    )


def rejected(rows: DataFrame, uri: str) -> DataFrame:
    """The rejected rows, as file, line (unknown), reason and raw text."""
    return rejected_rows(rows, uri, contract(SOURCE))


def typed(rows: DataFrame) -> DataFrame:
    """Good rows with the types of the curated dataset; an empty text is null."""
    feedback = F.col("feedback")
    return rows.where(F.col(REASON).isNull()).select(
        "usuario_id",
        "nombre",
        "gerencia",
        "ciudad",
        _first_day().alias("fecha_primera_conversacion"),
        F.col("numero_conversaciones").cast("int").alias("numero_conversaciones"),
        "conversacion_completa",
        "feedback_total",
        F.col("numero_feedback").cast("int").alias("numero_feedback"),
        "pregunta_conversacion",
        feedback.alias("feedback"),
        F.when(feedback.isNotNull(), F.col("respuesta_feedback")).alias("respuesta_feedback"),
        "messages",
    )


def with_tokens(rows: DataFrame) -> DataFrame:
    """Rows with `token_pregunta` and `token_respuesta` instead of `messages`."""

    def tokens_of(speaker: str) -> Column:
        messages = F.filter("messages", lambda message: message["from"] == speaker)
        return token_count(F.transform(messages, lambda message: message["text"]))

    return rows.withColumns({"token_pregunta": tokens_of("user"), "token_respuesta": tokens_of("bot")}).drop("messages")


def curate(run: Run, lake: Lake) -> None:
    """The whole job: read, check, count tokens, write, balance, publish."""
    cl100k_base()  # fails here, before any work, when it cannot be loaded
    with run.step("read"):
        uri = newest_normalized(run, lake)
        # One task reads a CSV whose rows may have many lines; all cores check them.
        partitions = PARTITIONS_A_CORE * run.spark.sparkContext.defaultParallelism
        source = read_checked(
            run, lake, uri, contract(SOURCE), lambda rows: rows.repartition(partitions).transform(checked), REMEDY
        )
    if source.rejected:
        quarantine(run, lake, source.rows.transform(rejected, uri), PIPELINE)
    with run.step("write"):
        curated = source.rows.transform(typed).transform(with_tokens)
        draft = lake.draft(curated, contract(DATASET), run.run_date)
    run.report.settle(Balance(read=source.read, written={DATASET: draft.rows}, quarantined=source.rejected))
    publish(run, lake, draft)


def _first_day() -> Column:
    # The contract's pattern lets 30/02/2025 pass; `to_date` would fail on it or, by its settings, make it null.
    return F.try_to_timestamp("fecha_primera_conversacion", F.lit("dd/MM/yyyy")).cast("date")


def _day_is_missing() -> Column:
    return F.col("fecha_primera_conversacion").isNotNull() & _first_day().isNull()
