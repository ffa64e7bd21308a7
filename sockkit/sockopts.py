"""Socket options: one row each, and the ways between their bytes and what people read and type.

Nothing here makes or touches a socket. A row says where the option lives, what kind of value it has, the moment at
which it can be set, and what the kernel makes of the value, so that "asked" and "got" can stand side by side. To add an
option, add its row to the group of its level; to add a kind of value, add a ``Kind``.

Only what cannot be encoded is refused here (``--set SO_RCVBUF=lots``, an int that needs more than 32 bits). A value
that the kernel will not have still goes to the kernel: its answer is what the user came to see.

Numbers are Python's own where it exports them. The numbers in the rows are Linux's, and used only there: BSD, macOS and
Windows number their options otherwise, and a wrong number would set something else.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sockkit.errors import UsageError, describe

_LINUX = sys.platform in ("linux", "android")


class Moment(StrEnum):
    """Until when setting an option does what it says."""

    BEFORE_BIND = "before bind"
    BEFORE_CONNECT = "before connect or listen"
    ANY = "any time"
    NEVER = "read only"


class Kind(NamedTuple):
    """What the value of an option looks like: in memory, in a report, and on the command line."""

    name: str
    size: int
    """Bytes to ask getsockopt for; 0: only Python's int form works (it allows no buffer on AF_VSOCK)."""
    decode: Callable[[bytes], object]
    """Bytes to int, str, bool, dict or None. Raises ValueError or struct.error for a length that it does not know."""
    encode: Callable[[str], bytes] | None
    """What was typed to bytes. Raises ValueError. None: nothing to type, such options are only read."""
    show: Callable[[Any], str]
    """A decoded value as text, without its unit."""
    syntax: str
    """What to type."""
    plain: bool = False
    """True if the bytes are one int, which is then what setsockopt is given."""
    linux: bool = False
    """True if other systems lay the bytes out differently, so that the option is known on Linux only."""


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
    reading_changes: bool
    """True if getsockopt has an effect, so that it must not be asked unasked."""
    privilege: str
    """The capability that setting it takes, and when: ``CAP_NET_ADMIN outside 0 to 6``; or empty."""
    default: object
    """The value on a fresh socket if it is the same on all of them, else None. See ``default_on``."""
    kernel: str
    """What the kernel makes of the value: ``doubled, at least 2304``."""
    source: str
    """Where it is documented: ``socket(7)``."""
    meaning: str
    """One phrase."""
    sysctl: str = ""
    """The system-wide setting that a fresh socket's value comes from, if there is one."""
    refusals: tuple[str, ...] = ()
    """errnos with which reading may be answered, in some states of the socket or by older kernels."""
    other_defaults: tuple[tuple[Sockets, object], ...] = ()
    """Sockets that are born with another value than ``default``."""

    @property
    def settable(self) -> bool:
        """True if there is a moment and a way to set it."""
        return self.moment is not Moment.NEVER and self.kind.encode is not None

    def default_on(self, family: int, type: int, proto: int) -> object:
        """The value that a fresh socket of this family, type and protocol has, or None if that is not fixed."""
        for sockets, value in self.other_defaults:
            if sockets.contains(family, type, proto):
                return value
        return self.default

    def read_size(self, family: int) -> int:
        """The third argument for ``socket.getsockopt``; 0 means to leave it out, and so to get an int."""
        return 0 if family == _AF_VSOCK else self.kind.size

    def decode(self, raw: bytes | int) -> object:
        """What getsockopt returned, as a value that JSON can hold.

        Bytes that are not what the kind expects come back as ``{"bytes": "0a0b"}``: nothing hidden, nothing invented.
        """
        if isinstance(raw, int):
            size = self.kind.size if 0 < self.kind.size <= 8 else 8
            raw = (raw & ((1 << 8 * size) - 1)).to_bytes(size, sys.byteorder)
        try:
            return self.kind.decode(raw)
        except (ValueError, struct.error):
            return {"bytes": raw.hex()}

    def show(self, value: object) -> str:
        """A decoded value for people: ``on``, ``212992 bytes``, ``5 s``, ``cubic``, ``pid 12 uid 0 gid 0``."""
        if isinstance(value, dict) and value.keys() == {"bytes"}:
            return f"{len(value['bytes']) // 2} bytes, hex {value['bytes']}"
        text = self.kind.show(value)
        if self.unit and isinstance(value, int) and not isinstance(value, bool):
            unit = _SHORT_UNITS.get(self.unit, self.unit)
            return f"{text} {'byte' if unit == 'bytes' and value == 1 else unit}"
        return text

    def parts(self, value: dict[str, Any]) -> list[tuple[str, str]]:
        """A decoded structure for people, one (name, text) a field."""
        fields = {"SO_MEMINFO": MEMINFO_FIELDS, "TCP_INFO": TCP_INFO_FIELDS}.get(self.name, ())
        return _field_texts(fields, value)


_SHORT_UNITS = {"seconds": "s", "milliseconds": "ms", "microseconds": "us"}


# ---- kinds


def _whole(text: str, low: int, high: int) -> int:
    """An integer in any base that Python's literals know (``0x10``), leading zeros allowed, within C's bounds."""
    try:
        value = int(text)
    except ValueError:
        value = int(text, 0)
    if not low <= value <= high:
        raise ValueError(f"{value} does not fit, {low} to {high} does")
    return value


def _from_native(raw: bytes, *, signed: bool) -> int:
    if not raw or len(raw) > 8:
        raise ValueError("not an int")
    # A single byte is what a system answers for its char-sized options (TTLs): never negative.
    return int.from_bytes(raw, sys.byteorder, signed=signed and len(raw) > 1)


