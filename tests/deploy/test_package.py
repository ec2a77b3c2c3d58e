"""What is shipped: dist/catlake.zip, and the versions that it is tested with."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, built from a copy of the sources."""
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "setup.py", copy)
    for folder in ("lib", "schemas", "deploy/sql"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    build(copy)
    return copy / "dist" / "catlake.zip"


def build(checkout: Path) -> None:
    subprocess.run([sys.executable, "setup.py", "--quiet", "library_zip"], cwd=checkout, check=True)


def test_the_zip_holds_every_module_data_file_contract_and_view_and_nothing_else(library: Path) -> None:
    kinds = (".py", ".json")
    files = (path for path in (ROOT / "lib").rglob("*") if path.suffix in kinds)
    modules = {path.relative_to(ROOT / "lib").as_posix() for path in files}
    names = {path.name.removesuffix(".odcs.yaml") for path in (ROOT / "schemas").glob("*.odcs.yaml")}
    contracts = {f"catlake/_contracts/{name}.json" for name in names}
    views = {f"catlake/_sql/{path.name}" for path in (ROOT / "deploy/sql").glob("*.view.sql")}
    assert views
    assert set(zipfile.ZipFile(library).namelist()) == modules | contracts | views


def test_the_contracts_in_the_zip_say_what_the_sources_say(library: Path) -> None:
    with zipfile.ZipFile(library) as archive:
        for source in (ROOT / "schemas").glob("*.odcs.yaml"):
            compiled = archive.read(f"catlake/_contracts/{source.name.removesuffix('.odcs.yaml')}.json")
            assert json.loads(compiled) == yaml.safe_load(source.read_text(encoding="utf-8"))


def test_the_views_in_the_zip_are_those_of_deploy(library: Path) -> None:
    with zipfile.ZipFile(library) as archive:
        for source in (ROOT / "deploy/sql").glob("*.view.sql"):
            assert archive.read(f"catlake/_sql/{source.name}") == source.read_bytes()


def test_the_job_finds_its_statement_in_the_zip(library: Path) -> None:
    asked = "import sys; sys.path.insert(0, sys.argv[1]); from catlake.tokens import view; "
    asked += "print(view.__file__, view.view_statement('prod'), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", asked, library], check=True, capture_output=True, encoding="utf-8", cwd="/"
    )
    module, statement = done.stdout.split("\n", 1)
    assert module.startswith(str(library))
    assert statement.startswith("CREATE OR REPLACE VIEW cat_prod_token_usage_analysis AS")


def test_the_same_sources_give_the_same_bytes(library: Path) -> None:
    first = library.read_bytes()
    for path in library.parents[1].rglob("*.py"):
        path.touch()
    build(library.parents[1])
    assert library.read_bytes() == first
