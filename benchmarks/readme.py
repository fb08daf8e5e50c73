"""Small tables of results in README.md and docs, written from the studies' JSON.

    python -m benchmarks.readme

A test compares the documents with the JSON.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from pixelbayes.report import ModelResult, load_result
from pixelbayes.report.figures import points
from pixelbayes.report.model_table import p_text
from pixelbayes.report.results import GENERATED
from pixelbayes.report.tables import column_of

__all__ = ["TABLES", "EpochsTable", "PairsTable", "ResultsTable", "main"]

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs/results"
README, STUDY, WEIGHTS = (ROOT / name for name in ("README.md", "docs/study.md", "docs/weights.md"))


@dataclass(frozen=True)
class _Block(ABC):
    """A table between two marks of a document.

    Attributes:
        document: Which.
        mark: Its name: the table stands between <!-- MARK --> and <!-- /MARK -->.
    """

    document: Path
    mark: str

    @abstractmethod
    def lines(self) -> list[list[str]]:
        """The cells, the headings first."""

    def filled(self, text: str) -> str:
        """The text with the table between its marks written anew."""
        header, *rows = self.lines()
        table = "\n".join(
            f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)
        )
        block = re.compile(rf"(<!-- {self.mark} -->\n).*?(<!-- /{self.mark} -->)", re.DOTALL)
        return block.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


@dataclass(frozen=True)
class ResultsTable(_Block):
    """Models, and what was measured of each.

    Attributes:
        models: Folder and name of the JSON of each row.
        measures: Split, name and heading of each column after model and epochs.
    """

    models: tuple[str, ...]
    measures: tuple[tuple[str, str, str], ...]

    def lines(self) -> list[list[str]]:
        """See `_Block.lines`."""
        results = [_result(name) for name in self.models]
        counts = {split: results[0].splits[split].n for split in results[0].splits}
        headings = [heading.format(n=counts.get(split)) for split, _, heading in self.measures]
        return [["model", "epochs", *headings], *map(self._row, results)]

    def _row(self, result: ModelResult) -> list[str]:
        cells = [result.name, str(result.epochs or "")]  # none of an ensemble
        for split, name, _ in self.measures:
            found = result.measure(split, name)
            column = column_of(name.replace("_floor", ""))
            cells.append("" if found is None else column.text(found))
        return cells


@dataclass(frozen=True)
class PairsTable(_Block):
    """Models beside others, on the same images.

    Attributes:
        pairs: Folder and name of the JSON of each model, and the name of the other one.
    """

    pairs: tuple[tuple[str, str], ...]

    def lines(self) -> list[list[str]]:
        """See `_Block.lines`."""
        header = ["model", "beside", "images", "accuracy less the other's"]
        rows = [
            [
                model.rpartition("/")[2],
                other,
                f"{found.split}, {found.difference.n}",
                column_of("difference").text(found.difference),
                str(found.mcnemar.b),
                str(found.mcnemar.c),
                p_text(found),
            ]
            for model, other in self.pairs
            for found in _result(model).comparisons
            if found.other == other
        ]
        return [[*header, "only it is right", "only the other", "McNemar"], *rows]


@dataclass(frozen=True)
class EpochsTable(_Block):
    """Accuracy on validation images on the way, in percent; empty where none was measured.

    Attributes:
        models: Folder and name of the JSON of each row.
        epochs: Of each column.
    """

    models: tuple[str, ...]
    epochs: tuple[int, ...]

    def lines(self) -> list[list[str]]:
        """See `_Block.lines`."""
        header = ["validation accuracy, %, after epoch", *map(str, self.epochs)]
        return [header, *(self._row(_result(name)) for name in self.models)]

    def _row(self, result: ModelResult) -> list[str]:
        found = dict(points(result.curves, "val/accuracy", 100))
        return [result.name, *(f"{found[k]:.1f}" if k in found else "" for k in self.epochs)]


def _result(name: str) -> ModelResult:
    return load_result(RESULTS / f"{name}.json")


ACCURACY = ("validation", "accuracy", "accuracy, validation (n = {n})")
ON_TRAIN = ("train", "accuracy", "accuracy, train (n = {n})")
BITS = ("validation", "bits_per_dim", "bits/dim")
LOG_LOSS = ("validation", "log_loss/calibrated", "log-loss, calibrated")
FIDS = (
    (GENERATED, "fid/course-192", "FID course-192"),
    (GENERATED, "fid_floor/course-192", "of real images"),
    (GENERATED, "fid/matched-2048", "FID matched-2048"),
    (GENERATED, "fid_floor/matched-2048", "of real images"),
)
AT_LENGTH = ("gated", "gated-300", "late", "early", "joint", "resnet18")
"""Models of the study at its published length that have been trained."""
TABLES = (
    ResultsTable(
        README,
        "results",
        (
            "accuracy/onepass-hybrid",
            "cpen455-75/gated",
            "accuracy/hybrid-ensemble",
            "cpen455-75/resnet18",
            "cpen455-75/early",
            "cpen455-75/joint",
            "cpen455-75/late",
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
            "cpen455-75/gated-300",
            "cpen455-small/late",
            "cpen455-75/late",
            "cpen455-small/early",
            "cpen455-75/early",
            "cpen455-small/joint",
            "cpen455-75/joint",
            "cpen455-small/resnet18",
            "cpen455-75/resnet18",
        ),
        (ACCURACY, LOG_LOSS, BITS),
    ),
    ResultsTable(
        STUDY,
        "length-more",
        tuple(f"cpen455-75/{name}" for name in AT_LENGTH),
        (ON_TRAIN, *FIDS),
    ),
    EpochsTable(
        STUDY,
        "length-epochs",
        tuple(f"cpen455-75/{name}" for name in AT_LENGTH if name != "resnet18"),
        (5, 10, 25, 45, 65, 75, 85, 100, 125, 150),
    ),
    PairsTable(
        STUDY,
        "length-pairs",
        (
            ("cpen455-75/gated", "resnet18"),
            ("cpen455-75/late", "gated"),
            ("cpen455-75/early", "gated"),
            ("cpen455-75/joint", "gated"),
            ("cpen455-75/gated-300", "gated"),
        ),
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
            "accuracy/pure-mirrored",
            "accuracy/pure-ensemble",
        ),
        (ACCURACY, LOG_LOSS, BITS),
    ),
    ResultsTable(
        STUDY,
        "strength",
        tuple(
            f"cpen455-hybrid-ablation/{name}"
            for name in ("likelihood", "mild", "medium", "attention")
        ),
        (("validation", "accuracy", "accuracy, set aside (n = {n})"), LOG_LOSS, BITS),
    ),
    PairsTable(
        STUDY,
        "strength-pairs",
        (
            ("cpen455-hybrid-ablation/mild", "likelihood"),
            ("cpen455-hybrid-ablation/medium", "likelihood"),
            ("cpen455-hybrid-ablation/medium", "mild"),
            ("cpen455-hybrid-ablation/attention", "medium"),
        ),
    ),
    ResultsTable(
        STUDY,
        "efficiency",
        tuple(
            f"cpen455-efficiency/{name}"
            for images in ("10", "50", "250", "all")
            for name in (f"hybrid-{images}", f"resnet18-{images}")
        ),
        (ACCURACY, LOG_LOSS, BITS),
    ),
    PairsTable(
        STUDY,
        "efficiency-pairs",
        (
            ("cpen455-efficiency/hybrid-10", "resnet18-10"),
            ("cpen455-efficiency/hybrid-50", "resnet18-50"),
            ("cpen455-efficiency/hybrid-250", "resnet18-250"),
            ("cpen455-efficiency/hybrid-all", "resnet18-all"),
        ),
    ),
    ResultsTable(
        WEIGHTS,
        "weights",
        (
            "accuracy/onepass-hybrid",
            "cpen455-75/gated",
            "cpen455-75/gated-300",
            "cpen455-75/early",
            "cpen455-75/joint",
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
