"""``sockkit inspect``: look at one socket in full, a new one or one that was inherited. Looking changes nothing.

What is said of several, of those of other processes, and as time goes by, is in ``listing``, ``other`` and ``watch``: only what a command
line needs is loaded.
"""

from __future__ import annotations

import socket
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sockkit import addresses, syscalls
from sockkit.commands.probe import call_text, decoded_repr, full, label, numbers
from sockkit.errors import Exit, SystemRefusal, UsageError, describe, errno_name
from sockkit.events import Env, Report, Row, Section
from sockkit.spec import ANY_PORT, OPTION_WORDS, OPTIONS, Kind, Plan, SocketSpec, interval, number, option, passed_fds
from sockkit.syscalls import Identity
from sockkit.text import escape

if TYPE_CHECKING:
    from sockkit.commands.options import Change, OptionValue


class InspectPlan(Plan):
    """sockkit inspect [OPTIONS] [:PORT]

    Look at one socket in full, or list those of the machine. Looking changes nothing.

    Examples:
      sockkit inspect :8080
      sockkit inspect --all --state listen
      sockkit inspect --fileno 3 3<>/dev/tcp/127.0.0.1/65432
    """

    FIRST = ("fileno", "pid", "all", "state", "port", "process", "shown", "settings", "watch", "outputs", "json")
    PORTS_ONLY = True
    """Its ADDRESS is ``:PORT``: who has it?"""
    address: tuple[str, ...] = ()
    shown: str | None = option(
        "--options",
        kind=OPTIONS,
        group="socket",
        help="socket options to show: all (default for one socket), changed, or names",
    )
    pid: int | None = option(
        "--pid",
        kind=number("PID", 1, 2**22),
        group="host",
        help="the sockets of another process; with --fileno N one of them",
    )
    all: bool = option("--all", group="host", help="every socket of this host, and who has it")
    state: str | None = option(
        "--state", kind=Kind("STATE"), group="host", help="only in this state: listen, established … joined by commas"
    )
    port: int | None = option("--port", kind=ANY_PORT, group="host", help="only with this port, here or there")
    process: str | None = option(
        "--process", kind=Kind("PID|NAME"), group="host", help="only of this process, or all of this name"
    )
    netns: str | None = option(
        "--netns", kind=Kind("NAME"), group="host", help="in a network namespace: its name, a path or a PID"
    )
    watch: float | None = option(
        "--watch",
        kind=Kind("[SECONDS]", interval, implied="1"),
        group="host",
        help="look again every second, or as often as said, until Ctrl-C",
    )
    count: int | None = option("--count", kind=number("N", 1, 10**9), group="host", help="--watch: N looks, then end")
    no_owners: bool = option("--no-owners", group="host", help="not who has it, nor what no list has: faster")


FILTERS = ("state", "port", "process", "netns", "no_owners")
"""Options that make no sense for one socket: they mean ``--all``."""


class Belief(NamedTuple):
    """What a Python socket object says of itself: it asked the kernel for none of it, if it was told."""

    repr: str
    decoded: str
    family: int
    type: int
    proto: int
    timeout: float | None


class Inspection(NamedTuple):
    """Everything that was seen of one socket.

    Attributes:
        asked: how it was asked for.
        python: what Python believes, told no more than ``asked``.
        kernel: what the kernel says.
        local, peer: addresses as text; None where there is none.
        blocking, inheritable: of the descriptor, as the kernel has them.
        send_queue, receive_queue: bytes; None where it cannot be told.
        listening: SO_ACCEPTCONN; None where it cannot be told.
        options: those of its levels, or those that were asked for.
        changes: what came of the settings.
        lies: where Python's belief and the kernel differ.
    """

    asked: SocketSpec
    python: Belief
    kernel: Identity
    local: str | None
    peer: str | None
    blocking: bool
    inheritable: bool
    send_queue: int | None
    receive_queue: int | None
    listening: bool | None
    options: tuple[OptionValue, ...]
    changes: tuple[Change, ...]
    lies: tuple[str, ...]


