"""Proxies without any I/O: what to say to one, and what its answers mean.

A ``Request`` is one connection that a proxy is asked for. Whoever has the socket sends what is to be sent (``to_send``) and
gives what came (``receive``), which takes the proxy's answer and not a byte more: what follows it is the target's.
socksio makes and reads the messages of SOCKS, h11 those of HTTP.

Sources: SOCKS4 (the protocol's memo), SOCKS4A (its extension), RFC 1928 (SOCKS5), RFC 1929 (its user names and passwords),
RFC 9110 section 9.3.6 (CONNECT), RFC 7617 (Basic). What the schemes mean is curl's: the letter at the end lets the proxy resolve.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Generator
from typing import NamedTuple

from sockkit.addresses import Target, format_address, parse_target
from sockkit.errors import UsageError
from sockkit.text import preview

LONGEST = 255
"""Bytes of a user name, a password or a host name, which SOCKS5 counts in one (RFC 1928, RFC 1929)."""
HEAD = 16 * 1024
"""Bytes of an HTTP proxy's answer at most, as h11 counts them."""
VARIABLE = "SOCKKIT_PROXY_AUTH"
"""The environment variable that may hold USER:PASSWORD."""
HIDDEN = f"--proxy-auth-file FILE or {VARIABLE} in the environment"


class Scheme(NamedTuple):
    """One row a scheme of ``--proxy``.

    Attributes:
        resolves: the proxy does, and is told a name; else the name is resolved here.
        port: the usual one, or None where there is none.
    """

    protocol: str
    resolves: bool
    port: int | None


SCHEMES = {
    "socks4": Scheme("SOCKS4", False, 1080),
    "socks4a": Scheme("SOCKS4", True, 1080),
    "socks5": Scheme("SOCKS5", False, 1080),
    "socks5h": Scheme("SOCKS5", True, 1080),
    "http": Scheme("HTTP", True, None),  # 3128, 8080, curl's 1080: what is not agreed on is not guessed
}


class ProxyError(ConnectionError):
    """The proxy said no, or nothing that makes sense: its own reason in one line, without an errno, since that is not the system's.

    Attributes:
        hint: what it means here and what to try, or None.
        passing: it is about the target, and not ours to mend: another address of it, or a later attempt, may do better.
    """

    def __init__(self, text: str, hint: str | None = None, *, passing: bool = False) -> None:
        super().__init__(text)
        self.hint = hint
        self.passing = passing


class Login(NamedTuple):
    """Who we are to a proxy. It never shows itself."""

    user: bytes
    password: bytes | None

    def __repr__(self) -> str:
        return "Login(…)"


