"""Causal self-attention: a position reads all earlier ones at once, however far away.

Features of the stream `ul` at a position hold only pixels before it, so a position may attend to
itself and to every position before it in raster order, and nothing leaks.  Convolutions reach only
so far (docs/mathematics.md has how far).  Attention at the full resolution reaches everything, if
each position also reads the pixel before it in raster order: at the start of a row that is the last
one of the row above, which no other position there holds.

Shapes: B images, C channels, F features, H x W positions of the resolution where it stands.

References:
    [1] Chen et al., PixelSNAIL, ICML 2018, section 2 and appendix.
        https://arxiv.org/abs/1712.09763
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.core.blocks import ENCODER_GATE_SCALE, GatedResidual, Stream
from pixelbayes.core.conditioning import BlockConditioning
from pixelbayes.core.layers import Carry, PointwiseConv2d

__all__ = ["CausalAttention", "pixel_before", "positions"]


def positions(rows: int, columns: int) -> Tensor:
    """Row and column of each position, each on [-1/2, 1/2), (1, 2, H, W), as in [1]."""
    row, column = torch.arange(rows) / rows - 0.5, torch.arange(columns) / columns - 0.5
    return torch.stack(torch.meshgrid(row, column, indexing="ij"))[None]


def pixel_before(x: Tensor) -> Tensor:
    """Moves the image on by one pixel in raster order; the first becomes zero, (B, C, H, W)."""
    return F.pad(x.flatten(2), (1, -1)).view(x.shape)


class CausalAttention(nn.Module):
    r"""Attention with one head, merged by a gated block of 1x1 layers.

        (q, k, v) = NIN([concat_elu(x), row, column, pixel before])
        a_n = sum over m <= n of softmax_m(q_n . k_m / sqrt(F)) v_m
        x'  = GatedResidual(x, skip a)

    with n and m in raster order, and q, k, v of F numbers each.

    Args:
        features: F.
        size: Rows and columns of the positions.
        dropout: Of the gated block.
        channels: C where the positions are pixels, each reading the one before; 0 elsewhere.
    """

    positions: Tensor

    def __init__(
        self, features: int, size: tuple[int, int], dropout: nn.Module, *, channels: int = 0
    ) -> None:
        super().__init__()
        self.features = features
        self.project = PointwiseConv2d(2 * features + 2 + channels, 3 * features)
        self.merge = GatedResidual(
            PointwiseConv2d, features, 1, gate_scale=ENCODER_GATE_SCALE, dropout=dropout
        )
        self.register_buffer("positions", positions(*size), persistent=False)

    def forward(
        self, x: Stream, carry: Carry | None = None, before: Tensor | None = None
    ) -> Stream:
        """Returns the stream with what it attended to, (B, F, H, W).

        Args:
            x: Features of the whole image, or, with a carry, of its next rows.
            carry: Keeps keys and values of all rows so far, (B, 2 F, rows, W).
            before: From `pixel_before`, the same rows, where there are channels for it.
        """
        above = None if carry is None else carry.get(self)
        first, rows = 0 if above is None else above.shape[2], x.features.shape[2]
        inputs = [x.activated, self.positions[:, :, first : first + rows]]
        if before is not None:
            inputs.append(before)
        projected = self.project(*(part.to(x.activated.dtype) for part in inputs))
        queries, known = projected.split([self.features, 2 * self.features], dim=1)
        if carry is not None:
            known = known if above is None else torch.cat([above, known], dim=2)
            carry[self] = known
        keys, values = known.chunk(2, dim=1)
        attended = _attend(*(_in_raster_order(part) for part in (queries, keys, values)))
        attended = attended.view(-1, rows, x.features.shape[3], self.features).movedim(-1, 1)
        merged: Stream = self.merge(x, (Stream.of(attended),), BlockConditioning())
        return merged


def _in_raster_order(x: Tensor) -> Tensor:
    """(B, F, H, W) -> (B, 1, H W, F)."""
    return x.movedim(1, -1).flatten(1, 2)[:, None]


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The last positions attend to themselves and all before; (B, N, F)."""
    asked, known = queries.shape[2], keys.shape[2]
    if asked == known:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)[:, 0]
    every = torch.ones(asked, known, dtype=torch.bool, device=keys.device)
    mask = every.tril(diagonal=known - asked)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)[:, 0]
