"""Sessions in this process: a real loop, real sockets and pipes, and a list that is told what happens."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockkit import stdio
from sockkit.carriers import CAPACITY, Shared, to_crlf
from sockkit.dial import DELAY, Dialer
from sockkit.events import Attempt, Closed, Data, Direction, Ended, Env, Event, Failed, Interest, Opened, Side
from sockkit.loop import READ, WRITE, Loop
from sockkit.relay import Relay
from sockkit.resolve import Resolved
from sockkit.sessions import Session, Settings
from tests.harness import TIMEOUT, listener, needs_linux, receive_all
from tests.peers import free_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and socketpairs as POSIX has them")

EVERYTHING = Interest.STATE | Interest.DATA | Interest.PAYLOAD | Interest.CALLS
CHUNKS = st.lists(st.binary(min_size=1, max_size=3000), max_size=10)


@contextmanager
def surroundings(given: bytes, events: list[Event], interest: int = EVERYTHING) -> Iterator[tuple[Env, int]]:
    """An Env whose stdin holds ``given`` and ends, and the descriptor that its stdout comes out of."""
    with ExitStack() as stack:
        stdin, feed = os.pipe()
        drain, stdout = os.pipe()
        for fd in (stdin, drain, stdout):
            stack.callback(os.close, fd)
        assert len(given) <= 60_000, "more than a pipe holds would block"
        os.write(feed, given)
        os.close(feed)
        yield Env(stdin, stdout, events.append, interest, time.monotonic), drain


def converse(
    env: Env,
    sock: socket.socket,
    relay: Relay,
    settings: Settings = Settings(),  # noqa: B008
    *,
    own: bool = True,
    prepare: Callable[[Shared], object] = lambda shared: None,
) -> Session:
    """A whole session; it must end within ``TIMEOUT``. ``prepare`` gets what the loop's sessions share, before it begins."""
    late: list[str] = []
    with Loop(env) as loop:
        shared = Shared(loop)
        prepare(shared)
        duplex = relay.outbound is not None
        source = stdio.open_input(env) if duplex else None
        sink = stdio.open_output(env) if duplex else None
        session = Session(
            loop,
            1,
            sock,
            relay,
            shared,
            settings,
            kind=(int(sock.family), int(sock.type)),
            peer="peer",
            local="here",
            connected=True,
            messages=False,
            source=source,
            sink=sink,
            own=own,
            on_close=lambda session: loop.stop(),
        )

        def give_up() -> None:
            late.append("too late")
            loop.stop()

        loop.later(TIMEOUT, give_up)
        session.start()
        if not session.closed:
            loop.run()
        session.close()
        shared.close()
        if sink is not None:
            sink.close()
    assert not late
    return session


def told(events: list[Event], direction: Direction) -> list[Data]:
    return [event for event in events if isinstance(event, Data) and event.direction is direction]


@settings(max_examples=60, deadline=None)
@given(chunks=CHUNKS, given_bytes=st.binary(max_size=5000), half_close=st.booleans())
def test_bytes_and_events_tell_the_same(chunks: list[bytes], given_bytes: bytes, half_close: bool) -> None:
    events: list[Event] = []
    ours, peer = socket.socketpair()
    with ours, peer, surroundings(given_bytes, events) as (env, drain):
        peer.settimeout(TIMEOUT)
        for chunk in chunks:
            peer.sendall(chunk)
        peer.shutdown(socket.SHUT_WR)
        # What a Unix socket holds counts as not delivered until it is read: so the peer reads beside.
        import threading

        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(receive_all(peer)))
        reader.start()
        session = converse(env, ours, Relay.duplex(CAPACITY, half_close=half_close))
        reader.join(TIMEOUT)
        content = b"".join(chunks)
        received = os.read(drain, 65536) if content else b""
    assert received == content
    assert got == [given_bytes]
    assert not session.failed
    assert session.totals == (len(content), len(given_bytes))
    assert session.input_over
    states = [event for event in events if isinstance(event, (Opened, Ended, Closed))]
    assert isinstance(states[0], Opened)
    assert isinstance(states[-1], Closed)
    assert sum(isinstance(event, Closed) for event in events) == 1
    hows = {event.how for event in states if isinstance(event, Ended)}
    assert hows == {"stdin ended", "the peer ended"} | ({"end of input sent"} if half_close else set())
    for direction, whole in ((Direction.RECEIVED, content), (Direction.SENT, given_bytes)):
        offset = 0
        for event in told(events, direction):
            assert event.offset == offset
            assert event.payload == whole[offset : offset + min(event.size, env.preview)]
            offset += event.size
        assert offset == len(whole)


