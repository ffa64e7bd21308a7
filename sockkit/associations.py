"""What a relay keeps for each peer of a datagram socket: a way of its own to the server behind, so that answers find back to whoever asked.

A NAT calls it an association (RFC 4787). It has no end; a silence ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import socket

from sockkit import syscalls
from sockkit.events import Env
from sockkit.loop import READ, Loop

LASTS = 60.0
"""Seconds of silence, both ways, after which it is over, if nobody says otherwise."""
BURST = 64
"""Answers that are passed back before others get their turn."""


class Association:
    """A connected datagram socket, and what to do with what comes over it.

    Attributes:
        name: the server's address.
    """

    __slots__ = ("_answered", "_buffer", "_env", "_failed", "_loop", "_receive", "_send", "_sock", "name")

    def __init__(
        self,
        loop: Loop,
        sock: socket,
        name: str,
        buffer: memoryview,
        answered: Callable[[int], None],
        failed: Callable[[str, OSError], None],
    ) -> None:
        """
        Args:
            buffer: to receive into.
            answered: a datagram of this true length is in the buffer, as far as it fits.
            failed: told of what is refused, and of the operation.
        """
        self.name = name
        self._env: Env = loop.env
        self._loop = loop
        self._sock = sock
        self._buffer = buffer
        self._answered = answered
        self._failed = failed
        self._receive = syscalls.message_receiver(self._env, sock)
        self._send = syscalls.sender(self._env, sock)
        loop.watch(sock.fileno(), READ, self._on_ready)

    def send(self, data: bytes) -> bool:
        """Pass on. False: it was refused, which was told.

        The error that a send returns may be about the datagram before (ICMP, udp(7)): this one is offered once more.
        """
        for _ in range(2):
            try:
                self._send(data)
                return True
            except OSError as error:
                self._failed(f"send to {self.name}", error)
                if not isinstance(error, ConnectionRefusedError):
                    break
        return False

    def _on_ready(self, mask: int) -> None:
        try:
            for _ in range(BURST):
                self._answered(self._receive(self._buffer))
        except BlockingIOError:
            pass
        except OSError as error:
            self._failed(f"receive from {self.name}", error)

    def close(self) -> None:
        """It is over."""
        self._loop.forget(self._sock.fileno())
        syscalls.close(self._env, self._sock)
