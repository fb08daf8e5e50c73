"""A few dozen inputs and faults of `make campaign`; and would the campaign find a mistake?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from campaign import readers
from campaign.faults import KINDS, Faults, Killed, inject, scenarios
from campaign.flows import run_flows
from campaign.readers import read_all
from campaign.records import Findings

from pixelbayes.io import write_whole
from pixelbayes.models import storage


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


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_evaluation_survive_a_fault(tmp_path: Path, kind: str) -> None:
    found = Findings()
    for scenario in scenarios(0, tmp_path)[1:3]:
        changes = scenario.count(tmp_path)
        assert inject(scenario, kind, changes // 2, tmp_path, found)
    assert found.clean, found.notes
    assert found.survived == 2


def test_a_checkpoint_that_is_written_in_place_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, resume, *_ = scenarios(0, tmp_path)
    changes = resume.count(tmp_path)
    monkeypatch.setattr(storage, "write_whole", open_and_write)
    found = Findings()
    for number in range(1, changes + 1):
        inject(resume, "kill", number, tmp_path, found)
        if found.lost:
            break
    assert found.lost


def open_and_write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def test_the_generator_draws_the_same_inputs_for_a_seed(tmp_path: Path) -> None:
    import random

    from campaign.inputs import picture

    one, same, other = (picture(random.Random(seed)) for seed in (1, 1, 2))
    assert one.data == same.data
    assert np.array_equal(one.levels, same.levels)
    assert one.data != other.data
