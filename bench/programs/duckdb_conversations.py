"""normalize and curate as DuckDB's programs: SQL on two threads, and `tiktoken` as a function of the SQL.

They write the rows of the jobs from the bench's exports, and check nothing, as the plain programs do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import CORES
from bench.programs.parts import Parts
from bench.programs.plain_conversations import encoder

# An attribute is a list, a map or a JSON text of one.
_ITEM = """STRUCT(
    PK STRUCT(S VARCHAR), SK STRUCT(S VARCHAR), CreatedAt STRUCT(S VARCHAR),
    UserData STRUCT(S VARCHAR,
        M STRUCT(nombre STRUCT(S VARCHAR), gerencia STRUCT(S VARCHAR), ciudad STRUCT(S VARCHAR))),
    Conversation STRUCT(S VARCHAR,
        L STRUCT(M STRUCT("from" STRUCT(S VARCHAR), "text" STRUCT(S VARCHAR), "timestamp" STRUCT(S VARCHAR)))[]),
    Feedback STRUCT(S VARCHAR, M {entry}, L STRUCT(M {entry})[])
)""".replace("{entry}", 'STRUCT("type" STRUCT(S VARCHAR), "comment" STRUCT(S VARCHAR), "option" STRUCT(S VARCHAR))')

_MACROS = r"""
CREATE MACRO stripped(name) AS nullif(trim(name), '');
CREATE MACRO place(name) AS stripped(regexp_replace(name, '(\s*\([^()]*\))+\s*$', ''));
CREATE MACRO distinct_in_order(texts) AS
    list_filter(texts, lambda word, position: list_position(texts, word) = position);
CREATE MACRO entry(given) AS {'type': given."type".S, 'comment': given."comment".S, 'option': given."option".S};
CREATE MACRO speaker(name) AS CASE
    WHEN lower(trim(name)) IN ('user', 'usuario') THEN 'user'
    WHEN lower(trim(name)) IN ('bot', 'assistant', 'catia') THEN 'bot' ELSE name END;
"""

_CONVERSATIONS = """
CREATE TEMP TABLE conversations AS
WITH messages AS (
    SELECT
        usuario_id, sk, created,
        coalesce(Item.UserData.M.nombre.S, Item.UserData.S ->> 'nombre') AS nombre,
        coalesce(Item.UserData.M.gerencia.S, Item.UserData.S ->> 'gerencia') AS gerencia,
        coalesce(Item.UserData.M.ciudad.S, Item.UserData.S ->> 'ciudad') AS ciudad,
        coalesce(
            [{'conversacion': sk, 'from': speaker(m.M."from".S), 'text': m.M."text".S, 'timestamp': m.M."timestamp".S}
             FOR m IN Item.Conversation.L],
            [{'conversacion': sk, 'from': speaker(m."from"), 'text': m."text", 'timestamp': m."timestamp"}
             FOR m IN from_json(Item.Conversation.S,
                                '[{"from": "VARCHAR", "text": "VARCHAR", "timestamp": "VARCHAR"}]')]
        ) AS messages
    FROM items WHERE kind = 'conversation'
)
SELECT
    usuario_id,
    first(stripped(nombre) ORDER BY created, sk) FILTER (stripped(nombre) IS NOT NULL) AS nombre,
    first(place(gerencia) ORDER BY created, sk) FILTER (place(gerencia) IS NOT NULL) AS gerencia,
    first(place(ciudad) ORDER BY created, sk) FILTER (place(ciudad) IS NOT NULL) AS ciudad,
    min(created) AS first_created,
    count(*) AS numero_conversaciones,
    -- Each array without its brackets.
    string_agg(array_slice(to_json(messages)::VARCHAR, 2, -2), ',' ORDER BY created, sk) AS elements,
    flatten(list([m."text" FOR m IN messages IF m."from" = 'user' AND trim(m."text") != ''] ORDER BY created, sk))
        AS questions
FROM messages GROUP BY usuario_id
"""

_FEEDBACK = """
CREATE TEMP TABLE feedback AS
WITH entries AS (
    SELECT
        usuario_id, sk, created,
        CASE
            WHEN Item.Feedback.M IS NOT NULL THEN [entry(Item.Feedback.M)]
            WHEN Item.Feedback.L IS NOT NULL THEN [entry(m.M) FOR m IN Item.Feedback.L]
            ELSE [from_json(Item.Feedback.S, '{"type": "VARCHAR", "comment": "VARCHAR", "option": "VARCHAR"}')]
        END AS given
    FROM items WHERE kind = 'feedback'
), together AS (
    SELECT usuario_id, flatten(list(given ORDER BY created, sk)) AS given FROM entries GROUP BY usuario_id
)
SELECT
    usuario_id,
    -- A merge patch takes out what is null.
    '[' || array_to_string([json_merge_patch('{}', to_json(g))::VARCHAR FOR g IN given], ',') || ']' AS raw,
    len([g FOR g IN given IF lower(g."type") = 'like']) AS likes,
    len([g FOR g IN given IF lower(g."type") = 'dislike']) AS dislikes,
    distinct_in_order(list_filter(
        [stripped(g."comment") FOR g IN given] || [stripped(g."option") FOR g IN given], lambda r: r IS NOT NULL
    )) AS remarks
