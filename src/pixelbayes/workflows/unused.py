"""Settings that somebody changed and that this training does not read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from pixelbayes.workflows.config import RunConfig

__all__ = ["unused_settings"]

Reads = Callable[[RunConfig], bool]

IF_SGD = ("--optimizer sgd", lambda run: run.optim.optimizer == "sgd")
IF_ADAM = ("--optimizer adam or adamw", lambda run: run.optim.optimizer != "sgd")
IF_EXPONENTIAL = ("--schedule exponential", lambda run: run.optim.schedule == "exponential")
IF_HYBRID = ("--objective hybrid", lambda run: run.training.objective == "hybrid")
IF_CROSS_ENTROPY = (
    "--objective hybrid",
    lambda run: run.training.objective == "hybrid" or not run.kind.is_density,
)
IF_NEW_WEIGHTS = ("first weights of its own", lambda run: run.training.init_from is None)
IF_STANDARDISED = ("--initialisation data", lambda run: run.training.initialisation == "data")
IF_LABEL_CHANNELS = ("--fusion early or joint", lambda run: run.fusion in ("early", "joint"))
IF_HEAD = ("--fusion head", lambda run: run.fusion == "head")
IF_DROPOUT = ("--dropout above 0", lambda run: run.network.dropout > 0.0)

READ_WITH: dict[str, dict[str, tuple[str, Reads]]] = {
    "network": {
        "head_layers": IF_HEAD,
        "label_channels": IF_LABEL_CHANNELS,
        "dropout_of": IF_DROPOUT,
    },
    "optim": {
        "momentum": IF_SGD,
        "betas": IF_ADAM,
        "lr_decay_per_step": IF_EXPONENTIAL,
    },
    "training": {
        "initialisation": IF_NEW_WEIGHTS,
        "init_images": IF_STANDARDISED,
        "strength": IF_HYBRID,
        "strength_rise": IF_HYBRID,
        "negatives": IF_HYBRID,
        "temperature": IF_HYBRID,
        "learn_temperature": IF_HYBRID,
        "label_smoothing": IF_CROSS_ENTROPY,
    },
}
"""Section, field: what it needs, in the words of the command line, and whether that is so."""


def unused_settings(config: RunConfig) -> list[str]:
    """Says of each setting that is not its default and that nothing reads what it needs."""
    said = []
    for section, needed in READ_WITH.items():
        part: Any = getattr(config, section)
        for item in fields(part):
            words, reads = needed.get(item.name, ("", lambda _: True))
            value = getattr(part, item.name)
            if value != item.default and not reads(config):
                flag = "--" + item.name.replace("_", "-")
                said.append(f"{flag} has no effect here: {value!r} is read with {words} only")
    return said
