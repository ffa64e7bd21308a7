"""Reports as a picture: ``.svg``. A space is its heat map, any other report its tables. Nothing in it is loaded from anywhere."""

from __future__ import annotations

from collections import Counter
from xml.sax.saxutils import escape

from sockkit import names
from sockkit.commands.space import bare, family_name
from sockkit.events import Report
from sockkit.matrix import OK, Matrix
from sockkit.render.looks import LOOKS, look
from sockkit.render.plain import section_lines
from sockkit.render.tables import about
from sockkit.text import escape as harmless

CELL_WIDTH, CELL_HEIGHT = 58, 26
MARGIN = 24
LINE = 18
FONT = 'ui-monospace, "DejaVu Sans Mono", "Liberation Mono", Consolas, monospace'
SANS = 'system-ui, "DejaVu Sans", "Liberation Sans", Arial, sans-serif'
CHARACTER = 7.9
"""Width of a character of 13 pixels, a little more than any usual monospaced font has."""


def svg(report: Report) -> bytes:
    """The picture, in UTF-8."""
    matrix = report.matrix
    return (_text(report) if matrix is None else _heat_map(report, matrix)).encode("utf-8", "backslashreplace")


def _document(width: float, height: float, title: str, body: list[str], style: str = "") -> str:
    looks = "".join(
        f".{item.name} rect{{fill:{item.light[0]}}}.{item.name} text{{fill:{item.light[1]}}}" for item in LOOKS
    )
    dark = "".join(
        f".{item.name} rect{{fill:{item.dark[0]}}}.{item.name} text{{fill:{item.dark[1]}}}" for item in LOOKS
    )
    css = (
        f"text{{font:13px {FONT};fill:#1c2128}}.s{{font-family:{SANS}}}.h{{font-size:18px;font-weight:600}}"
        ".t{font-size:11px}.m{fill:#5b6572}.page{fill:#fff}.good{fill:#14683d}.error{fill:#a3221b}.changed{fill:#8a4b00}"
        f".c{{text-anchor:middle}}{looks}{style}"
        "@media (prefers-color-scheme:dark){text{fill:#e6e9ee}.m{fill:#9aa4b1}.page{fill:#14171c}"
        f".good{{fill:#5fd39a}}.error{{fill:#f0938b}}.changed{{fill:#f0b464}}{dark}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' height="{height:.0f}" role="img" aria-labelledby="title"><title id="title">{escape(harmless(title, backslash=False))}</title>'
        f'<style>{css}</style><rect class="page" width="100%" height="100%"/>{"".join(body)}</svg>\n'
    )


def _words(x: float, y: float, text: str, classes: str = "") -> str:
    kind = f' class="{classes}"' if classes else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{kind} xml:space="preserve">{escape(harmless(text, backslash=False))}</text>'


def _head(report: Report, title: str) -> tuple[list[str], float]:
    body = [_words(MARGIN, MARGIN + 14, title, "s h")]
    y = MARGIN + 14.0
    lines = [f"{name}: {text}" for name, text in about(report)]
    if report.data.get("complete") is False:
        lines.insert(0, "Stopped before its end: this is what was found so far.")
    for text in lines:
        y += LINE
        body.append(_words(MARGIN, y + 4, text, "s m"))
    return body, y + LINE


def _text(report: Report) -> str:
    """The sections, as lines."""
    body, y = _head(report, report.title or f"sockkit {report.command}")
    widest = len(report.title) * 1.4
    for section in report.sections:
        marks = [
            *([""] if section.title else []),
            *([""] if section.header else []),
            *(row.mark for row in section.rows),
        ]
        y += LINE / 2
        for line, mark in zip(section_lines(section), marks, strict=False):
            y += LINE
            body.append(_words(MARGIN, y, line, {"faint": "m"}.get(mark, mark)))
            widest = max(widest, len(line))
    return _document(2 * MARGIN + widest * CHARACTER, y + MARGIN, report.title or report.command, body)


def _heat_map(report: Report, matrix: Matrix) -> str:
    """Families x types; what the kernel does not have at all is named below."""
    space = matrix.space
    body, top = _head(report, f"Sockets: {report.title}".replace(" x ", " × "))
    absent: list[int] = []
    shown: list[int] = []
    for family in space.families:
        outcomes = sum((matrix.counts(family, type) for type in space.types), Counter[str]())
        (absent if outcomes and outcomes.keys() <= {"EAFNOSUPPORT", "EINVAL"} else shown).append(family)
    label = 120
    y = top + LINE
    for i, type in enumerate(space.types):
        name = bare(names.TYPES, type)
        body.append(_words(MARGIN + label + (i + 0.5) * CELL_WIDTH, y, name, "s m c t"))
    y += 10
    for family in shown:
        name = family_name(family)
        body.append(_words(MARGIN, y + 17, name))
        for i, type in enumerate(space.types):
            counts = matrix.counts(family, type)
            if not counts:
                continue
            outcome, number = (OK, counts[OK]) if counts[OK] else counts.most_common(1)[0]
            row = look(outcome)
            x = float(MARGIN + label + i * CELL_WIDTH)
            told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
            kind = names.TYPES.name(type) or f"type {type}"
            body.append(
                f'<g class="{row.name}"><title>{escape(f"{name} {kind}: {told}")}</title>'
                f'<rect x="{x + 1}" y="{y + 1:.0f}" width="{CELL_WIDTH - 2}" height="{CELL_HEIGHT - 2}" rx="3"/>'
                f"{_words(x + CELL_WIDTH / 2, y + 17, f'{number}' if outcome == OK else row.key, 'c')}</g>"
            )
        y += CELL_HEIGHT
    y += LINE
    x = float(MARGIN)
    width = max(2 * MARGIN + label + CELL_WIDTH * len(space.types), 640)
    present = sum((matrix.counts(*key) for key in matrix.rows), Counter[str]())
    for row in LOOKS:
        count = sum(number for outcome, number in present.items() if look(outcome) is row)
        if not count:
            continue
        text = f"{row.name}: {row.words} ({count})" if row.name != OK else f"works: the number of protocols ({count})"
        length = 34 + len(text) * 8
        if x + length > width - MARGIN and x > MARGIN:
            x, y = float(MARGIN), y + 26
        body.append(
            f'<g class="{row.name}"><rect x="{x:.0f}" y="{y:.0f}" width="20" height="18" rx="3"/>'
            f"{_words(x + 10, y + 13, row.key, 'c')}</g>{_words(x + 27, y + 14, text, 's')}"
        )
        x += length
    y += 26
    if absent:
        y += LINE
        line = "Not here:"
        for word in map(family_name, absent):
            if (len(line) + len(word)) * 8.6 > width - 2 * MARGIN:
                body.append(_words(MARGIN, y, line, "s m"))
                line, y = "   ", y + LINE
            line += f" {word}"
        body.append(_words(MARGIN, y, line, "s m"))
    return _document(width, y + MARGIN, report.title, body)
