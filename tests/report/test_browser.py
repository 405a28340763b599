"""The reviewers' page in a real browser: it opens alone, the slider moves the map, a click explains a cell."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image, ImageColor
from support import chromium
from support.chromium import needs_chromium
from support.project import Project

pytestmark = needs_chromium

SEEN = """
<script>
const seen = {};
const text = (id) => document.getElementById(id).textContent;
const colours = () => [...document.querySelectorAll("#cells path")].map((path) => path.getAttribute("fill")).join();
const state = () => ({cutoff: text("cutoff-shown"), summary: text("map-summary"), colours: colours(),
  events: document.querySelectorAll("#events circle").length, highest: text("highest")});
seen.first = state();
const slider = document.getElementById("cutoff");
slider.value = slider.max;
slider.dispatchEvent(new Event("input"));
seen.last = state();
document.querySelector("#cells path").dispatchEvent(new MouseEvent("click", {bubbles: true}));
seen.clicked = {name: text("cell-name"), 
  reasons: [...document.querySelectorAll("#cell-reasons li")].map((line) => line.textContent)};
document.querySelector("#highest button").click();
seen.listed = {name: text("cell-name"), wanted: document.querySelector("#highest button").textContent};
seen.wide = document.scrollingElement.scrollWidth - window.innerWidth;
seen.unnamed = document.querySelectorAll("img:not([alt]), input:not([id])").length;
const held = document.createElement("script");
held.type = "application/json"; held.id = "seen"; held.textContent = JSON.stringify(seen);
document.body.append(held);
PLANTED
</script></body>"""


def browse(page: str, folder: Path, *, planted: str = "") -> tuple[dict, str, set[str]]:
    """Open a page and use it; return the page's state, the console's lines, and the requested addresses."""
    file, log = folder / "page.html", folder / "net.json"
    file.write_text(page.replace("</body>", SEEN.replace("PLANTED", planted)))
    recorded = [f"--log-net-log={log}", "--enable-logging=stderr"]
    window = ["--window-size=500,900", "--virtual-time-budget=5000"]
    done = chromium.run(file.as_uri(), folder / "profile", *recorded, *window, "--dump-dom")
    (seen,) = re.findall(r'<script type="application/json" id="seen">(.*?)</script>', done.stdout, re.DOTALL)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    starts = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    # requests of the browser itself have no origin
    requested = {start["url"] for start in starts if start.get("initiator", "not an origin") != "not an origin"}
    return json.loads(seen), console, requested - {file.as_uri()}


@pytest.fixture(scope="module")
def page(small_chain: Project) -> str:
    return (small_chain.root / "reports/simulated/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def used(page: str, tmp_path_factory):
    return browse(page, tmp_path_factory.mktemp("browser"))


def test_it_opens_without_an_error_or_a_request(used) -> None:
    _, console, requested = used
    assert (console, requested) == ("", set())


def test_an_error_and_a_request_would_be_seen(page, tmp_path) -> None:
    allowed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    planted = 'console.error("planted"); fetch("http://192.0.2.1/planted").catch(() => 0);'
    _, console, requested = browse(allowed, tmp_path, planted=planted)
    assert "planted" in console
    assert requested == {"http://192.0.2.1/planted"}


def test_the_page_itself_forbids_every_request(page, tmp_path) -> None:
    _, console, requested = browse(page, tmp_path, planted='fetch("http://192.0.2.1/planted").catch(() => 0);')
    assert requested == set()
    assert "Content Security Policy" in console


def test_the_slider_moves_the_map(used) -> None:
    first, last = used[0]["first"], used[0]["last"]
    assert first["cutoff"] < last["cutoff"]
    assert first["colours"] != last["colours"]
    assert first["highest"] != last["highest"]
    for state in (first, last):
        assert f"an event followed in {state['events']} of " in state["summary"]
    assert first["events"] > 0


def test_a_click_or_the_list_explains_a_cell(used) -> None:
    clicked, listed = used[0]["clicked"], used[0]["listed"]
    assert re.fullmatch(r"Cell [0-9a-f]{15}", clicked["name"])
    assert re.fullmatch(r"[\d.]+ % from [\d-]{10} for \d+ days; (an|no) event followed\.", clicked["reasons"][0])
    assert len(clicked["reasons"]) == 4
    assert all(re.fullmatch(r"[a-z0-9 ]+: odds . [\d.]+", line) for line in clicked["reasons"][1:])
    assert listed["name"] == f"Cell {listed['wanted']}"


def test_a_narrow_screen_needs_no_sideways_scrolling_and_everything_has_a_name(used) -> None:
    assert used[0]["wide"] <= 0
    assert used[0]["unnamed"] == 0


def test_it_prints(page, tmp_path) -> None:
    file, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    file.write_text(page)
    chromium.run(file.as_uri(), tmp_path / "profile", f"--print-to-pdf={printed}")
    assert len(re.findall(rb"/Type ?/Page\b", printed.read_bytes())) > 1


USED = """
const slider = document.getElementById("cutoff");
slider.value = Math.floor(slider.max / 2);
slider.dispatchEvent(new Event("input"));
document.querySelector("#highest button").click();
"""
# a window without a screen takes its size only for the picture, so that a place to scroll to would be another's
TO_THE_MAP = """
const above = [document.querySelector("header")];
for (let e = document.getElementById("map").previousElementSibling; e; e = e.previousElementSibling) above.push(e);
for (const e of above) e.style.display = "none";
"""
BAND, CLASSES, CHOSEN = ["#1b1b1b", "#ffc000"], ["#ffffcc", "#253494", "#ff8c1a"], ["#000000"]
VIEWS = {
    "reviewers-page.png": ("", (1100, 900), BAND),
    "reviewers-map.png": (TO_THE_MAP, (1100, 900), BAND + CLASSES),
    "reviewers-cell.png": (USED + TO_THE_MAP, (1100, 900), BAND + CLASSES + CHOSEN),
    "reviewers-phone.png": (USED + TO_THE_MAP, (390, 1150), BAND + CLASSES + CHOSEN),
}
"""By the picture's name in docs/review.md: what is done first, the window, and colours that must then be seen."""


@pytest.mark.parametrize("name", VIEWS)
def test_a_picture_is_kept_of_the_reviewers_view(page, tmp_path, name) -> None:
    done, (width, height), colours = VIEWS[name]
    file, shot = tmp_path / "page.html", tmp_path / "shot.png"
    file.write_text(page.replace("</body>", f"<script>{done}</script></body>"))
    options = ["--hide-scrollbars", f"--window-size={width},{height}", "--virtual-time-budget=5000"]
    chromium.run(file.as_uri(), tmp_path / "profile", *options, f"--screenshot={shot}")
    picture = Image.open(shot).convert("RGB")
    assert picture.size == (width, height)
    present = {colour for _, colour in picture.getcolors(width * height)}
    assert {ImageColor.getrgb(colour) for colour in colours} <= present
    assert chromium.keep(shot, tmp_path, name).stat().st_size < 150_000
