"""The temperature that makes a confidence of 80 % right 80 % of the time.

Everything takes log-likelihoods log p(x | y) in nats per image, (N, K), and class indices 0..K-1,
int64, (N,).  Unlabelled images (label -1) must be left out first.

References:
    [1] Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
        https://arxiv.org/abs/1706.04599
    [2] Efron, Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.arrays import arrays_too
from pixelbayes.evaluation.calibration import RESAMPLES, check_shapes
from pixelbayes.evaluation.estimate import (
    LOWER,
    UPPER,
    Estimate,
    mean_estimate,
    sums_by_group,
    with_replacement,
)

__all__ = [
    "TemperatureDecision",
    "decide_temperature",
    "fit_temperature",
    "held_out_temperatures",
    "temperature_estimate",
]

# Classes differ by tens to thousands of nats: 1e4 makes any of that a coin toss, and a model
# that needs sharpening by more than a hundred is not a likelihood.
TEMPERATURE_BOUNDS = (1e-2, 1e4)
FOLDS = 5
LOG_TEMPERATURE_STEP = 0.05  # of the grid for intervals; a parabola finds the minimum between
MIN_IMAGES = 20  # with fewer, one image weighs more than the 5 % that an interval may miss


@arrays_too
def fit_temperature(log_likelihood: Tensor, log_prior: Tensor, labels: Tensor) -> float:
    """Finds the temperature with the smallest log-loss ([1]).

    The posterior is log_softmax(log_likelihood / T + log_prior): the prior is not tempered.
    Its log-loss is convex in 1/T, so along log T there is a single valley and a bounded search
    finds it.  Fit on validation images, never on those that are reported.

    Where every image is classified right by a wide margin, a smaller T is always (if barely)
    better; where the likelihood says nothing, a larger one.  The result then lies at the edge
    of `TEMPERATURE_BOUNDS`.  T = 1 is kept unless another temperature is strictly better.

    Args:
        log_likelihood: log p(x | y), nats per image, (N, K).
        log_prior: log p(y), (K,).
        labels: True classes, (N,).

    Returns:
        The temperature T > 0.

    Raises:
        ValueError: If shapes or labels are impossible or the log-likelihood is not finite.
    """
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped, unused-ignore]

    check_shapes("log_likelihood", log_likelihood, labels)
    if log_prior.shape != log_likelihood.shape[1:]:
        raise PixelBayesError(
            f"log_prior must have one entry per class, {tuple(log_likelihood.shape[1:])}, "
            f"got shape {tuple(log_prior.shape)}"
        )
    if not log_likelihood.isfinite().all():
        bad = int((~log_likelihood.isfinite()).any(dim=1).sum())
        raise PixelBayesError(
            f"log_likelihood is not finite for {bad} of {len(labels)} images; "
            "no temperature can repair that, check the model (did the training diverge?)"
        )
    ll = log_likelihood.detach().to("cpu", torch.float64)
    prior = log_prior.detach().to("cpu", torch.float64)
    chosen = labels.cpu()[:, None]

    def loss(log_temperature: float) -> float:
        posterior = torch.log_softmax(ll / math.exp(log_temperature) + prior, dim=1)
        return -float(posterior.gather(1, chosen).mean())

    low, high = (math.log(bound) for bound in TEMPERATURE_BOUNDS)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x) if found.fun < loss(0.0) else 1.0


@arrays_too
def held_out_temperatures(
    log_likelihood: Tensor, log_prior: Tensor, labels: Tensor, *, folds: int = FOLDS, seed: int = 0
) -> Tensor:
    """For each image the temperature that the other folds of the images ask for.

    The images that a temperature is fitted on look better calibrated under it than new ones
    will.  Under these no image has had a say in its own temperature, so what is measured on
    them is what `fit_temperature` of all of them promises for new images.

    Args:
        log_likelihood: log p(x | y), nats per image, (N, K).
        log_prior: log p(y), (K,).
        labels: True classes, (N,).
        folds: Parts that are left out in turn; at most N.
        seed: Of the division into folds.

    Returns:
        (N, 1), float64.

    Raises:
        ValueError: As for `fit_temperature`, or if N < 2.
    """
    check_shapes("log_likelihood", log_likelihood, labels)
    if len(labels) < 2 or folds < 2:
        raise PixelBayesError(
            "images are left out in two folds or more, of two images or more, got "
            f"{folds} folds of {len(labels)}"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    temperatures = torch.empty(len(labels), 1, dtype=torch.float64)
    for left_out in order.tensor_split(min(folds, len(labels))):
        kept = torch.ones(len(labels), dtype=torch.bool)
        kept[left_out] = False
        temperatures[left_out] = fit_temperature(log_likelihood[kept], log_prior, labels[kept])
    return temperatures


@arrays_too
def temperature_estimate(
    log_likelihood: Tensor, log_prior: Tensor, labels: Tensor, *, seed: int = 0
) -> Estimate:
    """`fit_temperature` with its 95 % percentile bootstrap interval ([2]), unit "".

    An end at a bound of `TEMPERATURE_BOUNDS` says that the images do not determine the
    temperature on that side.

    Args:
        log_likelihood: log p(x | y), nats per image, (N, K).
        log_prior: log p(y), (K,).
        labels: True classes, (N,).
        seed: Of the bootstrap.

    Raises:
        ValueError: As `fit_temperature`.
    """
    value = fit_temperature(log_likelihood, log_prior, labels)
    ll = log_likelihood.detach().to("cpu", torch.float64)
    prior = log_prior.detach().to("cpu", torch.float64)
    low, high = (math.log(bound) for bound in TEMPERATURE_BOUNDS)
    steps = math.ceil((high - low) / LOG_TEMPERATURE_STEP)
    grid = torch.linspace(low, high, steps + 1, dtype=torch.float64)
    chosen = labels.cpu()[:, None]
    losses = torch.stack(
        [
            -torch.log_softmax(ll * math.exp(-x) + prior, dim=1).gather(1, chosen)[:, 0]
            for x in grid.tolist()
        ]
    )
    n = len(labels)
    curves = torch.cat(
        [
            sums_by_group(drawn, torch.ones_like(drawn), n) @ losses.T
            for drawn in with_replacement(n, RESAMPLES, seed)
        ]
    )
    at = curves.argmin(dim=1)
    around = at.clamp(1, steps - 1)[:, None] + torch.tensor([-1, 0, 1])
    left, middle, right = curves.gather(1, around).unbind(dim=1)
    shift = LOG_TEMPERATURE_STEP * (left - right) / (2 * (left - 2 * middle + right))
    inside = (at > 0) & (at < steps) & shift.isfinite()  # not where the curve is straight
    fitted = grid[at] + torch.where(inside, shift, 0.0)
    ends = torch.quantile(fitted, torch.tensor([LOWER, UPPER], dtype=torch.float64)).exp()
    return Estimate(value, float(ends[0]), float(ends[1]), n, "")


@dataclass(frozen=True, slots=True)
class TemperatureDecision:
    """Which temperature to use, and what speaks for it."""

    temperature: float
    """The one to use: the fitted one, or the one that was there before."""
    fitted: Estimate
    """The temperature fitted on all images."""
    gain: Estimate
    """By how many nats it lowers the log-loss of images that it was not fitted on."""
    accepted: bool
    """Whether the fitted one is used."""
    reason: str
    """Why, in words."""

    @property
    def sentence(self) -> str:
        """The reason as a sentence."""
        return f"{self.reason[0].upper()}{self.reason[1:]}."


@arrays_too
def decide_temperature(
    log_likelihood: Tensor,
    log_prior: Tensor,
    labels: Tensor,
    *,
    current: float = 1.0,
    seed: int = 0,
) -> TemperatureDecision:
    """Fits a temperature, and accepts it only if it helps images it was not fitted on.

    Three things must hold, or `current` stays.  There are at least `MIN_IMAGES` images.  They do
    not ask for ever more certainty: the lower end of the interval is not the bound of the search (a
    few images that are all classified right ask for that, and the first wrong one then costs more
    than all gained; the upper bound only makes every answer as uncertain as the prior).  And the
    log-loss of each image under the temperature that the other folds ask for
    (`held_out_temperatures`) is smaller than under `current` by more than Student's 95 % interval
    of the mean difference.

    Args:
        log_likelihood: log p(x | y), nats per image, (N, K).
        log_prior: log p(y), (K,).
        labels: True classes, (N,).
        current: The temperature in use, such as one fitted on other images; 1 is Bayes' rule.
        seed: Of folds and bootstrap.

    Raises:
        ValueError: As `fit_temperature`, or if N < 2 or `current` is not positive.
    """
    if not 0 < current < math.inf:
        raise PixelBayesError(f"a temperature is a positive number, got current = {current}")
    held_out = held_out_temperatures(log_likelihood, log_prior, labels, seed=seed)
    fitted = temperature_estimate(log_likelihood, log_prior, labels, seed=seed)
    ll = log_likelihood.detach().to("cpu", torch.float64)
    prior = log_prior.detach().to("cpu", torch.float64)
    before, after = (
        torch.log_softmax(ll / temperature + prior, dim=1).gather(1, labels.cpu()[:, None])[:, 0]
        for temperature in (current, held_out)
    )
    gain = mean_estimate(after - before, "nats")
    low, edge = TEMPERATURE_BOUNDS[0], math.exp(LOG_TEMPERATURE_STEP)
    n = len(labels)
    reason, found = "", f"{fitted.value:.4g} [{fitted.low:.4g}, {fitted.high:.4g}]"
    if n < MIN_IMAGES:
        reason = f"{n} images are too few, {MIN_IMAGES} are the least"
    elif fitted.low < low * edge:
        reason = (
            f"{n} images do not determine a temperature: its interval reaches the end of the search"
        )
    elif not gain.low > 0:
        reason = f"images that it was not fitted on gain {gain.brief}, which may be nothing"
    if reason:
        reason = f"temperature {current:.4g} stays, not {found}: {reason}"
        return TemperatureDecision(current, fitted, gain, False, reason)
    reason = (
        f"temperature {found} is used instead of {current:.4g}: {n} images that it was not fitted "
        f"on gain {gain.brief}"
    )
    return TemperatureDecision(fitted.value, fitted, gain, True, reason)
