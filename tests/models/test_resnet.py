from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixelbayes.data import Resize
from pixelbayes.errors import MissingPackageError
from pixelbayes.evaluation import fit_temperature
from pixelbayes.evaluation.calibration import log_loss
from pixelbayes.inference import class_posterior
from pixelbayes.models import CheckpointError, Metadata, PixelBayes, ResNetClassifier, resnet
from pixelbayes.models.resnet import ResNet18

pytest.importorskip("monai", reason="the extra baselines is not installed")

CLASSES = ("koala", "pizza", "sea lion")
PRIOR = (log(0.5), log(0.25), log(0.25))


def noise(batch: int, channels: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, channels, *size), generator=generator).to(torch.uint8)


@pytest.fixture(scope="module")
def network() -> ResNet18:
    torch.manual_seed(0)
    return ResNet18(classes=3, channels=3).double().eval()


@pytest.fixture
def trained(network: ResNet18) -> ResNetClassifier:
    """Unequal prior, fitted temperature."""
    return ResNetClassifier(
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


def test_class_probabilities_sum_to_one(network: ResNet18) -> None:
    log_proba = network(noise(3, 3, (16, 16)))

    assert log_proba.shape == (3, 3)
    torch.testing.assert_close(log_proba.exp().sum(dim=1), torch.ones(3, dtype=torch.float64))


def test_the_stem_keeps_the_resolution_so_the_last_stage_sees_an_eighth(network: ResNet18) -> None:
    seen: list[torch.Size] = []
    hook = network.network.layer4.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.shape)
    )

    network(noise(1, 3, (32, 32)))
    hook.remove()

    assert seen == [torch.Size((1, 512, 4, 4))]


def test_black_and_white_reach_the_network_as_minus_one_and_one(network: ResNet18) -> None:
    seen: list[Tensor] = []
    hook = network.network.conv1.register_forward_pre_hook(
        lambda _module, inputs: seen.append(inputs[0])
    )

    network(torch.tensor([0, 255, 0], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 8, 8))
    hook.remove()

    assert seen[0][0, :, 0, 0].tolist() == [-1.0, 1.0, -1.0]


def test_odd_sizes_and_grey_images_are_classified() -> None:
    assert ResNet18(classes=2, channels=1).eval()(noise(1, 1, (9, 13))).shape == (1, 2)


