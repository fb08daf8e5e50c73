"""Predict: which class does each image file belong to, and how sure is that?

Files are read and classified in chunks (`pixelbayes.workflows.stream`), so that thousands of them
need no more memory than one chunk.  Every file is decoded once before the first prediction, unless
unreadable ones are to be skipped: a mistake in the last file must not cost the time of all the
others, nor leave half a table.

Units: log-probabilities in nats per image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.data import BadFile
from pixelbayes.data.inputs import Conversions
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Model, Prediction
from pixelbayes.models.prediction import best_classes, prediction_sets, predictions
from pixelbayes.workflows.stream import ImageFiles, Progress

__all__ = ["UNIFORM", "Questions", "answering", "is_unlike", "predict", "record_of"]

UNIFORM = 8.0  # bits/dim of a model that finds all levels of a channel equally likely


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


def predict(
    model: Model,
    paths: Sequence[str | Path],
    *,
    temperature: float | None = None,
    skip_bad: bool = False,
    on_bad: Callable[[BadFile], None] | None = None,
    on_read: Callable[[Conversions], None] | None = None,
    progress: Progress | None = None,
    chunk: int | None = None,
) -> Iterator[Prediction]:
    """Classifies image files, one prediction for each in the order given.

    What can be wrong is found out in the call; the predictions are made as they are asked for.

    Args:
        model: The trained model.
        paths: Image files.
        temperature: Divides the log-likelihoods in Bayes' rule; None takes the model's, which
            an evaluation fits on validation data.
        skip_bad: Leaves out files that cannot be read, instead of raising an error.
        on_bad: Called with each file that is left out.
        on_read: Called with what was done to the images of each chunk so that the model can see
            them.
        progress: Called with what is being done and the numbers of files done and in all.
        chunk: Images that are read before they are classified together; None: as suits the device.

    Raises:
        DatasetError: If files cannot be read and `skip_bad` is off, or none can be read: one error
            for all of them.
        ValueError: If the temperature or the chunk is not positive.
    """
    if temperature is not None:
        model = model.with_temperature(temperature)
    files = ImageFiles(model, [Path(path) for path in paths], skip_bad, chunk=chunk)
    files.check(progress)

    def rows() -> Iterator[Prediction]:
        for part in files.parts("classifying", answering(model), progress):
            for bad in part.bad:
                if on_bad is not None:
                    on_bad(bad)
            if on_read is not None:
                on_read(part.conversions)
            yield from part.rows

    return rows()


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
        return predictions(model, table, [str(path) for path in paths], coverage)

    return answer


def is_unlike(prediction: Prediction) -> bool | None:
    """Whether an image is unlike what the model was trained on; None where nobody can say.

    A calibrated model has a threshold; no model knows what it finds less likely than noise.
    """
    if prediction.bits_per_dim is None:
        return prediction.unlike_training
    return prediction.unlike_training is True or prediction.bits_per_dim > UNIFORM


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
    record["unlike_training"] = is_unlike(prediction)
    if questions.coverage is not None:
        record["coverage"] = questions.coverage
        record["prediction_set"] = [*(prediction.prediction_set or ())]
    if questions.top_k is not None:
        record["top"] = [
            {"class": best["label"], "confidence": best["score"]}
            for best in best_classes(prediction, questions.top_k)
        ]
    record["log_posterior"] = prediction.log_probabilities
    record["log_likelihood"] = prediction.log_likelihoods
    return record
