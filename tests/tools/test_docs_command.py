"""The pages of docs/ that are computed."""

import shutil
from pathlib import Path

import pytest

from tools.docs import DOCS, PAGES, main


def test_the_pages_are_up_to_date() -> None:
    assert main(["--check"]) == 0


@pytest.mark.parametrize(("page", "title"), [("datasets.md", "# Datasets"), ("costs.md", "| USD a month |")])
def test_the_check_fails_on_another_page_and_leaves_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], page: str, title: str
) -> None:
    for name in PAGES:
        shutil.copy(DOCS / name, tmp_path)
    file = tmp_path / page
    file.write_text(file.read_text(encoding="utf-8").replace(title, "old"), encoding="utf-8")
    before = file.read_bytes()
    assert main(["--check"], tmp_path) == 1
    assert file.read_bytes() == before
    assert capsys.readouterr().err.startswith(f"{file}: ")
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    assert file.read_bytes() == (DOCS / page).read_bytes()
