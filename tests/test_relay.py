"""The relay, pure: every byte once and in order, whatever the chunks, however short the writes, wherever it ends.

``Ends`` plays the whole world around a relay: two sources, two sinks and what is under way, as real bytes. It moves them
only when the relay wants that, and tells it only what happened; so what arrives is judged by bytes, not by counts.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sockkit.events import Side
from sockkit.relay import Lane, Relay, State

LOCAL, REMOTE = Side.LOCAL, Side.REMOTE
CAPACITY = st.integers(1, 12)
KINDS: dict[str, Callable[[int, bool], Relay]] = {
    "echo": lambda capacity, half_close: Relay.echo(capacity),
    "discard": lambda capacity, half_close: Relay.discard(capacity),
    "duplex": lambda capacity, half_close: Relay.duplex(capacity, half_close=half_close),
    "duplex of two sizes": lambda capacity, half_close: Relay(
        Lane(REMOTE, LOCAL, capacity), Lane(LOCAL, REMOTE, capacity + 3), half_close=half_close
    ),
}


class Ends:
    """What surrounds a relay: for each lane the bytes that its source holds, those under way, those that arrived."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.given = {lane: bytearray() for lane in relay.lanes}  # all that the source ever had
        self.waiting = {lane: bytearray() for lane in relay.lanes}
        self.under_way = {lane: bytearray() for lane in relay.lanes}
        self.arrived = {lane: bytearray() for lane in relay.lanes}
        self.lost = 0
        self.shutdowns = 0

    def offer(self, lane: Lane, data: bytes) -> None:
        self.given[lane] += data
        self.waiting[lane] += data

    def read(self, lane: Lane, most: int) -> int:
        """The source is read, as a short read of at most ``most``."""
        assert lane.wants_input
        size = min(most, lane.capacity - lane.buffered, len(self.waiting[lane]))
        if size:
            lane.add(size)
            self.under_way[lane] += self.waiting[lane][:size]
            del self.waiting[lane][:size]
        return size

    def write(self, lane: Lane, most: int) -> int:
        """The sink is written to, as a short write of at most ``most``."""
        assert lane.wants_output
        size = min(most, len(self.under_way[lane]))
        lane.take(size)
        self.arrived[lane] += self.under_way[lane][:size]
        del self.under_way[lane][:size]
        return size

    def ask_shutdown(self) -> bool:
        due = self.relay.shutdown_due()
        self.shutdowns += due
        return due

    def check(self) -> None:
        """What holds at any moment."""
        for lane in self.relay.lanes:
            arrived, under_way, waiting = self.arrived[lane], self.under_way[lane], self.waiting[lane]
            assert self.given[lane].startswith(arrived)
            if lane.state is not State.BROKEN:
                assert arrived + under_way + waiting == self.given[lane], "every byte once, in order"
                assert lane.buffered == len(under_way)
                assert lane.sent == len(arrived)
                assert lane.wants_output == bool(under_way)
            assert lane.received - lane.sent <= lane.capacity
            assert lane.wants_input == (lane.state is State.OPEN and len(under_way) < lane.capacity)
            assert lane.over == (lane.state in (State.FINISHED, State.BROKEN))
            if lane.state is State.FINISHED:
                assert not under_way
            if lane.over:
                assert not lane.wants_input
                assert not lane.wants_output
        assert self.relay.finished == all(lane.over for lane in self.relay.lanes)
        assert self.shutdowns <= 1


def relay_of(kind: str, capacity: int, half_close: bool = True) -> Relay:
    return KINDS[kind](capacity, half_close)


# ---- whole conversations


@given(
    kind=st.sampled_from(sorted(KINDS)),
    capacity=CAPACITY,
    half_close=st.booleans(),
    contents=st.tuples(st.binary(max_size=60), st.binary(max_size=60)),
    steps=st.randoms(use_true_random=False),
)
def test_a_whole_conversation_arrives(
    kind: str, capacity: int, half_close: bool, contents: tuple[bytes, bytes], steps: object
) -> None:
    """Any interleaving of short reads and short writes, until nothing is left: all bytes arrive, and it ends in order."""
    import random

    assert isinstance(steps, random.Random)
    relay = relay_of(kind, capacity, half_close)
    ends = Ends(relay)
    for lane, content in zip(relay.lanes, contents, strict=False):
        ends.offer(lane, content)
    for _ in range(2000):
        if relay.finished:
            break
        moves: list[Callable[[], object]] = []
        for lane in relay.lanes:
            if lane.wants_input and ends.waiting[lane]:
                moves.append(lambda lane=lane: ends.read(lane, steps.randint(1, 7)))  # type: ignore[misc]
            elif lane.wants_input:
                moves.append(lambda lane=lane: relay.ended(lane.source))  # type: ignore[misc]
            if lane.wants_output:
                moves.append(lambda lane=lane: ends.write(lane, steps.randint(1, 7)))  # type: ignore[misc]
        assert moves, f"stuck: {relay.lanes}"
        steps.choice(moves)()
        ends.ask_shutdown()
        ends.check()
    assert relay.finished
    assert all(lane.state is State.FINISHED for lane in relay.lanes)
    for lane, content in zip(relay.lanes, contents, strict=False):
        assert ends.arrived[lane] == content
    sends = any(lane.sink is REMOTE for lane in relay.lanes)
    assert ends.shutdowns == (relay.half_close and sends)


