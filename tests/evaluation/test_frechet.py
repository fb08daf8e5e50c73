"""FID and KID of given features: known values, references, and intervals."""

from __future__ import annotations

from itertools import combinations

import pytest
import scipy.linalg
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from pixelbayes.evaluation.frechet import (
    _frechet,
    _gaussian,
    _jackknife_variance,
    fid,
    fid_estimate,
    fid_reference,
    kid,
    kid_estimate,
)


def normal(number: int, dims: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(number, dims, generator=generator, dtype=torch.float64)


def test_fid_of_two_gaussians_with_equal_covariance_is_the_squared_distance_of_their_means():
    a, shift = normal(40, 6, seed=0), torch.arange(6.0, dtype=torch.float64)
    assert fid(a, a + shift) == pytest.approx(float(shift.square().sum()), rel=1e-9)


def test_fid_of_two_numbers_is_the_squared_difference_of_means_and_of_deviations():
    a, b = normal(30, 1, seed=0), 2.0 + 3.0 * normal(50, 1, seed=1)
    expected = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    assert fid(a, b) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("number", [5, 60])
def test_fid_of_a_set_with_itself_is_zero(number: int):
    a = normal(number, 20, seed=0)
    assert fid(a, a) == pytest.approx(0.0, abs=1e-9)


def test_fid_is_symmetric():
    a, b = normal(40, 6, seed=0), normal(9, 6, seed=1, scale=2.0)
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-12)


def test_fid_does_not_depend_on_the_order_of_the_images():
    a, b = normal(40, 6, seed=0), normal(30, 6, seed=1)
    assert fid(a, b) == pytest.approx(fid(a.flip(0), b), rel=1e-9)


@pytest.mark.parametrize(("number", "other"), [(80, 70), (12, 70), (70, 12), (12, 9)])
def test_fid_equals_its_torchmetrics_reference(number: int, other: int):
    a, b = normal(number, 30, seed=0), normal(other, 30, seed=1, scale=1.5) + 0.3
    # Where there are fewer images than features, the reference takes roots of rounding errors.
    assert fid(a, b) == pytest.approx(fid_reference(a, b), rel=1e-6)


def test_fid_with_fewer_images_than_features_equals_the_real_part_of_the_matrix_root():
    a, b = normal(8, 15, seed=0), normal(10, 15, seed=1, scale=1.5)
    covariances = a.T.cov().numpy(), b.T.cov().numpy()
    root = scipy.linalg.sqrtm((covariances[0] @ covariances[1]).astype(complex))
    means = float((a.mean(0) - b.mean(0)).square().sum())
    expected = means + covariances[0].trace() + covariances[1].trace() - 2 * root.real.trace()

    assert fid(a, b) == pytest.approx(expected, rel=1e-5)


def test_float32_features_are_summed_in_float64():
    a, b = (1000.0 + normal(50, 4, seed=0)).float(), (1000.0 + normal(60, 4, seed=1)).float()
    assert fid(a, b) == pytest.approx(fid(a.double() - 1000.0, b.double() - 1000.0), rel=1e-9)


@pytest.mark.parametrize("dims", [3, 12])
def test_an_image_that_counts_twice_is_one_that_is_there_twice(dims: int):
    a, b = normal(8, dims, seed=0), normal(9, dims, seed=1)
    counts = torch.tensor([0, 2, 1, 1, 3, 0, 1, 0])
    counted = _frechet(_gaussian(a, counts), _gaussian(b, torch.ones(9)))
    assert counted == pytest.approx(fid(a.repeat_interleave(counts, 0), b), rel=1e-9)


def test_kid_of_sets_of_one_size_equals_that_of_torchmetrics():
    a, b = normal(20, 5, seed=0), normal(20, 5, seed=1, scale=1.3)
    assert kid(a, b) == pytest.approx(float(poly_mmd(a, b)), rel=1e-9)


def test_kid_is_the_mean_of_the_torchmetrics_estimate_over_all_subsets():
    a, b = normal(5, 4, seed=0), normal(6, 4, seed=1, scale=1.3)
    values = [
        float(poly_mmd(a[list(chosen)], b[list(others)]))
        for chosen in combinations(range(5), 3)
        for others in combinations(range(6), 3)
    ]
    assert kid(a, b) == pytest.approx(sum(values) / len(values), rel=1e-9)


