"""``sockkit inspect --pid PID --fileno N``: one socket of another process in full.

The socket is borrowed for as long as it takes to read its options and given back before anything else is done: while we hold it,
the FIN that its owner's close would send waits. Where we may not borrow it, /proc and sock_diag tell what they can.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from sockkit import machine, names, netns, procfs, sockopts, syscalls
from sockkit.commands import inspect as one
from sockkit.commands import listing
from sockkit.commands.probe import numbers
from sockkit.errors import Exit, SystemRefusal, UsageError, describe
from sockkit.events import Env, Report, Row, Section
from sockkit.machine import Listing, Query
from sockkit.sockdiag import LISTEN, HostSocket, Wanted
from sockkit.spec import SocketSpec
from sockkit.text import escape

if TYPE_CHECKING:
    from sockkit.commands.inspect import Inspection, InspectPlan

O_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
O_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)


class Other(NamedTuple):
    """What was seen of a socket of another process.

    Attributes:
        pid, fd, name: whose it is.
        inode: names the socket among those that are open.
        protocol: what kind the kernel calls it: ``TCPv6``; None where it would not say.
        flags: of the open file and the descriptor; None: not seen.
        seen: with its options, as far as we might borrow it; else None.
        refusal: why we might not.
        record: what the list of the host has of it; None: nothing.
        host: that list.
    """

    pid: int
    fd: int
    name: str
    inode: int
    protocol: str | None
    flags: int | None
    seen: Inspection | None
    refusal: OSError | None
    record: HostSocket | None
    host: Listing


def look(pid: int, fd: int, env: Env, options: str = "all") -> Other:
    """Look at a socket of another process. Nothing is read from it, nothing on it is changed.

    Raises:
        SystemRefusal: no such process, no such descriptor, no socket, or nothing of it is for us to see.
    """
    operation = f"inspect fd {fd} of process {pid}"
    check_fileno(fd)
    if not machine.LINUX:
        raise UsageError("only Linux shows the sockets of another process one by one", option="--pid")
    listing.check_process(pid)
    try:
        link = procfs.descriptor(pid, fd)
    except OSError as error:
        if procfs.ended(pid):
            raise SystemRefusal(operation, OSError(errno.ESRCH, os.strerror(errno.ESRCH))) from error
        if error.errno == errno.ENOENT:
            refusal = OSError(errno.EBADF, os.strerror(errno.EBADF))
            raise SystemRefusal(operation, refusal, hint=f"it has {_ranges(_descriptors(pid))}") from error
        raise SystemRefusal(operation, error, hint=listing.why_not(pid)) from error
    inode = procfs.socket_inode(link)
    if inode is None:
        refusal = OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
        raise SystemRefusal(operation, refusal, hint=f"it is {escape(link, backslash=False)}")
    import sockkit.commands.options  # noqa: F401  # loaded now, not while we hold the socket

    seen, refused = None, None
    try:
        with syscalls.borrowed(env, pid, fd) as sock:
            seen = one.inspect(SocketSpec(fileno=sock.fileno()), env, options=options, ours=False)
    except OSError as error:
        refused = error
        if error.errno in (errno.ESRCH, errno.EBADF, errno.ENOTSOCK):  # it was there a moment ago
            raise SystemRefusal(operation, error, hint="it was closed while we looked") from error
    protocol, flags = procfs.protocol_name(pid, fd), procfs.flags(pid, fd)
    with netns.inside(listing.network_of(pid)):
        found = machine.listing(env, Query(Wanted(inodes={inode}, details=True)))
    records = [record for record in found.sockets if record.inode == inode]
    # A listener of MPTCP is a TCP socket within one: the outer one is what the process has.
    record = max(records, key=lambda each: each.proto or 0) if records else None
    name = procfs.command(pid) or "?"
    return Other(pid, fd, name, inode, protocol, flags, seen, refused, record, found)


def check_fileno(fd: int) -> None:
    """Raises UsageError for a number that no descriptor can have."""
    if not 0 <= fd <= syscalls.LARGEST:
        raise UsageError(f"{fd} is no file descriptor: 0 to {syscalls.LARGEST} can be", option="--fileno")


def _descriptors(pid: int) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return []


def _ranges(numbers: list[int]) -> str:
    """``descriptors 0-2, 5``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found[:8])
    return f"descriptors {shown}{' …' if len(found) > 8 else ''}" if found else "no descriptors"


