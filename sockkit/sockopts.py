"""Socket options: one row each. What their values look like is told by ``optvals``.

Nothing here makes or touches a socket. A row says where the option lives, what kind of value it has, the moment at
which it can be set, what reading it does, and what the kernel makes of the value, so that "asked" and "got" can stand
side by side. To add an option, add its row to the group of its level; to add a kind of value, add a ``Kind``.

Only what cannot be encoded is refused here (``--set SO_RCVBUF=lots``, an int that needs more than 32 bits). A value
that the kernel will not have still goes to the kernel: its answer is what the user came to see.

Numbers are Python's own where it exports them. The numbers in the rows are Linux's (include/uapi, up to 6.18), and used
only there: BSD, macOS and Windows number their options otherwise, and a wrong number would set something else.
"""

from __future__ import annotations

import socket
import struct
import sys
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sockkit import optvals as kinds
from sockkit.errors import UsageError
from sockkit.optvals import LINUX, Kind


class Moment(StrEnum):
    """When setting an option does what it says."""

    BEFORE_BIND = "before bind"
    BEFORE_CONNECT = "before connect or listen"
    ANY = "any time"
    CONNECTED = "once connected"
    NEVER = "read only"


class Sockets(NamedTuple):
    """Some sockets, as the kernel reports them. None means any."""

    families: frozenset[int] | None = None
    types: frozenset[int] | None = None
    protocols: frozenset[int] | None = None
    not_protocols: frozenset[int] = frozenset()

    def contains(self, family: int, type: int, proto: int) -> bool:
        """True if such a socket is one of them."""
        return (
            (self.families is None or family in self.families)
            and (self.types is None or type in self.types)
            and (self.protocols is None or proto in self.protocols)
            and proto not in self.not_protocols
        )


Applies = tuple[Sockets, ...]
"""The sockets that an option is for: those of any of these."""


class SockOption(NamedTuple):
    """One socket option."""

    name: str
    """``SO_RCVBUF``."""
    level: str
    """``SOL_SOCKET``."""
    level_number: int | None
    number: int | None
    """None where this platform lacks the option."""
    kind: Kind
    unit: str
    """``bytes``, ``seconds`` …, or empty."""
    applies: Applies
    """The sockets that it is for. Kernels take some options on sockets where they mean nothing too: not listed."""
    moment: Moment
    reading: str
    """What reading it does to the socket, to a counter or to us, so that it must not be asked unasked; empty: nothing."""
    volatile: bool
    """The value moves by itself, with time or traffic. Structures mark their fields: ``steady``."""
    privilege: str
    """The capability that setting it takes, and when: ``CAP_NET_ADMIN outside 0 to 6``; or empty."""
    kernel: str
    """What the kernel makes of the value: ``doubled, at least 2304``."""
    source: str
    """Where it is documented: ``socket(7)``, or the file of the kernel that acts on it."""
    meaning: str
    """One phrase."""
    sysctl: str = ""
    """The system-wide setting that a fresh socket's value comes from, if there is one."""
    refusals: tuple[str, ...] = ()
    """errnos with which reading may be answered, in some states of the socket or by older kernels."""

    @property
    def settable(self) -> bool:
        """True if there is a moment and a way to set it."""
        return self.moment is not Moment.NEVER and self.kind.encode is not None

    @property
    def readable(self) -> bool:
        """True if there is a value to read: some options are done rather than kept (IP_ADD_MEMBERSHIP)."""
        return self.kind.size > 0

    @property
    def reading_changes(self) -> bool:
        """True if getsockopt has an effect, so that it must not be asked unasked."""
        return bool(self.reading)

    @property
    def looked_at(self) -> bool:
        """True if a look at a socket includes it: it can be read, and reading it changes nothing."""
        return self.readable and not self.reading

    def read_size(self, family: int) -> int:
        """The bytes to ask for."""
        for its, size in self.kind.sizes:
            if its == family:
                return size
        return self.kind.size

    def python_size(self, family: int) -> int | None:
        """The third argument of Python's own ``getsockopt``: 0 leaves it out, for an int; None where Python cannot read it."""
        if self.kind.plain or (family == _AF_VSOCK and self.kind.size <= 8):
            return 0
        unable = not self.readable or self.kind.given is not None or self.kind.size > 1024 or family == _AF_VSOCK
        return None if unable else self.read_size(family)

    def decode(self, raw: bytes | int) -> object:
        """What getsockopt returned, as a value that JSON can hold.

        Bytes that are not what the kind expects come back as ``{"bytes": "0a0b"}``: nothing hidden, nothing invented.
        """
        if isinstance(raw, int):
            size = self.kind.size if 0 < self.kind.size <= 8 else 8
            raw = (raw & ((1 << 8 * size) - 1)).to_bytes(size, sys.byteorder)
        try:
            return self.kind.decode(raw)
        except (ValueError, struct.error, IndexError):
            return {"bytes": raw.hex()}

    def show(self, value: object) -> str:
        """A decoded value for people: ``on``, ``212992 bytes``, ``5 s``, ``cubic``, ``pid 12 uid 0 gid 0``."""
        if isinstance(value, dict) and value.keys() == {"bytes"}:
            return f"{len(value['bytes']) // 2} bytes, hex {value['bytes']}"
        text = self.kind.show(value)
        if self.unit and isinstance(value, int) and not isinstance(value, bool):
            unit = kinds.SHORT_UNITS.get(self.unit, self.unit)
            return f"{text} {'byte' if unit == 'bytes' and value == 1 else unit}"
        return text

    def parts(self, value: dict[str, Any]) -> list[tuple[str, str]]:
        """A decoded structure for people, one (name, text) a field."""
        return kinds.field_texts(self.kind.layout, value)

    def steady(self, value: object) -> object:
        """A decoded value without what moves by itself, for comparing two readings: None where all of it does."""
        if self.volatile:
            return None
        moving = {field.name for field in kinds.fields(self.kind.layout) if field.volatile}
        if not moving or not isinstance(value, dict):
            return value
        moving |= {kinds.LISTENER_NAMES[name] for name in moving & kinds.LISTENER_NAMES.keys()}
        return {name: one for name, one in value.items() if name not in moving}

    @property
    def about(self) -> str:
        """The row in one line, for an error: ``IPV6_V6ONLY (IPPROTO_IPV6 26): no IPv4 peers; set before bind; EINVAL once bound``."""
        where = f" {self.number}" if self.number is not None else ""
        when = f"set {self.moment.value}" if self.settable else "read only" if self.readable else ""
        told = (self.meaning, self.unit and f"in {self.unit}", when, self.privilege, self.kernel)
        return f"{self.name} ({self.level}{where}): {'; '.join(filter(None, told))}"


# ---- sockets that options are for


def _constants(prefix: str, *names: str) -> frozenset[int]:
    """The numbers of those that this platform has."""
    return frozenset(int(getattr(socket, prefix + name)) for name in names if hasattr(socket, prefix + name))


def _families(**numbers: int) -> frozenset[int]:
    """The numbers of families: Python's where it exports them, else Linux's, on Linux."""
    found = ((getattr(socket, f"AF_{name}", None), number) for name, number in numbers.items())
    return frozenset(int(its) if its is not None else number for its, number in found if its is not None or LINUX)


_AF_VSOCK = int(getattr(socket, "AF_VSOCK", -1))
_STREAM = _constants("SOCK_", "STREAM")
_STREAMS = _constants("SOCK_", "STREAM", "SEQPACKET")
_DGRAM = _constants("SOCK_", "DGRAM")
_RAW = _constants("SOCK_", "RAW")
_MESSAGES = _DGRAM | _RAW
_V4 = _constants("AF_", "INET")
_V6 = _constants("AF_", "INET6")
_INET = _V4 | _V6
_UNIX = _constants("AF_", "UNIX")
_NETLINK = _families(NETLINK=16)
_PACKET = _families(PACKET=17)
_CAN = _families(CAN=29)
_TCP, _UDP, _UDPLITE, _MPTCP, _SCTP, _DCCP, _L2TP = 6, 17, 136, 262, 132, 33, 115


def _of(*protocols: int) -> frozenset[int]:
    return frozenset(protocols)


_ANY: Applies = (Sockets(),)
_NOT_MPTCP = frozenset({_MPTCP})
_ON_INET: Applies = (Sockets(_INET),)
_ON_INET_NOT_MPTCP: Applies = (Sockets(_INET, not_protocols=_NOT_MPTCP),)
_ON_UNIX: Applies = (Sockets(_UNIX),)
_ON_TCP: Applies = (Sockets(_INET, _STREAM, _of(_TCP)),)
_ON_TCP_MPTCP: Applies = (Sockets(_INET, _STREAM, _of(_TCP, _MPTCP)),)
_ON_MPTCP: Applies = (Sockets(_INET, _STREAM, _of(_MPTCP)),)
_ON_UDP: Applies = (Sockets(_INET, _DGRAM, _of(_UDP, _UDPLITE)),)
_ON_UDPLITE: Applies = (Sockets(_INET, _DGRAM, _of(_UDPLITE)),)
_ON_SCTP: Applies = (Sockets(_INET, _STREAMS, _of(_SCTP)),)
_ON_DCCP: Applies = (Sockets(_INET, None, _of(_DCCP)),)
_ON_RAW4: Applies = (Sockets(_V4, _RAW),)
_ON_RAW6: Applies = (Sockets(_V6, _RAW),)
# On Linux an IPv6 socket has the options of its IPv4 half too, which v4-mapped peers meet; a raw one has no such half.
_ON_IP_MPTCP: Applies = (Sockets(_V4), *((Sockets(_V6, _STREAMS | _DGRAM),) if LINUX else ()))
_ON_IP: Applies = tuple(sockets._replace(not_protocols=_NOT_MPTCP) for sockets in _ON_IP_MPTCP)
_ON_IP_MESSAGES: Applies = (Sockets(_V4, _MESSAGES), *((Sockets(_V6, _DGRAM),) if LINUX else ()))
_ON_IPV6_MPTCP: Applies = (Sockets(_V6),)
_ON_IPV6: Applies = (Sockets(_V6, not_protocols=_NOT_MPTCP),)
_ON_IPV6_MESSAGES: Applies = (Sockets(_V6, _MESSAGES),)


# ---- the table

_SOL_SOCKET = int(socket.SOL_SOCKET)


def _number(name: str, level: str, linux: int, kind: Kind) -> int | None:
    if kind.linux and not LINUX:
        return None
    exported = getattr(socket, name, None)
    if exported is not None:
        return int(exported)
    # Where SOL_SOCKET is not 1 (MIPS, SPARC, Alpha, PA-RISC), its options are numbered otherwise.
    return linux if LINUX and (level != "SOL_SOCKET" or _SOL_SOCKET == 1) else None


def _row(
    level: str,
    level_number: int | None,
    source: str,
    applies: Applies,
    name: str,
    linux: int,
    kind: Kind,
    meaning: str,
    *,
    on: Applies | None = None,
    unit: str = "",
    moment: Moment = Moment.ANY,
    kernel: str = "",
    privilege: str = "",
    sysctl: str = "",
    refusals: tuple[str, ...] = (),
    reading: str = "",
    volatile: bool = False,
    documented: str = "",
) -> SockOption:
    """A row: its group's level, source and sockets first, then what is its own, then what is not as usual."""
    return SockOption(
        name,
        level,
        level_number,
        None if level_number is None else _number(name, level, linux, kind),
        kind,
        unit,
        applies if on is None else on,
        moment,
        reading,
        volatile,
        privilege,
        kernel,
        documented or source,
        meaning,
        sysctl,
        refusals,
    )


def _level(name: str, number: int, source: str, applies: Applies, **usual: Any) -> partial[SockOption]:
    """The rows of a level that only Linux numbers so."""
    return partial(_row, name, number if LINUX else None, source, applies, **usual)


_so = partial(_row, "SOL_SOCKET", _SOL_SOCKET, "socket(7)", _ANY)
_ip = partial(_row, "IPPROTO_IP", 0, "ip(7)", _ON_IP)
_ipv6 = partial(_row, "IPPROTO_IPV6", 41, "ipv6(7)", _ON_IPV6)
_tcp = partial(_row, "IPPROTO_TCP", _TCP, "tcp(7)", _ON_TCP)
_udp = partial(_row, "IPPROTO_UDP", _UDP, "udp(7)", _ON_UDP)
_udplite = partial(_row, "IPPROTO_UDPLITE", _UDPLITE, "udplite(7)", _ON_UDPLITE)
_vsock = partial(
    _row,
    "AF_VSOCK",
    _AF_VSOCK if _AF_VSOCK >= 0 else None,
    "linux/vm_sockets.h",
    (Sockets(_constants("AF_", "VSOCK"), _STREAMS),),
)
_mptcp = _level("SOL_MPTCP", 284, "Linux: networking/mptcp, linux/mptcp.h", _ON_MPTCP)
_tls = _level("SOL_TLS", 282, "Linux: networking/tls, linux/tls.h", _ON_TCP)
_sctp = _level("IPPROTO_SCTP", _SCTP, "sctp(7), RFC 6458", _ON_SCTP)
_dccp = _level("SOL_DCCP", 269, "Linux: networking/dccp (until 6.15)", _ON_DCCP)
_raw = _level("SOL_RAW", 255, "raw(7)", _ON_RAW4)
_icmp6 = _level("IPPROTO_ICMPV6", 58, "RFC 3542", (Sockets(_V6, _RAW, _of(58)),))
_packet = _level("SOL_PACKET", 263, "packet(7)", (Sockets(_PACKET),))
_netlink = _level("SOL_NETLINK", 270, "netlink(7)", (Sockets(_NETLINK),))
_can_raw = _level("SOL_CAN_RAW", 101, "Linux: networking/can", (Sockets(_CAN, None, _of(1)),))
_isotp = _level("SOL_CAN_ISOTP", 106, "Linux: networking/iso15765-2", (Sockets(_CAN, None, _of(6)),))
_j1939 = _level("SOL_CAN_J1939", 107, "Linux: networking/j1939", (Sockets(_CAN, None, _of(7)),))
_tipc = _level("SOL_TIPC", 271, "linux/tipc.h", (Sockets(_families(TIPC=30)),))
_alg = _level("SOL_ALG", 279, "Linux: crypto/userspace-if", (Sockets(_families(ALG=38)),))
_smc = _level("SOL_SMC", 286, "linux/smc.h", (Sockets(_families(SMC=43)),))
_xdp = _level("SOL_XDP", 283, "Linux: networking/af_xdp", (Sockets(_families(XDP=44)),))
_rxrpc = _level("SOL_RXRPC", 272, "Linux: networking/rxrpc", (Sockets(_families(RXRPC=33)),))
_rds = _level("SOL_RDS", 276, "Linux: networking/rds", (Sockets(_families(RDS=21)),))
_kcm = _level("SOL_KCM", 281, "Linux: networking/kcm", (Sockets(_families(KCM=41)),))
_pppol2tp = _level("SOL_PPPOL2TP", 273, "Linux: networking/l2tp", (Sockets(_families(PPPOX=24)),))
_llc = _level("SOL_LLC", 268, "linux/llc.h", (Sockets(_families(LLC=26)),))
_mctp = _level("SOL_MCTP", 285, "Linux: networking/mctp", (Sockets(_families(MCTP=45)),))
_pnpipe = _level(
    "SOL_PNPIPE", 275, "Linux: networking/phonet", (Sockets(_families(PHONET=35), _constants("SOCK_", "SEQPACKET")),)
)
_ax25 = _level("SOL_AX25", 257, "linux/ax25.h", (Sockets(_families(AX25=3)),))
_netrom = _level("SOL_NETROM", 259, "linux/netrom.h", (Sockets(_families(NETROM=6)),))
_rose = _level("SOL_ROSE", 260, "linux/rose.h", (Sockets(_families(ROSE=11)),))
_x25 = _level("SOL_X25", 262, "x25(7)", (Sockets(_families(X25=9)),))
_caif = _level("SOL_CAIF", 278, "Linux: networking/caif", (Sockets(_families(CAIF=37)),))
_nfc = _level("SOL_NFC", 280, "linux/nfc.h", (Sockets(_families(NFC=39), None, _of(1)),), refusals=("ENODEV",))

