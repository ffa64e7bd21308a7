"""``sockkit probe --steps``: one call after the other on a new socket, each with its result or its errno and the reason.

A step is a row of ``CALLS``. Each is compiled to a method of Python's socket and its arguments, once as text and once as
value: what runs and what ``--code`` prints are the same thing.

Whom the socket talks to: ``peer``, a second socket of the same kind on the loopback, made when a step needs it, and ``conn``,
what accept(2) gave. Everything stays on this host, and nothing waits longer than ``--step-timeout``.
"""

from __future__ import annotations

import difflib
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sockkit import addresses, names, rules, syscalls
from sockkit.commands import code
from sockkit.commands.endpoint import OwnPath, has_path
from sockkit.commands.expect import check_count, conclude, of_one, of_steps
from sockkit.commands.probe import asked_and_got, call_text, error_data, full, numbers, outcome_name, probe
from sockkit.commands.probe import report as probe_report
from sockkit.commands.space import interruptible
from sockkit.errors import Exit, Signalled, SystemRefusal, UsageError, describe, errno_name
from sockkit.events import Env, Report, Row, Section
from sockkit.semantics import semantics
from sockkit.spec import SocketSpec
from sockkit.text import escape, preview, quoted, unescape

if TYPE_CHECKING:
    from sockkit.commands.probe import ProbePlan
    from sockkit.matrix import Space

HELLO = b"hello"
ROOM = 65536
"""Bytes that recv and recvfrom take at most where no number is given."""
TIMEOUT = 1.0
"""Seconds that a call may wait."""
ALARM = hasattr(signal, "SIGALRM")
"""Calls are limited by an alarm; where there is none (Windows), by Python's own timeout, which looks before it calls."""
MOST = 200
"""Steps of one run."""
ACTORS = ("sock", "peer", "conn")


class Local(NamedTuple):
    """How a family speaks to this host alone.

    Attributes:
        bind: where to bind if no address is given.
        connect: whom to connect to if no address is given; None: a peer of our own.
        stays: whether an address that was given is on this host.
        typed: the two are texts, since Python has no form for addresses of this family.
    """

    bind: object
    connect: object = None
    stays: Callable[[Any], bool] = lambda address: True
    typed: bool = False


def _internet(family: int) -> Callable[[Any], bool]:
    return lambda address: addresses.is_loopback(family, address)


_VMADDR_CID_LOCAL, _VMADDR_PORT_ANY = 1, 2**32 - 1
LOCAL: dict[str, Local] = {
    "INET": Local(("127.0.0.1", 0), stays=_internet(int(socket.AF_INET))),
    "INET6": Local(("::1", 0), stays=_internet(int(getattr(socket, "AF_INET6", 10)))),
    "UNIX": Local(""),
    "VSOCK": Local((_VMADDR_CID_LOCAL, _VMADDR_PORT_ANY), stays=_internet(int(getattr(socket, "AF_VSOCK", 40)))),
    "NETLINK": Local((0, 0), (0, 0)),
    "PACKET": Local(("lo", 0), ("lo", 0), lambda address: isinstance(address, tuple) and address[:1] == ("lo",)),
    "ALG": Local(("hash", "sha256"), ("hash", "sha256")),
    "CAN": Local(("",), ("",), lambda address: isinstance(address, tuple) and str(address[0])[:1] in ("", "v")),
    "TIPC": Local((1, 65432, 1, 1, 3), (2, 65432, 1, 0)),
    "QIPCRTR": Local((1, 0)),
    "RDS": Local(("127.0.0.1", 0), stays=lambda address: str(address[0]).startswith("127.")),
    "SMC": Local("127.0.0.1:0", stays=lambda address: bytes(address)[4:5] == b"\x7f", typed=True),
    "XDP": Local("lo,0", "lo,0", typed=True),
}
"""By family. One that is not here has ``()`` for its address, and Python's own answer to that is shown."""


