from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixelbayes.data import Resize
from pixelbayes.evaluation.calibration import log_loss
from pixelbayes.inference import class_posterior
from pixelbayes.models import (
    CheckpointError,
    Classifier,
    Metadata,
    PixelBayes,
    ResNet18,
    classifier,
)

pytest.importorskip("monai", reason="the extra baselines is not installed")

CLASSES = ("koala", "pizza", "sea lion")
PRIOR = (log(0.5), log(0.25), log(0.25))


@pytest.fixture(scope="module")
def network() -> ResNet18:
    torch.manual_seed(0)
    return ResNet18(classes=3, channels=3).double()


@pytest.fixture
def trained(network: ResNet18) -> Classifier:
    """Unequal prior, fitted temperature."""
    return Classifier(
        network,
        Metadata(
            classes=CLASSES,
            resize=asdict(Resize(size=(8, 8))),
            log_prior=PRIOR,
            temperature=2.5,
            provenance={"seed": 3},
        ),
    )


@pytest.fixture(scope="module")
def levels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (9, 3, 8, 8), generator=generator).to(torch.uint8)


def test_bayes_rule_returns_what_the_network_says(trained: Classifier, levels: Tensor) -> None:
    said = trained.model(levels)

    posterior = class_posterior(trained.log_likelihoods(levels), trained.log_prior)

    torch.testing.assert_close(posterior, said)
    torch.testing.assert_close(trained.with_temperature(1.0).predict_log_proba(levels), said)


def test_the_temperature_divides_what_the_image_adds_to_the_prior(
    trained: Classifier, levels: Tensor
) -> None:
    expected = class_posterior(trained.log_likelihoods(levels), trained.log_prior, 2.5)

    torch.testing.assert_close(trained.predict_log_proba(levels), expected)
    assert torch.equal(trained.predict(levels), expected.argmax(dim=1))
    cold = trained.with_temperature(1e9).predict_log_proba(levels)
    torch.testing.assert_close(cold, trained.log_prior.expand(9, 3))


def test_an_answer_does_not_depend_on_the_images_beside_it(
    trained: Classifier, levels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = trained.log_likelihoods(levels)
    done: list[int] = []
    monkeypatch.setattr(classifier, "CHUNK", 4)

    apart = trained.log_likelihoods(levels, progress=done.append)

    torch.testing.assert_close(apart, together)
    assert done == [4, 8, 9]


def test_calibration_lowers_the_log_loss_of_validation_images(
    trained: Classifier, levels: Tensor
) -> None:
    labels = torch.arange(9) % 3

    calibrated = trained.calibrated(levels, labels)

    losses = [
        log_loss(model.predict_log_proba(levels), labels).value
        for model in (calibrated, trained, trained.with_temperature(1.0))
    ]
    assert losses[0] == min(losses)


def test_a_temperature_that_is_not_positive_is_refused(trained: Classifier) -> None:
    with pytest.raises(ValueError, match="temperature is positive, got 0"):
        trained.with_temperature(0.0)


def test_a_reloaded_classifier_is_the_same_bit_for_bit(
    trained: Classifier, levels: Tensor, tmp_path: Path
) -> None:
    trained.model.train()(levels)  # running statistics are part of it
    trained.model.eval()
    trained.save(tmp_path / "run" / "best")

    loaded = Classifier.load(tmp_path / "run")

    assert torch.equal(loaded.predict_log_proba(levels), trained.predict_log_proba(levels))
    assert loaded.metadata.provenance == {"seed": 3}
    assert loaded.metadata.log_prior == PRIOR
    assert (loaded.classes, loaded.temperature) == (CLASSES, 2.5)
    assert loaded.resize == Resize(size=(8, 8))
    assert not loaded.model.training


def test_a_pixelcnn_is_not_taken_for_a_resnet18(tiny_model: PixelBayes, tmp_path: Path) -> None:
    tiny_model.save(tmp_path)

    with pytest.raises(CheckpointError, match=r"\(pixelbayes\); a ResNet-18.*PixelBayes\.load"):
        Classifier.load(tmp_path)


def test_a_resnet18_is_not_taken_for_a_pixelcnn(trained: Classifier, tmp_path: Path) -> None:
    trained.save(tmp_path)

    with pytest.raises(CheckpointError, match="holds a model of another kind"):
        PixelBayes.load(tmp_path)


def drop_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def replace_weights(folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors")


def change_description(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_weights, "cannot read the weights"),
        (replace_weights, "one of the two was replaced or damaged"),
        (change_description(version=2), "format version 2, .*install a newer pixelbayes"),
        (change_description(config={}), "does not describe a ResNet-18: 'classes'"),
        (change_description(format="else"), "does not describe a ResNet-18 of pixelbayes"),
        (change_description(config={"classes": 4, "channels": 3}), "holds other weights"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_the_reason(
    damage: Callable[[Path], None], message: str, trained: Classifier, tmp_path: Path
) -> None:
    trained.save(tmp_path)
    damage(tmp_path)

    with pytest.raises(CheckpointError, match=message):
        Classifier.load(tmp_path)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no ResNet-18 in .*: expected model\.json"):
        Classifier.load(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        Classifier.load(tmp_path / "lost")


def test_a_model_is_not_saved_under_other_classes(network: ResNet18, tmp_path: Path) -> None:
    metadata = Metadata(classes=("a",), resize=asdict(Resize(size=(8, 8))), log_prior=(0.0,))

    with pytest.raises(ValueError, match="3 classes, the metadata 1: a"):
        Classifier(network, metadata).save(tmp_path)
