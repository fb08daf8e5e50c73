"""Computations that report on their way and can be stopped, as iterators for the page.

The page asks an iterator for the next thing to show, a computation calls back when it has
something: a thread stands between the two.  What nobody had time to look at is skipped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

__all__ = ["Finished", "in_background"]

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Finished(Generic[R]):
    """The result of a computation."""

    value: R


class _Stopped(BaseException):
    """Unwinds a computation that nobody waits for; no `except Exception` takes it for a fault."""


def in_background(
    compute: Callable[[Callable[[P], None]], R],
) -> Generator[P | Finished[R], None, None]:
    """Runs a computation in a thread.

    Args:
        compute: Is given a function to report with, and returns the result.

    Yields:
        What was reported last since the last look, then the result as `Finished`.

    Closing the iterator ends the computation when it reports next.  What the computation raises
    is raised here.
    """
    reports: SimpleQueue[P | Finished[R] | BaseException] = SimpleQueue()
    stop = threading.Event()

    def report(progress: P) -> None:
        if stop.is_set():
            raise _Stopped
        reports.put(progress)

    def run() -> None:
        try:
            reports.put(Finished(compute(report)))
        except _Stopped:
            pass
        except BaseException as error:  # it is raised where somebody waits
            reports.put(error)

    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    try:
        while True:
            latest = reports.get()
            while not isinstance(latest, (Finished, BaseException)):
                try:
                    latest = reports.get_nowait()
                except Empty:
                    break
            if isinstance(latest, BaseException):
                raise latest
            yield latest
            if isinstance(latest, Finished):
                return
    finally:
        stop.set()
