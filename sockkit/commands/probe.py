"""``sockkit probe``: try to create a socket; say what was asked, what was got, and why not."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from sockkit import names, syscalls
from sockkit.commands.expect import EXPECTATION, Expectation, check_count, conclude, of_one
from sockkit.errors import Exit, UsageError, errno_name
from sockkit.events import Env, Report, Row, Section
from sockkit.spec import FAMILY, PROTOCOL, SECONDS, TYPE, Kind, Plan, SocketSpec, option
from sockkit.syscalls import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sockkit import rules
    from sockkit.commands.options import Change, Setting
    from sockkit.matrix import Space

NEAREST = 6
"""How many working combinations are offered."""


def _complete_steps(start: str) -> list[tuple[str, str]]:
    from sockkit.commands.steps import complete

    return complete(start)


def _complete_matrices(start: str) -> list[tuple[str, str]]:
    from sockkit import matrix

    return matrix.complete(start)


class ProbePlan(Plan):
    """sockkit probe [OPTIONS]

    Make a socket, show what the kernel made of it, or why it would not.

    Examples:
      sockkit probe --type DGRAM --proto TCP
      sockkit probe --family INET,INET6 --type all --proto 0-255
      sockkit probe --all --json > host-a.json
    """

    FIRST: ClassVar[tuple[str, ...]] = (
        *("family", "type", "proto", "fileno"),
        *("all", "against", "steps", "expect", "code"),
        *("outputs", "verbose", "json"),
    )

    family: tuple[str, ...] = option(  # type: ignore[assignment]  # here one option takes many
        "--family",
        kind=FAMILY,
        group="socket",
        multiple=True,
        help="family: names, numbers, ranges, lists of them, or all (default INET)",
    )
    type: tuple[str, ...] = option(  # type: ignore[assignment]
        "--type", kind=TYPE, group="socket", multiple=True, help="likewise; flags joined by + (default STREAM)"
    )
    proto: tuple[str, ...] = option(  # type: ignore[assignment]
        "--proto", kind=PROTOCOL, group="socket", multiple=True, help="likewise, within the family (default 0)"
    )
    all: bool = option("--all", group="space", help="everything that this kernel could know; loads kernel modules")
    exhaustive: bool = option("--exhaustive", group="space", help="ask for every combination, infer none")
    no_load: bool = option(
        "--no-load", group="space", help="load no kernel module: ask only for what the kernel's tables say is there"
    )
    against: tuple[str, ...] = option(
        "--against",
        kind=Kind("FILE", str, _complete_matrices),
        group="space",
        multiple=True,
        help="compare this host with a matrix; given twice: two matrices",
    )
    steps: tuple[str, ...] = option(
        "--steps",
        kind=Kind("STEP,...", str, _complete_steps),
        group="steps",
        multiple=True,
        help="then calls, one after the other: bind,listen,accept,…; all: a table",
    )
    step_timeout: float | None = option(
        "--step-timeout", kind=SECONDS, group="steps", help="--steps: how long a call may wait (1)"
    )
    expect: Expectation | None = option(
        "--expect",
        kind=EXPECTATION,
        group="output",
        help="status 0 only for this outcome: ok, error, or an errno's name",
    )

    def socket_spec(self) -> SocketSpec:
        """The four parameters, each given at most once.

        Raises:
            UsageError: see ``SocketSpec.parse``.
        """
        family, type, proto = (next(iter(axis), None) for axis in (self.family, self.type, self.proto))
        return SocketSpec.parse(family, type, proto, self.fileno)

    def space(self) -> Space | None:
        """What is asked for, if it is more than one socket.

        Raises:
            UsageError: see ``matrix.parse_space``.
        """
        axes = (self.family, self.type, self.proto)
        many = (len(axis) > 1 or any(_many(text) for text in axis) for axis in axes)
        if not self.all and not any(many):
            return None
        from sockkit.matrix import parse_space

        space = parse_space(self.family, self.type, self.proto, everywhere=self.all)
        if space is not None and self.fileno is not None:
            raise UsageError("one descriptor is one socket: it goes with no list, range or --all", option="--fileno")
        return space


def _many(text: str) -> bool:
    """Could this be a list, a range or ``all``."""
    return "," in text or "-" in text[1:] or text.lower() == "all"


class Probe(NamedTuple):
    """What came of one attempt.

    Attributes:
        asked: the parameters, None where Python's default was left in place.
        repr: Python's repr of the socket, or None.
        decoded: the same with names for numbers, or None.
        got: what the kernel says, or None where there is no socket.
        rewrites: (field, why) for each value that the kernel changed.
        error: the exception, or None.
        why: which check of the kernel answered, or None.
        nearest: combinations that do work here, nearest first; empty where there was no error.
        changes: what came of the options that were to be set.
    """

    asked: SocketSpec
    repr: str | None
    decoded: str | None
    got: Identity | None
    rewrites: tuple[tuple[str, str], ...]
    error: Exception | None
    why: rules.Explanation | None
    nearest: tuple[SocketSpec, ...]
    changes: tuple[Change, ...]

    @property
    def ok(self) -> bool:
        """A socket was made."""
        return self.error is None

    @property
    def outcome(self) -> str:
        """``ok``, or the errno's name; the exception's where there is no errno."""
        return outcome_name(self.error)


def outcome_name(error: Exception | None) -> str:
    """``ok``, or the errno's name; the exception's where there is no errno."""
    return "ok" if error is None else errno_name(getattr(error, "errno", None)) or type(error).__name__


def probe(spec: SocketSpec, env: Env | None = None, settings: Sequence[Setting] = ()) -> Probe:
    """Make the socket, look at it, close it (an adopted descriptor is not closed).

    Args:
        spec: what to ask for.
        env: who is told of the system calls; None: nobody.
        settings: options to set on it, see ``commands.options.parse``.

    Raises:
        UsageError: parameters that Python refuses before it asks the kernel.
        SystemRefusal: an option that it does not take.
    """
    env = env or syscalls.QUIET
    try:
        sock = syscalls.make(env, spec)
    except OSError as error:
        asked = full(spec)
        name = errno_name(error.errno)
        from sockkit import rules

        why = rules.why(asked.family, asked.type, asked.proto, name) if spec.fileno is None else None
        nearest = tuple(nearest_working(env, asked)) if spec.fileno is None else ()
        return Probe(spec, None, None, None, (), error, why, nearest, ())
    try:
        text = repr(sock)
        got = syscalls.identity(env, sock)
        decoded = decoded_repr(sock, text)
        rewrites = () if spec.fileno is not None else tuple(_rewrites(full(spec), got))
        changes: list[Change] = []
        if settings:
            from sockkit.commands import options

            changes = options.apply(env, sock, settings, lent=spec.fileno is not None, tell=False)
        return Probe(spec, text, decoded, got, rewrites, None, None, (), tuple(changes))
    finally:
        if spec.fileno is None:
            syscalls.close(env, sock)
        else:
            sock.detach()


class Full(NamedTuple):
    """The three numbers that reach the kernel."""

    family: int
    type: int
    proto: int


def full(spec: SocketSpec) -> Full:
    """What Python asks the kernel for, its defaults filled in."""
    return Full(
        int(socket.AF_INET) if spec.family is None else spec.family,
        int(socket.SOCK_STREAM) if spec.type is None else spec.type,
        0 if spec.proto is None else spec.proto,
    )


def _rewrites(asked: Full, got: Identity) -> Iterator[tuple[str, str]]:
    known = Full(
        asked.family if got.family is None else got.family,
        asked.type if got.type is None else got.type,
        asked.proto if got.proto is None else got.proto,
    )
    if known != asked:
        from sockkit import rules

        yield from rules.rewrites(asked, known)


def decoded_repr(sock: socket.socket, text: str) -> str:
    """Python's repr with names for numbers: repr showed names up to 3.10 and bare numbers from 3.11."""
    protocols = names.protocols(sock.family)
    for field, number, name in (
        ("family", int(sock.family), names.FAMILIES.name(sock.family)),
        ("type", int(sock.type), names.TYPES.label(sock.type).partition(" (")[0]),
        ("proto", sock.proto, protocols.name(sock.proto) if sock.proto else None),
    ):
        if name is not None:
            text = text.replace(f" {field}={number}", f" {field}={name}", 1)
    return text


