r"""Any-time classification: stop computing a class once it can no longer win.

A row depends only on rows above it, so log p(x | y) accumulates from the top row down and each
slice of rows is computed once (`PixelCNN.describe_rows`).  After each slice a class is dropped
from an image where its deficit to the best class exceeds

    threshold * deviation[slice],

the deviation being how much the gap between two classes still changes after that slice, measured
on validation images.  One number, the threshold, trades cost against agreement with the full
answer; `fit_anytime` chooses it such that agreement on new images has a lower limit.

Shapes: N images, K classes, S slices of rows.
Units:  nats per image.

References:
    [1] Clopper & Pearson, The use of confidence or fiducial limits illustrated in the case of
        the binomial, Biometrika 1934.
    [2] Angelopoulos et al., Learn then Test: calibrating predictive algorithms to achieve risk
        control, 2021, section 3 (fixed sequences).  https://arxiv.org/abs/2110.01052
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import evaluation_mode, isolated
from pixelbayes.core.views import in_view
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import BayesClassifier
from pixelbayes.inference.memory import feature_budget
from pixelbayes.inference.views import told_view

__all__ = [
    "AgreementBound",
    "AnytimeClassifier",
    "AnytimeResult",
    "AnytimeRule",
    "accumulate",
    "agreement_limit",
    "fit_anytime",
    "passing",
    "require_enough",
]

ROWS_PER_SLICE = 4  # the finest that three resolutions allow
THRESHOLDS = torch.logspace(1.5, -2.0, 200, dtype=torch.float64).tolist()
"""Candidates, in deviations: from hardly ever dropping to dropping at once."""
ONE_IN_SCALE = 10  # of this many images one measures the deviations, the others the agreement


@dataclass(frozen=True)
class AgreementBound:
    """What is known of a rule's agreement with the full answer on new images like these.

    Attributes:
        agreement: Share of new images on which the answers agree, at least.
        confidence: Probability, over draws of the images it was fitted on, that this holds.
        images: How many images it was tested on.
        disagreeing: On how many of them this threshold or a more careful one disagreed.
    """

    agreement: float
    confidence: float
    images: int
    disagreeing: int


@dataclass(frozen=True)
class AnytimeRule:
    """When a class is dropped.

    Attributes:
        threshold: In deviations; infinite drops nothing.
        deviations: After each slice but the last, how much a gap still changes, (S - 1,), nats.
        bound: What its agreement is known to be; None if nothing is.
    """

    threshold: float
    deviations: tuple[float, ...]
    bound: AgreementBound | None = None

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
        cost: Share of the pixels times classes that was computed, in [0, 1].
    """

    predicted: Tensor
    slices: Tensor
    cost: float


def slices_of(height: int) -> list[slice]:
    """Slices of `ROWS_PER_SLICE` rows from the top down; the last may be shorter."""
    starts = range(0, height, ROWS_PER_SLICE)
    return [slice(row, min(row + ROWS_PER_SLICE, height)) for row in starts]


@isolated
def accumulate(classifier: BayesClassifier | PixelCNN, levels: Tensor) -> Tensor:
    """Log p(x | y) of the rows up to the end of each slice, (N, K, S), float64, on the CPU.

    Everything is computed; this is what rules are fitted on and judged by.

    Args:
        classifier: A network, whose mode is left as it is, or a classifier that scores other views
            of it.
        levels: uint8, (N, C, H, W).
    """
    if isinstance(classifier, PixelCNN):
        classifier = BayesClassifier(classifier)
    _require_classifier(classifier)
    ends = torch.tensor(
        [part.stop - 1 for part in slices_of(classifier.model.config.image_size[0])]
    )
    by_part = []
    for part in torch.split(levels, classifier.chunk_images()):  # maps are many numbers
        by_view = [
            BayesClassifier(classifier.model, views=[view]).log_likelihood_maps(part).sum(dim=3)
            for view in classifier.views  # which all keep every pixel in its row
        ]
        cumulative = torch.stack(by_view, dim=-1).cumsum(dim=2)[:, :, ends]
        by_part.append(classifier.over_views(cumulative))
    return torch.cat(by_part)


