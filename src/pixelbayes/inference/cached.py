"""Sampling without recomputing what is finished: the same levels as `sample_naive`, fast.

The stream `u` depends on rows above only, so each of its rows is computed once, all columns
together.  In the stream `ul` only the kernel taps in the current row have to wait for a pixel:
the upper taps, the skips from `u` and the label are summed for a whole row before it starts.
A lower resolution has work only where a row (and column) of it is due: every second, every
fourth.  What remains per pixel are small matrix products into buffers that exist already.

Layout: a row of features is (B, L, C) with one column of zeros before the first pixel and at
least one behind the last, so a kernel's columns are shifted views of one matrix.

References:
    [1] Ramachandran et al., Fast Generation for Convolutional Autoregressive Models, 2017.
        https://arxiv.org/abs/1704.06001
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.blocks import GatedResidual
from pixelbayes.core.fusion import BlockConditioning
from pixelbayes.core.layers import DownShiftedConv2d, WeightNormConv2d
from pixelbayes.core.likelihood import (
    HALF_BIN,
    LEVELS,
    MIN_LOG_SCALE,
    DiscretizedLogisticMixture,
    parameters_per_component,
    standard_noise,
    to_axis,
)
from pixelbayes.core.network import STAGES, PixelCNN
from pixelbayes.inference.sampling import RowCallback, check_given, draw_noise, first_rows

__all__ = ["RowCache", "complete_cached", "sample_cached"]

STEP = 2.0 * HALF_BIN  # between two levels on the [-1, 1] axis
CENTRE = (LEVELS - 1) / 2  # the level, between two whole ones, at 0 on that axis


class _Row:
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


class _Stream:
    """Features of one layer in the current row: raw, and through concat-ELU."""

    def __init__(self, like: Tensor, batch: int, width: int, features: int) -> None:
        self.raw = _Row(like, batch, width, features)
        self.activated = _Row(like, batch, width, 2 * features)
        self.signs = like.new_tensor([[1.0], [-1.0]])
        self.pairs = [x.unflatten(1, (2, features)) for x in self.activated.at]
        self.raw_pairs = [x[:, None] for x in self.raw.at]

    def activate(self, col: int) -> None:
        torch.mul(self.raw_pairs[col], self.signs, out=self.pairs[col])
        F.elu_(self.activated.at[col])

    def activate_row(self) -> None:
        x, features = self.raw.columns, self.raw.columns.shape[2]
        self.activated.columns[..., :features] = F.elu(x)
        self.activated.columns[..., features:] = F.elu(-x)


class _Conv:
    """The kernel of a causal convolution of two rows as matrices, one per tap."""

    def __init__(self, layer: WeightNormConv2d) -> None:
        taps = layer.weight().permute(2, 3, 1, 0).contiguous()  # (2, columns, in, out)
        self.upper, self.current = taps[0], taps[1]
        self.current_matrix = self.current.flatten(0, 1)
        self.bias = layer.bias.detach()

    def add_upper(self, source: _Row, out: _Row) -> None:
        """Starts `out` from the bias and the taps in the row above, still held by `source`."""
        out.flat[1:-1] = self.bias
        self._add_taps(self.upper, source, out)

    def add_current_row(self, source: _Row, out: _Row) -> None:
        """Adds the taps in the current row, for every column."""
        self._add_taps(self.current, source, out)

    @staticmethod
    def _add_taps(taps: Tensor, source: _Row, out: _Row) -> None:
        positions = len(source.flat) - 2
        for offset, tap in enumerate(taps):
            out.flat[1:-1].addmm_(source.flat[offset : offset + positions], tap)


class _Block:
    """A gated residual block of either stream, row-wise or pixel-wise."""

    def __init__(
        self,
        block: GatedResidual,
        source: _Stream,
        skips: tuple[_Stream, ...],
        conditioning: BlockConditioning,
    ) -> None:
        like, (batch, _, features) = source.raw.data, source.raw.data.shape
        self.features, self.source, self.conditioning = features, source, conditioning
        self.conv_in, self.conv_out = _Conv(block.conv_in), _Conv(block.conv_out)
        self.skips: list[tuple[_Stream, Tensor]] = []
        if block.skip is not None:
            matrices = block.skip.weight()[:, :, 0, 0].T.contiguous().chunk(len(skips))
            self.skips = list(zip(skips, matrices, strict=True))
            self.conv_in.bias = self.conv_in.bias + block.skip.bias.detach()
        width = source.raw.width
        self.hidden = _Row(like, batch, width, features)
        self.middle = _Stream(like, batch, width, features)
        self.gates = _Row(like, batch, width, 2 * features)
        self.update, self.gate = self.gates.halves(features)
        self.result = _Stream(like, batch, width, features)
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
            current = _Row(self.hidden.data, len(self.scale), self.hidden.width, self.features)
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
        torch.mul(hidden[:, None], middle.signs, out=middle.pairs[col])
        F.elu_(middle.activated.at[col])
        gates, gate = self.gates.at[col], self.gate[col]
        gates.addmm_(middle.activated.left_and_at[col], self.conv_out.current_matrix)
        gate.sigmoid_()
        out = self.result.raw.at[col]
        torch.addcmul(self.source.raw.at[col], self.update[col], gate, out=out)
        if self.conditioning.result is not None:
            out.add_(self.conditioning.result)
        self.result.activate(col)


class _Shrink:
    """Stride-2 convolution from raw features: due at even rows and columns."""

    def __init__(self, layer: WeightNormConv2d, source: _Stream, like: Tensor) -> None:
        batch, _, features = source.raw.data.shape
        self.conv, self.source = _Conv(layer), source
        self.result = _Stream(like, batch, (source.raw.width + 1) // 2, features)

    def _columns(self, tap: int) -> Tensor:
        width = self.result.raw.width
        return self.source.raw.data[:, tap : tap + 2 * width - 1 : 2]

    def begin_row(self) -> None:
        out = self.conv.bias.expand_as(self.result.raw.columns)
        for tap, matrix in enumerate(self.conv.upper):
            out = out + self._columns(tap) @ matrix
        self.result.raw.columns.copy_(out)

    def row(self) -> None:
        for tap, matrix in enumerate(self.conv.current):
            self.result.raw.columns.add_(self._columns(tap) @ matrix)
        self.result.activate_row()

    def pixel(self, col: int) -> None:
        inputs = self.source.raw.left_and_at[2 * col]
        self.result.raw.at[col].addmm_(inputs, self.conv.current_matrix)
        self.result.activate(col)


class _Expand:
    """Transposed stride-2 convolution: one row (and column) below writes two above."""

    def __init__(self, layer: WeightNormConv2d, source: _Stream, like: Tensor, width: int) -> None:
        batch, _, features = source.raw.data.shape
        self.taps = layer.weight().permute(2, 3, 0, 1).contiguous()  # (2, columns, in, out)
        self.bias, self.source = layer.bias.detach(), source
        self.result = _Stream(like, batch, width, features)
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


class _Painter:
    """The last layer and the draw from it, one pixel at a time, in units of levels.

    Means, deviations and drawn values are scaled by half the number of steps, which the last
    layer's weights take in; otherwise this is `DiscretizedLogisticMixture.transport`.
    """

    def __init__(self, model: PixelCNN, late: Tensor | None, batch: int) -> None:
        config = model.config
        channels, components = config.channels, config.mixtures
        per_component = parameters_per_component(channels) - 1
        weight = model.output.weight()[:, :, 0, 0].clone()
        bias = model.output.bias.detach().clone()
        rows = weight[components:].view(components, per_component, -1)
        biases = bias[components:].view(components, per_component)
        rows[:, :channels] /= STEP
        biases[:, :channels] = biases[:, :channels] / STEP + CENTRE
        biases[:, channels : 2 * channels] -= math.log(STEP)
        self.smallest = MIN_LOG_SCALE - math.log(STEP)
        self.weight, self.bias, self.late = weight.T.contiguous(), bias, late
        self.components = components

        self.row = bias.new_empty(batch, config.image_size[1], channels)
        self.levels = [self.row[:, col] for col in range(config.image_size[1])]
        self.single = [level.split(1, dim=1) for level in self.levels]
        self.activated = bias.new_empty(batch, config.features)
        self.parameters = bias.new_empty(batch, len(bias))
        self.logits = self.parameters[:, :components]
        self.described = self.parameters[:, components:].view(batch, components, per_component)
        self.chosen = torch.empty(batch, 1, dtype=torch.int64, device=bias.device)
        self.index = self.chosen[:, :, None].expand(-1, -1, per_component)
        picked = bias.new_empty(batch, 1, per_component)
        self.picked, flat = picked, picked[:, 0]
        self.means, self.scales = flat[:, :channels], flat[:, channels : 2 * channels]
        self.coeffs = flat[:, 2 * channels :]
        self.coeff = self.coeffs.split(1, dim=1)
        self.centred = bias.new_empty(batch, 1)

    def draw(self, features: Tensor, noise: Tensor, col: int) -> None:
        """Draws one pixel into `levels[col]`; features: (B, F), noise: (B, K + C)."""
        if self.late is None:
            self.activated.copy_(features)
        else:
            torch.add(features, self.late, out=self.activated)
        torch.addmm(self.bias, F.elu_(self.activated), self.weight, out=self.parameters)
        self.logits.add_(noise[:, : self.components])
        torch.argmax(self.logits, 1, keepdim=True, out=self.chosen)
        torch.gather(self.described, 1, self.index, out=self.picked)
        self.scales.clamp_(min=self.smallest).exp_()
        torch.addcmul(self.means, self.scales, noise[:, self.components :], out=self.levels[col])
        self.coeffs.tanh_()
        level = self.single[col]
        level[0].round_().clamp_(0, LEVELS - 1)
        for channel in range(1, len(level)):
            first = channel * (channel - 1) // 2
            for earlier in range(channel):
                torch.sub(level[earlier], CENTRE, out=self.centred)
                level[channel].addcmul_(self.coeff[first + earlier], self.centred)
            level[channel].round_().clamp_(0, LEVELS - 1)


class RowCache:
    """All that is kept between pixels, for one batch of labels.

    Use: for each row, `begin_row`; then for each column `describe` and `put`, or, where the
    row is given, `give_row`.

    Args:
        model: A network in evaluation mode.
        labels: int64, (B,).
    """

    def __init__(self, model: PixelCNN, labels: Tensor) -> None:
        config = model.config
        self.model, self.batch = model, len(labels)
        self.height, self.width = config.image_size
        conditioning = model.conditioning(labels)
        self._like = like = model.output.bias.detach()
        features = config.features

        # Channels of the image on [-1, 1], ones, label; two rows of zeros above the first.
        inputs = config.channels + 1 + model.fusion.input_channels
        self._image = like.new_zeros(self.batch, inputs, self.height + 2, self.width)
        self._image[:, config.channels, 2:] = 1.0
        if conditioning.input is not None:
            self._image[:, config.channels + 1 :, 2:] = conditioning.input[:, :, None, None]
        self._first = tuple(_Stream(like, self.batch, self.width, features) for _ in "uv")
        # What a drawn pixel adds to its right neighbour: on the axis x = level step - 1, so the
        # product takes the level and the constant is known before the row starts.
        on_axis = model.input_left.weight()[:, : config.channels, 1, 0].T.contiguous()
        self._drawn, self._drawn_constant = on_axis * STEP, -on_axis.sum(dim=0)
        self.levels = torch.zeros(
            self.batch, config.channels, *config.image_size, dtype=torch.uint8, device=like.device
        )
        self._build(iter(conditioning.blocks))
        self._output = model.output.weight()[:, :, 0, 0].T.contiguous()
        self._output_bias = model.output.bias.detach()
        self._late = conditioning.output
        self._painter = _Painter(model, self._late, self.batch)
        self._graphs: dict[int, torch.cuda.CUDAGraph | None] = {}
        self._noise: Tensor | None = None

    def _build(self, conditioning: Iterator[BlockConditioning]) -> None:
        """Mirrors `PixelCNN.describe`, layer for layer."""
        model, like = self.model, self._like
        streams = self._first
        short_cuts = [streams]
        self._encoder: list[list[tuple[_Block, _Block]]] = []
        self._decoder: list[list[tuple[_Block, _Block]]] = []
        self._shrink: list[tuple[_Shrink, _Shrink]] = []
        self._expand: list[tuple[_Expand, _Expand]] = []

        def add(block: torch.nn.Module, skips: tuple[tuple[_Stream, ...], ...]) -> None:
            nonlocal streams
            u = _Block(block.u, streams[0], skips[0], next(conditioning))  # type: ignore[arg-type]
            ul_skips = (u.result, *skips[1])
            ul = _Block(block.ul, streams[1], ul_skips, next(conditioning))  # type: ignore[arg-type]
            pairs.append((u, ul))
            streams = (u.result, ul.result)

        for stage, blocks in enumerate(model.encoder):
            if stage > 0:
                change = model.shrink[stage - 1]
                shrink = (
                    _Shrink(change.u, streams[0], like),  # type: ignore[arg-type]
                    _Shrink(change.ul, streams[1], like),  # type: ignore[arg-type]
                )
                self._shrink.append(shrink)
                streams = (shrink[0].result, shrink[1].result)
                short_cuts.append(streams)
            pairs: list[tuple[_Block, _Block]] = []
            for block in blocks:  # type: ignore[attr-defined]
                add(block, ((), ()))
                short_cuts.append(streams)
            self._encoder.append(pairs)

        streams = short_cuts.pop()
        for stage, blocks in enumerate(model.decoder):
            if stage > 0:
                change = model.expand[stage - 1]
                width = short_cuts[-1][0].raw.width
                expand = (
                    _Expand(change.u, streams[0], like, width),  # type: ignore[arg-type]
                    _Expand(change.ul, streams[1], like, width),  # type: ignore[arg-type]
                )
                self._expand.append(expand)
                streams = (expand[0].result, expand[1].result)
            pairs = []
            for block in blocks:  # type: ignore[attr-defined]
                u_skip, ul_skip = short_cuts.pop()
                add(block, ((u_skip,), (ul_skip,)))
            self._decoder.append(pairs)
        self._last = streams[1].raw

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the features."""
        return self._like.dtype

    def _due_stages(self, position: int) -> int:
        """How many resolutions have work at this row or column."""
        due = 1
        while due < STAGES and position % (1 << due) == 0:
            due += 1
        return due

    def begin_row(self, row: int) -> None:
        """Computes all that does not wait for a pixel of this row."""
        self.row, self._due = row, self._due_stages(row)
        due = self._due
        for stage in range(due):
            for block in self._blocks(stage):
                block.begin_row()
            if stage > 0:
                for shrink in self._shrink[stage - 1]:
                    shrink.begin_row()
        self._begin_input()
        self._stream_row(0)
        for stage in range(due):
            for _, ul in (*self._encoder[stage], *self._decoder[STAGES - 1 - stage]):
                ul.add_skip_row(0)
        if due < STAGES:  # the resolution below has finished its row: all columns at once
            self._expand[STAGES - 1 - due][1].row(lower=1)

    def _blocks(self, stage: int) -> Iterator[_Block]:
        for pair in (*self._encoder[stage], *self._decoder[STAGES - 1 - stage]):
            yield from pair

    def _stream_row(self, stream: int) -> None:
        """Runs one stream over the whole row; for `ul` the row must be known."""
        for stage in range(self._due):
            if stage > 0:
                self._shrink[stage - 1][stream].row()
            for pair in self._encoder[stage]:
                self._block_row(pair[stream], stream)
        for stage in reversed(range(self._due)):
            if stage < STAGES - 1 and (stream == 0 or stage < self._due - 1):
                below = (self.row >> stage) & 1
                self._expand[STAGES - 2 - stage][stream].row(lower=below)
            for pair in self._decoder[STAGES - 1 - stage]:
                self._block_row(pair[stream], stream)

    @staticmethod
    def _block_row(block: _Block, stream: int) -> None:
        for index in range(stream, len(block.skips)):
            block.add_skip_row(index)
        block.row()

    def _begin_input(self) -> None:
        """First layers: `u` sees rows above; `ul` the row above, and the pixel to the left."""
        model, row = self.model, self.row
        above = self._image[:, :, row : row + 2]  # image rows row - 2 and row - 1
        here = self._image[:, :, row + 1 : row + 3].clone()  # rows row - 1 and row
        here[:, : model.config.channels, 1] = 0.0  # pixels of this row are added as they come
        u, ul = self._first
        left = F.conv2d(here, model.input_left.weight(), model.input_left.bias)[:, :, 0]
        ul.raw.columns.zero_()
        ul.raw.columns[:, 1:] = left[:, :, :-1].transpose(1, 2) + self._drawn_constant
        if row == 0:
            u.raw.columns.zero_()
        else:
            u.raw.columns.copy_(_rows_above(model.input_u, above))
            ul.raw.columns.add_(_rows_above(model.input_row, above[:, :, 1:]))
        u.activate_row()

    def describe(self, row: int, col: int) -> DiscretizedLogisticMixture:
        """The distribution of pixel (row, col) given everything put before it, H = W = 1."""
        assert row == self.row, "begin_row comes first"
        self._features(col)
        return self._project(self._last.at[col][:, :, None])

    def _features(self, col: int) -> None:
        """Runs the stream `ul` at one pixel, at every resolution that is due there."""
        self._first[1].activate(col)
        due = min(self._due, self._due_stages(col))
        for stage in range(due):
            if stage > 0:
                self._shrink[stage - 1][1].pixel(col >> stage)
            for _, ul in self._encoder[stage]:
                ul.pixel(col >> stage)
        for stage in reversed(range(due)):
            if stage < due - 1:
                self._expand[STAGES - 2 - stage][1].pixel(col >> (stage + 1))
            for _, ul in self._decoder[STAGES - 1 - stage]:
                ul.pixel(col >> stage)

    def _project(self, features: Tensor) -> DiscretizedLogisticMixture:
        """The last layer; features: (B, F, columns)."""
        h = features if self._late is None else features + self._late[:, :, None]
        parameters = F.elu(h).transpose(1, 2) @ self._output + self._output_bias
        return DiscretizedLogisticMixture.from_parameters(
            parameters.transpose(1, 2)[:, :, None], self.model.config.channels
        )

    def put(self, row: int, col: int, drawn: Tensor) -> None:
        """Adds a pixel: uint8, (B, C, 1, 1)."""
        self._painter.levels[col].copy_(drawn[:, :, 0, 0])
        self._pass_on(col)
        self._finish_if_last(row, col)

    def give(self, row: int, col: int, levels: Tensor) -> None:
        """Takes a known pixel, uint8, (B, C), where `describe` was not called."""
        self._features(col)
        self._painter.levels[col].copy_(levels)
        self._pass_on(col)
        self._finish_if_last(row, col)

    def draw(self, row: int, col: int, noise: Tensor) -> None:
        """`describe`, `transport` and `put` in one, into buffers that exist already.

        Args:
            row: The row that was begun.
            col: The next column.
            noise: From `standard_noise`, (B, K + C).
        """
        self._draw(col, noise)
        self._finish_if_last(row, col)

    def draw_row(self, row: int, noise: Tensor) -> None:
        """Draws all pixels of the row that was begun; noise: (W, B, K + C).

        On CUDA the hundreds of small operations of a row are captured in a graph, one for each
        number of resolutions that have work, and replayed.
        """
        if not noise.is_cuda:
            self._draw_columns(noise)
        elif self._due not in self._graphs:
            if self._noise is None:
                self._noise = torch.empty_like(noise)
            self._draw_columns(noise)  # this row plainly, which also prepares the libraries
            self._graphs[self._due] = None
        else:
            assert self._noise is not None
            self._noise.copy_(noise)
            graph = self._graphs[self._due]
            if graph is None:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):  # records, computes nothing
                    self._draw_columns(self._noise)
                self._graphs[self._due] = graph
            graph.replay()
        self._finish_row(row)

    def _draw_columns(self, noise: Tensor) -> None:
        for col, column_noise in enumerate(noise.unbind(0)):
            self._draw(col, column_noise)

    def _draw(self, col: int, noise: Tensor) -> None:
        self._features(col)
        self._painter.draw(self._last.at[col], noise, col)
        self._pass_on(col)

    def _pass_on(self, col: int) -> None:
        """Adds the pixel of this column to what its right neighbour is computed from."""
        if col + 1 < self.width:
            self._first[1].raw.at[col + 1].addmm_(self._painter.levels[col], self._drawn)

    def _finish_if_last(self, row: int, col: int) -> None:
        if col + 1 == self.width:
            self._finish_row(row)

    def _finish_row(self, row: int) -> None:
        drawn = self._painter.row.permute(0, 2, 1)
        self.levels[:, :, row] = drawn.to(torch.uint8)
        self._image[:, : self.model.config.channels, row + 2] = to_axis(drawn, drawn.dtype)

    def give_row(self, row: int, levels: Tensor) -> DiscretizedLogisticMixture:
        """Takes a whole row of known pixels, uint8, (B, C, W), at once; describes it."""
        assert row == self.row, "begin_row comes first"
        x = to_axis(levels, self._like.dtype)
        self.levels[:, :, row] = levels
        self._image[:, : self.model.config.channels, row + 2] = x
        first = self._first[1]
        drawn = levels.to(x.dtype)[:, :, :-1].transpose(1, 2)
        first.raw.columns[:, 1:] += drawn @ self._drawn
        first.activate_row()
        self._stream_row(1)
        return self._project(self._last.columns.transpose(1, 2))


