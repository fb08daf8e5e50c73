"""The small table of results in the README, written from the studies' JSON.

    python -m benchmarks.readme

A test compares the README with the JSON.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelbayes.report import ModelResult, load_result
from pixelbayes.report.tables import column_of

__all__ = ["filled", "main"]

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "docs/results"
MODELS = (
    "accuracy/onepass-hybrid",
    "cpen455-small/gated-long",
    "cpen455-small/early",
    "cpen455-small/joint",
    "cpen455-small/gated",
    "cpen455-small/late",
    "cpen455-small/resnet18",
)
"""Folder and name of the JSON of each row."""
BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)
SPLIT = "validation"


def filled(text: str) -> str:
    """The text with the table between its marks written anew."""
    results = [load_result(RESULTS / f"{name}.json") for name in MODELS]
    n = results[0].splits[SPLIT].n
    header = f"| model | epochs | accuracy, {SPLIT} (n = {n}) | bits/dim |"
    rows = "\n".join([header, "| --- | --- | --- | --- |", *map(_row, results)])
    return BLOCK.sub(lambda found: f"{found[1]}{rows}\n{found[2]}", text)


def _row(result: ModelResult) -> str:
    cells = [result.name, str(result.epochs)]
    for name in ("accuracy", "bits_per_dim"):
        found = result.measure(SPLIT, name)
        cells.append("" if found is None else column_of(name).text(found))
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Writes the README."""
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
