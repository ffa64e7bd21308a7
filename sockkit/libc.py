"""System calls that Python lacks, by ctypes: the one place that loads it, and only where it is needed.

Each raises the OSError of its errno, and ENOSYS where this platform has no such call. Nothing is loaded on import.
"""

from __future__ import annotations

import errno
import os
import sys
from functools import cache
from typing import Any

_PIDFD_GETFD = 438
"""The same number on every Linux architecture but Alpha (548): include/uapi/asm-generic/unistd.h."""
CLONE_NEWNET = 0x40000000
"""The kind of namespace that ``setns`` is to find: a network one (namespaces(7))."""


@cache
def _library() -> Any:
    """The C library, its calls leaving errno where ctypes can read it.

    Raises:
        OSError: ENOSYS where there is none with system calls of Linux's.
    """
    if sys.platform != "linux":
        raise _missing()
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _missing() -> OSError:
    return OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _checked(result: int) -> int:
    """What a call returned, or the error that it left.

    Raises:
        OSError: it failed.
    """
    if result >= 0:
        return result
    import ctypes

    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A descriptor of our own for the open file that another process has as ``fd``; close it soon.

    As long as we hold it the file stays open: the FIN of a connection that its owner closes waits for us.

    Raises:
        OSError: EPERM without the right to trace that process (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS), EBADF where it
            has no such descriptor, ESRCH where it is gone, ENOSYS before Linux 5.6 and on other systems.

    Source: pidfd_getfd(2). It is close-on-exec.
    """
    import ctypes

    library = _library()
    numbers = (ctypes.c_long(_PIDFD_GETFD), ctypes.c_int(pidfd), ctypes.c_int(fd), ctypes.c_uint(0))
    return _checked(library.syscall(*numbers))


def setns(fd: int, kind: int) -> None:
    """Move this thread into the namespace that ``fd`` is open on (setns(2)). Python has it from 3.12 on.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN there and here, EINVAL for another kind of file.
    """
    given = getattr(os, "setns", None)
    if given is not None:
        given(fd, kind)
        return
    _checked(_library().setns(fd, kind))
