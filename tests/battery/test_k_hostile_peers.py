"""Hostile peers: escapes, resets, silence."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sys
import time
from contextlib import ExitStack

import pytest

from tests.harness import (
    TIMEOUT,
    Server,
    cpu_time,
    descriptors,
    listener,
    needs_ipv6,
    needs_linux,
    on_terminal,
    receive_all,
    run,
)
from tests.peers import (
    BLOCK,
    EACH_LANE,
    EVIL,
    RANDOM,
    Task,
    accepted,
    eventually,
    exactly,
    idle_descriptors,
    port_of,
    reply_with,
    reset,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


@EACH_LANE
@needs_linux
def test_k6_resets_at_any_offset(lane: list[str]) -> None:
    with Server(*lane) as server:
        idle = idle_descriptors(server)
        for _ in range(100):
            client = server.connect()
            client.sendall(BLOCK[: RANDOM.randint(0, 100_000)])
            size = RANDOM.randint(0, 1000)
            if size:
                client.recv(size) if select.select([client], [], [], 0)[0] else None
            reset(client)
        with server.connect() as client:
            client.sendall(b"still there?")
            assert exactly(client, 12) == b"still there?"
        eventually(lambda: descriptors(server.pid) == idle)
        result = server.stop()
    assert result.status == -signal.SIGTERM
    opened = len(re.findall(r"^= #\d+ \S+ connected", result.said, re.M))
    assert opened == len(re.findall(r"^x #\d+ \S+ closed", result.said, re.M)) == 102


def test_k12_a_bare_serve_is_for_this_host_only() -> None:
    with Server() as server:
        assert server.address.startswith("127.0.0.1:")
        if sys.platform == "linux":
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", server.port), timeout=TIMEOUT)
        assert re.fullmatch(
            rb"listening on 127\.0\.0\.1:(\d+) \(this host only; others: sockkit serve 0\.0\.0\.0 \1\)\n",
            bytes(server.err),
        )


@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("::", marks=needs_ipv6)])
def test_k12_serving_everybody_is_warned_of(host: str) -> None:
    with Server(host) as server:
        server.wait_for(rb"sockkit: warning: whoever can reach this host over the network can connect")
        assert b"this host only" not in server.err[: server.err.index(b"\n")]


def test_k1_escapes_pass_a_pipe_unchanged() -> None:
    with listener() as sock:
        request = Task(lambda: reply_with(sock, EVIL))
        assert run("connect", port_of(sock)) == (0, EVIL, b"")
        request.get()


def test_k1_escapes_do_not_reach_a_terminal() -> None:
    with listener() as sock:
        request = Task(lambda: reply_with(sock, EVIL))
        screen = on_terminal("connect", port_of(sock), typed=b"\x04")
        request.get()
    assert screen.status == 0
    line = rb"\x1b]0;PWN\x07\x1b[2J\x9b31m\x00\xff\r\x08\x7f[bold]x[/] [/nope] :smile:"
    assert line in screen.shown
    for evil in (b"\x1b]0;", b"\x1b[2J", b"\x9b", b"\x00", b"\x07", b"\x7f", b"\xff"):
        assert evil not in screen.shown


def test_k1_raw_passes_everything() -> None:
    with listener() as sock:
        request = Task(lambda: reply_with(sock, EVIL))
        screen = on_terminal("connect", "--raw", port_of(sock), typed=b"\x04")
        request.get()
    assert EVIL.rstrip(b"\n") in screen.shown


def test_k2_escapes_do_not_reach_the_story() -> None:
    with listener() as sock:
        request = Task(lambda: reply_with(sock, EVIL))
        result = run("connect", "-v", port_of(sock))  # ``run`` checks that stderr has no control bytes
        request.get()
    assert (result.status, result.out) == (0, EVIL)
    assert r"\x1b]0;PWN\x07\x1b[2J\x9b31m\x00\xff" in result.said


def test_k1_a_character_cut_in_two_is_shown_whole_and_half_a_character_is_not_lost() -> None:
    def peer_of(sock: socket.socket) -> None:
        with accepted(sock) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in "héllo €\n".encode():
                peer.sendall(bytes([byte]))
            peer.sendall(b"half: \xe2\x82")

    with listener() as sock:
        serving = Task(peer_of, sock)
        screen = on_terminal("connect", port_of(sock), env={"LC_ALL": "C.UTF-8"})
        serving.get()
    assert screen.status == 0
    assert "héllo €".encode() in screen.shown
    assert rb"half: \xe2\x82" in screen.shown


def test_k1_half_a_character_before_a_reset_is_not_lost() -> None:
    def peer_of(sock: socket.socket) -> None:
        with accepted(sock) as peer:
            peer.sendall(b"half: \xe2\x82")
            reset(peer)

    with listener() as sock:
        serving = Task(peer_of, sock)
        screen = on_terminal("connect", port_of(sock), env={"LC_ALL": "C.UTF-8"})
        serving.get()
    assert screen.status == 1
    assert rb"half: \xe2\x82" in screen.shown


@pytest.mark.once
def test_k7_silent_clients_take_nothing_from_the_active_one() -> None:
    with Server("--idle-timeout", "1.5") as server, ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(100)]
        with server.connect() as active:
            begun = time.monotonic()
            while time.monotonic() - begun < 2:
                active.sendall(b"x")
                assert exactly(active, 1) == b"x"
                time.sleep(0.05)  # the case: active, and not in a hurry
            for client in silent:
                assert client.recv(1) == b""
            active.sendall(b"y")
            assert exactly(active, 1) == b"y"


@needs_linux
@pytest.mark.once
def test_k8_two_hundred_clients_that_dribble() -> None:
    """A byte a second each, for ten seconds: no memory, next to no CPU, and whoever is quick is served quickly."""
    with Server() as server, ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(200)]
        before, begun = cpu_time(server.pid), time.monotonic()
        for turn in range(10):
            for client in slow:
                client.sendall(b"%d" % turn)
            started = time.monotonic()
            with server.connect() as quick:
                quick.sendall(BLOCK[:10_000])
                assert exactly(quick, 10_000) == BLOCK[:10_000]
            assert time.monotonic() - started < 3
            time.sleep(max(0, begun + turn + 1 - time.monotonic()))  # the case: one byte a second
        assert (cpu_time(server.pid) - before) / (time.monotonic() - begun) <= 0.1
        for client in slow:
            assert exactly(client, 10) == b"0123456789"


@needs_linux
def test_k10_a_program_has_its_three_pipes_and_nothing_else_of_ours() -> None:
    """Its descriptors, its arguments as they are, every signal at its default and none blocked, a session of its own."""
    look = (
        "import os, json, sys\n"
        "fds = {n: os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')}\n"
        "print(json.dumps([fds, sys.argv[1:], os.getsid(0) == os.getpid() == os.getpgrp()]))\n"
    )
    inherited = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    try:
        odd = ["$HOME *", "", "'", "a\nb"]
        with Server("--exec", "--", sys.executable, "-c", look, *odd, pass_fds=inherited) as server:
            with server.connect() as other, server.connect() as sock:
                found = [json.loads(receive_all(each)) for each in (sock, other)]
            server.stop()
    finally:
        for fd in inherited:
            os.close(fd)
    for fds, argv, leads in found:
        assert sorted(fds) == ["0", "1", "2"] and argv == odd and leads
        assert all(name.startswith("pipe:") for name in fds.values()), fds
    pipes = [name for fds, *_ in found for name in fds.values()]
    assert len(set(pipes)) == 6, "no pipe is shared"
    glibc = 0b11 << 31  # 32 and 33 are its own, and ignored after every posix_spawn
    background = ("sh", "-c", "trap '' INT HUP USR1; exec \"$@\"", "sh")
    with Server("--exec", "--", "grep", "Sig[BI]", "/proc/self/status", prefix=background) as server:
        with server.connect() as sock:
            blocked, ignored = (int(line.split()[1], 16) for line in receive_all(sock).splitlines())
            assert (blocked, ignored & ~glibc) == (0, 0)
        server.stop()
