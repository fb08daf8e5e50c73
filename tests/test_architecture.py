"""Imports point downwards, and heavy dependencies enter by one door each."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pixelbayes

PACKAGE = Path(pixelbayes.__file__).parent
LAYERS = [
    {"cli", "app"},
    {"workflows"},
    {"training", "report"},
    {"inference", "baselines"},
    {"core", "data", "evaluation"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
DOORS = {"pytorch_lightning": {"training"}, "matplotlib": {"report"}, "monai": {"baselines"}}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def subpackage(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    here = subpackage(path)
    for module in imports(path):
        if module.startswith("pixelbayes."):
            there = module.split(".")[1]
            if there in LEVEL:
                below = LEVEL[there] > LEVEL[here] or there == here
                assert below, f"{here} must not import {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_heavy_dependency_has_one_door(path):
    for module in imports(path):
        allowed = DOORS.get(module.split(".")[0])
        if allowed is not None:
            assert subpackage(path) in allowed, f"only {allowed} may import {module}"


def test_importing_pixelbayes_stays_light():
    code = "import sys, pixelbayes; print(*(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pytorch_lightning", "matplotlib", "sklearn", "scipy", "torchmetrics", "monai"}
    assert not heavy & set(done.stdout.split())
