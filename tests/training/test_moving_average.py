from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pixelbayes.training.optim import MovingAverage


def shifted(model: nn.Linear, by: float) -> nn.Linear:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by)
    return model


def test_a_warm_average_is_that_of_torch() -> None:
    model = nn.Linear(3, 2)
    ours = MovingAverage(model, decay=0.9)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.update_parameters(model)  # its first update copies

    for step in range(1000, 1005):
        shifted(model, 0.5)
        ours.update(model, step)
        theirs.update_parameters(model)

    assert torch.equal(ours.module.weight, theirs.module.weight)


def test_the_first_updates_forget_the_start_quickly() -> None:
    average = MovingAverage(nn.Linear(3, 2), decay=0.9995)

    decays = [average.decay_at(step) for step in (0, 8, 10**6)]

    assert decays == pytest.approx([0.1, 0.5, 0.9995])


def test_running_statistics_are_averaged_like_weights_and_counts_copied() -> None:
    model = nn.BatchNorm1d(2)
    average = MovingAverage(model, decay=0.9)
    model(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))

    average.update(model, step=1000)

    torch.testing.assert_close(average.module.running_mean, 0.1 * model.running_mean)
    assert average.module.num_batches_tracked == model.num_batches_tracked == 1


def test_the_average_is_not_trained() -> None:
    average = MovingAverage(nn.Linear(3, 2), decay=0.9)

    assert not any(parameter.requires_grad for parameter in average.parameters())
