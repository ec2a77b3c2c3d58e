"""The committed sample of events: every document and every quarantined line, as a person can read them."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from catlake.dynamodb.attribute_values import Mismatch
from catlake.purchases.event_document import document
from tests.golden import assert_golden
from tests.purchases.records import LOCAL

SAMPLE = Path(__file__).parents[1] / "data/samples/purchases"


def sample_lines() -> Iterable[tuple[str, int, bytes]]:
    for file in sorted(SAMPLE.glob("events-*.jsonl")):
        for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
            if line.strip():
                yield file.name, number, line


@pytest.fixture(scope="module")
def outcomes() -> tuple[dict[str, str], list[str]]:
    """Documents by path, and quarantined lines with their reasons."""
    documents: dict[str, str] = {}
    quarantined: list[str] = []
    for name, number, line in sample_lines():
        try:
            made = document(line, LOCAL)
            documents[made.path] = made.content.decode()
        except Mismatch as mismatch:
            quarantined.append(json.dumps({"file": name, "line": number, "reason": str(mismatch)}, ensure_ascii=False))
    return documents, quarantined


def test_the_samples_documents_are_the_golden_ones(outcomes: tuple[dict[str, str], list[str]]) -> None:
    documents, _ = outcomes
    assert_golden("".join(f"{path}\n    {documents[path]}" for path in sorted(documents)), "compras_json/documents.txt")


def test_the_samples_quarantine_is_the_golden_one(outcomes: tuple[dict[str, str], list[str]]) -> None:
    _, quarantined = outcomes
    assert_golden("".join(f"{line}\n" for line in quarantined), "compras_json/quarantine.jsonl")


def test_the_counts_are_those_that_the_generator_announced(outcomes: tuple[dict[str, str], list[str]]) -> None:
    documents, quarantined = outcomes
    announced = (SAMPLE / "_README.md").read_text(encoding="utf-8")
    found = re.search(r"(\d+) lines make (\d+) documents; (\d+) lines repeat .*, and (\d+) go to quarantine", announced)
    assert found
    lines = len(list(sample_lines()))
    assert [int(group) for group in found.groups()] == [
        lines,
        len(documents),
        lines - len(documents) - len(quarantined),
        len(quarantined),
    ]
