"""Writes the goldens: what may not change while the code moves.

    python tests/frozen/record.py                 (all)
    python tests/frozen/record.py likelihoods     (after a deliberate change of these)

Only public names, the command line, the course's scripts and files are used.  The fixtures
`checkpoints-1`, `checkpoints-2`, `run-0.1` and `run-0.1-resnet18` are never written anew: they
are what earlier versions wrote.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import re
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path
from typing import Any
from unittest import mock
from zlib import crc32

import torch
import yaml
from PIL import Image
from torch import Tensor

import pixelbayes
from pixelbayes.cli.main import main as command_line

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOLDENS = HERE / "goldens"
RUN = HERE / "run-0.1"
RESULTS = ROOT / "docs" / "results"
SHIPPED = "cpen455-gated"

FUSIONS = ("none", "early", "gated", "late", "joint", "film", "gated-preact", "gated-gates")
COMMANDS = (
    "demo", "train", "study", "evaluate", "predict", "score", "sample", "complete", "compare",
    "app", "info", "calibrate", "explain", "audit", "compress", "decompress", "test",
)  # fmt: skip
SCRIPTS = ("classification_evaluation", "generation_evaluation", "resnet_18_val")
CHECKPOINTS = sorted(path for path in HERE.glob("checkpoints-*/*") if path.is_dir())

TRAIN = ["train", "--data", "digits", "--features", "4", "--mixtures", "1", "--embedding", "2"]
TRAIN += ["--epochs", "1", "--limit", "20", "--quiet"]
STUDY = """
title: Tiny
base:
  data: {data: digits, limit: 20}
  network: {features: 4, mixtures: 1, embedding: 2, dropout: 0.0}
  training: {epochs: 1, batch_size: 10, accuracy_images: 0, init_images: 10}
models:
  gated: {network: {fusion: gated}}
  resnet18: {baseline: resnet18, optim: {lr: 0.01}}
samples_per_class: 2
"""


# The model


def random_levels(shape: tuple[int, ...], seed: int) -> Tensor:
    """Uniformly random levels, uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def network(fusion: str, channels: int) -> pixelbayes.PixelCNN:
    """A small float64 network; each weight depends on its shortest name only."""
    config = pixelbayes.PixelCNNConfig(
        classes=3,
        image_size=(9, 8),
        channels=channels,
        features=4,
        blocks_per_stage=1,
        mixtures=2,
        embedding=3,
        fusion=fusion,
    )
    built = pixelbayes.PixelCNN(config).double().eval()
    names: dict[int, str] = {}
    parameters = dict(built.named_parameters(remove_duplicate=False))
    for name in sorted(parameters, key=lambda name: (len(name), name), reverse=True):
        names[id(parameters[name])] = name
    with torch.no_grad():
        for parameter in built.parameters():
            generator = torch.Generator().manual_seed(crc32(names[id(parameter)].encode()))
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.2 * noise + (0.5 if parameter.ndim == 1 else 0.0))
    return built


def shipped_likelihoods() -> list[list[float]]:
    model = pixelbayes.load(SHIPPED)
    table = model.classifier().log_likelihoods(random_levels((3, 3, 32, 32), seed=1))
    return table.tolist()


def network_likelihoods(fusion: str, channels: int) -> dict[str, Any]:
    """log p(x | y), log p(y | x) and the norm of the gradient of the mean code length."""
    built = network(fusion, channels)
    levels = random_levels((3, channels, 9, 8), seed=2)
    labels = torch.tensor([0, 1, 2])
    log_prob = built(levels, labels).log_prob(levels)
    pixelbayes.bits_per_dim(log_prob, built.config.dims).mean().backward()
    gradients = [p.grad for p in built.parameters() if p.grad is not None]
    classifier = pixelbayes.BayesClassifier(built, temperature=3.0)
    return {
        "log_prob": log_prob.tolist(),
        "log_likelihoods": classifier.log_likelihoods(levels).tolist(),
        "log_posterior": classifier.predict_log_proba(levels).tolist(),
        "gradient_norm": sqrt(sum(float(g.square().sum()) for g in gradients)),
    }


def stored_config(folder: Path) -> pixelbayes.PixelCNNConfig:
    """Of a checkpoint folder, or of the best checkpoint of a run directory."""
    best = folder / "best"
    description = read_json((best if best.is_dir() else folder) / "model.json")
    return pixelbayes.PixelCNNConfig(**description["config"])


def checkpoint_likelihoods(folder: Path) -> dict[str, Any]:
    """What a stored network says of random levels, and what is stored with it."""
    model = pixelbayes.load(folder)
    config = stored_config(folder)
    levels = random_levels((3, config.channels, *config.image_size), seed=3)
    return {
        "classes": list(model.classes),
        "temperature": model.temperature,
        "log_likelihoods": model.classifier().log_likelihoods(levels).tolist(),
        "log_prob": model.score_samples(levels).tolist(),
    }


