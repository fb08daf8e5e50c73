"""The cached sampler is the naive one, faster."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.core import FUSIONS, PixelCNN, PixelCNNConfig
from pixelbayes.inference import cached
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
    fast = sample_cached(network, labels, generator=torch.Generator().manual_seed(5))
    assert fast.equal(naive)


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
    fast = sample_cached(network, labels, generator=torch.Generator().manual_seed(5))
    assert fast.equal(naive)


@pytest.mark.parametrize("rows", [0, 3, 4, 8])
def test_cached_completion_draws_the_same_levels_as_the_naive_one(
    tiny_network, random_levels, rows
):
    network, labels = tiny_network(), torch.tensor([1, 2])
    levels = random_levels(2, network.config)
    arguments = (network, labels, levels, first_rows(network, rows))
    naive = complete_naive(*arguments, generator=torch.Generator().manual_seed(5))
    fast = complete_cached(*arguments, generator=torch.Generator().manual_seed(5))
    assert fast.equal(naive)
    assert fast[:, :, :rows].equal(levels[:, :, :rows])


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
    fast = complete_cached(*arguments, generator=torch.Generator().manual_seed(5))
    assert fast.equal(naive)
    assert fast[:, :, known].equal(levels[:, :, known])


def test_an_image_does_not_depend_on_the_batch_it_is_drawn_in(tiny_network):
    network, labels = tiny_network(), torch.tensor([1, 2, 0, 1])
    together = sample_cached(network, labels, generator=torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    apart = [sample_cached(network, part, generator=generator) for part in labels.split([1, 3])]
    assert together.equal(torch.cat(apart))


@pytest.fixture
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("threads", "most", "counts"),
    [(1, 257, (1, 2, 3, 5, 16, 31, 32, 33, 64, 96)), (2, 33, (1, 3, 16))],
    indirect=["threads"],
)
def test_in_float32_an_image_depends_on_its_seed_and_place_alone(
    threads, most, counts, monkeypatch
):
    """Compares the last features of each image bit by bit: levels hide most differences."""
    torch.manual_seed(0)
    config = PixelCNNConfig(
        classes=3, image_size=(8, 8), features=40, blocks_per_stage=1, mixtures=3
    )
    network, labels = PixelCNN(config).eval(), torch.arange(most) % 3

    def drawn(count):
        caches = []

        class Recorded(RowCache):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                caches.append(self)

        monkeypatch.setattr(cached, "RowCache", Recorded)
        levels = sample_cached(network, labels[:count], generator=torch.Generator().manual_seed(5))
        return levels, torch.cat([cache._last.data for cache in caches])[:count]

    levels, features = drawn(most)
    for count in counts:
        some_levels, some_features = drawn(count)
        assert some_levels.equal(levels[:count]), (threads, count)
        assert some_features.equal(features[:count]), (threads, count)


def test_no_image_is_an_empty_batch(tiny_network):
    network, nothing = tiny_network(), torch.zeros(0, dtype=torch.int64)
    drawn = sample_cached(network, nothing, generator=torch.Generator().manual_seed(5))
    assert drawn.shape == (0, 3, 8, 8)


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
    fast = sample_cached(network, labels.cuda(), generator=torch.Generator().manual_seed(5))
    assert fast.equal(naive)