def local(family: int) -> Local:
    """The row of a family."""
    for name, row in LOCAL.items():
        if names.family_number(f"AF_{name}") == family:
            if not row.typed:
                return row
            bind, connect = (
                addresses.parse_target([str(text)], family=family).address if text else None
                for text in (row.bind, row.connect)
            )
            return row._replace(bind=bind, connect=connect)
    return Local((), ())


# ---- what a step is


class Argument(NamedTuple):
    """An argument of a call: as Python, and as the value that it has once the sockets are there."""

    text: str
    value: Callable[[Stage], Any]


def literal(value: object) -> Argument:
    """An argument that is known beforehand."""
    return Argument(code.literal(value), lambda stage: value)


def constant(name: str) -> Argument:
    """One of Python's socket constants."""
    value = getattr(socket, name)
    return Argument(f"socket.{name}", lambda stage: value)


def where(actor: str) -> Argument:
    """The address that another of the sockets is bound to."""
    return Argument(
        f"{actor}.getsockname()", lambda stage: syscalls.method(syscalls.QUIET, stage.get(actor), "getsockname")
    )


class Step(NamedTuple):
    """One call, compiled.

    Attributes:
        text: as typed.
        actor: ``sock``, ``peer`` or ``conn``.
        call: the row's name.
        method: the method of Python's socket.
        arguments: its arguments.
        address: as ``rules.meaning`` wants to know it, or None.
    """

    text: str
    actor: str
    call: str
    method: str
    arguments: tuple[Argument, ...]
    address: object = None

    @property
    def python(self) -> str:
        """The call in Python."""
        return f"{self.actor}.{self.method}({', '.join(argument.text for argument in self.arguments)})"


class Kind(NamedTuple):
    """The kind of socket for which steps are compiled; ``family`` and ``type`` without flags."""

    family: int
    type: int
    proto: int = 0

    @property
    def connected(self) -> bool:
        """Its sockets have connections."""
        return semantics(self.family, self.type, self.proto).connections

    @property
    def listens(self) -> bool:
        """The other side must listen: SCTP's SEQPACKET does, although it never accepts."""
        packets = self.type == getattr(socket, "SOCK_SEQPACKET", None)
        return self.connected or (packets and self.family in syscalls.INTERNET)


class CallRow(NamedTuple):
    """A row of ``CALLS``.

    Attributes:
        name: as typed, the name of the system call where there is one.
        argument: what may follow ``=``, or empty.
        what: one line for the docs.
        compile: (kind, actor, the text behind ``=`` or None) to the method and its arguments.
        address: the first argument is an address.
    """

    name: str
    argument: str
    what: str
    compile: Callable[[Kind, str, str | None], tuple[str, tuple[Argument, ...]]]
    method: str | None = None


Compiled = tuple[str, tuple[Argument, ...]]


def _address(kind: Kind, text: str, name: str) -> Argument:
    """An address that was typed, which must be on this host."""
    try:
        found = addresses.parse_target([text], family=kind.family, argument="--steps")
    except UsageError as error:
        error.option = "--steps"
        raise
    if found.address is None and found.host == "localhost":
        inet6 = kind.family == syscalls.AF_INET6
        return literal(("::1" if inet6 else "127.0.0.1", found.port))
    if found.address is None:
        raise UsageError(f"{name}={escape(text)}: an address must be a number here, not a name", option="--steps")
    if not local(kind.family).stays(found.address):
        raise UsageError(
            f"{name}={escape(text)}: steps stay on this host, and that address is elsewhere or everybody's",
            option="--steps",
            hint="a loopback address such as 127.0.0.1:0 does; sockkit serve and connect go anywhere",
        )
    return literal(found.address)


def _no_value(name: str, method: str | None = None) -> Callable[[Kind, str, str | None], Compiled]:
    def compile(kind: Kind, actor: str, text: str | None) -> Compiled:
        if text is not None:
            raise UsageError(f"{name} takes no value, here is {quoted(text)}", option="--steps")
        return method or name, ()

    return compile


