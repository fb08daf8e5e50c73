"""A trained model on disk: `model.safetensors` (weights) beside `model.json` (everything else).

Neither file can run code.  The JSON names the digest of the weights, so that two halves of
different checkpoints are never mixed.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from pixelbayes.core.network import PixelCNN, PixelCNNConfig

__all__ = [
    "VERSION",
    "CheckpointError",
    "Metadata",
    "load_checkpoint",
    "read_version",
    "save_checkpoint",
]

FORMAT = "pixelbayes"
VERSION = 2  # in version 1 early and joint fusion read e_y undivided
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, with the reason and what to do."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a user of the weights must know besides the architecture.

    Attributes:
        classes: Name of each label, in the order of the indices.
        resize: How images are brought to the model's size, as `dataclasses.asdict` of
            `pixelbayes.data.Resize`.
        log_prior: log p(y) in nats, normalised, one per class.
        temperature: Divides log-likelihoods before Bayes' rule; fitted on validation data, 1
            where it was not.
        provenance: Data, training settings, seed, versions, commit, results so far.
    """

    classes: tuple[str, ...]
    resize: dict[str, Any]
    log_prior: tuple[float, ...]
    temperature: float = 1.0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "log_prior", tuple(self.log_prior))
        if len(self.classes) != len(self.log_prior):
            raise ValueError(
                f"got {len(self.classes)} class names but a prior over {len(self.log_prior)}"
            )


def save_checkpoint(folder: Path, model: PixelCNN, metadata: Metadata) -> None:
    """Writes both files into `folder`, replacing an earlier checkpoint there.

    Each file appears whole or not at all; if the process dies between the two, loading
    reports that they do not belong together.

    Raises:
        ValueError: If the model and the metadata disagree on the number of classes.
    """
    if model.config.classes != len(metadata.classes):
        raise ValueError(
            f"the model has {model.config.classes} classes, the metadata "
            f"{len(metadata.classes)}: {', '.join(metadata.classes)}"
        )
    weights = tensors_to_bytes(
        {name: tensor.detach().cpu().contiguous() for name, tensor in _named_weights(model)}
    )
    description = {
        "format": FORMAT,
        "version": VERSION,
        "config": asdict(model.config),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **asdict(metadata),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / WEIGHTS, weights)
    _write(folder / DESCRIPTION, json.dumps(description, indent=2).encode() + b"\n")


def load_checkpoint(folder: Path) -> tuple[PixelCNN, Metadata]:
    """Rebuilds the network, on the CPU and in evaluation mode, bit for bit.

    A checkpoint of an older version becomes the same function in this version's parameters.

    Raises:
        CheckpointError: If a file is missing, damaged, of a later version or of another
            architecture.
    """
    description = _read_description(folder)
    try:
        config = PixelCNNConfig(**description["config"])
        metadata = Metadata(**{name: description[name] for name in Metadata.__dataclass_fields__})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / DESCRIPTION} does not describe a model: {error}"
        ) from error

    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
        weights = read_tensors(data)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights {path}: {error}") from error
    if hashlib.sha256(data).hexdigest() != description["weights_sha256"]:
        raise CheckpointError(
            f"{path} is not the file that {DESCRIPTION} was written with: one of the two was "
            "replaced or damaged. Copy both from the same checkpoint."
        )
    model = PixelCNN(config)
    model.to(next(iter(weights.values())).dtype)
    expected = {name for name, _ in _named_weights(model)}
    if expected != set(weights):
        different = sorted(expected ^ set(weights))
        raise CheckpointError(
            f"{path} holds other weights than this version's network: {', '.join(different[:5])}"
            f" ({len(different)} names differ); it was written by pixelbayes "
            f"{metadata.provenance.get('versions', {}).get('pixelbayes', 'of unknown version')}"
        )
    if description["version"] == 1:
        _multiply_label_channels(weights, config)
    try:
        model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its description: {error}") from error
    return model.eval(), metadata


def read_version(folder: Path) -> int:
    """The format version that a checkpoint was written in, at most `VERSION`.

    Raises:
        CheckpointError: If there is no checkpoint, or one that this version cannot read.
    """
    return int(_read_description(folder)["version"])


def _multiply_label_channels(weights: dict[str, Tensor], config: PixelCNNConfig) -> None:
    """Makes up, in weights of version 1, for the division of e_y by d in `EarlyFusion`."""
    for layer in ("input_u", "input_row", "input_left"):
        direction = weights[f"{layer}.direction"]
        before = direction.flatten(1).norm(dim=1)
        direction[:, config.channels + 1 :] *= config.embedding
        weights[f"{layer}.gain"] *= direction.flatten(1).norm(dim=1) / before


def _named_weights(model: PixelCNN) -> list[tuple[str, Any]]:
    """State under its shortest names; an embedding that several fusions share appears once."""
    seen: set[int] = set()
    named = []
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            named.append((name, tensor))
    return named


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no model in {folder}: expected {DESCRIPTION} and {WEIGHTS} there. Give a checkpoint "
            "folder or a run directory that has finished an epoch."
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not (isinstance(description, dict) and str(description.get("format")).startswith(FORMAT)):
        raise CheckpointError(f"{path} was not written by pixelbayes")
    if description["format"] != FORMAT:
        raise CheckpointError(
            f"{folder} holds a model of another kind ({description['format']}); a PixelCNN is "
            "wanted here"
        )
    if description.get("version") not in range(1, VERSION + 1):
        raise CheckpointError(
            f"{path} has format version {description.get('version')}, this pixelbayes reads "
            f"versions 1 to {VERSION}; install a newer pixelbayes"
        )
    return description


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)
