"""`pixelbayes predict`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cyclopts import App

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device
from pixelbayes.cli.commands.model import leading_model, load_model
from pixelbayes.cli.options import UsageError, command

if TYPE_CHECKING:
    from pixelbayes.data import BadFile
    from pixelbayes.models import Prediction

__all__ = ["app", "predict"]

SHOWN = 10  # files that are named when many are left out
STDOUT = Path("-")
EXAMPLES = """
  pixelbayes predict photo.jpg
  pixelbayes predict runs/demo photos/ more.png --output predictions.csv
"""


def predict(
    *paths: str,
    model: str | None = None,
    output: Path = STDOUT,
    overwrite: bool = False,
    temperature: float | None = None,
    skip_bad_files: bool = False,
    device: Device = "auto",
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Classifies image files and writes one CSV row for each.

    The columns are path, class, index, bits_per_dim (code length under p(x)), and for each class
    log_posterior[NAME], log p(class | image), and log_likelihood[NAME], log p(image | class),
    both in nats per image.  Files are decoded before anything is written: if some cannot be
    read, they are listed and there is no table.

    Args:
        paths: Image files, folders, and CSV files with a column path (or paths in the first
            column).  Without --model, the first may be the model: a run directory, a
            checkpoint folder or the name of a shipped model.
        model: Run directory, checkpoint folder or name of a shipped model (default:
            cpen455-gated, which is shipped).
        output: CSV file to write; - is stdout.
        overwrite: Replace an earlier table of predictions; other files are never replaced.
        temperature: Divides log-likelihoods in Bayes' rule, above 0; 1 leaves them as they are
            (default: the one that evaluate fitted, else 1).
        skip_bad_files: Leave out files that cannot be read, and name them on stderr.
        device: Where the model runs; auto takes a GPU if there is one.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.data.inputs import Conversions
    from pixelbayes.workflows.outputs import Kind, require_free
    from pixelbayes.workflows.predict import UNIFORM, find_inputs, write_csv
    from pixelbayes.workflows.predict import predict as classify

    named, files = leading_model(model, paths)
    if not files:
        after = "" if named is None else f" after the model {named}"
        raise UsageError(
            f"no images: give files, folders or CSV tables{after}; see pixelbayes predict --help"
        )
    loaded = load_model(named, device, verbose=verbose)
    inputs = find_inputs(files)
    if output != STDOUT:
        read = [*map(Path, files), *inputs.images]
        require_free(output, Kind.PREDICTIONS, overwrite=overwrite, inputs=read)
    bad: list[BadFile] = []
    conversions = Conversions()
    unlike = 0

    def on_read(done: Conversions) -> None:
        nonlocal conversions
        conversions += replace(done, resized={})  # which is told of every model, and of each photo

    def counted(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        nonlocal unlike
        for row in predictions:
            unlike += row.bits_per_dim is not None and row.bits_per_dim > UNIFORM
            yield row

    sharing_terminal = output == STDOUT and sys.stdout.isatty()
    with terminal.Progress() as progress:
        predictions = classify(
            loaded,
            inputs.images,
            temperature=temperature,
            skip_bad=skip_bad_files,
            on_bad=bad.append,
            on_read=on_read,
            progress=None if quiet or sharing_terminal else progress,
        )
        with _table(output) as file:
            rows = write_csv(counted(predictions), loaded.classes, file)
    _tell("not classified, no image or hidden", inputs.others)
    _tell("left out, cannot be read", bad)
    for sentence in conversions.sentences():
        terminal.note(sentence)
    if unlike:
        terminal.note(
            f"unlike anything the model knows: {unlike} of {rows} images need more than "
            f"{UNIFORM:g} bits/dim, worse than uniform"
        )
    if output != STDOUT:
        terminal.note(f"{rows} images classified; written: {output}")
    return 0


@contextmanager
def _table(output: Path) -> Iterator[TextIO]:
    """Opens the output; a file appears whole or not at all."""
    if output == STDOUT:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
        yield sys.stdout
        return
    if output.exists() and not output.is_file():  # a pipe or a device cannot be replaced
        with output.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield file
        return
    from pixelbayes.io import replacing

    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(output) as partial,
        # surrogateescape: a file name need not be UTF-8, and is written as it is
        partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        yield file


def _tell(what: str, files: Sequence[object]) -> None:
    if files:
        terminal.note(f"{what} ({len(files)}):")
        for file in files[:SHOWN]:
            terminal.note(f"  {file}")
        if len(files) > SHOWN:
            terminal.note(f"  ... and {len(files) - SHOWN} more")


def app() -> App:
    """The command line of `predict`."""
    return command(predict, usage="[OPTIONS] [MODEL] PATH...", examples=EXAMPLES)
