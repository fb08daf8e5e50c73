"""`pixelbayes complete`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device
from pixelbayes.cli.commands.model import load_model, model_and_image
from pixelbayes.cli.commands.sample import draw
from pixelbayes.cli.options import command, listed

__all__ = ["app", "complete"]

DEFAULT_OUTPUT = Path("completed")
EXAMPLES = """
  pixelbayes complete photo.jpg
  pixelbayes complete runs/demo digit.png --rows 4 --class 3,8
  pixelbayes complete photo.jpg --mask hole.png --candidates 32
"""


def complete(
    *image: str,
    model: str | None = None,
    rows: int | None = None,
    mask: Path | None = None,
    candidates: int = 1,
    class_: list[str] | None = None,
    count: int = 1,
    seed: int = 0,
    output: Path | None = None,
    overwrite: bool = False,
    batch_size: int | Literal["auto"] = "auto",
    device: Device = "auto",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Completes an image of which a part is known; the rest is drawn as each class has it.

    Writes NAME-0001.png and so on, at the size of the model, grid.png with a row for each class,
    and samples.json with the log-likelihood of each image (nats per image).

    Args:
        image: Image file to complete.  Without --model, the model may stand before it: a run
            directory, a checkpoint folder or the name of a shipped model.
        model: Run directory, checkpoint folder or name of a shipped model (default:
            cpen455-gated, which is shipped).
        rows: First rows to keep, in pixels at the model's size (default: half of them).
        mask: Image file, white where pixels are drawn and black where they are kept, instead of
            --rows. A drawn pixel knows what stands above it and left of it; for what stands
            below, see --candidates.
        candidates: Completions drawn for each image that is kept, chosen by how likely they make
            the known pixels that come after drawn ones.
        class_: Class to complete as, by name or index; may be repeated, or a list with commas
            (default: all classes).
        count: Images of each class.
        seed: The same seed draws the same images, whatever the batch size.
        output: Folder to write to; made if missing, refused if not empty. Where it is not given and
            completed is not empty, completed-2 is taken, and so on. (default: completed)
        overwrite: Replace the samples that the output folder holds; no other file is replaced, and
            nothing is written into a run.
        batch_size: Images drawn at a time; auto fits their features into 256 MiB.
        device: Where the model runs; auto takes a GPU if there is one.
        json: Print what was written as JSON.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.data.inputs import image_levels

    named, source = model_and_image(model, image, "complete")
    loaded = load_model(named, device, density=True, verbose=verbose)
    for sentence in image_levels(
        source, channels=loaded.channels, resize=loaded.resize
    ).conversions.sentences():
        terminal.note(sentence)
    draw(
        loaded,
        DEFAULT_OUTPUT,
        output=output,
        overwrite=overwrite,
        json=json,
        quiet=quiet,
        classes=listed(class_),
        count=count,
        seed=seed,
        batch_size=None if batch_size == "auto" else batch_size,
        source=source,
        rows=rows,
        mask=mask,
        candidates=candidates,
    )
    return 0


app = partial(command, complete, usage="[OPTIONS] [MODEL] IMAGE", examples=EXAMPLES)
