"""``--expect``: the exit status as an assertion on what came out."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sockkit.errors import Exit, UsageError, errno_name
from sockkit.events import Env, Level, Note, Report, Row, Section
from sockkit.spec import Kind
from sockkit.text import quoted

if TYPE_CHECKING:
    from sockkit.matrix import Matrix

OK = "ok"
ERROR = "error"
"""Any refusal."""


class Expectation(NamedTuple):
    """What was expected.

    Attributes:
        text: as typed.
        wanted: for each outcome the names that do; where there is one only, it is for the last outcome, or for all of a space.
    """

    text: str
    wanted: tuple[frozenset[str], ...]


def parse(text: str) -> Expectation:
    """``ok``, ``error``, an errno by name or number; ``A|B`` takes either; ``A,B,C`` is for the steps one by one.

    Raises:
        UsageError: no errno of this platform.
    """
    wanted = tuple(frozenset(_name(word.strip()) for word in part.split("|")) for part in text.split(","))
    return Expectation(text, wanted)


def _name(word: str) -> str:
    if word.lower() in (OK, ERROR):
        return word.lower()
    if word.isascii() and word.isdecimal():
        name = errno_name(int(word[:9]))
        if name is not None:
            return name
        raise UsageError(f"{quoted(word)} is no errno here", option="--expect")
    from sockkit.rules import canonical

    name = canonical(word.upper())
    if hasattr(errno, name):
        return name
    import difflib

    known = sorted(set(errno.errorcode.values()))
    close = difflib.get_close_matches(name, [*known, name and f"E{name}"], 3)
    near = [found for found in close if found in known]
    if f"E{name}" in known:
        near = [f"E{name}"]
    right = f"did you mean {' or '.join(near)}?" if near else "ok, error, or a name such as EPROTONOSUPPORT"
    raise UsageError(f"{quoted(word)} is no errno here: {right}", option="--expect")


def _complete(start: str) -> list[tuple[str, str]]:
    names = [OK, ERROR, *sorted(set(errno.errorcode.values()))]
    return [(name, "") for name in names if name.lower().startswith(start.lower())]


EXPECTATION = Kind("WHAT", parse, _complete)


def met(wanted: frozenset[str], outcome: str) -> bool:
    """One outcome (``ok``, or the name of an errno or of a Python exception) is one of those."""
    from sockkit.rules import canonical

    return canonical(outcome) in wanted or (ERROR in wanted and outcome != OK)


def either(wanted: frozenset[str]) -> str:
    """As it is said: ``EPERM or EACCES``."""
    return " or ".join(sorted(wanted))


def of_steps(expectation: Expectation, outcomes: Sequence[tuple[str, str]]) -> str | None:
    """Judge a row of (what, outcome): one expectation is for the last, and then all before it must be ok.

    Returns:
        What was wrong first, or None.

    """
    wanted = expectation.wanted
    if len(wanted) == 1:
        wanted = (*[frozenset((OK,))] * (len(outcomes) - 1), *wanted)
    for (what, outcome), right in zip(outcomes, wanted, strict=True):
        if not met(right, outcome):
            return f"expected {either(right)}, got {outcome}" + (f" ({what})" if len(outcomes) > 1 else "")
    return None


def of_one(expectation: Expectation, outcome: str) -> str | None:
    """Judge a single outcome.

    Returns:
        What was wrong, or None.

    Raises:
        UsageError: several are expected.
    """
    check_count(expectation, 1)
    wanted = expectation.wanted[0]
    return None if met(wanted, outcome) else f"expected {either(wanted)}, got {outcome}"


def of_space(expectation: Expectation, matrix: Matrix) -> str | None:
    """Judge a whole space: every cell must be so.

    Returns:
        What was wrong, with the first such cell, or None.
    """
    wanted = expectation.wanted[0]
    good = {answer: met(wanted, answer.outcome) for answer in {cell.answer for cell in matrix.cells()}}
    cells = list(matrix.cells())
    wrong = [cell for cell in cells if not good[cell.answer]]
    if not wrong:
        return None
    family, type, proto, answer = wrong[0]
    first = f"--family {family} --type {type} --proto {proto}: {answer.outcome}"
    return f"expected {either(wanted)}, but {len(wrong)} of {len(cells)} are otherwise, first {first}"


def check_count(expectation: Expectation | None, count: int) -> None:
    """Raises UsageError where as many cannot come out as are expected; to be asked before anything is done."""
    if expectation is not None and len(expectation.wanted) not in (1, count):
        right = "give one for the last, or one for each" if count > 1 else "A|B takes either"
        raise UsageError(f"{len(expectation.wanted)} outcomes are expected, {count} comes: {right}", option="--expect")


def conclude(env: Env, report: Report, expectation: Expectation | None, problem: str | None, *, ok: bool) -> Exit:
    """Tell the report, with what was expected if anything was, and say how the process is to end.

    Args:
        problem: what is not as expected; None: it is.
        ok: nothing was refused: decides where nothing was expected.
    """
    if expectation is None:
        env.observer(report)
        return Exit.OK if ok else Exit.FAILED
    told = Row(
        ("expected", problem.removeprefix("expected ") if problem else f"{expectation.text}: so it is"),
        "error" if problem else "good",
    )
    data = {"text": expectation.text, "met": problem is None, "problem": problem}
    env.observer(
        report._replace(data={**report.data, "expected": data}, sections=(*report.sections, Section("", (), (told,))))
    )
    if problem is not None:
        env.observer(Note(env.clock(), 0, Level.WARNING, problem))
    return Exit.OK if problem is None else Exit.FAILED
