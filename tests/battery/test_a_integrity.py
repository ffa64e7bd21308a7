"""Data integrity and the standard streams: what goes in comes out, byte for byte, whatever stdin and stdout are."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import (
    SOCKKIT,
    TIMEOUT,
    Process,
    Server,
    is_idle,
    listener,
    needs_linux,
    receive_all,
    run,
)
from tests.peers import (
    BLOCK,
    EACH_LANE,
    MIB,
    Task,
    accepted,
    blocks,
    conversation,
    drain_digest,
    eventually,
    exactly,
    exchange,
    pipe,
    port_of,
    pour,
    read_all,
    reply_with,
    send_and_end,
    write_all,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


@pytest.mark.once
def test_one_gib_through_serve_and_connect() -> None:
    count = 1024
    with (
        Server() as server,
        pipe() as (stdin, feed),
        pipe() as (drain, stdout),
        Process("connect", str(server.port), stdin=stdin, stdout=stdout) as client,
    ):
        os.close(stdin)
        os.close(stdout)
        feeding = Task(pour, write_all(feed), count, lambda: os.close(feed))
        draining = Task(drain_digest, lambda size: os.read(drain, size))
        sent = feeding.get(100)
        assert draining.get(100) == (count * MIB, sent)
        assert client.finish() == (0, b"", b"")


@EACH_LANE
@pytest.mark.parametrize("side", ["connect", "serve"])
def test_a1_64_mib_both_ways_at_once(side: str, lane: list[str]) -> None:
    count = 64
    with ExitStack() as stack:
        drain, stdout = stack.enter_context(pipe())
        if side == "connect":
            sock = stack.enter_context(listener())
            process: Process = stack.enter_context(Process("connect", *lane, port_of(sock), stdout=stdout))
            connection = stack.enter_context(accepted(sock))
        else:
            server = stack.enter_context(Server(*lane, "--mode", "pipe", stdout=stdout))
            process, connection = server, stack.enter_context(server.connect())
        os.close(stdout)
        there_sent, here_got, here_sent, there_got = exchange(connection, process, drain, count)
        assert here_got == (count * MIB, there_sent)
        assert there_got == (count * MIB, here_sent)
        assert process.finish().status == 0


@EACH_LANE
@pytest.mark.parametrize("side", ["connect", "serve"])
def test_a2_a_peer_that_sends_30_mb_before_it_reads(side: str, tmp_path: Path, lane: list[str]) -> None:
    content = BLOCK * 29  # 30,408,704 bytes
    stdin = tmp_path / "stdin"
    stdin.write_bytes(content[::-1])
    with ExitStack() as stack:
        drain, stdout = stack.enter_context(pipe())
        given = stack.enter_context(stdin.open("rb"))
        if side == "connect":
            sock = stack.enter_context(listener())
            process: Process = stack.enter_context(
                Process("connect", *lane, port_of(sock), stdin=given.fileno(), stdout=stdout)
            )
            peer = stack.enter_context(accepted(sock))
        else:
            server = stack.enter_context(Server(*lane, "--mode", "pipe", stdin=given.fileno(), stdout=stdout))
            process, peer = server, stack.enter_context(server.connect())
        os.close(stdout)
        received = Task(read_all, drain)
        peer.sendall(content)
        peer.shutdown(socket.SHUT_WR)
        assert receive_all(peer) == content[::-1]
        assert received.get() == content
        assert process.finish().status == 0


def test_a4_a_prompt_without_a_newline_is_passed_on_at_once() -> None:
    with listener() as sock, Process("connect", port_of(sock)) as client, accepted(sock) as peer:
        peer.sendall(b"login: ")
        client.wait_for(rb"^login: $", stream="out")
        client.send(b"root")  # no newline here either
        assert exactly(peer, 4) == b"root"
        client.close_stdin()
        assert peer.recv(1) == b""
        peer.close()
        assert client.finish() == (0, b"login: ", b"")


@EACH_LANE
def test_a5_all_byte_values_cut_anywhere(lane: list[str]) -> None:
    every = bytes(range(256)) + b"\r\r\n\n\r\x1a\x04\xff"
    with listener() as sock, Process("connect", *lane, port_of(sock)) as client, accepted(sock) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(len(every) + 1):
            peer.sendall(every[:cut])
            peer.sendall(every[cut:])
            client.send(every[:cut])
            client.send(every[cut:])
        peer.shutdown(socket.SHUT_WR)
        client.close_stdin()
        whole = every * (len(every) + 1)
        assert receive_all(peer) == whole
        assert client.finish() == (0, whole, b"")


def test_a5_crlf_has_one_cr_per_lf_also_across_reads() -> None:
    with listener() as sock, Process("connect", "--crlf", port_of(sock)) as client, accepted(sock) as peer:
        client.send(b"a\r")
        assert exactly(peer, 2) == b"a\r", "so the CR is out before the LF is read"
        client.send(b"\nb\nc\r\n\r")
        assert exactly(peer, 8) == b"\nb\r\nc\r\n\r"
        client.send(b"d\n\n")
        client.close_stdin()
        assert receive_all(peer) == b"d\r\n\r\n"
        peer.close()
        assert client.finish() == (0, b"", b"")


def test_a5_crlf_changes_what_is_sent_not_what_is_received() -> None:
    with listener() as sock:
        reply = Task(lambda: reply_with(sock, b"1\n2\r\n"))
        assert run("connect", "-C", port_of(sock), stdin=b"GET /\n\n") == (0, b"1\n2\r\n", b"")
        assert reply.get() == b"GET /\r\n\r\n"


def _file(stack: ExitStack, content: bytes, tmp_path: Path) -> int:
    (tmp_path / "stdin").write_bytes(content)
    return stack.enter_context((tmp_path / "stdin").open("rb")).fileno()


def _terminal(stack: ExitStack, content: bytes, tmp_path: Path) -> int:
    master, slave = pty.openpty()
    stack.callback(os.close, master)
    stack.callback(os.close, slave)
    os.write(master, content + b"\x04")  # Ctrl-D at the beginning of a line is the end of input
    return slave


def _socket(stack: ExitStack, content: bytes, tmp_path: Path) -> int:
    here, there = (stack.enter_context(sock) for sock in socket.socketpair())

    def feed() -> None:
        here.sendall(content)
        here.shutdown(socket.SHUT_WR)

    stack.callback(Task(feed).get)
    return there.fileno()


def _fifo(stack: ExitStack, content: bytes, tmp_path: Path) -> int:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    Task(lambda: path.write_bytes(content))
    return stack.enter_context(path.open("rb")).fileno()


@pytest.mark.parametrize(
    ("kind", "content"),
    [(_file, BLOCK), (_file, b""), (_terminal, b"typed\n"), (_socket, BLOCK), (_fifo, BLOCK)],
    ids=["file", "empty file", "terminal", "socketpair", "fifo"],
)
def test_a6_any_stdin(kind: Callable[[ExitStack, bytes, Path], int], content: bytes, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        stdin = kind(stack, content, tmp_path)
        before = fcntl.fcntl(stdin, fcntl.F_GETFL)
        assert run("connect", str(server.port), stdin=stdin) == (0, content, b"")
        assert fcntl.fcntl(stdin, fcntl.F_GETFL) == before, "O_NONBLOCK is the lender's"


def test_a6_dev_null_is_an_end_of_input_at_once() -> None:
    with listener() as sock:
        request = Task(lambda: reply_with(sock, b"greeting"))
        result = run("connect", "-v", port_of(sock), stdin=None)
        assert request.get() == b""
    assert (result.status, result.out) == (0, b"greeting")
    assert "stdin ended" in result.said


def test_a6_a_directory_as_stdin_is_refused(tmp_path: Path) -> None:
    """By Python itself, before any code of ours runs; the words are its, the status is right."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with Server() as server:
            done = subprocess.run(
                [*SOCKKIT, "connect", str(server.port)], stdin=fd, capture_output=True, timeout=TIMEOUT, check=False
            )
    finally:
        os.close(fd)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is a directory" in done.stderr


