"""Files keep their keys, and a run directory of version 0.1 is still one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.frozen.record import (
    HERE,
    RUN,
    call,
    flattened,
    golden,
    kinds,
    read_json,
    run_evaluation,
    run_prediction,
    tiny_files,
)

FLOAT32 = 1e-5
BASELINE_RUN = HERE / "run-0.1-resnet18"  # without its weights of 45 MB


@pytest.fixture(scope="module")
def tiny() -> tuple[dict[str, Any], dict[str, Any]]:
    pytest.importorskip("monai", reason="the ResNet-18 is monai's")
    pytest.importorskip("matplotlib", reason="the extra report is not installed")
    return tiny_files()


MOVED = {"baseline": "model", "label_smoothing": "training.label_smoothing"}
"""Settings of a ResNet-18's run that have another place since all kinds have the same ones."""


def place_today(path: str) -> str:
    """The key path under which a recorded one is found today."""
    for section in ("settings.", "provenance.config."):
        if path.startswith(section) and path.removeprefix(section) in MOVED:
            return section + MOVED[path.removeprefix(section)]
    return path


def changes(found: dict[str, list[str]], recorded: dict[str, list[str]]) -> dict[str, Any]:
    """Recorded key paths that are missing or hold another type; a value may be left open."""
    different: dict[str, Any] = {}
    for before_moving, types in recorded.items():
        path = place_today(before_moving)
        if path not in found:
            if not any(other.startswith((f"{path}[", f"{path}.")) for other in found):
                different[path] = "missing"
            continue
        before, now = ({*kind} - {"nothing"} for kind in (types, found[path]))
        if before and now and before != now:
            different[path] = (sorted(before), sorted(now))
    return different


@pytest.mark.parametrize("name", golden("files")["keys"])
def test_a_file_has_every_recorded_key_with_its_type(tiny, name):
    assert not changes(kinds(tiny[0][name]), golden("files")["keys"][name])


def test_a_training_without_options_has_the_recorded_settings(tiny):
    found, recorded = dict(flattened(tiny[1])), golden("files")["train_config"]
    assert {path: found.get(path) for path in recorded} == recorded
    assert recorded.keys() <= found.keys()


@pytest.mark.parametrize("name", ["run.json", "best/model.json", "result.json"])
def test_the_resnet18_of_version_0_1_has_no_key_that_today_lacks(tiny, name):
    old = kinds(read_json(BASELINE_RUN / name))
    assert not changes(kinds(tiny[0][f"resnet18/{name}"]), old)


def test_evaluating_the_run_of_version_0_1_gives_the_recorded_numbers(tmp_path):
    before = {path.name: path.read_bytes() for path in RUN.rglob("*") if path.is_file()}
    found = run_evaluation(tmp_path)
    assert found == pytest.approx(golden("run")["evaluate"], rel=FLOAT32)
    assert before == {path.name: path.read_bytes() for path in RUN.rglob("*") if path.is_file()}


def test_the_recorded_numbers_are_those_of_its_own_report():
    report, recorded = read_json(RUN / "report.json"), golden("run")["evaluate"]
    for split, result in report["splits"].items():
        for measure in ("accuracy", "bits_per_dim"):
            assert recorded[f"{split}.{measure}"] == pytest.approx(result[measure]["value"])


def test_predicting_with_the_run_of_version_0_1_gives_the_recorded_table(tmp_path):
    found, recorded = run_prediction(tmp_path), golden("run")["predict"]
    assert [list(row) for row in found] == [list(row) for row in recorded]
    for row, expected in zip(found, recorded, strict=True):
        for column, text in expected.items():
            if column in ("path", "class", "index", "unlike_training"):
                assert row[column] == text
            else:
                assert float(row[column]) == pytest.approx(float(text), rel=1e-4), column


def test_info_describes_the_run_of_version_0_1(capsys):
    described = call("info", str(RUN))
    assert "gated" in described
    assert not capsys.readouterr().err


def test_a_run_of_version_0_1_gives_its_settings_to_a_new_training(tmp_path):
    settings = ["--config", str(RUN / "config.yaml"), "--epochs", "1", "--quiet"]
    call("train", *settings, "--output", str(tmp_path / "run"))
    old, new = (
        dict(flattened(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))))
        for folder in (RUN, tmp_path / "run")
    )
    assert {path: new.get(path) for path in old} == {**old, "training.epochs": 1}
