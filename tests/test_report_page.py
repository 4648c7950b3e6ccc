"""The page in a browser: phone and desk, light and dark, by mouse and by keyboard."""

import itertools
import os
import re
import shutil
from pathlib import Path

import pytest
from report_rows import make_nine
from report_sections import SEEDS, SETS, every_section

from dpc.report.page import build

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROME = next(
    filter(
        None,
        map(
            shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        ),
    ),
    None,
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROME is None, reason="no chromium or google-chrome on the path"),
]

SIZES = {"phone": (390, 844), "desk": (1280, 900)}
# Where people who want to look at the pages find them: SCREENSHOTS=folder pytest ...
SCREENSHOTS = os.environ.get("SCREENSHOTS")
# Colours of all that is read, against what lies behind it.
CONTRASTS = """() => {
  const shade = (text) => text.match(/[\\d.]+/g).map(Number);
  const bright = (text) => {
    const [r, g, b] = shade(text).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const found = getComputedStyle(node).backgroundColor;
      if ((shade(found)[3] ?? 1) === 1) return found;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const node of document.querySelectorAll("body *:not(svg, svg *, script)")) {
    const words = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!words || !node.checkVisibility()) continue;
    const [a, b] = [getComputedStyle(node).color, behind(node)];
    const [low, high] = [bright(a), bright(b)].sort((x, y) => x - y);
    found[`${a} on ${b}`] = (high + 0.05) / (low + 0.05);
  }
  return found;
}"""
NAMELESS = """() => [...document.querySelectorAll("img, [role=img]")]
  .filter((node) => !(node.getAttribute("alt") ?? node.getAttribute("aria-label") ?? "").trim())
  .map((node) => node.outerHTML.slice(0, 80))"""
LEVELS = '() => [...document.querySelectorAll("h1,h2,h3,h4")].map((n) => Number(n.tagName[1]))'
OPEN = "() => [...document.querySelectorAll('main details.fold')].map((each) => each.open)"
WIDER = """() => [...document.querySelectorAll(".scroll")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1)
  .map((each) => each.getAttribute("aria-label"))"""
COLUMN = """(place) => [...document.querySelectorAll("#table tbody[data-set=Average] tr[data-of]")]
  .filter((row) => !row.hidden).map((row) => row.cells[place].textContent.trim())"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """The page of made-up rows with every section that base-to-new has; its figures are empty,
    which a browser has no part in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.draw", lambda *_: None)
        built = build(*every_section(make_nine(SETS, SEEDS)))
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_bytes(built["index.html"])
    return path


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROME, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture()
def opened(browser, file):
    """Opens the page in a window; afterwards nothing was said, and nothing else was asked for."""
    contexts, said, asked = [], [], []

    def see(size="desk", scheme="light", **more):
        width, height = SIZES[size]
        viewport = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme, **more))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        return page

    yield see
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {file.as_uri()}


def numbers(page, place: int) -> list[float]:
    """What a column of the average says, from above."""
    return [float(text.split()[0].replace(",", "")) for text in page.evaluate(COLUMN, place)]


