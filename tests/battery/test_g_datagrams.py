from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import (
    TIMEOUT,
    Process,
    Server,
    listener,
    need,
    needs_ipv6,
    needs_linux,
    needs_root,
    needs_unix,
    run,
)
from tests.peers import free_port

AT_ONCE = ("--reply-wait", "0")
SOON = ("--reply-wait", "0.3")
SEQPACKET = getattr(socket, "SOCK_SEQPACKET", None)
LONGEST = 65507
"""What UDP over IPv4 carries at most."""
MESSAGE_KINDS = [
    pytest.param(("-u",), socket.SOCK_DGRAM, id="dgram"),
    pytest.param(
        ("--type", "SEQPACKET"),
        SEQPACKET,
        id="seqpacket",
        marks=pytest.mark.skipif(SEQPACKET is None, reason="CANNOT: no SEQPACKET here"),
    ),
]


def caller(server: Server, host: str = "127.0.0.1") -> socket.socket:
    """A UDP socket of the test's own, connected to a server."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(TIMEOUT)
    sock.connect((host, server.port))
    return sock


@contextmanager
def unix_caller(path: Path, server: Path | None, type: int = socket.SOCK_DGRAM) -> Iterator[socket.socket]:
    """A Unix socket of the test's own, with a name if it is a datagram socket, connected to a server (or not).

    A connected one takes messages from its peer alone, and without the limit of net.unix.max_dgram_qlen.
    """
    with socket.socket(socket.AF_UNIX, type) as sock:
        sock.settimeout(TIMEOUT)
        if type == socket.SOCK_DGRAM:
            sock.bind(str(path))
        if server is not None:
            sock.connect(str(server))
        yield sock


def unix_server(tmp_path: Path, *args: str, **kwargs: object) -> tuple[Server, Path]:
    """A Unix datagram server on a path of its own."""
    path = tmp_path / "server"
    return Server("-U", "-u", *args, str(path), free_port=False, **kwargs), path


def echoed(sock: socket.socket, data: bytes) -> bytes:
    """What comes back for a message."""
    sock.send(data)
    return sock.recv(2**20)


def calling(peer: socket.socket, *args: str) -> Process:
    """A ``sockkit connect -u`` to a UDP socket of the test's own."""
    return Process("connect", "-u", *args, "127.0.0.1", str(peer.getsockname()[1]))


def waiting(sock: socket.socket) -> list[bytes]:
    """The messages that wait, in order. On loopback what was sent has arrived."""
    sock.setblocking(False)
    found = []
    try:
        while True:
            found.append(sock.recv(2**20))
    except BlockingIOError:
        return found


def idle_ticks(process: Process, seconds: float) -> int:
    """Hundredths of a second of CPU that a process uses while nothing happens. It must outlive them."""

    def used() -> int:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    with pytest.raises(subprocess.TimeoutExpired):
        process.popen.wait(seconds)
    return used() - before


def resident(process: Process) -> int:
    """VmRSS in KiB."""
    found = re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found
    return int(found[1])


