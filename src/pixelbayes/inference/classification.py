"""Classification by Bayes' rule: p(y | image) from p(image | y) and p(y).

Shapes: B images, K classes.
Units:  nats per *image*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.core.network import PixelCNN
from pixelbayes.core.precision import evaluation_mode, isolated, require_wide_weights
from pixelbayes.inference.memory import feature_budget

__all__ = ["BayesClassifier", "class_posterior", "uniform_log_prior"]

LIVE_FEATURE_MAPS = 24
"""Full-resolution maps of F channels alive at once: short cuts of both streams, raw and
activated (2 F), three per resolution with one block, and one block's temporaries."""
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
    ) -> None:
        classes = model.config.classes
        prior = uniform_log_prior(classes) if log_prior is None else log_prior.double().cpu()
        if prior.shape != (classes,) or not math.isclose(
            prior.exp().sum().item(), 1.0, rel_tol=1e-6
        ):
            raise ValueError(
                f"the prior is {classes} log-probabilities whose exponentials sum to one, "
                f"got shape {tuple(prior.shape)} with sum {prior.exp().sum().item():.6g}"
            )
        if not 0.0 < temperature < math.inf:
            raise ValueError(f"the temperature is positive and finite, got {temperature}")
        require_wide_weights(model)
        self.model = model
        self.log_prior = prior
        self.temperature = temperature
        self.memory_budget = memory_budget
        self.autocast = autocast

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
        """
        result = torch.empty(len(levels), self.model.config.classes, dtype=torch.float64)
        for images, labels, by_pixel in self._passes(levels, progress):
            # A float32 sum over thousands of pixels would round by more than a pixel counts.
            result[images, labels] = by_pixel.double().sum(dim=(2, 3)).cpu()
        return result

    @isolated
    def log_likelihood_maps(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """log p(x_i | x_<i, y) of every pixel under every class.

        Arguments and errors are those of `log_likelihoods`.

        Returns:
            (B, K, H, W), float64 on the CPU, nats; over H and W they sum to `log_likelihoods`.
        """
        classes, size = self.model.config.classes, self.model.config.image_size
        result = torch.empty(len(levels), classes, *size, dtype=torch.float64)
        for images, labels, by_pixel in self._passes(levels, progress):
            result[images, labels] = by_pixel.double().cpu()
        return result

    def _passes(
        self, levels: Tensor, progress: Callable[[int], None] | None
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Images, labels, and log p of each pixel, (images, labels, H, W), pass by pass."""
        device = self.model.output.bias.device
        classes = torch.arange(self.model.config.classes, device=device)
        images, labels = self._chunks()
        narrow = self.autocast is not None
        for start in range(0, len(levels), images):
            chunk = levels[start : start + images].to(device)
            for first in range(0, len(classes), labels):
                some = classes[first : first + labels]
                with (
                    evaluation_mode(self.model),
                    torch.autocast(device.type, self.autocast, enabled=narrow),
                ):
                    described = self.model.for_each_label(chunk, some)
                by_pixel = described.log_prob_map(chunk.repeat_interleave(len(some), dim=0))
                yield (
                    slice(start, start + len(chunk)),
                    slice(first, first + len(some)),
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
        trunk = (LIVE_FEATURE_MAPS + 8 * config.blocks_per_stage) * config.features * one_map
        budget = self.memory_budget
        if budget is None:
            budget = feature_budget(self.model.output.bias.device)
        if self.model.shares_trunk:
            head = LIVE_HEAD_MAPS * self.model.output.bias.numel() * one_map
            labels = min(config.classes, max(1, (budget - trunk) // head))
            return max(1, budget // (trunk + labels * head)), labels
        passes = max(1, budget // trunk)
        labels = min(config.classes, passes)
        return max(1, passes // labels), labels
