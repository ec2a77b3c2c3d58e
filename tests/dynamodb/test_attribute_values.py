"""Attribute values become the values of a declared Spark type, without loss, or are refused with a reason."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import types as T

from catlake.dynamodb import attribute
from catlake.dynamodb.attribute_values import Mismatch, converter, plain_json, typed
from catlake.text.json_text import parse_exact
from tests.texts import any_text

STRING = T.StringType()
LONG = T.LongType()
TEXTS = T.ArrayType(STRING)
CREDITS = T.StructType([T.StructField("producer", STRING), T.StructField("year", LONG)])
DIGITS = "12345678901234567890123456789012345678"


def convert(data_type: T.DataType, value: Any, **options: bool) -> Any:
    return converter(attribute("Album", data_type, **options))(value)


@pytest.mark.parametrize(
    ("data_type", "value", "expected"),
    [
        (STRING, {"S": "Ñandú 🎺"}, "Ñandú 🎺"),
        (STRING, {"S": ""}, ""),
        (STRING, {"N": DIGITS}, DIGITS),
        (STRING, {"N": "1E-130"}, "1E-130"),
        (STRING, {"B": "iVBORw=="}, "iVBORw=="),
        (STRING, {"BOOL": True}, "true"),
        (STRING, {"BOOL": False}, "false"),
        (STRING, {"M": {"a": {"N": DIGITS}, "b": {"NULL": True}}}, f'{{"a":{DIGITS},"b":null}}'),
        (STRING, {"L": [{"S": 'quote "'}, {"BOOL": True}, {"B": "AQI="}]}, '["quote \\"",true,"AQI="]'),
        (STRING, {"SS": ["son", "cumbia"]}, '["son","cumbia"]'),
        (STRING, {"NS": ["1", "9.9E+125"]}, "[1,9.9E+125]"),
        (STRING, {"BS": ["AQI=", "Aw=="]}, '["AQI=","Aw=="]'),
        (T.DecimalType(38, 0), {"N": DIGITS}, Decimal(DIGITS)),
        (T.DecimalType(38, 38), {"N": "-0." + DIGITS}, Decimal("-0." + DIGITS)),
        (T.DecimalType(38, 9), {"N": f"{DIGITS[:29]}.{DIGITS[29:]}"}, Decimal(f"{DIGITS[:29]}.{DIGITS[29:]}")),
        (T.DecimalType(10, 2), {"N": "1.5E+3"}, Decimal("1500.00")),
        (T.DecimalType(10, 2), {"N": "0"}, Decimal("0.00")),
        (LONG, {"N": "9223372036854775807"}, 2**63 - 1),
        (LONG, {"N": "-9223372036854775808"}, -(2**63)),
        (LONG, {"N": "1.2E+3"}, 1200),
        (LONG, {"N": "7.00"}, 7),
        (T.IntegerType(), {"N": "-2147483648"}, -(2**31)),
        (T.ShortType(), {"N": "32767"}, 32767),
        (T.ByteType(), {"N": "-128"}, -128),
        (T.BooleanType(), {"BOOL": False}, False),
        (T.BinaryType(), {"B": "AAEC/w=="}, b"\x00\x01\x02\xff"),
        (TEXTS, {"L": [{"S": "Uno"}, {"NULL": True}, {"N": "2.50"}]}, ["Uno", None, "2.50"]),
        (TEXTS, {"SS": ["son", "cumbia"]}, ["son", "cumbia"]),
        (T.ArrayType(LONG), {"NS": ["3", "4"]}, [3, 4]),
        (T.ArrayType(T.BinaryType()), {"BS": ["AQI="]}, [b"\x01\x02"]),
        (T.ArrayType(TEXTS), {"L": [{"L": [{"S": "a"}]}, {"SS": ["b"]}]}, [["a"], ["b"]]),
        (T.MapType(STRING, LONG), {"M": {"a": {"N": "1"}, "": {"NULL": True}}}, [("a", 1), ("", None)]),
        (CREDITS, {"M": {"year": {"N": "1993"}, "undeclared": {"S": "x"}}}, {"producer": None, "year": 1993}),
        (T.ArrayType(CREDITS), {"L": [{"M": {}}]}, [{"producer": None, "year": None}]),
    ],
    ids=str,
)
def test_a_declared_type_holds_the_value(data_type: T.DataType, value: Any, expected: Any) -> None:
    found = convert(data_type, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "data_type",
    [STRING, T.DecimalType(38, 2), LONG, T.BooleanType(), T.BinaryType(), TEXTS, T.MapType(STRING, LONG), CREDITS],
    ids=lambda data_type: data_type.simpleString(),
)
def test_null_is_null_in_every_declared_type(data_type: T.DataType) -> None:
    assert convert(data_type, {"NULL": True}) is None


@pytest.mark.parametrize(
    ("data_type", "value", "reason"),
    [
        (LONG, {"S": "1993"}, "expected N, found S"),
        (T.BooleanType(), {"N": "1"}, "expected BOOL, found N"),
        (T.BinaryType(), {"S": "AQI="}, "expected B, found S"),
        (TEXTS, {"S": "Uno"}, "expected a list or a set, found S"),
        (T.MapType(STRING, LONG), {"L": []}, "expected M, found L"),
        (CREDITS, {"L": []}, "expected M, found L"),
        (CREDITS, {"M": {"year": {"S": "1993"}}}, "year: expected N, found S"),
        (T.DecimalType(5, 2), {"N": "1234.5"}, "number 1234.5 does not fit decimal(5,2)"),
        (T.DecimalType(5, 2), {"N": "1.005"}, "number 1.005 has more digits than decimal(5,2) holds"),
        (T.DecimalType(38, 38), {"N": "1E-130"}, "number 1E-130 has more digits than decimal(38,38) holds"),
        (T.DecimalType(38, 0), {"N": "9.9E+125"}, "number 9.9E+125 does not fit decimal(38,0)"),
        (LONG, {"N": "9223372036854775808"}, "number 9223372036854775808 is no integer of 64 bits"),
        (LONG, {"N": "1E+9999"}, "number 1E+9999 is no integer of 64 bits"),
        (T.IntegerType(), {"N": "2147483648"}, "is no integer of 32 bits"),
        (T.ShortType(), {"N": "-32769"}, "is no integer of 16 bits"),
        (LONG, {"N": "1.5"}, "number 1.5 is no integer"),
        (STRING, {"N": 5}, "broken N: 5"),
        (STRING, {"N": "NaN"}, "broken N: 'NaN'"),
        (STRING, {"N": "Infinity"}, "broken N: 'Infinity'"),
        (STRING, {"N": ""}, "broken N: ''"),
        (STRING, {"N": "1\n"}, r"broken N: '1\n'"),
        (STRING, {"L": [{"N": "١٢"}]}, "broken N: '١٢'"),
        (STRING, {"S": None}, "broken S: None"),
        (STRING, {"B": "no base64!"}, "broken B"),
        (T.BinaryType(), {"B": "ñ"}, "broken B: 'ñ'"),
        (T.ArrayType(T.BinaryType()), {"BS": ["ñ"]}, "broken BS"),
        (STRING, {"NULL": False}, "broken NULL: False"),
        (STRING, {"BOOL": "true"}, "broken BOOL: 'true'"),
        (STRING, {"SS": "son"}, "broken SS: 'son'"),
        (STRING, {"NS": ["uno"]}, "broken NS"),
        (STRING, {"M": []}, "broken M: []"),
        (STRING, {"X": "?"}, "unknown type 'X' (DynamoDB has S, N, B, BOOL, NULL, M, L, SS, NS, BS)"),
        (STRING, {"S": "a", "N": "1"}, "no attribute value"),
        (STRING, {}, "no attribute value: {}"),
        (STRING, "Uno", "no attribute value: 'Uno'"),
        (TEXTS, {"L": [None]}, "no attribute value: None"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_with_what_was_expected_and_found(
    data_type: T.DataType, value: Any, reason: str
) -> None:
    with pytest.raises(Mismatch) as refused:
        convert(data_type, value)
    assert reason in str(refused.value)


def test_a_reason_stays_short_however_long_the_value_is() -> None:
    with pytest.raises(Mismatch) as refused:
        convert(STRING, {"N": "x" * 100_000})
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("data_type", [T.FloatType(), T.DoubleType()])
def test_floating_point_is_refused_at_once_and_the_remedy_told(data_type: T.DataType) -> None:
    nested = T.ArrayType(T.StructType([T.StructField("price", data_type)]))
    with pytest.raises(TypeError, match=r"Albums: price: .*38 digits; declare decimal\(p,s\) or string"):
        converter(attribute("Albums", nested))


@pytest.mark.parametrize("data_type", [T.DateType(), T.TimestampType(), T.MapType(LONG, STRING)])
def test_a_type_without_counterpart_is_refused_at_once(data_type: T.DataType) -> None:
    with pytest.raises(TypeError, match="has no counterpart in DynamoDB; declare string"):
        converter(attribute("Released", data_type))


def test_a_value_nested_32_deep_is_held_whole() -> None:
    value, data_type, expected = {"S": "bottom"}, STRING, "bottom"
    for _ in range(32):
        value, data_type, expected = {"L": [value]}, T.ArrayType(data_type), [expected]
    assert convert(data_type, value) == expected
    assert convert(STRING, value) == "[" * 32 + '"bottom"' + "]" * 32


def test_a_null_is_refused_where_the_schema_allows_none() -> None:
    strict = T.StructType([attribute("track", STRING, required=True)])
    for data_type, value, reason in (
        (strict, {"M": {}}, "track: missing"),
        (strict, {"M": {"track": {"NULL": True}}}, "track: missing"),
        (T.ArrayType(STRING, containsNull=False), {"L": [{"NULL": True}]}, "allows none"),
        (T.MapType(STRING, LONG, valueContainsNull=False), {"M": {"a": {"NULL": True}}}, "allows none"),
    ):
        with pytest.raises(Mismatch, match=reason):
            convert(data_type, value)


def test_one_value_may_stand_for_a_list_of_one() -> None:
    credits_list = T.ArrayType(CREDITS)
    one = {"M": {"producer": {"S": "Ramone"}}}
    expected = {"producer": "Ramone", "year": None}
    assert convert(credits_list, one, one_as_list=True) == [expected]
    assert convert(credits_list, {"L": [one, one]}, one_as_list=True) == [expected, expected]
    assert convert(credits_list, {"NULL": True}, one_as_list=True) is None
    assert convert(TEXTS, {"SS": ["a", "b"]}, one_as_list=True) == ["a", "b"]
    with pytest.raises(Mismatch, match="expected a list or a set, found M"):
        convert(credits_list, one)


@pytest.mark.parametrize("value", [5, None, "Uno", {}, []], ids=repr)
def test_one_as_list_refuses_what_is_no_attribute_value(value: Any) -> None:
    with pytest.raises(Mismatch, match="no attribute value"):
        convert(TEXTS, value, one_as_list=True)


def test_a_json_text_may_stand_for_a_value() -> None:
    text = json.dumps({"producer": "Ramón", "year": 1993})
    assert convert(CREDITS, {"S": text}, json_text=True) == {"producer": "Ramón", "year": 1993}
    assert convert(CREDITS, {"M": {"year": {"N": "1993"}}}, json_text=True) == {"producer": None, "year": 1993}
    assert convert(T.ArrayType(CREDITS), {"S": text}, json_text=True, one_as_list=True)[0]["year"] == 1993


def test_a_json_text_may_hold_a_number_that_is_too_long_for_python() -> None:
    texts = attribute("texts", T.ArrayType(T.StringType()), json_text=True)
    digits = "1" * 5_000
    assert converter(texts)({"S": f'["a", {digits}]'}) == ["a", digits]


def test_a_field_of_json_text_is_parsed_whatever_is_beside_it() -> None:
    inner = attribute("inner", T.StringType(), json_text=True)
    for fields in ([inner], [inner, attribute("number", T.LongType())]):
        value = converter(attribute("outer", T.StructType(fields)))({"M": {"inner": {"S": "[1, 2]"}}})
        assert value["inner"] == "[1,2]"


def test_numbers_of_a_json_text_keep_all_their_digits() -> None:
    text = f'{{"price": {DIGITS}.5, "tiny": 1E-130}}'
    assert convert(T.MapType(STRING, STRING), {"S": text}, json_text=True) == [
        ("price", DIGITS + ".5"),
        ("tiny", "1E-130"),
    ]


@pytest.mark.parametrize("text", ["", "  \n\t", "null", " null "], ids=repr)
def test_a_blank_json_text_and_the_text_null_are_null(text: str) -> None:
    assert convert(CREDITS, {"S": text}, json_text=True) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Phil Ramone", "text is not JSON: Expecting value"),
        ('{"producer": ', "text is not JSON"),
        ('{"year": NaN}', "text is not JSON: NaN is not JSON"),
        ('"quoted"', "text is not JSON of a list or a map"),
        ("1993", "text is not JSON of a list or a map"),
        ("true", "expected M, found BOOL"),
        ("[]", "expected M, found L"),
        ('{"year": 1e99999}', "year: broken N"),
        ("[" * 100_000, "text is not JSON: maximum recursion depth"),
    ],
    ids=lambda text: text[:20],
)
def test_a_text_that_should_be_json_and_is_not_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Mismatch) as refused:
        convert(CREDITS, {"S": text}, json_text=True)
    assert reason in str(refused.value)


def test_a_json_text_nested_past_what_can_be_written_is_refused() -> None:
    with pytest.raises(Mismatch, match="not writable as JSON"):
        convert(STRING, {"S": "[" * 300 + "]" * 300}, json_text=True)


def test_numbers_that_json_cannot_write_keep_their_value() -> None:
    value = {"L": [{"N": text} for text in ("+5", ".5", "007", "1.", "-.5E+3")]}
    assert json.loads(plain_json(value)) == [5, 0.5, 7, 1, -500]


# A typing round trip against boto3: a type, a value of it, and what boto3's serializer makes of that value.


def decimals(digits: int = 38, smallest: int = -130, largest: int = 125) -> st.SearchStrategy[Decimal]:
    """Numbers in DynamoDB's range."""

    def number(negative: bool, mantissa: int, leading: int) -> Decimal:
        text = str(mantissa)
        exponent = max(leading - len(text) + 1, smallest)
        return Decimal((int(negative), tuple(map(int, text)), exponent)) if mantissa else Decimal(0)

    return st.builds(number, st.booleans(), st.integers(0, 10**digits - 1), st.integers(smallest + digits, largest))


