"""Sampling: one forward pass per pixel against the cached sampler.

All passes of the naive sampler cost the same, so its time for a whole image is extrapolated
from some of them, but for one batch that it draws in full, which checks the extrapolation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks.figures import growth
from benchmarks.measuring import MIB, Spread, interleave, peak_memory, ratio, seconds
from benchmarks.records import Column, Record, Table, origin
from benchmarks.subjects import SMALL, describe, network
from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.inference.cached import sample_cached
from pixelbayes.inference.cached.layers import kernels_of
from pixelbayes.inference.cached.tiles import Tile, one_thread_each
from pixelbayes.inference.sampling import complete_naive, draw_noise, sample_naive

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FULL", "QUICK", "Plan", "draw", "measure", "naive_seconds", "naive_sides"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        config: The network.
        batches: Images at a time.
        repeats: Of each measurement.
        passes: Passes of the naive sampler that are timed, together, at batch 1; as many fewer
            as the batch is larger, but one.
        in_full: The batch that the naive sampler draws in full.
        memory_batches: Batches whose peak memory is measured, each in a process of its own.
        widths: Images of single tiles that are drawn on one thread.
    """

    config: PixelCNNConfig = SMALL
    batches: tuple[int, ...] = (1, 25, 64, 256)
    repeats: int = 5
    passes: int = 64
    in_full: int = 1
    memory_batches: tuple[int, ...] = (1, 25, 256)
    widths: tuple[int, ...] = (4, 8, 16, 32, 64, 128)


FULL = Plan()
QUICK = Plan(batches=(1, 16), repeats=2, passes=8, memory_batches=(16,), widths=(4, 16))


def measure(plan: Plan) -> Record:
    """Times both samplers in turns; checks that they draw the same levels."""
    model = network(plan.config)
    rows = [_compare(model, batch, plan) for batch in plan.batches]
    memory = [
        {
            "batch": batch,
            "cached": _added("cached", plan, batch),
            "naive": _added("naive", plan, batch),
        }
        for batch in plan.memory_batches
    ]
    height, width = plan.config.image_size
    return Record(
        name="sampling",
        title="Sampling: cached against one forward pass per pixel",
        settings={"network": describe(plan.config), "repeats": plan.repeats},
        tables=(
            Table(
                f"Time of a batch, {height} x {width}",
                (
                    Column("batch", "images"),
                    Column("cached", "cached, s"),
                    Column("rate", "cached, images/s"),
                    Column("naive", "naive, s"),
                    Column("passes", "naive passes timed"),
                    Column("ratio", "naive / cached"),
                ),
                tuple(rows),
                (
                    f"The naive sampler needs {height * width} passes; its time is extrapolated "
                    "from those timed.",
                ),
            ),
            _check_in_full(model, plan),
            _single_tiles(model, plan),
            Table(
                "Memory beside the program and the weights, MiB",
                (
                    Column("batch", "images"),
                    Column("cached", "cached"),
                    Column("naive", "naive, one pass"),
                ),
                tuple(memory),
            ),
        ),
        provenance=origin(),
    )


