"""Sharing: folders with a card, and the Hub by doubles of its library; no network."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import pixelbayes
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import PixelBayes

huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")

MEASURED = {
    "data": {"source": "folder:animals", "splits": {"validation": {"images": 519}}},
    "validation_bits_per_dim": 3.38501,
    "seed": 4,
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A Hub that is a folder; keeps what it was asked."""
    asked: dict[str, Any] = {"folder": tmp_path / "hub"}

    class Api:
        def __init__(self, token: Any = None) -> None:
            asked["token"] = token

        def create_repo(self, repo_id: str, **options: Any) -> Any:
            asked["create"] = options
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
            shutil.copytree(folder_path, asked["folder"] / repo_id)
            return f"https://huggingface.co/{repo_id}/commit/0: {commit_message}"

    def snapshot_download(repo_id: str, **options: Any) -> str:
        asked["download"] = options
        if not (asked["folder"] / repo_id).is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError(f"nothing of {repo_id} here\nand")
        return str(asked["folder"] / repo_id)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def same_bits(one: pixelbayes.Model, other: pixelbayes.Model) -> bool:
    weights = other.to_stored().weights
    told = [(it.classes, it.resize, it.temperature, it.metadata.provenance) for it in (one, other)]
    return told[0] == told[1] and all(
        torch.equal(weight, weights[name]) for name, weight in one.to_stored().weights.items()
    )


def test_a_saved_model_comes_back_bit_for_bit_with_a_card(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    measured = tiny_model.with_metadata(replace(tiny_model.metadata, provenance=MEASURED))
    measured.save_pretrained(tmp_path / "animals")

    assert same_bits(PixelBayes.from_pretrained(tmp_path / "animals"), measured)
    card = (tmp_path / "animals" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: pixelbayes\n")
    for fact in (
        "# animals",
        "koala, pizza, sea lion",
        "| bits per dim | 3.385 |",
        "(n = 519)",
        "| data | folder:animals |",
        "| seed | 4 |",
        "## Limits",
    ):
        assert fact in card
    tiny_model.save_pretrained(tmp_path / "unmeasured")
    bare = (tmp_path / "unmeasured" / "README.md").read_text(encoding="utf-8")
    assert "Nothing is stored with this model about how well it does." in bare


def test_a_readme_of_somebody_else_is_not_replaced_by_a_card(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("my own project", encoding="utf-8")
    with pytest.raises(PixelBayesError, match=r"README\.md is no model card that pixelbayes"):
        tiny_model.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    tiny_model.save_pretrained(tmp_path / "animals")
    tiny_model.save_pretrained(tmp_path / "animals")  # its own is


def test_nothing_is_written_where_no_folder_is_named(
    tiny_model: PixelBayes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for save in (tiny_model.save, tiny_model.save_pretrained):
        with pytest.raises(PixelBayesError, match="an empty path names no folder"):
            save("")
    assert not list(tmp_path.iterdir())


def test_a_pushed_model_comes_back_bit_for_bit(tiny_model: PixelBayes, hub: dict[str, Any]) -> None:
    address = tiny_model.push_to_hub("ada/animals", private=True, token="secret")

    assert address.startswith("https://huggingface.co/ada/animals/commit/")
    assert (hub["create"], hub["token"]) == ({"private": True, "exist_ok": True}, "secret")
    files = sorted(path.name for path in (hub["folder"] / "ada" / "animals").iterdir())
    assert files == ["README.md", "model.json", "model.safetensors"]
    loaded = PixelBayes.from_pretrained("ada/animals", revision="v1", local_files_only=True)
    assert same_bits(loaded, tiny_model)
    assert (hub["download"]["revision"], hub["download"]["local_files_only"]) == ("v1", True)
    assert same_bits(pixelbayes.load("hf:ada/animals"), tiny_model)


def test_an_id_is_never_taken_for_a_folder(
    tiny_model: PixelBayes, hub: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model.push_to_hub("ada/animals")
    other = tiny_model.with_temperature(3.0)
    other.save(tmp_path / "ada" / "animals")
    with pytest.raises(PixelBayesError, match=r"write './ada/animals' for the folder, 'hf:ada"):
        PixelBayes.from_pretrained("ada/animals")
    assert PixelBayes.from_pretrained("hf:ada/animals").temperature == 20.0
    for folder in ("./ada/animals", Path("ada/animals"), str(tmp_path / "ada" / "animals")):
        assert PixelBayes.from_pretrained(folder).temperature == 3.0


def test_what_the_hub_has_not_is_one_line(hub: dict[str, Any]) -> None:
    with pytest.raises(PixelBayesError, match=r"cannot get ada/nothing from the Hub: nothing of"):
        PixelBayes.from_pretrained("ada/nothing")
