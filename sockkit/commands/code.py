"""``--code``: the Python that does what a command does, ready to paste. Nothing is done: it is only told.

What a person would write: blocking calls, a thread where two things wait at once. An option that this code does not have is named in a
comment at its top, never dropped in silence.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sockkit import addresses, names, syscalls
from sockkit.errors import UsageError
from sockkit.events import Code, Env
from sockkit.semantics import semantics
from sockkit.spec import SocketSpec, options

if TYPE_CHECKING:
    from sockkit.commands.connect import ConnectPlan
    from sockkit.commands.endpoint import EndpointPlan
    from sockkit.commands.inspect import Inspection
    from sockkit.commands.options import Setting
    from sockkit.commands.serve import ServePlan
    from sockkit.commands.steps import Program
    from sockkit.matrix import Space
    from sockkit.sockopts import SockOption
    from sockkit.spec import Plan

SIZE = 65536
"""Bytes of one read or receive."""
NEVER_DROPPED = frozenset(("tls", "proxy", "access", "programs", "faults"))
"""Groups of options without which the code would do something else than was asked for."""
ALWAYS = frozenset(
    ("quiet", "verbose", "json", "outputs", "force", "code", "address", "numeric", "half_close", "no_edit")
)
"""Fields that change nothing in the code, or are in it always."""


def tell(env: Env, command: str, text: str) -> None:
    """Hand the code to whoever shows it."""
    env.observer(Code(env.clock(), command, text))


# ---- names and calls


def constant(name: str | None, number: int) -> str:
    """A number by its name in Python's ``socket``, if it has one there."""
    if name is not None and getattr(socket, name, None) == number:
        return f"socket.{name}"
    return str(number)


def family_text(number: int) -> str:
    """``socket.AF_INET``."""
    return constant(names.FAMILIES.name(number), number)


def type_text(number: int) -> str:
    """``socket.SOCK_DGRAM | socket.SOCK_NONBLOCK``."""
    base, flags = names.TYPES.parts(number)
    label = names.TYPES.label(base).partition(" (")[0]
    parts = [constant(label, base)]
    for flag in ("SOCK_NONBLOCK", "SOCK_CLOEXEC"):
        value = getattr(socket, flag, 0)
        if value and flags & value:
            parts.append(f"socket.{flag}")
            flags &= ~value
    return " | ".join([*parts, *([str(flags)] if flags else [])])


def proto_text(family: int, number: int) -> str:
    """``socket.IPPROTO_TCP``."""
    return constant(names.protocols(family).name(number) if number else None, number)


def socket_call(spec: SocketSpec, function: str = "socket") -> str:
    """``socket.socket(type=socket.SOCK_DGRAM)``: what was given, by its name, and nothing else."""
    family = 2 if spec.family is None else spec.family
    given = {
        "family": None if spec.family is None else family_text(spec.family),
        "type": None if spec.type is None else type_text(spec.type),
        "proto": None if spec.proto is None else proto_text(family, spec.proto),
        "fileno": None if spec.fileno is None else str(spec.fileno),
    }
    if given["family"] and given["type"]:
        words = [given["family"], given["type"], *([given["proto"]] if given["proto"] else [])]
        words += [f"fileno={given['fileno']}"] if given["fileno"] else []
    else:
        words = [f"{name}={text}" for name, text in given.items() if text is not None]
    return f"socket.{function}({', '.join(words)})"


def option_call(sock: str, row: SockOption, value: int | bytes) -> str:
    """``sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)``."""
    assert row.level_number is not None and row.number is not None
    names_ = f"{constant(row.level, row.level_number)}, {constant(row.name, row.number)}"
    comment = "" if hasattr(socket, row.name) else f"  # {row.name}"
    return f"{sock}.setsockopt({names_}, {literal(value)}){comment}"


CONTINUES = ("except", "else", "elif", "finally")


def script(imports: Iterable[str], *parts: Sequence[str], missing: Sequence[str] = ()) -> str:
    """A whole program: imports, then the parts, an empty line between them.

    The interactive prompt wants an empty line behind every block, and none within: so it is.
    """
    head = [f"# Not in this code: {', '.join(missing)}"] if missing else []
    lines = [*head, *(f"import {name}" for name in sorted(set(imports)))]
    for part in filter(None, parts):
        definition = part[0].startswith(("def ", "@"))
        lines += [""] if definition and not lines[-1] else ["", ""] if definition else [""]
        for before, line in zip(("", *part), part, strict=False):
            if before.startswith(" ") and not line.startswith((" ", *CONTINUES)):
                lines.append("")
            lines.append(line)
        lines += [""] if definition else []
    return "\n".join(lines).rstrip("\n") + "\n"


