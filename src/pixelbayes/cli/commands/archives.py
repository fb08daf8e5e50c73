"""What `decompress` and `test` share: a compressed file, and the model that can read it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.rows import STDOUT
from pixelbayes.cli.options import UsageError

if TYPE_CHECKING:
    from pixelbayes.models import PixelBayes
    from pixelbayes.workflows.archive import ArchiveReader

__all__ = ["counted", "opened"]


def counted(images: int) -> str:
    """So many images, in words."""
    return f"{images} image" if images == 1 else f"{images} images"


@contextmanager
def opened(
    file: str, model: str | None, *, verbose: bool
) -> Iterator[tuple[ArchiveReader, PixelBayes]]:
    """Gives a compressed file, which is whole, and the model that it names or that is named.

    Raises:
        UsageError: If it names a model that is not shipped, and none is given.
        CodecError: If it is not whole, or the model cannot code.
        OSError: If it cannot be read.
    """
    from pixelbayes.models.hub import is_shipped, load
    from pixelbayes.workflows.archive import ArchiveReader
    from pixelbayes.workflows.compress import require_coder

    with ExitStack() as stack:
        content: BinaryIO
        if Path(file) == STDOUT:
            content = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(sys.stdin.buffer, content)
        else:
            content = stack.enter_context(Path(file).open("rb"))
        reader = ArchiveReader(content, "standard input" if Path(file) == STDOUT else file)
        named = model or reader.origin.model
        if model is None and not is_shipped(named):
            raise UsageError(
                f"{reader.name} was compressed with the model {named}, which is not shipped; give "
                "it with --model"
            )
        if verbose:
            terminal.note(f"model: {named}")
        yield reader, require_coder(load(named))
