"""`pixelbayes sample`, and what `pixelbayes complete` has in common with it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device
from pixelbayes.cli.commands.model import load_model
from pixelbayes.cli.options import command, listed

if TYPE_CHECKING:
    from pixelbayes.models import Model

__all__ = ["app", "draw", "sample"]

DEFAULT_OUTPUT = Path("samples")
EXAMPLES = """
  pixelbayes sample --class koala
  pixelbayes sample runs/demo --class 3,7 --count 8
  pixelbayes sample runs/demo --output digits --seed 7
"""


def sample(
    model: str | None = None,
    *,
    class_: list[str] | None = None,
    count: int = 4,
    seed: int = 0,
    output: Path | None = None,
    overwrite: bool = False,
    complete: Annotated[Path | None, Parameter(show=False)] = None,
    rows: Annotated[int | None, Parameter(show=False)] = None,
    mask: Annotated[Path | None, Parameter(show=False)] = None,
    candidates: Annotated[int, Parameter(show=False)] = 1,
    batch_size: int | Literal["auto"] = "auto",
    device: Device = "auto",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Generates images of chosen classes.

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
        complete: The old form of `pixelbayes complete FILE`.
        rows: As in `pixelbayes complete`.
        mask: As in `pixelbayes complete`.
        candidates: As in `pixelbayes complete`.
        batch_size: Images drawn at a time; auto fits their features into 256 MiB.
        device: Where the model runs; auto takes a GPU if there is one.
        json: Print what was written as JSON.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    if complete is not None:
        terminal.note("pixelbayes: sample --complete FILE is now called complete FILE")
    loaded = load_model(model, device, density=True, verbose=verbose)
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
        source=complete,
        rows=rows,
        mask=mask,
        candidates=candidates,
    )
    return 0


def draw(
    model: Model,
    default: Path,
    *,
    output: Path | None,
    overwrite: bool,
    json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Draws images, writes them and says where.

    Args:
        model: The trained model.
        default: Folder to write to where there is no `output`, or the first free one after it.
        output: Folder to write to.
        overwrite: Whether samples that are there are replaced.
        json: Whether to print JSON.
        quiet: Whether to show no progress.
        settings: As for `pixelbayes.workflows.generate.generate`.
    """
    from pixelbayes.workflows.generate import generate
    from pixelbayes.workflows.outputs import GRID, INDEX, Kind, free_folder, require_free
    from pixelbayes.workflows.samples import save_samples

    if output is None:
        output = default if overwrite else free_folder(default)
    inputs = [file for file in (settings.get("source"), settings.get("mask")) if file is not None]
    require_free(output, Kind.SAMPLES, overwrite=overwrite, inputs=inputs)
    with terminal.Progress() as progress:
        samples = generate(model, **settings, progress=None if quiet else progress)
    paths = save_samples(samples, model, output, overwrite=overwrite, inputs=inputs)
    if json:
        written = {"grid": str(output / GRID), "index": str(output / INDEX)}
        terminal.show_json({"images": [str(path) for path in paths], **written})
        return
    terminal.show_text(f"written: {len(paths)} images, grid.png and samples.json in {output}")


app = partial(command, sample, usage="[OPTIONS] [MODEL]", examples=EXAMPLES)
