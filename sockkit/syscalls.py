"""One function per system call: the one place that makes or configures a socket.

Each takes the ``Env`` first. Where its observer wants ``CALLS`` (``-v``), the call is timed and told with its arguments and
result; where it does not, nothing is made for it. Errors are passed on as they come: naming what was being done is the
caller's part (``errors.SystemRefusal``).

For the calls on the hot path (``receiver``, ``sender``, …) the observed or the bare function is chosen once, when a
conversation begins.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

try:
    import fcntl  # now, and not when it is wanted: then there may be no descriptor left to load it with
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from sockkit import names
from sockkit.addresses import Sockaddr, format_address, is_wildcard
from sockkit.errors import UsageError
from sockkit.events import Call, Env, Interest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockkit.semantics import Semantics
    from sockkit.sockopts import SockOption
    from sockkit.spec import SocketSpec

T = TypeVar("T")
QUIET = Env(0, 1, lambda event: None, 0, lambda: 0.0)
"""Nobody looks: for calls from Python (``sockkit.probe``) that bring no surroundings of their own."""
Address = Any
"""A socket address as Python has it: a tuple, str or bytes, by family."""

DONTWAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
"""O_NONBLOCK belongs to the open file, which an adopted socket shares with whoever lent it; this flag is ours alone.
0 where the platform lacks it (Windows): there only our own sockets, which are non-blocking, are served."""
LARGEST = 2**31 - 1
LINUX = sys.platform == "linux"
SO_PROTOCOL: int | None = getattr(socket, "SO_PROTOCOL", 38 if LINUX else None)
SO_DOMAIN: int | None = getattr(socket, "SO_DOMAIN", 39 if LINUX else None)
TRUNC: int = getattr(socket, "MSG_TRUNC", 0) if LINUX else 0
"""As a flag of recv(2) it returns a message's true length; only Linux has that meaning."""
INTERNET = frozenset(getattr(socket, name) for name in ("AF_INET", "AF_INET6") if hasattr(socket, name))
AF_INET6: int | None = getattr(socket, "AF_INET6", None)
AF_VSOCK: int | None = getattr(socket, "AF_VSOCK", None)
NO_TRUNC = frozenset((26, 29)) if LINUX else frozenset()
"""LLC and CAN: see ``_trunc``."""
SO_MEMINFO = 55
SO_PEERCRED: int | None = getattr(socket, "SO_PEERCRED", None) if LINUX else None
"""OpenBSD's is another struct, and others have no such option."""
SIOCOUTQ = 0x5411
ROOM_LEFT = frozenset((3, 4, 5, 6, 9, 11, 31))
"""Families to which the same ioctl tells how much room is left: AX25, IPX, APPLETALK, NETROM, X25, ROSE, BLUETOOTH (their TIOCOUTQ)."""
FIONREAD = 0x541B


def observed(
    env: Env,
    name: str,
    fd: int | None,
    arguments: Callable[[], tuple[object, ...]],
    call: Callable[[], T],
    show: Callable[[T], object] | None = None,
    quiet: tuple[type[Exception], ...] = (),
) -> T:
    """Make a call and tell the observer of it, if it asked to be told.

    Args:
        show: makes the result readable.
        quiet: exceptions that are no outcome: BlockingIOError where the loop asks again when there is one.
    """
    if not env.interest & Interest.CALLS:
        return call()
    begun = env.clock()
    try:
        result = call()
    except quiet:
        raise
    except Exception as error:
        env.observer(Call(begun, name, fd, arguments(), None, error, env.clock() - begun))
        raise
    shown = show(result) if show is not None else result
    env.observer(Call(begun, name, fd, arguments(), shown, None, env.clock() - begun))
    return result


# ---- making sockets


def _parameters(spec: SocketSpec) -> dict[str, int]:
    """What to hand to ``socket.socket``.

    Raises:
        UsageError: a number that cannot reach the kernel. It carries the exception that Python raises for it.
    """
    given = {name: value for name, value in zip(spec._fields, spec, strict=True) if value is not None}
    for name, value in given.items():
        option = f"--{name}"
        if name == "fileno" and value > LARGEST:
            # Python 3.11 cuts fileno to a C int without a word: 2**32 would adopt fd 0. Hence no call here.
            raise UsageError(f"{value} is too large: a file descriptor is at most {LARGEST}", option=option)
        if value > LARGEST or (name == "fileno" and value < 0):
            try:
                socket.socket(**{name: value}).detach()  # cannot succeed: these never reach the kernel
            except (OverflowError, ValueError, OSError) as error:
                limit = f"at most {LARGEST}" if value > 0 else "0 or more"
                raise UsageError(
                    f"{value} never reaches the kernel: it is {limit}", option=option, cause=error
                ) from error
        if value < 0:
            told = (
                "Python takes -1 for 'not given', so it never reaches the kernel"
                if value == -1
                else "negative numbers are not asked for"
            )
            raise UsageError(f"{value}: {told}; 0 to {LARGEST} do", option=option)
    return given


def make(env: Env, spec: SocketSpec) -> socket.socket:
    """socket(2): a new socket, close-on-exec as Python makes them all.

    With ``spec.fileno`` nothing is made: that descriptor is adopted, and the caller must ``detach()`` it.

    Raises:
        UsageError: parameters that Python refuses before it asks the kernel.
        OSError: the kernel's refusal.
    """
    given = _parameters(spec)
    family = 2 if spec.family is None else spec.family

    def arguments() -> tuple[object, ...]:
        if spec.fileno is not None:
            return tuple(f"{name}={value}" for name, value in given.items())
        return (
            names.FAMILIES.name(family) or family,
            names.TYPES.label(spec.type if spec.type is not None else 1).partition(" (")[0],
            (names.protocols(family).name(spec.proto) or spec.proto) if spec.proto else 0,
        )

    return observed(env, "socket", spec.fileno, arguments, lambda: socket.socket(**given), lambda sock: sock.fileno())


