"""Metrics in the log, held against the embedded metric format's own JSON schema."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import jsonschema

from catlake.runtime import metrics

NOON = datetime(2025, 11, 20, 12, tzinfo=UTC)

# The published schema of the format, with its limits: 100 metrics, 30 dimensions, CloudWatch's units.
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "minItems": 1, "maxItems": 30, "items": {"type": "string"}},
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": ["Seconds", "Count", "None"]},
                                    },
                                    "additionalProperties": False,
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def embedded(**values):
    return {"job": "cat-prod-etl1-normalize"} | metrics.embedded("prod", NOON, values)


def test_a_run_is_one_object_of_the_embedded_metric_format():
    line = embedded(RowsRead=10, RunSeconds=1.5, RunSucceeded=1)
    jsonschema.validate(line, SCHEMA)
    assert line == {
        "_aws": {
            "Timestamp": 1763640000000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "catlake",
                    "Dimensions": [["job", "environment"]],
                    "Metrics": [
                        {"Name": "RowsRead", "Unit": "Count"},
                        {"Name": "RunSeconds", "Unit": "Seconds"},
                        {"Name": "RunSucceeded", "Unit": "Count"},
                    ],
                }
            ],
        },
        "job": "cat-prod-etl1-normalize",
        "environment": "prod",
        "RowsRead": 10,
        "RunSeconds": 1.5,
        "RunSucceeded": 1,
    }


def test_every_metric_and_every_dimension_that_is_named_has_its_value_beside_it():
    line = embedded(**dict.fromkeys(metrics.UNITS, 1))
    jsonschema.validate(line, SCHEMA)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert {each["Name"] for each in directive["Metrics"]} == set(metrics.UNITS)
    assert {*metrics.UNITS, *directive["Dimensions"][0]} == line.keys() - {"_aws"}


def test_money_goes_to_cloudwatch_as_the_number_that_it_keeps():
    assert json.dumps(embedded(CostUSD=Decimal("0.300001"))["CostUSD"]) == "0.300001"
