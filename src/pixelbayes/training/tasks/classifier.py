"""Cross-entropy of a network that gives log p(y | x) directly."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from pixelbayes.baselines.checkpoint import save_checkpoint
from pixelbayes.baselines.resnet18 import ResNet18
from pixelbayes.core.checkpoint import Metadata
from pixelbayes.training.batches import Batch
from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.metrics import LOG_LOSS
from pixelbayes.training.objectives import CrossEntropy
from pixelbayes.training.tasks.base import TrainingTask

__all__ = ["ClassifierTask"]


class ClassifierTask(TrainingTask[ResNet18]):
    """Training of a `ResNet18`, measured in log-loss (nats per image) and accuracy.

    Batch normalisation sees the images of one process; only on GPUs are they pooled, so only
    there does the number of processes leave the result alone.

    Args:
        model: The network with its first weights; trained in place.
        optim: As for every task.
        training: As for every task.
        images: Training images of one epoch.
        seed: The run's seed.
        label_smoothing: Share of the target that goes to all classes alike, in [0, 1); in the
            gradient only, not in what is measured (Szegedy et al., CVPR 2016, section 7).
    """

    objective = LOG_LOSS

    def __init__(
        self,
        model: ResNet18,
        optim: OptimConfig,
        training: TrainingConfig,
        *,
        images: int,
        seed: int,
        label_smoothing: float = 0.0,
    ) -> None:
        criterion = CrossEntropy(label_smoothing)
        super().__init__(model, criterion, optim, training, images=images, seed=seed)

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """-log p(y | x) of each image, and whether y was the most probable class."""
        log_proba = self.evaluated.eval()(batch.levels).double()
        nats = -log_proba.gather(1, batch.labels[:, None])[:, 0]
        if not self.accuracy_is_due:
            return nats, None
        return nats, (log_proba.argmax(dim=1) == batch.labels).cpu()

    def mean(self, nats: float, images: float) -> float:
        """Nats per image."""
        return nats / images

    def save(self, folder: Path, metadata: Metadata) -> None:
        """Writes what `pixelbayes.baselines.Classifier` loads."""
        save_checkpoint(folder, self.evaluated, metadata)