def literal(value: object) -> str:
    """A value as a person writes it, in double quotes."""
    if isinstance(value, tuple):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    text = repr(value)
    if isinstance(value, (str, bytes)) and text.endswith("'") and '"' not in text:
        return text.replace("'", '"')
    return text


def missing(plan: Plan, known: Iterable[str]) -> list[str]:
    """The options that were given and that the code does not have.

    Raises:
        UsageError: one that must not be left out: who may talk to whom, and what they see of it, would change.
    """
    handled = ALWAYS | {"family", "type", "proto", "fileno"} | set(known)
    rows = [row for row in options(type(plan)) if row.field not in handled and getattr(plan, row.field) != row.default]
    for row in rows:
        if row.group in NEVER_DROPPED or row.field == "telnet":
            raise UsageError(
                f"it is not known to --code, which would do without: leave {row.names[-1]} out", option="--code"
            )
    return [row.names[-1] for row in rows]


# ---- probe


IDENTITY = (("SO_DOMAIN", syscalls.SO_DOMAIN), ("SO_TYPE", socket.SO_TYPE), ("SO_PROTOCOL", syscalls.SO_PROTOCOL))


def probe(spec: SocketSpec, settings: Sequence[Setting] = ()) -> str:
    """Make the socket, say what the kernel made of it, close it."""
    asked = [
        f'    print("{name}", sock.getsockopt(socket.SOL_SOCKET, {constant(name, number)}))'
        for name, number in IDENTITY
        if number is not None
    ]
    body = [
        "try:",
        f"    sock = {socket_call(spec)}",
        "except OSError as error:",
        '    print(f"{type(error).__name__}: {error}")',
        "else:",
        *(f"    {option_call('sock', row, value)}" for row, value, _ in settings),
        "    print(sock)",
        *asked,
        "    sock.detach()  # it was lent to us" if spec.fileno is not None else "    sock.close()",
    ]
    return script(["socket"], body)


