"""`pixelbayes train`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.results import summary
from pixelbayes.cli.signatures import CommandParser, UsageError

if TYPE_CHECKING:
    from pixelbayes.workflows.runs import RunConfig

__all__ = ["main", "train"]

RUNS = Path("runs")
EPILOG = """
examples:

  pixelbayes train --data folder:photos --image-size 32x32 --fusion film
  pixelbayes train --config runs/a/config.yaml --seed 1 --name b    (a again, with another seed)
  pixelbayes train --resume runs/a                                  (a was stopped)
"""


def train(
    *,
    config: Path | None = None,
    name: str | None = None,
    output: Path | None = None,
    resume: Path | None = None,
    seed: int | None = None,
    quiet: bool = False,
    **settings: Any,
) -> int:
    """Trains a model and keeps everything about it in a run directory.

    The directory holds config.yaml, metrics.csv, TensorBoard logs, and the checkpoints best/ and
    last/.  Ctrl-C stops after the current step and keeps the state for --resume.

    Args:
        config: YAML file with settings, such as the config.yaml of a run; options given here
            come before it.
        name: Name of the run: the directory is runs/NAME; by default DATA-FUSION-SEED.
        output: The run directory itself, instead of --name.
        resume: Run directory to continue; its own config.yaml counts.
        seed: Of initial weights, order of the images and dropout (default: 0).
        quiet: Show no progress.
        **settings: Fields of the parts of a `RunConfig`.
    """
    from pixelbayes.training import RunStopped
    from pixelbayes.workflows.runs import Run, RunConfig
    from pixelbayes.workflows.train import train as run_training

    if resume is not None:
        for flag, value in (("--config", config), ("--name", name), ("--output", output)):
            if value is not None:
                raise UsageError(f"--resume continues a run in its own directory; leave out {flag}")
        run_dir, base = resume, Run.open(resume).config
    else:
        base = RunConfig() if config is None else RunConfig.read(config)
    resolved = _override(base, seed, settings)
    if resume is None:
        run_dir = _directory(resolved, name, output)
    try:
        run = run_training(resolved, run_dir, resume=resume is not None, progress=not quiet)
    except RunStopped as stopped:
        terminal.note(f"stopped after step {stopped.step}; {_how_to_resume(run_dir)}")
        return 0 if stopped.reason == "max_time" else 130
    except KeyboardInterrupt:
        terminal.note(f"interrupted; to go on from the last epoch: {_how_to_resume(run_dir)}")
        return 130
    from pixelbayes.training.engine import is_first_process

    if is_first_process():  # of those that train together, one speaks
        terminal.show_text(f"written: {run.path}")
        terminal.show_text(f"next: pixelbayes evaluate {shlex.quote(str(run.path))}")
    return 0


def main(argv: Sequence[str]) -> int:
    """Parses and runs; returns the exit status."""
    from pixelbayes.workflows.config import SECTIONS

    parser = CommandParser("pixelbayes train", summary(train), EPILOG)
    parser.add_function(train)
    for name, section in SECTIONS.items():
        parser.add_fields(section, name)
    return train(**parser.parse_given(argv))


def _override(base: RunConfig, seed: int | None, settings: dict[str, Any]) -> RunConfig:
    """The configuration with the options of the command line put in."""
    from pixelbayes.core import PixelCNNConfig
    from pixelbayes.workflows.config import SECTIONS

    sections = {}
    for section in SECTIONS:
        part = getattr(base, section)
        names = {field.name for field in fields(part)}
        sections[section] = replace(
            part, **{key: value for key, value in settings.items() if key in names}
        )
    # Now, not after the data are loaded: these values are checked where a network is described.
    PixelCNNConfig(classes=1, **asdict(sections["network"]))
    return replace(base, **sections, seed=base.seed if seed is None else seed)


def _directory(config: RunConfig, name: str | None, output: Path | None) -> Path:
    if output is not None:
        if name is not None:
            raise UsageError("--output is the whole directory, --name a name in runs/; give one")
        return output
    if name is None:
        data = re.sub(r"[^\w.-]+", "-", config.data.data).strip("-.")
        name = f"{data}-{config.network.fusion}-{config.seed}"
    elif Path(name).name != name or name == "..":
        raise UsageError(f"--name is one word, got {name!r}; a path goes to --output")
    return RUNS / name


def _how_to_resume(run_dir: Path) -> str:
    return f"to resume: pixelbayes train --resume {shlex.quote(str(run_dir))}"
