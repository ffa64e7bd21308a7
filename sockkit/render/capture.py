"""``-o FILE.pcapng``: what passed, as packets that Wireshark opens. We see the calls, not the wire, so the packets are made up:
a handshake where a connection began, segments as large as they may be where data passed, a FIN or RST where it ended. Addresses,
ports, order, times and bytes are the true ones.

dpkt makes the blocks (draft-ietf-opsawg-pcapng) and the headers: IPv4 RFC 791, IPv6 RFC 8200, TCP RFC 9293, UDP RFC 768. Payload
is never copied into them: it goes from the event to the file by one writev(2).
"""

from __future__ import annotations

import socket
import sys
import time as wall
from collections.abc import Callable
from struct import pack_into
from typing import Any, NamedTuple

from sockkit import __version__
from sockkit.errors import UsageError
from sockkit.events import Closed, Data, Direction, Ended, Event, Interest, Lost, Opened, Side, Urgent
from sockkit.render import WHOLE, Wish
from sockkit.render.files import Recording

try:
    import dpkt
    from dpkt import pcapng
except ImportError as error:
    raise UsageError("to write .pcapng takes dpkt", option="-o", hint="type: pip install 'sockkit[pcap]'") from error

LINKTYPE_RAW = 101
"""IPv4 or IPv6 packets and nothing around them (tcpdump.org/linktypes.html)."""
LARGEST = 65535
"""Bytes of an IP packet."""
SEGMENT = 65472
"""Payload of a TCP segment: with the headers of either IP it stays below ``LARGEST``."""
DATAGRAM = LARGEST - 40 - 8
"""Payload of a UDP packet over either IP, less than UDP over IPv4 may carry by the 20 bytes that IPv6's header is longer."""
UNACKNOWLEDGED = 1 << 20
"""Bytes after which the receiving side acknowledges, having sent nothing: no window is ever full."""
SUMMED = 16 << 20
"""Bytes of a direction over TCP whose checksums are true. Beyond, in a flood, segments carry 0, as where a network card would fill
it in: summing up is most of the work of recording, and Wireshark does not look at it unless told to."""
SCALE = 14
"""Window scale (RFC 7323): with it the window is a gigabyte."""
TCP, UDP = 6, 17
TIME, PACKET = 12, 28
"""Where an Enhanced Packet Block has its time, and its packet."""
OUTBOUND, INBOUND = 2, 1
"""epb_flags, bits 0 and 1."""
FIRST_STANDIN = ("192.0.2.1", "192.0.2.2")
"""Addresses for documentation (RFC 5737) for ends that have no Internet address: ours, the peer's."""

_PIECE = 4096


def checksum(*parts: bytes | memoryview) -> int:
    """The Internet checksum (RFC 1071). All parts but the last are of even length.

    The sum of 16-bit words modulo 65535 is the number itself modulo 65535: Python's integers take thousands of words at a time.
    """
    total = 0
    for data in parts:
        size = len(data)
        whole = size - size % _PIECE
        total += sum([int.from_bytes(data[at : at + _PIECE], "big") for at in range(0, whole, _PIECE)])
        rest = int.from_bytes(data[whole:], "big")
        total += rest << 8 if size % 2 else rest
    # Never 0, as all-zero words never come; 0 and 0xFFFF are the same here.
    return 0xFFFF - total % 0xFFFF


class Native(NamedTuple):
    """A family whose messages Wireshark knows as they are.

    Attributes:
        family, type: names in Python's ``socket``; type None: any.
        link: link type (tcpdump.org/linktypes.html).
        packet: a message as that link type has it.
    """

    family: str
    type: str | None
    link: int
    packet: Callable[[bytes], bytes]


def _can(frame: bytes) -> bytes:
    """SocketCAN's identifier is in the host's byte order in linux/can.h, big-endian in a capture."""
    return frame[:4][::-1] + frame[4:] if sys.byteorder == "little" else frame


