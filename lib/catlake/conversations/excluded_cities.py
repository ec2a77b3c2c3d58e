"""Finds the cities that the regular expression `--excluded_cities` leaves out.

The engine is Arrow's RE2, whose time grows only with the length of the city. The engines of Java and Python can take
years over a city of sixty letters.
"""

import pyarrow as pa
import pyarrow.compute as pc

from catlake.runtime.errors import ArgumentError, one_line


def checked_pattern(pattern: str | None) -> str | None:
    """Checks a regular expression, and returns it. Raises ArgumentError."""
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
    """Whether each city matches a pattern, in any case, also beyond ASCII; no city matches None."""
    if pattern is None:
        return pa.repeat(pa.scalar(False), len(cities))
    return pc.match_substring_regex(cities, pattern, ignore_case=True)
