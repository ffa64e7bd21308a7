"""A whole session under any faults: real sockets and pipes, a loop that goes a step when it is told to, refusals at any call.

The faults are those that a kernel may answer with at any time: less than was asked for, EAGAIN although it said "ready",
a splice that moves nothing or will not, a reset, a reader that is gone. What is judged is bytes: what arrives is a
beginning of what was sent, whatever happened; all of it, if nobody broke the connection; and whoever did is told.
"""

from __future__ import annotations

import errno
import heapq
import os
import random
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sockkit import stdio, syscalls
from sockkit.carriers import CAPACITY, Shared
from sockkit.errors import OutputGone
from sockkit.events import Closed, Data, Direction, Env, Event, Failed, Interest, Lost, Note
from sockkit.loop import Handler, Timer
from sockkit.relay import Relay
from sockkit.sessions import Session, Settings

pytestmark = pytest.mark.skipif(not syscalls.SPLICE, reason="CANNOT: no splice(2) here")

NOISE = random.Random(65432).randbytes(4 << 20)
OTHER = NOISE[::-1]
SIZES = st.sampled_from([1, 2, 100, 8191, 8192, 32767, 32768, 65536, 100_000, 262_144, 500_000])
RARELY = st.sampled_from([False] * 5 + [True])
"""So that something happens before."""
LARGE = st.sampled_from([32768, 65536, 100_000, 262_144, 500_000])
FAULTS = ("short", "again", "nothing", "refuses") * 3 + ("breaks",)
BREAKS = {
    "recv": errno.ECONNRESET,
    "send": errno.EPIPE,
    "splice": errno.ECONNRESET,
    "read": errno.EIO,
    "write": errno.ENOSPC,
}
CALLS = ("splice", "recv", "send", "read", "write")


class Faults:
    """What the next calls answer: at most one fault a call, in the order given, and then nothing but the truth."""

    def __init__(self) -> None:
        self.due: dict[str, deque[str]] = {name: deque() for name in CALLS}
        self.broken = False  # one of them was a refusal for good

    def around(self, name: str, call: Callable[[Any], int], shorten: Callable[[Any], Any], what: Any) -> int:
        """Do a call, or not, or less of it."""
        fault = self.due[name].popleft() if self.due[name] else None
        if fault == "again" or (fault == "nothing" and name != "splice"):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if fault == "nothing":
            return 0
        if fault == "refuses" and name == "splice":
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if fault == "breaks":
            self.broken = True
            raise OSError(BREAKS[name], os.strerror(BREAKS[name]))
        return call(shorten(what) if fault == "short" else what)