def run(plan: InspectPlan, env: Env) -> Exit:
    """Inspect and report.

    Raises:
        SystemRefusal: see ``look``.
    """
    fileno = plan.socket_spec().fileno
    assert plan.pid is not None and fileno is not None
    found = look(plan.pid, fileno, env, plan.shown or "all")
    env.observer(report(found, env.clock()))
    return Exit.OK


def of_each(env: Env, pid: int, found: Listing, options: str) -> tuple[list[Section], dict[str, object]]:
    """The options of every socket of a process, each borrowed for as long as they are read: for people, and by descriptor."""
    import sockkit.commands.options  # noqa: F401  # loaded now, not while we hold a socket

    sections, data = [], {}
    refusals: dict[str, tuple[int, OSError]] = {}
    for record in found.sockets:
        for holder in found.holders.get(record.inode, ()):
            if holder.pid != pid:
                continue
            try:
                with syscalls.borrowed(env, *holder) as sock:
                    seen = one.inspect(SocketSpec(fileno=sock.fileno()), env, options=options, ours=False)
            except OSError as error:
                text = describe(error)
                refusals[text] = refusals.get(text, (0, error))[0] + 1, error
                continue
            rows = tuple(one.option_rows(seen.options, seen.kernel.family or 0))
            if rows:
                title = f"fd {holder.fd}: {listing.kind(record)}"
                sections.append(Section(title, one.OPTION_HEADER, rows))
            data[str(holder.fd)] = one.report(seen, 0.0).data["options"]
    rows = tuple(
        Row((f"not visible: options of {count}", f"{text}; {remedy(error)}"), "changed")
        for text, (count, error) in refusals.items()
    )
    return sections + ([Section("", (), rows)] if rows else []), {"options_by_fd": data}


def report(found: Other, time: float) -> Report:
    """What was seen, for people and for programs."""
    seen, record, host = found.seen, found.record, found.host
    about: list[Row] = []
    family, type, proto = _identity(found)
    for label, space, number in (
        ("family", names.FAMILIES, family),
        ("type", names.TYPES, type),
        ("proto", names.protocols(family or 0), proto),
    ):
        if number is not None:
            about.append(Row((label, space.label(number))))
    if found.protocol is not None:
        about.append(Row(("kernel's name", found.protocol)))
    if record is not None and record.listed:
        state = machine.state_name(record)
        about += [Row(("state", state))] if state else []
    elif record is not None:
        about.append(Row(("state", "in no list of the kernel's: not bound yet")))
    local = (seen.local if seen else None) or (record.local if record else None)
    peer = (seen.peer if seen else None) or (record.peer if record else None)
    about += [Row(("local address", local or "none")), Row(("peer address", peer or "none: not connected"))]
    if record is not None and record.peer_inode:
        whose = {pid: f"{escape(name)}[{pid}] fd " for pid, name in host.names.items()}
        other = listing.holders_text(host.holders.get(record.peer_inode), whose)
        about.append(Row(("its other end", f"inode {record.peer_inode}" + (f", {other}" if other else ""))))
    if found.flags is not None:
        about.append(Row(("blocking", "no" if found.flags & O_NONBLOCK else "yes")))
        about.append(Row(("inheritable", "no" if found.flags & O_CLOEXEC else "yes")))
    about += _queues(found)
    if record is not None and record.timer is not None:
        about.append(Row(("timer", listing.timer_text(record))))
    about.append(Row(("held by", _held_by(found))))
    sections = [Section("", (), tuple(about))]
    if found.refusal is not None:
        sections.append(Section("", (), tuple(_not_visible(found))))
        if record is not None and record.info is not None:
            sections.append(_tcp_info(record.info))
    if seen is not None:
        sections += [each for each in one.report(seen, time).sections if each.title]
    title = f"fd {found.fd} of {escape(found.name)}[{found.pid}]: socket:[{found.inode}]"
    return Report(time, "inspect", title, _data(found), tuple(sections))


