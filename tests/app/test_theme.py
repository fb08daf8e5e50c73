"""The colours of the page can be read."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(not find_spec("gradio"), reason="needs the extra app")


LEAST = 4.5
"""WCAG 2.2, success criterion 1.4.3, level AA."""
TEXT_ON = (
    ("body_text_color", "body_background_fill"),
    ("body_text_color", "block_background_fill"),
    ("body_text_color", "checkbox_label_background_fill"),
    ("body_text_color", "color_accent_soft"),
    ("body_text_color_subdued", "body_background_fill"),
    ("body_text_color_subdued", "block_background_fill"),
    ("block_label_text_color", "block_label_background_fill"),
    ("block_title_text_color", "block_background_fill"),
    ("block_info_text_color", "block_background_fill"),
    ("input_placeholder_color", "input_background_fill"),
    ("button_primary_text_color", "button_primary_background_fill"),
    ("button_primary_text_color", "button_primary_background_fill_hover"),
    ("button_secondary_text_color", "button_secondary_background_fill"),
    ("button_secondary_text_color", "button_secondary_background_fill_hover"),
    ("link_text_color", "block_background_fill"),
)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_black_on_white_has_the_largest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("mode", ["", "_dark"])
@pytest.mark.parametrize(("text", "background"), TEXT_ON)
def test_text_has_the_contrast_that_people_need(text: str, background: str, mode: str) -> None:
    from pixelbayes.app.theme import theme  # which loads Gradio

    colours = theme()
    found = [getattr(colours, f"{name}{mode}") for name in (text, background)]
    assert all(colour.startswith("#") for colour in found), found
    assert contrast(*found) >= LEAST
