"""Runs rows of the table, here or in the kernel lab, and says of each what was exchanged.

    python3 -m tests.families.run [PATTERN]...

For each row: ``sockkit serve`` and ``sockkit connect`` as two processes exchange its payload; then the independent peer
(``stranger.py``) does the same with the same server. It counts as exchanged only if every byte came, in order, both times.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from fnmatch import fnmatch
from typing import IO, NamedTuple

from tests.families import rows, stranger
from tests.families.rows import LINES, ROWS, Row

PATIENCE = 40.0
WAIT = "1"
"""Seconds without a reply after which the caller is done, where there is no end of input to be told."""


class Outcome(NamedTuple):
    """What came of a row: empty texts where it was as it should be."""

    name: str
    problem: str
    seconds: float
    seen: str
    """The first line that ``connect -v`` says of a message."""


class Child:
    """A process made by fork, so that the lab's slow Python need not start and import anew each time."""

    def __init__(
        self,
        main: Callable[[list[str]], None],
        arguments: list[str],
        stdin: IO[bytes] | None,
        lent: socket.socket | None = None,
    ) -> None:
        self.out, write_out = os.pipe()
        self.err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by ``close``)
        self.ready, ready = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setpgid(0, 0)
                os.dup2(stdin.fileno() if stdin else os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(write_out, 1)
                os.dup2(self.err.fileno(), 2)
                os.dup2(ready, 9)
                if lent is not None:
                    os.dup2(lent.fileno(), 3)
                os.closerange(3 if lent is None else 4, 9)
                os.closerange(10, 200)
                main(arguments)
                os._exit(0)
            except SystemExit as end:
                os._exit(end.code if isinstance(end.code, int) else 1)
            except BaseException:
                os.write(2, traceback.format_exc().encode())
                os._exit(70)
        os.close(write_out)
        os.close(ready)
        self.pidfd = os.pidfd_open(self.pid)
        self.output = b""
        self.status: int | None = None

    def said(self) -> str:
        """stderr so far."""
        self.err.seek(0)
        return self.err.read().decode(errors="replace")

    def address(self) -> str:
        """The line that ``--ready-fd`` gets, or an error."""
        if not select.select([self.ready], [], [], PATIENCE)[0]:
            raise AssertionError("the server was never ready")
        text = os.read(self.ready, 1000).decode().strip()
        if not text:
            raise AssertionError(f"serve ended: {self.said().strip()}")
        return text

    def read(self, size: int) -> bytes:
        """Its stdout: ``size`` bytes, or what came until its end or until patience is over."""
        deadline = time.monotonic() + PATIENCE
        while len(self.output) < size:
            if not select.select([self.out], [], [], max(0.0, deadline - time.monotonic()))[0]:
                break
            data = os.read(self.out, 1 << 20)
            if not data:
                break
            self.output += data
        return self.output

    def end(self, number: int | None = None) -> int:
        """Wait for its end, by a signal if one is given; its status."""
        if self.status is None:
            if number is not None:
                os.kill(self.pid, number)
            if not select.select([self.pidfd], [], [], PATIENCE)[0]:
                os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self) -> None:
        """Give back everything."""
        self.end(signal.SIGKILL)
        for fd in (self.out, self.ready, self.pidfd):
            os.close(fd)
        self.err.close()


def tool(arguments: list[str]) -> None:
    """What the ``sockkit`` command does."""
    from sockkit import __main__

    sys.argv = ["sockkit", *arguments]
    __main__.main()


def other(arguments: list[str]) -> None:
    """What ``python3 stranger.py`` does."""
    name, where, size, answered, newline = arguments
    payload = sys.stdin.buffer.read()
    back: bytes = stranger.exchange(  # type: ignore[no-untyped-call]
        name, where, payload, int(size), answered == "1", newline == "1"
    )
    sys.stdout.buffer.write(back)
    sys.stdout.buffer.flush()


def serve_arguments(row: Row) -> list[str]:
    return ["serve", *shlex.split(row.serve)]