_BIND = Moment.BEFORE_BIND
_CONNECT = Moment.BEFORE_CONNECT
_CONNECTED = Moment.CONNECTED
_NEVER = Moment.NEVER
_OLD = ("ENOPROTOOPT",)
"""Kernels that do not know the option yet."""
_ADMIN = "CAP_NET_ADMIN"
_SOCK_C = "net/core/sock.c"

INT, UINT, HEX, UHEX, BOOL, STRING = kinds.INT, kinds.UINT, kinds.HEX, kinds.UHEX, kinds.BOOL, kinds.STRING
_struct = kinds.structure

# Wrapped by hand: at one value a line, nobody would see the table for the lines.
# fmt: off
_SOCKET_ROWS = (
    _so("SO_DOMAIN", 39, kinds.FAMILY, "address family", moment=_NEVER),
    _so("SO_TYPE", 3, kinds.TYPE, "socket type", moment=_NEVER),
    _so("SO_PROTOCOL", 38, kinds.PROTOCOL, "protocol that the kernel chose", moment=_NEVER),
    _so("SO_ACCEPTCONN", 30, BOOL, "it listens", moment=_NEVER),
    _so("SO_ERROR", 4, kinds.ERRNO, "pending error", moment=_NEVER, reading="reading it clears it", volatile=True),
    _so("SO_COOKIE", 57, kinds.COOKIE, "number of this socket, unique until the system restarts",
        moment=_NEVER, kernel="given when it is first asked for", documented="asm-generic/socket.h, Linux 4.12",
        refusals=_OLD),
    _so("SO_NETNS_COOKIE", 71, kinds.COOKIE, "number of its network namespace, unique until the system restarts",
        moment=_NEVER, documented="asm-generic/socket.h, Linux 5.14", refusals=_OLD),
    _so("SO_REUSEADDR", 2, BOOL, "bind although old connections still use the address",
        on=_ON_INET, moment=_BIND, kernel="a listener still excludes another one; SOCK_RAW is born with it on"),
    _so("SO_REUSEPORT", 15, BOOL, "several sockets of one user share the port",
        on=_ON_INET, moment=_BIND, kernel="every one of the sockets must set it"),
    _so("SO_BROADCAST", 6, BOOL, "may send to broadcast addresses", on=_ON_IP_MESSAGES),
    _so("SO_SNDBUF", 7, INT, "largest send buffer",
        unit="bytes", volatile=True,
        kernel="doubled; at least 4608, at most twice net.core.wmem_max; TCP no longer tunes it",
        sysctl="net.core.wmem_default; TCP: the second of net.ipv4.tcp_wmem"),
    _so("SO_RCVBUF", 8, INT, "largest receive buffer",
        unit="bytes", moment=_CONNECT, volatile=True,
        kernel="doubled; at least 2304, at most twice net.core.rmem_max; TCP no longer tunes it, nor its window scale",
        sysctl="net.core.rmem_default; TCP: the second of net.ipv4.tcp_rmem"),
    _so("SO_SNDBUFFORCE", 32, kinds.INT_ONLY, "SO_SNDBUF beyond net.core.wmem_max",
        unit="bytes", privilege=_ADMIN, kernel="doubled; read SO_SNDBUF"),
    _so("SO_RCVBUFFORCE", 33, kinds.INT_ONLY, "SO_RCVBUF beyond net.core.rmem_max",
        unit="bytes", moment=_CONNECT, privilege=_ADMIN, kernel="doubled; read SO_RCVBUF"),
    _so("SO_BUF_LOCK", 72, kinds.flags("locked buffers", {1: "send", 2: "receive"}),
        "buffers whose size was set, so that TCP leaves them",
        kernel="setting SO_SNDBUF or SO_RCVBUF locks it; MPTCP says EOPNOTSUPP", documented=f"{_SOCK_C}, Linux 5.14", refusals=_OLD),
    _so("SO_SNDLOWAT", 19, INT, "free space that makes it writable", unit="bytes", moment=_NEVER, kernel="always 1"),
    _so("SO_RCVLOWAT", 18, INT, "waiting data that makes it readable",
        unit="bytes",
        kernel="0 becomes 1, a negative number the largest; TCP: at most half of the largest receive buffer"),
    _so("SO_SNDTIMEO", 21, kinds.TIMEVAL, "how long send, and connect, may block",
        unit="seconds", kernel="rounded up to a clock tick (1 to 10 ms)"),
    _so("SO_RCVTIMEO", 20, kinds.TIMEVAL, "how long recv and accept may block",
        unit="seconds", kernel="rounded up to a clock tick (1 to 10 ms)"),
    _so("SO_SNDTIMEO_NEW", 67, kinds.TIMEVAL64, "SO_SNDTIMEO with 64 bits of time on every machine",
        unit="seconds", kernel="rounded up to a clock tick (1 to 10 ms)", documented=f"{_SOCK_C}, Linux 5.1",
        refusals=_OLD),
    _so("SO_RCVTIMEO_NEW", 66, kinds.TIMEVAL64, "SO_RCVTIMEO with 64 bits of time on every machine",
        unit="seconds", kernel="rounded up to a clock tick (1 to 10 ms)", documented=f"{_SOCK_C}, Linux 5.1",
        refusals=_OLD),
    _so("SO_KEEPALIVE", 9, BOOL, "probe an idle peer",
        on=(Sockets(_INET, _STREAMS), Sockets(_families(TIPC=30, SMC=43), _STREAMS)),
        kernel="when and how often: TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT"),
    _so("SO_LINGER", 13, kinds.LINGER, "close waits until data is sent",
        on=(Sockets(_INET | _constants("AF_", "VSOCK"), _STREAMS),), unit="seconds",
        kernel="on,0 makes TCP's close drop what is queued and send a reset"),
    _so("SO_OOBINLINE", 10, BOOL, "urgent data stays in the stream", on=(*_ON_TCP, Sockets(_UNIX, _STREAM))),
    _so("SO_DONTROUTE", 5, BOOL, "no gateways, only hosts on the link", on=_ON_INET_NOT_MPTCP),
    _so("SO_PRIORITY", 12, INT, "queueing priority of what is sent",
        on=(Sockets(_INET | _PACKET | _CAN),), privilege="CAP_NET_ADMIN outside 0 to 6",
        kernel="setting IP_TOS sets it too"),
    _so("SO_MARK", 36, UHEX, "mark on what is sent, for routing and filters",
        on=(Sockets(_INET | _PACKET),), privilege="CAP_NET_ADMIN; since Linux 5.17 CAP_NET_RAW is enough"),
    _so("SO_RCVMARK", 75, BOOL, "tell with each message the mark that it came with",
        on=_ON_IP_MESSAGES, privilege="CAP_NET_ADMIN or CAP_NET_RAW", documented=f"{_SOCK_C}, Linux 5.19", refusals=_OLD),
    _so("SO_RCVPRIORITY", 82, BOOL, "tell with each message the priority that it came with",
        on=_ON_IP_MESSAGES, documented=f"{_SOCK_C}, Linux 6.14", refusals=_OLD),
    _so("SO_BINDTODEVICE", 25, STRING, "use this network interface only",
        on=_ON_INET, moment=_BIND, privilege="CAP_NET_RAW to change or remove one; before Linux 5.7 always",
        kernel="empty removes it"),
    _so("SO_BINDTOIFINDEX", 62, INT, "use the network interface of this number only",
        on=_ON_INET, moment=_BIND, privilege="CAP_NET_RAW to change or remove one", kernel="0 removes it",
        documented=f"{_SOCK_C}, Linux 5.1", refusals=_OLD),
    _so("SO_TIMESTAMP", 29, BOOL, "tell with each message when it arrived"),
    _so("SO_TIMESTAMPNS", 35, BOOL, "tell with each message when it arrived, in nanoseconds",
        documented="Linux: networking/timestamping"),
    _so("SO_TIMESTAMPING", 37, kinds.TIMESTAMPING, "where time stamps are taken, and which of them are told",
        documented="Linux: networking/timestamping", kernel="tx_… stamps come by MSG_ERRQUEUE"),
    _so("SO_TIMESTAMP_NEW", 63, BOOL, "SO_TIMESTAMP with 64 bits of time on every machine",
        documented="Linux: networking/timestamping", refusals=_OLD),
    _so("SO_TIMESTAMPNS_NEW", 64, BOOL, "SO_TIMESTAMPNS with 64 bits of time on every machine",
        documented="Linux: networking/timestamping", refusals=_OLD),
    _so("SO_TIMESTAMPING_NEW", 65, kinds.TIMESTAMPING, "SO_TIMESTAMPING with 64 bits of time on every machine",
        documented="Linux: networking/timestamping", refusals=_OLD),
    _so("SO_TXTIME", 61, _struct("when to send", "clockid:i flags:I", size=8, settable=True),
        "packets leave at the time that SCM_TXTIME names", on=(Sockets(_INET | _PACKET),),
        privilege="CAP_NET_ADMIN unless clockid is 1 (CLOCK_MONOTONIC)",
        kernel="flags: 1 deadline mode, 2 report errors", documented="tc-etf(8)", refusals=_OLD),
    _so("SO_RXQ_OVFL", 40, BOOL, "tell with each message how many were dropped", on=(Sockets(None, _MESSAGES),)),
    _so("SO_PEEK_OFF", 42, INT, "where MSG_PEEK starts",
        on=(Sockets(_UNIX), Sockets(_INET, None, _of(_TCP, _UDP, _UDPLITE))), unit="bytes",
        kernel="-1: always at the front; TCP since Linux 6.9", refusals=("EOPNOTSUPP",)),
    _so("SO_INCOMING_CPU", 49, INT, "CPU that handles what arrives",
        on=_ON_INET, volatile=True, kernel="follows the packets; -1 until there are any"),
    _so("SO_INCOMING_NAPI_ID", 56, UINT, "receive queue of the device that what arrived came by",
        on=_ON_INET, moment=_NEVER, volatile=True, kernel="0 until there are any", documented=f"{_SOCK_C}, Linux 4.12",
        refusals=_OLD),
    _so("SO_BUSY_POLL", 46, INT, "poll the device this long before sleeping",
        on=_ON_INET, unit="microseconds", kernel="older kernels want CAP_NET_ADMIN to raise it",
        sysctl="net.core.busy_read", refusals=_OLD),
    _so("SO_PREFER_BUSY_POLL", 69, BOOL, "leave packets to busy polling rather than to interrupts",
        on=_ON_INET, privilege="CAP_NET_ADMIN to turn it on", documented=f"{_SOCK_C}, Linux 5.11", refusals=_OLD),
    _so("SO_BUSY_POLL_BUDGET", 70, kinds.INT_ONLY, "packets that one busy poll may take",
        on=_ON_INET, privilege="CAP_NET_ADMIN to raise it", kernel="0 to 65535; it cannot be read",
        documented=f"{_SOCK_C}, Linux 5.11"),
    _so("SO_MAX_PACING_RATE", 47, kinds.RATE, "highest sending rate",
        on=_ON_INET_NOT_MPTCP, unit="bytes per second", documented="tc-fq(8)"),
    _so("SO_RESERVE_MEM", 73, INT, "memory that its cgroup sets aside for it",
        on=_ON_INET, unit="bytes", kernel="EOPNOTSUPP without memory accounting for its cgroup",
        documented=f"{_SOCK_C}, Linux 5.17", refusals=_OLD),
    _so("SO_TXREHASH", 74, INT, "try another path after timeouts",
        on=_ON_TCP, kernel="0 or 1; -1 is the system's", sysctl="net.core.txrehash",
        documented=f"{_SOCK_C}, Linux 5.18", refusals=(*_OLD, "EOPNOTSUPP")),
    _so("SO_CNX_ADVICE", 53, kinds.INT_ONLY, "say that the path seems bad (1): the next packet may take another",
        on=_ON_INET, kernel="it cannot be read", documented=f"{_SOCK_C}, Linux 4.6"),
    _so("SO_NO_CHECK", 11, BOOL, "send UDP without a checksum",
        on=(Sockets(_V4, None, _of(_UDP)),), documented="asm-generic/socket.h"),
    _so("SO_ZEROCOPY", 60, BOOL, "MSG_ZEROCOPY may be used",
        on=(Sockets(_INET, None, _of(_TCP, _UDP)), Sockets(_constants("AF_", "VSOCK"))),
        documented="Linux: networking/msg_zerocopy", refusals=_OLD),
    _so("SO_DEVMEM_DONTNEED", 80, _struct("tokens", "token_start:I token_count:I", settable=True),
        "give buffers of device memory back", on=_ON_TCP, documented="Linux: networking/devmem, Linux 6.12"),
    _so("SO_MEMINFO", 55, kinds.MEMINFO, "memory that it uses, and packets dropped",
        moment=_NEVER, documented="linux/sock_diag.h, Linux 4.12", refusals=_OLD),
    _so("SO_GET_FILTER", 26, kinds.FILTER, "classic BPF program that decides what is received",
        moment=_NEVER, kernel="SO_ATTACH_FILTER, of the same number, sets it by a pointer; EACCES for what came from eBPF",
        documented="Linux: networking/filter", refusals=("EACCES", "EPERM")),
    _so("SO_DETACH_FILTER", 27, kinds.INT_ONLY, "remove the program that decides what is received",
        kernel="ENOENT where there is none, EPERM once it is locked", documented="Linux: networking/filter"),
    _so("SO_LOCK_FILTER", 44, BOOL, "the program that decides what is received stays as it is",
        kernel="for ever: EPERM to turn it off"),
    _so("SO_ATTACH_BPF", 50, kinds.INT_ONLY, "eBPF program, by its descriptor, that decides what is received",
        kernel="EPERM once it is locked"),
    _so("SO_ATTACH_REUSEPORT_CBPF", 51, kinds.POINTER, "classic BPF program that picks the socket of a SO_REUSEPORT group",
        on=_ON_INET),
    _so("SO_ATTACH_REUSEPORT_EBPF", 52, kinds.INT_ONLY, "eBPF program, by its descriptor, that picks the socket of a group",
        on=_ON_INET),
    _so("SO_DETACH_REUSEPORT_BPF", 68, kinds.INT_ONLY, "remove the program that picks the socket of a group",
        on=_ON_INET, kernel="ENOENT where there is none", documented=f"{_SOCK_C}, Linux 5.3"),
    _so("SO_BPF_EXTENSIONS", 48, INT, "number of ancillary words that a classic BPF program may ask for",
        moment=_NEVER, documented="linux/filter.h", refusals=_OLD),
    _so("SO_SELECT_ERR_QUEUE", 45, BOOL, "select tells of the error queue as an exception",
        on=(Sockets(not_protocols=_NOT_MPTCP),), documented=f"{_SOCK_C}, Linux 3.10"),
    _so("SO_WIFI_STATUS", 41, BOOL, "tell whether a wireless frame was acknowledged",
        on=(Sockets(_PACKET),), documented=_SOCK_C),
    _so("SO_NOFCS", 43, BOOL, "the last 4 bytes of what is sent are the frame's checksum",
        on=(Sockets(_PACKET),), documented=_SOCK_C),
    _so("SO_PASSCRED", 16, BOOL, "tell with each message who sent it",
        on=(Sockets(_UNIX | _NETLINK),), documented="unix(7)"),
    _so("SO_PASSPIDFD", 76, BOOL, "tell with each message who sent it, as a descriptor of the process",
        on=_ON_UNIX, documented="unix(7), Linux 6.5", refusals=_OLD),
    _so("SO_PASSSEC", 34, BOOL, "tell with each message the security label of who sent it",
        on=(Sockets(_UNIX | _NETLINK),), documented="unix(7)"),
    _so("SO_PASSRIGHTS", 83, BOOL, "take descriptors that come with messages",
        on=_ON_UNIX, documented="net/core/sock.c, Linux 6.16", refusals=_OLD),
    _so("SO_INQ", 84, kinds.BOOL_ONLY, "tell with each message how much is still to be received",
        on=(Sockets(_UNIX, _STREAM),), kernel="it cannot be read", documented="net/unix/af_unix.c, Linux 6.17"),
    _so("SO_PEERCRED", 17, kinds.UCRED, "process at the other end, when it connected or listened",
        on=_ON_UNIX, moment=_NEVER, documented="unix(7)"),
    _so("SO_PEERGROUPS", 59, kinds.GROUPS, "supplementary groups of the process at the other end",
        on=_ON_UNIX, moment=_NEVER, documented=f"{_SOCK_C}, Linux 4.13", refusals=("ENODATA", *_OLD)),
    _so("SO_PEERSEC", 31, kinds.LABEL, "security label of the other end",
        on=(Sockets(_UNIX), *_ON_TCP), moment=_NEVER, kernel="ENOPROTOOPT without a security module that gives labels",
        documented="unix(7)", refusals=_OLD),
    _so("SO_PEERNAME", 28, kinds.SOCKADDR, "address of the other end: getpeername(2) by another way",
        on=(Sockets(_INET, _STREAM | _DGRAM),), moment=_NEVER, documented=_SOCK_C, refusals=("ENOTCONN",)),
    _so("SO_PEERPIDFD", 77, kinds.DESCRIPTOR, "file descriptor of the process at the other end",
        on=_ON_UNIX, moment=_NEVER, reading="every reading opens a descriptor, to be closed",
        documented="asm-generic/socket.h, Linux 6.5", refusals=("ENODATA", "ENOPROTOOPT", "EINVAL", "ESRCH")),
    _so("SO_DEBUG", 1, BOOL, "protocols may write to the kernel's log", privilege="CAP_NET_ADMIN to turn it on",
        kernel="hardly any protocol does"),
    _so("SO_BSDCOMPAT", 14, BOOL, "nothing any more", on=(), kernel="accepted and dropped; reads as off"),
    _so("SO_SECURITY_AUTHENTICATION", 22, INT, "a number that was set aside, and nothing behind it", on=(),
        documented="asm-generic/socket.h"),
    _so("SO_SECURITY_ENCRYPTION_TRANSPORT", 23, INT, "a number that was set aside, and nothing behind it", on=(),
        documented="asm-generic/socket.h"),
    _so("SO_SECURITY_ENCRYPTION_NETWORK", 24, INT, "a number that was set aside, and nothing behind it", on=(),
        documented="asm-generic/socket.h"),
)

