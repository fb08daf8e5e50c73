"""Claims about accuracy, confusion and comparing two classifiers."""

import math

import pytest
import torch
from torch import Tensor

from pixelbayes.evaluation.accuracy import (
    accuracy,
    aurc,
    confusion_matrix,
    mcnemar,
    paired_difference,
    per_class_accuracy,
    risk_coverage,
    selective_accuracy,
)
from pixelbayes.evaluation.estimate import wilson_interval


def outcomes(right: int, wrong: int) -> Tensor:
    return torch.tensor([True] * right + [False] * wrong)


def test_the_wilson_interval_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    estimate = accuracy(433, 519, z=stats.norm.ppf(0.975))

    expected = stats.binomtest(433, 519).proportion_ci(method="wilson")

    assert estimate.low == pytest.approx(100 * expected.low)
    assert estimate.high == pytest.approx(100 * expected.high)


@pytest.mark.parametrize(("correct", "value"), [(0, 0.0), (5, 100.0)])
def test_the_interval_stays_within_0_and_100_percent(correct: int, value: float) -> None:
    estimate = accuracy(correct, 5)

    assert estimate.value == value
    assert 0.0 <= estimate.low <= value <= estimate.high <= 100.0
    assert estimate.high - estimate.low > 30.0, "five images prove little, even all right"


def test_an_accuracy_of_no_images_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one labelled image, got total = 0"):
        accuracy(0, 0)


@pytest.mark.parametrize("correct", [-1, 6])
def test_more_right_answers_than_answers_are_refused(correct: int) -> None:
    with pytest.raises(ValueError, match=rf"0\.\.5 \(the total\), got {correct}"):
        accuracy(correct, 5)


def test_rows_of_the_confusion_matrix_are_true_classes() -> None:
    confusion = confusion_matrix(torch.tensor([2, 2, 0]), torch.tensor([0, 0, 1]), classes=3)

    assert confusion.tolist() == [[0, 0, 2], [1, 0, 0], [0, 0, 0]]
    assert confusion.dtype == torch.int64


def test_the_diagonal_of_the_confusion_matrix_counts_the_right_answers() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, labels = torch.randint(4, (2, 200), generator=generator)

    confusion = confusion_matrix(predicted, labels, classes=4)

    assert confusion.diagonal().sum() == (predicted == labels).sum()
    assert confusion.sum() == 200


def test_an_unlabelled_image_is_refused_by_the_confusion_matrix() -> None:
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.1, got -1; leave unlabelled"):
        confusion_matrix(torch.tensor([0]), torch.tensor([-1]), classes=2)


def test_predictions_and_labels_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        confusion_matrix(torch.zeros(2).long(), torch.zeros(3).long(), classes=2)


def test_per_class_accuracy_is_the_share_of_each_row_on_the_diagonal() -> None:
    estimates = per_class_accuracy(torch.tensor([[3, 1], [2, 2]]))

    assert [(e.value, e.n) for e in estimates] == [(75.0, 4), (50.0, 4)]


def test_a_class_without_images_has_no_accuracy_rather_than_zero() -> None:
    missing = per_class_accuracy(torch.tensor([[3, 1], [0, 0]]))[1]

    assert math.isnan(missing.value)
    assert (missing.low, missing.high, missing.n) == (0.0, 100.0, 0)


def test_a_confusion_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"square.*\(2, 3\)"):
        per_class_accuracy(torch.zeros(2, 3).long())


def test_mcnemar_counts_only_disagreements() -> None:
    a = torch.tensor([True, True, True, False, False])
    b = torch.tensor([True, False, False, True, False])

    result = mcnemar(a, b)

    assert (result.b, result.c) == (2, 1)
    assert result.p_value == 1.0, "2 against 1 is the most even split there is"


def test_mcnemar_is_the_two_sided_sign_test() -> None:
    result = mcnemar(outcomes(6, 0), outcomes(0, 6))

    assert result.p_value == pytest.approx(2 * 0.5**6)


def test_swapping_the_classifiers_swaps_the_counts_and_keeps_the_p_value() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b = torch.rand(2, 60, generator=generator) < 0.6

    forward, backward = mcnemar(a, b), mcnemar(b, a)

    assert (forward.b, forward.c) == (backward.c, backward.b)
    assert forward.p_value == backward.p_value


def test_classifiers_that_never_disagree_are_not_told_apart() -> None:
    assert mcnemar(outcomes(3, 2), outcomes(3, 2)).p_value == 1.0


def test_the_paired_difference_is_in_points_and_signed() -> None:
    difference = paired_difference(outcomes(90, 10), outcomes(80, 20), seed=0)

    assert difference.value == pytest.approx(10.0)
    assert difference.unit == "points"
    assert 0.0 < difference.low < 10.0 < difference.high


def test_a_classifier_does_not_differ_from_itself() -> None:
    same = paired_difference(outcomes(7, 3), outcomes(7, 3), seed=0)

    assert same.value == 0.0
    assert -30.0 < same.low < 0.0 < same.high < 30.0


