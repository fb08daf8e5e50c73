"""How the benchmarks that are programs of their own take their options, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pixelbayes.errors import PixelBayesError

__all__ = ["options", "run"]

FOLDER = Path("docs/results/benchmarks")


def options(description: str, folder: Path = FOLDER) -> argparse.ArgumentParser:
    """Options with those that all have.

    Args:
        description: What is measured.
        folder: Where the published results are, which are replaced unless --output is given.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data-dir", help="folder of the cpen455 images")
    parser.add_argument(
        "--output",
        type=Path,
        default=folder,
        help="folder to write to (default: %(default)s, in place of what is published)",
    )
    return parser


def run(main: Callable[[], int | None]) -> None:
    """Ends with the status of `main`; what it cannot use is told in one line, with status 2."""
    try:
        sys.exit(main())
    except PixelBayesError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
