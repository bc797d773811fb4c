"""The report as a reader has it: opened from disk in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from espnet_dsu.report import make_report
from tests.report.browser import Browser, find_chromium
from tests.report.experiment import COLUMNS, HOSTILE_IDS, HOSTILE_TEXT, make_experiment

pytestmark = pytest.mark.skipif(
    not find_chromium(), reason="no Chromium or Chrome on PATH; apt install chromium"
)
NUM_CLIPS = len(COLUMNS) * len(HOSTILE_IDS) - 1

CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const luminance = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (node) => {
    for (; node; node = node.parentElement) {
        const colour = parse(getComputedStyle(node).backgroundColor);
        if (colour.length === 3 || colour[3] === 1) return colour;
    }
    throw new Error("nothing opaque behind the text");
};
const poor = [];
let seen = 0;
for (const node of document.querySelectorAll("body *:not(script):not(style)")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const ink = node.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const levels = [luminance(parse(ink)), luminance(ground(node))];
    const ratio = (Math.max(...levels) + 0.05) / (Math.min(...levels) + 0.05);
    seen += 1;
    if (ratio < 4.5) poor.push([node.textContent.slice(0, 40), ratio]);
}
return {seen, poor};
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report(make_experiment(tmp_path_factory.mktemp("report")))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = find_chromium()
    assert executable
    with Browser(executable, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser, page: Path) -> Browser:
    chromium.view(1280, 900)
    chromium.open(page)
    return chromium


def test_report_opened_from_disk_has_no_complaint_and_needs_no_network(browser):
    loaded = "await new Promise((r) => setTimeout(r, 300));"
    browser.run(loaded)
    assert browser.complaints() == []
    addresses = browser.requests()
    # The page itself, a picture and a sound per clip, and the units of three.
    assert len({a for a in addresses if a.startswith("file:")}) >= 1 + NUM_CLIPS + 3
    assert all(address.startswith(("file:", "data:")) for address in addresses)


def test_every_clip_can_play_to_its_end(browser):
    state = browser.run("""
        const played = [];
        for (const audio of document.querySelectorAll("audio")) {
            const ended = new Promise((r) => audio.addEventListener("ended", r));
            await audio.play();
            await ended;
            played.push([audio.readyState, audio.error, audio.currentTime]);
        }
        return played;
    """)
    assert len(state) == NUM_CLIPS
    assert all(ready == 4 and error is None for ready, error, _ in state)
    assert all(0.25 < seconds < 0.75 for *_, seconds in state)
    assert browser.complaints() == []


def test_every_picture_is_loaded_and_in_proportion(browser):
    sizes = browser.run("""
        return [...document.images].map((i) => [i.complete, i.naturalWidth, i.alt]);
    """)
    assert len(sizes) == NUM_CLIPS + 3
    assert all(complete and width > 10 and alt for complete, width, alt in sizes)
    widths = browser.run("""
        const row = document.querySelector(".utterance");
        return [...row.querySelectorAll(".mel")].map(
            (mel) => mel.getBoundingClientRect().width
                / mel.parentElement.getBoundingClientRect().width);
    """)
    # The clips of the first utterance last 0.4, 0.35 and 0.3 seconds.
    assert np.allclose(widths, [1, 0.35 / 0.4, 0.3 / 0.4], atol=0.01)


def test_hostile_names_and_texts_are_shown_and_never_obeyed(browser):
    found = browser.run("""
        const texts = (s) => [...document.querySelectorAll(s)].map((n) => n.innerText);
        return {
            owned: window.owned,
            title: document.title,
            names: texts("h3 bdi"),
            text: texts(".transcript"),
            columns: texts("h4 > bdi"),
            scripts: document.scripts.length,
            handlers: document.querySelectorAll("[onload], [onerror]").length,
        };
    """)
    assert "owned" not in found and found["handlers"] == 0 and found["scripts"] == 1
    assert found["title"] == "<b>Title</b> {{ 7 * 7 }} & co"
    assert found["names"] == list(HOSTILE_IDS)
    assert found["text"] == [HOSTILE_TEXT] * len(HOSTILE_IDS)
    assert found["columns"][: len(COLUMNS)] == list(COLUMNS)


def test_clip_that_starts_stops_the_other_and_moves_its_playhead(browser):
    state = browser.run("""
        const [first, second] = document.querySelectorAll("audio");
        const head = second.closest(".clip").querySelector(".playhead");
        const before = head.hidden;
        await first.play();
        await second.play();
        await new Promise((r) => second.addEventListener("ended", r));
        return [first.paused, first.ended, before, head.hidden, head.style.left];
    """)
    assert state == [True, False, True, False, "100%"]


def test_click_into_a_picture_plays_from_there(browser):
    share = browser.run("""
        const mel = document.querySelector(".mel");
        const box = mel.getBoundingClientRect();
        const audio = mel.closest(".clip").querySelector("audio");
        const playing = new Promise((r) => audio.addEventListener("playing", r));
        const clientX = box.left + box.width / 2;
        mel.dispatchEvent(new MouseEvent("click", {clientX, bubbles: true}));
        const share = audio.currentTime / audio.duration;
        await playing;
        return share;
    """)
    assert share == pytest.approx(0.5, abs=0.02)


def test_keyboard_alone_plays_the_versions_in_turn(browser):
    browser.run("""
        window.order = [];
        const players = [...document.querySelectorAll("audio")];
        players.forEach((audio, i) => {
            audio.addEventListener("play", () => order.push(i));
        });
        window.done = new Promise((r) => players[2].addEventListener("ended", r));
    """)
    focused = []
    while "BUTTON" not in focused:
        assert len(focused) < 10, focused
        browser.press("Tab")
        focused.append(browser.run("return document.activeElement.tagName"))
    assert focused == ["A"] * 4 + ["BUTTON"]
    browser.press("Enter")
    assert browser.run("await done; return order") == [0, 1, 2]
    browser.press("Tab")
    assert browser.run("return document.activeElement.tagName") == "AUDIO"


def test_screen_reader_finds_names_and_a_sound_order_of_headings(browser):
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    names: dict[str, list[str]] = {}
    for node in shown:
        role = node["role"]["value"]
        names.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert all(names["image"]) and len(names["image"]) >= NUM_CLIPS + 3
    assert all(names["Audio"]) and len(names["Audio"]) == NUM_CLIPS
    assert all(names["heading"]) and names["main"] and names["navigation"]
    levels = browser.run("""
        const all = document.querySelectorAll("h1, h2, h3, h4");
        return [...all].map((h) => Number(h.tagName[1]));
    """)
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert browser.run("return document.documentElement.lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_of_4_5_at_least(browser, scheme):
    browser.view(1280, 900, scheme)
    found = browser.run(CONTRAST)
    assert found["seen"] > 100
    assert found["poor"] == []


@pytest.mark.parametrize("width", [320, 800, 1920])
def test_page_never_scrolls_sideways(browser, width):
    browser.view(width, 900)
    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_screenshot_shows_spectrograms_in_either_scheme(browser, tmp_path):
    shots = {}
    for scheme in ("light", "dark"):
        browser.view(1280, 900, scheme)
        shots[scheme] = imread(browser.screenshot(tmp_path / "shot.png"))[..., :3]
        red, green, blue = np.moveaxis(shots[scheme], -1, 0)
        # Magma's orange, which nothing else on the page has.
        assert ((red > 0.9) & (blue < 0.55) & (green < 0.8)).sum() > 1000
    corners = [shots[scheme][0, 0].mean() for scheme in ("light", "dark")]
    assert corners[0] > 0.9 and corners[1] < 0.15


def test_clip_whose_file_is_gone_says_so(chromium, tmp_path):
    page = make_report(make_experiment(tmp_path))
    gone = sorted(page.with_name("report").glob("*.wav"))[0]
    gone.unlink()
    chromium.open(page)
    problems = chromium.run("""
        const find = () => [...document.querySelectorAll(".problem")];
        while (find().length < 2) await new Promise((r) => setTimeout(r, 50));
        return find().map((p) => p.textContent);
    """)
    assert sum("cannot play" in problem for problem in problems) == 1
