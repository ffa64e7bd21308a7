"""The answers of a kernel to a whole space of ``socket(family, type, proto)``, and their file.

``Space`` is what is asked: families × types × protocols, from words such as ``INET,INET6``, ``0-255`` and ``all``. ``Matrix`` holds
what was answered, compactly: neighbours that were answered alike share one ``Answer``. ``document`` and ``from_document`` are
the file (docs/json.md), one row for each run of protocols with the same answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from sockkit import names, rules
from sockkit.errors import SystemRefusal, UsageError
from sockkit.text import quoted

FORMAT = 1
"""Version of the file. It grows when what is there changes its meaning; new keys may come at any time."""
LARGEST = 2**31 - 1
MOST = 1_000_000
"""Cells of a space at most: what is larger would take a day on a kernel that loads modules, and more memory than a person's question is worth."""
OK = "ok"
"""The outcome of a cell where a socket was made; every other is the name of an errno."""

Got = tuple[int | None, int | None, int | None]
"""SO_DOMAIN, SO_TYPE, SO_PROTOCOL; None where the system does not say."""


class Answer(NamedTuple):
    """What the kernel answered to one combination, or to many.

    Attributes:
        outcome: ``OK``, or the errno's name.
        got: what the kernel says that the socket is, where that differs from what was asked; None: as asked.
        inferred: not asked: the rules say that it must be answered as another one was.
        changed: it was answered otherwise earlier in the same sweep, before a module was loaded.
    """

    outcome: str
    got: Got | None = None
    inferred: bool = False
    changed: bool = False

    @property
    def ok(self) -> bool:
        """A socket was made."""
        return self.outcome == OK

    @property
    def same(self) -> tuple[str, Got | None]:
        """What two answers must share to be the same answer, however they were found."""
        return self.outcome, self.got


class Cell(NamedTuple):
    """One combination and its answer."""

    family: int
    type: int
    proto: int
    answer: Answer


Row = list[Answer | None]
"""The answers of one family and type, in the order of the space's protocols; None: not asked."""


class Space(NamedTuple):
    """Combinations to ask for, each axis in the order in which it was typed."""

    families: Sequence[int]
    types: Sequence[int]
    protos: Sequence[int]

    def __len__(self) -> int:
        return len(self.families) * len(self.types) * len(self.protos)


def everything(axis: str) -> range:
    """What ``all`` means: every number that this system's headers know, and for families and types the limit itself.

    ``axis`` is ``family``, ``type`` or ``proto``.
    """
    if axis == "type":
        return range(rules.TYPES_END + 1)
    if axis == "proto":
        limit = names.PROTOCOLS.find("IPPROTO_MAX")
        return range(rules.PROTOCOLS_END if limit is None or not limit.number else limit.number)
    limit = names.FAMILIES.find("AF_MAX")
    return range((rules.FAMILIES_END if limit is None or not limit.number else limit.number) + 1)


def _spaces(axis: str, families: Sequence[int]) -> list[names.Space]:
    """Where names of an axis are looked up: protocols in every family that is asked for, the first one first."""
    if axis == "family":
        return [names.FAMILIES]
    if axis == "type":
        return [names.TYPES]
    return list(dict.fromkeys(map(names.protocols, families))) or [names.PROTOCOLS]


def _one(text: str, axis: str, spaces: list[names.Space]) -> int:
    for space in spaces[1:]:
        try:
            return spaces[0].parse(text, option=f"--{axis}")
        except names.UnknownName:
            spaces = [space, *spaces[1:]] if space.find(text) is not None else spaces
    return spaces[0].parse(text, option=f"--{axis}")


def _range(text: str, axis: str, spaces: list[names.Space]) -> range | None:
    """``0-255``, ``INET-CAN``; None for a text that is no range, such as ``IPV6-ICMP``, which is a name, and ``-1``."""
    cuts = [i for i, c in enumerate(text) if c == "-" and i > 0]
    if not cuts or any(space.find(text) is not None for space in spaces):
        return None
    if text.endswith("-") and text.count("-") == 1:
        raise UsageError(f"{quoted(text)} has no end: 0-255 is a range", option=f"--{axis}")
    for cut in cuts:
        try:
            first, last = (_one(part, axis, spaces) for part in (text[:cut], text[cut + 1 :]))
        except UsageError:
            continue
        if last < first:
            raise UsageError(
                f"{quoted(text)} runs backwards: {text[cut + 1 :]}-{text[:cut]} is what it would be", option=f"--{axis}"
            )
        return range(first, last + 1)
    return None


