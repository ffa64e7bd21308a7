"""What the values of socket options look like: in memory, in a report, and on the command line.

A ``Kind`` goes from the bytes of getsockopt(2) to what JSON can hold, from that to words, and from what was typed to the
bytes for setsockopt(2). A structure is told field by field; its ``layout`` is one line, read when it is first needed::

    assoc_id:i initial:I:milliseconds ~last_data:I:milliseconds :2x name:16s

that is name, a letter of ``struct`` (``S`` for a sockaddr_storage, ``4`` and ``6`` for an address), unit. ``~`` marks what moves by
itself, an empty name is padding.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

from sockkit.errors import describe
from sockkit.names import TCP_STATES

LINUX = sys.platform in ("linux", "android")


class Kind(NamedTuple):
    """What the value of an option looks like."""

    name: str
    size: int
    """Bytes to ask getsockopt for; 0: only Python's int form works."""
    decode: Callable[[bytes], object]
    """Bytes to int, str, bool, dict, list or None. Raises ValueError or struct.error for a length that it does not know."""
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
    layout: str = ""
    """The fields of a structure, or empty."""
    given: bytes | None = None
    """What the kernel reads from the buffer before it answers: the front of a buffer that is zero beyond. Python hands over
    a buffer that nobody cleared, so these are read by ``libc``."""
    length: int = 0
    """The optlen to give where the kernel does not count it in bytes, else 0: ``size``."""
    uncounted: int = 0
    """Bytes of the answer that the optlen which comes back does not count: SCTP's addresses have a header before them."""
    sizes: tuple[tuple[int, int], ...] = ()
    """(family, size) where the size depends on it."""


class Field(NamedTuple):
    """One field of a structure that the kernel fills."""

    name: str
    format: str
    """One of struct's letters (``B``, ``I``, ``Q``), ``16s`` for text, ``S`` for a sockaddr_storage, ``4`` and ``6`` for addresses."""
    unit: str = ""
    volatile: bool = False
    """It moves by itself."""


@cache
def fields(layout: str) -> tuple[Field, ...]:
    """The fields of a layout, padding (with an empty name) included."""
    found = []
    for text in layout.split():
        name, _, rest = text.partition(":")
        format, _, unit = rest.partition(":")
        found.append(Field(name.removeprefix("~"), format, unit.replace("-", " "), name.startswith("~")))
    return tuple(found)


_WIDTHS = {"S": 128, "4": 4, "6": 16}


def width(format: str) -> int:
    """The bytes of a field."""
    return _WIDTHS.get(format) or struct.calcsize(format if format[0] == ">" else f"={format}")


def size_of(layout: str) -> int:
    """The bytes of a whole structure."""
    return sum(width(field.format) for field in fields(layout))


SHORT_UNITS = {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}


# ---- numbers


def whole(text: str, low: int, high: int) -> int:
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


