"""Each objective's loss and gradient are those of its definition, computed by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.core.likelihood import DiscretizedLogisticMixture
from pixelbayes.errors import PixelBayesError
from pixelbayes.training import TrainingConfig
from pixelbayes.training.batches import Batch
from pixelbayes.training.objectives import (
    CrossEntropy,
    Hybrid,
    MaximumLikelihood,
    Negatives,
    Strength,
    make_objective,
    smoothed_targets,
)

CLASSES, DIMS = 4, 3 * 8 * 8
UNIT = DIMS * math.log(2.0)


class Described(DiscretizedLogisticMixture):
    """Stands for a description whose log p(x | y) is known."""

    def log_prob(self, levels: Tensor) -> Tensor:
        return self.logits


class Table(PixelCNN):
    """log p(x | y) is a table of numbers, so that gradients can be written down."""

    def __init__(self, table: Tensor) -> None:
        super().__init__(
            PixelCNNConfig(
                classes=CLASSES, image_size=(8, 8), features=2, blocks_per_stage=1, mixtures=1
            )
        )
        self.table = nn.Parameter(table)
        self.passes = 0

    def forward(self, levels: Tensor, labels: Tensor, view: int | Tensor = 0) -> Any:
        self.passes += 1
        images = levels[:, 0, 0, 0].long()  # the first level is the number of the image
        values = self.table[images, labels]
        return Described(values, values, values, values)

    def for_each_label(self, levels: Tensor, labels: Tensor, view: int | Tensor = 0) -> Any:
        repeated = levels.repeat_interleave(len(labels), dim=0)
        return self(repeated, labels.repeat(len(levels)))


@pytest.fixture
def table() -> Table:
    generator = torch.Generator().manual_seed(0)
    return Table(-700.0 + 12.0 * torch.randn(5, CLASSES, generator=generator, dtype=torch.float64))


def batch(**changes: Any) -> Batch:
    levels = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    levels[:, 0, 0, 0] = torch.arange(5)
    weights = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    return Batch(levels, torch.tensor([0, 3, 1, 1, 2]), weights, 4)._replace(**changes)


def one_hot(labels: Tensor) -> Tensor:
    return nn.functional.one_hot(labels, CLASSES).double()


def hybrid(strength: float = 8.0, rise: tuple[float, float] = (0.0, 0.0), **changes: Any) -> Hybrid:
    return Hybrid(Strength(strength, rise), **{"classes": CLASSES, "temperature": 10.0, **changes})


def test_the_gradient_of_maximum_likelihood_is_the_share_of_a_dimension(table: Table) -> None:
    loss = MaximumLikelihood()(table, batch())
    loss.total.backward()

    weights = batch().weights.double()
    own = table.table.detach().gather(1, batch().labels[:, None])[:, 0]
    assert loss.total.item() == pytest.approx(-(own * weights).sum().item() / UNIT)
    assert loss.nats.item() == pytest.approx(-(own * weights).sum().item())
    assert loss.cross_entropy is None
    assert table.table.grad is not None
    torch.testing.assert_close(table.table.grad, -one_hot(batch().labels) * weights[:, None] / UNIT)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("temperature", [1.0, 10.0, 37.0])
def test_the_gradient_of_the_hybrid_is_that_of_its_definition(
    table: Table, smoothing: float, temperature: float
) -> None:
    prior = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log()
    objective = hybrid(temperature=temperature, label_smoothing=smoothing, log_prior=prior)
    loss = objective(table, batch())
    loss.total.backward()

    weights, own = batch().weights.double()[:, None], one_hot(batch().labels)
    posterior = torch.softmax(table.table.detach() / temperature + prior, dim=1)
    target = own * (1.0 - smoothing) + smoothing / CLASSES
    expected = -(own + 8.0 * (target - posterior)) * weights / UNIT
    assert table.table.grad is not None
    torch.testing.assert_close(table.table.grad, expected, rtol=1e-6, atol=1e-12)
    weight = 8.0 * temperature / UNIT
    value = -(own * table.table.detach()).sum(1) / UNIT - weight * (target * posterior.log()).sum(1)
    assert loss.total.item() == pytest.approx((value * weights[:, 0]).sum().item(), rel=1e-6)


def test_a_window_is_asked_as_if_the_rest_of_its_image_spoke_alike(table: Table) -> None:
    """D' = D / 2: its bits/dim count over D', and its classes are told apart at T / 2."""
    whole, part = batch(), batch(levels=batch().levels[:, :, :4])

    loss = hybrid(8.0)(Table(table.table.detach() * 2.0), whole)
    table.zero_grad()
    halved = hybrid(8.0)(table, part)
    halved.total.backward()

    assert halved.total.item() == pytest.approx(loss.total.item(), rel=1e-9)
    assert halved.cross_entropy is not None
    assert loss.cross_entropy is not None
    assert halved.cross_entropy.item() == pytest.approx(loss.cross_entropy.item(), rel=1e-9)
    posterior = torch.softmax(table.table.detach() / 5.0, dim=1)
    own = one_hot(part.labels)
    expected = -(own + 8.0 * (own - posterior)) * part.weights.double()[:, None] / (UNIT / 2)
    torch.testing.assert_close(table.table.grad, expected, rtol=1e-6, atol=1e-12)
    likelihood = MaximumLikelihood()(table, part)
    assert likelihood.total.item() == pytest.approx(likelihood.nats.item() / (UNIT / 2))


def test_the_parts_are_logged_apart_and_without_gradient(table: Table) -> None:
    loss = hybrid(label_smoothing=0.2)(table, batch())

    log_posterior = torch.log_softmax(table.table.detach() / 10.0, dim=1)
    own, weights = one_hot(batch().labels), batch().weights.double()
    assert loss.cross_entropy is not None
    assert not loss.cross_entropy.requires_grad
    assert not loss.nats.requires_grad
    expected = -((own * log_posterior).sum(1) * weights).sum()
    assert loss.cross_entropy.item() == pytest.approx(expected.item(), rel=1e-6)
    likelihood = MaximumLikelihood()(table, batch())
    assert loss.nats.item() == pytest.approx(likelihood.nats.item())


@pytest.mark.parametrize("learned", [False, True])
def test_what_is_measured_is_what_is_minimised_at_full_strength(
    table: Table, learned: bool
) -> None:
    objective = hybrid(rise=(0.0, 0.5), learn_temperature=learned)
    whole = batch(weights=torch.ones(5), global_count=5)
    measured = objective.measured(table.table.detach(), whole.labels, table.config.dims)
    expected = objective(table, whole, progress=1.0).total
    assert measured.sum().item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("temperature", [5.0, 50.0])
@pytest.mark.parametrize("learned", [False, True])
def test_strength_is_the_pull_of_the_cross_entropy_against_that_of_the_likelihood(
    table: Table, temperature: float, learned: bool
) -> None:
    """r = lambda D ln 2 / T: with a posterior of 0 for the true class the pulls have that ratio."""
    with torch.no_grad():
        table.table[0, 0] = -1e5
    objective = hybrid(21.0, temperature=temperature, learn_temperature=learned)
    only_first = batch(weights=torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]))
    gradients = []
    for judged in (objective, MaximumLikelihood()):
        table.zero_grad()
        judged(table, only_first).total.backward()
        assert table.table.grad is not None
        gradients.append(table.table.grad[0, 0].item())
    assert gradients[0] / gradients[1] == pytest.approx(1.0 + 21.0, rel=1e-6)


def test_strength_zero_is_maximum_likelihood(table: Table) -> None:
    for objective in (hybrid(0.0), hybrid(8.0, (0.5, 0.75))):
        assert objective(table, batch(), progress=0.3).total.item() == pytest.approx(
            MaximumLikelihood()(table, batch()).total.item()
        )


def test_the_gradient_of_a_learned_temperature_is_that_of_the_cross_entropy_alone(
    table: Table,
) -> None:
    objective = hybrid(learn_temperature=True).double()
    objective(table, batch()).total.backward()

    log_temperature = torch.tensor(math.log(10.0), dtype=torch.float64, requires_grad=True)
    posterior = torch.log_softmax(table.table.detach() / log_temperature.exp(), dim=1)
    cross_entropy = -(one_hot(batch().labels) * posterior).sum(1) @ batch().weights.double()
    (cross_entropy * 80.0 / UNIT).backward()
    assert objective.log_temperature is not None
    assert objective.log_temperature.grad is not None
    assert log_temperature.grad is not None
    assert objective.log_temperature.grad.item() == pytest.approx(
        log_temperature.grad.item(), rel=1e-6
    )
    assert not list(hybrid().parameters())


@pytest.mark.parametrize("fusion", ["late", "gated"])
def test_the_exact_cross_entropy_equals_one_pass_for_each_class(
    tiny_network: Any, random_levels: Any, fusion: str
) -> None:
    network = tiny_network(fusion=fusion, dropout=0.0).train()
    levels, labels = random_levels(3, network.config), torch.tensor([2, 0, 1])
    loss = Hybrid(Strength(8.0), classes=3, temperature=20.0)(
        network, Batch(levels, labels, torch.ones(3), 3)
    )
    passes = [network(levels, torch.full((3,), label)).log_prob(levels) for label in range(3)]
    expected = nn.functional.cross_entropy(torch.stack(passes, 1) / 20.0, labels, reduction="sum")
    assert loss.cross_entropy is not None
    torch.testing.assert_close(loss.cross_entropy, expected.detach(), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("negatives", [None, Negatives(2)])
def test_every_objective_describes_an_image_in_the_view_it_is_shown_in(
    tiny_network: Any, random_levels: Any, negatives: Negatives | None
) -> None:
    network = tiny_network(views=2)
    levels, labels, views = random_levels(3, network.config), *torch.tensor([[2, 0, 1], [0, 1, 1]])
    shown = Batch(levels, labels, torch.ones(3), 3, view=views)
    own = network(levels, labels, views).log_prob(levels).sum()
    for objective in (
        MaximumLikelihood(),
        Hybrid(Strength(8.0), classes=3, negatives=negatives),
    ):
        assert objective(network, shown).nats.item() == pytest.approx(-own.item())


@pytest.mark.parametrize("random", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_wrong_classes_as_negatives_are_exact(
    table: Table, random: float, smoothing: float
) -> None:
    gradients, losses = [], []
    for negatives in (None, Negatives(CLASSES - 1, random), Negatives(99, random)):
        table.zero_grad()
        loss = hybrid(negatives=negatives, label_smoothing=smoothing)(table, batch())
        loss.total.backward()
        assert table.table.grad is not None
        gradients.append(table.table.grad.clone())
        losses.append(loss.total.detach())
    for gradient, loss in zip(gradients[1:], losses[1:], strict=True):
        torch.testing.assert_close(gradient, gradients[0])
        torch.testing.assert_close(loss, losses[0])


def test_the_sum_over_chosen_classes_is_unbiased() -> None:
    """Averaged over all draws, e^l of the chosen ones, times how often they count, is the sum."""
    torch.manual_seed(0)
    logits = torch.tensor([[0.3, -1.0, 0.8, -0.2, 0.5, -2.0]]).double().expand(20_000, -1)
    labels = torch.full((20_000,), 4)
    chosen, counts = Negatives(3, random=2 / 3).choose(logits, labels, 6)
    assert chosen[:, 0].eq(4).all(), "the true class comes first"
    assert chosen[:, 1].eq(2).all(), "then the most probable wrong one"
    assert counts.tolist() == [1.0, 1.0, 2.0, 2.0]
    assert all(len(set(row)) == 4 for row in chosen[:100].tolist()), "no class twice"
    sums = (logits.gather(1, chosen).exp() * counts).sum(1)
    error = sums.std() / math.sqrt(len(sums))
    assert abs(sums.mean() - logits[0].exp().sum()) < 4 * error


def test_the_most_probable_negatives_alone_bound_the_cross_entropy_from_below(
    table: Table,
) -> None:
    exact = hybrid()(table, batch()).cross_entropy
    bound = hybrid(negatives=Negatives(2, random=0.0))(table, batch()).cross_entropy
    assert exact is not None
    assert bound is not None
    assert 0.8 * exact < bound < exact, "the third wrong class matters little"


def test_random_negatives_need_no_ranking(table: Table) -> None:
    hybrid(negatives=Negatives(1, random=1.0))(table, batch())
    assert table.passes == 1


def test_the_gradient_of_the_cross_entropy_is_that_of_torch() -> None:
    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            values = torch.randn(5, CLASSES, generator=generator, dtype=torch.float64)
            self.values = nn.Parameter(values)

        def forward(self, levels: Tensor) -> Tensor:
            return torch.log_softmax(self.values, dim=1)

    network = Logits()
    loss = CrossEntropy(label_smoothing=0.1)(network, batch())
    loss.total.backward()
    assert network.values.grad is not None
    gradient = network.values.grad.clone()
    expected = nn.functional.cross_entropy(
        network.values, batch().labels, reduction="none", label_smoothing=0.1
    )
    (expected_gradient,) = torch.autograd.grad(expected @ batch().weights.double(), network.values)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-12)


def test_soft_labels_of_a_teacher_take_the_place_of_labels(table: Table) -> None:
    soft = torch.softmax(torch.arange(20.0).view(5, 4).cos(), dim=1)
    objective = hybrid()
    objective(table, batch(soft_labels=soft)).total.backward()
    posterior = torch.softmax(table.table.detach() / 10.0, dim=1)
    own, weights = one_hot(batch().labels), batch().weights.double()[:, None]
    expected = -(own + 8.0 * (soft.double() - posterior)) * weights / UNIT
    assert table.table.grad is not None
    torch.testing.assert_close(table.table.grad, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Strength(-1.0), "a strength is 0 or more"),
        (lambda: Strength(1.0, (0.5, 0.2)), "0 <= a <= b <= 1"),
        (lambda: Negatives(0), "negatives are 1 or more classes"),
        (lambda: Negatives(1, 1.5), r"share of random ones in \[0, 1\]"),
        (lambda: hybrid(temperature=0.0), "the temperature is positive"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@given(shift=st.floats(-900.0, 900.0), temperature=st.floats(0.5, 100.0))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_what_all_classes_share_moves_the_likelihood_and_no_decision(
    shift: float, temperature: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    values = -700.0 + 12.0 * torch.randn(5, CLASSES, generator=generator, dtype=torch.float64)
    objective = hybrid(temperature=temperature)
    plain, shifted = (objective(Table(table), batch()) for table in (values, values + shift))
    assert plain.cross_entropy is not None
    assert shifted.cross_entropy is not None
    assert shifted.cross_entropy.item() == pytest.approx(plain.cross_entropy.item(), abs=1e-3)
    assert (plain.nats - shifted.nats).item() == pytest.approx(4 * shift, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_cross_entropy_pulls_as_much_up_as_down(table: Table, smoothing: float) -> None:
    """Its gradient sums to zero over the classes of an image: only the likelihood lifts all."""
    hybrid(label_smoothing=smoothing)(table, batch()).total.backward()
    assert table.table.grad is not None
    torch.testing.assert_close(
        table.table.grad.sum(dim=1), -batch().weights.double() / UNIT, rtol=1e-6, atol=1e-12
    )


@given(
    final=st.floats(0.0, 100.0),
    rise=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)).map(sorted).map(tuple),
    progress=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6).map(sorted),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_a_strength_rises_from_nothing_to_its_end_and_never_falls(
    final: float, rise: tuple[float, float], progress: list[float]
) -> None:
    strength = Strength(final, rise)
    reached = [strength.at(share) for share in progress]
    assert reached == sorted(reached)
    assert 0.0 <= reached[0] <= reached[-1] <= final
    assert strength.at(1.0) == final
    if 0.0 < rise[0] < rise[1]:
        assert strength.at(rise[0]) == 0.0


@given(smoothing=st.floats(0.0, 0.99), seed=st.integers(0, 99), taught=st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_targets_are_probabilities_that_still_prefer_what_was_said(
    smoothing: float, seed: int, taught: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    soft = torch.softmax(torch.randn(5, CLASSES, generator=generator), dim=1) if taught else None
    targets = smoothed_targets(batch(soft_labels=soft), CLASSES, smoothing)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(5))
    assert targets.min() >= smoothing / CLASSES - 1e-6
    said = batch().labels if soft is None else soft.argmax(dim=1)
    assert targets.argmax(dim=1).equal(said)


@given(count=st.integers(1, 9), random=st.floats(0.0, 1.0), classes=st.integers(2, 8))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_chosen_classes_stand_for_all(count: int, random: float, classes: int) -> None:
    torch.manual_seed(0)
    labels = torch.arange(6) % classes
    logits = torch.randn(6, classes)
    chosen, counts = Negatives(count, random).choose(logits, labels, classes)
    assert chosen.shape == (6, 1 + min(count, classes - 1))
    assert chosen[:, 0].equal(labels)
    assert all(len(set(row)) == len(row) for row in chosen.tolist()), "no class twice"
    wrong = counts[1:].sum().item()
    # As many wrong classes as there are, or fewer where none is drawn that could count for others.
    assert wrong == pytest.approx(classes - 1) or (wrong < classes - 1 and counts.eq(1).all())


@pytest.mark.parametrize(
    ("settings", "is_density", "kind"),
    [
        ({}, True, MaximumLikelihood),
        ({"objective": "hybrid"}, True, Hybrid),
        ({"label_smoothing": 0.1}, False, CrossEntropy),
    ],
)
def test_a_configuration_names_its_objective(
    settings: dict[str, Any], is_density: bool, kind: type
) -> None:
    made = make_objective(TrainingConfig(**settings), classes=3, is_density=is_density)
    assert type(made) is kind


def test_a_hybrid_is_made_as_it_was_configured() -> None:
    settings = TrainingConfig(
        objective="hybrid",
        strength=12.0,
        strength_rise=(0.1, 0.4),
        temperature=25.0,
        learn_temperature=True,
        label_smoothing=0.2,
        negatives=2,
    )
    made = make_objective(settings, classes=3, is_density=True)
    assert isinstance(made, Hybrid)
    assert made.strength == Strength(12.0, (0.1, 0.4))
    assert torch.as_tensor(made.temperature).item() == pytest.approx(25.0)
    assert (made.label_smoothing, made.negatives) == (0.2, Negatives(2))
    with pytest.raises(PixelBayesError, match="needs a likelihood"):
        make_objective(settings, classes=3, is_density=False)
