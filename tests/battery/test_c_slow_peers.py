"""Slow peers: back-pressure keeps memory and CPU where they are, and time limits say what they limit."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import (
    TIMEOUT,
    Process,
    Server,
    is_idle,
    listener,
    need,
    needs_linux,
    needs_root,
    needs_unix,
    receive_all,
    resident,
    run,
)
from tests.peers import (
    BLOCK,
    EACH_LANE,
    MIB,
    Task,
    accepted,
    conversation,
    drain_digest,
    eventually,
    exactly,
    full_queue,
    in_a_network_of_its_own,
    pipe,
    port_of,
    pour,
    send_until_stuck,
    write_all,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


@EACH_LANE
@needs_linux
def test_c1_nobody_reads_our_stdout(lane: list[str]) -> None:
    with listener() as sock, pipe() as (_, stdout), Process("connect", *lane, port_of(sock), stdout=stdout) as client:
        os.close(stdout)
        with accepted(sock) as peer:
            before = resident(client.pid)
            sent = send_until_stuck(peer, client)
            assert sent <= 16 * MIB
            assert resident(client.pid) - before < 32 * MIB
            eventually(lambda: is_idle(client.pid))
        assert client.stop().status == -signal.SIGTERM


@EACH_LANE
@needs_linux
def test_c2_the_peer_reads_nothing(lane: list[str]) -> None:
    with (
        listener() as sock,
        open("/dev/zero", "rb") as zeros,
        Process("connect", *lane, port_of(sock), stdin=zeros.fileno()) as client,
        accepted(sock),
    ):
        before = resident(client.pid)
        eventually(lambda: is_idle(client.pid, 0.2, 0.01))
        assert resident(client.pid) - before < 32 * MIB
        eventually(lambda: is_idle(client.pid))
        result = client.stop()
        assert (result.status, result.out) == (-signal.SIGTERM, b"")
        assert re.fullmatch(r"(sockkit: #1 lost \S.*: not handed over before the end\n)?", result.said)


@EACH_LANE
@needs_linux
def test_c2_an_echo_whose_client_reads_nothing(lane: list[str]) -> None:
    with Server(*lane) as server, server.connect() as client:
        before = resident(server.pid)
        sent = send_until_stuck(client, server)
        assert resident(server.pid) - before < 32 * MIB
        eventually(lambda: is_idle(server.pid))
        ending = Task(client.shutdown, socket.SHUT_WR)
        size, _ = drain_digest(client.recv)
        ending.get()
        assert size == sent, "and when it reads at last, all of it is there"


@EACH_LANE
def test_c4_idle_timeout(lane: list[str]) -> None:
    begun = time.monotonic()
    with (
        listener() as sock,
        Process("connect", *lane, "--idle-timeout", "1", port_of(sock)) as client,
        accepted(sock) as peer,
    ):
        assert peer.recv(1) == b""
        assert 1 <= time.monotonic() - begun < 10
        result = client.finish()
    assert (result.status, result.out) == (1, b"")
    assert result.said == f"sockkit: #1 idle timeout: nothing moved for 1 s [ETIMEDOUT {errno.ETIMEDOUT}]\n"


@EACH_LANE
def test_c4_a_flow_in_one_direction_is_not_idle(lane: list[str]) -> None:
    with listener() as sock, Process("connect", *lane, "--idle-timeout", "1.2", port_of(sock)) as client:
        with accepted(sock) as peer:
            for number in range(15):
                peer.sendall(b"%x" % number)
                time.sleep(0.1)  # the case: a slow flow that lasts longer than the timeout
        client.close_stdin()
        assert client.finish() == (0, b"0123456789abcde", b"")


@EACH_LANE
def test_c4_a_slow_peer_that_takes_what_the_kernel_holds_is_not_idle(lane: list[str]) -> None:
    content = BLOCK[:600_000]
    with listener() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        with Process("connect", *lane, "--idle-timeout", "1.2", port_of(sock)) as client, accepted(sock) as peer:
            peer.shutdown(socket.SHUT_WR)
            client.send(content)
            client.close_stdin()
            got = bytearray()
            while chunk := peer.recv(32768):
                got += chunk
                time.sleep(0.08)  # the case: it takes longer than the timeout, all in all
            assert got == content
            assert client.finish() == (0, b"", b"")


def test_c6_a_full_accept_queue() -> None:
    with full_queue() as sock:
        begun, port = time.monotonic(), port_of(sock)
        result = run("connect", "--connect-timeout", "1", port, stdin=b"x")
        assert 0.9 < time.monotonic() - begun < 9
    assert (result.status, result.out) == (1, b"")
    expected = rf"sockkit: connect to 127\.0\.0\.1:{port}: timed out after 1 s \[ETIMEDOUT {errno.ETIMEDOUT}\]\n"
    assert re.match(expected, result.said)


@needs_unix
def test_c6_a_full_accept_queue_of_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with full_queue(socket.AF_UNIX, path) as sock:
        result = run("connect", "-w", "0.5", path, stdin=b"x")
        assert (result.status, result.out) == (1, b"")
        assert result.said.startswith(
            f"sockkit: connect to {path}: timed out after 0.5 s [ETIMEDOUT {errno.ETIMEDOUT}]\n"
        )
        with Process("connect", path) as client:  # it waits, and when there is room it gets in
            client.send(b"x")
            client.close_stdin()
            sock.settimeout(TIMEOUT)
            for _ in range(8):
                with sock.accept()[0] as peer:
                    peer.settimeout(TIMEOUT)
                    if select.select([peer], [], [], 0.5)[0]:
                        assert receive_all(peer) == b"x"
                        break
            assert client.finish() == (0, b"", b"")


@pytest.mark.once
@EACH_LANE
def test_c7_a_peer_that_delays_its_end(lane: list[str]) -> None:
    with listener() as sock, Process("connect", *lane, port_of(sock), stdin=subprocess.DEVNULL) as client:
        with accepted(sock) as peer:
            assert peer.recv(1) == b""
            peer.sendall(b"first ")
            client.wait_for(rb"first ", stream="out")
            with pytest.raises(subprocess.TimeoutExpired):
                client.popen.wait(3)
            peer.sendall(b"last")
        assert client.finish() == (0, b"first last", b"")


@pytest.mark.once
@EACH_LANE
@pytest.mark.parametrize("side", ["connect", "serve"])
def test_c5_a_reader_that_sleeps_in_the_middle(side: str, lane: list[str]) -> None:
    """Both readers, that of our stdout and the peer, sleep for five seconds in the middle of 64 MiB."""

    def sleepy(read: Callable[[int], bytes]) -> tuple[int, str]:
        asleep = False

        def reading(most: int) -> bytes:
            nonlocal asleep
            if read_so_far[0] > 20 * MIB and not asleep:
                asleep = True
                time.sleep(5)  # the case
            data = read(most)
            read_so_far[0] += len(data)
            return data

        read_so_far = [0]
        return drain_digest(reading)

    count = 64
    with conversation(side, *lane) as (process, peer, drain):
        assert process.popen.stdin is not None
        feed = process.popen.stdin.fileno()
        pouring = Task(pour, peer.sendall, count, lambda: peer.shutdown(socket.SHUT_WR))
        feeding = Task(pour, write_all(feed), count, process.close_stdin)
        here, there = Task(sleepy, lambda most: os.read(drain, most)), Task(sleepy, peer.recv)
        sent = pouring.get(60)
        assert here.get(60) == (count * MIB, sent)
        assert there.get(60) == (count * MIB, feeding.get(60))
        assert process.finish().status == 0


@pytest.mark.once
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_c6_the_connect_timeout_is_ten_seconds(family: str, tmp_path: Path) -> None:
    where = (socket.AF_INET, ("127.0.0.1", 0)) if family == "tcp" else (socket.AF_UNIX, str(tmp_path / "s"))
    with full_queue(*where) as sock:
        begun = time.monotonic()
        result = run("connect", port_of(sock) if family == "tcp" else str(where[1]), stdin=b"x")
        assert 9 < time.monotonic() - begun < 20
    assert (result.status, result.out) == (1, b"")
    assert f"timed out after 10 s [ETIMEDOUT {errno.ETIMEDOUT}]" in result.said


@pytest.mark.once
@needs_linux
@needs_root
@EACH_LANE
@pytest.mark.parametrize("mended", [True, False])
def test_c8_a_cable_that_is_pulled(mended: bool, lane: list[str]) -> None:
    """And put back after a second: everything arrives. Or not: ``--idle-timeout`` ends it, and says so."""

    def link(state: str) -> None:
        subprocess.run([need("ip"), "link", "set", "lo", state], check=True)

    def play() -> None:
        timeout = () if mended else ("--idle-timeout", "1.5")
        with conversation("connect", *lane, *timeout) as (process, peer, drain):
            received = Task(drain_digest, lambda most: os.read(drain, most))
            process.feed(BLOCK * 16)
            got = bytearray(exactly(peer, MIB))
            link("down")
            time.sleep(1)  # the case
            if not mended:
                result = process.finish()
                assert result.status == 1
                assert "idle timeout: nothing moved for 1.5 s [ETIMEDOUT" in result.said
                return
            link("up")
            got += receive_all(peer)
            assert got == BLOCK * 16
            peer.sendall(BLOCK)
            peer.shutdown(socket.SHUT_WR)
            assert received.get()[0] == MIB
            assert process.finish().status == 0

    in_a_network_of_its_own(play)
