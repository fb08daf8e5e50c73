"""What an upload may be, and the sentence that another one gets."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from pixelbayes.app.limits import PREVIEW, Limits, read_photo
from pixelbayes.data import write_png
from pixelbayes.errors import PixelBayesError


def test_a_photo_has_the_levels_that_the_data_layer_gives(tiny_model, photo_folder):
    file = photo_folder(1) / "00.png"
    photo = read_photo(file, tiny_model, Limits())
    expected = tiny_model.predict(file)[0].log_likelihoods
    table = tiny_model.log_likelihoods(photo.levels[None])[0].tolist()
    assert table == pytest.approx(list(expected.values()))
    assert photo.size == (12, 10)
    assert photo.name == "00.png"


def test_a_preview_is_small_however_large_the_original(tiny_model, tmp_path):
    Image.new("RGB", (1500, 900), "teal").save(tmp_path / "large.png")
    photo = read_photo(tmp_path / "large.png", tiny_model, Limits())
    encoded = photo.preview.removeprefix("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as preview:
        assert max(preview.size) == PREVIEW


def test_a_broken_file_gets_a_sentence_with_its_name_and_not_its_place(tiny_model, tmp_path):
    file = tmp_path / "broken.png"
    file.write_bytes(b"not an image at all")
    with pytest.raises(PixelBayesError, match=r"^broken\.png: not an image") as raised:
        read_photo(file, tiny_model, Limits())
    assert str(tmp_path) not in str(raised.value)


def test_a_truncated_photo_gets_a_sentence(tiny_model, photo_folder):
    file = photo_folder(1) / "00.png"
    file.write_bytes(file.read_bytes()[:80])
    with pytest.raises(PixelBayesError, match=r"^00\.png: "):
        read_photo(file, tiny_model, Limits())


def test_too_many_pixels_are_refused_before_they_are_decoded(tiny_model, tmp_path, monkeypatch):
    write_png(torch.zeros(3, 20, 30, dtype=torch.uint8), tmp_path / "wide.png")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(PixelBayesError, match=r"30 x 20 are .* million pixels; this page takes"):
        read_photo(tmp_path / "wide.png", tiny_model, Limits(pixels=599))


def test_too_many_bytes_are_refused(tiny_model, photo_folder):
    file = photo_folder(1) / "00.png"
    with pytest.raises(PixelBayesError, match=r"00\.png: the file has .* MB; this page takes"):
        read_photo(file, tiny_model, Limits(upload_bytes=10))


def test_a_missing_upload_gets_a_sentence(tiny_model, tmp_path):
    with pytest.raises(PixelBayesError, match=r"gone\.png: no such file"):
        read_photo(Path(tmp_path / "gone.png"), tiny_model, Limits())


def test_the_documents_state_the_limits() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs" / "app.md").read_text("utf-8").split())
    limits = Limits()
    assert f"{limits.upload_bytes >> 20} MB and {limits.pixels // 10**6} million pixels" in text
    assert f"{limits.files} files at a time, {limits.images} images a drawing" in text
    assert limits.at_once == 2
    assert "two computations at a time while others wait" in text
