"""Every option of every command and every flag of the course's scripts is still there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.frozen.record import (
    COMMANDS,
    RUN,
    SCRIPTS,
    TRAIN,
    call,
    default_of,
    golden,
    option_texts,
    script_flags,
)

OLD_NAMES = {
    ("train", "--accelerator"): [*TRAIN, "--accelerator", "cpu", "--output", "{folder}/run"],
    ("study", "--accelerator"): ["study", "--accelerator", "cpu", "--help"],
    ("predict", "--model"): ["predict", "--model", str(RUN), "{folder}", "--quiet"],
    ("sample", "--model"): [
        "sample",
        "--model",
        str(RUN),
        "--count",
        "1",
        "--output",
        "{folder}/s",
    ],
    **{
        ("sample", option): [
            *("sample", str(RUN), "--class", "3", "--count", "1", "--output", "{folder}/s"),
            *("--complete", "{folder}/image.png", *more),
        ]
        for option, more in {
            "--complete": [],
            "--rows": ["--rows", "5"],
            "--mask": ["--mask", "{folder}/mask.png"],
            "--candidates": ["--candidates", "2"],
        }.items()
    },
}
"""Options that `--help` may leave out, with a command line that uses them and succeeds.

An option that another name replaces gets an entry here before it leaves the help.
"""


def missing(command: str) -> list[str]:
    """Recorded options that are neither in the help nor in `OLD_NAMES`."""
    shown = option_texts(command)
    return [
        name
        for name in golden("options")[command]
        if name not in shown and (command, name) not in OLD_NAMES
    ]


def same_default(shown: str | None, recorded: str) -> bool:
    """Whether both are the same word or the same numbers, however they are written."""
    if shown is None:
        return False
    numbers = [re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text) for text in (shown, recorded)]
    if re.fullmatch(r"[\d.e\s-]*\d[\d.e\s-]*", recorded):
        return [float(n) for n in numbers[0]] == [float(n) for n in numbers[1]]
    return shown == recorded


@pytest.mark.parametrize("command", COMMANDS)
def test_every_recorded_option_is_in_the_help_or_is_an_old_name(command):
    assert not missing(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_default_that_is_one_value_is_the_recorded_one(command):
    """Defaults in words, such as "as in training", may be worded anew."""
    shown = option_texts(command)
    different = {
        name: (recorded, default_of(shown[name]))
        for name, recorded in golden("options")[command].items()
        if name in shown and recorded and (" " not in recorded or recorded[0].isdigit())
        if not same_default(default_of(shown[name]), recorded)
    }
    assert not different


@pytest.mark.parametrize(("command", "name"), OLD_NAMES)
def test_an_old_name_is_accepted(command, name, tmp_path):
    arguments = [text.format(folder=tmp_path) for text in OLD_NAMES[command, name]]
    assert arguments[0] == command
    assert name in arguments
    if command in ("predict", "sample"):
        write_images(tmp_path)
    call(*arguments)


def write_images(folder: Path) -> None:
    from PIL import Image

    Image.new("L", (8, 8)).save(folder / "image.png")
    mask = Image.new("L", (8, 8))
    mask.paste(255, (0, 4, 8, 8))
    mask.save(folder / "mask.png")


@pytest.mark.parametrize(
    ("text", "option", "default"),
    [
        ("│ --lr  --rate  Learning rate. [default: 0.002]   │", "--lr", "0.002"),
        ("│ MODEL --model  A model. [default: cpen455-gated] │", "--model", "cpen455-gated"),
        ("  -q, --quiet, --no-quiet  Says nothing; see --lr.", "--no-quiet", None),
        ("  --device {auto,cpu}   Where\n        it runs (default: auto).", "--device", "auto"),
        ("  --betas X Y   Decay (default: 0.9 0.999).", "--betas", "0.9 0.999"),
    ],
)
def test_options_are_found_in_the_help_of_any_library(monkeypatch, text, option, default):
    monkeypatch.setattr(f"{option_texts.__module__}.call", lambda *_: text)
    texts = option_texts("train")
    assert default_of(texts[option]) == default


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_course_script_has_its_recorded_flags(script):
    found, recorded = script_flags(script), golden("scripts")[script]
    assert {flag: found.get(flag) for flag in recorded} == recorded
