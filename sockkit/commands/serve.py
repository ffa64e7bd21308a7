"""``sockkit serve``: the listening side. An echo by default, as in every book's first server."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sockkit import addresses, stdio, syscalls, systemd
from sockkit.carriers import CAPACITY, Shared
from sockkit.commands.endpoint import (
    AF_UNIX,
    LINUX,
    EndpointPlan,
    OwnPath,
    apply_settings,
    creation_hint,
    duration_text,
    has_path,
    hint,
    leave,
    local_text,
    membership,
    resolve,
    timed_out,
)
from sockkit.datagrams import Datagrams
from sockkit.dial import CONNECT_TIMEOUT, Dialer
from sockkit.errors import Exit, Signalled, SystemRefusal, UsageError
from sockkit.events import Disturbed, Env, Failed, Level, Listening, Note, Totals
from sockkit.loop import READ, Loop, ready
from sockkit.relay import Relay
from sockkit.resolve import Resolved
from sockkit.semantics import Join, Semantics, semantics
from sockkit.services import SERVICES
from sockkit.sessions import Session, Settings
from sockkit.spec import ANY_PORT, MODE, SECONDS, Kind, SocketSpec, choice, number, option, passed_fds
from sockkit.text import escape, quoted

if TYPE_CHECKING:
    from sockkit.door import Door, Limits
    from sockkit.events import Handshake
    from sockkit.hub import Hub
    from sockkit.programs import Program, Programs
    from sockkit.replay import Player, Replay
    from sockkit.tls import Credentials

TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET"),
        *("EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH", "EINTR"),
    )
    if hasattr(errno, name)
)
"""What accept(2) passes on from a connection that is gone already: the next one may be well."""
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""Not the connection's fault but ours: it waits in the queue until there is room."""
ACCEPT_AT_ONCE = 64
TOGETHER = ("broadcast", "chat")
"""Modes in which clients hear each other."""


class ServePlan(EndpointPlan):
    """sockkit serve [OPTIONS] [ADDRESS]

    Listen and echo what comes, to many clients at once. Without an ADDRESS:
    127.0.0.1:65432. Ctrl-C ends it and says the totals.

    Examples:
      sockkit serve
      sockkit serve --mode pipe 8080 > received
      sockkit serve -u ::1 5353
    """

    SERVES = True
    FIRST = (
        *("udp", "unix", "port", "mode", ("keep", "once"), "tls", "exec"),
        *("hex", "outputs", "verbose", "quiet", "json"),
    )
    address: tuple[str, ...] = ()
    port: int | None = option("-p", "--port", kind=ANY_PORT, group="socket", help="port (65432; 0: any free one)")
    mode: str = option(
        "--mode",
        kind=choice("echo", "discard", "pipe", "relay", *TOGETHER, *SERVICES)._replace(metavar="MODE"),
        default="echo",
        group="session",
        help="echo, pipe (nc -l), discard, relay, broadcast, chat, chargen, qotd, ...",
    )
    patience: float | None = option(
        "--patience",
        kind=SECONDS,
        group="session",
        help="broadcast, chat: how long a member that does not read is waited for (1)",
    )
    to: str | None = option(
        "--to", kind=Kind("ADDRESS"), group="session", help="relay: the server that clients are passed on to"
    )
    keep: bool = option("-k", "--keep-open", group="session", help="next client too (pipe): until stdin has ended")
    once: bool = option("--once", group="session", help="end after the first session")
    allow: tuple[str, ...] = option(
        "--allow",
        kind=Kind("WHO"),
        group="access",
        multiple=True,
        help="let nobody in but these: networks (192.0.2.0/24), hosts, ranges, names; Unix: uid:N, user:NAME; repeatable",
    )
    deny: tuple[str, ...] = option(
        "--deny", kind=Kind("WHO"), group="access", multiple=True, help="refuse these, allowed or not; repeatable"
    )
    allow_files: tuple[str, ...] = option(
        "--allowfile",
        "--allow-file",
        kind=Kind("FILE"),
        group="access",
        multiple=True,
        help="--allow what stands in FILE, # begins a comment",
    )
    deny_files: tuple[str, ...] = option(
        "--denyfile", "--deny-file", kind=Kind("FILE"), group="access", multiple=True, help="--deny what stands in FILE"
    )
    max_conns: int | None = option(
        "--max-conns", kind=number("N", 1, 10**6), group="session", help="serve N at once; others wait in the queue"
    )
    max_per_peer: int | None = option(
        "--max-conns-per-peer",
        kind=number("N", 1, 10**6),
        group="access",
        help="of one address, or Unix user, serve N at once; more are reset",
    )
    accept_timeout: float | None = option(
        "--accept-timeout", kind=SECONDS, group="session", help="end when nobody was there for S seconds"
    )
    backlog: int | None = option(
        "--backlog", kind=number("N", 0, 2**31 - 1), group="socket", help="length of the accept queue (128)"
    )
    ready_fd: int | None = option(
        "--ready-fd",
        kind=number("N", 0, 2**31 - 1),
        group="session",
        help="write the address to this descriptor, one line",
    )
    replace: bool = option("--replace", group="socket", help="Unix: remove a stale socket that stands in the way")
    socket_mode: int | None = option("--socket-mode", kind=MODE, group="socket", help="Unix: permissions of the path")

    def credentials(self, address: Any) -> Credentials | None:
        """What TLS needs, or None without it.

        Args:
            address: ours, which a throw-away certificate is for.

        Raises:
            UsageError: files that do not do.
        """
        if not self.tls:
            return None
        from sockkit import tls

        own = [str(address[0]).partition("%")[0]] if isinstance(address, tuple) else []
        names = dict.fromkeys(("localhost", "127.0.0.1", "::1", socket.gethostname(), *own))
        return tls.Credentials(
            server=True, ca=self.ca, certificate=self.cert, key=self.key, alpn=self.alpn_names(), names=list(names)
        )

    def no_program(self) -> tuple[tuple[bool, str], ...]:
        """See ``EndpointPlan``."""
        own = (self.mode != "echo", "--mode"), (self.to is not None, "--to"), (self.keep, "-k")
        return *super().no_program(), *own

    def limits(self) -> Limits | None:
        """Who may come, how many and how long nobody need; None: whoever likes to.

        Raises:
            UsageError: what is no rule, or cannot be read.
        """
        given = [(text, "--allow", True) for text in self.allow] + [(text, "--deny", False) for text in self.deny]
        files = [(path, "--allow-file", True) for path in self.allow_files]
        files += [(path, "--deny-file", False) for path in self.deny_files]
        if self.accept_timeout == 0:
            raise UsageError("a timeout of 0 seconds lets nobody in: give more", option="--accept-timeout")
        if not given and not files and self.max_per_peer is None and self.accept_timeout is None:
            return None
        from sockkit import door

        return door.Limits(door.rules(given, files), self.max_per_peer, self.accept_timeout)

    def check(self, means: Semantics, family: int | None) -> None:
        """See ``EndpointPlan``; and for modes in which clients hear each other.

        Raises:
            UsageError: what means nothing there.
        """
        super().check(means, family)
        if self.mode not in TOGETHER:
            if self.patience is not None:
                raise UsageError("it is for --mode broadcast and --mode chat", option="--patience")
            return
        for given, flag in (
            (self.once, "--once"),
            (self.lines, "--lines"),
            (self.message_size is not None, "--message-size"),
            (bool(self.send_fds), "--send-fd"),
        ):
            if given:
                text = f"--mode {self.mode} is for several, who talk to each other: leave {flag} out"
                raise UsageError(text, option=flag)
        if means.connections:
            return
        if self.mode == "chat":
            raise UsageError("a chat's members come and go, which datagrams do not: leave -u out", option="--mode")
        if family not in syscalls.INTERNET:
            # Whatever a Unix peer does not read stays in our send buffer, which is one for all of them: nobody would get anything.
            text = "datagrams are passed on to others over UDP alone; messages of a Unix socket: --type SEQPACKET"
            raise UsageError(text, option="--mode")
        for given, flag in ((self.patience is not None, "--patience"), (self.crlf, "-C")):
            if given:
                raise UsageError(f"datagrams are passed on as they come: leave {flag} or -u out", option=flag)

    def path_options(self) -> tuple[tuple[bool, str], ...]:
        """(given, flag) of the options that only the path of a Unix socket has."""
        return (self.replace, "--replace"), (self.socket_mode is not None, "--socket-mode")