_IN_H, _IN6_H = "linux/in.h", "linux/in6.h"
_IP_ROWS = (
    _ip("IP_TTL", 2, INT, "hops that a packet may make",
        kernel="1 to 255; -1 is the system's", sysctl="net.ipv4.ip_default_ttl"),
    _ip("IP_TOS", 1, HEX, "type of service: DSCP and ECN",
        on=_ON_IP_MPTCP,
        kernel="the low 8 bits; TCP keeps the lowest two (ECN) for itself; sets SO_PRIORITY too"),
    _ip("IP_MINTTL", 21, INT, "drop what comes with fewer hops left", kernel="0 to 255; RFC 5082's protection is 255"),
    _ip("IP_MTU", 14, INT, "path MTU to the peer",
        unit="bytes", moment=_NEVER, volatile=True, kernel="known once connected", refusals=("ENOTCONN",)),
    _ip("IP_MTU_DISCOVER", 10, kinds.PMTU_DISCOVERY, "path MTU discovery",
        kernel="want: fragment if needed; do: never, larger is EMSGSIZE", sysctl="inverse of net.ipv4.ip_no_pmtu_disc"),
    _ip("IP_OPTIONS", 4, kinds.blob("IP options", 40), "options in the header of every packet that is sent",
        kernel="at most 40 bytes; source routes need CAP_NET_RAW"),
    _ip("IP_HDRINCL", 3, BOOL, "what is sent begins with an IP header of its own",
        on=_ON_RAW4, kernel="always on for IPPROTO_RAW"),
    _ip("IP_ROUTER_ALERT", 5, kinds.BOOL_ONLY, "receive packets that are only passing, with the router alert option",
        on=_ON_RAW4, kernel="EINVAL but on raw sockets"),
    _ip("IP_NODEFRAG", 22, BOOL, "connection tracking leaves fragments of what is sent alone", on=_ON_RAW4),
    _ip("IP_RECVERR", 11, BOOL, "queue ICMP errors with their details"),
    _ip("IP_RECVERR_RFC4884", 26, BOOL, "queue ICMP errors with their extensions",
        on=_ON_IP_MESSAGES, documented=f"{_IN_H}, Linux 5.9, RFC 4884", refusals=_OLD),
    _ip("IP_PKTINFO", 8, BOOL, "tell where a datagram was sent to", on=_ON_IP_MESSAGES),
    _ip("IP_RECVTTL", 12, BOOL, "tell a datagram's TTL", on=_ON_IP_MESSAGES),
    _ip("IP_RECVTOS", 13, BOOL, "tell a datagram's type of service", on=_ON_IP_MESSAGES),
    _ip("IP_RECVOPTS", 6, BOOL, "tell a datagram's IP options", on=_ON_IP_MESSAGES),
    _ip("IP_RETOPTS", 7, BOOL, "tell a datagram's IP options, as a reply would need them", on=_ON_IP_MESSAGES),
    _ip("IP_RECVORIGDSTADDR", 20, BOOL, "tell the address that a redirected datagram was sent to",
        on=_ON_IP_MESSAGES, documented="Linux: networking/tproxy"),
    _ip("IP_CHECKSUM", 23, BOOL, "tell a datagram's checksum", on=(Sockets(_INET, _DGRAM, _of(_UDP)),), documented=_IN_H),
    _ip("IP_RECVFRAGSIZE", 25, BOOL, "tell the largest fragment that a datagram came in",
        on=_ON_IP_MESSAGES, documented=_IN_H, refusals=("EINVAL", *_OLD)),
    _ip("IP_PASSSEC", 18, BOOL, "tell with each datagram the security label of its packet", on=_ON_IP_MESSAGES),
    _ip("IP_PKTOPTIONS", 9, kinds.blob("control messages", 256), "the control messages of the last packet of a stream",
        on=(Sockets(_V4, _STREAM, not_protocols=_NOT_MPTCP),), moment=_NEVER, volatile=True,
        kernel="as IP_PKTINFO, IP_RECVTTL and IP_RECVTOS ask for", documented="net/ipv4/ip_sockglue.c", refusals=_OLD),
    _ip("IP_TRANSPARENT", 19, BOOL, "bind to addresses of others, for a transparent proxy",
        on=_ON_IP_MPTCP, moment=_BIND, privilege="CAP_NET_ADMIN or CAP_NET_RAW to turn it on"),
    _ip("IP_FREEBIND", 15, BOOL, "bind to an address that is not there yet", on=_ON_IP_MPTCP, moment=_BIND),
    _ip("IP_BIND_ADDRESS_NO_PORT", 24, BOOL, "bind to port 0 leaves the port to connect",
        on=_ON_IP_MPTCP, moment=_BIND),
    _ip("IP_LOCAL_PORT_RANGE", 51, kinds.PORT_RANGE, "ports that the kernel may choose from",
        on=_ON_IP_MPTCP, moment=_BIND,
        kernel="narrows net.ipv4.ip_local_port_range, never widens it", documented="linux/in.h, Linux 6.3",
        refusals=_OLD),
    _ip("IP_PROTOCOL", 52, INT, "protocol of a socket, or of the packets of a raw one",
        moment=_NEVER, documented="linux/in.h, Linux 6.3", refusals=_OLD),
    _ip("IP_UNICAST_IF", 50, kinds.NETWORK_INT, "number of the interface that what is not bound to one leaves by",
        documented=_IN_H),
    _ip("IP_MULTICAST_IF", 32, kinds.IN_ADDR, "interface that multicast leaves by", on=_ON_IP_MESSAGES),
    _ip("IP_MULTICAST_TTL", 33, INT, "hops that multicast may make",
        on=_ON_IP_MESSAGES, kernel="0 to 255; -1 is 1"),
    _ip("IP_MULTICAST_LOOP", 34, BOOL, "multicast comes back to this host", on=_ON_IP_MESSAGES),
    _ip("IP_MULTICAST_ALL", 49, BOOL, "receive of every group that anybody on this host has joined", on=_ON_IP_MESSAGES),
    _ip("IP_ADD_MEMBERSHIP", 35, kinds.GROUP, "join a group",
        on=_ON_IP_MESSAGES, kernel="EADDRINUSE for the same twice; at most net.ipv4.igmp_max_memberships"),
    _ip("IP_DROP_MEMBERSHIP", 36, kinds.GROUP, "leave a group", on=_ON_IP_MESSAGES, kernel="EADDRNOTAVAIL if not in it"),
    _ip("IP_ADD_SOURCE_MEMBERSHIP", 39, kinds.SOURCE, "join a group for what one source sends", on=_ON_IP_MESSAGES),
    _ip("IP_DROP_SOURCE_MEMBERSHIP", 40, kinds.SOURCE, "leave a group for what one source sends", on=_ON_IP_MESSAGES),
    _ip("IP_BLOCK_SOURCE", 38, kinds.SOURCE, "receive nothing of one source in a group", on=_ON_IP_MESSAGES),
    _ip("IP_UNBLOCK_SOURCE", 37, kinds.SOURCE, "receive of one source in a group again", on=_ON_IP_MESSAGES),
    _ip("IP_MSFILTER", 41, kinds.POINTER, "sources of a group, as one list: reading it needs the group",
        on=_ON_IP_MESSAGES),
    _ip("MCAST_JOIN_GROUP", 42, kinds.GROUP_REQ, "join a group, either family", on=_ON_IP_MESSAGES, documented="RFC 3678"),
    _ip("MCAST_LEAVE_GROUP", 45, kinds.GROUP_REQ, "leave a group, either family", on=_ON_IP_MESSAGES, documented="RFC 3678"),
    _ip("MCAST_JOIN_SOURCE_GROUP", 46, kinds.GROUP_SOURCE_REQ, "join a group for what one source sends",
        on=_ON_IP_MESSAGES, documented="RFC 3678"),
    _ip("MCAST_LEAVE_SOURCE_GROUP", 47, kinds.GROUP_SOURCE_REQ, "leave a group for what one source sends",
        on=_ON_IP_MESSAGES, documented="RFC 3678"),
    _ip("MCAST_BLOCK_SOURCE", 43, kinds.GROUP_SOURCE_REQ, "receive nothing of one source in a group",
        on=_ON_IP_MESSAGES, documented="RFC 3678"),
    _ip("MCAST_UNBLOCK_SOURCE", 44, kinds.GROUP_SOURCE_REQ, "receive of one source in a group again",
        on=_ON_IP_MESSAGES, documented="RFC 3678"),
    _ip("MCAST_MSFILTER", 48, kinds.POINTER, "sources of a group, as one list: reading it needs the group",
        on=_ON_IP_MESSAGES, documented="RFC 3678"),
    _ip("IP_IPSEC_POLICY", 16, kinds.SECRET, "IPsec policy, in the form of PF_KEY", privilege=_ADMIN, documented=_IN_H),
    _ip("IP_XFRM_POLICY", 17, kinds.SECRET, "IPsec policy, in the form of xfrm", privilege=_ADMIN, documented=_IN_H),
    _ip("SO_ORIGINAL_DST", 80, kinds.SOCKADDR, "address that a connection was made to before it was redirected",
        on=(Sockets(_V4, _STREAM, _of(_TCP)), Sockets(_V4, _STREAMS, _of(_SCTP))), moment=_NEVER,
        documented="linux/netfilter_ipv4.h", refusals=("ENOENT", "ENOTCONN", *_OLD)),
)

_IGMP: Applies = (Sockets(_V4, _RAW, _of(2)),)
_ICMP6: Applies = (Sockets(_V6, _RAW, _of(58)),)
_mrt = partial(_row, "IPPROTO_IP", 0 if LINUX else None, "linux/mroute.h", _IGMP, refusals=(*_OLD, "EOPNOTSUPP", "ENOENT"))
_mrt6 = partial(_row, "IPPROTO_IPV6", 41 if LINUX else None, "linux/mroute6.h", _ICMP6, refusals=(*_OLD, "EOPNOTSUPP", "ENOENT"))
_MROUTE_ROWS = tuple(
    row
    for make, prefix in ((_mrt, "MRT_"), (_mrt6, "MRT6_"))
    for row in (
        make(f"{prefix}INIT", 200, kinds.INT_ONLY, "become this host's router of multicast", privilege=_ADMIN,
             kernel="one socket of a namespace; EADDRINUSE for the next"),
        make(f"{prefix}DONE", 201, kinds.INT_ONLY, "be the router of multicast no more", privilege=_ADMIN),
        make(f"{prefix}ADD_{'MIF' if '6' in prefix else 'VIF'}", 202, kinds.SECRET, "add an interface", privilege=_ADMIN),
        make(f"{prefix}DEL_{'MIF' if '6' in prefix else 'VIF'}", 203, kinds.SECRET, "remove an interface", privilege=_ADMIN),
        make(f"{prefix}ADD_MFC", 204, kinds.SECRET, "add a route", privilege=_ADMIN),
        make(f"{prefix}DEL_MFC", 205, kinds.SECRET, "remove a route", privilege=_ADMIN),
        make(f"{prefix}VERSION", 206, HEX, "version of multicast routing", moment=_NEVER),
        make(f"{prefix}ASSERT", 207, BOOL, "tell of packets that came by the wrong interface", privilege=_ADMIN),
        make(f"{prefix}PIM", 208, BOOL, "speak PIM", privilege=_ADMIN),
        make(f"{prefix}TABLE", 209, kinds.INT_ONLY, "number of the routing table", privilege=_ADMIN),
        make(f"{prefix}ADD_MFC_PROXY", 210, kinds.SECRET, "add a route by a proxy", privilege=_ADMIN),
        make(f"{prefix}DEL_MFC_PROXY", 211, kinds.SECRET, "remove a route by a proxy", privilege=_ADMIN),
        make(f"{prefix}FLUSH", 212, kinds.INT_ONLY, "remove all routes or interfaces", privilege=_ADMIN),
    )
)

