"""Small tables of results in README.md and docs, written from the studies' JSON.

    python -m benchmarks.readme

A test compares the documents with the JSON.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pixelbayes.report import ModelResult, load_result
from pixelbayes.report.tables import column_of

__all__ = ["TABLES", "ResultsTable", "main"]

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs/results"
README, STUDY, WEIGHTS = (ROOT / name for name in ("README.md", "docs/study.md", "docs/weights.md"))
SPLIT = "validation"


@dataclass(frozen=True)
class ResultsTable:
    """A table between two marks of a document.

    Attributes:
        document: Which.
        mark: Its name: the table stands between <!-- MARK --> and <!-- /MARK -->.
        models: Folder and name of the JSON of each row.
        measures: Columns after model and epochs, with their headings.
    """

    document: Path
    mark: str
    models: tuple[str, ...]
    measures: tuple[tuple[str, str], ...]

    def filled(self, text: str) -> str:
        """The text with the table between its marks written anew."""
        results = [load_result(RESULTS / f"{name}.json") for name in self.models]
        n = results[0].splits[SPLIT].n
        headings = [heading.format(split=SPLIT, n=n) for _, heading in self.measures]
        lines = [["model", "epochs", *headings], ["---"] * (len(headings) + 2)]
        lines += [self._row(result) for result in results]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        block = re.compile(rf"(<!-- {self.mark} -->\n).*?(<!-- /{self.mark} -->)", re.DOTALL)
        return block.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)

    def _row(self, result: ModelResult) -> list[str]:
        cells = [result.name, str(result.epochs or "")]  # none of an ensemble
        for name, _ in self.measures:
            found = result.measure(SPLIT, name)
            cells.append("" if found is None else column_of(name).text(found))
        return cells


ACCURACY = ("accuracy", "accuracy, {split} (n = {n})")
BITS = ("bits_per_dim", "bits/dim")
LOG_LOSS = ("log_loss/calibrated", "log-loss, calibrated")
TABLES = (
    ResultsTable(
        README,
        "results",
        (
            "accuracy/onepass-hybrid",
            "cpen455-75/gated",
            "accuracy/hybrid-ensemble",
            "cpen455-75/resnet18",
            "cpen455-small/early",
            "cpen455-small/joint",
            "cpen455-small/gated",
            "cpen455-small/late",
        ),
        (ACCURACY, BITS),
    ),
    ResultsTable(
        STUDY,
        "length",
        (
            "cpen455-small/gated",
            "cpen455-small/gated-long",
            "cpen455-75/gated",
            "cpen455-small/late",
            "cpen455-75/late",
            "cpen455-small/early",
            "cpen455-75/early",
            "cpen455-small/resnet18",
            "cpen455-75/resnet18",
        ),
        (ACCURACY, LOG_LOSS, BITS),
    ),
    ResultsTable(
        STUDY,
        "hybrid",
        (
            "cpen455-small/gated-long",
            "accuracy/gated-75",
            "accuracy/onepass-8",
            "accuracy/onepass-16",
            "accuracy/onepass-hybrid",
            "accuracy/onepass-mirrored",
            "accuracy/hybrid-ensemble",
        ),
        (ACCURACY, LOG_LOSS, BITS),
    ),
    ResultsTable(
        WEIGHTS,
        "weights",
        (
            "accuracy/onepass-hybrid",
            "cpen455-75/gated",
            "cpen455-75/early",
            "cpen455-75/late",
            "cpen455-small/gated-long",
            "accuracy/onepass-8",
            "accuracy/onepass-16",
        ),
        (ACCURACY, LOG_LOSS, BITS),
    ),
)


def main() -> None:
    """Writes the documents."""
    for table in TABLES:
        text = table.document.read_text(encoding="utf-8")
        table.document.write_text(table.filled(text), encoding="utf-8")


if __name__ == "__main__":
    main()