def inspect(
    spec: SocketSpec,
    env: Env | None = None,
    settings: tuple[str, ...] = (),
    options: str = "all",
    *,
    ours: bool = True,
) -> Inspection:
    """Look at a socket. A descriptor that is adopted is not closed, and nothing about it is changed that ``settings`` do not say.

    Args:
        spec: which socket to make, or with ``fileno`` which to look at.
        env: who is told of the system calls; None: nobody.
        settings: ``NAME=VALUE`` options to set first.
        options: ``all``, ``changed``, or names joined by commas. Options that are named are read although reading them
            has an effect (SO_ERROR).
        ours: False: it is another process's, and nothing is read whose reading has an effect.

    Raises:
        UsageError: parameters, settings or options that cannot be.
        OSError: the kernel's refusal: ENOTSOCK for a file, EBADF for a closed descriptor.
        SystemRefusal: the kernel's refusal of a setting.
    """
    from sockkit.commands import options as sockoptions  # 530 rows, which no list needs

    env = env or syscalls.QUIET
    parsed = (
        sockoptions.parse(settings, None if spec.fileno is not None else sockoptions.meant(*spec[:3]))
        if settings
        else []
    )
    sock = syscalls.make(env, spec)
    try:
        belief = Belief(
            repr(sock), decoded_repr(sock, repr(sock)), int(sock.family), int(sock.type), sock.proto, sock.gettimeout()
        )
        changes = sockoptions.apply(env, sock, parsed, lent=spec.fileno is not None, tell=False)
        kernel = syscalls.identity(env, sock)
        if spec.fileno is None or spec.family is None or kernel.family in (None, spec.family):
            return _look(env, spec, sock, belief, kernel, options, changes, ours)
        # Addresses are read by the family that Python believes in: for those, an object that was told nothing.
        truthful = syscalls.make(env, SocketSpec(fileno=spec.fileno))
        try:
            return _look(env, spec, truthful, belief, kernel, options, changes, ours)
        finally:
            truthful.detach()
    finally:
        if spec.fileno is None:
            syscalls.close(env, sock)
        else:
            sock.detach()


def _look(
    env: Env,
    spec: SocketSpec,
    sock: socket.socket,
    belief: Belief,
    kernel: Identity,
    wanted: str,
    changes: list[Change],
    ours: bool,
) -> Inspection:
    from sockkit.commands import options as sockoptions

    family, type, proto = _known(kernel, belief)
    kind = syscalls.base_type(type)
    named = ours and wanted.lower() not in OPTION_WORDS
    rows = sockoptions.choose(wanted, (family, kind, proto))
    local, peer = syscalls.local_address(env, sock), syscalls.peer_address(env, sock)
    listening = syscalls.is_listening(env, sock)
    values = sockoptions.look(env, sock, (family, kind, proto), rows, anyway=named)
    if wanted.lower() == "changed":
        values = [one for one in values if one.changed]
    return Inspection(
        spec,
        belief,
        kernel,
        addresses.format_address(family, local) if local is not None else None,
        addresses.format_address(family, peer) if peer is not None else None,
        syscalls.is_blocking(sock),
        sock.get_inheritable(),
        None if listening else syscalls.send_queue(env, sock),
        None if listening else syscalls.receive_queue(env, sock),
        listening,
        tuple(values),
        tuple(changes),
        tuple(_lies(belief, kernel, family, syscalls.is_blocking(sock))),
    )


def _known(kernel: Identity, belief: Belief) -> tuple[int, int, int]:
    return (
        belief.family if kernel.family is None else kernel.family,
        belief.type if kernel.type is None else kernel.type,
        belief.proto if kernel.proto is None else kernel.proto,
    )


