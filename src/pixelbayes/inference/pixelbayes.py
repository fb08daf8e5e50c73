"""The facade: one trained model and its four verbs (classify, sample, score, complete)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.core.checkpoint import load_checkpoint, save_checkpoint
from pixelbayes.core.network import PixelCNN
from pixelbayes.core.storage import Metadata, checkpoint_folder
from pixelbayes.core.trained import TrainedModel
from pixelbayes.data.transforms import Resize
from pixelbayes.inference.cached import complete_cached, sample_cached
from pixelbayes.inference.classification import BayesClassifier
from pixelbayes.inference.sampling import RowCallback, first_rows

__all__ = ["PixelBayes"]


class PixelBayes(TrainedModel):
    """A `PixelCNN` together with what its user must know: class names, resizing, prior.

    Args:
        model: The network.
        metadata: Class names, resizing, prior, temperature, provenance.
    """

    def __init__(self, model: PixelCNN, metadata: Metadata) -> None:
        self.model = model.eval()
        self.metadata = metadata

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> PixelBayes:
        """Loads a checkpoint folder, or the best checkpoint of a run directory.

        Raises:
            CheckpointError: If there is none or it cannot be used, with what to do.
        """
        model, metadata = load_checkpoint(checkpoint_folder(path))
        return cls(model.to(device), metadata)

    def save(self, folder: str | Path) -> None:
        """Writes `model.safetensors` and `model.json`; `load` restores them bit for bit."""
        save_checkpoint(Path(folder), self.model, self.metadata)

    @property
    def resize(self) -> Resize:
        """How an image file is brought to the model's size."""
        return Resize(**self.metadata.resize)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.output.bias.device

    def class_index(self, name: str | int) -> int:
        """Index of a class given by name, or by index in digits.

        Raises:
            ValueError: If there is no such class; the message lists them.
        """
        if isinstance(name, str) and name in self.classes:
            return self.classes.index(name)
        if str(name).isdecimal() and int(name) < len(self.classes):
            return int(name)
        raise ValueError(
            f"no class {name!r}; choose one of: {', '.join(self.classes)}, or an index below "
            f"{len(self.classes)}"
        )

    def classifier(
        self, temperature: float | None = None, *, autocast: torch.dtype | None = None
    ) -> BayesClassifier:
        """Bayes' rule with this model's prior and, by default, its fitted temperature.

        For `autocast` see `BayesClassifier`.
        """
        return BayesClassifier(
            self.model,
            log_prior=self.log_prior,
            temperature=self.temperature if temperature is None else temperature,
            autocast=autocast,
        )

    def log_prob(self, levels: Tensor) -> Tensor:
        """log p(x) = log-sum over classes of p(x | y) p(y), (B,), nats, float64."""
        return torch.logsumexp(self.classifier().log_likelihoods(levels) + self.log_prior, dim=1)

    def sample(
        self,
        labels: Tensor | Sequence[str | int],
        *,
        seed: int = 0,
        on_row: RowCallback | None = None,
    ) -> Tensor:
        """Draws one image per label; the same seed draws the same images.

        Returns:
            Levels, uint8, (B, C, H, W), on the CPU.
        """
        generator = torch.Generator().manual_seed(seed)
        indices = self._labels(labels)
        return sample_cached(self.model, indices, generator=generator, on_row=on_row).cpu()

    def complete(
        self,
        labels: Tensor | Sequence[str | int],
        levels: Tensor,
        known: Tensor | int,
        *,
        seed: int = 0,
        on_row: RowCallback | None = None,
    ) -> Tensor:
        """Keeps the known pixels of each image and draws the others, given what precedes them.

        Args:
            labels: One class for each image.
            levels: uint8, (B, C, H, W).
            known: How many rows are known, or a mask, bool (H, W).  Known pixels that come after
                a drawn one did not decide it: `complete_weighted` makes up for that.
            seed: The same seed draws the same pixels.
            on_row: Called after each drawn row.

        Returns:
            Levels, uint8, (B, C, H, W), on the CPU.
        """
        generator = torch.Generator().manual_seed(seed)
        mask = first_rows(self.model, known) if isinstance(known, int) else known
        return complete_cached(
            self.model,
            self._labels(labels),
            levels.to(self.device),
            mask,
            generator=generator,
            on_row=on_row,
        ).cpu()

    def _labels(self, labels: Tensor | Sequence[str | int]) -> Tensor:
        if not isinstance(labels, Tensor):
            labels = torch.tensor([self.class_index(label) for label in labels])
        return labels.to(self.device, torch.int64)
