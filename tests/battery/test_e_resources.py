"""Exhausted resources: descriptors, disks, memory, readers that went away."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import (
    Process,
    Server,
    listener,
    need,
    needs_linux,
    needs_root,
    receive_all,
    run,
    ticks,
)
from tests.peers import (
    BLOCK,
    EACH_LANE,
    LANES,
    MIB,
    Task,
    accepted,
    conversation,
    drain_digest,
    eventually,
    exactly,
    pipe,
    port_of,
    pour,
    receive_end,
    send_and_end,
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
        assert time.monotonic() - begun < 10
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
        assert time.monotonic() - begun < 10
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
        assert time.monotonic() - begun < 10
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
        send_until_stuck(peer, client)
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


# ---- beyond the list


@EACH_LANE
def test_e10_a_large_flow_where_no_descriptor_is_left_for_a_pipe(lane: list[str]) -> None:
    with Server(*lane, prefix=shell("ulimit -n 10")) as server, server.connect() as client:
        sending = Task(send_and_end, client, BLOCK * 16)
        assert receive_all(client) == BLOCK * 16
        sending.get()
        assert server.stop().status == -signal.SIGTERM


NOBODY = "import fcntl, os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
"""What makes a process an ordinary user's. What it will want to import must be there by then."""


@needs_linux
@needs_root
def test_e11_a_user_whose_pipes_hold_too_much_already() -> None:
    """Beyond pipe-user-pages-soft new pipes are of 8 KiB, and none may grow (pipe(7)): it is copied, byte for byte."""
    hold = """
pipes = [os.pipe() for _ in range(70)]
for _, writing in pipes:
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    except PermissionError:
        print("used up", flush=True)
        break
sys.stdin.read()
"""
    load = """
import importlib, pkgutil, sockkit
for module in pkgutil.walk_packages(sockkit.__path__, "sockkit."):
    try:
        importlib.import_module(module.name)
    except ImportError:
        pass
"""
    go = "sys.argv = ['sockkit', *sys.argv[4:]]; sys.modules['sockkit.cli'].main()"
    command = [sys.executable, "-c", NOBODY + hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"used up\n"
        prefix = [sys.executable, "-c", load + NOBODY + go]
        with Server("-v", prefix=prefix, memory=128 * MIB) as server, server.connect() as client:
            sending = Task(send_and_end, client, BLOCK * 16)
            assert receive_all(client) == BLOCK * 16
            sending.get()
            assert server.stop().status == -signal.SIGTERM
        holder.communicate()


@needs_linux
@needs_root
@EACH_LANE
def test_e12_a_disk_that_fills_up_amid_a_large_flow(lane: list[str], tmp_path: Path) -> None:
    """What fits is there, in order; what does not is counted and said; the exit status tells."""
    with listener() as sock, (tmp_path.parent / f"{tmp_path.name}-kept").open("w+b") as kept:
        keep = f"cat {tmp_path}/out >&{kept.fileno()}"
        script = f'mount -t tmpfs -o size=2m none {tmp_path} && "$@" > {tmp_path}/out; status=$?; {keep}; exit $status'
        prefix = [need("unshare"), "-m", "bash", "-c", script, "-"]
        with Process("connect", *lane, port_of(sock), prefix=prefix, pass_fds=[kept.fileno()]) as client:
            with accepted(sock) as peer:
                send_until_refused(peer)
            result = client.finish()
        kept.seek(0)
        got = kept.read()
    assert result.status == 1
    assert f"write to stdout: No space left on device [ENOSPC {errno.ENOSPC}]" in result.said
    assert 1 * MIB < len(got) <= 2 * MIB
    assert (BLOCK * 3).startswith(got)


def test_e13_a_reader_that_leaves_where_sigpipe_is_ignored() -> None:
    """As under many service managers: still an end, and still not a word."""
    with listener() as sock, pipe() as (drain, stdout):
        with Process("connect", port_of(sock), stdout=stdout, prefix=shell("trap '' PIPE")) as client:
            os.close(stdout)
            with accepted(sock) as peer:
                peer.sendall(b"0123456789")
                assert os.read(drain, 10) == b"0123456789"
                os.close(drain)
                assert client.finish(5) == (-signal.SIGPIPE, b"", b"")


INJECTED = (
    "recvfrom:error=EINTR:when=2+3",
    "recvfrom:error=EAGAIN:when=2+2",
    "sendto:error=EAGAIN:when=1+2",
    "sendto:error=EINTR:when=1+2",
    "write:error=EAGAIN:when=1+2",
    "write:error=EINTR:when=1+2",
    "splice:error=EAGAIN:when=1+2",
    "splice:error=EINTR:when=1+2",
    "splice:error=EINVAL:when=3",
    "splice:error=ENOSYS",
    "splice:retval=0:when=2+3",
    "sendfile:error=EINTR:when=1+2",
    "sendfile:error=EAGAIN:when=1+2",
    "sendfile:error=EINVAL",
    "pipe2:error=EMFILE:when=2+1",
    "pipe2:error=ENFILE:when=2+1",
    "epoll_wait:error=EINTR:when=1+2",
    "accept4:error=ECONNABORTED:when=1",
    "accept4:error=EMFILE:when=1",
    "accept4:error=ENOBUFS:when=1",
    "accept4:error=EPROTO:when=1",
    "accept4:error=EPERM:when=1",
)


@needs_linux
@pytest.mark.once
@pytest.mark.parametrize("fault", INJECTED)
def test_e14_system_calls_that_answer_otherwise(fault: str, tmp_path: Path) -> None:
    """Injected by strace(1): an echo and a client with a file, a pipe and both lanes at work; every byte arrives."""
    trace = tmp_path / "trace"
    strace = [need("strace"), "-DDD", "-f", "-qq", "-A", "-o", str(trace), "-e", f"trace={fault.split(':')[0]}"]
    prefix = [*strace, "-e", f"inject={fault}"]
    path = tmp_path / "stdin"
    path.write_bytes(BLOCK * 4)
    if fault.startswith("accept4"):
        with Server(prefix=prefix) as server:
            for _ in range(3):
                with server.connect() as client:
                    client.sendall(b"x")
                    assert exactly(client, 1) == b"x"
            assert server.stop().status == -signal.SIGTERM
        eventually(lambda: b"(INJECTED)" in trace.read_bytes())
        return
    for lane in LANES:
        with Server() as server, path.open("rb") as file:
            for stdin in (file.fileno(), BLOCK * 4):
                result = run("connect", *lane, str(server.port), stdin=stdin, prefix=prefix)
                assert (result.status, result.out) == (0, BLOCK * 4), result.err
    if not fault.startswith("write"):  # its story would wait for the next event
        with Server(prefix=prefix) as server:
            with server.connect() as client:
                sending = Task(send_and_end, client, BLOCK * 4)
                assert receive_all(client) == BLOCK * 4
                sending.get()
            assert server.stop().status == -signal.SIGTERM
    eventually(lambda: b"(INJECTED)" in trace.read_bytes())
