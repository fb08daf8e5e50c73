"""The simulation of intervals runs, and writes what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import coverage


def test_the_simulation_writes_a_row_for_each_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "SETS", ((4, 10, 12, 0.0, 1.0), (4, 10, 12, 0.5, 1.4)))
    monkeypatch.setattr(coverage, "TEMPERATURES", (1.0,))
    monkeypatch.setattr(coverage, "ENDLESS", 500)

    coverage.main(tmp_path / "coverage.md", draws=4, resamples=3)

    text = (tmp_path / "coverage.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 2 + 2 + 3
    assert "| 4 | 10 and 12 | mean + 0.5, deviations x 1.4 |" in text
    numbers = json.loads((tmp_path / "coverage.json").read_text(encoding="utf-8"))
    assert coverage.page(numbers, "coverage.json") == text
