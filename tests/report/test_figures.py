"""Claims about the figures, as far as SVG text can tell."""

import math
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import pytest

from pixelbayes.evaluation import ReliabilityCurve
from pixelbayes.evaluation.accuracy import RiskCoverage
from pixelbayes.report import Report
from pixelbayes.report.figures import THEME, inline
from pixelbayes.report.report_figures import reliability_figure, risk_figure, training_plots

pytest.importorskip("matplotlib")


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def curves_of(report: Report) -> list[str]:
    return [str(plot.image) for plot in training_plots(report.curves)]


def test_figures_name_their_quantities_and_units(report: Report) -> None:
    shown = {text for svg in curves_of(report) for text in texts(svg)}

    assert {"bits / dim", "accuracy, %", "images / s", "epoch"} <= shown
    reliability = reliability_figure(report.splits["test"].reliability)
    assert {"confidence, %", "accuracy, %", "raw", "calibrated"} <= {*texts(reliability)}


def test_the_same_numbers_give_the_same_bytes_without_a_date(report: Report) -> None:
    first = curves_of(report)

    assert first == curves_of(report)
    assert "<dc:date>" not in first[0]


def test_drawing_touches_neither_pyplot_nor_the_global_settings(report: Report) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    pyplot = sys.modules.pop("matplotlib.pyplot", None)
    try:
        curves_of(report)
        assert "matplotlib.pyplot" not in sys.modules
    finally:
        if pyplot is not None:
            sys.modules["matplotlib.pyplot"] = pyplot
    assert dict(mpl.rcParams) == before


def test_every_colour_of_a_figure_is_another_one_in_the_dark(report: Report) -> None:
    for svg in [*curves_of(report), reliability_figure(report.splits["test"].reliability)]:
        drawn = re.sub(r"<style>svg.*?</style>", "", svg, flags=re.DOTALL)
        assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", drawn)
        assert {*re.findall(r"var\(--(\w+)\)", drawn)} <= THEME.keys()
        assert "prefers-color-scheme: dark" in svg


def test_two_figures_in_a_page_share_no_identifier(report: Report) -> None:
    svg = curves_of(report)[0]
    first, second = ({*re.findall(r'\bid="([^"]+)"', inline(svg, name))} for name in "ab")

    assert first
    assert not first & second
    used = {*re.findall(r"url\(#([^)]+)\)", inline(svg, "a"))}
    assert used <= first


@pytest.mark.parametrize("curves", [{}, {"epoch": [], "lr": []}, {"val/accuracy": [None]}])
def test_no_epochs_are_no_figure(curves: dict[str, list[float | None]]) -> None:
    assert training_plots(curves) == []


def test_bins_of_fewer_than_ten_images_are_left_out() -> None:
    few = ReliabilityCurve([0.5], [1.0], [9])
    assert texts(reliability_figure({"raw": few})) == ["no data: no bin holds 10 images"]
    assert texts(reliability_figure({"raw": ReliabilityCurve([], [], [])})) == texts(
        reliability_figure({})
    )
    enough = reliability_figure({"raw": ReliabilityCurve([0.5, 0.9], [1.0, 0.9], [9, 90])})
    assert enough.count("LineCollection") == 1
    (interval,) = re.findall(r'id="LineCollection_1">(.*?)</g>', enough, re.DOTALL)
    assert interval.count("<path") == 1


def test_one_epoch_is_drawn_as_a_point() -> None:
    (plot,) = training_plots({"epoch": [0.0], "val/bits_per_dim": [3.1]})

    assert "bits / dim" in texts(str(plot.image))
    assert "<use " in str(plot.image), "a marker"
    assert plot.alt == "bits / dim over the epochs; at the last one: validation 3.1."


def test_points_that_are_unknown_or_not_finite_are_left_out() -> None:
    known = training_plots({"epoch": [0.0, 3.0], "val/bits_per_dim": [4.0, 3.0]})
    gaps = training_plots(
        {"epoch": [0.0, 1.0, 2.0, 3.0], "val/bits_per_dim": [4.0, None, math.nan, 3.0]}
    )

    assert gaps == known


def test_a_beginning_far_above_all_that_follows_is_left_out_of_the_frame_and_said() -> None:
    epochs = [float(epoch) for epoch in range(8)]
    steady = [1.0, 0.9, 0.8, 0.7, 0.6, 0.6, 0.5, 0.5]
    (far,) = training_plots({"epoch": epochs, "val/log_loss": [324.9, *steady[1:]]})
    (near,) = training_plots({"epoch": epochs, "val/log_loss": steady})

    assert far.caption == "What is above the frame is left out."
    assert not near.caption
    assert "0.6" in texts(str(far.image)), "the rest can be told apart"
    assert "300" not in texts(str(far.image))


def test_a_learning_rate_of_zero_is_drawn() -> None:
    assert len(training_plots({"lr": [0.0, 0.0]})) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$x_", "<b>&", "猫", "a very long name of a split"])
def test_any_name_can_be_drawn(name: str) -> None:
    svg = risk_figure({name: RiskCoverage([0.5, 1.0], [0.0, 0.25])})

    assert name in texts(svg)


def test_threads_that_draw_at_once_leave_the_settings_as_they_were(report: Report) -> None:
    import matplotlib as mpl

    expected, before = curves_of(report), dict(mpl.rcParams)
    start = threading.Barrier(3)

    def draw(_: int) -> list[str]:
        start.wait()
        return curves_of(report)

    with ThreadPoolExecutor(3) as pool:
        assert all(drawn == expected for drawn in pool.map(draw, range(3)))
    assert dict(mpl.rcParams) == before
