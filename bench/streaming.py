"""Measures `purchases_ingest` as it streams: how many events a second it holds, and how soon each is a file.

`python -m bench.streaming` starts the job as a person would (spark-submit, `--trigger continuous`), lands events in
its folder at steady rates, and compares the time at which each event landed with the one at which its document was
written. Beside it, a single-threaded function in the manner of the old Lambda writes the same documents as fast as
it can. The tables go to `bench/STREAMING.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.process import BenchError
from bench.programs import plain_purchases
from bench.programs.parts import Parts
from bench.results import Conditions, markdown
from tests.samples.purchase_events import Stream, encode, ordinary

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "STREAMING.md"
LANDINGS_A_SECOND = 10
"""How often a file lands: what gathers events before them (Firehose, an application) does not write one a file."""

WARM_SECONDS = 15
LOST_AFTER = 60.0
HELD_WITHIN = 2.0
"""A rate is held when 99 of 100 events are files within so many seconds, from the first second to the last."""

RATES = (100, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000)
HEAD = ("events a second", "events", "median, s", "p99, s", "largest, s", "held")


@dataclass(frozen=True)
class Latencies:
    """Seconds from landing to file, of all events of one rate."""

    rate: int
    seconds: Sequence[float]

    def share(self, part: float) -> float:
        """The time within which so large a part of the events were files."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def held(self) -> bool:
        """Whether the rate is held."""
        return self.share(0.99) <= HELD_WITHIN

    def row(self) -> list[str]:
        """A line of the table."""
        figures = (f"{self.share(part):.2f}" for part in (0.5, 0.99, 1.0))
        return [f"{self.rate:,}", f"{len(self.seconds):,}", *figures, "yes" if self.held else "no"]


class StreamingJob:
    """The streaming job, running."""

    def __init__(self, folder: Path) -> None:
        self.landing, self.lake = folder / "landing", folder / "lake"
        self.landing.mkdir()
        self._log = (folder / "log").open("w+")
        command = [
            str(Path(sys.executable).parent / "spark-submit"),
            *("--py-files", str(ROOT / "dist/catlake.zip")),
            str(ROOT / "jobs/purchases_ingest.py"),
            *("--JOB_NAME", "bench", "--lake_uri", str(self.lake), "--trigger", "continuous"),
            *("--batch_seconds", "0.5"),
            *("--source_uri", str(self.landing), "--checkpoint_uri", str(folder / "checkpoint")),
        ]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SPARK_HOME")}
        self._process = subprocess.Popen(
            command, env=environment, stdout=self._log, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def documents(self) -> Iterator[tuple[str, float]]:
        """The sequence number of each document, and when it was written."""
        for folder, _, names in os.walk(self.lake / "compras"):
            for name in names:
                yield name.rpartition("_")[2].removesuffix(".json"), os.stat(f"{folder}/{name}").st_mtime

    def stop(self) -> None:
        """Ends it, as Glue does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def check(self) -> None:
        """Raises BenchError when the job has ended by itself."""
        if self._process.poll() is not None:
            self._log.seek(0)
            raise BenchError(f"the job ended: {self._log.read()[-2000:]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.streaming", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="how long each rate lasts")
    parser.add_argument("--rates", type=int, nargs="+", default=RATES)
    options = parser.parse_args(arguments)
    conditions = Conditions(("pyspark",))
    events = map(encode, ordinary(Stream(1), 10**9))
    measured: list[Latencies] = []
    with tempfile.TemporaryDirectory(prefix="catlake-bench-") as folder:
        job = StreamingJob(Path(folder))
        try:
            _warm(job, events)
            for rate in options.rates:
                measured.append(measure(job, events, rate, options.seconds))
                print(" | ".join(measured[-1].row()), flush=True)
                if not measured[-1].held:
                    break
        except BenchError as error:
            sys.exit(f"bench: {error}")
        finally:
            job.stop()
    lambda_rate = in_the_lambdas_manner(list(islice(events, 20_000)))
    RESULTS.write_text(
        report([latencies.row() for latencies in measured], options.seconds, lambda_rate, conditions), encoding="utf-8"
    )
    print(f"written: {RESULTS.relative_to(ROOT)}")


def measure(job: StreamingJob, events: Iterator[str], rate: int, seconds: int) -> Latencies:
    """Lands events at a rate, and waits until all are files."""
    landed = land(job, list(islice(events, rate * seconds)), rate)
    written = _wait(job, landed)
    return Latencies(rate, [written[number] - moment for number, moment in landed.items()])


def land(job: StreamingJob, events: Sequence[str], rate: int) -> Mapping[str, float]:
    """Lands events evenly over time; returns when each landed, by its sequence number."""
    size = max(1, rate // LANDINGS_A_SECOND)
    files = [events[start : start + size] for start in range(0, len(events), size)]
    numbers = [[json.loads(event)["dynamodb"]["SequenceNumber"] for event in file] for file in files]
    contents = ["\n".join(file) + "\n" for file in files]
    landed: dict[str, float] = {}
    start = time.time()
    for turn, (content, sequence) in enumerate(zip(contents, numbers, strict=True)):
        time.sleep(max(0.0, start + turn * size / rate - time.time()))
        name = f"{sequence[0]}.jsonl"
        (job.landing / f".{name}").write_text(content)
        (job.landing / f".{name}").rename(job.landing / name)
        moment = time.time()
        landed.update(dict.fromkeys(sequence, moment))
    return landed


def _warm(job: StreamingJob, events: Iterator[str]) -> None:
    # Its first batches compile their plans and start Python.
    landed = land(job, list(islice(events, WARM_SECONDS * 100)), 100)
    _wait(job, landed)


def _wait(job: StreamingJob, landed: Mapping[str, float]) -> Mapping[str, float]:
    deadline = time.time() + LOST_AFTER
    while True:
        job.check()
        written = {number: moment for number, moment in job.documents() if number in landed}
        if len(written) == len(landed):
            return written
        if time.time() > deadline:
            raise BenchError(f"{len(landed) - len(written)} of {len(landed)} events are no files after {LOST_AFTER} s")
        time.sleep(0.5)


def in_the_lambdas_manner(events: Sequence[str]) -> float:
    """Events a second of one thread that writes one document after the other, and checks nothing."""
    parts = Parts()
    with tempfile.TemporaryDirectory(prefix="catlake-bench-") as folder:
        landing = Path(folder, "landing")
        landing.mkdir()
        (landing / "events.jsonl").write_text("".join(f"{event}\n" for event in events), encoding="utf-8")
        plain_purchases.ingest(landing, Path(folder, "documents"), parts)
    return len(events) / parts.seconds["stream"]


def report(rows: Sequence[Sequence[str]], seconds: int, lambda_rate: float, conditions: Conditions) -> str:
    """The text of `STREAMING.md`."""
    parts = [
        "# Measured: events as they come",
        "Written by `python -m bench.streaming`; not edited by hand.",
        f"`purchases_ingest --trigger continuous` on this machine, from files that land {LANDINGS_A_SECOND} times a "
        f"second, {seconds} seconds at each rate, one after the other, until one is not held. Each event becomes a "
        f"file of its own. *Held*: 99 of 100 events are files within {HELD_WITHIN:.0f} seconds of landing.",
        markdown(HEAD, rows),
        f"A single thread in the manner of the old Lambda (json, boto3's TypeDeserializer, floats; nothing checked, "
        f"nothing counted, a killed one leaves half a file) writes {lambda_rate:,.0f} events a second.",
        f"{conditions} The events are made and landed on the same cores.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
