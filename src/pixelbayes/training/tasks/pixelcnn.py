"""Maximum likelihood; the mathematics stays in `pixelbayes.core`, Bayes' rule in `inference`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.core import PixelCNN, bits_per_dim
from pixelbayes.core.checkpoint import Metadata, save_checkpoint
from pixelbayes.core.precision import ieee_arithmetic
from pixelbayes.inference import BayesClassifier
from pixelbayes.training.batches import Batch
from pixelbayes.training.metrics import BITS_PER_DIM
from pixelbayes.training.tasks.base import TrainingTask

__all__ = ["PixelCNNTask"]


class PixelCNNTask(TrainingTask[PixelCNN]):
    """Maximum-likelihood training of a `PixelCNN`, measured in bits/dim and Bayes accuracy."""

    objective = BITS_PER_DIM

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Bits/dim of the images, and their -log p(x | y)."""
        log_prob = self.model(batch.levels, batch.labels).log_prob(batch.levels)
        weighted = log_prob * batch.weights
        return bits_per_dim(weighted, self.model.config.dims).sum(), -weighted.detach().sum()

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """-log p(x | y) of each image; all classes at once where accuracy is wanted.

        In float32 also where training is in bfloat16, whose rounding moves the difference between
        two classes by some nats.
        """
        with ieee_arithmetic():
            if not self.accuracy_is_due:
                model = self.evaluated.eval()
                return -model(batch.levels, batch.labels).log_prob(batch.levels).double(), None
            log_likelihoods = BayesClassifier(self.evaluated).log_likelihoods(batch.levels)
        labels = batch.labels.cpu()
        nats = -log_likelihoods.gather(1, labels[:, None])[:, 0].to(self.device)
        return nats, log_likelihoods.argmax(dim=1) == labels  # the prior is uniform

    def mean(self, nats: float, images: float) -> float:
        """Bits/dim."""
        mean = torch.tensor(-nats / images, dtype=torch.float64)
        return bits_per_dim(mean, self.model.config.dims).item()

    def save(self, folder: Path, metadata: Metadata) -> None:
        """Writes what `pixelbayes.inference.PixelBayes` loads."""
        save_checkpoint(folder, self.evaluated, metadata)
