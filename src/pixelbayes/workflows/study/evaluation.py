"""Numbers from a table of log-likelihoods, for each split that has labels.

Shapes: N images, K classes.
Units:  log-probabilities in nats per image, code lengths in bits per dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.evaluation import (
    accuracy,
    expected_calibration_error,
    log_loss,
    mean_estimate,
    reliability_curve,
)
from pixelbayes.workflows.scoring import SMALLEST_SPLIT, ScoredSplit, posteriors_of

__all__ = ["evaluation_by_split"]


def evaluation_by_split(
    scored: Mapping[str, ScoredSplit],
    log_prior: Tensor,
    temperature: float | None,
    *,
    dims: int | None,
) -> dict[str, dict[str, Any]]:
    """Measures the labelled images of each split; one with hardly any is left out.

    Args:
        scored: Images and their table, (N, K), by split.
        log_prior: log p(y), (K,).
        temperature: Of the calibrated posterior; None: there is only the raw one.
        dims: Dimensions of an image, for the code length; None: the table gives none, because it
            is of log-likelihoods up to a term that all classes share.

    Returns:
        Fields of a `ModelResult`, by split: accuracy, bits_per_dim, log_loss, ece, reliability.
    """
    fields: dict[str, dict[str, Any]] = {
        name: {} for name in ("accuracy", "bits_per_dim", "log_loss", "ece", "reliability")
    }
    for name, split in scored.items():
        known = split.labelled
        if len(known) < SMALLEST_SPLIT:
            continue
        labels, table = split.images.labels[known], split.log_likelihood[known]
        posteriors = posteriors_of(name, table, log_prior, labels, temperature)
        predicted = posteriors.get("calibrated", posteriors["raw"]).argmax(dim=1)
        fields["accuracy"][name] = accuracy(int((predicted == labels).sum()), len(labels))
        if dims is not None:
            of_truth = table.gather(1, labels[:, None])[:, 0]
            fields["bits_per_dim"][name] = mean_estimate(bits_per_dim(of_truth, dims), "bits/dim")
        for field, measure in (
            ("log_loss", log_loss),
            ("ece", expected_calibration_error),
            ("reliability", reliability_curve),
        ):
            fields[field][name] = {
                posterior: measure(log_proba, labels) for posterior, log_proba in posteriors.items()
            }
    return fields
