"""Checkpoints of a `PixelCNN`, in the format of `pixelbayes.core.storage`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from pixelbayes.core import storage
from pixelbayes.core.config import PixelCNNConfig
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.storage import DESCRIPTION, WEIGHTS, CheckpointError, Metadata

__all__ = [
    "KIND",
    "CheckpointError",
    "Metadata",
    "load_checkpoint",
    "read_version",
    "save_checkpoint",
]

# In version 1 early and joint fusion read e_y undivided.
KIND = storage.Kind(format="pixelbayes", version=2, noun="PixelCNN")


def save_checkpoint(folder: Path, model: PixelCNN, metadata: Metadata) -> None:
    """Writes both files into `folder`, replacing an earlier checkpoint there.

    Raises:
        ValueError: If the model and the metadata disagree on the number of classes.
    """
    storage.save(
        folder,
        KIND,
        classes=model.config.classes,
        config=asdict(model.config),
        weights=_named_weights(model),
        metadata=metadata,
    )


def load_checkpoint(folder: Path) -> tuple[PixelCNN, Metadata]:
    """Rebuilds the network, on the CPU and in evaluation mode, bit for bit.

    A checkpoint of an older version becomes the same function in this version's parameters.

    Raises:
        CheckpointError: If a file is missing, damaged, of a later version or of another
            architecture.
    """
    stored = storage.load(folder, KIND)
    try:
        model = PixelCNN(PixelCNNConfig(**stored.config))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / DESCRIPTION} does not describe a PixelCNN: {error}"
        ) from error
    weights, path = stored.weights, folder / WEIGHTS
    model.to(next(iter(weights.values())).dtype)
    different = sorted(set(_named_weights(model)) ^ set(weights))
    if different:
        versions = stored.metadata.provenance.get("versions", {})
        raise CheckpointError(
            f"{path} holds other weights than this version's network: {', '.join(different[:5])}"
            f" ({len(different)} names differ); it was written by pixelbayes "
            f"{versions.get('pixelbayes', 'of unknown version')}"
        )
    if stored.version == 1:
        _multiply_label_channels(weights, model.config)
    try:
        model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its description: {error}") from error
    return model.eval(), stored.metadata


def read_version(folder: Path) -> int:
    """The format version that a checkpoint was written in, at most that of `KIND`.

    Raises:
        CheckpointError: If there is no checkpoint, or one that this version cannot read.
    """
    return int(storage.read_description(folder, KIND)["version"])


def _multiply_label_channels(weights: dict[str, Tensor], config: PixelCNNConfig) -> None:
    """Makes up, in weights of version 1, for the division of e_y by d in `EarlyFusion`."""
    for layer in ("input_u", "input_row", "input_left"):
        direction = weights[f"{layer}.direction"]
        before = direction.flatten(1).norm(dim=1)
        direction[:, config.channels + 1 :] *= config.embedding
        weights[f"{layer}.gain"] *= direction.flatten(1).norm(dim=1) / before


def _named_weights(model: PixelCNN) -> dict[str, Tensor]:
    """State under its shortest names; an embedding that several fusions share appears once."""
    seen: set[int] = set()
    named = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            named[name] = tensor
    return named
