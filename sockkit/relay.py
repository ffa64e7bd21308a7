"""The rules of moving bytes between two ends, without any I/O (sans-I/O).

A ``Lane`` is one direction: bytes are taken from its source and handed to its sink. It knows counts and a state, never
a byte and never a socket, so it does not matter to it how they are moved. A ``Relay`` is the one or two lanes of a
conversation. Whoever moves the bytes tells them what happened (``add``, ``take``, ``end``; ``ended``, ``broke``, ``reset``) and
asks what is wanted (``wants_input``, ``wants_output``, ``shutdown_due``, ``finished``).

The rules are those of OpenBSD's nc, in its order: an input that is over and a buffer that is empty end a lane; a full
buffer stops its source; a sink that is gone stops its source for good. And one more: an end of input is passed on (half
close), it is never the end of the other direction.

States of a lane::

    OPEN ──ended──▶ DRAINING ──sent the last byte──▶ FINISHED
      │                 │
      └───── broke ─────┴──────────────────────────▶ BROKEN
"""

from __future__ import annotations

from enum import Enum

from sockkit.events import Side


class State(Enum):
    """Where a lane is in its life."""

    OPEN = "open"
    """The source may still give, the sink still takes."""
    DRAINING = "draining"
    """The source has ended; what it gave is still on its way to the sink."""
    FINISHED = "finished"
    """The source has ended and the sink took everything."""
    BROKEN = "broken"
    """The sink is gone, or the source was cut: what is buffered will not arrive."""


class Lane:
    """One direction. All sizes are bytes, or messages where a lane keeps boundaries: it only needs them to add up.

    Attributes:
        source, sink: which sides the lane connects; both REMOTE for an echo.
        capacity: how much may be under way at once.
        received, sent: totals, never decreasing; ``received - sent`` is what is under way.
        state: see the module.
    """

    __slots__ = ("capacity", "received", "sent", "shut", "sink", "source", "state")

    def __init__(self, source: Side, sink: Side, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: a lane needs room for at least 1")
        self.source = source
        self.sink = sink
        self.capacity = capacity
        self.received = 0
        self.sent = 0
        self.state = State.OPEN
        self.shut = False

    def __repr__(self) -> str:
        return (
            f"<Lane {self.source.value}->{self.sink.value} {self.state.value}"
            f" received={self.received} sent={self.sent} of {self.capacity}>"
        )

    @property
    def buffered(self) -> int:
        """Received and not yet sent."""
        return self.received - self.sent

    @property
    def wants_input(self) -> bool:
        """True if the source should be read: it may still give, and there is room."""
        return self.state is State.OPEN and self.received - self.sent < self.capacity

    @property
    def wants_output(self) -> bool:
        """True if the sink should be written to."""
        return self.received > self.sent and self.state is not State.BROKEN

    @property
    def over(self) -> bool:
        """True if nothing will move here any more."""
        return self.state is State.FINISHED or self.state is State.BROKEN

    def add(self, size: int) -> None:
        """The source gave ``size``."""
        if self.state is not State.OPEN:
            raise ValueError(f"received {size} after the end: {self!r}")
        if not 0 <= size <= self.capacity - self.buffered:
            raise ValueError(f"received {size} without room: {self!r}")
        self.received += size

    def take(self, size: int) -> None:
        """The sink took ``size``."""
        if self.state is State.BROKEN or not 0 <= size <= self.buffered:
            raise ValueError(f"sent {size} that was not there: {self!r}")
        self.sent += size
        if self.state is State.DRAINING and self.sent == self.received:
            self.state = State.FINISHED

    def end(self) -> None:
        """The source said that it is over. Saying it again changes nothing."""
        if self.state is State.OPEN:
            self.state = State.DRAINING if self.received > self.sent else State.FINISHED

    def break_off(self) -> int:
        """The sink is gone, or what is under way was given up.

        Returns:
            how much is lost: received and never to be sent. 0 when the lane was over already.
        """
        if self.over:
            return 0
        self.state = State.BROKEN
        return self.buffered


class Relay:
    """The lanes of one conversation, and what follows from one for the other.

    Attributes:
        inbound: the lane whose source is the peer; never None.
        outbound: the lane whose source is ours; None for an echo or a discard, where nothing of ours is sent.
        half_close: pass an end of input on to the peer as a shutdown of our sending side.
        first: the side that ended first, None while nobody has.
    """

    __slots__ = ("first", "half_close", "inbound", "lanes", "outbound")

    def __init__(self, inbound: Lane, outbound: Lane | None = None, *, half_close: bool = True) -> None:
        self.inbound = inbound
        self.outbound = outbound
        self.lanes = (inbound,) if outbound is None else (inbound, outbound)
        self.half_close = half_close
        self.first: Side | None = None

    @classmethod
    def echo(cls, capacity: int) -> Relay:
        """What the peer sends goes back to it."""
        return cls(Lane(Side.REMOTE, Side.REMOTE, capacity))

    @classmethod
    def discard(cls, capacity: int) -> Relay:
        """What the peer sends is thrown away."""
        return cls(Lane(Side.REMOTE, Side.LOCAL, capacity))

    @classmethod
    def duplex(cls, capacity: int, *, half_close: bool = True) -> Relay:
        """Our input goes to the peer, the peer's to our output."""
        return cls(
            Lane(Side.REMOTE, Side.LOCAL, capacity), Lane(Side.LOCAL, Side.REMOTE, capacity), half_close=half_close
        )

    def ended(self, side: Side) -> None:
        """The input from ``side`` is over."""
        if self.first is None:
            self.first = side
        for lane in self.lanes:
            if lane.source is side:
                lane.end()

    def broke(self, side: Side) -> int:
        """``side`` takes nothing any more.

        Returns:
            how much will never arrive there.
        """
        if self.first is None:
            self.first = side
        return sum(lane.break_off() for lane in self.lanes if lane.sink is side)

    def reset(self) -> int:
        """The connection is gone, both ways. What the peer sent before can still reach our side.

        Returns:
            how much will never arrive at the peer.
        """
        lost = self.broke(Side.REMOTE)
        self.inbound.end()
        return lost

    def shutdown_due(self) -> bool:
        """True once: our sending side is to be shut down, since everything that was to be sent has been."""
        for lane in self.lanes:
            if lane.sink is Side.REMOTE and lane.state is State.FINISHED and not lane.shut:
                lane.shut = True
                return self.half_close
        return False

    @property
    def finished(self) -> bool:
        """True when nothing will move any more."""
        for lane in self.lanes:
            if lane.state is not State.FINISHED and lane.state is not State.BROKEN:
                return False
        return True
