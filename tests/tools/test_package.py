"""What is shipped: dist/catlake.zip, and the versions that it is tested with."""

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from catlake.runtime.errors import PackageError
from catlake.runtime.package import _sources_fingerprint, check_package, fingerprint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, built from a copy of the sources."""
    copy = tmp_path_factory.mktemp("checkout")
    for file in ("setup.py", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / file, copy)
    for folder in ("lib", "schemas", "deploy/sql"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    build(copy)
    return copy / "dist" / "catlake.zip"


def build(checkout: Path) -> None:
    subprocess.run([sys.executable, "setup.py", "--quiet", "library_zip"], cwd=checkout, check=True)


def test_the_zip_holds_every_module_data_file_contract_and_view_and_nothing_else(library: Path) -> None:
    kinds = (".py", ".json", ".jinja", ".css", ".js", ".toml")
    files = (path for path in (ROOT / "lib").rglob("*") if path.suffix in kinds)
    modules = {path.relative_to(ROOT / "lib").as_posix() for path in files}
    modules |= {f"{name}c" for name in modules if name.endswith(".py")}
    names = {path.name.removesuffix(".odcs.yaml") for path in (ROOT / "schemas").glob("*.odcs.yaml")}
    contracts = {f"catlake/_contracts/{name}.json" for name in names}
    views = {f"catlake/_sql/{path.name}" for path in (ROOT / "deploy/sql").glob("*.view.sql")}
    assert views
    assert set(zipfile.ZipFile(library).namelist()) == modules | contracts | views | {"catlake/_sources.sha256"}


def test_the_fingerprint_changes_with_a_file_of_any_kind_in_the_zip(library: Path, tmp_path: Path) -> None:
    kinds = {Path(name).suffix for name in zipfile.ZipFile(library).namelist()} - {".pyc", ".sql", ".sha256"}
    (tmp_path / "lib/catlake/pages").mkdir(parents=True)
    seen = {fingerprint(tmp_path)}
    for kind in kinds:
        (tmp_path / f"lib/catlake/pages/a{kind}").write_text("")
        seen.add(fingerprint(tmp_path))
    assert len(seen) == 1 + len(kinds)


def test_a_library_of_unknown_sources_has_no_fingerprint(tmp_path: Path) -> None:
    # Installed by pip, or packed by somebody else.
    (tmp_path / "site-packages/catlake").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "catlake.zip", "w") as other:
        other.writestr("catlake/__init__.py", "")
    assert [_sources_fingerprint(tmp_path / name) for name in ("site-packages", "catlake.zip")] == ["", ""]
    assert _sources_fingerprint(ROOT / "lib") == fingerprint(ROOT)


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
    asked = "import sys; sys.path.insert(0, sys.argv[1]); from catlake.bedrock import view; "
    asked += "print(view.__file__, view.view_statement('prod'), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", asked, library], check=True, capture_output=True, encoding="utf-8", cwd="/"
    )
    module, statement = done.stdout.split("\n", 1)
    assert module.startswith(str(library))
    assert statement.startswith("CREATE OR REPLACE VIEW cat_prod_token_usage_analysis AS")


def test_the_modules_of_the_zip_come_compiled_and_another_python_takes_their_sources(
    library: Path, tmp_path: Path
) -> None:
    other = tmp_path / "catlake.zip"
    with zipfile.ZipFile(library) as archive, zipfile.ZipFile(other, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            # The first bytes name the Python that compiled it.
            copy.writestr(name, bytes(4) + content[4:] if name.endswith(".pyc") else content)
    loaded = "import sys; sys.path.insert(0, sys.argv[1]); from catlake.bedrock import view; print(view.__file__)"
    assert [
        subprocess.run([sys.executable, "-c", loaded, zip], check=True, capture_output=True, text=True, cwd="/").stdout
        for zip in (library, other)
    ] == [f"{library}/catlake/bedrock/view.pyc\n", f"{other}/catlake/bedrock/view.py\n"]


def declared(checkout: Path, folder: Path) -> set[str]:
    """The distributions that the package asks for, its extras among them."""
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "dist_info", "--output-dir", folder], cwd=checkout, check=True
    )
    (metadata,) = folder.glob("*.dist-info/METADATA")
    return {plain(name) for name in re.findall(r"^Requires-Dist: ([\w.-]+)", metadata.read_text("utf-8"), re.MULTILINE)}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    """The modules that the library imports, anywhere in its code, of those that Python does not bring."""
    found = set()
    for path in (ROOT / "lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
    tops = {name.partition(".")[0] for name in found}
    return tops - set(sys.stdlib_module_names) - {"catlake"}


def test_the_package_declares_whatever_it_imports(library: Path, tmp_path: Path) -> None:
    asked, distributions = declared(library.parents[1], tmp_path), packages_distributions()
    assert {"pyspark", "pyarrow", "orjson", "boto3"} <= imported()
    # What only a laptop has is in no zip.
    assert not {"duckdb", "sqlglot"} & imported()
    # Py4J comes with PySpark, in the version that it needs, botocore with boto3, markupsafe with jinja2; only a
    # checkout reads YAML.
    undeclared = {
        module
        for module in imported() - {"py4j", "botocore", "markupsafe", "yaml"}
        if not {plain(name) for name in distributions[module]} & asked
    }
    assert undeclared == set()


@pytest.mark.slow
def test_pip_installs_a_package_that_knows_its_contracts_and_views(library: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(tmp_path), str(library.parents[1])], check=True)
    asked = "from catlake.contracts import contract; from catlake.bedrock import view; print(contract.__file__); "
    asked += "contract.contract('compras_json'); view.view_statement('prod')"
    done = subprocess.run(
        [sys.executable, "-c", asked], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, encoding="utf-8", cwd="/"
    )
    assert done.stdout == f"{tmp_path}/catlake/contracts/contract.py\n", done.stderr


def started(library: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """A job's script of the checkout that the zip was made of, run with the zip."""
    path = library.parents[1] / "jobs" / "job.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(script, encoding="utf-8")
    return subprocess.run(
        [sys.executable, path], env={"PYTHONPATH": str(library)}, capture_output=True, encoding="utf-8", cwd="/"
    )


