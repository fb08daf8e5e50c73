"""What every training has in common: optimiser, averages over images, resuming at a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from pixelbayes.core.checkpoint import Metadata
from pixelbayes.training.batches import Batch, steps_per_epoch
from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.ema import MovingAverage
from pixelbayes.training.errors import DivergedError
from pixelbayes.training.metrics import Objective
from pixelbayes.training.schedule import learning_rate_factor
from pixelbayes.training.seeds import derived_seed

__all__ = ["TrainingTask"]

SUMS = "train_sums"  # key in resume.ckpt

Network = TypeVar("Network", bound=nn.Module)


class TrainingTask(pl.LightningModule, ABC, Generic[Network]):
    """Training of a network, measured in its objective and in accuracy.

    Averages are taken over images, not over batches, in float64.  The sums of an unfinished
    epoch are part of the saved state.

    Args:
        model: The network with its first weights; trained in place.
        optim: Optimiser, schedule, moving average.
        training: Length, batch size, how often accuracy is measured.
        images: Training images of one epoch.
        seed: The run's seed.

    Attributes:
        objective: What is minimised.
        metrics: Results of the last epoch, by column of metrics.csv; the same on all processes.
    """

    objective: ClassVar[Objective]

    def __init__(
        self,
        model: Network,
        optim: OptimConfig,
        training: TrainingConfig,
        *,
        images: int,
        seed: int,
    ) -> None:
        super().__init__()
        # Float32 whatever the default type was; Lightning widens it where 64 is asked for.
        self.model = model.float().train()
        self.ema = MovingAverage(model, optim.ema_decay) if optim.ema_decay is not None else None
        self.optim = optim
        self.training_config = training
        self.epochs = training.epochs
        self.steps_per_epoch = steps_per_epoch(images, training.batch_size)
        self.seed = seed
        self.metrics: dict[str, float | None] = {}
        # Nats and images of the unfinished epoch.  Not a buffer: each process has its own.
        self._train_sums = torch.zeros(2, dtype=torch.float64)
        self._validation_sums = torch.zeros(2, dtype=torch.float64)
        self._correct = torch.zeros(2, 2, dtype=torch.float64)  # (validation, train), (right, all)

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What a step minimises, over this process's share of a batch.

        Returns:
            The weighted sum over images of their losses, a scalar, and without gradient that of
            their nats, which is summed up over the epoch.
        """

    @abstractmethod
    def measure(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """What the evaluated network makes of images.

        Returns:
            Nats of each image, float64 (b,), on the device, and whether its class was found,
            bool (b,), on the CPU; None in its place where `accuracy_is_due` is false.
        """

    @abstractmethod
    def mean(self, nats: float, images: float) -> float:
        """The value of the objective for a sum of nats over images."""

    @abstractmethod
    def save(self, folder: Path, metadata: Metadata) -> None:
        """Writes the evaluated network as a checkpoint."""

    @property
    def evaluated(self) -> Network:
        """The network that is measured and kept: the moving average, where there is one."""
        return self.model if self.ema is None else cast(Network, self.ema.module)

    @property
    def accuracy_is_due(self) -> bool:
        """Whether accuracy is measured after this epoch."""
        epoch = self.current_epoch + 1
        return epoch % self.training_config.accuracy_every == 0 or epoch == self.epochs

    def learning_rate(self, step: int) -> float:
        """Learning rate at optimiser step `step`, counted from 0."""
        total = self.epochs * self.steps_per_epoch
        return self.optim.lr * learning_rate_factor(self.optim, step, total)

    def so_far(self) -> float:
        """The objective over the unfinished epoch, this process's images; waits for the device.

        NaN at its start.
        """
        nats, images = self._train_sums.tolist()
        return self.mean(nats, images) if images else float("nan")

    def require_finite(self) -> None:
        """Waits for the device and asks all processes whether every loss so far was a number.

        Raises:
            DivergedError: If not; on all processes.
        """
        finite = bool(torch.isfinite(self._train_sums[0]))
        if not self.trainer.strategy.reduce_boolean_decision(finite, all=True):
            step = self.trainer.global_step
            raise DivergedError(step, self.learning_rate(step))

    # Lightning's hooks, in the order of a run.

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimiser over the network's weights, and its schedule."""
        optimizer = _optimizer(self.optim, self.model)
        # Lightning takes a fused optimiser to unscale gradients by itself and refuses to clip
        # them; nothing is scaled here, not in bfloat16 either.
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        total = self.epochs * self.steps_per_epoch
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(self.optim, step, total)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_start(self) -> None:
        """Moves the sums of a resumed epoch to where the losses are."""
        self._train_sums = self._train_sums.to(self.device)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Mean loss of the global batch, such that processes' gradients average to its own."""
        torch.manual_seed(
            derived_seed("dropout", self.seed, self.trainer.global_step, self.global_rank)
        )
        loss, nats = self.loss(batch)
        self._train_sums += torch.stack([nats, batch.weights.sum()])
        if self.device.type == "cpu" and self.trainer.world_size == 1:
            # Elsewhere looking at the loss would make the device, or the others, wait.
            self.require_finite()
        return loss * self.trainer.world_size / batch.global_count

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One step of the optimiser; the moving average follows."""
        super().optimizer_step(*args, **kwargs)
        if self.ema is not None:
            self.ema.update(self.model, self.trainer.global_step)

    def on_validation_epoch_start(self) -> None:
        """Refuses to measure broken weights; starts new sums."""
        self.require_finite()
        self._validation_sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self._correct = torch.zeros(2, 2, dtype=torch.float64)

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        """Adds what is measured of validation images (0) or of the training subset (1)."""
        if dataloader_idx > 0 and not self.accuracy_is_due:
            return
        nats, right = self.measure(batch)
        if right is not None:
            weights = batch.weights.double().cpu()
            counts = torch.stack([(right.double() * weights).sum(), weights.sum()])
            self._correct[dataloader_idx] += counts
        if dataloader_idx == 0:
            total = (nats * batch.weights).sum()
            self._validation_sums += torch.stack([total, batch.weights.sum().double()])

    def on_validation_epoch_end(self) -> None:
        """The objective and accuracies over the images of all processes."""
        nats, images = self._total(self._validation_sums).tolist()
        self.metrics[self.objective.val] = self.mean(nats, images)
        accuracies = self._total(self._correct).tolist()
        for name, (right, count) in zip(("val", "train"), accuracies, strict=True):
            self.metrics[f"{name}/accuracy"] = right / count if count else None

    def on_train_epoch_end(self) -> None:
        """The objective over the epoch's training images, as the weights went by."""
        nats, images = self._total(self._train_sums).tolist()
        self.metrics[self.objective.train] = self.mean(nats, images)
        self.metrics["lr"] = self.learning_rate(self.trainer.global_step - 1)
        self._train_sums = torch.zeros_like(self._train_sums)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the sums of the unfinished epoch, of all processes."""
        checkpoint[SUMS] = self._total(self._train_sums).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on at the saved step, inside an epoch or between two.

        Everything about batches follows from the number of steps done, so Lightning is told
        that this many are done and that the epoch in question begins: `BatchStream` yields
        what is left of it.  Lightning's own account of an interrupted epoch is set aside; it
        would skip or repeat batches, differently from version to version.
        """
        del checkpoint["loops"]
        step, loop = checkpoint["global_step"], self.trainer.fit_loop
        epoch = step // self.steps_per_epoch
        for progress in (loop.epoch_progress.current, loop.epoch_progress.total):
            for stage in ("ready", "started", "processed", "completed"):
                setattr(progress, stage, epoch)
        steps = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        steps.ready = steps.completed = step
        sums = checkpoint[SUMS]
        self._train_sums = sums if self.global_rank == 0 else torch.zeros_like(sums)

    def _total(self, tensor: Tensor) -> Tensor:
        """Sum over processes."""
        total: Tensor = self.trainer.strategy.reduce(
            tensor.detach().clone().to(self.device), reduce_op="sum"
        )
        return total


def _optimizer(optim: OptimConfig, model: nn.Module) -> torch.optim.Optimizer:
    common: dict[str, Any] = {"lr": optim.lr, "weight_decay": optim.weight_decay, "fused": True}
    weights = model.parameters()
    if optim.optimizer == "sgd":
        nesterov = optim.momentum > 0.0  # torch refuses it without momentum
        return torch.optim.SGD(weights, momentum=optim.momentum, nesterov=nesterov, **common)
    if optim.optimizer == "adamw":
        return torch.optim.AdamW(weights, betas=optim.betas, **common)
    return torch.optim.Adam(weights, betas=optim.betas, **common)
