"""``python -m tests.screenshot`` makes docs/images/heat-map.png: the page of a recorded matrix, in Debian's chromium."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sockkit.commands.space import report
from sockkit.matrix import load
from sockkit.render.reports import html

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "images" / "heat-map.png"
MATRIX = "debian-12-nobody"
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A headless browser of the system; none is downloaded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def main() -> int:
    """Write the picture."""
    import shutil

    path = shutil.which("chromium")
    if path is None:
        print("chromium is not installed")
        return 1
    with tempfile.TemporaryDirectory() as directory, chromium(path) as browser:
        page = Path(directory, "page.html")
        page.write_bytes(html(report(load(MATRIX), 0.0)))
        view = browser.new_page(viewport={"width": 1200, "height": 800})
        view.goto(f"{page.as_uri()}#2,2,6")
        TARGET.parent.mkdir(exist_ok=True)
        view.screenshot(path=str(TARGET))
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
