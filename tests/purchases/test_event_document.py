"""Change events and their documents (docs/spec.md 4.1)."""

import json
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catlake.dynamodb.attribute_values import AttributeValue, Mismatch
from catlake.purchases.event_document import Document, document
from tests.purchases.records import TEST, image, line, product
from tests.texts import any_text

SEED = """{"compra_id":"c-1","user_id":"u-1","tenant_id":"empresa","fecha":"2025-07-13 10:30:00",\
"productos":[{"codigo":"PROD001","nombre":"Producto Test","precio_unitario":99.99,"cantidad":2}],\
"resumen":{"total_productos":1,"total_cantidad":2,"total_precio":199.98,"moneda":"USD"},\
"metadata":{"event_name":"INSERT","event_source":"aws:dynamodb","aws_region":"us-east-1","event_id":"e-1",\
"processed_at":"2025-07-14T20:53:21.000Z","processed_by":"dev-compras-ingest","stage":"dev"}}
"""


def made(text: bytes) -> Document:
    return document(text, TEST)


def content(text: bytes) -> Any:
    return json.loads(made(text).content, parse_float=Decimal, parse_int=Decimal)


def refused(text: bytes) -> str:
    with pytest.raises(Mismatch) as caught:
        made(text)
    return str(caught.value)


def test_the_seeds_purchase_is_one_line_with_its_keys_in_order() -> None:
    assert made(line()).content.decode() == SEED


def test_the_file_is_named_by_purchase_event_and_time_and_dated_by_fecha() -> None:
    assert made(line()).path == ("compras/empresa/2025/07/13/insert_c-1_20250714_205321_111100000000000000001.json")


def test_without_a_sequence_number_the_event_id_names_the_file() -> None:
    by_kinesis = {
        "SequenceNumber": None,
        "ApproximateCreationDateTime": 1752526401123456,
        "ApproximateCreationDateTimePrecision": "MICROSECOND",
    }
    found = made(line(None, by_kinesis))
    assert found.path.endswith("/insert_c-1_20250714_205321_e-1.json")
    assert b'"processed_at":"2025-07-14T20:53:21.123456Z"' in found.content


@pytest.mark.parametrize("name", ["MODIFY", "REMOVE"])
def test_each_kind_of_event_has_files_of_its_own(name: str) -> None:
    assert f"/{name.lower()}_c-1_" in made(line(eventName=name)).path


@pytest.mark.parametrize(
    ("fecha", "day"),
    [
        ("2025-07-13", "2025/07/13"),
        ("2025-07-13T10:30:00", "2025/07/13"),
        ("2025-07-13 10:30", "2025/07/13"),
        ("2025-07-13T10:30:00.123456Z", "2025/07/13"),
        ("2025-07-13T23:30:00-05:00", "2025/07/14"),
        ("2024-02-29 00:00:00", "2024/02/29"),
        ("0099-01-02", "0099/01/02"),
    ],
)
def test_fecha_dates_the_folder_in_utc_and_stays_as_it_was_written(fecha: str, day: str) -> None:
    text = line(image(fecha={"S": fecha}))
    assert made(text).path.startswith(f"compras/empresa/{day}/")
    assert content(text)["fecha"] == fecha


@pytest.mark.parametrize(
    "fecha",
    [
        "",
        " 2025-07-13",
        "2025-07-13\n",
        "13/07/2025",
        "2025-7-13",
        "2025-02-29",
        "2025-13-01",
        "0000-01-01",
        "2025-07-13 24:30:00",
        "2025-07-13 10:30:60",
        "2025-07-13T10:30:00+99:00",
        "0001-01-01T00:00:00+05:00",
        "٢٠٢٥-٠٧-١٣",
        "2025-07-13/../../x",
        "hoy",
    ],
)
def test_a_fecha_that_is_no_date_is_refused(fecha: str) -> None:
    assert refused(line(image(fecha={"S": fecha}))).startswith("fecha ")


@pytest.mark.parametrize("missing", ["compra_id", "tenant_id", "fecha"])
@pytest.mark.parametrize("value", [None, {"NULL": True}])
def test_a_purchase_has_an_id_a_tenant_and_a_date(missing: str, value: AttributeValue | None) -> None:
    assert refused(line(image(**{missing: value}))) == f"{missing}: missing"


@pytest.mark.parametrize("productos", [None, {"NULL": True}, {"L": []}])
def test_without_products_a_purchase_is_empty(productos: AttributeValue | None) -> None:
    found = content(line(image(productos=productos)))
    assert found["productos"] == []
    assert found["resumen"] == {"total_productos": 0, "total_cantidad": 0, "total_precio": 0, "moneda": "USD"}


def test_text_comes_back_as_it_was() -> None:
    name = 'Café "ñ" | \\ \n\r\t </script> 😀 \u2028'
    found = content(line(image(product(nombre={"S": name}, codigo={"N": "007"}), user_id=None)))
    assert (found["productos"][0]["nombre"], found["productos"][0]["codigo"]) == (name, "007")
    assert found["user_id"] is None
    assert made(line(image(product(nombre={"S": name})))).content.count(b"\n") == 1


