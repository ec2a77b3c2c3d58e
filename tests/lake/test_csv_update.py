"""A CSV with some rows replaced has the bytes of one that is written anew."""

import csv
import io
import random
from collections.abc import Iterator, Mapping

import pytest

from catlake.lake import csv_update
from catlake.lake.csv_update import CsvUpdate, RowChange
from catlake.runtime.errors import StoreError

Rows = Mapping[str, str]
"""A text by its key."""

KEYS = ("", "a", "ab", "b", "ñ", "z,z", 'q"q', "n\nn", "\r", "🙂", "~", "0", "00", '"', ",")
TEXTS = ("", "x", '["a","b"]', "l\nl", '"', "\n", '"\n"', ',",\n', "🙂\x00", "y" * 40)


def written(rows: Rows) -> bytes:
    """A file as the dataset's writer makes it; Python's own writer quotes the same fields."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("key", "text"))
    writer.writerows(sorted(rows.items(), key=lambda row: row[0].encode()))
    return text.getvalue().encode()


def row_of(key: str, text: str) -> bytes:
    return written({key: text}).partition(b"\n")[2]


def blocks_of(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def updated(old: Rows, changes: Mapping[str, str | None], block_bytes: int) -> tuple[bytes, int, bytes]:
    """The new file, its number of rows, and the old rows that are left out."""
    left_out: list[bytes] = []
    update = CsvUpdate("old.csv", left_out.append)
    ordered = [
        RowChange(key.encode(), None if text is None else row_of(key, text))
        for key, text in sorted(changes.items(), key=lambda change: change[0].encode())
    ]
    content = b"".join(update.merged(blocks_of(written(old), block_bytes), ordered))
    return content, update.rows, b"".join(left_out)


def test_an_updated_file_has_the_bytes_of_one_that_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_update, "BLOCK_BYTES", 50)
    draw = random.Random(13)
    for _ in range(2_000):
        old = {key: draw.choice(TEXTS) for key in draw.sample(KEYS[1:], draw.randrange(len(KEYS)))}
        changes = {
            key: draw.choice((None, *TEXTS)) for key in draw.sample(KEYS[1:], draw.choice((0, 1, 3, len(KEYS) - 1)))
        }
        new = {key: text for key, text in (old | changes).items() if text is not None}
        content, rows, left_out = updated(old, changes, draw.choice((1, 2, 7, 64, 1_000)))
        assert content == written(new)
        assert rows == len(new)
        assert left_out == written({key: text for key, text in old.items() if key in changes}).partition(b"\n")[2]


def test_a_row_may_be_larger_than_many_blocks() -> None:
    old = {"a": "x" * 1_000, "b": 'say "hi"\n' * 1_000, "c": "y"}
    assert updated(old, {"bb": "new"}, 10) == (written(old | {"bb": "new"}), 4, b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"key,text\nb,1\na,2\n", "not in the order"),
        (b"key,text\na,1\na,2\n", "not in the order"),
        (b"key,text\na,1\nb,2", "ends within a row"),
        (b'key,text\na,1\nb,"2\n', "ends within a row"),
    ],
)
def test_a_file_that_is_not_in_order_or_cut_off_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(StoreError, match=reason):
        list(CsvUpdate("old.csv", len).merged([content], []))
