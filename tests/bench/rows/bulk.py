"""Bulk: 4 GiB from a file or a pipe, over TCP or a Unix socket, to /dev/null or a pipe.

Wall time from the start of the client to the end of everybody: start-up counts, since a user waits for it.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from tests.bench.programs import Bench, Failure, free_port
from tests.bench.registry import LESS, MORE, Contender, Contenders, Measured, at_least, at_most, benchmark

WALL = {"s": LESS, "GB/s": MORE, "CPU s": LESS}


class Pair(NamedTuple):
    """How a program receives and sends: functions of (bench, where) that return a command line."""

    server: Callable[[Bench, str], Sequence[str]]
    client: Callable[[Bench, str], Sequence[str]]
    port0: bool = True


def _socat(*options: str) -> Pair:
    return Pair(
        lambda bench, path: [
            *("socat", *options, "-u"),
            f"UNIX-LISTEN:{path}" if path else "TCP-LISTEN:0,bind=127.0.0.1",
            "STDOUT",
        ],
        lambda bench, where: [
            *("socat", *options, "-u", "STDIN"),
            f"UNIX-CONNECT:{where}" if "/" in where else f"TCP:127.0.0.1:{where}",
        ],
    )


SOCKKIT = Pair(
    lambda bench, path: bench.sockkit("serve", "--mode", "pipe", *(["-U", path] if path else ["-p", "0"])),
    lambda bench, where: bench.sockkit("connect", *(["-U", where] if "/" in where else ["127.0.0.1", where])),
)
NC = Pair(
    lambda bench, path: ["nc", "-l", "127.0.0.1", str(free_port())],
    lambda bench, where: ["nc", "-N", "127.0.0.1", where],
)
NCAT = Pair(
    lambda bench, path: ["ncat", "-l", "--recv-only", "127.0.0.1", "0"],
    lambda bench, where: ["ncat", "--send-only", "127.0.0.1", where],
)
SPLICE = Pair(
    lambda bench, path: [bench.c("splice"), "receive", path or "tcp"],
    lambda bench, where: [bench.c("splice"), "send", where],
)


def transfer(pair: Pair, bench: Bench, *, unix: bool = False, pipes: bool = False) -> Measured:
    """Move ``bench.size`` bytes from a file to /dev/null, or from a pipe to a pipe, whose other ends are C programs."""
    path = bench.path("socket") if unix else ""
    drain = None
    if pipes:
        reading, writing = os.pipe()
        drain = bench.start(bench.c("pipe"), "drain", stdin=reading)
        os.close(reading)
        server = bench.start(*pair.server(bench, path), stdout=writing)
        os.close(writing)
    else:
        server = bench.start(*pair.server(bench, path))
    if unix:
        where = path
        _wait_for_path(path)
    else:
        where = bench.listening(server)
    pump = None
    if pipes:
        reading, writing = os.pipe()
        begun = time.perf_counter()
        pump = bench.start(bench.c("pipe"), "pump", str(bench.size), stdout=writing)
        os.close(writing)
        client = bench.start(*pair.client(bench, where), stdin=reading)
        os.close(reading)
    else:
        source = bench.input()
        begun = time.perf_counter()
        client = bench.start(*pair.client(bench, where), stdin=source)
    sending, receiving = client.succeed(), server.succeed()
    cpu = sending.cpu + receiving.cpu
    if drain is not None and pump is not None:
        pump.succeed()
        arrived = int(drain.succeed().said)
        if arrived != bench.size:
            raise Failure(f"{client.name}: {arrived} of {bench.size} bytes arrived")
    wall = time.perf_counter() - begun
    # Its own figure, as iperf3's: from the connection's beginning to its end, without anybody's start.
    own = re.search(r"closed: .* in ([\d.]+) s", receiving.said)
    return {"s": wall, "GB/s": bench.size / (float(own[1]) if own else wall) / 1e9, "CPU s": cpu}


def _wait_for_path(path: str) -> None:
    deadline = time.monotonic() + 20
    while not _listens(path):
        if time.monotonic() > deadline:
            raise Failure(f"nobody listens on {path}")
        time.sleep(0.005)


def _listens(path: str) -> bool:
    """By /proc/net/unix: a connection that only asks would be the client."""
    with open("/proc/net/unix") as table:
        return any(line.endswith(f" {path}\n") and line.split()[3] == "00010000" for line in table)


def iperf3(bench: Bench) -> Measured:
    """``iperf3 -Z``: its own figure, without its start."""
    port = str(free_port())
    server = bench.start("iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port)
    bench.listening(server)
    client = bench.start(
        *("iperf3", "-c", "127.0.0.1", "-p", port, "-Z", "-n", str(bench.size), "-J"), stdout=(pipe := os.pipe())[1]
    )
    os.close(pipe[1])
    with os.fdopen(pipe[0]) as report:
        found = json.load(report)
    cpu = client.succeed().cpu + server.succeed().cpu
    total = found["end"]["sum_received"]
    return {"s": total["seconds"], "GB/s": total["bytes"] / total["seconds"] / 1e9, "CPU s": cpu}


@benchmark(
    "file-tcp",
    "file → TCP → /dev/null",
    metrics=WALL,
    targets=[
        at_most(0.5, "s", "nc", "ncat", "socat", "socat -b1M"),
        at_least(0.9, "GB/s", "iperf3 -Z"),
    ],
    rounds=3,
    quick_rounds=1,
    note="wall time from the client's start to the end of both; the rate is sockkit's and iperf3's own figure, without their start",
)
def file_tcp() -> Contenders:
    """A regular file to /dev/null."""
    return {
        "sockkit": Contender(partial(transfer, SOCKKIT)),
        "nc": Contender(partial(transfer, NC), needs=("nc",)),
        "ncat": Contender(partial(transfer, NCAT), needs=("ncat",)),
        "socat": Contender(partial(transfer, _socat()), needs=("socat",)),
        "socat -b1M": Contender(partial(transfer, _socat("-b1048576")), needs=("socat",)),
        "iperf3 -Z": Contender(iperf3, needs=("iperf3",)),
        "C splice": Contender(partial(transfer, SPLICE), needs=("cc",)),
    }


@benchmark(
    "pipe-tcp",
    "pipe → TCP → pipe",
    metrics=WALL,
    targets=[at_most(0.8, "s", "nc", "ncat", "socat", "socat -b1M")],
    rounds=3,
    quick_rounds=1,
    note="the pipes' other ends are C programs that write and read 64 KiB at once",
)
def pipe_tcp() -> Contenders:
    """A pipe to a pipe."""
    return {
        "sockkit": Contender(partial(transfer, SOCKKIT, pipes=True)),
        "nc": Contender(partial(transfer, NC, pipes=True), needs=("nc",)),
        "ncat": Contender(partial(transfer, NCAT, pipes=True), needs=("ncat",)),
        "socat": Contender(partial(transfer, _socat(), pipes=True), needs=("socat",)),
        "socat -b1M": Contender(partial(transfer, _socat("-b1048576"), pipes=True), needs=("socat",)),
        "C splice": Contender(partial(transfer, SPLICE, pipes=True), needs=("cc",)),
    }


@benchmark(
    "file-unix",
    "file → Unix socket → /dev/null",
    metrics=WALL,
    targets=[at_most(0.5, "s", "socat")],
    rounds=3,
    quick_rounds=1,
)
def file_unix() -> Contenders:
    """As file-tcp."""
    return {
        "sockkit": Contender(partial(transfer, SOCKKIT, unix=True)),
        "socat": Contender(partial(transfer, _socat(), unix=True), needs=("socat",)),
        "socat -b1M": Contender(partial(transfer, _socat("-b1048576"), unix=True), needs=("socat",)),
        "C splice": Contender(partial(transfer, SPLICE, unix=True), needs=("cc",)),
    }


@benchmark(
    "pipe-unix",
    "pipe → Unix socket → pipe",
    metrics=WALL,
    targets=[at_most(0.5, "s", "socat")],
    rounds=3,
    quick_rounds=1,
)
def pipe_unix() -> Contenders:
    """As pipe-tcp."""
    return {
        "sockkit": Contender(partial(transfer, SOCKKIT, unix=True, pipes=True)),
        "socat": Contender(partial(transfer, _socat(), unix=True, pipes=True), needs=("socat",)),
        "socat -b1M": Contender(partial(transfer, _socat("-b1048576"), unix=True, pipes=True), needs=("socat",)),
        "C splice": Contender(partial(transfer, SPLICE, unix=True, pipes=True), needs=("cc",)),
    }
