"""Asks many ports of one host which of them are open: many at once, within a bound, one socket each.

What is said of a port is what the kernel told, and no more. Over TCP a port is *open* if the handshake came to its end, *closed* if it was
refused, *filtered* if nothing came in time or a router or a packet filter said no. Over UDP only an answer proves anything: *open*
is a datagram that came back, *closed* an ICMP port unreachable (which recv(2) tells as ECONNREFUSED, udp(7)), and *no answer* is neither.

What says something about us and nothing about the port (no descriptor left, no ephemeral port) is never taken for an answer: fewer are
then asked at once, and the port is asked again.
"""

from __future__ import annotations

import errno
import os
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from socket import socket
from typing import Any, NamedTuple

from sockkit import syscalls
from sockkit.errors import describe
from sockkit.events import Env, Level, Note, Progress
from sockkit.loop import READ, WRITE, Loop, Timer

UNASKED, OPEN, CLOSED, FILTERED, SILENT = range(5)
STATES = ("not asked", "open", "closed", "filtered", "no answer")
"""What a port may be found to be, by these numbers. Not asked: or not answered yet when the scan was stopped."""

PARALLEL = 256
"""Ports asked at once: a quarter of the usual limit of descriptors, and little enough for the connection tables of small routers."""
TIMEOUT = 2.0
"""Seconds that a port has: a SYN that was lost is sent again after one (RFC 6298, section 2), and then a second is left."""
TRIES = 2
"""Datagrams sent to a UDP port that does not answer."""
BEAT = 0.1
"""Seconds between two tidings of progress."""
BATCH = 8
"""Ports asked before it is looked who has answered: the times of those would grow."""
PAUSES = 7
"""Waits in a row for something that this machine is short of, each twice as long, from ``BEAT`` on, 12 s together; then it is given up."""
SPARE = 24
"""Descriptors that are left for everything else."""

SHORT = frozenset(
    getattr(errno, name)
    for name in ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EADDRNOTAVAIL", "EADDRINUSE", "EAGAIN")
    if hasattr(errno, name)
)
"""This machine is short of something at this moment: nothing of the port."""
_OURS = frozenset((errno.EADDRNOTAVAIL, errno.EADDRINUSE))
"""… unless the first port is refused so: then the source address cannot be had."""
_RESET = frozenset((errno.ECONNRESET, errno.EPIPE))
"""The handshake had come to its end before (a refusal of it is ECONNREFUSED, tcp(7))."""


class Wishes(NamedTuple):
    """How to ask.

    Attributes:
        timeout: seconds that each port has.
        parallel: ports asked at once, at most.
        rate: ports asked a second, at most; None: no limit.
        tries: datagrams sent to a port that does not answer, spread evenly over its time.
    """

    timeout: float = TIMEOUT
    parallel: int = PARALLEL
    rate: float | None = None
    tries: int = TRIES


class Answer(NamedTuple):
    """What is known of a port.

    Attributes:
        state: one of ``STATES``, by number.
        errno: what the kernel said, 0 for nothing.
        ms: milliseconds from the question to the answer; of one that never came, how long was waited.
    """

    port: int
    state: int
    errno: int
    ms: float


