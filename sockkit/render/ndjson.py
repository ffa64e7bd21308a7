"""JSON: a report is one document on stdout, the story one object a line on stderr (docs/json.md, sockkit/schema.json)."""

from __future__ import annotations

import json
import time as wall
from collections.abc import Callable, Iterator
from enum import Enum

from sockkit.errors import SockkitError, UsageError, errno_name
from sockkit.events import (
    Call,
    Changed,
    Code,
    Data,
    Event,
    Exited,
    Failed,
    Interest,
    Items,
    Level,
    Listening,
    Lost,
    Note,
    Observer,
    Opened,
    Progress,
    Report,
    Said,
    Sample,
    Urgent,
)
from sockkit.render import WHOLE, Output, Wish
from sockkit.render.plain import write
from sockkit.render.stderr import PATIENCE, Stderr
from sockkit.render.story import dropped
from sockkit.text import escape

SCHEMA = 1
"""Version of the schema. It grows when a key changes its meaning or goes; new keys may come at any time."""


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return escape(value)
    if isinstance(value, BaseException):
        number = getattr(value, "errno", None)
        return {
            "type": type(value).__name__,
            "text": getattr(value, "strerror", None) or str(value),
            "errno": number,
            "name": errno_name(number) if isinstance(number, int) else None,
        }
    if hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, dict, list)) or value is None else str(value)


def document(report: Report, *, indent: int | None = 2) -> bytes:
    """A report as one document, in UTF-8; indented, a list of lists and a list of ``Items`` have a line for each."""
    return b"".join(pieces(report, indent=indent))


def pieces(report: Report, *, indent: int | None = 2) -> Iterator[bytes]:
    """The same, a part at a time: what is long is never whole in memory."""
    whole = {"schema": SCHEMA, "command": report.command, "complete": True, **report.data}
    outer, inner = ("\n" + " " * indent, "\n" + " " * 2 * indent) if indent else ("", "")
    before = "{" + outer
    for key, value in whole.items():
        yield f"{before}{json.dumps(key)}: ".encode()
        before = f",{outer or ' '}"
        if isinstance(value, Items) and value:
            between = f"[{inner}"
            for item in value:
                yield f"{between}{json.dumps(item)}".encode()
                between = f",{inner or ' '}"
            yield f"{outer}]".encode()
        elif indent and isinstance(value, list) and value and isinstance(value[0], list):
            yield f"[{inner}{f',{inner}'.join(map(_compact, value))}{outer}]".encode()
        else:
            text = json.dumps([] if isinstance(value, Items) else value, indent=indent)
            yield (text.replace("\n", outer) if indent else text).encode()
    yield b"\n}\n" if indent else b"}\n"


_compact = json.JSONEncoder(separators=(",", ":")).encode


class Lines:
    """Events as lines: the class of an event is ``event``, its fields are the keys.

    Args:
        payload: ``text`` (where it is UTF-8, else base64), ``base64`` or ``none``.
    """

    def __init__(self, payload: str, clock: Callable[[], float]) -> None:
        self._payload = payload
        self._begun = clock()
        self._epoch = wall.time() - self._begun

    def __call__(self, event: Event) -> bytes:
        """A line with its newline."""
        return b"".join(self.parts(event))

    def parts(self, event: Event) -> tuple[bytes, ...]:
        """The same in parts, so that large payload is not copied around."""
        if isinstance(event, Report):
            return (document(event, indent=None),)
        fields = {key: _plain(value) for key, value in event._asdict().items() if key not in ("time", "payload")}
        if isinstance(event, (Listening, Opened)):
            fields |= _kinds(event)
        line = {
            "schema": SCHEMA,
            "event": type(event).__name__.lower(),
            "time": round(event.time - self._begun, 6),
            "at": round(self._epoch + event.time, 6),
            **fields,
        }
        if not isinstance(event, (Data, Urgent)):
            return (json.dumps(line).encode() + b"\n",)
        if event.payload is None or self._payload == "none":
            return (json.dumps(line | {"encoding": None, "payload": None}).encode() + b"\n",)
        if self._payload == "text":
            try:
                text = str(event.payload, "utf-8")
                return (json.dumps(line | {"encoding": "text", "payload": text}).encode() + b"\n",)
            except UnicodeDecodeError:
                pass
        from binascii import b2a_base64

        # Nothing in base64 needs to be looked at again: with large pieces that would be most of the work.
        head = json.dumps(line | {"encoding": "base64"})[:-1] + ', "payload": "'
        return head.encode(), b2a_base64(event.payload, newline=False), b'"}\n'


