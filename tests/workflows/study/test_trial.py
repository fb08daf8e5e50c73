"""Models that a study takes as they are, beside those that it trains."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from pixelbayes.data import write_png
from pixelbayes.models import load_model
from pixelbayes.training import DivergedError
from pixelbayes.workflows.config import RunError
from pixelbayes.workflows.study import StudyConfig, report_study
from pixelbayes.workflows.study.config import CheckpointConfig
from pixelbayes.workflows.train import train

TRAINED = """
title: Trained once, measured twice
base:
  data: {data: digits, limit: 20}
  network: {features: 4, mixtures: 1, embedding: 2, dropout: 0.0}
  training: {epochs: 1, batch_size: 10, accuracy_images: 0, init_images: 10}
models:
  gated: {network: {fusion: gated}}
samples_per_class: 2
"""


def with_checkpoint(path: Path, split_seed: int = 0) -> StudyConfig:
    """The same study, the gated model taken from a checkpoint, and an ensemble of it and late."""
    base = TRAINED.partition("models:")[0].replace(
        "limit: 20", f"limit: 20, split_seed: {split_seed}"
    )
    models = f"""models:
  taken: {{checkpoint: {path}}}
  late: {{network: {{fusion: late}}}}
  both: {{ensemble: [taken, late]}}
"""
    return StudyConfig.from_yaml(f"{base}{models}samples_per_class: 2\n")


def test_a_trained_model_is_measured_as_it_is(run_study, tmp_path: Path) -> None:
    trained = run_study(StudyConfig.from_yaml(TRAINED)).results[0]
    run = tmp_path / "elsewhere"
    (tmp_path / "study" / "gated" / "seed-0").rename(run)
    results = {r.name: r for r in run_study(with_checkpoint(run)).results}

    taken = results["taken"]
    assert taken.splits == trained.splits
    assert (taken.kind, taken.fusion) == (trained.kind, trained.fusion) == ("pixelcnn", "gated")
    assert (taken.epochs, taken.training_seconds) == (0, 0.0)
    assert taken.finished
    assert results["both"].kind == "ensemble"
    members = load_model(tmp_path / "study" / "both" / "seed-0" / "best")
    assert members.describe()["parameters"] == taken.parameters + results["late"].parameters


def test_a_model_that_was_trained_on_images_of_the_study_is_refused_before_any_training(
    run_study, tmp_path: Path
) -> None:
    run_study(StudyConfig.from_yaml(TRAINED))
    run = tmp_path / "elsewhere"
    (tmp_path / "study" / "gated" / "seed-0").rename(run)
    shutil.rmtree(tmp_path / "study")
    with pytest.raises(RunError, match=r"models\.taken: .* was trained on \d+ of the \d+"):
        run_study(with_checkpoint(run, split_seed=1))
    assert not (tmp_path / "study" / "late").exists()


def test_a_result_of_other_settings_is_reported_as_it_is(run_study, tmp_path: Path) -> None:
    before = run_study(StudyConfig.from_yaml(TRAINED)).results
    other = StudyConfig.from_yaml(TRAINED.replace("features: 4", "features: 5"))
    (shown,) = report_study(other, tmp_path / "study").results
    assert any("Not as the study asks for now" in note for note in shown.notes)
    assert replace(shown, notes=before[0].notes) == before[0]
    (tmp_path / "study" / "gated" / "seed-0" / "result.json").unlink()
    run_study(StudyConfig.from_yaml(TRAINED.replace("gated:", "again:")))
    outcome = report_study(
        StudyConfig.from_yaml(
            TRAINED.replace("features: 4", "features: 5").replace("models:", "models:\n  again: {}")
        ),
        tmp_path / "study",
    )
    assert len(outcome.missing) == 1
    assert "gated, seed 0" in outcome.missing[0]
    assert "trained with other settings" in outcome.missing[0]


def test_other_weights_at_the_same_place_are_measured_again(run_study, tmp_path: Path) -> None:
    run_study(StudyConfig.from_yaml(TRAINED))
    run = tmp_path / "elsewhere"
    (tmp_path / "study" / "gated" / "seed-0").rename(run)
    config = with_checkpoint(run)
    (first,) = run_study(config, only=["taken"]).results
    (again,) = run_study(config, only=["taken"]).results
    assert again == first

    load_model(run / "best").with_temperature(3.0).save(run / "best")  # the same weights
    (same,) = run_study(config, only=["taken"]).results
    assert same.splits == first.splits

    changed = load_model(run / "best")
    changed.network.output.bias.data += 0.1
    changed.save(run / "best")
    (other,) = run_study(config, only=["taken"]).results
    assert other.splits != first.splits


def test_a_checkpoint_away_from_its_run_is_refused_on_images_of_its_training(
    run_study, tmp_path: Path
) -> None:
    run_study(StudyConfig.from_yaml(TRAINED))
    alone = tmp_path / "alone"
    (tmp_path / "study" / "gated" / "seed-0" / "best").rename(alone)
    shutil.rmtree(tmp_path / "study")
    with pytest.raises(RunError, match=r"models\.taken: .* was trained on \d+ of the \d+"):
        run_study(with_checkpoint(alone, split_seed=1))
    assert run_study(with_checkpoint(alone), only=["taken"]).results[0].splits


def test_members_that_were_trained_on_images_of_the_ensemble_are_refused(run_study) -> None:
    models = """models:
  one: {}
  two: {data: {limit: 400, split_seed: 1}}
  both: {ensemble: [one, two]}
