"""Which images a processor draws together, and on how many threads.

The order in which a matrix product adds depends on its number of rows and on the threads that
share it, and whether the last elements go through vector instructions on the size of the whole.
So the same image in batches of two sizes differs in last bits, sooner or later in a level, and
then in all that follows.  On a CPU every tile is therefore computed on one thread, and in a
width for which a comparison has shown the bits of `TILE` images together.  An image then depends
on its noise, its label and its place alone, whatever the number of images and of threads.

Images: B in all; a tile holds `width` of them, the last one is filled up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

import torch
from torch import Tensor

from pixelbayes.core.config import STAGES, PixelCNNConfig
from pixelbayes.core.likelihood import standard_noise
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import require_finite
from pixelbayes.inference.cached.cache import RowCache
from pixelbayes.inference.cached.layers import Kernels, kernels_of
from pixelbayes.switches import thread_alone

__all__ = [
    "TILE",
    "TILE_ELSEWHERE",
    "Tile",
    "one_thread_each",
    "share_out",
    "tile_size",
    "tiling",
    "whole_tiles",
]

Each = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""Applies a function to each item; the results in the order of the items."""

TILE = 16
"""Images whose common arithmetic on a CPU is the measure of all widths."""
TILE_ELSEWHERE = 256
"""Images that other devices always compute together."""
WIDTHS = (4, 8, *range(16, 129, 16))
"""What a tile on a CPU may hold.  A single image is bound by the dispatch of small operations, as
are four; 64 and more by arithmetic."""
WORTH_A_THREAD = 64
"""Images a tile holds before a second thread pays: with fewer, threads wait for Python's lock."""

_shown: dict[tuple[PixelCNNConfig, torch.dtype, int], bool] = {}
_idle: list[ThreadPoolExecutor] = []
if hasattr(os, "register_at_fork"):  # a process that was forked has none of the threads
    os.register_at_fork(after_in_child=_idle.clear)


def tile_size(device: torch.device) -> int:
    """How many images a device computes together as well as fewer: batches are multiples of it."""
    return TILE if device.type == "cpu" else TILE_ELSEWHERE


