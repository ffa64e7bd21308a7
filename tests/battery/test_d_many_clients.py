"""Many clients: each gets its own bytes, whoever waits is not refused, and nobody's end is another's."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from tests.harness import (
    TIMEOUT,
    Process,
    Server,
    descriptors,
    is_idle,
    needs_linux,
    receive_all,
)
from tests.peers import (
    EACH_LANE,
    MIB,
    Task,
    eventually,
    exactly,
    idle_descriptors,
    receive_end,
    reset,
    send_and_end,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


@needs_linux
@EACH_LANE
def test_d1_a_hundred_clients_get_their_own_mebibyte(lane: list[str]) -> None:
    def talk(server: Server, seed: int) -> None:
        own = random.Random(seed)
        with server.connect() as client:
            together.wait(TIMEOUT)
            data = own.randbytes(MIB)
            sending = Task(send_and_end, client, data)
            assert receive_all(client) == data
            sending.get()

    together = threading.Barrier(100)
    with Server(*lane) as server:
        idle = idle_descriptors(server)
        for task in [Task(talk, server, seed) for seed in range(100)]:
            task.get()
        eventually(lambda: descriptors(server.pid) == idle)
        result = server.stop()
    assert len(re.findall(r"^= #\d+ \S+ connected", result.said, re.M)) == 101
    assert len(re.findall(r"^x #\d+ \S+ closed.*the peer ended first$", result.said, re.M)) == 101


def test_d2_max_conns_defers_and_resets_nobody() -> None:
    """Five hundred wait, fifty are served at a time, in turn."""
    count, limit = 500, 50
    with Server("--max-conns", str(limit), "--backlog", str(count)) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(count)]
        for number, client in enumerate(clients):
            client.sendall(b"%03d" % number)
        for turn in range(0, count, limit):
            served, waiting = clients[turn : turn + limit], clients[turn + limit :]
            for number, client in enumerate(served, turn):
                assert exactly(client, 3) == b"%03d" % number
            if waiting:
                assert not select.select(waiting, [], [], 0.02)[0], "the others wait"
            for client in served:
                client.close()
        assert server.stop().status == -signal.SIGTERM


@needs_linux
def test_d3_two_hundred_resets_and_then_a_client() -> None:
    with Server() as server:
        idle = idle_descriptors(server)
        for _ in range(200):
            reset(server.connect())
        with server.connect() as client:
            client.sendall(b"still there?")
            assert exactly(client, 12) == b"still there?"
        eventually(lambda: descriptors(server.pid) == idle)
        eventually(lambda: is_idle(server.pid, 0.2))


@pytest.mark.once
@needs_linux
def test_d6_a_server_that_was_stopped_for_a_while() -> None:
    """Two hundred knock while it stands still, more than its accept queue holds: all are served within five seconds."""
    with Server() as server, ExitStack() as stack:
        server.kill(signal.SIGSTOP)
        os.waitid(os.P_PID, server.pid, os.WSTOPPED)
        clients = [stack.enter_context(socket.socket()) for _ in range(200)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", server.port))
        time.sleep(1)  # the case
        server.kill(signal.SIGCONT)
        begun = time.monotonic()
        for client in clients:
            client.settimeout(TIMEOUT)
            select.select([], [client], [], TIMEOUT)
            client.sendall(b"x")
        for client in clients:
            assert exactly(client, 1) == b"x"
        assert time.monotonic() - begun < 5


def test_d8_a_second_client_waits_and_is_never_mixed_in() -> None:
    with Server("--mode", "pipe", "-k") as server:
        with server.connect() as one, server.connect() as two:
            two.sendall(b"<two>")
            one.sendall(b"<one>")
            server.wait_for(rb"<one>", stream="out")
            server.send(b"for one")
            assert exactly(one, 7) == b"for one"
            one.sendall(b"<one again>")
            server.wait_for(rb"<one again>", stream="out")
            one.close()
            server.wait_for(rb"<two>", stream="out")
            server.send(b"for two")
            assert exactly(two, 7) == b"for two"
            server.close_stdin()
            assert two.recv(1) == b"", "the end of stdin is passed on"
        result = server.finish()
    assert (result.status, result.out) == (0, b"<one><one again><two>")


def test_d8_without_keep_open_a_pipe_ends_with_its_client() -> None:
    with (
        Server("--mode", "pipe", stdin=subprocess.DEVNULL) as server,
        server.connect() as one,
        server.connect() as two,
    ):
        one.sendall(b"one")
        two.sendall(b"two")
        one.shutdown(socket.SHUT_WR)
        assert receive_all(one) == b""
        result = server.finish()
        receive_end(two)
    assert (result.status, result.out) == (0, b"one")


def test_keep_open_ends_with_stdin() -> None:
    with Server("--mode", "pipe", "-k", stdin=subprocess.DEVNULL) as server:
        with server.connect() as client:
            assert client.recv(1) == b""
        assert server.finish().status == 0


@pytest.mark.parametrize("mode", ["echo", "discard", "pipe"])
def test_once_ends_after_the_first_session(mode: str) -> None:
    with Server("--once", "--mode", mode, stdin=subprocess.DEVNULL) as server:
        with server.connect() as client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == (b"x" if mode == "echo" else b"")
        assert server.finish().status == 0
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_once_says_by_its_status_that_the_session_failed() -> None:
    with Server("--once") as server:
        client = server.connect()
        client.sendall(b"x")
        exactly(client, 1)
        reset(client)
        result = server.finish()
    assert result.status == 1
    assert "Connection reset by peer" in result.said


def test_a_failed_session_is_not_the_failure_of_a_server_for_many() -> None:
    with Server() as server:
        reset(server.connect())
        server.wait_for(rb"#1 \S+ closed")
        with server.connect() as client:
            client.sendall(b"x")
            assert exactly(client, 1) == b"x"


@pytest.mark.parametrize("end", ["close", "kill -9", "reset", "half-close", "idle timeout"])
def test_d5_a_slot_is_free_again_after_each_kind_of_end(end: str) -> None:
    options = ("--idle-timeout", "0.5") if end == "idle timeout" else ()
    with Server("--max-conns", "1", *options) as server, ExitStack() as stack:
        if end == "kill -9":
            client = stack.enter_context(Process("connect", str(server.port)))
            client.send(b"x")
            client.wait_for(b"x", stream="out")
            client.kill(signal.SIGKILL)
            assert client.finish().status == -signal.SIGKILL
        else:
            first = stack.enter_context(server.connect())
            first.sendall(b"x")
            assert exactly(first, 1) == b"x"
            if end == "close":
                first.close()
            elif end == "reset":
                reset(first)
            elif end == "half-close":
                first.shutdown(socket.SHUT_WR)
            else:
                assert first.recv(1) == b""
        begun = time.monotonic()
        with server.connect() as second:
            second.sendall(b"y")
            assert exactly(second, 1) == b"y"
        assert time.monotonic() - begun < 5
