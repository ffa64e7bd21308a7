"""Memory: 10,000 clients that say nothing, and a reader that stalls while 4 GiB want to pass."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.programs import LIMIT, Bench, Failure, Program, figures, memory, readable
from tests.bench.registry import LESS, Contender, Contenders, Measured, at_most, benchmark
from tests.bench.rows.echo import BARE, SOCKKIT, UVLOOP, C, Command

CLIENTS = 10_000
ECHOES = 1000
PIPE = subprocess.PIPE
STALL = 1.0
"""Seconds for which the reader takes nothing."""
MIB = 1 << 20


def _line(program: Program, wanted: str) -> str:
    """What it printed up to that line."""
    text = b""
    while f"{wanted}\n".encode() not in text:
        if not readable(program.stdout.fileno(), LIMIT):
            raise Failure(f"{program.name}: no {wanted!r} within {LIMIT:g} s")
        more = os.read(program.stdout.fileno(), 65536)
        if not more:
            raise Failure(f"{program.name}: {program.said()}")
        text += more
    return text.decode()


def idle(command: Command, bench: Bench) -> Measured:
    """What a client costs in memory, and how long an echo takes in the crowd."""
    server = bench.start(*command(bench))
    port = bench.listening(server)
    before = memory(server.pid)
    clients = CLIENTS if bench.trace is None else 100
    load = bench.start(bench.c("load"), "idle", port, str(clients), str(ECHOES), stdin=PIPE, stdout=PIPE)
    opened = figures(_line(load, "ready"))["opened_s"]
    each = (memory(server.pid) - before) / clients
    load.stdin.write(b"go\n")
    load.stdin.flush()
    found = figures(_line(load, "done"))
    load.stdin.close()
    load.succeed()
    return {
        "KiB a client": each / 1024,
        "failures": found["failures"],
        "echo p50 ms": found["p50_ms"],
        "echo p99 ms": found["p99_ms"],
        "opened/s": clients / opened,
    }


@benchmark(
    "idle",
    f"{CLIENTS:,} idle clients, an echo now and then",
    metrics={"KiB a client": LESS, "failures": LESS, "echo p50 ms": LESS},
    targets=[at_most(8, "KiB a client"), at_most(0, "failures"), at_most(10, "echo p50 ms")],
    rounds=3,
    quick_rounds=1,
    note="memory: the growth of the server's resident set; what the kernel holds for each is not in it",
)
def idle_clients() -> Contenders:
    """A crowd."""
    return {
        "sockkit": Contender(partial(idle, SOCKKIT)),
        "C epoll": Contender(partial(idle, C), needs=("cc",)),
        "uvloop": Contender(partial(idle, UVLOOP), needs=("module:uvloop",)),
        "bare Python": Contender(partial(idle, BARE)),
    }


def _stall(read: Callable[[int], int], program: Program, size: int) -> Measured:
    """Take a quarter, stall, take the rest; look at the program's memory all the while."""
    taken = 0
    samples: list[int] = []
    stalled = False
    begun = time.perf_counter()
    while taken < size:
        # All but the last byte: then it still lives, and its peak can be read.
        if taken == size - 1:
            break
        found = read(min(MIB, size - 1 - taken))
        if not found:
            raise Failure(f"{program.name}: ended after {taken} of {size} bytes: {program.said()}")
        taken += found
        if not samples and taken >= size // 16:
            samples.append(memory(program.pid))
        if not stalled and taken >= size // 4:
            samples.append(memory(program.pid))
            time.sleep(STALL)
            samples.append(memory(program.pid))
            stalled = True
    samples.append(memory(program.pid))
    peak = memory(program.pid, "VmHWM")
    if read(1) != 1 or read(1) != 0:
        raise Failure(f"{program.name}: not {size} bytes")
    return {
        "MiB peak": peak / MIB,
        "MiB growth": (max(samples) - samples[0]) / MIB,
        "s": time.perf_counter() - begun - STALL,
    }


def stalled_connect(bench: Bench) -> Measured:
    """``connect < FILE`` to a server that stalls."""
    buffer = memoryview(bytearray(MIB))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        program = bench.start(*bench.sockkit("connect", "127.0.0.1", port), stdin=bench.input())
        server.settimeout(LIMIT)
        with server.accept()[0] as peer:
            peer.settimeout(LIMIT)
            found = _stall(lambda most: peer.recv_into(buffer, most), program, bench.size)
    program.succeed()
    return found


def stalled_serve(bench: Bench) -> Measured:
    """``serve --mode pipe | reader``, where the reader stalls."""
    buffer = memoryview(bytearray(MIB))
    ours, theirs = os.pipe()
    try:
        program = bench.start(*bench.sockkit("serve", "--mode", "pipe", "-p", "0"), stdout=theirs)
    finally:
        os.close(theirs)
    port = bench.listening(program)
    client = bench.start(bench.c("splice"), "send", port, stdin=bench.input())
    try:
        found = _stall(lambda most: os.readv(ours, [buffer[:most]]), program, bench.size)
    finally:
        os.close(ours)
    client.succeed()
    program.succeed()
    return found


def _memory_row(name: str, what: str, run: Callable[[Bench], Measured], needs: Sequence[str] = ()) -> None:
    @benchmark(
        name,
        what,
        metrics={"MiB peak": LESS, "MiB growth": LESS},
        targets=[at_most(45, "MiB peak"), at_most(1, "MiB growth")],
        rounds=2,
        quick_rounds=1,
        note=f"the reader takes a quarter, nothing for {STALL:g} s, then the rest; growth: of the resident set after the first sixteenth",
    )
    def row() -> Contenders:
        return {"sockkit": Contender(run, needs=tuple(needs))}


_memory_row("stall-connect", "connect < file, the server's reader stalls: resident set", stalled_connect)
_memory_row("stall-serve", "serve --mode pipe | reader that stalls: resident set", stalled_serve, ("cc",))
