"""Loading and predicting needs the base dependencies only; an extra that is missing is named."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pixelbayes
from pixelbayes.errors import EXTRAS

WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""
VERBS = """
import numpy as np, pixelbayes
model = pixelbayes.load()
photo = np.zeros((64, 64, 3), np.uint8)
print(model.predict(photo)[0].label, model(photo, top_k=1), model.predict_proba(photo).shape)
print(model.score_samples(photo), model.bits_per_dim(photo), model.log_likelihood(photo, "koala"))
mask = np.zeros((32, 32), bool)
mask[31, 30:] = True
print(model.complete(photo, "koala", mask=mask))
model.save({folder!r})
pixelbayes.load({folder!r})
"""


def run(code: str, blocked: set[str]) -> subprocess.CompletedProcess[str]:
    """Runs a program in which no module of these names can be imported."""
    code = WITHOUT.format(blocked=blocked) + code
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_model_is_loaded_and_used_without_any_extra(tmp_path: Path) -> None:
    done = run(VERBS.format(folder=str(tmp_path / "copy")), set(EXTRAS))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "{photo}"],
        ["score", "{photo}"],
        ["info", "cpen455-gated"],
        ["complete", "{photo}", "--rows", "31"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_command_line_predicts_scores_and_draws_without_any_extra(
    arguments: list[str], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(photo)
    words = [word.format(photo=photo) for word in arguments]
    if words[0] == "complete":
        words += ["--class", "koala", "--output", str(tmp_path / "drawn.png")]
    done = run(f"from pixelbayes.cli.main import main\nsys.exit(main({words!r}))", set(EXTRAS))
    assert done.returncode == 0, done.stderr


def test_what_needs_an_extra_names_it() -> None:
    train = (
        "from pixelbayes.workflows import RunConfig\nfrom pixelbayes.workflows.train import train\n"
    )
    programs = {
        "import pixelbayes\npixelbayes.PixelBayesClassifier": ("sklearn", "training"),
        f"{train}train(RunConfig(), 'nowhere')": ("pytorch_lightning", "training"),
        "import pixelbayes\npixelbayes.load().push_to_hub('a/b')": ("huggingface_hub", "hub"),
    }
    for program, (module, extra) in programs.items():
        done = run(program, {module})
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("pixelbayes.errors.MissingPackageError: this needs"), done.stderr
        assert f"pip install 'pixelbayes[{extra}]'" in last


def test_a_module_that_is_not_always_there_is_one_whose_extra_is_named() -> None:
    always = {"torch", "numpy", "PIL", "cyclopts", "docstring_parser", "cattrs", "yaml", "rich"}
    always |= {"safetensors", "scipy", "pixelbayes", *sys.stdlib_module_names}
    imported = set()
    for path in Path(pixelbayes.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    assert {"gradio", "torch"} <= imported
    assert imported - always <= set(EXTRAS)


def test_every_extra_is_declared() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer")
    project = Path(__file__).parents[1] / "pyproject.toml"
    declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = declared["optional-dependencies"]
    assert set(EXTRAS.values()) <= set(extras)
    base = " ".join(declared["dependencies"]).lower()
    for module in EXTRAS:
        assert module.replace("_", "-") not in base
    assert torch.__version__