def fixed_decimals(data_type: T.DecimalType) -> st.SearchStrategy[Decimal]:
    limit = 10**data_type.precision - 1
    return st.integers(-limit, limit).map(lambda unscaled: Decimal(f"{unscaled}E-{data_type.scale}"))


TEXT = any_text(max_size=20)
LEAVES = st.one_of(
    st.sampled_from([STRING, LONG, T.IntegerType(), T.ShortType(), T.BooleanType(), T.BinaryType()]),
    st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: T.DecimalType(p, s))),
)


def structs(inner: st.SearchStrategy[T.DataType]) -> st.SearchStrategy[T.DataType]:
    return st.dictionaries(TEXT, inner, min_size=1, max_size=4).map(
        lambda fields: T.StructType([attribute(name, data_type) for name, data_type in fields.items()])
    )


TYPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(T.ArrayType), inner.map(lambda values: T.MapType(STRING, values)), structs(inner)
    ),
    max_leaves=8,
)


def values_of(data_type: T.DataType) -> st.SearchStrategy[Any]:
    """Python values, as boto3 takes them, that a declared type holds."""
    match data_type:
        case T.StringType():
            return TEXT
        case T.BooleanType():
            return st.booleans()
        case T.BinaryType():
            return st.binary(max_size=20)
        case T.DecimalType():
            return fixed_decimals(data_type)
        case T.LongType() | T.IntegerType() | T.ShortType():
            bits = {T.LongType: 63, T.IntegerType: 31, T.ShortType: 15}[type(data_type)]
            return st.integers(-(2**bits), 2**bits - 1).map(Decimal)
        case T.ArrayType():
            inner = values_of(data_type.elementType)
            lists = st.lists(st.none() | inner, max_size=4)
            sets = isinstance(data_type.elementType, (T.StringType, T.BinaryType, T.NumericType))
            return lists | st.sets(inner, min_size=1, max_size=4) if sets else lists
        case T.MapType():
            return st.dictionaries(TEXT, st.none() | values_of(data_type.valueType), max_size=4)
        case T.StructType():
            return st.fixed_dictionaries(
                {}, optional={field.name: st.none() | values_of(field.dataType) for field in data_type.fields}
            )
        case _:
            raise AssertionError(data_type)


