"""Values that strict JSON can hold."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from pixelbayes.evaluation.estimate import Estimate

__all__ = ["finite", "plain"]


def finite(x: float) -> float | None:
    """The number, or None where JSON has none for it."""
    return float(x) if math.isfinite(x) else None


def plain(value: Any) -> Any:
    """The nearest value that strict JSON knows; what it cannot hold becomes text."""
    if isinstance(value, Estimate):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Real):  # NumPy's scalars are among them
        x = int(value) if isinstance(value, numbers.Integral) else float(value)
        return x if math.isfinite(x) else str(x)
    return str(value)
