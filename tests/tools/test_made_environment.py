"""An environment that was made, and then its place or its Java changed: noticed by make and by Spark's own scripts."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyspark
import pytest

from tools import toolchain

ROOT = Path(__file__).parents[2]
SPARK = Path(pyspark.__file__).parent
BARE = {"PATH": "/usr/bin:/bin"}


def ran(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, **options)


# make


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an environment that holds a stamp but no packages."""
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / "lib/catlake").mkdir(parents=True)
    for name in (
        "Makefile",
        "setup.py",
        "tools/catlake.pth",
        "tools/toolchain.py",
        "tools/warm_up.py",
        "tools/node.py",
        "tools/package-lock.json",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-deploy.txt", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copy(ROOT / "constraints-dev.txt", folder)
    assert ran(sys.executable, "-m", "venv", "--without-pip", ".venv", cwd=folder).returncode == 0
    (folder / ".venv" / "mark").touch()
    return folder


def made(checkout: Path) -> str:
    """What make tells when it makes the environment's Python, if there is need."""
    python = checkout.parent / "bin" / "python3.11"
    python.parent.mkdir(exist_ok=True)
    # As a machine's own, but that bringing pip takes seconds.
    python.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] && set -- "$@" --without-pip\nexec {sys.executable} "$@"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    done = ran("make", ".venv/bin/python", cwd=checkout, env={"PATH": f"{python.parent}:/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_environment_where_it_was_made_is_left_alone(checkout: Path) -> None:
    assert "is up to date" in made(checkout)
    assert (checkout / ".venv/mark").exists()


@pytest.mark.parametrize("name", ["moved", 'it\'s been "moved", (twice)'])
def test_the_environment_of_a_moved_checkout_is_made_again_and_make_says_so(checkout: Path, name: str) -> None:
    moved = checkout.rename(checkout.with_name(name))
    assert made(moved).splitlines()[0] == f".venv was made at {checkout}/.venv; it is made again here"
    assert not (moved / ".venv/mark").exists() and (moved / ".venv/bin/python").exists()
    assert "is up to date" in made(moved)


def test_the_environment_of_a_copied_checkout_is_made_again_and_the_original_stays(checkout: Path) -> None:
    copy = checkout.with_name("copy")
    shutil.copytree(checkout, copy, symlinks=True)
    assert "made again here" in made(copy)
    assert (checkout / ".venv/mark").exists() and not (copy / ".venv/mark").exists()
    assert "is up to date" in made(checkout)


@pytest.mark.parametrize("java", ["there", "gone"])
def test_set_up_looks_for_java_again_when_the_one_that_it_found_is_gone(checkout: Path, java: str) -> None:
    home = checkout.parent / "a java"
    if java == "there":
        (home / "bin").mkdir(parents=True)
        (home / "bin/java").touch()
        (home / "bin/java").chmod(0o755)
    (checkout / ".venv/.configured").write_text(f"{home}\n")
    planned = ran("make", "--dry-run", "setup", cwd=checkout, env=BARE).stdout
    looked = 'echo "Java is no longer in $(cat .venv/.configured)"' in planned
    assert looked == (java == "gone")


# Spark's own scripts


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Spark's scripts with our settings, in an environment whose Java tells its arguments and does nothing."""
    venv, java = tmp_path / "my project" / ".venv", tmp_path / "a java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho Java runs >&2\nexit 3\n", encoding="utf-8")
    java.chmod(0o755)
    spark = venv / "lib/python3.11/site-packages/pyspark"
    (venv / "bin").mkdir(parents=True)
    shutil.copytree(SPARK / "bin", spark / "bin")
    (spark / "jars").mkdir()
    shutil.copy(SPARK / "bin/spark-submit", venv / "bin")
    values = {"JAVA_HOME": java.parents[1], "SPARK": spark, "PYTHON": "python3", "JARS": "none", "CREDENTIALS": "none"}
    toolchain.write_settings(spark, values, (toolchain.ROOT / "local" / "spark").iterdir())
    toolchain.bind_scripts(venv / "bin", spark)
    return venv


def submitted(venv: Path) -> list[str]:
    """What a job that cannot start tells."""
    done = ran(venv / "bin/spark-submit", "job.py", env=BARE, cwd="/")
    assert done.returncode != 0 and done.stdout == ""
    return done.stderr.splitlines()


def test_a_folder_with_a_space_in_its_name_is_no_hindrance(environment: Path) -> None:
    assert submitted(environment)[0] == "Java runs"


def test_java_that_is_gone_is_one_line_with_the_remedy(environment: Path) -> None:
    java = environment.parents[1] / "a java"
    shutil.rmtree(java)
    assert submitted(environment) == [
        f"spark: the Java that `make setup` found is no longer in {java}; run `make setup` again"
    ]


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_an_environment_elsewhere_than_it_was_made_is_one_line_with_the_remedy(environment: Path, how: str) -> None:
    elsewhere = environment.parent.with_name("elsewhere")
    if how == "moved":
        environment.parent.rename(elsewhere)
    else:
        shutil.copytree(environment.parent, elsewhere)
    spark = environment / "lib/python3.11/site-packages/pyspark"
    assert submitted(elsewhere / ".venv") == [
        f"spark: this environment was made as {spark} and then moved; run `make setup`"
    ]


def test_a_python_of_the_environment_takes_the_library_beside_it(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "lib/catlake").mkdir(parents=True)
    (copy / "lib/catlake/__init__.py").touch()
    assert ran(sys.executable, "-m", "venv", "--without-pip", copy / ".venv").returncode == 0
    shutil.copy(ROOT / "tools/catlake.pth", next((copy / ".venv/lib").glob("python3*/site-packages")))
    asked = "import catlake, os; print(catlake.__file__, os.environ['PYSPARK_PYTHON'])"
    python = copy / ".venv/bin/python"
    assert ran(python, "-c", asked, env=BARE, cwd="/").stdout == f"{copy}/lib/catlake/__init__.py {python}\n"