def parse_axis(texts: Iterable[str], axis: str, families: Sequence[int] = (2,)) -> Sequence[int] | None:
    """The numbers of one axis, each once, in the order in which they were typed.

    Args:
        texts: each one number or name, a range, ``all``, or several of these with commas between.
        axis: ``family``, ``type`` or ``proto``.
        families: whose protocols are meant by a name.

    Returns None if this is no space but a single value, as ``SocketSpec.parse`` takes it.

    Raises:
        UsageError: an empty or reversed range, a number that can never reach the kernel, an unknown name.
    """
    items = [item.strip() for text in texts for item in text.split(",")]
    if len(items) == 1 and items[0].lower() != "all" and _range(items[0], axis, _spaces(axis, families)) is None:
        return None
    spaces = _spaces(axis, families)
    found: dict[int, None] = {}
    for item in items:
        if not item:
            shown = quoted(",".join(texts))
            raise UsageError(f"{shown} has nothing between its commas: INET,INET6 is a list", option=f"--{axis}")
        if item.lower() == "all":
            numbers: Sequence[int] = everything(axis)
        else:
            numbers = _range(item, axis, spaces) or (_one(item, axis, spaces),)
        if not 0 <= numbers[0] <= numbers[-1] <= LARGEST:
            number = numbers[-1] if numbers[-1] > LARGEST else numbers[0]
            raise UsageError(f"{number} never reaches the kernel: 0 to {LARGEST} do", option=f"--{axis}")
        if len(numbers) > MOST:
            raise UsageError(f"{quoted(item)} is {len(numbers)} numbers, and {MOST} is the most", option=f"--{axis}")
        found.update(dict.fromkeys(numbers))
    return tuple(found)


def parse_space(
    family: Sequence[str], type: Sequence[str], proto: Sequence[str], *, everywhere: bool = False
) -> Space | None:
    """A space as typed; None if each axis is a single value (or none), so that one socket is meant.

    Args:
        everywhere: ``--all``: an axis that is not given is all of it.

    Raises:
        UsageError: see ``parse_axis``; a space of more than ``MOST`` cells.
    """
    axes: list[Sequence[int] | None] = []
    families: Sequence[int] = (2,)
    single = not everywhere
    for axis, texts in (("family", family), ("type", type), ("proto", proto)):
        numbers = parse_axis(texts, axis, families) if texts else (everything(axis) if everywhere else None)
        single = single and numbers is None
        if numbers is None and texts:
            numbers = (_one(texts[0].strip(), axis, _spaces(axis, families)),)
        if axis == "family" and numbers is not None:
            families = numbers
        axes.append(numbers)
    if single:
        return None
    space = Space(axes[0] or (2,), axes[1] or (1,), axes[2] or (0,))
    for axis, numbers in zip(("family", "type", "proto"), space, strict=True):
        for number in numbers:
            if not 0 <= number <= LARGEST:
                raise UsageError(f"{number} never reaches the kernel: 0 to {LARGEST} do", option=f"--{axis}")
    size = len(space.families) * len(space.types) * len(space.protos)
    if size > MOST:
        raise UsageError(f"that is {size} combinations, and {MOST} is the most", option="--proto")
    return space


