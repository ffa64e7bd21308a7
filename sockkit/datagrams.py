"""Moves datagrams: one socket that everybody sends to, and what is said of each peer.

Unlike a connection, a datagram socket has no end and no back-pressure from its peers, and an empty datagram is a
message like any other. Each peer that is heard from is a session in the story; there may be any number of them, and
only the ``REMEMBERED`` that were heard from last are remembered: a flood of forged sources costs no memory.
"""

from __future__ import annotations

import errno
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from socket import socket
from typing import TYPE_CHECKING, Any

from sockkit import syscalls
from sockkit.addresses import format_address
from sockkit.carriers import KEPT, Transform, to_crlf
from sockkit.errors import OutputGone, errno_name
from sockkit.events import Closed, Data, Direction, Disturbed, Env, Failed, Interest, Level, Lost, Note, Opened
from sockkit.loop import READ, WRITE, Handler, Loop, Silence
from sockkit.services import SERVICES
from sockkit.sessions import RAW, Settings, cutting, decoder_of, dropped_text, line_of
from sockkit.stdio import LocalEnd
from sockkit.text import TerminalEscaper

if TYPE_CHECKING:
    from random import Random

    from sockkit.associations import Association
    from sockkit.faults import Fates, Faults

REMEMBERED = 4096
BURST = 64
"""Datagrams that are echoed before timers and signals get their turn."""
USUAL = frozenset((1, *syscalls.INTERNET))
"""UNIX, INET and INET6: families whose addresses Python has, and which know MSG_TRUNC."""
VIEWS = 1024
"""Sizes of datagrams that are remembered."""
WAITING = 64
"""Datagrams that may wait for a peer whose queue is full."""
FORGOTTEN = 300.0
"""Seconds of silence after which a peer gets nothing any more of what others say (how long a NAT remembers: RFC 4787)."""
LASTING = frozenset((errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTCONN, errno.EBADF, errno.ENOTSOCK, errno.EFAULT))
"""What receiving will say again and again."""
PATIENCE = 1.0
"""Seconds that they may wait: an unconnected socket cannot be waited on for one peer's queue."""


class Peer:
    """Somebody who was heard from. Sizes in bytes."""

    __slots__ = ("address", "fates", "heard", "number", "opened", "received", "sent", "text", "waiting", "way")

    def __init__(self, number: int, address: Any, text: str, opened: float) -> None:
        self.number = number
        self.address = address
        self.text = text
        self.opened = opened
        self.received = 0
        self.sent = 0
        self.waiting = 0  # datagrams
        self.heard = opened  # when, last; kept in the modes ``broadcast`` and ``relay`` alone
        self.fates: dict[str, Fates] = {}  # by direction: a datagram that waits for its successor is of one order
        self.way: Association | None = None


