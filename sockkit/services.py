"""What a server says by itself: the small services of the first RFCs, one row each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

Fill = Callable[[memoryview], int]
"""Fills the front of a buffer and returns how much; 0: that was all."""

LINE = 72
RING = bytes(range(32, 127))
"""The 95 printing characters of ASCII."""
SINCE_1900 = 2_208_988_800
"""Seconds from 1900 to 1970 (RFC 868)."""
QUOTES = (
    "Be liberal in what you show, and conservative in what you hide.",
    "A byte that nobody missed was still lost.",
    "What the kernel answers is the truth; what we asked is only a wish.",
    "An empty read is not always an end, and an end is not always empty.",
)


class Service(NamedTuple):
    """A service.

    Attributes:
        source: the RFC.
        stream: makes what a connection gets, piece by piece.
        datagram: makes what a datagram is answered with.
        endless: a connection is kept open until the client ends it.
        meaning: one line.
    """

    source: str
    stream: Callable[[], Fill]
    datagram: Callable[[], bytes]
    endless: bool
    meaning: str


def _lines() -> Fill:
    """The pattern that RFC 864 suggests: lines of 72 characters, each beginning one character later."""
    turned = RING + RING
    pattern = b"".join(turned[i : i + LINE] + b"\r\n" for i in range(len(RING)))
    at = 0

    def fill(buffer: memoryview) -> int:
        nonlocal at
        size = min(len(buffer), len(pattern) - at)
        buffer[:size] = pattern[at : at + size]
        at = (at + size) % len(pattern)
        return size

    return fill


def _once(make: Callable[[], bytes]) -> Callable[[], Fill]:
    def begin() -> Fill:
        left = make()

        def fill(buffer: memoryview) -> int:
            nonlocal left
            size = min(len(buffer), len(left))
            buffer[:size] = left[:size]
            left = left[size:]
            return size

        return fill

    return begin


def _characters() -> bytes:
    """A datagram of 0 to 512 characters (RFC 864), as many as the clock's microseconds say."""
    size = time.time_ns() // 1000 % 513
    return bytes(RING[i % len(RING)] for i in range(size))


def _daytime() -> bytes:
    return time.strftime("%A, %B %d, %Y %H:%M:%S-UTC\r\n", time.gmtime()).encode("ascii", "replace")


def _time() -> bytes:
    return (int(time.time()) + SINCE_1900 & 0xFFFFFFFF).to_bytes(4, "big")


def _quote() -> bytes:
    return QUOTES[int(time.time()) // 86400 % len(QUOTES)].encode() + b"\r\n"


SERVICES = {
    "chargen": Service("RFC 864", _lines, _characters, True, "characters without end"),
    "daytime": Service("RFC 867", _once(_daytime), _daytime, False, "the time as text, UTC"),
    "time": Service("RFC 868", _once(_time), _time, False, "the seconds since 1900, four bytes"),
    "qotd": Service("RFC 865", _once(_quote), _quote, False, "a quote of the day"),
}
"""By the name of the mode."""
