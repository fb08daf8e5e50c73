"""`pixelbayes sample`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import resolve
from pixelbayes.cli.commands.evaluate import listed
from pixelbayes.cli.commands.results import summary
from pixelbayes.cli.signatures import CommandParser

__all__ = ["main", "sample"]

EPILOG = """
examples:

  pixelbayes sample runs/demo --class 3,7 --count 8
  pixelbayes sample runs/demo --complete digit.png --rows 4
"""


def sample(
    model: Path,
    *,
    class_: list[str] | None = None,
    count: int = 4,
    seed: int = 0,
    output: Path = Path("samples"),
    overwrite: bool = False,
    complete: Path | None = None,
    rows: int | None = None,
    batch_size: int | Literal["auto"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    quiet: bool = False,
) -> int:
    """Generates images, or completes an image file from its first rows.

    Writes NAME-0001.png and so on, which hold exactly the generated levels, grid.png with a row
    for each class, and samples.json with the log-likelihood of each image (nats per image).

    Args:
        model: Run directory or checkpoint folder.
        class_: Class to draw, by name or index; may be repeated, or a list with commas
            (default: all classes).
        count: Images of each class.
        seed: The same seed draws the same images, whatever the batch size.
        output: Folder to write to; made if missing, refused if not empty.
        overwrite: Replace the samples that the output folder holds.
        complete: Image file whose first rows are kept and whose other rows are drawn.
        rows: Rows to keep of the completed image, in pixels at the model's size (default: half
            of them).
        batch_size: Images drawn at a time; auto fits their features into a gigabyte.
        device: Where the model runs; auto takes a GPU if there is one.
        quiet: Show no progress.
    """
    from pixelbayes.inference import PixelBayes
    from pixelbayes.workflows.generate import generate
    from pixelbayes.workflows.samples import check_output, save_samples

    loaded = PixelBayes.load(model, resolve(device))
    check_output(output, overwrite=overwrite)
    with terminal.Progress() as progress:
        samples = generate(
            loaded,
            listed(class_),
            count=count,
            seed=seed,
            batch_size=None if batch_size == "auto" else batch_size,
            source=complete,
            rows=rows,
            progress=None if quiet else progress,
        )
    paths = save_samples(samples, loaded, output, overwrite=overwrite)
    terminal.show_text(f"written: {len(paths)} images, grid.png and samples.json in {output}")
    return 0


def main(argv: Sequence[str]) -> int:
    """Parses and runs; returns the exit status."""
    parser = CommandParser("pixelbayes sample", summary(sample), EPILOG)
    parser.add_function(sample)
    return sample(**parser.parse_given(argv))
