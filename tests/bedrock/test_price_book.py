"""The price book: which price holds, and that listed of its figures can be answered for."""

import gzip
import json
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from catlake.bedrock import price_book as module
from catlake.bedrock.application_models import model_traits
from catlake.bedrock.inference_profiles import invoked_id
from catlake.bedrock.price_book import ANY_REGION, Price, PriceBook, Unpriced, price_book
from tests.bedrock.genuine import BEDROCK, conversations

LIBRARY = Path(__file__).parents[2] / "lib"
BOOK = price_book()
DOCUMENT: dict[str, Any] = json.loads(Path(module.__file__).with_name("price_book.json").read_text(encoding="utf-8"))
MODELS: dict[str, dict[str, Any]] = json.loads((BEDROCK / "models.json").read_text(encoding="utf-8"))["models"]
TODAY = date(2026, 11, 21)
REGION = "us-east-1"

# --- a book of our own

SONNET = "anthropic.sonnet-v1:0"
DAY = date(2025, 5, 14)


def price(model: str = SONNET, region: str = ANY_REGION, day: date = DAY, input: str = "0.003") -> Price:
    return Price(model, region, day, Decimal(input), Decimal("0.015"), None, None, "a price list")


def found(*prices: Price, model: str = SONNET, region: str = REGION, day: date = DAY) -> str | None:
    try:
        return str(PriceBook({"claude-sonnet": SONNET}, prices).price(model, region, day).input)
    except Unpriced:
        return None


@pytest.mark.parametrize(
    ("model", "is_priced"),
    [
        (SONNET, True),
        ("claude-sonnet", True),
        (f"us.{SONNET}", True),
        (f"eu.{SONNET}", True),
        (f"apac.{SONNET}", True),
        (f"global.{SONNET}", True),
        (f"us-gov.{SONNET}", True),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}", True),
        (f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.{SONNET}", True),
        (f"mars.{SONNET}", False),
        (f"us.us.{SONNET}", False),
        ("anthropic.sonnet-v1", False),
        ("anthropic.sonnet-v2:0", False),
        (SONNET.upper(), False),
        ("Claude-Sonnet", False),
        ("sonnet", False),
        ("us.", False),
        ("", False),
    ],
)
def test_a_model_is_found_by_its_exact_id_or_name_and_by_no_other(model: str, is_priced: bool) -> None:
    assert (found(price(), model=model) is not None) is is_priced


def test_the_latest_price_that_began_by_the_day_holds() -> None:
    changes = [price(day=date(2025, 8, 1), input="0.002"), price(day=date(2025, 6, 1), input="0.0025"), price()]
    days = [date(2025, 5, 13), DAY, date(2025, 5, 31), date(2025, 6, 1), date(2025, 7, 31), date(2025, 8, 1), TODAY]
    held = [found(*changes, day=day) for day in days]
    assert held == [None, "0.003", "0.003", "0.0025", "0.0025", "0.002", "0.002"]


def test_a_regions_own_price_goes_before_that_of_all_regions() -> None:
    listed = [price(), price(region="eu-west-1", input="0.004")]
    assert [found(*listed, region=region) for region in ("eu-west-1", REGION)] == ["0.004", "0.003"]


def test_a_region_that_the_book_lacks_is_unpriced() -> None:
    assert found(price(region="eu-west-1")) is None


def test_a_region_is_unpriced_before_its_own_first_price() -> None:
    assert found(price(), price(region=REGION, day=date(2025, 6, 1), input="0.004"), day=date(2025, 5, 20)) is None


def test_a_profiles_own_price_goes_before_its_models() -> None:
    listed = [price(), price(model=f"eu.{SONNET}", input="0.0033")]
    assert [found(*listed, model=f"{prefix}.{SONNET}") for prefix in ("eu", "us")] == ["0.0033", "0.003"]


# --- the book itself


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_application_is_priced_by_name_id_and_profile(name: str) -> None:
    assert BOOK.names[name] == MODELS[name]["id"]
    prices = [BOOK.price(model, REGION, TODAY) for model in (name, MODELS[name]["id"])]
    assert prices[0] == prices[1]
    profile = BOOK.price(f"us.{MODELS[name]['id']}", REGION, TODAY)
    # The newest models cost a tenth more where they stay in one geography.
    assert profile.input in {prices[0].input, prices[0].input * Decimal("1.1")}


# Where the application's own prices differ from the book's: these are the doubtful ones.
DOUBTFUL = {
    *("claude-v3.5-haiku", "claude-v3.5-sonnet", "claude-v3.5-sonnet-v2"),
    *("gpt-oss-120b", "gpt-oss-20b", "mistral-large-2"),
}


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model["application_prices"]])
def test_the_book_agrees_with_the_application_but_where_it_is_doubtful(name: str) -> None:
    own = MODELS[name]["application_prices"]
    agrees = []
    for region in own.keys() - {"default"}:
        held = BOOK.price(name, region, TODAY)
        agrees.append([held.input, held.output] == [Decimal(str(own[region][kind])) for kind in ("input", "output")])
    assert all(agrees) is (name not in DOUBTFUL)


