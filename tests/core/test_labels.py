"""A label is a class or an error."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelbayes.core.labels import label_indices

ANIMALS = ("koala", "pizza", "sea lion")
DIGITS = tuple(str(digit) for digit in range(10))


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (["pizza", "koala"], ANIMALS, [1, 0]),
        (["2", 1, np.int64(0), np.uint8(2), torch.tensor(1)], ANIMALS, [2, 1, 0, 2, 1]),
        (["7", 3], DIGITS, [7, 3]),
        (np.array([2, 0]), 3, [2, 0]),
        (np.array(["pizza"]), ANIMALS, [1]),
        (torch.tensor([2, 0], dtype=torch.uint8), 3, [2, 0]),
        ([], 3, []),
        (["1", "0"], ("0", "1", "10"), [1, 0]),
    ],
)
def test_whole_numbers_of_any_kind_and_names_are_indices(labels, classes, expected):
    indices = label_indices(labels, classes)
    assert indices.dtype == torch.int64
    assert indices.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ("37", DIGITS, TypeError, r"the text '37'; for one image of that class write \['37'\]"),
        ([1.7], 3, TypeError, r"whole number or the name of a class, got 1\.7 \(float\)"),
        ([1.0], 3, TypeError, "whole number"),
        ([True], 3, TypeError, "whole number"),
        ([None], 3, TypeError, "whole number"),
        (np.array([0.5]), 3, TypeError, "whole number"),
        (torch.tensor([1.7]), 3, TypeError, r"whole numbers, got torch\.float32"),
        (torch.tensor([True]), 3, TypeError, r"torch\.bool"),
        ([3], 3, ValueError, "no class 3; there are 3, 0 to 2"),
        ([-1], 3, ValueError, "no class -1"),
        (torch.tensor([5]), ANIMALS, ValueError, "no class 5.*koala, pizza, sea lion"),
        (["5"], ANIMALS, ValueError, "no class 5"),
        (["coala"], ANIMALS, ValueError, "no class 'coala'; choose one of: koala"),
        (["2"], ("0", "1", "10"), ValueError, "no class '2'"),
        (["-1"], ANIMALS, ValueError, "no class '-1'"),
        (torch.zeros(2, 2, dtype=torch.int64), 3, ValueError, r"shape \(2, 2\)"),
        (torch.tensor(1), 3, ValueError, "one row"),
    ],
)
def test_what_is_no_class_is_refused_with_what_is(labels, classes, error, message):
    with pytest.raises(error, match=message):
        label_indices(labels, classes)


def test_bytes_are_no_labels() -> None:
    with pytest.raises(TypeError, match="labels are a list"):
        label_indices(b"\0\1", 3)
