from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelbayes.models import PixelBayes
from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.workflows import DataConfig, NetworkConfig, Run, RunConfig
from pixelbayes.workflows.train import train

pytestmark = pytest.mark.slow  # starts four processes

PROGRAM = """
import sys
from pathlib import Path
import torch
from pixelbayes.training import RunStopped
from pixelbayes.workflows import RunConfig
from pixelbayes.workflows.train import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    config, folder, resume = sys.argv[1:]
    try:
        train(RunConfig.read(config), Path(folder), resume=resume == "resume")
    except RunStopped as stopped:
        sys.exit(f"stopped: {stopped.reason}")
"""


def config(**training: Any) -> RunConfig:
    """50 images in batches of 7: of the last batch, one image, the second process has nothing."""
    settings = {"batch_size": 7, "epochs": 2, "flip": True, "precision": "64"}
    return RunConfig(
        data=DataConfig(limit=50),
        network=NetworkConfig(features=6, mixtures=2, embedding=4, dropout=0.0),
        optim=OptimConfig(ema_decay=0.9, gradient_clip=1.0),
        training=TrainingConfig(
            **{**settings, "accelerator": "cpu", "accuracy_images": 15, **training}
        ),
    )


def run_program(
    settings: RunConfig, folder: Path, *, resume: bool
) -> subprocess.CompletedProcess[str]:
    program, file = folder.parent / "program.py", folder.parent / "config.yaml"
    program.write_text(PROGRAM)
    file.write_text(settings.to_yaml())
    distributed = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in distributed}
    return subprocess.run(
        [sys.executable, program, file, folder, "resume" if resume else "new"],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, str]:
    """A run in one process; the same in two, stopped and resumed; what the resumed one said."""
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this build of torch has no gloo")
    folder = tmp_path_factory.mktemp("distributed")
    alone = train(config(), folder / "one", progress=False)
    stopped = run_program(config(devices=2, max_time="0.001s"), folder / "two", resume=False)
    assert stopped.stderr.endswith("stopped: max_time\n"), stopped.stderr
    resumed = run_program(config(devices=2), folder / "two", resume=True)
    assert resumed.returncode == 0, resumed.stderr
    return alone, Run.open(folder / "two"), resumed.stderr


def test_two_processes_end_with_the_weights_of_one(runs: tuple[Run, Run, str]) -> None:
    alone, together = (PixelBayes.load(run.last).network.state_dict() for run in runs[:2])

    for name, tensor in alone.items():
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(together[name], tensor, rtol=1e-9, atol=1e-11)


def test_two_processes_measure_what_one_measures(runs: tuple[Run, Run, str]) -> None:
    alone, together = (run.metrics() for run in runs[:2])

    for name in ("train/bits_per_dim", "val/bits_per_dim", "train/accuracy", "val/accuracy"):
        assert together[name] == pytest.approx(alone[name], rel=1e-9), name


def test_only_the_first_process_reports(runs: tuple[Run, Run, str]) -> None:
    lines = runs[2].splitlines()

    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    info = json.loads((runs[1].path / "run.json").read_text())
    assert (info["status"], info["epochs"]) == ("finished", 2)
