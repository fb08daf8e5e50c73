"""Each script of examples/ runs, here with tiny models and few images."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pixelbayes.models import PixelBayes

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> Callable[..., Any]:
    main: Callable[..., Any] = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    return main


@pytest.fixture
def photo(photo_folder: Callable[[int], Path]) -> Path:
    return next(photo_folder(1).iterdir())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("own_arrays", {"images": 80, "epochs": 1}),
        ("sets", {"images": 160, "epochs": 1}),
        ("audit", {"images": 60, "epochs": 1, "flipped": 6}),
    ],
)
def test_an_example_trains_on_arrays(name: str, arguments: dict[str, int]) -> None:
    pytest.importorskip("pytorch_lightning", reason="the extra training is not installed")
    if name == "audit":
        pytest.importorskip("cleanlab", reason="the extra decisions is not installed")
    assert example(name)(**arguments) >= 0


def test_a_photograph_becomes_a_label(tiny_model: PixelBayes, photo: Path) -> None:
    (answer,) = example("photo_to_label")([photo], tiny_model)
    assert answer.label in tiny_model.classes


def test_a_photograph_is_explained(tiny_model: PixelBayes, photo: Path, tmp_path: Path) -> None:
    told = example("explain")(photo, tmp_path / "evidence.png", tiny_model)
    assert "against all others" in told
    assert (tmp_path / "evidence.png").is_file()


def test_a_model_is_tuned_to_other_classes(tiny_model: PixelBayes) -> None:
    pytest.importorskip("pytorch_lightning", reason="the extra training is not installed")
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 8, 8, 3), generator=generator).to(torch.uint8).numpy()
    labels = ["koala", "wombat"] * 4
    source = PixelBayes(tiny_model.network.float(), tiny_model.metadata)
    tuned = example("fine_tune")(images, labels, epochs=1, source=source)
    assert tuned.model_.classes == ("koala", "wombat")


def test_a_grid_of_samples_is_written(tiny_model: PixelBayes, tmp_path: Path) -> None:
    path = example("sample_grid")(tmp_path / "grid.png", count=2, model=tiny_model)
    with Image.open(path) as image:
        assert image.size == (22, 32)


def test_a_shared_model_is_the_same(tiny_model: PixelBayes, tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="the extra hub is not installed")
    shared = example("share")(tmp_path / "shared", model=tiny_model)
    assert shared.classes == tiny_model.classes


def test_every_script_is_run_here() -> None:
    named = {"own_arrays", "sets", "audit", "photo_to_label", "explain", "fine_tune"}
    named |= {"sample_grid", "share"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == named
