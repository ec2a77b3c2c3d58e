"""A stream that is killed gives byte for byte what an undisturbed one gives (docs/spec.md 4.1 and 5).

It is killed at chosen moments: in the middle of a batch, and between a batch and its note in the checkpoint.
`CATLAKE_KILLS=50` adds kills at random moments, up to that number.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.running import RunScript, command, environment, packaged
from tests.places import Bucket, Folder, Place
from tests.purchases.records import image, line, purchase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("CATLAKE_KILLS", "0"))
SEED = int(os.environ.get("CATLAKE_KILLS_SEED", "20251120"))
PATIENCE = 120
"""The number of seconds that any wait may take."""


def events(number_of: int, generator: random.Random) -> list[bytes]:
    """Events of some tenants, replays of earlier ones, and some that belong in quarantine."""
    lines: list[bytes] = []
    for number in range(number_of):
        lines.append(purchase(number, f"tienda-{number % 7}", eventName=generator.choice(["INSERT", "MODIFY"])))
        if generator.random() < 0.1:
            lines.append(generator.choice(lines))
        if generator.random() < 0.02:
            lines.append(b'{"truncated": %d' % number)
        if generator.random() < 0.02:
            lines.append(line(image(tenant_id={"S": "../../etc"}), eventID=f"hostile-{number}"))
    return lines


def land(place: Place, lines: list[bytes]) -> None:
    """Lands events in files of 50."""
    landed = len(place.names("in"))
    for number, start in enumerate(range(0, len(lines), 50), landed):
        place.put(f"in/{number:05}.jsonl", b"".join(text + b"\n" for text in lines[start : start + 50]))


def arguments(place: Place, lake: str, trigger: str) -> dict[str, str]:
    return {
        "JOB_NAME": "local-compras-ingest",
        "source_uri": f"{place.root}/in",
        "checkpoint_uri": f"{place.root}/{lake}-checkpoint",
        "trigger": trigger,
    }


@contextmanager
def stream(place: Place) -> Iterator["subprocess.Popen[str]"]:
    """A stream that is killed, with all its processes, at the end of the block."""
    given = {**arguments(place, "killed", "continuous"), "lake_uri": f"{place.root}/killed"}
    process = subprocess.Popen(
        command("purchases_ingest", *(text for name, value in given.items() for text in (f"--{name}", value))),
        env=environment(**place.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        yield process
        assert process.poll() is None, "the stream ended by itself"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


def wait_for_batch(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    if not any('"event": "batch_written"' in text for text in process.stdout):
        pytest.fail("the stream ended by itself")


def kill_in_a_batch(place: Place) -> None:
    """Kills a stream that has written some documents of its first batch."""
    before = len(place.names("killed/compras"))
    with stream(place):
        deadline = time.monotonic() + PATIENCE
        while len(place.names("killed/compras")) == before:
            assert time.monotonic() < deadline, "no document was written"
            time.sleep(0.01)


def kill_after_a_batch(place: Place) -> None:
    """Kills a stream that has written a batch: before its note in the checkpoint, or just after."""
    with stream(place) as process:
        wait_for_batch(process)


def kill_at_random(place: Place, lines: list[bytes], generator: random.Random) -> None:
    """Kills a stream that has written a batch, somewhere in the next one or after it."""
    with stream(place) as process:
        wait_for_batch(process)
        land(place, lines)
        time.sleep(generator.uniform(0, 1.5))


def quarantine(tree: Mapping[str, bytes]) -> list[tuple[str, int, str]]:
    files = [content.decode() for path, content in tree.items() if path.startswith("quarantine/purchases/")]
    records = (json.loads(record) for text in files for record in text.split("\n")[:-1])
    return sorted((Path(record["file"]).name, record["line"], record["reason"]) for record in records)


def total(tree: Mapping[str, bytes]) -> dict[str, Any]:
    (state,) = (content for path, content in tree.items() if fnmatch(path, "runs/*/streams/*.json"))
    counts: dict[str, Any] = json.loads(state)["total"]
    return counts


def documents(tree: Mapping[str, bytes]) -> dict[str, bytes]:
    # A kill may leave a half-written file on a folder, hidden from every reader.
    return {path: content for path, content in tree.items() if path.startswith("compras/") and "/." not in path}


@pytest.fixture
def finish(request: pytest.FixtureRequest, run: RunScript, place: Place) -> Callable[[str], Mapping[str, bytes]]:
    """Runs the ingest to the end, in the tests' own session; returns all files of its lake."""
    if isinstance(place, Bucket):
        request.getfixturevalue("s3").configure(request.getfixturevalue("spark"))

    def to_the_end(lake: str) -> Mapping[str, bytes]:
        done = run("purchases_ingest", f"{place.root}/{lake}", **arguments(place, lake, "available_now"))
        assert done.code == 0, done.stderr
        return place.tree(lake)

    return to_the_end


def test_a_killed_stream_gives_the_tree_of_an_undisturbed_one(
    place: Place, finish: Callable[[str], Mapping[str, bytes]]
) -> None:
    packaged()
    generator = random.Random(SEED)
    # A bucket takes longer for each event.
    number_of = 1500 if isinstance(place, Folder) else 600
    lines = events(number_of, generator)
    half = len(lines) // 2
    land(place, lines[:half])
    kill_in_a_batch(place)
    if isinstance(place, Folder):
        kill_after_a_batch(place)
    rest = lines[half:]
    for left in range(KILLS - 2, 0, -1):
        share = len(rest) // (left + 1)
        kill_at_random(place, rest[:share], generator)
        rest = rest[share:]
    land(place, rest)
    killed, undisturbed = finish("killed"), finish("undisturbed")
    expected = documents(undisturbed)
    assert len(expected) == number_of
    assert documents(killed) == expected
    assert quarantine(killed) == quarantine(undisturbed)
    read, rejected = len(lines), len(quarantine(undisturbed))
    expected_counts = {"read": read, "written": read - rejected, "repeated": 0, "quarantined": rejected}
    assert total(killed) == total(undisturbed) == expected_counts
