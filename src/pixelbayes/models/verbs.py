"""What a user does with a model: classify, score, sample, complete.

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
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.data import Conversions, ImageBatch, ImageInput, image_batches, image_levels
from pixelbayes.data.arrays import picture
from pixelbayes.data.masks import WHITE_FROM, require_two_levels
from pixelbayes.data.naming import whole_number
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.cached import tile_size
from pixelbayes.inference.classification import class_posterior
from pixelbayes.models.likelihoods import ClassLikelihoods
from pixelbayes.models.prediction import ClassScore, Prediction, best_classes, predictions
from pixelbayes.switches import undisturbed

__all__ = ["Verbs", "seeded"]

Label = str | int
Labels = Label | Sequence[Label] | Tensor
Output = Literal["pil", "np", "levels"]
Levels = npt.NDArray[np.uint8]

SHOWN_CLASSES = 3
SCORED_AT_A_TIME = 32  # images of one full pass, which keeps whole maps

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
            answers += predictions(self, table, batch.names, coverage)
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
        if top_k < 1:
            raise PixelBayesError(f"top_k is a number of classes above 0, got {top_k}")
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
        parts = zip(levels.split(SCORED_AT_A_TIME), labels.split(SCORED_AT_A_TIME), strict=True)
        none = torch.empty(0, dtype=torch.float64)
        return torch.cat([none, *(-self.nats(some, their) for some, their in parts if len(some))])

    @undisturbed()
    def bits_per_dim(self, x: ImageInput) -> Tensor:
        """Code length of images under p(x), (N,), bits for each of the C H W numbers.

        Raises:
            PixelBayesError: If the model is no density.
        """
        return bits_per_dim(self.score_samples(x), self._require_density("p(x)"))

    @overload
    def sample(
        self,
        label: Labels | None = None,
        *,
        count: int = 1,
        generator: torch.Generator | int | None = None,
        output_type: Literal["pil"] = "pil",
        temperature: float = 1.0,
    ) -> list[Image.Image]: ...
    @overload
    def sample(
        self,
        label: Labels | None = None,
        *,
        count: int = 1,
        generator: torch.Generator | int | None = None,
        output_type: Literal["np"],
        temperature: float = 1.0,
    ) -> Levels: ...
    @overload
    def sample(
        self,
        label: Labels | None = None,
        *,
        count: int = 1,
        generator: torch.Generator | int | None = None,
        output_type: Literal["levels"],
        temperature: float = 1.0,
    ) -> Tensor: ...
    @undisturbed()
    def sample(
        self,
        label: Labels | None = None,
        *,
        count: int = 1,
        generator: torch.Generator | int | None = None,
        output_type: Output = "pil",
        temperature: float = 1.0,
    ) -> list[Image.Image] | Levels | Tensor:
        """Draws images.

        Args:
            label: A class by name or index, or several; None: every class.
            count: Images of each.
            generator: Source of all randomness, on the CPU, or its seed; None: torch's own, which
                `torch.manual_seed` sets.
            output_type: "pil": a list of Pillow images; "np": uint8 (N, H, W, C); "levels": uint8
                tensor (N, C, H, W).
            temperature: Multiplies the spread of every pixel; 1 draws from p(x | y), less draws
                likelier and plainer pixels.

        Raises:
            PixelBayesError: If the model cannot draw, or an argument is not accepted.
        """
        count = whole_number(count, "count is a number of images above 0", least=1)
        _check_output(output_type, temperature)
        chosen = list(range(len(self.classes))) if label is None else label
        labels = self._labels(chosen, None).repeat_interleave(count)
        source = seeded(generator)
        drawn = [
            self.draw(some, source, temperature=temperature)
            for some in labels.split(self._drawn_at_a_time())
        ]
        return _as_output(torch.cat(drawn), output_type)

    @overload
    def complete(
        self,
        x: ImageInput,
        label: Labels | None = None,
        *,
        mask: ImageInput | None = None,
        generator: torch.Generator | int | None = None,
        output_type: Literal["pil"] = "pil",
        temperature: float = 1.0,
    ) -> list[Image.Image]: ...
    @overload
    def complete(
        self,
        x: ImageInput,
        label: Labels | None = None,
        *,
        mask: ImageInput | None = None,
        generator: torch.Generator | int | None = None,
        output_type: Literal["np"],
        temperature: float = 1.0,
    ) -> Levels: ...
    @overload
    def complete(
        self,
        x: ImageInput,
        label: Labels | None = None,
        *,
        mask: ImageInput | None = None,
        generator: torch.Generator | int | None = None,
        output_type: Literal["levels"],
        temperature: float = 1.0,
    ) -> Tensor: ...
    @undisturbed()
    def complete(
        self,
        x: ImageInput,
        label: Labels | None = None,
        *,
        mask: ImageInput | None = None,
        generator: torch.Generator | int | None = None,
        output_type: Output = "pil",
        temperature: float = 1.0,
    ) -> list[Image.Image] | Levels | Tensor:
        """Draws a part of each image anew, given the pixels above and to the left of it.

        Known pixels that come after a drawn one in raster order do not decide it;
        `pixelbayes.inference.complete_weighted` makes up for that.

        Args:
            x: One image or many.
            label: A class, or one for each image; None: the most probable one of what comes
                before the first drawn pixel.
            mask: Which pixels are drawn: bool (H, W), true where so, or an image, white where so;
                None: the lower half.
            generator: As for `sample`.
            output_type: As for `sample`.
            temperature: As for `sample`.

        Raises:
            PixelBayesError: If the model cannot complete images, or an argument is not accepted.
        """
        _check_output(output_type, temperature)
        levels = self._levels(x)
        known = ~self._mask(mask)
        if bool(known.all()):
            raise PixelBayesError("the mask keeps every pixel; make it true (white) where to draw")
        if label is None:
            labels = self.class_of_first_pixels(levels, known)
        else:
            labels = self._labels(label, len(levels))
        source = seeded(generator)
        size = self._drawn_at_a_time()
        drawn = [
            self.draw_given(some, given, known, source, temperature=temperature)
            for some, given in zip(labels.split(size), levels.split(size), strict=True)
        ]
        return _as_output(torch.cat(drawn), output_type)

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
        if isinstance(label, Tensor):
            label = label.tolist()
        if isinstance(label, (str, int, np.integer)):
            return torch.tensor([self.class_index(label)]).repeat(1 if count is None else count)
        given: Any = label
        if not isinstance(given, Iterable):
            self.class_index(given)  # neither a name nor a whole number: the error lists them
        labels = torch.tensor([self.class_index(one) for one in label], dtype=torch.int64)
        if count is not None and len(labels) != count:
            raise PixelBayesError(
                f"labels are one class, or one for each of the {count} images, got {len(labels)}"
            )
        return labels

    def _mask(self, mask: Any) -> Tensor:
        """Where pixels are drawn, bool (H, W)."""
        rows = self.image_size[0]
        if mask is None:
            return (torch.arange(rows) >= rows // 2)[:, None].expand(self.image_size)
        if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
            mask = torch.from_numpy(mask)
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            require_two_levels(mask)
            white = image_levels(mask, channels=1, resize=self.resize).levels
            if len(white) != 1:
                raise PixelBayesError(f"a mask is one image, got {len(white)}")
            return white[0, 0] >= WHITE_FROM
        if tuple(mask.shape) != self.image_size:
            raise PixelBayesError(
                f"a mask is bool {self.image_size} (rows, columns) like the model's images, got "
                f"{tuple(mask.shape)}"
            )
        return mask.cpu()

    def _drawn_at_a_time(self) -> int:
        """Whole tiles, so that an image does not depend on how many fit the memory."""
        tile = tile_size(self.device)
        return -(-self.images_at_a_time() // tile) * tile

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


def seeded(generator: torch.Generator | int | None) -> torch.Generator:
    """The generator itself, one of that seed, or torch's own for None.

    Raises:
        PixelBayesError: If it is no generator and no whole number from 0 on.
    """
    if generator is None:
        return torch.default_generator
    if isinstance(generator, torch.Generator):
        return generator
    seed = whole_number(generator, "generator is a torch.Generator or a seed, 0 or more")
    return torch.Generator().manual_seed(seed)


def _check_output(output_type: str, temperature: float) -> None:
    if output_type not in ("pil", "np", "levels"):
        raise PixelBayesError(f'output_type is "pil", "np" or "levels", got {output_type!r}')
    if not 0.0 < temperature < float("inf"):
        raise PixelBayesError(f"the temperature is positive and finite, got {temperature}")


def _as_output(levels: Tensor, output_type: Output) -> list[Image.Image] | Levels | Tensor:
    if output_type == "levels":
        return levels
    arrays: Levels = levels.permute(0, 2, 3, 1).contiguous().numpy()
    return arrays if output_type == "np" else [picture(array) for array in arrays]
