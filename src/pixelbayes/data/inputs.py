"""Images in any form that people have them become batches of levels for a model.

A path, a Pillow image, an array, a tensor, a data set, or any number of these: all go one way,
that of image files, so the same picture gives the same levels however it came.  What is
converted on the way (another size, colours, another type) is counted, not hidden.  What has two
meanings is refused with the line that says which one is meant.

Shapes: B images, C channels (1: grey, 3: RGB), H x W pixels.  Levels are uint8, 0..255.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from pixelbayes.data.arrays import COLOURS, Array, picture, single_images, whole_levels
from pixelbayes.data.errors import DatasetError
from pixelbayes.data.files import image_to_levels, naming_file
from pixelbayes.data.finding import find_images
from pixelbayes.data.images import ImageDataset, LabelledImages
from pixelbayes.data.pixels import decoded, is_grey, open_image
from pixelbayes.data.transforms import Resize

__all__ = ["Conversions", "ImageBatch", "ImageInput", "image_batches", "image_levels"]

ImageInput: TypeAlias = (
    str
    | os.PathLike[str]
    | Image.Image
    | Array
    | Tensor
    | LabelledImages
    | Dataset[Any]
    | DataLoader[Any]
    | Iterable[Any]
)
"""One image or many; see `image_batches`."""

BATCH = 256
IMAGE_KEYS = ("image", "img", "pixel_values")  # of samples that are mappings
ACCEPTED = (
    "pass a path, a PIL image, a NumPy array or tensor of uint8, a Dataset or DataLoader, or a "
    "list of these"
)


@dataclass(frozen=True)
class Conversions:
    """What was done to images on their way to a model."""

    images: int = 0
    """Images in all."""
    resized: Mapping[str, int] = field(default_factory=dict)
    """How many had each other size, such as "48 x 64 -> 32 x 32" (rows x columns)."""
    to_grey: int = 0
    """Colour images that a grey model sees as luma."""
    to_colour: int = 0
    """Grey images that a colour model sees as three equal channels."""
    retyped: int = 0
    """Images whose whole levels came in another type than uint8."""

    def __add__(self, other: Conversions) -> Conversions:
        return Conversions(
            self.images + other.images,
            Counter(self.resized) + Counter(other.resized),
            self.to_grey + other.to_grey,
            self.to_colour + other.to_colour,
            self.retyped + other.retyped,
        )

    def sentences(self) -> list[str]:
        """What was done, one sentence for each kind; empty where nothing was.

        >>> Conversions(3, {"64 x 64 -> 32 x 32": 2}, to_grey=3).sentences()
        ['2 of 3 images resized (64 x 64 -> 32 x 32)', '3 of 3 colour images made grey']
        """
        resized = sum(self.resized.values())
        sizes = [size for size, _ in Counter(self.resized).most_common(3)]
        more = ", ..." if len(self.resized) > len(sizes) else ""
        counts = (
            (resized, f"images resized ({', '.join(sizes)}{more})"),
            (self.to_grey, "colour images made grey"),
            (self.to_colour, "grey images made three equal channels"),
            (self.retyped, "images converted to uint8"),
        )
        return [f"{count} of {self.images} {what}" for count, what in counts if count]


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Some images as a model wants them."""

    levels: Tensor
    """uint8 (B, C, H, W)."""
    names: tuple[str, ...]
    """Path of each image, or its number where it has none."""
    conversions: Conversions
    """What was done to them."""

    def __len__(self) -> int:
        return len(self.levels)