def _bind(kind: Kind, actor: str, text: str | None) -> Compiled:
    return "bind", (literal(local(kind.family).bind) if text is None else _address(kind, text, "bind"),)


def _destination(kind: Kind, actor: str, text: str | None, name: str) -> Argument:
    if text is not None:
        return _address(kind, text, name)
    fixed = local(kind.family).connect
    if fixed is not None:
        return literal(fixed)
    return where("sock" if actor == "peer" else "peer")


def _connect(kind: Kind, actor: str, text: str | None) -> Compiled:
    return "connect", (_destination(kind, actor, text, "connect"),)


def _number(name: str, text: str, highest: int = 2**31 - 1) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 <= int(text[:19]) <= highest:
        raise UsageError(f"{name}={escape(text)}: a whole number from 0 to {highest}", option="--steps")
    return int(text)


def _listen(kind: Kind, actor: str, text: str | None) -> Compiled:
    return "listen", () if text is None else (literal(_number("listen", text)),)


def _payload(name: str, text: str | None) -> bytes:
    if text is None:
        return HELLO
    try:
        return os.fsencode(unescape(text))
    except ValueError as error:
        raise UsageError(f"{name}={escape(text)}: {error}", option="--steps") from error


def _send(kind: Kind, actor: str, text: str | None) -> Compiled:
    return "send", (literal(_payload("send", text)),)


def _send_urgent(kind: Kind, actor: str, text: str | None) -> Compiled:
    if not hasattr(socket, "MSG_OOB"):
        raise UsageError("this platform has no MSG_OOB", option="--steps")
    return "send", (literal(_payload("oob", text)), constant("MSG_OOB"))


def _fill(kind: Kind, actor: str, text: str | None) -> Compiled:
    size = 70_000 if text is None else _number("fill", text, 2**24)
    return "send", (Argument(f"bytes({size})", lambda stage: bytes(size)),)


def _send_to(kind: Kind, actor: str, text: str | None) -> Compiled:
    return "sendto", (literal(HELLO), _destination(kind, actor, text, "sendto"))


def _receive(name: str) -> Callable[[Kind, str, str | None], Compiled]:
    return lambda kind, actor, text: (name, (literal(ROOM if text is None else _number(name, text, 2**24)),))


def _shutdown(kind: Kind, actor: str, text: str | None) -> Compiled:
    how = (text or "RDWR").upper().removeprefix("SHUT_")
    if how not in ("RD", "WR", "RDWR"):
        raise UsageError(f"shutdown={escape(text or '')}: RD, WR or RDWR", option="--steps")
    return "shutdown", (constant(f"SHUT_{how}"),)


def _get_option(kind: Kind, actor: str, text: str | None) -> Compiled:
    from sockkit import sockopts

    if not text:
        raise UsageError("getsockopt takes the name of an option: getsockopt=SO_ERROR", option="--steps")
    row = sockopts.find(text)
    if row.level_number is None or row.number is None:
        raise UsageError(f"this platform has no {row.name}", option="--steps")
    size = row.python_size(kind.family)
    if size is None:
        raise UsageError(f"Python's getsockopt cannot read {row.name}", option="--steps", hint=row.about)
    return "getsockopt", (
        named(row.level, row.level_number),
        named(row.name, row.number),
        *([literal(size)] if size else []),
    )


def _set_option(kind: Kind, actor: str, text: str | None) -> Compiled:
    from sockkit import sockopts

    if not text:
        raise UsageError("setsockopt takes NAME=VALUE: setsockopt=SO_RCVBUF=4096", option="--steps")
    row, value, _ = sockopts.parse_setting(text)
    assert row.level_number is not None and row.number is not None
    return "setsockopt", (named(row.level, row.level_number), named(row.name, row.number), literal(value))


def named(name: str, number: int) -> Argument:
    """A constant by its name, where Python's socket has it, else as its number."""
    text = f"socket.{name}" if getattr(socket, name, None) == number else str(number)
    return Argument(text, lambda stage: number)


