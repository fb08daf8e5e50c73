"""A trained `PixelCNN`: p(image | class), from which images are classified, scored and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.core.initialisation import initialise_from_data
from pixelbayes.core.precision import isolated, require_finite
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.cached import complete_cached, sample_cached
from pixelbayes.inference.classification import BayesClassifier, class_posterior
from pixelbayes.inference.memory import feature_budget
from pixelbayes.inference.sampling import RowCallback
from pixelbayes.inference.views import log_prob_over_views
from pixelbayes.models.base import Model, TrainedNetwork, register
from pixelbayes.models.settings import NetworkConfig
from pixelbayes.models.storage import CheckpointError, Stored, structured_config
from pixelbayes.models.warm_start import start_from

__all__ = ["PixelBayes"]

ROWS_PER_BLOCK = 10
"""Rows of F channels that the cached sampler keeps for one image in each gated block."""


@register
class PixelBayes(TrainedNetwork[PixelCNN]):
    """A `PixelCNN` together with what its user must know: class names, resizing, prior.

    Args:
        network: The network.
        metadata: Class names, resizing, prior, temperature, provenance.
    """

    kind = "pixelcnn"
    noun = "PixelCNN"
    settings = NetworkConfig
    is_density = True
    can_sample = True

    @classmethod
    def build(
        cls,
        settings: NetworkConfig,
        *,
        classes: int,
        channels: int = 3,
        image_size: tuple[int, int] = (32, 32),
    ) -> PixelCNN:
        """A `PixelCNN` of the settings and of what the data decide."""
        return PixelCNN(
            PixelCNNConfig(
                classes=classes, image_size=image_size, channels=channels, **asdict(settings)
            )
        )

    @classmethod
    def check(cls, settings: NetworkConfig) -> None:
        """Refuses what `PixelCNNConfig` refuses."""
        PixelCNNConfig(classes=1, **asdict(settings))

    @staticmethod
    def initialise(network: PixelCNN, levels: Tensor, labels: Tensor) -> None:
        """Standardises every layer on these images (`pixelbayes.core.initialisation`)."""
        initialise_from_data(network, levels, labels)

    @classmethod
    def take_over(cls, network: PixelCNN, classes: Sequence[str], source: Model) -> list[str]:
        """See `TrainedNetwork.take_over`; classes are matched by name."""
        if not isinstance(source, PixelBayes):
            raise PixelBayesError(f"a {cls.noun} starts from a {cls.noun}, got a {source.noun}")
        return start_from(network, classes, source.network, source.classes)

    @property
    def views(self) -> int:
        """Those that the network is told apart."""
        return self.network.config.views

    @property
    def channels(self) -> int:
        """C of the network."""
        return self.network.config.channels

    @property
    def dims(self) -> int:
        """Numbers in an image, C H W."""
        return self.network.config.dims

    @property
    def uses_labels(self) -> bool:
        """False with the fusion none."""
        return self.network.config.fusion != "none"

    @property
    def title(self) -> str:
        """The model in a few words, for headings."""
        return f"{self.network.config.fusion} fusion"

    @property
    def summary(self) -> str:
        """The fusion, and that p(image | class) is exact."""
        fusion = self.network.config.fusion
        return f"Class-conditional PixelCNN++ with {fusion} fusion: exact p(image | class)"

    def to_stored(self) -> Stored:
        """The configuration and every named weight."""
        return Stored(
            kind=self.kind,
            config=asdict(self.network.config),
            metadata=self.metadata,
            weights=_named_weights(self.network),
        )

    @classmethod
    def from_stored(cls, stored: Stored) -> PixelBayes:
        """See `Model.from_stored`; an older version becomes the same function in this one's."""
        network = PixelCNN(structured_config(PixelCNNConfig, stored))
        weights = dict(stored.weights)
        network.to(stored.dtype)
        different = sorted(set(_named_weights(network)) ^ set(weights))
        if different:
            raise CheckpointError(
                f"{stored.origin} holds other weights than this version's network: "
                f"{', '.join(different[:5])} ({len(different)} names differ); it was written by "
                f"{stored.written_by}"
            )
        if stored.version == 1:
            _multiply_label_channels(weights, network.config)
        try:
            network.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise CheckpointError(
                f"the weights of {stored.origin} do not fit its description: {error}"
            ) from error
        return cls(network, stored.metadata)

    def classifier(
        self, temperature: float | None = None, *, autocast: torch.dtype | None = None
    ) -> BayesClassifier:
        """Bayes' rule with this model's prior and, by default, its fitted temperature.

        For `autocast` see `BayesClassifier`.
        """
        return BayesClassifier(
            self.network,
            log_prior=self.log_prior,
            temperature=self.temperature if temperature is None else temperature,
            autocast=autocast,
        )

    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        """log p(x | y), exact; see `Model.log_likelihoods`."""
        return self.classifier().log_likelihoods(levels, progress=progress)

    @isolated
    def nats(self, levels: Tensor, labels: Tensor) -> Tensor:
        """-log p(x | y) in one pass over all the images; see `Model.nats`."""
        there = levels.to(self.device)
        nats = -log_prob_over_views(self.network, there, labels.to(self.device))
        return require_finite(nats).cpu()

    def draw(
        self,
        labels: Tensor,
        generator: torch.Generator,
        on_row: RowCallback | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draws pixel after pixel, by cached rows; see `Model.draw`."""
        return sample_cached(
            self.network,
            labels.to(self.device),
            generator=generator,
            on_row=on_row,
            temperature=temperature,
        ).cpu()

    def draw_given(
        self,
        labels: Tensor,
        levels: Tensor,
        known: Tensor,
        generator: torch.Generator,
        on_row: RowCallback | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draws the unknown pixels in raster order; see `Model.draw_given`."""
        return complete_cached(
            self.network,
            labels.to(self.device),
            levels.to(self.device),
            known,
            generator=generator,
            on_row=on_row,
            temperature=temperature,
        ).cpu()

    def class_of_first_pixels(self, levels: Tensor, known: Tensor) -> Tensor:
        """See `Model.class_of_first_pixels`; exact, in the view that the image shows."""
        before = known.flatten().long().cumprod(dim=0).view(known.shape)
        if not bool(before.any()):
            raise PixelBayesError(
                f"the first pixel is to be drawn, so nothing tells the class; give label=, one of: "
                f"{', '.join(self.classes)}"
            )
        maps = self.classifier().log_likelihood_maps(levels)
        table = (maps * before).sum(dim=(2, 3))
        return class_posterior(table, self.log_prior, self.temperature).argmax(dim=1)

    def images_at_a_time(self) -> int:
        """Images whose cache of rows fits the memory of the device.

        >>> from pixelbayes.models.base import Metadata
        >>> network = PixelBayes.build(NetworkConfig(features=160, blocks_per_stage=5), classes=2)
        >>> about = Metadata(classes=("a", "b"), resize={}, log_prior=(-0.6931471805599453,) * 2)
        >>> PixelBayes(network, about).images_at_a_time()
        20
        """
        config = self.network.config
        height, width = config.image_size
        features = ROWS_PER_BLOCK * sum(config.block_features) * width
        if config.attention == "full":  # keys and values of every pixel, and their scores
            features += (2 * config.stage_features[0] + 1) * height * width
        noise = height * width * (config.mixtures + config.channels)
        float32, float64 = 4, 8
        return max(1, feature_budget(self.device) // (features * float32 + noise * float64))


def _multiply_label_channels(weights: dict[str, Tensor], config: PixelCNNConfig) -> None:
    """Makes up, in weights of version 1, for the division of e_y by d in `EarlyFusion`."""
    for layer in ("input_u", "input_row", "input_left"):
        direction = weights[f"{layer}.direction"]
        before = direction.flatten(1).norm(dim=1)
        direction[:, config.channels + 1 :] *= config.embedding
        weights[f"{layer}.gain"] *= direction.flatten(1).norm(dim=1) / before


def _named_weights(network: PixelCNN) -> dict[str, Any]:
    """State under its shortest names; an embedding that several fusions share appears once."""
    seen: set[int] = set()
    named = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            named[name] = tensor
    return named
