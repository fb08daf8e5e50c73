"""Where a network runs, checked before anything is moved there."""

from __future__ import annotations

import torch

from pixelbayes.errors import PixelBayesError

__all__ = ["present_device"]


def present_device(device: str | torch.device) -> torch.device:
    """Returns a device that this machine has.

    >>> present_device("cpu")
    device(type='cpu')

    Raises:
        PixelBayesError: If there is no such device here, with those there are.
    """
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise PixelBayesError(f"{device!r} is no device; {_present()}") from error
    index = wanted.index or 0
    found = {
        "cpu": 1,
        "meta": 0,  # which holds no numbers
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if wanted.type not in found:  # of a build for other hardware
        try:
            torch.empty(0, device=wanted)
        except (AssertionError, NotImplementedError, RuntimeError):
            found[wanted.type] = 0
    if index >= found.get(wanted.type, index + 1):
        raise PixelBayesError(f"PyTorch finds no device {device!s} here; {_present()}")
    return wanted


def _present() -> str:
    names = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return f"choose {' or '.join(names)}"
