from __future__ import annotations

import getpass
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pixelbayes.workflows.provenance import command, commit, provenance


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a package in src; returns the package."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "module.py").write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return package


def test_a_clean_checkout_has_its_commit(checkout: Path) -> None:
    found = commit(checkout)

    assert found is not None
    assert len(found) == 40


def test_changed_or_new_source_makes_the_commit_dirty(checkout: Path) -> None:
    (checkout / "new.py").touch()

    assert (commit(checkout) or "").endswith("-dirty")


def test_results_beside_the_source_do_not_make_the_commit_dirty(checkout: Path) -> None:
    (checkout.parents[1] / "runs").mkdir()
    (checkout.parents[1] / "runs" / "model").touch()

    assert not (commit(checkout) or "-dirty").endswith("-dirty")


def test_an_installed_package_has_no_commit_of_a_repository_around_it(checkout: Path) -> None:
    installed = checkout.parents[1] / "venv" / "site-packages" / "package"
    installed.mkdir(parents=True)

    assert commit(installed) is None


def test_the_command_is_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/env/bin/pixelbayes", "train", "--data", "my photos"])

    assert command() == "pixelbayes train --data 'my photos'"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("/somewhere/pixelbayes/__main__.py", "pixelbayes info x"),
        ("/somewhere/benchmarks/__main__.py", "python -m benchmarks info x"),
    ],
)
def test_a_module_that_was_run_is_named_as_it_can_be_called(
    program: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [program, "info", "x"])
    assert command() == expected


def test_provenance_is_plain_json_without_names_of_host_or_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["pixelbayes", "demo"])
    monkeypatch.setattr(platform, "node", lambda: "secret-host")
    monkeypatch.setattr(getpass, "getuser", lambda: "secret-user")

    text = json.dumps(provenance())

    assert json.loads(text)["versions"]["torch"] == torch.__version__
    assert "secret" not in text
    assert str(Path.home()) + "/" not in text