class Proxy(NamedTuple):
    """What ``--proxy`` says. ``login`` is what the URL itself had, or None."""

    scheme: str
    host: str
    port: int
    login: Login | None = None

    @property
    def kind(self) -> Scheme:
        """Its row."""
        return SCHEMES[self.scheme]

    @property
    def text(self) -> str:
        """Without user name and password: ``socks5h://127.0.0.1:1080``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def target(self, family: int | None) -> Target:
        """Where it is. Raises UsageError if that does not fit the family."""
        return parse_target([self.host, str(self.port)], family=family, argument="--proxy")


# ---- what the user says


def parse(text: str) -> Proxy:
    """``SCHEME://[USER[:PASSWORD]@]HOST[:PORT]``, user name and password percent-encoded (RFC 3986).

    Raises:
        UsageError: it is none. Nothing of the text is in the message: any part of it may be (of) a password.
    """
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    known = ", ".join(f"{name}://" for name in SCHEMES)
    if separator and scheme == "https":
        raise UsageError(
            "TLS to the proxy itself is not spoken here: http://HOST:PORT asks it in plain text",
            hint="--tls is for the conversation with the target behind it",
        )
    if not separator or scheme not in SCHEMES:
        raise UsageError(f"a proxy is SCHEME://HOST:PORT, and SCHEME one of {known}")
    if not rest.isprintable() or " " in rest:
        raise UsageError("it holds a character that no URL has: write it as %XX", option="--proxy")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    if "@" in tail:
        raise UsageError("in a user name or password / is written %2F, ? %3F and # %23")
    if tail not in ("", "/"):
        raise UsageError("nothing follows a proxy's port: no path, no query")
    userinfo, at, place = authority.rpartition("@")
    login = _userinfo(scheme, userinfo) if at else None
    host, port = _place(scheme, place)
    try:
        target = parse_target([host, str(port)])
    except UsageError:
        target = None
    if target is None or target.port is None:
        raise UsageError("its host is neither a name nor an address")
    return Proxy(scheme, host, port, login)


def _place(scheme: str, text: str) -> tuple[str, int]:
    """``HOST[:PORT]``, ``[IPV6][:PORT]``."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in host or port[:1] not in ("", ":"):
            raise UsageError("an IPv6 address stands in brackets, and its port behind them: [::1]:1080")
        colon, port = port[:1], port[1:]
    elif text.count(":") > 1:
        raise UsageError("an IPv6 address stands in brackets, and its port behind them: [::1]:1080")
    else:
        host, colon, port = text.partition(":")
    if not host:
        raise UsageError("its host is missing")
    if not colon:
        usual = SCHEMES[scheme].port
        if usual is None:
            raise UsageError(f"its port is missing: {scheme}://HOST:PORT (3128 and 8080 are usual, none is agreed on)")
        return host, usual
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise UsageError("its port is no number from 1 to 65535")
    return host, int(port)


def _userinfo(scheme: str, text: str) -> Login:
    user, colon, password = text.partition(":")
    return checked(scheme, _decoded(user), _decoded(password) if colon else None, "--proxy")


def _decoded(text: str) -> bytes:
    """Percent-encoding taken away."""
    head, *parts = text.encode("utf-8", "surrogateescape").split(b"%")
    found = bytearray(head)
    for part in parts:
        try:
            found += bytes.fromhex(part[:2].decode("ascii"))
        except ValueError:
            raise UsageError("in a user name or password a % is written %25") from None
        if len(part) < 2 or b" " in part[:2]:
            raise UsageError("in a user name or password a % is written %25")
        found += part[2:]
    return bytes(found)


def checked(scheme: str, user: bytes, password: bytes | None, option: str) -> Login:
    """A user name and password that the scheme can carry.

    Raises:
        UsageError: it cannot. Neither is in the message.
    """
    protocol = SCHEMES[scheme].protocol
    for what, value in (("user name", user), ("password", password or b"")):
        if len(value) > LONGEST:
            raise UsageError(f"the {what} has {len(value)} bytes: {LONGEST} are the most", option=option)
        if min(value, default=32) < 32 or 127 in value:
            raise UsageError(f"the {what} holds a control character", option=option)
    if protocol == "SOCKS4" and password:
        raise UsageError("SOCKS4 knows a user name and no password: leave it out, or use socks5://", option=option)
    if protocol == "HTTP" and b":" in user:
        raise UsageError("HTTP's Basic has no way to say a user name with a colon (RFC 7617)", option=option)
    if not user and (protocol == "SOCKS5" or not password):
        raise UsageError("the user name is empty", option=option)
    return Login(user, password)


def from_file(path: str, scheme: str) -> tuple[Login, str | None]:
    """The first line of a file: USER:PASSWORD as they are, nothing encoded.

    Returns:
        what it says, and a warning if others may read it too.

    Raises:
        UsageError: it cannot be read, or holds none.
    """
    option = "--proxy-auth-file"
    try:
        with open(path, "rb", buffering=0) as file:  # of /dev/stdin no more is taken: what follows is payload
            mode = os.fstat(file.fileno()).st_mode
            line = file.readline(2 * LONGEST + 8)
    except (OSError, ValueError) as error:  # without its name: whoever comes from ncat has typed the password there
        reason = getattr(error, "strerror", None) or "it is no path"
        raise UsageError(
            f"the file cannot be read: {reason}; its first line is to be USER:PASSWORD", option=option
        ) from error
    warning = None
    if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o044:
        warning = (
            f"others can read the proxy's password in --proxy-auth-file (mode {mode & 0o777:o}): chmod 600 keeps it"
        )
    return _line(line.rstrip(b"\r\n"), scheme, option), warning


