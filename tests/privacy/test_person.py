"""Whose a value, a record and a text are."""

import json
import time

import pyarrow as pa
import pytest

from catlake.privacy.person import Person, person

ANA = Person("ana")
HOSTILE = ["o'brien", 'a"b', "a|b", "a\nb", "*", "[a-z]+", "a#b", "ana.*", "ñandú 😀", "\\u0061", "a\\b", "%_", "42"]


def test_a_value_is_of_the_person_whose_id_it_is() -> None:
    values = ["ana", None, "", "anabel", "Ana", "ana#2", " ana"]
    assert ANA.is_in_array(pa.array(values)).to_pylist() == [True, *[False] * 6]


@pytest.mark.parametrize("id", HOSTILE)
def test_an_id_is_never_a_pattern(id: str) -> None:
    someone = person(id)
    assert someone.is_in_array(pa.array([id, "another", id + id])).to_pylist() == [True, False, False]
    assert someone.is_named_in(f"user {id}, at 5")
    assert not someone.is_named_in("another one")
    assert someone.hidden_in([f"  0.5 USD  {id}#CONV#1", 7]) == ["  0.5 USD  ***#CONV#1", 7]


@pytest.mark.parametrize(
    ("record", "is_of_ana"),
    [
        ('{"Item":{"PK":{"S":"USER#ana"},"SK":{"N":"x"}}}', True),
        ('{"Keys":{"UserId":{"S":"ana"}}}', True),
        ('{"user_id": "ana", "productos": "none"}', True),
        ('{"usuario_id":"ana"}', True),
        ('{"user_id":"\\u0061na"}', True),
        # The values of other keys are not ids of persons, and what others write may name anybody.
        ('{"user_id":"bob","codigo":"ana","text":"ana said"}', False),
        ('{"user_id":42}', False),
        # Without such a key, and without JSON, each whole word counts.
        ('{"comprador":"ana"}', True),
        ("PK=ana;no JSON", True),
        ("anabel@x and ana.b and diana", False),
        ("USER#ana#", True),
        (None, False),
        pytest.param("[" * 100_000, False, id="nested"),
    ],
)
def test_a_record_is_of_the_person_whom_its_keys_name(record: str | None, is_of_ana: bool) -> None:
    assert ANA.is_in_record(record) is is_of_ana
    if is_of_ana:
        assert ANA.may_be_in(str(record).encode())


ODD = person('peña "a/b" 😀@x.co')
IN_JSON = json.dumps({"user_id": {"S": ODD.id}})


@pytest.mark.parametrize(
    "record",
    [
        IN_JSON,
        json.dumps({"user_id": {"S": ODD.id}}, ensure_ascii=False),
        IN_JSON.replace("/", "\\/"),
        json.dumps({"text": f"hola\n{ODD.id}\t."}),
        json.dumps({"UserData": {"S": IN_JSON}}),
        json.dumps({"UserData": json.dumps({"S": IN_JSON})}),
        '"peña ""a/b"" 😀@x.co",12,',
    ],
)
def test_an_id_in_a_text_that_is_cut_off_is_found_as_json_and_csv_write_it(record: str) -> None:
    assert ODD.is_in_record(record[:-1])
    assert ODD.may_be_in(json.dumps({"raw": record[:-1]}, ensure_ascii=False).encode())
    assert not person("x.co").is_in_record(record[:-1])


@pytest.mark.parametrize("before", ["\\n", "\\t", "\\u000a", "\\\\n"])
def test_the_letter_of_an_escape_is_no_letter_of_an_id(before: str) -> None:
    assert ANA.is_in_record(f'{{"text":"hola{before}ana')
    assert not ANA.is_in_record(f'{{"text":"hola{before}mariana')


def test_a_byte_that_is_no_utf_8_may_be_of_latin_1() -> None:
    raw = '{"user_id":"josé"'.encode("latin-1").decode("utf-8", "backslashreplace")
    assert person("josé").is_in_record(raw) and person("josé").may_be_in(json.dumps({"raw": raw}).encode())


def test_a_text_of_escapes_takes_no_longer_than_any_other() -> None:
    start = time.monotonic()
    for text in ("\\" * 2_000_000, "\\u005c" + "u005c" * 400_000, '"' * 2_000_000, "\\ud83d" * 300_000):
        assert not ANA.is_in_record(text)
    assert time.monotonic() - start < 20


def test_no_value_is_nobodys_id() -> None:
    assert ANA.is_in_record('{"PK":{"NULL":true},"user_id":null,"comprador":{"S":"ana"}}')
    assert not person("True").is_in_record('{"PK":{"NULL":true}}')


def test_a_number_is_an_id_too() -> None:
    assert Person("42").is_in_record('{"user_id":42,"cantidad":7}')
    assert not Person("7").is_in_record('{"user_id":42,"cantidad":7}')


def test_what_surely_has_no_id_is_not_parsed() -> None:
    assert not ANA.may_be_in(b'{"user_id":"bob"}')
    # As JSON may write them otherwise.
    assert person("a/b").may_be_in(b'"a\\/b"')


def test_neither_logs_nor_messages_show_the_id() -> None:
    assert "ana" not in f"{ANA} {ANA!r}"


@pytest.mark.parametrize("text", ["", "  ", "\n", "x" * 1025, "USER#ana"])
def test_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be the id of a person"):
        person(text)
