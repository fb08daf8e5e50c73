"""How many flipped labels an audit finds, with a PixelCNN and with a ResNet-18 as judge."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from benchmarks.records import Column, Record, Table, origin
from pixelbayes.data import LabelledImages, load_dataset
from pixelbayes.evaluation import held_out_temperatures
from pixelbayes.evaluation.label_quality import label_quality, precision_at, recovered_flips
from pixelbayes.inference import class_posterior
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.models import PixelBayes
from pixelbayes.training import TrainingConfig
from pixelbayes.workflows.audit import SMALL, out_of_fold
from pixelbayes.workflows.config import RunConfig

__all__ = ["LabelPlan", "measure"]

K = 20


@dataclass(frozen=True, kw_only=True)
class LabelPlan:
    """What to measure.

    Attributes:
        digits: How many of them.
        folds: Of the audit.
        epochs: Of each training, of both kinds of judge.
        rates: Shares of labels that are flipped, on digits and on course images.
        seed: Of flips, folds and trainings.
    """

    digits: int = 300
    folds: int = 2
    epochs: int = 6
    rates_digits: tuple[float, ...] = (0.1,)
    rates_course: tuple[float, ...] = (0.05, 0.1, 0.2)
    seed: int = 0


def measure(plan: LabelPlan, model: PixelBayes, course: LabelledImages, table: Tensor) -> Record:
    """Flips labels and ranks them.

    Args:
        plan: How many.
        model: The shipped model, which judges course images.
        course: Validation images.
        table: Their log p(x | y), (N, K).
    """
    rows = []
    images = load_dataset("digits").split("train").select(range(plan.digits))
    training = replace(SMALL.training, epochs=plan.epochs)
    judges = {
        "PixelCNN, by folds": replace(SMALL, training=training, seed=plan.seed),
        "ResNet-18, by folds": RunConfig(
            model="resnet18",
            training=TrainingConfig(epochs=plan.epochs, patience=None),
            seed=plan.seed,
        ),
    }
    for rate in plan.rates_digits:
        flipped = _flipped(images.labels, 10, rate, plan.seed)
        for judge, config in judges.items():
            found = out_of_fold(
                replace(images, labels=flipped),
                tuple(map(str, range(10))),
                config,
                folds=plan.folds,
            )
            rows.append(_row("digits", judge, rate, found, uniform_log_prior(10), images, flipped))
    for rate in plan.rates_course:
        flipped = _flipped(course.labels, len(model.classes), rate, plan.seed)
        judge = "shipped PixelCNN, trained on others"
        rows.append(_row("course", judge, rate, table, model.log_prior, course, flipped))
    return Record(
        name="labels",
        title="Wrong labels: how many flipped ones an audit finds",
        settings={"plan": asdict(plan)},
        tables=(
            Table(
                f"Labels flipped at random to another class, ranked by cleanlab's quality; k = {K}",
                (
                    Column("images", "images"),
                    Column("n", "n"),
                    Column("rate", "flipped, %"),
                    Column("judge", "judge"),
                    Column("accuracy", "accuracy on true labels, %"),
                    Column("auprc", "AUPRC, %"),
                    Column("precision", f"wrong among the {K} most doubtful, %"),
                    Column("suspected", "taken for wrong, of them rightly"),
                ),
                tuple(rows),
                (
                    "Both judges of digits are trained on the flipped labels of the other folds "
                    f"for {plan.epochs} epochs, the PixelCNN at the settings of `pixelbayes "
                    "audit`, the ResNet-18 at those of the study that is reproduced (Adam, "
                    "0.002). The judge of course images was trained on right labels of other "
                    "images, so the two parts of the table are not to be compared; no ResNet-18 "
                    "was measured on course images.",
                ),
            ),
        ),
        provenance=origin(),
        brackets="[low, high] are 95 % intervals over images.",
    )


def _flipped(labels: Tensor, classes: int, rate: float, seed: int) -> Tensor:
    """Labels of which a share is another class."""
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=draw)[: round(rate * len(labels))]
    flipped = labels.clone()
    moved = torch.randint(1, classes, (len(chosen),), generator=draw)
    flipped[chosen] = (labels[chosen] + moved) % classes
    return flipped


def _row(
    name: str,
    judge: str,
    rate: float,
    table: Tensor,
    prior: Tensor,
    images: LabelledImages,
    flipped: Tensor,
) -> dict[str, object]:
    temperatures = held_out_temperatures(table, prior, flipped)
    quality = label_quality(class_posterior(table, prior, temperatures), flipped)
    wrong = flipped != images.labels
    right = (quality.suggested == images.labels).double().mean()
    both = int((quality.suspected & wrong).sum())
    return {
        "images": name,
        "n": len(flipped),
        "rate": 100 * rate,
        "judge": judge,
        "accuracy": f"{100 * float(right):.1f}",
        "auprc": recovered_flips(quality.score, wrong).brief,
        "precision": precision_at(K, quality.score, wrong).brief,
        "suspected": f"{int(quality.suspected.sum())}, {both} of {int(wrong.sum())}",
    }
