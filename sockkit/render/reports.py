"""``-o FILE.html``: a report as one page that loads nothing from anywhere: style, script and data are in it.

A space of sockets is a heat map
that is explored by pointer or keyboard; any other report its tables, with a filter. The data of a space is compact: runs of
protocols that were answered alike and for the same reason share a row, and a reason that differs by the protocol's name only is
one text with a hole in it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache

from markupsafe import Markup

from sockkit import names, rules
from sockkit.events import Report
from sockkit.matrix import OK, Answer, Matrix, ranges
from sockkit.render.looks import LOOKS, look
from sockkit.render.pages import page
from sockkit.render.tables import about
from sockkit.text import escape

NAME, NUMBER = "\x01", "\x02"
"""The holes of a text: where the protocol's name and its number belong."""
SETTLED = frozenset(("type flags", "family range", "type range", "family registered"))
"""Rules that never look at the protocol: one cell of a run speaks for all, unless other systems are told of, which do."""


def html(report: Report) -> bytes:
    """The page, in UTF-8."""
    about_it = {
        "title": escape(report.title, backslash=False).replace(" x ", " × ") or f"sockkit {report.command}",
        "command": report.command,
        "about": about(report),
        "complete": report.data.get("complete") is not False,
        "looks": LOOKS,
        "sections": report.sections if report.whole is None else (*report.sections[-1:], report.whole),
    }
    if report.matrix is None:
        text = page("report.html", **about_it)
    else:
        text = page("matrix.html", **about_it, data=Markup(embedded(payload(report.matrix))))
    return text.encode("utf-8", "backslashreplace")


def embedded(value: object) -> str:
    """JSON that may stand within a script element: nothing in it looks like markup."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def payload(matrix: Matrix) -> dict[str, object]:
    """What the page's script needs of a matrix."""
    space = matrix.space
    stories = _Stories(matrix.host)
    families = {number: i for i, number in enumerate(space.families)}
    types = {number: i for i, number in enumerate(space.types)}
    outcomes: dict[str, int] = {OK: 0}
    cells = []
    for family, type, first, last, answer in matrix.runs():
        outcome = outcomes.setdefault(answer.outcome, len(outcomes))
        flags = answer.inferred + 2 * answer.changed
        for begin, end, story in stories.of(family, type, first, last, answer):
            got = None if answer.got is None else list(answer.got)
            cells.append([families[family], types[type], begin, end, outcome, story, flags, *([got] if got else [])])
    spaces: dict[names.Space, int] = {}
    return {
        "families": [
            [number, family_label(number), names.FAMILIES.meaning(number) or "", _space(spaces, number)]
            for number in space.families
        ],
        "types": [[number, _label(names.TYPES, number)] for number in space.types],
        "protos": ranges(space.protos),
        "names": [_names(found, space.protos) for found in spaces],
        "outcomes": [
            [name, getattr(errno, name, None), _message(name), look(name).name, look(name).key] for name in outcomes
        ],
        "stories": stories.texts,
        "cells": cells,
        "absent": [families[number] for number in _absent(matrix)],
    }


def family_label(number: int) -> str:
    """``AF_INET``. A limit (AF_MAX) is no family: its number."""
    name = names.FAMILIES.name(number)
    return str(number) if name in (None, "AF_MAX") else str(name)


def _label(space: names.Space, number: int) -> str:
    return space.name(number) or str(number)


def _space(spaces: dict[names.Space, int], family: int) -> int:
    return spaces.setdefault(names.protocols(family), len(spaces))


def _names(space: names.Space, protos: Iterable[int]) -> dict[int, str]:
    """The names of one family's protocols, as far as the space has their numbers."""
    found = {number: space.name(number) for number in protos if number}
    return {number: name for number, name in found.items() if name is not None}


def _message(outcome: str) -> str:
    number = getattr(errno, outcome, None)
    return os.strerror(number) if isinstance(number, int) else ("a socket was made" if outcome == OK else "")


