"""What a person types for an address, and what the kernel's answer looks like in text.

One row a family: syntax, examples, parse and format. The rows of the families that everybody uses are here, the others'
in ``families``, which is loaded when one of them is asked for; ``rows()`` has them all. Nothing here makes a socket or asks
a name server; interface names (``fe80::1%eth0``) are the only thing that the system is asked for.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sockkit.errors import UsageError
from sockkit.text import escape, preview, unescape

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 65432

_LINUX = sys.platform in ("linux", "android")


def number_of(name: str, linux: int | None) -> int | None:
    """A family's number, also where Python was built without its constant. Other systems number differently."""
    number = getattr(socket, name, linux if _LINUX else None)
    return None if number is None else int(number)


INET = int(socket.AF_INET)
INET6 = int(getattr(socket, "AF_INET6", 10))
_UNIX = int(getattr(socket, "AF_UNIX", 1))
_VSOCK = number_of("AF_VSOCK", 40)
_PACKET = number_of("AF_PACKET", 17)

_SUN_PATH = 108 if _LINUX or sys.platform == "win32" else 104
"""Bytes that ``sockaddr_un`` has for a path and the NUL behind it; an abstract name has its NUL in front."""

_IPV6_TWINS = {"127.0.0.1": "::1", "0.0.0.0": "::"}
_UINT32 = 0xFFFFFFFF
_CIDS = {"any": _UINT32, "hypervisor": 0, "local": 1, "host": 2}
_SCHEMES = {
    "http": "80",
    "ws": "80",
    "https": "443 --tls",
    "wss": "443 --tls",
    "ssh": "22",
    "telnet": "23 --telnet",
    "tcp": "PORT",
}


class Sockaddr(bytes):
    """A whole struct sockaddr, its family included, for which Python's ``socket`` has no form. Empty: the kernel gave none."""

    @classmethod
    def of(cls, family: int, data: bytes) -> Sockaddr:
        """The struct of a family around ``sa_data``. BSD's has its length in front (sys/socket.h of macOS)."""
        if _LINUX or sys.platform == "win32":
            return cls(family.to_bytes(2, sys.byteorder) + data)
        return cls(bytes((len(data) + 2, family & 0xFF)) + data)

    @property
    def family(self) -> int:
        """``sa_family``; 0 where there is none."""
        return (
            int.from_bytes(self[:2], sys.byteorder)
            if _LINUX or sys.platform == "win32"
            else int(self[1:2].hex() or "0", 16)
        )

    def __repr__(self) -> str:
        return f"hex:{self[2:].hex()}"


class Target(NamedTuple):
    """One address, as far as it is known without asking a name server."""

    family: int | None
    """None: INET or INET6, whatever the name resolves to."""
    host: str | None
    """A name to resolve, or None if there is nothing to resolve."""
    port: int | None
    """The port, where the family has ports."""
    address: object | None
    """The sockaddr as Python's ``socket`` takes it, or None if ``host`` has to be resolved first."""
    type: int | None = None
    """The socket type that such an address is for, where none is asked for; None: the usual default."""
    proto: int | None = None
    """The protocol, likewise."""

    @property
    def text(self) -> str:
        """The target as it is shown: ``example.org:80``, ``[::1]:80``, ``@name``."""
        if self.host is not None:
            return f"{escape(self.host)}:{self.port}"
        if self.family == _UNIX and not self.address:
            return "@"
        return format_address(INET if self.family is None else self.family, self.address)


class Request:
    """What a row's parser is given: the words as typed, and what the options say."""

    __slots__ = ("argument", "default_host", "family", "port", "words")

    def __init__(
        self, words: Sequence[str], family: int | None, port: int | None, default_host: str, argument: str
    ) -> None:
        self.words = words
        self.family = family
        self.port = port
        self.default_host = default_host
        self.argument = argument

    def error(self, message: str, hint: str | None = None, cause: BaseException | None = None) -> UsageError:
        """What is wrong with the words."""
        return UsageError(message, option=self.argument, hint=hint, cause=cause)


class AddressFamily(NamedTuple):
    """One row of the table: all that sockkit knows of a family's addresses."""

    name: str
    """Without its prefix: ``INET``."""
    number: int | None
    """None on a platform that lacks it."""
    syntax: str
    examples: tuple[tuple[str, ...], ...]
    """Each example is the words of one target."""
    default: str | None
    """What no words at all mean, or None where an address has to be given."""
    parse: Callable[[Request], Target]
    format: Callable[[object], str]