def naive_sides(
    model: PixelCNN, labels: Tensor, passes: int
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """The naive sampler over the last `passes` pixels, and over none (its fixed cost)."""
    config = model.config
    height, width = config.image_size
    blank = torch.zeros(
        len(labels), config.channels, height, width, dtype=torch.uint8, device=labels.device
    )

    def over(pixels: int) -> Tensor:
        known = (torch.arange(height * width) < height * width - pixels).view(height, width)
        generator = torch.Generator().manual_seed(0)
        return complete_naive(model, labels, blank, known, generator=generator)

    return lambda: over(passes), lambda: over(0)


def naive_seconds(
    some: list[float], none: list[float], passes: int, config: PixelCNNConfig
) -> list[float]:
    """Time of a whole image from the times of `passes` passes and of none."""
    pixels = config.image_size[0] * config.image_size[1]
    return [fixed + (a - fixed) * pixels / passes for a, fixed in zip(some, none, strict=True)]


def draw(record: Record) -> dict[str, Figure]:
    """Seconds of both samplers against the batch."""
    rows = record.table("Time").rows
    batches = [row["batch"] for row in rows]
    lines = {
        "one pass per pixel (extrapolated)": (batches, [row["naive"] for row in rows]),
        "cached": (batches, [row["cached"] for row in rows]),
    }
    title = f"ratio {max(row['ratio'].median for row in rows):,.0f} at best"
    return {"batch": growth({title: lines}, xlabel="images in a batch", ylabel="seconds a batch")}


def _compare(model: PixelCNN, batch: int, plan: Plan) -> dict[str, Any]:
    labels = _labels(plan.config, batch)
    passes = max(1, plan.passes // batch)
    some, none = naive_sides(model, labels, passes)
    times = interleave(
        {"cached": lambda: _cached(model, labels), "some": some, "none": none},
        repeats=plan.repeats,
    )
    naive = naive_seconds(times["some"], times["none"], passes, plan.config)
    return {
        "batch": batch,
        "cached": Spread.of(times["cached"]),
        "rate": Spread.of([batch / taken for taken in times["cached"]]),
        "naive": Spread.of(naive),
        "passes": passes,
        "ratio": ratio(naive, times["cached"]),
    }


def _check_in_full(model: PixelCNN, plan: Plan) -> Table:
    labels = _labels(plan.config, plan.in_full)
    passes = max(1, plan.passes // plan.in_full)
    some, none = naive_sides(model, labels, passes)
    part, fixed = seconds(some), seconds(none)
    drawn: list[Tensor] = []
    whole = seconds(lambda: drawn.append(_naive(model, labels)))
    cached = seconds(lambda: drawn.append(_cached(model, labels)))
    equal = (drawn[0] == drawn[1]).double().mean().item()
    (extrapolated,) = naive_seconds([part], [fixed], passes, plan.config)
    row = {
        "batch": plan.in_full,
        "whole": whole,
        "extrapolated": extrapolated,
        "quotient": extrapolated / whole,
        "ratio": whole / cached,
        "equal": 100 * equal,
    }
    return Table(
        "The naive sampler run in full",
        (
            Column("batch", "images"),
            Column("whole", "measured, s"),
            Column("extrapolated", "extrapolated, s"),
            Column("quotient", "extrapolated / measured"),
            Column("ratio", "measured / cached"),
            Column("equal", "levels equal to the cached ones, %"),
        ),
        (row,),
    )


def _single_tiles(model: PixelCNN, plan: Plan) -> Table:
    """Whole tiles on one thread: small ones are bound by dispatch, large ones by arithmetic."""
    with one_thread_each(1) as each:

        def draw_tile(width: int) -> Callable[[], Any]:
            return lambda: each(lambda _: _tile(model, width), [0])

        times = {
            width: interleave({"": draw_tile(width)}, repeats=plan.repeats, patience=6.0)[""]
            for width in plan.widths
        }
    rows = tuple(
        {
            "width": width,
            "seconds": Spread.of(taken),
            "an_image": 1000 * Spread.of(taken).median / width,
        }
        for width, taken in times.items()
    )
    columns = (
        Column("width", "images in the tile"),
        Column("seconds", "s"),
        Column("an_image", "ms an image"),
    )
    return Table("One tile on one thread", columns, rows)


def _tile(model: PixelCNN, width: int) -> None:
    config, labels = model.config, _labels(model.config, width)
    uniform = draw_noise(model, width, torch.Generator().manual_seed(0))
    blank = torch.zeros(width, config.channels, *config.image_size, dtype=torch.uint8)
    tile = Tile(model, labels, blank, uniform, kernels_of(model))
    for row in range(config.image_size[0]):
        tile.advance(row, [False] * config.image_size[1])


def _added(sampler: str, plan: Plan, batch: int) -> float:
    return peak_memory(sampling_work, sampler, plan.config, batch).added / MIB


def sampling_work(sampler: str, config: PixelCNNConfig, batch: int) -> Callable[[], Tensor]:
    """Draws a batch with the cached sampler, or makes two passes of the naive one."""
    model, labels = network(config), _labels(config, batch)
    if sampler == "cached":
        return lambda: _cached(model, labels)
    return naive_sides(model, labels, passes=2)[0]


def _cached(model: PixelCNN, labels: Tensor) -> Tensor:
    return sample_cached(model, labels, generator=torch.Generator().manual_seed(0))


def _naive(model: PixelCNN, labels: Tensor) -> Tensor:
    return sample_naive(model, labels, generator=torch.Generator().manual_seed(0))


def _labels(config: PixelCNNConfig, batch: int) -> Tensor:
    return torch.arange(batch) % config.classes
