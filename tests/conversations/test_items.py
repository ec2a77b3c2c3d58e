"""Items of the Catia table: kinds, dates, and what becomes of each (SPEC 1.3)."""

from datetime import date, datetime

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.conversations import items
from catlake.dynamodb.attribute_values import Mismatch, converter
from tests.conversations.table import assert_rows, conversation, feedback, from_items
from tests.samples.catia_oddities import item
from tests.samples.export_files import Item

FIRST_DATE = date(2025, 8, 4)


def classified(spark: SparkSession, *given: Item, first_date: date | None = FIRST_DATE) -> DataFrame:
    return from_items(spark, *given).transform(items.classified, first_date)


def test_the_first_word_of_register_feedback_conversation_in_the_sort_key_decides_in_any_case(
    spark: SparkSession,
) -> None:
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
    found = classified(spark, *(conversation(sort_key=key) for key in kinds)).select("sk", "kind")
    assert_rows(found, "sk string, kind string", kinds.items())


def test_registers_and_other_items_are_counted_by_filter_whatever_they_hold(spark: SparkSession) -> None:
    broken = from_items(
        spark,
        item("ana", "REGISTER#1"),
        item("ana", "PREFERENCES#1"),
        reasons=["attribute UserData: text is not JSON"] * 2,
    ).transform(items.classified, FIRST_DATE)
    assert_rows(
        broken.select("sk", "outcome"),
        "sk string, outcome string",
        [("REGISTER#1", "register"), ("PREFERENCES#1", "other")],
    )


CREATED = {
    "2025-09-01T10:00:00Z": datetime(2025, 9, 1, 10),
    "2025-09-01T10:00:00.123456Z": datetime(2025, 9, 1, 10, 0, 0, 123456),
    "2025-09-01T10:00:00-05:00": datetime(2025, 9, 1, 15),
    "2025-09-01T10:00:00+0530": datetime(2025, 9, 1, 4, 30),
    "2025-09-01T10:00:00": datetime(2025, 9, 1, 10),
    "2025-09-01T10:00": datetime(2025, 9, 1, 10),
    "2025-09-01": datetime(2025, 9, 1),
    "20250901T100000Z": datetime(2025, 9, 1, 10),
    " 2025-09-01T10:00:00Z\n": datetime(2025, 9, 1, 10),
    "2024-02-29": datetime(2024, 2, 29),
    "2025-02-29": None,
    "2025-02-30T10:00:00Z": None,
    "2025-09-01T25:00:00Z": None,
    "2025": None,
    "2025-09": None,
    "10:00:00": None,
    "1756720800": None,
    "now": None,
    "ayer por la tarde": None,
    "01/09/2025": None,
    "": None,
    "   ": None,
}


def test_created_at_is_an_iso_date_utc_without_an_offset_and_anything_else_is_no_date(spark: SparkSession) -> None:
    found = classified(spark, *(conversation(CreatedAt=text) for text in CREATED)).select(
        "created_at", F.date_format("created", "yyyy-MM-dd HH:mm:ss.SSSSSS")
    )
    texts = {text: moment and moment.isoformat(" ", "microseconds") for text, moment in CREATED.items()}
    assert {row[0]: row[1] for row in found.collect()} == texts


def test_a_missing_or_null_created_at_is_no_date(spark: SparkSession) -> None:
    without = {name: value for name, value in conversation().items() if name != "CreatedAt"}
    found = classified(spark, without, conversation(CreatedAt=None))
    assert [row["created"] for row in found.collect()] == [None, None]


def test_conversations_of_an_earlier_utc_day_are_filtered_undated_ones_kept(spark: SparkSession) -> None:
    outcomes = {
        "2025-08-03T23:59:59.999Z": "before_first_date",
        "2025-08-03": "before_first_date",
        "2025-08-04T02:00:00+05:00": "before_first_date",
        "2025-08-04": "kept",
        "2025-08-04T00:00:00Z": "kept",
        "2025-08-03T20:00:00-05:00": "kept",
        "ayer": "kept",
        "": "kept",
    }
    found = classified(spark, *(conversation(CreatedAt=text) for text in outcomes)).select("created_at", "outcome")
    assert_rows(found, "created_at string, outcome string", outcomes.items())


def test_without_a_first_date_no_conversation_is_too_early(spark: SparkSession) -> None:
    found = classified(spark, conversation(CreatedAt="1999-01-01"), first_date=None).select("outcome")
    assert_rows(found, "outcome string", [("kept",)])


def test_feedback_is_never_filtered_by_date(spark: SparkSession) -> None:
    found = classified(spark, feedback(CreatedAt="1999-01-01")).select("outcome")
    assert_rows(found, "outcome string", [("kept",)])


def test_an_item_that_cannot_be_read_is_quarantined_and_one_too_early_is_not_looked_at(spark: SparkSession) -> None:
    given = [conversation("ana"), conversation("eva", CreatedAt="2025-01-01"), feedback("ana"), {}]
    reasons = ["attribute Conversation: text is not JSON"] * 3 + ["not JSON"]
    found = from_items(spark, *given, reasons=reasons).transform(items.classified, FIRST_DATE)
    assert_rows(
        found.select("pk", "outcome"),
        "pk string, outcome string",
        [
            ("USER#ana", "quarantined"),
            ("USER#eva", "before_first_date"),
            ("USER#ana", "quarantined"),
            (None, "quarantined"),
        ],
    )


def test_quarantine_keeps_file_line_reason_and_raw_text(spark: SparkSession) -> None:
    found = from_items(spark, conversation(), item("ana", "CONVERSATION#2"), reasons=[None, "why"]).transform(
        items.classified, None
    )
    raw = str(item("ana", "CONVERSATION#2"))
    assert_rows(
        found.transform(items.rejected),
        "file string, line bigint, reason string, raw string",
        [("data.json.gz", 2, "why", raw)],
    )


def test_a_feedback_item_that_holds_none_is_filtered_under_its_own_rule(spark: SparkSession) -> None:
    empty: list[object] = ["", "  ", "null", None, [], "[]", [None]]
    found = classified(spark, item("ana", "FEEDBACK#x"), *(feedback(Feedback=value) for value in empty))
    assert_rows(found.select("outcome"), "outcome string", [("empty_feedback",)] * 8)


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
