"""What ``serve`` and ``connect`` share: the options of a conversation, and making its socket."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from sockkit import names, stdio, syscalls
from sockkit.addresses import Target, format_address, parse_target
from sockkit.errors import Signalled, SystemRefusal, UsageError, errno_name
from sockkit.events import Call, Env, Interest, Level, Note
from sockkit.loop import READ, Loop
from sockkit.resolve import Resolution, Resolved
from sockkit.semantics import RAW, Join, Semantics
from sockkit.sessions import AFTER_END, HANDSHAKE_TIMEOUT, REPLY_WAIT, Settings
from sockkit.spec import FAULT, SECONDS, Kind, Plan, SocketSpec, choice, number, option
from sockkit.text import escape, quoted, unescape

if TYPE_CHECKING:
    from sockkit.commands.options import Setting
    from sockkit.console import Console
    from sockkit.faults import Faults
    from sockkit.processes import Command
    from sockkit.replay import Replay
    from sockkit.stdio import LocalEnd

AF_UNIX: int | None = getattr(socket, "AF_UNIX", None)
LINUX = sys.platform == "linux"
MOST_RIGHTS = 253
"""SCM_MAX_FD, include/net/scm.h."""


def _oob(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if not data:
        raise UsageError("out-of-band data must not be empty: one character is the usual choice")
    return data


def _text(text: str) -> bytes:
    """What ``--send`` takes: escapes as the story writes them."""
    if not text:
        raise UsageError("there must be something to send: an empty datagram is a line of --lines")
    try:
        return unescape(text).encode("utf-8", "surrogateescape")
    except ValueError as error:
        hint = r"\n, \r, \t, \\, \xHH for a byte, \uHHHH for a character"
        raise UsageError(f"{quoted(text)} has a backslash that begins no escape", hint=hint) from error


class Group(NamedTuple):
    """A multicast group to be in: a packed address, and the name of an interface (empty: ``--interface``, or the kernel chooses)."""

    address: bytes
    interface: str
    text: str


def multicast(text: str) -> Group:
    """``239.1.2.3``, ``ff02::fb%eth0``. Raises UsageError."""
    host, percent, name = text.partition("%")
    for family in filter(None, (socket.AF_INET, syscalls.AF_INET6)):
        try:
            address = socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        if (len(address) == 4 and 224 <= address[0] <= 239) or (len(address) == 16 and address[0] == 0xFF):
            if percent and not name:
                raise UsageError(f"{text!a}: the interface is missing behind the %")
            return Group(address, name, text)
    raise UsageError(f"{text!a} is no multicast group: 224.0.0.0 to 239.255.255.255, or ff00::/8")


def _command_line(text: str) -> str:
    if not text.strip() or text == "--":
        raise UsageError("it takes a command line for /bin/sh, in quotes: --sh-exec 'tr a-z A-Z'")
    return text


class EndpointPlan(Plan):
    """The options of a conversation, on either side."""

    SERVES: ClassVar[bool] = False
    """The listening side."""
    program: tuple[str, ...] | None = None
    """What follows ``--`` behind ``--exec``; None without a ``--``."""

    ipv4: bool = option("-4", "--ipv4", group="socket", help="IPv4 only")
    ipv6: bool = option("-6", "--ipv6", group="socket", help="IPv6 only")
    udp: bool = option("-u", "--udp", group="socket", help="datagrams: UDP, or with -U Unix datagrams")
    unix: bool = option("-U", "--unix", group="socket", help="Unix socket: the address is a path or @NAME")
    numeric: bool = option("-n", "--numeric", group="socket", help="ask no name server: addresses are numbers")
    interface: str | None = option(
        "--interface",
        kind=Kind("NAME"),
        group="socket",
        help="keep to this network interface (SO_BINDTODEVICE); link-local addresses and multicast are meant on it too",
    )
    netns: str | None = option(
        "--netns",
        kind=Kind("NAME"),
        group="socket",
        help="make the socket in a network namespace: its name, a path or a PID",
    )
    join: tuple[Group, ...] = option(
        "--join",
        kind=Kind("GROUP[%IFACE]", multicast),
        group="socket",
        multiple=True,
        help="datagrams: join a multicast group until the end",
    )
    wait: float | None = option(
        "-w", "--wait", kind=SECONDS, group="session", help="--idle-timeout, and for connect --connect-timeout too"
    )
    idle_timeout: float | None = option(
        "--idle-timeout", kind=SECONDS, group="session", help="end with status 1 when nothing moved for S seconds"
    )
    duration: float | None = option(
        "--duration", kind=SECONDS, group="session", help="end after S seconds, in order and with status 0"
    )
    no_shutdown: bool = option(
        "--no-shutdown", group="session", help="do not pass the end of stdin on to the peer (half-close)"
    )
    half_close: bool = option("-N", group="session", help="accepted, and already the default: see --no-shutdown")
    reply_wait: float = option(
        "--reply-wait",
        kind=SECONDS,
        default=REPLY_WAIT,
        group="session",
        help="datagrams: end when stdin has ended and no reply came for S seconds (5; 0 leaves at once)",
    )
    after_end: float = option(
        "--after-end",
        kind=SECONDS,
        default=AFTER_END,
        group="session",
        help="how long to wait for an idle stdin after the peer has ended (1)",
    )
    lines: bool = option("--lines", group="data", help="datagrams: each line of stdin is one, without its newline")
    message_size: int | None = option(
        "--message-size",
        kind=number("N", 1, 2**20),
        group="data",
        help="messages: cut stdin into pieces of N bytes (each read is one; CAN: 16)",
    )
    crlf: bool = option("-C", "--crlf", group="data", help="send LF as CRLF")
    texts: tuple[bytes, ...] = option(
        "--send",
        kind=Kind("TEXT", _text),
        group="data",
        multiple=True,
        help=r"send TEXT instead of stdin, with \n \r \t \\ \xHH as in the story; repeatable",
    )
    file: str | None = option("--file", kind=Kind("FILE"), group="data", help="send a file instead of stdin")
    send_only: bool = option("--send-only", group="data", help="ignore what is received, end when all is sent")
    recv_only: bool = option("--recv-only", group="data", help="send nothing and leave stdin alone")
    line_delay: float | None = option(
        "--line-delay", kind=SECONDS, group="data", help="pause S seconds after each line that is sent"
    )
    no_edit: bool = option(
        "--no-edit", group="data", help="a terminal: leave the line that is typed to the terminal itself"
    )
    telnet: bool = option("--telnet", group="data", help="speak telnet: refuse what is negotiated, take it out")
    raw: bool = option("--raw", group="data", help="do not escape control bytes of the peer on a terminal")
    copy: bool = option(
        "--copy", group="data", help="copy each byte through sockkit, also where the kernel could move it by itself"
    )
    send_fds: tuple[int, ...] = option(
        "--send-fd",
        kind=number("N", 0, 2**31 - 1),
        group="ancillary",
        multiple=True,
        help="Unix: hand this descriptor over with the first bytes (SCM_RIGHTS); repeatable",
    )
    recv_fds: bool = option(
        "--recv-fd",
        group="ancillary",
        help="Unix: take descriptors that come, say what they are, close them at the end",
    )
    fault: tuple[str, ...] = option(
        "--fault",
        kind=FAULT,
        group="faults",
        multiple=True,
        help="misbehave on purpose: delay=TIME rate=SIZE chunk=SIZE close-after=SIZE reset half-close never-read"
        " never-accept corrupt=SHARE; datagrams: drop=SHARE duplicate reorder",
    )
    seed: int | None = option(
        "--seed",
        kind=number("N", 0, 2**63 - 1),
        group="faults",
        help="what chance decides is decided the same way again",
    )
    exec: bool = option(
        "--exec", group="programs", help="a program talks, one each session: --exec -- PROG ARGS.. (no shell)"
    )
    sh_exec: str | None = option(
        "--sh-exec", kind=Kind("COMMAND", _command_line), group="programs", help="the same, a command line for /bin/sh"
    )
    tls: bool = option("--tls", group="tls", help="speak TLS: connect verifies the peer, serve clients with --ca")
    ca: str | None = option(
        "--ca",
        kind=Kind("FILE"),
        group="tls",
        help="trust these certificates only; serve: clients must show one of them",
    )
    cert: str | None = option(
        "--cert", kind=Kind("FILE"), group="tls", help="our certificate, PEM (serve: else a throw-away one)"
    )
    key: str | None = option(
        "--key", kind=Kind("FILE"), group="tls", help="its key, PEM, if it is in a file of its own"
    )
    alpn: str | None = option(
        "--alpn", kind=Kind("NAMES"), group="tls", help="application protocols to offer, such as h2,http/1.1"
    )
    handshake_timeout: float | None = option(
        "--handshake-timeout", kind=SECONDS, group="tls", help="seconds that TLS's handshake may take (10; -w S: S)"
    )
    outputs: tuple[str, ...] = option(
        "-o",
        "--output",
        kind=Kind("FILE"),
        group="output",
        multiple=True,
        help="record what passes: .html .ndjson .pcapng .raw .svg .txt; repeatable",
    )
    replay: str | None = option(
        "--replay",
        kind=Kind("FILE"),
        group="data",
        help="play our end of a recording (.ndjson, .pcapng), report what the other end answers differently",
    )
    conversation: int | None = option(
        "--conversation", kind=number("N", 1, 10**9), group="data", help="--replay: which one of the recording (1)"
    )
    speed: float = option(
        "--speed", kind=SECONDS, default=1.0, group="data", help="--replay: 2 is twice as fast, 0 makes no pauses (1)"
    )
    ignored: tuple[str, ...] = option(
        "--ignore",
        kind=Kind("REGEX"),
        group="data",
        multiple=True,
        help="--replay: take out what matches before comparing, such as ^Date:.*$; repeatable",
    )
    hex: bool = option("-x", "--hex-dump", group="output", help="a hex dump of all that passes, on stderr")
    time: str | None = option(
        "--time",
        kind=choice("relative", "absolute", "delta"),
        group="output",
        help="times in the story: since the start, of the day, since the line before",
    )
    payload: str | None = option(
        "--payload",
        kind=choice("text", "base64", "none"),
        group="output",
        help="JSON: what passed as text (base64 where it is none) or base64; by default in files only, as base64",
    )

    def family_number(self) -> int | None:
        """The family asked for, or None where the address decides between IPv4 and IPv6 (or tells of Unix).

        Raises:
            UsageError: options that contradict each other; a family that this platform lacks.
        """
        chosen = [
            (flag, name)
            for flag, name, given in (
                ("-4", "AF_INET", self.ipv4),
                ("-6", "AF_INET6", self.ipv6),
                ("-U", "AF_UNIX", self.unix),
                ("--family", None, self.family is not None),
            )
            if given
        ]
        if len(chosen) > 1:
            flags = " and ".join(flag for flag, _ in chosen)
            raise UsageError(f"{flags} contradict each other: give one", option=chosen[-1][0])
        if not chosen:
            return None
        flag, name = chosen[0]
        if name is None:
            return names.FAMILIES.parse(self.family or "", option="--family")
        number = names.family_number(name)
        if number is None:
            raise UsageError(f"this platform has no {name}", option=flag)
        return number

    def type_number(self) -> int | None:
        """The type asked for, or None.

        Raises:
            UsageError: ``-u`` together with ``--type``.
        """
        if self.udp and self.type is not None:
            raise UsageError("-u is --type DGRAM already: give one of the two", option="--type")
        if self.udp:
            return int(socket.SOCK_DGRAM)
        return names.TYPES.parse(self.type, option="--type") if self.type is not None else None

    def check(self, means: Semantics, family: int | None) -> None:
        """What was asked for, beside the socket that it is asked of.

        Args:
            family: of the socket; None: IPv4 or IPv6, the address decides.

        Raises:
            UsageError: an option that means nothing for such a socket, or contradicts another.
        """
        self._check_program(means)
        if self.netns is not None or self.interface is not None:
            from sockkit.commands import place

            place.check(self, family)
        self.groups()
        self._check_messages(means)
        self._check_tls(means)
        self._check_rights(means, family)
        self._check_faults(means)

    def _check_messages(self, means: Semantics) -> None:
        """Raises UsageError where ``--lines`` or ``--message-size`` would mean nothing."""
        for given, flag in ((self.lines, "--lines"), (self.message_size is not None, "--message-size")):
            if given and not means.boundaries:
                raise UsageError(f"a stream keeps no boundaries: {flag} is for datagrams (-u)", option=flag)
        if self.join and means.connections:
            raise UsageError("a multicast group is for datagrams: add -u", option="--join")
        if self.lines and self.message_size is not None:
            raise UsageError("lines are the messages, or pieces of one size: give one", option="--message-size")
        self._check_text(means)

    def text_options(self) -> tuple[tuple[bool, str], ...]:
        """(given, flag) of the options about what is sent from here, and about what is received here."""
        return (
            (bool(self.texts), "--send"),
            (self.file is not None, "--file"),
            (self.send_only, "--send-only"),
            (self.recv_only, "--recv-only"),
            (self.line_delay is not None, "--line-delay"),
        )

    @property
    def own_source(self) -> bool:
        """What is sent is in the options, not on stdin."""
        return bool(self.texts) or self.file is not None

    def _check_text(self, means: Semantics) -> None:
        """Raises UsageError for options of text that contradict each other, or mean nothing on such a socket."""
        sources = [
            (flag, what)
            for given, flag, what in (
                (bool(self.texts), "--send", "sends a text"),
                (self.file is not None, "--file", "sends a file"),
                (self.recv_only, "--recv-only", "sends nothing"),
            )
            if given
        ]
        if len(sources) > 1:
            (one, does), (other, too) = sources[:2]
            raise UsageError(f"{one} {does}, {other} {too}: give one", option=other)
        if self.recv_only:
            for given, flag in (
                (self.send_only, "--send-only"),
                (self.line_delay is not None, "--line-delay"),
                (self.crlf, "-C"),
                (self.telnet, "--telnet"),  # a refusal is an answer
                (self.lines, "--lines"),
            ):
                if given:
                    raise UsageError(f"--recv-only sends nothing: leave {flag} out", option=flag)
        if means.join & Join.ACCEPT:
            for given, flag in ((self.recv_only, "--recv-only"), (self.send_only, "--send-only")):
                if given:
                    raise UsageError(f"a calculation has an input and a result: leave {flag} out", option=flag)
        if self.telnet:
            if means.boundaries or not means.connections:
                raise UsageError("telnet needs a stream: leave -u, --type or --telnet out", option="--telnet")
            for given, flag in ((bool(self.send_fds), "--send-fd"), (self.recv_fds, "--recv-fd")):
                if given:
                    raise UsageError(f"telnet has no place for descriptors: leave {flag} out", option="--telnet")
        idle = self.wait if self.idle_timeout is None else self.idle_timeout
        if self.line_delay is not None and idle is not None and idle <= self.line_delay:
            text = f"nothing moves for {self.line_delay:g} s between two lines, and {idle:g} s end it as idle"
            raise UsageError(text, option="--line-delay")

    def console(self, env: Env) -> Console | None:
        """What a person types at the very terminal that we write to; None: nobody does, or it is not to be edited."""
        elsewhere = self.own_source or self.recv_only or self.replay is not None or self.runs_program
        if self.no_edit or self.raw or self.code or elsewhere or not os.isatty(env.stdin):
            return None
        from importlib.util import find_spec

        if find_spec("prompt_toolkit") is None or find_spec("termios") is None:
            return None
        from sockkit import console

        fd = console.find(env)
        return None if fd is None else console.Console(env, fd)

    def open_source(self, env: Env, loop: Loop, console: Console | None = None) -> LocalEnd | None:
        """What is sent: stdin, ``--file`` or the texts of ``--send``, line by line if asked; None: nothing is.

        Raises:
            SystemRefusal: it cannot be read.
        """
        if self.recv_only:
            return None
        try:
            if self.texts:
                source = stdio.open_text(self.texts)
            elif self.file is not None:
                with loop.interruptible():  # a named pipe waits for its writer
                    source = stdio.open_file(env, self.file)
            elif console is not None:
                console.start(loop)
                assert console.source is not None
                source = console.source
            else:
                source = stdio.open_input(env)
        except OSError as error:
            if loop.signal is not None:
                raise Signalled(loop.signal) from error
            raise SystemRefusal(
                f"open {'stdin' if self.file is None else escape(self.file) or repr('')}", error
            ) from error
        if self.line_delay:
            from sockkit.pace import Pace

            return Pace(loop, source, self.line_delay, pieces=bool(self.texts)).end
        return source

    def open_sink(self, env: Env, console: Console | None = None) -> LocalEnd | None:
        """Where to what is received goes: stdout; None: nowhere.

        Raises:
            SystemRefusal: it cannot be written to.
        """
        if self.send_only:
            return None
        if console is not None and console.sink is not None:
            return console.sink
        try:
            return stdio.open_output(env)
        except OSError as error:
            raise SystemRefusal("open stdout", error) from error

    def portless(self) -> bool:
        """Whether what is asked for has no ports: a raw socket, or the datagrams of ping and L2TP."""
        if syscalls.base_type(self.type_number()) == RAW:
            return True
        return self.proto is not None and names.PROTOCOLS.parse(self.proto, option="--proto") in PORTLESS

    def target(self, words: Sequence[str], port: int | None = None) -> Target:
        """The address. Protocols of raw sockets have no ports: there a host stands alone.

        Raises:
            UsageError: see ``addresses.parse_target``.
        """
        family = self.family_number()
        try:
            return self.parse(words, family=family, port=port)
        except UsageError:
            if port is not None or not words or family not in (None, *syscalls.INTERNET) or not self.portless():
                raise
            return self.parse(words, family=family, port=0)

    def parse(self, words: Sequence[str], **about: Any) -> Target:
        """``addresses.parse_target``, as the words are meant in the network namespace and on the interface that were asked for."""
        if self.netns is None and self.interface is None:
            return parse_target(words, **about)
        from sockkit.commands import place

        return place.parse(self, words, **about)

    def make(self, env: Env, spec: SocketSpec) -> socket.socket:
        """A new socket, in the network namespace that was asked for.

        Raises:
            as ``syscalls.make``; UsageError, SystemRefusal: that namespace cannot be entered.
        """
        if self.netns is None:
            return syscalls.make(env, spec)
        from sockkit.commands import place

        return place.make(self, env, spec)

    def groups(self) -> list[tuple[Group, int]]:
        """``--join``: each group with the number of its interface; 0: the kernel chooses. Raises UsageError for one that is not there."""
        if not self.join:
            return []
        from sockkit.commands import place

        names = [(group, group.interface or self.interface) for group in self.join]
        return [(group, place.interface(self, name, "--join") if name else 0) for group, name in names]

    def check_fileno(self, env: Env, *, stdio: bool, others: Sequence[tuple[bool, str]] = ()) -> None:
        """Refuse what means nothing for a socket that is lent.

        Args:
            stdio: stdin and stdout are needed for payload.
            others: (given, flag) of further options that make a socket.

        Raises:
            UsageError: one of those, or a socket that is our stdin or stdout.
        """
        own = ((self.ipv4, "-4"), (self.ipv6, "-6"), (self.unix, "-U"), (self.udp, "-u"))
        place = ((self.netns is not None, "--netns"), (self.interface is not None, "--interface"))
        for given, flag in (*own, *place, *others):
            if given:
                raise UsageError(f"{flag} is for a socket that is made, --fileno adopts one: give one", option=flag)
        if stdio and self.socket_spec().fileno in (env.stdin, env.stdout):
            text = f"{self.fileno} is stdin or stdout here: lend the socket as 3 or more"
            raise UsageError(text, option="--fileno")

    def spec_for(self, family: int, target: Target) -> SocketSpec:
        """The socket to make for an address of this family: what was asked for, else what such an address is for."""
        type, proto = self.type_number(), target.proto
        if self.proto is not None:
            proto = names.protocols(family).parse(self.proto, option="--proto")
        return SocketSpec(family, target.type if type is None else type, proto)

    def session_settings(self, oob: bytes = b"") -> Settings:
        """How sessions behave.

        Raises:
            UsageError: a timeout of 0, which would end everything at once.
        """
        idle = self.wait if self.idle_timeout is None else self.idle_timeout
        if idle == 0:
            name = "--idle-timeout" if self.idle_timeout == 0 else "--wait"
            raise UsageError("a timeout of 0 seconds ends everything at once: leave it out for none", option=name)
        if self.duration == 0:
            raise UsageError("0 seconds end everything before it begins: give more", option="--duration")
        if self.half_close and self.no_shutdown:
            raise UsageError("-N and --no-shutdown contradict each other: give one", option="--no-shutdown")
        return Settings(
            half_close=not self.no_shutdown,
            idle_timeout=idle,
            reply_wait=0.0 if self.send_only else self.reply_wait,
            after_end=self.after_end + (self.line_delay or 0.0),
            lines=self.lines,
            raw=self.raw,
            crlf=self.crlf,
            oob=oob,
            copy=self.copy or bool(self.line_delay),
            send_only=self.send_only,
            telnet=self.telnet,
            send_fds=self.send_fds,
            recv_fds=self.recv_fds,
            faults=self.faults(),
            handshake_timeout=self.handshake_timeout or min(HANDSHAKE_TIMEOUT, idle or HANDSHAKE_TIMEOUT),
        )

    def _check_rights(self, means: Semantics, family: int | None) -> None:
        """Raises UsageError where descriptors cannot be handed over."""
        flag = "--send-fd" if self.send_fds else "--recv-fd"
        if not (self.send_fds or self.recv_fds):
            return
        if family != AF_UNIX:
            raise UsageError("descriptors travel over Unix sockets only: -U PATH", option=flag)
        if self.SERVES and not means.connections:
            raise UsageError("datagrams have no conversation that descriptors belong to: leave -u out", option=flag)
        if self.tls:
            raise UsageError("TLS has no place for descriptors: leave one of the two out", option=flag)
        if len(self.send_fds) > MOST_RIGHTS:
            raise UsageError(f"{len(self.send_fds)} are too many: a message takes {MOST_RIGHTS}", option=flag)
        for fd in self.send_fds:
            try:
                os.fstat(fd)
            except OSError as error:
                raise UsageError(f"{fd} is no open descriptor", option="--send-fd", cause=error) from error

    def faults(self) -> Faults | None:
        """``--fault``, parsed. Raises UsageError."""
        if not self.fault and self.seed is None:
            return None
        from sockkit import faults

        return faults.parse(self.fault, self.seed)

    def _check_faults(self, means: Semantics) -> None:
        """Raises UsageError for a fault that means nothing for such a socket."""
        found = self.faults()
        if found is not None:
            from sockkit import faults

            faults.check(found, messages=means.boundaries, serve=self.SERVES)

    @property
    def runs_program(self) -> bool:
        """Our end of a conversation is a program's stdin and stdout, not ours."""
        return self.exec or self.sh_exec is not None

    def no_program(self) -> tuple[tuple[bool, str], ...]:
        """(given, flag) of the options that say who talks at our end, where a program does."""
        return (
            *self.text_options(),
            (self.replay is not None, "--replay"),
            (bool(self.send_fds), "--send-fd"),
            (self.recv_fds, "--recv-fd"),
            (self.raw, "--raw"),
        )

    def _check_program(self, means: Semantics) -> None:
        """Raises UsageError for what means nothing where a program has our end; for no program, or two."""
        if not self.runs_program:
            return
        flag = "--exec" if self.exec else "--sh-exec"
        if self.exec and self.sh_exec is not None:
            raise UsageError("--exec runs a program, --sh-exec a shell: give one", option="--sh-exec")
        if self.exec and not self.program:
            raise UsageError("the program stands behind a `--`: --exec -- PROG ARGS..", option="--exec")
        if means.boundaries or not means.connections:
            text = "a program reads and writes streams, messages would lose their boundaries: leave -u or --type out"
            raise UsageError(text, option=flag)
        for given, other in self.no_program():
            if given:
                raise UsageError(f"a program has our end of the conversation: leave {other} out", option=flag)
        from sockkit import processes

        if not processes.POSSIBLE:
            raise UsageError("this platform cannot start programs as POSIX does (posix_spawn, wait4)", option=flag)

    def command(self) -> Command | None:
        """The program to run, looked up; None without one.

        Raises:
            SystemRefusal: it is not there, or may not be run.
        """
        if not self.runs_program:
            return None
        from sockkit import processes, programs

        try:
            return processes.shell(self.sh_exec) if self.sh_exec is not None else processes.find(self.program or ())
        except OSError as error:
            raise SystemRefusal(f"run {escape(error.filename) or repr('')}", error, hint=programs.why(error)) from error

    def tls_options(self) -> tuple[tuple[bool, str], ...]:
        """(given, flag) of the options that mean nothing without ``--tls``."""
        return (
            (self.ca is not None, "--ca"),
            (self.cert is not None, "--cert"),
            (self.key is not None, "--key"),
            (self.alpn is not None, "--alpn"),
            (self.handshake_timeout is not None, "--handshake-timeout"),
        )

    def _check_tls(self, means: Semantics) -> None:
        """Raises UsageError where TLS options would mean nothing."""
        if not self.tls:
            for given, flag in self.tls_options():
                if given:
                    raise UsageError(f"{flag} is for TLS: add --tls", option=flag)
            return
        if means.boundaries or not means.connections:
            raise UsageError("TLS needs a stream: leave -u, --type or --tls out", option="--tls")
        if self.handshake_timeout == 0:
            raise UsageError("a timeout of 0 seconds allows no handshake: give more", option="--handshake-timeout")

    def alpn_names(self) -> list[str]:
        """``--alpn``, taken apart. Raises UsageError."""
        names = self.alpn.split(",") if self.alpn is not None else []
        if any(not 0 < len(name) < 256 or not name.isascii() for name in names):
            raise UsageError(
                "names of protocols are separated by commas, each 1 to 255 ASCII characters", option="--alpn"
            )
        return names

    def for_messages(self, settings: Settings, means: Semantics) -> Settings:
        """… and what messages are made of stdin."""
        size = self.message_size
        return settings._replace(
            message=size or means.message, exact=means.exact if size is None else True, asked=bool(self.settings)
        )

    def played(self, *, stream: bool | None) -> Replay | None:
        """``--replay``, read and judged; None without it. ``stream``: what the socket will be, where that is known.

        Raises:
            UsageError: see ``replay.plan``; options that mean nothing without it, or with it.
            SystemRefusal: the recording cannot be read.
        """
        if self.replay is None:
            others = ((self.conversation is not None, "--conversation"), (self.speed != 1.0, "--speed"))
            for given, flag in (*others, (bool(self.ignored), "--ignore")):
                if given:
                    raise UsageError("there is no --replay FILE for it", option=flag)
            return None
        for given, flag in ((self.lines, "--lines"), (self.crlf, "--crlf"), *self.text_options()):
            if given:
                raise UsageError(f"what is sent is in the recording: leave {flag} out", option=flag)
        from sockkit import replay

        return replay.plan(self.replay, self.conversation, self.speed, self.ignored, stream=stream)

    def parsed_settings(self) -> list[Setting]:
        """``--set``, parsed. Raises UsageError."""
        texts = self.settings if self.interface is None else (*self.settings, f"SO_BINDTODEVICE={self.interface}")
        if not texts:
            return []
        from sockkit.commands import options

        if self.fileno is not None:
            return options.parse(texts)
        family = self.family_number()
        proto = names.protocols(family or 2).parse(self.proto, option="--proto") if self.proto is not None else None
        return options.parse(texts, options.meant(family, self.type_number(), proto))