class Matrix:
    """The answers to a space.

    Attributes:
        space: what was asked.
        rows: by (family, type): an answer for each protocol of the space.
        host: who answered: ``kernel``, ``platform``, ``user``, ``capabilities`` … (see ``sweep.host``).
        sweep: how it was asked: ``asked``, ``inferred``, ``seconds``, ``modules`` …
        complete: False if somebody stopped it.
    """

    def __init__(self, space: Space, host: dict[str, object] | None = None) -> None:
        self.space = space
        self.rows: dict[tuple[int, int], Row] = {}
        self.host: dict[str, object] = host or {}
        self.sweep: dict[str, object] = {}
        self.complete = True
        self._index: dict[int, int] | None = None

    @property
    def allowed(self) -> frozenset[str]:
        """The capabilities that whoever asked surely had."""
        found = self.host.get("capabilities")
        return frozenset(found) if isinstance(found, list) and self.host.get("userns") != "other" else frozenset()

    def row(self, family: int, type: int) -> Row:
        """The answers of one family and type, made if there are none yet."""
        row = self.rows.get((family, type))
        if row is None:
            row = self.rows[family, type] = [None] * len(self.space.protos)
        return row

    def at(self, family: int, type: int, proto: int) -> Answer | None:
        """The answer to one combination; None if it was not asked."""
        if self._index is None:
            self._index = {number: i for i, number in enumerate(self.space.protos)}
        row, i = self.rows.get((family, type)), self._index.get(proto)
        return None if row is None or i is None else row[i]

    def cells(self) -> Iterator[Cell]:
        """Every answer, in order."""
        protos = self.space.protos
        for (family, type), row in self.rows.items():
            for proto, answer in zip(protos, row, strict=True):
                if answer is not None:
                    yield Cell(family, type, proto, answer)

    def stretches(self, family: int, type: int) -> Iterator[tuple[int, int, Answer]]:
        """(begin, end, answer) into the protocols of one family and type, for neighbours that were answered alike."""
        begin, last = 0, None
        place = 0
        for _, group in groupby(self.rows.get((family, type), ()), id):  # equal answers mostly are one object
            run = list(group)
            answer = run[0]
            if answer != last:
                if last is not None:
                    yield begin, place, last
                begin, last = place, answer
            place += len(run)
        if last is not None:
            yield begin, place, last

    def counts(self, family: int, type: int) -> Counter[str]:
        """How many protocols of one family and type had which outcome."""
        found: Counter[str] = Counter()
        for begin, end, answer in self.stretches(family, type):
            found[answer.outcome] += end - begin
        return found

    def count(self, which: Callable[[Answer], bool]) -> int:
        """How many cells have such an answer."""
        return sum(end - begin for key in self.rows for begin, end, answer in self.stretches(*key) if which(answer))

    def working(self, family: int) -> list[tuple[int, list[int]]]:
        """The types of a family that work, each with its protocols that do."""
        found = []
        for type in self.space.types:
            protos: list[int] = []
            for begin, end, answer in self.stretches(family, type):
                if answer.ok:
                    protos += self.space.protos[begin:end]
            if protos:
                found.append((type, protos))
        return found

    def runs(self) -> Iterator[tuple[int, int, int, int, Answer]]:
        """(family, type, first protocol, last protocol, answer) for protocols that follow each other, answered alike."""
        protos = self.space.protos
        straight = len(protos) == protos[-1] - protos[0] + 1 and all(b == a + 1 for a, b in pairwise(protos))
        for family, type in self.rows:
            for begin, end, answer in self.stretches(family, type):
                if straight:
                    yield family, type, protos[begin], protos[end - 1], answer
                else:
                    yield from ((family, type, first, last, answer) for first, last in ranges(protos[begin:end]))