def image_batches(
    images: ImageInput,
    *,
    channels: int,
    resize: Resize,
    batch_size: int = BATCH,
    whole_levels: bool = False,
) -> Iterator[ImageBatch]:
    """Turns images of any form into batches of levels, as they are asked for.

    Accepted:

    * a path of an image file, or of a folder (its images, in the order of `find_images`);
    * a Pillow image;
    * a uint8 array or tensor: (H, W) grey, (H, W, C), (C, H, W), (N, H, W) grey, (N, H, W, C),
      (N, C, H, W), where only one of these fits; C is 1 or 3, or 4 (with alpha) as the last axis.
      A tensor (3, H, W) is one colour image, as in torch; an array (3, H, W) is one for a colour
      model, and has two meanings for a grey one;
    * a split of ours (`LabelledImages`), a torch Dataset or DataLoader, whose samples are images
      or begin with one, or are mappings with an "image";
    * a list or any iterable of these, or of pairs of an image and a number (its label).

    Args:
        images: One image or many.
        channels: 1 turns colours into luma, 3 repeats grey, as for `read_image`.
        resize: Size of the result; the model's.
        batch_size: Images in a batch; the last may have fewer.
        whole_levels: Accepts arrays of other types that hold whole levels 0..255.

    Raises:
        TypeError: If something is no image, or an array is not uint8 (the message has the line
            that converts it).
        DatasetError: If a shape has two meanings or none, a file cannot be read, or an image is
            too small.
    """
    if channels not in (1, COLOURS):
        raise DatasetError(f"channels is 1 (grey) or 3 (RGB), got {channels}")
    if batch_size < 1:
        raise DatasetError(f"batch_size is a number of images above 0, got {batch_size}")
    reader = _Reader(channels, resize, whole_levels)
    return reader.batches(images, batch_size)


def image_levels(
    images: ImageInput, *, channels: int, resize: Resize, whole_levels: bool = False
) -> ImageBatch:
    """Turns images of any form into one batch; see `image_batches`.

    >>> photo = np.zeros((48, 64, 3), dtype=np.uint8)
    >>> batch = image_levels(photo, channels=3, resize=Resize((32, 32)))
    >>> batch.levels.shape, batch.conversions.sentences()
    (torch.Size([1, 3, 32, 32]), ['1 of 1 images resized (48 x 64 -> 32 x 32)'])
    """
    options: dict[str, Any] = {"channels": channels, "resize": resize, "whole_levels": whole_levels}
    batches = list(image_batches(images, **options))
    levels = [batch.levels for batch in batches]
    empty = torch.empty((0, channels, *resize.size), dtype=torch.uint8)
    return ImageBatch(
        torch.cat(levels) if levels else empty,
        tuple(name for batch in batches for name in batch.names),
        sum((batch.conversions for batch in batches), Conversions()),
    )


@dataclass(frozen=True)
class _Original:
    """One image before it is resized."""

    picture: Image.Image
    name: str | None = None
    path: Path | None = None
    retyped: bool = False


@dataclass(frozen=True)
class _Reader:
    channels: int
    resize: Resize
    whole_levels: bool

    def batches(self, images: ImageInput, batch_size: int) -> Iterator[ImageBatch]:
        levels, names, conversions = [], [], Conversions()
        for position, original in enumerate(self.originals(images)):
            levels.append(self.levels(original, position))
            names.append(original.name or str(position))
            conversions += self.conversions(original)
            if len(levels) == batch_size:
                yield ImageBatch(torch.stack(levels), tuple(names), conversions)
                levels, names, conversions = [], [], Conversions()
        if levels:
            yield ImageBatch(torch.stack(levels), tuple(names), conversions)

    def levels(self, original: _Original, position: int) -> Tensor:
        if original.path is not None:
            with naming_file(original.path):
                return image_to_levels(original.picture, channels=self.channels, resize=self.resize)
        try:
            return image_to_levels(original.picture, channels=self.channels, resize=self.resize)
        except DatasetError as error:
            raise DatasetError(f"image {position}: {error}") from error

    def conversions(self, original: _Original) -> Conversions:
        size, (rows, columns) = original.picture.size[::-1], self.resize.size
        grey = is_grey(original.picture)
        return Conversions(
            1,
            {} if size == (rows, columns) else {f"{size[0]} x {size[1]} -> {rows} x {columns}": 1},
            to_grey=int(self.channels == 1 and not grey),
            to_colour=int(self.channels == COLOURS and grey),
            retyped=int(original.retyped),
        )

    def originals(self, images: Any) -> Iterator[_Original]:
        """The single images of anything that is accepted."""
        if isinstance(images, str) and not images:  # of a variable that is not set, say
            raise DatasetError('an empty path names no image; "." is the current folder')
        if isinstance(images, (str, os.PathLike)):
            yield from _files(Path(images))
        elif isinstance(images, Image.Image):
            name = getattr(images, "filename", "") or None
            yield _Original(decoded(images), None if name is None else os.fsdecode(name))
        elif isinstance(images, np.ndarray) and images.dtype.kind in "UO":  # paths, or ragged
            yield from self.originals(images.tolist())
        elif isinstance(images, (np.ndarray, Tensor)):
            yield from self.arrays(images)
        elif isinstance(images, LabelledImages):
            for name, levels in zip(images.names, images.levels, strict=True):
                yield _Original(picture(levels.permute(1, 2, 0).numpy()), name)
        elif isinstance(images, Mapping):
            yield from self.originals(_image_of_sample(images))
        else:
            for item in _items(images):
                yield from self.originals(item)

    def arrays(self, images: Array | Tensor) -> Iterator[_Original]:
        """The single images of an array or tensor."""
        tensor = isinstance(images, Tensor)
        values: Array = _of_tensor(images) if isinstance(images, Tensor) else images
        kind = images.dtype  # of a tensor it may be one that NumPy lacks
        retyped = values.dtype != np.uint8
        if retyped:
            values = whole_levels(values, tensor=tensor, accepted=self.whole_levels, kind=kind)
        for image in single_images(values, tensor=tensor, chw=tensor or self.channels == COLOURS):
            yield _Original(picture(image), retyped=retyped)


