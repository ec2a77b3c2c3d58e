"""The local runner as a person meets it: real processes and signals, small scripts in place of Spark jobs."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from argparse import Namespace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catlake.contracts.contract import contract
from catlake.runtime.environment import environment, environment_names
from deploy.workflows import conversations, purchases, purchases_report
from local import cli as local
from local.cli import main
from local.duckdb_catalog import CATALOG
from tests.purchases.tree import event, write

ROOT = Path(__file__).parents[2]
LOCAL = environment("local")

# A whole run with the project's own workflow; only the jobs are others.
DRIVER = """
import signal
import sys
from pathlib import Path
from catlake.runtime.environment import environment_with
from deploy.workflows import WORKFLOWS
from local.job_processes import ProcessRunner
from local.side_by_side import PlannedRun, run_lanes

# A shell lets what it starts in the background ignore it, and who tests may be one of those.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

lake, script, workflows, crawler = Path(sys.argv[1]), *sys.argv[2:]
LOCAL = environment_with("local", {"crawler": crawler == "True"})

def planned(name):
    workflow = WORKFLOWS[name](LOCAL)
    buckets = {job.name: lake / job.arguments["--lake_uri"].removeprefix("s3://") for job in workflow.jobs}
    commands = {name: [sys.executable, "-u", script, name, str(bucket)] for name, bucket in buckets.items()}
    bucket = buckets[workflow.jobs[0].name]
    return PlannedRun(workflow, LOCAL, lake, bucket, lake / "_logs" / "run", commands, f"{name}:")

