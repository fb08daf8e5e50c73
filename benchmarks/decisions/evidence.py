"""Does the evidence map show the pixels that decide?  Deletion, insertion, and random weights.

Deletion replaces pixels by the mean colour of the image, the most important ones first, and a good
map makes the probability of the answer fall fast; insertion starts from the mean colour and puts
pixels back, and a good map makes it rise fast (Petsiuk et al., RISE, BMVC 2018).  The map is
compared with gradients of the same log-odds and with random orders.  With random weights a map of
a method that looks at the model, and not at the image alone, becomes another one (Adebayo et al.,
Sanity checks for saliency maps, NeurIPS 2018).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.records import Column, Record, Table, origin
from benchmarks.scoring import log_likelihoods_on_axis
from benchmarks.subjects import describe
from pixelbayes.core import PixelCNN
from pixelbayes.core.likelihood import log_logistic_bin, to_axis
from pixelbayes.core.precision import isolated
from pixelbayes.evaluation import mean_estimate
from pixelbayes.inference.evidence import evidence
from pixelbayes.models import PixelBayes

__all__ = ["EvidencePlan", "measure"]

ORDERS = ("evidence", "gradient", "random")
SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Of the pixels that are replaced or put back."""


@dataclass(frozen=True, kw_only=True)
class EvidencePlan:
    """What to measure.

    Attributes:
        images: Validation images, at random.
        seed: Of the images, the random orders and weights.
    """

    images: int = 20
    seed: int = 0


def measure(plan: EvidencePlan, model: PixelBayes, course: Tensor) -> Record:
    """Measures the curves and the check.

    Args:
        plan: How many.
        model: The trained model.
        course: Validation images, uint8 (N, C, H, W).
    """
    draw = torch.Generator().manual_seed(plan.seed)
    chosen = course[torch.randperm(len(course), generator=draw)[: plan.images]]
    untrained = _random_weights(model.network, plan.seed)
    curves: dict[tuple[str, str], list[Tensor]] = {}
    agreement: dict[str, list[float]] = {"evidence": [], "size of the evidence": []}
    for image in chosen:
        found = evidence(model.classifier(), image)
        label = found.classes[0]
        importance = {
            "evidence": found.evidence,
            "gradient": _gradient(model, image, label),
            "random": torch.rand(image.shape[1:], generator=draw),
        }
        other = evidence(PixelBayes(untrained, model.metadata).classifier(), image, label).evidence
        agreement["evidence"].append(_rank_correlation(found.evidence, other))
        agreement["size of the evidence"].append(
            _rank_correlation(found.evidence.abs(), other.abs())
        )
        for order, values in importance.items():
            for way, images in _altered(image, values).items():
                posterior = model.classifier().predict_log_proba(images)[:, label].exp()
                curves.setdefault((way, order), []).append(posterior)
    return Record(
        name="evidence",
        title="Evidence maps: deletion, insertion and random weights",
        settings={"network": describe(model.network.config), "plan": asdict(plan)},
        tables=(
            *(_curve_table(way, curves, plan.images) for way in ("deletion", "insertion")),
            Table(
                f"Rank correlation of maps of trained and of random weights (n = {plan.images})",
                (Column("map", "map"), Column("mean", "Spearman's, mean over images")),
                tuple(
                    {"map": name, "mean": mean_estimate(torch.tensor(values), "").brief}
                    for name, values in agreement.items()
                ),
                (
                    "A map that shows edges whatever the model has learned would agree with that "
                    "of random weights.",
                ),
            ),
        ),
        provenance=origin(),
        curves={
            f"{way}, {order}": torch.stack(rows).mean(dim=0).tolist()
            for (way, order), rows in curves.items()
        },
        brackets="[low, high] are 95 % intervals over images; differences are of the same image.",
    )


def _curve_table(way: str, curves: dict[tuple[str, str], list[Tensor]], n: int) -> Table:
    areas = {order: _areas(curves[way, order]) for order in ORDERS}
    rows = []
    for order in ORDERS:
        mean = torch.stack(curves[way, order]).mean(dim=0)
        row: dict[str, object] = {
            "order": order,
            "area": mean_estimate(areas[order], "").brief,
            **{f"{share:g}": float(value) for share, value in zip(SHARES, mean, strict=True)},
        }
        if order != "random":
            row["gain"] = mean_estimate(areas[order] - areas["random"], "").brief
        rows.append(row)
    better = "lower" if way == "deletion" else "higher"
    done = "replaced by the mean colour" if way == "deletion" else "put back on the mean colour"
    return Table(
        f"{way.capitalize()}: probability of the answer, pixels {done} (n = {n}; {better} is "
        "better)",
        (
            Column("order", "most important first by"),
            Column("area", "area under the curve"),
            Column("gain", "area less that of random"),
            *(Column(f"{share:g}", f"{share:.0%}") for share in SHARES),
        ),
        tuple(rows),
    )


def _areas(curves: list[Tensor]) -> Tensor:
    """Area under each curve of a probability over the share of pixels, (N,)."""
    return torch.trapezoid(torch.stack(curves), torch.tensor(SHARES, dtype=torch.float64), dim=1)


def _altered(image: Tensor, importance: Tensor) -> dict[str, Tensor]:
    """The image with more and more pixels replaced, or put back, (S, C, H, W) each."""
    mean = image.double().mean(dim=(1, 2), keepdim=True).round().to(torch.uint8).expand_as(image)
    rank = (
        importance.flatten().argsort(descending=True, stable=True).argsort().view(importance.shape)
    )
    first = torch.stack([rank < round(share * importance.numel()) for share in SHARES])[:, None]
    return {
        "deletion": torch.where(first, mean, image),
        "insertion": torch.where(first, image, mean),
    }


@isolated
def _gradient(model: PixelBayes, image: Tensor, label: int) -> Tensor:
    """Size of the gradient of log p(x | y) - log p(x | not y), summed over channels, (H, W)."""
    weight = model.network.output.direction
    with torch.inference_mode(False), torch.enable_grad():
        x = to_axis(image[None], weight.dtype).clone().requires_grad_()
        table = log_likelihoods_on_axis(model.network, x, log_logistic_bin)[0] + model.log_prior
        others = [other for other in range(len(table)) if other != label]
        (gradient,) = torch.autograd.grad(table[label] - table[others].logsumexp(dim=0), x)
    return gradient[0].abs().sum(dim=0).double()


def _random_weights(network: PixelCNN, seed: int) -> PixelCNN:
    """The same architecture; every weight drawn anew with the size of the trained one."""
    other = PixelCNN(network.config).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for mine, trained in zip(other.parameters(), network.parameters(), strict=True):
            size = trained.double().std(correction=0) if trained.numel() > 1 else trained.abs()
            mine.copy_(
                trained.double().mean() + size * torch.randn(mine.shape, generator=draw).double()
            )
    return other


def _rank_correlation(one: Tensor, other: Tensor) -> float:
    return float(spearmanr(one.flatten().numpy(), other.flatten().numpy()).statistic)
