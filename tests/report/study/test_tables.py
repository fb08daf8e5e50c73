"""Claims about the tables of a study."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from pixelbayes.report import ModelResult, published_study
from pixelbayes.report.markup import escape_latex
from pixelbayes.report.model_table import Row, Table
from pixelbayes.report.study_pages import latex_table, write_study
from pixelbayes.report.study_tables import study_tables
from pixelbayes.report.tables import MISSING

Make = Callable[..., ModelResult]
PROVENANCE: dict[str, Any] = {
    "command": "pixelbayes study a_b.yaml",
    "commit": "3f2c1aa",
    "machine": {"cpu": "EPYC", "threads": 2, "gpus": ["H100"]},
}


OF_PAIRS = ("comparisons", "scores")
"""Tables whose rows are pairs of models, and scores."""


def tables(results: list[ModelResult], published: str | None = "cpen455") -> dict[str, Table]:
    made = study_tables(results, published_study(published))
    return {table.stem: table for table in made}


def column(table: Table, header: str) -> int:
    return [cell.value for cell in table.header].index(header) - 1


def row(table: Table, label: str) -> Row:
    return next(row for row in table.rows if row.label == label)


def test_each_model_stands_in_its_table(study: list[ModelResult]) -> None:
    made = tables(study)

    def models(stem: str) -> list[str]:
        return [row.label.split(",")[0] for row in made[stem].rows if row.kind == "model"]

    assert models("table1") == ["early", "gated", "late †"]
    assert models("table2") == ["resnet18", "gated", "gated-long"]
    assert models("ablation") == ["gated", "film"]


def test_a_model_that_was_not_trained_here_has_no_epochs(make: Make) -> None:
    table = tables([make("gated", epochs=1), replace(make("late"), epochs=0, best_epoch=0)])[
        "table1"
    ]
    place = column(table, "epochs (best)")

    assert [row(table, name).cells[place].value for name in ("gated", "late")] == ["1 (1)", MISSING]


def test_another_kind_of_density_has_a_table_of_its_own(make: Make) -> None:
    other = replace(make("gated"), name="diffusion", kind="diffusion", fusion=None)
    results = [make("gated"), other]
    made = tables(results)

    assert [row.label for row in made["kinds"].rows if row.kind == "model"] == [
        "gated",
        "diffusion",
    ]
    assert "table2" not in made
    assert results[1].generative
    names = [cell.value for cell in made["kinds"].header]
    assert {"val accuracy, %", "val bits/dim"} <= {*names}
    assert any(
        note.startswith("Bits/dim of a diffusion model are a bound") for note in made["kinds"].notes
    )


def test_an_ensemble_stands_beside_what_it_is_made_of(make: Make) -> None:
    made_of = {"ensemble": ["late", "resnet18"], "mirrored": False}
    both = replace(make("resnet18"), name="both", kind="ensemble", settings=made_of)
    table = tables([make("gated"), make("late"), make("resnet18"), both])["ensembles"]
    assert [row.label for row in table.rows if row.kind == "model"] == ["late", "resnet18", "both"]
    accuracy = both.measure("validation", "accuracy")
    assert accuracy is not None
    place = column(table, "val accuracy, %")
    assert row(table, "both").cells[place].value == f"{accuracy.value:.1f}"


@pytest.mark.parametrize("kind", ["pixelcnn", "diffusion", "ensemble", "resnet18"])
@pytest.mark.parametrize("fusion", [None, "none", "film", "gated"])
def test_every_model_of_a_study_has_a_row(make: Make, kind: str, fusion: str | None) -> None:
    one = replace(make("gated"), name="one", kind=kind, fusion=fusion)
    for results in ([one], [one, make("gated")], [one, make("resnet18")]):
        compared = [t for stem, t in tables(results).items() if stem not in OF_PAIRS]
        assert any(row.label.startswith("one") for table in compared for row in table.rows)


def test_a_number_has_its_interval_and_its_n(make: Make) -> None:
    result = make("early")
    table = tables([result])["table1"]
    place = column(table, "val accuracy, %")

    cell = row(table, "early").cells[place]

    assert f"{cell.value} % {cell.detail}" == result.splits["validation"].accuracy.brief
    assert table.header[place + 1].detail == "n = 519"


def test_n_stands_in_the_cells_where_results_differ_in_it(make: Make) -> None:
    few = make("late", splits={"train": make("early").splits["validation"]})
    table = tables([make("early"), few])["table1"]
    place = column(table, "train accuracy, %")

    assert table.header[place + 1].detail == ""
    assert row(table, "early").cells[place].detail.endswith("n = 1024")
    assert row(table, "late").cells[place].detail.endswith("n = 519")


def test_the_published_figures_stand_in_the_column_of_the_same_measure(make: Make) -> None:
    table = tables([make("gated")])["table1"]
    figures = row(table, "published").cells

    assert figures[column(table, "train accuracy, %")].value == "60.5"
    assert figures[column(table, "val accuracy, %")].value == "68.7"
    assert figures[column(table, "FID course-192")].value == "34.14"
    assert figures[column(table, "FID matched-192")].value == "-", "it is of the course protocol"


def test_without_published_figures_none_are_shown(make: Make) -> None:
    table = tables([make("gated")], published=None)["table1"]

    assert all(row.label != "published" for row in table.rows)
    assert not any("ublished" in note for note in table.notes)


def test_several_seeds_show_mean_and_spread_and_each_seed(make: Make) -> None:
    seeds = [make("gated", seed=seed) for seed in range(3)]
    table = tables(seeds)["table1"]
    place = column(table, "val accuracy, %")
    values = [result.splits["validation"].accuracy.value for result in seeds]

    assert row(table, "gated, 3 seeds").cells[place].value == (
        f"{mean(values):.1f} ± {stdev(values):.1f}"
    )
    assert [row(table, f"seed {k}").cells[place].value for k in range(3)] == [
        f"{value:.1f}" for value in values
    ]


def test_a_score_below_its_floor_is_marked_and_explained(study: list[ModelResult]) -> None:
    table = tables(study)["table1"]
    place = column(table, "FID course-192")

    assert row(table, "late †").cells[place].value == "31.0‡"
    assert row(table, "early").cells[place].value == "36.1"
    assert row(table, "real images (floor)").cells[place].value == "34.5"
    assert any("does not mean better" in note for note in table.notes)


def test_an_unfinished_training_is_marked_with_its_epoch(study: list[ModelResult]) -> None:
    assert "† Training not finished: late (seed 0) at epoch 12." in tables(study)["table1"].notes


def test_withheld_test_labels_are_said_and_given_ones_are_shown(make: Make) -> None:
    withheld = tables([make("gated")])["table1"]
    labelled = tables([make("gated", labelled_test=True)])["table1"]

    assert any("whose labels we have" in note for note in withheld.notes)
    assert not any("whose labels we have" in note for note in labelled.notes)
    assert row(labelled, "gated").cells[column(labelled, "test accuracy, %")].value != "-"


def test_a_comparison_shows_difference_interval_and_mcnemar(study: list[ModelResult]) -> None:
    made = tables(study)
    found = next(r for r in study if r.name == "gated-long").comparisons[0]
    cell = row(made["table2"], "gated-long").cells[
        column(made["table2"], "val minus resnet18, points")
    ]

    assert cell.value == f"{found.difference.value:.1f}"
    assert cell.remark.startswith("p ")
    assert row(made["comparisons"], "gated-long").cells[3].value == str(found.mcnemar.b)


def test_the_least_study_has_a_table(make: Make) -> None:
    bare = make("gated", splits={}, scores=[], comparisons=[])

    assert list(tables([bare], published=None)) == ["table1"]
    assert list(tables([make("film", comparisons=[], scores=[])])) == ["ablation"]


def test_page_markdown_and_latex_hold_every_number_note_command_and_commit(
    study: list[ModelResult], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    write_study(tmp_path, study, title="S", published="cpen455", provenance=PROVENANCE)
    table = tables(study)["table1"]

    for name in ("index.html", "README.md", "tables/table1.tex"):
        text = (tmp_path / name).read_text("utf-8")
        for cell in (cell for row in table.rows for cell in row.cells):
            assert cell.value.rstrip("‡").split(" ")[0] in text
        assert "does not mean better" in text
        assert "3f2c1aa" in text
        assert "EPYC, 2 threads, H100" in text


def test_names_cannot_break_out_of_a_latex_table(make: Make) -> None:
    evil = r"a|b & c_d <b> \\ 50% ~ #1 ^ $x$ {y}"
    table = tables([make("film", fusion=evil)])["ablation"]
    rows = tuple(Row(evil, row.cells) for row in table.rows)
    poisoned = replace(table, title=evil, rows=rows, notes=(evil,))

    text = latex_table(poisoned, {"command": evil, "commit": evil})

    latex = next(line for line in text.splitlines() if "1 204 356" in line)
    assert len(re.findall(r"(?<!\\)&", latex)) == len(table.header) - 1
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_reads_every_special_character_as_text() -> None:
    assert escape_latex("a_b & 5% #1 {x} [y]") == r"a\_b \& 5\% \#1 \{x\} {[}y{]}"
    assert escape_latex("gated-long [-5.2, -1]") == "gated-long {[}$-$5.2, $-$1{]}"


def test_an_unknown_name_of_published_figures_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="'cpen456'; choose one of: cpen455"):
        published_study("cpen456")
