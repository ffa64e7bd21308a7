"""A soak: serve and connect under random faults for as long as one likes, and every byte accounted for.

``python -m tests.soak --seconds 300 --seed 1``. Workers play clients of two echo servers, and peers of ``connect``: polite ones,
and such as reset, half-close, stall, flood, leave without reading or are killed. After each conversation both sides' counts
must agree (exactly after an orderly end; otherwise nobody may have got more than the other sent), and what arrived must be a
beginning of what was sent. At the end: no descriptor more, memory flat, nothing to do and nothing done.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.harness import (
    ENVIRONMENT,
    FORBIDDEN,
    MEMORY,
    SOCKKIT,
    TIMEOUT,
    Process,
    descriptors,
    is_idle,
    listener,
    resident,
)
from tests.peers import MIB, Task, accepted, eventually, exactly, port_of, reset

NOISE = random.Random(65432).randbytes(8 * MIB)
WORKERS = 8
GROWTH = 4 * MIB
"""What a server's memory may vary by, once it is warm."""
CLOSED = re.compile(
    rb"x #\d+ (\S+) closed: received (?:[\d.]+ \w+ \()?(\d+) bytes?\)?, sent (?:[\d.]+ \w+ \()?(\d+) bytes?\)? in"
)


class Counts(NamedTuple):
    """What a server says of a session."""

    received: int
    sent: int


