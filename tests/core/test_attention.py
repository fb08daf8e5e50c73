"""Causal attention is its sum, written as loops; it starts quietly and reads nothing too early."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core.attention import CausalAttention, pixel_before, positions
from pixelbayes.core.blocks import Stream
from pixelbayes.core.conditioning import BlockConditioning

FEATURES, ROWS, COLUMNS = 3, 4, 3


def random_map(channels: int = FEATURES, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, ROWS, COLUMNS, generator=generator, dtype=torch.float64)


def attention(channels: int = 0) -> CausalAttention:
    torch.manual_seed(1)
    made = CausalAttention(FEATURES, (ROWS, COLUMNS), nn.Identity(), channels=channels)
    for name, weight in made.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight)
    return made.double().eval()


@torch.no_grad()
def attended_in_loops(made: CausalAttention, x: Tensor, before: Tensor | None) -> Tensor:
    """a_n = sum over m <= n of softmax_m(q_n . k_m / sqrt(F)) v_m, pixel by pixel."""
    activated = F.elu(torch.cat([x, -x], dim=1))
    place = made.positions.expand(len(x), -1, -1, -1)
    inputs = torch.cat([activated, place, *([] if before is None else [before])], dim=1)
    weight, bias = made.project.weight()[:, :, 0, 0], made.project.bias
    flat = inputs.flatten(2)
    attended = torch.zeros(len(x), FEATURES, ROWS * COLUMNS, dtype=torch.float64)
    for image in range(len(x)):
        projected = [weight @ flat[image, :, n] + bias for n in range(ROWS * COLUMNS)]
        queries, keys, values = zip(*(vector.split(FEATURES) for vector in projected), strict=True)
        for n, query in enumerate(queries):
            scores = [float(query @ key) / math.sqrt(FEATURES) for key in keys[: n + 1]]
            weights = torch.tensor(scores, dtype=torch.float64).softmax(dim=0)
            for m, share in enumerate(weights):
                attended[image, :, n] += share * values[m]
    return attended.unflatten(2, (ROWS, COLUMNS))


@pytest.mark.parametrize("channels", [0, 3])
def test_attention_is_the_weighted_sum_of_what_came_before(channels):
    made, x = attention(channels), random_map()
    before = random_map(channels, seed=2) if channels else None
    attended = attended_in_loops(made, x, before)
    expected = made.merge(Stream.of(x), (Stream.of(attended),), BlockConditioning())
    out = made(Stream.of(x), before=before)
    torch.testing.assert_close(out.features, expected.features)


@pytest.mark.parametrize("place", [0, 4, ROWS * COLUMNS - 1])
def test_a_position_reads_itself_and_all_before_and_no_later_one(place):
    made, x = attention(), random_map(batch=1).requires_grad_()
    made(Stream.of(x)).features.flatten(2)[0, :, place].sum().backward()
    read = x.grad.abs().sum(dim=1).flatten() > 0
    assert read.tolist() == [n <= place for n in range(ROWS * COLUMNS)]


def test_images_do_not_read_each_other():
    made, x = attention(), random_map(batch=2).requires_grad_()
    made(Stream.of(x)).features[0].sum().backward()
    assert x.grad[0].any()
    assert not x.grad[1].any()


def test_the_first_position_has_nothing_but_itself_to_attend_to():
    """Its weight is one, whatever the scores are: scaled queries change nothing there."""
    made, x = attention(), random_map()
    first = made(Stream.of(x)).features[:, :, 0, 0]
    with torch.no_grad():
        made.project.gain[:FEATURES] *= 7.0
        made.project.bias[:FEATURES] *= 7.0
    louder = made(Stream.of(x)).features
    torch.testing.assert_close(louder[:, :, 0, 0], first)
    assert not torch.allclose(louder[:, :, -1, -1], made(Stream.of(2 * x)).features[:, :, -1, -1])


@pytest.mark.parametrize("rows", [[4], [1, 3], [2, 2], [1, 1, 1, 1]])
def test_rows_in_turn_attend_as_the_whole_image_does(rows):
    made, x = attention(), random_map()
    whole, carry, first = made(Stream.of(x)).features, {}, 0
    for count in rows:
        part = made(Stream.of(x[:, :, first : first + count]), carry).features
        torch.testing.assert_close(part, whole[:, :, first : first + count])
        first += count
        assert carry[made].shape == (2, 2 * FEATURES, first, COLUMNS)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 3), (8, 8)])
def test_positions_are_even_steps_from_minus_a_half(rows, columns):
    where = positions(rows, columns)
    assert where.shape == (1, 2, rows, columns)
    assert where[0, 0, :, 0].tolist() == pytest.approx([n / rows - 0.5 for n in range(rows)])
    assert where[0, 1, 0].tolist() == pytest.approx([n / columns - 0.5 for n in range(columns)])
    assert where.min() == -0.5
    assert where.max() < 0.5


def test_positions_are_no_weights_of_a_checkpoint():
    assert "positions" not in attention().state_dict()


def test_the_pixel_before_is_the_one_drawn_last():
    x = torch.arange(1.0, 13.0).view(1, 1, 3, 4)
    assert pixel_before(x).flatten().tolist() == [0.0, *range(1, 12)]
    assert pixel_before(x)[0, 0, 1, 0] == x[0, 0, 0, -1]  # at a row's start, the row above's last
