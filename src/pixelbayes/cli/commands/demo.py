"""`pixelbayes demo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pixelbayes.cli import terminal
from pixelbayes.cli.commands import results
from pixelbayes.cli.signatures import CommandParser

__all__ = ["demo", "main"]


def demo(*, output: Path = Path("runs/demo"), quiet: bool = False) -> int:
    """Trains a small model on 8 x 8 digits, evaluates it and writes a report.

    Takes a few minutes on a laptop and needs no download.  Run again, it replaces its own earlier
    result, never another directory.

    Args:
        output: Run directory to make.
        quiet: Show no progress.
    """
    from pixelbayes.training import RunStopped
    from pixelbayes.workflows.demo import demo as run

    with terminal.Progress() as progress:
        try:
            report = run(output, show_training=not quiet, progress=None if quiet else progress)
        except RunStopped:
            terminal.note("pixelbayes: stopped; 'pixelbayes demo' starts it again")
            return 130
    results.show_report(report, output)
    return 0


def main(argv: Sequence[str]) -> int:
    """Parses and runs; returns the exit status."""
    parser = CommandParser("pixelbayes demo", results.summary(demo))
    parser.add_function(demo)
    return demo(**parser.parse_given(argv))
