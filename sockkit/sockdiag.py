"""The kernel's own list of its sockets: sock_diag over netlink (sock_diag(7)), one row of ``DUMPS`` a kind of socket.

A row says what to ask and how an answer is read. Records are decoded straight from the receive buffer, a whole header
and body with one ``unpack_from``; what a ``Wanted`` excludes never becomes an object. Structures are those of
include/uapi/linux/{inet,unix,packet,netlink,vm_sockets,xdp,smc}_diag.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sockkit import syscalls
from sockkit.addresses import format_address
from sockkit.events import Env
from sockkit.spec import SocketSpec

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_TIPC, AF_VSOCK, AF_SMC, AF_XDP = 1, 2, 10, 16, 17, 30, 40, 43, 44
STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
TCP, UDP, DCCP, SCTP, UDPLITE, IPPROTO_RAW, MPTCP = 6, 17, 33, 132, 136, 255, 262
ESTABLISHED, CLOSE, LISTEN = 1, 7, 10
"""States by their numbers in include/net/tcp_states.h; every family borrows TCP's."""
SYN_RECV, TIME_WAIT, NEW_SYN_RECV = 3, 6, 12
ALL_STATES = 0x3FFF
INTERNET = frozenset({AF_INET, AF_INET6})

_SOCK_DIAG = 4
"""NETLINK_SOCK_DIAG."""
_BY_FAMILY = 20
"""SOCK_DIAG_BY_FAMILY."""
_REQUEST_DUMP = 0x301
"""NLM_F_REQUEST | NLM_F_DUMP."""
_ERROR, _DONE = 2, 3
"""NLMSG_ERROR, NLMSG_DONE."""
_BUFFER = 1 << 18
"""The kernel fills at most 32 KiB a read; what is larger costs nothing."""


class HostSocket(NamedTuple):
    """A socket as the kernel lists it. Numbers are Linux's.

    Attributes:
        family, type, proto: as socket(2) takes them; None where the list does not tell.
        state: a number of include/net/tcp_states.h; None where the family has none.
        receive_queue: bytes that wait to be read; connections that wait for accept on a listener; messages on Unix
            datagram sockets. None: not told.
        send_queue: bytes that are not acknowledged yet; a listener's backlog. None: not told.
        local, peer: addresses as text; empty where there is none.
        port, peer_port: TCP's, UDP's … and VSOCK's; None elsewhere.
        inode: as in ``/proc/PID/fd``: ``socket:[inode]``; 0 where no process has it (any more).
        uid: the user that made it; None: not told.
        cookie: names the socket until it is gone, whatever becomes of its inode; 0: not told.
        timer: (kind, milliseconds left, times sent again) of a TCP timer that runs; else None.
        peer_inode: the other end of a connected Unix socket; 0: none.
        info: TCP_INFO, raw, where it was asked for; else None.
        drops: messages dropped since the receive queue was full; None: not told.
        listed: False: no list of the kernel's has it, only a descriptor of some process: it is not bound yet.
    """

    family: int | None
    type: int | None
    proto: int | None
    state: int | None
    receive_queue: int | None
    send_queue: int | None
    local: str
    peer: str
    port: int | None = None
    peer_port: int | None = None
    inode: int = 0
    uid: int | None = None
    cookie: int = 0
    timer: tuple[int, int, int] | None = None
    peer_inode: int = 0
    info: bytes | None = None
    drops: int | None = None
    listed: bool = True


class Wanted(NamedTuple):
    """Which sockets; None means any. What is not wanted is skipped before anything is made for it.

    Attributes:
        states: a mask of ``1 << state``.
        ports: local or peer ports.
        inodes: only these.
        details: ask for TCP_INFO and memory too, which makes every record several times as long.
    """

    families: frozenset[int] | None = None
    type: int | None = None
    proto: int | None = None
    states: int = ALL_STATES
    ports: frozenset[int] | None = None
    inodes: frozenset[int] | set[int] | None = None
    details: bool = False


