"""Claims about the report as Markdown."""

from dataclasses import replace

import pytest

from pixelbayes.report import Report
from pixelbayes.report.render import report_markdown as markdown
from pixelbayes.report.tables import settings_rows, worst_confusions


def test_the_headline_comes_first_with_its_interval_and_n(report: Report) -> None:
    first, headline = markdown(report).split("\n\n")[:2]

    assert first == "# FiLM fusion on digits"
    assert headline.startswith(f"**{report.accuracy}** on test")


def test_every_split_is_a_column_of_the_results_the_headline_one_first(report: Report) -> None:
    text = markdown(report)

    assert "|  | test, n = 120 | validation, n = 120 |" in text
    for split in report.splits.values():
        assert split.accuracy.brief in text


def test_every_row_of_a_table_has_the_width_of_its_header(report: Report) -> None:
    tables = [part for part in markdown(report).split("\n\n") if part.startswith("|")]

    assert tables
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


def test_a_measure_that_one_split_lacks_is_a_dash(report: Report) -> None:
    validation = report.splits["validation"]
    validation = replace(validation, measures={"accuracy": validation.accuracy})
    text = markdown(replace(report, splits={**report.splits, "validation": validation}))

    row = next(line for line in text.splitlines() if line.startswith("| ECE, raw"))
    assert row.endswith("| - |")


def test_a_class_name_cannot_break_out_of_its_table_cell(report: Report) -> None:
    text = markdown(replace(report, classes=["a|b", "<i>", "[x](y)", "two\nlines"]))

    assert "a\\|b" in text
    assert "\\<i\\>" in text
    assert "[x]\\(y)" in text
    assert "two lines" in text


def test_the_command_stands_alone_to_be_copied(report: Report) -> None:
    assert "~~~~sh\npixelbayes evaluate runs/film-7 --split test\n~~~~" in markdown(report)


def test_a_raw_posterior_says_that_no_temperature_was_fitted(report: Report) -> None:
    assert "No temperature was fitted" in markdown(replace(report, temperature=None))


def test_notes_are_listed(report: Report) -> None:
    assert "* first\n* second" in markdown(replace(report, notes=["first", "second"]))


def test_a_flawless_classifier_has_no_most_frequent_mistake() -> None:
    assert worst_confusions([[3, 0], [0, 2]], ["a", "b"], 5) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "yes"), (None, "-"), (2e-4, "0.0002"), ([8, 8], "8, 8"), ([], "-"), ({}, "{}")],
)
def test_settings_are_shown_readably(value: object, shown: str) -> None:
    assert settings_rows({"x": value}) == [("x", shown)]
