"""The program as a whole: commands, exit status, messages."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelbayes.cli.main import COMMANDS, main
from pixelbayes.cli.options import command
from pixelbayes.errors import PixelBayesError
from pixelbayes.training import DivergedError

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_without_a_command_the_help_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert all(f"│ {verb}" in err for verb in COMMANDS)


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_one_line(flag: str, capsys: Capture) -> None:
    from pixelbayes import __version__

    assert main([flag]) == 0
    assert capsys.readouterr().out == f"pixelbayes {__version__}\n"


def test_the_commands_are_listed_in_the_order_of_their_use(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    lines = [line.strip("│ ").split()[:1] for line in capsys.readouterr().out.splitlines()]
    assert [words[0] for words in lines if words and words[0] in COMMANDS] == list(COMMANDS)


def test_a_misspelled_command_gets_a_suggestion(capsys: Capture) -> None:
    assert main(["trian"]) == 2
    err = capsys.readouterr().err
    assert err.startswith('pixelbayes: error: Unknown command "trian". Did you mean "train"?')
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["{}", "--help"], ["{}", "-h"], ["help", "{}"]])
@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_has_help_without_leftovers(
    verb: str, arguments: list[str], capsys: Capture
) -> None:
    assert main([word.format(verb) for word in arguments]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: pixelbayes {verb} [OPTIONS]")
    assert not any(word in out for word in ("None", "Args:", "TODO", "%%", "--accelerator"))
    assert max(map(len, out.splitlines())) <= 80
    options = [word for word in out.split() if word.startswith("--")]
    assert {"--quiet", "--verbose"} <= set(options)
    assert not any("_" in option for option in options)


@pytest.mark.parametrize(
    ("words", "verbs"),
    [
        ("--quiet -q", COMMANDS),
        ("--verbose -v", COMMANDS),
        ("--output -o", ["demo", "train", "study", "evaluate", "predict", "sample"]),
        ("--count -n", ["sample"]),
        ("--device CHOICE", ["train", "study", "evaluate", "predict", "sample"]),
        ("choices: auto, cpu, cuda", ["train", "study", "evaluate", "predict", "sample"]),
        ("--json", ["demo", "train", "study", "evaluate", "sample", "info"]),
        ("--seed INT", ["train", "evaluate", "sample"]),
        ("MODEL --model", ["evaluate", "sample", "info"]),
    ],
)
def test_an_option_has_one_name_in_every_command(
    words: str, verbs: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    for verb in verbs:
        main([verb, "--help"])
        # Without placeholders, which cyclopts 4 does not show.
        assert words.removesuffix(" CHOICE").removesuffix(" INT") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("predict", ["nats per image", "code length"]),
        ("sample", ["nats per image", "whatever the batch size"]),
        ("complete", ["nats per image", "in pixels"]),
        ("score", ["in nats", "bits per dimension"]),
        ("evaluate", ["95 %", "bits per dimension"]),
        ("train", ["HH:MM:SS", "in pixels", "[0, 1)", "Rows and columns"]),
    ],
)
def test_help_names_units(
    verb: str, words: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    main([verb, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert [word for word in words if word not in text] == []


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def info(model: str, *, verbose: bool = False) -> int:
        """Fails."""
        raise error

    monkeypatch.setattr("pixelbayes.cli.commands.info.app", lambda: command(info))


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (PixelBayesError("a is b"), 2, "pixelbayes: error: a is b\n"),
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
        (MemoryError(), 1, "pixelbayes: error: MemoryError (out of memory: try a smaller --batch"),
        (KeyboardInterrupt(), 130, "pixelbayes: interrupted\n"),
        (
            ModuleNotFoundError("No", name="matplotlib"),
            2,
            "pixelbayes: error: this needs matplotlib, which is not installed: pip install "
            "'pixelbayes[report]', or in a clone: pip install '.[report]'\n",
        ),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_foreseen_errors_are_one_line(
    error: BaseException, status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("pixelbayes.cli.main._discard_stdout", lambda: None)
    raising(error, monkeypatch)
    assert main(["info", "x"]) == status
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") <= 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full is Linux's")
@pytest.mark.parametrize("command", [["info", "digits"], ["info", "digits", "--json"], ["--help"]])
def test_a_full_disk_behind_standard_output_is_named(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "pixelbayes", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr == "pixelbayes: error: standard output: No space left on device\n"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        ValueError("a is b"),
        TypeError("a is b"),
        OSError(errno.ENOSPC, "No space left"),
        ModuleNotFoundError("No", name="tortch"),
    ],
)
def test_a_fault_of_ours_is_not_disguised_as_a_mistake_of_the_user(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    raising(error, monkeypatch)
    assert main(["info", "x"]) == 70
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("pixelbayes: error: this is a fault of pixelbayes")


def test_a_shape_that_numpy_refuses_is_a_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def info(model: str) -> int:
        """Fails as a defect of ours would."""
        return int(np.zeros(3).reshape(2, 2).sum())

    monkeypatch.setattr("pixelbayes.cli.commands.info.app", lambda: command(info))
    assert main(["info", "x"]) == 70
    assert "ValueError: cannot reshape array" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["option", "short", "variable"])
def test_the_traceback_of_a_foreseen_error_can_be_had(
    way: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    raising(PixelBayesError("a is b"), monkeypatch)
    if way == "variable":
        monkeypatch.setenv("PIXELBAYES_TRACEBACK", "1")
    arguments = {"option": ["--verbose"], "short": ["-v"], "variable": []}[way]
    assert main(["info", "x", *arguments]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("pixelbayes: error: a is b\n")


@pytest.mark.parametrize("verb", ["", *COMMANDS])
def test_help_loads_no_heavy_library(verb: str) -> None:
    arguments = [verb, "--help"] if verb else ["--help"]
    code = (
        f"import sys; from pixelbayes.cli.main import main; assert main({arguments}) == 0; "
        "heavy = {'torch', 'numpy', 'pytorch_lightning', 'matplotlib', 'sklearn', 'scipy', 'PIL'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_a_shell(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["--install-completion", "--shell", shell]) == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = [path.read_text(encoding="utf-8") for path in written]
    assert any("evaluate" in text and "init-from" in text for text in texts), written


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


def test_what_else_a_process_has_imported_changes_no_command_line(capsys, tmp_path):
    pytest.importorskip("pydantic", reason="comes with the extra app")
    arguments = ["train", "--data", "digits", "--limit", "20", "--image-size", "8x8", "--quiet"]
    arguments += ["--epochs", "1", "--features", "4,4,4", "--patience", "null"]
    assert main([*arguments, "--output", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    assert "pydantic" in sys.modules
