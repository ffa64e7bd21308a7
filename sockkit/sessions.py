"""One conversation: a socket with its carriers, its relay, and whoever looks.

A ``Session`` watches what the relay wants watched, lets its carriers move what is there, passes ends of input on, and says
what happened. Where nobody looks, nothing is made to be looked at: an echo of a small message is two system calls and two
additions, and a large flow is not even seen: the kernel moves it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from socket import SOCK_DGRAM, socket
from typing import TYPE_CHECKING, NamedTuple

from sockkit import carriers, syscalls
from sockkit.carriers import (
    BUFFER_SIZE,
    BURST,
    CAPACITY,
    MESSAGE_SIZE,
    Carrier,
    Cutter,
    Fed,
    Gate,
    Look,
    Messages,
    Scatter,
    Secured,
    Shared,
    to_crlf,
)
from sockkit.errors import OutputGone, SystemRefusal, describe, errno_name
from sockkit.events import (
    Closed,
    Data,
    Direction,
    Disturbed,
    Ended,
    Env,
    Failed,
    Handshake,
    Interest,
    Level,
    Lost,
    Note,
    Opened,
    Side,
    Urgent,
)
from sockkit.loop import ERROR, HANGUP, READ, URGENT, WRITE, Handler, Loop, Silence, Timer, hung_up
from sockkit.relay import Lane, Relay, State
from sockkit.stdio import LocalEnd
from sockkit.text import TerminalEscaper

if TYPE_CHECKING:
    from sockkit.carriers import AnyCarrier, Transform
    from sockkit.decoders import Decoder
    from sockkit.faults import Faults
    from sockkit.nvt import Nvt
    from sockkit.rights import Rights
    from sockkit.tls import Credentials

RAW = 3
ICMP = frozenset((1, 58))
"""IPPROTO_ICMP and IPPROTO_ICMPV6, whose datagrams are packets with a form."""
AFTER_END = 1.0
"""Seconds that an idle, still open input of ours is waited for after the peer has ended."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds from the connection to the end of TLS's handshake."""
REPLY_WAIT = 5.0
"""Seconds without a reply after which a conversation by datagrams is over."""
TAKING = 2.0
"""Seconds in which a program, or a server, must take something of what a peer that is gone has left for it, and in which a
peer may go on sending what nobody takes."""
QUIET = 0.1
"""Seconds after which a peer that sends nothing is not waited for any more."""

Ends = Callable[["Session", "Handshake | None"], tuple[LocalEnd, LocalEnd]]
"""Makes our source and sink when the conversation begins, TLS's handshake being over. Raises SystemRefusal."""


class Settings(NamedTuple):
    """How sessions behave.

    Attributes:
        half_close: pass the end of our input on as a FIN.
        idle_timeout: seconds in which something must move, or None.
        reply_wait: see ``REPLY_WAIT``.
        after_end: see ``AFTER_END``.
        lines: on messages, a newline separates and is not sent.
        raw: payload goes to a terminal as it is.
        crlf: LF becomes CRLF on its way to the peer.
        oob: bytes to send out of band before anything else.
        message: bytes of our input that become one message at most.
        asked: options of the socket were set: some make the kernel say more beside a message.
        exact: … and never fewer, but for the last.
        handshake_timeout: seconds from the connection to the end of TLS's handshake.
        send_fds: descriptors that go with the first bytes (SCM_RIGHTS).
        recv_fds: those that come are taken and told.
        faults: how to misbehave on purpose.
        copy: every byte goes through a buffer of ours, also where the kernel could move it.
        reconnect: when the peer is gone, what it did not take is for the next connection.
        send_only: what is received goes nowhere, and once the peer's kernel has all that was to be sent, it is over.
        telnet: what is negotiated is refused and taken out (RFC 854).
    """

    half_close: bool = True
    idle_timeout: float | None = None
    reply_wait: float = REPLY_WAIT
    after_end: float = AFTER_END
    lines: bool = False
    raw: bool = False
    crlf: bool = False
    oob: bytes = b""
    message: int = MESSAGE_SIZE
    exact: bool = False
    handshake_timeout: float = HANDSHAKE_TIMEOUT
    asked: bool = False
    copy: bool = False
    send_only: bool = False
    telnet: bool = False
    send_fds: tuple[int, ...] = ()
    recv_fds: bool = False
    faults: Faults | None = None
    reconnect: bool = False


