"""The balance of a run: read = written + filtered + quarantined."""

import pytest

from catlake.runtime.balance import Balance
from catlake.runtime.errors import BalanceError


def test_a_balance_that_closes_is_accepted() -> None:
    balance = Balance(read=10, written={"a": 4, "b": 1}, filtered={"rule": 2, "other": 0}, quarantined=3)
    assert balance.difference == 0
    balance.enforce()


@pytest.mark.parametrize(
    ("balance", "difference"),
    [
        (Balance(read=10, written={"a": 9}), 1),
        (Balance(read=10, written={"a": 11}), -1),
        (Balance(read=10, written={"a": 4, "b": 4}, filtered={"rule": 1}, quarantined=2), -1),
        (Balance(read=0, written={"a": 0}, quarantined=1), -1),
    ],
)
def test_one_that_does_not_is_an_error_that_shows_the_counts(balance: Balance, difference: int) -> None:
    assert balance.difference == difference
    with pytest.raises(BalanceError) as error:
        balance.enforce()
    assert str(error.value).startswith(f"the balance does not close: {balance}; {difference} records are")
    assert "\n" not in str(error.value)


def test_nothing_read_and_nothing_written_closes() -> None:
    Balance(read=0, written={}).enforce()


def test_it_reads_as_a_sentence_of_its_counts() -> None:
    balance = Balance(read=10, written={"csv": 5}, filtered={"other": 1, "early": 2}, quarantined=2)
    assert str(balance) == "10 read = 5 written to csv + 2 filtered (early) + 1 filtered (other) + 2 quarantined"
    assert str(Balance(0, {})) == "0 read = 0 written + 0 quarantined"
    assert str(Balance(2, {"csv": 1})) == "2 read ≠ 1 written to csv + 0 quarantined"


def test_as_a_dictionary_it_has_the_summarys_form() -> None:
    assert Balance(read=2, written={"csv": 1}, filtered={"r": 1}).as_dict() == {
        "read": 2,
        "written": {"csv": 1},
        "filtered": {"r": 1},
        "quarantined": 0,
    }
