"""Records of published files: a whole file is known, half of one is refused, one without a record is told apart."""

import hashlib
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from catlake.lake.file_records import KEPT_FOR, Record, Records, crc32_of
from catlake.runtime.errors import StoreError
from catlake.runtime.files import LocalFiles

REMEDY = "run the job again"


def records_of(lake: Path) -> Records:
    return Records(LocalFiles(), str(lake))


def published(lake: Path, content: bytes, rows: int = 2) -> Record:
    """A file `d/data.csv` of a lake, recorded and published as `Lake.publish` does; its record."""
    file = lake / "d/data.csv"
    file.parent.mkdir(exist_ok=True)
    new = lake / "new"
    new.write_bytes(content)
    record = Record(rows, len(content), crc32_of(LocalFiles(), str(new)), "normalize", "run-1")
    records_of(lake).write(str(file), record)
    new.rename(file)
    return record


def verified(lake: Path) -> Record | None:
    """The newest record that fits."""
    return next(iter(records_of(lake).verified(str(lake / "d/data.csv"), REMEDY)), None)


def test_a_file_that_is_as_it_was_published_has_its_record(tmp_path: Path) -> None:
    record = published(tmp_path, b"a\n1\n2\n")
    assert verified(tmp_path) == record
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")] == [
        f"_checksums/d/data.csv/{record.crc32:08x}.run-1.json"
    ]


@pytest.mark.parametrize("changed", [b"a\n1\n", b"", b"a\n1\n3\n"], ids=["cut off", "emptied", "edited"])
def test_a_file_that_was_changed_since_is_refused_in_one_line(changed: bytes, tmp_path: Path) -> None:
    record = published(tmp_path, b"a\n1\n2\n")
    file = tmp_path / "d/data.csv"
    file.write_bytes(changed)
    with pytest.raises(StoreError) as error:
        verified(tmp_path)
    assert str(error.value) == (
        f"{file}: it was cut off or changed after it was published (CRC-32 {crc32_of(LocalFiles(), str(file)):08x}; "
        f"published were 2 rows, 6 bytes, CRC-32 {record.crc32:08x}, by normalize); run the job again, or remove "
        f"{tmp_path}/_checksums/d/data.csv to accept it as it is"
    )
    # As the message says.
    LocalFiles().remove(f"{tmp_path}/_checksums/d/data.csv")
    assert verified(tmp_path) is None


def test_a_file_without_a_record_is_accepted_as_unknown(tmp_path: Path) -> None:
    published(tmp_path, b"a\n")
    (tmp_path / "d/other.csv").write_bytes(b"a\n")
    assert records_of(tmp_path).verified(str(tmp_path / "d/other.csv"), REMEDY) == []


def test_any_file_that_was_published_is_good_whichever_of_two_runs_came_last(tmp_path: Path) -> None:
    first = published(tmp_path, b"a\n1\n")
    second = published(tmp_path, b"a\n2\n")
    assert verified(tmp_path) == second
    (tmp_path / "d/data.csv").write_bytes(b"a\n1\n")
    assert verified(tmp_path) == first


def test_a_file_that_is_replaced_while_it_is_read_is_good(tmp_path: Path) -> None:
    published(tmp_path, b"a\n1\n")

    class ReplacedOnOpening(LocalFiles):
        def open(self, uri: str, start: int = 0) -> BinaryIO:
            published(tmp_path, b"a\n2\n")
            return super().open(uri, start)

    found = Records(ReplacedOnOpening(), str(tmp_path)).verified(str(tmp_path / "d/data.csv"), REMEDY)
    assert found is not None


def test_records_of_replaced_files_go_after_a_day(tmp_path: Path) -> None:
    olds = [published(tmp_path, b"old"), published(tmp_path, b"live"), published(tmp_path, b"young")]
    long_ago = time.time() - (KEPT_FOR + timedelta(minutes=1)).total_seconds()
    for record in olds[:2]:
        os.utime(tmp_path / f"_checksums/d/data.csv/{record.name}", (long_ago, long_ago))
    records_of(tmp_path).remove_old(str(tmp_path / "d/data.csv"), current=olds[1])
    assert {record.crc32 for record in records_of(tmp_path).records_for(str(tmp_path / "d/data.csv"))} == {
        olds[1].crc32,
        olds[2].crc32,
    }


def test_other_rows_than_were_published_are_refused_with_both_numbers() -> None:
    record = Record(45, 1, 7, "normalize", "run-1")
    record.refuse_other_rows("data.csv", 45, REMEDY)
    with pytest.raises(StoreError, match=r"^data\.csv: 10 rows were read, but 45 were published; run the job again$"):
        record.refuse_other_rows("data.csv", 10, REMEDY)


def test_a_record_with_more_or_fewer_fields_is_read(tmp_path: Path) -> None:
    file = tmp_path / "d/data.csv"
    record = published(tmp_path, b"a\n1\n")
    (place,) = Path(records_of(tmp_path).folder(str(file))).iterdir()
    content = json.loads(place.read_text())
    place.write_text(json.dumps(content | {"more": 1}))
    assert verified(tmp_path) == record
    place.write_text(json.dumps({name: content[name] for name in ("rows", "bytes", "crc32", "job", "run")}))
    assert verified(tmp_path) == record


def test_a_file_that_an_older_release_published_is_known_by_its_md5(tmp_path: Path) -> None:
    content = b"a\n1\n"
    md5 = hashlib.md5(content).hexdigest()
    (tmp_path / "d").mkdir()
    (tmp_path / "d/data.csv").write_bytes(content)
    place = tmp_path / f"_checksums/d/data.csv/{md5}.run-1.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"rows": 1, "bytes": 4, "md5": md5, "job": "normalize", "run": "run-1"}))
    assert (record := verified(tmp_path)) and (record.rows, record.name) == (1, place.name)
    # A run of this release has recorded its file, and was killed before it published it.
    new = Record(2, 6, 7, "normalize", "run-2")
    records_of(tmp_path).write(str(tmp_path / "d/data.csv"), new)
    assert verified(tmp_path) == record
    (tmp_path / "d/data.csv").write_bytes(b"a\n")
    with pytest.raises(StoreError, match="cut off or changed"):
        verified(tmp_path)


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    record = published(tmp_path, b"a\n")
    broken = tmp_path / f"_checksums/d/data.csv/{record.name}"
    broken.write_text('{"rows": 1}')
    with pytest.raises(StoreError, match=f"^{broken}: .*; remove it$"):
        verified(tmp_path)