def _require_classifier(classifier: Any) -> None:
    if not isinstance(classifier, BayesClassifier):
        raise TypeError(
            f"expected a BayesClassifier, got {type(classifier).__name__}; of a loaded model "
            "model.classifier() makes it"
        )


def agreement_limit(disagreeing: int, images: int, confidence: float) -> float:
    """Lower Clopper-Pearson limit [1] of a share of which all but `disagreeing` were seen.

    >>> round(agreement_limit(0, 598, 0.95), 4)
    0.995
    """
    from scipy.special import betaincinv  # not needed to classify

    agreeing = images - disagreeing
    if agreeing == 0:
        return 0.0
    return float(betaincinv(agreeing, disagreeing + 1, 1.0 - confidence))


def fit_anytime(
    cumulative: Tensor,
    log_prior: Tensor,
    *,
    temperature: float = 1.0,
    agreement: float = 0.995,
    confidence: float = 0.95,
) -> AnytimeRule:
    """The cheapest threshold for which agreement with the full answer is shown to be high enough.

    An image counts against a threshold if that one, or any more careful one in the table,
    answers otherwise than the full computation.  So counted, the share of disagreeing images
    never falls from one threshold to the next bolder one, and testing them in that order, each
    by the binomial limit [1], holds the stated confidence for whichever is chosen from those
    that pass: a fixed sequence of tests needs no correction for their number [2].  The
    deviations come from every tenth image, which is not counted, so the tests are of rules that
    do not depend on the images they are tested on.

    Args:
        cumulative: From `accumulate` on images that the network was not trained on, (N, K, S).
            They need no labels.
        log_prior: (K,); a class of probability zero is never computed.
        temperature: Of the classifier, which weighs the evidence against the prior.
        agreement: Share of new images, like these, on which the answers have to agree, in (0, 1).
        confidence: Probability that they do, over draws of the N images, in (0, 1).

    Raises:
        ValueError: If a number is out of range, or there are too few images to show the agreement
            even if none of them disagreed; the message says how many it takes.
    """
    tenth = torch.arange(len(cumulative)) % ONE_IN_SCALE == 0
    joint = (cumulative + temperature * log_prior[:, None])[~tenth]
    require_enough(len(joint), agreement, confidence, of=len(cumulative))
    possible = cumulative[tenth][:, log_prior.isfinite()]
    remaining = possible[:, :, -1:] - possible[:, :, :-1]
    centred = remaining - remaining.mean(dim=1, keepdim=True)
    deviations = tuple(centred.square().mean(dim=(0, 1)).sqrt().tolist())

    full = joint[:, :, -1].argmax(dim=1)

    def disagreeing(threshold: float) -> Tensor:
        return replay(joint, AnytimeRule(threshold, deviations)).predicted != full

    best = AnytimeRule(math.inf, deviations, AgreementBound(1.0, 1.0, len(joint), 0))
    least = replay(joint, best).cost
    for threshold, bound in passing(THRESHOLDS, disagreeing, agreement, confidence):
        rule = AnytimeRule(threshold, deviations, bound)
        cost = replay(joint, rule).cost
        if cost < least:
            best, least = rule, cost
    return best