def _blocking(kind: Kind, actor: str, text: str | None) -> Compiled:
    if text not in ("0", "1"):
        raise UsageError("setblocking takes 0 or 1: setblocking=0", option="--steps")
    return "setblocking", (literal(text == "1"),)


CALLS: tuple[CallRow, ...] = (
    CallRow("bind", "ADDRESS", "take an address; without one, a free one on the loopback", _bind),
    CallRow("listen", "BACKLOG", "take connections", _listen),
    CallRow("accept", "", "take a connection from the queue: `conn` from here on", _no_value("accept")),
    CallRow("connect", "ADDRESS", "connect; without an address, to `peer`", _connect),
    CallRow("send", "DATA", "send DATA (`hello`), with escapes such as `\\n` and `\\x00`", _send),
    CallRow("recv", "N", "receive N bytes at most (65536)", _receive("recv")),
    CallRow("shutdown", "RD|WR|RDWR", "end one direction or both (RDWR)", _shutdown),
    CallRow("getpeername", "", "the other end's address", _no_value("getpeername")),
    CallRow("getsockname", "", "its own address", _no_value("getsockname")),
    CallRow("sendto", "ADDRESS", "send `hello` to an address; without one, to `peer`", _send_to),
    CallRow("recvfrom", "N", "receive N bytes at most (65536), and from whom", _receive("recvfrom")),
    CallRow("fill", "N", "send N bytes of zeros (70000)", _fill),
    CallRow("oob", "DATA", "send DATA (`hello`) out of band, with MSG_OOB", _send_urgent),
    CallRow("getsockopt", "NAME", "read a socket option, raw", _get_option),
    CallRow("setsockopt", "NAME=VALUE", "set a socket option", _set_option),
    CallRow("setblocking", "0|1", "1: wait, 0: answer EAGAIN instead of waiting", _blocking),
    CallRow("close", "", "close it; every later call is EBADF", _no_value("close")),
)
"""What ``--steps`` knows; ``socketpair`` and ``all`` stand at the beginning only."""
_BY_NAME = {row.name: row for row in CALLS}


def split(texts: Iterable[str]) -> list[str]:
    r"""The steps of one or several ``--steps``: split at commas, but not at ``\,`` and not within parentheses.

    >>> split(["bind=('lo', 0),send=a\\,b", "recv"])
    ["bind=('lo', 0)", 'send=a,b', 'recv']
    """
    found = []
    for text in texts:
        current, depth, escaped = "", 0, False
        for character in text:
            if escaped:
                current += character if character == "," else "\\" + character
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == "," and depth <= 0:
                found.append(current)
                current = ""
            else:
                depth += (character == "(") - (character == ")")
                current += character
        found.append(current + ("\\" if escaped else ""))
    return [step.strip() for step in found]


def compile_step(text: str, kind: Kind) -> Step:
    """One step as typed: ``bind``, ``bind=127.0.0.1:80``, ``peer.send=hello``.

    Raises:
        UsageError: no such call, or a value that it does not take.
    """
    word, equals, value = text.partition("=")
    actor, dot, name = word.rpartition(".")
    actor, name = (actor.lower() if dot else "sock"), name.lower()
    if not word:
        raise UsageError(f"a step is empty in {quoted(text)}" if text else "a step is empty", option="--steps")
    if actor not in ACTORS:
        raise UsageError(f"{quoted(word)}: {', '.join(ACTORS)} are the sockets here", option="--steps")
    row = _BY_NAME.get(name)
    if row is None:
        if name in ("socketpair", "all"):
            raise UsageError(f"{name} stands at the beginning, or not at all", option="--steps")
        close = difflib.get_close_matches(name, _BY_NAME, 1)
        known = f"did you mean {close[0]}?" if close else f"{', '.join(_BY_NAME)} are"
        raise UsageError(f"{quoted(name)} is no step: {known}", option="--steps")
    method, arguments = row.compile(kind, actor, value if equals else None)
    address = None
    if name in ("bind", "connect", "sendto") and equals:
        address = arguments[-1].value(Stage.NOBODY)
    return Step(text, actor, name, method, arguments, address)


