"""What follows the convolutions, over rows of features or one pixel at a time.

Layout: as in `pixelbayes.inference.cached.layers`, (B, L, F) for L columns of a row.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.attention import CausalAttention
from pixelbayes.core.blocks import GatedResidual
from pixelbayes.inference.cached.layers import Kernels, Stream

__all__ = ["Attention", "PointwiseBlock"]


class PointwiseBlock:
    """A gated residual block of 1x1 layers.

    Args:
        block: Its layers.
        kernels: Their kernels.
        gates: What the condition adds to the gates, (B, 2 F).
    """

    def __init__(self, block: GatedResidual, kernels: Kernels, gates: Tensor | None = None) -> None:
        self.conv_in, self.conv_out = kernels[block.conv_in][0, 0], kernels[block.conv_out][0, 0]
        self.bias_in, self.bias_out = block.conv_in.bias.detach(), block.conv_out.bias.detach()
        if block.skip is not None:
            self.skip = kernels[block.skip][0, 0]
            self.bias_in = self.bias_in + block.skip.bias.detach()
        if gates is not None:
            self.bias_out = self.bias_out + gates[:, None]

    def __call__(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """The block's output, (B, L, F)."""
        hidden = _concat_elu(x) @ self.conv_in + self.bias_in
        if skip is not None:
            hidden = hidden + _concat_elu(skip) @ self.skip
        return x + F.glu(_concat_elu(hidden) @ self.conv_out + self.bias_out, dim=-1)


class Attention:
    """Causal attention: keys and values of all rows above are kept, those of this row arrive.

    All of them take part in every product, masked where they have not come yet, so that the
    operations of a row are the same for every row.
    """

    def __init__(self, attention: CausalAttention, source: Stream, kernels: Kernels) -> None:
        like, (batch, _, features) = source.raw.data, source.raw.data.shape
        rows, width = attention.positions.shape[2:]
        weight = kernels[attention.project][0, 0]
        of_features, of_places, of_pixels = weight.tensor_split([2 * features, 2 * features + 2])
        self.weight, self.pixel_weight = of_features.contiguous(), of_pixels.contiguous()
        # The pixel before each one of this row, on the axis; empty at the lowest resolution.
        self.before = like.new_zeros(batch, width, len(of_pixels))
        places = attention.positions[0].movedim(0, -1) @ of_places
        self.places = places + attention.project.bias.detach()
        self.place = torch.empty_like(self.places[0])
        self.merge = PointwiseBlock(attention.merge, kernels)
        self.source, self.features, self.width = source, features, width
        self.above = like.new_zeros(batch, rows * width, 2 * features)
        self.mask = like.new_full((rows * width,), -math.inf)
        self.here = like.new_zeros(batch, width, 2 * features)
        later = torch.ones(width, width, dtype=torch.bool, device=like.device).triu(diagonal=1)
        self.causal = like.new_zeros(width, width).masked_fill(later, -math.inf)
        self.result = Stream(like, batch, width, features)

    def begin_row(self, row: int) -> None:
        """Moves keys and values of the row before to those above."""
        if row > 0:
            self.above[:, (row - 1) * self.width : row * self.width] = self.here
            self.mask[: row * self.width] = 0.0
        self.place.copy_(self.places[row])

    def pixel(self, col: int) -> None:
        """One column."""
        projected = self.source.activated.at[col] @ self.weight + self.place[col]
        projected = projected + self.before[:, col] @ self.pixel_weight
        self.here[:, col] = projected[:, self.features :]
        attended = self._attend(projected[:, None, : self.features], slice(col, col + 1))
        merged = self.merge(self.source.raw.at[col][:, None], attended)
        self.result.raw.at[col].copy_(merged[:, 0])
        self.result.activate(col)

    def row(self) -> None:
        """All columns at once: the input is known for the whole row."""
        projected = self.source.activated.columns @ self.weight + self.place
        projected = projected + self.before @ self.pixel_weight
        self.here.copy_(projected[..., self.features :])
        attended = self._attend(projected[..., : self.features], slice(0, self.width))
        self.result.raw.columns.copy_(self.merge(self.source.raw.columns, attended))
        self.result.activate_row()

    def _attend(self, queries: Tensor, columns: slice) -> Tensor:
        """What these columns attend to, (B, L, F)."""
        queries = queries / math.sqrt(self.features)
        arrived = self.here[:, : columns.stop]
        above_keys, above_values = self.above.chunk(2, dim=-1)
        keys, values = arrived.chunk(2, dim=-1)
        scores = torch.cat(
            [
                queries @ above_keys.transpose(1, 2) + self.mask,
                queries @ keys.transpose(1, 2) + self.causal[columns, : columns.stop],
            ],
            dim=-1,
        )
        weights = torch.softmax(scores, dim=-1)
        earlier, same_row = weights.split([len(self.mask), columns.stop], dim=-1)
        attended: Tensor = earlier @ above_values + same_row @ values
        return attended


def _concat_elu(x: Tensor) -> Tensor:
    return F.elu(torch.cat([x, -x], dim=-1))
