"""Batches as a function of the step: any batch of a run can be made without the ones before it.

Images stay in memory as uint8 levels, on the accelerator where there is one, so a batch is one
indexing operation and no worker process is needed.  With several processes each takes its share
of the same global batch, augmented as a whole, so the number of processes changes nothing but
the speed.

Shapes: N images in all, B images in a global batch, C channels, H x W pixels, S steps an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pixelbayes.core.views import in_view
from pixelbayes.data import Augmentation, Windows
from pixelbayes.training.seeds import derived_seed

__all__ = ["Batch", "BatchStream", "EvaluationStream", "Share", "steps_per_epoch"]


class Batch(NamedTuple):
    """One process's share of a global batch.

    Attributes:
        levels: uint8, (b, C, H, W).
        labels: int64, (b,).
        weights: 1, or 0 where an image only fills up the share, (b,).
        global_count: Images of the global batch, all processes together, without the filling.
        view: Which view of each image is shown, int64, (b,), or one number for all.
        soft_labels: Probabilities of the classes, such as a teacher's, (b, K); None: the labels.
    """

    levels: Tensor
    labels: Tensor
    weights: Tensor
    global_count: int
    view: int | Tensor = 0
    soft_labels: Tensor | None = None


class Share(NamedTuple):
    """Which process of how many."""

    rank: int = 0
    world: int = 1

    def of(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Divides `count` items evenly; a process that would get one less gets a filler.

        >>> Share(rank=1, world=2).of(3, torch.device("cpu"))
        (tensor([1, 2]), tensor([1., 0.]))

        Returns:
            Positions of this process's items, and weights that are 0 for fillers.
        """
        padded = -(-count // self.world) * self.world
        positions = torch.arange(self.rank, padded, self.world, device=device)
        return positions.clamp(max=count - 1), (positions < count).float()


ALONE = Share()


class BatchStream:
    """Training batches from the step that training has reached to the end of that epoch.

    The order of epoch e depends on (seed, e), the augmentation of a step on (seed, step).
    It has no length on purpose: what is left of an epoch depends on when it is asked.

    Args:
        levels: Training images, uint8, (N, C, H + m, W + m), on the device of the training.
        labels: int64, (N,), on the same device.
        batch_size: B; the last batch of an epoch may be smaller.
        augmentation: Applied to each global batch.
        seed: The run's seed.
        position: Returns the number of steps done so far.
        share: This process's share.
        views: Each image is shown in one of so many views, drawn anew in each step.
        windows: Cuts parts out of each global batch; None: images are shown whole.
        soft_labels: Of all images, (N, K), on the same device; None: labels alone.
    """

    def __init__(
        self,
        levels: Tensor,
        labels: Tensor,
        *,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        position: Callable[[], int],
        share: Share = ALONE,
        views: int = 1,
        windows: Windows | None = None,
        soft_labels: Tensor | None = None,
    ) -> None:
        self.levels = levels
        self.labels = labels
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.position = position
        self.share = share
        self.views = views
        self.windows = windows
        self.soft_labels = soft_labels
        self._generator = torch.Generator(device=levels.device)

    @property
    def steps_per_epoch(self) -> int:
        """S = ceil(N / B)."""
        return steps_per_epoch(len(self.levels), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        start = self.position()
        epoch = start // self.steps_per_epoch
        order = self.order(epoch)
        for step in range(start, (epoch + 1) * self.steps_per_epoch):
            yield self.batch(step, order)

    def order(self, epoch: int) -> Tensor:
        """The permutation of epoch number `epoch`, int64, (N,), the same on every device."""
        generator = torch.Generator().manual_seed(derived_seed("order", self.seed, epoch))
        permutation = torch.randperm(len(self.levels), generator=generator)
        return permutation.to(self.levels.device)

    def batch(self, step: int, order: Tensor) -> Batch:
        """This process's share of the batch of optimiser step `step`, counted from 0."""
        first = step % self.steps_per_epoch * self.batch_size
        rows = order[first : first + self.batch_size]
        self._generator.manual_seed(derived_seed("augmentation", self.seed, step))
        levels = self.augmentation(self.levels[rows], generator=self._generator)
        if self.windows is not None:
            generator = torch.Generator().manual_seed(derived_seed("windows", self.seed, step))
            levels = self.windows(levels, generator=generator)
        positions, weights = self.share.of(len(rows), rows.device)
        mine = rows[positions]
        batch = Batch(levels[positions], self.labels[mine], weights, len(rows))
        if self.soft_labels is not None:
            batch = batch._replace(soft_labels=self.soft_labels[mine])
        if self.views == 1:
            return batch
        drawn = torch.randint(
            self.views, (len(rows),), generator=self._generator, device=rows.device
        )[positions]
        return batch._replace(levels=in_view(batch.levels, drawn), view=drawn)


class EvaluationStream:
    """Images in their own order, in chunks, each process its share.

    Args:
        levels: uint8, (N, C, H, W), on the device of the training.
        labels: int64, (N,), on the same device.
        chunk: Images at a time, per process.
        share: This process's share.
    """

    def __init__(self, levels: Tensor, labels: Tensor, *, chunk: int, share: Share) -> None:
        self.levels = levels
        self.labels = labels
        self.chunk = chunk
        self.positions, self.weights = share.of(len(levels), levels.device)

    def __len__(self) -> int:
        return steps_per_epoch(len(self.positions), self.chunk)

    def __iter__(self) -> Iterator[Batch]:
        for positions, weights in zip(
            self.positions.split(self.chunk), self.weights.split(self.chunk), strict=True
        ):
            yield Batch(self.levels[positions], self.labels[positions], weights, len(self.levels))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Optimiser steps in which every image is seen once.

    >>> steps_per_epoch(100, 32)
    4
    """
    return -(-images // batch_size)
