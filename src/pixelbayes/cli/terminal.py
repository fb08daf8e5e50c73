"""What a command shows: results on stdout, everything else on stderr.

On a terminal tables and progress are drawn with rich; in a pipe there is plain text without
progress, so that results can be read by other programs.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from pixelbayes.io import to_json

__all__ = ["Progress", "error", "note", "plain_warnings", "show_json", "show_table", "show_text"]

REDRAW_SECONDS = 0.1


def show_text(text: str) -> None:
    """Writes a line to stdout."""
    sys.stdout.write(writable(text, sys.stdout) + "\n")


def show_json(value: Any) -> None:
    """Writes JSON to stdout."""
    text = to_json(value).rstrip("\n")
    if writable(text, sys.stdout) != text:
        text = json.dumps(value, indent=2, allow_nan=False)  # all of it in ASCII
    show_text(text)


def show_table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> None:
    """Writes a table to stdout: names in the first column, values in the others."""
    lines = [[writable(str(cell), sys.stdout) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD if header else None, show_header=bool(header))
        for number in range(max(map(len, [*lines, list(header)]))):
            table.add_column(
                header[number] if header else "", style="bold" if number == 0 else None
            )
        for line in lines:
            table.add_row(*map(Text, line))  # Text: a name like [/b] is no markup
        Console(file=sys.stdout).print(table)
        return
    if header:
        lines.insert(0, list(header))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        show_text("  ".join(cells).rstrip())


def note(text: str) -> None:
    """Writes a line to stderr."""
    sys.stderr.write(writable(text, sys.stderr) + "\n")


def writable(text: str, stream: TextIO) -> str:
    r"""The text with what a stream cannot encode, such as cp1252's, written as \uXXXX."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def error(text: str) -> None:
    """Tells the user, on stderr, why there is no result."""
    note(f"pixelbayes: error: {text}")


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Shows warnings in one line, without the line of code that they came from."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        note(f"pixelbayes: warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


class Progress:
    """One line on stderr that says what is being done; nothing where stderr is no terminal.

    An instance is the `progress` callback of the workflows.
    """

    def __init__(self) -> None:
        self._drawn = 0.0
        self._width = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Shows what is being done and how far it is."""
        now = time.monotonic()
        if not sys.stderr.isatty() or (done < total and now - self._drawn < REDRAW_SECONDS):
            return
        self._drawn = now
        line = f"{what} {done}/{total}"
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = max(self._width, len(line))
