"""Golden files: results that a person has read and found right, in tests/data/golden.

`make golden` writes them anew; `git diff` then shows what a change does to the results.
"""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "data" / "golden"


def assert_golden(result: str, name: str) -> None:
    """Compare a result with a golden file, such as `tokens/old_table.csv`; `make golden` writes that file."""
    file = GOLDEN / name
    if os.environ.get("CATLAKE_GOLDEN") == "write":
        file.write_bytes(result.encode())
    assert result == file.read_bytes().decode()
