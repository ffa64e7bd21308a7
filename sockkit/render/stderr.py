"""Where the story goes: never waited for, so that whoever does not read it does not hold up the flow.

What does not fit waits here, in order, and flows as soon as somebody reads: a loop that runs is told when to look. Of lines about data
there may wait ``ROOM`` bytes, of all together ``MOST``: a server whose stderr nobody reads for a week must not grow for it. What comes
then is dropped and counted, and the number is said when there is room again.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable

from sockkit.stdio import PIPE_BUF, reopened, waited_for

ROOM = 1 << 20
"""Bytes that may wait before lines about data are dropped …"""
MOST = 2 << 20
"""… and before any is: states, errors, ends."""
PATIENCE = 0.5
"""Seconds without progress that are waited where every line was asked for, and at the end of a run."""


class Stderr:
    """The descriptor that was lent for it, without changing it.

    Args:
        patience: seconds to wait, again and again as long as something is read, before a line is dropped.
        dropped: makes the line that says how many were.
    """

    def __init__(self, fd: int, dropped: Callable[[int], bytes], *, patience: float = 0.0) -> None:
        self._lent = fd
        self._dropped = dropped
        self._patience = patience
        self._gave_up = False
        self._waiting: deque[memoryview] = deque()
        self._size = 0
        self._count = 0
        self._gone = False
        self._opened: int | None = None
        self._fd: int | None = None
        self._most: int | None = None
        self._ring: Callable[[int], None] | None = None
        self._rung = False

    def attach(self, ring: Callable[[int], None] | None) -> None:
        """See ``events.Backlog``."""
        self._ring = ring
        self._rung = False
        self._call()

    def _call(self) -> None:
        if self._waiting and not self._rung and self._ring is not None and self._fd is not None:
            self._rung = True
            self._ring(self._fd)

    def flow(self) -> bool:
        """See ``events.Backlog``."""
        self._drain()
        self._say_dropped()
        self._drain()
        self._rung = bool(self._waiting)
        return not self._rung

    def _open(self) -> int:
        """At the first line: most runs have none."""
        try:
            self._opened = reopened(self._lent)
        except OSError:
            self._most = PIPE_BUF  # poll's "writable" promises no more
        self._fd = self._lent if self._opened is None else self._opened
        if not waited_for(self._lent):
            self._patience = -1.0  # a file: it takes everything at once
        return self._fd

    def write(self, line: bytes, *, droppable: bool) -> None:
        """One or several whole lines. ``droppable``: they may be dropped if nobody reads."""
        if self._gone:
            return
        if self._fd is not None and not self._waiting and not self._count and self._most is None:
            # As nearly always: somebody reads, nothing waits.
            try:
                sent = os.write(self._fd, line)
            except OSError:
                sent = 0  # below it is asked again, and what was refused has its answer
            if sent == len(line):
                self._gave_up = False
                return
            line = line[sent:]
        if self._waiting:
            self._drain()
        room = ROOM if droppable else MOST
        if self._size + len(line) > room and self._waiting:
            self._wait()
            if self._size + len(line) > room and self._waiting:
                self._count += line.count(b"\n")
                return
        self._say_dropped()
        self._add(line)
        self._drain()
        self._call()

    def _say_dropped(self) -> None:
        if self._count and self._size < ROOM // 2:
            count, self._count = self._count, 0
            self._add(self._dropped(count))

    def _add(self, line: bytes) -> None:
        self._waiting.append(memoryview(line))
        self._size += len(line)

    def _drain(self) -> bool:
        """Hand over what is taken now. True if something was."""
        fd = self._open() if self._fd is None else self._fd
        waiting, moved = self._waiting, False
        while waiting:
            line = waiting[0]
            try:
                if self._most is not None and not select.select([], [fd], [], 0)[1]:
                    return moved
                sent = os.write(fd, line[: self._most])
            except BlockingIOError:
                return moved
            except OSError:  # nobody can read it any more, or the disk is full: the payload still goes its way
                self._gone = True
                waiting.clear()
                self._size = 0
                return True
            moved = True
            self._gave_up = False
            self._size -= sent
            if sent == len(line):
                waiting.popleft()
            else:
                waiting[0] = line[sent:]
        return moved

    def _wait(self, patience: float | None = None) -> None:
        """Wait until half of the room is free, as long as there is progress."""
        patience = self._patience if patience is None else patience
        fd = self._fd
        while self._waiting and self._size > ROOM // 2 and not self._gave_up and patience > 0 and fd is not None:
            if not select.select([], [fd], [], patience)[1] or not self._drain():
                self._gave_up = True  # until something is read again, nobody is waited for

    def close(self) -> None:
        """The end of a run: what waits still has its chance, for as long as it is read."""
        fd = self._fd
        self._say_dropped()
        while self._waiting and fd is not None and select.select([], [fd], [], PATIENCE)[1] and self._drain():
            self._say_dropped()
        if self._opened is not None:
            os.close(self._opened)
            self._opened = self._fd = None