def _lies(belief: Belief, kernel: Identity, family: int, blocking: bool | None) -> list[str]:
    """What Python believes and the kernel denies."""
    found = []
    for field in ("family", "type"):
        said, true = getattr(belief, field), getattr(kernel, field)
        said = syscalls.base_type(said) if field == "type" else said
        if true is not None and said != true:
            found.append(f"{field}: Python says {label(field, said, family)}, the kernel {label(field, true, family)}")
    if kernel.proto is not None and belief.proto not in (0, kernel.proto):
        found.append(
            f"proto: Python says {label('proto', belief.proto, belief.family)}, "
            f"the kernel {label('proto', kernel.proto, family)}"
        )
    if blocking is not None and (belief.timeout != 0.0) != blocking:
        says = "non-blocking" if belief.timeout == 0.0 else "blocking"
        found.append(f"blocking: Python says {says}, the descriptor is {'blocking' if blocking else 'non-blocking'}")
    return found


# ---- the report


def report(found: Inspection, time: float) -> Report:
    """What was seen, for people and for programs."""
    from sockkit.commands import options as sockoptions

    belief, kernel = found.python, found.kernel
    family = _known(kernel, belief)[0]
    adopted = found.asked.fileno is not None
    sections = [
        Section("", (), (Row(("repr", belief.repr)), Row(("names", belief.decoded)))),
        Section("", ("", "Python believes", "the kernel says", ""), tuple(_identity_rows(found, family))),
    ]
    about = [
        Row(("local address", found.local or "none")),
        Row(("peer address", found.peer or "none: not connected")),
        Row(("blocking", _yes(found.blocking))),
        Row(("inheritable", _yes(found.inheritable))),
        Row(("timeout", "none" if belief.timeout is None else f"{belief.timeout:g} s")),
    ]
    if found.listening is not None:
        about.append(Row(("listening", _yes(found.listening))))
    if found.send_queue is not None:
        about.append(Row(("send queue", size(found.send_queue))))
    if found.receive_queue is not None:
        about.append(Row(("receive queue", size(found.receive_queue))))
    if adopted:
        about.append(Row(("descriptor", f"{found.asked.fileno}, still open"), "faint"))
    sections.append(Section("", (), tuple(about)))
    if found.changes:
        sections.append(sockoptions.change_section(found.changes))
    structures = []
    for level in dict.fromkeys(one.row.level for one in found.options):
        values = [one for one in found.options if one.row.level == level]
        rows = tuple(option_rows(values, family))
        sections.append(Section(f"options: {level}", OPTION_HEADER, rows))
        structures += [_structure(one) for one in values if _is_structure(one)]
    return Report(time, "inspect", call_text(found.asked), _data(found, family), (*sections, *structures))


OPTION_HEADER = ("", "value", "what it is")


def option_rows(values: Sequence[OptionValue], family: int) -> Iterator[Row]:
    """A line an option; those that are not here are only named."""
    absent = [one for one in values if one.error is not None and _expected(one)]
    yield from (_option_row(one, family) for one in values if one not in absent)
    yield from (Row((name, text, ""), "faint") for name, text in _folded("not here", absent))


def _expected(one: OptionValue) -> bool:
    """The refusal says only that there is nothing to tell: not in this state, not in this kernel."""
    name = errno_name(one.error.errno) if one.error is not None else None
    return name in ("ENOPROTOOPT", "EOPNOTSUPP") or name in one.row.refusals


def _folded(title: str, values: Sequence[OptionValue]) -> Iterator[tuple[str, str]]:
    """Options of which there is nothing to tell, in a few lines: (name of the line, text)."""
    by_errno: dict[str, list[str]] = {}
    for one in values:
        by_errno.setdefault(errno_name(one.error.errno if one.error else None) or "?", []).append(one.row.name)
    for name, options in by_errno.items():
        lines = textwrap.wrap(", ".join(options), 60, break_on_hyphens=False)
        yield from ((f"{title}: {name}" if at == 0 else "", line) for at, line in enumerate(lines))


