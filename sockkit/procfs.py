"""What Linux's /proc tells of sockets: who holds them, and lists of them where sock_diag has none.

Every process may end, and every descriptor be closed, between one look and the next: what is gone is skipped, what we
may not see is counted (proc(5)).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from sockkit.addresses import format_address
from sockkit.sockdiag import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_PACKET,
    AF_SMC,
    AF_TIPC,
    AF_UNIX,
    AF_VSOCK,
    AF_XDP,
    CLOSE,
    DCCP,
    DGRAM,
    LISTEN,
    MPTCP,
    RAW,
    SCTP,
    SEQPACKET,
    STREAM,
    TCP,
    UDP,
    UDPLITE,
    Dump,
    HostSocket,
    Wanted,
    matches,
    netlink_addresses,
    packet_address,
)

_LINK = "socket:["


class Holder(NamedTuple):
    """A descriptor of a process."""

    pid: int
    fd: int


class Holders(NamedTuple):
    """Who holds which socket.

    Attributes:
        by_inode: the descriptors of each socket.
        names: of the processes that have any.
        hidden: processes whose descriptors we may not see.
    """

    by_inode: dict[int, list[Holder]]
    names: dict[int, str]
    hidden: int


def processes() -> list[int]:
    """The processes of this host, or of what /proc shows of it."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def holders(pids: list[int] | None = None) -> Holders:
    """Who holds which socket: every descriptor of every process is looked at, or of ``pids`` alone."""
    found: dict[int, list[Holder]] = {}
    names: dict[int, str] = {}
    hidden = 0
    readlink, new, prefix, at = os.readlink, tuple.__new__, _LINK, len(_LINK)
    for pid in processes() if pids is None else pids:
        try:
            # Relative to the open folder: the way through /proc costs more than the link itself.
            folder = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            hidden += 1
            continue
        except OSError:
            continue
        some = False
        try:
            for fd in os.listdir(folder):
                try:
                    link = readlink(fd, dir_fd=folder)
                except OSError:
                    continue
                if link.startswith(prefix):
                    some = True
                    inode, holder = int(link[at:-1]), new(Holder, (pid, int(fd)))
                    held = found.get(inode)
                    if held is None:
                        found[inode] = [holder]
                    else:
                        held.append(holder)
        except OSError:  # it ended meanwhile
            pass
        finally:
            os.close(folder)
        if some:
            names[pid] = command(pid) or "?"
    return Holders(found, names, hidden)


def descriptor(pid: int, fd: int) -> str:
    """What a descriptor is open on, as /proc has it: ``socket:[123]``, ``pipe:[4]``, a path.

    Raises:
        OSError: ENOENT where the process or its descriptor is gone, EACCES where we may not see it.
    """
    return os.readlink(f"/proc/{pid}/fd/{fd}")


def socket_inode(link: str) -> int | None:
    """The number in ``socket:[123]``; None for anything else."""
    return int(link[len(_LINK) : -1]) if link.startswith(_LINK) else None


def command(pid: int) -> str | None:
    """The name of a process (comm: 15 bytes, and the process may choose them); None where it is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return os.fsdecode(file.read().removesuffix(b"\n"))
    except OSError:
        return None


def network(pid: int | str = "self") -> str | None:
    """The network namespace of a process, ``net:[4026531840]``; None where we may not see it."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status, which everybody may read: Name, State, Uid, Kthread …; empty where there is no such process."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="surrogateescape") as file:
            pairs = (line.partition(":") for line in file.read().split("\n"))
            return {name: value.strip() for name, _, value in pairs if value}
    except OSError:
        return {}


def ended(pid: int) -> bool:
    """Whether a process is no more, or a zombie: its descriptors are closed, and not everybody is told so."""
    return status(pid).get("State", "Z").startswith(("Z", "X"))


def flags(pid: int, fd: int) -> int | None:
    """The open file's flags (O_NONBLOCK …) with FD_CLOEXEC as O_CLOEXEC; None where they cannot be seen."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
            for line in file:
                if line.startswith("flags:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    return None


def protocols() -> frozenset[str] | None:
    """The kinds of sockets that can be made now, by the kernel's names; None where the list cannot be read."""
    try:
        with open("/proc/net/protocols", encoding="ascii") as file:
            return frozenset(line.split(None, 1)[0] for line in file)
    except OSError:
        return None


def sockets_used() -> int | None:
    """How many sockets there are in this network namespace, whoever has them (/proc/net/sockstat)."""
    try:
        with open("/proc/net/sockstat", encoding="ascii") as file:
            return int(file.readline().split()[2])
    except (OSError, LookupError, ValueError):
        return None


# ---- sockets that no list has


class Kind(NamedTuple):
    """Family, type and protocol; None where the name of it does not tell."""

    family: int | None
    type: int | None
    proto: int | None