class Echo:
    """A ``sockkit serve``, and what it says of its sessions, by the name of the peer."""

    def __init__(self, *args: str) -> None:
        self.popen = subprocess.Popen(
            [*SOCKKIT, "serve", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        self.pid = self.popen.pid
        self.closed: dict[str, Counts] = {}
        self.sessions = 0
        self.total = b""
        self.wrong: list[bytes] = []
        self.changed = threading.Condition()
        assert self.popen.stderr is not None
        said = re.match(rb"listening on (\S+)", self.popen.stderr.readline())
        assert said, "it does not listen"
        self.address = said[1].decode()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self.changed:
                if found := CLOSED.match(line):
                    self.sessions += 1
                    self.closed[found[1].decode()] = Counts(int(found[2]), int(found[3]))
                elif line.startswith(b"x total: "):
                    self.total = line
                elif any(word in line for word in FORBIDDEN):
                    self.wrong.append(line)
                self.changed.notify_all()

    def close(self) -> None:
        """It is over, whatever it was at."""
        self.popen.kill()
        self.popen.wait()
        self._listening.join(TIMEOUT)
        assert self.popen.stderr is not None
        self.popen.stderr.close()

    def of(self, name: str) -> Counts:
        """The counts of a session that has ended, or is about to."""
        with self.changed:
            assert self.changed.wait_for(lambda: name in self.closed, TIMEOUT), f"{name} was never closed"
            return self.closed.pop(name)

    def connect(self, own: random.Random) -> tuple[socket.socket, str]:
        """A client, and the name by which the server knows it."""
        if self.address.startswith("@"):
            sock = socket.socket(socket.AF_UNIX)
            name = f"@soak-{os.getpid()}-{own.getrandbits(64):x}"
            sock.bind("\0" + name[1:])
            target: object = "\0" + self.address[1:]
        else:
            sock = socket.socket()
            host, _, port = self.address.rpartition(":")
            target = host, int(port)
        sock.settimeout(TIMEOUT)
        sock.connect(target)  # type: ignore[arg-type]
        return sock, name if sock.family == socket.AF_UNIX else "{}:{}".format(*sock.getsockname())


def piece(own: random.Random, most: int = 2 * MIB) -> bytes:
    """A stretch of noise of any size, small ones as likely as large ones."""
    size = int(2 ** own.uniform(0, most.bit_length() - 1))
    start = own.randrange(len(NOISE) - size)
    return NOISE[start : start + size]


def receive(sock: socket.socket, data: bytes) -> int:
    """Receive the beginning of ``data`` until the end or a reset; how much it was."""
    got = bytearray()
    try:
        while chunk := sock.recv(65536):
            got += chunk
    except ConnectionError:
        pass
    assert data.startswith(got), "what came is not what was sent"
    return len(got)


def try_to_send(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError:
        pass


# ---- clients of an echo: (what it is called, bytes sent, bytes received, an orderly end)

Outcome = tuple[int, int, bool]


def polite(sock: socket.socket, own: random.Random) -> Outcome:
    """Question and answer, then an end."""
    total = 0
    for _ in range(own.randint(1, 20)):
        data = piece(own, 64 * 1024)
        sock.sendall(data)
        assert exactly(sock, len(data)) == data
        total += len(data)
    return total, total, True


def half_close(sock: socket.socket, own: random.Random) -> Outcome:
    """All at once, an end, and the echo of all of it."""
    data = piece(own, 4 * MIB)

    def send() -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    sending = Task(send)
    got = receive(sock, data)
    sending.get()
    assert got == len(data)
    return got, got, True


def stall(sock: socket.socket, own: random.Random) -> Outcome:
    """Reads nothing for a while, then everything."""
    data = piece(own, 4 * MIB)
    sending = Task(sock.sendall, data)
    time.sleep(own.uniform(0, 0.5))  # the case
    assert exactly(sock, len(data)) == data
    sending.get()
    return len(data), len(data), True


def flood_and_reset(sock: socket.socket, own: random.Random) -> Outcome:
    """More than fits, and then it is gone."""
    data = NOISE
    sending = Task(try_to_send, sock, data)
    time.sleep(own.uniform(0, 0.3))  # the case
    got = exactly(sock, own.choice([1, 1000, 100_000]))
    assert data.startswith(got)
    sock.shutdown(socket.SHUT_RDWR)
    sending.get()
    return len(data), len(got), False


def abrupt(sock: socket.socket, own: random.Random) -> Outcome:
    """A reset at any moment."""
    data = piece(own)
    try_to_send(sock, data[: own.choice([0, 1, 1000, 50_000])])
    if sock.family == socket.AF_INET:
        reset(sock)
    return len(data), 0, False


def silent(sock: socket.socket, own: random.Random) -> Outcome:
    """Says nothing."""
    time.sleep(own.uniform(0, 0.2))  # the case
    return 0, 0, True


CLIENTS: tuple[Callable[[socket.socket, random.Random], Outcome], ...] = (
    *(polite, half_close, stall, flood_and_reset, abrupt, silent),
)


def talk(server: Echo, own: random.Random) -> str:
    """One client of a server."""
    play = own.choice(CLIENTS)
    sock, name = server.connect(own)
    with sock:
        sent, got, orderly = play(sock, own)
    counts = server.of(name)
    if orderly:
        assert counts == (sent, got), f"{play.__name__}: {counts} is not {(sent, got)}"
    else:
        assert got <= counts.sent <= counts.received <= sent, f"{play.__name__}: {counts}, {(sent, got)}"
    return play.__name__


# ---- peers of connect


def converse(own: random.Random) -> str:
    """One ``sockkit connect`` and what its peer, its input or its output does to it."""
    end = own.choice(["both end", "reset", "peer ends first", "kill -9", "SIGTERM"])
    lane = own.choice([[], ["--copy"]])
    there, here = piece(own, 4 * MIB), piece(own, 4 * MIB)
    with listener() as sock, Process("connect", *lane, port_of(sock)) as client, accepted(sock) as peer:
        if end in ("both end", "peer ends first"):
            if end == "both end":
                client.feed(here)
            sending = Task(try_to_send, peer, there)
            if end == "peer ends first":
                eventually(lambda: len(client.out) == len(there))
                peer.shutdown(socket.SHUT_WR)
                client.feed(here)
            assert receive(peer, here) == len(here)
            sending.get()
            if end == "both end":
                peer.shutdown(socket.SHUT_WR)
            result = client.finish()
            assert (result.status, result.out) == (0, there), (end, result.status, len(result.out), result.err)
            return f"connect: {end}"
        client.feed(here * 8)
        sending = Task(try_to_send, peer, there)
        if end == "reset":
            sending.get()
            exactly(peer, 1)
            reset(peer)
            result = client.finish()
            assert result.status == 1 and b"ECONNRESET" in result.err or b"EPIPE" in result.err, (end, result)
        else:
            got = exactly(peer, min(own.choice([1, 1000]), len(here)))
            client.kill(signal.SIGKILL if end == "kill -9" else signal.SIGTERM)
            rest = receive(peer, (here * 8)[len(got) :])
            assert (here * 8).startswith(got) and rest >= 0
            result = client.finish()
            assert result.status == -(signal.SIGKILL if end == "kill -9" else signal.SIGTERM), (end, result)
        sending.get()
        assert there.startswith(result.out), end
    return f"connect: {end}"


def reader_goes(own: random.Random) -> str:
    """One ``sockkit connect | head``."""
    there = piece(own, 4 * MIB)
    drain, stdout = os.pipe()  # each closed once: other workers get the same numbers
    with listener() as sock:
        client = Process("connect", *own.choice([[], ["--copy"]]), port_of(sock), stdout=stdout)
        os.close(stdout)
        with client, accepted(sock) as peer:
            sending = Task(try_to_send, peer, there)
            first = os.read(drain, 1)
            os.close(drain)
            assert first == there[:1]
            assert client.finish() == (-signal.SIGPIPE, b"", b"")
            sending.get()
    return "connect: the reader of stdout goes"


def killed(server: Echo, own: random.Random) -> str:
    """A client that floods an echo, and is killed."""
    with open("/dev/zero", "rb") as zeros, open("/dev/null", "wb") as null:
        # From an address of its own: its port may be the next client's.
        source = () if server.address.startswith("@") else ("-s", "127.0.0.2")
        with Process("connect", *source, server.address, stdin=zeros.fileno(), stdout=null.fileno()) as client:
            time.sleep(own.uniform(0.05, 0.5))  # the case: any moment
            client.kill(signal.SIGKILL)
            assert client.finish().status == -signal.SIGKILL
    return "kill -9 of a client"


# ---- the soak


def soak(seconds: float, seed: int, say: Callable[[str], object] = print) -> None:
    """Raises AssertionError with what was wrong."""
    say(f"seed {seed}, {seconds:g} s, {WORKERS} workers")
    servers = [Echo("127.0.0.1", "0"), Echo(f"@soak-server-{os.getpid()}")]
    try:
        for server in servers:
            own = random.Random(seed)
            for play in (polite, half_close):
                sock, name = server.connect(own)
                with sock:
                    play(sock, own)
                server.of(name)
        idle = [descriptors(server.pid) for server in servers]
        over = time.monotonic() + seconds
        played: Counter[str] = Counter({"talk": 0})
        wrong: list[str] = []
        lock = threading.Lock()

        def work(number: int) -> None:
            own = random.Random(f"{seed} {number}")
            while time.monotonic() < over and not wrong:
                try:
                    chance, server = own.random(), own.choice(servers)
                    what = (
                        converse(own)
                        if chance < 0.08
                        else reader_goes(own)
                        if chance < 0.1
                        else killed(server, own)
                        if chance < 0.12
                        else talk(server, own)
                    )
                    with lock:
                        played[what] += 1
                except BaseException as error:
                    with lock:
                        wrong.append(f"worker {number}: {error!r}")

        workers = [Task(work, number) for number in range(WORKERS)]
        time.sleep(seconds * 0.2)  # until it is warm
        warm = [resident(server.pid) for server in servers]
        for worker in workers:
            worker.get(seconds + 2 * TIMEOUT)
        assert not wrong, "\n".join(wrong)
        for server, before, memory in zip(servers, idle, warm, strict=True):
            eventually(lambda pid=server.pid, before=before: descriptors(pid) <= before)  # type: ignore[misc]
            eventually(lambda pid=server.pid: is_idle(pid, 0.2))  # type: ignore[misc]
            now = resident(server.pid)
            say(
                f"{server.address}: {server.sessions} sessions, {before} descriptors before and"
                f" {descriptors(server.pid)} after, {memory >> 10} KiB when warm and {now >> 10} KiB at the end"
            )
            assert descriptors(server.pid) <= before
            assert now - memory <= GROWTH and now <= MEMORY, f"{memory} bytes resident became {now}"
            assert not server.wrong, server.wrong
        for server in servers:
            server.popen.send_signal(signal.SIGTERM)
            assert server.popen.wait(TIMEOUT) == -signal.SIGTERM
            eventually(lambda server=server: bool(server.total))  # type: ignore[misc]
            found = re.match(rb"x total: (\d+) sessions", server.total)
            assert found and int(found[1]) == server.sessions, server.total
        for what, count in sorted(played.items()):
            if count:
                say(f"{count:8} {what}")
    finally:
        for server in servers:
            server.close()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    try:
        soak(options.seconds, options.seed)
    except AssertionError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("every byte accounted for")
    return 0


if __name__ == "__main__":
    sys.exit(main())
