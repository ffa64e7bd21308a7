"""A terminal at which a person types while others write: the peer's text to stdout, and the story.

The terminal gives each key at once while this lasts (termios(3)), and shows none by itself; signals such as Ctrl-C's stay the terminal's. What it was
before comes back at every end, and while the process is stopped (Ctrl-Z).
"""

from __future__ import annotations

import codecs
import errno
import os
import signal
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sockkit import stdio
from sockkit.errors import Signalled
from sockkit.events import Data, Env, Event, Lost
from sockkit.loop import READ, WRITE, Loop, Timer, polled
from sockkit.stdio import LocalEnd

with suppress(ImportError):  # Windows has none: nobody comes here (``EndpointPlan.console``)
    import termios

if TYPE_CHECKING:
    from sockkit.editing import Editor, Screen

PASTE_ON, PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
"""Bracketed paste: what is pasted is told from what is typed, so that a newline in it sends nothing."""
CLEAR = "\x1b[H\x1b[2J"
ROOM = 64 * 1024
"""Bytes of finished lines that may wait for the peer."""
PIECE = 4096
"""Bytes that are written to the terminal at once: what it takes when somebody reads."""
SOON = 0.02
"""Seconds after which the library is loaded, which takes ten times as long: what a peer says at once is shown before."""
ESCAPE = 0.1
"""Seconds after which an ESC is the key, not the beginning of another key's sequence."""


def find(env: Env) -> int | None:
    """The descriptor to write to, stdout or stderr, if it is the very terminal that stdin is, and can do what is needed.

    None where stdout is a pipe, too: whoever reads it may want the terminal for itself (a pager does).
    """
    if stdio.waited_for(env.stdout) and not os.isatty(env.stdout):
        return None
    if os.environ.get("TERM", "dumb") in ("", "dumb") or "utf" not in _charset():
        return None
    return next((fd for fd in (env.stdout, 2) if stdio.same_terminal(env.stdin, fd)), None)


def _charset() -> str:
    import locale

    return locale.getpreferredencoding(False).lower()


