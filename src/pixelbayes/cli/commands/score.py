"""`pixelbayes score`."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device
from pixelbayes.cli.commands.model import leading_model, load_model, require_images
from pixelbayes.cli.commands.rows import (
    STDOUT,
    Destination,
    Formats,
    tell_left_out,
    tell_unlike,
)
from pixelbayes.cli.options import command, listed

if TYPE_CHECKING:
    from pixelbayes.workflows.score import Score

__all__ = ["app", "score"]

UNLIKE = "unlike the training data"
SMALLEST = 2  # images of which a mean has an interval
EXAMPLES = """
  pixelbayes score photo.jpg
  pixelbayes score runs/demo photos/ --class 3,7 --output scores.csv
  pixelbayes score photos/ --class all --json
"""


def score(
    *paths: str,
    model: str | None = None,
    class_: list[str] | None = None,
    format_: Formats | None = None,
    json: bool = False,
    output: Path = STDOUT,
    overwrite: bool = False,
    resume: bool = False,
    skip_bad_files: bool = False,
    device: Device = "auto",
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Says for each image file how likely it is: log p(x) in nats, and bits per dimension.

    p(x) is the mixture of all classes by their prior; with --class there is p(x | class) as well.
    Fewer bits are likelier.  Bits per dimension compare images of one size only, and smooth images
    take few whatever they show.

    On a terminal it is a table; in a pipe or a file CSV, with the columns path, log_likelihood,
    bits_per_dim, unlike_training, and for each class of --class class_log_likelihood[NAME] and
    class_bits_per_dim[NAME].  Rows are written while they are computed, to FILE.partial until all
    are there.

    Args:
        paths: Image files, folders, and CSV tables of paths; - is standard input, an image or a
            list of paths.  Without --model, the first may be the model: a run directory, a
            checkpoint folder or the name of a shipped model.
        model: Run directory, checkpoint folder or name of a shipped model (default:
            cpen455-gated, which is shipped).
        class_: Class to score under as well, by name or index; may be repeated, or a list with
            commas; all: every class.
        format_: How rows are written (default: table on a terminal, else by the suffix of --output,
            else csv).
        json: The same as --format json.
        output: File to write; - is stdout.
        overwrite: Replace an earlier table of scores; other files are never replaced.
        resume: Go on with the file of a call that was stopped; its rows are not computed again.
        skip_bad_files: Leave out files that cannot be read, and name them on stderr.
        device: Where the model runs; auto takes a GPU if there is one.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    import torch

    from pixelbayes.evaluation import mean_estimate
    from pixelbayes.models.prediction import UNIFORM
    from pixelbayes.workflows.outputs import Kind
    from pixelbayes.workflows.processes import OtherProcessError, joined_processes
    from pixelbayes.workflows.score import chosen_classes, record_of, scoring

    destination: Destination[Score] = Destination.of(
        output, format_, json=json, kind=Kind.SCORES, overwrite=overwrite, resume=resume
    )
    named, given = leading_model(model, paths)
    require_images(given, named, "score")
    with joined_processes() as processes:
        try:
            loaded = load_model(
                named, device, density=True, verbose=verbose, tell=processes.is_first
            )
            classes = chosen_classes(loaded, listed(class_))
            inputs, files = destination.files(loaded, given, processes, skip_bad=skip_bad_files)
            bits: array[float] = array("d")
            unlike = 0

            def seen(row: Score) -> None:
                nonlocal unlike
                bits.append(row.bits_per_dim)
                unlike += bool(row.unlike_training)

            answered = destination.answer(
                files,
                "scoring",
                scoring(loaded, classes),
                record=record_of,
                people=_table(inputs.images, [loaded.classes[index] for index in classes]),
                seen=seen,
                quiet=quiet,
            )
        except OtherProcessError:
            return 0  # the first process tells why, and fails
    if not processes.is_first:
        return 0
    tell_left_out(inputs, answered)
    tell_unlike(loaded, answered, unlike, sum(number > UNIFORM for number in bits))
    if len(bits) >= SMALLEST:
        most = "" if loaded.is_exact else " (an upper bound)"
        these = "" if answered.rows == len(bits) else " of the rows of this call"
        mean = mean_estimate(torch.tensor(bits), "bits/dim")
        terminal.note(f"mean under p(x){these}{most}: {mean}")
    if output != STDOUT:
        terminal.note(f"{answered.rows} images scored; written: {output}")
    return 0


def _table(images: Sequence[Path], classes: Sequence[str]) -> Callable[[Sequence[Score]], None]:
    """Shows scores to people: bits per dimension, nats, and bits under each class asked for."""
    header = ["file", "bits/dim", "log p(x), nats", *classes]
    widths = [max(len(str(path)) for path in images), 0, 0, *[len("0.000")] * len(classes)]
    table = terminal.LiveTable(header, widths, range(1, len(header)))

    def row(score: Score) -> list[str]:
        return [
            str(score.path),
            f"{score.bits_per_dim:.3f}",
            f"{score.log_likelihood:.1f}",
            *(f"{bits:.3f}" for _, bits in score.of_classes.values()),
        ]

    def remark(score: Score) -> str:
        return UNLIKE if score.unlike_training else ""

    return lambda scores: table.show(map(row, scores), map(remark, scores))


app = partial(command, score, usage="[OPTIONS] [MODEL] PATH...", examples=EXAMPLES)
