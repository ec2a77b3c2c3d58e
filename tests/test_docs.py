"""What the pages name exists: make targets, modules, job scripts with their arguments, links, rules."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

import pytest

from catlake.runtime.arguments import COMMON
from tests.test_house import ROOT, texts

PAGES = {name: text for name, text in texts().items() if name.endswith(".md") and not name.startswith("tests/data/")}


def found(pattern: str, flags: re.RegexFlag = re.MULTILINE) -> list[tuple[str, str]]:
    """All matches in the pages, each with its page."""
    return sorted({(page, match) for page, text in PAGES.items() for match in re.findall(pattern, text, flags)})


def commands() -> list[tuple[str, str]]:
    """The lines of the pages that start a job by spark-submit."""
    blocks = found(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    lines = [(page, line) for page, block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [(page, line) for page, line in lines if "/spark-submit " in line]


@pytest.mark.parametrize(("page", "target"), found(r"(?:`|^)make ([a-z0-9-]+)"))
def test_a_make_target_of_a_page_exists(page: str, target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("page", "module"), found(r"python -m\s([\w.]+)"))
def test_a_module_of_a_page_exists(page: str, module: str) -> None:
    assert find_spec(module)


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_job_of_a_page_exists_and_takes_the_arguments_of_the_page(page: str, command: str) -> None:
    words = shlex.split(re.sub(r"[\[\]<>]", "", command))
    script = next(word for word in words if word.startswith("jobs/"))
    declared = {argument.name for argument in (*COMMON, *run_path(str(ROOT / script)).get("ARGUMENTS", ()))}
    given = {word.removeprefix("--") for word in words[words.index(script) :] if word.startswith("--")}
    assert given and given <= declared
    here = [word for word in words if word.startswith("tests/")]
    assert all((ROOT / word).exists() for word in here)


@pytest.mark.parametrize(("page", "link"), found(r"\]\(([^)#:]+)(?:#[^)]*)?\)"))
def test_a_link_of_a_page_leads_somewhere(page: str, link: str) -> None:
    assert (ROOT / Path(page).parent / link).exists()


def test_every_rule_that_is_cited_by_its_number_is_in_the_rules() -> None:
    rules = set(re.findall(r"^#{2,3} (\d(?:\.\d)?)\b", (ROOT / "docs/spec.md").read_text("utf-8"), re.MULTILINE))
    cited = {
        number
        for folder in ("lib", "jobs", "deploy", "local", "tools", "bench", "schemas", "tests", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".yaml", ".sql")
        for number in re.findall(r"\bspec\.md (\d(?:\.\d)?)\b", path.read_text("utf-8"))
    }
    assert cited - rules == set()
    assert cited
