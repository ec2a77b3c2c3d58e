"""docs/datasets.md has the datasets of the contracts."""

from catlake.contracts.contract import contract, contract_names
from tools.datasets_page import datasets_page


def test_every_column_of_every_contract_has_a_row_and_so_has_every_field() -> None:
    rows = [line.split(" | ")[0] for line in datasets_page().splitlines() if line.startswith("| `")]
    datasets = sorted(map(contract, contract_names()), key=lambda dataset: dataset.path_template)
    columns = [column for dataset in datasets for column in (*dataset.columns, *dataset.partitions)]
    assert [row for row in rows if "." not in row] == [f"| `{column.name}`" for column in columns]
    assert "| `productos[].precio_unitario`" in rows
    assert "| `resumen.moneda`" in rows


def test_a_row_has_type_rules_and_description_with_bars_escaped() -> None:
    lines = datasets_page().splitlines()
    assert any(line.startswith("| `numero_conversaciones` | int | required; ≥ 1 |") for line in lines)
    assert any(line.startswith("| `usuario_id` | string | required; unique |") for line in lines)
    assert any(line.startswith("| `feedback` | string | optional; `like`, `dislike`, `mixed` |") for line in lines)
    assert any(line.startswith("| `tenant_id` | string | partition; required |") for line in lines)
    assert all(line.replace(r"\|", "").count("|") == 5 for line in lines if line.startswith("|"))