@EACH_LANE
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "nonblocking"])
def test_a9_a_slow_reader_of_stdout(blocking: bool, lane: list[str]) -> None:
    content = (BLOCK * 2)[:2_000_000]
    with listener() as sock, pipe() as (drain, stdout):
        os.set_blocking(stdout, blocking)
        with Process("connect", *lane, port_of(sock), stdin=subprocess.DEVNULL, stdout=stdout) as client:
            with accepted(sock) as peer:
                peer.sendall(content[:1000])
                sending = Task(peer.sendall, content[1000:])
                received = Task(read_all, drain, 0.002)
                sending.get()
            assert client.popen.wait(TIMEOUT) == 0
            assert os.get_blocking(stdout) is blocking, "O_NONBLOCK is the lender's"
            os.close(stdout)
            assert received.get() == content
            assert client.finish() == (0, b"", b"")


def test_a10_a_nonblocking_stdin_that_is_empty_at_first() -> None:
    with listener() as sock, pipe() as (stdin, feed):
        os.set_blocking(stdin, False)
        with Process("connect", port_of(sock), stdin=stdin) as client, accepted(sock) as peer:
            assert not select.select([peer], [], [], 0.3)[0], "nothing was there, so nothing comes, no end either"
            os.write(feed, b"late")
            os.close(feed)
            assert receive_all(peer) == b"late"
            peer.close()
            assert client.finish() == (0, b"", b"")


