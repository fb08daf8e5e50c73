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
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import class_posterior
from pixelbayes.models.likelihoods import ClassLikelihoods

__all__ = ["ClassScore", "Prediction", "best_classes", "prediction_sets", "predictions"]

UNIFORM = 8.0
"""Bits/dim of a model that finds all levels of a channel equally likely."""


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
    """Whether it is unlike what the model was trained on: its code is longer than was calibrated
    for images of so much detail, or than that of uniform noise.  None where nobody can say."""
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


def prediction_sets(
    model: ClassLikelihoods, log_proba: Tensor, coverage: float, method: str = "lac"
) -> list[tuple[str, ...]]:
    """Classes of the conformal set of each image, most probable first; some sets may be empty.

    Args:
        model: Gives the names and the calibrated thresholds.
        log_proba: log p(y | x) at its temperature, (N, K).
        coverage: Probability with which a set is to hold the true class.
        method: One of `pixelbayes.models.decisions.SET_METHODS`.

    Raises:
        PixelBayesError: If the model has no such sets.
    """
    decisions = model.metadata.decisions
    if decisions is None:
        raise PixelBayesError(
            "sets with a stated coverage need thresholds from labelled images, and this model has "
            "none: run 'pixelbayes calibrate MODEL' first"
        )
    held = decisions.prediction_set(log_proba, coverage, method)
    order = log_proba.argsort(dim=1, descending=True, stable=True)
    return [
        tuple(model.classes[index] for index in by_probability if inside[index])
        for by_probability, inside in zip(order.tolist(), held.tolist(), strict=True)
    ]


def unlike_training(model: ClassLikelihoods, log_prob: Tensor, levels: Tensor) -> list[bool | None]:
    """Whether each image is unlike what a model was trained on; None where nobody can say.

    A calibrated model has a threshold; no model knows what it finds less likely than noise.

    Args:
        model: One that is no density says nothing.
        log_prob: log p(x), nats, (N,).
        levels: The images, uint8 (N, C, H, W).
    """
    dims, decisions = model.dims, model.metadata.decisions
    if dims is None:
        return [None] * len(log_prob)
    noise = bits_per_dim(log_prob, dims) > UNIFORM
    if decisions is None:
        return [True if worse else None for worse in noise.tolist()]
    unlike: list[bool | None] = (noise | decisions.is_unlike(log_prob, levels)).tolist()
    return unlike


def predictions(
    model: ClassLikelihoods,
    log_likelihoods: Tensor,
    levels: Tensor,
    sources: Sequence[str],
    coverage: float | None = None,
) -> list[Prediction]:
    """Turns a table of log-likelihoods into one prediction for each image.

    Args:
        model: Whose table it is; gives names, prior and temperature.
        log_likelihoods: From `Model.log_likelihoods`, (N, K).
        levels: The images, uint8 (N, C, H, W).
        sources: Path or number of each image.
        coverage: Probability with which the set of each image is to hold its true class; None:
            there are no sets.

    Raises:
        PixelBayesError: If sets are asked for that were not calibrated.
    """
    log_proba = class_posterior(log_likelihoods, model.log_prior, model.temperature)
    marginal = torch.logsumexp(log_likelihoods + model.log_prior, dim=1)
    dims, unlike = model.dims, unlike_training(model, marginal, levels)
    sets: list[tuple[str, ...] | None] = [None] * len(sources)
    if coverage is not None:
        sets = [*prediction_sets(model, log_proba, coverage)]
    rows = zip(log_proba.tolist(), log_likelihoods.tolist(), marginal.tolist(), strict=True)
    return [
        Prediction(
            source=sources[number],
            log_probabilities=dict(zip(model.classes, posterior, strict=True)),
            log_likelihoods=dict(zip(model.classes, likelihood, strict=True)),
            bits_per_dim=None if dims is None else float(bits_per_dim(marginal[number], dims)),
            outlier_score=None if dims is None else -log_prob,
            unlike_training=unlike[number],
            prediction_set=sets[number],
        )
        for number, (posterior, likelihood, log_prob) in enumerate(rows)
    ]