_IPV6_ROWS = (
    _ipv6("IPV6_V6ONLY", 26, BOOL, "no IPv4 peers",
        on=(Sockets(_V6, _STREAMS | _DGRAM),), moment=_BIND, kernel="EINVAL once bound",
        sysctl="net.ipv6.bindv6only"),
    _ipv6("IPV6_ADDRFORM", 1, INT, "turn a socket whose peer is IPv4 into an AF_INET one",
        on=(Sockets(_V6, None, _of(_TCP, _UDP, _UDPLITE)),), moment=_CONNECTED,
        kernel="takes 2 (AF_INET), and that for good; ENOTCONN before it is connected, EADDRNOTAVAIL with an IPv6 peer",
        refusals=("ENOTCONN", "ENOPROTOOPT")),
    _ipv6("IPV6_UNICAST_HOPS", 16, INT, "hops that a packet may make",
        kernel="0 to 255; -1 is the route's, and read back as such", sysctl="net.ipv6.conf.all.hop_limit"),
    _ipv6("IPV6_MINHOPCOUNT", 73, INT, "drop what comes with fewer hops left", kernel="0 to 255", documented=_IN6_H),
    _ipv6("IPV6_TCLASS", 67, HEX, "traffic class: DSCP and ECN",
        kernel="0 to 255; -1 is 0; TCP keeps the lowest two bits (ECN) for itself", documented="RFC 3542"),
    _ipv6("IPV6_MTU", 24, INT, "MTU: reading tells the path's, setting limits what is sent",
        unit="bytes", volatile=True, kernel="0 or at least 1280; what was set is not read back", refusals=("ENOTCONN",)),
    _ipv6("IPV6_PATHMTU", 61, _struct("path MTU", ":28x ~mtu:I:bytes", size=32), "MTU of the path to the peer",
        moment=_NEVER, documented="RFC 3542", refusals=("ENOTCONN",)),
    _ipv6("IPV6_MTU_DISCOVER", 23, kinds.PMTU_DISCOVERY, "path MTU discovery"),
    _ipv6("IPV6_DONTFRAG", 62, BOOL, "never fragment", documented="RFC 3542"),
    _ipv6("IPV6_CHECKSUM", 7, INT, "where in what is sent the kernel puts a checksum",
        on=_ON_RAW6, unit="bytes", kernel="-1: nowhere; ICMPv6 has it at 2 and keeps it", documented="RFC 3542"),
    _ipv6("IPV6_HDRINCL", 36, BOOL, "what is sent begins with an IPv6 header of its own", on=_ON_RAW6, documented=_IN6_H),
    _ipv6("IPV6_NEXTHOP", 9, kinds.SECRET, "address of the next hop, as a sockaddr_in6", documented="RFC 3542"),
    _ipv6("IPV6_AUTHHDR", 10, INT, "nothing any more", on=(), documented=_IN6_H),
    _ipv6("IPV6_PKTINFO", 50, _struct("packet info", "address:6 ifindex:i", settable=True),
        "address and interface that datagrams leave by", on=_ON_IPV6_MESSAGES, documented="RFC 3542"),
    _ipv6("IPV6_HOPLIMIT", 52, INT, "only as a control message", on=(), documented="RFC 3542"),
    _ipv6("IPV6_HOPOPTS", 54, kinds.blob("extension header", 512), "hop-by-hop options of what is sent",
        privilege="CAP_NET_RAW", documented="RFC 3542"),
    _ipv6("IPV6_RTHDRDSTOPTS", 55, kinds.blob("extension header", 512), "destination options before a routing header",
        privilege="CAP_NET_RAW", documented="RFC 3542"),
    _ipv6("IPV6_RTHDR", 57, kinds.blob("extension header", 512), "routing header of what is sent", documented="RFC 3542"),
    _ipv6("IPV6_DSTOPTS", 59, kinds.blob("extension header", 512), "destination options of what is sent",
        privilege="CAP_NET_RAW", documented="RFC 3542"),
    _ipv6("IPV6_RECVERR", 25, BOOL, "queue ICMPv6 errors with their details"),
    _ipv6("IPV6_RECVERR_RFC4884", 31, BOOL, "queue ICMPv6 errors with their extensions",
        on=_ON_IPV6_MESSAGES, documented=f"{_IN6_H}, Linux 5.9, RFC 4884", refusals=_OLD),
    _ipv6("IPV6_RECVPKTINFO", 49, BOOL, "tell where a datagram was sent to", on=_ON_IPV6_MESSAGES),
    _ipv6("IPV6_RECVHOPLIMIT", 51, BOOL, "tell a datagram's hop limit", on=_ON_IPV6_MESSAGES, documented="RFC 3542"),
    _ipv6("IPV6_RECVTCLASS", 66, BOOL, "tell a datagram's traffic class", on=_ON_IPV6_MESSAGES, documented="RFC 3542"),
    _ipv6("IPV6_RECVHOPOPTS", 53, BOOL, "tell a datagram's hop-by-hop options", on=_ON_IPV6_MESSAGES, documented="RFC 3542"),
    _ipv6("IPV6_RECVRTHDR", 56, BOOL, "tell a datagram's routing header", on=_ON_IPV6_MESSAGES, documented="RFC 3542"),
    _ipv6("IPV6_RECVDSTOPTS", 58, BOOL, "tell a datagram's destination options", on=_ON_IPV6_MESSAGES, documented="RFC 3542"),
    _ipv6("IPV6_RECVPATHMTU", 60, BOOL, "tell when the path's MTU changes", on=_ON_IPV6_MESSAGES, documented="RFC 3542"),
    _ipv6("IPV6_RECVORIGDSTADDR", 74, BOOL, "tell the address that a redirected datagram was sent to",
        on=_ON_IPV6_MESSAGES, documented="Linux: networking/tproxy"),
    _ipv6("IPV6_RECVFRAGSIZE", 77, BOOL, "tell the largest fragment that a datagram came in",
        on=_ON_IPV6_MESSAGES, documented=_IN6_H, refusals=_OLD),
    _ipv6("IPV6_2292PKTINFO", 2, BOOL, "IPV6_RECVPKTINFO as it was before", on=_ON_IPV6_MESSAGES, documented="RFC 2292"),
    _ipv6("IPV6_2292HOPOPTS", 3, BOOL, "IPV6_RECVHOPOPTS as it was before", on=_ON_IPV6_MESSAGES, documented="RFC 2292"),
    _ipv6("IPV6_2292DSTOPTS", 4, BOOL, "IPV6_RECVDSTOPTS as it was before", on=_ON_IPV6_MESSAGES, documented="RFC 2292"),
    _ipv6("IPV6_2292RTHDR", 5, BOOL, "IPV6_RECVRTHDR as it was before", on=_ON_IPV6_MESSAGES, documented="RFC 2292"),
    _ipv6("IPV6_2292HOPLIMIT", 8, BOOL, "IPV6_RECVHOPLIMIT as it was before", on=_ON_IPV6_MESSAGES, documented="RFC 2292"),
    _ipv6("IPV6_2292PKTOPTIONS", 6, kinds.blob("control messages", 512), "the control messages of the last packet of a stream",
        on=(Sockets(_V6, _STREAM, _of(_TCP)),), moment=_NEVER, volatile=True, documented="RFC 2292", refusals=_OLD),
    _ipv6("IPV6_FLOWINFO", 11, BOOL, "tell a datagram's flow label", on=_ON_IPV6_MESSAGES, documented=_IN6_H),
    _ipv6("IPV6_FLOWINFO_SEND", 33, BOOL, "send with the flow label of the address", documented=_IN6_H),
    _ipv6("IPV6_FLOWLABEL_MGR", 32,
        _struct("flow label", "dst:6 label:I action:B share:B flags:H expires:H linger:H :I", size=32, settable=True, given=b""),
        "flow label that this socket leased", documented=_IN6_H, refusals=("ENOENT", "EINVAL")),
    _ipv6("IPV6_AUTOFLOWLABEL", 70, BOOL, "the kernel chooses a flow label",
        documented="Linux: networking/ip-sysctl", sysctl="net.ipv6.auto_flowlabels"),
    _ipv6("IPV6_ADDR_PREFERENCES", 72,
        kinds.flags("source address preferences",
            {1: "tmp", 2: "public", 4: "coa", 8: "cga", 0x100: "pubtmp_default", 0x400: "home", 0x800: "noncga"}),
        "which of our addresses to send from", documented="RFC 5014"),
    _ipv6("IPV6_TRANSPARENT", 75, BOOL, "bind to addresses of others, for a transparent proxy",
        on=_ON_IPV6_MPTCP, moment=_BIND, privilege="CAP_NET_ADMIN or CAP_NET_RAW to turn it on",
        documented="linux/in6.h"),
    _ipv6("IPV6_FREEBIND", 78, BOOL, "bind to an address that is not there yet",
        on=_ON_IPV6_MPTCP, moment=_BIND, documented="linux/in6.h, Linux 4.15", refusals=_OLD),
    _ipv6("IPV6_UNICAST_IF", 76, kinds.NETWORK_INT, "number of the interface that what is not bound to one leaves by",
        documented=_IN6_H),
    _ipv6("IPV6_MULTICAST_IF", 17, INT, "number of the interface that multicast leaves by", on=_ON_IPV6_MESSAGES),
    _ipv6("IPV6_MULTICAST_HOPS", 18, INT, "hops that multicast may make",
        on=_ON_IPV6_MESSAGES, kernel="0 to 255; -1 is 1"),
    _ipv6("IPV6_MULTICAST_LOOP", 19, BOOL, "multicast comes back to this host", on=_ON_IPV6_MESSAGES),
    _ipv6("IPV6_MULTICAST_ALL", 29, BOOL, "receive of every group that anybody on this host has joined",
        on=_ON_IPV6_MESSAGES, documented=f"{_IN6_H}, Linux 4.20", refusals=_OLD),
    _ipv6("IPV6_JOIN_GROUP", 20, kinds.GROUP6, "join a group", on=_ON_IPV6_MESSAGES, kernel="IPV6_ADD_MEMBERSHIP is its old name"),
    _ipv6("IPV6_LEAVE_GROUP", 21, kinds.GROUP6, "leave a group", on=_ON_IPV6_MESSAGES, kernel="IPV6_DROP_MEMBERSHIP is its old name"),
    _ipv6("IPV6_JOIN_ANYCAST", 27, kinds.GROUP6, "answer to an anycast address",
        privilege=f"{_ADMIN} where the host is no router", documented=_IN6_H),
    _ipv6("IPV6_LEAVE_ANYCAST", 28, kinds.GROUP6, "answer to an anycast address no more", documented=_IN6_H),
    _ipv6("IPV6_MCAST_JOIN_GROUP", 42, kinds.GROUP_REQ, "MCAST_JOIN_GROUP, on IPv6", on=_ON_IPV6_MESSAGES, documented="RFC 3678"),
    _ipv6("IPV6_MCAST_LEAVE_GROUP", 45, kinds.GROUP_REQ, "MCAST_LEAVE_GROUP, on IPv6", on=_ON_IPV6_MESSAGES, documented="RFC 3678"),
    _ipv6("IPV6_MCAST_JOIN_SOURCE_GROUP", 46, kinds.GROUP_SOURCE_REQ, "MCAST_JOIN_SOURCE_GROUP, on IPv6",
        on=_ON_IPV6_MESSAGES, documented="RFC 3678"),
    _ipv6("IPV6_MCAST_LEAVE_SOURCE_GROUP", 47, kinds.GROUP_SOURCE_REQ, "MCAST_LEAVE_SOURCE_GROUP, on IPv6",
        on=_ON_IPV6_MESSAGES, documented="RFC 3678"),
    _ipv6("IPV6_MCAST_BLOCK_SOURCE", 43, kinds.GROUP_SOURCE_REQ, "MCAST_BLOCK_SOURCE, on IPv6",
        on=_ON_IPV6_MESSAGES, documented="RFC 3678"),
    _ipv6("IPV6_MCAST_UNBLOCK_SOURCE", 44, kinds.GROUP_SOURCE_REQ, "MCAST_UNBLOCK_SOURCE, on IPv6",
        on=_ON_IPV6_MESSAGES, documented="RFC 3678"),
    _ipv6("IPV6_MCAST_MSFILTER", 48, kinds.POINTER, "MCAST_MSFILTER, on IPv6", on=_ON_IPV6_MESSAGES, documented="RFC 3678"),
    _ipv6("IPV6_ROUTER_ALERT", 22, INT, "receive packets that are only passing, with this router alert value",
        on=_ON_RAW6, kernel="-1: none; only for IPPROTO_RAW"),
    _ipv6("IPV6_ROUTER_ALERT_ISOLATE", 30, BOOL, "only those of its own network namespace",
        on=_ON_RAW6, documented=f"{_IN6_H}, Linux 5.1", refusals=_OLD),
    _ipv6("IPV6_IPSEC_POLICY", 34, kinds.SECRET, "IPsec policy, in the form of PF_KEY", privilege=_ADMIN, documented=_IN6_H),
    _ipv6("IPV6_XFRM_POLICY", 35, kinds.SECRET, "IPsec policy, in the form of xfrm", privilege=_ADMIN, documented=_IN6_H),
    _ipv6("IP6T_SO_ORIGINAL_DST", 80, kinds.SOCKADDR, "address that a connection was made to before it was redirected",
        on=(Sockets(_V6, _STREAM, _of(_TCP)),), moment=_NEVER, documented="linux/netfilter_ipv6/ip6_tables.h",
        refusals=("ENOENT", "ENOTCONN", *_OLD)),
)

