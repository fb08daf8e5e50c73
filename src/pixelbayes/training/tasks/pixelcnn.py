"""A likelihood model's task; what is minimised stands in `pixelbayes.training.objectives`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.core import PixelCNN, bits_per_dim
from pixelbayes.core.checkpoint import Metadata, save_checkpoint
from pixelbayes.core.precision import ieee_float32
from pixelbayes.inference import BayesClassifier
from pixelbayes.inference.views import log_prob_over_views
from pixelbayes.training.batches import Batch
from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.metrics import BITS_PER_DIM
from pixelbayes.training.objectives import make_objective
from pixelbayes.training.tasks.base import TrainingTask

__all__ = ["PixelCNNTask"]


class PixelCNNTask(TrainingTask[PixelCNN]):
    """Training of a `PixelCNN`, measured in bits/dim and Bayes accuracy."""

    objective = BITS_PER_DIM

    def __init__(
        self,
        model: PixelCNN,
        optim: OptimConfig,
        training: TrainingConfig,
        *,
        images: int,
        seed: int,
    ) -> None:
        if training.flip and model.config.views > 1:
            raise ValueError(
                "--flip mirrors images without telling the network, which is told of its views; "
                "leave out --flip or --views"
            )
        if training.objective == "hybrid" and model.config.fusion == "none":
            raise ValueError("--objective hybrid tells classes apart and needs a --fusion")
        criterion = make_objective(training, model.config.classes)
        super().__init__(model, criterion, optim, training, images=images, seed=seed)
        self.views = model.config.views

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """-log p(x | y) of each image; all classes at once where accuracy is wanted.

        In float32 also where training is in bfloat16, whose rounding moves the difference between
        two classes by some nats.
        """
        with torch.autocast(self.device.type, enabled=False), ieee_float32():
            if not self.accuracy_is_due:
                return -log_prob_over_views(self.evaluated.eval(), batch.levels, batch.labels), None
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