_INTERNET = {
    "TCP": (STREAM, TCP),
    "UDP": (DGRAM, UDP),
    "UDP-Lite": (DGRAM, UDPLITE),
    "UDPLITE": (DGRAM, UDPLITE),
    "RAW": (RAW, None),
    "PING": (DGRAM, None),
    "MPTCP": (STREAM, MPTCP),
    "SCTP": (None, SCTP),
    "DCCP": (6, DCCP),
}
_KINDS: dict[str, Kind] = {
    **{name: Kind(AF_INET, *rest) for name, rest in _INTERNET.items()},
    **{f"{name}v6": Kind(AF_INET6, *rest) for name, rest in _INTERNET.items()},
    "UNIX": Kind(AF_UNIX, None, 0),
    "UNIX-STREAM": Kind(AF_UNIX, STREAM, 0),
    "NETLINK": Kind(AF_NETLINK, None, None),
    "PACKET": Kind(AF_PACKET, None, None),
    "AF_VSOCK": Kind(AF_VSOCK, None, 0),
    "XDP": Kind(AF_XDP, RAW, 0),
    "SMC": Kind(AF_SMC, STREAM, 0),
    "SMC6": Kind(AF_SMC, STREAM, 1),
    "TIPC": Kind(AF_TIPC, None, 0),
    "CAN_RAW": Kind(29, RAW, 1),
    "CAN_BCM": Kind(29, DGRAM, 2),
    "CAN_ISOTP": Kind(29, DGRAM, 6),
    "CAN_J1939": Kind(29, DGRAM, 7),
    "ALG": Kind(38, SEQPACKET, 0),
    "KEY": Kind(15, RAW, 2),
}
"""What the names of struct proto say (system.sockprotoname, /proc/net/protocols)."""


def protocol_name(pid: int, fd: int) -> str | None:
    """The kernel's name of a socket's kind: ``TCPv6``. It takes no right over the socket; None where it cannot be seen.

    Source: sockfs_xattr_get in net/socket.c.
    """
    try:
        return os.getxattr(f"/proc/{pid}/fd/{fd}", "system.sockprotoname").rstrip(b"\0").decode("ascii", "replace")
    except (OSError, AttributeError):
        return None


def kind(name: str) -> Kind:
    """Family, type and protocol of such a name."""
    return _KINDS.get(name, Kind(None, None, None))


# ---- lists in /proc/net, for kernels without sock_diag


def listed(dump: Dump, wanted: Wanted) -> list[HostSocket] | None:
    """The sockets of a kind from its file in /proc/net; None where there is no such file."""
    if not dump.fallback:
        return None
    found = []
    read = _READERS.get(dump.family, _internet)
    try:
        with open(f"/proc/net/{dump.fallback}", encoding="utf-8", errors="surrogateescape") as file:
            next(file, None)
            for line in file:
                with suppress(ValueError, LookupError):  # a line that is not as this kernel's lines are
                    record = read(dump, line.rstrip("\n"))
                    if matches(record, wanted):
                        found.append(record)
    except OSError:
        return None
    return found


def _endpoint(text: str) -> tuple[str, int, bool]:
    """``0100007F:1F90``, words in the host's order. Third: whether it is the address of nobody."""
    digits, _, port = text.partition(":")
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    raw = struct.pack(f"={len(words)}I", *words)
    family = AF_INET if len(words) == 1 else AF_INET6
    host = socket.inet_ntop(family, raw)
    address = (host, int(port, 16)) if family == AF_INET else (host, int(port, 16), 0, 0)
    return format_address(family, address), int(port, 16), not any(raw) and not int(port, 16)


def _internet(dump: Dump, line: str) -> HostSocket:
    fields = line.split()
    here, port, _ = _endpoint(fields[1])
    there, peer_port, nobody = _endpoint(fields[2])
    send, receive = (int(part, 16) for part in fields[4].split(":"))
    timer, when = (int(part, 16) for part in fields[5].split(":"))
    state, raw = int(fields[3], 16), dump.types[0] == RAW
    if raw:
        here, there = here.rpartition(":")[0], there.rpartition(":")[0]
    tick = os.sysconf("SC_CLK_TCK")
    return HostSocket(
        dump.family,
        dump.types[0],
        port if raw else dump.proto,
        state,
        receive,
        None if state == LISTEN else send,
        here,
        "" if nobody else there,
        None if raw else port,
        None if raw or nobody else peer_port,
        int(fields[9]),
        int(fields[7]),
        0,
        (timer, when * 1000 // tick, int(fields[6], 16)) if timer else None,
        drops=int(fields[12]) if len(fields) == 13 and dump.proto != TCP else None,
    )


def _unix(dump: Dump, line: str) -> HostSocket:
    fields = line.split(None, 7)
    flags, type, state, inode = int(fields[3], 16), int(fields[4], 16), int(fields[5], 16), int(fields[6])
    path = fields[7] if len(fields) > 7 else ""
    name: str | bytes = b"\0" + os.fsencode(path[1:]) if path[:1] == "@" else path
    told = LISTEN if flags & 0x10000 else {1: CLOSE, 2: 2, 3: 1}.get(state, CLOSE)
    local = format_address(AF_UNIX, name) if path else ""
    return HostSocket(AF_UNIX, type, 0, told, None, None, local, "", inode=inode)


def _packet(dump: Dump, line: str) -> HostSocket:
    _, _, type, number, interface, _, memory, uid, inode = line.split()
    local = packet_address(int(number, 16), int(interface))
    return HostSocket(
        AF_PACKET, int(type), int(number, 16), CLOSE, int(memory), None, local, "", inode=int(inode), uid=int(uid)
    )


def _netlink(dump: Dump, line: str) -> HostSocket:
    _, proto, port, _, receive, send, _, _, drops, inode = line.split()
    ends = netlink_addresses(int(port), 0, 0)
    queues = int(receive), int(send)
    return HostSocket(AF_NETLINK, None, int(proto), None, *queues, *ends, inode=int(inode), drops=int(drops))


_READERS: dict[int, Callable[[Dump, str], HostSocket]] = {
    AF_UNIX: _unix,
    AF_PACKET: _packet,
    AF_NETLINK: _netlink,
}
