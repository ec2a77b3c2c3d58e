"""Two DynamoDB tables of purchases whose changes come by one Kinesis stream, in the two forms of a record.

The first table's come as ministack writes them: seconds and a sequence number, as DynamoDB Streams has them. The second
table's stream is read here, and its records go on in the form in which AWS itself delivers by Kinesis: no sequence
number, members of their own, the time in milliseconds or microseconds.
"""

import json
import random
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import boto3

from tests.purchases.records import Item, image, product

TENANTS = {"tienda-1": "as-ministack", "_demo": "as-ministack", "cafe.del.parque": "as-aws", "tienda-2": "as-aws"}
"""The table of each tenant."""

BRIDGED = "to-the-bridge"
UNITS = {"cafe.del.parque": "MILLISECOND", "tienda-2": "MICROSECOND"}
"""In which unit a tenant's times are told; where it is the usual one, half of the records do not name it."""


class PurchaseTables:
    """The tables, and who writes to them, one change after the other."""

    def __init__(self, url: str, stream: str, generator: random.Random) -> None:
        self._dynamodb = boto3.client("dynamodb", endpoint_url=url)
        self._kinesis = boto3.client("kinesis", endpoint_url=url)
        self._stream, self._choose = stream, generator
        self.arn = self._make_stream(stream, shards=2)
        self._make_table("as-ministack", self.arn)
        self._make_table("as-aws", self._make_stream(BRIDGED, shards=1))
        self._bridged = _Records(self._kinesis, BRIDGED)
        self._began = time.time_ns() // 1000
        self.changes: Counter[str] = Counter()
        self.living: dict[tuple[str, str], Item] = {}

    def change(self) -> None:
        """Put a new purchase, put one again or delete one."""
        kind = self._choose.choices(("INSERT", "MODIFY", "REMOVE"), (6, 3, 1))[0] if self.living else "INSERT"
        if kind == "INSERT":
            purchase = self._choose.choice(list(TENANTS)), f"c-{self.changes.total():04}"
        else:
            purchase = self._choose.choice(list(self.living))
        table = TENANTS[purchase[0]]
        key = {"tenant_id": {"S": purchase[0]}, "compra_id": {"S": purchase[1]}}
        if kind == "REMOVE":
            del self.living[purchase]
            self._dynamodb.delete_item(TableName=table, Key=key)
        else:
            self.living[purchase] = self._item(key)
            self._dynamodb.put_item(TableName=table, Item=self.living[purchase])
        self.changes[kind] += 1
        for record in self._bridged.new():
            told = json.dumps(self._as_aws(json.loads(record)))
            self._kinesis.put_record(StreamName=self._stream, Data=told.encode(), PartitionKey=purchase[1])

    def records(self) -> list[bytes]:
        """All that came by the stream."""
        return _Records(self._kinesis, self._stream).new()

    def revenue(self) -> dict[str, Decimal]:
        """What each tenant's purchases, as they stand in the tables, come to."""
        found: dict[str, Decimal] = {}
        for (tenant, _), item in self.living.items():
            for line in item["productos"]["L"]:
                price, quantity = (Decimal(line["M"][name]["N"]) for name in ("precio_unitario", "cantidad"))
                found[tenant] = found.get(tenant, Decimal(0)) + price * quantity
        return found

    def _item(self, key: Item) -> Item:
        choose = self._choose.randrange
        products = [
            product(f"{choose(1, 999)}.{choose(100):02}", str(choose(1, 9)), codigo={"S": f"P{choose(9)}"})
            for _ in range(choose(1, 4))
        ]
        day = {"S": f"2025-07-{choose(1, 29):02} 10:30:00"}
        return image(*products, **key, user_id={"S": f"u-{choose(9)}"}, fecha=day)

    def _as_aws(self, record: dict[str, Any]) -> dict[str, Any]:
        change = record["dynamodb"]
        unit = UNITS[change["Keys"]["tenant_id"]["S"]]
        number = self.changes.total()
        # Some microseconds apart, or one millisecond: as near as the order can be told.
        moment = self._began // 1000 + number if unit == "MILLISECOND" else self._began + 3 * number
        named = unit == "MICROSECOND" or number % 2
        return {
            "awsRegion": record["awsRegion"],
            "eventID": record["eventID"],
            "eventName": record["eventName"],
            "userIdentity": None,
            "recordFormat": "application/json",
            "tableName": "as-aws",
            "dynamodb": {
                "ApproximateCreationDateTime": moment,
                **({"ApproximateCreationDateTimePrecision": unit} if named else {}),
                **{name: change[name] for name in ("Keys", "NewImage", "OldImage", "SizeBytes") if name in change},
            },
            "eventSource": "aws:dynamodb",
        }

    def _make_stream(self, name: str, shards: int) -> str:
        self._kinesis.create_stream(StreamName=name, ShardCount=shards)
        self._kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        arn: str = self._kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]
        return arn

    def _make_table(self, name: str, stream: str) -> None:
        keys = {"tenant_id": "HASH", "compra_id": "RANGE"}
        self._dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        )
        self._dynamodb.enable_kinesis_streaming_destination(TableName=name, StreamArn=stream)


class _Records:
    """The records of a stream from its beginning, each given once."""

    def __init__(self, kinesis: Any, stream: str) -> None:
        self._kinesis = kinesis
        shards = kinesis.describe_stream(StreamName=stream)["StreamDescription"]["Shards"]
        self._iterators = [
            kinesis.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
                "ShardIterator"
            ]
            for shard in shards
        ]

    def new(self) -> list[bytes]:
        found: list[bytes] = []
        for index, iterator in enumerate(self._iterators):
            while (answer := self._kinesis.get_records(ShardIterator=iterator))["Records"]:
                found += (record["Data"] for record in answer["Records"])
                iterator = answer["NextShardIterator"]
            self._iterators[index] = answer["NextShardIterator"]
        return found