def from_environment(scheme: str) -> Login | None:
    """``SOCKKIT_PROXY_AUTH``, or None. It is taken out of the environment, so that no program of ours inherits it.

    Raises:
        UsageError: it is no USER:PASSWORD.
    """
    text = os.environ.pop(VARIABLE, None)
    return _line(os.fsencode(text), scheme, VARIABLE) if text else None


def _line(line: bytes, scheme: str, option: str) -> Login:
    user, colon, password = line.partition(b":")
    if not colon and SCHEMES[scheme].protocol != "SOCKS4":
        raise UsageError("it is no USER:PASSWORD: there is no colon", option=option)
    return checked(scheme, user, password if colon else None, option)


# ---- the conversation with it


class Step(NamedTuple):
    """What has been agreed on, for the story: see ``events.Proxied``."""

    step: str
    text: str
    code: int | None = None


class Destination(NamedTuple):
    """What the proxy is asked for: a packed address of ``family``, or a name as DNS has it."""

    family: int | None
    host: bytes
    port: int

    @property
    def text(self) -> str:
        """``example.org:80``, ``[::1]:80``."""
        if self.family is None:
            return f"{self.host.decode('ascii', 'backslashreplace')}:{self.port}"
        return format_address(self.family, (socket.inet_ntop(self.family, self.host), self.port))


class Request:
    """One connection that a proxy is asked for.

    Attributes:
        done: it is granted: what comes from now on is the target's.
        steps: what was agreed on since somebody last took them out of this list.
    """

    done = False

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._outgoing = bytearray()

    def to_send(self) -> bytes:
        """What is to go to the proxy now, which is then this caller's."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> int:
        """What came from the proxy; empty: its end.

        Returns:
            how much of it was the proxy's answer: only the last piece may be less than all.

        Raises:
            ProxyError: the proxy refuses, or what came is no answer.
        """
        raise NotImplementedError


def need(proxy: Proxy) -> None:
    """See that its library is there.

    Raises:
        UsageError: it is not.
    """
    library = "h11" if proxy.kind.protocol == "HTTP" else "socksio"
    try:
        __import__(library)
    except ImportError as error:
        hint = "type: pip install 'sockkit[proxy]'"
        raise UsageError(f"to go through {proxy.scheme}:// takes {library}", option="--proxy", hint=hint) from error


def ask(proxy: Proxy, login: Login | None, destination: Destination) -> Request:
    """Begin."""
    if proxy.kind.protocol == "HTTP":
        return _Connect(login, destination)
    return _Socks(_socks5 if proxy.kind.protocol == "SOCKS5" else _socks4, login, destination)


class Reply(NamedTuple):
    """A reply code of SOCKS: its name in its protocol's own document, and what it means here."""

    name: str
    hint: str | None = None
    passing: bool = False


UNREACHABLE = "it is the proxy that cannot reach it, not this host"
REPLIES_5 = {
    0: Reply("succeeded"),
    1: Reply("general SOCKS server failure", "the proxy does not say why: see its log", True),
    2: Reply(
        "connection not allowed by ruleset", "the proxy's rules forbid it: to this target, this port, or to this user"
    ),
    3: Reply("Network unreachable", UNREACHABLE, True),
    4: Reply("Host unreachable", UNREACHABLE + "; of a name it may also mean that it does not resolve there", True),
    5: Reply("Connection refused", "the proxy reached the host, and nobody listens there on this port", True),
    6: Reply("TTL expired", UNREACHABLE, True),
    7: Reply("Command not supported", "the proxy knows no CONNECT"),
    8: Reply("Address type not supported", None, True),
}
"""RFC 1928, section 6."""
REPLIES_4 = {
    90: Reply("request granted"),
    91: Reply("request rejected or failed", "SOCKS4 does not say why: see the proxy's log", True),
    92: Reply(
        "request rejected because SOCKS server cannot connect to identd on the client",
        "the proxy asks an ident server here",
    ),
    93: Reply(
        "request rejected because the client program and identd report different user-ids",
        "the user name must be that of the process: socks4://USER@HOST",
    ),
}
"""SOCKS4's memo, "CONNECT"."""
METHODS_5 = {0: "no authentication", 1: "GSSAPI", 2: "user name and password"}
"""RFC 1928, section 3."""

