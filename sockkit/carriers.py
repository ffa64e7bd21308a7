"""Carriers: each does what one lane of the relay stands for, and takes bytes from its source to its sink.

There are several, and the relay cannot tell them apart:

- ``Carrier`` copies a byte stream through one buffer that the whole loop shares; what the sink does not take at once is
  kept until it does. Small messages go this way, and everything that somebody looks into.
- ``Direct`` and ``ThroughPipe`` let the kernel move a bulk flow that nobody looks into: splice(2) and sendfile(2). They
  carry counts only.
- ``Messages`` keeps boundaries.
- ``Fed`` has a source that is no descriptor, and says by itself when it has something.

A ``Carrier`` and its kernel-moved twin take turns: a large read calls the twin in; when the flow dries up, or the kernel
refuses, the copying one goes on. So an idle lane owns no pipe, and only a plain read of nothing is the end of an input:
a splice that moves nothing says less (a pending urgent byte does that too, tcp(7), and so does an empty pipe).
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from sockkit import syscalls
from sockkit.events import Side
from sockkit.loop import READ, WRITE, Handler, Loop, polled
from sockkit.relay import Lane

if TYPE_CHECKING:
    from socket import socket
    from typing import Protocol

    from sockkit.events import Env
    from sockkit.faults import Fates, Faults
    from sockkit.tls import Machine

    class Owner(Protocol):
        """What a carrier tells: a session."""

        shared: Shared

        def source_failed(self, carrier: AnyCarrier, error: OSError) -> None:
            """Reading was refused."""

        def source_ended(self, carrier: AnyCarrier) -> None:
            """End of input."""

        def sink_failed(self, carrier: AnyCarrier, error: OSError) -> None:
            """Writing was refused."""

        def update(self) -> None:
            """Watch what is wanted now."""

        def lose_last(self, size: int) -> None:
            """The escaped rest of a character did not reach the terminal."""

        def cut(self, size: int, kept: int) -> None:
            """A message was longer than the buffer."""

        def zero_is_end(self, carrier: Messages) -> bool:
            """Tell the end of a connection from an empty message."""

        def splice(self, carrier: Carrier) -> None:
            """The flow is large: let the kernel move it, if it can."""

        def exchange(self, carrier: Carrier | Spliced, other: Carrier | Spliced) -> None:
            """Another carrier takes over the lane."""


BUFFER_SIZE = 256 * 1024
"""Bytes read at once. Larger than any datagram (65,507 over IPv4) and than a Unix socket's default send buffer."""
CAPACITY = 4 * 1024 * 1024
"""Bytes that may be under way in one lane, and so the most that one sendfile takes: a fifth of a millisecond of it."""
MESSAGE_SIZE = 65507
"""What one read of a byte stream becomes at most when it is sent as a message: the most that UDP over IPv4 carries."""
BURST = 16
"""Messages that are handed over before others get their turn: our own receive queue runs over while we only send."""
SECURED = 64 * 1024
"""Plain bytes that become records before the socket is asked to take those."""
BULK = 32 * 1024
"""A read of so much calls the kernel-moved twin in …"""
TRICKLE = 8 * 1024
"""… and a move of less sends it away again: two splices cost more than a small copy."""
REFUSALS = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))
"""The kernel cannot move bytes between these two descriptors by itself: they are copied."""
PIPE_SIZE = 1024 * 1024
"""Of our own pipes: F_SETPIPE_SZ, the most that an ordinary user may ask for (/proc/sys/fs/pipe-max-size)."""
SMALLEST_PIPE = 64 * 1024
"""What a pipe is born with. A user whose pipes hold too much already gets 8 KiB (pipe(7)): then copying is faster."""
PIPES = 16
"""Of ours at once: those beyond copy. 64 of a MiB each would use up pipe-user-pages-soft for all of a user's processes."""
KEPT = 0.1
"""Seconds that a message which is to come after its successor waits for one."""
SPARE_TIME = 1.0
"""Seconds after which a pipe that nobody borrowed is closed."""

Transform = Callable[[bytes], bytes]
Look = Callable[[int, int, "memoryview | bytes | None"], None]
"""Told of (offset, size, chunk); the chunk is None where the kernel moved it unseen."""
Move = Callable[[int], int]
"""Moves at most so many bytes from a source to a sink within the kernel; see ``syscalls.splicer``."""


