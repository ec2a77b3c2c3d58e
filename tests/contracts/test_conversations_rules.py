"""The rules of the conversations' contracts that are more than a type, a minimum or a required value."""

from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from catlake.contracts.contract import contract

NO_FEEDBACK = {"numero_feedback": 0, "feedback": None, "respuesta_feedback": None}
BOTH = ("conversacion_completa", "feedback_total")
BROKEN: dict[str, list[tuple[dict[str, Any], str]]] = {
    "curated_conversations": [
        *(({column: "{}"}, f"{column}_array") for column in BOTH),
        ({"feedback": "Like"}, "feedback.allowed"),
        (NO_FEEDBACK | {"respuesta_feedback": "clara"}, "answer_without_feedback"),
        (NO_FEEDBACK | {"numero_feedback": 2}, "feedback_without_count"),
        ({"feedback": "like", "numero_feedback": 0}, "feedback_without_count"),
    ],
    "normalized_conversations": [
        *(({column: "hola"}, f"{column}_array") for column in BOTH),
        ({"fecha_primera_conversacion": "2025-08-04"}, "fecha_primera_conversacion.pattern"),
        ({"fecha_primera_conversacion": "04/13/2025"}, "fecha_primera_conversacion.pattern"),
        ({"feedback": "love"}, "feedback.allowed"),
    ],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_that_breaks_a_rule_is_found(spark: SparkSession, name: str) -> None:
    dataset = contract(name)
    nullable = T.StructType([T.StructField(field.name, field.dataType) for field in dataset.struct])
    changes = [change for change, _ in BROKEN[name]]
    rows = spark.createDataFrame([{**dict.fromkeys(nullable.names), **change} for change in changes], nullable)
    found = [row[0] for row in rows.select(dataset.violations()).collect()]
    assert [rule in broken for (_, rule), broken in zip(BROKEN[name], found, strict=True)] == [True] * len(found)
