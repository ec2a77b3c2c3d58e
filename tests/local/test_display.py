"""What a person sees of a run."""

import io
import json
import sys

from rich.console import Console

from local.display import Display, Lines, event_text, live_table, seconds_text, summary
from local.workflow_run import Member

BALANCE = {
    "read": 9,
    "written": {"users": 5},
    "filtered": {"register": 2, "first_date": 1},
    "quarantined": 1,
}


def member(**changes):
    return Member(**{"name": "cat-local-a", "state": "SUCCEEDED", "started": 10.0, "finished": 18.3, **changes})


def test_an_event_is_its_name_and_its_plain_values():
    event = {"time": "t", "level": "INFO", "event": "read", "job": "a", "run": "r", "rows": 3, "files": ["x"]}
    assert event_text(event) == "read rows=3"
    assert event_text(None) == ""


def test_durations_are_easy_to_read():
    assert [seconds_text(each) for each in (None, 8.34, 60, 125.6)] == [
        "",
        "8.3 s",
        "1 min 00 s",
        "2 min 05 s",
    ]


def test_workflows_go_on_when_nobody_reads_their_lines_any_more(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    Display().print("a line")


def test_the_summary_has_rows_balance_paths_and_errors(tmp_path):
    runs = tmp_path / "runs" / "cat-local-a"
    runs.mkdir(parents=True)
    output = {"dataset": "normalized_conversations", "uri": "/lake/data.csv", "rows": 5, "bytes": 700}
    (runs / "r1.json").write_text(
        json.dumps({"outputs": [output], "balance": BALANCE, "quarantine": "/lake/quarantine/x"})
    )
    members = [
        member(run="r1"),
        member(name="b", state="FAILED", error="exit code 1\nno space left"),
        member(name="c", state="NOT STARTED", started=None, error="needs b SUCCEEDED"),
        member(name="crawler"),
    ]
    assert summary(members, tmp_path, {"crawler": ["db.data: 5 rows"]}).splitlines() == [
        "cat-local-a: SUCCEEDED 8.3 s",
        "    normalized_conversations: 5 rows, 700 bytes → /lake/data.csv",
        "    9 read = 5 written to users + 1 filtered (first_date) + 2 filtered (register) + 1 quarantined",
        "    quarantine: /lake/quarantine/x",
        f"    run: {runs / 'r1.json'}",
        "b: FAILED 8.3 s",
        "    exit code 1",
        "    no space left",
        "c: NOT STARTED",
        "    needs b SUCCEEDED",
        "crawler: SUCCEEDED 8.3 s",
        "    db.data: 5 rows",
    ]


def test_plain_lines_show_states_and_events(capsys):
    lines = Lines(print)
    lines.changed(member(state="RUNNING", finished=None))
    lines.reported(member(), {"event": "read", "rows": 3})
    lines.changed(member(state="FAILED", error="no export"))
    assert capsys.readouterr().out.splitlines() == [
        "cat-local-a RUNNING",
        "cat-local-a | read rows=3",
        "cat-local-a FAILED 8.3 s: no export",
    ]


def test_the_live_table_shows_each_member_with_its_last_event():
    members = [
        member(event={"event": "read", "rows": 3}),
        member(name="b", state="FAILED", error="[red] no\nmore"),
    ]
    console = Console(width=100)
    with console.capture() as screen:
        console.print(live_table(members))
    assert "read rows=3" in screen.get()
    assert "[red] no" in screen.get()  # a message is text, never markup
