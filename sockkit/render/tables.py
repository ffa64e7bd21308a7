"""Reports for other programs' tables: ``.csv`` and ``.md``."""

from __future__ import annotations

import csv as writer
import io
import os
import time
from collections.abc import Iterator

from sockkit import names
from sockkit.events import Report, Row, Section
from sockkit.matrix import Matrix

CELL_FIELDS = (
    *("family", "family_name", "type", "type_name", "proto", "proto_name", "outcome"),
    *("got_family", "got_type", "got_proto", "inferred", "changed"),
)
FIELDS = ("section", "item", "field", "value")


def csv(report: Report) -> bytes:
    """A line for each cell of a space; for a report with one table, that table; else a line for each value.

    RFC 4180, in UTF-8, with a line of names first.
    """
    text = io.StringIO()
    out = writer.writer(text)
    tables = [section for section in report.sections if section.header] if report.whole is None else [report.whole]
    if report.matrix is not None:
        out.writerow(CELL_FIELDS)
        out.writerows(cells(report.matrix))
    elif len(tables) == 1 and len(report.sections) <= 2:
        (table,) = tables
        out.writerow([name or "item" for name in table.header])
        out.writerows(row.cells for row in table.rows)
    else:
        out.writerow(FIELDS)
        for section in report.sections:
            out.writerows(values(section))
    return text.getvalue().encode("utf-8", "backslashreplace")


def cells(matrix: Matrix) -> Iterator[tuple[object, ...]]:
    """The cells of a matrix, in the order of ``CELL_FIELDS``."""
    known: dict[tuple[str, int, int], str] = {}

    def name(axis: str, family: int, number: int) -> str:
        key = (axis, family if axis == "proto" else 0, number)
        if key not in known:
            space = {"family": names.FAMILIES, "type": names.TYPES}.get(axis) or names.protocols(family)
            known[key] = space.name(number) or ""
        return known[key]

    for family, type, proto, answer in matrix.cells():
        yield (
            *(family, name("family", family, family)),
            *(type, name("type", family, type)),
            *(proto, name("proto", family, proto) if proto else ""),
            answer.outcome,
            *(("", "", "") if answer.got is None else ("" if part is None else part for part in answer.got)),
            int(answer.inferred),
            int(answer.changed),
        )


def values(section: Section) -> Iterator[tuple[str, str, str, str]]:
    """A section's values one by one, in the order of ``FIELDS``."""
    for row in section.rows:
        item, *others = row.cells or ("",)
        if not others:
            yield section.title, "", "", item
        for i, value in enumerate(others, 1):
            field = section.header[i] if i < len(section.header) else ""
            if value:
                yield section.title, item, field, value


def markdown(report: Report) -> bytes:
    """The report as text with its tables, as GitHub and GitLab show them (GFM 4.10)."""
    lines = [f"# {_plain(report.title) or 'sockkit ' + report.command}", ""]
    if report.data.get("complete") is False:
        lines += ["**Stopped before its end: this is what was found so far.**", ""]
    lines += [f"- {name}: {_plain(text)}" for name, text in about(report)]
    for section in report.sections:
        lines += ["", *([f"## {_plain(section.title)}", ""] if section.title else []), *_table(section)]
    return ("\n".join(lines).replace("\n\n\n", "\n\n") + "\n").encode("utf-8", "backslashreplace")


def about(report: Report) -> list[tuple[str, str]]:
    """Who answered, and when, for the head of a report that may be read elsewhere and later."""
    from sockkit import __version__

    host = report.data.get("host")
    found = []
    if host is None and hasattr(os, "uname"):
        here = os.uname()
        found.append(("kernel", f"{here.sysname} {here.release} {here.machine}"))
        found.append(("time", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())))
    elif isinstance(host, dict):
        found.append(("kernel", " ".join(str(host[key]) for key in ("system", "kernel", "machine") if host.get(key))))
        user = str(host.get("user") or host.get("uid") or "")
        capabilities = host.get("capabilities")
        if isinstance(capabilities, list) and capabilities:
            user += f" ({', '.join(map(str, capabilities))})"
        found += [
            ("user", user),
            ("container", str(host.get("container") or "")),
            ("time", str(host.get("time") or "")),
        ]
    found.append(("made by", f"sockkit {__version__} {report.command}"))
    return [(name, text) for name, text in found if text]


def _plain(text: str) -> str:
    """Text that means nothing to Markdown: within a table a bar ends the cell, elsewhere these start something."""
    for character in "\\`*_[]<>|#~":
        text = text.replace(character, f"\\{character}")
    return text


def _table(section: Section) -> Iterator[str]:
    columns = max([len(section.header), *(len(row.cells) for row in section.rows)], default=0)
    if not columns:
        return
    header = section.header or ("",) * columns
    yield _line([_plain(cell) for cell in header], columns)
    yield "|" + "---|" * columns
    for row in section.rows:
        yield _line(_cells(row), columns)


def _cells(row: Row) -> list[str]:
    bold = row.mark in ("error", "changed")
    return [f"**{_plain(cell)}**" if bold and cell and i else _plain(cell) for i, cell in enumerate(row.cells)]


def _line(cells: list[str], columns: int) -> str:
    padded = [*cells, *[""] * (columns - len(cells))]
    return f"| {' | '.join(padded)} |"