def integer(
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
    bits = 8 * (size or 8)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def encode(text: str) -> bytes:
        for number, word in words.items():
            if text.lower() == word:
                return number.to_bytes(bits // 8, sys.byteorder, signed=signed)
        return whole(text, low, high).to_bytes(bits // 8, sys.byteorder, signed=signed)

    def decode(raw: bytes) -> object:
        return _from_native(raw, signed=signed)

    def say(value: Any) -> str:
        return words[value] if value in words else show(value)

    syntax = f"an integer, {low} to {high}"
    if words:
        syntax = f"{', '.join(words.values())}, or {syntax}"
    return Kind(name, size, decode, encode, say, syntax, as_int)


def flags(name: str, words: dict[int, str], *, size: int = 4) -> Kind:
    """A kind whose value is one unsigned integer of bits, each with its word; typed as words joined by ``+``, or a number."""

    def encode(text: str) -> bytes:
        numbers = {word: bit for bit, word in words.items()}
        value = 0
        for word in filter(None, text.lower().removeprefix("none").split("+")):
            value |= numbers[word] if word in numbers else whole(word, 0, (1 << 8 * size) - 1)
        if not text:
            raise ValueError
        return value.to_bytes(size, sys.byteorder)

    return Kind(
        name,
        size,
        lambda raw: _from_native(raw, signed=False),
        encode,
        partial(_show_flags, words),
        f"none, {', '.join(words.values())} joined by +, or a number",
        size == 4,
    )


def _show_flags(words: dict[int, str], value: Any) -> str:
    known = [word for bit, word in words.items() if value & bit]
    rest = value & ~sum(bit for bit in words if value & bit)
    return "+".join(known + ([f"{rest:#x}"] if rest else [])) or "none"


_ON_OFF = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}


def _encode_bool(text: str) -> bytes:
    if text.lower() not in _ON_OFF:
        raise ValueError
    return struct.pack("=i", _ON_OFF[text.lower()])


def _show_bool(value: Any) -> str:
    return "on" if value else "off"


_UNLIMITED = "unlimited"
_RATE_SIZE = struct.calcsize("L")


def _decode_rate(raw: bytes) -> object:
    value = _from_native(raw, signed=False)
    return _UNLIMITED if value == (1 << 8 * len(raw)) - 1 else value


def _encode_rate(text: str) -> bytes:
    top = (1 << 8 * _RATE_SIZE) - 1
    value = top if text.lower() == _UNLIMITED else whole(text, 0, top)
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


def _decode_network_int(raw: bytes) -> object:
    """The number of an interface that the kernel tells in network byte order (IP_UNICAST_IF)."""
    if len(raw) != 4:
        raise ValueError("not an int")
    return int.from_bytes(raw, "big")


# ---- times


def _decode_linger(raw: bytes) -> object:
    # Two ints; Windows has two shorts.
    on, seconds = struct.unpack("=HH" if len(raw) == 4 else "=ii", raw)
    return {"on": bool(on), "seconds": seconds}


def _encode_linger(text: str) -> bytes:
    word, comma, rest = text.partition(",")
    if word.lower() == "off" and not comma:
        on, seconds = 0, 0
    elif word.lower() == "on" and comma:
        on, seconds = 1, whole(rest, 0, 0xFFFF if sys.platform == "win32" else 2**31 - 1)
    else:
        raise ValueError(*(["the seconds are missing"] if word.lower() == "on" else []))
    return struct.pack("=HH" if sys.platform == "win32" else "=ii", on, seconds)


def _show_linger(value: Any) -> str:
    return f"on, {value['seconds']} s" if value["on"] else "off"


def _decode_timeval(raw: bytes) -> object:
    if len(raw) == 4:  # Windows: milliseconds
        (milliseconds,) = struct.unpack("=I", raw)
        return {"seconds": milliseconds // 1000, "microseconds": milliseconds % 1000 * 1000}
    if len(raw) == 16 and not LINUX:  # the BSDs: a microsecond is an int, then padding
        seconds, microseconds = struct.unpack("=qi4x", raw)
    else:
        seconds, microseconds = struct.unpack("=ii" if len(raw) == 8 else "=qq", raw)
    return {"seconds": seconds, "microseconds": microseconds}


def _timeval(text: str, limit: int) -> tuple[int, int]:
    whole_part, _, fraction = text.partition(".")
    if "-" in text or len(fraction) > 6 or not f"0{fraction}".isdigit():
        raise ValueError("not a number of seconds, of which six decimals count")
    return whole(whole_part, 0, limit), int(f"{fraction:0<6}")


def _encode_timeval(text: str) -> bytes:
    seconds, microseconds = _timeval(text, 2 ** (8 * struct.calcsize("l") - 1) - 1)
    if sys.platform == "win32":
        return struct.pack("=I", min(seconds * 1000 + microseconds // 1000, 2**32 - 1))
    return struct.pack("@ll", seconds, microseconds)


def _encode_timeval64(text: str) -> bytes:
    return struct.pack("=qq", *_timeval(text, 2**63 - 1))


def _show_timeval(value: Any) -> str:
    if not value["seconds"] and not value["microseconds"]:
        return "none"
    fraction = f".{value['microseconds']:06}".rstrip("0").rstrip(".")
    return f"{value['seconds']}{fraction} s"


# ---- text and bytes

STRING_SIZE = 16
"""IFNAMSIZ and TCP_CA_NAME_MAX, the final NUL included."""


def _decode_string(raw: bytes) -> object:
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _encode_string(text: str) -> bytes:
    raw = os.fsencode(text)
    if b"\0" in raw:
        raise ValueError("a NUL would end it early")
    if len(raw) >= STRING_SIZE:
        raise ValueError(f"{len(raw)} bytes are too many")
    return raw


def _show_string(value: Any) -> str:
    return value or "none"


def _encode_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError("not pairs of hex digits") from None


def _show_bytes(value: Any) -> str:
    count = len(value) // 2
    return f"{count} byte{'' if count == 1 else 's'}, hex {value}" if count else "none"


def blob(name: str, size: int, *, given: bytes | None = None) -> Kind:
    """A kind whose value is bytes that only its protocol understands, shown and typed in hex."""
    return Kind(
        name, size, bytes.hex, _encode_bytes, _show_bytes, "bytes in hex, such as 00ff", linux=True, given=given
    )


def _decode_numbers(raw: bytes) -> object:
    return list(struct.unpack(f"={len(raw) // 4}I", raw))


def _show_list(value: Any) -> str:
    return ", ".join(map(str, value)) or "none"


def numbers(name: str, most: int, *, given: bytes | None = None) -> Kind:
    """A kind whose value is a list of 32-bit numbers."""
    return Kind(name, 4 * most, _decode_numbers, None, _show_list, "", linux=True, given=given)


# ---- addresses


def _decode_in_addr(raw: bytes) -> object:
    if len(raw) != 4:
        raise ValueError("not an IPv4 address")
    return socket.inet_ntoa(raw)


def _encode_in_addr(text: str) -> bytes:
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        raise ValueError
    return bytes(int(part) for part in parts)


def _encode_in6_addr(text: str) -> bytes:
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, UnicodeError, AttributeError):
        raise ValueError from None


def sockaddr(raw: bytes) -> str | None:
    """A ``struct sockaddr`` of IPv4, IPv6 or Unix as text; None where it is empty."""
    (family,) = struct.unpack_from("=H", raw)
    if family == socket.AF_INET and len(raw) >= 8:
        return f"{socket.inet_ntoa(raw[4:8])}:{int.from_bytes(raw[2:4], 'big')}"
    if family == getattr(socket, "AF_INET6", -1) and len(raw) >= 28:
        scope = int.from_bytes(raw[24:28], sys.byteorder)
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24]) + (f"%{scope}" if scope else "")
        return f"[{host}]:{int.from_bytes(raw[2:4], 'big')}"
    if family == 0 and not any(raw):
        return None
    return f"family {family}, hex {raw[2:].hex().rstrip('0') or '0'}"


def _encode_sockaddr(text: str) -> bytes:
    """``192.0.2.1:80`` or ``[2001:db8::1]:80`` as a sockaddr."""
    host, _, port = text.rpartition(":")
    number = whole(port, 0, 65535).to_bytes(2, "big")
    if host.startswith("[") and host.endswith("]"):
        address, _, scope = host[1:-1].partition("%")
        raw = struct.pack("=H", socket.AF_INET6) + number + bytes(4) + _encode_in6_addr(address)
        return raw + _interface(scope).to_bytes(4, sys.byteorder)
    return struct.pack("=H", socket.AF_INET) + number + _encode_in_addr(host) + bytes(8)


def _interface(text: str) -> int:
    """The number of an interface, typed as number or name; 0 for none."""
    if not text:
        return 0
    if text.isdigit():
        return whole(text, 0, 2**31 - 1)
    try:
        return socket.if_nametoindex(text)
    except (OSError, UnicodeError, AttributeError):
        raise ValueError(f"no interface is called {text!a}") from None


def _encode_group(text: str) -> bytes:
    """``struct ip_mreqn``: a group, and by ``@`` the address, or the name or number, of an interface."""
    group, _, where = text.partition("@")
    if where.count(".") == 3:
        return _encode_in_addr(group) + _encode_in_addr(where) + bytes(4)
    return _encode_in_addr(group) + bytes(4) + struct.pack("=i", _interface(where))


def _encode_source(text: str) -> bytes:
    """``struct ip_mreq_source``: group, the address of an interface, source."""
    group, _, rest = text.partition(",")
    source, _, where = rest.partition("@")
    return _encode_in_addr(group) + _encode_in_addr(where or "0.0.0.0") + _encode_in_addr(source)


def _encode_group6(text: str) -> bytes:
    """``struct ipv6_mreq``."""
    group, _, where = text.partition("@")
    return _encode_in6_addr(group) + struct.pack("=i", _interface(where))


def _storage(text: str) -> bytes:
    """A sockaddr_storage without a port, of either family."""
    raw = _encode_sockaddr(f"[{text}]:0" if ":" in text else f"{text}:0")
    return raw.ljust(128, b"\0")


def _encode_group_req(text: str) -> bytes:
    """``struct group_req``: an interface and a group of either family."""
    group, _, where = text.partition("@")
    return struct.pack("@I4x" if struct.calcsize("P") == 8 else "@I", _interface(where)) + _storage(group)


def _encode_group_source_req(text: str) -> bytes:
    """``struct group_source_req``."""
    group, _, rest = text.partition(",")
    source, _, where = rest.partition("@")
    head = struct.pack("@I4x" if struct.calcsize("P") == 8 else "@I", _interface(where))
    return head + _storage(group) + _storage(source)


def _encode_sockaddrs(text: str) -> bytes:
    """Sockaddrs without gaps, each as long as its family needs."""
    return b"".join(map(_encode_sockaddr, text.split("+")))


def _encode_membership(text: str) -> bytes:
    """``struct packet_mreq``: what to let in, an interface, and a link-layer address."""
    kind, _, where = text.partition("@")
    kind, _, address = kind.partition(",")
    kinds = {"multicast": 0, "promisc": 1, "allmulti": 2, "unicast": 3}
    if kind.lower() not in kinds:
        raise ValueError
    raw = bytes.fromhex(address.replace(":", ""))
    if len(raw) > 8:
        raise ValueError(f"{len(raw)} bytes of link-layer address are too many")
    return struct.pack("=iHH8s", _interface(where), kinds[kind.lower()], len(raw), raw)


def write_only(name: str, encode: Callable[[str], bytes], syntax: str, *, linux: bool = True) -> Kind:
    """A kind for options that are done rather than kept: there is nothing to read."""
    return Kind(name, 0, bytes.hex, encode, _show_bytes, syntax, linux=linux)


# ---- structures

_NOBODY = 0xFFFFFFFF


def _decode_ucred(raw: bytes) -> object:
    pid, uid, gid = struct.unpack("=iII", raw)
    return {"pid": pid, "uid": None if uid == _NOBODY else uid, "gid": None if gid == _NOBODY else gid}


def _show_ucred(value: Any) -> str:
    if value["uid"] is None:
        return "none"
    return f"pid {value['pid']} uid {value['uid']} gid {value['gid']}"


def _decode_port_range(raw: bytes) -> object:
    (both,) = struct.unpack("=I", raw)
    return {"low": both & 0xFFFF, "high": both >> 16}


def _encode_port_range(text: str) -> bytes:
    low, dash, high = text.partition("-")
    if not dash:
        raise ValueError
    return struct.pack("=I", whole(low, 0, 65535) | whole(high, 0, 65535) << 16)


def _show_port_range(value: Any) -> str:
    return f"{value['low']}-{value['high']}" if value["low"] or value["high"] else "the system's"


def _one(format: str, raw: bytes, offset: int) -> object:
    piece = raw[offset : offset + width(format)]
    if format == "S":
        return sockaddr(piece)
    if format == "4":
        return socket.inet_ntoa(piece)
    if format == "6":
        return socket.inet_ntop(socket.AF_INET6, piece)
    if format.endswith("s"):
        return _decode_string(piece)
    return struct.unpack(format if format[0] == ">" else f"={format}", piece)[0]


def unpack(layout: str, raw: bytes) -> dict[str, Any]:
    """The fields that are whole in ``raw``, by name. A structure only ever grows at its end: older kernels tell less, newer more.

    Raises:
        ValueError: not even the first.
    """
    values: dict[str, Any] = {}
    offset = 0
    for field in fields(layout):
        size = width(field.format)
        if offset + size > len(raw):
            break
        if field.name:
            values[field.name] = _one(field.format, raw, offset)
        offset += size
    if not values:
        raise ValueError("empty")
    return values


def pack(layout: str, text: str) -> bytes:
    """``FIELD=VALUE,…`` as the bytes of a structure; what is not named is 0.

    Raises:
        ValueError: a field that is not there, or a value that is none.
    """
    known = {field.name: field for field in fields(layout) if field.name}
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, typed = part.partition("=")
        if name.strip() not in known or not equals:
            raise ValueError(f"its fields are {', '.join(known)}")
        values[name.strip()] = typed.strip()
    raw = b""
    for field in fields(layout):
        size, value = width(field.format), values.get(field.name)
        if value is None:
            raw += bytes(size)
        elif field.format == "S":
            raw += _encode_sockaddr(value).ljust(size, b"\0")
        elif field.format == "4":
            raw += _encode_in_addr(value)
        elif field.format == "6":
            raw += _encode_in6_addr(value)
        elif field.format.endswith("s"):
            raw += os.fsencode(value).ljust(size, b"\0")[:size]
        else:
            bits = 8 * size
            signed = field.format.islower()
            order = "big" if field.format[0] == ">" else sys.byteorder
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
            raw += whole(value, low, high).to_bytes(size, order, signed=signed)
    return raw


_NO_LIMIT = {
    ("snd_ssthresh", 2**31 - 1): "none yet",
    ("pacing_rate", 2**64 - 1): "unlimited",
    ("max_pacing_rate", 2**64 - 1): "unlimited",
    ("min_rtt", 2**32 - 1): "not measured",
}
"""What the kernel says with all bits set."""


def field_texts(layout: str, value: dict[str, Any]) -> list[tuple[str, str]]:
    """A decoded structure for people, one (name, text) a field."""
    units = {field.name: SHORT_UNITS.get(field.unit, field.unit) for field in fields(layout)}
    parts = []
    for name, one in value.items():
        text = _show_bool(one) if isinstance(one, bool) else "none" if one in ("", None) else str(one)
        known = _NO_LIMIT.get((name, one)) if isinstance(one, int) else None
        parts.append((name, known or f"{text} {units.get(name, '')}".rstrip()))
    return parts


def _show_fields(layout: str, value: Any) -> str:
    return ", ".join(f"{name} {text}" for name, text in field_texts(layout, value))


def structure(
    name: str,
    layout: str,
    *,
    size: int = 0,
    decode: Callable[[bytes], object] | None = None,
    settable: bool = False,
    given: bytes | None = None,
    length: int = 0,
) -> Kind:
    """A kind for a structure that is told field by field; ``size`` saves reading the layout for it."""
    return Kind(
        name,
        size,
        decode or partial(unpack, layout),
        partial(pack, layout) if settable else None,
        partial(_show_fields, layout),
        "FIELD=VALUE,…, fields as they are shown" if settable else "",
        linux=True,
        layout=layout,
        given=given,
        length=length,
    )


# ---- what the kernel tells in many numbers

MEMINFO_LAYOUT = (
    "~rmem_alloc:I:bytes rcvbuf:I:bytes ~wmem_alloc:I:bytes sndbuf:I:bytes ~fwd_alloc:I:bytes ~wmem_queued:I:bytes"
    " ~optmem:I:bytes ~backlog:I:bytes ~drops:I:packets"
)
"""What SO_MEMINFO tells, in its order."""

TCP_INFO_LAYOUT = (
    "~state:B ~ca_state:B ~retransmits:B ~probes:B ~backoff:B options:B wscale:B ~app_limited:B"
    " ~rto:I:microseconds ~ato:I:microseconds ~snd_mss:I:bytes ~rcv_mss:I:bytes"
    " ~unacked:I:segments ~sacked:I:segments ~lost:I:segments ~retrans:I:segments ~fackets:I:segments"
    " ~last_data_sent:I:milliseconds ~last_ack_sent:I:milliseconds ~last_data_recv:I:milliseconds ~last_ack_recv:I:milliseconds"
    " ~pmtu:I:bytes ~rcv_ssthresh:I:bytes ~rtt:I:microseconds ~rttvar:I:microseconds ~snd_ssthresh:I:segments"
    " ~snd_cwnd:I:segments ~advmss:I:bytes ~reordering:I:segments ~rcv_rtt:I:microseconds ~rcv_space:I:bytes"
    " ~total_retrans:I:segments ~pacing_rate:Q:bytes-per-second max_pacing_rate:Q:bytes-per-second"
    " ~bytes_acked:Q:bytes ~bytes_received:Q:bytes ~segs_out:I:segments ~segs_in:I:segments ~notsent_bytes:I:bytes"
    " ~min_rtt:I:microseconds ~data_segs_in:I:segments ~data_segs_out:I:segments ~delivery_rate:Q:bytes-per-second"
    " ~busy_time:Q:microseconds ~rwnd_limited:Q:microseconds ~sndbuf_limited:Q:microseconds"
    " ~delivered:I:segments ~delivered_ce:I:segments ~bytes_sent:Q:bytes ~bytes_retrans:Q:bytes ~dsack_dups:I:segments"
    " ~reord_seen:I:events ~rcv_ooopack:I:segments ~snd_wnd:I:bytes ~rcv_wnd:I:bytes ~rehash:I:events"
    " ~total_rto:H:events ~total_rto_recoveries:H:events ~total_rto_time:I:milliseconds"
    " ~received_ce:I:segments ~delivered_e1_bytes:I:bytes ~delivered_e0_bytes:I:bytes ~delivered_ce_bytes:I:bytes"
    " ~received_e1_bytes:I:bytes ~received_e0_bytes:I:bytes ~received_ce_bytes:I:bytes"
    " ~accecn_fail_mode:H ~accecn_opt_seen:H"
)
"""Linux's ``struct tcp_info``: ``wscale`` is two halves of a byte (sent, received), ``app_limited`` shares one with why Fast Open failed."""

_CA_STATES = ("Open", "Disorder", "CWR", "Recovery", "Loss")
_TCP_INFO_OPTIONS = {1: "timestamps", 2: "sack", 4: "wscale", 8: "ecn", 16: "ecn_seen", 32: "syn_data", 64: "usec_ts"}
LISTENER_NAMES = {"unacked": "accept_queue", "sacked": "backlog"}
"""What the kernel puts in these two fields of a listener."""


def _decode_tcp_info(raw: bytes) -> object:
    if len(raw) < 8:
        raise ValueError("too short")
    values = unpack(TCP_INFO_LAYOUT, raw)
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
        elif listener and name in LISTENER_NAMES:
            told[LISTENER_NAMES[name]] = value
        else:
            told[name] = value
    return told


def _decode_cc_info(raw: bytes) -> object:
    """``union tcp_cc_info``: which of the three it is shows only in its length, and DCTCP and Vegas have the same 16 bytes."""
    if not raw:
        return {}  # cubic and reno tell nothing
    if len(raw) >= 20:
        low, high, rtt, pacing, cwnd = struct.unpack_from("=5I", raw)
        return {"bw": low | high << 32, "min_rtt": rtt, "pacing_gain": pacing / 256, "cwnd_gain": cwnd / 256}
    return {"words": list(struct.unpack(f"={len(raw) // 4}I", raw))}


def _show_cc_info(value: Any) -> str:
    return _show_fields(_BBR_LAYOUT, value) if value else "nothing (only bbr, dctcp and vegas tell)"


_BBR_LAYOUT = "~bw:Q:bytes-per-second ~min_rtt:I:microseconds ~pacing_gain:I ~cwnd_gain:I ~words:I"


def _decode_icmp6_filter(raw: bytes) -> object:
    """``struct icmp6_filter``: a bit for each type that is blocked."""
    if len(raw) != 32:
        raise ValueError("not 256 bits")
    words = struct.unpack("=8I", raw)
    return {"blocked": [type for type in range(256) if words[type // 32] >> type % 32 & 1]}


def _decode_icmp_filter(raw: bytes) -> object:
    """``struct icmp_filter``: a bit for each of the first 32 types that is blocked."""
    (word,) = struct.unpack("=I", raw)
    return {"blocked": [type for type in range(32) if word >> type & 1]}


def _encode_icmp_filter(text: str) -> bytes:
    word = 0
    for part in filter(None, text.split("+")):
        word |= 1 << whole(part, 0, 31)
    return word.to_bytes(4, sys.byteorder)


def _encode_icmp6_filter(text: str) -> bytes:
    words = [0] * 8
    for part in filter(None, text.split("+")):
        type = whole(part, 0, 255)
        words[type // 32] |= 1 << type % 32
    return struct.pack("=8I", *words)


def _show_blocked(value: Any) -> str:
    blocked = value["blocked"]
    if len(blocked) > 8:
        return f"{len(blocked)} types are blocked"
    return f"blocked: {', '.join(map(str, blocked))}" if blocked else "nothing is blocked"


def _decode_can_filters(raw: bytes) -> object:
    """``struct can_filter[]``."""
    if len(raw) % 8:
        raise ValueError("not whole filters")
    pairs = struct.unpack(f"={len(raw) // 4}I", raw)
    return [{"can_id": pairs[at], "mask": pairs[at + 1]} for at in range(0, len(pairs), 2)]


def _encode_can_filters(text: str) -> bytes:
    raw = b""
    for part in filter(None, text.split("+")):
        can_id, colon, mask = part.partition(":")
        if not colon:
            raise ValueError
        raw += struct.pack("=II", int(can_id, 16), int(mask, 16))
    return raw


def _show_can_filters(value: Any) -> str:
    return "+".join(f"{one['can_id']:x}:{one['mask']:x}" for one in value) or "none: nothing is received"


def _decode_filter(raw: bytes) -> object:
    """``struct sock_filter[]``: the classic BPF program on a socket."""
    return {"instructions": len(raw) // 8, "code": raw.hex()}


def _show_filter(value: Any) -> str:
    count = value["instructions"]
    return f"{count} instruction{'' if count == 1 else 's'}" if count else "none"


_SUBFLOW_HEADER = 16


def _subflows(raw: bytes) -> list[bytes]:
    """The records behind ``struct mptcp_subflow_data``."""
    header, count, _, size = struct.unpack_from("=IIII", raw)
    if header + count * size > len(raw) or not size:
        raise ValueError("not that many")
    return [raw[header + at * size : header + (at + 1) * size] for at in range(count)]


def _decode_subflow_info(raw: bytes) -> object:
    return [_decode_tcp_info(piece) for piece in _subflows(raw)]


def _decode_subflow_addresses(raw: bytes) -> object:
    return [{"local": sockaddr(piece[:128]), "remote": sockaddr(piece[128:])} for piece in _subflows(raw)]


def _show_subflow_info(value: Any) -> str:
    return (
        "; ".join(f"{one['state']} rtt {one.get('rtt', 0)} us cwnd {one.get('snd_cwnd', 0)}" for one in value) or "none"
    )


def _show_subflow_addresses(value: Any) -> str:
    return "; ".join(f"{one['local']} to {one['remote']}" for one in value) or "none"


def _decode_sctp_addresses(raw: bytes) -> object:
    """``struct sctp_getaddrs``: sockaddrs without gaps, each as long as its family needs."""
    _, count = struct.unpack_from("=iI", raw)
    found, at = [], 8
    for _ in range(count):
        (family,) = struct.unpack_from("=H", raw, at)
        size = 16 if family == socket.AF_INET else 28
        found.append(sockaddr(raw[at : at + size]))
        at += size
    return found


def _fits(count: int, size: int, raw: bytes) -> int:
    """A count that the bytes themselves tell, if there are as many."""
    if count * size > len(raw):
        raise ValueError("not that many")
    return count


def _decode_sctp_list(raw: bytes) -> object:
    """A count, and as many 32-bit numbers (``struct sctp_assoc_ids``)."""
    (count,) = struct.unpack_from("=I", raw)
    return list(struct.unpack_from(f"={_fits(count, 4, raw)}I", raw, 4))


def _decode_sctp_chunks(raw: bytes) -> object:
    """``struct sctp_authchunks``: an association, a count, and as many chunk types."""
    _, count = struct.unpack_from("=iI", raw)
    return list(raw[8 : 8 + count])


def _decode_hmacs(raw: bytes) -> object:
    """``struct sctp_hmacalgo``: a count, and as many 16-bit numbers."""
    (count,) = struct.unpack_from("=I", raw)
    return list(struct.unpack_from(f"={_fits(count, 2, raw)}H", raw, 4))


def _decode_dccp_services(raw: bytes) -> object:
    """The service code, and those that a listener takes besides; in network byte order."""
    return list(struct.unpack(f">{len(raw) // 4}I", raw))


def _encode_service(text: str) -> bytes:
    return whole(text, 0, 2**32 - 1).to_bytes(4, "big")


def _decode_assoc_value(raw: bytes) -> object:
    """``struct sctp_assoc_value``: whose, and the value. On a socket that has one association, whose is of no interest."""
    return struct.unpack("=iI", raw)[1]


def _encode_assoc_value(text: str) -> bytes:
    return struct.pack("=iI", 0, whole(text, 0, 2**32 - 1))


# ---- the kinds

INT = integer("int")
UINT = integer("unsigned int", signed=False)
HEX = integer("int, shown in hex", show=lambda value: f"{value:#x}")
UHEX = integer("unsigned int, shown in hex", signed=False, show=lambda value: f"{value:#x}")
BOOL = Kind("bool", 4, lambda raw: _from_native(raw, signed=False) != 0, _encode_bool, _show_bool, "on or off", True)
COOKIE = integer("64-bit id", signed=False, size=8, show=lambda value: f"{value:#x}", as_int=False)
SIZE64 = integer("64-bit size", signed=False, size=8, as_int=False)
ERRNO = integer("errno", show=_show_errno)
FAMILY = integer("address family", show=_show_family)
TYPE = integer("socket type", show=_show_type)
PROTOCOL = integer("protocol of the family")
DESCRIPTOR = integer("file descriptor", show=lambda value: f"fd {value}")
PMTU_DISCOVERY = integer(
    "path MTU discovery", names={0: "dont", 1: "want", 2: "do", 3: "probe", 4: "interface", 5: "omit"}
)
LINGER = Kind("linger", 8, _decode_linger, _encode_linger, _show_linger, "off, or on,SECONDS")
TIMEVAL = Kind("timeval", 16, _decode_timeval, _encode_timeval, _show_timeval, "SECONDS, such as 2.5; 0 is for ever")
TIMEVAL64 = TIMEVAL._replace(name="64-bit timeval", encode=_encode_timeval64, linux=True)
STRING = Kind(
    "string", STRING_SIZE, _decode_string, _encode_string, _show_string, f"at most {STRING_SIZE - 1} bytes of text"
)
STRING_ONLY = STRING._replace(name="string, not told", size=0)
LABEL = Kind("label", 256, _decode_string, None, _show_string, "")
RATE = Kind("rate", _RATE_SIZE, _decode_rate, _encode_rate, str, f"an integer, or {_UNLIMITED}", linux=True)
IN_ADDR = Kind("IPv4 address", 4, _decode_in_addr, _encode_in_addr, str, "an IPv4 address, such as 192.0.2.1")
NETWORK_INT = Kind(
    "number in network byte order",
    4,
    _decode_network_int,
    lambda text: whole(text, 0, 2**32 - 1).to_bytes(4, "big"),
    str,
    "an integer, 0 to 4294967295",
    linux=True,
)
SOCKADDR = Kind(
    "address",
    16,
    sockaddr,
    None,
    str,
    "",
    linux=True,
    sizes=((int(getattr(socket, "AF_INET6", -1)), 28), (int(getattr(socket, "AF_UNIX", -1)), 2)),
)
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
GROUPS = numbers("group ids", 256)
MEMINFO = structure("memory use", MEMINFO_LAYOUT, size=36)
TCP_INFO = structure("connection facts", TCP_INFO_LAYOUT, size=280, decode=_decode_tcp_info)
CC_INFO = Kind("congestion control facts", 20, _decode_cc_info, None, _show_cc_info, "", linux=True, layout=_BBR_LAYOUT)
FILTER = Kind(
    "classic BPF program", 8 * 4096, _decode_filter, None, _show_filter, "", linux=True, given=b"", length=4096
)
GROUP = write_only("multicast group", _encode_group, "GROUP, or GROUP@INTERFACE", linux=False)
SOURCE = write_only("multicast source", _encode_source, "GROUP,SOURCE, or GROUP,SOURCE@ADDRESS of an interface")
GROUP6 = write_only("IPv6 multicast group", _encode_group6, "GROUP, or GROUP@INTERFACE", linux=False)
GROUP_REQ = write_only("multicast group of either family", _encode_group_req, "GROUP, or GROUP@INTERFACE")
GROUP_SOURCE_REQ = write_only(
    "multicast source of either family", _encode_group_source_req, "GROUP,SOURCE, or GROUP,SOURCE@INTERFACE"
)
MEMBERSHIP = write_only(
    "link-layer membership",
    _encode_membership,
    "promisc@INTERFACE, allmulti@INTERFACE, or multicast or unicast with an address: multicast,33:33:00:00:00:01@eth0",
)
INT_ZEROED = INT._replace(given=b"")
"""The kernel reads the int before it answers."""
INT_ONLY = INT._replace(name="int, not told", size=0)
BOOL_ONLY = BOOL._replace(name="bool, not told", size=0)
POINTER = Kind("a structure with a pointer", 0, bytes.hex, None, _show_bytes, "")
"""What can be neither typed nor shown as one value: such rows say that the option is there."""
TIMESTAMPING = flags("time stamping", {
    1: "tx_hardware", 2: "tx_software", 4: "rx_hardware", 8: "rx_software", 0x10: "software", 0x20: "sys_hardware",
    0x40: "raw_hardware", 0x80: "opt_id", 0x100: "tx_sched", 0x200: "tx_ack", 0x400: "opt_cmsg", 0x800: "opt_tsonly",
    0x1000: "opt_stats", 0x2000: "opt_pktinfo", 0x4000: "opt_tx_swhw", 0x8000: "bind_phc", 0x10000: "opt_id_tcp",
    0x20000: "opt_rx_filter", 0x40000: "tx_completion",
})  # fmt: skip
"""The first 4 bytes of ``struct so_timestamping``; the other 4 choose a clock where bind_phc says so."""
SOCKADDRS = write_only("addresses", _encode_sockaddrs, "ADDRESS:PORT, joined by +")
SECRET = write_only("bytes to hand over", _encode_bytes, "bytes in hex, such as 00ff")
ICMP_FILTER = Kind(
    "ICMP filter", 4, _decode_icmp_filter, _encode_icmp_filter, _show_blocked, "types to block, joined by +", linux=True
)
ICMP6_FILTER = Kind(
    "ICMPv6 filter",
    32,
    _decode_icmp6_filter,
    _encode_icmp6_filter,
    _show_blocked,
    "types to block, joined by +",
    linux=True,
)
CAN_FILTERS = Kind(
    "CAN filters",
    8 * 64,
    _decode_can_filters,
    _encode_can_filters,
    _show_can_filters,
    "ID:MASK in hex, joined by +; empty: nothing",
    linux=True,
)
SERVICES = Kind("service codes", 128, _decode_dccp_services, _encode_service, _show_list, "an integer", linux=True)
OCTETS = Kind("list of bytes", 32, list, None, _show_list, "", linux=True)
ASSOC_VALUE = Kind(
    "value of an association",
    8,
    _decode_assoc_value,
    _encode_assoc_value,
    str,
    "an integer, 0 to 4294967295",
    linux=True,
    given=b"",
)
SCTP_ADDRESSES = Kind(
    "addresses", 1024, _decode_sctp_addresses, None, _show_list, "", linux=True, given=b"", uncounted=8
)
SCTP_IDS = Kind("associations", 1024, _decode_sctp_list, None, _show_list, "", linux=True, given=b"")
SCTP_CHUNKS = Kind("chunk types", 264, _decode_sctp_chunks, None, _show_list, "", linux=True, given=b"")
SCTP_HMACS = Kind("HMAC numbers", 20, _decode_hmacs, None, _show_list, "", linux=True, given=b"")
SUBFLOW_INFO = Kind(
    "facts about subflows",
    _SUBFLOW_HEADER + 8 * 232,
    _decode_subflow_info,
    None,
    _show_subflow_info,
    "",
    linux=True,
    given=struct.pack("=IIII", _SUBFLOW_HEADER, 0, 0, 232),
)
SUBFLOW_ADDRESSES = Kind(
    "addresses of subflows",
    _SUBFLOW_HEADER + 8 * 256,
    _decode_subflow_addresses,
    None,
    _show_subflow_addresses,
    "",
    linux=True,
    given=struct.pack("=IIII", _SUBFLOW_HEADER, 0, 0, 256),
)