def freeze(process: Process) -> None:
    """Stop a process and wait until it has stopped."""
    process.kill(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def story(err: bytes) -> list[dict[str, object]]:
    """The events of a --json run."""
    return [json.loads(line) for line in err.decode().splitlines()]


# ---- what an echo owes


@pytest.mark.parametrize("mode", ["pipe", "echo", "discard"])
def test_g1_an_empty_datagram_is_a_message_and_ends_nothing(mode: str) -> None:
    with Server("-u", "--mode", mode, "-v") as server:
        with caller(server) as sock:
            for data in (b"first", b"", b"after"):
                sock.send(data)
            if mode == "echo":
                assert [sock.recv(100) for _ in range(3)] == [b"first", b"", b"after"]
            server.wait_for(rb"message of 5 bytes: after")
        if mode == "pipe":
            server.wait_for(rb"\Afirstafter\Z", stream="out")
        assert b"message of 0 bytes: (empty)" in server.err
        if sys.platform == "linux":
            assert idle_ticks(server, 1) <= 5
        result = server.stop()
    assert result.status == -signal.SIGTERM
    assert result.out == (b"firstafter" if mode == "pipe" else b"")


@pytest.mark.parametrize("size", [0, 1, 1400, 8193, 9000, 16385, LONGEST])
def test_g4_a_datagram_of_any_size_arrives_whole(size: int) -> None:
    data = os.urandom(size)
    with Server("-u", "--mode", "pipe") as sink, caller(sink) as sock:
        assert sock.send(data) == size
        sink.wait_for(rb"#1 127\.0\.0\.1:\d+ connected")
        sock.send(b"<end>")
        sink.wait_for(rb"<end>\Z", stream="out")
        assert bytes(sink.out) == data + b"<end>"
    with Server("-u") as echo, caller(echo) as sock:
        assert echoed(sock, data) == data


def test_g10_each_of_three_clients_gets_its_own_echoes() -> None:
    with Server("-u") as server:
        clients = [Process("connect", "-u", "--lines", *AT_ONCE, "127.0.0.1", str(server.port)) for _ in range(3)]
        try:
            for i, client in enumerate(clients):
                client.send(b"a%d\n\nb%d\n" % (i, i))
            for i, client in enumerate(clients):
                client.wait_for(rb"\Aa%d\n\nb%d\n\Z" % (i, i), stream="out")
            for i, client in enumerate(clients):
                client.close_stdin()
                assert client.finish() == (0, b"a%d\n\nb%d\n" % (i, i), b"")
        finally:
            for client in clients:
                client.close()
        assert b"total: 3 sessions, received 12 bytes, sent 12 bytes" in server.stop().err


def test_a_thousand_peers() -> None:
    import resource

    count = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 100:
        if hard != resource.RLIM_INFINITY and hard < count + 100:
            pytest.skip(f"CANNOT: only {hard} descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, hard))
    socks: list[socket.socket] = []
    try:
        with Server("-u") as server:
            socks += (caller(server) for _ in range(count))
            for turn in range(2):
                for first in range(0, count, 50):  # few enough at once for the smallest receive buffer
                    batch = range(first, first + 50)
                    for i in batch:
                        socks[i].send(b"%d of %d" % (i, turn))
                    for i in batch:
                        assert socks[i].recv(100) == b"%d of %d" % (i, turn)
            result = server.stop()
        lines = result.said.splitlines()
        assert len([line for line in lines if " connected " in line]) == count
        assert len([line for line in lines if " closed: " in line]) == count
        assert "total: 1000 sessions" in lines[-1]
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.once
@needs_linux
def test_forged_sources_cost_no_memory() -> None:
    """Beyond 4096 peers the one not heard from for longest is forgotten (and said to be closed)."""
    with Server("-u") as server, caller(server) as old:
        port = server.port
        assert echoed(old, b"first") == b"first"

        def peers(count: int, host: int) -> None:
            for i in range(count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.settimeout(TIMEOUT)
                    sock.bind((f"127.0.{host}.{i % 250 + 1}", 0))
                    sock.sendto(b"x", ("127.0.0.1", port))
                    assert sock.recv(10) == b"x"
                if i % 1000 == 0:
                    assert echoed(old, b"still here") == b"still here"

        peers(4200, 1)
        before = resident(server)
        peers(6000, 2)
        assert resident(server) - before < 2048
        result = server.stop()
    lines = result.said.splitlines()
    opened = sum(" connected " in line for line in lines)
    assert opened == sum(" closed: " in line for line in lines)
    assert f"total: {opened} sessions" in lines[-1]
    # The one that kept talking was not forgotten meanwhile.
    found = re.fullmatch(r"= #1 (\S+) connected .*", lines[1])
    assert found
    assert sum(f" {found[1]} connected " in line for line in lines) == 1


# ---- connect


def test_g6_70_000_bytes_are_split_and_none_is_lost(tmp_path: Path) -> None:
    data = os.urandom(70_000)
    (tmp_path / "data").write_bytes(data)
    with listener(type=socket.SOCK_DGRAM) as peer:
        port = str(peer.getsockname()[1])
        assert run("connect", "-u", *AT_ONCE, "127.0.0.1", port, stdin=data) == (0, b"", b"")
        got = waiting(peer)
        assert b"".join(got) == data
        assert all(0 < len(part) <= LONGEST for part in got)
        with (tmp_path / "data").open("rb") as file:
            assert run("connect", "-u", *AT_ONCE, "127.0.0.1", port, stdin=file.fileno()) == (0, b"", b"")
        assert waiting(peer) == [data[:LONGEST], data[LONGEST:]]


def test_g7_a_line_of_65508_bytes_is_refused_as_the_kernel_refuses_it() -> None:
    with Server("-u") as server:
        lines = b"small\n" + b"x" * (LONGEST + 1) + b"\nnever sent\n"
        result = run("connect", "-u", "--lines", *SOON, "127.0.0.1", str(server.port), stdin=lines)
        assert (result.status, result.out) == (1, b"small\n")  # what went before is still answered
        first, hint, lost = result.said.splitlines()
        assert first == f"sockkit: #1 send to 127.0.0.1:{server.port}: Message too long [EMSGSIZE 90]"
        assert "65507" in hint
        assert "lost: " in lost
        longest = b"x" * LONGEST
        process = Process("connect", "-u", "--lines", *AT_ONCE, "127.0.0.1", str(server.port))
        with process:
            process.send(longest + b"\n")
            process.wait_for(b"x{65507}\n", stream="out")
            process.close_stdin()
            assert process.finish() == (0, longest + b"\n", b"")


def test_a_line_without_end_does_not_fill_memory() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer, Path("/dev/zero").open("rb") as zero:
        port = str(peer.getsockname()[1])
        result = run("connect", "-u", "--lines", *AT_ONCE, "127.0.0.1", port, stdin=zero.fileno())
    assert result.status == 1
    assert "[EMSGSIZE 90]" in result.said


def test_g8_a_closed_port_is_a_refusal() -> None:
    port = free_port(socket.SOCK_DGRAM)
    result = run("connect", "-u", "127.0.0.1", str(port), "--reply-wait", "1000", stdin=b"abc")
    assert (result.status, result.out) == (1, b"")
    refusal, hint = result.said.splitlines()
    assert re.fullmatch(
        rf"sockkit: #1 (receive from|send to) 127\.0\.0\.1:{port}: Connection refused \[ECONNREFUSED \d+\]", refusal
    )
    assert f"sockkit serve -u 127.0.0.1 {port}" in hint


def test_a_refusal_while_stdin_is_open_ends_it_too() -> None:
    with Process("connect", "-u", "127.0.0.1", str(free_port(socket.SOCK_DGRAM))) as process:
        process.send(b"abc")
        result = process.finish()
    assert result.status == 1
    assert "ECONNREFUSED" in result.said


@pytest.mark.parametrize("stdin", [None, b""], ids=["/dev/null", "empty pipe"])
@pytest.mark.parametrize("lines", [(), ("--lines",)], ids=["bytes", "lines"])
def test_g12_no_input_is_no_datagram(stdin: bytes | None, lines: tuple[str, ...]) -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        port = str(peer.getsockname()[1])
        assert run("connect", "-u", *lines, *AT_ONCE, "127.0.0.1", port, stdin=stdin) == (0, b"", b"")
        assert waiting(peer) == []


@pytest.mark.parametrize(
    ("stdin", "messages"),
    [
        (b"x", [b"x"]),
        (b"x\n", [b"x"]),
        (b"\n", [b""]),
        (b"\n\n", [b"", b""]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"a\r\nb\0c\n", [b"a\r", b"b\0c"]),
    ],
)
def test_lines_become_datagrams(stdin: bytes, messages: list[bytes]) -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        port = str(peer.getsockname()[1])
        assert run("connect", "-u", "--lines", *AT_ONCE, "127.0.0.1", port, stdin=stdin) == (0, b"", b"")
        assert waiting(peer) == messages


def test_b10_the_end_of_input_sends_nothing_more() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        port = str(peer.getsockname()[1])
        assert run("connect", "-u", *AT_ONCE, "127.0.0.1", port, stdin=b"one\n").status == 0
        assert waiting(peer) == [b"one\n"]


@pytest.mark.parametrize(("lines", "out"), [((), b"ab"), (("--lines",), b"a\n\nb\n")], ids=["bytes", "lines"])
def test_datagrams_on_stdout(lines: tuple[str, ...], out: bytes) -> None:
    with listener(type=socket.SOCK_DGRAM) as peer, calling(peer, *lines, *AT_ONCE) as process:
        process.send(b"?\n")
        _, address = peer.recvfrom(100)
        for data in (b"a", b"", b"b"):
            peer.sendto(data, address)
        process.wait_for(rb"\A%s\Z" % out, stream="out")
        process.close_stdin()
        assert process.finish() == (0, out, b"")


@pytest.mark.once
def test_a_reply_two_seconds_after_the_end_of_input_arrives() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer, calling(peer, "--reply-wait", "3") as process:
        process.send(b"request")
        process.close_stdin()
        data, address = peer.recvfrom(100)
        assert data == b"request"
        with pytest.raises(subprocess.TimeoutExpired):
            process.popen.wait(2)
        begun = time.monotonic()
        peer.sendto(b"reply", address)
        process.wait_for(rb"\Areply\Z", stream="out")
        assert process.finish() == (0, b"reply", b"")
        assert 3 <= time.monotonic() - begun < 6  # the wait begins anew with each reply, once


def test_no_waiting_for_a_reply() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        begun = time.monotonic()
        result = run("connect", "-v", "-u", *AT_ONCE, "127.0.0.1", str(peer.getsockname()[1]), stdin=b"x")
        assert time.monotonic() - begun < 5  # which would be the wait of those who did not ask
    assert result.status == 0
    assert "no reply" not in result.said


def test_the_wait_for_a_reply_is_said() -> None:
    with Server("-u") as server:
        result = run("connect", "-v", "-u", *SOON, "127.0.0.1", str(server.port), stdin=b"x")
    assert (result.status, result.out) == (0, b"x")
    ended = result.said.index("#1 stdin ended")
    assert ended < result.said.index("#1 no reply for 0.3 s after the end of input: done")
    assert "closed: received 1 byte, sent 1 byte" in result.said


def test_connect_with_nobody_speaking_uses_no_cpu() -> None:
    if sys.platform != "linux":
        pytest.skip("CANNOT: CPU time is read from /proc")
    with listener(type=socket.SOCK_DGRAM) as peer, calling(peer) as process:
        process.send(b"x")
        _, address = peer.recvfrom(10)
        peer.sendto(b"", address)
        assert idle_ticks(process, 1) <= 5
        assert process.stop(signal.SIGINT).status == -signal.SIGINT


def test_z_asks_by_an_empty_datagram() -> None:
    result = run("connect", "-z", "-u", "127.0.0.1", str(free_port(socket.SOCK_DGRAM)))
    assert result.status == 1
    assert "[ECONNREFUSED" in result.said


def test_idle_timeout_of_connect() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer, calling(peer, "--idle-timeout", "0.5") as process:
        result = process.finish()
    assert result.status == 1
    assert "idle timeout: nothing moved for 0.5 s [ETIMEDOUT" in result.said


# ---- Unix sockets


@needs_unix
@pytest.mark.parametrize(("flags", "type"), MESSAGE_KINDS)
def test_g11_unix_records_keep_their_boundaries(tmp_path: Path, flags: tuple[str, ...], type: int) -> None:
    records = [bytes([65 + size % 26]) * size for size in range(1, 201)]
    path = tmp_path / "server"
    with Server("-U", *flags, str(path), free_port=False) as server:
        with unix_caller(tmp_path / "client", path, type) as sock:
            for record in records:
                assert echoed(sock, record) == record
            assert echoed(sock, b"") == b""
            assert echoed(sock, b"after an empty one") == b"after an empty one"
        stdin = b"".join(record + b"\n" for record in records)
        # Both queues are short: more is under way than they hold, in both directions.
        result = run("connect", "-U", *flags, "--lines", *SOON, str(path), stdin=stdin)
        assert result == (0, stdin, b"")
        server.stop()
    assert sorted(entry.name for entry in tmp_path.iterdir()) in ([], ["client"])


@needs_unix
@pytest.mark.parametrize(("flags", "type"), MESSAGE_KINDS)
def test_lines_reach_a_unix_peer_as_records(tmp_path: Path, flags: tuple[str, ...], type: int) -> None:
    path = str(tmp_path / "peer")
    with listener(socket.AF_UNIX, type, path) as peer:
        process = Process("connect", "-U", *flags, "--lines", *AT_ONCE, path)
        with process:
            conversation = peer if type == socket.SOCK_DGRAM else peer.accept()[0]
            with conversation:
                conversation.settimeout(TIMEOUT)
                for data in (b"one", b"", b"three", b"4" * 9000):
                    process.send(data + b"\n")
                    assert conversation.recv(2**20) == data
                process.close_stdin()
                if type == socket.SOCK_DGRAM:
                    process.finish()
                    assert waiting(conversation) == []
                else:
                    assert conversation.recv(100) == b""  # the end of the connection, not a message
                    assert conversation.recv(100) == b""
                    conversation.close()
                    assert process.finish() == (0, b"", b"")


@needs_unix
@needs_linux
@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_unix_datagram_client_gets_its_answer_by_autobind(tmp_path: Path, abstract: bool) -> None:
    name = f"@sockkit-test-{os.getpid()}" if abstract else str(tmp_path / "server")
    with Server("-U", "-u", name, free_port=False) as server:
        assert run("connect", "-U", "-u", *SOON, name, stdin=b"hello") == (0, b"hello", b"")
        assert len(list(tmp_path.iterdir())) == (0 if abstract else 1)
        assert re.search(rb"#1 @\w{5} connected", server.err)
        server.stop()
    assert list(tmp_path.iterdir()) == []


@needs_unix
def test_an_unnamed_unix_client_cannot_be_answered_and_that_is_said(tmp_path: Path) -> None:
    server, path = unix_server(tmp_path)
    with server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
        nameless.sendto(b"12345", str(path))
        server.wait_for(
            rb"\nsockkit: #1 lost:? 5 bytes:? the peer has no address to answer to: it must bind one first\n"
        )
        with unix_caller(tmp_path / "client", path) as named:
            assert echoed(named, b"x") == b"x"
        result = server.stop()
    assert result.status == -signal.SIGTERM
    assert "total: 2 sessions, received 6 bytes, sent 1 byte" in result.said


@needs_unix
@needs_linux
def test_a_client_that_is_gone_does_not_end_the_server(tmp_path: Path) -> None:
    server, path = unix_server(tmp_path)
    with server:
        freeze(server)
        with unix_caller(tmp_path / "gone", path) as sock:
            sock.send(b"x")
        server.kill(signal.SIGCONT)
        server.wait_for(rb"sockkit: #1 send to [^\n]*gone: Connection refused \[ECONNREFUSED \d+\]\n")
        with unix_caller(tmp_path / "client", path) as sock:
            assert echoed(sock, b"y") == b"y"


@needs_linux
def test_a_udp_client_that_is_gone_does_not_end_the_server() -> None:
    with Server("-u") as server:
        for _ in range(3):
            freeze(server)
            with caller(server) as sock:
                sock.send(b"x")
            server.kill(signal.SIGCONT)
        with caller(server) as sock:
            assert echoed(sock, b"y") == b"y"


@needs_unix
@needs_linux
def test_a_peer_that_never_reads_does_not_hold_up_the_others(tmp_path: Path) -> None:
    server, path = unix_server(tmp_path)
    queue = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    with server, unix_caller(tmp_path / "stuck", None) as stuck, unix_caller(tmp_path / "client", path) as client:
        for i in range(queue + 5):
            stuck.sendto(b"%d" % i, str(path))
        begun = time.monotonic()
        assert echoed(client, b"quick") == b"quick"
        assert time.monotonic() - begun < 0.8  # what waits for the stuck one waits for a second
        server.wait_for(rb"#1 lost:? \d bytes?:? the peer's queue stayed full for 1 s\n")
        assert [stuck.recv(10) for _ in range(queue)] == [b"%d" % i for i in range(queue)]
        assert echoed(client, b"still quick") == b"still quick"
        server.stop()


@needs_unix
@needs_linux
def test_what_waits_for_a_full_peer_arrives_in_order(tmp_path: Path) -> None:
    server, path = unix_server(tmp_path, "--once")
    with server, unix_caller(tmp_path / "client", None) as client:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            fillers = 0
            try:
                while True:
                    other.sendto(b"filler", str(tmp_path / "client"))
                    fillers += 1
            except BlockingIOError:
                pass
        client.sendto(b"the first", str(path))
        server.wait_for(rb"#1 \S+ connected")
        for _ in range(fillers):
            assert client.recv(100) == b"filler"
        assert client.recv(100) == b"the first"
        result = server.finish()
    assert result.status == 0
    assert "total: 1 session, received 9 bytes, sent 9 bytes" in result.said


@pytest.fixture
def long_message() -> bytes:
    """Longer than the buffer of 256 KiB."""
    return os.urandom(300_000)


def roomy(sock: socket.socket, size: int) -> None:
    """Let a Unix socket send messages of a size, or skip."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < size + 1024:
        pytest.skip(f"CANNOT: no send buffer of {size} bytes here (sysctl net.core.wmem_max)")


@needs_unix
@needs_linux
@pytest.mark.parametrize(("flags", "type"), MESSAGE_KINDS)
def test_a_message_that_is_cut_is_said_and_fails(flags: tuple[str, ...], type: int, long_message: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, type)
    with ours, theirs:
        roomy(ours, len(long_message))
        fd = theirs.fileno()
        with Process("connect", "--fileno", str(fd), *AT_ONCE, pass_fds=(fd,)) as process:
            theirs.close()
            ours.send(long_message)
            process.wait_for(
                rb"\Asockkit: #1 lost:? [^\n]*37856 bytes\)?:? a message of 300000 bytes was cut to 262144\n"
            )
            process.close_stdin()
            ours.close()
            result = process.finish()
    assert result.status == 1
    assert result.out == long_message[: 256 * 1024]


@needs_unix
@needs_linux
@pytest.mark.parametrize("mode", ["pipe", "discard"])
def test_a_server_says_what_was_cut(tmp_path: Path, mode: str, long_message: bytes) -> None:
    server, path = unix_server(tmp_path, "--mode", mode, "--once", *AT_ONCE)
    with server, unix_caller(tmp_path / "client", path) as client:
        roomy(client, len(long_message))
        client.send(long_message)
        server.wait_for(rb"#1 lost:? [^\n]*37856 bytes\)?:? a datagram of 300000 bytes was cut to 262144\n")
        if mode == "pipe":
            server.close_stdin()
        result = server.finish()
    assert result.status == 1
    assert result.out == (long_message[: 256 * 1024] if mode == "pipe" else b"")


# ---- serve


def test_g10_pipe_answers_the_peer_that_was_heard_from_last() -> None:
    with Server("-u", "--mode", "pipe") as server, caller(server) as first, caller(server) as second:
        server.send(b"for whoever comes first")
        first.send(b"1")
        assert first.recv(100) == b"for whoever comes first"
        second.send(b"2")
        server.wait_for(rb"\A12\Z", stream="out")
        server.send(b"for the second")
        assert second.recv(100) == b"for the second"
        first.send(b"3")
        server.wait_for(rb"\A123\Z", stream="out")
        server.send(b"for the first")
        assert first.recv(100) == b"for the first"
        assert waiting(first) == waiting(second) == []
        server.close_stdin()
        second.send(b"4")
        server.wait_for(rb"\A1234\Z", stream="out")
        result = server.stop()
    assert result.status == -signal.SIGTERM
    assert result.out == b"1234"
    assert "total: 2 sessions, received 4 bytes, sent 50 bytes" in result.said


def test_pipe_with_lines() -> None:
    with Server("-u", "--mode", "pipe", "--lines") as server, caller(server) as sock:
        for data in (b"a", b"", b"b"):
            sock.send(data)
        server.wait_for(rb"\Aa\n\nb\n\Z", stream="out")
        server.send(b"one\n\nthree\nno newline")
        assert [sock.recv(100) for _ in range(3)] == [b"one", b"", b"three"]
        server.close_stdin()
        assert sock.recv(100) == b"no newline"


@pytest.mark.parametrize("side", ["serve", "connect"])
def test_crlf(side: str) -> None:
    if side == "serve":
        with Server("-u", "--mode", "pipe", "-C") as server, caller(server) as sock:
            sock.send(b"?")
            server.send(b"one\ntwo\r\n")
            assert sock.recv(100) == b"one\r\ntwo\r\n"
    else:
        with listener(type=socket.SOCK_DGRAM) as peer:
            port = str(peer.getsockname()[1])
            assert run("connect", "-u", "-C", *AT_ONCE, "127.0.0.1", port, stdin=b"one\ntwo\r\n").status == 0
            assert peer.recv(100) == b"one\r\ntwo\r\n"


def test_discard_answers_nothing_and_counts() -> None:
    with Server("-u", "--mode", "discard", "-v") as server, caller(server) as sock:
        for i in range(1, 11):
            sock.send(b"x" * i)
        server.wait_for(rb"message of 10 bytes: x{10}\n")
        assert waiting(sock) == []
        result = server.stop()
    assert "closed: received 55 bytes, sent 0 bytes" in result.said
    assert re.search(r"total: 1 session, received 55 bytes, sent 0 bytes in [\d.]+ s\n\Z", result.said)


def test_once_ends_with_the_first_datagram() -> None:
    with Server("-u", "--once") as server, caller(server) as sock:
        assert echoed(sock, b"x") == b"x"
        result = server.finish()
    assert result.status == 0
    assert "total: 1 session, received 1 byte, sent 1 byte" in result.said


def test_once_with_an_empty_datagram() -> None:
    with Server("-u", "--once") as server, caller(server) as sock:
        assert echoed(sock, b"") == b""
        assert server.finish().status == 0


def test_once_in_pipe_mode_waits_for_what_still_comes() -> None:
    with Server("-u", "--once", "--mode", "pipe", "-v", *SOON) as server, caller(server) as sock:
        sock.send(b"question")
        server.send(b"answer")
        assert sock.recv(100) == b"answer"
        server.close_stdin()
        result = server.finish()
    assert (result.status, result.out) == (0, b"question")
    assert "nothing came for 0.3 s after the end of input: done" in result.said


def test_idle_timeout_of_serve() -> None:
    with Server("-u", "-w", "1") as server, caller(server) as sock:
        begun = time.monotonic()
        for _ in range(4):
            with pytest.raises(subprocess.TimeoutExpired):
                server.popen.wait(0.3)
            quiet = time.monotonic()
            assert echoed(sock, b"x") == b"x"
        result = server.finish()
        assert quiet - begun > 1 <= time.monotonic() - quiet < 10
    assert result.status == 1
    assert "sockkit: idle timeout: nothing moved for 1 s [ETIMEDOUT" in result.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_the_sums(number: int) -> None:
    with Server("-u") as server, caller(server) as one, caller(server) as two:
        assert echoed(one, b"1234") == b"1234"
        assert echoed(two, b"56789") == b"56789"
        result = server.stop(number)
    assert result.status == -number
    lines = result.said.splitlines()
    assert [line.partition(" closed: ")[2].partition(" in ")[0] for line in lines[-3:-1]] == [
        "received 4 bytes, sent 4 bytes",
        "received 5 bytes, sent 5 bytes",
    ]
    assert lines[-1].startswith("x total: 2 sessions, received 9 bytes, sent 9 bytes in ")
    assert sum("total" in line for line in lines) == 1


def test_a_reader_of_stdout_that_goes_away() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        server = Server("-u", "--mode", "pipe", stdout=writing)
        os.close(writing)
        with server, caller(server) as sock:
            sock.send(b"x")
            assert select.select([reader], [], [], TIMEOUT)[0]
            reader.close()
            assert server.finish().status == -signal.SIGPIPE


@needs_linux
def test_a_full_disk() -> None:
    with Path("/dev/full").open("wb") as full:
        server = Server("-u", "--mode", "pipe", stdout=full.fileno())
        with server, caller(server) as sock:
            sock.send(b"x")
            result = server.finish()
    assert result.status == 1
    assert "sockkit: write to stdout: No space left on device [ENOSPC 28]" in result.said


def test_k_means_nothing_for_datagrams() -> None:
    result = run("serve", "-u", "--mode", "pipe", "-k", "--port", "0")
    assert result.status == 2
    assert "datagrams have no sessions to wait for" in result.said


# ---- the story


def test_v_shows_the_system_calls() -> None:
    with Server("-u", "-v") as server, caller(server) as sock:
        host, port = sock.getsockname()
        assert echoed(sock, b"hello") == b"hello"
        result = server.stop()
    fd = re.search(r"socket\(AF_INET, SOCK_DGRAM, 0\) = (\d+) ", result.said)
    assert fd, result.said
    assert f"bind({fd[1]}, 127.0.0.1:0) = 0 " in result.said
    assert f"recvfrom({fd[1]}, 262144) = 5, {host}:{port} " in result.said
    assert f"sendto({fd[1]}, 5, {host}:{port}) = 5 " in result.said
    assert re.search(r"#1 \S+ message of 5 bytes: hello", result.said)


def test_the_story_as_json() -> None:
    process = Process("serve", "-u", "--json", "--port", "0")
    with process:
        port = int(process.wait_for(rb'"address": "127\.0\.0\.1:(\d+)"')[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(("127.0.0.1", port))
            here = f"127.0.0.1:{sock.getsockname()[1]}"
            assert echoed(sock, b"hello") == b"hello"
            assert echoed(sock, b"") == b""
        result = process.stop()
    events = story(result.err)
    assert all(event["schema"] == 1 for event in events)
    assert [event["event"] for event in events] == [
        "listening",
        "opened",
        *["data"] * 4,
        "closed",
        "totals",
    ]
    listening, opened, first, second, third, fourth, closed, totals = events
    assert (listening["family"], listening["type"]) == ("AF_INET", "SOCK_DGRAM")
    assert (opened["session"], opened["peer"], opened["local"]) == (1, here, f"127.0.0.1:{port}")
    assert [
        (event["direction"], event["offset"], event["size"], event["message"])
        for event in (first, second, third, fourth)
    ] == [("received", 0, 5, True), ("sent", 0, 5, True), ("received", 5, 0, True), ("sent", 5, 0, True)]
    assert (closed["received"], closed["sent"], closed["first"], closed["error"]) == (5, 5, None, None)
    assert (totals["sessions"], totals["received"], totals["sent"]) == (1, 5, 5)


def test_the_json_story_of_a_refusal() -> None:
    result = run("connect", "-u", "--json", "127.0.0.1", str(free_port(socket.SOCK_DGRAM)), stdin=b"x")
    assert result.status == 1
    failed = [event for event in story(result.err) if event["event"] == "failed"]
    assert len(failed) == 1
    error = failed[0]["error"]
    assert isinstance(error, dict)
    assert error["name"] == "ECONNREFUSED"


def test_q_still_says_losses_and_errors() -> None:
    result = run("connect", "-q", "-u", "127.0.0.1", str(free_port(socket.SOCK_DGRAM)), stdin=b"x")
    assert result.status == 1
    assert "ECONNREFUSED" in result.said


# ---- other families, types and protocols


@needs_ipv6
@pytest.mark.parametrize("target", [("::1", "PORT"), ("[::1]:PORT",), ("-6", "localhost", "PORT")])
def test_ipv6(target: tuple[str, ...]) -> None:
    if "localhost" in target:
        try:
            socket.getaddrinfo("localhost", None, socket.AF_INET6)
        except OSError:
            pytest.skip("CANNOT: localhost has no IPv6 address here")
    with Server("-u", "::1") as server:
        assert server.address == f"[::1]:{server.port}"
        words = [word.replace("PORT", str(server.port)) for word in target]
        assert run("connect", "-u", *SOON, *words, stdin=b"hello") == (0, b"hello", b"")
        with caller(server, "::1") as sock:
            data = os.urandom(LONGEST + 20)  # IPv6's own limit: its length does not count its header
            assert echoed(sock, data) == data
        assert re.search(rb"#1 \[::1\]:\d+ connected", server.err)


def test_udplite() -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136).close()
    except OSError:
        pytest.skip("CANNOT: the kernel has no UDP-Lite")
    with Server("-u", "--proto", "UDPLITE") as server:
        args = ("connect", "-u", "--proto", "UDPLITE", *SOON)
        assert run(*args, "127.0.0.1", str(server.port), stdin=b"hello") == (0, b"hello", b"")
        assert run(*args, "localhost", str(server.port), stdin=b"by name").out == b"by name"


@needs_root
@needs_linux
def test_raw() -> None:
    """On loopback a raw socket hears what it says itself: with the IP header in front (raw(7))."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 253).close()
    except OSError as error:
        pytest.skip(f"CANNOT: no raw socket: {error}")
    result = run("connect", "--type", "RAW", "--proto", "253", *SOON, "127.0.0.1", "9", stdin=b"hello")
    assert result.status == 0
    assert len(result.out) == 25
    assert result.out.endswith(b"hello")
    assert (result.out[0] >> 4, result.out[9]) == (4, 253)


def test_a_lent_socket_is_served_and_not_closed() -> None:
    with listener(type=socket.SOCK_DGRAM) as sock:
        fd = sock.fileno()
        lent = Server("--fileno", str(fd), free_port=False, pass_fds=(fd,))
        with lent as server, caller(server) as client:
            assert echoed(client, b"hello") == b"hello"
            assert server.stop().status == -signal.SIGTERM
        with caller(lent) as client:
            client.send(b"ours again")
            assert sock.recv(100) == b"ours again"


def test_two_servers_do_not_share_a_port() -> None:
    with Server("-u") as server:
        result = run("serve", "-u", "--port", str(server.port))
    assert result.status == 1
    assert f"bind to 127.0.0.1:{server.port}: Address already in use [EADDRINUSE" in result.said


# ---- programs that we did not write


CALLERS = {
    "nc": ("-u", "-w", "1", "127.0.0.1", "PORT"),
    "ncat": ("-u", "-i", "1", "127.0.0.1", "PORT"),
    "socat": ("-T", "0.5", "-", "UDP4:127.0.0.1:PORT"),
}
LISTENERS = {
    "nc": ("-u", "-l", "-n", "127.0.0.1", "PORT"),
    "ncat": ("-u", "-l", "-n", "127.0.0.1", "PORT"),
    "socat": ("-", "UDP4-RECVFROM:PORT,bind=127.0.0.1"),
}


@pytest.mark.parametrize("name", CALLERS)
def test_other_callers(name: str) -> None:
    tool = need(name)
    with Server("-u") as server:
        args = [word.replace("PORT", str(server.port)) for word in CALLERS[name]]
        done = subprocess.run([tool, *args], input=b"hello\n", capture_output=True, timeout=TIMEOUT, check=False)
        result = server.stop()
    assert "received 6 bytes, sent 6 bytes" in result.said
    if name != "ncat":  # which may leave with the end of its input, and lose the reply
        assert done.stdout == b"hello\n"


@needs_linux
@pytest.mark.parametrize("name", LISTENERS)
def test_other_listeners(name: str) -> None:
    tool = need(name)
    port = free_port(socket.SOCK_DGRAM)
    args = [word.replace("PORT", str(port)) for word in LISTENERS[name]]
    other = subprocess.Popen([tool, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert other.stdin and other.stdout
        deadline = time.monotonic() + TIMEOUT
        while f"0100007F:{port:04X} " not in Path("/proc/net/udp").read_text():
            assert other.poll() is None and time.monotonic() < deadline
        with Process("connect", "-u", *AT_ONCE, "127.0.0.1", str(port)) as process:
            process.send(b"question\n")
            assert select.select([other.stdout], [], [], TIMEOUT)[0]
            assert os.read(other.stdout.fileno(), 100) == b"question\n"
            other.stdin.write(b"answer\n")
            other.stdin.flush()
            process.wait_for(rb"\Aanswer\n\Z", stream="out")
            process.close_stdin()
            assert process.finish() == (0, b"answer\n", b"")
    finally:
        other.kill()
        other.communicate()
