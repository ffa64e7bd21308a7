"""``sockkit connect``: the calling side. stdin to the socket, the socket to stdout, byte-exact."""

from __future__ import annotations

import errno
import math
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from sockkit import addresses, stdio, syscalls
from sockkit.carriers import CAPACITY, Shared
from sockkit.commands.endpoint import (
    AF_UNIX,
    LINUX,
    OOB,
    EndpointPlan,
    OwnPath,
    apply_settings,
    creation_hint,
    duration_text,
    has_path,
    hint,
    local_text,
    membership,
    resolve,
    timed_out,
)
from sockkit.dial import CONNECT_TIMEOUT, Dialer
from sockkit.errors import Exit, OutputGone, Signalled, SystemRefusal, UsageError
from sockkit.events import Env, Failed, Level, Note, Opened
from sockkit.loop import WRITE, Loop, Timer
from sockkit.relay import Relay
from sockkit.resolve import Resolved
from sockkit.semantics import Join, Semantics, semantics
from sockkit.sessions import Session, Settings
from sockkit.spec import PORT, SECONDS, Kind, SocketSpec, number, option
from sockkit.text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sockkit.commands.again import Again
    from sockkit.commands.options import Setting
    from sockkit.commands.through import Through
    from sockkit.faults import Faults
    from sockkit.proxies import Proxy
    from sockkit.replay import Replay
    from sockkit.tls import Credentials


def _attempts(text: str) -> float:
    if text.lower() in ("forever", "inf"):
        return math.inf
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(f"{quoted(text)} is no number of attempts: a whole number, or forever")
    return int(text)


def _delay(text: str) -> float:
    from sockkit.retry import SHORTEST

    seconds = SECONDS.parse(text)
    assert isinstance(seconds, float)
    if seconds < SHORTEST:
        raise UsageError(f"{quoted(text)} is too short: at least {SHORTEST:g} seconds lie between two attempts")
    return seconds


def _limit(text: str) -> float:
    try:
        seconds = SECONDS.parse(text)
    except UsageError as error:
        error.hint = "without a time of its own it stands behind the address, or before another option"
        raise
    assert isinstance(seconds, float)
    if seconds == 0:
        raise UsageError("0 seconds is no time to wait: leave it out to try once")
    return seconds


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise UsageError(f"{quoted(text)} is no rate: ports a second, such as 100 or 0.5")
    return value


RATE = Kind("N", _rate)


def _proxy(text: str) -> Proxy:
    from sockkit import proxies

    return proxies.parse(text)


def _complete_proxy(start: str) -> list[tuple[str, str]]:
    from sockkit import proxies

    return [(f"{name}://", row.protocol) for name, row in proxies.SCHEMES.items() if name.startswith(start)]


