"""Claims about sets of classes: coverage, agreement with MAPIE, and what is stored."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pixelbayes.evaluation.conformal import (
    SCORES,
    ConformalSets,
    conformal_rank,
    empirical_coverage,
    fit_classwise_sets,
    fit_sets,
    rank_coverage,
    set_size,
)


def predictions(n: int, seed: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """log p(y | x) of four classes, wrong by a temperature, and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3.0 * torch.randn(n, 4, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=generator)[:, 0]
    return torch.log_softmax(temperature * logits, dim=1), labels


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_sets_hold_the_true_class_as_often_as_stated_even_of_an_overconfident_model(
    score: str, coverage: float, temperature: float
) -> None:
    log_proba, labels = predictions(400, seed=0, temperature=temperature)
    generator = torch.Generator().manual_seed(1)
    shares = []
    for _ in range(200):
        order = torch.randperm(400, generator=generator)
        fit, test = order[:200], order[200:]
        sets = fit_sets(log_proba[fit], labels[fit], coverage=coverage, score=score)
        shares.append(empirical_coverage(sets(log_proba[test]), labels[test]).value)
    assert sum(shares) / 200 == pytest.approx(100 * coverage, abs=1.0)


@pytest.mark.parametrize("score", SCORES)
def test_class_wise_sets_cover_every_class_where_common_ones_do_not(score: str) -> None:
    # The model hardly believes in class 3.
    def biased(n: int, seed: int) -> tuple[Tensor, Tensor]:
        log_proba, labels = predictions(n, seed)
        handicap = torch.tensor([0.0, 0.0, 0.0, -3.0], dtype=torch.float64)
        return torch.log_softmax(log_proba + handicap, dim=1), labels

    log_proba, labels = biased(4000, seed=0)
    new, true = biased(4000, seed=1)
    common = fit_sets(log_proba, labels, score=score)(new)
    classwise = fit_classwise_sets(log_proba, labels, score=score)(new)

    of_class = [true == y for y in range(4)]
    assert empirical_coverage(common[of_class[3]], true[of_class[3]]).high < 85
    for chosen in of_class:
        covered = empirical_coverage(classwise[chosen], true[chosen]).value
        # More only where a class is so often the last one that the scores are equal.
        assert covered == pytest.approx(90, abs=3) or (score == "aps" and covered > 90)


class _Given:
    """A classifier whose input are probabilities, for MAPIE."""

    def __new__(cls) -> object:
        base = pytest.importorskip("sklearn.base")

        class Given(base.ClassifierMixin, base.BaseEstimator):
            def fit(self, x: object = None, y: object = None) -> Given:
                self.classes_ = np.arange(4)
                return self

            def predict_proba(self, x: np.ndarray) -> np.ndarray:
                return x

            def predict(self, x: np.ndarray) -> np.ndarray:
                return x.argmax(axis=1)

        return Given().fit()


class _NoRandomShare(np.random.RandomState):
    def uniform(self, *_: object, size: int, **__: object) -> np.ndarray:
        return np.zeros(size)


def mapie_sets(
    score: str, coverage: float, fitted_on: tuple[Tensor, Tensor], new: Tensor
) -> Tensor:
    classification = pytest.importorskip("mapie.classification")
    model = classification.SplitConformalClassifier(
        _Given(), coverage, score, prefit=True, random_state=_NoRandomShare()
    )
    model.conformalize(fitted_on[0].exp().numpy(), fitted_on[1].numpy())
    parameters = {"include_last_label": True} if score == "aps" else None
    return torch.from_numpy(model.predict_set(new.exp().numpy(), parameters)[1][:, :, 0])


@pytest.mark.parametrize("coverage", [0.7, 0.9, 0.98])
@pytest.mark.parametrize("n", [99, 200])
def test_lac_sets_are_those_of_mapie(coverage: float, n: int) -> None:
    drawn, (new, _) = predictions(n, seed=2), predictions(300, seed=3)
    expected = mapie_sets("lac", coverage, drawn, new)
    assert torch.equal(fit_sets(*drawn, coverage=coverage, score="lac")(new), expected)


def test_the_aps_score_is_the_probability_of_the_more_probable_classes() -> None:
    log_proba = torch.tensor([[0.1, 0.6, 0.0, 0.3], [0.25, 0.25, 0.25, 0.25]]).double().log()
    expected = torch.tensor([[0.9, 0.0, 1.0, 0.6], [0.0, 0.25, 0.5, 0.75]]).double()
    torch.testing.assert_close(SCORES["aps"](log_proba), expected)


