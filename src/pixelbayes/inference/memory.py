"""How much memory a pass takes, and keeping what was freed for the next one."""

from __future__ import annotations

import ctypes
import sys

import torch

__all__ = ["feature_budget", "keep_freed_memory"]

FEATURE_BUDGET = 1 << 28  # fills the cores of a laptop, and fits it; more hardly helps
FEATURE_BUDGET_ELSEWHERE = 4 << 30  # keeps a GPU busy, and fits one of 8 GiB

# Parameters of mallopt(3) in glibc: blocks below the first come from the heap and not from
# mmap, and the heap is not given back to the system below the second.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
KEPT = 1 << 30


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
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, KEPT)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))