def _identity_rows(found: Inspection, family: int) -> list[Row]:
    rows = []
    belief, kernel = found.python, found.kernel
    for field in ("family", "type", "proto"):
        said, true = getattr(belief, field), getattr(kernel, field)
        remark, mark = "", ""
        if any(lie.startswith(field) for lie in found.lies):
            remark, mark = "not true", "error"
        elif field == "proto" and true is not None and said == 0 != true:
            remark, mark = "the kernel chose it", "changed"
        elif field == "type" and true is not None and said != true:
            remark, mark = "flags are not part of SO_TYPE", "changed"
        rows.append(Row((field, label(field, said, belief.family), label(field, true, family), remark), mark))
    if any(lie.startswith("blocking") for lie in found.lies):
        says = "non-blocking" if belief.timeout == 0.0 else "blocking"
        rows.append(Row(("blocking", says, "blocking" if found.blocking else "non-blocking", "not true"), "error"))
    return rows


def _option_row(option_value: OptionValue, family: int) -> Row:
    row = option_value.row
    if not option_value.read:
        return Row((row.name, "not read", f"{row.meaning} ({row.reading})"), "faint")
    if option_value.error is not None:
        name = errno_name(option_value.error.errno) or str(option_value.error)
        return Row((row.name, name, row.meaning), "faint")
    if _is_structure(option_value):
        return Row((row.name, "see below", row.meaning))
    shown = row.show(option_value.value)
    if row.name == "SO_PROTOCOL" and isinstance(option_value.value, int):
        shown = label("proto", option_value.value, family).partition(" (")[0]
    if option_value.changed:
        return Row((row.name, f"{shown} (default {row.show(option_value.default)})", row.meaning), "changed")
    return Row((row.name, shown, f"{row.meaning} ({row.reading})" if row.reading else row.meaning))


def _is_structure(option_value: OptionValue) -> bool:
    """True for what the kernel tells in many numbers: too wide for a line."""
    return bool(option_value.row.kind.layout) and isinstance(option_value.value, dict) and len(option_value.value) > 2


def _structure(option_value: OptionValue) -> Section:
    """Its numbers, one a line; those that are 0 or not set are only named."""
    row = option_value.row
    assert isinstance(option_value.value, dict)
    rows, zero = [], []
    for name, text in row.parts(option_value.value):
        if option_value.value[name] in (0, "", False):
            zero.append(name)
        else:
            rows.append(Row((name, text)))
    lines = textwrap.wrap(", ".join(zero), 60, break_on_hyphens=False)
    rows += [Row((name, text), "faint") for name, text in zip(["zero", *[""] * len(lines)], lines, strict=False)]
    return Section(f"{row.name}: {row.meaning}", (), tuple(rows))


def size(count: int) -> str:
    """``1 byte``, ``2 bytes``."""
    return f"{count} byte{'' if count == 1 else 's'}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _data(found: Inspection, family: int) -> dict[str, object]:
    from sockkit.commands import options as sockoptions

    belief, kernel, spec = found.python, found.kernel, found.asked
    return {
        "call": call_text(spec),
        "asked": numbers(tuple(full(spec)), full(spec).family) | {"fileno": spec.fileno},
        "python": numbers((belief.family, belief.type, belief.proto), belief.family)
        | {"repr": belief.repr, "decoded": belief.decoded, "timeout": belief.timeout},
        "kernel": numbers(tuple(kernel), family),
        "lies": list(found.lies),
        "local": found.local,
        "peer": found.peer,
        "blocking": found.blocking,
        "inheritable": found.inheritable,
        "listening": found.listening,
        "send_queue": found.send_queue,
        "receive_queue": found.receive_queue,
        "options": {
            option_value.row.name: {
                "level": option_value.row.level,
                "value": option_value.value,
                "shown": None
                if option_value.error is not None or not option_value.read
                else option_value.row.show(option_value.value),
                "unit": option_value.row.unit or None,
                "default": option_value.default,
                "changed": option_value.changed,
                "volatile": option_value.row.volatile,
                "read": option_value.read,
                "error": errno_name(option_value.error.errno) if option_value.error is not None else None,
            }
            for option_value in found.options
        },
        "set": sockoptions.change_data(found.changes),
    }