class Shared:
    """What all sessions of a loop share: a buffer to read into, and a few pipes.

    Attributes:
        buffer: ``BUFFER_SIZE`` bytes.
        views: the front of the buffer by its size, below ``BULK``: clients send the same sizes over and over.
    """

    __slots__ = ("_idle", "_lent", "_loop", "_room", "_tidying", "buffer", "views")

    def __init__(self, loop: Loop) -> None:
        self.buffer = memoryview(bytearray(BUFFER_SIZE))
        self.views: dict[int, memoryview] = {}
        self._room: memoryview | None = None
        self._loop = loop
        self._idle: list[syscalls.Pipe] = []
        self._lent = 0
        self._tidying = False

    @property
    def room(self) -> memoryview:
        """A second buffer, for what is to become plain bytes in the first."""
        if self._room is None:
            self._room = memoryview(bytearray(SECURED))
        return self._room

    def borrow(self) -> syscalls.Pipe | None:
        """A pipe that is empty, or None where there is none to be had: then copy."""
        if self._lent >= PIPES:
            return None
        if self._idle:
            self._lent += 1
            return self._idle.pop()
        try:
            pipe = syscalls.pipe(self._loop.env, PIPE_SIZE)
        except OSError:  # no descriptor is left: EMFILE, ENFILE
            return None
        if pipe.size < SMALLEST_PIPE:
            syscalls.close_pipe(self._loop.env, pipe)
            return None
        self._lent += 1
        return pipe

    def give_back(self, pipe: syscalls.Pipe, *, empty: bool) -> None:
        """No longer needed. One that still holds bytes of its lane is closed."""
        self._lent -= 1
        if not empty:
            syscalls.close_pipe(self._loop.env, pipe)
            return
        self._idle.append(pipe)
        if not self._tidying:
            self._tidying = True
            self._loop.later(SPARE_TIME, self._tidy)

    def _tidy(self) -> None:
        """While pipes are in use the spare ones are kept; a second after that they go."""
        self._tidying = self._lent > 0
        if self._tidying:
            self._loop.later(SPARE_TIME, self._tidy)
        else:
            self.close()

    def close(self) -> None:
        """Close the pipes that are not lent."""
        while self._idle:
            syscalls.close_pipe(self._loop.env, self._idle.pop())


