"""Descriptors from elsewhere: a service manager's, a peer's over a Unix socket, and who has a port."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness import ENVIRONMENT, TIMEOUT, Server, listener, needs_linux, needs_unix, run

# ---- LISTEN_FDS

MANAGER = """
import os, sys
fds, names, command = eval(sys.argv[1]), sys.argv[2], sys.argv[3:]
kept = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in fds] if (fcntl := __import__("fcntl")) else []
for at, fd in enumerate(kept):
    os.dup2(fd, 3 + at)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": names}
os.execvp(command[0], command)
"""


def passed(fds: list[int], names: str, *words: str) -> subprocess.Popen[bytes]:
    """sockkit as a service manager starts it, with these descriptors from 3 on."""
    command = [sys.executable, "-c", MANAGER, repr(fds), names, sys.executable, "-m", "sockkit", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, pass_fds=fds, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, env=ENVIRONMENT)


def told(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=TIMEOUT)
    return process.returncode, out.decode(), err.decode()


@needs_unix
def test_inspect_lists_what_was_passed() -> None:
    pair = socket.socketpair()
    with listener() as web, pair[0], pair[1], open(os.devnull) as null:
        fds = [web.fileno(), pair[0].fileno(), null.fileno()]
        status, out, err = told(passed(fds, "web:admin:log", "inspect", "--json"))
    assert (status, err) == (0, "")
    first, second, third = json.loads(out)["passed"]
    assert (first["fd"], first["name"], first["listening"]) == (3, "web", True)
    assert first["local"] == f"127.0.0.1:{web_port(out)}"
    assert (second["fd"], second["name"], second["family"]["name"]) == (4, "admin", "AF_UNIX")
    assert (third["fd"], third["name"], third["error"]) == (5, "log", "ENOTSOCK")


def web_port(out: str) -> str:
    found = re.search(r"127\.0\.0\.1:(\d+)", out)
    assert found is not None
    return found[1]


@needs_unix
def test_inspect_of_one_that_was_passed_is_in_full() -> None:
    with listener() as web:
        port = web.getsockname()[1]
        status, out, _ = told(passed([web.fileno()], "", "inspect", "--json", "--options", "SO_ACCEPTCONN"))
    report = json.loads(out)
    assert status == 0 and report["asked"]["fileno"] == 3 and report["local"] == f"127.0.0.1:{port}"
    assert report["options"]["SO_ACCEPTCONN"]["value"] is True


@needs_unix
def test_a_name_stands_for_its_descriptor() -> None:
    with listener() as web, listener() as admin:
        fds, port = [web.fileno(), admin.fileno()], admin.getsockname()[1]
        status, out, _ = told(passed(fds, "web:admin", "inspect", "--json", "--fileno", "admin"))
        assert status == 0 and json.loads(out)["local"] == f"127.0.0.1:{port}"
        status, _, err = told(passed(fds, "web:admin", "inspect", "--fileno", "db"))
        assert status == 2 and "'db' is none of the descriptors that were passed: 3 is 'web', 4 is 'admin'" in err
        status, _, err = told(passed(fds, "web:web", "serve", "--fileno", "web"))
        assert status == 2 and "'web' is several of the descriptors" in err
        status, _, err = told(passed(fds, "web", "inspect", "--fileno", "unknown", "--options", "SO_TYPE"))
        assert status == 0, "one without a name is called unknown"


@needs_unix
def test_what_is_passed_to_another_process_is_not_ours() -> None:
    environment = ENVIRONMENT | {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
    assert run("inspect", "--fileno", "web", env=environment).status == 2
    assert json.loads(run("inspect", "--json", "--options", "SO_TYPE", env=environment).out)["asked"]["fileno"] is None


@needs_unix
@pytest.mark.parametrize(("words", "chosen"), [((), 0), (("--fileno", "admin"), 1)])
def test_serve_serves_the_first_or_the_one_that_is_named(words: tuple[str, ...], chosen: int) -> None:
    with listener() as web, listener() as admin:
        process = passed([web.fileno(), admin.fileno()], "web:admin", "serve", "--once", *words)
        address = (web, admin)[chosen].getsockname()
        assert process.stderr is not None
        line = b""
        while not line.startswith(b"listening on "):
            line = process.stderr.readline()
            assert line, "it ended before it listened"
            if not line.startswith(b"listening"):
                assert b"fd 3 (web), fd 4 (admin): only fd 3 is served; --fileno NAME serves another" in line
        assert line.startswith(b"listening on 127.0.0.1:%d " % address[1])
        with socket.create_connection(address, TIMEOUT) as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"hello"
        assert told(process)[0] == 0
        assert web.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


@needs_linux
def test_systemds_own_activation() -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("CANNOT: no systemd-socket-activate here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [activate, "-l", f"127.0.0.1:{port}", "--fdname=web", sys.executable, "-m", "sockkit", "serve", "--once"]
    passing = [f"-E{name}" for name in ("PYTHONPATH", "PATH", "HOME") if name in ENVIRONMENT]
    process = subprocess.Popen([*command[:4], *passing, *command[4:]], stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stderr is not None
    try:
        line = b""
        while b"Listening on" not in line:
            line = process.stderr.readline()
            assert line
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"hello"
        said = process.stderr.read()
        assert b"listening on 127.0.0.1:%d" % port in said and process.wait(TIMEOUT) == 0
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.stderr.close()
        process.wait()


# ---- descriptors over Unix sockets


@contextmanager
def unix_listener(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        sock.settimeout(TIMEOUT)
        yield sock


@needs_unix
def test_connect_sends_descriptors_with_the_first_bytes(tmp_path: Path) -> None:
    with (
        unix_listener(tmp_path / "s") as server,
        listener() as lent,
        open(__file__, "rb") as file,
        ExitStack() as stack,
    ):
        fds = (lent.fileno(), file.fileno())
        words = [word for fd in fds for word in ("--send-fd", str(fd))]
        command = [sys.executable, "-m", "sockkit", "connect", "-U", str(tmp_path / "s"), *words]
        pipe = subprocess.PIPE
        client = subprocess.Popen(command, pass_fds=fds, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT)
        accepted, _ = server.accept()
        assert client.stdin is not None
        client.stdin.write(b"take this")
        client.stdin.close()
        client.stdin = None
        with accepted:
            data, came, _, _ = socket.recv_fds(accepted, 100, 10)
            for fd in came:
                stack.callback(os.close, fd)
            assert data == b"take this" and len(came) == 2
            assert os.path.samestat(os.fstat(came[0]), os.fstat(lent.fileno()))
            assert os.path.samestat(os.fstat(came[1]), os.fstat(file.fileno()))
            accepted.shutdown(socket.SHUT_WR)
            assert accepted.recv(100) == b""
        out, err = client.communicate(timeout=TIMEOUT)
    assert (client.returncode, out) == (0, b"")
    port = re.search(rb"sent fd \d+: socket AF_INET SOCK_STREAM IPPROTO_TCP, 127\.0\.0\.1:(\d+), listening\n", err)
    assert port is not None and b"sent fd %d: file %s\n" % (fds[1], os.fsencode(__file__)) in err


@needs_unix
@pytest.mark.parametrize("kind", ["stream", "seqpacket"])
def test_serve_takes_what_comes_and_says_what_it_is(tmp_path: Path, kind: str) -> None:
    type = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}[kind]
    ours, theirs = os.pipe()
    try:
        with Server("-U", str(tmp_path / "s"), "--type", kind, "--recv-fd", "--once", free_port=False) as server:
            with socket.socket(socket.AF_UNIX, type) as client:
                client.settimeout(TIMEOUT)
                client.connect(str(tmp_path / "s"))
                socket.send_fds(client, [b"one"], [theirs, client.fileno()])
                assert client.recv(100) == b"one", "the data came through"
                os.close(theirs)
                theirs = -1
                assert not select.select([ours], [], [], 0)[0], "it is kept for as long as the conversation"
                client.shutdown(socket.SHUT_WR)
                assert client.recv(100) == b""
            said = server.finish().said
        assert select.select([ours], [], [], TIMEOUT)[0] and os.read(ours, 1) == b"", "it is closed at the end"
        assert re.search(r"received fd \d+: pipe\n", said)
        assert re.search(rf"received fd \d+: socket AF_UNIX SOCK_{kind.upper()}, to .*/s\n", said), said
    finally:
        for fd in (ours, theirs):
            if fd >= 0:
                os.close(fd)


@needs_unix
def test_connect_takes_and_serve_sends(tmp_path: Path) -> None:
    with listener() as lent:
        fd = lent.fileno()
        before = fcntl.fcntl(fd, fcntl.F_GETFL)
        words = ("-U", str(tmp_path / "s"), "--send-fd", str(fd), "--once")
        with Server(*words, free_port=False, pass_fds=(fd,)) as server:
            result = run("connect", "-U", str(tmp_path / "s"), "--recv-fd", "--json", stdin=b"x")
            assert result.status == 0 and result.out == b"x"
            server.finish()
        assert fcntl.fcntl(fd, fcntl.F_GETFL) == before
        events = [json.loads(line) for line in result.said.splitlines()]
        (event,) = [event for event in events if event["event"] == "descriptor"]
        assert event["direction"] == "received" and event["what"].endswith(
            f"127.0.0.1:{lent.getsockname()[1]}, listening"
        )


@needs_unix
def test_descriptors_without_data_stay_here_and_that_is_said(tmp_path: Path) -> None:
    with Server("-U", str(tmp_path / "s"), "--once", free_port=False), open(os.devnull) as null:
        fd = null.fileno()
        result = run("connect", "-U", str(tmp_path / "s"), "--send-fd", str(fd), stdin=b"", pass_fds=(fd,))
    assert result.status == 1
    assert f"lost: fd {fd} was not sent: descriptors travel with data, and there was none" in result.said


@needs_unix
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("connect", "127.0.0.1", "9", "--send-fd", "0"), "descriptors travel over Unix sockets only"),
        (("serve", "-p", "0", "--recv-fd"), "descriptors travel over Unix sockets only"),
        (("connect", "-U", "/nowhere", "--send-fd", "99"), "99 is no open descriptor"),
        (("connect", "-U", "/nowhere", "--send-fd", "-1"), "no whole number"),
        (("serve", "-U", "-u", "/nowhere/s", "--recv-fd"), "datagrams have no conversation"),
    ],
)
def test_where_descriptors_cannot_travel(words: tuple[str, ...], says: str) -> None:
    result = run(*words)
    assert result.status == 2 and says in result.said, result


# ---- who has the port?


@needs_linux
def test_who_has_the_port() -> None:
    with listener() as web, socket.create_connection(web.getsockname(), TIMEOUT):
        port = web.getsockname()[1]
        result = run("inspect", f":{port}")
        assert result.status == 0
        lines = [line.split() for line in result.text.splitlines() if f"127.0.0.1:{port}" in line]
        assert [words[1] for words in lines][:1] == ["LISTEN"] and f"[{os.getpid()}]" in result.text
        assert all(words[4].endswith(f":{port}") for words in lines), "not those who are connected to it"
    assert json.loads(run("inspect", str(port), "--json", "--state", "listen").out)["count"] == 0
    assert run("inspect", f":{port}", "--state", "listen").status == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((":99999",), "no whole number from 0 to 65535"),
        ((":80", "--pid", "1"), "leave --fileno, --pid and --port out"),
        ((":80", "--fileno", "3"), "leave --fileno, --pid and --port out"),
        (("localhost", "80"), "inspect takes options only"),
    ],
)
def test_no_port(words: tuple[str, ...], says: str) -> None:
    result = run("inspect", *words)
    assert result.status == 2 and says in result.said