def parse_target(
    words: Sequence[str],
    *,
    family: int | None = None,
    port: int | None = None,
    default_host: str = DEFAULT_HOST,
    argument: str = "ADDRESS",
) -> Target:
    """The words of one target: ``PORT``, ``HOST PORT``, ``HOST:PORT``, ``[v6]:PORT``, a Unix path, ``@NAME`` …

    Args:
        words: as typed; at most two.
        family: an ``AF_`` number that decides how to read them. None and 0 leave it to their looks: a slash makes a
            Unix path, an at sign in front an abstract name, all else is a host, a port or both.
        port: from an option. It replaces the default port, and then a host may stand alone.
        default_host: where only a port, or nothing, is given.
        argument: what to call the words in an error.

    Raises:
        UsageError: always, for anything that cannot be an address.
    """
    family = family or None
    request = Request(words, family, port, default_host, argument)
    if len(words) > 2:
        shown = " ".join(preview(word, 40) for word in words[:4])
        raise request.error(f"one target has one word or two, here are {len(words)}: {shown}", "HOST PORT")
    if family is None:
        return _parse_unix(request) if _looks_unix(request) else _parse_internet(request)
    row = _row(family)
    if row is None or (words and words[0][:4].lower() == "hex:"):
        return _parse_raw(request, row)
    return row.parse(request)


def format_address(family: int, address: object) -> str:
    """What ``getsockname``, ``getpeername``, ``accept`` or ``recvfrom`` gave, as one line of printable text.

    Never raises: what does not look like an address of its family is shown as the Python value that it is.
    """
    try:
        row = _row(family)
        return (row.format if row else format_other)(address)
    except (TypeError, ValueError, LookupError):
        return format_other(address)
    except Exception as error:
        if type(error).__name__ != "error":  # struct.error: the bytes of another struct
            raise
        return format_other(address)


def is_loopback(family: int, address: object) -> bool:
    """Whether only this host can be at the other end."""
    if family == _UNIX:
        return True
    if family == _VSOCK:
        return isinstance(address, tuple) and address[:1] == (_CIDS["local"],)
    if family == _PACKET:
        return isinstance(address, tuple) and address[:1] == ("lo",)
    ip = packed(family, address)
    return ip == bytes(15) + b"\1" or (ip is not None and len(ip) == 4 and ip[0] == 127)


def is_multicast(family: int, address: object) -> bool:
    """Whether it is a group's: 224.0.0.0/4 (RFC 5771), ff00::/8 (RFC 4291)."""
    ip = packed(family, address)
    return ip is not None and (ip[0] >> 4 == 14 if len(ip) == 4 else ip[0] == 0xFF)


def is_wildcard(family: int, address: object) -> bool:
    """Whether a socket bound to it takes what arrives for any address of this host."""
    if family == _VSOCK:
        return isinstance(address, tuple) and address[:1] == (_CIDS["any"],)
    ip = packed(family, address)
    return ip is not None and not any(ip)


# INET and INET6


def _parse_internet(request: Request) -> Target:
    host: str | None = None
    port = request.port
    if port is not None:
        _check_option(port, 65535)
    if len(request.words) == 2:
        host, port = request.words[0], _two_words(request)
    elif request.words:
        host, port = _one_word(request)
    if host is None:
        host = request.default_host
        if request.family == INET6:
            host = _IPV6_TWINS.get(host, host)
    return _internet(request, host, DEFAULT_PORT if port is None else port)


def _two_words(request: Request) -> int:
    host, port = request.words
    if request.port is not None:
        raise _port_twice(request.port, port)
    if host.startswith("["):
        raise request.error(f"{as_typed(host)}: brackets belong to [HOST]:PORT in one word", "without them: ::1 80")
    if is_number(host, 65535) and not is_number(port, 65535) and "." in port:
        raise _bad_port(port, f"the host comes first: {preview(port, 60)} {host}")
    return _port(port)


