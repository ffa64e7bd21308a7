"""What first users stumbled over, so that nobody does again. Each test is named after what went wrong."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness import (
    ENVIRONMENT,
    SOCKKIT,
    Process,
    Server,
    has_family,
    listener,
    need,
    needs_linux,
    needs_unix,
    on_terminal,
    receive_all,
    run,
)


@needs_linux
def test_workers_that_share_a_lent_listener_can_be_ended() -> None:
    with listener() as lent:
        lent.set_inheritable(True)
        fd = str(lent.fileno())
        # A shared listener: each client wakes several workers, and those that lose the race are in accept(2).
        workers = [Server("--fileno", fd, free_port=False, pass_fds=(lent.fileno(),)) for _ in range(4)]
        try:
            for _ in range(60):
                with socket.create_connection(lent.getsockname(), timeout=30) as client:
                    client.sendall(b"x")
                    client.shutdown(socket.SHUT_WR)
                    assert receive_all(client) == b"x"
            for worker in workers:
                assert worker.stop().status == -signal.SIGTERM
        finally:
            for worker in workers:
                worker.close()


@needs_linux
def test_a_lent_listener_keeps_its_backlog() -> None:
    with socket.socket() as lent:
        lent.bind(("127.0.0.1", 0))
        lent.listen(2000)
        port = lent.getsockname()[1]
        with Server("--fileno", str(lent.fileno()), free_port=False, pass_fds=(lent.fileno(),)):
            assert _backlog(port) == 2000
        with Server("--fileno", str(lent.fileno()), "--backlog", "7", free_port=False, pass_fds=(lent.fileno(),)):
            assert _backlog(port) == 7


def _backlog(port: int) -> int:
    shown = subprocess.run([need("ss"), "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=True)
    return int(shown.stdout.split()[2])


def test_an_unbound_lent_socket_is_not_served_on_every_interface() -> None:
    with socket.socket() as lent:
        result = run("serve", "--fileno", str(lent.fileno()), pass_fds=(lent.fileno(),))
        assert result.status == 2
        assert "--fileno" in result.said and "has no address" in result.said


@needs_unix
@pytest.mark.parametrize("replaced", [True, False])
def test_only_our_own_source_path_is_unlinked(tmp_path: Path, replaced: bool) -> None:
    ours = tmp_path / "me"
    with listener(socket.AF_UNIX, socket.SOCK_STREAM, str(tmp_path / "server")) as server:
        with Process("connect", "-s", str(ours), str(tmp_path / "server")) as client:
            peer, address = server.accept()
            assert address == str(ours)
            ours.unlink()
            if replaced:
                ours.write_text("precious")
            peer.close()
            client.close_stdin()
            assert client.finish() == (0, b"", b"")
    assert ours.exists() == replaced
    assert not replaced or ours.read_text() == "precious"


@pytest.mark.parametrize("verb", ["connect", "serve"])
@pytest.mark.parametrize("address", ["b'abc'", "('lo', 'x')", "1,2,3"])
def test_an_address_of_the_wrong_shape(verb: str, address: str) -> None:
    if not has_family("AF_NETLINK", socket.SOCK_RAW):
        pytest.skip("CANNOT: no AF_NETLINK here")
    result = run(verb, "--family", "NETLINK", "--type", "RAW", address)
    assert result.status == 2
    assert result.said.startswith("sockkit: ADDRESS: ")


@pytest.mark.parametrize("verb", ["serve", "connect"])
def test_a_refused_option_names_itself(verb: str) -> None:
    address = ["--port", "0"] if verb == "serve" else ["127.0.0.1", "9"]
    result = run(verb, "--set", "IP_TTL=300", *address)
    assert result.status == 1
    assert result.said.startswith("sockkit: set IP_TTL to 300: Invalid argument [EINVAL ")


@needs_linux
def test_a_burst_of_datagrams_is_answered_or_said_to_be_lost() -> None:
    count = 20_000
    lines = b"".join(b"%d\n" % number for number in range(count))
    with Server("-u") as server:
        result = run("connect", "-u", "--lines", "--reply-wait", "1", "127.0.0.1", str(server.port), stdin=lines)
        said = server.stop().said
    answered = len(result.out.splitlines())
    lost = [int(number) for number in re.findall(r"lost: (\d+) datagrams?, dropped", result.said + said)]
    assert answered + sum(lost) == count
    assert result.status == (1 if "lost" in result.said else 0)


@contextmanager
def full_accept_queue(path: str) -> Iterator[None]:
    """A Unix server that never accepts, with as many clients as its queue takes."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(path)
        server.listen(0)
        try:
            while True:
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                sock.connect(path)
        except BlockingIOError:
            pass
        yield


