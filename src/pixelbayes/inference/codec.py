r"""Entropy coding: images as bytes, as few as the likelihood says.

A distribution over levels becomes a table of whole numbers that sum to 2^24, and asymmetric
numeral systems [1] (the package constriction) spend log2(2^24 / n) bits on a level with the
number n.  The decoder must come to the very same tables from the pixels that it has decoded so far.
So both ways run the same operations on tensors of the same shapes: pixel after pixel through
`RowCache`, in tiles of a fixed width, each tile on one thread.

The decoder does not know the class.  Each patch is coded under the condition (class and view) that
makes it shortest, and the condition before it: -log2 p(x | y) p(y) bits.  That is -log2 p(y | x)
above the -log2 p(x) of the mixture over classes: next to nothing where the class is clear, and at
most log2 of their number.  Bits-back coding would save even that, but ties all patches of a file
together; the mixture, pixel by pixel, would run the network once for every class.

Shapes: N patches, C channels, H x W pixels, K conditions.

References:
    [1] Duda, Asymmetric numeral systems, 2009.  https://arxiv.org/abs/0902.0271
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.config import STAGES
from pixelbayes.core.likelihood import LEVELS, DiscretizedLogisticMixture, require_levels
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import isolated
from pixelbayes.core.views import in_view
from pixelbayes.errors import PixelBayesError, naming_extras
from pixelbayes.inference.cached import RowCache
from pixelbayes.inference.classification import BayesClassifier
from pixelbayes.inference.sampling import raster_order

__all__ = ["TOTAL", "CodecError", "Extents", "TileCodec", "shortest_conditions", "table_of"]

TOTAL = 1 << 24
"""Sum of a table: constriction's precision."""
WORD = np.dtype("<u4")

Floats = npt.NDArray[np.float64]


class CodecError(PixelBayesError):
    """Something cannot be coded, or bytes are not what a coder wrote."""


@dataclass(frozen=True)
class Extents:
    """How much of each patch is coded; the rest is not there, or follows from it.

    Attributes:
        rows: Rows from the top, int64, (N,), in 1..H.
        columns: Columns from the left, int64, (N,), in 1..W.
        grey: Whether all channels are as the first one, bool, (N,).
    """

    rows: Tensor
    columns: Tensor
    grey: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def coded(self, row: int, col: int, channel: int) -> Tensor:
        """Which patches have this number in their code, bool, (N,)."""
        return self.here(row, col) & (~self.grey | (channel == 0))

    def here(self, row: int, col: int) -> Tensor:
        """Which patches have this pixel, bool, (N,)."""
        return (self.rows > row) & (self.columns > col)


