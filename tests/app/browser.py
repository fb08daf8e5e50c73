"""The page as people use it, in a real browser: `make app-test`.

Needs Chromium (found on the path, or named by PIXELBAYES_BROWSER) and the package playwright, and
fails where there is none.  Pictures of each tab are left in docs/images, and all of them, at each
width, light and dark, in the folder that PIXELBAYES_PICTURES names, to be looked at.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright, expect, sync_playwright

import pixelbayes
from pixelbayes.data import write_png

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "images"
DIGITS = ROOT / "tests" / "frozen" / "run-0.1"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 1000.0
PATIENCE = 120 * SECONDS  # of one answer, on a busy machine
SOFTWARE_GL = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
COLOURS = 160  # of a picture's palette
SHOWN = (
    "classify-1280-light",
    "classify-390-dark",
    "create-390-dark",
    "complete-1280-light",
    "complete-390-dark",
    "folder-1280-light",
)
"""Pictures that the documents show: few, since each stays in the history."""
WIDTHS, SCHEMES = (1280, 390), ("light", "dark")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a page with the shipped model and a run on digits."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(DIGITS, folder / "runs" / "digits")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "pixelbayes", "app", "--port", port]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    assert page.stdout is not None
    try:
        yield page.stdout.readline().strip()
    finally:
        page.send_signal(signal.SIGINT)
        assert page.wait(60) == 130
        page.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = os.environ.get("PIXELBAYES_BROWSER") or next(filter(None, map(shutil.which, NAMES)), "")
    if not found:
        pytest.fail("no Chromium: install one, or name it by PIXELBAYES_BROWSER")
    with sync_playwright() as playwright:
        yield started(playwright, found)


def started(playwright: Playwright, executable: str) -> Browser:
    return playwright.chromium.launch(executable_path=executable, args=SOFTWARE_GL)


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the page as somebody; at the end, nobody's browser has asked another machine."""
    asked: list[str] = []
    faults: list[str] = []
    contexts = []

    def open_page(width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        expect(page.get_by_role("tab", name="Classify")).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".pb-examples img").first).to_be_visible(timeout=PATIENCE)
        return page

    yield open_page
    for context in contexts:
        context.close()
    elsewhere = {url for url in asked if not url.startswith((address, "data:", "blob:"))}
    assert asked
    assert not elsewhere
    assert not faults


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what the model draws, and of what is no photo or too large a one."""
    folder = tmp_path_factory.mktemp("photos")
    model = pixelbayes.load()
    levels = model.draw(torch.arange(4).repeat(2), torch.Generator().manual_seed(2))
    for number, image in enumerate(levels):
        name = model.classes[number % 4].replace(" ", "-")
        write_png(image, folder / f"{name}-{number}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing of the kind")
    Image.new("L", (9000, 8000), 128).save(folder / "huge.png")  # 72 megapixels
    return folder


def tab(page: Page, name: str) -> Locator:
    page.get_by_role("tab", name=name).click()
    return here(page)


def here(page: Page) -> Locator:
    """The panel that is shown."""
    return page.locator("[role=tabpanel]:visible")


def wait_for(page: Page, selector: str) -> None:
    expect(here(page).locator(selector).first).to_be_visible(timeout=PATIENCE)


def fits(page: Page) -> None:
    """Nothing has to be scrolled sideways to be read."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def picture(page: Page, name: str) -> None:
    """Keeps a picture of the page, if it is one of the documents' or all are asked for."""
    every = os.environ.get("PIXELBAYES_PICTURES")
    folders = [PICTURES] * (name in SHOWN) + ([Path(every)] if every else [])
    if not folders:
        return
    page.mouse.move(2, 2)
    page.evaluate("document.activeElement?.blur()")
    page.wait_for_timeout(400)
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as taken:
        palette = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        palette.save(folder / f"app-{name}.png", optimize=True)


def levels_of(image: Locator) -> np.ndarray:
    """Pixels of a picture in the page, as they would be saved."""
    uri = image.get_attribute("src") or ""
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))) as opened:
        return np.asarray(opened)


def drawn_by_the_model(label: int, count: int, seed: int) -> np.ndarray:
    labels = torch.full((count,), label)
    levels = pixelbayes.load().draw(labels, torch.Generator().manual_seed(seed))
    return levels.permute(0, 2, 3, 1).numpy()


def choose(page: Page, label: str, value: str) -> None:
    """Picks from a list."""
    here(page).get_by_label(label, exact=True).click()
    page.get_by_role("option", name=value, exact=True).click()