def _rows_above(layer: DownShiftedConv2d, rows: Tensor) -> Tensor:
    """One output row, (B, W, F), from exactly the rows that the kernel covers."""
    padded = F.pad(rows, (layer.padding[0], layer.padding[1], 0, 0))
    return F.conv2d(padded, layer.weight(), layer.bias)[:, :, 0].transpose(1, 2)


@torch.inference_mode()
def sample_cached(
    model: PixelCNN,
    labels: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
) -> Tensor:
    """Same levels as `sample_naive`, without recomputing finished rows and columns.

    Arguments, result and errors are those of `sample_naive`.
    """
    config = model.config
    blank = torch.zeros(
        len(labels), config.channels, *config.image_size, dtype=torch.uint8, device=labels.device
    )
    nothing = first_rows(model, 0)
    return complete_cached(model, labels, blank, nothing, generator=generator, on_row=on_row)


@torch.inference_mode()
def complete_cached(
    model: PixelCNN,
    labels: Tensor,
    levels: Tensor,
    known: Tensor,
    *,
    generator: torch.Generator,
    on_row: RowCallback | None = None,
) -> Tensor:
    """Same levels as `complete_naive`; a row that is known costs one vectorised pass.

    Arguments, result and errors are those of `complete_naive`.
    """
    check_given(model, labels, levels, known)
    uniform = draw_noise(model, len(labels), generator)
    cache = RowCache(model, labels)
    for row, given in enumerate(known.tolist()):
        cache.begin_row(row)
        if all(given):
            cache.give_row(row, levels[:, :, row])
            continue
        noise = standard_noise(uniform[:, row], model.config.mixtures)
        by_column = noise.to(cache.dtype).transpose(0, 1).contiguous()
        if not any(given):
            cache.draw_row(row, by_column)
        else:
            for col, column_noise in enumerate(by_column.unbind(0)):
                if given[col]:
                    cache.give(row, col, levels[:, :, row, col])
                else:
                    cache.draw(row, col, column_noise)
        if on_row is not None:
            on_row(row, cache.levels)
    return cache.levels