@settings(max_examples=40, deadline=None)
@given(chunks=CHUNKS)
def test_an_echo_gives_back_what_it_got(chunks: list[bytes]) -> None:
    events: list[Event] = []
    ours, peer = socket.socketpair()
    content = b"".join(chunks)
    with ours, peer, surroundings(b"", events) as (env, _):
        peer.settimeout(TIMEOUT)
        peer.sendall(content)
        peer.shutdown(socket.SHUT_WR)
        session = converse(env, ours, Relay.echo(CAPACITY))
        assert receive_all(peer) == content
    assert session.totals == (len(content), len(content))
    assert not session.failed
    closed = events[-1]
    assert isinstance(closed, Closed)
    assert (closed.first, closed.error) == (Side.REMOTE, None)


def test_nothing_is_made_for_nobody() -> None:
    """Where the observer wants states alone, no data and no call is told."""
    events: list[Event] = []
    ours, peer = socket.socketpair()
    with ours, peer, surroundings(b"", events, Interest.STATE) as (env, _):
        peer.sendall(b"x")
        peer.shutdown(socket.SHUT_WR)
        converse(env, ours, Relay.echo(CAPACITY))
    assert [type(event).__name__ for event in events] == ["Opened", "Ended", "Ended", "Closed"]


@given(content=st.text("a\r\n", max_size=30), cuts=st.lists(st.integers(0, 30), max_size=8))
def test_crlf_is_the_same_however_it_is_cut(content: str, cuts: list[int]) -> None:
    data = content.encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(places) if begin < end]
    transform = to_crlf()
    assert b"".join(map(transform, pieces)) == re.sub(rb"(?<!\r)\n", b"\r\n", data)


# ---- dialling


