"""No global or ambient setting, no other thread and no mode changes what is said of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.core.precision import evaluation_mode, isolated
from pixelbayes.inference import BayesClassifier, complete, complete_weighted, first_rows, sample
from pixelbayes.inference.anytime import AnytimeClassifier, AnytimeRule, accumulate
from pixelbayes.inference.completion import importance_weights
from pixelbayes.inference.counterfactual import counterfactual
from pixelbayes.inference.evidence import evidence
from pixelbayes.inference.sampling import complete_naive, sample_naive
from pixelbayes.switches import ieee_arithmetic


def seeded() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(5)


def labels() -> Tensor:
    return torch.tensor([2, 0], device="cpu")


PRIOR = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
RULE = AnytimeRule(0.5, (60.0,))

PUBLIC: dict[str, Callable[[PixelCNN, Tensor], Any]] = {
    "first_rows": lambda network, levels: first_rows(network, 3),
    "sample": lambda network, levels: sample(network, labels(), generator=seeded()),
    "sample_naive": lambda network, levels: sample_naive(network, labels(), generator=seeded()),
    "complete": lambda network, levels: complete(
        network, labels(), levels, first_rows(network, 5), generator=seeded()
    ),
    "complete_naive": lambda network, levels: complete_naive(
        network, labels(), levels, first_rows(network, 5), generator=seeded()
    ),
    "complete_weighted": lambda network, levels: complete_weighted(
        network, 1, levels[0], ~first_rows(network, 5), draws=3, generator=seeded()
    ),
    "importance_weights": lambda network, levels: importance_weights(
        network, labels(), levels, first_rows(network, 5)
    ),
    "log_likelihoods": lambda network, levels: BayesClassifier(network).log_likelihoods(levels),
    "narrow log_likelihoods": lambda network, levels: BayesClassifier(
        network, autocast=torch.bfloat16
    ).log_likelihoods(levels),
    "predict_log_proba": lambda network, levels: BayesClassifier(
        network, log_prior=PRIOR, temperature=3.0
    ).predict_log_proba(levels),
    "predict": lambda network, levels: BayesClassifier(network).predict(levels),
    "log_likelihood_maps": lambda network, levels: BayesClassifier(network).log_likelihood_maps(
        levels
    ),
    "evidence": lambda network, levels: evidence(BayesClassifier(network), levels[0]),
    "accumulate": accumulate,
    "anytime": lambda network, levels: AnytimeClassifier(
        BayesClassifier(network, log_prior=PRIOR), RULE
    ).predict(levels),
}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


SETTINGS = {
    "default dtype float64": lambda: default_dtype(torch.float64),
    "default dtype bfloat16": lambda: default_dtype(torch.bfloat16),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
    "deterministic mode": deterministic,
    "rounded matrix products": lambda: matmul_precision("medium"),
    "another default device": lambda: torch.device("meta"),
}


def tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    assert is_dataclass(result)
    found = [getattr(result, field.name) for field in fields(result)]
    return [value for value in found if isinstance(value, Tensor)]


@pytest.fixture
def network(tiny_network) -> PixelCNN:
    return tiny_network().float()


@pytest.fixture(scope="module")
def usual() -> dict[str, list[Tensor]]:
    """What each function answers under no setting, once it was asked."""
    return {}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", PUBLIC)
def test_no_setting_outside_changes_an_answer(network, random_levels, usual, name, setting):
    levels = random_levels(2, network.config)
    if name not in usual:
        usual[name] = tensors(PUBLIC[name](network, levels))
    expected = usual[name]
    with SETTINGS[setting]():
        answers = tensors(PUBLIC[name](network, levels))
    assert len(answers) == len(expected) > 0
    for answer, exact in zip(answers, expected, strict=True):
        assert answer.dtype == exact.dtype
        assert answer.device == exact.device
        assert answer.equal(exact)


@pytest.mark.parametrize("mode", [nullcontext, torch.inference_mode], ids=["plain", "inference"])
@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"first_rows"}))
def test_what_is_returned_may_be_changed_in_place_and_enter_autograd(
    network, random_levels, name, mode
):
    with mode():
        result = PUBLIC[name](network, random_levels(2, network.config))
    for tensor in tensors(result):
        assert not tensor.is_inference()
        assert not tensor.requires_grad
        weight = torch.ones((), requires_grad=True)
        (tensor.double() * weight).sum().backward()
        tensor.zero_()


def test_all_settings_at_once_do_not_change_a_counterfactual(tiny_network, random_levels):
    network = tiny_network(channels=1).float()
    image = random_levels(1, network.config)[0]

    def find() -> list[Tensor]:
        found = counterfactual(BayesClassifier(network), image, generator=seeded(), draws=2)
        return tensors(found)

    expected = find()
    with ExitStack() as stack:
        for setting in SETTINGS.values():
            stack.enter_context(setting())
        answers = find()
    assert len(answers) == 2
    for answer, exact in zip(answers, expected, strict=True):
        assert answer.equal(exact)
        assert not answer.is_inference()


def test_weights_are_float32_whatever_the_default_type(random_levels):
    config = PixelCNNConfig(classes=2, image_size=(8, 8), features=4, mixtures=2, fusion="joint")

    def build() -> PixelCNN:
        torch.manual_seed(0)
        return PixelCNN(config)

    expected = build().state_dict()
    with default_dtype(torch.float64):
        built = build().state_dict()
    for name, weight in expected.items():
        assert weight.dtype == torch.float32
        assert built[name].equal(weight), name


def switches() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.get_float32_matmul_precision(),
        cudnn.allow_tf32,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.is_autocast_enabled("cpu"),
    )


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_every_switch_is_put_back(precision):
    with matmul_precision(precision), torch.autocast("cpu", torch.bfloat16):
        before = switches()
        with ieee_arithmetic():
            assert not torch.is_autocast_enabled("cpu")
            with ieee_arithmetic():
                pass
            assert torch.backends.cudnn.deterministic
        assert switches() == before


def test_an_error_puts_the_switches_back():
    before = switches()

    @isolated
    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert switches() == before


def test_switches_stay_until_the_last_thread_is_done():
    before = switches()
    first, second = ieee_arithmetic(), ieee_arithmetic()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.backends.cudnn.deterministic, "one is still inside"
    second.__exit__(None, None, None)
    assert switches() == before


def test_a_network_leaves_evaluation_only_when_the_last_thread_is_done(network):
    network.train()
    network.decoder.eval()
    modes = [module.training for module in network.modules()]
    first, second = evaluation_mode(network), evaluation_mode(network)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not any(module.training for module in network.modules())
    second.__exit__(None, None, None)
    assert [module.training for module in network.modules()] == modes


@pytest.mark.parametrize("name", ["log_likelihoods", "accumulate", "anytime"])
def test_a_network_in_training_is_classified_without_dropout_and_left_in_training(
    network, random_levels, name
):
    levels = random_levels(2, network.config)
    expected = tensors(PUBLIC[name](network, levels))
    network.train()
    answers = tensors(PUBLIC[name](network, levels))
    assert all(module.training for module in network.modules())
    assert all(a.equal(b) for a, b in zip(answers, expected, strict=True))


def test_threads_answer_as_one_does(network, random_levels):
    levels = random_levels(2, network.config)
    network.train()  # the classifier's threads must not fall into each other's dropout
    likelihoods = PUBLIC["log_likelihoods"](network, levels)
    evaluated = PixelCNN(network.config).eval()
    evaluated.load_state_dict(network.state_dict())
    names = ("sample", "complete_weighted", "importance_weights", "anytime")
    expected = {name: tensors(PUBLIC[name](evaluated, levels)) for name in names}

    def work(number: int) -> bool:
        torch.set_num_threads(1)
        name = names[number % len(names)]
        answers = tensors(PUBLIC[name](evaluated, levels))
        same = all(a.equal(b) for a, b in zip(answers, expected[name], strict=True))
        return same and PUBLIC["log_likelihoods"](network, levels).equal(likelihoods)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(32)))
    assert network.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(set(PUBLIC) - {"first_rows"}))
def test_weights_that_round_a_level_away_are_refused(network, random_levels, name, dtype):
    with pytest.raises(TypeError, match=r"call model\.float\(\) first"):
        PUBLIC[name](network.to(dtype), random_levels(2, network.config))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (torch.tensor([1.7, 0.0]), TypeError, "whole numbers"),
        (torch.tensor([0, 3]), ValueError, "no class 3; there are 3, 0 to 2"),
        (torch.tensor([0, -1]), ValueError, "no class -1"),
    ],
)
@pytest.mark.parametrize("draw", [sample, sample_naive])
def test_a_label_that_is_no_class_is_refused(network, draw, wrong, error, message):
    with pytest.raises(error, match=message):
        draw(network, wrong, generator=seeded())


def test_pytorch_is_asked_about_no_autocast_that_it_does_not_know(
    tiny_network, random_levels, monkeypatch
):
    """As PyTorch 2.4, which has none for mps and answers with an error."""

    def asked(device: str) -> bool:
        if device == "mps":
            raise RuntimeError("unknown device type for autocast")
        return False

    network = tiny_network()
    levels = random_levels(1, network.config)
    expected = BayesClassifier(network).log_likelihoods(levels)
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda device: device != "mps")
    monkeypatch.setattr(torch, "is_autocast_enabled", asked)
    assert BayesClassifier(network).log_likelihoods(levels).equal(expected)