class ConnectPlan(EndpointPlan):
    """sockkit connect [OPTIONS] [ADDRESS]

    Connect, then carry stdin to the socket and the socket to stdout. Without
    an ADDRESS: 127.0.0.1:65432, where `sockkit serve` listens.

    Examples:
      echo 'Hello, world' | sockkit connect
      printf 'GET / HTTP/1.0\\r\\n\\r\\n' | sockkit connect localhost 8000
      sockkit connect -u 127.0.0.1 5353 --lines
    """

    FIRST = (
        *("udp", "unix", ("ipv4", "ipv6"), "wait", ("source", "source_port"), "zero", "tls", ("proxy", "retry")),
        *("hex", "outputs", "verbose", "quiet"),
    )
    address: tuple[str, ...] = ()
    source: str | None = option("-s", "--source", kind=Kind("ADDR"), group="socket", help="source address")
    source_port: int | None = option("-p", "--source-port", kind=PORT, group="socket", help="source port")
    connect_timeout: float | None = option(
        "--connect-timeout",
        kind=SECONDS,
        group="session",
        help="seconds for names and all addresses together (10); -z PORTS: for each port (2)",
    )
    zero: bool = option(
        "-z", "--zero", group="session", help="only see who answers: no data. HOST 1-1024 or HOST ssh,80: a report"
    )
    random: bool = option("--random", group="session", help="-z PORTS: in a random order, which --seed N repeats")
    parallel: int | None = option(
        "--parallel", kind=number("N", 1, 65535), group="session", help="-z PORTS: ask so many at once (256)"
    )
    rate: float | None = option(
        "--rate", kind=RATE, group="session", help="-z PORTS: ask so many a second, at most (no limit)"
    )
    tries: int | None = option(
        "--tries", kind=number("N", 1, 100), group="session", help="-z -u: empty datagrams to each silent port (2)"
    )
    retry: float | None = option(
        "--retry", kind=Kind("N", _attempts), group="session", help="try N times more where no connection comes about"
    )
    retry_delay: float | None = option(
        "--retry-delay",
        kind=Kind("S", _delay),
        group="session",
        help="seconds before the first of these; they double (1)",
    )
    retry_max_delay: float | None = option(
        "--retry-max-delay", kind=Kind("S", _delay), group="session", help="… up to S seconds (30)"
    )
    wait_for: float | None = option(
        "--wait-for",
        kind=Kind("[S]", _limit, implied="30"),
        group="session",
        help="wait until the port opens, S seconds at most (30): connect -z --wait-for 60 localhost 5432 && …",
    )
    reconnect: bool = option(
        "--reconnect",
        group="session",
        help="when the peer goes, connect again, as long as stdin lasts (for ever, or as --retry or --wait-for say)",
    )
    server_name: str | None = option(
        "--server-name", kind=Kind("NAME"), group="tls", help="the name to send and to verify (the HOST of the address)"
    )
    fingerprint: str | None = option(
        "--fingerprint",
        kind=Kind("HEX"),
        group="tls",
        help="trust the one certificate with this SHA-256, whatever its name",
    )
    insecure: bool = option("--insecure", group="tls", help="do not verify the peer: anybody may be at the other end")
    proxy: Proxy | None = option(
        "--proxy",
        kind=Kind("URL", _proxy, _complete_proxy),
        group="proxy",
        help="go through a proxy: socks5h://HOST:PORT, socks5, socks4a, socks4, http",
    )
    proxy_auth_file: str | None = option(
        "--proxy-auth-file",
        kind=Kind("FILE"),
        group="proxy",
        help="its first line is USER:PASSWORD for the proxy (without it: SOCKKIT_PROXY_AUTH in the environment)",
    )
    oob: bytes = option(
        "--oob",
        kind=OOB,
        default=b"",
        group="data",
        help="send DATA out of band first (over TCP its last byte is urgent)",
    )

    @property
    def scans(self) -> bool:
        """``-z`` of several ports: the answer is a report."""
        if not self.zero:
            return False
        from sockkit import ports

        return ports.is_list(ports.split(self.address)[1])

    def target(self, words: Sequence[str], port: int | None = None) -> addresses.Target:
        """See ``EndpointPlan``; with ``-z`` a port may be a service's name.

        Raises:
            UsageError: several ports for one conversation.
        """
        try:
            return super().target(words, port)
        except UsageError:
            if self.family_number() not in (None, *syscalls.INTERNET):
                raise
            from sockkit import ports

            typed = ports.split(words)[1]
            if self.zero and typed and not typed.isdecimal():
                found = ports.parse(typed, "udp" if self.udp else "tcp")
                return super().target(ports.numbered(words, found[0]), port)
            if ports.is_list(typed) or (self.zero and len(words) > 2):
                text = "a conversation has one port" if not self.zero else "PORTS are one word, with commas"
                import shlex

                shown = shlex.join([*words[:1], ",".join(words[1:])] if len(words) > 2 else words)
                raise UsageError(
                    text, option="PORT", hint=f"to see which ports are open type: sockkit connect -z {shown}"
                ) from None
            raise

    def check_scan(self) -> None:
        """Raises UsageError for options of a scan where there is none."""
        for given, flag in (
            (self.random, "--random"),
            (self.parallel is not None, "--parallel"),
            (self.rate is not None, "--rate"),
            (self.tries is not None and not (self.zero and self.udp), "--tries"),
        ):
            if given:
                raise UsageError("it is for several ports: -z HOST PORTS, such as 1-1024", option=flag)

    def no_program(self) -> tuple[tuple[bool, str], ...]:
        """See ``EndpointPlan``."""
        return (self.zero, "-z"), (self.reconnect, "--reconnect"), *super().no_program()

    def tls_options(self) -> tuple[tuple[bool, str], ...]:
        """See ``EndpointPlan``."""
        return (
            *super().tls_options(),
            (self.server_name is not None, "--server-name"),
            (self.fingerprint is not None, "--fingerprint"),
            (self.insecure, "--insecure"),
        )

    def faults(self) -> Faults | None:
        """See ``EndpointPlan``: a seed may be for the waits between attempts alone."""
        return super().faults() if self.fault or not self.persists else None

    @property
    def persists(self) -> bool:
        """Whether one connection, or one attempt at it, may not be all."""
        return self.retry is not None or self.wait_for is not None or self.reconnect

    def check_again(self, means: Semantics | None = None, family: int | None = None) -> None:
        """Raises UsageError where trying again would mean nothing. ``means``: of the socket, where that is known."""
        if self.persists or self.retry_delay is not None or self.retry_max_delay is not None:
            from sockkit.commands import again

            again.check(self, means, family)

    def asks_many(self, family: int, address: object) -> bool:
        """Whether a datagram's answers come from other addresses than this one, which a connected socket would not hear."""
        everybody = addresses.packed(family, address) == b"\xff\xff\xff\xff"
        asked = everybody and any(row.name == "SO_BROADCAST" and value for row, value, _ in self.parsed_settings())
        return addresses.is_multicast(family, address) or asked  # not asked for: connect(2) says what is missing

    def credentials(self, target: addresses.Target | None) -> Credentials | None:
        """What TLS needs, or None without it.

        Args:
            target: whose name is verified, unless ``--server-name`` says another.

        Raises:
            UsageError: files that do not do; options that contradict each other; a peer without a name to verify.
        """
        if not self.tls:
            return None
        for given, flag in ((self.zero, "-z"), (bool(self.oob), "--oob")):
            if given:
                raise UsageError(f"{flag} goes beside TLS, not through it: leave one out", option=flag)
        if self.insecure and (self.ca or self.fingerprint):
            flag = "--ca" if self.ca else "--fingerprint"
            raise UsageError(f"{flag} verifies the peer, --insecure does not: give one", option="--insecure")
        if self.fingerprint is not None and self.ca is not None:
            raise UsageError("--fingerprint trusts one certificate, --ca an issuer: give one", option="--fingerprint")
        from sockkit import tls

        name = self.server_name
        if name is None and target is not None:
            name = target.host
            if name is None and target.family in syscalls.INTERNET and isinstance(target.address, tuple):
                name = str(target.address[0]).partition("%")[0]
        if name is None and not self.insecure and self.fingerprint is None:
            text = "there is no name here to verify the peer's certificate by: --server-name NAME says one"
            raise UsageError(text, option="--tls", hint="or --fingerprint HEX; --insecure verifies nothing")
        return tls.Credentials(
            server=False,
            name=name,
            ca=self.ca,
            certificate=self.cert,
            key=self.key,
            alpn=self.alpn_names(),
            insecure=self.insecure,
            fingerprint=None if self.fingerprint is None else tls.parse_fingerprint(self.fingerprint),
        )

    def parsed_settings(self) -> list[Setting]:
        """See ``EndpointPlan``.

        Raises:
            UsageError: … and where a connection that is put off until something is sent would be taken for an answer.
        """
        found = super().parsed_settings()
        if puts_off(found):
            for given, flag in (
                (self.zero, "-z"),
                (self.retry is not None, "--retry"),
                (self.wait_for is not None, "--wait-for"),
                (self.recv_only, "--recv-only"),
            ):
                if given:
                    text = "TCP_FASTOPEN_CONNECT asks nobody until something is sent"
                    raise UsageError(f"{text}: leave it or {flag} out", option="--set")
        return found


