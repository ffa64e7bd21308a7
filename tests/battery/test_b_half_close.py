"""Half-close and ends of input: an end is passed on, it never ends the other direction, and a reset is told from it."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import subprocess
import sys
import time

import pytest

from tests.harness import (
    Process,
    Server,
    is_idle,
    listener,
    on_terminal,
    receive_all,
    run,
)
from tests.peers import (
    BLOCK,
    EACH_LANE,
    Task,
    accepted,
    eventually,
    exactly,
    pipe,
    port_of,
    read_all,
    reply_with,
    reset,
    unsent,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


@EACH_LANE
def test_b1_a_reply_that_comes_two_seconds_after_the_end_of_stdin(lane: list[str]) -> None:
    content = BLOCK[:1_000_000]

    def reply(sock: socket.socket) -> bytes:
        with accepted(sock) as peer:
            request = receive_all(peer)
            time.sleep(2)  # the case: longer than any patience that a netcat has
            peer.sendall(content)
            return request

    with listener() as sock:
        request = Task(reply, sock)
        assert run("connect", *lane, port_of(sock), stdin=b"x") == (0, content, b"")
        assert request.get() == b"x"


@EACH_LANE
def test_b2_the_peer_ends_while_stdin_stays_open_and_idle(lane: list[str]) -> None:
    with listener() as sock, Process("connect", *lane, port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"bye")
        begun = time.monotonic()
        assert client.finish() == (0, b"bye", b"")
        assert time.monotonic() - begun < 10


def test_b2_the_peer_ends_while_a_terminal_stays_open() -> None:
    with listener() as sock:

        def bye() -> None:
            with accepted(sock) as peer:
                peer.sendall(b"bye")

        serving = Task(bye)
        begun = time.monotonic()
        screen = on_terminal("connect", port_of(sock))
        assert time.monotonic() - begun < 10
        serving.get()
    assert screen.status == 0
    assert b"bye" in screen.shown


def test_b2_after_end_says_how_long_an_idle_stdin_is_waited_for() -> None:
    with listener() as sock, Process("connect", "-v", "--after-end", "0.1", port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"bye")
        result = client.finish()
    assert (result.status, result.out) == (0, b"bye")
    assert "the peer ended; our input was still open, idle for 0.1 s\n" in result.said


@EACH_LANE
def test_b2_a_stdin_that_is_not_idle_goes_on_after_the_peers_end(lane: list[str]) -> None:
    with (
        listener() as sock,
        Process("connect", *lane, "--after-end", "0.4", port_of(sock)) as client,
        accepted(sock) as peer,
    ):
        peer.shutdown(socket.SHUT_WR)
        for number in range(8):
            client.send(b"%d" % number)
            assert exactly(peer, 1) == b"%d" % number
            time.sleep(0.1)  # the case: input that keeps coming, for longer than --after-end
        client.close_stdin()
        assert peer.recv(1) == b""
        assert client.finish() == (0, b"", b"")


@EACH_LANE
def test_b4_input_that_was_there_before_the_client(lane: list[str]) -> None:
    with Server(*lane, "--mode", "pipe") as server:
        server.send(b"hello\n")
        server.close_stdin()
        with server.connect() as client:
            client.sendall(b"late")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"hello\n"
        result = server.finish()
    assert (result.status, result.out) == (0, b"late")


@EACH_LANE
def test_b6_a_reset_delivers_what_came_before_and_is_said(lane: list[str]) -> None:
    with listener() as sock, Process("connect", *lane, port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"0123456789")
            reset(peer)
        result = client.finish()
    assert (result.status, result.out) == (1, b"0123456789")
    assert re.fullmatch(
        rf"sockkit: #1 receive from 127\.0\.0\.1:\d+: Connection reset by peer \[ECONNRESET {errno.ECONNRESET}\]\n",
        result.said,
    )


@EACH_LANE
def test_b6_a_reset_while_stdout_is_stuck_loses_nothing_that_was_received(lane: list[str]) -> None:
    with (
        listener() as sock,
        pipe() as (drain, stdout),
        Process("connect", *lane, port_of(sock), stdin=subprocess.DEVNULL, stdout=stdout) as client,
    ):
        os.close(stdout)
        with accepted(sock) as peer:
            peer.sendall(BLOCK[:120_000])  # more than a pipe holds, less than pipe and socket do
            eventually(lambda: unsent(peer) == 0)  # a reset would drop what has not left yet
            reset(peer)
        got = read_all(drain)
        result = client.finish()
    assert result.status == 1
    assert "Connection reset by peer" in result.said
    assert got == BLOCK[:120_000]


@EACH_LANE
def test_b8_a_peer_that_closes_without_reading(lane: list[str]) -> None:
    with (
        listener() as sock,
        open("/dev/zero", "rb") as zeros,
        Process("connect", *lane, port_of(sock), stdin=zeros.fileno()) as client,
    ):
        with accepted(sock) as peer:
            exactly(peer, 1)
        begun = time.monotonic()
        result = client.finish()
        assert time.monotonic() - begun < 10
    assert (result.status, result.out) == (1, b"")
    assert re.search(r"(ECONNRESET|EPIPE) ", result.said)


def test_no_shutdown_keeps_the_end_of_stdin_to_itself() -> None:
    with listener() as sock, Process("connect", "--no-shutdown", port_of(sock)) as client:
        with accepted(sock) as peer:
            client.send(b"x")
            client.close_stdin()
            assert exactly(peer, 1) == b"x"
            assert not select.select([peer], [], [], 0.3)[0], "no FIN"
            peer.sendall(b"reply")
        assert client.finish() == (0, b"reply", b"")


def test_dash_n_is_the_default() -> None:
    with listener() as sock:
        request = Task(lambda: reply_with(sock, b"reply"))
        assert run("connect", "-N", port_of(sock), stdin=b"x") == (0, b"reply", b"")
        assert request.get() == b"x"


@EACH_LANE
def test_everything_is_delivered_to_the_peers_kernel_before_the_end(lane: list[str]) -> None:
    """Exit status 0 says that it was handed over: the send queue has run empty."""
    content = BLOCK * 4
    with listener() as sock, Process("connect", *lane, port_of(sock)) as client, accepted(sock) as peer:
        peer.shutdown(socket.SHUT_WR)

        def feed() -> None:
            client.send(content)
            client.close_stdin()

        feeding = Task(feed)
        assert exactly(peer, 1) == content[:1]
        with pytest.raises(subprocess.TimeoutExpired):
            client.popen.wait(0.5)
        if sys.platform == "linux":
            eventually(lambda: is_idle(client.pid, 0.5, 0.1))  # it waits without spinning
        assert receive_all(peer) == content[1:]
        feeding.get()
        assert client.finish() == (0, b"", b"")


@EACH_LANE
def test_a_reset_after_all_was_sent_is_no_success(lane: list[str]) -> None:
    """The peer closes with unread data in its queue and ours: nobody may call that delivered."""
    with listener() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with Process("connect", *lane, port_of(sock)) as client, accepted(sock) as peer:
            peer.shutdown(socket.SHUT_WR)
            client.send(BLOCK[:200_000])
            client.close_stdin()
            exactly(peer, 1)
            reset(peer)
            result = client.finish()
    assert result.status == 1
    assert re.match(r"sockkit: #1 send to 127\.0\.0\.1:\d+: .* \[(ECONNRESET|EPIPE) \d+\]\n", result.said)
