"""What a user does with a model: classify and score.

Every verb takes images in any form (`pixelbayes.data.image_batches`): a path or folder, a Pillow
image, an array or tensor of uint8, a data set or loader, or any number of these.  They are
brought to the model's size and colours by its own rule, which `pixelbayes` tells its logger.

Shapes: N images, K classes, C channels, H x W pixels.
Units:  nats per image.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.data import Conversions, ImageBatch, ImageInput, image_batches
from pixelbayes.data.naming import whole_number
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.classification import class_posterior
from pixelbayes.models.likelihoods import ClassLikelihoods
from pixelbayes.models.prediction import ClassScore, Prediction, best_classes, predictions
from pixelbayes.switches import undisturbed

__all__ = ["Verbs"]

Label = str | int
Labels = Label | Sequence[Label] | Tensor | npt.NDArray[Any]

SHOWN_CLASSES = 3

_log = logging.getLogger("pixelbayes")


class Verbs(ClassLikelihoods):
    """The verbs, made of what every kind of model gives."""

    def __repr__(self) -> str:
        names = ", ".join(self.classes[:SHOWN_CLASSES])
        more = ", ..." if len(self.classes) > SHOWN_CLASSES else ""
        rows, columns = self.image_size
        colours = "grey" if self.channels == 1 else "RGB"
        return (
            f"{type(self).__name__}({self.title}; {len(self.classes)} classes: {names}{more}; "
            f"{rows} x {columns} {colours}; {self.parameters:,} weights on {self.device}; "
            f"temperature {self.temperature:.3g})"
        )

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """Class names as scikit-learn has them: an array in the order of the columns."""
        return np.array(self.classes)

    @undisturbed()
    def predict(self, x: ImageInput, *, coverage: float | None = None) -> list[Prediction]:
        """Classifies images by Bayes' rule.

        Args:
            x: One image or many.
            coverage: Probability with which the set of each image is to hold its true class, such
                as 0.9, by what `pixelbayes calibrate` stored; None: there are no sets.

        Returns:
            A result for each image, in order.

        Raises:
            TypeError, DatasetError: If something is no image, or has two meanings; see
                `pixelbayes.data.image_batches`.
            PixelBayesError: If sets are asked for that were not calibrated.
        """
        answers = []
        for batch in self._read(x):
            table = self.log_likelihoods(batch.levels)
            answers += predictions(self, table, batch.levels, batch.names, coverage)
        return answers

    @overload
    def __call__(self, x: Image.Image, top_k: int = 5) -> list[ClassScore]: ...
    @overload
    def __call__(self, x: Sequence[Image.Image], top_k: int = 5) -> list[list[ClassScore]]: ...
    @overload
    def __call__(
        self, x: ImageInput, top_k: int = 5
    ) -> list[ClassScore] | list[list[ClassScore]]: ...
    @undisturbed()
    def __call__(self, x: ImageInput, top_k: int = 5) -> list[ClassScore] | list[list[ClassScore]]:
        """The most probable classes, as pipelines of image classification give them.

        Args:
            x: One image or many, as for `predict`.
            top_k: How many classes, most probable first.

        Returns:
            [{"label": name, "score": probability}, ...] of one image, and a list of such lists of
            many: a list, a folder, a data set, an array with an axis of images.
        """
        top_k = whole_number(top_k, "top_k is a number of classes above 0", least=1)
        answers = self.predict(x)
        ranked = [best_classes(answer, top_k) for answer in answers]
        return ranked[0] if len(ranked) == 1 and _is_one(x) else ranked

    @undisturbed()
    def predict_log_proba(self, x: ImageInput) -> Tensor:
        """log p(y | x) by Bayes' rule at the temperature, (N, K), float64."""
        return class_posterior(self._table(x), self.log_prior, self.temperature)

    @undisturbed()
    def predict_proba(self, x: ImageInput) -> Tensor:
        """p(y | x), (N, K), float64, the columns in the order of `classes_`."""
        return self.predict_log_proba(x).exp()

    @undisturbed()
    def score_samples(self, x: ImageInput) -> Tensor:
        """log p(x) = log-sum over classes of p(x | y) p(y), (N,), nats, float64.

        Raises:
            PixelBayesError: If the model is no density.
        """
        self._require_density("p(x)")
        return torch.logsumexp(self._table(x) + self.log_prior, dim=1)

    @undisturbed()
    def log_likelihood(self, x: ImageInput, label: Labels) -> Tensor:
        """log p(x | y), (N,), nats, float64.

        Args:
            x: One image or many.
            label: A class by name or index, or one for each image.

        Raises:
            PixelBayesError: If the model is no density, or there is no such class.
        """
        self._require_density("p(x | y)")
        levels = self._levels(x)
        labels = self._labels(label, len(levels))
        return -self.nats_in_parts(levels, labels)

    @undisturbed()
    def bits_per_dim(self, x: ImageInput) -> Tensor:
        """Code length of images under p(x), (N,), bits for each of the C H W numbers.

        Raises:
            PixelBayesError: If the model is no density.
        """
        return bits_per_dim(self.score_samples(x), self._require_density("p(x)"))

    def _read(self, x: ImageInput) -> Iterator[ImageBatch]:
        """Batches of levels; says in the end what was done to the images."""
        done = Conversions()
        for batch in image_batches(x, channels=self.channels, resize=self.resize):
            done += batch.conversions
            yield batch
        for sentence in done.sentences():
            _log.info("%s", sentence)

    def _table(self, x: ImageInput) -> Tensor:
        """log p(x | y), (N, K), batch after batch, so that the images need not fit the memory."""
        none = torch.empty(0, len(self.classes), dtype=torch.float64)
        return torch.cat([none, *(self.log_likelihoods(it.levels) for it in self._read(x))])

    def _levels(self, x: ImageInput) -> Tensor:
        none = torch.empty(0, self.channels, *self.image_size, dtype=torch.uint8)
        return torch.cat([none, *(batch.levels for batch in self._read(x))])

    def _labels(self, label: Labels, count: int | None) -> Tensor:
        """Indices of classes, int64, (count,); one class is that of all."""
        if isinstance(label, (Tensor, np.ndarray)):
            label = label.tolist()
        if isinstance(label, (str, int, np.integer)):
            return torch.tensor([self.class_index(label)]).repeat(1 if count is None else count)
        given: Any = label
        if not isinstance(label, Iterable) or isinstance(label, bytes):
            self.class_index(given)  # neither a name nor a whole number: the error lists them
        labels = torch.tensor([self.class_index(one) for one in label], dtype=torch.int64)
        if count is not None and len(labels) != count:
            raise PixelBayesError(
                f"labels are one class, or one for each of the {count} images, got {len(labels)}"
            )
        return labels

    def _require_density(self, what: str) -> int:
        if self.dims is None:
            raise PixelBayesError(
                f"a {self.noun} gives p(class | image) only, no {what}; a PixelCNN does"
            )
        return self.dims


def _is_one(x: Any) -> bool:
    """Whether one image, if there is one, was passed as such and not as a list of one."""
    if isinstance(x, (np.ndarray, Tensor)):
        return x.ndim < 4 and getattr(x, "dtype", None) != np.object_
    if isinstance(x, (str, os.PathLike)):
        return not os.path.isdir(x)
    return isinstance(x, Image.Image)
