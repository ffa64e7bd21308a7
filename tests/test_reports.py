"""Reports in files: what is in ``.csv``, ``.md``, ``.svg`` and ``.html`` is what the report says, judged by other programs' readers."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sockkit import rules
from sockkit.commands.space import report as space_report
from sockkit.events import Report, Row, Section
from sockkit.matrix import Matrix, load, shipped
from sockkit.render.looks import LOOKS
from sockkit.render.reports import embedded, html
from sockkit.render.svg import svg
from sockkit.render.tables import CELL_FIELDS, FIELDS, markdown
from sockkit.render.tables import csv as as_csv
from tests.harness import Process, needs_linux, run

SUFFIXES = ("json", "csv", "md", "svg", "html", "txt")
SPACE = ("--family", "INET,UNIX,45", "--type", "0-5", "--proto", "0-20,132")
NASTY = "</script><b>|`*\\\x1b[31m&\u202e\n,\"'\x00"


def written(tmp_path: Path, *args: str) -> dict[str, str]:
    """Every kind of report of one run."""
    paths = {suffix: tmp_path / f"report.{suffix}" for suffix in SUFFIXES}
    done = run(*args, *(word for path in paths.values() for word in ("-o", str(path))))
    assert done.status in (0, 1), done
    assert sorted(tmp_path.iterdir()) == sorted(paths.values()), "nothing else is left"
    return {suffix: path.read_text() for suffix, path in paths.items()}


def matrix_of(document: str, tmp_path: Path) -> Matrix:
    path = tmp_path / "again.json"
    path.write_text(document)
    return load(str(path))


class Page(HTMLParser):
    """What a page has: its elements, its text, and the content of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.cells: list[str] = []
        self._in: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self._in in ("td", "th"):
            self.cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._in = None

    @property
    def data(self) -> Any:
        """The embedded JSON."""
        return json.loads(
            next(text for attributes, text in self.scripts if attributes.get("type") == "application/json")
        )


# ---- the cells of a space


@needs_linux
def test_a_space_in_every_format(tmp_path: Path) -> None:
    files = written(tmp_path, "probe", *SPACE)
    matrix = matrix_of(files["json"], tmp_path)
    cells = {(cell.family, cell.type, cell.proto): cell.answer for cell in matrix.cells()}
    assert len(cells) == 3 * 6 * 22

    rows = list(csv.DictReader(io.StringIO(files["csv"])))
    assert tuple(rows[0]) == CELL_FIELDS and len(rows) == len(cells)
    for row in rows:
        answer = cells[int(row["family"]), int(row["type"]), int(row["proto"])]
        assert row["outcome"] == answer.outcome
        assert row["got_proto"] == ("" if answer.got is None or answer.got[2] is None else str(answer.got[2]))
    named = next(row for row in rows if (row["family"], row["type"], row["proto"]) == ("2", "2", "17"))
    assert [named[f"{axis}_name"] for axis in ("family", "type", "proto")] == ["AF_INET", "SOCK_DGRAM", "IPPROTO_UDP"]

    picture = ElementTree.fromstring(files["svg"])
    told = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}title")}
    counts = matrix.counts(2, 2)
    assert f"INET SOCK_DGRAM: {', '.join(f'{count} {name}' for name, count in counts.most_common())}" in told

    assert "INET" in files["txt"] and "| INET " in files["md"]
    assert Page(files["html"]).data["families"][0][:2] == [2, "AF_INET"]


def unpacked(data: Any) -> Iterator[tuple[int, int, int, str, list[str] | None, int]]:
    """The cells of a page's data, as its script sees them, with their stories filled in."""
    for family, type, first, last, outcome, story, flags, *_ in data["cells"]:
        number, _, _, space = data["families"][family]
        for proto in range(first, last + 1):
            name = data["names"][space].get(str(proto), "") if proto else ""
            told = (
                None
                if story < 0
                else [text.replace("\x01", name).replace("\x02", str(proto)) for text in data["stories"][story]]
            )
            yield number, data["types"][type][0], proto, data["outcomes"][outcome][0], told, flags


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_page_tells_every_cell_as_the_rules_do(name: str) -> None:
    """148,332 cells in some 150 KB, and not one of them otherwise than the rules would say."""
    matrix = load(name)
    text = html(space_report(matrix, 0.0)).decode()
    assert len(text) < 300_000
    capabilities = matrix.host["capabilities"]
    assert isinstance(capabilities, list)
    seen = 0
    for family, type, proto, outcome, told, flags in unpacked(Page(text).data):
        answer = matrix.at(family, type, proto)
        assert answer is not None and answer.outcome == outcome and flags == answer.inferred + 2 * answer.changed
        seen += 1
        if not answer.ok:
            why = rules.why(family, type, proto, outcome, "linux", frozenset(capabilities))
            assert told == (
                None
                if why is None
                else [why.text, why.source, why.try_next or "", why.elsewhere or "", why.module or ""]
            )
    assert seen == sum(1 for _ in matrix.cells())


# ---- one socket, steps, a listing