def _identity(found: Other) -> tuple[int | None, int | None, int | None]:
    """Family, type and protocol, from whatever knows them."""
    known = [tuple(found.seen.kernel)] if found.seen is not None else []
    known += [found.record[:3]] if found.record is not None else []
    known += [tuple(procfs.kind(found.protocol))] if found.protocol is not None else []
    family, type, proto = (next((each[at] for each in known if each[at] is not None), None) for at in range(3))
    return family, type, proto


def _queues(found: Other) -> list[Row]:
    seen, record = found.seen, found.record
    if record is not None and record.state == LISTEN and record.receive_queue is not None:
        waiting = f"{record.receive_queue} of {record.send_queue} wait for accept"
        return [
            Row(("accept queue", waiting), "changed" if record.receive_queue >= (record.send_queue or 0) > 0 else "")
        ]
    send = seen.send_queue if seen else record.send_queue if record else None
    receive = seen.receive_queue if seen else record.receive_queue if record else None
    rows = [] if send is None else [Row(("send queue", one.size(send)))]
    return rows + ([] if receive is None else [Row(("receive queue", one.size(receive)))])


def _held_by(found: Other) -> str:
    whose = {pid: f"{escape(name)}[{pid}] fd " for pid, name in found.host.names.items()}
    return listing.holders_text(found.host.holders.get(found.inode), whose, 8) or "nobody any more"


def _not_visible(found: Other) -> list[Row]:
    assert found.refusal is not None
    rows = [
        Row(("not visible", "its options: we may not borrow the descriptor"), "changed"),
        Row(("", f"pidfd_getfd: {describe(found.refusal)}"), "changed"),
    ]
    if found.record is None:
        rows.append(Row(("", "its addresses and state: it is in no list of this network namespace"), "changed"))
    return [*rows, Row(("to see it", remedy(found.refusal)), "changed")]


def remedy(refusal: OSError) -> str:
    """What would let us borrow a descriptor."""
    if refusal.errno == errno.ENOSYS:
        return "pidfd_getfd came with Linux 5.6, pidfd_open with 5.3"
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            scope = file.read().strip()
    except OSError:
        scope = "0"
    root = "root may: sudo sockkit …, or CAP_SYS_PTRACE"
    return root if scope == "0" else f"{root}; or sysctl kernel.yama.ptrace_scope=0 (it is {scope}) for the same user"


def _tcp_info(raw: bytes) -> Section:
    row = sockopts.find("TCP_INFO")
    value = row.decode(raw)
    parts = row.parts(value) if isinstance(value, dict) else []
    return Section("TCP_INFO, as sock_diag tells it", (), tuple(Row(part) for part in parts))


def _data(found: Other) -> dict[str, object]:
    family, type, proto = _identity(found)
    seen, record = found.seen, found.record
    whole = one.report(seen, 0.0).data if seen is not None else {}
    info = None
    if record is not None and record.info is not None:
        info = sockopts.find("TCP_INFO").decode(record.info)
    return {
        "pid": found.pid,
        "fileno": found.fd,
        "name": escape(found.name),
        "protocol_name": found.protocol,
        "kernel": numbers((family, type, proto), family or 0),
        "local": (seen.local if seen else None) or (record.local or None if record else None),
        "peer": (seen.peer if seen else None) or (record.peer or None if record else None),
        "blocking": None if found.flags is None else not found.flags & O_NONBLOCK,
        "inheritable": None if found.flags is None else not found.flags & O_CLOEXEC,
        "listening": whole.get("listening") if seen else (record.state == LISTEN if record else None),
        "send_queue": seen.send_queue if seen else (record.send_queue if record else None),
        "receive_queue": seen.receive_queue if seen else (record.receive_queue if record else None),
        "borrowed": seen is not None,
        "refusal": None if found.refusal is None else describe(found.refusal),
        "remedy": None if found.refusal is None else remedy(found.refusal),
        "socket": None if record is None else listing.item(record, found.host),
        "tcp_info": info,
        "options": whole.get("options"),
    }
