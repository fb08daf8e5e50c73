"""A number is described once: what shows it needs to know nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from pixelbayes.cli.commands.results import show_report
from pixelbayes.evaluation import Estimate
from pixelbayes.report import ModelResult, Report, load, save
from pixelbayes.report.storage import result_from_json, result_to_json
from pixelbayes.report.tables import COLUMNS, Column, column_of, results_rows


def test_a_number_computed_and_described_is_in_terminal_markdown_page_and_json(
    report: Report,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    column = Column("regret", "regret", "%", "lower", digits=2, about="loss")
    monkeypatch.setitem(COLUMNS, "regret", column)  # the second place; the first computes:
    regret = Estimate(1.234, 0.987, 1.56, 120, "%")
    measured = {
        name: replace(split, measures={**split.measures, "regret/raw": regret})
        for name, split in report.splits.items()
    }

    report = replace(report, splits=measured)
    paths = save(report, tmp_path)
    show_report(report, tmp_path)

    terminal = capsys.readouterr().out
    for text in (terminal, *(path.read_text("utf-8") for path in paths[1:])):
        assert "regret, raw" in text
        assert "1.23 % [0.99, 1.56]" in text
    assert load(tmp_path).headline.measures["regret/raw"] == regret


def test_a_number_without_a_description_is_shown_by_its_name(report: Report) -> None:
    split = replace(
        report.headline, measures={"accuracy": report.accuracy, "new_one": report.accuracy}
    )

    _, rows = results_rows(replace(report, splits={"test": split}))

    assert rows[-1] == ["new one", column_of("new_one", "%").text(report.accuracy)]


def test_the_description_of_a_study_is_that_of_a_report(report: Report) -> None:
    result = ModelResult(
        name="gated",
        kind="pixelcnn",
        seed=0,
        fusion="gated",
        parameters=1,
        epochs=1,
        best_epoch=1,
        reason="epochs",
        splits=report.splits,
    )

    assert result_from_json(result_to_json(result)).splits == report.splits
    assert result.measure("test", "accuracy") == report.accuracy


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_best_is_the_highest_or_the_lowest(better: str) -> None:
    found = {str(x): Estimate(x, x, x, 1, "") for x in (1.0, 3.0, 2.0)}

    column = replace(COLUMNS["accuracy"], better=better)

    assert column.best(found) == ("3.0" if better == "higher" else "1.0")


def test_a_number_without_interval_has_no_brackets(report: Report) -> None:
    error = report.headline.measures["ece/raw"]

    assert column_of("ece/raw").text(error) == f"{100 * error.value:.1f} %"
