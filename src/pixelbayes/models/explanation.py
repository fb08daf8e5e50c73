"""Why a model answers as it does, with names and a picture.

Shapes: C channels, H x W pixels.
Units:  nats, before the temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pixelbayes.data.arrays import picture
from pixelbayes.inference.counterfactual import Counterfactual
from pixelbayes.inference.evidence import Evidence

__all__ = ["READING", "Explanation", "side_by_side"]

READING = (
    "A pixel counts for how it surprises after everything above and to the left of it, so what is "
    "typical of a class counts where it is completed: evidence comes late, in the lower rows. "
    "Nats are the model's own, before the temperature, which divides the log-likelihood of each "
    "class where they become probabilities."
)
"""How to read the numbers and the picture."""

PANEL = 256  # pixels of the longer side of a picture in the figure
MARGIN, CAPTION = 16, 56
INK, QUIET, PAPER, LINE = "#1c2128", "#59636e", "#ffffff", "#0072b2"
FOR, AGAINST = (0, 114, 178), (213, 94, 0)
"""Blue and vermilion of Okabe and Ito, which people with any colour vision tell apart."""
FULL_COLOUR = 0.99  # quantile of the sizes from which on a pixel has the full colour
SMALLEST = 1e-12  # divides by no zero where there is no evidence

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which pixels of an image speak for a class and against others.

    Attributes:
        levels: The image as the model sees it, uint8, (C, H, W).
        found: The evidence, with classes by index.
        classes: Name of the class, then that of the one or the several it is compared with.
        temperature: Of the model; divides log-likelihoods where they become probabilities.
    """

    levels: Tensor
    found: Evidence
    classes: tuple[str, ...]
    temperature: float

    @property
    def evidence(self) -> Tensor:
        """log p(x_i | x_<i, y) - log p(x_i | x_<i, y'), (H, W), float64: its sum is `log_odds`."""
        return self.found.evidence

    @property
    def surprise(self) -> Tensor:
        """-log p(x_i | x_<i, y), (H, W), float64: its sum is the image's code length."""
        return self.found.surprise

    @property
    def log_odds(self) -> float:
        """log p(x | y) - log p(x | y')."""
        return self.found.log_odds

    @property
    def tempered_log_odds(self) -> float:
        """Log-odds at the model's temperature; with those of the prior, logit p(y | x)."""
        return self.found.tempered_log_odds(self.temperature)

    @property
    def against(self) -> str:
        """The other side in words."""
        return self.classes[1] if len(self.classes) == 2 else "all others"

    def __str__(self) -> str:
        return (
            f"{self.classes[0]} against {self.against}: {self.log_odds:+.1f} nats, half of the "
            f"evidence on {self.found.half_share:.0%} of the pixels"
        )

    def to_json(self) -> dict[str, Any]:
        """Everything in plain values."""
        return {
            "class": self.classes[0],
            "against": list(self.classes[1:]),
            "log_odds": self.log_odds,
            "tempered_log_odds": self.tempered_log_odds,
            "prior_log_odds": self.found.prior_log_odds,
            "temperature": self.temperature,
            "code_length": float(self.surprise.sum()),
            "half_of_the_evidence": self.found.half_share,
            "running_log_odds": self.found.running.tolist(),
            "evidence": self.evidence.tolist(),
            "surprise": self.surprise.tolist(),
            "unit": "nats",
            "reading": READING,
        }

    def figure(self) -> Image.Image:
        """The image, its evidence around zero, their sum from the top, and its surprise."""
        # A few pixels that decide alone would leave all others white.
        full = max(float(self.evidence.abs().flatten().quantile(FULL_COLOUR)), SMALLEST)
        most = max(float(self.surprise.max()), SMALLEST)
        return _sheet(
            [
                (_photograph(self.levels), "image", self.classes[0]),
                (
                    Image.fromarray(_signed(self.evidence / full)),
                    f"{self.classes[0]} against {self.against}",
                    f"blue for, orange against; full at {full:.2g} nats",
                ),
                (self.found.running, f"sum from the top: {self.log_odds:+.1f} nats", "by row"),
                (
                    Image.fromarray(_dark(self.surprise / most)),
                    "surprise, -log p of each pixel",
                    f"black at {most:.3g} nats, {float(self.surprise.sum()):.0f} in all",
                ),
            ],
            self.levels.shape[1:],
        )


def side_by_side(found: Counterfactual, classes: Sequence[str]) -> Image.Image:
    """The original, the part that is drawn anew, and the result, with their classes."""
    part = torch.zeros(found.original.shape[1:])
    part[slice(*found.rows), slice(*found.columns)] = 1
    return _sheet(
        [
            (_photograph(found.original), "original", classes[found.before]),
            (
                Image.fromarray(_dark(part)),
                f"drawn anew as {classes[found.drawn_as]}",
                f"{found.pixels} pixels; {found.share:.0%} of the draws change the class",
            ),
            (_photograph(found.result), "result", classes[found.after]),
        ],
        found.original.shape[1:],
    )


Panel = tuple[Image.Image | Tensor, str, str]
"""A picture, or the numbers of a curve that goes down; the text above and below it."""


def _sheet(panels: Sequence[Panel], size_of_image: Sequence[int]) -> Image.Image:
    """Panels in a row, each enlarged without making up levels."""
    height, width = size_of_image
    zoom = max(1, PANEL // max(height, width))
    size = (width * zoom, height * zoom)
    step = max(size[0], PANEL) + MARGIN
    sheet = Image.new("RGB", (len(panels) * step + MARGIN, size[1] + CAPTION + 2 * MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (panel, above, below) in enumerate(panels):
        left, top = MARGIN + number * step, MARGIN + CAPTION // 2
        draw.text((left, MARGIN // 2), _cut(above, step, font), INK, font)
        draw.text((left, top + size[1] + 6), _cut(below, step, font), QUIET, font)
        if isinstance(panel, Tensor):
            _curve(draw, (left, top, left + size[0] - 1, top + size[1] - 1), panel)
        else:
            enlarged = panel.convert("RGB").resize(size, Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left, top))
    return sheet


def _photograph(levels: Tensor) -> Image.Image:
    return picture(levels.movedim(0, -1).numpy())


def _signed(strength: Tensor) -> Pixels:
    """White at 0, blue at 1 and vermilion at -1, (H, W, 3)."""
    values = strength.clamp(-1, 1)[..., None].numpy()
    end = np.where(values > 0, np.array(FOR), np.array(AGAINST))
    coloured: Pixels = np.rint(255 + np.abs(values) * (end - 255)).astype(np.uint8)
    return coloured


def _dark(strength: Tensor) -> Pixels:
    """White at 0, black at 1, (H, W)."""
    grey: Pixels = np.rint(255 * (1 - strength.clamp(0, 1).numpy())).astype(np.uint8)
    return grey


def _curve(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], running: Tensor) -> None:
    """The sum after each row: rows go down, nats go right."""
    left, top, right, bottom = box
    values = torch.cat([running.new_zeros(1), running])
    low, high = float(values.min()), float(values.max())
    across = (values - low) / max(high - low, SMALLEST) * (right - left) + left
    down = torch.linspace(top, bottom, len(values))
    zero = float(across[0])
    draw.rectangle(box, outline="#dfe3e8")
    draw.line([(zero, top), (zero, bottom)], fill=QUIET)
    draw.line([*zip(across.tolist(), down.tolist(), strict=True)], fill=LINE, width=2)


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of the text as the width holds."""
    while len(text) > 1 and font.getlength(text) > width - 4:
        text = text[:-2].rstrip("…") + "…"
    return text