def _absent(matrix: Matrix) -> Iterator[int]:
    """Families that the kernel has not, whatever the type."""
    for family in matrix.space.families:
        outcomes = {answer.outcome for type in matrix.space.types for answer in matrix.row(family, type) if answer}
        if outcomes and outcomes <= {"EAFNOSUPPORT", "EINVAL"}:
            yield family


class _Stories:
    """The reasons, each text once."""

    def __init__(self, host: dict[str, object]) -> None:
        capabilities = host.get("capabilities")
        self._allowed = frozenset(map(str, capabilities)) if isinstance(capabilities, list) else frozenset[str]()
        self._platform = str(host.get("platform") or sys.platform)
        self.texts: list[list[str]] = []
        self._numbers: dict[tuple[str, ...], int] = {}

    def _number(self, story: tuple[str, ...]) -> int:
        if story not in self._numbers:
            self._numbers[story] = len(self.texts)
            self.texts.append(list(story))
        return self._numbers[story]

    def of(self, family: int, type: int, first: int, last: int, answer: Answer) -> Iterator[tuple[int, int, int]]:
        """(first, last, number of the story) for the parts of a run that have one story each; -1: there is none."""
        if answer.ok and answer.got is None:
            yield first, last, -1
            return
        begun, current = first, self._at(family, type, first, answer)
        if current[1]:
            yield first, last, current[0]
            return
        for begin, end in self._pieces(family, first + 1, last):
            found = self._at(family, type, begin, answer)
            if end > begin and self._at(family, type, end, answer) != found:
                parts = [(proto, self._at(family, type, proto, answer)) for proto in range(begin, end + 1)]
            else:
                parts = [(begin, found)]
            for proto, story in parts:
                if story[0] != current[0]:
                    yield begun, proto - 1, current[0]
                    begun, current = proto, story
        yield begun, last, current[0]

    def _pieces(self, family: int, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Protocols that are something to the rules, one by one, and the gaps between them, whose two ends speak for all."""
        begin = first
        for proto in _special(family):
            if first <= proto <= last:
                if begin < proto:
                    yield begin, proto - 1
                yield proto, proto
                begin = proto + 1
        if begin <= last:
            yield begin, last

    def _at(self, family: int, type: int, proto: int, answer: Answer) -> tuple[int, bool]:
        """The story of one cell, and whether it is that of the whole run."""
        if answer.got is not None:
            told = rules.rewrites((family, type, proto), answer.got)
            text = "; ".join(why for _, why in told)
            return (self._number(self._holed(family, proto, text, "", "", "", "")) if text else -1), False
        why = rules.why(family, type, proto, answer.outcome, self._platform, self._allowed)
        if why is None:
            return -1, False
        story = (why.text, why.source, why.try_next or "", why.elsewhere or "", why.module or "")
        if why.rule in SETTLED and why.elsewhere is None:
            return self._number(story), True
        return self._number(self._holed(family, proto, *story)), False

    def _holed(self, family: int, proto: int, *texts: str) -> tuple[str, ...]:
        """The texts with the protocol taken out, so that those of others may be the same. Filling in is exact."""
        label, number = _patterns(family, proto)
        return tuple(number.sub(NUMBER, text.replace(label, NAME) if label else text) for text in texts)


@lru_cache(64)
def _special(family: int) -> list[int]:
    """The protocols of a family that have a name, or a row in the tables of ``rules``."""
    named = {constant.number for constant in names.protocols(family).constants() if constant.number is not None}
    return sorted(named | {row.proto for row in rules.KNOWN if row.family == family and row.proto != rules.ANY})


@lru_cache(4096)
def _patterns(family: int, proto: int) -> tuple[str, re.Pattern[str]]:
    label = (names.protocols(family).name(proto) or "") if proto else ""
    return label, re.compile(rf"(?<!\d){proto}(?!\d)")
