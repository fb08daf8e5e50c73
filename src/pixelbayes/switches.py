"""Switches of the process that answers must not depend on, and that must stay as they were.

PyTorch keeps how it rounds, and Python which warnings it shows, for all threads at once.  What
saves such a switch, changes it and puts it back leaves it changed where two threads do so in turns.
Here the first thread that needs a switch turns it, and the last one turns it back.  Modes that each
thread has for itself are those of our own code while it is inside (`undisturbed`).
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

__all__ = [
    "Undo",
    "ieee_arithmetic",
    "shared_state",
    "thread_alone",
    "threads_settled",
    "training_alone",
    "undisturbed",
    "warnings_held_back",
]

Undo = Callable[[], None]

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")

_lock = threading.Lock()
_training = threading.RLock()
if hasattr(os, "register_at_fork"):  # else a child waits for a thread that it does not have

    def _new_locks() -> None:
        global _lock, _training
        _lock, _training = threading.Lock(), threading.RLock()

    os.register_at_fork(after_in_child=_new_locks)
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
def training_alone() -> Iterator[None]:
    """One thread trains at a time, another waits.

    First weights and dropout are drawn from PyTorch's one generator, between whose numbers a
    second training would draw.
    """
    with _training:
        yield


@contextmanager
def ieee_arithmetic() -> Iterator[None]:
    """Float32 inside is float32, whatever autocast, TensorFloat-32 or bfloat16 is allowed outside.

    PyTorch's default for convolutions on a GPU is TensorFloat-32, with ten bits of mantissa:
    enough to train with, but classes differ by tenths of nats in a sum over thousands of
    dimensions, and the naive and the cached sampler compute the same features in different ways.
    The switches are the process's; they are changed while any thread is inside.
    """
    threads_settled()
    with _without_autocast(), shared_state(ieee_arithmetic, _forbid_rounding):
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
def undisturbed() -> Iterator[None]:
    """Autocast, inference mode and a default device of the caller do not reach inside.

    Modes of a thread: they change which numbers come out, or what they are good for afterwards.
    """
    with (
        _without_autocast(),
        torch.inference_mode(False),
        torch.enable_grad(),
        ExitStack() as stack,
    ):
        # Not torch.get_default_device, which in PyTorch 2.4 does not see `with torch.device`.
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def _without_autocast() -> Iterator[None]:
    with ExitStack() as stack:
        for device in AUTOCAST_DEVICES:
            # PyTorch 2.4 knows no autocast of mps, and would not say whether it is enabled.
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def threads_settled() -> int:
    """Over how many threads PyTorch spreads the operations of this thread, from now on.

    A thread takes, at its first operation, the number that any thread has set last, and keeps it;
    on the number depends in which order an operation adds.
    """
    with _lock:
        return torch.get_num_threads()


def thread_alone() -> ThreadPoolExecutor:
    """A new thread on which PyTorch computes without further ones.

    The number that other new threads take is put back at once, by a thread that does nothing else:
    whoever puts it back has it too.
    """

    def alone() -> int:
        number = torch.get_num_threads()
        torch.set_num_threads(1)
        return number

    with _lock:
        worker = ThreadPoolExecutor(1)
        others = worker.submit(alone).result()
        last = threading.Thread(target=torch.set_num_threads, args=(others,))
        last.start()
        last.join()
    return worker


@contextmanager
def warnings_held_back(*messages: str, category: type[Warning] = Warning) -> Iterator[None]:
    """Does not show warnings that begin so, in any thread while one is inside; all others stay.

    `warnings.catch_warnings` would bring all filters back at its end, also those that another
    thread has changed meanwhile, and make Python forget which warnings it has shown.

    Args:
        messages: Regular expressions for the beginning of a text.
        category: Only warnings of this kind.
    """

    def change() -> Undo:
        rules = [("ignore", re.compile(text, re.I), category, None, 0) for text in messages]
        changed: Any = warnings.filters  # in place, since others hold this very list
        changed[:0] = rules

        def undo() -> None:
            present: Any = warnings.filters  # a copy, where someone catches warnings meanwhile
            for filters in (changed, present):
                for rule in rules:
                    if any(it is rule for it in filters):
                        filters.remove(rule)

        return undo

    with shared_state((warnings_held_back, messages, category), change):
        yield
