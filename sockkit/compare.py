"""What differs between two kernels' answers to the same space, and where that probably comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sockkit import rules
from sockkit.matrix import Answer, Got, Matrix, ranges

CAUSES = {
    "guard": "a filter or security module: no check of the kernel's own answers so (seccomp, LSM, BPF)",
    "privilege": "who asks: a capability that one of them has",
    "setting": "a sysctl of the network namespace",
    "container": "a network namespace that is not the machine's first",
    "kernel": "what the kernel has, built in or loaded",
}
"""Where a difference may come from, the most special first, and what that means."""


class Difference(NamedTuple):
    """Cells of one family that differ in the same way.

    Attributes:
        cause: one of ``CAUSES``.
        types: all of them with the same ``protos``.
        protos: [first, last] each.
        one, other: the outcomes.
        got: what each side says that the socket is, where both made one (of the first cell; None: as asked).
        cells: how many.
        rule: the check that refuses, of the side that is refused (of the first cell).
    """

    cause: str
    family: int
    types: tuple[int, ...]
    protos: tuple[tuple[int, int], ...]
    one: str
    other: str
    got: tuple[Got | None, Got | None] | None
    cells: int
    rule: str | None


class Comparison(NamedTuple):
    """Two matrices side by side.

    Attributes:
        cells: how many were compared: those that both spaces have.
        unanswered: of these, how many at least one of the two was not asked.
        differences: what differs, by cause, family and type.
    """

    cells: int
    unanswered: int
    differences: tuple[Difference, ...]

    @property
    def differing(self) -> int:
        """How many cells."""
        return sum(row.cells for row in self.differences)


_Key = tuple[str, str | None, int, str, str, tuple[Got | None, Got | None] | None]
"""Cause, rule, family, the two outcomes, and what both got."""


def compare(one: Matrix, other: Matrix) -> Comparison:
    """Compare what both spaces have."""
    families = [family for family in one.space.families if family in frozenset(other.space.families)]
    types = [type for type in one.space.types if type in frozenset(other.space.types)]
    theirs = {proto: i for i, proto in enumerate(other.space.protos)}
    places = [(proto, i, theirs[proto]) for i, proto in enumerate(one.space.protos) if proto in theirs]
    judge = _Judge(one, other)
    found: dict[_Key, dict[int, list[int]]] = {}
    unanswered = 0
    for family in families:
        for type in types:
            left, right = one.rows.get((family, type)), other.rows.get((family, type))
            if left is None or right is None:
                unanswered += len(places)
                continue
            for proto, i, j in places:
                a, b = left[i], right[j]
                if a is None or b is None:
                    unanswered += 1
                elif a is not b and a.same != b.same:
                    got = (a.got, b.got) if a.ok and b.ok else None
                    key = (*judge(family, type, proto, a, b), family, a.outcome, b.outcome, got)
                    found.setdefault(key, {}).setdefault(type, []).append(proto)
    rows = sorted(_merged(found), key=lambda row: (list(CAUSES).index(row.cause), row.family, row.types, row.protos))
    return Comparison(len(families) * len(types) * len(places), unanswered, tuple(rows))


def _merged(found: dict[_Key, dict[int, list[int]]]) -> Iterator[Difference]:
    """Types that differ at the same protocols are one row."""
    for (cause, rule, family, one, other, got), by_type in found.items():
        together: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for type, protos in by_type.items():
            together.setdefault(tuple((first, last) for first, last in ranges(protos)), []).append(type)
        for spans, types in together.items():
            size = len(types) * sum(last - first + 1 for first, last in spans)
            yield Difference(cause, family, tuple(types), spans, one, other, got, size, rule)


class _Judge:
    """Tells what a difference comes from."""

    def __init__(self, one: Matrix, other: Matrix) -> None:
        self._sides = tuple(_Side(matrix) for matrix in (one, other))
        self._known: dict[tuple[int, int, int, str, str], tuple[str, str | None]] = {}

    def __call__(self, family: int, type: int, proto: int, one: Answer, other: Answer) -> tuple[str, str | None]:
        """The cause, and the check that refused the side that was refused."""
        causes, names = [], []
        for side, answer in zip(self._sides, (one, other), strict=True):
            if not answer.ok:
                cause, rule = side.cause(family, type, proto, answer.outcome)
                causes.append(cause)
                names.append(rule)
        cause = min(causes or ["kernel"], key=list(CAUSES).index)
        return cause, next((rule for each, rule in zip(causes, names, strict=True) if each == cause), None)


_OF_RULE = {"privilege": "privilege", "guard": "guard", "ping group": "setting", "MPTCP switch": "setting"}


class _Side:
    """One of the two, and what its caller may."""

    def __init__(self, matrix: Matrix) -> None:
        self._allowed = matrix.allowed
        platform = matrix.host.get("platform")
        self._platform = platform if isinstance(platform, str) else "linux"
        self._contained = matrix.host.get("netns") == "other"

    def cause(self, family: int, type: int, proto: int, outcome: str) -> tuple[str, str | None]:
        """Why this side was refused, as one of ``CAUSES`` and the check's name."""
        why = rules.why(family, type, proto, outcome, self._platform, self._allowed)
        if why is None:
            return "guard", None
        if why.rule == "family registered" and self._contained and family in rules.FIRST_NAMESPACE_ONLY:
            return "container", why.rule
        return _OF_RULE.get(why.rule, "kernel"), why.rule
