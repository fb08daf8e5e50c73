"""Claims about the files of a study: pages, README, figures."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pixelbayes.report import ModelResult, ReportError, write_study

pytest.importorskip("matplotlib")
Make = Callable[..., ModelResult]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects tags and text, and checks that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def write(folder: Path, results: list[ModelResult], **changes: Any) -> list[Path]:
    content: dict[str, Any] = {"title": "Study", "provenance": {"command": "pixelbayes study"}}
    return write_study(folder, results, **(content | changes))


def texts(svg: Path) -> list[str]:
    root = ElementTree.fromstring(svg.read_text("utf-8"))
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_page_is_well_formed_and_needs_nothing_from_outside(written: Path) -> None:
    text = (written / "index.html").read_text("utf-8")
    page = Page(text)

    sources = [attributes["src"] or "" for attributes in page.all("img")]
    assert all(source.startswith("data:image/") for source in sources)
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert not page.all("script") + page.all("link")
    assert len(page.all("table")) == text.count('role="region"'), "wide tables scroll"
    assert not re.findall(r"url\((?!#)", text)


def test_links_inside_the_page_lead_somewhere(written: Path) -> None:
    page = Page((written / "index.html").read_text("utf-8"))
    targets = {attributes.get("id") for _, attributes in page.tags}

    links = [attributes["href"] or "" for attributes in page.all("a")]
    assert links
    assert all(link.removeprefix("#") in targets for link in links)


def test_the_qualitative_page_has_a_row_for_each_model_and_every_sample(
    written: Path, study: list[ModelResult]
) -> None:
    text = (written / "index.html").read_text("utf-8")

    assert all(png in text for images in study[0].samples.values() for png in images)
    assert {"early", "gated", "late", "film", "koala", "red_fox"} <= {
        *re.findall(r'<th scope="\w+">([^<]+)</th>', text)
    }


def test_every_link_of_the_readme_leads_to_a_file(written: Path) -> None:
    text = (written / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)

    assert any(link.startswith("figures/training-gated") for link in links)
    assert all((written / link).is_file() for link in links)


def test_the_command_and_the_commit_stand_on_each_page_and_in_each_latex_table(
    written: Path,
) -> None:
    readme = (written / "README.md").read_text("utf-8")
    assert "`pixelbayes study configs/study-cpen455.yaml` · commit 3f2c1aa" in readme
    tables = list((written / "tables").iterdir())
    assert {path.suffix for path in tables} == {".tex"}
    assert all("commit 3f2c1aa" in path.read_text("utf-8") for path in tables)


def test_figures_name_models_units_and_the_floor(written: Path) -> None:
    figures = written / "figures"

    assert {"accuracy, %", "published", "gated-long", "resnet18"} <= {
        *texts(figures / "accuracy.svg")
    }
    assert {"FID course-192", "real images (floor)"} <= {*texts(figures / "fid-course-192.svg")}
    assert {"validation bits / dim", "epoch", "film"} <= {*texts(figures / "bits_per_dim.svg")}
    both = texts(figures / "accuracy-bits_per_dim.svg")
    assert {"validation accuracy, %", "validation bits / dim", "gated-long"} <= {*both}
    assert "resnet18" not in both, "it has no code length"
    assert {"bits / dim", "train"} <= {*texts(figures / "training-gated-bits_per_dim.svg")}
    assert "FID course-192" in texts(figures / "training-gated-fid.svg")
    assert "log-loss, nats" in texts(figures / "training-resnet18-log_loss.svg")


def test_an_unfinished_model_is_marked_on_the_page(written: Path) -> None:
    words = Page((written / "index.html").read_text("utf-8")).words

    assert "12 epochs (training not finished)" in words
    assert "late †" in words


def test_a_model_that_was_not_trained_here_has_no_epochs(make: Make, tmp_path: Path) -> None:
    taken = replace(make("gated"), epochs=0, best_epoch=0, training_seconds=0.0)
    text = write(tmp_path, [taken, make("late")])[0].read_text(encoding="utf-8")
    assert "Seed 0: taken as it was, or put together of others." in text
    assert ": 0 epochs" not in text


def test_the_samples_of_kept_epochs_are_files_and_stand_in_order(written: Path) -> None:
    text = (written / "README.md").read_text("utf-8")

    assert (written / "figures" / "samples-early-epoch-0005.png").read_bytes()[1:4] == b"PNG"
    assert "| epoch 5 | epoch 75 |" in text


def test_the_least_result_gives_a_study(make: Make, tmp_path: Path) -> None:
    bare = ModelResult(
        name="gated",
        kind="pixelcnn",
        seed=0,
        fusion="gated",
        parameters=7,
        epochs=0,
        best_epoch=0,
        reason="unfinished",
    )

    paths = write(tmp_path, [bare], provenance={})

    assert paths[0] == tmp_path / "index.html"
    assert all(path.is_file() for path in paths)
    assert "One model." in (tmp_path / "README.md").read_text("utf-8")


def test_writing_again_gives_the_same_bytes(make: Make, tmp_path: Path) -> None:
    results = [make("early", epochs=6)]

    first = {path.name: path.read_bytes() for path in write(tmp_path / "a", results)}
    second = {path.name: path.read_bytes() for path in write(tmp_path / "b", results)}

    assert first == second


def test_names_are_escaped_on_every_page(make: Make, tmp_path: Path) -> None:
    evil = "<script>alert(1)<script>"
    result = make("film", epochs=3, samples={evil: make("film").samples["owl"]}, notes=[evil])

    write(tmp_path, [result], title=evil, provenance={"command": evil, "commit": evil})

    assert not Page((tmp_path / "index.html").read_text("utf-8")).all("script")
    readme = re.sub("`[^`]*`", "", (tmp_path / "README.md").read_text("utf-8"))
    assert not re.findall(r"(?<!\\)<", readme)


def test_nothing_and_doubles_are_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one result"):
        write(tmp_path, [])
    with pytest.raises(ValueError, match=r"several of gated \(seed 0\)"):
        write(tmp_path, [make("gated"), make("gated")])


def test_an_image_that_is_no_png_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="make it with png_base64"):
        write(tmp_path, [make("gated", curves={}, epoch_scores=[], samples={"owl": ["R0lGODlh"]})])


def test_without_matplotlib_the_tables_are_written_and_the_page_says_how_to_get_figures(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.meta_path", [NoMatplotlib(), *sys.meta_path])

    paths = write(tmp_path, [make("gated")])

    assert tmp_path / "tables" / "table1.tex" in paths
    assert not list(tmp_path.rglob("*.svg"))
    assert (
        "pip install 'pixelbayes[report]'"
        in Page((tmp_path / "index.html").read_text("utf-8")).words
    )


class NoMatplotlib:
    """An import system in which matplotlib is not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
