"""Nights of exports: whatever they bring, and however, the results are those of a full export of the moment."""

import csv
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from catlake.conversations import normalize as normalizing
from catlake.conversations.normalize import normalize
from catlake.runtime.errors import ExportError
from catlake.runtime.run import Run
from tests.conversations.table import conversation, feedback, said
from tests.jobs.running import run_of
from tests.samples.export_files import ExportSettings, Item, Line, change, write_export, write_incremental_export

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/catia"
FIRST = datetime(2025, 11, 20, 5, tzinfo=UTC)
DAY = timedelta(days=1)

BROKEN = "{"
"""What should be JSON and is not."""

BEFORE: Mapping[str, Item] = {
    "ana": conversation("ana"),
    "ana likes": feedback("ana"),
    "eva": conversation("eva", CreatedAt="2025-09-03"),
    "eva too": conversation("eva", "CONVERSATION#2", CreatedAt="2025-09-04", Conversation=said('say "hi"\nto all, 🙂')),
    "early": conversation("early", CreatedAt="2025-07-01"),
    "leo": conversation("leo", Conversation=BROKEN),
    "mar": conversation("mar"),
    "moved": conversation("moved"),
    "pia": conversation('p"i,a\n', Conversation=said("first\nsecond", "x" * 1_000)),
    "register": conversation("ana", "REGISTER#1"),
    "sol": conversation("sol"),
    "sol dislikes": feedback("sol", Feedback={"type": "dislike", "comment": "no"}),
    "zoe": feedback("zoe"),
}
CHANGES: Mapping[str, Item | None] = {
    "ana too": conversation("ana", "CONVERSATION#0", CreatedAt="2025-08-31", Conversation=said("older")),
    # His broken item can be read now, and hers cannot any more.
    "leo": conversation("leo"),
    "mar": conversation("mar", Conversation=BROKEN),
    "moved": conversation("moved", UserData={"ciudad": "Cali"}),
    "new": conversation("new"),
    # Neither of them has any item left, or a row.
    "sol": None,
    "sol dislikes": None,
    "nobody": None,
    "zoe": feedback("zoe", Feedback={"type": "dislike"}),
    "zoe too": conversation("zoe"),
}
GONE = {"nobody": conversation("nobody")}
AFTER = {name: item for name, item in {**BEFORE, **CHANGES}.items() if item is not None}
# A line that belongs to no item stays as it is.
NO_ITEM: Line = "no line of an export"


def full_export(folder: Path, items: Mapping[str, Item], time: datetime) -> Path:
    write_export(folder, [*items.values(), NO_ITEM], export_time=time, table_arn=TABLE, files=2)
    return folder


def window(folder: Path, changes: Mapping[str, Item | None], start: datetime) -> Path:
    lines = []
    for minutes, (name, new) in enumerate(changes.items()):
        old = {**GONE, **BEFORE}.get(name)
        keys = {key: (new or old or {})[key] for key in ("PK", "SK")}
        lines.append(change(keys, start + timedelta(minutes=minutes), old=old, new=new))
    write_incremental_export(folder, lines, ExportSettings(start + DAY, TABLE, from_time=start))
    return folder


def csv_file(lake: Path, days: int) -> Path:
    return lake / f"reports/etl-process1/data_{FIRST + days * DAY:%Y%m%d}.csv"


def users_of(lake: Path, days: int) -> list[str]:
    with csv_file(lake, days).open(encoding="utf-8", newline="") as stream:
        return [row["usuario_id"] for row in csv.DictReader(stream)]


def rejected(run: Run) -> list[str]:
    """The reasons in the quarantine of a run."""
    assert run.report.quarantine is not None
    parts = sorted(Path(run.report.quarantine).glob("part-*"))
    return sorted(json.loads(line)["reason"] for part in parts for line in part.read_text().splitlines())


Night = Callable[..., Run]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The exports, each in a folder of its own, and in one folder both that give the state of the next day."""
    folder = tmp_path_factory.mktemp("exports")
    window(full_export(folder / "chain", BEFORE, FIRST), CHANGES, FIRST)
    return {
        "full": full_export(folder / "full", BEFORE, FIRST),
        "window": window(folder / "window", CHANGES, FIRST),
        "next full": full_export(folder / "next full", AFTER, FIRST + DAY),
        "chain": folder / "chain",
    }


@pytest.fixture(scope="module")
def night(spark: SparkSession, exports: Mapping[str, Path]) -> Night:
    """A function that runs normalize on an export, for a day."""

    def run(lake: Path, export: str, days: int, **more: Any) -> Run:
        given = {"export_uri": str(exports[export]), "run_date": (FIRST + days * DAY).date(), **more}
        return run_of(spark, lake, normalize, **{"max_shrink": None, **given})

    return run


@pytest.fixture(scope="module")
def anew(night: Night, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, bytes]:
    """What a full export of the next day gives in an empty lake."""
    lake = tmp_path_factory.mktemp("anew")
    return night(lake, "next full", 1), csv_file(lake, 1).read_bytes()


@pytest.fixture(scope="module")
def lake(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after the first night."""
    folder = tmp_path_factory.mktemp("lake")
    night(folder, "full", 0)
    return folder


