"""The cached sampler is the naive one, faster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, current_thread

import pytest
import torch

from pixelbayes.core import FUSIONS, PixelCNN, PixelCNNConfig
from pixelbayes.inference import cached
from pixelbayes.inference.cached import RowCache, complete_cached, sample_cached, tiles
from pixelbayes.inference.cached.tiles import Tile
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


@pytest.mark.parametrize("image_size", [(8, 8), (9, 9)])
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


@pytest.mark.parametrize("image_size", [(8, 8), (9, 10)])
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


COUNTS = (1, 2, 3, 5, 16, 31, 33, 64, 96, 128, 129, 200)


@pytest.fixture
def wide_network():
    """Products of its size are added in another order where they have few rows."""
    torch.manual_seed(0)
    config = PixelCNNConfig(
        classes=3, image_size=(8, 8), features=40, blocks_per_stage=1, mixtures=3
    )
    return PixelCNN(config).eval()


@pytest.fixture
def drawn(wide_network, monkeypatch):
    """Draws images; returns levels and the features of the last row, which hide no difference."""
    drawn_levels, kept = cached._drawn, []

    def recorded(parts, levels):
        kept[:] = [part.cache.features for part in parts]
        return drawn_levels(parts, levels)

    monkeypatch.setattr(cached, "_drawn", recorded)

    def draw(count):
        labels, generator = torch.arange(count) % 3, torch.Generator().manual_seed(5)
        levels = sample_cached(wide_network, labels, generator=generator)
        return levels, torch.cat(kept)[:count]

    return draw


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_in_float32_an_image_depends_on_its_seed_and_place_alone(drawn, threads):
    threads(1)
    levels, features = drawn(257)
    for number in (1, 2):
        threads(number)
        for count in COUNTS:
            some_levels, some_features = drawn(count)
            assert some_levels.equal(levels[:count]), (number, count)
            assert some_features.equal(features[:count]), (number, count)
        assert torch.get_num_threads() == number


def test_where_widths_differ_in_bits_all_images_are_drawn_in_one(drawn, monkeypatch):
    levels, features = drawn(33)
    monkeypatch.setattr(tiles, "_has_the_bits_of_a_tile", lambda *_: False)
    same_levels, same_features = drawn(33)
    assert same_levels.equal(levels)
    assert same_features.equal(features)


def test_a_width_that_changes_a_bit_is_found(wide_network, monkeypatch):
    first = tiles._first_features

    def changed(model, width):
        features = first(model, width)
        features[-1, -1, -1, -1] += 1e-7 * (width == 4)
        return features

    monkeypatch.setattr(tiles, "_shown", {})
    monkeypatch.setattr(tiles, "_first_features", changed)
    assert not tiles._has_the_bits_of_a_tile(wide_network, 4)


@pytest.mark.parametrize("number", [1, 2, 8])
@pytest.mark.parametrize("images", [*COUNTS, 257, 1000])
def test_tiles_hold_every_image_and_are_shared_out_evenly(images, number):
    at_once, width = tiles.share_out(images, number)
    assert 1 <= at_once <= number
    assert width in tiles.WIDTHS
    needed = -(-images // width)
    assert needed <= at_once * -(-images // (at_once * tiles.WIDTHS[-1]))


def test_every_worker_computes_on_one_thread_and_the_caller_keeps_its_own(threads):
    threads(2)
    with tiles.one_thread_each(2) as each:
        assert torch.get_num_threads() == 2
        assert each(lambda _: torch.get_num_threads(), [0, 1, 2]) == [1, 1, 1]
        assert each(lambda _: torch.is_inference_mode_enabled(), [0]) == [True]
    assert torch.get_num_threads() == 2


def number_of_a_new_thread():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_new_threads_of_others_compute_on_as_many_threads_as_before(threads):
    with ThreadPoolExecutor(1) as caller:
        threads(1)
        assert caller.submit(torch.get_num_threads).result() == 1  # and it keeps its number
        threads(2)
        tiles._idle.clear()  # so that threads are made

        def draw():
            with tiles.one_thread_each(3) as each:
                return each(lambda _: torch.get_num_threads(), [0, 1, 2]), number_of_a_new_thread()

        assert caller.submit(draw).result() == ([1, 1, 1], 2)
        assert caller.submit(torch.get_num_threads).result() == 1
    assert number_of_a_new_thread() == torch.get_num_threads() == 2


def test_threads_are_used_again_and_those_in_use_are_not_shared():
    def names(count):
        with tiles.one_thread_each(count) as each:
            started = Barrier(count)
            return {*each(lambda _: (started.wait(), current_thread().name)[1], range(count))}

    first = names(2)
    assert len(first) == 2
    assert names(2) == first
    with tiles.one_thread_each(2), tiles.one_thread_each(1) as each:
        assert each(lambda _: current_thread().name, [0])[0] not in first


def test_after_a_failure_no_further_tile_is_begun():
    begun = []

    def work(item):
        begun.append(item)
        if item == 1:
            raise KeyError(item)

    with pytest.raises(KeyError), tiles.one_thread_each(1) as each:
        each(work, range(5))
    assert begun == [0, 1]
    with tiles.one_thread_each(1) as each:
        assert each(lambda item: 2 * item, [1, 2]) == [2, 4]


def test_what_fails_in_a_tile_reaches_the_caller(drawn, monkeypatch):
    def broken(*_, **__):
        raise MemoryError("no room")

    monkeypatch.setattr(Tile, "advance", broken)
    with pytest.raises(MemoryError, match="no room"):
        drawn(3)


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