def pair(env: Env, spec: SocketSpec) -> tuple[socket.socket, socket.socket]:
    """socketpair(2): two sockets, connected to each other. Python's default family is AF_UNIX.

    Raises:
        UsageError: parameters that never reach the kernel. OSError: the kernel's refusal.
    """
    given = _parameters(spec)
    show: Callable[[tuple[socket.socket, socket.socket]], str] = lambda two: f"{two[0].fileno()}, {two[1].fileno()}"
    return observed(env, "socketpair", None, lambda: tuple(given.values()), lambda: socket.socketpair(**given), show)


def method(env: Env, sock: socket.socket, name: str, *arguments: Any) -> Any:
    """One system call by the name of its method, just as it is: for whoever tries them all (``probe --steps``)."""
    fd = sock.fileno()

    def show(result: Any) -> object:
        match result:
            case bytes():
                return len(result)
            case (socket.socket() as made, address):
                return f"{made.fileno()}, {format_address(sock.family, address)}"
            case (bytes() as data, address):
                return f"{len(data)}, {format_address(sock.family, address)}"
            case tuple():
                return format_address(sock.family, result)
        return result

    shown: Callable[[], tuple[object, ...]] = lambda: (fd, *(len(a) if isinstance(a, bytes) else a for a in arguments))
    return observed(env, name, fd, shown, lambda: _method(sock, name, arguments), show)


def _method(sock: socket.socket, name: str, arguments: tuple[Any, ...]) -> Any:
    """A method of Python's socket, or the same by bytes where it has no form for this family's addresses."""
    fd = sock.fileno()
    if arguments and isinstance(arguments[-1], Sockaddr):
        if name == "sendto":
            return _by_bytes(name)(fd, arguments[0], 0, arguments[1])
        return _by_bytes(name)(fd, *arguments)
    try:
        return getattr(sock, name)(*arguments)
    except TimeoutError:  # has no errno either
        raise
    except OSError as error:
        if error.errno is not None or name not in ("accept", "getsockname", "getpeername"):
            raise
    found = _by_bytes(name)(fd)
    if name != "accept":
        return Sockaddr(found)
    return socket.socket(sock.family, sock.type, sock.proto, found[0]), Sockaddr(found[1])


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """What is called in here waits no longer: then SIGALRM ends it, and TimeoutError is raised.

    SO_RCVTIMEO would do the same within the kernel, but not everywhere: accept(2) on MPTCP does not mind it (Linux 6.18).
    In other threads than the main one and on Windows there is no such alarm: whoever needs it there sets Python's timeout.

    Raises:
        TimeoutError: it took longer; without an errno.
    """
    import signal

    def alarm(number: int, frame: object) -> None:
        raise TimeoutError(f"timed out after {seconds:g} s")

    try:
        before = signal.signal(signal.SIGALRM, alarm)
    except (AttributeError, ValueError):
        yield
        return
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def bind_to_loopback(env: Env, sock: socket.socket) -> None:
    """SO_BINDTODEVICE lo: what is sent to the host from elsewhere does not reach this socket (socket(7))."""
    fd = sock.fileno()
    call = lambda: sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    observed(env, "setsockopt", fd, lambda: (fd, "SOL_SOCKET", "SO_BINDTODEVICE", "lo"), call)


def identity(env: Env, sock: socket.socket) -> Identity:
    """What the kernel says that a socket is: SO_DOMAIN, SO_TYPE, SO_PROTOCOL (socket(7)).

    macOS and Windows have no SO_DOMAIN or SO_PROTOCOL by these names: None there.
    """

    fd = sock.fileno()

    def ask(name: str, option: int | None) -> int | None:
        if option is None:
            return None
        try:
            get = lambda: sock.getsockopt(socket.SOL_SOCKET, option)
            return observed(env, "getsockopt", fd, lambda: (fd, "SOL_SOCKET", name), get)
        except OSError:
            return None

    return Identity(ask("SO_DOMAIN", SO_DOMAIN), ask("SO_TYPE", socket.SO_TYPE), ask("SO_PROTOCOL", SO_PROTOCOL))


Attempt = tuple[int, "Identity | None"]
"""An errno, 0 for none; and what was made."""


def attempter(env: Env) -> Callable[[int, int, int], Attempt]:
    """A function that makes a socket of a family, type and protocol, asks what it is, and closes it.

    For a whole space of them: the observed or the bare function is chosen once.
    """
    if env.interest & Interest.CALLS:

        def told(family: int, type: int, proto: int) -> Attempt:
            from sockkit.spec import SocketSpec

            try:
                sock = make(env, SocketSpec(family, type, proto))
            except OSError as error:
                return error.errno or -1, None
            found = identity(env, sock)
            close(env, sock)
            return 0, found

        return told
    # Without Python's own class around it: it costs as much again as the system calls do.
    create = socket.SocketType
    level = socket.SOL_SOCKET
    options = (SO_DOMAIN, socket.SO_TYPE, SO_PROTOCOL)

    def bare(family: int, type: int, proto: int) -> Attempt:
        try:
            sock = create(family, type, proto)
        except OSError as error:
            return error.errno or -1, None
        values: list[int | None] = []
        for option in options:
            try:
                values.append(None if option is None else sock.getsockopt(level, option))
            except OSError:
                values.append(None)
        sock.close()
        return 0, Identity(*values)

    return bare


def maker(env: Env, spec: SocketSpec, *, plain: bool) -> Callable[[], socket.socket]:
    """A function that makes one non-blocking socket after the other, for many of them: chosen once, as ``attempter`` is.

    ``plain``: they are only connected, sent to and received from.
    """
    flag = getattr(socket, "SOCK_NONBLOCK", 0)
    spec = spec._replace(type=base_type(spec.type) | flag)

    def told() -> socket.socket:
        sock = make(env, spec)
        if not flag:
            not_blocking(env, sock)
        return sock

    if env.interest & Interest.CALLS or not flag or not plain:
        return told
    # Python's own class around it costs as much again as the system call does.
    parameters = spec.family or 2, spec.type, spec.proto or 0
    return partial(cast("Callable[..., socket.socket]", socket.SocketType), *parameters)


