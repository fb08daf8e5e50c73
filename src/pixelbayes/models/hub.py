"""Models that come with the package: a name stands for a checkpoint folder.

pixelbayes/pretrained/NAME/model.safetensors   weights, float32: they reload bit for bit
pixelbayes/pretrained/NAME/model.json          everything else of the checkpoint
pixelbayes/pretrained/NAME/README.md           the model card: data, command, results, limits

`pixelbayes.workflows.publish` writes such a folder from a run.
"""

from __future__ import annotations

from pathlib import Path

import torch

from pixelbayes.models import CheckpointError, Model, load_model
from pixelbayes.models.sharing import HUB, download
from pixelbayes.models.storage import BEST, DESCRIPTION, WEIGHTS

__all__ = [
    "DEFAULT",
    "DENSITY",
    "MODEL_CARD",
    "find_model",
    "is_model",
    "is_shipped",
    "load",
    "model_card",
    "shipped",
]

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"
MODEL_CARD = "README.md"
DEFAULT = "cpen455-onepass"
"""The classifier: the model that is used where none is named."""
DENSITY = "cpen455-gated"
"""The model that draws, completes, scores and codes where none is named: p(image | class) alone."""
TRAINING = "run.json"  # a run directory has it before its first checkpoint


def shipped() -> tuple[str, ...]:
    """Names of the models that come with this installation, sorted."""
    folders = PRETRAINED.iterdir() if PRETRAINED.is_dir() else ()
    return tuple(
        sorted(
            folder.name
            for folder in folders
            if (folder / DESCRIPTION).is_file() and (folder / WEIGHTS).is_file()
        )
    )


def is_model(text: str | Path) -> bool:
    """Whether this names a shipped model, or is a run directory or checkpoint folder.

    A run directory counts from its start, even where it has no checkpoint yet.
    """
    folder = Path(text)
    marks = (folder / DESCRIPTION, folder / BEST / DESCRIPTION, folder / TRAINING)
    return is_shipped(text) or str(text).startswith(HUB) or any(mark.is_file() for mark in marks)


def is_shipped(text: str | Path) -> bool:
    """Whether this is the name of a shipped model; a `Path` is always a folder."""
    return isinstance(text, str) and text in shipped()


def find_model(model: str | Path = DEFAULT) -> Path:
    """Returns the folder of a model.

    Args:
        model: Name of a shipped model, a run directory or checkpoint folder, or hf:OWNER/NAME for
            a model of the Hugging Face Hub, which is downloaded.  A folder that has the name of a
            shipped model is meant by a `Path`, or by ./NAME.

    Raises:
        CheckpointError: If it is neither, with the models that are shipped.
    """
    if isinstance(model, str) and not model:  # of a variable that is not set, say
        raise CheckpointError('an empty path names no model; "." is the current folder')
    if is_shipped(model):
        return PRETRAINED / model
    if isinstance(model, str) and model.startswith(HUB):
        return download(model)
    folder = Path(model)
    if folder.exists():
        return folder
    if model == folder.name:  # one word, so it may have been meant as a name
        raise CheckpointError(f"no model {str(model)!r}: {_offered()}")
    raise CheckpointError(
        f"no such folder: {folder}; give a run directory, a checkpoint folder, or the name of a "
        f"shipped model ({', '.join(shipped()) or 'this installation has none'})"
    )


def load(model: str | Path = DEFAULT, device: str | torch.device = "cpu") -> Model:
    """Loads a trained model by name or from its folder.

    Args:
        model: As for `find_model`.
        device: Where the weights go.

    Raises:
        CheckpointError: If there is no such model or it cannot be used, with what to do.
    """
    return load_model(find_model(model), device)


def model_card(model: str | Path = DEFAULT) -> str | None:
    """Returns the model card, Markdown; None where a folder has none.

    Raises:
        CheckpointError: As `find_model`.
    """
    path = find_model(model) / MODEL_CARD
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _offered() -> str:
    """Which models could have been meant, for an error message."""
    names = shipped()
    if names:
        return f"shipped are {', '.join(names)}; or give a run directory or checkpoint folder"
    return (
        "no trained model is shipped with this installation; give a run directory or checkpoint "
        "folder, such as 'pixelbayes demo' and 'pixelbayes train' make"
    )