@given(capacity=CAPACITY, content=st.binary(min_size=1, max_size=80))
def test_a_sink_that_takes_nothing_stops_its_source(capacity: int, content: bytes) -> None:
    relay = Relay.duplex(capacity)
    ends = Ends(relay)
    ends.offer(relay.inbound, content)
    while relay.inbound.wants_input and ends.read(relay.inbound, 5):
        pass
    assert relay.inbound.buffered == min(capacity, len(content))
    assert relay.inbound.wants_input == (len(content) < capacity)
    assert relay.outbound is not None and relay.outbound.wants_input, "the other direction goes on"


# ---- any history


class Conversation(RuleBasedStateMachine):
    """Data, ends, breaks and resets in any order, also such as no loop would produce."""

    ends: Ends

    @initialize(kind=st.sampled_from(sorted(KINDS)), capacity=CAPACITY, half_close=st.booleans())
    def begin(self, kind: str, capacity: int, half_close: bool) -> None:
        self.ends = Ends(relay_of(kind, capacity, half_close))
        self.first: Side | None = None
        self.over: dict[Lane, State] = {}

    @property
    def relay(self) -> Relay:
        return self.ends.relay

    def lane(self, which: int) -> Lane:
        return self.relay.lanes[which % len(self.relay.lanes)]

    @rule(which=st.integers(0, 1), data=st.binary(min_size=1, max_size=20))
    def offer(self, which: int, data: bytes) -> None:
        self.ends.offer(self.lane(which), data)

    @rule(which=st.integers(0, 1), most=st.integers(0, 9))
    def read(self, which: int, most: int) -> None:
        lane = self.lane(which)
        if lane.wants_input:
            self.ends.read(lane, most)

    @rule(which=st.integers(0, 1), most=st.integers(0, 9))
    def write(self, which: int, most: int) -> None:
        lane = self.lane(which)
        if lane.wants_output:
            self.ends.write(lane, most)

    @rule(side=st.sampled_from(Side))
    def end(self, side: Side) -> None:
        before = {lane: lane.state for lane in self.relay.lanes}
        self.relay.ended(side)
        self.first = self.first or side
        for lane in self.relay.lanes:
            if lane.source is not side or before[lane] is not State.OPEN:
                assert lane.state is before[lane], "an end is the end of its own direction alone, and once"
            else:
                assert lane.state is (State.DRAINING if self.ends.under_way[lane] else State.FINISHED)

    @rule(side=st.sampled_from(Side))
    def break_off(self, side: Side) -> None:
        expected = sum(
            len(self.ends.under_way[lane]) for lane in self.relay.lanes if lane.sink is side and not lane.over
        )
        before = {lane: lane.state for lane in self.relay.lanes}
        assert self.relay.broke(side) == expected
        self.first = self.first or side
        for lane in self.relay.lanes:
            assert lane.state is before[lane] or (lane.sink is side and lane.state is State.BROKEN)
        assert self.relay.broke(side) == 0, "what is lost is told once"

    @rule()
    def reset(self) -> None:
        inbound = self.relay.inbound
        expected = sum(
            len(self.ends.under_way[lane]) for lane in self.relay.lanes if lane.sink is REMOTE and not lane.over
        )
        assert self.relay.reset() == expected
        self.first = self.first or REMOTE
        assert not inbound.wants_input
        if inbound.sink is LOCAL:
            assert inbound.state is not State.BROKEN or not inbound.wants_output
            assert inbound.wants_output == bool(self.ends.under_way[inbound]) or inbound.state is State.BROKEN

    @rule()
    def ask_shutdown(self) -> None:
        relay = self.relay
        ready = [lane for lane in relay.lanes if lane.sink is REMOTE and lane.state is State.FINISHED and not lane.shut]
        assert self.ends.ask_shutdown() == (bool(ready) and relay.half_close)
        assert not relay.shutdown_due(), "it is due once"

    @precondition(lambda self: any(lane.over for lane in self.relay.lanes))
    @rule(which=st.integers(0, 1), size=st.integers(1, 3))
    def nothing_moves_afterwards(self, which: int, size: int) -> None:
        lane = self.lane(which)
        if lane.over:
            before = (lane.received, lane.sent, lane.state)
            with pytest.raises(ValueError, match="after the end"):
                lane.add(size)
            with pytest.raises(ValueError, match="not there"):
                lane.take(size)
            assert (lane.received, lane.sent, lane.state) == before

    @rule(which=st.integers(0, 1), size=st.integers(1, 3))
    def more_than_there_is(self, which: int, size: int) -> None:
        lane = self.lane(which)
        before = (lane.received, lane.sent, lane.state)
        with pytest.raises(ValueError, match="received"):
            lane.add(lane.capacity - lane.buffered + size)
        with pytest.raises(ValueError, match="not there"):
            lane.take(lane.buffered + size)
        with pytest.raises(ValueError, match="received"):
            lane.add(-size)
        with pytest.raises(ValueError, match="not there"):
            lane.take(-size)
        assert (lane.received, lane.sent, lane.state) == before

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "ends"):
            self.ends.check()
            assert self.relay.first is self.first
            for lane, state in self.over.items():
                assert lane.state is state, "over is over"
            self.over.update({lane: lane.state for lane in self.relay.lanes if lane.over})

    def teardown(self) -> None:
        """Whatever happened, it can be brought to an end: nothing waits for ever."""
        if not hasattr(self, "ends"):
            return
        for side in Side:
            self.relay.ended(side)
        for lane in self.relay.lanes:
            while lane.wants_output:
                self.ends.write(lane, 3)
        assert self.relay.finished
        self.ends.check()


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# ---- single rules, by name


