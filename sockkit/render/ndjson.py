"""JSON: a report is one document on stdout, the story one object a line on stderr (docs/json.md)."""

from __future__ import annotations

import json
import time as wall
from collections.abc import Callable
from enum import Enum

from sockkit.errors import OutputGone, SockkitError, SystemRefusal, UsageError, errno_name
from sockkit.events import Data, Event, Failed, Level, Lost, Note, Report
from sockkit.render import Output, Wish
from sockkit.render.plain import write
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
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, dict, list)) or value is None else str(value)


def document(report: Report) -> bytes:
    """A report as one document, in UTF-8."""
    return (
        json.dumps({"schema": SCHEMA, "command": report.command, "complete": True, **report.data}, indent=2).encode()
        + b"\n"
    )


class Ndjson:
    """Every event as it is: its class is ``event``, its fields are the keys."""

    def __init__(self, wish: Wish, output: Output, clock: Callable[[], float]) -> None:
        self._wish = wish
        self._output = output
        self._begun = clock()
        self._epoch = wall.time() - self._begun

    def __call__(self, event: Event) -> None:
        """Observe."""
        if isinstance(event, Report):
            write(self._output.stdout, document(event))
            return
        if isinstance(event, Data):
            event = event._replace(payload=None)
        important = isinstance(event, (Failed, Lost)) or (isinstance(event, Note) and event.level is Level.WARNING)
        if self._wish.quiet and not important:
            return
        fields = {key: _plain(value) for key, value in event._asdict().items() if key != "time"}
        seconds = round(event.time - self._begun, 6)
        line = {
            "schema": SCHEMA,
            "event": type(event).__name__.lower(),
            "time": seconds,
            "at": round(self._epoch + event.time, 6),
            **fields,
        }
        try:
            write(self._output.stderr, json.dumps(line).encode() + b"\n")
        except (OutputGone, SystemRefusal):
            pass  # nobody reads the story: the payload still goes its way


def complaint(error: SockkitError) -> str:
    """Bad input as one line of JSON: ``usage`` is the event of a run that never began."""
    fields: dict[str, object] = {"schema": SCHEMA, "event": "usage", "text": str(error), "hint": error.hint}
    if isinstance(error, UsageError):
        fields |= {"option": error.option, "python": _plain(error.cause)}
    return json.dumps(fields)
