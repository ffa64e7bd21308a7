"""A TLS connection as a plain socket of the test's, by Python's ``ssl``: an end of either direction is passed on alone.

``ssl.SSLSocket`` knows no half-close; a conversation that is judged by the rules of every stream needs one. So a thread stands
between: what the test does to its socket happens to the connection, in records.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness import TIMEOUT
from tests.peers import Task, eventually, reset, unsent


@contextmanager
def plain_end(connection: socket.socket, context: ssl.SSLContext, name: str | None = None) -> Iterator[socket.socket]:
    """Plain bytes of a connection over which TLS is spoken. A reset of the plain socket resets the connection.

    Args:
        context: of a server, or of a client that wants to see a certificate for ``name``.
    """
    ours, theirs = socket.socketpair()
    ours.settimeout(TIMEOUT)
    bridge = Task(_Bridge(connection, theirs, context, name).run)
    with ours:
        yield ours
    bridge.get()


class _Bridge:
    def __init__(
        self, connection: socket.socket, plain: socket.socket, context: ssl.SSLContext, name: str | None
    ) -> None:
        self.connection = connection
        self.plain = plain
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.side = context.wrap_bio(self.incoming, self.outgoing, server_side=name is None, server_hostname=name)
        self.established = self.plain_ended = self.peer_ended = False
        self.to_peer = self.to_plain = b""

    def run(self) -> None:
        """Until both directions have ended, or one of the two sockets is no more."""
        for sock in (self.connection, self.plain):
            sock.setblocking(False)
        with self.plain:
            try:
                self.shake()
                self.to_peer = self.outgoing.read()
                while not (self.plain_ended and self.peer_ended and not self.to_peer and not self.to_plain):
                    self.turn()
            except ConnectionError:
                if self.connection.fileno() != -1:
                    self.connection.settimeout(0.5)
                    self.flush()
                    reset(self.connection)

    def flush(self) -> None:
        """What was written before a reset is delivered before it: a RST drops what has not left yet."""
        try:
            self.connection.sendall(self.to_peer)
            eventually(lambda: unsent(self.connection) == 0, 0.5)
        except (AssertionError, OSError):
            pass  # the other side does not read, or is gone

    def turn(self) -> None:
        """Wait for one of the two, and pass on what there is."""
        reading = [] if self.to_plain or self.peer_ended else [self.connection]
        if self.established and not self.to_peer and not self.plain_ended:
            reading.append(self.plain)
        writing = [self.connection] * bool(self.to_peer) + [self.plain] * bool(self.to_plain)
        readable, writable, _ = select.select(reading, writing, [], TIMEOUT)
        assert readable or writable or not self.established, "nothing moved"
        if self.connection in readable:
            data = self.connection.recv(65536)
            self.incoming.write(data) if data else self.incoming.write_eof()
        if not self.established:
            self.shake()
        if self.plain in readable:
            if data := self.plain.recv(65536):
                self.side.write(data)
            else:
                self.end()
        if self.established:
            self.decrypt()
        self.to_peer += self.outgoing.read()
        if self.to_peer:
            self.to_peer = self.to_peer[_sent(self.connection, self.to_peer) :]
        if self.to_plain:
            self.to_plain = self.to_plain[_sent(self.plain, self.to_plain) :]

    def shake(self) -> None:
        try:
            self.side.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass

    def decrypt(self) -> None:
        if self.peer_ended:
            return
        parts = [self.to_plain]
        try:
            while data := self.side.read(65536):
                parts.append(data)
            self.peer_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.peer_ended = True
        self.to_plain = b"".join(parts)
        if self.peer_ended:
            self.plain.setblocking(True)
            self.plain.sendall(self.to_plain)
            self.plain.setblocking(False)
            self.to_plain = b""
            self.plain.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """close_notify: this direction is over, the other goes on. (``unwrap`` drops what came and was not read.)"""
        self.decrypt()
        self.plain_ended = True
        try:
            self.side.unwrap()
        except ssl.SSLWantReadError:
            pass


def _sent(sock: socket.socket, data: bytes) -> int:
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0
