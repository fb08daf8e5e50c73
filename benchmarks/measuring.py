"""How time and memory are measured.

Two sides of a comparison take turns within one run, so that a machine that slows down slows
both.  What changes the whole process (how memory is kept, how much was ever used) is measured
in a process of its own, which waits while the other side has its turn.

Units: seconds, bytes.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "PATIENCE",
    "Isolated",
    "Memory",
    "Spread",
    "interleave",
    "peak_memory",
    "ratio",
    "seconds",
]

MIB = 1 << 20
PATIENCE = 60.0
"""Seconds after which no further repeat begins, so that a slow machine ends too."""

Build = Callable[..., Callable[[], Any]]
"""Makes what is measured; a function of a module, so that another process can import it."""


@dataclass(frozen=True)
class Spread:
    """The middle of repeated measurements, with the smallest and the largest."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarises at least one measurement.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.0, high=3.0, n=3)
        """
        return cls(statistics.median(values), min(values), max(values), len(values))


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Spread:
    """Quotients of measurements that were neighbours in time.

    >>> ratio([2.0, 8.0], [1.0, 2.0])
    Spread(median=3.0, low=2.0, high=4.0, n=2)
    """
    return Spread.of([a / b for a, b in zip(numerator, denominator, strict=True)])


def seconds(work: Callable[[], Any]) -> float:
    """Wall-clock time of one call, waiting for an accelerator before and after."""
    _wait_for_device()
    started = time.perf_counter()
    work()
    _wait_for_device()
    return time.perf_counter() - started


def interleave(
    sides: Mapping[str, Callable[[], Any]],
    *,
    repeats: int,
    warm_up: int = 1,
    patience: float = PATIENCE,
) -> dict[str, list[float]]:
    """Times each side once, then each side again, and so on.

    Args:
        sides: What to call; an `Isolated` reports its own process's time.
        repeats: Measurements of each side, at least 1.
        warm_up: Calls of each side that are not measured.
        patience: Seconds of measuring after which no further turn begins; all sides have had as
            many turns, and one at least.

    Returns:
        Seconds of each side, in the order of the repeats.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(-warm_up, repeats):
        if repeat > 0 and sum(map(sum, times.values())) >= patience:
            break
        for name, work in sides.items():
            taken = work.seconds() if isinstance(work, Isolated) else seconds(work)
            if repeat >= 0:
                times[name].append(taken)
    return times


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process, in bytes.

    Attributes:
        before: Once everything was built, before the work.
        peak: The most it ever held.
    """

    before: int
    peak: int

    @property
    def added(self) -> int:
        """What the work needed beside the program, its libraries and the weights."""
        return max(0, self.peak - self.before)


class Isolated:
    """One side of a comparison in a process of its own.

    Args:
        build: Called there with `arguments`; returns what is measured.
        arguments: Anything that can be pickled.
    """

    def __init__(self, build: Build, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share the parent's memory
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, torch.get_num_threads(), build, arguments), daemon=True
        )
        self._process.start()
        theirs.close()

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join()

    def __call__(self) -> Any:
        """What the work returns."""
        return self._turn()[0]

    def seconds(self) -> float:
        """Time of one turn, by the other process's clock."""
        taken: float = self._turn()[1]
        return taken

    def memory(self) -> Memory:
        """Runs the work once more; the memory of all turns so far."""
        memory: Memory = self._turn()[2]
        return memory

    def _turn(self) -> tuple[Any, float, Memory]:
        try:
            self._connection.send("turn")
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise RuntimeError(
                f"a measured process ended with code {self._process.exitcode}; its own message is "
                "above (a code of -9 is most often a lack of memory)"
            ) from error
        return answer  # type: ignore[no-any-return]


def peak_memory(build: Build, *arguments: Any) -> Memory:
    """Memory that one call of the work needs, in a fresh process."""
    with Isolated(build, *arguments) as side:
        return side.memory()


def _serve(connection: Connection, threads: int, build: Build, arguments: Sequence[Any]) -> None:
    torch.set_num_threads(threads)
    work = build(*arguments)
    before = _resident()
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        results: list[Any] = []
        taken = seconds(lambda: results.append(work()))  # noqa: B023 (called at once)
        connection.send((results[0], taken, Memory(before, _peak())))


def _resident() -> int:
    return _status("VmRSS") or _peak()


def _peak() -> int:
    # VmHWM and not getrusage: ru_maxrss keeps the memory of the process that started this one.
    known = _status("VmHWM")
    if known is not None:
        return known
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return next((int(kibibytes) * 1024 for kibibytes in found), None)


def _wait_for_device() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