@needs_linux
@pytest.mark.parametrize("source", [False, True])
def test_a_full_unix_accept_queue_is_waited_for_and_said(tmp_path: Path, source: bool) -> None:
    path = str(tmp_path / "full")
    with full_accept_queue(path):
        ours = ["-s", str(tmp_path / "ours")] if source else []
        result = run("connect", "-w", "0.4", *ours, path)
    assert result.status == 1
    assert f"connect to {path}: timed out" in result.said
    assert "queue of waiting connections is full" in result.said
    assert not (tmp_path / "ours").exists()


def test_a_refused_source_is_named() -> None:
    result = run("connect", "-s", "192.0.2.99", "127.0.0.1", "9")
    assert result.status == 1
    assert result.said.startswith("sockkit: bind to 192.0.2.99:0: Cannot assign requested address [EADDRNOTAVAIL ")


def test_a_source_may_have_its_port() -> None:
    with listener() as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        with Process("connect", "-s", f"127.0.0.1:{port}", "127.0.0.1", str(server.getsockname()[1])) as client:
            peer, address = server.accept()
            peer.close()
            assert address == ("127.0.0.1", port)
            client.close_stdin()
            assert client.finish().status == 0


@needs_unix
def test_replace_is_not_suggested_for_what_it_does_not_replace(tmp_path: Path) -> None:
    for name in ("directory", "file"):
        path = tmp_path / name
        path.mkdir() if name == "directory" else path.write_text("mine")
        result = run("serve", "-U", str(path), "--replace")
        assert result.status == 1
        assert f"the path is a {name}" in result.said
        assert path.exists()


def test_a_ready_fd_that_is_closed_is_said_before_anything_is_served() -> None:
    result = run("serve", "--port", "0", "--ready-fd", "77")
    assert result.status == 2
    assert "--ready-fd" in result.said and "listening" not in result.said


@needs_linux
def test_an_abstract_address_needs_a_name_to_connect_to() -> None:
    result = run("connect", "-U", "@")
    assert result.status == 2
    assert "@NAME" in result.said


def test_vsock_ports_have_32_bits() -> None:
    result = run("serve", "--family", "VSOCK", "-p", "4294967296")
    assert result.status == 2 and "4294967295" in result.said
    if not has_family("AF_VSOCK"):
        pytest.skip("CANNOT: no AF_VSOCK here")
    with Server("--family", "VSOCK", "any", "70000", free_port=False) as server:
        assert server.address.endswith(":70000")


def test_the_silence_of_a_datagram_peer_is_the_end_with_w() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        result = run("connect", "-u", "-w", "0.5", "127.0.0.1", str(peer.getsockname()[1]), stdin=b"x")
        assert result == (0, b"", b"")


def test_every_system_call_is_shown() -> None:
    with Server() as server:
        result = run("connect", "-v", "localhost", str(server.port), "-4", stdin=b"x")
    called = set(re.findall(r"^\* +[\d.]+ (\w+)\(", result.said, re.M))
    wanted = {"getaddrinfo", "socket", "connect", "getsockopt", "getpeername", "getsockname", "send", "recv", "close"}
    assert wanted <= called


