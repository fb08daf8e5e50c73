"""How much memory a pass takes, and keeping what was freed for the next one."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from pixelbayes.switches import shared_state

__all__ = ["feature_budget", "freed_memory_kept", "keep_freed_memory"]

FEATURE_BUDGET = 1 << 28  # fills the cores of a laptop, and fits it; more hardly helps
FEATURE_BUDGET_ELSEWHERE = 4 << 30  # keeps a GPU busy, and fits one of 8 GiB

# Parameters of mallopt(3) in glibc: blocks below the first come from the heap and not from
# mmap, and the heap is not given back to the system below the second.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
KEPT = 1 << 30
GLIBC_DEFAULT = 128 << 10  # of both


def feature_budget(device: torch.device) -> int:
    """Bytes of features and noise that one pass may hold, unless it is told otherwise."""
    return FEATURE_BUDGET if device.type == "cpu" else FEATURE_BUDGET_ELSEWHERE


def keep_freed_memory() -> bool:
    """Asks the C library not to return freed memory to the system.

    By default every large tensor is mapped anew, and the system clears its pages: a tenth of
    the time of a training step on a CPU, where each asks for the same blocks again.  Lasts until
    the process ends.

    Returns:
        Whether the C library knows the request; only glibc (Linux) does.
    """
    return _set_thresholds(KEPT)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """`keep_freed_memory`, until the last that is inside has left: then it is given back."""

    def change() -> Callable[[], None]:
        keep_freed_memory()
        return give_back

    def give_back() -> None:
        if _set_thresholds(GLIBC_DEFAULT):
            ctypes.CDLL(None).malloc_trim(0)

    with shared_state(freed_memory_kept, change):
        yield


def _set_thresholds(size: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, size)) and bool(mallopt(M_TRIM_THRESHOLD, size))