def connect_arguments(row: Row, address: str = "") -> list[str]:
    lines = ["--lines"] if row.size == LINES else []
    return ["connect", *lines, *shlex.split(row.connect.replace("{}", shlex.quote(address)))]


def exchange(row: Row) -> str:
    """Run a row.

    Returns:
        What one sees of it.

    Raises:
        AssertionError, OSError: what was not as it should be.
    """
    if row.setup is not None:
        row.setup()
    payload = row.payload
    expected = payload if row.received is None else row.received(payload)
    newline = row.size == LINES
    ours, theirs = (None, None) if row.lent is None else row.lent()
    server = Child(tool, [*serve_arguments(row), "--ready-fd", "9"], None, ours)
    try:
        address = server.address()
        for name, main, arguments in (
            ("connect", tool, [*connect_arguments(row, address), "--reply-wait", WAIT, "-v"]),
            ("peer", other, [row.name, address, str(peer_size(row)), str(int(row.echo)), str(int(newline))]),
        ):
            with tempfile.TemporaryFile() as stdin:
                stdin.write(row.peer(payload) if name == "peer" and row.peer else payload)
                stdin.seek(0)
                client = Child(main, arguments, stdin, theirs)
                try:
                    if row.echo:
                        back = client.read(1 << 30)
                        status = client.end()
                        compare(row, name, back, expected, client.said() + server.said())
                    else:
                        client.read(1 << 30)
                        status = client.end()
                    if name == "connect":
                        seen = first_message(client.said())
                    assert status == 0, f"{name} ended with {status}: {client.said().strip()}"
                finally:
                    client.close()
            if not row.echo:
                whole = len(expected) + row.header * 100
                got = server.read(whole)
                server.output = got[whole:]
                stripped = strip(got[:whole], row)
                compare(row, f"serve, from {name}", stripped, expected, server.said())
        status = server.end(signal.SIGTERM)
        assert status == -signal.SIGTERM, f"serve ended with {status}: {server.said().strip()}"
        return seen
    finally:
        server.close()
        for sock in (ours, theirs):
            if sock is not None:
                sock.close()


def first_message(story: str) -> str:
    """The first line of a message, without its time and with the port left open; nothing of a stream."""
    lines = re.findall(r"(?m)^[<>] +[\d.]+ (#1 .*message of .*)$", story)
    return re.sub(r":\d{4,5}\b", ":PORT", lines[0]) if lines else ""


def peer_size(row: Row) -> int:
    return row.size if row.peer is None else len(row.peer(row.payload)) // 100


def strip(data: bytes, row: Row) -> bytes:
    """Without the headers that the kernel put in front."""
    if not row.header:
        return data
    step = row.header + row.size
    return b"".join(data[start + row.header : start + step] for start in range(0, len(data), step))


def compare(row: Row, name: str, got: bytes, expected: bytes, said: str) -> None:
    if got == expected:
        return
    place = next(
        (i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), min(len(got), len(expected))
    )
    raise AssertionError(
        f"{name}: {len(got)} bytes instead of {len(expected)}, different from byte {place} on "
        f"({got[place : place + 16]!r} instead of {expected[place : place + 16]!r}); {said.strip()[-600:]}"
    )


def run(patterns: list[str], *, lab: bool) -> list[Outcome]:
    """The rows whose names fit, those for the lab too where this is the lab."""
    found = []
    for row in ROWS:
        if (row.lab and not lab) or not any(fnmatch(row.name, pattern) for pattern in patterns or ["*"]):
            continue
        begun = time.monotonic()
        problem = seen = ""
        try:
            seen = exchange(row)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        found.append(Outcome(row.name, problem, round(time.monotonic() - begun, 1), seen))
        print(json.dumps(found[-1]._asdict()), flush=True)
    rows.over()
    return found


def main(patterns: list[str]) -> int:
    """Run here; the number of rows that failed."""
    import sockkit.cli
    import sockkit.commands.connect
    import sockkit.commands.serve  # noqa: F401  (once, before the first fork)
    from tests import lab

    return sum(bool(outcome.problem) for outcome in run(patterns, lab=lab.inside()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
