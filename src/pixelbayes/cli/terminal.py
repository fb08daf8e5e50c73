"""What a command shows: results on stdout, everything else on stderr.

On a terminal tables and progress are drawn with rich; in a pipe there is plain text without
progress, so that results can be read by other programs.
"""

from __future__ import annotations

import itertools
import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from pixelbayes.io import to_json

if TYPE_CHECKING:
    import rich.progress

__all__ = [
    "LiveTable",
    "Progress",
    "error",
    "note",
    "plain_warnings",
    "show_json",
    "show_table",
    "show_text",
]

NARROWEST = 12  # cells of a first column that is cut
GAP = "  "


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


class LiveTable:
    """A table on stdout whose rows are shown as they come, so that its widths are stated before.

    On a terminal texts of the first column are cut at their beginning where they do not fit.

    Args:
        header: Title of each column.
        widths: Cells that the longest text of each column takes.
        numbers: Columns that are aligned right.
    """

    def __init__(
        self, header: Sequence[str], widths: Sequence[int], numbers: Sequence[int] = ()
    ) -> None:
        from rich.cells import cell_len
        from rich.console import Console

        self.header = header
        self.numbers = numbers
        self.widths = [
            max(width, cell_len(title)) for width, title in zip(widths, header, strict=True)
        ]
        self.console = Console(file=sys.stdout, highlight=False) if sys.stdout.isatty() else None
        if self.console is not None:
            others = sum(self.widths[1:]) + len(GAP) * (len(header) - 1)
            room = max(NARROWEST, cell_len(header[0]), self.console.width - others)
            self.widths[0] = min(self.widths[0], room)
        self._begun = False

    def show(self, rows: Iterable[Sequence[str]], remarks: Iterable[str] = ()) -> None:
        """Shows rows, and the header before the first of them.

        Args:
            rows: Cells.
            remarks: What stands after each row, or below it where it does not fit.
        """
        from rich.cells import cell_len

        for row, remark in itertools.zip_longest(rows, remarks, fillvalue=""):
            if not self._begun:
                self._begun = True
                self._write(self._line(self.header), "bold")
            line = self._line([writable(cell, sys.stdout) for cell in row])
            if remark and self.console and cell_len(line + GAP + remark) > self.console.width:
                self._write(line)
                line = ""
            self._write(f"{line}{GAP}{remark}" if remark else line)
        sys.stdout.flush()

    def _write(self, line: str, style: str = "") -> None:
        from rich.text import Text

        if self.console is None:
            sys.stdout.write(line + "\n")
        else:
            self.console.print(Text(line, style), soft_wrap=True)

    def _line(self, row: Sequence[str]) -> str:
        from rich.cells import cell_len

        cells = []
        first = " ".join(row[0].splitlines())  # a line break in a name would end the row
        if self.console is not None:
            first = _cut(first, self.widths[0])
        for number, (text, width) in enumerate(zip([first, *row[1:]], self.widths, strict=True)):
            space = " " * (width - cell_len(text))
            cells.append(space + text if number in self.numbers else text + space)
        return GAP.join(cells).rstrip()


def _cut(text: str, width: int) -> str:
    """The end of a text that is too long."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    while cell_len(text) >= width:
        text = text[1:]
    return f"\N{HORIZONTAL ELLIPSIS}{text}"


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
    """A bar on stderr: what is being done, how far, how fast, how long still.

    Nothing where stderr is no terminal.  An instance is the `progress` callback of the workflows.
    """

    def __init__(self) -> None:
        self._bars: rich.progress.Progress | None = None
        self._what = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Takes the bar away; what is shown next begins another one."""
        if self._bars is not None:
            self._bars.stop()
            self._bars, self._what = None, ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Shows what is being done and how far it is."""
        if self._bars is None:
            if not sys.stderr.isatty():
                return
            self._bars = _bars()
            self._bars.start()  # from now on rich's stand-in for stderr need not be a terminal
        if what != self._what:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            self._bars.add_task(what, total=total)
            self._what = what
        self._bars.update(self._bars.task_ids[0], completed=done, total=total)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Takes the bar away while something else is written to the terminal."""
        if self._bars is not None:
            self._bars.stop()
        yield
        if self._bars is not None:
            self._bars.start()


def _bars() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.{0 if speed >= 10 else 1}f}/s")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=Console(file=sys.stderr),
        transient=True,
        expand=True,
        refresh_per_second=4,
        redirect_stdout=False,  # results are none of the bar's business
    )
