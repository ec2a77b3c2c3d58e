"""What becomes of each item of a conversation table, within the reading task (docs/spec.md 1.4 and 3.1)."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from catlake.bedrock.calls import Bot
from catlake.bedrock.conversation_items import ITEM, ConversationCounter
from catlake.bedrock.length4_tokens import count_v1, count_v2
from catlake.bedrock.usage import COUNTS, UsageEstimator, Used, parse_usage, usage_text
from catlake.dynamodb.export_reader import REASON
from catlake.runtime.files import LocalFiles

MIDNIGHT = 1_735_689_600_000
"""1 January 2025, in epoch milliseconds."""


def node(role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"content_type": "text", "body": text}], **more}


SYSTEM = {"system": node("system", "")}
TALK = {
    **SYSTEM,
    "q": node("user", "eight...", parent="system", model="claude-v3.5-sonnet"),
    "a": node("assistant", "twelve......", parent="q", model="claude-v3.5-sonnet"),
}
ITEM_OF_ANA: dict[str, Any] = {
    "PK": "ana",
    "SK": "ana#CONV#1",
    "CreateTime": str(MIDNIGHT),
    "MessageMap": json.dumps(TALK),
}
OFFLOADED = {"MessageMap": json.dumps(SYSTEM), "IsLargeMessage": True, "LargeMessagePath": "ana/1/message_map.json"}


def rows_of(items: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    """What becomes of items that came in one batch."""
    columns = {name: [item.get(name) for item in items] for name in ITEM.names}
    rows: list[dict[str, Any]] = ConversationCounter(**{"count_tokens": count_v2, **options})(columns).to_pylist()
    return rows


def row_of(options: dict[str, Any] | None = None, **differing: Any) -> dict[str, Any]:
    """What becomes of Ana's conversation, and of what differs from it; None takes an attribute away."""
    (row,) = rows_of([{**ITEM_OF_ANA, **differing}], **(options or {}))
    return row


@pytest.fixture
def large(tmp_path: Path) -> dict[str, Any]:
    """Options to look large maps up in a folder."""
    (tmp_path / "maps/ana/1").mkdir(parents=True)
    (tmp_path / "secret.json").write_text(json.dumps(TALK))
    return {"large_messages": (LocalFiles(), str(tmp_path / "maps"))}


def put_map(large: dict[str, Any], text: str) -> None:
    (Path(large["large_messages"][1]) / OFFLOADED["LargeMessagePath"]).write_text(text)


def test_a_conversation_has_its_keys_its_time_and_its_counts() -> None:
    assert row_of() == {
        "item_key": '["ana","ana#CONV#1"]',
        "pk": "ana",
        "sk": "ana#CONV#1",
        "kind": "conversation",
        "filter": None,
        "created": datetime(2025, 1, 1, tzinfo=UTC),
        "last_message": None,
        "total_price": None,
        "input_tokens": 2,
        "output_tokens": 3,
        "bot_id": None,
        "usage": None,
        "reasons": None,
        "chunk_conversation": None,
        "chunk_answer": None,
        "chunk_tokens": None,
        REASON: None,
    }


def test_each_item_of_a_batch_has_its_own_row_in_the_order_read() -> None:
    rows = rows_of([ITEM_OF_ANA, {"PK": "ana", "SK": "ana#BOT#1"}, {**ITEM_OF_ANA, "MessageMap": "{"}, ITEM_OF_ANA])
    assert [(row["input_tokens"], row["kind"], row[REASON] is None) for row in rows] == [
        (2, "conversation", True),
        (None, "bot", True),
        (None, "conversation", False),
        (2, "conversation", True),
    ]


def test_an_empty_batch_gives_an_empty_one() -> None:
    assert rows_of([]) == []