def passed_report(passed: dict[int, str], env: Env) -> Report:
    """The descriptors that a service manager passed, a line each."""
    rows, data = [], []
    for fd, name in passed.items():
        told: dict[str, object] = {"fd": fd, "name": name}
        try:
            found = inspect(SocketSpec(fileno=fd), env, options="SO_TYPE")
        except OSError as error:
            rows.append(Row((str(fd), escape(name), describe(error), "", "", ""), "error"))
            data.append(told | {"error": errno_name(error.errno)})
            continue
        family = _known(found.kernel, found.python)[0]
        three = [
            label(field, getattr(found.kernel, field), family).partition(" (")[0]
            for field in ("family", "type", "proto")
        ]
        state = "listening" if found.listening else "connected" if found.peer else ""
        rows.append(Row((str(fd), escape(name), " ".join(three), state, found.local or "", found.peer or "")))
        told |= numbers(tuple(found.kernel), family) | {"listening": found.listening, "local": found.local}
        data.append(told | {"peer": found.peer, "error": None})
    header = ("fd", "name", "socket", "state", "local", "peer")
    sections = (
        Section("", header, tuple(rows)),
        Section("", (), (Row(("one in full", "--fileno N, or --fileno NAME"), "faint"),)),
    )
    return Report(env.clock(), "inspect", "passed by the service manager (LISTEN_FDS)", {"passed": data}, sections)


def run(plan: InspectPlan, env: Env) -> Exit:
    """Inspect and report.

    Raises:
        UsageError: parameters that cannot be. SystemRefusal: no such socket, or an option that it does not take.
    """
    if plan.code and (
        plan.watch is not None or plan.all or plan.pid is not None or any(getattr(plan, name) for name in FILTERS)
    ):
        raise UsageError("it is for one socket of our own, new or --fileno: Python sees no others", option="--code")
    if plan.watch is not None:
        from sockkit.commands import watch

        return watch.run(plan, env)
    if plan.count is not None:
        raise UsageError("it counts the looks of --watch", option="--count")
    filters = [name for name in FILTERS if getattr(plan, name)]
    if plan.address and (plan.fileno or plan.port is not None or plan.pid is not None):
        raise UsageError("it asks who has that port: leave --fileno, --pid and --port out", option="ADDRESS")
    if plan.address:
        filters.append("address")
    if plan.all or filters or plan.pid is not None:
        if plan.settings:
            raise UsageError(
                "looking does not touch: --set is for new sockets, not for those of others", option="--set"
            )
        if plan.fileno is not None and plan.pid is None:
            raise UsageError("it is one descriptor of ours: with --pid PID one of another process", option="--fileno")
        if plan.fileno is not None:
            from sockkit.commands import other

            return other.run(plan, env)
        from sockkit.commands import listing

        return listing.run(plan, env)
    spec = plan.socket_spec()
    passed = {} if spec != SocketSpec() or plan.settings else passed_fds()
    if len(passed) > 1:
        env.observer(passed_report(passed, env))
        return Exit.OK
    if passed:
        spec = SocketSpec(fileno=next(iter(passed)))
    try:
        found = inspect(spec, env, plan.settings, plan.shown or "all")
    except OSError as error:
        from sockkit.commands.endpoint import creation_hint, hint

        if spec.fileno is not None:
            raise SystemRefusal(f"inspect fd {spec.fileno}", error, hint=hint("fileno", error, None, None)) from error
        raise SystemRefusal(call_text(spec), error, hint=creation_hint(spec, error)) from error
    if plan.code:
        from sockkit.commands import code
        from sockkit.commands import options as sockoptions

        code.tell(env, "inspect", code.inspect(found, sockoptions.parse(plan.settings, sockoptions.meant(*spec[:3]))))
        return Exit.OK
    env.observer(report(found, env.clock()))
    return Exit.OK
