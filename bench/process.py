"""What a command took: its time, its CPU time and its peak memory, with all processes that it started (Linux).

CPU time is the kernel's own account of all processes that were waited for (`RUSAGE_CHILDREN`), so that no short-lived
one is missed; this process adopts what a command leaves behind, and waits for it. The kernel has no account of those
whose parent ignores that they end, as Spark's daemon does with its Python workers: of them the last look counts.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.1
SHARE_OF_SAMPLING = 0.05
"""Of the time at most: to add up the pages of some gigabytes takes the kernel many milliseconds."""

GRACE_SECONDS = 30.0
"""How long the processes that a command leaves behind may go on."""

_PR_SET_CHILD_SUBREAPER = 36


class BenchError(Exception):
    """A measurement that is not valid; one line says why."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended, and what it took."""

    output: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run_measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end.

    Raises:
        BenchError: It failed; with the last line that it wrote.
    """
    # Orphans of the command become children of this process.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    others = set(_children(os.getpid()))
    cpu_before, start, peak_bytes = _children_cpu_seconds(), time.perf_counter(), 0
    unaccounted: dict[int, float] = {}
    # Files, not pipes: this loop measures memory, and would empty a pipe too late.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        try:
            while process.poll() is None:
                looked = time.perf_counter()
                tree = dict(_tree(process.pid))
                peak_bytes = max(peak_bytes, sum(map(_memory_bytes, tree)))
                for pid, parent in tree.items():
                    # A process that has just ended shows no time any more.
                    if _ignores_children(parent) and (cpu_seconds := _cpu_seconds(pid)):
                        unaccounted[pid] = cpu_seconds
                took = time.perf_counter() - looked
                time.sleep(max(SAMPLE_SECONDS, took / SHARE_OF_SAMPLING))
            seconds = time.perf_counter() - start
        finally:
            # Also at Ctrl-C: nothing goes on in the background.
            for pid in _end_children(process, others):
                unaccounted.pop(pid, None)
        cpu_seconds = _children_cpu_seconds() - cpu_before + sum(unaccounted.values())
        output.seek(0)
        errors.seek(0)
        text, complaint = output.read(), errors.read()
    if process.returncode:
        last = (complaint.strip() or text.strip()).rpartition("\n")[2]
        raise BenchError(f"{' '.join(command[:8])} …: code {process.returncode}: {last}")
    return Finished(text, seconds, cpu_seconds, peak_bytes)


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end_children(process: subprocess.Popen[bytes], others: Container[int]) -> list[int]:
    """Waits for all children but the others, returns them; kills them after the grace, or if the command goes on."""
    ended = []
    deadline = time.monotonic() + (GRACE_SECONDS if process.poll() is not None else 0.0)
    while True:
        children = [child for child in _children(os.getpid()) if child not in others]
        for child in children:
            with suppress(ChildProcessError):
                if os.waitpid(child, os.WNOHANG)[0]:
                    ended.append(child)
        if not children:
            break
        if time.monotonic() > deadline:
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    process.poll()
    return ended


def _tree(pid: int, parent: int = 0) -> Iterator[tuple[int, int]]:
    """A process and all below it, each with its parent."""
    yield pid, parent
    for child in _children(pid):
        yield from _tree(child, pid)


def _children(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, _text(children).split())


def _memory_bytes(pid: int) -> int:
    # Proportional: a page that forked workers share counts once, not once a worker.
    for line in _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _ignores_children(pid: int) -> bool:
    ignored = re.search(r"^SigIgn:\s*([0-9a-f]+)$", _text(Path(f"/proc/{pid}/status")), re.MULTILINE)
    return bool(ignored and int(ignored[1], 16) >> (signal.SIGCHLD - 1) & 1)


def _cpu_seconds(pid: int) -> float:
    # The name, in parentheses, may hold blanks; the 12th to 15th field after it are times, also of its children.
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended in between
        return ""
