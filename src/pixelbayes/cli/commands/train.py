"""`pixelbayes train`."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Accelerator, Device, accelerator_of
from pixelbayes.cli.options import UsageError, command, configured
from pixelbayes.workflows.runs import Run, RunConfig
from pixelbayes.workflows.shipped import find_shipped

__all__ = ["app", "train"]

RUNS = Path("runs")
EXAMPLES = """
  pixelbayes train --data folder:photos --image-size 32x32 --config classifier
  pixelbayes train --config runs/a/config.yaml --seed 1 --name b
  pixelbayes train --resume runs/a
"""


def train(
    *,
    config: str | None = None,
    name: str | None = None,
    output: Path | None = None,
    resume: Path | None = None,
    device: Device | None = None,
    accelerator: Accelerator | None = None,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    **settings: Any,
) -> int:
    """Trains a model and keeps everything about it in a run directory.

    The directory holds config.yaml, metrics.csv, TensorBoard logs, and the checkpoints best/ and
    last/.  Ctrl-C stops after the current step and keeps the state for --resume.

    Args:
        config: YAML file with settings, such as the config.yaml of a run, or the name of a
            recipe: classifier, density or resnet18; options given here come before it.
        name: Name of the run: the directory is runs/NAME; by default DATA-FUSION-SEED.
        output: The run directory itself, instead of --name.
        resume: Run directory to continue; its own config.yaml counts.
        device: Where to train; auto takes a GPU if there is one (default: auto).
        accelerator: The old name of --device: auto, cpu or gpu.
        json: Print what was written as JSON.
        quiet: Show no progress.
        verbose: Show the whole configuration, and where an error came from.
        **settings: Fields of the parts of a `RunConfig`.
    """
    from pixelbayes.training.errors import RunStopped
    from pixelbayes.workflows.train import train as run_training

    if resume is not None:
        own = {"--config": config, "--name": name, "--output": output}
        for flag, value in own.items():
            if value is not None:
                raise UsageError(f"--resume continues a run in its own directory; leave out {flag}")
        run_dir, base = resume, Run.open(resume).config
    else:
        base = RunConfig() if config is None else RunConfig.read(find_shipped("train", config))
    if (named := accelerator_of(device, accelerator)) is not None:
        settings["accelerator"] = named
    resolved = _configuration(base, settings)
    if resume is None:
        run_dir = _directory(resolved, name, output)
    if verbose:
        terminal.note(f"run: {run_dir}\n{resolved.to_yaml()}".rstrip())
    try:
        run = run_training(
            resolved,
            run_dir,
            resume=resume is not None,
            progress=not quiet,
            note=terminal.note,
        )
    except RunStopped as stopped:
        terminal.note(f"stopped after step {stopped.step}; {_how_to_resume(run_dir)}")
        if json:
            _show(Run.open(run_dir), json=True)
        return 0 if stopped.reason == "max_time" else 130
    except KeyboardInterrupt:
        terminal.note(f"interrupted; {_what_is_kept(run_dir)}")
        return 130
    from pixelbayes.training.engine import is_first_process

    if not is_first_process():  # of those that train together, one speaks
        return 0
    _show(run, json=json)
    return 0


def _configuration(base: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """The configuration with the options of the command line put in."""
    kind = settings.pop("model_kind", base.model)
    if kind != base.model:  # which has other settings of the network
        base = replace(base, model=kind, network=None)
    config = configured(base, settings)
    # Now, not after the data are loaded: these values are checked where a network is described.
    config.kind.check(config.network)
    return config


def _directory(config: RunConfig, name: str | None, output: Path | None) -> Path:
    if output is not None:
        if name is not None:
            raise UsageError("--output is the whole directory, --name a name in runs/; give one")
        return output
    if name is None:
        data = re.sub(r"[^\w.-]+", "-", config.data.data).strip("-.")
        name = f"{data}-{config.fusion or config.model}-{config.seed}"
    elif not name or Path(name).name != name or name == "..":
        raise UsageError(f"--name is one word, got {name!r}; a path goes to --output")
    return RUNS / name


def _show(run: Run, *, json: bool) -> None:
    """Says what was written, and of the data what was decided and left out."""
    from pixelbayes.data import data_remarks

    if json:
        there = {it.name: str(it) if it.is_dir() else None for it in (run.best, run.last)}
        terminal.show_json({"run": str(run.path), **there, "status": run.info.get("status")})
        return
    for sentence in data_remarks(run.info.get("data", {})):
        terminal.show_text(f"note: {sentence}")
    terminal.show_text(f"written: {run.path}")
    terminal.show_text(f"next: pixelbayes evaluate {shlex.quote(str(run.path))}")


def _what_is_kept(run_dir: Path) -> str:
    from pixelbayes.training.callbacks.recording import RESUME
    from pixelbayes.workflows.runs import INFO

    if not (run_dir / INFO).is_file():
        return "it had not begun, and nothing is kept"
    kept = "the last state that was saved" if (run_dir / RESUME).is_file() else "the start"
    return f"from {kept} on, {_how_to_resume(run_dir)}"


def _how_to_resume(run_dir: Path) -> str:
    return f"to resume: pixelbayes train --resume {shlex.quote(str(run_dir))}"


app = partial(command, train, examples=EXAMPLES, configuration=RunConfig, without=("accelerator",))
