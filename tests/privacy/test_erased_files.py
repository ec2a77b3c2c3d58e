"""Files without the rows of a person: the others stay, byte by byte."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catlake.lake.spreadsheet import write_spreadsheet
from catlake.privacy import erased_files
from catlake.privacy.erased_files import (
    CsvErasure,
    Erasure,
    copy_parquet,
    csv_batches,
    is_in_spreadsheet,
    kept_rejects,
    parquet_erasure,
)
from catlake.privacy.person import Person
from catlake.runtime.errors import StoreError

ANA = Person("ana")
HEADER = b"user_id,text,other\n"
BOB = b'bob,"ana wrote:\n""hi""",1\n'
ROW = b'ana,"a ""b""\n,",2\n'
OF_ANOTHER = b"ana#2,ana,ana\n"


def copied(content: bytes, person: Person = ANA) -> tuple[bytes, int, int]:
    done = CsvErasure("data.csv", person, ("user_id", "sk"))
    return b"".join(done.copied(io.BytesIO(content))), done.kept, done.erased


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([], []),
        ([BOB], [BOB]),
        ([ROW], []),
        ([BOB, ROW, BOB, ROW, OF_ANOTHER], [BOB, BOB, OF_ANOTHER]),
    ],
)
def test_the_rows_of_a_person_leave_a_csv(rows: list[bytes], kept: list[bytes]) -> None:
    assert copied(HEADER + b"".join(rows)) == (HEADER + b"".join(kept), len(kept), len(rows) - len(kept))


def test_an_id_with_quotes_and_line_breaks_is_found_as_a_csv_writes_it() -> None:
    odd = b'"a""\n,b",text,1\n'
    assert copied(HEADER + odd + BOB, Person('a"\n,b')) == (HEADER + BOB, 1, 1)


def test_rows_that_are_longer_than_a_block_stay_whole() -> None:
    long = b'bob,"' + b"ana " * 4_000_000 + b"\n" + b'",3\n'
    assert copied(HEADER + ROW + long + ROW) == (HEADER + long, 1, 2)


@pytest.mark.parametrize("block", [7, 64, 1000])
@pytest.mark.parametrize("rows", [[BOB, OF_ANOTHER, b"c,,\n"], [b"b,plain,1\n", OF_ANOTHER]], ids=["quoted", "plain"])
def test_rows_at_the_ends_of_blocks_are_copied_once(
    rows: list[bytes], block: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(erased_files, "BLOCK_BYTES", block)
    # Blocks with the person, and many without.
    before, after = [*rows * 9, ROW, *rows * 20, ROW], rows * 29
    content = HEADER + b"".join(after)
    assert copied(HEADER + b"".join(before)) == (content, len(after), 2)
    csv = tmp_path / "data.csv"
    csv.write_bytes(content)
    ids = [id for batch in csv_batches(csv) for id in batch.column("user_id").to_pylist()]
    assert ids == [row.split(b",")[0].decode() for row in after]


def test_a_line_that_is_no_row_goes_where_it_names_the_person() -> None:
    broken = b"ana,too,many,fields\n"
    assert copied(HEADER + broken + b"bob,too,many,fields\n") == (HEADER + b"bob,too,many,fields\n", 1, 1)


def test_a_line_that_is_no_row_names_a_person_as_a_csv_writes_it() -> None:
    broken = b'"a""b",too,many,fields\n'
    assert copied(HEADER + broken + BOB, Person('a"b')) == (HEADER + BOB, 1, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"day,count\n1,2\n", "none of its columns is user_id or sk"), (HEADER + b'ana,"cut off', "ends within a row")],
)
def test_a_csv_that_nobody_can_tell_the_persons_of_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        copied(content)


