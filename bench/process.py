"""What a command took: its output, its peak memory and its CPU time, its child processes included (Linux)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.1
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    output: str
    errors: str
    peak_bytes: int
    cpu_seconds: float


def run_measured(command: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """Run a command to its end, looking at its process tree ten times a second."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak_bytes = 0
    cpu_ticks: dict[int, int] = {}
    while True:
        tree = list(_tree(process.pid))
        peak_bytes = max(peak_bytes, sum(_memory_bytes(pid) for pid in tree))
        cpu_ticks |= {pid: ticks for pid in tree if (ticks := _cpu_ticks(pid))}
        try:
            output, errors = process.communicate(timeout=SAMPLE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        cpu_seconds = sum(cpu_ticks.values()) / TICKS_A_SECOND
        return Finished(process.returncode, output, errors, peak_bytes, cpu_seconds)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _text(children).split():
            yield from _tree(int(child))


def _memory_bytes(pid: int) -> int:
    # Proportional: a page that forked workers share counts once, not once a worker.
    for line in _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu_ticks(pid: int) -> int:
    # The name, in parentheses, may hold blanks; user and system time are the 12th and 13th field after it.
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended in between
        return ""
