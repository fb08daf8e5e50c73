"""What every model has in common, whatever network is inside.

A `Model` gives a table of log-likelihoods (`pixelbayes.models.likelihoods`), has verbs for its
user (`pixelbayes.models.verbs`, and `drawing_verbs` and `decision_verbs` beside it) and can be
stored.  Evaluation, prediction and comparison know this protocol and no kind of model.  A
`TrainedNetwork` is a model that is one network and can be trained.

Shapes: N images, K classes, C channels, H x W pixels.
Units:  nats per image.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from pixelbayes.core.device import present_device
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import require_temperature
from pixelbayes.models.decision_verbs import DecisionVerbs
from pixelbayes.models.decisions import Decisions
from pixelbayes.models.sharing import download, is_hub_id, push, save_with_card
from pixelbayes.models.storage import (
    DESCRIPTION,
    CheckpointError,
    Metadata,
    Stored,
    checkpoint_folder,
    kind_of,
    named_folder,
    read,
    read_description,
    write,
)
from pixelbayes.switches import undisturbed

__all__ = [
    "MODELS",
    "Metadata",
    "Model",
    "TrainedNetwork",
    "amend",
    "answers_digest",
    "load_model",
    "register",
]

Self = TypeVar("Self", bound="Model")
Network = TypeVar("Network", bound=nn.Module)


MODELS: dict[str, type[Model]] = {}
"""Every kind of model by its name, which is what a checkpoint, a run and a study call it."""


def register(cls: type[Self]) -> type[Self]:
    """Puts a kind of model into `MODELS`; a class decorator."""
    MODELS[cls.kind] = cls
    return cls


@undisturbed()
def load_model(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """Loads a model of any kind from a checkpoint folder, or the best of a run directory.

    Raises:
        CheckpointError: If there is none or it cannot be used, with what to do.
    """
    folder = checkpoint_folder(path)
    stored = read(folder)
    if stored.kind not in MODELS:
        raise CheckpointError(
            f"{folder} holds a model of the kind {stored.kind!r}; this pixelbayes knows: "
            f"{', '.join(MODELS)}. Install a newer one."
        )
    return MODELS[stored.kind].from_stored(stored).to(device)


def answers_digest(folder: Path) -> str:
    """SHA-256 of what decides a checkpoint's log p(x | y): of its weights, as it states it.

    Where the configuration says how often or which images the weights are asked about, as of
    an ensemble and of an estimate, it is of that, too.

    Raises:
        CheckpointError: If there is no such checkpoint.
    """
    description = read_description(folder)
    weights, kind = str(description["weights_sha256"]), MODELS.get(kind_of(description))
    if kind is None or kind.weights_decide:
        return weights
    try:
        deciding = {"weights": weights, "config": kind.deciding(description["config"])}
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / DESCRIPTION} is damaged: its config is none") from error
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def amend(folder: Path, found_for: str, change: Callable[[Model], Model]) -> bool:
    """Changes what a checkpoint keeps beside its weights, as that is on disk by now.

    Args:
        folder: The checkpoint.
        found_for: `answers_digest` of the model for which the change was found.
        change: Of the model's metadata.

    Returns:
        Whether it was changed: not if another model has taken its place, as in a training.

    Raises:
        CheckpointError: If there is no usable checkpoint any more.
    """
    if answers_digest(folder) != found_for:
        return False
    change(load_model(folder)).save(folder)
    return True


class Model(DecisionVerbs):
    """A model of images of known classes: what it gives, what a user does with it, how it is kept.

    Attributes:
        kind: Its name in `pixelbayes.models.MODELS`, in run.json and in model.json.
        noun: What it is called in messages.
        weights_decide: Whether its weights alone decide its log p(x | y); else its configuration
            says how they are asked.
        metadata: Class names, resizing, prior, temperature, provenance.
    """

    weights_decide: ClassVar[bool] = True

    @classmethod
    def deciding(cls, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """What of a stored configuration decides log p(x | y)."""
        return config

    @abstractmethod
    def to(self: Self, device: str | torch.device) -> Self:
        """The same model on another device.

        Raises:
            PixelBayesError: If this machine has no such device.
        """

    @abstractmethod
    def with_metadata(self: Self, metadata: Metadata) -> Self:
        """The same weights with other metadata."""

    @abstractmethod
    def to_stored(self) -> Stored:
        """What a checkpoint keeps of it."""

    @classmethod
    @abstractmethod
    def from_stored(cls: type[Self], stored: Stored) -> Self:
        """The model that `to_stored` described, on the CPU, bit for bit.

        Raises:
            CheckpointError: If it describes none.
        """

    @classmethod
    def load(cls: type[Self], path: str | Path, device: str | torch.device = "cpu") -> Self:
        """Loads a model of this kind from a checkpoint folder, or the best of a run directory.

        Raises:
            CheckpointError: If there is none, it is of another kind, or it cannot be used.
        """
        model = load_model(path, device)
        if not isinstance(model, cls):
            raise CheckpointError(
                f"{path} holds a model of another kind ({model.noun}) than the {cls.noun} that is "
                "wanted here; pixelbayes.load reads every kind"
            )
        return model

    def save(self, folder: str | Path) -> None:
        """Writes `model.safetensors` and `model.json`, replacing an earlier checkpoint there.

        Raises:
            CheckpointError: If the path is empty, as of a variable that is not set.
        """
        write(named_folder(folder), self.to_stored())

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes what `save` does, and a model card, README.md, of what is stored with the model.

        Raises:
            CheckpointError: If the path is empty.
            MissingPackageError: If Jinja2 is not installed (extra `hub`).
        """
        save_with_card(self, named_folder(folder))

    @classmethod
    def from_pretrained(
        cls: type[Self],
        model: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Loads a model from a folder, or from the Hugging Face Hub.

        Args:
            model: A folder, or an id OWNER/NAME; hf:OWNER/NAME where a folder is called so, too.
            revision: Branch, tag or commit on the Hub.
            cache_dir: Where downloads are kept; None: the cache of the Hub.
            local_files_only: Asks no network.
            token: Of the Hub, for private repositories; None: the one that was stored.
            device: Where the weights go.

        Raises:
            CheckpointError: As `load`.
            PixelBayesError: If the Hub has no such model, or folder or id may be meant.
            MissingPackageError: If huggingface_hub is not installed (extra `hub`).
        """
        if not is_hub_id(model):
            return cls.load(model, device)
        folder = download(
            str(model),
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
        )
        return cls.load(folder, device)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str = "Add a model of pixelbayes",
    ) -> str:
        """Uploads what `save_pretrained` writes to the Hugging Face Hub.

        Args:
            repo_id: OWNER/NAME; made where there is none.
            private: Whether only its owner sees it; None: as the owner's account has it.
            token: Of the Hub; None: the one that was stored.
            commit_message: What the Hub's history says.

        Returns:
            The address of the commit.

        Raises:
            PixelBayesError: If the Hub refuses or cannot be reached.
            MissingPackageError: If huggingface_hub is not installed (extra `hub`).
        """
        return push(self, repo_id, private=private, token=token, commit_message=commit_message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles what a checkpoint keeps, so a model of a GPU opens on any machine."""
        stored = self.to_stored()
        weights = {name: weight.detach().cpu() for name, weight in stored.weights.items()}
        return type(self).from_stored, (replace(stored, weights=weights),)

    def with_temperature(self: Self, temperature: float) -> Self:
        """The same model under another temperature, and so without the sets of its own one.

        Raises:
            PixelBayesError: If it is not positive and finite.
        """
        temperature = require_temperature(temperature)
        decisions = self.decisions and self.decisions.at_temperature(temperature)
        return self.with_metadata(
            replace(self.metadata, temperature=temperature, decisions=decisions)
        )

    def with_decisions(self: Self, decisions: Decisions | None) -> Self:
        """The same model with other thresholds, or with none."""
        return self.with_metadata(replace(self.metadata, decisions=decisions))


class TrainedNetwork(Model, Generic[Network]):
    """A model that is one network.

    Args:
        network: The network; it is put into evaluation mode.
        metadata: Class names, resizing, prior, temperature, provenance.

    Attributes:
        settings: Dataclass of what a user may choose of the network: the section `network` of a
            configuration.
        is_density: Whether it describes p(image | class), which training then maximises; else it
            describes p(class | image).
    """

    settings: ClassVar[type]
    is_density: ClassVar[bool]

    def __init__(self, network: Network, metadata: Metadata) -> None:
        self.network = network.eval()
        self.metadata = metadata

    @classmethod
    @abstractmethod
    def build(
        cls, settings: Any, *, classes: int, channels: int, image_size: tuple[int, int]
    ) -> Network:
        """The network with its first weights, drawn from torch's global generator.

        Raises:
            PixelBayesError: If a setting is not accepted, or a package is missing.
        """

    @classmethod
    def check(cls, settings: Any) -> None:
        """Refuses settings that no network can have, before any data are loaded.

        Raises:
            PixelBayesError: If so.
        """

    @staticmethod
    def initialise(network: Network, levels: Tensor, labels: Tensor) -> None:
        """Fits first weights to some training images, where the kind knows how."""

    @classmethod
    def take_over(cls, network: Network, classes: Sequence[str], source: Model) -> list[str]:
        """Gives a network the weights of a trained model, where the kind knows how.

        Args:
            network: With its first weights; changed in place.
            classes: Its class names.
            source: The model to start from.

        Returns:
            What was not taken over and keeps its first weights.

        Raises:
            PixelBayesError: If the two do not fit, or this kind of model cannot.
        """
        raise PixelBayesError(f"a {cls.noun} cannot start from another model's weights")

    @property
    def views(self) -> int:
        """In how many views the network is shown its training images."""
        return 1

    @staticmethod
    def smallest_batch(image_size: tuple[int, int]) -> int:
        """Images that a step needs on each device."""
        return 1

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(weight.numel() for weight in self.network.parameters())

    def describe(self) -> dict[str, Any]:
        """The configuration of the network and its number of weights."""
        return {**self.to_stored().config, "parameters": self.parameters}

    def to(self: Self, device: str | torch.device) -> Self:
        """The same model, its network moved to a device."""
        there = present_device(device)
        here: Any = self  # which has a network, as `Self` does not say
        moved: Self = type(here)(here.network.to(there), self.metadata)
        return moved

    def with_metadata(self: Self, metadata: Metadata) -> Self:
        """The same network with other metadata."""
        here: Any = self
        other: Self = type(here)(here.network, metadata)
        return other