def _integer(
    name: str,
    *,
    signed: bool = True,
    size: int = 4,
    names: dict[int, str] | None = None,
    show: Callable[[Any], str] = str,
    as_int: bool = True,
) -> Kind:
    """A kind whose value is one native integer; ``names`` are words for some of its values, to show and to type."""
    words = names or {}
    width = size or 8
    low, high = (-(1 << 8 * width - 1), (1 << 8 * width - 1) - 1) if signed else (0, (1 << 8 * width) - 1)

    def encode(text: str) -> bytes:
        for number, word in words.items():
            if text.lower() == word:
                return number.to_bytes(width, sys.byteorder, signed=signed)
        return _whole(text, low, high).to_bytes(width, sys.byteorder, signed=signed)

    def decode(raw: bytes) -> object:
        return _from_native(raw, signed=signed)

    def say(value: Any) -> str:
        return words[value] if value in words else show(value)

    syntax = f"an integer, {low} to {high}"
    if words:
        syntax = f"{', '.join(words.values())}, or {syntax}"
    return Kind(name, size, decode, encode, say, syntax, as_int)


_ON_OFF = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}


def _encode_bool(text: str) -> bytes:
    if text.lower() not in _ON_OFF:
        raise ValueError
    return struct.pack("=i", _ON_OFF[text.lower()])


def _show_bool(value: Any) -> str:
    return "on" if value else "off"


def _decode_linger(raw: bytes) -> object:
    # Two ints; Windows has two shorts.
    on, seconds = struct.unpack("=HH" if len(raw) == 4 else "=ii", raw)
    return {"on": bool(on), "seconds": seconds}


def _encode_linger(text: str) -> bytes:
    word, comma, rest = text.partition(",")
    if word.lower() == "off" and not comma:
        on, seconds = 0, 0
    elif word.lower() == "on" and comma:
        on, seconds = 1, _whole(rest, 0, 0xFFFF if sys.platform == "win32" else 2**31 - 1)
    else:
        raise ValueError(*(["the seconds are missing"] if word.lower() == "on" else []))
    return struct.pack("=HH" if sys.platform == "win32" else "=ii", on, seconds)


def _show_linger(value: Any) -> str:
    return f"on, {value['seconds']} s" if value["on"] else "off"


