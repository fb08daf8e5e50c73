"""`pixelbayes demo`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pixelbayes.cli import terminal
from pixelbayes.cli.commands import results
from pixelbayes.cli.options import command

__all__ = ["app", "demo"]


def demo(
    *,
    output: Path = Path("runs/demo"),
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Trains a small model on 8 x 8 digits, evaluates it and writes a report.

    Takes one to three minutes on a laptop and 5 MB, and needs no download.  Run again, it replaces
    its own earlier result, never another directory.

    Args:
        output: Run directory to make.
        json: Print the report as JSON instead of a table.
        quiet: Show no progress.
        verbose: Show where an error came from.
    """
    from pixelbayes.training.errors import RunStopped
    from pixelbayes.workflows.demo import demo as run

    with terminal.Progress() as progress:
        try:
            report = run(output, show_training=not quiet, progress=None if quiet else progress)
        except RunStopped:
            terminal.note("pixelbayes: stopped; the same command starts it again")
            return 130
    results.show_report(report, output, json=json)
    if not json:
        terminal.show_text(f"\nOpen {output / 'report.html'} in a browser.")
    return 0


app = partial(command, demo)
