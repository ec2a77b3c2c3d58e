"""No value from outside stops, hangs or blows up a run: each costs itself, or is one clear line."""

from pathlib import Path

import pytest

from tests.hostile_values import VALUES, HostileValue, tried


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{value.kind}: {value.name}")
def test_a_hostile_value_has_its_bound_and_its_reason(value: HostileValue, tmp_path: Path) -> None:
    assert tried(value, tmp_path).misses(value) is None
