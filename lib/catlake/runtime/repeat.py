"""Repeats what fails in passing, with growing pauses, within a bound of attempts and of time."""

import random
from collections.abc import Callable, Iterator
from time import sleep
from typing import TypeVar

PAUSES = 10
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds. All pauses together take at most 33."""

T = TypeVar("T")


def pauses() -> Iterator[float]:
    """The seconds to wait before each further attempt; each about twice the last, in part by chance."""
    for number in range(PAUSES):
        # By chance, so that callers that failed together do not try again together.
        yield random.uniform(0.5, 1) * min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)


def repeated(action: Callable[[], T], passes: Callable[[Exception], bool]) -> T:
    """Calls a function again while it fails with an error that `passes`; raises any other error, and the last one."""
    for pause in pauses():
        try:
            return action()
        except Exception as error:
            if not passes(error):
                raise
        sleep(pause)
    return action()