def puts_off(settings: Sequence[Setting]) -> bool:
    """TCP_FASTOPEN_CONNECT is asked for: with a cookie of the peer's, connect(2) succeeds and sends nothing (tcp(7))."""
    return any(setting.row.name == "TCP_FASTOPEN_CONNECT" and setting.value for setting in settings)


class _Over(Exception):
    """``--duration`` is over while there is no connection."""


class Source(NamedTuple):
    """Where to come from, as far as that was asked for."""

    target: addresses.Target | None
    port: int | None

    def address(self, family: int, type: int) -> object:
        """What to bind to before connecting, or None."""
        if self.target is not None:
            return self.target.address
        if self.port is not None:
            return ("::" if family == syscalls.AF_INET6 else "0.0.0.0", self.port)
        if family == AF_UNIX and LINUX and type == socket.SOCK_DGRAM:
            return ""  # autobind, unix(7): a datagram client without a name gets no answer
        return None


def parse_source(plan: ConnectPlan, target: addresses.Target) -> Source:
    """``-s`` and ``-p``. Raises UsageError."""
    internet = target.family is None or target.family in syscalls.INTERNET
    if plan.source_port is not None and not internet:
        raise UsageError("only IPv4 and IPv6 have a source port", option="-p")
    if plan.source is None:
        return Source(None, plan.source_port)
    if internet and plan.source_port is None:
        try:
            found = plan.parse([plan.source], family=target.family, argument="-s")
        except UsageError:  # without a port, as is usual: any
            found = plan.parse([plan.source], family=target.family, port=0, argument="-s")
    else:
        found = plan.parse([plan.source], family=target.family, port=plan.source_port, argument="-s")
    if found.address is None:
        raise UsageError(f"{plan.source!a} is a name: a source is a number, such as 127.0.0.1", option="-s")
    return Source(found, plan.source_port)


