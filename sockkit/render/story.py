"""The words of the story: one line an event, the same for every renderer of text.

Lines are keyed by their first character: ``>`` sent, ``<`` received, ``=`` state, ``x`` closed, ``!`` error, ``*`` system call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from sockkit.errors import describe
from sockkit.events import (
    Attempt,
    Behind,
    Call,
    Closed,
    Data,
    Denied,
    Descriptor,
    Direction,
    Disturbed,
    Ended,
    Event,
    Exited,
    Failed,
    Handshake,
    Level,
    Listening,
    Lost,
    Named,
    Negotiated,
    Note,
    Opened,
    Proxied,
    Retrying,
    Said,
    Side,
    Started,
    Totals,
    Urgent,
)
from sockkit.text import escape, preview

PREVIEW_WIDTH = 60
"""Characters of payload in a line, where the terminal does not say how wide it is."""
NARROWEST = 16
"""Characters of payload in a line, however narrow the terminal."""
LINES_A_SECOND = 10
"""Data lines; what comes beyond is counted."""


class Line(NamedTuple):
    """A line of the story, without its time.

    Attributes:
        key: see the module.
        text: harmless: without control characters.
        important: said even with ``-q``: errors, losses, warnings.
        droppable: may be dropped, counted, where nobody reads the story in time.
    """

    key: str
    text: str
    important: bool = False
    droppable: bool = False


def size(count: int) -> str:
    """Bytes for people: ``13 bytes``, ``1.5 KiB``."""
    if count < 10_000:
        return f"{count} byte{'' if count == 1 else 's'}"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024 or unit == "GiB":
            break
    return f"{value:.1f} {unit} ({count} bytes)"


def rate(per_second: float) -> str:
    """``1.2 MB/s``: decimal, as bandwidths are."""
    for unit in ("B/s", "kB/s", "MB/s", "GB/s"):
        if per_second < 1000 or unit == "GB/s":
            break
        per_second /= 1000
    return f"{per_second:.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds for people, with three digits after the point below a minute."""
    return f"{seconds:.3f} s" if seconds < 60 else f"{seconds:.0f} s"


def dropped(count: int) -> str:
    """What is said of lines that nobody read in time."""
    return f"{count} line{'s' * (count != 1)} of the story dropped, as nobody read them in time; the data went on"


class Room(NamedTuple):
    """What there is room for, and what has to be said.

    Attributes:
        columns: those of a line; None: there is no terminal.
        ascii: the locale has no more.
        peers: by session, where lines about data name the peer.
    """

    columns: int | None = None
    ascii: bool = False
    peers: Mapping[int, str] = MappingProxyType({})

    def preview(self, before: str, data: bytes | memoryview) -> str:
        """As much of ``data`` as fits behind ``before``."""
        width = PREVIEW_WIDTH if self.columns is None else max(self.columns - len(before), NARROWEST)
        return preview(bytes(data[: 4 * (width + 1)]), width, ascii=self.ascii)


ROOM = Room()


def lines(event: Event, room: Room = ROOM) -> list[Line]:
    """An event as lines: none for a report, a program, or how far it is; two for a failure with a hint."""
    words = _WORDS.get(type(event))
    if words is None:
        return []
    return [
        line if line.text.isprintable() else line._replace(text=escape(line.text, backslash=False))
        for line in words(event, room)
    ]


_KEYS = {Direction.SENT: ">", Direction.RECEIVED: "<"}


def _session(number: int) -> str:
    return f"#{number} " if number else ""


def _call(event: Call, room: Room) -> list[Line]:
    arguments = ", ".join(_argument(argument) for argument in event.arguments)
    if event.error is not None:
        result = f"-1 {describe(event.error)}"
    elif event.result is None:
        result = "0"
    else:
        result = _argument(event.result)
    return [Line("*", f"{event.name}({arguments}) = {result} <{event.duration * 1e6:.0f} us>")]


def _argument(value: object) -> str:
    if isinstance(value, bytes):
        return f'"{preview(value, 40)}"'
    return escape(str(value), backslash=False)


def _listening(event: Listening, room: Room) -> list[Line]:
    remark = f" ({event.remark})" if event.remark else ""
    return [Line("", f"listening on {event.address}{remark}")]