def likelihoods() -> Any:
    return {
        "shipped": shipped_likelihoods(),
        "networks": {
            f"{fusion}-{channels}": network_likelihoods(fusion, channels)
            for fusion in FUSIONS
            for channels in (1, 3)
        },
        "checkpoints": {
            "/".join(folder.parts[-2:]): checkpoint_likelihoods(folder)
            for folder in [*CHECKPOINTS, RUN]
        },
    }


# Generated images


def small_levels(folder: Path) -> list[Any]:
    model = pixelbayes.load(folder)
    return model.sample([0, 1], generator=7, output_type="levels").tolist()


def levels() -> Any:
    return {"/".join(folder.parts[-2:]): small_levels(folder) for folder in [*CHECKPOINTS, RUN]}


def shipped_levels() -> Any:
    """Two classes, the lower quarter of the images: what the shipped model draws in float32."""
    model = pixelbayes.load(SHIPPED)
    given = random_levels((2, 3, 32, 32), seed=4)
    mask = (torch.arange(32) >= 24)[:, None].expand(32, 32)
    drawn = model.complete(given, ["koala", "pizza"], mask=mask, generator=7, output_type="levels")
    sample = model.sample("koala", generator=7, output_type="levels")
    return {"sample": sample.tolist(), "completion": drawn.tolist()}


# The command line


def call(*arguments: str, status: int = 0) -> str:
    """Runs a command line in this process and returns what it writes to stdout."""
    stdout = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="1000"), contextlib.redirect_stdout(stdout):
        found = command_line(arguments)
    assert found == status, f"pixelbayes {' '.join(arguments)}: exit status {found}"
    return stdout.getvalue()


def option_texts(command: str) -> dict[str, str]:
    """The help of each option by its long names, whatever library has printed it."""
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in call(command, "--help").splitlines():
        words = " ".join(line.strip(" \t│|*").split())
        if re.match(r"-|[A-Z][A-Z_-]* -", words):
            beginning = re.match(r"((-[-\w]+|[A-Z][\w|-]*|\{[^}]*\})[,\s]*)+", words)
            assert beginning is not None
            names = re.findall(r"(?<!\S)--[a-z][\w-]*", beginning[0])
            texts |= dict.fromkeys(names, "")
        elif not line.startswith((" ", "│", "|")):
            names = []
        for name in names:
            texts[name] += f" {words}"
    return texts


def default_of(text: str) -> str | None:
    """The default that the help of an option shows."""
    found = re.search(r"[\[(]default: ([^\])]*)[\])]", text)
    return None if found is None else found[1].strip()


def options() -> Any:
    return {
        command: {name: default_of(text) for name, text in option_texts(command).items()}
        for command in COMMANDS
    }


class _ParserFound(Exception):  # noqa: N818
    """Ends a script where it would parse its command line."""


def script_flags(script: str) -> dict[str, Any]:
    """Flags of a course script with default and choices."""
    found: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        found.append(parser)
        raise _ParserFound

    path = ROOT / "course" / f"{script}.py"
    with (
        mock.patch.object(sys, "argv", [str(path)]),
        mock.patch.object(sys, "path", [str(path.parent), *sys.path]),
        mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
        contextlib.suppress(_ParserFound),
    ):
        runpy.run_path(str(path), run_name="__main__")
    sys.modules.pop("course_data", None)
    return {
        flag: {
            "default": None if action.default is None else str(action.default),
            "choices": None if action.choices is None else list(action.choices),
        }
        for action in found[0]._actions
        for flag in action.option_strings
    }


def scripts() -> Any:
    return {script: script_flags(script) for script in SCRIPTS}


# Files


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a JSON value with their paths."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flattened(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from flattened(inner, f"{path}[{number}]")
    else:
        yield path, value


def kinds(value: Any) -> dict[str, list[str]]:
    """Key paths of a JSON value, elements of a list under one path, with the types found."""
    found: dict[str, set[str]] = {}
    for path, leaf in flattened(value):
        found.setdefault(re.sub(r"\[\d+\]", "[]", path), set()).add(_kind(leaf))
    return {path: sorted(types) for path, types in sorted(found.items())}


