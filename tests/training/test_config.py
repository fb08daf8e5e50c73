from __future__ import annotations

from typing import Any

import pytest

from pixelbayes.training import OptimConfig, TrainingConfig
from pixelbayes.training.config import parse_duration
from pixelbayes.training.optim import learning_rate_factor


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:01", 1), ("10:30:00", 37800), ("90m", 5400), ("1.5h", 5400), ("2d", 172800)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "90", "1:30", "00:99:00", "m", "-5m", "5 m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--max-time is HH:MM:SS, .* 90m .* got"):
        TrainingConfig(max_time=text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "--batch-size is a whole number, 1 or more, got 0"),
        ({"epochs": 1.5}, "--epochs is a whole number, 1 or more, got 1.5"),
        ({"patience": 0}, "--patience is a whole number, 1 or more, got 0"),
        ({"checkpoint_every": 0}, "--checkpoint-every is a whole number, 1 or more, got 0"),
        ({"init_images": 1}, "--init-images is a whole number, 2 or more, got 1"),
        ({"crop_margin": -1}, "--crop-margin is a whole number, 0 or more, got -1"),
        ({"flip": "no"}, "--flip is true or false, got 'no'"),
        ({"precision": "bf16"}, "--precision is one of: .*got 'bf16'"),
        ({"accelerator": "tpu"}, "--accelerator is one of: auto, cpu, gpu; got 'tpu'"),
        ({"objective": "hybird"}, "--objective is one of: .*got 'hybird'; did you mean hybrid"),
        ({"strength": -1.0}, "--strength is a number at least 0, got -1.0"),
        ({"strength_rise": (0.5,)}, "--strength-rise takes two numbers"),
        ({"strength_rise": (0.5, 0.2)}, "--strength-rise is a number at least 0.5, got 0.2"),
        ({"strength_rise": (0.5, 1.2)}, "--strength-rise is a number at most 1, got 1.2"),
        ({"negatives": 0}, "--negatives is a whole number, 1 or more, got 0"),
        ({"temperature": 0.0}, "--temperature is a number above 0, got 0.0"),
        ({"learn_temperature": 1}, "--learn-temperature is true or false, got 1"),
        ({"label_smoothing": 1.0}, "--label-smoothing is a number at least 0 and below 1"),
        ({"batch_size": 3, "devices": 2, "num_nodes": 2}, "3 leaves some of 4 without any"),
    ],
)
def test_a_mistaken_training_setting_is_refused_in_words_of_the_command_line(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"optimizer": "adamm"},
            "--optimizer is one of: adam, adamw, sgd; got 'adamm'; did you mean",
        ),
        ({"lr": 0.0}, "--lr is a number above 0, got 0.0"),
        ({"lr": float("nan")}, "--lr is a number above 0, got nan"),
        ({"lr": "1e-3"}, "got '1e-3'; in YAML write 1.0e-3, not 1e-3"),
        ({"betas": (0.9, 1.0)}, "--betas is a number at least 0 and below 1, got 1.0"),
        ({"betas": (0.9,)}, "--betas takes two numbers"),
        ({"lr_decay_per_step": 1.1}, "--lr-decay-per-step is a number above 0 and at most 1"),
        ({"gradient_clip": -1}, "--gradient-clip is a number above 0, got -1"),
        ({"ema_decay": 99}, "--ema-decay is a number above 0 and below 1, got 99"),
        ({"momentum": 1.0}, "--momentum is a number at least 0 and below 1, got 1.0"),
        ({"warmup_steps": -1}, "--warmup-steps is a whole number, 0 or more, got -1"),
    ],
)
def test_a_mistaken_optimiser_setting_is_refused_in_words_of_the_command_line(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        OptimConfig(**settings)


def test_the_exponential_schedule_decays_once_a_step() -> None:
    optim = OptimConfig(schedule="exponential", lr_decay_per_step=0.5)

    assert [learning_rate_factor(optim, step, 10) for step in range(3)] == [1.0, 0.5, 0.25]


def test_the_cosine_goes_from_one_after_warm_up_to_zero_at_the_end() -> None:
    optim = OptimConfig(schedule="cosine", warmup_steps=10)

    factors = [learning_rate_factor(optim, step, 110) for step in (0, 9, 10, 60, 110)]

    assert factors == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])
