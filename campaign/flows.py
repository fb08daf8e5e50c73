"""Generated data through training, evaluation and prediction, hundreds of times in one process."""

from __future__ import annotations

import csv
import json
import random
import resource
import shutil
import sys
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from campaign.inputs import Collection, collection
from campaign.records import Findings
from pixelbayes.cli.main import main as pixelbayes
from pixelbayes.models import Model, load_model

__all__ = ["FlowFindings", "run_flows", "tell"]

TOLERANCE = 1e-5  # relative, of a number in nats; the table has nine digits
TINY = ["--features", "2", "--mixtures", "1", "--embedding", "2", "--blocks-per-stage", "1"]
MIB = 1 << 20


@dataclass
class FlowFindings(Findings):
    """Also how much memory the process has taken."""

    rows: int = 0
    """Rows of predictions that were judged."""
    memory_after_a_tenth: int = 0
    """Peak, MiB."""
    memory: int = 0
    """Peak at the end, MiB."""


def run_flows(number: int, seed: int, place: Path, seconds: float = 1800.0) -> FlowFindings:
    """Trains one step, evaluates and predicts, and judges every row.

    Args:
        number: How often.
        seed: Of the generator.
        place: An empty folder.
        seconds: After which none is begun any more.
    """
    found, end = FlowFindings(), time.monotonic() + seconds
    for index in range(number):
        if time.monotonic() > end:
            break
        rng = random.Random(f"{seed} flow {index}")
        kind = rng.choice(("folder", "table", "archive"))
        found.tried[kind] += 1
        folder = place / "case"
        folder.mkdir()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _flow(rng, folder, kind, found)
        except Exception as error:
            found.faulty += 1
            found.note(f"flow {index} ({kind}): {type(error).__name__}: {error}")
        shutil.rmtree(folder)
        if index <= number // 10:
            found.memory_after_a_tenth = _peak()
    found.memory = _peak()
    return found


def tell(*arguments: str) -> str:
    """Runs the program in this process; its stdout.

    Raises:
        RuntimeError: If it does not end with status 0; the message is what it said.
    """
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = pixelbayes([*arguments])
    if status:
        last = err.getvalue().strip().splitlines()[-1:]
        raise RuntimeError(f"{arguments[0]} ended with {status}: {' '.join(last)}")
    return out.getvalue()


def _flow(rng: random.Random, folder: Path, kind: str, found: FlowFindings) -> None:
    data, run = folder / "data", folder / "run"
    data.mkdir()
    made = collection(rng, data, kind, per_class=8)
    fusion = rng.choice(("early", "gated", "late", "joint", "film"))
    size = "x".join(map(str, made.size))
    tell(
        *("train", "--data", made.source, "--image-size", size, "--channels", str(made.channels)),
        *("--output", str(run), "--epochs", "1", "--batch-size", "64", "--fusion", fusion, *TINY),
        *("--accuracy-images", "0", "--seed", str(rng.randrange(100)), "--quiet"),
    )
    tell("evaluate", str(run), "--samples-per-class", "0", "--quiet")
    model = load_model(run / "best")
    _judge_report(run, model, made, found)
    photos = _photos(rng, folder / "photos", made)
    tell("predict", str(run), str(folder / "photos"), "--output", str(folder / "t.csv"), "--quiet")
    _judge_rows(folder / "t.csv", model, photos, found)


def _photos(rng: random.Random, folder: Path, made: Collection) -> dict[str, np.ndarray]:
    """Some of the images anew as PNG files; the levels of each by its path."""
    folder.mkdir()
    photos = {}
    for number, key in enumerate(rng.sample(sorted(made.truth), 5)):
        levels = np.frombuffer(key, np.uint8).reshape(made.channels, *made.size)
        path = folder / f"{number}.png"
        Image.fromarray(levels[0] if made.channels == 1 else levels.transpose(1, 2, 0)).save(path)
        photos[str(path)] = levels
    return photos


def _judge_rows(
    table: Path, model: Model, photos: dict[str, np.ndarray], found: FlowFindings
) -> None:
    """Each file has one row, whose numbers are those of its pixels."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if [row["path"] for row in rows] != sorted(photos):
        found.wrong += 1
        found.note(f"{table}: other files than were given, or in another order")
        return
    for row in rows:
        levels = torch.from_numpy(photos[row["path"]].copy())[None]
        expected = model.log_likelihoods(levels)[0]
        told = [float(row[f"log_likelihood[{name}]"]) for name in model.classes]
        close = np.allclose(told, expected.numpy(), rtol=TOLERANCE)
        best = (expected / model.temperature + model.log_prior).argmax()
        found.rows += 1
        if not close or row["class"] != model.classes[int(best)]:
            found.wrong += 1
            found.note(f"{row['path']}: {row['class']} {told}, expected {expected.tolist()}")


def _judge_report(run: Path, model: Model, made: Collection, found: FlowFindings) -> None:
    """The test accuracy is that of the labels the generator knows."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    if "test" not in report["splits"]:
        return
    from pixelbayes.workflows.loading import load_data_for
    from pixelbayes.workflows.runs import Run

    record = Run.open(run).split()
    source = made.source
    images = load_data_for(model, source, record=record).split("test")
    right = 0
    for levels in images.levels:
        truth = made.truth[Collection.key(levels.numpy())]
        table = model.log_likelihoods(levels[None])[0]
        answer = (table / model.temperature + model.log_prior).argmax()
        right += model.classes[int(answer)] == truth
    told = report["splits"]["test"]["accuracy"]["value"]
    if abs(told - 100 * right / len(images.levels)) > TOLERANCE:
        found.wrong += 1
        found.note(f"{source}: test accuracy {told}, expected {right}/{len(images.levels)}")


def _peak() -> int:
    """Most memory that this process has held, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // MIB if sys.platform == "darwin" else peak // 1024
