"""The shops of the page of the purchases: one that can be chosen has its sales."""

from catlake.pages.facts import OTHERS, Facts
from catlake.purchases.page import with_named_shops


def test_products_name_no_shop_that_the_days_do_not_name() -> None:
    rows = [("Café", "C1", "centro", 2, 1, 3), ("Café", "C1", "norte", 1, 1, 2), ("Té", "T1", "sur", 1, 1, 1)]
    products = Facts(("product", "code", "shop"), ("quantity", "purchases", "revenue"), rows)
    named = with_named_shops(products, {"centro", OTHERS})
    assert [row[2] for row in named.rows] == ["centro", OTHERS, OTHERS]
    assert [(*row[:2], *row[3:]) for row in named.rows] == [(*row[:2], *row[3:]) for row in rows]