@EACH_LANE
@needs_linux
def test_a12_signals_that_interrupt_system_calls(lane: list[str]) -> None:
    count = 64
    with (
        listener() as sock,
        pipe() as (drain, stdout),
        Process("connect", *lane, port_of(sock), stdout=stdout) as client,
    ):
        os.close(stdout)
        with accepted(sock) as peer:
            transfer = Task(exchange, peer, client, drain, count)
            for turn in range(200):
                client.kill(signal.SIGWINCH)
                client.kill(signal.SIGCONT)
                if turn in (50, 150):
                    client.kill(signal.SIGSTOP)
                    os.waitid(os.P_PID, client.pid, os.WSTOPPED)
                    client.kill(signal.SIGCONT)
            there_sent, here_got, here_sent, there_got = transfer.get()
        assert here_got == (count * MIB, there_sent)
        assert there_got == (count * MIB, here_sent)
        assert client.finish() == (0, b"", b"")


def test_a15_out_of_band_data_is_sent_and_shown() -> None:
    with Server() as server:
        assert run("connect", "--oob", "!", str(server.port), stdin=b"hello\n") == (0, b"hello\n", b"")
        server.wait_for(rb"< #1 out-of-band: !\n")
        server.wait_for(rb"#1 \S+ closed: received 6 bytes, sent 6 bytes")


@EACH_LANE
@needs_linux
def test_a15_an_urgent_byte_is_shown_and_is_not_in_the_stream(lane: list[str]) -> None:
    with listener() as sock, Process("connect", *lane, "-v", port_of(sock)) as client, accepted(sock) as peer:
        peer.sendall(b"abc")
        client.wait_for(rb"abc", stream="out")
        peer.send(b"\x07", socket.MSG_OOB)
        client.wait_for(rb"out-of-band: \\x07\n")
        peer.sendall(b"def")
        client.wait_for(rb"abcdef", stream="out")
        eventually(lambda: is_idle(client.pid))  # it must not spin over the urgent byte
        client.close_stdin()
        peer.close()
        result = client.finish()
    assert (result.status, result.out) == (0, b"abcdef")


@EACH_LANE
def test_a15_an_urgent_byte_within_a_burst(lane: list[str]) -> None:
    with listener() as sock, Process("connect", *lane, "-v", port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"abc")
            peer.send(b"U", socket.MSG_OOB)
            peer.sendall(b"def")
        client.close_stdin()
        result = client.finish()
    assert (result.status, result.out) == (0, b"abcdef")
    assert "out-of-band: U\n" in result.said


# ---- beyond the list: descriptors that others share


@EACH_LANE
@pytest.mark.parametrize("command", ["connect", "serve"])
def test_a16_a_file_is_sent_from_where_it_stands_and_stands_at_its_end_afterwards(
    command: str, lane: list[str], tmp_path: Path
) -> None:
    """As after ``read header`` in a shell: the offset is shared with whoever lent the descriptor."""
    path = tmp_path / "stdin"
    path.write_bytes(BLOCK * 3)
    with path.open("rb") as file:
        os.lseek(file.fileno(), 100_001, os.SEEK_SET)
        with conversation(command, *lane, stdin=file.fileno()) as (process, peer, _):
            assert receive_all(peer) == (BLOCK * 3)[100_001:]
            peer.close()
            assert process.finish().status == 0
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 3 * MIB


