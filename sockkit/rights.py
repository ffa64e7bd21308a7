"""Descriptors that travel with data over a Unix socket (SCM_RIGHTS, unix(7)): sent with the first bytes, told as they come.

What comes is a descriptor of our own for somebody else's open file. It is looked at, kept open for as long as the conversation
lasts, and closed; nothing is read from it, and nothing about it is changed.
"""

from __future__ import annotations

import os
import socket
import stat

from sockkit import names, syscalls
from sockkit.addresses import format_address
from sockkit.errors import describe
from sockkit.events import Descriptor, Direction, Env, Lost
from sockkit.spec import SocketSpec
from sockkit.text import escape

_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISCHR, "character device"),
    (stat.S_ISBLK, "block device"),
    (stat.S_ISLNK, "symbolic link"),
)


def what_is(env: Env, fd: int) -> str:
    """A descriptor in words: ``socket AF_INET SOCK_STREAM IPPROTO_TCP, 127.0.0.1:80, listening``, ``pipe``, ``file /etc/hosts``."""
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            return _socket(env, fd)
    except OSError as error:
        return describe(error)
    kind = next((name for test, name in _KINDS if test(mode)), "")
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        target = ""
    if not kind:
        return escape(target.removeprefix("anon_inode:").strip("[]"), backslash=False) or "no file"
    return f"{kind} {escape(target, backslash=False)}" if target.startswith("/") else kind


def _socket(env: Env, fd: int) -> str:
    sock = syscalls.make(env, SocketSpec(fileno=fd))
    try:
        family, type, proto = syscalls.identity(env, sock)
        words = [
            "socket",
            names.FAMILIES.name(family or 0) or str(family),
            names.TYPES.label(type or 0).partition(" (")[0],
        ]
        if proto:
            words.append(names.protocols(family or 0).name(proto) or str(proto))
        told = " ".join(words)
        for address, before in ((syscalls.local_address(env, sock), ""), (syscalls.peer_address(env, sock), "to ")):
            text = format_address(sock.family, address) if address else ""
            if text:
                told += f", {before}{text}"
        return f"{told}, listening" if syscalls.listening(env, sock) else told
    finally:
        sock.detach()


class Rights:
    """The descriptors of one conversation."""

    def __init__(self, env: Env, number: int, sock: socket.socket, sent: tuple[int, ...], *, taken: bool) -> None:
        """``sent``: go with the first bytes. ``taken``: those that come are taken and told; else the kernel drops them."""
        self.env = env
        self.number = number
        self.sock = sock
        self.waiting = sent
        self.taken = taken
        self.received: list[int] = []

    def reader(self, plain: syscalls.Read, *, messages: bool) -> syscalls.Read:
        """What reads from the socket."""
        return syscalls.rights_receiver(self.env, self.sock, self._came, messages=messages) if self.taken else plain

    def writer(self, plain: syscalls.Write) -> syscalls.Write:
        """What writes to it: the first bytes bring the descriptors."""
        if not self.waiting:
            return plain
        first = syscalls.rights_sender(self.env, self.sock, self.waiting)

        def write(data: memoryview | bytes) -> int:
            if not self.waiting:
                return plain(data)
            size = first(data)
            sent, self.waiting = self.waiting, ()
            for fd in sent:
                self._tell(Direction.SENT, fd)
            return size

        return write

    def _came(self, fds: list[int], cut: bool) -> None:
        self.received += fds
        for fd in fds:
            self._tell(Direction.RECEIVED, fd)
        if cut:
            self.env.observer(
                Lost(
                    self.env.clock(),
                    self.number,
                    0,
                    "descriptors that came with it: this process may have no more (ulimit -n)",
                )
            )

    def _tell(self, direction: Direction, fd: int) -> None:
        self.env.observer(Descriptor(self.env.clock(), self.number, direction, fd, what_is(self.env, fd)))

    def close(self) -> bool:
        """Close what came. True if what was to be sent was not: it travels with data, and there was none."""
        for fd in self.received:
            os.close(fd)
        self.received.clear()
        if self.waiting:
            text = f"{_list(self.waiting)} not sent: descriptors travel with data, and there was none"
            self.env.observer(Lost(self.env.clock(), self.number, 0, text))
        return bool(self.waiting)


def _list(fds: tuple[int, ...]) -> str:
    return f"fd {fds[0]} was" if len(fds) == 1 else f"fds {', '.join(map(str, fds))} were"