def require_enough(images: int, agreement: float, confidence: float, of: int | None = None) -> None:
    """Makes sure that so many images can show an agreement at a confidence.

    Args:
        images: That are tested.
        agreement: In (0, 1).
        confidence: In (0, 1).
        of: Images that these are nine tenths of; None: they are all there are.

    Raises:
        ValueError: If a number is out of range, or there are too few images even if none of them
            disagreed; the message says how many it takes.
    """
    if not (0.0 < agreement < 1.0 and 0.0 < confidence < 1.0):
        raise PixelBayesError(
            f"agreement and confidence lie in (0, 1), got {agreement} and {confidence}; where no "
            "disagreement is allowed, compute the full answer"
        )
    needed = math.ceil(math.log(1.0 - confidence) / math.log(agreement))
    if images < needed:
        if of is not None:
            needed = math.ceil(needed * ONE_IN_SCALE / (ONE_IN_SCALE - 1))
        raise PixelBayesError(
            f"an agreement of {agreement:g} at a confidence of {confidence:g} takes at least "
            f"{needed} images even if none disagrees, got {of or images}; take more (they need no "
            "labels) or ask for less"
        )


def passing(
    thresholds: Sequence[float],
    disagreeing: Callable[[float], Tensor],
    agreement: float,
    confidence: float,
) -> Iterator[tuple[float, AgreementBound]]:
    """The thresholds whose agreement passes a fixed sequence of binomial tests [1, 2].

    Args:
        thresholds: From careful to bold.
        disagreeing: Which images a threshold answers otherwise than the full computation, bool,
            (N,).
        agreement: That is to be shown.
        confidence: With which.
    """
    disagreed: Tensor | None = None
    for threshold in thresholds:
        now = disagreeing(threshold)
        disagreed = now if disagreed is None else disagreed | now
        count = int(disagreed.sum())
        if agreement_limit(count, len(now), confidence) < agreement:
            return  # the count does not fall again
        yield threshold, AgreementBound(agreement, confidence, len(now), count)


def replay(joint: Tensor, rule: AnytimeRule) -> AnytimeResult:
    """What `AnytimeClassifier` would answer, from likelihoods that are known already.

    Args:
        joint: log p(x so far, y), (N, K, S); -inf for a class of prior probability zero.
        rule: When to drop.
    """
    slices = joint.shape[2]
    alive = joint[:, :, 0].isfinite()
    computed = torch.zeros(alive.shape, dtype=torch.int64)
    for done in range(1, slices + 1):
        # An image with one class left is decided.
        computed += alive & (alive.sum(dim=1, keepdim=True) > 1)
        if done < slices:
            so_far = joint[:, :, done - 1].masked_fill(~alive, float("-inf"))
            alive &= ~rule.dropped(so_far, done)
    final = joint[:, :, -1].masked_fill(~alive, float("-inf"))
    return AnytimeResult(final.argmax(dim=1), computed, _cost(computed, slices))


def _cost(computed: Tensor, slices: int) -> float:
    return float(computed.sum()) / max(1, computed.numel() * slices)


