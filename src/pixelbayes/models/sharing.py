"""Sharing models: a folder or a repository of the Hugging Face Hub, with a card that states facts.

A repository holds what a checkpoint folder does, model.safetensors and model.json, and the card,
README.md.  `huggingface_hub` (extra `hub`) carries them; nothing of it can run code.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelbayes.errors import PixelBayesError, naming_extras
from pixelbayes.io import write_whole
from pixelbayes.models.storage import DESCRIPTION, WEIGHTS

if TYPE_CHECKING:
    from pixelbayes.models.base import Model

__all__ = ["HUB", "card", "download", "is_hub_id", "push", "save_with_card"]

HUB = "hf:"
"""Stands before an id of the Hub where a folder could be meant."""
CARD = "README.md"
LIBRARY = "library_name: pixelbayes"  # stands in every card
ID = re.compile(r"[\w.-]+/[\w.-]+")
FACTS = ("seed", "epoch", "step", "commit", "date")


def is_hub_id(model: str | Path) -> bool:
    """Whether this is a repository of the Hub: hf:OWNER/NAME, or OWNER/NAME.

    A `Path` and a text that begins like one (./, ../, /) are folders.

    Raises:
        PixelBayesError: If OWNER/NAME is a folder here as well, so that either may be meant.
    """
    if isinstance(model, Path):
        return False
    if model.startswith(HUB):
        return True
    if not ID.fullmatch(model) or model.startswith("."):
        return False
    if Path(model).exists():
        raise PixelBayesError(
            f"{model!r} is a folder here and may be an id of the Hub; write './{model}' for the "
            f"folder, '{HUB}{model}' for the Hub"
        )
    return True


@naming_extras()
def download(
    repo_id: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """The folder into which a repository was fetched, or lay in the cache.

    Args:
        repo_id: OWNER/NAME, with or without hf: before it.
        revision: Branch, tag or commit.
        cache_dir: Where downloads are kept; None: the cache of the Hub.
        local_files_only: Asks no network.
        token: Of the Hub, for private repositories; None: the one that was stored.

    Raises:
        PixelBayesError: If there is no such repository or it cannot be reached.
        MissingPackageError: If huggingface_hub is not installed.
    """
    import huggingface_hub
    from huggingface_hub import errors

    repo_id = repo_id.removeprefix(HUB)
    try:
        folder = huggingface_hub.snapshot_download(
            repo_id,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
            allow_patterns=[WEIGHTS, DESCRIPTION, CARD],
        )
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, ValueError, OSError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise PixelBayesError(
            f"cannot get {repo_id} from the Hub: {reason}; for a folder write ./{repo_id}"
        ) from error
    return Path(folder)


def save_with_card(model: Model, folder: str | Path, *, name: str | None = None) -> Path:
    """Writes a checkpoint and its card into a folder.

    Args:
        model: The model.
        folder: Where to.
        name: What the card calls it; None: the folder's name.

    Raises:
        PixelBayesError: If the folder has a README.md that is no card of this package.
    """
    folder = Path(folder)
    there = folder / CARD
    if there.exists() and LIBRARY not in there.read_text(encoding="utf-8", errors="replace"):
        raise PixelBayesError(
            f"{there} is no model card that pixelbayes wrote, and would be replaced by one; name "
            "another folder, or move it"
        )
    model.save(folder)
    write_whole(folder / CARD, card(model, name or folder.resolve().name))
    return folder


@naming_extras()
def push(
    model: Model,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Add a model of pixelbayes",
) -> str:
    """Uploads a model with its card; makes the repository where there is none.

    Returns:
        The address of the commit.

    Raises:
        PixelBayesError: If the Hub refuses or cannot be reached.
        MissingPackageError: If huggingface_hub is not installed.
    """
    import huggingface_hub

    repo_id = repo_id.removeprefix(HUB)
    hub = huggingface_hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_with_card(model, folder, name=repo_id)
        try:
            repository = hub.create_repo(repo_id, private=private, exist_ok=True)
            commit: Any = hub.upload_folder(
                repo_id=repository.repo_id, folder_path=folder, commit_message=commit_message
            )
        except Exception as error:  # also those of whatever speaks HTTP for the Hub
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise PixelBayesError(f"cannot push to {repo_id}: {reason}") from error
    return str(commit)


@naming_extras()
def card(model: Model, name: str) -> str:
    """Describes a model in Markdown, by what is stored with it: use, results, data, limits."""
    from pixelbayes.templates import environment

    about = model.metadata.provenance
    measured = {
        key.removeprefix("validation_").replace("_", " "): f"{value:.4g}"
        for key, value in about.items()
        if key.startswith("validation_") and isinstance(value, (int, float))
    }
    data = about.get("data", {})
    splits = data.get("splits", {})
    versions = about.get("versions", {})
    facts = {
        "data": data.get("source"),
        "images": ", ".join(f"{split['images']} {label}" for label, split in splits.items()),
        "parameters": f"{model.parameters:,}",
        "temperature": f"{model.temperature:.4g}",
        **{key: about.get(key) for key in FACTS},
        **{key: versions.get(key) for key in ("pixelbayes", "torch")},
    }
    rows, columns = model.image_size
    return (
        environment("pixelbayes.models", str)
        .get_template("card.md.jinja")
        .render(
            model=model,
            name=name,
            rows=rows,
            columns=columns,
            results=measured,
            validation=splits.get("validation", {}).get("images"),
            facts={key: value for key, value in facts.items() if value not in (None, "")},
        )
    )
