"""Audits: which labels are doubted, by what, and what is written."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib.util import find_spec
from math import log

import pytest
import torch

from pixelbayes.cli.main import main
from pixelbayes.data import LabelledImages, Resize, write_png
from pixelbayes.io import plain
from pixelbayes.models import Metadata, PixelBayes
from pixelbayes.training import RunStopped, TrainingConfig
from pixelbayes.workflows import audit as module
from pixelbayes.workflows.audit import (
    SMALL,
    AuditError,
    _folds,
    _trained,
    audit,
    audit_by_folds,
    out_of_fold,
)

QUICK = replace(
    SMALL,
    network=replace(SMALL.network, features=4, mixtures=1, dropout=0.0, embedding=4),
    training=TrainingConfig(epochs=1, patience=None, accuracy_images=0, batch_size=8),
)

pytestmark = pytest.mark.skipif(
    find_spec("cleanlab") is None, reason="the extra decisions brings it"
)


def images_of(labels: list[int]) -> LabelledImages:
    """Dark images of class 0, bright ones of class 1, with some noise."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 40, (len(labels), 1, 8, 8), generator=draw)
    levels = noise + 200 * torch.tensor(labels)[:, None, None, None]
    names = tuple(f"image {number}" for number in range(len(labels)))
    return LabelledImages(levels.to(torch.uint8), torch.tensor(labels), names)


def test_a_wrong_label_is_the_most_doubtful():
    images = images_of([0, 0, 0, 1, 1, 1])
    log_proba = torch.tensor([[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 2 + [[0.8, 0.2]]).log()
    found = audit(images, ("dark", "bright"), log_proba, "hand")
    first = found.most_doubtful(1)[0]
    assert (first.name, first.given, first.suggested) == ("image 5", "bright", "dark")
    assert first.of_given == pytest.approx(0.2)
    rows = [*csv.DictReader(found.to_csv().splitlines())]
    assert next(row["path"] for row in rows) == "image 5"
    assert len(rows) == 6


def test_a_class_without_images_is_named():
    log_proba = torch.full((2, 3), 1 / 3).log()
    with pytest.raises(AuditError, match="none of third"):
        audit(images_of([0, 1]), ("dark", "bright", "third"), log_proba, "hand")


def test_folds_divide_every_class_evenly():
    labels = torch.tensor([0] * 11 + [1] * 7)
    fold = _folds(labels, 3, seed=0)
    for y in (0, 1):
        counts = torch.bincount(fold[labels == y], minlength=3)
        assert int(counts.max() - counts.min()) <= 1


class MeanBrightness:
    """Stands in for a trained model: how far an image's mean is from that of each class."""

    def __init__(self, images: LabelledImages) -> None:
        levels = images.levels.double().mean(dim=(1, 2, 3))
        self.means = torch.stack([levels[images.labels == y].mean() for y in (0, 1)])

    def log_likelihoods(self, levels: torch.Tensor, progress: object = None) -> torch.Tensor:
        """(N, 2)."""
        return -(levels.double().mean(dim=(1, 2, 3))[:, None] - self.means).abs()


def test_models_of_the_other_folds_find_a_flipped_label(monkeypatch):
    images = images_of([0, 1] * 12)
    given = images.labels.clone()
    given[4] = 1 - given[4]
    trained_on: list[set[str]] = []

    def trained(some, classes, config, scratch):
        trained_on.append({*some.names})
        return MeanBrightness(some)

    monkeypatch.setattr("pixelbayes.workflows.audit._trained", trained)
    table = out_of_fold(replace(images, labels=given), ("dark", "bright"), QUICK, folds=3)
    assert int(((table[:, 1] - table[:, 0]) * (2 * given - 1)).argmin()) == 4
    left_out = [{*images.names} - some for some in trained_on]
    assert sorted(name for some in left_out for name in some) == sorted(images.names)


def test_a_small_model_is_trained_on_labelled_arrays(tmp_path):
    model = _trained(images_of([0, 1] * 4), ("dark", "bright"), QUICK, tmp_path)
    assert model.classes == ("dark", "bright")
    assert bool(model.log_likelihoods(images_of([0]).levels).isfinite().all())


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [0, 0, 1], [0, 1, 1, 1, 0, 0]])
def test_few_images_still_choose_an_epoch(tmp_path, labels):
    model = _trained(images_of(labels), ("dark", "bright"), QUICK, tmp_path)
    assert model.classes == ("dark", "bright")


def test_images_of_which_none_can_choose_an_epoch_are_too_few(tmp_path):
    with pytest.raises(AuditError, match="without a fold each class has one image"):
        _trained(images_of([0, 1]), ("dark", "bright"), QUICK, tmp_path)