def run(plan: ServePlan, env: Env) -> Exit:
    """Serve until a signal, or until there is nobody left to serve.

    Raises:
        UsageError: what the options or the address ask for cannot be.
        SystemRefusal: the socket could not be made, bound or listened on.
        Signalled, OutputGone: how the process is to end.
    """
    server = _Server(plan, env)
    server.check()
    if plan.code:
        from sockkit.commands import code

        code.tell(env, "serve", code.serve(plan))
        return Exit.OK
    return server.run()


class _Server:
    """One run of the command."""

    def __init__(self, plan: ServePlan, env: Env) -> None:
        if plan.replay is not None:
            for given, flag in ((plan.keep, "-k"), (plan.mode != "echo", "--mode")):
                if given:
                    raise UsageError(f"--replay plays for one client: leave {flag} out", option=flag)
            plan = ServePlan(**{**vars(plan), "mode": "pipe", "once": True})
        self.plan = plan
        self.replay: Replay | None = None
        self.player: Player | None = None
        self.console = plan.console(env) if plan.mode == "pipe" else None
        if self.console is not None:
            env = self.console.env
        self.env = env
        self.settings: Settings = plan.session_settings()
        self.options = plan.parsed_settings()
        self.sessions: dict[int, Session] = {}
        self.count = self.sent = self.received = 0
        self.failed = False
        self.datagrams: Datagrams | None = None
        self.credentials: Credentials | None = None
        self.beyond: addresses.Target | None = None
        self.beyond_found: list[Resolved] = []
        self.behind: dict[int, socket.socket] = {}
        self.ends: dict[int, list[stdio.LocalEnd]] = {}
        """Of one session alone, by its number."""
        self.dialing: dict[int, tuple[Dialer, socket.socket]] = {}
        self.programs: Programs | None = None
        self.ending = 0
        """Sessions that are over, but for their programs."""
        self.contended = False
        """One client is served, but TLS's handshake comes first: many may be at theirs, so that a silent one is in nobody's way."""
        self.place: Session | None = None
        """Who is served, where that is contended."""
        self.line: deque[Session] = deque()
        """Those who shook hands while somebody else was served."""
        self.closing = False
        self.lent = False
        self.local = ""
        self.wildcard = False
        self.path: OwnPath | None = None
        self.paused = False
        self.complained = -1.0
        self.spare: int | None = None
        self.source: stdio.LocalEnd | None = None
        self.sink: stdio.LocalEnd | None = None
        self.used = False
        """Somebody has got something of the source."""
        self.target: addresses.Target | None = None
        self.means = semantics(None, syscalls.base_type(plan.type_number()), None)
        self.hub: Hub | None = None
        self.most = 1 if plan.mode == "pipe" or plan.once else plan.max_conns
        self.limits = plan.limits()
        self.door: Door | None = None

    def run(self) -> Exit:
        env = self.env
        begun = env.clock()
        command = self.plan.command()
        with Loop(env) as self.loop:
            if command is not None:
                from sockkit.programs import Programs

                descriptors = syscalls.more_descriptors(env)
                self.programs = Programs(self.loop, command, self._on_program_end, descriptors=descriptors)
                self.most = min(self.most or self.programs.most, self.programs.most)
            self.shared = Shared(self.loop)
            self.credentials = self.plan.credentials(self.target.address if self.target is not None else None)
            if self.plan.own_source and self.replay is None:
                self.source = self.plan.open_source(
                    env, self.loop
                )  # nobody is waited for with a file that is not there
            if self.beyond is not None:
                self.beyond_found = self._resolve(self.beyond, self._spec_beyond(self.beyond.family))
            sock = self.sock = self._socket()
            try:
                if self.limits is not None:
                    self._make_door(sock, self.limits)
                self._announce(sock)
                self._serve(sock)
                if self.plan.duration is not None:
                    self.loop.later(self.plan.duration, self._on_duration)
                self.loop.run()
            finally:
                self._close()
                duration = env.clock() - begun
                denied = self.door.denied if self.door is not None else 0
                if self.local:  # else it never listened
                    env.observer(Totals(env.clock(), self.count, self.sent, self.received, duration, denied))
            if self.loop.signal is not None:
                raise Signalled(self.loop.signal)
            if self.player is not None and not self.player.tell("serve"):
                self.failed = True
        return Exit.FAILED if self.failed else Exit.OK

    def _check_groups(self, target: addresses.Target) -> None:
        """Raises UsageError where what is sent to a group cannot arrive, since another address is bound (but on Windows)."""
        family = target.family or 0
        here = addresses.packed(family, target.address)
        if here is None or not any(here) or addresses.is_multicast(family, target.address) or os.name == "nt":
            return
        for group in self.plan.join:
            if len(group.address) == len(here):
                wildcard = "0.0.0.0" if len(here) == 4 else "::"
                text = f"what is sent to {group.text} does not reach a socket on {target.text}"
                hint = f"type: sockkit serve -u --join {group.text} {wildcard} {target.port}"
                raise UsageError(text, option="--join", hint=hint)

    def check(self) -> None:
        """Raises UsageError for options that contradict each other."""
        plan = self.plan
        if plan.fileno is None and (plan.address or not passed_fds()):
            target = self.target = plan.target(plan.address, plan.port)
            spec = plan.spec_for(target.family or socket.AF_INET, target)
            self.means = semantics(spec.family, syscalls.base_type(spec.type), spec.proto)
            plan.check(self.means, spec.family)
            self._check_door(spec.family)
            self._check_groups(target)
            if self.means.join & Join.ACCEPT:
                text = "the kernel itself is the other side here: sockkit connect reaches it"
                raise UsageError(text, option="--family")
            if (
                plan.mode == "echo"
                and not plan.runs_program
                and self.means.join & Join.BIND
                and addresses.is_loopback(spec.family or 0, target.address)
            ):
                raise UsageError("an echo on lo hears itself, for ever: --mode pipe or --mode discard", option="--mode")
        connections = self.means.connections
        if (plan.mode == "relay") != (plan.to is not None):
            text = "--mode relay needs the address that it leads to" if plan.to is None else "it is for --mode relay"
            raise UsageError(text, option="--to")
        if plan.to is not None:
            if not connections and plan.once:
                raise UsageError("datagrams have no session that ends: leave it out", option="--once")
            self.beyond = addresses.parse_target([plan.to], argument="--to")
        if plan.keep and plan.mode != "pipe":
            raise UsageError(
                f"--mode {plan.mode} serves many clients, for ever, by itself: leave -k out (it is for --mode pipe)",
                option="-k",
            )
        crlf = plan.crlf and plan.mode not in TOGETHER and not plan.runs_program
        for given, flag in (*plan.text_options(), (crlf, "-C")):
            if given and plan.mode != "pipe" and plan.replay is None:
                raise UsageError("it is about what is sent and received here: --mode pipe", option=flag)
        if plan.keep and plan.once:
            raise UsageError("-k and --once contradict each other: give one", option="--once")
        if plan.keep and not connections:
            raise UsageError("datagrams have no sessions to wait for: leave -k out", option="-k")
        if plan.max_conns is not None and plan.mode == "pipe":
            raise UsageError("--mode pipe serves one client at a time: leave --max-conns out", option="--max-conns")
        if plan.max_conns is not None and not connections and plan.fileno is None:
            raise UsageError("datagrams have no connections to count: leave --max-conns out", option="--max-conns")
        if plan.max_per_peer is not None and plan.mode == "pipe":
            raise UsageError("--mode pipe serves one client at a time: leave it out", option="--max-conns-per-peer")
        if plan.ready_fd is not None:
            try:
                os.fstat(plan.ready_fd)
            except OSError as error:
                raise UsageError(f"{plan.ready_fd} is no open descriptor", option="--ready-fd", cause=error) from error
        self.replay = plan.played(stream=None if self.target is None else not self.means.boundaries)

    def _check_door(self, family: int | None) -> None:
        if self.limits is not None:
            from sockkit import door

            door.check(self.limits, family, self.means.connections)

    # ---- the socket

    def _socket(self) -> socket.socket:
        plan = self.plan
        passed = passed_fds()
        if plan.fileno is not None:
            if plan.address or plan.port is not None:
                raise UsageError("--fileno brings its own address: leave ADDRESS and --port out", option="--fileno")
            plan.check_fileno(self.env, stdio=plan.mode == "pipe" and self.replay is None, others=plan.path_options())
            return self._adopt(plan.socket_spec(), f"adopt fd {plan.fileno}")
        if passed and not plan.address and plan.port is None:
            fd = next(iter(passed))
            if len(passed) > 1:
                listed = ", ".join(f"fd {each} ({escape(name)})" for each, name in passed.items())
                text = f"the service manager passed {listed}: only fd {fd} is served; --fileno NAME serves another"
                self.env.observer(Note(self.env.clock(), 0, Level.WARNING, text))
            if plan.netns is not None or plan.interface is not None:
                flag = "--netns" if plan.netns is not None else "--interface"
                raise UsageError(
                    f"the service manager passed fd {fd}, and {flag} is for a socket made here", option=flag
                )
            return self._adopt(SocketSpec(fileno=fd), f"adopt fd {fd} (LISTEN_FDS)")
        assert self.target is not None
        return self._make(self.target)

    def _adopt(self, spec: SocketSpec, operation: str) -> socket.socket:
        env, plan, fileno = self.env, self.plan, spec.fileno
        try:
            sock = syscalls.make(env, spec)
        except OSError as error:
            raise SystemRefusal(operation, error, hint=hint("fileno", error, None, None)) from error
        self.lent = True
        try:
            self.means = syscalls.means(env, sock)
            plan.check(self.means, sock.family)
            self._check_door(sock.family)
            if syscalls.peer_address(env, sock) is not None and self.means.connections:
                raise UsageError(
                    f"fd {fileno} is connected: it can be conversed over (sockkit connect --fileno {fileno}), not served on",
                    option="--fileno",
                )
            apply_settings(env, sock, self.options, "BEFORE_BIND", "BEFORE_CONNECT", "ANY", lent=True)
            address = syscalls.local_address(env, sock)
            if sock.family in syscalls.INTERNET and address is not None and not address[1]:
                text = f"fd {fileno} has no address: listening would bind it to any port of every interface"
                raise UsageError(text, option="--fileno", hint="have whoever lends it bind it first")
            # listen(2) on a socket that listens already would change its lender's backlog.
            if self.means.connections and (plan.backlog is not None or not syscalls.listening(env, sock)):
                syscalls.listen(env, sock, plan.backlog)
        except OSError as error:
            sock.detach()
            raise SystemRefusal(f"{operation}: listen", error, hint=hint("listen", error, None, None)) from error
        except BaseException:
            sock.detach()
            raise
        return sock

    def _resolve(self, target: addresses.Target, spec: SocketSpec) -> list[Resolved]:
        try:
            return resolve(self.loop, target, spec, numeric=self.plan.numeric)
        except (OSError, UnicodeError, ValueError) as error:
            tip = "-n asks no name server" if self.plan.numeric else None
            raise SystemRefusal(f"look up {target.text}", error, hint=tip) from error

    def _make(self, target: addresses.Target) -> socket.socket:
        env, plan = self.env, self.plan
        spec = plan.spec_for(target.family or socket.AF_INET, target)
        if target.family != AF_UNIX:
            for given, flag in plan.path_options():
                if given:
                    raise UsageError(f"{flag} is for Unix sockets, which have a path", option=flag)
        found = self._resolve(target, spec)
        if len(found) > 1:
            others = ", ".join(addresses.format_address(*row) for row in found[1:])
            env.observer(Note(env.clock(), 0, Level.INFO, f"{target.text} has other addresses, not served: {others}"))
        family, address = found[0]
        spec = plan.spec_for(family, target)
        text = addresses.format_address(family, address)
        try:
            sock = plan.make(env, spec)
        except OSError as error:
            raise SystemRefusal(f"socket for {text}", error, hint=creation_hint(spec, error)) from error
        operation = f"bind to {text}"
        try:
            syscalls.not_blocking(env, sock)
            if plan.ipv6 and hasattr(socket, "IPV6_V6ONLY"):
                syscalls.set_int(env, sock, "IPPROTO_IPV6", "IPV6_V6ONLY", 1)
            apply_settings(env, sock, self.options, "BEFORE_BIND")
            self._bind(sock, address)
            apply_settings(env, sock, self.options, "BEFORE_CONNECT")
            if self.means.connections or self.means.listens:
                operation = f"listen on {text}"
                syscalls.listen(env, sock, plan.backlog)
            apply_settings(env, sock, self.options, "ANY")
            membership(env, sock, plan, join=True)
        except OSError as error:
            self._remove_path()
            syscalls.close(env, sock)
            verb = operation.split()[0]
            tip = _in_the_way(address) if has_path(family, address) and error.errno == errno.EADDRINUSE else None
            tip = tip or hint(verb, error, family, syscalls.base_type(spec.type), address)
            raise SystemRefusal(operation, error, hint=tip) from error
        except BaseException:
            self._remove_path()
            syscalls.close(env, sock)
            raise
        return sock

    def _bind(self, sock: socket.socket, address: Any) -> None:
        if not has_path(sock.family, address):
            (syscalls.connect if self.means.mutual else syscalls.bind)(self.env, sock, address)
            return
        if self.plan.replace:
            self._remove_stale(sock, address)
        mode = self.plan.socket_mode
        # bind(2) makes the path with what the umask leaves: so it is never, not for a moment, wider than asked.
        before = os.umask(0o777 & ~mode) if mode is not None else None
        try:
            syscalls.bind(self.env, sock, address)
        finally:
            if before is not None:
                os.umask(before)
        self.path = OwnPath(address)

    def _remove_stale(self, sock: socket.socket, path: Any) -> None:
        """Remove a socket that nobody listens on. Anything else in the way stays, and bind(2) says so."""
        try:
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                return
        except OSError:
            return
        if not syscalls.answers(self.env, sock.family, sock.type, path):
            os.unlink(path)
            text = f"removed the stale socket {addresses.format_address(sock.family, path)}"
            self.env.observer(Note(self.env.clock(), 0, Level.INFO, text))

    def _remove_path(self) -> None:
        if self.path is not None:
            self.path.remove()
            self.path = None

    # ---- serving

    def _announce(self, sock: socket.socket) -> None:
        env, plan = self.env, self.plan
        address = syscalls.local_address(env, sock)
        text = self.local = addresses.format_address(sock.family, address)
        self.wildcard = addresses.is_wildcard(sock.family, address)
        identity = syscalls.identity(env, sock)
        family = sock.family if identity.family is None else identity.family
        kind = syscalls.base_type(sock.type if identity.type is None else identity.type)
        self.kind = int(sock.family), kind
        remark, warning = self._reach(sock, address)
        if plan.netns is not None:
            remark = f"in network namespace {quoted(plan.netns)}" + f"; {remark}" * bool(remark)
        if self.credentials is not None and self.credentials.own is not None:
            remark = f"{remark}; " * bool(remark) + f"a throw-away certificate, SHA-256 {self.credentials.own}"
        env.observer(Listening(env.clock(), text, family, kind, remark))
        if warning:
            env.observer(Note(env.clock(), 0, Level.WARNING, warning))
        if plan.ready_fd is not None:
            try:
                os.write(plan.ready_fd, text.encode() + b"\n")
            except OSError as error:
                raise SystemRefusal(f"write to --ready-fd {plan.ready_fd}", error) from error
        systemd.ready(env, f"listening on {text}")

    def _reach(self, sock: socket.socket, address: Any) -> tuple[str, str]:
        """Who can reach it: (remark for the line, warning of its own)."""
        if sock.family not in syscalls.INTERNET:
            return "", ""
        port = address[1]
        if addresses.is_loopback(sock.family, address):
            wide = "::" if sock.family == syscalls.AF_INET6 else "0.0.0.0"
            flag = {1: "", 2: "-u "}.get(syscalls.base_type(sock.type))
            remark = "this host only" if self.plan.netns is None else "that namespace only"
            if self.plan.interface not in (None, "lo"):
                text = f"127.0.0.0/8 and ::1 are on lo, where nobody comes by {escape(self.plan.interface or '')}"
                return remark, f"{text} (unless it is a VRF): {wide} {port} serves those who do"
            if flag is not None and not self.plan.proto and self.plan.netns is None:
                remark += f"; others: sockkit serve {flag}{wide} {port}"
        elif sock.family == syscalls.AF_INET6 and addresses.is_wildcard(sock.family, address):
            only = syscalls.v6_only(self.env, sock)
            remark = "IPv6 only" if only else "IPv6, and IPv4 as ::ffff:a.b.c.d"
        else:
            remark = ""
        known = self.limits is not None and self.limits.rules is not None and self.limits.rules.only
        if addresses.is_loopback(sock.family, address) or known:  # who may come has been thought of
            return remark, ""
        can = "runs a program here" if self.plan.runs_program else "can connect"
        return remark, f"whoever can reach this host over the network {can}: 127.0.0.1 is for this host only"

    def _make_door(self, sock: socket.socket, limits: Limits) -> None:
        from sockkit import door

        def look_up(host: str) -> list[Resolved]:
            target = addresses.Target(None, host, 0, None)
            try:
                return resolve(self.loop, target, SocketSpec(type=socket.SOCK_STREAM), numeric=self.plan.numeric)
            except (OSError, UnicodeError, ValueError) as error:
                tip = "-n asks no name server" if self.plan.numeric else None
                raise SystemRefusal(f"look up {escape(host)}, which a rule names", error, hint=tip) from error

        if limits.rules is not None:
            door.resolve(self.env, limits.rules, look_up)
            v6_only = sock.family == syscalls.AF_INET6 and syscalls.v6_only(self.env, sock)
            warning = door.unreachable(limits.rules, sock.family, v6_only=v6_only)
            if warning is not None:
                self.env.observer(Note(self.env.clock(), 0, Level.WARNING, warning))
        self.door = door.Door(self.loop, sock.family, limits, self._on_patience)

    def _on_patience(self) -> None:
        """``--accept-timeout``: nobody was there for so long. If nobody ever was, that is a failure."""
        env, wait = self.env, self.plan.accept_timeout
        assert wait is not None
        if self.datagrams is not None and self.datagrams.sessions:
            return  # somebody was heard from, and datagrams have no end: --idle-timeout is for that
        if self.count:
            env.observer(Note(env.clock(), 0, Level.INFO, f"nobody else came for {wait:g} s: done"))
        else:
            self.failed = True
            env.observer(Failed(env.clock(), 0, f"wait for a client on {self.local}", timed_out(wait), None))
        self.loop.stop()

    def _on_duration(self) -> None:
        """``--duration``: the end that was asked for; sessions that are open end as by a signal."""
        left = len(self.sessions)
        text = f"{left} session{'s' * (left != 1)} still open" if left else "nobody is left"
        self.env.observer(Note(self.env.clock(), 0, Level.INFO, f"{duration_text(self.plan)}: {text}"))
        self.loop.stop()

    def _serve(self, sock: socket.socket) -> None:
        plan, loop = self.plan, self.loop
        if self.replay is not None:
            from sockkit.replay import UNTIL_SAID, Player

            player = self.player = Player(loop, self.replay, client=False, patience=self.settings.reply_wait)
            self.source, self.sink = player.source, player.sink
            self.settings = self.settings._replace(copy=True, after_end=UNTIL_SAID)
        elif plan.mode == "pipe":
            self.source = self.source or plan.open_source(self.env, loop, self.console)
            self.sink = plan.open_sink(self.env, self.console)
        self.contended = self.credentials is not None and self.player is None and (plan.mode == "pipe" or plan.once)
        means = self.means
        self.settings = plan.for_messages(self.settings, means)
        if self.door is not None:
            self.door.wait()
        if means.connections:
            if plan.mode in TOGETHER:
                from sockkit import hub

                self.hub = hub.Hub(
                    loop,
                    chat=plan.mode == "chat",
                    messages=means.boundaries,
                    patience=hub.PATIENCE if plan.patience is None else plan.patience,
                    crlf=plan.crlf,
                )
            syscalls.more_descriptors(self.env)
            self._take_spare()
            if self.settings.faults is not None and self.settings.faults.never_accept:
                self.env.observer(Disturbed(self.env.clock(), 0, "never-accept", 0))
                self.paused = True
                self.most = 0
                return
            loop.watch(sock.fileno(), READ, self._on_client)
            return
        if self.beyond is not None:
            syscalls.more_descriptors(self.env)
        self.datagrams = Datagrams(
            loop,
            sock,
            plan.mode,
            self.shared.buffer,
            self.settings,
            local=self.local,
            source=self.source,
            sink=self.sink,
            once=plan.once,
            single=means.mutual or not means.join & (Join.CONNECT | Join.SEND),
            on_end=loop.stop,
            takes=self.door.takes if self.door is not None else None,
            beyond=self._way if self.beyond is not None else None,
        )
        self.datagrams.start()
        if self.player is not None:
            self.player.start()

    def _on_client(self, mask: int) -> None:
        """Somebody is in the accept queue: perhaps several, perhaps gone again."""
        for _ in range(ACCEPT_AT_ONCE):
            if not self._has_room():
                self._pause()
                return
            try:
                sock, address = self._accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._on_refused_accept(error)
                return
            if self.door is not None and not self.door.admits(sock, address):
                continue
            if self.options and not self._tune(sock):
                continue
            self._open(sock, address)
            if self.lent:  # such a listener may block in accept where ours would not
                return

    def _accept(self) -> tuple[socket.socket, Any]:
        """accept(2), which on a listener that was lent may block: its O_NONBLOCK is not ours to set.

        Where several processes share it, each is woken and one gets the client. Looking again right before makes losing
        rare; and a signal must get through to one that lost, which Python would otherwise send back to wait (PEP 475).
        """
        if not self.lent:
            return syscalls.accept(self.env, self.sock)
        if not ready(self.sock.fileno()):
            raise BlockingIOError
        with self.loop.interruptible():
            return syscalls.accept(self.env, self.sock)

    def _tune(self, sock: socket.socket) -> bool:
        """``--set`` of options that only a connection has; others it inherits from the listener. False: it is closed."""
        try:
            apply_settings(self.env, sock, self.options, "CONNECTED")
        except SystemRefusal as refusal:
            self.failed = True
            self.env.observer(Failed(self.env.clock(), 0, refusal.operation, refusal.error, refusal.hint))
            syscalls.close(self.env, sock)
            return False
        return True

    def _on_refused_accept(self, error: OSError) -> None:
        if error.errno in TRANSIENT:
            return
        now = self.env.clock()
        if error.errno in EXHAUSTED:
            # Level-triggered waiting would spin: the client stays in the queue meanwhile.
            self._pause()
            self.loop.later(0.1, self._resume)
            if now - self.complained < 1:
                return
            self.complained = now
            # To explain it, modules are loaded: that takes a descriptor, of which there is none but the spare one.
            self._give_spare()
            text = hint("accept", error, self.sock.family, self.sock.type)
            self._take_spare()
            self.env.observer(Failed(now, 0, "accept", error, text))
            return
        self.failed = True
        self.env.observer(Failed(now, 0, "accept", error, hint("accept", error, self.sock.family, self.sock.type)))
        self.loop.stop()

    def _take_spare(self) -> None:
        try:
            self.spare = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            pass

    def _give_spare(self) -> None:
        if self.spare is not None:
            os.close(self.spare)
            self.spare = None

    def _pause(self) -> None:
        self.paused = True
        self.loop.forget(self.sock.fileno())

    def _has_room(self) -> bool:
        """Whether another session may begin, or its handshake."""
        if self.contended:
            return self.place is None and not self.ending
        return self.most is None or len(self.sessions) + len(self.dialing) + self.ending < self.most

    def _admit(self, session: Session) -> bool:
        """TLS's handshake is over: the first has the place."""
        if self._has_room():
            self.place = session
            return True
        self.line.append(session)
        text = "the handshake is over; it waits until the client that is served has ended"
        self.env.observer(Note(self.env.clock(), session.number, Level.INFO, text))
        return False

    def _call_next(self) -> None:
        if self.line and self._has_room() and not self.closing:
            self.place = self.line.popleft()
            self.place.admitted()

    def _own_ends(self, session: Session, handshake: Handshake | None) -> tuple[stdio.LocalEnd, stdio.LocalEnd]:
        """stdin and stdout, for whoever has the place: a ``sessions.Ends``."""
        self._renew_source()
        assert self.source is not None and self.sink is not None
        return self.source, self.sink

    def _renew_source(self) -> None:
        """Of ``--send`` and ``--file``, which each client gets from its beginning."""
        if self.used and self.plan.own_source:
            if self.source is not None and self.source.close():
                self.failed = True
            self.source = self.plan.open_source(self.env, self.loop)
        self.used = True

    def _resume(self) -> None:
        if self.line:
            self.loop.later(0, self._call_next)
        if self.paused and self.sock.fileno() != -1 and self._has_room():
            self.paused = False
            self.loop.watch(self.sock.fileno(), READ, self._on_client)

    def _open(self, sock: socket.socket, address: Any) -> None:
        self.count += 1
        if self.door is not None:
            self.door.enter(self.count)
        syscalls.not_blocking(self.env, sock)
        if self.beyond is not None:
            self._dial(self.count, sock, address)
        elif self.plan.mode in SERVICES:
            self._begin(self.count, sock, address, _says(self.env, self.plan.mode), None)
        else:
            if not self.contended:
                self._renew_source()
            self._begin(self.count, sock, address, *((None, None) if self.contended else (self.source, self.sink)))

    def _spec_beyond(self, family: int | None) -> SocketSpec:
        """Of the socket that a client is passed on over: boundaries are kept, if the client's socket keeps them."""
        return SocketSpec(
            family or socket.AF_INET, self.plan.type_number() if self.means.boundaries else socket.SOCK_STREAM
        )

    def _way(self) -> tuple[socket.socket, str]:
        """A datagram socket that is connected to the server behind us. Raises OSError."""
        env, (family, address, *_) = self.env, self.beyond_found[0]
        sock = syscalls.make(env, self._spec_beyond(family)._replace(type=self.kind[1]))
        try:
            if family == AF_UNIX and LINUX:
                syscalls.bind(env, sock, "")  # autobind, unix(7): without a name it gets no answer
            syscalls.connect(env, sock, address)
        except BaseException:
            syscalls.close(env, sock)
            raise
        return sock, addresses.format_address(family, address)

    def _dial(self, number: int, sock: socket.socket, address: Any) -> None:
        """Connect to the server behind us; nothing is read of the client before."""
        env = self.env

        def make(resolved: Resolved) -> socket.socket:
            made = syscalls.make(env, self._spec_beyond(resolved.family))
            syscalls.not_blocking(env, made)
            return made

        def explain(operation: str, error: Exception, resolved: Resolved) -> str | None:
            return hint(operation, error, resolved.family, socket.SOCK_STREAM, resolved.address)

        def over() -> None:
            if self.dialing.pop(number, None) is None:
                return
            timer.cancel()
            server = dialer.socket
            if server is None or dialer.winner is None:
                syscalls.close(env, sock)
                self._left(number)
                self._resume()
                return
            name = addresses.format_address(dialer.winner.family, dialer.winner.address)
            env.observer(Note(env.clock(), number, Level.INFO, f"passed on to {name}"))
            self.behind[number] = server
            self._begin(number, sock, address, *_ends(env, server, name))

        def late() -> None:
            for text, *_ in dialer.pending():
                env.observer(Failed(env.clock(), number, f"connect to {text}", timed_out(CONNECT_TIMEOUT), None))
            dialer.cancel()
            over()

        dialer = Dialer(self.loop, self.beyond_found, make, explain, over)
        self.dialing[number] = dialer, sock
        timer = self.loop.later(CONNECT_TIMEOUT, late)
        dialer.start()

    def _begin(
        self, number: int, sock: socket.socket, address: Any, source: stdio.LocalEnd | None, sink: stdio.LocalEnd | None
    ) -> None:
        mode = self.plan.mode
        relay = (
            Relay.echo(CAPACITY)
            if mode == "echo" and self.programs is None
            else Relay.discard(CAPACITY)
            if source is None
            else Relay.duplex(CAPACITY, half_close=self.settings.half_close)
        )
        make: Callable[..., Session] = Session
        own: dict[str, Any] = {"source": source, "sink": sink}
        if self.hub is not None:
            from sockkit import hub

            make, own = partial(hub.Member, self.hub), {}
            relay = Relay.duplex(hub.UNBOUNDED)
        session = make(
            self.loop,
            number,
            sock,
            relay,
            self.shared,
            self.settings,
            kind=self.kind,
            peer=addresses.format_address(self.kind[0], address),
            # Only a listener on every address has connections whose own address is not its.
            local=local_text(self.env, sock) if self.wildcard else self.local,
            connected=True,
            messages=self.means.boundaries,
            half_close=self.means.half_close,
            **own,
            on_close=self._on_close,
            accepted=True,
            credentials=self.credentials,
            admit=self._admit if self.contended else None,
            ends=self.programs.ends
            if self.programs is not None
            else self._own_ends
            if self.contended and mode == "pipe"
            else None,
        )
        self.sessions[session.number] = session
        if source is not self.source:
            self.ends[number] = [end for end in (source, sink) if end is not None]
        session.start()
        if self.player is not None:
            self.player.start()

    def _left(self, number: int) -> None:
        if self.door is not None:
            self.door.leave(number)

    def _on_close(self, session: Session) -> None:
        self._left(session.number)
        received, sent = session.totals
        self.received += received
        self.sent += sent
        del self.sessions[session.number]
        for end in self.ends.pop(session.number, ()):
            end.close()  # nothing is held back in them: --line-delay is for our own source
        server = self.behind.pop(session.number, None)
        if server is not None:
            syscalls.close(self.env, server)
        if self.place is session:
            self.place = None
        elif session in self.line:
            self.line.remove(session)
        self.ending += 1
        if not session.begun and self.loop.signal is None and not self.closing:
            self._on_no_session(session.number)
            return
        if session.failed and session.begun and (self.plan.once or self.plan.mode == "pipe"):
            self.failed = True
        if self.programs is None or not self.programs.over(session):
            self._on_end(session.input_over)

    def _on_no_session(self, number: int) -> None:
        """A TLS handshake failed: a port scanner, a browser that connects to be ready. It is not whom a single session waits for."""
        self.ending -= 1
        if self.plan.once or (self.plan.mode == "pipe" and not self.plan.keep):
            text = "no session came of it: still listening"
            self.env.observer(Note(self.env.clock(), number, Level.WARNING, text))
        self._resume()

    def _on_program_end(self, program: Program) -> None:
        if program.failed and self.plan.once:
            self.failed = True
        self._on_end(False)

    def _on_end(self, input_over: bool) -> None:
        """Nothing is left of a session, its program included."""
        self.ending -= 1
        plan = self.plan
        if plan.once or (plan.mode == "pipe" and (not plan.keep or (input_over and not plan.own_source))):
            self.loop.stop()
        else:
            self._resume()

    def _close(self) -> None:
        self.closing = True
        if self.door is not None:
            self.door.close()
        if self.datagrams is not None:
            leave(self.env, self.sock, self.plan)
            self.datagrams.close()
            self.count = self.datagrams.sessions
            self.sent, self.received = self.datagrams.sent, self.datagrams.received
            self.failed = self.failed or self.datagrams.failed
        else:
            self.loop.forget(self.sock.fileno())
        if self.hub is not None:
            self.hub.close()
        for dialer, sock in self.dialing.values():
            dialer.cancel()
            syscalls.close(self.env, sock)
        for session in list(self.sessions.values()):  # only --duration, and a signal, leave some
            before = session.failed
            session.close()
            self.failed |= session.failed and session.begun and not before
        if self.lent:
            self.sock.detach()
        else:
            syscalls.close(self.env, self.sock)
        if self.programs is not None:
            self.programs.close()
        self.shared.close()
        self._give_spare()
        self._remove_path()
        for end in (self.source, self.sink):
            if end is not None and end.close():
                self.failed = True
        if self.player is not None:
            self.player.close()


def _ends(env: Env, server: socket.socket, name: str) -> tuple[stdio.LocalEnd, stdio.LocalEnd]:
    """A connected socket as the two ends of a session. The loop watches each by a descriptor of its own."""

    def finish() -> None:
        try:
            syscalls.shutdown_sending(env, server)
        except OSError:
            pass  # it is gone: reading from it says so

    fd, other = server.fileno(), os.dup(server.fileno())
    return (
        stdio.LocalEnd(fd, syscalls.receiver(env, server), None, False, False, True, None, name, finish),
        stdio.LocalEnd(other, None, syscalls.sender(env, server), False, True, True, other, name, finish),
    )


def _says(env: Env, mode: str) -> stdio.LocalEnd:
    """What a service says, as an end that is always ready."""
    service = SERVICES[mode]
    fd = os.open(os.devnull, os.O_RDONLY)
    return stdio.LocalEnd(fd, service.stream(), None, False, True, False, fd, mode, None, not service.endless)


def _in_the_way(path: Any) -> str | None:
    """What stands at a path, if it is something that ``--replace`` does not remove."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    if stat.S_ISSOCK(mode):
        return None
    what = "a directory" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "no socket"
    return f"the path is {what}: choose another one (--replace removes stale sockets only)"
