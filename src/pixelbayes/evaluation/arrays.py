"""Arrays of NumPy, such as a scikit-learn estimator returns, where the package works on tensors."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

__all__ = ["arrays_too", "require_indices"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32)


def arrays_too(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Makes a function of tensors take NumPy's arrays and integers as well.

    One-dimensional integers, which are labels, become int64; images keep their type.
    """

    @wraps(function)
    def taking(*args: Any, **kwargs: Any) -> Result:
        return function(*map(_tensor, args), **{name: _tensor(it) for name, it in kwargs.items()})

    return taking


def require_indices(name: str, indices: Tensor) -> None:
    """Refuses numbers that are no indices, whatever their values.

    Raises:
        TypeError: With `name`, what they are called.
    """
    if indices.is_floating_point() or indices.dtype == torch.bool:
        raise TypeError(f"{name} are indices of classes, integers, got {indices.dtype}")


def _tensor(value: Any) -> Any:
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise TypeError(
                f"expected numbers, got an array of {value.dtype}; of classes pass their indices, "
                "such as np.searchsorted(classes, labels)"
            )
        if value.ndim == 1 and value.dtype.kind in "iu":
            value = value.astype(np.int64)
        # In the order of this machine, and one that may be written to, or PyTorch warns.
        value = torch.as_tensor(np.require(value, value.dtype.newbyteorder("="), ["C", "W"]))
    if isinstance(value, Tensor) and value.ndim == 1 and value.dtype in INTEGERS:
        return value.long()
    return value
