"""Items of the Catia table: kinds, dates, texts, and what becomes of each (docs/spec.md 1.3)."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_type

from catlake.conversations import items
from catlake.conversations.item_files import table_rows
from catlake.conversations.items import json_elements, moment, place
from catlake.dynamodb.attribute_values import Mismatch, converter
from catlake.dynamodb.export_reader import REJECTED_TYPE
from tests.conversations.table import assert_rows, conversation, feedback, flat_rows, from_items
from tests.samples.catia_oddities import item

FIRST_DATE = date(2025, 8, 4)


def outcomes(given: Mapping[Any, Mapping[str, Any]]) -> dict[Any, str]:
    """What becomes of items that can be read, before an argument decides."""
    return dict(zip(given, (row["outcome"] for row in flat_rows(*given.values())), strict=True))


def final_outcomes(spark: SparkSession, given: DataFrame, first_date: date | None) -> dict[str, str]:
    """What becomes of items of the table, by their sort key."""
    return {row["sk"]: row["outcome"] for row in given.transform(items.classified, first_date).collect()}


def test_the_first_word_of_register_feedback_conversation_in_the_sort_key_decides_in_any_case() -> None:
    kinds = {
        "CONVERSATION#1": "conversation",
        "v2_MyConversations-7": "conversation",
        "conversation#2": "conversation",
        "FEEDBACK#1": "feedback",
        "feedback": "feedback",
        "CONVERSATION#9#Feedback": "feedback",
        "USER_REGISTER": "register",
        "CONVERSATION#register": "register",
        "FEEDBACK#CONVERSATION#Register": "register",
        "PREFERENCES#1": "other",
        "CONVERSACION#1": "other",
        "#": "other",
    }
    assert {key: items.kind(key) for key in kinds} == kinds


NOON = datetime(2025, 8, 4, 12, 30, 15, tzinfo=UTC)

MOMENTS: Mapping[str, datetime | None] = {
    "2025-08-04T12:30:15": NOON,
    "2025-08-04T12:30:15Z": NOON,
    "2025-08-04t12:30:15z": NOON,
    "2025-08-04 12:30:15": NOON,
    "2025-08-04T07:30:15-05:00": NOON,
    "2025-08-04T07:30:15-0500": NOON,
    "2025-08-04T07:30:15-05": NOON,
    "2025-08-04T18:00:15+05:30": NOON,
    "2025-08-05T00:30:15+12:00": NOON,
    " \t2025-08-04T12:30:15Z\u00a0\n": NOON,
    "2025-08-04T12:30:15.250Z": NOON.replace(microsecond=250_000),
    "2025-08-04T12:30:15,250": NOON.replace(microsecond=250_000),
    "2025-08-04T07:30:15.123456-05:00": NOON.replace(microsecond=123_456),
    "2025-08-04T12:30:15.123456789Z": NOON.replace(microsecond=123_456),
    "2025-08-04T12:30Z": NOON.replace(second=0),
    "2025-08-04T07:30-05:00": NOON.replace(second=0),
    "2025-08-04T12:30": NOON.replace(second=0),
    "20250804T123015Z": NOON,
    "20250804T073015-0500": NOON,
    "20250804T123015.250Z": NOON.replace(microsecond=250_000),
    "20250804T1230": NOON.replace(second=0),
    "20250804T1230Z": NOON.replace(second=0),
    "20250804T0730-0500": NOON.replace(second=0),
    "2025-08-04": datetime(2025, 8, 4, tzinfo=UTC),
    "20250804": datetime(2025, 8, 4, tzinfo=UTC),
    "2024-02-29": datetime(2024, 2, 29, tzinfo=UTC),
    "2025-02-29": None,
    # Beyond the calendar, in UTC.
    "9999-12-31T23:59:59-01:00": None,
    "0001-01-01T00:00:00+01:00": None,
    "9999-12-31T23:59:59Z": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    "2025-08-04T24:00:00Z": None,
    "2025-02-30": None,
    "2025-02-30T10:00:00Z": None,
    "2025-13-01": None,
    "2025-08-04T25:00:00": None,
    "2025-08-04T12:60:00": None,
    "2025-08-04T12:30:15+25:00": None,
    "2025": None,
    "2025-08": None,
    "12:30:15": None,
    "T12:30": None,
    "04/08/2025": None,
    "August 4, 2025": None,
    "1754310615": None,
    "1754310615000": None,
    "now": None,
    "today": None,
    "epoch": None,
    "2025-08-04T12:30:15 America/Bogota": None,
    "2025-08-04T": None,
    "2025-08-04Z": None,
    "2025-08-04 and more": None,
    "": None,
    "   ": None,
    "\u3000\n": None,
}


@pytest.mark.parametrize("text", MOMENTS, ids=repr)
def test_created_at_is_an_iso_date_utc_without_an_offset_and_any_other_text_is_no_date(text: str) -> None:
    expected = MOMENTS[text]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(text) == (None if expected is None else (expected - epoch) // timedelta(microseconds=1))


def test_a_missing_or_null_created_at_is_no_date() -> None:
    without = {name: value for name, value in conversation().items() if name != "CreatedAt"}
    assert [row["created"] for row in flat_rows(without, conversation(CreatedAt=None))] == [None, None]


def test_conversations_of_an_earlier_utc_day_are_filtered_undated_ones_kept(spark: SparkSession) -> None:
    expected = {
        "2025-08-03T23:59:59.999Z": "before_first_date",
        "2025-08-03": "before_first_date",
        "2025-08-04T02:00:00+05:00": "before_first_date",
        "2025-08-04": "kept",
        "2025-08-04T00:00:00Z": "kept",
        "2025-08-03T20:00:00-05:00": "kept",
        "ayer": "kept",
        "": "kept",
    }
    given = [conversation("ana", f"CONVERSATION#{text}", CreatedAt=text) for text in expected]
    given += [feedback("ana", "FEEDBACK#1999", CreatedAt="1999-01-01"), item("ana", "REGISTER#1", CreatedAt="1999")]
    table = from_items(spark, *given).cache()
    by_text = {f"CONVERSATION#{text}": outcome for text, outcome in expected.items()}
    # Feedback is never too early.
    others = {"FEEDBACK#1999": "kept", "REGISTER#1": "register"}
    assert final_outcomes(spark, table, FIRST_DATE) == by_text | others
    # Without a first date no conversation is too early.
    assert final_outcomes(spark, table, None) == dict.fromkeys(by_text, "kept") | others


def test_only_items_whose_content_counts_are_quarantined_when_they_cannot_be_read(spark: SparkSession) -> None:
    given = [
        conversation("ana"),
        feedback("ana", Feedback=None),
        item("ana", "REGISTER#1"),
        item("ana", "PREFERENCES#1"),
        {},
        conversation("eva"),
    ]
    reasons = ["attribute Conversation: text is not JSON"] * 4 + ["not JSON"]
    found = from_items(spark, *given, reasons=reasons).transform(items.classified, FIRST_DATE).cache()
    assert_rows(
        found.select("sk", "outcome"),
        "sk string, outcome string",
        [
            ("CONVERSATION#1", "quarantined"),
            ("FEEDBACK#1", "quarantined"),
            ("REGISTER#1", "register"),
            ("PREFERENCES#1", "other"),
            (None, "quarantined"),
            ("CONVERSATION#1", "kept"),
        ],
    )
    rejected = sorted(found.transform(items.rejected).collect(), key=lambda row: row["line"])
    assert [tuple(row) for row in rejected] == [
        ("data.json.gz", line, reasons[line - 1], str(given[line - 1])) for line in (1, 2, 5)
    ]


def test_an_item_that_is_too_early_is_not_looked_at(spark: SparkSession) -> None:
    early = conversation(CreatedAt="2025-01-01")
    table = from_items(spark, early, reasons=["attribute Conversation: text is not JSON"])
    assert final_outcomes(spark, table, FIRST_DATE) == {"CONVERSATION#1": "before_first_date"}
    # Another night may have an earlier first date.
    assert final_outcomes(spark, table, date(2025, 1, 1)) == {"CONVERSATION#1": "quarantined"}


def test_a_feedback_item_that_holds_none_is_filtered_under_its_own_rule() -> None:
    empty: list[object] = ["", "  ", "null", None, [], "[]", [None]]
    given = {str(value): feedback(Feedback=value) for value in empty} | {"missing": item("ana", "FEEDBACK#x")}
    assert set(outcomes(given).values()) == {"empty_feedback"}


def test_the_user_id_is_the_partition_key_without_user() -> None:
    keys = {"USER#ana": "ana", "ana": "ana", "USER#USER#ana": "USER#ana", "user#eva": "user#eva", "USER#": "USER#"}
    assert {key: items.user_id(key) for key in keys} == keys


PLACES = {
    "Bogotá (Colombia)": "Bogotá",
    "Bogotá(D.C.)": "Bogotá",
    "Bogotá (D.C.) (Colombia) ": "Bogotá",
    "Bogotá (D.C.)\u00a0(Colombia)": "Bogotá",
    "Subgerencia (avalúos (SGA))": "Subgerencia",
    "Bogotá ()": "Bogotá",
    "Bogotá (línea\nrota)": "Bogotá",
    "Villa (vieja) del Río": "Villa (vieja) del Río",
    "(Gran) Bogotá": "(Gran) Bogotá",
    "(Gran) Bogotá (D.C.)": "(Gran) Bogotá",
    "Bogotá (": "Bogotá (",
    "Bogotá )": "Bogotá )",
    "Bogotá": "Bogotá",
    "(solo ruido)": None,
    " \u3000": None,
    # Hostile: a search from each place would take minutes.
    "(" * 20_000 + "()" * 20_000 + " ( a" * 5_000: "(" * 20_000 + "()" * 20_000 + " ( a" * 5_000,
    "a" + "(" * 20_001 + ")" * 20_000: "a" + "(" * 20_001 + ")" * 20_000,
}


def test_a_trailing_parenthesis_is_noise_in_a_place_also_repeated() -> None:
    assert {name: place(name) for name in PLACES} == PLACES


def test_json_escapes_control_characters_as_spark_did_and_nothing_else() -> None:
    texts = {
        "\x1f\x0b\x00": "\\u001F\\u000B\\u0000",
        '\b\t\n\f\r"\\': '\\b\\t\\n\\f\\r\\"\\\\',
        "\\u001f": "\\\\u001f",
        "\x7f\u2028/</ñ🙂": "\x7f\u2028/</ñ🙂",
    }
    for text, escaped in texts.items():
        assert json_elements([{"text": text}, {"text": None}]) == f'{{"text":"{escaped}"}},{{"text":null}}'.encode()
    assert json_elements([]) == b""


COLUMNS = {field.name: field for field in items.ITEM}


@pytest.mark.parametrize("column", ["user_data", "messages", "feedback", "raw_feedback"])
@pytest.mark.parametrize("text", ["{", "hola", '{"nombre": "Ana"} y más', '"texto"', "NaN"])
def test_text_that_should_be_json_and_is_not_rejects_the_item(column: str, text: str) -> None:
    with pytest.raises(Mismatch):
        converter(COLUMNS[column])({"S": text})


@pytest.mark.parametrize("column", ["user_data", "messages", "feedback", "raw_feedback"])
@pytest.mark.parametrize("value", [{"S": ""}, {"S": " \n"}, {"S": "null"}, {"S": " null "}, {"NULL": True}])
def test_blank_text_and_null_are_absent(column: str, value: dict[str, object]) -> None:
    assert converter(COLUMNS[column])(value) is None


def test_a_map_and_its_json_text_are_the_same_person() -> None:
    convert = converter(COLUMNS["user_data"])
    person = {"nombre": "Ana", "gerencia": None, "ciudad": "Bogotá"}
    attribute = {"nombre": {"S": "Ana"}, "ciudad": {"S": "Bogotá"}, "otra": {"L": []}}
    assert convert({"M": attribute}) == person
    assert convert({"S": '{"nombre": "Ana", "ciudad": "Bogotá", "otra": []}'}) == person


def test_a_list_and_its_json_text_are_the_same_conversation() -> None:
    convert = converter(COLUMNS["messages"])
    messages = [{"from": "user", "text": "¿Qué es?", "timestamp": None}]
    assert convert({"L": [{"M": {"from": {"S": "user"}, "text": {"S": "¿Qué es?"}}}]}) == messages
    assert convert({"S": '[{"from": "user", "text": "\\u00bfQué es?"}]'}) == messages


@pytest.mark.parametrize(
    "value",
    [
        {"M": {"type": {"S": "like"}}},
        {"L": [{"M": {"type": {"S": "like"}}}]},
        {"S": '{"type": "like"}'},
        {"S": '[{"type": "like"}]'},
    ],
)
def test_feedback_is_a_map_or_a_list_of_maps_or_the_text_of_either(value: dict[str, object]) -> None:
    assert converter(COLUMNS["feedback"])(value) == [{"type": "like", "comment": None, "option": None}]
    assert converter(COLUMNS["raw_feedback"])(value) == ['{"type":"like"}']


def test_raw_feedback_keeps_all_digits_sets_as_lists_and_binary_as_base64() -> None:
    digits = "12345678901234567890123456789012345678"
    value = {
        "M": {
            "n": {"N": digits},
            "small": {"N": "-0.00000000000000000000000000000000000000012"},
            "ns": {"NS": ["1", digits]},
            "ss": {"SS": ["á", "b"]},
            "b": {"B": "AP8="},
            "bs": {"BS": ["AQ=="]},
            "yes": {"BOOL": True},
            "no": {"NULL": True},
            "l": {"L": [{"M": {}}]},
        }
    }
    assert converter(COLUMNS["raw_feedback"])(value) == [
        f'{{"n":{digits},"small":-0.00000000000000000000000000000000000000012,"ns":[1,{digits}],'
        '"ss":["á","b"],"b":"AP8=","bs":["AQ=="],"yes":true,"no":null,"l":[{}]}'
    ]


def test_numbers_in_a_json_text_keep_their_digits_too() -> None:
    text = '{"id": 12345678901234567890123456789012345678, "score": 1.10, "exp": 1E+2}'
    assert converter(COLUMNS["raw_feedback"])({"S": text}) == [
        '{"id":12345678901234567890123456789012345678,"score":1.10,"exp":1E+2}'
    ]


def test_a_line_of_an_export_is_a_row_of_the_table_also_without_a_key() -> None:
    flat = items.flat_items({name: [None, None] for name in items.ITEM.names} | {"pk": ["USER#a", None]})
    assert flat.column("item_key").null_count == 2
    broken = [{"file": "data.gz", "line": line, "reason": "not JSON", "raw": "{"} for line in (3, 4)]
    lines = flat.append_column("_rejected", pa.array(broken, to_arrow_type(REJECTED_TYPE)))
    found = table_rows(lines, 7).to_pylist()
    assert [row["item_key"] for row in found] == ["data.gz#3", "data.gz#4"]
    assert [row["usuario_id"] for row in found] == ["a", None]
    assert {(row["_version"], row["rejected_reason"], row["outcome"]) for row in found} == {
        (7, "not JSON", "quarantined")
    }
    # Good lines have no such columns.
    (key,) = items.flat_items({name: [None] for name in items.ITEM.names} | {"pk": ["USER#a"], "sk": ["S"]})["item_key"]
    assert key.as_py() == '["USER#a","S"]'
