"""``inspect --watch`` for a person: how sockets are now and how they came there, redrawn in place.

Each look is drawn as a whole and written at once, so that nothing flickers; what does not fit is counted. The last picture stays
when it ends.
"""

from __future__ import annotations

import time as wall
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from sockkit.events import Changed, Event, Failed, Observer, Sample
from sockkit.render import Output
from sockkit.text import escape

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-:=+*#"
REMEMBERED = 60
"""Looks that a sparkline can show."""
STATE_STYLES = {"ESTABLISHED": "green", "LISTEN": "cyan", "CLOSE_WAIT": "yellow", "SYN_SENT": "yellow"}
CHANGE_STYLES = {"new": "green", "gone": "red", "state": "yellow", "owner": "magenta"}


def sparkline(values: list[float | None], width: int, *, bars: str = BARS) -> str:
    """The last values as a line of bars, the highest of them full; a gap where there was none."""
    shown = values[-width:]
    highest = max((value for value in shown if value is not None), default=0)
    top = len(bars) - 1
    line = "".join(
        " " if value is None else bars[min(top, round(value / highest * top))] if highest else bars[0]
        for value in shown
    )
    return line.rjust(width)


def amount(value: float | None, unit: str = "B") -> str:
    """``12.3 kB``, in at most seven characters and a unit; empty for None."""
    if value is None:
        return ""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(value) < 1000 or prefix == "T":
            return f"{value:.0f} {prefix}{unit}" if not prefix else f"{value:.3g} {prefix}{unit}"
        value /= 1000
    raise AssertionError


def microseconds(value: float | None) -> str:
    """``40 us``, ``1.25 ms``; empty for None."""
    if value is None:
        return ""
    return f"{value:.0f} us" if value < 1000 else f"{value / 1000:.3g} ms" if value < 1e6 else f"{value / 1e6:.3g} s"