@pytest.mark.parametrize(
    ("products", "total", "quantity"),
    [
        ([("19.995", "1")], "20.00", "1"),
        ([("19.995", "3")], "59.99", "3"),
        ([("0.005", "1"), ("0.005", "1")], "0.01", "2"),
        ([("0.004", "1"), ("0.004", "1")], "0.01", "2"),
        ([("10", "0")], "0.00", "0"),
        ([("10.50", "-2")], "-21.00", "-2"),
        ([("0.001", "-1")], "0.00", "-1"),
        ([("3", "1.5"), ("1", "0.25")], "4.75", "1.75"),
        ([("0.1", "3")], "0.30", "3"),
        ([("1E+3", "2")], "2000.00", "2"),
        ([("9" * 38, "9" * 38)], "9" * 37 + "8" + "0" * 37 + "1" + ".00", "9" * 38),
        ([("1E+125", "1"), ("1E-130", "1")], "1" + "0" * 125 + ".00", "2"),
    ],
)
def test_totals_are_exact_and_rounded_once(products: list[tuple[str, str]], total: str, quantity: str) -> None:
    text = line(image(*(product(*each) for each in products)))
    summary = made(text).content.decode().partition('"resumen":')[2]
    assert f'"total_cantidad":{quantity},"total_precio":{total},' in summary


DIGITS = st.decimals(allow_nan=False, allow_infinity=False, min_value="-1E20", max_value="1E20", places=6)


@given(st.lists(st.tuples(DIGITS, DIGITS), max_size=5))
def test_any_total_is_the_one_of_exact_fractions(products: list[tuple[Decimal, Decimal]]) -> None:
    text = line(image(productos={"L": [product(str(price), str(quantity)) for price, quantity in products]}))
    exact = sum((Fraction(price) * Fraction(quantity) for price, quantity in products), Fraction())
    hundredfold = abs(exact) * 100 + Fraction(1, 2)
    cents = hundredfold.numerator // hundredfold.denominator
    found = content(text)
    assert Fraction(found["resumen"]["total_precio"]) * 100 == (cents if exact >= 0 else -cents)
    assert [Decimal(each["precio_unitario"]) for each in found["productos"]] == [price for price, _ in products]


def test_a_price_of_38_digits_is_written_with_all_of_them() -> None:
    price = "1234567890123456789012345678.0123456789"
    assert f'"precio_unitario":{price},' in made(line(image(product(price)))).content.decode()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (product(precio_unitario=None), "productos[1].precio_unitario: missing"),
        (product(cantidad=None), "productos[1].cantidad: missing"),
        (product(cantidad={"NULL": True}), "productos[1].cantidad: expected N, found NULL"),
        (product(precio_unitario={"S": "99.99"}), "productos[1].precio_unitario: expected N, found S"),
        (product("gratis"), "productos[1].precio_unitario: broken N: 'gratis'"),
        (product("NaN"), "productos[1].precio_unitario: broken N"),
        (product("1" * 39), "is beyond DynamoDB's numbers of 38 digits"),
        (product("1E+126"), "is beyond DynamoDB's numbers"),
        (product("1", "1E-131"), "is beyond DynamoDB's numbers"),
        ({"S": "PROD001"}, "productos[1]: expected M, found S"),
        ({"M": []}, "productos[1]: broken M"),
        (None, "productos[1]: no attribute value: None"),
    ],
)
def test_a_product_without_a_numeric_price_or_quantity_is_refused(bad: Any, reason: str) -> None:
    assert reason in refused(line(image(productos={"L": [product(), bad]})))


def test_products_that_are_no_list_are_refused() -> None:
    assert refused(line(image(productos={"S": "[]"}))) == "productos: expected L, found S"


HOSTILE = [
    "", ".", "..", "../../etc", "a/b", "/etc/passwd", "a\\b", "a b", "a\n", "\na", "a\x00b", "ñandú", "tienda😀",
    "a" * 129, "%2e%2e", "a:b", "a*", "~", "-" * 129, "ａ", "a\u200b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", ["tenant_id", "compra_id", "eventID", "SequenceNumber"])
def test_what_is_no_safe_name_chooses_no_path(where: str, name: str) -> None:
    if where == "eventID":
        text = line(eventID=name)
    elif where == "SequenceNumber":
        text = line(None, {"SequenceNumber": name})
    else:
        text = line(image(**{where: {"S": name}}))
    assert refused(text).startswith(f"{where} {name!r:.100}"[:60])


@given(any_text(max_size=150), any_text(max_size=150), any_text(max_size=40))
def test_no_text_at_all_leaves_its_place(tenant: str, purchase: str, fecha: str) -> None:
    text = line(image(tenant_id={"S": tenant}, compra_id={"S": purchase}, fecha={"S": f"2025-07-13{fecha}"}))
    try:
        found = made(text)
    except Mismatch:
        return
    safe = r"[A-Za-z0-9._-]{1,128}"
    assert re.fullmatch(rf"compras/{safe}/\d{{4}}/\d\d/\d\d/insert_{safe}_20250714_205321_\d+\.json", found.path)
    assert not {".", ".."} & set(found.path.split("/"))


def test_names_of_128_characters_fit_and_one_that_fits_no_file_system_is_refused() -> None:
    longest = image(tenant_id={"S": "t" * 128}, compra_id={"S": "c" * 128})
    assert len(made(line(longest)).path.rpartition("/")[2]) < 255
    assert "make a file name of " in refused(line(longest, {"SequenceNumber": "9" * 128}))


def test_an_attribute_value_may_nest_deeper_than_python() -> None:
    deep = b'{"L":[' * 5000 + b'{"S":"x"}' + b"]}" * 5000
    text = line(image(user_id={"S": "@"})).replace(b'{"S": "@"}', deep)
    assert "user_id" in refused(text) or "not JSON" in refused(text)
