"""The catalog's tables as Glue's API takes them, from their contracts."""

from collections.abc import Mapping
from typing import Any

from catlake.contracts.contract import Contract

FORMATS: Mapping[str, Mapping[str, str]] = {
    "parquet": {
        "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    },
    # Hive's own SerDe, not OpenX's: a number in a string column keeps its digits, and a broken line fails the query.
    # AWS itself recommends it where OpenX's gives missing rows, extra rows or nulls.
    "json": {
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerializationLibrary": "org.apache.hive.hcatalog.data.JsonSerDe",
    },
}
"""How the catalog names the parts of a format."""


def table_input(contract: Contract, lake_uri: str) -> dict[str, Any]:
    """The `TableInput` of CreateTable for a dataset below a bucket.

    The location of a partitioned table is the folder above its partitions, else the folder of its file. A table's
    partitions are registered (`catlake.lake.catalog`), not projected: a projection cannot list
    tenants.

    Raises:
        ValueError: The contract has no table, or a format that the catalog does not read.
    """
    if contract.table is None or contract.format not in FORMATS:
        raise ValueError(f"contract {contract.name}: no catalog table, or its format {contract.format} makes none")
    parts = FORMATS[contract.format]
    return {
        "Name": contract.table,
        "Description": contract.description,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": contract.format, "contract": contract.version},
        "PartitionKeys": contract.catalog_partitions,
        "StorageDescriptor": {
            "Columns": contract.catalog_columns,
            "Location": f"{lake_uri.rstrip('/')}/{contract.table_folder}/",
            "InputFormat": parts["InputFormat"],
            "OutputFormat": parts["OutputFormat"],
            "SerdeInfo": {
                "SerializationLibrary": parts["SerializationLibrary"],
                "Parameters": {"serialization.format": "1"},
            },
        },
    }
