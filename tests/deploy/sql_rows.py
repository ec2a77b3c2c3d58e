"""The rows over which the statements of deploy/sql are worked out by hand: on DuckDB, and on Trino."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tests.purchases.tree import event


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def usd(text: str) -> Decimal:
    return Decimal(text)


# 1,000 tokens in, 200 out: 0.003 + 0.003 = 0.006 USD.
USAGE = {
    "create_date": instant("2025-12-01 10:00:00"),
    "input_token": 1000,
    "output_token": 200,
    "precio_token_input": usd("0.003"),
    "precio_token_output": usd("0.003"),
    "total_price": usd("0.006"),
    "pk": "u1",
    "sk": "u1#CONV#c1",
    "source": "new_table",
}
USAGES = [
    USAGE,
    # The 30th in UTC, and still the 29th in Bogotá.
    {**USAGE, "create_date": instant("2025-11-30 02:30:00"), "pk": "u2", "sk": "c2", "source": "old_table"},
    {
        **USAGE,
        "create_date": instant("2025-12-01 10:59:59"),
        "input_token": 3000,
        "output_token": 0,
        "precio_token_input": usd("0.009"),
        "precio_token_output": usd("0"),
        "total_price": usd("0.009"),
        "sk": "u1#CONV#c3",
    },
    {
        **USAGE,
        "create_date": instant("2025-12-02 00:00:00"),
        "input_token": 0,
        "output_token": 0,
        "precio_token_input": usd("0"),
        "precio_token_output": usd("0"),
        "total_price": usd("0"),
        "sk": "u1#CONV#c4",
    },
    {
        **USAGE,
        "create_date": instant("2025-12-02 23:59:59"),
        "input_token": 0,
        "output_token": 1,
        "precio_token_input": usd("0"),
        "precio_token_output": usd("0.000015"),
        "total_price": usd("0.000015"),
        "sk": "u1#CONV#c5",
    },
]
DAILY = {
    "conversation_id": "c1",
    "user_id": "u1",
    "fecha": instant("2025-12-01 00:00:00"),
    "token_pregunta": 1000,
    "token_respuesta": 200,
    "tokens_total": 1200,
    "costo_estimado_usd": usd("0.006"),
    "modelo": "claude",
    "region": "us-east-1",
}
DAILIES = [
    DAILY,
    {**DAILY, "conversation_id": "c2", "fecha": instant("2025-12-01 23:59:59"), "tokens_total": 1},
    {**DAILY, "conversation_id": "c3", "fecha": instant("2025-12-02 00:00:00"), "costo_estimado_usd": usd("0.000015")},
]
COST = {
    "pk": "u1",
    "sk": "u1#CONV#c1",
    "conversation_id": "c1",
    "user_id": "u1",
    "channel": "chat",
    "bot_id": None,
    "day": date(2025, 12, 1),
    "model": "claude-v3-haiku",
    "model_id": "us.haiku",
    "region": "us-east-1",
    "calls": 2,
    "input_tokens": 1000,
    "cache_read_tokens": 500,
    "cache_write_tokens": 50,
    "output_tokens": 200,
    "image_tokens": 0,
    "document_tokens": 0,
    "overhead_tokens": 0,
    "reasoning_tokens": 0,
    "price_state": "priced",
    "total_cost": usd("0.5"),
}
COSTS = [
    COST,
    # The same conversation a month later.
    {**COST, "day": date(2026, 1, 1), "calls": 3, "total_cost": usd("0.000001")},
    {**COST, "model": "unheard-of", "model_id": None, "price_state": "unpriced", "unpriced_because": "so"}
    | {"total_cost": None},
    {**COST, "pk": "u2", "sk": "u2#CONV#c2", "conversation_id": "c2", "user_id": "u2", "bot_id": "b1"}
    | {"total_cost": usd("0.25")},
    {**COST, "pk": "PUBLISHED_API#b1", "sk": "PUBLISHED_API#b1#CONV#c3", "conversation_id": "c3", "bot_id": "b1"}
    | {"user_id": "PUBLISHED_API#b1", "channel": "published_api", "total_cost": usd("0.125")},
    {**COST, "pk": "PUBLISHED_API#b2", "sk": "PUBLISHED_API#b2#CONV#c4", "conversation_id": "c4", "bot_id": "b2"}
    | {"user_id": "PUBLISHED_API#b2", "channel": "published_api", "total_cost": usd("2")},
]
BOTS = [{"bot_id": "b1", "title": "Guía", "owner_user_id": "u1", "prompt_caching_enabled": True, "max_tokens": 2000}]
RECONCILED = {
    "pk": "u1",
    "sk": "u1#CONV#c1",
    "conversation_id": "c1",
    "user_id": "u1",
    "estimated_cost": usd("0.5"),
    "application_total_price": usd("0.5"),
    "difference": usd("0"),
    "ratio": usd("1"),
    "state": "agrees",
    "reasons": "hidden_reasoning",
}
RECONCILIATION = [
    RECONCILED,
    {
        **RECONCILED,
        "sk": "c2",
        "estimated_cost": usd("0.25"),
        "application_total_price": usd("0.5"),
        "state": "differs",
    },
    {**RECONCILED, "sk": "c3", "estimated_cost": None, "state": "unpriced"},
    {**RECONCILED, "sk": "c4", "application_total_price": None, "state": "no_application_price"},
]
BILLED = {
    "pk": "u1",
    "sk": "u1#CONV#c1",
    "conversation_id": "c1",
    "user_id": "u1",
    "bot_id": None,
    "day": date(2025, 12, 1),
    "window_start": None,
    "window_end": instant("2025-12-02 05:00:00"),
    "cost": usd("0.5"),
}
APPLICATION_COSTS = [
    BILLED,
    {**BILLED, "window_start": instant("2025-12-02 05:00:00"), "window_end": instant("2026-01-02 05:00:00")}
    | {"day": date(2026, 1, 1), "cost": usd("0.000002")},
    {**BILLED, "pk": "u2", "sk": "u2#CONV#c2", "conversation_id": "c2", "user_id": "u2", "bot_id": "b1"}
    | {"cost": usd("0.75")},
    # An older state was written back.
    {**BILLED, "pk": "u2", "sk": "u2#CONV#c2", "conversation_id": "c2", "user_id": "u2", "bot_id": "b1"}
    | {"window_start": instant("2025-12-02 05:00:00"), "window_end": instant("2025-12-03 05:00:00")}
    | {"day": date(2025, 12, 2), "cost": usd("-0.25")},
]
USER = {
    "usuario_id": "1",
    "nombre": "Ana",
    "gerencia": "TI",
    "ciudad": "Bogotá",
    "fecha_primera_conversacion": date(2025, 8, 4),
    "numero_conversaciones": 1,
    "conversacion_completa": "[]",
    "feedback_total": "[]",
    "numero_feedback": 0,
    "token_pregunta": 1,
    "token_respuesta": 1,
}
USERS = [
    USER,
    {**USER, "usuario_id": "2", "fecha_primera_conversacion": date(2025, 9, 30), "numero_conversaciones": 4},
    {**USER, "usuario_id": "3", "fecha_primera_conversacion": None, "numero_conversaciones": 2},
]
DATASETS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "tokens_table_consolidated": USAGES,
    "tokens_analysis": DAILIES,
    "token_usage": COSTS,
    "token_reconciliation": RECONCILIATION,
    "application_costs": APPLICATION_COSTS,
    "bots": BOTS,
    "curated_conversations": USERS,
}
"""The rows of each dataset of the analytics database."""

DIGITS = "12345678901234567890123456789012345678"

COFFEE, BREAD = ("P1", "Café", "10.00", "1"), ("P2", "Pan", "2.50", "4")
EVENTS = (
    # Of one second: the sequence tells which is later, as numbers, 9 before 10.
    event("MODIFY", "c1", "2025-07-13T10:30:01", ("P1", "Café", "10.00", "2"), BREAD, sequence="10"),
    event("INSERT", "c1", "2025-07-13T10:30:01", COFFEE, sequence="9"),
    # Removed: it is gone.
    event("INSERT", "c2", "2025-07-13T11:00:00", ("P2", "Pan", "2.50", "100"), sequence="20"),
    event("REMOVE", "c2", "2025-07-13T11:05:00", ("P2", "Pan", "2.50", "100"), sequence="21"),
    # The newest name of a product; three times 19.995 are 59.985, and the purchase is 89.985.
    event(
        "INSERT",
        "c3",
        "2025-07-14T09:00:00",
        ("P1", "Café molido", "10.00", "3"),
        ("P3", None, "19.995", "3"),
        sequence="30",
        user="u2",
        fecha="2025-07-14T09:00:00",
    ),
    # Without sequence numbers, of one second: the kind of event tells. One loaf is brought back, and has no name now.
    event("MODIFY", "c4", "2025-07-14T12:00:00", ("P2", "", "2.50", "-1"), fecha="2025-07-14"),
    event("INSERT", "c4", "2025-07-14T12:00:00", BREAD, fecha="2025-07-14"),
    # The same id in another shop, with a price that no decimal holds, and a line without code.
    event(
        "INSERT",
        "c1",
        "2025-07-13T10:30:01",
        ("P9", "Isla", DIGITS, "1"),
        (None, "Sin código", "1.00", "2"),
        sequence="40",
        tenant="_demo",
    ),
    # Removed and bought again, on another day.
    event("INSERT", "c5", "2025-07-13T08:00:00", COFFEE, sequence="50", tenant="_demo"),
    event("REMOVE", "c5", "2025-07-13T08:01:00", COFFEE, sequence="51", tenant="_demo"),
    event("INSERT", "c5", "2025-07-13T08:02:00", COFFEE, sequence="52", tenant="_demo", fecha="2025-07-12 23:00:00"),
    # Nothing in it.
    event("INSERT", "c6", "2025-07-13T08:00:00", sequence="60", tenant=".piloto"),
)
"""The events of the purchases."""