NATIVE = (Native("AF_CAN", "SOCK_RAW", 227, _can), Native("AF_PACKET", "SOCK_RAW", 1, bytes))
"""CAN frames; frames of a network device, which is Ethernet or the loopback that looks like it."""


class _Frames:
    """What passed over a socket of such a family: each message is a packet, and nothing is made up."""

    def __init__(self, capture: Capture, row: Native) -> None:
        self._capture = capture
        self._row = row
        self.ours = self.theirs = None

    def data(self, time: float, direction: Direction, payload: bytes | memoryview, urgent: int = 0) -> None:
        """A message passed."""
        way = OUTBOUND if direction is Direction.SENT else INBOUND
        self._capture.packet(time, way, b"", b"", self._row.packet(bytes(payload)), link=self._row.link)

    def ended(self, time: float, source: object, sink: object) -> None:
        """Nothing on a wire says so."""

    def closed(self, event: Closed, unread: bool) -> None:
        """Nothing on a wire says so."""


class _End:
    """One end of a conversation: what it has sent, and the headers of its packets, in which only numbers change."""

    __slots__ = ("acknowledged", "ended", "forms", "ip", "network", "port", "sequence", "transport")

    def __init__(self, ip: bytes, port: int) -> None:
        self.ip = ip
        self.port = port
        self.sequence = 0
        self.acknowledged = 0
        """What the other end has acknowledged of it."""
        self.ended = False
        self.forms: dict[int, tuple[bytes, bytes]] = {}
        """By size of the payload: what stands before and behind it in a flood, where but three numbers change."""
        self.network: Any = None
        self.transport: Any = None

    def sends_to(self, other: _End, protocol: int) -> None:
        """Make its headers."""
        if len(self.ip) == 4:
            self.network = dpkt.ip.IP(src=self.ip, dst=other.ip, p=protocol, df=1)
        else:
            self.network = dpkt.ip6.IP6(src=self.ip, dst=other.ip, nxt=protocol, hlim=64)
        make = dpkt.tcp.TCP if protocol == TCP else dpkt.udp.UDP
        self.transport = make(sport=self.port, dport=other.port)
        if protocol == TCP:
            self.transport.win = LARGEST

    def network_header(self, size: int) -> bytes:
        """IPv4's with its checksum, or IPv6's, which has none, for ``size`` bytes."""
        network = self.network
        if len(self.ip) == 4:
            network.len = 20 + size
            header: bytes = network.pack_hdr()
            return header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
        network.plen = size
        return bytes(network.pack_hdr())


