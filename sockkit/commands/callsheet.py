"""``sockkit probe --steps all``: every call in every state that matters, on every kind of socket that this host makes.

A cell is the outcome of the last of a few steps, run on a socket of its own: a row of ``STATES`` says which steps, and
``--steps`` with those steps and that kind shows the whole of it.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from sockkit import names, syscalls
from sockkit.commands.expect import conclude
from sockkit.commands.probe import command_text, error_data, numbers, outcome_name
from sockkit.commands.space import interruptible
from sockkit.commands.steps import Outcome, Program, compile_steps, kind_of, perform
from sockkit.errors import Exit, Signalled, UsageError
from sockkit.events import Env, Report, Row, Section
from sockkit.spec import SocketSpec

if TYPE_CHECKING:
    from sockkit.commands.probe import ProbePlan
    from sockkit.matrix import Space

TIMEOUT = 0.1
"""Seconds that a call may wait: there are hundreds, and on the loopback what comes comes at once."""
MOST = 1000
"""Kinds of sockets in one table."""
ACROSS = 6
"""Kinds side by side in one table."""


INTERNET = ("INET", "INET6")


class State(NamedTuple):
    """A row: a call, and the state in which it is made.

    Attributes:
        what: for people.
        streams: the steps where sockets have connections, the last one is looked at; empty: it does not apply.
        datagrams: the same for the others.
        only: the families that have it; empty: all.
    """

    what: str
    streams: str
    datagrams: str
    only: tuple[str, ...] = ()


def _both(what: str, steps: str, only: tuple[str, ...] = ()) -> State:
    return State(what, steps, steps, only)


STATES: tuple[State, ...] = (
    _both("bind", "bind"),
    _both("bind twice", "bind,bind"),
    _both("bind to port 1", "bind=1", INTERNET),
    _both("bind after connect", "connect,bind"),
    _both("listen, not bound", "listen"),
    _both("listen", "bind,listen"),
    _both("listen twice", "bind,listen,listen"),
    _both("accept, not listening", "accept"),
    State("accept, nobody there", "bind,listen,accept", ""),
    State("accept", "bind,listen,peer.connect,accept", ""),
    _both("connect to nobody", "connect=1", INTERNET),
    _both("connect", "connect"),
    _both("connect twice", "connect,connect"),
    State("connect, listening", "bind,listen,connect", ""),
    _both("send, not connected", "send"),
    _both("send", "connect,send"),
    _both("send 70,000 bytes", "connect,fill=70000"),
    _both("send after shutdown", "connect,shutdown=WR,send"),
    State("send, the peer is gone", "connect,peer.accept,conn.close,send,send", "connect,peer.close,send,send"),
    _both("send out of band", "connect,oob"),
    _both("sendto, not connected", "sendto"),
    _both("sendto while connected", "connect,sendto"),
    State("sendto a broadcast address", "", "sendto=127.255.255.255:9", ("INET",)),
    _both("recv, not connected", "recv"),
    _both("recv, nothing there", "connect,recv"),
    State("recv", "connect,peer.accept,conn.send,recv", "bind,peer.connect,peer.send,recv"),
    _both("recv after shutdown", "connect,shutdown=RD,recv"),
    State("recv after the peer's end", "connect,peer.accept,conn.close,recv", "connect,peer.close,recv"),
    State("recv, nobody there", "", "connect=1,send,recv", INTERNET),
    _both("recvfrom, nothing there", "bind,recvfrom"),
    _both("shutdown, not connected", "shutdown=WR"),
    _both("shutdown", "connect,shutdown=WR"),
    _both("shutdown twice", "connect,shutdown=RDWR,shutdown=RDWR"),
    _both("getsockname, not bound", "getsockname"),
    _both("getsockname", "bind,getsockname"),
    _both("getpeername, not connected", "getpeername"),
    _both("getpeername", "connect,getpeername"),
    _both("any call after close", "close,getsockname"),
)

KINDS: tuple[tuple[str, str, str], ...] = (
    ("INET", "STREAM", "TCP"),
    ("INET", "STREAM", "MPTCP"),
    ("INET", "STREAM", "SCTP"),
    ("INET", "SEQPACKET", "SCTP"),
    ("INET", "DGRAM", "UDP"),
    ("INET", "DGRAM", "UDPLITE"),
    ("INET", "DGRAM", "ICMP"),
    ("INET", "RAW", "ICMP"),
    ("INET6", "STREAM", "TCP"),
    ("INET6", "DGRAM", "UDP"),
    ("INET6", "DGRAM", "ICMPV6"),
    ("INET6", "RAW", "ICMPV6"),
    ("UNIX", "STREAM", "0"),
    ("UNIX", "DGRAM", "0"),
    ("UNIX", "SEQPACKET", "0"),
    ("VSOCK", "STREAM", "0"),
    ("VSOCK", "SEQPACKET", "0"),
    ("VSOCK", "DGRAM", "0"),
    ("TIPC", "STREAM", "0"),
    ("TIPC", "SEQPACKET", "0"),
    ("TIPC", "DGRAM", "0"),
    ("TIPC", "RDM", "0"),
    ("NETLINK", "RAW", "0"),
    ("PACKET", "RAW", "0"),
    ("PACKET", "DGRAM", "0"),
    ("CAN", "RAW", "CAN_RAW"),
    ("ALG", "SEQPACKET", "0"),
    ("KEY", "RAW", "2"),
    ("XDP", "RAW", "0"),
    ("RDS", "SEQPACKET", "0"),
    ("KCM", "SEQPACKET", "0"),
    ("SMC", "STREAM", "0"),
    ("QIPCRTR", "DGRAM", "0"),
)
"""What is tried; what this host does not make is named below the tables, with its errno."""


def known_kinds(family: int | None, type: int | None, proto: int | None) -> list[SocketSpec]:
    """The kinds of ``KINDS`` that this platform has and that fit what is given; just that, if none does."""
    asked = (family, type, proto)
    found = []
    for words in KINDS:
        try:
            kind = SocketSpec.parse(*words)
        except UsageError:
            continue
        if all(wanted in (None, has) for wanted, has in zip(asked, kind[:3], strict=True)):
            found.append(kind)
    given = SocketSpec(*asked)
    return found or [SocketSpec(given.family or int(socket.AF_INET), given.type or int(socket.SOCK_STREAM), proto or 0)]


class Cell(NamedTuple):
    """One outcome, or None where the state does not apply."""

    state: State
    kind: SocketSpec
    program: Program | None
    outcome: Outcome | None
    before: tuple[str, ...]
    """Outcomes of the steps before it."""


class Sheet(NamedTuple):
    """What was found.

    Attributes:
        rows: what each row is.
        cells: by kind, one a row.
        missing: kinds that this host does not make, with the refusal.
        complete: False where Ctrl-C ended it early.
    """

    rows: tuple[str, ...]
    cells: dict[SocketSpec, tuple[Cell, ...]]
    missing: tuple[tuple[SocketSpec, OSError], ...]
    complete: bool


def steps_of(state: State, kind: SocketSpec) -> str:
    """The steps of a state for a kind, or an empty text where it does not apply."""
    if state.only and family_label(kind) not in state.only:
        return ""
    return state.streams if kind_of(kind).connected else state.datagrams


def fill(kinds: Iterable[SocketSpec], env: Env, timeout: float = TIMEOUT) -> Sheet:
    """Run every state on every kind, each on a socket of its own."""

    def cells(kind: SocketSpec) -> Iterator[Cell]:
        for state in STATES:
            text = steps_of(state, kind)
            if not text:
                yield Cell(state, kind, None, None, ())
                continue
            program = compile_steps([text], kind, timeout)
            found = perform(program, env)
            if not found.complete:
                raise KeyboardInterrupt
            *before, last = found.steps
            reached = all(outcome.error is None for outcome in found.outcomes if outcome.step is None)
            yield Cell(state, kind, program, last if reached else None, tuple(outcome.name for outcome in before))

    return _sheet(tuple(state.what for state in STATES), kinds, cells, env)


def rows_of(texts: Sequence[str], kinds: Iterable[SocketSpec], env: Env, timeout: float) -> Sheet:
    """Run the same steps on every kind: a row for each step."""
    rows: tuple[str, ...] = ()

    def cells(kind: SocketSpec) -> Iterator[Cell]:
        program = compile_steps(texts, kind, timeout)
        found = perform(program, env)
        if not found.complete:
            raise KeyboardInterrupt
        for step, outcome in zip(program.steps, found.steps, strict=True):
            yield Cell(State(step.text, "", ""), kind, program, outcome, ())

    kinds = list(kinds)
    if kinds:
        rows = tuple(step.text for step in compile_steps(texts, kinds[0], timeout).steps)
    return _sheet(rows, kinds, cells, env)


def _sheet(
    rows: tuple[str, ...], kinds: Iterable[SocketSpec], fill: Callable[[SocketSpec], Iterator[Cell]], env: Env
) -> Sheet:
    cells: dict[SocketSpec, tuple[Cell, ...]] = {}
    missing = []
    try:
        for kind in kinds:
            try:
                syscalls.close(env, syscalls.make(env, kind))
            except OSError as error:
                missing.append((kind, error))
                continue
            cells[kind] = tuple(fill(kind))
    except KeyboardInterrupt:
        return Sheet(rows, cells, tuple(missing), False)
    return Sheet(rows, cells, tuple(missing), True)


# ---- the report


def label(kind: SocketSpec) -> str:
    """A kind in few letters, without its family: ``STREAM TCP``."""
    assert kind.family is not None and kind.type is not None
    type = names.TYPES.label(kind.type).partition(" (")[0].removeprefix("SOCK_")
    if not kind.proto:
        return type
    proto = names.protocols(kind.family).label(kind.proto).partition(" (")[0]
    return f"{type} {proto.removeprefix('IPPROTO_').removeprefix('CAN_')}" if proto != str(kind.proto) else type


def family_label(kind: SocketSpec) -> str:
    """``INET``."""
    assert kind.family is not None
    return (names.FAMILIES.name(kind.family) or str(kind.family)).removeprefix("AF_")


def short(cell: Cell) -> str:
    """A cell in a word: ``ok``, an errno, ``(waits)``, or ``-`` where it does not apply."""
    outcome = cell.outcome
    if outcome is None:
        return "-"
    if outcome.waited:
        return "(waits)"
    return outcome.name


def mark(cell: Cell) -> str:
    """How it is coloured."""
    if cell.outcome is None:
        return "faint"
    return "changed" if cell.outcome.waited else "good" if cell.outcome.error is None else "error"


def report(sheet: Sheet, time: float) -> Report:
    """A table for every few kinds, then what the errnos mean, then what is not here."""
    sections = []
    everything = list(sheet.cells)
    by_family: dict[str, list[SocketSpec]] = {}
    for kind in everything:
        by_family.setdefault(family_label(kind), []).append(kind)
    groups: list[list[SocketSpec]] = []
    for group in by_family.values():
        for start in range(0, len(group), ACROSS):
            part = group[start : start + ACROSS]
            if groups and len(groups[-1]) + len(part) <= ACROSS and len(part) < len(group) + 1 and len(part) <= 3:
                groups[-1] += part
            else:
                groups.append(list(part))
    for group in groups:
        header = ("", *(f"{family_label(kind)} {label(kind)}" for kind in group))
        rows = []
        for at, what in enumerate(sheet.rows):
            row = [sheet.cells[kind][at] for kind in group]
            if any(cell.outcome is not None for cell in row):
                rows.append(Row((what, *map(short, row)), marks=("", *map(mark, row))))
        sections.append(Section("", header, tuple(rows)))
    reasons = tuple(Row((call, name, text)) for (call, name), text in sorted(_reasons(sheet).items()))
    if reasons:
        sections.append(Section("why", ("call", "errno", "what it means"), reasons))
    if sheet.missing:
        gone = tuple(
            Row((command_text(kind).removeprefix("sockkit probe "), outcome_name(error)), "faint")
            for kind, error in sheet.missing
        )
        sections.append(Section("not made on this host", (), gone))
    return Report(time, "probe", "calls x kinds of socket: what each answers", _data(sheet), tuple(sections))


def _reasons(sheet: Sheet) -> dict[tuple[str, str], str]:
    """One meaning for each call and errno: that of the first cell that has it."""
    found: dict[tuple[str, str], str] = {}
    for cells in sheet.cells.values():
        for cell in cells:
            outcome = cell.outcome
            if outcome is not None and outcome.error is not None and outcome.step is not None and outcome.why:
                found.setdefault((outcome.step.method, short(cell)), outcome.why)
    return found


def _data(sheet: Sheet) -> dict[str, object]:
    return {
        "ok": True,
        "complete": sheet.complete,
        "calls": list(sheet.rows),
        "kinds": [
            {
                "kind": f"{family_label(kind)} {label(kind)}",
                "asked": numbers(tuple(kind)[:3], kind.family or 0),
                "cells": [_cell_data(cell) for cell in cells],
            }
            for kind, cells in sheet.cells.items()
        ],
        "missing": [
            {"asked": numbers(tuple(kind)[:3], kind.family or 0), "error": error_data(error)}
            for kind, error in sheet.missing
        ],
        "platform": sys.platform,
    }


def _cell_data(cell: Cell) -> dict[str, object] | None:
    outcome, program = cell.outcome, cell.program
    if outcome is None or program is None:
        return None
    return {
        "steps": [step.text for step in program.steps],
        "before": list(cell.before),
        "outcome": "waits" if outcome.waited else outcome.name,
        "result": outcome.shown,
        "error": error_data(outcome.error),
        "why": outcome.why,
        "try": outcome.hint,
    }


def run(plan: ProbePlan, space: Space | None, env: Env, *, every: bool) -> Exit:
    """The table. Refusals in it are what it is for: the exit status is 0 unless nothing could be tried.

    Args:
        every: ``--steps all``: the states of ``STATES``; else the steps that are given, on each socket of the space.

    Raises:
        UsageError: options that mean nothing here.
    """
    for given, flag in ((plan.code, "--code"), (plan.expect is not None, "--expect")):
        if given:
            raise UsageError(f"{flag} is for one row of steps on one socket, not for a table", option=flag)
    timeout = TIMEOUT if plan.step_timeout is None else plan.step_timeout
    with interruptible():
        if space is None:
            spec = plan.socket_spec()
            sheet = fill(known_kinds(*spec[:3]), env, timeout)
        elif every and plan.all:
            sheet = fill(known_kinds(None, None, None), env, timeout)
        else:
            if len(space) > MOST:
                text = f"that is {len(space)} kinds of sockets, and {MOST} are the most that steps are tried on"
                raise UsageError(text, option="--steps")
            kinds = (SocketSpec(*one) for one in product(*space))
            sheet = fill(kinds, env, timeout) if every else rows_of(plan.steps, kinds, env, timeout)
    result = conclude(env, report(sheet, env.clock()), None, None, ok=bool(sheet.cells))
    if not sheet.complete:
        raise Signalled(signal.SIGINT)
    return result