class Program(NamedTuple):
    """What to do, compiled.

    Attributes:
        spec: the socket to make.
        pair: begin with socketpair(2).
        steps: the calls.
        timeout: seconds that each may wait.
    """

    spec: SocketSpec
    pair: bool
    steps: tuple[Step, ...]
    timeout: float

    @property
    def kind(self) -> Kind:
        """Of its sockets."""
        return kind_of(self.spec, pair=self.pair)

    @property
    def peer(self) -> str | None:
        """When a peer has to be made: ``bound`` (it can be reached), ``free``, or None: nobody talks to it."""
        if self.pair:
            return None
        for step in self.steps:
            if step.actor == "peer":
                return "free" if step.call == "connect" else "bound"
            if any("peer." in argument.text for argument in step.arguments):
                return "bound"
        return None

    @property
    def keep_local(self) -> bool:
        """An unbound socket listens: the kernel would take any address, and the interface must be the loopback."""
        internet = self.kind.family in syscalls.INTERNET and self.kind.connected
        for step in self.steps:
            if step.actor == "sock" and step.call in ("bind", "connect"):
                return False
            if step.actor == "sock" and step.call == "listen":
                return internet
        return False


def kind_of(spec: SocketSpec, *, pair: bool = False) -> Kind:
    """The kind that a spec makes, Python's defaults filled in: a pair's family is AF_UNIX."""
    default = int(getattr(socket, "AF_UNIX", socket.AF_INET)) if pair else int(socket.AF_INET)
    family = default if spec.family is None else spec.family
    return Kind(family, syscalls.base_type(spec.type), spec.proto or 0)


def compile_steps(texts: Iterable[str], spec: SocketSpec, timeout: float | None = None) -> Program:
    """Read ``--steps``.

    Raises:
        UsageError: see ``compile_step``; no step at all, or far too many.
    """
    words = split(texts)
    pair = bool(words) and words[0].lower() == "socketpair"
    if pair:
        words = words[1:]
    if not words and not pair:
        raise UsageError("no step is given", option="--steps")
    if len(words) > MOST:
        raise UsageError(f"{len(words)} steps: {MOST} are the most", option="--steps")
    kind = kind_of(spec, pair=pair)
    steps = tuple(compile_step(word, kind) for word in words)
    program = Program(spec, pair, steps, TIMEOUT if timeout is None else timeout)
    if program.timeout <= 0:
        raise UsageError("a timeout of 0 seconds would be for ever: give more", option="--step-timeout")
    if program.keep_local and not syscalls.LINUX:
        raise UsageError("bind first: an unbound socket listens on every interface", option="--steps")
    return program


# ---- running them


class Outcome(NamedTuple):
    """What came of one call.

    Attributes:
        step: the call; None for what sockkit itself did to have somebody to talk to.
        python: the call in Python.
        value: what the method returned.
        shown: the same for people; None where it was refused.
        error: the refusal.
        why, hint: what the errno means here, and what to try.
        waited: it ended since ``--step-timeout`` was over.
        seconds: how long it took.
    """

    step: Step | None
    python: str
    value: object
    shown: str | None
    error: Exception | None
    why: str | None
    hint: str | None
    waited: bool
    seconds: float

    @property
    def name(self) -> str:
        """``ok``, the errno's name, or the Python exception's where there is no errno."""
        return outcome_name(self.error)


