"""Any text, for properties that hold of all texts."""

from hypothesis import strategies as st


def any_text(max_size: int | None = None) -> st.SearchStrategy[str]:
    """Texts of all characters that UTF-8 has.

    Hypothesis finds the same characters for `st.text()`, but asks the codec about each, for three seconds in each
    process of a fresh checkout.
    """
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)
