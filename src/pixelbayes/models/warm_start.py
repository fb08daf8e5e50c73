"""A training that starts from another's weights: a second phase, or a user's few images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pixelbayes.core import PixelCNN
from pixelbayes.core.fusion import ConditionEmbedding
from pixelbayes.errors import PixelBayesError

__all__ = ["start_from"]

MAY_BE_NEW = ("fusion.", "attention.", "head.")
"""Parts that a network may have and its source not; they keep their first weights."""
SHAPING = ("features", "blocks_per_stage", "mixtures", "channels", "fusion", "embedding")
"""Settings of what every network has; the last two shape the first layer of some fusions only."""


@torch.no_grad()
def start_from(
    model: PixelCNN, classes: Sequence[str], source: PixelCNN, source_classes: Sequence[str]
) -> list[str]:
    """Gives a network the weights of another one, as far as they are for the same.

    A class of the same name keeps its embedding; a new one starts as the mean of all.  What only
    this network has (another fusion, attention, a head, views) starts as it is, which for fusions
    and views is without effect.

    Args:
        model: The network, with its first weights; changed in place.
        classes: Its class names.
        source: The trained one.
        source_classes: Class names of the trained one.

    Returns:
        Names of the weights that were not taken over.

    Raises:
        ValueError: If the two differ in what every network has, such as its width.
    """
    ways = model.config.label_channels, source.config.label_channels
    if ways[0] != ways[1] and {model.config.fusion, source.config.fusion} & {"early", "joint"}:
        raise PixelBayesError(
            f"the weights to start from read label channels that are {ways[1]}, this network reads "
            f"them {ways[0]}, so that they would mean something else; choose label_channels: "
            f"{ways[1]}"
        )
    given = source.state_dict()
    if model.config.fusion != source.config.fusion:  # equal names may mean other things there
        given = {name: w for name, w in given.items() if not name.startswith("fusion.")}
    fresh, different = [], []
    for name, weight in model.state_dict().items():
        if name.endswith("embedding.weight"):
            continue
        other = given.get(name)
        if other is not None and other.shape == weight.shape:
            weight.copy_(other)
        elif name.startswith(MAY_BE_NEW):
            fresh.append(name)
        else:
            different.append(name)
    if different:
        theirs, ours = vars(source.config), vars(model.config)
        choices = [
            f"{name} {theirs[name]}, not {ours[name]}"
            for name in SHAPING
            if theirs[name] != ours[name]
        ]
        raise PixelBayesError(
            "the weights to start from are of a network of another shape; choose its settings: "
            + ("; ".join(choices) or ", ".join(different))
        )
    table = _embedding(model)
    if table is None:
        return fresh
    trained = _embedding(source)
    if trained is None or trained.shape[1] != table.shape[1]:
        return [*fresh, "the label's embedding"]
    known = {name: row for row, name in enumerate(source_classes)}
    for row, name in enumerate(classes):
        table[row] = trained[known[name]] if name in known else trained.mean(dim=0)
    return fresh


def _embedding(model: PixelCNN) -> Tensor | None:
    """The labels' vectors, (K, d), which several parts of a fusion may share."""
    tables = [m.weight for m in model.modules() if isinstance(m, ConditionEmbedding)]
    return tables[0] if tables else None