class TileCodec:
    """Codes patches of a network's size in tiles.

    Args:
        model: A network in evaluation mode, on the CPU.
        log_prior: log p(y), (classes,), nats; minus infinity for a class that never occurs.
        width: Patches that are computed together, N at most.  A decoder needs its encoder's.

    Raises:
        CodecError: If the network is elsewhere.
        MissingPackageError: Without constriction.
    """

    @naming_extras()
    def __init__(self, model: PixelCNN, log_prior: Tensor, width: int) -> None:
        from constriction import stream

        if model.output.bias.device.type != "cpu":
            raise CodecError(
                "images are coded on the CPU, because both ways need the same arithmetic; the "
                f"model is on {model.output.bias.device}"
            )
        self.model, self.width = model, width
        self._family = stream.model.Categorical(perfect=False)
        prior = log_prior.double().exp().repeat(model.config.views) / model.config.views
        self._prior = table_of(F.pad(prior.cumsum(0), (1, 0)))

    @isolated
    def encode(self, levels: Tensor, extents: Extents, conditions: Tensor) -> bytes:
        """The code of a tile.

        Args:
            levels: uint8, (N, C, H, W); what is not coded does not matter.
            extents: Of the patches.
            conditions: int64, (N,), from `shortest_conditions`.

        Raises:
            TypeError: If the levels are not uint8.
            ValueError: If a shape does not fit.
        """
        from constriction import stream

        require_levels(levels, self.model.config.channels)
        self._require_fitting(extents)
        seen = in_view(levels, conditions // self.model.config.classes)
        tile = F.pad(_filled(seen, extents), [0] * 7 + [self.width - len(levels)])
        cache, described = self._cache(conditions), []
        for row, col in self._positions(cache, extents):
            pixel = tile[:, :, row : row + 1, col : col + 1]
            described.append((row, col, pixel, cache.describe(row, col)))
            cache.put(row, col, pixel)
        coder = stream.stack.AnsCoder()  # a stack: what is decoded first is encoded last
        for row, col, pixel, description in reversed(described):
            for channel in reversed(range(pixel.shape[1])):
                coded = extents.coded(row, col, channel).numpy()
                if coded.any():
                    tables = _tables(description, pixel, channel)[: len(coded)][coded]
                    symbols = pixel[: len(coded), channel, 0, 0].numpy()[coded]
                    coder.encode_reverse(symbols.astype(np.int32), self._family, tables)
        tables = self._prior[None].repeat(len(levels), axis=0)
        coder.encode_reverse(conditions.numpy().astype(np.int32), self._family, tables)
        code: bytes = coder.get_compressed().astype(WORD).tobytes()
        return code

    @isolated
    def decode(self, code: bytes, extents: Extents) -> Tensor:
        """The patches of a tile, uint8, (N, C, H, W); what is not coded has some level.

        Raises:
            CodecError: If the code is not that of such a tile.  Not every damage is seen here.
        """
        from constriction import stream

        self._require_fitting(extents)
        classes, images = self.model.config.classes, len(extents)
        if len(code) % WORD.itemsize:
            raise CodecError(f"a code has whole words of 4 bytes, got {len(code)} bytes")
        try:
            coder = stream.stack.AnsCoder(np.frombuffer(code, WORD).astype(np.uint32))
        except ValueError as error:
            raise CodecError(f"the code of a tile is damaged: {error}") from error
        tables = self._prior[None].repeat(images, axis=0)
        conditions = torch.from_numpy(coder.decode(self._family, tables)).long()
        cache = self._cache(conditions)
        tile = torch.zeros(
            (self.width, self.model.config.channels, cache.height, cache.width), dtype=torch.uint8
        )
        for row, col in self._positions(cache, extents):
            description = cache.describe(row, col)
            pixel = tile[:, :, row : row + 1, col : col + 1]
            if col > 0:  # as `_filled` has it where there is no pixel
                outside = ~extents.here(row, col) & (extents.rows > row)
                pixel[:images][outside] = tile[:images, :, row : row + 1, col - 1 : col][outside]
            for channel in range(pixel.shape[1]):
                coded = extents.coded(row, col, channel)
                if bool(coded.any()):
                    tables = _tables(description, pixel, channel)[:images][coded.numpy()]
                    symbols = torch.from_numpy(coder.decode(self._family, tables))
                    pixel[:images, channel, 0, 0][coded] = symbols.to(torch.uint8)
                if channel == 0:
                    grey = extents.grey & extents.here(row, col)
                    pixel[:images][grey] = pixel[:images, :1][grey].expand(-1, pixel.shape[1], 1, 1)
            cache.put(row, col, pixel)
        if not coder.is_empty():
            raise CodecError("the code of a tile is damaged: it is longer than its images")
        return in_view(tile[:images], conditions // classes)

    @isolated
    def fingerprint(self) -> str:
        """Digest, hexadecimal, of the tables of seeded patches: of this machine's arithmetic.

        The first rows have work at every resolution: they hold every operation of all others.
        """
        config, generator = self.model.config, torch.Generator().manual_seed(0)
        height, width = config.image_size
        rows = min(height, 1 + (1 << (STAGES - 1)))
        tile = torch.randint(
            LEVELS, (self.width, config.channels, rows, width), generator=generator
        ).to(torch.uint8)
        cache = self._cache(torch.arange(self.width) % (config.classes * config.views))
        digest = hashlib.sha256(self._prior.astype(WORD).tobytes())
        for row, col in raster_order(rows, width):
            if col == 0:
                cache.begin_row(row)
            pixel = tile[:, :, row : row + 1, col : col + 1]
            description = cache.describe(row, col)
            for channel in range(config.channels):
                digest.update(_tables(description, pixel, channel).astype(WORD).tobytes())
            cache.put(row, col, pixel)
        return digest.hexdigest()

    def _require_fitting(self, extents: Extents) -> None:
        height, width = self.model.config.image_size
        if not 0 < len(extents) <= self.width:
            raise CodecError(f"a tile holds 1 to {self.width} patches, got {len(extents)}")
        for sizes, largest in ((extents.rows, height), (extents.columns, width)):
            if not 1 <= int(sizes.min()) <= int(sizes.max()) <= largest:
                raise CodecError(f"patches are of 1 x 1 to {height} x {width} pixels")

    def _cache(self, conditions: Tensor) -> RowCache:
        filled = F.pad(conditions, (0, self.width - len(conditions)))
        classes = self.model.config.classes
        return RowCache(self.model, filled % classes, view=filled // classes)

    def _positions(self, cache: RowCache, extents: Extents) -> Iterator[tuple[int, int]]:
        """The pixels of rows that some patch has; begins each row."""
        for row, col in raster_order(int(extents.rows.max()), cache.width):
            if col == 0:
                cache.begin_row(row)
            yield row, col


def table_of(cdf: Tensor) -> Floats:
    """Numbers of a table, each less one, as constriction takes them: with their sum they are exact.

    Args:
        cdf: From 0 to 1 without a step down, (..., symbols + 1), float64.

    Returns:
        Whole numbers, (..., symbols); with one more for each symbol they sum to `TOTAL`, so no
        symbol has the probability zero.

    >>> table_of(torch.tensor([0.0, 0.75, 1.0], dtype=torch.float64))
    array([12582910.,  4194304.])
    """
    cdf = torch.cat([cdf[..., :-1], torch.ones_like(cdf[..., -1:])], dim=-1)
    free = TOTAL - (cdf.shape[-1] - 1)
    table: Floats = (cdf * free).floor().diff(dim=-1).numpy()
    return table


def _tables(description: DiscretizedLogisticMixture, pixel: Tensor, channel: int) -> Floats:
    """Tables of one channel of one pixel, (N, LEVELS)."""
    return table_of(description.cdf(pixel, channel)[..., 0, 0])


def _filled(levels: Tensor, extents: Extents) -> Tensor:
    """The same where pixels are coded; right of them the last one goes on, below them is zero."""
    height, width = levels.shape[2:]
    columns = torch.minimum(torch.arange(width), extents.columns[:, None] - 1)
    index = columns[:, None, None].expand_as(levels)
    present = torch.arange(height) < extents.rows[:, None]
    return levels.gather(3, index) * present[:, None, :, None].to(torch.uint8)


@isolated
def shortest_conditions(
    model: PixelCNN, levels: Tensor, extents: Extents, log_prior: Tensor
) -> Tensor:
    """The condition under which each patch has the shortest code, view x classes + class.

    A patch that is not coded whole is coded as it is, since a view would move what is coded; it is
    judged with what stands beside it.

    Args:
        model: A network in evaluation mode.
        levels: uint8, (N, C, H, W).
        extents: Of the patches.
        log_prior: log p(y), (classes,), nats.

    Returns:
        int64, (N,).
    """
    height, width = model.config.image_size
    partial = (extents.rows < height) | (extents.columns < width)
    tables = [
        BayesClassifier(model, views=(view,)).log_likelihoods(levels) + log_prior
        for view in range(model.config.views)
    ]
    for table in tables[1:]:
        table[partial] = -torch.inf
    return torch.cat(tables, dim=1).argmax(dim=1)
