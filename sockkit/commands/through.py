"""``connect --proxy``: who is asked, for what, as whom; and the way there, which the command then uses like any connection."""

from __future__ import annotations

import socket
from collections.abc import Callable

from sockkit import proxies, syscalls
from sockkit.addresses import Target, format_address, parse_target
from sockkit.commands.endpoint import EndpointPlan, local_text, resolve, timed_out
from sockkit.errors import Signalled, UsageError
from sockkit.events import Attempt, Env, Failed, Level, Note, Proxied, Side
from sockkit.loop import Loop
from sockkit.proxies import Destination, Proxy, ProxyError
from sockkit.sessions import Session
from sockkit.spec import SocketSpec
from sockkit.tunnel import Tunnel

TCP = SocketSpec(None, int(socket.SOCK_STREAM))


def destination(plan: EndpointPlan, proxy: Proxy) -> Target:
    """The address, which the proxy is to connect to. ``-4`` and ``-6`` say nothing about it: they are about our socket.

    Raises:
        UsageError: no address; one that such a proxy cannot reach; an option that means nothing on the way through it.
    """
    refused = (
        (plan.fileno is not None, "--fileno", "a socket that is lent is where it is: leave it or --proxy out"),
        (plan.unix, "-U", "a proxy connects to hosts, not to paths: leave one out"),
        (plan.udp, "-u", "datagrams do not go through a proxy here: leave one out"),
        (bool(plan.join), "--join", "it is for datagrams, which do not go through a proxy here"),
        (bool(getattr(plan, "oob", b"")), "--oob", "a proxy passes bytes on, not that they are urgent"),
    )
    for given, flag, text in refused:
        if given:
            raise UsageError(text, option=flag)
    if plan.family_number() not in (None, *syscalls.INTERNET):
        raise UsageError("a proxy connects to IPv4 and IPv6 hosts: leave one out", option="--family")
    if syscalls.base_type(plan.type_number()) not in (0, socket.SOCK_STREAM):
        raise UsageError("a proxy carries streams: leave one out", option="--type")
    target = parse_target(plan.address)  # type: ignore[attr-defined]  # connect's
    if target.host is not None:
        if plan.numeric and proxy.kind.resolves:
            raise UsageError(f"the proxy would ask a name server for {target.text}: give a number", option="-n")
        return target
    if target.family not in syscalls.INTERNET:
        raise UsageError("a proxy connects to HOST PORT, not to paths", option="ADDRESS")
    assert isinstance(target.address, tuple)
    if len(target.address) > 3 and target.address[3]:
        raise UsageError(f"{target.text}: only this host knows which interface that means", option="ADDRESS")
    if target.family != socket.AF_INET and proxy.kind.protocol == "SOCKS4":
        raise UsageError("SOCKS4 knows IPv4 alone: socks5:// knows IPv6 too", option="--proxy")
    return target


def login(proxy: Proxy, path: str | None) -> tuple[proxies.Login | None, list[str]]:
    """Who we are to the proxy, and what there is to be warned of.

    Raises:
        UsageError: it is said twice, or cannot be used.
    """
    if proxy.login is not None:
        if path is not None:
            raise UsageError("the URL has a user name already: give one", option="--proxy-auth-file")
        if not proxy.login.password:
            return proxy.login, []
        text = "the proxy's password is in the list of processes, for everybody here to read"
        return proxy.login, [f"{text}: {proxies.HIDDEN} keeps it"]
    if path is None:
        return proxies.from_environment(proxy.scheme), []
    found, warning = proxies.from_file(path, proxy.scheme)
    return found, [] if warning is None else [warning]


