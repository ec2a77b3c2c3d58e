"""The ingest of purchases in plain Python, in the manner of the old Lambda: one event after the other, one thread.

json, boto3's TypeDeserializer, floats; nothing is checked, nothing is counted, and a killed one leaves half a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from bench.programs.parts import Parts


def ingest(landing: Path, result: Path, parts: Parts) -> None:
    """The events of a folder → one JSON document each, in the folders of their days."""
    typed = TypeDeserializer()
    with parts.part("stream"):
        for file in sorted(landing.glob("*.jsonl")):
            with file.open(encoding="utf-8") as lines:
                for line in lines:
                    _write_document(json.loads(line), typed, result)


def _write_document(record: dict[str, Any], typed: TypeDeserializer, result: Path) -> None:
    change = record["dynamodb"]
    image = change.get("NewImage") or change["OldImage"]
    item = {name: typed.deserialize(value) for name, value in image.items()}
    total = sum(line["precio_unitario"] * line["cantidad"] for line in item["productos"])
    item["resumen"] = {"total_productos": len(item["productos"]), "total_precio": float(total)}
    item["metadata"] = {"event_name": record["eventName"], "event_id": record["eventID"]}
    folder = result / item["tenant_id"] / item["fecha"][:10].replace("-", "/")
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{record['eventName'].lower()}_{item['compra_id']}_{change['SequenceNumber']}.json"
    (folder / name).write_text(json.dumps(item, default=float), encoding="utf-8")
