"""From a study's YAML to the configurations of its runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import pixelbayes
from pixelbayes.models import ResNetClassifier
from pixelbayes.workflows.config import RunError
from pixelbayes.workflows.runs import RunConfig
from pixelbayes.workflows.shipped import find_shipped
from pixelbayes.workflows.study import (
    StudyConfig,
    output_folder,
)

CONFIGS = Path(pixelbayes.__file__).parent / "configs"
TEXT = """
title: T
seeds: [3, 4]
base:
  data: {data: digits}
  network: {features: 8}
  optim: {lr: 0.001}
  training: {epochs: 5}
models:
  early: {network: {fusion: early}}
  long: {training: {epochs: 50}}
  resnet18: {baseline: resnet18, optim: {weight_decay: 0.1}, label_smoothing: 0.2}
fid: {dims: [192], reference_size: [64, 64]}
"""


def test_a_model_is_the_base_with_its_changes() -> None:
    study = StudyConfig.from_yaml(TEXT)
    early, long = study.model("early", 3), study.model("long", 4)
    assert isinstance(early, RunConfig)
    assert (early.network.features, early.network.fusion, early.seed) == (8, "early", 3)
    assert (early.training.epochs, long.training.epochs, long.seed) == (5, 50, 4)


def test_another_kind_shares_everything_but_the_network() -> None:
    model = StudyConfig.from_yaml(TEXT).model("resnet18", 3)
    assert isinstance(model, RunConfig)
    assert model.kind is ResNetClassifier
    assert (model.optim.lr, model.optim.weight_decay) == (0.001, 0.1)
    assert model.training.label_smoothing == 0.2
    assert (model.training.epochs, model.data.data, model.seed) == (5, "digits", 3)


def test_the_resolved_text_reads_back_equal() -> None:
    study = StudyConfig.from_yaml(TEXT)
    assert StudyConfig.from_yaml(study.to_yaml()) == study


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        ("title: T", "titel: T", "unknown key titel;.*did you mean title.* @ s.yaml"),
        ("features: 8", "feature: 8", "unknown key feature;.* @ base in s.yaml.network"),
        ("fusion: early", "fusoin: x", "unknown key fusoin;.* @ models.early in s.yaml.network"),
        ("seeds: [3, 4]", "seeds: 3", "seeds in s.yaml holds a list, got 3"),
        ("seeds: [3, 4]", "seeds: [3, 3]", "s.yaml: seeds are one or more different numbers"),
        (
            "baseline: resnet18",
            "baseline: vgg",
            "model is one of: .*resnet18; got 'vgg' @ models.resnet18 in s.yaml",
        ),
        ("  early:", "  tables:", "a model's name becomes a folder.*got 'tables'"),
        ("  early:", "  a/b:", "a model's name becomes a folder.*got 'a/b'"),
        ("{epochs: 50}", "{max_time: 1h}", "models.long: max_time belongs to a call"),
        ("{epochs: 50}", "{devices: 2}", "a study trains on one device"),
        ("dims: [192]", "dims: [0]", "fid.dims is a whole number, 1 or more, got 0"),
        ("dims: [192]", "protocols: [fair]", "fid.protocols are any of: course, matched"),
        ("fid:", "published: other\nfid:", "published: .*'other'.*cpen455"),
        ("fid:", "samples_per_class: 1\nfid:", "samples_per_class is a whole number, 2 or more"),
        ("  long: {", "  long: {seed: 1, ", "models.long in s.yaml has no seed of its own"),
    ],
)
def test_a_mistake_is_told_with_its_place(line: str, instead: str, message: str) -> None:
    assert line in TEXT
    with pytest.raises(RunError, match=message):
        StudyConfig.from_yaml(TEXT.replace(line, instead), "s.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "models: {a: {checkpoint: d, data: digits}}",
            r"got 'digits' @ models\.a in s\.yaml",
        ),
        ("on: true", r"unknown key True; known: title.*in quotes @ s\.yaml"),
        ("1: 2\nx: 3\nmodels: {}", r"unknown key 1, x; known: title"),
        ("models: {a: {network: {1: 2}}}", r"unknown key 1; .* @ models\.a in s\.yaml\.network"),
        ("models: {on: {}}", "the name True for YAML.*quotes"),
        ("models: {1: {}, '1': {}}", "models in s.yaml has '1' twice"),
        ("models: {a: []}", r"models\.a in s\.yaml holds names and values, got \[\]"),
        ("models: {a: {training: 3, label_smoothing: .1}}", r"got 3 @ models\.a in s\.yaml\.train"),
        ("models: {a: {training: [1], label_smoothing: .1}}", r"got \[1\] @ models\.a in s"),
        ("models: {a: {model: pixelcnn, baseline: resnet18}}", "baseline, which is its old name"),
        ("models: {a: {}}\npublished: [1]", r"published: .* under \[1\]; choose one of: cpen455"),
        ("models: {a: {}}\npublished: {a: 1}", r"published: .* under \{'a': 1\}"),
        ("title: 2001-99-99", r"s\.yaml is not YAML: no value: month"),
        ("title: " + "[" * 3000, r"s\.yaml has too many levels"),
    ],
)
def test_yaml_of_another_shape_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        StudyConfig.from_yaml(text, "s.yaml")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("data: {data: digts}", "unknown data source 'digts'"),
        ("data: {data_dir: /x}", r"means nothing to digits; leave it out @ models\.a in s\.yaml"),
        ("data: {limit: -1}", r"limit .* above 0, got -1 @ models\.a in s\.yaml\.data"),
        ("data: {set_aside: 0}", "set_aside is a number of images above 0, got 0"),
        ("data: {split_seed: -1}", "split_seed is a whole number, 0 or more, got -1"),
        ("data: {near_duplicates: x}", "unknown near_duplicates 'x'; choose one of: tell"),
        ("data: {image_size: [0, 2]}", r"image_size is rows and columns, .* got \(0, 2\)"),
        ("data: {channels: 2}", r"channels is 1 \(grey\) or 3"),
        ("data: {filter: x}", "unknown filter 'x'; choose one of: box"),
        ("data: {geometry: x}", "unknown geometry 'x'; choose one of: crop"),
        ("network: {features: -1}", r"models\.a: features is a positive whole number, got -1"),
        ("network: {fusion: x}", "unknown fusion 'x'; choose one of"),
    ],
)
def test_values_of_a_study_are_checked_when_it_is_read(section: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        StudyConfig.from_yaml(f"models: {{a: {{{section}}}}}", "s.yaml")


def test_the_size_of_the_reference_images_is_checked_when_a_study_is_read() -> None:
    with pytest.raises(RunError, match=r"fid\.reference_size is rows and columns.*got \(0, 3\)"):
        StudyConfig.from_yaml("models: {a: {}}\nfid: {reference_size: [0, 3]}")


@pytest.mark.parametrize("kind", ["training: {epochs: 1}", "checkpoint: d"])
def test_a_section_that_is_left_empty_is_one_that_is_not_mentioned(kind: str) -> None:
    text = "base: {{data: {base}}}\nmodels: {{a: {{{kind}, data: null}}}}"
    limited = StudyConfig.from_yaml(text.format(base="{limit: 7}", kind=kind))
    assert limited.data_of("a").limit == 7
    assert StudyConfig.from_yaml(text.format(base="null", kind=kind)).data_of("a").limit is None


def test_a_model_names_another_kind_than_the_base_does_in_old_words() -> None:
    study = StudyConfig.from_yaml("base: {baseline: resnet18}\nmodels: {a: {model: pixelcnn}}")
    model = study.model("a", 0)
    assert isinstance(model, RunConfig)
    assert model.model == "pixelcnn"


def test_a_key_that_is_given_twice_is_refused_with_its_lines() -> None:
    with pytest.raises(RunError, match="line 4 gives 'a' a second time, after line 2; keep one"):
        StudyConfig.from_yaml("models:\n  a: {}\n  b: {}\n  a: {training: {epochs: 1}}")


def test_a_merged_key_may_be_given_anew() -> None:
    text = """
