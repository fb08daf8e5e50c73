"""A warm start takes over all that is for the same, and says what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pixelbayes.core import PixelCNN
from pixelbayes.models.warm_start import start_from

MakeNetwork = Callable[..., PixelCNN]
CLASSES = ("cat", "dog", "fox")


def log_prob(model: PixelCNN, labels: list[int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    levels = torch.randint(0, 256, (1, 3, 8, 8), generator=generator, dtype=torch.uint8)
    levels = levels.expand(len(labels), -1, -1, -1)
    return model(levels, torch.tensor(labels)).log_prob(levels).detach()


@pytest.mark.parametrize("fusion", ["gated", "joint", "film", "head"])
def test_classes_are_found_by_name(tiny_network: MakeNetwork, fusion: str) -> None:
    source, model = tiny_network(seed=0, fusion=fusion), tiny_network(seed=1, fusion=fusion)
    assert start_from(model, ("fox", "cat", "dog"), source, CLASSES) == []
    assert torch.equal(log_prob(model, [0, 1, 2]), log_prob(source, [2, 0, 1]))


def test_a_new_class_starts_as_the_mean_of_the_known_ones(tiny_network: MakeNetwork) -> None:
    source, model = tiny_network(seed=0), tiny_network(seed=1, classes=5)
    start_from(model, ("owl", "cat", "dog", "ape", "fox"), source, CLASSES)
    assert torch.equal(log_prob(model, [1, 2, 4]), log_prob(source, [0, 1, 2]))
    table = model.fusion.embedding.weight
    assert torch.equal(table[0], table[3])
    assert torch.equal(table[0], source.fusion.embedding.weight.mean(dim=0))


def test_views_start_without_effect(tiny_network: MakeNetwork) -> None:
    source = tiny_network(seed=0)
    model = PixelCNN(tiny_network(views=2).config).double().eval()
    assert start_from(model, CLASSES, source, CLASSES) == ["fusion.embedding.views"]
    assert torch.equal(log_prob(model, [0, 1, 2]), log_prob(source, [0, 1, 2]))


def test_another_fusion_starts_as_a_model_without_labels(tiny_network: MakeNetwork) -> None:
    source = tiny_network(seed=0, fusion="none")
    model = PixelCNN(tiny_network(fusion="film").config).double().eval()
    fresh = start_from(model, CLASSES, source, CLASSES)
    assert fresh
    assert all(name.startswith(("fusion.", "the label")) for name in fresh)
    torch.testing.assert_close(log_prob(model, [0, 1, 2]), log_prob(source, [0, 0, 0]))


def test_another_fusion_with_weights_of_the_same_names_takes_none_of_them(
    tiny_network: MakeNetwork,
) -> None:
    source = tiny_network(seed=0, fusion="gated")
    model = PixelCNN(tiny_network(fusion="gated-preact").config).double().eval()
    start_from(model, CLASSES, source, CLASSES)
    assert not any(weight.any() for weight in model.fusion.projections.parameters())
    assert torch.equal(model.fusion.embedding.weight, source.fusion.embedding.weight)


@pytest.mark.parametrize("fusion", ["early", "joint"])
def test_label_channels_of_another_scale_are_refused(
    tiny_network: MakeNetwork, fusion: str
) -> None:
    source = tiny_network(fusion=fusion, label_channels="undivided")
    with pytest.raises(ValueError, match="choose label_channels: undivided"):
        start_from(tiny_network(fusion=fusion), CLASSES, source, CLASSES)
    start_from(tiny_network(fusion="late"), CLASSES, tiny_network(fusion="late"), CLASSES)


def test_a_network_of_another_shape_is_refused(tiny_network: MakeNetwork) -> None:
    with pytest.raises(ValueError, match=r"choose its settings: features 6, not 8$"):
        start_from(tiny_network(features=8), CLASSES, tiny_network(features=6), CLASSES)
