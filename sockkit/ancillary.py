"""What the kernel says beside a message, in words: the flags and control messages of recvmsg(2).

One row of ``ROWS`` a control message. Pure; a notification of SCTP, which comes in a message's place, is read here too.

Sources: recvmsg(2), cmsg(3), ip(7), ipv6(7), udp(7), sctp(7), linux/sctp.h, RFC 6458.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable

from sockkit.errors import errno_name

MSG_NOTIFICATION = 0x8000
"""linux/sctp.h: the message is no data but what happened to an association."""
_MSG_FLAGS = ((0x80, "end of record"), (0x08, "control data cut"), (0x01, "out of band"))
"""MSG_EOR, MSG_CTRUNC, MSG_OOB."""
_CAN_FLAGS = ((0x04, "sent by this host"), (0x800, "sent by this socket"))
"""On CAN (raw.c of the kernel) MSG_DONTROUTE and MSG_CONFIRM say where a frame came from."""
AF_CAN = 29

Control = Iterable[tuple[int, int, bytes]]
"""(level, type, data), as Python's ``recvmsg`` gives them."""


def words(family: int, flags: int, control: Control) -> str | None:
    """Everything beside a message, or None if there is nothing."""
    known = _MSG_FLAGS + (_CAN_FLAGS if family == AF_CAN else ())
    said = [name for bit, name in known if flags & bit]
    for level, kind, data in control:
        reader = ROWS.get((level, kind))
        try:
            said.append(reader(data) if reader is not None else f"control {level}:{kind} {data.hex()}")
        except (struct.error, ValueError, LookupError, OSError, OverflowError):
            said.append(f"control {level}:{kind} {data.hex()}")
    return ", ".join(said) or None


def _pieces(data: bytes) -> str:
    return f"in pieces of {struct.unpack('=i', data)[0]} bytes (GRO)"


def _device(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def _to4(data: bytes) -> str:
    index, _, address = struct.unpack("=i4s4s", data)
    return f"to {socket.inet_ntoa(address)} on {_device(index)}"


def _to6(data: bytes) -> str:
    address, index = struct.unpack("=16si", data)
    return f"to {socket.inet_ntop(socket.AF_INET6, address)} on {_device(index)}"


def _stream(sid: int, ssn: int, flags: int, ppid: int, tsn: int) -> str:
    order = "unordered" if flags & 1 else f"number {ssn}"
    return f"stream {sid} {order}" + (f" protocol {ppid}" if ppid else "") + f" TSN {tsn}"


def _rcvinfo(data: bytes) -> str:
    """struct sctp_rcvinfo."""
    sid, ssn, flags, ppid, tsn, _, _, _ = struct.unpack("=HHHxxIIIIi", data)
    return _stream(sid, ssn, flags, socket.ntohl(ppid), tsn)


def _sndrcvinfo(data: bytes) -> str:
    """struct sctp_sndrcvinfo, the older form."""
    sid, ssn, flags, ppid, _, _, tsn, _, _ = struct.unpack("=HHHxxIIIIIi", data)
    return _stream(sid, ssn, flags, socket.ntohl(ppid), tsn)


def _when(layout: str, unit: float) -> Callable[[bytes], str]:
    def read(data: bytes) -> str:
        seconds, rest = struct.unpack(layout, data)
        return f"arrived at {seconds + rest * unit:.6f}"

    return read


ROWS: dict[tuple[int, int], Callable[[bytes], str]] = {
    (17, 104): _pieces,  # UDP_GRO
    (0, 8): _to4,  # IP_PKTINFO
    (0, 2): lambda data: f"ttl {struct.unpack('=i', data)[0]}",  # IP_TTL
    (0, 1): lambda data: f"tos {data[0]:#04x}",  # IP_TOS
    (41, 50): _to6,  # IPV6_PKTINFO
    (41, 52): lambda data: f"hops {struct.unpack('=i', data)[0]}",  # IPV6_HOPLIMIT
    (41, 67): lambda data: f"class {struct.unpack('=i', data)[0]:#04x}",  # IPV6_TCLASS
    (132, 3): _rcvinfo,  # SCTP_RCVINFO
    (132, 1): _sndrcvinfo,  # SCTP_SNDRCV
    (1, 2): lambda data: "from pid {}, uid {}, gid {}".format(*struct.unpack("=3i", data)),  # SCM_CREDENTIALS
    (1, 29): _when("@ll", 1e-6),  # SO_TIMESTAMP
    (1, 35): _when("@ll", 1e-9),  # SO_TIMESTAMPNS
    (1, 40): lambda data: f"{struct.unpack('=I', data)[0]} dropped so far",  # SO_RXQ_OVFL
}
"""Adding a control message is a row here."""

_EVENTS = {
    0x8001: "association",
    0x8002: "peer address",
    0x8003: "send failed",
    0x8004: "remote error",
    0x8005: "shutdown by the peer",
    0x8006: "partial delivery",
    0x8007: "adaptation",
    0x8008: "authentication",
    0x8009: "nothing left to send",
    0x800A: "streams reset",
    0x800B: "association reset",
    0x800C: "streams added",
    0x800D: "send failed",
}
_ASSOCIATION = ("up", "lost", "restarted", "shut down", "could not be made")
_PATH = ("available", "unreachable", "removed", "added", "made primary", "confirmed", "potentially failed")


def notification(message: bytes) -> str:
    """union sctp_notification (linux/sctp.h) in words."""
    kind = struct.unpack_from("=H", message)[0] if len(message) >= 2 else 0
    text = _EVENTS.get(kind, f"event {kind:#x}")
    try:
        if kind == 0x8001:
            state, error, out, into, number = struct.unpack_from("=HHHHi", message, 8)
            text += f" {number} {_ASSOCIATION[state]}, {out} streams out, {into} in"
            if error:
                text += f", error {errno_name(error) or error}"
        elif kind == 0x8002:
            text += f" {_PATH[struct.unpack_from('=i', message, 8 + 128)[0]]}"
    except (struct.error, LookupError):
        pass
    return f"SCTP: {text}"
