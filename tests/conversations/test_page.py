"""The days of the page of the conversations: texts of a source that nobody has checked."""

from datetime import date

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.conversations.page import day_of

RUN_DATE = date(2025, 11, 21)

DAYS = {
    "2025-08-04T22:30:00-05:00": "2025-08-05",
    "2025-08-04T10:30:00.123Z": "2025-08-04",
    "2025-08-04 10:30": "2025-08-04",
    "2025-08-04": "2025-08-04",
    "20250804T223000-05:00": "2025-08-05",
    "20250804T103000Z": "2025-08-04",
    "2025-11-22T00:30:00Z": "2025-11-22",
    "10:45": None,
    "T10:45": None,
    "2025": None,
    "202511": None,
    "+202511-01-01T00:00:00Z": None,
    "0000-01-01T00:00:00Z": None,
    "0001-01-01T00:00:00Z": None,
    "1999-12-31T23:59:59Z": None,
    "9999-12-31T23:59:59Z": None,
    "2025-11-23": None,
    "2025-02-30": None,
    "yesterday": None,
    "": None,
}


def test_a_message_has_a_day_only_where_its_text_has_one_of_this_century(spark: SparkSession) -> None:
    texts = spark.range(1).select(F.explode(F.array(*map(F.lit, DAYS))).alias("moment"))
    days = texts.select("moment", day_of("moment", RUN_DATE)).collect()
    assert {text: day and day.isoformat() for text, day in days} == DAYS
