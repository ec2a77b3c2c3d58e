"""Constraints for pip within the Glue image: what the image carries stays, the project's own tools are as pinned.

    python3 docker/pins.py constraints.txt constraints-dev.txt > pins.txt

The first file lists what Glue carries: of each, the version that is there, else the listed one. The second file lists
the rest. What differs from the first is written to stderr: tests in the image see it, others do not.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PYTHON = (3, 11)


def main(glue: str, rest: str) -> None:
    """Writes the constraints to stdout."""
    if sys.version_info[:2] != PYTHON:
        raise SystemExit(f"docker/pins.py: Python {sys.version.split()[0]}, but Glue 5 runs {PYTHON[0]}.{PYTHON[1]}")
    listed, tools = dict(_pins(glue)), dict(_pins(rest))
    for name, pinned in listed.items():
        carried = _version(name)
        if carried not in (None, pinned):
            sys.stderr.write(f"the image has {name} {carried}, Glue 5.1's list {pinned}\n")
        sys.stdout.write(f"{name}=={carried or pinned}\n")
    for name, pinned in tools.items():
        if name not in listed:
            sys.stdout.write(f"{name}=={pinned}\n")


def _pins(file: str) -> Iterator[tuple[str, str]]:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        name, equals, pinned = line.partition("==")
        if equals:
            # As pip compares names.
            yield re.sub(r"[-_.]+", "-", name).lower(), pinned.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(*sys.argv[1:])
