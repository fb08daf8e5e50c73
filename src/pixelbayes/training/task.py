"""What a training step does, whatever is trained: objective, optimiser, averages, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from pixelbayes.core import PixelCNN, bits_per_dim
from pixelbayes.core.precision import NotFiniteError
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Metadata, TrainedNetwork
from pixelbayes.training.batches import Batch, steps_per_epoch
from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.errors import DivergedError
from pixelbayes.training.metrics import criterion_of
from pixelbayes.training.objectives import (
    Hybrid,
    Loss,
    MaximumLikelihood,
    TrainingObjective,
    make_objective,
)
from pixelbayes.training.optim import MovingAverage, learning_rate_factor, make_optimizer
from pixelbayes.training.seeds import derived_seed

__all__ = ["TrainingTask"]

SUMS = "train_sums"  # key in resume.ckpt


class TrainingTask(pl.LightningModule):
    """Training of a network, measured in its criterion and in accuracy.

    Averages are taken over images, not over batches, in float64.  The sums of an unfinished
    epoch are part of the saved state.

    Args:
        start: The model with its first weights; its network is trained in place.
        optim: Optimiser, schedule, moving average.
        training: Length, batch size, objective, how often accuracy is measured.
        images: Training images of one epoch.
        seed: The run's seed.

    Attributes:
        model: The network.
        objective: What is minimised.
        criterion: What the run is judged by.
        views: In how many views the network is shown its training images.
        metrics: Results of the last epoch, by column of metrics.csv; the same on all processes.
    """

    def __init__(
        self,
        start: TrainedNetwork[Any],
        optim: OptimConfig,
        training: TrainingConfig,
        *,
        images: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.start = start
        # Float32 whatever the default type was; Lightning widens it where 64 is asked for.
        self.model: nn.Module = start.network.float().train()
        self.objective: TrainingObjective = make_objective(
            training, classes=len(start.classes), is_density=start.is_density
        )
        self.criterion = criterion_of(type(start), training.objective)
        self.views = start.views
        if training.flip and self.views > 1:
            raise PixelBayesError(
                "--flip mirrors images without telling the network, which is told of its views; "
                "leave out --flip or --views"
            )
        if training.window_step is not None:
            network = self.model
            if not (isinstance(network, PixelCNN) and network.attention is None):
                raise PixelBayesError(
                    "--window-step shows parts of images, which only a PixelCNN++ without "
                    "attention describes as it describes whole ones; leave it out"
                )
        if training.teacher is not None and isinstance(self.objective, MaximumLikelihood):
            raise PixelBayesError(
                "--teacher says what the cross-entropy aims at, and a likelihood has none; pass "
                "--objective hybrid, or leave it out"
            )
        if training.objective == "hybrid" and not start.uses_labels:
            raise PixelBayesError("--objective hybrid tells classes apart and needs a --fusion")
        self.ema: MovingAverage | None = None
        if optim.ema_decay is not None:
            self.ema = MovingAverage(self.model, optim.ema_decay)
        self.optim = optim
        self.training_config = training
        self.epochs = training.epochs
        self.steps_per_epoch = steps_per_epoch(images, training.batch_size)
        self.seed = seed
        self.metrics: dict[str, float | None] = {}
        # Nats, images, cross-entropy and loss of the unfinished epoch.  Not a buffer: each process
        # has its own.
        self._train_sums = torch.zeros(4, dtype=torch.float64)
        self._validation_sums = torch.zeros(3, dtype=torch.float64)  # nats, images, loss
        self._correct = torch.zeros(2, 2, dtype=torch.float64)  # (validation, train), (right, all)

    def loss(self, batch: Batch, step: int) -> Loss:
        """What optimiser step `step`, counted from 0, minimises over this process's share."""
        progress = step / (self.epochs * self.steps_per_epoch)
        loss: Loss = self.objective(self.model, batch, progress)
        return loss

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What the evaluated network makes of images.

        In float32 also where training is in bfloat16, whose rounding moves the difference between
        two classes by some nats.

        Returns:
            Nats of each image, float64 (b,), on the CPU; whether its class was found, bool (b,),
            None where `accuracy_is_due` is false; and its loss, float64 (b,), None also where the
            objective is no hybrid.
        """
        model, labels = self.evaluated(self.start.metadata), batch.labels.cpu()
        try:
            with torch.autocast(self.device.type, enabled=False):
                if not self.accuracy_is_due:
                    return model.nats(batch.levels, batch.labels).cpu(), None, None
                table = model.log_likelihoods(batch.levels)
        except NotFiniteError as error:
            raise self._diverged() from error
        log_posterior = table + model.log_prior
        of_truth = table if model.is_density else torch.log_softmax(log_posterior, dim=1)
        nats = -of_truth.gather(1, labels[:, None])[:, 0]
        loss = None
        if isinstance(self.objective, Hybrid):
            assert self.start.dims is not None, "a hybrid is of a density"
            loss = self.objective.measured(table, labels, self.start.dims)
        return nats, log_posterior.argmax(dim=1) == labels, loss

    def mean(self, nats: float, images: float) -> float:
        """The value of the criterion for a sum of nats over images."""
        if self.start.dims is None:
            return nats / images
        mean = torch.tensor(-nats / images, dtype=torch.float64)
        return bits_per_dim(mean, self.start.dims).item()

    def evaluated(self, metadata: Metadata) -> TrainedNetwork[Any]:
        """The model that is measured and kept: the moving average, where there is one."""
        network = self.model if self.ema is None else self.ema.module
        return type(self.start)(network, metadata)

    def save(self, folder: Path, metadata: Metadata) -> None:
        """Writes the evaluated model as a checkpoint; training goes on with dropout as before."""
        training = self.model.training
        self.evaluated(metadata).save(folder)
        self.model.train(training)

    @property
    def accuracy_is_due(self) -> bool:
        """Whether accuracy is measured after this epoch."""
        epoch = self.current_epoch + 1
        first = epoch == 1 and self.criterion.by is not None  # it decides which epoch is best
        return first or epoch % self.training_config.accuracy_every == 0 or epoch == self.epochs

    def learning_rate(self, step: int) -> float:
        """Learning rate at optimiser step `step`, counted from 0."""
        total = self.epochs * self.steps_per_epoch
        return self.optim.lr * learning_rate_factor(self.optim, step, total)

    def so_far(self) -> float:
        """The objective over the unfinished epoch, this process's images; waits for the device.

        NaN at its start.
        """
        nats, images = self._train_sums[:2].tolist()
        return self.mean(nats, images) if images else float("nan")

    def require_finite(self) -> None:
        """Waits for the device and asks all processes whether every loss so far was a number.

        Raises:
            DivergedError: If not; on all processes.
        """
        finite = bool(torch.isfinite(self._train_sums).all())
        if not self.trainer.strategy.reduce_boolean_decision(finite, all=True):
            raise self._diverged()

    def _diverged(self) -> DivergedError:
        """Tells of a loss that is no number, and of what this training has not tried."""
        step, steps = self.trainer.global_step, self.epochs * self.steps_per_epoch
        more = []
        if self.optim.gradient_clip is None:
            more.append("--gradient-clip 1")
        if self.optim.warmup_steps == 0:
            more.append(f"a warm-up (--warmup-steps {min(500, max(1, steps // 10))})")
        if self.training_config.precision == "bf16-mixed":
            more.append("--precision 32")
        return DivergedError(step, self.learning_rate(step), *more)

    # Lightning's hooks, in the order of a run.

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimiser over the network's weights, and its schedule."""
        optimizer = make_optimizer(self.optim, self.model, self.objective)
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
        loss = self.loss(batch, self.trainer.global_step)
        nats = loss.nats
        if self.start.dims is not None:  # of whole images, also where windows are shown
            nats = nats * (self.start.dims / batch.levels[0].numel())
        beside = torch.zeros_like(loss.nats) if loss.cross_entropy is None else loss.cross_entropy
        sums = [nats, batch.weights.sum(), beside, loss.total.detach()]
        self._train_sums += torch.stack(sums)
        if self.device.type == "cpu" and self.trainer.world_size == 1:
            # Elsewhere looking at the loss would make the device, or the others, wait.
            self.require_finite()
        return loss.total * self.trainer.world_size / batch.global_count

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One step of the optimiser; the moving average follows."""
        super().optimizer_step(*args, **kwargs)
        if self.ema is not None:
            self.ema.update(self.model, self.trainer.global_step)

    def on_validation_epoch_start(self) -> None:
        """Refuses to measure broken weights; starts new sums."""
        self.require_finite()
        self._validation_sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        self._correct = torch.zeros(2, 2, dtype=torch.float64)

    def validation_step(self, batch: Batch, _: int, dataloader_idx: int = 0) -> None:
        """Adds what is measured of validation images (0) or of the training subset (1)."""
        if dataloader_idx > 0 and not self.accuracy_is_due:
            return
        nats, right, loss = self.measure(batch)
        if right is not None:
            weights = batch.weights.double().cpu()
            counts = torch.stack([(right.double() * weights).sum(), weights.sum()])
            self._correct[dataloader_idx] += counts
        if dataloader_idx == 0:
            weights = batch.weights.double().cpu()
            losses = torch.zeros_like(nats) if loss is None else loss
            sums = [(nats * weights).sum(), weights.sum(), (losses * weights).sum()]
            self._validation_sums += torch.stack(sums).to(self.device)

    def on_validation_epoch_end(self) -> None:
        """The objective and accuracies over the images of all processes."""
        nats, images, loss = self._total(self._validation_sums).tolist()
        self.metrics[self.criterion.val] = self.mean(nats, images)
        if self.criterion.by is not None:
            self.metrics[self.criterion.decisive] = loss / images if self.accuracy_is_due else None
        accuracies = self._total(self._correct).tolist()
        for name, (right, count) in zip(("val", "train"), accuracies, strict=True):
            self.metrics[f"{name}/accuracy"] = right / count if count else None

    def on_train_epoch_end(self) -> None:
        """The objective over the epoch's training images, as the weights went by."""
        nats, images, cross_entropy, loss = self._total(self._train_sums).tolist()
        self.metrics[self.criterion.train] = self.mean(nats, images)
        if isinstance(self.objective, Hybrid):
            self.metrics["train/loss"] = loss / images
            self.metrics["train/cross_entropy"] = cross_entropy / images
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
        sums = F.pad(sums, (0, len(self._train_sums) - len(sums)))  # versions that knew only two
        self._train_sums = sums if self.global_rank == 0 else torch.zeros_like(sums)

    def _total(self, tensor: Tensor) -> Tensor:
        """Sum over processes."""
        total: Tensor = self.trainer.strategy.reduce(
            tensor.detach().clone().to(self.device), reduce_op="sum"
        )
        return total
