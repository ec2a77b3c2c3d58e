"""Conflicts of names, without Spark: two streams at once, kills at every change; counts follow what is stored."""

import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from catlake.lake.event_conflicts import Conflicts, Settled, key_of
from catlake.lake.event_files import EventCounts
from catlake.runtime.files import Files, LocalFiles, S3Files, S3Settings
from tests.s3 import S3Server

Batch = list[tuple[str, bytes]]
"""Events: the name and the content of each."""


class Lake:
    """A root to which streams write batches, as the tasks of the job do."""

    def __init__(self, files: Files, root: str) -> None:
        self.files, self.root = files, root

    def write(
        self, stream: str, batch: str, events: Batch, files: Files | None = None, may_repeat: bool = False
    ) -> EventCounts:
        files = files or self.files
        conflicts = Conflicts(files, f"{self.root}/lake", f"{self.root}/quarantine/{stream}", batch)
        done = EventCounts(read=len(events))
        contents: dict[str, Counter[bytes]] = defaultdict(Counter)
        agreed: dict[str, Counter[bytes]] = defaultdict(Counter)
        for path, content in events:
            uri = f"{self.root}/lake/{path}"
            if files.create(uri, content) or files.read(uri) == content:
                done.written += 1
                agreed[path][key_of(content)] += 1
            else:
                done.conflicts += 1
                contents[path][content] += 1
        settled = [conflicts.settle(path, found, agreed[path]) for path, found in contents.items()]
        total = Settled(sum(one.lost for one in settled), sum(one.recorded for one in settled))
        done.settle(total, conflicts.displaced(may_repeat) if settled or may_repeat else 0)
        assert done.read == done.written + done.repeated + done.quarantined
        return done

    def documents(self) -> Batch:
        start = f"{self.root}/lake/"
        return [(info.uri.removeprefix(start), self.files.read(info.uri)) for info in self.files.list(start[:-1])]

    def records(self, stream: str) -> Batch:
        """What a stream has in quarantine, as the events that it was."""
        found = []
        for info in self.files.list(f"{self.root}/quarantine/{stream}/conflicts"):
            record = json.loads(self.files.read(info.uri))
            found.append((record["file"].removeprefix(f"{self.root}/lake/"), record["raw"].encode()))
        return sorted(found)


def counts(*done: EventCounts) -> dict[str, int]:
    names = ("read", "written", "repeated", "quarantined")
    return {name: sum(getattr(one, name) for one in done) for name in names}


