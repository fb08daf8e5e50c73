"""Scoring: the log-likelihood of every image under every class, and what follows from it.

Shapes: N images, K classes.
Units:  log-probabilities in nats per image, code lengths in bits per dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.data import UNLABELLED, Augmentation, ImageDataset, LabelledImages
from pixelbayes.evaluation import (
    Estimate,
    TemperatureDecision,
    accuracy,
    aurc,
    brier_score,
    confusion_matrix,
    decide_temperature,
    expected_calibration_error,
    held_out_temperatures,
    log_loss,
    mean_estimate,
    per_class_accuracy,
    reliability_curve,
    risk_coverage,
)
from pixelbayes.evaluation.accuracy import RiskCoverage
from pixelbayes.evaluation.histogram import histogram
from pixelbayes.inference import class_posterior
from pixelbayes.models import Model
from pixelbayes.report import SplitResult, WrongImage, png_base64, share
from pixelbayes.workflows.illustrations import Progress, evidence_pictures

__all__ = [
    "SMALLEST_SPLIT",
    "Progress",
    "ScoredSplit",
    "Tempering",
    "measures",
    "notes_on",
    "notes_on_classes",
    "posteriors_of",
    "score_split",
    "split_numbers",
    "split_result",
    "tempering_of",
]

WRONG_IMAGES = 24  # enough to filter and sort, few enough to look at
CODE_LENGTH_BIN = 0.1  # bits/dim
RISK_STEPS = 100  # a percent of the images each
SMALLEST_SPLIT = 2  # a standard error needs two images


@dataclass(frozen=True, eq=False)
class ScoredSplit:
    """The images of a split with their table of log-likelihoods."""

    images: LabelledImages
    log_likelihood: Tensor
    """(N, K), float64, nats per image."""

    @property
    def labelled(self) -> Tensor:
        """Positions of the images that have a label."""
        return (self.images.labels != UNLABELLED).nonzero()[:, 0]


def score_split(
    model: Model, dataset: ImageDataset, name: str, progress: Progress | None = None
) -> ScoredSplit:
    """Scores the images of a split at the model's size.

    Raises:
        DatasetError: If there is no such split.
    """
    images = dataset.split(name)
    levels = images.levels
    if name == "train" and dataset.crop_margin:
        levels = Augmentation(crop_margin=dataset.crop_margin).centre(levels)
        images = replace(images, levels=levels)

    def done(count: int) -> None:
        if progress is not None:
            progress(f"scoring {name}", count, len(images))

    return ScoredSplit(images, model.log_likelihoods(levels, progress=done))


@dataclass(frozen=True)
class Tempering:
    """The temperature of the calibrated posterior, and what it rests on."""

    temperature: float
    """Divides log-likelihoods in Bayes' rule; 1 is Bayes' rule as it is."""
    decision: TemperatureDecision | None
    """What validation images said of another one; None where there were none to ask."""

    @property
    def fitted(self) -> bool:
        """Whether the temperature was fitted on the validation images."""
        return self.decision is not None and self.decision.accepted


def tempering_of(
    validation: ScoredSplit | None, log_prior: Tensor, current: float = 1.0
) -> Tempering:
    """The temperature to use: one that validation images ask for and gain by, or `current`.

    See `decide_temperature`: a temperature that is not better, beyond its uncertainty, on images
    that it was not fitted on is not used.
    """
    if validation is None or len(validation.labelled) < SMALLEST_SPLIT:
        return Tempering(current, None)
    chosen = validation.labelled
    decision = decide_temperature(
        validation.log_likelihood[chosen],
        log_prior,
        validation.images.labels[chosen],
        current=current,
    )
    return Tempering(decision.temperature, decision)


def posteriors_of(
    split: str,
    log_likelihood: Tensor,
    log_prior: Tensor,
    labels: Tensor,
    tempering: Tempering,
) -> dict[str, Tensor]:
    """log p(y | x), (N, K), without a temperature ("raw") and with one ("calibrated").

    Args:
        split: Validation images each get a temperature that was fitted without them.
        log_likelihood: (N, K), of labelled images.
        log_prior: (K,).
        labels: (N,).
        tempering: Where nobody was asked for another temperature than 1 there is only the raw
            posterior.
    """
    posteriors = {"raw": class_posterior(log_likelihood, log_prior)}
    if tempering.decision is not None or tempering.temperature != 1.0:
        of_image: float | Tensor = tempering.temperature
        if split == "validation" and tempering.fitted:
            of_image = held_out_temperatures(log_likelihood, log_prior, labels)
        posteriors["calibrated"] = class_posterior(log_likelihood, log_prior, of_image)
    return posteriors


def measures(
    posteriors: Mapping[str, Tensor], labels: Tensor, of_truth: Tensor, dims: int | None
) -> dict[str, Estimate]:
    """Every number of the labelled images of a split, by the name it is described by.

    A new number is computed here and described in `pixelbayes.report.tables.COLUMNS`.

    Args:
        posteriors: log p(y | x), (N, K), by name; the last one answers.
        labels: (N,).
        of_truth: log p(x | true class), (N,), nats.
        dims: Dimensions of an image; None: there is no code length.
    """
    *_, answer = posteriors.values()
    confidence, predicted = answer.max(dim=1)
    right = predicted == labels
    found = {"accuracy": accuracy(int(right.sum()), len(labels))}
    if dims is not None:
        found["bits_per_dim"] = mean_estimate(bits_per_dim(of_truth, dims), "bits/dim")
    for key, posterior in posteriors.items():
        found[f"log_loss/{key}"] = log_loss(posterior, labels)
        found[f"brier/{key}"] = brier_score(posterior, labels)
        found[f"ece/{key}"] = share(expected_calibration_error(posterior, labels), len(labels))
    found["aurc"] = aurc(confidence, right, seed=0)
    return found


def split_numbers(
    name: str, scored: ScoredSplit, log_prior: Tensor, tempering: Tempering, dims: int | None
) -> tuple[SplitResult, Tensor]:
    """Accuracy, code length and calibration of the labelled images of a split.

    Args:
        name: Of the split.
        scored: Its images and their table.
        log_prior: log p(y), (K,).
        tempering: Of the calibrated posterior.
        dims: Dimensions of an image; None: there is no code length.

    Returns:
        The numbers, without any image, and log p(y | x) of the posterior that answers, (N, K).
    """
    labels, table = scored.images.labels[scored.labelled], scored.log_likelihood[scored.labelled]
    posteriors = posteriors_of(name, table, log_prior, labels, tempering)
    of_truth = table.gather(1, labels[:, None])[:, 0]
    numbers = SplitResult(
        split=name,
        n=len(labels),
        measures=measures(posteriors, labels, of_truth, dims),
        reliability={
            key: reliability_curve(posterior, labels) for key, posterior in posteriors.items()
        },
    )
    return numbers, posteriors.get("calibrated", posteriors["raw"])


def split_result(model: Model, name: str, scored: ScoredSplit, tempering: Tempering) -> SplitResult:
    """The numbers of a split, with what is shown of single classes and images."""
    numbers, answer = split_numbers(name, scored, model.log_prior, tempering, model.dims)
    images = scored.images.select(scored.labelled)
    predicted = answer.argmax(dim=1)
    confusion = confusion_matrix(predicted, images.labels, len(model.classes))
    marginal = torch.logsumexp(scored.log_likelihood[scored.labelled] + model.log_prior, dim=1)
    code_lengths = None if model.dims is None else bits_per_dim(marginal, model.dims)
    return replace(
        numbers,
        confusion=confusion.tolist(),
        per_class=per_class_accuracy(confusion),
        most_confidently_wrong=_most_confidently_wrong(model, images, answer, code_lengths),
        risk_coverage=_risk_by_percent(answer, predicted == images.labels),
        code_lengths=None if code_lengths is None else histogram(code_lengths, CODE_LENGTH_BIN),
    )


def _risk_by_percent(answer: Tensor, correct: Tensor) -> RiskCoverage:
    """The risk-coverage curve at whole percents of the images, or at each of fewer images."""
    whole = risk_coverage(answer.max(dim=1).values, correct)
    n = len(correct)
    steps = sorted({-(-n * k // RISK_STEPS) for k in range(1, RISK_STEPS + 1)})
    return RiskCoverage([whole.coverage[i - 1] for i in steps], [whole.risk[i - 1] for i in steps])


def _most_confidently_wrong(
    model: Model, images: LabelledImages, log_posterior: Tensor, code_lengths: Tensor | None
) -> list[WrongImage]:
    confidence, predicted = log_posterior.max(dim=1)
    wrong = (predicted != images.labels).nonzero()[:, 0]
    order = wrong[confidence[wrong].argsort(descending=True, stable=True)][:WRONG_IMAGES]
    answers, truths = predicted[order].tolist(), images.labels[order].tolist()
    pictures = evidence_pictures(model, images.levels[order], answers, truths)
    return [
        WrongImage(
            name=images.names[i],
            true=int(images.labels[i]),
            predicted=int(predicted[i]),
            confidence=float(confidence[i].exp()),
            image=png_base64(images.levels[i]),
            probabilities=log_posterior[i].exp().tolist(),
            evidence=pictures[place] if pictures else "",
            bits_per_dim=None if code_lengths is None else float(code_lengths[i]),
        )
        for place, i in enumerate(order.tolist())
    ]


def notes_on(
    model: Model, scored: Mapping[str, ScoredSplit], available: Mapping[str, LabelledImages]
) -> list[str]:
    """What the numbers do not say: marginal code lengths, missing labels, a missing split."""
    notes = []
    for name, split in scored.items():
        marginal = torch.logsumexp(split.log_likelihood + model.log_prior, dim=1)
        known, n = len(split.labelled), len(marginal)
        if n >= SMALLEST_SPLIT and model.dims is not None:
            code_length = bits_per_dim(marginal, model.dims)
            notes.append(
                f"Code length of {name} under p(x), the mixture of all classes: "
                f"{mean_estimate(code_length, 'bits/dim')}."
            )
        if known < SMALLEST_SPLIT:
            lacking = f"{n - known} of the {n} images of {name} have no label"
            if known:
                lacking = f"{known} labelled image of {name} is too few"
            notes.append(
                f"{lacking}: it has predictions"
                f"{' and the code length under p(x)' if model.dims else ''}, but no accuracy and "
                "no calibration."
            )
        elif known < n:
            notes.append(
                f"{n - known} of the {n} images of {name} have no label and count only in "
                f"{'the code length under p(x)' if model.dims else 'the predictions'}."
            )
    if not model.is_exact:
        notes.append("Log-likelihoods are lower bounds, so every code length is an upper bound.")
    if "validation" not in available:
        notes.append("There is no validation split, so no temperature was fitted.")
    if not model.uses_labels:
        notes.append("The model ignores the label (fusion none), so its accuracy is chance.")
    return notes


def notes_on_classes(model: Model, scored: Mapping[str, ScoredSplit]) -> list[str]:
    """What accuracy and calibration cannot mean where images or the model have one class only."""
    if len(model.classes) == 1:
        meant = "the code length says" if model.dims else "no number says"
        return [
            f"The model has one class only, {model.classes[0]}, so every answer is right: "
            "accuracy, log-loss, Brier score and calibration say nothing; "
            f"{meant} how good it is."
        ]
    notes = []
    for name, split in scored.items():
        present = split.images.labels[split.labelled].unique().tolist()
        if len(present) == 1:
            notes.append(
                f"All labelled images of {name} are of one class, {model.classes[present[0]]}: the "
                "accuracy is the share of it that is recognised, and says nothing about images of "
                "other classes that are taken for it."
            )
    return notes