Talk = Generator[int, bytes, None]
"""Yields how many bytes it needs next, and is sent exactly these."""


class _Socks(Request):
    """SOCKS: every answer has a length that is known beforehand, or after its first bytes."""

    def __init__(
        self,
        talk: Callable[[_Socks, Login | None, Destination], Talk],
        login: Login | None,
        destination: Destination,
    ) -> None:
        super().__init__()
        self._talk = talk(self, login, destination)
        self._pending = bytearray()
        self._wanted = next(self._talk)

    def receive(self, data: bytes) -> int:
        """See ``Request``."""
        if not data:
            raise _ended(bool(self._pending))
        taken = 0
        while not self.done and taken < len(data):
            piece = data[taken : taken + self._wanted - len(self._pending)]
            self._pending += piece
            taken += len(piece)
            if len(self._pending) < self._wanted:
                break
            whole = bytes(self._pending)
            self._pending.clear()
            try:
                self._wanted = self._talk.send(whole)
            except StopIteration:
                self.done = True
        return taken

    def say(self, data: bytes) -> None:
        """To the proxy."""
        self._outgoing += data


def _ended(begun: bool) -> ProxyError:
    where = "in the middle of its answer" if begun else "instead of answering"
    return ProxyError(
        f"the proxy ended the connection {where}", "it may not be a proxy of this kind, or not for this host"
    )


def _endless() -> ProxyError:
    return ProxyError(f"the proxy's answer has no end within {HEAD} bytes")


def _foreign(data: bytes, protocol: str) -> ProxyError:
    """What came does not begin as such an answer does: perhaps as another's."""
    hint = None
    if data[:1] == b"H":
        hint = "it looks like HTTP: --proxy http://HOST:PORT"
    elif data[:1] in (b"\x15", b"\x16"):
        hint = "it looks like TLS, which is not spoken to a proxy here"
    elif data[:1] == b"\x05" and protocol != "SOCKS5":
        hint = "it looks like SOCKS5: --proxy socks5h://HOST:PORT"
    elif data[:1] == b"\x00" and protocol == "SOCKS5":
        hint = "it looks like SOCKS4: --proxy socks4://HOST:PORT"
    return ProxyError(f"what the proxy answered is not {protocol}: {preview(data, 40)}", hint)


