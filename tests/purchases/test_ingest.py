"""ingest: a stream of events becomes documents, exactly once in effect (SPEC 4.1 and 5)."""

import json
import random
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession

from catlake.lake import Lake
from catlake.lake.event_files import EVENTS
from catlake.purchases import ingest as module
from catlake.purchases.document_partitions import Partition
from catlake.purchases.event_source import LINES, Source
from catlake.purchases.files_read import Planned
from catlake.purchases.ingest import decoder, ingest
from catlake.purchases.kinesis import records_as_lines
from catlake.purchases.landing_files import Landing
from catlake.runtime.environment import ENVIRONMENTS
from catlake.runtime.errors import CatalogError, CatlakeError, QuarantineLimitError, StoreError, explain
from catlake.runtime.run import Run
from tests.places import Bucket, Folder
from tests.purchases.records import image, line, purchase
from tests.s3 import S3Server

Ingest = Callable[..., Run]


@pytest.fixture
def run(spark: SparkSession, tmp_path: Path) -> Ingest:
    """Runs the job's main on `in/`, into `lake/`, with `checkpoint/`."""
    numbers = iter(range(1, 100))

    def start(lake: str | Path = tmp_path / "lake", environment: str = "local", **more: Any) -> Run:
        of = ENVIRONMENTS[environment]
        arguments = {
            "source_uri": str(tmp_path / "in"),
            "checkpoint_uri": str(tmp_path / "checkpoint"),
            "trigger": "available_now",
            "run_date": date(2025, 11, 20),
            "max_quarantined": of.max_quarantined,
            **more,
        }
        number = f"run-{next(numbers)}"
        place = Lake(spark, str(lake), "compras-ingest", number)
        run = Run(spark, arguments, of, "compras-ingest", number)
        with place.staging():
            ingest(run, place)
        return run

    return start


def land(folder: Path, name: str, *lines: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(each + b"\n" for each in lines))


def quarantined(lake: Path) -> list[dict[str, Any]]:
    texts = (path.read_text() for path in lake.glob("quarantine/purchases/*/*/*.json"))
    return [json.loads(each) for text in texts for each in text.split("\n")[:-1]]


def progress(lake: Path) -> dict[str, Any]:
    (file,) = lake.glob("runs/compras-ingest/streams/*.json")
    return json.loads(file.read_text())


def test_lines_become_documents_or_tell_why_not(spark: SparkSession) -> None:
    lines = [("a", 1, line(), None), ("a", 2, b"\xff{", None), ("a", 3, b"x", "the line is endless")]
    good = (
        "compras/empresa/2025/07/13/insert_c-1_20250714_205321_111100000000000000001.json",
        b'{"compra_id":"c-1","user_id":"u-1","tenant_id":"empresa","fecha":"2025-07-13 10:30:00","productos":'
        b'[{"codigo":"PROD001","nombre":"Producto Test","precio_unitario":99.99,"cantidad":2}],"resumen":'
        b'{"total_productos":1,"total_cantidad":2,"total_precio":199.98,"moneda":"USD"},"metadata":'
        b'{"event_name":"INSERT","event_source":"aws:dynamodb","aws_region":"us-east-1","event_id":"e-1",'
        b'"processed_at":"2025-07-14T20:53:21.000Z","processed_by":"dev-compras-ingest","stage":"dev"}}\n',
    )
    undecodable = "not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    expected = [
        (*good, "a", 1, None, None),
        (None, None, "a", 2, undecodable, "\\xff{"),
        (None, None, "a", 3, "the line is endless", "x"),
    ]
    events = spark.createDataFrame(lines, LINES).mapInArrow(decoder("dev-compras-ingest", "dev"), EVENTS)
    assert_df_equality(events, spark.createDataFrame(expected, EVENTS), ignore_nullable=True)