def _attempt(event: Attempt, room: Room) -> list[Line]:
    return [Line("=", f"trying {event.address}")]


def _retrying(event: Retrying, room: Room) -> list[Line]:
    why = "; ".join(f"{refused.operation}: {describe(refused.error)}" for refused in event.refused) or "connection gone"
    of = f" of {event.attempts}" if event.attempts is not None else ""
    wait = f"{event.delay:.1f}" if event.delay >= 0.1 else f"{event.delay:.2f}"
    return [Line("=", f"{why}; attempt {event.attempt}{of} in {wait} s")]


def _opened(event: Opened, room: Room) -> list[Line]:
    via = f" via {event.via}" if event.via else ""
    return [Line("=", f"{_session(event.session)}{event.peer}{via} connected (here: {event.local})")]


def _proxied(event: Proxied, room: Room) -> list[Line]:
    return [Line("=", f"{_session(event.session)}{event.proxy} {event.text}")]


def _denied(event: Denied, room: Room) -> list[Line]:
    who = f"and {event.number} more, not shown one by one," if event.peer is None else event.peer
    return [Line("x", f"{who} denied ({event.how}): {event.why}")]


def _handshake(event: Handshake, room: Room) -> list[Line]:
    alpn = f", ALPN {event.alpn}" if event.alpn else ""
    who = _session(event.session)
    found = [Line("=", f"{who}{event.version}, {event.cipher}{alpn}; the peer's certificate: {event.verified}")]
    for number, shown in enumerate(event.chain, 1):
        names = f" for {', '.join(shown.names)}" if shown.names else ""
        issuer = f", issued by {shown.issuer}" if shown.issuer else ""
        expires = f", expires {shown.expires}" if shown.expires else ""
        text = f"certificate {number}: {shown.subject or '(not read)'}{names}{issuer}{expires}, SHA-256 {shown.fingerprint}"
        found.append(Line("=", who + text))
    return found


def _started(event: Started, room: Room) -> list[Line]:
    return [Line("=", f"{_session(event.session)}runs {event.program} (pid {event.pid})")]


def _said(event: Said, room: Room) -> list[Line]:
    return [Line("!", f"{_session(event.session)}{event.program}: {event.text}", True, True)]


def _exited(event: Exited, room: Room) -> list[Line]:
    how = f"ended by {event.signal}" if event.signal else f"exited with status {event.status}"
    if event.signal is None and event.status is None:
        how = "ended; its status is not known"
    who = f"{_session(event.session)}{event.program} (pid {event.pid})"
    text = f"{who} {how} after {duration(event.duration)}, {duration(event.cpu)} of CPU"
    return [Line("=", text) if event.status == 0 else Line("!", text, True)]


def _data(event: Data, room: Room) -> list[Line]:
    text = data_text(event, room.peers)
    if event.meaning is not None:
        text += f": {event.meaning}"
    elif event.payload is not None:
        text += ": "
        shown = room.preview(text, event.payload) if event.payload else "(empty)"
        if len(event.payload) < event.size and not shown.endswith(("…", "...")):
            shown += "..." if room.ascii else "…"
        text += shown
    return [Line(_KEYS[event.direction], text)]


def data_text(event: Data, peers: Mapping[int, str]) -> str:
    """Whose, how much, where in its stream, and what the kernel said with it."""
    peer = f"{peers[event.session]} " if event.session in peers else ""
    what = "message of " if event.message else ""
    where = "" if event.message else f" at {event.offset}"
    beside = f" ({event.beside})" if event.beside is not None else ""
    return f"{_session(event.session)}{peer}{what}{size(event.size)}{where}{beside}"


def _urgent(event: Urgent, room: Room) -> list[Line]:
    text = f"{_session(event.session)}out-of-band: "
    return [Line(_KEYS[event.direction], text + room.preview(text, event.payload))]


def _negotiated(event: Negotiated, room: Room) -> list[Line]:
    option = "" if event.option is None else f" {event.option}"
    text = f"{_session(event.session)}telnet: {event.command}{option}"
    if event.data is not None:
        text += f", {size(event.size)}"
        text += f": {room.preview(text, bytes.fromhex(event.data))}" if event.data else ""
    return [Line(_KEYS[event.direction], text)]


