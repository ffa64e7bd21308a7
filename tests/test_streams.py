"""Streams, and messages over a connection: ``serve`` and ``connect`` as processes, against sockets and other netcats.

What every netcat has had bugs in is in ``tests/battery``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import (
    ENVIRONMENT,
    SOCKKIT,
    TIMEOUT,
    Process,
    Server,
    listener,
    need,
    needs_ipv6,
    needs_linux,
    receive_all,
    run,
)
from tests.peers import (
    BLOCK,
    DEFAULT_PORT,
    MIB,
    Task,
    accepted,
    eventually,
    exactly,
    free_port,
    full_queue,
    need_default_port,
    pipe,
    port_of,
    reset,
    shell,
    story_of,
    with_names,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


SEQPACKET: int = getattr(socket, "SOCK_SEQPACKET", -1)


# ---- hello


def test_hello_at_the_default_address() -> None:
    need_default_port()
    with Server(free_port=False) as server:
        assert server.address == f"127.0.0.1:{DEFAULT_PORT}"
        assert run("connect", stdin=b"Hello, world\n") == (0, b"Hello, world\n", b"")


@pytest.mark.parametrize("payload", [b"", b"x", b"Hello, world\n", b"no newline at the end", b"\n" * 5], ids=repr)
def test_echo(payload: bytes) -> None:
    with Server() as server:
        assert run("connect", str(server.port), stdin=payload) == (0, payload, b"")


def test_addresses_may_be_written_in_several_ways() -> None:
    with Server() as server:
        for words in (
            ["127.0.0.1", str(server.port)],
            [f"127.0.0.1:{server.port}"],
            ["-4", "localhost", str(server.port)],
        ):
            assert run("connect", *words, stdin=b"hi") == (0, b"hi", b"")


def test_discard_throws_away_and_ends() -> None:
    with Server("--mode", "discard") as server:
        assert run("connect", str(server.port), stdin=b"x" * MIB) == (0, b"", b"")
        server.wait_for(
            rb"#1 \S+ closed: received 1\.0 MiB \(1048576 bytes\), sent 0 bytes in \d+\.\d{3} s, [\d.]+ .B/s; the peer ended first"
        )


def test_the_story_of_a_server_is_one_line_per_open_and_close() -> None:
    with Server() as server:
        with server.connect() as client:
            where = "{}:{}".format(*client.getsockname())
            client.sendall(b"12345")
            assert exactly(client, 5) == b"12345"
        server.wait_for(rb"closed[^\n]*\n")
        result = server.stop()
    assert result.status == -signal.SIGTERM
    assert result.out == b""
    first, opened, closed, total = result.said.splitlines()
    assert first == f"listening on {server.address} (this host only; others: sockkit serve 0.0.0.0 {server.port})"
    assert opened == f"= #1 {where} connected (here: {server.address})"
    assert re.fullmatch(
        rf"x #1 {where} closed: received 5 bytes, sent 5 bytes in \d+\.\d{{3}} s; the peer ended first", closed
    )
    assert re.fullmatch(r"x total: 1 session, received 5 bytes, sent 5 bytes in \d+\.\d{3} s", total)


# ---- messages over a connection


@pytest.fixture
def seqpacket() -> int:
    try:
        socket.socket(socket.AF_UNIX, SEQPACKET).close()
    except (OSError, AttributeError) as error:
        pytest.skip(f"CANNOT: no SEQPACKET over Unix sockets: {error}")
    return SEQPACKET


def test_seqpacket_an_echo_keeps_boundaries(seqpacket: int, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Server("--type", "SEQPACKET", path, free_port=False) as server:
        with socket.socket(socket.AF_UNIX, seqpacket) as client:
            client.settimeout(TIMEOUT)
            client.connect(path)
            messages = [b"a", b"", b"ccc", b"x" * 100_000, b"", b"end"]
            for message in messages:
                assert client.send(message) == len(message)
                assert client.recv(200_000) == message
            for message in messages[:3]:
                client.send(message)
            assert [client.recv(100) for _ in range(3)] == messages[:3]
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        size = rb"97\.7 KiB \(100011 bytes\)"
        server.wait_for(
            rb"#1 \S+ closed: received %b, sent %b in \S+ s, [\d.]+ .B/s; the peer ended first\n" % (size, size)
        )


def test_seqpacket_messages_to_stdout(seqpacket: int, tmp_path: Path) -> None:
    with (
        listener(socket.AF_UNIX, seqpacket, str(tmp_path / "s")) as sock,
        Process("connect", "--type", "SEQPACKET", str(tmp_path / "s")) as client,
        accepted(sock) as peer,
    ):
        peer.send(b"first ")
        peer.send(b"")
        client.wait_for(rb"first ", stream="out")
        peer.send(b"last")
        client.wait_for(rb"last", stream="out")
        client.send(b"to the peer")
        assert peer.recv(100) == b"to the peer"
        client.close_stdin()
        assert peer.recv(100) == b""
        peer.close()
        assert client.finish() == (0, b"first last", b"")


def test_seqpacket_an_empty_message_is_not_the_end_though_the_peer_is_gone(seqpacket: int, tmp_path: Path) -> None:
    with listener(socket.AF_UNIX, seqpacket, str(tmp_path / "s")) as sock:
        command = ["connect", "--type", "SEQPACKET", "--lines", str(tmp_path / "s")]
        with Process(*command, stdin=subprocess.DEVNULL) as client:
            with accepted(sock) as peer:
                client.kill(signal.SIGSTOP)  # so that the peer is gone before anything is read
                os.waitid(os.P_PID, client.pid, os.WSTOPPED)
                for message in (b"a", b"", b"b", b"", b"", b"c"):
                    peer.send(message)
            client.kill(signal.SIGCONT)
            assert client.finish() == (0, b"a\n\nb\n\n\nc\n", b"")


@needs_linux
@pytest.mark.xfail(
    strict=True, reason="CANNOT: recv(2) says 0 for both, and nothing behind it tells that it was a message"
)
def test_seqpacket_an_empty_message_right_before_the_end(seqpacket: int, tmp_path: Path) -> None:
    with listener(socket.AF_UNIX, seqpacket, str(tmp_path / "s")) as sock:
        command = ["connect", "--type", "SEQPACKET", "--lines", str(tmp_path / "s")]
        with Process(*command, stdin=subprocess.DEVNULL) as client:
            with accepted(sock) as peer:
                client.kill(signal.SIGSTOP)
                os.waitid(os.P_PID, client.pid, os.WSTOPPED)
                peer.send(b"a")
                peer.send(b"")
            client.kill(signal.SIGCONT)
            assert client.finish() == (0, b"a\n\n", b"")


def test_seqpacket_lines_are_messages(seqpacket: int, tmp_path: Path) -> None:
    with (
        listener(socket.AF_UNIX, seqpacket, str(tmp_path / "s")) as sock,
        Process("connect", "--type", "SEQPACKET", "--lines", str(tmp_path / "s")) as client,
        accepted(sock) as peer,
    ):
        client.send(b"one\n\nthr")
        assert [peer.recv(100), peer.recv(100)] == [b"one", b""]
        client.send(b"ee\nfour")
        client.close_stdin()
        assert [peer.recv(100), peer.recv(100), peer.recv(100)] == [b"three", b"four", b""]
        peer.close()
        assert client.finish() == (0, b"", b"")


def test_seqpacket_in_pipe_mode(seqpacket: int, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Server("--type", "SEQPACKET", "--mode", "pipe", path, free_port=False) as server:
        with socket.socket(socket.AF_UNIX, seqpacket) as client:
            client.settimeout(TIMEOUT)
            client.connect(path)
            client.send(b"from the peer")
            server.wait_for(rb"from the peer", stream="out")
            server.send(b"to the peer")
            assert client.recv(100) == b"to the peer"
        result = server.finish()
    assert (result.status, result.out) == (0, b"from the peer")


# ---- readiness, inheritance


@pytest.mark.parametrize("quiet", [[], ["-q"]], ids=["", "quiet"])
def test_ready_fd_gets_one_line(quiet: list[str]) -> None:
    with (
        pipe() as (ready, told),
        Process("serve", *quiet, "--port", "0", "--ready-fd", str(told), pass_fds=[told]) as server,
    ):
        os.close(told)
        assert select.select([ready], [], [], TIMEOUT)[0]
        line = os.read(ready, 1000).decode()
        host, _, port = line.rpartition(":")
        assert (host, port[-1:]) == ("127.0.0.1", "\n")
        assert run("connect", port.strip(), stdin=b"x") == (0, b"x", b"")
        result = server.stop()
        assert os.read(ready, 1000) == b"", "one line, and no more"
    assert (result.err == b"") == bool(quiet)


def test_ready_fd_that_is_closed_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    result = run("serve", "-U", str(tmp_path / "s"), "--ready-fd", "99")
    assert result.status == 2
    assert "--ready-fd: 99 is no open descriptor" in result.said
    assert f"[EBADF {errno.EBADF}]" in result.said
    assert os.listdir(tmp_path) == []


@needs_linux
def test_a_service_manager_lends_the_socket_and_is_told(tmp_path: Path) -> None:
    with listener() as sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(TIMEOUT)
        manager.bind(str(tmp_path / "notify"))
        before = fcntl.fcntl(sock, fcntl.F_GETFL)
        prefix = shell(f"exec 3<&{sock.fileno()} {sock.fileno()}<&-", "export LISTEN_FDS=1 LISTEN_PID=$$")
        with Server(
            free_port=False, pass_fds=[sock.fileno()], prefix=prefix, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}
        ) as server:
            told = manager.recv(1000).decode()
            assert told.splitlines() == ["READY=1", f"STATUS=listening on 127.0.0.1:{port_of(sock)}"]
            assert server.port == sock.getsockname()[1]
            for _ in range(2):
                assert run("connect", port_of(sock), stdin=b"x") == (0, b"x", b"")
            server.stop()
        assert fcntl.fcntl(sock, fcntl.F_GETFL) == before
        with socket.create_connection(sock.getsockname(), timeout=TIMEOUT) as client, accepted(sock):
            assert client  # the socket listens on: it was lent


@needs_linux
def test_listen_fds_of_another_process_are_not_ours() -> None:
    with listener() as sock:
        prefix = shell(f"exec 3<&{sock.fileno()}", "export LISTEN_FDS=1 LISTEN_PID=1")
        with Server(pass_fds=[sock.fileno()], prefix=prefix) as server:
            assert server.port != sock.getsockname()[1]


@needs_linux
def test_notify_to_an_abstract_name() -> None:
    name = f"sockkit-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(TIMEOUT)
        manager.bind("\0" + name)
        with Server(env={"NOTIFY_SOCKET": "@" + name}) as server:
            assert manager.recv(1000).decode() == f"READY=1\nSTATUS=listening on {server.address}\n"


def test_a_manager_that_went_away_is_no_failure(tmp_path: Path) -> None:
    with Server(env={"NOTIFY_SOCKET": str(tmp_path / "nobody")}) as server:
        assert run("connect", str(server.port), stdin=b"x") == (0, b"x", b"")


@pytest.mark.parametrize("command", ["connect", "serve"])
def test_closed_standard_streams_never_become_sockets(command: str, tmp_path: Path) -> None:
    closed = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "-"]
    if command == "connect":
        with listener() as sock, Process("connect", port_of(sock), prefix=closed) as client:
            with accepted(sock) as peer:
                assert peer.recv(10) == b"", "a closed stdin has ended; and nothing of ours is written to the socket"
                peer.sendall(b"reply")
            assert client.finish() == (0, b"", b"")
        return
    with (
        pipe() as (ready, told),
        Process("serve", "--port", "0", "--ready-fd", str(told), pass_fds=[told], prefix=closed) as server,
    ):
        assert select.select([ready], [], [], TIMEOUT)[0]
        port = os.read(ready, 1000).decode().rpartition(":")[2].strip()
        assert run("connect", port, stdin=b"x") == (0, b"x", b"")
        server.stop()


def test_serve_over_a_lent_listener() -> None:
    with listener() as sock:
        before = fcntl.fcntl(sock, fcntl.F_GETFL)
        with Server("--fileno", str(sock.fileno()), free_port=False, pass_fds=[sock.fileno()]) as server:
            assert server.port == sock.getsockname()[1]
            for _ in range(2):
                assert run("connect", port_of(sock), stdin=b"x") == (0, b"x", b"")
            assert fcntl.fcntl(sock, fcntl.F_GETFL) == before
            server.stop()
        with socket.create_connection(sock.getsockname(), timeout=TIMEOUT), accepted(sock):
            pass


def test_serve_listens_on_a_lent_socket_that_is_only_bound() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with Server("--fileno", str(sock.fileno()), free_port=False, pass_fds=[sock.fileno()]):
            assert run("connect", port_of(sock), stdin=b"x") == (0, b"x", b"")


def test_serve_refuses_a_lent_connection() -> None:
    with listener() as sock, socket.create_connection(sock.getsockname(), timeout=TIMEOUT) as client, accepted(sock):
        result = run("serve", "--fileno", str(client.fileno()), pass_fds=[client.fileno()])
    assert result.status == 2
    assert f"sockkit connect --fileno {client.fileno()}" in result.said or "connect --fileno" in result.said


def test_connect_over_a_lent_connection() -> None:
    with (
        listener() as sock,
        socket.create_connection(sock.getsockname(), timeout=TIMEOUT) as ours,
        accepted(sock) as peer,
    ):
        before = fcntl.fcntl(ours, fcntl.F_GETFL)
        with Process("connect", "--fileno", str(ours.fileno()), "--no-shutdown", pass_fds=[ours.fileno()]) as client:
            client.send(b"through sockkit")
            assert exactly(peer, 15) == b"through sockkit"
            peer.sendall(b"reply")
            client.wait_for(rb"reply", stream="out")
            client.close_stdin()
            peer.shutdown(socket.SHUT_WR)
            assert client.finish() == (0, b"reply", b"")
        assert fcntl.fcntl(ours, fcntl.F_GETFL) == before
        ours.sendall(b"still ours")
        assert exactly(peer, 10) == b"still ours"


def test_a_lent_connection_survives_for_the_next_command_of_a_shell() -> None:
    with (
        listener() as sock,
        socket.create_connection(sock.getsockname(), timeout=TIMEOUT) as ours,
        accepted(sock) as peer,
    ):
        fd = ours.fileno()
        script = f'"$@" connect --fileno {fd} --no-shutdown </dev/null; echo still >&{fd}'
        peer.sendall(b"hi")
        peer.shutdown(socket.SHUT_WR)
        done = subprocess.run(
            ["bash", "-c", script, "-", *SOCKKIT],
            pass_fds=[fd],
            env=ENVIRONMENT,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"hi", b"")
        assert exactly(peer, 6) == b"still\n"


def test_connect_over_a_lent_socket_that_is_not_connected() -> None:
    with Server() as server, socket.socket() as ours:
        address = f"127.0.0.1:{server.port}"
        result = run("connect", "--fileno", str(ours.fileno()), address, stdin=b"x", pass_fds=[ours.fileno()])
        assert result == (0, b"x", b"")
        assert ours.recv(1) == b"", "it was connected, and is still open"
        server.wait_for(rb"= #1 127\.0\.0\.1:%d connected" % ours.getsockname()[1])
    with socket.socket() as ours:
        result = run("connect", "--fileno", str(ours.fileno()), pass_fds=[ours.fileno()])
        assert result.status == 2
        assert "not connected" in result.said


def test_connect_over_a_lent_end_of_a_socketpair() -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.settimeout(TIMEOUT)
        peer.sendall(b"hi")
        peer.shutdown(socket.SHUT_WR)
        received = Task(receive_all, peer)
        assert run("connect", "--fileno", str(ours.fileno()), stdin=b"x", pass_fds=[ours.fileno()]) == (0, b"hi", b"")
        assert received.get() == b"x"


# ---- connect


def test_refused_says_what_it_means() -> None:
    port = free_port()
    result = run("connect", str(port))
    assert result.status == 1
    first, second = result.said.splitlines()
    assert first == f"sockkit: connect to 127.0.0.1:{port}: Connection refused [ECONNREFUSED {errno.ECONNREFUSED}]"
    assert f"sockkit serve 127.0.0.1 {port}" in second


def test_refused_at_the_default_port_says_to_start_serve() -> None:
    need_default_port()
    result = run("connect")
    assert result.status == 1
    assert f"connect to 127.0.0.1:{DEFAULT_PORT}: Connection refused" in result.said
    assert re.search(r"start `sockkit serve\b[^`]*` in another terminal", result.said)


def two_addresses(tmp_path: Path) -> list[str]:
    """A prefix that makes ``both.test`` a name for ::1 and 127.0.0.1."""
    return with_names(tmp_path, "", "::1 both.test\n127.0.0.1 both.test\n", "files")


@needs_ipv6
@needs_linux
def test_every_address_that_failed_is_told(tmp_path: Path) -> None:
    prefix, port = two_addresses(tmp_path), free_port()
    result = run("connect", "both.test", str(port), prefix=prefix)
    assert result.status == 1
    for host in ("[::1]", "127.0.0.1"):
        line = f"sockkit: connect to {host}:{port}: Connection refused [ECONNREFUSED {errno.ECONNREFUSED}]\n"
        assert result.said.count(line) == 1
    assert result.said.count("sockkit serve") == 1, "the hint is said once"
    only = run("connect", "-4", "both.test", str(port), prefix=prefix)
    assert "[::1]" not in only.said


@needs_ipv6
@needs_linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_address_that_answers_is_used(tmp_path: Path, host: str) -> None:
    prefix = two_addresses(tmp_path)
    with Server(host) as server:
        result = run("connect", "-v", "both.test", str(server.port), stdin=b"x", prefix=prefix)
        assert (result.status, result.out) == (0, b"x")
        assert f"trying {server.address}\n" in result.said
        assert f"{server.address} connected (here: " in result.said
        if host == "127.0.0.1":
            assert f"trying [::1]:{server.port}\n" in result.said
            assert f"connect to [::1]:{server.port}: Connection refused" in result.said
        quiet = run("connect", "both.test", str(server.port), stdin=b"x", prefix=prefix)
        assert (quiet.status, quiet.out) == (0, b"x")
        family = "-4" if host == "::1" else "-6"
        assert run("connect", family, "both.test", str(server.port), prefix=prefix).status == 1


def test_a_name_that_does_not_exist() -> None:
    result = run("connect", "-n", "no-such-name.invalid", "1")
    assert result.status == 1
    assert re.fullmatch(
        r"sockkit: look up no-such-name\.invalid:1: .* \[EAI_NONAME -?\d+\]\nsockkit: -n asks no name server\n",
        result.said,
    )


@needs_linux
def test_source_address_and_port() -> None:
    port = free_port()
    with listener() as sock, Process("connect", "-s", "127.0.0.2", "-p", str(port), port_of(sock)) as client:
        connection, address = sock.accept()
        with connection:
            assert address == ("127.0.0.2", port)
        client.close_stdin()
        assert client.finish().status == 0


def test_a_source_that_cannot_be() -> None:
    with listener() as sock:
        result = run("connect", "-s", "203.0.113.77", port_of(sock))
    assert result.status == 1
    assert f"[EADDRNOTAVAIL {errno.EADDRNOTAVAIL}]" in result.said


def test_zero_sees_whether_somebody_answers_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "stdin").write_bytes(b"not to be read")
    with listener() as sock, (tmp_path / "stdin").open("rb") as stdin:
        assert run("connect", "-z", port_of(sock), stdin=stdin.fileno()) == (0, b"", b"")
        assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0
        with accepted(sock) as peer:
            assert receive_all(peer) == b""
        told = run("connect", "-z", "-v", port_of(sock))
        assert told.status == 0
        assert f"127.0.0.1:{port_of(sock)} connected (here: 127.0.0.1:" in told.said
    refused = run("connect", "-z", str(free_port()))
    assert (refused.status, refused.out) == (1, b"")
    assert "Connection refused" in refused.said


def test_w_is_both_timeouts() -> None:
    with listener() as sock, Process("connect", "-w", "0.5", port_of(sock)) as client, accepted(sock) as peer:
        assert peer.recv(1) == b""
        result = client.finish()
    assert result.status == 1
    assert "nothing moved for 0.5 s [ETIMEDOUT" in result.said
    with full_queue() as sock:
        assert "timed out after 0.5 s" in run("connect", "-w", "0.5", port_of(sock)).said


def test_verbose_shows_every_system_call() -> None:
    with Server("-v") as server:
        result = run("connect", "-v", str(server.port), stdin=b"Hello")
        server.wait_for(rb"close\(")
        server.stop()
    assert (result.status, result.out) == (0, b"Hello")
    for call in (
        "socket(AF_INET, SOCK_STREAM, 0) = ",
        "connect(",
        "read(0, ",
        "send(",
        "recv(",
        "shutdown(",
        "write(",
        "close(",
    ):
        assert call in result.said, call
    assert re.search(
        rf"connect\(\d+, 127\.0\.0\.1:{server.port}\) = (0|-1 Operation now in progress \[EINPROGRESS \d+\]) <\d+ us>",
        result.said,
    )
    assert re.search(r"> +[\d.]+ #1 5 bytes at 0: Hello\n", result.said)
    assert re.search(r"< +[\d.]+ #1 5 bytes at 0: Hello\n", result.said)
    for call in ("socket(", "bind(", "listen(", "accept(", "recv(", "send(", "close("):
        assert call in bytes(server.err).decode(), call


def test_quiet_is_silent_but_for_errors() -> None:
    with Process("serve", "-q", "--port", "0", "--ready-fd", "1") as server:
        port = server.wait_for(rb":(\d+)\n", stream="out")[1].decode()
        assert run("connect", "-q", port, stdin=b"x") == (0, b"x", b"")
        assert server.stop().err == b""
    result = run("connect", "-q", str(free_port()))
    assert result.status == 1
    assert "Connection refused" in result.said


def test_json_is_one_object_a_line() -> None:
    with Server() as server:
        result = run("connect", "--json", str(server.port), stdin=b"Hello")
    assert (result.status, result.out) == (0, b"Hello")
    story = story_of(result.err)
    names = [event["event"] for event in story]
    assert names[0] == "opened"
    assert names[-1] == "closed"
    assert {"opened", "data", "ended", "closed"} <= set(names)
    assert all(event["schema"] == 1 for event in story)
    assert [event["time"] for event in story] == sorted(event["time"] for event in story)
    opened, closed = story[0], story[-1]
    assert opened["peer"] == server.address
    assert (closed["sent"], closed["received"], closed["first"], closed["error"]) == (5, 5, "local", None)
    for direction in ("sent", "received"):
        data = [event for event in story if event["event"] == "data" and event["direction"] == direction]
        assert sum(event["size"] for event in data) == 5
    assert [event["how"] for event in story if event["event"] == "ended"] == ["stdin ended", "FIN sent", "FIN received"]


def test_json_tells_of_failures_in_the_same_way() -> None:
    port = free_port()
    result = run("connect", "--json", str(port))
    assert result.status == 1
    (failed,) = (event for event in story_of(result.err) if event["event"] == "failed")
    assert failed["operation"] == f"connect to 127.0.0.1:{port}"
    assert failed["error"]["name"] == "ECONNREFUSED"
    assert failed["error"]["errno"] == errno.ECONNREFUSED
    with listener() as sock, Process("connect", "--json", port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"x")
            reset(peer)
        story = story_of(client.finish().err)
    assert story[-1]["event"] == "closed"
    assert story[-1]["error"] == f"Connection reset by peer [ECONNRESET {errno.ECONNRESET}]"


def test_json_of_a_server() -> None:
    with Process("serve", "--json", "--port", "0") as server:
        found = server.wait_for(rb'"event": "listening"[^\n]*"address": "127\.0\.0\.1:(\d+)"[^\n]*\n')
        assert run("connect", found[1].decode(), stdin=b"x") == (0, b"x", b"")
        server.wait_for(rb'"event": "closed"[^\n]*\n')
        story = story_of(server.stop().err)
    assert [event["event"] for event in story if event["event"] not in ("data", "ended")] == [
        *("listening", "opened", "closed", "totals")
    ]
    assert {key: story[-1][key] for key in ("sessions", "sent", "received")} == {
        "sessions": 1,
        "sent": 1,
        "received": 1,
    }


def test_options_are_set_at_their_moment() -> None:
    with Server("--set", "SO_REUSEADDR=1") as server:
        result = run("connect", "-v", "--set", "TCP_NODELAY=1", str(server.port), stdin=b"x")
    assert (result.status, result.out) == (0, b"x")
    assert re.search(r"setsockopt\(\d+, IPPROTO_TCP, TCP_NODELAY, 1\) = 0", result.said)
    assert result.said.index("TCP_NODELAY, 1") < result.said.index("connect(")


@pytest.mark.parametrize("first", [[], ["--set", "REUSEADDR=1"]], ids=["without", "with"])
def test_a_server_that_begins_anew(first: list[str]) -> None:
    """What a server leaves in TIME_WAIT is in the way of the next, unless both have SO_REUSEADDR (measured on Linux)."""
    with Server(*first) as server, server.connect() as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        server.popen.terminate()
        assert client.recv(1) == b""
        client.close()
        port = str(server.port)
        server.finish()
    result = run("serve", "--set", "REUSEADDR=1", "--duration", "0.1", "127.0.0.1", port)
    if first:
        assert result.status == 0
    elif sys.platform == "linux":
        assert result.status == 1
        assert "is not in the way of --set SO_REUSEADDR=1 if those connections had it too" in result.said


# ---- other people's netcats


def client_of(tool: str, port: int) -> list[str]:
    return {
        "nc": ["nc", "-N", "127.0.0.1", str(port)],
        "ncat": ["ncat", "127.0.0.1", str(port)],
        "socat": ["socat", "-t", "10", "-", f"TCP:127.0.0.1:{port}"],
    }[tool]


def server_of(tool: str, port: int) -> tuple[list[str], bytes]:
    """Its command line, and what it says when it listens."""
    return {
        "nc": (["nc", "-v", "-N", "-l", "127.0.0.1", str(port)], rb"(?i)listening on"),
        "ncat": (["ncat", "-v", "-l", "127.0.0.1", str(port)], rb"Listening on"),
        "socat": (
            ["socat", "-d", "-d", "-t", "10", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "-"],
            rb"listening on",
        ),
    }[tool]


TOOLS = pytest.mark.parametrize("tool", ["nc", "ncat", "socat"])


def need_tool(tool: str) -> None:
    path = need(tool)
    if tool == "nc":
        told = subprocess.run([path, "-h"], capture_output=True, timeout=TIMEOUT, check=False)
        if b"OpenBSD" not in told.stderr + told.stdout:
            pytest.skip("CANNOT: this nc is not OpenBSD's, whose flags the test uses")


@TOOLS
def test_real_clients_get_their_echo(tool: str) -> None:
    need_tool(tool)
    with Server() as server:
        done = subprocess.run(
            client_of(tool, server.port), input=BLOCK, capture_output=True, timeout=TIMEOUT, check=False
        )
        assert (done.returncode, done.stdout) == (0, BLOCK)
        server.wait_for(rb"#1 \S+ closed: received [^;]*\(1048576 bytes\), sent [^;]*\(1048576 bytes\)")


@TOOLS
def test_real_clients_of_a_pipe(tool: str) -> None:
    need_tool(tool)
    with Server("--mode", "pipe") as server:
        server.send(b"from sockkit\n")
        talking = Task(
            lambda: subprocess.run(
                client_of(tool, server.port), input=BLOCK, capture_output=True, timeout=TIMEOUT, check=False
            )
        )
        # nc ends at the peer's end, whatever its own stdin still has: so this side ends last.
        eventually(lambda: len(server.out) == MIB)
        server.close_stdin()
        done = talking.get()
        result = server.finish()
    assert (done.returncode, done.stdout) == (0, b"from sockkit\n")
    assert (result.status, result.out) == (0, BLOCK)


@TOOLS
def test_real_servers(tool: str) -> None:
    need_tool(tool)
    port = free_port()
    command, ready = server_of(tool, port)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as peer:
        assert peer.stdin and peer.stdout and peer.stderr
        stdin, stdout, stderr = peer.stdin, peer.stdout, peer.stderr

        def feed() -> None:
            stdin.write(BLOCK[::-1])
            stdin.close()

        try:
            said = b""
            while not re.search(ready, said):
                assert select.select([stderr], [], [], TIMEOUT)[0]
                data = os.read(stderr.fileno(), 1000)
                assert data, said
                said += data
            Task(stderr.read)
            received, feeding = Task(stdout.read), Task(feed)
            with Process("connect", "--after-end", "20", str(port)) as client:
                client.send(BLOCK)
                eventually(lambda: len(client.out) == MIB)  # this side ends last: see above
                client.close_stdin()
                assert client.finish() == (0, BLOCK[::-1], b"")
            feeding.get()
            assert received.get() == BLOCK
            assert peer.wait(TIMEOUT) == 0
        finally:
            peer.kill()


@needs_linux
def test_serve_takes_more_clients_than_the_soft_limit_of_descriptors() -> None:
    prefix = ["sh", "-c", 'ulimit -Sn 40 && exec "$@"', "sh"]
    with Server(prefix=prefix) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(b"%d\n" % number)
        for number, client in enumerate(clients):
            assert client.makefile("rb").readline() == b"%d\n" % number
        assert b"Too many open files" not in server.err
