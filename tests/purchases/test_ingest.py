"""ingest: a stream of events becomes documents, exactly once in effect (docs/spec.md 4.1 and 5)."""

import json
import random
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from time import sleep
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from catlake.lake import Lake, event_files
from catlake.lake.catalog import Partition
from catlake.purchases import document_writer, event_document, kinesis, landing_folder
from catlake.purchases.event_document import RAW_EVENTS, decoder
from catlake.purchases.ingest import ingest
from catlake.purchases.landing_checkpoint import PlannedBatch
from catlake.purchases.landing_folder import LandingFolder
from catlake.runtime.environment import environment
from catlake.runtime.errors import CatalogError, CatlakeError, StoreError, explain
from catlake.runtime.report import Report
from catlake.runtime.run import Run
from tests.places import Bucket, Folder
from tests.purchases.records import TEST, image, line, purchase
from tests.s3 import S3Server

Ingest = Callable[..., Run]


@pytest.fixture
def run(spark: SparkSession, tmp_path: Path) -> Ingest:
    """Runs the job's main on `in/`, into `lake/`, with `checkpoint/`."""
    numbers = iter(range(1, 100))

    def start(lake_uri: str | Path = tmp_path / "lake", **more: Any) -> Run:
        local = environment("local")
        arguments = {
            "source_uri": str(tmp_path / "in"),
            "checkpoint_uri": str(tmp_path / "checkpoint"),
            "trigger": "available_now",
            "batch_seconds": local.stream_batch_seconds,
            "catalog": "none",
            "run_date": date(2025, 11, 20),
            "max_quarantined": local.max_quarantined,
            **more,
        }
        number = f"run-{next(numbers)}"
        lake = Lake(spark, str(lake_uri), "compras-ingest", number)
        run = Run(spark, arguments, local, "compras-ingest", number)
        with lake.staging():
            ingest(run, lake)
        return run

    return start


def land(folder: Path, name: str, *lines: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(text + b"\n" for text in lines))


def documents(lake: Path) -> dict[str, bytes]:
    return Folder(lake / "compras").tree()


def quarantined(lake: Path) -> list[dict[str, Any]]:
    texts = (path.read_text() for path in lake.glob("quarantine/purchases/*/*/*.json"))
    return [json.loads(record) for text in texts for record in text.split("\n")[:-1]]


def counts(lake: Path) -> dict[str, Any]:
    (file,) = lake.glob("runs/compras-ingest/streams/*.json")
    return json.loads(file.read_text())


def decoded(*rows: tuple[str, int, bytes, str | None]) -> list[dict[str, Any]]:
    schema = to_arrow_schema(RAW_EVENTS)
    batch = pa.RecordBatch.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
    return [row for result in decoder(TEST)(iter([batch])) for row in result.to_pylist()]


def test_an_event_becomes_a_document_or_a_reason() -> None:
    good, undecodable, endless = decoded(
        ("a", 1, line(), None), ("a", 2, b"\xff{", None), ("a", 3, b"x", "the line is endless")
    )
    assert good["path"] == "compras/empresa/2025/07/13/insert_c-1_20250714_205321_111100000000000000001.json"
    assert json.loads(good["content"])["metadata"]["processed_by"] == "dev-compras-ingest"
    assert (undecodable["line"], undecodable["raw"], undecodable["path"]) == (2, "\\xff{", None)
    assert undecodable["reason"].startswith("not JSON: ")
    assert (endless["reason"], endless["raw"]) == ("the line is endless", "x")


def test_an_event_that_breaks_the_decoder_goes_to_quarantine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(event_document, "parse_record", broken)
    (event,) = decoded(("a", 1, b"x", None))
    assert "ZeroDivisionError: by zero" in event["reason"]


