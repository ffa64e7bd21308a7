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
_PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNET = 0x40000000
"""The kind of namespace that ``setns`` is to find: a network one (namespaces(7))."""


@cache
def _library() -> Any:
    """The C library, its calls leaving errno where ctypes can read it.

    Raises:
        OSError: ENOSYS on Windows, whose sockets are no descriptors.
    """
    if sys.platform == "win32":
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
    if sys.platform != "linux":
        raise _missing()
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
    if sys.platform != "linux":
        raise _missing()
    _checked(_library().setns(fd, kind))


def be_subreaper() -> None:
    """Orphans among our descendants become our children, not those of process 1: PR_SET_CHILD_SUBREAPER, prctl(2), Linux 3.4.

    Raises:
        OSError: ENOSYS on other systems.
    """
    if sys.platform != "linux":
        raise _missing()
    _checked(_library().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def getsockopt(fd: int, level: int, number: int, given: bytes, size: int, length: int = 0) -> tuple[bytes, int]:
    """getsockopt(2) for options whose buffer the kernel reads before it answers: (the whole buffer, optlen as it came back).

    Python's own hands over a buffer that nobody cleared, of at most 1024 bytes.

    Args:
        given: the front of the buffer; beyond it is zero.
        size: bytes of the buffer.
        length: the optlen to hand over where the kernel does not count bytes (SO_GET_FILTER: instructions); 0: ``size``.

    Raises:
        OSError: the kernel's refusal, or ENOSYS on other systems.
    """
    library = _library()
    import ctypes

    buffer = ctypes.create_string_buffer(given, size)
    optlen = ctypes.c_uint(length or size)
    _checked(library.getsockopt(fd, level, number, buffer, ctypes.byref(optlen)))
    return buffer.raw, optlen.value


# ---- addresses that Python's ``socket`` has no form for: each a whole struct sockaddr, its family included


def bind(fd: int, address: bytes) -> None:
    """bind(2)."""
    _checked(_library().bind(fd, bytes(address), len(address)))


def connect(fd: int, address: bytes) -> None:
    """connect(2)."""
    _checked(_library().connect(fd, bytes(address), len(address)))


def accept(fd: int) -> tuple[int, bytes]:
    """accept(2): a new descriptor, close-on-exec, and the peer's address (empty where the kernel gives none)."""
    room, length = _room()
    new = _checked(_library().accept(fd, room, _pointer(length)))
    os.set_inheritable(new, False)  # accept4(2) does it in one call, and macOS has none
    return new, room.raw[: length.value]


def getsockname(fd: int) -> bytes:
    """getsockname(2)."""
    room, length = _room()
    _checked(_library().getsockname(fd, room, _pointer(length)))
    return bytes(room.raw[: length.value])


def getpeername(fd: int) -> bytes:
    """getpeername(2)."""
    room, length = _room()
    _checked(_library().getpeername(fd, room, _pointer(length)))
    return bytes(room.raw[: length.value])


def sendto(fd: int, data: bytes | memoryview, flags: int, address: bytes) -> int:
    """sendto(2): how much was sent."""
    return _checked(_library().sendto(fd, bytes(data), len(data), flags, bytes(address), len(address)))


def recvfrom_into(fd: int, buffer: memoryview, flags: int) -> tuple[int, bytes]:
    """recvfrom(2) into a writable buffer: what it returned, and the sender's address (empty where there is none)."""
    import ctypes

    room, length = _room()
    front = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    size = _checked(_library().recvfrom(fd, front, len(buffer), flags, room, _pointer(length)))
    return size, room.raw[: length.value]


def _room() -> tuple[Any, Any]:
    """Where the kernel puts an address, and the length of it: sizeof(struct sockaddr_storage) is 128."""
    import ctypes

    return ctypes.create_string_buffer(128), ctypes.c_uint(128)


def _pointer(number: Any) -> Any:
    import ctypes

    return ctypes.byref(number)
