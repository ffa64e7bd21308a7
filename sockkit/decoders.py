"""Messages of protocols that are not text, as one line that people read: frames, netlink, packets, digests.

One row of ``ROWS`` a protocol. A decoder is given a whole message, never refuses one (what it does not understand it shows
as hexadecimal), and quotes nothing of it that could act on a terminal. Pure: no socket, no name server.

Sources: linux/can.h, linux/can/bcm.h, linux/netlink.h, linux/rtnetlink.h, RFC 791, 792, 8200, 4443, 826, bluetooth/hci.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable

from sockkit import names
from sockkit.errors import errno_name
from sockkit.text import escape, preview

STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
Decoder = Callable[[bytes, bool], str]
"""(message, whether it was received) to one line. Raises struct.error or LookupError for what is too short."""
_SHOWN = 32
"""Bytes of data that a line shows."""
_LISTED = 6
"""Messages, of several in one, that a line shows."""


def decoder(family: int, type: int, proto: int) -> Callable[[bytes, bool], str] | None:
    """What reads the messages of such a socket, or None where they are shown as they are."""
    name = names.FAMILIES.name(family)
    for row_family, row_type, row_proto, decode in ROWS:
        if row_family == name and row_type in (None, type) and row_proto in (None, proto):
            return _whole(decode)
    return None


def _whole(decode: Decoder) -> Decoder:
    def line(message: bytes, received: bool) -> str:
        try:
            text = decode(message, received)
        except (struct.error, LookupError, ValueError, OSError):
            text = f"too short or unknown: {_hex(message)}"
        return escape(text, backslash=False)

    return line


def _hex(data: bytes) -> str:
    return data[:_SHOWN].hex(" ") + (" …" if len(data) > _SHOWN else "")


def _text_or_hex(data: bytes) -> str:
    return preview(data, _SHOWN) if data.isascii() and data.decode().isprintable() else _hex(data)


def _flags(value: int, known: tuple[tuple[int, str], ...]) -> str:
    found = [name for bit, name in known if value & bit]
    rest = value & ~sum(bit for bit, _ in known)
    return " ".join(filter(None, [*found, f"{rest:#x}" if rest else ""]))


# ---- CAN


def _can_id(number: int) -> str:
    """As candump: three digits, or eight for an extended id; then what kind of frame it is."""
    text = f"{number & 0x1FFFFFFF:08X}" if number & 0xA0000000 else f"{number & 0x7FF:03X}"
    kinds = _flags(number & 0xE0000000, ((1 << 31, "extended"), (1 << 30, "remote request"), (1 << 29, "error")))
    return f"{text} {kinds}".rstrip()


def _can_frame(message: bytes) -> str:
    number, length, flags = struct.unpack_from("=IBB", message)
    if len(message) == 72:
        kinds = _flags(flags, ((1, "bit rate switch"), (2, "error state"), (4, "")))
        head = f"CAN FD {_can_id(number)} {kinds}".rstrip()
    else:
        head = f"CAN {_can_id(number)}"
    return f"{head} [{length}] {message[8 : 8 + length].hex(' ')}".rstrip()


def _can(message: bytes, received: bool) -> str:
    if len(message) not in (16, 72):
        raise ValueError
    return _can_frame(message)


_BCM = (
    *("", "TX_SETUP", "TX_DELETE", "TX_READ", "TX_SEND", "RX_SETUP", "RX_DELETE", "RX_READ"),
    *("TX_STATUS", "TX_EXPIRED", "RX_STATUS", "RX_TIMEOUT", "RX_CHANGED"),
)
_BCM_FLAGS = ((1, "SETTIMER"), (2, "STARTTIMER"), (4, "TX_COUNTEVT"), (8, "TX_ANNOUNCE"), (32, "RX_FILTER_ID"))


def _bcm(message: bytes, received: bool) -> str:
    head = struct.Struct("@IIIllllII")
    opcode, flags, count, *times, number, frames = head.unpack_from(message)
    intervals = [f"{seconds + micro / 1e6:g} s" for seconds, micro in (times[:2], times[2:]) if seconds or micro]
    said = [_BCM[opcode], f"id {_can_id(number)}", _flags(flags, _BCM_FLAGS)]
    if intervals:
        said.append(f"every {', then every '.join(intervals)}" + (f", {count} times the first" if count else ""))
    size = (len(message) - head.size) // frames if frames else 0
    shown = [
        _can_frame(message[start : start + size]) for start in range(head.size, head.size + frames * size, size or 1)
    ]
    return "; ".join(filter(None, [" ".join(filter(None, said)), *shown[:_LISTED]]))


# ---- netlink

_NLM = ((1, "REQUEST"), (2, ""), (4, "ACK"), (8, "ECHO"), (16, "DUMP_INTR"))
"""NLM_F_ flags; NLM_F_MULTI is in every answer to a dump."""
_CONTROL = {1: "NOOP", 2: "ERROR", 3: "DONE", 4: "OVERRUN"}
_RTM = {16: "LINK", 20: "ADDR", 24: "ROUTE", 28: "NEIGH", 32: "RULE", 36: "QDISC", 40: "TCLASS", 44: "TFILTER"}
_VERBS = ("NEW", "DEL", "GET", "SET")


def _attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by number, the last of each kind."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def _address(family: int, raw: bytes | None) -> str:
    if raw is None:
        return ""
    if (family, len(raw)) in ((2, 4), (10, 16)):
        return socket.inet_ntop(socket.AF_INET if family == 2 else socket.AF_INET6, raw)
    return raw.hex(":")


def _device(raw: bytes | None) -> str:
    if raw is None or len(raw) < 4:
        return ""
    index = struct.unpack_from("=I", raw)[0]
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}"


def _link(body: bytes) -> list[str]:
    _, _hardware, index, flags, _ = struct.unpack_from("=HHiII", body)
    found = _attributes(body[16:])
    said = [f"{index}: {_string(found.get(3))}" if index else "every link"]
    if 4 in found:
        said.append(f"mtu {struct.unpack('=I', found[4])[0]}")
    if flags:
        said.append("up" if flags & 1 else "down")
    if found.get(1):
        said.append(found[1].hex(":"))
    return said


def _string(raw: bytes | None) -> str:
    return "" if raw is None else escape(raw.rstrip(b"\0"))


def _addr(body: bytes) -> list[str]:
    family, bits, _, _, index = struct.unpack_from("=BBBBI", body)
    found = _attributes(body[8:])
    address = _address(family, found.get(2, found.get(1)))
    return [
        f"{address}/{bits}" if address else "every address",
        f"dev {_device(struct.pack('=I', index))}" if index else "",
    ]


def _route(body: bytes) -> list[str]:
    family, bits, *_ = struct.unpack_from("=BBBBBBBBI", body)
    found = _attributes(body[12:])
    to = f"{_address(family, found[1])}/{bits}" if 1 in found else "default" if found else "every route"
    via, device = _address(family, found.get(5)), _device(found.get(4))
    table = struct.unpack("=I", found[15])[0] if 15 in found else 254
    return [to, via and f"via {via}", device and f"dev {device}", f"table {table}" if table != 254 else ""]


def _neighbour(body: bytes) -> list[str]:
    family, index = struct.unpack_from("=BxxxI", body)
    found = _attributes(body[12:])
    address, mac = _address(family, found.get(1)), found.get(2, b"")
    return [address or "every neighbour", mac.hex(":"), f"dev {_device(struct.pack('=I', index))}" if index else ""]


_BODIES: dict[str, Callable[[bytes], list[str]]] = {"LINK": _link, "ADDR": _addr, "ROUTE": _route, "NEIGH": _neighbour}


def _netlink_messages(message: bytes, say: Callable[[int, bytes], str]) -> str:
    said, count = [], 0
    while len(message) >= 16:
        length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", message)
        if length < 16:
            break
        count += 1
        if count <= _LISTED:
            text = _netlink_head(kind, flags, message[16:length], say)
            said.append(f"{text} (seq {sequence})" if sequence else text)
        message = message[(length + 3) & ~3 :]
    if not count:
        raise ValueError
    if count > _LISTED:
        said.append(f"and {count - _LISTED} more")
    return "; ".join(said)


def _netlink_head(kind: int, flags: int, body: bytes, say: Callable[[int, bytes], str]) -> str:
    if kind == 2:
        number = -struct.unpack_from("=i", body)[0]
        return f"ERROR {errno_name(number) or number}: {os.strerror(number)}" if number else "ACK"
    if kind in _CONTROL:
        return _CONTROL[kind]
    get = flags & 1
    words = _flags(flags & ~0x300 if get else flags & 0xFF, _NLM) + (" DUMP" if get and flags & 0x300 == 0x300 else "")
    return f"{say(kind, body)} [{words.strip()}]" if words.strip() else say(kind, body)


def _rtnetlink(message: bytes, received: bool) -> str:
    def say(kind: int, body: bytes) -> str:
        noun = _RTM.get(kind & ~3)
        if noun is None:
            return f"type {kind}, {len(body)} bytes"
        try:
            parts = _BODIES[noun](body) if noun in _BODIES else [f"{len(body)} bytes"]
        except struct.error:  # a request may have no more than the family (struct rtgenmsg)
            parts = ["all"]
        return " ".join(filter(None, [f"RTM_{_VERBS[kind & 3]}{noun}", *parts]))

    return _netlink_messages(message, say)


def _netlink(message: bytes, received: bool) -> str:
    return _netlink_messages(message, lambda kind, body: f"type {kind}, {len(body)} bytes")


def _plain(message: bytes, received: bool) -> str:
    return _text_or_hex(message)


def _uevent(message: bytes, received: bool) -> str:
    return " ".join(part.decode("utf-8", "replace") for part in message.split(b"\0")[:12])


# ---- packets

_ICMP = {
    0: "echo reply",
    3: "unreachable",
    4: "source quench",
    5: "redirect",
    8: "echo request",
    9: "router here",
    10: "router?",
    11: "time exceeded",
    12: "parameter problem",
    13: "timestamp request",
    14: "timestamp reply",
}
_ICMP6 = {
    1: "unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "listener query",
    131: "listener report",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
}


def _icmp(message: bytes, known: dict[int, str], name: str) -> str:
    kind, code, _, identity, sequence = struct.unpack_from("!BBHHH", message)
    text = f"{name} {known.get(kind, f'type {kind}')}"
    if "echo" in text:
        return f"{text} id {identity} seq {sequence}, {len(message) - 8} bytes: {_text_or_hex(message[8:])}"
    return f"{text} code {code}, {len(message)} bytes"


def _transport(proto: int, body: bytes) -> str:
    if proto == 1:
        return _icmp(body, _ICMP, "ICMP")
    if proto == 58:
        return _icmp(body, _ICMP6, "ICMPv6")
    name = (names.PROTOCOLS.name(proto) or f"protocol {proto}").removeprefix("IPPROTO_")
    if proto in (6, 17, 132, 136):
        source, target = struct.unpack_from("!HH", body)
        return f"{name} {source} > {target}, {len(body)} bytes"
    return f"{name}, {len(body)} bytes: {_text_or_hex(body)}"


def _ipv4(packet: bytes) -> str:
    first, _, total, _, fragment, ttl, proto, _, source, target = struct.unpack_from("!BBHHHBBH4s4s", packet)
    head = f"IPv4 {socket.inet_ntoa(source)} > {socket.inet_ntoa(target)} ttl {ttl}"
    if fragment & 0x1FFF:
        return f"{head} fragment at {(fragment & 0x1FFF) * 8}"
    return f"{head} {_transport(proto, packet[(first & 15) * 4 : total or None])}"


def _ipv6(packet: bytes) -> str:
    _, length, proto, hops, source, target = struct.unpack_from("!IHBB16s16s", packet)
    ends = " > ".join(socket.inet_ntop(socket.AF_INET6, end) for end in (source, target))
    return f"IPv6 {ends} hops {hops} {_transport(proto, packet[40 : 40 + length])}"


def _arp(packet: bytes) -> str:
    _, _, size, _, operation = struct.unpack_from("!HHBBH", packet)
    source, sender = packet[8 : 8 + size], packet[8 + size : 12 + size]
    target = packet[12 + 2 * size : 16 + 2 * size]
    if operation == 1:
        return f"ARP who has {socket.inet_ntoa(target)}? tell {socket.inet_ntoa(sender)}"
    return f"ARP {socket.inet_ntoa(sender)} is at {source.hex(':')}"


def _network(ethertype: int, packet: bytes) -> str:
    if ethertype in (0x8100, 0x88A8):
        tag, inner = struct.unpack_from("!HH", packet)
        return f"VLAN {tag & 0xFFF} {_network(inner, packet[4:])}"
    reader = {0x0800: _ipv4, 0x86DD: _ipv6, 0x0806: _arp}.get(ethertype)
    if reader is not None:
        return reader(packet)
    name = names.protocols(names.family_number("AF_PACKET") or 17).name(socket.htons(ethertype))
    shown = name.removeprefix("ETH_P_") if name else f"ethertype {ethertype:#06x}"
    return f"{shown}, {len(packet)} bytes: {_text_or_hex(packet)}"


def _ethernet(message: bytes, received: bool) -> str:
    target, source, ethertype = struct.unpack_from("!6s6sH", message)
    return f"{source.hex(':')} > {target.hex(':')} {_network(ethertype, message[14:])}"


def _cooked(message: bytes, received: bool) -> str:
    """The ethertype is in the address: only the packet itself tells what it may be."""
    first = message[0] >> 4
    if first == 4 and len(message) >= 20 and int.from_bytes(message[2:4], "big") == len(message):
        return _ipv4(message)
    if first == 6 and len(message) >= 40 and int.from_bytes(message[4:6], "big") == len(message) - 40:
        return _ipv6(message)
    return _text_or_hex(message)


def _raw_ipv4(message: bytes, received: bool) -> str:
    """Received with its header, sent without (raw(7))."""
    return _ipv4(message) if received else _text_or_hex(message)


def _raw_icmp(message: bytes, received: bool) -> str:
    return _ipv4(message) if received else _icmp(message, _ICMP, "ICMP")


# ---- the rest


def _alg(message: bytes, received: bool) -> str:
    return message.hex() if received else _text_or_hex(message)


_HCI = {1: "command", 2: "ACL data", 3: "SCO data", 4: "event", 5: "ISO data"}


def _hci(message: bytes, received: bool) -> str:
    """A packet of a device, or a message of the management channel, which has its length in it."""
    if len(message) >= 6 and struct.unpack_from("<H", message, 4)[0] == len(message) - 6:
        code, index, _ = struct.unpack_from("<HHH", message)
        device = "" if index == 0xFFFF else f" hci{index}"
        return f"mgmt {'event' if received else 'command'} {code:#06x}{device} {_hex(message[6:])}".rstrip()
    kind = message[0]
    if kind == 1:
        opcode, length = struct.unpack_from("<HB", message, 1)
        return f"HCI command {opcode >> 10:#04x}|{opcode & 0x3FF:#06x} [{length}] {_hex(message[4:])}".rstrip()
    if kind == 4:
        return f"HCI event {message[1]:#04x} [{message[2]}] {_hex(message[3:])}".rstrip()
    return f"HCI {_HCI.get(kind, f'type {kind}')} {_hex(message[1:])}"


_SADB = (
    *("", "GETSPI", "UPDATE", "ADD", "DELETE", "GET", "ACQUIRE", "REGISTER", "EXPIRE", "FLUSH", "DUMP", "X_PROMISC"),
    *("X_PCHANGE", "X_SPDUPDATE", "X_SPDADD", "X_SPDDELETE", "X_SPDGET", "X_SPDACQUIRE", "X_SPDDUMP", "X_SPDFLUSH"),
)


def _key(message: bytes, received: bool) -> str:
    _version, kind, error, satype, length, _, sequence, pid = struct.unpack_from("=BBBBHHII", message)
    said = f"SADB_{_SADB[kind]} for SA type {satype}, {length * 8} bytes, seq {sequence} pid {pid}"
    return f"{said}: {errno_name(error) or error}" if error else said


ROWS: tuple[tuple[str, int | None, int | None, Decoder], ...] = (
    # (family, type, protocol, what reads it); the first row that fits counts
    ("AF_CAN", RAW, None, _can),
    ("AF_CAN", DGRAM, 2, _bcm),
    ("AF_CAN", DGRAM, None, lambda message, received: _hex(message)),
    ("AF_NETLINK", None, 0, _rtnetlink),
    ("AF_NETLINK", None, 2, _plain),
    ("AF_NETLINK", None, 15, _uevent),
    ("AF_NETLINK", None, None, _netlink),
    ("AF_PACKET", RAW, None, _ethernet),
    ("AF_PACKET", DGRAM, None, _cooked),
    ("AF_INET", RAW, 1, _raw_icmp),
    ("AF_INET", RAW, None, _raw_ipv4),
    ("AF_INET", DGRAM, 1, lambda message, received: _icmp(message, _ICMP, "ICMP")),
    ("AF_INET6", RAW, 58, lambda message, received: _icmp(message, _ICMP6, "ICMPv6")),
    ("AF_INET6", DGRAM, 58, lambda message, received: _icmp(message, _ICMP6, "ICMPv6")),
    ("AF_ALG", None, None, _alg),
    ("AF_BLUETOOTH", RAW, 1, _hci),
    ("AF_KEY", None, None, _key),
    ("AF_IEEE802154", None, None, lambda message, received: _hex(message)),
)
"""Adding a protocol is a row here."""
