"""What a release is made of: workflows, forms, metadata, files of the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import pixelbayes

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
SCHEMAS = [
    ("vendor.github-workflows", ".github/workflows/*.yml"),
    ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
    ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ("vendor.citation-file-format", "CITATION.cff"),
]


NO_PART_OF_THE_TESTS = ("ruff", "mypy", "types-PyYAML")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    content = yaml.safe_load((ROOT / ".github/workflows" / workflow).read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = content["jobs"][job]["steps"]
    return found


@pytest.mark.parametrize(("schema", "files"), SCHEMAS, ids=[name for name, _ in SCHEMAS])
def test_forms_workflows_and_citation_follow_their_schemas(schema: str, files: str) -> None:
    pytest.importorskip("check_jsonschema", reason="the extra docs brings the checker")
    paths = [str(path) for path in sorted(ROOT.glob(files))]
    assert paths
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *paths]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_workflows_say_that_they_have_not_run() -> None:
    assert {path.stem for path in WORKFLOWS} == {"tests", "docs", "wheel", "release"}
    assert all("not yet run" in path.read_text(encoding="utf-8") for path in WORKFLOWS)


def test_every_python_that_is_named_is_tested() -> None:
    named = {
        found[1]
        for line in project()["project"]["classifiers"]
        if (found := re.search(r":: (3\.\d+)$", line))
    }
    text = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    pinned = yaml.safe_load(text)["jobs"]["pinned"]["strategy"]["matrix"]["python"]
    assert set(pinned) == named
    commands = [step["run"] for step in steps("tests.yml", "oldest") if "run" in step]
    assert any("--constraint constraints-oldest.txt" in command for command in commands)


def test_the_oldest_versions_are_the_bounds() -> None:
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = {
        name.lower(): version for name, _, version in (line.partition("==") for line in lines)
    }
    declared = project()["project"]
    extras = declared["optional-dependencies"]
    tried = ("training", "report", "baselines", "decisions", "hub", "test")
    needed = [*declared["dependencies"], *(one for name in tried for one in extras[name])]
    bounds = dict(re.fullmatch(r"([\w.-]+)>=([\d.]+)", one).groups() for one in needed)  # type: ignore[union-attr]
    for name, bound in bounds.items():
        if name not in NO_PART_OF_THE_TESTS:
            version = oldest[name.lower().replace("_", "-")]
            assert re.fullmatch(rf"{re.escape(bound)}(\.0)*", version), name


def test_publishing_is_trusted_and_needs_no_token() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    publish = yaml.safe_load(text)["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"]
    assert set(publish["needs"]) == {"tests", "distributions"}
    assert "secrets" not in text
    assert "password" not in text


def test_extras_that_workflows_install_exist() -> None:
    extras = set(project()["project"]["optional-dependencies"])
    texts = [path.read_text(encoding="utf-8") for path in [*WORKFLOWS, ROOT / "Makefile"]]
    asked = {
        name for text in texts for group in re.findall(r"[.)]\[([a-z,]+)\]", text)
        for name in group.split(",")
    }  # fmt: skip
    assert asked
    assert asked <= extras


@pytest.mark.skipif(sys.platform == "win32", reason="the step is written for a Unix shell")
def test_pictures_and_links_of_the_readme_are_absolute_on_an_index_page(tmp_path: Path) -> None:
    (step,) = [step for step in steps("wheel.yml", "build") if "README" in step.get("name", "")]
    readme = tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    places = {"FILES": "https://host/owner/name/blob/1234", "PICTURES": "https://raw/1234"}
    subprocess.run(
        ["bash", "-ec", step["run"]], cwd=tmp_path, env={**os.environ, **places}, check=True
    )
    text = re.sub(r"^```.*?^```$", "", readme.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    assert targets
    relative = [t for t in map("".join, targets) if not re.match(r"[a-z]+:|#", t)]
    assert not relative, f"an index page would not find {relative}"
    pictures = re.findall(r"<img[^>]* src=\"([^\"]+)\"|!\[[^]]*\]\(([^)\s]+)\)", text)
    assert all("".join(picture).startswith("https://raw/") for picture in pictures)


def test_the_wheel_holds_configurations_citation_templates_and_weights() -> None:
    wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["src/pixelbayes"]
    assert "CITATION.cff" in project()["project"]["license-files"]
    package = Path(pixelbayes.__file__).parent
    for pattern in ("configs/*.yaml", "report/templates/*.jinja", "pretrained/*/*.safetensors"):
        assert list(package.glob(pattern)), pattern


def test_no_committed_file_is_large() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", ":!docs/results", ":!src/pixelbayes/pretrained"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("no git repository")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    large = [path.name for path in files if path.is_file() and path.stat().st_size > 400_000]
    assert not large


def test_no_result_names_a_folder_of_the_machine_that_made_it() -> None:
    folder = re.compile(r"(?<![\w.-])/(root|work|home|tmp)/\w")
    texts = [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".json", ".md", ".csv"}]
    assert texts
    named = {
        path.relative_to(ROOT).as_posix(): found[0]
        for path in texts
        if (found := folder.search(path.read_text(encoding="utf-8")))
    }
    assert not named
