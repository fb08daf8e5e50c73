"""How a study scores generated images: the section `fid` of its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pixelbayes.evaluation.frechet import RESAMPLES
from pixelbayes.workflows.configuration import Configuration, RunError

__all__ = ["FIDConfig", "require_count"]

PROTOCOLS = ("course", "matched")


@dataclass(frozen=True, kw_only=True)
class FIDConfig(Configuration):
    """How generated images are compared with real ones; see `pixelbayes.evaluation.fid`.

    Raises:
        RunError: On construction, if a field has a value that is not accepted.
    """

    protocols: tuple[str, ...] = PROTOCOLS
    """course (samples_per_class images, 192 features) and matched (as many as real ones)."""
    dims: tuple[int, ...] = (64, 192, 2048)
    """Numbers of features of the matched protocol; those that the network lacks are left out."""
    reference_size: tuple[int, int] | None = None
    """Rows and columns of the course protocol's real images.  None: the model's own size."""
    bootstrap: int = RESAMPLES
    """Resamples of each interval."""

    def __post_init__(self) -> None:
        for name in ("protocols", "dims"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.reference_size is not None:
            object.__setattr__(self, "reference_size", tuple(self.reference_size))
        unknown = [name for name in self.protocols if name not in PROTOCOLS]
        if unknown or not self.protocols:
            raise RunError(
                f"fid.protocols are any of: {', '.join(PROTOCOLS)}; got {list(self.protocols)}"
            )
        for name, values in (("dims", self.dims), ("bootstrap", (self.bootstrap,))):
            for value in values or (None,):
                require_count(f"fid.{name}", value, 1)


def require_count(name: str, value: Any, least: int) -> None:
    """Refuses what is no whole number of at least so much.

    Raises:
        RunError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RunError(f"{name} is a whole number, {least} or more, got {value!r}")
