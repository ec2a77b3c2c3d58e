"""What makes a file a document: its content, and that its place says the same."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from catlake.purchases.event_document import document
from catlake.purchases.stored_documents import STORED, checked
from tests.purchases.records import LOCAL
from tests.purchases.tree import event

EVENT = event("INSERT", "c_1", "2025-07-13 15:30:00", ("P1", "Café", "99.99", "2"), sequence="111")
MADE = document(EVENT, LOCAL)
PATH = MADE.path.removeprefix("compras/")
BASE: dict[str, Any] = json.loads(MADE.content)


def row_of(content: bytes = MADE.content, path: str = PATH) -> dict[str, Any]:
    return checked(f"/lake/compras/{path}", path, content, "USD")


def changed(change: dict[str, Any]) -> bytes:
    """The base document with some values changed: `a.b` is the value b of the object a, `a.0.b` one of a list."""
    document = json.loads(json.dumps(BASE))
    for name, value in change.items():
        *parents, last = name.split(".")
        at = document
        for parent in parents:
            at = at[int(parent)] if parent.isdigit() else at[parent]
        at[last] = value
    return json.dumps(document).encode()


def sold(*products: tuple[str, str], total: str, quantity: str | None = None) -> bytes:
    """A document of products by price and quantity, as texts of JSON."""
    lines = ",".join(
        f'{{"codigo":"P{at}","nombre":null,"precio_unitario":{price},"cantidad":{count}}}'
        for at, (price, count) in enumerate(products)
    )
    summary = (
        f'{{"total_productos":{len(products)},"total_cantidad":{quantity or products[0][1]},'
        f'"total_precio":{total},"moneda":"USD"}}'
    )
    text = json.dumps({**BASE, "productos": "LINES", "resumen": "SUMMARY"})
    return text.replace('"LINES"', f"[{lines}]").replace('"SUMMARY"', summary).encode()


def test_a_document_of_the_ingest_is_read_whole() -> None:
    assert row_of() == {
        "file": f"/lake/compras/{PATH}",
        "path": PATH,
        "tenant_id": "t1",
        "compra_id": "c_1",
        "event_name": "INSERT",
        "processed_at": datetime(2025, 7, 13, 15, 30, tzinfo=UTC),
        "sequence": "111",
        "day": date(2025, 7, 13),
        "user_id": "u1",
        "fecha": "2025-07-13 10:30:00",
        "quantity": Decimal(2),
        "revenue": Decimal("199.98"),
        "currency": "USD",
        "productos": [
            {"codigo": "P1", "nombre": "Café", "precio_unitario": "99.99", "cantidad": "2", "importe": "199.98"}
        ],
        "misfit": None,
    }


def test_a_row_has_no_column_that_the_schema_lacks() -> None:
    assert row_of().keys() | row_of(b"{").keys() == set(STORED.names)


def test_an_event_without_a_number_has_none() -> None:
    by_kinesis = document(event("INSERT", "c1", "2025-07-13 15:30:00"), LOCAL)
    row = checked("f", by_kinesis.path.removeprefix("compras/"), by_kinesis.content, "USD")
    assert (row["sequence"], "reason" in row) == (None, False)


def test_a_document_of_the_former_writer_is_one_too() -> None:
    former = changed({"resumen.total_precio": 199.98000000000002})
    row = row_of(former, "t1/2025/07/13/insert_c_1_20250713_103045.json")
    assert (row["sequence"], row["revenue"], row.get("reason")) == (None, Decimal("199.98"), None)


@pytest.mark.parametrize("name", ["codigo", "nombre"])
@pytest.mark.parametrize("blank", [None, "", " \n\t", "\u00a0"])
def test_a_blank_code_or_name_is_absent(name: str, blank: str | None) -> None:
    assert row_of(changed({f"productos.0.{name}": blank}))["productos"][0][name] is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no JSON"),
        (MADE.content[:-20], "no JSON"),
        (MADE.content * 2, "no JSON: Extra data"),
        (b"\xff\xfe{}", "no JSON"),
        (b'{"compra_id": NaN}', "no JSON: NaN is not JSON"),
        (b"[" * 100_000, "no document: nested too deeply"),
        (b"[]", "no document: a JSON text, but no object"),
        (b"{}", "tenant_id is no text"),
    ],
)
def test_what_is_no_json_object_is_no_document(content: bytes, reason: str) -> None:
    row = row_of(content)
    assert row["reason"].startswith(reason)
    assert row["raw"] == content.decode("utf-8", "backslashreplace")
    assert "tenant_id" not in row


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tenant_id": 5}, "tenant_id is no text"),
        ({"tenant_id": "t2"}, "path and content disagree: tenant_id is t2, the folder 't1'"),
        ({"tenant_id": "../t1"}, "tenant_id '../t1' is no safe name"),
        ({"compra_id": "c_2"}, "path and content disagree: the name is not insert_c_2_"),
        # A name's parts may hold what parts them: the whole must agree.
        ({"compra_id": "c"}, "path and content disagree: the name is not insert_c_"),
        ({"compra_id": None}, "compra_id is no text"),
        ({"compra_id": "c\n"}, "compra_id 'c\\n' is no safe name"),
        ({"metadata": None}, "metadata is no object"),
        ({"metadata.event_name": "MODIFY"}, "path and content disagree: the name is not modify_c_1_"),
        ({"metadata.event_name": "DROP"}, "metadata.event_name is 'DROP'"),
        ({"metadata.processed_at": "ayer"}, "metadata.processed_at is 'ayer', no time"),
        ({"metadata.processed_at": "2025-02-30T00:00:00.000Z"}, "metadata.processed_at is '2025-02-30"),
        ({"metadata.processed_at": None}, "metadata.processed_at is no text"),
    ],
)
def test_a_file_whose_event_is_in_doubt_stands_for_none(change: dict[str, Any], reason: str) -> None:
    row = row_of(changed(change))
    assert row["reason"].startswith(reason)
    assert "compra_id" not in row


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("t1/2025/07/insert_c_1_20250713_153000_111.json", "its folder is not <tenant>/<yyyy>/<mm>/<dd>: '2025/07'"),
        ("t1/2025/02/30/insert_c_1_20250713_153000_111.json", "its folder is not"),
        ("t1/2025/7/13/insert_c_1_20250713_153000_111.json", "its folder is not"),
        ("t1/2025/07/13/more/insert_c_1_20250713_153000_111.json", "its folder is not"),
        ("t1/2025/07/13/insert_c_1_20250713_111.json", "path and content disagree: the name"),
        ("t1/2025/07/13/insert_c_1_20250713_153000_111.json.gz", "path and content disagree: the name"),
        ("t1/2025/07/13/INSERT_c_1_20250713_153000_111.json", "path and content disagree: the name"),
        ("t1/2025/07/13/x.json", "path and content disagree: the name"),
    ],
)
def test_a_file_in_another_place_is_no_document(path: str, reason: str) -> None:
    assert row_of(path=path)["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"productos": None}, "productos is no list"),
        ({"productos": [5]}, "productos[0] is no object"),
        ({"productos.0.precio_unitario": "9"}, "productos[0].precio_unitario is no number"),
        ({"productos.0.cantidad": None}, "productos[0].cantidad is no number"),
        ({"productos.0.codigo": 5}, "productos[0].codigo is no text"),
        ({"productos.0.cantidad": 3}, "resumen disagrees with productos"),
        ({"resumen": []}, "resumen is no object"),
        ({"resumen.total_precio": 199.97}, "resumen disagrees with productos"),
        ({"resumen.total_productos": 2}, "resumen disagrees with productos"),
        ({"resumen.moneda": "COP"}, "resumen.moneda is 'COP': the report adds up USD only"),
        ({"user_id": 1}, "user_id is no text"),
        ({"fecha": ""}, "fecha is no text"),
    ],
)
def test_a_broken_document_still_stands_for_its_event(change: dict[str, Any], reason: str) -> None:
    row = row_of(changed(change))
    assert row["reason"] == reason
    assert (row["tenant_id"], row["compra_id"], row["sequence"]) == ("t1", "c_1", "111")
    assert json.loads(row["raw"])["metadata"]["event_name"] == "INSERT"


@pytest.mark.parametrize(
    ("price", "quantity", "amount", "revenue"),
    [
        ("12345678901234567890123456789012345.678", "1", "12345678901234567890123456789012345.678", "…345.68"),
        ("1.2345678901234567890123456789012345678", "2", "2.4691357802469135780246913578024691356", "2.47"),
        ("0.005", "1", "0.005", "0.01"),
        ("-0.005", "1", "-0.005", "-0.01"),
        ("1e2", "0.5", "50", "50.00"),
        ("1E-130", "0", "0", "0.00"),
    ],
)
def test_prices_of_38_digits_are_exact(price: str, quantity: str, amount: str, revenue: str) -> None:
    revenue = revenue.replace("…", "12345678901234567890123456789012")
    row = row_of(sold((price, quantity), total=revenue))
    assert Decimal(row["productos"][0]["importe"]) == Decimal(amount)
    assert str(row["revenue"]) == revenue


@pytest.mark.parametrize(
    ("price", "quantity", "misfit"),
    [
        ("1e36", "1", "total_precio: 1.000E+36 has more than 36 digits before the point"),
        ("0", "1e20", "productos[0].cantidad: 1.000E+20 has more than 20 digits before the point"),
        ("0", "1e-19", "productos[0].cantidad: 1.000E-19 has more than 18 decimals"),
    ],
)
def test_what_no_column_holds_is_reported_and_never_cut(price: str, quantity: str, misfit: str) -> None:
    total = "0.00" if price == "0" else f"{Decimal(price) * Decimal(quantity):f}.00"
    row = row_of(sold((price, quantity), total=total))
    assert row["misfit"] == f"the report cannot hold {misfit}"
    assert (None in (row["revenue"], row["quantity"]) or price == "0", row.get("reason")) == (True, None)
    assert row["compra_id"] == "c_1" and row["raw"]


@pytest.mark.parametrize(
    ("price", "quantity"), [("9" * 36 + ".00", "1"), ("0", "9" * 20), ("0", "0.000000000000000001")]
)
def test_the_largest_and_smallest_numbers_that_fit_do(price: str, quantity: str) -> None:
    row = row_of(sold((price, quantity), total=price if price != "0" else "0.00"))
    assert (row.get("misfit"), row.get("reason")) == (None, None)


@pytest.mark.parametrize("number", ["1" * 39, "1e126", "1e-131", "1e999999999", "1" + "0" * 2000])
def test_a_number_beyond_dynamodbs_is_refused_without_being_written_out(number: str) -> None:
    assert "productos[0].precio_unitario" in row_of(sold((number, "1"), total="0.00"))["reason"]


def test_a_sum_beyond_all_numbers_is_refused_without_being_written_out() -> None:
    assert row_of(sold(("1", "1"), total="1e999999999"))["reason"].startswith("resumen.total_precio 1e999999999 is no")


BEYOND_ALL_NUMBERS = ["1e9999999999999999999", "0e9999999999999999999", "1e-9999999999999999999"]


@pytest.mark.parametrize("number", BEYOND_ALL_NUMBERS)
def test_an_exponent_that_no_number_has_is_a_reason(number: str) -> None:
    assert row_of(sold(("1", "1"), total=number))["reason"].startswith(f"resumen.total_precio {number} has")
    assert row_of(sold((number, "1"), total="0"))["reason"].startswith(f"productos[0].precio_unitario {number} has")


@pytest.mark.parametrize("zero", ["0e40", "0E-99999", "-0.0"])
def test_a_zero_has_no_exponent(zero: str) -> None:
    """Spark reads one with a large exponent as null."""
    (product,) = row_of(sold((zero, zero), total="0.00", quantity="0"))["productos"]
    assert (product["precio_unitario"], product["cantidad"], product["importe"]) == ("0", "0", "0")
