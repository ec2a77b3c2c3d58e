"""Contracts: the standard's schema holds them, Spark reads and checks by them, the catalog takes them."""

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

from catlake.contracts import contract as module
from catlake.contracts.contract import Column, Contract, contract, contract_names
from catlake.lake.csv import READ_OPTIONS
from catlake.runtime.errors import ContractError

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
NAMES = (
    "compras_json",
    "curated_conversations",
    "normalized_conversations",
    "purchases_current",
    "purchases_daily",
    "purchases_products",
    "token_costs",
    "tokens_analysis",
    "tokens_analysis_consolidated",
    "tokens_analysis_old_table",
    "tokens_daily",
    "tokens_table_consolidated",
)
PURCHASES = contract("compras_json")
CURATED = contract("curated_conversations")
NORMALIZED = contract("normalized_conversations")

CURATED_ROW: dict[str, Any] = {
    "usuario_id": "1001",
    "nombre": "Ana Ruiz",
    "gerencia": "Finanzas",
    "ciudad": "Bogotá",
    "fecha_primera_conversacion": date(2025, 8, 4),
    "numero_conversaciones": 1,
    "conversacion_completa": '[{"from": "user", "text": "hola\\nCatia"}]',
    "feedback_total": '[{"type": "like"}]',
    "numero_feedback": 1,
    "pregunta_conversacion": "hola\nCatia",
    "feedback": "like",
    "respuesta_feedback": "clara",
    "token_pregunta": 4,
    "token_respuesta": 0,
}
NORMALIZED_ROW = {name: CURATED_ROW[name] for name in NORMALIZED.struct.names} | {
    "fecha_primera_conversacion": "04/08/2025"
}
NO_FEEDBACK = {"feedback_total": "[]", "numero_feedback": 0, "feedback": None, "respuesta_feedback": None}


def frame(spark: SparkSession, dataset: Contract, *changes: dict[str, Any]) -> DataFrame:
    """A good row for each change, with that change; any column may be null, as in a file that Spark read."""
    base = CURATED_ROW if dataset is CURATED else NORMALIZED_ROW
    nullable = T.StructType([T.StructField(field.name, field.dataType) for field in dataset.struct])
    return spark.createDataFrame([base | change for change in changes], nullable)


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((SCHEMAS / f"{name}.odcs.yaml").read_text(encoding="utf-8"))
    return loaded


# --- the documents


def test_there_is_one_contract_a_dataset() -> None:
    assert contract_names() == NAMES


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


def test_the_normalized_columns_are_those_of_the_specification() -> None:
    assert NORMALIZED.struct.simpleString() == (
        "struct<usuario_id:string,nombre:string,gerencia:string,ciudad:string,fecha_primera_conversacion:string,"
        "numero_conversaciones:int,conversacion_completa:string,feedback_total:string,numero_feedback:int,"
        "pregunta_conversacion:string,feedback:string,respuesta_feedback:string>"
    )
    optional = [field.name for field in NORMALIZED.struct if field.nullable]
    assert optional == [
        "fecha_primera_conversacion",
        "pregunta_conversacion",
        "feedback",
        "respuesta_feedback",
    ]
    assert (NORMALIZED.key, NORMALIZED.table, NORMALIZED.format) == (("usuario_id",), None, "csv")


def test_the_curated_columns_are_the_normalized_ones_and_two_token_counts() -> None:
    assert CURATED.struct.names == [*NORMALIZED.struct.names, "token_pregunta", "token_respuesta"]
    types = {field.name: field.dataType for field in CURATED.struct}
    changed = {name: types[name] for name in NORMALIZED.struct.names if types[name] != NORMALIZED.struct[name].dataType}
    assert changed == {"fecha_primera_conversacion": T.DateType()}
    assert (types["token_pregunta"], types["token_respuesta"]) == (T.LongType(), T.LongType())
    assert (CURATED.key, CURATED.table, CURATED.format) == (("usuario_id",), "data", "parquet")


def test_both_contracts_hold_the_columns_that_they_share_to_the_same_rules() -> None:
    def rules(column: Column) -> tuple[Any, ...]:
        return (column.required, column.unique, column.allowed_values, column.minimum)

    assert [rules(column) for column in NORMALIZED.columns] == [rules(column) for column in CURATED.columns[:12]]


@pytest.mark.parametrize("name", NAMES)
def test_the_text_struct_reads_every_column_as_text(name: str) -> None:
    fields = contract(name).text_struct.fields
    assert [field.name for field in fields] == contract(name).struct.names
    assert {(field.dataType, field.nullable) for field in fields} == {(T.StringType(), True)}


@pytest.mark.parametrize("name", NAMES)
def test_glue_takes_the_catalog_columns(name: str) -> None:
    glue = ServiceModel(Loader().load_service_model("glue", "service-2"), "glue")
    shape = glue.shape_for("Column")
    for column in contract(name).catalog_columns + contract(name).catalog_partitions:
        assert not ParamValidator().validate(column, shape).has_errors()
        for member, value in column.items():
            assert shape.members[member].metadata.get("min", 0) <= len(value) <= shape.members[member].metadata["max"]


