"""Claims about the report as a web page."""

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pixelbayes.report import Report, ReportError
from pixelbayes.report.render import report_html
from pixelbayes.report.report_figures import FEWEST_IN_BIN

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


def test_the_page_is_well_formed_and_says_what_it_is(report: Report, rendered: str) -> None:
    page = Page(rendered)

    assert rendered.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) == len(page.all("h1")) == 1
    assert report.title in page.words


def test_the_page_needs_nothing_from_outside(rendered: str) -> None:
    sources = [attributes["src"] or "" for attributes in Page(rendered).all("img")]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert Page(rendered).all("script") == [{}], "one, with its text in the page"
    assert not Page(rendered).all("link")
    assert not re.search(r"url\((?!#)", rendered), "but for clip paths of its own figures"
    assert "@import" not in rendered


def test_every_image_has_a_text_alternative(rendered: str) -> None:
    assert all(attributes["alt"] for attributes in Page(rendered).all("img"))


def test_every_table_names_its_rows_or_columns(rendered: str) -> None:
    page = Page(rendered)

    assert len(page.all("table")) >= 7
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))


def test_the_headline_numbers_carry_their_intervals(report: Report, rendered: str) -> None:
    words = Page(rendered).words
    test = report.splits["test"]

    value, interval = report.accuracy.brief.split(" [")
    assert value in words
    assert f"95 % interval [{interval}" in words
    assert test.measures["bits_per_dim"].brief in words
    assert f"{100 * test.measures['ece/calibrated'].value:.1f} %" in words


def test_names_from_the_report_are_escaped(report: Report) -> None:
    evil = '"><script>alert(1)</script>'
    samples = {evil: report.samples["class 0"]}
    poisoned = replace(
        report,
        title=evil,
        classes=[evil, "b", "c", "d"],
        samples=samples,
        notes=[evil],
        model={evil: evil},
        provenance={"command": evil, "commit": evil},
    )

    page = Page(report_html(poisoned))

    assert page.all("script") == [{}], "that of the gallery"
    assert evil in page.words


def test_small_images_are_enlarged_by_a_whole_factor_and_without_smoothing(rendered: str) -> None:
    pixels = [a for a in Page(rendered).all("img") if a.get("class") == "pixels"]

    assert {(a["width"], a["height"]) for a in pixels} == {("48", "48")}
    assert "image-rendering: pixelated" in rendered


def test_every_sample_of_every_class_is_shown(report: Report, rendered: str) -> None:
    assert all(png in rendered for images in report.samples.values() for png in images)


def test_the_most_confidently_wrong_images_are_shown_with_both_classes(
    report: Report, rendered: str
) -> None:
    words = Page(rendered).words

    for wrong in report.splits["test"].most_confidently_wrong:
        assert wrong.name in words
        assert f"{report.classes[wrong.predicted]}, in truth {report.classes[wrong.true]}" in words
        assert f"{100 * max(wrong.probabilities):.1f} %" in words


def test_errors_stand_there_without_a_script_and_carry_what_it_sorts_by(
    report: Report, rendered: str
) -> None:
    page = Page(rendered)
    items = [a for a in page.all("li") if "data-classes" in a]
    wrong = [w for split in report.splits.values() for w in split.most_confidently_wrong]
    assert sorted(a["data-classes"] or "" for a in items) == sorted(
        f"{w.true} {w.predicted}" for w in wrong
    )
    assert {float(a["data-bits"] or 0) for a in items} == {w.bits_per_dim for w in wrong}
    assert not [a for a in items if "hidden" in a]
    assert all("hidden" in a for a in page.all("form")), "of no use without the script"
    assert len(page.all("form")) == len(report.splits)


def test_evidence_stands_beside_an_error_and_says_between_which_classes(
    report: Report, rendered: str
) -> None:
    alternatives = {a["alt"] for a in Page(rendered).all("img")}
    for wrong in report.headline.most_confidently_wrong:
        assert wrong.evidence in rendered
        answer, truth = report.classes[wrong.predicted], report.classes[wrong.true]
        assert f"where it speaks for {answer} and where for {truth}" in alternatives


def test_completions_and_the_training_images_nearest_to_samples_are_shown(
    report: Report, rendered: str
) -> None:
    shown = [png for of_class in report.nearest_images.values() for png in of_class]
    assert shown
    for one in report.completions:
        shown += [one.image, *one.completions]
    assert all(png in rendered for png in shown)
    assert "It finishes pictures" in Page(rendered).words


def test_the_share_of_errors_among_the_surer_half_is_told_in_words(
    report: Report, rendered: str
) -> None:
    curve = report.headline.risk_coverage
    assert curve is not None
    half = curve.risk[curve.coverage.index(0.5)]
    assert f"of the surer half of them, {100 * half:.1f} %" in Page(rendered).words


def test_images_in_bins_without_a_point_are_counted(report: Report, rendered: str) -> None:
    curve = report.headline.reliability["raw"]
    few = sum(n for n in curve.count if n < FEWEST_IN_BIN)
    assert f"{few} of {report.headline.n} images (raw)" in Page(rendered).words


def test_the_page_follows_dark_mode_and_fits_a_telephone(rendered: str) -> None:
    assert "prefers-color-scheme: dark" in rendered
    assert 'content="width=device-width' in rendered
    unwrapped = re.findall(r'(?<!">)<table', re.sub(r"\s+<table", "<table", rendered))
    assert not unwrapped, "a wide table scrolls in its box instead of widening the page"


def test_without_matplotlib_the_page_says_how_to_get_the_figures(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.meta_path", [NoMatplotlib(), *sys.meta_path])

    page = Page(report_html(report))

    assert "pip install 'pixelbayes[report]'" in page.words
    assert str(report.splits["test"].n) in page.words, "the numbers are there all the same"


class NoMatplotlib:
    """An import system in which matplotlib is not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_report_with_the_least_content_is_a_page(report: Report) -> None:
    bare = replace(
        report,
        temperature=None,
        splits={"test": replace(report.splits["test"], most_confidently_wrong=[])},
        curves={},
        samples={},
        model={},
        data={},
        training={},
        provenance={},
        notes=[],
    )

    words = Page(report_html(bare)).words

    assert "No temperature was fitted" in words
    assert "enerated images" not in words


def test_an_image_that_is_no_png_is_refused(report: Report) -> None:
    with pytest.raises(ReportError, match=r"not a PNG in base64.*make it with png_base64"):
        report_html(replace(report, samples={"class 0": ["R0lGODlhAQABAAAAACw="]}))
