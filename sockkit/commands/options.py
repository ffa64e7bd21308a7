"""Socket options of one socket: read them all, compare them with a fresh socket's, set some and tell what came of it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sockkit import optvals, sockopts, syscalls
from sockkit.errors import SystemRefusal, UsageError, errno_name
from sockkit.events import Env, Level, Note, Row, Section
from sockkit.sockopts import SockOption
from sockkit.spec import OPTION_WORDS, SocketSpec

Asked = tuple[int, int, int]
"""Family, type and protocol, as the kernel reports them."""


# ---- reading


class OptionValue(NamedTuple):
    """One option as it was read. ``error`` is set where the kernel would not say."""

    row: SockOption
    value: object
    error: OSError | None
    default: object
    """What a fresh socket of this kind has; None where there is none to compare with, or it says nothing."""
    changed: bool
    """Somebody has set it: the value is not the default."""
    read: bool
    """It was asked for at all."""


Value = tuple[object, OSError | None]


def read(env: Env, sock: socket.socket | int, rows: Iterable[SockOption]) -> dict[str, Value]:
    """(value, refusal) of each option, by name. Those whose reading has an effect are read too: leave them out.

    Args:
        env: who is told of the system calls.
        sock: any socket, or the descriptor of one.
        rows: from ``sockopts.applicable``, those that are ``looked_at``.
    """
    found: dict[str, Value] = {}
    for row in rows:
        try:
            found[row.name] = (row.decode(syscalls.get_option(env, sock, row)), None)
        except OSError as error:
            found[row.name] = (None, error)
    return found


def defaults(env: Env, asked: Asked, rows: Sequence[SockOption]) -> dict[str, Value]:
    """What a fresh socket of the same family, type and protocol has. Empty where none can be made (EPERM, mostly)."""
    try:
        fresh = syscalls.make(env, SocketSpec(*asked))
    except (OSError, UsageError):
        return {}
    try:
        return read(env, fresh, rows)
    finally:
        syscalls.close(env, fresh)


_LOCKS = {"SO_SNDBUF": 1, "SO_RCVBUF": 2}
"""The bits of SO_BUF_LOCK that say that somebody has set one of these: else TCP tunes them."""


def look(
    env: Env, sock: socket.socket | int, asked: Asked, rows: Sequence[SockOption], *, anyway: bool = False
) -> list[OptionValue]:
    """Every one of these options with its default beside it. Nothing is changed: what reading would change is left unread.

    Args:
        env: who is told of the system calls.
        sock: any socket, or the descriptor of one: one of our own, a lent or a borrowed one.
        asked: what it is, as the kernel says.
        rows: see ``choose``.
        anyway: read those too whose reading has an effect: somebody asked for them by name, and may.
    """
    readable = [row for row in rows if row.looked_at]
    compared = [row for row in readable if row.settable]
    ours = read(env, sock, readable)
    fresh = defaults(env, asked, compared) if compared else {}
    locked, _ = ours.get("SO_BUF_LOCK") or (None, None)
    found = []
    for row in rows:
        if not row.readable:
            continue
        if row.reading:
            value, refusal = _read_anyway(env, sock, row) if anyway else (None, None)
            found.append(OptionValue(row, value, refusal, None, False, anyway))
            continue
        value, refusal = ours[row.name]
        default, unknown = fresh.get(row.name, (None, OSError()))
        changed = row.settable and refusal is None and unknown is None and value != default
        if row.volatile and changed:
            changed = isinstance(locked, int) and bool(locked & _LOCKS.get(row.name, 0))
        found.append(OptionValue(row, value, refusal, default, changed, True))
    return found


def choose(text: str, asked: Asked) -> tuple[SockOption, ...]:
    """The rows that ``--options`` asks for: ``all`` and ``changed`` are all that apply, else the names.

    Raises:
        UsageError: a name that is not known, an option that this platform lacks or that cannot be read.
    """
    if text.lower() in OPTION_WORDS:
        return sockopts.applicable(*asked)
    rows = []
    for name in filter(None, text.split(",")):
        row = sockopts.find(name, asked, argument="--options")
        if row.number is None:
            raise UsageError(f"this platform has no {row.name}", option="--options")
        if not row.readable:
            raise UsageError(
                f"{row.name} cannot be read: it is done rather than kept", option="--options", hint=row.about
            )
        rows.append(row)
    if not rows:
        raise UsageError("no option is named: all, changed, or names joined by commas", option="--options")
    return tuple(rows)


def _read_anyway(env: Env, sock: socket.socket | int, row: SockOption) -> Value:
    """The value of an option whose reading has an effect, since somebody asked for it by name.

    A descriptor that comes of it is closed again: it would be nobody's.
    """
    value, refusal = read(env, sock, [row])[row.name]
    if row.kind.name == optvals.DESCRIPTOR.name and isinstance(value, int):
        os.close(value)
    return value, refusal


# ---- setting


class Setting(NamedTuple):
    """``--set NAME=VALUE``, parsed."""

    row: SockOption
    value: int | bytes
    asked: str


class Change(NamedTuple):
    """What came of one: before, asked, got, as text."""

    row: SockOption
    before: str
    asked: str
    got: str
    late: str
    """Why it does nothing any more, or empty."""

    @property
    def as_asked(self) -> bool:
        """The kernel made no other value of it."""
        return self.got == self.asked or not self.row.readable


def meant(family: int | None, type: int | None, proto: int | None) -> Asked:
    """The socket that is asked for, with what the kernel will choose, as far as it is known before there is one."""
    family = int(socket.AF_INET) if family is None else family
    kind = syscalls.base_type(type)
    if not proto and family in syscalls.INTERNET:
        proto = {int(socket.SOCK_STREAM): 6, int(socket.SOCK_DGRAM): 17}.get(kind)
    return family, kind, proto or 0


def parse(texts: Sequence[str], asked: Asked | None = None) -> list[Setting]:
    """``NAME=VALUE`` of each. ``asked``, where it is known, tells options apart that share a short name.

    Raises:
        UsageError: no such option, a value of the wrong kind.
    """
    return [Setting(*sockopts.parse_setting(text, asked)) for text in texts]


def _show(env: Env, sock: socket.socket, row: SockOption) -> str:
    if not row.looked_at:
        return "not told"
    value, refusal = read(env, sock, [row])[row.name]
    if refusal is not None:
        return errno_name(refusal.errno) or str(refusal)
    return row.show(value)


_WHENS = {
    sockopts.Moment.BEFORE_BIND: "it is bound already",
    sockopts.Moment.BEFORE_CONNECT: "it is connected or listens already",
}


def _late(env: Env, sock: socket.socket, row: SockOption) -> str:
    """Why it is too late for an option, or empty."""
    if row.moment not in _WHENS:
        return ""
    listening = syscalls.listening(env, sock)
    past = listening or syscalls.peer_address(env, sock) is not None
    if row.moment is sockopts.Moment.BEFORE_BIND and not past:
        local = syscalls.local_address(env, sock)
        past = bool(local and local[1]) if sock.family in syscalls.INTERNET else bool(local)
    return f"too late, {_WHENS[row.moment]}" if past else ""


def apply(
    env: Env, sock: socket.socket, settings: Sequence[Setting], *, lent: bool = False, tell: bool = True
) -> list[Change]:
    """Set them in turn, and tell of each what it was, what was asked and what the kernel made of it.

    Args:
        env: who is told.
        sock: the socket.
        settings: see ``parse``.
        lent: the socket exists longer than we do, so that it may be too late.
        tell: say it by a note each; a report has them anyway.

    Raises:
        SystemRefusal: the kernel's refusal; its hint is the option's row.
    """
    changes = []
    for row, value, asked in settings:
        late = _late(env, sock, row) if lent else ""
        before = _show(env, sock, row)
        try:
            syscalls.set_option(env, sock, row, value)
        except OSError as error:
            raise SystemRefusal(f"set {row.name} to {asked}", error, hint=_hint(sock, row, error, late)) from error
        change = Change(row, before, asked, _show(env, sock, row), late)
        changes.append(change)
        if not tell:
            continue
        text = f"{row.name}: was {change.before}, asked {asked}, got {change.got}"
        level = Level.WARNING if late and not change.as_asked else Level.INFO
        env.observer(Note(env.clock(), 0, level, f"{text} ({late}: {row.about})" if late else text))
        other = FOR_IPV6.get(row.name) if sock.family == syscalls.AF_INET6 else None
        if other is not None and other not in (setting.row.name for setting in settings):
            text = f"{row.name} is about IPv4, which an IPv6 socket speaks with ::ffff:a.b.c.d alone: --set {other}={asked}"
            env.observer(Note(env.clock(), 0, Level.WARNING, text))
    return changes


FOR_IPV6 = {
    "IP_TTL": "IPV6_UNICAST_HOPS",
    "IP_TOS": "IPV6_TCLASS",
    "IP_MINTTL": "IPV6_MINHOPCOUNT",
    "IP_MULTICAST_TTL": "IPV6_MULTICAST_HOPS",
    "IP_MULTICAST_LOOP": "IPV6_MULTICAST_LOOP",
}
"""Options that an IPv6 socket takes, and that change nothing in its IPv6 packets (ipv6(7)): what does."""


def _hint(sock: socket.socket, row: SockOption, error: OSError, late: str) -> str:
    """What the refusal means, and the row: one line."""
    from sockkit import rules

    if late:
        return f"{late}: {row.about}"
    if error.errno in (errno.EINVAL, errno.EDOM, errno.ERANGE):
        return row.about
    found = rules.meaning("setsockopt", errno_name(error.errno), family=sock.family, type=sock.type)
    return f"{found.text}. {row.about}" if found is not None else row.about


# ---- telling


def change_section(changes: Sequence[Change]) -> Section:
    """What came of ``--set``: before, asked, got."""
    rows = []
    for change in changes:
        got = change.got if change.row.readable else "it cannot be read"
        remark = change.late or ("" if change.as_asked else change.row.kernel)
        rows.append(
            Row((change.row.name, change.before, change.asked, got, remark), "" if change.as_asked else "changed")
        )
    return Section("options that were set", ("", "before", "asked", "got", ""), tuple(rows))


def change_data(changes: Sequence[Change]) -> list[dict[str, object]]:
    """What came of ``--set``, for JSON."""
    return [
        {"name": one.row.name, "before": one.before, "asked": one.asked, "got": one.got, "late": one.late or None}
        for one in changes
    ]
