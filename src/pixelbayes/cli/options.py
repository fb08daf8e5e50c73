"""From typed signatures and configurations to options; cyclopts parses and shows them.

A parameter of a function becomes an argument or an option as cyclopts has it, a field of each
section of a configuration becomes an option of its own.  Docstrings are the help.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import docstring_parser
from cyclopts import App, Group, Parameter, Token, convert

from pixelbayes.errors import PixelBayesError

__all__ = [
    "OPTIONS",
    "UsageError",
    "command",
    "configured",
    "listed",
    "parsed",
]

Config = TypeVar("Config")

SHORT = {"output": "-o", "quiet": "-q", "verbose": "-v", "count": "-n"}
"""Options that have a short form too, in every command."""
OPTIONS = Group.create_ordered("Options")
"""What is of no section of a configuration."""
OPTION_NAMES = {"model": "model_kind"}
"""Fields of a configuration whose option is called otherwise: --model names a trained model."""


class UsageError(PixelBayesError):
    """The command line cannot be understood; the message says how to mend it."""


def listed(values: list[str] | None) -> list[str] | None:
    """Splits repeated options at commas.

    >>> listed(["koala,pizza", "0"])
    ['koala', 'pizza', '0']
    """
    if values is None:
        return None
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def parsed(app: App, arguments: Sequence[str]) -> tuple[Callable[..., Any], inspect.BoundArguments]:
    """The command that a command line calls, and its arguments.

    Where pydantic is imported, cyclopts checks each value against the type that the help shows,
    which is not that of null or of what a converter returns; what else a process has imported must
    not change how a command line is read, so it does not see it.

    Raises:
        CycloptsError: If the command line is not understood.
    """
    pydantic = sys.modules.pop("pydantic", None)
    try:
        function, bound, _ = app.parse_args(arguments, print_error=False, exit_on_error=False)
    finally:
        if pydantic is not None:
            sys.modules["pydantic"] = pydantic
    return function, bound


def command(
    function: Callable[..., int],
    *,
    name: str | None = None,
    usage: str = "[OPTIONS]",
    examples: str = "",
    configuration: type | None = None,
    without: Collection[str] = (),
) -> App:
    """Makes a command of a function that returns an exit status.

    Args:
        function: Its docstring is the help; as `**settings` it takes the fields of the
            configuration that were given.
        name: Of the command; None: that of the function.
        usage: What follows the command's name.
        examples: Command lines, shown as they are.
        configuration: Dataclass of sections, which are dataclasses too.
        without: Fields of it that are no options.
    """
    helps = _helps(function)
    parameters = [
        _of_parameter(parameter, helps.get(parameter.name, ""))
        for parameter in inspect.signature(function, eval_str=True).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    if configuration is not None:
        parameters += _of_configuration(configuration, without)

    def run(*arguments: Any, **given: Any) -> int:
        return function(*arguments, **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = App(
        name=name or function.__name__,
        help=_paragraphs((inspect.getdoc(function) or "").partition("\nArgs:")[0]),
        help_epilogue=f"Examples:\n{examples.rstrip()}" if examples else "",
        usage=f"Usage: pixelbayes {name or function.__name__} {usage}",
        group_parameters=OPTIONS,
    )
    app.default(run)
    return app


def configured(config: Config, settings: Mapping[str, Any]) -> Config:
    """The configuration with the options of the command line put in.

    Args:
        config: Dataclass of sections, which are dataclasses too.
        settings: Values by the names of the fields, as `command` passes them on.

    Raises:
        PixelBayesError: If a section does not accept a value, or no section has such a field.
    """
    unknown = set(settings)
    changes: dict[str, Any] = {}
    for field in fields(config):  # type: ignore[arg-type]
        part = getattr(config, field.name)
        if is_dataclass(part) and not isinstance(part, type):
            names = {inner.name for inner in fields(part)} & set(settings)
            changes[field.name] = replace(part, **{name: settings[name] for name in names})
            unknown -= names
        elif (name := OPTION_NAMES.get(field.name, field.name)) in settings:
            changes[field.name] = settings[name]
            unknown.discard(name)
    if unknown:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(unknown))
        raise UsageError(f"{flags} says nothing of this kind of model; leave it out")
    return replace(config, **changes)  # type: ignore[type-var]


def rows_and_columns(text: str) -> tuple[int, int]:
    """Reads rows and columns.

    >>> rows_and_columns("32x48"), rows_and_columns("32")
    ((32, 48), (32, 32))

    Raises:
        UsageError: If the text is neither.
    """
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if not found:
        raise UsageError(
            f"expected ROWSxCOLUMNS such as 32x48, or one number for a square, got {text!r}"
        )
    return int(found[1]), int(found[2] or found[1])


def one_or_three(text: str) -> int | tuple[int, int, int]:
    """Reads a number for all resolutions, or one for each of the three.

    >>> one_or_three("40"), one_or_three("40,80,160")
    (40, (40, 80, 160))

    Raises:
        UsageError: If the text is neither.
    """
    numbers = [part.strip() for part in text.strip("[]() ").split(",")]
    if len(numbers) not in (1, 3) or not all(part.isdecimal() for part in numbers):
        raise UsageError(f"expected a whole number, or three such as 40,80,160, got {text!r}")
    first, *others = map(int, numbers)
    return (first, others[0], others[1]) if others else first


def _of_parameter(parameter: inspect.Parameter, text: str) -> inspect.Parameter:
    """The parameter with its help, and its default where the help says it in words."""
    shown: str | Literal[False] = _shown(parameter.default)
    if said := re.search(r"\s*\(default: (.*)\)\.?$", text):
        text, shown = f"{text[: said.start()].rstrip('.')}.", said[1]
    extra = Parameter(help=text, show_default=shown, negative=(), alias=SHORT.get(parameter.name))
    return parameter.replace(annotation=Annotated[parameter.annotation, extra])


def _of_configuration(configuration: type, without: Collection[str]) -> Iterator[inspect.Parameter]:
    """One option for each field of each section; a name belongs to one section only."""
    hints = typing.get_type_hints(configuration)
    for field in fields(configuration):  # a section whose class depends on another field
        hints[field.name] = field.metadata.get("section", hints[field.name])
    own = [field for field in fields(configuration) if not is_dataclass(hints[field.name])]
    sections = [(configuration, own, OPTIONS)]
    for name, section in hints.items():
        if is_dataclass(section):
            assert isinstance(section, type)
            sections.append((section, list(fields(section)), Group.create_ordered(name)))
    seen: set[str] = set()
    for section, section_fields, group in sections:
        helps, hints = _helps(section), typing.get_type_hints(section)
        for field in section_fields:
            name = OPTION_NAMES.get(field.name, field.name) if group is OPTIONS else field.name
            assert name not in seen, f"two sections have a field {name}"
            seen.add(name)
            if name not in without:
                text = _with_flags(helps.get(field.name, ""), hints)
                yield _of_field(name, field, hints[field.name], text, group)


def _of_field(
    name: str, field: Field[Any], hint: Any, text: str, group: Group
) -> inspect.Parameter:
    default = field.default
    if default is MISSING and field.default_factory is not MISSING:
        default = field.default_factory()
    shown: str | Literal[False] = _shown(default)
    if default is None and (said := re.search(r"\.\s+None: (.*)\.$", text)):
        text, shown = f"{text[: said.start()]}.", said[1]
    text = text.replace("None: ", "null: ")  # as in YAML
    kind = _without_none(hint)
    optional = kind != hint
    if choices := field.metadata.get("choices"):
        kind = Literal[tuple(choices)]
    read: Callable[[Sequence[Token]], Any] | None = None
    if kind == tuple[int, int]:
        kind, read = str, lambda tokens: rows_and_columns(tokens[0].value)
        text += " ROWSxCOLUMNS, or one number for a square."
    elif kind == int | tuple[int, int, int]:
        kind, read = str, lambda tokens: one_or_three(tokens[0].value)
        text += " One number, or three with commas."
    elif optional:
        read = partial(convert, kind)
    negative = f"--no-{name.replace('_', '-')}" if kind is bool else ()  # against a file's yes
    settings = Parameter(
        help=text,
        group=group,
        show_default=shown,
        negative=negative,
        converter=None if read is None else _nullable(read),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, settings],
    )


def _nullable(read: Callable[[Sequence[Token]], Any]) -> Callable[[Any, Sequence[Token]], Any]:
    """A converter that takes null, YAML's word for None, and reads everything else."""
    return lambda _, tokens: None if tokens[0].value == "null" else read(tokens)


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        return members[0] if len(members) == 1 else hint
    return hint


def _helps(described: Callable[..., Any] | type) -> dict[str, str]:
    """Help for each parameter (from Args) or field (from the docstring under it)."""
    if isinstance(described, type):
        parsed = docstring_parser.parse_from_object(described)
    else:
        parsed = docstring_parser.parse(inspect.getdoc(described) or "")
    texts = {param.arg_name.lstrip("*"): param.description or "" for param in parsed.params}
    return {name: " ".join(text.split()) for name, text in texts.items()}


def _with_flags(text: str, names: Iterable[str]) -> str:
    """Names other settings as they are written on the command line."""
    for name in names:
        if "_" in name:
            text = re.sub(rf"\b{name}\b", f"--{name.replace('_', '-')}", text)
    return text


def _paragraphs(text: str) -> str:
    """Each paragraph in one line, which the help breaks where its width wants it."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _shown(default: Any) -> str | Literal[False]:
    """The default as it would be typed; False where there is none to type."""
    if default is None or default is False or default is inspect.Parameter.empty:
        return False
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)
