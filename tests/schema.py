"""Makes sockkit/schema.json, the JSON Schema of everything that ``--json`` and ``-o FILE.ndjson`` write, from the events' own types.

``python -m tests.docs`` writes it and ``--check`` compares it. What a report of ``probe`` or ``inspect`` holds is stated here.
"""

from __future__ import annotations

import enum
import json
import types
import typing
from pathlib import Path

from sockkit import events
from sockkit.render.ndjson import SCHEMA
from sockkit.scanning import STATES

PATH = Path(__file__).resolve().parent.parent / "sockkit" / "schema.json"

Schema = dict[str, object]
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
YES: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
NAMED: Schema = {"type": "object", "required": ["number", "name"], "properties": {"number": COUNT}}
"""A number with its name."""


CHANGE: Schema = {"type": "object", "required": ["name", "before", "asked", "got", "late"]}
"""What came of one ``--set``."""


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


REPORTS: dict[str, Schema] = {
    "probe": {
        "call": TEXT,
        "ok": YES,
        "asked": {"type": "object"},
        "given": _list(TEXT),
        "got": _or_null({"type": "object"}),
        "repr": _or_null(TEXT),
        "decoded": _or_null(TEXT),
        "rewrites": _list({"type": "object", "required": ["field", "why"]}),
        "error": _or_null({"$ref": "#/$defs/error"}),
        "why": _or_null({"type": "object", "required": ["rule", "source", "text"]}),
        "nearest": _list({"type": "object"}),
        "set": _list(CHANGE),
        "platform": TEXT,
    },
    **{
        command: {
            "replay": {**TEXT, "description": "the recording"},
            "same": YES,
            "recorded": COUNT,
            "received": COUNT,
            "first_difference": _or_null(COUNT),
            "differences": _list({"type": "object", "required": ["which", "text"]}),
        }
        for command in ("connect", "serve")
    },
    "inspect": {
        "call": TEXT,
        "asked": {"type": "object"},
        "python": {"type": "object"},
        "kernel": {"type": "object"},
        "lies": _list(TEXT),
        "local": _or_null(TEXT),
        "peer": _or_null(TEXT),
        "options": {
            "type": "object",
            "additionalProperties": {"type": "object", "required": ["level", "value", "default"]},
        },
        "set": _list(CHANGE),
        "source": TEXT,
        "pid": COUNT,
        "count": COUNT,
        "not_visible": {
            "type": "object",
            "required": ["processes", "unowned", "sockets", "remedy"],
            "properties": {"processes": COUNT, "unowned": COUNT, "sockets": _or_null(COUNT), "remedy": TEXT},
        },
        "sockets": _list({"$ref": "#/$defs/socket"}),
        "options_by_fd": {"type": "object", "additionalProperties": {"type": "object"}},
    },
}
"""What the keys of a report are, where they are there."""

SCAN: dict[str, Schema] = {
    "scan": {
        "description": "connect -z of several ports: what was asked",
        "type": "object",
        "required": ["host", "address", "other_addresses", "protocol", "ports", "timeout", "seconds"],
        "properties": {
            "host": _or_null(TEXT),
            "address": TEXT,
            "other_addresses": _list(TEXT),
            "protocol": TEXT,
            "ports": TEXT,
            "timeout": NUMBER,
            "seconds": NUMBER,
        },
    },
    "counts": {"type": "object", "required": list(STATES), "additionalProperties": COUNT},
    "ports": _list(
        {
            "type": "object",
            "required": ["port", "state", "service", "errno", "name", "ms"],
            "properties": {
                "port": COUNT,
                "state": {"enum": list(STATES[1:])},
                "service": _or_null(TEXT),
                "errno": _or_null(COUNT),
                "name": {**_or_null(TEXT), "description": "of the errno"},
                "ms": {**NUMBER, "description": "milliseconds until the answer, or waited for one"},
            },
        }
    ),
}
REPORTS["connect"] |= SCAN
for _report_of in REPORTS.values():
    _report_of["code"] = {**TEXT, "description": "--code: a program that does the same"}

