"""``-o FILE``: where else events and reports go. The suffix decides how; one row a suffix, loaded when it is used.

A *report* is written whole, to a temporary file that then takes its name. What passes in a *conversation* is a recording: written
as it happens, readable by nobody else, and never over an existing file unless ``--force`` says so. A file that cannot be
written any more is said at once and given up; everything else goes on, and ``Outputs.failed`` tells.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import NamedTuple, Protocol

from sockkit.errors import SystemRefusal, UsageError
from sockkit.events import Call, Data, Event, Failed, Interest, Report
from sockkit.render import WHOLE, Chosen, Wish
from sockkit.text import escape, quoted

REPORTS = ("probe", "inspect", "connect -z")
"""… the last of them where it is asked of several ports: then its answer is a report."""
CONVERSATIONS = ("serve", "connect")


class Format(NamedTuple):
    """What a suffix means for some of the commands.

    Attributes:
        suffix: lower case, with its point.
        commands: those whose ``-o`` takes it.
        module, name: for reports a function (``Report`` to bytes); for what is written live a class, see ``Recorder``.
        live: it is such a class.
        what: what is in the file, in a few words.
    """

    suffix: str
    commands: tuple[str, ...]
    module: str
    name: str
    live: bool
    what: str


FORMATS = (
    Format(".json", REPORTS, "sockkit.render.ndjson", "document", False, "the report as one JSON document"),
    Format(".txt", REPORTS, "sockkit.render.plain", "text", False, "the report as text"),
    Format(".csv", REPORTS, "sockkit.render.tables", "csv", False, "the report as a table of values"),
    Format(".md", REPORTS, "sockkit.render.tables", "markdown", False, "the report as Markdown"),
    Format(".svg", REPORTS, "sockkit.render.svg", "svg", False, "the report as a picture: a space as a heat map"),
    Format(".html", REPORTS, "sockkit.render.reports", "html", False, "the report as one page to explore"),
    Format(
        ".ndjson", REPORTS + CONVERSATIONS, "sockkit.render.ndjson", "Record", True, "every event as JSON, one a line"
    ),
    Format(".html", CONVERSATIONS, "sockkit.render.picture", "Html", True, "a sequence diagram to look into"),
    Format(".pcapng", CONVERSATIONS, "sockkit.render.capture", "Capture", True, "packets for Wireshark"),
    Format(".raw", CONVERSATIONS, "sockkit.render.raw", "Raw", True, "the bytes, one file a direction"),
    Format(".svg", CONVERSATIONS, "sockkit.render.picture", "Svg", True, "a sequence diagram"),
    Format(".txt", CONVERSATIONS, "sockkit.render.plain", "Diary", True, "the story, all of it, with times"),
)


class Recorder(Protocol):
    """What is written while it happens: an observer with a file (or several) of its own.

    It is made with the path and, by name, ``force``, ``clock`` and ``wish``; what the system refuses is passed on as an OSError.
    """

    interest: int
    preview: int
    """Payload bytes that it needs of each ``Data``: ``render.WHOLE`` for all of them."""

    def __call__(self, event: Event) -> None:
        """Observe."""

    def close(self) -> None:
        """Nothing more comes."""


def formats(command: str) -> tuple[Format, ...]:
    """The rows of one command."""
    return tuple(row for row in FORMATS if command in row.commands)


def format_of(path: str, command: str) -> Format:
    """The row for a file name.

    Raises:
        UsageError: no suffix, or one that this command does not have.
    """
    suffix = os.path.splitext(path)[1].lower()
    for row in formats(command):
        if row.suffix == suffix:
            return row
    known = f"{command} writes {' '.join(row.suffix for row in formats(command))}"
    others = sorted({other for row in FORMATS if row.suffix == suffix for other in row.commands})
    if others:
        text = (
            f"{suffix} is for {' and '.join([', '.join(others[:-1]), others[-1]] if others[:-1] else others)}: {known}"
        )
    else:
        text = (
            f"the suffix decides what is written, and {quoted(os.path.basename(path))} has none that is known: {known}"
        )
    raise UsageError(text, option="-o")


def destination(path: str, *, force: bool) -> bool:
    """Judge a path that a recording would be written to.

    Returns:
        True if it is a regular file that exists and that ``force`` gives up.

    Raises:
        UsageError: it exists, and ``force`` was not said.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    if not stat.S_ISREG(mode):  # a pipe to a program, a device: nothing there is lost
        return False
    if not force:
        text = f"{escape(path, backslash=False)} exists, and recordings are never written over anything"
        raise UsageError(text, option="-o", hint="--force writes over it")
    return True


class Recording:
    """A file that is written as things happen, mode 0600. What was written before a crash is there.

    Raises:
        UsageError: see ``destination``. OSError: the system's refusal.
    """

    def __init__(self, path: str, *, force: bool) -> None:
        self.path = path
        flags = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
        if destination(path, force=force):
            self.fd = os.open(path, flags | os.O_TRUNC)
            self._new = False
            if hasattr(os, "fchmod"):
                os.fchmod(self.fd, 0o600)
        else:
            try:
                self.fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
                self._new = True
            except FileExistsError:
                self.fd = os.open(path, flags)
                self._new = False
        self.size = 0
        """Bytes written, all of them whole records."""

    def write(self, *parts: bytes | bytearray | memoryview) -> None:
        """Append one record. Where only a part of it fits, none of it stays."""
        size = sum(map(len, parts))
        try:
            sent = _write_once(self.fd, parts)
            if sent < size:
                data = memoryview(b"".join(parts))
                while sent < size:
                    sent += os.write(self.fd, data[sent:])
        except OSError:
            try:
                os.ftruncate(self.fd, self.size)
            except OSError:  # a pipe, a device
                pass
            raise
        self.size += size

    def close(self, *, keep: bool = False) -> None:
        """Nothing more comes. A new file in which nothing was written is not left behind, unless ``keep`` says so."""
        os.close(self.fd)
        if self._new and not self.size and not keep:
            os.unlink(self.path)