def _kinds(event: Listening | Opened) -> dict[str, object]:
    """Family and type by their names, or their numbers where they have none."""
    from sockkit import names

    return {
        "family": None if event.family is None else names.FAMILIES.name(event.family) or event.family,
        "type": None if event.type is None else names.TYPES.name(event.type) or event.type,
    }


class Ndjson:
    """The story on stderr."""

    def __init__(self, wish: Wish, output: Output, clock: Callable[[], float]) -> None:
        self._wish = wish
        self._output = output
        payload = wish.payload or "none"
        self._lines = Lines(payload, clock)
        self.interest = Interest.STATE if payload == "none" else Interest.DATA | Interest.PAYLOAD
        self.preview = 0 if payload == "none" else WHOLE
        self._stderr = self.backlog = Stderr(output.stderr, self._dropped, patience=PATIENCE)
        self._clock = clock
        self.close = self._stderr.close

    def _dropped(self, count: int) -> bytes:
        return self._lines(Note(self._clock(), 0, Level.WARNING, dropped(count)))

    def __call__(self, event: Event) -> None:
        """Observe."""
        if isinstance(event, Report):
            held: list[bytes] = []
            for number, piece in enumerate(pieces(event), 1):
                held.append(piece)
                if not number % 1024:
                    write(self._output.stdout, b"".join(held))
                    held.clear()
            write(self._output.stdout, b"".join(held))
            return
        if isinstance(event, Code):
            program = {"schema": SCHEMA, "command": event.command, "complete": True, "code": event.text}
            write(self._output.stdout, json.dumps(program, indent=2).encode() + b"\n")
            return
        if isinstance(event, Progress):
            return
        important = (
            isinstance(event, (Failed, Lost, Said))
            or (isinstance(event, Note) and event.level is Level.WARNING)
            or (isinstance(event, Exited) and event.status != 0)
        )
        if self._wish.quiet and not important:
            return
        self._stderr.write(self._lines(event), droppable=isinstance(event, (Data, Call, Said)))


class Samples:
    """What ``inspect --watch`` sees, on stdout; everything else is the story's."""

    def __init__(self, story: Observer, output: Output, clock: Callable[[], float]) -> None:
        self._story = story
        self._output = output
        self._lines = Lines("none", clock)

    def __call__(self, event: Event) -> None:
        """Observe."""
        if isinstance(event, (Sample, Changed)):
            write(self._output.stdout, self._lines(event))
        else:
            self._story(event)


class Record:
    """The same lines in a file, with all that passed: see ``files.Recorder``."""

    def __init__(self, path: str, *, force: bool, clock: Callable[[], float], wish: Wish) -> None:
        from sockkit.render.files import Recording

        payload = wish.payload or "base64"
        self.interest = Interest.DATA
        self.preview = 0
        if payload != "none":
            self.interest |= Interest.PAYLOAD
            self.preview = WHOLE
        if wish.verbose:
            self.interest |= Interest.CALLS
        self._lines = Lines(payload, clock)
        self._file = Recording(path, force=force)

    def __call__(self, event: Event) -> None:
        """Observe. How far it has come is for whoever waits, not for whoever reads it later."""
        if isinstance(event, Progress):
            return
        self._file.write(*self._lines.parts(event))

    def close(self) -> None:
        """See ``files.Recorder``."""
        self._file.close()


def complaint(error: SockkitError) -> str:
    """Bad input as one line of JSON: ``usage`` is the event of a run that never began."""
    fields: dict[str, object] = {"schema": SCHEMA, "event": "usage", "text": str(error), "hint": error.hint}
    if isinstance(error, UsageError):
        fields |= {"option": error.option, "python": _plain(error.cause)}
    return json.dumps(fields)
