"""All jobs on one lake: their inputs, their arguments, and which results are whose."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bedrock.genuine import BEDROCK
from tests.jobs.running import CURATE, NORMALIZE, SAMPLE, RunScript, arguments_of, command, environment
from tests.places import Place, copy

ARCHIVE, CONSOLIDATE, INGEST, REPORT = "tokens_archive", "tokens_consolidate", "purchases_ingest", "purchases_report"
SCRIPTS = (NORMALIZE, CURATE, ARCHIVE, CONSOLIDATE, INGEST, REPORT)
OF_TABLES = ("tokens_view", "tables_maintain", "purchases_backfill")
"""Jobs that work with the tables of the catalog alone: after them all results are as before."""
OLD = b"yesterday's"
PAGE = re.compile(rb'<script type="application/json" id="data">(.*?)</script>.*</html>\s*$', re.DOTALL)
TABLES = "tables/"
"""The folder of the kept tables. Their files name the lake: in another one, the jobs make the tables anew."""


def given(script: str, root: str) -> dict[str, object]:
    """The arguments of a script on a lake that has its inputs too."""
    large = {"large_messages_uri": f"{root}/in/large_messages"}
    all_given: dict[str, dict[str, object]] = {
        NORMALIZE: {"environment": "prod", "export_uri": f"{root}/in/catia"},
        ARCHIVE: {"export_uri": f"{root}/in/old_table", **large},
        CONSOLIDATE: {"export_uri": f"{root}/in/new_table", **large},
        INGEST: {"source_uri": f"{root}/in/purchases", "checkpoint_uri": f"{root}/checkpoint"},
    }
    return all_given.get(script, {})


def land(place: Place) -> None:
    """Puts the inputs of all jobs into a place."""
    copy(SAMPLE, place, "in/catia")
    for name in ("old_table", "new_table", "large_messages"):
        copy(BEDROCK / name, place, f"in/{name}")
    for file in sorted((SAMPLE.parent / "purchases").glob("events-*.jsonl")):
        place.put(f"in/purchases/{file.name}", file.read_bytes())


def run_all(run: RunScript, place: Place) -> None:
    """Runs all jobs, one after the other, on a lake that has their inputs too.

    Hadoop's client does not repeat a request whose body breaks off while it skips a part of it. Glue repeats the
    task; on one machine the job ends, and is run again.
    """
    for script in (*SCRIPTS, *OF_TABLES):
        done = run(script, place.root, **given(script, place.root))
        if done.code and "S3: Premature end" in done.last["error"]:
            done = run(script, place.root, **given(script, place.root))
        assert done.code == 0, f"{script}: {done.stderr}"


def results(place: Place) -> dict[str, bytes]:
    """The results by their paths: without what killed runs leave, where no reader looks, and without kept tables.

    Around its data a page names the lake and the run: of a whole one, the data are the result.
    """
    apart = ("in/", "runs/", "quarantine/", "checkpoint/", TABLES, "_")
    found = {name: content for name, content in place.tree().items() if not name.startswith(apart) and "/." not in name}
    return {name: data[1] if (data := PAGE.search(content)) else content for name, content in found.items()}


def quarantined(place: Place) -> Counter[tuple[str, str, str]]:
    """The records in quarantine by pipeline; which run and which task put them there is left to chance."""
    lines = (
        (name.split("/")[0], json.loads(line))
        for name, content in place.tree("quarantine").items()
        if name.endswith(".json")
        for line in content.decode().split("\n")[:-1]
    )
    return Counter(
        (pipeline, record["reason"].replace(place.root, ""), record.get("raw", "")) for pipeline, record in lines
    )


@dataclass(frozen=True)
class Undisturbed:
    """What undisturbed runs of all jobs give.

    Attributes:
        tree: All files of the lake.
        results: The results.
        of_script: The names of the results of each script.
        events: The number of lines that each script logs.
        quarantined: The records in quarantine.
    """

    tree: Mapping[str, bytes]
    results: Mapping[str, bytes]
    of_script: Mapping[str, frozenset[str]]
    events: Mapping[str, int]
    quarantined: Mapping[tuple[str, str, str], int]

    @classmethod
    def on(cls, place: Place, run: RunScript) -> "Undisturbed":
        """Runs all jobs on an empty place."""
        land(place)
        of_script: dict[str, frozenset[str]] = {}
        events = {}
        for script in SCRIPTS:
            before = results(place).keys()
            done = run(script, place.root, **given(script, place.root))
            assert done.code == 0, f"{script}: {done.stderr}"
            of_script[script] = frozenset(results(place).keys() - before)
            events[script] = len(done.events)
        return cls(place.tree(), results(place), of_script, events, quarantined(place))

    def lay_before(self, script: str, place: Place) -> None:
        """Fills a place with what is there before a run of a script: all other results, and old ones of its own."""
        own = self.of_script[script]
        for name, content in self.tree.items():
            if (
                name in own
                or name.startswith(TABLES)
                or any(name.startswith(f"_checksums/{result}/") for result in own)
            ):
                continue
            if script == INGEST and name.startswith(("checkpoint/", "quarantine/purchases/", "runs/")):
                continue
            place.put(name, content)
        if script != INGEST:
            for name in own:
                place.put(name, OLD)

    def half_visible(self, script: str, place: Place) -> list[str]:
        """The results of a script that are neither the old nor the new ones."""
        found = results(place)
        wrong = [name for name in self.of_script[script] if found.get(name, OLD) not in (OLD, self.results[name])]
        return [f"{name} is neither old nor new" for name in wrong]

    def other_than(self, place: Place) -> list[str]:
        """What is not as undisturbed runs leave it."""
        found = results(place)
        names = {name for name in found.keys() | self.results.keys() if found.get(name) != self.results.get(name)}
        problems = [f"{name} is not as undisturbed" for name in sorted(names)]
        # A killed run may have a quarantine of its own: the same records.
        same = quarantined(place).keys() == self.quarantined.keys()
        return problems if same else [*problems, "the quarantine is not as undisturbed"]


class Started:
    """A job that was started by spark-submit, with its output."""

    def __init__(self, script: str, place: Place, **more: object) -> None:
        self._process = subprocess.Popen(
            command(script, *arguments_of(script, place.root, **more)),
            env=environment(**place.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        self.lines: list[str] = []

    def wait_for_events(self, number: int) -> None:
        """Waits until it has logged so many events, or has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            number -= line.startswith("{")
            if number <= 0:
                return

    def kill(self) -> None:
        """Kills it with all its processes."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def end(self) -> str:
        """Waits for its end; returns what went wrong."""
        self.wait_for_events(10**6)
        if self._process.wait() == 0:
            return ""
        errors = [json.loads(line).get("error") for line in self.lines if line.startswith("{")]
        return str(errors[-1] if errors else self.lines[-1:])