class Findings:
    """The answers so far: eight bytes a port, however many were asked."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = sorted(ports)
        self._state = bytearray(65536)
        self._errno = array("H", bytes(2 * 65536))
        self._ms = array("f", bytes(4 * 65536))
        self.counts: Counter[tuple[int, int]] = Counter({(UNASKED, 0): len(self.ports)})
        """How many ports there are of each (state, errno)."""

    def __len__(self) -> int:
        return len(self.ports) - self.counts[UNASKED, 0]

    def __getitem__(self, port: int) -> Answer:
        return Answer(port, self._state[port], self._errno[port], self._ms[port])

    def __iter__(self) -> Iterator[Answer]:
        """In the order of the ports, those that were not asked left out."""
        return (self[port] for port in self.ports if self._state[port])

    def put(self, port: int, state: int, errno: int, seconds: float) -> None:
        """Keep an answer."""
        self._state[port] = state
        self._errno[port] = errno
        self._ms[port] = seconds * 1000
        self.counts[state, errno] += 1
        self.counts[UNASKED, 0] -= 1


class _Asked:
    """A port that was asked."""

    __slots__ = ("begun", "port", "sent", "sock", "tries")

    def __init__(self, sock: socket, port: int, now: float) -> None:
        self.sock = sock
        self.port = port
        self.begun = self.sent = now
        self.tries = 1


class Scan:
    """Asks. ``on_end`` is called once, unless ``cancel`` comes before.

    Attributes:
        findings: what was found so far.
        open: how many ports were found open.
        error: why it was given up, or None.
    """

    mask = WRITE
    """What an answer makes of a socket."""

    def __init__(
        self,
        loop: Loop,
        ports: Sequence[int],
        make: Callable[[], socket],
        address: Callable[[int], Any],
        wishes: Wishes,
        on_end: Callable[[], None],
    ) -> None:
        """
        Args:
            ports: each once, in the order in which to ask them.
            make: a new non-blocking socket with its options set and its source bound; may raise OSError.
            address: where a port is.
        """
        self.loop = loop
        self.env: Env = loop.env
        self.findings = Findings(ports)
        self.open = 0
        self.error: OSError | None = None
        self._left = deque(ports)
        self._total = len(ports)
        self._done = self._started = 0
        self._make = make
        self._address = address
        self._connect = syscalls.beginner(loop.env)
        self._wishes = wishes
        self._interval = wishes.timeout
        self._most = wishes.parallel
        self._asked: dict[int, _Asked] = {}  # those whose time is up first stand first: all have the same
        self._pauses = 0
        self._told: set[int] = set()
        self._myself: set[int] = set()
        self._next: Timer | None = None
        self._over = False
        self._on_end = on_end
        self._begun = 0.0

    @property
    def done(self) -> bool:
        """True if every port has its answer."""
        return self._done == self._total

    def start(self) -> None:
        """Ask the first ones."""
        self._begun = self.env.clock()
        self._tick()
        self._fill()
        if not self._over:
            self.loop.later(BEAT, self._beat)

    # ---- asking

    def _fill(self) -> None:
        """Ask as many as may be asked now, a batch at a time."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        for _ in range(BATCH):
            if self._over or not self._left or len(self._asked) >= self._most:
                return
            if self._wishes.rate is not None:
                wait = self._begun + self._started / self._wishes.rate - self.env.clock()
                if wait > 0:
                    self._later(wait)
                    return
            if not self._ask(self._left[0]):
                return
        self._later(0)

    def _later(self, seconds: float) -> None:
        self._next = self.loop.later(seconds, self._fill)

    def _ask(self, port: int) -> bool:
        """True if it was asked; it may have answered already."""
        try:
            sock = self._make()
        except OSError as error:
            return self._short(error)
        now = self.env.clock()
        asked = _Asked(sock, port, now)
        try:
            answer = self._begin(asked)
            if answer is not None and answer[1] in SHORT:
                syscalls.close(self.env, sock)
                return self._short(OSError(answer[1], os.strerror(answer[1])))
        except OSError as error:
            if error.errno in SHORT:
                syscalls.close(self.env, sock)
                return self._short(error)
            answer = self._judged(error.errno or 0)
        except BaseException:
            syscalls.close(self.env, sock)
            raise
        self._left.popleft()
        self._started += 1
        self._pauses = 0
        if answer is None:
            self._asked[sock.fileno()] = asked
            self.loop.watch(sock.fileno(), self.mask, partial(self._on_ready, asked))
        else:
            self._settle(asked, *answer)
        return True

    def _short(self, error: OSError) -> bool:
        """We are short of something: go on with fewer at once, and later. False: not asked."""
        if self._over:
            return False
        number = error.errno or 0
        if number not in SHORT or (not self._started and number in _OURS):
            self._give_up(error)
            return False
        if self._asked:
            self._most = len(self._asked)
        else:
            if self._pauses == PAUSES:
                self._give_up(error)
                return False
            self._later(BEAT * 2**self._pauses)
            self._pauses += 1
        if number not in self._told:
            self._told.add(number)
            again = f"no more than {self._most} are asked at once" if self._asked else "it is tried again"
            text = f"this host is short of something, which says nothing of the ports: {describe(error)}; {again}"
            self.env.observer(Note(self.env.clock(), 0, Level.WARNING, text))
        return False

    def _begin(self, asked: _Asked) -> tuple[int, int] | None:
        """Ask over TCP. An answer may be there at once: then it costs no turn of the loop."""
        number = self._connect(asked.sock, self._address(asked.port))
        if number == syscalls.UNDER_WAY:
            return None
        return self._judged(number) if number else self._connected(asked)

    def _answer(self, asked: _Asked) -> tuple[int, int] | None:
        """What came back, once something did."""
        error = syscalls.pending_error(self.env, asked.sock)
        return self._connected(asked) if error is None else self._judged(error.errno or 0)

    def _connected(self, asked: _Asked) -> tuple[int, int]:
        """Open, unless it is ourselves: an ephemeral port that is the one asked connects to itself (RFC 9293, 3.5: simultaneous open)."""
        local = syscalls.local_address(self.env, asked.sock)
        if local is not None and local == syscalls.peer_address(self.env, asked.sock):
            syscalls.linger(self.env, asked.sock, 0)  # nobody is there to be polite to, and the port is free again
            return CLOSED, 0
        return OPEN, 0

    def _judged(self, number: int) -> tuple[int, int]:
        if number == errno.ECONNREFUSED:
            return CLOSED, number
        return (OPEN if number in _RESET else FILTERED), number

    # ---- answers

    def _on_ready(self, asked: _Asked, mask: int) -> None:
        try:
            answer = self._answer(asked)
        except OSError as error:
            answer = self._judged(error.errno or 0)
        if answer is not None:
            self._forget(asked)
            self._settle(asked, *answer)
            if not self._over:
                self._fill()

    def _forget(self, asked: _Asked) -> None:
        fd = asked.sock.fileno()
        self.loop.forget(fd)
        del self._asked[fd]

    def _settle(self, asked: _Asked, state: int, number: int) -> None:
        seconds = self.env.clock() - asked.begun
        syscalls.close(self.env, asked.sock)
        if number == 0 and state == CLOSED and asked.port not in self._myself:
            self._myself.add(asked.port)
            self._left.append(asked.port)
            return
        self.findings.put(asked.port, state, number, seconds)
        self.open += state == OPEN
        self._done += 1
        if self._done == self._total:
            self._end()

    def _tick(self) -> None:
        """Those whose time is up."""
        if self._over:
            return
        now = self.env.clock()
        for asked in list(self._asked.values()):
            if asked.sent + self._interval > now:
                break
            self._expired(asked, now)
        if self._over:
            return
        self._fill()
        first = next(iter(self._asked.values()), None)
        self.loop.later(self._interval if first is None else max(first.sent + self._interval - now, 0.0), self._tick)

    def _expired(self, asked: _Asked, now: float) -> None:
        self._forget(asked)
        self._settle(asked, FILTERED, errno.ETIMEDOUT)

    # ---- the end

    def _beat(self) -> None:
        if not self._over:
            self.env.observer(Progress(self.env.clock(), self._done, self._total, f"{self.open} open"))
            self.loop.later(BEAT, self._beat)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        self._end()

    def _end(self) -> None:
        self.cancel()
        self.env.observer(Progress(self.env.clock(), self._total, self._total, ""))
        self._on_end()

    def cancel(self) -> None:
        """Ask no more; those that have not answered stay unknown."""
        self._over = True
        for asked in list(self._asked.values()):
            self._forget(asked)
            syscalls.close(self.env, asked.sock)


class DatagramScan(Scan):
    """… over UDP: sends empty datagrams, the least that can be sent. Most services do not answer them."""

    mask = READ

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._interval /= self._wishes.tries

    def _begin(self, asked: _Asked) -> tuple[int, int] | None:
        syscalls.connect(self.env, asked.sock, self._address(asked.port))
        syscalls.sender(self.env, asked.sock)(b"")
        return self._answer(asked)

    def _answer(self, asked: _Asked) -> tuple[int, int] | None:
        try:
            syscalls.message_receiver(self.env, asked.sock)(_ROOM)
        except BlockingIOError:
            return None
        return OPEN, 0

    def _expired(self, asked: _Asked, now: float) -> None:
        if asked.tries == self._wishes.tries:
            self._forget(asked)
            self._settle(asked, SILENT, 0)
            return
        asked.tries += 1
        asked.sent = now
        fd = asked.sock.fileno()
        self._asked[fd] = self._asked.pop(fd)
        try:
            syscalls.sender(self.env, asked.sock)(b"")
        except OSError as error:
            if error.errno not in SHORT:
                self._forget(asked)
                self._settle(asked, *self._judged(error.errno or 0))


_ROOM = memoryview(bytearray(1))
"""An answer counts, what is in it does not."""
