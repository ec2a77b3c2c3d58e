"""Stream records for tests: a base record, and only what differs."""

import json
from typing import Any

from catlake.dynamodb.attribute_values import AttributeValue
from catlake.purchases.event_document import DocumentSettings
from catlake.runtime.environment import environment

LOCAL, TEST = (DocumentSettings.of(environment(name)) for name in ("local", "test"))

Item = dict[str, AttributeValue]


def product(price: str = "99.99", quantity: str = "2", **changes: AttributeValue | None) -> AttributeValue:
    values = {
        "codigo": {"S": "PROD001"},
        "nombre": {"S": "Producto Test"},
        "precio_unitario": {"N": price},
        "cantidad": {"N": quantity},
        **changes,
    }
    return {"M": {name: value for name, value in values.items() if value is not None}}


def image(*products: AttributeValue, **changes: AttributeValue | None) -> Item:
    """A purchase's item; None leaves an attribute out."""
    values = {
        "compra_id": {"S": "c-1"},
        "user_id": {"S": "u-1"},
        "tenant_id": {"S": "empresa"},
        "fecha": {"S": "2025-07-13 10:30:00"},
        "productos": {"L": list(products or [product()])},
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def record(item: Item | None = None, change: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A record of DynamoDB Streams: `change` goes over its `dynamodb`, `changes` over itself; None leaves out."""
    name = changes.get("eventName", "INSERT")
    inner = {
        "ApproximateCreationDateTime": 1752526401,
        "Keys": {"compra_id": {"S": "c-1"}},
        "OldImage" if name == "REMOVE" else "NewImage": image() if item is None else item,
        "SequenceNumber": "111100000000000000001",
        "SizeBytes": 123,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
        **(change or {}),
    }
    outer = {
        "eventID": "e-1",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {key: value for key, value in inner.items() if value is not None},
        **changes,
    }
    return {key: value for key, value in outer.items() if value is not None}


def line(*arguments: Any, **changes: Any) -> bytes:
    """A record as it lands: one line of JSON, without its end."""
    return json.dumps(record(*arguments, **changes), ensure_ascii=False).encode()


def purchase(number: int, tenant: str = "empresa", **changes: Any) -> bytes:
    """One of many different events."""
    item = image(compra_id={"S": f"c-{number}"}, tenant_id={"S": tenant})
    return line(item, {"SequenceNumber": f"{number:021}"}, eventID=f"e-{number}", **changes)
