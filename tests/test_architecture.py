"""Imports point downwards and in no circle, and heavy dependencies enter by one door each."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pixelbayes

PACKAGE = Path(pixelbayes.__file__).parent
LAYERS = [
    {"__main__"},
    {"cli"},
    {"app", "estimator"},
    {"workflows"},
    {"training", "report"},
    {"models"},
    {"inference"},
    {"core", "data", "evaluation"},
    {"io", "switches", "templates"},
    {"errors"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
DOORS = {
    "pytorch_lightning": {"training"},
    "matplotlib": {"report"},
    "monai": {"models"},
    "diffusers": {"models"},
    "safetensors": {"models"},
    "cattrs": {"io"},
    "jinja2": {"templates"},
    "gradio": {"app"},
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
NOT_THE_FIELDS_WORDS = {
    "painter",
    "contenders",
    "judge",
    "pieces",
    "recorded",
    "marks",
    "listings",
    "call",
    "ship",
    "comparing",
    "told",
    "beginning",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def import_statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All that are executed at some time: deferred ones, and none for the type checker alone."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.orelse:
            yield from import_statements(child)
        return
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from import_statements(child)


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports; `from package import module` is the module."""
    for node in import_statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def layer(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    here = layer(module_name(path))
    assert here in LEVEL, f"{here} has no layer"
    for module in imports(path):
        if module.startswith("pixelbayes."):
            there = layer(module)
            below = there in LEVEL and LEVEL[there] > LEVEL[here]
            assert below or there == here, f"{here} must not import {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_heavy_dependency_has_one_door(path):
    for module in imports(path):
        allowed = DOORS.get(module.split(".")[0])
        if allowed is not None:
            assert layer(module_name(path)) in allowed, f"only {allowed} may import {module}"


def test_no_import_is_in_a_circle_deferred_ones_included():
    graph = {
        name: {module for module in imports(path) if module in MODULES}
        for name, path in MODULES.items()
    }
    assert any(graph.values())
    TopologicalSorter(graph).prepare()  # names the circle in its error


def names_in(module: str) -> Iterator[str]:
    """The module itself, its classes and functions, and its constants."""
    yield module
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        named = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if named and not node.name.startswith("__"):
            yield f"{module}.{node.name}"
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [*targets, *([node.target] if isinstance(node, ast.AnnAssign) else [])]
        yield from (f"{module}.{it.id}" for it in targets if isinstance(it, ast.Name))


def test_nothing_has_a_name_that_one_must_be_told():
    found = {
        name
        for module in MODULES
        for name in names_in(module)
        if name.split(".")[-1].strip("_").lower() in NOT_THE_FIELDS_WORDS
    }
    assert not found


def test_importing_pixelbayes_stays_light():
    code = "import sys, pixelbayes; print(*(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pytorch_lightning", "matplotlib", "sklearn", "scipy", "torchmetrics", "monai"}
    assert not heavy & set(done.stdout.split())


def test_the_model_itself_needs_torch_and_nothing_else():
    core = [path for path in FILES if layer(module_name(path)) == "core"]
    assert core
    packages = {module.split(".")[0] for path in core for module in imports(path)}
    assert packages - {"torch", "pixelbayes", *sys.stdlib_module_names} == set()
