"""What a caller has set for itself changes nothing of what a model says, nor what it learns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pixelbayes.data import load_dataset
from pixelbayes.models import Model, PixelBayes, load_model
from pixelbayes.training import TrainingConfig
from pixelbayes.workflows import DataConfig, NetworkConfig, RunConfig
from pixelbayes.workflows.evaluate import evaluate_saved
from pixelbayes.workflows.train import train

VERBS: dict[str, Callable[[Model, Tensor], Any]] = {
    "predict": lambda model, levels: [one.log_likelihoods for one in model.predict(levels)],
    "predict_proba": lambda model, levels: model.predict_proba(levels),
    "score_samples": lambda model, levels: model.score_samples(levels),
    "bits_per_dim": lambda model, levels: model.bits_per_dim(levels),
    "log_likelihood": lambda model, levels: model.log_likelihood(levels, 1),
    "outlier_scores": lambda model, levels: model.outlier_scores(levels),
    "sample": lambda model, levels: model.sample(0, generator=1, output_type="levels"),
    "complete": lambda model, levels: model.complete(levels, 1, generator=1, output_type="levels"),
    "explain": lambda model, levels: model.explain(levels[0]).found.evidence,
}


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS: dict[str, Callable[[], Any]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default type": lambda: default_type(torch.float64),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "another default device": lambda: torch.device("meta"),
}
CONFIG = RunConfig(
    data=DataConfig(data="digits", limit=20),
    network=NetworkConfig(features=2, mixtures=1, embedding=2),
    training=TrainingConfig(epochs=1, batch_size=10, init_images=10, accuracy_images=0),
)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", VERBS)
def test_no_setting_outside_changes_what_a_model_says(
    tiny_model: PixelBayes,
    random_levels: Callable[..., Tensor],
    tmp_path: Path,
    name: str,
    setting: str,
) -> None:
    PixelBayes(tiny_model.network.float(), tiny_model.metadata).save(tmp_path / "model")
    levels = random_levels(2, tiny_model.network.config)
    expected = VERBS[name](load_model(tmp_path / "model"), levels)
    with SETTINGS[setting]():
        found = VERBS[name](load_model(tmp_path / "model"), levels)
    if isinstance(expected, Tensor):
        assert found.dtype == expected.dtype
        assert found.device == expected.device
        assert found.equal(expected)
        assert not found.is_inference()
    else:
        assert found == expected


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(CONFIG, folder, progress=False)
    return folder


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_outside_changes_what_is_learned_and_measured(
    trained: Path, tmp_path: Path, setting: str
) -> None:
    with SETTINGS[setting]():
        train(CONFIG, tmp_path / "run", progress=False)
    weights, expected = (
        PixelBayes.load(run).network.state_dict() for run in (tmp_path / "run", trained)
    )
    assert all(weights[name].equal(weight) for name, weight in expected.items())
    with SETTINGS[setting]():
        report = evaluate_saved(tmp_path / "run", samples_per_class=0, output=tmp_path / "report")
    plain = evaluate_saved(tmp_path / "run", samples_per_class=0, output=tmp_path / "plain")
    assert report.splits == plain.splits


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_outside_changes_the_images(setting: str) -> None:
    expected = load_dataset("digits", limit=20, image_size=(9, 9), allow_upscaling=True)
    with SETTINGS[setting]():
        found = load_dataset("digits", limit=20, image_size=(9, 9), allow_upscaling=True)
    for name, images in expected.splits.items():
        assert found.split(name).levels.equal(images.levels)
        assert found.split(name).labels.equal(images.labels)