@EACH_LANE
def test_a16_a_peer_that_leaves_early_leaves_the_rest_of_the_file(lane: list[str], tmp_path: Path) -> None:
    """No more was taken from the file than was sent, or said to be lost: the next command of the shell may go on."""
    path = tmp_path / "stdin"
    path.write_bytes(BLOCK * 32)
    with path.open("rb") as file, listener() as sock:
        with Process("connect", *lane, port_of(sock), stdin=file.fileno()) as client:
            with accepted(sock) as peer:
                exactly(peer, MIB)
                eventually(lambda: is_idle(client.pid, 0.05))
            assert client.finish().status == 1
        assert MIB <= os.lseek(file.fileno(), 0, os.SEEK_CUR) < 32 * MIB


@EACH_LANE
@pytest.mark.parametrize("append", [False, True], ids=[">", ">>"])
def test_a17_output_goes_between_what_others_write_to_the_file(append: bool, lane: list[str], tmp_path: Path) -> None:
    """As in ``(echo before; sockkit connect; echo after) > file``."""
    path = tmp_path / "stdout"
    path.write_bytes(b"old\n")
    flags = os.O_WRONLY | (os.O_APPEND if append else os.O_TRUNC)
    fd = os.open(path, flags)
    try:
        os.write(fd, b"before\n")
        with (
            listener() as sock,
            Process("connect", *lane, port_of(sock), stdin=subprocess.DEVNULL, stdout=fd) as client,
        ):
            with accepted(sock) as peer:
                peer.sendall(BLOCK * 3)
            assert client.finish() == (0, b"", b"")
        os.write(fd, b"after\n")
    finally:
        os.close(fd)
    assert path.read_bytes() == (b"old\n" if append else b"") + b"before\n" + BLOCK * 3 + b"after\n"


@EACH_LANE
def test_a18_one_socket_is_stdin_and_stdout(lane: list[str]) -> None:
    """As under inetd: whoever is connected to our stdin and stdout talks to the peer."""
    outside, inside = socket.socketpair()
    with outside, listener() as sock:
        outside.settimeout(TIMEOUT)
        with inside:
            client = Process("connect", *lane, port_of(sock), stdin=inside.fileno(), stdout=inside.fileno())
        with client, accepted(sock) as peer:
            sending, answering = Task(send_and_end, outside, BLOCK * 2), Task(send_and_end, peer, BLOCK[::-1])
            assert receive_all(peer) == BLOCK * 2
            assert receive_all(outside) == BLOCK[::-1]
            sending.get()
            answering.get()
            assert client.finish() == (0, b"", b"")


@EACH_LANE
def test_a19_everything_to_dev_null_is_counted(lane: list[str]) -> None:
    """What the kernel moves to where nobody looks is counted all the same."""
    with (
        listener() as sock,
        open("/dev/null", "wb") as null,
        Process("connect", *lane, "--json", port_of(sock), stdin=subprocess.DEVNULL, stdout=null.fileno()) as client,
    ):
        with accepted(sock) as peer:
            for block in blocks(64):
                peer.sendall(block)
        result = client.finish()
    assert result.status == 0
    assert json.loads(result.err.splitlines()[-1])["received"] == 64 * MIB


@EACH_LANE
def test_a20_a_file_that_shrinks_while_it_is_sent(lane: list[str], tmp_path: Path) -> None:
    """It ends where it ends then: no zeros, no waiting."""
    path = tmp_path / "stdin"
    path.write_bytes(BLOCK * 32)
    with path.open("rb") as file, listener() as sock:
        with Process("connect", *lane, port_of(sock), stdin=file.fileno()) as client, accepted(sock) as peer:
            eventually(lambda: is_idle(client.pid, 0.05))
            taken = os.lseek(file.fileno(), 0, os.SEEK_CUR)
            os.truncate(path, taken + 1000)
            got = receive_all(peer)
            peer.close()
            assert client.finish() == (0, b"", b"")
    # Pages under way may be gone with the file: then they are zeros of the kernel's, not bytes of ours.
    assert len(got) == taken + 1000
