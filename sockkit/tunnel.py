"""Asks a proxy for a connection, over a socket that is connected to it.

What is said is ``proxies``' part. Here it is sent and received: never a byte more than the proxy's own answer, since what
follows it is already the target's.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import socket
from typing import TYPE_CHECKING

from sockkit import syscalls
from sockkit.events import Proxied
from sockkit.loop import READ, WRITE, Loop

if TYPE_CHECKING:
    from sockkit.proxies import Request

ROOM = 4096
"""Bytes of an answer that are looked at at once."""


class Tunnel:
    """A connection being asked for.

    Attributes:
        open: it is granted: the socket is the target's now, and nothing of the target's has been read.
        error: why it is not, or None: ``proxies.ProxyError``, or the system's.
    """

    def __init__(self, loop: Loop, sock: socket, request: Request, name: str, on_end: Callable[[], None]) -> None:
        """
        Args:
            name: how the story calls the proxy: without user name and password.
            on_end: called once, unless ``cancel`` comes before.
        """
        self.loop = loop
        self.env = loop.env
        self.open = False
        self.error: OSError | None = None
        self._request = request
        self._name = name
        self._on_end = on_end
        self._fd = sock.fileno()
        self._peek = syscalls.peeker(self.env, sock)
        self._receive = syscalls.receiver(self.env, sock)
        self._send = syscalls.sender(self.env, sock)
        self._outgoing = b""
        self._room = memoryview(bytearray(ROOM))

    def start(self) -> None:
        """Say the first."""
        self._go_on(0)

    def cancel(self) -> None:
        """Ask no longer."""
        self.loop.forget(self._fd)

    def _go_on(self, mask: int) -> None:
        try:
            if mask & ~WRITE:
                self._take()
            self._flush()
        except OSError as error:
            self.error = error
        self._tell()
        self.open = self._request.done and self.error is None
        if self.open or self.error is not None:
            self.cancel()
            self._on_end()
        else:
            self.loop.watch(self._fd, READ | WRITE if self._outgoing else READ, self._go_on)

    def _take(self) -> None:
        """What the proxy said: looked at first, and received as far as it is the proxy's."""
        try:
            size = self._peek(self._room)
            taken = self._request.receive(bytes(self._room[:size]))
            while taken:
                taken -= self._receive(self._room[:taken])
        except BlockingIOError:
            pass

    def _flush(self) -> None:
        self._outgoing += self._request.to_send()
        try:
            while self._outgoing:
                self._outgoing = self._outgoing[self._send(self._outgoing) :]
        except BlockingIOError:
            pass

    def _tell(self) -> None:
        steps, self._request.steps = self._request.steps, []
        for step in steps:
            self.env.observer(Proxied(self.env.clock(), 0, self._name, *step))
