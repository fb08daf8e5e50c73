"""What is measured is said: recorded splits, foreign data, files left out, one class."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pixelbayes.cli.main import main
from pixelbayes.data import DatasetWarning, load_dataset, same_source, write_png
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import PixelBayes
from pixelbayes.report.render import report_markdown
from pixelbayes.training import TrainingConfig
from pixelbayes.workflows import DataConfig, NetworkConfig, Run, RunConfig, RunError
from pixelbayes.workflows.audit import AuditError, audit_by_model
from pixelbayes.workflows.calibrate import CalibrationError, calibrate_model
from pixelbayes.workflows.compare import compare
from pixelbayes.workflows.evaluate import (
    OVERTAKEN,
    EvaluationError,
    evaluate_saved,
)
from pixelbayes.workflows.evaluation_data import NOT_AT_HAND, training_data
from pixelbayes.workflows.loading import load_data_for
from pixelbayes.workflows.publish import PublishError, publish
from pixelbayes.workflows.train import train

TINY = NetworkConfig(features=2, mixtures=1, embedding=2)
EPOCH = TrainingConfig(batch_size=8, epochs=1, accuracy_images=0)


def photograph(path: Path, seed: int, size: int = 8) -> None:
    generator = torch.Generator().manual_seed(seed)
    write_png(torch.randint(0, 256, (3, size, size), generator=generator).to(torch.uint8), path)


def photographs(folder: Path, classes: tuple[str, ...], count: int, first: int = 0) -> None:
    for place, name in enumerate(classes):
        for number in range(count):
            photograph(folder / name / f"{number:02}.png", first + 100 * place + number)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/, and a run on them whose configuration has a relative path and no size."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        photographs(root / "photos", ("cat", "dog"), 20)
        (root / "photos" / "cat" / "notes.txt").write_text("mine", encoding="utf-8")
        (root / "photos" / "@eaDir").mkdir()
        photograph(root / "photos" / "@eaDir" / "thumbnail.png", 1)
        config = RunConfig(data=DataConfig(data="folder:photos"), network=TINY, training=EPOCH)
        train(config, "run", progress=False)
    return root


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def longer(run: Run) -> RunConfig:
    training = TrainingConfig(batch_size=8, epochs=2, accuracy_images=0)
    return RunConfig(data=run.config.data, network=TINY, training=training)


def test_a_run_is_resumed_on_its_recorded_images_after_files_were_added(here: Path) -> None:
    run = Run.open("run")
    recorded = run.split()
    photographs(here / "photos", ("cat", "dog"), 20)
    for number in range(30):
        photograph(here / "photos" / "cat" / f"a{number}.png", 1000 + number)

    resumed = train(longer(run), "run", resume=True, progress=False)

    assert resumed.info["epochs"] == 2
    assert resumed.split() == recorded


def test_a_run_is_resumed_at_its_recorded_size_whatever_the_default_is_now(here: Path) -> None:
    """A version that took 8x8 of these 12x12 photographs left no size in config.yaml."""
    for number in range(40):
        name = ("cat", "dog")[number % 2]
        photograph(here / "large" / name / f"{number}.png", 40 + number, size=12)
    data = DataConfig(data="folder:large", image_size=(8, 8))
    run = train(RunConfig(data=data, network=TINY, training=EPOCH), "old", progress=False)
    run.write_config(replace(run.config, data=replace(data, image_size=None)))
    resumed = train(longer(run), "old", resume=True, progress=False)
    assert resumed.info["data"]["image_size"] == [8, 8]
    assert PixelBayes.load("old").image_size == (8, 8)


def test_a_run_is_not_resumed_on_changed_images(here: Path) -> None:
    record = Run.open("run").split()
    assert record is not None
    photograph(here / "photos" / next(iter(record.splits["train"])), 77)
    with pytest.raises(RunError, match="data are not those"):
        train(longer(Run.open("run")), "run", resume=True, progress=False)


def test_a_run_without_a_record_is_not_measured_on_a_folder_that_changed(here: Path) -> None:
    run = Run.open("run")
    run.update_info(split_sha256=None)
    (run.path / "split.json").unlink()
    assert evaluate_saved("run", samples_per_class=0).splits
    photograph(here / "photos" / "cat" / "a.png", 1000)
    with pytest.raises(EvaluationError, match="may be in every split"):
        evaluate_saved("run", samples_per_class=0)


def test_a_checkpoint_without_its_run_is_measured_on_the_splits_that_it_was_trained_by(
    here: Path,
) -> None:
    """Where groups of copies were kept together, which moves images between splits."""
    for name, first in (("cat", 0), ("dog", 100)):
        for number in range(15):
            photograph(here / "copies" / name / f"{number:02}.png", first + number, size=16)
            if number < 8:
                copy = here / "copies" / name / f"{number:02}-copy.png"
                shutil.copyfile(here / "copies" / name / f"{number:02}.png", copy)
    data = DataConfig(data="folder:copies", near_duplicates="keep-together")
    config = RunConfig(data=data, network=TINY, training=EPOCH)
    recorded = train(config, "grouped", progress=False).split()
    assert recorded is not None
    shutil.copytree("grouped/best", "alone")
    with pytest.warns(DatasetWarning, match="the same only if no file was added or removed"):
        dataset = training_data(Path("alone"), PixelBayes.load("alone")).dataset
    assert dataset.record is not None
    for split in ("validation", "test"):
        assert dataset.record.splits[split] == recorded.splits[split]


def test_a_foreign_folder_is_measured_whole(here: Path) -> None:
    photographs(here / "other", ("cat", "dog"), 9, first=700)
    report = evaluate_saved("run", data="folder:other", samples_per_class=0)
    assert {name: split.n for name, split in report.splits.items()} == {"test": 18}
    assert report.temperature in (None, PixelBayes.load("run").temperature)
    assert any("is taken whole" in note for note in report.notes)
    alone = evaluate_saved("run/best", data="folder:other", samples_per_class=0)
    assert alone.splits["test"].measures == report.splits["test"].measures


def test_a_foreign_folder_is_cut_where_a_split_is_asked_for(here: Path) -> None:
    photographs(here / "other", ("cat", "dog"), 20, first=700)
    report = evaluate_saved("run", data="folder:other", splits=["test"], samples_per_class=0)
    assert report.splits["test"].n == len(load_dataset("folder:other").split("test")) == 6


def test_a_foreign_folder_with_split_folders_keeps_them(here: Path) -> None:
    for split, first in (("train", 700), ("val", 1000), ("test", 1300)):
        photographs(here / "other" / split, ("cat", "dog"), 4, first=first)
    report = evaluate_saved("run", data="folder:other", samples_per_class=0)
    assert {name: split.n for name, split in report.splits.items()} == {"validation": 8, "test": 8}


def test_a_foreign_folder_of_one_class_keeps_the_labels_of_the_model(here: Path) -> None:
    photographs(here / "other", ("dog",), 9, first=700)
    report = evaluate_saved("run", data="folder:other", samples_per_class=0)
    assert [sum(row) for row in report.splits["test"].confusion] == [0, 9]
    assert any("are of one class, dog" in note for note in report.notes)


def test_a_foreign_folder_with_an_unknown_class_is_refused_by_name(here: Path) -> None:
    photographs(here / "other", ("cat", "zebra"), 9, first=700)
    with pytest.raises(PixelBayesError, match="does not know: zebra; it knows: cat, dog"):
        evaluate_saved("run", data="folder:other", samples_per_class=0)


def test_images_that_were_trained_on_do_not_count_under_other_names(here: Path) -> None:
    record = Run.open("run").split()
    assert record is not None
    photographs(here / "other", ("cat", "dog"), 5, first=700)
    for number, name in enumerate(record.splits["train"]):
        folder = here / "other" / Path(name).parent
        shutil.copy(here / "photos" / name, folder / f"copied-{number}.png")
    report = evaluate_saved("run", data="folder:other", samples_per_class=0)
    assert report.splits["test"].n == 10
    assert any("trained on 28 of the 38 images of test" in note for note in report.notes)
    shutil.rmtree(here / "other")
    for name in record.splits["train"]:
        (here / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(here / "photos" / name, here / "other" / name)
    with pytest.raises(EvaluationError, match="trained on all 28 images"):
        evaluate_saved("run", data="folder:other", samples_per_class=0)


def test_a_checkpoint_away_from_its_run_is_not_measured_on_what_it_was_trained_on(
    here: Path,
) -> None:
    shutil.copytree("run/best", "alone")
    shutil.copytree("photos", "copied")
    report = evaluate_saved("alone", data="folder:copied", samples_per_class=0)
    assert report.splits["test"].n == 12
    assert any("trained on 28 of the 40 images of test" in note for note in report.notes)
    found = compare(["alone", "run"], data="folder:copied")
    assert found.n <= 12
    with pytest.raises(EvaluationError, match="trained on all 28 images of train"):
        calibrate_model("alone", data="folder:copied", split="train")


def test_where_the_images_of_the_training_are_gone_nobody_says_that_others_are_new(
    here: Path,
) -> None:
    shutil.copytree("run/best", "alone")
    shutil.move("photos", "copied")
    report = evaluate_saved("alone", data="folder:copied", samples_per_class=0)
    assert report.data["new_to_model"] is False
    assert NOT_AT_HAND in report.notes
    assert "that it was not trained on" not in report_markdown(report)
    assert any(
        NOT_AT_HAND in note for note in compare(["alone", "run"], data="folder:copied").notes
    )
    with (
        pytest.warns(DatasetWarning, match="is taken whole"),
        pytest.warns(DatasetWarning, match="not known whether any of them"),
    ):
        calibrate_model(
            "alone", data="folder:copied", false_alarm_rate=0.4, output=here / "calibrated"
        )


def test_images_that_a_start_was_trained_on_are_told_in_the_training_and_the_report(
    here: Path,
) -> None:
    settings = replace(EPOCH, init_from="run")
    data = DataConfig(data="folder:photos", split_seed=1)
    said: list[str] = []
    config = RunConfig(data=data, network=TINY, training=settings)
    run = train(config, "second", progress=False, note=said.append)
    first, second = Run.open("run").split(), run.split()
    assert first is not None
    assert second is not None
    trained_on = {*first.splits["train"].values()}
    seen = len(trained_on.intersection(second.splits["test"].values()))
    assert seen, "else the test says nothing"
    remark = f"began with run, which was trained on {seen} of the images of test"
    assert any(remark in sentence for sentence in said)
    report = evaluate_saved("second", samples_per_class=0)
    assert any(remark in note for note in report.notes)
    assert "that it was not trained on" not in report_markdown(report)
    train(replace(config, data=Run.open("run").config.data), "third", progress=False)
    assert Run.open("third").info["seen_before"] == {"run": {}}
    assert "that it was not trained on" in report_markdown(
        evaluate_saved("third", samples_per_class=0)
    )


def test_a_report_on_other_images_says_what_was_trained_on_what(here: Path) -> None:
    photographs(here / "other", ("cat", "dog"), 9, first=700)
    report = evaluate_saved("run", data="folder:other", splits=["test"], samples_per_class=1)
    said = report_markdown(report)
    assert "trained on 28 images of folder:photos" in said
    assert "test images of folder:other that it was not trained on" in said
    assert not report.nearest_images, "images of the other folder are not those of the training"


def test_what_is_stored_with_a_run_is_for_the_weights_that_were_measured(here: Path) -> None:
    """A training that goes on replaces its best checkpoint while that is being measured."""

    def overtake(*_: object) -> None:
        better = PixelBayes.load("run")
        if not better.metadata.provenance.get("better"):
            better.network.output.bias.data += 0.1
            metadata = replace(better.metadata, provenance={"better": True})
            better.with_metadata(metadata).save("run/best")

    report = evaluate_saved("run", samples_per_class=0, progress=overtake)
    assert OVERTAKEN in report.notes
    better = PixelBayes.load("run")
    assert better.metadata.provenance == {"better": True}
    assert better.temperature == 1.0
    with pytest.raises(PublishError, match="the weights changed since; evaluate the run again"):
        publish(here / "run", "a", folder=here / "shelf")

    shutil.rmtree("run/best")
    better.with_metadata(replace(better.metadata, provenance={})).save("run/best")
    with pytest.raises(CalibrationError, match="calibrate again when it is over"):
        calibrate_model("run", false_alarm_rate=0.4, progress=overtake)
    assert PixelBayes.load("run").decisions is None


def test_thresholds_that_came_while_a_run_was_evaluated_stay(here: Path) -> None:
    done: list[bool] = []

    def calibrated_meanwhile(*_: object) -> None:
        if not done:
            done.append(True)
            calibrate_model("run", false_alarm_rate=0.4)

    evaluate_saved("run", samples_per_class=0, progress=calibrated_meanwhile)
    assert PixelBayes.load("run").decisions is not None


def test_reports_of_checkpoints_do_not_take_each_others_place(here: Path) -> None:
    for _ in range(2):
        assert main(["evaluate", "run/best", "--samples-per-class", "0", "--quiet"]) == 0
    assert (here / "evaluation" / "best" / "report.json").is_file()
    assert (here / "evaluation" / "best-2" / "report.json").is_file()


def with_copies_of_training_images(here: Path, copies: int, new: int) -> list[str]:
    """other/, of new images and of some that the run was trained on, under other names."""
    record = Run.open("run").split()
    assert record is not None
    if new:
        photographs(here / "other", ("cat", "dog"), new, first=700)
    copied = []
    for number, name in enumerate([*record.splits["train"]][:copies]):
        path = here / "other" / Path(name).parent / f"copied-{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(here / "photos" / name, path)
        copied.append(path.relative_to(here / "other").as_posix())
    return copied


def test_a_model_is_not_calibrated_on_images_that_it_was_trained_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = with_copies_of_training_images(here, 28, new=100)
    model = PixelBayes.load("run")
    inside = load_data_for(model, "folder:other").split("validation")
    seen = [name for name in inside.names if name in copied]
    assert seen, "else the test says nothing"
    new = [place for place, name in enumerate(inside.names) if name not in copied]
    found = model.log_likelihoods(inside.select(new).levels)

    other = ["--data", "folder:other", "--split", "validation"]
    command = ["calibrate", "run", *other, "--output", "calibrated", "--quiet"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(command) == 0

    said = capsys.readouterr().err
    assert f"trained on {len(seen)} of the {len(inside)} images of validation" in said
    assert seen[0] in said
    decisions = PixelBayes.load("calibrated").decisions
    assert decisions is not None
    assert decisions.n == len(new)
    typical = torch.logsumexp(found + model.log_prior, dim=1).mean()
    assert decisions.typical_log_prob == pytest.approx(float(typical), rel=1e-12)


@pytest.mark.parametrize("model", ["run", "run/best"])
def test_a_model_is_not_calibrated_where_no_image_is_new(here: Path, model: str) -> None:
    with_copies_of_training_images(here, 28, new=0)
    photographs(here / "splits" / "train", ("cat", "dog"), 3, first=700)
    (here / "other").rename(here / "splits" / "val")
    before = (here / "run" / "best" / "model.json").read_bytes()
    with pytest.raises(EvaluationError, match="trained on all 28 images of validation"):
        calibrate_model(here / model, data=f"folder:{here / 'splits'}")
    assert (here / "run" / "best" / "model.json").read_bytes() == before


def test_the_own_folder_in_another_spelling_calibrates_on_the_recorded_split(here: Path) -> None:
    photographs(here / "photos", ("cat", "dog"), 20)
    for number in range(30):
        photograph(here / "photos" / "cat" / f"a{number}.png", 1000 + number)
    record = Run.open("run").split()
    assert record is not None
    found = training_data(Path("run"), PixelBayes.load("run"), data="folder:./photos/")
    assert found.own
    assert {*found.dataset.split("validation").names} == {*record.splits["validation"]}


def test_models_are_not_compared_on_images_that_one_was_trained_on(here: Path) -> None:
    shutil.copytree(here / "run", here / "second")
    copied = with_copies_of_training_images(here, 28, new=40)
    inside = load_data_for(PixelBayes.load("run"), "folder:other").split("test")
    seen = {*inside.names} & {*copied}
    assert seen, "else the test says nothing"
    found = compare(["run", "second"], data="folder:other", split="test")
    assert found.n == len(inside) - len(seen)
    assert any(f"trained on {len(seen)} of the {len(inside)}" in note for note in found.notes)


def test_a_model_does_not_judge_labels_of_images_that_it_was_trained_on(here: Path) -> None:
    pytest.importorskip("cleanlab", reason="the extra decisions brings it")
    copied = with_copies_of_training_images(here, 28, new=5)
    with pytest.warns(DatasetWarning, match="run was trained on 28 of the 38 images"):
        found = audit_by_model("folder:other", "run")
    assert len(found.images) == 10
    assert not {*found.images.names} & {*copied}
    shutil.rmtree(here / "other")
    with_copies_of_training_images(here, 28, new=0)
    with pytest.raises(AuditError, match="trained on 28 of the 28 images, so it believes"):
        audit_by_model("folder:other", "run")


@pytest.mark.parametrize("spelling", ["folder:photos/", "folder:./photos", "folder:{here}/photos"])
def test_the_own_folder_in_another_spelling_is_not_foreign(here: Path, spelling: str) -> None:
    data = spelling.format(here=here)
    assert same_source(data, "folder:photos")
    report = evaluate_saved("run", data=data, samples_per_class=0, output=here / "report")
    assert set(report.splits) == {"validation", "test"}


def test_what_is_left_out_and_what_was_decided_is_told_at_the_end_of_train(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", "folder:photos", "--features", "2", "--mixtures", "1", "--epochs", "1"]
    assert main(["train", *options, "--accuracy-images", "0", "--output", "again", "--quiet"]) == 0
    shown = capsys.readouterr()
    for text in (shown.err, shown.out):  # before the first epoch, and at the end
        assert "2 files and folders are not used" in text
        assert "notes.txt" in text
        assert "@eaDir" in text
        assert "Image size: 8 x 8, the size of every image." in text
    report = evaluate_saved("again", samples_per_class=0)
    assert any("notes.txt" in note for note in report.notes)


def test_the_command_line_keeps_near_duplicates_together(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs(here / "twins", ("cat", "dog"), 20)
    for path in list((here / "twins").rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    options = ["--data", "folder:twins", "--features", "2", "--mixtures", "1", "--epochs", "1"]
    options += ["--near-duplicates", "keep-together", "--accuracy-images", "0", "--quiet"]
    assert main(["train", *options, "--output", "together"]) == 0
    record = Run.open("together").split()
    assert record is not None
    by_content = [set(files.values()) for files in record.splits.values()]
    assert sum(map(len, by_content)) == len(set.union(*by_content)) == 40


@pytest.fixture
def of_one_class(tmp_path: Path) -> Callable[[str], RunConfig]:
    photographs(tmp_path / "cats", ("cat",), 20)

    def config(model: str) -> RunConfig:
        data = DataConfig(data=f"folder:{tmp_path / 'cats'}")
        network = TINY if model == "pixelcnn" else None
        return RunConfig(model=model, data=data, network=network, training=EPOCH)

    return config


def test_a_density_of_one_class_is_trained_and_says_that_accuracy_means_nothing(
    of_one_class: Callable[[str], RunConfig], tmp_path: Path
) -> None:
    told: list[str] = []
    train(of_one_class("pixelcnn"), tmp_path / "run", progress=False, note=told.append)
    assert any("one class only, cat: every answer is right" in sentence for sentence in told)
    report = evaluate_saved(tmp_path / "run", samples_per_class=0)
    assert any(
        "accuracy, log-loss, Brier score and calibration say nothing" in note
        for note in report.notes
    )
    assert report.temperature == 1.0


def test_a_classifier_of_one_class_is_refused(
    of_one_class: Callable[[str], RunConfig], tmp_path: Path
) -> None:
    pytest.importorskip("monai")
    with pytest.raises(RunError, match=r"one class only, cat.*learns to tell classes apart"):
        train(of_one_class("resnet18"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
