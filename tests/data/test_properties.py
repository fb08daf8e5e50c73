"""What holds for all levels, sizes and labels."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelbayes.data import Resize, read_image, stratified_split, write_png
from pixelbayes.data.files import image_to_levels
from pixelbayes.data.transforms import FILTERS, GEOMETRIES

PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)
SIDES = st.integers(1, 24)
CHANNELS = st.sampled_from([1, 3])


def noise(channels: int, rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, rows, columns)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


@PROPERTY
@given(CHANNELS, SIDES, SIDES, st.integers(0, 9))
def test_levels_survive_the_way_through_a_png(
    tmp_path_factory: pytest.TempPathFactory, channels: int, rows: int, columns: int, seed: int
) -> None:
    levels = noise(channels, rows, columns, seed)
    path = tmp_path_factory.getbasetemp() / "round_trip.png"
    write_png(levels, path)
    assert torch.equal(read_image(path, channels=channels, resize=Resize((rows, columns))), levels)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("bmp", {}),
        ("tif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("tif", {"compression": "tiff_deflate"}),
        ("webp", {"lossless": True}),
        ("ppm", {}),
    ],
)
def test_levels_survive_the_way_through_every_exact_format(
    tmp_path: Path, suffix: str, options: dict[str, object]
) -> None:
    levels = noise(3, 9, 7)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(levels.permute(1, 2, 0).numpy()).save(path, **options)  # type: ignore[arg-type]
    assert torch.equal(read_image(path, channels=3, resize=Resize((9, 7))), levels)


@PROPERTY
@given(
    st.integers(0, 255),
    st.tuples(SIDES, SIDES),
    st.tuples(SIDES, SIDES),
    st.sampled_from(sorted(FILTERS)),
    st.sampled_from(GEOMETRIES),
)
def test_an_image_of_one_level_keeps_it_at_every_size(
    level: int, before: tuple[int, int], after: tuple[int, int], kind: str, geometry: str
) -> None:
    resize = Resize(after, filter=kind, geometry=geometry, allow_upscaling=True)
    image = Image.new("L", before[::-1], level)
    levels = image_to_levels(image, channels=3, resize=resize)
    assert levels.shape == (3, *after)
    assert (levels == level).all()


@PROPERTY
@given(
    st.lists(st.integers(3, 30), min_size=1, max_size=6),
    st.integers(0, 5),
    st.lists(st.floats(0.05, 1.0), min_size=2, max_size=3),
)
def test_splits_are_disjoint_and_cover_everything(
    counts: list[int], seed: int, shares: list[float]
) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    names = ("train", "validation", "test")
    fractions = {n: share / sum(shares) for n, share in zip(names, shares, strict=False)}
    parts = stratified_split(labels, fractions, seed)
    assert torch.cat(list(parts.values())).sort().values.tolist() == list(range(sum(counts)))
    for label in range(len(counts)):
        assert all((labels[part] == label).any() for part in parts.values())


def test_gif_holds_up_to_256_colours_exactly() -> None:
    buffer = io.BytesIO()
    palette = Image.new("P", (16, 16))
    palette.putpalette([v for level in range(256) for v in (level, 255 - level, level // 2)])
    palette.putdata(list(range(256)))
    palette.save(buffer, "GIF")
    levels = image_to_levels(Image.open(buffer), channels=3, resize=Resize((16, 16)))
    wanted = torch.arange(256).view(16, 16)
    assert torch.equal(levels.long(), torch.stack([wanted, 255 - wanted, wanted // 2]))
