"""The network: levels and a condition in, one distribution per pixel out.

Two streams (`u` above, `ul` above and left) walk through three resolutions and back, with
short cuts between the ways in and out.  Everything that depends on the label, or on the view of
the image, comes from `fusion`.

Shapes: B images, R labels, F features, H x W pixels.

References:
    [1] Salimans et al., PixelCNN++, ICLR 2017, section 2 and figure 2.
        https://arxiv.org/abs/1701.05517
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixelbayes.core.attention import CausalAttention, pixel_before
from pixelbayes.core.blocks import (
    ENCODER_GATE_SCALE,
    GatedResidual,
    Stream,
    TwoStreamBlock,
    elu_projection,
)
from pixelbayes.core.conditioning import Condition, Conditioning
from pixelbayes.core.config import STAGES, PixelCNNConfig
from pixelbayes.core.fusion import Entrances, make_fusion
from pixelbayes.core.layers import (
    Carry,
    DownRightShiftedConv2d,
    DownRightShiftedConvTranspose2d,
    DownShiftedConv2d,
    DownShiftedConvTranspose2d,
    ElementDropout,
    PointwiseConv2d,
    WeightNormConv2d,
    aligned_sum,
    shift_down,
    shift_right,
)
from pixelbayes.core.likelihood import (
    DiscretizedLogisticMixture,
    parameters_per_component,
    require_levels,
    to_axis,
)
from pixelbayes.errors import PixelBayesError

__all__ = ["PixelCNN", "ResolutionChange"]


class ResolutionChange(nn.Module):
    """Halves or doubles the resolution of both streams.

    Args:
        features: F of what enters.
        result: F of what comes out.
        grow: Whether it doubles.
    """

    def __init__(self, features: int, result: int, *, grow: bool) -> None:
        super().__init__()
        self.grow = grow
        self.u: nn.Module
        self.ul: nn.Module
        if grow:
            self.u = DownShiftedConvTranspose2d(features, result)
            self.ul = DownRightShiftedConvTranspose2d(features, result)
        else:
            self.u = DownShiftedConv2d(features, result, stride=2)
            self.ul = DownRightShiftedConv2d(features, result, stride=2)

    def forward(
        self,
        streams: tuple[Stream, Stream],
        size: torch.Size | None = None,
        carry: Carry | None = None,
    ) -> tuple[Stream, Stream]:
        """Returns (u, ul); grown ones are cropped to `size`, where H or W was odd."""
        u = self.u(streams[0].features, carry=carry)
        ul = self.ul(streams[1].features, carry=carry)
        if size is not None:
            u, ul = u[..., : size[0], : size[1]], ul[..., : size[0], : size[1]]
        return Stream.of(u), Stream.of(ul)


class PixelCNN(nn.Module):
    """Class-conditional PixelCNN++: p(image | label), pixel by pixel in raster order.

    >>> model = PixelCNN(PixelCNNConfig(classes=4, image_size=(8, 8), features=8, mixtures=2))
    >>> images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    >>> model(images, torch.tensor([0, 3])).log_prob(images).shape
    torch.Size([2])
    """

    def __init__(self, config: PixelCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.fusion = make_fusion(
            config.fusion,
            Entrances(config.block_features, config.head_layers, config.label_channels),
            classes=config.classes,
            embedding=config.embedding,
            views=config.views,
        )
        widths, depths = config.stage_features, config.stage_blocks
        features = widths[0]
        dropout: nn.Module = ElementDropout(config.dropout)
        if config.dropout_of == "channels":
            dropout = nn.Dropout2d(config.dropout)
        inputs = config.channels + 1 + self.fusion.input_channels
        self.input_u = DownShiftedConv2d(inputs, features, (2, 3))
        self.input_row = DownShiftedConv2d(inputs, features, (1, 3))
        self.input_left = DownRightShiftedConv2d(inputs, features, (2, 1))
        if self.fusion.input_channels:
            with torch.no_grad():
                for layer in (self.input_u, self.input_row, self.input_left):
                    layer.direction[:, config.channels + 1 :] = 0.0

        def stage(width: int, blocks: int, *, decoder: bool) -> nn.ModuleList:
            return nn.ModuleList(
                TwoStreamBlock(width, decoder=decoder, dropout=dropout) for _ in range(blocks)
            )

        self.encoder = nn.ModuleList(
            stage(widths[s], depths[s], decoder=False) for s in range(STAGES)
        )
        self.decoder = nn.ModuleList(
            stage(widths[s], depths[s] + (s < STAGES - 1), decoder=True)
            for s in reversed(range(STAGES))
        )
        self.shrink = nn.ModuleList(
            ResolutionChange(widths[s], widths[s + 1], grow=False) for s in range(STAGES - 1)
        )
        self.expand = nn.ModuleList(
            ResolutionChange(widths[s + 1], widths[s], grow=True)
            for s in reversed(range(STAGES - 1))
        )
        self.output = PointwiseConv2d(
            features, config.mixtures * parameters_per_component(config.channels)
        )
        # Last, so that the first weights of all others do not depend on these.
        self.attention: CausalAttention | None = None
        if config.attention != "none":
            at, channels = (0, config.channels) if config.attention == "full" else (STAGES - 1, 0)
            self.attention = CausalAttention(
                widths[at], config.stage_sizes[at], dropout, channels=channels
            )
        self.head = nn.ModuleList(
            GatedResidual(
                PointwiseConv2d, features, 0, gate_scale=ENCODER_GATE_SCALE, dropout=dropout
            )
            for _ in range(self.fusion.head_layers)
        )

    def forward(
        self, levels: Tensor, labels: Tensor, view: int | Tensor = 0
    ) -> DiscretizedLogisticMixture:
        """Describes every pixel of each image given the pixels before it and its condition.

        Args:
            levels: uint8, (B, C, H, W), as the view shows them.
            labels: int64, (B,), in range(classes).
            view: In range(views); one for all images, or one for each, int64, (B,).

        Raises:
            TypeError: If the images are not uint8 or the labels not int64.
            ValueError: If shapes do not fit the configuration.  In training mode, a network without
                attention takes smaller images too, such as `pixelbayes.data.Windows`.
        """
        self._check(levels, labels)
        if len(levels) != len(labels):
            raise PixelBayesError(f"got {len(levels)} images but {len(labels)} labels")
        return self.describe(self._on_axis(levels), self.conditioning(labels, view=view))

    def for_each_label(
        self, levels: Tensor, labels: Tensor, view: int | Tensor = 0
    ) -> DiscretizedLogisticMixture:
        """Describes each of B images under each of R labels, in one pass.

        The images are seen in one view, or each in its own, int64, (B,).

        What no label has touched is computed once per image: everything but the last layer
        for late fusion, or the head, the first block for gated fusion.

        Returns:
            A distribution of batch B R, the labels of an image side by side.

        Raises:
            TypeError: If the images are not uint8 or the labels not int64.
            ValueError: If the images do not fit the configuration.
        """
        self._check(levels, labels)
        conditioning = self.conditioning(labels, image_count=len(levels), view=view)
        described = self.describe(self._on_axis(levels), conditioning)
        missing = len(levels) * len(labels) // len(described.logits)
        if missing == 1:
            return described
        repeated = (part.repeat_interleave(missing, dim=0) for part in vars(described).values())
        return DiscretizedLogisticMixture(*repeated)

    @property
    def shares_trunk(self) -> bool:
        """Whether no label enters before the head or the last layer: all share the features."""
        conditioning = self.conditioning(self.output.bias.new_zeros(1, dtype=torch.int64))
        return conditioning.input is None and all(
            vector is None
            for block in conditioning.blocks
            for vector in (block.scale, block.shift, block.gates, block.result)
        )

    def conditioning(
        self, labels: Tensor, image_count: int | None = None, view: int | Tensor = 0
    ) -> Conditioning:
        """The vectors that the condition adds to the network; they depend on nothing else.

        Args:
            labels: int64, (R,).
            image_count: B, if each of B images is to meet each of the R labels.
            view: One for all, or one for each image.

        Raises:
            ValueError: If there is no such view.
        """
        if isinstance(view, int) and not 0 <= view < self.config.views:
            raise PixelBayesError(f"this model has {self.config.views} view(s), got number {view}")
        if isinstance(view, Tensor) and image_count is not None:
            view = view[:, None]
        condition = Condition(labels, view)
        conditioning: Conditioning = self.fusion(condition, self.config.gated_blocks, image_count)
        return conditioning

    def _check(self, levels: Tensor, labels: Tensor) -> None:
        require_levels(levels, self.config.channels)
        size = tuple(levels.shape[2:])
        if size != self.config.image_size and not (self.training and self._is_window(size)):
            raise PixelBayesError(
                f"this model describes images of {self.config.image_size} pixels, got "
                f"{size}; resize the images or rebuild the model"
            )
        if labels.dtype != torch.int64 or labels.ndim != 1:
            raise TypeError(
                f"labels are int64 of shape (batch,), got {labels.dtype} {tuple(labels.shape)}"
            )

    def _is_window(self, size: tuple[int, ...]) -> bool:
        """Whether images of this size may teach the network: attention knows places by number."""
        fits = all(part <= whole for part, whole in zip(size, self.config.image_size, strict=True))
        return self.attention is None and fits

    def _on_axis(self, levels: Tensor) -> Tensor:
        return to_axis(levels, self.output.direction.dtype)

    def describe_rows(
        self,
        levels: Tensor,
        labels: Tensor,
        rows: slice,
        carry: Carry,
        view: int | Tensor = 0,
    ) -> DiscretizedLogisticMixture:
        """Describes some rows of each image, given all rows above them.

        Called from the top down over adjoining slices of four rows or a multiple (two halvings
        of the resolution), with the same carry, this is `forward` in pieces.

        Args:
            levels: uint8, (B, C, H, W); only rows up to the end of the slice are read.
            labels: int64, (B,).
            rows: The slice, without a step; its start is divisible by 4.
            carry: Empty for the first slice, then what the call before left in it.
            view: As in `forward`.

        Raises:
            ValueError: If the start of the slice is not divisible by 4.
        """
        self._check(levels, labels)
        alignment = 1 << (STAGES - 1)
        if rows.start % alignment:
            raise PixelBayesError(
                f"a slice of rows starts at a multiple of {alignment}, got {rows}"
            )
        # The first layers read two rows above; all others find theirs in the carry.
        context = min(rows.start, 2)
        x = self._on_axis(levels[:, :, rows.start - context : rows.stop])
        conditioning = self.conditioning(labels, view=view)
        streams = tuple(
            Stream.of(stream.features[:, :, context:]) for stream in self._enter(x, conditioning)
        )
        before = pixel_before(x)[:, :, context:]
        return self._describe_from((streams[0], streams[1]), conditioning, before, carry)

    def describe(self, x: Tensor, conditioning: Conditioning) -> DiscretizedLogisticMixture:
        """The network itself, on the [-1, 1] axis; differentiable in `x`.

        Args:
            x: (B, C, H, W).
            conditioning: From `self.conditioning`, for B labels or for R labels of each image.
        """
        streams = self._enter(x, conditioning)
        return self._describe_from(streams, conditioning, pixel_before(x), None)

    def _describe_from(
        self,
        streams: tuple[Stream, Stream],
        conditioning: Conditioning,
        before: Tensor,
        carry: Carry | None,
    ) -> DiscretizedLogisticMixture:
        blocks_of_u, blocks_of_ul = conditioning.blocks[::2], conditioning.blocks[1::2]
        per_block = zip(blocks_of_u, blocks_of_ul, strict=True)
        short_cuts = [streams]
        for stage, blocks in enumerate(self.encoder):
            if stage > 0:
                streams = self.shrink[stage - 1](streams, carry=carry)
                short_cuts.append(streams)
            for block in blocks:  # type: ignore[attr-defined]
                streams = block(streams, None, next(per_block), carry)
                short_cuts.append(streams)

        streams = short_cuts.pop()
        if self.attention is not None and self.config.attention == "lowest":
            streams = (streams[0], self.attention(streams[1], carry))
        for stage, blocks in enumerate(self.decoder):
            if stage > 0:
                size = short_cuts[-1][0].features.shape[2:]
                streams = self.expand[stage - 1](streams, size, carry)
            for block in blocks:  # type: ignore[attr-defined]
                streams = block(streams, short_cuts.pop(), next(per_block), carry)
        assert not short_cuts

        last = streams[1]
        if self.attention is not None and self.config.attention == "full":
            last = self.attention(last, carry, before)
        for layer, condition in zip(self.head, conditioning.head, strict=True):
            last = layer(last, (), condition)
        h = conditioning.on_output(last.features)
        return DiscretizedLogisticMixture.from_parameters(
            elu_projection(h, self.output), self.config.channels
        )

    def _enter(self, x: Tensor, conditioning: Conditioning) -> tuple[Stream, Stream]:
        """First layers: from here on position (i, j) holds only what comes before it."""
        # Channels last from here on: convolutions keep the layout they are given, and this one
        # is the faster on CPUs and on GPUs.
        known = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        inputs = [known.contiguous(memory_format=torch.channels_last)]
        if conditioning.input is not None:
            constant = conditioning.input.flatten(0, -2)
            inputs.append(constant[:, :, None, None].expand(-1, -1, *x.shape[2:]))

        def entered(layer: WeightNormConv2d) -> Tensor:
            if conditioning.image_count is None or len(inputs) == 1:
                return layer(*inputs)  # type: ignore[no-any-return]
            # Every image meets every label: the layer is linear, so each is convolved once.
            assert conditioning.input is not None
            of_images, of_labels = layer.terms(*inputs)
            of_labels = of_labels.unflatten(0, conditioning.input.shape[:-1])
            bias = layer.bias.to(of_labels.dtype)
            both: Tensor = of_images[:, None] + (of_labels + bias[:, None, None])
            return both.flatten(0, 1)

        u = shift_down(entered(self.input_u))
        ul = aligned_sum(shift_down(entered(self.input_row)), shift_right(entered(self.input_left)))
        return Stream.of(u), Stream.of(ul)