class Carrier:
    """One lane of a byte stream, copied.

    Attributes:
        told_received, told_sent: who looks at what comes in and goes out; None where nobody does.
        transform: changes bytes between source and sink (escaping for a terminal, CRLF); None: they pass as they are.
        gate: what is sent passes through it, on purpose late or in pieces.
        left: what the sink never took, once it was refused.
        bulk_from: bytes after which a large flow is handed to the kernel-moved twin: somebody may look at the first of
            them. None: never, since somebody looks at all of them, or the kernel cannot.
    """

    __slots__ = (
        "_buffer",
        "_credit",
        "_large",
        "_pending",
        "_read",
        "_write",
        "_written",
        "bulk_from",
        "gate",
        "lane",
        "left",
        "session",
        "told_received",
        "told_sent",
        "transform",
    )

    def __init__(self, session: Owner, lane: Lane, read: syscalls.Read, write: syscalls.Write) -> None:
        self.session = session
        self.lane = lane
        self.left = b""
        self.told_received: Look | None = None
        self.told_sent: Look | None = None
        self.transform: Transform | None = None
        self.bulk_from: int | None = None
        self.gate: Gate | Scatter | None = None
        self._read = read
        self._write = write
        self._buffer = session.shared.buffer
        self._pending: memoryview | None = None
        self._large = False  # the flow is: the twin takes over as soon as nothing is pending
        self._credit = 0  # what the lane is told as sent when a transformed chunk is through
        self._written = 0  # bytes that went out, where the transform makes them more than the lane knows

    @property
    def hungry(self) -> bool:
        """The source should be read."""
        return self._pending is None and self.lane.wants_input

    @property
    def waiting(self) -> bool:
        """The sink should be written to."""
        return self.lane.wants_output and (self.gate is None or not self.gate.closed)

    @property
    def totals(self) -> tuple[int, int]:
        """Bytes received and sent."""
        sent = self.lane.sent if self.transform is None else self._written
        return self.lane.received, sent if self.gate is None else sent - self.gate.swallowed

    def fill(self) -> bool:
        """The source may be read: take what is there and hand it on.

        Returns:
            True if all of it went through, so that nothing changes for whoever waits.
        """
        try:
            size = self._read(self._buffer)
        except BlockingIOError:
            return True
        except OSError as error:
            self.session.source_failed(self, error)
            return False
        return self.arrived(size)

    def arrived(self, size: int) -> bool:
        """The source gave the first ``size`` bytes of the buffer: hand them on. Returns as ``fill``."""
        lane = self.lane
        if size == 0:
            self.session.source_ended(self)
            return False
        chunk: memoryview = self._buffer[:size]
        if self.told_received is not None:
            self.told_received(lane.received, size, chunk)
        lane.add(size)
        if self.transform is not None:
            chunk = memoryview(self.transform(bytes(chunk)))
            if not chunk:  # half a character: the rest of it comes later
                lane.take(size)
                return True
            self._credit = size
        elif size >= BULK and self.bulk_from is not None and lane.received >= self.bulk_from:
            self._large = True
        return self._hand_over(chunk)

    def keep(self, rest: bytes | memoryview) -> None:
        """What the sink did not take. The buffer is everybody's: what waits is copied out of it, once."""
        self._pending = memoryview(bytes(rest))

    @property
    def untaken(self) -> bytes:
        """What came from the source and the sink did not take, as it would have been written."""
        return self.left if self._pending is None else bytes(self._pending)

    def _hand_over(self, chunk: memoryview) -> bool:
        lane = self.lane
        try:
            sent = self._write(chunk)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._pending = None
            self.left = bytes(chunk)
            self.session.sink_failed(self, error)
            return False
        if self.told_sent is not None and sent:
            self.told_sent(lane.sent if self.transform is None else self._written, sent, chunk[:sent])
        if self.transform is not None:
            self._written += sent
        whole = sent == len(chunk)
        if self._credit:
            if whole:
                lane.take(self._credit)
                self._credit = 0
        else:
            lane.take(sent)
        if whole:
            self._pending = None
            if self._large:  # and nothing of it is left here: the kernel may go on
                self._large = False
                self.session.splice(self)
            return True
        if self._pending is None:
            self.keep(chunk[sent:])
        else:
            self._pending = chunk[sent:]
        return False

    def drain(self) -> None:
        """The sink may be written to."""
        if self._pending is not None:
            self._hand_over(self._pending)

    def flush(self, last: bytes) -> None:
        """The source has ended; ``last`` is what the transform still held. Where it does not fit any more, that is said."""
        if not last:
            return
        try:
            left = len(last) if self._pending is not None else len(last) - self._write(last)
        except OSError:
            left = len(last)
        if left:
            self.session.lose_last(left)

    def discard(self) -> None:
        """The sink is gone, and nobody minds: what waits, and what still comes, is thrown away."""
        self._write, self._pending, self._credit = len, None, 0
        self.bulk_from = self.gate = None
        self.lane.take(self.lane.buffered)

    def close(self) -> None:
        """Over: let go of the session, so that neither waits for the other to be cleared away."""
        del self.session


