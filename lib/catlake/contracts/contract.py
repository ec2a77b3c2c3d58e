"""Data contracts: what each dataset promises, and how Spark checks it.

A contract is one YAML file of `schemas/` in the Open Data Contract Standard. Glue has no PyYAML, so the packaged
library has each contract as JSON (`catlake/_contracts/<name>.json`, see setup.py). In a checkout the YAML itself is
read, so that an older package never hides an edit.
"""

import functools
import json
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources.abc import Traversable
from typing import Any

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from catlake.runtime.errors import ContractError
from catlake.runtime.package import data_folder

YAML_SUFFIX = ".odcs.yaml"
JSON_SUFFIX = ".json"
BUCKET = "s3://{bucket}/"
"""Before a dataset's path, in its contract: each environment has a bucket of its own."""

# The catalog's types that catlake writes, besides decimals.
_SPARK_TYPES: Mapping[str, T.DataType] = {
    "boolean": T.BooleanType(),
    "int": T.IntegerType(),
    "bigint": T.LongType(),
    "double": T.DoubleType(),
    "string": T.StringType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
}
_DECIMAL = re.compile(r"decimal\((\d{1,2}),(\d{1,2})\)")
_ARRAY = re.compile(r"array<(\w+)>")

PERSON_ID, PERSON_RECORD = "person-id", "person-record"
"""Tags of columns: of one whose values are ids of persons, and of one that has records as they were read."""

# The limit of Glue's catalog for a column's comment.
_LONGEST_DESCRIPTION = 255


