"""Every TCP port of this host, of which next to none is open: ``connect -z`` against nc, which asks one after the other."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial

from tests.bench.programs import Bench
from tests.bench.registry import LESS, Contender, Contenders, Measured, at_most, benchmark
from tests.bench.rows.startup import Command, to_the_end

NC = "nc -z"


def _sockkit(bench: Bench) -> Sequence[str]:
    return bench.sockkit("connect", "-z", "127.0.0.1", "1-65535")


def _nc(bench: Bench) -> Sequence[str]:
    return ["nc", "-z", "127.0.0.1", "1-65535"]


def _seconds(command: Command, bench: Bench) -> Measured:
    with socket.create_server(("127.0.0.1", 0)):  # one is open, so that both end with status 0
        return {"s": to_the_end(command, False, bench)["ms"] / 1e3}


@benchmark(
    "scan",
    "65,535 TCP ports of this host",
    metrics={"s": LESS},
    targets=[at_most(2.5, "s", NC)],
    rounds=5,
    quick_rounds=1,
    note="Each refuses at once. Ports that do not answer nc waits for one by one, sockkit for 256 at once.",
)
def scan() -> Contenders:
    """Refused."""
    return {
        "sockkit": Contender(partial(_seconds, _sockkit)),
        NC: Contender(partial(_seconds, _nc), needs=("nc",)),
    }
