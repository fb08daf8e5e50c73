"""A small study, made of arithmetic instead of models."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelbayes.evaluation import (
    Estimate,
    accuracy,
    expected_calibration_error,
    log_loss,
    mcnemar,
    paired_difference,
    reliability_curve,
)
from pixelbayes.evaluation.fid import FIDScore
from pixelbayes.report import (
    Comparison,
    EpochScore,
    ModelResult,
    SplitResult,
    png_base64,
    share,
    write_study,
)

CLASSES = ("koala", "owl", "lynx", "red_fox")
N = 519
PROVENANCE = {
    "command": "pixelbayes study configs/study-cpen455.yaml",
    "commit": "3f2c1aa",
    "machine": {"cpu": "AMD EPYC 7B13", "threads": 2, "gpus": []},
    "date": "2025-01-31T12:00:00+00:00",
    "versions": {"torch": "2.13.0"},
}
FINAL = {  # train and validation accuracy, bits/dim, FID course, FID matched
    "early": (0.45, 0.43, 3.05, 36.1, 29.0),
    "gated": (0.66, 0.64, 2.98, 35.2, 24.2),
    "late": (0.48, 0.46, 3.06, 31.0, 33.8),
    "joint": (0.64, 0.60, 3.0, 35.5, 25.5),
    "gated-long": (0.93, 0.79, 2.87, 34.7, 18.1),
    "film": (0.65, 0.62, 2.97, 35.0, 24.0),
    "none": (0.25, 0.25, 3.1, 36.0, 35.0),
    "resnet18": (0.99, 0.88, None, None, None),
    "resnet18-published": (0.98, 0.85, None, None, None),
}


def make_png(seed: int, side: int = 32, columns: int = 1, rows: int = 1) -> str:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(3, 4 * rows, 4 * columns, generator=generator)
    smooth = torch.nn.functional.interpolate(
        low[None], size=(side * rows, side * columns), mode="bicubic"
    )
    return png_base64((smooth[0].clamp(0, 1) * 255).to(torch.uint8))


def make_score(protocol: str, dims: int, value: float, floor: float) -> FIDScore:
    course = protocol == "course"

    def around(x: float, share: float) -> Estimate:
        return Estimate(x, (1 - share) * x, (1 + share) * x, 100 if course else 518, "")

    return FIDScore(
        protocol=protocol,
        dims=dims,
        n_generated=100 if course else 518,
        n_reference=518,
        generated_size=(32, 32),
        reference_size=(64, 64) if course else (32, 32),
        fid=around(value, 0.08),
        fid_rise=1.2,
        kid=around(value / 3, 0.15),
        fid_floor=around(floor, 0.05),
        kid_floor=around(floor / 3, 0.1),
        network="c0ffee",
        resamples=100,
        seed=0,
    )


def make_correct(name: str, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(name) + 100 * seed)
    return torch.rand(N, generator=generator) < FINAL[name][1]


def make_curves(name: str, epochs: int) -> dict[str, list[float | None]]:
    train, validation, code, *_ = FINAL[name]
    rising = [1 - math.exp(-5 * (k + 1) / epochs) for k in range(epochs)]
    loss = "log_loss" if code is None else "bits_per_dim"
    return {
        "epoch": [float(k + 1) for k in range(epochs)],
        f"train/{loss}": [(code or 0.2) + 2 * (1 - x) for x in rising],
        f"val/{loss}": [(code or 0.4) + 0.05 + 2 * (1 - x) for x in rising],
        "train/accuracy": [None if k % 5 else train * x for k, x in enumerate(rising)],
        "val/accuracy": [validation * x for x in rising],
    }


def make_result(
    name: str, seed: int = 0, *, epochs: int = 75, labelled_test: bool = False, **changes: Any
) -> ModelResult:
    train, _, code, course, matched = FINAL[name]
    correct = make_correct(name, seed)
    right = int(correct.sum())
    generative = code is not None
    generator = torch.Generator().manual_seed(seed)
    logits = 2.5 * torch.randn(N, 4, generator=generator, dtype=torch.float64)
    posteriors = {"raw": torch.log_softmax(4 * logits, 1), "calibrated": logits.log_softmax(1)}
    labels = torch.multinomial(posteriors["calibrated"].exp(), 1, generator=generator)[:, 0]
    measured = {
        "accuracy": accuracy(right, N),
        **(
            {"bits_per_dim": Estimate(code, code - 0.03, code + 0.03, N, "bits/dim")}
            if code
            else {}
        ),
        **{f"log_loss/{k}": log_loss(p, labels) for k, p in posteriors.items()},
        **{
            f"ece/{k}": share(expected_calibration_error(p, labels), N)
            for k, p in posteriors.items()
        },
    }
    validation = SplitResult(
        split="validation",
        n=N,
        measures=measured,
        reliability={k: reliability_curve(p, labels) for k, p in posteriors.items()},
    )
    splits = {
        "train": SplitResult(
            split="train", n=1024, measures={"accuracy": accuracy(round(train * 1024), 1024)}
        ),
        "validation": validation,
    }
    if labelled_test:
        test = {"accuracy": accuracy(right, N)}
        splits["test"] = SplitResult(split="test", n=N, measures=test)
    opponents = [other for other in ("resnet18", "resnet18-published") if generative]
    content: dict[str, Any] = {
        "name": name,
        "kind": "pixelcnn" if generative else "resnet18",
        "seed": seed,
        "fusion": name.removesuffix("-long") if generative else None,
        "parameters": 1_204_356 if generative else 11_168_836,
        "epochs": epochs,
        "best_epoch": max(1, epochs - 4),
        "reason": "epochs",
        "training_seconds": 5400.0,
        "splits": splits,
        "temperature": 12.5,
        "scores": [
            make_score("course", 192, course, 34.5),
            make_score("matched", 192, matched, 3.1),
        ]
        if generative
        else [],
        "curves": make_curves(name, epochs),
        "epoch_scores": [
            EpochScore(epoch=k, fid=Estimate(40 - k / 10, 37 - k / 10, 43 - k / 10, 100, ""))
            for k in range(5, epochs + 1, 10)
        ]
        if generative
        else [],
        "epoch_samples": {k: make_png(k, columns=4, rows=4) for k in (5, epochs)}
        if generative
        else {},
        "samples": {c: [make_png(9 * k + i) for i in range(8)] for k, c in enumerate(CLASSES)}
        if generative
        else {},
        "comparisons": [
            Comparison(
                other=other,
                split="validation",
                mcnemar=mcnemar(correct, make_correct(other, seed)),
                difference=paired_difference(correct, make_correct(other, seed), seed=0),
            )
            for other in opponents
        ],
        "settings": {"network": {"fusion": name, "features": 80}, "optim": {"lr": 0.002}},
        "notes": ["Train accuracy is that of 1024 fixed training images."],
        "provenance": PROVENANCE | {"seed": seed},
    }
    return ModelResult(**(content | changes))


@pytest.fixture
def make() -> Callable[..., ModelResult]:
    return make_result


@pytest.fixture(scope="session")
def study() -> list[ModelResult]:
    """All kinds of models; one with two seeds, one not finished."""
    # A figure takes most of a second to draw.
    still: dict[str, Any] = {"curves": {}, "epoch_scores": []}
    return [
        make_result("early"),
        make_result("gated"),
        make_result("gated", seed=1),
        make_result("late", epochs=12, reason="unfinished", **still),
        make_result("gated-long", epochs=300, **still),
        make_result("film"),
        make_result("resnet18"),
    ]


@pytest.fixture(scope="session")
def written(study: list[ModelResult], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study above: its figures take seconds to draw."""
    return write_folder(tmp_path_factory.mktemp("study"), study)


def write_folder(folder: Path, results: Sequence[ModelResult]) -> Path:
    write_study(folder, results, title="Fusion study", published="cpen455", provenance=PROVENANCE)
    return folder
