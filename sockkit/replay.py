"""Plays one end of a recording, and compares what the other end says now with what it said then.

A ``Player`` stands where stdin and stdout do. What it has to say next waits until the other end has said as much as it had before that in
the recording, and then for the pause that there was. Where the other end does not come to that, it goes on after a while: then that is a
difference.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from sockkit.errors import UsageError
from sockkit.events import Level, Note, Report, Row, Section
from sockkit.loop import Loop, Timer
from sockkit.recordings import Conversation, read
from sockkit.stdio import LocalEnd
from sockkit.text import escape

UNTIL_SAID = 1e9
"""``Settings.after_end``: what is still to be said is said also after the other end has ended."""
CONTEXT = 2
"""Lines around a difference."""
MOST = 60
"""Lines of differences that a report has."""
COMPARED = 4000
"""Lines beyond which only what stands at the same place is compared: finding what moved takes the square of it."""


class Replay(NamedTuple):
    """What is asked for on the command line.

    Attributes:
        speed: 2 is twice as fast; 0: no pauses.
        ignored: patterns whose matches are taken out before comparing.
    """

    path: str
    conversation: Conversation
    speed: float
    ignored: tuple[re.Pattern[bytes], ...]


def plan(path: str, number: int | None, speed: float, ignored: tuple[str, ...], *, stream: bool | None) -> Replay:
    """Read the recording, and judge what is asked of it.

    Raises:
        UsageError: see ``recordings.read``; a number that it does not have, a pattern that is none, streams for datagrams.
        SystemRefusal: it cannot be read.
    """
    found = read(path)
    if number is None and len(found) > 1:
        text = f"{escape(path, backslash=False)} holds {len(found)} conversations"
        raise UsageError(text, option="--replay", hint=f"--conversation N chooses one, 1 to {len(found)}")
    if number is not None and number > len(found):
        raise UsageError(f"{escape(path, backslash=False)} holds {len(found)} only", option="--conversation")
    chosen = found[(number or 1) - 1]
    if stream is not None and chosen.stream != stream:
        kinds = ("datagrams or records", "a stream")
        text = f"{escape(path, backslash=False)} holds {kinds[chosen.stream]}, this would be {kinds[stream]}"
        raise UsageError(text, option="--replay", hint="--type, or -u for datagrams, says what to make")
    patterns = []
    for pattern in ignored:
        try:
            patterns.append(re.compile(pattern.encode("utf-8", "surrogateescape"), re.M))
        except re.error as error:
            raise UsageError(f"{pattern!a} is no regular expression: {error}", option="--ignore") from error
    return Replay(path, chosen, speed, tuple(patterns))


class Player:
    """One end of a conversation, as ``source`` and ``sink`` of a session.

    Args:
        client: we are the client; else the server.
        patience: seconds to wait for what the other end is expected to say.
    """

    def __init__(self, loop: Loop, replay: Replay, *, client: bool, patience: float) -> None:
        self._loop = loop
        self._replay = replay
        self._patience = patience
        steps = replay.conversation.steps
        last = steps[-1].time if steps else 0.0
        self._mine: list[tuple[float, int, bytes | None]] = []
        """(pause before it, how much the other end had said by then, what to say; None: the end of it)."""
        self.expected: list[bytes] = []
        said, before, over = 0, steps[0].time if steps else 0.0, False
        for step in steps:
            if step.client is client:
                # An end that followed the other one's follows it by itself.
                if not (step.data is None and over):
                    self._mine.append((max(step.time - before, 0.0), said, step.data))
            elif step.data is None:
                over = True
            else:
                self.expected.append(step.data)
                said += self._weight(step.data)
            before = step.time
        if not any(data is None for _, _, data in self._mine):
            self._mine.append((max(last - before, 0.0), said, None))
        self.got: list[bytes] = []
        self._heard = 0
        self._due: deque[bytes] = deque()
        self._timer: Timer | None = None
        self._waiting = False
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        self.source = LocalEnd(self._bell, self._read, None, False, False, False, None)
        self.sink = LocalEnd(-1, None, self._write, False, True, False, None)

    def _weight(self, data: bytes) -> int:
        return len(data) if self._replay.conversation.stream else 1

    def start(self) -> None:
        """Begin with the first step."""
        self._next()

    def _next(self) -> None:
        if not self._mine or self._timer is not None:
            return
        pause, needed, _ = self._mine[0]
        if self._heard < needed:
            self._waiting = True
            self._timer = self._loop.later(self._patience, self._go_on)
            return
        self._waiting = False
        speed = self._replay.speed
        self._timer = self._loop.later(pause / speed if speed else 0.0, self._say)

    def _go_on(self) -> None:
        """The other end has not said what it had said by now."""
        env = self._loop.env
        missing = self._mine[0][1] - self._heard
        unit = "bytes" if self._replay.conversation.stream else "messages"
        text = f"{missing} {unit} of what was recorded did not come within {self._patience:g} s: going on without them"
        env.observer(Note(env.clock(), 0, Level.WARNING, text))
        self._say()

    def _say(self) -> None:
        self._timer = None
        data = self._mine.pop(0)[2]
        if data is None:
            self._mine.clear()
            self._end()
            return
        # A session reads a quarter of a mebibyte at most at once.
        size = 1 << 16 if self._replay.conversation.stream else max(len(data), 1)
        pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        self._due.extend(pieces)
        os.write(self._ring, b"." * len(pieces))
        self._next()

    def _end(self) -> None:
        if self._ring != -1:
            os.close(self._ring)
            self._ring = -1

    def _read(self, buffer: memoryview) -> int:
        if not os.read(self._bell, 1):  # BlockingIOError: nothing is due
            return 0
        data = self._due.popleft()
        buffer[: len(data)] = data
        return len(data)

    def _write(self, data: memoryview | bytes) -> int:
        self.got.append(bytes(data))
        self._heard += self._weight(self.got[-1])
        if self._waiting and self._timer is not None and self._mine and self._heard >= self._mine[0][1]:
            self._timer.cancel()
            self._timer = None
            self._next()
        return len(data)

    def close(self) -> None:
        """Give back what was opened."""
        if self._timer is not None:
            self._timer.cancel()
        self._end()
        os.close(self._bell)

    # ---- the report

    def _compared(self, pieces: list[bytes]) -> list[bytes]:
        """As lines of a stream, or messages, without what is ignored."""
        whole = [b"".join(pieces)] if self._replay.conversation.stream else pieces
        for pattern in self._replay.ignored:
            whole = [pattern.sub(b"", piece) for piece in whole]
        return whole[0].splitlines(keepends=True) if self._replay.conversation.stream else whole

    def tell(self, command: str) -> bool:
        """Report what was different. True if nothing was."""
        found, same = self._report(command)
        self._loop.env.observer(found)
        return same

    def _report(self, command: str) -> tuple[Report, bool]:
        expected, got = self._compared(self.expected), self._compared(self.got)
        same = expected == got
        rows = list(_difference(expected, got)) if not same else []
        left_out = max(len(rows) - MOST, 0)
        sums = sum(map(len, self.expected)), sum(map(len, self.got))
        ours = "server" if command == "connect" else "client"
        title = f"replay of {self._replay.path}: the {ours} answered {'as recorded' if same else 'differently'}"
        table = [
            Row(("recorded", f"{sums[0]} bytes")),
            Row(("now", f"{sums[1]} bytes"), "" if sums[0] == sums[1] else "changed"),
        ]
        sections = [Section("received", (), tuple(table))]
        if rows:
            shown = [Row((key, text), {"-": "error", "+": "changed"}.get(key, "faint")) for key, text in rows[:MOST]]
            if left_out:
                shown.append(Row(("", f"and {left_out} more lines"), "faint"))
            sections.append(Section("differences (- recorded, + now)", (), tuple(shown)))
        data: dict[str, object] = {
            "replay": self._replay.path,
            "same": same,
            "recorded": sums[0],
            "received": sums[1],
            "first_difference": None if same else _first(b"".join(self.expected), b"".join(self.got)),
            "differences": [{"which": key, "text": text} for key, text in rows if key in "-+"],
        }
        env = self._loop.env
        return Report(env.clock(), command, title, data, tuple(sections)), same


def _first(one: bytes, other: bytes) -> int:
    """The first byte that differs."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def _difference(expected: list[bytes], got: list[bytes]) -> Iterator[tuple[str, str]]:
    """(``-``, ``+`` or a space, line), as diff(1) has it."""
    if max(len(expected), len(got)) > COMPARED:
        for i in range(max(len(expected), len(got))):
            left, right = (lines[i] if i < len(lines) else None for lines in (expected, got))
            if left != right:
                yield from ((key, escape(line)) for key, line in (("-", left), ("+", right)) if line is not None)
        return
    from difflib import SequenceMatcher

    for group in SequenceMatcher(None, expected, got, autojunk=False).get_grouped_opcodes(CONTEXT):
        for kind, i, i2, j, j2 in group:
            if kind == "equal":
                yield from ((" ", escape(line)) for line in expected[i:i2])
                continue
            yield from (("-", escape(line)) for line in expected[i:i2])
            yield from (("+", escape(line)) for line in got[j:j2])
