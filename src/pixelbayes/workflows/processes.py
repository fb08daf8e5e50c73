"""Work spread over the processes that torchrun starts, in order and told by the first of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from pixelbayes.errors import PixelBayesError

__all__ = ["OtherProcessError", "Processes", "joined_processes"]

Result = TypeVar("Result")
GRACE = 0.1  # seconds


class OtherProcessError(PixelBayesError):
    """The work failed; the first process tells why."""


@dataclass(frozen=True)
class Processes:
    """The processes that share some work; one alone by default."""

    rank: int = 0
    """Number of this one, from 0."""
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reads standard input, writes and tells."""
        return self.rank == 0

    def gathered(self, work: Callable[[], Result]) -> list[Result]:
        """What each process makes of its own work, by rank, in every process.

        Raises:
            Exception: In the first process the first failure of any; in the others
                `OtherProcessError`.  So all of them end.
        """
        if self.count == 1:
            return [work()]
        outcome: tuple[Result | None, Exception | None]
        try:
            outcome = (work(), None)
        except Exception as error:
            outcome = (None, error)
        outcomes: list[tuple[Result | None, Exception | None]] = [(None, None)] * self.count
        dist.all_gather_object(outcomes, outcome)
        failures = [error for _, error in outcomes if error is not None]
        if failures:
            raise failures[0] if self.is_first else OtherProcessError("another process failed")
        return [result for result, _ in outcomes]  # type: ignore[misc]

    def in_turns(
        self, work: Callable[[int], Result], count: int, *, first: int = 0
    ) -> Iterator[Result]:
        """`work(i)` for each i from `first` on, in order, each computed by one process only."""
        for start in range(first, count, self.count):
            mine = start + self.rank
            made = self.gathered(lambda mine=mine: work(mine) if mine < count else None)  # type: ignore[misc]
            yield from made[: count - start]  # type: ignore[misc]


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """The processes that torchrun started; this one alone where it was not started so.

    They talk by gloo, as a group that is formed inside unless there is one.  Where there are GPUs
    each process has one of its own.
    """
    if dist.is_available() and dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield Processes()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        # Its end holds the interpreter while it waits for its threads (PyTorch 2.4), one of which
        # may want it to let go of the last tensor: they get the time to.
        time.sleep(GRACE)
        dist.destroy_process_group()  # else its threads may abort a process that ends