def test_an_event_that_breaks_the_decoder_goes_to_quarantine_too(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(module, "document", broken)
    event = module._event({"file": "a", "line": 1, "raw": b"x", "broken": None}, "by", "dev")
    assert event["reason"].startswith("unexpected ZeroDivisionError: by zero; a defect of catlake")


def test_every_event_is_a_document_or_in_quarantine(run: Ingest, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage", line(image(tenant_id={"S": "../../x"})))
    land(tmp_path / "in", "b.jsonl", purchase(2, "otra"), purchase(1))
    done = run()
    assert sorted(Folder(lake / "compras").tree()) == [
        "empresa/2025/07/13/insert_c-1_20250714_205321_000000000000000000001.json",
        "otra/2025/07/13/insert_c-2_20250714_205321_000000000000000000002.json",
    ]
    assert done.report.balance is not None
    assert str(done.report.balance) == "5 read = 3 written to compras_json + 2 quarantined"
    assert sorted((Path(each["file"]).name, each["line"], each["raw"][:7]) for each in quarantined(lake)) == [
        ("a.jsonl", 2, "garbage"),
        ("a.jsonl", 3, '{"event'),
    ]
    assert done.report.highlights == ["1 of the documents were there before: replayed events change nothing"]


def test_a_second_run_takes_only_what_is_new_and_counts_on(run: Ingest, tmp_path: Path) -> None:
    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage")
    run()
    land(tmp_path / "in", "b.jsonl", purchase(2))
    assert str(run().report.balance) == "1 read = 1 written to compras_json + 0 quarantined"
    assert str(run().report.balance) == "0 read = 0 written to compras_json + 0 quarantined"
    assert progress(tmp_path / "lake")["total"] == {"read": 3, "written": 2, "quarantined": 1}


def test_order_and_replays_change_no_byte(run: Ingest, tmp_path: Path) -> None:
    events = [purchase(number, f"t-{number % 3}") for number in range(60)] + [b"garbage"]
    land(tmp_path / "in", "all.jsonl", *events)
    run()
    expected = Folder(tmp_path / "lake/compras").tree()
    assert len(expected) == 60
    generator = random.Random(7)
    for number in range(4):
        shuffled = generator.choices(events, k=40) + generator.sample(events, len(events))
        land(tmp_path / "other", f"{number}.jsonl", *shuffled)
    again = tmp_path / "again"
    run(again, source_uri=str(tmp_path / "other"), checkpoint_uri=str(tmp_path / "other-checkpoint"))
    assert Folder(again / "compras").tree() == expected
    # And over what is there, from the beginning.
    done = run(checkpoint_uri=str(tmp_path / "new-checkpoint"))
    assert Folder(tmp_path / "lake/compras").tree() == expected
    assert done.report.highlights[0].startswith("60 of the documents were there before")


def test_a_batch_whose_run_was_killed_is_counted_once(run: Ingest, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage")
    run()
    land(tmp_path / "in", "b.jsonl", purchase(2), b"rubbish")
    run()
    before = Folder(lake / "compras").tree(), progress(lake), quarantined(lake)
    # As if it had been killed after everything but the checkpoint, and in the middle of another cut.
    (tmp_path / "checkpoint/landing/000000/01-read.jsonl").unlink()
    (left,) = lake.glob("quarantine/purchases/*/batch-000000001")
    (left / "00099-00000.json").write_text('{"file": "x", "line": 1, "reason": "x", "raw": "rubbish"}\n')
    assert str(run().report.balance) == "2 read = 1 written to compras_json + 1 quarantined"
    assert (Folder(lake / "compras").tree(), progress(lake), quarantined(lake)) == before


def test_a_document_is_processed_by_its_stages_job_whatever_the_run_is_called(run: Ingest, tmp_path: Path) -> None:
    land(tmp_path / "in", "a.jsonl", purchase(1))
    run(environment="test")
    (content,) = Folder(tmp_path / "lake/compras").tree().values()
    metadata = json.loads(content)["metadata"]
    assert (metadata["processed_by"], metadata["stage"]) == ("dev-compras-ingest", "dev")


def test_the_days_of_a_batch_are_registered_before_it_is_checkpointed(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[tuple[Partition, ...]] = []

    class Refusing:
        def register(self, partitions: Iterable[Partition]) -> int:
            registered.append(tuple(partitions))
            if len(registered) == 1:
                raise CatalogError("table dev-compras-datacatalog.compras_json: no rights; check them")
            return 0

    monkeypatch.setattr(module, "registry", lambda *_: Refusing())
    other = line(image(fecha={"S": "2025-07-14"}, tenant_id={"S": "otra"}))
    land(tmp_path / "in", "a.jsonl", purchase(1), other, purchase(2), b"garbage")
    with pytest.raises(Exception, match="no rights"):
        run()
    assert str(run().report.balance) == "4 read = 3 written to compras_json + 1 quarantined"
    assert registered == [(("empresa", "2025", "07", "13"), ("otra", "2025", "07", "14"))] * 2


def test_too_much_in_quarantine_stops_a_stream_after_writing(run: Ingest, tmp_path: Path) -> None:
    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage", b"rubbish")
    done = run(trigger="continuous", max_quarantined=1)
    assert len(Folder(tmp_path / "lake/compras").tree()) == 1
    with pytest.raises(QuarantineLimitError, match="2 records are in quarantine, more than the limit of 1"):
        done.report.enforce_quarantine_limit(done.arguments["max_quarantined"])
    # What was written is checkpointed: the next run goes on behind it.
    assert str(run().report.balance) == "0 read = 0 written to compras_json + 0 quarantined"


def test_what_has_an_end_is_read_to_its_end_before_the_limit_counts(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catlake.purchases.ingest.MOST_FILES_A_BATCH", 1)
    for number in range(3):
        land(tmp_path / "in", f"{number}.jsonl", purchase(number), b"garbage")
    done = run(max_quarantined=0)
    assert str(done.report.balance) == "6 read = 3 written to compras_json + 3 quarantined"
    with pytest.raises(QuarantineLimitError, match="3 records are in quarantine"):
        done.report.enforce_quarantine_limit(done.arguments["max_quarantined"])


def test_a_source_that_is_not_there_is_told(run: Ingest) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        run()


def test_an_error_within_a_task_is_told_in_its_own_words(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(self: Landing, spark: SparkSession, planned: Planned) -> Any:
        (tmp_path / "in/a.jsonl").unlink()
        return plain(self, spark, planned)

    plain = Landing.rows
    monkeypatch.setattr(Landing, "rows", rows)
    land(tmp_path / "in", "a.jsonl", purchase(1))
    with pytest.raises(Exception, match="removed before it was read") as caught:
        run()
    assert not isinstance(caught.value, CatlakeError)  # it comes through the JVM
    assert str(explain(caught.value)).startswith(
        f"{tmp_path}/in/a.jsonl: it landed, and was removed before it was read"
    )


def test_a_stream_reads_on_what_lands_and_what_changes(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends, as an endless stream does, when too much is in quarantine."""
    looks = iter(
        [
            lambda: land(tmp_path / "in", "b.jsonl", purchase(2)),
            lambda: None,
            lambda: land(tmp_path / "in", "a.jsonl", purchase(1), purchase(3)),
            lambda: land(tmp_path / "in", "c.jsonl", b"garbage"),
        ]
    )
    monkeypatch.setattr(module, "sleep", lambda _: next(looks)())
    land(tmp_path / "in", "a.jsonl", purchase(1))
    done = run(trigger="continuous", max_quarantined=0)
    assert str(done.report.balance) == "5 read = 4 written to compras_json + 1 quarantined"
    assert len(Folder(tmp_path / "lake/compras").tree()) == 3
    assert done.report.highlights[0].endswith(f"were read again: {tmp_path}/in/a.jsonl")


def told(caught: pytest.ExceptionInfo[StoreError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_damaged_checkpoint_is_one_line_and_a_new_one_loses_nothing(run: Ingest, tmp_path: Path) -> None:
    land(tmp_path / "in", "0.jsonl", purchase(0))
    run()
    (read,) = (tmp_path / "checkpoint").rglob("*-read.jsonl")
    read.write_bytes(read.read_bytes()[:-5])
    land(tmp_path / "in", "1.jsonl", purchase(1))
    with pytest.raises(StoreError) as caught:
        run()
    assert told(caught).startswith(f"{tmp_path}/checkpoint: the checkpoint cannot be used (")
    assert "give a new --checkpoint_uri, or delete it: " in told(caught)
    run(checkpoint_uri=str(tmp_path / "new"))
    assert len(Folder(tmp_path / "lake/compras").tree()) == 2


def test_a_checkpoint_that_is_a_file_is_one_line(run: Ingest, tmp_path: Path) -> None:
    land(tmp_path / "in", "a.jsonl", purchase(1))
    (tmp_path / "checkpoint").touch()
    with pytest.raises(StoreError) as caught:
        run()
    assert told(caught).startswith(f"{tmp_path}/checkpoint: the checkpoint cannot be used (")


def test_of_two_that_share_a_checkpoint_the_later_says_so_and_nothing_is_lost(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = module.write_events

    def while_another_goes_on(*arguments: Any) -> Any:
        written = write(*arguments)
        with monkeypatch.context() as other:
            other.setattr(module, "write_events", write)
            run()
        return written

    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage")
    land(tmp_path / "in", "b.jsonl", purchase(2))
    monkeypatch.setattr(module, "MOST_FILES_A_BATCH", 1)
    with monkeypatch.context() as patched, pytest.raises(StoreError) as caught:
        patched.setattr(module, "write_events", while_another_goes_on)
        run()
    assert told(caught).startswith(f"{tmp_path}/checkpoint: another ingest uses this checkpoint; let it end, or ")
    assert told(caught).endswith("no event is lost")
    land(tmp_path / "in", "c.jsonl", purchase(3))
    run()
    assert len(Folder(tmp_path / "lake/compras").tree()) == 3
    assert len(quarantined(tmp_path / "lake")) == 1


# A stream: Spark's own source of text files stands for the connector, which hands over texts too.


@pytest.fixture
def stream(run: Ingest, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """Runs the job's main on a stream of the lines that land in `in/`."""
    arn = "arn:aws:kinesis:us-east-1:123456789012:stream/dev-compras"

    def texts(*_: Any) -> Source:
        lines = spark.readStream.text(str(tmp_path / "in"))
        return Source(records_as_lines(lines, arn), lambda batches: batches)

    monkeypatch.setattr(module, "kinesis_stream", texts)
    return lambda **more: run(source_uri=arn, **more)


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
    assert told(caught).startswith(f"{tmp_path}/checkpoint: the checkpoint cannot be used (")
    assert "give a new --checkpoint_uri, or delete it: " in told(caught)
    stream(checkpoint_uri=str(tmp_path / "new"))
    assert len(Folder(tmp_path / "lake/compras").tree()) == 3


def test_of_two_that_share_a_streams_checkpoint_the_later_says_so_and_nothing_is_lost(
    stream: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = module.write_events

    def while_another_does_the_same_batch(*arguments: Any) -> Any:
        written = write(*arguments)
        (tmp_path / "checkpoint/commits/0").write_text('v1\n{"nextBatchWatermarkMs":0}')
        return written

    land(tmp_path / "in", "a.jsonl", purchase(1), b"garbage")
    with monkeypatch.context() as patched, pytest.raises(StoreError) as caught:
        patched.setattr(module, "write_events", while_another_does_the_same_batch)
        stream()
    assert told(caught).startswith(f"{tmp_path}/checkpoint: another ingest uses this checkpoint, or ")
    assert "let the other end and run this one again: no event is lost" in told(caught)
    land(tmp_path / "in", "b.jsonl", purchase(2))
    stream()
    assert len(Folder(tmp_path / "lake/compras").tree()) == 2
    assert len(quarantined(tmp_path / "lake")) == 1


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
    assert bucket.tree("lake/compras") == Folder(tmp_path / "lake/compras").tree()