def test_an_interrupt_while_modules_load_leaves_no_traceback() -> None:
    program = (
        "import os, signal, sys, types\n"
        "import sockkit.__main__ as entry\n"
        "cli = types.ModuleType('sockkit.cli')\n"
        "cli.main = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.modules['sockkit.cli'] = sys.modules['sockkit'].cli = cli\n"
        "entry.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


@needs_linux
def test_a_lent_socket_is_connected_within_the_timeout_and_given_back_as_it_was() -> None:
    with listener() as server, socket.socket() as lent:
        fd = lent.fileno()
        with Process(
            "connect", "--fileno", str(fd), "127.0.0.1", str(server.getsockname()[1]), pass_fds=(fd,)
        ) as client:
            peer, _ = server.accept()
            client.send(b"hello")
            client.close_stdin()
            with peer:
                assert receive_all(peer) == b"hello"
                peer.sendall(b"bye")
            assert client.finish() == (0, b"bye", b"")
        assert os.get_blocking(fd)
    with socket.socket() as full, socket.socket() as lent:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        fd = lent.fileno()
        address = ("127.0.0.1", str(full.getsockname()[1]))
        result = run("connect", "-w", "0.3", "--fileno", str(fd), *address, pass_fds=(fd,))
        assert result.status == 1 and "timed out after 0.3 s" in result.said
        assert os.get_blocking(fd)
        for sock in waiting:
            sock.close()


def test_crlf_counts_what_went_out() -> None:
    with Server("--once") as server:
        result = run("connect", "-C", "-v", "127.0.0.1", str(server.port), stdin=b"a\nb\n")
        assert result.out == b"a\r\nb\r\n"
        assert "closed: received 6 bytes, sent 6 bytes" in result.said


# ---- what a second reading found


@needs_unix
def test_half_a_character_at_the_end_of_a_message_is_shown_on_a_terminal(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listener(socket.AF_UNIX, socket.SOCK_SEQPACKET, path) as server:

        def peer() -> None:
            sock, _ = server.accept()
            with sock:
                sock.send(b"abc\xc3")
                sock.send(b"\xa9d\n")

        thread = threading.Thread(target=peer)
        thread.start()
        screen = on_terminal("connect", "-U", "--type", "SEQPACKET", path)
        thread.join()
    assert screen.status == 0
    assert rb"abc\xc3\xa9d" in screen.shown


def test_long_timeouts_are_taken() -> None:
    with Server("--idle-timeout", "999999999", "--once") as server:
        result = run("connect", "--connect-timeout", "3000000", "127.0.0.1", str(server.port), stdin=b"x")
        assert result == (0, b"x", b"")


@needs_linux
def test_a_server_outlives_the_terminal_of_its_story() -> None:
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        ["sh", "-c", "trap '' HUP; exec \"$@\"", "-", *SOCKKIT, "serve", "--port", "0", "--ready-fd", "1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=ENVIRONMENT,
    )
    try:
        os.close(terminal)
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(b":")[2])
        os.close(master)
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(b"x")
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b"x"
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("arguments", [["-4"], ["-U"], ["-s", "127.0.0.1"], ["-p", "4000"]])
def test_what_is_for_a_new_socket_is_refused_for_a_lent_one(arguments: list[str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        result = run("connect", "--fileno", str(ours.fileno()), *arguments, pass_fds=(ours.fileno(),))
    assert result.status == 2 and arguments[0] in result.said and "--fileno" in result.said


def test_options_of_a_lent_connected_socket_are_set() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.shutdown(socket.SHUT_WR)
        fd = ours.fileno()
        result = run("connect", "--fileno", str(fd), "--set", "SO_RCVBUF=9000", "-v", pass_fds=(fd,))
        assert result.status == 0 and "SO_RCVBUF: was " in result.said
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) in (9000, 18000)


def test_a_socket_that_is_stdin_is_not_conversed_over() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        result = run("connect", "--fileno", "0", stdin=ours.fileno())
        assert result.status == 2 and "stdin or stdout" in result.said


@needs_linux
def test_bad_input_is_status_2_though_nobody_hears_it() -> None:
    for redirection in ("2>/dev/full", "2>&-"):
        command = f'exec "$@" {redirection}'
        for words in (["probe", "--nope"], ["--nope"], ["frobnicate"]):
            done = subprocess.run(["sh", "-c", command, "-", *SOCKKIT, *words], env=ENVIRONMENT, check=False)
            assert done.returncode == 2, (redirection, words)


@needs_linux
def test_no_descriptor_left_is_not_called_a_failed_write() -> None:
    program = (
        "import resource, time, sockkit.cli, sockkit.commands.serve, sockkit.render.plain\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))\n"
        "sockkit.cli.main(['serve', '--port', '0'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == "sockkit: serve: Too many open files [EMFILE 24]\n"


def test_datagrams_with_crlf_still_fit() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        port = str(peer.getsockname()[1])
        data = b"x\n" * 30_000
        result = run("connect", "-u", "-C", "--reply-wait", "0", "127.0.0.1", port, stdin=data)
        assert result == (0, b"", b"")
        received = b""
        while len(received) < len(data) * 3 // 2:
            received += peer.recv(65536)
    assert received == data.replace(b"\n", b"\r\n")


@needs_unix
def test_a_lent_unix_socket_waits_for_room_in_the_queue(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with full_accept_queue(path), socket.socket(socket.AF_UNIX) as lent:
        fd = lent.fileno()
        result = run("connect", "-w", "0.3", "--fileno", str(fd), path, pass_fds=(fd,))
    assert result.status == 1 and "timed out after 0.3 s" in result.said
