"""``sockkit connect -z`` of several ports, or of one over UDP: which are open, closed, filtered. Loaded only when that is asked for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from sockkit import addresses, names, ports, scanning, syscalls
from sockkit.commands.connect import Source, parse_source
from sockkit.commands.endpoint import apply_settings, creation_hint, hint, resolve, timed_out
from sockkit.dial import CONNECT_TIMEOUT
from sockkit.errors import Exit, Signalled, SystemRefusal, UsageError, errno_name
from sockkit.events import Env, Failed, Items, Level, Note, Report, Row, Section
from sockkit.loop import Loop
from sockkit.netns import inside
from sockkit.resolve import Resolved
from sockkit.scanning import CLOSED, FILTERED, OPEN, PARALLEL, SILENT, STATES, TIMEOUT, TRIES, UNASKED, Answer
from sockkit.semantics import semantics
from sockkit.spec import SocketSpec, options
from sockkit.text import quoted

if TYPE_CHECKING:
    from sockkit.commands.connect import ConnectPlan

MEANT = frozenset(
    (
        *("family", "type", "proto", "ipv4", "ipv6", "udp", "numeric", "settings", "source", "source_port"),
        *("interface", "netns"),
        *("connect_timeout", "wait", "zero", "random", "parallel", "rate", "tries", "seed"),
        *("quiet", "verbose", "json", "outputs", "force", "time", "code"),
    )
)
"""Options that mean something for a scan. Any other would be for a conversation, and there is none."""
HEADER = ("port", "state", "service", "errno", "ms")
FEW = 25
"""Ports with one answer that are listed one by one; more of them are counted, unless they are open or ``-v`` asks for all."""
LONG = 200
"""Rows of a list that is too long for a table."""
MARKS = {OPEN: "good", CLOSED: "faint", FILTERED: "changed", SILENT: "changed"}
UDP = frozenset((None, 0, 17, 136))
"""Protocols of datagrams that have ports: UDP and UDP-Lite."""


class Host(NamedTuple):
    """Whose ports are asked.

    Attributes:
        name: as it was typed, if that is a name.
        resolved: its address.
        others: addresses that the name has too.
        protocol: ``tcp``, ``udp``, ``sctp``: whose services are named.
    """

    name: str | None
    resolved: Resolved
    others: tuple[str, ...]
    protocol: str

    def address(self, port: int) -> tuple[Any, ...]:
        """The sockaddr of one of its ports."""
        host, _, *more = self.resolved.address
        return (host, port, *more)

    @property
    def number(self) -> str:
        """Its address without a port."""
        return without_port(self.resolved)


def without_port(resolved: Resolved) -> str:
    """``127.0.0.1``, ``fe80::1%eth0``."""
    return addresses.format_address(*resolved).rpartition(":")[0].strip("[]")


def is_udp(spec: SocketSpec) -> bool:
    """Whether such a socket asks by datagrams whether somebody is there."""
    kind = syscalls.base_type(spec.type)
    return spec.family in syscalls.INTERNET and kind == socket.SOCK_DGRAM and spec.proto in UDP


def run(plan: ConnectPlan, env: Env) -> Exit:
    """Scan and report: 0 if a port is open, else 1.

    Raises:
        UsageError: what the options or PORTS ask for cannot be. SystemRefusal: no socket can be made, no source be bound.
        Signalled: a signal ended it, after what was found was told.
    """
    check(plan)
    host = ports.split(plan.address)[0]
    if "/" in host:
        text = f"{quoted(host)} is no host: one is asked, and no default reaches beyond it"
        raise UsageError(text, option="ADDRESS", hint="a loop of the shell asks several")
    target = plan.target(ports.numbered(plan.address, 1))
    spec = plan.spec_for(target.family or socket.AF_INET, target)
    protocol = _protocol(plan, spec)
    if plan.netns is not None or plan.interface is not None:
        from sockkit.commands import place

        place.check(plan, spec.family)
    asked = ports.parse(ports.split(plan.address)[1], protocol)
    source = parse_source(plan, target)
    if plan.source_port is not None and len(asked) > 1:
        raise UsageError("one source port cannot ask several ports at once: leave -p out", option="-p")
    if plan.code:
        from sockkit.commands import code

        code.tell(env, "connect", code.scan(plan, target, asked, _wait(plan, TIMEOUT)))
        return Exit.OK
    if plan.random:
        import random

        asked = tuple(random.Random(plan.seed).sample(asked, len(asked)))
    elif plan.seed is not None:
        raise UsageError("a seed is for --random", option="--seed")
    with Loop(env) as loop:
        there = _host(plan, loop, target, spec, protocol, source)
        if there is None:
            return Exit.FAILED
        begun = env.clock()
        found = _Run(plan, loop, there, spec, source, asked)
        with inside(plan.netns):
            found.go()
        env.observer(report(found, env.clock() - begun))
        if found.scan.error is not None:
            error = found.scan.error
            env.observer(
                Failed(env.clock(), 0, found.doing, error, "the scan was given up: it says nothing of the ports")
            )
        if loop.signal is not None:
            raise Signalled(loop.signal)
    return Exit.OK if found.scan.open and found.complete else Exit.FAILED


def check(plan: ConnectPlan) -> None:
    """Raises UsageError for an option that means nothing here, or a number that allows no scan."""
    for row in options(type(plan)):
        if row.field not in MEANT and getattr(plan, row.field) != row.default:
            flag = row.names[0]
            raise UsageError("a scan only asks which ports are open: leave it out", option=flag)
    for setting in plan.parsed_settings():
        if setting.row.moment.name == "CONNECTED":
            text = f"{setting.row.name} is for a connection, and a scan keeps none"
            raise UsageError(text, option="--set")


def _protocol(plan: ConnectPlan, spec: SocketSpec) -> str:
    """Whose ports these are. Raises UsageError where there are none."""
    family = 2 if spec.family is None else spec.family
    if family not in syscalls.INTERNET:
        raise UsageError(f"{names.FAMILIES.label(family)} has no lists of ports: IPv4 and IPv6 have", option="PORTS")
    if is_udp(spec):
        return "udp"
    kind = syscalls.base_type(spec.type)
    if plan.tries is not None:
        raise UsageError(
            "only datagrams (-u) are sent several times: the kernel does so for the others", option="--tries"
        )
    if not semantics(family, kind, spec.proto).connections or plan.portless():
        raise UsageError("such a socket has no ports: leave --type or --proto out", option="PORTS")
    return "sctp" if spec.proto == 132 else "tcp"


def _wait(plan: ConnectPlan, default: float) -> float:
    wait = plan.connect_timeout if plan.connect_timeout is not None else plan.wait
    if wait == 0:
        raise UsageError("a timeout of 0 seconds allows no answer: give more", option="--connect-timeout")
    return default if wait is None else wait


def _host(
    plan: ConnectPlan, loop: Loop, target: addresses.Target, spec: SocketSpec, protocol: str, source: Source
) -> Host | None:
    """The first of its addresses, in the resolver's order, that the source can be bound for; None: it has none, which was told."""
    env, wait = loop.env, _wait(plan, CONNECT_TIMEOUT)
    deadline = loop.later(wait, loop.stop)
    try:
        found = resolve(loop, target, spec, numeric=plan.numeric)
    except (OSError, UnicodeError, ValueError) as refusal:
        error = timed_out(wait) if isinstance(refusal, TimeoutError) else refusal
        tip = "-n asks no name server" if plan.numeric else None
        env.observer(Failed(env.clock(), 0, f"look up {target.host}", error, tip))
        return None
    deadline.cancel()
    family = source.target.family if source.target is not None else None
    first = next((row for row in found if row.family == family), found[0])
    others = tuple(without_port(row) for row in found if row is not first)
    return Host(target.host, first, others, protocol)


