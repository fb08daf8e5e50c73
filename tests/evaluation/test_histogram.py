"""Bins at whole multiples of a width."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.histogram import histogram

VALUES = st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=30)


@given(VALUES, st.sampled_from([0.25, 0.5, 1.0]))
def test_every_value_lies_in_a_bin_whose_edges_are_multiples_of_the_width(
    values: list[float], width: float
) -> None:
    found = histogram(torch.tensor(values), width)
    assert found is not None
    assert math.remainder(found.start, width) == 0
    assert sum(found.count) == len(values)
    for i, count in enumerate(found.count):
        low = found.start + i * width
        assert count == sum(low <= value < low + width for value in values)
    assert found.count[0] > 0
    assert found.count[-1] > 0


def test_what_is_not_finite_is_not_counted() -> None:
    found = histogram(torch.tensor([1.1, math.inf, math.nan]), 1.0)
    assert found is not None
    assert found.count == [1]
    assert histogram(torch.tensor([math.nan]), 1.0) is None


def test_values_too_far_apart_have_no_histogram() -> None:
    assert histogram(torch.tensor([0.0, 1e6]), 0.1) is None


@pytest.mark.parametrize("width", [0.0, -1.0, math.inf, math.nan])
def test_a_width_is_positive_and_finite(width: float) -> None:
    with pytest.raises(PixelBayesError, match="width above 0"):
        histogram(torch.ones(1), width)