class Secured:
    """TLS between the socket and the carriers of a session, which read and write plain bytes through it.

    Attributes:
        machine: the TLS connection.
        more: a read would give something although the socket has nothing: no event tells of it.
    """

    __slots__ = ("_error", "_mute", "_receive", "_refusal", "_refused", "_room", "_send", "_unsent", "machine", "more")

    def __init__(self, machine: Machine, receive: syscalls.Read, send: syscalls.Write, room: memoryview) -> None:
        """
        Args:
            room: to receive into; nothing stays in it.
        """
        self.machine = machine
        self.more = False
        self._receive = receive
        self._send = send
        self._room = room
        self._unsent: memoryview | None = None
        self._refused = 0
        # What came after the last bytes were encrypted: those are not offered again.
        self._refusal: OSError | None = None
        self._mute = False  # the socket takes no more
        self._error: OSError | None = None  # what came behind the last bytes: asked again, OpenSSL tells another story

    @property
    def wants_output(self) -> bool:
        """Records wait for the socket to take them."""
        return self._unsent is not None

    @property
    def pending(self) -> int:
        """Bytes of records that the socket has not taken, or refused: what is in them is nowhere else any more."""
        return self._refused if self._unsent is None else len(self._unsent)

    def handshake(self) -> bool:
        """Go on as far as possible; True when it is over.

        Raises:
            OSError: it failed, and the peer was told why, if it listens.
        """
        while True:
            try:
                self.machine.handshake()
                self.flush()
                self.more = True  # perhaps: with the last message of the handshake may have come the first data
                return True
            except BlockingIOError:
                self.flush()
            except OSError:
                try:
                    self.flush()
                except OSError:
                    pass
                raise
            try:
                size = self._receive(self._room)
            except BlockingIOError:
                return False
            self.machine.receive(self._room[:size])

    def read(self, buffer: memoryview) -> int:
        """See ``syscalls.Read``: plain bytes; 0 is the peer's close_notify."""
        got = 0
        self.more = False
        received = False
        if self._error is not None:
            raise self._error
        while got < len(buffer):
            try:
                size = self.machine.read(buffer[got:])
            except BlockingIOError:
                self.flush()
                if got or received:
                    break
                size = self._receive(self._room)
                self.machine.receive(self._room[:size])
                received = True
                continue
            except OSError as error:
                # The kernel tells of a reset once (tcp(7)). If sending has met it, this is no end that the peer made.
                refusal = self._refusal
                self._error = refusal if refusal is not None and refusal.errno == errno.ECONNRESET else error
                if not got:
                    raise self._error from error
                self.more = True
                return got
            if size == 0:
                self.more = got > 0
                return got
            got += size
        else:
            self.more = True
        if not got:
            raise BlockingIOError
        return got

    def write(self, data: memoryview | bytes) -> int:
        """See ``syscalls.Write``: how many plain bytes were taken. No more are, while records wait for the socket."""
        if self._refusal is not None:
            raise self._refusal
        self.flush()
        taken = 0
        while taken < len(data) and self._unsent is None:
            taken += self.machine.write(data[taken : taken + SECURED])
            try:
                self.flush()
            except OSError as error:
                self._refusal = error
                break
        if not taken:
            raise BlockingIOError
        return taken

    def flush(self) -> None:
        """Send what waits. Raises OSError, once, where the connection is gone: what can still come can still be read."""
        while True:
            if self._unsent is None:
                records = self.machine.to_send()
                if not records or self._mute:
                    return
                self._unsent = memoryview(records)
            try:
                sent = self._send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                self._refused = len(self._unsent)
                self._unsent = None  # nobody will take it: waiting for it would be waiting for ever
                self._mute = True
                raise
            self._unsent = self._unsent[sent:] if sent < len(self._unsent) else None


class Gate:
    """What is sent waits here, and is cut, as it was asked to misbehave (``faults``).

    It takes nothing while it is closed: so what waits is the lane's, is counted as such, and holds up its source.

    Attributes:
        closed: nothing passes until ``opened`` is called.
        swallowed: bytes that were taken after our direction had ended, and went nowhere.
    """

    __slots__ = (
        *("_budget", "_ended", "_faults", "_last", "_loop", "_on_limit", "_opened", "_passed", "_send", "_waited"),
        *("closed", "swallowed"),
    )

    def __init__(
        self,
        loop: Loop,
        faults: Faults,
        send: syscalls.Write,
        opened: Callable[[], None],
        on_limit: Callable[[], None],
    ) -> None:
        """
        Args:
            opened: called when something may pass again.
            on_limit: called once, when ``close_after`` bytes were sent.
        """
        self.closed = False
        self.swallowed = 0
        self._loop = loop
        self._faults = faults
        self._send = send
        self._opened = opened
        self._on_limit = on_limit
        self._passed = 0
        self._ended = False
        self._waited = False  # the piece that is offered has waited
        self._budget = 0.0
        self._last = loop.env.clock()

    def end(self) -> None:
        """Our direction is over: what comes is swallowed."""
        self._ended = True

    def _close(self, seconds: float) -> None:
        def reopen() -> None:
            self.closed = False
            self._opened()

        self.closed = True
        self._loop.later(seconds, reopen)

    def write(self, data: memoryview | bytes) -> int:
        """See ``syscalls.Write``."""
        faults, size = self._faults, len(data)
        if self._ended:
            self.swallowed += size
            return size
        if self.closed:
            raise BlockingIOError
        if faults.delay is not None and not self._waited:
            self._waited = True
            self._close(faults.delay)
            raise BlockingIOError
        if faults.rate is not None:
            now = self._loop.env.clock()
            most = max(1.0, faults.rate * 0.05)
            self._budget = min(most, self._budget + (now - self._last) * faults.rate)
            self._last = now
            if self._budget < 1:
                self._close(max(0.001, (1 - self._budget) / faults.rate))
                raise BlockingIOError
            size = min(size, int(self._budget))
        if faults.chunk is not None:
            size = min(size, faults.chunk)
        if faults.close_after is not None:
            size = min(size, faults.close_after - self._passed)
            if size == 0:
                raise BlockingIOError
        sent = self._send(data[:size])
        self._budget -= sent
        self._passed += sent
        if sent == len(data):
            self._waited = False
        if faults.close_after is not None and self._passed >= faults.close_after:
            self.closed = True
            self._loop.later(0, self._on_limit)
        return sent