def exported(value: Any) -> Any:
    """A serialized value as an export writes it: binary as base64, sets as lists."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case set() | list():
            return [exported(inner) for inner in value]
        case dict():
            return {key: exported(inner) for key, inner in value.items()}
        case _:
            return value


def as_columns(data_type: T.DataType, value: Any) -> Any:
    """What boto3's deserializer gives, as the reader should give it."""
    if value is None:
        return None
    match data_type:
        case T.BinaryType():
            return bytes(value)
        case T.ArrayType():
            elements = [as_columns(data_type.elementType, element) for element in value]
            return sorted(elements) if isinstance(value, set) else elements
        case T.MapType():
            return [(key, as_columns(data_type.valueType, inner)) for key, inner in value.items()]
        case T.StructType():
            return {field.name: as_columns(field.dataType, value.get(field.name)) for field in data_type.fields}
        case _:
            return value


def in_order_of_sets(data_type: T.DataType, value: Any, found: Any) -> Any:
    """A set has no order: what was found of one is sorted. Sets occur nested too."""
    match data_type:
        case T.ArrayType() if isinstance(value, set):
            return sorted(found)
        case T.ArrayType() if value is not None:
            pairs = zip(value, found, strict=True)
            return [in_order_of_sets(data_type.elementType, inner, got) for inner, got in pairs]
        case T.MapType() if value is not None:
            return [(key, in_order_of_sets(data_type.valueType, value[key], got)) for key, got in found]
        case T.StructType() if value is not None:
            return {
                field.name: in_order_of_sets(field.dataType, value.get(field.name), found[field.name])
                for field in data_type.fields
            }
        case _:
            return found