UNDER_WAY = errno.EINPROGRESS
_UNDER_WAY = frozenset((UNDER_WAY, errno.EWOULDBLOCK) if sys.platform == "win32" else (UNDER_WAY,))


def beginner(env: Env) -> Callable[[socket.socket, Address], int]:
    """A function that begins to connect a non-blocking socket and says what came of it so far: 0 for a connection, ``UNDER_WAY``, or an errno.

    A peer on this host has answered while we were in connect(2), so SO_ERROR is asked at once.
    """

    def told(sock: socket.socket, address: Address) -> int:
        try:
            connect(env, sock, address)
            return 0
        except OSError as error:
            if error.errno not in _UNDER_WAY:
                return error.errno or -1
        found = pending_error(env, sock)
        return UNDER_WAY if found is None else found.errno or -1

    def bare(sock: socket.socket, address: Address) -> int:
        number = sock.connect_ex(address)
        return sock.getsockopt(level, option) or UNDER_WAY if number in _UNDER_WAY else number

    level, option = socket.SOL_SOCKET, socket.SO_ERROR
    return told if env.interest & Interest.CALLS else bare


class Identity(NamedTuple):
    """Family, type and protocol as the kernel reports them; None where it cannot say."""

    family: int | None
    type: int | None
    proto: int | None


def means(env: Env, sock: socket.socket) -> Semantics:
    """How such a socket is used, as far as the kernel tells what it is (``SO_PROTOCOL`` is 0 for many families)."""
    from sockkit.semantics import semantics

    found = identity(env, sock)
    family, proto = sock.family if found.family is None else found.family, found.proto or sock.proto
    return semantics(family, base_type(sock.type if found.type is None else found.type), proto)


def base_type(type: int | None) -> int:
    """A socket type without its flags; None: the default, SOCK_STREAM."""
    return int(socket.SOCK_STREAM) if type is None else names.TYPES.parts(type)[0]


def close(env: Env, sock: socket.socket) -> None:
    """close(2)."""
    if not env.interest & Interest.CALLS:
        sock.close()
        return
    fd = sock.fileno()
    observed(env, "close", fd, lambda: (fd,), sock.close)


# ---- addresses and connections


@contextmanager
def _address_of(sock: socket.socket, address: Address) -> Iterator[None]:
    """An address of the wrong shape for its family: Python says so before it asks the kernel."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        family = names.FAMILIES.label(sock.family)
        text = f"{format_address(sock.family, address)} is no address of {family}"
        raise UsageError(text, option="ADDRESS", cause=error) from error


def _by_bytes(name: str) -> Callable[..., Any]:
    """A call of ``libc``, loaded now: for the addresses that Python's ``socket`` has no form for."""
    from sockkit import libc

    call: Callable[..., Any] = getattr(libc, name)
    return call


def _told(sock: socket.socket, name: str) -> Address:
    """getsockname or getpeername, by bytes where Python gives up before it asks the kernel: then it has no errno."""
    try:
        return getattr(sock, name)()
    except OSError as error:
        if error.errno is not None:
            raise
        return Sockaddr(_by_bytes(name)(sock.fileno()))


def bind(env: Env, sock: socket.socket, address: Address) -> None:
    """bind(2). Raises UsageError for an address of the wrong shape."""
    fd = sock.fileno()
    with _address_of(sock, address):
        call = partial(_by_bytes("bind"), fd) if isinstance(address, Sockaddr) else sock.bind
        observed(env, "bind", fd, lambda: (fd, format_address(sock.family, address)), lambda: call(address))


def listen(env: Env, sock: socket.socket, backlog: int | None = None) -> None:
    """listen(2); None: Python's own choice, min(SOMAXCONN, 128)."""
    fd = sock.fileno()
    if backlog is None:
        observed(env, "listen", fd, lambda: (fd, min(socket.SOMAXCONN, 128)), sock.listen)
    else:
        observed(env, "listen", fd, lambda: (fd, backlog), lambda: sock.listen(backlog))


def accept(env: Env, sock: socket.socket) -> tuple[socket.socket, Address]:
    """accept(2). The new socket copies the listener's ``proto`` attribute, and is close-on-exec."""
    if not env.interest & Interest.CALLS:
        try:
            return sock.accept()
        except OSError as error:
            if error.errno is not None:
                raise
    fd = sock.fileno()

    def show(result: tuple[socket.socket, Address]) -> object:
        return f"{result[0].fileno()}, {format_address(sock.family, result[1])}"

    def call() -> tuple[socket.socket, Address]:
        try:
            return sock.accept()
        except OSError as error:
            if error.errno is not None:
                raise
            new, address = _by_bytes("accept")(fd)
            return socket.socket(sock.family, sock.type, sock.proto, new), Sockaddr(address)

    return observed(env, "accept", fd, lambda: (fd,), call, show, (BlockingIOError,))


def connect(env: Env, sock: socket.socket, address: Address) -> None:
    """connect(2). On a non-blocking socket BlockingIOError means: under way. UsageError as for ``bind``."""
    fd = sock.fileno()
    with _address_of(sock, address):
        call = partial(_by_bytes("connect"), fd) if isinstance(address, Sockaddr) else sock.connect
        observed(env, "connect", fd, lambda: (fd, format_address(sock.family, address)), lambda: call(address))


def shutdown_sending(env: Env, sock: socket.socket) -> None:
    """shutdown(2) with SHUT_WR: over TCP, a FIN after all that was sent."""
    fd = sock.fileno()
    observed(env, "shutdown", fd, lambda: (fd, "SHUT_WR"), lambda: sock.shutdown(socket.SHUT_WR))


def local_address(env: Env, sock: socket.socket) -> Address:
    """getsockname(2), or None where there is none."""
    fd = sock.fileno()
    get = lambda: _told(sock, "getsockname")
    try:
        return observed(env, "getsockname", fd, lambda: (fd,), get, partial(format_address, sock.family))
    except OSError:
        return None


