"""Calibrating a model: which images, what is stored, what is refused."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
import torch

from pixelbayes.cli.main import main
from pixelbayes.data import DatasetWarning, Resize, write_png
from pixelbayes.io import plain
from pixelbayes.models import Metadata, PixelBayes, load_model
from pixelbayes.models.hub import MODEL_CARD
from pixelbayes.workflows.calibrate import CalibrationError, calibrate_model
from pixelbayes.workflows.evaluate import EvaluationError
from pixelbayes.workflows.loading import load_data_for

DIGITS = {"data": "digits", "limit": 60}


@pytest.fixture
def checkpoint(tiny_network, tmp_path):
    """Random weights that say they were trained on 60 digits."""
    network = tiny_network(classes=10, channels=1)
    metadata = Metadata(
        classes=tuple(map(str, range(10))),
        resize=plain(Resize(size=(8, 8))),
        log_prior=(log(0.1),) * 10,
        temperature=5.0,
        provenance={"config": {"data": DIGITS}},
    )
    PixelBayes(network, metadata).save(tmp_path / "model")
    return tmp_path / "model"


def test_thresholds_come_from_the_validation_images_and_stay_with_the_model(checkpoint):
    decisions, written = calibrate_model(checkpoint)
    model = load_model(checkpoint)
    images = load_data_for(model, "digits", limit=60).split("validation")
    assert written == checkpoint
    assert model.decisions == decisions
    assert decisions.n == len(images) == 60
    assert decisions.temperature == 5.0
    assert decisions.calibrated_on == "validation of digits"
    assert decisions.typical_log_prob == pytest.approx(
        float(model.score_samples(images.levels).mean()), rel=1e-12
    )
    held = model.decisions.prediction_set(model.predict_log_proba(images.levels), 0.9)
    assert int(held.gather(1, images.labels[:, None]).sum()) >= 55  # rank ceil(61 * 0.9) of 60


def test_other_images_without_splits_are_all_fitted_on(checkpoint, tmp_path):
    digits = load_data_for(load_model(checkpoint), "digits", limit=60).split("test")
    for number, label in enumerate(digits.labels.tolist()):
        write_png(digits.levels[number], tmp_path / "new" / f"{label}" / f"{number}.png")
    with pytest.warns(DatasetWarning, match="is taken whole, as the split test"):
        decisions, _ = calibrate_model(checkpoint, data=f"folder:{tmp_path / 'new'}")
    assert decisions.n == len(digits)
    assert decisions.calibrated_on == f"test of folder:{tmp_path / 'new'}"


def test_images_of_training_and_other_classes_are_refused(checkpoint, tmp_path):
    with pytest.raises(CalibrationError, match="surer of the images"):
        calibrate_model(checkpoint, split="train")
    model = load_model(checkpoint)
    other = replace(model.metadata, classes=(*"abcdefghij",))
    model.with_metadata(other).save(tmp_path / "other")
    with pytest.raises(CalibrationError, match="has others"):
        calibrate_model(tmp_path / "other")


def test_a_model_without_known_data_asks_for_a_source(checkpoint, tmp_path):
    model = load_model(checkpoint)
    model.with_metadata(replace(model.metadata, provenance={})).save(tmp_path / "bare")
    with pytest.raises(EvaluationError, match="--data"):
        calibrate_model(tmp_path / "bare")


def test_the_command_writes_a_copy_and_leaves_the_model(checkpoint, tmp_path, capsys):
    before = (checkpoint / "model.json").read_bytes()
    copy = tmp_path / "copy"
    assert main(["calibrate", str(checkpoint), "--output", str(copy), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "60 images, validation of digits" in said
    assert "typicality" in said
    assert (checkpoint / "model.json").read_bytes() == before
    assert load_model(copy).decisions is not None
    assert torch.equal(
        load_model(copy).network.output.bias, load_model(checkpoint).network.output.bias
    )
    assert main(["calibrate", str(checkpoint), "--output", str(copy)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_shipped_model_is_not_changed_in_place(capsys):
    assert main(["calibrate", "cpen455-gated"]) == 2
    assert "--output" in capsys.readouterr().err


def test_too_few_images_for_a_rate_say_how_many_are_needed(checkpoint, capsys):
    assert main(["calibrate", str(checkpoint), "--false-alarm-rate", "0.01", "--quiet"]) == 2
    assert "at least 99 images, got 60" in capsys.readouterr().err
    assert not (checkpoint / MODEL_CARD).exists()
