"""``sockkit inspect --all`` and ``--pid PID``: every socket of the host, or of one process, a line each."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from sockkit import machine, names, netns, procfs
from sockkit.errors import Exit, SystemRefusal, UsageError
from sockkit.events import Env, Items, Report, Row, Section
from sockkit.machine import Listing, Query, Unseen
from sockkit.procfs import Holder
from sockkit.sockdiag import AF_UNIX, ALL_STATES, INTERNET, LISTEN, TIME_WAIT, HostSocket, Wanted
from sockkit.spec import PORT
from sockkit.text import escape

if TYPE_CHECKING:
    from sockkit.commands.inspect import InspectPlan

HEADER = ("socket", "state", "recv-q", "send-q", "local", "peer", "process")
LARGEST_PID = 2**22
"""PID_MAX_LIMIT, include/linux/threads.h."""


def query(plan: InspectPlan) -> Query:
    """What the filters of the command line ask for.

    Raises:
        UsageError: a filter that cannot be.
    """
    spec = plan.socket_spec()
    type = None if spec.type is None else names.TYPES.parts(spec.type)[0]
    states = ALL_STATES if plan.state is None else machine.parse_states(plan.state)
    port = asked_port(plan.address) if plan.address else plan.port
    ports = None if port is None else frozenset({port})
    families = None if spec.family is None else frozenset({spec.family})
    if families is None and spec.proto is not None:
        families = INTERNET  # protocols are numbered within their family
    process = plan.process if plan.pid is None else str(plan.pid)
    return Query(Wanted(families, type, spec.proto, states, ports), process, not plan.no_owners)


def asked_port(words: Sequence[str]) -> int:
    """The port of ``inspect :8080``.

    Raises:
        UsageError: it is none.
    """
    try:
        port = PORT.parse(words[0].removeprefix(":"))
    except UsageError as error:
        raise UsageError(str(error), option="ADDRESS", hint="type: sockkit inspect :PORT") from error
    assert isinstance(port, int)
    return port


def run(plan: InspectPlan, env: Env) -> Exit:
    """List and report.

    Raises:
        UsageError: options that contradict each other. SystemRefusal: the system will not tell.
    """
    asked = query(plan)
    if plan.pid is not None:
        check_process(plan.pid)
    elif plan.shown is not None:
        raise UsageError("a list has no options of sockets; --pid PID has, and so has one socket", option="--options")
    # Nothing here is garbage before the end, and the collector would look through all of it time and again: with 20,000
    # sockets that took 60 of 300 ms.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with netns.inside(plan.netns or network_of(plan.pid)):
            found = machine.listing(env, asked)
            if plan.address:  # those who have it, not those who are connected to one like it elsewhere
                ours = [record for record in found.sockets if record.port in (asked.wanted.ports or ())]
                found = found._replace(sockets=ours)
            told = report(found, env.clock(), of=plan.pid)
            if plan.pid is not None and plan.shown is not None:
                from sockkit.commands import other

                sections, data = other.of_each(env, plan.pid, found, plan.shown)
                told = told._replace(sections=(*told.sections, *sections), data={**told.data, **data})
            env.observer(told)
            if plan.address and not found.sockets:
                return Exit.FAILED
    finally:
        if collecting:
            gc.enable()
    return Exit.OK


def network_of(pid: int | None) -> str | None:
    """Where a process's sockets are listed: its own network namespace, if that is another one and we may enter it."""
    if pid is None or not machine.LINUX or procfs.network(pid) in (None, procfs.network()):
        return None
    try:
        with netns.inside(str(pid)):
            return str(pid)
    except (SystemRefusal, UsageError):
        return None


def check_process(pid: int) -> None:
    """Say at once why a process has nothing to show.

    Raises:
        SystemRefusal: it is gone, or its descriptors are not for us to see.
    """
    import errno
    import os

    operation = f"inspect process {pid}"
    if not machine.LINUX:
        return
    status = procfs.status(pid)
    if not status:
        raise SystemRefusal(operation, ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)))
    try:
        os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError as error:
        raise SystemRefusal(operation, ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))) from error
    except PermissionError as error:
        if not procfs.ended(pid):
            raise SystemRefusal(operation, error, hint=why_not(pid)) from error