FROM together
"""

_ROWS = """
SELECT
    usuario_id,
    coalesce(nombre, 'Usuario Anónimo') AS nombre,
    coalesce(gerencia, ciudad, 'Bogotá') AS gerencia,
    coalesce(ciudad, gerencia, 'Bogotá') AS ciudad,
    strftime(first_created, '%d/%m/%Y') AS fecha_primera_conversacion,
    numero_conversaciones,
    '[' || elements || ']' AS conversacion_completa,
    coalesce(raw, '[]') AS feedback_total,
    coalesce(likes + dislikes, 0) AS numero_feedback,
    nullif(array_to_string(distinct_in_order(questions), ' | '), '') AS pregunta_conversacion,
    CASE WHEN likes > 0 AND dislikes > 0 THEN 'mixed' WHEN likes > 0 THEN 'like' WHEN dislikes > 0 THEN 'dislike' END
        AS feedback,
    nullif(array_to_string(remarks, ' | '), '') AS respuesta_feedback
FROM conversations LEFT JOIN feedback USING (usuario_id)
ORDER BY usuario_id
"""


def connect() -> Any:
    """DuckDB with as many threads as the jobs have cores."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {CORES}")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def normalize(export: Path, result: Path, parts: Parts) -> None:
    """An export → the CSV of one row a user."""
    connection = connect()
    connection.execute(_MACROS)
    files = [str(file) for file in sorted(export.glob("data/*.json.gz"))]
    with parts.part("read"):
        connection.execute(
            """
            CREATE TEMP TABLE items AS
            SELECT
                replace(Item.PK.S, 'USER#', '') AS usuario_id, Item.SK.S AS sk,
                -- Without an offset it is UTC.
                Item.CreatedAt.S::TIMESTAMPTZ AS created,
                CASE WHEN sk ILIKE '%REGISTER%' THEN 'register' WHEN sk ILIKE '%FEEDBACK%' THEN 'feedback'
                     WHEN sk ILIKE '%CONVERSATION%' THEN 'conversation' END AS kind,
                Item
            FROM read_json($files, format = 'newline_delimited', compression = 'gzip', columns = {Item: $item})
            WHERE kind IN ('conversation', 'feedback')
            """,
            {"files": files, "item": _ITEM},
        )
    with parts.part("write"):
        connection.execute(_CONVERSATIONS)
        connection.execute(_FEEDBACK)
        connection.execute(f"COPY ({_ROWS}) TO '{result}' (HEADER, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '')")


def curate(source: Path, result: Path, parts: Parts) -> None:
    """That CSV → Parquet with types and token counts."""
    import pyarrow as pa

    encode = encoder().encode_ordinary

    def token_count(texts: Any) -> Any:
        return pa.array([sum(len(encode(text)) for text in row) for row in texts.to_pylist()], pa.int64())

    connection = connect()
    connection.create_function("token_count", token_count, ["VARCHAR[]"], "BIGINT", type="arrow")
    with parts.part("whole"):
        connection.execute(
            f"""
            COPY (
                WITH rows AS (
                    SELECT *, from_json(conversacion_completa, '[{{"from": "VARCHAR", "text": "VARCHAR"}}]') AS messages
                    FROM read_csv($source, header = true, delim = ',', quote = '"', escape = '"', nullstr = '',
                                  all_varchar = true)
                )
                SELECT * EXCLUDE (messages) REPLACE (
                    strptime(fecha_primera_conversacion, '%d/%m/%Y')::DATE AS fecha_primera_conversacion,
                    numero_conversaciones::INT AS numero_conversaciones,
                    numero_feedback::INT AS numero_feedback,
                    CASE WHEN feedback IS NOT NULL THEN respuesta_feedback END AS respuesta_feedback
                ),
                token_count([m."text" FOR m IN messages IF m."from" = 'user']) AS token_pregunta,
                token_count([m."text" FOR m IN messages IF m."from" = 'bot']) AS token_respuesta
                FROM rows
            ) TO '{result}' (FORMAT parquet)
            """,
            {"source": str(source)},
        )
