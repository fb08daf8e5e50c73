"""Claims about the report as data: JSON, files and images."""

import base64
import io
import json
import math
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from PIL import Image

from pixelbayes.evaluation import Estimate
from pixelbayes.report import Report, ReportError, from_json, load, png_base64, save, share, to_json


def strict(report: Report) -> str:
    return json.dumps(to_json(report), allow_nan=False)


def test_a_saved_report_is_read_back_unchanged(report: Report, tmp_path: Path) -> None:
    path, *_ = save(report, tmp_path / "new" / "folder")

    assert load(path) == report
    assert load(path.parent) == report, "the folder of a report names it as well"


def test_the_headline_accuracy_is_at_the_top_of_the_json(report: Report) -> None:
    described = json.loads(strict(report))

    headline = described["splits"]["test"]["accuracy"]
    assert described["accuracy"] == headline
    assert {"value", "low", "high", "n", "unit"} <= headline.keys()


def test_saving_writes_the_json_and_what_is_generated_from_it(
    report: Report, tmp_path: Path
) -> None:
    paths = save(report, tmp_path)

    assert [path.name for path in paths] == ["report.json", "report.md", "report.html"]
    assert sorted(tmp_path.iterdir()) == sorted(paths), "no temporary file is left behind"


def test_the_same_report_gives_the_same_bytes(report: Report, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in save(report, tmp_path / "a")]
    second = [path.read_bytes() for path in save(report, tmp_path / "b")]

    assert first == second


def test_a_failing_write_leaves_the_old_report_and_no_temporary_file(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, *_ = save(report, tmp_path)
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save(replace(report, title="another"), tmp_path)

    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_an_infinite_log_loss_survives_strict_json(report: Report) -> None:
    endless = Estimate(math.inf, math.inf, math.inf, 120, "nats")
    test = report.splits["test"]
    test = replace(test, measures={**test.measures, "log_loss/raw": endless})

    described = strict(replace(report, splits={**report.splits, "test": test}))

    assert from_json(json.loads(described)).splits["test"].measures["log_loss/raw"] == endless


def test_an_unknown_calibration_error_is_null_in_json(report: Report) -> None:
    test = report.splits["test"]
    test = replace(test, measures={"accuracy": test.accuracy, "ece/raw": share(math.nan, test.n)})

    described = json.loads(strict(replace(report, splits={**report.splits, "test": test})))

    assert described["splits"]["test"]["ece"] == {"raw": None}
    assert math.isnan(from_json(described).splits["test"].measures["ece/raw"].value)


def test_a_diverged_training_curve_is_null_where_it_is_not_finite(report: Report) -> None:
    curves = {"epoch": [0.0, 1.0, 2.0], "val/bits_per_dim": [3.0, math.nan, math.inf]}

    described = json.loads(strict(replace(report, curves=curves)))

    assert described["curves"]["val/bits_per_dim"] == [3.0, None, None]


def test_values_that_json_cannot_hold_become_text_or_plain_numbers(report: Report) -> None:
    training = {
        "folder": PurePosixPath("runs/1"),
        "betas": (0.9, np.float32(0.5)),
        "best": math.inf,
        "steps": np.int64(7),
    }

    described = json.loads(strict(replace(report, training=training)))

    expected = {"folder": "runs/1", "betas": [0.9, 0.5], "best": "inf", "steps": 7}
    assert described["training"] == expected


def test_a_headline_split_that_was_not_evaluated_is_refused(report: Report) -> None:
    with pytest.raises(ReportError, match=r"'holdout' is not among the evaluated ones: valid"):
        replace(report, headline_split="holdout")


def test_a_report_of_another_format_says_what_to_do(report: Report) -> None:
    with pytest.raises(ReportError, match=r"format 1, got 99; evaluate the model again"):
        from_json({**to_json(report), "format": 99})


def test_a_missing_field_is_named_with_the_file(report: Report, tmp_path: Path) -> None:
    described = to_json(report)
    del described["classes"]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(described))

    with pytest.raises(ReportError, match=r"report\.json: .*classes is missing"):
        load(path)


def test_a_malformed_estimate_is_a_report_error(report: Report) -> None:
    described = to_json(report)
    described["splits"]["test"]["accuracy"] |= {"value": "high"}

    with pytest.raises(ReportError, match="malformed: a number is wanted, got 'high'"):
        from_json(described)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "\ufffd"])
def test_a_file_that_is_no_report_is_named_in_the_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ReportError, match=r"report\.json: "):
        load(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_in_the_report_holds_exactly_the_levels(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(256, (channels, 5, 7), generator=generator).to(torch.uint8)

    with Image.open(io.BytesIO(base64.b64decode(png_base64(levels)))) as image:
        pixels = torch.from_numpy(np.array(image))

    read = pixels[None] if channels == 1 else pixels.permute(2, 0, 1)
    assert torch.equal(read, levels)


def test_a_float_image_is_refused_by_the_encoder() -> None:
    with pytest.raises(TypeError, match=r"levels \(torch.uint8, 0..255\), got torch.float32"):
        png_base64(torch.zeros(1, 4, 4))


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4), (1, 1, 4, 4)])
def test_a_batch_or_a_bare_matrix_is_refused_by_the_encoder(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected one image, \(1, H, W\) or \(3, H, W\)"):
        png_base64(torch.zeros(shape, dtype=torch.uint8))
