"""Curate: which CSV is read, which rows are quarantined, what types and tokens come out (docs/spec.md 2.2)."""

import csv
import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from catlake.contracts.contract import contract
from catlake.conversations import curate, token_counter
from catlake.conversations.token_counter import DATASET, TOKENS, counted_by, known_tokens, spoken_tokens
from catlake.lake import Lake
from catlake.lake.csv_rows import CORRUPT, FILE, REASON, read_csv
from catlake.lake.file_records import Record
from catlake.runtime.balance import Balance
from catlake.runtime.environment import environment
from catlake.runtime.errors import ContractError, StoreError
from catlake.runtime.run import Run
from tests.conversations.table import assert_rows
from tests.lake.publishing import Place

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
    arguments: dict[str, Any] = {"run_date": run_date, "max_quarantined": 0, "max_shrink": None, "spreadsheet": False}
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
    """Rows as they are read from the file, checked."""
    texts = contract("normalized_conversations").text_struct.add(CORRUPT, T.StringType()).add(FILE, T.StringType())
    schema = T.StructType([*texts, *TOKENS])
    values = []
    for row in differing:
        row = {**ROW, **row, CORRUPT: corrupt, FILE: "the.csv"}
        tokens = spoken_tokens(row["conversacion_completa"] or "") or (None, None)
        values.append((*(row[name] for name in texts.names), *tokens))
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
        read_csv(run, lake, str(file), contract("normalized_conversations"), curate.REMEDY)
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
    reasons = {row["usuario_id"]: row[REASON] for row in checked.collect()}
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
        "broken json": "conversacion_completa: no JSON array of messages",
        "other json": "conversacion_completa: no JSON array of messages",
    }


def test_quarantined_rows_keep_their_file_reason_and_raw_text(spark: SparkSession) -> None:
    rejected = rows(spark, {"usuario_id": "eva", "nombre": None}, {}).transform(curate.rejected).collect()
    assert [(row["file"], row["line"], row["reason"]) for row in rejected] == [
        ("the.csv", None, "breaks the contract: nombre.required")
    ]
    assert json.loads(rejected[0]["raw"]) == {**ROW, "usuario_id": "eva", "nombre": None}


def test_a_line_that_is_no_row_keeps_its_own_text(spark: SparkSession) -> None:
    (row,) = rows(spark, {}, corrupt="a,b,c").transform(curate.rejected).collect()
    assert row["raw"] == "a,b,c"
    assert row["reason"] == "no row of the contract: too few or too many fields"


# typed


def test_good_rows_get_the_types_of_the_curated_dataset(spark: SparkSession) -> None:
    given = rows(spark, {"feedback": "like", "numero_feedback": "2"}, {"usuario_id": "eva", "nombre": None})
    typed = given.transform(curate.typed).drop(*TOKENS.names)
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


# spoken_tokens


@pytest.mark.parametrize(
    "messages, tokens",
    [
        # "hola" is h|ola. Joined, "holahola" would be 3 tokens: h|olah|ola.
        ([("user", "hola"), ("bot", "Sí"), ("user", "hola")], (4, 2)),
        ([("system", "hola"), (None, "hola"), ("User", "hola")], (0, 0)),
        ([], (0, 0)),
        ([("user", None), ("user", ""), ("bot", "hola")], (0, 2)),
        # 7 tokens as a text, one as a special token.
        ([("user", "<|endoftext|>")], (7, 0)),
    ],
    ids=["each alone", "others", "nothing", "no text", "special"],
)
def test_tokens_of_the_users_and_of_the_bots_messages_are_summed_each_on_its_own(
    messages: list[tuple[str | None, str | None]], tokens: tuple[int, int]
) -> None:
    text = json.dumps([{"from": speaker, "text": said} for speaker, said in messages])
    assert spoken_tokens(text) == tokens
    assert spoken_tokens(memoryview(text.encode())) == tokens


def test_a_message_without_a_speaker_or_a_text_counts_nothing() -> None:
    assert spoken_tokens('[{"text": "hola"}, {"from": "user"}, {}]') == (0, 0)


def test_a_lone_surrogate_is_counted_as_the_replacement_character() -> None:
    assert spoken_tokens(r'[{"from": "user", "text": "\ud83d"}]') == spoken_tokens(
        r'[{"from": "user", "text": "\ufffd"}]'
    )


