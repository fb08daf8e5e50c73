r"""Distances between two sets of features: FID and KID, as values and as estimates.

FID fits a Gaussian to each set and takes the Frechet distance between them [1],

    |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)),

KID is the unbiased squared maximum mean discrepancy under the kernel (x . y / d + 1)^3 [2].
FID is biased upwards, the more so the fewer images there are per feature [3]: scores compare
only between sets of the same numbers of images.  KID is not biased.

Intervals are for the mean score of sets of these sizes, value -+ 1.96 standard errors.  Where
two sets come from nearly one distribution, a score hardly depends on any single image but on
pairs of them.  With s1 the part of its variance that single images explain and s2 the part that
only pairs do [4], the score varies by s1 + s2, the jackknife sees s1 + 2 s2 and a bootstrap
s1 + 3 s2: intervals up to 1.7 times too wide.  So s2 is estimated by itself and taken off the
jackknife; what is left never counts for less than s2.

Shapes: N images in one set, M in the other, d features.  Whatever comes in, all statistics are
float64 on the CPU.

References:
    [1] Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium, NeurIPS 2017.  https://arxiv.org/abs/1706.08500
    [2] Binkowski et al., Demystifying MMD GANs, ICLR 2018.  https://arxiv.org/abs/1801.01401
    [3] Chong, Forsyth, Effectively unbiased FID and inception score, CVPR 2020.
        https://arxiv.org/abs/1911.07023
    [4] Efron, Stein, The jackknife estimate of variance, Annals of Statistics 9, 1981: the
        decomposition, and why a jackknife variance is too large.
"""

import math

import torch
from torch import Tensor, nn

from pixelbayes.errors import PixelBayesError, naming_extras
from pixelbayes.evaluation.estimate import Z_95, Estimate

__all__ = ["RESAMPLES", "fid", "fid_estimate", "fid_reference", "kid", "kid_estimate"]

KID_UNIT = "x 10^-3"  # KID is customarily given in thousandths
THOUSANDTHS = 1000.0
RESAMPLES = 200  # of the bootstrap: one costs up to 0.1 s with 2048 features of 519 images
RANK_TOLERANCE = 1e-10  # of singular values, relative to the largest, in float64
EXCHANGES = 8  # of images between the sets, to learn s2 of FID: its mean varies by a few percent


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


@naming_extras()
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
    return _discrepancy(_kernels(a, b))


def fid_estimate(
    a: Tensor, b: Tensor, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Estimate, float]:
    """FID with its 95 % interval, and how much resampling raised it.

    The jackknife is the infinitesimal one: how FID answers to the weight of each image.  s2 is
    half of what it gives where the images of both sets, each set centred on its mean, are
    exchanged at random, so that there is nothing to find but chance.  Coverage on Gaussian
    features is in docs/results/coverage.md.

    The interval says where another draw of sets of these sizes would score on average.  It is
    not one for the FID of infinitely many images, which is lower: the mean rise of a bootstrap,
    whose draws hold fewer different images, is a rough guess at by how much.

    Args:
        a: Features, (N, d); N is the estimate's n.
        b: Features, (M, d).
        resamples: How often both sets are drawn again for the rise.
        seed: Of the exchanges and of the draws.

    Returns:
        The estimate, unit "", and the mean rise of the resampled scores above its value.

    Raises:
        ValueError: As `fid`, or if `resamples` is less than 1.
    """
    a, b = _checked(a, b)
    if resamples < 1:
        raise PixelBayesError(f"resamples is a number of draws, at least 1, got {resamples}")
    value = fid(a, b)
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.cat([a - a.mean(dim=0), b - b.mean(dim=0)])
    by_chance = 0.0
    for _ in range(EXCHANGES):
        exchanged = pooled[torch.randperm(len(pooled), generator=generator)]
        by_chance += _jackknife_variance(*exchanged.split([len(a), len(b)])) / EXCHANGES
    error = _standard_error(_jackknife_variance(a, b), by_chance / 2)
    generator = torch.Generator().manual_seed(seed)

    def drawn(features: Tensor) -> tuple[Tensor, Tensor]:
        n = len(features)
        chosen = torch.randint(n, (n,), generator=generator)
        return _gaussian(features, torch.bincount(chosen, minlength=n))

    rise = sum(_frechet(drawn(a), drawn(b)) for _ in range(resamples)) / resamples - value
    # No distance lies below zero.
    interval = max(value - Z_95 * error, 0.0), value + Z_95 * error
    return Estimate(value, *interval, len(a), ""), rise


