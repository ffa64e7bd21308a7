"""What is sent, line by line with a pause after each: ``--line-delay``.

A ``Pace`` stands between a source and its session. It reads ahead by one read and no more, so that a slow peer holds up the source as
ever; and nothing before it is asked for the first line.
"""

from __future__ import annotations

import os

from sockkit.events import Lost
from sockkit.loop import READ, Loop, Timer
from sockkit.stdio import LocalEnd

SIZE = 64 * 1024
"""Bytes of one read."""


class Pace:
    """
    Attributes:
        end: the source that gives line by line.
    """

    def __init__(self, loop: Loop, source: LocalEnd, seconds: float, *, pieces: bool = False) -> None:
        """
        Args:
            seconds: between the end of one line and the beginning of the next.
            pieces: each read of ``source`` is to be followed by a pause, whether or not it ends in a newline.
        """
        self._loop = loop
        self._source = source
        self._seconds = seconds
        self._pieces = pieces
        self._waiting = b""
        self._buffer = memoryview(bytearray(SIZE))
        self._ended = False
        self._error: OSError | None = None
        self._timer: Timer | None = None
        self._bell, self._ring = os.pipe()
        self._rung = False
        # Rung from the beginning: somebody has to ask for the first line.
        self._call()
        self.end = source._replace(fd=self._bell, read=self._read, always=False, socket=False, closing=self.close)

    def _call(self) -> None:
        if not self._rung:
            self._rung = True
            os.write(self._ring, b"\0")

    def _update(self) -> None:
        """Ring while there is something to give; watch the source while there is nothing."""
        over = self._ended or self._error is not None
        if self._due:
            self._call()
        elif self._rung:
            self._rung = False
            os.read(self._bell, 1)
        if self._waiting or over:
            self._loop.forget(self._source.fd)
        else:
            self._loop.watch(self._source.fd, READ, self._on_source)

    @property
    def _due(self) -> bool:
        """There is something to give now: a line after its pause, or the end, which needs none."""
        return self._timer is None if self._waiting else self._ended or self._error is not None

    def _on_source(self, mask: int) -> None:
        assert self._source.read is not None
        try:
            size = self._source.read(self._buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._error = error
        else:
            self._waiting = bytes(self._buffer[:size])
            self._ended = not size
        self._update()

    def _read(self, buffer: memoryview) -> int:
        """See ``syscalls.Read``."""
        if not self._due:
            self._update()
            raise BlockingIOError
        if not self._waiting:
            if self._error is not None:
                raise self._error
            return 0
        end = self._waiting.find(b"\n") + 1
        size = min(end or len(self._waiting), len(buffer))
        buffer[:size], self._waiting = self._waiting[:size], self._waiting[size:]
        if size == end or (self._pieces and not self._waiting):
            self._timer = self._loop.later(self._seconds, self._go_on)
        self._update()
        return size

    def _go_on(self) -> None:
        self._timer = None
        self._update()

    def close(self) -> bool:
        """Over. What was read and not handed on is said to be lost, and then it is True."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.forget(self._source.fd)
        if self._waiting:
            env = self._loop.env
            env.observer(Lost(env.clock(), 0, len(self._waiting), "read, and not sent before the end"))
        os.close(self._bell)
        os.close(self._ring)
        self._source.close()
        return bool(self._waiting)