@pytest.mark.parametrize(
    ("model", "region", "day", "input", "output"),
    [
        ("claude-v4-sonnet", "us-east-1", TODAY, "0.003", "0.015"),
        ("claude-v3-haiku", "sa-east-1", TODAY, "0.00025", "0.00125"),
        ("claude-v2", "us-east-1", TODAY, "0.008", "0.024"),
        ("claude-instant-v1", "eu-central-1", TODAY, "0.00248", "0.00838"),
        ("eu.amazon.nova-lite-v1:0", "eu-west-1", TODAY, "0.000078", "0.000312"),
        ("us.anthropic.claude-opus-4-6-v1", "us-east-1", TODAY, "0.0055", "0.0275"),
        ("global.anthropic.claude-opus-4-6-v1", "us-east-1", TODAY, "0.005", "0.025"),
        ("llama3-2-1b-instruct", "eu-west-3", TODAY, "0.00013", "0.00013"),
    ],
)
def test_prices_that_a_person_can_look_up(model: str, region: str, day: date, input: str, output: str) -> None:
    held = BOOK.price(model, region, day)
    assert (held.input, held.output) == (Decimal(input), Decimal(output))


@pytest.mark.parametrize(
    ("model", "region", "day", "why"),
    [
        ("claude-v9", REGION, TODAY, "the price book has no model claude-v9"),
        ("", REGION, TODAY, "no model is named"),
        ("amazon-nova-pro", "eu-west-1", TODAY, "the price book has no price of amazon-nova-pro in eu-west-1"),
        (
            "claude-v4-sonnet",
            REGION,
            date(2025, 5, 13),
            "the conversation is older than the first price of claude-v4-sonnet, of 2025-05-14",
        ),
        (
            "claude-v2",
            REGION,
            date(2023, 9, 29),
            "the conversation is older than the first price of claude-v2, of 2023-11-21",
        ),
    ],
    ids=["unknown model", "no model", "unknown region", "before the model", "before the model's version"],
)
def test_what_the_book_lacks_is_unpriced_and_says_why(model: str, region: str, day: date, why: str) -> None:
    with pytest.raises(Unpriced) as reason:
        BOOK.price(model, region, day)
    assert str(reason.value) == why


def test_no_price_is_zero_or_negative() -> None:
    for listed in BOOK.prices:
        assert listed.input > 0, listed
        assert listed.output > 0, listed
        assert listed.cache_read is None or listed.input > listed.cache_read > 0, listed
        assert listed.cache_write is None or listed.cache_write >= listed.input, listed


def test_every_price_of_a_model_that_caches_has_the_prices_of_the_cache() -> None:
    caching = {BOOK.model_id(name) for name in BOOK.names if model_traits(name).least_cached is not None}
    assert len(caching) == 15
    listed = [price for price in BOOK.prices if price.model.endswith(tuple(caching))]
    assert {price.model for price in listed if price.cache_read is None or price.cache_write is None} == set()


def test_a_model_whose_price_was_lowered_has_both_prices() -> None:
    days = [date(2024, 11, 4), date(2024, 12, 2), date(2024, 12, 3), TODAY]
    assert [str(BOOK.price("claude-v3.5-haiku", REGION, day).input) for day in days] == [
        "0.001",
        "0.001",
        "0.0008",
        "0.0008",
    ]


@pytest.mark.parametrize(
    ("model", "region", "input", "cache_read"),
    [
        ("claude-v3.5-sonnet", "us-west-2", "0.006", None),
        ("eu.anthropic.claude-3-5-sonnet-20240620-v1:0", "eu-central-1", "0.006", None),
        ("claude-v3.5-sonnet", "ap-northeast-1", "0.003", Decimal("0.0003")),
        ("claude-v3.5-sonnet-v2", "us-east-2", "0.006", Decimal("0.0006")),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "us-east-1", "0.006", Decimal("0.0006")),
        ("eu.anthropic.claude-3-5-sonnet-20241022-v2:0", "eu-west-1", "0.003", Decimal("0.0003")),
    ],
)
def test_extended_access_costs_twice_as_much_where_it_is_sold(
    model: str, region: str, input: str, cache_read: Decimal | None
) -> None:
    before, since = (BOOK.price(model, region, date(*day)) for day in ((2025, 11, 30), (2025, 12, 1)))
    assert (before.input, before.output) == (Decimal("0.003"), Decimal("0.015"))
    assert (since.input, since.output, since.cache_read) == (Decimal(input), Decimal(input) * 5, cache_read)


