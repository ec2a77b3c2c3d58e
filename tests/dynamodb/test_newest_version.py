"""The merge of a full export and the windows after it, against the table that it came from.

Histories of writes are played on a small table; what exports of it say follows from docs/spec.md 1.2 alone.
"""

import random
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from catlake.contracts.kept_rows import VERSION
from catlake.dynamodb.newest_version import FATE, KEY, Fate, Span, outcome
from tests.dynamodb.version_model import Changes, Version, Write, merge, outcomes, table_after

END = 100
KEYS = ("a", "b")


@dataclass(frozen=True)
class History:
    """What happened to a table and how it was exported."""

    writes: tuple[Write, ...]
    exported: int
    spans: tuple[Span, ...]
    """The windows in order of arrival."""
    lists_short_lives: bool = False
    """Whether a window lists the deletion of an item that was created within it (the spec allows both)."""
    holds_its_moment: bool = True
    """Whether the full export holds a write of its very time (AWS leaves it open)."""


def full_export(history: History) -> dict[str, int]:
    return table_after(history.writes, history.exported + history.holds_its_moment)


def incremental_export(history: History, span: Span) -> Changes[str, int]:
    before, after = table_after(history.writes, span.start), table_after(history.writes, span.end)
    last = {key: time for time, key, _ in history.writes if span.start <= time < span.end}
    # What no window can tell (see newest_version.py) is not asked for: an item of the full export whose whole life
    # lies in a window that began before that export.
    fully_known = full_export(history) if span.start <= history.exported else {}
    listed = [
        (key, time, after.get(key))
        for key, time in last.items()
        if key in before or key in after or key in fully_known or history.lists_short_lives
    ]
    return Changes(span, listed)


def merged(history: History) -> dict[str, int]:
    changes = [incremental_export(history, span) for span in history.spans]
    return merge(full_export(history), history.exported, changes)


@st.composite
def histories(draw: st.DrawFn) -> History:
    times = sorted(draw(st.sets(st.integers(1, END - 1), max_size=14)))
    # A value is written once, so that an old one is never taken for a new one.
    writes = tuple((time, draw(st.sampled_from(KEYS)), draw(st.sampled_from((time, time, None)))) for time in times)
    exported = draw(st.integers(0, END - 1))
    cuts = sorted({exported, END, *draw(st.sets(st.integers(exported, END), max_size=3))})
    first = draw(st.integers(0, exported))
    windows = [Span(first if start == exported else start, end) for start, end in pairwise(cuts)]
    pairs = st.tuples(st.integers(0, END), st.integers(0, END)).filter(lambda pair: pair[0] != pair[1])
    more = [Span(*sorted(pair)) for pair in draw(st.lists(pairs, max_size=2))]
    twice = draw(st.lists(st.sampled_from(windows), max_size=1))
    spans = tuple(draw(st.permutations([*windows, *more, *twice])))
    return History(writes, exported, spans, draw(st.booleans()), draw(st.booleans()))


OVERLAP = History(writes=((6, "a", 6), (12, "a", None)), exported=0, spans=(Span(0, 10), Span(5, END)))
"""The later window never heard of the item: it was created and deleted within it."""

REBORN = History(
    writes=((1, "a", 1), (4, "a", None), (6, "a", 6), (12, "a", None)), exported=2, spans=(Span(2, 10), Span(5, END))
)
"""The same of an item that the full export holds: only the earlier window shows that this row is old."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
@example(OVERLAP)
@example(replace(OVERLAP, spans=OVERLAP.spans[::-1]))
@example(REBORN)
def test_a_full_export_and_the_windows_after_it_give_the_table_at_the_end(history: History) -> None:
    assert merged(history) == table_after(history.writes, END)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_thousands_of_histories_give_the_table_at_the_end(history: History) -> None:
    assert merged(history) == table_after(history.writes, END)


def test_without_windows_the_full_export_is_the_state() -> None:
    assert merge({"a": 1}, 10, []) == {"a": 1}


def test_an_item_deleted_and_created_anew_is_there_once() -> None:
    history = History(
        writes=((1, "a", 1), (20, "a", None), (30, "a", 30)), exported=10, spans=(Span(25, END), Span(10, 25))
    )
    assert merged(history) == {"a": 30}


@pytest.mark.parametrize("holds_its_moment", [True, False])
def test_a_write_of_the_full_exports_very_time_holds_whether_that_export_has_it_or_not(holds_its_moment: bool) -> None:
    writes = ((5, "a", 5), (5, "c", 5), (10, "b", 10), (10, "c", None))
    history = History(writes, exported=10, spans=(Span(0, END),), holds_its_moment=holds_its_moment)
    assert merged(history) == {"a": 5, "b": 10}


def some_versions(rng: random.Random) -> list[Version]:
    """Versions of a few items, with ties, duplicates and broken ones: more than any real export holds."""
    versions = [
        Version(rng.choice(KEYS), rng.randrange(4), rng.choice(list(Fate)), rng.random() < 0.8)
        for _ in range(rng.randrange(9))
    ]
    return versions + rng.choices(versions, k=rng.randrange(3)) if versions else []


def test_spark_decides_as_the_reference_does(spark: SparkSession) -> None:
    rng = random.Random(20251120)
    cases = [some_versions(rng) for _ in range(2000)]
    rows = [
        (case, f"{case}/{version.key}", version.written, int(version.fate), None if version.readable else ("f", 1))
        for case, versions in enumerate(cases)
        for version in versions
    ]
    schema = f"case int, {KEY} string, {VERSION} long, {FATE} tinyint, _rejected struct<file:string,line:long>"
    decided = (
        spark.createDataFrame(rows, schema)
        .repartition(4, F.rand(1))
        .select(
            "case",
            KEY,
            VERSION,
            FATE,
            F.col("_rejected").isNull().alias("readable"),
            outcome(F.col("_rejected")).alias("outcome"),
        )
        .collect()
    )
    # Of equal lines any one may be the current one: what counts is how many.
    expected = Counter(
        (case, f"{case}/{version.key}", version.written, int(version.fate), version.readable, result)
        for case, versions in enumerate(cases)
        for version, result in zip(versions, outcomes(versions), strict=True)
    )
    assert Counter(map(tuple, decided)) == expected
    assert {result for *_, result in expected} == {"current", "superseded", "deleted", "too_early", "rejected"}
