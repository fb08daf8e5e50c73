"""Everything that is measured on a GPU, in one run: sampling, training, classification.

Shares are of the matrix rate that the same card reaches in the same run at the same precision.
A batch that does not fit the memory leaves its cells empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.classification import class_by_class, one_at_a_time
from benchmarks.figures import growth
from benchmarks.measuring import MIB, Spread, interleave, ratio
from benchmarks.rates import kernels
from benchmarks.records import Column, Record, Table, origin
from benchmarks.sampling import naive_seconds, naive_sides
from benchmarks.steps import TrainingStep, has_bfloat16, own_step, plain_step, step_flops
from benchmarks.subjects import SMALL, STUDY, describe, images_and_labels, network
from pixelbayes.core import PixelCNNConfig
from pixelbayes.inference import BayesClassifier
from pixelbayes.inference.cached import sample_cached

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FULL", "NO_GPU", "QUICK", "Plan", "draw", "measure"]

NO_GPU = (
    "This machine has no GPU that PyTorch can use (torch.cuda.is_available() is false), so "
    "nothing was measured.  Where there is one: python -m benchmarks gpu"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        configs: Networks by name.
        sampling: Batches of the cached sampler.
        naive: The batch at which the naive sampler is timed.
        passes: Of the naive sampler that are timed.
        training: Batches of a step.
        classification: Images that are classified together.
        alone: Images that are classified one at a time.
        repeats: Of each measurement.
        matrices: Sides of the matrix products.
    """

    configs: Mapping[str, PixelCNNConfig] = field(
        default_factory=lambda: {"small": SMALL, "study": STUDY}
    )
    sampling: tuple[int, ...] = (1, 16, 64, 256, 1024, 4096)
    naive: int = 1024
    passes: int = 4
    training: tuple[int, ...] = (32, 128, 512)
    classification: int = 512
    alone: int = 4
    repeats: int = 5
    matrices: tuple[int, ...] = (4096, 8192)


FULL = Plan()
QUICK = Plan(
    configs={"small": SMALL}, sampling=(16, 1024), training=(32,), classification=64, repeats=2
)


def measure(plan: Plan, device: torch.device | None = None) -> Record:
    """Measures all of it on `device`; None: the first CUDA device.

    Raises:
        RuntimeError: If there is no CUDA device and none was given.
    """
    if device is None:
        if not torch.cuda.is_available():
            raise RuntimeError(NO_GPU)
        device = torch.device("cuda")
    rates = _matrix_rates(plan, device)
    sampling, training, classification = [], [], []
    for name, config in plan.configs.items():
        sampling += [_sampling(name, config, batch, plan, device) for batch in plan.sampling]
        training += [
            row for b in plan.training for row in _training(name, config, b, plan, device, rates)
        ]
        classification.append(_classification(name, config, plan, device))
    return Record(
        name="gpu",
        title="On a GPU",
        settings={
            "networks": {name: describe(config) for name, config in plan.configs.items()},
            "repeats": plan.repeats,
            "convolutions_in_tf32": torch.backends.cudnn.allow_tf32,
        },
        tables=(
            _sampling_table(sampling, plan),
            _training_table(training),
            _classification_table(classification, plan),
            Table(
                "Best large operation",
                (Column("precision", "precision"), Column("tflops", "TFLOP/s")),
                tuple({"precision": p, "tflops": rate / 1e12} for p, rate in rates.items()),
            ),
        ),
        provenance=origin(),
    )


def draw(record: Record) -> dict[str, Figure]:
    """Sampled images per second against the batch."""
    lines = {}
    rows = [row for row in record.table("Cached sampling").rows if row["rate"] is not None]
    for name in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == name]
        lines[name] = ([row["batch"] for row in mine], [row["rate"] for row in mine])
    panels = {"cached sampling": lines}
    return {"sampling": growth(panels, xlabel="images in a batch", ylabel="images per second")}


def _matrix_rates(plan: Plan, device: torch.device) -> dict[str, float]:
    """Best operations per second by precision; float32 as PyTorch is set up by default."""
    rates = {}
    precisions = [torch.float32, *([torch.bfloat16] if has_bfloat16(device) else [])]
    for precision in precisions:
        operations = {k.name: k for k in kernels(precision, device, plan.matrices)}
        times = interleave(
            {name: k.work for name, k in operations.items()}, repeats=plan.repeats, warm_up=2
        )
        rates[str(precision).removeprefix("torch.")] = max(
            k.flops / Spread.of(times[name]).median for name, k in operations.items()
        )
    return rates


