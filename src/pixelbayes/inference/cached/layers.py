"""Layers of the network over rows of features, whole or one pixel at a time.

Layout: a row of features is (B, L, C) with one column of zeros before the first pixel and at
least one behind the last, so a kernel's columns are shifted views of one matrix.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core.blocks import GatedResidual
from pixelbayes.core.conditioning import BlockConditioning
from pixelbayes.core.layers import WeightNormConv2d

__all__ = ["Block", "Conv", "Expand", "Kernels", "Row", "Shrink", "Stream", "kernels_of"]

Kernels = dict[nn.Module, Tensor]
"""The normalised kernel of each convolution, (rows, columns, in, out)."""


def kernels_of(model: nn.Module) -> Kernels:
    """Normalises every kernel once, for all tiles of a run."""
    return {
        layer: layer.weight().permute(2, 3, 1 - layer.out_axis, layer.out_axis).contiguous()
        for layer in model.modules()
        if isinstance(layer, WeightNormConv2d)
    }


class Row:
    """One row of features, reused for every row; `[:, 0]` and what follows W stay zero."""

    def __init__(self, like: Tensor, batch: int, width: int, channels: int) -> None:
        length = width + 2 + width % 2  # even, so that pairs of columns are one matrix too
        self.data = like.new_zeros(batch, length, channels)
        self.flat = self.data.view(batch * length, channels)
        self.width = width
        self.columns = self.data[:, 1 : 1 + width]
        self.at = [self.data[:, 1 + col] for col in range(width)]
        self.left_and_at = [self.data[:, col : col + 2].flatten(1) for col in range(width)]

    def halves(self, channels: int) -> tuple[list[Tensor], list[Tensor]]:
        """The first `channels` of each column, and the others."""
        return [x[:, :channels] for x in self.at], [x[:, channels:] for x in self.at]


class Stream:
    """Features of one layer in the current row: raw, and through concat-ELU."""

    def __init__(self, like: Tensor, batch: int, width: int, features: int) -> None:
        self.raw = Row(like, batch, width, features)
        self.activated = Row(like, batch, width, 2 * features)
        self.signs = like.new_tensor([[1.0], [-1.0]])
        self.pairs = [x.unflatten(1, (2, features)) for x in self.activated.at]
        self.raw_pairs = [x[:, None] for x in self.raw.at]

    def activate(self, col: int) -> None:
        """Puts one column through concat-ELU."""
        torch.mul(self.raw_pairs[col], self.signs, out=self.pairs[col])
        F.elu_(self.activated.at[col])

    def activate_row(self) -> None:
        """Puts all columns through concat-ELU."""
        x, features = self.raw.columns, self.raw.columns.shape[2]
        self.activated.columns[..., :features] = F.elu(x)
        self.activated.columns[..., features:] = F.elu(-x)


class Conv:
    """The kernel of a causal convolution of two rows as matrices, one per tap."""

    def __init__(self, layer: WeightNormConv2d, kernels: Kernels) -> None:
        self.upper, self.current = kernels[layer]
        self.current_matrix = self.current.flatten(0, 1)
        self.bias = layer.bias.detach()

    def add_upper(self, source: Row, out: Row) -> None:
        """Starts `out` from the bias and the taps in the row above, still held by `source`."""
        out.flat[1:-1] = self.bias
        self._add_taps(self.upper, source, out)

    def add_current_row(self, source: Row, out: Row) -> None:
        """Adds the taps in the current row, for every column."""
        self._add_taps(self.current, source, out)

    @staticmethod
    def _add_taps(taps: Tensor, source: Row, out: Row) -> None:
        positions = len(source.flat) - 2
        for offset, tap in enumerate(taps):
            out.flat[1:-1].addmm_(source.flat[offset : offset + positions], tap)


class Block:
    """A gated residual block of either stream, row-wise or pixel-wise."""

    def __init__(
        self,
        block: GatedResidual,
        source: Stream,
        skips: tuple[Stream, ...],
        conditioning: BlockConditioning,
        kernels: Kernels,
    ) -> None:
        like, (batch, _, features) = source.raw.data, source.raw.data.shape
        self.features, self.source, self.conditioning = features, source, conditioning
        self.conv_in = Conv(block.conv_in, kernels)
        self.conv_out = Conv(block.conv_out, kernels)
        self.skips: list[tuple[Stream, Tensor]] = []
        if block.skip is not None:
            matrices = kernels[block.skip][0, 0].chunk(len(skips))
            self.skips = list(zip(skips, matrices, strict=True))
            self.conv_in.bias = self.conv_in.bias + block.skip.bias.detach()
        width = source.raw.width
        self.hidden = Row(like, batch, width, features)
        self.middle = Stream(like, batch, width, features)
        self.hidden_pairs = [x[:, None] for x in self.hidden.at]
        self.gates = Row(like, batch, width, 2 * features)
        self.update, self.gate = self.gates.halves(features)
        self.result = Stream(like, batch, width, features)
        scale = conditioning.scale
        self.scale = None if scale is None else 1.0 + scale
        self.waiting = like.new_empty(batch, features)

    def begin_row(self) -> None:
        """Sums what is known before the row starts: upper taps, biases, labels."""
        self.conv_in.add_upper(self.source.activated, self.hidden)
        if self.scale is not None:
            self.hidden.columns.mul_(self.scale[:, None])
        if self.conditioning.shift is not None:
            self.hidden.columns.add_(self.conditioning.shift[:, None])
        self.conv_out.add_upper(self.middle.activated, self.gates)
        if self.conditioning.gates is not None:
            self.gates.columns.add_(self.conditioning.gates[:, None])

    def add_skip_row(self, index: int) -> None:
        """Adds a skip that is known for the whole row."""
        skip, matrix = self.skips[index]
        added = skip.activated.columns @ matrix
        self.hidden.columns.add_(added if self.scale is None else added * self.scale[:, None])

    def row(self) -> None:
        """All columns at once: the input is known for the whole row."""
        if self.scale is None:
            self.conv_in.add_current_row(self.source.activated, self.hidden)
        else:
            current = Row(self.hidden.data, len(self.scale), self.hidden.width, self.features)
            self.conv_in.add_current_row(self.source.activated, current)
            self.hidden.columns.addcmul_(current.columns, self.scale[:, None])
        self.middle.raw.columns.copy_(self.hidden.columns)
        self.middle.activate_row()
        self.conv_out.add_current_row(self.middle.activated, self.gates)
        out = self.source.raw.columns + F.glu(self.gates.columns, dim=2)
        if self.conditioning.result is not None:
            out = out + self.conditioning.result[:, None]
        self.result.raw.columns.copy_(out)
        self.result.activate_row()

    def pixel(self, col: int) -> None:
        """One column; skips beyond the first (which is `u`'s) are added here."""
        hidden = self.hidden.at[col]
        inputs = self.source.activated.left_and_at[col]
        if self.scale is None:
            hidden.addmm_(inputs, self.conv_in.current_matrix)
            for skip, matrix in self.skips[1:]:
                hidden.addmm_(skip.activated.at[col], matrix)
        else:
            torch.mm(inputs, self.conv_in.current_matrix, out=self.waiting)
            for skip, matrix in self.skips[1:]:
                self.waiting.addmm_(skip.activated.at[col], matrix)
            hidden.addcmul_(self.waiting, self.scale)
        middle = self.middle
        torch.mul(self.hidden_pairs[col], middle.signs, out=middle.pairs[col])
        F.elu_(middle.activated.at[col])
        gates, gate = self.gates.at[col], self.gate[col]
        gates.addmm_(middle.activated.left_and_at[col], self.conv_out.current_matrix)
        gate.sigmoid_()
        out = self.result.raw.at[col]
        torch.addcmul(self.source.raw.at[col], self.update[col], gate, out=out)
        if self.conditioning.result is not None:
            out.add_(self.conditioning.result)
        self.result.activate(col)


class Shrink:
    """Stride-2 convolution from raw features: due at even rows and columns."""

    def __init__(self, layer: WeightNormConv2d, source: Stream, kernels: Kernels) -> None:
        like, width = source.raw.data, (source.raw.width + 1) // 2
        self.conv, self.source = Conv(layer, kernels), source
        self.result = Stream(like, len(like), width, len(layer.bias))

    def _columns(self, tap: int) -> Tensor:
        width = self.result.raw.width
        return self.source.raw.data[:, tap : tap + 2 * width - 1 : 2]

    def begin_row(self) -> None:
        """Sums what the rows above give."""
        out = self.conv.bias.expand_as(self.result.raw.columns)
        for tap, matrix in enumerate(self.conv.upper):
            out = out + self._columns(tap) @ matrix
        self.result.raw.columns.copy_(out)

    def row(self) -> None:
        """Adds what the current row gives, all columns."""
        for tap, matrix in enumerate(self.conv.current):
            self.result.raw.columns.add_(self._columns(tap) @ matrix)
        self.result.activate_row()

    def pixel(self, col: int) -> None:
        """Adds what the current row gives to one column of the result."""
        inputs = self.source.raw.left_and_at[2 * col]
        self.result.raw.at[col].addmm_(inputs, self.conv.current_matrix)
        self.result.activate(col)


class Expand:
    """Transposed stride-2 convolution: one row (and column) below writes two above."""

    def __init__(
        self, layer: WeightNormConv2d, source: Stream, width: int, kernels: Kernels
    ) -> None:
        like, batch, features = source.raw.data, len(source.raw.data), len(layer.bias)
        self.taps = kernels[layer]
        self.bias, self.source = layer.bias.detach(), source
        self.result = Stream(like, batch, width, features)
        if len(self.taps[0]) == 2:  # the stream `ul`: both columns side by side
            self.side_by_side = [torch.cat(list(taps), dim=1) for taps in self.taps]
            self.twice_bias = self.bias.repeat(2)
            raw = self.result.raw.data
            self.two = [raw[:, 1 + c : 3 + c].flatten(1) for c in range(0, width, 2)]

    def row(self, lower: int) -> None:
        """All columns of the upper (0) or lower (1) of the two rows."""
        x, taps = self.source.raw, self.taps[lower]
        even, odd = self.result.raw.columns[:, ::2], self.result.raw.columns[:, 1::2]
        shift = len(taps) - 2  # the kernel of `u` has three columns, the first cropped
        even.copy_((self.bias + x.columns @ taps[shift])[:, : even.shape[1]])
        grown = self.bias + x.columns @ taps[shift + 1]
        if shift:
            grown = grown + x.data[:, 2 : 2 + x.width] @ taps[0]
        odd.copy_(grown[:, : odd.shape[1]])
        self.result.activate_row()

    def pixel(self, col: int) -> None:
        """Both columns that column `col` below writes, in the upper of the two rows."""
        matrix = self.side_by_side[0]
        torch.addmm(self.twice_bias, self.source.raw.at[col], matrix, out=self.two[col])
        self.result.activate(2 * col)
        if 2 * col + 1 < self.result.raw.width:
            self.result.activate(2 * col + 1)
