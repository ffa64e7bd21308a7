"""The kernel as the other side: what goes in is calculated with, and the result comes back (AF_ALG: the kernel's cryptography).

Such a socket cannot be waited on (its poll(2) says nothing), it has no end of input, and it answers at once when it is asked:
so our input is watched, handed over with MSG_MORE, and the result is read when our input has ended.

Source: Documentation/crypto/userspace-if.rst of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import socket

from sockkit import syscalls
from sockkit.carriers import BUFFER_SIZE
from sockkit.errors import describe
from sockkit.events import Closed, Data, Direction, Ended, Failed, Interest, Opened, Side
from sockkit.loop import READ, Loop
from sockkit.sessions import decoder_of
from sockkit.stdio import LocalEnd

RESULT = 65536
"""Bytes that a result has at most: a digest has 64, what is read of a random number generator as many as asked for."""


class Calculation:
    """One run: all of our input, then the result.

    Attributes:
        failed: the kernel refused something, or the result could not be read.
        result: what came back.
    """

    def __init__(self, loop: Loop, sock: socket, source: LocalEnd, *, peer: str, on_end: Callable[[], None]) -> None:
        """
        Args:
            sock: what accept(2) gave.
            peer: the algorithm.
        """
        self.loop, self.env = loop, loop.env
        self.sock = sock
        self.peer = peer
        self.failed = False
        self.result = b""
        self._source = source
        self._on_end = on_end
        self._sent = 0
        self._error: str | None = None
        self._buffer = memoryview(bytearray(BUFFER_SIZE))
        self._more = syscalls.more_sender(self.env, sock)
        self._opened = self.env.clock()
        kind = int(sock.family), syscalls.base_type(sock.type)
        self._decode = decoder_of(sock, kind)
        self.env.observer(Opened(self._opened, 1, peer, peer, *kind))

    def start(self) -> None:
        """Begin to watch our input."""
        self.loop.watch(self._source.fd, READ, self._on_input)

    def _on_input(self, mask: int) -> None:
        assert self._source.read is not None
        try:
            size = self._source.read(self._buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail("read from stdin", error)
            return
        if not size:
            self.env.observer(Ended(self.env.clock(), 1, Side.LOCAL, "stdin ended"))
            self._finish()
            return
        chunk = self._buffer[:size]
        try:
            while chunk:
                sent = self._more(chunk)
                self._tell(Direction.SENT, self._sent, bytes(chunk[:sent]))
                self._sent += sent
                chunk = chunk[sent:]
        except OSError as error:
            self._fail(f"send to {self.peer}", error)

    def _finish(self) -> None:
        try:
            syscalls.sender(self.env, self.sock)(b"")
            size = syscalls.receiver(self.env, self.sock)(self._buffer[:RESULT])
        except OSError as error:
            self._fail(f"receive from {self.peer}", error)
            return
        self.result = bytes(self._buffer[:size])
        self._tell(Direction.RECEIVED, 0, self.result)
        self._over()

    def _tell(self, direction: Direction, offset: int, data: bytes) -> None:
        if not self.env.interest & Interest.DATA:
            return
        payload = meaning = None
        if self.env.interest & Interest.PAYLOAD:
            payload = data[: self.env.preview]
            meaning = self._decode(data, direction is Direction.RECEIVED) if self._decode is not None else None
        whole = direction is Direction.RECEIVED
        self.env.observer(Data(self.env.clock(), 1, direction, offset, len(data), payload, whole, None, meaning))

    def _fail(self, operation: str, error: OSError) -> None:
        self.failed = True
        self._error = describe(error)
        self.env.observer(Failed(self.env.clock(), 1, operation, error, None))
        self._over()

    def _over(self) -> None:
        self.loop.forget(self._source.fd)
        syscalls.close(self.env, self.sock)
        now = self.env.clock()
        received = len(self.result)
        self.env.observer(Closed(now, 1, self.peer, self._sent, received, now - self._opened, Side.LOCAL, self._error))
        self._on_end()

    def shown(self) -> bytes:
        """The result as a terminal gets it: in hexadecimal."""
        return self._decode(self.result, True).encode() + b"\n" if self._decode is not None else self.result
