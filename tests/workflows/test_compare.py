"""Models side by side, on images that are new to all of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from pixelbayes.cli.main import main
from pixelbayes.core import bits_per_dim
from pixelbayes.data import load_dataset, write_png
from pixelbayes.evaluation import mcnemar, mean_estimate, paired_difference
from pixelbayes.models import Ensemble, PixelBayes
from pixelbayes.workflows.compare import compare
from pixelbayes.workflows.evaluation_data import training_data

RUN = Path(__file__).parents[1] / "frozen" / "run-0.1"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A run of the same data with other weights."""
    folder = tmp_path / "other"
    shutil.copytree(RUN, folder)
    model = PixelBayes.load(folder)
    for parameter in model.network.parameters():
        parameter.data *= 1.2
    model.save(folder / "best")
    return folder


def with_data(run: Path, **changes: object) -> None:
    """Changes what a run says of its data."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"].update(changes)
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def test_each_pair_is_tested_on_the_images_of_the_test_split(other: Path) -> None:
    found = compare([RUN, other])

    models = [PixelBayes.load(RUN), PixelBayes.load(other)]
    images = training_data(RUN, models[0])[0].split("test")
    tables = [model.log_likelihoods(images.levels) for model in models]
    right = [model.predict_log_proba(images.levels).argmax(1) == images.labels for model in models]
    lengths = [bits_per_dim(table.gather(1, images.labels[:, None])[:, 0], 64) for table in tables]
    (contrast,) = found.contrasts
    assert (found.split, found.n) == ("test", len(images))
    assert contrast.comparison.mcnemar == mcnemar(*right)
    assert contrast.comparison.difference == paired_difference(*right, seed=0)
    assert contrast.bits_per_dim == mean_estimate(lengths[0] - lengths[1], "bits/dim")
    for one, correct in zip(found.models, right, strict=True):
        assert one.measures["accuracy"].value == pytest.approx(100 * float(correct.double().mean()))


def test_only_images_in_the_split_of_all_models_are_compared(other: Path, tmp_path: Path) -> None:
    widened = tmp_path / "widened"
    shutil.copytree(RUN, widened)
    with_data(widened, limit=None)
    with_data(other, limit=None, split_seed=1)
    splits = [
        {*training_data(run, PixelBayes.load(run))[0].split("test").names}
        for run in (widened, other)
    ]
    found = compare([widened, other])
    assert found.n == len(splits[0] & splits[1]) < len(splits[0])
    assert f"{found.n} of up to {len(splits[0])} images" in found.notes[0]


def test_what_cannot_be_compared_is_refused(
    other: Path, tiny_model: PixelBayes, tmp_path: Path, capsys: Capture
) -> None:
    tiny_model.save(tmp_path / "tiny")
    for arguments, message in (
        ([str(RUN), str(tmp_path / "tiny")], "does not say which data it was trained on"),
        ([str(RUN), str(tmp_path / "tiny"), "--data", "digits"], "digits has other classes"),
        ([str(RUN)], "two models or more are compared, got 1"),
        ([str(RUN), str(RUN)], "is given more than once"),
        ([str(RUN), str(other), "--split", "tets"], "tets"),
    ):
        assert main(["compare", *arguments]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


def test_compare_shows_tables_or_json_and_writes_nothing(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["compare", str(RUN), str(other)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "20 images, test of digits; brackets: 95 %"
    assert any(line.startswith("run-0.1 - other ") for line in lines)
    assert main(["compare", str(RUN), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in found["models"]] == ["run-0.1", "other"]
    assert {"accuracy", "mcnemar_p", "bits_per_dim"} <= found["contrasts"][0].keys()
    assert sorted(tmp_path.rglob("*")) == before


def test_code_lengths_are_compared_between_two_densities_only(other: Path, tmp_path: Path) -> None:
    """An ensemble is none; its data are those that its members share."""
    Ensemble([PixelBayes.load(RUN), PixelBayes.load(other)]).save(tmp_path / "both")
    for pair in ([RUN, tmp_path / "both"], [tmp_path / "both", RUN]):
        (contrast,) = compare(pair).contrasts
        assert contrast.bits_per_dim is None
    assert compare([RUN, other]).contrasts[0].bits_per_dim is not None


@pytest.fixture
def new_digits(tmp_path: Path) -> Path:
    """A folder of thirty digits, without splits."""
    digits = load_dataset("digits", limit=60).split("test")
    for label in range(10):
        for number in (digits.labels == label).nonzero()[:3, 0].tolist():
            write_png(digits.levels[number], tmp_path / "new" / f"{label}" / f"{number}.png")
    return tmp_path / "new"


def test_other_images_without_splits_are_compared_whole(other: Path, new_digits: Path) -> None:
    found = compare([RUN, other], data=f"folder:{new_digits}")
    assert (found.split, found.n) == ("test", 30)
    assert sum("is taken whole" in note for note in found.notes) == 1
    part = compare([RUN, other], data=f"folder:{new_digits}", split="train")
    assert part.n < 30
    assert not any("whole" in note for note in part.notes)
