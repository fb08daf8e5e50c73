"""The page as it is served, without a browser: `tests/app/browser.py` has one.

The command runs in a process of its own, as a user starts it; Gradio is not imported here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import log
from pathlib import Path

import pytest
import torch

from pixelbayes.app.server import _launched
from pixelbayes.cli.commands.app import _ended_by_signals
from pixelbayes.cli.main import main
from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.data import Resize
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Metadata, PixelBayes

without_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="the extra app is not installed"
)
PATIENCE = 120.0  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = PixelCNNConfig(
        classes=2, image_size=(8, 8), channels=1, features=2, blocks_per_stage=1, mixtures=1
    )
    metadata = Metadata(
        classes=("<b>", "two"), resize=asdict(Resize(size=(8, 8))), log_prior=(log(0.5),) * 2
    )
    folder = tmp_path_factory.mktemp("page") / "tiny"
    PixelBayes(PixelCNN(config), metadata).save(folder)
    return folder


class Page:
    """The page in a process of its own."""

    def __init__(self, model: Path, files: Path) -> None:
        command = ["-m", "pixelbayes", "app", str(model), "--port", str(free_port())]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=model.parent,
            env={**os.environ, "TMPDIR": str(files)},
        )
        self.files = files
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def end(self) -> None:
        """Interrupts it, if it still runs, and sees that it ends in good order."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            _, errors = self.process.communicate(timeout=PATIENCE)
            assert self.process.returncode == 130, errors


@pytest.fixture(scope="module")
def page(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    running = Page(model, tmp_path_factory.mktemp("files"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def address(page: Page) -> str:
    """Of the page."""
    return page.address


def opened(address: str) -> tuple[dict[str, str], str]:
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        return dict(answer.headers), answer.read().decode()


@without_gradio
def test_it_listens_at_this_machine_and_forbids_the_browser_every_other(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")
    headers, text = opened(address)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "fonts.googleapis" not in text
    assert "cdn" not in text


@without_gradio
def test_it_has_four_tabs_and_no_analytics_and_no_public_interface(address: str) -> None:
    config = json.loads(opened(f"{address}config")[1])
    tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    assert tabs == ["Classify", "Create", "Complete", "Folder"]
    assert config["analytics_enabled"] is False
    assert {event["api_visibility"] for event in config["dependencies"]} == {"private"}


@without_gradio
def test_no_file_of_the_machine_is_served(address: str, model: Path) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        opened(f"{address}gradio_api/file={model / 'model.json'}")


@without_gradio
def test_a_port_that_is_taken_gets_a_sentence(
    address: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = address.rstrip("/").rsplit(":", 1)[1]
    assert main(["app", str(model), "--port", port]) == 2
    assert "choose another port with --port" in capsys.readouterr().err


@without_gradio
@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_number_that_is_no_port_gets_a_sentence(
    model: Path, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    assert main(["app", str(model), "--port", port]) == 2
    assert f"--port is a number from 1 to 65535, got {port}" in capsys.readouterr().err


def test_a_port_that_is_taken_while_the_model_loads_gets_the_same_sentence() -> None:
    class Taken:
        def launch(self, **_: object) -> None:
            raise OSError("Cannot find empty port in range: 7860-7860.")

    with pytest.raises(
        PixelBayesError, match=r"127\.0\.0\.1:7860 cannot .* another port with --port"
    ):
        _launched(Taken(), "127.0.0.1", 7860, share=False)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_ends_the_page_from_outside_lets_it_clean_up(name: str) -> None:
    if not hasattr(signal, name):
        pytest.skip("this system has no such signal")
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as raised, _ended_by_signals():
        signal.raise_signal(number)
    assert raised.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_another_address_comes_with_a_word(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def interrupted(names: list[str], **options: object) -> Iterator[str]:
        assert options["host"] == "0.0.0.0"
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("pixelbayes.app.server.serving", interrupted)
    assert main(["app", str(model), "--host", "0.0.0.0"]) == 130
    assert "there is no password" in capsys.readouterr().err


def test_without_gradio_the_extra_is_named(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in [name for name in sys.modules if name.startswith("pixelbayes.app.page")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert main(["app", str(model), "--port", str(free_port())]) == 2
    assert "pip install 'pixelbayes[app]'" in capsys.readouterr().err


def test_an_unknown_model_is_told_before_anything_is_served(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["app", "no-such-model", "--port", str(free_port())]) == 2
    assert "no model 'no-such-model'" in capsys.readouterr().err


@without_gradio
def test_two_computations_run_at_a_time_whatever_they_are(model: Path) -> None:
    program = (
        "import sys\n"
        "from pixelbayes.app.limits import Limits\n"
        "from pixelbayes.app.models import ModelShelf\n"
        "from pixelbayes.app.page import build\n"
        "page = build(ModelShelf([sys.argv[1]]), Limits())\n"
        "events = page.fns.values()\n"
        "print([e.concurrency_limit for e in events if e.concurrency_id == 'model'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(model)], capture_output=True, text=True, check=True
    )
    limits = json.loads(done.stdout.splitlines()[-1])
    assert len(limits) >= 4  # every tab computes
    assert {*limits} == {2}


@without_gradio
def test_uploads_go_with_the_page(page: Page) -> None:
    """The last one here: it ends the page."""
    assert opened(page.address)[1]
    (uploads,) = page.files.glob("pixelbayes-app-*")
    (uploads / "photo.png").write_bytes(b"uploaded")
    page.end()
    assert not uploads.exists()
