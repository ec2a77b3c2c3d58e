"""Contracts: the standard's schema holds them, Spark reads and checks by them, the catalog takes them."""

import copy
import json
import subprocess
import sys
import zipfile
from collections import Counter
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from chispa import assert_df_equality
from jsonschema import Draft201909Validator
from open_data_contract_standard.model import OpenDataContractStandard
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.contracts.contract import Column, Contract, contract, contract_names, from_document
from catlake.lake.csv import READ_OPTIONS
from catlake.runtime.errors import ContractError
from tests.contracts.songs import CSV_FILE, DOCUMENT, PARQUET_FILE, SONGS, SONGS_CSV, song_rows

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
NAMES = contract_names()
PURCHASES = contract("compras_json")
NO_GENRE = {"genre": None, "comment": None}


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((SCHEMAS / f"{name}.odcs.yaml").read_text(encoding="utf-8"))
    return loaded


# --- the documents


@pytest.mark.parametrize("name", NAMES)
def test_a_contract_satisfies_the_standard(name: str) -> None:
    schema = json.loads((resources.files("open_data_contract_standard") / "schema.json").read_text("utf-8"))
    errors = [error.message for error in Draft201909Validator(schema).iter_errors(document(name))]
    assert errors == []
    OpenDataContractStandard.from_file(str(SCHEMAS / f"{name}.odcs.yaml"))


def test_the_standard_refuses_a_broken_contract() -> None:
    schema = json.loads((resources.files("open_data_contract_standard") / "schema.json").read_text("utf-8"))
    broken = document("curated_conversations")
    broken["schema"][0]["properties"][0]["logicalType"] = "text"
    assert not Draft201909Validator(schema).is_valid(broken)


@pytest.mark.parametrize("name", NAMES)
def test_a_contract_carries_the_name_of_its_file_everywhere(name: str) -> None:
    assert (contract(name).name, document(name)["id"]) == (name, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_required_text_is_not_empty_for_other_tools_either(name: str) -> None:
    for column in document(name)["schema"][0]["properties"]:
        if column.get("required") and column["logicalType"] == "string":
            assert column["logicalTypeOptions"]["minLength"] >= 1, column["name"]


# --- what Spark and the catalog see


def test_the_columns_are_those_of_the_document() -> None:
    assert SONGS.struct.simpleString() == (
        "struct<song_id:string,title:string,genre:string,recorded:date,plays:int,seconds:bigint,notes:string,"
        "comment:string>"
    )
    assert [field.name for field in SONGS.struct if field.nullable] == ["genre", "recorded", "comment"]
    assert (SONGS.key, SONGS.table, SONGS.format) == (("song_id",), "songs", "parquet")
    assert {(field.dataType, field.nullable) for field in SONGS.text_struct} == {(T.StringType(), True)}
    assert SONGS.text_struct.names == SONGS.struct.names


@pytest.mark.parametrize("name", NAMES)
def test_glue_takes_the_catalog_columns(name: str) -> None:
    glue = ServiceModel(Loader().load_service_model("glue", "service-2"), "glue")
    shape = glue.shape_for("Column")
    for column in contract(name).catalog_columns + contract(name).catalog_partitions:
        assert not ParamValidator().validate(column, shape).has_errors()
        for member, value in column.items():
            assert shape.members[member].metadata.get("min", 0) <= len(value) <= shape.members[member].metadata["max"]


def test_a_nested_column_has_the_types_of_its_fields() -> None:
    types = {column["Name"]: column["Type"] for column in PURCHASES.catalog_columns}
    assert types["productos"] == ("array<struct<codigo:string,nombre:string,precio_unitario:string,cantidad:string>>")
    assert types["resumen"] == (
        "struct<total_productos:bigint,total_cantidad:string,total_precio:string,moneda:string>"
    )
    assert {field.name: field.dataType.simpleString() for field in PURCHASES.struct} == types


def test_a_partition_column_is_told_by_the_path_and_is_no_column_of_the_file() -> None:
    names = [column["Name"] for column in PURCHASES.catalog_partitions]
    assert names == ["tenant_id", "year", "month", "day"]
    assert not set(names) & set(PURCHASES.struct.names)
    assert PURCHASES.path_template.startswith("compras/" + "/".join(f"{{{name}}}" for name in names) + "/")
    assert (PURCHASES.root, PURCHASES.table, PURCHASES.format) == ("compras", "compras_json", "json")


def test_the_path_has_the_run_date() -> None:
    assert SONGS_CSV.path(date(2025, 11, 20)) == CSV_FILE
    assert SONGS.path(date(2025, 11, 20)) == PARQUET_FILE


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ("", "reports/compras/purchases_daily.parquet/data.parquet"),
        ("tenants/t1", "reports/compras/tenants/t1/purchases_daily.parquet/data.parquet"),
    ],
)
def test_the_path_of_a_scope_lies_in_its_folder(scope: str, path: str) -> None:
    assert contract("purchases_daily").path(date(2025, 8, 4), scope) == path