OOB = Kind("DATA", _oob)
PORTLESS = frozenset((1, 58, 115))
"""IPPROTO_ICMP, IPPROTO_ICMPV6 and IPPROTO_L2TP: their datagrams go to a host (icmp(7), RFC 3931)."""


def membership(env: Env, sock: socket.socket, plan: EndpointPlan, *, join: bool) -> None:
    """Join multicast groups, or leave them, and say so; join: multicast leaves by ``--interface``.

    Raises:
        UsageError: a group of the other family. SystemRefusal: the kernel's refusal.
    """
    if join and plan.interface is not None and not syscalls.means(env, sock).connections:
        from sockkit.commands import place

        place.egress(plan, env, sock)
    for group, interface in plan.groups():
        if (len(group.address) == 4) != (sock.family == socket.AF_INET):
            raise UsageError(f"{group.text} is no group of {names.FAMILIES.label(sock.family)}", option="--join")
        verb = "join" if join else "leave"
        try:
            syscalls.membership(env, sock, group.address, interface, join=join)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                tip: str | None = "it is a member already: --join names that group twice"
            elif error.errno == errno.ENODEV and not interface:
                tip = f"no route leads there, so nothing says by which interface: --join {group.text}%IFACE does"
            else:
                tip = hint(verb, error, sock.family, sock.type)
            raise SystemRefusal(f"{verb} {group.text}", error, hint=tip) from error
        env.observer(Note(env.clock(), 0, Level.INFO, f"{'joined' if join else 'left'} {group.text}"))


