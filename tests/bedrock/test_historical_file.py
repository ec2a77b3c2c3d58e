"""The historical file of the archive job: what is read, what is rejected, what is refused (docs/spec.md 3.3)."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from catlake.bedrock import historical_file
from catlake.bedrock.historical_file import DATASET, read_historical
from catlake.contracts.contract import contract
from catlake.lake import Lake, csv_rows
from catlake.runtime.environment import environment
from catlake.runtime.errors import ContractError, StoreError
from catlake.runtime.run import Run

HEADER = "create_date,input_token,output_token,precio_token_input,precio_token_output,total_price,pk,sk,source"
GOOD = "2025-08-04 10:00:00,10,20,0.000030,0.000300,0.000330,ana,ana#CONV#1,old_table"


def a_run(spark: SparkSession, lake: Path, historical: str = "required") -> tuple[Run, Lake]:
    """A run and its lake, as far as reading the historical file needs them."""
    arguments = {"historical": historical, "run_date": date(2025, 11, 20)}
    return Run(spark, arguments, environment("local"), "a-job", "run-1"), Lake(spark, str(lake), "a-job", "run-1")


def put_historical(lake: Path, *lines: str, header: str = HEADER) -> Path:
    path = lake / contract(DATASET).path(date(2025, 11, 20))
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
    # The rows of the new table have the same types: a text among times would make texts of all.
    assert found.rows.schema.simpleString() == contract("tokens_table_consolidated").struct.simpleString()


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
    assert [source["kind"] for source in run.report.inputs] == ["historical_csv"]


def test_a_file_that_is_replaced_while_it_is_read_stops_the_run(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_historical(tmp_path, GOOD)
    read = csv_rows.read_csv

    def replaced(*arguments: Any) -> Any:
        file = read(*arguments)
        later = path.with_suffix(".later")
        later.write_bytes(path.read_bytes())
        later.replace(path)
        return file

    monkeypatch.setattr(historical_file, "read_csv", replaced)
    with pytest.raises(StoreError, match="it was replaced or removed while it was read; run the job again"):
        read_historical(*a_run(spark, tmp_path, "optional"))


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
    assert (found.read, found.quarantined, found.rows.count()) == (0, 0, 0)
