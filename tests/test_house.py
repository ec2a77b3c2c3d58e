"""The rules of the house: which way imports go, what a job script may hold, what no file names."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JOBS = sorted((ROOT / "jobs").glob("*.py"))


def tracked_files() -> list[Path]:
    """The files of the repository, those that are about to be added too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> dict[str, str]:
    found = {}
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" not in content:
            found[str(path.relative_to(ROOT))] = content.decode("utf-8", "replace")
    return found


def test_imports_go_one_way() -> None:
    linted = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert linted.returncode == 0, linted.stdout
    assert "0 broken" in linted.stdout


@pytest.mark.parametrize("room", ["jobs", "deploy", "local", "tools", "bench", "tests"])
def test_the_library_imports_no_room_above_it(room: str) -> None:
    importing = re.compile(rf"^\s*(from|import) {room}\b", re.MULTILINE)
    assert [path.name for path in (ROOT / "lib").rglob("*.py") if importing.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("job", JOBS, ids=lambda path: path.name)
def test_a_job_is_short_and_holds_no_logic(job: Path) -> None:
    text = job.read_text(encoding="utf-8")
    assert text.count("\n") < 60
    docstring, *statements, main = ast.parse(text).body
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)
    for statement in statements:
        assert isinstance(statement, ast.Import | ast.ImportFrom | ast.Assign), ast.unparse(statement)
    # Imports, ARGUMENTS, and the call: nothing that decides, loops or computes.
    logic = (ast.For, ast.While, ast.Try, ast.With, ast.FunctionDef, ast.Lambda, ast.BinOp, ast.IfExp, ast.ListComp)
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, logic)]
    assert isinstance(main, ast.If) and ast.unparse(main.test) == "__name__ == '__main__'"
    (call,) = main.body
    assert ast.unparse(call).startswith("run_job(")


def test_the_jobs_of_the_conversations_are_there() -> None:
    assert {"conversations_normalize.py", "conversations_curate.py"} <= {job.name for job in JOBS}


def test_no_file_reads_what_lies_beside_the_repository() -> None:
    outside = re.compile(r"\.\./" + r"shared|/work/" + "shared|/work/" + "main")
    assert [name for name, text in texts().items() if outside.search(text)] == []
