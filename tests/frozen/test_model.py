"""The likelihood, its gradient and the generated levels are those that were recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.frozen.record import (
    CHECKPOINTS,
    FUSIONS,
    HERE,
    RUN,
    checkpoint_likelihoods,
    flattened,
    golden,
    network_likelihoods,
    shipped_levels,
    shipped_likelihoods,
    small_levels,
    stored_config,
)

import pixelbayes

FLOAT64, FLOAT32 = 1e-12, 1e-5
GRADIENT = 1e-10  # a sum of thousands of squares of differences
FLOAT64_FOLDERS = [folder for folder in CHECKPOINTS if folder.name.endswith("float64")]


def name_of(folder: Path) -> str:
    return "/".join(folder.parts[-2:])


def assert_close(found: object, recorded: object, relative: float) -> None:
    assert dict(flattened(found)) == pytest.approx(dict(flattened(recorded)), rel=relative, abs=0)


def test_the_shipped_model_gives_the_recorded_likelihoods():
    assert_close(shipped_likelihoods(), golden("likelihoods")["shipped"], FLOAT32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_seeded_network_gives_the_recorded_likelihoods(fusion, channels):
    found = network_likelihoods(fusion, channels)
    recorded = golden("likelihoods")["networks"][f"{fusion}-{channels}"]
    assert_close(found.pop("gradient_norm"), recorded.pop("gradient_norm"), GRADIENT)
    # log p(y | x) is near 0 for a certain class: its rounding is that of log p(x | y)
    scale = max(abs(value) for row in recorded["log_likelihoods"] for value in row)
    posterior = dict(flattened(found.pop("log_posterior")))
    expected = dict(flattened(recorded.pop("log_posterior")))
    assert posterior == pytest.approx(expected, rel=0, abs=scale * FLOAT64)
    assert_close(found, recorded, FLOAT64)


@pytest.mark.parametrize("folder", [*CHECKPOINTS, RUN], ids=name_of)
def test_a_checkpoint_of_an_earlier_version_is_the_same_function(folder):
    recorded = golden("likelihoods")["checkpoints"][name_of(folder)]
    tolerance = FLOAT64 if folder in FLOAT64_FOLDERS else FLOAT32
    found = checkpoint_likelihoods(folder)
    assert found.pop("classes") == recorded.pop("classes")
    assert_close(found, recorded, tolerance)


def test_there_are_checkpoints_of_every_format_version():
    assert {folder.parent.name for folder in CHECKPOINTS} == {"checkpoints-1", "checkpoints-2"}


@pytest.mark.parametrize("folder", [*CHECKPOINTS, RUN], ids=name_of)
def test_a_seed_draws_the_recorded_levels(folder):
    assert small_levels(folder) == golden("levels")[name_of(folder)]


@torch.inference_mode()
@pytest.mark.parametrize("name", ["early-colour-float64", "joint-grey-float64"])
def test_one_pass_for_each_pixel_draws_the_recorded_levels(name):
    folder = HERE / "checkpoints-2" / name
    config = stored_config(folder)
    network = pixelbayes.PixelCNN(config).double().eval()
    # not strict: what several fusions share is stored once
    network.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    height, width = config.image_size
    uniform = torch.rand(
        (2, height, width, config.mixtures + config.channels),
        generator=torch.Generator().manual_seed(7),
        dtype=torch.float64,
    )
    gumbel, logistic = uniform.split([config.mixtures, config.channels], dim=-1)
    noise = torch.cat([-(-gumbel.log()).log(), logistic.logit()], dim=-1)
    levels = torch.zeros(2, config.channels, height, width, dtype=torch.uint8)
    for row in range(height):
        for column in range(width):
            pixel = network(levels, torch.tensor([0, 1])).at(row, column)
            drawn = pixel.transport(noise[:, row : row + 1, column : column + 1])
            levels[:, :, row, column] = drawn[:, :, 0, 0]
    assert levels.tolist() == golden("levels")[name_of(folder)]


def test_the_shipped_model_draws_the_recorded_levels():
    assert shipped_levels() == golden("shipped_levels")