def leave(env: Env, sock: socket.socket, plan: EndpointPlan) -> None:
    """Leave the multicast groups. What goes wrong is no failure: closing the socket leaves them too, as does an interface that goes."""
    try:
        membership(env, sock, plan, join=False)
    except (UsageError, SystemRefusal) as error:
        env.observer(Note(env.clock(), 0, Level.INFO, f"left with the socket: {error}"))


def apply_settings(
    env: Env, sock: socket.socket, settings: Sequence[Setting], *moments: str, lent: bool = False
) -> None:
    """Set the options whose moment this is, and say what the kernel made of each: before, asked, got.

    Args:
        env: who is told.
        sock: the socket.
        settings: see ``EndpointPlan.parsed_settings``.
        moments: names of ``sockopts.Moment``.
        lent: the socket was not made by us, so that the moment of some may be over.

    Raises:
        SystemRefusal: the kernel's refusal, which names the option.
    """
    due = [setting for setting in settings if setting.row.moment.name in moments]
    if due:
        from sockkit.commands import options

        options.apply(env, sock, due, lent=lent)


def resolve(loop: Loop, target: Target, spec: SocketSpec, *, numeric: bool) -> list[Resolved]:
    """The addresses of a target, in the order to try them. Waits in the loop; a timer may stop it.

    Raises:
        OSError, UnicodeError: the resolver's refusal. TimeoutError: the loop was stopped before it answered.
        Signalled: a signal came.
    """
    if target.address is not None:
        assert target.family is not None
        return [Resolved(target.family, target.address)]
    assert target.host is not None and target.port is not None
    kind = syscalls.base_type(spec.type)
    env = loop.env
    begun = env.clock()
    look_up = Resolution(target.host, target.port, target.family, kind, 0, numeric=numeric)
    if look_up.fd is not None and not loop.wait_for(look_up.fd, READ):
        if loop.signal is not None:
            raise Signalled(loop.signal)
        raise TimeoutError("the name was not resolved in time")
    if not env.interest & Interest.CALLS:
        return look_up.result()
    call = Call(begun, "getaddrinfo", None, (target.host, target.port), None, None, env.clock() - begun)
    try:
        found = look_up.result()
    except (OSError, UnicodeError, ValueError) as error:
        env.observer(call._replace(error=error))
        raise
    env.observer(call._replace(result=", ".join(format_address(*row) for row in found)))
    return found


