"""``sockkit probe --against``: what differs between two matrices, or one and this host. Loaded only when that is asked for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from sockkit import names, rules
from sockkit.commands.space import FEW, ask, bare, family_name, proto_names
from sockkit.compare import CAUSES, Comparison, Difference, compare
from sockkit.errors import Exit, Signalled, UsageError
from sockkit.events import Env, Report, Row, Section
from sockkit.matrix import OK, Matrix, Space, load, ranges

if TYPE_CHECKING:
    from sockkit.commands.probe import ProbePlan


def run(plan: ProbePlan, env: Env) -> Exit:
    """Compare a matrix with this host, or with another one; exit status 1 if anything differs.

    Raises:
        UsageError: no matrix, or more than two. SystemRefusal: a file cannot be read.
    """
    if plan.all or plan.family or plan.type or plan.proto or plan.fileno is not None:
        raise UsageError(
            "the file says what is asked: it goes with no --all, --family, --type, --proto, --fileno",
            option="--against",
        )
    if plan.steps or plan.expect or plan.code:
        raise UsageError("it compares, and does nothing else: no --steps, --expect, --code", option="--against")
    if len(plan.against) > 2:
        raise UsageError("two matrices are compared, or one with this host", option="--against")
    first = load(plan.against[0])
    if len(plan.against) == 2:
        other, labels = load(plan.against[1]), (plan.against[0], plan.against[1])
    else:
        other, labels = ask(plan, first.space, env), (plan.against[0], "this host")
    found = compare(first, other)
    if not found.cells:
        raise UsageError("the two have no combination in common", option="--against")
    env.observer(comparison(first, other, labels, found, env.clock()))
    if len(plan.against) == 1 and not other.complete:
        raise Signalled(signal.SIGINT)
    return Exit.FAILED if found.differences or found.unanswered else Exit.OK


HOST = ("kernel", "machine", "user", "capabilities", "seccomp", "confined", "container", "netns", "userns")
"""What is told of the two hosts."""


def _told(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)


def comparison(first: Matrix, other: Matrix, labels: tuple[str, str], found: Comparison, time: float) -> Report:
    """What differs, for people and for programs."""
    rows = []
    for key in HOST:
        one, two = (_told(matrix.host.get(key)) for matrix in (first, other))
        rows.append(Row((key, one, two), "changed" if one != two else ""))
    sections = [Section("", ("", *labels), tuple(rows))]
    for cause, meaning in CAUSES.items():
        rows = list(_differences([row for row in found.differences if row.cause == cause], first.space))
        if rows:
            cells = sum(row.cells for row in found.differences if row.cause == cause)
            header = ("family", "types", "protocols", *labels, "cells")
            sections.append(Section(f"{cause}, {cells} cells: {meaning}", header, tuple(rows)))
    total = f"{found.differing} of {found.cells} combinations differ"
    summary = [Row((total,), "changed" if found.differences else "good")]
    if found.unanswered:
        summary.append(Row((f"{found.unanswered} cannot be compared: one of the two was not asked",), "error"))
    sections.append(Section("", (), tuple(summary)))
    data: dict[str, object] = {
        "complete": first.complete and other.complete,
        "compared": found.cells,
        "unanswered": found.unanswered,
        "differing": found.differing,
        "hosts": [{"name": name, **matrix.host} for name, matrix in zip(labels, (first, other), strict=True)],
        "differences": [_difference_data(row) for row in found.differences],
    }
    return Report(time, "probe", f"{labels[0]} and {labels[1]}", data, tuple(sections))


def _differences(found: list[Difference], space: Space) -> Iterator[Row]:
    """Rows; what one side has no family for at all is one row, however its cells are answered on the other."""
    most = sum(type < rules.TYPES_END for type in space.types) * len(space.protos)
    for family, group in groupby(found, lambda row: row.family):
        rows = list(group)
        for lacks in (0, 1):
            lacking = [row for row in rows if (row.one, row.other)[lacks] == "EAFNOSUPPORT"]
            if sum(row.cells for row in lacking) == most:
                works = sum(row.cells for row in lacking if (row.one, row.other)[1 - lacks] == OK)
                sides = ["EAFNOSUPPORT", f"{works} work" if works else "none works"]
                yield Row((family_name(family), "all", "all", *(reversed(sides) if lacks else sides), str(most)))
                break
        else:
            yield from map(_difference, rows)


def _difference(row: Difference) -> Row:
    types = " ".join(bare(names.TYPES, type) for type in row.types)
    if len(row.types) > FEW:
        types = " ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges(row.types))
    protos = proto_names(row.family, [n for first, last in row.protos for n in range(first, last + 1)])
    sides = [row.one, row.other]
    if row.got is not None:
        sides = ["as asked" if got is None else " ".join(map(str, got)) for got in row.got]
    return Row((family_name(row.family), types, protos, *sides, str(row.cells)))


def _difference_data(row: Difference) -> dict[str, object]:
    return {
        "cause": row.cause,
        "family": {"number": row.family, "name": names.FAMILIES.name(row.family)},
        "types": list(row.types),
        "protos": [list(span) for span in row.protos],
        "outcomes": [row.one, row.other],
        "got": None if row.got is None else [None if got is None else list(got) for got in row.got],
        "cells": row.cells,
        "rule": row.rule,
    }
