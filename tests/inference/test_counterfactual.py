"""A counterfactual changes a small part of an image, and with it the answer."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.inference import sample
from pixelbayes.inference.classification import BayesClassifier
from pixelbayes.inference.counterfactual import counterfactual


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def classifier(tiny_network):
    return BayesClassifier(tiny_network(channels=1))


@pytest.fixture
def image(classifier):
    drawn = sample(classifier.model, torch.tensor([0]), generator=seeded())[0]
    assert classifier.predict(drawn[None]).tolist() == [0]
    return drawn


def test_the_answer_changes_and_nothing_outside_the_part_does(classifier, image):
    found = counterfactual(classifier, image, generator=seeded())
    assert found is not None
    assert found.before == 0
    assert classifier.predict(found.result[None]).tolist() == [found.after] != [0]
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[slice(*found.rows), slice(*found.columns)] = False
    assert found.original.equal(image)
    assert found.result[:, outside].equal(image[:, outside])
    assert 0 < found.pixels == int((~outside).sum()) < 64
    assert 0.0 < found.share <= 1.0


def test_the_same_generator_state_finds_the_same_part(classifier, image):
    first, second = (counterfactual(classifier, image, generator=seeded(3)) for _ in "ab")
    assert first is not None
    assert second is not None
    assert first.rows == second.rows
    assert first.columns == second.columns
    assert first.result.equal(second.result)


def test_no_block_of_half_the_rows_that_was_tried_changes_the_answer_too(
    classifier, image, monkeypatch
):
    tried: list[tuple[int, int, bool]] = []
    predict = classifier.predict

    def watched(levels):
        predicted = predict(levels)
        if len(levels) == 8:  # the draws of a part
            rows = (levels != image).any(dim=3).any(dim=1).any(dim=0).nonzero()[:, 0]
            height = int(rows[-1] - rows[0]) + 1
            tried.append((height, len(tried), bool((predicted != 0).any())))
        return predicted

    monkeypatch.setattr(classifier, "predict", watched)
    found = counterfactual(classifier, image, generator=seeded())
    assert found is not None
    height = found.rows[1] - found.rows[0]
    assert height == min(tall for tall, _, changed in tried if changed)
    if height > 1:
        assert any(tall < height for tall, _, _ in tried)


def test_an_answer_that_no_draw_changes_has_none(tiny_network, random_levels):
    network = tiny_network(fusion="none")
    prior = torch.tensor([0.8, 0.1, 0.1], dtype=torch.float64).log()
    steps: list[int] = []
    found = counterfactual(
        BayesClassifier(network, log_prior=prior),
        random_levels(1, network.config)[0],
        generator=seeded(),
        draws=1,
        progress=steps.append,
    )
    assert found is None
    assert steps == list(range(1, 8 + 7 + 3 + 1 + 1))  # 1, 2, 4 and 8 rows


@pytest.mark.parametrize("label", [0, 7])
def test_a_class_that_changes_nothing_is_refused(classifier, image, label):
    with pytest.raises(ValueError, match=r"another class than its own|no class 7"):
        counterfactual(classifier, image, label, generator=seeded())


def test_the_part_is_drawn_under_the_class_that_is_asked_for(classifier, image):
    found = counterfactual(classifier, image, 2, generator=seeded())
    assert found is not None
    assert found.drawn_as == 2


@pytest.mark.parametrize("draws", [1, 4])
def test_a_share_is_of_the_draws_that_were_made(classifier, image, draws):
    steps: list[int] = []
    found = counterfactual(
        classifier, image, generator=seeded(1), draws=draws, progress=steps.append
    )
    assert found is not None
    assert (found.share * draws) == round(found.share * draws) >= 1
    assert steps == list(range(1, len(steps) + 1))
    assert found.pixels == (found.rows[1] - found.rows[0]) * (found.columns[1] - found.columns[0])


def test_the_network_and_the_image_are_left_as_they_were(classifier, image):
    before = {name: weight.clone() for name, weight in classifier.model.state_dict().items()}
    copy = image.clone()
    counterfactual(classifier, image, generator=seeded())
    assert image.equal(copy)
    assert not classifier.model.training
    after = classifier.model.state_dict()
    assert all(after[name].equal(weight) for name, weight in before.items())
