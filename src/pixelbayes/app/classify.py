"""The tab Classify: which class, how sure, how unusual, why, and what would change the answer.

Shapes: K classes, H x W pixels.
Units:  nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.app.familiarity import place
from pixelbayes.app.limits import Photo
from pixelbayes.app.markup import render
from pixelbayes.core import bits_per_dim
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference import class_posterior
from pixelbayes.inference.counterfactual import Counterfactual, counterfactual
from pixelbayes.inference.evidence import evidence_of_maps
from pixelbayes.models import Model, PixelBayes
from pixelbayes.models.prediction import prediction_sets

__all__ = [
    "DEFAULT_COVERAGE",
    "EVERY_OTHER",
    "Answer",
    "answer",
    "answer_html",
    "change_html",
    "coverages",
    "evidence_html",
    "evidence_maps",
    "what_would_it_take",
]

COVERAGES = (0.8, 0.9, 0.95, 0.99)
DEFAULT_COVERAGE = 0.9
EVERY_OTHER = "every other class"
SHOWN_CLASSES = 8  # bars; the rest are summed up
CHANGE_DRAWS = 8
CHANGE_SEED = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says about a photo."""

    photo: Photo
    log_posterior: Tensor
    """log p(y | x) at the model's temperature, (K,), float64."""
    log_prob: float | None
    """log p(x); None where the model is no density."""

    @property
    def order(self) -> list[int]:
        """Indices of the classes, the most probable first."""
        order: list[int] = self.log_posterior.argsort(descending=True, stable=True).tolist()
        return order

    @property
    def label(self) -> int:
        """Index of the most probable class."""
        return self.order[0]


def answer(model: Model, photo: Photo) -> Answer:
    """Classifies a photo by Bayes' rule."""
    table = model.log_likelihoods(photo.levels[None])
    log_posterior = class_posterior(table, model.log_prior, model.temperature)[0]
    log_prob = float(torch.logsumexp(table[0] + model.log_prior, dim=0))
    return Answer(photo, log_posterior, None if model.dims is None else log_prob)


def coverages(model: Model) -> list[float]:
    """Coverages to choose from; none where no sets were calibrated."""
    largest = None if model.decisions is None else model.decisions.largest_coverage
    return [it for it in COVERAGES if largest is not None and it <= largest]


def answer_html(model: Model, said: Answer, coverage: float = DEFAULT_COVERAGE) -> str:
    """The photo as the model sees it, a bar for each class, the set, how usual the image is.

    Args:
        model: Whose answer it is.
        said: From `answer`.
        coverage: Share of images whose set is to hold the true class; without meaning where
            `coverages` has none.
    """
    shares, order = said.log_posterior.exp(), said.order
    shown = order[:SHOWN_CLASSES]
    inside = None
    if coverages(model):
        inside = prediction_sets(model, said.log_posterior[None], coverage)[0]
    return render(
        "classify.html.jinja",
        photo=said.photo,
        exact=model.is_exact,
        answer=model.classes[order[0]],
        confidence=float(shares[order[0]]),
        bars=[(model.classes[y], float(shares[y])) for y in shown],
        others=len(order) - len(shown),
        others_share=float(shares[order[SHOWN_CLASSES:]].sum()),
        coverage=coverage,
        inside=inside,
        place=None if said.log_prob is None else place(model, said.log_prob, said.photo.levels),
        bits=None if said.log_prob is None else _bits(model, said.log_prob),
    )


def evidence_maps(model: Model, photo: Photo) -> Tensor | None:
    """log p(x_i | x_<i, y), (K, H, W), float64; None where the model is no single network."""
    if not isinstance(model, PixelBayes) or len(model.classes) < 2:
        return None
    return model.classifier().log_likelihood_maps(photo.levels[None])[0]


def evidence_html(
    model: Model, photo: Photo, maps: Tensor, label: str, against: str = EVERY_OTHER
) -> str:
    """Where the evidence for one class and against another lies, and its sum row by row.

    Args:
        model: Whose classes are named.
        photo: The image.
        maps: From `evidence_maps`.
        label: The class that is spoken for.
        against: The class it is compared with, or `EVERY_OTHER`.

    Raises:
        PixelBayesError: If both are the same.
    """
    if label == against:
        raise PixelBayesError(
            f"evidence is for one class and against another; choose another one than {label}"
        )
    other = None if against == EVERY_OTHER else model.class_index(against)
    found = evidence_of_maps(maps, model.log_prior, model.class_index(label), other)
    running = found.running.tolist()
    reach = max(1e-9, *map(abs, running))
    return render(
        "evidence.html.jinja",
        photo=photo,
        found=found,
        label=label,
        against=against,
        rows=len(running),
        line=[(50 + 46 * value / reach, row + 1) for row, value in enumerate(running)],
        reach=reach,
        tempered=found.tempered_log_odds(model.temperature),
    )


def what_would_it_take(
    model: Model, photo: Photo, towards: str | None, progress: Callable[[int], None]
) -> Counterfactual | None:
    """Looks for the smallest part that, drawn anew as another class, changes the answer.

    Args:
        model: A PixelCNN.
        photo: The image.
        towards: The class to draw parts as; None: the second most probable one.
        progress: Called with the number of parts tried; may raise to end the search.

    Raises:
        PixelBayesError: If the model cannot draw, or the class is the answer already.
    """
    if not isinstance(model, PixelBayes):
        raise PixelBayesError(f"a {model.noun} cannot draw a part of an image anew; a PixelCNN can")
    label = None if towards is None else model.class_index(towards)
    said = answer(model, photo).label
    if label == said:
        raise PixelBayesError(
            f"the answer is {model.classes[said]} already; choose another class to change it to"
        )
    generator = torch.Generator().manual_seed(CHANGE_SEED)
    return counterfactual(
        model.classifier(),
        photo.levels,
        label,
        generator=generator,
        draws=CHANGE_DRAWS,
        progress=progress,
    )


def change_html(model: Model, found: Counterfactual) -> str:
    """The image before and after, with the part that was drawn anew."""
    (top, bottom), (left, right) = found.rows, found.columns
    rows, columns = found.original.shape[1:]
    return render(
        "counterfactual.html.jinja",
        found=found,
        before=model.classes[found.before],
        after=model.classes[found.after],
        drawn_as=model.classes[found.drawn_as],
        share_of_pixels=found.pixels / (rows * columns),
        frame={
            "left": 100 * left / columns,
            "top": 100 * top / rows,
            "width": 100 * (right - left) / columns,
            "height": 100 * (bottom - top) / rows,
        },
    )


def _bits(model: Model, log_prob: float) -> float:
    assert model.dims is not None
    return float(bits_per_dim(torch.tensor(log_prob, dtype=torch.float64), model.dims))
