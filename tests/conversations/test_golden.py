"""Both jobs over whole exports: a small one worked out by hand, and the committed sample."""

import csv
import json
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from catlake.conversations.curate import curate
from catlake.conversations.normalize import normalize
from catlake.runtime.run import Run
from tests.conversations.test_cl100k_tokens import independent_count
from tests.golden import assert_golden
from tests.interpreted import generated_code
from tests.jobs.running import CSV, PARQUET, SAMPLE, SMALL, run_of, small_export


def csv_rows(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


@pytest.fixture(scope="module")
def small(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Run]:
    """The lake after both jobs over the small export, and their runs."""
    folder = tmp_path_factory.mktemp("small")
    export = small_export(folder / "export")
    with generated_code(spark):
        normalized = run_of(spark, folder / "lake", normalize, export_uri=str(export))
        return folder / "lake", normalized, run_of(spark, folder / "lake", curate)


def test_the_small_export_gives_the_csv_that_was_written_by_hand(small: tuple[Path, Run, Run]) -> None:
    assert_golden((small[0] / CSV).read_bytes().decode(), "catia_small/data_20251120.csv")


def test_the_small_export_gives_the_curated_rows_that_were_written_by_hand(small: tuple[Path, Run, Run]) -> None:
    texts = {row["usuario_id"]: row for row in csv_rows(SMALL / "data_20251120.csv")}
    expected = [json.loads(line) for line in (SMALL / "curated.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in expected:
        for name in ("conversacion_completa", "feedback_total"):
            assert row[name] == "as in the CSV"
            row[name] = texts[row["usuario_id"]][name]
        day = row["fecha_primera_conversacion"]
        row["fecha_primera_conversacion"] = day and date.fromisoformat(day)
    found = parquet_rows(small[0] / PARQUET)
    assert found == expected
    assert [list(row) for row in found] == [list(row) for row in expected]


def test_the_balance_of_the_small_export_is_the_one_counted_by_hand(small: tuple[Path, Run, Run]) -> None:
    _, normalized, curated = small
    assert normalized.report.balance is not None and curated.report.balance is not None
    assert normalized.report.balance.as_dict() == {
        "read": 17,
        "written": {"normalized_conversations": 8},
        "filtered": {
            "register": 1,
            "other": 1,
            "empty_feedback": 1,
            "excluded_city": 2,
            "before_first_date": 2,
            "feedback_without_conversation": 1,
        },
        "quarantined": 1,
    }
    assert curated.report.balance.as_dict() == {
        "read": 4,
        "written": {"curated_conversations": 4},
        "filtered": {},
        "quarantined": 0,
    }


def test_the_quarantine_of_the_small_export_holds_ginas_line(small: tuple[Path, Run, Run]) -> None:
    lake, normalized, _ = small
    assert normalized.report.quarantine == str(lake / "quarantine/conversations/run-1")
    parts = (lake / "quarantine/conversations/run-1").glob("part-*")
    (entry,) = [json.loads(line) for part in parts for line in part.read_text(encoding="utf-8").splitlines()]
    lines = (SMALL / "items.jsonl").read_text(encoding="utf-8").splitlines()
    assert entry["raw"] in lines and "gina" in entry["raw"]
    assert entry["reason"].startswith("attribute Conversation: text is not JSON")
    assert entry["file"].endswith(".json.gz") and entry["line"] >= 1


@pytest.fixture(scope="module")
def sample(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """The lake after both jobs over the committed sample, and the first run."""
    lake = tmp_path_factory.mktemp("sample")
    normalized = run_of(spark, lake, normalize, export_uri=str(SAMPLE))
    run_of(spark, lake, curate)
    return lake, normalized


def outcomes_of_readme() -> Counter[str]:
    """What the sample's README says of its odd items, by outcome."""
    lines = (SAMPLE / "README.md").read_text(encoding="utf-8").splitlines()
    return Counter(line.split("|")[-2].strip() for line in lines if line.startswith("| `odd-"))


def test_the_balance_of_the_sample_closes_and_has_what_its_readme_says(sample: tuple[Path, Run]) -> None:
    balance = sample[1].report.balance
    assert balance is not None
    assert balance.difference == 0
    manifest = json.loads(next(SAMPLE.rglob("manifest-summary.json")).read_text(encoding="utf-8"))
    assert balance.read == manifest["itemCount"]
    told = outcomes_of_readme()
    assert balance.quarantined == told["**quarantined**"]
    assert balance.filtered["other"] == told["filtered: other"] == 1
    # Five odd feedbacks hold nothing: blank, `null`, NULL, an empty list; a sixth has NULLs inside and is one.
    assert balance.filtered["empty_feedback"] == 4


def test_each_row_of_the_sample_agrees_with_itself(sample: tuple[Path, Run]) -> None:
    rows = csv_rows(sample[0] / CSV)
    assert [row["usuario_id"] for row in rows] == sorted({row["usuario_id"] for row in rows})
    for row in rows:
        messages = json.loads(row["conversacion_completa"])
        given = json.loads(row["feedback_total"])
        asked = [each["text"] for each in messages if each["from"] == "user" and (each["text"] or "").strip()]
        types = [str(each.get("type")).strip().lower() for each in given]
        opinions = [each for each in types if each in ("like", "dislike")]
        assert row["pregunta_conversacion"] == " | ".join(dict.fromkeys(asked))
        assert row["numero_feedback"] == str(len(opinions))
        assert row["feedback"] == ("mixed" if len(set(opinions)) == 2 else "".join(set(opinions)))
        assert int(row["numero_conversaciones"]) >= len({each["conversacion"] for each in messages}) >= 0
        assert row["nombre"] and row["gerencia"] and row["ciudad"]
        assert not row["ciudad"].endswith(")")
        day = row["fecha_primera_conversacion"]
        assert not day or datetime.strptime(day, "%d/%m/%Y").date() >= date(2025, 8, 4)


def test_the_odd_users_of_the_sample_end_as_its_readme_says(sample: tuple[Path, Run]) -> None:
    rows = {row["usuario_id"]: row for row in csv_rows(sample[0] / CSV)}
    left_out = {"odd-city-accent", "odd-city-plain", "odd-city-upper", "odd-city-mexico", "odd-city-valley"}
    left_out |= {"odd-city-potosi", "odd-city-gerencia", "odd-early", "odd-feedback-alone", "odd-register-only"}
    left_out |= {"odd-broken-text", "odd-broken-line", "odd-broken-type"}
    assert not left_out & set(rows)
    assert rows["odd-city-mexico-accent"]["ciudad"] == "Ciudad de México"
    assert rows["odd-undated"]["fecha_primera_conversacion"] == ""
    assert rows["odd-hash#2"]["numero_conversaciones"] == "1"
    assert rows["odd-keys"]["numero_conversaciones"] == "4"
    assert rows["odd-comments"]["feedback"] == "" and rows["odd-comments"]["respuesta_feedback"]
    assert rows["odd-likes"]["feedback"] == "like"
    # 14 dates are written in odd ways; three of them are too early, and five are none and come last.
    assert rows["odd-dates"]["numero_conversaciones"] == "11"
    assert rows["odd-dates"]["fecha_primera_conversacion"] == "04/08/2025"
    keys = [each["conversacion"] for each in json.loads(rows["odd-dates"]["conversacion_completa"])]
    assert [key[-2:] for key in dict.fromkeys(keys)][-5:] == ["10", "11", "12", "13", "14"]
    ties = json.loads(rows["odd-ties"]["conversacion_completa"])
    assert [each["conversacion"] for each in ties] == sorted(each["conversacion"] for each in ties)
    texts = [each["text"] for each in json.loads(rows["odd-texts"]["conversacion_completa"])]
    assert any("\x00" in (text or "") for text in texts)
    assert any("\ufffd" in (text or "") for text in texts)
    assert "12345678901234567890123456789012345678" in rows["odd-feedback"]["feedback_total"]


def test_the_curated_sample_is_the_csv_typed_with_the_independent_encoders_counts(sample: tuple[Path, Run]) -> None:
    texts = csv_rows(sample[0] / CSV)
    curated = parquet_rows(sample[0] / PARQUET)
    assert len(curated) == len(texts)
    for text, row in zip(texts, curated, strict=True):
        for name in ("usuario_id", "nombre", "gerencia", "ciudad", "conversacion_completa", "feedback_total"):
            assert row[name] == text[name]
        assert str(row["numero_conversaciones"]) == text["numero_conversaciones"]
        assert (row["pregunta_conversacion"] or "") == text["pregunta_conversacion"]
        assert (row["feedback"] or "") == text["feedback"]
        assert row["respuesta_feedback"] == (text["respuesta_feedback"] or None if text["feedback"] else None)
        day = row["fecha_primera_conversacion"]
        assert (day.strftime("%d/%m/%Y") if day else "") == text["fecha_primera_conversacion"]
        messages = json.loads(text["conversacion_completa"])
        for speaker, column in (("user", "token_pregunta"), ("bot", "token_respuesta")):
            said = [each["text"] for each in messages if each["from"] == speaker and each["text"]]
            assert row[column] == sum(map(independent_count, said))
