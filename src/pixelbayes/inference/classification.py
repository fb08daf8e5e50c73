"""Classification by Bayes' rule: p(y | image) from p(image | y) and p(y).

Shapes: B images, K classes.
Units:  nats per *image*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.config import STAGES
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import (
    evaluation_mode,
    isolated,
    require_finite,
    require_wide_weights,
)
from pixelbayes.core.views import in_view
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.memory import feature_budget
from pixelbayes.inference.views import OverViews, log_mean_prob, told_view, views_of

__all__ = ["BayesClassifier", "class_posterior", "require_temperature", "uniform_log_prior"]

LEAST_TEMPERATURE = 1e-30
"""Nats of images of any size are finite, in float32 too, when they are divided by it."""

LIVE_FEATURE_MAPS = 24
"""Full-resolution maps of F channels alive at once: short cuts of both streams, raw and
activated (2 F), three per resolution with one block, and one block's temporaries."""
LIVE_HEAD_LAYER_MAPS = 10
"""Maps of F channels alive at once in a layer of a head: what enters and leaves, raw and activated
(2 F), its hidden features, activated, and its gates (2 F)."""
LIVE_HEAD_MAPS = 4
"""Maps alive at once for each number that describes a pixel: parameters and the likelihood's."""


def uniform_log_prior(classes: int) -> Tensor:
    """log p(y) = -log K for each class, (K,)."""
    return torch.full((classes,), -math.log(classes), dtype=torch.float64, device="cpu")


def class_posterior(
    log_likelihood: Tensor, log_prior: Tensor, temperature: float | Tensor = 1.0
) -> Tensor:
    """Bayes' rule in log space: log p(y | x) from log p(x | y) and log p(y).

    Args:
        log_likelihood: (B, K), nats per *image*.  Per-pixel means would give another, far too
            timid posterior.
        log_prior: (K,), normalised.
        temperature: Divides the log-likelihood only.  Two classes can differ by tens of nats
            over 3072 dimensions, so the raw posterior is nearly one-hot; a temperature fitted
            on validation data makes it a usable confidence.  One number, or one for each
            image, (B, 1).

    Returns:
        (B, K), log-probabilities: `.exp()` sums to one over the last axis.

    >>> class_posterior(torch.tensor([[-7000.0, -7000.0]]), torch.tensor([0.25, 0.75]).log()).exp()
    tensor([[0.2500, 0.7500]])
    """
    return F.log_softmax(log_likelihood / temperature + log_prior, dim=-1)


def require_temperature(temperature: Any) -> float:
    """Returns a temperature, a number of any library, as a float.

    Raises:
        PixelBayesError: If it is not a number, not positive or not finite, or too near to 0.
    """
    try:
        text = isinstance(temperature, (bool, str, bytes))
        number = math.nan if text else float(temperature)
    except (OverflowError, RuntimeError, TypeError, ValueError):  # torch: of several numbers
        number = math.nan
    if not 0.0 < number < math.inf:
        raise PixelBayesError(f"the temperature is positive and finite, got {temperature!r}")
    if number < LEAST_TEMPERATURE:
        raise PixelBayesError(f"the temperature is {LEAST_TEMPERATURE:g} or more, got {number!r}")
    return number


