"""The questions that the pages answer, as SQL on their datasets: one query for each section, and one for the cards.

A query has the columns of its section's table. `{period}`, `{department}` and so on are the conditions of the filters
that the section knows.
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from catlake.conversations.page import COMMON_WORDS

VIEWS = f"""
CREATE VIEW people AS SELECT *, gerencia AS department, ciudad AS city FROM curated_conversations;
CREATE TABLE messages AS
    SELECT usuario_id, department, city, said.conversacion AS conversation,
           CAST(TRY_CAST(said.timestamp AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS DATE) AS day,
           CASE WHEN said."from" = 'user' AND trim(said.text) <> ''
                THEN regexp_replace(trim(said.text), '\\s+', ' ', 'g') END AS question
    FROM (SELECT *, unnest(from_json(conversacion_completa,
              '[{{"conversacion": "VARCHAR", "from": "VARCHAR", "text": "VARCHAR", "timestamp": "VARCHAR"}}]')) AS said
          FROM people);
CREATE VIEW conversations AS
    SELECT usuario_id, department, city, min(day) AS day, 1 AS conversations, count(question) AS questions
    FROM messages GROUP BY usuario_id, department, city, conversation
    UNION ALL
    SELECT usuario_id, department, city, NULL, numero_conversaciones - (SELECT count(DISTINCT conversation)
        FROM messages WHERE messages.usuario_id = people.usuario_id), 0
    FROM people;
CREATE VIEW plain_questions AS
    SELECT *, regexp_replace(lower(question), '^[\\s¿¡]+|[\\s?!.…]+$', '', 'g') AS plain FROM messages
    WHERE plain <> '';
CREATE VIEW words AS
    SELECT * FROM (SELECT usuario_id, department, day,
                          unnest(regexp_extract_all(lower(question), '\\p{{L}}{{4,}}')) AS word FROM messages)
    WHERE word NOT IN {tuple(COMMON_WORDS.split())};
CREATE VIEW usage AS
    SELECT *, user_id AS user, bot_id AS bot, total_cost AS cost, NULL::DECIMAL(20, 12) AS application,
           if(price_state = 'unpriced', calls, 0) AS unpriced_calls,
    FROM token_usage;
CREATE VIEW agreement AS
    SELECT day, user, bot, cost, application, calls, unpriced_calls FROM usage
    UNION ALL SELECT day, user_id, bot_id, NULL, cost::DECIMAL(20, 12), NULL, NULL FROM application_costs;
CREATE VIEW reconciled AS
    SELECT *, bot_id AS bot, estimated_cost::DECIMAL(20, 12) AS cost,
           application_total_price::DECIMAL(20, 12) AS application, state IN ('agrees', 'differs') AS is_compared
    FROM token_reconciliation;
CREATE VIEW dearest AS
    SELECT conversation_id AS conversation, user_id AS user, bot, cost, application, state,
           (SELECT min(day) FROM usage WHERE (usage.pk, usage.sk) = (reconciled.pk, reconciled.sk)) AS day,
           (SELECT sum(calls) FROM usage WHERE (usage.pk, usage.sk) = (reconciled.pk, reconciled.sk)) AS calls
    FROM reconciled WHERE coalesce(cost, application) IS NOT NULL
    ORDER BY coalesce(cost, application) DESC, pk, sk LIMIT 50;
CREATE VIEW sales AS SELECT *, tenant_id AS shop FROM purchases_daily;
CREATE VIEW products AS SELECT *, tenant_id AS shop FROM purchases_products;
"""

_VOTES = """
    (SELECT department, token_pregunta, token_respuesta,
            len(list_filter(kinds, kind -> kind = 'like')) AS likes,
            len(list_filter(kinds, kind -> kind = 'dislike')) AS dislikes
     FROM (SELECT *, json_extract_string(feedback_total, '$[*].type') AS kinds FROM people))
"""
_LIKED = "sum(likes) / nullif(sum(likes) + sum(dislikes), 0)"
_ACTIVITY = "count(DISTINCT usuario_id), sum(conversations), sum(questions)"
_ASKED = f"{_ACTIVITY} FROM conversations WHERE {{period}} AND {{department}}"
_CACHE = "sum(cache_read_tokens) / nullif(sum(input_tokens + cache_read_tokens + cache_write_tokens), 0)"
_USED = "FROM usage WHERE {period} AND {bot} AND {model}"
_BOTH = "sum(cost), sum(application), sum(calls), sum(unpriced_calls) FROM agreement WHERE {period} AND {bot}"
_RATIO = "sum(cost) FILTER (is_compared) / nullif(sum(application) FILTER (is_compared), 0)"
_SOLD = "sum(revenue), sum(purchases), sum(quantity)"
_AVERAGE = "sum(revenue) / nullif(sum(purchases), 0)"

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "conversations": {
        "daily": f"SELECT day, {_ASKED} AND day IS NOT NULL GROUP BY day",
        "departments": f"SELECT department, {_ASKED} GROUP BY department",
        "cities": f"SELECT city, {_ASKED} GROUP BY city",
        "opinions": f"SELECT department, sum(likes), sum(dislikes), {_LIKED} FROM {_VOTES} "
        "WHERE {department} GROUP BY department",
        "comments": "SELECT comment, feedback AS opinion, department, count(DISTINCT usuario_id) "
        "FROM (SELECT *, unnest(string_split(respuesta_feedback, ' | ')) AS comment FROM people) "
        "WHERE {department} GROUP BY ALL",
        "words": "SELECT word, count(DISTINCT usuario_id) FROM words WHERE {period} AND {department} GROUP BY word",
        "questions": "SELECT (SELECT min(question) FROM plain_questions AS other WHERE other.plain = asked.plain), "
        "count(DISTINCT usuario_id), count(*) FROM plain_questions AS asked "
        "WHERE {period} AND {department} GROUP BY plain",
        "people": "SELECT (SELECT nombre FROM people WHERE people.usuario_id = person.usuario_id), department, city, "
        "sum(conversations), sum(questions) FROM conversations AS person WHERE {period} AND {department} "
        "GROUP BY usuario_id, department, city",
        "tokens": "SELECT department, sum(token_pregunta), sum(token_respuesta) FROM people "
        "WHERE {department} GROUP BY department",
    },
    "costs": {
        "costs_daily": f"SELECT day, sum(cost), sum(calls), {_CACHE}, sum(unpriced_calls) {_USED} GROUP BY day",
        "costs_monthly": f"SELECT strftime(day, '%Y-%m') AS month, {_BOTH} GROUP BY month",
        "states": f"SELECT state, count(*), sum(cost), sum(application), {_RATIO} FROM reconciled "
        "WHERE {bot} GROUP BY state",
        "reasons": "SELECT reason, count(*) FROM (SELECT bot, unnest(string_split(reasons, ', ')) AS reason "
        "FROM reconciled) WHERE {bot} AND reason <> '' GROUP BY reason",
        "bots": f"SELECT bot, {_BOTH} GROUP BY bot",
        "models": "SELECT model, sum(cost), sum(calls), sum(input_tokens), sum(cache_read_tokens), "
        f"sum(cache_write_tokens), sum(output_tokens), {_CACHE}, sum(unpriced_calls) {_USED} GROUP BY model",
        "users": f"SELECT user, {_BOTH} GROUP BY user",
        "dearest": "SELECT conversation, user, bot, day, state, cost, application, calls FROM dearest "
        "WHERE {period} AND {bot}",
    },
    "purchases": {
        "purchases_daily": f"SELECT day, {_SOLD} FROM sales WHERE {{period}} AND {{shop}} GROUP BY day",
        "products": "SELECT coalesce(nombre, codigo) AS product, codigo AS code, shop, sum(quantity), sum(purchases), "
        "sum(revenue) FROM products WHERE {shop} GROUP BY ALL",
        "shops": f"SELECT shop, {_SOLD}, {_AVERAGE} FROM sales WHERE {{period}} AND {{shop}} GROUP BY shop",
    },
}

DAYS = {"conversations": "conversations", "costs": "agreement", "purchases": "sales"}
"""By page, the view that has all its days."""

CARDS = {
    "conversations": f"SELECT {_ACTIVITY}, (SELECT {_LIKED} FROM {_VOTES} WHERE {{department}}) FROM conversations "
    "WHERE {period} AND {department}",
    "costs": f"SELECT sum(cost), (SELECT count(*) FILTER (state = 'agrees') / nullif(count(*) FILTER (is_compared), 0) "
    f"FROM reconciled WHERE {{bot}}), (SELECT {_RATIO} FROM reconciled WHERE {{bot}}), count(DISTINCT user), {_CACHE}, "
    f"sum(unpriced_calls) {_USED}",
    "purchases": f"SELECT {_SOLD}, {_AVERAGE} FROM sales WHERE {{period}} AND {{shop}}",
}


def conditions(db: duckdb.DuckDBPyConnection, page: str, chosen: Mapping[str, str | None]) -> dict[str, str]:
    """The conditions of all filters of a page, some of which are chosen; None is the rows without a value."""
    found = dict.fromkeys(("period", "department", "bot", "model", "shop"), "true")
    for name, value in chosen.items():
        if name != "period":
            found[name] = f"{name} IS NOT DISTINCT FROM {'NULL' if value is None else repr(value)}"
        elif value.startswith("last"):
            ((last,),) = db.execute(f"SELECT max(day) FROM {DAYS[page]}").fetchall()
            found[name] = f"day > DATE '{last}' - {value.removeprefix('last')}"
        else:
            found[name] = f"strftime(day, '%Y-%m') = '{value}'"
    return found


def asked_of(datasets: Mapping[str, Path]) -> duckdb.DuckDBPyConnection:
    """A database with the datasets, which are tables of their contracts' names, and the views of the queries."""
    db = duckdb.connect()
    for name, file in datasets.items():
        db.execute(f"CREATE VIEW {name} AS FROM '{file}'")
    db.execute(VIEWS)
    return db
