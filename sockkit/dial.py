"""Connects to the first of several addresses that answers: Happy Eyeballs, RFC 8305.

The attempts start one after the other, ``DELAY`` apart or as soon as the one before has failed, and run side by side. The
first that succeeds wins, and the others are closed. No failure is dropped: each is told with its own errno.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from socket import socket
from typing import Any

from sockkit import syscalls
from sockkit.addresses import format_address
from sockkit.errors import SystemRefusal
from sockkit.events import Attempt, Env, Failed
from sockkit.loop import ERROR, HANGUP, WRITE, Loop, Timer
from sockkit.resolve import Resolved

CONNECT_TIMEOUT = 10.0
"""Seconds for names and all addresses together."""
DELAY = 0.25
"""Seconds between attempts: RFC 8305, section 5, recommends 250 ms."""

Explain = Callable[[str, Exception, Resolved], "str | None"]


class Dialer:
    """A connection being made.

    Attributes:
        socket: the connected socket, non-blocking, once ``on_end`` was called; None if no address answered.
        winner: its address.
        failures: each failed attempt with its error, in the order in which they failed.
    """

    def __init__(
        self,
        loop: Loop,
        addresses: Sequence[Resolved],
        make: Callable[[Resolved], socket],
        explain: Explain,
        on_end: Callable[[], None],
        *,
        own: bool = True,
        join: Callable[[Env, socket, Any], None] = syscalls.connect,
    ) -> None:
        """
        Args:
            make: makes a socket for one address, with its options set and its source bound; may raise OSError.
            explain: a hint for (operation, error, address), or None.
            on_end: called once, unless ``cancel`` comes before.
            own: sockets that do not win are closed; False for one that was lent, which its lender closes.
            join: how a socket gets hold of an address: connect(2), or what there is instead.
        """
        self.loop = loop
        self.env = loop.env
        self.socket: socket | None = None
        self.winner: Resolved | None = None
        self.failures: list[tuple[Resolved, Exception]] = []
        self._waiting = list(addresses)
        self._make = make
        self._explain = explain
        self._on_end = on_end
        self._own = own
        self._join = join
        self._trying: dict[int, tuple[socket, Resolved]] = {}
        self._queued: dict[int, tuple[socket, Resolved]] = {}
        self._timer: Timer | None = None
        self._several = len(addresses) > 1

    def start(self) -> None:
        """Try the next address."""
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting and self.socket is None:
            resolved = self._waiting.pop(0)
            if self._several:
                self.env.observer(Attempt(self.env.clock(), self._text(resolved)))
            self._timer = None
            if self._attempt(resolved):
                if self._waiting and self.socket is None and self._timer is None:
                    self._timer = self.loop.later(DELAY, self.start)
                break
        self._check()

    def _text(self, resolved: Resolved) -> str:
        return format_address(resolved.family, resolved.address)

    def _attempt(self, resolved: Resolved) -> bool:
        """Begin; False if it failed at once."""
        try:
            sock = self._make(resolved)
        except SystemRefusal as refusal:  # of an option or a source: it names itself
            self._refuse(resolved, refusal.operation, refusal.error, refusal.hint)
            return False
        except OSError as error:
            self._fail(resolved, error, "socket for")
            return False
        return self._connect(sock, resolved)

    def _connect(self, sock: socket, resolved: Resolved) -> bool:
        try:
            self._join(self.env, sock, resolved.address)
        except BlockingIOError as error:
            if error.errno == errno.EAGAIN:
                # A Unix socket whose accept queue is full, and nothing tells when it no longer is.
                self._queued[sock.fileno()] = (sock, resolved)
                self.loop.later(0.05, lambda: self._try_again(sock))
                return True
            self._trying[sock.fileno()] = (sock, resolved)
            self.loop.watch(sock.fileno(), WRITE, partial(self._on_ready, sock.fileno()))
            return True
        except OSError as error:
            self._drop(sock)
            self._fail(resolved, error)
            return False
        except BaseException:  # an address that Python refuses
            self._drop(sock)
            raise
        self._win(sock, resolved)
        return True

    def _try_again(self, sock: socket) -> None:
        queued = self._queued.pop(sock.fileno(), None)
        if queued is not None and not self._connect(*queued):
            self.start()
        elif queued is not None and self.socket is not None:
            self._check()

    def _on_ready(self, fd: int, mask: int) -> None:
        if not mask & (WRITE | ERROR | HANGUP):
            return
        self.loop.forget(fd)
        sock, resolved = self._trying.pop(fd)
        # Data that waits is proof of a connection. If it was reset meanwhile, reading says so, after the data; SO_ERROR
        # would say it now and never again.
        error = None if syscalls.receive_queue(self.env, sock) else syscalls.pending_error(self.env, sock)
        if error is None:
            self._win(sock, resolved)
            self._check()
            return
        self._drop(sock)
        self._fail(resolved, error)
        self.start()

    def _fail(self, resolved: Resolved, error: Exception, operation: str = "connect to") -> None:
        hint = self._explain(operation.split()[0], error, resolved) if not self._several else None
        self._refuse(resolved, f"{operation} {self._text(resolved)}", error, hint)

    def _refuse(self, resolved: Resolved, operation: str, error: Exception, hint: str | None) -> None:
        self.failures.append((resolved, error))
        self.env.observer(Failed(self.env.clock(), 0, operation, error, hint))

    def _drop(self, sock: socket) -> None:
        if self._own:
            syscalls.close(self.env, sock)

    def _win(self, sock: socket, resolved: Resolved) -> None:
        self.socket = sock
        self.winner = resolved
        self.cancel()

    def cancel(self) -> None:
        """Give up all attempts that are still under way."""
        if self._timer is not None:
            self._timer.cancel()
        for fd, (sock, _) in self._trying.items():
            self.loop.forget(fd)
            self._drop(sock)
        self._trying.clear()
        for sock, _ in self._queued.values():
            self._drop(sock)
        self._queued.clear()

    @property
    def over(self) -> bool:
        """True if there is a connection, or nothing left to try."""
        return self.socket is not None or not (self._trying or self._queued or self._waiting)

    def pending(self) -> list[tuple[str, Resolved, bool]]:
        """The addresses that have not answered yet: as text, as they are, and whether their accept queue is full."""
        found = [(resolved, False) for _, resolved in self._trying.values()]
        found += [(resolved, True) for _, resolved in self._queued.values()]
        found += [(resolved, False) for resolved in self._waiting]
        return [(self._text(resolved), resolved, full) for resolved, full in found]

    def _check(self) -> None:
        if self.over:
            self._on_end()
