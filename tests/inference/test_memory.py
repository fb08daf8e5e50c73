"""Settings of the C library last no longer than they are needed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from pixelbayes.inference.memory import feature_budget, freed_memory_kept, keep_freed_memory

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
    # Larger than any hole that the blocks above have left in the heap, which may be filled again.
    larger = torch.ones(BLOCK)
    del larger
    assert resident() - before < BLOCK // 4


def test_an_accelerator_is_given_more_than_a_processor() -> None:
    on_cpu, elsewhere = (feature_budget(torch.device(name)) for name in ("cpu", "cuda"))
    assert 64 << 20 <= on_cpu < elsewhere <= 8 << 30


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_where_the_c_library_is_another_one_nothing_is_asked_of_it(
    monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the C library was asked")

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("ctypes.CDLL", refused)
    assert keep_freed_memory() is False
    with freed_memory_kept():
        pass


def test_a_c_library_without_the_request_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())  # such as musl, which has no mallopt
    assert keep_freed_memory() is False
