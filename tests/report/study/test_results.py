"""Claims about what a study keeps of one model."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pixelbayes.report import ReportError
from pixelbayes.report import ModelResult, load_result, save_result

Make = Callable[..., ModelResult]


@pytest.mark.parametrize("name", ["gated", "resnet18"])
def test_a_saved_result_is_read_back_as_it_was(make: Make, tmp_path: Path, name: str) -> None:
    result = make(name, epochs=12)

    save_result(result, tmp_path / name / "seed-0" / "result.json")

    assert load_result(tmp_path / name / "seed-0" / "result.json") == result


def test_numbers_that_are_not_finite_survive_strict_json(make: Make) -> None:
    result = replace(make("gated"), ece={"validation": {"raw": math.nan}})

    text = json.dumps(result.to_json(), allow_nan=False)

    assert math.isnan(ModelResult.from_json(json.loads(text)).ece["validation"]["raw"])


def test_a_score_is_found_by_protocol_and_dimensions(make: Make) -> None:
    result = make("gated")

    score = result.score("matched", 192)
    assert score is not None
    assert (score.protocol, score.dims) == ("matched", 192)
    assert result.score("matched", 2048) is None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("kind", "vit", "kind .* pixelcnn, resnet18, got 'vit'"), ("reason", "ended", "got 'ended'")],
)
def test_an_unknown_kind_or_reason_is_refused_with_the_choices(
    make: Make, field: str, value: str, message: str
) -> None:
    with pytest.raises(ReportError, match=message):
        make("gated", **{field: value})


def test_another_format_and_a_missing_field_are_refused_by_file_name(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    described = make("gated").to_json()

    path.write_text(json.dumps(described | {"format": 99}), encoding="utf-8")
    with pytest.raises(ReportError, match=r"result\.json: .*format 1, got 99"):
        load_result(path)
    del described["scores"]
    path.write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ReportError, match=r"result\.json: .*lacks the field 'scores'"):
        load_result(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ReportError, match=r"result\.json"):
        load_result(path)
