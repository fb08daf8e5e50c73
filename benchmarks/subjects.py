"""What is measured: networks of stated size with random weights, and random images.

Neither changes how long a pass takes, so no data set is needed.  Where the answers count, what
is measured is a trained run (`trained`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.data import ImageDataset
from pixelbayes.models import PixelBayes
from pixelbayes.workflows.loading import load_data_for
from pixelbayes.workflows.runs import Run

__all__ = ["SMALL", "STUDY", "describe", "images_and_labels", "network", "trained"]

SMALL = PixelCNNConfig(classes=4, features=40, blocks_per_stage=1, mixtures=5, fusion="gated")
"""The course's small model, 32 x 32 RGB."""
STUDY = PixelCNNConfig(classes=4, features=80, blocks_per_stage=3, mixtures=5, fusion="gated")
"""The study's large model."""


def network(config: PixelCNNConfig, device: torch.device | str = "cpu") -> PixelCNN:
    """A network in evaluation mode; the same weights for the same configuration."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PixelCNN(config)
        for projection in model.fusion.parameters():
            torch.nn.init.normal_(projection, std=0.1)  # labels start without effect
    return model.to(device).eval()


def images_and_labels(
    config: PixelCNNConfig, count: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Uniformly random levels, (count, C, H, W), and the classes in turn, (count,)."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, config.channels, *config.image_size)
    levels = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return levels.to(device), (torch.arange(count) % config.classes).to(device)


def trained(
    path: Path,
    data_dir: Path | None = None,
    limit: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> tuple[PixelBayes, ImageDataset]:
    """A run's best model and the images it was trained on, in its splits.

    Args:
        path: The run directory.
        data_dir: Folder of the data; None: as in training.
        limit: At most this many images of each split; None: as in training.
        image_size: Of the images; None: the model's.
    """
    run, model = Run.open(path), PixelBayes.load(path)
    data = run.config.data
    return model, load_data_for(
        model,
        data.data,
        data_dir=data_dir or data.data_dir,
        image_size=image_size,
        seed=data.split_seed,
        skip_bad=data.skip_bad_files,
        limit=limit or data.limit,
    )


def describe(config: PixelCNNConfig) -> dict[str, Any]:
    """The configuration in plain values."""
    return {**asdict(config), "image_size": list(config.image_size)}
