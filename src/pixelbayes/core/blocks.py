"""Gated residual blocks: the one non-linear piece that the network repeats.

References:
    [1] Salimans et al., PixelCNN++, ICLR 2017, section 2.3 and appendix.
        https://arxiv.org/abs/1701.05517
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core.conditioning import BlockConditioning
from pixelbayes.core.layers import (
    Carry,
    DownRightShiftedConv2d,
    DownShiftedConv2d,
    PointwiseConv2d,
    WeightNormConv2d,
    aligned_sum,
    concat_elu,
    memory_format,
    spread,
)

__all__ = ["GatedResidual", "Stream", "TwoStreamBlock", "gated_sum"]

ENCODER_GATE_SCALE = 0.1  # openai/pixel-cnn (nn.py): a new block changes its input little
DECODER_GATE_SCALE = 1.0  # short cuts enter through the gates only: at 0.1 they start muted


@dataclass(frozen=True)
class Stream:
    """Features of one stream and, because several layers read it, their concat-ELU.

    Attributes:
        features: (B, F, H, W).
        activated: concat_elu(features), (B, 2 F, H, W).
    """

    features: Tensor
    activated: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Stream:
        """Computes the activation once, for every later reader."""
        return cls(features, concat_elu(features))


class _GatedSum(torch.autograd.Function):
    r"""x + a s with s = sigmoid(b); the derivatives are da = s and db = a s (1 - s)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gates: Tensor) -> Tensor:
        # Halves of their own: on a strided one PyTorch's sigmoid takes five times as long.
        a, b = (half.clone(memory_format=memory_format(x)) for half in gates.chunk(2, dim=1))
        s = b.sigmoid_()
        ctx.save_for_backward(a, s)
        return torch.addcmul(x, a, s)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grad_outputs
        a, s = ctx.saved_tensors
        grad_b = torch.ops.aten.sigmoid_backward(grad * a, s)
        return grad, torch.cat([grad * s, grad_b], dim=1)


def gated_sum(x: Tensor, gates: Tensor) -> Tensor:
    """x + a * sigmoid(b), where (a, b) are the halves of the gates' 2 F channels.

    Args:
        x: (B, F, H, W).
        gates: (B, 2 F, H, W), or (B R, 2 F, H, W) once labels entered.
    """
    total: Tensor = _GatedSum.apply(spread(x, len(gates)), gates)  # type: ignore[no-untyped-call]
    return total


class GatedResidual(nn.Module):
    r"""x + a * sigmoid(b), where (a, b) come from two convolutions with a skip between them.

        h      = Conv(concat_elu(x)) + NIN(concat_elu(skips))
        (a, b) = Conv(dropout(concat_elu(h)))

    The label may scale and shift h, shift (a, b), or be added to the result
    (`pixelbayes.core.fusion`).

    Args:
        conv: The convolution of the stream this block belongs to.
        features: F.
        skips: How many other feature maps of F channels enter (0, 1 or 2).
        gate_scale: Deviation of the gate's pre-activations after initialisation from data.
        dropout: Applied to the activated h; has no weights, so one serves all blocks.
    """

    def __init__(
        self,
        conv: type[DownShiftedConv2d] | type[DownRightShiftedConv2d] | type[PointwiseConv2d],
        features: int,
        skips: int,
        *,
        gate_scale: float,
        dropout: nn.Module,
    ) -> None:
        super().__init__()
        self.conv_in: WeightNormConv2d = conv(2 * features, features)
        self.skip = PointwiseConv2d(2 * features * skips, features) if skips else None
        self.dropout = dropout
        self.conv_out: WeightNormConv2d = conv(2 * features, 2 * features, init_scale=gate_scale)

    def forward(
        self,
        x: Stream,
        skips: tuple[Stream, ...],
        conditioning: BlockConditioning,
        carry: Carry | None = None,
    ) -> Stream:
        """Returns the block's output, (B, F, H, W), with B R images once labels entered."""
        h = self.conv_in(x.activated, carry=carry)
        if self.skip is not None:
            h = aligned_sum(h, self.skip(*(skip.activated for skip in skips)))
        h = conditioning.on_hidden(h)
        middle = concat_elu(h, self.dropout)
        gates = conditioning.on_gates(self.conv_out(middle, carry=carry))
        out = gated_sum(x.features, gates)
        return Stream.of(conditioning.on_result(out))


class TwoStreamBlock(nn.Module):
    """One block of each stream; `ul` also reads what `u` has just computed.

    Args:
        features: F.
        decoder: Whether short cuts of the way in enter (the way out).
        dropout: See `GatedResidual`.
    """

    def __init__(self, features: int, *, decoder: bool, dropout: nn.Module) -> None:
        super().__init__()
        scale = DECODER_GATE_SCALE if decoder else ENCODER_GATE_SCALE
        skips = int(decoder)
        self.u = GatedResidual(
            DownShiftedConv2d, features, skips, gate_scale=scale, dropout=dropout
        )
        self.ul = GatedResidual(
            DownRightShiftedConv2d, features, skips + 1, gate_scale=scale, dropout=dropout
        )

    def forward(
        self,
        streams: tuple[Stream, Stream],
        short_cuts: tuple[Stream, Stream] | None,
        conditioning: tuple[BlockConditioning, BlockConditioning],
        carry: Carry | None = None,
    ) -> tuple[Stream, Stream]:
        """Returns the new (u, ul)."""
        u, ul = streams
        u_skips, ul_skips = ((short_cuts[0],), (short_cuts[1],)) if short_cuts else ((), ())
        u = self.u(u, u_skips, conditioning[0], carry)
        ul = self.ul(ul, (u, *ul_skips), conditioning[1], carry)
        return u, ul


def elu_projection(h: Tensor, projection: PointwiseConv2d) -> Tensor:
    """The last layer, projection(elu(h)), in float32 or wider whatever the network's precision."""
    with torch.autocast(h.device.type, enabled=False):
        if h.dtype in (torch.float16, torch.bfloat16):
            h = h.float()
        out: Tensor = projection(F.elu(h))
        return out