@pytest.mark.parametrize(
    ("sort_key", "kind"),
    [
        ("ana#RELATED_DOCUMENT#1#tooluse@0", "related_document"),
        ("ana#BOT#1", "bot"),
        ("ana#BOT_ALIAS#1", "bot_alias"),
        ("ana#PREFERENCES", "other"),
        ("BOT", "other"),
        ("ana#conv#1", "other"),
        ("", "other"),
    ],
)
def test_what_is_no_conversation_is_counted_by_its_kind_and_nothing_else_of_it_is_read(
    sort_key: str, kind: str
) -> None:
    row = row_of(SK=sort_key, CreateTime="yesterday", TotalPrice="much", MessageMap="{")
    assert (row["kind"], row[REASON], row["input_tokens"], row["created"]) == (kind, None, None, None)


def test_a_published_apis_conversation_is_one_although_its_user_is_called_like_a_bot() -> None:
    row = row_of(PK="PUBLISHED_API#BOT#7", SK="PUBLISHED_API#BOT#7#CONV#1")
    assert (row["kind"], row["input_tokens"], row["output_tokens"]) == ("conversation", 2, 3)


def test_the_oldest_tables_keys_and_their_array_of_messages_are_taken() -> None:
    messages = [{"id": "1", **node("user", "eight...")}, {"id": "2", **node("bot", "twelve......")}]
    row = row_of(PK=None, SK=None, UserId="ana", ConversationId="ana_1", MessageMap=None, Messages=json.dumps(messages))
    assert (row["pk"], row["sk"], row["input_tokens"], row["output_tokens"], row[REASON]) == (
        "ana",
        "ana_1",
        2,
        3,
        None,
    )


@pytest.mark.parametrize(
    ("differing", "reason"),
    [
        # As the reader hands on a line that it could not decode: it must not pass for some other kind of item.
        (dict.fromkeys(ITEM_OF_ANA), "attribute PK: missing"),
        ({"PK": None}, "attribute PK: missing"),
        ({"PK": ""}, "attribute PK: missing"),
        ({"SK": None}, "attribute SK: missing"),
        ({"PK": None, "SK": None, "UserId": "ana"}, "attribute SK: missing"),
        ({"PK": None, "SK": None, "ConversationId": "ana_1"}, "attribute PK: missing"),
        ({"SK": "ana#CONV#"}, "attribute SK: 'ana#CONV#' ends without a conversation's id"),
    ],
)
def test_an_item_without_its_keys_is_rejected(differing: dict[str, Any], reason: str) -> None:
    row = row_of(**differing)
    assert (row["filter"], row[REASON]) == (None, reason)


@pytest.mark.parametrize(
    ("text", "created"),
    [
        (f"{MIDNIGHT}.999", datetime(2025, 1, 1, tzinfo=UTC)),
        (f"{MIDNIGHT - 1}.999", datetime(2024, 12, 31, 23, 59, 59, 999_000, UTC)),
        (f" {MIDNIGHT} ", datetime(2025, 1, 1, tzinfo=UTC)),
        ("1.7356896E+12", datetime(2025, 1, 1, tzinfo=UTC)),
        ("1735689600.123456", datetime(1970, 1, 21, 2, 8, 9, 600_000, UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1E-9999999", datetime(1970, 1, 1, tzinfo=UTC)),
        ("253402300799999", datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)),
    ],
)
def test_the_create_time_is_in_milliseconds_and_a_fraction_of_one_is_cut(text: str, created: datetime) -> None:
    row = row_of(CreateTime=text)
    assert (row["created"], row[REASON]) == (created, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "attribute CreateTime: missing"),
        ("", "attribute CreateTime: '' is no number"),
        ("2025-01-01", "attribute CreateTime: '2025-01-01' is no number"),
        ("true", "attribute CreateTime: 'true' is no number"),
        ("NaN", "attribute CreateTime: 'NaN' is no number"),
        ("1_763_614_800_000", "attribute CreateTime: '1_763_614_800_000' is no number"),
        ("١٧٦٣٦١٤٨٠٠٠٠٠", "attribute CreateTime: '١٧٦٣٦١٤٨٠٠٠٠٠' is no number"),
        ("-Infinity", "attribute CreateTime: '-Infinity' is no number"),
        ("1E+999999", "attribute CreateTime: '1E+999999' is no number"),
        ("253402300800000", "attribute CreateTime: 253402300800000 is no time in epoch milliseconds"),
        ("9" * 38, f"attribute CreateTime: {'9' * 38} is no time in epoch milliseconds"),
        ("-1", "attribute CreateTime: -1 is no time in epoch milliseconds"),
    ],
)
def test_a_conversation_without_a_readable_time_is_rejected_with_the_reason(text: str | None, reason: str) -> None:
    row = row_of(CreateTime=text)
    assert (row[REASON], row["filter"], row["input_tokens"]) == (reason, None, None)


