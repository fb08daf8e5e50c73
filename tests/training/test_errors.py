"""Ways in which training ends survive the way from one process to another."""

from __future__ import annotations

import pickle

import pytest

from pixelbayes.training import DivergedError, RunStopped


@pytest.mark.parametrize("reason", ["signal", "max_time"])
def test_a_stopped_run_says_so_in_another_process_too(reason: str) -> None:
    stopped = RunStopped(reason, step=40)
    there = pickle.loads(pickle.dumps(stopped))
    assert (there.reason, there.step, str(there)) == (reason, 40, str(stopped))
    assert "--resume continues it" in str(there)


def test_a_diverged_run_says_what_to_try_in_another_process_too() -> None:
    there = pickle.loads(pickle.dumps(DivergedError(7, 0.02, "--gradient-clip 1")))
    assert (there.step, there.lr) == (7, 0.02)
    assert "a lower --lr (such as 0.005) or --gradient-clip 1." in str(there)
