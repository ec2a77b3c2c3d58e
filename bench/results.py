"""The pages of results: tables in Markdown, and a section for each that a run measured anew.

A section is measured in one run and says when. A run that measures some tables keeps the sections of the others as
they are, so that no table mixes the figures of two runs.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Conditions:
    """When and where something was measured, and what else the machine did then."""

    packages: Sequence[str]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def __str__(self) -> str:
        versions = ", ".join(f"{package} {version(package)}" for package in self.packages)
        return (
            f"Measured {self.started:%Y-%m-%d %H:%M} to {datetime.now(UTC):%H:%M} UTC, load average at the start "
            f"{self.load:.1f}: {_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB; "
            f"{platform.system()} {platform.release()}; Python {platform.python_version()}, {versions}."
        )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: texts in its first column, figures in the others."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def page(head: str, old: str, measured: Mapping[str, str], order: Sequence[str]) -> str:
    """A page with the sections in their order: those that were measured, and those of the old page beside them.

    Args:
        head: What is above the first section.
        old: The page so far; empty where there is none.
        measured: The new sections, by their titles.
        order: The titles of all sections that the page may have.
    """
    sections = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", old, re.MULTILINE)) | dict(measured)
    parts = [head, *(f"## {title}\n\n{sections[title].strip()}" for title in order if title in sections)]
    return "\n\n".join(parts) + "\n"


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:,.0f}"


def _processor() -> str:
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return model[1] if model else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
