"""What the documents say about speed, written from the benchmarks' JSON.

    python -m benchmarks.summary

A document marks where a table stands, by the record and how its title begins,

    <!-- measured: port / Images drawn -->
    <!-- /measured -->

and where text does that is made of several records: `speed` and `aims`.  All between two marks is
written anew; a test compares it with the JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Spread
from benchmarks.records import Column, Record, Table, number

__all__ = ["AIMS", "DOCUMENTS", "fill", "main"]

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "docs/results/benchmarks"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs/performance.md")
BLOCK = re.compile(
    r"(<!-- measured: (?P<name>[\w-]+)(?: / (?P<title>[^>]+?))? -->\n).*?(<!-- /measured -->)",
    re.DOTALL,
)
OWN, HALF = "pixelbayes, float32", "pixelbayes, bfloat16"

# Aim, its record, table and row, the cell that answers it, and the least that it asks for.
AIMS: tuple[tuple[str, str, str, tuple[str, Any], float], ...] = (
    (
        "a step of the plain program beside the port's, 40 features",
        "port",
        "Training steps of 32 images, 40",
        ("side", "plain program, float32"),
        1.0,
    ),
    (
        "a step in float32, 40 features",
        "port",
        "Training steps of 32 images, 40",
        ("side", OWN),
        2.0,
    ),
    (
        "a step in float32, 80 features",
        "port",
        "Training steps of 32 images, 80",
        ("side", OWN),
        2.0,
    ),
    (
        "a step in bfloat16, 40 features",
        "port",
        "Training steps of 32 images, 40",
        ("side", HALF),
        3.0,
    ),
    (
        "a step in bfloat16, 80 features",
        "port",
        "Training steps of 32 images, 80",
        ("side", HALF),
        3.0,
    ),
    ("1 image drawn", "port", "Images drawn", ("batch", 1), 150.0),
    ("25 images drawn", "port", "Images drawn", ("batch", 25), 600.0),
    ("256 images drawn", "port", "Images drawn", ("batch", 256), 1000.0),
)


def fill(text: str, records: Path = RECORDS) -> str:
    """The document with every marked block written from the records.

    Args:
        text: Markdown.
        records: Folder of the JSON.

    Raises:
        FileNotFoundError: If a block asks for a record that was not measured.
        StopIteration: If its record has no such table or row.
    """

    def block(match: re.Match[str]) -> str:
        name, title = match["name"], match["title"]
        if name in COMPOSED:
            return f"{match[1]}{COMPOSED[name](records)}{match[4]}"
        record = _record(records, name)
        table = record.table(title).to_markdown().split("\n", 2)[2]
        return f"{match[1]}{table}\n{_origin(name, record)}\n{match[4]}"

    return BLOCK.sub(block, text)


def main() -> None:
    """Writes the documents."""
    for path in DOCUMENTS:
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")


def _record(folder: Path, name: str) -> Record:
    return Record.from_json((folder / f"{name}.json").read_text(encoding="utf-8"))


def _row(record: Record, title: str, key: str, value: Any) -> dict[str, Any] | None:
    """The row with this cell; None for one that a machine without bfloat16 leaves out."""
    found = (dict(row) for row in record.table(title).rows if row[key] == value)
    return next(found, None) if value == HALF else next(found)


def _origin(name: str, record: Record) -> str:
    return f"[{name}](results/benchmarks/{name}.md): {_measured_on(record)}."


def _measured_on(record: Record) -> str:
    """Machine, threads, commit and day."""
    known = record.provenance
    machine = known["machine"]
    return (
        f"{machine['cpu']} ({machine['instructions']}), {machine['threads']} threads, "
        f"{(known['commit'] or 'unknown')[:7]}, {known['date'][:10]}"
    )


def _aims(folder: Path) -> str:
    rows = []
    for aim, name, title, (key, value), least in AIMS:
        record = _record(folder, name)
        row: dict[str, Any] = {"aim": aim, "least": least, "origin": _measured_on(record)}
        found = _row(record, title, key, value)
        if found is None:
            row["reached"] = "not measured: no instructions for it"
        else:
            ratio: Spread = found["ratio"]
            if key == "batch":
                ratio = _beside_the_best(record.table(title).rows, found)
            row |= {"ratio": ratio, "n": ratio.n, "reached": ratio.median >= least}
        rows.append(row)
    columns = (
        Column("aim", "what"),
        Column("least", "aim, times the port"),
        Column("ratio", "measured"),
        Column("n", "n"),
        Column("reached", "reached"),
        Column("origin", "where and when"),
    )
    return Table("", columns, tuple(rows)).to_markdown().split("\n", 2)[2]


def _beside_the_best(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> Spread:
    """How many times as fast a batch is drawn as by the port in batches of the size it is best at.

    The port draws an image more slowly in a large batch than in a smaller one, so that it would
    draw many as several batches.  Where that is another batch, the ends are the quotients of the
    ends, which are no neighbours in time.

    >>> whole = Spread(2.0, 1.0, 3.0, 2)
    >>> large = {"batch": 4, "port": whole, "own": Spread(1.0, 1.0, 1.0, 2), "ratio": whole}
    >>> _beside_the_best([{"batch": 2, "port": Spread(0.5, 0.5, 1.0, 3)}, large], large)
    Spread(median=1.0, low=1.0, high=2.0, n=2)
    """
    smaller = [one for one in rows if one["batch"] <= row["batch"]]
    best = min(smaller, key=lambda one: float(one["port"].median / one["batch"]))
    if best["batch"] == row["batch"]:
        return Spread(**vars(row["ratio"]))
    port, own, times = best["port"], row["own"], row["batch"] / best["batch"]
    ends = (port.median / own.median, port.low / own.high, port.high / own.low)
    return Spread(*(times * end for end in ends), n=min(port.n, own.n))


def _speed(folder: Path) -> str:
    port = _record(folder, "port")
    steps = {
        row["side"]: row["ratio"] for row in port.table("Training steps of 32 images, 40").rows
    }
    precisions = f"{number(steps[OWN])} times as fast in float32"
    if HALF in steps:
        precisions += f", {number(steps[HALF])} in bfloat16"
    drawn = next(row for row in port.table("Images drawn").rows if row["batch"] == 25)
    return (
        f"Speed ({_measured_on(port)}): 25 images of 32 x 32 are drawn in "
        f"{number(drawn['own'].median)} s, {number(drawn['ratio'])} times as fast (range of the "
        "repeats) as by\nthe 1024 passes, extrapolated, of a "
        f"[public port](docs/results/benchmarks/port.md); a training step is {precisions}.\n"
        "Aims missed, and why: [performance](docs/performance.md).\n"
    )


COMPOSED: dict[str, Callable[[Path], str]] = {"aims": _aims, "speed": _speed}


if __name__ == "__main__":
    main()
