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
from pixelbayes.models.decisions import UNLIKE_BY, Decisions
from pixelbayes.models.hub import DEFAULT, DENSITY, MODEL_CARD, PRETRAINED
from pixelbayes.models.storage import DESCRIPTION, WEIGHTS
from pixelbayes.report import Report, results_rows, temperature_sentence
from pixelbayes.report import load as load_report
from pixelbayes.workflows.outputs import Kind, require_free
from pixelbayes.workflows.runs import Run, RunConfig

__all__ = ["BUDGET", "PublishError", "card", "publish"]

BUDGET = 8_000_000  # bytes of all shipped models: a wheel is downloaded by everybody
NAME = r"[a-z0-9][a-z0-9-]*"
MACHINE_ONLY = ("machine", "command")  # of the provenance; `platform` is among the versions
FOLDERS = ("--data-dir", "--output")  # options that say nothing to anyone else
ROLES = {
    DEFAULT: "This is the classifier that `pixelbayes.load()`, `pixelbayes predict`, `explain` and "
    f"`app` use where no model is named; to draw, complete, score and compress it is {DENSITY}.",
    DENSITY: "This is the density that `pixelbayes sample`, `complete`, `score` and `compress` use "
    f"where no model is named; `pixelbayes.load()` and `predict` mean the classifier, {DEFAULT}.",
}
LIMITS = """\
* It knows {classes} and nothing else: to any other picture it gives one of
  these classes. Code length (`bits_per_dim`) is no reliable alarm, because smooth pictures of
  anything have short codes.
* Images are seen at {rows} x {columns} pixels; what is smaller than a pixel there is lost.
* The posterior of a likelihood model is overconfident without the temperature that is stored
  with it.
* The licence of the training images is that of their source; no image is in the weights' folder,
  though a model of this kind may have memorised parts of some."""


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
    if report.temperature not in (None, model.temperature):
        raise PublishError(
            f"report.json of {run.path} was made with temperature {report.temperature}, best/ has "
            f"{model.temperature}: the weights changed since; evaluate the run again"
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
    rows, columns = model.image_size
    classes = ", ".join(model.classes)
    counts = report.data.get("splits", {})
    images = ", ".join(f"{split['images']} {label}" for label, split in counts.items())
    first = shlex.quote(model.classes[0])
    use = f"pixelbayes predict --model {name} photo.jpg"
    if model.can_sample:
        use += f"\npixelbayes sample --model {name} --class {first}"
    facts = [f"| {key} | {value} |" for key, value in plain(model.describe()).items()]
    sections = [
        f"# {name}",
        f"{model.summary} of {rows} x {columns} images of {len(model.classes)} classes "
        f"({classes}).",
        *([ROLES[name]] if name in ROLES else []),
        "## Use",
        f'```python\nimport pixelbayes\n\nmodel = pixelbayes.load("{name}")\n```',
        f"```sh\n{use}\n```",
        "## Network",
        "\n".join(["| | |", "|---|---|", *facts]),
        "## Data",
        f"`{run.config.data.data}`{f' ({images} images)' if images else ''}, brought to "
        f"{rows} x {columns} by the {model.resize.filter} filter ({model.resize.geometry}) and "
        "rounded to levels.",
        "## Training",
        _training(run, about),
        f"```sh\n{_portable_command(str(about.get('command', '')))}\n```",
        f"All settings, to be given with `--config`:\n\n```yaml\n{_portable_yaml(run)}```",
        "## Results",
        _results(report),
        *_decisions(model.decisions),
        "## Limits",
        LIMITS.format(classes=classes, rows=rows, columns=columns),
    ]
    return "\n\n".join(part.rstrip() for part in sections) + "\n"


def _training(run: Run, about: Mapping[str, Any]) -> str:
    versions = about.get("versions", {})
    facts = {
        "seed": run.config.seed,
        "best epoch": about.get("epoch"),
        "steps": about.get("step"),
        "commit": about.get("commit"),
        "date": about.get("date"),
        **{key: versions.get(key) for key in ("pixelbayes", "torch")},
        "processor": about.get("machine", {}).get("cpu"),
        "accelerators": ", ".join(about.get("machine", {}).get("gpus", ())) or None,
    }
    lines = [f"| {key} | {value} |" for key, value in facts.items() if value is not None]
    return "\n".join(["| | |", "|---|---|", *lines])


def _results(report: Report) -> str:
    header, rows = results_rows(report)
    lines = [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]
    parts = ["\n".join(lines), "Intervals are 95 %."]
    if report.temperature is not None:
        parts[1] += f" {temperature_sentence(report)}"
    return "\n\n".join([*parts, "\n".join(f"* {note}" for note in report.notes)]).rstrip()


def _decisions(decisions: Decisions | None) -> list[str]:
    """What `pixelbayes calibrate` stored, as far as a reader wants to know it."""
    if decisions is None:
        return []
    facts = [
        f"Fitted by `pixelbayes calibrate` on {decisions.n} images ({decisions.calibrated_on}) and "
        "stored with the model:"
    ]
    if decisions.sets:
        facts.append(
            "* thresholds of sets that hold the true class with a stated probability, up to "
            f"{decisions.largest_coverage:.0%} (`{'`, `'.join(decisions.sets)}`), at temperature "
            f"{decisions.temperature:.4g};"
        )
    facts += [
        f"* outlier score `{name}`: strange above {rule.threshold:.6g}; "
        f"{rule.estimate.brief} of images like these are called strange by mistake;"
        for name, rule in decisions.outliers.items()
    ]
    if decisions.outliers:
        facts.append(
            f"* `unlike_training` of a prediction goes by `{UNLIKE_BY}`: log p(x) further than its "
            f"threshold from {decisions.typical_log_prob:.6g} nats, either way."
        )
    return ["## Decisions", facts[0], "\n".join(facts[1:])]


def _portable(provenance: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    """The provenance without what only its machine has."""
    kept = {key: value for key, value in provenance.items() if key not in MACHINE_ONLY}
    if "versions" in kept:
        kept["versions"] = {k: v for k, v in kept["versions"].items() if k != "platform"}
    if "command" in provenance:
        kept["command"] = _portable_command(str(provenance["command"]))
    settings = replace(config, data=replace(config.data, data_dir=None))
    return {**kept, "config": plain(settings)}


def _portable_command(command: str) -> str:
    """The command line without absolute paths: of other words than folders the last part stays.

    >>> _portable_command("__main__.py train --data-dir /home/me/cpen455 --lr 0.002")
    'pixelbayes train --lr 0.002'
    >>> _portable_command("/opt/bin/pixelbayes train --resume /home/me/runs/a")
    'pixelbayes train --resume a'
    """
    words, kept = shlex.split(command)[1:], ["pixelbayes"]
    for flag, word in zip(["", *words], words, strict=False):
        absolute = PurePath(word).is_absolute()
        if absolute and flag in FOLDERS:
            kept.pop()
        else:
            kept.append(PurePath(word).name if absolute else word)
    return shlex.join(kept)


def _portable_yaml(run: Run) -> str:
    return replace(run.config, data=replace(run.config.data, data_dir=None)).to_yaml()


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
