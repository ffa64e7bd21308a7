"""Plain text: the story on stderr, reports on stdout. For pipes, files, and terminals that want no colour."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from sockkit.errors import OutputGone, SystemRefusal
from sockkit.events import (
    Behind,
    Closed,
    Code,
    Data,
    Denied,
    Descriptor,
    Direction,
    Event,
    Exited,
    Failed,
    Interest,
    Items,
    Listening,
    Lost,
    Named,
    Note,
    Opened,
    Report,
    Said,
    Section,
    Totals,
    Urgent,
)
from sockkit.render import WHOLE, Output, Wish
from sockkit.render.stderr import PATIENCE, Stderr
from sockkit.render.story import Flood, Line, Room, data_text, dropped, lines

SERVER_LINES = (Listening, Opened, Denied, Named, Behind, Closed, Totals, Urgent)
"""What ``serve`` says where no terminal is."""
IMPORTANT = (Descriptor, Exited, Failed, Lost, Note, Said)
"""Events that may have important lines, which are said whatever was wished."""
DROPPABLE = ("<", ">", "*")
"""Keys of lines that may be dropped, counted, where nobody reads the story in time."""


def write(fd: int, data: bytes) -> None:
    """All of it, to a descriptor that may be slow or gone.

    Raises:
        OutputGone: its reader went away. SystemRefusal: any other reason, such as a full disk.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            import select

            select.select([], [fd], [], 1)
        except BrokenPipeError as error:
            raise OutputGone from error
        except OSError as error:
            raise SystemRefusal("write to stdout", error) from error


def encoding() -> str:
    """The locale's encoding for text that we write."""
    import sys

    return getattr(sys.stdout, "encoding", None) or "utf-8"


class Story:
    """What is common to every renderer of lines: which are said, when, and how fast."""

    def __init__(self, wish: Wish, output: Output, clock: Callable[[], float]) -> None:
        self.wish = wish
        self.output = output
        self.begun = self._last = clock()
        self._everything = (output.stderr_terminal or wish.verbose or wish.hex) and not wish.quiet
        # A server of many short conversations tells of each: what nobody is going to read is not put into words.
        self._heard = {Report, Code, *IMPORTANT}
        if wish.command == "serve" and not wish.quiet:
            self._heard.update(SERVER_LINES)
        self._time = wish.time or ("relative" if output.stderr_terminal or wish.verbose or wish.hex else None)
        self._epoch = 0.0
        if self._time == "absolute":
            import time

            self._epoch = time.time() - self.begun
        self.encoding = encoding()
        self._peers: dict[int, str] = {}
        self.room = Room(ascii="utf" not in self.encoding.lower(), peers=self._peers)
        self._flood = Flood()
        patience = PATIENCE if wish.verbose or wish.hex else 0.0
        self.out = Stderr(output.stderr, self._dropped, patience=patience)

    def __call__(self, event: Event) -> None:
        """Observe."""
        if not self._everything and type(event) not in self._heard:
            return
        if isinstance(event, Report):
            self.report(event)
            return
        if isinstance(event, Code):
            self.code(event)
            return
        if self._everything:
            if isinstance(event, Opened):
                if self.wish.command == "serve":
                    self._peers[event.session] = event.peer
            elif isinstance(event, Closed):
                self._peers.pop(event.session, None)
            summary = self._flood.summary(event)
            if summary is not None:
                self.say(event.time, summary)
            if isinstance(event, Data):
                if self.wish.hex:
                    self._dump(event)
                    return
                if not self.wish.verbose and not self._flood.passes(event):
                    return
        said = self._everything or (type(event) in self._heard and not isinstance(event, IMPORTANT))
        for line in lines(event, self.room):
            if said or line.important:
                self.say(event.time, line)

    def _dump(self, event: Data) -> None:
        """All of it, in hex. Its lines stay together."""
        from sockkit.render.hexdump import dump

        key = ">" if event.direction is Direction.SENT else "<"
        self.say(event.time, Line(key, data_text(event, self._peers)))
        if event.payload:
            self.block(dump(event.payload, 0 if event.message else event.offset, key), key)

    def say(self, time: float, line: Line) -> None:
        """Write one line of the story, of something that happened at ``time``."""
        raise NotImplementedError

    def block(self, lines: bytes, key: str) -> None:
        """Write many lines, of ASCII."""
        self.write(lines, droppable=True)

    def tell(self, text: str, *, droppable: bool = False) -> None:
        """Write to the story."""
        self.write(text.encode(self.encoding, "backslashreplace"), droppable=droppable)

    def write(self, data: bytes, *, droppable: bool) -> None:
        """Where nobody reads it, the payload still goes its way."""
        self.out.write(data, droppable=droppable)

    def close(self) -> None:
        """The end of a run."""
        self.out.close()

    def columns(self) -> int | None:
        """Those of stdout, where it is a terminal."""
        try:
            return os.get_terminal_size(self.output.stdout).columns
        except OSError:
            return None

    def report(self, event: Report) -> None:
        """Write a report."""
        raise NotImplementedError

    def code(self, event: Code) -> None:
        """Write a program, which is UTF-8 wherever it goes."""
        write(self.output.stdout, event.text.encode("utf-8", "backslashreplace"))

    def spelt(self, time: float, line: Line) -> str:
        """A line with its key and, where a person or ``-v`` wants it, its time."""
        if not line.key:
            return line.text
        if self._time is not None:
            return f"{line.key} {self._moment(time)} {line.text}"
        if line.key == "!":
            return f"sockkit: {line.text}"
        return f"{line.key} {line.text}"

    def _moment(self, time: float) -> str:
        if self._time == "absolute":
            from datetime import datetime

            return datetime.fromtimestamp(self._epoch + time).isoformat(" ", "microseconds")
        since, self._last = (self._last if self._time == "delta" else self.begun), time
        # What took long is told with the time of its beginning, so it may come after what happened meanwhile.
        return f"{'+' * (self._time == 'delta')}{max(time - since, 0):.4f}".rjust(8)

    def fit(self) -> None:
        """Make lines about data as long as the terminal is wide."""
        try:
            whole = os.get_terminal_size(self.output.stderr).columns
        except OSError:
            return
        before = len(self.spelt(self.begun, Line("=", "")))
        self.room = self.room._replace(columns=whole - before)

    def _dropped(self, count: int) -> bytes:
        return f"{self.spelt(self._last, Line('!', dropped(count)))}\n".encode()


