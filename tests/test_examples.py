"""The code of the documents runs: Python in one piece for each document, commands one by one.

It runs in a folder that holds what the documents speak of: a demo, photos, a digit, a mask.  The
models are tiny and hardly trained, and commands that train are told to be quick.  The pages of
`docs/tutorials` run when the site is built.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelbayes.cli.main import main
from pixelbayes.training import TrainingConfig
from pixelbayes.workflows import DataConfig, NetworkConfig, RunConfig
from pixelbayes.workflows.demo import MARK
from pixelbayes.workflows.train import train

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = ("README.md", "docs/*.md", "docs/howto/*.md")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

NOT_RUN = {
    "app": "is tested in a browser, tests/app",
    "demo": "is tested in tests/cli/test_demo.py",
    "study": "takes minutes to days; tested in tests/cli/test_study.py",
}
DOWNLOADS = ("--data cpen455", "--data cifar10", "hf:")
QUICK = {
    "train": "--epochs 1 --features 2 --mixtures 1 --embedding 2 --accuracy-images 0 --limit 8",
    "evaluate": "--samples-per-class 1",
    "audit": "--folds 2 --epochs 1",
    "compress": "--model runs/demo",
    "decompress": "--model runs/demo",
    "test": "--model runs/demo",
}
NEEDS = {"compress": "constriction", "decompress": "constriction", "test": "constriction"}
"""Packages of extras, without which a command is not run."""
QUICK_FROM_WEIGHTS = "--epochs 1 --accuracy-images 0 --limit 4"
QUICK_PYTHON = {"PixelBayesClassifier(": "PixelBayesClassifier(epochs=1, features=2, "}
FRAGMENTS = ("config = RunConfig(",)
"""Python that trains at its full size and is tested elsewhere."""


def has_code(document: Path) -> bool:
    return any(language == "python" or any(commands(code)) for language, code in code_of(document))


def code_of(document: Path) -> list[tuple[str, str]]:
    """Language and text of each block that can be run."""
    found = FENCE.findall(document.read_text(encoding="utf-8"))
    return [(language, code) for language, code in found if language in ("bash", "python", "yaml")]


def commands(code: str) -> Iterator[list[str]]:
    """Those lines of a block that call us and are not tested elsewhere."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["pixelbayes"] or words[1] in NOT_RUN:
            continue
        if not any(mark in line for mark in DOWNLOADS):
            yield words[1:]


def run_command(words: list[str]) -> None:
    if words[0] == "train" and "--resume" in words:
        return  # the run before it was told to be quick, so it is finished
    if words[0] in NEEDS:
        pytest.importorskip(NEEDS[words[0]], reason="the extra of this command is not installed")
    quick = QUICK_FROM_WEIGHTS if "--init-from" in words else QUICK.get(words[0], "")
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        status = main([*words, *shlex.split(quick)])
    assert status == 0, f"{shlex.join(words)}: {err.getvalue()}"


def image(path: Path, side: int, seed: int, mode: str = "RGB") -> None:
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    levels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the documents name."""
    folder = tmp_path_factory.mktemp("documents")
    config = RunConfig(
        data=DataConfig(data="digits", limit=100),
        network=NetworkConfig(features=2, mixtures=1, embedding=2),
        training=TrainingConfig(epochs=1, accuracy_images=0),
    )
    train(config, folder / "runs/demo", progress=False)
    (folder / "runs/demo" / MARK).touch()
    image(folder / "photo.jpg", 40, 0)
    image(folder / "digit.png", 8, 1, "L")
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 2:5] = 255
    Image.fromarray(mask).save(folder / "hole.png")
    for k, name in enumerate(("cat", "dog")):
        for i in range(14):
            image(folder / f"photos/{name}/{i}.png", 32, 100 * k + i)
        image(folder / f"new-photos/{name}.png", 32, 1000 + k)
    return folder


DOCUMENTS = [
    document
    for pattern in PATTERNS
    for document in sorted(ROOT.glob(pattern))
    if has_code(document)
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_code_of_a_document_runs_in_its_order(
    document: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "place"))
    names: dict[str, object] = {"__name__": "document"}
    for language, code in code_of(document):
        if language == "yaml":
            if named := re.match(r"# (\S+\.yaml)\n", code):
                Path(named[1]).write_text(code, encoding="utf-8")
        elif language == "bash":
            for words in commands(code):
                run_command(words)
        elif not any(mark in code for mark in FRAGMENTS):
            quick = code
            for full, small in QUICK_PYTHON.items():
                quick = quick.replace(full, small)
            exec(compile(quick, document.name, "exec"), names)


def test_what_is_not_run_is_really_named_in_the_documents() -> None:
    documents = [document for pattern in PATTERNS for document in ROOT.glob(pattern)]
    text = "".join(code for document in documents for _, code in code_of(document))
    assert all(f"pixelbayes {command}" in text for command in NOT_RUN)
