"""The generator: exports as AWS writes them, and a committed sample that is exactly what it makes."""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from tests.samples.bedrock_export import items, write_bedrock_export
from tests.samples.catia_export import (
    changed_lines,
    lines,
    lines_of_next_day,
    write_catia_changes,
    write_catia_export,
)
from tests.samples.catia_oddities import oddities
from tests.samples.export_files import Item, Line, write_export

SAMPLE = Path(__file__).parents[1] / "data" / "samples" / "catia"
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/numbers"
EXPORT_TIME = datetime(2025, 11, 20, 5, 0, tzinfo=UTC)


def numbers(count: int) -> Iterator[Item]:
    return ({"PK": {"N": str(number)}} for number in range(count))


def write(folder: Path, count: int, *, seed: int = 1) -> Path:
    return write_export(folder, numbers(count), export_time=EXPORT_TIME, table_arn=TABLE_ARN, seed=seed)


def read(export: Path) -> list[dict[str, Item]]:
    return [
        json.loads(line)
        for file in sorted(export.glob("data/*.gz"))
        for line in gzip.decompress(file.read_bytes()).splitlines()
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def base64_md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@pytest.mark.skipif("ng" in zlib.ZLIB_RUNTIME_VERSION, reason="zlib-ng deflates to other bytes than zlib")
def test_the_committed_sample_is_what_the_generator_makes(tmp_path: Path) -> None:
    write_catia_export(tmp_path, users=60, seed=1)

    made, committed = contents(tmp_path), contents(SAMPLE)

    assert sorted(made) == sorted(committed)
    assert [name for name in made if made[name] != committed[name]] == []


@pytest.mark.skipif("ng" in zlib.ZLIB_RUNTIME_VERSION, reason="zlib-ng deflates to other bytes than zlib")
def test_the_committed_changes_of_the_sample_are_what_the_generator_makes(tmp_path: Path) -> None:
    write_catia_changes(tmp_path, users=60, share=0.05)

    assert contents(tmp_path) == contents(SAMPLE.with_name("catia_next_day"))


def test_the_changes_lead_from_one_days_items_to_those_of_the_next() -> None:
    def items_of(lines: Iterable[Line]) -> dict[str, Item]:
        parsed = [json.loads(line)["Item"] if isinstance(line, str) else line for line in lines]
        return {json.dumps((item["PK"], item["SK"])): item for item in parsed}

    # The odd lines, some of which are none, do not change.
    odd = len(list(oddities()))
    state = items_of(islice(lines(1, 60), odd, None))
    changes = [json.loads(line) for line in changed_lines(1, 60, 0.2)]
    assert {("NewImage" in each, "OldImage" in each) for each in changes} == {
        (True, True),
        (True, False),
        (False, True),
    }
    for each in changes:
        key = json.dumps((each["Keys"]["PK"], each["Keys"]["SK"]))
        assert state.pop(key, None) == each.get("OldImage")
        state |= {key: each["NewImage"]} if "NewImage" in each else {}
    assert state == items_of(islice(lines_of_next_day(1, 60, 0.2), odd, None))


def test_the_sample_holds_every_oddity_and_stays_small() -> None:
    export = next((SAMPLE / "AWSDynamoDB").iterdir())
    lines = b"".join(gzip.decompress(file.read_bytes()) for file in export.glob("data/*.gz")).decode().splitlines()
    quarantined = [each for each in oddities() if each.outcome == "**quarantined**"]

    assert all(
        any(json.dumps(each.sort_key)[1:-1] in line and each.user in line for line in lines) for each in oddities()
    )
    assert len(quarantined) == 3
    assert sum(len(data) for data in contents(SAMPLE).values()) < 300_000


def test_no_two_lines_of_the_sample_share_a_key() -> None:
    keys = [(each.user, each.sort_key) for each in oddities()]

    assert len(set(keys)) == len(keys)


def test_the_manifests_agree_with_the_files(tmp_path: Path) -> None:
    export = write(tmp_path, 10)

    summary = json.loads((export / "manifest-summary.json").read_text())
    files = [json.loads(line) for line in (export / "manifest-files.json").read_text().splitlines()]

    assert export.parent == tmp_path / "AWSDynamoDB"
    assert (export / "_started").read_bytes() == b""
    assert summary["itemCount"] == 10
    assert summary["exportTime"] == "2025-11-20T05:00:00.000Z"
    assert [file["itemCount"] for file in files] == [3, 3, 2, 2, 0]
    for file in files:
        data = (tmp_path / file["dataFileS3Key"]).read_bytes()
        assert file["md5Checksum"] == base64_md5(data)
        assert len(gzip.decompress(data).splitlines()) == file["itemCount"]
    for name in ("manifest-summary", "manifest-files"):
        assert (export / f"{name}.md5").read_text() == base64_md5((export / f"{name}.json").read_bytes())


def test_every_item_is_written_once(tmp_path: Path) -> None:
    read_back = sorted(int(line["Item"]["PK"]["N"]) for line in read(write(tmp_path, 23)))

    assert read_back == list(range(23))


def test_the_seed_alone_decides_names_and_bytes(tmp_path: Path) -> None:
    for folder, seed in (("one", 1), ("again", 1), ("other", 2)):
        write(tmp_path / folder, 10, seed=seed)

    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert not contents(tmp_path / "one").keys() & contents(tmp_path / "other").keys() - {"_started"}


def test_an_export_is_never_written_over_another(tmp_path: Path) -> None:
    write(tmp_path, 10)

    with pytest.raises(FileExistsError):
        write(tmp_path, 10)


def test_a_conversation_does_not_depend_on_the_file_it_lies_in(tmp_path: Path) -> None:
    few = write_bedrock_export(tmp_path / "few", conversations=30, files=2, processes=1)
    many = write_bedrock_export(tmp_path / "many", conversations=30, files=5, processes=2)

    def by_key(export: Path) -> dict[str, Item]:
        return {line["Item"]["SK"]["S"]: line["Item"] for line in read(export)}

    assert by_key(few) == by_key(many)


def test_a_bedrock_item_has_the_size_and_the_shape_of_real_ones() -> None:
    sizes = [len(item["MessageMap"]["S"]) for item in islice(items(1, 0, 300), 300) if "#CONV#" in item["SK"]["S"]]
    nodes = json.loads(next(items(1, 0, 1))["MessageMap"]["S"])

    assert 12_000 < sum(sizes) / len(sizes) < 16_000
    assert next(iter(nodes)) == "system"
    assert {node["role"] for node in nodes.values()} >= {"system", "user", "assistant"}
    assert all(nodes[child]["parent"] == name for name, node in nodes.items() for child in node["children"])