class Stage:
    """The sockets of one run."""

    NOBODY: Stage

    def __init__(self, env: Env, timeout: float = TIMEOUT) -> None:
        self.env = env
        self.timeout = timeout
        self.sockets: dict[str, socket.socket] = {}
        self.paths: list[OwnPath] = []
        self.all: list[socket.socket] = []

    def put(self, actor: str, sock: socket.socket) -> None:
        """From now on this is what the name means; it is closed at the end."""
        if not ALARM:
            sock.settimeout(self.timeout)
        self.sockets[actor] = sock
        self.all.append(sock)

    def get(self, actor: str) -> socket.socket:
        """The socket of that name.

        Raises:
            NameError: as Python says it for a name that was never assigned.
        """
        if actor not in self.sockets:
            raise NameError(f"name {actor!r} is not defined")
        return self.sockets[actor]

    def close(self) -> None:
        """Close whatever is open, and remove the paths that were made."""
        for sock in self.all:
            if sock.fileno() != -1:
                syscalls.close(self.env, sock)
        for path in self.paths:
            path.remove()


Stage.NOBODY = Stage(syscalls.QUIET)


def start(program: Program, stage: Stage) -> Iterator[Outcome]:
    """Make the socket, or the pair, and limit how long its calls may wait.

    Raises:
        UsageError: parameters that never reach the kernel. OSError: the kernel's refusal.
    """
    env = stage.env
    if program.pair:
        sock, peer = syscalls.pair(env, program.spec)
        stage.put("sock", sock)
        stage.put("peer", peer)
    else:
        stage.put("sock", syscalls.make(env, program.spec))
    if program.keep_local:
        yield _do(
            stage,
            None,
            "sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'lo')",
            lambda: syscalls.bind_to_loopback(env, stage.get("sock")),
            "an unbound socket that listens is everybody's: this one hears the loopback only",
        )
    if program.peer is not None:
        yield from _make_peer(program, stage)


def _make_peer(program: Program, stage: Stage) -> Iterator[Outcome]:
    """Somebody to talk to: a second socket of the same kind; bound, and listening where that is what it takes."""
    env = stage.env
    address: Any = local(program.kind.family).bind

    def make() -> str:
        peer = syscalls.make(env, program.spec)
        stage.put("peer", peer)
        if program.peer == "free":
            return "another socket of the same kind"
        syscalls.bind(env, peer, address)
        if program.kind.listens:
            syscalls.listen(env, peer)
        bound = addresses.format_address(peer.family, syscalls.method(env, peer, "getsockname"))
        return f"another socket of the same kind, {'listening on' if program.kind.listens else 'bound to'} {bound}"

    yield _do(stage, None, f"peer = {code.socket_call(program.spec)}", make, None)


def run_steps(program: Program, stage: Stage) -> Iterator[Outcome]:
    """The calls, one after the other; a refusal does not end the row."""
    for step in program.steps:
        call = partial(_call, stage, step)
        outcome = _do(stage, step, step.python, call, None)
        yield _explained(outcome, program, stage)


def _call(stage: Stage, step: Step) -> object:
    sock = stage.get(step.actor)
    arguments = tuple(argument.value(stage) for argument in step.arguments)
    result = syscalls.method(stage.env, sock, step.method, *arguments)
    if step.call == "bind" and has_path(sock.family, arguments[0]):
        stage.paths.append(OwnPath(arguments[0]))
    if step.call == "accept":
        stage.put("conn", result[0])
    return result


def _do(stage: Stage, step: Step | None, python: str, call: Callable[[], object], remark: str | None) -> Outcome:
    begun = stage.env.clock()
    value: object = None
    error: Exception | None = None
    try:
        with syscalls.limited(stage.timeout):
            value = call()
    except UsageError as refusal:  # Python's own: an address of the wrong shape
        error = refusal.cause if isinstance(refusal.cause, Exception) else refusal
    except Exception as refusal:
        error = refusal
    shown = None
    if error is None:
        shown = remark or (value if step is None and isinstance(value, str) else None)
        shown = shown or (show(step, value, stage) if step is not None else "")
    return Outcome(step, python, value, shown, error, None, None, False, stage.env.clock() - begun)


