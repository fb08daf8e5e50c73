"""Reports on models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from math import log
from pathlib import Path

import pytest
import torch

from pixelbayes.core import PixelCNN, bits_per_dim
from pixelbayes.data import ImageDataset, LabelledImages, Resize, load_dataset
from pixelbayes.evaluation import fit_temperature
from pixelbayes.models import CheckpointError, Metadata, PixelBayes
from pixelbayes.report import Report, load, to_json
from pixelbayes.workflows.evaluate import EvaluationError, evaluate, evaluate_saved
from pixelbayes.workflows.runs import DataConfig, Run, RunConfig

CLASSES = ("koala", "pizza", "sea lion")


def noise(split: str, count: int, labelled: int | None = None) -> LabelledImages:
    generator = torch.Generator().manual_seed(len(split))
    levels = torch.randint(0, 256, (count, 3, 8, 8), generator=generator).to(torch.uint8)
    labels = torch.arange(count) % 3
    if labelled is not None:
        labels[labelled:] = -1
    return LabelledImages(levels, labels, tuple(f"{split}/{i}" for i in range(count)))


def dataset(test_labelled: int | None = None, **changes: object) -> ImageDataset:
    splits = {
        "train": noise("train", 6),
        "validation": noise("validation", 30),
        "test": noise("test", 7, test_labelled),
    }
    whole = ImageDataset("noise", CLASSES, splits, Resize(size=(8, 8)))
    return replace(whole, **changes)  # type: ignore[arg-type]


def quick(model: PixelBayes, data: ImageDataset, **options: object) -> Report:
    return evaluate(model, data, samples_per_class=0, **options)  # type: ignore[arg-type]


def test_accuracy_counts_the_right_answers_of_bayes_rule(tiny_model: PixelBayes) -> None:
    report = quick(tiny_model, dataset())
    test = dataset().split("test")
    posterior = tiny_model.classifier(report.temperature).predict(test.levels)
    assert report.accuracy.value == pytest.approx(
        100 * float((posterior == test.labels).double().mean())
    )
    assert report.headline_split == "test"


def test_bits_per_dim_are_those_of_the_true_class(tiny_model: PixelBayes) -> None:
    report = quick(tiny_model, dataset())
    test = dataset().split("test")
    of_truth = tiny_model.network(test.levels, test.labels).log_prob(test.levels).detach()
    expected = float(bits_per_dim(of_truth, 192).mean())
    assert report.splits["test"].measures["bits_per_dim"].value == pytest.approx(expected)


def test_the_temperature_is_fitted_on_validation_whatever_split_is_asked_for(
    tiny_model: PixelBayes,
) -> None:
    validation = dataset().split("validation")
    table = tiny_model.classifier().log_likelihoods(validation.levels)
    report = quick(tiny_model, dataset(), splits=["test"])
    assert list(report.splits) == ["test"]
    assert report.temperature == fit_temperature(table, tiny_model.log_prior, validation.labels)
    assert {"log_loss/raw", "log_loss/calibrated"} <= set(report.splits["test"].measures)


def test_wrong_images_come_most_confident_first(tiny_model: PixelBayes) -> None:
    wrong = quick(tiny_model, dataset()).splits["validation"].most_confidently_wrong
    assert wrong
    assert all(image.true != image.predicted for image in wrong)
    confidences = [image.confidence for image in wrong]
    assert confidences == sorted(confidences, reverse=True)


def test_a_split_without_labels_has_a_note_instead_of_an_accuracy(tiny_model: PixelBayes) -> None:
    report = quick(tiny_model, dataset(test_labelled=0))
    assert list(report.splits) == ["validation"]
    assert report.headline_split == "validation"
    assert any("7 of the 7 images of test have no label" in note for note in report.notes)
    assert any(note.startswith("Code length of test under p(x)") for note in report.notes)


def test_unlabelled_images_do_not_count_in_the_accuracy(tiny_model: PixelBayes) -> None:
    report = quick(tiny_model, dataset(test_labelled=4))
    assert report.splits["test"].n == 4
    assert any("3 of the 7 images of test have no label" in note for note in report.notes)


def test_without_any_label_there_is_no_report(tiny_model: PixelBayes) -> None:
    with pytest.raises(EvaluationError, match="none of the splits test of noise has at least 2"):
        quick(tiny_model, dataset(test_labelled=0), splits=["test"])


def test_other_classes_are_refused_with_both_lists(tiny_model: PixelBayes) -> None:
    other = dataset(classes=("koala", "pizza", "zebra"))
    with pytest.raises(
        EvaluationError,
        match=r"trained on 3 classes \(koala, pizza, sea lion\), but noise has 3 \(.*zebra\)",
    ):
        quick(tiny_model, other)


def test_a_crop_margin_is_cut_off_before_training_images_are_scored(
    tiny_model: PixelBayes,
) -> None:
    plain = dataset()
    framed = torch.nn.functional.pad(plain.split("train").levels, (1, 1, 1, 1))
    larger = replace(plain.split("train"), levels=framed)
    with_margin = dataset(splits={**plain.splits, "train": larger})
    one, other = (quick(tiny_model, data, splits=["train"]) for data in (plain, with_margin))
    assert one.splits["train"].measures == other.splits["train"].measures


def test_each_class_gets_its_samples(tiny_model: PixelBayes) -> None:
    report = evaluate(tiny_model, dataset(), samples_per_class=2)
    assert {name: len(images) for name, images in report.samples.items()} == dict.fromkeys(
        CLASSES, 2
    )


def test_the_report_survives_strict_json(tiny_model: PixelBayes) -> None:
    text = json.dumps(to_json(quick(tiny_model, dataset())), allow_nan=False)
    assert json.loads(text)["model"]["parameters"] > 0


@pytest.fixture
def run_dir(tmp_path: Path, tiny_network: Callable[..., PixelCNN]) -> Path:
    """A run on 40 digits of each split, whose best model has random weights."""
    config = RunConfig(data=DataConfig(data="digits", limit=40))
    run = Run.create(tmp_path / "run", config)
    run.update_info(status="finished", best_epoch=3)
    metadata = Metadata(
        classes=tuple(map(str, range(10))),
        resize=asdict(Resize(size=(8, 8))),
        log_prior=(log(0.1),) * 10,
    )
    PixelBayes(tiny_network(classes=10, channels=1), metadata).save(run.best)
    return run.path


def test_a_run_is_measured_on_its_own_data_and_keeps_the_temperature(run_dir: Path) -> None:
    report = evaluate_saved(run_dir, samples_per_class=0)
    assert report.splits["test"].n == len(load_dataset("digits", limit=40).split("test"))
    assert load(run_dir).accuracy == report.accuracy
    assert PixelBayes.load(run_dir).temperature == report.temperature
    assert (run_dir / "report.html").is_file()


def test_a_report_elsewhere_leaves_the_run_as_it_is(run_dir: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    evaluate_saved(run_dir, samples_per_class=0, output=tmp_path / "elsewhere")
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before
    assert (tmp_path / "elsewhere" / "report.json").is_file()


def test_evaluating_twice_gives_the_same_numbers(run_dir: Path) -> None:
    first, second = (evaluate_saved(run_dir, samples_per_class=0) for _ in range(2))
    assert first.splits == second.splits
    assert first.temperature == second.temperature


def test_a_run_without_a_checkpoint_is_told(run_dir: Path) -> None:
    (run_dir / "best" / "model.json").unlink()
    with pytest.raises(CheckpointError, match=r"no model in .*best"):
        evaluate_saved(run_dir)


def test_a_run_without_a_finished_epoch_is_told_how_to_go_on(run_dir: Path) -> None:
    (run_dir / "best").rename(run_dir / "gone")
    with pytest.raises(
        EvaluationError, match=r"no epoch was finished \(status finished\).*--resume"
    ):
        evaluate_saved(run_dir)
