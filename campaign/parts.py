"""The parts of the campaign, each in a process of its own."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from campaign.faults import KINDS, inject, scenarios
from campaign.flows import run_flows
from campaign.kills import kill_all
from campaign.readers import read_all
from campaign.records import Findings

__all__ = ["NUMBERS", "run_part"]

NUMBERS = {"readers": 5000, "flows": 200, "faults": 300, "kills": 20}
SHARES = {"train": 0.3, "resume": 0.3, "evaluate": 0.3, "study": 0.1}
"""Of the faults."""


def run_part(job: tuple[str, int, int, float]) -> dict[str, Any]:
    """One part of the campaign: its findings in plain values."""
    part, number, seed, seconds = job
    torch.set_num_threads(1)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campaign-") as place:
        if part == "readers":
            found: Findings = read_all(number, seed, Path(place))
        elif part == "flows":
            found = run_flows(number, seed, Path(place), seconds)
        elif part == "faults":
            found = _faults(number, seed, Path(place), seconds)
        else:
            found = kill_all(number, seed, Path(place), seconds)
    return {
        **vars(found),
        "tried": dict(found.tried),
        "total": found.total,
        "clean": found.clean,
        "seconds": round(time.monotonic() - started),
    }


def _faults(number: int, seed: int, place: Path, seconds: float) -> Findings:
    """Faults spread over the changes of each command, all kinds in turns."""
    found, end = Findings(), time.monotonic() + seconds
    rng = random.Random(f"{seed} places")
    pending = []
    for scenario in scenarios(seed, place):
        changes, wanted = scenario.count(place), round(number * SHARES[scenario.name])
        drawn = rng.sample(range(1, changes + 1), changes)
        for i in range(wanted):
            kind = [*KINDS][(i + i // changes) % len(KINDS)]
            pending.append((scenario, kind, drawn[i % changes]))
    rng.shuffle(pending)  # so that an early end has tried some of everything
    for scenario, kind, change in pending:
        if time.monotonic() > end:
            break
        inject(scenario, kind, change, place, found)
    return found
