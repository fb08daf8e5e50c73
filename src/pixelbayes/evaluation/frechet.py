r"""Distances between two sets of features: FID and KID, as values and as estimates.

FID fits a Gaussian to each set and takes the Frechet distance between them [1],

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)),

KID is the unbiased squared maximum mean discrepancy under the kernel (x . y / d + 1)^3 [2].
FID is biased upwards, the more so the fewer images there are per feature [3]: scores compare
only between sets of the same numbers of images.  KID is not biased.

Shapes: N images in one set, M in the other, d features.  Whatever comes in, all statistics are
float64 on the CPU.

References:
    [1] Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium, NeurIPS 2017.  https://arxiv.org/abs/1706.08500
    [2] Binkowski et al., Demystifying MMD GANs, ICLR 2018.  https://arxiv.org/abs/1801.01401
    [3] Chong, Forsyth, Effectively unbiased FID and inception score, CVPR 2020.
        https://arxiv.org/abs/1911.07023
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from pixelbayes.evaluation.estimate import LOWER, UPPER, Estimate

__all__ = ["RESAMPLES", "fid", "fid_estimate", "fid_reference", "kid", "kid_estimate"]

KID_UNIT = "x 10^-3"  # KID is customarily given in thousandths
THOUSANDTHS = 1000.0
RESAMPLES = 200  # of the bootstrap: one costs up to 0.1 s with 2048 features of 519 images


def fid(a: Tensor, b: Tensor) -> float:
    r"""Frechet distance between Gaussians fitted to two sets of features [1].

    With centred features A, B, scaled so that A'A and B'B are the covariances, the eigenvalues
    of S_a S_b are the squared singular values of A B', so

        tr (S_a S_b)^(1/2) = sum of the singular values of A B'.

    Exact, never complex, and at home where there are fewer images than features: the customary
    matrix root of a singular S_a S_b needs its imaginary part thrown away there.
    `fid_reference` is the same number by the customary way.

    >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    >>> shift = torch.tensor([3.0, 0.0, 4.0, 0.0])
    >>> round(fid(x, x + shift), 4)
    25.0

    Args:
        a: Features, (N, d).
        b: Features, (M, d); the order of the two sets does not matter.

    Raises:
        ValueError: If the shapes are others, a set has fewer than two images, or a feature is
            not finite.
    """
    a, b = _checked(a, b)
    return _frechet(_gaussian(a, torch.ones(len(a))), _gaussian(b, torch.ones(len(b))))


def fid_reference(a: Tensor, b: Tensor) -> float:
    """The specification of `fid`: torchmetrics' FrechetInceptionDistance on given features.

    Slow where there are many features: it takes the eigenvalues of a (d, d) matrix that is not
    symmetric.

    Raises:
        ValueError: As `fid`.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    a, b = _checked(a, b)
    metric = FrechetInceptionDistance(feature=_AlreadyFeatures(a.shape[1]))
    metric.update(a, real=True)
    metric.update(b, real=False)
    return float(metric.compute())


def kid(a: Tensor, b: Tensor) -> float:
    """Kernel distance between two sets of features, unbiased, in its own unit (not thousandths).

    Of the whole sets, without subsets: that is the mean of the customary estimate (the mean over
    random subsets of one size) over all subsets there are, so nothing is left to chance, and the
    sets may differ in size.  Zero on average for two sets of one distribution, so it can be
    negative.  Takes memory for three kernel matrices, 200 MB each for 5000 images a set.

    Args:
        a: Features, (N, d).
        b: Features, (M, d); the order of the two sets does not matter.

    Raises:
        ValueError: As `fid`.
    """
    a, b = _checked(a, b)
    return _discrepancy(_kernels(a, b), torch.ones(len(a)), torch.ones(len(b)))


def fid_estimate(
    a: Tensor, b: Tensor, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Estimate, float]:
    """FID with its 95 % interval, and how much resampling raised it.

    Both sets are drawn again with replacement.  Such a draw holds fewer different images, which
    raises FID further than chance would; the percentiles are therefore moved back by the mean
    rise.  The interval says where another draw of sets of these sizes would score.  It is not one
    for the FID of infinitely many images, which is lower: the rise is a rough guess at by how much.

    Args:
        a: Features, (N, d); N is the estimate's n.
        b: Features, (M, d).
        resamples: How often both sets are drawn again.
        seed: Of the draws.

    Returns:
        The estimate, unit "", and the mean rise of the resampled scores above its value.

    Raises:
        ValueError: As `fid`, or if `resamples` is less than 1.
    """
    a, b = _checked(a, b)
    estimate, rise = _bootstrap(
        lambda counts_a, counts_b: _frechet(_gaussian(a, counts_a), _gaussian(b, counts_b)),
        (len(a), len(b)),
        resamples=resamples,
        seed=seed,
        unit="",
    )
    # Moved back, an end can fall below zero, where no distance lies.
    return replace(estimate, low=max(estimate.low, 0.0), high=max(estimate.high, 0.0)), rise


