"""A page of results: what a run measured replaces its section, and no other."""

from bench.results import markdown, page

ORDER = ("Reading", "normalize", "curate")
OLD = page("# Measured", "", {"Reading": "old reading\n\n| a |\n| --- |", "curate": "old curate"}, ORDER)


def test_a_section_that_is_measured_anew_replaces_the_old_one() -> None:
    assert (
        page("# Measured", OLD, {"Reading": "new"}, ORDER)
        == "# Measured\n\n## Reading\n\nnew\n\n## curate\n\nold curate\n"
    )


def test_a_section_that_is_not_measured_stays_as_it_is() -> None:
    new = page("# Measured", OLD, {"normalize": "n"}, ORDER)
    assert "## Reading\n\nold reading\n\n| a |\n| --- |\n\n## normalize\n\nn\n\n## curate\n\nold curate\n" in new


def test_a_section_that_no_table_measures_any_more_leaves() -> None:
    assert "old curate" not in page("# Measured", OLD, {}, ("Reading",))


def test_figures_of_a_table_are_on_the_right() -> None:
    assert markdown(("", "s"), [["catlake", "1.0"]]) == "|  | s |\n| --- | ---: |\n| catlake | 1.0 |"