def _socks5(request: _Socks, login: Login | None, destination: Destination) -> Talk:
    from socksio import ProtocolError, socks5

    methods = [socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
    if login is not None:
        methods.append(socks5.SOCKS5AuthMethod.USERNAME_PASSWORD)
    connection = socks5.SOCKS5Connection()
    connection.send(socks5.SOCKS5AuthMethodsRequest(methods))
    request.say(connection.data_to_send())
    answer = yield 2
    if answer[0] != 5:
        raise _foreign(answer, "SOCKS5")
    if answer[1] == 0xFF and login is None:
        raise ProxyError(
            "the proxy takes none of the ways to authenticate that were offered: it wants more than nothing",
            _login_hint(),
        )
    if answer[1] == 0xFF:
        raise ProxyError(
            "the proxy takes none of the ways to authenticate that were offered [SOCKS5 method 255]",
            "it wants neither nothing nor a user name and password",
        )
    if bytes((answer[1],)) not in [method.value for method in methods]:
        name = METHODS_5.get(answer[1], "a way without a name here")
        raise ProxyError(f"the proxy chose what was not offered: {name} [SOCKS5 method {answer[1]}]")
    connection.receive_data(answer)
    request.steps.append(Step("method", f"chose {METHODS_5[answer[1]]}", answer[1]))
    if answer[1] == 2:
        assert login is not None
        connection.send(socks5.SOCKS5UsernamePasswordRequest(login.user, login.password or b""))
        request.say(connection.data_to_send())
        answer = yield 2
        if answer[0] not in (1, 5):  # 5: some say SOCKS' version instead of the negotiation's
            raise _foreign(answer, "SOCKS5")
        if answer[1] != 0:
            raise ProxyError(f"the proxy refuses the user name and password [RFC 1929 status {answer[1]}]")
        connection.receive_data(b"\x01\x00")
        request.steps.append(Step("authenticated", "took the user name and password", 0))
    types: dict[int | None, socks5.SOCKS5AType] = {
        None: socks5.SOCKS5AType.DOMAIN_NAME,
        socket.AF_INET: socks5.SOCKS5AType.IPV4_ADDRESS,
    }
    type = types.get(destination.family, socks5.SOCKS5AType.IPV6_ADDRESS)
    command = socks5.SOCKS5CommandRequest(socks5.SOCKS5Command.CONNECT, type, destination.host, destination.port)
    connection.send(command)
    request.say(connection.data_to_send())
    request.steps.append(_asked(destination))
    answer = yield 4
    if answer[0] != 5:
        raise _foreign(answer, "SOCKS5")
    if answer[1] != 0:  # before what follows: some send nothing more
        hint = None
        if answer[1] == 8:
            hint = (
                "it resolves no names: socks5:// resolves here"
                if destination.family is None
                else "it knows no such addresses"
            )
        raise _refused(request, "SOCKS5", answer[1], REPLIES_5, hint)
    sizes = {1: 4, 4: 16}
    if answer[3] == 3:
        answer += yield 1
        size = answer[4]
    elif answer[3] in sizes:
        size = sizes[answer[3]]
    else:
        raise ProxyError(f"the proxy's answer has an address of a type that does not exist: {answer[3]}")
    answer += yield size + 2
    try:
        found = connection.receive_data(answer)
    except ProtocolError as error:
        raise _foreign(answer, "SOCKS5") from error
    assert isinstance(found, socks5.SOCKS5Reply)
    where = found.addr[1:] if answer[3] == 3 else found.addr  # socksio leaves a name its length
    _granted(request, REPLIES_5[0].name, 0, where, found.port)


def _socks4(request: _Socks, login: Login | None, destination: Destination) -> Talk:
    from socksio import ProtocolError, socks4

    user = login.user if login is not None else b""
    connection = socks4.SOCKS4Connection(user)
    kind = socks4.SOCKS4ARequest if destination.family is None else socks4.SOCKS4Request
    connection.send(kind(socks4.SOCKS4Command.CONNECT, destination.port, destination.host, user))
    request.say(connection.data_to_send())
    request.steps.append(_asked(destination))
    answer = yield 2
    if answer[0] != 0:
        raise _foreign(answer, "SOCKS4")
    if answer[1] != 90:
        hint = None
        if answer[1] == 91 and destination.family is None:
            hint = "SOCKS4 does not say why; a proxy may not know SOCKS4A either: socks4:// resolves here"
        raise _refused(request, "SOCKS4", answer[1], REPLIES_4, hint)
    answer += yield 6
    try:
        found = connection.receive_data(answer)
    except ProtocolError as error:
        raise _foreign(answer, "SOCKS4") from error
    _granted(request, REPLIES_4[90].name, 90, found.addr or "", found.port)


def _asked(destination: Destination) -> Step:
    resolved = " (it resolves the name)" if destination.family is None else ""
    return Step("request", f"asked for {destination.text}{resolved}")


def _granted(request: Request, name: str, code: int, host: str, port: int) -> None:
    told = bool(port) and host not in ("", "0.0.0.0", "::")
    shown = f"[{host}]" if ":" in host else host
    request.steps.append(Step("reply", f"answered: {name}{f', from {shown}:{port}' if told else ''}", code))


def _refused(request: Request, protocol: str, code: int, replies: dict[int, Reply], hint: str | None) -> ProxyError:
    reply = replies.get(code, Reply("a reply without a name"))
    request.steps.append(Step("reply", f"answered: {reply.name}", code))
    return ProxyError(
        f"the proxy says {reply.name} [{protocol} reply {code}]", hint or reply.hint, passing=reply.passing
    )


def _login_hint() -> str:
    return f"it may want a user name and password: {HIDDEN}"


STATUSES = {
    400: "it may not be a proxy, or not one for this target",
    403: "the proxy's rules forbid it: many allow port 443 alone",
    404: "it may be a web server and no proxy",
    405: "it may be a web server and no proxy: it does not allow CONNECT",
    500: "the proxy may not have reached it: tinyproxy says 500 where a connection is refused",
    501: "it may be a web server and no proxy: it knows no CONNECT",
    502: UNREACHABLE,
    503: UNREACHABLE,
    504: UNREACHABLE,
}
"""What a status means in answer to CONNECT, and what to try (RFC 9110, section 15)."""


class _Connect(Request):
    """CONNECT of HTTP. Where the answer's head ends is known to h11 alone."""

    def __init__(self, login: Login | None, destination: Destination) -> None:
        super().__init__()
        import h11

        self._h11 = h11
        self._login = login
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD)
        place = destination.text.encode("ascii")
        headers = [(b"Host", place)]
        if login is not None:
            from binascii import b2a_base64

            both = b2a_base64(login.user + b":" + (login.password or b""), newline=False)
            headers.append((b"Proxy-Authorization", b"Basic " + both))
        request = h11.Request(method=b"CONNECT", target=place, headers=headers)
        self._outgoing += self._connection.send(request) or b""
        self._connection.send(h11.EndOfMessage())
        self.steps.append(_asked(destination))
        self._received = b""

    def receive(self, data: bytes) -> int:
        """See ``Request``."""
        if not data:
            raise _ended(bool(self._received))
        h11, connection = self._h11, self._connection
        self._received += data
        try:
            connection.receive_data(data)
            while isinstance(event := connection.next_event(), h11.InformationalResponse):
                if event.status_code == 101:
                    break
        except h11.RemoteProtocolError as error:
            if len(self._received) > HEAD:
                raise _endless() from error
            raise _foreign(self._received, "HTTP") from error
        if event is h11.NEED_DATA:
            if len(self._received) > HEAD:  # of answers that are not the last one (1xx) there could be any number
                raise _endless()
            return len(data)
        if not isinstance(event, h11.Response):
            raise ProxyError("what the proxy answered to CONNECT is no response")
        self._judge(event.status_code, bytes(event.reason), list(event.headers))
        self.done = True
        return len(data) - len(connection.trailing_data[0])

    def _judge(self, status: int, reason: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        said = f"{status} {preview(reason, 80)}".rstrip()
        self.steps.append(Step("reply", f"answered: {said}", status))
        if 200 <= status < 300:
            return
        hint = STATUSES.get(status)
        if status == 401 and self._login is not None:
            hint = "it refuses the user name and password"  # tinyproxy's way to say it
        elif status == 407:
            ways = [preview(value.split(b" ")[0], 20) for name, value in headers if name == b"proxy-authenticate"]
            if ways and all(way.lower() != "basic" for way in ways):
                hint = f"it wants {', '.join(ways[:4])}, and only Basic is known here"
            elif self._login is None:
                hint = f"it wants a user name and password: {HIDDEN}"
            else:
                hint = "it refuses the user name and password"
        raise ProxyError(f"the proxy says {said} [HTTP status {status}]", hint, passing=status in (500, 502, 503, 504))
