"""Trained models of a study, of either kind, behind one interface.

Every one gives a table of log-likelihoods, and those that can, generate images.

Shapes: N images, K classes, C channels, H x W pixels.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.data import ImageDataset
from pixelbayes.inference import PixelBayes
from pixelbayes.workflows.configuration import RunError
from pixelbayes.workflows.generate import generate
from pixelbayes.workflows.scoring import Progress, ScoredSplit, notes_on

__all__ = ["Trained", "TrainedPixelCNN", "TrainedResNet", "weights_digest"]


class Trained(ABC):
    """A trained model, whatever its kind.

    Attributes:
        classes: Class names.
        log_prior: log p(y), (K,), nats.
        parameters: Number of weights.
        dims: Dimensions of an image where the model knows p(image), else None.
    """

    classes: tuple[str, ...]
    log_prior: Tensor
    parameters: int
    dims: int | None = None

    @abstractmethod
    def log_likelihoods(self, levels: Tensor, progress: Callable[[int], None]) -> Tensor:
        """log p(x | y) up to a term that all classes share, (N, K), float64, nats."""

    def generate(self, per_class: int, seed: int, progress: Progress) -> Tensor | None:
        """Draws images of each class, (K, per_class, C, H, W); None where it cannot."""
        return None

    @abstractmethod
    def save_temperature(self, folder: Path, temperature: float) -> None:
        """Stores a fitted temperature in the model's checkpoint."""

    def notes(self, scored: dict[str, ScoredSplit], dataset: ImageDataset) -> list[str]:
        """What the numbers do not say."""
        return []


class TrainedPixelCNN(Trained):
    """A PixelCNN++, which classifies by Bayes' rule and generates."""

    def __init__(self, folder: Path, device: str) -> None:
        self.model = PixelBayes.load(folder, device)
        self.classes, self.log_prior = self.model.classes, self.model.log_prior
        self.parameters = _count(self.model.model)
        self.dims = self.model.model.config.dims

    def log_likelihoods(self, levels: Tensor, progress: Callable[[int], None]) -> Tensor:
        """See `Trained.log_likelihoods`."""
        return self.model.classifier().log_likelihoods(levels, progress=progress)

    def generate(self, per_class: int, seed: int, progress: Progress) -> Tensor | None:
        """See `Trained.generate`."""
        on_cpu = self.model.device.type == "cpu"
        drawn = generate(
            self.model,
            count=per_class,
            seed=seed,
            # Drawing waits for one pixel after the other: an accelerator takes all images at once.
            batch_size=None if on_cpu else per_class * len(self.classes),
            progress=progress,
        )
        return drawn.levels.view(len(self.classes), per_class, *drawn.levels.shape[1:])

    def save_temperature(self, folder: Path, temperature: float) -> None:
        """See `Trained.save_temperature`."""
        metadata = replace(self.model.metadata, temperature=temperature)
        PixelBayes(self.model.model, metadata).save(folder)

    def notes(self, scored: dict[str, ScoredSplit], dataset: ImageDataset) -> list[str]:
        """See `Trained.notes`."""
        return notes_on(self.model, scored, dataset.splits)


class TrainedResNet(Trained):
    """A ResNet-18, which classifies."""

    def __init__(self, folder: Path, device: str) -> None:
        from pixelbayes.baselines import Classifier

        self.model = Classifier.load(folder, device)
        self.classes, self.log_prior = self.model.classes, self.model.log_prior
        self.parameters = _count(self.model.model)

    def log_likelihoods(self, levels: Tensor, progress: Callable[[int], None]) -> Tensor:
        """See `Trained.log_likelihoods`."""
        return self.model.log_likelihoods(levels, progress=progress)

    def save_temperature(self, folder: Path, temperature: float) -> None:
        """See `Trained.save_temperature`."""
        self.model.with_temperature(temperature).save(folder)


def weights_digest(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint's weights, as the checkpoint states it.

    Raises:
        RunError: If there is no such checkpoint.
    """
    try:
        return str(json.loads((checkpoint / "model.json").read_text("utf-8"))["weights_sha256"])
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"no checkpoint in {checkpoint}: {error}") from error


def _count(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())
