"""`pixelbayes test`."""

from __future__ import annotations

from functools import partial

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.archives import counted, opened
from pixelbayes.cli.options import command

__all__ = ["app", "test"]

EXAMPLES = """
  pixelbayes test photos.pbz
"""


def test(
    file: str,
    *,
    model: str | None = None,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Makes sure that a file of 'pixelbayes compress' can be decompressed here; writes nothing.

    All images are decompressed and compared with their sums.

    Args:
        file: What 'pixelbayes compress' wrote; - is standard input.
        model: The one that it was compressed with (default: that one, if it is shipped).
        json: Print names, sizes and modes as JSON instead of a table.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.workflows.compress import decompressed

    with opened(file, model, verbose=verbose) as (reader, coder), terminal.Progress() as progress:
        for _ in decompressed(coder, reader, None if quiet else progress):
            pass
    rows = [
        {"name": item.name, "height": item.height, "width": item.width, "mode": item.mode}
        for item in reader.pictures
    ]
    if json:
        terminal.show_json(rows)
    else:
        header = ["name", "height", "width", "mode"]
        terminal.show_table([[str(cell) for cell in row.values()] for row in rows], header)
    terminal.note(f"{file}: {counted(len(rows))}, all as they went in")
    return 0


app = partial(command, test, usage="[OPTIONS] FILE", examples=EXAMPLES)
