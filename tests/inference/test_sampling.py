"""The specification of sampling."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.inference.sampling import complete_naive, first_rows, raster_order, sample_naive


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