OWNERS = _list(
    {
        "type": "object",
        "required": ["pid", "fd", "name"],
        "properties": {"pid": COUNT, "fd": COUNT, "name": _or_null(TEXT)},
    }
)
CONSTANT: Schema = {"anyOf": [TEXT, COUNT, NULL]}
"""A constant by its name, or by its number where it has none."""
_SOCKET: dict[str, Schema] = {
    "family": CONSTANT,
    "type": CONSTANT,
    "proto": CONSTANT,
    "state": _or_null(TEXT),
    "local": _or_null(TEXT),
    "peer": _or_null(TEXT),
    "port": _or_null(COUNT),
    "peer_port": _or_null(COUNT),
    "receive_queue": _or_null(COUNT),
    "send_queue": _or_null(COUNT),
    "accept_queue": _or_null(COUNT),
    "backlog": _or_null(COUNT),
    "drops": _or_null(COUNT),
    "timer": _or_null(
        {
            "type": "object",
            "required": ["kind", "seconds", "again"],
            "properties": {"kind": _or_null(TEXT), "seconds": NUMBER, "again": COUNT},
        }
    ),
    "inode": _or_null(COUNT),
    "cookie": _or_null(COUNT),
    "uid": _or_null(COUNT),
    "owners": OWNERS,
    "peer_inode": _or_null(COUNT),
    "peer_owners": OWNERS,
    "listed": YES,
}
SOCKET: Schema = {
    "description": "a socket of the host, as inspect --all lists it",
    "type": "object",
    "required": list(_SOCKET),
    "properties": _SOCKET,
}

ERROR: Schema = {
    "type": "object",
    "required": ["type", "text", "errno", "name"],
    "properties": {"type": TEXT, "text": TEXT, "errno": _or_null(COUNT), "name": _or_null(TEXT)},
}


def _of(hint: object) -> Schema:
    """The schema of a field's type."""
    if hint in (float, int, bool, str):
        return {float: NUMBER, int: COUNT, bool: YES, str: TEXT}[hint]
    if hint is object:
        return {}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if isinstance(hint, type) and issubclass(hint, Exception):
        return {"$ref": "#/$defs/error"}
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        fields = typing.get_type_hints(hint)
        return {
            "type": "object",
            "required": list(fields),
            "properties": {name: _of(field) for name, field in fields.items()},
        }
    if isinstance(hint, types.UnionType):
        (inner,) = [part for part in typing.get_args(hint) if part is not type(None)]
        return _or_null(_of(inner))
    if typing.get_origin(hint) is tuple:
        return _list(_of(typing.get_args(hint)[0]))
    raise TypeError(f"no schema for {hint}")


def _event(event: type) -> Schema:
    properties: Schema = {
        "schema": {"const": SCHEMA},
        "event": {"const": event.__name__.lower()},
        "time": {**NUMBER, "description": "seconds since the start"},
        "at": {**NUMBER, "description": "seconds since 1970-01-01 UTC"},
    }
    for field, hint in typing.get_type_hints(event).items():
        if field == "payload":
            properties["payload"] = _or_null(TEXT)
            properties["encoding"] = {"enum": ["text", "base64", None]}
        elif field != "time":
            properties[field] = _of(hint)
    if event in (events.Listening, events.Opened):
        properties |= {"family": CONSTANT, "type": CONSTANT}
    return {
        "description": " ".join((event.__doc__ or "").partition("\n\n")[0].split()),
        "type": "object",
        "required": list(properties),
        "properties": properties,
    }


def _report(command: str) -> Schema:
    head: Schema = {"schema": {"const": SCHEMA}, "command": {"const": command}, "complete": YES}
    return {
        "description": f"what {command} found",
        "type": "object",
        "required": list(head),
        "properties": head | REPORTS[command],
    }


def schema() -> str:
    """The whole file."""
    others = (events.Report, events.Code, events.Progress)  # written as reports, or not at all
    kinds = [event for event in typing.get_args(events.Event) if event not in others]
    usage: Schema = {
        "description": "bad input: nothing else comes",
        "type": "object",
        "required": ["schema", "event", "text", "hint"],
        "properties": {
            "schema": {"const": SCHEMA},
            "event": {"const": "usage"},
            "option": _or_null(TEXT),
            "text": TEXT,
            "hint": _or_null(TEXT),
            "python": _or_null({"$ref": "#/$defs/error"}),
        },
    }
    definitions = {
        "error": ERROR,
        "socket": SOCKET,
        **{command: _report(command) for command in REPORTS},
        **{event.__name__.lower(): _event(event) for event in sorted(kinds, key=lambda kind: kind.__name__)},
        "usage": usage,
    }
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What sockkit writes with --json, and with -o FILE.json and FILE.ndjson",
        "description": "One report, or one line of the story. New keys may come at any time.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in definitions if name not in ("error", "socket")],
        "$defs": definitions,
    }
    return json.dumps(whole, indent=1) + "\n"