@pytest.mark.parametrize(
    "levels", [torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)]
)
def test_what_are_no_levels_is_refused(network: ResNet18, levels: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected levels, uint8 \(B, 3, H, W\), got torch"):
        network(levels)


def test_numbers_that_are_not_accepted_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, got 4 and 2"):
        ResNet18(classes=4, channels=2)


def test_the_smallest_batch_is_what_batch_normalisation_can_be_trained_on() -> None:
    network = ResNet18(classes=2, channels=1).train()

    assert [ResNetClassifier.smallest_batch(size) for size in ((8, 8), (9, 8), (32, 32))] == [
        2,
        1,
        1,
    ]
    network(noise(2, 1, (8, 8)))
    network(noise(1, 1, (9, 8)))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(noise(1, 1, (8, 8)))


def test_without_monai_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai.networks.nets.resnet", None)

    with pytest.raises(MissingPackageError, match=r"pip install 'pixelbayes\[baselines\]'"):
        ResNet18(classes=2, channels=1)


def test_bayes_rule_weighs_what_the_network_says_by_the_prior(
    trained: ResNetClassifier, levels: Tensor
) -> None:
    """The network was trained on classes that are taken as equally frequent."""
    said = torch.log_softmax(trained.network(levels) + trained.log_prior, dim=1)

    posterior = class_posterior(trained.log_likelihoods(levels), trained.log_prior)

    torch.testing.assert_close(posterior, said)
    torch.testing.assert_close(trained.with_temperature(1.0).predict_log_proba(levels), said)


def test_the_temperature_divides_what_the_image_adds_to_the_prior(
    trained: ResNetClassifier, levels: Tensor
) -> None:
    expected = class_posterior(trained.log_likelihoods(levels), trained.log_prior, 2.5)

    torch.testing.assert_close(trained.predict_log_proba(levels), expected)
    assert [it.index for it in trained.predict(levels)] == expected.argmax(dim=1).tolist()
    cold = trained.with_temperature(1e9).predict_log_proba(levels)
    torch.testing.assert_close(cold, trained.log_prior.expand(9, 3))


def test_an_answer_does_not_depend_on_the_images_beside_it(
    trained: ResNetClassifier, levels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = trained.log_likelihoods(levels)
    done: list[int] = []
    monkeypatch.setattr(resnet, "CHUNK", 4)

    apart = trained.log_likelihoods(levels, progress=done.append)

    torch.testing.assert_close(apart, together)
    assert done == [4, 8, 9]


def test_calibration_lowers_the_log_loss_of_validation_images(
    trained: ResNetClassifier, levels: Tensor
) -> None:
    labels = torch.arange(9) % 3

    table = trained.log_likelihoods(levels)
    calibrated = trained.with_temperature(fit_temperature(table, trained.log_prior, labels))

    losses = [
        log_loss(model.predict_log_proba(levels), labels).value
        for model in (calibrated, trained, trained.with_temperature(1.0))
    ]
    assert losses[0] == min(losses)


def test_a_temperature_that_is_not_positive_is_refused(trained: ResNetClassifier) -> None:
    with pytest.raises(ValueError, match="temperature is positive and finite, got 0"):
        trained.with_temperature(0.0)


def test_a_reloaded_classifier_is_the_same_bit_for_bit(
    trained: ResNetClassifier, levels: Tensor, tmp_path: Path
) -> None:
    trained.network.train()(levels)  # running statistics are part of it
    trained.network.eval()
    trained.save(tmp_path / "run" / "best")

    loaded = ResNetClassifier.load(tmp_path / "run")

    assert torch.equal(loaded.predict_log_proba(levels), trained.predict_log_proba(levels))
    assert loaded.metadata.provenance == {"seed": 3}
    assert loaded.metadata.log_prior == PRIOR
    assert (loaded.classes, loaded.temperature) == (CLASSES, 2.5)
    assert loaded.resize == Resize(size=(8, 8))
    assert not loaded.network.training


def test_a_pixelcnn_is_not_taken_for_a_resnet18(tiny_model: PixelBayes, tmp_path: Path) -> None:
    tiny_model.save(tmp_path)

    with pytest.raises(CheckpointError, match=r"\(PixelCNN\) than the ResNet-18.*pixelbayes\.load"):
        ResNetClassifier.load(tmp_path)


def test_a_resnet18_is_not_taken_for_a_pixelcnn(trained: ResNetClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path)

    with pytest.raises(CheckpointError, match=r"holds a model of another kind \(ResNet-18\)"):
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
        (change_description(version=4), "format version 4, .*install a newer pixelbayes"),
        (change_description(config={}), "describes no such network: .*classes, channels missing"),
        (change_description(format="else"), "the format 'else', which is no model of pixelbayes"),
        (change_description(config={"classes": 4, "channels": 3}), "the model has 4 classes"),
        (change_description(config={"classes": 3, "channels": 1}), "holds other weights"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_the_reason(
    damage: Callable[[Path], None], message: str, trained: ResNetClassifier, tmp_path: Path
) -> None:
    trained.save(tmp_path)
    damage(tmp_path)

    with pytest.raises(CheckpointError, match=message):
        ResNetClassifier.load(tmp_path)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model in .*: expected model\.json"):
        ResNetClassifier.load(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        ResNetClassifier.load(tmp_path / "lost")


def test_a_model_is_not_saved_under_other_classes(network: ResNet18, tmp_path: Path) -> None:
    metadata = Metadata(classes=("a",), resize=asdict(Resize(size=(8, 8))), log_prior=(0.0,))

    with pytest.raises(ValueError, match="3 classes, the metadata 1: a"):
        ResNetClassifier(network, metadata).save(tmp_path)
