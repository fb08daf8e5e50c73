"""The tab Folder: a row for every file, doubtful labels first."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from pixelbayes.app.folder import classify_folder, folder_csv, folder_html, given_labels
from pixelbayes.app.limits import Limits
from pixelbayes.errors import PixelBayesError

CLASSES = ("koala", "pizza", "sea lion")


@pytest.fixture
def files(photo_folder):
    return sorted(photo_folder(5).iterdir())


def rows_of(model, files, labels=None):
    return classify_folder(model, files, Limits(), labels or {}, lambda _: None)


def test_every_file_has_the_models_answer(tiny_model, files):
    rows = {row.name: row for row in rows_of(tiny_model, files)}
    for expected in tiny_model.predict(files):
        row = rows[expected.source.rsplit("/", 1)[-1]]
        assert row.answer == expected.label
        assert row.confidence == pytest.approx(expected.confidence)
        assert row.bits == pytest.approx(expected.bits_per_dim)


def test_without_labels_the_least_certain_come_first(tiny_model, files):
    confidence = [row.confidence for row in rows_of(tiny_model, files)]
    assert confidence == sorted(confidence)


def test_with_labels_the_most_doubtful_come_first(tiny_model, files):
    labels = {file.name: "pizza" for file in files}
    rows = rows_of(tiny_model, files, labels)
    doubt = [row.label_probability for row in rows]
    assert doubt == sorted(doubt)
    assert [row.disagrees for row in rows] == [row.answer != "pizza" for row in rows]


def test_a_broken_file_gets_a_row_at_the_end_with_the_reason(tiny_model, files):
    files[0].write_bytes(b"broken")
    rows = rows_of(tiny_model, files)
    assert len(rows) == 5
    assert rows[-1].name == "00.png"
    assert rows[-1].reason.startswith("not an image")
    assert "1 cannot be read" in " ".join(folder_html(rows).split())


def test_too_many_files_get_a_sentence(tiny_model, files):
    with pytest.raises(PixelBayesError, match="5 files; this page takes up to 4"):
        classify_folder(tiny_model, files, Limits(files=4), {}, lambda _: None)


def test_no_image_gets_a_sentence(tiny_model):
    with pytest.raises(PixelBayesError, match="no image among these files"):
        rows_of(tiny_model, [])


def test_the_table_that_is_saved_has_every_row(tiny_model, files):
    files[0].write_bytes(b"broken")
    rows = rows_of(tiny_model, files, {"01.png": "koala"})
    table = list(csv.DictReader(io.StringIO(folder_csv(rows))))
    assert [line["file"] for line in table] == [row.name for row in rows]
    assert table[0]["label"] == "koala"
    assert float(table[0]["p_label"]) == pytest.approx(rows[0].label_probability, rel=1e-5)
    assert table[-1]["class"] == ""
    assert table[-1]["note"].startswith("not an image")


def test_every_cell_has_a_key_to_sort_by(tiny_model, files):
    html = folder_html(rows_of(tiny_model, files, {"01.png": "koala"}))
    heads = re.findall(r"<th scope=\"col\"[^>]*>", html)
    body = html[html.index("<tbody>") :]
    assert len(re.findall("data-sort=", body)) == 5 * (len(heads) - 1)  # all but the picture


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("koala-12.jpg", "koala"),
        ("Sea Lion (3).png", "sea lion"),
        ("sea_lion.7.png", "sea lion"),
        ("koalas.png", None),
        ("pizza-and-koala.png", None),
    ],
)
def test_a_class_in_a_files_name_is_its_label_where_it_is_the_only_one(tmp_path, name, label):
    assert given_labels([tmp_path / name], CLASSES, by_name=True).get(name) == label
    assert not given_labels([tmp_path / name], CLASSES, by_name=False)


def test_a_table_tells_labels_with_or_without_a_header(tmp_path):
    table = tmp_path / "labels.csv"
    for header in ("", "file,class\n"):
        table.write_text(f"{header}some/01.png,koala\n02.png,sea lion\n")
        labels = given_labels([tmp_path / "01.png", table], CLASSES, by_name=False)
        assert labels == {"01.png": "koala", "02.png": "sea lion"}


def test_a_table_may_be_as_spreadsheets_write_it(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_bytes("\ufeff\r\nfile;class\r\n01.png;koala\r\n\r\n02.png;sea lion\r\n".encode())
    labels = given_labels([tmp_path / "01.png", table], CLASSES, by_name=False)
    assert labels == {"01.png": "koala", "02.png": "sea lion"}
    table.write_bytes(b"\xff\xfe0")
    with pytest.raises(PixelBayesError, match=r"^labels\.csv is not a CSV file in UTF-8: "):
        given_labels([table], CLASSES, by_name=False)


def test_a_label_that_may_belong_to_another_file_is_refused(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("a/x.png,koala\nb/x.png,pizza\n")
    with pytest.raises(PixelBayesError, match=r"line 2: x\.png is pizza here and koala in an"):
        given_labels([table], CLASSES, by_name=False)
    table.write_text("x.png,koala\n")
    files = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    with pytest.raises(PixelBayesError, match=r"labels\.csv: 2 files are called x\.png"):
        given_labels([*files, table], CLASSES, by_name=False)
    assert given_labels([files[0], table], CLASSES, by_name=False) == {"x.png": "koala"}


@pytest.mark.parametrize("name", ["one", "one.JPG", "two.jpg"])
def test_a_table_that_names_no_file_here_is_refused(tmp_path, name):
    table = tmp_path / "labels.csv"
    table.write_text(f"{name},koala\n")
    with pytest.raises(PixelBayesError, match=r"none of its 1 names is that of a file here, such"):
        given_labels([tmp_path / "one.jpg", table], CLASSES, by_name=False)


def test_a_class_that_is_misspelt_in_the_first_row_is_no_header(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("some/01.png,kola\n02.png,pizza\n")
    with pytest.raises(PixelBayesError, match=r"labels\.csv, line 1: 'kola' is no class"):
        given_labels([tmp_path / "01.png", table], CLASSES, by_name=False)


def test_a_table_with_an_unknown_class_is_refused_by_row(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("01.png,koala\n02.png,walrus\n")
    with pytest.raises(PixelBayesError, match=r"labels\.csv, line 2: 'walrus' is no class"):
        given_labels([table], CLASSES, by_name=False)


def test_the_page_says_of_no_image_that_it_is_familiar_where_nobody_knows(tiny_model, files):
    rows = rows_of(tiny_model, files)
    known = [True, None, False]
    shown = [replace(row, unlike=unlike) for row, unlike in zip(rows[:3], known, strict=True)]
    html = folder_html(shown)
    assert re.findall(r"<td data-sort=\"[01]\">(yes|no|)</td>", html) == ["yes", "", "no"]
