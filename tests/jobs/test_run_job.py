"""The frame of a job: log, balance, summary, publishing, and the end of the process."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.conversations.cl100k_tokens import EncodingError
from catlake.job import S3A_REGION, run_job
from catlake.lake import Lake
from catlake.lake.publish import publish, quarantine
from catlake.runtime.arguments import Argument, whole_number
from catlake.runtime.balance import Balance
from catlake.runtime.errors import CatlakeError, ExportError, explain
from catlake.runtime.metrics import NAMESPACE
from catlake.runtime.run import Run
from tests.contracts.songs import CSV_FILE, SONGS_CSV, song_rows
from tests.jobs.running import Finished, files_below, finished

LIVE = CSV_FILE
Runner = Callable[..., Finished]


@pytest.fixture
def job(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Runner:
    """Runs a main as the job `a-job` on the lake `tmp_path`."""

    def run(main: Callable[[Run, Lake], None], *more: str, declared: tuple[Argument, ...] = ()) -> Finished:
        argv = ["job.py", "--JOB_NAME", "a-job", "--lake_uri", str(tmp_path), "--run_date", "2025-11-20", *more]
        return finished(monkeypatch, capsys, argv, lambda: run_job(main, declared))

    return run


def rejected(spark: SparkSession, *reasons: str) -> DataFrame:
    rows = [("f.gz", number, reason, "raw") for number, reason in enumerate(reasons)]
    return spark.createDataFrame(rows, "file string, line bigint, reason string, raw string")


def write_one(run: Run, lake: Lake, balance: Balance | None = None) -> None:
    """A whole little job: reads, steps, settles, publishes."""
    run.report.read_from("test", "nowhere", items=1)
    with run.step("write"):
        staged = lake.draft(song_rows(run.spark, SONGS_CSV, {}), SONGS_CSV, run.run_date)
    run.report.settle(balance or Balance(read=1, written={"songs": 1}))
    publish(run, lake, staged)


def summary_of(lake: Path) -> dict[str, Any]:
    (path,) = (lake / "runs/a-job").iterdir()
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_run_that_succeeds_leaves_the_result_and_its_summary(job: Runner, tmp_path: Path) -> None:
    finished = job(write_one)
    run = finished.last["run"]
    assert finished.code == 0
    (record,) = (tmp_path / "_checksums" / LIVE).iterdir()
    assert files_below(tmp_path) == [str(record.relative_to(tmp_path)), LIVE, f"runs/a-job/{run}.json"]
    assert json.loads(record.read_text())["run"] == run
    summary = summary_of(tmp_path)
    size = (tmp_path / LIVE).stat().st_size
    output = {"dataset": "songs", "uri": str(tmp_path / LIVE), "rows": 1, "bytes": size}
    times = {name: summary.pop(name) for name in ("started", "finished", "seconds", "steps")}
    assert summary == {
        "job": "a-job",
        "run": run,
        "environment": "local",
        "run_date": "2025-11-20",
        "state": "SUCCEEDED",
        "arguments": {
            "JOB_NAME": "a-job",
            "lake_uri": str(tmp_path),
            "environment": "local",
            "run_date": "2025-11-20",
            "max_quarantined": 1000,
            "max_shrink": "0.5",
            "catalog": "none",
        },
        "inputs": [{"kind": "test", "uri": "nowhere", "items": 1}],
        "outputs": [output],
        "balance": {"read": 1, "written": {"songs": 1}, "filtered": {}, "quarantined": 0},
        "quarantine": None,
        "highlights": [],
        "error": None,
    }
    begun, ended = (datetime.fromisoformat(times[name]) for name in ("started", "finished"))
    assert begun <= ended <= datetime.now(UTC)
    assert times["seconds"] == pytest.approx((ended - begun).total_seconds(), abs=0.01)
    assert [set(step) for step in times["steps"]] == [{"name", "seconds"}]


def test_each_line_of_the_log_is_json_with_time_level_event_job_and_run(job: Runner) -> None:
    events = job(write_one).events
    assert [each["event"] for each in events] == [
        "run_started",
        "input_selected",
        "step_started",
        "step_finished",
        "balance",
        "published",
        "run_finished",
    ]
    assert {(each["level"], each["job"], each["run"]) for each in events} == {("INFO", "a-job", events[0]["run"])}
    times = [datetime.fromisoformat(each["time"]) for each in events]
    assert times == sorted(times) and all(each.tzinfo for each in times)
    assert events[4]["text"] == "1 read = 1 written to songs + 0 quarantined"


def metrics_in(line: dict[str, Any]) -> dict[str, Any]:
    """The metrics that CloudWatch makes of a line of the log, with what it must find beside them."""
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE
    assert [line[name] for name in directive["Dimensions"][0]] == ["a-job", "local"]
    assert abs(line["_aws"]["Timestamp"] / 1000 - datetime.fromisoformat(line["time"]).timestamp()) < 60
    return {each["Name"]: line[each["Name"]] for each in directive["Metrics"]}


def test_the_last_line_of_the_log_carries_the_runs_metrics(job: Runner) -> None:
    def main(run: Run, lake: Lake) -> None:
        run.report.metrics["CostUSD"] = Decimal("0.30")
        write_one(run, lake, Balance(read=4, written={"songs": 1}, filtered={"other": 2}, quarantined=1))

    metrics = metrics_in(job(main).last)
    assert 0 < metrics.pop("RunSeconds") < 300
    assert metrics == {
        "RowsRead": 4,
        "RowsWritten": 1,
        "RowsFiltered": 2,
        "RowsQuarantined": 1,
        "CostUSD": 0.3,
        "RunSucceeded": 1,
        "RunFailed": 0,
    }


def test_a_run_that_fails_before_its_balance_has_no_rows_to_tell_but_that_it_failed(job: Runner) -> None:
    def main(run: Run, lake: Lake) -> None:
        raise ExportError("the thing: the rule; the remedy")

    metrics = metrics_in(job(main).last)
    assert (metrics["RunSucceeded"], metrics["RunFailed"]) == (0, 1)
    assert not [name for name in metrics if name.startswith("Rows")]


def test_the_rows_of_a_stream_are_told_batch_by_batch_and_not_once_more_at_its_end(job: Runner) -> None:
    def main(run: Run, lake: Lake) -> None:
        for number in (1, 2):
            run.report.batch_written(Balance(read=5, written={"x": 4}, quarantined=1), batch=number)
        write_one(run, lake)

    events = job(main).events
    batches = [metrics_in(each)["RowsRead"] for each in events if each["event"] == "batch_written"]
    assert batches == [5, 5]
    assert set(metrics_in(events[-1])) == {"RunSeconds", "RunSucceeded", "RunFailed"}


def test_the_person_at_the_console_is_told_what_came_out(job: Runner, tmp_path: Path) -> None:
    told = job(write_one).stderr
    assert "a-job succeeded: 1 read = 1 written to songs" in told
    assert f"1 rows → {tmp_path / LIVE}" in told


def test_a_balance_that_does_not_close_fails_before_anything_is_published(job: Runner, tmp_path: Path) -> None:
    assert job(write_one).code == 0
    before = (tmp_path / LIVE).stat()
    finished = job(lambda run, lake: write_one(run, lake, Balance(read=3, written={"songs": 1})))
    assert finished.code == 1
    assert "the balance does not close: 3 read ≠ 1 written" in finished.stderr
    assert finished.last["event"] == "run_failed"
    assert (tmp_path / LIVE).stat() == before
    assert not (tmp_path / "_staging/a-job" / finished.last["run"]).exists()


def test_nothing_is_published_without_a_balance(job: Runner, tmp_path: Path) -> None:
    def main(run: Run, lake: Lake) -> None:
        publish(run, lake, lake.draft(song_rows(run.spark, SONGS_CSV, {}), SONGS_CSV, run.run_date))

    finished = job(main)
    assert finished.code == 1
    assert "a run publishes only after it has settled its balance" in finished.last["error"]
    assert not (tmp_path / LIVE).exists()


def test_more_quarantined_than_the_limit_fails_the_run_after_writing(job: Runner, tmp_path: Path) -> None:
    def main(run: Run, lake: Lake) -> None:
        quarantine(run, lake, rejected(run.spark, "a", "b", "b"), "tests")
        write_one(run, lake, Balance(read=4, written={"songs": 1}, quarantined=3))

    failed = job(main, "--max_quarantined", "2")
    assert failed.code == 1
    assert (tmp_path / LIVE).exists()
    folder = tmp_path / "quarantine/tests" / failed.last["run"]
    assert failed.stderr.strip().startswith(
        f"3 records are in quarantine, more than the limit of 2; look at {folder}, correct the source, or raise"
    )
    assert failed.event("quarantined")["reasons"] == {"b": 2, "a": 1}
    summary = summary_of(tmp_path)
    assert (summary["state"], summary["quarantine"]) == ("FAILED", str(folder))
    assert [each["rows"] for each in summary["outputs"]] == [1]

    succeeded = job(main, "--max_quarantined=3")
    assert succeeded.code == 0
    assert f"quarantine → {tmp_path}/quarantine/tests/{succeeded.last['run']}" in succeeded.stderr


def test_an_error_that_was_foreseen_is_one_line_without_a_stack_trace(job: Runner, tmp_path: Path) -> None:
    def main(run: Run, lake: Lake) -> None:
        raise ExportError("the thing: the rule; the remedy")

    finished = job(main)
    assert (finished.code, finished.stderr) == (1, "the thing: the rule; the remedy\n")
    assert finished.last["event"] == "run_failed" and finished.last["level"] == "ERROR"
    assert finished.last["error"] == "the thing: the rule; the remedy"
    assert summary_of(tmp_path)["error"] == "the thing: the rule; the remedy"
    assert files_below(tmp_path) == [f"runs/a-job/{finished.last['run']}.json"]


class OfATest(CatlakeError):
    """An error that is defined outside the library."""


@pytest.mark.parametrize("kind", [ExportError, EncodingError, OfATest])
def test_an_error_within_a_task_is_told_as_if_it_were_the_drivers(kind: type[CatlakeError], job: Runner) -> None:
    message = "f.json.gz: the rule\n\n (of  two) ;\nthe remedy"

    def main(run: Run, lake: Lake) -> None:
        def fail(rows: Any) -> Any:
            raise kind(message)

        run.spark.range(1).mapInArrow(fail, "id long").collect()

    finished = job(main)
    assert finished.last["error"] == " ".join(line.strip() for line in message.splitlines() if line)
    assert finished.stderr == f"{finished.last['error']}\n"


def test_an_error_of_a_task_that_is_not_catlakes_keeps_its_stack_trace(job: Runner) -> None:
    def main(run: Run, lake: Lake) -> None:
        def fail(rows: Any) -> Any:
            raise ValueError("catlake.runtime.errors.ExportError is but a word here")

        run.spark.range(1).mapInArrow(fail, "id long").collect()

    assert "(unexpected; the stack trace is above)" in job(main).last["error"]


def write_rows(run: Run, lake: Lake, rows: int, also: str | None = None) -> None:
    """A job that publishes so many rows, before that perhaps as another dataset, too."""
    found = song_rows(run.spark, SONGS_CSV, *({"song_id": f"u{number}"} for number in range(rows)))
    staged = lake.draft(found, SONGS_CSV, run.run_date)
    run.report.settle(Balance(read=rows, written={"songs": rows}))
    more = [replace(staged, target=lake.path(also), replaces=None)] if also else []
    publish(run, lake, *more, staged)


def test_a_result_of_fewer_than_half_of_the_rows_published_last_is_not_published(job: Runner, tmp_path: Path) -> None:
    assert job(lambda run, lake: write_rows(run, lake, 5)).code == 0
    before = (tmp_path / LIVE).read_bytes()
    failed = job(lambda run, lake: write_rows(run, lake, 2))
    assert failed.last["error"] == (
        f"songs: 2 rows would replace the 5 of {tmp_path / LIVE}, fewer than --max_shrink 0.5 "
        "allows; nothing is published; look for an emptied, filtered or wrong input, or give --max_shrink none if it "
        "is right"
    )
    assert (tmp_path / LIVE).read_bytes() == before
    assert job(lambda run, lake: write_rows(run, lake, 2), "--max_shrink", "0.6").code == 0


def test_the_file_of_another_day_is_what_was_published_last(job: Runner, tmp_path: Path) -> None:
    def of_day(day: int, rows: int) -> Finished:
        def main(run: Run, lake: Lake) -> None:
            run.arguments = {**run.arguments, "run_date": date(2025, 11, day)}
            write_rows(run, lake, rows)

        return job(main)

    assert of_day(20, 3).code == 0
    assert f"1 rows would replace the 3 of {tmp_path / LIVE}" in of_day(21, 1).last["error"]
    # What is newer is not replaced by an older day's.
    assert of_day(19, 1).code == 0


def test_when_one_result_has_shrunk_none_of_the_run_is_published(job: Runner, tmp_path: Path) -> None:
    assert job(lambda run, lake: write_rows(run, lake, 3)).code == 0
    failed = job(lambda run, lake: write_rows(run, lake, 1, also="music/other.csv"))
    assert "1 rows would replace the 3" in failed.last["error"]
    assert [name for name in files_below(tmp_path) if name.startswith("music/")] == [LIVE]


def test_an_error_that_was_not_foreseen_keeps_its_stack_trace(job: Runner) -> None:
    def main(run: Run, lake: Lake) -> None:
        raise KeyError("x")

    finished = job(main)
    assert finished.code == 1
    assert 'raise KeyError("x")' in finished.stderr
    assert finished.last["error"] == "KeyError: 'x' (unexpected; the stack trace is above)"


class Somebody:
    """The value of an argument that names a person."""

    def __str__(self) -> str:
        return "***"

    def hidden_in(self, value: Any) -> Any:
        return value.replace("ana@x.co", "***")


@pytest.mark.parametrize("kind", [ExportError, ValueError])
def test_no_error_of_a_run_shows_the_person_whom_an_argument_names(
    kind: type[Exception], job: Runner, tmp_path: Path
) -> None:
    def main(run: Run, lake: Lake) -> None:
        raise kind("where pk = 'ana@x.co'")

    person = Argument("person", lambda _: Somebody(), is_personal=True)
    failed = job(main, "--person", "ana@x.co", declared=(person,))
    assert "where pk = '***'" in failed.last["error"]
    assert "ana@x.co" not in f"{failed.events}{failed.stderr}{summary_of(tmp_path)}"


def test_an_interrupted_run_says_so(job: Runner) -> None:
    def main(run: Run, lake: Lake) -> None:
        raise KeyboardInterrupt

    finished = job(main)
    assert finished.code == 1
    assert finished.last["error"] == "interrupted; nothing more is published; run the job again"
    assert explain(ValueError("x")) is None


def test_a_wrong_argument_ends_the_run_before_it_starts_and_writes_nothing(job: Runner, tmp_path: Path) -> None:
    finished = job(write_one, "--limit", "many", declared=(Argument("limit", whole_number),))
    assert finished.code != 0
    assert finished.stderr == "--limit 'many': must be a whole number, 0 or more\n"
    assert [each["event"] for each in finished.events] == ["run_failed"]
    assert finished.last["error"] == "--limit 'many': must be a whole number, 0 or more"
    assert files_below(tmp_path) == []


class Closed(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_nobody_reads_any_more_does_not_change_the_outcome(
    stream: str, job: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(run: Run, lake: Lake) -> None:
        monkeypatch.setattr(sys, stream, Closed())
        write_one(run, lake)

    assert job(main).code == 0
    assert (tmp_path / LIVE).exists()
    assert summary_of(tmp_path)["state"] == "SUCCEEDED"


def test_a_message_is_the_last_line_though_nobody_reads_the_log(
    job: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def main(run: Run, lake: Lake) -> None:
        monkeypatch.setattr(sys, "stdout", Closed())
        raise ExportError("the thing: the rule; the remedy")

    assert job(main).stderr == "the thing: the rule; the remedy\n"
    assert summary_of(tmp_path)["error"] == "the thing: the rule; the remedy"


def test_glues_own_run_id_names_the_run(job: Runner, tmp_path: Path) -> None:
    assert job(write_one, "--JOB_RUN_ID=jr_1", "--JOB_RUN_ID=jr_2").last["run"] == "jr_2"
    assert (tmp_path / "runs/a-job/jr_2.json").exists()


def test_a_run_whose_id_is_no_safe_name_removes_nothing_and_does_not_start(job: Runner, tmp_path: Path) -> None:
    draft = tmp_path / "_staging/a-job/live/part-0"
    draft.parent.mkdir(parents=True)
    draft.write_text("half")
    for given in ("", ".", "..", "../other-job", "a/b", "jr_" + "f" * 126):
        finished = job(write_one, f"--JOB_RUN_ID={given}")
        assert finished.code != 0
        assert finished.stderr == f"--JOB_RUN_ID {given!r}: must be 1 to 128 letters, digits, '.', '_' or '-'\n"
    assert job(write_one, "--JOB_RUN_ID", "--enable-metrics").stderr == (
        "--JOB_RUN_ID has no value; write --JOB_RUN_ID=<value>\n"
    )
    assert files_below(tmp_path) == [str(draft.relative_to(tmp_path))]


def test_s3a_has_the_region_of_the_environment_unless_spark_has_one(
    job: Runner, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def region_of_s3a(**variables: str) -> Any:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert job(write_one).code == 0
        return hadoop.get(S3A_REGION)

    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    before = hadoop.get(S3A_REGION)
    try:
        hadoop.unset(S3A_REGION)
        assert region_of_s3a() is None
        assert region_of_s3a(AWS_REGION="eu-south-2", AWS_DEFAULT_REGION="us-west-1") == "eu-south-2"
        assert region_of_s3a(AWS_REGION="us-west-1") == "eu-south-2"
        hadoop.unset(S3A_REGION)
        assert region_of_s3a(AWS_DEFAULT_REGION="sa-east-1") == "sa-east-1"
    finally:
        hadoop.set(S3A_REGION, before) if before else hadoop.unset(S3A_REGION)


def test_times_are_utc_whatever_the_session_was_set_to(job: Runner, spark: SparkSession) -> None:
    found = {}

    def main(run: Run, lake: Lake) -> None:
        row = run.spark.sql("SELECT current_timezone(), timestamp '2025-08-04'").select(F.col("current_timezone()"))
        found["zone"] = row.collect()[0][0]

    spark.conf.set("spark.sql.session.timeZone", "America/Bogota")
    assert job(main).code == 0
    assert found == {"zone": "UTC"}


def test_the_run_date_is_the_arguments(job: Runner) -> None:
    found = {}

    def main(run: Run, lake: Lake) -> None:
        found["date"] = run.run_date

    assert job(main).code == 0
    assert found == {"date": date(2025, 11, 20)}


def test_after_success_java_goes_on_to_print_even_if_the_warm_up_does_not_end(
    job: Runner, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A later job may use the same Java.
    class Endless:
        def join(self, timeout: float) -> None:
            pass

        def is_alive(self) -> bool:
            return True

    monkeypatch.setattr("catlake.job.SparkContext", SimpleNamespace(_active_spark_context=None))
    monkeypatch.setattr("catlake.job.import_pandas", lambda: None)
    monkeypatch.setattr("catlake.job.warm_up", lambda _: Endless())
    jvm: Any = spark.sparkContext._jvm
    before = jvm.System.err
    assert job(write_one).code == 0
    assert jvm.System.err.equals(before)
