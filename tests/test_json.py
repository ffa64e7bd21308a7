"""Everything that ``--json`` and ``-o FILE.ndjson`` write is what sockkit/schema.json says, on all four commands."""

from __future__ import annotations

import base64
import importlib.resources
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.harness import Server, needs_unix, run

SCHEMA = json.loads(importlib.resources.files("sockkit").joinpath("schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
BINARY = bytes(range(256))


def checked(text: str) -> list[dict[str, Any]]:
    """The lines, each of them valid."""
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        VALIDATOR.validate(line)
    return found


def recorded(path: Path) -> list[dict[str, Any]]:
    return checked(path.read_text())


def payload(lines: list[dict[str, Any]], direction: str) -> bytes:
    """What passed in one direction, from the lines."""
    data = [line for line in lines if line["event"] == "data" and line["direction"] == direction]
    found = b""
    for line in data:
        assert line["offset"] == len(found)
        text = line["payload"]
        found += base64.b64decode(text) if line["encoding"] == "base64" else text.encode()
        assert len(found) == line["offset"] + line["size"]
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "args",
    [
        ["probe"],
        ["probe", "--type", "DGRAM", "--proto", "TCP"],
        ["inspect"],
        ["inspect", "--type", "DGRAM", "--set", "RCVBUF=4096"],
    ],
    ids=" ".join,
)
def test_reports(args: list[str], tmp_path: Path) -> None:
    document = json.loads(run(*args, "--json", "-o", str(tmp_path / "r.ndjson")).text)
    VALIDATOR.validate(document)
    *_, line = recorded(tmp_path / "r.ndjson")
    assert line["command"] == document["command"] == args[0]


def test_every_event_is_explained() -> None:
    """The schema is generated; the page about it is not."""
    page = (Path(__file__).parent.parent / "docs" / "json.md").read_text()
    events = [
        found["properties"]["event"]["const"]
        for found in SCHEMA["$defs"].values()
        if "event" in found.get("properties", {})
    ]
    assert len(events) > 20
    assert [
        name for name in events if name != "code" and f"| `{name}` |" not in page
    ] == []  # --code, not a line of a story


def test_bad_input() -> None:
    (line,) = checked(run("probe", "--json", "--family", "NONSENSE").said)
    assert line["event"] == "usage"


@pytest.mark.parametrize("command", ["connect", "serve"])
def test_both_sides_of_a_conversation(command: str, tmp_path: Path) -> None:
    file = tmp_path / "talk.ndjson"
    given = ("--json", "-v", "-o", str(file))
    if command == "connect":
        with Server("--once") as server:
            done = run("connect", *given, server.address, stdin=BINARY)
        said, first, second = done.said, "sent", "received"
    else:
        with Server("--once", "-o", str(file), "-v") as server:
            assert run("connect", server.address, stdin=BINARY).out == BINARY
            server.finish()
        said, first, second = "", "received", "sent"
    story, lines = checked(said), recorded(file)
    events = {line["event"] for line in lines}
    assert events >= {"opened", "data", "ended", "closed", "call"}
    if story:
        assert [line["event"] for line in story] == [line["event"] for line in lines], "the story and the file agree"
        assert {line["payload"] for line in story if line["event"] == "data"} == {None}
    assert payload(lines, first) == payload(lines, second) == BINARY
    (opened,) = [line for line in lines if line["event"] == "opened"]
    assert (opened["family"], opened["type"], opened["accepted"]) == ("AF_INET", "SOCK_STREAM", command == "serve")


def test_payload_as_text_where_it_is_text(tmp_path: Path) -> None:
    with Server() as server:
        lines = checked(
            run("connect", "--json", "--payload", "text", server.address, stdin="caf\u00e9 \\n\n".encode()).said
        )
        data = [line for line in lines if line["event"] == "data"]
        assert [(line["encoding"], line["payload"]) for line in data] == [("text", "caf\u00e9 \\n\n")] * 2
        lines = checked(run("connect", "--json", "--payload", "text", server.address, stdin=BINARY).said)
        assert [line["encoding"] for line in lines if line["event"] == "data"] == ["base64"] * 2
        assert payload(lines, "sent") == BINARY
        run("connect", "--payload", "none", "-o", str(tmp_path / "x.ndjson"), server.address, stdin=BINARY)
        data = [line for line in recorded(tmp_path / "x.ndjson") if line["event"] == "data"]
        assert [(line["size"], line["payload"]) for line in data] == [(256, None)] * 2


@needs_unix
def test_datagrams_refusals_and_losses(tmp_path: Path) -> None:
    with Server("-u", "-o", str(tmp_path / "s.ndjson")) as server:
        done = run("connect", "-u", "--json", "--lines", "--reply-wait", "0.2", server.address, stdin=b"one\n\ntwo\n")
        assert [
            line["size"] for line in checked(done.said) if line["event"] == "data" and line["direction"] == "sent"
        ] == [3, 0, 3]
        server.stop()
    lines = recorded(tmp_path / "s.ndjson")
    assert [line["message"] for line in lines if line["event"] == "data"] == [True] * 6
    refused = checked(run("connect", "--json", "-U", str(tmp_path / "nobody")).said)
    assert [line["error"]["name"] for line in refused if line["event"] == "failed"] == ["ENOENT"]


def test_large_payload_is_whole(tmp_path: Path) -> None:
    data = BINARY * 4096
    with Server("--once") as server:
        assert run("connect", "-o", str(tmp_path / "x.ndjson"), server.address, stdin=data).out == data
    lines = recorded(tmp_path / "x.ndjson")
    assert payload(lines, "sent") == payload(lines, "received") == data


@pytest.mark.parametrize("spoil", ["event", "size", "direction"])
def test_the_schema_can_fail(spoil: str) -> None:
    with Server("--once") as server:
        lines = checked(run("connect", "--json", server.address, stdin=b"x").said)
    line = next(line for line in lines if line["event"] == "data")
    for wrong in ({key: value for key, value in line.items() if key != spoil}, line | {spoil: [1]}):
        assert not VALIDATOR.is_valid(wrong)


def test_raw_files(tmp_path: Path) -> None:
    with Server("--once", "-o", str(tmp_path / "s.raw")) as server:
        assert run("connect", "-o", str(tmp_path / "c.raw"), server.address, stdin=BINARY).status == 0
        server.finish()
    names = ["c.received.raw", "c.sent.raw", "s.1.received.raw", "s.1.sent.raw"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert {(tmp_path / name).read_bytes() for name in names} == {BINARY}
    assert run("connect", "-o", str(tmp_path / "c.raw")).status == 2, "never over a file"
    done = run("connect", "-o", str(tmp_path / "no" / "c.raw"))
    assert done.status == 1 and "ENOENT" in done.said and "ECONNREFUSED" not in done.said
