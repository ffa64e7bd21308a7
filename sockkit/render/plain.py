"""Plain text: the story on stderr, reports on stdout. For pipes, files, and terminals that want no colour."""

from __future__ import annotations

import os
from collections.abc import Callable

from sockkit.errors import OutputGone, SystemRefusal
from sockkit.events import Closed, Code, Data, Event, Interest, Listening, Opened, Report, Section, Totals, Urgent
from sockkit.render import Output, Wish
from sockkit.render.story import PREVIEW_WIDTH, Flood, Line, lines

SERVER_LINES = (Listening, Opened, Closed, Totals, Urgent)
"""What ``serve`` says where no terminal is."""


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
        self.begun = clock()
        self.timed = output.stderr_terminal or wish.verbose
        self.width = PREVIEW_WIDTH
        self.encoding = encoding()
        self.ascii = "utf" not in self.encoding.lower()
        self._flood = Flood()

    def __call__(self, event: Event) -> None:
        """Observe."""
        if isinstance(event, Report):
            self.report(event)
            return
        if isinstance(event, Code):
            self.code(event)
            return
        if isinstance(event, Data) and not self.wish.verbose and not self._flood.passes(event):
            return
        if not isinstance(event, Data):
            summary = self._flood.summary()
            if summary is not None:
                self.say(event.time - self.begun, summary)
        everything = self.timed and not self.wish.quiet
        said = everything or (not self.wish.quiet and self.wish.command == "serve" and isinstance(event, SERVER_LINES))
        for line in lines(event, self.width, ascii=self.ascii):
            if said or line.important:
                self.say(event.time - self.begun, line)

    def say(self, time: float, line: Line) -> None:
        """Write one line of the story."""
        raise NotImplementedError

    def tell(self, text: str) -> None:
        """Write to the story. Where nobody can read it any more, the payload still goes its way."""
        try:
            write(self.output.stderr, text.encode(self.encoding, "backslashreplace"))
        except (OutputGone, SystemRefusal):
            pass

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
        if self.timed:
            return f"{line.key} {time:8.4f} {line.text}"
        if line.key == "!":
            return f"sockkit: {line.text}"
        return f"{line.key} {line.text}"


class Plain(Story):
    """Lines and aligned columns, nothing else."""

    def say(self, time: float, line: Line) -> None:
        """See ``Story``."""
        self.tell(self.spelt(time, line) + "\n")

    def report(self, event: Report) -> None:
        """See ``Story``."""
        write(self.output.stdout, text(event, self.encoding))


class Diary(Plain):
    """The whole story in a file, with times: see ``files.Recorder``."""

    interest = Interest.DATA | Interest.PAYLOAD | Interest.CALLS
    preview = 256

    def __init__(self, path: str, *, force: bool, clock: Callable[[], float], wish: Wish) -> None:
        from sockkit.render.files import Recording

        wish = wish._replace(quiet=False, verbose=True)
        super().__init__(wish, Output(1, 2, False, False, False, False), clock)
        self.encoding, self.ascii = "utf-8", False
        self._file = Recording(path, force=force)
        self.close = self._file.close

    def tell(self, text: str) -> None:
        """See ``Story``; here nothing is lost in silence."""
        self._file.write(text.encode("utf-8", "backslashreplace"))


def text(report: Report, encoding: str = "utf-8") -> bytes:
    """A report as text: its title, and its sections with their columns aligned."""
    parts = [report.title] if report.title else []
    parts += ["\n".join(section_lines(section)) for section in report.sections]
    return ("\n\n".join(parts) + "\n").encode(encoding, "backslashreplace")


def section_lines(section: Section) -> list[str]:
    """A table with its columns aligned; nothing is cut or wrapped, so that programs can read it too."""
    found = [f"{section.title}:"] if section.title else []
    table = [row.cells for row in section.rows]
    if section.header:
        table.insert(0, section.header)
    columns = max(map(len, table), default=0)
    if columns and min(map(len, table)) == columns:  # a list may be long: all its lines by one pattern
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        pattern = "  " + "  ".join([f"%-{width}s" for width in widths])
        return found + [(pattern % row).rstrip() for row in table]
    widths = [max((len(row[i]) for row in table if i < len(row)), default=0) for i in range(columns)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        found.append("  " + "  ".join(cells).rstrip())
    return found
