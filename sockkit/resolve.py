"""Names to addresses, without waiting: getaddrinfo(3) in one daemon thread that wakes the loop by a pipe.

getaddrinfo knows no timeout (with a silent name server it takes ten seconds and more) and cannot be interrupted; so it
is left behind when time is up. This is the only thread.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, NamedTuple


class Resolved(NamedTuple):
    """One address that a name stands for, as ``socket.getaddrinfo`` gives it."""

    family: int
    address: Any


class Resolution:
    """A look-up under way.

    Attributes:
        fd: readable when it is over; None where it is over already: Windows, whose select(2) takes no pipes, has to wait.
    """

    def __init__(
        self, host: str, port: int, family: int | None, type: int, proto: int, *, numeric: bool = False
    ) -> None:
        """
        Args:
            host, port: port is checked by the caller: getaddrinfo wraps 65536 to 0 without a word (cpython#74896).
            family: restricts the answer; None for both IPv4 and IPv6.
            type, proto: as for ``socket.getaddrinfo``; they keep each address from coming once for every type.
            numeric: ask no name server (``-n``).
        """
        self.fd: int | None
        self.fd, self._done = os.pipe()
        self._answer: list[Resolved] | Exception = []
        flags = socket.AI_NUMERICHOST if numeric else 0
        if type not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            type = socket.SOCK_STREAM  # the addresses are the same, and others (SCTP's SEQPACKET) are EAI_SOCKTYPE

        def look_up() -> None:
            try:
                found = socket.getaddrinfo(host, port, family or socket.AF_UNSPEC, type, proto, flags)
                self._answer = interleaved(Resolved(int(row[0]), row[4]) for row in found)
            except Exception as error:
                self._answer = error
            finally:
                os.close(self._done)

        if sys.platform == "win32":
            look_up()
            os.close(self.fd)
            self.fd = None
            return
        try:
            threading.Thread(target=look_up, name="getaddrinfo", daemon=True).start()
        except RuntimeError as error:  # no thread can be had: pthread_create(3) gives EAGAIN and nothing else for that
            self._answer = OSError(errno.EAGAIN, str(error))
            os.close(self._done)

    def result(self) -> list[Resolved]:
        """What was found, once ``fd`` is readable.

        Raises:
            OSError: ``socket.gaierror`` in most cases. UnicodeError: a label that IDNA refuses.
        """
        if self.fd is not None:
            os.close(self.fd)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def interleaved(found: Iterable[Resolved]) -> list[Resolved]:
    """Addresses with their families taken in turn, each once, the resolver's first choice first (RFC 8305, 4)."""
    families: dict[int, list[Resolved]] = {}
    for row in dict.fromkeys(found):
        families.setdefault(row.family, []).append(row)
    return [row for turn in zip_longest(*families.values()) for row in turn if row is not None]
