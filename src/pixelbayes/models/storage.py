"""A trained model on disk: `model.safetensors` (weights) beside `model.json` (everything else).

Neither file can run code.  The JSON says which kind of model it is and names the digest of the
weights, so that no kind is taken for another and two halves of different checkpoints are never
mixed.  A format is written exactly and read tolerantly: a field that an older version did not
know has its default, and what a later one has added is named in a warning.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor, nn

from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import require_temperature
from pixelbayes.io import (
    PARTIAL,
    FormatError,
    Reading,
    naming,
    on_disk,
    plain,
    read_json,
    structure,
    to_json,
    write_whole,
)
from pixelbayes.models.decisions import Decisions

__all__ = [
    "BEST",
    "DESCRIPTION",
    "VERSION",
    "WEIGHTS",
    "CheckpointError",
    "Metadata",
    "Stored",
    "bytes_of",
    "checkpoint_folder",
    "kind_of",
    "named_folder",
    "read",
    "read_description",
    "structured_config",
    "tensors_of",
    "write",
]

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
PRIOR_TOLERANCE = 1e-6  # of the sum of probabilities, relative
PENDING = DESCRIPTION + PARTIAL
"""A description that is written, while the weights it is about are being written."""
BEST = "best"  # where a run directory keeps the checkpoint of its best epoch
FAMILY = "pixelbayes"
"""The format of a PixelCNN; that of another kind is pixelbayes-KIND."""
FIRST_KIND = "pixelcnn"
VERSION = 3
"""Of the format.  2: a PixelCNN reads the label's input channels divided by their number.  3: the
options of the network may grow; every kind of model has the same number."""

Config = TypeVar("Config")


class CheckpointError(PixelBayesError):
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
        decisions: Thresholds by `pixelbayes calibrate`; None before.
    """

    classes: tuple[str, ...]
    resize: dict[str, Any]
    log_prior: tuple[float, ...]
    temperature: float = 1.0
    provenance: dict[str, Any] = field(default_factory=dict)
    decisions: Decisions | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "log_prior", tuple(self.log_prior))
        if len(self.classes) != len(self.log_prior):
            raise PixelBayesError(
                f"got {len(self.classes)} class names but a prior over {len(self.log_prior)}"
            )
        total = float(torch.tensor(self.log_prior, dtype=torch.float64).exp().sum())
        if not math.isclose(total, 1.0, rel_tol=PRIOR_TOLERANCE):
            raise PixelBayesError(
                "log_prior is one log-probability per class whose exponentials sum to one, got "
                f"{self.log_prior} with sum {total:.6g}"
            )
        object.__setattr__(self, "temperature", require_temperature(self.temperature))


