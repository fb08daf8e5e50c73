"""Claims about the figures, as far as SVG text can tell."""

import math
import sys
from xml.etree import ElementTree

import pytest

from pixelbayes.evaluation import ReliabilityCurve
from pixelbayes.report import Report
from pixelbayes.report.figures import confusion_figure, reliability_figure, training_curves

pytest.importorskip("matplotlib")


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def diagonal(classes: int) -> list[list[int]]:
    return [[10 * (row == column) for column in range(classes)] for row in range(classes)]


def test_figures_name_their_quantities_and_units(report: Report) -> None:
    test = report.splits["test"]

    assert {"bits / dim", "accuracy, %", "images / s", "epoch"} <= {*texts(_curves(report))}
    assert "share of the true class, %" in texts(confusion_figure(test.confusion, report.classes))
    assert {"confidence, %", "accuracy, %"} <= {*texts(reliability_figure(test.reliability))}


def _curves(report: Report) -> str:
    return training_curves(report.curves)


def test_the_same_numbers_give_the_same_bytes_without_a_date(report: Report) -> None:
    first = _curves(report)

    assert first == _curves(report)
    assert "<dc:date>" not in first


def test_drawing_touches_neither_pyplot_nor_the_global_settings(report: Report) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    pyplot = sys.modules.pop("matplotlib.pyplot", None)
    try:
        _curves(report)
        assert "matplotlib.pyplot" not in sys.modules
    finally:
        if pyplot is not None:
            sys.modules["matplotlib.pyplot"] = pyplot
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("classes", [1, 2, 10, 41, 100])
def test_a_confusion_matrix_of_any_size_is_drawn_with_labels_that_fit(classes: int) -> None:
    names = [f"label{k}" for k in range(classes)]

    shown = texts(confusion_figure(diagonal(classes), names))

    labels = [text for text in shown if text.startswith("label")]
    assert "label0" in labels
    assert len(labels) <= 2 * 40, "both axes together"


def test_counts_are_written_into_the_cells_of_a_small_matrix() -> None:
    assert "1234" in texts(confusion_figure([[1234, 0], [0, 1]], ["a", "b"]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$x_", "<b>&", "猫", "a very long name of a class"])
def test_any_class_name_can_be_drawn(name: str) -> None:
    shown = texts(confusion_figure(diagonal(2), [name, "other"]))

    assert any(text and name.startswith(text.rstrip("…")) for text in shown)


def test_a_matrix_that_does_not_match_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 classes need a confusion matrix of 3 x 3.*\[2, 2\]"):
        confusion_figure(diagonal(2), ["a", "b", "c"])


@pytest.mark.parametrize("curves", [{}, {"epoch": [], "lr": []}, {"val/accuracy": [None]}])
def test_no_epochs_are_no_data(curves: dict[str, list[float | None]]) -> None:
    assert texts(training_curves(curves)) == ["no data"]


def test_a_confusion_matrix_of_nothing_is_no_data() -> None:
    assert texts(confusion_figure([], [])) == ["no data"]
    assert texts(confusion_figure([[0, 0], [0, 0]], ["a", "b"])) == ["no data"]


def test_reliability_without_images_is_no_data() -> None:
    assert texts(reliability_figure({"raw": ReliabilityCurve([], [], [])})) == ["no data"]


def test_one_epoch_is_drawn_as_a_point() -> None:
    svg = training_curves({"epoch": [0.0], "val/bits_per_dim": [3.1]})

    assert "bits / dim" in texts(svg)
    assert "<use " in svg, "a marker"


def test_points_that_are_unknown_or_not_finite_are_left_out() -> None:
    known = training_curves({"epoch": [0.0, 3.0], "val/bits_per_dim": [4.0, 3.0]})
    gaps = training_curves(
        {"epoch": [0.0, 1.0, 2.0, 3.0], "val/bits_per_dim": [4.0, None, math.nan, 3.0]}
    )

    assert gaps == known


def test_a_learning_rate_of_zero_is_drawn() -> None:
    assert "learning rate" in texts(training_curves({"lr": [0.0, 0.0]}))


def test_each_posterior_has_its_own_reliability_panel() -> None:
    curve = ReliabilityCurve([0.55, 0.95], [0.5, 0.9], [10, 90])

    assert {"raw", "calibrated"} <= {
        *texts(reliability_figure({"raw": curve, "calibrated": curve}))
    }