def _axis(numbers: Sequence[int]) -> str:
    """Numbers as Python has them shortest: ``range(46)``, ``(1, 2, 3)``."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 2 and list(numbers) == list(range(first, last + 1)):
        return f"range({last + 1})" if first == 0 else f"range({first}, {last + 1})"
    return f"({', '.join(map(str, numbers))},)" if len(numbers) == 1 else f"({', '.join(map(str, numbers))})"


def space(space: Space) -> str:
    """Ask for every combination, none inferred."""
    loop = [
        f"for family in {_axis(space.families)}:",
        f"    for type in {_axis(space.types)}:",
        f"        for proto in {_axis(space.protos)}:",
        "            try:",
        "                socket.socket(family, type, proto).close()",
        '                print(family, type, proto, "ok")',
        "            except OSError as error:",
        "                print(family, type, proto, errno.errorcode.get(error.errno, error))",
    ]
    return script(["errno", "socket"], loop)


def steps(program: Program) -> str:
    """One call after the other, each refusal said."""
    from sockkit.commands.steps import ALARM, local

    spec, kind = program.spec, program.kind
    raw = [argument.text for step in program.steps for argument in step.arguments if argument.text.startswith("hex:")]
    if raw or (program.peer == "bound" and isinstance(local(kind.family).bind, addresses.Sockaddr)):
        raise UsageError("Python's socket has no form for such an address, and so --code has none", option="--code")
    body = []
    if program.pair:
        body.append(f"sock, peer = {socket_call(spec, 'socketpair')}")
    else:
        body.append(f"sock = {socket_call(spec)}")
    if program.keep_local:
        body.append("# An unbound socket that listens is everybody's: this one hears the loopback only.")
        body.append('sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")')
    friend: list[str] = []
    if program.peer is not None:
        friend = ["# Somebody to talk to.", f"peer = {socket_call(spec)}"]
        if program.peer == "bound":
            friend.append(f"peer.bind({literal(local(kind.family).bind)})")
            if kind.listens:
                friend.append("peer.listen()")
    calls = []
    for step in program.steps:
        name = literal(step.text)
        calls.append(f"with step({name}):")
        if step.call == "accept":
            calls += [f"    conn, address = {step.python}", f"    print({name}, address)"]
        else:
            calls.append(f"    print({name}, {step.python})")
    alarm = [
        "def alarm(number, frame):",
        f'    raise TimeoutError("timed out after {program.timeout:g} s")',
    ]
    helper = [
        "@contextlib.contextmanager",
        "def step(name):",
        '    """A call that may be refused, and that may wait for so long: the next one follows all the same."""',
        f"    signal.setitimer(signal.ITIMER_REAL, {program.timeout:g})",
        "    try:",
        "        yield",
        "    except Exception as error:",
        '        print(name, f"{type(error).__name__}: {error}")',
        "    finally:",
        "        signal.setitimer(signal.ITIMER_REAL, 0)",
    ]
    if not ALARM:
        put = [f"{actor}.settimeout({program.timeout:g})" for actor in ("sock", *(["peer"] if program.pair else []))]
        friend[2:2] = [f"peer.settimeout({program.timeout:g})"] if friend else []
        helper = [line for line in helper if "signal" not in line and "finally" not in line]
        return script(["contextlib", "socket"], helper, [*body, *put], friend, calls)
    watch = ["signal.signal(signal.SIGALRM, alarm)"]
    return script(["contextlib", "signal", "socket"], alarm, helper, [*watch, *body], friend, calls)


# ---- inspect


def inspect(found: Inspection, settings: Sequence[Setting]) -> str:
    """Look at the socket: what Python believes, addresses, every option that was read."""
    spec = found.asked
    rows = []
    for value in found.options:
        row = value.row
        size = row.python_size(2 if found.kernel.family is None else found.kernel.family)
        if row.reading or row.level_number is None or row.number is None or size is None:
            continue
        where = f"{constant(row.level, row.level_number)}, {constant(row.name, row.number)}"
        rows.append(f'    ("{row.name}", {where}{f", {size}" if size else ""}),')
    body = [
        f"sock = {socket_call(spec)}",
        *(option_call("sock", row, value) for row, value, _ in settings),
        "print(sock)",
        'for name in ("getsockname", "getpeername", "gettimeout", "get_inheritable"):',
        "    try:",
        "        print(name, getattr(sock, name)())",
        "    except OSError as error:",
        "        print(name, error)",
    ]
    loop = [
        "# Name, level, number, and how many bytes to ask for where it is more than an int.",
        "OPTIONS = [",
        *rows,
        "]",
        "for name, *where in OPTIONS:",
        "    try:",
        "        print(name, sock.getsockopt(*where))",
        "    except OSError as error:",
        "        print(name, error)",
        "sock.detach()  # it was lent to us" if spec.fileno is not None else "sock.close()",
    ]
    return script(["socket"], body, loop)


# ---- serve and connect


def _set(plan: EndpointPlan, sock: str, *moments: str) -> list[str]:
    return [option_call(sock, row, value) for row, value, _ in plan.parsed_settings() if row.moment.name in moments]


BEFORE = ("BEFORE_BIND",)
AFTER = ("BEFORE_CONNECT", "ANY")


def _converse(plan: EndpointPlan, *, messages: bool) -> tuple[list[str], list[str], list[str]]:
    """stdin to the socket, the socket to stdout: (imports, a function, calls)."""
    imports = ["sys", "threading"]
    what, file = "stdin", "sys.stdin.buffer"
    if plan.file is not None:
        what, file = "A file", f'open({literal(plan.file)}, "rb")'
    send = f"sock.{'send' if messages else 'sendall'}"
    crlf = '.replace(b"\\n", b"\\r\\n")' if plan.crlf else ""
    if plan.texts:
        what = "What is to be said"
        pieces = plan.texts
        if plan.lines:
            pieces = tuple(b"".join(pieces).removesuffix(b"\n").split(b"\n"))
        body = [f"for data in {literal(pieces)}:", f"    {send}(data{crlf})"]
    elif plan.lines:
        body = [f"for line in {file}:", '    sock.send(line.removesuffix(b"\\n"))']
    elif plan.line_delay:
        body = [f"for line in {file}:", f"    {send}(line{crlf})"]
    else:
        read = f"file.read({SIZE})" if plan.file is not None else f"{file}.read1({SIZE if not messages else 65507})"
        body = [f"while data := {read}:", f"    {send}(data{crlf})"]
        if plan.file is not None:
            body = [f"with {file} as file:", *(f"    {line}" for line in body)]
    if plan.line_delay:
        imports.append("time")
        body.append(f"    time.sleep({plan.line_delay:g})")
    forward = [
        "def forward():",
        f'    """{what} to the socket' + ('; its end too."""' if not (messages or plan.no_shutdown) else '."""'),
        *(f"    {line}" for line in body),
    ]
    if plan.recv_only:
        receive = [
            "while data := sock.recv(65536):",
            "    sys.stdout.buffer.write(data)",
            "    sys.stdout.buffer.flush()",
        ]
        return ["sys"], [], receive
    if plan.send_only:
        end = [] if messages or plan.no_shutdown else ["    sock.shutdown(socket.SHUT_WR)"]
        return [name for name in imports if name != "threading"], [*forward, *end], ["forward()"]
    if messages:
        forward.append("    ended.set()")
        imports.append("select")
        receive = [
            "ended = threading.Event()",
            "threading.Thread(target=forward, daemon=True).start()",
            "while True:",
            f"    if select.select([sock], [], [], {plan.reply_wait:g})[0]:",
            f"        sys.stdout.buffer.write(sock.recv({SIZE}))",
            "        sys.stdout.buffer.flush()",
            "    elif ended.is_set():",
            f"        break  # stdin has ended, and no reply came for {plan.reply_wait:g} s",
        ]
    else:
        if not plan.no_shutdown:
            forward.append("    sock.shutdown(socket.SHUT_WR)")
        receive = [
            "thread = threading.Thread(target=forward, daemon=True)",
            "thread.start()",
            f"while data := sock.recv({SIZE}):",
            "    sys.stdout.buffer.write(data)",
            "    sys.stdout.buffer.flush()",
            f"thread.join({plan.after_end:g})  # the peer has ended: stdin may still have something to say",
        ]
    return imports, forward, receive