def test_kid_is_unbiased():
    values = torch.tensor([kid(normal(6, 3, 2 * i), normal(9, 3, 2 * i + 1)) for i in range(400)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 20


def test_kid_is_symmetric():
    a, b = normal(20, 5, seed=0), normal(11, 5, seed=1, scale=1.3)
    assert kid(a, b) == pytest.approx(kid(b, a), rel=1e-12)


def test_an_estimate_has_the_value_inside_its_interval():
    a, b = normal(30, 10, seed=0), normal(40, 10, seed=1, scale=1.3)
    for found in (fid_estimate(a, b, resamples=1)[0], kid_estimate(a, b)):
        assert found.low < found.value < found.high


def test_estimates_have_the_values_of_the_plain_functions():
    a, b = normal(30, 10, seed=0), normal(40, 10, seed=1, scale=1.3)
    found = fid_estimate(a, b, resamples=2)[0].value, kid_estimate(a, b).value
    assert found == (pytest.approx(fid(a, b)), pytest.approx(1000 * kid(a, b)))


def test_an_interval_of_fid_never_reaches_below_zero():
    found, _ = fid_estimate(normal(60, 2, seed=0), normal(60, 2, seed=1), resamples=100)
    assert found.low >= 0


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    a, b = normal(30, 10, seed=0), normal(40, 10, seed=1)
    first, again = (fid_estimate(a, b, resamples=20, seed=3) for _ in range(2))
    assert first == again
    assert first != fid_estimate(a, b, resamples=20, seed=4)


def test_resampling_raises_fid():
    _, rise = fid_estimate(normal(30, 10, seed=0), normal(40, 10, seed=1), resamples=20)
    assert rise > 0


def test_the_jackknife_of_fid_is_the_change_of_fid_with_the_weight_of_each_image():
    a, b = normal(12, 4, seed=0), 1.3 * normal(15, 4, seed=1) + 0.5
    step = 1e-5

    def weighed(which: int, image: int, weight: float) -> float:
        counts = [torch.ones(12, dtype=torch.float64), torch.ones(15, dtype=torch.float64)]
        counts[which][image] = weight
        return _frechet(_gaussian(a, counts[0]), _gaussian(b, counts[1]))

    expected = 0.0
    for which, number in enumerate((12, 15)):
        derivative = torch.tensor(
            [
                (weighed(which, i, 1 + step) - weighed(which, i, 1 - step)) / (2 * step)
                for i in range(number)
            ]
        )
        expected += float((derivative - derivative.mean()).square().sum())

    assert _jackknife_variance(a, b) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shift", [0.0, 0.7])
@pytest.mark.parametrize("distance", ["fid", "kid"])
def test_an_interval_covers_the_mean_score_about_95_times_in_100(distance: str, shift: float):
    plain = {"fid": fid, "kid": lambda a, b: 1000 * kid(a, b)}[distance]
    others = [plain(normal(40, 6, i) + shift, normal(60, 6, 1000 + i)) for i in range(400)]
    truth = torch.tensor(others, dtype=torch.float64)

    found = []
    for i in range(120):
        a, b = normal(40, 6, 2000 + i) + shift, normal(60, 6, 3000 + i)
        estimate = {"fid": lambda a, b: fid_estimate(a, b, resamples=1)[0], "kid": kid_estimate}
        found.append(estimate[distance](a, b))

    covered = sum(e.low <= float(truth.mean()) <= e.high for e in found) / len(found)
    halves = torch.tensor([e.high - e.value for e in found])
    # At the floor (shift 0) a bootstrap is 1.7 times too wide and covers all of them.
    assert covered >= 0.9
    assert 0.9 < float(halves.mean()) / (1.96 * float(truth.std())) < 1.3


def test_a_bootstrap_without_draws_is_refused():
    with pytest.raises(ValueError, match="resamples is a number of draws, at least 1, got 0"):
        fid_estimate(normal(5, 2, 0), normal(5, 2, 1), resamples=0)


@pytest.mark.parametrize("distance", [fid, fid_reference, kid])
def test_features_of_different_networks_are_refused(distance):
    with pytest.raises(ValueError, match=r"same network and d, got \(5, 2\) and \(5, 3\)"):
        distance(normal(5, 2, 0), normal(5, 3, 1))


@pytest.mark.parametrize("distance", [fid, fid_reference, kid])
def test_a_set_of_one_image_is_refused(distance):
    with pytest.raises(ValueError, match="at least two images in each set, got 5 and 1"):
        distance(normal(5, 2, 0), normal(1, 2, 1))


def test_features_that_are_not_finite_are_refused():
    a = normal(5, 2, 0)
    a[3, 1] = float("nan")
    with pytest.raises(ValueError, match="features must be finite"):
        fid(a, normal(5, 2, 1))
