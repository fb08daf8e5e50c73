"""Studies and recipes that come with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import pixelbayes
from pixelbayes.workflows import RunConfig, RunError
from pixelbayes.workflows.shipped import SHIPPED, find_shipped, shipped
from pixelbayes.workflows.study import StudyConfig, output_folder
from pixelbayes.workflows.unused import unused_settings


def test_what_comes_with_the_package_is_found_by_its_name() -> None:
    assert find_shipped("study", "digits") == SHIPPED / "study-digits.yaml"
    assert find_shipped("train", "classifier") == SHIPPED / "train-classifier.yaml"
    assert output_folder(find_shipped("study", Path("digits"))) == Path("runs/study-digits")
    found = {*shipped("study").values(), *shipped("train").values()}
    assert found == set(SHIPPED.glob("*.yaml"))


def test_a_file_goes_before_what_is_shipped_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").write_text("title: mine")
    assert find_shipped("study", "digits") == Path("digits")


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("study", "digts", r"no study 'digts': give .*cpen455-small, cpen455, digits"),
        ("study", "configs/study-digits.yaml", r"did you mean digits\? give a YAML file"),
        ("train", "train-density.yaml", r"no recipe .*did you mean density\?"),
        (
            "train",
            "digits",
            r"no recipe 'digits': give .*: classifier, density, resnet18",
        ),
    ],
)
def test_what_is_nowhere_lists_what_there_is(kind: str, given: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        find_shipped(kind, given)


@pytest.mark.parametrize("name", shipped("train"))
def test_every_setting_of_a_recipe_is_read(name: str) -> None:
    assert unused_settings(RunConfig.read(find_shipped("train", name))) == []


def test_recipes_are_the_settings_that_the_shipped_models_were_trained_with() -> None:
    hybrid = StudyConfig.read(find_shipped("study", "cpen455-accuracy")).model("onepass-hybrid", 0)
    recipe = RunConfig.read(find_shipped("train", "classifier"))
    assert isinstance(hybrid, RunConfig)
    assert (recipe.network, recipe.optim) == (hybrid.network, hybrid.optim)
    begun = {name: getattr(hybrid.training, name) for name in ("init_from", "window_step")}
    measured = {"accuracy_images": hybrid.training.accuracy_images}
    assert replace(recipe.training, **begun, **measured) == hybrid.training
    gated = StudyConfig.read(find_shipped("study", "cpen455-75")).model("gated", 0)
    recipe = RunConfig.read(find_shipped("train", "density"))
    assert isinstance(gated, RunConfig)
    assert (recipe.network, recipe.optim) == (gated.network, gated.optim)
    kept = {name: getattr(gated.training, name) for name in ("checkpoint_every", "accuracy_images")}
    assert replace(recipe.training, **kept) == gated.training


def test_both_recipes_can_start_from_the_shipped_model_of_their_kind() -> None:
    for recipe, model in (("classifier", "cpen455-onepass"), ("density", "cpen455-gated")):
        network = RunConfig.read(find_shipped("train", recipe)).network
        described = pixelbayes.load(model).network.config
        assert (network.features, network.fusion) == (described.features, described.fusion)