def size(count: int) -> str:
    """``1 byte``, ``2 bytes``."""
    return f"{count} byte{'' if count == 1 else 's'}"


def show(step: Step, value: Any, stage: Stage) -> str:
    """What a call gave, for people."""
    sock = stage.get(step.actor)
    match step.method:
        case "accept":
            return f"conn: a connection from {addresses.format_address(sock.family, value[1])}"
        case "getsockname" | "getpeername":
            return addresses.format_address(sock.family, value)
        case "send" | "sendto":
            return size(value)
        case "recv":
            return f"{size(len(value))}: {preview(value, 40)}" if value else "0 bytes: the end, or an empty message"
        case "recvfrom":
            sender = addresses.format_address(sock.family, value[1])
            return f"{size(len(value[0]))} from {sender}: {preview(value[0], 40)}"
        case "getsockopt":
            from sockkit import sockopts

            row = sockopts.find(step.text.partition("=")[2])
            return row.show(row.decode(value))
    return "done"


WAITING = {
    "accept": "nobody connected",
    "recv": "nothing arrived",
    "recvfrom": "nothing arrived",
    "connect": "nobody answered",
    "send": "nobody took it, and the buffers are full",
    "sendto": "nobody took it, and the buffers are full",
}


def _explained(outcome: Outcome, program: Program, stage: Stage) -> Outcome:
    """With the reason for a refusal."""
    error, step = outcome.error, outcome.step
    if error is None or step is None:
        return outcome
    if isinstance(error, NameError):
        source = "no connection was accepted" if step.actor == "conn" else "it could not be made"
        return outcome._replace(why=f"there is no {step.actor}: {source}")
    name = errno_name(getattr(error, "errno", None))
    if isinstance(error, TimeoutError) and name is None:
        limit = f"within {program.timeout:g} s"
        text = f"it would wait for ever: {WAITING.get(step.method, 'nothing happened')} {limit}"
        return outcome._replace(why=text, waited=True)
    kind = program.kind
    found = rules.meaning(
        step.method,
        name,
        family=kind.family,
        type=kind.type,
        address=None if step.address is None else addresses.format_address(kind.family, step.address),
    )
    if found is not None:
        return outcome._replace(why=found.text, hint=found.hint)
    return outcome


def perform(program: Program, env: Env) -> Performance:
    """Do it all.

    Raises:
        UsageError: parameters that never reach the kernel. OSError: the socket itself was refused.
    """
    stage = Stage(env, program.timeout)
    outcomes: list[Outcome] = []
    got = syscalls.Identity(None, None, None)
    try:
        try:
            for outcome in start(program, stage):
                outcomes.append(outcome)
            got = syscalls.identity(env, stage.get("sock"))
            for outcome in run_steps(program, stage):
                outcomes.append(outcome)
        except KeyboardInterrupt:
            return Performance(program, got, tuple(outcomes), False)
        return Performance(program, got, tuple(outcomes), True)
    finally:
        stage.close()


class Performance(NamedTuple):
    """What came of a program.

    Attributes:
        got: what the kernel says of the socket.
        outcomes: of its calls, and of what sockkit did for them.
        complete: False where Ctrl-C ended it early.
    """

    program: Program
    got: syscalls.Identity
    outcomes: tuple[Outcome, ...]
    complete: bool

    @property
    def steps(self) -> list[Outcome]:
        """Of the calls that were asked for."""
        return [outcome for outcome in self.outcomes if outcome.step is not None]


# ---- the report


