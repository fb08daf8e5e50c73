"""`pixelbayes VERB ...`: finds the verb, parses its options, tells mistakes in one line.

Exit status: 0 done, 1 the computation failed, 2 the user can mend it, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from pixelbayes.cli import terminal
from pixelbayes.errors import PixelBayesError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "demo": "Train on 8 x 8 digits and write a report, in a few minutes on a laptop.",
    "train": "Train a model on your images or on a known data set.",
    "study": "Train, measure and compare several models; write tables and figures.",
    "evaluate": "Measure a trained model: accuracy, code length, calibration; write a report.",
    "predict": "Classify image files; write a CSV table.",
    "sample": "Generate images of chosen classes, or complete a given image.",
    "info": "Describe a model, a run or a data set.",
}
"""The verbs, each with a module of that name in `pixelbayes.cli.commands`."""

DESCRIPTION = """\
Class-conditional PixelCNN++: exact p(image | class) that classifies, generates, scores and
completes images."""
TRACEBACK = "PIXELBAYES_TRACEBACK"
"""Environment variable that, set to 1, shows where an error came from."""
OK, FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status.

    Args:
        argv: Arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with terminal.plain_warnings():
            status = _run(arguments)
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader (head, less) has seen enough
        _discard_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        terminal.note("pixelbayes: interrupted")
        return INTERRUPTED
    except Exception as error:
        told = _told(error)
        if told is None or os.environ.get(TRACEBACK, "") not in ("", "0"):
            raise
        text, status = told
        terminal.error(text)
        return status


def _run(arguments: list[str]) -> int:
    if not arguments:
        terminal.note(_help())
        return USAGE
    verb, *rest = arguments
    if verb in ("-h", "--help", "help"):
        terminal.show_text(_help())
        return OK
    if verb in ("-V", "--version"):
        from pixelbayes import __version__

        terminal.show_text(f"pixelbayes {__version__}")
        return OK
    if verb not in COMMANDS:
        close = difflib.get_close_matches(verb, COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise PixelBayesError(
            f"unknown command {verb!r}; choose one of: {', '.join(COMMANDS)}{hint}"
        )
    command = importlib.import_module(f"pixelbayes.cli.commands.{verb}")
    try:
        status: int = command.main(rest)
    except SystemExit as stop:  # --help
        return stop.code if isinstance(stop.code, int) else OK
    return status


def _told(error: Exception) -> tuple[str, int] | None:
    """The message and the exit status of a foreseen error; None: a defect, to be seen whole."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError):
        named = error.strerror and error.filename is not None
        return (f"{error.filename}: {error.strerror}" if named else text), USAGE
    if isinstance(error, ModuleNotFoundError) and error.name == "matplotlib":
        return (
            "the report's figures need matplotlib, which is not installed; "
            "pip install 'pixelbayes[report]'"
        ), USAGE
    if isinstance(error, RuntimeError) and "out of memory" in text:  # of a GPU, or of the CPU
        return f"{text.splitlines()[0]} (out of memory: try a smaller --batch-size)", FAILED
    if isinstance(error, ValueError):
        return text, USAGE
    from pixelbayes.training import DivergedError

    return (text, FAILED) if isinstance(error, DivergedError) else None


def _discard_stdout() -> None:
    """Keeps the interpreter's last flush from failing again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _help() -> str:
    width = max(map(len, COMMANDS))
    verbs = "\n".join(f"  {verb.ljust(width)}  {text}" for verb, text in COMMANDS.items())
    return (
        f"usage: pixelbayes COMMAND ...\n\n{DESCRIPTION}\n\ncommands:\n{verbs}\n\n"
        "options:\n  -h, --help     Show this help and exit.\n"
        "  -V, --version  Show the version and exit.\n\n"
        "'pixelbayes COMMAND --help' lists the options of a command. Results go to stdout,\n"
        f"progress to stderr; {TRACEBACK}=1 shows where an error came from."
    )