@needs_linux
@pytest.mark.parametrize(
    "args",
    [
        ["probe", "--type", "DGRAM", "--proto", "TCP"],
        ["probe", "--steps", "bind,listen,send"],
        ["probe", "--family", "UNIX", "--type", "STREAM,DGRAM", "--steps", "bind,listen"],
        ["inspect"],
        ["inspect", "--all"],
    ],
    ids=" ".join,
)
def test_any_report_in_every_format(args: list[str], tmp_path: Path) -> None:
    files = written(tmp_path, *args)
    assert json.loads(files["json"])["command"] == args[0]
    words = [word for line in files["txt"].splitlines()[2:8] for word in re.split(r"  +", line.strip()) if word]
    page = Page(files["html"])
    tokens = MarkdownIt("commonmark").enable("table").parse(files["md"])
    table = [token.content for token in tokens if token.type == "inline"]
    assert any(token.type == "table_open" for token in tokens)
    plain = [re.sub(r"\\(.)", r"\1", text).replace("**", "") for text in table]
    for word in words:
        word = word.rstrip(":")
        assert any(word in cell for cell in (*page.cells, *[text for _, text in page.scripts], files["html"])), word
        assert any(word in text for text in plain), word
    ElementTree.fromstring(files["svg"])
    assert list(csv.reader(io.StringIO(files["csv"])))


@needs_linux
def test_a_table_of_calls_as_csv_has_a_value_for_each_cell(tmp_path: Path) -> None:
    files = written(tmp_path, "probe", "--family", "UNIX", "--type", "STREAM,DGRAM", "--steps", "bind,listen")
    assert "what it means" in files["csv"]
    rows = list(csv.DictReader(io.StringIO(files["csv"])))
    assert tuple(rows[0]) == FIELDS
    assert {(row["item"], row["field"]): row["value"] for row in rows if row["section"] == "" and row["value"]} == {
        ("bind", "UNIX STREAM"): "ok",
        ("bind", "UNIX DGRAM"): "ok",
        ("listen", "UNIX STREAM"): "ok",
        ("listen", "UNIX DGRAM"): "EOPNOTSUPP",
    }


# ---- safe whatever is in it


def nasty() -> Report:
    rows = (Row((NASTY, NASTY, "x"), "error"), Row(("alone",), "faint"))
    return Report(0.0, "inspect", NASTY, {"host": {"user": NASTY}}, (Section(NASTY, (NASTY, "b", "c"), rows),))


def test_what_a_report_holds_never_becomes_markup() -> None:
    text = html(nasty()).decode()
    page = Page(text)
    assert [tag for tag, _ in page.elements].count("b") == 0
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    root = ElementTree.fromstring(svg(nasty()))
    assert all(element.tag.rpartition("}")[2] in ("svg", "title", "style", "rect", "text") for element in root.iter())
    rendered = MarkdownIt("commonmark").enable("table").render(markdown(nasty()).decode())
    assert (
        "<b>" not in rendered
        and "<script" not in rendered
        and "</script>" not in rendered.replace("&lt;/script&gt;", "")
    )


@given(st.text())
def test_embedded_data_is_never_markup(text: str) -> None:
    found = embedded({"text": text})
    assert not set("<>&") & set(found) and json.loads(found) == {"text": text}


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r")), min_size=3, max_size=3))
def test_csv_gives_every_value_back(cells: list[str]) -> None:
    report = Report(0.0, "inspect", "", {}, (Section("", ("a", "b", "c"), (Row(tuple(cells)),)),))
    rows = list(csv.reader(io.StringIO(as_csv(report).decode(), newline="")))
    assert rows == [["a", "b", "c"], cells]


@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S"))), min_size=2, max_size=2))
def test_markdown_gives_every_value_back(cells: list[str]) -> None:
    report = Report(0.0, "inspect", "t", {}, (Section("", ("a", "b"), (Row(("x", *cells)), Row(("y",)))),))
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown(report).decode())
    inline = [token for token in tokens if token.type == "inline"]
    texts = ["".join(child.content for child in token.children or ()) for token in inline]
    at = texts.index("x")
    assert texts[at + 1 : at + 3] == cells


def test_pages_and_pictures_load_nothing(tmp_path: Path) -> None:
    files = written(tmp_path, "probe", "--family", "UNIX", "--type", "all")
    for tag, attributes in Page(files["html"]).elements:
        for name in ("src", "href", "action", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, attributes)
        assert tag not in ("iframe", "object", "embed", "base"), tag
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", files["html"])
    assert "href" not in files["svg"] and "url(" not in files["svg"]
    assert "default-src 'none'" in files["html"]


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_every_outcome_can_be_read(look: Any) -> None:
    """Contrast as WCAG 2.2 has it (1.4.3): 4.5 at least."""
    for pair in (look.light, look.dark):
        lighter, darker = sorted(map(luminance, pair), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, pair


def test_outcomes_differ_by_more_than_colour() -> None:
    assert len({look.key for look in LOOKS}) == len(LOOKS)


# ---- whole or not at all


@needs_linux
def test_an_interrupted_report_says_so(tmp_path: Path) -> None:
    paths = {suffix: tmp_path / f"r.{suffix}" for suffix in ("json", "html", "md", "svg")}
    files = [word for path in paths.values() for word in ("-o", str(path))]
    steps = "bind,listen,getsockname,accept,getpeername"
    with Process("probe", "--steps", steps, "--step-timeout", "60", "-v", *files) as process:
        process.wait_for(rb"getsockname\(")
        process.kill(signal.SIGINT)
        assert process.finish().status == -signal.SIGINT
    assert json.loads(paths["json"].read_text())["complete"] is False
    for suffix in ("html", "md", "svg"):
        assert "Stopped before its end" in paths[suffix].read_text()
    assert sorted(tmp_path.iterdir()) == sorted(paths.values())
    assert "Stopped before" not in html(nasty()).decode()


@pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: modes are POSIX's")
def test_where_nothing_can_be_written_nothing_is_left(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        done = run("probe", "-o", str(tmp_path / "missing" / f"x.{suffix}"))
        assert done.status == 1 and "ENOENT" in done.said and done.out == b""
    assert list(tmp_path.iterdir()) == []
