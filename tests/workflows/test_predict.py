"""Predictions of image files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pixelbayes.core import bits_per_dim
from pixelbayes.data import BadFile, DatasetError, ImageFileError, read_images, write_png
from pixelbayes.data.inputs import Conversions
from pixelbayes.models import PixelBayes
from pixelbayes.workflows.predict import find_inputs, predict, write_csv

MakeFolder = Callable[[int], Path]


def test_a_prediction_is_bayes_rule_with_the_calibrated_temperature(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    paths = find_inputs([photo_folder(3)]).images
    levels, _, _ = read_images(paths, channels=3, resize=tiny_model.resize)
    expected = tiny_model.classifier().predict_log_proba(levels)

    rows = list(predict(tiny_model, paths))

    assert [row.source for row in rows] == [str(path) for path in paths]
    got = torch.tensor([list(row.log_probabilities.values()) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(got, expected)
    assert [row.index for row in rows] == expected.argmax(dim=1).tolist()
    assert [row.label for row in rows] == [tiny_model.classes[row.index] for row in rows]


def test_bits_per_dim_are_those_of_the_marginal(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    paths = find_inputs([photo_folder(2)]).images
    levels, _, _ = read_images(paths, channels=3, resize=tiny_model.resize)

    rows = list(predict(tiny_model, paths))

    expected = bits_per_dim(tiny_model.score_samples(levels), 192).tolist()
    assert [row.bits_per_dim for row in rows] == pytest.approx(expected)


def test_a_temperature_changes_the_posterior_and_no_likelihood(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    paths = find_inputs([photo_folder(1)]).images
    (calibrated,) = predict(tiny_model, paths)
    (raw,) = predict(tiny_model, paths, temperature=1.0)
    assert raw.log_likelihoods == calibrated.log_likelihoods
    lowest = [min(row.log_probabilities.values()) for row in (raw, calibrated)]
    assert lowest[0] < lowest[1]


def test_the_size_of_a_chunk_changes_no_prediction(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    paths = find_inputs([photo_folder(5)]).images
    whole, chunked = (list(predict(tiny_model, paths, chunk=n)) for n in (5, 2))
    assert [row.source for row in whole] == [row.source for row in chunked]
    for one, other in zip(whole, chunked, strict=True):
        assert one.log_probabilities == pytest.approx(other.log_probabilities)


def test_unreadable_files_are_listed_before_any_prediction(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    folder = photo_folder(2)
    (folder / "zz.png").write_bytes(b"no image")
    (folder / "zzz.png").touch()
    with pytest.raises(DatasetError, match=r"2 images cannot be read .*zz\.png.*zzz\.png"):
        predict(tiny_model, find_inputs([folder]).images)


def test_skipped_files_leave_the_other_rows_with_their_own_paths(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    folder = photo_folder(3)
    good = list(predict(tiny_model, find_inputs([folder]).images))
    (folder / "00b.png").write_bytes(b"no image")
    bad: list[BadFile] = []

    rows = list(
        predict(tiny_model, find_inputs([folder]).images, skip_bad=True, on_bad=bad.append, chunk=2)
    )

    assert [file.path.name for file in bad] == ["00b.png"]
    assert [row.source for row in rows] == [row.source for row in good]
    for row, alone in zip(rows, good, strict=True):
        assert row.log_likelihoods == pytest.approx(alone.log_likelihoods)


def test_a_file_that_vanishes_after_the_check_is_an_error(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    folder = photo_folder(2)
    rows = predict(tiny_model, find_inputs([folder]).images, chunk=1)
    next(rows)
    (folder / "01.png").unlink()
    with pytest.raises(ImageFileError, match="no such file"):
        next(rows)


def test_other_files_of_a_folder_are_told_apart_from_images(photo_folder: MakeFolder) -> None:
    folder = photo_folder(1)
    (folder / "notes.txt").write_text("hello")
    inputs = find_inputs([folder])
    assert [path.name for path in inputs.images] == ["00.png"]
    assert [path.name for path in inputs.others] == ["notes.txt"]


@pytest.mark.parametrize(
    "table", ["label,path\nx,photos/01.png\ny,photos/00.png\n", "photos/01.png,x\nphotos/00.png\n"]
)
def test_a_table_gives_paths_in_its_order(
    tmp_path: Path, photo_folder: MakeFolder, table: str
) -> None:
    folder = photo_folder(2)
    (tmp_path / "list.csv").write_text(table)
    assert find_inputs([tmp_path / "list.csv"]).images == (folder / "01.png", folder / "00.png")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no images in"),
        (b"\xff\xfe\x00", "not a CSV file in UTF-8"),
        (b"label,path\nx\n", "rows without a path: 1"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=match):
        find_inputs([tmp_path / "list.csv"])


def test_names_with_commas_quotes_and_newlines_survive_the_table(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    folder = photo_folder(1)
    path = (folder / "00.png").rename(folder / 'a,"b"\n.png')
    file = io.StringIO(newline="")

    count = write_csv(predict(tiny_model, [path]), tiny_model.classes, file)

    file.seek(0)
    (row,) = csv.DictReader(file)
    assert count == 1
    assert row["path"] == str(path)
    posterior = {name: float(row[f"log_posterior[{name}]"]) for name in tiny_model.classes}
    assert max(posterior, key=posterior.__getitem__) == row["class"]
    assert float(row["log_likelihood[sea lion]"]) < 0


def test_where_no_file_can_be_read_nothing_is_written_and_they_are_named(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    file = io.StringIO(newline="")
    rows = predict(tiny_model, find_inputs([tmp_path]).images, skip_bad=True)
    with pytest.raises(DatasetError, match=r"nothing to classify, none of .*a\.png.*b\.png"):
        write_csv(rows, tiny_model.classes, file)
    assert file.getvalue() == ""


def test_changes_of_colour_and_size_are_told_of_each_image(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    write_png(torch.zeros(1, 8, 8, dtype=torch.uint8), tmp_path / "grey.png")
    write_png(torch.zeros(3, 9, 8, dtype=torch.uint8), tmp_path / "tall.png")
    told: list[Conversions] = []
    list(predict(tiny_model, find_inputs([tmp_path]).images, on_read=told.append))
    assert [(one.to_colour, dict(one.resized)) for one in told] == [
        (1, {}),
        (0, {"9 x 8 -> 8 x 8": 1}),
    ]


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
@pytest.mark.parametrize("name", [b"caf\xe9.png", b" a\tb\n.png", "\u65e5.png".encode()])
def test_a_table_of_predictions_is_read_again_whatever_the_names(
    tiny_model: PixelBayes, photo_folder: MakeFolder, tmp_path: Path, name: bytes
) -> None:
    folder = photo_folder(1)
    try:
        os.rename(folder / "00.png", os.fsencode(folder) + b"/" + name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (image,) = find_inputs([folder]).images
    table = tmp_path / "deep" / "t.csv"
    table.parent.mkdir()
    with table.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        write_csv(predict(tiny_model, [image]), tiny_model.classes, file)
    assert find_inputs([table]).images == (image,)
    assert os.fsencode(image.name) == name


def test_paths_of_a_table_of_predictions_are_those_that_were_given(
    tiny_model: PixelBayes,
    photo_folder: MakeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo_folder(2)
    monkeypatch.chdir(tmp_path)
    images = find_inputs(["photos"]).images
    Path("deep").mkdir()
    with Path("deep/t.csv").open("w", newline="") as file:
        write_csv(predict(tiny_model, images), tiny_model.classes, file)
    assert find_inputs(["deep/t.csv"]).images == images
