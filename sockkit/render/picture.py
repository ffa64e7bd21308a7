"""``-o FILE.html`` and ``-o FILE.svg``: a conversation as a sequence diagram, for a wall and for looking into.

Both ends stand side by side, time goes down. Solid arrows are what passed as this end saw it, with its calls beside them; dashed ones
are what TCP does by itself. In the page a click shows all of it, and pauses may be as long as they were or folded.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

from markupsafe import Markup

from sockkit.errors import errno_name
from sockkit.events import (
    Call,
    Closed,
    Data,
    Direction,
    Ended,
    Event,
    Failed,
    Interest,
    Level,
    Listening,
    Lost,
    Note,
    Opened,
    Side,
    Urgent,
)
from sockkit.render import Wish
from sockkit.render.files import WholeFile, destination
from sockkit.render.hexdump import OFFSET, dump
from sockkit.render.pages import page
from sockkit.render.story import duration, size
from sockkit.text import escape, preview

MOST = 400
"""Rows of a picture; what comes beyond is counted."""
PEERS = 8
"""Peers that have a line of their own."""
KEPT = 4096
"""Bytes of a piece of data that a click shows."""
PAUSE = 0.25
"""Seconds between rows that are folded into one line, or drawn to scale."""
TALLEST = 1600
"""Height of all pauses together where they are to scale."""
MINOR = frozenset(("getsockopt", "getsockname", "getpeername", "ioctl", "fcntl"))
"""Calls that only ask: several of them become one row."""
ROW, SLANT = 24, 10
ABOVE, BELOW = 24, 26
"""Room that an arrow needs over and under it for what stands there."""
CALLS, SPAN, MORE = 336, 400, 190
"""Widths: of the calls, from one end to the other, and to each further peer."""
TIMES = 74
LABEL = 44
"""Characters that stand at an arrow or a call."""
HEAD = 46

Shape = dict[str, Any]


class _Row:
    """Something that happened: a call, an arrow, both, or a note."""

    __slots__ = ("call", "flags", "note", "session", "time")

    def __init__(self, time: float, session: int = 0) -> None:
        self.time = time
        self.session = session
        self.call: Call | None = None
        self.flags: list[Shape] = []
        """Arrows, in order; each with ``outbound``, ``style``, ``label`` and, for data, ``item``."""
        self.note: Shape | None = None


class _Peer:
    __slots__ = ("address", "closed", "number", "opened", "tcp")

    def __init__(self, number: int, address: str, opened: float, tcp: bool) -> None:
        self.number = number
        self.address = address
        self.opened = opened
        self.closed: Closed | None = None
        self.tcp = tcp


class Ladder:
    """Collects what happens, and draws it."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.rows: list[_Row] = []
        self.peers: dict[int, _Peer] = {}
        self.items: list[dict[str, str]] = []
        self.local = ""
        self.left_out = 0
        self._begun: float | None = None

    # ---- what happened

    def __call__(self, event: Event) -> None:
        """Observe."""
        if isinstance(event, Call):
            self._called(event)
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Data):
            self._passed(
                event,
                None if event.payload is None else bytes(event.payload),
                size(event.size),
                event.offset,
                event.message,
            )
        elif isinstance(event, Urgent):
            self._passed(event, event.payload, "out of band", 0, True)
        elif isinstance(event, Ended):
            self._ended(event)
        elif isinstance(event, Closed):
            self._closed(event)
        elif isinstance(event, Listening):
            self.local = event.address
        elif isinstance(event, Failed) and _is_reset(event.error) and event.session in self.peers:
            self._reset(event.time, event.session, str(event.error))
        elif isinstance(event, Failed):
            text = f"{event.operation}: {errno_name(getattr(event.error, 'errno', None)) or event.error}"
            self._noted(event.time, event.session, text, "error")
        elif isinstance(event, Lost):
            amount = f" {size(event.size)}" if event.size else ""
            self._noted(event.time, event.session, f"lost{amount}: {event.why}", "error")
        elif isinstance(event, Note) and event.level is Level.WARNING:
            self._noted(event.time, event.session, event.text, "")

    def _row(self, time: float, session: int = 0) -> _Row | None:
        """A new row, or None where there is no room for more."""
        if self._begun is None:
            self._begun = time
        if len(self.rows) >= MOST:
            self.left_out += 1
            return None
        self.rows.append(_Row(time, session))
        return self.rows[-1]

    def _called(self, call: Call) -> None:
        last = self.rows[-1] if self.rows else None
        if call.name == "close" and last is not None and last.call is None and last.flags:
            last.call = call  # it is what the FIN came from
            return
        row = self._row(call.time)
        if row is not None:
            row.call = call

    def _last_call(self, *names: str) -> _Row | None:
        """The row of the call that an arrow belongs to: the last one, or of these names one that was not long ago."""
        for row in reversed(self.rows[-16:]):
            if row.call is None or row.flags:
                return None
            if row.call.name in names or (not names and row.call.name not in MINOR):
                return row
            if not names:
                return None
        return None

    def _arrow(self, time: float, session: int, arrow: Shape, row: _Row | None = None) -> None:
        row = row or self._last_call() or self._row(time, session)
        if row is not None:
            row.session = session
            row.flags.append(arrow)

    def _opened(self, event: Opened) -> None:
        tcp = event.type == socket.SOCK_STREAM and event.family in _INTERNET
        if len(self.peers) < PEERS:
            self.peers[event.session] = _Peer(event.session, event.peer, event.time, tcp)
        self.local = self.local or event.local
        if event.type == socket.SOCK_DGRAM:
            return
        row = self._last_call("accept" if event.accepted else "connect")
        steps = ("SYN", "SYN, ACK", "ACK") if tcp else ("connection",)
        for i, label in enumerate(steps):
            outbound = (i % 2 == 1) if event.accepted else (i % 2 == 0)
            self._arrow(event.time, event.session, {"outbound": outbound, "style": "implied", "label": label}, row)
            row = row or self.rows[-1]

    def _passed(self, event: Data | Urgent, payload: bytes | None, amount: str, offset: int, message: bool) -> None:
        if len(self.rows) >= MOST:
            self.left_out += 1
            return
        sent = event.direction is Direction.SENT
        data = payload or b""
        label = preview(data, LABEL) if data else "(an empty message)" if payload is not None else f"({amount})"
        peer = self.peers.get(event.session)
        cut = f", the first {KEPT} shown" if len(data) > KEPT else ""
        where = "" if message else f", from byte {offset} of this direction"
        shown = b"".join(
            line[OFFSET - 8 :] for line in dump(data[:KEPT], 0 if message else offset, " ").splitlines(True)
        )
        self.items.append(
            {
                "title": f"{'sent' if sent else 'received'}: {amount}",
                "about": f"{self._moment(event.time)}{f', {peer.address}' if peer else ''}{where}{cut}",
                "text": "\n".join(escape(line, backslash=False) for line in data[:KEPT].split(b"\n")),
                "hex": shown.decode("ascii"),
            }
        )
        arrow = {
            "outbound": sent,
            "style": "sent" if sent else "received",
            "label": label,
            "under": amount,
            "data": True,
            "item": len(self.items) - 1,
            "full": f"{amount}: {preview(data, 400)}" if data else amount,
        }
        self._arrow(event.time, event.session, arrow)

    def _ended(self, event: Ended) -> None:
        peer = self.peers.get(event.session)
        if event.how.startswith("RST"):
            return  # the refusal that follows is its arrow
        if event.side is Side.LOCAL and not event.how.endswith("sent"):
            self._noted(event.time, event.session, event.how, "")
            return
        outbound = event.side is Side.LOCAL
        label = "FIN" if peer is None or peer.tcp else "end"
        style = "sent" if outbound else "received"
        self._arrow(
            event.time, event.session, {"outbound": outbound, "style": style, "label": label, "full": event.how}
        )

    def _closed(self, event: Closed) -> None:
        peer = self.peers.get(event.session)
        if peer is not None:
            peer.closed = event

    def _reset(self, time: float, session: int, text: str) -> None:
        label = "RST" if self.peers[session].tcp else "reset"
        self._arrow(time, session, {"outbound": False, "style": "error", "label": label, "full": text})

    def _noted(self, time: float, session: int, text: str, style: str) -> None:
        last = self.rows[-1] if self.rows else None
        if last is not None and last.call is not None and last.note is None and not last.flags and style == "":
            last.note = {"text": preview(text, LABEL), "style": style}
            return
        row = self._row(time, session)
        if row is not None:
            row.note = {"text": preview(text, 2 * LABEL), "style": style}

    # ---- the drawing

    def _moment(self, time: float) -> str:
        seconds = max(time - (self._begun or 0.0), 0.0)
        return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.3f} s"

    @property
    def has_pauses(self) -> bool:
        """Something is folded."""
        return any(after.time - before.time >= PAUSE for before, after in zip(self.rows, self.rows[1:], strict=False))

    @property
    def title(self) -> str:
        """Who with whom."""
        peers = [peer.address for peer in self.peers.values()]
        return (
            f"{self.local} and {', '.join(peers[:3])}{', …' * (len(peers) > 3)}"
            if peers
            else self.local or "no conversation"
        )

    def svg(self, *, scaled: bool = False, alone: bool = False) -> Markup:
        """The diagram. ``alone``: a file of its own, with its style sheet."""
        drawing = _Drawing(self, scaled)
        return page(
            "ladder.svg",
            title=self.title,
            alone=alone,
            prefix="s" if scaled else "f",
            shapes=drawing.shapes,
            width=drawing.width,
            height=drawing.height,
            attributes=_attributes,
        )

    def html(self) -> Markup:
        """The page."""
        pauses = self.has_pauses
        sums = [_sum(peer.closed) for peer in self.peers.values() if peer.closed is not None]
        return page(
            "picture.html",
            title=self.title,
            more=sums[0] if len(sums) == 1 else f"{len(self.peers)} conversations" if sums else "",
            folded=self.svg(),
            scaled=self.svg(scaled=True) if pauses else None,
            items=self.items,
        )

    def about_call(self, call: Call) -> int:
        """An item for a call; its number."""
        arguments = ", ".join(map(str, call.arguments))
        outcome = str(call.error) if call.error is not None else "0" if call.result is None else str(call.result)
        self.items.append(
            {
                "title": f"{call.name}({arguments}) = {outcome}",
                "about": f"{self._moment(call.time)}; took {call.duration * 1e6:.0f} us",
                "text": "",
                "hex": "",
            }
        )
        return len(self.items) - 1


