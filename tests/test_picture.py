"""``-o FILE.html`` and ``-o FILE.svg``: what the picture says, that it stands alone, and that a browser shows it."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sockkit.events import Call, Closed, Data, Direction, Ended, Opened, Side
from sockkit.render.picture import MOST, Ladder
from tests.harness import TIMEOUT, Process, Server, listener, need, needs_unix, run

SVG = "{http://www.w3.org/2000/svg}"
NASTY = b'</script><b>&amp; \x1b[2J\x00\xff caf\xc3\xa9 "x"\r\n'


def texts(path: Path) -> list[str]:
    """What can be read in an SVG, without what only hovering shows."""
    root = ElementTree.fromstring(path.read_text())
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def talk(tmp_path: Path, *names: str, stdin: bytes = b"Hello, world\n") -> list[Path]:
    paths = [tmp_path / name for name in names]
    with Server("--once") as server:
        done = run("connect", *(word for path in paths for word in ("-o", str(path))), server.address, stdin=stdin)
    assert (done.status, done.out) == (0, stdin)
    return paths


def test_the_articles_exchange_as_one_picture(tmp_path: Path) -> None:
    (path,) = talk(tmp_path, "echo.svg")
    found = texts(path)
    for text in ("sockkit connect", "server", "SYN", "SYN, ACK", "ACK", "Hello, world\\n", "13 bytes", "FIN"):
        assert text in found, text
    assert found.count("Hello, world\\n") == found.count("FIN") == 2
    calls = [text.split("(")[0] for text in found if re.match(r"[a-z]+\(", text)]
    steps = ["socket", "connect", "read", "send", "shutdown", "recv", "write", "close"]
    assert [name for name in calls if name in steps] == [
        "socket",
        "connect",
        "read",
        "send",
        "read",
        "shutdown",
        "recv",
        "write",
        "recv",
        "close",
    ]
    assert any(text.startswith("read(") and text.endswith("stdin ended") for text in found)
    assert path.stat().st_mode & 0o777 == 0o600


def test_both_stand_alone_and_are_safe(tmp_path: Path) -> None:
    for path in talk(tmp_path, "x.html", "x.svg", stdin=NASTY):
        text = path.read_text()
        assert not re.search(r"(?:src|href)=|url\((?!#)|@import|https?://(?!www\.w3\.org/)", text), "nothing is fetched"
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
        assert text.count("</script>") == (2 if path.suffix == ".html" else 0)
        assert "<b>" not in text
    assert any("</script><b>&amp; \\x1b[2J" in line for line in texts(tmp_path / "x.svg"))


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    path.write_text("mine")
    done = run("connect", "-o", str(path))
    assert done.status == 2 and path.read_text() == "mine"
    assert run("connect", "-o", str(tmp_path / "no" / "x.html")).status == 1


def test_a_signal_leaves_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "s.svg"
    with Server("-o", str(path)) as server:
        with server.connect() as client:
            client.sendall(b"so far")
            assert client.recv(100) == b"so far"
            server.stop()
    assert "so far" in texts(path) and "sockkit serve" in texts(path)


def test_a_reset_and_several_clients(tmp_path: Path) -> None:
    path = tmp_path / "s.svg"
    with Server("-o", str(path)) as server:
        with server.connect() as one, server.connect() as two:
            for client, data in ((one, b"one"), (two, b"two")):
                client.sendall(data)
                assert client.recv(100) == data
            two.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            two.close()
            server.wait_for(rb"ECONNRESET")
        server.stop()
    found = texts(path)
    assert found.count("RST") == 1 and {"client 1", "client 2", "one", "two"} <= set(found)


@needs_unix
def test_what_has_no_handshake(tmp_path: Path) -> None:
    with Server("-U", str(tmp_path / "sock"), free_port=False) as server:
        assert run("connect", "-U", "-o", str(tmp_path / "u.svg"), str(tmp_path / "sock"), stdin=b"x").status == 0
        server.stop()
    found = texts(tmp_path / "u.svg")
    assert "SYN" not in found and found.count("connection") == 1 and found.count("end") == 2
    with Server("-u") as server:
        run("connect", "-u", "--reply-wait", "0.2", "-o", str(tmp_path / "d.svg"), server.address, stdin=b"x")
    assert not {"SYN", "FIN", "connection"} & set(texts(tmp_path / "d.svg"))


def conversation(count: int) -> Ladder:
    ladder = Ladder("connect")
    ladder(Opened(0.0, 1, "127.0.0.1:1", "127.0.0.1:2", int(socket.AF_INET), int(socket.SOCK_STREAM)))
    for i in range(count):
        ladder(Call(i / 10, "send", 3, (3, 1), 1, None, 0.0))
        ladder(Data(i / 10, 1, Direction.SENT, i, 1, b"x", False))
    ladder(Ended(count / 10, 1, Side.LOCAL, "FIN sent"))
    ladder(Closed(count / 10, 1, "127.0.0.1:1", count, 0, count / 10, Side.LOCAL, None))
    return ladder


def test_more_than_fits_is_counted() -> None:
    ladder = conversation(1000)
    assert len(ladder.rows) + len(ladder.items) <= 2 * MOST, "what is not drawn is not kept"
    shown = str(ladder.svg(alone=True))
    assert shown.count('class="data"') <= MOST
    assert re.search(r"and \d+ more that are not drawn", shown)


def test_pauses_are_folded_or_to_scale() -> None:
    ladder = conversation(3)
    ladder(Data(5.0, 1, Direction.RECEIVED, 0, 1, b"y", False))
    assert ladder.has_pauses
    folded, scaled = str(ladder.svg()), str(ladder.svg(scaled=True))
    assert "4.70 s pass" in folded and "s pass" not in scaled
    heights = [int(re.findall(r'height="(\d+)"', text)[0]) for text in (folded, scaled)]
    assert heights[1] > heights[0] + 1000
    assert not conversation(3).has_pauses


# ---- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = need("chromium")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu", *quiet])
        yield found
        found.close()


def opened(browser: Any, path: Path, theme: str = "light") -> Any:
    page = browser.new_page(viewport={"width": 1440, "height": 800}, color_scheme=theme)
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.said.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(path.as_uri())
    return page


OVERLAPS = """selector => {
  const boxes = [...document.querySelectorAll(selector)].map(e => [e.textContent, e.getBoundingClientRect()]).filter(b => b[1].width);
  const found = [];
  for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
    const [a, b] = [boxes[i][1], boxes[j][1]];
    if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3) found.push(boxes[i][0] + " / " + boxes[j][0]);
  }
  return found;
}"""


@pytest.mark.once
def test_a_browser_shows_it(browser: Any, tmp_path: Path) -> None:
    data = NASTY + bytes(range(256))
    (path,) = talk(tmp_path, "x.html", stdin=data)
    page = opened(browser, path)
    about = page.locator("#about")
    page.locator(".arrow.sent[data-item]").first.click()
    assert about.locator("h2").inner_text() == f"sent: {len(data)} bytes"
    assert '</script><b>&amp; \\x1b[2J\\x00\\xff café "x"\\r' in about.locator(".text").inner_text()
    rows = about.locator(".hex").inner_text().splitlines()
    assert rows[0] == "00000000: 3c2f 7363 7269 7074 3e3c 623e 2661 6d70  </script><b>&amp"
    assert bytes.fromhex("".join(row[10:49] for row in rows).replace(" ", "")) == data
    page.locator(".call[data-item]").first.focus()
    page.keyboard.press("Enter")
    assert about.locator("h2").inner_text().startswith("socket(AF_INET, SOCK_STREAM, 0) = ")
    assert page.evaluate(OVERLAPS, ".ladder text") == []
    assert page.said == []
    page.close()


@pytest.mark.once
def test_light_dark_and_to_scale(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.html"
    ladder = conversation(4)
    ladder(Data(4.0, 1, Direction.RECEIVED, 0, 1, b"y", False))
    path.write_text(str(ladder.html()))
    ground = "getComputedStyle(document.body).backgroundColor"
    for theme, colour, other in (("light", "rgb(255, 255, 255)", "dark"), ("dark", "rgb(17, 21, 26)", "light")):
        page = opened(browser, path, theme)
        assert page.evaluate(ground) == colour
        while page.locator("#theme").inner_text() != other:
            page.locator("#theme").click()
        assert page.evaluate(ground) != colour
        page.locator("#scale").click()
        assert page.locator("#scaled").is_visible() and not page.locator("#folded").is_visible()
        assert page.evaluate(OVERLAPS, "#scaled text") == []
        assert page.said == []
        page.close()


@pytest.mark.once
def test_a_crowd_does_not_overlap(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.svg"
    with Server("-o", str(path)) as server:
        clients = [server.connect() for _ in range(5)]
        for i, client in enumerate(clients):
            client.sendall(b"GET / HTTP/1.0\r\n" * i + b"!")
            assert client.recv(1000)
        for client in clients:
            client.close()
        for i in range(5):
            server.wait_for(rf"#{i + 1} \S+ closed".encode())
        server.stop()
    page = opened(browser, path, "dark")
    assert page.evaluate(OVERLAPS, "text") == []
    assert page.said == []
    page.close()


def test_the_connection_that_was_refused(tmp_path: Path) -> None:
    with listener() as sock:
        port = sock.getsockname()[1]
    done = run("connect", "-o", str(tmp_path / "x.svg"), f"127.0.0.1:{port}")
    assert done.status == 1
    assert any("ECONNREFUSED" in text for text in texts(tmp_path / "x.svg"))
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_stdin_that_stays_open(tmp_path: Path) -> None:
    with Server() as server, Process("connect", "-o", str(tmp_path / "x.svg"), server.address) as process:
        process.send(b"typed\n")
        process.wait_for(b"typed", stream="out", timeout=TIMEOUT)
        process.stop()
    assert "typed\\n" in texts(tmp_path / "x.svg")
