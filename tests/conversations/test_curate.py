"""Curate: which CSV is read, which rows are quarantined, what types and tokens come out (docs/spec.md 2.2)."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.contracts.contract import contract
from catlake.conversations import curate
from catlake.lake import Lake
from catlake.lake.csv_rows import read_checked
from catlake.runtime.environment import environment
from catlake.runtime.errors import ContractError, StoreError
from catlake.runtime.run import Run
from tests.conversations.table import assert_rows

HEADER = ",".join(contract("normalized_conversations").text_struct.names)
TALK = json.dumps([{"conversacion": "C", "from": "user", "text": "hola", "timestamp": None}])
# A column that is not named here is empty, or 0 where it is required.
ROW = {column.name: "0" if column.required else None for column in contract("normalized_conversations").columns} | {
    "usuario_id": "ana",
    "nombre": "Ana",
    "gerencia": "Legal",
    "ciudad": "Tunja",
    "fecha_primera_conversacion": "01/09/2025",
    "numero_conversaciones": "1",
    "conversacion_completa": TALK,
    "feedback_total": "[]",
    "numero_feedback": "0",
    "pregunta_conversacion": "hola",
    "feedback": None,
    "respuesta_feedback": None,
}


def a_run(spark: SparkSession, lake: Path, run_date: date = date(2025, 11, 20)) -> tuple[Run, Lake]:
    arguments: dict[str, Any] = {"run_date": run_date, "max_quarantined": 0}
    run = Run(spark, arguments, environment("local"), "curate", "run-1")
    return run, Lake(spark, str(lake), "curate", "run-1")


def folder_with(lake: Path, *names: str) -> Path:
    folder = lake / "reports/etl-process1"
    folder.mkdir(parents=True)
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + "\n", encoding="utf-8")
    return folder


def rows(spark: SparkSession, *differing: dict[str, str | None], corrupt: str | None = None) -> DataFrame:
    """Rows as `read` gives them, checked."""
    schema = contract("normalized_conversations").text_struct.add(curate.CORRUPT, T.StringType())
    values = [tuple({**ROW, **row, curate.CORRUPT: corrupt}[name] for name in schema.names) for row in differing]
    return spark.createDataFrame(values, schema).transform(curate.checked)


# newest_normalized


def test_the_newest_file_that_is_not_after_the_run_date_is_read(spark: SparkSession, tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        "data_20251118.csv",
        "data_20251119.csv",
        "data_20251121.csv",
        # None of these is a day's file.
        "data_20251120.csv.bak",
        "old_data_20251120.csv",
        "data_20251199.csv",
        "data_2025112.csv",
        "data_20251120.CSV",
        "archive/data_20251120.csv",
        ".data_20251120.csv",
    )
    run, lake = a_run(spark, tmp_path)
    assert curate.newest_normalized(run, lake) == str(folder / "data_20251119.csv")
    assert run.report.inputs == [
        {"kind": "normalized_csv", "uri": str(folder / "data_20251119.csv"), "bytes": len(HEADER) + 1}
    ]
    assert curate.newest_normalized(*a_run(spark, tmp_path, date(2025, 11, 21))).endswith("data_20251121.csv")


def test_the_newest_is_by_its_date_and_not_by_when_it_was_written(spark: SparkSession, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "data_20251120.csv")
    (folder / "data_20251101.csv").write_text(HEADER)
    assert curate.newest_normalized(*a_run(spark, tmp_path)).endswith("data_20251120.csv")


@pytest.mark.parametrize("names", [(), ("data_20251121.csv", "data.csv")])
def test_without_a_file_the_error_says_which_job_makes_one(
    spark: SparkSession, tmp_path: Path, names: tuple[str, ...]
) -> None:
    folder = folder_with(tmp_path, *names)
    with pytest.raises(StoreError) as error:
        curate.newest_normalized(*a_run(spark, tmp_path))
    assert str(error.value) == (
        f"{folder}: no data_YYYYMMDD.csv of 2025-11-20 or before; run the normalize job first, "
        "or give a later --run_date"
    )


# read


@pytest.mark.parametrize("header", ["usuario_id,nombre", HEADER.upper(), HEADER + ",otra", "", HEADER + "\r"])
def test_another_header_is_refused_and_shown(spark: SparkSession, tmp_path: Path, header: str) -> None:
    file = folder_with(tmp_path) / "data_20251120.csv"
    file.write_text(header + "\nana,Ana\n", encoding="utf-8", newline="")
    with pytest.raises(ContractError) as error:
        run, lake = a_run(spark, tmp_path)
        read_checked(run, lake, str(file), contract("normalized_conversations"), curate.checked, curate.REMEDY)
    assert str(error.value).startswith(f"{file}: its header is ")
    assert str(error.value).endswith(f", not {HEADER}; normalize again")


# checked


def test_rows_that_break_the_contract_are_told_which_rule(spark: SparkSession) -> None:
    broken: dict[str, dict[str, str | None]] = {
        "good": {},
        "undated": {"fecha_primera_conversacion": None},
        "unnamed": {"nombre": None},
        "undone": {"numero_conversaciones": "0"},
        "uncounted": {"numero_conversaciones": "dos", "numero_feedback": "1.5"},
        "opinionated": {"feedback": "meh"},
        "american": {"fecha_primera_conversacion": "2025-09-01"},
        "february": {"fecha_primera_conversacion": "30/02/2025"},
        "no array": {"conversacion_completa": "hola"},
        "broken json": {"conversacion_completa": '[{"from": "user", ]'},
        "other json": {"conversacion_completa": "[1, 2]"},
    }
    checked = rows(spark, *({**row, "usuario_id": name} for name, row in broken.items()))
    reasons = {row["usuario_id"]: row[curate.REASON] for row in checked.collect()}
    assert reasons == {
        "good": None,
        "undated": None,
        "unnamed": "breaks the contract: nombre.required",
        "undone": "breaks the contract: numero_conversaciones.minimum",
        "uncounted": "breaks the contract: numero_conversaciones.type, numero_feedback.type",
        "opinionated": "breaks the contract: feedback.allowed",
        "american": "breaks the contract: fecha_primera_conversacion.pattern",
        "february": "fecha_primera_conversacion: no date of the calendar",
        "no array": "breaks the contract: conversacion_completa_array",
        "broken json": "conversacion_completa: text is not JSON",
        "other json": "conversacion_completa: text is not JSON",
    }


def test_quarantined_rows_keep_their_file_reason_and_raw_text(spark: SparkSession) -> None:
    rejected = rows(spark, {"usuario_id": "eva", "nombre": None}, {}).transform(curate.rejected, "the.csv").collect()
    assert [(row["file"], row["line"], row["reason"]) for row in rejected] == [
        ("the.csv", None, "breaks the contract: nombre.required")
    ]
    assert json.loads(rejected[0]["raw"]) == {**ROW, "usuario_id": "eva", "nombre": None}


def test_a_line_that_is_no_row_keeps_its_own_text(spark: SparkSession) -> None:
    (row,) = rows(spark, {}, corrupt="a,b,c").transform(curate.rejected, "the.csv").collect()
    assert row["raw"] == "a,b,c"
    assert row["reason"] == "no row of the contract: too few or too many fields"


# typed


def test_good_rows_get_the_types_of_the_curated_dataset(spark: SparkSession) -> None:
    given = rows(spark, {"feedback": "like", "numero_feedback": "2"}, {"usuario_id": "eva", "nombre": None})
    typed = given.transform(curate.typed).drop("messages")
    assert_rows(
        typed,
        "usuario_id string, nombre string, gerencia string, ciudad string, fecha_primera_conversacion date, "
        "numero_conversaciones int, conversacion_completa string, feedback_total string, numero_feedback int, "
        "pregunta_conversacion string, feedback string, respuesta_feedback string",
        [("ana", "Ana", "Legal", "Tunja", date(2025, 9, 1), 1, TALK, "[]", 2, "hola", "like", None)],
    )


def test_respuesta_feedback_is_null_where_feedback_is(spark: SparkSession) -> None:
    given = rows(
        spark,
        {"usuario_id": "comment only", "respuesta_feedback": "bien"},
        {"usuario_id": "both", "feedback": "mixed", "respuesta_feedback": "bien"},
        {"usuario_id": "opinion only", "feedback": "dislike"},
    )
    assert_rows(
        given.transform(curate.typed).select("usuario_id", "feedback", "respuesta_feedback"),
        "usuario_id string, feedback string, respuesta_feedback string",
        [("comment only", None, None), ("both", "mixed", "bien"), ("opinion only", "dislike", None)],
    )


# with_tokens


def test_tokens_of_the_users_and_of_the_bots_messages_are_summed_each_on_its_own(spark: SparkSession) -> None:
    messages = "array<struct<`from`:string,text:string>>"
    given = [
        # "hola" is h|ola. Joined, "holahola" would be 3 tokens: h|olah|ola.
        ("each alone", [("user", "hola"), ("bot", "Sí"), ("user", "hola")]),
        ("others", [("system", "hola"), (None, "hola"), ("User", "hola")]),
        ("nothing", []),
        ("no text", [("user", None), ("user", ""), ("bot", "hola")]),
    ]
    counted = spark.createDataFrame(given, f"usuario_id string, messages {messages}").transform(curate.with_tokens)
    assert_rows(
        counted,
        "usuario_id string, token_pregunta bigint, token_respuesta bigint",
        [("each alone", 4, 2), ("others", 0, 0), ("nothing", 0, 0), ("no text", 0, 2)],
    )
