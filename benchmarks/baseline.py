"""The same network as public PyTorch code writes it: what training is compared with.

The mathematics is that of `pixelbayes.core.network` with gated fusion; `load_from` takes its
weights, and a test shows equal likelihoods.  The style is that of the customary ports: layers
from `torch.nn` with weight normalisation as a parametrisation, padding as a layer of its own,
inputs concatenated before a convolution, concat-ELU computed by each reader, 1x1 layers as
`nn.Linear` between two permutations, dropout of whole channels (which costs next to nothing; an
element-wise `nn.Dropout` takes a fifth of a CPU's step), channels-first memory.  The likelihood is
the package's own, so that only the network, its memory layout and the optimiser differ.

Shapes: B images, F features, H x W pixels, H and W divisible by 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from pixelbayes.core import DiscretizedLogisticMixture, PixelCNN, PixelCNNConfig
from pixelbayes.core.blocks import GatedResidual
from pixelbayes.core.config import STAGES
from pixelbayes.core.fusion import GatedFusion
from pixelbayes.core.layers import WeightNormConv2d
from pixelbayes.core.likelihood import parameters_per_component, to_axis

__all__ = ["PlainPixelCNN"]


def concat_elu(x: Tensor) -> Tensor:
    """(B, F, H, W) -> (B, 2 F, H, W)."""
    return F.elu(torch.cat([x, -x], dim=1))


def down_shift(x: Tensor) -> Tensor:
    """Moves rows down by one."""
    return torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, :-1]], dim=2)


def right_shift(x: Tensor) -> Tensor:
    """Moves columns right by one."""
    return torch.cat([torch.zeros_like(x[:, :, :, :1]), x[:, :, :, :-1]], dim=3)


class ShiftedConv2d(nn.Module):
    """Zero padding above and to the sides (`u`) or to the left (`ul`), then a convolution."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], *, sees_right: bool, stride: int
    ) -> None:
        super().__init__()
        rows, columns = kernel
        side = (columns - 1) // 2
        left, right = (side, side) if sees_right else (columns - 1, 0)
        self.pad = nn.ZeroPad2d((left, right, rows - 1, 0))
        self.conv = weight_norm(nn.Conv2d(inputs, outputs, kernel, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self.conv(self.pad(x))
        return convolved


class ShiftedConvTranspose2d(nn.Module):
    """Doubles the resolution and crops."""

    def __init__(self, features: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = weight_norm(
            nn.ConvTranspose2d(features, features, kernel, stride=2, output_padding=1), dim=1
        )
        self.left = (kernel[1] - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        height, width = 2 * x.shape[2], 2 * x.shape[3]
        grown: Tensor = self.conv(x)
        return grown[:, :, :height, self.left : self.left + width]


class NetworkInNetwork(nn.Module):
    """A linear layer on each pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = weight_norm(nn.Linear(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.permute(0, 2, 3, 1).contiguous()
        batch, height, width, features = flat.shape
        out: Tensor = self.linear(flat.view(-1, features))
        return out.view(batch, height, width, -1).permute(0, 3, 1, 2)


class GatedBlock(nn.Module):
    """A gated residual block of one stream; `skips` others are concatenated before its 1x1."""

    def __init__(
        self,
        config: PixelCNNConfig,
        skips: int,
        *,
        sees_right: bool,
        dropout: type[nn.Module],
    ) -> None:
        super().__init__()
        features = config.features
        kernel = (2, 3) if sees_right else (2, 2)
        self.conv_in = ShiftedConv2d(
            2 * features, features, kernel, sees_right=sees_right, stride=1
        )
        self.skip = NetworkInNetwork(2 * features * skips, features) if skips else None
        self.dropout = dropout(config.dropout)
        self.conv_out = ShiftedConv2d(
            2 * features, 2 * features, kernel, sees_right=sees_right, stride=1
        )
        self.label = nn.Linear(config.embedding, features)

    def forward(self, x: Tensor, embedded: Tensor, skip: Tensor | None = None) -> Tensor:
        h = self.conv_in(concat_elu(x))
        if self.skip is not None:
            assert skip is not None
            h = h + self.skip(concat_elu(skip))
        h = self.conv_out(self.dropout(concat_elu(h)))
        update, gate = torch.chunk(h, 2, dim=1)
        label = self.label(F.elu(embedded))[:, :, None, None]
        gated: Tensor = x + update * torch.sigmoid(gate) + label
        return gated


class PlainPixelCNN(nn.Module):
    """PixelCNN++ with gated fusion; the interface of `pixelbayes.core.PixelCNN`.

    Args:
        config: Of the network.
        dropout: Of whole channels, as the ports have it, or `nn.Dropout`, as the paper has it.

    Raises:
        ValueError: If the fusion is another one or a side is not divisible by 4.
    """

    def __init__(self, config: PixelCNNConfig, dropout: type[nn.Module] = nn.Dropout2d) -> None:
        super().__init__()
        if config.fusion != "gated" or any(side % 4 for side in config.image_size):
            raise ValueError(
                "the baseline is written for gated fusion and sides divisible by 4, got "
                f"{config.fusion!r} and {config.image_size}"
            )
        self.config = config
        features, inputs = config.features, config.channels + 1
        self.embedding = nn.Embedding(config.classes, config.embedding)
        self.input_u = ShiftedConv2d(inputs, features, (2, 3), sees_right=True, stride=1)
        self.input_row = ShiftedConv2d(inputs, features, (1, 3), sees_right=True, stride=1)
        self.input_left = ShiftedConv2d(inputs, features, (2, 1), sees_right=False, stride=1)

        def blocks(count: int, skips: int, *, sees_right: bool) -> nn.ModuleList:
            return nn.ModuleList(
                GatedBlock(config, skips, sees_right=sees_right, dropout=dropout)
                for _ in range(count)
            )

        up = [config.blocks_per_stage] * STAGES
        down = [config.blocks_per_stage + (stage > 0) for stage in range(STAGES)]
        self.up_u = nn.ModuleList(blocks(n, 0, sees_right=True) for n in up)
        self.up_ul = nn.ModuleList(blocks(n, 1, sees_right=False) for n in up)
        self.down_u = nn.ModuleList(blocks(n, 1, sees_right=True) for n in down)
        self.down_ul = nn.ModuleList(blocks(n, 2, sees_right=False) for n in down)
        self.shrink_u = nn.ModuleList(
            ShiftedConv2d(features, features, (2, 3), sees_right=True, stride=2)
            for _ in range(STAGES - 1)
        )
        self.shrink_ul = nn.ModuleList(
            ShiftedConv2d(features, features, (2, 2), sees_right=False, stride=2)
            for _ in range(STAGES - 1)
        )
        self.grow_u = nn.ModuleList(
            ShiftedConvTranspose2d(features, (2, 3)) for _ in range(STAGES - 1)
        )
        self.grow_ul = nn.ModuleList(
            ShiftedConvTranspose2d(features, (2, 2)) for _ in range(STAGES - 1)
        )
        outputs = config.mixtures * parameters_per_component(config.channels)
        self.output = NetworkInNetwork(features, outputs)

    def forward(self, levels: Tensor, labels: Tensor) -> DiscretizedLogisticMixture:
        """Describes each image under its label; levels uint8 (B, C, H, W), labels int64 (B,)."""
        x = to_axis(levels, self.embedding.weight.dtype)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        embedded = self.embedding(labels)
        us = [down_shift(self.input_u(x))]
        uls = [down_shift(self.input_row(x)) + right_shift(self.input_left(x))]
        for stage in range(STAGES):
            if stage > 0:
                us.append(self.shrink_u[stage - 1](us[-1]))
                uls.append(self.shrink_ul[stage - 1](uls[-1]))
            for block_u, block_ul in zip(self.up_u[stage], self.up_ul[stage], strict=True):  # type: ignore[call-overload]
                us.append(block_u(us[-1], embedded))
                uls.append(block_ul(uls[-1], embedded, us[-1]))

        u, ul = us.pop(), uls.pop()
        for stage in range(STAGES):
            if stage > 0:
                u, ul = self.grow_u[stage - 1](u), self.grow_ul[stage - 1](ul)
            for block_u, block_ul in zip(self.down_u[stage], self.down_ul[stage], strict=True):  # type: ignore[call-overload]
                u = block_u(u, embedded, us.pop())
                ul = block_ul(ul, embedded, torch.cat([u, uls.pop()], dim=1))
        return DiscretizedLogisticMixture.from_parameters(
            self.output(F.elu(ul)), self.config.channels
        )

    @torch.no_grad()
    def load_from(self, model: PixelCNN) -> PlainPixelCNN:
        """Copies the weights of a network of the same configuration; returns itself."""
        assert isinstance(model.fusion, GatedFusion)
        assert model.config == self.config
        self.embedding.weight.copy_(model.fusion.embedding.weight)
        _copy(self.input_u.conv, model.input_u)
        _copy(self.input_row.conv, model.input_row)
        _copy(self.input_left.conv, model.input_left)
        _copy(self.output.linear, model.output)
        for there, u, ul in (
            (model.shrink, self.shrink_u, self.shrink_ul),
            (model.expand, self.grow_u, self.grow_ul),
        ):
            for change, here_u, here_ul in zip(there, u, ul, strict=True):
                _copy(here_u.conv, change.u)  # type: ignore[arg-type]
                _copy(here_ul.conv, change.ul)  # type: ignore[arg-type]
        projections = iter(model.fusion.projections)
        for mine, theirs in self._blocks(model):
            mine.label.load_state_dict(next(projections).state_dict())
            _copy(mine.conv_in.conv, theirs.conv_in)
            _copy(mine.conv_out.conv, theirs.conv_out)
            if mine.skip is not None:
                assert theirs.skip is not None
                skips = theirs.skip.direction.shape[1] // (2 * self.config.features)
                _copy(mine.skip.linear, theirs.skip, skips)
        return self

    def _blocks(self, model: PixelCNN) -> Iterator[tuple[GatedBlock, GatedResidual]]:
        """Blocks of both networks in the order of the labels' projections."""
        for stages, us, uls in (
            (model.encoder, self.up_u, self.up_ul),
            (model.decoder, self.down_u, self.down_ul),
        ):
            for stage, stage_u, stage_ul in zip(stages, us, uls, strict=True):
                for theirs, u, ul in zip(stage, stage_u, stage_ul, strict=True):  # type: ignore[call-overload]
                    yield u, theirs.u
                    yield ul, theirs.ul


def _copy(mine: nn.Module, theirs: WeightNormConv2d, skips: int = 1) -> None:
    """Direction, gain and bias; one concat-ELU of all skips orders its channels by sign first."""
    weight: nn.Module = mine.parametrizations.weight  # type: ignore[union-attr, assignment]
    direction = theirs.direction
    if skips > 1:
        direction = direction.unflatten(1, (skips, 2, -1)).transpose(1, 2).flatten(1, 3)
    weight.original0.copy_(theirs.gain.view(weight.original0.shape))  # type: ignore[operator, arg-type]
    weight.original1.copy_(direction.reshape(weight.original1.shape))  # type: ignore[operator, arg-type]
    mine.bias.copy_(theirs.bias)  # type: ignore[operator]