@pytest.fixture(params=["lib/catlake/runtime/files.py", "schemas/compras_json.odcs.yaml"])
def edited(library: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """A file of the checkout has changed since the zip was built from it."""
    file = library.parents[1] / request.param
    before = file.read_bytes()
    file.write_bytes(before + b"\n")
    yield
    file.write_bytes(before)


@pytest.mark.usefixtures("edited")
def test_a_zip_that_is_older_than_its_checkout_is_refused_in_one_line(library: Path) -> None:
    # Even where the script needs what only the newer sources have.
    done = started(library, "from catlake.newer import something")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(str(library)) and "make package" in line


def test_a_zip_that_fits_its_checkout_or_has_none_is_used(library: Path, tmp_path: Path) -> None:
    check_package(library, library.parents[1])
    done = started(library, "from catlake.job import run_job; run_job(print)")
    assert done.stderr.startswith("--JOB_NAME is missing"), done.stderr
    done = subprocess.run(
        [sys.executable, "-c", "import catlake"],
        env={"PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_zip_that_was_cut_off_is_refused(library: Path, tmp_path: Path) -> None:
    (tmp_path / "catlake.zip").write_bytes(library.read_bytes()[:1000])
    with pytest.raises(PackageError, match="make package"):
        check_package(tmp_path / "catlake.zip", library.parents[1])


def test_the_same_sources_give_the_same_bytes(library: Path) -> None:
    first = library.read_bytes()
    for path in library.parents[1].rglob("*.py"):
        path.touch()
    build(library.parents[1])
    assert library.read_bytes() == first
