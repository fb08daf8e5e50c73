"""The program as a whole: verbs, exit status, messages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pixelbayes.cli.main import COMMANDS, main
from pixelbayes.training import DivergedError


def test_without_a_command_the_help_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(f"  {verb}" in err for verb in COMMANDS)


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from pixelbayes import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pixelbayes {__version__}\n"


def test_a_misspelled_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("pixelbayes: error: unknown command 'trian'; choose one of: demo, train")
    assert err.endswith("did you mean train?\n")


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_has_help_without_leftovers(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: pixelbayes {verb}")
    assert not any(word in out for word in ("None", "SUPPRESS", "TODO", "type:", "%%"))
    options = [line.split()[0] for line in out.splitlines() if line.startswith("  --")]
    assert options
    assert not any("_" in option for option in options)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("predict", ["nats per image", "code length"]),
        ("sample", ["nats per image", "in pixels"]),
        ("evaluate", ["95 %", "bits per dimension"]),
        ("train", ["HH:MM:SS", "in pixels", "[0, 1)", "Rows and columns"]),
    ],
)
def test_help_names_units(verb: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert [word for word in words if word not in text] == []


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    import pixelbayes.cli.commands.info as module

    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(module, "main", fail)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("a is b"), 2, "pixelbayes: error: a is b\n"),
        (
            FileNotFoundError(2, "No such file", "x.png"),
            2,
            "pixelbayes: error: x.png: No such file\n",
        ),
        (
            DivergedError(7, 0.1),
            1,
            "pixelbayes: error: training diverged: the loss is not finite after",
        ),
        (RuntimeError("CUDA out of memory. Tried"), 1, "pixelbayes: error: CUDA out of memory."),
        (KeyboardInterrupt(), 130, "pixelbayes: interrupted\n"),
        (
            ModuleNotFoundError("No", name="matplotlib"),
            2,
            "pixelbayes: error: the report's figures",
        ),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_foreseen_errors_are_one_line(
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pixelbayes.cli.main._discard_stdout", lambda: None)
    raising(error, monkeypatch)
    assert main(["info", "x"]) == status
    assert capsys.readouterr().err.startswith(line)


def test_a_defect_is_not_disguised_as_a_mistake_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raising(RuntimeError("shapes differ"), monkeypatch)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["info", "x"])


def test_the_traceback_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELBAYES_TRACEBACK", "1")
    raising(ValueError("a is b"), monkeypatch)
    with pytest.raises(ValueError, match="a is b"):
        main(["info", "x"])


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from pixelbayes.cli.main import main; main(['train', '--help']); "
        "heavy = {'pytorch_lightning', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_stops_early_sees_no_complaint() -> None:
    program = "import sys; from pixelbayes.cli.main import main; sys.exit(main(['info', 'digits']))"
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert done.stderr == b""
    assert done.returncode == 141
