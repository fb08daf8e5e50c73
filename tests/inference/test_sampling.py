"""The specification of sampling."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.inference.sampling import (
    complete_naive,
    draw_noise,
    first_rows,
    raster_order,
    sample_naive,
)


def test_raster_order_goes_row_by_row_from_left_to_right():
    assert list(raster_order(2, 2)) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_the_same_generator_state_draws_the_same_images(tiny_network):
    network, labels = tiny_network(), torch.tensor([0, 1])
    first, second = (
        sample_naive(network, labels, generator=torch.Generator().manual_seed(3)) for _ in "ab"
    )
    other = sample_naive(network, labels, generator=torch.Generator().manual_seed(4))
    assert first.equal(second)
    assert not first.equal(other)


def test_completion_keeps_the_given_rows_and_ignores_what_stands_below(tiny_network, random_levels):
    network, labels = tiny_network(), torch.tensor([0, 1])
    levels = random_levels(2, network.config)
    other = levels.clone()
    other[:, :, 3:] = 255 - other[:, :, 3:]
    first, second = (
        complete_naive(
            network,
            labels,
            given,
            first_rows(network, 3),
            generator=torch.Generator().manual_seed(3),
        )
        for given in (levels, other)
    )
    assert first[:, :, :3].equal(levels[:, :, :3])
    assert first.equal(second)


def test_completing_a_whole_image_returns_it(tiny_network, random_levels):
    network = tiny_network()
    levels = random_levels(1, network.config)
    completed = complete_naive(
        network,
        torch.tensor([0]),
        levels,
        first_rows(network, 8),
        generator=torch.Generator().manual_seed(0),
    )
    assert completed.equal(levels)


def test_each_row_is_reported_once_when_it_is_finished(tiny_network):
    rows = []
    sample_naive(
        tiny_network(),
        torch.tensor([0]),
        generator=torch.Generator().manual_seed(0),
        on_row=lambda row, levels: rows.append((row, tuple(levels.shape))),
    )
    assert rows == [(row, (1, 3, 8, 8)) for row in range(8)]


def test_sampling_in_training_mode_is_refused(tiny_network):
    with pytest.raises(RuntimeError, match=r"model\.eval"):
        sample_naive(
            tiny_network().train(), torch.tensor([0]), generator=torch.Generator().manual_seed(0)
        )


@pytest.mark.parametrize("rows", [-1, 9])
def test_a_number_of_rows_outside_the_image_is_refused(tiny_network, rows):
    with pytest.raises(ValueError, match=r"rows is in 0\.\.8"):
        first_rows(tiny_network(), rows)


@pytest.mark.parametrize(
    ("known", "error", "message"),
    [
        (torch.ones(8, 9, dtype=torch.bool), ValueError, r"\(8, 8\).*got \(8, 9\)"),
        (torch.ones(8, 8, dtype=torch.uint8), TypeError, r"bool, got torch\.uint8"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(tiny_network, random_levels, known, error, message):
    network = tiny_network()
    with pytest.raises(error, match=message):
        complete_naive(
            network,
            torch.tensor([0]),
            random_levels(1, network.config),
            known,
            generator=torch.Generator().manual_seed(0),
        )


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_noise_of_an_image_does_not_depend_on_how_many_follow(tiny_network):
    network = tiny_network()
    many, few = (draw_noise(network, images, seeded()) for images in (5, 2))
    assert many.shape == (5, 8, 8, 2 + 3)
    assert many[:2].equal(few)
    assert 0.0 <= float(many.min()) < float(many.max()) < 1.0


def test_drawing_from_nothing_is_completing_an_image_of_which_nothing_is_known(
    tiny_network, random_levels
):
    network, labels = tiny_network(), torch.tensor([0, 2])
    drawn = sample_naive(network, labels, generator=seeded())
    given = random_levels(2, network.config)
    completed = complete_naive(network, labels, given, first_rows(network, 0), generator=seeded())
    assert completed.equal(drawn)


@pytest.mark.parametrize("rows", [1, 5])
def test_an_image_is_completed_from_its_own_first_rows_to_itself(tiny_network, rows):
    """Pixels have noise of their own, which those that are given leave unused."""
    network, labels = tiny_network(), torch.tensor([1, 2])
    drawn = sample_naive(network, labels, generator=seeded())
    completed = complete_naive(
        network, labels, drawn, first_rows(network, rows), generator=seeded()
    )
    assert completed.equal(drawn)


def test_pixels_scattered_over_an_image_stay_and_decide_those_after_them(
    tiny_network, random_levels
):
    network, labels = tiny_network(), torch.tensor([1])
    known = torch.zeros(8, 8, dtype=torch.bool)
    known[2, 3] = known[6, 0] = True
    first = random_levels(1, network.config)
    second = first.clone()
    second[:, :, 2, 3] = 255 - second[:, :, 2, 3]
    one, other = (
        complete_naive(network, labels, given, known, generator=seeded())
        for given in (first, second)
    )
    assert one[:, :, known].equal(first[:, :, known])
    before = torch.arange(64).view(8, 8) < 2 * 8 + 3
    assert one[:, :, before].equal(other[:, :, before])
    assert not one[:, :, ~before & ~known].equal(other[:, :, ~before & ~known])


def test_at_a_temperature_near_zero_noise_decides_nothing(tiny_network):
    network, labels = tiny_network(), torch.tensor([0, 1])
    coldest = [
        sample_naive(network, labels, generator=seeded(seed), temperature=1e-12) for seed in (3, 4)
    ]
    assert coldest[0].equal(coldest[1])
    with torch.inference_mode():
        described = network(coldest[0], labels).at(0, 0)
    likeliest = described.logits[:, :, 0, 0].argmax(dim=1)
    red = described.means[torch.arange(2), likeliest, 0, 0, 0]
    expected = ((red + 1.0) * 127.5).round().clamp(0, 255)
    assert coldest[0][:, 0, 0, 0].double().equal(expected)


def test_each_image_is_drawn_from_its_own_label(tiny_network):
    network = tiny_network()
    pair = sample_naive(network, torch.tensor([0, 2]), generator=seeded())
    other = sample_naive(network, torch.tensor([0, 1]), generator=seeded())
    assert pair[0].equal(other[0])
    assert not pair[1].equal(other[1])
