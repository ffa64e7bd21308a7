"""Echo servers under a load from C: round trips, bulk, accepts, datagrams."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.programs import Bench, Program, figures, processor_time
from tests.bench.registry import LESS, MORE, Contender, Contenders, Measured, at_least, benchmark

Command = Callable[[Bench], Sequence[str]]


SOCKKIT: Command = lambda bench: bench.sockkit("serve", "-p", "0")
SOCKKIT_UDP: Command = lambda bench: bench.sockkit("serve", "-u", "-p", "0")
C: Command = lambda bench: [bench.c("echo")]
C_UDP: Command = lambda bench: [bench.c("udp_echo")]
UVLOOP: Command = lambda bench: bench.python("uvloop_echo")
BARE: Command = lambda bench: bench.python("bare_echo")


def _load(bench: Bench, server: Program, mode: str, port: str, *args: object) -> dict[str, float]:
    """Run the load generator to its end, and read its figures; with them the server's processor time for each."""
    before = processor_time(server.pid)
    reading, writing = os.pipe()
    load = bench.start(bench.c("load"), mode, port, *map(str, args), stdout=writing)
    os.close(writing)
    with os.fdopen(reading) as report:
        text = report.read()
    load.succeed()
    found = figures(text)
    found["cpu_us"] = (processor_time(server.pid) - before) / max(1.0, found.get("total", 1.0)) * 1e6
    return found


def round_trips(command: Command, clients: int, bench: Bench) -> Measured:
    """64-byte messages, one under way for each client."""
    server = bench.start(*command(bench))
    port = bench.listening(server)
    found = _load(bench, server, "echo", port, clients, 64, bench.seconds)
    return {"/s": found["rate"], "p50 ms": found["p50_ms"], "p99 ms": found["p99_ms"], "CPU us": found["cpu_us"]}


def bulk(command: Command, bench: Bench) -> Measured:
    """One client sends as fast as it gets back, 1 MiB under way."""
    server = bench.start(*command(bench))
    port = bench.listening(server)
    return {"GB/s": _load(bench, server, "bulk", port, 1 << 20, bench.seconds)["rate"] / 1e9}


def accepts(command: Command, bench: Bench) -> Measured:
    """16 clients connect, get a byte echoed and close, over and over."""
    server = bench.start(*command(bench))
    port = bench.listening(server)
    found = _load(bench, server, "accept", port, 16, bench.seconds)
    return {"/s": found["rate"], "failures": found["failures"], "p50 ms": found["p50_ms"], "CPU us": found["cpu_us"]}


def datagrams(command: Command, window: int, bench: Bench) -> Measured:
    """64-byte datagrams over UDP, ``window`` of them under way."""
    server = bench.start(*command(bench))
    port = bench.listening(server, udp=True)
    found = _load(bench, server, "udp", port, window, 64, bench.seconds)
    return {"/s": found["rate"], "lost": found["lost"], "CPU us": found["cpu_us"]}


for _clients in (1, 64, 1000):

    @benchmark(
        f"echo-{_clients}",
        f"echo, 64-byte round trips, {_clients:,} client{'s' * (_clients > 1)}",
        metrics={"/s": MORE, "p50 ms": LESS, "p99 ms": LESS, "CPU us": LESS},
        targets=[
            at_least(0.8, "/s", "C epoll"),
            at_least(1.0, "/s", "uvloop"),
            at_least(0.9, "/s", "bare Python"),
        ],
        rounds=7,
    )
    def echo(clients: int = _clients) -> Contenders:
        """Round trips."""
        return {
            "sockkit": Contender(partial(round_trips, SOCKKIT, clients)),
            "C epoll": Contender(partial(round_trips, C, clients), needs=("cc",)),
            "uvloop": Contender(partial(round_trips, UVLOOP, clients), needs=("module:uvloop",)),
            "bare Python": Contender(partial(round_trips, BARE, clients)),
        }


@benchmark(
    "echo-bulk",
    "bulk echo, 1 client",
    metrics={"GB/s": MORE},
    targets=[at_least(0.9, "GB/s", "C epoll")],
    rounds=7,
)
def echo_bulk() -> Contenders:
    """Bulk."""
    return {
        "sockkit": Contender(partial(bulk, SOCKKIT)),
        "C epoll": Contender(partial(bulk, C), needs=("cc",)),
        "uvloop": Contender(partial(bulk, UVLOOP), needs=("module:uvloop",)),
    }


@benchmark(
    "accepts",
    "connections accepted, echoed to and closed",
    metrics={"/s": MORE, "failures": LESS, "CPU us": LESS},
    targets=[at_least(0.6, "/s", "C epoll")],
    rounds=7,
)
def accept() -> Contenders:
    """Accepts."""
    return {
        "sockkit": Contender(partial(accepts, SOCKKIT)),
        "C epoll": Contender(partial(accepts, C), needs=("cc",)),
        "uvloop": Contender(partial(accepts, UVLOOP), needs=("module:uvloop",)),
        "bare Python": Contender(partial(accepts, BARE)),
    }


for _window, _bound in ((1, 0.8), (32, 0.55)):

    @benchmark(
        f"udp-{_window}",
        f"UDP echo, 64-byte datagrams, {_window} under way",
        metrics={"/s": MORE, "lost": LESS, "CPU us": LESS},
        targets=[at_least(_bound, "/s", "C recvfrom")],
        rounds=7,
    )
    def udp(window: int = _window) -> Contenders:
        """Datagrams."""
        return {
            "sockkit": Contender(partial(datagrams, SOCKKIT_UDP, window)),
            "C recvfrom": Contender(partial(datagrams, C_UDP, window), needs=("cc",)),
        }
