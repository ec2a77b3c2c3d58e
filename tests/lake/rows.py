"""Rows of the normalized dataset, as the tests of the store state them."""

from pyspark.sql import DataFrame, SparkSession

from catlake.contracts.contract import contract

NORMALIZED = contract("normalized_conversations")
CURATED = contract("curated_conversations")

ROW: dict[str, object] = {
    "usuario_id": "ana",
    "nombre": "Ana",
    "gerencia": "Legal",
    "ciudad": "Tunja",
    "fecha_primera_conversacion": None,
    "numero_conversaciones": 1,
    "conversacion_completa": "[]",
    "feedback_total": "[]",
    "numero_feedback": 0,
    "pregunta_conversacion": None,
    "feedback": None,
    "respuesta_feedback": None,
}


def normalized_rows(spark: SparkSession, *differing: dict[str, object]) -> DataFrame:
    """Rows of the normalized dataset: the base row, and what differs from it."""
    return spark.createDataFrame([tuple({**ROW, **each}.values()) for each in differing], NORMALIZED.struct)
