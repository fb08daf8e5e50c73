"""A run is measured on the split that it recorded, whatever happened to the folder since."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelbayes.data import write_png
from pixelbayes.training import TrainingConfig
from pixelbayes.workflows import DataConfig, NetworkConfig, Run, RunConfig, RunError
from pixelbayes.workflows.evaluate import evaluate_saved
from pixelbayes.workflows.train import train


def photograph(path: Path, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    write_png(torch.randint(0, 256, (3, 8, 8), generator=generator).to(torch.uint8), path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    for name, first in (("cat", 0), ("dog", 100)):
        for number in range(20):
            photograph(tmp_path / "photos" / name / f"{number:02}.png", first + number)
    config = RunConfig(
        data=DataConfig(data=f"folder:{tmp_path / 'photos'}", image_size=(8, 8)),
        network=NetworkConfig(features=2, mixtures=1, embedding=2),
        training=TrainingConfig(batch_size=8, epochs=1, accuracy_images=0),
    )
    return train(config, tmp_path / "run", progress=False)


def test_no_image_that_was_trained_on_is_tested_after_files_came_and_went(
    run: Run, tmp_path: Path
) -> None:
    record = run.split()
    assert record is not None
    photos = tmp_path / "photos"
    gone = next(iter(record.splits["train"]))
    (photos / gone).unlink()
    for number in range(30):
        photograph(photos / "cat" / f"a{number:02}.png", 1000 + number)

    report = evaluate_saved(run.path, splits=["test", "validation"], samples_per_class=0)

    for split in ("test", "validation"):
        assert report.splits[split].n == len(record.splits[split])
        names = {wrong.name for wrong in report.splits[split].most_confidently_wrong}
        assert names <= set(record.splits[split])
    notes = " ".join(report.notes)
    assert f"missing from train: {gone}" in notes
    assert "new, in no split" in notes


def test_a_checkpoint_of_a_run_is_measured_on_the_split_of_the_run(
    run: Run, tmp_path: Path
) -> None:
    record = run.split()
    assert record is not None
    for number in range(30):
        photograph(tmp_path / "photos" / "dog" / f"a{number:02}.png", 2000 + number)

    report = evaluate_saved(run.best, splits=["test"], samples_per_class=0)

    assert report.splits["test"].n == len(record.splits["test"])
    assert "new, in no split" in " ".join(report.notes)


def test_a_record_of_splits_that_is_gone_or_cut_is_damage(run: Run) -> None:
    path = run.path / "split.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"split\.json"):
        evaluate_saved(run.path, samples_per_class=0)
    path.unlink()
    with pytest.raises(RunError, match="nobody knows which images were trained on"):
        evaluate_saved(run.path, samples_per_class=0)


def test_a_gpu_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    config = RunConfig(data=DataConfig(limit=20), training=TrainingConfig(accelerator="gpu"))
    with pytest.raises(RunError, match="--device cpu"):
        train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_other_data_alter_neither_the_report_nor_the_temperature_of_a_run(
    run: Run, tmp_path: Path
) -> None:
    evaluate_saved(run.path, samples_per_class=0)
    files = [run.path / "report.json", run.best / "model.json"]
    before = [file.read_bytes() for file in files]
    for name, first in (("cat", 500), ("dog", 600)):
        for number in range(20):
            photograph(tmp_path / "other" / name / f"{number}.png", first + number)

    evaluate_saved(run.path, data=f"folder:{tmp_path / 'other'}", samples_per_class=0)

    assert [file.read_bytes() for file in files] == before
