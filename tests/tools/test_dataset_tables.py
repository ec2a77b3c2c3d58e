"""The README's dataset tables are those of the contracts."""

from pathlib import Path

import pytest

from catlake.contracts.contract import contract, contract_names
from tools.dataset_tables import BEGIN, END, README, dataset_tables, main, rewritten

PAGE = f"# Title\n\nBefore.\n{BEGIN}\nold\n{END}\nAfter.\n"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


@pytest.mark.skipif(not README.exists(), reason="a checkout without README.md")
def test_the_readme_is_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_only_the_part_between_the_markers_changes(page: Path) -> None:
    assert main(["--readme", str(page)]) == 0
    written = page.read_text(encoding="utf-8")
    assert written == f"# Title\n\nBefore.\n{BEGIN}\n{dataset_tables()}{END}\nAfter.\n"


def test_a_second_rewrite_changes_nothing(page: Path) -> None:
    main(["--readme", str(page)])
    once = page.read_bytes()
    assert (main(["--readme", str(page)]), page.read_bytes()) == (0, once)
    assert main(["--check", "--readme", str(page)]) == 0


def test_the_check_fails_on_stale_tables_and_leaves_them(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--readme", str(page)]) == 1
    assert page.read_text(encoding="utf-8") == PAGE
    assert "stale; run python -m tools.dataset_tables" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["no markers", BEGIN, f"{END}\n{BEGIN}", f"{PAGE}{PAGE}"])
def test_a_page_without_its_two_markers_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    assert main(["--readme", str(path)]) == 1
    assert path.read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="needs one line"):
        rewritten(text, "")


def test_the_tables_have_a_row_for_every_column_of_every_contract() -> None:
    rows = [line.split(" | ")[0] for line in dataset_tables().splitlines() if line.startswith("| `")]
    as_the_data_flows = sorted(map(contract, contract_names()), key=lambda each: each.path_template)
    columns = [column for each in as_the_data_flows for column in (*each.columns, *each.partitions)]
    assert [row for row in rows if "." not in row] == [f"| `{column.name}`" for column in columns]


def test_a_nested_column_is_followed_by_a_row_for_each_of_its_fields() -> None:
    lines = dataset_tables().splitlines()
    at = lines.index("| `resumen` | struct | required | The purchase in sum, worked out from all digits. |")
    assert [line.split(" | ")[0] for line in lines[at + 1 : at + 6]] == [
        *(f"| `resumen.{name}`" for name in ("total_productos", "total_cantidad", "total_precio", "moneda")),
        "| `metadata`",
    ]
    assert any(line.startswith("| `productos` | array of structs | required |") for line in lines)
    assert any(line.startswith("| `productos[].precio_unitario` | string | ") for line in lines)
    assert any(line.startswith("| `tenant_id` | string | partition; required |") for line in lines)


def test_a_row_tells_type_rules_and_description_with_bars_escaped() -> None:
    lines = dataset_tables().splitlines()
    assert "| `numero_conversaciones` | int | required; ≥ 1 | Number of the user's conversations. |" in lines
    assert any(line.startswith("| `usuario_id` | string | required; unique |") for line in lines)
    assert any(line.startswith("| `feedback` | string | optional; `like`, `dislike`, `mixed` |") for line in lines)
    assert all(line.replace(r"\|", "").count("|") == 5 for line in lines if line.startswith("|"))
