"""Many sessions that hear each other: what one says, all others get (``serve --mode broadcast`` and ``chat``).

What was said stands in one log that all share; a member is a place in it, and what it gets is never copied for it. So memory is bounded
by the log (``WINDOW``), however many members there are and however far behind some of them are.

When the log is full, senders are not read from until those who are far behind have taken half of it: a reader that is merely slower
than a sender slows it down, and gets everything. But nobody is waited for longer than ``patience``: who takes nothing, or too
little, in that time is left behind. On a byte stream, where a gap could not be seen, that ends its connection (by a reset,
so that it is no orderly end); a chat says how much was missed, and goes on; and so does a socket that keeps boundaries, where a message is there
or not.
"""

from __future__ import annotations

import errno
import sys
from collections import deque
from typing import Any

from sockkit import syscalls
from sockkit.carriers import Carrier, Fed, Messages, to_crlf
from sockkit.chat import COMMANDS, Lines, Names, shown
from sockkit.events import Behind, Handshake, Level, Named
from sockkit.loop import ERROR, HANGUP, READ, Loop, Timer
from sockkit.relay import Lane, State
from sockkit.sessions import Session
from sockkit.stdio import LocalEnd

UNBOUNDED = sys.maxsize
WINDOW = 4 * 1024 * 1024
"""Bytes of the log, with what each entry costs beside."""
OVERHEAD = 128
"""Bytes that an entry costs beside what was said: its objects."""
JOINED = 16 * 1024
"""Small entries are joined up to this size: a system call costs more than a copy."""
PATIENCE = 1.0
"""Seconds that a member which is far behind is waited for."""
PRIVATE = 64 * 1024
"""Bytes of the server's own lines that may wait for a member that does not read."""
NOWHERE = LocalEnd(-1, None, None, False, True, False, None, "the others", lambda: None)
"""In place of a source: nothing is watched, and nothing ends."""


