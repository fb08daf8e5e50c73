"""Generated images of several models side by side, as PNG: rows are models, columns classes."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from pixelbayes.report.drawing import blank_figure, png, style
from pixelbayes.report.report import ReportError
from pixelbayes.report.study.marks import Drawing
from pixelbayes.report.study.results import ModelResult

__all__ = ["decode_png", "sample_drawings", "sampled"]

ACROSS = 4  # images in a row of one cell
ENLARGED = 96  # pixels of an image's side at least, before the viewer scales it
CELL = 1.9  # inches
MANY_CLASSES = 6  # beyond that, a cell shows half as many images


def sampled(results: Sequence[ModelResult]) -> dict[str, Mapping[str, Sequence[str]]]:
    """The samples by model and class; of several seeds, the first that has some."""
    found: dict[str, Mapping[str, Sequence[str]]] = {}
    for result in results:
        if any(result.samples.values()):
            found.setdefault(result.name, result.samples)
    return found


def sample_drawings(results: Sequence[ModelResult]) -> list[Drawing]:
    """Draws the first samples of every model and class into one figure.

    Args:
        results: One for each model and seed; those without samples are left out.

    Returns:
        One drawing, none where there are no samples.

    Raises:
        ReportError: If a sample is not a PNG in base64.
        ModuleNotFoundError: Without matplotlib.
    """
    models = sampled(results)
    if not models:
        return []
    classes = list(dict.fromkeys(name for samples in models.values() for name in samples))
    across = ACROSS if len(classes) <= MANY_CLASSES else ACROSS // 2
    with style():
        figure = blank_figure(
            CELL * across / ACROSS * len(classes) + 0.9, CELL / 2 * len(models) + 0.4
        )
        for row, (model, samples) in enumerate(models.items()):
            for column, name in enumerate(classes):
                place = row * len(classes) + column + 1
                axes = figure.add_subplot(len(models), len(classes), place)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if row == 0:
                    axes.set_title(name)
                if column == 0:
                    axes.set_ylabel(model, rotation=0, ha="right", va="center")
                if samples.get(name):
                    axes.imshow(_tiled(samples[name][: 2 * across], across), interpolation="none")
        image = png(figure)
    return [
        Drawing(
            "samples",
            f"Generated images: rows are {', '.join(models)}; columns are {', '.join(classes)}.",
            "Generated images, not selected: the first of each class.",
            image,
        )
    ]


def decode_png(encoded: str) -> bytes:
    """The bytes of a PNG in base64.

    Raises:
        ReportError: If it is none.
    """
    try:
        content = base64.b64decode(encoded, validate=True)
        Image.open(io.BytesIO(content)).verify()
    except (ValueError, OSError, SyntaxError) as error:  # Pillow says SyntaxError to broken PNGs
        raise ReportError(
            f"an image of the study is not a PNG in base64 ({error}); make it with png_base64"
        ) from error
    return content


def _tiled(images: Sequence[str], across: int) -> np.ndarray:
    """Images beside and below each other on white, enlarged by a whole factor, (H, W, 3) uint8."""
    pixels = [
        np.asarray(Image.open(io.BytesIO(decode_png(image))).convert("RGB")) for image in images
    ]
    height, width = pixels[0].shape[:2]
    factor = max(1, ENLARGED // min(height, width))
    gap = max(1, height // 16)
    rows = -(-len(pixels) // across)
    sheet = np.full((rows * (height + gap), across * (width + gap), 3), 255, np.uint8)
    for k, image in enumerate(pixels):
        top, left = k // across * (height + gap), k % across * (width + gap)
        sheet[top : top + height, left : left + width] = image[:height, :width]
    return sheet.repeat(factor, 0).repeat(factor, 1)
