"""The catalog's views over purchases as Glue's API takes them.

Athena keeps a view as a table whose text is its statement and its columns, so that a stack can make it together with
the tables that it reads: no job and no person has to run CREATE VIEW.
The form is that of Trino's Hive connector, on which Athena is built: the text `/* Presto View: <base64 of JSON> */`.
"""

import base64
import json
from typing import Any

from catlake.contracts.contract import contract
from deploy.athena import SQL, VIEW_SUFFIX

CURRENT_PURCHASES = "compras_actuales"
"""The view: each purchase as its latest event has it."""


def current_purchases_view(database: str) -> dict[str, Any]:
    """The `TableInput` of CreateTable for the view of current purchases, which reads tables of `database`."""
    statement = (SQL / f"{CURRENT_PURCHASES}{VIEW_SUFFIX}").read_text(encoding="utf-8")
    columns = _columns()
    view = {
        # The statement without its CREATE VIEW … AS.
        "originalSql": statement.partition(" AS\n")[2].strip(),
        "catalog": "awsdatacatalog",
        "schema": database,
        "columns": [{"name": name, "type": _athena_type(kind)} for name, kind in columns.items()],
        # A reader needs rights on what the view reads, as for every view in Athena.
        "runAsInvoker": True,
    }
    text = base64.b64encode(json.dumps(view, ensure_ascii=False).encode()).decode()
    return {
        "Name": CURRENT_PURCHASES,
        # No Description: Trino would take it for the comment, by which it knows a view of its own.
        "TableType": "VIRTUAL_VIEW",
        "Parameters": {"presto_view": "true", "comment": "Presto View"},
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
            "SerdeInfo": {},
        },
        "ViewOriginalText": f"/* Presto View: {text} */",
        "ViewExpandedText": "/* Presto View */",
    }


def _columns() -> dict[str, str]:
    """The view's columns and their types in the catalog, in the order of the statement."""
    table = {column.name: column.catalog_type for column in contract("compras_current").columns}
    return {
        "tenant_id": "string",
        "compra_id": "string",
        "user_id": "string",
        "fecha": "string",
        "dia": "date",
        "productos": table["productos"],
        "total_productos": "bigint",
        "total_cantidad": "decimal(38,6)",
        "total_precio": "decimal(38,2)",
        "moneda": "string",
        "ultimo_evento": "string",
        "actualizada": "timestamp",
    }


def _athena_type(kind: str) -> str:
    """`array<struct<codigo:string>>` → `array(row(codigo varchar))`."""
    for catalog, athena in (("struct", "row"), ("<", "("), (">", ")"), (":", " "), ("string", "varchar")):
        kind = kind.replace(catalog, athena)
    return kind
