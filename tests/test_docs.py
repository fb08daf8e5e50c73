"""What the documents say exists: links, figures, names, commands, Python, numbers."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from benchmarks.readme import TABLES
from benchmarks.scoring import paper_log_bin
from cyclopts import CycloptsError

import pixelbayes
from pixelbayes.cli.main import COMMANDS, program
from pixelbayes.cli.options import parsed
from pixelbayes.core.likelihood import HALF_BIN, LEVELS, log_logistic_bin
from pixelbayes.workflows import RunConfig
from pixelbayes.workflows.shipped import shipped
from pixelbayes.workflows.study import StudyConfig

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "docs/[aht]*/*.md", "course/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:img|a)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
INTERVAL = re.compile(
    rf"(?:({NUMBER})(?: (?:%|points|nats|bits/dim))?\s+)?\[({NUMBER}), ({NUMBER})\]"
)
"""A number, which may stand elsewhere, and the ends of its interval."""
Interval = tuple[str, str, str]
NO_LONGER_KEPT = {
    ("2.1", "-0.8", "5.0"),
    ("1.2", "-1.7", "3.9"),
    ("-7.5", "-11.4", "-4.2"),
    ("8.5", "5.2", "11.8"),
}
"""Differences of two models on the same images of which docs/study.md says so."""
RESULTS = ROOT / "docs/results"
NAME = re.compile(r"`(pixelbayes(?:\.\w+)+)`")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def fences(document: Path, *languages: str) -> Iterator[str]:
    for language, code in FENCE.findall(document.read_text(encoding="utf-8")):
        if language in languages:
            yield code


def anchors(document: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> list[tuple[str, str]]:
    """Each `pixelbayes ...` line of a fenced block, with the document it stands in."""
    found = []
    for document in DOCUMENTS:
        for code in fences(document, "bash", "sh", "console"):
            for line in code.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words and Path(words[0]).name == "pixelbayes" and "COMMAND" not in words:
                    found.append((name_of(document), shlex.join(words[1:])))
    return found


def imported(name: str) -> Any:
    """The object of a dotted name; a field of a dataclass counts as its attribute."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:depth]))
        except ModuleNotFoundError as error:
            if not name.startswith(error.name or "?"):
                raise
            continue
        for part in parts[depth:]:
            fields = getattr(found, "__dataclass_fields__", {})
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_relative_link_and_image_exists(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    targets = ["".join(groups) for groups in LINK.findall(text)]
    missing = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = document.parent / path if path else document
        known = linked.exists() and (not anchor or anchor in anchors(linked))
        if not known:
            missing.append(target)
    assert not missing, f"{name_of(document)} links to what is not there: {missing}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_name_of_the_package_imports(document: Path) -> None:
    missing = []
    for name in set(NAME.findall(document.read_text(encoding="utf-8"))):
        try:
            imported(name)
        except (AttributeError, ModuleNotFoundError):
            missing.append(name)
    assert not missing, f"{name_of(document)} names what is not there: {sorted(missing)}"


def test_a_name_that_does_not_exist_is_caught() -> None:
    with pytest.raises(AttributeError):
        imported("pixelbayes.core.likelihood.no_such_function")
    with pytest.raises(AttributeError):
        imported("pixelbayes.core.no_such_module.function")


@pytest.mark.parametrize(("document", "line"), commands())
def test_every_command_is_understood(document: str, line: str) -> None:
    words = shlex.split(line)
    try:
        parsed(program(words[0]), words)
    except CycloptsError as error:
        pytest.fail(f"{document}: pixelbayes {line}: {error}")


def configurations() -> list[tuple[str, str]]:
    return [(name_of(d), code) for d in DOCUMENTS for code in fences(d, "yaml")]


@pytest.mark.parametrize(("document", "text"), configurations())
def test_every_configuration_is_accepted(document: str, text: str) -> None:
    kind = StudyConfig if "models:" in text else RunConfig
    assert kind.from_yaml(text, document)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_programs_that_a_document_calls_are_there(document: Path) -> None:
    called = re.findall(r"python -m (benchmarks[\w.]*|campaign)", document.read_text("utf-8"))
    assert not [name for name in {*called} if importlib.util.find_spec(name) is None]


def test_commands_recipes_and_studies_are_all_listed() -> None:
    listed = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert not [name for name in COMMANDS if f"`{name}`" not in listed]
    listed = (ROOT / "docs/configurations.md").read_text(encoding="utf-8")
    names = [*shipped("study"), *shipped("train")]
    assert not [name for name in names if f"{name}`" not in listed]


def test_the_readme_shows_how_to_train_evaluate_predict_and_sample() -> None:
    shown = {line.split()[0] for document, line in commands() if document == "README.md"}
    assert shown >= {"train", "evaluate", "predict", "sample"}
    assert shown <= set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_python_blocks_compile_and_their_imports_work(document: Path) -> None:
    for code in fences(document, "python"):
        compile(code, name_of(document), "exec")
        for module, names in re.findall(r"^from (pixelbayes[\w.]*) import ([\w, ]+)$", code, re.M):
            for name in names.split(","):
                imported(f"{module}.{name.strip()}")


def test_the_citation_has_what_readers_of_it_need_and_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    needed = {"cff-version", "message", "title", "type", "authors", "version", "license"}
    assert needed <= set(citation)
    assert citation["version"] == pixelbayes.__version__
    assert citation["license"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").lstrip().startswith("Apache License")
    for work in (citation, *citation["references"]):
        assert work["title"]
        assert work["authors"]


def tails_table() -> list[tuple[float, float, float]]:
    text = (ROOT / "docs/deviations.md").read_text(encoding="utf-8")
    section = text.partition("## How far the approximation of tails is off")[2].partition("\n## ")[
        0
    ]
    rows = re.findall(r"^\| (-\d) \| ([\d.]+) \| ([\d.]+) \|$", section, re.MULTILINE)
    return [(float(scale), float(error), float(ours)) for scale, error, ours in rows]


@pytest.mark.parametrize(("log_scale", "error", "ours"), tails_table())
def test_the_errors_of_tails_are_as_stated(log_scale: float, error: float, ours: float) -> None:
    levels = torch.arange(LEVELS, dtype=torch.float64) * 2 * HALF_BIN - 1
    means = torch.linspace(-1.5, 1.5, 301, dtype=torch.float64)
    x, mean = torch.meshgrid(levels, means, indexing="ij")
    scale = torch.tensor(log_scale, dtype=torch.float64)
    exact = log_logistic_bin(x, mean, scale)
    off = (paper_log_bin(x, mean, scale) - exact).abs().max().item()
    single = (log_logistic_bin(x.float(), mean.float(), scale.float()) - exact).abs().max().item()
    assert off == pytest.approx(error, rel=0.01)
    assert single <= ours


def test_the_documents_name_every_fusion_and_every_key_of_a_checkpoint() -> None:
    from pixelbayes.models import Metadata

    mathematics = (ROOT / "docs/mathematics.md").read_text(encoding="utf-8")
    assert not [name for name in pixelbayes.core.FUSIONS if f"| `{name}` |" not in mathematics]
    architecture = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    keys = [field.name for field in dataclasses.fields(Metadata)]
    assert not [key for key in keys if f"`{key}`" not in architecture]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.mark)
def test_a_table_of_results_in_a_document_is_made_of_the_studies_json(table) -> None:
    text = table.document.read_text(encoding="utf-8")
    assert f"<!-- {table.mark} -->\n| {table.lines()[0][0]} | " in text
    assert table.filled(text) == text, "python -m benchmarks.readme"


def measured(content: Any) -> Iterator[Interval]:
    """Every number with an interval in the JSON of a result, as it may be written."""
    if isinstance(content, str):
        yield from INTERVAL.findall(content)
    elif isinstance(content, list):
        for item in content:
            yield from measured(item)
    elif isinstance(content, dict):
        for value in content.values():
            yield from measured(value)
        numbers = [content.get("value", content.get("median")), content.get("low")]
        numbers.append(content.get("high"))
        if all(isinstance(number, (int, float)) for number in numbers):
            for scale, digits in itertools.product((1, 100), range(4)):
                value, low, high = (f"{scale * number:,.{digits}f}" for number in numbers)
                yield value, low, high


@pytest.fixture(scope="module")
def published() -> set[Interval]:
    """Numbers with intervals in all results."""
    files = [path for ending in ("json", "md") for path in RESULTS.rglob(f"*.{ending}")]
    texts = ((path.suffix, path.read_text(encoding="utf-8")) for path in files)
    contents = (json.loads(text) if suffix == ".json" else text for suffix, text in texts)
    return {found for content in contents for found in measured(content)}


@pytest.mark.parametrize("name", ["README.md", "docs/study.md", "docs/weights.md"])
def test_every_number_with_an_interval_in_a_document_is_one_that_was_measured(
    name: str, published: set[Interval]
) -> None:
    ends = {(low, high) for _, low, high in published}
    stated = INTERVAL.findall((ROOT / name).read_text(encoding="utf-8"))
    assert len(stated) > 10
    unknown = [
        found for found in stated if (found not in published if found[0] else found[1:] not in ends)
    ]
    assert {*unknown} <= NO_LONGER_KEPT


def test_the_readme_has_under_900_words() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 900


def test_the_bibtex_of_the_readme_is_that_of_the_citation() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (bibtex,) = fences(ROOT / "README.md", "bibtex")
    assert f"title = {{{citation['title']}}}" in bibtex
    assert f"version = {{{citation['version']}}}" in bibtex
    assert citation["authors"][0]["name"] in bibtex
