"""A table as content; `typesetting` writes it as Markdown, HTML and LaTeX."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pixelbayes.report.study.measures import Cell
from pixelbayes.report.study.results import ModelResult

__all__ = [
    "COURSE_NOTE",
    "FLOOR_NOTE",
    "HELD_OUT_NOTE",
    "INTERVALS",
    "Row",
    "Table",
    "grouped",
    "headline_split",
    "provenance_line",
]

INTERVALS = "Intervals in brackets are 95 %."
FLOOR_NOTE = (
    "A score below the floor does not mean better images than real ones: the floor is what real "
    "training images get in the place of generated ones, under the same protocol and sizes."
)
HELD_OUT_NOTE = (
    "Calibrated: at a temperature fitted on validation images; each validation image itself at "
    "one that was fitted on the other four fifths of them."
)
COURSE_NOTE = (
    "The course protocol compares generated images with larger real ones, so blur and noise decide "
    "much of its FID."
)


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    label: str
    cells: tuple[Cell, ...]
    kind: Literal["model", "seed", "reference"] = "model"
    """"reference": not ours, or not a model: published figures and floors."""


@dataclass(frozen=True)
class Table:
    """A table with everything that must stand under it."""

    stem: str
    """Name of its files."""
    title: str
    header: tuple[Cell, ...]
    """The first one names the rows; small print holds n where a column has one."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    command: str
    source: str
    """Commit, machine and date in one line."""


def grouped(results: Iterable[ModelResult]) -> dict[str, list[ModelResult]]:
    """The results by model, in their order, each with its seeds."""
    groups: dict[str, list[ModelResult]] = {}
    for result in results:
        groups.setdefault(result.name, []).append(result)
    return groups


def headline_split(results: Iterable[ModelResult]) -> str:
    """The split to answer with: test where any result has its accuracy, else validation."""
    return "test" if any("test" in result.accuracy for result in results) else "validation"


def provenance_line(provenance: Mapping[str, Any]) -> str:
    """Commit, machine and date in one line.

    >>> provenance_line({"commit": "3f2c1aa", "machine": {"cpu": "EPYC", "threads": 2}})
    'commit 3f2c1aa · EPYC, 2 threads'
    """
    machine = provenance.get("machine") or {}
    parts = [f"commit {provenance['commit']}"] if provenance.get("commit") else []
    if isinstance(machine, Mapping):
        threads = [f"{machine['threads']} threads"] if "threads" in machine else []
        machine = ", ".join([machine.get("cpu", ""), *threads, *machine.get("gpus", [])])
    parts += [str(machine).strip(", "), str(provenance.get("date") or "")]
    return " · ".join(filter(None, parts))
