"""Computations between a thread and the page."""

from __future__ import annotations

import threading

import pytest

from pixelbayes.app.work import Finished, in_background

WAIT = 10.0  # seconds until a test that hangs is given up


def test_the_result_comes_last_and_after_what_was_reported():
    def compute(report):
        for number in range(5):
            report(number)
        return "done"

    steps = list(in_background(compute))
    assert steps[-1] == Finished("done")
    assert steps[:-1] == sorted(set(steps[:-1]))


def test_what_nobody_had_time_to_look_at_is_skipped():
    reported = threading.Event()

    def compute(report):
        for number in range(100):
            report(number)
        reported.set()
        return "done"

    steps = in_background(compute)
    next(steps)
    assert reported.wait(WAIT)
    assert len(list(steps)) <= 2


def test_an_error_is_raised_where_somebody_waits():
    def compute(report):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(in_background(compute))


def test_closing_ends_the_computation_at_its_next_report():
    looked, ended = threading.Event(), threading.Event()
    counted = []

    def compute(report):
        try:
            report(0)
            assert looked.wait(WAIT)
            for number in range(1, 1000):
                report(number)
                counted.append(number)
        finally:
            ended.set()

    steps = in_background(compute)
    assert next(steps) == 0
    steps.close()
    looked.set()
    assert ended.wait(WAIT)
    assert not counted
