"""`pixelbayes sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cyclopts import App

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device
from pixelbayes.cli.commands.model import load_model
from pixelbayes.cli.options import command, listed

__all__ = ["app", "sample"]

DEFAULT_OUTPUT = Path("samples")
EXAMPLES = """
  pixelbayes sample --class koala
  pixelbayes sample runs/demo --class 3,7 --count 8
  pixelbayes sample runs/demo --complete digit.png --rows 4
  pixelbayes sample --complete a.jpg --mask hole.png --candidates 32
"""


def sample(
    model: str | None = None,
    *,
    class_: list[str] | None = None,
    count: int = 4,
    seed: int = 0,
    output: Path | None = None,
    overwrite: bool = False,
    complete: Path | None = None,
    rows: int | None = None,
    mask: Path | None = None,
    candidates: int = 1,
    batch_size: int | Literal["auto"] = "auto",
    device: Device = "auto",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Generates images, or completes an image file from what is known of it.

    Writes NAME-0001.png and so on, which hold exactly the generated levels, grid.png with a row
    for each class, and samples.json with the log-likelihood of each image (nats per image).

    Args:
        model: Run directory, checkpoint folder or name of a shipped model (default:
            cpen455-gated, which is shipped).
        class_: Class to draw, by name or index; may be repeated, or a list with commas
            (default: all classes).
        count: Images of each class.
        seed: The same seed draws the same images, whatever the batch size.
        output: Folder to write to; made if missing, refused if not empty. Where it is not given and
            samples is not empty, samples-2 is taken, and so on. (default: samples)
        overwrite: Replace the samples that the output folder holds; no other file is replaced, and
            nothing is written into a run.
        complete: Image file of which a part is kept and the rest is drawn.
        rows: First rows to keep of the completed image, in pixels at the model's size (default:
            half of them).
        mask: Image file, white where pixels are drawn and black where they are kept, instead of
            --rows. A drawn pixel knows what stands above it and left of it; for what stands
            below, see --candidates.
        candidates: Completions drawn for each image that is kept, chosen by how likely they make
            the known pixels that come after drawn ones.
        batch_size: Images drawn at a time; auto fits their features into 256 MiB.
        device: Where the model runs; auto takes a GPU if there is one.
        json: Print what was written as JSON.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.workflows.generate import generate
    from pixelbayes.workflows.outputs import GRID, INDEX, Kind, free_folder, require_free
    from pixelbayes.workflows.samples import save_samples

    loaded = load_model(model, device, verbose=verbose)
    if output is None:
        output = DEFAULT_OUTPUT if overwrite else free_folder(DEFAULT_OUTPUT)
    inputs = [file for file in (complete, mask) if file is not None]
    require_free(output, Kind.SAMPLES, overwrite=overwrite, inputs=inputs)
    with terminal.Progress() as progress:
        samples = generate(
            loaded,
            listed(class_),
            count=count,
            seed=seed,
            batch_size=None if batch_size == "auto" else batch_size,
            source=complete,
            rows=rows,
            mask=mask,
            candidates=candidates,
            progress=None if quiet else progress,
        )
    paths = save_samples(samples, loaded, output, overwrite=overwrite, inputs=inputs)
    if json:
        written = {"grid": str(output / GRID), "index": str(output / INDEX)}
        terminal.show_json({"images": [str(path) for path in paths], **written})
        return 0
    terminal.show_text(f"written: {len(paths)} images, grid.png and samples.json in {output}")
    return 0


def app() -> App:
    """The command line of `sample`."""
    return command(sample, usage="[OPTIONS] [MODEL]", examples=EXAMPLES)
