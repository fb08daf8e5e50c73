"""What every kind of model gives, whatever network is inside.

A table of log-likelihoods: log p(x | y) of images under classes, up to a term that all classes
share.  Bayes' rule, calibration, evaluation, prediction and comparison need no more.  Some kinds
can draw images, too.

Shapes: N images, K classes, C channels, H x W pixels.
Units:  nats per image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from pixelbayes.data import Resize
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.sampling import RowCallback
from pixelbayes.models.storage import Metadata

LONGEST = 18  # digits of an index; Python reads no text of thousands of them

__all__ = ["ClassLikelihoods"]

SCORED_AT_A_TIME = 32  # images


class ClassLikelihoods(ABC):
    """What a kind of model gives: log p(x | y) of images under classes that have names.

    Attributes:
        kind: Its name in `pixelbayes.models.MODELS`, in run.json and in model.json.
        noun: What it is called in messages.
        can_sample: Whether images can be drawn from it.
        is_exact: Whether its log-likelihoods are exact; else they are lower bounds, and code
            lengths upper bounds.
        metadata: Class names, resizing, prior, temperature, provenance.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]
    can_sample: ClassVar[bool] = False
    is_exact: bool = True

    metadata: Metadata

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""
        return self.metadata.classes

    @property
    def log_prior(self) -> Tensor:
        """log p(y), (K,), nats, float64."""
        return torch.tensor(self.metadata.log_prior, dtype=torch.float64, device="cpu")

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
        """log p(x | y) up to a term that all classes share; where `dims` is a number, without one.

        Estimates of lower bounds where `is_exact` is false.

        Args:
            levels: uint8, (N, C, H, W), on any device.
            progress: Called with the number of images done so far.

        Returns:
            (N, K), float64 on the CPU, nats per image.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The architecture in plain values."""

    def class_index(self, name: str | int) -> int:
        """Index of a class given by name, or by index in digits.

        Raises:
            PixelBayesError: If there is no such class; the message lists them.
        """
        if isinstance(name, str) and name in self.classes:
            return self.classes.index(name)
        digits = str(name)
        if digits.isdecimal() and len(digits) <= LONGEST and int(digits) < len(self.classes):
            return int(digits)
        raise PixelBayesError(
            f"no class {name!r}; choose one of: {', '.join(self.classes)}, or an index below "
            f"{len(self.classes)}"
        )

    def draw(
        self,
        labels: Tensor,
        generator: torch.Generator,
        on_row: RowCallback | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draws one image for each label.

        Args:
            labels: int64, (N,).
            generator: On the CPU; the images depend on its state, not on how many are drawn at a
                time.
            on_row: Called after each drawn row.
            temperature: Multiplies the spread of every pixel; 1 draws from p(x | y).

        Returns:
            Levels, uint8, (N, C, H, W), on the CPU.

        Raises:
            PixelBayesError: If this kind of model cannot; see `can_sample`.
        """
        raise PixelBayesError(f"a {self.noun} gives no p(image | class) to draw images from")

    def draw_given(
        self,
        labels: Tensor,
        levels: Tensor,
        known: Tensor,
        generator: torch.Generator,
        on_row: RowCallback | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Keeps the known pixels of each image and draws the others, given what precedes them.

        Args:
            labels: int64, (N,).
            levels: uint8, (N, C, H, W); what stands at unknown pixels does not matter.
            known: bool, (H, W), true where a pixel is given.
            generator: As for `draw`.
            on_row: As for `draw`.
            temperature: As for `draw`.

        Returns:
            Levels, uint8, (N, C, H, W), on the CPU.

        Raises:
            PixelBayesError: If this kind of model cannot.
        """
        raise PixelBayesError(f"a {self.noun} cannot complete images; a PixelCNN can")

    def class_of_first_pixels(self, levels: Tensor, known: Tensor) -> Tensor:
        """The most probable class given the pixels before the first unknown one, int64, (N,).

        Args:
            levels: uint8, (N, C, H, W).
            known: bool, (H, W), true where a pixel is given.

        Raises:
            PixelBayesError: If the first pixel is unknown, or this kind of model cannot.
        """
        raise PixelBayesError(f"a {self.noun} knows whole images only, no part of them")

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

    def nats_in_parts(self, levels: Tensor, labels: Tensor) -> Tensor:
        """As `nats`, of any number of images: a few in each pass, which keeps whole maps."""
        parts = zip(levels.split(SCORED_AT_A_TIME), labels.split(SCORED_AT_A_TIME), strict=True)
        none = torch.empty(0, dtype=torch.float64)
        return torch.cat([none, *(self.nats(some, their) for some, their in parts if len(some))])