def paint(page: Page) -> None:
    """A stroke of the brush across the middle."""
    canvas = here(page).locator(".pb-editor canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)  # the picture flies in
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 60, y)
    page.mouse.down()
    for step in range(25):
        page.mouse.move(x - 60 + 5 * step, y + 12 * (step % 3))
    page.mouse.up()
    page.wait_for_timeout(800)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_all_four_tabs_as_a_person_uses_them(visit, photos, width, scheme):
    page = visit(width, scheme)
    fits(page)

    here(page).locator("input[type=file]").set_input_files(photos / "koala-2.png")
    wait_for(page, ".pb-why")
    expect(here(page).locator(".pb-headline")).to_contain_text("sure")
    assert here(page).locator(".pb-bars li").count() == 4
    fits(page)
    picture(page, f"classify-{width}-{scheme}")

    tab(page, "Create")
    choose(page, "Class", "giant panda")
    here(page).get_by_role("button", name="Draw", exact=True).click()
    wait_for(page, "progress")
    wait_for(page, "text=Save all in one PNG")
    assert here(page).locator("figure").count() == 4
    fits(page)
    picture(page, f"create-{width}-{scheme}")

    tab(page, "Complete")
    here(page).locator(".pb-examples button").nth(1).click()
    wait_for(page, "text=then press Complete")
    paint(page)
    here(page).get_by_role("button", name="Complete", exact=True).click()
    wait_for(page, "text=Most likely")
    assert here(page).locator("figure").count() == 5
    fits(page)
    picture(page, f"complete-{width}-{scheme}")

    tab(page, "Folder")
    files = sorted(photos.glob("*-*.png"))
    here(page).locator("input[type=file]").set_input_files([*files, photos / "broken.png"])
    expect(here(page).get_by_text("broken").first).to_be_visible(timeout=PATIENCE)
    here(page).get_by_label("The class is in the file's name").check()
    here(page).get_by_role("button", name="Classify them").click()
    wait_for(page, ".pb-table")
    assert here(page).locator(".pb-table tbody tr").count() == 9
    fits(page)
    picture(page, f"folder-{width}-{scheme}")


