"""Runs a program: `python -m bench.programs <program> <source> <result>`; prints one JSON line with its seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from bench.programs import duckdb_conversations, plain_conversations
from bench.programs.parts import Parts

PROGRAMS: dict[str, Callable[[Path, Path, Parts], None]] = {
    "plain-normalize": plain_conversations.normalize,
    "plain-curate": plain_conversations.curate,
    "tiktoken": plain_conversations.tiktoken_alone,
    "duckdb-normalize": duckdb_conversations.normalize,
    "duckdb-curate": duckdb_conversations.curate,
}


def main(arguments: list[str]) -> None:
    """Run a program and print what it took."""
    name, source, result = arguments
    parts = Parts()
    PROGRAMS[name](Path(source), Path(result), parts)
    print(json.dumps({"seconds": parts.seconds, "cpu_seconds": parts.cpu_seconds}))


if __name__ == "__main__":
    main(sys.argv[1:])