@pytest.mark.parametrize(("right", "wrong"), [(1, 0), (0, 1), (2, 1), (7, 3)])
def test_agreement_on_every_image_seen_leaves_the_less_open_the_more_were_seen(
    right: int, wrong: int
) -> None:
    seen = [
        paired_difference(outcomes(k * right, k * wrong), outcomes(k * right, k * wrong), seed=0)
        for k in (1, 10, 100)
    ]
    assert all(same.low == pytest.approx(-same.high) for same in seen)
    assert 100.0 > seen[0].high > seen[1].high > seen[2].high > 0.0


def test_a_difference_on_every_image_seen_is_no_certain_one() -> None:
    always = paired_difference(outcomes(5, 0), outcomes(0, 5), seed=0)
    assert always.value == 100.0
    assert always.high == 100.0
    assert 20.0 < always.low < 60.0


def test_no_error_seen_does_not_mean_that_there_is_none() -> None:
    area = aurc(torch.linspace(0.5, 0.9, 10), torch.ones(10, dtype=torch.bool), seed=0)
    assert (area.value, area.low) == (0.0, 0.0)
    assert area.high == pytest.approx(100 * wilson_interval(0.0, 10)[1])


@pytest.mark.parametrize("compare", [mcnemar, lambda a, b: paired_difference(a, b, seed=0)])
def test_predictions_in_place_of_right_or_wrong_are_refused(compare: object) -> None:
    assert callable(compare)
    with pytest.raises(TypeError, match=r"got torch.int64; compare predictions with labels first"):
        compare(torch.tensor([1, 0]), torch.tensor([0, 1]))


def test_classifiers_judged_on_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"same images.*\(2,\) and \(3,\)"):
        mcnemar(outcomes(2, 0), outcomes(3, 0))


def test_the_risk_at_full_coverage_is_the_error() -> None:
    confidence = torch.rand(50, generator=torch.Generator().manual_seed(0))
    correct = outcomes(40, 10)

    curve = risk_coverage(confidence, correct)

    assert (curve.coverage[-1], curve.risk[-1]) == (1.0, pytest.approx(0.2))
    assert len(curve.coverage) == 50


def test_risks_are_errors_among_the_surest() -> None:
    confidence = torch.tensor([0.5, 0.9, 0.7, 0.8])
    correct = torch.tensor([False, False, True, True])

    # Surest first: wrong, right, right, wrong.
    assert risk_coverage(confidence, correct).risk == pytest.approx([1, 1 / 2, 1 / 3, 2 / 4])


def test_without_any_confidence_the_area_is_the_error_whatever_the_order() -> None:
    correct = outcomes(7, 3)[torch.randperm(10, generator=torch.Generator().manual_seed(0))]

    assert aurc(torch.full((10,), 0.3), correct, seed=0).value == pytest.approx(30.0)


def test_a_perfect_ranking_has_the_smallest_area() -> None:
    correct = outcomes(90, 10)
    confidence = torch.arange(100, 0, -1)

    best = aurc(confidence, correct, seed=0)
    # With error r, the area tends to r + (1 - r) ln(1 - r), about r^2 / 2.
    assert best.value == pytest.approx(100 * (0.1 + 0.9 * math.log(0.9)), abs=0.06)
    assert aurc(confidence.flip(0), correct, seed=0).value > 30
    assert best.low <= best.value <= best.high


def test_a_monotone_scale_of_confidence_changes_no_area() -> None:
    confidence = torch.rand(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    correct = confidence > torch.rand(60, generator=torch.Generator().manual_seed(1))
    assert aurc(confidence, correct, seed=3) == aurc(confidence.log(), correct, seed=3)


def test_an_interval_of_the_area_covers_that_of_endless_images() -> None:
    def answers(n: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        confidence = 0.5 + 0.5 * torch.rand(n, generator=generator, dtype=torch.float64)
        return confidence, torch.rand(n, generator=generator, dtype=torch.float64) < confidence

    truth = 100 * sum(risk_coverage(*answers(200_000, 7)).risk) / 200_000
    found = [aurc(*answers(200, seed), seed=0) for seed in range(20, 40)]
    assert sum(e.low <= truth <= e.high for e in found) >= 17


def test_images_below_the_threshold_are_not_answered() -> None:
    confidence = torch.tensor([0.9, 0.5, 0.4, 0.9])
    coverage, right = selective_accuracy(
        confidence, torch.tensor([True, True, False, False]), threshold=0.5
    )
    assert (coverage.value, coverage.n) == (75.0, 4)
    assert (right.value, right.n) == (pytest.approx(200 / 3), 3)


def test_a_threshold_that_nobody_reaches_leaves_an_unknown_accuracy() -> None:
    coverage, right = selective_accuracy(torch.tensor([0.9]), torch.tensor([True]), threshold=2.0)
    assert coverage.value == 0.0
    assert math.isnan(right.value)


@pytest.mark.parametrize("confidence", [torch.tensor([math.nan, 0.5]), torch.tensor([0.5])])
def test_a_confidence_that_is_none_is_refused(confidence: Tensor) -> None:
    with pytest.raises(ValueError, match="confidence is one number per image"):
        risk_coverage(confidence, torch.tensor([True, False]))
