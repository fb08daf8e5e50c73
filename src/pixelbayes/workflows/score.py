"""Score: how likely is each image file, and how many bits does it take?

A score is log p(x), of the mixture of all classes by their prior, and log p(x | y) of classes that
are asked for.  Files are read as for predictions (`pixelbayes.workflows.stream`).

Units: nats per image and bits per dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Model
from pixelbayes.models.prediction import unlike_training

__all__ = ["EVERY", "Score", "chosen_classes", "record_of", "scoring"]

EVERY = "all"
"""Stands for every class."""


@dataclass(frozen=True)
class Score:
    """How likely one image is."""

    path: Path
    log_likelihood: float
    """log p(x), nats per image."""
    bits_per_dim: float
    of_classes: dict[str, tuple[float, float]]
    """log p(x | y) and bits per dimension of the classes that were asked for."""

    unlike_training: bool | None
    """As of `pixelbayes.Prediction`."""


def chosen_classes(model: Model, names: Sequence[str] | None) -> tuple[int, ...]:
    """Indices of classes by name or index; `EVERY` stands for all of them.

    Raises:
        PixelBayesError: If there is no such class, or the model gives no likelihood.
    """
    if model.dims is None:
        raise PixelBayesError(
            f"a {model.noun} gives p(class | image) and no likelihood of images; score with a "
            "PixelCNN"
        )
    if names is None:
        return ()
    if not names:
        raise PixelBayesError(f"no class is named; there are: {', '.join(model.classes)}")
    if [*names] == [EVERY] and EVERY not in model.classes:
        return tuple(range(len(model.classes)))
    return tuple(dict.fromkeys(map(model.class_index, names)))


def scoring(
    model: Model, classes: Sequence[int]
) -> Callable[[Sequence[Path], Tensor, Callable[[int], None]], list[Score]]:
    """The function that scores a chunk of files.

    Args:
        model: The trained model, one of a density.
        classes: Indices of classes to score under as well.
    """
    dims = model.dims
    assert dims is not None, "see chosen_classes"

    def answer(
        paths: Sequence[Path], levels: Tensor, on_done: Callable[[int], None]
    ) -> list[Score]:
        table = model.log_likelihoods(levels, progress=on_done)
        mixture = torch.logsumexp(table + model.log_prior, dim=1)
        of_mixture, of_classes = bits_per_dim(mixture, dims), bits_per_dim(table, dims)
        unlike = unlike_training(model, mixture, levels)
        return [
            Score(
                path,
                float(mixture[row]),
                float(of_mixture[row]),
                {
                    model.classes[index]: (float(table[row, index]), float(of_classes[row, index]))
                    for index in classes
                },
                unlike[row],
            )
            for row, path in enumerate(paths)
        ]

    return answer


def record_of(score: Score) -> dict[str, Any]:
    """A score as a row of a table: see `pixelbayes.workflows.records`.

    >>> [*record_of(Score(Path("a.png"), -9.0, 3.5, {"cat": (-8.0, 3.1)}, False))][:3]
    ['path', 'log_likelihood', 'bits_per_dim']
    """
    record: dict[str, Any] = {
        "path": str(score.path),
        "log_likelihood": score.log_likelihood,
        "bits_per_dim": score.bits_per_dim,
        "unlike_training": score.unlike_training,
    }
    if score.of_classes:
        record["class_log_likelihood"] = {n: nats for n, (nats, _) in score.of_classes.items()}
        record["class_bits_per_dim"] = {n: bits for n, (_, bits) in score.of_classes.items()}
    return record