def _attributes(shape: Shape) -> Markup:
    """What makes a shape one to click on."""
    return Markup(' data-item="{}" tabindex="0" role="button"').format(shape["item"]) if "item" in shape else Markup()


def _sum(closed: Closed) -> str:
    text = f"sent {size(closed.sent)}, received {size(closed.received)} in {duration(closed.duration)}"
    if closed.first is not None:
        text += "; the peer ended first" if closed.first is Side.REMOTE else "; we ended first"
    return text if closed.error is None else f"{text}; {closed.error}"


_INTERNET = frozenset(getattr(socket, name) for name in ("AF_INET", "AF_INET6") if hasattr(socket, name))


def _is_reset(error: Exception) -> bool:
    return isinstance(error, (ConnectionResetError, BrokenPipeError))


class _Drawing:
    """Where everything stands."""

    def __init__(self, ladder: Ladder, scaled: bool) -> None:
        self.ladder = ladder
        self.serving = ladder.command == "serve"
        peers = list(ladder.peers.values()) or [_Peer(0, "", 0.0, True)]
        first = TIMES + 96
        if self.serving:
            self.columns = {peer.number: first + i * MORE for i, peer in enumerate(peers)}
            self.us = first + (len(peers) - 1) * MORE + SPAN
            self.width = self.us + CALLS
        else:
            self.us = TIMES + CALLS
            self.columns = {peer.number: self.us + SPAN + i * MORE for i, peer in enumerate(peers)}
            self.width = max(self.columns.values()) + 116
        self.anchor, self.side = ("start", 14) if self.serving else ("end", -14)
        self.shapes: list[Shape] = []
        self._body: list[Shape] = []
        self._starts: dict[int, float] = {}
        self._scale = self._pixels_per_second() if scaled else None
        self.height = self._lay(peers)

    def _pixels_per_second(self) -> float:
        rows = self.ladder.rows
        return TALLEST / max(rows[-1].time - rows[0].time, 1e-6)

    def _lay(self, peers: list[_Peer]) -> int:
        """Rows from top to bottom; then what reaches from the top to the bottom, which is drawn below them."""
        top = HEAD + 12
        y, free, labelled, before = float(top), float(top), -100.0, None
        ends: dict[int, float] = {}
        for row, calls in self._groups():
            reach = self._reach(row)
            pause = row.time - before if before is not None else 0.0
            y = max(y + ROW, free + (ABOVE if row.flags else 0))
            if pause >= PAUSE and self._scale is None:
                text = f"{pause:.2f} s pass" if pause < 10 else f"{pause:.0f} s pass"
                span = (self.us, *self.columns.values())
                self._body.append({"kind": "gap", "x": min(span) - 10, "x2": max(span) + 10, "y": y + 2, "text": text})
                y += ROW + ABOVE
            elif self._scale is not None:
                y += max(pause * self._scale - ROW, 0.0)
            y += reach
            before = row.time
            if y - labelled >= 18:
                self._body.append(
                    {
                        "kind": "time",
                        "x": TIMES - 8,
                        "x2": self._tick(row),
                        "y": y + 4,
                        "text": self.ladder._moment(row.time),
                    }
                )
                labelled = y
            bottom = self._draw(row, calls, y)
            free = (
                max(free, bottom + (BELOW if any(flag.get("under") for flag in row.flags) else 6) - ABOVE * 0.3)
                if row.flags
                else free
            )
            if row.session in self.columns:
                self._starts.setdefault(row.session, y - reach)
                ends[row.session] = bottom
        if self.ladder.left_out:
            y += ROW + 10
            self._body.append(
                {
                    "kind": "sum",
                    "x": self.width / 2,
                    "y": y,
                    "text": f"and {self.ladder.left_out} more that are not drawn",
                }
            )
        bottom = max(y, free) + 30
        for i, peer in enumerate(peers):
            x = self.columns[peer.number]
            self.shapes += (
                {"kind": "lifeline", "x": x, "y": HEAD + 8, "y2": bottom, "faint": True},
                {
                    "kind": "lifeline",
                    "x": x,
                    "y": self._starts.get(peer.number, bottom),
                    "y2": ends.get(peer.number, bottom),
                    "faint": False,
                },
            )
            name = f"client {i + 1}" if self.serving and len(peers) > 1 else "client" if self.serving else "server"
            self.shapes.append(self._head(x, name, peer.address, ""))
        self.shapes.append({"kind": "lifeline", "x": self.us, "y": HEAD + 8, "y2": bottom, "faint": False})
        self.shapes.append(self._head(self.us, f"sockkit {self.ladder.command}", self.ladder.local, "us"))
        self.shapes += self._body
        for peer in peers if len(peers) == 1 else ():
            if peer.closed is not None:
                middle = (self.us + self.columns[peer.number]) / 2
                self.shapes.append(
                    {"kind": "sum", "x": middle, "y": bottom + 20, "text": preview(_sum(peer.closed), 90)}
                )
        return int(bottom) + 40

    def _tick(self, row: _Row) -> float:
        """Where the line from a row's time ends."""
        if not self.serving:
            return self.us - 8 if row.call is None else TIMES
        return min(self.columns.values()) - 8

    def _head(self, x: float, name: str, address: str, style: str) -> Shape:
        text = preview(address, 26)
        width = max(150, 8 * len(text) + 20) if len(self.columns) == 1 else MORE - 16
        return {"kind": "head", "x": x, "y": 8, "width": width, "name": name, "address": text, "style": style}

    def _groups(self) -> Iterator[tuple[_Row, list[Call]]]:
        """Rows; calls that only ask, and bring nothing, together."""
        held: list[_Row] = []
        for row in [*self.ladder.rows, None]:
            if (
                row is not None
                and row.call is not None
                and row.call.name in MINOR
                and not row.flags
                and row.note is None
            ):
                held.append(row)
                continue
            if held:
                yield held[0], [other.call for other in held if other.call is not None]
                held = []
            if row is not None:
                yield row, []

    def _reach(self, row: _Row) -> float:
        """How far a row's arrows begin above its own line: those of a handshake that ends with accept, and what arrives."""
        if not row.flags:
            return 0.0
        if row.call is not None and row.call.name == "accept":
            return float((len(row.flags) - 1) * ROW + SLANT)
        return 0.0 if row.flags[0]["outbound"] else float(SLANT)

    def _draw(self, row: _Row, calls: list[Call], y: float) -> float:
        """Draw a row at ``y``; how far down it goes."""
        if calls:
            text = f"{len(calls)} calls that only ask" if len(calls) > 1 else _called(calls[0])
            full = "\n".join(f"{_called(call, 200)} = {_result(call)[0]}" for call in calls)
            self._body.append(self._call(preview(text, LABEL), "", False, full, y, "minor", None))
        elif row.call is not None:
            result, error = _result(row.call)
            item = self.ladder.about_call(row.call) if self._scale is None else None
            taken = len(result) + 3 + (len(row.note["text"]) + 2 if row.note is not None else 0)
            text = _called(row.call, LABEL - taken)
            self._body.append(self._call(text, result, error, f"{_called(row.call, 200)} = {result}", y, "", item))
        if row.note is not None and row.call is not None:
            self._body[-1]["note"] = row.note["text"]
        elif row.note is not None:
            note = {"kind": "note", "at": self.us, "x": self.us + self.side, "y": y + 4, "anchor": self.anchor}
            self._body.append(note | row.note)
        there = self.columns.get(row.session)
        if there is None or not row.flags:
            return y
        at = y - self._reach(row)
        for flag in row.flags:
            x, x2 = (self.us, there) if flag["outbound"] else (there, self.us)
            arrow = {
                "kind": "arrow",
                "x": x,
                "y": at,
                "x2": x2,
                "y2": at + SLANT,
                "full": "what TCP does by itself",
                "data": False,
                "under": "",
            }
            middle = (x + x2) / 2
            arrow |= {"middle": middle, "label_y": at + SLANT / 2 - 7, "under_y": at + SLANT / 2 + 16, **flag}
            self._body.append(arrow)
            at += ROW
        return max(at - ROW + SLANT, y)

    def _call(self, text: str, result: str, error: bool, full: str, y: float, style: str, item: int | None) -> Shape:
        shape = {
            "kind": "call",
            "at": self.us,
            "x": self.us + self.side,
            "y": y + 4,
            "anchor": self.anchor,
            "style": style,
        }
        shape |= {"text": text, "result": result, "error": error, "full": full, "note": ""}
        return shape if item is None else shape | {"item": item}