def why_not(pid: int) -> str:
    """Why a process is not for us to look into, and what would change that."""
    import os

    uid = procfs.status(pid).get("Uid", "").split()[:1]
    if uid and uid[0] != str(os.geteuid()):
        return f"it runs as user {uid[0]}, we as {os.geteuid()}: its owner and root may look: sudo sockkit …"
    return "it takes the rights that a debugger has: sudo sockkit …, or CAP_SYS_PTRACE"


# ---- for people


_labels: dict[tuple[int | None, ...], tuple[str, str]] = {}


def kind(record: HostSocket) -> str:
    """A socket's family, type and protocol in a word or two: ``tcp``, ``udp6``, ``unix stream``, ``netlink route``."""
    return _label(record)[0]


def _label(record: HostSocket) -> tuple[str, str]:
    """Kind and state, which most sockets of a host share."""
    key = record[:4]
    found = _labels.get(key)
    if found is None:
        found = _labels[key] = _kind(*key[:3]), machine.state_name(record)
    return found


def _short(space: names.Space, number: int | None) -> str:
    name = None if number is None else space.name(number)
    return name.partition("_")[2].lower() if name else "?" if number is None else str(number)


def _kind(family: int | None, type: int | None, proto: int | None) -> str:
    if family is None:
        return "?"
    shown = _short(names.FAMILIES, family)
    style = "" if type is None else _short(names.TYPES, type)
    protocol = _short(names.protocols(family), proto) if proto else ""
    if shown in ("inet", "inet6"):
        version = "6" if shown == "inet6" else ""
        if style == "raw":
            return f"raw{version} {protocol}".rstrip()
        return f"{protocol or style or 'inet'}{version}"
    if shown == "netlink":
        return f"netlink {_short(names.protocols(family), proto)}"
    if shown == "packet":
        return f"packet {style}"
    return " ".join(word for word in (shown, style, protocol) if word)


def holders_text(held: list[Holder] | None, whose: dict[int, str], limit: int = 3) -> str:
    """``nginx[99] fd 6, nginx[100] fd 6``. ``whose`` has what stands before the number, by process."""
    if not held:
        return ""
    if len(held) == 1:
        pid, fd = held[0]
        return f"{whose[pid]}{fd}"
    shown = ", ".join([f"{whose[pid]}{fd}" for pid, fd in held[:limit]])
    return shown if len(held) <= limit else f"{shown}, {len(held) - limit} more"


def timer_text(record: HostSocket) -> str:
    """``retransmit 0.2 s, 3 times``; empty where none runs."""
    if record.timer is None:
        return ""
    what, left, again = record.timer
    seconds = f"{left / 1000:.0f} s" if left >= 100_000 else f"{left / 1000:.3g} s"
    if record.state == TIME_WAIT:
        return f"{seconds} left"
    times = "" if not again else f", {again} time{'' if again == 1 else 's'}"
    return f"{machine.TIMERS.get(what, 'timer')} {seconds}{times}"


def rows(found: Listing, of: int | None = None) -> Iterator[Row]:
    """One row a socket; for one process (``of``) one a descriptor, its number first."""
    holders, known, peers, new = found.holders, found.names, found.peers, tuple.__new__
    whose = {pid: f"{escape(name)}[{pid}] fd " for pid, name in known.items()}
    for record in found.sockets:
        shown, state = _labels.get(record[:4]) or _label(record)
        _, _, _, _, receive, send, local, peer, _, _, inode, _, _, timer, peer_inode, _, _, listed = record
        if timer is not None:
            state = f"{state} ({timer_text(record)})"
        elif not listed and not local:
            state = "unbound"
        if peer_inode:
            peer = peers.get(peer_inode) or f"inode {peer_inode}"
            other = holders_text(holders.get(peer_inode), whose, 1)
            if other:
                peer = f"{peer} = {other}"
        if not local and listed and record.family == AF_UNIX:
            local = f"inode {inode}"
        held = holders.get(inode) if inode else None
        cells = (shown, state, _number(receive), _number(send), local, peer)
        mark = "good" if record.state == LISTEN else "faint" if not inode else ""
        if of is None:
            yield new(Row, ((*cells, holders_text(held, whose) if held else ""), mark, ()))
        else:
            for pid, fd in held or ():
                if pid == of:
                    yield new(Row, ((str(fd), *cells), mark, ()))


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def report(found: Listing, time: float, *, of: int | None = None) -> Report:
    """The list, for people and for programs."""
    count = len(found.sockets)
    sections = []
    if count:
        if of is None:
            sections.append(Section("", HEADER, Items(lambda: rows(found), count)))
        else:
            sections.append(Section("", ("fd", *HEADER[:-1]), Items(lambda: rows(found, of), count)))
    sections.append(Section("", (), tuple(_summary(found, of))))
    title = "" if of is None else f"sockets of {escape(found.names.get(of) or machine.name_of(of) or '?')}[{of}]"
    data: dict[str, object] = {
        "source": found.source,
        "count": count,
        "not_visible": found.unseen._asdict(),
        "sockets": Items(lambda: items(found), count),
    }
    if of is not None:
        data = {"pid": of, **data}
    return Report(time, "inspect", title, data, tuple(sections))


