"""Claims about what a study keeps of one model."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pixelbayes.evaluation import Estimate
from pixelbayes.io import FormatWarning
from pixelbayes.report import (
    ModelResult,
    ReportError,
    SplitResult,
    load_result,
    save_result,
    share,
)
from pixelbayes.report.storage import result_from_json, result_to_json

Make = Callable[..., ModelResult]


@pytest.mark.parametrize("name", ["gated", "resnet18"])
def test_a_saved_result_is_read_back_as_it_was(make: Make, tmp_path: Path, name: str) -> None:
    result = make(name, epochs=12)

    save_result(result, tmp_path / name / "seed-0" / "result.json")

    assert load_result(tmp_path / name / "seed-0" / "result.json") == result


def test_numbers_that_are_not_finite_survive_strict_json(make: Make) -> None:
    unknown = {"accuracy": Estimate(1.0, 0.0, 2.0, 9, "%"), "ece/raw": share(math.nan, 9)}
    split = SplitResult(split="validation", n=9, measures=unknown)
    result = replace(make("gated"), splits={"validation": split})

    text = json.dumps(result_to_json(result), allow_nan=False)

    read = result_from_json(json.loads(text))
    assert math.isnan(read.splits["validation"].measures["ece/raw"].value)


def test_a_score_is_found_by_protocol_and_dimensions(make: Make) -> None:
    result = make("gated")

    score = result.score("matched", 192)
    assert score is not None
    assert (score.protocol, score.dims) == ("matched", 192)
    assert result.score("matched", 2048) is None


@pytest.mark.parametrize(("field", "value", "message"), [("reason", "ended", "got 'ended'")])
def test_an_unknown_reason_is_refused_with_the_choices(
    make: Make, field: str, value: str, message: str
) -> None:
    with pytest.raises(ReportError, match=message):
        make("gated", **{field: value})


def test_another_format_and_a_missing_field_are_refused_by_file_name(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    described = result_to_json(make("gated"))

    path.write_text(json.dumps(described | {"format": 99}), encoding="utf-8")
    with pytest.raises(ReportError, match=r"result\.json: .*format 1, got 99"):
        load_result(path)
    del described["parameters"]
    path.write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ReportError, match=r"result\.json: .*parameters is missing"):
        load_result(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ReportError, match=r"result\.json"):
        load_result(path)


ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = sorted((ROOT / "docs" / "results").glob("cpen455-small*/*.json"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_published_result_of_version_0_1_is_read_and_written_with_all_it_holds(
    path: Path,
) -> None:
    described = json.loads(path.read_text("utf-8"))

    result = load_result(path)

    assert result_to_json(result) == described
    assert result.splits["validation"].n == described["accuracy"]["validation"]["n"]


def test_a_field_that_this_version_does_not_know_is_named_in_a_warning(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    described = result_to_json(make("gated"))
    described["scores"] = [{**described["scores"][0], "colour": "red"}]
    path.write_text(json.dumps(described), encoding="utf-8")

    with pytest.warns(FormatWarning, match="FIDScore was written with .*: colour"):
        load_result(path)