CONVERSATION = (
    "ipv4",
    "ipv6",
    "udp",
    "unix",
    "settings",
    "no_shutdown",
    "reply_wait",
    "after_end",
    "lines",
    "crlf",
    "raw",
    "texts",
    "file",
    "send_only",
    "recv_only",
    "line_delay",
)


def _conversation(plan: EndpointPlan) -> tuple[str, ...]:
    """An interface is SO_BINDTODEVICE; for multicast, and link-local addresses, it is more."""
    return (*CONVERSATION, "interface") if plan.interface is not None and not plan.udp else CONVERSATION


def connect(plan: ConnectPlan) -> str:
    """Connect, then carry stdin to the socket and the socket to stdout."""
    known = (*_conversation(plan), "source", "source_port", "connect_timeout", "wait", "zero", "oob")
    timeout = plan.connect_timeout if plan.connect_timeout is not None else plan.wait
    timeout = 10.0 if timeout is None else timeout
    imports = ["socket"]
    spec = plan.socket_spec()
    if plan.fileno is not None:
        body = [f"sock = {socket_call(plan.socket_spec())}", *_set(plan, "sock", *BEFORE, *AFTER)]
        if plan.address:
            body.append(f"sock.connect({literal(plan.target(plan.address).address)})")
    else:
        target = plan.target(plan.address)
        body = _connecting(plan, target, timeout)
        imports += ["sys"] if target.address is None else []
        spec = plan.spec_for(target.family or socket.AF_INET, target)
    if plan.oob:
        body.append(f"sock.send({literal(plan.oob)}, socket.MSG_OOB)")
    if plan.zero and plan.udp:
        body += [f"sock.settimeout({2 if plan.connect_timeout is plan.wait is None else timeout:g})", 'sock.send(b"")']
        body += [
            'print("answered:", sock.recv(65536))  # or TimeoutError, or ConnectionRefusedError: closed',
            "sock.close()",
        ]
        return script(imports, body, missing=missing(plan, known))
    if plan.zero:
        body += ['print("connected to", sock.getpeername())', "sock.close()"]
        return script(imports, body, missing=missing(plan, known))
    means = semantics(spec.family, syscalls.base_type(spec.type), spec.proto)
    if plan.fileno is None and means.boundaries and plan.asks_many(target.family or 0, target.address):
        raise UsageError("its socket is connected, and would not hear who answers a group", option="--code")
    more, forward, receive = _converse(plan, messages=means.boundaries)
    end = "sock.detach()  # it was lent to us" if plan.fileno is not None else "sock.close()"
    return script([*imports, *more], body, forward, [*receive, end], missing=missing(plan, known))


