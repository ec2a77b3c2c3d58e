"""A stream that is killed again and again gives byte for byte what an undisturbed one gives.

`CATLAKE_KILLS=50` kills as often as that (on S3 half as often); without it a few times, as often as CI can wait for.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.running import command, environment, packaged, spark_submit
from tests.places import Folder, Place
from tests.purchases.records import image, line, purchase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("CATLAKE_KILLS", "4"))
SEED = int(os.environ.get("CATLAKE_KILLS_SEED", "20251120"))
MOMENTS = (
    # After the stream has begun: in its first batch, which takes longest.
    ('"event": "input_selected"', 6.0),
    # After a batch: in the checkpoint of that one, or anywhere in the next.
    ('"event": "batch_written"', 1.5),
)
"""What a life's end is counted from, and at most how many seconds later it comes."""


def events(number_of: int, generator: random.Random) -> list[bytes]:
    """Events of some tenants, replays of earlier ones, and some that belong in quarantine."""
    made: list[bytes] = []
    for number in range(number_of):
        made.append(purchase(number, f"tienda-{number % 7}", eventName=generator.choice(["INSERT", "MODIFY"])))
        if generator.random() < 0.1:
            made.append(generator.choice(made))
        if generator.random() < 0.02:
            made.append(b'{"truncated": %d' % number)
        if generator.random() < 0.02:
            made.append(line(image(tenant_id={"S": "../../etc"}), eventID=f"hostile-{number}"))
    return made


class Feeder:
    """Lands events, some at a time, while it is told to."""

    def __init__(self, place: Place, lines: Sequence[bytes], generator: random.Random) -> None:
        self._place, self._lines, self._generator = place, list(lines), generator
        self._numbers = count()

    def land(self, at_most: int) -> None:
        taken, self._lines = self._lines[:at_most], self._lines[at_most:]
        if taken:
            self._place.put(f"in/{next(self._numbers):05}.jsonl", b"".join(each + b"\n" for each in taken))

    def land_until(self, stopped: threading.Event, share: int) -> None:
        until = len(self._lines) - share
        # Spread over the whole life, so that there is always a batch to be in the middle of.
        while not stopped.wait(0.25) and len(self._lines) > until:
            self.land(self._generator.randint(1, max(2, share // 20)))

    def land_the_rest(self) -> None:
        while self._lines:
            self.land(200)


def arguments(place: Place, lake: str, trigger: str) -> list[str]:
    pairs = {
        "JOB_NAME": "local-compras-ingest",
        "lake_uri": f"{place.root}/{lake}",
        "source_uri": f"{place.root}/in",
        "checkpoint_uri": f"{place.root}/{lake}-checkpoint",
        "trigger": trigger,
    }
    return [text for name, value in pairs.items() for text in (f"--{name}", value)]


def run_and_kill(place: Place, feeder: Feeder, generator: random.Random, share: int) -> None:
    """Starts the stream, lands events while it runs, and kills it and all its processes."""
    event, longest = generator.choice(MOMENTS)
    process = subprocess.Popen(
        command("purchases_ingest", *arguments(place, "killed", "continuous")),
        env=environment(**place.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,
    )
    stopped = threading.Event()
    feeding = threading.Thread(target=feeder.land_until, args=(stopped, share))
    feeding.start()
    try:
        assert process.stdout is not None
        if not any(event in each for each in process.stdout):
            pytest.fail("the stream ended by itself")
        time.sleep(generator.uniform(0, longest))
        assert process.poll() is None, "the stream ended by itself"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        stopped.set()
        feeding.join()
        process.stdout.close()


def quarantine(tree: Mapping[str, bytes]) -> list[tuple[str, int, str]]:
    files = [content.decode() for path, content in tree.items() if path.startswith("quarantine/purchases/")]
    records = (json.loads(each) for text in files for each in text.split("\n")[:-1])
    return sorted((Path(each["file"]).name, each["line"], each["reason"]) for each in records)


def total(tree: Mapping[str, bytes]) -> dict[str, Any]:
    (state,) = (content for path, content in tree.items() if fnmatch(path, "runs/*/streams/*.json"))
    found: dict[str, Any] = json.loads(state)["total"]
    return found


def documents(tree: Mapping[str, bytes]) -> dict[str, bytes]:
    # A kill may leave a half-written file on a folder, hidden from every reader.
    return {path: content for path, content in tree.items() if path.startswith("compras/") and "/." not in path}


def test_a_stream_killed_at_any_moment_gives_the_tree_of_an_undisturbed_one(place: Place) -> None:
    packaged()
    generator = random.Random(SEED)
    # A bucket takes longer for each event, and there the same moments are met more slowly.
    number_of, kills = (3000, KILLS) if isinstance(place, Folder) else (600, (KILLS + 1) // 2)
    lines = events(number_of, generator)
    feeder = Feeder(place, lines, random.Random(SEED + 1))
    # A folder is there once it has a file.
    feeder.land(1)
    for _ in range(kills):
        run_and_kill(place, feeder, generator, max(20, len(lines) // (kills + 1)))
    feeder.land_the_rest()
    for lake in ("killed", "undisturbed"):
        done = spark_submit("purchases_ingest", *arguments(place, lake, "available_now"), **place.environment)
        assert done.code == 0, done.stderr
    killed, undisturbed = place.tree("killed"), place.tree("undisturbed")
    expected = documents(undisturbed)
    assert len(expected) == number_of
    assert documents(killed) == expected
    assert quarantine(killed) == quarantine(undisturbed)
    read, rejected = len(lines), len(quarantine(undisturbed))
    assert total(killed) == total(undisturbed) == {"read": read, "written": read - rejected, "quarantined": rejected}
