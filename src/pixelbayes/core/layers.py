"""Convolutions that see only what was drawn before, and the small pieces around them.

Two streams of features keep the order of pixels: `u` looks at the rows above, `ul` at the
rows above and at the pixels to the left.  Each kind of convolution below belongs to one
stream; its padding is the whole mechanism.

Shapes: B images, F features, H x W pixels.

References:
    [1] Salimans et al., PixelCNN++, ICLR 2017.  https://arxiv.org/abs/1701.05517
    [2] van den Oord et al., Conditional Image Generation with PixelCNN Decoders, NeurIPS
        2016, section 2.2 (the blind spot).  https://arxiv.org/abs/1606.05328
    [3] Salimans & Kingma, Weight Normalization, NeurIPS 2016.
        https://arxiv.org/abs/1602.07868
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "Carry",
    "DownRightShiftedConv2d",
    "DownRightShiftedConvTranspose2d",
    "DownShiftedConv2d",
    "DownShiftedConvTranspose2d",
    "ElementDropout",
    "PointwiseConv2d",
    "WeightNormConv2d",
    "aligned_sum",
    "concat_elu",
    "shift_down",
    "shift_right",
]

BYTES = 256  # values of one random byte
DIRECTION_STD = 0.05  # of the unnormalised kernel, as in openai/pixel-cnn (nn.py)


Carry = dict[nn.Module, Tensor]
"""Last input row of each convolution that reads two rows, (B, F, 1, W)."""


class _ConcatELU(torch.autograd.Function):
    """In place, and with a backward pass from the result: half the passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = F.elu_(torch.cat([x, -x], dim=1))
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        # Scales and alpha 1; True: the derivative is taken from the result.
        grad = torch.ops.aten.elu_backward(grad_outputs[0], 1.0, 1.0, 1.0, True, result)
        positive, negative = grad.chunk(2, dim=1)
        difference: Tensor = positive - negative
        return difference


def concat_elu(x: Tensor) -> Tensor:
    """ELU of the features and of their negatives, (B, F, H, W) -> (B, 2 F, H, W)."""
    activated: Tensor = _ConcatELU.apply(x)  # type: ignore[no-untyped-call]
    return activated


def shift_down(x: Tensor) -> Tensor:
    """Moves every row down by one; the first becomes zero."""
    return F.pad(x, (0, 0, 1, -1))


def shift_right(x: Tensor) -> Tensor:
    """Moves every column right by one; the first becomes zero."""
    return F.pad(x, (1, -1, 0, 0))


def aligned_sum(*terms: Tensor) -> Tensor:
    """Sum of features of B images and of the same B images under each of R labels.

    A term of batch B is one that no label has touched yet; in a term of batch B R the labels
    of an image are neighbours.  With equal batches this is an ordinary sum.
    """
    batch = max(len(term) for term in terms)
    return reduce(torch.add, (_spread(term, batch) for term in terms))


