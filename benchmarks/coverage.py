"""How often the intervals of `pixelbayes.evaluation` cover a truth that is known.

    python -m benchmarks.coverage docs/results/coverage.md

Gaussian features whose standard deviations fall as 1 / sqrt(i), and class probabilities that are
calibrated but for a temperature: there the right values are known, or come from many draws.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.evaluation.calibration import (
    calibrated_band,
    calibration_error_estimate,
    expected_calibration_error,
    log_loss,
)
from pixelbayes.evaluation.estimate import Z_95, Estimate
from pixelbayes.evaluation.frechet import fid, fid_estimate, kid, kid_estimate
from pixelbayes.evaluation.temperature import decide_temperature

# Features, images of both sets, shift of the first set's mean, factor on its deviations.
SETS = (
    (64, 100, 300, 0.0, 1.0),
    (64, 300, 300, 0.0, 1.0),
    (64, 300, 300, 0.1, 1.0),
    (192, 100, 300, 0.0, 1.0),
    (192, 100, 300, 0.1, 1.0),
    (256, 65, 65, 0.0, 1.0),
    (256, 65, 65, 0.1, 1.0),
    (256, 65, 65, 0.0, 1.4),
)
TEMPERATURES = (1.0, 1.5, 25.0)
CLASSES = 4
ENDLESS = 50_000


def main(output: Path, *, draws: int = 100, resamples: int = 50) -> None:
    """Writes the tables; the defaults take under two minutes on one core."""
    sections = (
        "# How often intervals cover the truth\n\nA 95 % interval should cover it 95 times in "
        f"100. Made by `python -m benchmarks.coverage {output.as_posix()}`.",
        "## FID and KID\n\nTruth: the mean score of two sets of these sizes. Width: mean "
        "half-width over 1.96 standard deviations of the score; 1 is right. The last columns are "
        "those of a plain bootstrap of both sets.\n\n"
        + table(
            "features | images | first set | FID | width | covers, % | KID, 10^-3 | width "
            "| covers, % | bootstrap of FID: width | covers, %",
            scores(draws, resamples),
        ),
        "## Calibration error and temperature\n\nClass probabilities of four classes that are "
        "calibrated at the stated temperature, measured at 1. ECE in percent, its truth from "
        f"{ENDLESS} images. *Accepted*: `decide_temperature` used the fitted temperature; "
        "*harmed*: what it used has a larger log-loss on new images than temperature 1.\n\n"
        + table(
            "temperature | images | true ECE | mean ECE | mean interval | covers, % "
            "| inside the calibrated band, % | temperature covers, % | accepted, % | harmed, %",
            calibration(max(draws // 2, 1)),
        ),
    )
    output.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def table(header: str, rows: Iterator[list[str]]) -> str:
    """A Markdown table."""
    columns = header.count("|") + 1
    lines = [header, " | ".join(["---"] * columns), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def scores(draws: int, resamples: int) -> Iterator[list[str]]:
    for dims, n, m, shift, factor in SETS:
        generator = torch.Generator().manual_seed(0)
        deviations = torch.arange(1, dims + 1, dtype=torch.float64).rsqrt()

        def pair(
            sizes: tuple[int, int] = (n, m),
            deviations: Tensor = deviations,
            generator: torch.Generator = generator,
            change: tuple[float, float] = (shift, factor),
        ) -> tuple[Tensor, Tensor]:
            a, b = (
                torch.randn(size, len(deviations), generator=generator, dtype=torch.float64)
                * deviations
                for size in sizes
            )
            return change[0] + change[1] * a, b

        pairs = [pair() for _ in range(draws)]
        others = [pair() for _ in range(draws)]
        row = [f"{dims}", f"{n} and {m}", _described(shift, factor)]
        for plain, estimate in (
            (fid, lambda a, b: fid_estimate(a, b, resamples=1)[0]),
            (lambda a, b: 1000 * kid(a, b), kid_estimate),
        ):
            truth = torch.tensor([plain(*two) for two in others], dtype=torch.float64)
            found = [estimate(*two) for two in pairs]
            row += [f"{float(truth.mean()):.3g}", *_judged(found, truth)]
        row += _judged(
            [_bootstrap(*two, resamples, generator) for two in pairs[: max(draws // 5, 1)]],
            torch.tensor([fid(*two) for two in others], dtype=torch.float64),
        )
        yield row


def calibration(draws: int) -> Iterator[list[str]]:
    prior = torch.zeros(CLASSES, dtype=torch.float64)
    for temperature in TEMPERATURES:
        many, labels = predictions(ENDLESS, temperature, seed=0)
        posterior = torch.log_softmax(many, dim=1)
        truth = 0.0
        if temperature != 1:
            truth = 100 * expected_calibration_error(posterior, labels)
        raw = log_loss(posterior, labels).value
        for n in (20, 100, 519):
            found, inside, decisions, harmed = [], 0, [], 0
            for seed in range(1, draws + 1):
                evidence, own = predictions(n, temperature, seed)
                found.append(calibration_error_estimate(torch.log_softmax(evidence, dim=1), own))
                band = calibrated_band(torch.log_softmax(evidence, dim=1))
                inside += band.low <= found[-1].value <= band.high
                decisions.append(decide_temperature(evidence, prior, own))
                used = decisions[-1].temperature
                if used != 1:
                    harmed += log_loss(torch.log_softmax(many / used, dim=1), labels).value > raw
            low, high = (sum(getattr(e, end) for e in found) / draws for end in ("low", "high"))
            yield [
                f"{temperature:g}",
                f"{n}",
                f"{truth:.1f}",
                f"{sum(e.value for e in found) / draws:.1f}",
                f"{low:.1f} to {high:.1f}",
                _percent(sum(e.low <= truth <= e.high for e in found), draws),
                _percent(inside, draws),
                _percent(
                    sum(d.fitted.low <= temperature <= d.fitted.high for d in decisions), draws
                ),
                _percent(sum(d.accepted for d in decisions), draws),
                _percent(harmed, draws),
            ]


def predictions(n: int, temperature: float, seed: int) -> tuple[Tensor, Tensor]:
    """Log-likelihoods (N, K) that are calibrated at a temperature, and labels."""
    generator = torch.Generator().manual_seed(seed)
    evidence = 3.0 * torch.randn(n, CLASSES, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(torch.softmax(evidence, dim=1), 1, generator=generator)[:, 0]
    return temperature * evidence, labels


def _described(shift: float, factor: float) -> str:
    changes = [f"mean + {shift:g}"] * (shift != 0) + [f"deviations x {factor:g}"] * (factor != 1)
    return ", ".join(changes) or "as the second"


def _judged(found: list[Estimate], truth: Tensor) -> list[str]:
    mean, spread = float(truth.mean()), float(truth.std())
    width = sum(e.high - e.value for e in found) / len(found) / (Z_95 * spread)
    return [f"{width:.2f}", _percent(sum(e.low <= mean <= e.high for e in found), len(found))]


def _bootstrap(a: Tensor, b: Tensor, resamples: int, generator: torch.Generator) -> Estimate:
    drawn = torch.tensor(
        [
            fid(*(x[torch.randint(len(x), (len(x),), generator=generator)] for x in (a, b)))
            for _ in range(resamples)
        ],
        dtype=torch.float64,
    )
    value, half = fid(a, b), Z_95 * float(drawn.std())
    return Estimate(value, value - half, value + half, len(a), "")


def _percent(number: float, of: int) -> str:
    share = 100 * number / of
    return f"{share:.0f}" if math.isfinite(share) else "-"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
