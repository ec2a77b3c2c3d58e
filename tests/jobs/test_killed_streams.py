"""A stream that is killed again and again gives byte for byte what an undisturbed one gives (SPEC 4.1 and 5).

`CATLAKE_KILLS=50` kills as often as that; without it a few times, as often as CI can wait for.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.running import command, environment, packaged, spark_submit
from tests.purchases.records import image, line, purchase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("CATLAKE_KILLS", "5"))
SEED = int(os.environ.get("CATLAKE_KILLS_SEED", "20251120"))
EVENTS = 3000
MOMENTS = (
    # After the stream has begun: in its first batch, which takes longest.
    ('"event": "input_selected"', 6.0),
    # After a batch: in the checkpoint of that one, or anywhere in the next.
    ('"event": "batch_written"', 1.5),
)
"""What a life's end is counted from, and at most how many seconds later it comes."""


def events(generator: random.Random) -> list[bytes]:
    """Events of some tenants, replays of earlier ones, and some that belong in quarantine."""
    made: list[bytes] = []
    for number in range(EVENTS):
        made.append(purchase(number, f"tienda-{number % 7}", eventName=generator.choice(["INSERT", "MODIFY"])))
        if generator.random() < 0.1:
            made.append(generator.choice(made))
        if generator.random() < 0.02:
            made.append(b'{"truncated": %d' % number)
        if generator.random() < 0.02:
            made.append(line(image(tenant_id={"S": "../../etc"}), eventID=f"hostile-{number}"))
    return made


class Feeder:
    """Lands events in a folder, some at a time, while it is told to."""

    def __init__(self, folder: Path, lines: Sequence[bytes], generator: random.Random) -> None:
        self._folder, self._lines, self._generator = folder, list(lines), generator
        self._numbers = count()
        folder.mkdir()

    def land(self, at_most: int) -> None:
        taken, self._lines = self._lines[:at_most], self._lines[at_most:]
        if taken:
            name = f"{next(self._numbers):05}.jsonl"
            hidden = self._folder / f".{name}"
            hidden.write_bytes(b"".join(each + b"\n" for each in taken))
            hidden.rename(self._folder / name)

    def land_until(self, stopped: threading.Event, share: int) -> None:
        until = len(self._lines) - share
        # Spread over the whole life, so that there is always a batch to be in the middle of.
        while not stopped.wait(0.25) and len(self._lines) > until:
            self.land(self._generator.randint(1, max(2, share // 20)))

    def land_the_rest(self) -> None:
        while self._lines:
            self.land(200)


def arguments(root: Path, lake: str, trigger: str) -> list[str]:
    pairs = {
        "JOB_NAME": "local-compras-ingest",
        "lake_uri": root / lake,
        "source_uri": root / "in",
        "checkpoint_uri": root / f"{lake}-checkpoint",
        "trigger": trigger,
    }
    return [text for name, value in pairs.items() for text in (f"--{name}", str(value))]


def run_and_kill(root: Path, feeder: Feeder, generator: random.Random, share: int) -> None:
    """Starts the stream, lands events while it runs, and kills it and all its processes."""
    event, longest = generator.choice(MOMENTS)
    process = subprocess.Popen(
        command("purchases_ingest", *arguments(root, "killed", "continuous")),
        env=environment(),
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


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def quarantine(lake: Path) -> list[tuple[str, int, str]]:
    texts = [path.read_text() for path in lake.glob("quarantine/purchases/*/*/*.json")]
    records = (json.loads(each) for text in texts for each in text.split("\n")[:-1])
    return sorted((Path(each["file"]).name, each["line"], each["reason"]) for each in records)


def total(lake: Path) -> dict[str, Any]:
    (file,) = lake.glob("runs/*/streams/*.json")
    found: dict[str, Any] = json.loads(file.read_text())["total"]
    return found


def test_a_stream_killed_at_any_moment_gives_the_tree_of_an_undisturbed_one(tmp_path: Path) -> None:
    packaged()
    generator = random.Random(SEED)
    lines = events(generator)
    feeder = Feeder(tmp_path / "in", lines, random.Random(SEED + 1))
    for _ in range(KILLS):
        run_and_kill(tmp_path, feeder, generator, max(20, len(lines) // (KILLS + 1)))
    feeder.land_the_rest()
    for lake in ("killed", "undisturbed"):
        done = spark_submit("purchases_ingest", *arguments(tmp_path, lake, "available_now"))
        assert done.code == 0, done.stderr
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    expected = tree(undisturbed / "compras")
    assert len(expected) == EVENTS
    assert tree(killed / "compras") == expected
    assert quarantine(killed) == quarantine(undisturbed)
    read = len(lines)
    rejected = len(quarantine(undisturbed))
    assert total(killed) == total(undisturbed) == {"read": read, "written": read - rejected, "quarantined": rejected}
    assert not list(killed.joinpath("compras").rglob(".*"))
