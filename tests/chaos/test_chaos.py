"""Kills, pairs at once, faults of S3 and hostile values: nothing is lost, doubled, mixed or half-visible.

`make chaos` makes as many rounds as fit into its time, and writes the figures into docs/reliability.md.
"""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from catlake.runtime.files import LocalFiles
from tests.chaos.figures import Figures, rounds
from tests.chaos.whole_jobs import (
    CONSOLIDATE,
    INGEST,
    REPORT,
    SCRIPTS,
    Started,
    Undisturbed,
    given,
    land,
    quarantined,
    results,
    run_all,
)
from tests.fault_proxy import CONFLICT, KINDS, fault_proxy
from tests.hostile_values import VALUES, tried
from tests.jobs.running import NORMALIZE, RunScript, packaged
from tests.lake.publishing import TARGETS, Stopped, publish
from tests.lake.publishing import Place as Published
from tests.lake.test_event_conflicts import BATCHES, Killed, KilledAt, Lake, counts
from tests.places import Bucket, Folder, Place
from tests.purchases.records import image, line
from tests.s3 import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SEED = int(os.environ.get("CATLAKE_CHAOS_SEED", "20251120"))
ONE_IN = 12
"""One in so many requests to S3 fails."""

Seconds = Callable[[float], float]


@pytest.fixture(scope="module", autouse=True)
def package() -> None:
    packaged()


@pytest.fixture
def undisturbed(request: pytest.FixtureRequest, run: RunScript) -> Undisturbed:
    """The results of all jobs, made once."""
    made: Undisturbed | None = getattr(request.module, "_undisturbed", None)
    if made is None:
        folder = request.getfixturevalue("tmp_path_factory").mktemp("undisturbed")
        made = Undisturbed.on(Folder(folder), run)
        request.module._undisturbed = made
    return made


def test_jobs_are_killed_anywhere_and_the_next_run_gives_what_an_undisturbed_one_gives(
    figures: Figures, seconds: Seconds, undisturbed: Undisturbed, run: RunScript, tmp_path: Path
) -> None:
    if not seconds(1):
        pytest.skip("tests/jobs/test_killed_runs.py does that")
    generator = random.Random(SEED)
    for number in rounds(seconds(0.38), 1):
        script = SCRIPTS[number % len(SCRIPTS)]
        place = Folder(tmp_path / str(number))
        undisturbed.lay_before(script, place)
        killed = Started(script, place, **given(script, place.root))
        killed.wait_for_events(generator.randrange(1, undisturbed.events[script]))
        time.sleep(generator.choice((0, generator.uniform(0, 0.05), generator.uniform(0, 2))))
        killed.kill()
        problems = undisturbed.half_visible(script, place)
        done = run(script, place.root, **given(script, place.root))
        problems += [done.stderr] if done.code else undisturbed.other_than(place)
        figures.add("kills", f"`{script}`, whole, at any moment", problems)
    assert figures.new_problems() == []