# Lanes are apart by a slash, the workflows of a lane by a comma.
lanes = [[planned(name) for name in lane.split(",")] for lane in workflows.split("/")]
sys.exit(run_lanes(lanes, ProcessRunner(grace=2)))
"""

SUMMARY = """
import json, pathlib, sys
job, lake = sys.argv[1], pathlib.Path(sys.argv[2])
runs = lake / "runs" / job
runs.mkdir(parents=True)
dataset = {"local-compras-ingest": "compras_json", "cat-local-etl2-parquet": "curated_conversations"}.get(job)
outputs = [{"dataset": dataset, "rows": 1, "bytes": 9, "uri": "compras"}] if dataset else []
balance = {"read": 3, "written": {"users": 2}, "filtered": {"register": 1}, "quarantined": 0}
(runs / "r1.json").write_text(json.dumps({"job": job, "run": "r1", "outputs": outputs, "balance": balance}))
print(json.dumps({"event": "run_finished", "job": job, "run": "r1"}))
"""

FAILURE = """
print('{"event": "run_failed", "run": "r1", "error": "the export is unfinished"}')
raise SystemExit(1)
"""

ENDLESS = 'print(\'{"event": "run_started", "run": "r1"}\'); import time; time.sleep(60)'


def published_lake(root):
    """A lake whose second job has published a table that satisfies its contract."""
    (curated,) = conversations(LOCAL).jobs[1].access.writes
    types = {"string": pa.string(), "int": pa.int32(), "date": pa.date32(), "bigint": pa.int64()}
    columns = contract(curated).columns
    schema = pa.schema([(each.name, types[each.catalog_type]) for each in columns])
    folder = root / "lake" / LOCAL.bucket / str(contract(curated).table_folder)
    folder.mkdir(parents=True)
    pq.write_table(schema.empty_table(), folder / "data.parquet")
    return root / "lake"


@pytest.fixture
def lake(tmp_path):
    return published_lake(tmp_path)


@pytest.fixture(scope="module")
def lake_after_a_run(tmp_path_factory):
    """A lake to ask questions of; nothing changes it."""
    lake = published_lake(tmp_path_factory.mktemp("run"))
    assert finish(start(lake, SUMMARY))[0] == 0
    return lake


def start(lake, source, workflow="conversations", crawler=False, **options):
    """The driver as a process, with every job running `source`."""
    script = lake / "job.py"
    script.write_text(textwrap.dedent(source), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'lib'}", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(lake), str(script), workflow, str(crawler)],
        env=environment,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options},
    )


def finish(process):
    out, _ = process.communicate(timeout=30)
    return process.returncode, out


def test_a_run_shows_progress_then_each_jobs_balance_and_the_table(lake):
    code, out = finish(start(lake, SUMMARY))
    assert code == 0, out
    progress, _, end = out.partition("\n\n")
    assert "cat-local-etl1-normalize RUNNING" in progress
    assert "cat-local-etl2-parquet | run_finished" in progress
    assert end.count("3 read = 2 written to users + 1 filtered (register) + 0 quarantined") == 3
    assert re.search(r"cat-local-etl2-parquet: SUCCEEDED (.*\n)+?    cat_local_analytics_db.data: 0 rows, in ", end)
    assert (lake / CATALOG).is_file()
    assert (lake / "_logs" / "run" / "cat-local-etl1-normalize.log").is_file()


def test_a_failed_job_ends_the_run_with_its_message_and_an_error_code(lake):
    code, out = finish(start(lake, FAILURE))
    assert code == 1
    assert out.partition("\n\n")[2].splitlines()[1:] == [
        "    the export is unfinished",
        "cat-local-etl2-parquet: NOT STARTED",
        "    needs cat-local-etl1-normalize",
        "cat-local-conversations-pages: NOT STARTED",
        "    needs cat-local-etl2-parquet",
    ]


def test_workflows_of_two_lanes_run_at_once_and_show_one_summary_each(lake):
    # Each job waits for the first one of the other lane.
    meet = """
        import pathlib, sys, time
        here, there = ("a", "b") if "compras" in sys.argv[1] else ("b", "a")
        pathlib.Path(here).touch()
        end = time.monotonic() + 10
        while not pathlib.Path(there).exists():
            assert time.monotonic() < end, "the other lane has not begun"
            time.sleep(0.02)
        """
    code, out = finish(start(lake, meet, "conversations/purchases-backfill,purchases-report", cwd=lake))
    assert code == 0, out
    assert out.index("local-compras-report RUNNING") > out.index("local-compras-backfill SUCCEEDED")
    for job in ("cat-local-etl1-normalize", "local-compras-backfill", "local-compras-report"):
        assert out.count(f"\n{job}: SUCCEEDED") == 1


def test_after_a_failure_in_one_lane_no_lane_begins_another_workflow(lake):
    fails_first = """
        import sys, time
        time.sleep(0 if "compras" in sys.argv[1] else 1)
        sys.exit("no" if "compras" in sys.argv[1] else 0)
        """
    code, out = finish(start(lake, fails_first, "tokens-archival,tokens/purchases-backfill,purchases-report"))
    assert code == 1
    assert "local-compras-backfill: FAILED" in out
    assert "cat-local-tokens-archival: SUCCEEDED" in out
    assert "tokens:" not in out.splitlines()
    assert "purchases-report:" not in out.splitlines()
    # Said last: the last summary is that of a workflow that went well.
    assert re.fullmatch(r"failed: \S+; not begun: .+", out.splitlines()[-1])


def test_an_error_in_one_lane_is_reported_while_another_lane_runs(lake):
    # The first lane cannot read the summary of its job; the second lane goes on until that was reported.
    source = """
        import json, pathlib, sys, time
        job, runs = sys.argv[1], pathlib.Path(sys.argv[2]) / "runs" / sys.argv[1]
        if job == "local-compras-backfill":
            runs.mkdir(parents=True)
            (runs / "r1.json").write_text("{")
            print(json.dumps({"event": "run_finished", "job": job, "run": "r1"}))
        else:
            end = time.monotonic() + 20
            while not pathlib.Path("reported").exists() and time.monotonic() < end:
                time.sleep(0.02)
            sys.exit(not pathlib.Path("reported").exists())
        """
    process = start(lake, source, "purchases-backfill/tokens-archival", cwd=lake)
    for line in process.stdout:
        if "JSONDecodeError" in line:
            break
    (lake / "reported").touch()
    code, out = finish(process)
    assert code == 1
    assert "cat-local-tokens-archival: SUCCEEDED" in out


def test_a_crawler_registers_its_table_and_fails_where_that_was_not_published(lake):
    code, out = finish(start(lake, SUMMARY, crawler=True))
    assert code == 0, out
    assert re.search(r"cat-local-curated-crawler: SUCCEEDED .*\n    cat_local_analytics_db.data: 0 rows, in ", out)
    shutil.rmtree(lake / LOCAL.bucket / "runs")
    (lake / LOCAL.bucket / "reports/etl-process2/data.parquet/data.parquet").unlink()
    code, out = finish(start(lake, SUMMARY, crawler=True))
    assert code == 1
    assert "cat-local-curated-crawler: no Parquet file in" in out


def test_the_table_of_what_a_job_published_is_registered(lake):
    write(lake / LOCAL.purchases_bucket, event("INSERT", "c1", "2025-07-13T10:30:00", tenant="_demo"))
    code, out = finish(start(lake, SUMMARY, "purchases"))
    assert code == 0, out
    assert re.search(
        r"local-compras-ingest: SUCCEEDED .*\n    local-compras-datacatalog.compras_json: 1 rows, in ", out
    )
    assert "3 read = 2 written to users + 1 filtered (register) + 0 quarantined" in out
    done = sql(lake, "SELECT tenant_id FROM compras_json;")
    assert done.returncode == 0, done.stderr
    assert "_demo" in done.stdout


def test_a_table_that_cannot_be_registered_fails_the_run_and_says_why(lake):
    code, out = finish(start(lake, SUMMARY, "purchases"))
    assert code == 1
    assert "    table compras_json cannot be registered: no document in " in out


def test_a_table_of_a_job_that_failed_is_left_as_it_was(lake):
    write(lake / LOCAL.purchases_bucket, event("INSERT", "c1", "2025-07-13T10:30:00"))
    assert finish(start(lake, FAILURE, "purchases"))[0] == 1
    assert not (lake / CATALOG).exists()


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_stops_the_jobs_and_says_so(lake, number, code, word):
    process = start(lake, ENDLESS)
    for line in process.stdout:
        if "run_started" in line:
            break
    began = time.monotonic()
    process.send_signal(number)
    ended, out = finish(process)
    assert (ended, time.monotonic() - began < 10) == (code, True), out
    assert f"{word}: the running jobs were stopped" in out
    assert "cat-local-etl1-normalize: STOPPED" in out
    assert "cat-local-etl2-parquet: NOT STARTED" in out


def test_on_a_terminal_the_progress_is_a_table_in_place(lake):
    ours, theirs = pty.openpty()
    process = start(lake, FAILURE, stdout=theirs, stderr=theirs, text=False)
    os.close(theirs)
    screen = b""
    try:
        while chunk := os.read(ours, 65536):
            screen += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert process.wait(10) == 1
    shown = screen.decode()
    assert "last event" in shown
    assert "\x1b[" in shown
    assert "    the export is unfinished" in shown


def test_an_export_that_does_not_exist_is_one_clear_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(local, "_check_built", lambda _: None)
    export, lake = tmp_path / "nowhere", tmp_path / "lake"
    assert main(["run", "conversations", "--lake", str(lake), "--export", str(export)]) == 2
    assert capsys.readouterr().err == (
        f"error: --export {export}: no such folder; give a DynamoDB export or a folder of exports\n"
    )
    assert not lake.exists()


def test_a_folder_of_events_that_does_not_exist_is_one_clear_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(local, "_check_built", lambda _: None)
    assert main(["run", "purchases", "--lake", str(tmp_path / "lake"), "--source", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == (
        f"error: --source {tmp_path / 'nowhere'}: no such folder; give a folder of events\n"
    )


@pytest.mark.parametrize(("workflow", "option"), [("purchases", "--export"), ("conversations", "--source")])
def test_a_place_that_no_job_of_the_workflow_reads_is_refused(workflow, option, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(local, "_check_built", lambda _: None)
    assert main(["run", workflow, "--lake", str(tmp_path / "lake"), option, str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {option}: no job of {workflow} reads one; leave it out\n"


@pytest.mark.parametrize("option", ["--export", "--source"])
def test_a_place_to_read_from_is_given_for_one_workflow_at_a_time(option, tmp_path, capsys):
    assert main(["run", "purchases", "tokens", option, str(tmp_path)]) == 2
    assert f"{option}: goes with one workflow; run them one by one" in capsys.readouterr().err


@pytest.mark.parametrize("run_date", ["2025-8-4", "20250804", "2025-02-30", "2025-W31-1", "yesterday"])
def test_a_run_date_that_is_no_date_is_refused(run_date, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "conversations", "--export", str(tmp_path / "none"), "--run_date", run_date])
    assert f"--run_date: {run_date!r} is not a date; write YYYY-MM-DD" in capsys.readouterr().err


def test_an_unknown_workflow_is_told_which_there_are(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "conversation"])
    assert "conversations" in capsys.readouterr().err


def test_a_lake_must_be_a_folder_of_this_machine(tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    assert main(["run", "conversations", "--lake", "s3://bucket"]) == 2
    assert main(["run", "conversations", "--lake", str(file)]) == 2
    assert "--lake s3://bucket: must be a folder" in capsys.readouterr().err


def made(target, folder, program, *variables, **environment):
    """What a recipe prints whose program is another; nothing is set up."""
    for name in ("Makefile", "tools/catlake.pth"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "local").mkdir()
    (folder / "local/__main__.py").write_text(program)
    done = subprocess.run(
        ["make", "--silent", "--old-file=setup", target, f"PY={sys.executable}", *variables],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


@pytest.mark.parametrize("lake", ["my lake", 'it\'s "my" lake; echo no', "-lake", "`lake`"])
@pytest.mark.parametrize("target", ["run", "sql"])
def test_make_hands_over_the_lake_as_it_was_given(target, lake, tmp_path):
    program = "import sys; print(*(text for text in sys.argv if text.startswith('--lake')))"
    assert made(target, tmp_path, program, f"LAKE={lake}") == {f"--lake={lake}"}


def test_make_compiles_modules_once_whatever_the_shell_says(tmp_path):
    program = "import sys; print(sys.dont_write_bytecode)"
    assert made("sql", tmp_path, program, PYTHONDONTWRITEBYTECODE="1") == {"False"}


def test_an_empty_lake_is_refused(capsys):
    assert main(["sql", "--lake", ""]) == 2
    assert capsys.readouterr().err == "error: --lake: is empty; give the folder that holds the buckets\n"


def test_a_project_that_is_not_set_up_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(local, "ROOT", tmp_path)
    assert main(["run", "conversations", "--lake", str(tmp_path / "lake")]) == 2
    assert "run `make setup`" in capsys.readouterr().err


def test_a_library_that_was_built_of_other_sources_says_what_to_do(tmp_path, capsys, monkeypatch):
    (tmp_path / "dist").mkdir()
    shutil.copy(ROOT / "dist/catlake.zip", tmp_path / "dist")
    monkeypatch.setattr(local, "ROOT", tmp_path)
    assert main(["run", "conversations", "--lake", str(tmp_path / "lake")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/dist/catlake.zip ") and said.count("\n") == 1
    assert "make package" in said
    assert not (tmp_path / "lake").exists()


def arguments(job, lake, **options):
    """What `local run` gives a job, without JOB_NAME."""
    return local._arguments(job, lake, Namespace(**{"export": None, "source": None, "run_date": None, **options}))


def test_jobs_are_given_folders_for_buckets_and_what_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    normalize, curate, _ = conversations(LOCAL).jobs
    given = arguments(normalize, tmp_path / "lake", export="exports", run_date="2025-09-01")
    assert given["--lake_uri"] == str(tmp_path / "lake" / LOCAL.bucket)
    assert given["--export_uri"] == str(tmp_path / "exports")
    assert given["--run_date"] == "2025-09-01"
    assert "--export_uri" not in arguments(curate, tmp_path / "lake", export="exports")


def test_without_an_export_the_samples_of_the_project_are_read_and_s3_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    normalize, *_ = conversations(LOCAL).jobs
    assert arguments(normalize, tmp_path)["--export_uri"] == str(ROOT / "tests/data/samples/catia")
    assert arguments(normalize, tmp_path, export="s3://b/x")["--export_uri"] == "s3://b/x"


def test_a_bucket_is_a_folder_of_the_lake_and_the_purchases_have_one_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (ingest,), (report, page) = purchases(LOCAL).jobs, purchases_report(LOCAL).jobs
    bucket = tmp_path / "lake" / "local-compras-backup-s3-bucket"
    given = arguments(ingest, tmp_path / "lake")
    assert given["--lake_uri"] == str(bucket)
    assert given["--source_uri"] == str(ROOT / "tests/data/samples/purchases")
    assert given["--checkpoint_uri"] == f"{bucket}/checkpoints/compras-ingest"
    assert arguments(report, tmp_path / "lake")["--lake_uri"] == str(bucket)
    # The pages of all workflows are in one folder.
    assert arguments(page, tmp_path / "lake")["--lake_uri"] == str(bucket)
    assert arguments(page, tmp_path / "lake")["--pages_uri"] == str(tmp_path / "lake" / LOCAL.bucket / "reports/pages")
    assert arguments(ingest, tmp_path / "lake", source="events")["--source_uri"] == str(tmp_path / "events")


@pytest.mark.parametrize("name", environment_names())
def test_in_any_environment_a_laptop_ends_and_leaves_the_catalog_of_aws_alone(name, tmp_path):
    (ingest,) = purchases(environment(name)).jobs
    given = arguments(ingest, tmp_path)
    assert (given["--environment"], given["--catalog"], given["--trigger"]) == (name, "none", "available_now")
    assert given["--source_uri"] == str(ROOT / "tests/data/samples/purchases")
    assert given["--lake_uri"].startswith(str(tmp_path))
    normalize, *_ = conversations(environment(name)).jobs
    assert "--max_export_age_hours" not in arguments(normalize, tmp_path)


def sql(lake, statement="", *options):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'lib'}"}
    return subprocess.run(
        [sys.executable, "-m", "local", "sql", "--lake", str(lake), *options],
        input=statement,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_prompt_says_what_there_is_and_finds_it_by_short_names(lake_after_a_run):
    done = sql(
        lake_after_a_run,
        "SELECT count(*) AS users FROM data; FROM conversations_kpis; FROM columns_of('data') LIMIT 1;",
    )
    assert done.returncode == 0, done.stderr
    assert re.findall("^  (\\w+)  +[A-Z]", done.stderr, re.MULTILINE) == ["data", "quarantine", "runs"]
    # Those whose tables no run has made are left out, and so are examples that would not run.
    assert "Queries of deploy/sql, each a view: catalog_columns, conversations_kpis, conversations_val" in done.stderr
    assert "  SELECT pipeline, reason, count(*) FROM quarantine" in done.stderr
    assert "purchases_current" not in done.stderr
    assert re.search("users.*Total Usuarios.*usuario_id .* Id of the user", done.stdout, re.DOTALL)


def test_the_prompt_has_the_runs_and_the_quarantine_as_tables(lake):
    assert finish(start(lake, SUMMARY))[0] == 0
    assert "0" in sql(lake, ".mode csv\nSELECT count(*) FROM quarantine;").stdout
    kept = lake / LOCAL.bucket / "quarantine" / "purchases" / "stream" / "batch-0"
    kept.mkdir(parents=True)
    (kept / "part.json").write_text('{"file": "f", "line": 3, "reason": "no JSON", "raw": "{"}\n', encoding="utf-8")
    asked = "SELECT job, run, read, written, filtered, quarantined FROM runs ORDER BY job; FROM quarantine;"
    assert sql(lake, f".mode csv\n.headers off\n{asked}").stdout.splitlines() == [
        "cat-local-conversations-pages,r1,3,2,1,0",
        "cat-local-etl1-normalize,r1,3,2,1,0",
        "cat-local-etl2-parquet,r1,3,2,1,0",
        "purchases,stream/batch-0,f,3,no JSON,{",
    ]


def test_a_file_of_athenas_sql_is_answered_as_it_is_a_views_too(lake_after_a_run, tmp_path):
    view = tmp_path / "a.view.sql"
    view.write_text("-- Words.\nCREATE OR REPLACE VIEW cat_{env}_x AS SELECT '{env}' AS e FROM data", encoding="utf-8")
    done = sql(lake_after_a_run, "", "--file", str(view))
    assert (done.returncode, done.stderr) == (0, "")
    assert "e" in done.stdout
    query = ROOT / "deploy/sql/conversations_kpis.sql"
    assert "Total Conversaciones" in sql(lake_after_a_run, "", "--file", str(query)).stdout


def test_a_file_that_cannot_be_answered_is_an_error_of_one_line(lake_after_a_run, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    for file, content in (
        ("two.sql", b"SELECT 1; SELECT 2"),
        ("empty.sql", b""),
        ("comment.sql", b"-- Nothing yet.\n"),
        ("table.sql", b"CREATE TABLE x (a INT)"),
        ("quote.sql", b"SELECT 'a"),
        ("latin.sql", "SELECT 'ñ'".encode("latin-1")),
    ):
        (tmp_path / file).write_bytes(content)
    refused = "error: {file}: the local catalog refuses a statement: "
    for file, refusal in (
        ("none.sql", f"error: --file {tmp_path}/none.sql: no such file; give one of deploy/sql\n"),
        ("folder", f"error: --file {tmp_path}/folder: is no file; give one of deploy/sql\n"),
        ("two.sql", f"{refused}it must be one statement, and holds 2; correct its SQL\n"),
        ("empty.sql", f"{refused}it must be one statement, and holds 0; correct its SQL\n"),
        ("comment.sql", f"{refused}it must be one statement, and holds 0; correct its SQL\n"),
        ("table.sql", f"{refused}it must be a query, or create a view; correct its SQL\n"),
        ("quote.sql", refused),
        ("latin.sql", "error: {file}: it is not UTF-8; save it as UTF-8\n"),
    ):
        assert main(["sql", "--lake", str(lake_after_a_run), "--file", str(tmp_path / file)]) == 2
        told = capsys.readouterr().err
        assert told.startswith(refusal.replace("{file}", str(tmp_path / file))) and told.count("\n") == 1
    # What DuckDB refuses ends its own process.
    assert sql(lake_after_a_run, "", "--file", str(ROOT / "deploy/sql/tokens_by_day.sql")).returncode == 1


def test_the_prompt_only_reads(lake_after_a_run):
    assert "read-only" in sql(lake_after_a_run, "CREATE TABLE x (a INT);").stderr


def test_without_a_lake_the_prompt_says_how_to_make_one(tmp_path, capsys):
    assert main(["sql", "--lake", str(tmp_path)]) == 2
    assert "does not exist yet; `make run` makes the lake and its catalog" in capsys.readouterr().err


def test_the_pages_are_found_and_where_there_are_none_it_says_how_to_make_them(tmp_path, capsys):
    assert local.main(["open", "--path", "--lake", str(tmp_path)]) == 2
    assert f"no page is there yet; run `make run LAKE={tmp_path}`" in capsys.readouterr().err
    assert local.main(["open", "--path", "--lake", f"{tmp_path}/a b", "--environment", "prod"]) == 2
    assert f"run `make run LAKE='{tmp_path}/a b' ENV=prod`" in capsys.readouterr().err
    index = tmp_path / LOCAL.bucket / "reports" / "pages" / "index.html"
    index.parent.mkdir(parents=True)
    index.touch()
    assert local.main(["open", "--path", "--lake", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"pages: {index}\n"