class Scatter:
    """What is sent of messages is what ``faults.Fates`` decides. ``write`` is a ``syscalls.Write``.

    Attributes: see ``Gate``.
    """

    __slots__ = ("_delay", "_doing", "_fates", "_loop", "_opened", "_send", "_waited", "closed", "swallowed")

    def __init__(
        self, loop: Loop, delay: float | None, fates: Fates, send: syscalls.Write, opened: Callable[[], None]
    ) -> None:
        self.closed = False
        self.swallowed = 0
        self._loop = loop
        self._delay = delay
        self._fates = fates
        self._send = send
        self._opened = opened
        self._waited = False
        self._doing: deque[bytes] | None = None

    def _reopen(self) -> None:
        self.closed = False
        self._opened()

    def end(self) -> None:
        """Send what was kept for a successor that did not come."""
        rest = self._fates.rest()
        if rest is not None:
            self._send(rest)

    def write(self, message: memoryview | bytes) -> int:
        """See ``syscalls.Write``."""
        if self.closed:
            raise BlockingIOError
        if self._delay is not None and not self._waited:
            self._waited = self.closed = True
            self._loop.later(self._delay, self._reopen)
            raise BlockingIOError
        if self._doing is None:
            self._doing = deque(self._fates.of(bytes(message)))
        while self._doing:
            self._send(self._doing[0])
            self._doing.popleft()
        self._doing = None
        self._waited = False
        if self._fates.kept is not None:
            self._loop.later(KEPT, self._late)
        return len(message)

    def _late(self) -> None:
        try:
            self.end()
        except OSError:
            pass  # the next message says so


class Direct:
    """A lane that one system call carries: one of its ends is a pipe or a file.

    Attributes:
        twin: the copying carrier.
        told_received, told_sent: as the twin's; they get no chunk.
    """

    __slots__ = ("_blocked", "_move", "_sink", "_source", "lane", "session", "told_received", "told_sent", "twin")

    def __init__(self, twin: Carrier, source: int, sink: int, move: Move) -> None:
        """
        Args:
            source, sink: descriptors, to ask which of them a refusal to move is about.
        """
        self.twin = twin
        self.session = twin.session
        self.lane = twin.lane
        self.told_received = twin.told_received
        self.told_sent = twin.told_sent
        self._source = source
        self._sink = sink
        self._move = move
        self._blocked = False

    @property
    def hungry(self) -> bool:
        """The source is to be waited for."""
        return not self._blocked and self.lane.wants_input

    @property
    def waiting(self) -> bool:
        """The sink is to be waited for."""
        return self._blocked and not self.lane.over

    @property
    def totals(self) -> tuple[int, int]:
        """Bytes received and sent."""
        return self.twin.totals

    def fill(self) -> bool:
        """See ``Carrier.fill``."""
        lane = self.lane
        try:
            size = self._move(CAPACITY)
        except BlockingIOError:
            return self._stopped()
        except OSError as error:
            self._blocked = False
            if error.errno in REFUSALS:
                self.twin.bulk_from = None
                return self._leave()
            # One call, two ends: from a socket to a pipe only EPIPE is the pipe's; to a socket it is the socket's.
            if lane.source is Side.REMOTE and error.errno != errno.EPIPE:
                self.session.source_failed(self.twin, error)
            else:
                self.session.sink_failed(self.twin, error)
            return False
        self._blocked = False
        if size == 0:
            return self._leave()
        if self.told_received is not None:
            self.told_received(lane.received, size, None)
        if self.told_sent is not None:
            self.told_sent(lane.sent, size, None)
        lane.add(size)
        lane.take(size)
        if size < TRICKLE:
            self.session.exchange(self, self.twin)
        return True

    def drain(self) -> bool:
        """The sink may be written to."""
        return self.fill()

    def _stopped(self) -> bool:
        """Which of the two ends is the reason, is not said: ask."""
        if not polled(self._source, READ):
            self._blocked = False
            return True
        self._blocked = not polled(self._sink, WRITE)
        return False if self._blocked else self._leave()

    def _leave(self) -> bool:
        self.session.exchange(self, self.twin)
        return self.twin.fill()

    def close(self) -> None:
        """See ``Carrier.close``."""
        self.twin.close()
        del self.session


