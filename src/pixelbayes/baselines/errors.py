"""Why a baseline cannot be used."""

from __future__ import annotations

__all__ = ["BaselineError"]


class BaselineError(ValueError):
    """A baseline cannot be built or used, with the reason and what to do."""