def nearest_working(env: Env, asked: Full) -> Iterator[SocketSpec]:
    """Combinations that work here, found by trying: those that change one thing first.

    At most ``NEAREST``, after a bounded number of attempts: each miss may make the kernel look for a module.
    """
    found = 0
    tried = {asked}
    for candidate in _candidates(asked):
        if candidate in tried:
            continue
        tried.add(candidate)
        try:
            syscalls.close(env, syscalls.make(env, SocketSpec(*candidate)))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                return
            continue
        yield SocketSpec(*candidate)
        found += 1
        if found == NEAREST:
            return


def _candidates(asked: Full) -> Iterator[Full]:
    """Neighbours of a combination: another protocol, another type, another family, then two of them."""
    base, flags = names.TYPES.parts(asked.type)
    from sockkit import rules

    known = [row[:3] for row in rules.KNOWN if row.family == asked.family and rules.ANY not in (row.type, row.proto)]
    wanted = [names.TYPES.find(f"SOCK_{name}") for name in ("STREAM", "DGRAM", "SEQPACKET", "RAW")]
    types = [row.number for row in wanted if row is not None and row.number is not None]
    families = [
        number
        for number in (names.family_number(f"AF_{name}") for name in ("INET", "INET6", "UNIX"))
        if number is not None
    ]
    yield Full(asked.family, base, asked.proto)
    for _, type, proto in known:  # the same protocol with the type that it is for
        if proto == asked.proto and proto:
            yield Full(asked.family, type | flags, proto)
    for _, type, proto in known:  # the same type with a protocol that is for it
        if type == base:
            yield Full(asked.family, type | flags, proto)
    yield Full(asked.family, asked.type, 0)
    for type in types:
        yield Full(asked.family, type, asked.proto)
    for type in types:
        yield Full(asked.family, type, 0)
    for _, type, proto in known:
        yield Full(asked.family, type, proto)
    for family in families:
        if names.protocols(family) is names.protocols(asked.family):  # elsewhere the number means something else
            yield Full(family, asked.type, asked.proto)
    for family in families:
        yield Full(family, base, 0)
    for type in types:
        yield Full(int(socket.AF_INET), type, 0)


