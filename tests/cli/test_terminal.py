"""What people see: tables that grow, and progress."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len

from pixelbayes.cli import terminal


class Screen(io.StringIO):
    """A terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", self.getvalue()).splitlines()


def watched(monkeypatch: pytest.MonkeyPatch, stream: str, columns: int) -> Screen:
    """Makes a stream a terminal."""
    shown = Screen()
    monkeypatch.setattr(f"sys.{stream}", shown)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    return shown


def table() -> terminal.LiveTable:
    return terminal.LiveTable(["file", "class", "%"], [60, 6, 5], numbers=[2])


def test_a_table_grows_row_by_row_under_one_header(capsys: pytest.CaptureFixture[str]) -> None:
    growing = terminal.LiveTable(["file", "%"], [5, 5], numbers=[1])
    growing.show([["a.png", "9.1"]], ["strange"])
    growing.show([["b.png", "99.0"]])
    assert capsys.readouterr().out.splitlines() == [
        "file       %",
        "a.png    9.1  strange",
        "b.png   99.0",
    ]


def test_on_a_terminal_the_end_of_a_long_name_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = watched(monkeypatch, "stdout", 40)
    table().show([["photos/of/a/long/holiday/in-the-sun.jpg", "koala", "97.0"]])
    header, row = screen.lines
    assert header.split() == ["file", "class", "%"]
    assert len(row) <= 40
    assert row.split() == ["\N{HORIZONTAL ELLIPSIS}g/holiday/in-the-sun.jpg", "koala", "97.0"]


def test_a_remark_that_does_not_fit_stands_below_its_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = watched(monkeypatch, "stdout", 40)
    table().show([["x" * 60, "koala", "97.0"]], ["unlike the training data"])
    assert screen.lines[2] == "  unlike the training data"


def test_wide_letters_and_line_breaks_in_names_do_not_break_the_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = watched(monkeypatch, "stdout", 40)
    table().show([["\u65e5\u672c" * 20 + ".png", "koala", "1.0"], ["a\nb.png", "pizza", "2.0"]])
    _, wide, broken = screen.lines
    assert [cell_len(line) for line in (wide, broken)] == [40, 40]
    assert broken.split() == ["a", "b.png", "pizza", "2.0"]


def test_progress_says_how_far_how_fast_and_how_long_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = watched(monkeypatch, "stderr", 80)
    with terminal.Progress() as progress:
        progress("checking", 1, 2)
        for done in range(0, 60, 20):
            progress("classifying", done, 100)
        with progress.hidden():
            pass
    text = " ".join(shown.lines)
    assert re.search(r"classifying .* 40/100 +\d+(\.\d)?/s +\d+:\d\d left", text)


def test_a_bar_that_was_ended_begins_anew_with_the_same_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = watched(monkeypatch, "stderr", 80)
    with terminal.Progress() as progress:
        progress("scoring", 1, 3)
        progress.end()
        terminal.note("a line between")
        progress("scoring", 2, 3)
    text = " ".join(shown.lines)
    assert text.index("1/3") < text.index("a line between") < text.index("2/3")


def test_where_nobody_watches_there_is_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.Progress() as progress:
        progress("classifying", 1, 2)
        with progress.hidden():
            pass
    assert capsys.readouterr().err == ""