def _one_word(request: Request) -> tuple[str | None, int]:
    """Host and port; the host is None where a port stands alone."""
    word, given = request.words[0], request.port
    host: str | None
    if word.startswith("["):
        host, bracket, rest = word[1:].partition("]")
        if not bracket or (rest and rest[0] != ":") or ":" not in host:
            raise request.error(f"{as_typed(word)} is not [IPV6]:PORT", "e.g. [::1]:80")
        if not rest:
            raise _no_port(request, word, f"{preview(word, 60)}:{DEFAULT_PORT}")
        port = rest[1:]
    elif word.count(":") == 1:
        host, _, port = word.partition(":")
        if not host:
            raise request.error(f"{as_typed(word)}: the host is empty", f"a port alone means {request.default_host}")
    elif ":" not in word and (is_number(word, None) or (given is None and _like_number(word))):
        host, port = None, word
    else:
        if given is None:
            _internet(request, word, DEFAULT_PORT)  # what is wrong with the host is the better answer
            raise _no_port(request, word, f"{escape(word)} {DEFAULT_PORT}")
        return word, given
    if given is not None:
        raise _port_twice(given, port)
    return host, _port(port)


def _internet(request: Request, host: str, port: int) -> Target:
    """A numeric host becomes an address; any other has to be a name that could be."""
    if not host:
        raise request.error("the host is empty", f"HOST PORT, or a port alone, which means {DEFAULT_HOST}")
    if "://" in host:
        raise request.error(f"{as_typed(host)} is not a host", no_urls(host))
    if not host.isprintable() or " " in host:
        raise request.error(f"the host {as_typed(host)} holds a character that no host name has")
    if ":" in host:
        if request.family == INET:
            raise request.error(f"{as_typed(host)} does not fit AF_INET, which has IPv4 addresses", "e.g. 127.0.0.1 80")
        text, scope = _ipv6(request, host)
        return Target(INET6, None, port, (text, port, 0, scope))
    ip = _pton(INET, host)
    if ip is not None:
        if request.family == INET6:
            hint = f"the mapped form: ::ffff:{host} {port}"
            raise request.error(f"{as_typed(host)} does not fit AF_INET6, which has IPv6 addresses", hint)
        return Target(INET, None, port, (host, port))
    _check_name(request, host)
    return Target(request.family, host, port, None)


def _ipv6(request: Request, host: str) -> tuple[str, int]:
    text, percent, zone = host.partition("%")
    if not hasattr(socket, "AF_INET6"):
        raise request.error(f"{as_typed(host)} looks like IPv6, and this Python was built without it")
    ip = _pton(INET6, text)
    if ip is None:
        raise request.error(f"{as_typed(host)} is not an IPv6 address", "[IPV6]:PORT, IPV6 PORT or HOST:PORT")
    text = socket.inet_ntop(INET6, ip)
    if not percent:
        return text, 0
    if not _is_link_local(ip):
        # The kernel would take it and drop it.
        hint = f"only link-local addresses (fe80::/10, ff02::/16) have one; here: {text}"
        raise request.error(f"{as_typed(host)}: this address takes no scope id", hint)
    try:
        if is_number(zone, _UINT32):
            socket.if_indextoname(int(zone))
            return text, int(zone)
        return text, socket.if_nametoindex(zone)
    except (OSError, ValueError, OverflowError, AttributeError) as error:
        message = f"{as_typed(host)}: no interface {as_typed(zone)} for the scope id"
        raise request.error(message, _listed(_interfaces()), error) from error


def _check_name(request: Request, host: str) -> None:
    """Only what no resolver could take is refused; whether the name exists is not asked."""
    if any(character in host for character in "[]%@/\\") or host.startswith("-"):
        raise request.error(f"{as_typed(host)} is not a host name")
    length, refusal = len(host), None
    if length <= 254:
        try:
            length = len(host.encode("idna").removesuffix(b"."))
        except UnicodeError as error:  # Python would raise it from getaddrinfo, and it is no OSError
            refusal = error
        else:
            if length <= 253:
                return
    labels = host.removesuffix(".").split(".")
    longest = max(map(len, labels))
    if not all(labels):
        why = "a part of it is empty"
    elif longest > 63:
        why = f"a part of it has {longest} characters, 63 is the limit"
    elif length > 253:
        why = f"it has {length} characters, 253 is the limit"
    else:
        why = "the DNS has no form for it"
    raise request.error(f"{as_typed(host)} is not a host name: {why}", cause=refusal) from refusal


def _format_inet(address: object) -> str:
    host, port = _host_and_port(address)
    return f"{escape(host)}:{port}"


def _format_inet6(address: object) -> str:
    host, port = _host_and_port(address)
    scope = address[3] if isinstance(address, tuple) and len(address) > 3 else 0
    if INTERFACES:  # Python's own are those of our namespace
        host = host.partition("%")[0]
    if isinstance(scope, int) and scope and "%" not in host:
        host = f"{host}%{_interface(scope)}"
    return f"[{escape(host)}]:{port}"


