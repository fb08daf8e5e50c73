"""A tiny study of digits and a feature network that counts what it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pixelbayes.evaluation.features import FeatureNetwork
from pixelbayes.workflows.study import StudyConfig, StudyOutcome, study

STUDY = """
title: Tiny
base:
  data: {data: digits, limit: 20}
  network: {features: 4, mixtures: 1, embedding: 2, dropout: 0.0}
  training: {epochs: 2, batch_size: 10, accuracy_images: 0, init_images: 10, checkpoint_every: 1}
models:
  gated: {network: {fusion: gated}}
  late: {network: {fusion: late}}
samples_per_class: 2
fid: {dims: [64, 192, 2048], bootstrap: 2}
"""
BASELINE = "  resnet18: {baseline: resnet18, optim: {lr: 0.01}, training: {epochs: 1}}\n"


class TinyNetwork(FeatureNetwork):
    """Random convolutions in place of Inception."""

    def __init__(self, digest: str = "tiny") -> None:
        super().__init__()
        self.dims, self.digest, self.seen = (64, 192), digest, 0
        generator = torch.Generator().manual_seed(0)
        self.kernels = {d: torch.randn(d, 1, 3, 3, generator=generator) / 300 for d in self.dims}

    def features(self, levels: Tensor, dims: Sequence[int]) -> dict[int, Tensor]:
        self.seen += len(levels)
        x = levels.float()
        return {d: torch.conv2d(x, self.kernels[d]).relu().mean(dim=(2, 3)) for d in dims}


@pytest.fixture
def network() -> TinyNetwork:
    return TinyNetwork()


@pytest.fixture
def config() -> StudyConfig:
    return StudyConfig.from_yaml(STUDY)


@pytest.fixture
def with_baseline() -> StudyConfig:
    pytest.importorskip("monai", reason="the ResNet-18 is monai's")
    return StudyConfig.from_yaml(STUDY.replace("samples_per_class", BASELINE + "samples_per_class"))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces tables and figures: the results that they would have been made of."""
    calls: list[Any] = []

    def write_study(folder: Path, results: Sequence[Any], **_: Any) -> list[Path]:
        calls.append(list(results))
        return [folder / "index.html"]

    monkeypatch.setattr("pixelbayes.workflows.study.runner.write_study", write_study)
    return calls


@pytest.fixture
def run_study(
    tmp_path: Path, written: list[Any], network: TinyNetwork
) -> Callable[..., StudyOutcome]:
    """Runs a study into a folder, silently."""

    def call(config: StudyConfig, **options: Any) -> StudyOutcome:
        settings: dict[str, Any] = {"network": network, "show_training": False, **options}
        return study(config, tmp_path / "study", **settings)

    return call