class Console:
    """One run at a terminal.

    Attributes:
        env: the surroundings with an observer that keeps the story and the typed line apart.
        source: the lines that were typed.
        sink: where the peer's text goes; None if stdout is not this terminal.
    """

    def __init__(self, env: Env, fd: int) -> None:
        """
        Args:
            fd: what ``find`` found.
        """
        self.env = env._replace(observer=self._observe)
        self._outer = env
        self._fd = fd
        self._loop: Loop | None = None
        self._before: list[Any] | None = None  # the terminal's modes; None: they are not changed now
        self._editor: Editor
        self._screen: Screen
        self._tail = ""  # of what was said before there was a screen: its last row
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._lines: deque[bytes] = deque()
        self._ended = False
        self._flushing: Timer | None = None
        self._showing = False
        self._resumed = False
        self._waiting = bytearray()
        self._held: deque[Event] = deque()
        self.source: LocalEnd | None = None
        self.sink: LocalEnd | None = None

    def start(self, loop: Loop) -> None:
        """Take the terminal over, soon. Raises OSError."""
        self._loop = loop
        self._out = stdio.open_output(self._outer._replace(stdout=self._fd))
        self._watched = os.dup(self._out.fd)  # the session has its own reasons to watch the other one
        self._bell, self._ring = os.pipe()
        self.source = LocalEnd(self._bell, self._read, None, True, False, False, None, closing=self.close)
        if self._fd == self.env.stdout:
            self.sink = self._out._replace(write=self._say, opened=None)
        self._rung = False
        self._handler = self._on_keys
        self._starting = loop.later(SOON, self._begin)

    def _begin(self) -> None:
        """Change the terminal's modes, and listen to its keys."""
        loop = self._loop
        assert loop is not None
        try:
            from sockkit.editing import Editor, Screen
        except ImportError:  # of a kind that we do not know: the terminal edits
            self._handler = self._on_lines
            self._update()
            return
        self._editor = Editor()
        self._screen = Screen(80, 24)
        for name, act in (
            ("SIGWINCH", self._resize),
            ("SIGTSTP", self._suspend),
            ("SIGCONT", self._continue),
        ):
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.on_signal(number, act)
        # What was typed before: whole lines, and perhaps the end of input, which the terminal knows only as long as it edits.
        while not self._ended and len(self._lines) < ROOM and polled(self.env.stdin, READ):
            self._on_lines(READ)
        self._resize()
        self._screen.adopt(self._tail)
        self._enter(self._screen.hide())
        if self._before is not None and polled(self.env.stdin, READ):
            self._on_keys(READ)
        self._update()

    def _on_lines(self, mask: int) -> None:
        line = os.read(self.env.stdin, 4096)
        if line:
            self._lines.append(line)
        else:
            self._ended = True
        if self._handler == self._on_lines:
            self._update()

    # ---- the terminal's modes

    def _enter(self, first: str = "") -> None:
        """Each key at once, and no echo; also again, after whoever had the terminal meanwhile."""
        fd = self.env.stdin
        try:
            if os.tcgetpgrp(fd) != os.getpgrp():
                return  # in the background: the next SIGCONT comes with the foreground
        except OSError:
            return
        now = termios.tcgetattr(fd)
        if self._before is None:
            self._before = list(now)
        modes = termios.tcgetattr(fd)
        modes[0] &= ~termios.INLCR & ~termios.IGNCR & ~termios.ISTRIP
        modes[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, modes)
        self._screen.forget()
        self._put(first + PASTE_ON + self._screen.show())

    def _restore(self) -> None:
        if self._before is None:
            return
        before, self._before = self._before, None
        try:
            termios.tcsetattr(self.env.stdin, termios.TCSANOW, before)
        except (OSError, termios.error):
            pass  # the terminal is gone

    def _suspend(self) -> None:
        assert self._loop is not None
        self._put(self._screen.hide() + PASTE_OFF)
        self._restore()
        self._loop.suspend()
        self._enter()
        self._resumed = True

    def _continue(self) -> None:
        """Stopped by whatever, and continued: the shell has had the terminal meanwhile."""
        if not self._resumed:
            self._enter()
        self._resumed = False

    def _resize(self) -> None:
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except OSError:
            return
        if columns >= 2 and rows >= 2:
            self._put(self._screen.resize(columns, rows))

    # ---- what is written

    def _put(self, text: str) -> None:
        if text:
            self._waiting += text.encode("utf-8", "backslashreplace")
            self._drain()

    def _drain(self, mask: int = 0) -> None:
        assert self._loop is not None
        try:
            while self._waiting:
                del self._waiting[: os.write(self._out.fd, self._waiting[:PIECE])]
        except BlockingIOError:
            self._loop.watch(self._watched, WRITE, self._drain)
            return
        except OSError:
            self._waiting.clear()  # the terminal is gone, of which the session is told
        self._loop.forget(self._watched)
        held, self._held = self._held, deque()
        for event in held:
            self._observe(event)

    def _later(self) -> None:
        """What is still to change is drawn once, however much happens before the loop's next turn."""
        if not self._showing and self._loop is not None:
            self._showing = True
            self._loop.later(0, self._show)

    def _show(self) -> None:
        self._showing = False
        if self._before is not None:
            self._put(self._screen.show())

    def _say(self, data: bytes | memoryview) -> int:
        """See ``syscalls.Write``: text of the peer's, made harmless. No more is taken than the terminal takes."""
        self._drain()
        text, taken = bytes(data), 0
        while taken < len(text) and not self._waiting:
            end = min(taken + PIECE, len(text))
            while end < len(text) and text[end] & 0xC0 == 0x80:  # a character is not cut
                end += 1
            self._say_piece(text[taken:end])
            taken = end
        if not taken and text:
            raise BlockingIOError
        return taken

    def _say_piece(self, piece: bytes) -> None:
        text = piece.decode("utf-8", "backslashreplace")
        if self._before is None:  # in the background, or not yet
            self._tail = (self._tail + text).rpartition("\n")[2][-PIECE:]
            self._put(text)
            return
        self._put(self._screen.say(text))
        self._later()

    def _observe(self, event: Event) -> None:
        if self._waiting or self._held:  # what was said before comes first
            if isinstance(event, Data) and event.payload is not None:
                event = event._replace(payload=bytes(event.payload))  # its buffer is used again
            self._held.append(event)
            return
        if self._before is None:
            self._outer.observer(event)
            return
        self._put(self._screen.hide())
        self._outer.observer(event)
        self._later()

    # ---- what is typed

    def _on_keys(self, mask: int) -> None:
        assert self._loop is not None
        try:
            data = os.read(self.env.stdin, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if self._flushing is not None:
            self._flushing.cancel()
        if data:
            self._editor.feed(self._decoder.decode(data))
            self._flushing = self._loop.later(ESCAPE, self._flush)
        else:
            self._editor.ended = True
        self._edited()

    def _flush(self) -> None:
        self._flushing = None
        self._editor.flush()
        self._edited()

    def _edited(self) -> None:
        editor, screen = self._editor, self._screen
        out = screen.hide()
        if editor.clear:
            editor.clear = False
            out += CLEAR
        for line in editor.lines:
            out += screen.accept(line)
            self._lines.append(line.encode("utf-8", "surrogateescape") + b"\n")
        editor.lines.clear()
        if editor.ended:
            self._ended = True
        screen.edit(editor.text, editor.cursor)
        self._put(out + screen.show())
        self._update()

    def _ring_bell(self) -> None:
        due = bool(self._lines) or self._ended
        if due != self._rung:
            self._rung = due
            if due:
                os.write(self._ring, b"\0")
            else:
                os.read(self._bell, 1)

    def _update(self) -> None:
        assert self._loop is not None
        self._ring_bell()
        if self._ended or sum(map(len, self._lines)) > ROOM:
            self._loop.forget(self.env.stdin)
        else:
            self._loop.watch(self.env.stdin, READ, self._handler)

    def _read(self, buffer: memoryview) -> int:
        """See ``syscalls.Read``: a line, or the end."""
        if not self._lines:
            if self._ended:
                return 0
            raise BlockingIOError
        line = self._lines.popleft()
        size = min(len(line), len(buffer))
        buffer[:size] = line[:size]
        if size < len(line):
            self._lines.appendleft(line[size:])
        self._update()
        return size

    def close(self) -> None:
        """The terminal as it was, when it has taken everything. What was typed and not sent is said to be lost.

        Raises:
            Signalled: a signal came meanwhile.
        """
        loop = self._loop
        if loop is None or self.source is None:
            return
        self.source = None
        self._starting.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        loop.forget(self.env.stdin)
        if self._before is not None:
            self._put(self._screen.leave() + PASTE_OFF)
        asked = loop.signal
        loop.forget(self._watched)
        while self._waiting and loop.signal is None and loop.wait_for(self._watched, WRITE):
            self._drain()
            loop.forget(self._watched)
        self._restore()
        lost, self._waiting = len(self._waiting), bytearray()
        while self._held:
            self._outer.observer(self._held.popleft())
        for fd in (self._watched, self._bell, self._ring):
            os.close(fd)
        self._out.close()
        typed = sum(map(len, self._lines))
        for size, why in ((lost, "the terminal did not take it"), (typed, "typed, and not sent before the end")):
            if size:
                self._outer.observer(Lost(self._outer.clock(), 0, size, why))
        if loop.signal is not None and asked is None:
            raise Signalled(loop.signal)
