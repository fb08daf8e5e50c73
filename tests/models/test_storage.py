"""A checkpoint restores the model bit for bit, or says why not."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from math import log

import pytest
import torch

from pixelbayes.core import FUSIONS
from pixelbayes.core.fusion import EarlyFusion
from pixelbayes.models import CheckpointError, Ensemble, Metadata, PixelBayes, load_model, storage
from pixelbayes.models.base import answers_digest

METADATA = Metadata(
    classes=("a", "b", "c"),
    resize={"size": [8, 8], "filter": "bilinear"},
    log_prior=(-log(3.0),) * 3,
    temperature=2.5,
    provenance={"seed": 7},
)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_reloaded_checkpoint_gives_identical_log_prob(
    tiny_network, random_levels, tmp_path, fusion
):
    network = tiny_network(fusion=fusion)
    PixelBayes(network, METADATA).save(tmp_path)
    loaded = PixelBayes.load(tmp_path)
    reloaded, metadata = loaded.network, loaded.metadata
    levels, labels = random_levels(2, network.config), torch.tensor([0, 2])
    before, after = network(levels, labels), reloaded(levels, labels)
    assert before.log_prob(levels).equal(after.log_prob(levels))
    assert metadata == METADATA
    assert reloaded.config == network.config


def test_weights_of_another_checkpoint_are_refused(tiny_network, tmp_path):
    PixelBayes(tiny_network(seed=0), METADATA).save(tmp_path / "a")
    PixelBayes(tiny_network(seed=1), METADATA).save(tmp_path / "b")
    (tmp_path / "a" / "model.safetensors").replace(tmp_path / "b" / "model.safetensors")
    with pytest.raises(CheckpointError, match="Copy both from the same checkpoint"):
        PixelBayes.load(tmp_path / "b")


def test_an_empty_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="run directory that has finished an epoch"):
        PixelBayes.load(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "other"}'])
def test_a_damaged_description_is_named(tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"model\.json"):
        PixelBayes.load(tmp_path)


def edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_later_format_asks_for_a_newer_version(tiny_network, tmp_path):
    PixelBayes(tiny_network(), METADATA).save(tmp_path)
    edit(tmp_path, version=storage.VERSION + 1)
    with pytest.raises(CheckpointError, match="install a newer pixelbayes"):
        PixelBayes.load(tmp_path)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_checkpoint_of_version_1_is_the_same_function(
    tiny_network, random_levels, tmp_path, monkeypatch, fusion
):
    network = tiny_network(fusion=fusion).double()
    levels, labels = random_levels(2, network.config), torch.tensor([0, 2])
    with monkeypatch.context() as patch:  # e_y undivided
        patch.setattr(EarlyFusion, "on_input", lambda self, labels: self.embedding(labels))
        then = network(levels, labels).log_prob(levels)
    PixelBayes(network, METADATA).save(tmp_path)
    edit(tmp_path, version=1)
    reloaded = PixelBayes.load(tmp_path).network
    assert storage.read_description(tmp_path)["version"] == 1
    assert torch.allclose(reloaded(levels, labels).log_prob(levels), then, rtol=1e-10)
    changed = not then.equal(network(levels, labels).log_prob(levels))
    assert changed == bool(network.fusion.input_channels)


def test_truncated_weights_are_named(tiny_network, tmp_path):
    PixelBayes(tiny_network(), METADATA).save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        PixelBayes.load(tmp_path)


def test_weights_of_another_architecture_are_named(tiny_network, tmp_path):
    network = tiny_network()
    PixelBayes(network, METADATA).save(tmp_path)
    config = json.loads((tmp_path / "model.json").read_text())["config"]
    edit(tmp_path, config={**config, "blocks_per_stage": 2})
    with pytest.raises(CheckpointError, match="other weights than this version's network"):
        PixelBayes.load(tmp_path)


def test_a_model_and_class_names_that_disagree_are_not_saved(tiny_network, tmp_path):
    with pytest.raises(ValueError, match="the model has 5 classes, the metadata 3"):
        PixelBayes(tiny_network(classes=5), METADATA).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_kind_is_named(tiny_network, tmp_path):
    members = [PixelBayes(tiny_network(seed=seed), METADATA) for seed in (0, 1)]
    Ensemble(members).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"another kind \(ensemble\) than the PixelCNN"):
        PixelBayes.load(tmp_path)


def test_a_kind_of_a_later_version_is_named_with_the_known_ones(tiny_network, tmp_path):
    PixelBayes(tiny_network(), METADATA).save(tmp_path)
    edit(tmp_path, format="pixelbayes-transformer")
    with pytest.raises(
        CheckpointError, match=r"of the kind 'transformer'; .*knows: diffusion, ensemble, pixelcnn"
    ):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_file_cut_in_half_is_refused_by_its_name(tiny_network, tmp_path, name):
    PixelBayes(tiny_network(), METADATA).save(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        PixelBayes.load(tmp_path)


def remove(folder, *names):
    """Takes fields out of the description, as a file that was cut and closed by hand lacks them."""
    path = folder / "model.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: content[key] for key in content if key not in names}))


FIELDS = ("classes", "resize", "log_prior", "temperature", "provenance", "config", "weights_sha256")


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_of_the_current_version_is_damage(tiny_network, tmp_path, field):
    PixelBayes(tiny_network(), METADATA).save(tmp_path)
    remove(tmp_path, field)
    with pytest.raises(CheckpointError, match=rf"{field}.* missing|{field} missing") as refused:
        PixelBayes.load(tmp_path)
    assert "model.json" in str(refused.value)
    assert "damaged" in str(refused.value)


def test_a_missing_option_of_the_network_is_damage_too(tiny_network, tmp_path):
    PixelBayes(tiny_network(), METADATA).save(tmp_path)
    config = json.loads((tmp_path / "model.json").read_text())["config"]
    del config["fusion"]
    edit(tmp_path, config=config)
    with pytest.raises(CheckpointError, match="fusion missing: the file is damaged"):
        PixelBayes.load(tmp_path)


def test_a_checkpoint_of_version_2_without_a_temperature_has_the_temperature_1(
    tiny_network, random_levels, tmp_path
):
    model = PixelBayes(tiny_network(), METADATA)
    model.save(tmp_path)
    remove(tmp_path, "temperature", "provenance")
    edit(tmp_path, version=2)
    loaded = PixelBayes.load(tmp_path)
    levels = random_levels(2, model.network.config)
    assert (loaded.temperature, loaded.metadata.provenance) == (1.0, {})
    assert torch.equal(loaded.log_likelihoods(levels), model.log_likelihoods(levels))


def test_class_names_are_missed_in_every_version(tiny_network, tmp_path):
    PixelBayes(tiny_network(), METADATA).save(tmp_path)
    remove(tmp_path, "classes")
    edit(tmp_path, version=2)
    with pytest.raises(CheckpointError, match="classes is missing"):
        PixelBayes.load(tmp_path)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named_when_it_is_written(tiny_network, tmp_path, wrong):
    network = tiny_network()
    with torch.no_grad():
        network.output.bias[0] = wrong
    with pytest.raises(CheckpointError, match=r"the weight output\.bias is not finite"):
        PixelBayes(network, METADATA).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_weight_that_is_no_number_is_named_when_it_is_read(tiny_network, tmp_path, monkeypatch):
    network = tiny_network()
    with torch.no_grad():
        network.output.bias[0] = float("nan")
    with monkeypatch.context() as patch:  # as versions before wrote it
        patch.setattr(storage, "_require_finite", lambda *_: None)
        PixelBayes(network, METADATA).save(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"output\.bias in .*model\.safetensors is not finite"
    ):
        PixelBayes.load(tmp_path)


def test_class_names_that_were_shortened_are_noticed(tiny_network, tmp_path):
    PixelBayes(tiny_network(), METADATA).save(tmp_path)
    edit(tmp_path, classes=["a", "b"], log_prior=[log(0.5)] * 2)
    with pytest.raises(CheckpointError, match="the model has 3 classes, the metadata 2: a, b"):
        PixelBayes.load(tmp_path)


class Planted:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (str(self.place), "w"))


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_no_file_of_a_checkpoint_can_run_code(tiny_network, tmp_path, name):
    PixelBayes(tiny_network(), METADATA).save(tmp_path / "model")
    payload = pickle.dumps(Planted(tmp_path / "was here"))
    pickle.loads(payload).close()
    (tmp_path / "was here").unlink()  # so it would be there, if it were unpickled
    (tmp_path / "model" / name).write_bytes(payload)
    with pytest.raises(CheckpointError, match=name):
        PixelBayes.load(tmp_path / "model")
    assert not (tmp_path / "was here").exists()


def test_a_class_that_is_impossible_a_priori_is_kept(tiny_network, tmp_path):
    prior = (log(0.5), -math.inf, log(0.5))
    model = PixelBayes(tiny_network(), replace(METADATA, log_prior=prior))
    model.save(tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["log_prior"][1] is None
    assert PixelBayes.load(tmp_path).metadata.log_prior == prior


@pytest.mark.parametrize("prior", [(0.0, 0.0, 0.0), (math.nan, 0.0, 0.0), (-1.0, -1.0, -1.0)])
def test_a_prior_is_of_probabilities_that_sum_to_one(prior):
    with pytest.raises(ValueError, match="whose exponentials sum to one, got"):
        replace(METADATA, log_prior=prior)


@pytest.mark.parametrize(
    "damage", [{"weights_sha256": None}, {"config": []}, {"config": {"members": 3}}]
)
def test_a_damaged_description_is_told_before_anything_is_asked_of_it(
    tiny_network, tmp_path, damage
):
    model = PixelBayes(tiny_network(), METADATA)
    Ensemble([model, model]).save(tmp_path)
    answers_digest(tmp_path)
    edit(tmp_path, **damage)
    with pytest.raises(CheckpointError, match="is damaged"):
        answers_digest(tmp_path)


def test_what_an_ensemble_answers_does_not_depend_on_where_its_members_come_from(
    tiny_network, tmp_path
):
    digests = set()
    for place, mirrored in ((1, False), (2, False), (3, True)):
        metadata = replace(METADATA, provenance={"place": place})
        inner = PixelBayes(tiny_network(), metadata)
        pair = Ensemble([Ensemble([inner, inner], mirrored=mirrored), inner])
        pair.save(tmp_path / str(place))
        digests.add((answers_digest(tmp_path / str(place)), mirrored))
    assert len(digests) == 2