# ---- the report


def label(field: str, value: int | None, family: int) -> str:
    """One of the four parameters with its name."""
    if value is None:
        return "not told"
    if field == "family":
        return names.FAMILIES.label(value)
    if field == "type":
        return names.TYPES.label(value)
    if field == "proto":
        return names.protocols(family).label(value) if value else "0"
    return str(value)


def call_text(spec: SocketSpec) -> str:
    """The call in Python: ``socket.socket(type=SOCK_DGRAM, proto=IPPROTO_TCP)``."""
    family = full(spec).family
    parts = []
    for field, value in zip(spec._fields, spec, strict=True):
        if value is not None:
            parts.append(f"{field}={label(field, value, family).partition(' (')[0]}")
    return f"socket.socket({', '.join(parts)})"


def python_text(error: Exception) -> str:
    """The exception as the last line of Python's traceback has it."""
    return f"{type(error).__name__}: {error}"


def command_text(spec: SocketSpec) -> str:
    """The sockkit command that asks for this."""
    family = full(spec).family
    words = []
    for field, value in zip(spec._fields, spec, strict=True):
        if value is None or (field == "proto" and not value):
            continue
        text = label(field, value, family).partition(" (")[0]
        prefix = {"family": "AF_", "proto": "IPPROTO_"}.get(field, "")
        text = "+".join(part.removeprefix("SOCK_") for part in text.split("+")) if field == "type" else text
        words.append(f"--{field} {text.removeprefix(prefix)}")
    return " ".join(["sockkit probe", *words])


def asked_and_got(asked: SocketSpec, got: Identity | None) -> Section:
    """The two side by side; only the first where there is no socket."""
    whole = full(asked)
    rows = []
    for field in ("family", "type", "proto"):
        given = getattr(asked, field)
        wanted = label(field, getattr(whole, field), whole.family)
        if given is None:
            wanted = f"{wanted} (default)" if asked.fileno is None else "(from the descriptor)"
        if got is None:
            rows.append(Row((field, wanted)))
            continue
        value = getattr(got, field)
        shown = label(field, value, whole.family if got.family is None else got.family)
        changed = value is not None and value != getattr(whole, field)
        if asked.fileno is None:
            remark = "rewritten" if changed else ""
        else:
            changed = changed and given is not None
            remark = "not what was said" if changed else ""
        rows.append(Row((field, wanted, shown, remark), "changed" if changed else ""))
    return Section("", ("", "asked") if got is None else ("", "asked", "the kernel says", ""), tuple(rows))