def kid_estimate(a: Tensor, b: Tensor) -> Estimate:
    """KID in thousandths with its 95 % interval; n is that of the first set.

    Both parts of the variance are sums over the kernel matrices.  With k~ a kernel without the
    means of its rows and columns, the pairs' part is s2 = 2 mean k~(a, a')^2 / N(N - 1)
    + 2 mean k~(b, b')^2 / M(M - 1) + 4 mean k~(a, b)^2 / NM.

    Raises:
        ValueError: As `fid`.
    """
    a, b = _checked(a, b)
    n, m = len(a), len(b)
    kernels = within_a, across, within_b = _kernels(a, b)
    rows_a = (within_a.sum(dim=1) - within_a.diagonal()) / (n - 1)
    rows_b = (within_b.sum(dim=1) - within_b.diagonal()) / (m - 1)
    jackknife = 4 * (
        (rows_a - across.mean(dim=1)).var() / n + (rows_b - across.mean(dim=0)).var() / m
    )
    pairs = across - across.mean(dim=1, keepdim=True) - across.mean(dim=0) + across.mean()
    of_pairs = 4 * pairs.square().mean() / (n * m)
    for kernel, rows in ((within_a, rows_a), (within_b, rows_b)):
        number = len(kernel) * (len(kernel) - 1)
        pairs = (kernel - rows[:, None] - rows + rows.mean()).fill_diagonal_(0.0)
        of_pairs += 2 * pairs.square().sum() / number**2
    value = THOUSANDTHS * _discrepancy(kernels)
    half = THOUSANDTHS * Z_95 * _standard_error(float(jackknife), float(of_pairs))
    return Estimate(value, value - half, value + half, n, KID_UNIT)


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


@naming_extras()
def _kernels(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The kernel matrices (N, N), (N, M) and (M, M)."""
    from torchmetrics.image.kid import poly_kernel  # its defaults are [2]'s kernel

    return poly_kernel(a, a), poly_kernel(a, b), poly_kernel(b, b)


def _discrepancy(kernels: tuple[Tensor, Tensor, Tensor]) -> float:
    """Unbiased MMD^2: no image is compared with itself."""
    within_a, across, within_b = kernels
    within = sum(
        float(kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1))
        for kernel in (within_a, within_b)
    )
    return within - 2 * float(across.mean())


def _jackknife_variance(a: Tensor, b: Tensor) -> float:
    """Sum of the squared derivatives of FID by the weights of all images.

    The derivative of the sum of the singular values of A B' by A is P B, with P the product of
    its singular vectors, U V'.
    """
    roots, bases, triangles = [], [], []
    for features in (a, b):
        root = (features - features.mean(dim=0)) / math.sqrt(len(features) - 1)
        basis, triangle = torch.linalg.qr(root)
        roots.append(root)
        bases.append(basis)
        triangles.append(triangle)
    left, values, right = torch.linalg.svd(triangles[0] @ triangles[1].T)
    # Vectors of vanishing singular values are arbitrary, and carry no derivative.
    rank = int((values > RANK_TOLERANCE * values[0]).sum())
    polar = left[:, :rank] @ right[:rank]
    towards = bases[0] @ (polar @ triangles[1]), bases[1] @ (polar.T @ triangles[0])
    shift = a.mean(dim=0) - b.mean(dim=0)
    variance = 0.0
    for features, root, other, sign in zip((a, b), roots, towards, (1, -1), strict=True):
        means = 2 * sign * (features @ shift) / len(features)
        derivative = means + root.square().sum(dim=1) - (other * root).sum(dim=1)
        variance += float((derivative - derivative.mean()).square().sum())
    return variance


def _standard_error(jackknife: float, of_pairs: float) -> float:
    """Root of s1 + s2, of a jackknife variance s1 + 2 s2 and of s2."""
    return math.sqrt(max(jackknife - of_pairs, of_pairs))


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise PixelBayesError(
            "features are (N, d) and (M, d) of the same network and d, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
    if min(len(a), len(b)) < 2:
        raise PixelBayesError(
            f"a covariance needs at least two images in each set, got {len(a)} and {len(b)}"
        )
    a, b = a.detach().to("cpu", torch.float64), b.detach().to("cpu", torch.float64)
    if not math.isfinite(float(a.sum() + b.sum())):
        raise PixelBayesError(
            "features must be finite, got infinity or NaN; check the feature network"
        )
    return a, b
