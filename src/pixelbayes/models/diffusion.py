"""A class-conditional diffusion model: a bound on p(image | class), and images.

What an autoregressive model is measured against: the U-Net is diffusers' `UNet2DModel`, imported
when one is built (extra `diffusion`); the bound and the drawing are `pixelbayes.core.diffusion`.

Shapes: N images, K classes, n evaluations, C channels, H x W pixels, D = C H W.
Units:  nats per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pixelbayes.core.diffusion import (
    HALF_RANGE,
    code_length_of_ends,
    diffuse,
    draw_backwards,
    fourier_features,
)
from pixelbayes.core.likelihood import to_axis
from pixelbayes.core.precision import isolated, require_finite
from pixelbayes.data.naming import whole_number
from pixelbayes.errors import PixelBayesError, naming_extras
from pixelbayes.inference.cached.tiles import tile_size
from pixelbayes.inference.sampling import RowCallback
from pixelbayes.models.base import TrainedNetwork, register
from pixelbayes.models.settings import DiffusionSettings
from pixelbayes.models.storage import Stored, structured_config

__all__ = ["DiffusionConfig", "DiffusionModel", "NoiseNetwork"]

STRIDE = 4  # of the two changes of resolution, together
TIME_SCALE = 1000.0  # the sinusoids of UNet2DModel are made for steps 0 to 1000
FEATURES_PER_CHANNEL = 5  # see fourier_features
MOST_GROUPS = 16  # of group normalisation
PASSES = 64  # noisy images of one pass: 64 features of 32x32 pixels are 16 MiB of float32
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0  # spreads whole numbers evenly over [0, 1)


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(DiffusionSettings):
    """What a `NoiseNetwork` is built from.

    Raises:
        PixelBayesError: On construction, if a number is not accepted.
    """

    classes: int
    channels: int = 3
    image_size: tuple[int, int] = (32, 32)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "image_size", tuple(self.image_size))
        counts = (self.classes, self.blocks_per_stage, self.evaluations, self.steps)
        if min(counts) < 1 or self.channels not in (1, 3):
            raise PixelBayesError(
                "a diffusion model has 1 or more classes, blocks_per_stage, evaluations and "
                f"steps, and 1 or 3 channels, got {counts} and {self.channels}"
            )
        if len(self.features) != 3 or min(self.features) < 1:
            raise PixelBayesError(
                f"a diffusion model has features for three resolutions, got {self.features}"
            )
        number = isinstance(self.dropout, (int, float)) and not isinstance(self.dropout, bool)
        if not number or not 0.0 <= self.dropout < 1.0:
            raise PixelBayesError(f"--dropout is a probability in [0, 1), got {self.dropout!r}")
        if any(size < 2 * STRIDE or size % STRIDE for size in self.image_size):
            raise PixelBayesError(
                f"a diffusion model halves the resolution twice, so rows and columns are multiples "
                f"of {STRIDE} from {2 * STRIDE} on, got {self.image_size}; choose another "
                "--image-size"
            )


@dataclass(frozen=True)
class BoundEstimate:
    """What a pass in training says of its images."""

    bound: Tensor
    """At most log p(x | y) in expectation, (B,)."""

    def log_prob(self, levels: Tensor) -> Tensor:
        """The bound, of the levels that it was estimated for."""
        return self.bound


class NoiseNetwork(nn.Module):
    """A U-Net that predicts the noise in images of known classes.

    Args:
        config: Its sizes.

    Raises:
        MissingPackageError: If diffusers is not installed.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        self.unet: nn.Module = _unet()(
            sample_size=config.image_size,
            in_channels=FEATURES_PER_CHANNEL * config.channels,
            out_channels=config.channels,
            block_out_channels=config.features,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            layers_per_block=config.blocks_per_stage,
            norm_num_groups=math.gcd(MOST_GROUPS, *config.features),
            dropout=config.dropout,
            num_class_embeds=config.classes,
        )

    def predict(self, noisy: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """The noise in z_t, (B, C, H, W), float32 or wider, at times (B,) under classes (B,)."""
        weight = next(self.unet.parameters())
        inputs = fourier_features(noisy).to(weight.dtype)
        given = self.unet(inputs, (time * TIME_SCALE).to(weight.dtype), class_labels=labels)
        predicted: Tensor = given.sample
        return predicted.to(torch.promote_types(weight.dtype, torch.float32))

    def errors(self, levels: Tensor, time: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """|e - predicted e|^2 of each image at its time, (B,)."""
        images = to_axis(levels)
        predicted = self.predict(diffuse(images, time, noise), time, labels)
        return (predicted - noise).square().flatten(1).sum(dim=1)

    def forward(self, levels: Tensor, labels: Tensor) -> BoundEstimate:
        """Estimates the bound from one time and one noise for each image.

        Times are spread evenly from a common random start, which makes the mean over the batch
        less noisy than times drawn apart (Kingma et al., appendix I.1); randomness is torch's own.

        Args:
            levels: uint8, (B, C, H, W).
            labels: int64, (B,).

        Raises:
            PixelBayesError: If these are no levels of images of this size.
        """
        self.require_levels(levels)
        start, shares = torch.rand(1), torch.arange(len(levels)) / len(levels)
        time = ((start + shares) % 1.0).float().to(levels.device)
        noise = torch.randn(levels.shape, dtype=torch.float32, device=levels.device)
        errors = self.errors(levels, time, noise, labels)
        return BoundEstimate(-code_length_of_ends(levels).to(errors.dtype) - HALF_RANGE * errors)

    def require_levels(self, levels: Tensor) -> None:
        """Refuses what are no levels of this network's images."""
        expected = (self.config.channels, *self.config.image_size)
        if levels.dtype != torch.uint8 or tuple(levels.shape[1:]) != expected:
            raise PixelBayesError(
                f"expected levels, uint8 (B, {', '.join(map(str, expected))}), got {levels.dtype} "
                f"{tuple(levels.shape)}"
            )


@register
class DiffusionModel(TrainedNetwork[NoiseNetwork]):
    """A `NoiseNetwork` together with what its user must know: class names, resizing, prior.

    Its log-likelihoods are estimates of lower bounds, from `evaluations` passes for each class;
    bits/dim from them are upper bounds.
    """

    kind = "diffusion"
    noun = "diffusion model"
    settings = DiffusionSettings
    is_density = True
    can_sample = True
    is_exact = False
    weights_decide = False

    @classmethod
    def build(
        cls,
        settings: DiffusionSettings,
        *,
        classes: int,
        channels: int = 3,
        image_size: tuple[int, int] = (32, 32),
    ) -> NoiseNetwork:
        """See `TrainedNetwork.build`; the first weights are PyTorch's."""
        return NoiseNetwork(
            DiffusionConfig(
                classes=classes, channels=channels, image_size=image_size, **asdict(settings)
            )
        )

    @classmethod
    def check(cls, settings: DiffusionSettings) -> None:
        """Refuses what `DiffusionConfig` refuses."""
        DiffusionConfig(classes=1, **asdict(settings))

    @property
    def channels(self) -> int:
        """C of the network."""
        return self.network.config.channels

    @property
    def dims(self) -> int:
        """Numbers in an image, C H W."""
        return self.channels * math.prod(self.network.config.image_size)

    @property
    def summary(self) -> str:
        """That the likelihood is bounded."""
        return "Class-conditional diffusion model: a lower bound on p(image | class)"

    def to_stored(self) -> Stored:
        """The configuration and every weight."""
        return Stored(
            kind=self.kind,
            config=asdict(self.network.config),
            metadata=self.metadata,
            weights=self.network.unet.state_dict(),
        )

    @classmethod
    def from_stored(cls, stored: Stored) -> DiffusionModel:
        """The same network, of the weights as they are stored."""
        network = NoiseNetwork(structured_config(DiffusionConfig, stored))
        stored.fill(network.unet, "diffusers' UNet2DModel of its description")
        return cls(network, stored.metadata)

    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """Estimates of lower bounds on log p(x | y); see `Model.log_likelihoods`."""
        mean = self.squared_errors(levels, progress=progress).mean(dim=2)
        return -code_length_of_ends(levels.cpu())[:, None] - HALF_RANGE * mean

    @isolated
    def squared_errors(
        self,
        levels: Tensor,
        evaluations: int | None = None,
        *,
        labels: Tensor | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """|e - predicted e|^2 at times and noises that the number of evaluations decides.

        Times are n equal steps from a start that follows from the image's levels, so that an
        answer depends on the image alone and the mean over images misses no time.  Noises are
        those of the seeds 0 to n - 1.  Every m-th evaluation of n is, for its times, as good as n
        / m evaluations.

        Args:
            levels: uint8, (N, C, H, W), on any device.
            evaluations: n; None: that of the settings.
            labels: int64, (N,), the one class of each image; None: all classes.
            progress: Called with the number of images done so far.

        Returns:
            (N, K, n), or (N, 1, n) with labels; float64 on the CPU.
        """
        network, count = self.network, self.network.config.evaluations
        if evaluations is not None:
            count = whole_number(evaluations, "evaluations is a number of passes above 0", least=1)
        network.require_levels(levels)
        every = torch.arange(len(self.classes))[None].expand(len(levels), -1)
        asked = every if labels is None else labels.cpu()[:, None]
        starts = (levels.flatten(1).double().sum(dim=1).cpu() * GOLDEN) % 1.0
        noises = torch.stack([_noise(seed, levels.shape[1:]) for seed in range(count)])
        result = torch.empty(*asked.shape, count, dtype=torch.float64)
        chunk = max(1, PASSES // asked.shape[1])
        for first in range(0, len(levels), chunk):
            rows = slice(first, first + chunk)
            repeated = levels[rows].to(self.device).repeat_interleave(asked.shape[1], dim=0)
            for number in range(count):
                time = ((starts[rows] + number / count) % 1.0).float()
                errors = network.errors(
                    repeated,
                    time.to(self.device).repeat_interleave(asked.shape[1]),
                    noises[number].to(self.device).expand(repeated.shape),
                    asked[rows].flatten().to(self.device),
                )
                result[rows, :, number] = errors.double().cpu().view(-1, asked.shape[1])
            if progress is not None:
                progress(min(first + chunk, len(levels)))
        return require_finite(result)

    def nats(self, levels: Tensor, labels: Tensor) -> Tensor:
        """The bound on -log p(x | y) under one class each; see `Model.nats`."""
        mean = self.squared_errors(levels, labels=labels).mean(dim=2)[:, 0]
        return code_length_of_ends(levels.cpu()) + HALF_RANGE * mean

    def draw(
        self,
        labels: Tensor,
        generator: torch.Generator,
        on_row: RowCallback | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draws all pixels at once, in `steps` passes; see `Model.draw`.

        `on_row` is called H times, evenly over the passes, with the image as it is then guessed.

        Raises:
            PixelBayesError: If the temperature is not 1.
        """
        if temperature != 1.0:
            raise PixelBayesError(
                f"a {self.noun} draws at temperature 1 only, got {temperature}; a PixelCNN draws "
                "at any"
            )
        seeds = torch.randint(0, 1 << 62, (len(labels),), generator=generator).tolist()
        return self._drawn(
            labels.cpu(), [torch.Generator().manual_seed(it) for it in seeds], on_row
        )

    @isolated
    def _drawn(
        self, labels: Tensor, generators: list[torch.Generator], on_row: RowCallback | None
    ) -> Tensor:
        """Whole tiles, the last one filled up, so that no image depends on how many there are."""
        config, tile = self.network.config, tile_size(self.device)
        shape, height = (config.channels, *config.image_size), config.image_size[0]
        levels = torch.zeros(len(labels), *shape, dtype=torch.uint8)
        for first in range(0, len(labels), tile):
            rows = slice(first, first + tile)
            chosen, sources = labels[rows], generators[rows]
            classes = torch.cat([chosen, chosen[:1].expand(tile - len(chosen))]).to(self.device)

            def noise(sources: list[torch.Generator] = sources) -> Tensor:
                drawn = [torch.randn(shape, dtype=torch.float32, generator=it) for it in sources]
                return torch.stack(drawn + drawn[:1] * (tile - len(drawn))).to(self.device)

            def predict(noisy: Tensor, time: Tensor, classes: Tensor = classes) -> Tensor:
                return self.network.predict(noisy, time, classes)

            def show(done: int, now: Tensor, rows: slice = rows, count: int = len(chosen)) -> None:
                levels[rows] = now[:count].cpu()
                before, after = ((k * height) // config.steps for k in (done - 1, done))
                for row in range(before, after):
                    if on_row is not None:
                        on_row(row, levels)

            draw_backwards(predict, noise, config.steps, show)
        return levels

    def images_at_a_time(self) -> int:
        """One tile, which is computed together anyway."""
        return tile_size(self.device)


def _noise(seed: int, shape: torch.Size) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float32, generator=generator)


@naming_extras()
def _unet() -> Any:
    from diffusers import UNet2DModel

    return UNet2DModel
