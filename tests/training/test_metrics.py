from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixelbayes.errors import PixelBayesError
from pixelbayes.training.metrics import (
    BITS_PER_DIM,
    COLUMNS,
    LOG_LOSS,
    best_epoch,
    columns,
    read_metrics,
    write_metrics,
)


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    rows = [dict.fromkeys(COLUMNS, math.pi / 1e9) | {"epoch": 1, "step": 4, "val/accuracy": None}]

    write_metrics(tmp_path / "metrics.csv", rows)

    assert read_metrics(tmp_path / "metrics.csv") == rows


def test_a_table_has_the_columns_of_its_objective(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", [{"epoch": 1, "val/log_loss": 0.5}], columns(LOG_LOSS))

    header = "epoch,step,train/log_loss,val/log_loss,train/accuracy,val/accuracy,lr"
    assert (tmp_path / "metrics.csv").read_text().startswith(header)
    assert read_metrics(tmp_path / "metrics.csv")[0]["val/log_loss"] == 0.5


def test_no_file_is_an_empty_table(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.csv") == []


def test_what_is_no_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,lr\n1,high\n")

    with pytest.raises(ValueError, match=r"metrics.csv is not a table of numbers: .*'high'"):
        read_metrics(tmp_path / "metrics.csv")


NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, width=64))


@given(table=st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(0, 10**9)), max_size=5))
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_table_is_read_as_it_was_written(
    tmp_path: Path, table: list[tuple[float | None, float | None, int]]
) -> None:
    empty = dict.fromkeys(COLUMNS)
    rows = [
        empty | {"epoch": number, "step": step, "lr": lr, "val/bits_per_dim": bits}
        for number, (lr, bits, step) in enumerate(table, start=1)
    ]
    write_metrics(tmp_path / "metrics.csv", rows)
    assert read_metrics(tmp_path / "metrics.csv") == rows


@pytest.mark.parametrize(
    "text",
    ["epoch,lr\n1,0.5\n3,0.5\n", "epoch,lr\n2,0.5\n", "epoch,lr\n1,0.5\n2,0.", "epoch,lr\n1,0.5"],
    ids=["a row is missing", "the first is missing", "half a row", "no end of line"],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(PixelBayesError, match=r"metrics\.csv is damaged: .* restore it"):
        read_metrics(tmp_path / "metrics.csv")


@given(values=st.lists(NUMBERS, max_size=8))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_best_epoch_is_the_first_of_the_lowest(values: list[float | None]) -> None:
    curves = {"epoch": [*range(1, len(values) + 1)], "val/bits_per_dim": values}
    best = best_epoch(curves, BITS_PER_DIM)
    measured = [value for value in values if value is not None]
    if not measured:
        assert best == 0
        return
    assert values[best - 1] == min(measured)
    assert min(measured) not in values[: best - 1]
