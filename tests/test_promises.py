"""What documents and docstrings promise (promises.yaml), and the test that holds each promise.

A promise that is reworded or taken back, and a test that is renamed or removed, fail here, so that
neither is left without the other.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PROMISES = [
    (place, promise["words"], promise["test"])
    for place, promises in yaml.safe_load((TESTS / "promises.yaml").read_text("utf-8")).items()
    for promise in promises
]


def functions_in(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("place", "words", "test"), PROMISES)
def test_a_promise_stands_where_it_is_said_to_and_has_its_test(
    place: str, words: str, test: str
) -> None:
    text = re.sub(r"\s+", " ", (ROOT / place).read_text(encoding="utf-8"))
    assert words in text, "reworded or taken back"
    file, name = test.split("::")
    assert name in functions_in(TESTS / file), "the test was renamed or removed"


def test_the_package_of_the_feature_network_is_never_imported() -> None:
    for module in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(name.name.startswith("fid_helper") for name in node.names), module
            elif isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("fid_helper"), module
