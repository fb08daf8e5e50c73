"""Exceptions survive the way from a process of a pool to the one that waits for it."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import pixelbayes
from pixelbayes.data import ImageFileError
from pixelbayes.errors import PixelBayesError
from pixelbayes.training import DivergedError, RunStopped

MADE = {
    ImageFileError: ImageFileError(Path("a.png"), "is damaged"),
    DivergedError: DivergedError(7, 0.01),
    RunStopped: RunStopped("signal", 7),
}
"""Those that are made of something else than a message."""


def exceptions() -> Iterator[type[BaseException]]:
    """All that this package defines."""
    found = set()
    for module in pkgutil.walk_packages(pixelbayes.__path__, "pixelbayes."):
        if module.name.endswith("__main__") or ".pretrained" in module.name:
            continue
        try:
            members = vars(importlib.import_module(module.name))
        except ModuleNotFoundError:  # an extra that is not installed
            continue
        found |= {
            it
            for it in members.values()
            if inspect.isclass(it)
            and issubclass(it, BaseException)
            and it.__module__ == module.name
        }
    yield from sorted(found, key=lambda it: it.__qualname__)


@pytest.mark.filterwarnings("ignore")
def test_every_exception_of_this_package_can_be_pickled() -> None:
    kinds = list(exceptions())
    assert {ImageFileError, DivergedError, RunStopped, PixelBayesError} <= {*kinds}
    for kind in kinds:
        error = MADE[kind] if kind in MADE else kind("what came, what is accepted")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again) == vars(error)