class Plain(Story):
    """Lines and aligned columns, nothing else."""

    def __init__(self, wish: Wish, output: Output, clock: Callable[[], float]) -> None:
        super().__init__(wish, output, clock)
        self.fit()

    def say(self, time: float, line: Line) -> None:
        """See ``Story``."""
        self.tell(self.spelt(time, line) + "\n", droppable=line.droppable or line.key in DROPPABLE)

    def report(self, event: Report) -> None:
        """See ``Story``."""
        write(self.output.stdout, text(event, self.encoding, self.columns()))


class Diary(Plain):
    """The whole story in a file, with times: see ``files.Recorder``."""

    interest = Interest.DATA | Interest.PAYLOAD | Interest.CALLS

    def __init__(self, path: str, *, force: bool, clock: Callable[[], float], wish: Wish) -> None:
        from sockkit.render.files import Recording

        wish = wish._replace(quiet=False, verbose=True)
        super().__init__(wish, Output(1, 2, False, False, False, False), clock)
        self.encoding, self.room = "utf-8", self.room._replace(ascii=False)
        self.preview = WHOLE if wish.hex else 256
        self._file = Recording(path, force=force)

    def write(self, data: bytes, *, droppable: bool) -> None:
        """See ``Story``; here nothing is dropped, and what the system refuses is passed on."""
        self._file.write(data)

    def close(self) -> None:
        """See ``files.Recorder``."""
        self._file.close()


def text(report: Report, encoding: str = "utf-8", columns: int | None = None) -> bytes:
    """A report as text: its title, and its sections with their columns aligned.

    Args:
        columns: a terminal's: its long lists are folded to it. None: nothing is cut or wrapped, so that programs can read it.
    """
    parts = [report.title] if report.title else []
    for section in report.sections:
        if columns is not None and isinstance(section.rows, Items):
            parts.append("\n".join([line for line, _ in list_lines(section, columns)]))
        else:
            parts.append("\n".join(section_lines(section)))
    return ("\n\n".join(parts) + "\n").encode(encoding, "backslashreplace")


def section_lines(section: Section) -> list[str]:
    """A table with its columns aligned; nothing is cut or wrapped, so that programs can read it too."""
    found = [f"{section.title}:"] if section.title else []
    table = [row.cells for row in section.rows]
    if section.header:
        table.insert(0, section.header)
    columns = max(map(len, table), default=0)
    if columns and min(map(len, table)) == columns:  # a list may be long: all its lines by one pattern
        pattern = _pattern([max(map(len, column)) for column in zip(*table, strict=True)])
        return found + [(pattern % row).rstrip() for row in table]
    widths = [max((len(row[i]) for row in table if i < len(row)), default=0) for i in range(columns)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        found.append("  " + "  ".join(cells).rstrip())
    return found


def _pattern(widths: Sequence[int]) -> str:
    return "  " + "  ".join([f"%-{width}s" for width in widths])


def list_lines(section: Section, columns: int) -> list[tuple[str, str]]:
    """A long list for a terminal: each line with the mark of its row.

    Where its columns do not fit side by side, the last of them go to a line of their own, indented, below the first.
    """
    rows = list(section.rows)
    table = [section.header, *(row.cells for row in rows)]
    marks = ["header", *(row.mark for row in rows)]
    lengths = [sorted(map(len, column)) for column in zip(*table, strict=True)]
    if sum(each[-1] + 2 for each in lengths) <= columns:
        pattern = _pattern([each[-1] for each in lengths])
        return [((pattern % cells).rstrip(), mark) for cells, mark in zip(table, marks, strict=True)]
    # A few long ones may stick out: the others need not suffer for them.
    widths = [max(len(name), each[len(each) * 9 // 10]) for name, each in zip(section.header, lengths, strict=True)]
    first = len(widths)
    while first > 1 and sum(width + 2 for width in widths[:first]) > columns:
        first -= 1
    pattern, indent = _pattern(widths[:first]), " " * 6
    found = []
    for cells, mark in zip(table, marks, strict=True):
        found.append(((pattern % cells[:first]).rstrip(), mark))
        rest = "   ".join([cell for cell in cells[first:] if cell])
        if len(rest) > columns - len(indent):
            found += [(indent + rest[at : at + columns - 6], mark) for at in range(0, len(rest), columns - 6)]
        elif rest:
            found.append((indent + rest, mark))
    return found
