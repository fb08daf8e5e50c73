"""Labels as people write them, to the indices that a network takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError

__all__ = ["label_indices"]

LONGEST = 18  # digits of an index; Python reads no text of thousands of them


def label_indices(labels: Tensor | Iterable[int | str], classes: int | Sequence[str]) -> Tensor:
    """Indices of labels, each checked to be a class.

    Args:
        labels: Whole numbers of any integer type (of Python, NumPy or PyTorch) or names; one for
            each image.
        classes: Names of the classes, or how many there are where labels are numbers.  Text that
            is no name is an index in digits, unless a class has digits for a name.

    Returns:
        int64, (B,), on the device of `labels` if they are a tensor, else on the CPU.

    Raises:
        TypeError: If a label is neither a whole number nor text, or the labels are one text.
        ValueError: If there is no such class, or the labels are not one row.

    >>> label_indices(["pizza", "koala", 1], ("koala", "pizza"))
    tensor([1, 0, 1])
    """
    names = () if isinstance(classes, int) else tuple(classes)
    count = classes if isinstance(classes, int) else len(names)
    if isinstance(labels, str | bytes):
        raise TypeError(
            f"labels are a list, one for each image, got the text {labels!r}; for one image of "
            f"that class write [{labels!r}]"
        )
    if isinstance(labels, Tensor):
        if labels.dtype == torch.bool or labels.is_floating_point() or labels.is_complex():
            raise TypeError(f"labels are whole numbers, got {labels.dtype}; see torch.Tensor.long")
        if labels.ndim != 1:
            raise PixelBayesError(f"labels are one row, (images,), got shape {tuple(labels.shape)}")
        indices = labels.to(torch.int64)
    else:
        indices = torch.tensor([_index(label, names) for label in labels], dtype=torch.int64)
    wrong = indices[(indices < 0) | (indices >= count)]
    if len(wrong):
        known = f": {', '.join(names)}" if names else ""
        raise PixelBayesError(
            f"no class {int(wrong[0])}; there are {count}, 0 to {count - 1}{known}"
        )
    return indices


def _index(label: object, names: tuple[str, ...]) -> int:
    if isinstance(label, Tensor) and label.ndim == 0:
        label = label.item()
    if isinstance(label, bool) or not isinstance(label, (Integral, str)):
        raise TypeError(
            f"a label is a whole number or the name of a class, got {label!r} "
            f"({type(label).__name__})"
        )
    if isinstance(label, Integral):
        return int(label)
    if label in names:
        return names.index(label)
    digits_are_names = any(name.isdecimal() for name in names)
    number = label.isascii() and label.isdecimal() and len(label) <= LONGEST
    if number and not digits_are_names:
        return int(label)
    raise PixelBayesError(f"no class {label!r}; choose one of: {', '.join(names) or 'the indices'}")