def hint(operation: str, error: Exception, family: int | None, type: int | None, address: object = None) -> str | None:
    """What an errno means here, and what to try: one line, or None."""
    from sockkit import rules

    port = None
    if family in syscalls.INTERNET and isinstance(address, tuple) and len(address) > 1:
        port = address[1]
    text = format_address(family, address) if family is not None and address is not None else None
    name = errno_name(getattr(error, "errno", None))
    found = rules.meaning(operation, name, family=family, type=type, address=text, port=port)
    return None if found is None else found.line


def creation_hint(spec: SocketSpec, error: Exception) -> str | None:
    """Why a socket could not be made, and what to try: one line, or None."""
    from sockkit import rules

    name = errno_name(getattr(error, "errno", None))
    found = rules.why(spec.family or 2, spec.type or 1, spec.proto or 0, name)
    if found is None:
        return None
    return f"{found.text}. Try {found.try_next}" if found.try_next else found.text


class OwnPath:
    """The path of a Unix socket that we bound: ours to unlink, as long as it is still the inode that we made."""

    def __init__(self, path: str | bytes) -> None:
        """Raises OSError if the path is gone already."""
        made = os.lstat(path)
        self._path = path
        self._inode = made.st_dev, made.st_ino

    def remove(self) -> None:
        """Unlink it, unless somebody else's file stands there now."""
        try:
            now = os.lstat(self._path)
            if (now.st_dev, now.st_ino) == self._inode:
                os.unlink(self._path)
        except OSError:
            pass  # it is gone, or its directory is no longer ours to write: nothing of ours is left to remove


def has_path(family: int, address: object) -> bool:
    """True if binding there makes a path: a Unix address that is neither abstract nor empty."""
    return family == AF_UNIX and isinstance(address, (str, bytes)) and address[:1] not in ("", b"", "\0", b"\0")


def duration_text(plan: EndpointPlan) -> str:
    """What is said when ``--duration`` is over."""
    return f"the {plan.duration:g} s of --duration are over"


def timed_out(seconds: float) -> OSError:
    """Our own limit was reached: the errno that the kernel would use."""
    return TimeoutError(errno.ETIMEDOUT, f"timed out after {seconds:g} s")


def local_text(env: Env, sock: socket.socket) -> str:
    """Our address of a socket as text."""
    return format_address(sock.family, syscalls.local_address(env, sock))