def _spread(term: Tensor, batch: int) -> Tensor:
    return term if len(term) == batch else term.repeat_interleave(batch // len(term), dim=0)


class ElementDropout(nn.Module):
    """Drops single elements with probability p and scales the others by 1 / (1 - p).

    On a CPU `torch.nn.Dropout` draws a double per element and takes a fifth of a training
    step; here one random byte decides, so p is rounded to a multiple of 1/256 (and the scale
    with it).  Elsewhere it is `torch.nn.functional.dropout`.

    Args:
        p: In [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.dropped_bytes = min(round(p * BYTES), BYTES - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Any dense shape; the global generator of x's device decides."""
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        drawn = words.view(torch.uint8)[: x.numel()].as_strided(x.shape, x.stride())
        scale = BYTES / (BYTES - self.dropped_bytes)
        return x * (drawn >= self.dropped_bytes).to(x.dtype).mul_(scale)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"p={self.p}"


class WeightNormConv2d(nn.Module):
    """Convolution whose kernel is a direction times a gain per output channel [3].

    Attributes:
        direction: Unnormalised kernel v, (out, in, rows, columns); (in, out, rows, columns) in
            the transposed subclasses.
        gain: Length g of each output channel's kernel, (out,).
        bias: (out,).
        init_scale: Standard deviation of the outputs after data-dependent initialisation.

    Args:
        in_channels: Channels of the input; several inputs are taken as concatenated.
        out_channels: Channels of the output.
        kernel_size: Rows and columns.
        stride: 1, or 2 where a stage halves the resolution.
        init_scale: See the attribute.
    """

    out_axis = 0
    padding = (0, 0, 0, 0)  # left, right, top, bottom

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        stride: int = 1,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.init_scale = init_scale
        shape = (out_channels, in_channels, *kernel_size)
        if self.out_axis == 1:
            shape = (in_channels, out_channels, *kernel_size)
        self.direction = nn.Parameter(torch.randn(shape, dtype=torch.float32) * DIRECTION_STD)
        self.gain = nn.Parameter(torch.empty(out_channels, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(out_channels, dtype=torch.float32))
        nn.init.constant_(self.gain, init_scale)

    def weight(self) -> Tensor:
        """The normalised kernel g v / |v|, shaped as `direction`."""
        shape = [1, 1, 1, 1]
        shape[self.out_axis] = -1
        return torch._weight_norm(self.direction, self.gain.view(shape), self.out_axis)

    def forward(self, *inputs: Tensor, carry: Carry | None = None) -> Tensor:
        """Convolves the concatenation of `inputs` without building it.

        Args:
            inputs: (B, F_i, H, W) with the F_i summing to `in_channels`; a batch that is a
                multiple of another's holds several labels for each image (`aligned_sum`).
            carry: Where the last row of a single input is kept, to stand above the next rows of
                the same image.
        """
        if len(inputs) > 1:
            total = aligned_sum(*self.terms(*inputs))
            return total + self.bias.to(total.dtype)[:, None, None]  # autocast leaves sums alone
        (x,) = inputs
        if carry is None or self.padding[2] == 0:
            return self._convolve(x, self.weight(), self.bias, self.padding)
        left, right, top, bottom = self.padding
        assert top == 1, "one row is carried"
        above = carry.get(self, torch.zeros_like(x[:, :, :1]))
        carry[self] = x[:, :, -1:]
        x = torch.cat([above, x], dim=2)
        return self._convolve(x, self.weight(), self.bias, (left, right, 0, bottom))

    def terms(self, *inputs: Tensor) -> list[Tensor]:
        """What each input contributes to the output, which is their sum and the bias."""
        weight = self.weight()
        parts = torch.split(weight, [part.shape[1] for part in inputs], dim=1 - self.out_axis)
        return [
            self._convolve(x, part, None, self.padding)
            for x, part in zip(inputs, parts, strict=True)
        ]

    def _convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int, int, int]
    ) -> Tensor:
        # Convolutions pad both sides alike and without a copy; what a missing right or lower
        # side would have been is cut off.
        left, right, top, bottom = padding
        out = F.conv2d(x, weight, bias, self.stride, padding=(top, left))
        rows = 1 + (x.shape[2] + top + bottom - weight.shape[2]) // self.stride
        columns = 1 + (x.shape[3] + left + right - weight.shape[3]) // self.stride
        return out[:, :, :rows, :columns]

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"{tuple(self.direction.shape)}, stride={self.stride}"


class PointwiseConv2d(WeightNormConv2d):
    """1x1 convolution: a linear map of each pixel's features ("network in network")."""

    def __init__(self, in_channels: int, out_channels: int, *, init_scale: float = 1.0) -> None:
        super().__init__(in_channels, out_channels, (1, 1), init_scale=init_scale)

    def _convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, _: tuple[int, int, int, int]
    ) -> Tensor:
        # A matrix product of the pixels: in this layout twice as fast as the convolution.
        return F.linear(x.movedim(1, -1), weight[:, :, 0, 0], bias).movedim(-1, 1)


class DownShiftedConv2d(WeightNormConv2d):
    r"""Convolution that sees the current row, and rows above it, to both sides.

        x x x      x: read by the kernel (kernel_size = (2, 3))
        x o x      o: the output position, itself included

    Right for the stream `u` once the first layer's output is shifted down by a row: from
    then on row i of the features holds only image rows before i.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int] = (2, 3),
        *,
        stride: int = 1,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, init_scale=init_scale
        )
        rows, columns = kernel_size
        self.padding = ((columns - 1) // 2, (columns - 1) // 2, rows - 1, 0)


class DownRightShiftedConv2d(WeightNormConv2d):
    r"""Convolution that sees the current row up to this pixel, and the rows above it.

        x x .      x: read by the kernel (kernel_size = (2, 2))
        x o .      o: the output position, itself included
        . . .

    "Itself included" is right for every layer but the first: the first layer's output is
    shifted by one pixel (`shift_right`), after which position (i, j) holds only what came
    before (i, j).  Together with the stream from above it leaves no blind spot (section 2.2
    of [2]).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int] = (2, 2),
        *,
        stride: int = 1,
        init_scale: float = 1.0,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, init_scale=init_scale
        )
        rows, columns = kernel_size
        self.padding = (columns - 1, 0, rows - 1, 0)


class _ConvTranspose2d(WeightNormConv2d):
    """Doubles the resolution; position i writes to rows 2 i and 2 i + 1, never above."""

    out_axis = 1
    crop_left = 0

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int]) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=2)

    def _convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, _: tuple[int, int, int, int]
    ) -> Tensor:
        height, width = x.shape[2:]
        grown = F.conv_transpose2d(x, weight, bias, stride=2, output_padding=self.crop_left)
        return grown[:, :, : 2 * height, self.crop_left : self.crop_left + 2 * width]


class DownShiftedConvTranspose2d(_ConvTranspose2d):
    """Way up of the stream `u`, kernel (2, 3): the inverse layout of `DownShiftedConv2d`."""

    crop_left = 1

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (2, 3))


class DownRightShiftedConvTranspose2d(_ConvTranspose2d):
    """Way up of the stream `ul`, kernel (2, 2): the inverse of `DownRightShiftedConv2d`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (2, 2))
