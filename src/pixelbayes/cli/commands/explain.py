"""`pixelbayes explain`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device
from pixelbayes.cli.commands.model import load_model, model_and_image
from pixelbayes.cli.options import UsageError, command

if TYPE_CHECKING:
    from pixelbayes.inference.counterfactual import Counterfactual
    from pixelbayes.models import Model
    from pixelbayes.models.explanation import Explanation

__all__ = ["app", "explain"]

EXAMPLES = """
  pixelbayes explain photo.jpg
  pixelbayes explain runs/demo digit.png --class 3 --against 8
  pixelbayes explain photo.jpg --class koala --against "giant panda" --output why
  pixelbayes explain photo.jpg --counterfactual --output why
"""

DRAWS = 4  # of each part; each takes as long as drawing it


def explain(
    *image: str,
    model: str | None = None,
    class_: str | None = None,
    against: str | None = None,
    counterfactual: bool = False,
    draws: int | None = None,
    seed: int | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    device: Device = "auto",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Says where in an image the evidence for a class lies, pixel by pixel and exactly.

    The log-odds of two classes, or of one and all others, are a sum over pixels; shown are their
    sum by rows and the share of pixels that holds half of it.  With --output a folder gets
    explanation.png (the image, its evidence around zero, the running sum, the surprise of each
    pixel) and explanation.json (all numbers, in nats).

    A pixel counts for how it surprises after everything above and to the left of it, so evidence
    comes late, in the lower rows; and nats are before the temperature.

    Args:
        image: The image file.  Without --model, the model may stand before it.
        model: Run directory, checkpoint folder or name of a shipped model (default:
            cpen455-onepass, which is shipped).
        class_: Class that the evidence is for (default: the model's answer).
        against: Class that it is compared with (default: the mixture of all others).
        counterfactual: Look for the smallest part of the image that, drawn anew under --against
            or the second most probable class, changes the answer; takes minutes.
        draws: Of each part that is tried, with --counterfactual (default: 4).
        seed: Of the draws, with --counterfactual (default: 0).
        output: Folder for the picture and the numbers.
        overwrite: Replace an earlier explanation in that folder; other files are never replaced.
        device: Where the model runs; auto takes a GPU if there is one.
        json: Print the numbers as JSON instead of a table.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.workflows.explain import described, write_explanation
    from pixelbayes.workflows.outputs import Kind, require_free

    unread = [name for name, it in (("--draws", draws), ("--seed", seed)) if it is not None]
    if unread and not counterfactual:
        raise UsageError(
            f"{' and '.join(unread)} say how the image is drawn anew, which --counterfactual does; "
            "add it, or leave them out"
        )
    named, source = model_and_image(model, image, "explain")
    if output is not None:
        require_free(output, Kind.EXPLANATION, overwrite=overwrite)
    loaded = load_model(named, device, verbose=verbose, tell=not quiet)
    explanation = loaded.explain(source, class_, against)
    changed = None
    if counterfactual:
        with terminal.Progress() as progress:
            changed = loaded.counterfactual(
                source,
                against,
                generator=0 if seed is None else seed,
                draws=DRAWS if draws is None else draws,
                progress=None if quiet else lambda tried: progress("parts tried", tried, tried),
            )
    if output is not None:
        write_explanation(output, loaded, explanation, changed, searched=counterfactual)
    if json:
        terminal.show_json(described(loaded, explanation, changed, searched=counterfactual))
        return 0
    _show(explanation)
    if counterfactual:
        terminal.show_text(_changed(loaded, changed))
    if output is not None:
        terminal.show_text(f"written: {output}")
    return 0


def _show(explanation: Explanation) -> None:
    from pixelbayes.models.explanation import READING

    found, nats = explanation.found, explanation.log_odds
    terminal.show_table(
        [
            ["log-odds", f"{nats:+.2f} nats"],
            ["at the temperature", f"{explanation.tempered_log_odds:+.2f} nats"],
            ["half of the evidence", f"{found.half_share:.0%} of the pixels"],
            ["code length", f"{float(explanation.surprise.sum()):.0f} nats"],
        ],
        [explanation.classes[0], f"against {explanation.against}"],
    )
    rows = len(found.running)
    quarters = sorted({max(1, rows * part // 4) for part in range(1, 5)})
    terminal.show_table(
        [[f"{row} of {rows}", f"{float(found.running[row - 1]):+.2f}"] for row in quarters],
        ["rows from the top", "log-odds so far"],
    )
    terminal.show_text(READING)


def _changed(model: Model, changed: Counterfactual | None) -> str:
    if changed is None:
        return "not even the whole image drawn anew changes the answer"
    (top, bottom), (left, right) = changed.rows, changed.columns
    return (
        f"{model.classes[changed.before]} becomes {model.classes[changed.after]} if rows {top + 1} "
        f"to {bottom} of columns {left + 1} to {right} ({changed.pixels} pixels) are drawn anew as "
        f"{model.classes[changed.drawn_as]}; of the draws {changed.share:.0%} do so"
    )


app = partial(command, explain, usage="[OPTIONS] [MODEL] IMAGE", examples=EXAMPLES)
