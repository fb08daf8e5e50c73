"""The tab Complete: what is painted away is drawn anew, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelbayes.app.complete import (
    PARTS,
    canvas,
    complete,
    completion_html,
    enlarged,
    hidden_part,
    opacity,
    painted_part,
    progress_html,
)
from pixelbayes.errors import PixelBayesError


@pytest.fixture
def levels():
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (3, 8, 8), generator=generator).to(torch.uint8)


def test_known_pixels_stay_and_the_same_seed_draws_the_same(tiny_model, levels):
    unknown = hidden_part("the middle", (8, 8))
    first, again = (complete(tiny_model, 1, levels, unknown, seed=4) for _ in range(2))
    assert len(first.levels) == 4
    assert torch.equal(first.levels, again.levels)
    assert all(torch.equal(image[:, ~unknown], levels[:, ~unknown]) for image in first.levels)


def test_the_most_likely_comes_first_with_its_log_likelihood(tiny_model, levels):
    done = complete(tiny_model, 1, levels, hidden_part("the middle", (8, 8)), seed=4)
    assert list(done.log_prob) == sorted(done.log_prob, reverse=True)
    expected = tiny_model.log_likelihood(done.levels, ["pizza"] * 4)
    assert list(done.log_prob) == pytest.approx(expected.tolist())


def test_those_are_kept_that_suit_the_known_pixels_below_best(tiny_model, levels):
    """Against all candidates, drawn by the model's own verb."""
    unknown = hidden_part("the middle", (8, 8))
    done = complete(tiny_model, 1, levels, unknown, seed=4)
    labels, given = torch.full((16,), 1), levels.expand(16, -1, -1, -1)
    candidates = tiny_model.draw_given(labels, given, ~unknown, torch.Generator().manual_seed(4))
    by_pixel = tiny_model.network(candidates, labels).log_prob_map(candidates)
    after = (unknown.flatten().cumsum(0) > 0).view(8, 8) & ~unknown
    weights = by_pixel[:, after].sum(dim=1)
    best = candidates[weights.argsort(descending=True)[:4]]
    assert {image.numpy().tobytes() for image in best} == {
        image.numpy().tobytes() for image in done.levels
    }


def test_a_row_is_shown_as_soon_as_it_is_drawn(tiny_model, levels):
    unknown, seen = hidden_part("the lower half", (8, 8)), []
    complete(tiny_model, 0, levels, unknown, seed=1, on_row=lambda *step: seen.append(step))
    assert [row for row, _ in seen] == [4, 5, 6, 7]
    assert "Row 2 of 4" in progress_html(*seen[1], unknown)


def test_each_part_leaves_something_known_and_something_not():
    for part in PARTS:
        unknown = hidden_part(part, (8, 6))
        assert 0 < int(unknown.sum()) < unknown.numel()


def test_the_brush_counts_where_a_quarter_of_a_pixel_is_covered():
    painting = np.zeros((80, 80), dtype=np.uint8)
    painting[10:20, 20:30] = 255  # the whole of row 1, column 2
    painting[40:42, 50:60] = 255  # a fifth of row 4, column 5
    unknown = painted_part(painting, (8, 8))
    assert unknown.nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize("size", [(8, 16), (16, 8), (8, 8)])
def test_what_is_painted_is_what_lies_below_it_whatever_the_shape_of_the_image(size):
    levels = torch.zeros(3, *size, dtype=torch.uint8)
    levels[0, : size[0] // 2, : size[1] // 2] = 255
    shown = canvas(levels)
    assert shown.shape[0] == shown.shape[1]
    painting = np.where(shown[..., 0] == 255, 255, 0).astype(np.uint8)
    assert painted_part(painting, size).equal(levels[0] == 255)


def test_all_layers_of_a_painting_count():
    layers = [np.zeros((4, 4, 4), dtype=np.uint8) for _ in range(2)]
    layers[0][0, 0, 3], layers[1][1, 1, 3] = 255, 255
    assert opacity({"layers": layers}, (4, 4)).nonzero()[0].tolist() == [0, 1]
    assert not opacity(None, (4, 4)).any()
    assert not opacity({"layers": None}, (4, 4)).any()


def test_nothing_painted_gets_a_sentence(tiny_model, levels):
    with pytest.raises(PixelBayesError, match="nothing is painted away yet"):
        complete(tiny_model, 0, levels, torch.zeros(8, 8, dtype=torch.bool), seed=1)


def test_a_painting_shows_each_pixel_as_a_square(levels):
    painting = enlarged(levels)
    assert painting.shape == (384, 384, 3)
    assert np.array_equal(painting[::48, ::48], levels.permute(1, 2, 0).numpy())


def test_the_image_before_is_shown_for_comparison(tiny_model, levels):
    done = complete(tiny_model, 1, levels, hidden_part("the right half", (8, 8)), seed=4)
    html = completion_html(tiny_model, done, levels)
    assert html.count("<img") == 5
    assert "32 of 64 pixels were drawn anew as pizza" in html
