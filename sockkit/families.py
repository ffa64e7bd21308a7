"""Addresses of the families that few programs speak, each in the notation of its own tools.

One row a family, as in ``addresses``, which loads this module when such a family is asked for. Where Python's ``socket``
has a form for an address, that is what a row makes of a text; where it has none, a ``Sockaddr``: the bytes of the struct
itself, for ``libc``. What is shown can be typed again, and gives the same address.

Source of each layout: the kernel's header that the row names, and its man page where there is one.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from sockkit.addresses import (
    INET,
    INET6,
    AddressFamily,
    Request,
    Sockaddr,
    Target,
    as_typed,
    format_address,
    is_number,
    number_of,
    parse_target,
    single_word,
)
from sockkit.errors import UsageError

STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
"""Socket types, the same on every platform that has these families."""


class Reading(NamedTuple):
    """What a text stands for, and the type and protocol that are meant where none is asked for."""

    address: object
    type: int | None = None
    proto: int | None = None


Read = Callable[[str], Reading]
"""Raises ValueError with what is wrong: ``'x' is not a number``."""
Show = Callable[[object], str]
"""Raises TypeError, ValueError, LookupError or struct.error for what is no address of the family."""


def _row(
    name: str,
    linux: int | None,
    syntax: str,
    examples: tuple[str, ...],
    read: Read,
    show: Show,
    type: int | None = None,
    proto: int | None = None,
    default: str | None = None,
) -> AddressFamily:
    """A row whose addresses are one word. ``type`` and ``proto`` are meant where the text implies nothing else."""
    number = number_of(f"AF_{name}", linux)

    def parse(request: Request) -> Target:
        if request.port is not None:
            raise UsageError(f"an address of {name} has no port of its own: {syntax}", option="--port")
        word = "" if default is not None and not request.words else single_word(request, name, row)
        try:
            found = read(word)
        except UsageError:
            raise
        except (ValueError, OSError) as error:
            message = f"{as_typed(word)} is not an address of {name}: {error}"
            raise request.error(message, f"{syntax}; e.g. {examples[0]}" if examples else syntax) from error
        given = found.type if found.type is not None else type
        return Target(number, None, None, found.address, given, proto if found.proto is None else found.proto)

    row = AddressFamily(name, number, syntax, tuple((word,) for word in examples), default, parse, show)
    return row


# ---- what the notations are made of


def _number(text: str, largest: int, what: str = "number") -> int:
    """A decimal or ``0x`` number within bounds."""
    digits = text[2:] if text[:2] in ("0x", "0X") else ""
    if digits and len(digits) <= 18 and all(c in "0123456789abcdefABCDEF" for c in digits):
        value = int(digits, 16)
    elif is_number(text, 10**20):
        value = int(text)
    else:
        raise ValueError(f"{as_typed(text)} is no {what}")
    if value > largest:
        raise ValueError(f"the {what} {value} is more than {largest}")
    return value


def _parts(text: str, least: int, most: int) -> list[str]:
    parts = text.split(",")
    if not least <= len(parts) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise ValueError(f"{len(parts)} part{'s' * (len(parts) > 1)} where there are {wanted}, separated by commas")
    return parts


def _device(text: str) -> str:
    """An interface by name; whether there is one says the kernel."""
    try:
        name = os.fsencode(text)
    except UnicodeError:
        name = b""
    if not 0 < len(name) < 16 or any(c in b" \t\n\v\f\r/:\0" for c in name) or not text.isprintable():
        raise ValueError(f"{as_typed(text)} is no name of an interface: 1 to 15 bytes, such as eth0")
    return text


def _index(text: str) -> int:
    """An interface's number, from its name or the number itself."""
    if is_number(text, 0xFFFFFFFF):
        return int(text)
    try:
        return socket.if_nametoindex(_device(text))
    except OSError as error:
        raise ValueError(f"there is no interface {as_typed(text)} here") from error


def _name_of(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError):
        return str(index)


def _mac(text: str, size: int = 6) -> bytes:
    """A hardware address as ``ip link`` shows it, ``00:1b:21:3c:9d:f8``, or an interface, whose own is meant."""
    raw = b""
    pairs = text.split(":")
    try:
        if len(pairs) == size and all(len(pair) == 2 for pair in pairs):
            raw = bytes.fromhex("".join(pairs))
        elif len(pairs) == 1:
            with open(f"/sys/class/net/{_device(text)}/address") as file:
                raw = bytes.fromhex(file.read().strip().replace(":", ""))
    except (OSError, ValueError):
        pass
    if len(raw) != size:
        example = "00:1b:21:3c:9d:f8" if size == 6 else "02:00:00:00:00:00:00:01"
        raise ValueError(f"{as_typed(text)} is no hardware address such as {example}, nor an interface with one")
    return raw


