"""From signatures to options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pixelbayes.cli.signatures import CommandParser, UsageError


def command(
    model: Path,
    *paths: Path,
    learning_rate: float = 0.5,
    limit: int | None = None,
    class_: list[str] | None = None,
    device: Literal["auto", "cpu"] = "auto",
    batch: int | Literal["auto"] = "auto",
    loud: bool = False,
) -> None:
    """Does something.

    Args:
        model: The model.
        paths: Files.
        learning_rate: In steps of 10 %.
        limit: At most.
        class_: A class.
        device: A device.
        batch: A size.
        loud: Loudly.
    """


@dataclass
class Settings:
    """Settings."""

    image_size: tuple[int, int] | None = None
    """Rows and columns, in pixels."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Two decays."""
    skip_bad_files: bool = False
    """Skips."""
    max_time: str | None = None
    """Duration."""


@pytest.fixture
def parser() -> CommandParser:
    parser = CommandParser("prog", "About.")
    parser.add_function(command)
    parser.add_fields(Settings, "settings")
    return parser


def test_only_what_was_given_is_returned(parser: CommandParser) -> None:
    given = parser.parse_given(["m", "a", "b", "--learning-rate", "1e-3", "--loud"])
    assert given == {
        "model": Path("m"),
        "paths": [Path("a"), Path("b")],
        "learning_rate": 1e-3,
        "loud": True,
    }


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--image-size", "32x48"], "image_size", (32, 48)),
        (["--image-size", "32"], "image_size", (32, 32)),
        (["--skip-bad-files"], "skip_bad_files", True),
        (["--no-skip-bad-files"], "skip_bad_files", False),
        (["--max-time", "01:10:00"], "max_time", "01:10:00"),
        (["--max-time", "90m"], "max_time", "90m"),
        (["--max-time", "null"], "max_time", None),
        (["--limit", "null"], "limit", None),
        (["--limit=7"], "limit", 7),
        (["--class", "a,b", "--class", "0"], "class_", ["a,b", "0"]),
        (["--batch", "auto"], "batch", "auto"),
        (["--batch", "4"], "batch", 4),
    ],
)
def test_options_have_the_types_of_the_signature(
    parser: CommandParser, arguments: list[str], name: str, value: object
) -> None:
    given = parser.parse_given(["m", "p", *arguments])
    assert given[name] == value


def test_two_numbers_make_a_pair(parser: CommandParser) -> None:
    given = parser.parse_given(["m", "p", "--betas", "0.5", "0.75"])
    assert Settings(**{"betas": tuple(given["betas"])}).betas == (0.5, 0.75)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m", "p", "--lout"], "unknown option --lout, did you mean --loud?; see prog --help"),
        (["m", "p", "--limit", "x"], "--limit expects a whole number or null, got 'x'"),
        (["m", "p", "--learning-rate", "x"], "--learning-rate expects a number, got 'x'"),
        (["m", "p", "--device", "gpu"], "--device expects one of: auto, cpu, got 'gpu'"),
        (["m", "p", "--image-size", "axb"], "expected ROWSxCOLUMNS such as 32x32"),
        (["m"], "the following arguments are required: paths"),
        (["m", "p", "--limit"], "--limit: expected one argument"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    parser: CommandParser, arguments: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parser.parse_given(arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_takes_its_words_from_the_docstrings(parser: CommandParser) -> None:
    text = " ".join(parser.format_help().split())
    assert "--learning-rate X In steps of 10 % (default: 0.5)." in text
    assert "--image-size ROWSxCOLUMNS Rows and columns, in pixels." in text
    assert "--batch N|auto A size (default: auto)." in text
    assert "--class NAME A class." in text
    assert "_" not in text.replace("prog", "")
