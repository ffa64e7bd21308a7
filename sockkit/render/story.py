"""The words of the story: one line an event, the same for every renderer of text.

Lines are keyed by their first character: ``>`` sent, ``<`` received, ``=`` state, ``x`` closed, ``!`` error, ``*`` system call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sockkit.errors import describe
from sockkit.events import (
    Attempt,
    Call,
    Closed,
    Code,
    Data,
    Direction,
    Ended,
    Event,
    Failed,
    Level,
    Listening,
    Lost,
    Note,
    Opened,
    Progress,
    Report,
    Side,
    Totals,
    Urgent,
)
from sockkit.text import escape, preview

PREVIEW_WIDTH = 60
"""Characters of payload in a line, where the terminal does not say how wide it is."""
LINES_A_SECOND = 10
"""Data lines; what comes beyond is counted."""


class Line(NamedTuple):
    """A line of the story, without its time.

    Attributes:
        key: see the module.
        text: harmless: without control characters.
        important: said even with ``-q``: errors, losses, warnings.
    """

    key: str
    text: str
    important: bool = False


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


def duration(seconds: float) -> str:
    """Seconds for people, with three digits after the point below a minute."""
    return f"{seconds:.3f} s" if seconds < 60 else f"{seconds:.0f} s"


def lines(event: Event, width: int = PREVIEW_WIDTH, *, ascii: bool = False) -> list[Line]:
    """An event as lines: none for a report, a program, or how far it is; two for a failure with a hint."""
    if isinstance(event, (Report, Code, Progress)):
        return []
    found = _WORDS[type(event)](event, width, ascii)
    return [
        line if line.text.isprintable() else line._replace(text=escape(line.text, backslash=False)) for line in found
    ]


def _session(number: int) -> str:
    return f"#{number} " if number else ""


def _call(event: Call, width: int, ascii: bool) -> list[Line]:
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


def _listening(event: Listening, width: int, ascii: bool) -> list[Line]:
    remark = f" ({event.remark})" if event.remark else ""
    return [Line("", f"listening on {event.address}{remark}")]


def _attempt(event: Attempt, width: int, ascii: bool) -> list[Line]:
    return [Line("=", f"trying {event.address}")]


def _opened(event: Opened, width: int, ascii: bool) -> list[Line]:
    return [Line("=", f"{_session(event.session)}{event.peer} connected (here: {event.local})")]


def _data(event: Data, width: int, ascii: bool) -> list[Line]:
    key = ">" if event.direction is Direction.SENT else "<"
    what = "message of " if event.message else ""
    where = "" if event.message else f" at {event.offset}"
    shown = ""
    if event.payload is not None:
        shown = ": " + preview(event.payload, width, ascii=ascii) if event.payload else ": (empty)"
        if len(event.payload) < event.size and not shown.endswith(("…", "...")):
            shown += "..." if ascii else "…"
    return [Line(key, f"{_session(event.session)}{what}{size(event.size)}{where}{shown}")]


def _urgent(event: Urgent, width: int, ascii: bool) -> list[Line]:
    key = ">" if event.direction is Direction.SENT else "<"
    return [Line(key, f"{_session(event.session)}out-of-band: {preview(event.payload, width, ascii=ascii)}")]


def _ended(event: Ended, width: int, ascii: bool) -> list[Line]:
    return [Line("=", f"{_session(event.session)}{event.how}")]


def _lost(event: Lost, width: int, ascii: bool) -> list[Line]:
    amount = f" {size(event.size)}" if event.size else ""
    return [Line("!", f"{_session(event.session)}lost{amount}: {event.why}", True)]


def _closed(event: Closed, width: int, ascii: bool) -> list[Line]:
    text = (
        f"{_session(event.session)}{event.peer} closed: received {size(event.received)}, sent {size(event.sent)}"
        f" in {duration(event.duration)}"
    )
    if event.first is not None:
        text += "; the peer ended first" if event.first is Side.REMOTE else "; we ended first"
    if event.error is not None:
        text += f"; {event.error}"
    return [Line("x", text)]


def _failed(event: Failed, width: int, ascii: bool) -> list[Line]:
    found = [Line("!", f"{_session(event.session)}{event.operation}: {describe(event.error)}", True)]
    if event.hint:
        found.append(Line("!", event.hint, True))
    return found


def _note(event: Note, width: int, ascii: bool) -> list[Line]:
    warning = event.level is Level.WARNING
    text = f"{_session(event.session)}{'warning: ' if warning else ''}{event.text}"
    return [Line("!" if warning else "=", text, warning)]


def _totals(event: Totals, width: int, ascii: bool) -> list[Line]:
    sessions = f"{event.sessions} session{'' if event.sessions == 1 else 's'}"
    return [
        Line(
            "x",
            f"total: {sessions}, received {size(event.received)}, sent {size(event.sent)} in {duration(event.duration)}",
        )
    ]


_WORDS: dict[type, Callable[..., list[Line]]] = {
    Call: _call,
    Listening: _listening,
    Attempt: _attempt,
    Opened: _opened,
    Data: _data,
    Urgent: _urgent,
    Ended: _ended,
    Lost: _lost,
    Closed: _closed,
    Failed: _failed,
    Note: _note,
    Totals: _totals,
}


class Flood:
    """Lets ten data lines a second through and counts the rest."""

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

    def summary(self) -> Line | None:
        """What was counted instead of shown since the last summary, if anything."""
        if not self._events:
            return None
        line = Line("=", f"and {self._events} more transfers, {size(self._bytes)}, not shown one by one")
        self._events = self._bytes = 0
        return line
