"""The real images of a study, and how near generated ones come to them.

Both protocols of `pixelbayes.evaluation.fid` score against images that no model was trained on,
the test images or, where there are none, the validation images; labels are not needed.  Floors
are of training images, resized as the models' own.

Shapes: N images, K classes, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pixelbayes.data import ImageDataset, SplitRecord
from pixelbayes.evaluation import Estimate
from pixelbayes.evaluation.fid import CourseProtocol, Features, FIDScore, MatchedProtocol, Protocol
from pixelbayes.evaluation.fid import score as score_images
from pixelbayes.training.seeds import derived_seed
from pixelbayes.workflows.config import DataConfig
from pixelbayes.workflows.loading import load_data
from pixelbayes.workflows.study.cache import Cache, levels_digest
from pixelbayes.workflows.study.config import FIDConfig

__all__ = ["RealImages", "Scorer", "balanced"]

EPOCH_DIMS = 192  # of the course protocol, which is what the scores over the epochs use


@dataclass(frozen=True)
class RealImages:
    """The data of a study's models, at their size and without a crop margin.

    Attributes:
        config: Which images.
        record: Splits to keep to; None: the configuration decides.
    """

    config: DataConfig
    record: SplitRecord | None = None

    @cached_property
    def dataset(self) -> ImageDataset:
        """Loaded once, and only if it is needed.

        Raises:
            DatasetError: If the images cannot be used.
        """
        return load_data(self.config, record=self.record)

    @property
    def reference_split(self) -> str:
        """Name of the split that generated images are compared with."""
        return "test" if "test" in self.dataset.splits else "validation"

    def reference(self, size: tuple[int, int] | None) -> Tensor:
        """Images to compare with, (M, C, H, W), of a size; None: the models' own."""
        split = self.reference_split
        if size is None or size == self.dataset.image_size:
            return self.dataset.split(split).levels
        larger = load_data(replace(self.config, image_size=size), record=self.record)
        return larger.split(split).levels

    def real(self, counts: list[int]) -> Tensor | None:
        """As many training images of each class, by class; None where there are too few."""
        train = self.dataset.split("train")
        generator = torch.Generator().manual_seed(derived_seed("real images", 0))
        chosen = []
        for label, count in enumerate(counts):
            positions = (train.labels == label).nonzero()[:, 0]
            if len(positions) < count:
                return None
            order = torch.randperm(len(positions), generator=generator)
            chosen.append(positions[order[:count]])
        return train.levels[torch.cat(chosen)]


@dataclass
class Scorer:
    """Scores generated images under the protocols of a study."""

    config: FIDConfig
    """Which protocols."""
    features: Features
    real: RealImages
    per_class: int
    """Generated images of each class under the course protocol."""
    _references: dict[tuple[int, int] | None, Tensor] = field(default_factory=dict)

    def score(
        self, generated: Callable[[int], Tensor], key: dict[str, Any], cache: Cache
    ) -> list[FIDScore]:
        """Scores under each protocol.

        Args:
            generated: Gives the first so many images of each class, (K, n, C, H, W).
            key: What the generated images depend on.
            cache: Keeps what has been computed.
        """
        return [
            found
            for protocol, size in self._protocols()
            for found in self._score(protocol, size, generated, key, cache, floor=True)
        ]

    def epoch(
        self, generated: Callable[[int], Tensor], key: dict[str, Any], cache: Cache
    ) -> Estimate | None:
        """FID of a checkpoint on the way: course protocol, 192 features, no floor."""
        for protocol, size in self._protocols():
            if isinstance(protocol, CourseProtocol):
                return self._score(protocol, size, generated, key, cache, floor=False)[0].fid
        return None

    def _protocols(self) -> list[tuple[Protocol, tuple[int, int] | None]]:
        """The protocols, each with the size of its real images."""
        dataset, config = self.real.dataset, self.config
        found: list[tuple[Protocol, tuple[int, int] | None]] = []
        if "course" in config.protocols:
            size = config.reference_size
            course = CourseProtocol(
                dims=(EPOCH_DIMS,),
                classes=len(dataset.classes),
                per_class=self.per_class,
                generated_size=dataset.image_size,
                reference_size=size or dataset.image_size,
            )
            found.append((course, size))
        if "matched" in config.protocols:
            found.append((MatchedProtocol(dims=config.dims), None))
        return found

    def _counts(self, protocol: Protocol) -> list[int]:
        reference = len(self.real.dataset.split(self.real.reference_split))
        return balanced(protocol.number(reference), len(self.real.dataset.classes))

    def _score(
        self,
        protocol: Protocol,
        size: tuple[int, int] | None,
        generated: Callable[[int], Tensor],
        key: dict[str, Any],
        cache: Cache,
        *,
        floor: bool,
    ) -> list[FIDScore]:
        counts = self._counts(protocol)
        if size not in self._references:
            self._references[size] = self.real.reference(size)
        reference = self._references[size]
        real = self.real.real(counts) if floor else None
        depends_on = {
            **key,
            "protocol": protocol.name,
            **asdict(protocol),
            "available": list(self.features.network.dims),
            "network": self.features.network.digest,
            "bootstrap": self.config.bootstrap,
            "reference": levels_digest(reference),
            "real": None if real is None else levels_digest(real),
        }

        def compute() -> list[dict[str, Any]]:
            by_class = generated(max(counts))
            chosen = torch.cat(
                [images[:count] for images, count in zip(by_class, counts, strict=True)]
            )
            scores = score_images(
                protocol,
                self.features,
                generated=chosen,
                reference=reference,
                real=real,
                resamples=self.config.bootstrap,
            )
            return [found.to_json() for found in scores]

        found = cache.value(f"scores-{protocol.name}", depends_on, compute)
        return [FIDScore.from_json(described) for described in found]


def balanced(number: int, classes: int) -> list[int]:
    """Shares a number of images among classes; the first ones get what is left over.

    >>> balanced(10, 4)
    [3, 3, 2, 2]
    """
    return [number // classes + (label < number % classes) for label in range(classes)]
