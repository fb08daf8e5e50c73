"""What every model has in common, whatever network is inside.

A `Model` gives a table of log-likelihoods: log p(x | y) of images under classes, up to a term that
all classes share.  Bayes' rule, calibration, evaluation, prediction and comparison need no more,
so they know this protocol and no kind of model.  A `TrainedNetwork` is a model that is one network
and can be trained; some models can draw images.

Shapes: N images, K classes, C channels, H x W pixels.
Units:  nats per image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from pixelbayes.data import Resize
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import class_posterior
from pixelbayes.inference.sampling import RowCallback
from pixelbayes.models.storage import (
    CheckpointError,
    Metadata,
    Stored,
    checkpoint_folder,
    read,
    write,
)

__all__ = ["MODELS", "Metadata", "Model", "TrainedNetwork", "load_model", "register"]

Self = TypeVar("Self", bound="Model")
Network = TypeVar("Network", bound=nn.Module)


MODELS: dict[str, type[Model]] = {}
"""Every kind of model by its name, which is what a checkpoint, a run and a study call it."""


def register(cls: type[Self]) -> type[Self]:
    """Puts a kind of model into `MODELS`; a class decorator."""
    MODELS[cls.kind] = cls
    return cls


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


class Model(ABC):
    """A model of images of known classes.

    Attributes:
        kind: Its name in `pixelbayes.models.MODELS`, in run.json and in model.json.
        noun: What it is called in messages.
        metadata: Class names, resizing, prior, temperature, provenance.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]

    metadata: Metadata

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""
        return self.metadata.classes

    @property
    def log_prior(self) -> Tensor:
        """log p(y), (K,), nats, float64."""
        return torch.tensor(self.metadata.log_prior, dtype=torch.float64)

    @property
    def temperature(self) -> float:
        """Fitted on validation data; 1 where it was not."""
        return self.metadata.temperature

    @property
    def resize(self) -> Resize:
        """How an image file is brought to the model's size."""
        return Resize(**self.metadata.resize)

    @property
    def image_size(self) -> tuple[int, int]:
        """Rows and columns, H and W."""
        return self.resize.size

    @property
    def dims(self) -> int | None:
        """Numbers in an image, C H W, where log-likelihoods are those of images; else None.

        A discriminative model knows log p(x | y) only up to a term that all classes share, so it
        has no code length.
        """
        return None

    @property
    @abstractmethod
    def channels(self) -> int:
        """C: 3 (red, green, blue) or 1 (grey)."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Number of weights."""

    @property
    def uses_labels(self) -> bool:
        """Whether the class changes anything; without, accuracy is chance."""
        return True

    @property
    def title(self) -> str:
        """The model in a few words, for headings."""
        return self.noun

    @property
    def summary(self) -> str:
        """What it gives, to be followed by "of ... images"."""
        return f"{self.title[:1].upper()}{self.title[1:]}: p(class | image)"

    @abstractmethod
    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """log p(x | y) up to a term that all classes share; exact where `dims` is a number.

        Args:
            levels: uint8, (N, C, H, W), on any device.
            progress: Called with the number of images done so far.

        Returns:
            (N, K), float64 on the CPU, nats per image.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The architecture in plain values."""

    @abstractmethod
    def to(self: Self, device: str | torch.device) -> Self:
        """The same model on another device."""

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
        """Writes `model.safetensors` and `model.json`, replacing an earlier checkpoint there."""
        write(Path(folder), self.to_stored())

    def with_temperature(self: Self, temperature: float) -> Self:
        """The same model under another temperature.

        Raises:
            PixelBayesError: If it is not positive.
        """
        return self.with_metadata(replace(self.metadata, temperature=temperature))

    def predict_log_proba(self, levels: Tensor) -> Tensor:
        """log p(y | x) by Bayes' rule at the temperature, (N, K), float64."""
        return class_posterior(self.log_likelihoods(levels), self.log_prior, self.temperature)

    def predict(self, levels: Tensor) -> Tensor:
        """The most probable class of each image, int64, (N,)."""
        return self.predict_log_proba(levels).argmax(dim=1)

    def class_index(self, name: str | int) -> int:
        """Index of a class given by name, or by index in digits.

        Raises:
            PixelBayesError: If there is no such class; the message lists them.
        """
        if isinstance(name, str) and name in self.classes:
            return self.classes.index(name)
        if str(name).isdecimal() and int(name) < len(self.classes):
            return int(name)
        raise PixelBayesError(
            f"no class {name!r}; choose one of: {', '.join(self.classes)}, or an index below "
            f"{len(self.classes)}"
        )

    @property
    def can_sample(self) -> bool:
        """Whether images can be drawn from it."""
        return False

    def draw(
        self, labels: Tensor, generator: torch.Generator, on_row: RowCallback | None = None
    ) -> Tensor:
        """Draws one image for each label.

        Args:
            labels: int64, (N,).
            generator: On the CPU; the images depend on its state, not on how many are drawn at a
                time.
            on_row: Called after each drawn row.

        Returns:
            Levels, uint8, (N, C, H, W), on the CPU.

        Raises:
            PixelBayesError: If this kind of model cannot; see `can_sample`.
        """
        raise PixelBayesError(f"a {self.noun} gives no p(image | class) to draw images from")

    def images_at_a_time(self) -> int:
        """Images to draw in one call, such that they fit the memory."""
        return 1

    def nats(self, levels: Tensor, labels: Tensor) -> Tensor:
        """-log p(x | y) of each image under its class where `dims` is a number, else -log p(y | x).

        Args:
            levels: uint8, (N, C, H, W).
            labels: int64, (N,).

        Returns:
            (N,), float64.
        """
        table = self.log_likelihoods(levels)
        if self.dims is None:
            table = torch.log_softmax(table + self.log_prior, dim=1)
        return -table.gather(1, labels[:, None].cpu())[:, 0]


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
    def take_over(cls, network: Network, classes: Sequence[str], source: Model) -> None:
        """Gives a network the weights of a trained model, where the kind knows how.

        Args:
            network: With its first weights; changed in place.
            classes: Its class names.
            source: The model to start from.

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

    def to(self: Any, device: str | torch.device) -> Any:
        """The same model, its network moved to a device."""
        return type(self)(self.network.to(device), self.metadata)

    def with_metadata(self: Any, metadata: Metadata) -> Any:
        """The same network with other metadata."""
        return type(self)(self.network, metadata)
