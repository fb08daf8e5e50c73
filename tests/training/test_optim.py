"""Steps, rates and averages are their formulas, computed by hand beside them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pixelbayes.training import OptimConfig
from pixelbayes.training.objectives import Hybrid, MaximumLikelihood, Strength
from pixelbayes.training.optim import MovingAverage, learning_rate_factor, make_optimizer

STEPS = 5
GRADIENTS = [torch.tensor([0.5, -2.0, 0.0]) * (step + 1) for step in range(STEPS)]


class Vector(nn.Module):
    """A network of one vector."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64))


def trained(**chosen: Any) -> Tensor:
    """The vector after `STEPS` given gradients."""
    network = Vector()
    optimizer = make_optimizer(OptimConfig(**chosen), network, MaximumLikelihood())
    for gradient in GRADIENTS:
        network.weight.grad = gradient.double()
        optimizer.step()
    return network.weight.detach()


def adam_by_hand(lr: float, betas: tuple[float, float], decay: float, *, decoupled: bool) -> Tensor:
    """Kingma & Ba, Adam, ICLR 2015, algorithm 1; Loshchilov & Hutter, ICLR 2019, for the decay."""
    w = Vector().weight.detach().clone()
    first, second = torch.zeros_like(w), torch.zeros_like(w)
    for t, gradient in enumerate(GRADIENTS, start=1):
        g = gradient.double()
        if decoupled:
            w = w - lr * decay * w
        else:
            g = g + decay * w
        first = betas[0] * first + (1 - betas[0]) * g
        second = betas[1] * second + (1 - betas[1]) * g * g
        mean, square = first / (1 - betas[0] ** t), second / (1 - betas[1] ** t)
        w = w - lr * mean / (square.sqrt() + 1e-8)
    return w


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_is_its_algorithm_and_adamw_decays_beside_it(name: str, decay: float) -> None:
    expected = adam_by_hand(0.01, (0.9, 0.99), decay, decoupled=name == "adamw")
    got = trained(optimizer=name, lr=0.01, betas=(0.9, 0.99), weight_decay=decay)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_nesterovs_where_there_is_momentum(momentum: float) -> None:
    w, velocity = Vector().weight.detach().clone(), torch.zeros(3, dtype=torch.float64)
    for gradient in GRADIENTS:
        velocity = momentum * velocity + gradient.double()
        w = w - 0.1 * (gradient.double() + momentum * velocity)
    got = trained(optimizer="sgd", lr=0.1, momentum=momentum, weight_decay=0.0)
    torch.testing.assert_close(got, w)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_learned_temperature_is_trained_and_not_decayed(name: str) -> None:
    objective = Hybrid(Strength(4.0), classes=2, learn_temperature=True)
    optimizer = make_optimizer(
        OptimConfig(optimizer=name, lr=0.1, weight_decay=0.5), Vector(), objective
    )
    (learned,) = objective.parameters()
    before = learned.detach().clone()
    learned.grad = torch.zeros_like(learned)
    optimizer.step()
    assert torch.equal(learned, before)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]


@given(
    step=st.integers(0, 500),
    warm=st.integers(0, 50),
    schedule=st.sampled_from(["constant", "exponential", "cosine"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_rate_is_never_above_its_start_nor_below_zero(
    step: int, warm: int, schedule: str
) -> None:
    optim = OptimConfig(schedule=schedule, warmup_steps=warm, lr_decay_per_step=0.999)
    assert 0.0 <= learning_rate_factor(optim, step, total_steps=500) <= 1.0


@given(warm=st.integers(1, 40), total=st.integers(60, 300))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_warm_up_rises_in_equal_steps_and_what_follows_falls(warm: int, total: int) -> None:
    optim = OptimConfig(schedule="cosine", warmup_steps=warm)
    factors = [learning_rate_factor(optim, step, total) for step in range(total + 1)]
    assert factors[:warm] == pytest.approx([(step + 1) / warm for step in range(warm)])
    assert factors[warm:] == sorted(factors[warm:], reverse=True)
    assert factors[-1] == 0.0


def test_a_constant_rate_is_one_from_the_first_step_on() -> None:
    assert {learning_rate_factor(OptimConfig(), step, 9) for step in range(9)} == {1.0}


def test_after_its_last_step_a_cosine_stays_at_zero() -> None:
    assert learning_rate_factor(OptimConfig(schedule="cosine"), 250, total_steps=100) == 0.0


@pytest.mark.parametrize("start", [0, 3, 100])
def test_the_average_is_the_weighted_sum_of_all_weights_so_far(start: int) -> None:
    """By its recursion, with the decay of each step; `start`: after a resumed run's steps."""
    generator = torch.Generator().manual_seed(0)
    network = Vector()
    average = MovingAverage(network, decay=0.97)
    expected = network.weight.detach().clone()
    for step in range(start, start + 6):
        with torch.no_grad():
            network.weight.copy_(torch.randn(3, generator=generator, dtype=torch.float64))
        average.update(network, step)
        decay = min(0.97, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.weight.detach()
    torch.testing.assert_close(average.module.weight, expected)


@given(step=st.integers(0, 10_000), decay=st.floats(0.5, 0.9999))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_average_forgets_its_start_and_is_never_slower_than_asked(
    step: int, decay: float
) -> None:
    average = MovingAverage(Vector(), decay)
    assert average.decay_at(0) == 0.1
    assert average.decay_at(step) <= decay
    assert average.decay_at(step) <= average.decay_at(step + 1)


def test_following_weights_that_stand_still_changes_nothing() -> None:
    network = Vector()
    average = MovingAverage(network, 0.9)
    for step in range(4):
        average.update(network, step)
    torch.testing.assert_close(average.module.weight, network.weight)
    assert math.isclose(float(average.module.weight.sum()), 2.0)
