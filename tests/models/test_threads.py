"""A server predicts, scores and draws in several threads: the numbers are those of one."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from pixelbayes.data import Resize
from pixelbayes.data.images import DatasetWarning, ImageDataset, LabelledImages
from pixelbayes.models import Model, PixelBayes

ROUNDS = 12
"""Of every verb in each thread."""

VERBS: dict[str, Callable[[Model, Tensor], Any]] = {
    "predict": lambda model, levels: [
        (one.label, one.confidence, one.log_likelihoods) for one in model.predict(levels)
    ],
    "score_samples": lambda model, levels: model.score_samples(levels).tolist(),
    "log_likelihood": lambda model, levels: model.log_likelihood(levels, 1).tolist(),
    "sample": lambda model, levels: model.sample(
        count=2, generator=3, output_type="levels"
    ).tolist(),
}


@pytest.fixture
def model(tiny_model: PixelBayes) -> PixelBayes:
    return PixelBayes(tiny_model.network.float(), tiny_model.metadata)


@contextmanager
def threads_of_two_cores() -> Iterator[None]:
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(1)


def switches() -> tuple[Any, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.get_float32_matmul_precision(),
        cudnn.allow_tf32,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.backends.cuda.matmul.allow_tf32,
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        list(warnings.filters),
        warnings.showwarning,
    )


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_threads_that_predict_and_score_at_once_give_the_numbers_of_one_after_the_other(
    model, random_levels, precision
):
    levels = random_levels(5, model.network.config)
    start = threading.Barrier(len(VERBS))

    def work(name: str) -> list[Any]:
        start.wait()
        return [VERBS[name](model, levels) for _ in range(ROUNDS)]

    torch.set_float32_matmul_precision(precision)
    try:
        before = switches()
        with threads_of_two_cores(), ThreadPoolExecutor(len(VERBS)) as pool:
            expected = {name: verb(model, levels) for name, verb in VERBS.items()}
            found = dict(zip(VERBS, pool.map(work, VERBS), strict=True))
        assert switches() == before
    finally:
        torch.set_float32_matmul_precision("highest")
    for name, answers in found.items():
        assert answers == [expected[name]] * ROUNDS, name


def test_a_warning_for_the_user_is_not_lost_while_another_thread_predicts(model, random_levels):
    levels = random_levels(2, model.network.config)
    end = threading.Event()

    def predict() -> int:
        done = 0
        while not end.is_set():
            model.predict(levels)
            done += 1
        return done

    def data_with_a_leak(number: int) -> None:
        one = LabelledImages(levels[:1], torch.tensor([0]), (f"a{number}.png",))
        same = LabelledImages(levels[:1], torch.tensor([0]), (f"b{number}.png",))
        ImageDataset(
            source=f"folder:{number}",
            classes=("a",),
            splits={"train": one, "test": same},
            resize=Resize(size=(8, 8)),
        )

    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(2) as pool:
        warnings.simplefilter("always")
        predicting = pool.submit(predict)
        try:
            list(pool.map(data_with_a_leak, range(20)))
        finally:
            end.set()
        assert predicting.result() > 0
    told = [str(one.message) for one in caught if one.category is DatasetWarning]
    assert len(told) == 20
    assert all("identical pixels" in text for text in told)
