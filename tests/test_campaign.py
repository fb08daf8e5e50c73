"""A few dozen inputs and faults of `make campaign`; and would the campaign find a mistake?"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from campaign import readers
from campaign.faults import KINDS, Faults, Killed, inject, scenarios
from campaign.flows import run_flows
from campaign.inputs import picture
from campaign.readers import read_all
from campaign.records import Findings

from pixelbayes.io import write_whole


def test_generated_inputs_are_read_rightly_or_refused(tmp_path: Path) -> None:
    found = read_all(60, 0, tmp_path)
    assert found.clean, found.notes
    assert found.total > 50
    assert found.refused > 5


def test_a_reader_that_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = readers.read_image

    def mirrored(*args: object, **kwargs: object) -> object:
        return original(*args, **kwargs).flip(-1)  # type: ignore[arg-type]

    monkeypatch.setattr(readers, "read_image", mirrored)
    assert read_all(20, 0, tmp_path).wrong > 10


def test_a_generated_data_set_is_trained_on_evaluated_and_predicted(tmp_path: Path) -> None:
    found = run_flows(1, 0, tmp_path)
    assert found.clean, found.notes
    assert found.rows == 5


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_of_a_file_can_fail(tmp_path: Path, kind: str) -> None:
    def write() -> None:
        write_whole(tmp_path / "a", "0123456789" * 10)

    with Faults(tmp_path).watching() as faults:
        write()
    changes = faults.events
    assert changes == 5  # open, write, open again, on the disk, in its place
    (tmp_path / "a").write_text("before")
    for number in range(1, changes + 1):
        expected = pytest.raises(Killed if kind == "kill" else OSError)
        with Faults(tmp_path, kind, number).watching() as faults, expected:
            write()
        assert faults.fired
        assert (tmp_path / "a").read_text() == "before"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_training_and_evaluation_survive_faults(tmp_path: Path) -> None:
    found = Findings()
    for scenario in scenarios(0, tmp_path)[1:3]:
        changes = scenario.count(tmp_path)
        for number, kind in enumerate(KINDS, start=1):
            assert inject(scenario, kind, changes * number // 4, tmp_path, found)
    assert found.clean, found.notes
    assert found.survived == 6


def test_the_generator_draws_the_same_inputs_for_a_seed() -> None:
    one, same, other = (picture(random.Random(seed)) for seed in (1, 1, 2))
    assert one.data == same.data
    assert np.array_equal(one.levels, same.levels)
    assert one.data != other.data