class _Flow:
    """One conversation."""

    def __init__(self, capture: Capture, opened: Opened) -> None:
        self.capture = capture
        self.time = opened.time
        stream = socket.SOCK_STREAM
        self.protocol = TCP if opened.type in (None, stream) else UDP
        here, there = _endpoint(opened.local), _endpoint(opened.peer)
        self.remark = b""
        if opened.via is not None:
            # What passed is the target's, whose address may be known to the proxy alone; its port says what it speaks.
            self.remark = f"{opened.peer} (192.0.2.2) through the proxy {opened.via}".encode(
                "utf-8", "backslashreplace"
            )
            here = (socket.inet_aton(FIRST_STANDIN[0]), here[1] if here else 40000)
            there = (socket.inet_aton(FIRST_STANDIN[1]), int(opened.peer.rpartition(":")[2]))
        elif opened.family not in _INTERNET or here is None or there is None:
            shown = "TCP" if self.protocol == TCP else "UDP"
            text = f"not from any wire: {opened.local} (192.0.2.1) and {opened.peer} (192.0.2.2), shown as {shown}"
            self.remark = text.encode("utf-8", "backslashreplace")
            ports = (40000 + opened.session % 20000, 1) if not opened.accepted else (1, 40000 + opened.session % 20000)
            here, there = ((socket.inet_aton(ip), port) for ip, port in zip(FIRST_STANDIN, ports, strict=True))
        self.ours, self.theirs = _End(*here), _End(*there)
        self.ours.sends_to(self.theirs, self.protocol)
        self.theirs.sends_to(self.ours, self.protocol)
        if self.protocol == TCP:
            self._handshake(*((self.theirs, self.ours) if opened.accepted else (self.ours, self.theirs)))

    def _handshake(self, client: _End, server: _End) -> None:
        size = SEGMENT.to_bytes(2, "big")
        opts = bytes((dpkt.tcp.TCP_OPT_MSS, 4, *size, dpkt.tcp.TCP_OPT_NOP, dpkt.tcp.TCP_OPT_WSCALE, 3, SCALE))
        self._segment(client, server, dpkt.tcp.TH_SYN, opts=opts)
        client.sequence += 1
        self._segment(server, client, dpkt.tcp.TH_SYN | dpkt.tcp.TH_ACK, opts=opts)
        server.sequence += 1
        self._segment(client, server, dpkt.tcp.TH_ACK)

    def ends(self, direction: Direction) -> tuple[_End, _End]:
        """Who sends and who receives."""
        return (self.ours, self.theirs) if direction is Direction.SENT else (self.theirs, self.ours)

    def data(self, time: float, direction: Direction, payload: bytes | memoryview, urgent: int = 0) -> None:
        """Payload passed."""
        self.time = time
        source, sink = self.ends(direction)
        if self.protocol == UDP:
            self._datagrams(source, sink, payload)
            return
        view = memoryview(payload)
        flags = dpkt.tcp.TH_ACK | dpkt.tcp.TH_PUSH | (dpkt.tcp.TH_URG if urgent else 0)
        for at in range(0, len(view), SEGMENT):
            piece = view[at : at + SEGMENT]
            if source.sequence > SUMMED and not urgent:
                self._flood(source, sink, flags, piece)
            else:
                self._segment(source, sink, flags, piece, urgent=urgent)
            source.sequence += len(piece)
        if source.sequence - source.acknowledged > UNACKNOWLEDGED:
            self._segment(sink, source, dpkt.tcp.TH_ACK)

    def _datagrams(self, source: _End, sink: _End, payload: bytes | memoryview) -> None:
        view = memoryview(payload)
        count = max(1, -(-len(view) // DATAGRAM))
        for i in range(count):
            if count > 1:
                self.remark = f"part {i + 1} of {count} of a message of {len(view)} bytes".encode()
            piece = view[i * DATAGRAM : (i + 1) * DATAGRAM]
            size = 8 + len(piece)
            source.transport.ulen = size
            header = source.transport.pack_hdr()
            value = checksum(_pseudo(source, sink, UDP, size), header, piece)
            self._packet(source, header[:6] + value.to_bytes(2, "big"), piece)

    def _segment(
        self,
        source: _End,
        sink: _End,
        flags: int,
        payload: bytes | memoryview = b"",
        *,
        opts: bytes = b"",
        urgent: int = 0,
    ) -> None:
        tcp = source.transport
        tcp.seq = source.sequence & 0xFFFFFFFF
        if flags & dpkt.tcp.TH_ACK:
            sink.acknowledged = sink.sequence
            tcp.ack = sink.sequence & 0xFFFFFFFF
        tcp.off = 5 + len(opts) // 4
        tcp.flags = flags
        tcp.urp = urgent
        header = tcp.pack_hdr() + opts
        if source.sequence <= SUMMED or not payload:
            value = checksum(_pseudo(source, sink, TCP, len(header) + len(payload)), header, payload)
            header = header[:16] + value.to_bytes(2, "big") + header[18:]
        self._packet(source, header, payload)

    def _flood(self, source: _End, sink: _End, flags: int, payload: memoryview) -> None:
        """The same for one of many: numbers are put into what was made for the first one of its size."""
        form = source.forms.get(len(payload))
        if form is None:
            self._segment(source, sink, flags, payload)
            before, _, behind = self.capture.parts[-3:]
            source.forms[len(payload)] = bytes(before), bytes(behind)
            return
        head = bytearray(form[0])
        moment = self.capture.moment(self.time)
        pack_into("<II", head, TIME, moment >> 32, moment & 0xFFFFFFFF)
        sequence = PACKET + (20 if len(source.ip) == 4 else 40) + 4
        pack_into(">II", head, sequence, source.sequence & 0xFFFFFFFF, sink.sequence & 0xFFFFFFFF)
        sink.acknowledged = sink.sequence
        self.capture.parts += (head, payload, form[1])

    def _packet(self, source: _End, header: bytes, payload: bytes | memoryview) -> None:
        network = source.network_header(len(header) + len(payload))
        way = OUTBOUND if source is self.ours else INBOUND
        self.capture.packet(self.time, way, self.remark, network + header, payload)
        self.remark = b""

    def ended(self, time: float, source: _End, sink: _End) -> None:
        """A FIN, and its acknowledgement."""
        self.time = time
        if self.protocol == TCP and not source.ended:
            source.ended = True
            self._segment(source, sink, dpkt.tcp.TH_FIN | dpkt.tcp.TH_ACK)
            source.sequence += 1
            self._segment(sink, source, dpkt.tcp.TH_ACK)

    def closed(self, event: Closed, unread: bool) -> None:
        """The connection is gone: in order, or by a RST of whoever gave it up."""
        self.time = event.time
        if self.protocol != TCP:
            return
        if event.error is not None and ("ECONNRESET" in event.error or "EPIPE" in event.error):
            self._segment(self.theirs, self.ours, dpkt.tcp.TH_RST | dpkt.tcp.TH_ACK)
        elif unread:
            self._segment(self.ours, self.theirs, dpkt.tcp.TH_RST | dpkt.tcp.TH_ACK)
        else:
            self.ended(event.time, self.ours, self.theirs)


_INTERNET = frozenset(getattr(socket, name) for name in ("AF_INET", "AF_INET6") if hasattr(socket, name))


def _endpoint(text: str) -> tuple[bytes, int] | None:
    """``127.0.0.1:80`` or ``[fe80::1%eth0]:80`` as packets have it; None for what has no port."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]").partition("%")[0]
    if not port.isdecimal():
        return None
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host), int(port)
    except OSError:
        return None


def _pseudo(source: _End, sink: _End, protocol: int, size: int) -> bytes:
    """What is summed up besides the packet: RFC 9293 section 3.1, RFC 8200 section 8.1."""
    if len(source.ip) == 4:
        return source.ip + sink.ip + bytes((0, protocol)) + size.to_bytes(2, "big")
    return source.ip + sink.ip + size.to_bytes(4, "big") + bytes((0, 0, 0, protocol))


class Capture:
    """See ``files.Recorder``."""

    interest = Interest.DATA | Interest.PAYLOAD
    preview = WHOLE

    def __init__(self, path: str, *, force: bool, clock: Callable[[], float], wish: Wish) -> None:
        self._file = Recording(path, force=force)
        self._command = wish.command
        self._epoch = wall.time() - clock()
        self._flows: dict[int, Any] = {}
        self._links = [LINKTYPE_RAW]
        self._unread: set[int] = set()
        self.parts: list[bytes | bytearray | memoryview] = []
        self._block = pcapng.EnhancedPacketBlockLE()
        self._plain = {way: _options(_way(way)) for way in (INBOUND, OUTBOUND)}
        self.close = self._file.close

    def __call__(self, event: Event) -> None:
        """Observe."""
        if not self._file.size:
            self._file.write(_section(), _interface(self._command, LINKTYPE_RAW))
        if isinstance(event, Data):
            if event.payload is not None:
                self._flows[event.session].data(event.time, event.direction, event.payload)
        elif isinstance(event, Opened):
            row = next((row for row in NATIVE if _is(event, row)), None)
            self._flows[event.session] = _Flow(self, event) if row is None else _Frames(self, row)
        elif isinstance(event, Urgent):
            self._flows[event.session].data(event.time, event.direction, event.payload, urgent=len(event.payload))
        elif isinstance(event, Ended) and event.session in self._flows:
            flow = self._flows[event.session]
            if event.how.startswith("RST"):
                pass  # where the connection is closed
            elif event.side is Side.REMOTE:
                flow.ended(event.time, flow.theirs, flow.ours)
            elif event.how.endswith("sent"):  # what ended is not stdin, but what goes to the peer
                flow.ended(event.time, flow.ours, flow.theirs)
        elif isinstance(event, Lost):
            if event.why.endswith("never read"):
                self._unread.add(event.session)
        elif isinstance(event, Closed):
            self._flows.pop(event.session).closed(event, event.session in self._unread)
        if self.parts:
            self._file.write(*self.parts)
            self.parts = []

    def moment(self, time: float) -> int:
        """Microseconds since 1970."""
        return round((self._epoch + time) * 1e6)

    def packet(
        self,
        time: float,
        way: int,
        remark: bytes,
        headers: bytes,
        payload: bytes | memoryview,
        *,
        link: int = LINKTYPE_RAW,
    ) -> None:
        """One packet: an Enhanced Packet Block, laid around the payload."""
        if link not in self._links:
            self._links.append(link)
            self._file.write(_interface(self._command, link))
        moment = self.moment(time)
        size = len(headers) + len(payload)
        options = self._plain[way] if not remark else _options((pcapng.PCAPNG_OPT_COMMENT, remark), _way(way))
        tail = bytes(-size % 4) + options
        block = self._block
        block.iface_id = self._links.index(link)
        block.len = block._len = block.__hdr_len__ + size + len(tail)
        block.ts_high, block.ts_low = moment >> 32, moment & 0xFFFFFFFF
        block.caplen = block.pkt_len = size
        head = block.pack_hdr()
        self.parts += (head[:-4] + headers, payload, tail + head[-4:])


def _way(way: int) -> tuple[int, bytes]:
    """The option epb_flags."""
    return 2, way.to_bytes(4, "little")


def _options(*options: tuple[int, bytes]) -> bytes:
    """Those that are not empty, and their end."""
    made = [pcapng.PcapngOptionLE(code=code, data=data) for code, data in options if data]
    return b"".join(map(bytes, [*made, pcapng.PcapngOptionLE()]))


def _option(code: int, text: str) -> Any:
    return pcapng.PcapngOptionLE(code=code, data=text.encode())


def _section() -> bytes:
    """The section header: who wrote it."""
    program = _option(pcapng.PCAPNG_OPT_SHB_USERAPPL, f"sockkit {__version__}")
    return bytes(pcapng.SectionHeaderBlockLE(opts=[program, pcapng.PcapngOptionLE()]))


def _interface(command: str, link: int) -> bytes:
    """The description of an interface: our socket."""
    about = "packets made up from the calls on a socket: sizes, handshake and acknowledgements are not those of a wire"
    name = _option(pcapng.PCAPNG_OPT_IF_NAME, f"sockkit {command}")
    text = _option(pcapng.PCAPNG_OPT_IF_DESCRIPTION, about if link == LINKTYPE_RAW else "messages of a socket")
    opts = [name, text, pcapng.PcapngOptionLE()]
    return bytes(pcapng.InterfaceDescriptionBlockLE(linktype=link, snaplen=0, opts=opts))


def _is(opened: Opened, row: Native) -> bool:
    family, type = getattr(socket, row.family, -1), getattr(socket, row.type, -1) if row.type else opened.type
    return (opened.family, opened.type) == (family, type)