@pytest.mark.parametrize(
    ("milliseconds", "rule"),
    [
        (MIDNIGHT - 1, "before_first_date"),
        (MIDNIGHT, None),
        (MIDNIGHT + 2 * 86_400_000 - 1, None),
        (MIDNIGHT + 2 * 86_400_000, "after_last_date"),
    ],
)
def test_both_dates_are_inclusive_utc_days(milliseconds: int, rule: str | None) -> None:
    dates = {"first_date": date(2025, 1, 1), "last_date": date(2025, 1, 2)}
    row = row_of(dates, CreateTime=f"{milliseconds}.9")
    assert (row["filter"], row["input_tokens"] is None) == (rule, rule is not None)


def test_the_last_day_of_the_calendar_may_be_the_last_date() -> None:
    assert row_of({"last_date": date(9999, 12, 30)}, CreateTime="253402300799999")["filter"] == "after_last_date"
    assert row_of({"last_date": date.max}, CreateTime="253402300799999")["filter"] is None


@pytest.mark.parametrize(
    "broken", [{"MessageMap": "{"}, {"MessageMap": None}, {"TotalPrice": "much"}, {**OFFLOADED, "LargeMessagePath": ""}]
)
def test_a_broken_item_outside_the_dates_is_filtered_and_within_them_rejected(broken: dict[str, Any]) -> None:
    outside = row_of({"first_date": date(2025, 1, 2)}, **broken)
    assert (outside["filter"], outside[REASON]) == ("before_first_date", None)
    within = row_of({"first_date": date(2025, 1, 1)}, **broken)
    assert within["filter"] is None and within[REASON] is not None


@pytest.mark.parametrize(
    ("text", "price"),
    [
        (None, None),
        ("0.0014579999999999999", Decimal("0.0014579999999999999")),
        ("0", Decimal(0)),
        ("0.0000000000000000000000005", Decimal("1E-24")),
        ("1E-9999999", Decimal(0)),
        ("99999999999999.999999999999999999999999", Decimal("99999999999999.999999999999999999999999")),
    ],
)
def test_the_applications_total_keeps_its_digits(text: str | None, price: Decimal | None) -> None:
    row = row_of(TotalPrice=text)
    assert (row["total_price"], row[REASON]) == (price, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("much", "attribute TotalPrice: 'much' is no number"),
        ("1E+14", "attribute TotalPrice: 1E+14 does not fit decimal(38,24)"),
    ],
)
def test_a_total_that_is_no_price_is_rejected(text: str, reason: str) -> None:
    assert row_of(TotalPrice=text)[REASON] == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing"),
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("null", "the message map is null, not an object or array"),
        ("7", "the message map is a number, not an object or array"),
        ('{"a": null}', "node 'a' of the message map is null, not an object"),
        ('{"a": {}} trailing', "Extra data"),
        ('{"a": NaN}', "NaN is not JSON"),
    ],
)
def test_a_map_that_cannot_be_read_is_rejected_never_priced_at_zero(text: str | None, reason: str) -> None:
    row = row_of(MessageMap=text)
    assert row[REASON].startswith(f"attribute MessageMap: {reason}")
    assert (row["input_tokens"], row["output_tokens"], row["usage"]) == (None, None, None)


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_map_that_is_nested_too_deeply_is_rejected_whether_parsing_or_counting_finds_it(depth: int) -> None:
    nested = '{"a": {"role": "user", "content": ' + "[" * depth + "]" * depth + "}}"
    row = row_of(MessageMap=nested)
    assert row[REASON] == "attribute MessageMap: the message map is nested too deeply"


