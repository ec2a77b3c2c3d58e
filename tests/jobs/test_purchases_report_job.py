"""The job purchases_report as a person runs it: arguments, errors of one line, what it publishes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.running import RunScript, files_below
from tests.purchases.shops import GOLDEN, tree
from tests.purchases.tree import event, write

SCRIPT = "purchases_report"
REPORT = "reports/compras/tenants/t1"


@pytest.mark.slow
def test_the_script_reports_one_shop(run: RunScript, tmp_path: Path) -> None:
    lake = tree(tmp_path)
    done = run(SCRIPT, lake, environment="local", tenant_id="t1")
    assert done.code == 0, done.stderr
    assert (lake / REPORT / "report.json").read_bytes() == (GOLDEN / "report_t1.json").read_bytes()
    names = [name for name in files_below(lake) if name.startswith("reports/")]
    assert names == [
        f"{REPORT}/purchases_current.parquet/data.parquet",
        f"{REPORT}/purchases_daily.parquet/data.parquet",
        f"{REPORT}/purchases_products.parquet/data.parquet",
        f"{REPORT}/report.html",
        f"{REPORT}/report.json",
    ]
    summary: dict[str, Any] = json.loads(Path(done.last["summary"]).read_text(encoding="utf-8"))
    assert (summary["state"], summary["balance"]["quarantined"]) == ("SUCCEEDED", 2)
    assert [Path(each["uri"]).name for each in summary["outputs"]][-2:] == ["report.json", "report.html"]
    assert "6 purchases, 7.25 units, 30.33 USD, of 1 tenants" in summary["highlights"]
    assert not (lake / "_staging").exists() or not files_below(lake / "_staging")


@pytest.mark.parametrize(
    ("lake", "tenant", "told"),
    [
        ("empty", None, "there are no purchases here; run the job purchases_ingest"),
        ("shop", "t2", "there are no purchases of the tenant t2; give --tenant_id one of its folders (t1)"),
        ("shop", "../t1", "--tenant_id '../t1': must be 1 to 128 letters, digits, '.', '_' or '-'"),
        ("shop", "..", "--tenant_id '..': must be 1 to 128 letters"),
    ],
)
def test_a_wrong_lake_or_shop_is_one_line(
    run: RunScript,
    tmp_path: Path,
    lake: str,
    tenant: str | None,
    told: str,
) -> None:
    write(tmp_path / "shop", event("INSERT", "c1", "2025-07-13 15:30:00"))
    done = run(SCRIPT, tmp_path / lake, tenant_id=tenant)
    assert done.code == 1
    assert told in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("report.*"))
