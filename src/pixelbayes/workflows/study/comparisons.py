"""Generative classifiers against discriminative ones and each other, on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.data import UNLABELLED
from pixelbayes.evaluation import mcnemar, paired_difference
from pixelbayes.report import Comparison, ModelResult
from pixelbayes.workflows.study.cache import Cache
from pixelbayes.workflows.study.measure import ANSWERS

__all__ = ["compared", "comparison"]

SPLITS = ("train", "validation", "test")
ANSWERS_KEY = "answers"
"""Entry of a result's provenance: the key of its predictions."""


def compared(results: Sequence[ModelResult], folders: Mapping[str, Path]) -> list[ModelResult]:
    """The results with the comparisons of each PixelCNN++.

    It is compared with each ResNet-18 and, so that no pair comes twice, with each PixelCNN++ that
    stands before it.

    A run is compared with that of the same seed, or else with the one of the lowest seed.

    Args:
        results: All results of the study.
        folders: Where the cache of each are, by `label`.
    """
    return [
        replace(result, comparisons=_comparisons(result, results, folders))
        if result.kind == "pixelcnn"
        else result
        for result in results
    ]


def label(result: ModelResult) -> str:
    """Names a result among all of a study."""
    return f"{result.name}/seed-{result.seed}"


def _comparisons(
    result: ModelResult, results: Sequence[ModelResult], folders: Mapping[str, Path]
) -> list[Comparison]:
    names = [other.name for other in results]
    earlier = names[: names.index(result.name)]
    opponents: dict[str, ModelResult] = {}
    for other in sorted(results, key=lambda r: (r.seed != result.seed, r.seed)):
        if other.kind == "resnet18" or (other.kind == "pixelcnn" and other.name in earlier):
            opponents.setdefault(other.name, other)
    ours = _answers(result, folders)
    found = []
    for name, other in opponents.items():
        theirs = _answers(other, folders)
        for split in SPLITS:
            pair = _correct(ours.get(split), theirs.get(split))
            if pair is not None:
                found.append(comparison(name, split, *pair))
    return found


def comparison(other: str, split: str, ours: Tensor, theirs: Tensor) -> Comparison:
    """A model against another one, by which images of a split each got right, bool (N,)."""
    return Comparison(
        other=other,
        split=split,
        mcnemar=mcnemar(ours, theirs),
        difference=paired_difference(ours, theirs, seed=0),
    )


def _answers(result: ModelResult, folders: Mapping[str, Path]) -> dict[str, Any]:
    """Predictions and labels of each split; none where they were not made."""
    key = result.provenance.get(ANSWERS_KEY)
    if key is None or label(result) not in folders:
        return {}
    found: dict[str, Any] = Cache(folders[label(result)]).known(ANSWERS, key) or {}
    return found


def _correct(ours: Any, theirs: Any) -> tuple[Tensor, Tensor] | None:
    """Which labelled images each got right; None where they did not see the same ones."""
    if ours is None or theirs is None or ours["images"] != theirs["images"]:
        return None
    labels = torch.tensor(ours["labels"])
    known = labels != UNLABELLED
    if not bool(known.any()):
        return None
    first, second = (torch.tensor(answers["predicted"]) == labels for answers in (ours, theirs))
    return first[known], second[known]