def peer_address(env: Env, sock: socket.socket) -> Address:
    """getpeername(2), or None where it is not connected."""
    fd = sock.fileno()
    get = lambda: _told(sock, "getpeername")
    try:
        return observed(env, "getpeername", fd, lambda: (fd,), get, partial(format_address, sock.family))
    except OSError:
        return None


def more_descriptors(env: Env) -> int | None:
    """setrlimit(2): as many descriptors as the hard limit allows, a client each.

    The soft limit is usually 1024, since select(2) can wait for no more: we wait by epoll.

    Returns:
        the soft limit as it was, which is the one for programs that we start; None where it stays.
    """
    try:
        from resource import RLIMIT_NOFILE, getrlimit, setrlimit
    except ImportError:  # Windows
        return None
    soft, hard = getrlimit(RLIMIT_NOFILE)
    if soft == hard:
        return None
    try:
        arguments = lambda: ("RLIMIT_NOFILE", (hard, hard))
        observed(env, "setrlimit", None, arguments, lambda: setrlimit(RLIMIT_NOFILE, (hard, hard)))
    except (OSError, ValueError):  # macOS has a lower limit of its own: it stays
        return None
    return soft


def descriptors(env: Env, wanted: int) -> int:
    """How many descriptors we may have: RLIMIT_NOFILE, getrlimit(2), raised where it is less than ``wanted`` and may be raised."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows, whose select(2) waits for 512 sockets (Python's FD_SETSIZE)
        return 512
    if getrlimit(RLIMIT_NOFILE)[0] < wanted:
        more_descriptors(env)
    soft = getrlimit(RLIMIT_NOFILE)[0]
    return LARGEST if soft == RLIM_INFINITY else soft


def not_blocking(env: Env, sock: socket.socket) -> None:
    """O_NONBLOCK, by the ioctl that Python uses. Only for sockets that are ours: the flag belongs to the open file, not to the descriptor."""
    if not env.interest & Interest.CALLS:
        sock.setblocking(False)
        return
    fd = sock.fileno()
    observed(env, "ioctl", fd, lambda: (fd, "FIONBIO", 1), lambda: sock.setblocking(False))


def blocking(env: Env, sock: socket.socket) -> None:
    """O_NONBLOCK off, as it was."""
    fd = sock.fileno()
    observed(env, "ioctl", fd, lambda: (fd, "FIONBIO", 0), lambda: sock.setblocking(True))


def is_blocking(sock: socket.socket) -> bool:
    """The O_NONBLOCK of the descriptor, which Python's object may not know of."""
    try:
        return os.get_blocking(sock.fileno())
    except (AttributeError, OSError):  # Windows: its sockets are no descriptors of the C library
        return sock.getblocking()


def named(family: int, address: Address) -> str:
    """An address as text; empty for none, and for the address of nobody that an unbound socket has: any host, no port."""
    if not address or (is_wildcard(family, address) and address[1] in (0, -1, 2**32 - 1)):
        return ""
    return format_address(family, address)


@contextmanager
def borrowed(env: Env, pid: int, fd: int) -> Iterator[socket.socket]:
    """A socket of another process, to be looked at: pidfd_open(2), pidfd_getfd(2). Closed on the way out.

    It is the same open file: nothing may be read from it or set on it, and while we hold it a FIN that its owner's close
    would send waits. So nobody may wait within.

    Raises:
        OSError: ESRCH where the process is gone, EBADF where it has no such descriptor, EPERM without the right to trace
            it, ENOTSOCK, ENOSYS.
    """
    from sockkit import libc
    from sockkit.spec import SocketSpec

    pidfd_open = getattr(os, "pidfd_open", None)
    if pidfd_open is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    pidfd = observed(env, "pidfd_open", None, lambda: (pid,), lambda: int(pidfd_open(pid)))
    try:
        number = observed(env, "pidfd_getfd", pidfd, lambda: (pidfd, fd), lambda: libc.pidfd_getfd(pidfd, fd))
    finally:
        os.close(pidfd)
    try:
        sock = make(env, SocketSpec(fileno=number))
    except BaseException:
        os.close(number)
        raise
    try:
        yield sock
    finally:
        close(env, sock)


# ---- options


def set_option(env: Env, sock: socket.socket, option: SockOption, value: int | bytes) -> None:
    """setsockopt(2)."""
    fd = sock.fileno()
    level, number = option.level_number, option.number
    if level is None or number is None:
        raise UsageError(f"this platform has no {option.name}", option="--set")

    def call() -> None:
        if sock.family != AF_VSOCK:
            sock.setsockopt(level, number, value)
            return
        plain = _disguised(fd)
        try:
            plain.setsockopt(level, number, value)
        finally:
            plain.detach()

    observed(env, "setsockopt", fd, lambda: (fd, option.level, option.name, value), call)


def _disguised(fd: int) -> socket.socket:
    """An object that was told AF_INET, to be detached: get- and setsockopt(2) ask for no family, but Python takes only ints
    on AF_VSOCK."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)


def set_int(env: Env, sock: socket.socket, level: str, name: str, value: int) -> None:
    """setsockopt(2) for an option that a command needs itself, by its names in Python's ``socket``."""
    fd = sock.fileno()
    numbers = getattr(socket, level), getattr(socket, name)
    observed(env, "setsockopt", fd, lambda: (fd, level, name, value), lambda: sock.setsockopt(*numbers, value))


def membership(env: Env, sock: socket.socket, group: bytes, interface: int, *, join: bool) -> None:
    """IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP and what undoes them: ip(7) with struct ip_mreqn, ipv6(7)."""
    fd = sock.fileno()
    if len(group) == 4:
        level, name = "IPPROTO_IP", "IP_ADD_MEMBERSHIP" if join else "IP_DROP_MEMBERSHIP"
        value = struct.pack("=4s4si", group, bytes(4), interface)
    else:
        level, name = "IPPROTO_IPV6", "IPV6_JOIN_GROUP" if join else "IPV6_LEAVE_GROUP"
        value = struct.pack("=16si", group, interface)
    numbers = getattr(socket, level), getattr(socket, name)
    observed(env, "setsockopt", fd, lambda: (fd, level, name, value), lambda: sock.setsockopt(*numbers, value))