class Dump(NamedTuple):
    """A kind of socket and how the kernel lists it.

    Attributes:
        name: as people call it.
        protocols: the kernel's names for it in /proc/net/protocols: where none is there no such socket can exist, and
            asking would only make the kernel look for a module.
        request: what follows the netlink header; None: no kernel lists it that way.
        decode: reads the records of one answer, and tells where they end: the last one may carry the end of the list too.
        fallback: its list in /proc/net, for kernels without its sock_diag.
    """

    name: str
    family: int
    types: tuple[int, ...]
    proto: int | None
    protocols: tuple[str, ...]
    request: Callable[[Dump, Wanted], bytes] | None
    decode: _Decode | None
    fallback: str = ""


_Decode = Callable[[Dump, bytes, int, int, Wanted, list[HostSocket]], int]


class NotListed(Exception):
    """The kernel has no sock_diag for this kind, or will not answer.

    Attributes:
        error: its refusal.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_new = tuple.__new__


def _attributes(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            return
        yield kind, data[at + 4 : at + length]
        at += length + 3 & ~3


# ---- TCP, UDP and their kin

_INET_REQUEST = struct.Struct("=BBBxI48x")
_INET = struct.Struct("=IH10x4BHH16s16sIQ5I")
_EXTENSIONS = 1 << 1 | 1 << 6
"""INET_DIAG_INFO and INET_DIAG_SKMEMINFO: bit ``number - 1``."""
_INFO, _SKMEMINFO, _PROTOCOL_ATTRIBUTE = 2, 7, 3
_SLASH_TEN = 0xFE80


def _inet_request(dump: Dump, wanted: Wanted) -> bytes:
    assert dump.proto is not None
    extensions = _EXTENSIONS if wanted.details else 0
    request = _INET_REQUEST.pack(dump.family, dump.proto & 255, extensions, wanted.states)
    if dump.proto > 255:  # MPTCP does not fit sdiag_protocol
        request += _ATTRIBUTE.pack(8, _PROTOCOL_ATTRIBUTE) + struct.pack("=I", dump.proto)
    return request


_hosts: dict[tuple[int, bytes, int], str] = {}
"""Addresses as text, with the colon: most sockets of a host share a few."""


def _host(family: int, raw: bytes, interface: int) -> str:
    if family == AF_INET:
        text = socket.inet_ntop(AF_INET, raw[:4]) + ":"
    else:
        scope = interface if int.from_bytes(raw[:2], "big") & 0xFFC0 == _SLASH_TEN else 0
        shown = format_address(AF_INET6, (socket.inet_ntop(AF_INET6, raw), 0, 0, scope))
        text = shown[:-1]
    if len(_hosts) < 65536:
        _hosts[family, raw, interface] = text
    return text


def _inet(dump: Dump, data: bytes, at: int, end: int, wanted: Wanted, found: list[HostSocket]) -> int:
    unpack, order, hosts = _INET.unpack_from, socket.ntohs, _hosts
    ports, inodes, details, number = wanted.ports, wanted.inodes, wanted.details, wanted.proto
    type, proto, raw = dump.types[0], dump.proto, dump.types[0] == RAW
    while at + _INET.size <= end:
        (length, mark, family, state, timer, retrans, sport, dport, source, destination, interface, cookie, expires,
         receive, send, uid, inode) = unpack(data, at)  # fmt: skip
        if mark != _BY_FAMILY:
            break
        begun = at
        at += length + 3 & ~3
        sport, dport = order(sport), order(dport)
        if ports is not None and (raw or (sport not in ports and dport not in ports)):
            continue
        if (inodes is not None and inode not in inodes) or (raw and number is not None and sport != number):
            continue
        here = hosts.get((family, source, interface)) or _host(family, source, interface)
        if raw:
            # The port of a raw socket is its protocol (net/ipv4/af_inet.c, inet_create).
            proto, local = sport, here[:-1]
            peer = "" if not any(destination) else _host(family, destination, interface)[:-1]
        else:
            local = f"{here}{sport}"
            there = hosts.get((family, destination, interface)) or _host(family, destination, interface)
            peer = f"{there}{dport}" if dport or any(destination) else ""
        info = drops = None
        if details:
            for kind, value in _attributes(data, begun + 88, begun + length):
                if kind == _INFO:
                    info = value
                elif kind == _SKMEMINFO and len(value) >= 36:
                    drops = int.from_bytes(value[32:36], sys.byteorder)
        found.append(
            _new(
                HostSocket,
                (
                    family, type, proto, state, receive, send, local, peer, None if raw else sport,
                    None if raw or not peer else dport, inode, uid, cookie,
                    (timer, expires, retrans) if timer else None, 0, info, drops, True,
                ),
            )
        )  # fmt: skip
    return at


# ---- Unix

_UNIX_REQUEST = struct.Struct("=BBxxIII8x")
_UNIX = struct.Struct("=IH10x3BxIQ")
_UNIX_SHOW = 1 | 4 | 16 | 64
"""UDIAG_SHOW_NAME, _PEER, _RQLEN, _UID."""
_PAIR = struct.Struct("=II")
_NUMBER = struct.Struct("=I")
_SIGNED = struct.Struct("=i")


def _unix_request(dump: Dump, wanted: Wanted) -> bytes:
    return _UNIX_REQUEST.pack(AF_UNIX, 0, wanted.states, 0, _UNIX_SHOW)


def _unix(dump: Dump, data: bytes, at: int, end: int, wanted: Wanted, found: list[HostSocket]) -> int:
    unpack, attribute, inodes, of_type = _UNIX.unpack_from, _ATTRIBUTE.unpack_from, wanted.inodes, wanted.type
    names: dict[bytes, str] = {}
    while at + _UNIX.size <= end:
        length, mark, family, type, state, inode, cookie = unpack(data, at)
        if mark != _BY_FAMILY:
            break
        here, stop = at + 32, at + length
        at += length + 3 & ~3
        if (inodes is not None and inode not in inodes) or (of_type is not None and type != of_type):
            continue
        local, peer, receive, send, uid = "", 0, None, None, None
        while here + 4 <= stop:
            size, kind = attribute(data, here)
            if kind == 0:
                name = data[here + 4 : here + size]
                local = names.get(name) or names.setdefault(name, _unix_name(name))
            elif kind == 2:
                (peer,) = _NUMBER.unpack_from(data, here + 4)
            elif kind == 4:
                receive, send = _PAIR.unpack_from(data, here + 4)
            elif kind == 7:
                (uid,) = _NUMBER.unpack_from(data, here + 4)
            here += (size + 3 & ~3) or stop
        record = (family, type, 0, state, receive, send, local, "", None, None, inode, uid, cookie, None, peer)
        found.append(_new(HostSocket, (*record, None, None, True)))
    return at


def _unix_name(name: bytes) -> str:
    """A path without the NUL that ends it, or an abstract name, whose first byte is NUL."""
    return format_address(AF_UNIX, name if name[:1] == b"\0" else os.fsdecode(name.rstrip(b"\0")))


# ---- packet, netlink, XDP, VSOCK, SMC: few of each on any host, so plainness before speed

_SHOW_REQUEST = struct.Struct("=BBxxII8x")
_PACKET = struct.Struct("=16xBBHIQ")
_NETLINK = struct.Struct("=16x4BIIIIQ")
_VSOCK_REQUEST = struct.Struct("=BBxxIII8x")
_VSOCK = struct.Struct("=16x4BIIIIIQ")
_XDP = struct.Struct("=16xBBxxIQ")
_SMC_REQUEST = struct.Struct("=BxxB48x")
_SMC = struct.Struct("=16x4BHH16s16sIQIQ")


def _records(data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each record begins and ends."""
    while at + _HEADER.size <= end:
        length, mark, *_ = _HEADER.unpack_from(data, at)
        if mark != _BY_FAMILY:
            return
        yield at, at + length
        at += length + 3 & ~3


