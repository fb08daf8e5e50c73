"""A checkpoint restores the model bit for bit, or says why not."""

from __future__ import annotations

import json

import pytest
import torch

from pixelbayes.core import FUSIONS
from pixelbayes.core.checkpoint import (
    KIND,
    CheckpointError,
    Metadata,
    load_checkpoint,
    read_version,
    save_checkpoint,
)
from pixelbayes.core.fusion import EarlyFusion

METADATA = Metadata(
    classes=("a", "b", "c"),
    resize={"size": [8, 8], "filter": "bilinear"},
    log_prior=(-1.0986, -1.0986, -1.0986),
    temperature=2.5,
    provenance={"seed": 7},
)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_reloaded_checkpoint_gives_identical_log_prob(
    tiny_network, random_levels, tmp_path, fusion
):
    network = tiny_network(fusion=fusion)
    save_checkpoint(tmp_path, network, METADATA)
    reloaded, metadata = load_checkpoint(tmp_path)
    levels, labels = random_levels(2, network.config), torch.tensor([0, 2])
    before, after = network(levels, labels), reloaded(levels, labels)
    assert before.log_prob(levels).equal(after.log_prob(levels))
    assert metadata == METADATA
    assert reloaded.config == network.config


def test_every_option_is_reloaded_bit_for_bit(tiny_network, random_levels, tmp_path, option):
    network = tiny_network(**option)
    save_checkpoint(tmp_path, network, METADATA)
    reloaded, _ = load_checkpoint(tmp_path)
    levels, labels = random_levels(2, network.config), torch.tensor([0, 2])
    before, after = network(levels, labels), reloaded(levels, labels)
    assert before.log_prob(levels).equal(after.log_prob(levels))
    assert reloaded.config == network.config


def test_a_checkpoint_that_knows_of_no_option_is_the_same_network(
    tiny_network, random_levels, tmp_path
):
    network = tiny_network()
    save_checkpoint(tmp_path, network, METADATA)
    config = json.loads((tmp_path / "model.json").read_text())["config"]
    for name in ("views", "head_layers", "attention", "label_channels", "dropout_of"):
        del config[name]
    edit(tmp_path, config=config)
    levels, labels = random_levels(2, network.config), torch.tensor([0, 2])
    reloaded, _ = load_checkpoint(tmp_path)
    assert reloaded.config == network.config
    after = reloaded(levels, labels).log_prob(levels)
    assert network(levels, labels).log_prob(levels).equal(after)


def test_weights_of_another_checkpoint_are_refused(tiny_network, tmp_path):
    save_checkpoint(tmp_path / "a", tiny_network(seed=0), METADATA)
    save_checkpoint(tmp_path / "b", tiny_network(seed=1), METADATA)
    (tmp_path / "a" / "model.safetensors").replace(tmp_path / "b" / "model.safetensors")
    with pytest.raises(CheckpointError, match="Copy both from the same checkpoint"):
        load_checkpoint(tmp_path / "b")


def test_an_empty_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="run directory that has finished an epoch"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "other"}'])
def test_a_damaged_description_is_named(tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"model\.json"):
        load_checkpoint(tmp_path)


def edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_later_format_asks_for_a_newer_version(tiny_network, tmp_path):
    save_checkpoint(tmp_path, tiny_network(), METADATA)
    edit(tmp_path, version=KIND.version + 1)
    with pytest.raises(CheckpointError, match="install a newer pixelbayes"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_checkpoint_of_version_1_is_the_same_function(
    tiny_network, random_levels, tmp_path, monkeypatch, fusion
):
    network = tiny_network(fusion=fusion).double()
    levels, labels = random_levels(2, network.config), torch.tensor([0, 2])
    with monkeypatch.context() as patch:  # e_y undivided
        patch.setattr(EarlyFusion, "on_input", lambda self, labels: self.embedding(labels))
        then = network(levels, labels).log_prob(levels)
    save_checkpoint(tmp_path, network, METADATA)
    edit(tmp_path, version=1)
    reloaded, _ = load_checkpoint(tmp_path)
    assert read_version(tmp_path) == 1
    assert torch.allclose(reloaded(levels, labels).log_prob(levels), then, rtol=1e-10)
    changed = not then.equal(network(levels, labels).log_prob(levels))
    assert changed == bool(network.fusion.input_channels)


def test_truncated_weights_are_named(tiny_network, tmp_path):
    save_checkpoint(tmp_path, tiny_network(), METADATA)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        load_checkpoint(tmp_path)


def test_weights_of_another_architecture_are_named(tiny_network, tmp_path):
    network = tiny_network()
    save_checkpoint(tmp_path, network, METADATA)
    config = json.loads((tmp_path / "model.json").read_text())["config"]
    edit(tmp_path, config={**config, "blocks_per_stage": 2})
    with pytest.raises(CheckpointError, match="other weights than this version's network"):
        load_checkpoint(tmp_path)


def test_a_model_and_class_names_that_disagree_are_not_saved(tiny_network, tmp_path):
    with pytest.raises(ValueError, match="the model has 5 classes, the metadata 3"):
        save_checkpoint(tmp_path, tiny_network(classes=5), METADATA)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_kind_is_named(tmp_path):
    (tmp_path / "model.json").write_text('{"format": "pixelbayes-resnet18"}')
    with pytest.raises(CheckpointError, match=r"another kind \(pixelbayes-resnet18\)"):
        load_checkpoint(tmp_path)
