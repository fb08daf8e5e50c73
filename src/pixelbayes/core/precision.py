"""Answers that no setting outside changes: precision, ambient modes, the network's own mode.

PyTorch keeps much of its state for the whole process or thread: TensorFloat-32, autocast, the
default device, inference mode, whether a network is in training.  What this package states about
an image depends on none of it; `isolated` is where that is guaranteed, for every public function
that runs a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from pixelbayes.errors import PixelBayesError
from pixelbayes.switches import Undo, ieee_arithmetic, shared_state

__all__ = [
    "NotFiniteError",
    "evaluation_mode",
    "isolated",
    "require_finite",
    "require_wide_weights",
]

P = ParamSpec("P")
R = TypeVar("R")

NARROW = (torch.float16, torch.bfloat16)


class NotFiniteError(PixelBayesError):
    """What a network computes is no number, although its weights are."""


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """The network does not drop features inside, and is left in the mode it was in.

    A network in training mode is put into evaluation mode while any thread is inside.
    """

    def change() -> Undo:
        training = [module for module in network.modules() if module.training]
        for module in training:
            module.training = False

        def undo() -> None:
            for module in training:
                module.training = True

        return undo

    with shared_state((evaluation_mode, id(network)), change):
        yield


def isolated(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function that runs a network: its answer depends on its arguments only.

    Inside, arithmetic is `ieee_arithmetic`, nothing records gradients and new tensors are the
    CPU's unless they say otherwise.  Tensors that it returns, alone or as fields of a dataclass,
    are ordinary ones: they may be changed in place and enter autograd.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with ieee_arithmetic(), torch.inference_mode(), ExitStack() as stack:
            # Not torch.get_default_device, which in PyTorch 2.4 does not see `with torch.device`.
            if torch.empty(0).device.type != "cpu":
                stack.enter_context(torch.device("cpu"))
            result = function(*args, **kwargs)
        with torch.inference_mode(False):
            ordinary: R = _ordinary(result)
        return ordinary

    return run


def _ordinary(result: Any) -> Any:
    """The same, where tensors that were made in inference mode are copied out of it."""
    if isinstance(result, Tensor):
        return result.clone() if result.is_inference() else result
    if is_dataclass(result) and not isinstance(result, type):
        values = {field.name: _ordinary(getattr(result, field.name)) for field in fields(result)}
        return replace(result, **values)
    return result


def require_wide_weights(network: nn.Module) -> None:
    """Checks that no weight of the network is narrower than float32.

    Raises:
        TypeError: If one is.
    """
    for name, parameter in network.named_parameters():
        if parameter.dtype in NARROW:
            raise TypeError(
                f"the weight {name} is {parameter.dtype}, whose rounding moves likelihoods by nats "
                "and means by more than a level; call model.float() first (where bfloat16 is "
                "faster, BayesClassifier(..., autocast=torch.bfloat16) narrows the features only)"
            )


def require_finite(computed: Tensor) -> Tensor:
    """What a network has computed, if it is numbers; without, every class would be as good.

    Raises:
        NotFiniteError: If a number is infinite or none.
    """
    if not bool(computed.isfinite().all()):
        raise NotFiniteError(
            "the network computes no numbers for this input: its weights are finite but so large "
            "that sums overflow, as where a training has diverged; use a checkpoint of an earlier "
            "epoch, or train with a lower --lr or --gradient-clip"
        )
    return computed