_Queues = tuple[int | None, int | None, int | None]


def _meminfo(value: bytes) -> _Queues:
    """Receive queue, send queue, drops of an SK_MEMINFO (include/uapi/linux/sock_diag.h)."""
    if len(value) < 36:
        return None, None, None
    words = struct.unpack_from("=9I", value)
    return words[0], words[2], words[8]


def _rare(read: Callable[[bytes, int, int], HostSocket]) -> _Decode:
    """A decoder of one record becomes one of an answer."""

    def decode(dump: Dump, data: bytes, at: int, end: int, wanted: Wanted, found: list[HostSocket]) -> int:
        for begun, stop in _records(data, at, end):
            at = begun + (stop - begun + 3 & ~3)
            record = read(data, begun, stop)
            if matches(record, wanted):
                found.append(record)
        return at

    return decode


def matches(record: HostSocket, wanted: Wanted) -> bool:
    """What the fast decoders ask before they make a record."""
    return (
        (wanted.ports is None or record.port in wanted.ports or record.peer_port in wanted.ports)
        and (wanted.inodes is None or record.inode in wanted.inodes)
        and (wanted.families is None or record.family in wanted.families)
        and (wanted.type is None or record.type == wanted.type)
        and (wanted.proto is None or record.proto == wanted.proto)
        and bool(wanted.states >> (CLOSE if record.state is None else record.state) & 1)
    )


