"""The columns that the rows of a kept-up table, and changes to it, have besides those of their contract."""

VERSION = "_version"
"""When a row's version was written, in microseconds since 1970 (UTC)."""

GONE = "_gone"
"""Of a change: whether there is no row of its key any more."""
