"""HTML and SVG from the templates beside this module: one look for all, in light and dark. The only module that imports jinja2."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sockkit import __version__
from sockkit.text import escape

COLOURS = {
    "light": {
        "ground": "#ffffff",
        "raised": "#f3f5f7",
        "ink": "#1b2027",
        "faint": "#5f6b78",
        "line": "#ccd3da",
        "sent": "#0a7a43",
        "received": "#0b5cad",
        "error": "#c3221f",
        "changed": "#8a5a00",
    },
    "dark": {
        "ground": "#11151a",
        "raised": "#1b2129",
        "ink": "#e8ecf1",
        "faint": "#97a3b0",
        "line": "#394350",
        "sent": "#4fcf8f",
        "received": "#6fb7ff",
        "error": "#ff7d74",
        "changed": "#e5b567",
    },
}
"""Custom properties of the style sheets, ``--ink`` and so on. Texts have a contrast of 4.5 at least (WCAG 1.4.3)."""
TEXT_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
CODE_FONT = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def _colours(theme: str) -> Markup:
    return Markup(" ".join(f"--{name}: {colour};" for name, colour in COLOURS[theme].items()))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    environment.filters["harmless"] = lambda text: escape(str(text), backslash=False)
    environment.globals.update(
        version=__version__, colours=_colours, text_font=Markup(TEXT_FONT), code_font=Markup(CODE_FONT)
    )
    return environment


def page(template: str, **values: object) -> Markup:
    """A template filled in. Texts are escaped; what is ``Markup`` already is not."""
    return Markup(_environment().get_template(template).render(**values))
