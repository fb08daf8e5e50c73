"""The cache: the network's features of the current row, and of the rows above where needed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.conditioning import BlockConditioning
from pixelbayes.core.config import STAGES, STREAMS
from pixelbayes.core.layers import DownShiftedConv2d
from pixelbayes.core.likelihood import DiscretizedLogisticMixture, to_axis
from pixelbayes.core.network import PixelCNN
from pixelbayes.inference.cached.attention import Attention, PointwiseBlock
from pixelbayes.inference.cached.layers import Block, Expand, Kernels, Shrink, Stream, kernels_of
from pixelbayes.inference.cached.output import STEP, OutputHead

__all__ = ["RowCache"]


class RowCache:
    """All that is kept between pixels, for one batch of labels.

    Use: for each row, `begin_row`; then for each column `describe` and `put`, or, where the
    row is given, `give_row`.

    Args:
        model: A network in evaluation mode.
        labels: int64, (B,).
        kernels: From `kernels_of`, where several caches share them.
        view: The one that is seen; one for all images, or one for each, int64, (B,).
    """

    def __init__(
        self,
        model: PixelCNN,
        labels: Tensor,
        kernels: Kernels | None = None,
        view: int | Tensor = 0,
    ) -> None:
        config = model.config
        self._kernels = kernels = kernels_of(model) if kernels is None else kernels
        self.model, self.batch = model, len(labels)
        self.height, self.width = config.image_size
        conditioning = model.conditioning(labels, view=view)
        self._like = like = model.output.bias.detach()
        features = config.stage_features[0]

        # Channels of the image on [-1, 1], ones, label; two rows of zeros above the first.
        inputs = config.channels + 1 + model.fusion.input_channels
        self._image = like.new_zeros(self.batch, inputs, self.height + 2, self.width)
        self._image[:, config.channels, 2:] = 1.0
        if conditioning.input is not None:
            self._image[:, config.channels + 1 :, 2:] = conditioning.input[:, :, None, None]
        self._first = tuple(Stream(like, self.batch, self.width, features) for _ in STREAMS)
        # What a drawn pixel adds to its right neighbour: on the axis x = level step - 1, so the
        # product takes the level and the constant is known before the row starts.
        on_axis = kernels[model.input_left][1, 0, : config.channels]
        self._drawn, self._drawn_constant = on_axis * STEP, -on_axis.sum(dim=0)
        self.levels = torch.zeros(
            self.batch, config.channels, *config.image_size, dtype=torch.uint8, device=like.device
        )
        self._lowest: Attention | None = None
        self._full: Attention | None = None
        self._build(iter(conditioning.blocks))
        self._head = [
            PointwiseBlock(layer, kernels, condition.gates)  # type: ignore[arg-type]
            for layer, condition in zip(model.head, conditioning.head, strict=True)
        ]
        self._output = kernels[model.output][0, 0]
        self._output_bias = model.output.bias.detach()
        self._late = conditioning.output
        self._output_head = OutputHead(model, self._late, self.batch)
        self._graphs: dict[int, torch.cuda.CUDAGraph | None] = {}
        self._noise: Tensor | None = None

    def _build(self, conditioning: Iterator[BlockConditioning]) -> None:
        """Mirrors `PixelCNN.describe`, layer for layer."""
        model, kernels = self.model, self._kernels
        streams = self._first
        short_cuts = [streams]
        self._encoder: list[list[tuple[Block, Block]]] = []
        self._decoder: list[list[tuple[Block, Block]]] = []
        self._shrink: list[tuple[Shrink, Shrink]] = []
        self._expand: list[tuple[Expand, Expand]] = []

        def add(block: torch.nn.Module, skips: tuple[tuple[Stream, ...], ...]) -> None:
            nonlocal streams
            u = Block(block.u, streams[0], skips[0], next(conditioning), kernels)  # type: ignore[arg-type]
            ul_skips = (u.result, *skips[1])
            ul = Block(block.ul, streams[1], ul_skips, next(conditioning), kernels)  # type: ignore[arg-type]
            pairs.append((u, ul))
            streams = (u.result, ul.result)

        for stage, blocks in enumerate(model.encoder):
            if stage > 0:
                change = model.shrink[stage - 1]
                shrink = (
                    Shrink(change.u, streams[0], kernels),  # type: ignore[arg-type]
                    Shrink(change.ul, streams[1], kernels),  # type: ignore[arg-type]
                )
                self._shrink.append(shrink)
                streams = (shrink[0].result, shrink[1].result)
                short_cuts.append(streams)
            pairs: list[tuple[Block, Block]] = []
            for block in blocks:  # type: ignore[attr-defined]
                add(block, ((), ()))
                short_cuts.append(streams)
            self._encoder.append(pairs)

        streams = short_cuts.pop()
        if model.attention is not None and model.config.attention == "lowest":
            self._lowest = Attention(model.attention, streams[1], kernels)
            streams = (streams[0], self._lowest.result)
        for stage, blocks in enumerate(model.decoder):
            if stage > 0:
                change = model.expand[stage - 1]
                width = short_cuts[-1][0].raw.width
                expand = (
                    Expand(change.u, streams[0], width, kernels),  # type: ignore[arg-type]
                    Expand(change.ul, streams[1], width, kernels),  # type: ignore[arg-type]
                )
                self._expand.append(expand)
                streams = (expand[0].result, expand[1].result)
            pairs = []
            for block in blocks:  # type: ignore[attr-defined]
                u_skip, ul_skip = short_cuts.pop()
                add(block, ((u_skip,), (ul_skip,)))
            self._decoder.append(pairs)
        last = streams[1]
        if model.attention is not None and model.config.attention == "full":
            self._full = Attention(model.attention, last, kernels)
            last = self._full.result
        self._last = last.raw

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the features."""
        return self._like.dtype

    @property
    def features(self) -> Tensor:
        """What the last layers read of the current row, (B, W, F); overwritten by the next row."""
        return self._last.columns

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
        if self._lowest is not None and due == STAGES:
            self._lowest.begin_row(row >> (STAGES - 1))
        if self._full is not None:
            self._full.begin_row(row)
            if row > 0:  # the pixel before the first one is the last of the row above
                channels = self.model.config.channels
                self._full.before[:, 0] = self._image[:, :channels, row + 1, -1]
        self._begin_input()
        self._stream_row(0)
        for stage in range(due):
            for _, ul in (*self._encoder[stage], *self._decoder[STAGES - 1 - stage]):
                ul.add_skip_row(0)
        if due < STAGES:  # the resolution below has finished its row: all columns at once
            self._expand[STAGES - 1 - due][1].row(lower=1)

    def _blocks(self, stage: int) -> Iterator[Block]:
        for pair in (*self._encoder[stage], *self._decoder[STAGES - 1 - stage]):
            yield from pair

    def _stream_row(self, stream: int) -> None:
        """Runs one stream over the whole row; for `ul` the row must be known."""
        for stage in range(self._due):
            if stage > 0:
                self._shrink[stage - 1][stream].row()
            for pair in self._encoder[stage]:
                self._block_row(pair[stream], stream)
        if self._lowest is not None and stream == 1 and self._due == STAGES:
            self._lowest.row()
        for stage in reversed(range(self._due)):
            if stage < STAGES - 1 and (stream == 0 or stage < self._due - 1):
                below = (self.row >> stage) & 1
                self._expand[STAGES - 2 - stage][stream].row(lower=below)
            for pair in self._decoder[STAGES - 1 - stage]:
                self._block_row(pair[stream], stream)
        if self._full is not None and stream == 1:
            self._full.row()

    @staticmethod
    def _block_row(block: Block, stream: int) -> None:
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
        if self._lowest is not None and due == STAGES:
            self._lowest.pixel(col >> (STAGES - 1))
        for stage in reversed(range(due)):
            if stage < due - 1:
                self._expand[STAGES - 2 - stage][1].pixel(col >> (stage + 1))
            for _, ul in self._decoder[STAGES - 1 - stage]:
                ul.pixel(col >> stage)
        if self._full is not None:
            self._full.pixel(col)

    def _project(self, features: Tensor) -> DiscretizedLogisticMixture:
        """The last layer; features: (B, F, columns)."""
        features = self._through_head(features.transpose(1, 2)).transpose(1, 2)
        h = features if self._late is None else features + self._late[:, :, None]
        parameters = F.elu(h).transpose(1, 2) @ self._output + self._output_bias
        return DiscretizedLogisticMixture.from_parameters(
            parameters.transpose(1, 2)[:, :, None], self.model.config.channels
        )

    def _through_head(self, features: Tensor) -> Tensor:
        """Through the 1x1 layers after the trunk, where there are some; (B, columns, F)."""
        for layer in self._head:
            features = layer(features)
        return features

    def put(self, row: int, col: int, drawn: Tensor) -> None:
        """Adds a pixel: uint8, (B, C, 1, 1)."""
        self._output_head.levels[col].copy_(drawn[:, :, 0, 0])
        self._pass_on(col)
        self._finish_if_last(row, col)

    def give(self, row: int, col: int, levels: Tensor) -> None:
        """Takes a known pixel, uint8, (B, C), where `describe` was not called."""
        self._features(col)
        self._output_head.levels[col].copy_(levels)
        self._pass_on(col)
        self._finish_if_last(row, col)

    def draw(self, row: int, col: int, noise: Tensor) -> None:
        """`describe`, `transport` and `put` in one, into buffers that exist already.

        Args:
            row: The row that was begun.
            col: The next column.
            noise: From `standard_noise`, (B, K + C).
        """
        self._draw_columns(noise[None], first=col)
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

    def _draw_columns(self, noise: Tensor, first: int = 0) -> None:
        for col, column_noise in enumerate(self._output_head.split_noise(noise), start=first):
            self._features(col)
            features = self._last.at[col]
            if self._head:
                features = self._through_head(features[:, None])[:, 0]
            self._output_head.draw(features, column_noise, col)
            self._pass_on(col)

    def _pass_on(self, col: int) -> None:
        """Adds the pixel of this column to what its right neighbour is computed from."""
        if col + 1 < self.width:
            level = self._output_head.levels[col]
            self._first[1].raw.at[col + 1].addmm_(level, self._drawn)
            if self._full is not None:
                self._full.before[:, col + 1] = level * STEP - 1.0

    def _finish_if_last(self, row: int, col: int) -> None:
        if col + 1 == self.width:
            self._finish_row(row)

    def _finish_row(self, row: int) -> None:
        drawn = self._output_head.row.permute(0, 2, 1)
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
        if self._full is not None:
            self._full.before[:, 1:] = x[:, :, :-1].transpose(1, 2)
        self._stream_row(1)
        return self._project(self._last.columns.transpose(1, 2))


def _rows_above(layer: DownShiftedConv2d, rows: Tensor) -> Tensor:
    """One output row, (B, W, F), from exactly the rows that the kernel covers."""
    padded = F.pad(rows, (layer.padding[0], layer.padding[1], 0, 0))
    return F.conv2d(padded, layer.weight(), layer.bias)[:, :, 0].transpose(1, 2)