@pytest.mark.parametrize("coverage", [0.7, 0.9, 0.99])
def test_aps_sets_at_the_threshold_of_mapie_are_those_of_mapie(coverage: float) -> None:
    """Its score has the share of y as well; its sets end with the class that passes it."""
    (log_proba, labels), (new, _) = predictions(200, seed=2), predictions(300, seed=3)
    probability = log_proba.exp()
    of_true = probability.gather(1, labels[:, None])[:, 0]
    with_true = SCORES["aps"](log_proba).gather(1, labels[:, None])[:, 0] + of_true
    threshold = float(with_true.sort().values[conformal_rank(200, coverage) - 1])

    found = ConformalSets("aps", coverage, (threshold,) * 4, (200,) * 4)(new)

    assert torch.equal(found, mapie_sets("aps", coverage, (log_proba, labels), new))


@pytest.mark.parametrize("coverage", [0.3, 0.7, 0.9])
def test_an_aps_set_holds_the_most_probable_class_and_sets_grow_with_doubt(coverage: float) -> None:
    drawn, (new, _) = predictions(400, seed=2), predictions(1000, seed=3)
    sets = fit_sets(*drawn, coverage=coverage, score="aps")(new)
    confidence, top = new.exp().max(dim=1)
    assert sets.gather(1, top[:, None]).all()
    sure, size = confidence > confidence.median(), sets.sum(dim=1).double()
    assert size[sure].mean() <= size[~sure].mean()


def test_the_threshold_is_the_score_of_the_conformal_rank() -> None:
    # Nine images: coverage 0.8 takes rank 8 of their scores 1..9.
    log_true = -torch.arange(1.0, 10.0, dtype=torch.float64)
    log_proba = torch.stack([log_true, torch.log(-torch.expm1(log_true))], dim=1)

    sets = fit_sets(log_proba, torch.zeros(9, dtype=torch.int64), coverage=0.8)

    assert sets.thresholds == (pytest.approx(8.0),) * 2
    assert sets.n == (9, 9)


@pytest.mark.parametrize(("n", "coverage", "rank"), [(9, 0.8, 8), (19, 0.95, 19), (99, 0.9, 90)])
def test_rounding_costs_no_rank(n: int, coverage: float, rank: int) -> None:
    assert conformal_rank(n, coverage) == conformal_rank(n, 1 - (1 - coverage)) == rank


def test_too_few_images_for_the_coverage_put_every_class_into_every_set() -> None:
    sets = fit_sets(*predictions(5, seed=0), coverage=0.9)
    assert sets(predictions(10, seed=1)[0]).all()


def test_a_class_without_images_is_in_every_class_wise_set() -> None:
    log_proba, labels = predictions(200, seed=0)
    kept = labels != 2
    sets = fit_classwise_sets(log_proba[kept], labels[kept])
    assert sets.n[2] == 0
    assert sets(log_proba)[:, 2].all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "best"}, "unknown score 'best'; choose one of: lac, aps"),
        ({"coverage": 90}, "coverage is a probability between 0 and 1, got 90"),
        ({"n": (3,)}, "one entry per class, got 4 and 1"),
        ({"thresholds": (math.nan,) * 4}, "a threshold is a number"),
    ],
)
def test_numbers_that_are_no_sets_are_refused(change: dict, message: str) -> None:
    sets = fit_sets(*predictions(30, seed=0))
    with pytest.raises(ValueError, match=message):
        replace(sets, **change)


def test_sets_of_other_classes_are_refused() -> None:
    sets = fit_sets(*predictions(30, seed=0))
    with pytest.raises(ValueError, match=r"sets are of 4 classes, .* shape \(2, 3\)"):
        sets(torch.full((2, 3), 1 / 3).log())


def test_the_coverage_of_one_threshold_lies_in_its_interval_95_times_in_100() -> None:
    uniform = torch.rand(2000, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rank = conformal_rank(50, 0.9)
    # The coverage of a uniform score by a threshold is that threshold.
    coverage = 100 * uniform.sort(dim=1).values[:, rank - 1]
    stated = rank_coverage(50, rank)
    inside = ((coverage >= stated.low) & (coverage <= stated.high)).double().mean()
    assert float(inside) == pytest.approx(0.95, abs=0.015)
    assert stated.value == pytest.approx(float(coverage.mean()), abs=0.3)


def test_a_rank_beyond_all_scores_covers_everything() -> None:
    assert rank_coverage(5, 6).low == 100.0


def test_the_size_of_a_set_is_the_number_of_its_classes() -> None:
    sets = torch.tensor([[True, True, False], [False, False, False]])
    size = set_size(sets)
    assert (size.value, size.n, size.unit) == (1.0, 2, "classes")
    assert empirical_coverage(sets, torch.tensor([1, 0])).value == 50.0