class Datagrams:
    """A bound datagram socket that answers (echo), throws away (discard), passes on (broadcast, relay), or is our stdin and stdout (pipe).

    In ``pipe`` mode what our input gives goes to the peer that was heard from last; before anybody was, it is not read.

    Attributes:
        sessions, sent, received: the sums so far.
        failed: something was refused or lost.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket,
        mode: str,
        buffer: memoryview,
        settings: Settings,
        *,
        local: str,
        source: LocalEnd | None = None,
        sink: LocalEnd | None = None,
        once: bool = False,
        single: bool = False,
        on_end: Callable[[], None],
        takes: Callable[[Any], bool] | None = None,
        beyond: Callable[[], tuple[socket, str]] | None = None,
    ) -> None:
        """
        Args:
            beyond: makes a socket that is connected to the server which datagrams are passed on to, and says its address; raises
                OSError.
            takes: whether a peer, by its address, is to be heard at all; it has said so if not.
            once: end after the first datagram, or in ``pipe`` mode with our input.
            single: there is but one peer, which the socket itself knows: messages come and go without an address.
        """
        self.loop = loop
        self.env: Env = loop.env
        self.sock = sock
        self.fd = sock.fileno()
        self.mode = mode
        self.buffer = buffer
        self.settings = settings
        self.local = local
        self.source = source
        self.sink = sink
        self.once = once
        self.single = single
        self.on_end = on_end
        self._takes = takes
        self.sessions = self.sent = self.received = 0
        self.failed = False
        self._peers: OrderedDict[Any, Peer] = OrderedDict()
        self._last: Peer | None = None
        self._receive = syscalls.from_receiver(self.env, sock)
        self._beside: syscalls.Beside | None = None
        if syscalls.has_beside(self.env, sock, settings.asked):
            told = lambda text: self.env.observer(Note(self.env.clock(), 0, Level.INFO, text))
            self._beside = syscalls.Beside(self.env, sock, told)
            self._receive = self._beside.receive_from
        send = syscalls.sender(self.env, sock)
        self._send = (lambda data, address: send(data)) if single else syscalls.to_sender(self.env, sock)
        self._queue: deque[tuple[bytes, Peer, float]] = deque()
        self._output: deque[memoryview] = deque()
        self._input_ended = source is None
        self._limit, self._cutter = cutting(settings)
        self._retry = False
        self._moved = 0
        self._silences: list[Silence] = []
        self._crlf: Transform | None = to_crlf() if settings.crlf else None
        type = syscalls.base_type(sock.type)
        # Whoever has the address of a raw socket hears everything that is sent there, and what it sends itself.
        self._itself: frozenset[str] | None = None
        if type == RAW and sock.family in syscalls.INTERNET and mode != "discard":
            here = syscalls.local_address(self.env, sock)
            host = here[0] if here else "0.0.0.0"
            self._itself = frozenset((host, "127.0.0.1", "::1") if host in ("0.0.0.0", "::") else (host,))
        self._decode = decoder_of(sock, (int(sock.family), type))
        self._escape: Transform | None = None
        if sink is not None and sink.terminal and not settings.raw:
            self._escape = TerminalEscaper().whole if self._decode is None else line_of(self._decode)
        self._tell = bool(self.env.interest & Interest.DATA)
        self._first_ends = once and mode != "pipe"
        self._room = 1 if self._first_ends else WAITING
        usual = not single and sock.family in USUAL and self._beside is None and self._itself is None
        faults = settings.faults
        self._beyond = beyond
        self._lasts = settings.idle_timeout
        self._sweeping = False
        self._random: Random | None = None
        self._spoil: Transform | None = None
        if faults is not None:
            self._misbehave(faults)
        quick = (
            faults is None
            and usual
            and mode == "echo"
            and not once
            and not self.env.interest & (Interest.DATA | Interest.CALLS)
        )
        self._handler: Handler = self._echo() if quick else self.on_socket

    def start(self) -> None:
        """Begin to watch."""
        self._dropped_before = syscalls.datagrams_dropped(self.env, self.sock) or 0
        self.update()
        if self.settings.idle_timeout is not None and self._beyond is None:
            self._watch_idleness(self.settings.idle_timeout)

    def update(self) -> None:
        """Watch what is wanted."""
        loop = self.loop
        if len(self._queue) < self._room and not self._output:
            loop.watch(self.fd, READ, self._handler)
        else:
            loop.forget(self.fd)
        if self.source is not None:
            if not self._input_ended and self._last is not None and not self._queue:
                loop.watch(self.source.fd, READ, self.on_input)
            else:
                loop.forget(self.source.fd)
        if self.sink is not None:
            if self._output:
                loop.watch(self.sink.fd, WRITE, self.on_output)
            elif not self.sink.always:
                loop.watch(self.sink.fd, 0, self.on_output)
            else:
                loop.forget(self.sink.fd)

    def _echo(self) -> Handler:
        """What the loop calls for an echo that nobody looks at: as ``on_socket``, in one function and for all that waits.

        A datagram costs two system calls of about a microsecond each; as many function calls in Python would cost more.
        """
        receive_from, send_to, flags = self.sock.recvfrom_into, self.sock.sendto, syscalls.DONTWAIT
        receive_flags = flags | syscalls.TRUNC
        buffer, room, peers = self.buffer, len(self.buffer), self._peers
        views: dict[
            int, memoryview
        ] = {}  # the front of the buffer by its size: clients send the same sizes over and over

        def on_ready(mask: int) -> None:
            count = total = 0
            try:
                for _ in range(BURST):
                    size, address = receive_from(buffer, 0, receive_flags)
                    peer = peers.get(address)
                    if peer is None or peer.waiting or size >= room:
                        self._arrived(size, address)
                        continue
                    view = views.get(size)
                    if view is None:
                        view = buffer[:size]
                        if len(views) < VIEWS:
                            views[size] = view
                    if peer is not self._last:
                        peers.move_to_end(address)
                        self._last = peer
                    peer.received += size
                    try:
                        send_to(view, flags, address)
                    except OSError:
                        self.received += size
                        self._answer(view, peer)  # asks again: whoever refused says so, or the datagram waits
                        continue
                    peer.sent += size
                    count += 1
                    total += size
            except BlockingIOError:
                pass
            except OSError as error:
                self.failed = True
                self._refused(0, "receive", error, None)
            self._moved += count
            self.received += total
            self.sent += total
            if self._queue:
                self.update()

        return on_ready

    def on_socket(self, mask: int) -> None:
        """A datagram, or an error that an earlier one caused."""
        buffer = self.buffer
        try:
            size, address = self._receive(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self.failed = True
            self._refused(0, "receive", error, None)
            if error.errno in LASTING:
                self.on_end()
            return
        self._arrived(size, address)

    def _arrived(self, size: int, address: Any) -> None:
        """A datagram stands in the front of the buffer; ``size`` is its true length."""
        buffer = self.buffer
        peer = self._peer(address)
        if peer is None:
            return
        if syscalls.was_cut(size, len(buffer)):
            self.failed = True
            self.env.observer(
                Lost(
                    self.env.clock(),
                    peer.number,
                    size - len(buffer),
                    f"a datagram of {size} bytes was cut to {len(buffer)}",
                )
            )
            size = len(buffer)
        if self._tell:
            self._data(peer, Direction.RECEIVED, peer.received, buffer[:size])
        peer.received += size
        self.received += size
        self._moved += 1
        self._last = peer
        if self.mode in SERVICES:
            self._answer(SERVICES[self.mode].datagram(), peer)
        elif self.mode == "echo":
            piece = (self._beside.piece if self._beside is not None else None) or size
            for start in range(0, size, piece or 1) if size else (0,):  # what the kernel joined goes back as it came
                self._answer(buffer[start : min(start + piece, size)], peer)
        elif self._beyond is not None:
            self._send_onward(bytes(buffer[:size]), peer)
        elif self.mode == "broadcast":
            self._pass_on(bytes(buffer[:size]), peer)
        elif self.mode == "pipe" and self.sink is not None:
            self._write_out(bytes(buffer[:size]))
        if self._first_ends and not self._queue:
            self.on_end()
        elif self.mode == "pipe" or self._queue:
            self.update()

    def _peer(self, address: Any) -> Peer | None:
        """Whose datagram it is; None: somebody's who is not to be heard."""
        peers = self._peers
        peer = peers.get(address)
        if peer is not None:
            peers.move_to_end(address)
            return peer
        if self._takes is not None and not self._takes(address):
            return None
        self.sessions += 1
        now = self.env.clock()
        peer = Peer(self.sessions, address, format_address(self.sock.family, address), now)
        peers[address] = peer
        type = syscalls.base_type(self.sock.type)
        self.env.observer(Opened(now, peer.number, peer.text, self.local, self.sock.family, type, True))
        if len(peers) > REMEMBERED:
            self._close(peers.popitem(last=False)[1])
        return peer

    def _pass_on(self, data: bytes, sender: Peer) -> None:
        """What one sends all others get who were heard from not too long ago: datagrams have no other membership."""
        sender.heard = now = self.env.clock()
        while (oldest := next(iter(self._peers.values()))).heard < now - FORGOTTEN:
            del self._peers[oldest.address]
            self._close(oldest)
        for peer in list(self._peers.values()):
            if peer is not sender:
                self._answer(data, peer)

    def _misbehave(self, faults: Faults) -> None:
        from sockkit.faults import corrupter, words

        self._tell_fault(words(faults), 0)
        self._random = faults.random(0)
        if faults.corrupt:
            self._spoil = corrupter(faults.corrupt, faults.random(-1), partial(self._tell_fault, "corrupt"))

    def _tell_fault(self, fault: str, size: int) -> None:
        self.env.observer(Disturbed(self.env.clock(), 0, fault, size))

    def _answer(self, data: memoryview | bytes, peer: Peer) -> None:
        """Send to a peer; what was to be spoilt on purpose is, first."""
        if self.settings.faults is None:
            self._hand_over(data, peer)
        else:
            self._disturb(self.settings.faults, peer, "answer", bytes(data), lambda piece: self._hand_over(piece, peer))

    def _disturb(
        self, faults: Faults, peer: Peer, direction: str, data: bytes, hand_over: Callable[[bytes], None]
    ) -> None:
        """What becomes of a datagram that is on its way from or to a peer."""
        from sockkit.faults import Fates

        assert self._random is not None
        fates = peer.fates.get(direction)
        if fates is None:
            fates = peer.fates[direction] = Fates(faults, self._random, self._tell_fault)
        for message in fates.of(data):
            piece = message if self._spoil is None else self._spoil(message)
            if faults.delay is None:
                hand_over(piece)
            else:
                self.loop.later(faults.delay, partial(hand_over, piece))
        if fates.kept is not None:
            self.loop.later(KEPT, partial(self._late, fates, hand_over))

    def _late(self, fates: Fates, hand_over: Callable[[bytes], None]) -> None:
        rest = fates.rest()
        if rest is not None:
            hand_over(rest)

    # ---- passed on to a server

    def _send_onward(self, data: bytes, peer: Peer) -> None:
        """To the server behind us, each peer by a way of its own."""
        if peer.way is None:
            peer.way = self._make_way(peer)
            if peer.way is None:
                self._lose(peer, len(data), "there is no way to the server")
                return
        peer.heard = self.env.clock()
        if self.settings.faults is None:
            self._hand_onward(peer, data)
        else:
            self._disturb(self.settings.faults, peer, "onward", data, partial(self._hand_onward, peer))

    def _hand_onward(self, peer: Peer, data: bytes) -> None:
        if peer.way is None or not peer.way.send(data):
            self._lose(peer, len(data), "not passed on to the server")

    def _make_way(self, peer: Peer) -> Association | None:
        from sockkit.associations import LASTS, Association

        assert self._beyond is not None
        try:
            sock, name = self._beyond()
        except OSError as error:
            oldest = next(iter(self._peers.values()))
            if error.errno in (errno.EMFILE, errno.ENFILE) and oldest is not peer:
                del self._peers[oldest.address]
                self._close(oldest)
                return self._make_way(peer)
            self._refused(peer.number, "connect to the server", error, None)
            return None
        if not self._sweeping:
            self._sweeping = True
            self._lasts = self._lasts or LASTS
            self.loop.later(self._lasts / 10, self._sweep)
        self.env.observer(Note(self.env.clock(), peer.number, Level.INFO, f"passed on to {name}"))
        failed = lambda operation, error: self._refused(peer.number, operation, error, name)
        return Association(self.loop, sock, name, self.buffer, partial(self._answered, peer), failed)

    def _answered(self, peer: Peer, size: int) -> None:
        """The server's answer stands in the buffer."""
        if syscalls.was_cut(size, len(self.buffer)):
            self._lose(peer, size - len(self.buffer), f"a datagram of {size} bytes was cut to {len(self.buffer)}")
            size = len(self.buffer)
        peer.heard = self.env.clock()
        self._peers.move_to_end(peer.address)
        self._answer(self.buffer[:size], peer)

    def _sweep(self) -> None:
        """Who was silent for long, and whose server was, is over."""
        assert self._lasts is not None
        while self._peers and (oldest := next(iter(self._peers.values()))).heard < self.env.clock() - self._lasts:
            del self._peers[oldest.address]
            self._close(oldest)
        self._sweeping = bool(self._peers)
        if self._sweeping:
            self.loop.later(self._lasts / 10, self._sweep)

    def _hand_over(self, data: memoryview | bytes, peer: Peer) -> None:
        """Send to a peer, now or, behind what waits for it already, when it has room."""
        if not peer.waiting and self._sent(data, peer):
            return
        peer.waiting += 1
        self._queue.append((bytes(data), peer, self.env.clock() + PATIENCE))
        if not self._retry:
            self._retry = True
            self.loop.later(0.005, self._try_again)

    def _sent(self, data: memoryview | bytes, peer: Peer) -> bool:
        """Send to a peer; True if that is settled, False if it takes nothing now."""
        if not peer.address and not self.single:
            self._lose(peer, len(data), "the peer has no address to answer to: it must bind one first")
            return True
        if self._itself is not None and peer.address[0] in self._itself:
            self._lose(
                peer,
                len(data),
                "an answer to this address would come back to us, for ever: give each side one of its own",
            )
            return True
        try:
            sent = self._send(data, peer.address)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.ENOBUFS, errno.ENOMEM):
                return False
            self._refused(peer.number, f"send to {peer.text}", error, peer.text)
            return True
        if self._tell:
            self._data(peer, Direction.SENT, peer.sent, data)
        peer.sent += sent
        self.sent += sent
        self._moved += 1
        return True

    def _try_again(self) -> None:
        """What waits is offered in its order; a peer that takes nothing holds up its own datagrams, not the others'."""
        waiting, self._queue = self._queue, deque()
        full: set[Peer] = set()
        now = self.env.clock()
        for data, peer, due in waiting:
            if now > due:
                self._lose(peer, len(data), f"the peer's queue stayed full for {PATIENCE:g} s")
            elif peer in full or not self._sent(data, peer):
                full.add(peer)
                self._queue.append((data, peer, due))
                continue
            peer.waiting -= 1
        self._retry = bool(self._queue)
        if self._retry:
            self.loop.later(0.005, self._try_again)
        elif self._first_ends:
            self.on_end()
        self.update()

    def _refused(self, session: int, operation: str, error: OSError, address: str | None) -> None:
        from sockkit import rules

        self.failed = True
        name, family, type = errno_name(error.errno), self.sock.family, self.sock.type
        found = rules.meaning(operation, name, family=family, type=type, address=address)
        tip = None if found is None else found.line
        self.env.observer(Failed(self.env.clock(), session, operation, error, tip))

    def _lose(self, peer: Peer, size: int, why: str) -> None:
        self.failed = True
        self.env.observer(Lost(self.env.clock(), peer.number, size, why))

    def on_input(self, mask: int) -> None:
        """Our input is ready: what it gives goes to the last peer."""
        assert self.source is not None and self.source.read is not None and self._last is not None
        buffer = self.buffer[: self._limit]
        try:
            size = self.source.read(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self.failed = True
            self.env.observer(Failed(self.env.clock(), 0, "read from stdin", error, None))
            self.on_end()
            return
        chunk = bytes(buffer[:size])
        if self._cutter is None:
            messages = [chunk] if size else []
        else:
            messages = self._cutter.feed(chunk)
            if not size and self._cutter.partial:
                messages.append(self._cutter.partial)
        for message in messages:
            self._answer(message if self._crlf is None else self._crlf(message), self._last)
        if not size:
            self._input_ended = True
            if self.once:
                self._await_reply()
        self.update()

    def _await_reply(self) -> None:
        wait = self.settings.reply_wait

        def over() -> None:
            if self._output:  # our reader is slow: what came is not thrown away
                self.loop.later(0.05, self._await_reply)
                return
            text = f"nothing came for {wait:g} s after the end of input: done"
            self.env.observer(Note(self.env.clock(), 0, Level.INFO, text))
            self.on_end()

        self._silences.append(Silence(self.loop, wait, lambda: self._moved, over))

    def _write_out(self, data: bytes) -> None:
        if self._escape is not None:
            data = self._escape(data)
        if self.settings.lines:
            data += b"\n"
        if data:
            self._output.append(memoryview(data))
            self._drain()

    def _drain(self) -> None:
        assert self.sink is not None and self.sink.write is not None
        while self._output:
            try:
                sent = self.sink.write(self._output[0])
            except BlockingIOError:
                return
            except OSError as error:
                self._output.clear()
                if error.errno == errno.EPIPE:
                    raise OutputGone from error
                self.failed = True
                self.env.observer(Failed(self.env.clock(), 0, "write to stdout", error, None))
                self.on_end()
                return
            if sent < len(self._output[0]):
                self._output[0] = self._output[0][sent:]
                return
            self._output.popleft()

    def on_output(self, mask: int) -> None:
        """Our output takes more, or its reader went away."""
        if not self._output and not mask & WRITE:
            raise OutputGone
        self._drain()
        self.update()

    def _watch_idleness(self, limit: float) -> None:
        def over() -> None:
            self.failed = True
            error = TimeoutError(errno.ETIMEDOUT, f"nothing moved for {limit:g} s")
            self.env.observer(Failed(self.env.clock(), 0, "idle timeout", error, None))
            self.on_end()

        self._silences.append(Silence(self.loop, limit, lambda: self._moved, over))

    def _data(self, peer: Peer, direction: Direction, offset: int, data: memoryview | bytes) -> None:
        payload = meaning = None
        said = self._beside.text if self._beside is not None and direction is Direction.RECEIVED else None
        if self.env.interest & Interest.PAYLOAD:
            payload = bytes(data[: self.env.preview])
            if self._decode is not None:
                meaning = self._decode(bytes(data), direction is Direction.RECEIVED)
        self.env.observer(
            Data(self.env.clock(), peer.number, direction, offset, len(data), payload, True, said, meaning)
        )

    def _close(self, peer: Peer) -> None:
        now = self.env.clock()
        if peer.way is not None:
            peer.way.close()
            peer.way = None
        self.env.observer(
            Closed(
                now,
                peer.number,
                peer.text,
                peer.sent,
                peer.received,
                now - peer.opened,
                None,
                None,
                self.settings.send_only,
            )
        )

    def close(self) -> None:
        """Say the sum of each peer. The socket is the caller's."""
        for silence in self._silences:
            silence.cancel()
        dropped = syscalls.datagrams_dropped(self.env, self.sock) or 0
        if dropped > self._dropped_before:
            self.failed = True
            self.env.observer(Lost(self.env.clock(), 0, 0, dropped_text(dropped - self._dropped_before)))
        self.loop.forget(self.fd)
        for end in (self.source, self.sink):
            if end is not None:
                self.loop.forget(end.fd)
        for data, peer, _ in self._queue:
            self._lose(peer, len(data), "still waiting for the peer's queue at the end")
        if self._output:
            self.failed = True
            size = sum(map(len, self._output))
            self.env.observer(Lost(self.env.clock(), 0, size, "still waiting for stdout at the end"))
        for peer in self._peers.values():
            self._close(peer)
