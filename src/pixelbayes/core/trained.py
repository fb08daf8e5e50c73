"""What is said of every trained model, whatever its network."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelbayes.core.storage import Metadata

__all__ = ["TrainedModel"]


class TrainedModel:
    """The part of a facade that comes from the metadata alone.  Shapes: K classes."""

    metadata: Metadata

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""
        return self.metadata.classes

    @property
    def log_prior(self) -> Tensor:
        """log p(y), (K,), nats, float64."""
        return torch.tensor(self.metadata.log_prior, dtype=torch.float64)

    @property
    def temperature(self) -> float:
        """Fitted on validation data; 1 where it was not."""
        return self.metadata.temperature