class ThroughPipe:
    """A lane that goes through a pipe of ours: from a socket to a socket, or to a file.

    Attributes: see ``Direct``.
    """

    __slots__ = (
        "_env",
        "_held",
        "_pipe",
        "_sink",
        "_source",
        "lane",
        "session",
        "told_received",
        "told_sent",
        "twin",
    )

    def __init__(self, twin: Carrier, env: Env, source: int, sink: int) -> None:
        """
        Args:
            source, sink: descriptors.
        """
        self.twin = twin
        self.session = twin.session
        self.lane = twin.lane
        self.told_received = twin.told_received
        self.told_sent = twin.told_sent
        self._env = env
        self._source = source
        self._sink = sink
        self._pipe: syscalls.Pipe | None = None
        self._held = 0  # bytes in the pipe

    @property
    def hungry(self) -> bool:
        """The source should be read."""
        return not self._held and self.lane.wants_input

    @property
    def waiting(self) -> bool:
        """The sink should be written to."""
        return self.lane.wants_output

    @property
    def totals(self) -> tuple[int, int]:
        """Bytes received and sent."""
        return self.twin.totals

    def fill(self) -> bool:
        """See ``Carrier.fill``."""
        lane = self.lane
        pipe = self._pipe = self.session.shared.borrow()
        if pipe is None:
            return self._leave()
        try:
            size = syscalls.splice(self._env, self._source, pipe.writing, pipe.size)
        except BlockingIOError:
            size = 0
        except OSError as error:
            self._release()
            if error.errno in REFUSALS:
                self.twin.bulk_from = None
                return self._leave()
            self.session.source_failed(self.twin, error)
            return False
        if size == 0:
            self._release()
            return self._leave()
        if self.told_received is not None:
            self.told_received(lane.received, size, None)
        lane.add(size)
        self._held = size
        if not self.drain():
            return False
        if size < TRICKLE:
            self.session.exchange(self, self.twin)
        return True

    def drain(self) -> bool:
        """The sink may be written to. Returns True if the pipe is empty."""
        pipe, lane = self._pipe, self.lane
        if pipe is None:
            return True
        while self._held:
            try:
                size = syscalls.splice(self._env, pipe.reading, self._sink, self._held)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in REFUSALS:
                    # Such as a file opened with O_APPEND. What the pipe holds is read out of it again.
                    left = syscalls.empty(self._env, pipe, self._held)
                    self._held = 0
                    self._release()
                    self.twin.bulk_from = None
                    self.twin.keep(left)
                    self.session.exchange(self, self.twin)
                    self.twin.drain()
                    return False
                self.session.sink_failed(self.twin, error)
                return False
            if self.told_sent is not None:
                self.told_sent(lane.sent, size, None)
            lane.take(size)
            self._held -= size
        self._release()
        return True

    def _release(self) -> None:
        if self._pipe is not None:
            self.session.shared.give_back(self._pipe, empty=not self._held)
            self._pipe = None

    def _leave(self) -> bool:
        self.session.exchange(self, self.twin)
        return self.twin.fill()

    def close(self) -> None:
        """Give the pipe back; see ``Carrier.close``."""
        self._release()
        self.twin.close()
        del self.session


def twin(carrier: Carrier, env: Env, source: int, sink: int, *, segments: bool) -> Direct | ThroughPipe | None:
    """The kernel-moved carrier for a lane between two descriptors, of which at least one is a socket that never blocks.

    None where the kernel has no way (a terminal, a device), or none that is faster: from a pipe to TCP the pages
    themselves are sent, 4 KiB in each place of the receiver's queue, and whoever writes the pipe must be given new ones.
    Of a GiB, pump and drain included, splicing took 0.90 s of processor time, and copying here (splicing there) 0.65.

    Args:
        segments: the socket is TCP's or the like.
    """
    from_mode, to_mode = os.fstat(source).st_mode, os.fstat(sink).st_mode
    if stat.S_ISFIFO(from_mode) and segments:
        return None
    if stat.S_ISREG(from_mode):
        return Direct(carrier, source, sink, syscalls.file_sender(env, source, sink))
    if stat.S_ISFIFO(from_mode) or stat.S_ISFIFO(to_mode):
        return Direct(carrier, source, sink, syscalls.splicer(env, source, sink))
    if stat.S_ISSOCK(from_mode):
        return ThroughPipe(carrier, env, source, sink)
    return None