def _decode_timeval(raw: bytes) -> object:
    if len(raw) == 4:  # Windows: milliseconds
        (milliseconds,) = struct.unpack("=I", raw)
        return {"seconds": milliseconds // 1000, "microseconds": milliseconds % 1000 * 1000}
    if len(raw) == 16 and not _LINUX:  # the BSDs: a microsecond is an int, then padding
        seconds, microseconds = struct.unpack("=qi4x", raw)
    else:
        seconds, microseconds = struct.unpack("=ii" if len(raw) == 8 else "=qq", raw)
    return {"seconds": seconds, "microseconds": microseconds}


def _encode_timeval(text: str) -> bytes:
    whole, _, fraction = text.partition(".")
    if "-" in text or len(fraction) > 6 or not f"0{fraction}".isdigit():
        raise ValueError("not a number of seconds, of which six decimals count")
    seconds = _whole(whole, 0, 2 ** (8 * struct.calcsize("l") - 1) - 1)
    microseconds = int(f"{fraction:0<6}")
    if sys.platform == "win32":
        return struct.pack("=I", min(seconds * 1000 + microseconds // 1000, 2**32 - 1))
    return struct.pack("@ll", seconds, microseconds)


def _show_timeval(value: Any) -> str:
    if not value["seconds"] and not value["microseconds"]:
        return "none"
    fraction = f".{value['microseconds']:06}".rstrip("0").rstrip(".")
    return f"{value['seconds']}{fraction} s"


_STRING_SIZE = 16
"""IFNAMSIZ and TCP_CA_NAME_MAX, the final NUL included."""


def _decode_string(raw: bytes) -> object:
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _encode_string(text: str) -> bytes:
    raw = os.fsencode(text)
    if b"\0" in raw:
        raise ValueError("a NUL would end it early")
    if len(raw) >= _STRING_SIZE:
        raise ValueError(f"{len(raw)} bytes are too many")
    return raw


def _show_string(value: Any) -> str:
    return value or "none"


_NOBODY = 0xFFFFFFFF


def _decode_ucred(raw: bytes) -> object:
    pid, uid, gid = struct.unpack("=iII", raw)
    return {"pid": pid, "uid": None if uid == _NOBODY else uid, "gid": None if gid == _NOBODY else gid}


def _show_ucred(value: Any) -> str:
    if value["uid"] is None:
        return "none"
    return f"pid {value['pid']} uid {value['uid']} gid {value['gid']}"


def _decode_in_addr(raw: bytes) -> object:
    if len(raw) != 4:
        raise ValueError("not an IPv4 address")
    return socket.inet_ntoa(raw)


def _encode_in_addr(text: str) -> bytes:
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        raise ValueError
    return bytes(int(part) for part in parts)


def _decode_port_range(raw: bytes) -> object:
    (both,) = struct.unpack("=I", raw)
    return {"low": both & 0xFFFF, "high": both >> 16}


def _encode_port_range(text: str) -> bytes:
    low, dash, high = text.partition("-")
    if not dash:
        raise ValueError
    return struct.pack("=I", _whole(low, 0, 65535) | _whole(high, 0, 65535) << 16)


def _show_port_range(value: Any) -> str:
    return f"{value['low']}-{value['high']}" if value["low"] or value["high"] else "the system's"


_UNLIMITED = "unlimited"
_RATE_SIZE = struct.calcsize("L")


def _decode_rate(raw: bytes) -> object:
    value = _from_native(raw, signed=False)
    return _UNLIMITED if value == (1 << 8 * len(raw)) - 1 else value


def _encode_rate(text: str) -> bytes:
    top = (1 << 8 * _RATE_SIZE) - 1
    value = top if text.lower() == _UNLIMITED else _whole(text, 0, top)
    return value.to_bytes(_RATE_SIZE, sys.byteorder)


def _show_errno(value: Any) -> str:
    if not 0 < value < 2**31:
        return str(value) if value else "none"
    return describe(OSError(value, os.strerror(value)))


def _show_family(value: Any) -> str:
    try:
        return socket.AddressFamily(value).name
    except ValueError:
        return str(value)


def _show_type(value: Any) -> str:
    try:
        return socket.SocketKind(value).name
    except ValueError:
        return str(value)


class Field(NamedTuple):
    """One number of a structure that the kernel fills."""

    name: str
    format: str
    """One of struct's letters: ``B``, ``I``, ``Q``."""
    unit: str = ""


MEMINFO_FIELDS = (
    Field("rmem_alloc", "I", "bytes"),
    Field("rcvbuf", "I", "bytes"),
    Field("wmem_alloc", "I", "bytes"),
    Field("sndbuf", "I", "bytes"),
    Field("fwd_alloc", "I", "bytes"),
    Field("wmem_queued", "I", "bytes"),
    Field("optmem", "I", "bytes"),
    Field("backlog", "I", "bytes"),
    Field("drops", "I", "packets"),
)
"""What SO_MEMINFO tells, in its order."""

TCP_INFO_FIELDS = (
    Field("state", "B"),
    Field("ca_state", "B"),
    Field("retransmits", "B"),
    Field("probes", "B"),
    Field("backoff", "B"),
    Field("options", "B"),
    Field("wscale", "B"),  # two halves of a byte: sent, received
    Field("app_limited", "B"),  # and the reason why Fast Open failed
    Field("rto", "I", "microseconds"),
    Field("ato", "I", "microseconds"),
    Field("snd_mss", "I", "bytes"),
    Field("rcv_mss", "I", "bytes"),
    Field("unacked", "I", "segments"),
    Field("sacked", "I", "segments"),
    Field("lost", "I", "segments"),
    Field("retrans", "I", "segments"),
    Field("fackets", "I", "segments"),
    Field("last_data_sent", "I", "milliseconds"),
    Field("last_ack_sent", "I", "milliseconds"),
    Field("last_data_recv", "I", "milliseconds"),
    Field("last_ack_recv", "I", "milliseconds"),
    Field("pmtu", "I", "bytes"),
    Field("rcv_ssthresh", "I", "bytes"),
    Field("rtt", "I", "microseconds"),
    Field("rttvar", "I", "microseconds"),
    Field("snd_ssthresh", "I", "segments"),
    Field("snd_cwnd", "I", "segments"),
    Field("advmss", "I", "bytes"),
    Field("reordering", "I", "segments"),
    Field("rcv_rtt", "I", "microseconds"),
    Field("rcv_space", "I", "bytes"),
    Field("total_retrans", "I", "segments"),
    Field("pacing_rate", "Q", "bytes per second"),
    Field("max_pacing_rate", "Q", "bytes per second"),
    Field("bytes_acked", "Q", "bytes"),
    Field("bytes_received", "Q", "bytes"),
    Field("segs_out", "I", "segments"),
    Field("segs_in", "I", "segments"),
    Field("notsent_bytes", "I", "bytes"),
    Field("min_rtt", "I", "microseconds"),
    Field("data_segs_in", "I", "segments"),
    Field("data_segs_out", "I", "segments"),
    Field("delivery_rate", "Q", "bytes per second"),
    Field("busy_time", "Q", "microseconds"),
    Field("rwnd_limited", "Q", "microseconds"),
    Field("sndbuf_limited", "Q", "microseconds"),
    Field("delivered", "I", "segments"),
    Field("delivered_ce", "I", "segments"),
    Field("bytes_sent", "Q", "bytes"),
    Field("bytes_retrans", "Q", "bytes"),
    Field("dsack_dups", "I", "segments"),
    Field("reord_seen", "I", "events"),
    Field("rcv_ooopack", "I", "segments"),
    Field("snd_wnd", "I", "bytes"),
)
"""Linux's ``struct tcp_info``, which only ever grows at its end: older kernels tell fewer, newer ones more."""

TCP_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "NEW_SYN_RECV",
}
_CA_STATES = ("Open", "Disorder", "CWR", "Recovery", "Loss")
_TCP_INFO_OPTIONS = {1: "timestamps", 2: "sack", 4: "wscale", 8: "ecn", 16: "ecn_seen", 32: "syn_data", 64: "usec_ts"}
_LISTENER_NAMES = {"unacked": "accept_queue", "sacked": "backlog"}
"""What the kernel puts in these two fields of a listener."""


_NO_LIMIT = {
    ("snd_ssthresh", 2**31 - 1): "none yet",
    ("pacing_rate", 2**64 - 1): "unlimited",
    ("max_pacing_rate", 2**64 - 1): "unlimited",
    ("min_rtt", 2**32 - 1): "not measured",
}
"""What the kernel says with all bits set."""


def _unpack(fields: tuple[Field, ...], raw: bytes) -> dict[str, Any]:
    """The fields that are whole in ``raw``, by name."""
    values: dict[str, Any] = {}
    offset = 0
    for field in fields:
        size = struct.calcsize(f"={field.format}")
        if offset + size > len(raw):
            break
        (values[field.name],) = struct.unpack_from(f"={field.format}", raw, offset)
        offset += size
    if not values:
        raise ValueError("empty")
    return values


def _decode_meminfo(raw: bytes) -> object:
    return _unpack(MEMINFO_FIELDS, raw)


def _decode_tcp_info(raw: bytes) -> object:
    if len(raw) < 8:
        raise ValueError("too short")
    values = _unpack(TCP_INFO_FIELDS, raw)
    listener = values["state"] == 10
    told: dict[str, Any] = {}
    for name, value in values.items():
        if name == "state":
            told[name] = TCP_STATES.get(value, str(value))
        elif name == "ca_state":
            told[name] = _CA_STATES[value] if value < len(_CA_STATES) else str(value)
        elif name == "options":
            told[name] = " ".join(word for bit, word in _TCP_INFO_OPTIONS.items() if value & bit)
        elif name == "wscale":
            halves = (value & 15, value >> 4) if sys.byteorder == "little" else (value >> 4, value & 15)
            told["snd_wscale"], told["rcv_wscale"] = halves
        elif name == "app_limited":
            told[name] = bool(value & (1 if sys.byteorder == "little" else 128))
        elif listener and name in _LISTENER_NAMES:
            told[_LISTENER_NAMES[name]] = value
        else:
            told[name] = value
    return told


def _field_texts(fields: tuple[Field, ...], value: Any) -> list[tuple[str, str]]:
    units = {field.name: _SHORT_UNITS.get(field.unit, field.unit) for field in fields}
    parts = []
    for name, one in value.items():
        text = _show_bool(one) if isinstance(one, bool) else str(one) or "none"
        text = _NO_LIMIT.get((name, one)) or f"{text} {units.get(name, '')}".rstrip()
        parts.append((name, text))
    return parts


def _show_fields(fields: tuple[Field, ...], value: Any) -> str:
    return ", ".join(f"{name} {text}" for name, text in _field_texts(fields, value))


INT = _integer("int")
UINT = _integer("unsigned int", signed=False)
HEX = _integer("int, shown in hex", show=lambda value: f"{value:#x}")
UHEX = _integer("unsigned int, shown in hex", signed=False, show=lambda value: f"{value:#x}")
BOOL = Kind("bool", 4, lambda raw: _from_native(raw, signed=False) != 0, _encode_bool, _show_bool, "on or off", True)
COOKIE = _integer("64-bit id", signed=False, size=8, show=lambda value: f"{value:#x}", as_int=False)
VSOCK_SIZE = _integer("64-bit size", signed=False, size=0)
ERRNO = _integer("errno", show=_show_errno)
FAMILY = _integer("address family", show=_show_family)
TYPE = _integer("socket type", show=_show_type)
PROTOCOL = _integer("protocol of the family")
DESCRIPTOR = _integer("file descriptor", show=lambda value: f"fd {value}")
PMTU_DISCOVERY = _integer(
    "path MTU discovery", names={0: "dont", 1: "want", 2: "do", 3: "probe", 4: "interface", 5: "omit"}
)
LINGER = Kind("linger", 8, _decode_linger, _encode_linger, _show_linger, "off, or on,SECONDS")
TIMEVAL = Kind("timeval", 16, _decode_timeval, _encode_timeval, _show_timeval, "SECONDS, such as 2.5; 0 is for ever")
STRING = Kind(
    "string", _STRING_SIZE, _decode_string, _encode_string, _show_string, f"at most {_STRING_SIZE - 1} bytes of text"
)
RATE = Kind("rate", _RATE_SIZE, _decode_rate, _encode_rate, str, f"an integer, or {_UNLIMITED}", linux=True)
IN_ADDR = Kind("IPv4 address", 4, _decode_in_addr, _encode_in_addr, str, "an IPv4 address, such as 192.0.2.1")
PORT_RANGE = Kind(
    "port range",
    4,
    _decode_port_range,
    _encode_port_range,
    _show_port_range,
    "LOW-HIGH, such as 40000-41000; a 0 leaves that end to the system",
    linux=True,
)
UCRED = Kind("credentials", 12, _decode_ucred, None, _show_ucred, "", linux=True)
MEMINFO = Kind(
    "memory use", 4 * len(MEMINFO_FIELDS), _decode_meminfo, None, partial(_show_fields, MEMINFO_FIELDS), "", linux=True
)
TCP_INFO = Kind(
    "connection facts",
    sum(struct.calcsize(f"={field.format}") for field in TCP_INFO_FIELDS),
    _decode_tcp_info,
    None,
    partial(_show_fields, TCP_INFO_FIELDS),
    "",
    linux=True,
)


# ---- sockets that options are for


def _constants(prefix: str, *names: str) -> frozenset[int]:
    """The numbers of those that this platform has."""
    return frozenset(int(getattr(socket, prefix + name)) for name in names if hasattr(socket, prefix + name))


_AF_VSOCK = int(getattr(socket, "AF_VSOCK", -1))
_STREAM = _constants("SOCK_", "STREAM")
_STREAMS = _constants("SOCK_", "STREAM", "SEQPACKET")
_MESSAGES = _constants("SOCK_", "DGRAM", "RAW")
_V4 = _constants("AF_", "INET")
_V6 = _constants("AF_", "INET6")
_INET = _V4 | _V6
_UNIX = _constants("AF_", "UNIX")
_TCP, _UDP, _UDPLITE, _MPTCP = 6, 17, 136, 262

_ANY: Applies = (Sockets(),)
_NOT_MPTCP = frozenset({_MPTCP})
_ON_INET: Applies = (Sockets(_INET),)
_ON_INET_NOT_MPTCP: Applies = (Sockets(_INET, not_protocols=_NOT_MPTCP),)
_ON_UNIX: Applies = (Sockets(_UNIX),)
_ON_TCP: Applies = (Sockets(_INET, _STREAM, frozenset({_TCP})),)
_ON_TCP_MPTCP: Applies = (Sockets(_INET, _STREAM, frozenset({_TCP, _MPTCP})),)
_ON_UDP: Applies = (Sockets(_INET, None, frozenset({_UDP, _UDPLITE})),)
_ON_UDPLITE: Applies = (Sockets(_INET, None, frozenset({_UDPLITE})),)
# On Linux an IPv6 socket has the options of its IPv4 half too, which v4-mapped peers meet; a raw one has no such half.
_ON_IP_MPTCP: Applies = (Sockets(_V4), *((Sockets(_V6, _STREAMS | _constants("SOCK_", "DGRAM")),) if _LINUX else ()))
_ON_IP: Applies = tuple(sockets._replace(not_protocols=_NOT_MPTCP) for sockets in _ON_IP_MPTCP)
_ON_IP_MESSAGES: Applies = (Sockets(_V4, _MESSAGES), *((Sockets(_V6, _constants("SOCK_", "DGRAM")),) if _LINUX else ()))
_ON_IPV6_MPTCP: Applies = (Sockets(_V6),)
_ON_IPV6: Applies = (Sockets(_V6, not_protocols=_NOT_MPTCP),)
_ON_IPV6_MESSAGES: Applies = (Sockets(_V6, _MESSAGES),)


# ---- the table

_SOL_SOCKET = int(socket.SOL_SOCKET)


def _number(name: str, level: str, linux: int, kind: Kind) -> int | None:
    if kind.linux and not _LINUX:
        return None
    exported = getattr(socket, name, None)
    if exported is not None:
        return int(exported)
    # Where SOL_SOCKET is not 1 (MIPS, SPARC, Alpha, PA-RISC), its options are numbered otherwise.
    return linux if _LINUX and (level != "SOL_SOCKET" or _SOL_SOCKET == 1) else None


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
    default: object = None,
    kernel: str = "",
    privilege: str = "",
    sysctl: str = "",
    refusals: tuple[str, ...] = (),
    other_defaults: tuple[tuple[Sockets, object], ...] = (),
    reading_changes: bool = False,
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
        reading_changes,
        privilege,
        default,
        kernel,
        documented or source,
        meaning,
        sysctl,
        refusals,
        other_defaults,
    )


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
_netlink = partial(_row, "SOL_NETLINK", 270 if _LINUX else None, "netlink(7)", (Sockets(_constants("AF_", "NETLINK")),))

_BIND = Moment.BEFORE_BIND
_CONNECT = Moment.BEFORE_CONNECT
_NEVER = Moment.NEVER
_TIMEOUT_NONE = {"seconds": 0, "microseconds": 0}

# Wrapped by hand: at one value a line, nobody would see the table for the lines.
# fmt: off
_SOCKET_ROWS = (
    _so("SO_DOMAIN", 39, FAMILY, "address family", moment=_NEVER),
    _so("SO_TYPE", 3, TYPE, "socket type", moment=_NEVER),
    _so("SO_PROTOCOL", 38, PROTOCOL, "protocol that the kernel chose", moment=_NEVER),
    _so("SO_ACCEPTCONN", 30, BOOL, "it listens", moment=_NEVER),
    _so("SO_ERROR", 4, ERRNO, "pending error", moment=_NEVER, reading_changes=True, kernel="reading it clears it"),
    _so("SO_COOKIE", 57, COOKIE, "number of this socket, unique until the system restarts",
        moment=_NEVER, kernel="given when it is first asked for", documented="asm-generic/socket.h, Linux 4.12",
        refusals=("ENOPROTOOPT",)),
    _so("SO_REUSEADDR", 2, BOOL, "bind although old connections still use the address",
        on=_ON_INET, moment=_BIND, default=False,
        other_defaults=((Sockets(_INET, _constants("SOCK_", "RAW")), True),) if _LINUX else (),
        kernel="a listener still excludes another one; SOCK_RAW is born with it on"),
    _so("SO_REUSEPORT", 15, BOOL, "several sockets of one user share the port",
        on=_ON_INET, moment=_BIND, default=False, kernel="every one of the sockets must set it"),
    _so("SO_BROADCAST", 6, BOOL, "may send to broadcast addresses", on=_ON_IP_MESSAGES, default=False),
    _so("SO_SNDBUF", 7, INT, "largest send buffer",
        unit="bytes", kernel="doubled; at least 4608, at most twice net.core.wmem_max; TCP no longer tunes it",
        sysctl="net.core.wmem_default; TCP: the second of net.ipv4.tcp_wmem"),
    _so("SO_RCVBUF", 8, INT, "largest receive buffer",
        unit="bytes", moment=_CONNECT,
        kernel="doubled; at least 2304, at most twice net.core.rmem_max; TCP no longer tunes it, nor its window scale",
        sysctl="net.core.rmem_default; TCP: the second of net.ipv4.tcp_rmem"),
    _so("SO_SNDLOWAT", 19, INT, "free space that makes it writable", unit="bytes", moment=_NEVER, kernel="always 1"),
    _so("SO_RCVLOWAT", 18, INT, "waiting data that makes it readable",
        unit="bytes", default=1,
        kernel="0 becomes 1, a negative number the largest; TCP: at most half of the largest receive buffer"),
    _so("SO_SNDTIMEO", 21, TIMEVAL, "how long send, and connect, may block",
        unit="seconds", default=_TIMEOUT_NONE, kernel="rounded up to a clock tick (1 to 10 ms)"),
    _so("SO_RCVTIMEO", 20, TIMEVAL, "how long recv and accept may block",
        unit="seconds", default=_TIMEOUT_NONE, kernel="rounded up to a clock tick (1 to 10 ms)"),
    _so("SO_KEEPALIVE", 9, BOOL, "probe an idle peer",
        on=(Sockets(_INET, _STREAMS),), default=False,
        kernel="when and how often: TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT"),
    _so("SO_LINGER", 13, LINGER, "close waits until data is sent",
        on=(Sockets(_INET | _constants("AF_", "VSOCK"), _STREAMS),), unit="seconds",
        default={"on": False, "seconds": 0}, kernel="on,0 makes TCP's close drop what is queued and send a reset"),
    _so("SO_OOBINLINE", 10, BOOL, "urgent data stays in the stream",
        on=(*_ON_TCP, Sockets(_UNIX, _STREAM)), default=False),
    _so("SO_DONTROUTE", 5, BOOL, "no gateways, only hosts on the link", on=_ON_INET_NOT_MPTCP, default=False),
    _so("SO_PRIORITY", 12, INT, "queueing priority of what is sent",
        on=(Sockets(_INET | _constants("AF_", "PACKET", "CAN")),), default=0, privilege="CAP_NET_ADMIN outside 0 to 6",
        kernel="setting IP_TOS sets it too"),
    _so("SO_MARK", 36, UHEX, "mark on what is sent, for routing and filters",
        on=(Sockets(_INET | _constants("AF_", "PACKET")),), default=0,
        privilege="CAP_NET_ADMIN; since Linux 5.17 CAP_NET_RAW is enough"),
    _so("SO_BINDTODEVICE", 25, STRING, "use this network interface only",
        on=_ON_INET, moment=_BIND, default="", privilege="CAP_NET_RAW to change or remove one; before Linux 5.7 always",
        kernel="empty removes it"),
    _so("SO_TIMESTAMP", 29, BOOL, "tell with each message when it arrived", default=False),
    _so("SO_RXQ_OVFL", 40, BOOL, "tell with each message how many were dropped",
        on=(Sockets(None, _MESSAGES),), default=False),
    _so("SO_PEEK_OFF", 42, INT, "where MSG_PEEK starts",
        on=(Sockets(_UNIX), Sockets(_INET, None, frozenset({_TCP, _UDP, _UDPLITE}))), unit="bytes", default=-1,
        kernel="-1: always at the front; TCP since Linux 6.9", refusals=("EOPNOTSUPP",)),
    _so("SO_INCOMING_CPU", 49, INT, "CPU that handles what arrives",
        on=_ON_INET, kernel="follows the packets; -1 until there are any"),
    _so("SO_BUSY_POLL", 46, INT, "poll the device this long before sleeping",
        on=_ON_INET, unit="microseconds", kernel="older kernels want CAP_NET_ADMIN to raise it",
        sysctl="net.core.busy_read", refusals=("ENOPROTOOPT",)),
    _so("SO_MAX_PACING_RATE", 47, RATE, "highest sending rate",
        on=_ON_INET_NOT_MPTCP, unit="bytes per second", default=_UNLIMITED, documented="tc-fq(8)"),
    _so("SO_NO_CHECK", 11, BOOL, "send UDP without a checksum",
        on=(Sockets(_V4, None, frozenset({_UDP})),), default=False, documented="asm-generic/socket.h"),
    _so("SO_ZEROCOPY", 60, BOOL, "MSG_ZEROCOPY may be used",
        on=(Sockets(_INET, None, frozenset({_TCP, _UDP})),), default=False, documented="Linux: networking/msg_zerocopy",
        refusals=("ENOPROTOOPT",)),
    _so("SO_MEMINFO", 55, MEMINFO, "memory that it uses, and packets dropped",
        moment=_NEVER, documented="linux/sock_diag.h, Linux 4.12", refusals=("ENOPROTOOPT",)),
    _so("SO_PASSCRED", 16, BOOL, "tell with each message who sent it",
        on=(Sockets(_UNIX | _constants("AF_", "NETLINK")),), default=False, documented="unix(7)"),
    _so("SO_PEERCRED", 17, UCRED, "process at the other end, when it connected or listened",
        on=_ON_UNIX, moment=_NEVER, documented="unix(7)"),
    _so("SO_PEERPIDFD", 77, DESCRIPTOR, "file descriptor of the process at the other end",
        on=_ON_UNIX, moment=_NEVER, reading_changes=True, kernel="every reading opens a descriptor, to be closed",
        documented="asm-generic/socket.h, Linux 6.5", refusals=("ENODATA", "ENOPROTOOPT", "EINVAL", "ESRCH")),
)

_IP_ROWS = (
    _ip("IP_TTL", 2, INT, "hops that a packet may make",
        kernel="1 to 255; -1 is the system's", sysctl="net.ipv4.ip_default_ttl"),
    _ip("IP_TOS", 1, HEX, "type of service: DSCP and ECN",
        on=_ON_IP_MPTCP, default=0,
        kernel="the low 8 bits; TCP keeps the lowest two (ECN) for itself; sets SO_PRIORITY too"),
    _ip("IP_MTU", 14, INT, "path MTU to the peer",
        unit="bytes", moment=_NEVER, kernel="known once connected", refusals=("ENOTCONN",)),
    _ip("IP_MTU_DISCOVER", 10, PMTU_DISCOVERY, "path MTU discovery",
        kernel="want: fragment if needed; do: never, larger is EMSGSIZE", sysctl="inverse of net.ipv4.ip_no_pmtu_disc"),
    _ip("IP_RECVERR", 11, BOOL, "queue ICMP errors with their details", default=False),
    _ip("IP_PKTINFO", 8, BOOL, "tell where a datagram was sent to", on=_ON_IP_MESSAGES, default=False),
    _ip("IP_RECVTTL", 12, BOOL, "tell a datagram's TTL", on=_ON_IP_MESSAGES, default=False),
    _ip("IP_RECVTOS", 13, BOOL, "tell a datagram's type of service", on=_ON_IP_MESSAGES, default=False),
    _ip("IP_TRANSPARENT", 19, BOOL, "bind to addresses of others, for a transparent proxy",
        on=_ON_IP_MPTCP, moment=_BIND, default=False, privilege="CAP_NET_ADMIN or CAP_NET_RAW to turn it on"),
    _ip("IP_FREEBIND", 15, BOOL, "bind to an address that is not there yet",
        on=_ON_IP_MPTCP, moment=_BIND, default=False),
    _ip("IP_BIND_ADDRESS_NO_PORT", 24, BOOL, "bind to port 0 leaves the port to connect",
        on=_ON_IP_MPTCP, moment=_BIND, default=False),
    _ip("IP_LOCAL_PORT_RANGE", 51, PORT_RANGE, "ports that the kernel may choose from",
        on=_ON_IP_MPTCP, moment=_BIND, default={"low": 0, "high": 0},
        kernel="narrows net.ipv4.ip_local_port_range, never widens it", documented="linux/in.h, Linux 6.3",
        refusals=("ENOPROTOOPT",)),
    _ip("IP_MULTICAST_IF", 32, IN_ADDR, "interface that multicast leaves by", on=_ON_IP_MESSAGES, default="0.0.0.0"),
    _ip("IP_MULTICAST_TTL", 33, INT, "hops that multicast may make",
        on=_ON_IP_MESSAGES, default=1, kernel="0 to 255; -1 is 1"),
    _ip("IP_MULTICAST_LOOP", 34, BOOL, "multicast comes back to this host", on=_ON_IP_MESSAGES, default=True),
)

_IPV6_ROWS = (
    _ipv6("IPV6_V6ONLY", 26, BOOL, "no IPv4 peers",
        on=(Sockets(_V6, _STREAMS | _constants("SOCK_", "DGRAM")),), moment=_BIND, kernel="EINVAL once bound",
        sysctl="net.ipv6.bindv6only"),
    _ipv6("IPV6_UNICAST_HOPS", 16, INT, "hops that a packet may make",
        kernel="0 to 255; -1 is the route's, and read back as such", sysctl="net.ipv6.conf.all.hop_limit"),
    _ipv6("IPV6_TCLASS", 67, HEX, "traffic class: DSCP and ECN",
        default=0, kernel="0 to 255; -1 is 0; TCP keeps the lowest two bits (ECN) for itself", documented="RFC 3542"),
    _ipv6("IPV6_MTU", 24, INT, "MTU: reading tells the path's, setting limits what is sent",
        unit="bytes", kernel="0 or at least 1280; what was set is not read back", refusals=("ENOTCONN",)),
    _ipv6("IPV6_MTU_DISCOVER", 23, PMTU_DISCOVERY, "path MTU discovery", default=1),
    _ipv6("IPV6_DONTFRAG", 62, BOOL, "never fragment", default=False, documented="RFC 3542"),
    _ipv6("IPV6_RECVERR", 25, BOOL, "queue ICMPv6 errors with their details", default=False),
    _ipv6("IPV6_RECVPKTINFO", 49, BOOL, "tell where a datagram was sent to", on=_ON_IPV6_MESSAGES, default=False),
    _ipv6("IPV6_RECVHOPLIMIT", 51, BOOL, "tell a datagram's hop limit",
        on=_ON_IPV6_MESSAGES, default=False, documented="RFC 3542"),
    _ipv6("IPV6_RECVTCLASS", 66, BOOL, "tell a datagram's traffic class",
        on=_ON_IPV6_MESSAGES, default=False, documented="RFC 3542"),
    _ipv6("IPV6_TRANSPARENT", 75, BOOL, "bind to addresses of others, for a transparent proxy",
        on=_ON_IPV6_MPTCP, moment=_BIND, default=False, privilege="CAP_NET_ADMIN or CAP_NET_RAW to turn it on",
        documented="linux/in6.h"),
    _ipv6("IPV6_FREEBIND", 78, BOOL, "bind to an address that is not there yet",
        on=_ON_IPV6_MPTCP, moment=_BIND, default=False, documented="linux/in6.h, Linux 4.15",
        refusals=("ENOPROTOOPT",)),
    _ipv6("IPV6_MULTICAST_IF", 17, INT, "number of the interface that multicast leaves by",
        on=_ON_IPV6_MESSAGES, default=0),
    _ipv6("IPV6_MULTICAST_HOPS", 18, INT, "hops that multicast may make",
        on=_ON_IPV6_MESSAGES, default=1, kernel="0 to 255; -1 is 1"),
    _ipv6("IPV6_MULTICAST_LOOP", 19, BOOL, "multicast comes back to this host", on=_ON_IPV6_MESSAGES, default=True),
)

_TCP_ROWS = (
    _tcp("TCP_NODELAY", 1, BOOL, "send small pieces at once (no Nagle)", on=_ON_TCP_MPTCP, default=False),
    _tcp("TCP_CORK", 3, BOOL, "hold back what is not a full segment", on=_ON_TCP_MPTCP, default=False),
    _tcp("TCP_MAXSEG", 2, INT, "largest segment",
        on=_ON_TCP_MPTCP, unit="bytes", moment=_CONNECT,
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
        on=_ON_TCP_MPTCP, unit="seconds", default=0,
        kernel="counted in SYN-ACK repeats, so rounded up: 2 becomes 3, 64 becomes 127"),
    _tcp("TCP_WINDOW_CLAMP", 10, INT, "largest window to advertise",
        unit="bytes", kernel="at least half of the smallest SO_RCVBUF (1152); 0, no limit, only while it is closed"),
    _tcp("TCP_QUICKACK", 12, BOOL, "acknowledge at once", kernel="not kept: the kernel turns it on and off as it goes"),
    _tcp("TCP_CONGESTION", 13, STRING, "congestion control algorithm",
        on=_ON_TCP_MPTCP,
        privilege="CAP_NET_ADMIN for those that net.ipv4.tcp_allowed_congestion_control does not list",
        kernel="ENOENT if it is not loaded", sysctl="net.ipv4.tcp_congestion_control"),
    _tcp("TCP_USER_TIMEOUT", 18, INT, "how long data may stay unacknowledged",
        unit="milliseconds", default=0, kernel="0 is the system's (net.ipv4.tcp_retries2)",
        documented="tcp(7), RFC 5482"),
    _tcp("TCP_FASTOPEN", 23, INT, "queue for connections whose SYN brings data",
        on=_ON_TCP_MPTCP, default=0, moment=_CONNECT,
        kernel="at most net.core.somaxconn; a listener may still change it, a connected socket says EINVAL",
        documented="tcp(7), RFC 7413"),
    _tcp("TCP_NOTSENT_LOWAT", 25, UINT, "unsent data below which it is writable",
        on=_ON_TCP_MPTCP, unit="bytes", default=0, kernel="0 is the system's (net.ipv4.tcp_notsent_lowat)",
        documented="Linux: networking/ip-sysctl"),
    _tcp("TCP_INFO", 11, TCP_INFO, "facts about the connection", on=_ON_TCP_MPTCP, moment=_NEVER),
)

_OTHER_ROWS = (
    _udp("UDP_CORK", 1, BOOL, "gather what is sent into one datagram", default=False),
    _udp("UDP_SEGMENT", 103, INT, "cut what is sent into datagrams of this size",
        unit="bytes", default=0, kernel="0 to 65535; 0 does not cut", documented="linux/udp.h, Linux 4.18",
        refusals=("ENOPROTOOPT",)),
    _udp("UDP_GRO", 104, BOOL, "receive several datagrams of one size as one",
        default=False, documented="linux/udp.h, Linux 5.0", refusals=("ENOPROTOOPT",)),
    _udplite("UDPLITE_SEND_CSCOV", 10, INT, "bytes that the checksum covers",
        unit="bytes", default=0, kernel="0 is all; 1 to 7 and negative become 8, above 65535 becomes 65535"),
    _udplite("UDPLITE_RECV_CSCOV", 11, INT, "bytes that a checksum must cover, or the datagram is dropped",
        unit="bytes", default=0, kernel="0 asks for nothing; 1 to 7 and negative become 8, above 65535 becomes 65535"),
    _vsock("SO_VM_SOCKETS_BUFFER_SIZE", 0, VSOCK_SIZE, "receive buffer",
        unit="bytes", moment=_CONNECT, default=262144,
        kernel="kept between SO_VM_SOCKETS_BUFFER_MIN_SIZE and SO_VM_SOCKETS_BUFFER_MAX_SIZE"),
    _vsock("SO_VM_SOCKETS_BUFFER_MIN_SIZE", 1, VSOCK_SIZE, "smallest receive buffer",
        unit="bytes", moment=_CONNECT, default=128),
    _vsock("SO_VM_SOCKETS_BUFFER_MAX_SIZE", 2, VSOCK_SIZE, "largest receive buffer",
        unit="bytes", moment=_CONNECT, default=262144),
    _netlink("NETLINK_CAP_ACK", 10, BOOL, "errors come without a copy of the request", default=False),
    _netlink("NETLINK_EXT_ACK", 11, BOOL, "errors come with an explanation", default=False),
)
# fmt: on

OPTIONS: tuple[SockOption, ...] = _SOCKET_ROWS + _IP_ROWS + _IPV6_ROWS + _TCP_ROWS + _OTHER_ROWS
"""Every option, in the order of reports. Those that this platform lacks are in it too, with number None."""


# ---- asking the table


def applicable(family: int, type: int, proto: int) -> tuple[SockOption, ...]:
    """The options that this platform has for a socket, given as SO_DOMAIN, SO_TYPE and SO_PROTOCOL report it.

    On AF_VSOCK those of more than eight bytes are left out: Python reads only ints there.
    """
    most = 8 if family == _AF_VSOCK else sys.maxsize
    return tuple(
        option
        for option in OPTIONS
        if option.number is not None
        and option.kind.size <= most
        and any(sockets.contains(family, type, proto) for sockets in option.applies)
    )


_PREFIXES = ("SO_VM_SOCKETS_", "SO_", "IPV6_", "IP_", "TCP_", "UDPLITE_", "UDP_", "NETLINK_")


def _short(name: str) -> str:
    """``RCVBUF`` for ``SO_RCVBUF``."""
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def find(name: str) -> SockOption:
    """The row of a name: in any case, with or without its prefix, or two numbers, ``LEVEL:NUMBER``.

    Numbers give a row of their own whose value is a plain int, whether or not the table knows that option by name.

    Raises:
        UsageError: a name that is not known, or that several options share.
    """
    typed = name.strip().upper().replace("-", "_")
    for option in OPTIONS:
        if option.name == typed:
            return option
    if ":" in typed:
        return _by_number(name)
    found = [option for option in OPTIONS if _short(option.name) == typed]
    if len(found) == 1:
        return found[0]
    if found:
        several = " or ".join(option.name for option in found)
        raise UsageError(f"{name} could be several options; say which: {several}", option="--set")
    raise UsageError(f"no socket option is called {_shown(name)}", option="--set", hint=_did_you_mean(typed))


def _by_number(name: str) -> SockOption:
    try:
        level, number = (_whole(part, 0, 2**31 - 1) for part in name.split(":"))
    except ValueError:
        raise UsageError(
            f"{_shown(name)} is not LEVEL:NUMBER, two numbers such as 6:1",
            option="--set",
            hint="or give the option's name",
        ) from None
    same = [option for option in OPTIONS if (option.level_number, option.number) == (level, number)]
    return SockOption(
        f"{level}:{number}",
        str(level),
        level,
        number,
        INT,
        "",
        (),
        Moment.ANY,
        any(option.reading_changes for option in same),
        "",
        None,
        "",
        "the command line",
        f"{same[0].name} as a plain int" if same else "an option by its number, as a plain int",
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


def parse_setting(text: str) -> tuple[SockOption, bytes | int, str]:
    """``NAME=VALUE``, or ``NAME`` alone to turn a switch on: the row, what setsockopt is to be given, what was asked.

    The last is in the words of ``SockOption.show``, so that it can stand beside what the kernel then made of it.

    Raises:
        UsageError: no such option, not one that can be set here, or a value of the wrong kind.
    """
    name, equals, value = text.partition("=")
    option = find(name)
    kind = option.kind
    if option.number is None:
        raise UsageError(f"this platform has no {option.name}", option="--set")
    if not option.settable or kind.encode is None:
        raise UsageError(f"{option.name} ({option.meaning}) can only be read", option="--set")
    value = value.strip()
    if not equals and kind is BOOL:
        value = "on"
    unit = f" ({option.unit})" if option.unit else ""
    right = f"{option.name}{unit} takes {kind.syntax}"
    if not equals and kind is not BOOL:
        raise UsageError(f"{right}: say {option.name}=VALUE", option="--set", hint=_explain(option))
    try:
        raw = kind.encode(value)
    except ValueError as error:
        # Ours may say what is wrong; of Python's own, ``int``'s and the codecs' say less than what is right does.
        why = f"; {error}" if type(error) is ValueError and error.args and "literal" not in str(error) else ""
        raise UsageError(f"{right}: got {_shown(value)}{why}", option="--set", hint=_explain(option)) from None
    given = int.from_bytes(raw, sys.byteorder, signed=True) if kind.plain else raw
    return option, given, option.show(option.decode(raw))


def _shown(text: str) -> str:
    from sockkit.text import quoted

    return quoted(text)


def _explain(option: SockOption) -> str:
    told = f"{option.name}: {option.meaning}"
    return f"{told}; {option.kernel}" if option.kernel else told
