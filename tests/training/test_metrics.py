from __future__ import annotations

import math
from pathlib import Path

import pytest

from pixelbayes.training.metrics import COLUMNS, LOG_LOSS, columns, read_metrics, write_metrics


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
