"""A trained network on disk: `model.safetensors` (weights) beside `model.json` (everything else).

Neither file can run code.  The JSON says which kind of network it is and names the digest of
the weights, so that no kind is taken for another and two halves of different checkpoints are
never mixed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from pixelbayes.core.files import write_whole

__all__ = [
    "BEST",
    "DESCRIPTION",
    "WEIGHTS",
    "CheckpointError",
    "Kind",
    "Metadata",
    "Stored",
    "checkpoint_folder",
    "load",
    "read_description",
    "save",
]

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
BEST = "best"  # where a run directory keeps the checkpoint of its best epoch
FAMILY = "pixelbayes"  # begins the format of every kind


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, with the reason and what to do."""


@dataclass(frozen=True)
class Kind:
    """One kind of network."""

    format: str
    """Its mark in the JSON."""
    version: int
    """Of the format that is written; lower ones are read."""
    noun: str
    """What it is called in messages."""


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


@dataclass(frozen=True, eq=False)
class Stored:
    """What a checkpoint holds."""

    version: int
    config: Mapping[str, Any]
    metadata: Metadata
    weights: dict[str, Tensor]


def save(
    folder: Path,
    kind: Kind,
    *,
    classes: int,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    metadata: Metadata,
) -> None:
    """Writes both files into `folder`, replacing an earlier checkpoint there.

    Each file appears whole or not at all; if the process dies between the two, loading
    reports that they do not belong together.

    Args:
        folder: Made if it is missing.
        kind: Of the network.
        classes: How many the network has.
        config: Everything needed to build it, in plain values.
        weights: By name, on any device.
        metadata: The rest.

    Raises:
        ValueError: If the network and the metadata disagree on the number of classes.
    """
    if classes != len(metadata.classes):
        raise ValueError(
            f"the model has {classes} classes, the metadata "
            f"{len(metadata.classes)}: {', '.join(metadata.classes)}"
        )
    data = tensors_to_bytes(
        {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    )
    description = {
        "format": kind.format,
        "version": kind.version,
        "config": dict(config),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        **asdict(metadata),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS, data)
    write_whole(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def load(folder: Path, kind: Kind) -> Stored:
    """Reads both files.

    Raises:
        CheckpointError: If a file is missing, damaged, of a later version, of another kind, or
            not of the same checkpoint as the other.
    """
    description = read_description(folder, kind)
    try:
        metadata = Metadata(**{name: description[name] for name in Metadata.__dataclass_fields__})
        config, digest = dict(description["config"]), description["weights_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / DESCRIPTION} does not describe a {kind.noun}: {error}"
        ) from error
    path = folder / WEIGHTS
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
    return Stored(description["version"], config, metadata, weights)


def read_description(folder: Path, kind: Kind) -> dict[str, Any]:
    """Content of the JSON, of this kind and of a version that can be read.

    Raises:
        CheckpointError: If it is missing, damaged or another one.
    """
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no {kind.noun} in {folder}: expected {DESCRIPTION} and {WEIGHTS} there. Give a "
            "checkpoint folder or a run directory that has finished an epoch."
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not (isinstance(description, dict) and str(description.get("format")).startswith(FAMILY)):
        raise CheckpointError(f"{path} does not describe a {kind.noun} of pixelbayes")
    if description["format"] != kind.format:
        raise CheckpointError(
            f"{folder} holds a model of another kind ({description['format']}); a {kind.noun} "
            "is wanted here. PixelBayes.load reads a PixelCNN, baselines.Classifier.load a "
            "ResNet-18."
        )
    version = description.get("version")
    if version not in range(1, kind.version + 1):
        raise CheckpointError(
            f"{path} has format version {version}, this pixelbayes reads "
            f"{'versions 1 to' if kind.version > 1 else 'version'} {kind.version}; install a "
            "newer pixelbayes"
        )
    return description


def checkpoint_folder(path: str | Path) -> Path:
    """The folder itself, or that of the best checkpoint of a run directory.

    Raises:
        CheckpointError: If there is no such folder.
    """
    folder = Path(path)
    if not folder.exists():
        raise CheckpointError(f"no such folder: {folder}; give a run directory or a checkpoint")
    if not (folder / DESCRIPTION).exists() and (folder / BEST).is_dir():
        return folder / BEST
    return folder
