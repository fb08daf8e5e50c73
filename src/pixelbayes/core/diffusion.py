r"""Gaussian diffusion as a likelihood: a bound on log p(x | y), and drawing by going backwards.

An image x on [-1, 1] is mixed with noise e ~ N(0, 1), more of it the later the time t in [0, 1]:

    z_t = alpha_t x + sigma_t e,    alpha_t^2 = sigmoid(-gamma_t),    sigma_t^2 = sigmoid(gamma_t),

where gamma_t, minus the logarithm of the ratio of signal to noise, rises on a line.  A network
predicts e from z_t, t and the label y.  In continuous time [1, equations 11 and 15]

    -log p(x | y) <= KL(q(z_1 | x) || N(0, 1)) + E[-log p(x | z_0)]
                     + (gamma_1 - gamma_0) / 2 E |e - predicted e|^2,

the last expectation over e and a uniform t.  The first two terms, the *ends*, know no network and
no chance: they are computed exactly.  The third is estimated from some pairs (t, e); the same
pairs for all classes, whose differences then have little noise [2].

Shapes: B images, D = C H W numbers of one image.
Units:  nats per image.

References:
    [1] Kingma et al., Variational Diffusion Models, NeurIPS 2021, arXiv 2107.00630.  Appendix B
        and C: gamma from -13.3 to 5, the Fourier features.
    [2] Li et al., Your Diffusion Model is Secretly a Zero-Shot Classifier, ICCV 2023, arXiv
        2303.16203, section 3 (the posterior from bounds, and paired noise).
    [3] Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020, arXiv 2006.11239.  Its
        code clips the image that a step predicts to [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from pixelbayes.core.likelihood import HALF_BIN, LEVELS, to_axis

__all__ = [
    "HALF_RANGE",
    "code_length_of_ends",
    "diffuse",
    "draw_backwards",
    "fourier_features",
    "gamma_at",
]

GAMMA_0, GAMMA_1 = -13.3, 5.0  # [1], appendix B
HALF_RANGE = (GAMMA_1 - GAMMA_0) / 2.0
"""Nats of a squared error of 1, averaged over times."""
FREQUENCIES = (7, 8)  # times pi, as powers of 2 [1, appendix C]: they tell neighbouring levels
NOISE_UP_TO, NOISE_STEP = 9.0, 1 / 64  # of the quadrature over one normal number

NoisePredictor = Callable[[Tensor, Tensor], Tensor]
"""Predicts the noise, (B, C, H, W), of noisy images, (B, C, H, W), at times, (B,)."""


def gamma_at(time: Tensor) -> Tensor:
    """Minus the logarithm of the ratio of signal to noise at a time in [0, 1]."""
    return GAMMA_0 + (GAMMA_1 - GAMMA_0) * time


def diffuse(images: Tensor, time: Tensor, noise: Tensor) -> Tensor:
    """z_t of images on [-1, 1].

    Args:
        images: (B, C, H, W).
        time: (B,), in [0, 1].
        noise: Like the images.
    """
    gamma = gamma_at(time)[:, None, None, None]
    return (-gamma).sigmoid().sqrt() * images + gamma.sigmoid().sqrt() * noise


def fourier_features(noisy: Tensor) -> Tensor:
    """The noisy images and their waves, whose length is near the distance of two levels.

    Args:
        noisy: (B, C, H, W).

    Returns:
        (B, 5 C, H, W).
    """
    angles = [noisy * (2.0**power * torch.pi) for power in FREQUENCIES]
    return torch.cat([noisy, *(wave(it) for it in angles for wave in (torch.sin, torch.cos))], 1)


def code_length_of_ends(levels: Tensor) -> Tensor:
    """The two terms of the bound in which there is no network.

    KL(q(z_1 | x) || N(0, 1)) in closed form, and E[-log p(x | z_0)] where the probability of a
    level is proportional to the density of z_0 under it [1, section 3.3].

    Args:
        levels: uint8, (B, C, H, W).

    Returns:
        (B,), float64, nats.
    """
    table = torch.tensor(_ends(), dtype=torch.float64, device=levels.device)
    return table[levels.flatten(1).long()].sum(dim=1)


@lru_cache(maxsize=1)
def _ends() -> tuple[float, ...]:
    """The two terms of each of the 256 levels; the second by the trapezoid rule over the noise."""
    first, last = (torch.tensor(gamma, dtype=torch.float64) for gamma in (GAMMA_0, GAMMA_1))
    variance, axis = last.sigmoid(), to_axis(torch.arange(LEVELS), torch.float64)
    prior = 0.5 * (variance + (-last).sigmoid() * axis.square() - 1.0 - variance.log())
    # Distance of two neighbouring levels in z_0, in its standard deviations.
    apart = (-first / 2.0).exp() * (2.0 * HALF_BIN)
    noise = torch.arange(-NOISE_UP_TO, NOISE_UP_TO, NOISE_STEP, dtype=torch.float64)
    weights = torch.softmax(-noise.square() / 2.0, dim=0)
    others = torch.arange(LEVELS)
    table = []
    for level in range(LEVELS):
        distance = noise[:, None] + apart * (level - others)
        information = torch.logsumexp(-distance.square() / 2.0, dim=1) + noise.square() / 2.0
        table.append((prior[level] + (weights * information).sum()).item())
    return tuple(table)


def draw_backwards(
    predict: NoisePredictor,
    draw_noise: Callable[[], Tensor],
    steps: int,
    after_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Draws images: from noise at t = 1 back to t = 0 in equal steps [1, appendix A.4].

    Args:
        predict: The network, with its labels.
        draw_noise: Gives standard normal numbers, (B, C, H, W), float32, anew at each call.
        steps: How many.
        after_step: Called with the number of steps done and the levels so far.

    Returns:
        Levels, uint8, (B, C, H, W).
    """
    noisy = draw_noise()
    times = torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64).tolist()
    for done, (time, earlier) in enumerate(pairwise(times), start=1):
        now, then = (gamma_at(torch.tensor(t, dtype=torch.float64)) for t in (time, earlier))
        at = torch.full((len(noisy),), time, dtype=torch.float32, device=noisy.device)
        of_signal, of_noise = (-now).sigmoid().sqrt().item(), now.sigmoid().sqrt().item()
        image = ((noisy - of_noise * predict(noisy, at)) / of_signal).clamp(-1.0, 1.0)  # [3]
        if done < steps:  # q(z_s | z_t, x), with the predicted image in the place of x
            share = -torch.expm1(then - now)
            signal = (-then).sigmoid().sqrt()
            kept = then.sigmoid() / now.sigmoid() * of_signal / signal
            spread = (then.sigmoid() * share).sqrt()
            noisy = kept.item() * noisy + (signal * share).item() * image
            noisy = noisy + spread.item() * draw_noise()
        if after_step is not None:
            after_step(done, _as_levels(image))
    return _as_levels(image)


def _as_levels(images: Tensor) -> Tensor:
    return ((images + 1.0) / (2.0 * HALF_BIN)).round().clamp(0, LEVELS - 1).to(torch.uint8)