class Hub:
    """What was said, and who hears it.

    Attributes:
        messages: boundaries are kept; then places in the log count messages, else bytes.
        names: of a chat; None: what is said passes as it is.
        full: there is no room in the log, so that nobody should say more.
        patience: seconds, see the module.
    """

    def __init__(
        self, loop: Loop, *, chat: bool, messages: bool, patience: float = PATIENCE, crlf: bool = False
    ) -> None:
        """
        Args:
            crlf: lines of a chat end with CRLF.
        """
        self.loop = loop
        self.messages = messages
        self.names = Names() if chat else None
        self.full = False
        self.members: dict[int, Member] = {}
        self.entries: list[tuple[int, bytes, Member | None]] = []
        self.first = 0  # the number of the first entry that is still there
        self.patience = patience
        self._newline = b"\r\n" if crlf else b"\n"
        self._said = 0  # bytes or messages, ever
        self._cost = 0
        self._due = False
        self._held: list[Member] = []
        self._laggards: set[Member] = set()
        self._mark = 0
        self._timer: Timer | None = None
        self._closed = False

    @property
    def end(self) -> int:
        """The number of the next entry."""
        return self.first + len(self.entries)

    def position(self, index: int) -> int:
        """How much was said before an entry."""
        at = index - self.first
        return self.entries[at][0] if at < len(self.entries) else self._said

    def say(self, data: bytes, sender: Member | None) -> None:
        """Everybody else is to get this. At the end of the loop's turn they do: what many say in one turn is sent together."""
        self.entries.append((self._said, data, sender))
        size = 1 if self.messages else len(data)
        self._said += size
        if sender is not None:
            sender.spoken += size
        self._cost += len(data) + OVERHEAD
        if self._cost > WINDOW:
            self.full = True
        self.deliver()

    def tell(self, text: str, sender: Member | None = None) -> None:
        """The server says something to everybody (but ``sender``)."""
        self.say(self.line(text), sender)

    def line(self, text: str) -> bytes:
        """A line of the server's own."""
        return b"-- " + text.encode() + self._newline

    def said_by(self, name: str, line: bytes) -> bytes:
        """A line of somebody's."""
        return b"<" + name.encode() + b"> " + shown(line) + self._newline

    def deliver(self) -> None:
        """Hand over what there is, at the end of the loop's turn."""
        if not self._due and not self._closed:
            self._due = True
            self.loop.later(0, self._deliver)

    def _deliver(self) -> None:
        self._due = False
        for member in list(self.members.values()):
            member.deliver()
        if self.full and self._timer is None:
            self._make_room()

    # ---- room in the log

    def _make_room(self) -> None:
        """Give up the older half of the log, once everybody who is waited for has taken it."""
        entries, cost = self.entries, self._cost
        keep = 0
        while cost > WINDOW // 2:
            cost -= len(entries[keep][1]) + OVERHEAD
            keep += 1
        self._mark = self.first + keep
        now, patience = self.loop.env.clock(), self.patience
        for member in [each for each in self.members.values() if each.waited and each.index < self._mark]:
            if member.outbound.blocked and now - member.since >= patience:
                member.leave_behind()
            else:
                self._laggards.add(member)
        if self._laggards:
            self._timer = self.loop.later(patience, self._on_impatience)
        else:
            self._trim()

    def _on_impatience(self) -> None:
        late, self._laggards = self._laggards, set()
        for member in late:
            member.leave_behind()
        self._trim()

    def advanced(self, member: Member, *, gone: bool = False) -> None:
        """A member took something, or is gone, while there is no room."""
        if member in self._laggards and (gone or member.index >= self._mark):
            self._laggards.discard(member)
            if not self._laggards:
                assert self._timer is not None
                self._timer.cancel()
                self._timer = self.loop.later(0, self._trim)

    def _trim(self) -> None:
        """The older half goes, and with it what those have missed who were left behind."""
        count = self._mark - self.first
        gone, self.entries = self.entries[:count], self.entries[count:]
        behind = [member for member in self.members.values() if member.index < self._mark]
        for index, (_, data, sender) in enumerate(gone, self.first):
            self._cost -= len(data) + OVERHEAD
            if sender is not None and sender.index <= index:
                size = 1 if self.messages else len(data)
                sender.spoken -= size
                sender.missed -= size
        mark = self.entries[0][0] if self.entries else self._said
        for member in behind:
            member.missed += mark - gone[member.index - self.first][0]
            member.index = self._mark
        self.first = self._mark
        self._timer = None
        self.full = self._cost > WINDOW
        if self.full:
            self._make_room()
            return
        held, self._held = self._held, []
        for member in held:
            member.go_on()

    def hold(self, member: Member) -> None:
        """Do not read from it until there is room."""
        self._held.append(member)

    # ---- who is there

    def join(self, member: Member) -> None:
        """From now on it hears what is said."""
        self.members[member.number] = member
        member.index = self.end
        names = self.names
        if names is None:
            return
        name = names.enter(member.number)
        self.tell(f"{name} joined", member)
        here = ", ".join(names[number] for number in self.members if number != member.number and number in names)
        member.tell(f"you are {name}: /name NAME changes that, /who tells who is here: {here or 'nobody else'}")

    def silent(self, member: Member) -> None:
        """It will say nothing any more."""
        if self.names is not None and member.number in self.names:
            name = self.names.leave(member.number)
            if not self._closed:
                self.tell(f"{name} left", member)

    def leave(self, member: Member) -> int:
        """It is gone. Returns what it had not got: bytes, or messages."""
        if self.members.pop(member.number, None) is None:
            return 0
        self.silent(member)
        self.advanced(member, gone=True)
        return member.missed + self.unheard(member)

    def unheard(self, member: Member) -> int:
        """What was said and is still there for it: bytes, or messages."""
        return self._said - self.position(member.index) - member.spoken

    def close(self) -> None:
        """The end of the run: nobody is told of what follows from it."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()


class Member(Session):
    """A session whose peer hears what others say, and whom others hear.

    Attributes:
        index: the number of the entry of the log that comes next.
        spoken: how much of what comes next in the log it said itself.
        missed: what it was not waited for with, and what was not said yet of that.
        waited: it keeps pace, or did so far.
        since: when the piece that is under way was begun.
    """

    spoken = 0
    missed = 0
    waited = True
    since = 0.0
    outbound: Fed
    _lonely = False
    _held = False
    _command = False
    _private: deque[tuple[int, bytes]] | None = None  # where in the log it belongs, and a line

    def __init__(self, hub: Hub, *args: Any, **kwargs: Any) -> None:
        """As ``Session``, without its source and sink; its relay has two lanes of ``UNBOUNDED`` capacity, since the log is bounded."""
        self.hub = hub
        self.index = hub.end
        chat = hub.names is not None
        self._lines = Lines() if chat else None
        sink = NOWHERE._replace(write=self._chat if chat else self._say, finish=self._on_silence)
        super().__init__(*args, source=NOWHERE, sink=sink, **kwargs)
        if self.settings.crlf and not chat:
            assert isinstance(self.inbound, (Carrier, Messages))
            crlf, after = to_crlf(), self.inbound.transform
            self.inbound.transform = crlf if after is None else lambda data: after(crlf(data))

    def _make_outbound(self, lane: Lane, send: syscalls.Write, *, messages: bool) -> Carrier | Messages | Fed:
        return Fed(self, lane, self._next, send, messages=messages)

    def _bulk_from(self, carrier: Carrier) -> int | None:
        return None  # what many are to get is read once

    def _begin(self, handshake: Handshake | None = None) -> None:
        self.hub.join(self)
        super()._begin(handshake)

    # ---- what it says

    def _say(self, chunk: memoryview | bytes) -> int:
        self._note_loneliness()
        self.hub.say(bytes(chunk), self)
        return len(chunk)

    def _note_loneliness(self) -> None:
        alone = len(self.hub.members) == 1
        if alone and not self._lonely:
            self._note(Level.INFO, "nobody else is here: nobody hears this")
        self._lonely = alone

    def _chat(self, chunk: memoryview | bytes) -> int:
        assert self._lines is not None
        for line, begins in self._lines.feed(bytes(chunk)):
            self._on_line(line, begins)
        if self.hub.messages:
            self._end_line()
        return len(chunk)

    def _end_line(self) -> None:
        assert self._lines is not None
        for line, begins in self._lines.end():
            self._on_line(line, begins)

    def _on_line(self, line: bytes, begins: bool) -> None:
        hub = self.hub
        assert hub.names is not None
        if begins:
            word, _, rest = line.partition(b" ")
            self._command = word in COMMANDS
            if word == COMMANDS[0]:
                self._rename(rest)
            elif word == COMMANDS[1]:
                self._tell_who()
        if not self._command:
            self._note_loneliness()
            hub.say(hub.said_by(hub.names[self.number], line), self)

    def _rename(self, wanted: bytes) -> None:
        names = self.hub.names
        assert names is not None
        before = names[self.number]
        refusal = names.rename(self.number, wanted)
        if refusal is not None:
            self.tell(refusal)
            return
        name = names[self.number]
        if name != before:
            self.env.observer(Named(self.env.clock(), self.number, name, before))
            self.hub.tell(f"{before} is now {name}")

    def _tell_who(self) -> None:
        hub, names = self.hub, self.hub.names
        assert names is not None
        here = []
        for number, member in hub.members.items():
            if number in names:
                behind = member.missed + hub.unheard(member) if member.outbound.blocked else 0
                here.append(names[number] + (f" ({behind} bytes behind)" if behind else ""))
        self.tell(f"here: {', '.join(here)}")

    def _on_silence(self) -> None:
        """Its input is over. It still hears the others, until it closes."""
        if self._lines is not None and self.number in self.hub.members:
            self._end_line()
        self.hub.silent(self)

    # ---- what it hears

    def tell(self, text: str) -> None:
        """The server says something to this one alone."""
        if self._private is None:
            self._private = deque()
        line = self.hub.line(text)
        if sum(len(each) for _, each in self._private) > PRIVATE:
            self.missed += len(line)
            return
        self._private.append((self.hub.end, line))
        self.hub.deliver()

    def deliver(self) -> None:
        """Hand over what there is, unless its socket is waited for anyway."""
        if self.closed or self.outbound.blocked:
            return
        if not self.outbound.drain() or (self._secured is not None and self._secured.wants_output):
            if not self.closed:
                self.update()

    def _next(self) -> bytes | None:
        """See ``Fed``: the next piece. Asked for whenever the one before was taken."""
        hub = self.hub
        self.since = self.env.clock()
        if self.missed > 0 and hub.names is not None:
            return self._confess()
        if self._private and self._private[0][0] <= self.index:
            return self._private.popleft()[1]
        entries, first = hub.entries, hub.first
        at, end = self.index - first, len(entries)
        parts: list[bytes] = []
        size = 0
        while at < end and size < JOINED and not (hub.messages and parts):
            _, data, sender = entries[at]
            if sender is self:
                self.spoken -= 1 if hub.messages else len(data)
            elif parts and len(data) >= JOINED:
                break  # as it is, not copied
            else:
                parts.append(data)
                size += len(data)
            at += 1
        piece = b"".join(parts) if len(parts) > 1 else parts[0] if parts else None
        self.index = first + at
        if hub.full:
            hub.advanced(self)
        if piece is None and self._private:
            return self._private.popleft()[1]
        if piece is None and not self.waited:
            self._caught_up()
        return piece

    def _confess(self) -> bytes:
        """A chat says how much was missed, where it was."""
        missed, self.missed = self.missed, 0
        self._lose(missed, "it was behind, and was not waited for")
        return self.hub.line(f"{missed} bytes missed: you were behind")

    def leave_behind(self) -> None:
        """It takes too little, and the others go on."""
        hub = self.hub
        self.waited = False
        if hub.messages or hub.names is not None:
            self.failed = True
            behind = hub.unheard(self)
            self.env.observer(Behind(self.env.clock(), self.number, behind, False))
            return
        if self.connected and self.kind[0] in syscalls.INTERNET:
            syscalls.linger(self.env, self.sock, 0)
        text = f"too far behind the others, who do not wait longer than {hub.patience:g} s"
        self.fail(f"send to {self.peer}", TimeoutError(errno.ETIMEDOUT, text))

    def _caught_up(self) -> None:
        self.waited = True
        missed, self.missed = self.missed, 0
        self._lose(missed, "it was behind, and was not waited for")
        self.env.observer(Behind(self.env.clock(), self.number, missed, True))

    # ---- its socket

    def on_socket(self, mask: int) -> None:
        """See ``Session``: while there is no room in the log, nothing is read but an end."""
        if mask & (HANGUP | ERROR):
            if self._held:
                self._held = self._deaf = False
        elif self.hub.full and mask & READ:
            if not self._held:
                self._held = self._deaf = True
                self.hub.hold(self)
            mask &= ~READ
            if not mask:
                self.update()
                return
        super().on_socket(mask)

    def go_on(self) -> None:
        """There is room again."""
        if self._held and not self.closed:
            self._held = self._deaf = False
            self.update()

    def sink_failed(self, carrier: Any, error: OSError) -> None:
        """See ``Session``. Whoever has ended its input and is gone has left: that is no failure."""
        if self.relay.inbound.state is State.OPEN:
            super().sink_failed(carrier, error)
        else:
            self._on_hangup()

    def _on_hangup(self) -> None:
        self._hangup = True
        if self.relay.inbound.state is not State.OPEN:
            self._give_up()
            self.close()

    def close(self) -> None:
        """See ``Session``; what it had not got is said."""
        if self.closed:
            return
        if self._lines is not None and self.number in self.hub.members:
            self._end_line()
        lane = self.relay.outbound
        rest = self.hub.leave(self)
        if rest > 0 and lane is not None and lane.state is State.OPEN:
            lane.add(rest)
        super().close()
