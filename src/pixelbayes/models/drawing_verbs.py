"""What a user does with a model that can draw: sample and complete.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pixelbayes.data import ImageInput
from pixelbayes.data.arrays import picture
from pixelbayes.data.masks import white_pixels
from pixelbayes.data.naming import whole_number
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.cached import whole_tiles
from pixelbayes.inference.classification import require_temperature
from pixelbayes.models.verbs import Labels, Verbs
from pixelbayes.switches import undisturbed

__all__ = ["DrawingVerbs", "seeded"]

Output = Literal["pil", "np", "levels"]
Levels = npt.NDArray[np.uint8]


class DrawingVerbs(Verbs):
    """The verbs, with those that draw pixels."""

    @overload
    def sample(
        self,
        label: Labels | None = None,
        *,
        count: int = 1,
        generator: torch.Generator | int | None = None,
        output_type: Literal["pil"] = "pil",
        temperature: float = 1.0,
    ) -> list[Image.Image]: ...
    @overload
    def sample(
        self,
        label: Labels | None = None,
        *,
        count: int = 1,
        generator: torch.Generator | int | None = None,
        output_type: Literal["np"],
        temperature: float = 1.0,
    ) -> Levels: ...
    @overload
    def sample(
        self,
        label: Labels | None = None,
        *,
        count: int = 1,
        generator: torch.Generator | int | None = None,
        output_type: Literal["levels"],
        temperature: float = 1.0,
    ) -> Tensor: ...
    @undisturbed()
    def sample(
        self,
        label: Labels | None = None,
        *,
        count: int = 1,
        generator: torch.Generator | int | None = None,
        output_type: Output = "pil",
        temperature: float = 1.0,
    ) -> list[Image.Image] | Levels | Tensor:
        """Draws images.

        Args:
            label: A class by name or index, or several; None: every class.
            count: Images of each.
            generator: Source of all randomness, on the CPU, or its seed; None: torch's own, which
                `torch.manual_seed` sets.
            output_type: "pil": a list of Pillow images; "np": uint8 (N, H, W, C); "levels": uint8
                tensor (N, C, H, W).
            temperature: Multiplies the spread of every pixel; 1 draws from p(x | y), less draws
                likelier and plainer pixels.

        Raises:
            PixelBayesError: If the model cannot draw, or an argument is not accepted.
        """
        count = whole_number(count, "count is a number of images above 0", least=1)
        _check_output(output_type)
        temperature = require_temperature(temperature)
        chosen = list(range(len(self.classes))) if label is None else label
        labels = self._labels(chosen, None).repeat_interleave(count)
        source = seeded(generator)
        drawn = [
            self.draw(some, source, temperature=temperature)
            for some in labels.split(whole_tiles(self.images_at_a_time(), self.device))
        ]
        return _as_output(torch.cat(drawn), output_type)

    @overload
    def complete(
        self,
        x: ImageInput,
        label: Labels | None = None,
        *,
        mask: ImageInput | None = None,
        generator: torch.Generator | int | None = None,
        output_type: Literal["pil"] = "pil",
        temperature: float = 1.0,
    ) -> list[Image.Image]: ...
    @overload
    def complete(
        self,
        x: ImageInput,
        label: Labels | None = None,
        *,
        mask: ImageInput | None = None,
        generator: torch.Generator | int | None = None,
        output_type: Literal["np"],
        temperature: float = 1.0,
    ) -> Levels: ...
    @overload
    def complete(
        self,
        x: ImageInput,
        label: Labels | None = None,
        *,
        mask: ImageInput | None = None,
        generator: torch.Generator | int | None = None,
        output_type: Literal["levels"],
        temperature: float = 1.0,
    ) -> Tensor: ...
    @undisturbed()
    def complete(
        self,
        x: ImageInput,
        label: Labels | None = None,
        *,
        mask: ImageInput | None = None,
        generator: torch.Generator | int | None = None,
        output_type: Output = "pil",
        temperature: float = 1.0,
    ) -> list[Image.Image] | Levels | Tensor:
        """Draws a part of each image anew, given the pixels above and to the left of it.

        Known pixels that come after a drawn one in raster order do not decide it;
        `pixelbayes.inference.complete_weighted` makes up for that.

        Args:
            x: One image or many.
            label: A class, or one for each image; None: the most probable one of what comes
                before the first drawn pixel.
            mask: Which pixels are drawn: bool (H, W), true where so, or an image, white where so;
                None: the lower half.
            generator: As for `sample`.
            output_type: As for `sample`.
            temperature: As for `sample`.

        Raises:
            PixelBayesError: If the model cannot complete images, or an argument is not accepted.
        """
        _check_output(output_type)
        temperature = require_temperature(temperature)
        levels = self._levels(x)
        known = ~self._mask(mask)
        if bool(known.all()):
            raise PixelBayesError("the mask keeps every pixel; make it true (white) where to draw")
        if label is None:
            labels = self.class_of_first_pixels(levels, known)
        else:
            labels = self._labels(label, len(levels))
        source = seeded(generator)
        size = whole_tiles(self.images_at_a_time(), self.device)
        drawn = [
            self.draw_given(some, given, known, source, temperature=temperature)
            for some, given in zip(labels.split(size), levels.split(size), strict=True)
        ]
        return _as_output(torch.cat(drawn), output_type)

    def _mask(self, mask: Any) -> Tensor:
        """Where pixels are drawn, bool (H, W)."""
        rows = self.image_size[0]
        if mask is None:
            return (torch.arange(rows) >= rows // 2)[:, None].expand(self.image_size)
        if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
            mask = torch.from_numpy(mask)
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            return white_pixels(mask, self.resize)
        if tuple(mask.shape) != self.image_size:
            raise PixelBayesError(
                f"a mask is bool {self.image_size} (rows, columns) like the model's images, got "
                f"{tuple(mask.shape)}"
            )
        return mask.cpu()


def seeded(generator: torch.Generator | int | None) -> torch.Generator:
    """The generator itself, one of that seed, or torch's own for None.

    Raises:
        PixelBayesError: If it is no generator and no whole number from 0 on.
    """
    if generator is None:
        return torch.default_generator
    if isinstance(generator, torch.Generator):
        return generator
    seed = whole_number(generator, "generator is a torch.Generator or a seed, 0 or more")
    return torch.Generator().manual_seed(seed)


def _check_output(output_type: str) -> None:
    if output_type not in ("pil", "np", "levels"):
        raise PixelBayesError(f'output_type is "pil", "np" or "levels", got {output_type!r}')


def _as_output(levels: Tensor, output_type: Output) -> list[Image.Image] | Levels | Tensor:
    if output_type == "levels":
        return levels
    arrays: Levels = levels.permute(0, 2, 3, 1).contiguous().numpy()
    return arrays if output_type == "np" else [picture(array) for array in arrays]
