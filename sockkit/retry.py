"""When to try again: which refusals may pass, and how long to wait between two attempts. Without any clock or socket.

The wait doubles from attempt to attempt up to a bound (exponential backoff), and each is up to a quarter shorter by chance:
clients that lost the same server do not all come back in the same moment.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable
from typing import NamedTuple

FIRST_DELAY = 1.0
"""Seconds before the second attempt."""
MOST_DELAY = 30.0
"""Seconds between two attempts, however many there were."""
SHORTEST = 0.01
"""Seconds: with less between two attempts nothing else would be done."""
LOOK_FIRST = 0.1
"""Seconds between two looks whether a port is open, at first …"""
LOOK_MOST = 1.0
"""… and later."""
STEADY = 10.0
"""Seconds that a connection has to live to prove that all is well again: after it the waits begin anew."""
JITTER = 0.25
"""The part of a wait that chance decides."""

PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *(
            "ECONNREFUSED",
            "ECONNRESET",
            "ECONNABORTED",
            "EPIPE",
            "ETIMEDOUT",
            "EHOSTUNREACH",
            "ENETUNREACH",
            "EHOSTDOWN",
        ),
        *("ENETDOWN", "ENETRESET", "ENOENT", "EAGAIN", "EINTR", "ENOBUFS", "EADDRINUSE"),
    )
    if hasattr(errno, name)
)
"""What may be over in a moment. ENOENT: a Unix path that is not there yet. EADDRINUSE: our own source port, in TIME_WAIT."""
UNKNOWN_NAME = frozenset(getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name))
"""There is no such name: a mistake in most cases, and with containers one that has not started yet."""


class Policy(NamedTuple):
    """How much patience was asked for.

    Attributes:
        attempts: how many in all; infinity: no bound.
        limit: seconds from the first to the last, or None.
        first, most: seconds between the first two attempts, and between any two at most.
        names: a name that is not known yet may become so.
    """

    attempts: float
    limit: float | None = None
    first: float = FIRST_DELAY
    most: float = MOST_DELAY
    names: bool = False


ONCE = Policy(1)


def passing(error: BaseException, *, names: bool = False) -> bool:
    """True if the same attempt may go well later.

    Args:
        error: an OSError by its errno; any other that says so itself, in an attribute ``passing``.
        names: see ``Policy``.
    """
    told: bool | None = getattr(error, "passing", None)
    if told is not None:
        return told
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN or (names and error.errno in UNKNOWN_NAME)
    return isinstance(error, OSError) and error.errno in PASSING


class Patience:
    """The attempts until there is a connection.

    Attributes:
        policy: what was asked for.
        attempt: number of the one that is under way, from 1; 0 before the first.
    """

    def __init__(self, policy: Policy, now: float, random: Callable[[], float], *, attempt: int = 1) -> None:
        """
        Args:
            now: seconds of any clock, always of the same.
            random: from 0 to below 1.
            attempt: 0 where a connection is gone, and the next attempt is the first.
        """
        self.policy = policy
        self.attempt = attempt
        self._begun = now
        self._random = random
        self._delay = min(policy.first, policy.most)

    def next(self, now: float) -> float | None:
        """Count one more attempt. Returns the seconds to wait before it; None: there is no further one."""
        left = self.left(now)
        if self.attempt >= self.policy.attempts or left == 0:
            return None
        self.attempt += 1
        delay = self._delay * (1 - JITTER * self._random())
        self._delay = min(self._delay * 2, self.policy.most)
        return delay if left is None else min(delay, left)

    def left(self, now: float) -> float | None:
        """Seconds until the limit, never below 0; None: there is no limit."""
        return None if self.policy.limit is None else max(0.0, self._begun + self.policy.limit - now)

    def elapsed(self, now: float) -> float:
        """Seconds since the first attempt, or since the connection was lost."""
        return now - self._begun

    @property
    def attempts(self) -> int | None:
        """How many there will be in all; None: as many as it takes."""
        return None if math.isinf(self.policy.attempts) else int(self.policy.attempts)
