"""Which cities the regular expression `--excluded_cities` leaves out.

Arrow's RE2 searches. Its time grows with the length of a city and with nothing else; the engines of Java and of Python
can take for ever over a city of sixty letters.
"""

import pyarrow as pa
import pyarrow.compute as pc

from catlake.runtime.errors import ArgumentError, one_line


def checked_pattern(pattern: str | None) -> str | None:
    """A regular expression, if it is one. Raises ArgumentError."""
    if pattern == "":
        raise ArgumentError("--excluded_cities '': would leave every city out; write none to leave out none")
    try:
        are_excluded(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        reason = one_line(str(error)).removeprefix("Invalid regular expression: ")
        raise ArgumentError(
            f"--excluded_cities {pattern!r}: must be a regular expression of RE2, which has no look-ahead, no "
            f"back-reference and no possessive repetition: {reason}"
        ) from None
    return pattern


def are_excluded(cities: pa.Array, pattern: str | None) -> pa.Array:
    """Whether a pattern is found in each city, without regard to case, beyond ASCII too; None is found nowhere."""
    if pattern is None:
        return pa.repeat(pa.scalar(False), len(cities))
    return pc.match_substring_regex(cities, pattern, ignore_case=True)
