"""Large flows: moved by the kernel where nobody looks, copied where it cannot, and the same bytes either way."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sockkit import syscalls
from sockkit.carriers import CAPACITY, PIPES, Shared
from sockkit.events import Call, Data, Direction, Env, Event, Interest, Urgent
from sockkit.loop import Loop
from sockkit.relay import Relay
from sockkit.sessions import Settings
from tests.harness import TIMEOUT
from tests.test_sessions import converse

pytestmark = pytest.mark.skipif(not syscalls.SPLICE, reason="CANNOT: no splice(2) here")

SIZE = 6_000_000
PAYLOAD = random.Random(65432).randbytes(SIZE)
OTHER = random.Random(12345).randbytes(SIZE)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    return ours, peer


PAIRS: dict[str, Callable[[], tuple[socket.socket, socket.socket]]] = {"tcp": tcp_pair, "unix": socket.socketpair}


def given_file(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY)


def given_pipe(path: Path, content: bytes) -> int:
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(content)

    threading.Thread(target=feed, daemon=True).start()
    return reading


SOURCES = {"file": given_file, "pipe": given_pipe}


class Sink:
    """A stdout of some kind, and what came out of it."""

    def __init__(self, kind: str, path: Path) -> None:
        self.path = path
        self.got = b""
        self.reader: threading.Thread | None = None
        if kind == "pipe":
            reading, self.fd = os.pipe()
            self.reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
            self.reader.start()
        else:
            append = os.O_APPEND if kind == "append" else 0
            self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | append, 0o600)

    def _read(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as file:
            self.got = file.read()

    def content(self) -> bytes:
        os.close(self.fd)
        if self.reader is None:
            return self.path.read_bytes()
        self.reader.join(TIMEOUT)
        return self.got


@contextmanager
def peer_of(sock: socket.socket, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    def run() -> None:
        with sock:
            talk(sock)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def calls(events: list[Event]) -> set[str]:
    return {event.name for event in events if isinstance(event, Call)}


def send_and_receive(got: list[bytes], content: bytes) -> Callable[[socket.socket], None]:
    """A peer that sends and receives at once, and ends when both are over."""

    def talk(sock: socket.socket) -> None:
        def send() -> None:
            sock.sendall(content)
            sock.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        parts = []
        while part := sock.recv(1 << 18):
            parts.append(part)
        got.append(b"".join(parts))
        sending.join(TIMEOUT)

    return talk


@pytest.mark.parametrize("copy", [False, True], ids=["spliced", "copied"])
@pytest.mark.parametrize("sink_kind", ["pipe", "file", "append"])
@pytest.mark.parametrize("source_kind", list(SOURCES))
@pytest.mark.parametrize("pair", list(PAIRS))
def test_both_ways_at_once(pair: str, source_kind: str, sink_kind: str, copy: bool, tmp_path: Path) -> None:
    events: list[Event] = []
    got: list[bytes] = []
    ours, peer = PAIRS[pair]()
    stdin = SOURCES[source_kind](tmp_path / "source", PAYLOAD)
    sink = Sink(sink_kind, tmp_path / "sink")
    env = Env(stdin, sink.fd, events.append, Interest.STATE | Interest.CALLS, time.monotonic)
    with peer_of(peer, send_and_receive(got, OTHER)):
        session = converse(env, ours, Relay.duplex(CAPACITY), settings=Settings(copy=copy))
    os.close(stdin)
    assert not session.failed
    assert session.totals == (SIZE, SIZE)
    assert got == [PAYLOAD]
    assert sink.content() == OTHER
    moved = calls(events) & {"splice", "sendfile"}
    assert moved == (set() if copy else {"splice", "sendfile"} if source_kind == "file" else {"splice"})


@pytest.mark.parametrize("pair", list(PAIRS))
def test_an_echo_is_moved_by_the_kernel_too(pair: str) -> None:
    events: list[Event] = []
    got: list[bytes] = []
    ours, peer = PAIRS[pair]()
    before = len(os.listdir("/proc/self/fd"))
    env = Env(0, 1, events.append, Interest.STATE | Interest.CALLS, time.monotonic)
    with peer_of(peer, send_and_receive(got, PAYLOAD)):
        session = converse(env, ours, Relay.echo(CAPACITY))
    assert got == [PAYLOAD]
    assert session.totals == (SIZE, SIZE)
    assert "splice" in calls(events)
    assert len(os.listdir("/proc/self/fd")) == before - 2  # the pair is closed, and no pipe stays behind


def test_where_no_pipe_is_to_be_had_an_echo_is_copied() -> None:
    events: list[Event] = []
    got: list[bytes] = []
    ours, peer = tcp_pair()
    env = Env(0, 1, events.append, Interest.STATE | Interest.CALLS, time.monotonic)

    def prepare(shared: Shared) -> None:
        for _ in range(PIPES):
            pipe = shared.borrow()
            assert pipe is not None
            syscalls.close_pipe(env, pipe)
        events.clear()

    with peer_of(peer, send_and_receive(got, PAYLOAD)):
        converse(env, ours, Relay.echo(CAPACITY), prepare=prepare)
    assert got == [PAYLOAD]
    assert "splice" not in calls(events)


def test_an_urgent_byte_amid_a_large_flow_stops_nothing() -> None:
    """A15: splice says 0, or EAGAIN for ever, while an urgent byte is next; a plain receive passes it."""
    events: list[Event] = []
    got: list[bytes] = []
    ours, peer = tcp_pair()
    reading, writing = os.pipe()
    os.close(writing)
    sink = Sink("pipe", Path())
    env = Env(reading, sink.fd, events.append, Interest.STATE, time.monotonic)

    def talk(sock: socket.socket) -> None:
        sock.sendall(PAYLOAD[: SIZE // 2])
        sock.send(b"!", socket.MSG_OOB)
        sock.sendall(PAYLOAD[SIZE // 2 :])
        sock.shutdown(socket.SHUT_WR)
        got.append(sock.recv(1))

    with peer_of(peer, talk):
        converse(env, ours, Relay.duplex(CAPACITY))
    os.close(reading)
    assert sink.content() == PAYLOAD
    assert got == [b""]
    assert {event.payload for event in events if isinstance(event, Urgent)} == {b"!"}


def test_a_story_sees_the_beginning_and_is_told_counts_of_the_rest(tmp_path: Path) -> None:
    events: list[Event] = []
    got: list[bytes] = []
    ours, peer = tcp_pair()
    looked = 100_000
    stdin = given_file(tmp_path / "source", PAYLOAD)
    sink = Sink("pipe", tmp_path)
    interest = Interest.STATE | Interest.DATA | Interest.PAYLOAD
    env = Env(stdin, sink.fd, events.append, interest, time.monotonic, SIZE, looked)
    with peer_of(peer, send_and_receive(got, OTHER)):
        converse(env, ours, Relay.duplex(CAPACITY))
    os.close(stdin)
    assert (got, sink.content()) == ([PAYLOAD], OTHER)
    for direction, content in ((Direction.SENT, PAYLOAD), (Direction.RECEIVED, OTHER)):
        told = [event for event in events if isinstance(event, Data) and event.direction is direction]
        at = 0
        for event in told:
            assert event.offset == at
            if event.payload is not None:
                assert event.payload == content[at : at + event.size]
            elif at < looked:
                pytest.fail(f"byte {at} was wanted and not shown")
            at += event.size
        assert at == SIZE
        assert any(event.payload is None for event in told)


def test_a_lent_socket_that_blocks_is_copied_and_stays_as_it_was(tmp_path: Path) -> None:
    events: list[Event] = []
    got: list[bytes] = []
    ours, peer = tcp_pair()
    stdin = given_file(tmp_path / "source", PAYLOAD)
    sink = Sink("file", tmp_path / "sink")
    env = Env(stdin, sink.fd, events.append, Interest.STATE | Interest.CALLS, time.monotonic)
    lent = os.dup(ours.fileno())
    with peer_of(peer, send_and_receive(got, OTHER)):
        converse(env, ours, Relay.duplex(CAPACITY), own=False)
        assert os.get_blocking(lent)
        os.close(lent)
    os.close(stdin)
    assert (got, sink.content()) == ([PAYLOAD], OTHER)
    assert not calls(events) & {"splice", "sendfile"}


def test_a_reader_of_our_output_that_goes_away_ends_a_large_flow(tmp_path: Path) -> None:
    from sockkit.errors import OutputGone

    ours, peer = tcp_pair()
    reading, writing = os.pipe()
    read_end, write_end = os.pipe()
    env = Env(reading, write_end, lambda event: None, Interest.STATE, time.monotonic)

    def talk(sock: socket.socket) -> None:
        try:
            sock.sendall(PAYLOAD * 4)
        except OSError:
            pass

    def read_some() -> None:
        os.read(read_end, 100_000)
        os.close(read_end)

    threading.Thread(target=read_some, daemon=True).start()
    with peer_of(peer, talk):
        with pytest.raises(OutputGone):
            converse(env, ours, Relay.duplex(CAPACITY))
        ours.close()
    for fd in (reading, writing, write_end):
        os.close(fd)


def test_a_file_that_grows_while_it_is_sent_is_sent_whole(tmp_path: Path) -> None:
    got: list[bytes] = []
    ours, peer = tcp_pair()
    path = tmp_path / "source"
    stdin = given_file(path, PAYLOAD)
    sink = Sink("file", tmp_path / "sink")
    grown = False
    env = Env(stdin, sink.fd, lambda event: None, Interest.STATE, time.monotonic)

    def talk(sock: socket.socket) -> None:
        nonlocal grown
        parts = [sock.recv(1 << 18)]
        with path.open("ab") as file:
            file.write(OTHER)
        grown = True
        while part := sock.recv(1 << 18):
            parts.append(part)
        got.append(b"".join(parts))

    with peer_of(peer, talk):
        converse(env, ours, Relay.duplex(CAPACITY))
    os.close(stdin)
    sink.content()
    assert grown
    assert got[0][:SIZE] == PAYLOAD
    assert got[0][SIZE:] == OTHER[: len(got[0]) - SIZE]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="CANNOT: no pipe quota")
def test_a_small_pipe_is_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose pipes hold much already gets pipes of 8 KiB (pipe(7)): then bytes are copied."""
    import fcntl

    env = Env(0, 1, lambda event: None, Interest.STATE, time.monotonic)

    def refused(fd: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETPIPE_SZ:
            raise PermissionError(1, "Operation not permitted")
        return 8192

    monkeypatch.setattr(fcntl, "fcntl", refused)
    before = len(os.listdir("/proc/self/fd"))
    with Loop(env) as loop:
        assert Shared(loop).borrow() is None
    assert len(os.listdir("/proc/self/fd")) == before