def multicast_interface(env: Env, sock: socket.socket, index: int) -> None:
    """IP_MULTICAST_IF with struct ip_mreqn, ip(7); IPV6_MULTICAST_IF, ipv6(7): the interface that multicast leaves by."""
    fd = sock.fileno()
    value: int | bytes
    if sock.family == socket.AF_INET:
        level, name, value = "IPPROTO_IP", "IP_MULTICAST_IF", struct.pack("=4s4si", bytes(4), bytes(4), index)
    else:
        level, name, value = "IPPROTO_IPV6", "IPV6_MULTICAST_IF", index
    numbers = getattr(socket, level), getattr(socket, name)
    observed(env, "setsockopt", fd, lambda: (fd, level, name, index), lambda: sock.setsockopt(*numbers, value))


def linger(env: Env, sock: socket.socket, seconds: int) -> None:
    """SO_LINGER (socket(7)); with 0 seconds close(2) resets a TCP connection instead of ending it."""
    fd = sock.fileno()
    value = struct.pack("ii", 1, seconds)
    call = lambda: sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
    observed(env, "setsockopt", fd, lambda: (fd, "SOL_SOCKET", "SO_LINGER", f"on, {seconds} s"), call)


def peer_user(env: Env, sock: socket.socket) -> tuple[int | None, int | None]:
    """SO_PEERCRED: the (uid, pid) of whoever connected a Unix socket, as they were then (unix(7)). None where it cannot be told."""
    if SO_PEERCRED is None:
        return None, None
    fd, number = sock.fileno(), SO_PEERCRED
    get = lambda: sock.getsockopt(socket.SOL_SOCKET, number, 12)
    try:
        raw = observed(env, "getsockopt", fd, lambda: (fd, "SOL_SOCKET", "SO_PEERCRED"), get)
    except OSError:
        return None, None
    pid, uid, _ = struct.unpack("iII", raw)
    return uid, pid


def v6_only(env: Env, sock: socket.socket) -> bool:
    """IPV6_V6ONLY: an IPv6 socket without it serves IPv4 too (ipv6(7), RFC 3493 section 5.3)."""
    fd = sock.fileno()
    get = lambda: sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    try:
        return bool(observed(env, "getsockopt", fd, lambda: (fd, "IPPROTO_IPV6", "IPV6_V6ONLY"), get))
    except (OSError, AttributeError):
        return True


def is_listening(env: Env, sock: socket.socket) -> bool | None:
    """SO_ACCEPTCONN: listen(2) was called on it. None where the platform cannot say."""
    fd = sock.fileno()
    get = lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    try:
        return bool(observed(env, "getsockopt", fd, lambda: (fd, "SOL_SOCKET", "SO_ACCEPTCONN"), get))
    except (OSError, AttributeError):
        return None


def listening(env: Env, sock: socket.socket) -> bool:
    """``is_listening``, False where the platform cannot say."""
    return bool(is_listening(env, sock))


def datagrams_dropped(env: Env, sock: socket.socket) -> int | None:
    """Datagrams that the kernel dropped since the receive queue was full: the last word of SO_MEMINFO (since Linux 4.12).

    None where it cannot be told.
    """
    if not LINUX:
        return None
    fd = sock.fileno()
    get = lambda: sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)
    try:
        raw = observed(env, "getsockopt", fd, lambda: (fd, "SOL_SOCKET", "SO_MEMINFO"), get)
    except OSError:
        return None
    return int.from_bytes(raw[32:36], sys.byteorder) if len(raw) >= 36 else None


def answers(env: Env, family: int, type: int, address: Address) -> bool:
    """True if somebody listens there: the only sure way to tell a live Unix socket from a stale path is to connect."""
    sock = observed(
        env, "socket", None, lambda: (family, type), lambda: socket.socket(family, type), lambda new: new.fileno()
    )
    try:
        not_blocking(env, sock)
        connect(env, sock, address)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno != errno.ECONNREFUSED
    finally:
        close(env, sock)
    return True


def get_option(env: Env, sock: socket.socket | int, option: SockOption) -> int | bytes:
    """getsockopt(2), raw: what ``option.decode`` takes.

    Args:
        env: who is told of it.
        sock: any socket, or the descriptor of one: what Python believes of its family is of no interest.
        option: the row. Whether reading it changes anything (``option.reading``) is the caller's business.

    Raises:
        OSError: the kernel's refusal; ENOPROTOOPT too where this platform lacks the option, or it cannot be read.
    """
    fd = sock if isinstance(sock, int) else sock.fileno()
    level, number = option.level_number, option.number
    if level is None or number is None or not option.readable:
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
    get: Callable[[], int | bytes] = lambda: _raw_option(sock, fd, option, level, number)
    return observed(env, "getsockopt", fd, lambda: (fd, option.level, option.name), get)