"""
    text = TRAINED.partition("models:")[0] + models + "samples_per_class: 2\n"
    with pytest.raises(RunError, match=r"models\.both: two was trained on \d+ of the 20 images"):
        run_study(StudyConfig.from_yaml(text))


def test_an_ensemble_comes_after_its_members_and_without_one_the_others_go_on(
    run_study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(config, run_dir, **options):
        if "bad" in str(run_dir):
            raise DivergedError(step=3, lr=0.1)
        return train(config, run_dir, **options)

    monkeypatch.setattr("pixelbayes.workflows.study.trial.train", diverging)
    models = """models:
  fine: {ensemble: [good, later]}
  mix: {ensemble: [good, bad]}
  good: {}
  bad: {}
  later: {}
"""
    text = TRAINED.partition("models:")[0] + models + "samples_per_class: 2\n"
    outcome = run_study(StudyConfig.from_yaml(text))
    assert {result.name for result in outcome.results} == {"good", "later", "fine"}
    assert outcome.failed
    assert [line.partition(":")[0] for line in outcome.missing] == ["bad, seed 0", "mix, seed 0"]
    assert "members are not trained and measured to their end" in outcome.missing[1]


def test_an_untrained_model_is_made_and_measured_again_where_its_settings_or_images_change(
    run_study, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 14), ("val", 6), ("test", 6)):
        for name, number in product(("cat", "dog"), range(count)):
            levels = torch.randint(0, 256, (3, 8, 8), generator=generator).to(torch.uint8)
            write_png(levels, folder / split / name / f"{number:02}.png")
    text = TRAINED.replace("data: digits, limit: 20", f"data: 'folder:{folder}'")
    run_study(StudyConfig.from_yaml(text), only=["gated"])
    run = tmp_path / "elsewhere"
    (tmp_path / "study" / "gated" / "seed-0").rename(run)
    base = text.partition("models:")[0] + f"models:\n  taken: {{checkpoint: {run}}}\n"
    plain = StudyConfig.from_yaml(base + "  both: {ensemble: [taken], mirrored: true}\n")
    once = {result.name: result for result in run_study(plain).results}
    assert [result.splits for result in run_study(plain).results] == [
        result.splits for result in once.values()
    ]

    two = base + f"  other: {{checkpoint: {run}}}\n  both: {{ensemble: [taken, other]}}\n"
    again = {result.name: result for result in run_study(StudyConfig.from_yaml(two)).results}
    assert not load_model(tmp_path / "study" / "both" / "seed-0" / "best").mirrored
    assert again["both"].splits != once["both"].splits

    wrong = folder / "val" / "cat" / "00.png"
    wrong.rename(folder / "val" / "dog" / "99.png")
    changed = {result.name: result for result in run_study(StudyConfig.from_yaml(two)).results}
    assert changed["taken"].splits != once["taken"].splits


def test_a_trained_model_keeps_its_temperature_on_data_that_are_not_its_own(
    run_study, tmp_path: Path
) -> None:
    run_study(StudyConfig.from_yaml(TRAINED))
    model = load_model(tmp_path / "study" / "gated" / "seed-0" / "best")
    provenance = {"data": {"source": "folder:elsewhere"}}
    metadata = replace(model.metadata, provenance=provenance, temperature=25.0)
    model.with_metadata(metadata).save(tmp_path / "alone")
    (taken,) = run_study(with_checkpoint(tmp_path / "alone"), only=["taken"]).results
    assert taken.temperature == 25.0
    assert load_model(tmp_path / "study" / "taken" / "seed-0" / "best").temperature == 25.0


def test_a_checkpoint_is_measured_on_the_data_of_the_study_or_its_own() -> None:
    text = TRAINED.replace("data: digits", "data: cpen455").replace(
        "gated: {network: {fusion: gated}}", "taken: {checkpoint: cpen455-gated}"
    )
    taken = StudyConfig.from_yaml(text).models["taken"]
    assert isinstance(taken, CheckpointConfig)
    assert (taken.data.data, taken.data.limit) == ("cpen455", 20)
    own = text.replace("cpen455-gated}", "cpen455-gated, data: {limit: 30}}")
    assert StudyConfig.from_yaml(own).data_of("taken").limit == 30
    moved = StudyConfig.from_yaml(own).overridden(data_dir="elsewhere")
    assert moved.data_of("taken").data_dir == "elsewhere"
    assert StudyConfig.from_yaml(moved.to_yaml()) == moved


def test_a_checkpoint_that_is_not_there_is_refused_before_anything_is_trained(run_study) -> None:
    text = TRAINED + "  # none\n"
    config = StudyConfig.from_yaml(text.replace("models:", "models:\n  lost: {checkpoint: lost}"))
    with pytest.raises(ValueError, match="no model 'lost': shipped are"):
        run_study(config)


@pytest.mark.parametrize("wrong", ["{checkpoint: 3}", "{checkpoint: ''}", "{checkpoint: x, y: 1}"])
def test_what_names_no_checkpoint_is_refused(wrong: str) -> None:
    text = TRAINED.replace("gated: {network: {fusion: gated}}", f"taken: {wrong}")
    with pytest.raises(RunError, match=r"checkpoint names a trained model|y"):
        StudyConfig.from_yaml(text)


TOGETHER = (
    TRAINED.partition("samples_per_class")[0]
    + """  late: {network: {fusion: late}}
  both: {ensemble: [gated, late]}