def _of_tensor(images: Tensor) -> Array:
    """A tensor as an array; NumPy has no bfloat16, all of whose numbers are float32 too.

    Raises:
        TypeError: If it does not hold its numbers one by one.
    """
    if images.layout != torch.strided:
        raise TypeError(f"a tensor of the layout {images.layout} is no image; pass x.to_dense()")
    if images.is_meta:
        raise TypeError(f"a tensor on the device meta has no levels; {ACCEPTED}")
    held = images.detach().cpu()
    try:
        values: Array = held.numpy()
    except TypeError as error:
        if not held.is_floating_point():
            raise TypeError(f"a tensor of {held.dtype} is no image; {ACCEPTED}") from error
        values = held.float().numpy()
    return values


def _items(images: Any) -> Iterator[Any]:
    """The images of a data set, a loader or a list, each in any form."""
    if isinstance(images, (DataLoader, IterableDataset)):
        yield from map(_image_of_sample, images)
    elif isinstance(images, Dataset):
        yield from (_image_of_sample(images[i]) for i in range(len(images)))  # type: ignore[arg-type]
    elif isinstance(images, ImageDataset):
        raise TypeError(
            "a data set has several splits; pass one of them, such as dataset.split('test')"
        )
    elif isinstance(images, (bytes, bytearray)):
        raise TypeError("got bytes; pass PIL.Image.open(io.BytesIO(x)) for an encoded image")
    elif isinstance(images, Iterable):
        yield from map(_image_of_pair, images)
    else:
        raise TypeError(f"{type(images).__name__} is no image; {ACCEPTED}")


def _files(path: Path) -> Iterator[_Original]:
    for file in find_images(path).images if path.is_dir() else [path]:
        with naming_file(file), open_image(file) as image:
            opened = decoded(image)
        yield _Original(opened, str(file), file)


def _image_of_sample(sample: Any) -> Any:
    """The image of what a Dataset or DataLoader gives."""
    if isinstance(sample, Mapping):
        for key in IMAGE_KEYS:
            if key in sample:
                return sample[key]
        raise TypeError(
            f"a sample with the keys {', '.join(map(str, sample))} has no image; call it "
            f"{' or '.join(IMAGE_KEYS)}"
        )
    if isinstance(sample, (tuple, list)) and sample:
        return sample[0]
    return sample


def _image_of_pair(item: Any) -> Any:
    """An item of a list: an image, or an image and the number of its class."""
    if isinstance(item, (int, float, np.number)):
        raise TypeError(
            "a list of numbers is no image; pass np.array(x, dtype=np.uint8) of whole levels"
        )
    if isinstance(item, tuple) and len(item) == 2 and np.ndim(item[1]) == 0:
        label = item[1]
        if isinstance(label, (int, np.integer, Tensor)):
            return item[0]
    return item
