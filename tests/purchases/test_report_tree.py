"""The tree of documents: found whatever its folders are called, read whole, and nothing else with it."""

import re
from pathlib import Path

import pytest
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from catlake.purchases import document_tree as tree
from catlake.purchases.document_tree import DocumentTree, no_such_tenant
from catlake.purchases.event_document import document
from catlake.runtime.errors import StoreError, explain
from catlake.runtime.files import Files, LocalFiles, S3Files, files_for
from tests.purchases.records import LOCAL
from tests.purchases.tree import event, write
from tests.s3 import S3Server

TENANTS = ("t1", "_t2", ".t3", "all", "tenants", "UPPER")


def purchase(number: int, tenant: str = "t1", fecha: str = "2025-07-13") -> bytes:
    moment = f"2025-07-13 15:30:{number % 60:02}"
    return event("INSERT", f"c{number}", moment, ("P", "Café", "1.50", "2"), tenant=tenant, fecha=fecha, sequence="1")


def tree_of(spark: SparkSession, bucket: Path, files: Files | None = None) -> DocumentTree:
    return DocumentTree(spark, files or LocalFiles(), str(bucket / "compras"), "USD")


def found(spark: SparkSession, bucket: Path) -> dict[str, str | None]:
    """The files that are read, by path below the tree, and why each is no document."""
    whole = tree_of(spark, bucket)
    rows = whole.read_folders(whole.months()).collect()
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row["reason"] for row in rows}


def test_the_months_of_all_shops_are_found_whatever_they_are_called(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, *(purchase(1, tenant) for tenant in TENANTS), purchase(2, fecha="2024-12-31"), purchase(3))
    root = str(tmp_path / "compras")
    expected = sorted([f"{root}/{tenant}/2025/07" for tenant in TENANTS] + [f"{root}/t1/2024/12"])
    whole = tree_of(spark, tmp_path)
    assert sorted(whole.months()) == expected
    assert whole.below([f"{root}/t1/2024", f"{root}/none"]) == [f"{root}/t1/2024/12"]


def test_a_lake_without_purchases_says_what_to_run(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"compras: there are no purchases here; run the job purchases_ingest"):
        tree_of(spark, tmp_path).months()


def test_the_error_of_an_unknown_shop_names_those_that_are_close() -> None:
    error = no_such_tenant("compras", ["tienda-norte", "tienda-sur", "otra"], "tienda-nort")
    assert re.search(r"no purchases of the tenant tienda-nort; .*\(tienda-norte, .*, …\), or run", str(error))


def test_every_file_below_the_months_is_read_once(spark: SparkSession, tmp_path: Path) -> None:
    paths = write(tmp_path, *(purchase(number, tenant) for tenant in TENANTS for number in range(7)))
    assert found(spark, tmp_path) == {str(path.relative_to(tmp_path / "compras")): None for path in paths}


def test_what_is_no_document_comes_along_with_its_reason(spark: SparkSession, tmp_path: Path) -> None:
    (path,) = write(tmp_path, purchase(1))
    day = path.parent
    (day / "_SUCCESS").touch()
    (day / "deeper").mkdir()
    (day / "deeper" / path.name).write_bytes(path.read_bytes())
    (day.parent / "x.json").write_bytes(path.read_bytes())
    reasons = found(spark, tmp_path)
    assert len(reasons) == 4
    assert reasons.pop(f"t1/2025/07/13/{path.name}") is None
    assert all(reasons.values())


def test_a_file_that_a_writer_has_not_finished_is_none_yet(spark: SparkSession, tmp_path: Path) -> None:
    (path,) = write(tmp_path, purchase(1))
    (path.parent / ".tmp4711.tmp").write_bytes(b"{")
    assert list(found(spark, tmp_path).values()) == [None]


def test_a_file_too_large_for_a_document_is_reported_and_not_read(spark: SparkSession, tmp_path: Path) -> None:
    (path,) = write(tmp_path, purchase(1))
    large = path.with_name("insert_c9_20250713_153000_1.json")
    large.touch()
    with large.open("r+b") as stream:
        stream.truncate(5 << 30)  # a file with a hole: it takes no room
    assert found(spark, tmp_path)[f"t1/2025/07/13/{large.name}"] == "5368709120 bytes are no document; it is not read"


def test_a_file_that_vanishes_meanwhile_fails_the_run(spark: SparkSession, tmp_path: Path) -> None:
    day = tmp_path / "compras/t1/2025/07/13"
    day.mkdir(parents=True)
    (day / "insert_c1_20250713_153000_1.json").write_bytes(b"{}")
    whole = tree_of(spark, tmp_path, _Vanishing())
    with pytest.raises(PythonException) as raised:
        whole.read_folders(whole.months()).collect()
    assert (explain(raised.value) or "").endswith("it was removed while the documents were read; run the job again")


def test_a_listed_document_is_read_once_and_one_that_is_gone_is_rejected(spark: SparkSession, tmp_path: Path) -> None:
    (path,) = write(tmp_path, purchase(1))
    name, gone = str(path.relative_to(tmp_path / "compras")), "t1/2025/07/13/insert_c2_20250713_153000_1.json"
    lists = [str(tmp_path / f"{number}.jsonl") for number in range(2)]
    for uri in lists:
        Path(uri).write_text(f'["{name}",{path.stat().st_size}]\n["{gone}",9]\n', encoding="utf-8")
    rows = {row["path"]: row["reason"] for row in tree_of(spark, tmp_path).read_lists(lists).collect()}
    assert rows == {name: None, gone: "the document is gone since it was written"}


class _Vanishing(LocalFiles):
    """A folder whose files are removed once they are listed."""

    def read(self, uri: str, most: int = -1) -> bytes:
        Path(uri).unlink()
        return super().read(uri, most)


def test_the_files_of_a_task_are_held_in_portions() -> None:
    few = [(f"f{at}", 10) for at in range(3 * tree.PORTION_FILES + 1)]
    portions = list(tree._portions(iter(few)))
    assert [len(portion) for portion in portions] == [tree.PORTION_FILES] * 3 + [1]
    large = [(f"f{at}", tree.MOST_BYTES) for at in range(9)]
    assert [len(portion) for portion in tree._portions(iter(large))] == [4, 4, 1]
    # What is not read takes no room.
    assert [len(portion) for portion in tree._portions(iter([("f", 1 << 40), ("g", 10), ("h", 10)]))] == [3]
    assert list(tree._portions(iter([]))) == []


@pytest.mark.slow
def test_a_bucket_is_read_as_a_folder_is(spark: SparkSession, s3: S3Server) -> None:
    s3.configure(spark)
    root = f"s3://{s3.bucket()}/compras"
    files = files_for(spark, root)
    assert isinstance(files, S3Files)
    made = [document(purchase(number, tenant), LOCAL) for tenant in TENANTS for number in range(7)]
    for each in made:
        files.write(root.removesuffix("compras") + each.path, each.content)
    # The mark that consoles leave for a folder is no file.
    files.client.put_object(Bucket=root.split("/")[2], Key="compras/t1/2025/07/13/", Body=b"")
    whole = DocumentTree(spark, files, root, "USD")
    rows = whole.read_folders(whole.months()).collect()
    assert sorted(row["path"] for row in rows) == sorted(each.path.removeprefix("compras/") for each in made)
    assert {row["reason"] for row in rows} == {None}
    assert {row["file"] for row in rows} == {root.removesuffix("compras") + each.path for each in made}
    assert f"{root}/.t3/2025/07" in whole.months()