samples_per_class: 2
"""
)
MIRRORED = TOGETHER.replace("late]}", "late], mirrored: true}")


def test_an_ensemble_that_is_asked_otherwise_is_measured_again(run_study, tmp_path: Path) -> None:
    plain_one = run_study(StudyConfig.from_yaml(TOGETHER)).results[-1]
    mirrored = run_study(StudyConfig.from_yaml(MIRRORED)).results[-1]
    shutil.rmtree(tmp_path / "study" / "both")
    fresh = run_study(StudyConfig.from_yaml(MIRRORED)).results[-1]
    assert fresh.splits != plain_one.splits
    assert mirrored.splits == fresh.splits
    assert (mirrored.temperature, fresh.temperature) == (fresh.temperature,) * 2


def test_an_ensemble_waits_for_the_temperatures_of_its_members(run_study, tmp_path: Path) -> None:
    config = StudyConfig.from_yaml(TOGETHER)
    run_study(config, only=["gated", "late"])
    late = tmp_path / "study" / "late" / "seed-0"
    (late / "result.json").unlink()  # as where it was killed before it was measured
    outcome = run_study(config, only=["both"])
    expected = "both, seed 0: members are not trained and measured to their end: late"
    assert outcome.missing == [expected]
    assert not (tmp_path / "study" / "both").exists()
    run_study(config)
    load_model(late / "best").with_temperature(7.0).save(late / "best")
    assert run_study(config, only=["both"]).missing == []
    both = load_model(tmp_path / "study" / "both" / "seed-0" / "best")
    assert both.members[1].temperature == 7.0


def test_a_result_that_is_not_what_the_study_asks_for_now_says_so(run_study) -> None:
    run_study(StudyConfig.from_yaml(TOGETHER))
    longer = StudyConfig.from_yaml(MIRRORED.replace("epochs: 1", "epochs: 2"))
    results = {one.name: one for one in run_study(longer, only=["gated"]).results}
    ending = {name: one.notes[-1] for name, one in results.items() if one.notes}
    assert ending["late"] == "Not as the study asks for now: 1 of 2 epochs are done."
    changed = "Not as the study asks for now: what it is made of has changed since."
    assert ending["both"] == changed
    assert "Not as the study" not in ending.get("gated", "")