def _raw(address: object, size: int) -> bytes:
    """The struct's bytes, which an address of the family has at least ``size`` of."""
    if not isinstance(address, Sockaddr) or len(address) < size:
        raise TypeError
    return bytes(address)


def _tuple(address: object, *sizes: int) -> tuple[object, ...]:
    if not isinstance(address, tuple) or len(address) not in sizes:
        raise TypeError
    return address


def _integer(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _string(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or "," in value:
        raise TypeError
    return value


def _one_of(names: dict[str, int], text: str, what: str, largest: int) -> int:
    found = names.get(text.lower())
    return _number(text, largest, f"{what}: {', '.join(names)}, or a number") if found is None else found


def _spelt(names: dict[str, int], value: int) -> str:
    return next((name for name, number in names.items() if number == value), str(value))


def _numbers(*largest: int, least: int | None = None) -> Read:
    """A Python tuple of as many numbers; those behind the first ``least`` may be left out and are 0."""

    def read(text: str) -> Reading:
        parts = _parts(text, len(largest) if least is None else least, len(largest))
        values = [_number(part, most) for part, most in zip(parts, largest, strict=False)]
        return Reading((*values, *[0] * (len(largest) - len(values))))

    return read


def _struct(layout: str, linux: int, *largest: int, name: str, least: int | None = None) -> tuple[Read, Show]:
    """A struct sockaddr that is nothing but numbers, and its text: the numbers in the order of their fields."""
    form = struct.Struct(layout)
    numbers = _numbers(*largest, least=least)

    def read(text: str) -> Reading:
        address = numbers(text).address
        assert isinstance(address, tuple)
        return Reading(Sockaddr(form.pack(number_of(f"AF_{name}", linux) or linux, *address)))

    def show(address: object) -> str:
        values = form.unpack(_raw(address, form.size)[: form.size])[1:]
        if form.pack(number_of(f"AF_{name}", linux) or linux, *values) != address:
            raise ValueError  # something where there is usually nothing: hex says it
        return ",".join(map(str, values))

    return read, show


def _internet(text: str) -> tuple[int, Any]:
    """(family, (host, port)) of a numeric ``HOST:PORT``."""
    target = parse_target([text], family=None)
    if target.family not in (INET, INET6) or not isinstance(target.address, tuple):
        raise ValueError(f"{as_typed(text)} is no number such as 127.0.0.1:4000")
    return target.family, target.address


def _sockaddr_in(text: str) -> bytes:
    """struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)) of a numeric ``HOST:PORT``."""
    family, address = _internet(text)
    host, port = address[:2]
    if family == INET:
        return struct.pack("=HH4s8x", INET, socket.htons(port), socket.inet_aton(host))
    return struct.pack("=HHI16sI", INET6, socket.htons(port), 0, socket.inet_pton(INET6, host), address[3])


def _show_sockaddr_in(raw: bytes) -> str:
    (family,) = struct.unpack_from("=H", raw)
    if family == INET:
        return format_address(INET, (socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big")))
    if family == INET6 and len(raw) >= 28:
        scope = struct.unpack_from("=I", raw, 24)[0]
        host = socket.inet_ntop(INET6, raw[8:24])
        return format_address(INET6, (host, int.from_bytes(raw[2:4], "big"), 0, scope))
    raise ValueError


# ---- CAN: linux/can.h, Documentation/networking/can.rst, isotp and j1939; ids as in candump and isotpsend

_EFF = 0x80000000
_NO_NAME, _NO_PGN, _NO_ADDR = 0, 0x40000, 0xFF
CAN_RAW, CAN_BCM, CAN_ISOTP, CAN_J1939 = 1, 2, 6, 7


def _can_id(text: str) -> int:
    value = _number(text, 0xFFFFFFFF, "CAN id")
    if text[:2] in ("0x", "0X"):
        if len(text) == 10 and value <= 0x1FFFFFFF:
            return value | _EFF  # eight digits make an extended one, as for cansend
        return value | _EFF if 0x7FF < value <= 0x1FFFFFFF else value
    return value


def _show_can_id(number: int) -> str:
    if number <= 0x7FF:
        return f"{number:#05x}"
    plain = number & ~_EFF
    if number & _EFF:
        return f"0x{plain if plain <= 0x1FFFFFFF else number:08X}"
    return str(number)


def _read_can(text: str) -> Reading:
    parts = _parts(text, 1, 4)
    device = "" if parts[0] == "any" else _device(parts[0])
    if len(parts) == 1:
        return Reading((device,), RAW, CAN_RAW)
    if len(parts) == 3:
        return Reading((device, _can_id(parts[1]), _can_id(parts[2])), DGRAM, CAN_ISOTP)
    if len(parts) == 2:
        raise ValueError("an ISOTP address has two ids, what this side receives and what it sends")
    name = _NO_NAME if parts[1] == "-" else _number(parts[1], 2**64 - 1, "NAME")
    pgn = _NO_PGN if parts[2] == "-" else _number(parts[2], 0xFFFFFFFF, "PGN")
    node = _NO_ADDR if parts[3] == "-" else _number(parts[3], 0xFF, "address")
    return Reading((device, name, pgn, node), DGRAM, CAN_J1939)


def _show_can(address: object) -> str:
    device, *rest = _tuple(address, 1, 3, 4)
    text = _string(device) or "any"
    numbers = [_integer(value) for value in rest]
    if len(numbers) == 2:
        return ",".join((text, *map(_show_can_id, numbers)))
    if numbers:
        name, pgn, node = numbers
        text += f",{f'{name:#x}' if name != _NO_NAME else '-'},{f'{pgn:#x}' if pgn != _NO_PGN else '-'}"
        text += f",{f'{node:#x}' if node != _NO_ADDR else '-'}"
    return text


# ---- NETLINK: netlink(7)


def _read_netlink(text: str) -> Reading:
    from sockkit import names

    before, colon, after = text.rpartition(":")
    if colon or not is_number(text.partition(",")[0], None):
        protocol, numbers = (before, after) if colon else (text, "0")
        space = names.protocols(number_of("AF_NETLINK", 16) or 16)
        chosen = space.parse(protocol, option="ADDRESS")
        if not 0 <= chosen < 256 or (colon and ":" in before):
            raise ValueError(f"{as_typed(protocol)} is no protocol: a name such as ROUTE, or a number up to 255")
        return Reading(_read_netlink(numbers).address, RAW, chosen)
    parts = _parts(text, 1, 2)
    pid = _number(parts[0], 0xFFFFFFFF, "port id")
    return Reading((pid, _number(parts[1], 0xFFFFFFFF, "set of groups") if len(parts) > 1 else 0), RAW)


def _show_netlink(address: object) -> str:
    pid, groups = map(_integer, _tuple(address, 2))
    return f"{pid},{groups:#x}" if groups else f"{pid}"


# ---- PACKET: packet(7)

_PACKET_TYPES = {"host": 0, "broadcast": 1, "multicast": 2, "otherhost": 3, "outgoing": 4, "loopback": 5}


def _ethertype(text: str) -> int:
    from sockkit import names

    if text[:1].isdigit():
        return _number(text, 0xFFFF, "ethertype")
    return socket.ntohs(names.protocols(number_of("AF_PACKET", 17) or 17).parse(text, option="ADDRESS"))


def _read_packet(text: str) -> Reading:
    parts = _parts(text, 1, 5)
    device = "" if parts[0] == "any" else _device(parts[0])
    proto = _ethertype(parts[1]) if len(parts) > 1 else 3
    if len(parts) < 3:
        return Reading((device, proto), RAW)
    mac = bytes.fromhex(parts[2].replace(":", "")) if parts[2] != "-" else b""
    if len(mac) > 8:
        raise ValueError(f"{as_typed(parts[2])} is longer than a hardware address: 8 bytes at most")
    kind = _one_of(_PACKET_TYPES, parts[3], "kind of packet", 255) if len(parts) > 3 else 0
    hardware = _number(parts[4], 0xFFFF, "hardware type") if len(parts) > 4 else 0
    return Reading((device, proto, kind, hardware, mac), RAW)


def _show_packet(address: object) -> str:
    from sockkit import names

    device, proto, *rest = _tuple(address, 2, 5)
    number = _integer(proto)
    name = names.protocols(number_of("AF_PACKET", 17) or 17).name(socket.htons(number)) if number else None
    word = name.removeprefix("ETH_P_") if name else ""
    text = f"{_string(device) or 'any'},{word if word and not word[0].isdigit() else f'{number:#06x}'}"
    if rest:
        kind, hardware, mac = rest
        if not isinstance(mac, bytes):
            raise TypeError
        text += f",{mac.hex(':') or '-'},{_spelt(_PACKET_TYPES, _integer(kind))},{_integer(hardware)}"
    return text


# ---- TIPC: linux/tipc.h; service and range as in libtipc's tipc_aton, ports as in `tipc socket list`

_TIPC_RANGE, _TIPC_SERVICE, _TIPC_PORT = 1, 2, 3
_TIPC_SCOPES = {"zone": 1, "cluster": 2, "node": 3}
_UINT32 = 0xFFFFFFFF


def _read_tipc(text: str) -> Reading:
    parts = _parts(text, 1, 2)
    scope = _one_of(_TIPC_SCOPES, parts[1], "scope", 0x7F) if len(parts) > 1 else None
    number, at, node = parts[0].partition("@")
    if at:
        address = (_TIPC_PORT, _number(node, _UINT32, "node"), _number(number, _UINT32, "port"), 0, scope or 0)
        return Reading(address)
    kind, colon, instances = parts[0].partition(":")
    if not colon:
        raise ValueError("a service has a TYPE and an INSTANCE, with a colon between them")
    scope = _TIPC_SCOPES["cluster"] if scope is None else scope
    service, (lower, dash, upper) = _number(kind, _UINT32, "service type"), instances.partition("-")
    first = _number(lower, _UINT32, "instance")
    if dash:
        return Reading((_TIPC_RANGE, service, first, _number(upper, _UINT32, "instance"), scope))
    return Reading((_TIPC_SERVICE, service, first, 0, scope))


def _show_tipc(address: object) -> str:
    kind, one, two, three, scope = map(_integer, _tuple(address, 5))
    usual = 0 if kind == _TIPC_PORT else _TIPC_SCOPES["cluster"]
    suffix = "" if scope == usual else f",{_spelt(_TIPC_SCOPES, scope)}"
    if kind == _TIPC_RANGE:
        return f"{one}:{two}-{three}{suffix}"
    if kind == _TIPC_SERVICE:  # reading one, Python repeats the instance where it takes nothing
        return f"{one}:{two}{suffix}"
    if kind == _TIPC_PORT:
        return f"{two}@{one:#x}{suffix}"
    raise ValueError


# ---- BLUETOOTH: bluetooth/bluetooth.h of BlueZ; Python's form depends on the protocol

_BT = {"l2cap": (SEQPACKET, 0), "hci": (RAW, 1), "sco": (SEQPACKET, 2), "rfcomm": (STREAM, 3)}
_BT_NAMES = {"any": "00:00:00:00:00:00", "local": "00:00:00:FF:FF:FF", "all": "FF:FF:FF:FF:FF:FF"}


def _read_bluetooth(text: str) -> Reading:
    word, colon, rest = text.partition(":")
    kind = _BT.get(word.lower()) if colon else None
    if text.lower() == "mgmt":
        # sockaddr_hci: no device, HCI_CHANNEL_CONTROL (bluetooth/hci.h). Python's form has no channel.
        return Reading(Sockaddr(struct.pack("=HHH", number_of("AF_BLUETOOTH", 31) or 31, 0xFFFF, 3)), *_BT["hci"])
    if text[:3].lower() == "hci" and is_number(text[4:] if colon else text[3:], 0xFFFF):
        return Reading((int(text[4:] if colon else text[3:]),), *_BT["hci"])
    parts = _parts(rest if kind else text, 1, 2)
    device = _BT_NAMES.get(parts[0].lower()) or _mac_text(parts[0])
    if len(parts) == 1:
        if kind and kind != _BT["sco"]:
            raise ValueError(f"{word} needs a number behind the device: its PSM or channel")
        return Reading(device.encode(), *_BT["sco"])  # Python takes bytes here, and gives text
    if kind == _BT["sco"]:
        raise ValueError("SCO has no number behind the device")
    number = _number(parts[1], 0xFFFF, "PSM or channel")
    return Reading((device, number), *(kind or (SEQPACKET, None)))


def _mac_text(text: str) -> str:
    if text.count(":") != 5:
        raise ValueError(f"{as_typed(text)} is no Bluetooth device such as 01:23:45:67:89:AB")
    return _mac(text).hex(":").upper()


def _show_bluetooth(address: object) -> str:
    if isinstance(address, Sockaddr):
        if address == _read_bluetooth("mgmt").address:
            return "mgmt"
        raise ValueError
    if isinstance(address, (str, bytes)):
        return _mac_text(address if isinstance(address, str) else address.decode("ascii"))
    first, *rest = _tuple(address, 1, 2)
    if not rest:
        return f"hci{_integer(first)}"
    return f"{_mac_text(_string(first))},{_integer(rest[0])}"


# ---- ALG: linux/if_alg.h, Documentation/crypto/userspace-if.rst


def _read_alg(text: str) -> Reading:
    kind, slash, name = text.partition("/")
    if not slash or not kind or not name or not text.isascii() or not text.isprintable():
        raise ValueError("a kind of algorithm, a slash, and a name of /proc/crypto")
    if len(kind) > 13 or len(name) > 63:
        raise ValueError("the kind has 13 characters at most, the name 63")
    return Reading((kind, name), SEQPACKET)


def _show_alg(address: object) -> str:
    return "/".join(map(_string, _tuple(address, 2)))


# ---- RDS, SMC, RXRPC: Internet addresses of families that are not


def _read_rds(text: str) -> Reading:
    family, address = _internet(text)
    if family != INET:
        raise ValueError("only IPv4 addresses fit: Python has no others for RDS")
    return Reading(address, SEQPACKET)


def _show_rds(address: object) -> str:
    if isinstance(address, tuple) and len(address) == 2 and isinstance(address[1], bytes) and not any(address[1]):
        return "(unbound)"
    return format_address(INET, _tuple(address, 2))


def _read_smc(text: str) -> Reading:
    raw = _sockaddr_in(text)
    return Reading(Sockaddr(raw), STREAM, 0 if raw[:2] == struct.pack("=H", INET) else 1)


def _show_smc(address: object) -> str:
    return _show_sockaddr_in(_raw(address, 16))


def _read_rxrpc(text: str) -> Reading:
    """struct sockaddr_rxrpc, linux/rxrpc.h: family, service, transport type and length, transport address."""
    where, service = _parts(text, 2, 2)
    inner = _sockaddr_in(where)
    head = struct.pack("=HHHH", number_of("AF_RXRPC", 33) or 33, _number(service, 0xFFFF, "service"), DGRAM, len(inner))
    return Reading(Sockaddr(head + inner.ljust(28, b"\0")), DGRAM, INET if len(inner) == 16 else INET6)


def _show_rxrpc(address: object) -> str:
    raw = _raw(address, 36)
    _, service, kind, length = struct.unpack_from("=HHHH", raw)
    if kind != DGRAM or length not in (16, 28):
        raise ValueError
    return f"{_show_sockaddr_in(raw[8 : 8 + length])},{service}"


# ---- QIPCRTR: linux/qrtr.h


def _read_qipcrtr(text: str) -> Reading:
    node, _, port = text.partition(":")
    return Reading((_number(node, _UINT32, "node"), _number(port, _UINT32, "port")), DGRAM)


def _show_qipcrtr(address: object) -> str:
    return ":".join(str(_integer(value)) for value in _tuple(address, 2))


# ---- amateur radio, linux/ax25.h: callsigns as in axcall(1); NET/ROM uses the same struct, ROSE one of its own (linux/rose.h)


def _call(text: str) -> bytes:
    """``N0CALL-7``: six characters and an SSID, each shifted left by one."""
    sign, dash, number = text.partition("-")
    if not 0 < len(sign) <= 6 or not sign.isascii() or not sign.isalnum() or (dash and not is_number(number, 15)):
        raise ValueError(f"{as_typed(text)} is no callsign: up to six letters and digits, and perhaps -SSID up to 15")
    return bytes(ord(c) << 1 for c in sign.upper().ljust(6)) + bytes((int(number or 0) << 1,))


def _show_call(raw: bytes) -> str:
    sign = "".join(chr(byte >> 1) for byte in raw[:6]).rstrip()
    number = raw[6] >> 1 & 0xF  # the other bits are of frames: reserved, command or response, the last one
    text = f"{sign}-{number}" if number else sign
    _call(text)
    return text


def _ax25(name: str, linux: int) -> tuple[Read, Show]:
    def read(text: str) -> Reading:
        first, *via = _parts(text, 1, 9)
        head = struct.pack("=H7s3xi", number_of(f"AF_{name}", linux) or linux, _call(first), len(via))
        return Reading(Sockaddr(head + (b"".join(map(_call, via)).ljust(56, b"\0") if via else b"")))

    def show(address: object) -> str:
        raw = _raw(address, 16)
        count = struct.unpack_from("=i", raw, 12)[0]
        if count > 8 or len(raw) < 16 + 7 * count:
            raise ValueError
        signs = [raw[2:9], *(raw[16 + 7 * i : 23 + 7 * i] for i in range(count))]
        return ",".join(map(_show_call, signs))

    return read, show


_ROSE = struct.Struct("=H5s7s2xi7sx")


def _read_rose(text: str) -> Reading:
    sign, digits, *via = _parts(text, 2, 3)
    if len(digits) != 10 or not digits.isascii() or not digits.isdigit():
        raise ValueError(f"{as_typed(digits)} is no ROSE address of ten digits")
    relay = _call(via[0]) if via else b""
    number = number_of("AF_ROSE", 11) or 11
    return Reading(Sockaddr(_ROSE.pack(number, bytes.fromhex(digits), _call(sign), len(via), relay)))


def _show_rose(address: object) -> str:
    _, place, sign, count, relay = _ROSE.unpack(_raw(address, _ROSE.size)[: _ROSE.size])
    return ",".join((_show_call(sign), place.hex(), *([_show_call(relay)] if count else [])))


# ---- the rest


def _read_llc(text: str) -> Reading:
    """struct sockaddr_llc, linux/llc.h; ARPHRD_ETHER is 1."""
    mac, sap = _parts(text, 2, 2)
    number = number_of("AF_LLC", 26) or 26
    return Reading(Sockaddr(struct.pack("=HH3xB6s2x", number, 1, _number(sap, 0xFF, "SAP"), _mac(mac))))


def _show_llc(address: object) -> str:
    _, _, sap, mac = struct.unpack("=HH3xB6s2x", _raw(address, 16)[:16])
    return f"{mac.hex(':')},{sap:#x}"


def _read_pppox(text: str) -> Reading:
    """struct sockaddr_pppox, linux/if_pppox.h, packed: PPPoE (protocol 0) or PPTP (2)."""
    number = number_of("AF_PPPOX", 24) or 24
    if text.lower().startswith("pptp:"):
        host, call = _parts(text[5:], 2, 2)
        try:
            ip = socket.inet_pton(INET, host)
        except (OSError, ValueError) as error:
            raise ValueError(f"{as_typed(host)} is no IPv4 address") from error
        return Reading(Sockaddr(struct.pack("=HI2s4s18x", number, 2, _big(call, "call id"), ip)), STREAM, 2)
    device, session, mac = _parts(text, 3, 3)
    name = os.fsencode(_device(device))
    return Reading(Sockaddr(struct.pack("=HI2s6s16s", number, 0, _big(session, "session"), _mac(mac), name)), STREAM, 0)


def _big(text: str, what: str) -> bytes:
    return _number(text, 0xFFFF, what).to_bytes(2, "big")


def _show_pppox(address: object) -> str:
    _, kind, number, mac, name = struct.unpack("=HI2s6s16s", _raw(address, 30)[:30])
    session = int.from_bytes(number, "big")
    if kind == 2:
        return f"pptp:{socket.inet_ntoa(mac[:4])},{session}"
    return f"{os.fsdecode(name.rstrip(bytes(1)))},{session},{mac.hex(':')}"


def _read_phonet(text: str) -> Reading:
    """struct sockaddr_pn, linux/phonet.h: device, object, resource."""
    device, item, resource = (_number(part, 0xFF) for part in _parts(text, 3, 3))
    return Reading(Sockaddr(struct.pack("=HBBB11x", number_of("AF_PHONET", 35) or 35, item, device, resource)))


def _show_phonet(address: object) -> str:
    _, item, device, resource = struct.unpack("=HBBB11x", _raw(address, 16)[:16])
    return f"{device:#04x},{item:#04x},{resource:#04x}"


def _read_appletalk(text: str) -> Reading:
    """struct sockaddr_at, linux/atalk.h; NET.NODE:PORT as netatalk's nbplkup has it."""
    where, colon, port = text.rpartition(":")
    net, dot, node = where.partition(".")
    if not colon or not dot:
        raise ValueError("a network, a dot, a node, a colon and a port")
    numbers = _number(net, 0xFFFF, "network"), _number(node, 0xFF, "node"), _number(port, 0xFF, "port")
    family = struct.pack("=H", number_of("AF_APPLETALK", 5) or 5)
    return Reading(Sockaddr(family + struct.pack("!BxHB9x", numbers[2], numbers[0], numbers[1])))


def _show_appletalk(address: object) -> str:
    port, net, node = struct.unpack("!BxHB9x", _raw(address, 16)[2:16])
    return f"{net}.{node}:{port}"


def _read_ipx(text: str) -> Reading:
    """struct sockaddr_ipx, linux/ipx.h; NET.NODE:PORT in hexadecimal, as ipx_interface(8) and routers have it."""
    where, colon, port = text.rpartition(":")
    net, dot, node = where.partition(".")
    try:
        raw = bytes.fromhex(port.rjust(4, "0") + net.rjust(8, "0") + node.rjust(12, "0"))
    except ValueError:
        raw = b""
    if not (colon and dot and port and net and node) or len(raw) != 12:
        raise ValueError("a network, a dot, a node, a colon and a port, all hexadecimal")
    return Reading(Sockaddr(struct.pack("=H12s2x", number_of("AF_IPX", 4) or 4, raw)))


def _show_ipx(address: object) -> str:
    raw = struct.unpack("=H12s2x", _raw(address, 16)[:16])[1]
    return f"{raw[2:6].hex()}.{raw[6:].hex()}:{raw[:2].hex()}"


def _read_xdp(text: str) -> Reading:
    """struct sockaddr_xdp, linux/if_xdp.h: interface, queue, flags, the socket whose memory is shared."""
    device, queue, *rest = _parts(text, 2, 4)
    flags = _number(rest[0], 0xFFFF, "set of flags") if rest else 0
    shared = _number(rest[1], _UINT32, "descriptor") if len(rest) > 1 else 0
    number = number_of("AF_XDP", 44) or 44
    packed = struct.pack("=HHIII", number, flags, _index(device), _number(queue, _UINT32, "queue"), shared)
    return Reading(Sockaddr(packed))


def _show_xdp(address: object) -> str:
    _, flags, index, queue, shared = struct.unpack("=HHIII", _raw(address, 16)[:16])
    rest = f",{flags:#x},{shared}" if shared else f",{flags:#x}" if flags else ""
    return f"{_name_of(index)},{queue}{rest}"


def _read_ieee802154(text: str) -> Reading:
    """struct sockaddr_ieee802154, net/af_ieee802154.h of the kernel: a PAN and a short or a long address."""
    pan, node = _parts(text, 2, 2)
    long = not node[:1].isdigit() or ":" in node
    value = _mac(node, 8) if long else struct.pack("=H6x", _number(node, 0xFFFF, "short address"))
    kind, number = 3 if long else 2, number_of("AF_IEEE802154", 36) or 36
    return Reading(Sockaddr(struct.pack("=HxxiH8s2x", number, kind, _number(pan, 0xFFFF, "PAN"), value)))


def _show_ieee802154(address: object) -> str:
    _, kind, pan, value = struct.unpack("=HxxiH8s2x", _raw(address, 20)[:20])
    if kind == 3:
        return f"{pan:#06x},{value.hex(':')}"
    if kind == 2:
        return f"{pan:#06x},{struct.unpack_from('=H', value)[0]:#06x}"
    raise ValueError


def _read_atmpvc(text: str) -> Reading:
    """struct sockaddr_atmpvc, linux/atm.h; [ITF.]VPI.VCI as the ATM tools have it."""
    parts = text.split(".")
    if len(parts) == 2:
        parts.insert(0, "0")
    if len(parts) != 3:
        raise ValueError("[INTERFACE.]VPI.VCI")
    itf, vpi, vci = (_number(part, most) for part, most in zip(parts, (0x7FFF, 0x7FFF, 0x7FFFFFFF), strict=True))
    return Reading(Sockaddr(struct.pack("=HxxhhI", number_of("AF_ATMPVC", 8) or 8, itf, vpi, vci)))


def _show_atmpvc(address: object) -> str:
    return ".".join(map(str, struct.unpack("=HxxhhI", _raw(address, 12)[:12])[1:]))


def _read_x25(text: str) -> Reading:
    """struct sockaddr_x25, linux/x25.h: up to fifteen digits."""
    if not 0 < len(text) <= 15 or not text.isascii() or not text.isdigit():
        raise ValueError("one to fifteen digits")
    return Reading(Sockaddr(struct.pack("=H16s", number_of("AF_X25", 9) or 9, text.encode())))


def _show_x25(address: object) -> str:
    digits: bytes = struct.unpack("=H16s", _raw(address, 18)[:18])[1]
    return digits.partition(b"\0")[0].decode("ascii")


def _read_system(text: str) -> Reading:
    """A kernel control of macOS by name, or by its number and unit (sys/kern_control.h)."""
    if text[:1].isdigit():
        return Reading(tuple(_number(part, _UINT32) for part in _parts(text, 2, 2)), DGRAM, 2)
    if not text.isascii() or not text.isprintable() or not 0 < len(text) < 96:
        raise ValueError("a control's name, or ID,UNIT")
    return Reading(text, DGRAM, 2)


def _show_system(address: object) -> str:
    if isinstance(address, str):
        return _string(address)
    return ",".join(str(_integer(value)) for value in _tuple(address, 2))


def _read_nothing(text: str) -> Reading:
    if text:
        raise ValueError("its sockets have no addresses")
    return Reading((), RAW, 2)


def _read_kcm(text: str) -> Reading:
    raise ValueError("its sockets have no addresses: attach one to a TCP connection and lend it (--fileno)")


def _show_nothing(address: object) -> str:
    if address:
        raise ValueError
    return "(no address)"


ROWS: tuple[AddressFamily, ...] = (
    _row(
        "CAN",
        29,
        "IFACE | IFACE,RX_ID,TX_ID (ISOTP) | IFACE,NAME,PGN,ADDR (J1939, - for none)",
        ("can0", "can0,0x123,0x321", "can0,0x18DA00F1,0x18DAF100", "can0,-,0x12300,0x20"),
        _read_can,
        _show_can,
    ),
    _row(
        "NETLINK",
        16,
        "[PROTOCOL:]PORT_ID[,GROUPS] | PROTOCOL",
        ("ROUTE", "ROUTE:0,0x1", "0", "USERSOCK:4711"),
        _read_netlink,
        _show_netlink,
    ),
    _row(
        "PACKET",
        17,
        "IFACE[,ETHERTYPE[,MAC[,KIND[,HATYPE]]]]; any for every interface, ALL for every type",
        ("lo", "lo,IP", "eth0,0x88b5,ff:ff:ff:ff:ff:ff"),
        _read_packet,
        _show_packet,
    ),
    _row(
        "TIPC",
        30,
        "TYPE:INSTANCE | TYPE:LOWER-UPPER | PORT@NODE; each may end in ,SCOPE",
        ("18888:17", "18888:0-99", "2739@0x1001001"),
        _read_tipc,
        _show_tipc,
        STREAM,
    ),
    _row(
        "BLUETOOTH",
        31,
        "[l2cap:|rfcomm:]DEVICE,NUMBER | [sco:]DEVICE | hciN | mgmt; any for every device of this host",
        ("l2cap:01:23:45:67:89:AB,0x1001", "rfcomm:01:23:45:67:89:AB,5", "sco:01:23:45:67:89:AB", "hci0"),
        _read_bluetooth,
        _show_bluetooth,
    ),
    _row("ALG", 38, "KIND/NAME", ("hash/sha256", "hash/hmac(sha1)"), _read_alg, _show_alg),
    _row("QIPCRTR", 42, "NODE:PORT", ("1:5000",), _read_qipcrtr, _show_qipcrtr),
    _row("RDS", 21, "IPV4:PORT", ("127.0.0.1:4000",), _read_rds, _show_rds),
    _row("SMC", 43, "IPV4:PORT | [IPV6]:PORT", ("127.0.0.1:65432", "[::1]:65432"), _read_smc, _show_smc),
    _row("RXRPC", 33, "HOST:PORT,SERVICE", ("127.0.0.1:7001,5",), _read_rxrpc, _show_rxrpc),
    _row(
        "LLC", 26, "MAC,SAP; an interface stands for its MAC", ("00:1b:21:3c:9d:f8,0x44",), _read_llc, _show_llc, DGRAM
    ),
    _row(
        "PPPOX",
        24,
        "IFACE,SESSION,MAC (PPPoE) | pptp:IPV4,CALL",
        ("eth0,1,00:1b:21:3c:9d:f8", "pptp:192.0.2.1,7"),
        _read_pppox,
        _show_pppox,
    ),
    _row("PHONET", 35, "DEVICE,OBJECT,RESOURCE", ("0x10,0x00,0x20",), _read_phonet, _show_phonet, DGRAM, 1),
    _row("APPLETALK", 5, "NET.NODE:PORT", ("65280.2:201",), _read_appletalk, _show_appletalk, DGRAM),
    _row("AX25", 3, "CALL[-SSID][,DIGIPEATER]...", ("N0CALL-1", "N0CALL,RELAY-2"), *_ax25("AX25", 3), SEQPACKET),
    _row("NETROM", 6, "CALL[-SSID][,NODE]", ("N0CALL-1", "N0CALL,NODE-7"), *_ax25("NETROM", 6), SEQPACKET),
    _row("ROSE", 11, "CALL,ADDRESS[,DIGIPEATER]", ("N0CALL-1,2080123456",), _read_rose, _show_rose, SEQPACKET),
    _row(
        "IEEE802154",
        36,
        "PAN,SHORT | PAN,LONG; an interface stands for its long address",
        ("0xbeef,0x0001", "0xbeef,02:00:00:00:00:00:00:01"),
        _read_ieee802154,
        _show_ieee802154,
        DGRAM,
    ),
    _row("ATMPVC", 8, "[INTERFACE.]VPI.VCI", ("0.0.32",), _read_atmpvc, _show_atmpvc, DGRAM),
    _row("XDP", 44, "IFACE,QUEUE[,FLAGS[,SHARED_FD]]", ("lo,0",), _read_xdp, _show_xdp, RAW),
    _row("X25", 9, "DIGITS", ("2342345678",), _read_x25, _show_x25, SEQPACKET),
    _row("IPX", 4, "NET.NODE:PORT, hexadecimal", ("0000beef.001b213c9df8:0451",), _read_ipx, _show_ipx, DGRAM),
    _row(
        "NFC",
        39,
        "DEVICE,TARGET,PROTOCOL",
        ("0,1,4",),
        *_struct("=HxxIII", 39, _UINT32, _UINT32, _UINT32, name="NFC"),
        SEQPACKET,
    ),
    _row(
        "MCTP",
        45,
        "NET,EID,TYPE[,TAG]",
        ("1,8,1",),
        *_struct("=HxxIBBBx", 45, 0xFFFFFFFF, 0xFF, 0xFF, 0xFF, name="MCTP", least=3),
        DGRAM,
    ),
    _row(
        "ISDN",
        34,
        "DEVICE,CHANNEL[,SAPI,TEI]",
        ("0,1,0,0",),
        *_struct("=HBBBB", 34, 0xFF, 0xFF, 0xFF, 0xFF, name="ISDN", least=2),
        RAW,
    ),
    _row("KEY", 15, "none: its sockets have no addresses", (), _read_nothing, _show_nothing, default="(no address)"),
    _row("KCM", 41, "none: lend a socket that is attached (--fileno)", (), _read_kcm, _show_nothing, DGRAM),
    _row("SYSTEM", None, "CONTROL | ID,UNIT (macOS)", ("com.apple.net.utun_control",), _read_system, _show_system),
)
"""Adding a family is a row here; help, docs and tests walk the rows."""

BY_NUMBER = {row.number: row for row in reversed(ROWS) if row.number is not None}