def kid_estimate(a: Tensor, b: Tensor, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """KID in thousandths with its 95 % interval, by the same draws as `fid_estimate`.

    Copies of one image in a draw are not compared with each other, so it stays unbiased.

    Raises:
        ValueError: As `fid`, or if `resamples` is less than 1.
    """
    a, b = _checked(a, b)
    kernels = _kernels(a, b)
    estimate, _ = _bootstrap(
        lambda counts_a, counts_b: THOUSANDTHS * _discrepancy(kernels, counts_a, counts_b),
        (len(a), len(b)),
        resamples=resamples,
        seed=seed,
        unit=KID_UNIT,
    )
    return estimate


class _AlreadyFeatures(nn.Module):
    """Stands in for the feature network where the features are there already."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.num_features = dims

    def forward(self, features: Tensor) -> Tensor:
        return features


def _gaussian(features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and a matrix A (r, d) with A'A the covariance, image i counting counts[i] times.

    r is at most d, and at most the number of different images.
    """
    drawn = counts > 0
    features, weights = features[drawn], counts[drawn].to(features.dtype)
    total = weights.sum()
    mean = weights @ features / total
    root = (features - mean) * (weights / (total - 1)).sqrt()[:, None]
    if root.shape[0] > root.shape[1]:
        root = torch.linalg.qr(root, mode="r").R
    return mean, root


def _frechet(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    (mean_a, root_a), (mean_b, root_b) = a, b
    means = (mean_a - mean_b).square().sum()
    traces = root_a.square().sum() + root_b.square().sum()
    distance = means + traces - 2 * torch.linalg.svdvals(root_a @ root_b.T).sum()
    return max(float(distance), 0.0)  # rounding can leave -1e-13


def _kernels(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The kernel matrices (N, N), (N, M) and (M, M)."""
    from torchmetrics.image.kid import poly_kernel  # its defaults are [2]'s kernel

    return poly_kernel(a, a), poly_kernel(a, b), poly_kernel(b, b)


def _discrepancy(
    kernels: tuple[Tensor, Tensor, Tensor], counts_a: Tensor, counts_b: Tensor
) -> float:
    """Unbiased MMD^2, image i counting counts[i] times and never compared with itself."""
    within_a, across, within_b = kernels
    v, w = counts_a.to(across.dtype), counts_b.to(across.dtype)
    mean_across = float(v @ across @ w / (v.sum() * w.sum()))
    return _mean_of_pairs(within_a, v) + _mean_of_pairs(within_b, w) - 2 * mean_across


def _mean_of_pairs(kernel: Tensor, counts: Tensor) -> float:
    squares = counts.square()
    pairs = counts.sum().square() - squares.sum()
    # One image drawn every time leaves no pair; its only stand-in is the kernel at that image.
    if pairs == 0:
        return float(squares @ kernel.diagonal() / squares.sum())
    return float((counts @ kernel @ counts - squares @ kernel.diagonal()) / pairs)


def _bootstrap(
    statistic: Callable[[Tensor, Tensor], float],
    sizes: tuple[int, int],
    *,
    resamples: int,
    seed: int,
    unit: str,
) -> tuple[Estimate, float]:
    """Percentile interval of a statistic of two sets, moved back by the mean rise; the rise."""
    if resamples < 1:
        raise ValueError(f"resamples is a number of draws, at least 1, got {resamples}")
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> Tensor:
        return torch.bincount(torch.randint(n, (n,), generator=generator), minlength=n)

    value = statistic(torch.ones(sizes[0]), torch.ones(sizes[1]))
    drawn = torch.tensor(
        [statistic(draw(sizes[0]), draw(sizes[1])) for _ in range(resamples)], dtype=torch.float64
    )
    rise = float(drawn.mean()) - value
    ends = torch.quantile(drawn - rise, torch.tensor([LOWER, UPPER], dtype=torch.float64))
    return Estimate(value, float(ends[0]), float(ends[1]), sizes[0], unit), rise


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise ValueError(
            "features are (N, d) and (M, d) of the same network and d, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
    if min(len(a), len(b)) < 2:
        raise ValueError(
            f"a covariance needs at least two images in each set, got {len(a)} and {len(b)}"
        )
    a, b = a.detach().to("cpu", torch.float64), b.detach().to("cpu", torch.float64)
    if not math.isfinite(float(a.sum() + b.sum())):
        raise ValueError("features must be finite, got infinity or NaN; check the feature network")
    return a, b
