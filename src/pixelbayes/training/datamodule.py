"""Where Lightning gets its batches from."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor

from pixelbayes.data import Augmentation, LabelledImages, Windows, stratified_subset
from pixelbayes.training.batches import BatchStream, EvaluationStream, Share, steps_per_epoch
from pixelbayes.training.config import TrainingConfig

__all__ = ["LevelsDataModule"]

EVALUATED_AT_A_TIME = 256  # images, at least, on a GPU: small passes only wait to be started


class LevelsDataModule(pl.LightningDataModule):
    """Training and validation images as levels, moved to the device once.

    Args:
        train: Training images, larger than the others by the crop margin.
        validation: Validation images.
        training: Batch size, augmentation, size of the accuracy subset.
        seed: The run's seed.
        views: In how many views training images are shown.
        soft_labels: As in `pixelbayes.training.engine.fit`.
    """

    def __init__(
        self,
        train: LabelledImages,
        validation: LabelledImages,
        training: TrainingConfig,
        seed: int,
        views: int = 1,
        soft_labels: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.train = train
        self.validation = validation
        self.training = training
        self.seed = seed
        self.views = views
        self.soft_labels = soft_labels
        self.augmentation = Augmentation(flip=training.flip, crop_margin=training.crop_margin)
        step = training.window_step
        self.windows = None if step is None else Windows(step=step)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return steps_per_epoch(len(self.train), self.training.batch_size)

    def train_dataloader(self) -> BatchStream:
        """What is left of the current epoch."""
        trainer = self._trainer()
        levels, labels = self._on_device(self.train.levels, self.train.labels)
        taught = self.soft_labels
        return BatchStream(
            levels,
            labels,
            batch_size=self.training.batch_size,
            augmentation=self.augmentation,
            seed=self.seed,
            position=lambda: trainer.global_step,
            share=self._share(),
            views=self.views,
            windows=self.windows,
            soft_labels=None if taught is None else taught.to(levels.device),
        )

    def val_dataloader(self) -> list[EvaluationStream]:
        """Validation images, and after them the training images of the accuracy subset."""
        streams = [self._evaluation(self.validation.levels, self.validation.labels)]
        if self.training.accuracy_images:
            subset = self.accuracy_subset()
            levels = self.augmentation.centre(self.train.levels[subset])
            streams.append(self._evaluation(levels, self.train.labels[subset]))
        return streams

    def accuracy_subset(self) -> Tensor:
        """Positions of the training images whose accuracy is measured, int64."""
        classes = len(self.train.labels.unique())
        size = max(classes, self.training.accuracy_images)  # a stratified subset has every class
        return stratified_subset(self.train.labels, size, self.seed)

    def _evaluation(self, levels: Tensor, labels: Tensor) -> EvaluationStream:
        share = self._share()
        images = self.training.batch_size
        levels, labels = self._on_device(levels, labels)
        if levels.device.type != "cpu":
            images = max(images, EVALUATED_AT_A_TIME)
        return EvaluationStream(levels, labels, chunk=-(-images // share.world), share=share)

    def _on_device(self, levels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        device: torch.device = self._trainer().strategy.root_device
        return levels.to(device), labels.to(device)

    def _share(self) -> Share:
        trainer = self._trainer()
        return Share(trainer.global_rank, trainer.world_size)

    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None
        return self.trainer