def _descriptor(event: Descriptor, room: Room) -> list[Line]:
    text = f"{_session(event.session)}{event.direction} fd {event.fd}: {event.what}"
    return [Line(_KEYS[event.direction], text, True)]


def _ended(event: Ended, room: Room) -> list[Line]:
    return [Line("=", f"{_session(event.session)}{event.how}")]


def _disturbed(event: Disturbed, room: Room) -> list[Line]:
    amount = f", {size(event.size)}" if event.size else ""
    return [Line("=", f"{_session(event.session)}fault: {event.fault}{amount}")]


def _named(event: Named, room: Room) -> list[Line]:
    before = f" (was {event.before})" if event.before else ""
    return [Line("=", f"{_session(event.session)}is called {event.name}{before}")]


def _behind(event: Behind, room: Room) -> list[Line]:
    if event.waited:
        return [Line("=", f"{_session(event.session)}has caught up")]
    return [Line("=", f"{_session(event.session)}is behind, and is not waited for: {size(event.size)}")]


def _lost(event: Lost, room: Room) -> list[Line]:
    amount = f" {size(event.size)}" if event.size else ""
    return [Line("!", f"{_session(event.session)}lost{amount}: {event.why}", True)]


def _closed(event: Closed, room: Room) -> list[Line]:
    text = f"{_session(event.session)}{event.peer} closed: {_sum(event)}"
    if event.ignored and event.received:
        text += "; what was received was ignored"
    if event.first is not None:
        text += "; the peer ended first" if event.first is Side.REMOTE else "; we ended first"
    if event.error is not None:
        text += f"; {event.error}"
    return [Line("x", text)]


def _failed(event: Failed, room: Room) -> list[Line]:
    found = [Line("!", f"{_session(event.session)}{event.operation}: {describe(event.error)}", True)]
    if event.hint:
        found.append(Line("!", event.hint, True))
    return found


def _note(event: Note, room: Room) -> list[Line]:
    warning = event.level is Level.WARNING
    text = f"{_session(event.session)}{'warning: ' if warning else ''}{event.text}"
    return [Line("!" if warning else "=", text, warning)]


def _totals(event: Totals, room: Room) -> list[Line]:
    sessions = f"{event.sessions} session{'' if event.sessions == 1 else 's'}"
    denied = f"; {event.denied} denied" if event.denied else ""
    return [Line("x", f"total: {sessions}, {_sum(event)}{denied}")]


def _sum(event: Closed | Totals) -> str:
    text = f"received {size(event.received)}, sent {size(event.sent)} in {duration(event.duration)}"
    moved = event.received + event.sent
    if moved >= 10_000 and event.duration > 0:
        text += f", {rate(moved / event.duration)}"
    return text


_WORDS: dict[type, Callable[..., list[Line]]] = {
    Call: _call,
    Listening: _listening,
    Attempt: _attempt,
    Retrying: _retrying,
    Opened: _opened,
    Denied: _denied,
    Proxied: _proxied,
    Handshake: _handshake,
    Started: _started,
    Said: _said,
    Exited: _exited,
    Data: _data,
    Urgent: _urgent,
    Negotiated: _negotiated,
    Descriptor: _descriptor,
    Ended: _ended,
    Disturbed: _disturbed,
    Named: _named,
    Behind: _behind,
    Lost: _lost,
    Closed: _closed,
    Failed: _failed,
    Note: _note,
    Totals: _totals,
}


class Flood:
    """Lets ten data lines a second through and counts the rest; each second, and when something else happens, the count is said."""

    def __init__(self) -> None:
        self._window = -1.0
        self._shown = 0
        self._events = 0
        self._bytes = 0

    def passes(self, event: Data) -> bool:
        """True if this one gets its line."""
        if event.time - self._window >= 1:
            self._window = event.time
            self._shown = 0
        self._shown += 1
        if self._shown <= LINES_A_SECOND:
            return True
        self._events += 1
        self._bytes += event.size
        return False

    def summary(self, event: Event) -> Line | None:
        """What was counted instead of shown since the last summary, if anything, and if it is time to say it."""
        if not self._events or (isinstance(event, Data) and event.time - self._window < 1):
            return None
        line = Line("=", f"and {self._events} more transfers, {size(self._bytes)}, not shown one by one")
        self._events = self._bytes = 0
        return line