def test_the_catalog_types_are_glues() -> None:
    types = [column["Type"] for column in CURATED.catalog_columns]
    assert ",".join(types) == (
        "string,string,string,string,date,int,string,string,int,string,string,string,bigint,bigint"
    )


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


def test_only_the_purchases_documents_are_in_partitions() -> None:
    assert [name for name in NAMES if contract(name).partitions] == ["compras_json"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("normalized_conversations", "reports/etl-process1/data_20250804.csv"),
        ("curated_conversations", "reports/etl-process2/data.parquet/data.parquet"),
    ],
)
def test_the_path_is_that_of_the_run_date(name: str, path: str) -> None:
    assert contract(name).path(date(2025, 8, 4)) == path


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
    with pytest.raises(ContractError, match=r"users does not exist; use one of compras_json, curated_.*, normalized_"):
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
    item = {"name": "cost", "logicalType": "string", "physicalType": "string", "description": "Cost in USD."}
    with pytest.raises(ContractError, match=message):
        _ = module._column(item | change).spark_type


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
        "print(__file__); print(contract_names()); print(contract('curated_conversations'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    file, names, curated = done.stdout.splitlines()
    assert file.startswith(str(package))
    assert (names, curated) == (str(NAMES), str(CURATED))


# --- conform


def test_conform_orders_the_columns_and_gives_them_the_contracts_types(spark: SparkSession) -> None:
    good = frame(spark, CURATED, {}, NO_FEEDBACK)
    shuffled = good.select(*sorted(good.columns)).withColumns(
        {
            "numero_feedback": F.col("numero_feedback").cast("bigint"),
            "token_pregunta": F.col("token_pregunta").cast("int"),
        }
    )
    assert_df_equality(CURATED.conform(shuffled), good, ignore_nullable=True)


def test_conform_gives_an_untyped_null_the_columns_type(spark: SparkSession) -> None:
    bare = frame(spark, CURATED, {}).withColumn("fecha_primera_conversacion", F.lit(None))
    assert CURATED.conform(bare).schema["fecha_primera_conversacion"].dataType == T.DateType()


def broken_rules(dataset: Contract, df: DataFrame) -> dict[str, int]:
    """How many rows break which rule."""
    return Counter(rule for row in df.select(dataset.violations()).collect() for rule in row[0])


def test_a_number_that_does_not_fit_is_reported_and_never_wraps_around(spark: SparkSession) -> None:
    large = frame(spark, CURATED, {}).withColumn("numero_conversaciones", F.lit(2**32 + 1))
    assert broken_rules(CURATED, CURATED.conform(large)) == {"numero_conversaciones.required": 1}


def test_conform_names_every_missing_extra_and_wrongly_typed_column(spark: SparkSession) -> None:
    wrong = (
        frame(spark, CURATED, {})
        .drop("ciudad")
        .withColumn("edad", F.lit(1))
        .withColumn("fecha_primera_conversacion", F.lit("04/08/2025"))
    )
    with pytest.raises(ContractError) as raised:
        CURATED.conform(wrong)
    assert str(raised.value) == (
        "curated_conversations: ciudad is missing, edad is not in the contract, "
        "fecha_primera_conversacion is string, not date; "
        "the columns must be those of schemas/curated_conversations.odcs.yaml"
    )


def test_conform_refuses_a_column_that_appears_twice(spark: SparkSession) -> None:
    good = frame(spark, CURATED, {})
    with pytest.raises(ContractError, match="nombre appears more than once"):
        CURATED.conform(good.select("*", "nombre"))


# --- rules: each is shown to fail on a row that breaks nothing else