def test_an_end_of_input_is_not_the_end_of_the_other_direction() -> None:
    relay = Relay.duplex(10)
    assert relay.outbound is not None
    relay.ended(LOCAL)
    assert relay.outbound.state is State.FINISHED
    assert relay.inbound.wants_input
    assert not relay.finished
    assert relay.first is LOCAL


def test_shutdown_waits_for_the_last_byte() -> None:
    relay = Relay.duplex(10)
    assert relay.outbound is not None
    relay.outbound.add(5)
    relay.ended(LOCAL)
    assert relay.outbound.state is State.DRAINING
    assert not relay.shutdown_due()
    relay.outbound.take(4)
    assert not relay.shutdown_due()
    relay.outbound.take(1)
    assert relay.shutdown_due()
    assert not relay.shutdown_due()


def test_no_shutdown_without_half_close() -> None:
    relay = Relay.duplex(10, half_close=False)
    relay.ended(LOCAL)
    assert not relay.shutdown_due()


def test_a_discard_has_nothing_to_shut_down() -> None:
    relay = Relay.discard(10)
    relay.ended(REMOTE)
    assert not relay.shutdown_due()
    assert relay.finished
    assert all(lane.state is State.FINISHED for lane in relay.lanes)


def test_an_echo_that_breaks_reads_no_more() -> None:
    relay = Relay.echo(10)
    relay.inbound.add(7)
    relay.inbound.take(3)
    assert relay.broke(REMOTE) == 4
    assert relay.finished
    assert not all(lane.state is State.FINISHED for lane in relay.lanes)
    assert not relay.inbound.wants_input


def test_after_a_reset_what_was_received_still_reaches_our_side() -> None:
    relay = Relay.duplex(10)
    assert relay.outbound is not None
    relay.inbound.add(6)
    relay.outbound.add(4)
    assert relay.reset() == 4
    assert relay.inbound.wants_output
    assert not relay.inbound.wants_input
    relay.inbound.take(6)
    assert relay.inbound.state is State.FINISHED
    assert relay.finished
    assert not all(lane.state is State.FINISHED for lane in relay.lanes)


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_lane_without_room_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Lane(REMOTE, LOCAL, capacity)


def test_a_lane_says_what_it_is() -> None:
    lane = Lane(REMOTE, LOCAL, 10)
    lane.add(3)
    lane.take(1)
    assert repr(lane) == "<Lane remote->local open received=3 sent=1 of 10>"
