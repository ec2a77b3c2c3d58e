"""What a checkpoint remembers of the files of a folder."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catlake.purchases import landing_checkpoint
from catlake.purchases.landing_checkpoint import LandingCheckpoint, PlannedBatch
from catlake.runtime.errors import StoreError
from catlake.runtime.files import FileInfo, LocalFiles


def file(name: str, version: str = "1", day: int = 1) -> FileInfo:
    return FileInfo(name, 1, datetime(2025, 7, day, tzinfo=UTC), version)


class Checkpoint:
    """A checkpoint that is opened anew for each run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def opened(self) -> LandingCheckpoint:
        return LandingCheckpoint(LocalFiles(), str(self.folder))

    def run(self, *landed: FileInfo, most: int = 1000) -> list[PlannedBatch]:
        """Reads all that is to be read, and finishes it."""
        read, found = self.opened(), []
        for planned in read.batches(landed, most):
            read.finish(planned)
            found.append(planned)
        return found

    def killed(self, *landed: FileInfo) -> None:
        """Plans a batch, and ends."""
        next(self.opened().batches(landed, 1000))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path / "checkpoint")


def names(planned: Sequence[PlannedBatch]) -> list[list[str]]:
    return [[each.uri for each in batch.files] for batch in planned]


def test_each_file_is_read_once_the_oldest_first_some_at_a_time(checkpoint: Checkpoint) -> None:
    first = checkpoint.run(file("a", day=3), file("b", day=1), file("c", day=2), most=2)
    assert (names(first), [each.number for each in first]) == ([["b", "c"], ["a"]], [0, 1])
    second = checkpoint.run(file("a", day=3), file("d"))
    assert (names(second), second[0].number) == ([["d"]], 2)


def test_another_version_of_a_file_is_another_file(checkpoint: Checkpoint) -> None:
    checkpoint.run(file("a"), file("b"))
    read = checkpoint.opened()
    assert names(list(read.batches([file("a", "2"), file("b")], 1000))) == [["a"]]
    assert read.changed == ["a"]


def test_a_killed_runs_batch_comes_first_and_again_under_its_number(checkpoint: Checkpoint) -> None:
    checkpoint.run(file("a"))
    checkpoint.killed(file("a"), file("b"), file("c"))
    found = checkpoint.run(file("a"), file("b"), file("c"), file("d"))
    assert (names(found), [each.number for each in found]) == ([["b", "c"], ["d"]], [1, 2])


def test_of_a_killed_runs_batch_the_files_that_are_gone_are_told_and_others_are_read_as_they_are(
    checkpoint: Checkpoint,
) -> None:
    checkpoint.killed(file("x"), file("y"))
    (found,) = checkpoint.run(file("y", "2"))
    assert (found.gone, found.files) == (["x"], [file("y", "2")])
    # Put back, even as it was, it is read.
    assert names(checkpoint.run(file("x"), file("y", "2"))) == [["x"]]


def test_a_checkpoint_holds_what_is_in_the_folder_and_not_all_of_history(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing_checkpoint, "BATCHES_A_PART", 3)
    for number in range(20):
        landed = [file(f"f{each}") for each in range(max(0, number - 4), number + 1)]
        assert names(checkpoint.run(*landed)) == [[f"f{number}"]]
    left = sorted(str(path.relative_to(checkpoint.folder)) for path in checkpoint.folder.rglob("*.jsonl"))
    assert len(left) <= 1 + 2 * 3
    assert "f9" not in "".join(path.read_text() for path in checkpoint.folder.rglob("*.jsonl"))
    assert names(checkpoint.run(*landed)) == []


def test_a_second_run_on_a_checkpoint_is_noticed(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_checkpoint, "BATCHES_A_PART", 3)
    for behind in range(8):
        slow = checkpoint.opened()
        for number in range(behind + 1):
            checkpoint.run(file(f"{behind}-{number}"))
        with pytest.raises(StoreError, match="another ingest uses this checkpoint"):
            next(slow.batches([file("other")], 1000))


def test_a_damaged_checkpoint_is_told(checkpoint: Checkpoint) -> None:
    checkpoint.run(file("a"))
    (planned,) = checkpoint.folder.rglob("*read.jsonl")
    planned.write_text('["a"')
    with pytest.raises(StoreError, match=r"checkpoint: the checkpoint cannot be used \(.*00-read.jsonl.*give a new"):
        checkpoint.opened()


def test_a_stream_keeps_its_id(checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert checkpoint.opened().stream == checkpoint.opened().stream
    assert checkpoint.opened().stream != Checkpoint(tmp_path / "other").opened().stream
