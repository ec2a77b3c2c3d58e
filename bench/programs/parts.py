"""Times the parts of a program."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Parts:
    """The seconds of each part, and the CPU seconds of this process in all of them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Times a part."""
        start, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu
