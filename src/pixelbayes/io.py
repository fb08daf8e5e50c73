"""Files that are whole or not there, strict JSON, and dataclasses from plain values and back.

A file of this package is written exactly and read tolerantly: `Reading` says how tolerantly.
"""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import cattrs
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from pixelbayes.errors import PixelBayesError

__all__ = [
    "PARTIAL",
    "SURROGATE",
    "FormatError",
    "FormatWarning",
    "Reading",
    "naming",
    "on_disk",
    "plain",
    "read_json",
    "replacing",
    "structure",
    "to_json",
    "write_json",
    "write_together",
    "write_whole",
]

PARTIAL = ".partial"  # ends the name of a file that is being written

SURROGATE = re.compile("[\ud800-\udfff]")  # how Python has a byte of a file name that is no UTF-8

SCALARS: dict[type, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    str: (str,),
}
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}

Structured = TypeVar("Structured")


class FormatError(PixelBayesError):
    """A file does not hold what it should, with the place in it."""


class FormatWarning(UserWarning):
    """A file holds more than this version understands."""


class Reading(Enum):
    """What is made of fields that are missing or unknown."""

    CONFIGURATION = "configuration"
    """Written by people: what is missing has its default, what is unknown is refused by name."""
    CURRENT = "current"
    """Written by this format: what is missing is damage, what is unknown is named in a warning."""
    OLDER = "older"
    """Written before some fields were: what is missing has its default, where it has one."""


@contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """A file beside `path` to write into, which takes its place at the end.

    A device or a pipe keeps its place and is written into; so does what a link leads to.

    If anything fails, what was there before stays and the new file is removed.  The content is on
    the disk before it takes the place of anything: a machine that loses its power keeps one of
    the two.

    Args:
        path: The file to replace.
        size: Bytes that will be written, as far as that is known.

    Raises:
        OSError: If the file cannot be written; it names `path`, whichever write failed.
    """
    kept = path.exists() and not (path.is_file() or path.is_dir())
    if kept:
        descriptor, name = tempfile.mkstemp(PARTIAL)
        os.close(descriptor)
        partial = Path(name)
    else:
        path = path.resolve() if path.is_symlink() else path
        partial = path.with_name(path.name + PARTIAL)
    try:
        with naming(path, partial, size):
            yield partial
            if kept:
                with partial.open("rb") as content, path.open("wb") as device:
                    shutil.copyfileobj(content, device)
                partial.unlink()
            else:
                on_disk(partial)
                os.replace(partial, path)
    except BaseException:
        with suppress(OSError):  # a disk that is read-only now: the first error is the one to tell
            partial.unlink(missing_ok=True)
        raise


def on_disk(file: Path) -> None:
    """Waits until the content of a file is on the disk, as far as the system knows."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


@contextmanager
def naming(path: Path, written: Path, size: int = 0) -> Iterator[None]:
    """Makes errors of writing name the path that a user knows, and what a full disk lacks.

    Args:
        path: What the user asked for.
        written: The temporary file or folder that is written in its place.
        size: Bytes that will be written, as far as that is known.

    Raises:
        OSError: For one that names no file, as a full disk's does, or what is written elsewhere.
    """
    try:
        yield
    except OSError as error:
        name = None if error.filename is None else Path(os.fsdecode(error.filename))
        elsewhere = written != path and name is not None
        ours = name is None or (elsewhere and written in (name, *name.parents))
        if error.errno is None or not ours:
            raise
        reason = error.strerror or os.strerror(error.errno)
        if error.errno == errno.ENOSPC:
            done = _bytes_in(written)
            needed = f"; it needs more than {done:,} bytes" if done else ""
            if size:
                needed = f"; it needs {size:,} bytes"
            reason += f"{needed}; free some space and try again"
        raise OSError(error.errno, reason, str(path)) from error


def write_whole(path: Path, content: str | bytes) -> None:
    r"""Writes a file that appears whole or not at all; text as UTF-8, as it is.

    A byte of a file name that is no UTF-8 is written as `\udcXX`: any program can read the file.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, str | bytes]) -> None:
    """Writes files that belong together, as `write_whole`; where one fails, none is replaced.

    Raises:
        OSError: As `replacing`.
    """
    with ExitStack() as stack:
        for path, content in files.items():
            data = content
            if isinstance(data, str):
                data = data.encode("utf-8", "backslashreplace")
            stack.enter_context(replacing(path, len(data))).write_bytes(data)


def to_json(content: Any) -> str:
    r"""JSON that any program reads, indented, with a line break at its end.

    A byte of a file name that is no UTF-8 is written as `\udcXX`, of which `read_json` and
    `os.fsencode` make the byte again.

    >>> to_json(["caf" + chr(0xDCE9)])
    '[\n  "caf\\udce9"\n]\n'

    Raises:
        ValueError: If a number is not finite, for which JSON has no word.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, whole or not at all.

    Raises:
        ValueError: As `to_json`.
    """
    write_whole(path, to_json(content))


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Content of a JSON file that holds names and values.

    Args:
        path: The file.
        what: What it should describe, for error messages: "a run".

    Raises:
        FileNotFoundError: If there is none.
        FormatError: If it cannot be read, is damaged, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path} does not describe {what}")
    return content


def plain(value: Any) -> Any:
    """A dataclass, or a collection of them, as the dicts, lists and scalars of JSON and YAML."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def structure(cls: type[Structured], content: Any, origin: str, reading: Reading) -> Structured:
    """Makes a dataclass of plain values, and dataclasses of what is in it.

    Values must have the type of their field: a text is no number, and 1 is no truth value.

    Args:
        cls: The dataclass.
        content: As `plain` makes it.
        origin: Where it is from, for messages.
        reading: How tolerantly.

    Raises:
        FormatError: If a field is missing, unknown or of another type, or a value is refused by
            the dataclass; the message names the place.
    """
    try:
        return _converter(reading).structure(content, cls)
    except Exception as error:
        reasons = cattrs.transform_error(error, origin, _reason)
        raise FormatError("; ".join(dict.fromkeys(reasons))) from error


@cache
def _converter(reading: Reading) -> cattrs.Converter:
    converter = cattrs.Converter()
    for kind, accepted in SCALARS.items():
        converter.register_structure_hook(kind, _scalar_hook(kind, accepted))

    def hook_of(cls: type) -> Callable[[Any, Any], Any]:
        inner: Callable[[Any, Any], Any] = make_dict_structure_fn(
            cls, converter, _cattrs_forbid_extra_keys=reading is Reading.CONFIGURATION
        )
        names = [field.name for field in fields(cls)]
        lists = [name for name, hint in get_type_hints(cls).items() if _is_tuple(hint)]

        def hook(content: Any, kind: Any) -> Any:
            if not isinstance(content, Mapping):
                raise TypeError(
                    f"names and values ({', '.join(names)}) are wanted, got {content!r}"
                )
            missing = [name for name in names if name not in content]
            if missing and reading is Reading.CURRENT:
                raise TypeError(f"{', '.join(missing)} missing: the file is damaged")
            unknown = [str(name) for name in content if name not in names]
            if unknown and reading is not Reading.CONFIGURATION:
                warnings.warn(
                    f"a {cls.__name__} was written with what this version does not know, which "
                    f"is left aside: {', '.join(unknown)}",
                    FormatWarning,
                    stacklevel=2,
                )
            for name in lists:  # else a text would be taken for the list of its letters
                if not isinstance(content.get(name), (list, tuple, type(None))):
                    raise TypeError(f"{name} is a list, got {content[name]!r}")
            return inner(content, kind)

        return hook

    converter.register_structure_hook_factory(is_dataclass, hook_of)
    converter.register_structure_hook(int | tuple[int, int, int], _one_or_three(converter))
    return converter


def _is_tuple(hint: Any) -> bool:
    """Whether a field is a tuple, or None in its place."""
    alternatives = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return all(get_origin(part) is tuple for part in alternatives if part is not NoneType)


def _one_or_three(converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """A number for all resolutions of a network, or one for each of the three."""

    def hook(value: Any, _: Any) -> Any:
        kind = tuple[int, int, int] if isinstance(value, (list, tuple)) else int
        return converter.structure(value, kind)

    return hook


def _scalar_hook(kind: type, accepted: tuple[type, ...]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            # YAML reads 1e-3 as text: it wants a point in the number.
            number = isinstance(value, str) and kind in (int, float)
            hint = "; in YAML a number has a point before its e: 1.0e-3" if number else ""
            raise TypeError(f"{NAMES[kind]} is wanted, got {value!r}{hint}")
        return kind(value)

    return hook


def _reason(error: BaseException, kind: type | None) -> str:
    """One reason in words; `cattrs.transform_error` adds the place."""
    if isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in fields(error.cl)]
        truth = any(isinstance(name, bool) for name in error.extra_fields)
        names = ", ".join(sorted(map(str, error.extra_fields)))  # YAML has keys of other types too
        close = difflib.get_close_matches(names, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        if truth:
            hint += "; YAML reads on, off, yes and no as true or false, unless they are in quotes"
        return f"unknown key {names}; known: {', '.join(known)}{hint}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, (TypeError, ValueError)):
        return str(error)
    return cattrs.v.format_exception(error, kind)


def _bytes_in(written: Path) -> int:
    """Size of a file, or of all files in a folder; 0 where there is none."""
    files = written.rglob("*") if written.is_dir() else [written]
    return sum(file.stat().st_size for file in files if file.is_file())


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON; the file was written by a faulty program")
