"""The page in a real browser: by pointer and keyboard, light and dark, on a narrow screen, and with nothing loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sockkit.commands.space import report
from sockkit.matrix import load
from sockkit.render.reports import html
from tests.harness import need, needs_linux, run
from tests.screenshot import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.once, pytest.mark.timeout(300), needs_linux]

SPACE = ("--family", "INET,INET6,UNIX,45", "--type", "0-11", "--proto", "0-262")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = need("chromium")
    pytest.importorskip("playwright", reason="CANNOT: playwright is not installed")
    with chromium(path) as found:
        yield found


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space of this kernel, as the command writes it."""
    path = tmp_path_factory.mktemp("page") / "space.html"
    assert run("probe", *SPACE, "-o", str(path)).status == 0
    return path


class Seen:
    """A page that is looked at, with everything that must not happen."""

    def __init__(self, browser: Browser, path: Path, where: str = "", **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.requests: list[str] = []
        self.page.goto(path.as_uri() + where)
        self.url = path.as_uri()

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *exception: object) -> None:
        requests, wrong = list(self.requests), list(self.wrong)
        self.context.close()
        if exception[0] is None:
            assert wrong == []
            assert {url.partition("#")[0] for url in requests} == {self.url}


def cell(page: Page, family: str, type: str) -> Any:
    """The cell of the map."""
    return page.locator(f"#map td[aria-label^='{family} {type}:']")


def why(*args: str) -> dict[str, Any]:
    """What the command itself says of one combination."""
    found: dict[str, Any] = json.loads(run("probe", "--json", *args).out)
    return found


def test_a_cell_tells_its_story_on_click(browser: Browser, page_file: Path) -> None:
    truth = why("--type", "DGRAM", "--proto", "TCP")
    with Seen(browser, page_file) as page:
        cell(page, "AF_INET", "SOCK_DGRAM").click()
        assert page.inner_text("#storytitle") == "AF_INET, SOCK_DGRAM"
        page.click("#strip [aria-label^='IPPROTO_TCP (6):']")
        assert page.inner_text("#card h3") == "AF_INET, SOCK_DGRAM, IPPROTO_TCP (6)"
        assert page.inner_text("#card .badge") == "EPROTONOSUPPORT 93"
        card = page.inner_text("#card")
        for told in (truth["why"]["text"], truth["why"]["source"], truth["why"]["try_next"], truth["why"]["elsewhere"]):
            assert told in card
        assert "sockkit probe --family INET --type DGRAM --proto TCP" in card
        assert "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_TCP)" in card
        assert page.evaluate("location.hash") == "#2,2,6"
        page.click("#runs button:text-is('0')")
        assert page.inner_text("#card .badge") == "ok" and "the kernel made" in page.inner_text("#card")


def test_everything_by_keyboard(browser: Browser, page_file: Path) -> None:
    with Seen(browser, page_file) as page:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('#map') !== null"):
                break
        focused = "document.activeElement.getAttribute('aria-label')"
        page.keyboard.press("Home")
        assert page.evaluate(focused).startswith("AF_INET 0:")
        for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        assert page.evaluate(focused).startswith("AF_INET6 SOCK_DGRAM:")
        assert page.inner_text("#storytitle") == "AF_INET6, SOCK_DGRAM"
        page.keyboard.press("Enter")
        page.keyboard.press("Home")
        for _ in range(17):
            page.keyboard.press("ArrowRight")
        assert page.evaluate(focused) == "IPPROTO_UDP (17): ok"
        assert page.inner_text("#card h3") == "AF_INET6, SOCK_DGRAM, IPPROTO_UDP (17)"
        page.keyboard.press("ArrowDown")
        assert page.evaluate(focused) != "IPPROTO_UDP (17): ok"
        page.keyboard.press("Escape")
        assert page.evaluate(focused).startswith("AF_INET6 SOCK_DGRAM:")
        outline = page.evaluate("getComputedStyle(document.activeElement.firstChild).outlineStyle")
        assert outline == "solid", "where the keyboard is can be seen"


def test_filters(browser: Browser, page_file: Path) -> None:
    with Seen(browser, page_file) as page:
        rows = page.locator("#map tbody tr:visible th")
        assert rows.all_inner_texts() == ["INET", "INET6", "UNIX"], "what is not here is not shown at first"
        page.check("#filters [name=absent]")
        assert rows.count() == 4
        page.fill("#filters [name=family]", "unix")
        assert rows.all_inner_texts() == ["UNIX"]
        page.fill("#filters [name=family]", "")
        page.fill("#filters [name=type]", "SOCK_STREAM")
        page.fill("#filters [name=proto]", "tcp")
        assert page.inner_text("#summary") == "2 combinations"  # only INET and INET6 have that name
        assert cell(page, "AF_INET", "SOCK_STREAM").inner_text() == "1"
        assert "nothing to show" in (page.locator("#map td[data-at='0,2']").get_attribute("aria-label") or "")
        page.fill("#filters [name=type]", "")
        page.fill("#filters [name=proto]", "0-17")
        page.click("#outcomes .o-ok")
        assert page.get_attribute("#outcomes .o-ok", "aria-pressed") == "true"
        matrix = json.loads(run("probe", *SPACE, "--json").out)
        works = sum(
            max(0, min(last, 17) - first + 1) for _, _, first, last, outcome, *_ in matrix["cells"] if outcome == "ok"
        )
        assert page.inner_text("#summary").startswith(f"{works:,} of ")
        assert page.locator("#map td:not(.out):visible").count() < page.locator("#map td:visible").count()
        page.click("button[type=reset]")
        from playwright.sync_api import expect

        expect(page.locator("#summary")).not_to_contain_text(" of ")
        assert page.locator("#map td.out:visible").count() == 0
        assert page.get_attribute("#outcomes .o-ok", "aria-pressed") == "false"


