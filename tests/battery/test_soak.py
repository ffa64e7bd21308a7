"""Long runs: random faults, and very many clients. Nothing grows."""

from __future__ import annotations

import re
import signal
import socket
import sys
import time
from contextlib import ExitStack

import pytest

from tests.harness import TIMEOUT, Server, descriptors, resident
from tests.peers import MIB, eventually, exactly, in_a_network_of_its_own
from tests.soak import soak

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: memory and descriptors are read from /proc"),
    pytest.mark.once,
]


def test_a_soak() -> None:
    """``python -m tests.soak`` runs for longer."""
    soak(20, 65432)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["echo", "discard"])
def test_a_hundred_thousand_short_connections(mode: str) -> None:
    """Fifty at a time, each with a question and an answer. Descriptors and memory at the end are those of the beginning."""
    in_a_network_of_its_own(lambda: _short_connections(mode))


def _short_connections(mode: str) -> None:
    count, at_once = 100_000, 50
    with Server("--mode", mode) as server:

        def some(start: int, stack: ExitStack) -> None:
            clients = []
            for number in range(start, start + at_once):
                client = stack.enter_context(socket.socket())
                client.settimeout(TIMEOUT)
                # Whoever closes first keeps its port for a minute (TIME_WAIT): there are 28,000 an address.
                client.bind((f"127.0.0.{1 + number % 16}", 0))
                client.connect(("127.0.0.1", server.port))
                client.sendall(b"%06d" % number)
                clients.append((number, client))
            for number, client in clients:
                if mode == "echo":
                    assert exactly(client, 6) == b"%06d" % number
                else:
                    client.shutdown(socket.SHUT_WR)
                    assert client.recv(1) == b""
                client.close()

        begun, looks = time.monotonic(), []
        for start in range(0, count, at_once):
            with ExitStack() as stack:
                some(start, stack)
            if start % 10_000 == 0:
                looks.append((start, descriptors(server.pid), resident(server.pid)))
        took = time.monotonic() - begun
        eventually(lambda: descriptors(server.pid) <= looks[0][1])
        looks.append((count, descriptors(server.pid), resident(server.pid)))
        print(f"\n{count} connections in {took:.1f} s, {count / took:.0f} a second")
        for number, open, memory in looks:
            print(f"{number:8} served: {open} descriptors, {memory >> 10} KiB resident")
        assert all(open <= looks[0][1] + at_once for _, open, _ in looks)
        assert looks[-1][2] - looks[1][2] < MIB // 2
        result = server.stop()
    assert result.status == -signal.SIGTERM
    assert re.search(rf"total: {count} sessions, received [^,]*\({count * 6} bytes\)", result.said)