def test_publishing_is_killed_before_and_after_each_move(figures: Figures, seconds: Seconds, tmp_path: Path) -> None:
    for number in rounds(seconds(0.05), 1):
        move, after = number % len(TARGETS), bool(number // len(TARGETS) % 2)
        place = Published(str(tmp_path / str(number)))
        publish(place, "old")
        Stopped(place, "killed", tmp_path, moves=move, after=after).kill()
        with place.lake("next").staging():
            found = place.results()
        problems = [] if set(found) == {"killed"} else [f"move {move}: {found}"]
        figures.add("kills", "publishing, before and after each move", problems)
    assert figures.new_problems() == []


def test_batches_of_a_stream_are_killed_at_each_change(figures: Figures, seconds: Seconds, tmp_path: Path) -> None:
    generator = random.Random(SEED)
    for number in rounds(seconds(0.03), 20):
        batches = BATCHES[:] if number == 0 else [_events(generator) for _ in range(3)]
        calm = Lake(LocalFiles(), str(tmp_path / f"calm-{number}"))
        expected = [counts(calm.write("s", f"batch-{batch}", events)) for batch, events in enumerate(batches)]
        lake = Lake(LocalFiles(), str(tmp_path / f"killed-{number}"))
        found, kills = [], 0
        for batch, events in enumerate(batches):
            try:
                lake.write("s", f"batch-{batch}", events, KilledAt(generator.randrange(12), generator.random() < 0.5))
            except Killed:
                kills += 1
            found.append(counts(lake.write("s", f"batch-{batch}", events, may_repeat=True)))
        same = (lake.documents(), lake.records("s"), found) == (calm.documents(), calm.records("s"), expected)
        figures.add("kills", "batches of a stream, at each change of a file", [] if same else ["other"], kills)
    assert figures.new_problems() == []


def _events(generator: random.Random) -> list[tuple[str, bytes]]:
    return [(generator.choice("abcd"), b"%d" % generator.randrange(6)) for _ in range(8)]


def test_runs_publish_at_once(figures: Figures, seconds: Seconds, tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for number in rounds(seconds(0.05), 1):
            place = Published(str(tmp_path / "lake"))
            told = [pool.submit(publish, place, f"{name}-{number}") for name in "ab"]
            problems = [message for one in told if (message := one.result())]
            if len(set(place.results())) != 1:
                problems.append(f"mixed: {place.results()}")
            figures.add("pairs at once", "publishing of one set of results", problems)
    assert figures.new_problems() == []


ANOTHER_RUN = "another run has changed the table meanwhile, and this one has changed nothing; run the job again"

OTHERWISE: Mapping[str, Mapping[str, object]] = {
    # Without the large messages, their conversations are rejected.
    CONSOLIDATE: {"large_messages_uri": None},
    REPORT: {"environment": "prod"},
    NORMALIZE: {"excluded_cities": "none", "first_date": "none"},
}
"""Another way to run a job, whose results differ from the usual ones."""


def test_jobs_run_at_once_and_one_of_them_has_all_results(
    figures: Figures, seconds: Seconds, undisturbed: Undisturbed, run: RunScript, s3: S3Server, tmp_path: Path
) -> None:
    sets = {}
    refused: Counter[str] = Counter()
    for number in rounds(seconds(0.22), 1):
        script = list(OTHERWISE)[number % len(OTHERWISE)]
        place: Place = Folder(tmp_path / str(number)) if number % 2 == 0 else Bucket(s3)
        if script not in sets:
            usual = {name: undisturbed.results[name] for name in undisturbed.of_script[script]}
            sets[script] = usual, _otherwise(undisturbed, script, run, tmp_path / script)
        undisturbed.lay_before(script, place)
        ways: tuple[Mapping[str, object], ...] = ({}, OTHERWISE[script])
        pair = [Started(script, place, **{**given(script, place.root), **more}) for more in ways]
        problems = [message for started in pair if (message := started.end())]
        # Of two that change one table at a time, the second may have to come again.
        if len(problems) == 1 and ANOTHER_RUN in problems[0]:
            problems.clear()
            refused[script] += 1
        found = {name: content for name, content in results(place).items() if name in undisturbed.of_script[script]}
        if found not in sets[script]:
            problems.append("the results are of both runs")
        if place.names("_staging"):
            problems.append("drafts are left")
        note = f"{refused[script]} times the second ended with one line" if refused[script] else ""
        figures.add("pairs at once", f"`{script}`, whole", problems, note=note)
    assert figures.new_problems() == []


def _otherwise(undisturbed: Undisturbed, script: str, run: RunScript, folder: Path) -> dict[str, bytes]:
    """The results of a script that runs alone, in the other way."""
    place = Folder(folder)
    undisturbed.lay_before(script, place)
    done = run(script, place.root, **{**given(script, place.root), **OTHERWISE[script]})
    assert done.code == 0, done.stderr
    return {name: content for name, content in results(place).items() if name in undisturbed.of_script[script]}


def test_two_ingests_write_one_lake_at_once(figures: Figures, seconds: Seconds, tmp_path: Path) -> None:
    if not seconds(1):
        pytest.skip("tests/lake/test_event_conflicts.py forces that")
    for number in rounds(seconds(0.06), 1):
        generator = random.Random(SEED + number)
        place = Folder(tmp_path / str(number))
        # The same names, and in both streams other contents of many of them.
        for stream in "ab":
            lines = [_event(name, generator.randrange(3)) for name in range(120)]
            place.put(f"in-{stream}/events.jsonl", b"\n".join(lines))
        pair = [
            Started(
                INGEST,
                place,
                lake_uri=f"{place.root}/lake",
                source_uri=f"{place.root}/in-{stream}",
                checkpoint_uri=f"{place.root}/checkpoint-{stream}",
            )
            for stream in "ab"
        ]
        problems = [message for started in pair if (message := started.end())]
        totals = [
            json.loads(content)["total"] for name, content in place.tree("lake/runs").items() if "/streams/" in name
        ]
        stored = len(place.names("lake/compras"))
        records = [name for name in place.names("lake/quarantine") if name.endswith(".json")]
        sums = {name: sum(total[name] for total in totals) for name in ("read", "written", "quarantined")}
        if stored != 120:
            problems.append(f"{stored} documents")
        if sums["read"] != 240 or sums["quarantined"] != len(records):
            problems.append(f"{sums}, but {len(records)} records in quarantine")
        figures.add("pairs at once", "`purchases_ingest`, two streams with the same names", problems)
    assert figures.new_problems() == []


def _event(number: int, user: int) -> bytes:
    """An event whose name depends on the number alone."""
    item = image(compra_id={"S": f"c-{number}"}, user_id={"S": f"u-{user}"})
    return line(item, {"SequenceNumber": f"{number:021}"})


def test_all_jobs_give_the_same_bytes_though_requests_to_s3_fail(
    figures: Figures, seconds: Seconds, undisturbed: Undisturbed, run: RunScript, s3: S3Server, spark: SparkSession
) -> None:
    faults = 0
    for number in rounds(seconds(0.17), 1):
        place = Bucket(s3)
        land(place)
        with (
            fault_proxy(s3.endpoint, one_in=ONE_IN, seed=SEED + number, stall_seconds=0.2) as proxy,
            s3.reached_through(proxy.endpoint, spark),
        ):
            run_all(run, place)
        # With fewer the test would show nothing.
        assert {*proxy.faults} >= {*KINDS} - {CONFLICT} and proxy.faults.total() > 30  # few writes are conditional
        faults += proxy.faults.total()
        problems = undisturbed.other_than(place)
        if quarantined(place) != undisturbed.quarantined:
            problems.append("a record is in quarantine twice")
        if place.names("_staging"):
            problems.append("drafts are left")
        figures.add(
            "faults of S3",
            f"all jobs, while one request in {ONE_IN} fails: resets, lost answers, cut bodies, stalls, 500, 503, 409",
            problems,
            note=f"{faults:,} faults",
        )
    assert figures.new_problems() == []


def test_hostile_values_cost_themselves(figures: Figures, seconds: Seconds, tmp_path: Path) -> None:
    if not seconds(1):
        pytest.skip("tests/test_hostile_values.py does that")
    for number, value in enumerate(VALUES):
        folder = tmp_path / str(number)
        folder.mkdir()
        wrong = tried(value, folder).misses(value)
        figures.add(
            "hostile values", "in exports, maps, events, documents, cities and arguments", [wrong] if wrong else []
        )
    assert figures.new_problems() == []
