"""Shipped models: what a name means, and that asking costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pixelbayes
from pixelbayes.models import CheckpointError, PixelBayes, hub

BUDGET = 8_000_000  # bytes


@pytest.fixture
def shelf(tiny_model: PixelBayes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that ships one model, of the default name."""
    folder = tmp_path / "pretrained"
    tiny_model.save(folder / hub.DEFAULT)
    (folder / hub.DEFAULT / "README.md").write_text("# A card\n")
    monkeypatch.setattr(hub, "PRETRAINED", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_shipped_model_loads_by_its_name_bit_for_bit(shelf: Path, tiny_model: PixelBayes) -> None:
    loaded = pixelbayes.load(hub.DEFAULT)
    for name, weight in tiny_model.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], weight)
    assert loaded.temperature == tiny_model.temperature
    assert loaded.resize == tiny_model.resize
    assert hub.shipped() == (hub.DEFAULT,)
    assert hub.model_card() == "# A card\n"


def test_a_name_is_the_shipped_model_and_a_path_is_the_folder(
    shelf: Path, tiny_model: PixelBayes, tmp_path: Path
) -> None:
    mine = tmp_path / hub.DEFAULT
    tiny_model.save(mine)
    assert hub.find_model(hub.DEFAULT) == shelf / hub.DEFAULT
    for path in (Path(hub.DEFAULT), f"./{hub.DEFAULT}", str(mine)):
        assert hub.find_model(path).resolve() == mine


def test_load_takes_a_run_directory_or_a_checkpoint_folder(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    tiny_model.save(tmp_path / "run" / "best")
    for place in (tmp_path / "run", tmp_path / "run" / "best"):
        assert pixelbayes.load(place).classes == tiny_model.classes
        assert pixelbayes.load(str(place)).classes == tiny_model.classes


def test_an_unknown_name_is_answered_with_the_models_there_are(shelf: Path) -> None:
    with pytest.raises(
        CheckpointError, match="no model 'cifar10': shipped are cpen455-onepass; or"
    ):
        pixelbayes.load("cifar10")
    with pytest.raises(CheckpointError, match=r"no such folder: a/b; .*\(cpen455-onepass\)"):
        pixelbayes.load("a/b")


def test_an_installation_without_models_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "nowhere")
    assert hub.shipped() == ()
    with pytest.raises(CheckpointError, match="no trained model is shipped with this installation"):
        pixelbayes.load("cpen455-gated")


@pytest.mark.parametrize(
    ("file", "counts"),
    [("model.json", True), ("best/model.json", True), ("run.json", True), ("photo.png", False)],
)
def test_a_folder_is_a_model_by_what_it_holds(tmp_path: Path, file: str, counts: bool) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    assert hub.is_model(str(tmp_path)) is counts


def test_what_is_shipped_fits_the_budget_and_has_a_card() -> None:
    folder = hub.PRETRAINED
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    assert sum(path.stat().st_size for path in files) <= BUDGET
    for name in hub.shipped():
        card = hub.model_card(name)
        assert card is not None
        assert "## Limits" in card
        assert pixelbayes.load(name).classes


@pytest.mark.parametrize("arguments", ["", "--help", "--version", "predict --help"])
def test_help_needs_no_torch(arguments: str) -> None:
    code = (
        "import sys\nfrom pixelbayes.cli.main import main\n"
        f"main({arguments.split()!r})\nsys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0


def test_every_public_name_can_be_imported_and_no_other() -> None:
    for name in pixelbayes.__all__:
        assert getattr(pixelbayes, name) is not None
        assert name in dir(pixelbayes)
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        pixelbayes.lode  # noqa: B018