def test_how_texts_are_counted_is_the_callers_choice() -> None:
    with_instruction = json.dumps({**TALK, "instruction": node("instruction", "four")})
    assert row_of({"count_tokens": count_v1}, MessageMap=with_instruction)["input_tokens"] == 2
    assert row_of({"count_tokens": count_v2}, MessageMap=with_instruction)["input_tokens"] == 3


def test_an_offloaded_map_is_read_from_its_path_below_the_root(large: dict[str, Any]) -> None:
    put_map(large, json.dumps(TALK))
    row = row_of(large, **OFFLOADED)
    assert (row["input_tokens"], row["output_tokens"], row[REASON]) == (2, 3, None)
    assert row_of(large, **{**OFFLOADED, "MessageMap": None})["input_tokens"] == 2


def test_a_map_that_a_feedback_wrote_back_is_the_true_one(large: dict[str, Any]) -> None:
    put_map(large, json.dumps({**TALK, "b": node("user", "a longer text")}))
    row = row_of(large, **{**OFFLOADED, "MessageMap": json.dumps(TALK)})
    assert (row["input_tokens"], row["output_tokens"], row[REASON]) == (2, 3, None)
    row = row_of(**{**OFFLOADED, "MessageMap": json.dumps(TALK)})
    assert row[REASON] is None


def test_a_map_of_system_alone_is_the_true_one_where_nothing_was_offloaded() -> None:
    row = row_of(MessageMap=json.dumps(SYSTEM), IsLargeMessage=False, LargeMessagePath=OFFLOADED["LargeMessagePath"])
    assert (row["input_tokens"], row["output_tokens"], row[REASON]) == (0, 0, None)


def test_an_offloaded_map_without_a_root_to_look_in_names_the_argument() -> None:
    assert row_of(**OFFLOADED)[REASON] == (
        "large message map: not looked up, because --large_messages_uri is not given"
    )


@pytest.mark.parametrize("path", ["ana/1/other.json", "ana/1", "ana/1/message_map.json/x"])
def test_an_offloaded_map_that_is_not_there_is_rejected_by_its_uri(large: dict[str, Any], path: str) -> None:
    put_map(large, json.dumps(TALK))
    reason = row_of(large, **{**OFFLOADED, "LargeMessagePath": path})[REASON]
    assert reason == f"large message map: {large['large_messages'][1]}/{path} is missing"


@pytest.mark.parametrize(
    "path", [None, "", "../secret.json", "ana/../../secret.json", "/etc/passwd", "ana//1", "./ana"]
)
def test_a_path_can_never_lead_out_of_the_root(large: dict[str, Any], path: str | None) -> None:
    reason = row_of(large, **{**OFFLOADED, "LargeMessagePath": path})[REASON]
    assert reason == f"large message map: LargeMessagePath {path!r} is not a relative path"


def test_an_offloaded_map_that_cannot_be_read_is_rejected_by_its_uri(large: dict[str, Any]) -> None:
    for text, why in (("{", "Expecting property name"), ('{"a": 1}', "node 'a' of the message map is a number")):
        put_map(large, text)
        uri = f"{large['large_messages'][1]}/{OFFLOADED['LargeMessagePath']}"
        assert row_of(large, **OFFLOADED)[REASON].startswith(f"large message map {uri}: {why}")
    assert "is not a relative path" not in row_of(large, **{**OFFLOADED, "LargeMessagePath": "a\0b"})[REASON]