@dataclass(frozen=True, eq=False, kw_only=True)
class Stored:
    """What a checkpoint holds.

    Attributes:
        kind: Of the model, as in `pixelbayes.models.MODELS`.
        config: Everything needed to build the model, in plain values.
        metadata: What a user of the weights must know.
        weights: By name.
        version: Of the format it was read from.
        origin: Where it was read from, for messages.
    """

    kind: str
    config: Mapping[str, Any]
    metadata: Metadata
    weights: Mapping[str, Tensor]
    version: int = VERSION
    origin: str = "the checkpoint"

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights.

        Raises:
            CheckpointError: If there are none.
        """
        for tensor in self.weights.values():
            if tensor.is_floating_point():
                return tensor.dtype
        raise CheckpointError(f"{self.origin} holds no weights of its network; it is damaged")

    def fill(self, network: nn.Module, whose: str) -> None:
        """Gives a network these weights, as wide as they are.

        Args:
            network: Built from `config`; changed in place.
            whose: Which network it is, for messages.

        Raises:
            CheckpointError: If it has other weights.
        """
        network.to(self.dtype)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.origin} holds other weights than {whose}: {error}"
            ) from error

    @property
    def written_by(self) -> str:
        """The version of pixelbayes that trained the model, as far as it says."""
        versions = self.metadata.provenance.get("versions", {})
        return f"pixelbayes {versions.get('pixelbayes', 'of unknown version')}"


def named_folder(folder: str | Path) -> Path:
    """The folder to write to.

    Raises:
        CheckpointError: If the path is empty, as that of a variable that is not set, or a file.
    """
    if folder == "":
        raise CheckpointError('an empty path names no folder; "." is the current folder')
    if Path(folder).exists() and not Path(folder).is_dir():
        raise CheckpointError(f"{folder} is a file, and a model is saved as a folder; name another")
    return Path(folder)


def write(folder: Path, stored: Stored) -> None:
    """Writes both files into `folder`, replacing an earlier checkpoint there.

    Whenever the process ends, one of the two checkpoints can be read: the new description lies
    whole beside the old one before the weights are replaced, and `read_description` finds it.

    Raises:
        CheckpointError: If a weight is not a number, since such a model answers nothing; or if the
            network has more or fewer classes than there are names.
    """
    _require_same_classes(stored)
    for name, tensor in stored.weights.items():
        _require_finite(tensor, f"the weight {name}")
    data = bytes_of(stored.weights)
    description = {
        "format": FAMILY if stored.kind == FIRST_KIND else f"{FAMILY}-{stored.kind}",
        "version": VERSION,
        "config": plain(stored.config),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        **plain(stored.metadata),
        "log_prior": [p if math.isfinite(p) else None for p in stored.metadata.log_prior],
    }
    if stored.metadata.decisions is None:
        del description["decisions"]
    text = to_json(description).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path, pending = folder / DESCRIPTION, folder / PENDING
    with naming(path, pending, len(text)):
        try:
            pending.write_bytes(text)
            on_disk(pending)
            write_whole(folder / WEIGHTS, data)
        except BaseException:
            with suppress(OSError):  # the first error is the one to tell
                pending.unlink(missing_ok=True)
            raise
        os.replace(pending, path)


def read(folder: Path) -> Stored:
    """Reads both files.

    Raises:
        CheckpointError: If a file is missing, damaged, of a later version, of another program, or
            not of the same checkpoint as the other.
    """
    description = read_description(folder)
    version, path = description["version"], folder / DESCRIPTION
    known = {name: description[name] for name in _METADATA if name in description}
    known.setdefault("decisions", None)  # nothing was calibrated
    if isinstance(prior := known.get("log_prior"), list):  # JSON has no number for log 0
        known["log_prior"] = [-math.inf if p is None else p for p in prior]
    digest, config = description["weights_sha256"], description["config"]
    reading = Reading.CURRENT if version == VERSION else Reading.OLDER
    try:
        metadata = structure(Metadata, known, str(path), reading)
    except FormatError as error:
        raise CheckpointError(str(error)) from error
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the weights {path}: {error}") from error
    weights = tensors_of(data, str(path))
    if hashlib.sha256(data).hexdigest() != digest:
        raise CheckpointError(
            f"{path} is not the file that {DESCRIPTION} was written with: one of the two was "
            "replaced or damaged. Copy both from the same checkpoint."
        )
    for name, tensor in weights.items():
        _require_finite(tensor, f"the weight {name} in {path}")
    stored = Stored(
        kind=kind_of(description),
        config=config,
        metadata=metadata,
        weights=weights,
        version=version,
        origin=str(folder),
    )
    _require_same_classes(stored)
    return stored


_METADATA = tuple(item.name for item in fields(Metadata))


def read_description(folder: Path) -> dict[str, Any]:
    """Content of the JSON, of a version that can be read.

    Raises:
        CheckpointError: If it is missing, damaged or of another program.
    """
    path = folder / DESCRIPTION
    try:
        description = _pending(folder) or read_json(path, "a model of pixelbayes")
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no model in {folder}: expected {DESCRIPTION} and {WEIGHTS} there. Give a "
            "checkpoint folder or a run directory that has finished an epoch."
        ) from error
    except FormatError as error:
        raise CheckpointError(str(error)) from error
    mark = description.get("format")
    if not isinstance(mark, str) or not (mark == FAMILY or mark.startswith(f"{FAMILY}-")):
        raise CheckpointError(
            f"{path} has the format {mark!r}, which is no model of pixelbayes: those have "
            f"{FAMILY!r} or '{FAMILY}-KIND'"
        )
    version = description.get("version")
    if version not in range(1, VERSION + 1):
        raise CheckpointError(
            f"{path} has format version {version}, this pixelbayes reads versions 1 to {VERSION}; "
            "install a newer pixelbayes"
        )
    digest, config = description.get("weights_sha256"), description.get("config")
    if not isinstance(config, dict) or not isinstance(digest, str):
        raise CheckpointError(f"{path} is damaged: config or weights_sha256 is missing")
    return description


def _pending(folder: Path) -> dict[str, Any] | None:
    """The description of weights whose writing ended before it got its name, if that was so."""
    try:
        description = read_json(folder / PENDING, "a model of pixelbayes")
        weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except (OSError, FormatError):  # there is none, or not a whole one
        return None
    return description if description.get("weights_sha256") == weights else None


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights of a checkpoint, as it states it.

    Raises:
        CheckpointError: If there is none.
    """
    return str(read_description(folder).get("weights_sha256"))