@pytest.fixture(scope="module")
def second_night(night: Night, lake: Path) -> Run:
    """The second night, which has only what changed."""
    return night(lake, "window", 1)


def test_a_night_with_only_what_changed_gives_the_bytes_of_a_full_export(
    second_night: Run, lake: Path, anew: tuple[Run, bytes]
) -> None:
    assert csv_file(lake, 1).read_bytes() == anew[1]
    assert users_of(lake, 1) == ["ana", "eva", "leo", "new", 'p"i,a\n', "zoe"]
    # Nine users are in the window, and the rows of two are copied.
    assert second_night.report.highlights[-1] == "normalized_conversations: 6 rows, 4 of them made anew"
    assert anew[0].report.highlights[-1] == "normalized_conversations: 6 rows, 6 of them made anew"


def test_its_balance_is_that_of_a_full_export_and_rejected_items_stay_in_the_quarantine(
    second_night: Run, anew: tuple[Run, bytes]
) -> None:
    balance, expected = second_night.report.balance, anew[0].report.balance
    assert balance is not None and balance == expected
    assert (balance.read, balance.quarantined) == (len(AFTER) + 1, 2)
    assert rejected(second_night) == rejected(anew[0])


def test_what_became_of_the_lines_of_the_exports_is_a_balance_of_its_own(second_night: Run) -> None:
    assert second_night.report.highlights[0] == (
        "exports → catia_items: 10 read = 7 written to catia_items + 3 filtered (deleted) + 0 quarantined"
    )
    assert [each["items"] for each in second_night.report.inputs] == [10]


@pytest.mark.slow
def test_a_full_export_and_its_window_at_once_give_the_same_bytes(
    night: Night, anew: tuple[Run, bytes], tmp_path: Path
) -> None:
    run = night(tmp_path, "chain", 1)
    assert csv_file(tmp_path, 1).read_bytes() == anew[1]
    assert run.report.balance == anew[0].report.balance


@pytest.mark.slow
def test_a_later_night_depends_on_the_table_and_the_arguments_alone(
    second_night: Run, night: Night, lake: Path, anew: tuple[Run, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    # Nothing has changed: the last CSV is copied.
    again = night(lake, "window", 2)
    assert csv_file(lake, 2).read_bytes() == anew[1]
    assert (again.report.inputs, again.report.highlights[-1][-23:]) == ([], "rows, 0 of them made anew"[-23:])
    # It was changed after it was published: it is not used.
    csv_file(lake, 2).write_bytes(csv_file(lake, 2).read_bytes().replace(b"like", b"lake"))
    capsys.readouterr()
    night(lake, "window", 3)
    assert csv_file(lake, 3).read_bytes() == anew[1]
    assert "old_csv_not_used" in capsys.readouterr().out
    # Another first date and no city: other rows, of the same table.
    night(lake, "window", 4, first_date=None, excluded_cities=None)
    assert users_of(lake, 4) == ["ana", "early", "eva", "leo", "moved", "new", 'p"i,a\n', "zoe"]
    # A day is made again from an older export, and the table stays as it is.
    night(lake, "full", 0, environment="prod")
    assert users_of(lake, 0) == ["ana", "eva", "mar", "moved", 'p"i,a\n', "sol"]
    night(lake, "window", 5)
    assert csv_file(lake, 5).read_bytes() == anew[1]
    # The table is made anew from what is there.
    night(lake, "full", 6, rebuild=True)
    assert users_of(lake, 6) == users_of(lake, 0)


@pytest.mark.slow
def test_a_run_that_ends_between_merge_and_publish_loses_and_repeats_nothing(
    night: Night, anew: tuple[Run, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(tmp_path, "full", 0)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(normalizing, "publish", killed)
        night(tmp_path, "window", 1)
    assert not csv_file(tmp_path, 1).exists()
    # The table has the changes, and the last CSV is from before them.
    run = night(tmp_path, "window", 1)
    assert csv_file(tmp_path, 1).read_bytes() == anew[1]
    assert run.report.balance == anew[0].report.balance
    assert run.report.highlights[-1] == "normalized_conversations: 6 rows, 6 of them made anew"


def test_an_emptied_table_gives_a_csv_of_its_header_alone(spark: SparkSession, tmp_path: Path) -> None:
    write_export(tmp_path / "empty", [], export_time=FIRST, table_arn=TABLE)
    run = run_of(spark, tmp_path / "lake", normalize, export_uri=str(tmp_path / "empty"))
    assert users_of(tmp_path / "lake", 0) == []
    assert run.report.balance is not None and run.report.balance.read == 0


@pytest.mark.slow
def test_an_export_of_another_table_never_reaches_the_table(
    spark: SparkSession, second_night: Run, lake: Path, anew: tuple[Run, bytes], night: Night, tmp_path: Path
) -> None:
    songs = [{"PK": {"S": str(number)}, "SK": {"S": "SONG"}} for number in range(3)]
    write_export(tmp_path / "songs", songs, export_time=FIRST + 9 * DAY, table_arn=TABLE)
    with pytest.raises(ExportError, match="none of its 3 items is one of this job's table"):
        run_of(spark, lake, normalize, export_uri=str(tmp_path / "songs"))
    night(lake, "window", 7)
    assert csv_file(lake, 7).read_bytes() == anew[1]