def whole_tiles(images: int, device: torch.device) -> int:
    """So many images or a few more, of which none depends on how many fit the memory."""
    tile = tile_size(device)
    return -(-images // tile) * tile


class Tile:
    """Images that are drawn together, from first to last row.

    Args:
        model: A network in evaluation mode.
        labels: int64, (width,).
        levels: uint8, (width, C, H, W); read where pixels are known.
        uniform: From `draw_noise`, (width, H, W, K + C).
        kernels: From `kernels_of`.
        temperature: Times the standard noise; 1 draws from the model.
    """

    def __init__(
        self,
        model: PixelCNN,
        labels: Tensor,
        levels: Tensor,
        uniform: Tensor,
        kernels: Kernels,
        temperature: float = 1.0,
    ) -> None:
        self.cache = RowCache(model, labels, kernels)
        self.given_levels, self.uniform = levels, uniform
        self.components, self.temperature = model.config.mixtures, temperature

    def advance(self, row: int, given: Sequence[bool]) -> None:
        """Draws the pixels of the next row that are not given.

        Raises:
            NotFiniteError: If the network computes no numbers, of which levels would come too.
        """
        cache, known = self.cache, self.given_levels[:, :, row]
        cache.begin_row(row)
        if all(given):
            cache.give_row(row, known)
            return
        self._draw(row, given, known)
        require_finite(cache.features)

    def _draw(self, row: int, given: Sequence[bool], known: Tensor) -> None:
        cache = self.cache
        noise = standard_noise(self.uniform[:, row], self.components) * self.temperature
        by_column = noise.to(cache.dtype).transpose(0, 1).contiguous()
        if not any(given):
            cache.draw_row(row, by_column)
            return
        for col, column_noise in enumerate(by_column.unbind(0)):
            if given[col]:
                cache.give(row, col, known[:, :, col])
            else:
                cache.draw(row, col, column_noise)


@contextmanager
def tiling(model: PixelCNN, images: int) -> Iterator[tuple[int, Each]]:
    """Gives the width of the tiles in which so many images are drawn, and a `map` over them.

    Args:
        model: A network in evaluation mode.
        images: How many are drawn, at least 0.
    """
    if model.output.bias.device.type != "cpu":
        yield TILE_ELSEWHERE, lambda work, items: [work(item) for item in items]
        return
    at_once, width = share_out(images, torch.get_num_threads())
    with one_thread_each(at_once) as each:
        (shown,) = each(lambda wanted: _has_the_bits_of_a_tile(model, wanted), [width])
        yield (width if shown else TILE), each


def share_out(images: int, threads: int) -> tuple[int, int]:
    """How many tiles are drawn at once, and their width.

    >>> share_out(1, threads=2), share_out(25, threads=2), share_out(256, threads=2)
    ((1, 4), (1, 32), (2, 128))
    """
    at_once = max(1, min(threads, images // WORTH_A_THREAD))
    rounds = max(1, -(-images // (at_once * WIDTHS[-1])))
    share = -(-images // (at_once * rounds))
    return at_once, next(width for width in WIDTHS if width >= share)


@torch.inference_mode()
def _has_the_bits_of_a_tile(model: PixelCNN, width: int) -> bool:
    """Whether images in tiles of this width are, bit by bit, those in tiles of `TILE`.

    Compared once for each configuration, on the first rows of random images: they hold every
    operation of all other rows.
    """
    key = (model.config, model.output.bias.dtype, width)
    if width != TILE and key not in _shown:
        expected = _first_features(model, TILE)[torch.arange(width) % TILE]
        _shown[key] = _first_features(model, width).equal(expected)
    return width == TILE or _shown[key]


def _first_features(model: PixelCNN, width: int) -> Tensor:
    """Last features of rows that have work at all resolutions, every 16th image alike."""
    config, generator = model.config, torch.Generator().manual_seed(0)
    alike = torch.arange(width) % TILE
    pixel = config.mixtures + config.channels
    uniform = torch.rand(
        (TILE, *config.image_size, pixel), generator=generator, dtype=torch.float64
    )[alike]
    blank = torch.zeros(width, config.channels, *config.image_size, dtype=torch.uint8)
    tile = Tile(model, alike % config.classes, blank, uniform, kernels_of(model))
    rows = []
    for row in range(1 + (1 << (STAGES - 1))):
        tile.advance(row, [False] * config.image_size[1])
        rows.append(tile.cache.features.clone())
    return torch.stack(rows, dim=1)


@contextmanager
def one_thread_each(count: int) -> Iterator[Each]:
    """Gives a `map` over threads, on each of which PyTorch computes without further ones.

    The threads are kept for the next call: to make one changes, for a moment, how many threads
    other new threads compute on.

    Args:
        count: How many.
    """
    workers = [_idle_worker() for _ in range(count)]

    def each(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        waiting: SimpleQueue[int] = SimpleQueue()
        for number in range(len(items)):
            waiting.put(number)
        results: dict[int, Any] = {}

        @torch.inference_mode()
        def serve() -> None:
            with suppress(Empty):
                while True:
                    number = waiting.get_nowait()
                    results[number] = work(items[number])

        served = [worker.submit(serve) for worker in workers]
        try:
            for one in as_completed(served):
                one.result()
        finally:  # where one failed, or the caller was interrupted: the others begin nothing more
            with suppress(Empty):
                while True:
                    waiting.get_nowait()
            wait(served)
        return [results[number] for number in range(len(items))]

    try:
        yield each
    finally:
        _idle.extend(workers)


def _idle_worker() -> ThreadPoolExecutor:
    try:
        return _idle.pop()
    except IndexError:
        return thread_alone()
