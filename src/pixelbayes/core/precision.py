"""Answers that no setting outside changes: precision, ambient modes, the network's own mode.

PyTorch keeps much of its state for the whole process or thread: TensorFloat-32, autocast, the
default device, inference mode, whether a network is in training.  What this package states about
an image depends on none of it; `isolated` is where that is guaranteed, for every public function
that runs a network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

__all__ = [
    "evaluation_mode",
    "ieee_arithmetic",
    "isolated",
    "require_wide_weights",
    "shared_state",
]

P = ParamSpec("P")
R = TypeVar("R")
Undo = Callable[[], None]

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")
NARROW = (torch.float16, torch.bfloat16)

_lock = threading.Lock()
_held: dict[Hashable, tuple[int, Undo]] = {}


@contextmanager
def shared_state(key: Hashable, change: Callable[[], Undo]) -> Iterator[None]:
    """A state that threads share: the first to need it changes it, the last puts it back."""
    with _lock:
        holders, undo = _held[key] if key in _held else (0, change())
        _held[key] = (holders + 1, undo)
    try:
        yield
    finally:
        with _lock:
            holders, undo = _held.pop(key)
            if holders > 1:
                _held[key] = (holders - 1, undo)
            else:
                undo()


@contextmanager
def ieee_arithmetic() -> Iterator[None]:
    """Float32 inside is float32, whatever autocast, TensorFloat-32 or bfloat16 is allowed outside.

    PyTorch's default for convolutions on a GPU is TensorFloat-32, with ten bits of mantissa:
    enough to train with, but classes differ by tenths of nats in a sum over thousands of
    dimensions, and the naive and the cached sampler compute the same features in different ways.
    The switches are the process's; they are changed while any thread is inside.
    """
    with ExitStack() as stack:
        for device in AUTOCAST_DEVICES:
            # PyTorch 2.4 knows no autocast of mps, and would not say whether it is enabled.
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(shared_state(ieee_arithmetic, _forbid_rounding))
        yield


def _forbid_rounding() -> Undo:
    cudnn = torch.backends.cudnn
    # Deterministic and not chosen by timing: the same kernels for every caller.
    switches: list[tuple[Any, str, Any]] = [
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
    ]
    if hasattr(torch.backends, "fp32_precision"):  # since PyTorch 2.9, one for each operation
        backends: Any = torch.backends  # the types know nothing of them yet
        operations = (
            backends.cuda.matmul,
            backends.cudnn.conv,
            backends.mkldnn.matmul,
            backends.mkldnn.conv,
        )
        switches += [(operation, "fp32_precision", "ieee") for operation in operations]
    else:
        switches += [(cudnn, "allow_tf32", False)]
    previous = [(place, name, getattr(place, name)) for place, name, _ in switches]
    matmul = None
    if not hasattr(torch.backends, "fp32_precision"):
        matmul = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
    for place, name, value in switches:
        setattr(place, name, value)

    def undo() -> None:
        for place, name, value in previous:
            setattr(place, name, value)
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)

    return undo


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
            if torch.get_default_device().type != "cpu":
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
