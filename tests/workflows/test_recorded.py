from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pixelbayes.data import load_dataset
from pixelbayes.models import PixelBayes
from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.workflows import DataConfig, NetworkConfig, Run, RunConfig, RunError, recorded
from pixelbayes.workflows.train import train


def config(**training: object) -> RunConfig:
    settings = {"batch_size": 16, "epochs": 1, "accuracy_images": 0, **training}
    return RunConfig(
        data=DataConfig(limit=30),
        network=NetworkConfig(features=6, mixtures=2, embedding=4),
        optim=OptimConfig(),
        training=TrainingConfig(**settings),  # type: ignore[arg-type]
    )


def test_a_longer_run_may_begin_to_keep_checkpoints(tmp_path: Path) -> None:
    run = train(config(), tmp_path / "run", progress=False)
    assert run.kept == {}

    longer = train(
        config(epochs=3, checkpoint_every=1), tmp_path / "run", resume=True, progress=False
    )

    assert list(longer.kept) == [2, 3]
    kept, last = (
        PixelBayes.load(folder).network.state_dict() for folder in (run.kept[3], run.last)
    )
    assert all(torch.equal(tensor, last[name]) for name, tensor in kept.items())


def test_the_folder_of_the_data_may_have_moved_while_their_digest_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The digits come with scikit-learn and have no folder: here one is accepted and not used.
    monkeypatch.setattr(
        recorded, "load_dataset", lambda data, data_dir, **options: load_dataset(data, **options)
    )
    train(config(), tmp_path / "run", progress=False)
    moved = replace(config(epochs=2), data=DataConfig(limit=30, data_dir=str(tmp_path)))

    run = train(moved, tmp_path / "run", resume=True, progress=False)

    assert Run.open(run.path).config.data.data_dir == str(tmp_path)
    assert run.info["epochs"] == 2


def test_the_name_of_the_data_may_not_change(tmp_path: Path) -> None:
    train(config(), tmp_path / "run", progress=False)
    other = replace(config(epochs=2), data=DataConfig(limit=29))

    with pytest.raises(RunError, match=r"data\.limit: 30 there, 29 now"):
        train(other, tmp_path / "run", resume=True, progress=False)