class Live:
    """Draws samples in place on stdout; everything else is the story's, and ends the drawing if it is an error.

    Args:
        story: the renderer of everything else.
        close: what the story needs at its end.
        console: where to draw; None: stdout.
    """

    def __init__(
        self,
        story: Observer,
        output: Output,
        close: Callable[[], None] = lambda: None,
        console: Console | None = None,
    ) -> None:
        self._story = story
        self._close = close
        self._console = console or Console(highlight=False, markup=False, emoji=False, no_color=not output.color)
        self._bars = BARS if "utf" in self._console.encoding.lower() else ASCII_BARS
        self._history: dict[str, dict[str, deque[float | None]]] = {}
        self._events: deque[Text] = deque(maxlen=8)
        self._live: RichLive | None = None
        self._looks = 0

    def __call__(self, event: Event) -> None:
        """Observe."""
        if isinstance(event, Changed):
            self._events.append(self._change(event))
        elif isinstance(event, Sample):
            self._sample(event)
        else:
            if isinstance(event, Failed):
                self.stop()
            self._story(event)

    def stop(self) -> None:
        """The last picture stays, and the terminal is as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def close(self) -> None:
        """Nothing more comes."""
        self.stop()
        self._close()

    def _sample(self, event: Sample) -> None:
        if not event.more:
            self.stop()
            return
        sockets: list[dict[str, Any]] = list(event.sockets)  # type: ignore[arg-type]
        self.remember(sockets)
        picture = self.picture(sockets)
        if self._live is None:
            self._live = RichLive(picture, console=self._console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()
        self._live.update(picture, refresh=True)

    def remember(self, sockets: list[dict[str, Any]]) -> None:
        """Take a look into the history that sparklines show."""
        self._looks += 1
        kept: dict[str, dict[str, deque[float | None]]] = {}
        for told in sockets:
            history = self._history.get(told["id"]) or {}
            for name in ("send_rate", "receive_rate", *(row[0] for row in _ROWS)):
                values = history.setdefault(name, deque(maxlen=REMEMBERED))
                values.append(told.get(name))
            kept[told["id"]] = history
        self._history = kept

    def picture(self, sockets: list[dict[str, Any]]) -> Group:
        """What there is to see, no larger than the terminal."""
        width, height = self._console.size
        room = max(4, height - 1)
        heading = Text(f"{len(sockets)} socket{'' if len(sockets) == 1 else 's'}", style="bold")
        heading.append(f"   {wall.strftime('%H:%M:%S')}   look {self._looks}   Ctrl-C ends", style="dim")
        parts: list[Any] = [heading]
        events = list(self._events)
        if len(sockets) == 1:
            body = [self._detail(sockets[0], width)]
            used = 1 + 3 + body[0].row_count
        else:
            each = 2
            fits = max(1, (room - 2 - min(len(events), 5) - 1) // each)
            ordered = sorted(sockets, key=_activity, reverse=True) if len(sockets) > fits else sockets
            parts += [line for told in ordered[:fits] for line in self._entry(told, width)]
            used = 1 + each * min(fits, len(sockets))
            body = []
            if len(sockets) > fits:
                parts.append(Text(f"{len(sockets) - fits} more, less busy", style="dim"))
                used += 1
        if body:
            parts += self._title(sockets[0], width)
            parts += body
        left = room - used - 1
        if events and left > 0:
            parts.append(Text("changes", style="dim"))
            parts += [_cut(line, width) for line in events[-left:]]
        return Group(*parts)

    # ---- one socket

    def _title(self, told: dict[str, Any], width: int) -> list[Text]:
        first = Text.assemble((str(told["kind"]), "bold"), "  ", self._state(told))
        ends = Text(_ends(told))
        whose = Text(_owner(told) or "nobody holds it", style="dim")
        return [_cut(line, width) for line in (first, ends, whose)]

    def _detail(self, told: dict[str, Any], width: int) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=True, header_style="dim")
        bars = max(8, min(REMEMBERED, width - 56))
        for name, justify in (("", "left"), ("now", "right"), ("least", "right"), ("most", "right"), ("", "left")):
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        history = self._history.get(told["id"], {})
        for name, label, show in _ROWS:
            values = list(history.get(name, ()))
            known = [value for value in values if value is not None]
            if not known:
                continue
            line = sparkline(values, bars, bars=self._bars)
            style = "yellow" if name in ("retransmitted", "lost", "drops") and known[-1] else ""
            table.add_row(
                Text(label),
                Text(show(known[-1]), style=style or "bold"),
                Text(show(min(known)), style="dim"),
                Text(show(max(known)), style="dim"),
                Text(line, style=style or "green"),
            )
        if told["state"] == "LISTEN" and told["backlog"] is not None:
            table.add_row(
                Text("queue of backlog"),
                Text(f"{told['accept_queue']}/{told['backlog']}"),
                "",
                "",
                self._gauge(told, bars),
            )
        return table

    def _gauge(self, told: dict[str, Any], width: int) -> Text:
        """The accept queue against the backlog: full means that the kernel drops connections."""
        waiting, backlog = told["accept_queue"] or 0, max(1, told["backlog"] or 0)
        filled = min(width, round(waiting / backlog * width))
        style = "red" if waiting >= backlog else "yellow" if waiting * 2 >= backlog else "green"
        return Text.assemble((self._bars[-1] * filled, style), ("·" * (width - filled), "dim"))

    # ---- many

    def _entry(self, told: dict[str, Any], width: int) -> list[Text]:
        """Two lines a socket: who talks to whom, and how it goes."""
        first = Text.assemble((str(told["kind"]), "bold"), " ", self._state(told), " ", _ends(told))
        owner = _owner(told)
        if owner:
            first.append(f"  {owner}", style="dim")
        if told["state"] == "LISTEN" and told["backlog"] is not None:
            second = Text.assemble(
                f"  accept queue {told['accept_queue']}/{told['backlog']} ", self._gauge(told, min(20, width // 4))
            )
            return [_cut(first, width), _cut(second, width)]
        history = self._history.get(told["id"], {})
        second = Text("  ")
        for arrow, rate in (
            ("↑" if self._bars is BARS else ">", "send_rate"),
            ("↓" if self._bars is BARS else "<", "receive_rate"),
        ):
            values = list(history.get(rate, ()))
            if any(value is not None for value in values):
                second.append(f"{arrow}{amount(told[rate], 'B/s'):>9} ")
                second.append(sparkline(values, 8, bars=self._bars), style="green")
                second.append(" ")
        words = []
        if told.get("rtt") is not None:
            words.append(f"rtt {microseconds(told['rtt'])}")
        if told.get("cwnd") is not None:
            words.append(f"cwnd {told['cwnd']}")
        if told.get("retransmitted"):
            words.append(f"again {told['retransmitted']}")
        for name, label in (("send_queue", "sendq"), ("receive_queue", "recvq"), ("drops", "dropped")):
            if told.get(name):
                words.append(f"{label} {amount(told[name], '' if name == 'drops' else 'B')}".rstrip())
        if told.get("timer") and told["timer"]["kind"] != "keepalive":
            words.append(f"{told['timer']['kind']} {told['timer']['seconds']:.3g} s")
        second.append(" ".join(words), style="dim")
        return [_cut(first, width), _cut(second, width)]

    def _state(self, told: dict[str, Any]) -> Text:
        state = str(told["state"] or "")
        return Text(state, style=STATE_STYLES.get(state, ""))

    def _change(self, event: Changed) -> Text:
        text = Text(f"{wall.strftime('%H:%M:%S')} ", style="dim")
        text.append(event.what, style=CHANGE_STYLES.get(event.what, ""))
        steps = " to ".join(part for part in (event.before, event.after) if part)
        text.append(f" {escape(steps, backslash=False)}  {event.local or ''}{' - ' + event.peer if event.peer else ''}")
        return text


_count = lambda value: f"{value:.0f}"
_ROWS: tuple[tuple[str, str, Any], ...] = (
    ("send_rate", "sent a second", lambda value: amount(value)),
    ("receive_rate", "received a second", lambda value: amount(value)),
    ("rtt", "round trip", microseconds),
    ("cwnd", "cwnd (segments)", _count),
    ("retransmitted", "sent again", _count),
    ("lost", "lost", _count),
    ("unacknowledged", "unacknowledged", _count),
    ("send_queue", "send queue", lambda value: amount(value)),
    ("receive_queue", "receive queue", lambda value: amount(value)),
    ("accept_queue", "accept queue", _count),
    ("drops", "dropped", _count),
)
"""What the view of one socket shows: the key, how it is called, how its values are written."""


def _ends(told: dict[str, Any]) -> str:
    local = told["local"] or (f"inode {told['inode']}" if told["inode"] else "-")
    peer = told["peer"] or (f"inode {told['peer_inode']}" if told["peer_inode"] else "")
    if not told["peer"] and told["peer_owners"]:
        peer = _holder(told["peer_owners"][0])
    return f"{local} - {peer}" if peer else str(local)


def _holder(owner: dict[str, Any]) -> str:
    return f"{owner['name']}[{owner['pid']}] fd {owner['fd']}"


def _owner(told: dict[str, Any]) -> str:
    owners = told["owners"]
    more = f" and {len(owners) - 1} more" if len(owners) > 1 else ""
    return _holder(owners[0]) + more if owners else ""


def _activity(told: dict[str, Any]) -> float:
    waiting = (told["accept_queue"] or 0) + (told["send_queue"] or 0) + (told["receive_queue"] or 0)
    return (told["send_rate"] or 0) + (told["receive_rate"] or 0) + waiting


def _cut(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.overflow = "ellipsis"
    line.truncate(width, overflow="ellipsis")
    return line
