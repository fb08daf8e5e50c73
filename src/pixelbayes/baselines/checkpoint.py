"""Checkpoints of a `ResNet18`, in the format of `pixelbayes.core.storage`."""

from __future__ import annotations

from pathlib import Path

from pixelbayes.baselines.resnet18 import ResNet18
from pixelbayes.core import storage
from pixelbayes.core.storage import DESCRIPTION, WEIGHTS, CheckpointError, Metadata

__all__ = ["KIND", "load_checkpoint", "save_checkpoint"]

KIND = storage.Kind(format="pixelbayes-resnet18", version=1, noun="ResNet-18")


def save_checkpoint(folder: Path, model: ResNet18, metadata: Metadata) -> None:
    """Writes both files into `folder`, replacing an earlier checkpoint there.

    Raises:
        ValueError: If the model and the metadata disagree on the number of classes.
    """
    storage.save(
        folder,
        KIND,
        classes=model.classes,
        config={"classes": model.classes, "channels": model.channels},
        weights=model.state_dict(),
        metadata=metadata,
    )


def load_checkpoint(folder: Path) -> tuple[ResNet18, Metadata]:
    """Rebuilds the network, on the CPU and in evaluation mode, bit for bit.

    Raises:
        CheckpointError: If a file is missing, damaged, of a later version, of another network or
            that of a PixelCNN.
        BaselineError: If monai is not installed.
    """
    stored = storage.load(folder, KIND)
    try:
        classes, channels = int(stored.config["classes"]), int(stored.config["channels"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / DESCRIPTION} does not describe a ResNet-18: {error}"
        ) from error
    model = ResNet18(classes, channels)
    weights = stored.weights
    model.to(next(tensor.dtype for tensor in weights.values() if tensor.is_floating_point()))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} holds other weights than monai's ResNet-18: {error}"
        ) from error
    return model.eval(), stored.metadata
