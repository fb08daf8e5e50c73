"""What a benchmark leaves behind: numbers as JSON, and the tables made of them.

NAME.json is the source; NAME.md and the figures follow from it.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Spread
from pixelbayes.workflows.provenance import provenance

__all__ = ["Column", "Record", "Table", "number", "origin", "write"]

REPEATS = (
    "[low, high] are the smallest and the largest of the repeats; ratios are taken between "
    "neighbouring repeats of one run."
)
DIGITS = 3  # more than the spread of any timing is worth


@dataclass(frozen=True)
class Column:
    """Where a column's values are, and what stands above them."""

    key: str
    heading: str


@dataclass(frozen=True)
class Table:
    """Rows of numbers; a key that a row lacks is an empty cell."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """The title, the table, the notes."""
        lines = [
            f"### {self.title}",
            "",
            "| " + " | ".join(column.heading for column in self.columns) + " |",
            "|" + "---|" * len(self.columns),
        ]
        for row in self.rows:
            lines.append("| " + " | ".join(number(row.get(c.key)) for c in self.columns) + " |")
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Record:
    """Everything that one benchmark found.

    Attributes:
        name: Of the files, such as "sampling".
        title: Of the page.
        settings: What was measured, as plain values.
        tables: The numbers.
        curves: Numbers that are drawn but not printed.
        provenance: Machine, versions, commit, command, date; see `origin`.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    tables: tuple[Table, ...]
    provenance: Mapping[str, Any]
    curves: Mapping[str, Any] = field(default_factory=dict)
    brackets: str = REPEATS

    def to_json(self) -> str:
        """Text that `from_json` reads."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The record that `to_json` wrote, with spreads as spreads.

        Raises:
            ValueError: If the text is no such record.
        """
        try:
            content = json.loads(text)
            tables = tuple(
                Table(
                    table["title"],
                    tuple(Column(**column) for column in table["columns"]),
                    tuple(_with_spreads(row) for row in table["rows"]),
                    tuple(table["notes"]),
                )
                for table in content["tables"]
            )
            return cls(**{**content, "tables": tables})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"not a benchmark's JSON ({type(error).__name__}: {error}); "
                "it is written by 'python -m benchmarks'"
            ) from error

    def to_markdown(self, figures: Sequence[str] = ()) -> str:
        """A page: tables, figures, and where the numbers came from."""
        origin_ = self.provenance
        machine, versions = origin_["machine"], origin_["versions"]
        gpus = ", ".join(machine["gpus"]) or "no GPU"
        parts = [f"# {self.title}\n", *(table.to_markdown() for table in self.tables)]
        parts += [f"![{name}]({name})\n" for name in figures]
        parts.append(
            f"`{origin_['command']}`, commit {origin_['commit'] or 'unknown'}, {origin_['date']}. "
            f"{machine['cpu']}, {machine['threads']} threads on {machine['cores']} cores, "
            f"{machine['instructions']}, {gpus}; torch {versions['torch']}, Python "
            f"{versions['python']}. {self.brackets}\n"
        )
        return "\n".join(parts)

    def table(self, title: str) -> Table:
        """The table whose title begins so."""
        return next(table for table in self.tables if table.title.startswith(title))


def number(value: Any) -> str:
    """A cell: numbers to three significant digits, spreads with their ends.

    >>> number(1234.5), number(0.012345), number(Spread(2.0, 1.5, 2.5, 3)), number(None)
    ('1,234', '0.0123', '2 [1.5, 2.5]', '')
    """
    if value is None:
        return ""
    if isinstance(value, Spread):
        return f"{number(value.median)} [{number(value.low)}, {number(value.high)}]"
    if isinstance(value, int):
        return f"{value:,}" if not isinstance(value, bool) else ("yes" if value else "no")
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.{DIGITS}g}"
    return str(value)


def origin() -> dict[str, Any]:
    """Machine, versions, commit and the command as it is to be typed again."""
    known = provenance()
    threads = torch.get_num_threads()
    known["command"] = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    known["machine"] |= {
        "cores": os.cpu_count(),
        "threads": threads,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "architecture": platform.machine(),
    }
    return known


def write(record: Record, folder: Path, figures: Mapping[str, Any]) -> list[Path]:
    """Writes NAME.json, NAME.md and a NAME-FIGURE.svg for each figure; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {f"{record.name}-{name}.svg": figure for name, figure in figures.items()}
    for name, figure in drawn.items():
        figure.savefig(folder / name, metadata={"Date": None})
    page, source = folder / f"{record.name}.md", folder / f"{record.name}.json"
    page.write_text(record.to_markdown(list(drawn)), encoding="utf-8")
    source.write_text(record.to_json(), encoding="utf-8")
    return [source, page, *(folder / name for name in drawn)]


def _with_spreads(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = set(Spread.__dataclass_fields__)
    return {
        name: Spread(**value) if isinstance(value, dict) and set(value) == keys else value
        for name, value in row.items()
    }
