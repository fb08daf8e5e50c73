"""Small networks, a saved model and image files that the tests of several layers share."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from math import log
from pathlib import Path

import pytest
import torch

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.data import Resize, write_png
from pixelbayes.models import Metadata, PixelBayes

CLASSES = ("koala", "pizza", "sea lion")

BROWSER_PACKAGES = ("playwright", "axe_playwright_python")
collect_ignore = (
    []
    if all(map(find_spec, BROWSER_PACKAGES))
    else ["app/browser.py", "report/browser.py"]  # commands of their own
)

OPTIONS: dict[str, dict[str, object]] = {
    "head": {"fusion": "head", "head_layers": 3},
    "attention at the lowest resolution": {"attention": "lowest"},
    "attention at the full resolution": {"attention": "full"},
    "widths and depths": {"features": (4, 6, 8), "blocks_per_stage": (2, 1, 3)},
    "as published": {"fusion": "joint", "label_channels": "undivided", "dropout_of": "channels"},
    "head and full attention": {
        "fusion": "head",
        "attention": "full",
        "features": (6, 4, 8),
        "blocks_per_stage": (1, 2, 1),  # which alone leave blind spots
        "views": 2,
    },
    "film and lowest attention": {
        "fusion": "film",
        "attention": "lowest",
        "features": (6, 4, 8),
        "blocks_per_stage": (2, 1, 1),
    },
}
"""Settings of a network beyond the paper's; every way of computing covers each."""


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS)
def option(request: pytest.FixtureRequest) -> dict[str, object]:
    """One of the options."""
    settings: dict[str, object] = request.param
    return settings


def pytest_collection_finish() -> None:
    """What is collected stays: looking through it for garbage costs seconds again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Only a loss of power could tell; thousands of small files would wait for half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny tensors: threads only add noise."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny_network() -> Callable[..., PixelCNN]:
    """Builds a float64 network in evaluation mode whose every weight is random.

    Zero-initialised label projections would hide what the label does.
    """

    def build(seed: int = 0, **changes: object) -> PixelCNN:
        settings: dict[str, object] = {
            "classes": 3,
            "image_size": (8, 8),
            "channels": 3,
            "features": 6,
            "blocks_per_stage": 1,
            "mixtures": 2,
            "dropout": 0.5,
            "embedding": 4,
            "fusion": "gated",
        }
        config = PixelCNNConfig(**{**settings, **changes})  # type: ignore[arg-type]
        generator = torch.Generator().manual_seed(seed)
        network = PixelCNN(config).double().eval()
        with torch.no_grad():
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(noise * 0.3 + (1.0 if parameter.ndim == 1 else 0.0))
        return network

    return build


@pytest.fixture
def random_levels() -> Callable[..., torch.Tensor]:
    """Uniformly random images, (B, C, H, W)."""

    def draw(batch: int, config: PixelCNNConfig, seed: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (batch, config.channels, *config.image_size)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    return draw


@pytest.fixture
def tiny_model(tiny_network: Callable[..., PixelCNN]) -> PixelBayes:
    """Three classes, 8 x 8 RGB, float64, random weights."""
    metadata = Metadata(
        classes=CLASSES,
        resize=asdict(Resize(size=(8, 8), allow_upscaling=True)),
        log_prior=(log(0.5), log(0.25), log(0.25)),
        temperature=20.0,
    )
    return PixelBayes(tiny_network(), metadata)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder of noise images."""

    def make(count: int) -> Path:
        folder = tmp_path / "photos"
        generator = torch.Generator().manual_seed(3)
        for number in range(count):
            levels = torch.randint(0, 256, (3, 12, 10), generator=generator).to(torch.uint8)
            write_png(levels, folder / f"{number:02}.png")
        return folder

    return make