def _packet_request(dump: Dump, wanted: Wanted) -> bytes:
    return _SHOW_REQUEST.pack(AF_PACKET, 0, 0, 1 | 16)  # PACKET_SHOW_INFO | PACKET_SHOW_MEMINFO


def _packet(data: bytes, begun: int, stop: int) -> HostSocket:
    family, type, number, inode, cookie = _PACKET.unpack_from(data, begun)
    uid, index = None, 0
    queues: _Queues = (None, None, None)
    for kind, value in _attributes(data, begun + _PACKET.size, stop):
        if kind == 0:  # PACKET_DIAG_INFO
            (index,) = _NUMBER.unpack_from(value)
        elif kind == 5:  # PACKET_DIAG_UID
            (uid,) = _NUMBER.unpack_from(value)
        elif kind == 6:  # PACKET_DIAG_MEMINFO
            queues = _meminfo(value)
    # The number is in the host's order here, while sll_protocol and socket(2) take it in the network's.
    local = packet_address(number, index)
    record = HostSocket(
        family, type, number, CLOSE, queues[0], queues[1], local, "", None, None, inode, uid, cookie, None, 0
    )
    return record._replace(drops=queues[2])


def packet_address(protocol: int, index: int) -> str:
    """Where a packet socket listens: ``eth0 ETH_P_ALL``."""
    from sockkit import names

    shown = names.protocols(AF_PACKET).name(socket.htons(protocol)) if protocol else None
    try:
        interface = socket.if_indextoname(index) if index else "*"
    except OSError:
        interface = f"if{index}"
    return f"{interface} {shown or f'{protocol:#06x}'}" if protocol else interface


def _netlink_request(dump: Dump, wanted: Wanted) -> bytes:
    return _SHOW_REQUEST.pack(AF_NETLINK, 255, 0, 1)  # NDIAG_PROTO_ALL, NDIAG_SHOW_MEMINFO


def _netlink(data: bytes, begun: int, stop: int) -> HostSocket:
    family, type, proto, _, port, to, group, inode, cookie = _NETLINK.unpack_from(data, begun)
    queues: _Queues = (None, None, None)
    for kind, value in _attributes(data, begun + _NETLINK.size, stop):
        if kind == 0:
            queues = _meminfo(value)
    record = HostSocket(family, type, proto, None, *queues[:2], *netlink_addresses(port, to, group))
    return record._replace(inode=inode, cookie=cookie, drops=queues[2])