def _host_and_port(address: object) -> tuple[str, int]:
    if not isinstance(address, tuple) or len(address) < 2:
        raise TypeError
    host, port = address[:2]
    if not isinstance(host, str) or not host or not isinstance(port, int):
        raise TypeError
    return host, port


def _pton(family: int, host: str) -> bytes | None:
    try:
        return socket.inet_pton(family, host)
    except (OSError, ValueError):
        return None


def packed(family: int, address: object) -> bytes | None:
    """The four or sixteen bytes of an address; an IPv4-mapped one has four. An empty host is Python's wildcard."""
    if family not in (INET, INET6) or not isinstance(address, tuple) or not address:
        return None
    host = address[0]
    if not isinstance(host, str):
        return None
    if not host:
        return bytes(4)
    ip = _pton(family, host.partition("%")[0] if family == INET6 else host)
    return ip[12:] if ip is not None and ip[:12] == bytes(10) + b"\xff\xff" else ip


INTERFACES: dict[int, str] = {}
"""Names of interfaces by their numbers, where our sockets are in another network namespace. Empty: the system is asked."""


def is_link_local(host: object) -> bool:
    """Whether an IPv6 address needs an interface."""
    ip = _pton(INET6, host.partition("%")[0]) if isinstance(host, str) and hasattr(socket, "AF_INET6") else None
    return ip is not None and _is_link_local(ip)


def _is_link_local(ip: bytes) -> bool:
    """Whether the scope id matters: fe80::/10, and multicast within a link or an interface."""
    return len(ip) == 16 and (ip[0] == 0xFE and ip[1] & 0xC0 == 0x80 or ip[0] == 0xFF and ip[1] & 0x0F in (1, 2))


def _interface(index: int) -> str:
    if INTERFACES:
        return INTERFACES.get(index, str(index))
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError, AttributeError):
        return str(index)


def _interfaces() -> list[str]:
    try:
        return [name for _, name in socket.if_nameindex()]
    except (OSError, AttributeError):
        return []


def _listed(names: list[str]) -> str | None:
    return f"interfaces here: {', '.join(map(escape, names[:8]))}" if names else None


# Ports


def is_number(text: str, largest: int | None) -> bool:
    """Digits and nothing else: ``int`` would also take signs, spaces, underscores and other scripts."""
    if not (text.isascii() and text.isdigit()):
        return False
    return largest is None or (len(text) <= len(str(largest)) and int(text) <= largest)


def _like_number(text: str) -> bool:
    return "." not in text and text.strip().lstrip("+-")[:1].isdigit()