def report(found: Probe, time: float) -> Report:
    """What was found, for people and for programs."""
    spec = found.asked
    whole = full(spec)
    sections = []
    if found.error is None:
        sections.append(Section("", (), (Row(("repr", found.repr or "")), Row(("names", found.decoded or "")))))
        sections.append(asked_and_got(spec, found.got))
        if found.rewrites:
            reasons = tuple(Row((field, why)) for field, why in found.rewrites)
            sections.append(Section("why rewritten", (), reasons))
        if found.changes:
            from sockkit.commands import options

            sections.append(options.change_section(found.changes))
    else:
        number = getattr(found.error, "errno", None)
        rows = [Row(("error", python_text(found.error)), "error")]
        if number is not None:
            rows.append(Row(("errno", f"{errno_name(number) or '?'} ({number})")))
        sections.append(Section("", (), tuple(rows)))
        if spec.fileno is None:
            sections.append(asked_and_got(spec, None))
        rows = []
        if found.why is not None:
            rows.append(Row(("why", found.why.text)))
            rows.append(Row(("checked in", found.why.source), "faint"))
            if found.why.module:
                rows.append(
                    Row(
                        ("module", f"{found.why.module}: what modprobe is asked for, where the kernel has modules"),
                        "faint",
                    )
                )
            if found.why.try_next:
                rows.append(Row(("try", found.why.try_next)))
            if found.why.elsewhere:
                rows.append(Row(("elsewhere", found.why.elsewhere), "faint"))
        elif spec.fileno is not None:
            from sockkit import rules

            meaning = rules.meaning("fileno", errno_name(number))
            if meaning is not None:
                rows.append(Row(("why", meaning.text)))
                if meaning.hint:
                    rows.append(Row(("try", meaning.hint)))
        if rows:
            sections.append(Section("", (), tuple(rows)))
        if spec.fileno is None:
            works = tuple(Row((command_text(near),), "good") for near in found.nearest)
            none = (Row(("none of the neighbours that were tried",)),)
            sections.append(Section("works here, nearest first (tried just now)", (), works or none))
    return Report(time, "probe", call_text(spec), _data(found, whole), tuple(sections))


def numbers(values: tuple[int | None, ...], family: int) -> dict[str, object]:
    """Family, type and protocol for JSON: each as number and name."""
    result: dict[str, object] = {}
    for field, value in zip(("family", "type", "proto"), values, strict=False):
        name = None
        if value is not None:
            name = {
                "family": names.FAMILIES.name,
                "type": lambda number: names.TYPES.label(number).partition(" (")[0],
                "proto": names.protocols(family).name if value else lambda number: None,
            }[field](value)
        result[field] = {"number": value, "name": name}
    return result


def error_data(error: Exception | None) -> dict[str, object] | None:
    """An exception for JSON."""
    if error is None:
        return None
    number = getattr(error, "errno", None)
    return {
        "type": type(error).__name__,
        "text": str(error),
        "errno": number,
        "name": errno_name(number) if isinstance(number, int) else None,
    }


def _data(found: Probe, whole: Full) -> dict[str, object]:
    spec = found.asked
    family = whole.family if found.got is None or found.got.family is None else found.got.family
    return {
        "ok": found.ok,
        "call": call_text(spec),
        "asked": numbers(tuple(whole), whole.family) | {"fileno": spec.fileno},
        "given": [field for field, value in zip(spec._fields, spec, strict=True) if value is not None],
        "got": None if found.got is None else numbers(tuple(found.got), family),
        "repr": found.repr,
        "decoded": found.decoded,
        "rewrites": [{"field": field, "why": why} for field, why in found.rewrites],
        "error": error_data(found.error),
        "why": None if found.why is None else found.why._asdict(),
        "set": [] if not found.changes else _change_data(found.changes),
        "nearest": [numbers(tuple(near)[:3], full(near).family) for near in found.nearest],
        "platform": sys.platform,
    }


def _change_data(changes: Sequence[Change]) -> list[dict[str, object]]:
    from sockkit.commands import options

    return options.change_data(changes)


def run(plan: ProbePlan, env: Env) -> Exit:
    """Probe and report.

    Raises:
        UsageError: parameters that Python refuses before it asks the kernel.
    """
    space = plan.space()
    if plan.against:
        from sockkit.commands import against

        return against.run(plan, env)
    if plan.step_timeout is not None and not plan.steps:
        raise UsageError("it limits the calls of --steps, and there are none", option="--step-timeout")
    if plan.settings and (plan.steps or space is not None):
        other = (
            "steps have setsockopt=NAME=VALUE"
            if plan.steps
            else "it is for one socket, not for a list, a range or --all"
        )
        raise UsageError(other, option="--set")
    if plan.steps:
        from sockkit.commands import steps

        return steps.run(plan, space, env)
    if space is not None:
        from sockkit.commands import space as whole

        return whole.run(plan, space, env)
    for given, name in ((plan.exhaustive, "--exhaustive"), (plan.no_load, "--no-load")):
        if given:
            raise UsageError("one combination is asked for anyway: it goes with a list, a range or --all", option=name)
    spec = plan.socket_spec()
    check_count(plan.expect, 1)
    settings: list[Setting] = []
    if plan.settings:
        from sockkit.commands import options

        settings = options.parse(plan.settings, None if spec.fileno is not None else options.meant(*spec[:3]))
    if plan.code:
        from sockkit.commands import code

        code.tell(env, "probe", code.probe(spec, settings))
        return Exit.OK
    found = probe(spec, env, settings)
    problem = None if plan.expect is None else of_one(plan.expect, found.outcome)
    return conclude(env, report(found, env.clock()), plan.expect, problem, ok=found.ok)
