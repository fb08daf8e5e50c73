"""Pictures and sentences of the page."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image

from pixelbayes.app.markup import evidence_png, note, png


def pixels_of(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))) as image:
        return np.asarray(image)


def test_a_map_is_clear_where_there_is_no_evidence_and_strongest_where_most():
    pixels = pixels_of(evidence_png(torch.tensor([[0.0, 1.0], [-2.0, 0.0]])))
    assert pixels[0, 0, 3] == 0
    assert pixels[1, 0, 3] == 255 > pixels[0, 1, 3] > 0
    assert pixels[1, 0, 0] > pixels[1, 0, 2]  # vermilion against
    assert pixels[0, 1, 2] > pixels[0, 1, 0]  # blue for


def test_a_map_without_evidence_is_clear():
    assert not pixels_of(evidence_png(torch.zeros(3, 3)))[..., 3].any()


def test_a_picture_holds_the_levels():
    levels = torch.arange(192, dtype=torch.uint8).view(3, 8, 8)
    assert np.array_equal(pixels_of(png(levels)), levels.permute(1, 2, 0).numpy())


def test_a_mistake_is_read_out_at_once_and_no_sentence_is_markup():
    assert 'role="alert"' in note("no", mistake=True)
    assert 'role="status"' in note("ready")
    assert "<b>" not in note("<b>")
