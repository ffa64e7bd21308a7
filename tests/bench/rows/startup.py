"""Start-up: a command that is typed, from exec to its end or its first byte, against ``import click`` in the same Python."""

from __future__ import annotations

import os
import pty
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.programs import LIMIT, Bench, Failure, readable
from tests.bench.registry import LESS, Contender, Contenders, Measured, at_most, benchmark

Command = Callable[[Bench], Sequence[str]]
CLICK = "import click"
FIRST_BYTE = b"\x01first\x02"
"""What the server says; on a terminal the control bytes are shown escaped, the word as it is."""


def _version(bench: Bench) -> Sequence[str]:
    return bench.sockkit("--version")


def _probe(bench: Bench) -> Sequence[str]:
    return bench.sockkit("probe")


def _import_click(bench: Bench) -> Sequence[str]:
    return [sys.executable, "-c", CLICK]


def _output(terminal: bool) -> tuple[int, int]:
    """(our end, the program's end) of a pipe or a pseudo-terminal."""
    return pty.openpty() if terminal else os.pipe()


def _read(fd: int) -> bytes:
    if not readable(fd, LIMIT):
        raise Failure(f"nothing came for {LIMIT:g} s")
    try:
        return os.read(fd, 65536)
    except OSError:  # EIO: a terminal that nobody has open any more
        return b""


def to_the_end(command: Command, terminal: bool, bench: Bench) -> Measured:
    """Until it has ended and its output was read."""
    argv = command(bench)
    ours, theirs = _output(terminal)
    begun = time.perf_counter()
    program = bench.start(*argv, stdout=theirs, stderr=theirs if terminal else None, new_session=terminal)
    os.close(theirs)
    while _read(ours):
        pass
    program.succeed()
    seconds = time.perf_counter() - begun
    os.close(ours)
    return {"ms": seconds * 1e3}


def to_the_first_byte(terminal: bool, bench: Bench) -> Measured:
    """``sockkit connect`` until what the server says at once is on its stdout."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = bench.sockkit("connect", "127.0.0.1", str(server.getsockname()[1]))
        ours, theirs = _output(terminal)
        begun = time.perf_counter()
        program = bench.start(*argv, stdout=theirs, stderr=theirs if terminal else None, new_session=terminal)
        os.close(theirs)
        server.settimeout(LIMIT)
        with server.accept()[0] as peer:
            peer.sendall(FIRST_BYTE)
            shown = b""
            while b"first" not in shown:
                more = _read(ours)
                if not more:
                    raise Failure(f"connect ended before its first byte: {shown!r} {program.said()}")
                shown += more
            seconds = time.perf_counter() - begun
        while _read(ours):
            pass
        os.close(ours)
        program.succeed()
    return {"ms": seconds * 1e3}


for _terminal, _bound in ((False, 1.3), (True, 2.5)):
    _suffix = "-tty" if _terminal else ""
    _where = "to a terminal" if _terminal else "to a pipe"

    @benchmark(
        f"start-version{_suffix}",
        f"sockkit --version, {_where}",
        metrics={"ms": LESS},
        targets=[at_most(_bound, "ms", CLICK)],
        rounds=25,
        quick_rounds=5,
    )
    def version(terminal: bool = _terminal) -> Contenders:
        """The version."""
        return {
            "sockkit": Contender(partial(to_the_end, _version, terminal)),
            CLICK: Contender(partial(to_the_end, _import_click, terminal)),
        }

    @benchmark(
        f"start-probe{_suffix}",
        f"one sockkit probe, {_where}",
        metrics={"ms": LESS},
        targets=[at_most(_bound, "ms", CLICK)],
        rounds=25,
        quick_rounds=5,
    )
    def probe(terminal: bool = _terminal) -> Contenders:
        """One probe."""
        return {
            "sockkit": Contender(partial(to_the_end, _probe, terminal)),
            CLICK: Contender(partial(to_the_end, _import_click, terminal)),
        }

    @benchmark(
        f"start-connect{_suffix}",
        f"sockkit connect to the first byte, {_where}",
        metrics={"ms": LESS},
        targets=[at_most(_bound, "ms", CLICK)],
        rounds=25,
        quick_rounds=5,
    )
    def connect(terminal: bool = _terminal) -> Contenders:
        """The first byte."""
        return {
            "sockkit": Contender(partial(to_the_first_byte, terminal)),
            CLICK: Contender(partial(to_the_end, _import_click, terminal)),
        }
