"""What a benchmark writes can be read again, by people and by programs."""

from __future__ import annotations

import json

import pytest
from benchmarks.measuring import Spread, interleave, ratio
from benchmarks.records import Column, Record, Table, number, origin, write


@pytest.fixture
def record() -> Record:
    columns = (Column("batch", "images"), Column("time", "s"), Column("note", "note"))
    rows = (
        {"batch": 1, "time": Spread(0.5, 0.25, 1.0, 3), "note": "alone"},
        {"batch": 1024, "time": None},
    )
    table = Table("Time", columns, rows, ("Measured.",))
    return Record("example", "An example", {"n": 2}, (table,), origin(), {"losses": [1.0, 0.5]})


def test_a_record_survives_its_json(record):
    again = Record.from_json(record.to_json())
    assert again == record
    assert again.tables[0].rows[0]["time"] == Spread(0.5, 0.25, 1.0, 3)


def test_a_table_shows_spreads_and_leaves_unknown_cells_empty(record):
    assert record.tables[0].to_markdown().splitlines() == [
        "### Time",
        "",
        "| images | s | note |",
        "|---|---|---|",
        "| 1 | 0.5 [0.25, 1] | alone |",
        "| 1,024 |  |  |",
        "",
        "Measured.",
    ]


def test_a_page_says_where_its_numbers_are_from(record):
    page = record.to_markdown(["example-growth.svg"])
    assert "![example-growth.svg](example-growth.svg)" in page
    for known in ("python -m benchmarks", record.provenance["versions"]["torch"], "threads"):
        assert known in page


def test_writing_leaves_the_source_and_the_page(record, tmp_path):
    paths = write(record, tmp_path / "results", {})
    assert [path.name for path in paths] == ["example.json", "example.md"]
    assert json.loads(paths[0].read_text())["provenance"]["machine"]["cores"] >= 1


@pytest.mark.parametrize("text", ["", "{}", '{"tables": 3}'])
def test_json_of_another_kind_is_refused(text):
    with pytest.raises(ValueError, match="not a benchmark's JSON"):
        Record.from_json(text)


@pytest.mark.parametrize(
    ("value", "cell"),
    [(12345, "12,345"), (12345.6, "12,346"), (0.000123456, "0.000123"), (True, "yes"), ("x", "x")],
)
def test_cells_have_three_significant_digits(value, cell):
    assert number(value) == cell


def test_sides_take_turns_and_the_first_turn_is_not_counted():
    turns = []
    sides = {"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}
    times = interleave(sides, repeats=2, warm_up=1)
    assert turns == ["a", "b"] * 3
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}


def test_ratios_are_taken_between_neighbours():
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == Spread(2.0, 1.0, 3.0, 3)


def test_an_impatient_measurement_ends_after_a_turn_of_each():
    turns = []
    sides = {"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}
    times = interleave(sides, repeats=9, warm_up=0, patience=0.0)
    assert turns == ["a", "b"]
    assert {name: len(values) for name, values in times.items()} == {"a": 1, "b": 1}