class BayesClassifier:
    """Classifies images with a `PixelCNN`, all classes of a batch in one forward pass.

    Args:
        model: The network; its mode is left as it is, and classes are compared in evaluation
            mode.
        log_prior: log p(y), (K,), normalised; uniform by default.
        temperature: See `class_posterior`.
        memory_budget: Bytes of features that one pass may hold; decides the chunk size.  None:
            what suits the device.
        autocast: A narrower type for the network's features, such as `torch.bfloat16`, where the
            processor is faster in it.  The last layer and the likelihood stay as they are, but
            rounding moves log-likelihoods by some nats, and with them close decisions.
        views: Views to score, each a pass; None: those that the network is told apart.
        over_views: How their log-likelihoods become one, see `pixelbayes.inference.views`.

    Raises:
        ValueError: If the prior is not one probability per class that sum to one, or the
            temperature is not positive and finite.
        TypeError: If the network's weights are narrower than float32.
    """

    def __init__(
        self,
        model: PixelCNN,
        *,
        log_prior: Tensor | None = None,
        temperature: float = 1.0,
        memory_budget: int | None = None,
        autocast: torch.dtype | None = None,
        views: Sequence[int] | None = None,
        over_views: OverViews = log_mean_prob,
    ) -> None:
        if not isinstance(model, PixelCNN):
            raise TypeError(
                f"BayesClassifier takes a PixelCNN, got {type(model).__name__}; of a loaded model "
                "it is model.network, and model.classifier() makes its classifier"
            )
        classes = model.config.classes
        prior = uniform_log_prior(classes)
        if log_prior is not None:
            prior = torch.as_tensor(log_prior, dtype=torch.float64, device="cpu")
        if prior.shape != (classes,) or not math.isclose(
            prior.exp().sum().item(), 1.0, rel_tol=1e-6
        ):
            raise PixelBayesError(
                f"the prior is {classes} log-probabilities whose exponentials sum to one, "
                f"got shape {tuple(prior.shape)} with sum {prior.exp().sum().item():.6g}"
            )
        require_wide_weights(model)
        self.model = model
        self.log_prior = prior
        self.temperature = require_temperature(temperature)
        self.memory_budget = memory_budget
        self.autocast = autocast
        self.views = views_of(model, views)
        self.over_views = over_views

    @isolated
    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """log p(x | y) of every image under every class.

        Args:
            levels: uint8, (B, C, H, W), on any device; chunks are moved to the model's.
            progress: Called with the number of images done so far.

        Returns:
            (B, K), float64 on the CPU, nats per image.

        Raises:
            TypeError: If the images are not uint8.
            ValueError: If their shape does not fit the model.
            NotFiniteError: If the network computes no numbers.
        """
        shape = (len(levels), self.model.config.classes, len(self.views))
        by_view = torch.empty(shape, dtype=torch.float64)
        for images, labels, view, by_pixel in self._passes(levels, progress, self.views):
            # A float32 sum over thousands of pixels would round by more than a pixel counts.
            by_view[images, labels, self.views.index(view)] = (
                by_pixel.double().sum(dim=(2, 3)).cpu()
            )
        return require_finite(self.over_views(by_view))

    @isolated
    def log_likelihood_maps(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """log p(x_i | x_<i, y) of every pixel under every class.

        Arguments and errors are those of `log_likelihoods`.

        Returns:
            (B, K, H, W), float64 on the CPU, nats, of the first view alone, as it shows the image.
            Where that is the only one, they sum to `log_likelihoods` over H and W.
        """
        classes, size = self.model.config.classes, self.model.config.image_size
        result = torch.empty(len(levels), classes, *size, dtype=torch.float64)
        for images, labels, _, by_pixel in self._passes(levels, progress, self.views[:1]):
            result[images, labels] = by_pixel.double().cpu()
        return require_finite(result)

    def _passes(
        self, levels: Tensor, progress: Callable[[int], None] | None, views: Sequence[int]
    ) -> Iterator[tuple[slice, slice, int, Tensor]]:
        """Images, labels, view, and log p of each pixel, (images, labels, H, W), pass by pass."""
        if not isinstance(levels, Tensor):
            raise TypeError(
                f"images are a tensor of levels, uint8 (B, C, H, W), got {type(levels).__name__}; "
                "torch.from_numpy makes one of an array"
            )
        device = self.model.output.bias.device
        classes = torch.arange(self.model.config.classes, device=device)
        images, labels = self._chunks()
        narrow = self.autocast is not None
        for start in range(0, len(levels), images):
            chunk = levels[start : start + images].to(device)
            for view, first in product(views, range(0, len(classes), labels)):
                seen, some = in_view(chunk, view), classes[first : first + labels]
                with (
                    evaluation_mode(self.model),
                    torch.autocast(device.type, self.autocast, enabled=narrow),
                ):
                    described = self.model.for_each_label(seen, some, told_view(self.model, view))
                by_pixel = described.log_prob_map(seen.repeat_interleave(len(some), dim=0))
                yield (
                    slice(start, start + len(chunk)),
                    slice(first, first + len(some)),
                    view,
                    by_pixel.unflatten(0, (len(chunk), len(some))),
                )
            if progress is not None:
                progress(min(start + images, len(levels)))

    @isolated
    def predict_log_proba(self, levels: Tensor) -> Tensor:
        """log p(y | x), (B, K), float64."""
        return class_posterior(self.log_likelihoods(levels), self.log_prior, self.temperature)

    @isolated
    def predict(self, levels: Tensor) -> Tensor:
        """The most probable class of each image, int64, (B,)."""
        return self.predict_log_proba(levels).argmax(dim=1)

    def chunk_images(self) -> int:
        """Images that meet all classes in one pass within the memory budget, at least 1."""
        return self._chunks()[0]

    def _chunks(self) -> tuple[int, int]:
        """Images and labels of one pass, such that their features fit the memory budget."""
        config = self.model.config
        height, width = config.image_size
        one_map = height * width * self.model.output.bias.element_size()
        share = [4.0**-stage for stage in range(STAGES)]  # of the pixels, at each resolution
        features = sum(
            (LIVE_FEATURE_MAPS + 8 * blocks) * width * part
            for blocks, width, part in zip(
                config.stage_blocks, config.stage_features, share, strict=True
            )
        )
        trunk = round(features / sum(share)) * one_map
        budget = self.memory_budget
        if budget is None:
            budget = feature_budget(self.model.output.bias.device)
        if self.model.shares_trunk:
            maps = LIVE_HEAD_MAPS * self.model.output.bias.numel()
            if len(self.model.head):
                maps += LIVE_HEAD_LAYER_MAPS * config.stage_features[0]
            head = maps * one_map
            labels = min(config.classes, max(1, (budget - trunk) // head))
            return max(1, budget // (trunk + labels * head)), labels
        passes = max(1, budget // trunk)
        labels = min(config.classes, passes)
        return max(1, passes // labels), labels