@pytest.mark.parametrize("width", WIDTHS)
def test_all_four_tabs_by_keyboard_alone(visit, photos, width):
    page = visit(width)
    # The browser takes a while to hand over its choices of files: not first at the key.
    page.on("filechooser", lambda _: None)

    def focus(target: Locator) -> None:
        """Only by the key that moves on."""
        for _ in range(160):  # past the end of the page it begins again
            if target.evaluate("element => element === document.activeElement"):
                assert target.evaluate("element => element.matches(':focus-visible')")
                return
            page.keyboard.press("Tab")
        pytest.fail(f"the keyboard does not reach {target}")

    def shows(button: str) -> None:
        """A tab is there once its button is."""
        shown = here(page).get_by_role("button", name=button, exact=True)
        expect(shown).to_be_visible(timeout=PATIENCE)

    focus(here(page).locator(".pb-examples button").nth(2))
    page.keyboard.press("Enter")
    wait_for(page, ".pb-why")

    focus(page.get_by_role("tab", name="Classify"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Create")).to_be_focused()
    shows("Draw")
    focus(here(page).get_by_role("button", name="Draw", exact=True))
    page.keyboard.press("Enter")
    wait_for(page, "text=Save all in one PNG")

    focus(page.get_by_role("tab", name="Complete"))
    page.keyboard.press("Enter")
    shows("Complete")
    focus(here(page).locator(".pb-examples button").nth(1))
    page.keyboard.press("Enter")
    wait_for(page, "text=then press Complete")
    focus(here(page).get_by_role("radio", name="what I paint"))
    page.keyboard.press("ArrowDown")
    expect(here(page).get_by_role("radio", name="the lower half")).to_be_checked()
    focus(here(page).get_by_role("button", name="Complete", exact=True))
    page.keyboard.press("Enter")
    wait_for(page, "text=Most likely")
    assert "512 of 1024 pixels" in here(page).inner_text()

    focus(page.get_by_role("tab", name="Folder"))
    page.keyboard.press("Enter")
    shows("Classify them")
    focus(here(page).locator("button:has(input[type=file]), [aria-label*='upload' i]").first)
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(sorted(photos.glob("*-*.png"))[:3])
    expect(here(page).get_by_text("cheeseburger").first).to_be_visible(timeout=PATIENCE)
    focus(here(page).get_by_role("button", name="Classify them"))
    page.keyboard.press("Enter")
    wait_for(page, ".pb-table")
    heads = here(page).locator(".pb-table thead th")
    file_name = heads.filter(has_text="File")
    focus(file_name.locator("button"))
    page.keyboard.press("Enter")
    assert file_name.get_attribute("aria-sort") == "ascending"
    names = here(page).locator(".pb-table tbody th").all_text_contents()
    assert names == sorted(names)
    page.keyboard.press("Enter")
    assert here(page).locator(".pb-table tbody th").all_text_contents() == names[::-1]


def test_images_appear_row_by_row_and_what_is_saved_holds_the_levels(visit, tmp_path):
    page = visit()
    tab(page, "Create")
    choose(page, "Class", "koala")
    page.evaluate(
        """() => {
          window.seen = new Set();
          new MutationObserver(() => document.querySelectorAll("progress").forEach(
            (bar) => window.seen.add(bar.value))).observe(
              document.body, { subtree: true, childList: true, attributes: true });
        }"""
    )
    here(page).get_by_role("button", name="Draw", exact=True).click()
    wait_for(page, "text=Save all in one PNG")
    assert len(page.evaluate("[...window.seen]")) >= 4
    expected = drawn_by_the_model(label=2, count=4, seed=7)
    shown = here(page).locator("figure img")
    assert all(np.array_equal(levels_of(shown.nth(i)), expected[i]) for i in range(4))
    with page.expect_download() as download:
        here(page).get_by_role("link", name=re.compile("Save PNG")).nth(1).click()
    assert download.value.suggested_filename == "koala-seed-7-2.png"
    download.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as saved:
        assert np.array_equal(np.asarray(saved), expected[1])


def test_two_people_at_once_get_their_own_answers(visit):
    people = {seed: visit() for seed in (11, 12)}
    for seed, page in people.items():
        tab(page, "Create")
        choose(page, "Class", "pizza")
        here(page).get_by_label("Seed").fill(str(seed))
        here(page).get_by_label("Seed").blur()
    for page in people.values():
        here(page).get_by_role("button", name="Draw", exact=True).click()
    for seed, page in people.items():
        wait_for(page, "text=Save all in one PNG")
        shown = here(page).locator("figure img")
        for number, expected in enumerate(drawn_by_the_model(label=3, count=4, seed=seed)):
            assert np.array_equal(levels_of(shown.nth(number)), expected)
    photos = {"koala": 2, "pizza": 3}
    pages = dict(zip(photos, people.values(), strict=True))
    for name, page in pages.items():
        tab(page, "Classify").locator(".pb-examples button").nth(photos[name]).click()
    for name, page in pages.items():
        wait_for(page, ".pb-why")
        expect(here(page).locator("figcaption").first).to_contain_text(name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("broken.png", "broken.png: "), ("huge.png", "9000 x 8000 are 72 million pixels")],
)
def test_a_file_that_is_broken_or_too_large_gets_a_sentence(visit, photos, name, sentence):
    page = visit(390)
    here(page).locator("input[type=file]").set_input_files(photos / name)
    alert = here(page).get_by_role("alert").filter(has_text=sentence)
    expect(alert).to_be_visible(timeout=PATIENCE)
    fits(page)
    tab(page, "Complete")
    here(page).locator("input[type=file]").first.set_input_files(photos / name)
    expect(here(page).get_by_role("alert").filter(has_text=sentence)).to_be_visible(
        timeout=PATIENCE
    )


def test_a_search_for_what_it_would_take_goes_on_until_it_is_stopped(visit):
    page = visit()
    here(page).locator(".pb-examples button").nth(0).click()
    wait_for(page, ".pb-why")
    here(page).get_by_role("button", name="Search").click()
    wait_for(page, "text=/\\d+ parts of the image drawn anew so far/")
    here(page).get_by_role("button", name="Stop").click()
    wait_for(page, "text=Stopped.")
    page.wait_for_timeout(4000)
    expect(here(page).get_by_text("Stopped.")).to_be_visible()


def test_a_set_at_another_coverage_is_another_sentence(visit):
    page = visit()
    here(page).locator(".pb-examples button").nth(2).click()
    wait_for(page, "text=The set with 90")
    wait_for(page, ".pb-place")
    here(page).get_by_role("radio", name="99").check()
    wait_for(page, "text=The set with 99")


def test_evidence_against_a_class_that_is_picked(visit):
    page = visit()
    here(page).locator(".pb-examples button").nth(2).click()
    wait_for(page, ".pb-why")
    choose(page, "against", "pizza")
    wait_for(page, "text=compared with pizza")


def test_a_run_on_digits_is_offered_too(visit):
    page = visit()
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="runs/digits").click()
    expect(page.get_by_text("Tells 10 classes apart")).to_be_visible(timeout=PATIENCE)
    expect(here(page).locator(".pb-examples img")).to_have_count(10, timeout=PATIENCE)
    here(page).locator(".pb-examples button").nth(3).click()
    wait_for(page, ".pb-why")
    assert here(page).locator(".pb-bars li").count() == 8
    tab(page, "Create")
    choose(page, "Class", "3")
    here(page).get_by_role("button", name="Draw", exact=True).click()
    wait_for(page, "text=Save all in one PNG")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_checker_of_accessibility_finds_no_serious_fault(visit, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core here")
    page = visit(1280, scheme)
    here(page).locator(".pb-examples button").nth(2).click()
    wait_for(page, ".pb-why")
    found: dict[str, Any] = {}
    for name in ("Classify", "Create", "Complete", "Folder"):
        tab(page, name)
        page.wait_for_timeout(500)
        for fault in axe.Axe().run(page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                nodes = [node["html"][:160] for node in fault["nodes"][:4]]
                found[f"{name}: {fault['id']}"] = nodes
    assert not found
