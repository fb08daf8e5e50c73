"""From a typed signature to command-line options; jsonargparse parses and formats them.

A parameter of a function becomes an argument if it is positional and an option if it is
keyword-only, a field of a dataclass becomes an option.  What is added to jsonargparse is how an
option looks (`--data-dir`, not `--data_dir`) and that a mistake is told in one line.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, NoReturn

import docstring_parser
from jsonargparse import ActionYesNo, ArgumentParser, DefaultHelpFormatter

from pixelbayes.errors import PixelBayesError

__all__ = ["CommandParser", "UsageError", "image_size"]

METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
DESCRIBED = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    type(None): "null",
}


class UsageError(PixelBayesError):
    """The command line cannot be understood; the message says how to mend it."""


def image_size(text: str | tuple[int, int]) -> tuple[int, int]:
    """Reads rows and columns; what has been read already stays as it is.

    >>> image_size("32x48"), image_size("32")
    ((32, 48), (32, 32))
    """
    if isinstance(text, tuple):
        return text
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if not found:
        raise argparse.ArgumentTypeError(
            f"expected ROWSxCOLUMNS such as 32x32, or one number for a square, got {text!r}"
        )
    return int(found[1]), int(found[2] or found[1])


class _Formatter(DefaultHelpFormatter):
    """Help that names a default where there is one, and leaves types to the placeholders."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)  # type: ignore[no-untyped-call, unused-ignore]

    def _get_help_string(self, action: argparse.Action) -> str:
        text = (action.help or "").strip().rstrip(".")
        if isinstance(action, argparse._HelpAction):
            return "Show this help and exit."
        if action.default is None:  # what that means is said in the words of Python
            return re.sub(r"\.\s+None: (.*)$", r" (default: \1)", text) + "."
        unsaid = action.default is False or action.default is argparse.SUPPRESS
        if unsaid or not action.option_strings:
            return f"{text}."
        return f"{text.replace('None: ', 'null: ')} (default: {_shown(action.default)})."

    def _expand_help(self, action: argparse.Action) -> str:
        """The help as it is: a percent sign in it is one."""
        return self._get_help_string(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wraps paragraphs, but leaves indented ones (examples) as they are."""
        paragraphs = re.split(r"\n\s*?\n", text.strip("\n"))
        return "\n\n".join(
            part
            if part.startswith(" ")
            else super(_Formatter, self)._fill_text(part, width, indent)
            for part in paragraphs
        )


class CommandParser(ArgumentParser):  # type: ignore[misc, unused-ignore]
    """The options of one verb.

    Args:
        prog: How the command is called.
        description: What it does.
        epilog: Examples, shown as they are.
    """

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=_Formatter,
            exit_on_error=False,
            allow_abbrev=False,
            print_config=None,
        )

    def add_function(self, function: Callable[..., Any]) -> None:
        """Adds an argument or option for each parameter, with help from the docstring."""
        hints = typing.get_type_hints(function)
        helps = _helps(function)
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            if parameter.kind is parameter.KEYWORD_ONLY:
                self._add_option(self, name, hints[name], parameter.default, helps.get(name, ""))
            else:
                settings: dict[str, Any] = {"type": hints[name], "help": helps.get(name, "")}
                if parameter.kind is parameter.VAR_POSITIONAL:
                    settings["nargs"] = "+"
                self.add_argument(name, metavar=name.upper(), **settings)

    def add_fields(self, dataclass: type, title: str) -> None:
        """Adds an option for each field of a dataclass, with help from its docstrings."""
        group = self.add_argument_group(title)
        hints, helps = typing.get_type_hints(dataclass), _helps(dataclass)
        for field in fields(dataclass):
            default = field.default
            if default is MISSING and field.default_factory is not MISSING:
                default = field.default_factory()
            help_text = _with_flags(helps.get(field.name, ""), hints)
            self._add_option(group, field.name, hints[field.name], default, help_text, no=True)

    def parse_given(self, argv: Sequence[str]) -> dict[str, Any]:
        """Parses a command line.

        Returns:
            Only what was given, by the name of the parameter or field.

        Raises:
            UsageError: If something is unknown, missing or of the wrong type.
        """
        parsed = self.parse_args(list(argv), defaults=False)
        return {name: value for name, value in vars(parsed).items() if not name.startswith("__")}

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a `UsageError` of one line instead of printing the usage and exiting.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self._explained(message)}; see {self.prog} --help") from ex

    def _add_option(
        self, group: Any, name: str, hint: Any, default: Any, text: str, *, no: bool = False
    ) -> None:
        kind = _without_none(hint)
        settings: dict[str, Any] = {"dest": name, "help": text}
        if kind is bool:
            settings["default"] = bool(default)
            # A configuration file may have switched it on.
            settings["action"] = ActionYesNo(no_prefix="no-") if no else "store_true"
        elif typing.get_origin(kind) is list:
            settings |= {"action": "append", "type": str, "metavar": "NAME", "default": default}
        elif kind == tuple[int, int]:
            settings |= {"type": image_size, "metavar": "ROWSxCOLUMNS", "default": default}
        elif kind == tuple[float, float]:
            settings |= {"type": float, "nargs": 2, "metavar": ("X", "Y"), "default": default}
        else:
            settings |= {"type": hint, "default": default}
            if typing.get_origin(kind) is not Literal:  # jsonargparse lists the choices
                settings["metavar"] = _placeholder(kind)
        group.add_argument(_flag(name), **settings)

    def _explained(self, message: str) -> str:
        """One line for what jsonargparse says in several."""
        if found := re.match(r"[Uu]nrecogni[sz]ed arguments: (.*)", message, re.DOTALL):
            unknown = found[1].split()[0]
            known = [flag for action in self._actions for flag in action.option_strings]
            close = difflib.get_close_matches(unknown.partition("=")[0], known, n=1)
            what = "unknown option" if unknown.startswith("-") else "unexpected argument"
            return f"{what} {unknown}" + (f", did you mean {close[0]}?" if close else "")
        if found := re.match(r'Parser key "([\w.]+)"', message):
            action = next((a for a in self._actions if a.dest == found[1]), None)
            got = re.search(r"(?:Got value|Given value): (.*)", message)
            if action is not None and got:
                flag = action.option_strings[0] if action.option_strings else found[1].upper()
                return f"{flag} expects {_expected(action)}, got {got[1].strip()!r}"
        return " ".join(message.split())


def _helps(described: Any) -> dict[str, str]:
    """The text of each parameter, or of each attribute of a class, in one paragraph."""
    if inspect.isclass(described):
        parsed = docstring_parser.parse_from_object(described)
    else:
        parsed = docstring_parser.parse(inspect.getdoc(described) or "")
    texts = {param.arg_name.lstrip("*"): param.description or "" for param in parsed.params}
    return {name: " ".join(text.split()) for name, text in texts.items()}


def _with_flags(text: str, names: Iterable[str]) -> str:
    """Names other settings as they are written on the command line."""
    for name in names:
        if "_" in name:
            text = re.sub(rf"\b{name}\b", _flag(name), text)
    return text


def _flag(name: str) -> str:
    return "--" + name.rstrip("_").replace("_", "-")


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        return members[0] if len(members) == 1 else hint
    return hint


def _placeholder(kind: Any) -> str:
    """What stands for a value in the help: N, or N|auto."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return "|".join(map(_placeholder, typing.get_args(kind)))
    if typing.get_origin(kind) is Literal:
        return "|".join(map(str, typing.get_args(kind)))
    return METAVARS.get(kind, "TEXT")


def _expected(action: Any) -> str:
    """The accepted values of an option, in words."""
    hint = getattr(action, "_typehint", action.type)
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return " or ".join(map(_in_words, typing.get_args(hint) if union else [hint]))


def _in_words(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        choices = list(map(str, typing.get_args(kind)))
        return ("one of: " if len(choices) > 1 else "") + ", ".join(choices)
    return DESCRIBED.get(kind, str(kind))


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return " ".join(map(_shown, default))
    return f"{default:g}" if isinstance(default, float) else str(default)
