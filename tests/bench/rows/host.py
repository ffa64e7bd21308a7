"""The machine's sockets: 20,000 of them listed, with those who have them and without, against ss."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

from tests.bench.programs import HERE, LIMIT, Bench, Failure, readable
from tests.bench.registry import LESS, Contender, Contenders, Measured, at_most, benchmark

SOCKETS = 20_000
TIMES = 5
"""How often the list is made of one crowd; its median counts, since to make the crowd takes longer than to list it."""


def listed(command: Sequence[str], ours: bool, bench: Bench) -> Measured:
    """List a crowd of connections in a network namespace of its own, where we may make one."""
    count = SOCKETS // 10 if bench.quick else SOCKETS
    apart = ["unshare", "--net"] if os.geteuid() == 0 else []
    crowd = bench.start(
        *apart,
        sys.executable,
        str(HERE / "peers" / "crowd.py"),
        str(count),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    if not readable(crowd.stdout.fileno(), LIMIT) or crowd.stdout.readline() != b"ready\n":
        raise Failure(f"the crowd did not come together: {crowd.said()}")
    inside = ["nsenter", f"--net=/proc/{crowd.pid}/ns/net"] if apart else []
    argv = bench.sockkit(*command) if ours else list(command)
    measured = subprocess.run(
        [*inside, sys.executable, "-S", "-E", str(HERE / "peers" / "measured.py"), str(TIMES), *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    crowd.stdin.close()
    crowd.wait()
    if measured.returncode:
        raise Failure(measured.stderr.strip()[-500:])
    seconds, cpu, kib = zip(*(map(float, line.split()) for line in measured.stdout.splitlines()), strict=True)
    return {
        "ms": statistics.median(seconds) * 1e3,
        "CPU ms": statistics.median(cpu) * 1e3,
        "RSS MiB": max(kib) / 1024,
    }


@benchmark(
    "list-owners",
    "20,000 sockets of the machine listed, with who has them",
    metrics={"ms": LESS, "CPU ms": LESS, "RSS MiB": LESS},
    targets=[at_most(2, "ms", "ss -anp"), at_most(60, "RSS MiB")],
    note="connections in ten processes; output to /dev/null; ours looks for sockets that no list has, too",
)
def with_owners() -> Contenders:
    """Owners: every descriptor of every process is looked at."""
    return {
        "sockkit": Contender(partial(listed, ["inspect", "--all"], True)),
        "ss -anp": Contender(partial(listed, ["ss", "-anp"], False), needs=("ss",)),
    }


@benchmark(
    "list",
    "20,000 sockets of the machine listed, without who has them",
    metrics={"ms": LESS, "CPU ms": LESS, "RSS MiB": LESS},
    targets=[at_most(5, "ms", "ss -an"), at_most(60, "RSS MiB")],
    note="connections in ten processes; output to /dev/null",
)
def without_owners() -> Contenders:
    """The kernel's list alone."""
    return {
        "sockkit": Contender(partial(listed, ["inspect", "--all", "--no-owners"], True)),
        "ss -an": Contender(partial(listed, ["ss", "-an"], False), needs=("ss",)),
    }