def _kind(leaf: Any) -> str:
    names: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "text"}
    return names.get(type(leaf), "nothing")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def tiny_files() -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains, evaluates and studies tiny models.

    Returns:
        Content of the JSON files by name, and the configuration of the training.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        call(*TRAIN, "--output", str(folder / "run"))
        call("evaluate", str(folder / "run"), "--samples-per-class", "1", "--quiet")
        (folder / "tiny.yaml").write_text(STUDY, encoding="utf-8")
        call("study", str(folder / "tiny.yaml"), "--output", str(folder / "study"), "--quiet")
        runs = {"pixelcnn": folder / "run", "resnet18": folder / "study/resnet18/seed-0"}
        contents = {
            f"{kind}/{file}": read_json(run / file)
            for kind, run in runs.items()
            for file in ("run.json", "best/model.json")
        }
        contents["pixelcnn/report.json"] = read_json(folder / "run" / "report.json")
        contents["pixelcnn/result.json"] = read_json(folder / "study/gated/seed-0/result.json")
        contents["resnet18/result.json"] = read_json(folder / "study/resnet18/seed-0/result.json")
        contents["study.json"] = read_json(folder / "study" / "study.json")
        config = yaml.safe_load((folder / "run" / "config.yaml").read_text(encoding="utf-8"))
        return contents, config


def files() -> Any:
    contents, config = tiny_files()
    return {
        "keys": {name: kinds(content) for name, content in contents.items()},
        "train_config": dict(flattened(config)),
    }


def run_evaluation(folder: Path) -> dict[str, Any]:
    """What `evaluate --output` measures of the run in `run-0.1`."""
    call("evaluate", str(RUN), "--output", str(folder), "--samples-per-class", "1", "--quiet")
    report = read_json(folder / "report.json")
    return {
        "temperature": report["temperature"],
        **{
            f"{split}.{measure}": result[measure]["value"]
            for split, result in report["splits"].items()
            for measure in ("accuracy", "bits_per_dim")
        },
    }


def run_prediction(folder: Path) -> list[dict[str, str]]:
    """The table of `predict` for two images, by the run in `run-0.1`."""
    for number, image in enumerate(random_levels((2, 8, 8), seed=6)):
        Image.fromarray(image.numpy()).save(folder / f"{number}.png")
    table = folder / "predictions.csv"
    call("predict", str(RUN), str(folder), "--output", str(table), "--quiet")
    with table.open(newline="", encoding="utf-8") as file:
        return [{**row, "path": Path(row["path"]).name} for row in csv.DictReader(file)]


def run() -> Any:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        return {"evaluate": run_evaluation(Path(one)), "predict": run_prediction(Path(two))}


# Published results


def digest(numbers: list[str]) -> dict[str, Any]:
    joined = "\n".join(sorted(numbers))
    return {"numbers": len(numbers), "sha256": hashlib.sha256(joined.encode()).hexdigest()}


def json_numbers(path: Path) -> list[str]:
    """Each number with its key path."""
    return [
        f"{place} {float(leaf)!r}"
        for place, leaf in flattened(read_json(path))
        if isinstance(leaf, int | float) and not isinstance(leaf, bool)
    ]


def table_numbers(path: Path) -> list[str]:
    """The numbers in the rows of the tables of a Markdown or LaTeX file, or in a CSV file."""
    row = {".md": r"\s*\|", ".tex": r".*&", ".csv": ""}[path.suffix]
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(row, line)]
    return [number for line in lines for number in re.findall(r"\d+(?:\.\d+)?", line)]


def result_digest(path: Path) -> dict[str, Any]:
    return digest(json_numbers(path) if path.suffix == ".json" else table_numbers(path))


def results() -> Any:
    suffixes = {".json", ".md", ".tex", ".csv"}
    paths = sorted(path for path in RESULTS.rglob("*") if path.suffix in suffixes)
    return {path.relative_to(RESULTS).as_posix(): result_digest(path) for path in paths}


RECORDED: dict[str, Callable[[], Any]] = {
    "likelihoods": likelihoods,
    "levels": levels,
    "shipped_levels": shipped_levels,
    "options": options,
    "scripts": scripts,
    "files": files,
    "run": run,
    "results": results,
}
"""Each golden file with what it records."""


def golden(name: str) -> Any:
    """What was recorded."""
    return read_json(GOLDENS / f"{name}.json")


def main() -> None:
    """Writes the goldens that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECORDED))
    chosen = parser.parse_args().names or list(RECORDED)
    if unknown := set(chosen) - set(RECORDED):
        parser.error(f"no golden {', '.join(sorted(unknown))}; choose from: {', '.join(RECORDED)}")
    torch.set_num_threads(1)
    GOLDENS.mkdir(exist_ok=True)
    for name in chosen:
        indent = None if name.endswith("levels") else 1
        text = json.dumps(RECORDED[name](), indent=indent, ensure_ascii=False)
        (GOLDENS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        sys.stderr.write(f"written: {name}.json\n")


if __name__ == "__main__":
    main()
