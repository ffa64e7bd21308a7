"""What every stream owes, whatever it runs over: a kit that takes any transport and any lane.

A ``Transport`` brings up one sockkit and the socket that it talks to. A rule is a function of an ``Open`` conversation; it
fails if a byte is lost, doubled, late or out of order, if an end is not passed on or is taken for more than it is, or if a
refusal stays unsaid. A new transport (a proxy) is a row in ``TRANSPORTS``; a new rule is a function under ``@rule``.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme

from tests.harness import TIMEOUT, Process, Server, has_ipv6, is_idle, listener, receive_all
from tests.peers import LANES, MIB, Task, accepted, eventually, exactly, pipe, read_all, reset, send_until_stuck, unsent
from tests.secured import plain_end


class Open(NamedTuple):
    """A conversation that has begun.

    Attributes:
        process: sockkit; its stdin is a pipe of the harness.
        peer: the other end of its connection.
        drain: what its stdout comes out of; None where it echoes.
        transport: what it runs over.
    """

    process: Process
    peer: socket.socket
    drain: int | None
    transport: Transport

    @property
    def feed(self) -> int:
        """Its stdin."""
        assert self.process.popen.stdin is not None
        return self.process.popen.stdin.fileno()

    def read(self, size: int) -> bytes:
        """Exactly so much of its stdout."""
        assert self.drain is not None
        data = bytearray()
        while len(data) < size:
            chunk = os.read(self.drain, size - len(data))
            assert chunk, f"the end after {len(data)} of {size}"
            data += chunk
        return bytes(data)

    def read_rest(self) -> bytes:
        """Its stdout to the end."""
        assert self.drain is not None
        return read_all(self.drain)

    def done(self) -> None:
        """It ends in order, and has nothing to say about it."""
        result = self.process.finish()
        assert result.status == 0, result
        assert not [line for line in result.said.splitlines() if line.startswith(("sockkit: ", "! "))], result


class Transport(NamedTuple):
    """A way to connect sockkit with a socket of the test's own.

    Attributes:
        name: as in a test's id.
        begin: a context manager from (words of the lane, directory) to an ``Open``'s process, peer and drain.
        resets: closing with linger 0 resets the connection (TCP); elsewhere only unread data does.
        urgent: has out-of-band data of one byte, beside the stream.
        here: can be had on this machine.
        lanes: the ways in which bytes can be moved over it.
    """

    name: str
    begin: Callable[[list[str], Path], Iterator[tuple[Process, socket.socket, int | None]]]
    resets: bool = True
    urgent: bool = True
    here: bool = True
    lanes: tuple[list[str], ...] = LANES

    @contextmanager
    def open(self, lane: list[str], directory: Path) -> Iterator[Open]:
        """A conversation by the given lane."""
        with contextmanager(self.begin)(lane, directory) as (process, peer, drain):
            yield Open(process, peer, drain, self)


Begun = Iterator[tuple[Process, socket.socket, int | None]]
LOOPBACK: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def _connect(family: int) -> Callable[[list[str], Path], Begun]:
    def begin(lane: list[str], directory: Path) -> Begun:
        with ExitStack() as stack:
            where: object = str(directory / "s") if family == socket.AF_UNIX else (LOOPBACK[family], 0)
            sock = stack.enter_context(listener(family, address=where))
            name = sock.getsockname()
            words = [name] if isinstance(name, str) else [name[0], str(name[1])]
            drain, stdout = stack.enter_context(pipe())
            process = stack.enter_context(Process("connect", *lane, *words, stdout=stdout))
            peer = stack.enter_context(accepted(sock))
            os.close(stdout)
            yield process, peer, drain

    return begin


def _serve(family: int, *words: str) -> Callable[[list[str], Path], Begun]:
    def begin(lane: list[str], directory: Path) -> Begun:
        with ExitStack() as stack:
            drain, stdout = stack.enter_context(pipe())
            where = [str(directory / "s")] if family == socket.AF_UNIX else [LOOPBACK[family], "0"]
            server = stack.enter_context(Server("--once", *lane, *where, *words, free_port=False, stdout=stdout))
            os.close(stdout)
            peer = stack.enter_context(socket.socket(family))
            peer.settimeout(TIMEOUT)
            peer.connect(where[0] if family == socket.AF_UNIX else (where[0], server.port))
            yield server, peer, drain if "pipe" in words else None

    return begin


def _relay(lane: list[str], directory: Path) -> Begun:
    with Server("--once") as beyond:
        begun = _serve(socket.AF_INET, "--mode", "relay", "--to", beyond.address)
        with contextmanager(begun)(lane, directory) as (server, peer, _):
            yield server, peer, None
        beyond.finish()


def _lent(lane: list[str], directory: Path) -> Begun:
    with ExitStack() as stack:
        ours, peer = (stack.enter_context(sock) for sock in socket.socketpair())
        peer.settimeout(TIMEOUT)
        drain, stdout = stack.enter_context(pipe())
        fd = ours.fileno()
        process = stack.enter_context(Process("connect", *lane, "--fileno", str(fd), stdout=stdout, pass_fds=[fd]))
        os.close(stdout)
        ours.close()
        yield process, peer, drain


@contextmanager
def _papers(directory: Path) -> Iterator[tuple[trustme.CA, str, list[str]]]:
    """An authority, its file, and the words that give a server its certificate."""
    authority, ca = trustme.CA(), directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    own = directory / "own.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(own))
    yield authority, str(ca), ["--cert", str(own)]


def _tls_connect(lane: list[str], directory: Path) -> Begun:
    with ExitStack() as stack:
        _, ca, (_, own) = stack.enter_context(_papers(directory))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own)
        words = ["--tls", "--ca", ca]
        process, connection, drain = stack.enter_context(
            contextmanager(_connect(socket.AF_INET))([*lane, *words], directory)
        )
        yield process, stack.enter_context(plain_end(connection, context)), drain


def _tls_serve(mode: str) -> Callable[[list[str], Path], Begun]:
    def begin(lane: list[str], directory: Path) -> Begun:
        with ExitStack() as stack:
            _, ca, own = stack.enter_context(_papers(directory))
            server, connection, drain = stack.enter_context(
                contextmanager(_serve(socket.AF_INET, "--mode", mode, "--tls", *own))(lane, directory)
            )
            context = ssl.create_default_context(cafile=ca)
            yield server, stack.enter_context(plain_end(connection, context, "127.0.0.1")), drain

    return begin


COPIED: tuple[list[str], ...] = ([],)
"""What is encrypted here is never moved by the kernel alone."""
TRANSPORTS = (
    Transport("tcp4-connect", _connect(socket.AF_INET)),
    Transport("tcp4-serve", _serve(socket.AF_INET, "--mode", "pipe")),
    Transport("tcp6-connect", _connect(socket.AF_INET6), here=has_ipv6()),
    Transport("tcp6-serve", _serve(socket.AF_INET6, "--mode", "pipe"), here=has_ipv6()),
    Transport("unix-connect", _connect(socket.AF_UNIX), resets=False, urgent=False),
    Transport("unix-serve", _serve(socket.AF_UNIX, "--mode", "pipe"), resets=False, urgent=False),
    Transport("socketpair", _lent, resets=False, urgent=False),
    Transport("tls-connect", _tls_connect, resets=False, urgent=False, lanes=COPIED),
    Transport("tls-serve", _tls_serve("pipe"), resets=False, urgent=False, lanes=COPIED),
)
"""Over which stdin and stdout are carried."""
ECHOES = (
    Transport("tcp4-echo", _serve(socket.AF_INET, "--mode", "echo")),
    Transport("tcp6-echo", _serve(socket.AF_INET6, "--mode", "echo"), here=has_ipv6()),
    Transport("unix-echo", _serve(socket.AF_UNIX, "--mode", "echo"), resets=False, urgent=False),
    Transport("relay-echo", _relay),
    Transport("exec-echo", _serve(socket.AF_INET, "--exec", "--", "cat")),
    Transport("tls-echo", _tls_serve("echo"), resets=False, urgent=False, lanes=COPIED),
)
"""Which give back what they get."""

Rule = Callable[[Open], None]
RULES: dict[str, Rule] = {}
ECHO_RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """A rule of a stream that carries stdin and stdout."""
    RULES[function.__name__] = function
    return function


def echo_rule(function: Rule) -> Rule:
    """A rule of an echo."""
    ECHO_RULES[function.__name__] = function
    return function


SIZES = (1, 8191, 8192, 8193, 32767, 32768, 32769, 3, 65536, 262143, 262144, 262145, MIB, 5, MIB + 1, 1)
"""Around whatever a mover may change its ways at: small messages, the shared buffer, pipes of 64 KiB and 1 MiB."""


def noise(size: int, seed: int) -> bytes:
    """Bytes of which no two stretches are alike."""
    return random.Random(seed).randbytes(size)


def pieces(data: bytes, seed: int) -> Iterator[bytes]:
    """All of it, in pieces of very different sizes."""
    own = random.Random(seed)
    while data:
        size = int(2 ** own.uniform(0, 19))
        yield data[:size]
        data = data[size:]


def write_pieces(write: Callable[[bytes], object], data: bytes, seed: int) -> None:
    """Write all of it in ``pieces``."""
    for piece in pieces(data, seed):
        write(piece)


def peer_sends(peer: socket.socket, data: bytes, seed: int = 1) -> Task[None]:
    """Beside the test: all of it in pieces, then an end."""

    def send() -> None:
        write_pieces(peer.sendall, data, seed)
        peer.shutdown(socket.SHUT_WR)

    return Task(send)


def we_send(open: Open, data: bytes, seed: int = 2) -> Task[None]:
    """Beside the test: all of it in pieces on stdin, then an end."""

    def send() -> None:
        write_pieces(open.process.send, data, seed)
        open.process.close_stdin()

    return Task(send)


# ---- order


@rule
def both_directions_in_any_pieces_at_once(open: Open) -> None:
    there, here = noise(4 * MIB, 1), noise(4 * MIB, 2)
    tasks = peer_sends(open.peer, there), we_send(open, here)
    got = Task(open.read_rest)
    assert receive_all(open.peer) == here
    assert got.get() == there
    for task in tasks:
        task.get()
    open.done()


@rule
def single_bytes(open: Open) -> None:
    there, here = noise(1500, 1), noise(1500, 2)
    for a, b in zip(there, here, strict=True):
        open.peer.sendall(bytes([a]))
        open.process.send(bytes([b]))
    open.peer.shutdown(socket.SHUT_WR)
    open.process.close_stdin()
    assert receive_all(open.peer) == here
    assert open.read_rest() == there
    open.done()


@rule
def question_and_answer(open: Open) -> None:
    """Nothing waits for more to come, also right after a flood, also right before one."""
    for number, size in enumerate(SIZES):
        data = noise(size, number)
        sending = Task(open.process.send, data)
        assert exactly(open.peer, size) == data
        sending.get()
        answering = Task(open.peer.sendall, data[::-1])
        assert open.read(size) == data[::-1]
        answering.get()
    open.process.close_stdin()
    assert open.peer.recv(1) == b""
    open.peer.close()
    assert open.read_rest() == b""
    open.done()


@rule
def an_end_right_after_any_size(open: Open) -> None:
    """What came last before the end is not forgotten over the end."""
    data = b"".join(noise(size, size) for size in SIZES)
    tasks = peer_sends(open.peer, data), we_send(open, data)
    got = Task(open.read_rest)
    assert receive_all(open.peer) == data
    assert got.get() == data
    for task in tasks:
        task.get()
    open.done()


@rule
def nothing_at_all(open: Open) -> None:
    open.process.close_stdin()
    assert open.peer.recv(1) == b""
    open.peer.shutdown(socket.SHUT_WR)
    assert open.read_rest() == b""
    open.done()


# ---- ends


@rule
def our_end_is_not_the_peers(open: Open) -> None:
    request, reply = noise(200_000, 1), noise(3 * MIB, 2)
    sending = we_send(open, request)
    assert receive_all(open.peer) == request
    sending.get()
    eventually(lambda: is_idle(open.process.pid, 0.05))
    replying = peer_sends(open.peer, reply)
    assert open.read_rest() == reply
    replying.get()
    open.done()


@rule
def the_peers_end_is_not_ours(open: Open) -> None:
    request, reply = noise(3 * MIB, 1), noise(200_000, 2)
    sending = peer_sends(open.peer, request)
    assert open.read(len(request)) == request
    sending.get()
    replying = we_send(open, reply)
    assert receive_all(open.peer) == reply
    replying.get()
    open.done()


@rule
def a_flood_before_anything_is_read(open: Open) -> None:
    """Both sides send more than all buffers on the way hold before they read: nobody waits for the other for ever."""
    there, here = noise(12 * MIB, 1), noise(12 * MIB, 2)
    sending, feeding = peer_sends(open.peer, there), we_send(open, here)
    first = open.read(1)  # one at least is on its way
    got = Task(open.read_rest)
    assert receive_all(open.peer) == here
    assert first + got.get() == there
    sending.get()
    feeding.get()
    open.done()


# ---- slow ends


@rule
def a_peer_that_reads_late(open: Open) -> None:
    data = noise(16 * MIB, 1)
    feeding = we_send(open, data)
    eventually(lambda: is_idle(open.process.pid, 0.05))
    assert feeding.is_alive(), "there is back-pressure"
    assert receive_all(open.peer) == data
    feeding.get()
    open.peer.shutdown(socket.SHUT_WR)
    assert open.read_rest() == b""
    open.done()


@rule
def a_reader_of_stdout_that_reads_late(open: Open) -> None:
    sent = send_until_stuck(open.peer, open.process)
    ending = Task(open.peer.shutdown, socket.SHUT_WR)
    open.process.close_stdin()
    assert len(open.read_rest()) == sent
    ending.get()
    open.done()


@rule
def a_direction_that_is_stuck_does_not_hold_the_other(open: Open) -> None:
    send_until_stuck(open.peer, open.process)
    data = noise(3 * MIB, 1)
    feeding = we_send(open, data)
    assert receive_all(open.peer) == data
    feeding.get()
    open.peer.shutdown(socket.SHUT_WR)
    open.read_rest()
    open.done()


@rule
def stopped_and_continued(open: Open) -> None:
    there, here = noise(8 * MIB, 1), noise(8 * MIB, 2)
    tasks = peer_sends(open.peer, there), we_send(open, here)
    got, sent = Task(open.read_rest), Task(receive_all, open.peer)
    for _ in range(5):
        open.process.kill(signal.SIGSTOP)
        time.sleep(0.01)  # the case
        open.process.kill(signal.SIGCONT)
    assert got.get() == there
    assert sent.get() == here
    for task in tasks:
        task.get()
    open.done()


# ---- refusals


def _is_said(open: Open) -> None:
    result = open.process.finish()
    assert result.status == 1, result
    assert "[ECONNRESET" in result.said or "[EPIPE" in result.said, result


@rule
def a_reset_after_data(open: Open) -> None:
    """What came before it is delivered, and it is told from an end."""
    data = noise(60_000, 1)
    open.peer.sendall(data)
    if open.transport.resets:
        eventually(lambda: unsent(open.peer) == 0)  # a reset would drop what has not left yet
        reset(open.peer)
    else:  # Unix sockets are reset by a close with unread data (unix(7) says nothing of it; net/unix/af_unix.c)
        open.process.send(b"never read")
        eventually(lambda: has_input(open.peer))
        open.peer.close()
    assert open.read_rest() == data
    _is_said(open)


@rule
def a_reset_amid_a_flood_both_ways(open: Open) -> None:
    """No byte that is not the peer's, and no success."""
    there = noise(32 * MIB, 1)
    flooding, feeding = Task(_until_refused, open.peer.sendall, there), Task(_until_refused, open.process.send, there)
    got = bytearray(open.read(MIB))
    exactly(open.peer, MIB)
    if open.transport.resets:
        reset(open.peer)
    else:
        open.peer.close()
    got += open.read_rest()
    assert there.startswith(bytes(got))
    flooding.get()
    feeding.get()
    _is_said(open)


