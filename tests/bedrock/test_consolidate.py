"""Both tables' rows as one dataset, what each model cost, and the historical file (SPEC 3.3)."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from catlake.bedrock.consolidate import (
    HISTORICAL,
    PLACE,
    by_conversation,
    consolidated,
    costs,
    day_before,
    read_historical,
)
from catlake.bedrock.conversation_items import COUNTED
from catlake.contracts.contract import contract
from catlake.lake import Lake
from catlake.runtime.environment import ENVIRONMENTS
from catlake.runtime.errors import ContractError, StoreError
from catlake.runtime.run import Run
from tests.conversations.table import assert_rows

LOCAL = ENVIRONMENTS["local"]
NEWEST, OLDER = datetime(2025, 12, 2), datetime(2025, 12, 1)
HEADER = "create_date,input_token,output_token,precio_token_input,precio_token_output,total_price,pk,sk,source"
GOOD = "2025-08-04 10:00:00,10,20,0.000030,0.000300,0.000330,ana,ana#CONV#1,old_table"


def rows(spark: SparkSession, source: str, *differing: dict[str, Any]) -> DataFrame:
    """Rows of a conversation of Ana, and what differs from it."""
    base = {
        "create_date": NEWEST,
        "input_token": 10,
        "output_token": 20,
        "precio_token_input": Decimal("0.000030"),
        "precio_token_output": Decimal("0.000300"),
        "total_price": Decimal("0.000330"),
        "pk": "ana",
        "sk": "ana#CONV#1",
        "source": source,
    }
    values = [tuple({**base, **each}.values()) for each in differing]
    return spark.createDataFrame(values, contract("tokens_table_consolidated").struct)


def placed(new: DataFrame, historical: DataFrame) -> list[tuple[Any, ...]]:
    found = consolidated(new, historical).orderBy("pk", "sk", PLACE)
    return [tuple(row) for row in found.select("pk", "sk", "source", "input_token", PLACE).collect()]


def test_the_historical_row_of_a_conversation_stays_though_the_new_one_is_newer(spark: SparkSession) -> None:
    new = rows(spark, "new_table", {"input_token": 99}, {"sk": "ana#CONV#2"})
    historical = rows(spark, "old_table", {"create_date": OLDER}, {"pk": "beto"})
    assert placed(new, historical) == [
        ("ana", "ana#CONV#1", "old_table", 10, 1),
        ("ana", "ana#CONV#1", "new_table", 99, 2),
        ("ana", "ana#CONV#2", "new_table", 10, 1),
        ("beto", "ana#CONV#1", "old_table", 10, 1),
    ]


def test_a_nights_run_tells_what_the_conversations_of_the_day_before_used_and_cost(spark: SparkSession) -> None:
    both = rows(
        spark,
        "new_table",
        {"create_date": datetime(2025, 12, 1, 23, 59, 59), "sk": "1"},
        {"create_date": datetime(2025, 12, 2), "sk": "2"},
        {"create_date": datetime(2025, 12, 2, 23, 59, 59), "sk": "3", "total_price": Decimal("1.000000")},
        {"create_date": datetime(2025, 12, 3), "sk": "4"},
    )
    assert day_before(both, date(2025, 12, 3)) == {
        "InputTokens": 20,
        "OutputTokens": 40,
        "CostUSD": Decimal("1.000330"),
    }
    assert day_before(both, date(2026, 1, 1)) == {"InputTokens": 0, "OutputTokens": 0, "CostUSD": 0}


@pytest.mark.parametrize("backwards", [False, True])
def test_of_a_conversation_that_is_twice_in_the_historical_file_one_row_stays_in_whatever_order_they_come(
    spark: SparkSession, backwards: bool
) -> None:
    twice: list[dict[str, Any]] = [
        {"create_date": OLDER, "input_token": 5},
        {"input_token": 3},
        {"input_token": 4, "output_token": 1},
        {"input_token": 4, "output_token": 2},
    ]
    historical = rows(spark, "old_table", *(reversed(twice) if backwards else twice))
    found = consolidated(rows(spark, "new_table"), historical).orderBy(PLACE).collect()
    assert [(row["input_token"], row["output_token"]) for row in found] == [(4, 2), (4, 1), (3, 20), (5, 20)]


def test_the_daily_row_has_the_id_after_the_last_hash_and_the_environments_constants(spark: SparkSession) -> None:
    api = {"pk": "PUBLISHED_API#7", "sk": "PUBLISHED_API#7#CONV#abc"}
    assert_rows(
        by_conversation(rows(spark, "new_table", api, {"sk": "ana_01HCOLD"}), LOCAL),
        "conversation_id string, user_id string, fecha timestamp, token_pregunta bigint, token_respuesta bigint, "
        "tokens_total bigint, costo_estimado_usd decimal(10,6), modelo string, region string",
        [
            (name, user, NEWEST, 10, 20, 30, Decimal("0.000330"), "claude-3-5-sonnet-20240620-v1:0", "us-east-1")
            for name, user in (("abc", "PUBLISHED_API#7"), ("ana_01HCOLD", "ana"))
        ],
    )


SONNET = ("anthropic.sonnet", Decimal("0.003"), Decimal("0.015"), date(2024, 6, 20), "the list", None)
UNPRICED = (None, None, None, None, None, "it is so")
TOTAL = Decimal("0.0014579999999999999")


def cost_rows(spark: SparkSession, *usages: tuple[Any, ...], total: Decimal | None = TOTAL) -> DataFrame:
    """Costs of a conversation whose models were used so: name, calls, input, output, images; and priced so."""
    created = datetime(2025, 1, 1, 0, 0, 58, 590_000, UTC)
    counted = ("ana", "ana#CONV#1", None, created, total, 1, 1, list(usages))
    return costs(spark.createDataFrame([counted], COUNTED), LOCAL)


def test_each_model_of_a_conversation_is_a_row_at_its_own_price_and_an_unpriced_one_costs_null_not_zero(
    spark: SparkSession,
) -> None:
    found = cost_rows(
        spark,
        ("sonnet", 2, 1_501, 333, 1_500, *SONNET),
        ("model-x", 1, 10, 20, 0, "model-x", *UNPRICED[1:]),
        ("", 1, 0, 0, 0, *UNPRICED),
    )
    fields = ("model", "model_id", "calls", "input_tokens", "output_tokens", "image_tokens", "price_state")
    assert [row["unpriced_because"] for row in found.collect()] == [None, "it is so", "it is so"]
    assert [tuple(row[name] for name in fields) for row in found.collect()] == [
        ("sonnet", "anthropic.sonnet", 2, 1_501, 333, 1_500, "priced"),
        ("model-x", "model-x", 1, 10, 20, 0, "unpriced"),
        ("", None, 1, 0, 0, 0, "unpriced"),
    ]
    priced, *unpriced = found.select("input_cost", "output_cost", "total_cost", "price_input").collect()
    # 1,501 x 0.003 / 1,000 and 333 x 0.015 / 1,000.
    assert tuple(priced) == (Decimal("0.004503"), Decimal("0.004995"), Decimal("0.009498"), Decimal("0.003"))
    assert [tuple(row) for row in unpriced] == [(None,) * 4] * 2
    whose = found.select("pk", "sk", "conversation_id", "create_date", "region", "application_total_price").distinct()
    assert [tuple(row) for row in whose.collect()] == [
        ("ana", "ana#CONV#1", "1", datetime(2025, 1, 1, 0, 0, 58), "us-east-1", TOTAL)
    ]


def test_a_priced_model_that_was_sent_nothing_costs_zero(spark: SparkSession) -> None:
    (row,) = cost_rows(spark, ("sonnet", 1, 0, 0, 0, *SONNET), total=None).collect()
    assert (row["price_state"], row["total_cost"], row["application_total_price"]) == ("priced", Decimal(0), None)


def test_costs_keep_twelve_decimals_rounded_half_up_once(spark: SparkSession) -> None:
    def at(input_price: str, output_price: str) -> tuple[Any, ...]:
        return ("id", Decimal(input_price), Decimal(output_price), date(2024, 1, 1), "the list", None)

    found = cost_rows(
        spark,
        # 0.000000000000500 and 0.000000000000499: Spark would round the latter to 14 decimals first, and then up.
        ("half", 1, 1, 1, 0, *at("0.0000000005", "0.000000000499")),
        ("large", 1, 9_000_000_000_000, 3, 0, *at("0.01", "0.000035")),
    ).collect()
    assert [tuple(str(row[name]) for name in ("input_cost", "output_cost", "total_cost")) for row in found] == [
        ("1E-12", "0E-12", "1E-12"),
        ("90000000.000000000000", "1.05000E-7", "90000000.000000105000"),
    ]


def a_run(spark: SparkSession, lake: Path, historical: str = "required") -> tuple[Run, Lake]:
    """A run and its lake, as far as reading the historical file needs them."""
    arguments = {"historical": historical, "run_date": date(2025, 11, 20)}
    return Run(spark, arguments, LOCAL, "a-job", "run-1"), Lake(spark, str(lake), "a-job", "run-1")


def put_historical(lake: Path, *lines: str, header: str = HEADER) -> Path:
    path = lake / contract(HISTORICAL).path(date(2025, 11, 20))
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8", newline="")
    return path


def test_a_missing_historical_file_says_how_to_make_it_and_how_to_go_without(
    spark: SparkSession, tmp_path: Path
) -> None:
    with pytest.raises(StoreError) as error:
        read_historical(*a_run(spark, tmp_path))
    assert str(error.value) == (
        f"{tmp_path}/archives/tokens-analysis/tokens_analysis_old_table.csv: the historical file is missing; run the "
        "job cat-local-tokens-archival once, or give --historical optional to go without"
    )


def test_with_historical_optional_a_missing_file_is_no_rows_and_is_logged(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read_historical(*a_run(spark, tmp_path, "optional"))
    assert (found.rows.count(), found.read, found.quarantined, found.rejected) == (0, 0, 0, None)
    assert '"event": "historical_missing"' in capsys.readouterr().out
    # Its columns have the types of the rows that they are put to: a text among times would make texts of all.
    new = rows(spark, "new_table", {})
    assert found.rows.schema.simpleString() == new.schema.simpleString()
    assert placed(new, found.rows) == [("ana", "ana#CONV#1", "new_table", 10, 1)]


def test_optional_does_not_leave_out_a_file_that_is_there(spark: SparkSession, tmp_path: Path) -> None:
    put_historical(tmp_path, GOOD)
    run, lake = a_run(spark, tmp_path, "optional")
    found = read_historical(run, lake)
    assert [tuple(row) for row in found.rows.collect()] == [
        (
            datetime(2025, 8, 4, 10),
            10,
            20,
            Decimal("0.000030"),
            Decimal("0.000300"),
            Decimal("0.000330"),
            "ana",
            "ana#CONV#1",
            "old_table",
        )
    ]
    assert (found.read, found.quarantined, found.rejected) == (1, 0, None)
    assert [each["kind"] for each in run.report.inputs] == ["historical_csv"]


def test_each_broken_row_of_the_historical_file_is_rejected_with_its_reason_and_its_text(
    spark: SparkSession, tmp_path: Path
) -> None:
    broken = {
        "no row of the contract: too few or too many fields": "2025-08-04 10:00:00,10,20",
        "breaks the contract: create_date.pattern": GOOD.replace("2025-08-04 10", "04/08/2025 10"),
        "breaks the contract: create_date.required": GOOD.replace("2025-08-04 10:00:00", ""),
        "create_date: no time since 1970: 2025-02-30 10:00:00": GOOD.replace("2025-08-04", "2025-02-30"),
        "create_date: no time since 1970: 2025-08-04 25:00:00": GOOD.replace("04 10:", "04 25:"),
        "create_date: no time since 1970: 1899-12-31 10:00:00": GOOD.replace("2025-08-04", "1899-12-31"),
        "breaks the contract: input_token.type": GOOD.replace(",10,20", ",ten,20"),
        "breaks the contract: output_token.minimum": GOOD.replace(",10,20", ",10,-20"),
        "breaks the contract: source.allowed": GOOD.replace("old_table", "new_table"),
        "breaks the contract: total_is_the_sum": GOOD.replace("0.000330", "0.000331"),
        "breaks the contract: sk.required": GOOD.replace("ana#CONV#1", ""),
    }
    path = put_historical(tmp_path, GOOD, *broken.values(), GOOD.replace("CONV#1", "CONV#2"))
    found = read_historical(*a_run(spark, tmp_path))
    assert (found.read, found.quarantined) == (13, 11)
    assert [row["sk"] for row in found.rows.collect()] == ["ana#CONV#1", "ana#CONV#2"]
    assert found.rejected is not None
    rejected = found.rejected.collect()
    assert sorted(row["reason"] for row in rejected) == sorted(broken)
    assert {row["file"] for row in rejected} == {str(path)}
    raw = {row["reason"]: row["raw"] for row in rejected}
    assert raw["no row of the contract: too few or too many fields"] == "2025-08-04 10:00:00,10,20"
    assert '"create_date":"2025-02-30 10:00:00"' in raw["create_date: no time since 1970: 2025-02-30 10:00:00"]


def test_another_header_is_refused_and_names_the_columns(spark: SparkSession, tmp_path: Path) -> None:
    put_historical(tmp_path, GOOD, header=HEADER.replace("pk,sk", "sk,pk"))
    with pytest.raises(ContractError, match=r"its header is .*,sk,pk,source, not .*,pk,sk,source; run the archive job"):
        read_historical(*a_run(spark, tmp_path))


def test_a_historical_file_without_rows_is_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    put_historical(tmp_path)
    found = read_historical(*a_run(spark, tmp_path))
    assert (found.read, found.quarantined, found.rows.where(F.col("pk").isNotNull()).count()) == (0, 0, 0)