class Through:
    """One run's way through its proxy.

    Attributes:
        place: where the proxy is: to be dialed instead of the target.
        via: its address, once it was reached.
    """

    def __init__(self, plan: EndpointPlan, env: Env, proxy: Proxy, path: str | None, target: Target) -> None:
        """
        Args:
            path: a file with user name and password, or None.
            target: see ``destination``.

        Raises:
            UsageError: see ``login``; the proxy's address does not fit ``-4`` or ``-6``; its library is not installed.
        """
        self.proxy = proxy
        self.target = target
        self.place = proxy.target(plan.family_number())
        self.via = self.place.text
        self._numeric = plan.numeric
        proxies.need(proxy)
        self._login, warnings = login(proxy, path)
        for text in warnings:
            env.observer(Note(env.clock(), 0, Level.WARNING, text))

    def dial(
        self, loop: Loop, timeout: float, reach: Callable[[Loop, Target, float], socket.socket | None]
    ) -> socket.socket | None:
        """A socket that is connected to the target, or None: then everything that failed has been told.

        Args:
            timeout: seconds for all together: names, connections, and what is said to the proxy.
            reach: connects to a target within so many seconds, as this does.

        Raises:
            Signalled: a signal came.
        """
        due = loop.env.clock() + timeout
        found = self._destinations(loop, timeout)
        for asked in found:
            if len(found) > 1:
                loop.env.observer(Attempt(loop.env.clock(), asked.text))
            sock = reach(loop, self.place, max(0.0, due - loop.env.clock()))
            if sock is None:
                return None
            error = self._ask(loop, sock, asked, max(0.0, due - loop.env.clock()), timeout)
            if error is None:
                return sock
            syscalls.close(loop.env, sock)
            if loop.signal is not None:
                raise Signalled(loop.signal)
            if not getattr(error, "passing", False):
                return None
        return None

    def doubt(self, env: Env, session: Session, *, plain: bool) -> None:
        """Say what may have been lost: microsocks and tinyproxy, for two, end both directions when one has ended.

        Args:
            plain: without TLS, whose end is none of the connection's.
        """
        ours = session.relay.first is Side.LOCAL and session.settings.half_close
        if plain and ours and not session.failed and not session.totals[0]:
            text = (
                "nothing was received, and the end came behind ours: some proxies take one for both, and an answer is"
                " lost then; --no-shutdown keeps ours from them"
            )
            env.observer(Note(env.clock(), session.number, Level.WARNING, text))

    def _destinations(self, loop: Loop, timeout: float) -> list[Destination]:
        """What to ask for, one after the other. None: that has been told."""
        target, env = self.target, loop.env
        port = target.port
        assert port is not None
        operation, tip = f"look up {target.text}", None
        deadline = loop.later(timeout, loop.stop)
        try:
            if target.host is not None and self.proxy.kind.resolves:
                return [Destination(None, target.host.encode("idna"), port)]
            rows = resolve(loop, target, TCP, numeric=self._numeric)
            found = [
                Destination(row.family, socket.inet_pton(row.family, row.address[0].partition("%")[0]), port)
                for row in rows
                if row.family == socket.AF_INET or self.proxy.kind.protocol != "SOCKS4"
            ]
            if not found:
                raise ProxyError("it has no IPv4 address, and SOCKS4 knows no other")
            return found
        except (OSError, UnicodeError, ValueError) as refusal:
            error = timed_out(timeout) if isinstance(refusal, TimeoutError) else refusal
            tip = "-n asks no name server" if self._numeric else "socks5h:// and socks4a:// let the proxy resolve it"
            env.observer(Failed(env.clock(), 0, operation, error, tip))
            return []
        finally:
            deadline.cancel()

    def _ask(
        self, loop: Loop, sock: socket.socket, asked: Destination, left: float, timeout: float
    ) -> Exception | None:
        """What the proxy says to it: None is yes."""
        env, name = loop.env, self.proxy.text
        self.via = format_address(sock.family, syscalls.peer_address(env, sock))
        env.observer(Proxied(env.clock(), 0, name, "connected", f"connected (here: {local_text(env, sock)})"))
        tunnel = Tunnel(loop, sock, proxies.ask(self.proxy, self._login, asked), name, loop.stop)
        deadline = loop.later(left, loop.stop)
        tunnel.start()
        if tunnel.open or tunnel.error is not None:
            loop.unstop()
        else:
            loop.run()
        deadline.cancel()
        tunnel.cancel()
        error: Exception | None = tunnel.error
        tip: str | None = getattr(error, "hint", None)
        if loop.signal is not None:
            return error or Signalled(loop.signal)
        if error is None and not tunnel.open:
            error = timed_out(timeout)
            tip = f"it does not answer, or not in time: is {self.proxy.kind.protocol} spoken there?"
        if error is not None:
            env.observer(Failed(env.clock(), 0, f"connect to {asked.text} through {name}", error, tip))
        return error
