"""The discretised mixture of logistics: p(pixel | everything before it).

A pixel is one or three integer *levels* 0..255.  The network describes one pixel by K
weighted logistics per channel; this module turns that description into an exact
probability for each level, and draws levels from it.

Shapes: B images, K mixture components, C colour channels (1 or 3), H x W pixels.
Units:  every log-probability is in nats; `bits_per_dim` makes bits per dimension of them.

References:
    [1] Salimans et al., PixelCNN++, ICLR 2017, sections 2.1 and 2.2.
        https://arxiv.org/abs/1701.05517
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelbayes.errors import PixelBayesError

__all__ = [
    "LEVELS",
    "DiscretizedLogisticMixture",
    "bits_per_dim",
    "log_logistic_bin",
    "parameters_per_component",
    "require_levels",
    "standard_noise",
    "to_axis",
]

LEVELS = 256
HALF_BIN = 1.0 / (LEVELS - 1)  # half the distance between two levels on the [-1, 1] axis
MIN_LOG_SCALE = -7.0  # as in openai/pixel-cnn: 97 % of the mass already lies on one level
MAX_LOG_SCALE = 64.0  # float32 gradients stay finite; from 84 on they do not


def to_axis(levels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Places integer levels on the [-1, 1] axis: 0 -> -1, 255 -> 1."""
    return levels.to(dtype) * (2.0 * HALF_BIN) - 1.0


def require_levels(levels: Tensor, channels: int) -> None:
    """Checks that `levels` is a batch of uint8 images with `channels` channels.

    Raises:
        TypeError: If the tensor is not uint8.  A float image is almost always one that was
            already rescaled, and would be scored silently wrong.
        ValueError: If the shape is not (B, channels, H, W).
    """
    if levels.dtype != torch.uint8:
        raise TypeError(
            f"expected integer levels (torch.uint8, 0..255), got {levels.dtype}. Pass the image "
            "as loaded; the rescaling to [-1, 1] happens inside."
        )
    if levels.ndim != 4 or levels.shape[1] != channels:
        raise PixelBayesError(
            f"expected images of shape (batch, {channels}, height, width), "
            f"got {tuple(levels.shape)}"
        )


