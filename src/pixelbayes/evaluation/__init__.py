"""Numbers from arrays: estimates with intervals, accuracy, calibration.

Knows no model.  Whatever produced the predictions, the functions here turn tensors of them
into numbers that carry their interval, their n and their unit.
"""

from pixelbayes.evaluation.accuracy import (
    McNemar,
    accuracy,
    confusion_matrix,
    mcnemar,
    paired_difference,
    per_class_accuracy,
)
from pixelbayes.evaluation.calibration import (
    ReliabilityCurve,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    held_out_temperatures,
    log_loss,
    reliability_curve,
)
from pixelbayes.evaluation.estimate import Estimate, bootstrap, mean_estimate

__all__ = [
    "Estimate",
    "McNemar",
    "ReliabilityCurve",
    "accuracy",
    "bootstrap",
    "brier_score",
    "confusion_matrix",
    "expected_calibration_error",
    "fit_temperature",
    "held_out_temperatures",
    "log_loss",
    "mcnemar",
    "mean_estimate",
    "paired_difference",
    "per_class_accuracy",
    "reliability_curve",
]