def echo(carrier: Carrier, sock: socket, otherwise: Handler) -> Handler:
    """What the loop calls for an echo that nobody looks at: the same as ``Carrier.fill``, in one function.

    An echo server is measured in round trips a second, and a Python function call costs a tenth of a round trip.
    """
    receive_into, send = sock.recv_into, sock.send  # which never block on a socket that is non-blocking
    lane, session, buffer = carrier.lane, carrier.session, carrier.session.shared.buffer
    views = session.shared.views

    def on_ready(mask: int) -> None:
        if mask != READ:
            otherwise(mask)
            return
        try:
            size = receive_into(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            session.source_failed(carrier, error)
            session.update()
            return
        if not 0 < size < BULK:
            if not carrier.arrived(size):
                session.update()
            return
        chunk = views.get(size)
        if chunk is None:
            chunk = views[size] = buffer[:size]
        lane.received += size
        try:
            sent = send(chunk)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            session.sink_failed(carrier, error)
            session.update()
            return
        lane.sent += sent
        if sent < size:
            carrier.keep(chunk[sent:])
            session.update()

    return on_ready


class Cutter:
    """Makes messages of a byte stream, however it comes: lines without their newline, or pieces of ``size`` bytes.

    Attributes:
        partial: the beginning of a message.
    """

    def __init__(self, size: int | None = None, ending: bytes = b"") -> None:
        """
        Args:
            ending: what a line has in place of its newline; a CR before that is part of it.
        """
        self.partial = b""
        self._size = size
        self._ending = ending

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that are whole now."""
        data = self.partial + chunk
        if self._size is None:
            *whole, self.partial = data.split(b"\n")
            if self._ending:
                whole = [line.removesuffix(b"\r") + self._ending for line in whole]
            if len(self.partial) > BUFFER_SIZE:  # no message is that long: the kernel will say so
                whole.append(self.partial)
                self.partial = b""
        else:
            end = len(data) - len(data) % self._size
            whole = [data[start : start + self._size] for start in range(0, end, self._size)]
            self.partial = data[end:]
        return whole


class Messages:
    """One lane that keeps boundaries: each message is handed over by one call, whole (in parts only where the sink is a stream).

    Its lane counts messages; bytes are counted here.

    Attributes:
        gate: see ``Carrier``.
        cutter: makes messages of what is read; None: each read is one.
        newline: what follows each message where the sink is a byte stream.
    """

    __slots__ = (
        "_buffer",
        "_message_sink",
        "_queue",
        "_read",
        "_write",
        "cutter",
        "gate",
        "lane",
        "newline",
        "received",
        "sent",
        "session",
        "told_received",
        "told_sent",
        "transform",
    )

    def __init__(
        self,
        session: Owner,
        lane: Lane,
        read: syscalls.Read,
        write: syscalls.Write,
        *,
        limit: int,
        message_sink: bool,
    ) -> None:
        self.session = session
        self.lane = lane
        self.told_received: Look | None = None
        self.told_sent: Look | None = None
        self.transform: Transform | None = None
        self.cutter: Cutter | None = None
        self.gate: Gate | Scatter | None = None
        self.newline = b""
        self.received = 0
        self.sent = 0
        self._read = read
        self._write = write
        self._buffer = session.shared.buffer[:limit]
        self._message_sink = message_sink
        self._queue: deque[bytes | memoryview] = deque()

    @property
    def hungry(self) -> bool:
        """The source should be read."""
        return not self._queue and self.lane.wants_input

    @property
    def waiting(self) -> bool:
        """The sink should be written to."""
        return self.lane.wants_output and (self.gate is None or not self.gate.closed)

    @property
    def totals(self) -> tuple[int, int]:
        """Bytes received and sent."""
        return self.received, self.sent

    def fill(self) -> bool:
        """See ``Carrier.fill``."""
        try:
            size = self._read(self._buffer)
        except BlockingIOError:
            return True
        except OSError as error:
            self.session.source_failed(self, error)
            return False
        if size == 0 and self.session.zero_is_end(self):
            if self.cutter is not None and self.cutter.partial:
                self._add(self.cutter.partial)
                self.drain()
            self.session.source_ended(self)
            return False
        if syscalls.was_cut(size, len(self._buffer)) and self.lane.source is Side.REMOTE:
            self.session.cut(size, len(self._buffer))
            size = min(size, len(self._buffer))
        chunk = bytes(self._buffer[:size])
        if self.told_received is not None:
            self.told_received(self.received, size, chunk)
        self.received += size
        for message in (chunk,) if self.cutter is None else self.cutter.feed(chunk):
            self._add(message)
        self.drain()
        return not self._queue

    def _add(self, message: bytes) -> None:
        self.lane.add(1)
        if self.transform is not None:
            message = self.transform(message)
        self._queue.append(message + self.newline)

    def drain(self) -> None:
        """The sink may be written to."""
        queue = self._queue
        for _ in range(min(len(queue), BURST)):
            message = queue[0]
            try:
                sent = self._write(message)
            except BlockingIOError:
                return
            except OSError as error:
                queue.clear()
                self.session.sink_failed(self, error)
                return
            if self.told_sent is not None:
                self.told_sent(self.sent, sent, message)
            self.sent += sent
            if sent < len(message) and not self._message_sink:
                queue[0] = memoryview(message)[sent:]
                return
            queue.popleft()
            if not self.lane.over:
                self.lane.take(1)

    def close(self) -> None:
        """See ``Carrier.close``."""
        del self.session


class Fed:
    """One lane whose source is no descriptor: whoever has something calls ``drain``, and pieces are asked for while the sink takes them.

    A piece is handed over as it is, never copied: many lanes may have the same one under way.

    Attributes:
        blocked: the sink took less than there is, so that it is to be waited for.
        sent: bytes.
        told_sent, gate: see ``Carrier``.
    """

    __slots__ = ("_give", "_messages", "_pending", "_write", "blocked", "gate", "lane", "sent", "session", "told_sent")

    def __init__(
        self,
        session: Owner,
        lane: Lane,
        give: Callable[[], bytes | memoryview | None],
        write: syscalls.Write,
        *,
        messages: bool,
    ) -> None:
        """
        Args:
            give: the next piece, or None where there is none now.
            messages: the sink keeps boundaries; the lane then counts messages.
        """
        self.session = session
        self.lane = lane
        self.told_sent: Look | None = None
        self.gate: Gate | Scatter | None = None
        self.blocked = False
        self.sent = 0
        self._give = give
        self._write = write
        self._messages = messages
        self._pending: bytes | memoryview | None = None

    @property
    def hungry(self) -> bool:
        """There is nothing to be watched."""
        return False

    @property
    def waiting(self) -> bool:
        """The sink should be waited for."""
        return self.blocked and not self.lane.over and (self.gate is None or not self.gate.closed)

    @property
    def totals(self) -> tuple[int, int]:
        """Bytes received and sent."""
        return self.sent, self.sent if self.gate is None else self.sent - self.gate.swallowed

    def fill(self) -> bool:
        """See ``Carrier.fill``: nothing is ever read here."""
        return True

    def drain(self) -> bool:
        """Hand over what there is. True if the sink took all of it."""
        lane, messages = self.lane, self._messages
        if lane.over:
            return True
        for _ in range(BURST):
            piece = self._pending
            if piece is None:
                piece = self._give()
                if piece is None:
                    self.blocked = False
                    return True
                lane.add(1 if messages else len(piece))
            try:
                sent = self._write(piece)
            except BlockingIOError:
                self._pending = piece
                break
            except OSError as error:
                self._pending = None
                self.session.sink_failed(self, error)
                return False
            if self.told_sent is not None:
                self.told_sent(self.sent, sent, piece[:sent])
            self.sent += sent
            if sent < len(piece) and not messages:
                lane.take(sent)
                self._pending = memoryview(piece)[sent:]
                break
            self._pending = None
            lane.take(1 if messages else sent)
        self.blocked = True
        return False

    def close(self) -> None:
        """See ``Carrier.close``."""
        self._pending = None
        del self.session, self._give


def to_crlf() -> Transform:
    """LF becomes CRLF, and a CRLF stays one, also where CR and LF came by different reads."""
    last = b""

    def transform(data: bytes) -> bytes:
        nonlocal last
        head = data[:1]
        result = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if last == b"\r" and head == b"\n":
            result = result[1:]
        last = data[-1:] or last
        return result

    return transform


if TYPE_CHECKING:
    Spliced = Direct | ThroughPipe
    AnyCarrier = Carrier | Direct | ThroughPipe | Messages | Fed