def no_urls(url: str) -> str:
    """What is typed here instead of a URL."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "unix" and rest:
        return f"no URLs here: sockkit connect -U {escape(rest)}"
    for mark in "/?#":
        rest = rest.partition(mark)[0]
    place, options = rest.rpartition("@")[2], ""
    host, colon, port = place.rpartition(":")
    if not colon or host.count(":") and not host.endswith("]"):
        host, port = place, ""
    if scheme.lower() in _SCHEMES:
        usual, _, options = _SCHEMES[scheme.lower()].partition(" ")
        port = port or usual
    if not host or not port or not host.isprintable():
        return "no URLs here: HOST PORT"
    return (
        f"no URLs here: {' '.join(filter(None, ('sockkit connect', options, escape(host.strip('[]')), escape(port))))}"
    )


def _port(text: str, largest: int = 65535) -> int:
    # getaddrinfo would take 70000 and mean 4464.
    if not is_number(text, largest):
        raise _bad_port(text, None, largest)
    return int(text)


def _bad_port(text: str, hint: str | None = None, largest: int = 65535) -> UsageError:
    if hint is None and text[:1].isalpha() and text.isascii() and text.isalnum():
        from sockkit.ports import services

        hint = "service names are not looked up"
        if text in services("tcp"):
            hint += f": {text} is {services('tcp')[text]}"
    return UsageError(f"{as_typed(text)} is not a PORT: a decimal number, 0 to {largest}", option="PORT", hint=hint)


def _check_option(port: int, largest: int) -> None:
    if not 0 <= port <= largest:
        raise UsageError(f"{port} is not a PORT: a decimal number, 0 to {largest}", option="--port")


def _port_twice(option: int, word: str) -> UsageError:
    return UsageError(f"the port is given twice: --port {option} and {as_typed(word)}", option="--port")


def _no_port(request: Request, word: str, example: str) -> UsageError:
    message = f"{as_typed(word)}: a port is missing: HOST PORT, e.g. {example}"
    if ":" in word:
        return request.error(message, "in one word: [IPV6]:PORT")
    return request.error(message, None if request.family else "a Unix path needs a slash: ./NAME")


# UNIX


def _looks_unix(request: Request) -> bool:
    if not request.words:
        return False
    word = request.words[0]
    scheme, colon, _ = word.partition("://")
    if colon and scheme.isalnum():
        raise request.error(f"{as_typed(word)} is not a target", no_urls(word))
    return "/" in word or word.startswith("@")


def _parse_unix(request: Request) -> Target:
    if request.port is not None:
        raise UsageError("a Unix address has no port", option="--port")
    word = single_word(request, "UNIX", _UNIX_ROW)
    if not hasattr(socket, "AF_UNIX"):
        raise request.error(f"{as_typed(word)} is a Unix address, and this Python was built without AF_UNIX")
    if "\0" in word:
        raise request.error(f"{as_typed(word)}: a path cannot hold a NUL")  # the kernel would stop reading there
    if word.startswith("@"):
        return Target(_UNIX, None, None, _abstract(request, word))
    if not word:
        raise request.error("the Unix path is empty", "./NAME, or @ for a name that the kernel chooses")
    length = len(_fsencode(request, word))
    if length >= _SUN_PATH:
        raise _too_long(request, f"the path {as_typed(word)}", length, "change to its directory and use ./NAME")
    return Target(_UNIX, None, None, word)


def _abstract(request: Request, word: str) -> bytes | str:
    if not _LINUX:
        raise request.error(f"{as_typed(word)}: abstract names are Linux only", f"a file: ./{preview(word, 60)}")
    if word == "@":
        if request.family is None:
            raise request.error("@ needs a name behind it: @NAME", "--family UNIX @ has the kernel choose one")
        return ""
    try:
        name = unescape(word[1:])
    except ValueError as error:
        raise request.error(f"{as_typed(word)} is not an abstract name: {error}") from error
    raw = _fsencode(request, name)
    if len(raw) >= _SUN_PATH:
        raise _too_long(request, f"the abstract name {as_typed(word)}", len(raw), None)
    return b"\0" + raw


def _fsencode(request: Request, text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeError as error:
        raise request.error(f"{as_typed(text)} cannot be a file name here", cause=error) from error


def _too_long(request: Request, what: str, length: int, hint: str | None) -> UsageError:
    # Python says this without an errno, and only once there is a socket.
    cause = OSError("AF_UNIX path too long")
    return request.error(f"{what} is too long: {length} bytes, {_SUN_PATH - 1} is the limit", hint, cause)


def _format_unix(address: object) -> str:
    if address is not None and not isinstance(address, (str, bytes)):
        return format_other(address)
    if not address:
        return "(unnamed)"
    first = ord(address[:1])
    if not first:
        return "@" + escape(address[1:])
    # A file called @name is not an abstract name.
    return ("./" if first == ord("@") else "") + escape(address)


# VSOCK


def _parse_vsock(request: Request) -> Target:
    words = list(request.words)
    cid, port = "local", request.port
    if port is not None:
        _check_option(port, _UINT32)
    if len(words) == 1:
        before, colon, after = words[0].partition(":")
        if colon:
            words = [before, after]
        elif port is not None:
            cid = words[0]
        elif words[0].lower() in _CIDS:
            raise _no_port(request, words[0], f"{words[0].lower()} {DEFAULT_PORT}")
        else:
            port = _port(words[0], _UINT32)
    if len(words) == 2:
        if port is not None:
            raise _port_twice(port, words[1])
        cid, port = words[0], _port(words[1], _UINT32)
    number = _CIDS.get(cid.lower())
    if number is None:
        if not is_number(cid, _UINT32):
            raise request.error(f"{as_typed(cid)} is not a CID: {', '.join(_CIDS)}, or a number, 0 to {_UINT32}")
        number = int(cid)
    port = DEFAULT_PORT if port is None else port
    return Target(_VSOCK, None, port, (number, port))


def _format_vsock(address: object) -> str:
    if isinstance(address, tuple) and len(address) == 2 and all(isinstance(number, int) for number in address):
        return f"{address[0]}:{address[1]}"
    return format_other(address)


# Every other family, and every address that no notation has a word for: the bytes


def _parse_raw(request: Request, row: AddressFamily | None) -> Target:
    """``hex:`` and ``sa_data``: the sockaddr without its family, as socat's SOCKET addresses have it."""
    name = row.name if row else f"family {request.family}"
    if request.port is not None:
        raise UsageError("an address in hexadecimal has its port within", option="--port")
    word = single_word(request, name, row)
    assert request.family is not None
    digits = word[4:].replace(":", "")
    try:
        if word[:4].lower() != "hex:" or not digits.isascii():
            raise ValueError("it does not begin with hex:")
        data = bytes.fromhex(digits)
    except ValueError as error:
        message = f"{as_typed(word)} is no address of {name}: hex: and the bytes of its sockaddr behind the family"
        raise request.error(message, _HEX_EXAMPLE) from error
    if len(data) > 126 or not 0 <= request.family <= 0xFFFF:
        raise request.error(
            f"{as_typed(word)}: a sockaddr has 126 bytes at most behind its family, a number of 16 bits"
        )
    return Target(request.family, None, None, Sockaddr.of(request.family, data))


