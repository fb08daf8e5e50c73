"""What looks like a number, a class or a mask is one, in one meaning, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelbayes.data import DatasetError, LabelledImages
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import PixelBayes
from pixelbayes.workflows import RunConfig, RunError
from pixelbayes.workflows.evaluate import evaluate
from pixelbayes.workflows.generate import generate

INTEGERS = [int, np.int64, np.int32, np.uint8, torch.tensor]
NO_WHOLE_NUMBERS = [1.5, 1.0, np.float64(2), True, "2", None]


@pytest.mark.parametrize("kind", INTEGERS)
def test_an_integer_of_any_library_is_a_seed_and_a_count(tiny_model: PixelBayes, kind: Any) -> None:
    expected = tiny_model.sample("koala", count=2, generator=3, output_type="levels")
    drawn = tiny_model.sample("koala", count=kind(2), generator=kind(3), output_type="levels")
    assert drawn.equal(expected)
    seeded = generate(tiny_model, ["koala"], count=kind(1), seed=kind(3)).levels
    assert seeded.equal(generate(tiny_model, ["koala"], count=1, seed=3).levels)
    assert RunConfig(seed=kind(3)) == RunConfig(seed=3)
    assert type(RunConfig(seed=kind(3)).seed) is int


@pytest.mark.parametrize("value", NO_WHOLE_NUMBERS, ids=repr)
def test_what_is_no_whole_number_is_no_seed_and_no_count(
    tiny_model: PixelBayes, value: Any
) -> None:
    with pytest.raises(PixelBayesError, match="number of images above 0, got"):
        tiny_model.sample("koala", count=value)
    with pytest.raises(PixelBayesError, match="--seed is a whole number, 0 or more"):
        generate(tiny_model, ["koala"], seed=value)
    with pytest.raises(RunError, match="--seed is a whole number, 0 or more"):
        RunConfig(seed=value)


@pytest.mark.parametrize("seed", [-1, np.int64(-1)])
def test_a_negative_seed_is_refused_everywhere(tiny_model: PixelBayes, seed: Any) -> None:
    with pytest.raises(PixelBayesError, match="0 or more, got"):
        tiny_model.sample("koala", generator=seed)
    with pytest.raises(PixelBayesError, match="0 or more, got"):
        generate(tiny_model, ["koala"], seed=seed)


@settings(max_examples=40, deadline=None)
@given(
    label=st.one_of(
        st.floats(allow_nan=True),
        st.booleans(),
        st.integers().filter(lambda number: not 0 <= number < 3),
        st.text(max_size=6).filter(lambda text: text not in ("koala", "pizza", "sea lion")),
    )
)
def test_a_label_is_the_name_or_the_number_of_one_class_or_refused(label: Any) -> None:
    classes = ("koala", "pizza", "sea lion")

    class Named(PixelBayes):
        def __init__(self) -> None:
            pass

        @property
        def classes(self) -> tuple[str, ...]:
            return classes

    if str(label).isdecimal() and int(label) < 3:  # "1" is class 1, as on the command line
        assert Named().class_index(label) == int(label)
        return
    with pytest.raises(PixelBayesError, match="no class"):
        Named().class_index(label)


@pytest.mark.parametrize("label", [1.7, np.float64(2.0), 99, -1, True, "37", "1.7", None])
def test_a_label_of_another_kind_is_answered_with_the_classes(
    tiny_model: PixelBayes, label: Any
) -> None:
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    with pytest.raises(PixelBayesError, match=r"no class .*choose one of: koala, pizza, sea lion"):
        tiny_model.log_likelihood(image, label)


def test_a_text_of_digits_is_one_class_and_not_one_for_each_digit(tiny_model: PixelBayes) -> None:
    with pytest.raises(PixelBayesError, match="no class '12'"):
        tiny_model.sample("12")


@pytest.mark.parametrize("labels", [[1.7, 0.0], [True, False]])
def test_labels_of_images_are_whole_numbers(labels: list[Any]) -> None:
    with pytest.raises(TypeError, match="labels are"):
        LabelledImages(np.zeros((2, 3, 8, 8), np.uint8), np.array(labels), ("a", "b"))


def test_a_label_beyond_the_largest_integer_does_not_come_out_negative() -> None:
    labels = np.array([2**63, 0], dtype=np.uint64)
    with pytest.raises(DatasetError, match="labels are class numbers, got 9223372036854775808"):
        LabelledImages(np.zeros((2, 3, 8, 8), np.uint8), labels, ("a", "b"))


@pytest.mark.parametrize("form", ["file", "pillow", "array"])
def test_a_photograph_in_the_place_of_a_mask_is_refused_in_every_form(
    tiny_model: PixelBayes, tmp_path: Path, form: str
) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Image.fromarray(grey).save(tmp_path / "photo.png")
    mask: Any = {"file": tmp_path / "photo.png", "pillow": Image.fromarray(grey), "array": grey}
    with pytest.raises(DatasetError, match="neither black nor white, so this is no mask"):
        tiny_model.complete(np.zeros((8, 8, 3), np.uint8), "koala", mask=mask[form])


@pytest.mark.parametrize("seed", [2**63, 10**30])
def test_a_seed_that_no_generator_takes_is_refused(tiny_model: PixelBayes, seed: int) -> None:
    with pytest.raises(PixelBayesError, match="at most 9223372036854775807, got"):
        tiny_model.sample(0, generator=seed)
    with pytest.raises(PixelBayesError, match="at most 9223372036854775807, got"):
        RunConfig(seed=seed)
    tiny_model.sample(0, generator=2**63 - 1)


def test_a_wrong_seed_is_told_before_anything_is_measured(tiny_model: PixelBayes) -> None:
    nothing: Any = None  # would fail where it is looked at
    with pytest.raises(PixelBayesError, match="--seed is a whole number, 0 or more, got -1"):
        evaluate(tiny_model, nothing, seed=-1)
