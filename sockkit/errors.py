"""Our exceptions, and the exit codes that they become."""

from __future__ import annotations

import errno
from enum import IntEnum


class Exit(IntEnum):
    """Exit status, one table for all four commands (docs/exit-codes.md).

    A reader of stdout that went away and a signal are not in it: they end the process as that signal would.
    """

    OK = 0
    """Both directions ended in order and everything was handed over; the socket was made; the report is whole."""
    FAILED = 1
    """The system or the peer said no: refused, reset, timed out, data cut short, local output failed."""
    USAGE = 2
    """The command line asked for something that cannot be."""


class SockkitError(Exception):
    """Base of everything that sockkit raises on purpose.

    Attributes:
        hint: what to try, one line without a final full stop, or None.
    """

    exit = Exit.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(SockkitError, ValueError):
    """Bad input. The message says what is wrong and what would be right; exit status 2.

    Attributes:
        option: the option or argument at fault as it is typed (``--proto``, ``PORT``), or None.
        cause: the exception that Python itself raises for this input, or None. It is shown verbatim.
    """

    exit = Exit.USAGE

    def __init__(
        self, message: str, *, option: str | None = None, hint: str | None = None, cause: BaseException | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.option = option
        self.cause = cause


class SystemRefusal(SockkitError):
    """The kernel or the peer said no. Always raised ``from`` the original exception, whose errno it keeps.

    Attributes:
        operation: what was being done, in words: ``connect to 127.0.0.1:1``.
        error: the original exception.
    """

    def __init__(self, operation: str, error: Exception, *, hint: str | None = None) -> None:
        super().__init__(f"{operation}: {describe(error)}", hint=hint)
        self.operation = operation
        self.error = error


class OutputGone(Exception):
    """The reader of our output went away. The process ends as SIGPIPE would end it, without a word."""


class Signalled(Exception):
    """A signal ended the run, and all is cleaned up: the process ends as that signal would end it.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def errno_name(number: int | None) -> str | None:
    """``ECONNREFUSED`` for 111 (on Linux), or None for a number that this platform does not name.

    Where two names share a number, the one that the socket man pages use: ``errno.errorcode`` has ENOTSUP for EOPNOTSUPP.
    """
    if number is None:
        return None
    for name in ("EOPNOTSUPP", "EAGAIN"):
        if getattr(errno, name, None) == number:
            return name
    return errno.errorcode.get(number)


def describe(error: BaseException) -> str:
    """An exception as one line that keeps its errno: ``Connection refused [ECONNREFUSED 111]``.

    Exceptions without an errno (a Unix path that is too long is ``OSError('AF_UNIX path too long')``) keep their text.
    ``socket.gaierror`` numbers are not errnos: they are shown as the resolver's ``EAI_`` codes. Those of ``ssl`` are OpenSSL's
    own, which its text names.
    """
    number = getattr(error, "errno", None)
    if not isinstance(number, int) or type(error).__module__ == "ssl":
        return f"{error}" or type(error).__name__
    text = getattr(error, "strerror", None) or str(error)
    if type(error).__name__ == "gaierror":
        import socket

        names = [name for name in dir(socket) if name.startswith("EAI_") and getattr(socket, name) == number]
        return f"{text} [{names[0] if names else 'EAI'} {number}]"
    return f"{text} [{errno_name(number) or 'errno'} {number}]"