def format_other(address: object) -> str:
    """An address that its family's notation has no word for: its bytes, or the Python value that it is."""
    if address is None or (isinstance(address, Sockaddr) and not address):
        return "(no address)"
    try:
        return escape(repr(address), backslash=False)
    except Exception:
        return f"({type(address).__name__})"


_HEX_EXAMPLE = "e.g. hex:1f90 7f000001 in one word, hex:1f907f000001"


# Shared


def single_word(request: Request, name: str, row: AddressFamily | None) -> str:
    """The only word. Raises UsageError where there is none, or there are two."""
    if len(request.words) == 1:
        return request.words[0]
    syntax = f": {row.syntax}" if row else ""
    if request.words:
        shown = as_typed(" ".join(request.words))
        hint = "a Unix path has no port" if row is _UNIX_ROW else "quote it for the shell"
        raise request.error(f"an address of {name} is one word{syntax}; here are two: {shown}", hint)
    hint = f"e.g. {_typed(row.examples[0])}" if row and row.examples else _HEX_EXAMPLE
    raise request.error(f"an address of {name} has to be given{syntax}", hint)


def as_typed(text: str) -> str:
    """What was typed, quoted for a message: harmless and not endless."""
    return f"'{preview(text, 60)}'"


def _typed(words: Sequence[str]) -> str:
    """Words as one would type them into a shell."""
    return " ".join(f'"{word}"' if "(" in word else word for word in words)


_UNIX_ROW = AddressFamily(
    "UNIX",
    _UNIX,
    "PATH | @NAME (abstract, Linux; \\xHH is a byte)",
    (("/tmp/demo.sock",), ("./demo.sock",), ("@demo",)),
    None,
    _parse_unix,
    _format_unix,
)

_ROWS: tuple[AddressFamily, ...] = (
    AddressFamily(
        "INET",
        INET,
        "PORT | HOST PORT | HOST:PORT",
        (("65432",), ("127.0.0.1", "65432"), ("localhost:65432",)),
        f"{DEFAULT_HOST}:{DEFAULT_PORT}",
        _parse_internet,
        _format_inet,
    ),
    AddressFamily(
        "INET6",
        INET6,
        "PORT | HOST PORT | [IPV6]:PORT | HOST:PORT; IPV6 may end in %INTERFACE",
        (("65432",), ("::1", "65432"), ("[::1]:65432",)),
        f"[::1]:{DEFAULT_PORT}",
        _parse_internet,
        _format_inet6,
    ),
    _UNIX_ROW,
    AddressFamily(
        "VSOCK",
        _VSOCK,
        "PORT | CID PORT | CID:PORT; CID is a number, local, host, hypervisor or any",
        (("65432",), ("local", "65432"), ("2:65432",)),
        f"{_CIDS['local']}:{DEFAULT_PORT}",
        _parse_vsock,
        _format_vsock,
    ),
)
"""The families that everybody uses. Adding one is a row here or in ``families``; help, docs and tests walk the rows."""

_BY_NUMBER = {row.number: row for row in reversed(_ROWS) if row.number is not None}


def _row(family: int) -> AddressFamily | None:
    """The row of a family, if it has one."""
    row = _BY_NUMBER.get(family)
    if row is not None:
        return row
    from sockkit import families

    return families.BY_NUMBER.get(family)


def rows() -> tuple[AddressFamily, ...]:
    """Every family's row, those that everybody uses first."""
    from sockkit import families

    return _ROWS + families.ROWS
