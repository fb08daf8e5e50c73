"""The verbs that use a trained model, end to end."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelbayes.cli import terminal
from pixelbayes.cli.main import main
from pixelbayes.models import PixelBayes
from pixelbayes.models.decisions import Decisions, OutlierRule, SetRule

MakeFolder = Callable[[int], Path]
GREY_RUN = Path(__file__).parents[1] / "frozen" / "run-0.1"
Capture = pytest.CaptureFixture[str]
UNLIKE = "unlike anything the model knows"  # which noise is to a model of random weights
TOLD = ["images resized (12 x 10 -> 8 x 8)", UNLIKE]


def told(lines: list[str]) -> list[str]:
    """What is said of images, without their number."""
    return [re.sub(r"^\d+ of \d+ ", "", line).partition(":")[0] for line in lines]


@pytest.fixture
def model_dir(tiny_model: PixelBayes, tmp_path: Path) -> str:
    tiny_model.save(tmp_path / "model")
    return str(tmp_path / "model")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def wild_folder(folder: Path) -> Path:
    """What people really have: one good photograph among everything else."""
    photo = Image.fromarray(np.arange(40 * 40 * 3, dtype=np.uint8).reshape(40, 40, 3))
    photo.save(folder / "good.jpg")
    photo.convert("CMYK").save(folder / "ink.jpg")
    Image.new("RGB", (1, 1)).save(folder / "tiny.png")
    (folder / "cut.jpg").write_bytes((folder / "good.jpg").read_bytes()[:600])
    (folder / "text.jpg").write_text("not an image")
    (folder / "notes.txt").write_text("hello")
    return folder


def test_answers_that_are_no_numbers_are_one_line_and_nothing_is_written(
    tiny_model: PixelBayes, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    with torch.no_grad():
        for weight in tiny_model.network.float().parameters():
            weight.mul_(1e6)  # finite, but sums are not
    tiny_model.save(tmp_path / "overflowing")
    model, photo = str(tmp_path / "overflowing"), str(photo_folder(1) / "00.png")
    output = tmp_path / "output"
    for command in (
        ["predict", model, photo, "--output", f"{output}.csv"],
        ["predict", model, photo, "--format", "csv"],
        ["predict", model, photo, "--json"],
        ["score", model, photo],
        ["sample", model, "--output", str(output)],
        ["complete", model, photo, "--rows", "4", "--class", "pizza", "--output", str(output)],
        ["explain", photo, "--model", model, "--output", str(output)],
    ):
        assert main([*command, "--quiet"] if command[0] != "explain" else command) == 2, command
        said = capsys.readouterr()
        assert not said.out
        *remarks, error = said.err.splitlines()
        assert error.startswith("pixelbayes: error: the network computes no numbers")
        assert all("resized" in remark for remark in remarks)
    assert not [*tmp_path.glob("output*")]


def test_predict_writes_csv_to_stdout_and_nothing_else(
    model_dir: str, photo_folder: MakeFolder, capsys: Capture
) -> None:
    folder = photo_folder(2)
    assert main(["predict", model_dir, str(folder)]) == 0
    out, err = capsys.readouterr()
    assert [row["path"] for row in rows(out)] == [str(folder / "00.png"), str(folder / "01.png")]
    assert told(err.splitlines()) == TOLD


def test_predict_names_every_bad_file_and_writes_nothing(
    model_dir: str, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder = wild_folder(photo_folder(1))
    output = tmp_path / "table.csv"
    assert main(["predict", model_dir, str(folder), "--output", str(output)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("pixelbayes: error: 2 images cannot be used (mend or remove them; train")
    assert "cut.jpg" in err
    assert "text.jpg" in err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "photos"]


def test_predict_to_stdout_writes_not_even_a_header_where_a_file_is_bad(
    model_dir: str, photo_folder: MakeFolder, capsys: Capture
) -> None:
    assert main(["predict", model_dir, str(wild_folder(photo_folder(1)))]) == 2
    assert capsys.readouterr().out == ""


def test_predict_skips_bad_files_and_reports_them(
    model_dir: str, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder = wild_folder(photo_folder(1))
    output = tmp_path / "deep" / "table.csv"
    arguments = ["predict", model_dir, str(folder), "--output", str(output), "--skip-bad-files"]
    assert main(arguments) == 0
    err = capsys.readouterr().err
    names = [Path(row["path"]).name for row in rows(output.read_text())]
    assert names == ["00.png", "good.jpg", "ink.jpg", "tiny.png"]
    assert "left out, cannot be read (2):" in err
    assert "not used, no image or hidden (1):" in err
    assert "notes.txt" in err
    assert "4 images classified" in err


def test_predict_leaves_an_earlier_table_alone_when_it_fails(
    model_dir: str, photo_folder: MakeFolder, tmp_path: Path
) -> None:
    output = tmp_path / "table.csv"
    output.write_text("precious")
    assert (
        main(["predict", model_dir, str(wild_folder(photo_folder(1))), "--output", str(output)])
        == 2
    )
    assert output.read_text() == "precious"


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_file_name_that_is_no_text_comes_back_byte_for_byte(
    model_dir: str, photo_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = photo_folder(1)
    odd = os.fsencode(folder) + b"/caf\xe9.png"
    try:
        os.rename(folder / "00.png", odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert main(["predict", model_dir, str(folder), "--output", str(tmp_path / "t.csv")]) == 0
    assert odd in (tmp_path / "t.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "{model}", "{tmp}/nowhere"], "does not exist; pass an image file or a folder"),
        (["predict", "--model", "{tmp}/nowhere", "x.png"], "no such folder: "),
        (["predict", "--model", "{tmp}", "x.png"], "expected model.json and model.safetensors"),
        (["predict", "{model}", "{photos}", "--temperature", "0"], "the temperature is positive"),
        (["sample", "{model}", "--class", "kola"], "no class 'kola'; choose one of: koala, pizza"),
        (["sample", "{model}", "--output", "{photos}"], "is not empty; choose another --output"),
        (["sample", "{model}", "--rows", "2"], "--rows belongs to 'pixelbayes complete IMAGE'"),
        (["info", "{tmp}/nowhere"], "is neither a run directory or checkpoint folder nor a data"),
        (["info", "digitz"], "did you mean digits?"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str],
    message: str,
    model_dir: str,
    photo_folder: MakeFolder,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    places = {"model": model_dir, "tmp": str(tmp_path), "photos": str(photo_folder(1))}
    assert main([argument.format(**places) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pixelbayes: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_damaged_checkpoint_is_one_line(model_dir: str, capsys: Capture) -> None:
    weights = Path(model_dir) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    assert main(["sample", model_dir]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "model.safetensors" in err


def test_sample_writes_images_grid_and_index(
    model_dir: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    arguments = ["sample", model_dir, "--class", "koala,2", "--count", "2", "--output", str(out)]
    assert main(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "grid.png",
        "koala-0001.png",
        "koala-0002.png",
        "samples.json",
        "sea_lion-0001.png",
        "sea_lion-0002.png",
    ]
    assert "4 images" in capsys.readouterr().out


def test_sample_lists_what_it_wrote_as_json(
    model_dir: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    arguments = ["sample", "--model", model_dir, "--class", "koala", "-n", "1", "-o", str(out)]
    assert main([*arguments, "--json", "-q"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written.pop("images") == [str(out / "koala-0001.png")]
    assert written == {"grid": str(out / "grid.png"), "index": str(out / "samples.json")}
    assert all(Path(path).is_file() for path in written.values())


def test_verbose_says_which_model_runs_where(
    model_dir: str, photo_folder: MakeFolder, capsys: Capture
) -> None:
    assert main(["predict", model_dir, str(photo_folder(1)), "-v", "--device", "cpu"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"model: {model_dir}, on cpu"
    assert told(lines[1:]) == TOLD


def test_complete_draws_what_is_not_kept_and_so_does_its_old_form_with_a_notice(
    model_dir: str, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    source = str(photo_folder(1) / "00.png")
    new, old = tmp_path / "new", tmp_path / "old"
    options = ["--rows", "3", "--count", "1", "--seed", "5"]
    assert main(["complete", model_dir, source, *options, "--output", str(new)]) == 0
    assert capsys.readouterr().err == "1 of 1 images resized (12 x 10 -> 8 x 8)\n"
    assert main(["sample", model_dir, "--complete", source, *options, "--output", str(old)]) == 0
    assert "sample --complete FILE is now called complete FILE" in capsys.readouterr().err
    assert json.loads((new / "samples.json").read_text())["pixels_kept"] == 3 * 8
    for file in new.iterdir():
        assert file.read_bytes() == (old / file.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no images: give files, folders or CSV tables"),
        (["{photos}/00.png", "{photos}/01.png"], "complete takes one image, got"),
        (["nowhere.png"], "nowhere.png does not exist; pass a model"),
    ],
)
def test_complete_takes_one_image(
    arguments: list[str], message: str, photo_folder: MakeFolder, capsys: Capture
) -> None:
    photos = photo_folder(2)
    assert main(["complete", *(word.format(photos=photos) for word in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_info_describes_a_model_as_json(model_dir: str, capsys: Capture) -> None:
    assert main(["info", model_dir, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["classes"] == ["koala", "pizza", "sea lion"]
    assert described["temperature"] == 20.0
    assert described["network"]["image_size"] == [8, 8]


def test_info_counts_the_images_of_a_data_set(capsys: Capture) -> None:
    assert main(["info", "digits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if line.startswith("class "))
    assert header.split() == ["class", "train", "validation", "test"]
    assert any(line.startswith("(images)") for line in lines)


def test_info_reads_data_at_the_size_that_is_asked_for(
    photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    for position, photo in enumerate(sorted(photo_folder(8).iterdir())):
        folder = tmp_path / "pets" / ("cat", "dog")[position % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photo.rename(folder / photo.name)
    source = f"folder:{tmp_path / 'pets'}"
    assert main(["info", source, "--image-size", "300"]) == 2
    assert "with a smaller --image-size" in capsys.readouterr().err
    assert main(["info", source, "--image-size", "8x9", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["image_size"] == [8, 9]
    assert sum(split["images"] for split in described["splits"].values()) == 8


def test_info_has_no_size_for_a_model(model_dir: str, capsys: Capture) -> None:
    assert main(["info", model_dir, "--image-size", "8"]) == 2
    assert "--image-size is for data" in capsys.readouterr().err


def test_predict_of_bad_files_only_is_a_mistake_and_writes_no_table(
    model_dir: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    arguments = ["predict", model_dir, str(tmp_path / "a.png"), "--skip-bad-files"]
    assert main(arguments) == 2
    assert main([*arguments, "--output", str(tmp_path / "t.csv")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("none of the files can be read") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "model"]


def test_predict_tells_what_it_did_to_colours_and_what_no_model_knows(
    model_dir: str, tmp_path: Path, capsys: Capture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "grey.png")
    assert main(["predict", model_dir, str(tmp_path / "grey.png")]) == 0
    out, err = capsys.readouterr()
    assert float(rows(out)[0]["bits_per_dim"]) > 8
    assert err.splitlines() == [
        "1 of 1 grey images made three equal channels",
        f"{UNLIKE}: 1 of 1 images need more than 8 bits/dim, worse than uniform",
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_every_name_can_be_shown_on_every_terminal(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "caf\udce9 \u65e5 \U0001f600 \xe9"
    shown, told = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr("sys.stdout", shown)
    monkeypatch.setattr("sys.stderr", told)
    terminal.note(name)
    terminal.show_table([[name, name]])
    terminal.show_text(name)
    shown.flush()
    assert shown.buffer.getvalue().decode(encoding).count("caf\\udce9") == 3  # type: ignore[attr-defined]
    start = shown.buffer.tell()
    terminal.show_json({"file": name})
    shown.flush()
    shown.buffer.seek(start)
    assert json.loads(shown.buffer.read().decode(encoding)) == {"file": name}


def test_a_colour_photo_of_another_size_is_not_given_a_digit_without_a_word(
    tmp_path: Path, capsys: Capture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    assert main(["predict", str(GREY_RUN), str(tmp_path / "photo.png")]) == 0
    assert told(capsys.readouterr().err.splitlines()) == [
        "images resized (90 x 120 -> 8 x 8)",
        "colour images made grey",
        UNLIKE,
    ]


def test_no_advice_is_given_that_the_command_does_not_know(tmp_path: Path, capsys: Capture) -> None:
    Image.new("L", (5, 5)).save(tmp_path / "tiny.png")
    for command in ("predict", "score", "complete"):
        assert main([command, str(GREY_RUN), str(tmp_path / "tiny.png")]) == 2
        err = capsys.readouterr().err
        assert "5 x 5 (rows x columns) is smaller than 8 x 8; use larger originals, or" in err
        assert "or 'pixelbayes train' with a smaller --image-size" in err


@pytest.mark.parametrize("command", ["predict", "score", "complete"])
def test_a_mistyped_model_is_not_answered_by_the_shipped_one(
    command: str, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    photo = str(photo_folder(1) / "00.png")
    shutil.copytree(GREY_RUN, tmp_path / "runs" / "demo")
    assert main([command, str(tmp_path / "runs" / "dmeo"), photo]) == 2
    err = capsys.readouterr().err
    assert f"did you mean the model {tmp_path / 'runs' / 'demo'}?" in err
    assert main([command, str(tmp_path / "runs"), photo]) == 2
    err = capsys.readouterr().err
    assert f"holds models and not images; name one of them: {tmp_path / 'runs' / 'demo'}" in err
    assert "as shipped" not in err


def calibrated(model: PixelBayes, coverage: float = 0.9) -> PixelBayes:
    """With sets of every class at this coverage, and every image unlike the training data."""
    rule = OutlierRule(
        threshold=-1e9, false_alarm_rate=0.05, false_alarms=(5.0, 2.0, 9.0), n=50, quantiles=(0, 1)
    )
    sets = SetRule(coverages=(coverage,), thresholds=((None,),), n=(50,))
    decisions = Decisions(
        calibrated_on="validation of noise",
        n=50,
        temperature=model.temperature,
        typical_log_prob=-800.0,
        outliers={"complexity": rule},
        sets={"lac": sets},
    )
    return model.with_decisions(decisions)


def test_sets_of_a_stated_coverage_are_those_of_the_model(
    tiny_model: PixelBayes, photo_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    calibrated(tiny_model).save(tmp_path / "model")
    command = ["predict", str(tmp_path / "model"), str(photo_folder(2))]
    assert main([*command, "--coverage", "0.9", "--json"]) == 0
    out, err = capsys.readouterr()
    for row in json.loads(out):
        assert sorted(row["prediction_set"]) == sorted(tiny_model.classes)
        assert row["prediction_set"][0] == row["class"] == row["top"][0]["class"]
        assert (row["coverage"], row["unlike_training"]) == (0.9, True)
    assert "of familiar ones about 5 % are called so" not in err  # all are worse than uniform
    assert main([*command, "--coverage", "0.9", "--format", "table"]) == 0
    out, err = capsys.readouterr()
    assert "one of: " in out
    assert "unlike the training data" in out
    assert "one of: 90 % of images like those of the calibration (validation of noise" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coverage", "0.95"], "at most 0.9, got 0.95"),
        (["--coverage", "1.5"], "--coverage is a probability between 0 and 1, got 1.5"),
        (["--coverage", "0.9", "--temperature", "3"], "'pixelbayes calibrate' fits them"),
    ],
)
def test_sets_that_were_not_calibrated_are_refused_before_any_image_is_read(
    options: list[str],
    message: str,
    tiny_model: PixelBayes,
    photo_folder: MakeFolder,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    calibrated(tiny_model).save(tmp_path / "model")
    assert main(["predict", str(tmp_path / "model"), str(photo_folder(1)), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_score_gives_nats_and_bits_of_the_mixture_and_of_classes(
    model_dir: str,
    tiny_model: PixelBayes,
    photo_folder: MakeFolder,
    capsys: Capture,
) -> None:
    folder = photo_folder(2)
    assert main(["score", model_dir, str(folder), "--class", "pizza,0"]) == 0
    out, err = capsys.readouterr()
    found = rows(out)
    assert [*found[0]] == [
        *("path", "log_likelihood", "bits_per_dim", "unlike_training"),
        *("class_log_likelihood[pizza]", "class_log_likelihood[koala]"),
        *("class_bits_per_dim[pizza]", "class_bits_per_dim[koala]"),
    ]
    mixture = tiny_model.score_samples(folder).tolist()
    pizza = tiny_model.log_likelihood(folder, "pizza").tolist()
    assert [float(row["log_likelihood"]) for row in found] == pytest.approx(mixture)
    assert [float(row["class_log_likelihood[pizza]"]) for row in found] == pytest.approx(pizza)
    bits = -pizza[0] / (192 * np.log(2))
    assert float(found[0]["class_bits_per_dim[pizza]"]) == pytest.approx(bits)
    assert "mean under p(x): " in err
    assert main(["score", model_dir, str(folder), "--class", "all", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)[1]
    assert [*record["class_bits_per_dim"]] == list(tiny_model.classes)
    assert main(["score", model_dir, str(folder), "--class", "dog"]) == 2
    assert "no class 'dog'" in capsys.readouterr().err


def test_standard_input_is_an_image_or_a_list(
    model_dir: str,
    photo_folder: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    folder = photo_folder(2)
    names = [str(folder / "01.png"), str(folder / "00.png")]
    given = {"-": (folder / "01.png").read_bytes(), "list": "\n".join(names).encode()}
    by_input = {}
    for what, content in given.items():
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert main(["predict", model_dir, "-"]) == 0
        by_input[what] = rows(capsys.readouterr().out)
    assert [row["path"] for row in by_input["list"]] == names
    (alone,) = by_input["-"]
    assert alone["path"] == "-"
    assert alone["class"] == by_input["list"][0]["class"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given["-"][:200])))
    assert main(["predict", model_dir, "-"]) == 2
    assert "error: 1 image cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "score"])
@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_a_table_in_any_form_is_replaced_by_its_own_kind_only(
    command: str,
    suffix: str,
    model_dir: str,
    photo_folder: MakeFolder,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    table = tmp_path / f"t.{suffix}"
    run = [model_dir, str(photo_folder(1)), "--output", str(table), "--overwrite"]
    other = {"predict": "score", "score": "predict"}[command]
    assert main([command, *run]) == 0
    content = table.read_bytes()
    assert main([other, *run]) == 2
    assert "so that it is not replaced" in capsys.readouterr().err
    assert main([command, *run]) == 0
    assert table.read_bytes() == content
    if suffix != "csv":
        lines = content.decode().splitlines() if suffix == "jsonl" else [content.decode()]
        assert [json.loads(line) for line in lines]
