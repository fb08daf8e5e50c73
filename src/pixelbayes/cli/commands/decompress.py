"""`pixelbayes decompress`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.archives import counted, opened
from pixelbayes.cli.options import command

__all__ = ["app", "decompress"]

EXAMPLES = """
  pixelbayes decompress photos.pbz --output photos
  ssh there cat koalas.pbz | pixelbayes decompress - --output koalas
"""


def decompress(
    file: str,
    *,
    output: Path,
    model: str | None = None,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Gives back the images of a file of 'pixelbayes compress', as PNG files.

    The folder appears when all of them are there.  A damaged file, another model, and a machine
    whose numbers differ are refused; no other picture is ever written.

    Args:
        file: What 'pixelbayes compress' wrote; - is standard input.
        output: Folder for the images; a new or an empty one.
        model: The one that it was compressed with (default: that one, if it is shipped).
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.data.files import save_png
    from pixelbayes.inference.codec import CodecError
    from pixelbayes.workflows.compress import decompressed
    from pixelbayes.workflows.outputs import Kind, appearing, require_free

    require_free(output, Kind.DECOMPRESSED, overwrite=False)
    with (
        opened(file, model, verbose=verbose) as (reader, coder),
        terminal.Progress() as progress,
        appearing(output) as folder,
    ):
        for picture, image in decompressed(coder, reader, None if quiet else progress):
            place = folder / picture.name
            if place.exists():
                raise CodecError(
                    f"two pictures of {file} have names that are one here, {picture.name}; "
                    "decompress it on a disk that tells capitals from small letters"
                )
            save_png(image, place)
    terminal.note(f"{counted(len(reader.pictures))}; written: {output}")
    return 0


app = partial(command, decompress, usage="[OPTIONS] FILE --output FOLDER", examples=EXAMPLES)
