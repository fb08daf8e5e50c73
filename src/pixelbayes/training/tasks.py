"""What Lightning calls at each step: the loss, the optimiser, and what is measured.

The mathematics stays in `pixelbayes.core`, Bayes' rule in `pixelbayes.inference`.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from pixelbayes.core import PixelCNN, bits_per_dim
from pixelbayes.inference import BayesClassifier
from pixelbayes.training.batches import Batch
from pixelbayes.training.config import OptimConfig
from pixelbayes.training.ema import MovingAverage
from pixelbayes.training.errors import DivergedError
from pixelbayes.training.schedule import learning_rate_factor
from pixelbayes.training.seeds import derived_seed

__all__ = ["PixelCNNTask"]

SUMS = "train_sums"  # key in resume.ckpt


class PixelCNNTask(pl.LightningModule):
    """Maximum-likelihood training of a `PixelCNN`, measured in bits/dim and Bayes accuracy.

    Averages are taken over images, not over batches, in float64.  The sums of an unfinished
    epoch are part of the saved state.

    Args:
        model: The network.
        optim: Optimiser, schedule, moving average.
        steps_per_epoch: Optimiser steps of one epoch.
        epochs: Epochs of the whole run, for the schedule.
        accuracy_every: Epochs between two measurements of accuracy.
        seed: The run's seed.

    Attributes:
        metrics: Results of the last epoch, by column of metrics.csv; the same on all processes.
    """

    def __init__(
        self,
        model: PixelCNN,
        optim: OptimConfig,
        *,
        steps_per_epoch: int,
        epochs: int,
        accuracy_every: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.ema = MovingAverage(model, optim.ema_decay) if optim.ema_decay is not None else None
        self.optim = optim
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.accuracy_every = accuracy_every
        self.seed = seed
        self.metrics: dict[str, float | None] = {}
        # Nats and images of the unfinished epoch.  Not a buffer: each process has its own.
        self._train_sums = torch.zeros(2, dtype=torch.float64)
        self._validation_sums = torch.zeros(2, dtype=torch.float64)
        self._correct = torch.zeros(2, 2, dtype=torch.float64)  # (validation, train), (right, all)

    @property
    def evaluated(self) -> PixelCNN:
        """The network that is measured and kept: the moving average, where there is one."""
        if self.ema is None:
            return self.model
        averaged = self.ema.module
        assert isinstance(averaged, PixelCNN)
        return averaged

    def learning_rate(self, step: int) -> float:
        """Learning rate at optimiser step `step`, counted from 0."""
        total = self.epochs * self.steps_per_epoch
        return self.optim.lr * learning_rate_factor(self.optim, step, total)

    def bits_per_dim_so_far(self) -> float:
        """Training bits/dim of the unfinished epoch, this process's images; waits for the device.

        NaN at its start.
        """
        nats, images = self._train_sums.tolist()
        return self._mean_bits(nats, images) if images else float("nan")

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
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.optim.optimizer]
        optimizer = kind(
            self.model.parameters(),
            lr=self.optim.lr,
            betas=self.optim.betas,
            weight_decay=self.optim.weight_decay,
            fused=True,
        )
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
        """Mean bits/dim of the global batch, such that processes' gradients average to its own."""
        torch.manual_seed(
            derived_seed("dropout", self.seed, self.trainer.global_step, self.global_rank)
        )
        log_prob = self.model(batch.levels, batch.labels).log_prob(batch.levels)
        weighted = log_prob * batch.weights
        self._train_sums += torch.stack([-weighted.detach().sum(), batch.weights.sum()])
        bits = bits_per_dim(weighted, self.model.config.dims).sum()
        if self.device.type == "cpu" and self.trainer.world_size == 1:
            # Elsewhere looking at the loss would make the device, or the others, wait.
            self.require_finite()
        return bits * self.trainer.world_size / batch.global_count

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
        """Adds the images' likelihoods; all classes at once where accuracy is wanted."""
        measure_accuracy = self._accuracy_is_due()
        if not measure_accuracy and dataloader_idx > 0:
            return
        if measure_accuracy:
            log_likelihoods = BayesClassifier(self.evaluated).log_likelihoods(batch.levels)
            labels, weights = batch.labels.cpu(), batch.weights.double().cpu()
            right = (log_likelihoods.argmax(dim=1) == labels).double()  # the prior is uniform
            self._correct[dataloader_idx] += torch.stack([(right * weights).sum(), weights.sum()])
            log_prob = log_likelihoods.gather(1, labels[:, None])[:, 0].to(self.device)
        else:
            model = self.evaluated.eval()
            log_prob = model(batch.levels, batch.labels).log_prob(batch.levels).double()
        if dataloader_idx == 0:
            nats = -(log_prob * batch.weights).sum()
            self._validation_sums += torch.stack([nats, batch.weights.sum().double()])

    def on_validation_epoch_end(self) -> None:
        """Bits/dim and accuracies over the images of all processes."""
        nats, images = self._total(self._validation_sums).tolist()
        self.metrics["val/bits_per_dim"] = self._mean_bits(nats, images)
        accuracies = self._total(self._correct).tolist()
        for name, (right, count) in zip(("val", "train"), accuracies, strict=True):
            self.metrics[f"{name}/accuracy"] = right / count if count else None

    def on_train_epoch_end(self) -> None:
        """Training bits/dim of the epoch, as the weights went by."""
        nats, images = self._total(self._train_sums).tolist()
        self.metrics["train/bits_per_dim"] = self._mean_bits(nats, images)
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

    def _accuracy_is_due(self) -> bool:
        epoch = self.current_epoch + 1
        return epoch % self.accuracy_every == 0 or epoch == self.epochs

    def _mean_bits(self, nats: float, images: float) -> float:
        mean = torch.tensor(-nats / images, dtype=torch.float64)
        return bits_per_dim(mean, self.model.config.dims).item()

    def _total(self, tensor: Tensor) -> Tensor:
        """Sum over processes."""
        total: Tensor = self.trainer.strategy.reduce(
            tensor.detach().clone().to(self.device), reduce_op="sum"
        )
        return total
