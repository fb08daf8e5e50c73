"""What several commands show alike: a report in a few lines, or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixelbayes.cli import terminal

if TYPE_CHECKING:
    from pixelbayes.report import Report

__all__ = ["report_rows", "show_report"]

FILES = ("report.json", "report.md", "report.html")


def show_report(report: Report, folder: Path, *, json: bool = False) -> None:
    """Writes the numbers of a report to stdout, and where the rest of it is; or all as JSON."""
    if json:
        from pixelbayes.report import to_json

        terminal.show_json(to_json(report))
        return
    header, rows = report_rows(report)
    terminal.show_table(rows, header)
    for note in report.notes:
        terminal.show_text(f"note: {note}")
    terminal.show_text(f"written: {', '.join(str(folder / name) for name in FILES)}")
    terminal.show_text(_origin(report))


def report_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one column for each split, the headline one first."""
    splits = sorted(report.splits.values(), key=lambda s: s.split != report.headline_split)
    header = ["", *(f"{split.split}, n = {split.n}" for split in splits)]
    rows = [
        ["accuracy", *(split.accuracy.brief for split in splits)],
        ["code length", *(split.bits_per_dim.brief for split in splits)],
    ]
    for posterior in splits[0].log_loss:
        of_split = [(s.log_loss[posterior], s.ece[posterior]) for s in splits]
        rows.append([f"log-loss, {posterior}", *(loss.brief for loss, _ in of_split)])
        rows.append([f"ECE, {posterior}", *(f"{100 * ece:.1f} %" for _, ece in of_split)])
    if report.temperature is not None:
        fitted = f"{report.temperature:.4g}, fitted on validation"
        rows.append(["temperature", fitted, *[""] * (len(splits) - 1)])
    return header, rows


def _origin(report: Report) -> str:
    about = report.provenance
    versions = about.get("versions", {})
    parts = [
        f"commit {_short(about['commit'])}" if about.get("commit") else "",
        f"seed {about['seed']}" if "seed" in about else "",
        *(f"{name} {versions[name]}" for name in ("pixelbayes", "torch") if name in versions),
        f"{about['seconds']:g} s" if "seconds" in about else "",
    ]
    return ", ".join(part for part in parts if part)


def _short(commit: str) -> str:
    """Seven digits of a commit, and whether the tree was changed since.

    >>> _short("08aea7713077951d256d0ccc3a1e87922a672846-dirty")
    '08aea77-dirty'
    """
    digits, dash, state = commit.partition("-")
    return digits[:7] + dash + state
