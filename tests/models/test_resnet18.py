from __future__ import annotations

import sys

import pytest
import torch
from pixelbayes.models.resnet18 import smallest_batch
from torch import Tensor

from pixelbayes.models import BaselineError, ResNet18

pytest.importorskip("monai", reason="the extra baselines is not installed")


def noise(batch: int, channels: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, channels, *size), generator=generator).to(torch.uint8)


@pytest.fixture(scope="module")
def network() -> ResNet18:
    torch.manual_seed(0)
    return ResNet18(classes=4, channels=3).double().eval()


def test_class_probabilities_sum_to_one(network: ResNet18) -> None:
    log_proba = network(noise(3, 3, (16, 16)))

    assert log_proba.shape == (3, 4)
    torch.testing.assert_close(log_proba.exp().sum(dim=1), torch.ones(3, dtype=torch.float64))


def test_the_stem_keeps_the_resolution_so_the_last_stage_sees_an_eighth(network: ResNet18) -> None:
    seen: list[torch.Size] = []
    hook = network.network.layer4.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.shape)
    )

    network(noise(1, 3, (32, 32)))
    hook.remove()

    assert seen == [torch.Size((1, 512, 4, 4))]


def test_black_and_white_reach_the_network_as_minus_one_and_one(network: ResNet18) -> None:
    seen: list[Tensor] = []
    hook = network.network.conv1.register_forward_pre_hook(
        lambda _module, inputs: seen.append(inputs[0])
    )

    network(torch.tensor([0, 255, 0], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 8, 8))
    hook.remove()

    assert seen[0][0, :, 0, 0].tolist() == [-1.0, 1.0, -1.0]


def test_odd_sizes_and_grey_images_are_classified() -> None:
    assert ResNet18(classes=2, channels=1).eval()(noise(1, 1, (9, 13))).shape == (1, 2)


@pytest.mark.parametrize(
    "levels", [torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)]
)
def test_what_are_no_levels_is_refused(network: ResNet18, levels: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected levels, uint8 \(B, 3, H, W\), got torch"):
        network(levels)


def test_numbers_that_are_not_accepted_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, got 4 and 2"):
        ResNet18(classes=4, channels=2)


def test_the_smallest_batch_is_what_batch_normalisation_can_be_trained_on() -> None:
    network = ResNet18(classes=2, channels=1).train()

    assert [smallest_batch(size) for size in ((8, 8), (9, 8), (32, 32))] == [2, 1, 1]
    network(noise(2, 1, (8, 8)))
    network(noise(1, 1, (9, 8)))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(noise(1, 1, (8, 8)))


def test_without_monai_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai.networks.nets.resnet", None)

    with pytest.raises(BaselineError, match=r"pip install 'pixelbayes\[baselines\]'"):
        ResNet18(classes=2, channels=1)
