"""Classification: what public course code does, against Bayes' rule in one pass.

The course's way takes one image at a time and one class at a time, with gradients on.  A loop
over classes in batches without gradients is the customary improvement.  The likelihoods of all
three must agree; the network in bfloat16 is faster and rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks.figures import growth
from benchmarks.measuring import MIB, Spread, interleave, peak_memory, ratio
from benchmarks.records import Column, Record, Table, origin
from benchmarks.steps import NO_BFLOAT16, has_bfloat16
from benchmarks.subjects import SMALL, describe, images_and_labels, network
from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.inference import BayesClassifier
from pixelbayes.inference.memory import keep_freed_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FULL", "QUICK", "Plan", "class_by_class", "draw", "measure", "one_at_a_time"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        config: The network, but for its classes and its fusion.
        classes: Numbers of classes.
        fusions: Names of fusions.
        images: Images that the batched ways take with four classes; with more classes as many
            fewer, but two.
        alone: Images that are classified one at a time.
        repeats: Of each measurement.
        memory_classes: Numbers of classes at which peak memory is measured, gated fusion.
        patience: Seconds after which a row has no further repeat.
    """

    config: PixelCNNConfig = SMALL
    classes: tuple[int, ...] = (4, 10, 100)
    fusions: tuple[str, ...] = ("gated", "late", "head")
    images: int = 16
    alone: int = 1
    repeats: int = 3
    memory_classes: tuple[int, ...] = (4, 10, 100)
    patience: float = 20.0

    def images_for(self, classes: int) -> int:
        """Images that the batched ways take with this many classes."""
        return min(self.images, max(2, 4 * self.images // classes))


FULL = Plan()
QUICK = Plan(
    classes=(4, 10), fusions=("gated", "late"), images=8, alone=1, repeats=2, memory_classes=(4,)
)


def measure(plan: Plan) -> Record:
    """Times the ways in turns, for each fusion and number of classes."""
    keep_freed_memory()  # as `pixelbayes predict` does; here it helps all ways
    rows = [
        _compare(replace(plan.config, fusion=fusion, classes=classes), plan)
        for fusion in plan.fusions
        for classes in plan.classes
    ]
    memory = []
    for classes in plan.memory_classes:
        config, images = replace(plan.config, classes=classes), plan.images_for(classes)
        row: dict[str, Any] = {"classes": classes, "images": images}
        for way in WAYS:
            row[way] = peak_memory(classification_work, way, config, images).added / MIB
        memory.append(row)
    return Record(
        name="classification",
        title="Classification: all classes at once against one by one",
        settings={
            "network": describe(plan.config),
            "images": plan.images,
            "images_one_at_a_time": plan.alone,
            "repeats": plan.repeats,
        },
        tables=(
            Table(
                "Images per second",
                (
                    Column("fusion", "fusion"),
                    Column("classes", "classes"),
                    Column("images", "images in a batch"),
                    Column("alone", "one image, one class, gradients"),
                    Column("loop", "loop over classes, batches"),
                    Column("bayes", "`BayesClassifier`"),
                    Column("over_alone", "over the first"),
                    Column("over_loop", "over the loop"),
                    Column("difference", "largest difference, nats"),
                    Column("narrow", "`BayesClassifier`, bfloat16"),
                    Column("narrow_over_alone", "over the first"),
                    Column("narrow_difference", "largest difference, nats"),
                ),
                tuple(rows),
                (
                    "The difference is between log-likelihoods of whole images; all but the last "
                    "columns are float32.  With the fusions late and head the trunk, which does "
                    "not know the label, runs once for all classes.",
                    "Weights are random, so what bfloat16's rounding does to trained models is "
                    "another matter."
                    if has_bfloat16(torch.device("cpu"))
                    else NO_BFLOAT16,
                ),
            ),
            Table(
                "Memory beside the program and the weights, gated, MiB",
                (
                    Column("classes", "classes"),
                    Column("images", "images in a batch"),
                    Column("alone", "one image, one class, gradients"),
                    Column("loop", "loop over classes, batches"),
                    Column("bayes", "`BayesClassifier`"),
                ),
                tuple(memory),
            ),
        ),
        provenance=origin(),
    )


def one_at_a_time(model: PixelCNN, levels: Tensor) -> Tensor:
    """Log-likelihoods as public course code gets them, (B, K)."""
    rows = []
    for image in levels.split(1):
        columns = []
        for label in range(model.config.classes):
            labels = torch.tensor([label], device=levels.device)
            columns.append(model(image, labels).log_prob(image))
        rows.append(torch.cat(columns).detach())  # an image's graphs end with it
    return torch.stack(rows)


@torch.inference_mode()
def class_by_class(model: PixelCNN, levels: Tensor) -> Tensor:
    """Log-likelihoods from one pass per class over all images, (B, K)."""
    columns = []
    for label in range(model.config.classes):
        labels = torch.full((len(levels),), label, device=levels.device)
        columns.append(model(levels, labels).log_prob(levels))
    return torch.stack(columns, dim=1)


def all_at_once(model: PixelCNN, levels: Tensor) -> Tensor:
    """Log-likelihoods from the package's classifier, (B, K)."""
    return BayesClassifier(model).log_likelihoods(levels)


def all_at_once_in_bfloat16(model: PixelCNN, levels: Tensor) -> Tensor:
    """As `all_at_once`, the network in bfloat16, (B, K)."""
    return BayesClassifier(model, autocast=torch.bfloat16).log_likelihoods(levels)


WAYS: dict[str, Callable[[PixelCNN, Tensor], Tensor]] = {
    "alone": one_at_a_time,
    "loop": class_by_class,
    "bayes": all_at_once,
}


def classification_work(way: str, config: PixelCNNConfig, images: int) -> Callable[[], Tensor]:
    """Classifies some images in one of the three ways."""
    model, (levels, _) = network(config), images_and_labels(config, images)
    return lambda: WAYS[way](model, levels)


def draw(record: Record) -> dict[str, Figure]:
    """Images per second against the number of classes, a panel for each fusion."""
    rows = record.table("Images per second").rows
    panels = {}
    for fusion in dict.fromkeys(row["fusion"] for row in rows):
        mine = [row for row in rows if row["fusion"] == fusion]
        classes = [row["classes"] for row in mine]
        names = {"alone": "one by one", "loop": "loop over classes", "bayes": "all at once"}
        panels[fusion] = {
            name: (classes, [row[way] for row in mine]) for way, name in names.items()
        }
    return {"classes": growth(panels, xlabel="classes", ylabel="images per second")}


def _compare(config: PixelCNNConfig, plan: Plan) -> dict[str, Any]:
    images = plan.images_for(config.classes)
    model, (levels, _) = network(config), images_and_labels(config, images)
    alone = levels[: plan.alone]
    sides = {
        "alone": lambda: one_at_a_time(model, alone),
        "loop": lambda: class_by_class(model, levels),
        "bayes": lambda: all_at_once(model, levels),
    }
    narrow = has_bfloat16(torch.device("cpu"))
    if narrow:
        sides["narrow"] = lambda: all_at_once_in_bfloat16(model, levels)
    times = interleave(sides, repeats=plan.repeats, patience=plan.patience)
    bayes = all_at_once(model, levels)
    difference = max(
        (class_by_class(model, levels) - bayes).abs().max().item(),
        (one_at_a_time(model, alone) - bayes[: plan.alone]).abs().max().item(),
    )
    an_image = {
        "alone": [taken / plan.alone for taken in times["alone"]],
        "loop": [taken / images for taken in times["loop"]],
        "bayes": [taken / images for taken in times["bayes"]],
    }
    in_bfloat16: dict[str, Any] = dict.fromkeys(
        ("narrow", "narrow_over_alone", "narrow_difference")
    )
    if narrow:
        an_image["narrow"] = [taken / images for taken in times["narrow"]]
        rounded = all_at_once_in_bfloat16(model, levels)
        in_bfloat16 = {
            "narrow_over_alone": ratio(an_image["alone"], an_image["narrow"]),
            "narrow_difference": (rounded - bayes).abs().max().item(),
        }
    return {
        "fusion": config.fusion,
        "classes": config.classes,
        "images": images,
        **{way: _rates(taken) for way, taken in an_image.items()},
        "over_alone": ratio(an_image["alone"], an_image["bayes"]),
        "over_loop": ratio(an_image["loop"], an_image["bayes"]),
        "difference": difference,
        **in_bfloat16,
    }


def _rates(seconds_an_image: Sequence[float]) -> Spread:
    return Spread.of([1.0 / taken for taken in seconds_an_image])
