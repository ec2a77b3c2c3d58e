"""The order of an erasure: pages first, the places, a last look; no Spark."""

import json
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from catlake.lake import lake as lakes
from catlake.lake.lake import Lake
from catlake.privacy import erase as erasing
from catlake.privacy.erase import erase
from catlake.privacy.person import Person
from catlake.privacy.places import ERASURES, Tally, Trace
from catlake.runtime.environment import environment
from catlake.runtime.errors import StoreError
from catlake.runtime.files import LocalFiles
from catlake.runtime.run import Run


class Shelf:
    """A place in which another run puts the person again so many times."""

    def __init__(self, again: int = 0) -> None:
        self.rows, self._again = 1, again

    def look(self) -> list[Trace]:
        return [Trace("shelf", self.rows, 1)] if self.rows else []

    def erase(self, tally: Tally) -> None:
        tally.add("shelf", 0, self.rows)
        self.rows, self._again = int(self._again > 0), self._again - 1


def page_files(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"{name}.html").write_text(name)
        digest: dict[str, Any] = {"page": name, "run_date": "2025-11-20", "days": None, "places": 2, "figures": []}
        digest |= {"exported": None, "filtered": 0, "quarantined": 0}
        (folder / f"{name}.json").write_text(json.dumps(digest))
    (folder / "index.html").write_text("conversations.html costs.html purchases.html")


def erased(folder: Path, shelf: Shelf, is_lake: bool = True, **more: Any) -> Run:
    if is_lake:
        (folder / "quarantine").mkdir(exist_ok=True)
        (folder / "quarantine/record.json").touch()
    given = {"user_id": Person("ana"), "domains": ("conversations", "tokens"), "dry_run": False}
    run = Run(None, {**given, "run_date": date(2025, 11, 21), **more}, environment("local"), "erase", "run-1")  # type: ignore[arg-type]
    with patch.object(lakes, "files_for", lambda *_: LocalFiles()):
        lake = Lake(None, str(folder), "erase", "run-1")  # type: ignore[arg-type]
    with patch.object(erasing, "places_of", lambda *_: [shelf]):
        erase(run, lake)
    return run


def killed_while_publishing(folder: Path, name: str) -> None:
    """What a run leaves that was killed when it had begun to publish a file."""
    with patch.object(lakes, "files_for", lambda *_: LocalFiles()):
        killed = Lake(None, str(folder), "pages", "killed")  # type: ignore[arg-type]
    draft = killed.side_file(name, b"ana")
    with patch.object(Lake, "_carry_out", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        killed.publish(beside=[draft], name="pages")
    killed._staging._held.close()  # type: ignore[union-attr]


def record_of(folder: Path) -> tuple[Any, Any]:
    """What the run's record shows: where the person was, and where the person is left; None: the run has not ended."""
    record = json.loads((folder / ERASURES / "run-1.json").read_text("utf-8"))
    assert (record["left"] is None) == (record["ended_at"] is None)
    return record["found"], record["left"]


def names(folder: Path) -> set[str]:
    """Its files, without the folders of leases and drafts."""
    return {path.name for path in folder.iterdir() if not path.name.startswith("_")}


def test_a_person_who_is_there_again_fails_the_run_and_what_was_done_is_written_down(tmp_path: Path) -> None:
    shelf = Shelf(again=1)
    with pytest.raises(StoreError, match=r"the person is still or again in shelf.*run this job again"):
        erased(tmp_path, shelf)
    shelf_of_person = [{"place": "shelf", "rows": 1, "files": 1}]
    assert record_of(tmp_path) == (shelf_of_person, shelf_of_person)
    erased(tmp_path, shelf)
    assert shelf.rows == 0
    assert record_of(tmp_path) == (shelf_of_person, [])


def test_a_person_is_not_reported_gone_where_there_is_no_lake(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no lake here; correct --lake_uri"):
        erased(tmp_path, Shelf(), is_lake=False)


def test_a_run_that_fails_on_the_way_has_a_record_of_what_it_began(tmp_path: Path) -> None:
    shelf = Shelf()
    with patch.object(shelf, "erase", side_effect=StoreError("shelf: no right to write")), pytest.raises(StoreError):
        erased(tmp_path, shelf)
    assert record_of(tmp_path) == ([{"place": "shelf", "rows": 1, "files": 1}], None)


@pytest.mark.parametrize(("domain", "gone"), [("conversations", "conversations"), ("tokens", "costs")])
def test_the_pages_of_the_domains_go_and_the_index_forgets_them(tmp_path: Path, domain: str, gone: str) -> None:
    folder, pages = tmp_path / "reports/pages", {"conversations", "costs", "purchases"}
    page_files(folder, *pages)
    erased(tmp_path, Shelf(), domains=(domain,))
    left = {f"{page}.{kind}" for page in pages - {gone} for kind in ("html", "json")}
    assert names(folder) == {"index.html", *left}
    index = (folder / "index.html").read_text("utf-8")
    assert [page for page in sorted(pages) if f"{page}.html" in index] == sorted(pages - {gone})


def test_what_a_killed_run_had_begun_to_publish_goes_too(tmp_path: Path) -> None:
    folder = tmp_path / "reports/pages"
    killed_while_publishing(folder, "costs.html")
    erased(tmp_path, Shelf())
    assert [file.name for file in folder.rglob("*") if file.is_file()] == []


def test_what_a_killed_run_had_begun_to_publish_is_published_before_the_person_is_looked_for(tmp_path: Path) -> None:
    killed_while_publishing(tmp_path, "data/data.csv")
    shelf = Shelf()
    with patch.object(shelf, "look", lambda: [Trace("csv", 1, 1)] if (tmp_path / "data/data.csv").exists() else []):
        erased(tmp_path, shelf, dry_run=True)
        assert not (tmp_path / "data").exists()
        with pytest.raises(StoreError, match="the person is still or again in csv"):
            erased(tmp_path, shelf)


def test_the_index_forgets_a_page_before_it_goes(tmp_path: Path) -> None:
    folder = tmp_path / "reports/pages"
    page_files(folder, "costs", "purchases")
    with patch.object(LocalFiles, "delete", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        erased(tmp_path, Shelf())
    assert "costs.html" not in (folder / "index.html").read_text("utf-8")
    erased(tmp_path, Shelf())
    assert names(folder) == {"index.html", "purchases.html", "purchases.json"}


def test_the_index_goes_with_the_last_page(tmp_path: Path) -> None:
    page_files(tmp_path / "reports/pages", "costs")
    erased(tmp_path, Shelf())
    assert names(tmp_path / "reports/pages") == set()


def test_nothing_is_changed_for_a_person_who_is_nowhere(tmp_path: Path) -> None:
    page_files(tmp_path / "reports/pages", "costs")
    shelf = Shelf()
    shelf.rows = 0
    run = erased(tmp_path, shelf)
    assert names(tmp_path / "reports/pages") == {"costs.html", "costs.json", "index.html"}
    assert names(tmp_path) == {"reports", "quarantine"}
    assert str(run.report.balance) == "0 read = 0 written + 0 quarantined"


@pytest.mark.parametrize("id", ["ana", "ana ", "\tana"])
def test_an_id_that_was_copied_with_a_blank_is_explained(id: str, tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.rows = 0
    highlights = erased(tmp_path, shelf, user_id=Person(id)).report.highlights
    assert any("begins or ends with a blank" in line for line in highlights) == (id != "ana")
