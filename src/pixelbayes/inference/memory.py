"""Keeping freed memory: each step or chunk frees and asks for the same large blocks again."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# Parameters of mallopt(3) in glibc: blocks below the first come from the heap and not from
# mmap, and the heap is not given back to the system below the second.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
KEPT = 1 << 30


def keep_freed_memory() -> bool:
    """Asks the C library not to return freed memory to the system.

    By default every large tensor is mapped anew, and the system clears its pages: a tenth of
    the time of a training step on a CPU.  Lasts until the process ends.

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