def _connecting(plan: ConnectPlan, target: addresses.Target, timeout: float) -> list[str]:
    bind = _source(plan, target)
    before = [*_set(plan, "sock", *BEFORE), *([f"sock.bind({literal(bind)})"] if bind is not None else [])]
    before += _set(plan, "sock", *AFTER)
    if target.address is not None:
        assert target.family is not None
        return [
            f"sock = {socket_call(_whole(plan, target))}",
            *before,
            f"sock.settimeout({timeout:g})",
            f"sock.connect({literal(target.address)})",
            "sock.settimeout(None)",
            *_set(plan, "sock", "CONNECTED"),
        ]
    family = "" if target.family is None else f", family={family_text(target.family)}"
    look_up = f"socket.getaddrinfo({literal(target.host)}, {target.port}{family}, type={type_text(_whole(plan, target).type or 0)})"
    return [
        f"for family, type, proto, _, address in {look_up}:",
        "    sock = socket.socket(family, type, proto)",
        *(f"    {line}" for line in before),
        f"    sock.settimeout({timeout:g})",
        "    try:",
        "        sock.connect(address)",
        "        break",
        "    except OSError as error:",
        '        print("connect to", address, error, file=sys.stderr)',
        "        sock.close()",
        "else:",
        "    sys.exit(1)",
        "sock.settimeout(None)",
        *_set(plan, "sock", "CONNECTED"),
    ]


def scan(plan: ConnectPlan, target: addresses.Target, asked: Sequence[int], timeout: float) -> str:
    """Ask one port after the other."""
    known = (*_conversation(plan), "source", "source_port", "connect_timeout", "wait", "zero")
    spec = _whole(plan, target)
    numbers = _axis(asked)
    if isinstance(target.address, tuple):
        host, _, *more = target.address
        look_up = []
        call, address = socket_call(spec), f"({', '.join([literal(host), 'port', *map(literal, more)])})"
    else:
        family = "" if target.family is None else f", {family_text(target.family)}"
        look_up = [f"family, _, _, _, (host, *_) = socket.getaddrinfo({literal(target.host)}, None{family})[0]"]
        proto = f", {proto_text(2, spec.proto)}" if spec.proto else ""
        call, address = f"socket.socket(family, {type_text(spec.type or 1)}{proto})", "(host, port)"
    bind = _source(plan, target)
    before = [*_set(plan, "sock", *BEFORE), *([f"sock.bind({literal(bind)})"] if bind is not None else [])]
    before += [*_set(plan, "sock", *AFTER), f"sock.settimeout({timeout:g})"]
    answer = ['sock.send(b"")', "sock.recv(1)"] if plan.udp else []
    loop = [
        f"for port in {numbers}:",
        f"    with {call} as sock:",
        *(f"        {line}" for line in before),
        "        try:",
        *(f"            {line}" for line in (f"sock.connect({address})", *answer, 'print(port, "open")')),
        "        except OSError as error:",
        "            print(port, errno.errorcode.get(error.errno, error))",
    ]
    return script(["errno", "socket"], look_up, loop, missing=missing(plan, known))


def _whole(plan: EndpointPlan, target: addresses.Target) -> SocketSpec:
    """With family and type, since an address says what they are."""
    if isinstance(target.address, addresses.Sockaddr):
        raise UsageError("Python's socket has no form for this address, and so --code has none", option="--code")
    spec = plan.spec_for(target.family or socket.AF_INET, target)
    return spec._replace(type=int(socket.SOCK_STREAM) if spec.type is None else spec.type)


def _source(plan: ConnectPlan, target: addresses.Target) -> Any:
    if plan.source is not None:
        internet = target.family is None or target.family in syscalls.INTERNET
        port = plan.source_port or (0 if internet else None)
        return addresses.parse_target([plan.source], family=target.family, port=port, argument="-s").address
    if plan.source_port is not None:
        return ("::" if target.family == syscalls.AF_INET6 else "0.0.0.0", plan.source_port)
    if (
        target.family == getattr(socket, "AF_UNIX", None)
        and syscalls.base_type(plan.type_number()) == socket.SOCK_DGRAM
    ):
        return ""
    return None


