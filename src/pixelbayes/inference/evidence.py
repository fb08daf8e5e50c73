r"""Where in an image the evidence for a class lies: exact, because the likelihood is.

A PixelCNN gives the probability of each pixel given those before it, so the log-odds of an image
are a sum over its pixels,

    log p(x | y) / p(x | y') = sum over i of log p(x_i | x_<i, y) - log p(x_i | x_<i, y'),

and the terms are a map of the evidence.  Against all other classes at once, y' is their mixture,
whose weights move with the pixels seen,

    p(x_i | x_<i, not y) = sum over y' of p(y' | x_<i, not y) p(x_i | x_<i, y'),

so that the terms add up to log p(x | y) / p(x | not y) all the same.

Two things to keep in mind.  A term says how a pixel surprises after everything above and to the
left of it, so what is typical of a class counts where it is completed: evidence comes late in
raster order.  And these are the nats of the model itself; the temperature of a `BayesClassifier`,
which makes its probabilities usable, divides the log-likelihood of each class, before classes are
mixed.

A model that is told several views answers by all of them; the evidence is then of the image as it
is shown, whose log-odds are not quite those of the answer.

Shapes: K classes, C channels, H x W pixels.
Units:  nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.core.labels import label_indices
from pixelbayes.core.precision import isolated
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import BayesClassifier

__all__ = ["Evidence", "evidence", "evidence_of_maps"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Which pixels speak for one class and against others.

    Attributes:
        evidence: log p(x_i | x_<i, y) - log p(x_i | x_<i, y'), (H, W), float64; positive where a
            pixel speaks for the class.
        surprise: -log p(x_i | x_<i, y), (H, W), float64; its sum is the image's code length under
            the class.
        classes: The class y, then the one or the several that it is compared with.
        prior_log_odds: log p(y) - log p(y'), what is known without looking.
        log_likelihoods: log p(x | y) of `classes`, (1 + M,), float64.
        log_weights: Log-weights of the M others in their mixture, (M,), float64.
    """

    evidence: Tensor
    surprise: Tensor
    classes: tuple[int, ...]
    prior_log_odds: float
    log_likelihoods: Tensor
    log_weights: Tensor

    def tempered_log_odds(self, temperature: float) -> float:
        """What the image says where probabilities are made: log-odds of p(x | y)^(1/T).

        Against one class it is `log_odds` / T; against a mixture it is not, since each class is
        tempered before they are mixed.  With `prior_log_odds` it is logit p(y | x), among these
        classes, at temperature T.
        """
        tempered = self.log_likelihoods / temperature
        return float(tempered[0] - torch.logsumexp(tempered[1:] + self.log_weights, dim=0))

    @property
    def log_odds(self) -> float:
        """log p(x | y) - log p(x | y'): what the image says, the sum of the map."""
        return float(self.evidence.sum())

    @property
    def posterior_log_odds(self) -> float:
        """log p(y | x) - log p(y' | x) at temperature 1: with what is known without looking."""
        return self.log_odds + self.prior_log_odds

    @property
    def by_row(self) -> Tensor:
        """Evidence of each row, (H,)."""
        return self.evidence.sum(dim=1)

    @property
    def running(self) -> Tensor:
        """Log-odds after each row from the top down, (H,); the last are those of the image."""
        return self.by_row.cumsum(dim=0)

    @property
    def half_share(self) -> float:
        """Smallest share of pixels that holds half of all evidence, for and against, in [0, 0.5].

        Near 0.5 every pixel counts alike; near 0 a few decide.  0 where there is no evidence.
        """
        largest_first = self.evidence.abs().flatten().sort(descending=True).values
        held = largest_first.cumsum(dim=0)
        if held[-1] == 0.0:
            return 0.0
        needed = int((held < held[-1] / 2).sum()) + 1
        return min(needed / len(held), 0.5)


@isolated
def evidence(
    classifier: BayesClassifier,
    levels: Tensor,
    label: int | None = None,
    against: int | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> Evidence:
    """The evidence map of one image.

    Args:
        classifier: Model and prior.
        levels: uint8, (C, H, W).
        label: The class; None: the one that `classifier` answers.
        against: The class that it is compared with; None: the mixture of all others, weighted by
            the prior.
        progress: Called with 1 when the image is done.

    Raises:
        TypeError: If the image is not uint8 or a label not a whole number.
        ValueError: If a shape does not fit, there is no such class, or there are not two of them
            to compare.
    """
    maps = classifier.log_likelihood_maps(levels[None], progress=progress)[0]
    if label is None:
        if len(classifier.views) > 1:  # the answer is of all of them
            label = int(classifier.predict(levels[None])[0])
        else:
            # The classifier's own rule, whose temperature weighs against the prior.
            tempered = maps.sum(dim=(1, 2)) / classifier.temperature + classifier.log_prior
            label = int(tempered.argmax())
    return evidence_of_maps(maps, classifier.log_prior, label, against)


def evidence_of_maps(
    maps: Tensor, log_prior: Tensor, label: int, against: int | None = None
) -> Evidence:
    """The evidence in likelihoods that are known already.

    Args:
        maps: log p(x_i | x_<i, y) of each class, (K, H, W), from
            `BayesClassifier.log_likelihood_maps`.
        log_prior: (K,).
        label: The class.
        against: See `evidence`.

    Raises:
        TypeError: If a label is not a whole number.
        ValueError: If there is no such class or none to compare it with.
    """
    classes = len(maps)
    label = int(label_indices([label], classes))
    if against is None:
        possible = log_prior.isfinite().tolist()
        others = [other for other in range(classes) if other != label and possible[other]]
    else:
        others = [int(label_indices([against], classes))]
    if not others or others == [label]:
        raise PixelBayesError(
            "evidence is for one class and against another, got "
            + (
                f"class {label} on both sides; where the first is not named it is the model's "
                "answer: name both, or another one"
                if others
                else f"class {label} and no other that is possible"
            )
        )
    maps = maps.double()
    height, width = maps.shape[1:]
    weights = torch.log_softmax(log_prior[others].double(), dim=0)
    if len(others) == 1:
        compared = maps[others[0]]
    else:
        # log p(x_1 .. x_i | not y) from pixel to pixel; its differences are the terms.
        seen = maps[others].flatten(1).cumsum(dim=1) + weights[:, None]
        together = torch.logsumexp(seen, dim=0)
        compared = torch.diff(together, prepend=together.new_zeros(1)).view(height, width)
    prior_log_odds = log_prior[label] - torch.logsumexp(log_prior[others], dim=0)
    chosen = (label, *others)
    return Evidence(
        evidence=maps[label] - compared,
        surprise=-maps[label],
        classes=chosen,
        prior_log_odds=float(prior_log_odds),
        log_likelihoods=maps[[*chosen]].sum(dim=(1, 2)),
        log_weights=weights,
    )