# ---- the file


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers as [first, last] pairs: [0, 1, 2, 5] is [[0, 2], [5, 5]]."""
    found = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        found.append([run[0], run[-1]])
    return found


_FLAGS = {(False, False): "", (True, False): "i", (False, True): "c", (True, True): "ic"}
_UNFLAGGED = {text: flags for flags, text in _FLAGS.items()}


def document(matrix: Matrix) -> dict[str, object]:
    """The matrix as JSON (docs/json.md): who answered, what was asked, and a row for each run of equal answers."""
    return {
        "matrix": FORMAT,
        "complete": matrix.complete,
        "host": matrix.host,
        "sweep": matrix.sweep,
        "space": {
            axis: ranges(numbers) for axis, numbers in zip(("families", "types", "protos"), matrix.space, strict=True)
        },
        "cells": [
            [
                family,
                type,
                first,
                last,
                answer.outcome,
                None if answer.got is None else list(answer.got),
                _FLAGS[answer.inferred, answer.changed],
            ]
            for family, type, first, last, answer in matrix.runs()
        ],
    }


class NotAMatrix(ValueError):
    """A file is no matrix, not a whole one, or one of a later version."""


def _numbers(pairs: object) -> tuple[int, ...]:
    found: list[int] = []
    if not isinstance(pairs, list):
        raise NotAMatrix("its space is no list of ranges")
    for pair in pairs:
        match pair:
            case [int(first), int(last)] if 0 <= first <= last <= LARGEST and last - first < MOST:
                found += range(first, last + 1)
            case _:
                raise NotAMatrix(f"its space has {json.dumps(pair)[:40]} for a range")
    if not found:
        raise NotAMatrix("its space is empty")
    return tuple(found)


def _from_row(item: object) -> tuple[int, int, int, int, Answer]:
    match item:
        case [int(family), int(type), int(first), int(last), str(outcome), got, str(flags)] if flags in _UNFLAGGED:
            pass
        case _:
            raise NotAMatrix(f"a row of its cells is {json.dumps(item)[:60]}")
    if outcome != OK and not (outcome.startswith(("E", "WSAE")) and outcome.isalnum()):
        raise NotAMatrix(f"a row of its cells has the outcome {json.dumps(outcome)[:40]}")
    match got:
        case None:
            whole = None
        case [(int() | None) as domain, (int() | None) as kind, (int() | None) as proto]:
            whole = (domain, kind, proto)
        case _:
            raise NotAMatrix(f"a row of its cells is {json.dumps(item)[:60]}")
    return family, type, first, last, Answer(outcome, whole, *_UNFLAGGED[flags])


def from_document(found: object) -> Matrix:
    """A matrix from its JSON.

    Raises:
        NotAMatrix: it is none, or of a later version, or does not hold together.
    """
    if not isinstance(found, dict) or "matrix" not in found:
        raise NotAMatrix("it is JSON, but not what `sockkit probe --all --json` writes")
    version = found["matrix"]
    if not isinstance(version, int) or version < 1:
        raise NotAMatrix("its version is no number")
    if version > FORMAT:
        raise NotAMatrix(f"it has version {version}, and this sockkit reads up to {FORMAT}: a newer sockkit reads it")
    space, host, sweep = found.get("space"), found.get("host", {}), found.get("sweep", {})
    items = found.get("cells")
    if not (isinstance(space, dict) and isinstance(host, dict) and isinstance(sweep, dict) and isinstance(items, list)):
        raise NotAMatrix("its space, its host or its cells are missing")
    axes = Space(*(_numbers(space.get(axis)) for axis in ("families", "types", "protos")))
    if len(axes.families) * len(axes.types) * len(axes.protos) > MOST:
        raise NotAMatrix(f"it has more than {MOST} cells")
    matrix = Matrix(axes, host)
    matrix.sweep = sweep
    matrix.complete = found.get("complete") is True
    index = {number: i for i, number in enumerate(axes.protos)}
    families, types = frozenset(axes.families), frozenset(axes.types)
    cache: dict[Answer, Answer] = {}
    for item in items:
        family, type, first, last, answer = _from_row(item)
        if not (family in families and type in types and first in index and last in index and first <= last):
            raise NotAMatrix(f"a row of its cells lies outside its space: {json.dumps(item)[:60]}")
        answer = cache.setdefault(answer, answer)
        row = matrix.row(family, type)
        begin, end = index[first], index[last] + 1
        row[begin:end] = [answer] * (end - begin)
    missing = len(axes.families) * len(axes.types) * len(axes.protos) - sum(
        len(row) - row.count(None) for row in matrix.rows.values()
    )
    if missing and matrix.complete and not sweep.get("left"):
        raise NotAMatrix(f"it says that it is complete, but {missing} cells are missing")
    return matrix


SHIPPED = os.path.join(os.path.dirname(__file__), "matrices")


def shipped() -> dict[str, str]:
    """The matrices that come with sockkit: name to path."""
    try:
        found = sorted(os.listdir(SHIPPED))
    except OSError:
        return {}
    return {name[:-5]: os.path.join(SHIPPED, name) for name in found if name.endswith(".json")}


def complete(start: str) -> list[tuple[str, str]]:
    """The shipped matrices whose names begin so, for a shell."""
    return [(name, "comes with sockkit") for name in shipped() if name.startswith(start)]


def load(path: str, *, option: str = "--against") -> Matrix:
    """Read a matrix file, or one that is shipped, by its name. ``-`` is stdin.

    Raises:
        UsageError: it is not a matrix, truncated, or from a later version. SystemRefusal: it cannot be read.
    """
    known = shipped()
    if not os.path.exists(path) and path in known:
        path = known[path]
    try:
        if path == "-":
            data = b"" if sys.stdin is None else sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
    except FileNotFoundError as error:
        hint = f"these come with sockkit: {', '.join(known)}" if known else None
        raise SystemRefusal(f"read {path}", error, hint=hint) from error
    except OSError as error:
        raise SystemRefusal(f"read {path}", error) from error
    try:
        return from_document(json.loads(data))
    except NotAMatrix as error:
        raise UsageError(f"{quoted(path)} is no matrix: {error}", option=option) from error
    except RecursionError as error:
        raise UsageError(f"{quoted(path)} is no matrix: it is nested too deeply", option=option) from error
    except ValueError as error:
        if not data.strip():
            what = "it is empty"
        elif data.lstrip()[:1] == b"{" and data.rstrip()[-1:] != b"}":
            what = f"it ends in the middle, after {len(data)} bytes"
        else:
            what = "it is no JSON"
        raise UsageError(f"{quoted(path)} is no matrix: {what}", option=option) from error
