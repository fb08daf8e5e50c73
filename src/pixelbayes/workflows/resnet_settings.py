"""The two settings in which the study trains its ResNet-18."""

from __future__ import annotations

from collections.abc import Mapping

from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.workflows.config import RunConfig

__all__ = ["PUBLISHED", "SETTINGS", "TUNED"]

PUBLISHED = RunConfig(
    model="resnet18",
    optim=OptimConfig(optimizer="adam", lr=0.002),
    training=TrainingConfig(batch_size=32, epochs=75, patience=10),
)
"""The setting of the study that is reproduced: every model with Adam, learning rate 0.002, batch
32, at most 75 epochs, early stopping on the validation loss, no augmentation (R. Sharma, CPEN455
course project)."""

TUNED = RunConfig(
    model="resnet18",
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
    training=TrainingConfig(
        batch_size=64,
        epochs=150,
        patience=None,
        flip=True,
        crop_margin=4,
        label_smoothing=0.1,  # [5] section 7
    ),
)
"""What is known to work for small images, with enough steps for some thousands of them.

References:
    [1] He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv 1512.03385.
    [2] Zagoruyko, Komodakis, Wide Residual Networks, BMVC 2016, arXiv 1605.07146.
    [3] Goyal et al., Accurate, Large Minibatch SGD, 2017, arXiv 1706.02677.
    [4] Loshchilov, Hutter, SGDR, ICLR 2017, arXiv 1608.03983.
    [5] Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, arXiv 1512.00567.
"""

SETTINGS: Mapping[str, RunConfig] = {"tuned": TUNED, "published": PUBLISHED}
