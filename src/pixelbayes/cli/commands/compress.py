"""`pixelbayes compress`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.archives import counted
from pixelbayes.cli.commands.model import leading_model, load_model, require_images
from pixelbayes.cli.commands.rows import STDOUT, tell_files
from pixelbayes.cli.options import UsageError, command

if TYPE_CHECKING:
    from pixelbayes.workflows.compress import Compressed

__all__ = ["app", "compress"]

EXAMPLES = """
  pixelbayes compress photos/ --output photos.pbz
  pixelbayes compress runs/demo digits/*.png --output digits.pbz
  pixelbayes compress photos/ --class koala --output - | ssh there 'cat > koalas.pbz'
"""


def compress(
    *paths: str,
    output: Path,
    model: str | None = None,
    class_: str | None = None,
    overwrite: bool = False,
    skip_bad_files: bool = False,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Compresses images without loss, to as many bits as the model's likelihood says.

    'pixelbayes decompress' gives each image back as a PNG file of the same relative name and the
    very same pixels; what else a file holds (its format, EXIF, colour profiles) is not kept.
    Images may have any size, grey, RGB, and transparency, with 8 bits a channel; they are coded in
    patches of the model's size.

    A file is decompressed with the same model, on the same kind of processor and with the same
    version of PyTorch: the numbers must agree to the last digit, and a file whose numbers do not
    is refused.

    Args:
        paths: Image files, folders, and CSV tables of paths; - is standard input.  Without
            --model, the first may be the model.
        output: File to write, by custom with the suffix .pbz; - is stdout.
        model: Run directory, checkpoint folder or name of a shipped model (default:
            cpen455-gated, which is shipped).
        class_: Class of all images, by name or index (default: the one that makes the shortest
            code, for each patch; costs at most log2 of the number of classes).
        overwrite: Replace an earlier compressed file; other files are never replaced.
        skip_bad_files: Leave out files that cannot be read or kept exactly, and name them.
        json: Print the numbers as JSON instead of a line.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.io import replacing
    from pixelbayes.models.hub import DENSITY
    from pixelbayes.workflows.compress import compress, require_coder, sources_of
    from pixelbayes.workflows.inputs import find_inputs
    from pixelbayes.workflows.outputs import Kind, require_free

    named, given = leading_model(model, paths)
    require_images(given, named, "compress")
    to_stdout = output == STDOUT
    if to_stdout and json:
        raise UsageError("--json and --output - would both write to stdout; name a file")
    if to_stdout and sys.stdout.isatty():
        raise UsageError("a compressed file is nothing to look at; name it with --output")
    coder = require_coder(load_model(named, "cpu", density=True, verbose=verbose, tell=not quiet))
    label = None if class_ is None else coder.class_index(class_)
    inputs = find_inputs(given, sys.stdin.buffer)
    if not to_stdout:
        require_free(output, Kind.ARCHIVE, overwrite=overwrite, inputs=inputs.images)
    sources = sources_of(given, inputs.images, inputs.content)
    with terminal.Progress() as progress:

        def write(file: BinaryIO) -> Compressed:
            return compress(
                coder,
                sources,
                file,
                name=named or DENSITY,
                label=label,
                skip_bad=skip_bad_files,
                progress=None if quiet else progress,
            )

        if to_stdout:
            done = write(sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            output.parent.mkdir(parents=True, exist_ok=True)
            with replacing(output) as partial, partial.open("wb") as file:
                done = write(file)
    tell_files("not used, no image or hidden", inputs.others)
    tell_files("left out, cannot be read or kept exactly", done.bad)
    if json:
        terminal.show_json(
            {
                "pictures": done.pictures,
                "numbers": done.numbers,
                "payload_bytes": done.payload,
                "bytes": done.total,
                "bits_per_dim": done.bits_per_dim,
            }
        )
    elif not quiet:
        terminal.note(
            f"{counted(done.pictures)}, {done.numbers:,} numbers: {done.total:,} bytes, of which "
            f"{done.total - done.payload:,} for names and checks; "
            f"{done.bits_per_dim:.3f} bits/dim without these"
        )
    if not to_stdout:
        terminal.note(f"written: {output}")
    return 0


app = partial(command, compress, usage="[OPTIONS] [MODEL] PATH... --output FILE", examples=EXAMPLES)
