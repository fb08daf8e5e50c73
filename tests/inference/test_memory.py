"""Settings of the C library last no longer than they are needed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from pixelbayes.inference.memory import freed_memory_kept

BLOCK = 1 << 26


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def touch() -> None:
    blocks = [torch.ones(BLOCK // 4) for _ in range(3)]
    del blocks


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_memory_is_kept_inside_and_given_back_when_the_last_has_left():
    before = resident()
    with freed_memory_kept():
        with freed_memory_kept():
            touch()
        assert resident() - before > BLOCK
    assert resident() - before < BLOCK // 4
    touch()
    assert resident() - before < BLOCK // 4