def serve(plan: ServePlan) -> str:
    """Listen; echo, discard, or carry to and from stdin and stdout."""
    known = [*_conversation(plan), "port", "mode", "once", "backlog", "socket_mode"]
    target = None if plan.fileno is not None else plan.target(plan.address, plan.port)
    spec = plan.socket_spec() if target is None else _whole(plan, target)
    stream = semantics(spec.family, syscalls.base_type(spec.type), spec.proto).connections
    if plan.mode not in ("echo", "discard", "pipe"):
        raise UsageError("--code knows the modes echo, discard and pipe", option="--code")
    if plan.mode == "pipe" and not stream:
        raise UsageError("with datagrams --code knows the modes echo and discard", option="--code")
    if target is None:
        listener = [f"listener = {socket_call(plan.socket_spec())}", *_set(plan, "listener", *BEFORE, *AFTER)]
        path = None
    else:
        listener, path = _listening(plan, target, stream)
    imports = ["socket", "sys"]
    listener.append('print("listening on", listener.getsockname(), file=sys.stderr, flush=True)')
    if path is not None or plan.socket_mode is not None:
        imports.append("os")
    end = [f"os.unlink({literal(path)})"] if path is not None and (plan.once or plan.mode == "pipe") else []
    if plan.mode == "pipe":
        more, forward, receive = _converse(plan, messages=False)
        accept = [
            "sock, peer = listener.accept()",
            "listener.close()",
            *_set(plan, "sock", "CONNECTED"),
            *receive,
            "sock.close()",
            *end,
        ]
        return script([*imports, *more], listener, forward, accept, missing=missing(plan, known))
    send = {"echo": ["sock.sendall(data)"], "discard": ["pass"]}[plan.mode]
    if not stream:
        reply = ["listener.sendto(data, peer)"] if plan.mode == "echo" else []
        again = [f"data, peer = listener.recvfrom({SIZE})", *reply]
        loop = [*again, "listener.close()", *end] if plan.once else ["while True:", *(f"    {line}" for line in again)]
        return script(imports, listener, loop, missing=missing(plan, known))
    talk = [
        f"def {plan.mode}(sock):",
        f'    """{"Send back what comes" if plan.mode == "echo" else "Throw away what comes"}, until its end."""',
        "    with sock:",
        *(f"        {line}" for line in _set(plan, "sock", "CONNECTED")),
        f"        while data := sock.recv({SIZE}):",
        *(f"            {line}" for line in send),
    ]
    if plan.once:
        loop = ["sock, peer = listener.accept()", "listener.close()", f"{plan.mode}(sock)", *end]
    else:
        imports.append("threading")
        loop = [
            "while True:",
            "    sock, peer = listener.accept()",
            f"    threading.Thread(target={plan.mode}, args=(sock,), daemon=True).start()",
        ]
    return script(imports, listener, talk, loop, missing=missing(plan, known))


def _listening(plan: ServePlan, target: addresses.Target, stream: bool) -> tuple[list[str], Any]:
    """Make, bind, listen; and the path that has to be removed at the end, or None."""
    from sockkit.commands.endpoint import has_path

    body = []
    if target.address is None:
        family = "" if target.family is None else f", family={family_text(target.family)}"
        kind = type_text(_whole(plan, target).type or 0)
        passive = f"{literal(target.host)}, {target.port}{family}, type={kind}"
        body.append(f"family, type, proto, _, address = socket.getaddrinfo({passive})[0]")
        body.append("listener = socket.socket(family, type, proto)")
        address = "address"
    else:
        assert target.family is not None
        body.append(f"listener = {socket_call(_whole(plan, target))}")
        address = literal(target.address)
    if plan.ipv6:
        body.append("listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)")
    body += _set(plan, "listener", *BEFORE)
    path = target.address if target.family is not None and has_path(target.family, target.address) else None
    if plan.socket_mode is not None:
        body += [f"os.umask(0o777 & ~{plan.socket_mode:#o})"]
    body.append(f"listener.bind({address})")
    body += _set(plan, "listener", "BEFORE_CONNECT")
    if stream:
        body.append(f"listener.listen({'' if plan.backlog is None else plan.backlog})")
    body += _set(plan, "listener", "ANY")
    return body, path