SIX_REGIONS = ("us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-northeast-1", "sa-east-1")
THIRTY_MODELS = sorted(set(BOOK.names) - {"claude-instant-v1", "claude-v2", "claude-v3-sonnet"})


def test_what_is_unpriced_of_the_newest_applications_models_by_region_is_known() -> None:
    unpriced: dict[str, list[str]] = {}
    assert len(THIRTY_MODELS) == 30
    for region in SIX_REGIONS:
        for model in THIRTY_MODELS:
            try:
                BOOK.price(invoked_id(model, BOOK.model_id(model), region, "global"), region, TODAY)
            except Unpriced:
                unpriced.setdefault(region, []).append(model)
    abroad = ["gpt-oss-120b", "gpt-oss-20b"]
    mistral = ["mistral-7b-instruct", "mistral-large", "mixtral-8x7b-instruct"]
    small_llama = ["llama3-2-1b-instruct", "llama3-2-3b-instruct"]
    assert unpriced == {
        "eu-central-1": ["amazon-nova-micro", *abroad, *mistral],
        "eu-west-1": ["amazon-nova-micro", *abroad, *mistral],
        "ap-northeast-1": [*abroad, *small_llama, *mistral],
        "sa-east-1": [
            "amazon-nova-lite",
            "amazon-nova-micro",
            "amazon-nova-pro",
            *abroad,
            *small_llama,
            *mistral,
        ],
    }


def test_prices_are_exact_decimal_texts() -> None:
    for entry in DOCUMENT["prices"]:
        for kind in ("input", "output", "cache_read", "cache_write"):
            text = entry[kind]
            assert text is None or (isinstance(text, str) and format(Decimal(text).normalize(), "f") == text), entry
    assert {type(listed.input) for listed in BOOK.prices} == {Decimal}


def test_a_price_is_listed_once_and_in_the_order_of_its_dates() -> None:
    keys = [(entry["model"], entry["region"], entry["valid_from"]) for entry in DOCUMENT["prices"]]
    assert len(set(keys)) == len(keys)
    for model, region in {key[:2] for key in keys}:
        days = [day for *place, day in keys if place == [model, region]]
        assert days == sorted(days)
        assert all(date.fromisoformat(day) <= TODAY for day in days)


def test_every_price_names_its_source() -> None:
    sources = {listed.source for listed in BOOK.prices}
    assert sources == {
        "litellm 1.109.1 price table",
        "litellm 1.60.0 price table",
        "litellm 1.53.1 price table",
        "application bedrock-chat prices",
        "AWS's page of prices: public extended access from 1 December 2025",
    }


def test_the_first_day_of_every_model_is_explained() -> None:
    assert set(DOCUMENT["valid_from"]) == set(DOCUMENT["names"].values())
    for model, explained in DOCUMENT["valid_from"].items():
        day, _, reason = explained.partition(": ")
        first = min(listed.valid_from for listed in BOOK.prices if listed.model.endswith(model))
        assert (first.isoformat(), bool(reason)) == (day, True), model
        if reason == "the date in the id":
            assert day.replace("-", "") in model


def test_every_genuine_conversations_model_is_in_the_book() -> None:
    models = {node["model"] for conversation in conversations() for node in conversation.nodes.values()}
    assert len(models) == 12
    assert all(BOOK.price(model, REGION, TODAY) for model in models)


def test_every_model_of_the_sample_is_priced_on_its_day() -> None:
    sample = BEDROCK.parent / "samples" / "bedrock"
    lines = [line for file in sample.rglob("*.json.gz") for line in gzip.decompress(file.read_bytes()).splitlines()]
    items = [item for item in (json.loads(line)["Item"] for line in lines) if "MessageMap" in item]
    used = set()
    for item in items:
        large = sample / "large_messages" / item.get("LargeMessagePath", {}).get("S", "")
        text = large.read_text(encoding="utf-8") if large.is_file() else item["MessageMap"]["S"]
        day = datetime.fromtimestamp(int(item["CreateTime"]["N"]) / 1000, UTC).date()
        used |= {(node["model"], day) for node in json.loads(text).values() if node["role"] == "assistant"}
    assert (len(items), len({model for model, _ in used})) == (20, 15)
    for model, day in used:
        BOOK.price(model, REGION, day)  # raises Unpriced where there is none


def test_the_book_is_read_from_the_packaged_library(tmp_path: Path) -> None:
    package = tmp_path / "catlake.zip"
    with zipfile.ZipFile(package, "w") as archive:
        for file in (path for path in LIBRARY.rglob("*") if path.suffix in (".py", ".json")):
            archive.write(file, file.relative_to(LIBRARY))
    script = (
        f"import sys; sys.path.insert(0, {str(package)!r})\n"
        "from catlake.bedrock.price_book import __file__, price_book\n"
        "print(__file__); print(len(price_book().prices))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    module, count = done.stdout.splitlines()
    assert module.startswith(str(package))
    assert int(count) == len(BOOK.prices)
