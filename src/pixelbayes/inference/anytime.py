r"""Any-time classification: stop computing a class once it can no longer win.

A row depends only on rows above it, so log p(x | y) accumulates from the top row down and each
slice of rows is computed once (`PixelCNN.describe_rows`).  After each slice a class is dropped
from an image where its deficit to the best class exceeds

    threshold * deviation[slice],

the deviation being how much the gap between two classes still changes after that slice, measured
on validation images.  One number, the threshold, trades cost against agreement with the full
answer; `fit_anytime` chooses it on validation data.

Shapes: N images, K classes, S slices of rows.
Units:  nats per image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import ieee_float32
from pixelbayes.core.views import in_view
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import BayesClassifier
from pixelbayes.inference.views import told_view

__all__ = ["AnytimeClassifier", "AnytimeResult", "AnytimeRule", "accumulate", "fit_anytime"]

ROWS_PER_SLICE = 4  # the finest that three resolutions allow
THRESHOLDS = 200  # candidates between no dropping and dropping at once


@dataclass(frozen=True)
class AnytimeRule:
    """When a class is dropped.

    Attributes:
        threshold: In deviations; infinite drops nothing.
        deviations: After each slice but the last, how much a gap still changes, (S - 1,), nats.
    """

    threshold: float
    deviations: tuple[float, ...]

    def dropped(self, joint: Tensor, slices_done: int) -> Tensor:
        """Which classes cannot plausibly recover.

        Args:
            joint: log p(x so far, y), (N, K); -inf where a class was dropped before.
            slices_done: 1..S - 1.

        Returns:
            bool, (N, K).
        """
        deficit = joint.max(dim=1, keepdim=True).values - joint
        return deficit > self.threshold * self.deviations[slices_done - 1]


@dataclass(frozen=True)
class AnytimeResult:
    """Answers and what they cost.

    Attributes:
        predicted: int64, (N,).
        slices: How many slices were computed for each image and class, (N, K).
        cost: Share of the pixels times classes that was computed, in (0, 1].
    """

    predicted: Tensor
    slices: Tensor
    cost: float


def slices_of(height: int) -> list[slice]:
    """Slices of `ROWS_PER_SLICE` rows from the top down; the last may be shorter."""
    starts = range(0, height, ROWS_PER_SLICE)
    return [slice(row, min(row + ROWS_PER_SLICE, height)) for row in starts]


@ieee_float32()
@torch.inference_mode()
def accumulate(classifier: BayesClassifier | PixelCNN, levels: Tensor) -> Tensor:
    """Log p(x | y) of the rows up to the end of each slice, (N, K, S), float64, on the CPU.

    Everything is computed; this is what rules are fitted on and judged by.

    Args:
        classifier: A network in evaluation mode, or a classifier that scores other views of it.
        levels: uint8, (N, C, H, W).
    """
    if isinstance(classifier, PixelCNN):
        classifier = BayesClassifier(classifier)
    model = classifier.model
    images, classes = classifier.chunk_images(), model.config.classes
    labels = torch.arange(classes, device=model.output.bias.device)
    ends = torch.tensor([part.stop - 1 for part in slices_of(model.config.image_size[0])])
    pieces = []
    for part in torch.split(levels, images):
        by_view = []
        for view in classifier.views:  # which all keep every pixel in its row
            seen = in_view(part.to(labels.device), view)
            described = model.for_each_label(seen, labels, told_view(model, view))
            by_row = described.log_prob_map(seen.repeat_interleave(classes, dim=0)).sum(dim=2)
            total = by_row.double().cpu().cumsum(dim=1)[:, ends]
            by_view.append(total.view(len(part), classes, len(ends)))
        pieces.append(classifier.over_views(torch.stack(by_view, dim=-1)))
    return torch.cat(pieces)


def fit_anytime(cumulative: Tensor, log_prior: Tensor, *, agreement: float = 0.995) -> AnytimeRule:
    """The cheapest rule that agrees with the full answer on at least this share of images.

    Args:
        cumulative: From `accumulate` on validation images, (N, K, S).
        log_prior: (K,).
        agreement: In (0, 1].

    Raises:
        ValueError: If there are fewer than two images, or the agreement is out of range.
    """
    if len(cumulative) < 2 or not 0.0 < agreement <= 1.0:
        raise PixelBayesError(
            f"a rule needs at least two images and an agreement in (0, 1], got {len(cumulative)} "
            f"images and {agreement}"
        )
    remaining = cumulative[:, :, -1:] - cumulative[:, :, :-1]
    centred = remaining - remaining.mean(dim=1, keepdim=True)
    deviations = tuple(centred.square().mean(dim=(0, 1)).sqrt().tolist())
    joint = cumulative + log_prior[:, None]
    full = joint[:, :, -1].argmax(dim=1)
    best = AnytimeRule(float("inf"), deviations)
    for threshold in torch.logspace(1.5, -2.0, THRESHOLDS, dtype=torch.float64).tolist():
        rule = AnytimeRule(threshold, deviations)
        predicted = replay(joint, rule).predicted
        if (predicted == full).double().mean().item() < agreement:
            break
        best = rule
    return best


def replay(joint: Tensor, rule: AnytimeRule) -> AnytimeResult:
    """What `AnytimeClassifier` would answer, from likelihoods that are known already.

    Args:
        joint: log p(x so far, y), (N, K, S).
        rule: When to drop.
    """
    images, classes, slices = joint.shape
    alive = torch.ones(images, classes, dtype=torch.bool)
    computed = torch.zeros(images, classes, dtype=torch.int64)
    for done in range(1, slices + 1):
        # An image with one class left is decided.
        computed += alive & (alive.sum(dim=1, keepdim=True) > 1)
        if done < slices:
            so_far = joint[:, :, done - 1].masked_fill(~alive, float("-inf"))
            alive &= ~rule.dropped(so_far, done)
    final = joint[:, :, -1].masked_fill(~alive, float("-inf"))
    return AnytimeResult(final.argmax(dim=1), computed, computed.double().mean().item() / slices)


class AnytimeClassifier:
    """Classifies slice by slice, computing only what is still undecided.

    Args:
        classifier: Model, prior and memory budget.
        rule: When to drop a class, from `fit_anytime`.

    Raises:
        ValueError: If the rule is for images with another number of slices.
    """

    def __init__(self, classifier: BayesClassifier, rule: AnytimeRule) -> None:
        slices = len(slices_of(classifier.model.config.image_size[0]))
        if len(rule.deviations) != slices - 1:
            raise PixelBayesError(
                f"the rule is for {len(rule.deviations) + 1} slices of rows, this model's images "
                f"have {slices}; fit one on its own validation data"
            )
        self.classifier = classifier
        self.rule = rule

    @ieee_float32()
    @torch.inference_mode()
    def predict(self, levels: Tensor) -> AnytimeResult:
        """Classifies images, uint8, (N, C, H, W)."""
        chunks = [self._chunk(part) for part in torch.split(levels, self.classifier.chunk_images())]
        slices = torch.cat([chunk.slices for chunk in chunks])
        cost = slices.double().mean().item() / (len(self.rule.deviations) + 1)
        return AnytimeResult(torch.cat([chunk.predicted for chunk in chunks]), slices, cost)

    def _chunk(self, levels: Tensor) -> AnytimeResult:
        model, rule, views = self.classifier.model, self.rule, self.classifier.views
        device, classes = model.output.bias.device, model.config.classes
        image, label = torch.meshgrid(
            torch.arange(len(levels)), torch.arange(classes), indexing="ij"
        )
        image, label = image.flatten(), label.flatten()  # the pairs still computed
        by_view = torch.zeros(len(levels), classes, len(views), dtype=torch.float64)
        joint = self.classifier.log_prior.repeat(len(levels), 1)
        slices = torch.zeros(len(levels), classes, dtype=torch.int64)
        carries: list[dict[nn.Module, Tensor]] = [{} for _ in views]
        parts = slices_of(levels.shape[2])
        seen = [in_view(levels.to(device), view) for view in views]
        for done, rows in enumerate(parts, start=1):
            for number, view in enumerate(views):
                pictures, told = seen[number][image.to(device)], told_view(model, view)
                described = model.describe_rows(
                    pictures, label.to(device), rows, carries[number], told
                )
                evidence = described.log_prob(pictures[:, :, rows]).double().cpu()
                by_view[image, label, number] += evidence
            evidence = self.classifier.over_views(by_view[image, label])
            joint[image, label] = self.classifier.log_prior[label] + evidence
            slices[image, label] += 1
            if done == len(parts):
                break
            joint.masked_fill_(rule.dropped(joint, done), float("-inf"))
            alive = joint.isfinite()
            undecided = alive & (alive.sum(dim=1, keepdim=True) > 1)
            kept = undecided[image, label]
            if not kept.any():
                break
            if not kept.all():
                image, label = image[kept], label[kept]
                chosen = kept.nonzero()[:, 0].to(device)
                carries = [
                    {layer: row[chosen] for layer, row in carry.items()} for carry in carries
                ]
        return AnytimeResult(joint.argmax(dim=1), slices, float("nan"))
