"""Pages of published studies come from their JSON alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from benchmarks.pages import RESULTS, STUDIES, renew


def test_a_renewed_page_tells_the_published_numbers_and_where_they_were_measured(
    tmp_path: Path,
) -> None:
    published = RESULTS / "accuracy"
    for file in [*published.glob("*.json"), published / "README.md"]:
        shutil.copy(file, tmp_path)
    page = renew(tmp_path, STUDIES["accuracy"])
    assert page.is_file()
    made = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert made == (published / "README.md").read_text(encoding="utf-8")


def test_a_folder_that_does_not_say_what_made_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A study\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="by which command"):
        renew(tmp_path, "cpen455-small")