WITH_USAGE = {"usage": UsageEstimator()}


def test_a_conversation_has_its_usage_by_day_and_model_and_the_words_about_it() -> None:
    row = row_of(WITH_USAGE)
    (used,) = json.loads(row["usage"])
    # A call that sent the question (8 characters) and got the answer (12).
    counts = dict.fromkeys(COUNTS, 0) | {"input_tokens": 2, "output_tokens": 3}
    assert used == {"day": "2025-01-01", "model": "claude-v3.5-sonnet", "calls": 1, **counts}
    assert (row["bot_id"], row["reasons"]) == (None, "")


def test_usage_is_the_same_after_it_was_kept_as_text() -> None:
    usage = [Used(date(2025, 1, 1), "x", 2, tuple(range(8)), {"a": 2}), Used(date(2025, 1, 2), "", 1, (0,) * 8)]
    assert parse_usage(usage_text(usage)) == usage
    assert parse_usage(None) == []


def test_the_settings_of_its_bot_count_and_an_unknown_bot_has_a_word() -> None:
    short = {"usage": UsageEstimator(bots={"b": Bot(max_tokens=1)})}
    known, unknown = (row_of(options, BotId="b") for options in (short, WITH_USAGE))
    assert [parse_usage(row["usage"])[0].calls for row in (known, unknown)] == [3, 1]
    assert (known["bot_id"], known["reasons"], unknown["reasons"]) == ("b", "continued_answers", "bot_settings_unknown")


@pytest.mark.parametrize(
    ("last_message", "time"),
    [
        ("01JGJ4ZP00" + "0" * 16, datetime(2025, 1, 2, tzinfo=UTC)),
        (None, None),
        ("not a ULID", None),
        ("Z" * 26, None),
    ],
)
def test_the_time_of_the_last_message_is_in_its_id(last_message: str | None, time: datetime | None) -> None:
    for broken in ({}, {"MessageMap": "{"}):
        assert row_of(WITH_USAGE, LastMessageId=last_message, **broken)["last_message"] == time


@pytest.mark.parametrize(
    ("sort_key", "content", "chunk"),
    [
        ("ana#RELATED_DOCUMENT#1#a@0", {"text": "x" * 401}, {"conversation": "1", "answer": "a", "tokens": 119}),
        ("P#b#RELATED_DOCUMENT#1#a@12", {"json": {}}, {"conversation": "1", "answer": "a", "tokens": 21}),
        ("ana#RELATED_DOCUMENT#1#a@0", ["no map"], {"conversation": "1", "answer": "a", "tokens": 21}),
        # What a tool found is in the map.
        ("ana#RELATED_DOCUMENT#1#tooluse_7@0", {"text": "x"}, None),
        ("ana#RELATED_DOCUMENT#1#a", {"text": "x"}, None),
        ("ana#RELATED_DOCUMENT#1#a@0", None, None),
        ("ana#BOT#1#a@0", {"text": "x"}, None),
    ],
)
def test_a_retrieved_chunk_has_the_size_with_which_it_is_sent(
    sort_key: str, content: Any, chunk: dict[str, Any] | None
) -> None:
    content = content and json.dumps(content)
    names = ("conversation", "answer", "tokens")
    nothing = dict.fromkeys(names)
    for options, expected in ((WITH_USAGE, chunk or nothing), ({}, nothing)):
        row = row_of(options, SK=sort_key, Content=content)
        assert {name: row[f"chunk_{name}"] for name in names} == expected


@pytest.mark.parametrize("content", ["no JSON", "[" * 100_000], ids=["a text", "nested too deeply"])
def test_a_chunk_whose_content_is_no_map_counts_whole(content: str) -> None:
    row = row_of(WITH_USAGE, SK="ana#RELATED_DOCUMENT#1#a@0", Content=content)
    assert row["chunk_tokens"] == (len(content) + 75) // 4