@pytest.mark.parametrize(
    "text",
    [
        "hola",
        "",
        "null",
        "5",
        '[{"from": "user", ]',
        "[1, 2]",
        "[null]",
        '[{"from": "user", "text": 5}]',
        '[{"from": ["user"], "text": "hola"}]',
        "[" * 100_000,
    ],
)
def test_what_is_no_messages_has_no_count(text: str) -> None:
    assert spoken_tokens(text) is None


# curate


def write_csv(lake: Path, *differing: dict[str, str | None], beside: tuple[str, ...] = ()) -> None:
    """A file of these rows and lines, without a record."""
    with (folder_with(lake) / "data_20251120.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER.split(","), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in differing)
        file.writelines(f"{line}\n" for line in beside)


def test_rows_that_are_rejected_are_counted_and_in_quarantine_and_the_others_are_published_in_order(
    spark: SparkSession, tmp_path: Path
) -> None:
    broken = {"usuario_id": "eva", "conversacion_completa": "[1, 2]"}
    write_csv(tmp_path, {"usuario_id": "zoe"}, broken, {"nombre": None}, {"usuario_id": "ben"}, beside=("a,b",))
    run, lake = a_run(spark, tmp_path)
    curate.curate(run, lake)
    assert run.report.balance == Balance(read=5, written={"curated_conversations": 2}, quarantined=3)
    published = pq.read_table(tmp_path / contract("curated_conversations").path(run.run_date))
    assert published["usuario_id"].to_pylist() == ["ben", "zoe"]
    assert published["token_pregunta"].to_pylist() == [2, 2]
    assert run.report.quarantine is not None
    entries = spark.read.json(run.report.quarantine).collect()
    assert {entry["reason"]: entry["raw"] for entry in entries} == {
        "no row of the contract: too few or too many fields": "a,b",
        "breaks the contract: nombre.required": json.dumps(
            {**ROW, "nombre": None}, ensure_ascii=False, separators=(",", ":")
        ),
        "conversacion_completa: no JSON array of messages": json.dumps(
            {**ROW, **broken}, ensure_ascii=False, separators=(",", ":")
        ),
    }


def test_only_texts_that_the_last_result_lacks_are_counted_and_the_bytes_are_the_same(
    spark: SparkSession, tmp_path: Path
) -> None:
    said = [{"from": "user", "text": "¿y ahora?"}, {"from": "bot", "text": "Ahora sí."}]
    first = ({"usuario_id": "ana"}, {"usuario_id": "ben", "conversacion_completa": "[]"})
    second = (*first, {"usuario_id": "eva", "conversacion_completa": json.dumps(said)})
    results = []
    for name, days in {"kept": (first, second), "anew": (second,)}.items():
        for texts in days:
            shutil.rmtree(tmp_path / name / "reports/etl-process1", ignore_errors=True)
            write_csv(tmp_path / name, *texts)
            run, lake = a_run(spark, tmp_path / name)
            curate.curate(run, lake)
        results.append((tmp_path / name / contract("curated_conversations").path(run.run_date)).read_bytes())
        anew = 1 if len(days) == 2 else 3
        assert run.report.highlights == [f"curated_conversations: 3 rows, the tokens of {anew} counted anew"]
    assert results[0] == results[1]


def test_a_result_that_was_changed_since_is_not_believed(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path, {})
    run, lake = a_run(spark, tmp_path)
    curate.curate(run, lake)
    published = tmp_path / contract("curated_conversations").path(run.run_date)
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    published.write_bytes(content)
    run, lake = a_run(spark, tmp_path)
    curate.curate(run, lake)
    assert "1 counted anew" in run.report.highlights[0]


def test_counts_of_an_unknown_program_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_counter, "sources_fingerprint", lambda: "")
    run = Run(None, {"run_date": date(2025, 11, 20)}, environment("local"), "curate", "run-2")  # type: ignore[arg-type]
    path = contract(DATASET).path(run.run_date)
    record = Record(1, 1, 0, "curate", "run-1", made_from=counted_by())
    for name, content in ((path, "x"), (f"_checksums/{path}/{record.name}", record.text)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(content)
    assert known_tokens(run, Place(str(tmp_path)).lake("run-2")) is None


def test_counts_are_those_of_the_version_of_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = counted_by()
    monkeypatch.setattr(token_counter, "version", lambda _: "0.0")
    assert counted_by() != before


def test_when_all_rows_are_rejected_the_result_is_empty(spark: SparkSession, tmp_path: Path) -> None:
    write_csv(tmp_path, {"nombre": None})
    run, lake = a_run(spark, tmp_path)
    curate.curate(run, lake)
    assert run.report.balance == Balance(read=1, written={"curated_conversations": 0}, quarantined=1)
