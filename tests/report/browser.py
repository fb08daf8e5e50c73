"""Opens pages of ours in Chromium and looks for what a reader would stumble over.

    python tests/report/browser.py [PAGE.html ...]

Each page is opened at the widths of a telephone and a desk, in the light and in the dark, and on
paper: axe-core finds faults of accessibility (contrast, names, order, roles), and what the page
fetched, logged or let stick out on the right is noted.  Without arguments: the report of the demo
(runs/demo, made by `make demo`) and the page of the small study, made anew of its JSON.  The
result is docs/results/accessibility.md; the exit status is 1 where there is a fault.

Needs the extra `docs` and a Chromium: $CHROMIUM, or one on the path.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from pixelbayes.report import load_result, write_study
from pixelbayes.workflows.provenance import commit

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "docs/results/accessibility.md"
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass
class Visit:
    """One page at one width in one scheme."""

    page: str
    width: int
    scheme: str
    passed: int
    faults: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Visits the pages and writes what was found."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as play:
        pages = [Path(name) for name in arguments] or [
            ROOT / "runs/demo/report.html",
            study_page(Path(scratch)),
        ]
        browser = play.chromium.launch(executable_path=find_browser())
        visits, version = [], ""
        for page in pages:
            for width in WIDTHS:
                for scheme in SCHEMES:
                    visit, version = look_at(browser, page.resolve(), width, scheme)
                    visits.append(visit)
        about = f"axe-core {version}, Chromium {browser.version}"
        browser.close()
    RESULT.write_text(written(visits, about), encoding="utf-8")
    faults = [fault for visit in visits for fault in visit.faults]
    sys.stdout.write(f"{len(visits)} visits, {len(faults)} faults: {RESULT}\n")
    return 1 if faults else 0


def find_browser() -> str:
    """The browser that is driven."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit("no Chromium found; install one, or say in $CHROMIUM where it is")
    return found


def study_page(folder: Path) -> Path:
    """The page of the small study, from its results."""
    results = [
        load_result(path) for path in sorted((ROOT / "docs/results/cpen455-small").glob("*.json"))
    ]
    about = {"command": "pixelbayes study cpen455-small"}
    page, *_ = write_study(
        folder, results, title="The small study", published="cpen455", provenance=about
    )
    return page


def look_at(browser: Browser, path: Path, width: int, scheme: Any) -> tuple[Visit, str]:
    """One visit, and the version of axe-core."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    logged: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.goto(path.as_uri())
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = Axe().run(page).response
    name = page.title()
    visit = Visit(name, width, scheme, len(found["passes"]))
    visit.faults = [described(rule) for rule in found["violations"]]
    visit.unsure = [described(rule) for rule in found["incomplete"]]
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        visit.faults.append(f"the page is {wide} pixels wide")
    visit.faults += [
        f"fetched {url[:80]}" for url in asked if not url.startswith(("file:", "data:"))
    ]
    visit.faults += [f"logged {text[:80]}" for text in logged]
    page.close()
    return visit, found["testEngine"]["version"]


def described(rule: dict[str, Any]) -> str:
    """A rule of axe-core with the places where it speaks up."""
    places = [str(node["target"][0]) for node in rule["nodes"]]
    return f"{rule['id']} ({rule['impact']}): {len(places)} places, such as `{places[0][:80]}`"


def written(visits: list[Visit], about: str) -> str:
    """The result as Markdown."""
    rows = [
        f"| {v.page} | {v.width} | {v.scheme} | {v.passed} | {len(v.faults)} | {len(v.unsure)} |"
        for v in visits
    ]
    lines = [
        "# Accessibility of the pages",
        "",
        f"`python tests/report/browser.py` at commit {commit() or 'unknown'}: {about}.",
        "Every fold was open. A fault is a rule of axe-core that is broken, a page wider than the",
        "window, a request to another machine, or a message in the browser's log; what axe-core",
        "cannot decide by itself is listed below and was looked at.",
        "",
        "| page | width | scheme | rules passed | faults | to be looked at |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    for title, kind in (("Faults", "faults"), ("To be looked at", "unsure")):
        where: dict[str, list[str]] = {}
        for visit in visits:
            for text in getattr(visit, kind):
                where.setdefault(text, []).append(f"{visit.page} {visit.width} {visit.scheme}")
        lines += ["", f"## {title}", ""]
        lines += [f"* {text}. {'; '.join(places)}." for text, places in where.items()] or ["None."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
