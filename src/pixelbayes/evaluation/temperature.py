"""The temperature that makes a confidence of 80 % right 80 % of the time.

Shapes: N images, K classes.  Units: nats per image.

References:
    [1] Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
        https://arxiv.org/abs/1706.04599
"""

import math

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.calibration import check_shapes

__all__ = ["fit_temperature", "held_out_temperatures"]

# Classes differ by tens to thousands of nats: 1e4 makes any of that a coin toss, and a model
# that needs sharpening by more than a hundred is not a likelihood.
TEMPERATURE_BOUNDS = (1e-2, 1e4)
FOLDS = 5


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
    if len(labels) < 2:
        raise PixelBayesError("an image can be left out of two or more, got 1")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    temperatures = torch.empty(len(labels), 1, dtype=torch.float64)
    for left_out in order.tensor_split(min(folds, len(labels))):
        kept = torch.ones(len(labels), dtype=torch.bool)
        kept[left_out] = False
        temperatures[left_out] = fit_temperature(log_likelihood[kept], log_prior, labels[kept])
    return temperatures
