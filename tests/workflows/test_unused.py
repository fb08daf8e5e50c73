"""A setting that nothing reads is told, whichever it is, and one that is read is not."""

from __future__ import annotations

from typing import Any

import pytest

from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.workflows import NetworkConfig, RunConfig
from pixelbayes.workflows.unused import READ_WITH, unused_settings

CHANGED: dict[str, Any] = {
    "head_layers": 3,
    "label_channels": "undivided",
    "dropout_of": "channels",
    "momentum": 0.5,
    "betas": (0.5, 0.9),
    "lr_decay_per_step": 0.5,
    "initialisation": "random",
    "init_images": 8,
    "strength": 21.0,
    "strength_rise": (0.0, 0.5),
    "negatives": 1,
    "temperature": 3.0,
    "learn_temperature": True,
    "label_smoothing": 0.1,
}
WITHOUT = {
    "network": {"fusion": "gated", "dropout": 0.0},
    "optim": {"optimizer": "adam"},
    "training": {},
}
"""With what no setting above is read; three of them want another one each."""
ALSO = {
    "betas": {"optimizer": "sgd"},
    "initialisation": {"init_from": "cpen455-gated"},
    "init_images": {"initialisation": "random"},
}
WITH = {
    "head_layers": {"fusion": "head"},
    "label_channels": {"fusion": "joint"},
    "dropout_of": {"dropout": 0.5},
    "momentum": {"optimizer": "sgd"},
    "betas": {"optimizer": "adamw"},
    "lr_decay_per_step": {"schedule": "exponential"},
    "initialisation": {"init_from": None},
    "init_images": {"initialisation": "data"},
}
"""With what it is read; the others with the hybrid objective."""


def config(section: str, **settings: Any) -> RunConfig:
    parts = {**WITHOUT, section: {**WITHOUT[section], **settings}}
    return RunConfig(
        network=NetworkConfig(**parts["network"]),
        optim=OptimConfig(**parts["optim"]),
        training=TrainingConfig(**parts["training"]),
    )


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section in READ_WITH for name in READ_WITH[section]]
)
def test_a_changed_setting_is_told_exactly_where_nothing_reads_it(section: str, name: str) -> None:
    flag = "--" + name.replace("_", "-")
    changed = {name: CHANGED[name]}
    told = unused_settings(config(section, **ALSO.get(name, {}), **changed))
    assert any(line.startswith(f"{flag} has no effect here") for line in told)
    read = WITH.get(name, {"objective": "hybrid"})
    assert not any(flag in line for line in unused_settings(config(section, **read, **changed)))


def test_of_the_defaults_nothing_is_told() -> None:
    assert unused_settings(RunConfig()) == []
    assert unused_settings(RunConfig(model="resnet18")) == []


def test_label_smoothing_of_a_discriminative_model_is_read() -> None:
    smoothed = RunConfig(model="resnet18", training=TrainingConfig(label_smoothing=0.1))
    assert unused_settings(smoothed) == []
