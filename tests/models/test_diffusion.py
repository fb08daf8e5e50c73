from __future__ import annotations

import sys
from dataclasses import asdict, replace
from importlib.util import find_spec
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixelbayes.core.diffusion import HALF_RANGE, code_length_of_ends
from pixelbayes.data import Resize
from pixelbayes.errors import MissingPackageError, PixelBayesError
from pixelbayes.models import CheckpointError, DiffusionModel, Metadata, load_model
from pixelbayes.models import diffusion as module
from pixelbayes.models.base import answers_digest
from pixelbayes.models.settings import DiffusionSettings
from pixelbayes.workflows.compress import require_coder

pytestmark = pytest.mark.skipif(
    find_spec("diffusers") is None, reason="the extra diffusion is not installed"
)

CLASSES = ("koala", "pizza", "sea lion")
SETTINGS = DiffusionSettings(features=(4, 8, 8), blocks_per_stage=1, evaluations=4, steps=6)


def metadata(size: tuple[int, int] = (8, 8)) -> Metadata:
    prior = (log(0.5), log(0.25), log(0.25))
    return Metadata(classes=CLASSES, resize=asdict(Resize(size=size)), log_prior=prior)


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    """Of some weights; the classes' embeddings are made large so that they count."""
    torch.manual_seed(0)
    network = DiffusionModel.build(SETTINGS, classes=3, image_size=(8, 8))
    for name, weight in network.named_parameters():
        if "class_embedding" in name:
            weight.data *= 5.0
    return DiffusionModel(network, metadata())


@pytest.fixture(scope="module")
def levels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (30, 3, 8, 8), generator=generator).to(torch.uint8)


def test_log_likelihoods_are_the_ends_and_the_mean_squared_error(
    model: DiffusionModel, levels: Tensor
) -> None:
    errors = model.squared_errors(levels)

    assert errors.shape == (30, 3, 4)
    expected = -code_length_of_ends(levels)[:, None] - HALF_RANGE * errors.mean(dim=2)
    torch.testing.assert_close(model.log_likelihoods(levels), expected, rtol=0, atol=0)
    assert (expected.std(dim=1) > 0).all()


def test_an_answer_depends_on_the_image_alone(model: DiffusionModel, levels: Tensor) -> None:
    table, order = model.log_likelihoods(levels), torch.arange(29, -1, -1)

    there = model.log_likelihoods(levels[order])
    torch.testing.assert_close(there, table[order], rtol=1e-5, atol=0)
    torch.testing.assert_close(model.log_likelihoods(levels[3:4]), table[3:4], rtol=1e-5, atol=0)


def test_nats_are_those_of_the_images_own_class(model: DiffusionModel, levels: Tensor) -> None:
    labels = torch.arange(30) % 3

    nats = model.nats(levels, labels)

    torch.testing.assert_close(nats, -model.log_likelihoods(levels)[torch.arange(30), labels])


def test_the_estimate_in_training_has_the_mean_of_the_bound(
    model: DiffusionModel, levels: Tensor
) -> None:
    labels, repeats = torch.arange(30) % 3, 40
    torch.manual_seed(2)
    with torch.no_grad():
        each = [model.network(levels, labels).log_prob(levels).mean() for _ in range(repeats)]
    estimates = torch.stack(each).double()
    errors = model.squared_errors(levels, 64, labels=labels)[:, 0].mean(dim=1)
    bound = -(code_length_of_ends(levels) + HALF_RANGE * errors).mean()

    assert abs(estimates.mean() - bound) < 5 * estimates.std() / repeats**0.5 + 0.002 * abs(bound)


def test_an_image_does_not_depend_on_how_many_are_drawn(model: DiffusionModel) -> None:
    labels = torch.tensor([0, 2, 1, *([1] * 17)])

    many = model.draw(labels, torch.Generator().manual_seed(3))
    few = model.draw(labels[:2], torch.Generator().manual_seed(3))

    assert many.shape == (20, 3, 8, 8)
    assert torch.equal(many[:2], few)
    assert not torch.equal(many[18], many[19])


def test_rows_are_told_as_drawing_goes_on(model: DiffusionModel) -> None:
    rows: list[int] = []

    model.draw(torch.tensor([0]), torch.Generator(), lambda row, _: rows.append(row))

    assert rows == list(range(8))


def test_it_is_stored_and_loaded_bit_for_bit(
    model: DiffusionModel, levels: Tensor, tmp_path: Path
) -> None:
    model.save(tmp_path)
    loaded = load_model(tmp_path)

    assert isinstance(loaded, DiffusionModel)
    assert loaded.describe() == model.describe()
    torch.testing.assert_close(
        loaded.log_likelihoods(levels), model.log_likelihoods(levels), rtol=0, atol=0
    )


def test_a_study_measures_again_what_is_estimated_otherwise(
    model: DiffusionModel, tmp_path: Path
) -> None:
    """The same weights that are asked more often answer otherwise."""
    model.save(tmp_path / "4")
    stored = model.to_stored()
    often = replace(stored, config={**stored.config, "evaluations": 8})
    DiffusionModel.from_stored(often).save(tmp_path / "8")

    digests = {answers_digest(tmp_path / name) for name in ("4", "8")}

    assert len(digests) == 2


def test_other_weights_than_the_networks_are_refused(model: DiffusionModel) -> None:
    stored = model.to_stored()
    weights = dict(stored.weights)
    del weights["conv_in.weight"]

    with pytest.raises(CheckpointError, match="other weights than diffusers' UNet2DModel"):
        DiffusionModel.from_stored(replace(stored, weights=weights))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_size": (30, 32)}, "multiples of 4 from 8 on"),
        ({"image_size": (4, 4)}, "multiples of 4 from 8 on"),
        ({"channels": 2}, "1 or 3 channels"),
        ({"evaluations": 0}, "1 or more classes"),
        ({"features": (8, 8)}, "three resolutions"),
        ({"dropout": 1.0}, "probability in"),
    ],
)
def test_what_no_network_can_have_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(PixelBayesError, match=said):
        module.DiffusionConfig(classes=2, **changes)  # type: ignore[arg-type]


def test_images_of_another_size_are_refused(model: DiffusionModel) -> None:
    with pytest.raises(PixelBayesError, match=r"expected levels, uint8 \(B, 3, 8, 8\)"):
        model.log_likelihoods(torch.zeros(1, 3, 12, 12, dtype=torch.uint8))


def test_what_only_an_autoregressive_model_can_is_refused(
    model: DiffusionModel,
) -> None:
    with pytest.raises(PixelBayesError, match="temperature 1 only"):
        model.draw(torch.tensor([0]), torch.Generator(), temperature=0.5)
    known = torch.zeros(8, 8, dtype=torch.bool)
    with pytest.raises(PixelBayesError, match="cannot complete"):
        model.draw_given(
            torch.tensor([0]), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), known, torch.Generator()
        )
    with pytest.raises(PixelBayesError, match="a diffusion model"):
        require_coder(model)


def test_without_diffusers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)

    with pytest.raises(MissingPackageError, match=r"pixelbayes\[diffusion\]"):
        DiffusionModel.build(SETTINGS, classes=2)
