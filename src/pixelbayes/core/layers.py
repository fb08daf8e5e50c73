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

import math
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
    "memory_format",
    "shift_down",
    "shift_right",
    "spread",
]

LOG2_E = math.log2(math.e)
BYTES = 256  # values of one random byte
DIRECTION_STD = 0.05  # of the unnormalised kernel, as in openai/pixel-cnn (nn.py)


Carry = dict[nn.Module, Tensor]
"""Last input row of each convolution that reads two rows, (B, F, 1, W)."""


class _ConcatELU(torch.autograd.Function):
    r"""concat-ELU, and dropout of its result, with one exponential for both signs.

    With e = exp(-|x|) - 1, which lies in [-|x|, 0],

        elu(x) = max(x, e),    elu(-x) = max(-x, e).

    The derivative comes from the result y alone: where y = s elu(x), s being dropout's scale,
    dy/dx is s for y > 0 and y + s elsewhere; a dropped element passes nothing on.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, drawn: Tensor | None, dropped_bytes: int) -> Tensor:
        result = _both_signs(x)
        ctx.scale = 1.0
        if drawn is not None:
            drawn = drawn.as_strided(result.shape, result.stride())
            ctx.scale = BYTES / (BYTES - dropped_bytes)
            _clear_dropped(result.mul_(ctx.scale), drawn, dropped_bytes)
        ctx.dropped_bytes = dropped_bytes
        ctx.save_for_backward(result, drawn)
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        result, drawn = ctx.saved_tensors
        # Alpha 1, scale s, input scale 1; True: the derivative is taken from the result.
        grad = torch.ops.aten.elu_backward(grad_outputs[0], 1.0, ctx.scale, 1.0, True, result)
        if drawn is not None:
            _clear_dropped(grad, drawn, ctx.dropped_bytes)
        positive, negative = grad.chunk(2, dim=1)
        if grad.element_size() == 2:  # PyTorch subtracts strided halves element by element
            layout = memory_format(grad)
            positive = positive.clone(memory_format=layout)
            negative = negative.clone(memory_format=layout)
        return positive - negative, None, None


def _both_signs(x: Tensor) -> Tensor:
    e = x.abs().to(torch.promote_types(x.dtype, torch.float32))
    e = e.mul_(-LOG2_E).exp2_().sub_(1.0).to(x.dtype)  # exp2 costs a third of exp
    return torch.cat([torch.maximum(x, e), torch.maximum(-x, e)], dim=1)


SIGNED = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # integers by size in bytes


def _clear_dropped(x: Tensor, drawn: Tensor, dropped_bytes: int) -> None:
    """Zeroes x in place where the byte drawn for it is below `dropped_bytes`.

    The sign of `dropped_bytes - 1 - byte`, spread over all bits of an element, is a mask for
    its bits: a fifth of the time of a comparison and a product.
    """
    signed = SIGNED[x.element_size()]
    kept = torch.rsub(drawn.to(torch.int16), dropped_bytes - 1).bitwise_right_shift_(15)
    x.view(signed).bitwise_and_(kept.to(signed))


def memory_format(x: Tensor) -> torch.memory_format:
    """The layout that a feature map has."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def concat_elu(x: Tensor, dropout: nn.Module | None = None) -> Tensor:
    """ELU of the features and of their negatives, (B, F, H, W) -> (B, 2 F, H, W).

    Args:
        x: Features.
        dropout: Applied to the result.
    """
    drawn, dropped_bytes = None, 0
    if isinstance(dropout, ElementDropout) and dropout.active and x.device.type == "cpu":
        drawn, dropped_bytes = dropout.draw(2 * x.numel()), dropout.dropped_bytes
    if drawn is None and not x.requires_grad:  # a function with a gradient costs 12 us a call
        activated = _both_signs(x)
    else:
        activated = _ConcatELU.apply(x, drawn, dropped_bytes)  # type: ignore[no-untyped-call]
    return activated if dropout is None or drawn is not None else dropout(activated)


class _Crop(torch.autograd.Function):
    """The first rows and columns; one pass over memory for their gradient instead of four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: int, columns: int) -> Tensor:
        ctx.size, ctx.layout = x.shape, memory_format(x)
        return x[:, :, :rows, :columns]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = grad_outputs
        rows, columns = grad.shape[2:]
        whole = torch.empty(
            ctx.size, dtype=grad.dtype, device=grad.device, memory_format=ctx.layout
        )
        whole[:, :, :rows, :columns] = grad
        whole[:, :, rows:] = 0.0
        whole[:, :, :, columns:] = 0.0
        return whole, None, None


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
    return reduce(torch.add, (spread(term, batch) for term in terms))


def spread(term: Tensor, batch: int) -> Tensor:
    """Repeats each image's features until there are `batch` of them, neighbours alike."""
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

    @property
    def active(self) -> bool:
        """Whether anything is dropped: in training, and if p is not 0."""
        return self.training and self.p > 0.0

    def draw(self, elements: int) -> Tensor:
        """One random byte for each element, from the CPU's global generator."""
        words = torch.empty(-(-elements // 8), dtype=torch.int64).random_(-(2**63), None)
        return words.view(torch.uint8)[:elements]

    def forward(self, x: Tensor) -> Tensor:
        """Any dense shape; the global generator of x's device decides."""
        if not self.active:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        drawn = self.draw(x.numel()).as_strided(x.shape, x.stride())
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
        if (rows, columns) == out.shape[2:]:
            return out
        if not out.requires_grad:
            return out[:, :, :rows, :columns]
        cropped: Tensor = _Crop.apply(out, rows, columns)  # type: ignore[no-untyped-call]
        return cropped

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
        # The 2 x 2 pixels that one becomes are 4 F features of it, computed as such and then put
        # in their places; in the stream `u` the right two also read the next pixel.  PyTorch's
        # transposed convolution with a bias takes ten times as long in bfloat16.
        taps = weight[..., self.crop_left :, None]
        if self.crop_left:
            of_next = F.pad(weight[..., :1], (1, 0))[..., None]
            taps = torch.cat([taps, of_next], dim=-1)
            x = F.pad(x, (0, 1))
        kernel = taps.permute(2, 3, 1, 0, 4).flatten(0, 2)[:, :, None]
        cells = F.conv2d(x, kernel, None if bias is None else bias.repeat(4))
        cells = cells.movedim(1, -1).unflatten(-1, (2, 2, -1))  # (B, H, W, 2, 2, F)
        grown: Tensor = cells.transpose(2, 3).flatten(3, 4).flatten(1, 2).movedim(-1, 1)
        return grown


class DownShiftedConvTranspose2d(_ConvTranspose2d):
    """Way up of the stream `u`, kernel (2, 3): the inverse layout of `DownShiftedConv2d`."""

    crop_left = 1

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (2, 3))


class DownRightShiftedConvTranspose2d(_ConvTranspose2d):
    """Way up of the stream `ul`, kernel (2, 2): the inverse of `DownRightShiftedConv2d`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (2, 2))
