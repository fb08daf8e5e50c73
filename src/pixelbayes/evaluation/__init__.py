"""Numbers from arrays: estimates with intervals, accuracy, calibration.

Knows no model.  Whatever produced the predictions, the functions here turn tensors of them
into numbers that carry their interval, their n and their unit.
"""

from pixelbayes.evaluation.accuracy import (
    McNemar,
    RiskCoverage,
    accuracy,
    aurc,
    confusion_matrix,
    mcnemar,
    paired_difference,
    per_class_accuracy,
    risk_coverage,
    selective_accuracy,
)
from pixelbayes.evaluation.calibration import (
    ReliabilityCurve,
    adaptive_calibration_error,
    brier_score,
    calibrated_band,
    calibration_error_estimate,
    expected_calibration_error,
    log_loss,
    reliability_curve,
)
from pixelbayes.evaluation.estimate import Estimate, bootstrap, mean_estimate
from pixelbayes.evaluation.temperature import (
    TemperatureDecision,
    decide_temperature,
    fit_temperature,
    held_out_temperatures,
    temperature_estimate,
)

__all__ = [
    "Estimate",
    "McNemar",
    "ReliabilityCurve",
    "RiskCoverage",
    "TemperatureDecision",
    "accuracy",
    "adaptive_calibration_error",
    "aurc",
    "bootstrap",
    "brier_score",
    "calibrated_band",
    "calibration_error_estimate",
    "confusion_matrix",
    "decide_temperature",
    "expected_calibration_error",
    "fit_temperature",
    "held_out_temperatures",
    "log_loss",
    "mcnemar",
    "mean_estimate",
    "paired_difference",
    "per_class_accuracy",
    "reliability_curve",
    "risk_coverage",
    "selective_accuracy",
    "temperature_estimate",
]
