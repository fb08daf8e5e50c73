"""Claims about finding wrong labels."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from pixelbayes.evaluation.label_quality import label_quality, precision_at, recovered_flips

pytestmark = pytest.mark.skipif(
    find_spec("cleanlab") is None, reason="the extra decisions brings it"
)


def flipped(n: int, wrong: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Out-of-fold log p(y | x), given labels of which the first `wrong` are flipped, which ones."""
    generator = torch.Generator().manual_seed(seed)
    log_proba = torch.log_softmax(
        4.0 * torch.randn(n, 3, generator=generator, dtype=torch.float64), dim=1
    )
    labels = torch.multinomial(log_proba.exp(), 1, generator=generator)[:, 0]
    is_wrong = torch.arange(n) < wrong
    return log_proba, torch.where(is_wrong, (labels + 1) % 3, labels), is_wrong


def test_the_quality_of_a_label_is_its_probability() -> None:
    log_proba, labels, _ = flipped(60, wrong=6)
    expected = log_proba.exp().gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(label_quality(log_proba, labels).score, expected)


def test_flipped_labels_come_first() -> None:
    log_proba, labels, wrong = flipped(500, wrong=50)
    quality = label_quality(log_proba, labels)
    assert quality.score[quality.order].diff().min() >= 0
    assert precision_at(25, quality.score, wrong).value > 80
    assert recovered_flips(quality.score, wrong).low > 40


def test_confident_learning_suspects_flipped_labels_more_than_right_ones() -> None:
    log_proba, labels, wrong = flipped(500, wrong=50)
    suspected = label_quality(log_proba, labels).suspected
    assert suspected[wrong].double().mean() > 0.6
    assert suspected[~wrong].double().mean() < 0.15


def test_the_suggested_label_is_the_most_probable_class() -> None:
    log_proba, labels, _ = flipped(30, wrong=3)
    assert torch.equal(label_quality(log_proba, labels).suggested, log_proba.argmax(dim=1))


def test_a_random_ranking_finds_wrong_labels_at_their_share() -> None:
    wrong = torch.arange(4000) < 400
    score = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    assert recovered_flips(score, wrong).value == pytest.approx(10, abs=2)


def test_a_perfect_ranking_finds_them_all() -> None:
    wrong = torch.arange(40) < 4
    score = (~wrong).double()
    assert recovered_flips(score, wrong).value == 100
    assert precision_at(4, score, wrong).value == 100
    assert precision_at(8, score, wrong).value == 50


@pytest.mark.parametrize("k", [0, 5])
def test_more_labels_than_there_are_cannot_be_looked_at(k: int) -> None:
    with pytest.raises(ValueError, match="need 1 <= k <= N"):
        precision_at(k, torch.ones(4), torch.ones(4, dtype=torch.bool))


def test_a_class_without_images_is_named() -> None:
    log_proba, labels, _ = flipped(60, wrong=6)
    with pytest.raises(ValueError, match=r"of 3 classes \[1\] are without"):
        label_quality(log_proba, torch.where(labels == 1, 0, labels))
