"""`pixelbayes predict`."""

from __future__ import annotations

from collections import Counter
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
from pixelbayes.cli.options import command

if TYPE_CHECKING:
    from pixelbayes.models import Model, Prediction
    from pixelbayes.workflows.predict import Questions

__all__ = ["app", "predict"]

SHOWN_CLASSES = 2  # of each image, in a table for people
LISTED_CLASSES = 5  # in JSON, as image classifiers do
UNLIKE, NOT_SURE = "unlike the training data", "(not sure)"
EXAMPLES = """
  pixelbayes predict photo.jpg
  pixelbayes predict runs/demo photos/ more.png --output predictions.csv
  pixelbayes predict photos/ --output predictions.csv --resume
  find . -name "*.jpg" | pixelbayes predict - --format jsonl
  torchrun --nproc-per-node 2 -m pixelbayes predict photos/ -o predictions.csv
"""


def predict(
    *paths: str,
    model: str | None = None,
    top_k: int | None = None,
    coverage: float | None = None,
    abstain_below: float | None = None,
    format_: Formats | None = None,
    json: bool = False,
    output: Path = STDOUT,
    overwrite: bool = False,
    resume: bool = False,
    temperature: float | None = None,
    skip_bad_files: bool = False,
    device: Device = "auto",
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Says for each image file which class it belongs to, and how sure that is.

    On a terminal it is a table; in a pipe or a file CSV, with the columns path, class, index,
    bits_per_dim (code length under p(x)), confidence, temperature, unlike_training, and for each
    class log_posterior[NAME], log p(class | image), and log_likelihood[NAME], log p(image | class),
    both in nats per image.  A model without likelihood, as a ResNet-18 or an ensemble, leaves
    bits_per_dim and log_likelihood empty, a class that the prior rules out its log_posterior.
    Percentages are probabilities at the temperature.

    Files are decoded before anything is written: if some cannot be read, they are listed and there
    is no table.  Rows are written while they are computed, to FILE.partial until all are there.

    Args:
        paths: Image files, folders, and CSV tables of paths; - is standard input, an image or a
            list of paths.  Without --model, the first may be the model: a run directory, a
            checkpoint folder or the name of a shipped model.
        model: Run directory, checkpoint folder or name of a shipped model (default:
            cpen455-onepass, which is shipped).
        top_k: Classes to name of each image, the most probable first (default: 2 in a table, 5 in
            JSON, 1 in CSV).
        coverage: Give for each image the classes among which the true one is with this probability,
            as calibrated ('pixelbayes calibrate'): one, several, or none.
        abstain_below: Give no class where the probability of the best one is less than this.
        format_: How rows are written (default: table on a terminal, else by the suffix of --output,
            else csv).
        json: The same as --format json.
        output: File to write; - is stdout.
        overwrite: Replace an earlier table of predictions; other files are never replaced.
        resume: Go on with the file of a call that was stopped; its rows are not computed again.
        temperature: Divides log-likelihoods in Bayes' rule, above 0; 1 leaves them as they are
            (default: the one that evaluate fitted, else 1).
        skip_bad_files: Leave out files that cannot be read, and name them on stderr.
        device: Where the model runs; auto takes a GPU if there is one.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.models.prediction import UNIFORM
    from pixelbayes.workflows.outputs import Kind
    from pixelbayes.workflows.predict import Questions, answering, record_of
    from pixelbayes.workflows.processes import OtherProcessError, joined_processes
    from pixelbayes.workflows.records import Format

    destination: Destination[Prediction] = Destination.of(
        output, format_, json=json, kind=Kind.PREDICTIONS, overwrite=overwrite, resume=resume
    )
    if top_k is None and destination.format in (Format.JSON, Format.JSONL):
        top_k = LISTED_CLASSES
    questions = Questions(top_k, abstain_below, coverage)
    named, given = leading_model(model, paths)
    require_images(given, named, "predict")
    with joined_processes() as processes:
        try:
            loaded = load_model(named, device, verbose=verbose, tell=processes.is_first)
            if temperature is not None:
                loaded = loaded.with_temperature(temperature)
            questions.check(loaded)
            inputs, files = destination.files(loaded, given, processes, skip_bad=skip_bad_files)
            doubts = Counter[str]()

            def seen(row: Prediction) -> None:
                doubts["unlike"] += bool(row.unlike_training)
                doubts["worse than uniform"] += (row.bits_per_dim or 0) > UNIFORM
                doubts["unsure"] += questions.abstains(row)

            answered = destination.answer(
                files,
                "classifying",
                answering(loaded, coverage),
                record=lambda row: record_of(row, loaded.temperature, questions),
                people=_table(loaded, inputs.images, questions),
                seen=seen,
                quiet=quiet,
            )
        except OtherProcessError:
            return 0  # the first process tells why, and fails
    if not processes.is_first:
        return 0
    tell_left_out(inputs, answered)
    tell_unlike(loaded, answered, doubts["unlike"], doubts["worse than uniform"])
    if doubts["unsure"]:
        terminal.note(f"not sure: {doubts['unsure']} of {answered.new} images, which get no class")
    if destination.format is None:
        _tell_what_percents_are(loaded, coverage)
    if output != STDOUT:
        terminal.note(f"{answered.rows} images classified; written: {output}")
    return 0


def _table(
    model: Model, images: Sequence[Path], questions: Questions
) -> Callable[[Sequence[Prediction]], None]:
    """Shows predictions to people: the likeliest classes in percent, and what is doubtful."""
    from pixelbayes.models.prediction import best_classes

    shown = min(questions.top_k or SHOWN_CLASSES, len(model.classes))
    width = max(map(len, [*model.classes, NOT_SURE]))
    titles = ["class", "second", "third"] + [f"{number}th" for number in range(4, shown + 1)]
    header, widths = ["file"], [max(len(str(path)) for path in images)]
    for title in titles[:shown]:
        header += [title, "%"]
        widths += [width, len("100.0")]
    table = terminal.LiveTable(header, widths, [2 + 2 * number for number in range(shown)])

    def row(prediction: Prediction) -> list[str]:
        cells = [prediction.source]
        for best in best_classes(prediction, shown):
            cells += [best["label"], f"{100 * best['score']:.1f}"]
        if questions.abstains(prediction):
            cells[1] = NOT_SURE
        return cells

    def remark(prediction: Prediction) -> str:
        held = prediction.prediction_set
        among = "" if held is None or len(held) == 1 else f"one of: {', '.join(held) or 'none'}"
        return "; ".join(filter(None, [among, UNLIKE if prediction.unlike_training else ""]))

    return lambda predictions: table.show(map(row, predictions), map(remark, predictions))


def _tell_what_percents_are(model: Model, coverage: float | None) -> None:
    fitted = ": none was fitted by 'pixelbayes evaluate', or none was better"
    terminal.note(
        f"percent: p(class | image) at temperature {model.temperature:.4g}"
        + (fitted if model.temperature == 1 else "")
    )
    if coverage is not None and model.decisions is not None:
        terminal.note(
            f"one of: {100 * coverage:g} % of images like those of the calibration "
            f"({model.decisions.calibrated_on}, n = {model.decisions.n}) are of a class that is "
            "named, alone or among several"
        )


app = partial(command, predict, usage="[OPTIONS] [MODEL] PATH...", examples=EXAMPLES)
