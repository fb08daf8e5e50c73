"""The facade: a trained discriminative classifier, with the verbs of a Bayes classifier.

Shapes: B images, K classes.
Units:  nats per image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.baselines.checkpoint import load_checkpoint, save_checkpoint
from pixelbayes.baselines.resnet18 import ResNet18
from pixelbayes.core.precision import isolated
from pixelbayes.core.storage import Metadata, checkpoint_folder
from pixelbayes.core.trained import TrainedModel
from pixelbayes.data import Resize
from pixelbayes.evaluation.temperature import fit_temperature

__all__ = ["Classifier"]

CHUNK = 256  # images of one pass: 64 features of 32x32 pixels are 64 MiB of float32


class Classifier(TrainedModel):
    """A `ResNet18` together with what its user must know: class names, resizing, prior.

    It learned log p(y | x) under the classes of its training images.  Dividing by the prior
    leaves log p(x | y) up to a term that is the same for every class, which is what Bayes'
    rule, another prior and a temperature need.

    Args:
        model: The network; it is put into evaluation mode.
        metadata: Class names, resizing, prior, temperature, provenance.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, model: ResNet18, metadata: Metadata) -> None:
        if not metadata.temperature > 0.0:
            raise ValueError(f"the temperature is positive, got {metadata.temperature}")
        self.model = model.eval()
        self.metadata = metadata

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Classifier:
        """Loads a checkpoint folder, or the best checkpoint of a run directory.

        Raises:
            CheckpointError: If there is none, it cannot be used, or it is that of a PixelCNN.
            BaselineError: If monai is not installed.
        """
        model, metadata = load_checkpoint(checkpoint_folder(path))
        return cls(model.to(device), metadata)

    def save(self, folder: str | Path) -> None:
        """Writes `model.safetensors` and `model.json`; `load` restores them bit for bit."""
        save_checkpoint(Path(folder), self.model, self.metadata)

    @property
    def resize(self) -> Resize:
        """How an image file is brought to the model's size."""
        return Resize(**self.metadata.resize)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    def with_temperature(self, temperature: float) -> Classifier:
        """The same network under another temperature.

        Raises:
            ValueError: If it is not positive.
        """
        return Classifier(self.model, replace(self.metadata, temperature=temperature))

    def calibrated(self, levels: Tensor, labels: Tensor) -> Classifier:
        """The same network at the temperature that suits validation images.

        Args:
            levels: uint8, (B, C, H, W); not the images that are reported.
            labels: int64, (B,), each of them a class.

        Raises:
            ValueError: If a label is no class.
        """
        temperature = fit_temperature(self.log_likelihoods(levels), self.log_prior, labels)
        return self.with_temperature(temperature)

    @isolated
    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """log p(y | x) - log p(y): log p(x | y) up to a term that all classes share.

        Differences between classes mean what they mean for a `BayesClassifier`; the sum over
        classes is no code length.

        Args:
            levels: uint8, (B, C, H, W), on any device; chunks are moved to the model's.
            progress: Called with the number of images done so far.

        Returns:
            (B, K), float64 on the CPU, nats per image.
        """
        result = torch.empty(len(levels), len(self.classes), dtype=torch.float64)
        for start in range(0, len(levels), CHUNK):
            chunk = levels[start : start + CHUNK].to(self.device)
            result[start : start + CHUNK] = self.model(chunk).double().cpu()
            if progress is not None:
                progress(min(start + CHUNK, len(levels)))
        return result - self.log_prior

    def predict_log_proba(self, levels: Tensor) -> Tensor:
        """log p(y | x) at the temperature, (B, K), float64."""
        tempered = self.log_likelihoods(levels) / self.temperature + self.log_prior
        return torch.log_softmax(tempered, dim=1)

    def predict(self, levels: Tensor) -> Tensor:
        """The most probable class of each image, int64, (B,)."""
        return self.predict_log_proba(levels).argmax(dim=1)