def _called(call: Call, most: int = LABEL) -> str:
    return preview(f"{call.name}({', '.join(map(str, call.arguments))})", max(most, 12))


def _result(call: Call) -> tuple[str, bool]:
    """What came of it, in short; and whether that was a refusal (which a connection under way is none)."""
    if call.error is not None:
        name = errno_name(getattr(call.error, "errno", None)) or type(call.error).__name__
        return name, name != "EINPROGRESS"
    return ("0" if call.result is None else preview(str(call.result), 24)), False


class _File:
    """See ``files.Recorder``: what is collected is drawn at the end."""

    interest = Interest.DATA | Interest.PAYLOAD | Interest.CALLS
    preview = KEPT + 1

    def __init__(self, path: str, *, force: bool, clock: Callable[[], float], wish: Wish) -> None:
        destination(path, force=force)
        self._file = WholeFile(path, 0o600)
        self.ladder = Ladder(wish.command)

    def __call__(self, event: Event) -> None:
        """Observe."""
        self.ladder(event)

    def drawn(self) -> Markup:
        """What stands in the file."""
        raise NotImplementedError

    def close(self) -> None:
        """Draw it, if anything happened."""
        if self.ladder.rows:
            self._file.write(self.drawn().encode("utf-8", "backslashreplace"))


class Html(_File):
    """The page."""

    def drawn(self) -> Markup:
        """See ``_File``."""
        return self.ladder.html()


class Svg(_File):
    """The diagram alone."""

    def drawn(self) -> Markup:
        """See ``_File``."""
        return self.ladder.svg(alone=True)
