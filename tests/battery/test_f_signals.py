"""Signals: a prompt end, cleaned up, by the signal itself."""

from __future__ import annotations

import errno
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import sockkit
from tests.harness import (
    ENVIRONMENT,
    SOCKKIT,
    TIMEOUT,
    Process,
    Result,
    Server,
    check,
    is_idle,
    listener,
    needs_linux,
    needs_unix,
    receive_all,
    run,
)
from tests.peers import (
    BLOCK,
    accepted,
    eventually,
    exactly,
    full_queue,
    port_of,
    send_until_stuck,
    shell,
    with_names,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP])
def test_f1_f5_a_signal_ends_an_idle_connect(number: signal.Signals) -> None:
    with listener() as sock, Process("connect", port_of(sock)) as client, accepted(sock) as peer:
        client.send(b"x")
        assert exactly(peer, 1) == b"x"
        begun = time.monotonic()
        assert client.stop(number) == (-number, b"", b"")
        assert time.monotonic() - begun < 5
        assert peer.recv(1) == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP])
def test_f1_f5_a_signal_ends_a_server_with_its_totals(number: signal.Signals) -> None:
    with Server() as server, server.connect() as client:
        client.sendall(b"hello")
        assert exactly(client, 5) == b"hello"
        begun = time.monotonic()
        result = server.stop(number)
        assert time.monotonic() - begun < 5
        assert client.recv(1) == b""
    assert result.status == -number
    assert len(re.findall(r"^x total: 1 session, received 5 bytes, sent 5 bytes in \S+ s$", result.said, re.M)) == 1


def test_f1_while_connecting() -> None:
    with full_queue() as sock, Process("connect", "-v", port_of(sock)) as client:
        client.wait_for(rb"connect\(")
        begun = time.monotonic()
        assert client.stop(signal.SIGINT).status == -signal.SIGINT
        assert time.monotonic() - begun < 5


@needs_linux
def test_f1_while_a_silent_name_server_is_asked(tmp_path: Path) -> None:
    prefix = with_names(tmp_path, "nameserver 127.0.0.1\noptions timeout:20\n", "", "dns")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        try:
            name_server.bind(("127.0.0.1", 53))
        except OSError as error:
            pytest.skip(f"CANNOT: the name server's port: {error}")
        name_server.settimeout(TIMEOUT)
        with Process("connect", "silent.invalid", "1", prefix=prefix) as client:
            name_server.recv(512)  # it asks, and we do not answer
            begun = time.monotonic()
            assert client.stop(signal.SIGINT) == (-signal.SIGINT, b"", b"")
            assert time.monotonic() - begun < 5
        result = run("connect", "-w", "1", "silent.invalid", "1", prefix=prefix)
    assert result.status == 1
    assert result.said == f"sockkit: look up silent.invalid:1: timed out after 1 s [ETIMEDOUT {errno.ETIMEDOUT}]\n"


@needs_unix
def test_f2_sigterm_removes_the_path(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Server("-U", str(path), free_port=False) as server:
        assert stat.S_ISSOCK(path.lstat().st_mode)
        begun = time.monotonic()
        assert server.stop(signal.SIGTERM).status == -signal.SIGTERM
        assert time.monotonic() - begun < 5
    assert not path.exists()


@pytest.mark.parametrize("name", ["INT", "HUP"])
def test_f_a_signal_that_was_inherited_as_ignored_stays_ignored(name: str) -> None:
    with Server(prefix=shell(f"trap '' {name}")) as server:
        server.kill(getattr(signal, f"SIG{name}"))
        with server.connect() as client:
            client.sendall(b"still there?")
            assert exactly(client, 12) == b"still there?"
        assert server.stop(signal.SIGTERM).status == -signal.SIGTERM


@pytest.mark.parametrize("command", ["connect", "serve"])
def test_f7_a_second_interrupt_while_bytes_are_on_their_way(command: str) -> None:
    """Whoever presses Ctrl-C twice is in a hurry: it is over, and no traceback says how."""
    for pause in (0, 0.001, 0.01):
        with ExitStack() as stack:
            if command == "connect":
                sock = stack.enter_context(listener())
                process = stack.enter_context(Process("connect", port_of(sock)))
                stack.enter_context(accepted(sock))  # and never reads
                process.feed(BLOCK * 8)
                eventually(lambda pid=process.pid: is_idle(pid, 0.05))  # type: ignore[misc]
            else:
                process = server = stack.enter_context(Server())
                client = stack.enter_context(server.connect())
                send_until_stuck(client, server)
            begun = time.monotonic()
            process.kill(signal.SIGINT)
            time.sleep(pause)  # the case: the second one at one moment or another
            process.kill(signal.SIGINT)
            result = process.finish()
            assert time.monotonic() - begun < 5
            assert result.status == -signal.SIGINT


@pytest.mark.once
def test_f7_interrupts_at_any_moment_of_a_short_life() -> None:
    """Killed by the signal or done, never with a traceback: of ours, since before our first line it is Python's to answer."""
    package = re.escape(str(Path(sockkit.__file__).parent))
    with Server() as server:
        for step in range(25):
            with subprocess.Popen(
                [*SOCKKIT, "connect", str(server.port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
            ) as client:
                assert client.stdin is not None
                client.stdin.write(b"Hello")
                time.sleep(step * 0.008)  # the case: any moment
                client.send_signal(signal.SIGINT)
                client.send_signal(signal.SIGINT)
                out, err = client.communicate(timeout=TIMEOUT)
            assert not re.search(rf"{package}/(?!__(init|main)__)", err.decode()), err
            if b"Traceback" not in err:
                check(Result(client.returncode, out, err))
                assert client.returncode in (-signal.SIGINT, 0)
            assert b"Hello".startswith(out)


@needs_linux
def test_f9_a_hundred_programs_that_fail() -> None:
    """Each client's program ends with status 1: that is said, it is reaped, and the server serves on."""
    with Server("--exec", "--", "false") as server:
        for _ in range(100):
            with server.connect() as sock:
                assert receive_all(sock) == b""
        server.wait_for(rb"#100 false \(pid \d+\) exited with status 1 after [\d.]+ s")
        eventually(lambda: server.err.count(b"exited with status 1") == 100)
        assert not Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(), "no zombies"
        assert server.stop().status == -signal.SIGTERM
