"""A trained baseline on disk: `model.safetensors` beside `model.json`, as for a PixelCNN.

The JSON says that it is a ResNet-18, so that neither kind is taken for the other, and names
the digest of the weights.  Neither file can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_to_bytes

from pixelbayes.baselines.resnet18 import ResNet18
from pixelbayes.core.checkpoint import DESCRIPTION, WEIGHTS, CheckpointError, Metadata
from pixelbayes.core.checkpoint import FORMAT as PIXELCNN_FORMAT

__all__ = ["DESCRIPTION", "FORMAT", "load_checkpoint", "save_checkpoint"]

FORMAT = "pixelbayes-resnet18"
VERSION = 1


def save_checkpoint(folder: Path, model: ResNet18, metadata: Metadata) -> None:
    """Writes both files into `folder`, replacing an earlier checkpoint there.

    Raises:
        ValueError: If the model and the metadata disagree on the number of classes.
    """
    if model.classes != len(metadata.classes):
        raise ValueError(
            f"the model has {model.classes} classes, the metadata {len(metadata.classes)}: "
            f"{', '.join(metadata.classes)}"
        )
    weights = tensors_to_bytes(
        {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    )
    description = {
        "format": FORMAT,
        "version": VERSION,
        "config": {"classes": model.classes, "channels": model.channels},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **asdict(metadata),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / WEIGHTS, weights)
    _write(folder / DESCRIPTION, json.dumps(description, indent=2).encode() + b"\n")


def load_checkpoint(folder: Path) -> tuple[ResNet18, Metadata]:
    """Rebuilds the network, on the CPU and in evaluation mode, bit for bit.

    Raises:
        CheckpointError: If a file is missing, damaged, of a later version, of another network or
            that of a PixelCNN.
        BaselineError: If monai is not installed.
    """
    description = _read_description(folder)
    path = folder / WEIGHTS
    try:
        config = description["config"]
        classes, channels = int(config["classes"]), int(config["channels"])
        metadata = Metadata(**{name: description[name] for name in Metadata.__dataclass_fields__})
        digest = description["weights_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / DESCRIPTION} does not describe a ResNet-18: {error}"
        ) from error
    try:
        data = path.read_bytes()
        weights = read_tensors(data)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights {path}: {error}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise CheckpointError(
            f"{path} is not the file that {DESCRIPTION} was written with: one of the two was "
            "replaced or damaged. Copy both from the same checkpoint."
        )
    model = ResNet18(classes, channels)
    model.to(next(tensor.dtype for tensor in weights.values() if tensor.is_floating_point()))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} holds other weights than monai's ResNet-18: {error}"
        ) from error
    return model.eval(), metadata


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no ResNet-18 in {folder}: expected {DESCRIPTION} and {WEIGHTS} there. Give a "
            "checkpoint folder or the directory of a baseline's run that has finished an epoch."
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    found = description.get("format") if isinstance(description, dict) else None
    if found == PIXELCNN_FORMAT:
        raise CheckpointError(f"{folder} holds a PixelCNN, not a ResNet-18; use PixelBayes.load")
    if found != FORMAT:
        raise CheckpointError(f"{path} does not describe a ResNet-18 of pixelbayes")
    if description.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has format version {description.get('version')}, this pixelbayes reads "
            f"version {VERSION}; install a newer pixelbayes"
        )
    return dict(description)


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)