def _until_refused(write: Callable[[bytes], object], data: bytes) -> None:
    try:
        write_pieces(write, data, 3)
    except OSError:
        pass


def has_input(sock: socket.socket) -> bool:
    """Something waits to be read."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


@rule
def an_urgent_byte_amid_a_flood(open: Open) -> None:
    """It is beside the stream: nothing is lost, nothing added, nothing spins."""
    if not open.transport.urgent:
        return
    data = noise(4 * MIB, 1)

    def send() -> None:
        open.peer.sendall(data[:MIB])
        open.peer.send(b"!", socket.MSG_OOB)
        open.peer.sendall(data[MIB:])

    sending = Task(send)
    assert open.read(len(data)) == data
    sending.get()
    eventually(lambda: is_idle(open.process.pid, 0.1))
    open.peer.send(b"!", socket.MSG_OOB)
    eventually(lambda: is_idle(open.process.pid, 0.05))
    open.peer.sendall(b"and more")
    assert open.read(8) == b"and more"
    open.process.close_stdin()
    open.peer.shutdown(socket.SHUT_WR)
    open.done()


# ---- echoes


@echo_rule
def an_echo_in_any_pieces(open: Open) -> None:
    data = noise(8 * MIB, 1)
    sending = peer_sends(open.peer, data)
    assert receive_all(open.peer) == data
    sending.get()
    open.done()


@echo_rule
def an_echo_of_each_size(open: Open) -> None:
    for number, size in enumerate(SIZES):
        data = noise(size, number)
        sending = Task(open.peer.sendall, data)
        assert exactly(open.peer, size) == data
        sending.get()
    open.peer.shutdown(socket.SHUT_WR)
    assert open.peer.recv(1) == b""
    open.done()


@echo_rule
def an_echo_that_is_read_late(open: Open) -> None:
    sent = send_until_stuck(open.peer, open.process)
    ending = Task(open.peer.shutdown, socket.SHUT_WR)
    assert len(receive_all(open.peer)) == sent
    ending.get()
    open.done()


@echo_rule
def an_echo_of_nothing(open: Open) -> None:
    open.peer.shutdown(socket.SHUT_WR)
    assert open.peer.recv(1) == b""
    open.done()


@echo_rule
def an_echo_that_is_reset(open: Open) -> None:
    send_until_stuck(open.peer, open.process)
    if open.transport.resets:
        reset(open.peer)
    else:
        open.peer.close()
    _is_said(open)


@echo_rule
def an_echo_with_an_urgent_byte(open: Open) -> None:
    if not open.transport.urgent:
        return
    data = noise(3 * MIB, 1)

    def send() -> None:
        open.peer.sendall(data[:MIB])
        open.peer.send(b"!", socket.MSG_OOB)
        open.peer.sendall(data[MIB:])

    sending = Task(send)
    assert exactly(open.peer, len(data)) == data
    sending.get()
    eventually(lambda: is_idle(open.process.pid, 0.05))
    open.peer.shutdown(socket.SHUT_WR)
    assert open.peer.recv(1) == b""
    open.done()
