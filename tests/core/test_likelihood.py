"""The discretised mixture of logistics is an exact distribution over levels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from pixelbayes.core.likelihood import (
    HALF_BIN,
    LEVELS,
    MAX_LOG_SCALE,
    DiscretizedLogisticMixture,
    bits_per_dim,
    log_logistic_bin,
    parameters_per_component,
    standard_noise,
    to_axis,
)


def mixture(channels: int, components: int = 3, seed: int = 0, pixels: int = 1):
    generator = torch.Generator().manual_seed(seed)
    shape = (1, components * parameters_per_component(channels), 1, pixels)
    parameters = torch.randn(shape, generator=generator, dtype=torch.float64)
    parameters[:, components:] *= 0.7
    return DiscretizedLogisticMixture.from_parameters(parameters, channels)


def all_levels() -> Tensor:
    return torch.arange(LEVELS, dtype=torch.uint8)


def total_probability(log_bin, log_scale: float, mean: float, dtype: torch.dtype) -> float:
    x = to_axis(all_levels(), dtype)
    log_probs = log_bin(x, torch.tensor(mean, dtype=dtype), torch.tensor(log_scale, dtype=dtype))
    return log_probs.exp().sum().item()


@pytest.mark.parametrize("log_scale", [-7.0, -5.0, -3.0, -1.0, 0.0, 2.0, 4.0])
@pytest.mark.parametrize("mean", [-1.3, -1.0, -0.4321, 0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 5e-5)])
def test_probabilities_of_the_256_levels_sum_to_one(log_scale, mean, dtype, error):
    assert abs(total_probability(log_logistic_bin, log_scale, mean, dtype) - 1.0) < error


def test_a_wrong_edge_bin_is_caught_by_the_sum():
    def bounded_edges(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        upper = torch.sigmoid((x + HALF_BIN - mean) * torch.exp(-log_scale))
        lower = torch.sigmoid((x - HALF_BIN - mean) * torch.exp(-log_scale))
        return (upper - lower).log()

    assert abs(total_probability(bounded_edges, 0.0, 0.0, torch.float64) - 1.0) > 0.1


@pytest.mark.parametrize("log_scale", [-7.0, -4.0, 0.0])
def test_tails_in_float32_agree_with_float64_where_differences_of_sigmoids_vanish(log_scale):
    x, mean = to_axis(all_levels(), torch.float64), torch.tensor(-0.9, dtype=torch.float64)
    scale = torch.tensor(log_scale, dtype=torch.float64)
    exact = log_logistic_bin(x, mean, scale)
    single = log_logistic_bin(x.float(), mean.float(), scale.float())
    assert exact.isfinite().all()
    assert ((single - exact).abs() / exact.abs().clamp(min=1.0)).max() < 5e-5


def test_log_prob_has_finite_gradients_at_extreme_parameters():
    parameters = torch.tensor([0.0, 300.0, -50.0]).view(1, 3, 1, 1).requires_grad_()
    described = DiscretizedLogisticMixture.from_parameters(parameters, channels=1)
    described.log_prob(torch.zeros(1, 1, 1, 1, dtype=torch.uint8)).sum().backward()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()


def test_a_grey_pixel_is_a_distribution_over_256_levels():
    described = mixture(channels=1)
    levels = all_levels().view(LEVELS, 1, 1, 1)
    assert described.log_prob(levels).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def red_green_blue(red: int) -> Tensor:
    """Every pixel with this level of red, (65536, 3, 1, 1)."""
    green, blue = torch.meshgrid(all_levels(), all_levels(), indexing="ij")
    return torch.stack([torch.full_like(green, red), green, blue], dim=-1).view(-1, 3, 1, 1)


@pytest.mark.parametrize("red", [0, 17, 128, 255])
def test_green_and_blue_sum_out_so_red_depends_on_nothing_of_its_own_pixel(red):
    described = mixture(channels=3)
    total = described.log_prob(red_green_blue(red)).exp().sum()
    x = to_axis(torch.tensor(red), torch.float64)
    weights = described.logits.log_softmax(dim=1)[0, :, 0, 0]
    per_component = log_logistic_bin(
        x, described.means[0, :, 0, 0, 0], described.log_scales[0, :, 0, 0, 0]
    )
    assert total.item() == pytest.approx((weights + per_component).exp().sum().item(), rel=1e-11)


def conditional_green(described: DiscretizedLogisticMixture, red: int) -> Tensor:
    joint = described.log_prob(red_green_blue(red)).exp().view(LEVELS, LEVELS).sum(dim=1)
    return joint / joint.sum()


def test_green_depends_on_the_level_of_red():
    described = mixture(channels=3)
    assert (conditional_green(described, 10) - conditional_green(described, 240)).abs().max() > 1e-3


def test_sampled_grey_levels_follow_log_prob():
    described = mixture(channels=1, seed=3)
    draws = 100_000
    pixels = DiscretizedLogisticMixture(
        *(part.expand(*part.shape[:-1], draws) for part in vars(described).values())
    )
    levels = pixels.sample(torch.Generator().manual_seed(0)).flatten().long()
    expected = described.log_prob(all_levels().view(LEVELS, 1, 1, 1)).exp() * draws
    observed = torch.bincount(levels, minlength=LEVELS).double()
    # Levels too rare for the statistic share one cell with the most frequent level.
    cell = torch.where(expected >= 5, torch.arange(LEVELS), expected.argmax())
    pooled = torch.zeros(2, LEVELS, dtype=torch.float64)
    pooled.index_add_(1, cell, torch.stack([observed, expected]))
    observed, expected = pooled[:, pooled[1] > 0]
    assert stats.chisquare(observed, expected).pvalue > 0.01


def test_sampled_colours_follow_log_prob():
    """Each eighth level of red with every green and blue, in 4 x 4 x 4 cells; all others in one."""
    described = mixture(channels=3, components=2, seed=5)
    draws, step, side = 200_000, 8, 64
    pixels = DiscretizedLogisticMixture(
        *(part.expand(*part.shape[:-1], draws) for part in vars(described).values())
    )
    levels = pixels.sample(torch.Generator().manual_seed(0))[0, :, 0].long()
    red, green, blue = levels[:, levels[0] % step == 0] // side
    observed = torch.bincount(red * 16 + green * 4 + blue, minlength=64).double()
    expected = torch.zeros(4, 4, 4, dtype=torch.float64)
    for level in range(0, LEVELS, step):
        joint = described.log_prob(red_green_blue(level)).exp().view(4, side, 4, side)
        expected[level // side] += joint.sum(dim=(1, 3))
    expected = expected.flatten() * draws
    observed, expected = (
        torch.cat([counts, draws - counts.sum(dim=0, keepdim=True)])
        for counts in (observed, expected)
    )
    assert len(red) > 10_000
    assert stats.chisquare(observed, expected).pvalue > 0.01


def test_noise_near_zero_and_one_gives_levels_in_range():
    described = mixture(channels=3, pixels=2)
    ends = torch.tensor([0.0, 1.0 - 2**-53], dtype=torch.float64)
    noise = standard_noise(ends.view(1, 1, 2, 1).expand(1, 1, 2, 6), components=3)
    assert described.transport(noise)[0, :, 0].tolist() == [[0, 255]] * 3


def test_half_precision_parameters_are_widened_before_the_likelihood():
    parameters = torch.randn(1, 20, 2, 2).bfloat16()
    assert DiscretizedLogisticMixture.from_parameters(parameters, 3).means.dtype == torch.float32


@pytest.mark.parametrize("wrong", [torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 1, 1).long()])
def test_an_image_that_is_not_uint8_is_refused_with_what_to_do(wrong):
    with pytest.raises(TypeError, match="Pass the image as loaded"):
        mixture(channels=3).log_prob(wrong)


def test_a_grey_image_is_refused_by_a_colour_model():
    with pytest.raises(ValueError, match=r"\(batch, 3, height, width\)"):
        mixture(channels=3).log_prob(torch.zeros(1, 1, 1, 1, dtype=torch.uint8))


def test_uniform_guessing_costs_eight_bits_per_dimension():
    assert bits_per_dim(torch.tensor(-3072 * math.log(256)), 3072).item() == pytest.approx(8.0)


@pytest.mark.parametrize("log_scale", [-1e30, -100.0, 0.0, 15.0, 84.0, 100.0, 1e30])
@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_likelihood_and_gradients_are_finite_at_any_log_scale_of_the_network(log_scale, level):
    parameters = torch.zeros(1, 2 * parameters_per_component(1), 1, 1)
    parameters[:, 3::2] = log_scale
    parameters.requires_grad_()
    levels = torch.full((1, 1, 1, 1), level, dtype=torch.uint8)
    log_prob = DiscretizedLogisticMixture.from_parameters(parameters, 1).log_prob(levels).sum()
    log_prob.backward()
    assert log_prob.isfinite()
    assert parameters.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_widest_scale_still_sums_to_one(dtype):
    assert total_probability(log_logistic_bin, MAX_LOG_SCALE, 0.3, dtype) == pytest.approx(
        1.0, abs=5e-5
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_steps_of_the_cdfs_of_a_pixel_multiply_to_its_probability(channels):
    described = mixture(channels, pixels=64)
    levels = torch.randint(LEVELS, (1, channels, 1, 64), generator=torch.Generator().manual_seed(1))
    levels = levels.to(torch.uint8)
    log_prob = torch.zeros(1, 1, 64, dtype=torch.float64)
    for channel in range(channels):
        cdf = described.cdf(levels, channel)
        assert cdf.shape == (1, LEVELS + 1, 1, 64)
        assert (cdf[:, 0] == 0).all()
        assert (cdf[:, -1] == 1).all()
        assert (cdf.diff(dim=1) >= 0).all()
        step = cdf.diff(dim=1).gather(1, levels[:, channel : channel + 1].long())
        log_prob += step[:, 0].log()
    torch.testing.assert_close(
        log_prob, described.log_prob_map(levels), rtol=1e-6, atol=1e-6
    )  # differences near one lose digits


def test_a_cdf_never_falls_where_a_component_is_far_narrower_than_a_level():
    described = mixture(3, pixels=16)
    narrow = DiscretizedLogisticMixture(
        described.logits, described.means, described.log_scales - 20.0, described.coeffs
    )
    levels = torch.zeros(1, 3, 1, 16, dtype=torch.uint8)
    for channel in range(3):
        assert (narrow.cdf(levels, channel).diff(dim=1) >= 0).all()


QUICK = settings(max_examples=60, deadline=None, derandomize=True)
MEANS = st.floats(-2.0, 2.0)
LOG_SCALES = st.floats(-6.0, 2.0)


def wide(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float64)


@given(level=st.integers(0, LEVELS - 1), mean=MEANS, log_scale=LOG_SCALES)
@QUICK
def test_the_gradient_of_a_bin_is_that_of_its_two_sigmoids(
    level: int, mean: float, log_scale: float
) -> None:
    """By hand: of p = s(a) - s(b), at the ends s(a) or 1 - s(b), with s the logistic function,

    d log p / d mean      = -(s'(a) - s'(b)) / (scale p),
    d log p / d log scale = -(a s'(a) - b s'(b)) / p.
    """
    centre, width = wide(mean).requires_grad_(), wide(log_scale).requires_grad_()
    x, scale = to_axis(torch.tensor(level), torch.float64).item(), math.exp(log_scale)
    log_logistic_bin(wide(x), centre, width).backward()

    a, b = (x + HALF_BIN - mean) / scale, (x - HALF_BIN - mean) / scale
    upper = (stats.logistic.cdf(a), stats.logistic.pdf(a)) if level < LEVELS - 1 else (1.0, 0.0)
    lower = (stats.logistic.cdf(b), stats.logistic.pdf(b)) if level > 0 else (0.0, 0.0)
    probability = upper[0] - lower[0]
    assume(probability > 1e-6)  # below it the difference of the hand computation cancels
    assert centre.grad is not None
    assert width.grad is not None
    by_mean = -(upper[1] - lower[1]) / (scale * probability)
    by_scale = -(a * upper[1] - b * lower[1]) / probability
    assert centre.grad.item() == pytest.approx(by_mean, rel=1e-6, abs=1e-6)
    assert width.grad.item() == pytest.approx(by_scale, rel=1e-6, abs=1e-6)


@given(level=st.integers(0, LEVELS - 1), mean=MEANS, log_scale=LOG_SCALES)
@QUICK
def test_dark_and_bright_are_alike(level: int, mean: float, log_scale: float) -> None:
    """The axis has no preferred end: level l around m is level 255 - l around -m."""
    x, other = to_axis(torch.tensor([level, LEVELS - 1 - level]), torch.float64)
    one = log_logistic_bin(x, wide(mean), wide(log_scale))
    mirrored = log_logistic_bin(other, -wide(mean), wide(log_scale))
    assert one.item() == pytest.approx(mirrored.item(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_neither_the_order_of_components_nor_a_common_weight_matters(channels: int) -> None:
    described = mixture(channels, components=4, pixels=5)
    generator = torch.Generator().manual_seed(1)
    levels = torch.randint(0, LEVELS, (1, channels, 1, 5), generator=generator).to(torch.uint8)
    order = torch.tensor([2, 0, 3, 1])
    permuted = DiscretizedLogisticMixture(*(part[:, order] for part in vars(described).values()))
    heavier = replace(described, logits=described.logits + 7.0)
    expected = described.log_prob(levels)
    torch.testing.assert_close(permuted.log_prob(levels), expected)
    torch.testing.assert_close(heavier.log_prob(levels), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_component_twice_at_half_its_weight_is_that_component(channels: int) -> None:
    described = mixture(channels, components=2, pixels=4)
    levels = torch.full((1, channels, 1, 4), 200, dtype=torch.uint8)
    doubled = DiscretizedLogisticMixture(
        *(torch.cat([part, part], dim=1) for part in vars(described).values())
    )
    torch.testing.assert_close(doubled.log_prob(levels), described.log_prob(levels))


def test_one_pixel_of_a_description_is_an_entry_of_its_map() -> None:
    described = mixture(channels=3, pixels=6)
    generator = torch.Generator().manual_seed(2)
    levels = torch.randint(0, LEVELS, (1, 3, 1, 6), generator=generator).to(torch.uint8)
    by_pixel = described.log_prob_map(levels)
    for col in range(6):
        alone = described.at(0, col).log_prob(levels[..., col : col + 1])
        torch.testing.assert_close(alone, by_pixel[:, 0, col])
    torch.testing.assert_close(described.log_prob(levels), by_pixel.sum(dim=(1, 2)))


@given(uniform=st.floats(1e-9, 1.0 - 1e-9), mean=MEANS, log_scale=LOG_SCALES)
@QUICK
def test_the_level_drawn_is_the_one_whose_bin_holds_the_quantile(
    uniform: float, mean: float, log_scale: float
) -> None:
    """Inversion: P(level < l) <= u <= P(level <= l)."""
    shape = (1, 1, 1, 1, 1)
    described = DiscretizedLogisticMixture(
        wide(0.0).view(1, 1, 1, 1),
        wide(mean).view(shape),
        wide(log_scale).view(shape),
        torch.empty(1, 1, 0, 1, 1, dtype=torch.float64),
    )
    noise = standard_noise(torch.tensor([0.5, uniform], dtype=torch.float64), components=1)
    level = int(described.transport(noise.view(1, 1, 1, 2)))
    below = log_logistic_bin(to_axis(all_levels(), torch.float64), wide(mean), wide(log_scale))
    total = below.exp().cumsum(dim=0)
    assert total[level] >= uniform - 1e-9
    assert level == 0 or total[level - 1] <= uniform + 1e-9


@given(log_prob=st.floats(-1e5, 0.0), dims=st.integers(1, 5000), copies=st.integers(1, 9))
@QUICK
def test_a_code_length_does_not_depend_on_how_much_is_coded(
    log_prob: float, dims: int, copies: int
) -> None:
    one = bits_per_dim(wide(log_prob), dims)
    many = bits_per_dim(wide(copies * log_prob), copies * dims)
    torch.testing.assert_close(one, many)