def netlink_addresses(port: int, to: int, group: int) -> tuple[str, str]:
    """Both ends of a netlink socket. Port 0 is the kernel's own; a socket sends to it unless it was connected elsewhere."""
    return "kernel" if not port else f"port {port}", f"port {to} groups {group:#x}" if to or group else ""


def _vsock_request(dump: Dump, wanted: Wanted) -> bytes:
    return _VSOCK_REQUEST.pack(AF_VSOCK, 0, wanted.states, 0, 0)


_ANY = 2**32 - 1
"""VMADDR_CID_ANY and VMADDR_PORT_ANY."""


def _vsock(data: bytes, begun: int, stop: int) -> HostSocket:
    family, type, state, _, cid, port, other, there, inode, cookie = _VSOCK.unpack_from(data, begun)
    local = format_address(AF_VSOCK, (cid, port)) if port != _ANY else ""
    peer = format_address(AF_VSOCK, (other, there)) if there not in (0, _ANY) else ""
    ports = port if local else None, there if peer else None
    return HostSocket(family, type, 0, state, None, None, local, peer, *ports, inode, None, cookie)


def _xdp_request(dump: Dump, wanted: Wanted) -> bytes:
    return _SHOW_REQUEST.pack(AF_XDP, 0, 0, 1 | 8)  # XDP_SHOW_INFO | XDP_SHOW_MEMINFO


def _xdp(data: bytes, begun: int, stop: int) -> HostSocket:
    family, type, inode, cookie = _XDP.unpack_from(data, begun)
    local, uid = "", None
    queues: _Queues = (None, None, None)
    for kind, value in _attributes(data, begun + _XDP.size, stop):
        if kind == 1:  # XDP_DIAG_INFO
            index, queue = _PAIR.unpack_from(value)
            local = f"{packet_address(0, index)} queue {queue}" if index else ""
        elif kind == 2:  # XDP_DIAG_UID
            (uid,) = _NUMBER.unpack_from(value)
        elif kind == 8:  # XDP_DIAG_MEMINFO
            queues = _meminfo(value)
    record = HostSocket(family, type, 0, None, *queues[:2], local, "")
    return record._replace(inode=inode, uid=uid, cookie=cookie, drops=queues[2])


def _smc_request(dump: Dump, wanted: Wanted) -> bytes:
    return _SMC_REQUEST.pack(AF_SMC, 0)


def _smc(data: bytes, begun: int, stop: int) -> HostSocket:
    """Its states are its own, but begin with 1 ACTIVE, 2 INIT, 7 CLOSED, 10 LISTEN (net/smc/smc.h): told as TCP's."""
    _, state, _, _, sport, dport, source, destination, interface, cookie, uid, inode = _SMC.unpack_from(data, begun)
    family = AF_INET if not any(source[4:] + destination[4:]) else AF_INET6
    sport, dport = socket.ntohs(sport), socket.ntohs(dport)
    told = state if state in (1, 2, CLOSE, LISTEN) else 1
    local = f"{_host(family, source, interface)}{sport}"
    peer = f"{_host(family, destination, interface)}{dport}" if dport else ""
    return HostSocket(AF_SMC, STREAM, 0, told, None, None, local, peer, sport, dport or None, inode, uid, cookie)


