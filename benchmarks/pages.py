"""The pages of published studies written anew from their JSON; nothing is measured.

    python -m benchmarks.pages

Where and when the studies were made stays as the pages have it.
"""

from __future__ import annotations

import re
from pathlib import Path

from pixelbayes.report import load_result
from pixelbayes.report.study_pages import write_study
from pixelbayes.workflows.shipped import find_shipped
from pixelbayes.workflows.study import StudyConfig

__all__ = ["STUDIES", "main", "renew"]

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs/results"
STUDIES = {
    "accuracy": "cpen455-accuracy",
    "cpen455-75": "cpen455-75",
    "cpen455-efficiency": "cpen455-efficiency",
    "cpen455-hybrid-ablation": "cpen455-hybrid-ablation",
    "cpen455-small": "cpen455-small",
    "cpen455-small-ablation": "cpen455-small-ablation",
    "diffusion": "cpen455-diffusion",
}
"""Folder of the results, and name of the study."""
MADE = re.compile(
    r"^(?:Made|Last trained or measured) by `(?P<command>[^`]+)` · commit (?P<commit>\w+) · "
    r"(?P<cpu>.+), (?P<threads>\d+) threads · (?P<date>\S+)$",
    re.MULTILINE,
)


def main() -> None:
    """Renews the pages of all of them."""
    for folder, study in STUDIES.items():
        print(renew(RESULTS / folder, study))


def renew(folder: Path, study: str) -> Path:
    """Writes pages, figures and tables of a study from the results in a folder; older ones go.

    Args:
        folder: Of a JSON file for each model, and of the README that says what made them.
        study: Name of its configuration.

    Returns:
        The page.
    """
    config = StudyConfig.read(find_shipped("study", study))
    made = MADE.search((folder / "README.md").read_text(encoding="utf-8"))
    if made is None:
        raise SystemExit(f"{folder / 'README.md'} does not say by which command it was made")
    order = [*config.models]
    results = [load_result(path) for path in folder.glob("*.json")]
    written = write_study(
        folder,
        sorted(results, key=lambda result: (order.index(result.name), result.seed)),
        title=config.title,
        published=config.published,
        provenance={
            **{name: made[name] for name in ("command", "commit", "date")},
            "machine": {"cpu": made["cpu"], "threads": int(made["threads"])},
        },
    )
    for path in {*folder.glob("tables/*"), *folder.glob("figures/*")} - {*written}:
        path.unlink()  # of a table or a figure that is no longer made
    return written[0]


if __name__ == "__main__":
    main()
