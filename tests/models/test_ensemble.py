"""An ensemble is the mean of its members' log p / T, whatever kinds they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pixelbayes.core import PixelCNN
from pixelbayes.inference.cascade import CascadeRule
from pixelbayes.models import CheckpointError, Ensemble, Metadata, Model, PixelBayes, load_model

METADATA = Metadata(
    classes=("a", "b", "c"),
    resize={"size": [8, 8]},
    log_prior=(log(0.5), log(0.25), log(0.25)),
    temperature=2.0,
    provenance={"seed": 0},
)


@pytest.fixture
def members(tiny_network: Callable[..., PixelCNN]) -> list[PixelBayes]:
    """Two fusions at two temperatures."""
    return [
        PixelBayes(tiny_network(seed=1, fusion="gated"), METADATA),
        PixelBayes(
            tiny_network(seed=2, fusion="late"),
            replace(METADATA, temperature=40.0, provenance={"seed": 1}),
        ),
    ]


@pytest.fixture
def levels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (5, 3, 8, 8), generator=generator).to(torch.uint8)


def test_log_likelihoods_are_the_mean_of_those_of_the_members_over_their_temperatures(
    members: list[PixelBayes], levels: Tensor
) -> None:
    first, second = (member.log_likelihoods(levels) for member in members)

    table = Ensemble(members).log_likelihoods(levels)

    torch.testing.assert_close(table, (first / 2.0 + second / 40.0) / 2)


def test_the_posterior_is_the_geometric_mean_of_the_calibrated_ones(
    members: list[PixelBayes], levels: Tensor
) -> None:
    ensemble = Ensemble(members)
    mean = sum(member.predict_log_proba(levels) for member in members) / 2

    assert ensemble.temperature == 1.0
    torch.testing.assert_close(ensemble.predict_log_proba(levels), torch.log_softmax(mean, dim=1))


def test_a_model_and_itself_say_what_the_model_says(
    members: list[PixelBayes], levels: Tensor
) -> None:
    alone = members[1]

    twice = Ensemble([alone, alone])

    torch.testing.assert_close(twice.predict_log_proba(levels), alone.predict_log_proba(levels))


def test_its_own_temperature_comes_on_top_of_the_members(
    members: list[PixelBayes], levels: Tensor
) -> None:
    ensemble = Ensemble(members).with_temperature(3.0)

    expected = ensemble.log_likelihoods(levels) / 3.0 + ensemble.log_prior

    torch.testing.assert_close(
        ensemble.predict_log_proba(levels), torch.log_softmax(expected, dim=1)
    )
    assert [member.temperature for member in ensemble.members] == [2.0, 40.0]


def test_a_resnet_and_a_pixelcnn_answer_together_and_are_kept_in_one_checkpoint(
    members: list[PixelBayes], levels: Tensor, tmp_path: Path
) -> None:
    pytest.importorskip("monai", reason="the extra baselines is not installed")
    from pixelbayes.models.resnet import ResNet18, ResNetClassifier

    torch.manual_seed(0)
    resnet = ResNetClassifier(ResNet18(3, 3), replace(METADATA, temperature=1.5))
    ensemble = Ensemble([members[0], resnet])
    ensemble.save(tmp_path)

    loaded = load_model(tmp_path)

    assert isinstance(loaded, Ensemble)
    assert [member.kind for member in loaded.members] == ["pixelcnn", "resnet18"]
    expected = members[0].log_likelihoods(levels) / 2.0 + resnet.log_likelihoods(levels) / 1.5
    torch.testing.assert_close(loaded.log_likelihoods(levels), expected / 2, rtol=1e-6, atol=1e-6)
    assert torch.equal(loaded.log_likelihoods(levels), ensemble.log_likelihoods(levels))


def test_another_prior_weighs_answers_before_saving_and_after(
    levels: Tensor, tmp_path: Path
) -> None:
    pytest.importorskip("monai", reason="the extra baselines is not installed")
    from pixelbayes.models.resnet import ResNet18, ResNetClassifier

    torch.manual_seed(0)
    members = [ResNetClassifier(ResNet18(3, 3), METADATA) for _ in range(2)]
    even = Ensemble(members)
    tilted = (log(0.9), log(0.05), log(0.05))
    ensemble = even.with_metadata(replace(even.metadata, log_prior=tilted))
    ensemble.save(tmp_path)
    expected = torch.log_softmax(even.log_likelihoods(levels) + torch.tensor(tilted), dim=1)
    for model in (ensemble, load_model(tmp_path)):
        torch.testing.assert_close(model.predict_log_proba(levels), expected)


def test_a_reloaded_ensemble_and_its_members_are_the_same_bit_for_bit(
    members: list[PixelBayes], levels: Tensor, tmp_path: Path
) -> None:
    ensemble = Ensemble(members).with_temperature(1.25)
    ensemble.save(tmp_path)

    loaded = Ensemble.load(tmp_path)

    assert torch.equal(loaded.log_likelihoods(levels), ensemble.log_likelihoods(levels))
    assert loaded.temperature == 1.25
    assert loaded.metadata.provenance == {"members": [{"seed": 0}, {"seed": 1}]}
    for before, after in zip(members, loaded.members, strict=True):
        assert after.metadata == before.metadata
        assert torch.equal(after.log_likelihoods(levels), before.log_likelihoods(levels))


def test_an_ensemble_in_an_ensemble_is_kept_as_one(
    members: list[PixelBayes], levels: Tensor, tmp_path: Path
) -> None:
    inner = Ensemble(members).with_temperature(2.0)
    outer = Ensemble([inner, members[0]])
    outer.save(tmp_path)

    assert torch.equal(
        Ensemble.load(tmp_path).log_likelihoods(levels), outer.log_likelihoods(levels)
    )


def test_progress_counts_the_images_of_the_whole_up_to_their_number(
    members: list[PixelBayes], levels: Tensor
) -> None:
    done: list[int] = []

    Ensemble(members).log_likelihoods(levels, progress=done.append)

    assert done == sorted(done)
    assert done[-1] == len(levels)


def test_a_mirrored_ensemble_takes_the_mean_over_images_and_their_mirror_images(
    members: list[PixelBayes], levels: Tensor, tmp_path: Path
) -> None:
    alone = members[0]
    expected = (alone.log_likelihoods(levels) + alone.log_likelihoods(levels.flip(3))) / 2 / 2.0

    mirrored = Ensemble([alone], mirrored=True)
    mirrored.save(tmp_path)
    loaded = load_model(tmp_path)

    torch.testing.assert_close(mirrored.log_likelihoods(levels), expected)
    assert torch.equal(loaded.log_likelihoods(levels), mirrored.log_likelihoods(levels))
    torch.testing.assert_close(
        loaded.log_likelihoods(levels.flip(3)), expected, rtol=1e-6, atol=1e-6
    )
    assert "mirror images" in mirrored.title
    assert mirrored.with_temperature(2.0).describe()["mirrored"]


def test_an_ensemble_that_was_written_before_mirror_images_is_read(
    members: list[PixelBayes], levels: Tensor
) -> None:
    stored = Ensemble(members).to_stored()
    older = {name: value for name, value in stored.config.items() if name != "mirrored"}

    loaded = Ensemble.from_stored(replace(stored, config=older))

    assert torch.equal(loaded.log_likelihoods(levels), Ensemble(members).log_likelihoods(levels))


def test_members_in_turn_are_asked_about_mirror_images_too(
    members: list[PixelBayes], levels: Tensor
) -> None:
    ensemble = Ensemble(members, mirrored=True)

    result = ensemble.answer_in_turn(levels, CascadeRule(1.0))

    torch.testing.assert_close(result.log_posterior, ensemble.predict_log_proba(levels))


def test_one_member_is_no_ensemble(members: list[PixelBayes]) -> None:
    with pytest.raises(ValueError, match="two members or more, or is mirrored, got 1"):
        Ensemble(members[:1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b", "d")}, "the same classes, got .*'c'.* and .*'d'"),
        ({"resize": {"size": [8, 12]}}, "the same resize"),
        ({"resize": {"size": [8, 8], "filter": "box"}}, "the same resize"),
        ({"log_prior": (-log(3.0),) * 3}, "the same prior"),
    ],
)
def test_members_that_saw_something_else_are_refused(
    members: list[PixelBayes], changes: dict[str, Any], message: str
) -> None:
    other = members[1].with_metadata(replace(members[1].metadata, **changes))

    with pytest.raises(ValueError, match=message):
        Ensemble([members[0], other])


def test_members_of_other_channels_are_refused(
    members: list[PixelBayes], tiny_network: Callable[..., PixelCNN]
) -> None:
    grey: Model = PixelBayes(tiny_network(channels=1), METADATA)

    with pytest.raises(ValueError, match="the same channels, got 3 and 1"):
        Ensemble([members[0], grey])


def edit_members(folder: Path, change: Callable[[list[Any]], None]) -> None:
    path = folder / "model.json"
    content = json.loads(path.read_text())
    change(content["config"]["members"])
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[1].update(kind="transformer"), "member 1 of .* kind 'transformer'"),
        (lambda found: found[1].pop("temperature"), "temperature missing"),
        (lambda found: found[1]["config"].pop("fusion"), "member 1 of .*: fusion missing"),
        (lambda found: found[1]["config"].update(features=7), "member 1 of .* do not fit"),
        (lambda found: found.append(found[0]), "member 2 of "),
        (lambda found: found.pop(), "two members or more"),
        (lambda found: found[0].update(temperature=-1.0), "temperature is positive"),
    ],
)
def test_a_damaged_member_is_named(
    members: list[PixelBayes],
    tmp_path: Path,
    change: Callable[[list[Any]], None],
    message: str,
) -> None:
    Ensemble(members).save(tmp_path)
    edit_members(tmp_path, change)

    with pytest.raises(CheckpointError, match=message):
        Ensemble.load(tmp_path)


def test_an_ensemble_cannot_be_drawn_from(members: list[PixelBayes]) -> None:
    ensemble = Ensemble(members)

    assert not ensemble.can_sample
    assert ensemble.dims is None
    with pytest.raises(ValueError, match="ensemble gives no p"):
        ensemble.draw(torch.tensor([0]), torch.Generator())