def test_an_unknown_contract_names_those_that_there_are() -> None:
    with pytest.raises(
        ContractError, match="users does not exist; use one of application_costs, bedrock_items, bots, "
    ):
        contract("users")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"physicalType": "money"}, "column cost: physicalType money is unknown"),
        ({"description": "x" * 256}, "column cost: its description is over 255 characters"),
        ({"logicalTypeOptions": {"pattern": "[0-9]+"}}, r"column cost: pattern \[0-9\]\+ is not anchored"),
    ],
)
def test_a_column_that_cannot_be_kept_is_refused(change: dict[str, Any], message: str) -> None:
    broken = copy.deepcopy(DOCUMENT)
    broken["schema"][0]["properties"][1] |= {"name": "cost", **change}
    with pytest.raises(ContractError, match=message):
        _ = from_document(broken).struct


def test_prices_can_be_exact_decimals() -> None:
    assert Column("cost", "number", "decimal(10,6)", "Cost in USD.").spark_type == T.DecimalType(10, 6)


def test_the_packaged_library_needs_no_yaml(tmp_path: Path) -> None:
    package = tmp_path / "catlake.zip"
    with zipfile.ZipFile(package, "w") as archive:
        for file in (ROOT / "lib" / "catlake").rglob("*.py"):
            archive.write(file, file.relative_to(ROOT / "lib"))
        for name in NAMES:
            archive.writestr(f"catlake/_contracts/{name}.json", json.dumps(document(name)))
    script = (
        f"import sys; sys.path.insert(0, {str(package)!r}); sys.modules['yaml'] = None\n"
        "from catlake.contracts.contract import __file__, contract, contract_names\n"
        "print(__file__); print(contract_names()); print(contract('compras_json'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    module, names, purchases = done.stdout.splitlines()
    assert module.startswith(str(package))
    assert (names, purchases) == (str(NAMES), str(PURCHASES))


# --- conform


def test_conform_orders_the_columns_and_gives_them_the_contracts_types(spark: SparkSession) -> None:
    good = song_rows(spark, SONGS, {}, NO_GENRE)
    shuffled = good.select(*sorted(good.columns)).withColumns(
        {
            "plays": F.col("plays").cast("bigint"),
            "seconds": F.col("seconds").cast("int"),
        }
    )
    assert_df_equality(SONGS.conform(shuffled), good, ignore_nullable=True)


def test_conform_gives_an_untyped_null_the_columns_type(spark: SparkSession) -> None:
    bare = song_rows(spark, SONGS, {}).withColumn("recorded", F.lit(None))
    assert SONGS.conform(bare).schema["recorded"].dataType == T.DateType()


def broken_rules(dataset: Contract, df: DataFrame) -> dict[str, int]:
    """How many rows break which rule."""
    return Counter(rule for row in df.select(dataset.violations()).collect() for rule in row[0])


def test_a_number_that_does_not_fit_is_reported_and_never_wraps_around(spark: SparkSession) -> None:
    large = song_rows(spark, SONGS, {}).withColumn("plays", F.lit(2**32 + 1))
    assert broken_rules(SONGS, SONGS.conform(large)) == {"plays.required": 1}


def test_conform_names_every_missing_extra_and_wrongly_typed_column(spark: SparkSession) -> None:
    wrong = (
        song_rows(spark, SONGS, {})
        .drop("title")
        .withColumn("year", F.lit(1))
        .withColumn("recorded", F.lit("01/07/1959"))
    )
    with pytest.raises(ContractError) as raised:
        SONGS.conform(wrong)
    assert str(raised.value) == (
        "songs: title is missing, year is not in the contract, "
        "recorded is string, not date; "
        "the columns must be those of schemas/songs.odcs.yaml"
    )


def test_conform_refuses_a_column_that_appears_twice(spark: SparkSession) -> None:
    good = song_rows(spark, SONGS, {})
    with pytest.raises(ContractError, match="title appears more than once"):
        SONGS.conform(good.select("*", "title"))


# --- rules: each is shown to fail on a row that breaks nothing else

BROKEN = [
    ({"song_id": None}, "song_id.required"),
    ({"song_id": ""}, "song_id.required"),
    ({"title": ""}, "title.required"),
    ({"genre": "Jazz"}, "genre.allowed"),
    ({"plays": None}, "plays.required"),
    ({"plays": 0}, "plays.minimum"),
    ({"seconds": None}, "seconds.required"),
    ({"notes": "{}"}, "notes.pattern"),
    ({"notes": "[] []x"}, "notes.pattern"),
    ({"notes": "[]\n"}, "notes.pattern"),
    ({"notes": None}, "notes.required"),
    (NO_GENRE | {"comment": "cool"}, "comment_without_genre"),
]
ONLY_IN_PARQUET = [({"genre": ""}, "genre.allowed")]
ONLY_IN_CSV = [({"recorded": "1959-07-01"}, "recorded.pattern"), ({"recorded": "01/07/1959\n"}, "recorded.pattern")]
DATASETS = pytest.mark.parametrize(
    ("dataset", "broken"),
    [(SONGS, BROKEN + ONLY_IN_PARQUET), (SONGS_CSV, BROKEN + ONLY_IN_CSV)],
    ids=["parquet", "csv"],
)
Broken = list[tuple[dict[str, Any], str]]


@DATASETS
def test_each_broken_row_breaks_its_rule_and_no_other(spark: SparkSession, dataset: Contract, broken: Broken) -> None:
    rows = song_rows(spark, dataset, *(change for change, _ in broken)).select(dataset.violations()).collect()
    assert [(change, row[0]) for (change, _), row in zip(broken, rows, strict=True)] == [
        (change, [rule]) for change, rule in broken
    ]


def test_good_rows_break_nothing(spark: SparkSession) -> None:
    good = song_rows(spark, SONGS, {}, NO_GENRE | {"song_id": "b2", "recorded": None})
    assert [row[0] for row in good.select(SONGS.violations()).collect()] == [[], []]


def test_the_unique_columns_are_the_key_and_those_that_are_unique_alone() -> None:
    assert SONGS.unique_columns == [("song_id",)]


# --- CSV


def csv(folder: Path, text: str) -> str:
    header = ",".join(SONGS_CSV.struct.names)
    (folder / "data.csv").write_text(f"{header}\n{text}\n", encoding="utf-8")
    return str(folder / "data.csv")


GOOD_CSV = 'a1,Take Five,jazz,,1,324,[],"says ""hola"",\n\\ and leaves 😀"'


@pytest.mark.parametrize("schema", [SONGS_CSV.struct, SONGS_CSV.text_struct], ids=["typed", "text"])
def test_a_csv_is_read_whole_by_the_contracts_dialect_and_checked(
    spark: SparkSession, tmp_path: Path, schema: T.StructType
) -> None:
    df = spark.read.options(**READ_OPTIONS | {"mode": "PERMISSIVE"}).schema(schema).csv(csv(tmp_path, GOOD_CSV))
    assert broken_rules(SONGS_CSV, df) == {}
    assert df.first().comment == 'says "hola",\n\\ and leaves 😀'


@pytest.mark.parametrize(
    ("schema", "rule"),
    [(SONGS_CSV.struct, "required"), (SONGS_CSV.text_struct, "type")],
    ids=["typed", "text"],
)
def test_a_text_in_a_numbers_place_is_found_however_the_csv_is_read(
    spark: SparkSession, tmp_path: Path, schema: T.StructType, rule: str
) -> None:
    path = csv(tmp_path, GOOD_CSV.replace(",1,324", ",one,324"))
    df = spark.read.options(**READ_OPTIONS | {"mode": "PERMISSIVE"}).schema(schema).csv(path)
    assert broken_rules(SONGS_CSV, df) == {f"plays.{rule}": 1}
