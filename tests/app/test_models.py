"""The models that a page offers."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.app.models import ModelShelf, offered_names
from pixelbayes.errors import PixelBayesError
from pixelbayes.models.hub import DEFAULT, DENSITY, shipped

SHIPPED = [DEFAULT, DENSITY]  # the classifier first


def test_finished_runs_are_offered_and_others_are_not(tiny_model, tmp_path):
    tiny_model.save(tmp_path / "runs" / "done" / "best")
    (tmp_path / "runs" / "begun").mkdir()
    (tmp_path / "runs" / "begun" / "run.json").touch()
    names = offered_names(runs=tmp_path / "runs")
    assert names == [*SHIPPED, str(tmp_path / "runs" / "done")]


def test_the_model_that_was_asked_for_comes_first_and_once(tmp_path):
    assert offered_names("mine", tmp_path) == ["mine", *SHIPPED]
    assert offered_names(DENSITY, tmp_path) == [DENSITY, DEFAULT]
    assert {*SHIPPED} == {*shipped()}


def test_a_model_is_loaded_once_and_its_examples_are_its_own(tiny_model, tmp_path):
    tiny_model.save(tmp_path)
    shelf = ModelShelf([str(tmp_path)])
    offered = shelf.get(str(tmp_path))
    assert shelf.get(str(tmp_path)) is offered
    assert offered.examples.shape == (3, 3, 8, 8)
    assert torch.equal(offered.examples, ModelShelf([str(tmp_path)]).get(str(tmp_path)).examples)
    assert offered.photo(1).name == "pizza, drawn by the model"
    assert "8 x 8 colour" in offered.sentence


def test_no_other_model_is_ever_loaded(tiny_model, tmp_path):
    tiny_model.save(tmp_path)
    with pytest.raises(PixelBayesError, match="this page offers no model"):
        ModelShelf(["cpen455-gated"]).get(str(tmp_path))