def test_every_event_is_a_document_or_in_quarantine_and_a_second_run_takes_what_is_new(
    run: Ingest, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage", line(image(tenant_id={"S": "../../x"})))
    land(tmp_path / "in", "b.jsonl", purchase(2, "otra"), purchase(1))
    first = run()
    assert sorted(documents(lake)) == [
        "empresa/2025/07/13/insert_c-1_20250714_205321_000000000000000000001.json",
        "otra/2025/07/13/insert_c-2_20250714_205321_000000000000000000002.json",
    ]
    assert str(first.report.balance) == "5 read = 3 written to compras_json + 2 quarantined"
    assert sorted((Path(record["file"]).name, record["line"], record["raw"][:7]) for record in quarantined(lake)) == [
        ("a.jsonl", 2, "garbage"),
        ("a.jsonl", 3, '{"event'),
    ]
    assert first.report.highlights[0].startswith("1 of the documents")

    land(tmp_path / "in", "c.jsonl", purchase(3))
    assert str(run().report.balance) == "1 read = 1 written to compras_json + 0 quarantined"
    assert str(run().report.balance) == "0 read = 0 written to compras_json + 0 quarantined"
    assert counts(lake)["total"] == {"read": 6, "written": 4, "repeated": 0, "quarantined": 2}


def test_order_and_replays_change_no_byte(run: Ingest, tmp_path: Path) -> None:
    events = [purchase(number, f"t-{number % 3}") for number in range(60)] + [b"garbage"]
    land(tmp_path / "in", "all.jsonl", *events)
    run()
    expected = documents(tmp_path / "lake")
    assert len(expected) == 60
    generator = random.Random(7)
    for number in range(4):
        shuffled = generator.choices(events, k=40) + generator.sample(events, len(events))
        land(tmp_path / "other", f"{number}.jsonl", *shuffled)
    again = tmp_path / "again"
    run(again, source_uri=str(tmp_path / "other"), checkpoint_uri=str(tmp_path / "other-checkpoint"))
    assert documents(again) == expected
    # And over what is there, from the beginning.
    done = run(checkpoint_uri=str(tmp_path / "new-checkpoint"))
    assert documents(tmp_path / "lake") == expected
    assert done.report.highlights[0].startswith("60 of the documents were there before")


def test_a_batch_whose_run_was_killed_is_counted_once(run: Ingest, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage")
    run()
    land(tmp_path / "in", "b.jsonl", purchase(2), b"rubbish")
    run()
    before = documents(lake), counts(lake), quarantined(lake)
    # As if the run was killed after everything but the checkpoint, when other tasks had other parts of the batch.
    (tmp_path / "checkpoint/landing/000000/01-read.jsonl").unlink()
    (left,) = lake.glob("quarantine/purchases/*/batch-000000001")
    (left / "00099-00000.json").write_text('{"file": "x", "line": 1, "reason": "x", "raw": "rubbish"}\n')
    assert str(run().report.balance) == "2 read = 1 written to compras_json + 1 quarantined"
    assert (documents(lake), counts(lake), quarantined(lake)) == before


def test_the_days_of_a_batch_are_registered_before_it_is_checkpointed(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[tuple[Partition, ...]] = []

    class Refusing:
        def follow_table(self) -> int:
            return 0

        def register(self, partitions: Iterable[Partition]) -> int:
            registered.append(tuple(sorted(partitions)))
            if len(registered) == 1:
                raise CatalogError("table dev-compras-datacatalog.compras_json: no rights; check them")
            return 0

    monkeypatch.setattr(document_writer, "partitions_of", lambda *_: Refusing())
    other = line(image(fecha={"S": "2025-07-14"}, tenant_id={"S": "otra"}))
    land(tmp_path / "in", "a.jsonl", purchase(1), other, purchase(2), b"garbage")
    with pytest.raises(Exception, match="no rights"):
        run()
    assert str(run().report.balance) == "4 read = 3 written to compras_json + 1 quarantined"
    assert registered == [(("empresa", "2025", "07", "13"), ("otra", "2025", "07", "14"))] * 2


def test_too_much_in_quarantine_stops_a_stream_after_writing(run: Ingest, tmp_path: Path) -> None:
    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage", b"rubbish")
    done = run(trigger="continuous", max_quarantined=1)
    assert str(done.report.balance) == "3 read = 1 written to compras_json + 2 quarantined"
    assert len(documents(tmp_path / "lake")) == 1
    # What was written is checkpointed: the next run goes on behind it.
    assert str(run().report.balance) == "0 read = 0 written to compras_json + 0 quarantined"


def test_what_has_an_end_is_read_to_its_end_before_the_limit_counts(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing_folder, "MOST_FILES_A_BATCH", 1)
    for number in range(2):
        land(tmp_path / "in", f"{number}.jsonl", purchase(number), b"garbage")
    done = run(max_quarantined=0)
    assert str(done.report.balance) == "4 read = 2 written to compras_json + 2 quarantined"


def test_a_source_that_does_not_exist_is_named(run: Ingest, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path}/in: .*create it"):
        run()


def test_an_error_within_a_task_reaches_the_person_in_its_own_words(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(self: LandingFolder, spark: SparkSession, batch: PlannedBatch) -> DataFrame:
        (tmp_path / "in/a.jsonl").unlink()
        return plain(self, spark, batch)

    plain = LandingFolder.rows
    monkeypatch.setattr(LandingFolder, "rows", rows)
    land(tmp_path / "in", "a.jsonl", purchase(1))
    with pytest.raises(Exception, match="removed before it was read") as caught:
        run()
    assert not isinstance(caught.value, CatlakeError)  # it comes through the JVM
    assert str(explain(caught.value)).startswith(f"{tmp_path}/in/a.jsonl: ")


def test_a_stream_reads_on_what_lands_and_what_changes(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends, as an endless stream does, when too much is in quarantine."""
    steps = iter(
        [
            lambda: land(tmp_path / "in", "b.jsonl", purchase(2)),
            lambda: None,
            lambda: land(tmp_path / "in", "a.jsonl", purchase(1), purchase(3)),
            lambda: land(tmp_path / "in", "c.jsonl", b"garbage"),
        ]
    )
    monkeypatch.setattr(landing_folder, "sleep", lambda _: next(steps)())
    land(tmp_path / "in", "a.jsonl", purchase(1))
    done = run(trigger="continuous", max_quarantined=0)
    assert str(done.report.balance) == "5 read = 4 written to compras_json + 1 quarantined"
    assert len(documents(tmp_path / "lake")) == 3
    assert done.report.highlights[0].endswith(f"{tmp_path}/in/a.jsonl")


def assert_names(caught: pytest.ExceptionInfo[StoreError], *parts: str) -> None:
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_a_damaged_checkpoint_is_one_line_and_a_new_one_loses_nothing(run: Ingest, tmp_path: Path) -> None:
    land(tmp_path / "in", "0.jsonl", purchase(0))
    run()
    (read,) = (tmp_path / "checkpoint").rglob("*-read.jsonl")
    read.write_bytes(read.read_bytes()[:-5])
    land(tmp_path / "in", "1.jsonl", purchase(1))
    with pytest.raises(StoreError) as caught:
        run()
    assert_names(caught, f"{tmp_path}/checkpoint", "give a new --checkpoint_uri, or delete it")
    run(checkpoint_uri=str(tmp_path / "new"))
    assert len(documents(tmp_path / "lake")) == 2


def test_a_checkpoint_that_is_a_file_is_one_line(run: Ingest, tmp_path: Path) -> None:
    land(tmp_path / "in", "a.jsonl", purchase(1))
    (tmp_path / "checkpoint").touch()
    with pytest.raises(StoreError) as caught:
        run()
    assert_names(caught, f"{tmp_path}/checkpoint", "--checkpoint_uri")


def test_of_two_that_share_a_checkpoint_the_later_stops_and_nothing_is_lost(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = event_files.write_events

    def while_another_goes_on(*arguments: Any, **more: Any) -> Any:
        written = write(*arguments, **more)
        with monkeypatch.context() as other:
            other.setattr(document_writer, "write_events", write)
            run()
        return written

    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage")
    land(tmp_path / "in", "b.jsonl", purchase(2))
    monkeypatch.setattr(landing_folder, "MOST_FILES_A_BATCH", 1)
    with monkeypatch.context() as patched, pytest.raises(StoreError) as caught:
        patched.setattr(document_writer, "write_events", while_another_goes_on)
        run()
    assert_names(caught, f"{tmp_path}/checkpoint", "another ingest uses this checkpoint", "no event is lost")
    land(tmp_path / "in", "c.jsonl", purchase(3))
    run()
    assert len(documents(tmp_path / "lake")) == 3
    assert len(quarantined(tmp_path / "lake")) == 1


# A stream: Spark's own source of text files replaces the connector, which hands over texts too.


@pytest.fixture
def stream(run: Ingest, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """Runs the job's main on a stream of the lines that land in `in/`."""
    arn = "arn:aws:kinesis:us-east-1:123456789012:stream/dev-compras"

    monkeypatch.setattr(kinesis, "kinesis_records", lambda *_: spark.readStream.text(str(tmp_path / "in")))
    return lambda **more: run(source_uri=arn, **more)


def test_too_much_in_quarantine_stops_a_kinesis_stream_when_its_batch_is_in_the_checkpoint(
    stream: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = Report.batch_written

    def slowly_reported(*arguments: Any, **more: Any) -> None:
        reported(*arguments, **more)
        sleep(0.5)

    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage")
    with monkeypatch.context() as patched:
        patched.setattr(Report, "batch_written", slowly_reported)
        patched.setattr(kinesis, "CHECK_SECONDS", 0.05)
        done = stream(trigger="continuous", max_quarantined=0)
    assert str(done.report.balance) == "2 read = 1 written to compras_json + 1 quarantined"
    assert str(stream().report.balance) == "0 read = 0 written to compras_json + 0 quarantined"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "content"), [("metadata", b""), ("offsets/1", b"v1\n")])
def test_a_streams_damaged_checkpoint_is_one_line_and_a_new_one_loses_nothing(
    stream: Ingest, tmp_path: Path, name: str, content: bytes
) -> None:
    for number in range(2):
        land(tmp_path / "in", f"{number}.jsonl", purchase(number))
        stream()
    (tmp_path / "checkpoint" / name).write_bytes(content)
    land(tmp_path / "in", "2.jsonl", purchase(2))
    with pytest.raises(StoreError) as caught:
        stream()
    assert_names(caught, f"{tmp_path}/checkpoint", "give a new --checkpoint_uri, or delete it")
    stream(checkpoint_uri=str(tmp_path / "new"))
    assert len(documents(tmp_path / "lake")) == 3


def test_of_two_that_share_a_streams_checkpoint_the_later_stops_and_nothing_is_lost(
    stream: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = event_files.write_events

    def while_another_does_the_same_batch(*arguments: Any, **more: Any) -> Any:
        written = write(*arguments, **more)
        (tmp_path / "checkpoint/commits/0").write_text('v1\n{"nextBatchWatermarkMs":0}')
        return written

    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage")
    with monkeypatch.context() as patched, pytest.raises(StoreError) as caught:
        patched.setattr(document_writer, "write_events", while_another_does_the_same_batch)
        stream()
    assert_names(caught, f"{tmp_path}/checkpoint", "another ingest uses this checkpoint", "no event is lost")
    land(tmp_path / "in", "b.jsonl", purchase(2))
    stream()
    assert len(documents(tmp_path / "lake")) == 2
    assert len(quarantined(tmp_path / "lake")) == 1


@pytest.mark.slow
def test_a_bucket_gets_the_same_bytes_as_a_folder(
    run: Ingest, spark: SparkSession, s3: S3Server, tmp_path: Path
) -> None:
    events = [purchase(number, f"t-{number % 3}") for number in range(40)] + [b"garbage"]
    land(tmp_path / "in", "a.jsonl", *events)
    run()
    s3.configure(spark)
    bucket = Bucket(s3)
    bucket.put("in/a.jsonl", b"\n".join(events))
    run(f"{bucket.root}/lake", source_uri=f"{bucket.root}/in", checkpoint_uri=f"{bucket.root}/checkpoint")
    assert bucket.tree("lake/compras") == documents(tmp_path / "lake")
