"""Network namespaces: a socket belongs to the one in which it was made, for as long as it lives (network_namespaces(7))."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sockkit import libc
from sockkit.errors import SystemRefusal, UsageError
from sockkit.text import quoted

HINTS = {
    errno.EPERM: "it takes CAP_SYS_ADMIN, here and in the user namespace that owns it: sudo sockkit …",
    errno.EINVAL: "that is no network namespace",
}


@contextmanager
def inside(where: str | None) -> Iterator[None]:
    """Run in another network namespace: a name as ``ip netns`` has it, a path, or a PID. None: in our own, where nothing is done.

    Only this thread is moved, and back again at the end.

    Raises:
        UsageError: there is no such namespace. SystemRefusal: we may not enter it.
    """
    if where is None:
        yield
        return
    if sys.platform != "linux":
        raise UsageError("only Linux has network namespaces", option="--netns")
    path = where if "/" in where else f"/proc/{where}/ns/net" if where.isdecimal() else f"/run/netns/{where}"
    operation = f"enter the network namespace {quoted(where)}"
    try:
        if not where:  # its path would be the folder of them all
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # whatever it is: a FIFO waits for nobody
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise UsageError(
                f"there is no network namespace {quoted(where)}: a name of `ip netns`, a path or a PID",
                option="--netns",
            ) from error
        raise SystemRefusal(operation, error, hint="it takes the rights of root: sudo sockkit …") from error
    try:
        try:
            libc.setns(home, libc.CLONE_NEWNET)  # changes nothing, and asks whether there is a way back
            libc.setns(target, libc.CLONE_NEWNET)
        except OSError as error:
            hint = HINTS.get(error.errno or 0)
            raise SystemRefusal(operation, error, hint=hint) from error
        try:
            yield
        finally:
            libc.setns(home, libc.CLONE_NEWNET)
    finally:
        os.close(target)
        os.close(home)
