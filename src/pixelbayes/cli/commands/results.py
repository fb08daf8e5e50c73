"""What several commands show alike: a report in a few lines, or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixelbayes.cli import terminal

if TYPE_CHECKING:
    from pixelbayes.report import Report

__all__ = ["show_report"]

FILES = ("report.json", "report.md", "report.html")


def show_report(report: Report, folder: Path, *, json: bool = False) -> None:
    """Writes the numbers of a report to stdout, and where the rest of it is; or all as JSON."""
    from pixelbayes.report import results_rows, to_json

    if json:
        terminal.show_json(to_json(report))
        return
    header, rows = results_rows(report)
    if report.temperature is not None:
        fit = report.temperature_fit
        fitted = f"{report.temperature:.4g}, the model's own"
        if fit is not None and fit.accepted:
            low, high = fit.fitted.low, fit.fitted.high
            fitted = f"{report.temperature:.4g} [{low:.4g}, {high:.4g}], fitted on validation"
        elif fit is not None:
            fitted = f"{report.temperature:.4g}, a fitted one is not better"
        rows.append(["temperature", fitted, *[""] * (len(report.splits) - 1)])
    terminal.show_table(rows, header)
    fit = report.temperature_fit
    refused = [] if fit is None or fit.accepted else [fit.sentence]
    for note in [*refused, *report.notes]:
        terminal.show_text(f"note: {note}")
    terminal.show_text(f"written: {', '.join(str(folder / name) for name in FILES)}")
    terminal.show_text(_origin(report))


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
