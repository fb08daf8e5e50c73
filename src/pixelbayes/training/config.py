"""What decides a training run besides the data and the network.

Attribute docstrings are the command line's help, `choices` in a field's metadata the values that
its option takes; a wrong value is refused on construction, in the words of the command line.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, field
from typing import Any

from pixelbayes.errors import PixelBayesError

__all__ = [
    "ACCELERATORS",
    "INITIALISATIONS",
    "OBJECTIVES",
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "OptimConfig",
    "TrainingConfig",
    "parse_duration",
    "require_count",
]

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "exponential", "cosine")
PRECISIONS = ("32", "bf16-mixed", "64")
ACCELERATORS = ("auto", "cpu", "gpu")
INITIALISATIONS = ("data", "random")
OBJECTIVES = ("likelihood", "hybrid")
SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How weights follow gradients.

    The defaults are the study's.  openai/pixel-cnn's CIFAR-10 script (train.py) has lr 0.001,
    betas (0.95, 0.9995), and the exponential schedule.

    Raises:
        ValueError: On construction, if a field has a value that is not accepted.
    """

    optimizer: str = field(default="adam", metadata={"choices": OPTIMIZERS})
    """adam, adamw (weight decay apart from the gradient) or sgd (with Nesterov's momentum)."""
    lr: float = 0.002
    """Learning rate, above 0."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay of the first and second moments of the gradient."""
    momentum: float = 0.9
    """Decay per step of sgd's momentum; sgd only."""
    weight_decay: float = 0.0
    """Pull of the weights towards zero, 0 or more."""
    schedule: str = field(default="constant", metadata={"choices": SCHEDULES})
    """constant, exponential (times lr_decay_per_step each step) or cosine (to 0 at the end)."""
    lr_decay_per_step: float = 0.999995
    """Factor of the learning rate per optimiser step; the exponential schedule only."""
    warmup_steps: int = 0
    """Steps in which the learning rate rises linearly to lr."""
    gradient_clip: float | None = None
    """Largest norm of the gradient; longer ones are scaled down.  None: no limit."""
    ema_decay: float | None = None
    """Decay per step of the moving average of the weights, such as 0.999.  Evaluation and
    checkpoints then use the average.  None: no average."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        _require_choice("--optimizer", self.optimizer, OPTIMIZERS)
        _require_choice("--schedule", self.schedule, SCHEDULES)
        _require_number("--lr", self.lr, above=0.0)
        _require_number("--momentum", self.momentum, least=0.0, below=1.0)
        _require_number("--weight-decay", self.weight_decay, least=0.0)
        _require_number("--lr-decay-per-step", self.lr_decay_per_step, above=0.0, most=1.0)
        require_count("--warmup-steps", self.warmup_steps, 0)
        if len(self.betas) != 2:
            raise PixelBayesError(f"--betas takes two numbers, got {self.betas!r}")
        for beta in self.betas:
            _require_number("--betas", beta, least=0.0, below=1.0)
        if self.gradient_clip is not None:
            _require_number("--gradient-clip", self.gradient_clip, above=0.0)
        if self.ema_decay is not None:
            _require_number("--ema-decay", self.ema_decay, above=0.0, below=1.0)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long, on what, and with which images.

    Raises:
        ValueError: On construction, if a field has a value that is not accepted.
    """

    batch_size: int = 32
    """Images per optimiser step, over all devices together."""
    epochs: int = 75
    """Passes over the training images, at most."""
    patience: int | None = 10
    """Stops after this many epochs without a lower validation loss.  None: never."""
    checkpoint_every: int | None = None
    """Epochs between two checkpoints kept under epochs/NNNN.  None: only best and last."""
    max_time: str | None = None
    """Stops, resumably, after this much time, counted anew when resumed: HH:MM:SS, or numbers
    with d, h, m or s, such as 90m."""
    precision: str = field(default="32", metadata={"choices": PRECISIONS})
    """32, bf16-mixed (bfloat16 inside the network, float32 in the likelihood) or 64."""
    accelerator: str = field(default="auto", metadata={"choices": ACCELERATORS})
    """auto (a GPU where there is one), cpu or gpu."""
    devices: int = 1
    """Processes per machine, one per GPU (or CPU process)."""
    num_nodes: int = 1
    """Machines."""
    flip: bool = False
    """Mirrors training images left and right, each with probability 1/2."""
    crop_margin: int = 0
    """Reads training images this many pixels larger and crops them at random, in pixels; images
    that have the size of the network already get a border of mirrored edges instead."""
    window_step: int | None = None
    """Shows parts of images in half of the steps, with sides and corners at multiples of this, in
    pixels: 8 for photographs that were JPEG files of twice the size.  None: whole images."""
    accuracy_images: int = 256
    """Training images, fixed and stratified, whose Bayes accuracy is measured; 0: none."""
    accuracy_every: int = 1
    """Epochs between two measurements of accuracy."""
    initialisation: str = field(default="data", metadata={"choices": INITIALISATIONS})
    """data (layers standardised on training images) or random."""
    init_images: int = 64
    """Training images for the initialisation from data."""
    init_from: str | None = None
    """Model whose weights the training starts from: a run, a checkpoint or the name of a shipped
    model, with any classes.  None: the initialisation."""
    teacher: str | None = None
    """Model of the same classes whose calibrated p(y | x) of the training images takes the place of
    their labels in the cross-entropy: a run, a checkpoint or the name of a shipped model.  None:
    the labels."""
    objective: str = field(default="likelihood", metadata={"choices": OBJECTIVES})
    """likelihood, or hybrid: the cross-entropy of Bayes' rule is added to it."""
    strength: float = 4.0
    """Pull of the cross-entropy against that of the likelihood; 4 is mild, 40 strong; hybrid
    only."""
    strength_rise: tuple[float, float] = (0.0, 0.0)
    """Shares of the training between which the strength rises from 0; hybrid only."""
    negatives: int | None = None
    """Wrong classes that an image is compared with, half of them the most probable ones; hybrid
    only.  None: all."""
    temperature: float = 10.0
    """Divides log-likelihoods before the cross-entropy; hybrid only."""
    learn_temperature: bool = False
    """Learns the temperature, from the one given; hybrid only."""
    label_smoothing: float = 0.0
    """Share of the target that goes to all classes alike, in [0, 1); hybrid, or a discriminative
    model."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "devices", "num_nodes", "accuracy_every"):
            require_count(_flag(name), getattr(self, name), 1)
        for name in ("crop_margin", "accuracy_images"):
            require_count(_flag(name), getattr(self, name), 0)
        require_count("--init-images", self.init_images, 2)  # a deviation needs two
        if self.patience is not None:
            require_count("--patience", self.patience, 1)
        if self.checkpoint_every is not None:
            require_count("--checkpoint-every", self.checkpoint_every, 1)
        if self.window_step is not None:
            require_count("--window-step", self.window_step, 1)
        if not isinstance(self.flip, bool):
            raise PixelBayesError(f"--flip is true or false, got {self.flip!r}")
        _require_choice("--precision", self.precision, PRECISIONS)
        _require_choice("--accelerator", self.accelerator, ACCELERATORS)
        _require_choice("--initialisation", self.initialisation, INITIALISATIONS)
        _require_choice("--objective", self.objective, OBJECTIVES)
        object.__setattr__(self, "strength_rise", tuple(self.strength_rise))
        _require_number("--strength", self.strength, least=0.0)
        if len(self.strength_rise) != 2:
            raise PixelBayesError(f"--strength-rise takes two numbers, got {self.strength_rise!r}")
        _require_number("--strength-rise", self.strength_rise[0], least=0.0)
        _require_number("--strength-rise", self.strength_rise[1], least=self.strength_rise[0])
        _require_number("--strength-rise", self.strength_rise[1], most=1.0)
        if self.negatives is not None:
            require_count("--negatives", self.negatives, 1)
        _require_number("--temperature", self.temperature, above=0.0)
        if not isinstance(self.learn_temperature, bool):
            raise PixelBayesError(
                f"--learn-temperature is true or false, got {self.learn_temperature!r}"
            )
        _require_number("--label-smoothing", self.label_smoothing, least=0.0, below=1.0)
        if self.max_time is not None:
            parse_duration(self.max_time)
        world = self.devices * self.num_nodes
        if world > self.batch_size:
            raise PixelBayesError(
                f"--batch-size counts the images of all devices together: {self.batch_size} "
                f"leaves some of {world} without any; pass --batch-size {world} or more"
            )

    @property
    def max_seconds(self) -> float | None:
        """`max_time` in seconds."""
        return None if self.max_time is None else parse_duration(self.max_time)


def parse_duration(text: str) -> float:
    """Returns seconds.

    >>> parse_duration("01:30:00"), parse_duration("90m"), parse_duration("1h30m")
    (5400.0, 5400.0, 5400.0)

    Raises:
        ValueError: If the text is no duration above zero.
    """
    if clock := re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", str(text)):
        hours, minutes, rest = map(float, clock.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    elif re.fullmatch(r"(\d+(\.\d+)?[dhms])+", str(text)):
        parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
        seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    else:
        seconds = 0.0
    if seconds <= 0.0:
        raise PixelBayesError(
            f"--max-time is HH:MM:SS, or numbers with d, h, m or s such as 90m or 1h30m, "
            f"and above zero; got {text!r}"
        )
    return seconds


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _require_choice(flag: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise PixelBayesError(f"{flag} is one of: {', '.join(choices)}; got {value!r}{hint}")


def require_count(
    name: str, value: Any, least: int, error: type[PixelBayesError] = PixelBayesError
) -> None:
    """Refuses what is no whole number of at least so much.

    Raises:
        PixelBayesError: If it is none, of the kind `error`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise error(f"{name} is a whole number, {least} or more, got {value!r}")


def _require_number(
    flag: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and above < value < below and least <= value <= most:
        return
    bounds = {"above": above, "at least": least, "below": below, "at most": most}
    accepted = " and ".join(f"{word} {x:g}" for word, x in bounds.items() if math.isfinite(x))
    # YAML reads 1e-3 as text: it wants a point in the number.
    hint = "; in YAML write 1.0e-3, not 1e-3" if isinstance(value, str) else ""
    raise PixelBayesError(f"{flag} is a number {accepted}, got {value!r}{hint}")