def _raw_option(sock: socket.socket | int, fd: int, option: SockOption, level: int, number: int) -> int | bytes:
    kind = option.kind
    if kind.given is not None:
        from sockkit import libc

        raw, length = libc.getsockopt(fd, level, number, kind.given, kind.size, kind.length)
        return bytes(raw[: kind.uncounted + length * (kind.size // kind.length if kind.length else 1)])
    if not isinstance(sock, int) and not kind.sizes and sock.family != AF_VSOCK:
        return sock.getsockopt(level, number, kind.size)
    plain = _disguised(fd)
    try:
        family = plain.getsockopt(socket.SOL_SOCKET, SO_DOMAIN) if kind.sizes and SO_DOMAIN is not None else -1
        return plain.getsockopt(level, number, option.read_size(family))
    finally:
        plain.detach()


def pending_error(env: Env, sock: socket.socket) -> OSError | None:
    """SO_ERROR, which reading clears: only for sockets that are ours."""
    fd = sock.fileno()
    get = lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    number = observed(env, "getsockopt", fd, lambda: (fd, "SOL_SOCKET", "SO_ERROR"), get)
    return OSError(number, os.strerror(number)) if number else None


def _queue(env: Env, fd: int, name: str, request: int) -> int | None:
    if fcntl is None:
        return None
    get = lambda: int.from_bytes(fcntl.ioctl(fd, request, b"\0\0\0\0"), sys.byteorder)
    try:
        return observed(env, "ioctl", fd, lambda: (fd, name), get)
    except OSError:
        return None


def send_queue(env: Env, sock: socket.socket) -> int | None:
    """Bytes that the peer's kernel (TCP) or the peer (Unix) has not taken yet: SIOCOUTQ, tcp(7), unix(7). None: unknown."""
    if not LINUX:
        return None
    count = _queue(env, sock.fileno(), "SIOCOUTQ", SIOCOUTQ)
    if count is not None and sock.family in ROOM_LEFT:
        return max(0, sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - count)
    return count


def receive_queue(env: Env, sock: socket.socket) -> int | None:
    """Bytes that wait to be received: FIONREAD (on UDP, the size of the next datagram). None: unknown."""
    return _queue(env, sock.fileno(), "FIONREAD", FIONREAD) if LINUX else None


def pipe_queue(env: Env, fd: int) -> int | None:
    """Bytes in a pipe that nobody has read yet, by either of its ends: FIONREAD, pipe(7). None: unknown."""
    return _queue(env, fd, "FIONREAD", FIONREAD) if LINUX else None


# ---- data: functions that are chosen once for a conversation


def was_cut(size: int, room: int) -> bool:
    """True if a message of ``size`` did not fit. Where MSG_TRUNC does not tell the true length, filling the room counts."""
    return size > room or (size == room and not TRUNC)


Read = Callable[[memoryview], int]
"""Fills the front of a buffer; returns how much. Raises BlockingIOError where nothing is there yet."""
Write = Callable[["memoryview | bytes"], int]
"""Hands over the front of a buffer; returns how much of it. Raises BlockingIOError where nothing fits now."""


def _watched(env: Env, name: str, fd: int, call: Callable[[Any], int]) -> Callable[[Any], int]:
    if not env.interest & Interest.CALLS:
        return call
    return lambda data: observed(env, name, fd, lambda: (fd, len(data)), lambda: call(data), None, (BlockingIOError,))


def receiver(env: Env, sock: socket.socket) -> Read:
    """recv(2) into a buffer, never blocking. 0 is the end of a stream, or an empty message."""
    if sock.gettimeout() == 0 and not env.interest & Interest.CALLS:
        return sock.recv_into
    receive_into, flags = sock.recv_into, DONTWAIT
    return _watched(env, "recv", sock.fileno(), lambda buffer: receive_into(buffer, 0, flags))


def peeker(env: Env, sock: socket.socket) -> Read:
    """recv(2) with MSG_PEEK: the same, and what was read stays to be received again."""
    receive_into, flags, fd = sock.recv_into, DONTWAIT | socket.MSG_PEEK, sock.fileno()

    def peek(buffer: memoryview) -> int:
        arguments: Callable[[], tuple[object, ...]] = lambda: (fd, len(buffer), "MSG_PEEK")
        return observed(env, "recv", fd, arguments, lambda: receive_into(buffer, 0, flags), quiet=(BlockingIOError,))

    return peek


def _trunc(sock: socket.socket) -> int:
    """MSG_TRUNC, where the family has it: J1939 refuses flags that it does not know (net/can/j1939/socket.c), and LLC takes
    the message without copying it (net/llc/af_llc.c). No frame of theirs is larger than our buffer."""
    return 0 if sock.family in NO_TRUNC else TRUNC


def message_receiver(env: Env, sock: socket.socket) -> Read:
    """recv(2) with MSG_TRUNC: the true length of the message, which may be more than the buffer took (recv(2)).

    Elsewhere than on Linux the flag does not do that: there a message that fills the buffer counts as cut.
    """
    flags = DONTWAIT | _trunc(sock)
    receive_into = sock.recv_into
    return _watched(env, "recv", sock.fileno(), lambda buffer: receive_into(buffer, 0, flags))


class Beside:
    """Receives messages together with what the kernel says beside each: recvmsg(2).

    Attributes:
        text: … beside the last one, in words, or None.
        piece: size of the datagrams that the kernel made one of (UDP_GRO), or None.
    """

    def __init__(self, env: Env, sock: socket.socket, notify: Callable[[str], None], *, senders: bool = False) -> None:
        """
        Args:
            notify: is told of what comes in a message's place: what happened to an SCTP association.
            senders: messages may come from anybody: say from whom.
        """
        from sockkit import ancillary

        self.text: str | None = None
        self.piece: int | None = None
        self._env, self._sock, self._notify, self._senders = env, sock, notify, senders
        self._words, self._notification = ancillary.words, ancillary.notification
        self._flags = DONTWAIT | _trunc(sock)
        # On a Unix socket there is room for the credentials alone, which come first (net/core/scm.c): descriptors that a
        # peer sends unasked would become ours, and with no room the kernel drops them.
        self._room = socket.CMSG_SPACE(12) if sock.family == 1 else 1024

    def receive_from(self, buffer: memoryview) -> tuple[int, Address]:
        """(True length, sender's address). BlockingIOError where there is nothing, or it was a notification."""
        env, sock = self._env, self._sock
        fd = sock.fileno()

        def show(result: tuple[int, list[tuple[int, int, bytes]], int, Address]) -> object:
            return f"{result[0]}, {self._words(sock.family, result[2], result[1]) or 'nothing beside'}"

        call = lambda: sock.recvmsg_into([buffer], self._room, self._flags)
        size, control, flags, address = observed(
            env, "recvmsg", fd, lambda: (fd, len(buffer)), call, show, (BlockingIOError,)
        )
        if flags & NOTIFICATION:
            self._notify(self._notification(bytes(buffer[:size])))
            raise BlockingIOError
        self.text = self._words(sock.family, flags, control)
        gro = [data for level, kind, data in control if (level, kind) == UDP_GRO]
        self.piece = int.from_bytes(gro[0], sys.byteorder) if gro else None
        return size, address

    def receive(self, buffer: memoryview) -> int:
        """The same where the peer is known, or told in ``text``."""
        size, address = self.receive_from(buffer)
        if self._senders:
            sender = f"from {format_address(self._sock.family, address)}"
            self.text = f"{sender}, {self.text}" if self.text else sender
        return size


NOTIFICATION = 0x8000
"""MSG_NOTIFICATION, linux/sctp.h."""
SCTP = 132
UDP_GRO = (17, 104)


def _passes_credentials(env: Env, sock: socket.socket) -> bool:
    """SO_PASSCRED, unix(7): who sent a message comes with it."""
    number = getattr(socket, "SO_PASSCRED", None)
    if number is None:
        return False
    fd = sock.fileno()
    get = lambda: sock.getsockopt(socket.SOL_SOCKET, number)
    return bool(observed(env, "getsockopt", fd, lambda: (fd, "SOL_SOCKET", "SO_PASSCRED"), get))


def has_beside(env: Env, sock: socket.socket, asked: bool) -> bool:
    """Whether a message of this socket comes with more than itself that somebody wants to see.

    Records end (SEQPACKET), CAN frames tell where they are from, SCTP tells events; of other protocols the kernel says
    nothing that no option asked for; of UNIX, credentials (SO_PASSCRED).

    Args:
        asked: options were set.
    """
    if sock.family == 1:
        return asked and bool(env.interest & Interest.DATA) and _passes_credentials(env, sock)
    if sock.family == 0 or not hasattr(sock, "recvmsg_into") or not _python_reads(sock):
        return False
    if sock.proto == SCTP:
        return True
    return bool(env.interest & Interest.DATA) and (asked or sock.family == 29 or base_type(sock.type) == 5)


def rights_receiver(env: Env, sock: socket.socket, came: Callable[[list[int], bool], None], *, messages: bool) -> Read:
    """recvmsg(2): as ``receiver`` or ``message_receiver``, and the descriptors that come along are ours (SCM_RIGHTS, unix(7)).

    Args:
        came: is given them, close-on-exec, and whether there were more than this process may have.
    """
    flags = DONTWAIT | getattr(socket, "MSG_CMSG_CLOEXEC", 0) | (_trunc(sock) if messages else 0)
    room = socket.CMSG_SPACE(253 * 4) + 4 * socket.CMSG_SPACE(12)  # credentials, a label … may come first
    receive = sock.recvmsg_into

    def read(buffer: memoryview) -> int:
        size, ancillary, told, _ = receive([buffer], room, flags)
        fds: list[int] = []
        for level, type, data in ancillary:
            if (level, type) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = len(data) - len(data) % 4
                fds += [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, whole, 4)]
        if fds or told & socket.MSG_CTRUNC:
            came(fds, bool(told & socket.MSG_CTRUNC))
        return size

    return _watched(env, "recvmsg", sock.fileno(), read)


def rights_sender(env: Env, sock: socket.socket, fds: tuple[int, ...]) -> Write:
    """sendmsg(2), never blocking, with descriptors for the peer (SCM_RIGHTS, unix(7))."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds))]
    return _watched(env, "sendmsg", sock.fileno(), lambda data: sock.sendmsg([data], rights, DONTWAIT))


def sender(env: Env, sock: socket.socket, destination: Address = None) -> Write:
    """send(2), never blocking; sendto(2) where the address goes with every message."""
    if destination is not None:
        by_bytes = isinstance(destination, Sockaddr)
        send_to = partial(_by_bytes("sendto"), sock.fileno()) if by_bytes else sock.sendto
        return _watched(env, "sendto", sock.fileno(), lambda data: send_to(data, DONTWAIT, destination))
    if sock.gettimeout() == 0 and not env.interest & Interest.CALLS:
        return sock.send
    send, flags = sock.send, DONTWAIT
    return _watched(env, "send", sock.fileno(), lambda data: send(data, flags))


def _python_reads(sock: socket.socket) -> bool:
    """Whether Python has a form for the addresses of this socket; asking costs no more than one getsockname(2)."""
    try:
        sock.getsockname()
    except OSError as error:
        return error.errno is not None
    return True


def more_sender(env: Env, sock: socket.socket) -> Write:
    """send(2) with MSG_MORE: what follows belongs to it (Linux)."""
    send, flags = sock.send, DONTWAIT | int(getattr(socket, "MSG_MORE", 0))
    return _watched(env, "send", sock.fileno(), lambda data: send(data, flags))


def from_receiver(env: Env, sock: socket.socket) -> Callable[[memoryview], tuple[int, Address]]:
    """recvfrom(2) with MSG_TRUNC: (true length, sender's address); see ``message_receiver``."""
    flags = DONTWAIT | _trunc(sock)
    fd = sock.fileno()
    receive_from: Callable[[Any, int, int], tuple[int, Address]] = sock.recvfrom_into
    if not _python_reads(sock):
        by_bytes = _by_bytes("recvfrom_into")

        def receive_by_bytes(buffer: memoryview, size: int, flags: int) -> tuple[int, Address]:
            size, address = by_bytes(fd, buffer, flags)
            return size, Sockaddr(address)

        receive_from = receive_by_bytes

    if not env.interest & Interest.CALLS:
        return lambda buffer: receive_from(buffer, 0, flags)

    def show(result: tuple[int, Address]) -> object:
        return f"{result[0]}, {format_address(sock.family, result[1])}"

    def receive(buffer: memoryview) -> tuple[int, Address]:
        call: Callable[[], tuple[int, Address]] = lambda: receive_from(buffer, 0, flags)
        return observed(env, "recvfrom", fd, lambda: (fd, len(buffer)), call, show, (BlockingIOError,))

    return receive


def to_sender(env: Env, sock: socket.socket) -> Callable[[memoryview | bytes, Address], int]:
    """sendto(2), never blocking."""
    fd, flags = sock.fileno(), DONTWAIT
    send_to = sock.sendto if _python_reads(sock) else partial(_by_bytes("sendto"), fd)
    if not env.interest & Interest.CALLS:
        return lambda data, address: send_to(data, flags, address)

    def watched(data: memoryview | bytes, address: Address) -> int:
        def arguments() -> tuple[object, ...]:
            return (fd, len(data), format_address(sock.family, address))

        return observed(env, "sendto", fd, arguments, lambda: send_to(data, flags, address))

    return watched


def send_urgent(env: Env, sock: socket.socket, data: bytes) -> int:
    """send(2) with MSG_OOB: over TCP only the last byte of ``data`` is urgent (tcp(7))."""
    fd = sock.fileno()
    flags = socket.MSG_OOB | DONTWAIT
    return observed(env, "send", fd, lambda: (fd, len(data), "MSG_OOB"), lambda: sock.send(data, flags))


def receive_urgent(env: Env, sock: socket.socket) -> bytes:
    """recv(2) with MSG_OOB: the urgent byte. Raises OSError EINVAL where none waits, or it was read before."""
    fd = sock.fileno()
    return observed(env, "recv", fd, lambda: (fd, 1, "MSG_OOB"), lambda: sock.recv(1, socket.MSG_OOB | DONTWAIT))


def file_reader(env: Env, fd: int) -> Read:
    """read(2) from a file, pipe or terminal."""
    if not hasattr(os, "readv"):  # Windows

        def read(buffer: memoryview) -> int:
            data = os.read(fd, len(buffer))
            buffer[: len(data)] = data
            return len(data)

        return _watched(env, "read", fd, read)
    readv = os.readv
    return _watched(env, "read", fd, lambda buffer: readv(fd, (buffer,)))


def file_writer(env: Env, fd: int, most: int | None = None) -> Write:
    """write(2) to a file, pipe or terminal, at most ``most`` bytes at a time where that is given.

    A blocking pipe that poll calls writable still blocks a write of more than PIPE_BUF bytes (pipe(7)).
    """
    write = os.write
    if most is None:
        return _watched(env, "write", fd, lambda data: write(fd, data))
    return _watched(env, "write", fd, lambda data: write(fd, data[:most]))


def socket_writer(env: Env, fd: int) -> Write:
    """send(2) to a descriptor that was lent and is a socket (stdout under inetd): never blocking, never closed."""

    def write(data: memoryview | bytes) -> int:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)  # send(2) asks none of the three
        try:
            return sock.send(data, DONTWAIT)
        finally:
            sock.detach()

    return _watched(env, "send", fd, write)


# ---- moved by the kernel


class Pipe(NamedTuple):
    """A pipe of ours: two descriptors that never block, and how many bytes fit."""

    reading: int
    writing: int
    size: int


SPLICE: bool = LINUX and hasattr(os, "splice")
"""The kernel can move bytes between descriptors by itself: splice(2), and sendfile(2) as Linux has it."""
AT_ONCE: int = getattr(os, "SPLICE_F_NONBLOCK", 0)


def splice(env: Env, source: int, sink: int, size: int) -> int:
    """splice(2): at most ``size`` bytes, one end being a pipe. 0 does not mean that the source has ended.

    Raises:
        BlockingIOError: one of the two is not ready. OSError: EINVAL where the kernel has no way between them.
    """
    if not env.interest & Interest.CALLS:
        return os.splice(source, sink, size, flags=AT_ONCE)
    call = lambda: os.splice(source, sink, size, flags=AT_ONCE)
    return observed(env, "splice", source, lambda: (source, sink, size), call, None, (BlockingIOError,))


def splicer(env: Env, source: int, sink: int) -> Callable[[int], int]:
    """``splice`` between two descriptors, chosen once."""
    if env.interest & Interest.CALLS:
        return lambda size: splice(env, source, sink, size)
    return lambda size: os.splice(source, sink, size, flags=AT_ONCE)


def file_sender(env: Env, source: int, sink: int) -> Callable[[int], int]:
    """sendfile(2) from where the regular file ``source`` stands to a socket. 0 at what was its end when asked.

    No more is asked for than the file holds: of a larger count the kernel keeps the last segment back for what may
    follow (MSG_MORE, fs/splice.c).
    """

    def send(most: int) -> int:
        size = min(most, os.fstat(source).st_size - os.lseek(source, 0, os.SEEK_CUR))
        if size <= 0:
            return 0
        call = lambda: os.sendfile(sink, source, None, size)  # None: from the file's own offset, which moves on
        return observed(env, "sendfile", sink, lambda: (sink, source, size), call, None, (BlockingIOError,))

    return send


def pipe(env: Env, size: int) -> Pipe:
    """pipe2(2), then F_SETPIPE_SZ (fcntl(2)) as far as this user may; ``Pipe.size`` is what came of it.

    Raises:
        OSError: EMFILE, ENFILE.
    """
    reading, writing = observed(env, "pipe2", None, lambda: (), lambda: os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
    resize = lambda: fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size)
    try:
        got = observed(env, "fcntl", writing, lambda: (writing, "F_SETPIPE_SZ", size), resize)
    except OSError:  # EPERM: this user's pipes hold much already
        got = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    return Pipe(reading, writing, got)


def empty(env: Env, pipe: Pipe, size: int) -> bytes:
    """Read out of a pipe of ours the ``size`` bytes that it holds."""
    read = lambda: os.read(pipe.reading, size)
    return observed(env, "read", pipe.reading, lambda: (pipe.reading, size), read, len)


def close_pipe(env: Env, pipe: Pipe) -> None:
    """close(2), both ends."""
    for fd in (pipe.reading, pipe.writing):
        observed(env, "close", fd, lambda fd=fd: (fd,), lambda fd=fd: os.close(fd))  # type: ignore[misc]


# ---- surroundings


def notify(env: Env, path: str, message: bytes) -> None:
    """One datagram to a service manager's socket (sd_notify(3)). Its absence is not our failure."""
    address: str | bytes = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        fd = sock.fileno()
        observed(env, "sendto", fd, lambda: (fd, message, path), lambda: sock.sendto(message, address))
