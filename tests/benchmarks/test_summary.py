"""Documents say of speed what the benchmarks' JSON says."""

from __future__ import annotations

import dataclasses

import pytest
from benchmarks.measuring import Spread
from benchmarks.records import Column, Record, Table, origin
from benchmarks.summary import AIMS, DOCUMENTS, RECORDS, fill


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_is_what_the_records_make_of_it(path):
    text = path.read_text(encoding="utf-8")
    assert "<!-- measured: " in text
    assert fill(text) == text, "run: python -m benchmarks.summary"


@pytest.fixture
def folder(tmp_path):
    rows = ({"batch": 25, "ratio": Spread(3.0, 2.0, 4.0, 3)},)
    table = Table("Images drawn", (Column("batch", "images"), Column("ratio", "times")), rows)
    known = origin() | {"commit": "0123456789", "date": "2026-11-29T00:00:00"}
    record = Record("port", "Beside a port", {}, (table,), known)
    (tmp_path / "port.json").write_text(record.to_json())
    return tmp_path


def test_a_block_is_the_table_and_where_it_was_measured(folder):
    text = "before\n<!-- measured: port / Images -->\nold\n<!-- /measured -->\nafter\n"
    filled = fill(text, folder)
    assert "old" not in filled
    assert "| 25 | 3 [2, 4] |" in filled
    assert "0123456, 2026-11-29." in filled
    assert filled.startswith("before\n<!-- measured: port / Images -->\n|")
    assert filled.endswith("<!-- /measured -->\nafter\n")
    assert fill(filled, folder) == filled


def test_what_was_not_measured_cannot_be_told(folder):
    with pytest.raises(FileNotFoundError):
        fill("<!-- measured: peer / Images -->\n<!-- /measured -->", folder)
    with pytest.raises(StopIteration):
        fill("<!-- measured: port / Steps -->\n<!-- /measured -->", folder)


def test_every_aim_is_answered_by_a_record():
    for aim, name, title, (key, value), least in AIMS:
        record = Record.from_json((RECORDS / f"{name}.json").read_text())
        (row,) = [r for r in record.table(title).rows if r[key] == value]
        assert row["ratio"].low <= row["ratio"].median <= row["ratio"].high, aim
        assert least > 0
        assert dataclasses.is_dataclass(row["ratio"])
