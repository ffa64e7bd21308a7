"""Connects to the first of several addresses that answers: Happy Eyeballs, RFC 8305.

The attempts start one after the other, ``DELAY`` apart or as soon as the one before has failed, and run side by side. The first
that succeeds wins, and the others are closed. No failure is dropped: each is told with its own errno.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from socket import socket

from sockkit import syscalls
from sockkit.addresses import format_address
from sockkit.events import Attempt, Failed
from sockkit.loop import ERROR, HANGUP, WRITE, Loop, Timer
from sockkit.resolve import Resolved

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
    ) -> None:
        """
        Args:
            make: makes a socket for one address, with its options set and its source bound; may raise OSError.
            explain: a hint for (operation, error, address), or None.
            on_end: called once, unless ``cancel`` comes before.
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
        self._trying: dict[int, tuple[socket, Resolved]] = {}
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
        except OSError as error:
            self._fail(resolved, error, "socket for")
            return False
        try:
            syscalls.connect(self.env, sock, resolved.address)
        except BlockingIOError as error:
            if (
                error.errno == errno.EAGAIN
            ):  # a Unix socket whose accept queue is full, and nothing tells when it is not
                syscalls.close(self.env, sock)
                self._waiting.insert(0, resolved)
                self._timer = self.loop.later(0.05, self.start)
                return True
            self._trying[sock.fileno()] = (sock, resolved)
            self.loop.watch(sock.fileno(), WRITE, lambda mask, fd=sock.fileno(): self._on_ready(fd, mask))  # type: ignore[misc]
            return True
        except OSError as error:
            syscalls.close(self.env, sock)
            self._fail(resolved, error)
            return False
        self._win(sock, resolved)
        return True

    def _on_ready(self, fd: int, mask: int) -> None:
        if not mask & (WRITE | ERROR | HANGUP):
            return
        self.loop.forget(fd)
        sock, resolved = self._trying.pop(fd)
        error = syscalls.pending_error(sock)
        if error is None:
            self._win(sock, resolved)
            self._check()
            return
        syscalls.close(self.env, sock)
        self._fail(resolved, error)
        self.start()

    def _fail(self, resolved: Resolved, error: Exception, operation: str = "connect to") -> None:
        self.failures.append((resolved, error))
        text = f"{operation} {self._text(resolved)}"
        hint = self._explain(operation.split()[0], error, resolved) if not self._several else None
        self.env.observer(Failed(self.env.clock(), 0, text, error, hint))

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
            syscalls.close(self.env, sock)
        self._trying.clear()

    @property
    def over(self) -> bool:
        """True if there is a connection, or nothing left to try."""
        return self.socket is not None or not (self._trying or self._waiting)

    def pending(self) -> list[tuple[str, Resolved]]:
        """The addresses that have not answered yet, each as text too."""
        waiting = [resolved for _, resolved in self._trying.values()] + self._waiting
        return [(self._text(resolved), resolved) for resolved in waiting]

    def _check(self) -> None:
        if self.over:
            self._on_end()