base: {training: &shared {epochs: 3, batch_size: 8}}
models: {a: {training: &a {<<: *shared, epochs: 4}}, b: {training: {<<: *a, epochs: 5}}}
"""
    for name, epochs in (("a", 4), ("b", 5)):
        model = StudyConfig.from_yaml(text).model(name, 0)
        assert isinstance(model, RunConfig)
        assert (model.training.epochs, model.training.batch_size) == (epochs, 8)


def test_an_unknown_model_lists_those_there_are() -> None:
    with pytest.raises(RunError, match="no model 'lat' in this study; choose from: early, long"):
        StudyConfig.from_yaml(TEXT).chosen(["early", "lat"])


def test_overrides_reach_all_models_and_epochs_are_a_cap() -> None:
    study = StudyConfig.from_yaml(TEXT).overridden(
        seeds=[9], epochs=20, precision="bf16-mixed", accelerator="cpu"
    )
    assert study.seeds == (9,)
    assert [model.training.epochs for model in study.models.values()] == [5, 20, 5]
    assert {model.training.precision for model in study.models.values()} == {"bf16-mixed"}
    assert {model.training.accelerator for model in study.models.values()} == {"cpu"}


def test_a_precision_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RunError, match="--precision is one of"):
        StudyConfig.from_yaml(TEXT).overridden(precision="16")


def test_the_folder_is_named_after_the_file_or_is_the_studys_own(tmp_path: Path) -> None:
    assert output_folder(Path("elsewhere/study-digits.yaml")) == Path("runs/study-digits")
    (tmp_path / "study.json").write_text("{}")
    assert output_folder(tmp_path / "study.yaml") == tmp_path


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("study-*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_studies_are_accepted(path: Path) -> None:
    study = StudyConfig.read(path)
    assert StudyConfig.from_yaml(study.to_yaml()) == study


def test_the_studys_opponents_are_the_tuned_and_the_published_setting() -> None:
    study = StudyConfig.read(CONFIGS / "study-cpen455.yaml")
    tuned = RunConfig.read(find_shipped("train", "resnet18"))
    for name, setting in (("resnet18", tuned), ("resnet18-published", RunConfig(model="resnet18"))):
        assert replace(study.models[name], data=setting.data) == setting


def test_the_small_study_trains_what_the_command_line_does() -> None:
    """pixelbayes train --data cpen455 --fusion gated --dropout 0 --ema-decay 0.995 ..."""
    expected = RunConfig.from_yaml(
        """
        data: {data: cpen455}
        network: {fusion: gated, dropout: 0.0}
        optim: {ema_decay: 0.995}
        training: {accuracy_images: 128, epochs: 12, checkpoint_every: 1}
        """
    )
    assert StudyConfig.read(CONFIGS / "study-cpen455-small.yaml").model("gated", 0) == expected