_TCP_C = "net/ipv4/tcp.c"
_MD5_LAYOUT = "addr:S flags:B prefixlen:B keylen:H ifindex:i key:80s"
_TCP_ROWS = (
    _tcp("TCP_NODELAY", 1, BOOL, "send small pieces at once (no Nagle)", on=_ON_TCP_MPTCP),
    _tcp("TCP_CORK", 3, BOOL, "hold back what is not a full segment", on=_ON_TCP_MPTCP),
    _tcp("TCP_MAXSEG", 2, INT, "largest segment",
        on=_ON_TCP_MPTCP, unit="bytes", moment=_CONNECT, volatile=True,
        kernel="88 to 32767, or 0 for no limit; once connected it tells the connection's own, whatever is set"),
    _tcp("TCP_KEEPIDLE", 4, INT, "silence before the first keepalive probe",
        on=_ON_TCP_MPTCP, unit="seconds", kernel="1 to 32767", sysctl="net.ipv4.tcp_keepalive_time"),
    _tcp("TCP_KEEPINTVL", 5, INT, "time between keepalive probes",
        on=_ON_TCP_MPTCP, unit="seconds", kernel="1 to 32767", sysctl="net.ipv4.tcp_keepalive_intvl"),
    _tcp("TCP_KEEPCNT", 6, INT, "unanswered probes that end the connection",
        on=_ON_TCP_MPTCP, kernel="1 to 127", sysctl="net.ipv4.tcp_keepalive_probes"),
    _tcp("TCP_SYNCNT", 7, INT, "times that connect repeats its SYN",
        moment=_CONNECT, kernel="1 to 127", sysctl="net.ipv4.tcp_syn_retries"),
    _tcp("TCP_LINGER2", 8, INT, "how long a closed socket stays in FIN_WAIT2",
        unit="seconds", kernel="0 is the system's; at most 120; negative is -1: not at all",
        sysctl="net.ipv4.tcp_fin_timeout"),
    _tcp("TCP_DEFER_ACCEPT", 9, INT, "accept waits this long for the first data",
        on=_ON_TCP_MPTCP, unit="seconds",
        kernel="counted in SYN-ACK repeats, so rounded up: 2 becomes 3, 64 becomes 127"),
    _tcp("TCP_WINDOW_CLAMP", 10, INT, "largest window to advertise",
        unit="bytes", volatile=True,
        kernel="at least half of the smallest SO_RCVBUF (1152); 0, no limit, only while it is closed"),
    _tcp("TCP_QUICKACK", 12, BOOL, "acknowledge at once", volatile=True,
        kernel="not kept: the kernel turns it on and off as it goes"),
    _tcp("TCP_CONGESTION", 13, STRING, "congestion control algorithm",
        on=_ON_TCP_MPTCP,
        privilege="CAP_NET_ADMIN for those that net.ipv4.tcp_allowed_congestion_control does not list",
        kernel="ENOENT if it is not loaded", sysctl="net.ipv4.tcp_congestion_control"),
    _tcp("TCP_USER_TIMEOUT", 18, INT, "how long data may stay unacknowledged",
        unit="milliseconds", kernel="0 is the system's (net.ipv4.tcp_retries2)",
        documented="tcp(7), RFC 5482"),
    _tcp("TCP_RTO_MAX_MS", 44, INT, "longest time before a retransmission",
        unit="milliseconds", kernel="1000 to 120000", sysctl="net.ipv4.tcp_rto_max_ms", documented=f"{_TCP_C}, Linux 6.15",
        refusals=_OLD),
    _tcp("TCP_RTO_MIN_US", 45, INT, "shortest time before a retransmission",
        unit="microseconds", kernel="1 to 200000, the kernel's TCP_RTO_MIN", sysctl="net.ipv4.tcp_rto_min_us",
        documented=f"{_TCP_C}, Linux 6.15", refusals=_OLD),
    _tcp("TCP_DELACK_MAX_US", 46, INT, "longest delay of an acknowledgement",
        unit="microseconds", kernel="1 to 200000, the kernel's TCP_DELACK_MAX; read back, it is at most TCP_RTO_MIN_US",
        documented=f"{_TCP_C}, Linux 6.15", refusals=_OLD),
    _tcp("TCP_THIN_LINEAR_TIMEOUTS", 16, BOOL, "thin streams: timeouts do not double",
        kernel="for connections with fewer than 4 segments in flight", documented="Linux: networking/tcp-thin"),
    _tcp("TCP_THIN_DUPACK", 17, BOOL, "nothing any more", on=(), kernel="accepted and dropped since Linux 4.16",
        documented=_TCP_C),
    _tcp("TCP_FASTOPEN", 23, INT, "queue for connections whose SYN brings data",
        on=_ON_TCP_MPTCP, moment=_CONNECT,
        kernel="at most net.core.somaxconn; a listener may still change it, a connected socket says EINVAL",
        documented="tcp(7), RFC 7413"),
    _tcp("TCP_FASTOPEN_CONNECT", 30, BOOL, "connect waits for data to send with its SYN",
        on=_ON_TCP_MPTCP, moment=_CONNECT, kernel="EOPNOTSUPP unless net.ipv4.tcp_fastopen has 1; EINVAL once connected",
        documented="tcp(7), RFC 7413"),
    _tcp("TCP_FASTOPEN_KEY", 33, kinds.blob("key", 32), "key that Fast Open's cookies are made with",
        on=_ON_TCP_MPTCP, moment=_CONNECT, kernel="16 bytes, or 32: a second key that is still taken",
        documented="Linux: networking/ip-sysctl", refusals=_OLD),
    _tcp("TCP_FASTOPEN_NO_COOKIE", 34, BOOL, "Fast Open without a cookie",
        on=_ON_TCP_MPTCP, moment=_CONNECT, kernel="EINVAL once connected", documented=f"{_TCP_C}, Linux 4.15", refusals=_OLD),
    _tcp("TCP_NOTSENT_LOWAT", 25, UINT, "unsent data below which it is writable",
        on=_ON_TCP_MPTCP, unit="bytes", kernel="0 is the system's (net.ipv4.tcp_notsent_lowat)",
        documented="Linux: networking/ip-sysctl"),
    _tcp("TCP_INQ", 36, BOOL, "tell with each read how much is left",
        on=_ON_TCP_MPTCP, documented=f"{_TCP_C}, Linux 4.18", refusals=_OLD),
    _tcp("TCP_TX_DELAY", 37, INT, "delay everything that is sent", unit="microseconds", documented=f"{_TCP_C}, Linux 5.3",
        refusals=_OLD),
    _tcp("TCP_SAVE_SYN", 27, INT, "keep the headers of the SYN of each connection",
        moment=_CONNECT, kernel="0 no, 1 from the IP header on, 2 from the link's", documented=f"{_TCP_C}, Linux 4.2"),
    _tcp("TCP_SAVED_SYN", 28, kinds.blob("headers", 512), "headers of the SYN that it came from",
        moment=_NEVER, reading="only once", documented=f"{_TCP_C}, Linux 4.2"),
    _tcp("TCP_ULP", 31, STRING, "protocol on top of TCP, in the kernel",
        moment=_CONNECTED, kernel="tls; ENOTCONN before it is connected, ENOENT if it is not loaded, EEXIST twice",
        documented="Linux: networking/tls"),
    _tcp("TCP_IS_MPTCP", 43, BOOL, "it speaks MPTCP", moment=_NEVER, on=_ON_TCP_MPTCP,
        documented="Linux: networking/mptcp, Linux 6.7", refusals=_OLD),
    _tcp("TCP_MD5SIG", 14, _struct("MD5 key", _MD5_LAYOUT, settable=True), "key for the MD5 signatures with one peer",
        kernel="keylen 0 removes it; EINVAL before Linux has CONFIG_TCP_MD5SIG", documented="tcp(7), RFC 2385"),
    _tcp("TCP_MD5SIG_EXT", 32, _struct("MD5 key", _MD5_LAYOUT, settable=True),
        "key for the MD5 signatures with a network of peers, or by an interface",
        kernel="flags: 1 prefixlen counts, 2 ifindex counts", documented=f"{_TCP_C}, Linux 4.13"),
    _tcp("TCP_AO_ADD_KEY", 38, kinds.SECRET, "add a key of the authentication option", documented="Linux: networking/tcp_ao, Linux 6.7"),
    _tcp("TCP_AO_DEL_KEY", 39, kinds.SECRET, "remove a key of the authentication option", documented="Linux: networking/tcp_ao, Linux 6.7"),
    _tcp("TCP_AO_INFO", 40,
        _struct("TCP-AO facts", "flags:I :2x current_key:B rnext:B ~pkt_good:Q:packets ~pkt_bad:Q:packets "
            "~pkt_key_not_found:Q:packets ~pkt_ao_required:Q:packets ~pkt_dropped_icmp:Q:packets", size=48, given=b""),
        "state of the authentication option", moment=_NEVER, documented="Linux: networking/tcp_ao, Linux 6.7",
        refusals=("ENOENT", "EINVAL", *_OLD)),
    _tcp("TCP_AO_GET_KEYS", 41, kinds.POINTER, "keys of the authentication option: reading it would tell secrets", on=_ON_TCP,
        documented="Linux: networking/tcp_ao, Linux 6.7"),
    _tcp("TCP_AO_REPAIR", 42, kinds.SECRET, "numbers of the authentication option, for a process that is moved",
        privilege=_ADMIN, documented="Linux: networking/tcp_ao, Linux 6.7"),
    _tcp("TCP_REPAIR", 19, kinds.integer("repair mode", names={0: "off", 1: "on", -1: "off_no_wp"}),
        "a checkpointing program is at work on it",
        privilege=f"{_ADMIN} of its network namespace", kernel="EPERM while it listens", documented=_TCP_C),
    _tcp("TCP_REPAIR_QUEUE", 20, kinds.integer("queue", names={0: "none", 1: "receive", 2: "send"}),
        "queue that is repaired", privilege=_ADMIN, kernel="EINVAL but in repair mode", documented=_TCP_C,
        refusals=("EINVAL", "EPERM")),
    _tcp("TCP_QUEUE_SEQ", 21, UINT, "sequence number at the end of the repaired queue",
        privilege=_ADMIN, volatile=True, kernel="EINVAL but in repair mode", documented=_TCP_C, refusals=("EINVAL",)),
    _tcp("TCP_REPAIR_OPTIONS", 22, kinds.SECRET, "options that the repaired connection negotiated",
        privilege=_ADMIN, documented=_TCP_C),
    _tcp("TCP_REPAIR_WINDOW", 29,
        _struct("windows", "snd_wl1:I snd_wnd:I:bytes max_window:I:bytes rcv_wnd:I:bytes rcv_wup:I", size=20, settable=True),
        "windows of the repaired connection", privilege=_ADMIN, volatile=True, kernel="EPERM or EINVAL but in repair mode",
        documented=_TCP_C, refusals=("EPERM", "EINVAL")),
    _tcp("TCP_TIMESTAMP", 24, UINT, "clock of its time stamps, in their unit", privilege=f"{_ADMIN}, in repair mode",
        volatile=True, documented=_TCP_C),
    _tcp("TCP_ZEROCOPY_RECEIVE", 35, kinds.structure("mapped data", "address:Q length:I recv_skip_hint:I inq:I err:i", size=24),
        "data, mapped", moment=_NEVER, reading="it leaves the receive queue",
        documented=f"{_TCP_C}, Linux 4.18"),
    _tcp("TCP_CC_INFO", 26, kinds.CC_INFO, "what its congestion control algorithm tells",
        on=_ON_TCP_MPTCP, moment=_NEVER, documented="linux/inet_diag.h, Linux 4.1"),
    _tcp("TCP_INFO", 11, kinds.TCP_INFO, "facts about the connection", on=_ON_TCP_MPTCP, moment=_NEVER),
)

_MPTCP_INFO_LAYOUT = (
    "~subflows:B ~add_addr_signal:B ~add_addr_accepted:B subflows_max:B add_addr_signal_max:B add_addr_accepted_max:B :2x"
    " flags:I token:I ~write_seq:Q ~snd_una:Q ~rcv_nxt:Q ~local_addr_used:B local_addr_max:B csum_enabled:B :x"
    " ~retransmits:I ~bytes_retrans:Q:bytes ~bytes_sent:Q:bytes ~bytes_received:Q:bytes ~bytes_acked:Q:bytes"
    " ~subflows_total:B endp_laddr_max:B endp_fullmesh_max:B :x"
    " ~last_data_sent:I:milliseconds ~last_data_recv:I:milliseconds ~last_ack_recv:I:milliseconds"
)
_TLS_REFUSALS = ("EOPNOTSUPP", "ENOTCONN", "EBUSY", "EINVAL", *_OLD)
_tls_info = partial(_struct, "TLS parameters", "version:H cipher_type:H", size=4)
_STREAM_ROWS = (
    _mptcp("MPTCP_INFO", 1, _struct("MPTCP facts", _MPTCP_INFO_LAYOUT, size=96), "facts about the connection as a whole",
        moment=_NEVER, refusals=("EOPNOTSUPP",)),
    _mptcp("MPTCP_TCPINFO", 2, kinds.SUBFLOW_INFO, "TCP_INFO of every subflow", moment=_NEVER, volatile=True,
        refusals=("EOPNOTSUPP",)),
    _mptcp("MPTCP_SUBFLOW_ADDRS", 3, kinds.SUBFLOW_ADDRESSES, "addresses of every subflow", moment=_NEVER, volatile=True,
        refusals=("EOPNOTSUPP",)),
    _mptcp("MPTCP_FULL_INFO", 4, kinds.POINTER, "the three above in one call, by pointers", documented="linux/mptcp.h, Linux 6.5"),
    _tls("TLS_TX", 1, _tls_info(), "keys of what is sent: only version and cipher are asked for, not the keys",
        moment=_NEVER, refusals=_TLS_REFUSALS),
    _tls("TLS_RX", 2, _tls_info(), "keys of what is received: only version and cipher are asked for, not the keys",
        moment=_NEVER, refusals=_TLS_REFUSALS),
    _tls("TLS_TX_ZEROCOPY_RO", 3, BOOL, "sendfile without a copy: the file must not change meanwhile",
        moment=_CONNECTED, refusals=_TLS_REFUSALS),
    _tls("TLS_RX_EXPECT_NO_PAD", 4, BOOL, "the peer does not pad its records (TLS 1.3)",
        moment=_CONNECTED, refusals=_TLS_REFUSALS),
)

_UDP_H = "linux/udp.h"
_UDP_ROWS = (
    _udp("UDP_CORK", 1, BOOL, "gather what is sent into one datagram"),
    _udp("UDP_SEGMENT", 103, INT, "cut what is sent into datagrams of this size",
        unit="bytes", kernel="0 to 65535; 0 does not cut", documented="linux/udp.h, Linux 4.18",
        refusals=_OLD),
    _udp("UDP_GRO", 104, BOOL, "receive several datagrams of one size as one",
        documented="linux/udp.h, Linux 5.0", refusals=_OLD),
    _udp("UDP_ENCAP", 100,
        kinds.integer("encapsulation", names={0: "none", 1: "espinudp_non_ike", 2: "espinudp", 3: "l2tpinudp", 4: "gtp0",
            5: "gtp1u", 6: "rxrpc"}),
        "what its datagrams carry, for the kernel to unpack", kernel="ENOPROTOOPT for those that only the kernel sets",
        documented=_UDP_H),
    _udp("UDP_NO_CHECK6_TX", 101, BOOL, "send over IPv6 without a checksum", documented=f"{_UDP_H}, RFC 6936"),
    _udp("UDP_NO_CHECK6_RX", 102, BOOL, "take datagrams over IPv6 without a checksum", documented=f"{_UDP_H}, RFC 6936"),
    _udplite("UDPLITE_SEND_CSCOV", 10, INT, "bytes that the checksum covers",
        unit="bytes", kernel="0 is all; 1 to 7 and negative become 8, above 65535 becomes 65535"),
    _udplite("UDPLITE_RECV_CSCOV", 11, INT, "bytes that a checksum must cover, or the datagram is dropped",
        unit="bytes", kernel="0 asks for nothing; 1 to 7 and negative become 8, above 65535 becomes 65535"),
    _raw("ICMP_FILTER", 1, kinds.ICMP_FILTER, "ICMP types that are not received", on=(Sockets(_V4, _RAW, _of(1)),)),
    _icmp6("ICMPV6_FILTER", 1, kinds.ICMP6_FILTER, "ICMPv6 types that are not received"),
)

