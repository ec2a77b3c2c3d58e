"""Times, blanks and white space, as Spark's columns see them."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.text.columns import WHITE_SPACE, is_blank, iso_timestamp, trimmed

NOON = datetime(2025, 8, 4, 12, 30, 15, tzinfo=UTC)

MOMENTS: Mapping[str, datetime | None] = {
    "2025-08-04T12:30:15": NOON,
    "2025-08-04T12:30:15Z": NOON,
    "2025-08-04t12:30:15z": NOON,
    "2025-08-04 12:30:15": NOON,
    "2025-08-04T07:30:15-05:00": NOON,
    "2025-08-04T07:30:15-0500": NOON,
    "2025-08-04T07:30:15-05": NOON,
    "2025-08-04T18:00:15+05:30": NOON,
    "2025-08-05T00:30:15+12:00": NOON,
    " \t2025-08-04T12:30:15Z\u00a0\n": NOON,
    "2025-08-04T12:30:15.250Z": NOON.replace(microsecond=250_000),
    "2025-08-04T12:30:15,250": NOON.replace(microsecond=250_000),
    "2025-08-04T07:30:15.123456-05:00": NOON.replace(microsecond=123_456),
    "2025-08-04T12:30:15.123456789Z": NOON.replace(microsecond=123_456),
    "2025-08-04T12:30Z": NOON.replace(second=0),
    "2025-08-04T07:30-05:00": NOON.replace(second=0),
    "2025-08-04T12:30": NOON.replace(second=0),
    "20250804T123015Z": NOON,
    "20250804T073015-0500": NOON,
    "20250804T123015.250Z": NOON.replace(microsecond=250_000),
    "20250804T1230": NOON.replace(second=0),
    "20250804T1230Z": NOON.replace(second=0),
    "20250804T0730-0500": NOON.replace(second=0),
    "2025-08-04": datetime(2025, 8, 4, tzinfo=UTC),
    "20250804": datetime(2025, 8, 4, tzinfo=UTC),
    "2024-02-29": datetime(2024, 2, 29, tzinfo=UTC),
    "2025-02-29": None,
    "2025-02-30": None,
    "2025-02-30T10:00:00Z": None,
    "2025-13-01": None,
    "2025-08-04T25:00:00": None,
    "2025-08-04T12:60:00": None,
    "2025-08-04T12:30:15+25:00": None,
    "2025": None,
    "2025-08": None,
    "12:30:15": None,
    "T12:30": None,
    "04/08/2025": None,
    "August 4, 2025": None,
    "1754310615": None,
    "1754310615000": None,
    "now": None,
    "today": None,
    "epoch": None,
    "2025-08-04T12:30:15 America/Bogota": None,
    "2025-08-04T": None,
    "2025-08-04Z": None,
    "2025-08-04 and more": None,
    "": None,
    "   ": None,
    "\u3000\n": None,
}


@pytest.fixture(scope="module")
def moments(spark: SparkSession) -> Mapping[str, datetime | None]:
    """What `iso_timestamp` makes of all the texts, in one job."""
    texts = spark.createDataFrame([(text,) for text in MOMENTS], "text string")
    # As microseconds: a collected timestamp would be in the time zone of this machine.
    found = texts.select("text", F.unix_micros(iso_timestamp(F.col("text"))).alias("micros")).collect()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return {row.text: None if row.micros is None else epoch + timedelta(microseconds=row.micros) for row in found}


@pytest.mark.parametrize("text", MOMENTS, ids=repr)
def test_an_iso_text_names_its_moment_and_any_other_none(text: str, moments: Mapping[str, datetime | None]) -> None:
    assert moments[text] == MOMENTS[text]


def test_no_text_no_moment(spark: SparkSession) -> None:
    empty = spark.createDataFrame([(None,)], "text string")
    assert empty.select(iso_timestamp(F.col("text"))).first()[0] is None


def test_ansi_mode_does_not_make_an_error_of_garbage(spark: SparkSession) -> None:
    spark.conf.set("spark.sql.ansi.enabled", "true")
    try:
        garbage = spark.createDataFrame([("2025-02-30",), ("soon",)], "text string")
        assert [row[0] for row in garbage.select(iso_timestamp(F.col("text"))).collect()] == [None, None]
    finally:
        spark.conf.unset("spark.sql.ansi.enabled")


def test_white_space_is_what_unicode_says_it_is() -> None:
    assert set(WHITE_SPACE) == {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}


TEXTS = {
    " Bogotá ": "Bogotá",
    "\u00a0\tSan Andrés\u2003\r\n": "San Andrés",
    "inner  space": "inner  space",
    "\u200bzero width is no space": "\u200bzero width is no space",
    "": None,
    "  ": None,
    "".join(WHITE_SPACE): None,
}


def test_trimming_takes_white_space_of_every_kind_from_the_ends_only(spark: SparkSession) -> None:
    texts = spark.createDataFrame([*((text,) for text in TEXTS), (None,)], "text string")
    found = texts.select("text", trimmed(F.col("text")).alias("trimmed"), is_blank(F.col("text")).alias("blank"))
    for row in found.collect():
        expected = None if row.text is None else TEXTS[row.text]
        assert (row.trimmed, row.blank) == (expected, expected is None), repr(row.text)
