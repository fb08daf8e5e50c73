"""The tab Create: images that a seed decides."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from pixelbayes.app.create import EACH, draw, drawing_html, labels_of, rows_html
from pixelbayes.app.limits import Limits
from pixelbayes.errors import PixelBayesError

PNG = re.compile(r'href="data:image/png;base64,([^"]+)" download="([^"]+)"')


def test_the_same_seed_draws_the_same_images_and_another_others(tiny_model):
    first, again, other = (
        draw(tiny_model, (0, 1), temperature=1.0, seed=seed).levels for seed in (7, 7, 8)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_image_does_not_depend_on_how_many_are_drawn(tiny_model):
    one = draw(tiny_model, (1,), temperature=1.0, seed=7).levels
    three = draw(tiny_model, (1, 1, 1), temperature=1.0, seed=7).levels
    assert torch.equal(one[0], three[0])


def test_every_row_is_shown_once_as_it_is_drawn(tiny_model):
    rows = []
    drawn = draw(
        tiny_model,
        (0,),
        temperature=1.0,
        seed=1,
        on_row=lambda row, levels: rows.append((row, levels)),
    )
    assert [row for row, _ in rows] == list(range(8))
    for row, levels in rows:
        assert torch.equal(levels[..., : row + 1, :], drawn.levels[..., : row + 1, :])
    assert "Row 3 of 8" in rows_html(tiny_model, (0,), *rows[2])


def test_what_is_saved_holds_exactly_the_levels(tiny_model):
    drawn = draw(tiny_model, (0, 2), temperature=0.8, seed=3)
    files = PNG.findall(drawing_html(tiny_model, drawn))
    names = [name for _, name in files]
    assert names == ["koala-seed-3-1.png", "sea-lion-seed-3-2.png", "seed-3-all.png"]
    for (encoded, _), levels in zip(files, drawn.levels, strict=False):
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
            assert np.array_equal(np.asarray(image), levels.permute(1, 2, 0).numpy())


def test_likelihood_and_answer_of_each_are_the_models(tiny_model):
    drawn = draw(tiny_model, (0, 2), temperature=1.0, seed=3)
    expected = tiny_model.predict(drawn.levels)
    assert [tiny_model.classes[index] for index in drawn.predicted] == [
        one.label for one in expected
    ]
    nats = [bits * np.log(2) * tiny_model.dims for bits in drawn.bits]
    own = -tiny_model.log_likelihood(drawn.levels, ["koala", "sea lion"])
    assert nats == pytest.approx(own.tolist())


def test_one_of_each_class_stops_at_the_limit(tiny_model):
    assert labels_of(tiny_model, EACH, 1, Limits()) == (0, 1, 2)
    assert labels_of(tiny_model, EACH, 1, Limits(images=2)) == (0, 1)
    assert labels_of(tiny_model, "pizza", 3, Limits()) == (1, 1, 1)


@pytest.mark.parametrize("count", [0, 17])
def test_too_many_or_no_images_get_a_sentence(tiny_model, count):
    with pytest.raises(PixelBayesError, match=f"1 to 16 images, got {count}"):
        labels_of(tiny_model, "pizza", count, Limits())


@pytest.mark.parametrize("wrong", [{"temperature": 9.0}, {"seed": -1}, {"seed": 2**40}])
def test_numbers_out_of_range_get_a_sentence(tiny_model, wrong):
    with pytest.raises(PixelBayesError, match=r"the (temperature|seed) is"):
        draw(tiny_model, (0,), **({"temperature": 1.0, "seed": 1} | wrong))