def turned(values: list[float]) -> list[float]:
    """Inductive methods from the best, then transductive ones: twelve lines and three."""
    return sorted(values[:12], reverse=True) + sorted(values[12:], reverse=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_page_can_be_read(opened, size, scheme, tmp_path):
    page = opened(size, scheme)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    width, height = SIZES[size]
    for between in (width * 4 // 5, width):  # 312 is the smallest phone, 1024 a tablet
        page.set_viewport_size({"width": between, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= between
    faint = {pair: ratio for pair, ratio in page.evaluate(CONTRASTS).items() if ratio < 4.5}
    assert faint == {}
    assert page.evaluate(NAMELESS) == []
    levels = page.evaluate(LEVELS)
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    folder = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path
    picture = folder / f"{size}-{scheme}.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 10_000


def test_a_heading_sorts_each_block_and_gives_the_order_back(opened):
    page = opened()
    given = numbers(page, 1)
    assert given != turned(given)
    button = page.get_by_role("button", name="Base", exact=True).first
    head = page.locator("#table th[scope=col]").nth(1)
    button.click()
    assert head.get_attribute("aria-sort") == "descending" and numbers(page, 1) == turned(given)
    for name in SETS:  # in every block
        shown = page.locator(f"#table tbody[data-set={name}] tr[data-of] td:nth-child(2)")
        values = [float(text.split()[0]) for text in shown.all_inner_texts()]
        assert values[:8] == sorted(values[:8], reverse=True) != sorted(values[:8])
    button.click()
    assert head.get_attribute("aria-sort") == "ascending" and numbers(page, 1) == [
        *sorted(given[:12]),
        *sorted(given[12:]),
    ]
    assert "Base, ascending" in page.locator("#table .unseen").first.inner_text()
    button.click()
    assert head.get_attribute("aria-sort") is None and numbers(page, 1) == given


def test_a_keyboard_alone_sorts_and_skips(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"
    given = numbers(page, 2)
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#table th')?.textContent") == "New":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert numbers(page, 2) == turned(given)


def test_tables_that_hold_words_and_pinned_rows_sort(opened):
    page = opened()
    table = page.locator("[aria-label='Selection of ω_b'] table")
    names = table.locator("tbody").first.locator("td:first-child")
    assert names.all_inner_texts() == ["Average", "icons-tabler", "icons-remix"]
    table.locator("th button").first.click()
    assert names.all_inner_texts() == ["Average", "icons-remix", "icons-tabler"]
    table.locator("th button").first.click()  # Average would come last
    assert names.all_inner_texts() == ["Average", "icons-tabler", "icons-remix"]


def test_boxes_hide_and_show_rows(opened):
    page = opened("phone")
    page.locator(".filter summary").click()
    status = page.locator("#table .shown")
    page.get_by_role("checkbox", name="icons-remix").uncheck()
    assert not page.locator("#table tbody[data-set=icons-remix]").is_visible()
    page.get_by_role("checkbox", name="PromptKD").uncheck()
    apart = page.locator("#table tbody[data-set=icons-tabler] tr.apart")
    assert not apart.is_visible()  # a heading without a line
    page.get_by_role("checkbox", name="CoOp").uncheck()
    left = page.locator("#table tbody[data-set=icons-tabler] tr[data-of]:visible td.method")
    assert [text.strip().split(" (")[0] for text in left.all_inner_texts()] == [
        "Zero-shot CLIP",
        "Probe",
        "MaPLe",
        "MaPLe + DPC",
        "PromptSRC",
        "PromptSRC + DPC",
    ]
    shown, every = map(int, re.findall(r"\d+", status.inner_text()))
    assert shown == page.locator("#table tr[data-of]:visible").count() < every
    page.emulate_media(media="print")  # paper lacks the same rows, and says so
    assert status.is_visible() and page.locator("#table tr[data-of]:visible").count() == shown
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Show all").click()
    assert status.inner_text() == f"All {every} rows are shown."
    assert page.locator("#table tr[data-of]:visible").count() == every and apart.is_visible()


def test_contents_fold_on_a_phone_and_lead_to_every_section(opened):
    page = opened("phone", reduced_motion="reduce")
    entry = page.locator("nav li a").nth(1)
    assert not entry.is_visible()
    page.locator("nav summary").click()
    entry.click()
    heading = page.locator(f"{entry.get_attribute('href')} h2").bounding_box()["y"]
    bar = page.locator("nav").bounding_box()
    assert not entry.is_visible() and bar["y"] + bar["height"] <= heading < 200
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.mouse.click(200, 800)):
        page.locator("nav summary").click()
        assert entry.is_visible()
        close()
        assert not entry.is_visible()
    assert opened("desk").locator("nav li a").last.is_visible()


def test_a_page_without_script_is_whole_and_paper_has_all_of_it(opened):
    page = opened("phone", java_script_enabled=False)
    assert page.locator("nav li a").last.is_visible()
    assert page.locator("th button").count() == 0 and not page.locator(".filter").count()
    page = opened("desk")
    page.emulate_media(media="print")
    inside = page.locator("details.fold > :not(summary)")
    assert inside.count() and all(each.is_visible() for each in inside.all())
    for unprinted in ("nav", ".filter", ".files >> nth=0"):
        assert not page.locator(unprinted).is_visible()
    page.locator("main details").last.evaluate("(each) => { each.open = true }")
    given = page.evaluate(OPEN)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert given.count(True) == 1 and all(page.evaluate(OPEN))
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(OPEN) == given
    page.set_viewport_size({"width": 717, "height": 1000})  # of A4, its margins off
    assert page.evaluate(WIDER) == []
