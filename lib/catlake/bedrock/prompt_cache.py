"""Bedrock's prompt cache: the tokens that a call reads from it and writes to it."""

from collections.abc import Iterable
from typing import NamedTuple

LIFE_MS = 5 * 60 * 1000
"""The time in milliseconds that a cached prefix lives after its last use."""


class CachePoint(NamedTuple):
    """The end of a prefix that a call asks to cache, and the tokens of the prefix."""

    name: str
    tokens: int


class PromptCache:
    """The prefixes that the calls of one conversation have cached so far, by model.

    Calls must come in the order of time.
    """

    def __init__(self) -> None:
        self._dead_after: dict[tuple[str, str], float] = {}

    def use(self, model: str, least: int, points: Iterable[CachePoint], time: float) -> tuple[int, int]:
        """Returns the tokens that a call reads from the cache, and those that it writes.

        A call reads its longest prefix that is still alive, and writes the rest up to its last point.

        Args:
            model: Each model has a cache of its own.
            least: The smallest prefix that is cached, in tokens.
            points: The call's cache points, in the order of the prompt, each name once.
            time: When the call is made, in milliseconds.
        """
        read = last = 0
        for name, tokens in points:
            if tokens >= least:
                if tokens > read and self._dead_after.get((model, name), -1.0) >= time:
                    read = tokens
                self._dead_after[model, name] = time + LIFE_MS
                last = tokens
        return read, max(last - read, 0)