def make(resolved: Resolved) -> socket.socket:
    sock = socket.socket(resolved.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def dial(addresses: list[tuple[str, int]], limit: float = TIMEOUT) -> tuple[Dialer, list[Event], float]:
    """Dial until it ends or ``limit`` seconds pass."""
    events: list[Event] = []
    with Loop(Env(0, 1, events.append, EVERYTHING, time.monotonic)) as loop:
        wanted = [Resolved(int(socket.AF_INET), address) for address in addresses]
        dialer = Dialer(loop, wanted, make, lambda operation, error, resolved: None, loop.stop)
        loop.later(limit, loop.stop)
        begun = time.monotonic()
        dialer.start()
        if not dialer.over:
            loop.run()
        took = time.monotonic() - begun
        if dialer.socket is None:
            dialer.cancel()
    return dialer, events, took


@contextmanager
def silent() -> Iterator[tuple[str, int]]:
    """An address that neither answers nor refuses: its accept queue is full."""
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.settimeout(0.3)
            try:
                client.connect(sock.getsockname())
            except TimeoutError:
                break
        else:
            pytest.skip("CANNOT: this system's accept queue never fills")
        yield sock.getsockname()


def attempts(events: list[Event]) -> list[Attempt]:
    return [event for event in events if isinstance(event, Attempt)]


def test_a_refusal_moves_on_at_once() -> None:
    with listener() as sock:
        refused = ("127.0.0.1", free_port())
        dialer, events, took = dial([refused, sock.getsockname()])
        assert dialer.socket is not None and dialer.winner is not None
        with dialer.socket:
            assert dialer.socket.getpeername() == sock.getsockname()
    assert dialer.winner.address == sock_address(events, 1)
    assert [error.errno for _, error in dialer.failures if isinstance(error, OSError)] == [errno.ECONNREFUSED]
    assert took < DELAY, "a refusal need not be waited out"


def sock_address(events: list[Event], which: int) -> tuple[str, int]:
    host, _, port = attempts(events)[which].address.rpartition(":")
    return (host, int(port))


@needs_linux
def test_silence_is_waited_for_250_ms_and_not_given_up() -> None:
    """RFC 8305, section 5: the next attempt starts beside the one that has not answered."""
    with silent() as nobody, listener() as sock:
        dialer, events, took = dial([nobody, sock.getsockname()])
        assert dialer.socket is not None
        with dialer.socket:
            assert dialer.socket.getpeername() == sock.getsockname()
    first, second = attempts(events)
    assert DELAY * 0.9 < second.time - first.time < DELAY * 8
    assert took < DELAY * 9
    assert dialer.failures == [], "the silent one did not fail: it was given up"


def test_every_failure_is_kept_and_told() -> None:
    addresses = [("127.0.0.1", free_port()) for _ in range(3)]
    dialer, events, _ = dial(addresses)
    assert dialer.socket is None
    assert dialer.over
    assert sorted(resolved.address for resolved, _ in dialer.failures) == sorted(addresses)
    assert len([event for event in events if isinstance(event, Failed)]) == 3


@needs_linux
def test_what_has_not_answered_is_pending() -> None:
    with silent() as nobody:
        dialer, events, _ = dial([nobody], 0.3)
        assert dialer.socket is None
        assert attempts(events) == [], "one address of one is no news"
    assert dialer.pending() == [], "after cancel"


# ---- the loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop(Env(0, 1, lambda event: None, 0, time.monotonic)) as loop:
        yield loop


def test_timers_fire_in_the_order_in_which_they_are_due(loop: Loop) -> None:
    fired: list[str] = []
    loop.later(0.03, loop.stop)
    loop.later(0.02, lambda: fired.append("third"))
    loop.later(0, lambda: fired.append("first"))
    loop.later(0.01, lambda: fired.append("cancelled")).cancel()
    loop.later(0.01, lambda: fired.append("second"))
    loop.run()
    assert fired == ["first", "second", "third"]


def test_a_handler_that_forgets_another_keeps_it_from_being_called(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def handler(which: int) -> None:
        called.append(which)
        for ours, _ in pairs:
            loop.forget(ours.fileno())
        loop.stop()

    with ExitStack() as stack:
        for which, (ours, peer) in enumerate(pairs):
            stack.enter_context(ours)
            stack.enter_context(peer)
            peer.sendall(b"x")
            loop.watch(ours.fileno(), READ, lambda mask, which=which: handler(which))  # type: ignore[misc]
        loop.run()
    assert len(called) == 1, "both were ready in one turn"


def test_a_regular_file_is_always_ready(loop: Loop, tmp_path: os.PathLike[str]) -> None:
    with open(os.path.join(tmp_path, "file"), "w+b") as file:
        masks: list[int] = []

        def handler(mask: int) -> None:
            masks.append(mask)
            loop.stop()

        for mask in (READ, WRITE):
            loop.watch(file.fileno(), mask, handler)
            loop.run()
        loop.forget(file.fileno())
        loop.forget(file.fileno())
    assert masks == [READ, WRITE]


@pytest.mark.parametrize("name", ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_run_and_dispositions_are_restored(name: str) -> None:
    import signal

    number = getattr(signal, name)
    before = signal.getsignal(number)
    with Loop(Env(0, 1, lambda event: None, 0, time.monotonic)) as loop:
        loop.later(0, lambda: os.kill(os.getpid(), number))
        loop.later(TIMEOUT, loop.stop)
        loop.run()
        assert loop.signal == number
        loop.run()  # it is not forgotten
    assert signal.getsignal(number) is before
