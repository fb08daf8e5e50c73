from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.corruptions import CORRUPTIONS, GREY, contrast, jpeg, noise, occlusion, shift


@pytest.fixture
def levels() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 32, 32), generator=generator).to(torch.uint8)


def pixels(value: int = 100) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((32, 32, 3), value, np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_images_are_spoilt_in_the_same_way(name: str, levels: torch.Tensor) -> None:
    corruption = CORRUPTIONS[name]
    for strength in corruption.strengths:
        spoilt = corruption.to(levels, strength)

        assert (spoilt.shape, spoilt.dtype) == (levels.shape, torch.uint8)
        assert torch.equal(spoilt, corruption.to(levels, strength))
        assert not torch.equal(spoilt, levels)


def test_noise_has_its_deviation() -> None:
    spoilt = noise(pixels(), 16, np.random.default_rng(0)).astype(float)

    assert spoilt.mean() == pytest.approx(100, abs=1.5)
    assert spoilt.std() == pytest.approx(16, rel=0.05)


def test_contrast_moves_levels_towards_their_mean() -> None:
    half = pixels(40)
    half[16:] = 200

    assert set(contrast(half, 0.5, np.random.default_rng(0)).flatten()) == {80, 160}


def test_a_square_inside_the_image_is_covered() -> None:
    covered = occlusion(pixels(), 12, np.random.default_rng(0)) == GREY

    assert covered.all(axis=2).sum() == 144
    rows, columns = covered[..., 0].any(axis=1).sum(), covered[..., 0].any(axis=0).sum()
    assert (rows, columns) == (12, 12)


def test_a_shift_moves_every_pixel_by_its_distance() -> None:
    line = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None], (32, 32, 3))

    moved = shift(line, 4, np.random.default_rng(0))[:, 0, 0].astype(int)

    assert abs(moved[16] - 16) == 4
    assert set(np.diff(moved)) == {0, 1}


def test_jpeg_keeps_a_plain_image() -> None:
    assert (abs(jpeg(pixels(), 20, np.random.default_rng(0)).astype(int) - 100) <= 4).all()
