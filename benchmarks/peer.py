"""TensorFlow Probability's PixelCNN, same size, in one run with ours.

It is the other maintained implementation.  Its label enters the gates of every block, like our
`gated-gates`.  Its kernels are whole ones with masked taps, so it has more weights, some of them
always zero, and does more arithmetic for the same features.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.figures import new_figure
from benchmarks.measuring import Isolated, Spread, interleave, ratio
from benchmarks.records import Column, Record, Table, origin
from benchmarks.steps import LEARNING_RATE, own_steps
from benchmarks.subjects import SMALL, describe, images_and_labels, network
from pixelbayes.core import PixelCNNConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FULL", "INSTALL", "QUICK", "Plan", "draw", "is_installed", "measure"]

INSTALL = """\
TensorFlow Probability is not installed, so there is no peer to measure.  It needs, best in an
environment of its own (it asks for an older numpy), with these or later versions that fit together:
    pip install tensorflow-cpu==2.18.1 tensorflow-probability==0.25.0
    pip install --no-deps tf-keras==2.18.0"""

EQUAL = replace(SMALL, fusion="gated-gates")
"""Ours with the label where the peer has it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        config: The network.
        batch: Images of a training step and of a pass.
        repeats: Of each measurement.
    """

    config: PixelCNNConfig = EQUAL
    batch: int = 32
    repeats: int = 7


FULL = Plan()
QUICK = Plan(batch=4, repeats=2)


def is_installed() -> bool:
    """Whether the peer can be imported."""
    needed = ("tensorflow", "tensorflow_probability", "tf_keras")
    return all(importlib.util.find_spec(name) is not None for name in needed)


def measure(plan: Plan) -> Record:
    """Times log-probabilities and training steps of both in turns.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
    """
    if not is_installed():
        raise ImportError(INSTALL)
    weights = {"tensorflow": Isolated(tensorflow_size, plan.config)()}
    weights["pixelbayes"] = sum(p.numel() for p in network(plan.config).parameters())
    rows = []
    for work, builds in (
        ("log-probability", (tensorflow_log_prob, log_prob)),
        ("training step", (tensorflow_step, one_step)),
    ):
        peer, ours = (Isolated(build, plan.config, plan.batch) for build in builds)
        with peer, ours:
            times = interleave(
                {"tensorflow": peer, "pixelbayes": ours}, repeats=plan.repeats, warm_up=2
            )
        row: dict[str, Any] = {
            name: Spread.of([plan.batch / taken for taken in values])
            for name, values in times.items()
        }
        rows.append({"work": work, **row, "ratio": ratio(times["tensorflow"], times["pixelbayes"])})
    return Record(
        name="peer",
        title="TensorFlow Probability's PixelCNN against ours",
        settings={
            "network": describe(plan.config),
            "batch": plan.batch,
            "repeats": plan.repeats,
            "weights": weights,
            "tensorflow": _versions(),
        },
        tables=(
            Table(
                f"Images per second, batches of {plan.batch}",
                (
                    Column("work", "work"),
                    Column("tensorflow", "TensorFlow Probability"),
                    Column("pixelbayes", "pixelbayes"),
                    Column("ratio", "ratio"),
                ),
                tuple(rows),
                (
                    f"Weights: {weights['tensorflow']:,} there, {weights['pixelbayes']:,} here.  "
                    "Both in float32, dropout 0.5 in training, compiled graphs there.  "
                    + ", ".join(f"{name} {version}" for name, version in _versions().items()),
                ),
            ),
        ),
        provenance=origin(),
    )


def draw(record: Record) -> dict[str, Figure]:
    """Images per second as bars, a panel for each work."""
    rows = record.table("Images per second").rows
    figure, axes = new_figure(len(rows))
    for axis, row in zip(axes, rows, strict=True):
        for position, name in enumerate(("tensorflow", "pixelbayes")):
            axis.barh(position, row[name].median, color="C0" if position else "C7")
            axis.plot([row[name].low, row[name].high], [position] * 2, color="black")
        axis.set_yticks([0, 1], ["TensorFlow Probability", "pixelbayes"])
        axis.set(xlabel="images per second", title=row["work"])
    return {"rates": figure}


def log_prob(config: PixelCNNConfig, batch: int) -> Callable[[], Any]:
    """Our log p(x | y) of a batch, without gradients."""
    model, (levels, labels) = network(config), images_and_labels(config, batch)
    work: Callable[[], Any] = torch.inference_mode()(lambda: model(levels, labels).log_prob(levels))
    return work


def one_step(config: PixelCNNConfig, batch: int) -> Callable[[], Any]:
    """One of our training steps, float32."""
    return own_steps(config, batch, 1, torch.float32)


def tensorflow_log_prob(config: PixelCNNConfig, batch: int) -> Callable[[], Any]:
    """Its log p(x | y) of a batch, as a compiled graph."""
    tf, distribution, images, condition = _tensorflow(config, batch)

    @tf.function  # type: ignore[untyped-decorator]
    def work() -> Any:
        return distribution.log_prob(images, conditional_input=condition, training=False)

    return lambda: work().numpy()


def tensorflow_step(config: PixelCNNConfig, batch: int) -> Callable[[], Any]:
    """Its training step with Adam, as a compiled graph."""
    tf, distribution, images, condition = _tensorflow(config, batch)
    tf_keras = importlib.import_module("tf_keras")
    variables = distribution.trainable_variables
    optimizer = tf_keras.optimizers.Adam(LEARNING_RATE)

    @tf.function  # type: ignore[untyped-decorator]
    def work() -> Any:
        with tf.GradientTape() as tape:
            log_probs = distribution.log_prob(images, conditional_input=condition, training=True)
            loss = -tf.reduce_mean(log_probs)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return lambda: work().numpy()


def tensorflow_size(config: PixelCNNConfig) -> Callable[[], int]:
    """Counts its weights."""
    _, distribution, _, _ = _tensorflow(config, batch=1)
    return lambda: sum(int(v.shape.num_elements()) for v in distribution.trainable_variables)


def _tensorflow(config: PixelCNNConfig, batch: int) -> tuple[Any, Any, Any, Any]:
    """The library, its PixelCNN of this size with weights, a batch, and its one-hot labels."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    warnings.filterwarnings("ignore")
    tf = importlib.import_module("tensorflow")
    tfp = importlib.import_module("tensorflow_probability")
    tf.config.threading.set_intra_op_parallelism_threads(torch.get_num_threads())
    tf.config.threading.set_inter_op_parallelism_threads(1)
    height, width = config.image_size
    distribution = tfp.distributions.PixelCNN(
        image_shape=(height, width, config.channels),
        conditional_shape=(config.classes,),
        num_resnet=config.blocks_per_stage,
        num_hierarchies=3,
        num_filters=config.features,
        num_logistic_mix=config.mixtures,
        dropout_p=config.dropout,
        use_data_init=False,  # ours is not part of a step either
    )
    levels, labels = images_and_labels(config, batch)
    images = tf.constant(levels.permute(0, 2, 3, 1).numpy(), tf.float32)
    condition = tf.one_hot(labels.numpy(), config.classes)
    distribution.log_prob(images, conditional_input=condition, training=False)  # makes weights
    return tf, distribution, images, condition


def _versions() -> dict[str, str]:
    from importlib import metadata

    names = ("tensorflow", "tensorflow-cpu", "tensorflow-probability")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