def _sampling(
    name: str, config: PixelCNNConfig, batch: int, plan: Plan, device: torch.device
) -> dict[str, Any]:
    model, labels = network(config, device), (torch.arange(batch) % config.classes).to(device)
    generator = torch.Generator()
    sides: dict[str, Callable[[], Any]] = {
        "cached": lambda: sample_cached(model, labels, generator=generator.manual_seed(0))
    }
    if batch == plan.naive:
        sides["some"], sides["none"] = naive_sides(model, labels, plan.passes)
    _, memory = _measured({"cached": sides["cached"]}, replace(plan, repeats=1), device)
    times, _ = _measured(sides, plan, device)
    row: dict[str, Any] = {"network": name, "batch": batch, "rate": None}
    if times is None:
        return row
    row |= {"seconds": Spread.of(times["cached"]), "memory": memory}
    row["rate"] = Spread.of([batch / taken for taken in times["cached"]])
    if "some" in times:
        naive = naive_seconds(times["some"], times["none"], plan.passes, config)
        row |= {"naive": Spread.of(naive), "ratio": ratio(naive, times["cached"])}
    return row


def _training(
    name: str,
    config: PixelCNNConfig,
    batch: int,
    plan: Plan,
    device: torch.device,
    rates: Mapping[str, float],
) -> list[dict[str, Any]]:
    levels, labels = images_and_labels(config, batch, device)
    steps: dict[str, Callable[[], TrainingStep]] = {
        "baseline, float32": lambda: plain_step(network(config, device)),
        "pixelbayes, float32": lambda: own_step(network(config, device)),
    }
    if "bfloat16" in rates:
        steps["pixelbayes, bfloat16"] = lambda: own_step(network(config, device), torch.bfloat16)
    built = {side: build() for side, build in steps.items()}
    sides = {side: (lambda s=step: s(levels, labels)) for side, step in built.items()}
    times, _ = _measured(sides, plan, device)
    if times is None:
        return [{"network": name, "batch": batch, "side": side} for side in sides]
    flops, rows = step_flops(config), []
    for side, taken in times.items():
        rate = Spread.of([batch / t for t in taken])
        best = rates["bfloat16" if side.endswith("bfloat16") else "float32"]
        share = 100 * rate.median * flops / best
        over = ratio(times["baseline, float32"], taken)
        rows.append(
            {"network": name, "batch": batch, "side": side, "rate": rate}
            | {"ratio": over, "tflops": rate.median * flops / 1e12, "share": share}
        )
    return rows


def _classification(
    name: str, config: PixelCNNConfig, plan: Plan, device: torch.device
) -> dict[str, Any]:
    model, (levels, _) = network(config, device), images_and_labels(config, plan.classification)
    levels = levels.to(device)
    sides = {
        "alone": lambda: one_at_a_time(model, levels[: plan.alone]),
        "loop": lambda: class_by_class(model, levels),
        "bayes": lambda: BayesClassifier(model).log_likelihoods(levels),
    }
    times, _ = _measured(sides, plan, device)
    row: dict[str, Any] = {"network": name, "classes": config.classes}
    if times is None:
        return row
    images = {"alone": plan.alone, "loop": plan.classification, "bayes": plan.classification}
    each = {way: [t / images[way] for t in taken] for way, taken in times.items()}
    row |= {way: Spread.of([1 / t for t in taken]) for way, taken in each.items()}
    return row | {"ratio": ratio(each["alone"], each["bayes"])}


def _measured(
    sides: Mapping[str, Callable[[], Any]], plan: Plan, device: torch.device
) -> tuple[dict[str, list[float]] | None, float | None]:
    """Times and the peak of the card's memory in MiB; None for times if it does not fit."""
    on_cuda = device.type == "cuda"
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        times = interleave(sides, repeats=plan.repeats, warm_up=2)
    except torch.OutOfMemoryError:
        return None, None
    return times, torch.cuda.max_memory_allocated(device) / MIB if on_cuda else None


def _sampling_table(rows: list[dict[str, Any]], plan: Plan) -> Table:
    columns = (
        Column("network", "network"),
        Column("batch", "images"),
        Column("seconds", "cached, s"),
        Column("rate", "cached, images/s"),
        Column("naive", "naive, s"),
        Column("ratio", "naive / cached"),
        Column("memory", "peak of the card's memory, MiB"),
    )
    note = f"Naive times are extrapolated from {plan.passes} passes."
    return Table("Cached sampling", columns, tuple(rows), (note,))


def _training_table(rows: list[dict[str, Any]]) -> Table:
    columns = (
        Column("network", "network"),
        Column("batch", "images"),
        Column("side", "step"),
        Column("rate", "images/s"),
        Column("ratio", "over the baseline"),
        Column("tflops", "TFLOP/s"),
        Column("share", "share of the best large operation, %"),
    )
    return Table("Training steps", columns, tuple(rows))


def _classification_table(rows: list[dict[str, Any]], plan: Plan) -> Table:
    columns = (
        Column("network", "network"),
        Column("classes", "classes"),
        Column("alone", "one image, one class, gradients"),
        Column("loop", "loop over classes, batches"),
        Column("bayes", "`BayesClassifier`"),
        Column("ratio", "over the first"),
    )
    return Table(f"Classification, {plan.classification} images, images/s", columns, tuple(rows))
