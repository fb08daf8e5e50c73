"""Where a model runs, as an option."""

from __future__ import annotations

from pixelbayes.errors import PixelBayesError

__all__ = ["resolve"]


def resolve(device: str) -> str:
    """Turns auto into cuda or cpu.

    Raises:
        ValueError: If cuda was asked for and there is none.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise PixelBayesError("--device cuda: PyTorch finds no CUDA GPU here; use --device cpu")
    return device
