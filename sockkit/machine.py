"""What the host knows of its sockets: one question (``Query``), one answer (``Listing``), whatever the system.

Linux: sock_diag, with /proc/net where a kernel lacks it, and /proc for who holds what and for sockets that no list has.
Elsewhere: psutil. Nothing is read from a socket and nothing is changed on one.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from sockkit import names, procfs, sockdiag, syscalls
from sockkit.errors import UsageError
from sockkit.events import Env
from sockkit.procfs import Holder, Holders
from sockkit.sockdiag import CLOSE, Dump, HostSocket, Wanted
from sockkit.text import quoted

LINUX = sys.platform == "linux"

STATES = names.TCP_STATES
"""include/net/tcp_states.h. Every family borrows them; CLOSE of what never connects is told as UNCONN, as ss does."""
_STATE_WORDS = {
    "ESTAB": ("ESTABLISHED",),
    "UNCONN": ("CLOSE",),
    "CLOSED": ("CLOSE",),
    "LISTENING": ("LISTEN",),
    "ALL": tuple(STATES.values()),
    "CONNECTED": tuple(name for name in STATES.values() if name not in ("LISTEN", "CLOSE", "BOUND_INACTIVE")),
    "SYNCHRONIZED": tuple(
        name for name in STATES.values() if name not in ("LISTEN", "CLOSE", "SYN_SENT", "BOUND_INACTIVE")
    ),
    "BUCKET": ("SYN_RECV", "TIME_WAIT"),
    "BIG": tuple(name for name in STATES.values() if name not in ("SYN_RECV", "TIME_WAIT")),
}
"""Words for several states, or other words for one: those of ss(8)."""
TIMERS = {1: "retransmit", 2: "keepalive", 3: "time wait", 4: "persist"}
"""idiag_timer of net/ipv4/inet_diag.c; 1 is also what waits for a delayed acknowledgement of a loss probe."""


class Query(NamedTuple):
    """What is asked for.

    Attributes:
        wanted: which sockets.
        process: of this process only: its PID or its name.
        owners: find out who holds each, and what no list has; costs a look at every descriptor of the host.
    """

    wanted: Wanted = Wanted()
    process: str | None = None
    owners: bool = True


class Unseen(NamedTuple):
    """What could not be seen.

    Attributes:
        processes: processes whose descriptors we may not see.
        unowned: listed sockets that some process has, we cannot tell which.
        sockets: sockets that exist, but are in no list and in no process that we may see; None: not known.
        remedy: what would make it visible; empty if nothing is hidden.
    """

    processes: int = 0
    unowned: int = 0
    sockets: int | None = None
    remedy: str = ""


class Listing(NamedTuple):
    """The answer.

    Attributes:
        holders: who has it, by inode.
        names: of the processes in ``holders``; those that ended since are missing.
        peers: Unix sockets by inode: their own address, for the other end's sake.
        source: where it comes from: ``sock_diag``, ``psutil``.
    """

    sockets: list[HostSocket]
    holders: dict[int, list[Holder]]
    names: dict[int, str]
    peers: dict[int, str]
    unseen: Unseen
    source: str


def listing(env: Env, query: Query) -> Listing:
    """The sockets of this host that are asked for.

    Raises:
        UsageError: psutil is needed here and not installed.
        SystemRefusal: the system will not tell.
    """
    return _linux(env, query) if LINUX else portable(env, query)


def state_name(record: HostSocket) -> str:
    """``LISTEN``; empty for families without states."""
    if record.state is None:
        return ""
    if record.state == CLOSE and (record.type != sockdiag.STREAM or record.family == sockdiag.AF_UNIX):
        return "UNCONN"
    return STATES.get(record.state, str(record.state))


def parse_states(text: str) -> int:
    """States as typed, joined by commas, to a mask of ``1 << state``: ``listen``, ``ESTAB``, ``time-wait``, ``connected``.

    Raises:
        UsageError: no such state.
    """
    numbers = {name: number for number, name in STATES.items()}
    short = {name.replace("_", ""): name for name in numbers}
    mask = 0
    for word in text.split(","):
        typed = word.strip().upper().replace("-", "_")
        names = _STATE_WORDS.get(typed) or ((short[key],) if (key := typed.replace("_", "")) in short else ())
        if not names:
            known = ", ".join([*numbers, *(name for name in _STATE_WORDS if name not in numbers)])
            raise UsageError(f"{quoted(word)} is no state: {known} are", option="--state")
        for name in names:
            mask |= 1 << numbers[name]
    return mask


def name_of(pid: int) -> str | None:
    """The name of a process; None where it is gone or cannot be told."""
    return procfs.command(pid) if LINUX else None


def by_port(env: Env, port: int, *, states: int = sockdiag.ALL_STATES) -> Listing:
    """Who has a port: every socket that is bound to it here, connected or listening; not those whose peer has it.

    Raises:
        UsageError, SystemRefusal: see ``listing``.
    """
    found = listing(env, Query(Wanted(ports=frozenset({port}), states=states)))
    return found._replace(sockets=[record for record in found.sockets if record.port == port])


# ---- Linux


def _linux(env: Env, query: Query) -> Listing:
    wanted = query.wanted
    everything = query.owners and query.process is None and wanted == Wanted(details=wanted.details)
    # Who holds what comes first: what is in no list afterwards was in none while it was held.
    held = Holders({}, {}, 0)
    if query.process is not None:
        pids = _pids(query.process)
        held = procfs.holders(pids)
        mine = held.by_inode.keys()
        wanted = wanted._replace(inodes=set(mine) if wanted.inodes is None else set(mine & wanted.inodes))
        if query.owners:
            held = procfs.holders()
    elif query.owners:
        held = procfs.holders()
    # What is bound to nothing is told from what a filter left out by asking for that too.
    told = _listed(env, wanted._replace(states=sockdiag.ALL_STATES) if query.owners else wanted)
    found = told.sockets
    if query.owners:
        known = {record.inode for record in found}
        known.update(told.peers, (told.own,))
        strays = [inode for inode in held.by_inode if inode not in known]
        if wanted.states != sockdiag.ALL_STATES:
            found = [record for record in found if sockdiag.matches(record, wanted)]
        found += _unlisted(env, strays, held, wanted, told.families, anywhere=query.process is not None)
    unseen = _unseen(found, held, told.used if everything else None) if query.owners else Unseen()
    return Listing(found, held.by_inode, held.names, told.peers, unseen, told.source)


class _Told(NamedTuple):
    """What the kernel's lists told.

    Attributes:
        peers: Unix sockets by inode, wanted or not: their own address.
        families: those that have a list.
        own: the inode of the socket that we asked with; 0: none.
        used: how many other sockets there are; None: not known.
        source: where it comes from.
    """

    sockets: list[HostSocket]
    peers: dict[int, str]
    families: set[int]
    own: int
    used: int | None
    source: str


def _listed(env: Env, wanted: Wanted) -> _Told:
    """Ask the kernel for each kind that can be wanted."""
    try:
        diag = sockdiag.SockDiag(env)
    except OSError:
        told = _Told([], {}, set(), 0, procfs.sockets_used(), "/proc/net")
        return _dumps(told, wanted, procfs.listed)
    with diag:
        # Counted while ours is open, since the kernel takes its time to forget a closed one.
        used = procfs.sockets_used()
        told = _Told([], {}, set(), diag.inode, None if used is None else used - 1, "sock_diag")

        def ask(dump: Dump, asked: Wanted) -> list[HostSocket] | None:
            found: list[HostSocket] = []
            try:
                diag.dump(dump, asked, found)
            except sockdiag.NotListed:
                return procfs.listed(dump, asked)
            return found

        return _dumps(told, wanted, ask)


def _dumps(told: _Told, wanted: Wanted, ask: Callable[[Dump, Wanted], list[HostSocket] | None]) -> _Told:
    present = procfs.protocols()
    for dump in sockdiag.DUMPS:
        if present is not None and present.isdisjoint(dump.protocols):
            continue
        if not sockdiag.relevant(dump, wanted):
            told.families.add(dump.family)
            continue
        unix = dump.family == sockdiag.AF_UNIX
        # The other end of a Unix socket may be somebody else's: its name is wanted all the same.
        asked = Wanted() if unix else wanted
        found = ask(dump, asked)
        if found is None:
            continue
        told.families.add(dump.family)
        if unix:
            told.peers.update((record.inode, record.local) for record in found)
            if wanted != Wanted(details=wanted.details):
                found = [record for record in found if sockdiag.matches(record, wanted)]
        elif dump.family == sockdiag.AF_NETLINK:
            found = [record for record in found if record.inode != told.own]
        told.sockets.extend(found)
    return told


def _pids(process: str) -> list[int]:
    """The processes of that number or name.

    Raises:
        UsageError: there is none.
    """
    if process.isascii() and process.isdecimal():
        pid = int(process[:20])
        if not procfs.status(pid):
            raise UsageError(f"there is no process {process[:20]}", option="--process")
        return [pid]
    # comm holds 15 bytes: a longer name is looked for by its beginning.
    short = os.fsdecode(os.fsencode(process)[:15])
    found = [pid for pid in procfs.processes() if procfs.command(pid) == short]
    if not found:
        raise UsageError(
            f"there is no process named {quoted(process)}: a PID or the name as ps has it", option="--process"
        )
    return found


def _unlisted(
    env: Env, inodes: list[int], held: Holders, wanted: Wanted, families: set[int], *, anywhere: bool
) -> list[HostSocket]:
    """Sockets that only a descriptor tells of: not bound yet, of a family without a list, or (``anywhere``) elsewhere.

    Args:
        families: those that have a list: a socket of theirs that is in none is bound to nothing.
    """
    here = procfs.network()
    networks: dict[int, str | None] = {}
    unbound = wanted.ports is None and wanted.states >> CLOSE & 1
    found = []
    for inode in inodes:
        if wanted.inodes is not None and inode not in wanted.inodes:
            continue
        for holder in held.by_inode[inode]:
            pid = holder.pid
            if pid not in networks:
                networks[pid] = procfs.network(pid)
            if networks[pid] != here and not anywhere:
                continue  # of another network namespace, as far as can be told: not of this list
            name = procfs.protocol_name(*holder)
            if name is None:
                continue
            kind = procfs.kind(name)
            if kind.family in families and not unbound and networks[pid] == here:
                break
            if (
                (wanted.families is None or kind.family is None or kind.family in wanted.families)
                and (wanted.type is None or kind.type in (None, wanted.type))
                and (wanted.proto is None or kind.proto in (None, wanted.proto))
            ):
                record = describe(env, holder, inode, kind)
                if record is not None and sockdiag.matches(record, wanted):
                    found.append(record)
            break
    return found


def describe(env: Env, holder: Holder, inode: int, kind: procfs.Kind) -> HostSocket | None:
    """What a descriptor alone tells of a socket that no list has; None where it is closed by now."""
    family, type, proto = kind
    local = peer = ""
    port: int | None = None
    state: int | None = CLOSE
    with suppress(OSError):
        if procfs.socket_inode(procfs.descriptor(*holder)) != inode:
            return None
        with suppress(OSError), syscalls.borrowed(env, *holder) as sock:
            family, type, proto = syscalls.identity(env, sock)
            here, there = syscalls.local_address(env, sock), syscalls.peer_address(env, sock)
            local, peer = syscalls.named(sock.family, here), syscalls.named(sock.family, there)
            if local and isinstance(here, tuple) and sock.family in (*sockdiag.INTERNET, sockdiag.AF_VSOCK):
                port = int(here[1])
            if syscalls.listening(env, sock):
                state = sockdiag.LISTEN
            elif peer and type in (sockdiag.STREAM, sockdiag.SEQPACKET):
                state = sockdiag.ESTABLISHED
        return HostSocket(family, type, proto, state, None, None, local, peer, port, inode=inode, listed=False)
    return None


def _unseen(found: list[HostSocket], held: Holders, used: int | None) -> Unseen:
    holders = held.by_inode
    unowned = len([1 for record in found if record[10] and record[10] not in holders and record[6] != "kernel"])
    hidden = None
    if used is not None:
        # TIME_WAIT and half-open connections are no sockets yet or any more; the kernel's own are not counted.
        passing = (sockdiag.TIME_WAIT, sockdiag.SYN_RECV, sockdiag.NEW_SYN_RECV)
        seen = len([1 for record in found if record[3] not in passing and record[6] != "kernel"])
        hidden = max(0, used - seen)
    remedy = ""
    if held.hidden or (hidden and os.geteuid() != 0):
        remedy = "root sees all: sudo sockkit …, or the capabilities CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    elif hidden or unowned:
        remedy = (
            "look from the PID namespace of whoever has them, if they are not on their way in an SCM_RIGHTS message"
        )
    return Unseen(held.hidden, unowned, hidden, remedy)


# ---- elsewhere


def portable(env: Env, query: Query) -> Listing:
    """By psutil: TCP, UDP and Unix sockets with their processes; not every system tells all of it to everybody.

    Raises:
        UsageError: psutil is not installed.
    """
    try:
        import psutil
    except ImportError as error:
        raise UsageError(
            "listing the sockets of this system needs psutil", option="--all", hint="type: pip install 'sockkit[host]'"
        ) from error
    wanted = query.wanted
    numbers = {name: number for number, name in STATES.items()}
    rows: list[tuple[HostSocket, Holder | None]] = []
    hidden = 0
    try:
        rows += [_from_psutil(each, each.pid, numbers) for each in psutil.net_connections("all")]
    except psutil.AccessDenied:  # macOS tells only root of all at once
        rows.clear()
        for process in psutil.process_iter():
            try:
                rows += [_from_psutil(each, process.pid, numbers) for each in process.net_connections("all")]
            except (psutil.AccessDenied, psutil.ZombieProcess):
                hidden += 1
            except psutil.NoSuchProcess:
                continue
    holders: dict[int, list[Holder]] = {}
    names: dict[int, str] = {}
    found: list[HostSocket] = []
    of_process = query.process
    for number, (record, holder) in enumerate(rows, 1):
        if holder is not None and holder.pid not in names:
            with suppress(psutil.Error):
                names[holder.pid] = psutil.Process(holder.pid).name()
        if of_process is not None and (holder is None or of_process not in (str(holder.pid), names.get(holder.pid))):
            continue
        if sockdiag.matches(record, wanted):
            found.append(record._replace(inode=number))
            if holder is not None and query.owners:
                holders[number] = [holder]
    remedy = "an administrator sees all" if hidden else ""
    return Listing(found, holders, names, {}, Unseen(hidden, remedy=remedy), "psutil")


def _from_psutil(each: Any, pid: int | None, numbers: dict[str, int]) -> tuple[HostSocket, Holder | None]:
    family, type = int(each.family), int(each.type)
    ends, ports = [], []
    for end in (each.laddr, each.raddr):
        ends.append(syscalls.named(each.family, tuple(end) if isinstance(end, tuple) else end) if end else "")
        ports.append(int(end[1]) if isinstance(end, tuple) and len(end) > 1 else None)
    proto = 0 if each.family == getattr(socket, "AF_UNIX", None) else {1: sockdiag.TCP, 2: sockdiag.UDP}.get(type)
    state = numbers.get(str(each.status), CLOSE)  # psutil.CONN_NONE: it has no state
    record = HostSocket(family, type, proto, state, None, None, ends[0], ends[1], ports[0], ports[1])
    return record, None if pid is None else Holder(pid, each.fd)