class Session:
    """One conversation over a connected socket.

    Attributes:
        number: counts the conversations of a run, from 1.
        failed: something was refused, cut or lost: exit status 1.
        begun: bytes may pass. With TLS that is so once the handshake is over: before, it is no conversation yet.
        peer_gone: the peer has ended, or its connection is broken.
    """

    # What most sessions never change costs none of them anything.
    failed = False
    begun = False
    closed = False
    peer_gone = False
    error: Exception | None = None
    via: str | None = None
    outbound: AnyCarrier | None = None
    _rights: Rights | None = None
    _input_ended = False
    _hangup = False
    _mask = -1
    _pause = 0.001
    _dropped_before = 0
    _grace: Silence | Timer | None = None
    _idle: Silence | None = None
    _reply: Silence | None = None
    _escaper: TerminalEscaper | None = None
    _echo: Handler | None = None
    _secured: Secured | None = None
    _handshake: Handshake | None = None
    _admit: Callable[[Session], bool] | None = None
    _nvt: Nvt | None = None
    _between: Secured | Nvt | None = None
    """What the carriers read from and write to instead of the socket, and that may itself have something to send."""
    _gate: Gate | Scatter | None = None
    _onward: Gate | None = None
    _deaf = False
    _leaving = _all_sent = _heard_at = 0.0
    _heard = -1
    _taken: tuple[int, str] | None = None
    """How much a sink that is ``gone`` had read until then, and its name."""
    _unread = False

    def __init__(
        self,
        loop: Loop,
        number: int,
        sock: socket,
        relay: Relay,
        shared: Shared,
        settings: Settings,
        *,
        kind: tuple[int, int],
        peer: str,
        local: str,
        connected: bool,
        messages: bool,
        source: LocalEnd | None = None,
        sink: LocalEnd | None = None,
        on_close: Callable[[Session], None],
        own: bool = True,
        accepted: bool = False,
        half_close: bool = True,
        destination: syscalls.Address = None,
        credentials: Credentials | None = None,
        admit: Callable[[Session], bool] | None = None,
        ends: Ends | None = None,
        via: str | None = None,
        before: Session | None = None,
    ) -> None:
        """
        Args:
            shared: what all sessions of a loop share.
            kind: family and type of the socket, without flags.
            connected: the socket has a connection that ends (a stream, a SEQPACKET); datagrams have none.
            messages: the socket keeps boundaries.
            source, sink: our ends; a relay that needs one of them must get it.
            on_close: called once, when the session is over.
            own: the socket is ours, to be closed.
            accepted: the peer came to us.
            half_close: an end of ours reaches the peer, which can still answer; else replies are waited for, as with datagrams.
            credentials: speak TLS: plain bytes on our side, records on the socket.
            admit: asked when TLS's handshake is over. False: the conversation waits, unwatched, until ``admitted`` is called.
            before: whose connection is gone: what that did not take of our input goes first.
            destination: where every message is sent to, where the socket cannot be connected.
            ends: makes our ends, and the relay with them a duplex one, where they are not there before the conversation is.
            via: the proxy through which the peer is reached.
        """
        self.loop = loop
        self.env: Env = loop.env
        self.number = number
        self.sock = sock
        self.kind = kind
        self.fd = sock.fileno()
        self.relay = relay
        self.shared = shared
        self.settings = settings
        self.peer = peer
        self.local = local
        self.connected = connected
        self.source = source
        self.sink = sink
        self.on_close = on_close
        self.own = own
        self.accepted = accepted
        self.half_close = connected and half_close
        self.destination = destination
        self._ends = ends
        if admit is not None:
            self._admit = admit
        if via is not None:
            self.via = via
        self._before = before
        self._opened = self.env.clock()
        if credentials is not None:
            receive, send = syscalls.receiver(self.env, sock), syscalls.sender(self.env, sock)
            self._secured = self._between = Secured(credentials.machine(), receive, send, shared.room)
        if not connected:
            self._dropped_before = syscalls.datagrams_dropped(self.env, sock) or 0
        self._handler: Handler = self.on_socket
        self.inbound: AnyCarrier
        self._make_carriers(messages)

    def _make_carriers(self, messages: bool) -> None:
        env, sock, relay, settings = self.env, self.sock, self.relay, self.settings
        read: syscalls.Read
        send: syscalls.Write
        if self._secured is not None:
            read, send = self._secured.read, self._secured.write
        else:
            read = syscalls.message_receiver(env, sock) if messages else syscalls.receiver(env, sock)
            send = syscalls.sender(env, sock, self.destination)
        if settings.telnet:
            from sockkit.nvt import Nvt

            self._nvt = self._between = Nvt(env, self.number, read, send, self._secured)
            read, send = self._nvt.read, self._nvt.write
        beside = None
        many = self.destination is not None and self.kind[1] == SOCK_DGRAM
        if messages and syscalls.has_beside(env, sock, settings.asked or many):
            beside = syscalls.Beside(env, sock, lambda text: self._note(Level.INFO, text), senders=many)
            read = beside.receive
        if settings.send_fds or settings.recv_fds:
            from sockkit.rights import Rights

            self._rights = Rights(env, self.number, sock, settings.send_fds, taken=settings.recv_fds)
            read, send = self._rights.reader(read, messages=messages), self._rights.writer(send)
        if settings.faults is not None:
            send = self._make_gate(settings.faults, send, messages)
        if relay.inbound.sink is Side.REMOTE:
            write = send
        elif self.sink is not None and self.sink.write is not None:
            write = self.sink.write
            if settings.faults is not None and self.sink.finish is not None and self.sink.fd >= 0 and not messages:
                onward = settings.faults._replace(close_after=None, half_close=False)
                self._onward = Gate(self.loop, onward, write, self._on_gate, self._on_limit)
                write = self._onward.write
        else:
            write = len  # a discard takes everything at once
        echo = relay.inbound.sink is Side.REMOTE
        inbound: Carrier | Messages
        outbound: Carrier | Messages | Fed | None = None
        if messages:
            inbound = Messages(self, relay.inbound, read, write, limit=BUFFER_SIZE, message_sink=echo)
            inbound.newline = b"\n" if settings.lines and self.sink else b""
        else:
            inbound = Carrier(self, relay.inbound, read, write)
        decode = decoder_of(sock, self.kind) if messages else None
        if self.sink is not None and self.sink.terminal and not settings.raw:
            escaper = TerminalEscaper()
            if decode is not None:
                inbound.transform = line_of(decode)
            elif messages:
                inbound.transform = escaper.whole
            else:
                self._escaper = escaper
                inbound.transform = escaper.feed
        if relay.outbound is not None:
            outbound = self._make_outbound(relay.outbound, send, messages=messages)
        observed = env.interest & (Interest.DATA | Interest.CALLS)
        if observed & Interest.DATA:
            inbound.told_received = self._teller(Direction.RECEIVED, messages, decode, beside)
            sending = outbound or (inbound if echo else None)
            if sending is not None:
                sending.told_sent = self._teller(Direction.SENT, messages, decode)
        if settings.faults is not None:
            self._spoil(settings.faults, outbound or inbound, inbound)
            if isinstance(inbound, Carrier) and self._onward is not None:
                inbound.gate = self._onward
        for carrier in (inbound, outbound):
            if isinstance(carrier, Carrier):
                carrier.bulk_from = self._bulk_from(carrier)
        bare = not observed and self._between is None and self._rights is None and settings.faults is None
        if echo and bare and isinstance(inbound, Carrier) and sock.gettimeout() == 0:
            self._handler = self._echo = carriers.echo(inbound, sock, self.on_socket)
        self.inbound, self.outbound = inbound, outbound

    def _make_outbound(self, lane: Lane, send: syscalls.Write, *, messages: bool) -> Carrier | Messages | Fed:
        """What takes our input to the peer."""
        assert self.source is not None and self.source.read is not None
        outbound: Carrier | Messages
        if messages:
            limit, cutter = cutting(self.settings)
            outbound = Messages(self, lane, self.source.read, send, limit=limit, message_sink=True)
            outbound.cutter = cutter
        else:
            outbound = Carrier(self, lane, self.source.read, send)
        if self.settings.crlf:
            outbound.transform = to_crlf()
        return outbound

    # ---- misbehaving on purpose

    def _make_gate(self, faults: Faults, send: syscalls.Write, messages: bool) -> syscalls.Write:
        """What everything that is sent passes, for the faults of its kind."""
        from sockkit.faults import Fates

        gate: Gate | Scatter
        if messages:
            fates = Fates(faults, faults.random(self.number), self._tell_fault)
            gate = Scatter(self.loop, faults.delay, fates, send, self._on_gate)
        else:
            gate = Gate(self.loop, faults, send, self._on_gate, self._on_limit)
        self._gate = gate
        return gate.write

    def _spoil(self, faults: Faults, sending: Carrier | Messages | Fed, inbound: Carrier | Messages) -> None:
        from sockkit.faults import corrupter

        if sending.lane.sink is Side.REMOTE:
            sending.gate = self._gate
            if faults.corrupt:
                spoil = corrupter(faults.corrupt, faults.random(-self.number), lambda n: self._tell_fault("corrupt", n))
                spoilt = inbound if isinstance(sending, Fed) else sending  # what many get is spoilt where it comes in
                before = spoilt.transform
                spoilt.transform = spoil if before is None else lambda data: spoil(before(data))
        self._deaf = faults.never_read

    def _tell_fault(self, fault: str, size: int) -> None:
        self.env.observer(Disturbed(self.env.clock(), self.number, fault, size))

    def _on_gate(self) -> None:
        """Something may pass again."""
        if not self.closed and self.outbound is not None and self.outbound.waiting:
            self.outbound.drain()
        if not self.closed:
            self.inbound.drain()
            self.update()

    def _on_limit(self) -> None:
        """``close-after`` is reached, or our direction was to end at once."""
        faults, gate = self.settings.faults, self._gate
        if self.closed or faults is None or gate is None:
            return
        if not faults.half_close:
            self._tell_fault("close-after", 0)
            self._give_up()
            self.close()
            return
        self._tell_fault("half-close", 0)
        gate.end()
        gate.closed = False
        sending = self.outbound or self.inbound
        sending.told_sent = None
        sending.lane.shut = True
        self._shutdown()
        self._on_gate()

    def _bulk_from(self, carrier: Carrier) -> int | None:
        """From which byte on the kernel may move a large flow unseen; None: never."""
        special = self._between is not None or self._rights is not None
        if not syscalls.SPLICE or self.settings.copy or special:
            return None
        if carrier.transform is not None or carrier.gate is not None:
            return None
        seen = self.env.interest & Interest.PAYLOAD and (carrier.told_received or carrier.told_sent)
        return self.env.looked if seen else 0

    def splice(self, carrier: Carrier) -> None:
        """The flow is large, and nobody looks into it: let the kernel move it, if it can between these two ends."""
        carrier.bulk_from, bulk_from = None, carrier.bulk_from
        source = self._descriptor(carrier.lane.source, self.source)
        sink = self._descriptor(carrier.lane.sink, self.sink)
        twin = (
            None
            if source is None or sink is None
            else carriers.twin(carrier, self.env, source, sink, segments=self._has_fin)
        )
        if twin is not None:
            if self.own and syscalls.is_blocking(self.sock):
                syscalls.not_blocking(self.env, self.sock)
            carrier.bulk_from = bulk_from
            self.exchange(carrier, twin)

    def _descriptor(self, side: Side, end: LocalEnd | None) -> int | None:
        """What splice(2) may be given for a side; None where it could block: a lent socket knows no other way not to."""
        if side is Side.REMOTE:
            return self.fd if self.own or not syscalls.is_blocking(self.sock) else None
        if end is None or (end.socket and os.get_blocking(end.fd)):
            return None
        return end.fd

    def exchange(self, carrier: AnyCarrier, other: AnyCarrier) -> None:
        """Another carrier takes over a lane of ours."""
        if carrier is not self.inbound:
            self.outbound = other
            return
        self.inbound = other
        if self._echo is not None:
            self._handler = self._echo if isinstance(other, Carrier) else self.on_socket
            if self._mask != -1:
                self.loop.watch(self.fd, self._mask, self._handler)

    def _teller(
        self, direction: Direction, message: bool, decode: Decoder | None, beside: syscalls.Beside | None = None
    ) -> Look:
        env, number, observer, clock = self.env, self.number, self.env.observer, self.env.clock
        limit = env.preview if env.interest & Interest.PAYLOAD else -1
        received = direction is Direction.RECEIVED

        def tell(offset: int, size: int, chunk: memoryview | bytes | None) -> None:
            payload = bytes(chunk[:limit]) if limit >= 0 and chunk is not None else None
            meaning = (
                decode(bytes(chunk), received) if decode is not None and limit >= 0 and chunk is not None else None
            )
            said = beside.text if beside is not None else None
            observer(Data(clock(), number, direction, offset, size, payload, message, said, meaning))

        return tell

    # ---- life

    def start(self) -> None:
        """Say that it is open, and begin to watch."""
        self.env.observer(Opened(self._opened, self.number, self.peer, self.local, *self.kind, self.accepted, self.via))
        if self._secured is not None:
            self._begin_handshake(self._secured)
            return
        self._begin()

    def _begin(self, handshake: Handshake | None = None) -> None:
        self.begun = True
        if self._ends is not None:
            try:
                self.source, self.sink = self._ends(self, handshake)
            except SystemRefusal as refusal:
                self.fail(refusal.operation, refusal.error, refusal.hint)
                return
            self.relay = Relay.duplex(CAPACITY, half_close=self.settings.half_close)
            self._make_carriers(False)
        faults = self.settings.faults
        if faults is not None:
            from sockkit.faults import words

            self._tell_fault(words(faults), 0)
            if faults.half_close and faults.close_after is None:
                self._on_limit()
        if self.settings.oob:
            self._send_urgent(self.settings.oob)
        if self.settings.idle_timeout is not None:
            self._watch_idleness(self.settings.idle_timeout)
        if self._before is not None:
            self._go_on_from(self._before)
        if not self.closed:
            self.update()

    def _go_on_from(self, before: Session) -> None:
        """What was taken from our input and not by the connection before; and if that was all, its end."""
        self._before = None
        if not isinstance(self.outbound, Carrier):
            return
        if before.kept:
            self.outbound.lane.add(len(before.kept))
            self.outbound.keep(before.kept)
        if before.input_over:
            self.source_ended(self.outbound)

    def _begin_handshake(self, secured: Secured) -> None:
        """TLS comes first: until it is over nothing of ours is read, and so nothing is sent."""
        limit = self.settings.handshake_timeout

        def over() -> None:
            self.fail(operation, TimeoutError(errno.ETIMEDOUT, f"timed out after {limit:g} s"))

        def go_on(mask: int) -> None:
            try:
                done = secured.handshake()
            except OSError as error:
                self.fail(operation, error)
                return
            if not done:
                self._mask = READ | WRITE if secured.wants_output else READ
                self.loop.watch(self.fd, self._mask, go_on)
                return
            timer.cancel()
            self._grace = None
            self._forget_all()
            self.half_close = self.half_close and secured.machine.half_close
            told = secured.machine.told(self.env.clock(), self.number)
            self.env.observer(told)
            self._handshake = told
            if self._admit is None or self._admit(self):
                self._begin(told)

        operation = f"TLS handshake with {self.peer}"
        timer = self._grace = self.loop.later(limit, over)
        go_on(READ)

    def admitted(self) -> None:
        """The handshake is over, and now the conversation may begin."""
        self._begin(self._handshake)

    def _send_urgent(self, data: bytes) -> None:
        try:
            sent = syscalls.send_urgent(self.env, self.sock, data)
        except OSError as error:
            self.fail("send out-of-band data", error)
            return
        self.env.observer(Urgent(self.env.clock(), self.number, Direction.SENT, data[:sent]))

    def update(self) -> None:
        """Watch what the relay wants watched; end when it wants nothing any more."""
        between = self._between
        while between is not None and between.more and self.inbound.hungry and not self.closed:
            self.inbound.fill()
        if self.closed:
            return
        relay = self.relay
        owing = between is not None and between.wants_output
        if not owing and relay.shutdown_due():
            self._shutdown()
            if self.closed:
                return
        lane = relay.inbound
        leaving = False
        if lane.state is State.FINISHED and not lane.shut and self.sink is not None and self.sink.finish is not None:
            leaving = self.sink.gone is not None and self._leaves_some(self.sink)
            if not leaving and self.sink is not None:
                self._finish_sink(self.sink)
        if self._taken is not None and not lane.over and relay.outbound is not None and relay.outbound.over:
            self._linger(lane)
        if relay.finished and not leaving and (between is None or not between.wants_output):
            self._finish()
            return
        loop, inbound, outbound = self.loop, self.inbound, self.outbound
        hungry = inbound.hungry and not self._deaf
        mask = READ | URGENT if hungry and self.connected else READ if hungry else 0
        sending = outbound or inbound
        if (sending.waiting and sending.lane.sink is Side.REMOTE) or (between is not None and between.wants_output):
            mask |= WRITE
        if mask or not self._hangup:
            if mask != self._mask:
                loop.watch(self.fd, mask, self._handler)
                self._mask = mask
        elif self._mask != -1:
            loop.forget(self.fd)
            self._mask = -1
        if outbound is not None:
            assert self.source is not None
            if outbound.hungry:
                loop.watch(self.source.fd, READ, self.on_input)
            else:
                loop.forget(self.source.fd)
        if self.sink is not None:
            if inbound.waiting:
                loop.watch(self.sink.fd, WRITE, self.on_output)
            elif not self.sink.always:
                loop.watch(self.sink.fd, 0, self.on_output)  # to learn that its reader went away
            else:
                loop.forget(self.sink.fd)

    def _finish_sink(self, sink: LocalEnd) -> None:
        """No more will be written to it; its descriptor is not ours any more."""
        assert sink.finish is not None
        self.relay.inbound.shut = True
        self.loop.forget(sink.fd)
        self.sink = None
        sink.finish()

    def on_socket(self, mask: int) -> None:
        """The socket is ready."""
        if mask == READ and self.inbound.fill():
            if self._reply is not None or self._grace is not None or self._between is not None:
                self.update()
            return
        if mask & URGENT:
            self._receive_urgent()
        if mask & (READ | HANGUP | ERROR):
            for _ in range(BURST if mask & WRITE and self._counts_messages else 1):
                if self.inbound.hungry and not self.closed and not self._deaf:
                    self.inbound.fill()
        if self.closed:
            return
        if mask & (WRITE | HANGUP | ERROR):
            outbound = self.outbound or self.inbound
            if self._between is not None:
                self._flush(self._between, outbound)
            if outbound.lane.sink is Side.REMOTE and outbound.waiting:
                outbound.drain()
        if mask & (HANGUP | ERROR) and not self.closed and not self.inbound.hungry:
            self._on_hangup()
        self.update()

    def _flush(self, between: Secured | Nvt, carrier: AnyCarrier) -> None:
        try:
            between.flush()
        except OSError as error:
            self.sink_failed(carrier, error)

    def _on_hangup(self) -> None:
        """The peer has ended already, and now the connection is gone in our direction too."""
        self._hangup = True
        if self.sink is not None and self.sink.gone is not None:
            self._await_taking()
        lane = self.relay.outbound
        if lane is None or lane.over or self.relay.inbound.state is State.OPEN:
            return
        error = self._pending_error()
        if error is None or self.outbound is None:
            return
        if self._is_farewell() and not lane.wants_output and not self.settings.reconnect:
            lane.end()  # of ours it has left unread what TLS says by itself (session tickets), and had ended in order
            return
        self.sink_failed(self.outbound, error)

    def _pending_error(self) -> OSError | None:
        # Reading SO_ERROR clears it, so a lender's is left alone: there the next send or receive tells.
        return syscalls.pending_error(self.env, self.sock) if self.own else None

    def on_input(self, mask: int) -> None:
        """Our input is ready, or has hung up."""
        assert self.outbound is not None
        if not self.outbound.fill():
            self.update()

    def on_output(self, mask: int) -> None:
        """Our output is ready, or its reader went away."""
        # A pipe's reader that went away is an error, a socket's a hang-up: left unanswered, either would come for ever.
        if mask & (ERROR | HANGUP) and not self.inbound.waiting:
            if self.sink is None or self.sink.finish is None:
                self._give_up()
                raise OutputGone
            if self.sink.gone is not None:
                self._desert(self.sink)
            else:  # reading from it says why
                self.loop.forget(self.sink.fd)
                return
        self.inbound.drain()
        self.update()

    # ---- ends

    def zero_is_end(self, carrier: Messages) -> bool:
        """Tell the end of a connection from an empty message.

        recv(2) returns 0 for both. A SEQPACKET peer that is gone leaves the socket hung up (unix(7), sctp(7)); an empty
        message does not. Datagrams never end.
        """
        if carrier.lane.source is Side.LOCAL:
            return True
        # A peer that is gone may have left messages behind the empty one.
        return self.connected and hung_up(self.fd) and not syscalls.receive_queue(self.env, self.sock)

    def source_ended(self, carrier: AnyCarrier) -> None:
        """End of input: the stream said so."""
        side = carrier.lane.source
        if carrier.lane.state is not State.OPEN:
            return
        self._flush_escaper(carrier)
        self.relay.ended(side)
        if side is Side.LOCAL:
            self._input_ended = True
            assert self.source is not None
            self._ended(side, f"{self.source.name or 'stdin'} ended")
            if self.source.last:
                self.relay.inbound.end()
        else:
            self.peer_gone = True
            self._ended(side, self._peer_end())
            lane = self.relay.outbound
            if self.settings.reconnect and lane is not None and lane.state is State.OPEN:
                self._part(lane)
            elif lane is not None and not lane.over and self.source is not None and self.source.finish is None:
                self._await_input(lane)
        if side is Side.LOCAL and not self.half_close:
            self._await_reply()
        elif side is Side.LOCAL and self.settings.send_only:
            self._until_taken()

    def _flush_escaper(self, carrier: AnyCarrier) -> None:
        """Half a character at the end, however it ended, is shown as the bytes that it is."""
        if self._escaper is not None and carrier is self.inbound and isinstance(carrier, Carrier):
            carrier.flush(self._escaper.flush())

    def _peer_end(self) -> str:
        if self._secured is not None:
            return "TLS close_notify received"
        return "FIN received" if self._has_fin else "the peer ended"

    def _ended(self, side: Side, how: str) -> None:
        self.env.observer(Ended(self.env.clock(), self.number, side, how))

    @property
    def _has_fin(self) -> bool:
        """Only the Internet's stream protocols have a FIN; elsewhere an end of input has no name."""
        return self.kind[0] in syscalls.INTERNET

    def _shutdown(self) -> None:
        if not self.half_close:
            return
        if self._nvt is not None:
            self._nvt.over = True
        if self._secured is not None:
            self._end_records(self._secured)
            return
        # Of an echo that is over, close(2) follows at once and sends the FIN.
        if not (self.own and self.relay.outbound is None and self.relay.finished):
            try:
                syscalls.shutdown_sending(self.env, self.sock)
            except OSError as error:
                if error.errno != errno.ENOTCONN:  # the peer is gone already: nobody is left to be told
                    self.fail("shutdown", error)
                return
        self._ended(Side.LOCAL, "FIN sent" if self._has_fin else "end of input sent")

    def _end_records(self, secured: Secured) -> None:
        """close_notify is TLS's end of one direction; the connection's FIN comes when it is closed."""
        try:
            secured.machine.end()
            secured.flush()
        except OSError as error:
            if not self._is_farewell() and not (secured.machine.peer_ended and self._has_read_all()):
                self.fail("send TLS close_notify", error)
            return
        self._ended(Side.LOCAL, "TLS close_notify sent")

    def _is_farewell(self, waiting: int | None = None) -> bool:
        """Whether what the peer did not take is our answer to its close_notify alone, which many do not wait for (RFC 8446,
        section 6.1).

        Args:
            waiting: bytes that its kernel has not acknowledged. None: the connection is gone, and that is not known any more.
        """
        if self._secured is None or not self._secured.machine.peer_ended:
            return False
        return not self.totals[1] or (waiting is not None and waiting <= self._secured.machine.farewell)

    def _has_read_all(self) -> bool:
        """Of a Unix peer that has closed: a pending ECONNRESET tells that it left something unread (unix_release, Linux)."""
        return syscalls.LINUX and self.own and self.kind[0] not in syscalls.INTERNET and self._pending_error() is None

    def _part(self, lane: Lane) -> None:
        """The peer has ended: what our input still gives is for the next connection. What our kernel holds has its chance."""

        def over() -> None:
            if self.closed or self.relay.inbound.over:
                self.close()
            else:
                self._grace = self.loop.later(self.settings.after_end, over)

        lane.break_off()
        self._grace = self.loop.later(self.settings.after_end, over)

    def _await_input(self, lane: Lane) -> None:
        """The peer has ended; our input may still have something for it. An idle one is not waited for for ever."""
        wait = self.settings.after_end

        def over() -> None:
            if lane.over:
                return
            if lane.wants_output:  # it is the peer that is slow
                self._await_input(lane)
                return
            self._note(Level.INFO, f"the peer ended; our input was still open, idle for {wait:g} s")
            lane.end()
            self.update()

        self._grace = Silence(self.loop, wait, lambda: (lane.received, lane.sent), over)

    def _await_reply(self) -> None:
        """Datagrams have no end: after our input's, replies are waited for until none came for a while."""
        wait, lane = self.settings.reply_wait, self.inbound.lane
        if self._idle is not None and self.settings.idle_timeout is not None:
            # `-u -w 1`, as in every netcat: here the silence is the end, not a failure.
            self._idle.cancel()
            wait = min(wait, self.settings.idle_timeout)

        def over() -> None:
            if wait:
                self._note(Level.INFO, f"no reply for {wait:g} s after the end of input: done")
            lane.end()
            self.update()

        self._reply = Silence(self.loop, wait, lambda: lane.received, over)

    def _until_taken(self) -> None:
        """Our input was all that mattered: once the peer's kernel has all of it, it is over.

        Until then what comes is still read: a peer that can write no more might read no more either.
        """
        lane, between = self.relay.outbound, self._between
        if lane is None or self.closed:
            return
        owing = between is not None and between.wants_output
        if lane.over and not owing and not syscalls.send_queue(self.env, self.sock):
            self.relay.inbound.end()
            self.update()
            return
        self._soon(self._until_taken)

    def source_failed(self, carrier: AnyCarrier, error: OSError) -> None:
        """Reading was refused: the connection is gone, or our input cannot be read."""
        if carrier.lane.source is Side.LOCAL:
            name = self.source.name if self.source is not None else ""
            self.fail(f"read from {name or 'stdin'}", error)
            return
        if error.errno == errno.ENOTCONN and self.connected:
            self.source_ended(carrier)  # how AX.25 and its kin say that the peer has ended
            return
        self._flush_escaper(carrier)
        self.peer_gone = True
        lost = self.relay.reset()
        self._refuse(f"receive from {self.peer}" if self.peer else "receive", error, lost)
        self._await_taking()

    def sink_failed(self, carrier: AnyCarrier, error: OSError) -> None:
        """Writing was refused: the connection is gone in that direction, or our output is."""
        if carrier.lane.sink is Side.LOCAL and self.sink is not None and self.sink.gone is not None:
            if error.errno == errno.EPIPE:
                self._desert(self.sink)
            else:
                self.fail(f"send to {self.sink.name}", error)
            return
        if carrier.lane.sink is Side.LOCAL and self.sink is not None and self.sink.finish is not None:
            self._refuse(f"send to {self.sink.name}", error, self.relay.broke(Side.LOCAL))
            return
        if carrier.lane.sink is Side.LOCAL:
            if error.errno == errno.EPIPE:
                self._give_up()
                raise OutputGone from error
            self.fail("write to stdout", error)
            return
        self.peer_gone = self.connected
        if self.connected:
            lost = self.relay.broke(Side.REMOTE)
        elif error.errno == errno.EMSGSIZE:  # this one was too long: those before it may still be answered
            lost = self.relay.broke(Side.REMOTE)
            self._await_reply()
        else:
            lost = self.relay.reset()
        self._refuse(f"send to {self.peer}" if self.peer else "send", error, lost)
        if self.connected:
            self._await_taking()

    # ---- a sink that may have seen enough: a program

    def _desert(self, sink: LocalEnd) -> None:
        """It takes no more. The peer need not know: what it still sends is read and thrown away, and counted."""
        assert sink.gone is not None
        if isinstance(self.inbound, (carriers.Direct, carriers.ThroughPipe)):
            self.exchange(self.inbound, self.inbound.twin)
        assert isinstance(self.inbound, Carrier)
        self._taken = self.relay.inbound.sent - sink.gone(), sink.name
        self._finish_sink(sink)
        self.inbound.discard()

    def _linger(self, lane: Lane) -> None:
        """All is sent, and nobody takes what comes. Closing while it still comes would reset the connection under the peer's hands."""
        now, waiting = self.env.clock(), syscalls.send_queue(self.env, self.sock)
        if self._heard != lane.received:
            self._heard, self._heard_at = lane.received, now
        self._all_sent = 0.0 if waiting else self._all_sent or now
        quiet = now - self._heard_at >= QUIET or now - self._all_sent >= TAKING
        if self.failed or (self._all_sent and quiet):
            lane.end()
        else:
            self._look_again()

    def _leaves_some(self, sink: LocalEnd) -> bool:
        """It has not read all that there is. Its input ends when it has, so that it is known what it took if it never does.

        Where nothing is awaited of it any more, that is not waited for longer than it has for ending by itself.
        """
        assert sink.gone is not None
        if not sink.gone():
            return False
        if self.relay.outbound is not None and self.relay.outbound.over:
            now = self.env.clock()
            self._leaving = self._leaving or now
            if now - self._leaving > TAKING:
                self._desert(sink)
                return False
        self._look_again()
        return True

    def _look_again(self) -> None:
        """Soon, unless that is under way."""
        if self._grace is None:

            def again() -> None:
                self._grace = None
                self.update()

            self._soon(again)

    def _await_taking(self) -> None:
        """The peer is gone. What it has sent is still for the program, or the server, beyond us, as long as that takes any
        of it: it may be stuck itself, with an answer that nobody takes any more.
        """
        sink, lane = self.sink, self.relay.inbound
        if sink is None or sink.finish is None:
            return

        def over() -> None:
            if not lane.over:
                error = self._pending_error()
                gone = TimeoutError(errno.ETIMEDOUT, f"the peer is gone, and nothing was taken for {TAKING:g} s")
                self.fail(f"send to {sink.name}", error or gone)

        if self._reply is None:
            self._reply = Silence(self.loop, TAKING, lambda: lane.sent, over)

    def _say_untaken(self, taken: int, name: str) -> None:
        left = self.relay.inbound.received - taken
        if left:
            self._note(Level.WARNING, f"{left} byte{'s' * (left > 1)} came that {name} did not take")

    def _refuse(self, operation: str, error: OSError, lost: int) -> None:
        first = self.error is None
        self.failed = True
        self.error = self.error or error
        now = self.env.clock()
        if first and error.errno == errno.ECONNRESET and self.kind[0] in syscalls.INTERNET and self.connected:
            self.env.observer(Ended(now, self.number, Side.REMOTE, "RST received"))
        if first:
            self.env.observer(Failed(now, self.number, operation, error, self._meaning(operation, error)))
        self._unread = self._unread or error.errno == errno.ECONNRESET
        if self.settings.reconnect:
            return  # what is left here goes on to the next connection; of what is not, `close` tells
        self._lose(lost, "not delivered to the peer")

    def _lose(self, lost: int, why: str) -> None:
        """Say what will never arrive: bytes, or messages where a lane counts those."""
        if lost and self._counts_messages:
            self.env.observer(Lost(self.env.clock(), self.number, 0, f"{lost} message{'s' * (lost > 1)}, {why}"))
        elif lost:
            self.env.observer(Lost(self.env.clock(), self.number, lost, why))

    def lose_last(self, size: int) -> None:
        """The escaped rest of a character did not reach the terminal."""
        self.failed = True
        self.env.observer(Lost(self.env.clock(), self.number, size, "the last, incomplete character was not shown"))

    def _meaning(self, operation: str, error: OSError) -> str | None:
        """What the refusal of a datagram means, and what to try. (Of a connection it was said at its beginning.)"""
        told: str | None = getattr(error, "hint", None)  # TLS knows its own
        if self.connected:
            return told
        from sockkit import rules

        name, (family, type) = errno_name(error.errno), self.kind
        found = rules.meaning(operation, name, family=family, type=type, address=self.peer or None)
        if found is None:
            return None
        return found.line

    @property
    def _counts_messages(self) -> bool:
        return isinstance(self.inbound, Messages)

    def cut(self, size: int, kept: int) -> None:
        """A message was longer than the buffer: what did not fit is gone."""
        self.failed = True
        self.env.observer(
            Lost(self.env.clock(), self.number, size - kept, f"a message of {size} bytes was cut to {kept}")
        )

    def fail(self, operation: str, error: Exception, hint: str | None = None) -> None:
        """End at once, not in order."""
        self.failed = True
        self.error = self.error or error
        hint = hint or getattr(error, "hint", None)
        self.env.observer(Failed(self.env.clock(), self.number, operation, error, hint))
        self.close()

    def _receive_urgent(self) -> None:
        try:
            data = syscalls.receive_urgent(self.env, self.sock)
        except OSError:
            return  # EINVAL: it was read already, or is not there yet
        if data:
            self.env.observer(Urgent(self.env.clock(), self.number, Direction.RECEIVED, data))

    def _watch_idleness(self, limit: float) -> None:
        """Something must move within ``limit`` seconds."""

        def over() -> None:
            self.fail("idle timeout", TimeoutError(errno.ETIMEDOUT, f"nothing moved for {limit:g} s"))

        self._idle = Silence(self.loop, limit, self._moved, over)

    def _moved(self) -> tuple[int, int | None]:
        # What the kernel holds counts too: a slow peer that takes megabytes of it is not idle.
        queued = syscalls.send_queue(self.env, self.sock) if self.connected else None
        return sum(lane.received + lane.sent for lane in self.relay.lanes), queued

    # ---- over

    def _finish(self) -> None:
        """Nothing will move any more here; the peer's kernel may still have to take what ours holds."""
        waiting = 0
        if self.connected and not self.failed and self.relay.outbound is not None:
            waiting = syscalls.send_queue(self.env, self.sock) or 0
        if not waiting or self._is_farewell(waiting):
            self.close()
            return
        # From here on only the clock calls: an end that stayed watched, ready as it is, would call over and over.
        self._forget_all()
        error = self._pending_error()
        if error is not None:
            self._refuse(f"send to {self.peer}", error, 0 if self._counts_messages else waiting)
            self.close()
            return
        self._soon(self._finish)

    def _soon(self, look: Callable[[], None]) -> None:
        """Look again after a pause, each longer than the one before: no event tells that the send queue has run empty."""
        self._pause = min(self._pause * 2, 0.05)
        self._grace = self.loop.later(self._pause, look)

    def conclude(self, why: str) -> None:
        """End now, and in order: what was taken from either end is handed over, then our end of input, and nothing more is read.

        Args:
            why: what is said of it.
        """
        if self.closed:
            return
        for timer in (self._grace, self._idle, self._reply):
            if timer is not None:
                timer.cancel()
        unread = (syscalls.receive_queue(self.env, self.sock) or 0) if self.connected else 0
        rest = f"; {unread} bytes that had come are not read" if unread else ""
        self._note(Level.INFO, why + rest)
        if self.settings.reconnect:
            self.settings = self.settings._replace(reconnect=False)  # it is we who go
            if self.peer_gone and self.kept:
                self.failed = True
                self._lose(len(self.kept), "the peer was gone, and there is no further connection to take it")
        if self._secured is not None and not self._secured.machine.established:
            error = TimeoutError(errno.ETIMEDOUT, "not over by then")
            self.fail(f"TLS handshake with {self.peer}", error)
            return
        for lane in self.relay.lanes:
            lane.end()
        self.update()
        if not self.closed:
            self.loop.later(self.settings.after_end, self._cut_off)

    def _cut_off(self) -> None:
        """Somebody does not take what was to be handed over: it was waited for."""
        if self.closed:
            return
        waiting = (syscalls.send_queue(self.env, self.sock) or 0) if self.connected else 0
        if waiting:
            self.failed = True
            self._lose(0 if self._counts_messages else waiting, "the peer had not taken them at the end")
        self.close()

    def close(self) -> None:
        """Stop, close the socket, and say the sum."""
        if self.closed:
            return
        self.closed = True
        for timer in (self._grace, self._idle, self._reply):
            if timer is not None:
                timer.cancel()
        self._grace = self._idle = self._reply = self._echo = None
        self._handler = _nothing
        self._forget_all()
        self.inbound.close()
        if self.outbound is not None:
            self.outbound.close()
        for lane in self.relay.lanes:
            if lane.wants_output:
                self.failed = True
                self._lose(lane.buffered, "not handed over before the end")
        if self._taken is not None:
            self._say_untaken(*self._taken)
        if self.error is not None and self.connected and self.begun:  # before, what came was TLS's or nothing to us
            self._say_unread()
        if self.settings.reconnect and self.peer_gone:
            self._say_unacknowledged()
        if not self.connected:
            dropped = (syscalls.datagrams_dropped(self.env, self.sock) or 0) - self._dropped_before
            if dropped > 0:
                self.failed = True
                self.env.observer(Lost(self.env.clock(), self.number, 0, dropped_text(dropped)))
        if self._secured is not None and self.error is None:
            machine = self._secured.machine
            if machine.established and not machine.ended:
                self._end_records(self._secured)
        if self._rights is not None and self._rights.close():
            self.failed = True
        faults = self.settings.faults
        if faults is not None:
            self._end_faults(faults)
        if self.own:
            syscalls.close(self.env, self.sock)
        else:
            self.sock.detach()
        received, sent = self.totals
        now = self.env.clock()
        first = self.relay.first
        text = describe(self.error) if self.error is not None else None
        ignored = self.settings.send_only
        self.env.observer(Closed(now, self.number, self.peer, sent, received, now - self._opened, first, text, ignored))
        self.on_close(self)

    def _end_faults(self, faults: Faults) -> None:
        if isinstance(self._gate, Scatter):
            try:
                self._gate.end()
            except OSError:
                pass
        if faults.reset and self.connected:
            self._tell_fault("reset", 0)
            syscalls.linger(self.env, self.sock, 0)

    def _give_up(self) -> None:
        """Whoever read our output has seen enough: what is under way is no loss, and nothing is said of it."""
        for lane in self.relay.lanes:
            lane.break_off()

    def _say_unread(self) -> None:
        unread = syscalls.receive_queue(self.env, self.sock)
        if unread:
            self.env.observer(Lost(self.env.clock(), self.number, unread, "received by the kernel, never read"))

    def _say_unacknowledged(self) -> None:
        """What was handed over and cannot be taken back: a reset leaves the count of what the peer's kernel did not confirm."""
        unix = self.kind[0] not in syscalls.INTERNET
        size = syscalls.send_queue(self.env, self.sock) or 0
        if unix and (size or self._unread):
            # A Unix socket counts memory, not bytes, forgets even that when the peer closes, and then says ECONNRESET.
            self.env.observer(
                Lost(self.env.clock(), self.number, 0, "the peer ended without reading all that was sent")
            )
        elif size:
            what = "TLS records " * (self._secured is not None)
            self._lose(size, f"{what}handed to the kernel, never acknowledged by the peer")
        if self._secured is not None and self._secured.pending:
            self._lose(self._secured.pending, "TLS records that the kernel did not take")

    def _forget_all(self) -> None:
        if self._mask != -1:
            self.loop.forget(self.fd)
            self._mask = -1
        for end in (self.source, self.sink):
            if end is not None:
                self.loop.forget(end.fd)

    @property
    def totals(self) -> tuple[int, int]:
        """Bytes received from the peer and sent to it."""
        received, passed = self.inbound.totals
        if self.outbound is not None:
            return received, self.outbound.totals[1]
        return received, passed if self.relay.inbound.sink is Side.REMOTE else 0

    @property
    def kept(self) -> bytes:
        """What was taken from our input, and that the socket did not take."""
        if self._before is not None:
            return self._before.kept
        return self.outbound.untaken if isinstance(self.outbound, Carrier) else b""

    @property
    def input_over(self) -> bool:
        """Our input gave its last: no further session can get anything from it."""
        return self._input_ended or (self._before is not None and self._before.input_over)

    def _note(self, level: Level, text: str) -> None:
        self.env.observer(Note(self.env.clock(), self.number, level, text))


