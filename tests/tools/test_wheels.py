"""The packages that jobs bring to each Glue: pinned, whole, for its platform, and all that their code imports."""

import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from catlake.runtime.environment import RULES, environment
from deploy.workflows import WORKFLOWS
from tools import wheels

PROD = environment("prod")

ROOT = Path(__file__).parents[2]
SETS = sorted(set(wheels.PACKAGES.values()))
GLIBC = 34
"""Amazon Linux 2023, on which Glue 5 and 6 run, has glibc 2.34."""

of_every_glue = pytest.mark.parametrize("glue", wheels.RUNTIMES)
of_every_set = pytest.mark.parametrize("packages", SETS, ids="+".join)

IMPORTED_AS = {"bpe-openai": "bpe_openai"}
ONLY_WHEN_ASKED = {"amazon"}
"""Of Ion exports alone: docs/reading-exports.md says what such a job needs besides."""


def pins(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text("utf-8").splitlines()
    return {
        canonicalize_name(name): version for name, is_pin, version in (line.partition("==") for line in lines) if is_pin
    }


def members(packages: tuple[str, ...], glue: str) -> list[str]:
    return zipfile.ZipFile(wheels.archive(packages, glue)).namelist()


def glue_tags(glue: str) -> set:
    major, minor = map(int, wheels.RUNTIMES[glue].python.split("."))
    platforms = [f"manylinux_2_{number}_x86_64" for number in range(GLIBC, 16, -1)] + ["manylinux2014_x86_64"]
    python = (major, minor)
    return {*cpython_tags(python, platforms=platforms), *compatible_tags(python, f"cp{major}{minor}", platforms)}


def test_there_are_wheels_for_each_glue_that_an_environment_may_choose():
    assert {glue for glue in ("4.0", "5.1", "6.0", "7.0") if RULES["glue_version"].accepts(glue)} == set(
        wheels.RUNTIMES
    )


@of_every_glue
@of_every_set
def test_a_zip_holds_the_pinned_wheels_of_its_packages_for_glues_platform_and_their_list(packages, glue):
    names = [name for name in members(packages, glue) if name.endswith(".whl")]
    found = {str(parse_wheel_filename(Path(name).name)[0]): parse_wheel_filename(Path(name).name) for name in names}
    assert set(found) == set(packages)
    for name, (_, version, _, tags) in found.items():
        assert str(version) == pins("constraints-dev.txt")[name]
        assert tags & glue_tags(glue), name
    with zipfile.ZipFile(wheels.archive(packages, glue)) as archive:
        listed = [Requirement(line) for line in archive.read("wheels/requirements.txt").decode().splitlines()]
    assert {(each.name.replace("_", "-"), str(each.specifier)) for each in listed} == {
        (name, f"=={version}") for name, (_, version, _, _) in found.items()
    }
    assert all(name.startswith("wheels/") for name in members(packages, glue))


@of_every_glue
def test_pip_installs_the_zips_without_an_index_as_glue_does(glue, tmp_path):
    options = []
    for packages in SETS:
        zipped = wheels.archive(packages, glue)
        with zipfile.ZipFile(zipped) as archive:
            archive.extractall(tmp_path / zipped.stem)
        options += ["--find-links", f"{zipped.stem}/wheels", "-r", f"{zipped.stem}/wheels/requirements.txt"]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", "--dry-run"]
    # As that Glue's Python would: this one may be another.
    worker = ["--python-version", wheels.RUNTIMES[glue].python, "--only-binary=:all:", "--target", "there"]
    platforms = [option for platform in wheels.PLATFORMS for option in ("--platform", platform)]
    done = subprocess.run(
        [*pip, *worker, *platforms, "--no-deps", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@of_every_glue
@of_every_set
def test_a_set_is_whole_what_its_packages_need_is_in_it_or_on_glue(packages, glue):
    carried = pins(wheels.RUNTIMES[glue].constraints[0])
    marks = {"extra": "", "python_version": wheels.RUNTIMES[glue].python}
    for name in members(packages, glue):
        if not name.endswith(".whl"):
            continue
        with zipfile.ZipFile(wheels.archive(packages, glue)) as archive, archive.open(name) as wheel:
            inner = zipfile.ZipFile(wheel)
            (metadata,) = (each for each in inner.namelist() if each.endswith(".dist-info/METADATA"))
            lines = inner.read(metadata).decode().splitlines()
        needed = [
            Requirement(line.removeprefix("Requires-Dist: ")) for line in lines if line.startswith("Requires-Dist")
        ]
        for each in needed:
            if each.marker is None or each.marker.evaluate(marks):
                assert canonicalize_name(each.name) in {*packages, *carried}, f"{name} needs {each}"


def test_a_job_brings_every_package_that_its_code_imports_and_glue_lacks():
    graph = grimp.build_graph("catlake", include_external_packages=True)
    lacking = {
        "amazon",
        "babel",
        "bpe_openai",
        "duckdb",
        "isal",
        "jinja2",
        "markupsafe",
        "pypdf",
        "regex",
        "sqlglot",
        "tiktoken",
        "yaml",
    }
    for build in WORKFLOWS.values():
        for job in build(PROD).jobs:
            main = runpy.run_path(str(ROOT / job.script))
            modules = {
                value.__module__ for value in main.values() if getattr(value, "__module__", "").startswith("catlake.")
            }
            reached = modules | {each for name in modules for each in graph.find_upstream_modules(name)}
            brought = {IMPORTED_AS.get(name, name) for name in wheels.PACKAGES.get(job.module, ())}
            # The contract's YAML and the laptop's catalog are never reached on Glue.
            missing = (reached & lacking) - brought - ONLY_WHEN_ASKED - {"yaml", "duckdb", "sqlglot"}
            assert missing == set(), job.name


def test_the_same_wheels_give_the_same_zip(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("b_x-2.0-py3-none-any.whl", "a-1.0-py3-none-any.whl"):
        (folder / name).write_bytes(name.encode())
    (folder / "b-3.0-py3-none-any.whl").write_bytes(b"of another set")
    wheels.pack(("b-x", "a"), folder, tmp_path / "one.zip")
    (folder / "a-1.0-py3-none-any.whl").touch()
    wheels.pack(("b-x", "a"), folder, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.read("wheels/requirements.txt").decode() == "a==1.0\nb_x==2.0\n"


def test_a_package_without_a_wheel_of_its_name_is_one_clear_error_and_no_zip(tmp_path):
    for name in ("a-1.0-py3-none-any.whl", "Camel_Case-1.0-py3-none-any.whl"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(wheels.WheelsError, match="has no wheel named after camel-case"):
        wheels.pack(("a", "camel-case"), tmp_path, tmp_path / "one.zip")
    assert not (tmp_path / "one.zip").exists()


@of_every_glue
def test_packages_that_pip_does_not_find_are_one_clear_error(glue, tmp_path, capfd):
    python = re.escape(wheels.RUNTIMES[glue].python)
    with pytest.raises(wheels.WheelsError, match=rf"pip did not bring no-such-package-of-catlake for Python {python}"):
        wheels.download(["no-such-package-of-catlake"], glue, tmp_path)
