"""The tab Classify: the answer, its reasons, and what would change it."""

from __future__ import annotations

import math
import re

import pytest
import torch

from pixelbayes.app.classify import (
    EVERY_OTHER,
    answer,
    answer_html,
    change_html,
    evidence_html,
    evidence_maps,
    what_would_it_take,
)
from pixelbayes.app.limits import Limits, Photo, read_photo
from pixelbayes.app.markup import png
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.counterfactual import Counterfactual


@pytest.fixture
def photo(tiny_model, photo_folder):
    return read_photo(photo_folder(1) / "00.png", tiny_model, Limits())


def text(html: str) -> str:
    """What a reader sees."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_answer_is_the_models_prediction(tiny_model, photo, photo_folder):
    said = answer(tiny_model, photo)
    expected = tiny_model.predict(photo.levels)[0]
    assert tiny_model.classes[said.label] == expected.label
    assert said.log_posterior.exp().tolist() == pytest.approx(list(expected.probabilities.values()))
    assert said.log_prob == pytest.approx(-expected.outlier_score)


def test_bars_are_named_and_the_most_probable_class_comes_first(tiny_model, photo):
    said = answer(tiny_model, photo)
    names = re.findall(r'pb-name">([^<]+)<', answer_html(tiny_model, said))
    assert names == [tiny_model.classes[index] for index in said.order]


def test_every_picture_has_a_text_beside_it(tiny_model, photo):
    html = answer_html(tiny_model, answer(tiny_model, photo))
    assert len(re.findall("<img", html)) == len(re.findall(r'<img[^>]*\balt="[^"]', html)) == 2


def test_a_file_cannot_write_markup(tiny_model):
    levels = torch.zeros(3, 8, 8, dtype=torch.uint8)
    photo = Photo("<script>alert(1)</script>.png", levels, (8, 8), png(levels))
    assert "<script" not in answer_html(tiny_model, answer(tiny_model, photo))


def test_the_evidence_that_is_told_is_the_models_log_odds(tiny_model, photo):
    maps = evidence_maps(tiny_model, photo)
    one, other = tiny_model.classes[:2]
    log_odds = float(maps[0].sum() - maps[1].sum())
    html = evidence_html(tiny_model, photo, maps, one, other)
    direction = "for" if log_odds >= 0 else "against"
    assert f"{abs(log_odds):.1f} nats {direction} {one}" in text(html)


def test_the_running_sum_ends_where_the_evidence_does(tiny_model, photo):
    maps = evidence_maps(tiny_model, photo)
    html = evidence_html(tiny_model, photo, maps, tiny_model.classes[0], EVERY_OTHER)
    points = re.search(r'points="([^"]+)"', html)[1].split()
    assert len(points) == 1 + photo.levels.shape[1]
    positions = [float(point.split(",")[0]) for point in points]
    assert all(0 <= position <= 100 for position in positions)
    ends = float(re.search(r"it ends at (-?[\d.]+) nats", html)[1])
    assert math.copysign(1, positions[-1] - 50) == math.copysign(1, ends)


def test_a_class_is_not_compared_with_itself(tiny_model, photo):
    maps = evidence_maps(tiny_model, photo)
    with pytest.raises(PixelBayesError, match="choose another one than koala"):
        evidence_html(tiny_model, photo, maps, "koala", "koala")


def test_what_changes_the_answer_is_shown_framed_with_both_classes(tiny_model, photo):
    found = Counterfactual(
        original=photo.levels,
        result=photo.levels.flip(0),
        rows=(2, 4),
        columns=(1, 7),
        before=0,
        after=2,
        drawn_as=1,
        share=0.25,
    )
    html = change_html(tiny_model, found)
    assert "turns koala into sea lion : 12 pixels in rows 3 to 4 and columns 2 to 7" in text(html)
    frame = re.search(r'pb-frame" style="([^"]+)"', html)[1]
    assert frame == "left:12.500%;top:25.000%;width:75.000%;height:25.000%;"


def test_a_search_can_be_given_up(tiny_model, photo):
    def stop(tried: int) -> None:
        raise KeyboardInterrupt(tried)

    with pytest.raises(KeyboardInterrupt, match="1"):
        what_would_it_take(tiny_model, photo, None, stop)


def test_the_answer_is_no_class_to_change_to(tiny_model, photo):
    said = tiny_model.classes[answer(tiny_model, photo).label]
    with pytest.raises(PixelBayesError, match=f"the answer is {said} already"):
        what_would_it_take(tiny_model, photo, said, lambda _: None)