class Meeting(LocalFiles):
    """Files of two streams that meet before their first swap: both have read the same content by then."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier, self._met = barrier, False

    def swap(self, uri: str, old: bytes, new: bytes) -> bool:
        if not self._met:
            self._met = True
            self._barrier.wait(10)
        return super().swap(uri, old, new)


@pytest.mark.parametrize(
    "contents",
    [(b"3\n", b"2\n", b"1\n"), (b"3\n", b"1\n", b"1\n"), (b"", b"2\n", b"1\n"), (b"1", b"1\n", b"1\n")],
    ids=["different", "the same", "one is empty", "one is cut off"],
)
def test_two_streams_that_settle_one_name_at_once_lose_nothing_and_count_what_is_stored(
    tmp_path: Path, contents: tuple[bytes, bytes, bytes]
) -> None:
    winner = b"1\n"
    first, *others = contents
    with ThreadPoolExecutor(2) as pool:
        for number in range(100):
            lake = Lake(LocalFiles(), str(tmp_path / str(number)))
            before = lake.write("s0", "batch-0", [("a.json", first)])
            barrier = threading.Barrier(2)
            streams = [
                pool.submit(lake.write, f"s{stream}", "batch-0", [("a.json", content)], Meeting(barrier))
                for stream, content in enumerate(others, 1)
            ]
            done = counts(before, *(stream.result() for stream in streams))
            records = [record for stream in range(3) for record in lake.records(f"s{stream}")]
            assert lake.documents() == [("a.json", winner)]
            # Each content that has lost is there, once.
            assert sorted(content for _, content in records) == sorted(set(contents) - {winner})
            # A second event of the content that wins is a replay.
            assert done == {"read": 3, "written": 3 - len(records), "repeated": 0, "quarantined": len(records)}


@pytest.mark.slow
def test_streams_race_in_a_bucket_too(s3: S3Server) -> None:
    settings = S3Settings(s3.endpoint, "us-east-1", s3.key, s3.secret, path_style=True)
    lake = Lake(S3Files(settings), f"s3://{s3.bucket()}")
    generator = random.Random(7)
    names = [f"{number}.json" for number in range(60)]
    batches = [[(name, b"%d\n" % generator.randrange(100, 999)) for name in names] for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = counts(*pool.map(lambda stream: lake.write(f"s{stream}", "batch-0", batches[stream]), range(4)))
    expected = {name: [batch[number][1] for batch in batches] for number, name in enumerate(names)}
    assert dict(lake.documents()) == {name: min(contents) for name, contents in expected.items()}
    found = {record for stream in range(4) for record in lake.records(f"s{stream}")}
    assert found == {(name, content) for name, all_ in expected.items() for content in all_ if content != min(all_)}
    stored = sum(len(lake.records(f"s{stream}")) for stream in range(4))
    assert done == {"read": 240, "written": 240 - stored, "repeated": 0, "quarantined": stored}


class Killed(BaseException):
    """As a kill: nothing that comes after it runs."""


class KilledAt(LocalFiles):
    """Files of a process that is killed before its n-th change, or just after it."""

    def __init__(self, changes: int, after: bool) -> None:
        self._left, self._after = changes, after

    def _change(self, change: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise Killed
        done = change()
        if self._left < 0:
            raise Killed
        return done

    def create(self, uri: str, content: bytes) -> bool:
        return bool(self._change(lambda: super(KilledAt, self).create(uri, content)))

    def swap(self, uri: str, old: bytes, new: bytes) -> bool:
        return bool(self._change(lambda: super(KilledAt, self).swap(uri, old, new)))

    def write(self, uri: str, content: bytes) -> None:
        self._change(lambda: LocalFiles.write(LocalFiles(), uri, content))

    def delete(self, uri: str) -> None:
        self._change(lambda: super(KilledAt, self).delete(uri))


BATCHES: list[Batch] = [
    [("a", b"5\n"), ("b", b"5\n"), ("c", b"1\n"), ("d", b"5\n"), ("d", b"5\n")],
    # Takes names away, loses, repeats what is there, takes one away from itself.
    [
        ("a", b"3\n"),
        ("a", b"4\n"),
        ("b", b"6\n"),
        ("b", b"6\n"),
        ("c", b"1\n"),
        ("d", b"5\n"),
        ("d", b"2\n"),
        ("e", b"9\n"),
        ("e", b"8\n"),
    ],
    # Repeats what has lost.
    [("a", b"5\n"), ("a", b"4\n"), ("b", b"6\n"), ("a", b"2\n"), ("e", b"9\n")],
]


def test_a_batch_that_is_killed_at_any_change_is_counted_as_an_undisturbed_one(tmp_path: Path) -> None:
    calm = Lake(LocalFiles(), str(tmp_path / "calm"))
    expected = [counts(calm.write("s", f"batch-{number}", events)) for number, events in enumerate(BATCHES)]
    assert counts(*(EventCounts(**one) for one in expected)) == {
        "read": 19,
        "written": 8,
        "repeated": 5,
        "quarantined": 6,
    }
    lost = [("a", b"3\n"), ("a", b"4\n"), ("a", b"5\n"), ("b", b"6\n"), ("d", b"5\n"), ("e", b"9\n")]
    assert calm.records("s") == lost
    kills = 0
    for number, events in enumerate(BATCHES):
        for after in (False, True):
            for change in range(100):
                lake = Lake(LocalFiles(), str(tmp_path / f"{number}-{change}-{after}"))
                for before in range(number):
                    lake.write("s", f"batch-{before}", BATCHES[before])
                try:
                    lake.write("s", f"batch-{number}", events, KilledAt(change, after))
                    break
                except Killed:
                    kills += 1
                again = counts(lake.write("s", f"batch-{number}", events, may_repeat=True))
                assert again == expected[number], (number, change, after)
                rest = range(number + 1, len(BATCHES))
                assert [counts(lake.write("s", f"batch-{later}", BATCHES[later])) for later in rest] == expected[
                    number + 1 :
                ]
                assert (lake.documents(), lake.records("s")) == (calm.documents(), calm.records("s"))
    assert kills > 60


def test_marks_of_earlier_batches_go_with_the_next_run(tmp_path: Path) -> None:
    lake = Lake(LocalFiles(), str(tmp_path))
    for number, content in enumerate((b"3", b"2", b"1")):
        lake.write("s", f"batch-{number}", [("a", content)])
    lake.write("s", "batch-3", [("b", b"1")], may_repeat=True)
    assert list(lake.files.list(f"{tmp_path}/quarantine/s/_displaced")) == []


GOOD = b'{"compra_id":"c1"}\n'
DAMAGED = {
    "empty": b"",
    "cut off": GOOD[:9],
    "without its line break": GOOD[:-1],
    "zeros": bytes(len(GOOD)),
    "no UTF-8": b"\xff\xfe{}",
    "cut off within a letter": b"\xc3",
}


def damaged(root: Path, content: bytes) -> Lake:
    """A lake with a document, which a power cut has damaged since."""
    lake = Lake(LocalFiles(), str(root))
    lake.write("s", "batch-0", [("a.json", GOOD), ("b.json", GOOD)])
    (root / "lake/a.json").write_bytes(content)
    return lake


REPLAY: Batch = [("a.json", GOOD), ("a.json", GOOD), ("b.json", GOOD)]


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_replay_gives_a_damaged_document_its_bytes_again(tmp_path: Path, content: bytes) -> None:
    lake = damaged(tmp_path, content)
    # What is damaged is quarantined, and no more written.
    done = counts(lake.write("s", "batch-1", REPLAY))
    assert done == {"read": 3, "written": 2, "repeated": 0, "quarantined": 1}
    done = counts(lake.write("s", "batch-2", REPLAY))
    assert done == {"read": 3, "written": 3, "repeated": 0, "quarantined": 0}
    assert lake.documents() == [("a.json", GOOD), ("b.json", GOOD)]
    assert lake.records("s") == [("a.json", content.decode("utf-8", "backslashreplace").encode())]


@pytest.mark.parametrize("content", [b"", b"\xff"], ids=["empty", "no UTF-8"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_replay_that_is_killed_at_any_change_mends_a_document_too(
    tmp_path: Path, content: bytes, after: bool
) -> None:
    calm = damaged(tmp_path / "calm", content)
    expected = counts(calm.write("s", "batch-1", REPLAY))
    assert calm.documents() == [("a.json", GOOD), ("b.json", GOOD)]
    for change in range(100):
        lake = damaged(tmp_path / str(change), content)
        try:
            lake.write("s", "batch-1", REPLAY, KilledAt(change, after))
            break
        except Killed:
            assert counts(lake.write("s", "batch-1", REPLAY, may_repeat=True)) == expected
            assert (lake.documents(), lake.records("s")) == (calm.documents(), calm.records("s"))
    assert change > 3


def test_a_record_of_the_quarantine_that_is_damaged_is_written_anew(tmp_path: Path) -> None:
    lake = Lake(LocalFiles(), str(tmp_path))
    lake.write("s", "batch-0", [("a.json", b"1\n"), ("a.json", b"2\n")])
    records = lake.records("s")
    for file in (tmp_path / "quarantine/s/conflicts").iterdir():
        file.write_bytes(b"")
    lake.write("s", "batch-1", [("a.json", b"2\n")])
    assert lake.records("s") == records