def report(found: Performance, time: float) -> Report:
    """Every call with what it gave or why it was refused."""
    program = found.program
    spec = program.spec
    title = code.socket_call(spec, "socketpair") if program.pair else call_text(spec)
    rows = []
    for outcome in found.outcomes:
        name = outcome.step.text if outcome.step is not None else "(sockkit)"
        if outcome.error is None:
            rows.append(Row((name, outcome.shown or "", ""), "faint" if outcome.step is None else "good"))
        else:
            why = "; try: ".join(filter(None, (outcome.why, outcome.hint)))
            rows.append(Row((name, describe(outcome.error), why), "changed" if outcome.waited else "error"))
    asked = spec if not program.pair or spec.family is not None else spec._replace(family=program.kind.family)
    sections = (asked_and_got(asked, found.got), Section("", ("step", "result", "why"), tuple(rows)))
    whole = full(asked)
    family = whole.family if found.got.family is None else found.got.family
    data: dict[str, object] = {
        "ok": all(outcome.error is None for outcome in found.steps),
        "complete": found.complete,
        "call": title,
        "asked": numbers(tuple(whole), whole.family) | {"fileno": None},
        "got": numbers(tuple(found.got), family),
        "timeout": program.timeout,
        "steps": [step_data(outcome) for outcome in found.outcomes],
        "platform": sys.platform,
    }
    return Report(time, "probe", title, data, sections)


def step_data(outcome: Outcome) -> dict[str, object]:
    """For JSON. ``step`` is None for what sockkit did to have somebody to talk to."""
    value = outcome.value
    return {
        "step": None if outcome.step is None else outcome.step.text,
        "python": outcome.python,
        "ok": outcome.error is None,
        "result": outcome.shown,
        "value": value if isinstance(value, int) and not isinstance(value, bool) else None,
        "error": error_data(outcome.error),
        "why": outcome.why,
        "try": outcome.hint,
        "waited": outcome.waited,
        "seconds": round(outcome.seconds, 6),
    }


def run(plan: ProbePlan, space: Space | None, env: Env) -> Exit:
    """``--steps``, on one socket or on each of a space.

    Raises:
        UsageError: a step, a value or an expectation that cannot be.
    """
    if plan.fileno is not None:
        raise UsageError(
            "--steps calls on a socket of its own: looking at one that was lent does not touch it", option="--steps"
        )
    every = [word.lower() for word in split(plan.steps)] == ["all"]
    if every or space is not None:
        from sockkit.commands import callsheet

        return callsheet.run(plan, space, env, every=every)
    spec = plan.socket_spec()
    program = compile_steps(plan.steps, spec, plan.step_timeout)
    check_count(plan.expect, len(program.steps))
    if plan.code:
        code.tell(env, "probe", code.steps(program))
        return Exit.OK
    try:
        with interruptible():
            found = perform(program, env)
    except OSError as error:
        if program.pair:
            tip = "only AF_UNIX has pairs (and AF_TIPC)" if error.errno in PAIRLESS else None
            if (
                plan.expect is not None
                and of_one(plan.expect._replace(wanted=plan.expect.wanted[:1]), outcome_name(error)) is None
            ):
                return Exit.OK
            raise SystemRefusal("socketpair", error, hint=tip) from error
        refused = probe(spec, env)
        problem = None if plan.expect is None else of_steps(plan.expect, [("socket", refused.outcome)])
        return conclude(env, probe_report(refused, env.clock()), plan.expect, problem, ok=refused.ok)
    outcomes = [(outcome.step.text, outcome.name) for outcome in found.steps if outcome.step is not None]
    problem = None if plan.expect is None else of_steps(plan.expect, outcomes)
    result = conclude(
        env, report(found, env.clock()), plan.expect, problem, ok=all(name == "ok" for _, name in outcomes)
    )
    if not found.complete:
        raise Signalled(signal.SIGINT)
    return result


PAIRLESS = tuple(getattr(errno, name) for name in ("EOPNOTSUPP", "ENOSYS") if hasattr(errno, name))


def complete(start: str) -> list[tuple[str, str]]:
    """Completion of the last step of a list."""
    before, comma, word = start.rpartition(",")
    first = [("socketpair", "begin with two connected sockets"), ("all", "the table of calls and kinds")]
    known = [*([] if comma else first), *((row.name, row.what) for row in CALLS)]
    return [(f"{before}{comma}{name}", what) for name, what in known if name.startswith(word)]