_NO_ASSOC = ("EINVAL", "ENOTCONN")
_SCTP_AUTH = ("EACCES", "EINVAL", "ENOPROTOOPT")
_sctp_struct = partial(_struct, given=b"")
_VALUE, _ADDRESS = kinds.ASSOC_VALUE, "assoc_id:i :4x address:S"
_PADDRINFO = "state:i ~cwnd:I:bytes ~srtt:I:milliseconds ~rto:I:milliseconds ~mtu:I:bytes"
_SCTP_ROWS = (
    _sctp("SCTP_NODELAY", 3, BOOL, "send small pieces at once (no Nagle)"),
    _sctp("SCTP_RTOINFO", 0, _sctp_struct("retransmission times",
            "assoc_id:i initial:I:milliseconds max:I:milliseconds min:I:milliseconds", size=16, settable=True),
        "bounds of the time before a retransmission", kernel="0 leaves a field as it is"),
    _sctp("SCTP_ASSOCINFO", 1, _sctp_struct("association parameters",
            "assoc_id:i asocmaxrxt:H ~number_peer_destinations:H ~peer_rwnd:I:bytes ~local_rwnd:I:bytes "
            "cookie_life:I:milliseconds", size=20, settable=True),
        "retransmissions, windows and cookie of an association", kernel="0 leaves a field as it is"),
    _sctp("SCTP_INITMSG", 2, _sctp_struct("INIT", "num_ostreams:H max_instreams:H max_attempts:H max_init_timeo:H:milliseconds",
            size=8, settable=True),
        "streams and retries of the INIT", moment=_CONNECT, kernel="0 leaves a field as it is"),
    _sctp("SCTP_AUTOCLOSE", 4, INT, "close associations that are idle this long",
        on=(Sockets(_INET, _constants("SOCK_", "SEQPACKET"), _of(_SCTP)),), unit="seconds", kernel="0: never; one-to-many only",
        sysctl="at most net.sctp.max_autoclose", refusals=("EOPNOTSUPP",)),
    _sctp("SCTP_SET_PEER_PRIMARY_ADDR", 5, _struct("address", "assoc_id:i addr:S", settable=True),
        "ask the peer to send to this address of ours", moment=_CONNECTED, kernel="EPERM without ASCONF"),
    _sctp("SCTP_PRIMARY_ADDR", 6, _sctp_struct("address", "assoc_id:i addr:S", size=132, settable=True),
        "address of the peer to send to", moment=_CONNECTED, refusals=_NO_ASSOC),
    _sctp("SCTP_ADAPTATION_LAYER", 7, _sctp_struct("adaptation", "adaptation_ind:I", size=4, settable=True),
        "a number for the peer's upper layer", moment=_CONNECT),
    _sctp("SCTP_DISABLE_FRAGMENTS", 8, BOOL, "a message that does not fit is EMSGSIZE"),
    _sctp("SCTP_PEER_ADDR_PARAMS", 9, _sctp_struct("path parameters",
            "assoc_id:i address:S hbinterval:I:milliseconds pathmaxrxt:H pathmtu:I:bytes sackdelay:I:milliseconds flags:I "
            "ipv6_flowlabel:I dscp:B :x", size=156, settable=True),
        "heartbeat, retransmissions and MTU of the paths", kernel="flags say which fields count", refusals=_NO_ASSOC),
    _sctp("SCTP_DEFAULT_SEND_PARAM", 10, _sctp_struct("send parameters",
            "stream:H ssn:H flags:H :2x ppid:I context:I timetolive:I:milliseconds tsn:I cumtsn:I assoc_id:i",
            size=32, settable=True),
        "stream, protocol and context of what is sent", documented="RFC 6458 (deprecated: SCTP_DEFAULT_SNDINFO)",
        refusals=_NO_ASSOC),
    _sctp("SCTP_EVENTS", 11, _sctp_struct("events",
            "data_io:B association:B address:B send_failure:B peer_error:B shutdown:B partial_delivery:B adaptation_layer:B "
            "authentication:B sender_dry:B stream_reset:B assoc_reset:B stream_change:B send_failure_event:B",
            size=14, settable=True),
        "events that are told by messages", documented="RFC 6458 (deprecated: SCTP_EVENT)"),
    _sctp("SCTP_I_WANT_MAPPED_V4_ADDR", 12, BOOL, "IPv4 peers are told as ::ffff:a.b.c.d"),
    _sctp("SCTP_MAXSEG", 13, _VALUE, "largest piece of a message", unit="bytes", kernel="0: as the path allows"),
    _sctp("SCTP_STATUS", 14, _sctp_struct("association facts",
            "assoc_id:i ~state:i ~rwnd:I:bytes ~unackdata:H:chunks ~penddata:H:chunks instrms:H outstrms:H "
            "~fragmentation_point:I:bytes :4x ~primary:S ~primary_state:i ~primary_cwnd:I:bytes ~primary_srtt:I:milliseconds "
            "~primary_rto:I:milliseconds ~primary_mtu:I:bytes", size=176),
        "facts about the association", moment=_NEVER, refusals=_NO_ASSOC),
    _sctp("SCTP_GET_PEER_ADDR_INFO", 15, _sctp_struct("path facts", f"assoc_id:i address:S {_PADDRINFO}", size=152),
        "facts about one path: it has to be named", moment=_NEVER, refusals=(*_NO_ASSOC, "EADDRNOTAVAIL")),
    _sctp("SCTP_DELAYED_SACK", 16, _sctp_struct("delayed SACK", "assoc_id:i sack_delay:I:milliseconds sack_freq:I:packets",
            size=12, settable=True),
        "how long, and for how many packets, an acknowledgement may wait", kernel="at most 500 ms; frequency 1: at once, and no delay",
        refusals=_NO_ASSOC),
    _sctp("SCTP_CONTEXT", 17, _VALUE, "number that comes with what is received"),
    _sctp("SCTP_FRAGMENT_INTERLEAVE", 18, INT, "pieces of messages of several associations may mix",
        kernel="0 no, 1 or more yes"),
    _sctp("SCTP_PARTIAL_DELIVERY_POINT", 19, UINT, "a message of this size is delivered in parts", unit="bytes"),
    _sctp("SCTP_MAX_BURST", 20, _VALUE, "packets that may be sent at once"),
    _sctp("SCTP_AUTH_CHUNK", 21, kinds.INT_ONLY, "a chunk type that must be authenticated", moment=_CONNECT),
    _sctp("SCTP_HMAC_IDENT", 22, kinds.SCTP_HMACS, "HMACs for authentication, best first", moment=_NEVER, refusals=_SCTP_AUTH),
    _sctp("SCTP_AUTH_KEY", 23, kinds.SECRET, "a shared key"),
    _sctp("SCTP_AUTH_ACTIVE_KEY", 24, _sctp_struct("key number", "assoc_id:i keynumber:H :2x", size=8, settable=True),
        "number of the key that is used", refusals=_SCTP_AUTH),
    _sctp("SCTP_AUTH_DELETE_KEY", 25, _struct("key number", "assoc_id:i keynumber:H :2x", settable=True), "delete a shared key"),
    _sctp("SCTP_AUTH_DEACTIVATE_KEY", 35, _struct("key number", "assoc_id:i keynumber:H :2x", settable=True),
        "use a shared key no more"),
    _sctp("SCTP_PEER_AUTH_CHUNKS", 26, kinds.SCTP_CHUNKS, "chunk types that the peer wants authenticated",
        moment=_NEVER, refusals=(*_SCTP_AUTH, "ENOTCONN")),
    _sctp("SCTP_LOCAL_AUTH_CHUNKS", 27, kinds.SCTP_CHUNKS, "chunk types that we want authenticated",
        moment=_NEVER, refusals=(*_SCTP_AUTH, "ENOTCONN")),
    _sctp("SCTP_GET_ASSOC_NUMBER", 28, INT, "number of associations",
        on=(Sockets(_INET, _constants("SOCK_", "SEQPACKET"), _of(_SCTP)),), moment=_NEVER, volatile=True, refusals=("EOPNOTSUPP",)),
    _sctp("SCTP_GET_ASSOC_ID_LIST", 29, kinds.SCTP_IDS, "ids of the associations",
        on=(Sockets(_INET, _constants("SOCK_", "SEQPACKET"), _of(_SCTP)),), moment=_NEVER, volatile=True, refusals=("EOPNOTSUPP",)),
    _sctp("SCTP_AUTO_ASCONF", 30, BOOL, "tell the peer when our addresses come and go",
        kernel="only while bound to all addresses", refusals=_NO_ASSOC),
    _sctp("SCTP_PEER_ADDR_THLDS", 31, _sctp_struct("thresholds", f"{_ADDRESS} pathmaxrxt:H pathpfthld:H :4x", size=144, settable=True),
        "failures after which a path is left", documented="RFC 7829", refusals=_NO_ASSOC),
    _sctp("SCTP_PEER_ADDR_THLDS_V2", 37,
        _sctp_struct("thresholds", f"{_ADDRESS} pathmaxrxt:H pathpfthld:H pathcpthld:H :2x", size=144, settable=True),
        "failures after which a path is left, and primary no more", documented="RFC 7829, Linux 5.5", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_RECVRCVINFO", 32, BOOL, "tell with each message its stream, protocol and context"),
    _sctp("SCTP_RECVNXTINFO", 33, BOOL, "tell with each message about the next"),
    _sctp("SCTP_DEFAULT_SNDINFO", 34, _sctp_struct("send parameters", "sid:H flags:H ppid:I context:I assoc_id:i", size=16, settable=True),
        "stream, protocol and context of what is sent", refusals=_NO_ASSOC),
    _sctp("SCTP_REUSE_PORT", 36, BOOL, "several sockets share the port", moment=_BIND, kernel="EFAULT once bound; one-to-one only",
        refusals=_OLD),
    _sctp("SCTP_SOCKOPT_BINDX_ADD", 100, kinds.SOCKADDRS, "bind to more addresses", kernel="sctp_bindx(3)"),
    _sctp("SCTP_SOCKOPT_BINDX_REM", 101, kinds.SOCKADDRS, "leave addresses", kernel="sctp_bindx(3)"),
    _sctp("SCTP_SOCKOPT_PEELOFF", 102, _struct("peeled off", "assoc_id:i sd:i", size=8), "a socket for one association",
        on=(Sockets(_INET, _constants("SOCK_", "SEQPACKET"), _of(_SCTP)),), moment=_NEVER, reading="reading it makes a socket"),
    _sctp("SCTP_SOCKOPT_PEELOFF_FLAGS", 122, _struct("peeled off", "assoc_id:i sd:i flags:I", size=12),
        "a socket for one association, with flags", on=(Sockets(_INET, _constants("SOCK_", "SEQPACKET"), _of(_SCTP)),),
        moment=_NEVER, reading="reading it makes a socket"),
    _sctp("SCTP_SOCKOPT_CONNECTX_OLD", 107, kinds.SOCKADDRS, "connect to one peer by several addresses, without being told its id"),
    _sctp("SCTP_SOCKOPT_CONNECTX", 110, kinds.SOCKADDRS, "connect to one peer by several addresses", kernel="sctp_connectx(3)"),
    _sctp("SCTP_SOCKOPT_CONNECTX3", 111, kinds.POINTER, "connect to one peer by several addresses, by a pointer",
        reading="reading it connects"),
    _sctp("SCTP_GET_PEER_ADDRS", 108, kinds.SCTP_ADDRESSES, "addresses of the peer", moment=_NEVER, refusals=_NO_ASSOC),
    _sctp("SCTP_GET_LOCAL_ADDRS", 109, kinds.SCTP_ADDRESSES, "addresses that it is bound to", moment=_NEVER, refusals=_NO_ASSOC),
    _sctp("SCTP_GET_ASSOC_STATS", 112, _sctp_struct("statistics",
            f"{_ADDRESS} maxrto:Q:milliseconds isacks:Q osacks:Q opackets:Q ipackets:Q rtxchunks:Q outofseqtsns:Q idupchunks:Q "
            "gapcnt:Q ouodchunks:Q iuodchunks:Q oodchunks:Q iodchunks:Q octrlchunks:Q ictrlchunks:Q", size=256),
        "what the association has counted", moment=_NEVER, volatile=True, reading="reading it sets maxrto back",
        refusals=_NO_ASSOC),
    _sctp("SCTP_PR_SUPPORTED", 113, _VALUE, "partial reliability: messages may be given up", moment=_CONNECT,
        documented="RFC 7496", refusals=_NO_ASSOC),
    _sctp("SCTP_DEFAULT_PRINFO", 114, _sctp_struct("reliability", "assoc_id:i value:I policy:H :2x", size=12, settable=True),
        "when a message may be given up", kernel="policy: 0 never, 0x10 after value ms, 0x20 after value retransmissions, 0x30 priority",
        documented="RFC 7496", refusals=_NO_ASSOC),
    _sctp("SCTP_PR_ASSOC_STATUS", 115, _struct("given up", "assoc_id:i sid:H policy:H ~abandoned_unsent:Q ~abandoned_sent:Q",
            size=24, given=struct.pack("=iHH", 0, 0, 0x80)),
        "messages that were given up", moment=_NEVER, documented="RFC 7496", refusals=_NO_ASSOC),
    _sctp("SCTP_PR_STREAM_STATUS", 116, _struct("given up", "assoc_id:i sid:H policy:H ~abandoned_unsent:Q ~abandoned_sent:Q",
            size=24, given=struct.pack("=iHH", 0, 0, 0x80)),
        "messages of the first stream that were given up", moment=_NEVER, documented="RFC 7496", refusals=_NO_ASSOC),
    _sctp("SCTP_RECONFIG_SUPPORTED", 117, _VALUE, "streams may be reset and added", moment=_CONNECT, documented="RFC 6525", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_ENABLE_STREAM_RESET", 118, _VALUE, "requests that are granted: 1 reset streams, 2 the association, 4 add streams",
        documented="RFC 6525", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_RESET_STREAMS", 119, kinds.SECRET, "start the numbers of streams anew", moment=_CONNECTED, documented="RFC 6525"),
    _sctp("SCTP_RESET_ASSOC", 120, kinds.INT_ONLY, "start all numbers of an association anew", moment=_CONNECTED, documented="RFC 6525"),
    _sctp("SCTP_ADD_STREAMS", 121, _struct("streams", "assoc_id:i instrms:H outstrms:H", settable=True), "add streams",
        moment=_CONNECTED, documented="RFC 6525"),
    _sctp("SCTP_STREAM_SCHEDULER", 123, _VALUE, "which stream sends next: 0 first come, 1 priority, 2 round robin, 3 fair, 4 weighted",
        documented="RFC 8260", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_STREAM_SCHEDULER_VALUE", 124, _sctp_struct("stream", "assoc_id:i stream_id:H stream_value:H", size=8, settable=True),
        "priority or weight of a stream", documented="RFC 8260", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_INTERLEAVING_SUPPORTED", 125, _VALUE, "large messages do not hold up the other streams", moment=_CONNECT,
        kernel="EPERM unless net.sctp.intl_enable is on and SCTP_FRAGMENT_INTERLEAVE set", documented="RFC 8260", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_SENDMSG_CONNECT", 126, kinds.SOCKADDRS, "connect as sendmsg does", documented="net/sctp/socket.c, Linux 4.18"),
    _sctp("SCTP_EVENT", 127, _struct("event", "assoc_id:i type:H on:B :x", settable=True), "tell of one kind of event, or not"),
    _sctp("SCTP_ASCONF_SUPPORTED", 128, _VALUE, "addresses may come and go", moment=_CONNECT, documented="RFC 5061", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_AUTH_SUPPORTED", 129, _VALUE, "chunks may be authenticated", moment=_CONNECT, documented="RFC 4895", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_ECN_SUPPORTED", 130, _VALUE, "explicit congestion notification", moment=_CONNECT, refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_EXPOSE_POTENTIALLY_FAILED_STATE", 131, _VALUE, "tell of paths that may have failed", documented="RFC 7829", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_REMOTE_UDP_ENCAPS_PORT", 132, _sctp_struct("UDP port", f"{_ADDRESS} port:>H :6x", size=144, settable=True),
        "UDP port of the peer, to travel in UDP", documented="RFC 6951, Linux 5.11", refusals=(*_NO_ASSOC, *_OLD)),
    _sctp("SCTP_PLPMTUD_PROBE_INTERVAL", 133, _sctp_struct("probing", f"{_ADDRESS} interval:I:milliseconds :4x", size=144, settable=True),
        "how often the MTU of a path is probed", documented="RFC 8899, Linux 5.14", refusals=(*_NO_ASSOC, *_OLD)),
)

_NO_CONN = ("ENOTCONN", "EINVAL", "ENOENT", "ENOPROTOOPT")
_DCCP_ROWS = (
    _dccp("DCCP_SOCKOPT_PACKET_SIZE", 1, INT, "nothing any more", on=()),
    _dccp("DCCP_SOCKOPT_SERVICE", 2, kinds.SERVICES, "service that is called or offered", moment=_CONNECT,
        kernel="a number in network byte order; a listener may offer up to 32", documented="RFC 4340 section 8.1.2"),
    _dccp("DCCP_SOCKOPT_CHANGE_L", 3, kinds.INT_ONLY, "nothing any more", kernel="EOPNOTSUPP"),
    _dccp("DCCP_SOCKOPT_CHANGE_R", 4, kinds.INT_ONLY, "nothing any more", kernel="EOPNOTSUPP"),
    _dccp("DCCP_SOCKOPT_GET_CUR_MPS", 5, INT, "largest message now", unit="bytes", moment=_NEVER, volatile=True),
    _dccp("DCCP_SOCKOPT_SERVER_TIMEWAIT", 6, BOOL, "the server keeps TIME_WAIT", kernel="EOPNOTSUPP but for servers"),
    _dccp("DCCP_SOCKOPT_SEND_CSCOV", 10, INT, "coverage of the checksum",
        moment=_CONNECT, kernel="0 to 15: 0 all, n the header and 4(n-1) bytes; negotiated, so read back once connected"),
    _dccp("DCCP_SOCKOPT_RECV_CSCOV", 11, INT, "coverage that is asked of the peer",
        moment=_CONNECT, kernel="0 to 15; negotiated, so read back once connected"),
    _dccp("DCCP_SOCKOPT_AVAILABLE_CCIDS", 12, kinds.OCTETS, "congestion controls that the kernel has", moment=_NEVER),
    _dccp("DCCP_SOCKOPT_CCID", 13, kinds.SECRET, "congestion controls to offer, both ways, one byte each", moment=_CONNECT),
    _dccp("DCCP_SOCKOPT_TX_CCID", 14, INT, "congestion control of what is sent", moment=_CONNECT, refusals=_NO_CONN),
    _dccp("DCCP_SOCKOPT_RX_CCID", 15, INT, "congestion control of what is received", moment=_CONNECT, refusals=_NO_CONN),
    _dccp("DCCP_SOCKOPT_QPOLICY_ID", 16, INT, "which packet is sent next: 0 first come, 1 by priority", moment=_CONNECT),
    _dccp("DCCP_SOCKOPT_QPOLICY_TXQLEN", 17, INT, "packets that may wait to be sent", kernel="0: no limit"),
    _dccp("DCCP_SOCKOPT_CCID_RX_INFO", 128, kinds.blob("CCID facts", 64), "what the receiving CCID tells",
        moment=_NEVER, volatile=True, refusals=_NO_CONN),
    _dccp("DCCP_SOCKOPT_CCID_TX_INFO", 192, kinds.blob("CCID facts", 64), "what the sending CCID tells",
        moment=_NEVER, volatile=True, refusals=_NO_CONN),
)

_PACKET_H = "linux/if_packet.h"
_PACKET_ROWS = (
    _packet("PACKET_ADD_MEMBERSHIP", 1, kinds.MEMBERSHIP, "let more in: promiscuous mode, or an address"),
    _packet("PACKET_DROP_MEMBERSHIP", 2, kinds.MEMBERSHIP, "let it in no more"),
    _packet("PACKET_RECV_OUTPUT", 3, INT, "a number that was set aside, and nothing behind it", on=(), documented=_PACKET_H),
    _packet("PACKET_STATISTICS", 6, _struct("counts", "packets:I:packets drops:I:packets", size=8),
        "packets received and dropped since it was last asked", moment=_NEVER, volatile=True,
        reading="reading it sets the counts to 0"),
    _packet("PACKET_ROLLOVER_STATS", 21, _struct("rollovers", "~all:Q ~huge:Q ~failed:Q", size=24),
        "packets that went to another socket of the fanout", moment=_NEVER, documented=_PACKET_H, refusals=("EINVAL",)),
    _packet("PACKET_COPY_THRESH", 7, INT, "packets larger than this are queued too, besides the ring", unit="bytes", documented=_PACKET_H),
    _packet("PACKET_AUXDATA", 8, BOOL, "tell with each packet its lengths, status and VLAN tag"),
    _packet("PACKET_ORIGDEV", 9, BOOL, "tell the interface that it came in by, not a bond's", documented=_PACKET_H),
    _packet("PACKET_VERSION", 10, kinds.integer("ring version", names={0: "tpacket_v1", 1: "tpacket_v2", 2: "tpacket_v3"}),
        "layout of its rings", kernel="EBUSY once there is a ring"),
    _packet("PACKET_HDRLEN", 11, kinds.INT_ZEROED, "bytes of a frame's header in a ring of TPACKET_V1", unit="bytes", moment=_NEVER,
        kernel="it takes the version in the same place; 0 is asked for", documented=_PACKET_H),
    _packet("PACKET_RESERVE", 12, UINT, "room before each frame of the ring", unit="bytes", kernel="EBUSY once there is a ring"),
    _packet("PACKET_RX_RING", 5, kinds.SECRET, "make a ring for what is received: struct tpacket_req", documented="Linux: networking/packet_mmap"),
    _packet("PACKET_TX_RING", 13, kinds.SECRET, "make a ring for what is sent: struct tpacket_req", documented="Linux: networking/packet_mmap"),
    _packet("PACKET_LOSS", 14, BOOL, "skip frames of the ring that are wrong rather than stop", kernel="EBUSY once there is a ring"),
    _packet("PACKET_VNET_HDR", 15, BOOL, "each packet begins with a virtio_net_hdr",
        documented=_PACKET_H, kernel="EINVAL but on SOCK_RAW; EBUSY once there is a ring"),
    _packet("PACKET_VNET_HDR_SZ", 24, INT, "bytes of that virtio_net_hdr", unit="bytes", kernel="0, 10 or 12",
        documented=f"{_PACKET_H}, Linux 6.4", refusals=_OLD),
    _packet("PACKET_TX_TIMESTAMP", 16, INT, "a number that was set aside, and nothing behind it", on=(), documented=_PACKET_H),
    _packet("PACKET_TIMESTAMP", 17, INT, "which time stamp the ring has, as SO_TIMESTAMPING's flags"),
    _packet("PACKET_FANOUT", 18,
        kinds.HEX._replace(name="fanout"), "group of sockets that share the packets: its number, and in the high half how",
        kernel="high half: 0 hash, 1 round robin, 2 CPU, 3 rollover, 4 random, 5 queue, 6 BPF, 7 eBPF"),
    _packet("PACKET_FANOUT_DATA", 22, kinds.SECRET, "program of a fanout group", documented=_PACKET_H),
    _packet("PACKET_TX_HAS_OFF", 19, BOOL, "frames of the ring to send tell where their data begins", documented=_PACKET_H,
        kernel="EBUSY once there is a ring"),
    _packet("PACKET_QDISC_BYPASS", 20, BOOL, "send past traffic control"),
    _packet("PACKET_IGNORE_OUTGOING", 23, BOOL, "do not receive what this host sends", documented=f"{_PACKET_H}, Linux 4.20",
        refusals=_OLD),
)

_AF_NETLINK_C = "net/netlink/af_netlink.c"
_NETLINK_ROWS = (
    _netlink("NETLINK_ADD_MEMBERSHIP", 1, kinds.INT_ONLY, "join a group of messages, by its number"),
    _netlink("NETLINK_DROP_MEMBERSHIP", 2, kinds.INT_ONLY, "leave a group of messages"),
    _netlink("NETLINK_LIST_MEMBERSHIPS", 9, kinds.numbers("groups, as bits", 64), "groups that it is in, 32 to a number",
        moment=_NEVER, documented="netlink(7), Linux 4.2", refusals=_OLD),
    _netlink("NETLINK_PKTINFO", 3, BOOL, "tell with each message its group"),
    _netlink("NETLINK_BROADCAST_ERROR", 4, BOOL, "whoever sends to its groups learns when it did not fit"),
    _netlink("NETLINK_NO_ENOBUFS", 5, BOOL, "no ENOBUFS when messages were lost"),
    _netlink("NETLINK_LISTEN_ALL_NSID", 8, BOOL, "receive of all network namespaces that have an id here",
        privilege="CAP_NET_BROADCAST", refusals=_OLD),
    _netlink("NETLINK_CAP_ACK", 10, BOOL, "errors come without a copy of the request"),
    _netlink("NETLINK_EXT_ACK", 11, BOOL, "errors come with an explanation"),
    _netlink("NETLINK_GET_STRICT_CHK", 12, BOOL, "requests are checked to the last byte", documented=f"{_AF_NETLINK_C}, Linux 4.20",
        refusals=_OLD),
    _netlink("NETLINK_RX_RING", 6, kinds.POINTER, "nothing any more", on=(), documented=_AF_NETLINK_C),
    _netlink("NETLINK_TX_RING", 7, kinds.POINTER, "nothing any more", on=(), documented=_AF_NETLINK_C),
)

_VSOCK_ROWS = (
    _vsock("SO_VM_SOCKETS_BUFFER_SIZE", 0, kinds.SIZE64, "receive buffer",
        unit="bytes", moment=_CONNECT,
        kernel="kept between SO_VM_SOCKETS_BUFFER_MIN_SIZE and SO_VM_SOCKETS_BUFFER_MAX_SIZE"),
    _vsock("SO_VM_SOCKETS_BUFFER_MIN_SIZE", 1, kinds.SIZE64, "smallest receive buffer", unit="bytes", moment=_CONNECT),
    _vsock("SO_VM_SOCKETS_BUFFER_MAX_SIZE", 2, kinds.SIZE64, "largest receive buffer", unit="bytes", moment=_CONNECT),
    _vsock("SO_VM_SOCKETS_PEER_HOST_VM_ID", 3, INT, "a number of another system's, and nothing behind it on Linux", on=()),
    _vsock("SO_VM_SOCKETS_TRUSTED", 5, INT, "a number of another system's, and nothing behind it on Linux", on=()),
    _vsock("SO_VM_SOCKETS_CONNECT_TIMEOUT", 6, kinds.TIMEVAL, "how long connect may take",
        unit="seconds", moment=_CONNECT, kernel="0 is the usual 2 s"),
    _vsock("SO_VM_SOCKETS_NONBLOCK_TXRX", 7, INT, "a number of another system's, and nothing behind it on Linux", on=()),
    _vsock("SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW", 8, kinds.TIMEVAL64, "how long connect may take, in 64 bits on every machine",
        unit="seconds", moment=_CONNECT, kernel="0 is the usual 2 s", documented="linux/vm_sockets.h, Linux 5.17",
        refusals=_OLD),
)

_CAN_ROWS = (
    _can_raw("CAN_RAW_FILTER", 1, kinds.CAN_FILTERS, "frames that are received: id & mask must be equal",
        kernel="born with 0:0, which is all; 20000000 in the id inverts"),
    _can_raw("CAN_RAW_ERR_FILTER", 2, UHEX, "classes of error frames that are received", kernel="born with 0: none"),
    _can_raw("CAN_RAW_LOOPBACK", 3, BOOL, "others on this host receive what is sent"),
    _can_raw("CAN_RAW_RECV_OWN_MSGS", 4, BOOL, "this socket receives what it sends"),
    _can_raw("CAN_RAW_FD_FRAMES", 5, BOOL, "CAN FD frames, of up to 64 bytes"),
    _can_raw("CAN_RAW_JOIN_FILTERS", 6, BOOL, "a frame must match all filters, not any"),
    _can_raw("CAN_RAW_XL_FRAMES", 7, BOOL, "CAN XL frames, of up to 2048 bytes", documented="linux/can/raw.h, Linux 6.1", refusals=_OLD),
    _can_raw("CAN_RAW_XL_VCID_OPTS", 8, _struct("VCID", "flags:B tx_vcid:B rx_vcid:B rx_vcid_mask:B", size=4, settable=True),
        "virtual CAN network of CAN XL frames", documented="linux/can/raw.h, Linux 6.9", refusals=_OLD),
    _isotp("CAN_ISOTP_OPTS", 1, _struct("ISO-TP options",
            "flags:I frame_txtime:I:nanoseconds ext_address:B txpad_content:B rxpad_content:B rx_ext_address:B", size=12, settable=True),
        "addressing, padding and mode", moment=_BIND, kernel="EISCONN once bound"),
    _isotp("CAN_ISOTP_RECV_FC", 2, _struct("flow control", "bs:B stmin:B wftmax:B", size=3, settable=True),
        "flow control that is sent to who sends", moment=_BIND, kernel="EISCONN once bound"),
    _isotp("CAN_ISOTP_TX_STMIN", 3, UINT, "shortest gap between frames that are sent", unit="nanoseconds", moment=_BIND),
    _isotp("CAN_ISOTP_RX_STMIN", 4, UINT, "frames that come sooner than this are dropped", unit="nanoseconds", moment=_BIND),
    _isotp("CAN_ISOTP_LL_OPTS", 5, _struct("link layer", "mtu:B:bytes tx_dl:B:bytes tx_flags:B", size=3, settable=True),
        "CAN or CAN FD below", moment=_BIND, kernel="EISCONN once bound"),
    _j1939("SO_J1939_FILTER", 1, kinds.SECRET, "names, addresses and groups that are received: struct j1939_filter"),
    _j1939("SO_J1939_PROMISC", 2, BOOL, "receive all, whomever it is for"),
    _j1939("SO_J1939_SEND_PRIO", 3, INT, "priority of what is sent", kernel="0 to 7; 0 and 1 need CAP_NET_ADMIN",
        privilege="CAP_NET_ADMIN below 2"),
    _j1939("SO_J1939_ERRQUEUE", 4, BOOL, "tell of transfers that end by the error queue"),
)

_XDP_OFFSETS = " ".join(f"{ring}_{part}:Q:bytes" for ring in ("rx", "tx", "fill", "completion")
    for part in ("producer", "consumer", "desc", "flags"))
_BLUETOOTH_ON: Applies = (Sockets(_families(BLUETOOTH=31)),)
_bt = _level("SOL_BLUETOOTH", 274, "net/bluetooth/af_bluetooth.c", _BLUETOOTH_ON, refusals=("EINVAL", "ENOTCONN", "EOPNOTSUPP", "EBADFD", *_OLD))
_FAR_ROWS = (
    _tipc("TIPC_IMPORTANCE", 127, kinds.integer("importance", names={0: "low", 1: "medium", 2: "high", 3: "critical"}),
        "which messages are given up last when queues are full"),
    _tipc("TIPC_SRC_DROPPABLE", 128, BOOL, "a message may be dropped here when the link is congested"),
    _tipc("TIPC_DEST_DROPPABLE", 129, BOOL, "a message that cannot be delivered is dropped, not sent back"),
    _tipc("TIPC_CONN_TIMEOUT", 130, UINT, "how long connect may take", unit="milliseconds", moment=_CONNECT),
    _tipc("TIPC_NODE_RECVQ_DEPTH", 131, UINT, "messages that wait on this node", moment=_NEVER, volatile=True, kernel="always 0 by now"),
    _tipc("TIPC_SOCK_RECVQ_DEPTH", 132, UINT, "messages that wait on this socket", moment=_NEVER, volatile=True),
    _tipc("TIPC_SOCK_RECVQ_USED", 137, UINT, "memory of what waits on this socket", unit="bytes", moment=_NEVER, volatile=True,
        refusals=("EINVAL",)),
    _tipc("TIPC_MCAST_BROADCAST", 133, kinds.INT_ONLY, "multicast goes out as broadcast"),
    _tipc("TIPC_MCAST_REPLICAST", 134, kinds.INT_ONLY, "multicast goes out as a copy to each"),
    _tipc("TIPC_GROUP_JOIN", 135, _struct("group", "type:I instance:I scope:I flags:I", size=16, settable=True),
        "group that it is in", kernel="flags: 1 receive what we send, 2 tell who joins and leaves", refusals=("EINVAL",)),
    _tipc("TIPC_GROUP_LEAVE", 136, kinds.INT_ONLY, "leave the group"),
    _tipc("TIPC_NODELAY", 138, BOOL, "send small pieces at once (no Nagle)", documented="linux/tipc.h, Linux 5.5", refusals=("EINVAL", *_OLD)),
    _alg("ALG_SET_KEY", 1, kinds.SECRET, "key", moment=_CONNECT),
    _alg("ALG_SET_AEAD_AUTHSIZE", 5, kinds.POINTER, "bytes of the authentication tag: the optlen itself, without a value"),
    _alg("ALG_SET_DRBG_ENTROPY", 6, kinds.SECRET, "entropy of a random number generator", privilege="CAP_SYS_ADMIN"),
    _alg("ALG_SET_KEY_BY_KEY_SERIAL", 7, kinds.INT_ONLY, "key, by its number in the kernel's keyring", documented="linux/if_alg.h, Linux 6.2"),
    _alg("ALG_SET_IV", 2, kinds.POINTER, "only as a control message: initialisation vector"),
    _alg("ALG_SET_OP", 3, kinds.POINTER, "only as a control message: encrypt or decrypt"),
    _alg("ALG_SET_AEAD_ASSOCLEN", 4, kinds.POINTER, "only as a control message: bytes of associated data"),
    _smc("SMC_LIMIT_HS", 1, BOOL, "refuse SMC when handshakes pile up", documented="linux/smc.h, Linux 5.18", refusals=("EOPNOTSUPP", *_OLD)),
    _xdp("XDP_MMAP_OFFSETS", 1, _struct("offsets", _XDP_OFFSETS, size=128), "where in a ring its parts are", moment=_NEVER),
    _xdp("XDP_RX_RING", 2, kinds.INT_ONLY, "make a ring for what is received, of so many packets", moment=_BIND),
    _xdp("XDP_TX_RING", 3, kinds.INT_ONLY, "make a ring for what is sent, of so many packets", moment=_BIND),
    _xdp("XDP_UMEM_REG", 4, kinds.SECRET, "memory for packets: struct xdp_umem_reg", moment=_BIND),
    _xdp("XDP_UMEM_FILL_RING", 5, kinds.INT_ONLY, "make the ring that gives buffers to the kernel", moment=_BIND),
    _xdp("XDP_UMEM_COMPLETION_RING", 6, kinds.INT_ONLY, "make the ring that gives buffers back", moment=_BIND),
    _xdp("XDP_STATISTICS", 7, _struct("counts",
            "~rx_dropped:Q ~rx_invalid_descs:Q ~tx_invalid_descs:Q ~rx_ring_full:Q ~rx_fill_ring_empty_descs:Q ~tx_ring_empty_descs:Q", size=48),
        "packets that were dropped, and why", moment=_NEVER),
    _xdp("XDP_OPTIONS", 8, kinds.flags("options", {1: "zerocopy"}), "how it works", moment=_NEVER),
    _xdp("XDP_MAX_TX_SKB_BUDGET", 9, kinds.INT_ONLY, "packets that one send call may take from the ring",
        documented="linux/if_xdp.h, Linux 6.17"),
    _rxrpc("RXRPC_SECURITY_KEY", 1, kinds.STRING_ONLY, "name of the client's key"),
    _rxrpc("RXRPC_SECURITY_KEYRING", 2, kinds.STRING_ONLY, "name of the server's keyring"),
    _rxrpc("RXRPC_EXCLUSIVE_CONNECTION", 3, kinds.INT_ONLY, "a connection of its own for this socket's calls"),
    _rxrpc("RXRPC_MIN_SECURITY_LEVEL", 4, kinds.INT_ONLY, "least security: 0 plain, 1 authenticated, 2 encrypted"),
    _rxrpc("RXRPC_UPGRADEABLE_SERVICE", 5, kinds.SECRET, "service that clients may be moved to: two 16-bit numbers"),
    _rxrpc("RXRPC_SUPPORTED_CMSG", 6, INT, "highest type of control message", moment=_NEVER, refusals=("EOPNOTSUPP",)),
    _rds("RDS_CANCEL_SENT_TO", 1, kinds.SECRET, "forget what is queued for a peer: a sockaddr"),
    _rds("RDS_GET_MR", 2, kinds.POINTER, "register memory for RDMA"),
    _rds("RDS_FREE_MR", 3, kinds.SECRET, "release memory of RDMA"),
    _rds("RDS_GET_MR_FOR_DEST", 7, kinds.POINTER, "register memory for RDMA with a peer"),
    _rds("RDS_RECVERR", 5, BOOL, "tell of RDMA operations that failed"),
    _rds("RDS_CONG_MONITOR", 6, kinds.INT_ONLY, "tell when a peer is no longer congested"),
    _rds("SO_RDS_TRANSPORT", 8, kinds.integer("transport", names={0: "ib", 1: "gap", 2: "tcp", -1: "none"}), "what carries it",
        moment=_BIND, kernel="EOPNOTSUPP once there is one"),
    _rds("SO_RDS_MSG_RXPATH_LATENCY", 10, kinds.SECRET, "tell how long a message took inside the kernel"),
    _kcm("KCM_RECV_DISABLE", 1, BOOL, "receive nothing on this socket of the multiplexor"),
    _pppol2tp("PPPOL2TP_SO_DEBUG", 1, INT, "nothing any more", refusals=("ENOTCONN", "EINVAL")),
    _pppol2tp("PPPOL2TP_SO_RECVSEQ", 2, BOOL, "packets must come with sequence numbers", moment=_CONNECTED, refusals=("ENOTCONN", "EINVAL")),
    _pppol2tp("PPPOL2TP_SO_SENDSEQ", 3, BOOL, "send sequence numbers", moment=_CONNECTED, refusals=("ENOTCONN", "EINVAL")),
    _pppol2tp("PPPOL2TP_SO_LNSMODE", 4, BOOL, "we decide on sequence numbers (LNS)", moment=_CONNECTED, refusals=("ENOTCONN", "EINVAL")),
    _pppol2tp("PPPOL2TP_SO_REORDERTO", 5, INT, "how long to wait for packets out of order", unit="milliseconds", moment=_CONNECTED,
        refusals=("ENOTCONN", "EINVAL")),
    _llc("LLC_OPT_RETRY", 1, INT, "retransmissions", kernel="at most 100"),
    _llc("LLC_OPT_SIZE", 2, INT, "largest packet", unit="bytes", kernel="at most 4196"),
    _llc("LLC_OPT_ACK_TMR_EXP", 3, INT, "wait for an acknowledgement", unit="seconds", kernel="at most 60"),
    _llc("LLC_OPT_P_TMR_EXP", 4, INT, "wait for the answer to a poll", unit="seconds", kernel="at most 60"),
    _llc("LLC_OPT_REJ_TMR_EXP", 5, INT, "wait after a reject", unit="seconds", kernel="at most 60"),
    _llc("LLC_OPT_BUSY_TMR_EXP", 6, INT, "wait while the peer is busy", unit="seconds", kernel="at most 60"),
    _llc("LLC_OPT_TX_WIN", 7, INT, "send window", kernel="at most 127"),
    _llc("LLC_OPT_RX_WIN", 8, INT, "receive window", kernel="at most 127"),
    _llc("LLC_OPT_PKTINFO", 9, BOOL, "tell with each packet where it came in"),
    _mctp("MCTP_OPT_ADDR_EXT", 1, BOOL, "addresses come with the link-layer's", refusals=("EINVAL",)),
    _pnpipe("PNPIPE_ENCAP", 1, kinds.integer("encapsulation", names={0: "none", 1: "ip"}), "what its pipe carries", moment=_CONNECTED),
    _pnpipe("PNPIPE_IFINDEX", 2, INT, "network interface of its pipe", moment=_NEVER),
    _pnpipe("PNPIPE_HANDLE", 3, INT, "number of its pipe", moment=_CONNECT, refusals=("EINVAL",)),
    _pnpipe("PNPIPE_INITSTATE", 4, BOOL, "its pipe begins enabled", moment=_CONNECT),
    _ax25("AX25_WINDOW", 1, INT, "frames in flight", kernel="1 to 7, or 63 with AX25_EXTSEQ"),
    _ax25("AX25_T1", 2, INT, "wait for an acknowledgement", unit="seconds", kernel="at least 1"),
    _ax25("AX25_N2", 3, INT, "retransmissions", kernel="1 to 31"),
    _ax25("AX25_T3", 4, INT, "wait on an idle link", unit="seconds"),
    _ax25("AX25_T2", 5, INT, "delay of acknowledgements", unit="seconds"),
    _ax25("AX25_BACKOFF", 6, INT, "backing off: 0 none, 1 linear, 2 exponential"),
    _ax25("AX25_EXTSEQ", 7, BOOL, "sequence numbers up to 127"),
    _ax25("AX25_PIDINCL", 8, BOOL, "data begins with its protocol"),
    _ax25("AX25_IDLE", 9, INT, "close a link that is idle this long", unit="minutes"),
    _ax25("AX25_PACLEN", 10, INT, "largest packet", unit="bytes", kernel="16 to 65535"),
    _ax25("AX25_IAMDIGI", 12, BOOL, "be a digipeater"),
    _netrom("NETROM_T1", 1, INT, "wait for an acknowledgement", unit="seconds"),
    _netrom("NETROM_T2", 2, INT, "delay of acknowledgements", unit="seconds"),
    _netrom("NETROM_N2", 3, INT, "retransmissions", kernel="1 to 31"),
    _netrom("NETROM_T4", 6, INT, "wait while the peer is busy", unit="seconds"),
    _netrom("NETROM_IDLE", 7, INT, "close a connection that is idle this long", unit="minutes"),
    _rose("ROSE_DEFER", 1, BOOL, "calls are accepted by the program, not by the kernel"),
    _rose("ROSE_T1", 2, INT, "wait for a call to be answered", unit="seconds"),
    _rose("ROSE_T2", 3, INT, "wait for a reset to be answered", unit="seconds"),
    _rose("ROSE_T3", 4, INT, "wait for a clear to be answered", unit="seconds"),
    _rose("ROSE_IDLE", 5, INT, "close a connection that is idle this long", unit="minutes"),
    _rose("ROSE_QBITINCL", 6, BOOL, "data begins with its Q bit"),
    _rose("ROSE_HOLDBACK", 7, INT, "delay of acknowledgements", unit="seconds"),
    _x25("X25_QBITINCL", 1, BOOL, "data begins with its Q bit"),
    _caif("CAIFSO_LINK_SELECT", 127, kinds.INT_ONLY, "which link: 0 high bandwidth, 1 low latency", moment=_CONNECT),
    _caif("CAIFSO_REQ_PARAM", 128, kinds.SECRET, "parameters of a utility link", moment=_CONNECT),
    _caif("CAIFSO_RSP_PARAM", 129, kinds.blob("parameters", 256), "parameters of the answer of a utility link", moment=_NEVER),
    _nfc("NFC_LLCP_RW", 0, INT, "receive window", moment=_CONNECT, kernel="0 to 15"),
    _nfc("NFC_LLCP_MIUX", 1, INT, "bytes beyond 128 that a packet may have", unit="bytes", moment=_CONNECT),
    _nfc("NFC_LLCP_REMOTE_MIU", 2, INT, "largest packet of the peer", unit="bytes", moment=_NEVER),
    _nfc("NFC_LLCP_REMOTE_LTO", 3, INT, "how long the peer's link may be silent", unit="milliseconds", moment=_NEVER),
    _nfc("NFC_LLCP_REMOTE_RW", 4, INT, "receive window of the peer", moment=_NEVER),
    _bt("BT_SECURITY", 4, _struct("security", "level:B key_size:B", size=2, settable=True), "security that the link must have",
        kernel="level: 1 low, 2 medium, 3 high, 4 FIPS"),
    _bt("BT_DEFER_SETUP", 7, UINT, "the program accepts or refuses a connection", moment=_CONNECT),
    _bt("BT_FLUSHABLE", 8, BOOL, "data may be given up"),
    _bt("BT_POWER", 9, _struct("power", "force_active:B", size=1, settable=True), "keep the link awake"),
    _bt("BT_CHANNEL_POLICY", 10, UINT, "which controllers: 0 BR/EDR only, 1 rather, 2 AMP rather"),
    _bt("BT_VOICE", 11, _struct("voice", "setting:H", size=2, settable=True), "coding of voice", moment=_CONNECT),
    _bt("BT_SNDMTU", 12, _struct("MTU", "mtu:H:bytes", size=2), "largest packet that is sent", moment=_NEVER),
    _bt("BT_RCVMTU", 13, _struct("MTU", "mtu:H:bytes", size=2, settable=True), "largest packet that is received", moment=_CONNECT),
    _bt("BT_PHY", 14, UHEX, "PHYs of the link", moment=_NEVER),
    _bt("BT_MODE", 15, _struct("mode", "mode:B", size=1, settable=True), "mode of L2CAP", moment=_CONNECT),
    _bt("BT_PKT_STATUS", 16, BOOL, "tell with each packet whether it came whole"),
    _bt("BT_ISO_QOS", 17, kinds.blob("quality of service", 128), "quality of service of isochronous channels", moment=_CONNECT),
    _bt("BT_CODEC", 19, kinds.blob("codecs", 512), "codecs that the controller has", moment=_CONNECT),
)
# fmt: on

OPTIONS: tuple[SockOption, ...] = (
    *_SOCKET_ROWS,
    *_IP_ROWS,
    *_MROUTE_ROWS,
    *_IPV6_ROWS,
    *_TCP_ROWS,
    *_STREAM_ROWS,
    *_UDP_ROWS,
    *_SCTP_ROWS,
    *_DCCP_ROWS,
    *_PACKET_ROWS,
    *_NETLINK_ROWS,
    *_VSOCK_ROWS,
    *_CAN_ROWS,
    *_FAR_ROWS,
)
"""Every option, in the order of reports. Those that this platform lacks are in it too, with number None."""


# ---- asking the table


def applicable(family: int, type: int, proto: int) -> tuple[SockOption, ...]:
    """The options that this platform has for a socket, given as SO_DOMAIN, SO_TYPE and SO_PROTOCOL report it."""
    return tuple(
        option
        for option in OPTIONS
        if option.number is not None and any(sockets.contains(family, type, proto) for sockets in option.applies)
    )


_PREFIXES = (
    "SO_VM_SOCKETS_", "SO_J1939_", "SO_", "IPV6_", "IP_", "TCP_", "UDPLITE_", "UDP_", "NETLINK_", "SCTP_SOCKOPT_", "SCTP_",
    "DCCP_SOCKOPT_", "PACKET_", "CAN_RAW_", "CAN_ISOTP_", "MPTCP_", "TLS_", "TIPC_", "ALG_", "XDP_", "MRT6_", "MRT_",
)  # fmt: skip
_COMMON = ("SO_", "IP_", "IPV6_", "TCP_", "UDP_", "UDPLITE_")
"""Where a short name is looked for first: ``nodelay`` is TCP's, although SCTP and TIPC have one too."""


def _short(name: str) -> str:
    """``RCVBUF`` for ``SO_RCVBUF``."""
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def find(name: str, on: tuple[int, int, int] | None = None, *, argument: str = "--set") -> SockOption:
    """The row of a name: in any case, with or without its prefix, or two numbers, ``LEVEL:NUMBER``.

    Numbers give a row of their own whose value is a plain int, whether or not the table knows that option by name.

    Args:
        name: as typed.
        on: family, type and protocol of the socket that it is for, if they are known: of several options that share a
            short name, the one that applies there.
        argument: the option of the command line that it stands in.

    Raises:
        UsageError: a name that is not known, or that several options share.
    """
    typed = name.strip().upper().replace("-", "_")
    for option in OPTIONS:
        if option.name == typed:
            return option
    if ":" in typed:
        return _by_number(name, argument)
    found = [option for option in OPTIONS if _short(option.name) == typed]
    if on is not None and len(found) > 1:
        found = [option for option in found if any(sockets.contains(*on) for sockets in option.applies)] or found
    if len(found) > 1:
        found = [option for option in found if option.name.removesuffix(typed) in _COMMON] or found
    if len(found) == 1:
        return found[0]
    if found:
        several = " or ".join(option.name for option in found)
        raise UsageError(f"{name} could be several options; say which: {several}", option=argument)
    raise UsageError(f"no socket option is called {_shown(name)}", option=argument, hint=_did_you_mean(typed))


def _by_number(name: str, argument: str) -> SockOption:
    try:
        level, number = (kinds.whole(part, 0, 2**31 - 1) for part in name.split(":"))
    except ValueError:
        raise UsageError(
            f"{_shown(name)} is not LEVEL:NUMBER, two numbers such as 6:1",
            option=argument,
            hint="or give the option's name",
        ) from None
    same = [option for option in OPTIONS if (option.level_number, option.number) == (level, number)]
    return SockOption(
        name=f"{level}:{number}",
        level=str(level),
        level_number=level,
        number=number,
        kind=INT,
        unit="",
        applies=(),
        moment=Moment.ANY,
        reading=next((option.reading for option in same if option.reading), ""),
        volatile=False,
        privilege="",
        kernel="",
        source="the command line",
        meaning=f"{same[0].name} as a plain int" if same else "an option by its number, as a plain int",
    )


def _did_you_mean(typed: str) -> str:
    import difflib

    names = {option.name: option.name for option in OPTIONS}
    for option in OPTIONS:
        names.setdefault(_short(option.name), option.name)
    close = dict.fromkeys(names[match] for match in difflib.get_close_matches(typed, names, 3))
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "one that has no name here can be given by its numbers, LEVEL:NUMBER=VALUE"


def parse_setting(text: str, on: tuple[int, int, int] | None = None) -> tuple[SockOption, bytes | int, str]:
    """``NAME=VALUE``, or ``NAME`` alone to turn a switch on: the row, what setsockopt is to be given, what was asked.

    The last is in the words of ``SockOption.show``, so that it can stand beside what the kernel then made of it.

    Args:
        text: as typed.
        on: see ``find``.

    Raises:
        UsageError: no such option, not one that can be set here, or a value of the wrong kind.
    """
    name, equals, value = text.partition("=")
    option = find(name, on)
    kind = option.kind
    if option.number is None:
        raise UsageError(f"this platform has no {option.name}", option="--set")
    if not option.settable or kind.encode is None:
        why = "can only be read" if option.readable else "takes more than can be typed"
        raise UsageError(f"{option.name} ({option.meaning}) {why}", option="--set", hint=option.about)
    value = value.strip()
    switch = kind in (BOOL, kinds.BOOL_ONLY)
    if not equals and switch:
        value = "on"
    unit = f" ({option.unit})" if option.unit else ""
    right = f"{option.name}{unit} takes {kind.syntax}"
    if not equals and not switch:
        raise UsageError(f"{right}: say {option.name}=VALUE", option="--set", hint=option.about)
    try:
        raw = kind.encode(value)
    except ValueError as error:
        # Ours may say what is wrong; of Python's own, ``int``'s and the codecs' say less than what is right does.
        why = f"; {error}" if type(error) is ValueError and error.args and "literal" not in str(error) else ""
        raise UsageError(f"{right}: got {_shown(value)}{why}", option="--set", hint=option.about) from None
    given = int.from_bytes(raw, sys.byteorder, signed=True) if kind.plain else raw
    return option, given, option.show(option.decode(raw)) if option.readable else value or "nothing"


def _shown(text: str) -> str:
    from sockkit.text import quoted

    return quoted(text)