def run(plan: ConnectPlan, env: Env) -> Exit:
    """Carry one conversation.

    Raises:
        UsageError: what the options or the address ask for cannot be.
        Signalled, OutputGone: how the process is to end.
    """
    if plan.scans:
        from sockkit.commands import scan

        return scan.run(plan, env)
    plan.check_scan()
    settings = plan.session_settings(plan.oob)
    if plan.zero and plan.duration is not None:
        raise UsageError("-z has no conversation that could last: leave --duration out", option="--duration")
    plan.check_again()
    for given, flag in ((plan.replay is not None, "--replay"), *plan.text_options(), (plan.telnet, "--telnet")):
        if plan.zero and given:
            raise UsageError(f"-z sends nothing: leave {flag} out", option="-z")
    if plan.proxy is not None:
        from sockkit.commands import through

        target = through.destination(plan, plan.proxy)
    elif plan.proxy_auth_file is not None:
        raise UsageError("there is no --proxy URL for it", option="--proxy-auth-file")
    elif plan.fileno is not None and not plan.code:
        return _Call(plan, env, settings, None).over_descriptor(plan.fileno)
    else:
        target = plan.target(plan.address)
    if target.address in ("", b""):
        raise UsageError("an abstract socket needs a name to connect to: @NAME", option="ADDRESS")
    spec = plan.spec_for(target.family or socket.AF_INET, target)
    type = syscalls.base_type(spec.type)
    if target.port == 0 and not plan.portless():
        raise UsageError("port 0 is nobody's to connect to: give 1 to 65535", option="PORT")
    means = semantics(spec.family, type, spec.proto)
    plan.check(means, spec.family)
    plan.check_again(means, spec.family)
    if plan.code:
        from sockkit.commands import code

        code.tell(env, "connect", code.connect(plan))
        return Exit.OK
    if plan.zero and not means.connections:
        from sockkit.commands import scan

        if scan.is_udp(spec):
            return scan.one(plan, env, target, spec)
    call = _Call(plan, env, settings, target, type, means)
    call.replay = plan.played(stream=not means.boundaries)
    if plan.proxy is not None:
        call.through = through.Through(plan, env, plan.proxy, plan.proxy_auth_file, target)
        call.target = call.through.place  # what our socket is made for
    return call.to(target)


