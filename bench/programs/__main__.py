"""Runs a program: `python -m bench.programs <module>.<function> <source> <result>`; prints one JSON line of seconds."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from bench.programs.parts import Parts


def main(arguments: list[str]) -> None:
    """Run a program and print what its parts took."""
    name, source, result = arguments
    # Imported by its name: a program must not pay for the libraries of the others.
    module, _, function = name.partition(".")
    parts = Parts()
    getattr(import_module(f"bench.programs.{module}"), function)(Path(source), Path(result), parts)
    print(json.dumps({"seconds": parts.seconds, "cpu_seconds": parts.cpu_seconds}))


if __name__ == "__main__":
    main(sys.argv[1:])
