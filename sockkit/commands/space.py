"""``sockkit probe`` of a whole space: asks for it, and makes the report. Loaded only when a space is asked for."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sockkit import names, rules
from sockkit.commands.expect import check_count, conclude, of_space
from sockkit.errors import Exit, Signalled
from sockkit.events import Env, Report, Row, Section
from sockkit.matrix import OK, Matrix, Space, document, ranges
from sockkit.sweep import Wishes, sweep

if TYPE_CHECKING:
    from sockkit.commands.probe import ProbePlan

KEYS = {
    OK: "+",
    "EAFNOSUPPORT": "f",
    "ESOCKTNOSUPPORT": "t",
    "EPROTONOSUPPORT": "p",
    "EPROTOTYPE": "y",
    "EINVAL": "v",
    "EPERM": "!",
    "EACCES": "a",
    "ENODEV": "d",
}
"""How the heat map spells an outcome where there is no colour; ``?`` is any other."""
FEW = 4
"""Neighbouring protocols that are named one by one; more of them are a range."""


def bare(space: names.Space, number: int) -> str:
    """A name without its prefix, or the number: ``INET``, ``STREAM``, ``47``."""
    name = space.name(number)
    if name is None:
        return str(number)
    for prefix in space.prefixes:
        name = name.removeprefix(prefix)
    return name


def family_name(number: int) -> str:
    """``INET``. A limit (AF_MAX) is no family: its number."""
    name = bare(names.FAMILIES, number)
    return str(number) if name == "MAX" else name


def proto_names(family: int, protos: list[int]) -> str:
    """Protocols by name, long runs of them as a range: ``0 TCP MPTCP``, ``1-262``."""
    space = names.protocols(family)
    words = []
    for first, last in ranges(protos):
        if last - first >= FEW:
            words.append(f"{first}-{last}")
        else:
            words += [bare(space, number) if number else "0" for number in range(first, last + 1)]
    return " ".join(words)


def heat_map(matrix: Matrix) -> Section:
    """Families × types: how many protocols work, or else how many had the commonest refusal, spelt as in ``KEYS``."""
    space = matrix.space
    rows = []
    for family in space.families:
        counts = [matrix.counts(family, type) for type in space.types]
        if sum(counts, Counter()).keys() <= {"EAFNOSUPPORT", "EINVAL"}:
            continue
        cells, marks = [family_name(family)], ["family"]
        for count in counts:
            outcome, number = (OK, count[OK]) if count[OK] else next(iter(count.most_common(1)), ("", 0))
            cells.append(f"{KEYS.get(outcome, '?')}{number}" if outcome else "")
            marks.append(outcome)
        rows.append(Row(tuple(cells), marks=tuple(marks)))
    header = ("", *(bare(names.TYPES, type)[:4] for type in space.types))
    return Section("protocols that work (+), or the commonest refusal", header, tuple(rows))


def absent(matrix: Matrix) -> list[int]:
    """The families that the kernel does not have."""
    found = []
    for family in matrix.space.families:
        outcomes = sum((matrix.counts(family, type) for type in matrix.space.types), Counter[str]())
        if outcomes and outcomes.keys() <= {"EAFNOSUPPORT", "EINVAL"}:
            found.append(family)
    return found


def refusals(matrix: Matrix) -> Counter[tuple[str, str, str]]:
    """How many cells each check of the kernel refused: by its name, its source and its errno."""
    platform = str(matrix.host.get("platform", "linux"))
    found: Counter[tuple[str, str, str]] = Counter()
    for family, type, first, last, answer in matrix.runs():
        if not answer.ok:
            why = rules.why(family, type, first, answer.outcome, platform, matrix.allowed)
            key = (why.rule, why.source, answer.outcome) if why is not None else ("unknown", "", answer.outcome)
            found[key] += last - first + 1
    return found


def _sections(matrix: Matrix) -> Iterator[Section]:
    yield heat_map(matrix)
    totals = sum((matrix.counts(*key) for key in matrix.rows), Counter[str]())
    rows = [
        Row((KEYS.get(outcome, "?"), outcome, str(count)), marks=(outcome,) * 3)
        for outcome, count in totals.most_common()
    ]
    yield Section("cells by outcome", (), tuple(rows))
    rows = []
    for family in matrix.space.families:
        for type, protos in matrix.working(family):
            cells = (family_name(family), bare(names.TYPES, type), proto_names(family, protos))
            rows.append(Row(cells, "good"))
    yield Section("works here", ("family", "type", "protocols"), tuple(rows) or (Row(("nothing",)),))
    rows = [Row((*names, errno, str(cells))) for (*names, errno), cells in refusals(matrix).most_common()]
    if rows:
        yield Section("refused by", ("check", "in", "with", "cells"), tuple(rows))
    missing = [family_name(number) for number in absent(matrix)]
    if missing:
        yield Section("not here (EAFNOSUPPORT)", (), (Row((" ".join(missing),), "faint"),))
    yield Section("the sweep", (), tuple(_how(matrix)))


def _how(matrix: Matrix) -> Iterator[Row]:
    sweep = matrix.sweep
    if not matrix.complete:
        yield Row(("stopped", "before its end: what was found so far is shown"), "error")
    yield Row(("asked", f"{sweep['asked']} times in {sweep['seconds']} s"))
    if sweep["inferred"]:
        yield Row(
            (
                "inferred",
                f"{sweep['inferred']} cells from the kernel's rules; {sweep['checked']} of them, picked at random, asked after all",
            )
        )
    distrusted = sweep["distrusted"]
    if isinstance(distrusted, list) and distrusted:
        text = " ".join(map(family_name, distrusted))
        yield Row(("distrusted", f"{text}: answered otherwise than the rules say, so asked for in full"), "changed")
    if sweep["changed"]:
        cells = [cell for cell in matrix.cells() if cell.answer.changed]
        shown = [f"{family_name(c.family)} {bare(names.TYPES, c.type)} {c.proto}" for c in cells[:FEW]]
        more = ["..."] if len(cells) > FEW else []
        text = f"{sweep['changed']} cells, once modules were loaded: {', '.join([*shown, *more])}"
        yield Row(("changed", text), "changed")
    if sweep["left"]:
        yield Row(("left", f"{sweep['left']} cells not asked: that might load a module"), "changed")
    loaded = sweep["modules"]
    if isinstance(loaded, list):
        yield Row(("modules", f"loaded by asking: {' '.join(loaded)}" if loaded else "none was loaded by asking"))
    else:
        yield Row(("modules", "this kernel has none, or does not tell"), "faint")


def title(space: Space) -> str:
    """``47 families × 12 types × 263 protocols``."""
    sizes = [
        f"{len(axis)} {word if len(axis) != 1 else one}"
        for axis, word, one in zip(
            space, ("families", "types", "protocols"), ("family", "type", "protocol"), strict=True
        )
    ]
    return " x ".join(sizes)


def report(matrix: Matrix, time: float) -> Report:
    """What was found, for people and for programs."""
    return Report(time, "probe", title(matrix.space), document(matrix), tuple(_sections(matrix)), matrix)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt in here. A SIGINT that was inherited as ignored stays ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def ask(plan: ProbePlan, space: Space, env: Env) -> Matrix:
    """Sweep as the plan says.

    Raises:
        SystemRefusal: no descriptor or memory is left.
    """
    with interruptible():
        return sweep(space, env, Wishes(plan.exhaustive, not plan.no_load))


def run(plan: ProbePlan, space: Space, env: Env) -> Exit:
    """Sweep and report.

    Raises:
        Signalled: Ctrl-C, after what was found was shown. SystemRefusal: no descriptor or memory is left.
    """
    check_count(plan.expect, 1)
    if plan.code:
        from sockkit.commands import code

        code.tell(env, "probe", code.space(space))
        return Exit.OK
    matrix = ask(plan, space, env)
    problem = None if plan.expect is None else of_space(plan.expect, matrix)
    status = conclude(env, report(matrix, env.clock()), plan.expect, problem, ok=True)
    if not matrix.complete:
        raise Signalled(signal.SIGINT)
    return status