def test_the_rows_of_a_person_leave_a_parquet_file_and_its_columns_stay(tmp_path: Path) -> None:
    schema = pa.schema(
        [pa.field("pk", pa.string(), nullable=False), ("sk", pa.string()), ("cost", pa.decimal128(38, 6))]
    )
    rows = [
        {"pk": pk, "sk": sk, "cost": None} for pk, sk in (("ana", None), ("ana", "ana#C"), ("bob", None), ("c", ""))
    ]
    before, after = tmp_path / "before", tmp_path / "after"
    pq.write_table(pa.Table.from_pylist(rows, schema), before, row_group_size=2)
    columns = ("pk", "no_column")
    assert parquet_erasure(before, "data.parquet", ANA, columns) == Erasure(kept=2, erased=2)
    copy_parquet(before, "data.parquet", after, ANA, columns)
    table = pq.read_table(after)
    assert (table.to_pylist(), table.schema) == (rows[2:], schema)
    assert b"ana" not in after.read_bytes()


def test_a_parquet_file_without_persons_columns_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"day": [1]}), tmp_path / "days")
    (tmp_path / "text").write_text("text")
    pq.write_table(pa.table({"pk": ["ana"] * 1000}), tmp_path / "broken", use_dictionary=False, compression="none")
    with (tmp_path / "broken").open("r+b") as broken:
        broken.seek(4)
        broken.write(b"\xff" * 200)
    for name, message in (
        ("days", "it has no column pk"),
        ("text", "it is not readable as Parquet"),
        ("broken", "it is not readable as Parquet"),
    ):
        with pytest.raises(StoreError, match=f"data.parquet: {message}"):
            parquet_erasure(tmp_path / name, "data.parquet", ANA, ["pk"])


def stream(*lines: bytes) -> io.BytesIO:
    return io.BytesIO(b"".join(lines))


def reject(raw: str, **more: object) -> bytes:
    return json.dumps({"file": "f", "line": 1, "reason": "no date", "raw": raw, **more}).encode() + b"\n"


def test_rejected_records_of_a_person_leave_the_quarantine() -> None:
    stay = [reject('{"PK":{"S":"bob"},"text":{"S":"ana"}}'), reject("anabel"), b'{"file": "f"}\n', reject("{}")]
    go = [
        reject('{"PK":{"S":"ana"}}'),
        reject("no JSON of ana"),
        reject("{}", reason="no user ana"),
        reject("{}", file="s3://large/ana/1/map.json"),
        b"not even JSON: ana\n",
    ]
    done = Erasure()
    assert b"".join(kept_rejects(stream(*stay, *go, *stay), ANA, done)) == b"".join([*stay, *stay])
    assert done == Erasure(kept=8, erased=5)


def test_rejected_records_are_not_read_byte_by_byte() -> None:
    reads = []

    class Unbuffered(io.RawIOBase):
        """As the stream of an object of S3 is."""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            reads.append(len(buffer))
            return content.readinto(buffer)

    lines = [reject("anabel", line=number) for number in range(1000)]
    content = stream(*lines)
    assert list(kept_rejects(cast(BinaryIO, Unbuffered()), ANA, Erasure())) == lines
    assert len(reads) < 10


def test_the_number_of_a_rejected_line_is_no_id() -> None:
    of_others, hers = reject('{"user_id":"bob"}', line=42), reject('{"user_id":42}', line=7)
    assert list(kept_rejects(stream(of_others, hers), Person("42"), Erasure())) == [of_others]


def test_a_spreadsheet_is_made_of_a_csv_and_searched_by_cell(tmp_path: Path) -> None:
    csv, book = tmp_path / "data.csv", tmp_path / "data.xlsx"
    csv.write_bytes(HEADER + BOB + b"a&<b,,\n")
    write_spreadsheet(book, csv_batches(csv), ["user_id", "text", "other"], ["other"])
    assert zipfile.ZipFile(book).testzip() is None
    assert [is_in_spreadsheet(book, "data.xlsx", Person(id)) for id in ("bob", "a&<b", "ana", "b", "1")] == [
        True,
        True,
        *[False] * 3,
    ]