def _nothing(mask: int) -> None:
    """In place of what would hold a session that is over: thousands a second are not left to the collector."""


def decoder_of(sock: socket, kind: tuple[int, int]) -> Decoder | None:
    """What reads the messages of a socket whose protocol is not text; loaded only where there may be something to read."""
    family, type = kind
    if type != RAW and (family in (1, 0) or (family in syscalls.INTERNET and sock.proto not in ICMP)):
        return None
    from sockkit import decoders

    return decoders.decoder(family, type, sock.proto)


def line_of(decode: Decoder) -> Transform:
    """For a terminal: a message that nobody can read, as the line that says what it is."""
    return lambda message: decode(message, True).encode() + b"\n"


def cutting(settings: Settings) -> tuple[int, Cutter | None]:
    """How messages are made of our input: how much is read at once, and what cuts it; None: each read is a message."""
    size = settings.message // 2 if settings.crlf else settings.message  # each byte may become two
    if settings.lines or settings.exact:
        return MESSAGE_SIZE, Cutter(
            None if settings.lines else size, b"\r\n" if settings.lines and settings.crlf else b""
        )
    return size, None


def dropped_text(count: int) -> str:
    """What is said of datagrams that the kernel could not keep for us."""
    return f"{count} datagram{'s' * (count > 1)}, dropped by the kernel since our receive queue was full"
