"""What takes tensors takes the arrays that NumPy and scikit-learn give, and says the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pixelbayes.evaluation import calibration, conformal, outliers, temperature
from pixelbayes.evaluation.accuracy import (
    aurc,
    confusion_matrix,
    mcnemar,
    per_class_accuracy,
    risk_coverage,
    selective_accuracy,
)
from pixelbayes.evaluation.estimate import mean_estimate

N, K = 40, 3
GENERATOR = torch.Generator().manual_seed(0)
LOG_PROBA = torch.log_softmax(2 * torch.randn(N, K, generator=GENERATOR), dim=1)
LABELS = torch.randint(K, (N,), generator=GENERATOR)
RIGHT, PRIOR = LOG_PROBA.argmax(dim=1) == LABELS, torch.full((K,), 1 / K).log()
SCORES = LOG_PROBA.max(dim=1).values

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "accuracy": (confusion_matrix, (LOG_PROBA.argmax(dim=1), LABELS, K)),
    "of classes": (per_class_accuracy, (torch.tensor([[3, 1], [0, 2]]),)),
    "mcnemar": (mcnemar, (RIGHT, LABELS == 0)),
    "risk": (risk_coverage, (SCORES, RIGHT)),
    "selective": (selective_accuracy, (SCORES, RIGHT, -0.5)),
    "log-loss": (calibration.log_loss, (LOG_PROBA, LABELS)),
    "Brier": (calibration.brier_score, (LOG_PROBA, LABELS)),
    "ECE": (calibration.calibration_error_estimate, (LOG_PROBA, LABELS)),
    "temperature": (temperature.fit_temperature, (LOG_PROBA, PRIOR, LABELS)),
    "sets": (conformal.fit_sets, (LOG_PROBA, LABELS)),
    "size": (conformal.set_size, (LOG_PROBA > -1,)),
    "coverage": (conformal.empirical_coverage, (LOG_PROBA > -1, LABELS)),
    "threshold": (outliers.fit_threshold, (SCORES,)),
    "detection": (outliers.detection, (SCORES, SCORES + 1)),
    "mean": (mean_estimate, (SCORES, "nats")),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("integers", [np.int64, np.int32, np.uint8, np.uint16, np.uint64])
def test_arrays_say_what_tensors_say(name: str, integers: type) -> None:
    function, given = FUNCTIONS[name]
    arrays = [one.numpy() if isinstance(one, torch.Tensor) else one for one in given]
    small = [
        one.astype(integers) if getattr(one, "dtype", None) == np.int64 else one for one in arrays
    ]
    expected, found = function(*given), function(*small)
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    else:
        assert found == expected


def test_arrays_of_other_machines_and_ones_that_nobody_may_write_are_read() -> None:
    expected = calibration.log_loss(LOG_PROBA, LABELS)
    swapped = LOG_PROBA.numpy().astype(">f4")
    kept = LABELS.numpy().copy()
    kept.flags.writeable = False
    swapped.flags.writeable = False
    assert calibration.log_loss(swapped, kept) == expected


def test_names_of_classes_are_no_labels() -> None:
    with pytest.raises(TypeError, match="an array of <U5; of classes pass their indices"):
        calibration.log_loss(LOG_PROBA, np.array(["koala"] * N))


def test_a_seed_may_be_an_integer_of_numpy() -> None:
    with_numpy = aurc(SCORES.numpy(), RIGHT.numpy(), seed=np.int64(3))
    assert with_numpy == aurc(SCORES, RIGHT, seed=3)


def test_sets_of_arrays_are_those_of_tensors() -> None:
    sets = conformal.fit_sets(LOG_PROBA, LABELS)
    assert torch.equal(sets(LOG_PROBA.numpy()), sets(LOG_PROBA))  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [LABELS.float(), LABELS == 0])
@pytest.mark.parametrize("name", ["log-loss", "Brier", "ECE", "sets", "coverage"])
def test_labels_that_are_no_integers_are_refused(name: str, labels: torch.Tensor) -> None:
    function, (first, _) = FUNCTIONS[name]
    with pytest.raises(TypeError, match="labels are indices of classes, integers, got torch"):
        function(first, labels)


def test_images_without_a_label_have_no_coverage() -> None:
    with pytest.raises(ValueError, match="leave unlabelled images"):
        conformal.empirical_coverage(LOG_PROBA > -1, torch.full((N,), -1))


@pytest.mark.parametrize("folds", [0, 1])
def test_fewer_than_two_folds_hold_nothing_out(folds: int) -> None:
    with pytest.raises(ValueError, match=f"two folds or more, .* got {folds} folds of 40"):
        temperature.held_out_temperatures(LOG_PROBA, PRIOR, LABELS, folds=folds)
