"""One small report, made of arithmetic instead of a model."""

import math

import pytest
import torch

from pixelbayes.evaluation import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    log_loss,
    mean_estimate,
    per_class_accuracy,
    reliability_curve,
    risk_coverage,
)
from pixelbayes.evaluation.histogram import histogram
from pixelbayes.report import (
    CompletedImage,
    Report,
    SplitResult,
    WrongImage,
    png_base64,
    share,
)
from pixelbayes.report.render import report_html


def make_split(name: str, classes: int, n: int, seed: int) -> SplitResult:
    generator = torch.Generator().manual_seed(seed)
    logits = 2.5 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    calibrated = torch.log_softmax(logits, dim=1)
    raw = torch.log_softmax(8 * logits, dim=1)
    labels = torch.multinomial(calibrated.exp(), 1, generator=generator)[:, 0]
    predicted = calibrated.argmax(dim=1)
    confusion = confusion_matrix(predicted, labels, classes)
    wrong = (predicted != labels).nonzero()[:8, 0].tolist()
    posteriors = {"raw": raw, "calibrated": calibrated}
    return SplitResult(
        split=name,
        n=n,
        measures={
            "accuracy": accuracy(int(confusion.diagonal().sum()), n),
            "bits_per_dim": mean_estimate(
                3 + 0.2 * torch.randn(n, generator=generator), "bits/dim"
            ),
            **{f"log_loss/{key}": log_loss(p, labels) for key, p in posteriors.items()},
            **{
                f"ece/{key}": share(expected_calibration_error(p, labels), n)
                for key, p in posteriors.items()
            },
        },
        confusion=confusion.tolist(),
        per_class=per_class_accuracy(confusion),
        reliability={key: reliability_curve(p, labels) for key, p in posteriors.items()},
        risk_coverage=risk_coverage(calibrated.max(dim=1).values, predicted == labels),
        code_lengths=histogram(3 + 0.2 * torch.randn(n, generator=generator), 0.1),
        most_confidently_wrong=[
            WrongImage(
                name=f"{name}/{k:07d}.png",
                true=int(labels[k]),
                predicted=int(predicted[k]),
                confidence=float(raw[k].max().exp()),
                image=make_png(seed=k),
                probabilities=calibrated[k].exp().tolist(),
                evidence=make_png(seed=1000 + k, channels=3),
                bits_per_dim=2.5 + 0.01 * k,
            )
            for k in wrong
        ],
    )


def make_png(seed: int, channels: int = 1, side: int = 8) -> str:
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, side, side)
    return png_base64(torch.randint(256, shape, generator=generator).to(torch.uint8))


def make_report(classes: int = 4, n: int = 120) -> Report:
    names = [f"class {k}" for k in range(classes)]
    test, validation = make_split("test", classes, n, 0), make_split("validation", classes, n, 1)
    epochs = 12
    falling = [2.5 + 3 * math.exp(-k / 4) for k in range(epochs)]
    return Report(
        title="FiLM fusion on digits",
        classes=names,
        temperature=8.1234,
        headline_split="test",
        splits={"validation": validation, "test": test},
        curves={
            "epoch": [float(k) for k in range(epochs)],
            "train/bits_per_dim": list(falling),
            "val/bits_per_dim": [x + 0.1 + 0.01 * k for k, x in enumerate(falling)],
            "train/accuracy": [None] * epochs,
            "val/accuracy": [1 - 0.8 * math.exp(-k / 3) for k in range(epochs)],
            "lr": [1e-3 * 0.8**k for k in range(epochs)],
            "images_per_s": [412.0 + (k * 7 % 5) for k in range(epochs)],
        },
        samples={
            name: [make_png(seed=100 * k + i, channels=3) for i in range(10)]
            for k, name in enumerate(names)
        },
        real_images={name: [make_png(seed=7 * k)] for k, name in enumerate(names)},
        nearest_images={
            name: [make_png(seed=50 * k + i, channels=3) for i in range(10)]
            for k, name in enumerate(names)
        },
        completions=[
            CompletedImage(true=k, known_rows=4, image=make_png(k), completions=[make_png(300 + k)])
            for k in range(classes)
        ],
        model={"fusion": "film", "features": 32, "image_size": [8, 8], "optimistic": True},
        data={"source": "digits", "resize": {"size": [8, 8], "filter": "bilinear"}},
        training={"lr": 1e-3, "epochs": epochs, "ema": None},
        provenance={
            "command": "pixelbayes evaluate runs/film-7 --split test",
            "commit": "3f2c1aa",
            "seed": 7,
            "date": "2025-01-31",
            "versions": {"torch": "2.13.0", "python": "3.11.7"},
            "seconds": 41.2,
        },
        notes=["Accuracy is that of the raw and of the calibrated posterior alike."],
    )


@pytest.fixture(scope="session")
def report() -> Report:
    return make_report()


@pytest.fixture(scope="session")
def rendered(report: Report) -> str:
    """The web page of `report`: its figures take a second to draw."""
    return report_html(report)
