"""Which cities a regular expression leaves out, whatever the expression and the city are."""

import time

import pyarrow as pa
import pytest

from catlake.conversations.excluded_cities import are_excluded, checked_pattern
from catlake.runtime.environment import environment
from catlake.runtime.errors import ArgumentError

CITIES = {
    "Medellín": True,
    "medellin (Antioquia)": True,
    "CALI": True,
    "Mexico DF": True,
    "Ciudad de México": False,
    "San Luis Potosí": True,
    "POTOSÍ": True,
    "Potosi": False,
    "Valledupar": True,
    "Bogotá": False,
}


def test_cities_are_searched_without_regard_to_case_accents_too() -> None:
    cities = pa.array(list(CITIES))
    excluded = are_excluded(cities, checked_pattern(environment("prod").excluded_cities))
    assert dict(zip(CITIES, excluded.to_pylist(), strict=True)) == CITIES
    assert not any(are_excluded(cities, None).to_pylist())


@pytest.mark.parametrize("pattern", ["(.*a){14}b", "(a|a)*b", "(a+)+$", "(.*){9}b"])
def test_no_pattern_takes_for_ever_over_any_city(pattern: str) -> None:
    start = time.monotonic()
    are_excluded(pa.array(["a" * 61 + "c", "a" * 20_000 + "c"]), checked_pattern(pattern))
    assert time.monotonic() - start < 5, "a search that goes back would take years"


@pytest.mark.parametrize("pattern", ["cali(", "*", "[a-", "(?=a)b", r"(a)\1", "(a{1000}){1000}"])
def test_a_pattern_that_cannot_be_searched_is_refused_with_its_reason(pattern: str) -> None:
    with pytest.raises(ArgumentError, match=r"^--excluded_cities '.*': must be a regular expression of RE2, .*: \w"):
        checked_pattern(pattern)


def test_an_empty_pattern_is_refused_because_it_is_found_everywhere() -> None:
    with pytest.raises(ArgumentError, match=r"^--excluded_cities '': would leave every city out; write none"):
        checked_pattern("")


@pytest.mark.parametrize("pattern", [None, "cali|valle", r"^san\b"])
def test_a_pattern_that_is_one_is_taken_as_it_is(pattern: str | None) -> None:
    assert checked_pattern(pattern) == pattern