def log_logistic_bin(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    r"""Log-probability that a logistic variable falls in the bin of level `x`.

    With a = (x + h - mean) / s and b = (x - h - mean) / s, where h is half a bin,

        sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)),

    so the logarithm is a sum of three terms that never cancel.  The outermost bins reach
    to infinity, which is what makes the 256 probabilities sum to one.

    Args:
        x: Levels on the [-1, 1] axis, any shape that broadcasts with `mean`.
        mean: Centre of the logistic on the same axis.
        log_scale: Logarithm of its scale s.

    Returns:
        Log-probabilities in nats, <= 0, with the broadcast shape.
    """
    inv_scale = torch.exp(-log_scale)
    centred = x - mean
    log_below_upper = F.logsigmoid((centred + HALF_BIN) * inv_scale)  # log sigmoid(a)
    log_above_lower = F.logsigmoid((HALF_BIN - centred) * inv_scale)  # log sigmoid(-b)
    log_width = torch.log(-torch.expm1(-2.0 * HALF_BIN * inv_scale))  # log(1 - e^(b-a))

    inside = log_below_upper + log_above_lower + log_width
    lowest, highest = x <= -1.0 + HALF_BIN, x >= 1.0 - HALF_BIN
    return torch.where(lowest, log_below_upper, torch.where(highest, log_above_lower, inside))


def parameters_per_component(channels: int) -> int:
    """Network outputs for one component: weight, means, log-scales, channel coefficients.

    >>> parameters_per_component(3), parameters_per_component(1)
    (10, 3)
    """
    return 1 + 2 * channels + channels * (channels - 1) // 2


@dataclass(frozen=True)
class DiscretizedLogisticMixture:
    """One distribution over levels per pixel; what `PixelCNN.forward` returns.

    Every attribute is float32 or wider: a mean in bfloat16 is coarser than a level.

    Attributes:
        logits: Mixture weights before the softmax, (B, K, H, W).
        means: Per component and channel, before earlier channels are added, (B, K, C, H, W).
        log_scales: As `means`, from `MIN_LOG_SCALE` to `MAX_LOG_SCALE`.
        coeffs: How green leans on red, blue on red, blue on green; in (-1, 1),
            (B, K, C (C - 1) / 2, H, W): empty for grey images.
    """

    logits: Tensor
    means: Tensor
    log_scales: Tensor
    coeffs: Tensor

    @classmethod
    def from_parameters(cls, parameters: Tensor, channels: int) -> DiscretizedLogisticMixture:
        """Reads the output of the last projection.

        Args:
            parameters: (B, K * parameters_per_component(channels), H, W); half precision is
                widened to float32.
            channels: 1 or 3.
        """
        if parameters.dtype in (torch.float16, torch.bfloat16):
            parameters = parameters.float()
        # Pixels of one parameter side by side: what follows takes the parameters apart.
        parameters = parameters.contiguous()
        per_component = parameters_per_component(channels)
        components = parameters.shape[1] // per_component
        # Split rather than sliced: the gradients are then joined in one pass.
        logits, rest = parameters.split([components, parameters.shape[1] - components], dim=1)
        rest = rest.unflatten(1, (components, per_component - 1))
        means, log_scales, coeffs = rest.split(
            [channels, channels, per_component - 1 - 2 * channels], dim=2
        )
        return cls(
            logits, means, log_scales.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE), torch.tanh(coeffs)
        )

    @property
    def channels(self) -> int:
        """Colour channels C."""
        return self.means.shape[2]

    def at(self, row: int, col: int) -> DiscretizedLogisticMixture:
        """The distribution of the single pixel (row, col), with H = W = 1."""
        rows, cols = slice(row, row + 1), slice(col, col + 1)
        return DiscretizedLogisticMixture(
            self.logits[..., rows, cols],
            self.means[..., rows, cols],
            self.log_scales[..., rows, cols],
            self.coeffs[..., rows, cols],
        )

    def log_prob_map(self, levels: Tensor) -> Tensor:
        """Log-probability of each pixel given the pixels before it.

        Args:
            levels: uint8, (B, C, H, W).

        Returns:
            (B, H, W) in nats, <= 0.

        Raises:
            TypeError: If `levels` is not uint8.
            ValueError: If its shape does not fit.
        """
        require_levels(levels, self.channels)
        x = to_axis(levels, self.means.dtype)[:, None]
        per_channel = log_logistic_bin(x, self._conditional_means(x), self.log_scales)
        weights = F.log_softmax(self.logits, dim=1)
        return torch.logsumexp(per_channel.sum(dim=2) + weights, dim=1)

    def log_prob(self, levels: Tensor) -> Tensor:
        """Returns log p(image) in nats, one number per image, (B,).

        Sum over the batch, negate or divide outside: classification needs the per-image
        number, training its mean, and neither needs a flag here.

        Raises:
            TypeError: If `levels` is not uint8.
            ValueError: If its shape does not fit.
        """
        return self.log_prob_map(levels).sum(dim=(1, 2))

    def _conditional_means(self, x: Tensor) -> Tensor:
        """Means given the *levels* of the earlier channels; x: (B, 1, C, H, W)."""
        if self.channels == 1:
            return self.means
        red, green = x[:, :, 0], x[:, :, 1]
        mean_red, mean_green, mean_blue = self.means.unbind(dim=2)
        green_red, blue_red, blue_green = self.coeffs.unbind(dim=2)
        mean_green = mean_green + green_red * red
        mean_blue = mean_blue + blue_red * red + blue_green * green
        return torch.stack([mean_red.expand_as(mean_blue), mean_green, mean_blue], dim=2)

    def cdf(self, levels: Tensor, channel: int) -> Tensor:
        """P(level of one channel < l | the earlier channels of the pixel), l = 0..256.

        The step from l to l + 1 is the probability of level l; over the channels of a pixel the
        steps at its levels multiply to `log_prob_map`.

        Args:
            levels: uint8, (B, C, H, W); only channels before `channel` matter.
            channel: In range(C).

        Returns:
            From 0 to 1 without a step down, (B, 257, H, W), float64.
        """
        x = to_axis(levels, torch.float64)[:, None]
        wide = DiscretizedLogisticMixture(*(getattr(self, f.name).double() for f in fields(self)))
        means = wide._conditional_means(x)
        weights = wide.logits
        if channel > 0:  # how well each component has described the earlier channels
            earlier = slice(0, channel)
            described = log_logistic_bin(
                x[:, :, earlier], means[:, :, earlier], wide.log_scales[:, :, earlier]
            )
            weights = weights + described.sum(dim=2)
        edges = to_axis(torch.arange(1, LEVELS, device=levels.device), torch.float64) - HALF_BIN
        centred = edges[:, None, None] - means[:, :, channel, None]
        below = torch.sigmoid(centred * torch.exp(-wide.log_scales[:, :, channel, None]))
        inner = (torch.softmax(weights, dim=1)[:, :, None] * below).sum(dim=1)
        rising = inner.clamp(0.0, 1.0).cummax(dim=1).values  # not below 0 or down by rounding
        return F.pad(F.pad(rising, (0, 0, 0, 0, 1, 0)), (0, 0, 0, 0, 0, 1), value=1.0)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draws every pixel from its own distribution.

        Returns:
            Levels, uint8, (B, C, H, W).
        """
        batch, components, height, width = self.logits.shape
        uniform = torch.rand(
            (batch, height, width, components + self.channels),
            generator=generator,
            device=generator.device,
            dtype=torch.float64,
        )
        return self.transport(standard_noise(uniform.to(self.logits.device), components))

    def transport(self, noise: Tensor) -> Tensor:
        """Turns noise into levels, deterministically.

        The component is the arg-max of its logits plus Gumbel variables; a logistic variable
        per channel is then scaled, moved and rounded.  Green is drawn given the level that red
        was rounded to, blue given both, just as `log_prob` scores them.

        Args:
            noise: K Gumbel and C logistic variables per pixel, from `standard_noise`,
                (B, H, W, K + C).

        Returns:
            Levels, uint8, (B, C, H, W).
        """
        noise = noise.to(self.means.dtype).movedim(-1, 1)
        components = self.logits.shape[1]
        chosen = (self.logits + noise[:, :components]).argmax(dim=1)[:, None, None]

        def pick(values: Tensor) -> Tensor:
            return values.gather(1, chosen.expand(-1, -1, *values.shape[2:]))[:, 0]

        means, log_scales, coeffs = pick(self.means), pick(self.log_scales), pick(self.coeffs)
        deviations = torch.exp(log_scales) * noise[:, components:]
        drawn: list[Tensor] = []
        for channel in range(self.channels):
            mean = means[:, channel]
            first = channel * (channel - 1) // 2  # row of this channel in `coeffs`
            for earlier, level in enumerate(drawn):
                mean = mean + coeffs[:, first + earlier] * to_axis(level, mean.dtype)
            position = (mean + deviations[:, channel] + 1.0) * ((LEVELS - 1) / 2)
            drawn.append(position.round().clamp(0, LEVELS - 1))
        return torch.stack(drawn, dim=1).to(torch.uint8)


def standard_noise(uniform: Tensor, components: int) -> Tensor:
    """Standard Gumbel and logistic variables, by inversion of their distribution functions.

    Args:
        uniform: On [0, 1), (..., K + C), float64.
        components: K, how many of the last axis become Gumbel variables; the others become
            logistic ones.
    """
    gumbel, logistic = uniform[..., :components], uniform[..., components:]
    return torch.cat([-torch.log(-torch.log(gumbel)), torch.logit(logistic)], dim=-1)


def bits_per_dim(log_prob: Tensor, dims: int) -> Tensor:
    """Converts nats per image to bits per dimension: -log_prob / (dims * ln 2).

    >>> bits_per_dim(torch.tensor([-3072 * math.log(256)]), dims=3072)  # uniform guessing
    tensor([8.])
    """
    return -log_prob / (dims * math.log(2.0))
