"""The cached sampler is the naive one, faster."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.core import FUSIONS
from pixelbayes.inference.cached import RowCache, complete_cached, sample_cached
from pixelbayes.inference.sampling import complete_naive, first_rows, sample_naive


@pytest.mark.parametrize("given", [False, True], ids=["pixel by pixel", "row by row"])
@pytest.mark.parametrize("image_size", [(8, 8), (9, 11), (10, 13)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_cache_describes_every_pixel_as_the_network_does(
    tiny_network, random_levels, fusion, channels, image_size, given
):
    network = tiny_network(fusion=fusion, channels=channels, image_size=image_size)
    levels, labels = random_levels(3, network.config), torch.tensor([0, 2, 1])
    with torch.inference_mode():
        expected = network(levels, labels)
        cache = RowCache(network, labels)
        for row in range(cache.height):
            cache.begin_row(row)
            if given:
                described = [cache.give_row(row, levels[:, :, row])]
            else:
                described = []
                for col in range(cache.width):
                    described.append(cache.describe(row, col))
                    cache.put(row, col, levels[:, :, row : row + 1, col : col + 1])
            for name, exact in vars(expected).items():
                seen = torch.cat([getattr(part, name) for part in described], dim=-1)[..., 0, :]
                torch.testing.assert_close(seen, exact[..., row, :], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("image_size", [(8, 8), (9, 11)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_cached_sampler_draws_the_same_levels_as_the_naive_one(
    tiny_network, fusion, channels, image_size
):
    network = tiny_network(fusion=fusion, channels=channels, image_size=image_size)
    labels = torch.tensor([1, 0])
    naive = sample_naive(network, labels, generator=torch.Generator().manual_seed(5))
    cached = sample_cached(network, labels, generator=torch.Generator().manual_seed(5))
    assert cached.equal(naive)


def describe_with_cache(network, levels, labels, row: int, cache, given: bool):
    if given:
        return [cache.give_row(row, levels[:, :, row])]
    described = []
    for col in range(cache.width):
        described.append(cache.describe(row, col))
        cache.put(row, col, levels[:, :, row : row + 1, col : col + 1])
    return described


@pytest.mark.parametrize("given", [False, True], ids=["pixel by pixel", "row by row"])
@pytest.mark.parametrize("image_size", [(8, 8), (9, 11), (13, 10)])
def test_the_cache_knows_every_option_of_the_network(
    tiny_network, random_levels, option, image_size, given
):
    network = tiny_network(image_size=image_size, **option)
    levels, labels = random_levels(3, network.config), torch.tensor([0, 2, 1])
    with torch.inference_mode():
        expected = network(levels, labels)
        cache = RowCache(network, labels)
        for row in range(cache.height):
            cache.begin_row(row)
            described = describe_with_cache(network, levels, labels, row, cache, given)
            for name, exact in vars(expected).items():
                seen = torch.cat([getattr(part, name) for part in described], dim=-1)[..., 0, :]
                torch.testing.assert_close(seen, exact[..., row, :], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("image_size", [(8, 8), (13, 10)])
def test_cached_draws_equal_naive_ones_under_every_option(tiny_network, option, image_size):
    network, labels = tiny_network(image_size=image_size, **option), torch.tensor([1, 0])
    naive = sample_naive(network, labels, generator=torch.Generator().manual_seed(5))
    cached = sample_cached(network, labels, generator=torch.Generator().manual_seed(5))
    assert cached.equal(naive)


def test_cached_completion_equals_the_naive_one_under_every_option(
    tiny_network, random_levels, option
):
    network, labels = tiny_network(image_size=(9, 11), **option), torch.tensor([1, 2])
    levels = random_levels(2, network.config)
    known = torch.rand((9, 11), generator=torch.Generator().manual_seed(7)) < 0.6
    known[2], known[3], known[4] = True, False, True
    arguments = (network, labels, levels, known)
    naive = complete_naive(*arguments, generator=torch.Generator().manual_seed(5))
    cached = complete_cached(*arguments, generator=torch.Generator().manual_seed(5))
    assert cached.equal(naive)


@pytest.mark.parametrize("blocks", [2, 3])
def test_deeper_stages_are_cached_too(tiny_network, blocks):
    network = tiny_network(blocks_per_stage=blocks)
    labels = torch.tensor([2])
    naive = sample_naive(network, labels, generator=torch.Generator().manual_seed(5))
    cached = sample_cached(network, labels, generator=torch.Generator().manual_seed(5))
    assert cached.equal(naive)


@pytest.mark.parametrize("rows", [0, 3, 4, 8])
def test_cached_completion_draws_the_same_levels_as_the_naive_one(
    tiny_network, random_levels, rows
):
    network, labels = tiny_network(), torch.tensor([1, 2])
    levels = random_levels(2, network.config)
    arguments = (network, labels, levels, first_rows(network, rows))
    naive = complete_naive(*arguments, generator=torch.Generator().manual_seed(5))
    cached = complete_cached(*arguments, generator=torch.Generator().manual_seed(5))
    assert cached.equal(naive)
    assert cached[:, :, :rows].equal(levels[:, :, :rows])


@pytest.mark.parametrize("image_size", [(8, 8), (9, 11)])
@pytest.mark.parametrize("fusion", ["none", "joint", "film"])
def test_cached_completion_of_scattered_pixels_equals_the_naive_one(
    tiny_network, random_levels, fusion, image_size
):
    network, labels = tiny_network(fusion=fusion, image_size=image_size), torch.tensor([1, 2])
    levels = random_levels(2, network.config)
    known = torch.rand(image_size, generator=torch.Generator().manual_seed(7)) < 0.6
    known[2], known[3] = True, False
    arguments = (network, labels, levels, known)
    naive = complete_naive(*arguments, generator=torch.Generator().manual_seed(5))
    cached = complete_cached(*arguments, generator=torch.Generator().manual_seed(5))
    assert cached.equal(naive)
    assert cached[:, :, known].equal(levels[:, :, known])


def test_an_image_does_not_depend_on_the_batch_it_is_drawn_in(tiny_network):
    network, labels = tiny_network(), torch.tensor([1, 2, 0, 1])
    together = sample_cached(network, labels, generator=torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    apart = [sample_cached(network, part, generator=generator) for part in labels.split([1, 3])]
    assert together.equal(torch.cat(apart))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_rows_replayed_as_cuda_graphs_know_every_option(tiny_network, option):
    network = tiny_network(image_size=(13, 9), **option).cuda()
    labels = torch.tensor([1, 2]).cuda()
    naive = sample_naive(network, labels, generator=torch.Generator().manual_seed(5))
    cached = sample_cached(network, labels, generator=torch.Generator().manual_seed(5))
    assert cached.equal(naive)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fusion", FUSIONS)
def test_rows_replayed_as_cuda_graphs_draw_the_same_levels(tiny_network, fusion):
    network, labels = tiny_network(fusion=fusion, image_size=(13, 9)).cuda(), torch.tensor([1, 2])
    naive = sample_naive(network, labels.cuda(), generator=torch.Generator().manual_seed(5))
    cached = sample_cached(network, labels.cuda(), generator=torch.Generator().manual_seed(5))
    assert cached.equal(naive)