@dataclass(frozen=True)
class Column:
    """A column of a dataset and the rules of its values.

    `catalog_type` is the type's name in Glue's catalog and in Spark SQL. A `required` value is neither null nor an
    empty text. `pattern` must match the whole value. `fields` are those of a struct, or of each struct in an array;
    the rules apply to the column itself, not to its fields. `tags` mark what the privacy job searches.
    """

    name: str
    logical_type: str
    catalog_type: str
    description: str
    required: bool = False
    unique: bool = False
    allowed_values: tuple[str, ...] = ()
    minimum: int | None = None
    pattern: str | None = None
    fields: tuple["Column", ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def has_rule(self) -> bool:
        """Whether there are values that break a rule of the column."""
        return bool(
            self.catalog_type != "string"
            or self.required
            or self.allowed_values
            or self.minimum is not None
            or self.pattern is not None
        )

    @property
    def spark_type(self) -> T.DataType:
        """The column's type in Spark. Raises ContractError for a type that catlake cannot write."""
        if self.fields:
            struct = T.StructType([T.StructField(field.name, field.spark_type) for field in self.fields])
            return T.ArrayType(struct) if self.logical_type == "array" else struct
        if self.catalog_type in _SPARK_TYPES:
            return _SPARK_TYPES[self.catalog_type]
        if (array := _ARRAY.fullmatch(self.catalog_type)) and array[1] in _SPARK_TYPES:
            return T.ArrayType(_SPARK_TYPES[array[1]])
        if decimal := _DECIMAL.fullmatch(self.catalog_type):
            return T.DecimalType(int(decimal[1]), int(decimal[2]))
        raise ContractError(
            f"column {self.name}: physicalType {self.catalog_type} is unknown; "
            f"use one of {', '.join(_SPARK_TYPES)} or decimal(p,s)"
        )


@dataclass(frozen=True)
class RowRule:
    """A condition on the columns of one row, in Spark SQL; a row breaks it only where it is false, not null."""

    name: str
    expression: str


@dataclass(frozen=True)
class Contract:
    """What a dataset promises. `table` is its name in the Glue catalog, `None` when it has none there.

    `path_template` is relative to the lake and may have `{run_date}` and the folder `{scope}`. The columns of `key`
    identify a row. `partitions` are columns whose values are in the path and not in the file; they are not among
    `columns`. `domain` is the part of the business that it belongs to. `published_with` is the dataset that names the
    lease under which it is published. Replaced versions are kept for `retention_days`.
    """

    name: str
    version: str
    title: str
    description: str
    format: str
    path_template: str
    table: str | None
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    row_rules: tuple[RowRule, ...] = ()
    order: tuple[str, ...] = ()
    partitions: tuple[Column, ...] = ()
    domain: str = ""
    published_with: str = ""
    retention_days: int | None = None

    def tagged(self, tag: str) -> tuple[str, ...]:
        """The names of the columns that have a tag."""
        return tuple(column.name for column in self.columns if tag in column.tags)

    @property
    def is_kept_up(self) -> bool:
        """Whether it is a table in which jobs merge changes (docs/spec.md 5.1), not files that they replace."""
        return self.format == "iceberg"

    @property
    def struct(self) -> T.StructType:
        """The dataset's schema in Spark; only what is not required is nullable."""
        return T.StructType([T.StructField(c.name, c.spark_type, not c.required) for c in self.columns])

    @property
    def text_struct(self) -> T.StructType:
        """The same columns, all text: for reading a CSV without losing a value to a cast."""
        return T.StructType([T.StructField(c.name, T.StringType()) for c in self.columns])

    @property
    def row_order(self) -> list[tuple[str, bool]]:
        """The columns by which its rows are ordered, and whether each is descending."""
        words = [text.split() for text in self.order or self.key]
        return [(name, "desc" in direction) for name, *direction in words]

    def in_order(self, df: DataFrame, *, is_made: bool = False) -> DataFrame:
        """Rows in one partition, in the order of the dataset: the contract's `orderBy`, else its key.

        With `is_made` the rows are persisted, and one task takes them as they are: nothing is shuffled.
        """
        order = [F.desc(name) if descending else F.asc(name) for name, descending in self.row_order]
        return (df.coalesce(1) if is_made else df.repartition(1)).sortWithinPartitions(*order)

    @property
    def catalog_columns(self) -> list[dict[str, str]]:
        """The columns as Glue's API takes them (`Name`, `Type`, `Comment`)."""
        return [_catalog_column(column) for column in self.columns]

    @property
    def catalog_partitions(self) -> list[dict[str, str]]:
        """The partition columns as Glue's API takes them, from the outermost folder in."""
        return [_catalog_column(column) for column in self.partitions]

    @property
    def root(self) -> str:
        """The folder, relative to the lake, that holds the whole dataset."""
        return self.path_template.partition("{")[0].rpartition("/")[0]

    @property
    def table_folder(self) -> str:
        """The folder, relative to the lake, of the catalog's table: of the whole dataset, not of a `{scope}`."""
        return self.root if self.partitions else self.path(date.min).rpartition("/")[0]

    def path(self, run_date: date, scope: str = "") -> str:
        """The path of a run's data, relative to the lake; `scope` is the folder of a part of the dataset."""
        path = self.path_template.replace("{scope}/", f"{scope}/" if scope else "")
        return path.replace("{run_date}", run_date.strftime("%Y%m%d"))

    def conform(self, df: DataFrame) -> DataFrame:
        """The columns in the contract's order, with its types.

        Integers are widened or narrowed (one that does not fit becomes null, which `violations` reports where the
        column is required) and untyped nulls take the column's type; any other difference is a defect of the
        caller and is refused.

        Raises:
            ContractError: Names all missing, extra and wrongly typed columns.
        """
        actual = {field.name: field.dataType for field in df.schema}
        names = {c.name for c in self.columns}
        faults = [f"{c.name} is missing" for c in self.columns if c.name not in actual]
        faults += [f"{name} is not in the contract" for name in actual if name not in names]
        faults += [f"{name} appears more than once" for name in actual if df.columns.count(name) > 1]
        faults += [
            f"{c.name} is {actual[c.name].simpleString()}, not {c.catalog_type}"
            for c in self.columns
            if c.name in actual and not _fits(actual[c.name], c.spark_type)
        ]
        self._refuse(faults)
        return df.select(*(_typed(c).alias(c.name) for c in self.columns))

    def violations(self) -> SparkColumn:
        """The rules that a row breaks, as `array<string>`: `<column>.<rule>` or a row rule's name.

        The rules of a column are `required`, `type`, `allowed`, `minimum` and `pattern`. Works on typed
        columns and on text.
        """
        broken = self._broken()
        is_broken = functools.reduce(operator.or_, broken.values(), F.lit(False))
        # Most rows break no rule. Not array_compact: it keeps Spark from compiling the whole query.
        names = F.array(*(F.when(condition, F.lit(rule)) for rule, condition in broken.items()))
        nothing = F.array().cast("array<string>")
        return F.when(is_broken, F.array_except(names, F.array(F.lit(None).cast("string")))).otherwise(nothing)

    def broken_rows(self, is_row: SparkColumn) -> SparkColumn:
        """How many of some rows break each rule, as a struct with a field a rule: an aggregate.

        Args:
            is_row: The rows that count.
        """
        return F.struct(*(F.count_if(is_row & broken).alias(rule) for rule, broken in self._broken().items()))

    @property
    def checked_columns(self) -> tuple[Column, ...]:
        """The columns that `violations` and `broken_rows` look at."""
        words = {word for rule in self.row_rules for word in re.findall(r"\w+", rule.expression)}
        return tuple(column for column in self.columns if column.has_rule or column.name in words)

    @property
    def unique_columns(self) -> list[tuple[str, ...]]:
        """The columns, alone or together, whose values no two rows share."""
        unique = {(c.name,) for c in self.columns if c.unique} | ({self.key} if self.key else set())
        return sorted(unique)

    def _broken(self) -> dict[str, SparkColumn]:
        # CSV cannot tell an empty text from an absent one; other formats can, and there absent means null.
        broken: dict[str, SparkColumn] = {}
        for column in self.columns:
            broken |= _broken(column, empty_is_absent=self.format == "csv")
        return broken | {rule.name: ~F.expr(rule.expression) for rule in self.row_rules}

    def _refuse(self, faults: list[str]) -> None:
        if faults:
            raise ContractError(
                f"{self.name}: {', '.join(faults)}; the columns must be those of schemas/{self.name}{YAML_SUFFIX}"
            )


@functools.cache
def contract(name: str) -> Contract:
    """The contract of a dataset.

    Raises:
        ContractError: There is no contract of this name; the message lists the names.
    """
    files = _files()
    if name not in files:
        raise ContractError(f"contract {name} does not exist; use one of {', '.join(files)}")
    return from_document(_document(files[name]))


def contract_names() -> tuple[str, ...]:
    """The names of all contracts, in alphabetical order."""
    return tuple(_files())


def _files() -> dict[str, Traversable]:
    files = sorted(data_folder("schemas", "_contracts").iterdir(), key=lambda file: file.name)
    # A checkout has YAML, a package JSON alone.
    suffix = YAML_SUFFIX if any(file.name.endswith(YAML_SUFFIX) for file in files) else JSON_SUFFIX
    return {file.name.removesuffix(suffix): file for file in files if file.name.endswith(suffix)}


def _document(file: Traversable) -> Any:
    text = file.read_text(encoding="utf-8")
    if file.name.endswith(JSON_SUFFIX):
        return json.loads(text)
    # Imported here: Glue has no PyYAML, and needs none.
    import yaml

    # The parser in C, which pip's wheels have: 0.05 s instead of 0.2 s for all contracts, at each start on a laptop.
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def from_document(document: Mapping[str, Any]) -> Contract:
    """The contract that a document of the Open Data Contract Standard describes."""
    schema, server = document["schema"][0], document["servers"][0]
    custom = {item["property"]: item["value"] for item in document.get("customProperties", ())}
    partitions = _marked(schema, "partitioned", "partitionKeyPosition")
    columns = tuple(_column(item) for item in schema["properties"] if item not in partitions)
    _refuse_unreachable(schema)
    retention = {item["value"] for item in document.get("slaProperties", ()) if item["property"] == "retention"}
    return Contract(
        name=schema["name"],
        version=document["version"],
        title=document["name"],
        description=document["description"]["purpose"],
        format=server["format"],
        path_template=server["location"].removeprefix(BUCKET),
        table=custom.get("catalogTable"),
        columns=columns,
        key=tuple(item["name"] for item in _marked(schema, "primaryKey", "primaryKeyPosition")),
        row_rules=tuple(RowRule(item["name"], item["implementation"]) for item in schema.get("quality", ())),
        order=tuple(custom.get("orderBy", ())),
        partitions=tuple(_column(item) for item in partitions),
        domain=document.get("domain", ""),
        published_with=custom.get("publishedWith", schema["name"]),
        retention_days=min(retention, default=None),
    )


def _refuse_unreachable(schema: Mapping[str, Any]) -> None:
    """Raises ContractError for personal columns in a dataset whose rows no person's id finds."""
    properties = schema["properties"]
    personal = [item["name"] for item in properties if item.get("classification") == "personal"]
    if personal and not any(PERSON_ID in item.get("tags", ()) for item in properties):
        raise ContractError(
            f"{schema['name']}: {', '.join(personal)} are personal, but no column has the tag {PERSON_ID}, by which "
            "the privacy job finds a person's rows; tag the column with the person's id"
        )


def _marked(schema: Mapping[str, Any], mark: str, position: str) -> list[Mapping[str, Any]]:
    """The properties that have a mark, by the position that goes with it."""
    marked = [item for item in schema["properties"] if item.get(mark)]
    return sorted(marked, key=lambda item: int(item[position]))


def _column(item: Mapping[str, Any]) -> Column:
    options = item.get("logicalTypeOptions", {})
    allowed = [check["arguments"]["validValues"] for check in item.get("quality", ())]
    fields = tuple(_column(field) for field in item.get("items", item).get("properties", ()))
    column = Column(
        name=item["name"],
        logical_type=item["logicalType"],
        catalog_type=_catalog_type(item, fields),
        description=item["description"],
        required=item.get("required", False),
        unique=item.get("unique", False),
        allowed_values=tuple(value for values in allowed for value in values),
        minimum=options.get("minimum"),
        pattern=options.get("pattern"),
        fields=fields,
        tags=tuple(item.get("tags", ())),
    )
    if len(column.description) > _LONGEST_DESCRIPTION:
        raise ContractError(
            f"column {column.name}: its description is over {_LONGEST_DESCRIPTION} characters; shorten it"
        )
    if column.pattern and not (column.pattern.startswith("^") and column.pattern.endswith("$")):
        raise ContractError(f"column {column.name}: pattern {column.pattern} is not anchored; write ^…$")
    return column


def _catalog_type(item: Mapping[str, Any], fields: tuple[Column, ...]) -> str:
    if not fields:
        return str(item["physicalType"])
    struct = f"struct<{','.join(f'{field.name}:{field.catalog_type}' for field in fields)}>"
    return f"array<{struct}>" if item["logicalType"] == "array" else struct


def _catalog_column(column: Column) -> dict[str, str]:
    return {"Name": column.name, "Type": column.catalog_type, "Comment": column.description}


def _broken(column: Column, empty_is_absent: bool) -> dict[str, SparkColumn]:
    value = F.col(column.name)
    text = value.cast("string")
    absent_or_empty = value.isNull() | (text == "")
    present = ~absent_or_empty if empty_is_absent else value.isNotNull()
    rules = {}
    if column.catalog_type != "string":
        rules["type"] = present & _typed(column).isNull()
    if column.required:
        rules["required"] = absent_or_empty
    if column.allowed_values:
        rules["allowed"] = present & ~text.isin(*column.allowed_values)
    if column.minimum is not None:
        rules["minimum"] = _typed(column) < column.minimum
    if column.pattern is not None:
        rules["pattern"] = present & ~text.rlike(_whole(column.pattern))
    return {f"{column.name}.{rule}": condition for rule, condition in rules.items()}


def _typed(column: Column) -> SparkColumn:
    # try_cast gives null where ANSI mode (Spark 4's default) would fail and the old mode wrap around.
    return F.expr(f"try_cast(`{column.name}` AS {column.catalog_type})")


def _whole(pattern: str) -> str:
    # In Java, unlike in the contract's ECMA-262, $ also matches before a final line break.
    return rf"\A(?:{pattern[1:-1]})\z"


def _fits(actual: T.DataType, expected: T.DataType) -> bool:
    both_integers = isinstance(actual, T.IntegralType) and isinstance(expected, T.IntegralType)
    return actual == expected or both_integers or isinstance(actual, T.NullType)
