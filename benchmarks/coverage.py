"""How often the intervals of `pixelbayes.evaluation` cover a truth that is known.

    python -m benchmarks.coverage docs/results/coverage.md

Gaussian features whose standard deviations fall as 1 / sqrt(i), and class probabilities that are
calibrated but for a temperature: there the right values are known, or come from many draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from pixelbayes.io import write_json, write_whole
from pixelbayes.workflows.provenance import provenance

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

SCORES = {
    "features": "{features}",
    "images": "{n} and {m}",
    "first set": "{first_set}",
    "FID": "{fid:.3g}",
    "width": "{fid_width:.2f}",
    "covers, %": "{fid_covers:.0f}",
    "KID, 10^-3": "{kid:.3g}",
    "width of KID": "{kid_width:.2f}",
    "KID covers, %": "{kid_covers:.0f}",
    "bootstrap of FID: width": "{bootstrap_width:.2f}",
    "bootstrap covers, %": "{bootstrap_covers:.0f}",
}
CALIBRATION = {
    "temperature": "{temperature:g}",
    "images": "{n}",
    "true ECE": "{true_ece:.1f}",
    "mean ECE": "{ece:.1f}",
    "mean interval": "{low:.1f} to {high:.1f}",
    "covers, %": "{covers:.0f}",
    "inside the calibrated band, %": "{inside:.0f}",
    "temperature covers, %": "{temperature_covers:.0f}",
    "accepted, %": "{accepted:.0f}",
    "harmed, %": "{harmed:.0f}",
}
"""Headings of the tables, and how a row is shown under each."""


def main(output: Path, *, draws: int = 100, resamples: int = 50) -> None:
    """Writes the numbers beside `output` as JSON, and the tables made of them.

    The defaults take under two minutes on one core.
    """
    command = f"python -m benchmarks.coverage {output.as_posix()}"
    found = {
        "provenance": {**provenance(), "command": command},
        "draws": draws,
        "resamples": resamples,
        "endless": ENDLESS,
        "scores": [*scores(draws, resamples)],
        "calibration": [*calibration(max(draws // 2, 1))],
    }
    write_json(output.with_suffix(".json"), found)
    write_whole(output, page(found, output.with_suffix(".json").name))


def page(found: Mapping[str, Any], file: str) -> str:
    """The tables, in Markdown.

    Args:
        found: What `main` measured.
        file: Name of the JSON file beside the page.
    """
    source = found["provenance"]
    sections = (
        "# How often intervals cover the truth\n\nA 95 % interval should cover it 95 times in "
        f"100. Made by `{source['command']}`, commit {source['commit'] or 'not recorded'}, "
        f"{source['date']}; the numbers are those of [{file}]({file}).",
        "## FID and KID\n\nTruth: the mean score of two sets of these sizes. Width: mean "
        "half-width over 1.96 standard deviations of the score; 1 is right. The last columns are "
        f"those of a plain bootstrap of both sets. Percentages are of {found['draws']} draws of "
        f"them, in the last two columns of {max(found['draws'] // 5, 1)}.\n\n"
        + table(SCORES, found["scores"]),
        "## Calibration error and temperature\n\nClass probabilities of four classes that are "
        "calibrated at the stated temperature, measured at 1. ECE in percent, its truth from "
        f"{found['endless']} images. *Accepted*: `decide_temperature` used the fitted "
        "temperature; *harmed*: what it used has a larger log-loss on new images than temperature "
        f"1. Percentages are of {max(found['draws'] // 2, 1)} draws.\n\n"
        + table(CALIBRATION, found["calibration"]),
    )
    return "\n\n".join(sections) + "\n"


def table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table.

    Args:
        columns: For each heading how a row is shown under it, as a format.
        rows: Named numbers.
    """
    cells = [[shown.format(**row) for shown in columns.values()] for row in rows]
    lines = [[*columns], ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scores(draws: int, resamples: int) -> Iterator[dict[str, Any]]:
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
        row = {"features": dims, "n": n, "m": m, "first_set": _described(shift, factor)}
        for name, plain, estimate in (
            ("fid", fid, lambda a, b: fid_estimate(a, b, resamples=1)[0]),
            ("kid", lambda a, b: 1000 * kid(a, b), kid_estimate),
        ):
            truth = torch.tensor([plain(*two) for two in others], dtype=torch.float64)
            found = [estimate(*two) for two in pairs]
            row |= {name: float(truth.mean()), **_judged(name, found, truth)}
        drawn = [_bootstrap(*two, resamples, generator) for two in pairs[: max(draws // 5, 1)]]
        truth = torch.tensor([fid(*two) for two in others], dtype=torch.float64)
        yield row | _judged("bootstrap", drawn, truth)


def calibration(draws: int) -> Iterator[dict[str, Any]]:
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
            covered = sum(d.fitted.low <= temperature <= d.fitted.high for d in decisions)
            yield {
                "temperature": temperature,
                "n": n,
                "true_ece": truth,
                "ece": sum(e.value for e in found) / draws,
                "low": sum(e.low for e in found) / draws,
                "high": sum(e.high for e in found) / draws,
                "covers": 100 * sum(e.low <= truth <= e.high for e in found) / draws,
                "inside": 100 * inside / draws,
                "temperature_covers": 100 * covered / draws,
                "accepted": 100 * sum(d.accepted for d in decisions) / draws,
                "harmed": 100 * harmed / draws,
            }


def predictions(n: int, temperature: float, seed: int) -> tuple[Tensor, Tensor]:
    """Log-likelihoods (N, K) that are calibrated at a temperature, and labels."""
    generator = torch.Generator().manual_seed(seed)
    evidence = 3.0 * torch.randn(n, CLASSES, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(torch.softmax(evidence, dim=1), 1, generator=generator)[:, 0]
    return temperature * evidence, labels


def _described(shift: float, factor: float) -> str:
    changes = [f"mean + {shift:g}"] * (shift != 0) + [f"deviations x {factor:g}"] * (factor != 1)
    return ", ".join(changes) or "as the second"


def _judged(name: str, found: list[Estimate], truth: Tensor) -> dict[str, float]:
    mean, spread = float(truth.mean()), float(truth.std())
    covered = sum(e.low <= mean <= e.high for e in found)
    return {
        f"{name}_width": sum(e.high - e.value for e in found) / len(found) / (Z_95 * spread),
        f"{name}_covers": 100 * covered / len(found),
    }


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


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("output", type=Path, help="page to write; a JSON file is put beside it")
    main(options.parse_args().output)