def less(buffer: Any) -> Any:
    """A third of it, one byte at least."""
    return memoryview(buffer)[: max(1, len(buffer) // 3)]


class Faulty(socket.socket):
    """A socket whose recv(2) and send(2) may answer with a fault."""

    faults: Faults

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        call = super().recv_into
        return self.faults.around("recv", lambda buffer: call(buffer, 0, flags), less, buffer)

    def send(self, data: Any, flags: int = 0) -> int:
        call = super().send
        return self.faults.around("send", lambda data: call(data, flags), less, data)


class Steps:
    """Stands for the loop: it waits for nothing, and calls whoever is ready when it is told to."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.watched: dict[int, tuple[int, Handler]] = {}
        self.timers: list[Timer] = []
        self.now = 0.0

    def watch(self, fd: int, mask: int, handler: Handler) -> None:
        self.watched[fd] = mask, handler

    def forget(self, fd: int) -> None:
        self.watched.pop(fd, None)

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self.now + seconds, callback)
        heapq.heappush(self.timers, timer)
        return timer

    def turn(self) -> bool:
        """One turn; True if somebody was called."""
        poll = select.poll()
        for fd, (mask, _) in self.watched.items():
            poll.register(fd, mask)
        ready = poll.poll(0)
        for fd, mask in ready:
            if fd in self.watched:
                self.watched[fd][1](mask)
        return bool(ready)

    def pass_time(self, seconds: float) -> None:
        """As if so many seconds had passed, with nothing ready meanwhile."""
        end = self.now + seconds
        while self.timers and self.timers[0].due <= end:
            timer = heapq.heappop(self.timers)
            self.now = max(self.now, timer.due)
            if timer.callback is not None:
                timer.callback()
        self.now = end


class Conversation(RuleBasedStateMachine):
    """A session, the peer, whoever writes our stdin and whoever reads our stdout, one step of one of them at a time."""

    started = False

    @initialize(
        echo=st.booleans(),
        copy=st.sampled_from([False, False, False, True]),
        half_close=st.booleans(),
        interest=st.sampled_from([Interest.STATE, Interest.STATE, Interest.STATE | Interest.DATA | Interest.PAYLOAD]),
        looked=st.sampled_from([0, 1000, None]),
        room=st.sampled_from([None, 10_000]),
    )
    def begin(
        self, echo: bool, copy: bool, half_close: bool, interest: int, looked: int | None, room: int | None
    ) -> None:
        self.faults = Faults()
        self.splice = splice = os.splice

        def faulty_splice(source: int, sink: int, size: int, *how: Any, **named: Any) -> int:
            call = lambda size: splice(source, sink, size, *how, **named)
            return self.faults.around("splice", call, lambda size: max(1, size // 300), size)

        os.splice = faulty_splice  # type: ignore[assignment]
        self.echo = echo
        self.half_close = half_close
        self.tcp = room is None
        if room is None:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                self.peer = socket.create_connection(listening.getsockname())
                accepted, _ = listening.accept()
        else:  # small buffers make TCP wait for its timers, which no clock of ours moves
            self.peer, accepted = socket.socketpair()
            for sock in (self.peer, accepted):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        self.peer.setblocking(False)
        ours = Faulty(fileno=accepted.detach())
        ours.faults = self.faults
        self.stdin, self.feed = os.pipe()
        self.drain, self.stdout = os.pipe()
        os.set_blocking(self.feed, False)
        os.set_blocking(self.drain, False)
        self.events: list[Event] = []
        self.loop: Steps
        env = Env(self.stdin, self.stdout, self.events.append, interest, lambda: self.loop.now, looked=looked)
        self.loop = Steps(env)
        source = sink = None
        if not echo:
            given, taken = stdio.open_input(env), stdio.open_output(env)
            assert given.read is not None and taken.write is not None
            read, write = given.read, taken.write
            source = given._replace(read=lambda buffer: self.faults.around("read", read, less, buffer))
            sink = taken._replace(write=lambda data: self.faults.around("write", write, less, data))
        self.sink = sink
        self.shared = Shared(self.loop)  # type: ignore[arg-type]
        self.session = Session(
            self.loop,  # type: ignore[arg-type]
            1,
            ours,
            Relay.echo(CAPACITY) if echo else Relay.duplex(CAPACITY, half_close=half_close),
            self.shared,
            Settings(half_close=half_close, copy=copy),
            peer="peer",
            local="here",
            kind=(ours.family, socket.SOCK_STREAM),
            connected=True,
            messages=False,
            source=source,
            sink=sink,
            on_close=lambda session: None,
        )
        self.offset = {"peer": 0, "feed": 0}
        self.got = {"peer": bytearray(), "drain": bytearray()}
        self.peer_open = self.feed_open = self.drain_open = True
        self.peer_gone = False  # it reset the connection, or closed
        self.peer_saw_end = False
        self.cut = False  # reset before its end came, while we were still there
        self.reader_gone = False  # and that was noticed
        self.started = True
        self.session.start()

    # ---- what the others do

    @precondition(lambda self: self.started and self.peer_open)
    @rule(size=SIZES)
    def the_peer_sends(self, size: int) -> None:
        start = self.offset["peer"]
        try:
            self.offset["peer"] += self.peer.send(NOISE[start : start + size])
        except (BlockingIOError, ConnectionError):
            pass

    @precondition(lambda self: self.started and self.feed_open)
    @rule(size=SIZES)
    def our_input_comes(self, size: int) -> None:
        start = self.offset["feed"]
        try:
            self.offset["feed"] += os.write(self.feed, OTHER[start : start + size])
        except (BlockingIOError, BrokenPipeError):
            pass

    @precondition(lambda self: self.started and not self.peer_gone)
    @rule(size=SIZES)
    def the_peer_reads(self, size: int) -> None:
        try:
            data = self.peer.recv(size)
        except (BlockingIOError, ConnectionError):
            return
        self.peer_saw_end |= not data
        self.got["peer"] += data

    @precondition(lambda self: self.started and self.drain_open)
    @rule(size=SIZES)
    def our_output_is_read(self, size: int) -> None:
        try:
            self.got["drain"] += os.read(self.drain, size)
        except BlockingIOError:
            pass

    @precondition(lambda self: self.started and self.peer_open)
    @rule(really=RARELY)
    def the_peer_ends(self, really: bool = True) -> None:
        if not really:
            return
        self.peer_open = False
        try:
            self.peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    @precondition(lambda self: self.started and self.feed_open)
    @rule(really=RARELY)
    def our_input_ends(self, really: bool = True) -> None:
        if not really:
            return
        self.feed_open = False
        os.close(self.feed)

    @precondition(lambda self: self.started and not self.peer_gone)
    @rule(linger=st.booleans(), really=RARELY)
    def the_peer_is_gone(self, linger: bool, really: bool = True) -> None:
        """Reset, or closed with whatever it has not read."""
        if not really:
            return
        if linger:
            self.cut = self.tcp and self.peer_open and not self.session.closed
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()
        self.peer_gone, self.peer_open = True, False

    @precondition(lambda self: self.started and self.drain_open)
    @rule(really=RARELY)
    def the_reader_of_our_output_goes(self, really: bool = True) -> None:
        if not really:
            return
        self.drain_open = False
        os.close(self.drain)

    @precondition(lambda self: self.started)
    @rule(call=st.sampled_from(CALLS), kinds=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=4))
    def faults_are_due(self, call: str, kinds: list[str]) -> None:
        self.faults.due[call].extend(kinds)

    @precondition(lambda self: self.started)
    @rule(
        rounds=st.integers(2, 12),
        size=LARGE,
        read=st.sampled_from([500_000, 500_000, 1000, 0]),
        faults=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(CALLS), st.sampled_from(FAULTS)), max_size=4),
    )
    def a_flow(self, rounds: int, size: int, read: int, faults: list[tuple[int, str, str]]) -> None:
        """Everybody does something, several times, with faults on the way."""
        for number in range(rounds):
            for when, call, kind in faults:
                if when == number:
                    self.faults.due[call].append(kind)
            if self.peer_open:
                self.the_peer_sends(size)
            if self.feed_open:
                self.our_input_comes(size)
            if not self.reader_gone:
                self.step()
            if read and not self.peer_gone:
                self.the_peer_reads(read)
            if read and self.drain_open:
                self.our_output_is_read(read)

    # ---- what we do

    def step(self) -> bool:
        try:
            return self.loop.turn()
        except OutputGone:
            assert not self.drain_open and not self.echo, "nobody but a reader that went may end it so"
            self.reader_gone = True
            self.session.close()
            return True

    @precondition(lambda self: self.started and not self.reader_gone)
    @rule(turns=st.integers(1, 8))
    def turns_of_the_loop(self, turns: int) -> None:
        for _ in range(turns):
            if self.reader_gone or not self.step():
                return

    @precondition(lambda self: self.started and not self.reader_gone)
    @rule(seconds=st.sampled_from([0.01, 0.3, 3.0]))
    def time_passes(self, seconds: float) -> None:
        for _ in range(10):
            if not self.reader_gone:
                self.step()  # whoever is ready comes before the timers
                self.loop.pass_time(seconds / 10)

    # ---- what holds

    @invariant()
    def what_arrives_is_a_beginning_of_what_was_sent(self) -> None:
        if not self.started:
            return
        assert NOISE.startswith(bytes(self.got["drain"]))
        assert len(self.got["drain"]) <= self.offset["peer"]
        assert (NOISE if self.echo else OTHER).startswith(bytes(self.got["peer"]))
        received, sent = self.session.totals
        assert received <= self.offset["peer"]
        assert sent >= len(self.got["peer"])
        closed = [event for event in self.events if isinstance(event, Closed)]
        assert len(closed) == self.session.closed
        if closed:
            assert (closed[0].received, closed[0].sent) == (received, sent)
            assert not self.loop.watched, "nobody is watched any more"
        for direction, total in ((Direction.RECEIVED, received), (Direction.SENT, sent)):
            told = [event for event in self.events if isinstance(event, Data) and event.direction is direction]
            if told:
                assert sum(event.size for event in told) == total
                assert all(a.offset + a.size == b.offset for a, b in pairwise(told))

    def teardown(self) -> None:
        """Without further faults it comes to an end: in order, if nobody was gone, and with every byte."""
        if not self.started:
            return
        try:
            self.settle()
        finally:
            os.splice = self.splice
            self.session.close()
            self.shared.close()
            self.peer.close()
            if self.sink is not None:
                self.sink.close()
            for fd, open in ((self.feed, self.feed_open), (self.drain, self.drain_open)):
                if open:
                    os.close(fd)
            os.close(self.stdin)
            os.close(self.stdout)

    def settle(self) -> None:
        for due in self.faults.due.values():
            due.clear()
        if self.feed_open:
            self.our_input_ends()
        awaited = (
            self.half_close and not self.echo and not self.faults.broken
        )  # the peer waits for our end before it says its own
        if self.peer_open and not awaited:
            self.the_peer_ends()
        spins, deadline = 0, time.monotonic() + 20
        while not self.session.closed:
            assert time.monotonic() < deadline, "it never ends"
            before = self.state()
            called = self.step()
            if not self.peer_gone:
                self.the_peer_reads(1 << 20)
            if self.peer_open and self.peer_saw_end:
                self.the_peer_ends()
            if self.drain_open:
                self.our_output_is_read(1 << 20)
            if not called:
                time.sleep(0.0002)  # the kernel's time: no clock of ours moves it
                self.loop.pass_time(0.05)
            spins = spins + 1 if called and self.state() == before else 0
            assert spins < 20, "it is called over and over, and nothing happens"
        while not self.peer_gone and not self.peer_saw_end:
            if not select.select([self.peer], [], [], 5)[0]:  # the kernel still sends what an echo left in its queue
                break
            self.the_peer_reads(1 << 20)
        if self.drain_open and not self.echo:
            while True:
                size = len(self.got["drain"])
                self.our_output_is_read(1 << 20)
                if len(self.got["drain"]) == size:
                    break
        failed = [event for event in self.events if isinstance(event, Failed | Lost)]
        assert bool(failed) <= self.session.failed
        if self.cut and not self.reader_gone:
            assert self.session.failed, "a connection that was cut is no success"
        if self.faults.broken:
            assert self.session.failed, "what was refused is no success"
        elif not self.peer_gone and not self.reader_gone:
            assert not self.session.failed, failed
            assert self.peer_saw_end
            if self.echo:
                assert len(self.got["peer"]) == self.offset["peer"]
            else:
                idle = any(
                    isinstance(event, Note) for event in self.events
                )  # the peer had ended: it was not waited for
                assert idle or len(self.got["peer"]) == self.offset["feed"], "the peer got all of our input"
                assert not self.drain_open or len(self.got["drain"]) == self.offset["peer"], "we got all of the peer's"
        if self.peer_gone and not self.session.failed and not self.reader_gone and not self.echo:
            # Nobody says that what the peer sent before it closed was lost: so it was not.
            assert not self.drain_open or len(self.got["drain"]) == self.session.totals[0]

    def state(self) -> tuple[object, ...]:
        lanes = tuple((lane.received, lane.sent, lane.state) for lane in self.session.relay.lanes)
        return lanes, dict.fromkeys(self.loop.watched), len(self.got["peer"]), len(self.got["drain"]), len(self.events)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.once
def test_many_conversations() -> None:
    run_state_machine_as_test(
        Conversation,
        settings=settings(
            max_examples=1000,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=[
                Phase.generate
            ],  # making a failure small takes minutes, for real sockets answer differently each time
        ),
    )
