"""Publish: the best model of a run becomes part of the package, with a card that describes it.

    python -m pixelbayes.workflows.publish runs/NAME cpen455-gated

The weights stay float32, so that the shipped model gives the log-likelihoods that the report of
the run was made with, to the last bit.  What a run records about the machine and its folders
stays behind.

References:
    [1] Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
        https://arxiv.org/abs/1810.03993
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from pixelbayes.errors import PixelBayesError
from pixelbayes.io import plain, write_whole
from pixelbayes.models import Model, load_model
from pixelbayes.models.decisions import UNLIKE_BY
from pixelbayes.models.hub import DEFAULT, DENSITY, MODEL_CARD, PRETRAINED
from pixelbayes.models.storage import DESCRIPTION, WEIGHTS, weights_sha256
from pixelbayes.report import Report, results_rows, temperature_sentence
from pixelbayes.report import load as load_report
from pixelbayes.templates import environment
from pixelbayes.workflows.outputs import Kind, require_free
from pixelbayes.workflows.runs import Run, RunConfig

__all__ = ["BUDGET", "PublishError", "card", "publish"]

BUDGET = 8_000_000  # bytes of all shipped models: a wheel is downloaded by everybody
NAME = r"[a-z0-9][a-z0-9-]*"
MACHINE_ONLY = ("machine", "command")  # of the provenance; `platform` is among the versions
FOLDERS = ("--data-dir", "--output")  # options that say nothing to anyone else
FOLDERS_OF_A_PATH = re.compile(r"(?<![\w./\\])(?:[A-Za-z]:[\\/]|/)(?:[^\s/\\]+[\\/])+")
ROLES = {
    DEFAULT: "This is the classifier that `pixelbayes.load()`, `pixelbayes predict`, `explain` and "
    f"`app` use where no model is named; to draw, complete, score and compress it is {DENSITY}.",
    DENSITY: "This is the density that `pixelbayes sample`, `complete`, `score` and `compress` use "
    f"where no model is named; `pixelbayes.load()` and `predict` mean the classifier, {DEFAULT}.",
}


class PublishError(PixelBayesError):
    """A run cannot be shipped as it is, with the reason and what to do."""


def publish(
    run_dir: str | Path, name: str, *, folder: Path | None = None, overwrite: bool = False
) -> Path:
    """Copies the best checkpoint of an evaluated run into the package and writes its card.

    Args:
        run_dir: Run directory with best/ and report.json.
        name: What users will call the model: lower-case letters, digits and hyphens.
        folder: Where shipped models are; None: in this package.
        overwrite: Replaces a model of this name.

    Returns:
        The folder of the shipped model.

    Raises:
        PublishError: If the name is none, the run has not been evaluated with these weights, or
            all shipped models together would exceed `BUDGET`.
        OutputExistsError: If there is a model of this name, unless `overwrite` is given, or what
            is there is none.
        RunError, CheckpointError, ReportError: If a part of the run cannot be read.
    """
    folder = PRETRAINED if folder is None else folder
    if not re.fullmatch(NAME, name):
        raise PublishError(
            f"the name of a model is lower-case letters, digits and hyphens, got {name!r}"
        )
    require_free(folder / name, Kind.MODEL, overwrite=overwrite, option="name")
    run = Run.open(run_dir)
    model = load_model(run.best)
    try:
        report = load_report(run.path)
    except FileNotFoundError as error:
        raise PublishError(
            f"{run.path} has no report.json, and a card states results; run "
            f"'pixelbayes evaluate {run.path}' first"
        ) from error
    weights = weights_sha256(run.best)
    measured = report.provenance.get("weights_sha256", weights)  # unknown of older reports
    if measured != weights or report.temperature not in (None, model.temperature):
        raise PublishError(
            f"report.json of {run.path} is about another model than best/ (temperatures "
            f"{report.temperature} and {model.temperature}): the weights changed since; evaluate "
            "the run again"
        )
    size = (run.best / WEIGHTS).stat().st_size + (run.best / DESCRIPTION).stat().st_size
    others = sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and folder / name not in path.parents
    )
    if size + others > BUDGET:
        raise PublishError(
            f"{size / 1e6:.1f} MB of {run.best} and {others / 1e6:.1f} MB shipped already exceed "
            f"{BUDGET / 1e6:.0f} MB; ship a smaller network, or remove a model from {folder}"
        )
    portable = replace(model.metadata, provenance=_portable(model.metadata.provenance, run.config))
    model.with_metadata(portable).save(folder / name)
    write_whole(folder / name / MODEL_CARD, card(name, model, run, report))
    return folder / name


def card(name: str, model: Model, run: Run, report: Report) -> str:
    """Describes a shipped model in Markdown: use, data, training, results, limits (see [1]).

    Args:
        name: What the model is called.
        model: The best model of the run.
        run: The run that it was trained in.
        report: Its evaluation.
    """
    about = model.metadata.provenance
    counts = report.data.get("splits", {})
    header, results = results_rows(report)
    rows, columns = model.image_size
    config = _without_folder(run.config)
    return (
        environment("pixelbayes.models", str)
        .get_template("pretrained.md.jinja")
        .render(
            name=name,
            model=model,
            role=ROLES.get(name),
            rows=rows,
            columns=columns,
            first_class=shlex.quote(model.classes[0]),
            network=plain(model.describe()),
            data=config.data.data,
            images=", ".join(f"{split['images']} {label}" for label, split in counts.items()),
            training=_training(run, about),
            command=_portable_command(str(about.get("command", ""))),
            init_from=config.training.init_from,
            settings=config.to_yaml(),
            header=header,
            results=results,
            temperature=None if report.temperature is None else temperature_sentence(report),
            notes=_without_places(report.notes),
            decisions=model.decisions,
            unlike_by=UNLIKE_BY,
        )
    )


def _training(run: Run, about: Mapping[str, Any]) -> dict[str, Any]:
    versions, machine = about.get("versions", {}), about.get("machine", {})
    facts = {
        "seed": run.config.seed,
        "best epoch": about.get("epoch"),
        "steps": about.get("step"),
        "commit": about.get("commit"),
        "date": about.get("date"),
        **{key: versions.get(key) for key in ("pixelbayes", "torch")},
        "processor": machine.get("cpu"),
        "accelerators": ", ".join(machine.get("gpus", ())) or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _without_folder(config: RunConfig) -> RunConfig:
    """The settings without where data and models lie on this machine."""
    training = config.training
    return replace(
        config,
        data=replace(config.data, data=_without_place(config.data.data), data_dir=None),
        training=replace(
            training,
            init_from=training.init_from and _without_place(training.init_from),
            teacher=training.teacher and _without_place(training.teacher),
        ),
    )


def _portable(provenance: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    """The provenance without what only its machine has."""
    kept = {key: value for key, value in provenance.items() if key not in MACHINE_ONLY}
    if "versions" in kept:
        kept["versions"] = {k: v for k, v in kept["versions"].items() if k != "platform"}
    if "command" in provenance:
        kept["command"] = _portable_command(str(provenance["command"]))
    if "data" in kept:
        kept["data"] = _without_places(kept["data"])
    return {**kept, "config": plain(_without_folder(config))}


def _portable_command(command: str) -> str:
    """The command line without absolute paths: of other words than folders the last part stays.

    >>> _portable_command("__main__.py train --data-dir /home/me/cpen455 --lr 0.002")
    'pixelbayes train --lr 0.002'
    >>> _portable_command("/opt/bin/pixelbayes train --resume /home/me/runs/a")
    'pixelbayes train --resume a'
    >>> _portable_command("pixelbayes train --data folder:/home/me/owls --init-from=/home/me/a")
    'pixelbayes train --data folder:owls --init-from=a'
    """
    words, kept = shlex.split(command)[1:], ["pixelbayes"]
    for flag, word in zip(["", *words], words, strict=False):
        option, _, value = word.partition("=")
        if flag in FOLDERS and PurePath(word).is_absolute():
            kept.pop()
        elif not (option in FOLDERS and PurePath(value).is_absolute()):
            kept.append(_without_place(word))
    return shlex.join(kept)


def _without_place(text: str) -> str:
    """The last part of an absolute path, also of one behind `folder:` or `--option=`."""
    start = re.match(r"(--?[\w-]+=)?((folder|csv|npz):)?", text)
    path = PurePath(text[start.end() :] if start else text)
    return f"{start[0] if start else ''}{path.name}" if path.is_absolute() and path.name else text


def _without_places(content: Any) -> Any:
    """Every text in plain values without the folders of absolute paths."""
    if isinstance(content, Mapping):
        return {key: _without_places(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_places(value) for value in content]
    if isinstance(content, str):
        return FOLDERS_OF_A_PATH.sub("", content)
    return content


def _main() -> None:
    import argparse
    import sys

    parser = argparse.ArgumentParser(
        prog="python -m pixelbayes.workflows.publish",
        description="Puts the best model of an evaluated run into the package, with a model card.",
    )
    parser.add_argument("run", type=Path, help="run directory with best/ and report.json")
    parser.add_argument("name", help="what users will call the model")
    parser.add_argument("--overwrite", action="store_true", help="replace a model of this name")
    given = parser.parse_args()
    try:
        folder = publish(given.run, given.name, overwrite=given.overwrite)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    sys.stdout.write(f"written: {folder}\n")


if __name__ == "__main__":
    _main()