def background(page: Page) -> str:
    found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return found


def turn(page: Page, theme: str) -> None:
    """By the button, which goes round."""
    for _ in range(3):
        if page.inner_text("#theme") == theme:
            return
        page.click("#theme")
    raise AssertionError(theme)


def test_light_and_dark(browser: Browser, page_file: Path) -> None:
    with Seen(browser, page_file, color_scheme="light") as page:
        assert background(page) == "rgb(255, 255, 255)"
        turn(page, "dark")
        assert background(page) == "rgb(17, 21, 26)"
    with Seen(browser, page_file, color_scheme="dark") as page:
        assert background(page) == "rgb(17, 21, 26)"
        green = "getComputedStyle(document.querySelector('#map .o-ok')).backgroundColor"
        dark = page.evaluate(green)
        turn(page, "light")
        assert background(page) == "rgb(255, 255, 255)" and page.evaluate(green) != dark


def test_a_narrow_screen(browser: Browser, page_file: Path) -> None:
    narrow: dict[str, Any] = {"viewport": {"width": 360, "height": 720}, "has_touch": True, "is_mobile": True}
    with Seen(browser, page_file, **narrow) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        last = cell(page, "AF_INET", "11")
        last.scroll_into_view_if_needed()
        last.tap()
        assert page.inner_text("#storytitle") == "AF_INET, 11"
        place = page.locator("#storytitle").bounding_box()
        assert place is not None and 0 <= place["y"] < 720, "the story comes into view"
        head = page.locator("#map tbody th").first.bounding_box()
        assert head is not None and head["x"] >= 0, "the family's name stays"
        page.locator("#strip [role=gridcell]").nth(40).tap()
        card = page.locator("#card").bounding_box()
        assert card is not None and card["width"] <= 360
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_address_leads_to_its_cell(browser: Browser, page_file: Path) -> None:
    with Seen(browser, page_file, "#1,5,1") as page:
        assert page.inner_text("#card h3").startswith("AF_UNIX, SOCK_SEQPACKET,")
    with Seen(browser, page_file, "#45,1,0") as page:
        assert page.inner_text("#card .badge").startswith("EAFNOSUPPORT")


def test_nothing_can_be_loaded(browser: Browser, page_file: Path) -> None:
    """Not even by a mistake: the page's own policy forbids it."""
    seen = Seen(browser, page_file)
    with pytest.raises(Exception, match=r"(?i)failed to fetch|violates|refused|TypeError"):
        seen.page.evaluate("fetch('http://127.0.0.1:9/')")
    assert all(url.startswith("file:") for url in seen.requests)
    seen.context.close()


def test_everything_that_a_kernel_knows(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "all.html"
    path.write_bytes(html(report(load("debian-12-root"), 0.0)))
    with Seen(browser, path) as page:
        assert page.locator("#map td[role=gridcell]").count() == 47 * 12
        page.check("#filters [name=absent]")
        assert page.inner_text("#summary") == "148,332 combinations"
        cell(page, "AF_CAN", "SOCK_RAW").click()
        page.click("#strip [aria-label^='CAN_BCM (2):']")
        assert page.inner_text("#card .badge") == "EPROTOTYPE 91"
        assert "SOCK_DGRAM" in page.inner_text("#card")


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["probe", "--type", "DGRAM", "--proto", "TCP"], "checked in"),
        (["inspect"], "so_rcvbuf"),
        (["probe", "--steps", "bind,listen,recv"], "listen"),
    ],
)
def test_other_reports(browser: Browser, args: list[str], word: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    run(*args, "-o", str(path))
    with Seen(browser, path, viewport={"width": 360, "height": 720}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        rows = page.locator("tbody tr:visible")
        before = rows.count()
        page.fill("#words", word)
        assert 0 < rows.count() < before and "of" in page.inner_text("#matches")
        page.keyboard.press("Escape")
        assert rows.count() == before


def test_a_single_combination_of_a_space(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "one.html"
    assert run("probe", "--family", "45,", "-o", str(path)).status == 2
    assert run("probe", "--proto", "0-1", "-o", str(path)).status == 0
    with Seen(browser, path) as page:
        assert page.inner_text("#summary") == "2 combinations"
    path.unlink()
    assert run("probe", "--family", "44,45", "-o", str(path)).status == 0
    with Seen(browser, path) as page:
        assert page.locator("#map tbody tr:visible").count() >= 1, "where nothing is here, that is shown"


def test_the_picture(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "map.svg"
    assert run("probe", *SPACE, "-o", str(path)).status == 0
    with Seen(browser, path, color_scheme="dark") as page:
        fill = page.evaluate("getComputedStyle(document.querySelector('.page')).fill")
        assert fill == "rgb(20, 23, 28)"
        size = page.evaluate(
            "(() => {const b = document.documentElement.getBoundingClientRect(); return [b.width, b.height]})()"
        )
        for box in page.evaluate(
            "[...document.querySelectorAll('text')].map(t => {const b = t.getBoundingClientRect(); return [b.right, b.bottom]})"
        ):
            assert box[0] <= size[0] + 1 and box[1] <= size[1] + 1, "no text leaves the picture"