def kind_of(description: Mapping[str, Any]) -> str:
    """The kind of model that a JSON describes, as in `pixelbayes.models.MODELS`."""
    mark: str = description["format"]
    return mark.removeprefix(f"{FAMILY}-") if mark != FAMILY else FIRST_KIND


def structured_config(cls: type[Config], stored: Stored) -> Config:
    """The configuration of a stored network as a dataclass.

    Raises:
        CheckpointError: If a value is missing that was written, or is not accepted.
    """
    reading = Reading.CURRENT if stored.version == VERSION else Reading.OLDER
    try:
        return structure(cls, stored.config, f"config of {stored.origin}", reading)
    except FormatError as error:
        raise CheckpointError(f"{stored.origin} describes no such network: {error}") from error


def bytes_of(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors by name as the content of a safetensors file."""
    # Copies, because members of an ensemble may share weights, which the format does not allow.
    copies = {name: it.detach().cpu().contiguous().clone() for name, it in tensors.items()}
    return tensors_to_bytes(copies)


def tensors_of(data: bytes, origin: str) -> dict[str, Tensor]:
    """Tensors by name from the content of a safetensors file, on the CPU.

    Raises:
        CheckpointError: If it is damaged.
    """
    try:
        return read_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(f"cannot read the weights {origin}: {error}") from error


def checkpoint_folder(path: str | Path) -> Path:
    """The folder itself, or that of the best checkpoint of a run directory.

    Raises:
        CheckpointError: If there is no such folder.
    """
    folder = Path(path)
    if not folder.exists():
        raise CheckpointError(
            f"no such folder: {folder}; give a run directory or a checkpoint (pixelbayes.load "
            "knows shipped models by their names)"
        )
    if not (folder / DESCRIPTION).exists() and (folder / BEST).is_dir():
        return folder / BEST
    return folder


def _require_same_classes(stored: Stored) -> None:
    names = stored.metadata.classes
    classes = stored.config.get("classes", len(names))
    if classes != len(names):
        raise CheckpointError(
            f"{stored.origin}: the model has {classes} classes, the metadata {len(names)}: "
            f"{', '.join(names)}"
        )


def _require_finite(tensor: Tensor, what: str) -> None:
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise CheckpointError(
            f"{what} is not finite, so every answer would be no number; use a checkpoint of an "
            "earlier epoch, or train with a lower --lr or --gradient-clip"
        )