class _Call:
    """One run of the command."""

    def __init__(
        self,
        plan: ConnectPlan,
        env: Env,
        settings: Settings,
        target: addresses.Target | None,
        type: int = 1,
        means: Semantics | None = None,
    ) -> None:
        self.target = target
        self.means = means or semantics(None, type, None)
        self.plan = plan
        self.replay: Replay | None = None
        self.again: Again | None = None
        self.console = None if plan.zero else plan.console(env)
        if self.console is not None:
            env = self.console.env
        if plan.persists and target is not None:
            from sockkit.commands.again import Again

            self.again = Again(plan, env, target.text)
            env = self.again.env
            settings = settings._replace(reconnect=plan.reconnect, copy=settings.copy or plan.reconnect)
        self.env = env
        self.settings = settings
        self.session: Session | None = None
        self.sessions = 0
        self.type = type
        self.options = plan.parsed_settings()
        self.credentials = plan.credentials(target)
        self.command = plan.command()
        wait = plan.connect_timeout if plan.connect_timeout is not None else plan.wait
        self.timeout = CONNECT_TIMEOUT if wait is None else wait
        if self.timeout == 0:
            raise UsageError("a timeout of 0 seconds allows no connection: give more", option="--connect-timeout")
        self.source = Source(None, plan.source_port)
        self.path: OwnPath | None = None
        self.limited = False
        self.peer: object = None
        self.ends: tuple[stdio.LocalEnd | None, stdio.LocalEnd | None] | None = None
        self.through: Through | None = None
        self.others = ""
        """What is said of the addresses that a datagram socket leaves out."""

    def to(self, target: addresses.Target) -> Exit:
        """Resolve, connect, converse; and again, if that was asked for."""
        self.source = parse_source(self.plan, self.through.place if self.through is not None else target)
        with Loop(self.env) as loop:
            try:
                if self.plan.own_source:
                    self._local_ends(loop)  # nobody is called for a file that is not there
                status = self.once(loop, target) if self.again is None else self.again.run(loop, self, target)
            except _Over:
                self.env.observer(Note(self.env.clock(), 0, Level.INFO, duration_text(self.plan)))
                status = Exit.FAILED if self.again is not None and self.again.lost else Exit.OK
            finally:
                lost = self._close_ends()
        return Exit.FAILED if lost else status

    def once(self, loop: Loop, target: addresses.Target) -> Exit:
        """One attempt, and the conversation that it leads to."""
        self.session = None
        try:
            if self.through is not None:
                sock = self.through.dial(loop, self.timeout, self._dial)
            else:
                sock = self._dial(loop, target, self.timeout)
            if sock is None:
                return Exit.FAILED
            try:
                apply_settings(self.env, sock, self.options, "CONNECTED")
            except BaseException:
                syscalls.close(self.env, sock)
                raise
            if self.means.join & Join.ACCEPT:
                return self._calculate(loop, sock)
            return self._converse(loop, sock, own=True)
        finally:
            if self.path is not None:
                self.path.remove()
                self.path = None

    def over_descriptor(self, fileno: str) -> Exit:
        """Converse over a socket that was lent to us; connect it first if it is not connected."""
        plan, env = self.plan, self.env
        source = ((plan.source is not None, "-s"), (plan.source_port is not None, "-p"))
        plan.check_fileno(env, stdio=not (plan.zero or plan.replay or plan.runs_program), others=source)
        spec = plan.socket_spec()
        try:
            sock = syscalls.make(env, spec)
        except OSError as error:
            raise SystemRefusal(f"adopt fd {fileno}", error, hint=hint("fileno", error, None, None)) from error
        self.type = syscalls.base_type(sock.type)
        self.means = syscalls.means(env, sock)
        plan.check(self.means, sock.family)
        self.replay = plan.played(stream=not self.means.boundaries)
        with Loop(env) as loop:
            try:
                connected = syscalls.peer_address(env, sock) is not None
                if connected and plan.address:
                    raise UsageError(
                        f"fd {fileno} is connected already, to {self._peer_text(sock)}: leave the address out",
                        option="--fileno",
                    )
                apply_settings(env, sock, self.options, "BEFORE_BIND", "BEFORE_CONNECT", "ANY", lent=True)
                if not connected and self.means.join and not self._connect_lent(loop, sock, fileno):
                    return Exit.FAILED
                apply_settings(env, sock, self.options, "CONNECTED")
                status = self._converse(loop, sock, own=False)
            finally:
                lost = self._close_ends()
                if sock.fileno() != -1:
                    sock.detach()
        return Exit.FAILED if lost else status

    def _local_ends(self, loop: Loop) -> tuple[stdio.LocalEnd | None, stdio.LocalEnd | None]:
        """Where what is sent comes from, and where what is received goes to."""
        if self.ends is None and not self.plan.zero and self.replay is None:
            self.ends = (
                self.plan.open_source(self.env, loop, self.console),
                self.plan.open_sink(self.env, self.console),
            )
        return self.ends or (None, None)

    def _close_ends(self) -> bool:
        """True if something of ours was lost, which was said."""
        lost = [end.close() for end in self.ends or () if end is not None]  # each is closed, whatever another one lost
        return any(lost)

    def _peer_text(self, sock: socket.socket) -> str:
        if self.through is not None:
            return self.through.target.text
        # A peer that has reset the connection by now is not known to getpeername(2) any more.
        return addresses.format_address(sock.family, syscalls.peer_address(self.env, sock) or self.peer)

    def _connect_lent(self, loop: Loop, sock: socket.socket, fileno: str) -> bool:
        """Connect it where it stands. Its O_NONBLOCK, which its lender shares, is set for that long and then as before.

        Returns:
            True if it is connected; else what failed has been told.
        """
        if not self.plan.address:
            raise UsageError(f"fd {fileno} is not connected: say where to, in an ADDRESS", option="--fileno")
        target = addresses.parse_target(self.plan.address, family=sock.family)
        if target.address is None:
            raise UsageError("with --fileno the address must be a number, not a name", option="ADDRESS")
        blocking = syscalls.is_blocking(sock)
        if blocking:
            syscalls.not_blocking(self.env, sock)
        try:
            there = [Resolved(sock.family, target.address)]
            deadline = loop.later(self.timeout, loop.stop)
            return self._try(Dialer(loop, there, lambda _: sock, self._explain, loop.stop, own=False), deadline)
        finally:
            if blocking:
                syscalls.blocking(self.env, sock)

    # ---- connecting

    def _make(self, resolved: Resolved) -> socket.socket:
        env = self.env
        sock = self.plan.make(env, self._spec(resolved.family))
        try:
            syscalls.not_blocking(env, sock)
            apply_settings(env, sock, self.options, "BEFORE_BIND")
            if self.means.join & Join.ACCEPT:  # its options, a key for one, are for what is bound
                self._bind(sock, resolved.address)
            local = self.source.address(resolved.family, sock.type)
            if local is not None:
                self._bind(sock, local)
            apply_settings(env, sock, self.options, "BEFORE_CONNECT", "ANY")
            membership(env, sock, self.plan, join=True)
        except BaseException:
            syscalls.close(env, sock)
            raise
        return sock

    def _bind(self, sock: socket.socket, local: Any) -> None:
        try:
            syscalls.bind(self.env, sock, local)
        except OSError as error:
            text = addresses.format_address(sock.family, local)
            raise SystemRefusal(
                f"bind to {text}", error, hint=hint("bind", error, sock.family, sock.type, local)
            ) from error
        if has_path(sock.family, local):
            self.path = OwnPath(local)

    def _explain(self, operation: str, error: Exception, resolved: Resolved) -> str | None:
        if operation == "connect" and self.through is not None and isinstance(error, ConnectionRefusedError):
            return "that is the proxy's address, and nobody listens there"
        if operation == "connect" and self.plan.netns is not None and isinstance(error, ConnectionRefusedError):
            return (
                f"that host answered, but nobody listens on that port, in network namespace {quoted(self.plan.netns)}"
            )
        if operation == "connect":
            return hint("connect", error, resolved.family, self.type, resolved.address)
        return creation_hint(self._spec(resolved.family), error)

    def _spec(self, family: int) -> SocketSpec:
        assert self.target is not None
        return self.plan.spec_for(family, self.target)

    def _join(self, env: Env, sock: socket.socket, address: object) -> None:
        """Get hold of the other side."""
        if self.means.join & Join.ACCEPT:
            return
        if self.means.join & Join.BIND:
            syscalls.bind(env, sock, address)
        elif self.means.join & Join.CONNECT:
            if self.type == socket.SOCK_DGRAM and self.plan.asks_many(sock.family, address):
                self.means = self.means._replace(join=Join.SEND)
                if self.source.address(sock.family, self.type) is None:  # as sendto(2) would, but so the port is known
                    syscalls.bind(env, sock, ("::" if sock.family == syscalls.AF_INET6 else "0.0.0.0", 0))
            else:
                syscalls.connect(env, sock, address)

    def _dial(self, loop: Loop, target: addresses.Target, left: float) -> socket.socket | None:
        """The connected socket, or None: then everything that failed has been told. ``left``: seconds of the timeout."""
        env = self.env
        deadline = loop.later(left, loop.stop)
        try:
            spec = self._spec(target.family or socket.AF_INET)
            found = resolve(loop, target, spec, numeric=self.plan.numeric)
        except (OSError, UnicodeError, ValueError) as refusal:
            deadline.cancel()
            error = timed_out(self.timeout) if isinstance(refusal, TimeoutError) else refusal
            tip = "-n asks no name server" if self.plan.numeric else None
            env.observer(Failed(env.clock(), 0, f"look up {target.text}", error, tip))
            return None
        if self.means.connections:
            tried = found
        else:
            # A datagram socket connects at once, wherever: what answers is known later, if ever.
            tried, others = found[:1], [addresses.format_address(*row) for row in found[1:]]
            if others:
                self.others = f"{target.text} has other addresses, which are not tried: {', '.join(others)}"
                env.observer(Note(env.clock(), 0, Level.INFO, self.others))
        dialer = Dialer(loop, tried, self._make, self._explain, loop.stop, join=self._join)
        if not self._try(dialer, deadline) and len(found) > 1 and dialer.failures:
            resolved, last = dialer.failures[-1]
            tip = hint("connect", last, resolved.family, self.type, resolved.address)
            if tip:
                env.observer(Note(env.clock(), 0, Level.WARNING, tip))
        return dialer.socket

    def _try(self, dialer: Dialer, deadline: Timer) -> bool:
        """Let it connect until the deadline, which stops the loop; what is still pending then is told as timed out."""
        env, loop = self.env, dialer.loop
        dialer.start()
        if dialer.over:
            loop.unstop()
        else:
            loop.run()
        deadline.cancel()
        if loop.signal is not None:
            dialer.cancel()
            raise Signalled(loop.signal)
        if dialer.winner is not None:
            self.peer = dialer.winner.address
            return True
        for text, resolved, full in dialer.pending():
            expired = timed_out(self.timeout)
            tip = (
                "somebody listens there, but does not accept: its queue of waiting connections is full"
                if full
                else hint("connect", expired, resolved.family, self.type, resolved.address)
            )
            env.observer(Failed(env.clock(), 0, f"connect to {text}", expired, tip))
        dialer.cancel()
        return False

    # ---- conversing

    def _calculate(self, loop: Loop, sock: socket.socket) -> Exit:
        """The kernel itself is the other side: the result goes to stdout."""
        from sockkit.calculation import Calculation

        env = self.env
        peer = addresses.format_address(sock.family, self.peer)
        try:
            worker, _ = syscalls.accept(env, sock)
        except OSError as error:
            raise SystemRefusal(f"use {peer}", error) from error
        finally:
            syscalls.close(env, sock)
        source, sink = self._local_ends(loop)
        assert source is not None and sink is not None
        calculation = Calculation(loop, worker, source, peer=peer, on_end=loop.stop)
        calculation.start()
        loop.run()
        if loop.signal is not None:
            raise Signalled(loop.signal)
        if not calculation.failed:
            shown = sink.terminal and not self.settings.raw
            self._write(loop, sink, memoryview(calculation.shown() if shown else calculation.result))
        return Exit.FAILED if calculation.failed else Exit.OK

    def _write(self, loop: Loop, sink: stdio.LocalEnd, data: memoryview) -> None:
        assert sink.write is not None
        while data:
            try:
                data = data[sink.write(data) :]
            except BlockingIOError:
                loop.wait_for(sink.fd, WRITE)
            except BrokenPipeError as error:
                raise OutputGone from error
            except OSError as error:
                raise SystemRefusal("write to stdout", error) from error

    def _limit(self, loop: Loop, seconds: float) -> None:
        """``--duration``: counted from the first connection, however many there are."""
        if not self.limited:
            self.limited = True
            loop.later(seconds, self._on_duration)

    def _on_duration(self) -> None:
        if self.session is None or self.session.closed:
            raise _Over  # between two connections
        self.session.conclude(duration_text(self.plan))

    def _converse(self, loop: Loop, sock: socket.socket, *, own: bool) -> Exit:
        env, plan, means = self.env, self.plan, self.means
        settings = plan.for_messages(self.settings, means)
        peer = self._peer_text(sock)
        if (plan.zero or self.again is not None) and means.connections and own and peer == local_text(env, sock):
            syscalls.close(env, sock)
            text = "it connected to itself, by an ephemeral port that is the one asked: nobody listens there"
            error = ConnectionRefusedError(errno.ECONNREFUSED, text)
            env.observer(Failed(env.clock(), 0, f"connect to {peer}", error, None))
            return Exit.FAILED
        self.sessions += 1
        via = self.through.via if self.through is not None else None
        if plan.zero:
            here = local_text(env, sock)
            env.observer(Opened(env.clock(), self.sessions, peer, here, sock.family, self.type, via=via))
            if not means.connections:
                text = "a datagram socket connects without asking the peer: -z says nothing about it"
                env.observer(Note(env.clock(), self.sessions, Level.WARNING, text))
            if own:
                syscalls.close(env, sock)
            return Exit.OK
        player = programs = None
        source: stdio.LocalEnd | None = None
        sink: stdio.LocalEnd | None = None
        failed = False
        if self.command is not None:
            from sockkit.programs import Program, Programs

            def ended(program: Program) -> None:
                nonlocal failed
                failed = program.failed
                loop.stop()

            programs = Programs(loop, self.command, ended)
        elif self.replay is not None:
            from sockkit.replay import UNTIL_SAID, Player

            player = Player(loop, self.replay, client=True, patience=settings.reply_wait)
            source, sink, settings = player.source, player.sink, settings._replace(copy=True, after_end=UNTIL_SAID)
        else:
            source, sink = self._local_ends(loop)
        if plan.insecure:
            text = "the peer is not verified (--insecure): anybody may be at the other end"
            env.observer(Note(env.clock(), self.sessions, Level.WARNING, text))

        put_off = puts_off(self.options) and syscalls.peer_address(env, sock) is None
        if put_off:
            text = "TCP_FASTOPEN_CONNECT: the peer is asked with the first data that is sent, not before"
            env.observer(Note(env.clock(), self.sessions, Level.INFO, text))

        def over(session: Session) -> None:
            if programs is None or not programs.over(session):
                loop.stop()

        shared = Shared(loop)
        session = self.session = Session(
            loop,
            self.sessions,
            sock,
            Relay.discard(CAPACITY) if source is None else Relay.duplex(CAPACITY, half_close=settings.half_close),
            shared,
            settings,
            kind=(int(sock.family), self.type),
            peer=peer,
            local=local_text(env, sock),
            connected=means.connections,
            messages=means.boundaries,
            source=source,
            sink=sink,
            on_close=over,
            own=own,
            half_close=means.half_close,
            destination=self.peer if means.join & Join.SEND else None,
            credentials=self.credentials,
            ends=programs.ends if programs is not None else None,
            via=via,
            before=self.again.before if self.again is not None else None,
        )
        try:
            session.start()
            if player is not None:
                player.start()
            if plan.duration is not None and not session.closed:
                self._limit(loop, plan.duration)
            if not session.closed or (programs is not None and programs.running):
                loop.run()
        finally:
            session.close()
            if programs is not None:
                programs.close()
            shared.close()
            if player is not None:
                player.close()
        if loop.signal is not None:
            raise Signalled(loop.signal)
        same = player is None or player.tell("connect")
        if session.error is not None and self.others:
            env.observer(Note(env.clock(), 0, Level.WARNING, self.others))
        if put_off and session.error is not None and session.totals == (0, 0):
            text = "nothing was sent, so TCP_FASTOPEN_CONNECT never asked the peer for a connection"
            env.observer(Note(env.clock(), self.sessions, Level.WARNING, text))
        if self.through is not None:
            self.through.doubt(env, session, plain=self.credentials is None)
        return Exit.FAILED if session.failed or failed or not same else Exit.OK