def _summary(found: Listing, of: int | None) -> Iterator[Row]:
    count = len(found.sockets)
    states: dict[str, int] = {}
    for key, number in Counter(map(itemgetter(0, 1, 2, 3), found.sockets)).items():
        family, type, proto, state = key
        name = " ".join(_label(HostSocket(family, type, proto, state, None, None, "", ""))).rstrip()
        states[name] = states.get(name, 0) + number
    most = sorted(states.items(), key=lambda pair: -pair[1])
    text = ", ".join(f"{number} {name}" for name, number in most[:4])
    rest = count - sum(number for _, number in most[:4])
    yield Row(("total", f"{count}" + (f": {text}" if count else "") + (f", {rest} others" if rest else "")))
    if not count and of is not None and machine.LINUX:
        status = procfs.status(of)
        if status.get("Kthread") == "1":
            yield Row(("why", "it is a thread of the kernel, which has no descriptors"))
        elif status.get("State", "").startswith("Z"):
            yield Row(("why", "it is a zombie: it has ended, and its descriptors are closed"))
        elif not status:
            yield Row(("why", "it is gone"))
    for number, line in enumerate(unseen_lines(found.unseen)):
        yield Row(("" if number else "not visible", line), "changed")
    if found.unseen.remedy:
        yield Row(("to see it", found.unseen.remedy), "changed")


def _count(number: int, noun: str, ending: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else ending}"


def unseen_lines(unseen: Unseen) -> Iterator[str]:
    """What could not be seen, in words."""
    if unseen.sockets:
        yield f"{_count(unseen.sockets, 'more socket')} that no list has, held by processes that we may not see"
    if unseen.processes:
        yield f"the descriptors of {_count(unseen.processes, 'process', 'es')}"
    if unseen.unowned:
        yield f"who holds {_count(unseen.unowned, 'socket')} of these"


# ---- for programs

_named: dict[tuple[str, int | None, int | None], str | int | None] = {}


def _name(space: names.Space, number: int | None, family: int | None = None) -> str | int | None:
    key = (space.option, number, family)
    if key not in _named:
        _named[key] = None if number is None else (space.name(number) or number)
    return _named[key]


def items(found: Listing) -> Iterator[dict[str, object]]:
    """One object a socket (docs/json.md)."""
    for record in found.sockets:
        yield item(record, found)


def item(record: HostSocket, found: Listing) -> dict[str, object]:
    """A socket as JSON has it."""
    listener = record.state == LISTEN
    timer = record.timer
    return {
        "family": _name(names.FAMILIES, record.family),
        "type": _name(names.TYPES, record.type),
        "proto": _name(names.protocols(record.family or 0), record.proto, record.family),
        "state": machine.state_name(record) or None,
        "local": record.local or None,
        "peer": record.peer or found.peers.get(record.peer_inode) or None,
        "port": record.port,
        "peer_port": record.peer_port,
        "receive_queue": None if listener else record.receive_queue,
        "send_queue": None if listener else record.send_queue,
        "accept_queue": record.receive_queue if listener else None,
        "backlog": record.send_queue if listener else None,
        "drops": record.drops,
        "timer": None
        if timer is None
        else {"kind": machine.TIMERS.get(timer[0]), "seconds": timer[1] / 1000, "again": timer[2]},
        "inode": record.inode or None,
        "cookie": record.cookie or None,
        "uid": record.uid,
        "owners": _owners(record.inode, found),
        "peer_inode": record.peer_inode or None,
        "peer_owners": _owners(record.peer_inode, found),
        "listed": record.listed,
    }


def _owners(inode: int, found: Listing) -> list[dict[str, object]]:
    held = found.holders.get(inode) if inode else None
    return [{"pid": pid, "fd": fd, "name": _text(found.names.get(pid))} for pid, fd in held or ()]


def _text(name: str | None) -> str | None:
    return None if name is None else escape(name)