_INET_KINDS = (
    ("tcp", STREAM, TCP, "TCP", "tcp"),
    ("udp", DGRAM, UDP, "UDP", "udp"),
    ("mptcp", STREAM, MPTCP, "MPTCP", ""),
    ("sctp", STREAM, SCTP, "SCTP", ""),
    ("dccp", 6, DCCP, "DCCP", ""),
    ("udplite", DGRAM, UDPLITE, "UDP-Lite UDPLITE", "udplite"),
    ("raw", RAW, IPPROTO_RAW, "RAW", "raw"),
)
DUMPS: tuple[Dump, ...] = (
    *(
        Dump(
            f"{name}{suffix}",
            family,
            (type,),
            proto,
            tuple(f"{word}{version}" for word in words.split()),
            _inet_request,
            _inet,
            file and f"{file}{suffix}",
        )
        for name, type, proto, words, file in _INET_KINDS
        for family, suffix, version in ((AF_INET, "", ""), (AF_INET6, "6", "v6"))
    ),
    Dump("ping", AF_INET, (DGRAM,), 1, ("PING",), None, None, "icmp"),
    Dump("ping6", AF_INET6, (DGRAM,), 58, ("PINGv6",), None, None, "icmp6"),
    Dump("unix", AF_UNIX, (STREAM, DGRAM, SEQPACKET), None, ("UNIX", "UNIX-STREAM"), _unix_request, _unix, "unix"),
    Dump("packet", AF_PACKET, (RAW, DGRAM, 10), None, ("PACKET",), _packet_request, _rare(_packet), "packet"),
    Dump("netlink", AF_NETLINK, (RAW, DGRAM), None, ("NETLINK",), _netlink_request, _rare(_netlink), "netlink"),
    Dump("vsock", AF_VSOCK, (STREAM, DGRAM, SEQPACKET), None, ("AF_VSOCK",), _vsock_request, _rare(_vsock)),
    Dump("xdp", AF_XDP, (RAW,), None, ("XDP",), _xdp_request, _rare(_xdp)),
    Dump("smc", AF_SMC, (STREAM,), None, ("SMC", "SMC6"), _smc_request, _rare(_smc)),
)


def relevant(dump: Dump, wanted: Wanted) -> bool:
    """Whether sockets of that kind can be wanted at all."""
    raw = dump.proto == IPPROTO_RAW
    return (
        (wanted.families is None or dump.family in wanted.families)
        and (wanted.type is None or wanted.type in dump.types)
        and (wanted.proto is None or dump.proto is None or raw or dump.proto == wanted.proto)
        and (wanted.ports is None or dump.family in (AF_VSOCK, AF_SMC) or (dump.proto is not None and not raw))
    )


class SockDiag:
    """A netlink socket that asks. Use it as a context manager; it belongs to the network namespace it was made in.

    Raises:
        OSError: this kernel has no netlink, or will not let us make a socket of it.
    """

    def __init__(self, env: Env) -> None:
        self._env = env
        self._socket = syscalls.make(env, SocketSpec(AF_NETLINK, RAW, _SOCK_DIAG))
        self._buffer = bytearray(_BUFFER)
        self._asked = 0

    def __enter__(self) -> SockDiag:
        return self

    def __exit__(self, *exception: object) -> None:
        syscalls.close(self._env, self._socket)

    @property
    def inode(self) -> int:
        """Its own, which is in the kernel's list too: it is there only since somebody looks."""
        return os.fstat(self._socket.fileno()).st_ino

    def dump(self, dump: Dump, wanted: Wanted, found: list[HostSocket]) -> None:
        """Append the sockets of a kind that are wanted.

        Raises:
            NotListed: the kernel has no such list.
        """
        request, decode = dump.request, dump.decode
        if request is None or decode is None:
            raise NotListed(OSError(errno.ENOENT, os.strerror(errno.ENOENT)))
        self._asked += 1
        body = request(dump, wanted)
        header = _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST_DUMP, self._asked, 0)
        self._socket.send(header + body)
        view = memoryview(self._buffer)
        while True:
            # A dump is made as it is read, so there is always something to read: this never waits.
            size = self._socket.recv_into(self._buffer)
            data = bytes(view[:size])
            at = 0
            while at + _HEADER.size <= size:
                length, mark, _, asked, _ = _HEADER.unpack_from(data, at)
                if mark == _BY_FAMILY and asked == self._asked:
                    read_to = decode(dump, data, at, size, wanted, found)
                    if read_to > at:
                        at = read_to
                        continue
                if mark in (_DONE, _ERROR) and asked == self._asked:
                    number = _SIGNED.unpack_from(data, at + 16)[0] if length >= 20 else 0
                    if number < 0:
                        raise NotListed(OSError(-number, os.strerror(-number)))
                    return
                at += max(length, _HEADER.size) + 3 & ~3
