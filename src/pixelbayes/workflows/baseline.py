"""Training the discriminative opponent, on the same images and into the same kind of directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pixelbayes.baselines import ResNet18
from pixelbayes.baselines.resnet18 import smallest_batch
from pixelbayes.data import ImageDataset
from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.metrics import LOG_LOSS
from pixelbayes.training.seeds import derived_seed
from pixelbayes.workflows.configuration import Configuration, DataConfig, RunError, require_seed
from pixelbayes.workflows.recorded import train_recorded
from pixelbayes.workflows.runs import RunDirectory

if TYPE_CHECKING:
    from pixelbayes.training.tasks import ClassifierTask

__all__ = [
    "BASELINES",
    "PUBLISHED",
    "SETTINGS",
    "TUNED",
    "BaselineConfig",
    "BaselineRun",
    "build_baseline",
    "train_baseline",
]

BASELINES = ("resnet18",)


@dataclass(frozen=True, kw_only=True)
class BaselineConfig(Configuration):
    """Everything that decides a run of a baseline.

    Of `training`, the initialisation and the objective with its settings are the PixelCNN's and
    have no effect; the first weights are He's.

    Raises:
        RunError: On construction, if a field of its own has a value that is not accepted.
    """

    baseline: str = "resnet18"
    """Which network: resnet18."""
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    label_smoothing: float = 0.0
    """Share of the target that goes to all classes alike, in [0, 1)."""
    seed: int = 0
    """Decides first weights, order of the images and augmentation."""

    def __post_init__(self) -> None:
        require_seed(self.seed)
        if self.baseline not in BASELINES:
            raise RunError(f"baseline is one of: {', '.join(BASELINES)}; got {self.baseline!r}")
        share = self.label_smoothing
        number = isinstance(share, (int, float)) and not isinstance(share, bool)
        if not number or not 0.0 <= share < 1.0:
            raise RunError(f"label_smoothing is a number in [0, 1), got {share!r}")


PUBLISHED = BaselineConfig(
    optim=OptimConfig(optimizer="adam", lr=0.002),
    training=TrainingConfig(batch_size=32, epochs=75, patience=10),
)
"""The setting of the study that is reproduced: every model with Adam, learning rate 0.002, batch
32, at most 75 epochs, early stopping on the validation loss, no augmentation (R. Sharma, CPEN455
course project)."""

TUNED = BaselineConfig(
    # Momentum 0.9 as in [1] section 4.2 and [2] section 3, Nesterov's and weight decay 5e-4 as
    # in [2].  Both have lr 0.1 at batch 128; lr is proportional to the batch ([3] section 2.1).
    # Batch 64: at 128, 4 thousand images make only 33 steps an epoch.
    optim=OptimConfig(
        optimizer="sgd",
        lr=0.05,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="cosine",  # [4], one cycle without restarts
        warmup_steps=325,  # 5 epochs ([3] section 2.2) of the 4159 cpen455 images in batches of 64
    ),
    # Mirror images and crops 4 pixels off ([1] section 4.2).  The cosine is to reach its end, so
    # nothing stops it; the best checkpoint is that with the lowest validation log-loss anyway.
    training=TrainingConfig(batch_size=64, epochs=150, patience=None, flip=True, crop_margin=4),
    label_smoothing=0.1,  # [5] section 7
)
"""What is known to work for small images, with enough steps for some thousands of them.

References:
    [1] He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv 1512.03385.
    [2] Zagoruyko, Komodakis, Wide Residual Networks, BMVC 2016, arXiv 1605.07146.
    [3] Goyal et al., Accurate, Large Minibatch SGD, 2017, arXiv 1706.02677.
    [4] Loshchilov, Hutter, SGDR, ICLR 2017, arXiv 1608.03983.
    [5] Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, arXiv 1512.00567.
"""

SETTINGS: Mapping[str, BaselineConfig] = {"tuned": TUNED, "published": PUBLISHED}


class BaselineRun(RunDirectory[BaselineConfig]):
    """The run of a baseline; its checkpoints are for `pixelbayes.baselines.Classifier`."""

    kind = "resnet18"
    objective = LOG_LOSS
    configuration = BaselineConfig


def train_baseline(
    config: BaselineConfig, run_dir: Path, *, resume: bool = False, progress: bool = True
) -> BaselineRun:
    """Trains a baseline and fills a run directory, as `pixelbayes.workflows.train.train` does.

    metrics.csv has train/log_loss and val/log_loss (nats per image, without label smoothing) in
    place of bits/dim.

    Args:
        config: What to train; for a resumed run, that run's configuration, of which only length
            and devices may differ.
        run_dir: A new directory, or with `resume` that of the run to continue.
        resume: Continues a run that was stopped, failed or is to become longer.
        progress: Whether to show progress on stderr.

    Raises:
        RunError: If the directory or the batch size does not fit, or the resumed run is complete.
        BaselineError: If monai is not installed.
        DatasetError: If the data cannot be used.
        DivergedError: If the loss stopped being a number.
        RunStopped: If a signal or the time limit stopped it; `resume` continues.
    """

    def task(dataset: ImageDataset) -> ClassifierTask:
        from pixelbayes.training.tasks import ClassifierTask

        require_normalisable(config, dataset)
        return ClassifierTask(
            build_baseline(config, dataset),
            config.optim,
            config.training,
            images=len(dataset.split("train")),
            seed=config.seed,
            label_smoothing=config.label_smoothing,
        )

    return train_recorded(
        BaselineRun, config, Path(run_dir), task, resume=resume, progress=progress
    )


def build_baseline(config: BaselineConfig, dataset: ImageDataset) -> ResNet18:
    """The network with its first weights, a function of the seed.

    Raises:
        BaselineError: If monai is not installed.
    """
    with torch.random.fork_rng(devices=[]):  # layers draw from the global generator
        torch.manual_seed(derived_seed("weights", config.seed))
        return ResNet18(len(dataset.classes), dataset.channels)


def require_normalisable(config: BaselineConfig, dataset: ImageDataset) -> None:
    """Refuses a batch size whose last batch is too small for batch normalisation.

    Raises:
        RunError: If so, with a batch size that works.
    """
    training = config.training
    world = training.devices * training.num_nodes
    images, least = len(dataset.split("train")), smallest_batch(dataset.image_size)

    def smallest_share(batch_size: int) -> int:
        return -(-(images % batch_size or batch_size) // world)

    if smallest_share(training.batch_size) < least:
        larger = range(training.batch_size + 1, images + world + 1)
        works = next((size for size in larger if smallest_share(size) >= least), None)
        advice = "more training images" if works is None else f"--batch-size {works}"
        raise RunError(
            f"--batch-size {training.batch_size} leaves {images} training images a last batch of "
            f"{images % training.batch_size or training.batch_size}, and at "
            f"{dataset.image_size[0]}x{dataset.image_size[1]} pixels batch normalisation needs "
            f"{least} per device; pass {advice}"
        )