def _write_once(fd: int, parts: tuple[bytes | bytearray | memoryview, ...]) -> int:
    if hasattr(os, "writev") and 1 < len(parts) <= 1024:  # IOV_MAX
        return os.writev(fd, parts)
    return os.write(fd, parts[0] if len(parts) == 1 else b"".join(parts))


class WholeFile:
    """A file that is whole or not there: written under another name, which then becomes its own.

    Raises:
        OSError: nothing can be written there. Better known now than at the end.
    """

    def __init__(self, path: str, mode: int) -> None:
        self._path = os.path.realpath(path)
        self._mode = mode
        self._temporary = f"{self._path}.{os.getpid()}.part"
        if os.path.isdir(self._path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        self._direct = os.path.exists(self._path) and not os.path.isfile(self._path)
        if not self._direct:
            os.close(self._open())
            os.unlink(self._temporary)

    def _open(self) -> int:
        flags = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if self._direct:
            return os.open(self._path, flags)
        return os.open(self._temporary, flags | os.O_CREAT | os.O_EXCL, self._mode)

    def write(self, text: bytes) -> None:
        """Take the place of what is there. Raises OSError; then that is still there."""
        data = memoryview(text)
        fd = self._open()
        try:
            try:
                while data:
                    data = data[os.write(fd, data) :]
            finally:
                os.close(fd)
            if not self._direct:
                os.replace(self._temporary, self._path)
        except OSError:
            if not self._direct:
                os.unlink(self._temporary)
            raise


class ReportFile:
    """Each report takes the place of the one before."""

    interest = Interest.STATE
    preview = 0

    def __init__(self, path: str, write: Callable[[Report], bytes]) -> None:
        self._file = WholeFile(path, 0o666)
        self._write = write

    def __call__(self, event: Event) -> None:
        """Observe."""
        if isinstance(event, Report):
            self._file.write(self._write(event))

    def close(self) -> None:
        """See ``Recorder``."""


class Outputs:
    """The story and every ``-o FILE``, as one observer. Each is told what it is interested in, and no more.

    Attributes:
        chosen: the observer, and the union of what all of them want.
        failed: a file could not be written to its end.
    """

    def __init__(self, story: Chosen, files: Iterable[tuple[str, Recorder]], clock: Callable[[], float]) -> None:
        self._story = story
        self._files = dict(files)
        self._clock = clock
        self.failed = False
        # Everybody here has done with a payload when the call returns.
        interest, preview, looked = story.interest | Interest.BORROWED, story.preview, story.looked
        for recorder in self._files.values():
            interest |= recorder.interest
            preview = max(preview, recorder.preview)
            if recorder.interest & Interest.PAYLOAD:
                looked = None
        self.chosen = Chosen(self, interest, preview, looked, self.close, story.backlog)

    def __call__(self, event: Event) -> None:
        """Observe."""
        wanted = Interest.DATA if isinstance(event, Data) else Interest.CALLS if isinstance(event, Call) else None
        if wanted is None or wanted & self._story.interest:
            self._story.observer(_cut(event, self._story.preview))
        for path, recorder in tuple(self._files.items()):
            if wanted is None or wanted & recorder.interest:
                try:
                    recorder(_cut(event, recorder.preview))
                except OSError as error:
                    self._give_up(path, error)

    def _give_up(self, path: str, error: OSError) -> None:
        self.failed = True
        recorder = self._files.pop(path)
        text = "nothing more is written to it; everything else goes on"
        self._story.observer(Failed(self._clock(), 0, f"write to {path}", error, text))
        try:
            recorder.close()
        except OSError:
            pass  # it was said

    def close(self) -> None:
        """Nothing more comes."""
        for path, recorder in tuple(self._files.items()):
            try:
                recorder.close()
            except OSError as error:
                self._give_up(path, error)
        self._files.clear()
        self._story.close()


def _cut(event: Event, preview: int) -> Event:
    """Of a payload as much as is wanted; whoever wants all of it gets a view, all others bytes."""
    if preview == WHOLE or not isinstance(event, Data) or event.payload is None:
        return event
    return event._replace(payload=bytes(event.payload[:preview]))


def open_outputs(
    wish: Wish, paths: Sequence[str], *, force: bool, story: Chosen, clock: Callable[[], float]
) -> Outputs:
    """Every ``-o FILE`` of a command line, ready to be written.

    Raises:
        UsageError: a suffix that is not known, a file given twice, one that exists. SystemRefusal: it cannot be written.
    """
    rows = [format_of(path, wish.command) for path in paths]
    names = [os.path.realpath(path) for path in paths]
    for path, name in zip(paths, names, strict=True):
        if names.count(name) > 1:
            raise UsageError(f"{quoted(path)} is given more than once", option="-o")
    for path, row in zip(paths, rows, strict=True):
        if row.live:
            destination(path, force=force)
    opened: list[tuple[str, Recorder]] = []
    for path, row in zip(paths, rows, strict=True):
        make = getattr(import_module(row.module), row.name)
        try:
            opened.append(
                (path, make(path, force=force, clock=clock, wish=wish) if row.live else ReportFile(path, make))
            )
        except OSError as error:
            for _, recorder in opened:
                recorder.close()
            raise SystemRefusal(f"write to {path}", error) from error
        except UsageError:
            for _, recorder in opened:
                recorder.close()
            raise
    return Outputs(story, opened, clock)
