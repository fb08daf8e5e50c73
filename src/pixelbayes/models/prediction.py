"""What a model says about one image, with the names of its classes.

Units: nats per image, before the temperature where they are log-likelihoods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import torch
from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.inference.classification import class_posterior
from pixelbayes.models.likelihoods import ClassLikelihoods

__all__ = ["ClassScore", "Prediction", "best_classes", "predictions"]


class ClassScore(TypedDict):
    """A class and its probability, as pipelines of image classification give them."""

    label: str
    score: float


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image."""

    source: str
    """Path of the image, or its number where it has none."""
    log_probabilities: dict[str, float]
    """log p(y | x) of each class at the model's temperature, nats; in the order of the indices."""
    log_likelihoods: dict[str, float] = field(repr=False)
    """log p(x | y) of each class, nats per image; the temperature does not touch it.  Of a model
    that is no density, up to a term that all classes share."""
    bits_per_dim: float | None = None
    """Code length of the image under p(x), the mixture of all classes by their prior; None where
    the model is no density."""
    outlier_score: float | None = None
    """How strange the image is, larger = stranger (-log p(x), nats); None where the model is no
    density."""
    unlike_training: bool | None = None
    """Whether that is above the threshold that was calibrated; None where none was."""
    prediction_set: tuple[str, ...] | None = None
    """Classes among which the true one is with the probability that was asked for, most probable
    first; None where none was asked for."""

    @property
    def label(self) -> str:
        """Name of the most probable class."""
        return max(self.log_probabilities, key=self.log_probabilities.__getitem__)

    @property
    def index(self) -> int:
        """Its index."""
        return list(self.log_probabilities).index(self.label)

    @property
    def confidence(self) -> float:
        """Its probability."""
        return self.probabilities[self.label]

    @property
    def probabilities(self) -> dict[str, float]:
        """p(y | x) of each class."""
        return {name: math.exp(value) for name, value in self.log_probabilities.items()}

    def __repr__(self) -> str:
        extra = {
            "outlier_score": self.outlier_score and round(self.outlier_score, 1),
            "unlike_training": self.unlike_training,
            "prediction_set": self.prediction_set,
        }
        told = "".join(f", {name}={value!r}" for name, value in extra.items() if value is not None)
        return (
            f"Prediction(label={self.label!r}, confidence={self.confidence:.4f}{told}, "
            f"source={self.source!r})"
        )


def best_classes(prediction: Prediction, top_k: int) -> list[ClassScore]:
    """The most probable classes, most probable first; all where there are fewer than `top_k`."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    return [{"label": name, "score": score} for name, score in ranked[:top_k]]


def predictions(
    model: ClassLikelihoods,
    log_likelihoods: Tensor,
    sources: Sequence[str],
) -> list[Prediction]:
    """Turns a table of log-likelihoods into one prediction for each image.

    Args:
        model: Whose table it is; gives names, prior and temperature.
        log_likelihoods: From `Model.log_likelihoods`, (N, K).
        sources: Path or number of each image.
    """
    log_proba = class_posterior(log_likelihoods, model.log_prior, model.temperature)
    marginal = torch.logsumexp(log_likelihoods + model.log_prior, dim=1)
    dims = model.dims
    rows = zip(log_proba.tolist(), log_likelihoods.tolist(), marginal.tolist(), strict=True)
    return [
        Prediction(
            source=sources[number],
            log_probabilities=dict(zip(model.classes, posterior, strict=True)),
            log_likelihoods=dict(zip(model.classes, likelihood, strict=True)),
            bits_per_dim=None if dims is None else float(bits_per_dim(marginal[number], dims)),
            outlier_score=None if dims is None else -log_prob,
        )
        for number, (posterior, likelihood, log_prob) in enumerate(rows)
    ]
