"""Numbers from a table of log-likelihoods, for each split that has labels.

Shapes: N images, K classes.
Units:  log-probabilities in nats per image, code lengths in bits per dimension.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pixelbayes.evaluation import reliability_curve
from pixelbayes.report import SplitResult
from pixelbayes.workflows.scoring import (
    SMALLEST_SPLIT,
    ScoredSplit,
    Tempering,
    measures,
    posteriors_of,
)

__all__ = ["evaluation_by_split"]


def evaluation_by_split(
    scored: Mapping[str, ScoredSplit],
    log_prior: Tensor,
    tempering: Tempering,
    *,
    dims: int | None,
) -> dict[str, SplitResult]:
    """Measures the labelled images of each split; one with hardly any is left out.

    Args:
        scored: Images and their table, (N, K), by split.
        log_prior: log p(y), (K,).
        tempering: Of the calibrated posterior.
        dims: Dimensions of an image, for the code length; None: the table gives none, because it
            is of log-likelihoods up to a term that all classes share.

    Returns:
        By split.
    """
    splits = {}
    for name, split in scored.items():
        known = split.labelled
        if len(known) < SMALLEST_SPLIT:
            continue
        labels, table = split.images.labels[known], split.log_likelihood[known]
        posteriors = posteriors_of(name, table, log_prior, labels, tempering)
        of_truth = table.gather(1, labels[:, None])[:, 0]
        splits[name] = SplitResult(
            split=name,
            n=len(labels),
            measures=measures(posteriors, labels, of_truth, dims),
            reliability={
                posterior: reliability_curve(log_proba, labels)
                for posterior, log_proba in posteriors.items()
            },
        )
    return splits