class AnytimeClassifier:
    """Classifies slice by slice, computing only what is still undecided.

    Pairs of an image and a class that are still open are computed together whatever image they
    belong to, so the passes stay large while classes are dropped, and time falls with cost.
    Nothing is shared between the classes of an image: for late fusion, where `BayesClassifier`
    shares all but the last layer, the full answer is the faster one.

    Args:
        classifier: Model, prior and memory budget.
        rule: When to drop a class, from `fit_anytime`.

    Raises:
        ValueError: If the rule is for images with another number of slices.
    """

    def __init__(self, classifier: BayesClassifier, rule: AnytimeRule) -> None:
        _require_classifier(classifier)
        slices = len(slices_of(classifier.model.config.image_size[0]))
        if len(rule.deviations) != slices - 1:
            raise PixelBayesError(
                f"the rule is for {len(rule.deviations) + 1} slices of rows, this model's images "
                f"have {slices}; fit one on its own validation data"
            )
        self.classifier = classifier
        self.rule = rule

    @isolated
    def predict(self, levels: Tensor) -> AnytimeResult:
        """Classifies images, uint8, (N, C, H, W)."""
        with evaluation_mode(self.classifier.model):
            answers = [self._answer(part) for part in torch.split(levels, self._images_at_a_time())]
        slices = torch.cat([slices for _, slices in answers])
        predicted = torch.cat([predicted for predicted, _ in answers])
        return AnytimeResult(predicted, slices, _cost(slices, len(self.rule.deviations) + 1))

    def _images_at_a_time(self) -> int:
        """Images whose carried rows fit the memory budget, at least those of one pass."""
        config, bias = self.classifier.model.config, self.classifier.model.output.bias
        # Two convolutions of 2 F channels in each block carry a row.
        numbers = 4 * sum(config.block_features) * config.image_size[1]
        carried = numbers * bias.element_size() * config.classes * len(self.classifier.views)
        budget = self.classifier.memory_budget or feature_budget(bias.device)
        return max(self.classifier.chunk_images(), budget // carried)

    def _answer(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Classes, (N,), and slices computed, (N, K), of images whose carries fit into memory."""
        model, rule = self.classifier.model, self.rule
        # Evidence / T + log-prior, all of it times T, so that thresholds stay in nats of evidence.
        log_prior = self.classifier.temperature * self.classifier.log_prior
        joint = log_prior.repeat(len(levels), 1)
        slices = torch.zeros(joint.shape, dtype=torch.int64)
        levels = levels.to(model.output.bias.device)
        views = self.classifier.views
        by_view = torch.zeros(*joint.shape, len(views), dtype=torch.float64)
        carried: list[dict[nn.Module, Tensor]] = [{} for _ in views]
        # Pairs of image and label that are still computed.
        alive = joint.isfinite()
        image, label = (alive & (alive.sum(dim=1, keepdim=True) > 1)).nonzero().unbind(dim=1)
        pair = torch.arange(len(image))  # where its rows are carried
        parts = slices_of(levels.shape[2])
        for done, rows in enumerate(parts, start=1):
            if not len(image):
                break
            for number, view in enumerate(views):
                by_view[image, label, number] += self._slice(
                    levels, image, label, pair, rows, carried[number], view
                )
            evidence = self.classifier.over_views(by_view[image, label])
            joint[image, label] = log_prior[label] + evidence
            slices[image, label] += 1
            if done == len(parts):
                break
            joint.masked_fill_(rule.dropped(joint, done), float("-inf"))
            alive = joint.isfinite()
            kept = (alive & (alive.sum(dim=1, keepdim=True) > 1))[image, label]
            image, label, pair = image[kept], label[kept], pair[kept]
        return joint.argmax(dim=1), slices

    def _slice(
        self,
        levels: Tensor,
        image: Tensor,
        label: Tensor,
        pair: Tensor,
        rows: slice,
        carried: dict[nn.Module, Tensor],
        view: int,
    ) -> Tensor:
        """log p of some rows for each pair, float64 on the CPU.

        `carried` holds the last row that each convolution saw, (pairs, 1, W, F): with channels
        last, as the network computes, so that they stay last.
        """
        model = self.classifier.model
        largest = self.classifier.chunk_images() * model.config.classes
        evidence = []
        for some in torch.arange(len(image)).tensor_split(-(-len(image) // largest)):
            pictures = in_view(levels[image[some].to(levels.device)], view)
            labels, place = label[some].to(levels.device), pair[some].to(levels.device)
            carry: dict[nn.Module, Tensor] = {}
            if rows.start > 0:
                carry = {layer: row[place].permute(0, 3, 1, 2) for layer, row in carried.items()}
            described = model.describe_rows(pictures, labels, rows, carry, told_view(model, view))
            for layer, row in carry.items():
                last = row.permute(0, 2, 3, 1)
                if layer not in carried:
                    carried[layer] = last.new_empty(len(image), *last.shape[1:])
                carried[layer][place] = last
            by_pixel = described.log_prob_map(pictures[:, :, rows])
            evidence.append(by_pixel.double().sum(dim=(1, 2)).cpu())
        return torch.cat(evidence)
