"""A study from its configuration to its results, in one call and in many."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelbayes.data import write_png
from pixelbayes.models import PixelBayes
from pixelbayes.report import ModelResult, load_result
from pixelbayes.training import DivergedError, RunStopped
from pixelbayes.workflows.config import RunError
from pixelbayes.workflows.evaluate import evaluate_saved
from pixelbayes.workflows.runs import Run, locked
from pixelbayes.workflows.study import StudyConfig, StudyOutcome, report_study, study
from pixelbayes.workflows.train import train

RunStudy = Callable[..., StudyOutcome]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Every training that begins: which model's, and whether it is continued."""
    calls: list[tuple[str, bool]] = []

    def counting(config: Any, run_dir: Path, *, resume: bool, **options: Any) -> Run:
        calls.append((run_dir.parent.name, resume))
        return train(config, run_dir, resume=resume, **options)

    monkeypatch.setattr("pixelbayes.workflows.study.trial.train", counting)
    return calls


def by_name(results: list[ModelResult]) -> dict[str, ModelResult]:
    return {result.name: result for result in results}


def test_a_study_measures_every_model_on_the_same_images(
    with_baseline: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    outcome = run_study(with_baseline)
    assert (outcome.missing, outcome.failed) == ([], False)
    found = by_name(outcome.results)
    assert list(found) == ["gated", "late", "resnet18"]
    for result in found.values():
        assert {split: result.splits[split].n for split in result.splits} == {
            "train": 20,
            "validation": 20,
            "test": 20,
        }
        assert set(result.splits["test"].reliability) == {"raw", "calibrated"}
        assert load_result(tmp_path / "study" / result.name / "seed-0" / "result.json") == result

    gated, resnet = found["gated"], found["resnet18"]
    assert (gated.kind, gated.fusion, resnet.kind, resnet.fusion) == (
        "pixelcnn",
        "gated",
        "resnet18",
        None,
    )
    assert resnet.measure("validation", "bits_per_dim") is None
    assert not resnet.scores
    opponents = {"gated": ["resnet18"], "late": ["gated", "resnet18"], "resnet18": []}
    for name, result in found.items():
        assert {(c.other, c.split) for c in result.comparisons} == {
            (other, split) for other in opponents[name] for split in result.splits
        }
        for comparison in result.comparisons:
            ours, theirs = (
                found[model].splits[comparison.split].accuracy.value
                for model in (name, comparison.other)
            )
            assert comparison.difference.value == pytest.approx(ours - theirs)


def test_scores_of_both_protocols_come_with_floors_and_over_the_epochs(
    config: StudyConfig, run_study: RunStudy
) -> None:
    (gated,) = run_study(config, only=["gated"]).results
    assert [(s.protocol, s.dims, s.n_generated) for s in gated.scores] == [
        ("course", 192, 20),
        ("matched", 64, 20),
        ("matched", 192, 20),
    ]
    assert all(score.fid_floor and score.kid_floor for score in gated.scores)
    assert [score.epoch for score in gated.epoch_scores] == [1, 2]
    # Of one checkpoint there is one score: the best one is among those that were kept.
    over_epochs = {score.epoch: score.fid for score in gated.epoch_scores}
    assert over_epochs[gated.best_epoch] == gated.score("course", 192).fid  # type: ignore[union-attr]
    assert set(gated.epoch_samples) == {1, 2}
    assert {len(images) for images in gated.samples.values()} == {2}


def test_the_numbers_are_those_of_evaluate(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    (gated,) = run_study(config, only=["gated"], network=None).results
    run = tmp_path / "study" / "gated" / "seed-0"
    report = evaluate_saved(
        run, splits=["validation", "test"], samples_per_class=0, output=tmp_path / "report"
    )
    assert gated.temperature == report.temperature == PixelBayes.load(run).temperature
    for name, split in report.splits.items():
        assert gated.splits[name].measures == split.measures


def test_test_predictions_are_path_and_label_as_in_the_courses_table(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    run_study(config, only=["gated"], network=None)
    run = tmp_path / "study" / "gated" / "seed-0"
    with (run / "test_predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 20
    assert all(path.startswith("digits/") and 0 <= int(label) < 10 for path, label in rows)
    (answers,) = (run / "measured").glob("answers-*.json")
    assert [int(row[1]) for row in rows] == json.loads(answers.read_text())["value"]["test"][
        "predicted"
    ]


def test_a_second_call_does_nothing_again(
    config: StudyConfig,
    run_study: RunStudy,
    trained: list[tuple[str, bool]],
    network: Any,
    written: list[Any],
) -> None:
    notes: list[str] = []
    first = run_study(config, note=notes.append)
    assert trained == [("gated", False), ("late", False)]
    assert notes == [
        f"{n}, seed 0: {what}" for n in ("gated", "late") for what in ("training", "measuring")
    ]
    seen = network.seen
    notes.clear()
    again = run_study(config, note=notes.append)
    assert (len(trained), network.seen, notes) == (2, seen, [])
    assert again.results == first.results == written[0] == written[1]


def test_all_models_of_the_first_seed_come_first(
    config: StudyConfig, run_study: RunStudy, trained: list[tuple[str, bool]]
) -> None:
    outcome = run_study(replace(config, seeds=(0, 5)).overridden(epochs=1), network=None)
    assert [name for name, _ in trained] == ["gated", "late", "gated", "late"]
    assert [(r.name, r.seed) for r in outcome.results] == [
        ("gated", 0),
        ("gated", 5),
        ("late", 0),
        ("late", 5),
    ]


def test_a_study_in_slices_ends_with_the_same_numbers(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    whole = run_study(config, only=["gated"]).results
    (tmp_path / "study").rename(tmp_path / "whole")
    told = slices = 0

    def impatient(*_: Any) -> None:  # each slice is two steps of progress longer
        nonlocal told
        told += 1
        if told > 2 * slices:
            raise KeyboardInterrupt

    outcome = None
    while outcome is None:
        told, slices = 0, slices + 1
        with suppress(KeyboardInterrupt):
            outcome = run_study(config, only=["gated"], progress=impatient)
    assert slices > 3
    assert [replace(r, training_seconds=0, curves={}, provenance={}) for r in outcome.results] == [
        replace(r, training_seconds=0, curves={}, provenance={}) for r in whole
    ]


def test_a_call_without_time_left_says_what_is_missing(
    config: StudyConfig, run_study: RunStudy, written: list[Any]
) -> None:
    outcome = run_study(config, seconds=0.0)
    assert outcome.missing == [f"{name}, seed 0: the time is over" for name in ("gated", "late")]
    assert (outcome.results, outcome.files, written) == ([], [], [])


def test_a_training_that_the_time_limit_stops_is_shown_as_unfinished_and_goes_on(
    config: StudyConfig,
    run_study: RunStudy,
    trained: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one_epoch(config: Any, run_dir: Path, *, resume: bool, **options: Any) -> Run:
        short = replace(config, training=replace(config.training, epochs=1, max_time=None))
        run = train(short, run_dir, resume=resume, **options)
        run.write_config(config)
        run.update_info(status="stopped", reason="max_time")
        raise RunStopped("max_time", 2)

    with monkeypatch.context() as patched:
        patched.setattr("pixelbayes.workflows.study.trial.train", one_epoch)
        outcome = run_study(config, only=["gated"], seconds=1e6)
    (gated,) = outcome.results
    assert (gated.reason, gated.epochs, gated.splits) == ("unfinished", 1, {})
    assert gated.notes == ["The model is unfinished: 1 epochs are done."]
    assert outcome.missing == ["gated, seed 0: the time is over"]
    (gated,) = run_study(config, only=["gated"]).results
    assert trained == [("gated", True)]
    assert (gated.reason, gated.epochs) == ("epochs", 2)


def test_a_run_that_was_trained_elsewhere_is_taken_over(
    config: StudyConfig, run_study: RunStudy, trained: list[tuple[str, bool]], tmp_path: Path
) -> None:
    elsewhere = config.model("late", 0)
    plain = replace(elsewhere, training=replace(elsewhere.training, checkpoint_every=None))
    run = train(plain, tmp_path / "study" / "late" / "seed-0", progress=False)  # type: ignore[arg-type]
    before = run.info["started"]
    (late,) = run_study(config, only=["late"]).results
    assert trained == []
    assert run.info["started"] == before
    assert (late.reason, late.epoch_scores) == ("epochs", [])


def test_a_run_that_another_program_trains_is_left_alone_until_that_ends(
    config: StudyConfig, run_study: RunStudy, trained: list[tuple[str, bool]], tmp_path: Path
) -> None:
    pytest.importorskip("fcntl", reason="locks of POSIX systems")
    path = tmp_path / "study" / "gated" / "seed-0"
    run = Run.create(path, config.model("gated", 0))  # type: ignore[arg-type]
    run.update_info(status="running", command="pixelbayes train --output somewhere")
    with locked(path):
        outcome = run_study(config, only=["gated"])
    assert trained == []
    assert "another program is training it" in outcome.missing[0]
    assert run_study(config, only=["gated"], network=None).missing == []
    assert trained == [("gated", True)]


def test_a_changed_setting_is_refused_with_what_differs_before_anything_is_trained(
    config: StudyConfig, run_study: RunStudy, trained: list[tuple[str, bool]]
) -> None:
    run_study(config, only=["late"], network=None)
    late = config.models["late"]
    models = {**config.models, "late": replace(late, optim=replace(late.optim, lr=0.5))}
    with pytest.raises(RunError, match=r"optim.lr: 0.002 there, 0.5 now"):
        run_study(replace(config, models=models))
    assert [name for name, _ in trained] == ["late"]


def test_fewer_epochs_than_were_trained_are_refused(
    config: StudyConfig, run_study: RunStudy
) -> None:
    run_study(config, only=["late"], network=None)
    with pytest.raises(RunError, match="has trained 2 epochs, more than the 1 asked for"):
        run_study(config.overridden(epochs=1))


def test_more_epochs_go_on_unless_the_schedule_has_ended(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    run_study(config.overridden(epochs=1), only=["late"], network=None)
    (late,) = run_study(config, only=["late"], network=None).results
    assert late.epochs == 2
    cosine = {
        name: replace(model, optim=replace(model.optim, schedule="cosine"))
        for name, model in config.models.items()
    }
    other = replace(config, models=cosine)
    (tmp_path / "study" / "late").rename(tmp_path / "kept")
    run_study(other.overridden(epochs=1), only=["late"], network=None)
    with pytest.raises(RunError, match="on a schedule that ends at epoch 1, but 2"):
        run_study(other, only=["late"])


def test_a_folder_that_holds_something_else_is_not_touched(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    path = tmp_path / "study" / "gated" / "seed-0"
    path.mkdir(parents=True)
    (path / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match=r"run.json missing there; remove .* to train gated anew"):
        run_study(config)
    assert (path / "thesis.txt").read_text() == "precious"


def test_a_run_that_was_killed_before_its_first_moment_begins_anew(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    Run.create(tmp_path / "study" / "gated" / "seed-0", config.model("gated", 0))  # type: ignore[arg-type]
    assert run_study(config.overridden(epochs=1), only=["gated"], network=None).missing == []


def test_other_images_than_those_of_the_training_are_refused(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    run_study(config, only=["late"], network=None)
    run = Run.open(tmp_path / "study" / "late" / "seed-0")
    run.update_info(data_sha256="0" * 64)
    with pytest.raises(RunError, match="the data are not those that"):
        run_study(config, only=["late"], network=None)


def test_scores_stay_where_the_feature_network_is_missing_later(
    config: StudyConfig, run_study: RunStudy
) -> None:
    (without,) = run_study(config, only=["gated"], network=None).results
    assert not without.scores
    assert any("There are no FID and KID" in note for note in without.notes)
    (scored,) = run_study(config, only=["gated"]).results
    assert scored.scores
    assert not any("There are no FID and KID" in note for note in scored.notes)
    assert scored.samples == without.samples  # the first of more images are the same ones
    assert run_study(config, only=["gated"], network=None).results == [scored]


def test_a_training_that_diverges_does_not_stop_the_others(
    config: StudyConfig, run_study: RunStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(config: Any, run_dir: Path, *, resume: bool, **options: Any) -> Run:
        if run_dir.parent.name == "gated":
            raise DivergedError(7, 0.002)
        return train(config, run_dir, resume=resume, **options)

    monkeypatch.setattr("pixelbayes.workflows.study.trial.train", diverging)
    outcome = run_study(config.overridden(epochs=1), network=None)
    assert outcome.failed
    assert [result.name for result in outcome.results] == ["late"]
    assert outcome.missing[0].startswith("gated, seed 0: training diverged")


def test_a_study_directory_is_for_one_call_at_a_time(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    pytest.importorskip("fcntl", reason="locks of POSIX systems")
    with locked(tmp_path / "study"), pytest.raises(RunError, match="another call is at work"):
        run_study(config)


def test_the_directory_says_what_was_asked_and_what_is_done(
    config: StudyConfig, run_study: RunStudy, tmp_path: Path
) -> None:
    run_study(config, only=["late"], network=None)
    folder = tmp_path / "study"
    assert StudyConfig.read(folder / "study.yaml") == config
    state = json.loads((folder / "study.json").read_text())
    assert state["models"]["gated"] == {}
    assert state["models"]["late"]["0"]["status"] == "measured"
    assert state["provenance"]["command"]


def test_a_report_is_written_from_what_there_is(
    config: StudyConfig, run_study: RunStudy, written: list[Any], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="no study in"):
        report_study(config, tmp_path / "study")
    run_study(config, only=["late"], network=None)
    outcome = report_study(config, tmp_path / "study")
    assert [result.name for result in written[-1]] == ["late"]
    assert outcome.results == written[-1]


def test_what_an_earlier_call_finished_is_not_missing_when_the_time_is_over(
    config: StudyConfig, run_study: RunStudy
) -> None:
    run_study(config, only=["late"], network=None)
    outcome = run_study(config, seconds=0.0, network=None)
    assert outcome.missing == ["gated, seed 0: the time is over"]
    assert [result.name for result in outcome.results] == ["late"]


def test_a_study_keeps_to_the_splits_of_its_first_run_after_files_were_added(
    tmp_path: Path,
) -> None:
    """A model that is added later is trained and tested on the images of the others."""
    for number in range(40):
        name = ("cat", "dog")[number % 2]
        generator = torch.Generator().manual_seed(number)
        levels = torch.randint(0, 256, (3, 8, 8), generator=generator).to(torch.uint8)
        write_png(levels, tmp_path / "photos" / name / f"{number}.png")
    text = """
models: {first: {network: {fusion: none}}, second: {network: {fusion: late}}}
base:
  data: {data: "folder:PHOTOS"}
  network: {features: 2, mixtures: 1}
  training: {epochs: 1, batch_size: 8, accuracy_images: 0}
samples_per_class: 2
fid: null
"""
    config = StudyConfig.from_yaml(text.replace("PHOTOS", str(tmp_path / "photos")))
    study(config, tmp_path / "study", only=["first"], show_training=False)
    for number in range(30):
        levels = torch.full((3, 8, 8), number, dtype=torch.uint8)
        write_png(levels, tmp_path / "photos" / "cat" / f"a{number}.png")

    outcome = study(config, tmp_path / "study", show_training=False)

    first, second = (
        Run.open(tmp_path / "study" / n / "seed-0").split() for n in ("first", "second")
    )
    assert first is not None
    assert second is not None
    assert first.splits == second.splits
    assert {result.splits["test"].n for result in outcome.results} == {len(first.splits["test"])}


def test_tables_and_figures_of_models_that_left_the_study_go(
    config: StudyConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    study(config, folder, network=None, show_training=False)
    own = folder / "figures" / "mine.svg"
    own.write_text("not of the study")
    before = {path.name for path in folder.glob("[ft]*/*")}
    alone = replace(config, models={"gated": config.models["gated"]})
    report_study(alone, folder)
    after = {path.name for path in folder.glob("[ft]*/*")}
    assert {"comparisons.tex", "reliability-late.svg"} <= before
    assert not [name for name in after if "late" in name or "comparisons" in name]
    assert own.read_text() == "not of the study"
    assert (folder / "late" / "seed-0" / "result.json").is_file()