@pytest.mark.parametrize("option", [["--folds", "3"], ["--epochs", "1"], ["--seed", "0"]])
def test_what_no_training_needs_is_refused_beside_a_model(folder, judge_model, capsys, option):
    assert main(["audit", str(folder), "--model", str(judge_model), *option]) == 2
    assert f"{option[0]} say how small models are trained" in capsys.readouterr().err


def test_small_models_are_trained_where_they_are_asked_to_be(folder, tmp_path, monkeypatch, capsys):
    seen = []

    def by_folds(*_, config, **__):
        seen.append(config.training.accelerator)
        raise AuditError("enough")

    monkeypatch.setattr("pixelbayes.workflows.audit.audit_by_folds", by_folds)
    command = ["audit", str(folder), "--output", str(tmp_path / "doubts")]
    assert main([*command, "--device", "cpu"]) == 2
    assert seen == ["cpu"]
    if not torch.cuda.is_available():
        assert main([*command, "--device", "cuda"]) == 2
        assert "PyTorch finds no CUDA GPU" in capsys.readouterr().err


def test_a_signal_in_a_training_ends_the_audit_and_writes_nothing(
    folder, tmp_path, monkeypatch, capsys
):
    def stopped(*_, **__):
        raise RunStopped("signal", 3)

    monkeypatch.setattr(module, "train", stopped)
    assert main(["audit", str(folder), "--output", str(tmp_path / "doubts"), "--quiet"]) == 130
    assert "fault of pixelbayes" not in capsys.readouterr().err
    assert not (tmp_path / "doubts").exists()


@pytest.mark.parametrize(
    ("sizes", "asked", "seen"),
    [
        ([(8, 8)], None, (8, 8)),
        ([(9, 12)], None, (9, 12)),
        ([(8, 8), (9, 8)], None, (32, 32)),
        ([(6, 6)], None, (32, 32)),
        ([(7, 20)], None, (32, 32)),
        ([(40, 33)], None, (32, 32)),
        ([(8, 8)], (16, 16), (16, 16)),
    ],
)
def test_files_are_seen_at_their_own_size_where_it_is_one_and_small(
    tmp_path, monkeypatch, sizes, asked, seen
):
    draw = torch.Generator().manual_seed(1)
    for name in ("a", "b"):
        for number in range(6):
            size = sizes[number % len(sizes)]
            levels = torch.randint(0, 256, (3, *size), generator=draw).to(torch.uint8)
            write_png(levels, tmp_path / name / f"{number}.png")
    monkeypatch.setattr(
        module, "out_of_fold", lambda images, *_, **__: torch.zeros(len(images), 2).double()
    )
    found = audit_by_folds(str(tmp_path), image_size=asked)
    assert tuple(found.images.levels.shape[2:]) == seen
    assert found.judged_by.endswith(f"at {seen[0]} x {seen[1]} pixels")


def test_one_fold_or_a_lonely_image_is_refused():
    with pytest.raises(AuditError, match="two folds"):
        out_of_fold(images_of([0, 0, 1, 1]), ("a", "b"), QUICK, folds=1)
    with pytest.raises(AuditError, match="too few of: b"):
        out_of_fold(images_of([0, 0, 1]), ("a", "b"), QUICK, folds=2)


@pytest.fixture
def folder(tmp_path):
    """Images in folders a and <b>, whose name a page must escape."""
    draw = torch.Generator().manual_seed(1)
    for name in ("a", "<b>"):
        for number in range(6):
            levels = torch.randint(0, 256, (3, 8, 8), generator=draw).to(torch.uint8)
            write_png(levels, tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def judge_model(tiny_network, tmp_path):
    """A model of the classes of the folder, with random weights."""
    metadata = Metadata(
        classes=("<b>", "a"),
        resize=plain(Resize(size=(8, 8))),
        log_prior=(log(0.5),) * 2,
        temperature=50.0,
    )
    PixelBayes(tiny_network(classes=2), metadata).save(tmp_path / "model")
    return tmp_path / "model"


def test_the_command_writes_a_table_and_a_page(folder, judge_model, tmp_path, capsys):
    output = tmp_path / "doubts"
    arguments = ["audit", str(folder), "--model", str(judge_model), "--output", str(output)]
    assert main([*arguments, "--shown", "3"]) == 0
    assert "of 12 labels" in capsys.readouterr().out
    assert len((output / "audit.csv").read_text("utf-8").splitlines()) == 13
    page = (output / "audit.html").read_text("utf-8")
    assert page.count("data:image/png") == 3
    assert "<b>" not in page.replace("&lt;b&gt;", "")
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_model_of_other_classes_is_refused(folder, capsys, tmp_path):
    assert main(["audit", str(folder), "--model", "cpen455-gated", "-o", str(tmp_path / "x")]) == 2
    assert "8 x 8" in (said := capsys.readouterr().err) or "koala" in said
