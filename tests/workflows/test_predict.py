"""Predictions of image files."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import pytest
import torch

from pixelbayes.core import bits_per_dim
from pixelbayes.data import BadFile, DatasetError, ImageFileError, read_images, write_png
from pixelbayes.data.inputs import Conversions, ImageBatch, image_levels
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Ensemble, Model, PixelBayes, Prediction
from pixelbayes.workflows.inputs import find_inputs
from pixelbayes.workflows.predict import Questions, answering, record_of
from pixelbayes.workflows.records import Format, RecordWriter
from pixelbayes.workflows.stream import ImageFiles

MakeFolder = Callable[[int], Path]


def predict(
    model: Model,
    paths: Sequence[Path],
    *,
    temperature: float | None = None,
    skip_bad: bool = False,
    chunk: int | None = None,
    on_bad: Callable[[BadFile], None] = lambda _: None,
    on_read: Callable[[Conversions], None] = lambda _: None,
) -> Iterator[Prediction]:
    """Rows as the command makes them: what is wrong is found at once, the rows one by one."""
    if temperature is not None:
        model = model.with_temperature(temperature)
    files = ImageFiles(model, paths, skip_bad, chunk=chunk)
    files.check()

    def rows() -> Iterator[Prediction]:
        for part in files.parts("classifying", answering(model)):
            for bad in part.bad:
                on_bad(bad)
            on_read(part.conversions)
            yield from part.rows

    return rows()


def write_csv(predictions: Iterator[Prediction], file: TextIO) -> int:
    writer = RecordWriter(file, Format.CSV)
    writer.write(record_of(row, 20.0, Questions()) for row in predictions)
    return writer.rows


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


def test_a_model_that_is_no_density_has_no_likelihoods_in_a_table(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    both = Ensemble([tiny_model, tiny_model])
    (one,) = predict(both, [*photo_folder(1).iterdir()])
    record = record_of(one, 1.0, Questions())
    assert record["bits_per_dim"] is None
    assert record["log_likelihood"] == dict.fromkeys(tiny_model.classes)
    assert None not in record["log_posterior"].values()


def test_a_class_that_the_prior_rules_out_has_no_number_in_a_table(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    prior = (-math.inf, math.log(0.5), math.log(0.5))
    model = tiny_model.with_metadata(replace(tiny_model.metadata, log_prior=prior))
    (one,) = predict(model, [*photo_folder(1).iterdir()])
    record = record_of(one, 1.0, Questions())
    assert [value is None for value in record["log_posterior"].values()] == [True, False, False]
    text = io.StringIO()
    RecordWriter(text, Format.JSONL).write([record])
    assert json.loads(text.getvalue())["log_posterior"] == record["log_posterior"]


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


def test_no_more_than_a_chunk_of_images_is_held_at_a_time(
    tiny_model: PixelBayes, photo_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def watched(*args: Any, **kwargs: Any) -> ImageBatch:
        nonlocal most
        batch = image_levels(*args, **kwargs)
        held.append(weakref.ref(batch.levels))
        most = max(most, sum(levels() is not None for levels in held))
        return batch

    monkeypatch.setattr("pixelbayes.workflows.stream.image_levels", watched)
    assert len(list(predict(tiny_model, find_inputs([photo_folder(9)]).images, chunk=2))) == 9
    assert len(held) == 18  # each is read twice: before the first prediction, and for its own
    assert most == 2


def test_unreadable_files_are_listed_before_any_prediction(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    folder = photo_folder(2)
    (folder / "zz.png").write_bytes(b"no image")
    (folder / "zzz.png").touch()
    with pytest.raises(DatasetError, match=r"2 images cannot be used .*zz\.png.*zzz\.png"):
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


def test_names_with_commas_quotes_and_newlines_survive_the_table(
    tiny_model: PixelBayes, photo_folder: MakeFolder
) -> None:
    folder = photo_folder(1)
    path = (folder / "00.png").rename(folder / 'a,"b"\n.png')
    file = io.StringIO(newline="")

    count = write_csv(predict(tiny_model, [path]), file)

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
    with pytest.raises(DatasetError, match=r"none of the files can be read.*a\.png.*b\.png"):
        write_csv(rows, file)
    assert file.getvalue() == ""


def test_changes_of_colour_and_size_are_told_of_each_image(
    tiny_model: PixelBayes, tmp_path: Path
) -> None:
    write_png(torch.zeros(1, 8, 8, dtype=torch.uint8), tmp_path / "grey.png")
    write_png(torch.zeros(3, 9, 8, dtype=torch.uint8), tmp_path / "tall.png")
    told: list[Conversions] = []
    list(predict(tiny_model, find_inputs([tmp_path]).images, on_read=told.append, chunk=1))
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
        write_csv(predict(tiny_model, [image]), file)
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
        write_csv(predict(tiny_model, images), file)
    assert find_inputs(["deep/t.csv"]).images == images


def prediction(*probabilities: float) -> Prediction:
    log_probabilities = {
        name: math.log(value) for name, value in zip("abc", probabilities, strict=True)
    }
    return Prediction(
        "x.png",
        log_probabilities,
        dict.fromkeys("abc", -1.0),
        bits_per_dim=9.0,
        unlike_training=True,
    )


def test_a_record_has_the_confidence_and_the_temperature_it_is_at() -> None:
    record = record_of(prediction(0.2, 0.5, 0.3), 7.5, Questions())
    assert record["confidence"] == pytest.approx(0.5)
    assert (record["class"], record["index"], record["temperature"]) == ("b", 1, 7.5)
    assert record["unlike_training"] is True


def test_the_most_probable_classes_are_listed_from_the_first() -> None:
    record = record_of(prediction(0.2, 0.5, 0.3), 1.0, Questions(top_k=2))
    assert [entry["class"] for entry in record["top"]] == ["b", "c"]
    assert [entry["confidence"] for entry in record["top"]] == pytest.approx([0.5, 0.3])


def test_a_model_that_is_not_sure_enough_gives_no_class() -> None:
    sure, unsure = prediction(0.1, 0.8, 0.1), prediction(0.3, 0.4, 0.3)
    questions = Questions(abstain_below=0.5)
    classes = [record_of(one, 1.0, questions)["class"] for one in (sure, unsure)]
    assert classes == ["b", None]
    assert record_of(unsure, 1.0, questions)["confidence"] == pytest.approx(0.4)


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"abstain_below": 1.5}])
def test_questions_without_an_answer_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PixelBayesError, match="got"):
        Questions(**wrong)  # type: ignore[arg-type]
