"""Commands without a model: the shipped one does the work, and is named."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pixelbayes.cli.main import main
from pixelbayes.data import write_png
from pixelbayes.models import PixelBayes, hub

MakeFolder = Callable[[int], Path]
Capture = pytest.CaptureFixture[str]
CARD = "# cpen455-gated\n\nA card.\n"
RESIZED = "1 of 1 images resized (12 x 10 -> 8 x 8)"
UNLIKE = "unlike anything the model knows"  # which noise is to a model of random weights


@pytest.fixture
def shelf(tiny_model: PixelBayes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "pretrained"
    for name in (hub.DEFAULT, hub.DENSITY):
        tiny_model.save(folder / name)
    (folder / hub.DENSITY / "README.md").write_text(CARD)
    monkeypatch.setattr(hub, "PRETRAINED", folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def run_dir(tiny_model: PixelBayes, tmp_path: Path) -> str:
    tiny_model.save(tmp_path / "run" / "best")
    return str(tmp_path / "run")


def paths(out: str) -> list[str]:
    return [row["path"] for row in csv.DictReader(io.StringIO(out, newline=""))]


def test_predict_needs_only_an_image(
    shelf: Path, photo_folder: MakeFolder, capsys: Capture
) -> None:
    photo = str(photo_folder(1) / "00.png")
    assert main(["predict", photo]) == 0
    out, err = capsys.readouterr()
    assert paths(out) == [photo]
    assert err.startswith("model: cpen455-onepass, as shipped (")
    assert [line.partition(":")[0] for line in err.splitlines()] == ["model", RESIZED, UNLIKE]


@pytest.mark.parametrize(
    "named",
    [["{run}"], ["--model", "{run}"], ["cpen455-gated"], ["--model", "cpen455-gated"]],
)
def test_predict_with_a_model_named_says_nothing(
    named: list[str], shelf: Path, run_dir: str, photo_folder: MakeFolder, capsys: Capture
) -> None:
    photos = photo_folder(2)
    arguments = [word.format(run=run_dir) for word in named]
    assert main(["predict", *arguments, str(photos)]) == 0
    out, err = capsys.readouterr()
    assert paths(out) == [str(photos / "00.png"), str(photos / "01.png")]
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        RESIZED.replace("1 of 1", "2 of 2"),
        UNLIKE,
    ]


def test_a_model_without_images_is_a_mistake(shelf: Path, run_dir: str, capsys: Capture) -> None:
    assert main(["predict", run_dir]) == 2
    assert "no images: give files, folders or CSV tables after" in capsys.readouterr().err


def test_sample_needs_only_a_class(shelf: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["sample", "--class", "koala", "--count", "1", "--output", "out"]) == 0
    assert (tmp_path / "out" / "koala-0001.png").is_file()
    assert capsys.readouterr().err.startswith("model: cpen455-gated, as shipped")


@pytest.mark.parametrize("named", [["{run}"], ["--model", "{run}"]])
def test_sample_takes_the_model_in_front_or_as_an_option(
    named: list[str], run_dir: str, tmp_path: Path, capsys: Capture
) -> None:
    arguments = [word.format(run=run_dir) for word in named]
    assert main(["sample", *arguments, "--count", "1", "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""


def test_two_different_models_are_a_mistake(run_dir: str, capsys: Capture) -> None:
    assert main(["sample", run_dir, "--model", "other"]) == 2
    assert f'Unexpected argument "{run_dir}"' in capsys.readouterr().err


def test_score_needs_only_an_image_and_takes_the_model_for_likelihoods(
    shelf: Path, photo_folder: MakeFolder, capsys: Capture
) -> None:
    assert main(["score", str(photo_folder(1) / "00.png")]) == 0
    assert capsys.readouterr().err.startswith("model: cpen455-gated, as shipped (")


@pytest.mark.parametrize(
    ("default", "command"),
    [(hub.DEFAULT, ["predict", "photo.jpg"]), (hub.DENSITY, ["sample", "--class", "koala"])],
)
def test_without_a_shipped_model_the_error_says_what_to_name(
    default: str,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").touch()
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"the default model, {default}, is not in this installation (no trained" in err
    assert "--model MODEL" in err
    assert err.count("\n") == 1


def test_the_error_lists_other_shipped_models(
    shelf: Path, tiny_model: PixelBayes, capsys: Capture
) -> None:
    for name in (hub.DEFAULT, hub.DENSITY):
        (shelf / name / "model.json").unlink()
    tiny_model.save(shelf / "digits")
    assert main(["sample"]) == 2
    assert "(shipped are: digits)" in capsys.readouterr().err


def test_info_shows_the_card_of_a_shipped_model(shelf: Path, capsys: Capture) -> None:
    assert main(["info", "cpen455-gated"]) == 0
    assert capsys.readouterr().out == CARD
    assert main(["info", "cpen455-gated", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["card"] == CARD
    assert described["network"]["fusion"] == "gated"


def test_info_draws_the_architecture(run_dir: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "deep" / "net.svg"
    assert main(["info", run_dir, "--diagram", str(file)]) == 0
    assert file.read_text(encoding="utf-8").startswith("<svg")
    assert f"written: {file}" in capsys.readouterr().err
    assert main(["info", "digits", "--diagram", str(file)]) == 2
    assert "--diagram draws a model, and digits is none" in capsys.readouterr().err


def test_evaluate_measures_a_shipped_model_and_leaves_it_alone(
    shelf: Path, tiny_model: PixelBayes, tmp_path: Path, capsys: Capture
) -> None:
    generator = torch.Generator().manual_seed(2)
    for split in ("train", "validation"):
        for name in tiny_model.classes:
            levels = torch.randint(0, 256, (3, 8, 8), generator=generator).to(torch.uint8)
            write_png(levels, tmp_path / "images" / split / name / "0.png")
    before = (shelf / hub.DEFAULT / "model.json").read_bytes()
    assert main(["evaluate", "cpen455-gated"]) == 2
    assert "does not say which data it was trained on" in capsys.readouterr().err
    arguments = ["--data", "folder:images", "--split", "validation", "--samples-per-class", "0"]
    assert main(["evaluate", "cpen455-gated", *arguments]) == 0
    assert (tmp_path / "evaluation" / "cpen455-gated" / "report.json").is_file()
    assert (shelf / hub.DEFAULT / "model.json").read_bytes() == before
