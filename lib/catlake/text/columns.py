"""Small functions `(column) -> Column` that several domains need."""

from pyspark.sql import Column
from pyspark.sql import functions as F

WHITE_SPACE = "".join(
    chr(code)
    for first, last in (
        (0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680),
        (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
    )
    for code in range(first, last + 1)
)  # fmt: skip
"""Unicode's white space: Spark's own trim knows the space alone."""

_ISO_8601 = (
    r"^\d{4}-\d{2}-\d{2}"
    r"(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:\d{2})?)?)?$"
)


def trimmed(text: Column) -> Column:
    """A text without white space at its ends; null when nothing remains."""
    bare = F.btrim(text, F.lit(WHITE_SPACE))
    return F.when(bare != "", bare)


def is_blank(text: Column) -> Column:
    """Whether a text is null or white space only."""
    return trimmed(text).isNull()


def iso_timestamp(text: Column) -> Column:
    """The moment that an ISO-8601 text names.

    Without an offset it is UTC, a date alone is its midnight; the basic form (`20250804T103000Z`) is taken
    too. Anything else, and a date that the calendar lacks, is null.
    """
    normal = F.upper(trimmed(text))
    normal = F.regexp_replace(normal, r"^(\d{4})(\d{2})(\d{2})(?=T|$)", "$1-$2-$3")
    normal = F.regexp_replace(normal, r"^(\S{10})[T ](\d{2})(\d{2})(?=\d{2}|Z|[+-]|$)", "$1T$2:$3")
    normal = F.regexp_replace(normal, r"^(\S{10}T\d{2}:\d{2})(\d{2})", "$1:$2")
    normal = F.regexp_replace(normal, r"^(\S{10}) ", "$1T")
    # Spark takes no offset after minutes.
    normal = F.regexp_replace(normal, r"^(\S{10}T\d{2}:\d{2})(?=Z|[+-])", "$1:00")
    normal = F.regexp_replace(normal, r"(:\d{2}),(\d)", "$1.$2")
    normal = F.regexp_replace(normal, r"(T.*[+-]\d{2})(\d{2})$", "$1:$2")
    # The cast alone takes more than ISO-8601: a year, a time of today.
    return F.when(normal.rlike(_ISO_8601), F.try_to_timestamp(normal))
