"""Images that are not of the course's data: what an outlier score should tell apart.

Each is uint8 (N, 3, 32, 32).  Course images are JPEG files of 64 x 64 pixels, reduced by half, so
the 8 x 8 grid of JPEG's blocks lies every 4 pixels in them, and in nothing else here but what is
made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.data import load_dataset

__all__ = ["strangers"]

SIDE = 32
PATCH = 8
TEXTURE_WAVES = 6


def strangers(course: Tensor, cifar10: Path, count: int, seed: int = 0) -> Mapping[str, Tensor]:
    """The sets of strangers by name.

    Args:
        course: Validation images, from which two of the sets are made.
        cifar10: An .npz file with `x_test`, uint8 (N, 32, 32, 3).
        count: Images of each.
        seed: Of what is drawn.
    """
    draw = torch.Generator().manual_seed(seed)
    chosen = course[torch.randperm(len(course), generator=draw)[:count]]
    with np.load(cifar10) as file:
        photographs = torch.from_numpy(file["x_test"]).movedim(-1, 1)
    noise = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=draw).to(torch.uint8)
    colours = torch.randint(0, 256, (count, 3, 1, 1), generator=draw).to(torch.uint8)
    return {
        "CIFAR-10": photographs[torch.randperm(len(photographs), generator=draw)[:count]],
        "digits, enlarged": _digits(count),
        "patches shuffled": torch.stack([_shuffled(one, draw) for one in chosen]),
        "upside down": chosen.flip(2),
        "noise": noise,
        "textures": torch.stack([_texture(draw) for _ in range(count)]),
        "one colour": colours.expand(-1, -1, SIDE, SIDE).contiguous(),
    }


def _digits(count: int) -> Tensor:
    levels = load_dataset("digits").split("train").levels[:count, 0]
    enlarged = [
        np.asarray(Image.fromarray(one.numpy()).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        for one in levels
    ]
    return torch.from_numpy(np.stack(enlarged))[:, None].repeat(1, 3, 1, 1)


def _shuffled(image: Tensor, draw: torch.Generator) -> Tensor:
    """Squares of 8 x 8 pixels in another order."""
    squares = image.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH)  # (3, 4, 4, 8, 8)
    flat = squares.flatten(1, 2)[:, torch.randperm(squares.shape[1] ** 2, generator=draw)]
    rows, columns = squares.shape[1:3]
    across = flat.view(3, rows, columns, PATCH, PATCH)
    return across.permute(0, 1, 3, 2, 4).reshape(3, SIDE, SIDE)


def _texture(draw: torch.Generator) -> Tensor:
    """Coloured waves of random directions, with a little noise."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(SIDE).double()] * 2, indexing="ij"))
    waves = torch.randn(TEXTURE_WAVES, 2, generator=draw, dtype=torch.float64)
    phases = 6.3 * torch.rand(TEXTURE_WAVES, 1, 1, generator=draw, dtype=torch.float64)
    mixed = torch.randn(3, TEXTURE_WAVES, generator=draw, dtype=torch.float64)
    pattern = torch.sin(torch.einsum("wd,dij->wij", waves, grid) + phases)
    image = 128 + 30 * torch.einsum("cw,wij->cij", mixed, pattern)
    image += 4 * torch.randn(image.shape, generator=draw, dtype=torch.float64)
    return image.round().clamp(0, 255).to(torch.uint8)
