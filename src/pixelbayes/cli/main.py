"""`pixelbayes COMMAND ...`: finds the command, tells mistakes in one line.

Exit status: 0 done, 1 the computation failed (divergence, no memory), 2 the user can mend it,
70 a fault of pixelbayes (EX_SOFTWARE of sysexits.h), 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from cyclopts import App, CycloptsError, MissingArgumentError, UnusedCliTokensError

from pixelbayes import __version__
from pixelbayes.cli import terminal
from pixelbayes.cli.options import OPTIONS, UsageError, parsed
from pixelbayes.errors import PixelBayesError, missing_package

__all__ = ["COMMANDS", "main", "program"]

COMMANDS = {
    "demo": "Train on 8 x 8 digits and write a report, in a few minutes on a laptop.",
    "train": "Train a model on your images or on a known data set.",
    "study": "Train, measure and compare several models; write tables and figures.",
    "evaluate": "Measure a trained model: accuracy, code length, calibration.",
    "calibrate": "Fit thresholds for outliers and for sets of classes; store them with a model.",
    "predict": "Classify image files: a table for people, CSV or JSON.",
    "score": "Say how likely image files are, in nats and bits per dimension.",
    "sample": "Generate images of chosen classes.",
    "complete": "Complete an image of which a part is known.",
    "compress": "Compress images without loss, as far as a model's likelihood goes.",
    "decompress": "Give compressed images back as PNG files.",
    "test": "Make sure that a compressed file can be decompressed.",
    "compare": "Set trained models side by side, with paired tests.",
    "app": "Open a page to classify, create and complete images.",
    "explain": "Say where in an image the evidence for a class lies.",
    "audit": "Find images whose labels are doubtful.",
    "info": "Describe a model, a run or a data set.",
}
"""The commands, each with a module of that name in `pixelbayes.cli.commands`."""

DESCRIPTION = (
    "Class-conditional PixelCNN++: exact p(image | class) that classifies, generates, scores and "
    "completes images."
)
EPILOGUE = (
    "'pixelbayes COMMAND --help' lists the options of a command. Results go to stdout, everything "
    "else to stderr; --verbose shows where an error came from."
)
COMPLETION = "--install-completion"
TRACEBACK = "PIXELBAYES_TRACEBACK"
"""Environment variable that, set to 1, shows where an error came from, as --verbose does."""
FAULT_TEXT = (
    f"this is a fault of pixelbayes {__version__}, not yours; please report it with the lines above"
)
OK, FAILED, USAGE, FAULT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 70, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status.

    Args:
        argv: Arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
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
        if isinstance(error, OSError) and error.filename is None and _is_stdout_full():
            error.filename = "standard output"
            _discard_stdout()
        foreseen = _foreseen(error)
        if foreseen is None or _wants_traceback(arguments):
            traceback.print_exc()
        text, status = foreseen or (FAULT_TEXT, FAULT)
        terminal.error(text)
        return status


def _run(arguments: list[str]) -> int:
    app = program(arguments[0] if arguments else None)
    if not arguments:
        app.help_print([], console=app.error_console)
        return USAGE
    # cyclopts takes a lone hyphen, standard input or output, for an option
    arguments = ["./-" if word == "-" else word for word in arguments]
    try:
        command, bound = parsed(app, arguments)
    except CycloptsError as error:
        verb = f" {arguments[0]}" if arguments[0] in COMMANDS else ""
        raise UsageError(f"{_mistake(error)} See pixelbayes{verb} --help") from error
    return command(*bound.args, **bound.kwargs) or OK


def program(invoked: str | None) -> App:
    """The program, with the options of the one command that is going to be called.

    Args:
        invoked: First word of the command line, if there is one.
    """
    app = App(
        name="pixelbayes",
        help=DESCRIPTION,
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        usage="Usage: pixelbayes COMMAND [OPTIONS]",
        version=f"pixelbayes {__version__}",
        version_flags=("--version", "-V"),
    )
    for number, (name, summary) in enumerate(COMMANDS.items()):
        if invoked in (name, COMPLETION):
            verb: App = importlib.import_module(f"pixelbayes.cli.commands.{name}").app()
        else:  # its module would take time to import
            verb = App(name=name, help=summary)
        verb.sort_key = number
        app.command(verb)
        verb["--help"].show, verb["--help"].group = True, OPTIONS  # cyclopts hides it
    app.register_install_completion_command(
        help="Install completion of commands and options for your shell (bash, zsh or fish)."
    )
    for flag in ("--help", "--version", COMPLETION):
        app[flag].group = OPTIONS
    return app


def _mistake(error: CycloptsError) -> str:
    """One line for what is wrong with a command line."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f'Unexpected argument "{error.unused_tokens[0]}".'
    if isinstance(error, MissingArgumentError) and error.argument and error.keyword is None:
        return f"{error.argument.name.lstrip('-').upper()} is missing."
    text = " ".join(str(error).split())
    return text if text.endswith((".", "?")) else f"{text}."


def _foreseen(error: Exception) -> tuple[str, int] | None:
    """The message and the exit status of a foreseen error; None: a fault, to be seen whole."""
    text = str(error) or type(error).__name__
    if isinstance(error, PixelBayesError):
        return text, USAGE
    if isinstance(error, OSError) and error.filename is not None:
        return (f"{error.filename}: {error.strerror}" if error.strerror else text), USAGE
    if isinstance(error, ModuleNotFoundError) and (missing := missing_package(error)):
        return str(missing), USAGE
    of_a_gpu = isinstance(error, RuntimeError) and "out of memory" in text
    if of_a_gpu or isinstance(error, MemoryError):
        return f"{text.splitlines()[0]} (out of memory: try a smaller --batch-size)", FAILED
    from pixelbayes.training.errors import DivergedError

    return (text, FAILED) if isinstance(error, DivergedError) else None


def _wants_traceback(arguments: Sequence[str]) -> bool:
    """Also where the command line was not understood, or a module cannot be imported."""
    short = any(re.fullmatch(r"--verbose|-[a-z]*v[a-z]*", word) for word in arguments)
    return short or os.environ.get(TRACEBACK, "") not in ("", "0")


def _open_closed_streams() -> None:
    """Gives a process that was started with closed streams (as by `<&-`) empty ones."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _is_stdout_full() -> bool:
    """Whether nothing more can be written to stdout, as where it goes to a full disk."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _discard_stdout() -> None:
    """Keeps the interpreter's last flush from failing again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