BROKEN = [
    (CURATED, {"usuario_id": None}, "usuario_id.required"),
    (CURATED, {"usuario_id": ""}, "usuario_id.required"),
    (CURATED, {"nombre": None}, "nombre.required"),
    (CURATED, {"gerencia": ""}, "gerencia.required"),
    (CURATED, {"ciudad": None}, "ciudad.required"),
    (CURATED, {"numero_conversaciones": None}, "numero_conversaciones.required"),
    (CURATED, {"numero_conversaciones": 0}, "numero_conversaciones.minimum"),
    (CURATED, {"conversacion_completa": None}, "conversacion_completa.required"),
    (CURATED, {"conversacion_completa": "{}"}, "conversacion_completa.pattern"),
    (CURATED, {"conversacion_completa": "[]\n"}, "conversacion_completa.pattern"),
    (CURATED, {"feedback_total": None}, "feedback_total.required"),
    (CURATED, {"feedback_total": "[] []x"}, "feedback_total.pattern"),
    (CURATED, {"numero_feedback": None}, "numero_feedback.required"),
    (CURATED, {"numero_feedback": -1}, "numero_feedback.minimum"),
    (CURATED, {"feedback": "Like"}, "feedback.allowed"),
    (CURATED, {"feedback": ""}, "feedback.allowed"),
    (CURATED, {"token_pregunta": None}, "token_pregunta.required"),
    (CURATED, {"token_pregunta": -1}, "token_pregunta.minimum"),
    (CURATED, {"token_respuesta": None}, "token_respuesta.required"),
    (CURATED, {"token_respuesta": -1}, "token_respuesta.minimum"),
    (CURATED, NO_FEEDBACK | {"respuesta_feedback": "clara"}, "answer_without_feedback"),
    (CURATED, NO_FEEDBACK | {"numero_feedback": 2}, "feedback_without_count"),
    (NORMALIZED, {"usuario_id": ""}, "usuario_id.required"),
    (NORMALIZED, {"nombre": ""}, "nombre.required"),
    (NORMALIZED, {"gerencia": None}, "gerencia.required"),
    (NORMALIZED, {"ciudad": ""}, "ciudad.required"),
    (NORMALIZED, {"fecha_primera_conversacion": "2025-08-04"}, "fecha_primera_conversacion.pattern"),
    (NORMALIZED, {"fecha_primera_conversacion": "04/13/2025"}, "fecha_primera_conversacion.pattern"),
    (NORMALIZED, {"fecha_primera_conversacion": "04/08/2025\n"}, "fecha_primera_conversacion.pattern"),
    (NORMALIZED, {"numero_conversaciones": None}, "numero_conversaciones.required"),
    (NORMALIZED, {"numero_conversaciones": 0}, "numero_conversaciones.minimum"),
    (NORMALIZED, {"conversacion_completa": ""}, "conversacion_completa.required"),
    (NORMALIZED, {"feedback_total": "null"}, "feedback_total.pattern"),
    (NORMALIZED, {"conversacion_completa": "hola"}, "conversacion_completa.pattern"),
    (NORMALIZED, {"feedback_total": None}, "feedback_total.required"),
    (NORMALIZED, {"numero_feedback": None}, "numero_feedback.required"),
    (NORMALIZED, {"numero_feedback": -1}, "numero_feedback.minimum"),
    (NORMALIZED, {"feedback": "love"}, "feedback.allowed"),
]


@pytest.mark.parametrize("dataset", [CURATED, NORMALIZED], ids=lambda dataset: dataset.name)
def test_each_broken_row_breaks_its_rule_and_no_other(spark: SparkSession, dataset: Contract) -> None:
    broken = [(change, rule) for of, change, rule in BROKEN if of is dataset]
    rows = frame(spark, dataset, *(change for change, _ in broken)).select(dataset.violations()).collect()
    assert [(change, row[0]) for (change, _), row in zip(broken, rows, strict=True)] == [
        (change, [rule]) for change, rule in broken
    ]


@pytest.mark.usefixtures("spark")
def test_every_rule_of_both_contracts_is_seen_to_fail() -> None:
    # "type" concerns text only; its own tests are below.
    for dataset in (CURATED, NORMALIZED):
        rules = {rule for rule in dataset._broken() if not rule.endswith(".type")}
        assert rules == {rule for of, _, rule in BROKEN if of is dataset}


def test_good_rows_break_nothing(spark: SparkSession) -> None:
    good = frame(spark, CURATED, {}, NO_FEEDBACK | {"usuario_id": "1002", "fecha_primera_conversacion": None})
    assert [row[0] for row in good.select(CURATED.violations()).collect()] == [[], []]


def test_the_unique_columns_are_the_key_and_those_that_are_unique_alone() -> None:
    assert CURATED.unique_columns == [("usuario_id",)]
    assert contract("token_costs").unique_columns == [("pk", "sk", "model")]


# --- CSV


def csv(folder: Path, text: str) -> str:
    header = ",".join(NORMALIZED.struct.names)
    (folder / "data.csv").write_text(f"{header}\n{text}\n", encoding="utf-8")
    return str(folder / "data.csv")


GOOD_CSV = '1001,Ana Ruiz,Finanzas,Bogotá,,1,[],[],0,"dijo ""hola"",\n\\ y se fue | user: 😀",,""'


@pytest.mark.parametrize("schema", [NORMALIZED.struct, NORMALIZED.text_struct], ids=["typed", "text"])
def test_a_csv_is_read_whole_by_the_contracts_dialect_and_checked(
    spark: SparkSession, tmp_path: Path, schema: T.StructType
) -> None:
    df = spark.read.options(**READ_OPTIONS | {"mode": "PERMISSIVE"}).schema(schema).csv(csv(tmp_path, GOOD_CSV))
    assert broken_rules(NORMALIZED, df) == {}
    assert df.first().pregunta_conversacion == 'dijo "hola",\n\\ y se fue | user: 😀'


@pytest.mark.parametrize(
    ("schema", "rule"),
    [(NORMALIZED.struct, "required"), (NORMALIZED.text_struct, "type")],
    ids=["typed", "text"],
)
def test_a_text_in_a_numbers_place_is_found_however_the_csv_is_read(
    spark: SparkSession, tmp_path: Path, schema: T.StructType, rule: str
) -> None:
    path = csv(tmp_path, GOOD_CSV.replace(",1,[]", ",one,[]"))
    df = spark.read.options(**READ_OPTIONS | {"mode": "PERMISSIVE"}).schema(schema).csv(path)
    assert broken_rules(NORMALIZED, df) == {f"numero_conversaciones.{rule}": 1}
