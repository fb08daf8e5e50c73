"""Predict: which class does each image file belong to, and how sure is that?

Files are read and classified in chunks (`pixelbayes.workflows.stream`), so that thousands of them
need no more memory than one chunk.  Every file is decoded once before the first prediction, unless
unreadable ones are to be skipped: a mistake in the last file must not cost the time of all the
others, nor leave half a table.

Units: log-probabilities in nats per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Model, Prediction
from pixelbayes.models.prediction import best_classes, prediction_sets, predictions

__all__ = ["Questions", "answering", "record_of"]


@dataclass(frozen=True)
class Questions:
    """What is asked of each image beside its class."""

    top_k: int | None = None
    """How many of the most probable classes a record lists; None: it does not."""
    abstain_below: float | None = None
    """There is no answer where the confidence is less than this; None: there always is one."""
    coverage: float | None = None
    """Probability with which the set of each image is to hold its true class; None: no sets."""

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise PixelBayesError(f"--top-k is a number of classes above 0, got {self.top_k}")
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise PixelBayesError(
                f"--abstain-below is a probability from 0 to 1, got {self.abstain_below:g}"
            )
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise PixelBayesError(
                f"--coverage is a probability between 0 and 1, got {self.coverage:g}"
            )

    def check(self, model: Model) -> None:
        """Finds out whether a model can answer, before any image is read.

        Raises:
            PixelBayesError: If sets are wanted that it was not calibrated for.
        """
        if self.coverage is not None:
            anything = torch.zeros(1, len(model.classes), dtype=torch.float64)
            prediction_sets(model, anything.log_softmax(dim=1), self.coverage)

    def abstains(self, prediction: Prediction) -> bool:
        """Whether the model is not sure enough to answer."""
        return self.abstain_below is not None and prediction.confidence < self.abstain_below


def answering(
    model: Model, coverage: float | None = None
) -> Callable[[Sequence[Path], Tensor, Callable[[int], None]], list[Prediction]]:
    """The function that classifies a chunk of files.

    Args:
        model: The trained model.
        coverage: As for `Questions`.
    """

    def answer(
        paths: Sequence[Path], levels: Tensor, on_done: Callable[[int], None]
    ) -> list[Prediction]:
        table = model.log_likelihoods(levels, progress=on_done)
        return predictions(model, table, levels, [str(path) for path in paths], coverage)

    return answer


def record_of(prediction: Prediction, temperature: float, questions: Questions) -> dict[str, Any]:
    """A prediction as a row of a table: see `pixelbayes.workflows.records`.

    >>> one = Prediction("a.png", {"cat": -2.3, "dog": -0.1}, {"cat": -9.0, "dog": -7.0}, 3.5)
    >>> [*record_of(one, 1.0, Questions())][:6]
    ['path', 'class', 'index', 'bits_per_dim', 'confidence', 'temperature']
    """
    answered = not questions.abstains(prediction)
    record: dict[str, Any] = {
        "path": prediction.source,
        "class": prediction.label if answered else None,
        "index": prediction.index if answered else None,
        "bits_per_dim": prediction.bits_per_dim,
        "confidence": prediction.confidence,
        "temperature": temperature,
    }
    if questions.abstain_below is not None:
        record["abstain_below"] = questions.abstain_below
    record["unlike_training"] = prediction.unlike_training
    if questions.coverage is not None:
        record["coverage"] = questions.coverage
        record["prediction_set"] = [*(prediction.prediction_set or ())]
    if questions.top_k is not None:
        record["top"] = [
            {"class": best["label"], "confidence": best["score"]}
            for best in best_classes(prediction, questions.top_k)
        ]
    # The prior may rule a class out, and JSON has no number for log 0.
    record["log_posterior"] = {
        name: None if value == -math.inf else value
        for name, value in prediction.log_probabilities.items()
    }
    record["log_likelihood"] = prediction.log_likelihoods
    if prediction.bits_per_dim is None:  # the model is no density
        record["log_likelihood"] = dict.fromkeys(prediction.log_likelihoods)
    return record
