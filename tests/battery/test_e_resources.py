"""Exhausted resources: descriptors, disks, memory, readers that went away."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import (
    Process,
    Server,
    listener,
    needs_linux,
    ticks,
)
from tests.peers import (
    BLOCK,
    EACH_LANE,
    MIB,
    Task,
    accepted,
    conversation,
    drain_digest,
    exactly,
    pipe,
    port_of,
    pour,
    receive_end,
    send_until_refused,
    send_until_stuck,
    shell,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


@needs_linux
def test_e1_out_of_descriptors() -> None:
    with Server(prefix=shell("ulimit -n 20")) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(60)]
        said = server.wait_for(rb"sockkit: accept: ([^\n]*)\nsockkit: ([^\n]*)\n")
        assert said[1] == b"Too many open files [EMFILE %d]" % errno.EMFILE
        assert b"ulimit -n" in said[2]
        before, lines = ticks(server.pid), server.err.count(b"\n")
        time.sleep(2)  # a window to count in
        assert ticks(server.pid) - before <= 20
        assert server.err.count(b"\n") - lines <= 6
        clients[0].sendall(b"x")
        assert exactly(clients[0], 1) == b"x", "those who are in are served"
        for client in clients:
            client.close()
        begun = time.monotonic()
        with server.connect() as client:
            client.sendall(b"y")
            assert exactly(client, 1) == b"y"
        assert time.monotonic() - begun < 2
        assert server.stop().status == -signal.SIGTERM


@EACH_LANE
@needs_linux
def test_e3_stdout_is_full(lane: list[str]) -> None:
    with (
        open("/dev/full", "wb") as full,
        listener() as sock,
        Process("connect", *lane, port_of(sock), stdout=full.fileno()) as client,
        accepted(sock) as peer,
    ):
        peer.sendall(b"x")
        begun = time.monotonic()
        result = client.finish()
        assert time.monotonic() - begun < 2
        receive_end(peer)
    assert (result.status, result.out) == (1, b"")
    assert result.said.splitlines() == [
        f"sockkit: #1 write to stdout: No space left on device [ENOSPC {errno.ENOSPC}]",
        "sockkit: #1 lost 1 byte: not handed over before the end",
    ]


def test_e3_the_disk_that_is_full_is_not_ours_to_fill(tmp_path: Path) -> None:
    """A file size limit: the write fails as a full disk's does, and the bytes that went out before it stay."""
    path = tmp_path / "received"
    with (
        listener() as sock,
        path.open("wb") as file,
        Process("connect", port_of(sock), stdout=file.fileno(), prefix=shell("ulimit -f 1", "trap '' XFSZ")) as client,
        accepted(sock) as peer,
    ):
        peer.sendall(BLOCK[:2000])
        result = client.finish()
    assert result.status == 1
    assert "write to stdout: File too large [EFBIG" in result.said
    assert BLOCK.startswith(path.read_bytes())


@EACH_LANE
def test_e5_a_reader_that_has_seen_enough(lane: list[str]) -> None:
    with (
        listener() as sock,
        pipe() as (drain, stdout),
        Process("connect", *lane, port_of(sock), stdout=stdout) as client,
    ):
        os.close(stdout)

        def endless() -> None:
            with accepted(sock) as peer:
                send_until_refused(peer)

        sending = Task(endless)
        assert len(os.read(drain, 10)) == 10
        os.close(drain)
        begun = time.monotonic()
        assert client.finish() == (-signal.SIGPIPE, b"", b"")
        assert time.monotonic() - begun < 2
        sending.get()


@EACH_LANE
def test_e5_also_with_input_that_is_not_sent_yet(lane: list[str]) -> None:
    """Not a word, as of a process that SIGPIPE kills, though bytes were under way both ways."""
    with (
        listener() as sock,
        pipe() as (drain, stdout),
        open("/dev/zero", "rb") as zeros,
        Process("connect", *lane, port_of(sock), stdin=zeros.fileno(), stdout=stdout) as client,
        accepted(sock) as peer,
    ):
        os.close(stdout)
        send_until_stuck(peer)
        os.close(drain)
        assert client.finish() == (-signal.SIGPIPE, b"", b"")


@EACH_LANE
@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("command", ["connect", "serve"])
def test_e9_a_reader_that_leaves_while_nothing_moves(command: str, kind: str, lane: list[str]) -> None:
    with ExitStack() as stack:
        if kind == "pipe":
            drain, stdout = stack.enter_context(pipe())
        else:
            drain, stdout = (sock.detach() for sock in socket.socketpair())
        if command == "connect":
            sock = stack.enter_context(listener())
            process: Process = stack.enter_context(Process("connect", *lane, port_of(sock), stdout=stdout))
            peer = stack.enter_context(accepted(sock))
        else:
            server = stack.enter_context(Server(*lane, "--mode", "pipe", stdout=stdout))
            process, peer = server, stack.enter_context(server.connect())
        os.close(stdout)
        peer.sendall(b"x")
        assert os.read(drain, 10) == b"x"
        os.close(drain)
        result = process.finish(5)
        assert result.status == -signal.SIGPIPE
        if command == "connect":
            assert result.err == b""
        assert "write" not in result.said


@needs_linux
@pytest.mark.once
@EACH_LANE
@pytest.mark.parametrize("side", ["connect", "serve"])
def test_e7_a_gib_within_400_mb_of_address_space(side: str, lane: list[str]) -> None:
    count = 1024
    with conversation(side, *lane, prefix=shell("ulimit -v 400000")) as (process, peer, drain):
        assert process.popen.stdin is not None
        there = Task(pour, peer.sendall, count, lambda: peer.shutdown(socket.SHUT_WR))
        here = Task(drain_digest, lambda most: os.read(drain, most))
        process.close_stdin()
        assert here.get(100) == (count * MIB, there.get(100))
        assert process.finish().status == 0
