"""ETL-2, curate: the newest normalized CSV → one typed Parquet file with token counts (docs/spec.md 2.2)."""

import tempfile
from pathlib import Path

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.contracts.contract import contract
from catlake.conversations.cl100k_tokens import cl100k_base
from catlake.conversations.token_counter import COUNTED, DATASET, IS_NEW, TOKENS, TokenCounter, known_tokens, remembered
from catlake.lake import Lake, SideFile
from catlake.lake.csv_rows import REASON, PublishedCsv, read_csv, reason, rejected_rows
from catlake.lake.publish import publish, quarantine
from catlake.lake.spreadsheet import CUT, MOST_CHARACTERS, write_spreadsheet
from catlake.runtime.balance import Balance
from catlake.runtime.errors import StoreError
from catlake.runtime.run import Run

PIPELINE = "conversations"
SOURCE = "normalized_conversations"

REMEDY = "normalize again"


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
    """Rows of the CSV with their `_reason`, which is null for a good row."""
    has_text = F.col("fecha_primera_conversacion").isNotNull()
    return rows.withColumn(
        REASON,
        F.coalesce(
            reason(contract(SOURCE)),
            F.when(F.col("token_pregunta").isNull(), "conversacion_completa: no JSON array of messages"),
            F.when(has_text & _first_day().isNull(), "fecha_primera_conversacion: no date of the calendar"),
        ),
    )


def rejected(rows: DataFrame) -> DataFrame:
    """The rejected rows, as file, line (unknown), reason and raw text."""
    return rejected_rows(rows, contract(SOURCE))


def typed(rows: DataFrame) -> DataFrame:
    """Good rows with the types of the curated dataset."""
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
        *TOKENS.names,
    )


def curate(run: Run, lake: Lake) -> None:
    """Verifies and reads the CSV, counts tokens, checks and writes the rows, and publishes them with a spreadsheet."""
    cl100k_base()  # fails before any work if it cannot be loaded
    with run.step("verify"):
        uri = newest_normalized(run, lake)
        counter = TokenCounter(known_tokens(run, lake))
        source = read_csv(run, lake, uri, contract(SOURCE), REMEDY, counter, COUNTED.fields)
    with run.step("write"):
        # One task writes the file in order. Rows are counted there: once, even if Spark repeats a read.
        rows = source.rows.transform(checked).transform(contract(DATASET).in_order)
        observed = Observation("rows")
        counts = (
            F.count(F.lit(1)).alias("read"),
            F.count(REASON).alias("rejected"),
            F.count_if(IS_NEW).alias("new"),
        )
        rows = rows.observe(observed, *counts).transform(typed)
        draft = lake.draft(rows, contract(DATASET), run.run_date, in_order=True)
    counted = observed.get
    source.refuse_other_rows(counted["read"])
    if counted["rejected"]:
        # The CSV is read once more, but only if there are rejected rows.
        quarantine(run, lake, source.rows.transform(checked).transform(rejected), PIPELINE)
    run.report.settle(Balance(counted["read"], {DATASET: draft.rows}, quarantined=counted["rejected"]))
    run.report.highlights.append(f"{DATASET}: {draft.rows} rows, the tokens of {counted['new']} counted anew")
    draft = remembered(draft)
    if not run.arguments["spreadsheet"]:
        publish(run, lake, draft)
        return
    with run.step("spreadsheet"):
        spreadsheet, rows_in_it = _spreadsheet(run, lake, source)
    publish(run, lake, draft, beside=[spreadsheet])
    run.report.published(spreadsheet.target.rpartition("/")[2], spreadsheet.target, rows_in_it, spreadsheet.size)


def _spreadsheet(run: Run, lake: Lake, source: PublishedCsv) -> tuple[SideFile, int]:
    """Writes the rows of the CSV as a spreadsheet to publish beside it; returns it and the number of its rows."""
    struct = contract(SOURCE).struct
    numbers = [field.name for field in struct if isinstance(field.dataType, T.IntegralType)]
    with tempfile.TemporaryDirectory(prefix="catlake-") as folder:
        file = Path(folder, "book")
        written = write_spreadsheet(file, source.batches(), struct.names, numbers)
        spreadsheet = lake.side_file(f"{source.uri.removeprefix(lake.uri + '/').removesuffix('.csv')}.xlsx", file)
    if written.cut:
        run.report.highlights.append(
            f"{written.cut} texts of the spreadsheet end with{CUT}, because a cell holds {MOST_CHARACTERS:,} "
            "characters; the CSV has them whole"
        )
    return spreadsheet, written.rows


def _first_day() -> Column:
    # The contract's pattern accepts 30/02/2025. `to_date` would fail on it, or return null, depending on settings.
    return F.try_to_timestamp("fecha_primera_conversacion", F.lit("dd/MM/yyyy")).cast("date")