def assert_round_trip(case: tuple[T.DataType, Any]) -> None:
    data_type, value = case
    serialized = TypeSerializer().serialize(value)
    read_by_boto3 = TypeDeserializer().deserialize(serialized)
    found = convert(data_type, exported(serialized))
    assert in_order_of_sets(data_type, value, found) == as_columns(data_type, read_by_boto3)


CASES = TYPES.flatmap(lambda data_type: st.tuples(st.just(data_type), values_of(data_type)))


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_what_boto3_writes_is_what_boto3_would_read(case: tuple[T.DataType, Any]) -> None:
    assert_round_trip(case)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(CASES)
def test_what_boto3_writes_is_what_boto3_would_read_a_thousand_times(case: tuple[T.DataType, Any]) -> None:
    assert_round_trip(case)


@settings(max_examples=500, deadline=None)
@given(decimals())
def test_a_number_as_text_and_as_json_is_the_number_that_boto3_reads(number: Decimal) -> None:
    serialized = TypeSerializer().serialize(number)
    read_by_boto3 = TypeDeserializer().deserialize(serialized)
    assert Decimal(convert(STRING, serialized)) == read_by_boto3 == number
    assert json.loads(plain_json(serialized), parse_float=Decimal, parse_int=Decimal) == number


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | TEXT | st.integers() | decimals(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def json_text(value: Any) -> str:
    """JSON with exact numbers, which the standard library writes for integers only."""
    match value:
        case Decimal():
            return str(value)
        case list():
            return "[" + ", ".join(map(json_text, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)}: {json_text(inner)}" for key, inner in value.items()) + "}"
        case _:
            return json.dumps(value)


@settings(max_examples=150, deadline=None)
@given(st.lists(JSON_VALUES, max_size=4) | st.dictionaries(TEXT, JSON_VALUES, max_size=4))
def test_a_json_text_comes_back_whole_as_plain_json(value: Any) -> None:
    found = convert(STRING, {"S": json_text(value)}, json_text=True)
    assert json.loads(found, parse_float=Decimal) == value
    assert plain_json(typed(parse_exact(json_text(value)))) == found
