"""The report of purchases as DuckDB's program: from the stored documents, or straight from the change events.

Both write what the job publishes: the current purchases, the sales by day and by product. They check nothing.
"""

from __future__ import annotations

from pathlib import Path

from bench.programs.duckdb_conversations import connect
from bench.programs.parts import Parts

_DOCUMENTS = """
SELECT
    tenant_id, compra_id, metadata.event_name AS event_name, metadata.processed_at::TIMESTAMP AS processed_at,
    regexp_extract(filename, '_([0-9]+)[.]json$', 1)::HUGEINT AS sequence,
    array_to_string(string_split(filename, '/')[-4:-2], '-')::DATE AS day,
    [{'codigo': p.codigo, 'nombre': p.nombre, 'quantity': p.cantidad, 'amount': p.precio_unitario * p.cantidad}
     FOR p IN productos] AS lines
FROM read_json($files, filename = true, format = 'unstructured', columns = {
    tenant_id: 'VARCHAR', compra_id: 'VARCHAR', metadata: 'STRUCT(event_name VARCHAR, processed_at VARCHAR)',
    productos: 'STRUCT(codigo VARCHAR, nombre VARCHAR, precio_unitario DECIMAL(18,2), cantidad DECIMAL(9,0))[]'})
"""

_EVENTS = """
SELECT
    image.tenant_id.S AS tenant_id, image.compra_id.S AS compra_id, eventName AS event_name,
    make_timestamp(dynamodb.ApproximateCreationDateTime * 1_000_000) AS processed_at,
    dynamodb.SequenceNumber::HUGEINT AS sequence,
    image.fecha.S[:10]::DATE AS day,
    [{'codigo': p.M.codigo.S, 'nombre': p.M.nombre.S, 'quantity': p.M.cantidad.N,
      'amount': p.M.precio_unitario.N * p.M.cantidad.N} FOR p IN image.productos.L] AS lines
FROM (
    SELECT *, coalesce(dynamodb.NewImage, dynamodb.OldImage) AS image
    FROM read_json($files, format = 'newline_delimited', columns = {eventName: 'VARCHAR', dynamodb: 'STRUCT(
        NewImage {image}, OldImage {image}, SequenceNumber VARCHAR, ApproximateCreationDateTime BIGINT)'})
)
""".replace(
    "{image}",
    """STRUCT(tenant_id STRUCT(S VARCHAR), compra_id STRUCT(S VARCHAR), fecha STRUCT(S VARCHAR),
        productos STRUCT(L STRUCT(M STRUCT(codigo STRUCT(S VARCHAR), nombre STRUCT(S VARCHAR),
            precio_unitario STRUCT(N DECIMAL(18,2)), cantidad STRUCT(N DECIMAL(9,0))))[]))""",
)

_CURRENT = """
CREATE TEMP TABLE purchases AS
SELECT
    *,
    list_sum([line.quantity FOR line IN lines]) AS quantity,
    list_sum([line.amount FOR line IN lines]) AS revenue
FROM ({source})
QUALIFY row_number() OVER (
    PARTITION BY tenant_id, compra_id ORDER BY processed_at DESC, sequence DESC, event_name DESC
) = 1 AND event_name != 'REMOVE'
"""

_RESULTS = {
    "current": "SELECT * EXCLUDE (lines) FROM purchases ORDER BY tenant_id, compra_id",
    "daily": """
        SELECT tenant_id, day, count(*) AS purchases, sum(quantity) AS quantity, sum(revenue) AS revenue
        FROM purchases GROUP BY ALL ORDER BY ALL""",
    "products": """
        SELECT
            tenant_id, line.codigo AS codigo, arg_max(line.nombre, processed_at) AS nombre,
            count(DISTINCT compra_id) AS purchases, sum(line.quantity) AS quantity, sum(line.amount) AS revenue
        FROM (SELECT tenant_id, compra_id, processed_at, unnest(lines) AS line FROM purchases)
        GROUP BY ALL ORDER BY quantity DESC, revenue DESC, codigo""",
}


def from_documents(compras: Path, result: Path, parts: Parts) -> None:
    """The report from the tree of documents."""
    _report(_DOCUMENTS, f"{compras}/*/*/*/*/*.json", result, parts)


def from_events(landing: Path, result: Path, parts: Parts) -> None:
    """The same report from the files of the events."""
    _report(_EVENTS, f"{landing}/*.jsonl", result, parts)


def _report(source: str, files: str, result: Path, parts: Parts) -> None:
    connection = connect()
    result.mkdir()
    with parts.part("read"):
        connection.execute(_CURRENT.replace("{source}", source), {"files": files})
    with parts.part("write"):
        for name, query in _RESULTS.items():
            connection.execute(f"COPY ({query}) TO '{result}/{name}.parquet' (FORMAT parquet)")
