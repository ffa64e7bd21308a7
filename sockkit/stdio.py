"""The standard streams as they were lent to us: read and written without changing them.

O_NONBLOCK belongs to the open file and so also to the shell that lent it; a pipe or a terminal that we open anew through
/proc has flags of its own. Where that is not possible (no /proc, no permission), writes to a pipe are cut to what poll's
"writable" promises.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sockkit import syscalls
    from sockkit.events import Env

PIPE_BUF: int = getattr(select, "PIPE_BUF", 512)


class LocalEnd(NamedTuple):
    """One of our two ends.

    Attributes:
        fd: what to wait on.
        read, write: one of them; see ``syscalls.Read`` and ``Write``.
        terminal: a person sits there.
        always: a regular file or the like, which is never waited for.
        socket: it is one, which may have been lent as a blocking one.
        opened: the descriptor to close afterwards, or None if nothing was opened.
        name: how it is called where it fails.
        finish: tells it that no more will be written; None where an end is not passed on (stdout).
        last: when it has ended as a source, the conversation is over.
        closing: gives back more than a descriptor; see ``close``.
        gone: whoever reads it may stop when they have seen enough; called then, with the descriptor still open, it says how
            much of what was written they have not read. None: that is a failure.
    """

    fd: int
    read: syscalls.Read | None
    write: syscalls.Write | None
    terminal: bool
    always: bool
    socket: bool
    opened: int | None
    name: str = ""
    finish: Callable[[], None] | None = None
    last: bool = False
    closing: Callable[[], bool | None] | None = None
    gone: Callable[[], int] | None = None

    def close(self) -> bool:
        """Give back what was opened; the descriptor that was lent stays open. True if something was lost, which was said."""
        if self.closing is not None:
            return bool(self.closing())
        if self.opened is not None:
            os.close(self.opened)
        return False


def reserve() -> None:
    """Open /dev/null on whichever of the descriptors 0 to 2 are closed, so that no socket ever becomes one of them."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return
        os.set_inheritable(fd, True)


def same_terminal(one: int, other: int) -> bool:
    """True if both are the same terminal."""
    try:
        if not (os.isatty(one) and os.isatty(other)):
            return False
        return os.path.sameopenfile(one, other) or os.fstat(one).st_rdev == os.fstat(other).st_rdev
    except OSError:
        return False


def waited_for(fd: int) -> bool:
    """True for what may have to be waited for: a pipe, a socket, a terminal; not for a file."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and os.isatty(fd))


def reopened(fd: int) -> int | None:
    """A pipe or terminal opened anew for writing, so that its O_NONBLOCK is ours alone. None: there is no need to.

    Raises:
        OSError: it cannot be opened: no /proc, another user's.
    """
    if not waited_for(fd) or stat.S_ISSOCK(os.fstat(fd).st_mode):
        return None
    if not hasattr(os, "O_NONBLOCK") or not os.get_blocking(fd):
        return None
    return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def open_input(env: Env) -> LocalEnd:
    """Our input. Raises OSError if it is no open descriptor."""
    from sockkit import syscalls  # not before a conversation begins: `--version` needs no socket

    fd = env.stdin
    read = syscalls.file_reader(env, fd)
    return LocalEnd(fd, read, None, os.isatty(fd), not waited_for(fd), stat.S_ISSOCK(os.fstat(fd).st_mode), None)


def open_file(env: Env, path: str) -> LocalEnd:
    """A file to be sent. It may be one that is waited for: /dev/tty, a named pipe.

    Raises:
        OSError: it cannot be opened, or is a directory.
    """
    from sockkit import syscalls

    fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    read = syscalls.file_reader(env, fd)
    return LocalEnd(fd, read, None, os.isatty(fd), not waited_for(fd), False, fd, path)


def open_text(texts: Sequence[bytes]) -> LocalEnd:
    """Texts to be sent, one after the other: each read gives one, or as much of it as there is room for."""
    waiting = deque(texts)

    def read(buffer: memoryview) -> int:
        if not waiting:
            return 0
        text = waiting.popleft()
        size = min(len(text), len(buffer))
        buffer[:size] = text[:size]
        if size < len(text):
            waiting.appendleft(text[size:])
        return size

    fd = os.open(os.devnull, os.O_RDONLY)  # what is always ready
    return LocalEnd(fd, read, None, False, True, False, fd, "the text of --send")


def open_output(env: Env) -> LocalEnd:
    """Our output, made so that a write never blocks where the system can do that."""
    from sockkit import syscalls

    fd = env.stdout
    mode = os.fstat(fd).st_mode
    terminal = os.isatty(fd)
    if stat.S_ISSOCK(mode) and syscalls.DONTWAIT:
        return LocalEnd(fd, None, syscalls.socket_writer(env, fd), False, False, True, None)
    if stat.S_ISFIFO(mode) or terminal:
        try:
            opened = reopened(fd)
        except OSError:
            return LocalEnd(fd, None, syscalls.file_writer(env, fd, PIPE_BUF), terminal, False, False, None)
        if opened is not None:
            return LocalEnd(opened, None, syscalls.file_writer(env, opened), terminal, False, False, opened)
    return LocalEnd(fd, None, syscalls.file_writer(env, fd), terminal, not waited_for(fd), stat.S_ISSOCK(mode), None)