class _Run:
    """One scan of the command.

    Attributes:
        scan: who asks.
        doing: what is being done for a socket, in words, should it be refused.
        complete: every port has its answer.
    """

    def __init__(
        self, plan: ConnectPlan, loop: Loop, host: Host, spec: SocketSpec, source: Source, asked: tuple[int, ...]
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.host = host
        self.doing = ""
        self.env = loop.env
        family = host.resolved.family
        base = syscalls.base_type(spec.type)
        self._spec = SocketSpec(family, base, spec.proto)
        self._settings = plan.parsed_settings()
        self._local = source.address(family, base)
        self._plain = not self._settings and self._local is None
        self._new = syscalls.maker(loop.env, self._spec, plain=self._plain)
        self.timeout = _wait(plan, TIMEOUT)
        self.asked = asked
        wishes = scanning.Wishes(self.timeout, self._parallel(), plan.rate, plan.tries or TRIES)
        kind = scanning.DatagramScan if is_udp(spec._replace(family=family)) else scanning.Scan
        self.scan = kind(loop, asked, self._make, host.address, wishes, loop.stop)

    def _parallel(self) -> int:
        """As many as were asked for, or as there are descriptors."""
        wanted = min(self.plan.parallel or PARALLEL, len(self.asked))
        room = syscalls.descriptors(self.env, wanted + scanning.SPARE) - scanning.SPARE
        if room < wanted:
            text = f"no more than {max(room, 1)} ports are asked at once: RLIMIT_NOFILE allows so many descriptors"
            self.env.observer(Note(self.env.clock(), 0, Level.WARNING, text))
        return max(min(wanted, room), 1)

    def go(self) -> None:
        """Ask until all have answered, or something ends it.

        Raises:
            SystemRefusal: the first socket cannot be made.
        """
        try:
            self.scan.start()
            self.loop.run()
        finally:
            self.scan.cancel()
        error = self.scan.error
        if error is not None and not self.scan.findings:
            raise SystemRefusal(self.doing, error, hint=self._tip(error)) from error

    @property
    def complete(self) -> bool:
        """See the class."""
        return self.scan.done

    def _tip(self, error: OSError) -> str | None:
        if self.doing.startswith("bind"):
            return hint("bind", error, self._spec.family, self._spec.type, self._local)
        return creation_hint(self._spec, error)

    def _make(self) -> socket.socket:
        env = self.env
        self.doing = "make a socket"
        sock = self._new()
        if self._plain:
            return sock
        try:
            if self._settings:
                apply_settings(env, sock, self._settings, "BEFORE_BIND")
            if self._local is not None:
                self.doing = f"bind to {addresses.format_address(sock.family, self._local)}"
                syscalls.bind(env, sock, self._local)
            if self._settings:
                apply_settings(env, sock, self._settings, "BEFORE_CONNECT", "ANY")
                # What came of each is told once, not for every port.
                observer = self.loop.env.observer
                self.env = env._replace(observer=lambda event: None if isinstance(event, Note) else observer(event))
        except BaseException:
            syscalls.close(env, sock)
            raise
        return sock


# ---- the report


def report(found: _Run, seconds: float) -> Report:
    """What was found: for people, and whole, for programs."""
    host, scan = found.host, found.scan
    findings = scan.findings
    counts = findings.counts
    whole = Items(lambda: (_row(each, host.protocol) for each in findings), len(findings))
    everything = found.plan.verbose
    listed = [each for each in findings if everything or each.state == OPEN or counts[each.state, each.errno] <= FEW]
    sections = []
    if listed:
        # A long list is printed as one: a table would take a second for each thousand rows.
        rows = Items(lambda: (_row(each, host.protocol) for each in listed), len(listed))
        sections.append(Section("", HEADER, tuple(rows) if len(listed) < LONG else rows))
    sections.append(Section("", (), tuple(_summary(found, everything))))
    name = host.number if host.name is None else f"{host.name} ({host.number})"
    size = len(findings.ports)
    title = f"{name}: {size} {host.protocol.upper()} port{'s' * (size != 1)} asked in {seconds:.{3 if seconds < 1 else 1}f} s"
    data: dict[str, object] = {
        "complete": found.complete,
        "scan": {
            "host": host.name,
            "address": host.number,
            "other_addresses": list(host.others),
            "protocol": host.protocol,
            "ports": ports.text(findings.ports),
            "timeout": found.timeout,
            "seconds": round(seconds, 6),
        },
        "counts": {STATES[state]: _sum(found, state) for state in range(len(STATES))},
        "ports": Items(lambda: (_item(each, host.protocol) for each in findings), len(whole)),
    }
    return Report(found.env.clock(), "connect", title, data, tuple(sections), whole=Section("", HEADER, whole))


def _sum(found: _Run, state: int) -> int:
    return sum(count for (each, _), count in found.scan.findings.counts.items() if each == state)


def _row(answer: Answer, protocol: str) -> Row:
    return Row(
        (
            str(answer.port),
            STATES[answer.state],
            ports.service(answer.port, protocol),
            (errno_name(answer.errno) or str(answer.errno)) if answer.errno else "",
            f"{answer.ms:.2f}",
        ),
        MARKS[answer.state],
    )


def _item(answer: Answer, protocol: str) -> dict[str, object]:
    return {
        "port": answer.port,
        "state": STATES[answer.state],
        "service": ports.service(answer.port, protocol) or None,
        "errno": answer.errno or None,
        "name": errno_name(answer.errno) if answer.errno else None,
        "ms": round(answer.ms, 3),
    }


def _summary(found: _Run, everything: bool) -> Iterator[Row]:
    """How many there are of each, and what that means."""
    counts = found.scan.findings.counts
    for (state, number), count in sorted(counts.items()):
        if state == UNASKED or not count:
            continue
        said = [_meaning(found, state, number)]
        if number:
            said.insert(0, f"{os.strerror(number)} [{errno_name(number) or 'errno'} {number}]")
        if state != OPEN and count > FEW and not everything:
            said.append("not listed: -v lists them")
        yield Row((STATES[state], str(count), "; ".join(filter(None, said))), MARKS[state])
    left = _sum(found, UNASKED)
    if left:
        yield Row((STATES[UNASKED], str(left), "stopped before its end: what was found so far is shown"), "error")
    host = found.host
    if host.protocol == "udp" and _sum(found, SILENT) and _sum(found, CLOSED):
        text = "a host may limit how many refusals it sends (Linux: one a second to each peer, after six in a row): --rate 1 waits for them"
        yield Row(("", "", text), "faint")
    if host.others:
        yield Row(("not asked", "", f"{host.name} is {', '.join(host.others)} too"), "faint")


def _meaning(found: _Run, state: int, number: int) -> str:
    import errno

    if state == SILENT:
        return f"nothing came back in {found.timeout:g} s: open, filtered, or lost on the way, nothing tells which"
    if state == CLOSED and not number:
        return "connected to itself: nobody listens there"
    if state == FILTERED and number == errno.ETIMEDOUT:
        return f"nothing came back in {found.timeout:g} s"
    return ""


# ---- one port over UDP


def one(plan: ConnectPlan, env: Env, target: addresses.Target, spec: SocketSpec) -> Exit:
    """Ask one UDP port, and tell what came of it as the story does: 0 only if an answer came.

    Raises:
        UsageError: see ``check``. SystemRefusal: no socket can be made. Signalled.
    """
    check(plan)
    with Loop(env) as loop:
        source = parse_source(plan, target)
        host = _host(plan, loop, target, spec, "udp", source)
        if host is None:
            return Exit.FAILED
        port = target.port or 0
        found = _Run(plan, loop, host, spec, source, (port,))
        found.go()
        if loop.signal is not None:
            raise Signalled(loop.signal)
        answer = found.scan.findings[port]
        there = addresses.format_address(host.resolved.family, host.address(port))
        if host.others:
            text = f"{target.text} has other addresses, which are not asked: {', '.join(host.others)}"
            env.observer(Note(env.clock(), 0, Level.INFO, text))
        if answer.state == OPEN:
            env.observer(
                Note(env.clock(), 0, Level.INFO, f"{there} answered an empty datagram after {answer.ms:.2f} ms")
            )
            return Exit.OK
        if answer.state == SILENT:
            text = f"{there} did not answer: {_meaning(found, SILENT, 0)}"
            env.observer(Note(env.clock(), 0, Level.WARNING, text))
        else:
            error = OSError(answer.errno, os.strerror(answer.errno))
            tip = hint("connect", error, host.resolved.family, int(socket.SOCK_DGRAM), host.address(port))
            env.observer(Failed(env.clock(), 0, f"send to {there}", error, tip))
    return Exit.FAILED
