"""``--code``: what it prints is run, as a program and at the interactive prompt, and compared with what the command did."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sockkit import sockopts
from tests.harness import (
    ENVIRONMENT,
    TIMEOUT,
    Server,
    listener,
    needs_ipv6,
    needs_linux,
    needs_unix,
    on_terminal,
    receive_all,
    run,
)

PLAIN = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONDEVMODE"}


def code(*args: str) -> str:
    """What ``--code`` prints: nothing was done for it, and nothing said."""
    result = run(*args, "--code")
    assert result.status == 0 and result.err == b"", result
    compile(result.text, "code", "exec")
    return result.text


def executed(text: str, *, stdin: bytes = b"", pass_fds: tuple[int, ...] = (), cwd: Path | None = None) -> str:
    """stdout of the code as a program."""
    done = subprocess.run(
        [sys.executable, "-c", text],
        input=stdin,
        capture_output=True,
        env={**PLAIN, "PYTHONWARNINGS": "ignore"},
        timeout=TIMEOUT,
        pass_fds=pass_fds,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def pasted(text: str) -> str:
    """stdout of the code typed at the interactive prompt, which wants its blocks closed."""
    done = subprocess.run(
        [sys.executable, "-i", "-q"],
        input=text + "\n",
        capture_output=True,
        text=True,
        env={**PLAIN, "PYTHONWARNINGS": "ignore", "PYTHON_BASIC_REPL": "1"},
        timeout=TIMEOUT,
        check=False,
    )
    assert "SyntaxError" not in done.stderr and "IndentationError" not in done.stderr, done.stderr
    return done.stdout


@contextmanager
def running(text: str, *, stdin: int = subprocess.PIPE) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """The code of a server, and the address that it listens on."""
    with subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**PLAIN, "PYTHONWARNINGS": "ignore"},
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline().decode()
            found = re.match(r"listening on (.*)", line)
            assert found, line + process.stderr.read().decode()
            yield process, eval(found[1]) if found[1].startswith("(") else found[1]
        finally:
            process.kill()


# ---- probe


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--type", "DGRAM"],
        ["--type", "DGRAM", "--proto", "TCP"],
        ["--proto", "UDP"],
        ["--type", "STREAM+NONBLOCK+CLOEXEC"],
        ["--family", "INET", "--type", "RAW", "--proto", "0"],
        ["--family", "45"],
        ["--family", "UNIX", "--type", "RAW"],
        ["--family", "INET6", "--type", "DGRAM", "--proto", "ICMPV6"],
        ["--family", "NETLINK", "--type", "RAW", "--proto", "NETLINK_ROUTE"],
        ["--type", "4", "--proto", "200"],
    ],
    ids=lambda value: " ".join(value) or "defaults",
)
@needs_linux
def test_probe(args: list[str]) -> None:
    text = code("probe", *args)
    report = json.loads(run("probe", "--json", *args).out)
    for shown in (executed(text), pasted(text)):
        if report["ok"]:
            assert re.sub(r"fd=\d+", "", shown.splitlines()[0]) == re.sub(r"fd=\d+", "", report["repr"])
            values = dict(line.split() for line in shown.splitlines()[1:])
            assert [int(values[name]) for name in ("SO_DOMAIN", "SO_TYPE", "SO_PROTOCOL")] == [
                report["got"][field]["number"] for field in ("family", "type", "proto")
            ]
        else:
            assert shown == f"{report['error']['type']}: {report['error']['text']}\n"


def test_numbers_have_their_names() -> None:
    assert "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)" in code(
        "probe", "--family", "2", "--type", "2", "--proto", "17"
    )


@needs_linux
def test_probe_of_a_lent_socket() -> None:
    with listener() as sock:
        fd = sock.fileno()
        result = run("probe", "--fileno", str(fd), "--code", pass_fds=(fd,))
        shown = executed(result.text, pass_fds=(fd,))
        assert f"laddr={sock.getsockname()!r}" in shown
        sock.getsockname()  # still open


@needs_linux
def test_probe_of_a_space() -> None:
    args = ["--family", "INET,UNIX", "--type", "0-5", "--proto", "0-9,132"]
    shown = executed(code("probe", *args))
    matrix = json.loads(run("probe", "--json", *args).out)
    found = {
        (family, type, proto): outcome
        for family, type, first, last, outcome, *_ in matrix["cells"]
        for proto in range(first, last + 1)
    }
    told = {}
    for line in shown.splitlines():
        *key, outcome = line.split()
        told[tuple(map(int, key))] = outcome
    assert {key: value.replace("ENOTSUP", "EOPNOTSUPP") for key, value in told.items()} == found


@needs_linux
@pytest.mark.parametrize(
    ("args", "calls"),
    [
        ([], "bind,listen,accept,connect,send,recv,shutdown,getpeername"),
        ([], "connect,peer.accept,conn.send=a\\,b,recv,oob,shutdown=WR,send,conn.recv,conn.close"),
        (["--type", "DGRAM"], "listen,accept,connect,send,peer.recvfrom=3,fill,recv"),
        (["--family", "UNIX"], "socketpair,send=\\xff\\n,peer.recv,close,peer.recv,peer.send"),
        (
            ["--family", "UNIX", "--type", "SEQPACKET"],
            "bind=@sockkit-\\x01-code,listen=3,peer.connect,accept,conn.send",
        ),
        ([], "listen,setsockopt=SO_RCVBUF=4096,getsockopt=SO_RCVBUF,setblocking=0,recv"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_steps(args: list[str], calls: str) -> None:
    given = [*args, "--steps", calls, "--step-timeout", "0.2"]
    text = code("probe", *given)
    report = json.loads(run("probe", "--json", *given).out)
    expected = []
    for step in report["steps"]:
        if step["step"] is None:
            continue
        error = step["error"]
        expected.append((step["step"], f"{error['type']}: {error['text']}" if error else None))
        if step["value"] is not None:
            expected[-1] = (step["step"], str(step["value"]))
    for shown in (executed(text), pasted(text)):
        lines = [line for line in shown.splitlines() if line != "<Handlers.SIG_DFL: 0>"]  # the prompt shows values
        assert len(lines) == len(expected), shown
        for line, (name, result) in zip(lines, expected, strict=True):
            assert line.startswith(f"{name} "), line
            if result is not None:
                assert line == f"{name} {result}"
            else:
                assert "Error" not in line


# ---- inspect


@needs_linux
@pytest.mark.parametrize(
    "args",
    [[], ["--type", "DGRAM"], ["--family", "UNIX"], ["--set", "SO_RCVBUF=4096", "--set", "TCP_NODELAY"]],
    ids=" ".join,
)
def test_inspect(args: list[str]) -> None:
    report = json.loads(run("inspect", "--json", *args).out)
    text = code("inspect", *args)
    shown = executed(text)
    assert re.sub(r"fd=\d+", "", shown.splitlines()[0]) == re.sub(r"fd=\d+", "", report["python"]["repr"])
    seen = dict(line.split(" ", 1) for line in shown.splitlines()[1:])
    read = {
        name: about
        for name, about in report["options"].items()
        if about["read"] and sockopts.find(name).python_size(socket.AF_INET) is not None
    }
    assert set(read) <= set(seen)
    compared = 0
    for name, about in read.items():
        value = about["value"]
        if isinstance(value, (bool, int)) and re.fullmatch(r"-?\d+", seen[name]) and name not in ("SO_COOKIE",):
            assert int(seen[name]) == int(value) or sockopts.find(name).volatile, name
            compared += 1
    assert compared >= 8
    pasted(text)


@needs_linux
def test_inspect_of_a_lent_socket_changes_nothing() -> None:
    with listener() as sock:
        fd = sock.fileno()
        text = run("inspect", "--fileno", str(fd), "--code", pass_fds=(fd,)).text
        assert "detach()" in text and f"fileno={fd}" in text
        shown = executed(text, pass_fds=(fd,))
        assert f"getsockname {sock.getsockname()!r}" in shown


# ---- serve


def talk(address: tuple[str, int], data: bytes, family: int = socket.AF_INET) -> bytes:
    """Send, end, and hear all that comes back."""
    with socket.create_connection(address[:2], timeout=TIMEOUT) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock)


@pytest.mark.parametrize(
    "args", [[], ["--mode", "discard"], ["--once"], ["--set", "SO_REUSEADDR"], ["--backlog", "3"]], ids=" ".join
)
def test_serve(args: list[str]) -> None:
    data = os.urandom(300_000)
    with running(code("serve", *args, "127.0.0.1", "0")) as (_, address), Server(*args) as server:
        assert talk(address, data) == talk(("127.0.0.1", server.port), data)
        if "--once" not in args:
            with socket.create_connection(address, timeout=TIMEOUT):  # idle beside it
                assert talk(address, b"again") == talk(("127.0.0.1", server.port), b"again")


def test_serve_once_ends() -> None:
    with running(code("serve", "--once", "-p", "0")) as (process, address):
        assert talk(address, b"x") == b"x"
        assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("mode", ["echo", "discard"])
def test_serve_datagrams(mode: str) -> None:
    with running(code("serve", "-u", "--mode", mode, "-p", "0")) as (_, address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            for message in (b"one", b"", b"x" * 60_000):
                sock.send(message)
                if mode == "echo":
                    sock.settimeout(TIMEOUT)
                    assert sock.recv(65536) == message


@needs_ipv6
def test_serve_ipv6_only() -> None:
    with running(code("serve", "-6", "-p", "0")) as (_, address):
        assert address[0] == "::1" and talk(address, b"six") == b"six"


def test_serve_a_name() -> None:
    with running(code("serve", "-4", "localhost", "0")) as (_, address):
        assert address[0] == "127.0.0.1" and talk(address, b"name") == b"name"


@needs_unix
def test_serve_unix(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with running(code("serve", "-U", path, "--once", "--socket-mode", "600")) as (process, address):
        assert address == path and os.stat(path).st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.send(b"unix")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"unix"
        process.wait(TIMEOUT)
    assert not os.path.exists(path)


def test_serve_pipe() -> None:
    with running(code("serve", "--mode", "pipe", "-p", "0")) as (process, address):
        with socket.create_connection(address, timeout=TIMEOUT) as sock:
            sock.sendall(b"to stdout")
            sock.shutdown(socket.SHUT_WR)
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"from stdin")
            process.stdin.close()
            assert receive_all(sock) == b"from stdin"
            assert process.stdout.read() == b"to stdout"


# ---- connect


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--crlf"],
        ["-4", "-w", "5"],
        ["--set", "TCP_NODELAY"],
        ["-s", "127.0.0.1"],
        ["--family", "INET", "--proto", "TCP"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_connect(args: list[str], host: str) -> None:
    data = b"line one\nline two\n" * 5000
    with Server("--ipv4", "127.0.0.1") as server:
        target = ["-4"] if host == "localhost" and "-4" not in args and "--family" not in args else []
        given = ["connect", *args, *target, host, str(server.port)]
        ours = run(*given, stdin=data)
        assert ours.status == 0 and len(ours.out) >= len(data)
        assert executed(code(*given), stdin=data).encode() == ours.out


@needs_unix
def test_a_path_of_our_own() -> None:
    assert "sock.bind('/tmp/here')" in code("connect", "-u", "-U", "-s", "/tmp/here", "/tmp/there").replace('"', "'")


def test_connect_sends_datagrams_line_by_line() -> None:
    with Server("-u") as server:
        text = code("connect", "-u", "--lines", "--reply-wait", "0.5", "127.0.0.1", str(server.port))
        assert executed(text, stdin=b"one\ntwo\n") == "onetwo"


@needs_unix
def test_connect_unix(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Server("-U", path, free_port=False):
        assert executed(code("connect", "-U", path), stdin=b"hello") == "hello"


def test_connect_only_looks_with_z() -> None:
    with Server() as server:
        assert "connected to" in executed(code("connect", "-z", "127.0.0.1", str(server.port)))


def test_a_refusal_is_seen() -> None:
    with listener() as sock:
        port = sock.getsockname()[1]
    text = code("connect", "127.0.0.1", str(port))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, check=False, input=b"")
    assert done.returncode == 1 and b"ConnectionRefusedError" in done.stderr


# ---- in general


def test_what_is_not_in_the_code_is_named() -> None:
    text = code("serve", "--accept-timeout", "3", "--idle-timeout", "5")
    assert text.startswith("# Not in this code: --idle-timeout, --accept-timeout\n")
    assert "Not in this code" not in code("serve")


@pytest.mark.parametrize(
    ("args", "right"),
    [
        (["inspect", "--all"], "it is for one socket of our own"),
        (["inspect", "--pid", "1"], "it is for one socket of our own"),
        (["connect", "--tls", "localhost", "443"], "leave --tls out"),
        (["probe", "-o", "x.html"], "there is nothing to write"),
        (["connect", "-o", "x.pcapng", "1"], "there is nothing to write"),
        (["serve", "-u", "--mode", "pipe"], "echo and discard"),
        (["serve", "--mode", "chargen"], "echo, discard and pipe"),
        (["connect", "--family", "LLC", "hex:00"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_it_cannot_say_it_refuses(args: list[str], right: str, tmp_path: Path) -> None:
    result = run(*args, "--code", cwd=tmp_path)
    assert result.status == 2 and result.out == b"" and right in result.said, result
    assert list(tmp_path.iterdir()) == []


def test_options_have_their_moment() -> None:
    lines = code("connect", "--set", "TCP_NODELAY", "--set", "SO_RCVBUF=4096", "127.0.0.1", "9").splitlines()
    assert lines.index(next(line for line in lines if "SO_RCVBUF" in line)) < lines.index(
        'sock.connect(("127.0.0.1", 9))'
    )


def test_nothing_is_done_for_it() -> None:
    with listener() as sock:
        port = sock.getsockname()[1]
        sock.settimeout(0)
        code("connect", "127.0.0.1", str(port))
        code("serve", "127.0.0.1", str(port))  # in use: it would be refused
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_bad_input_is_refused_as_ever() -> None:
    for args in (
        ["connect", "127.0.0.1"],
        ["serve", "-4", "-6"],
        ["probe", "--type", "DGARM"],
        ["inspect", "--set", "X=1"],
    ):
        result = run(*args, "--code")
        assert result.status == 2 and result.out == b""


def test_as_json_and_on_a_terminal() -> None:
    text = code("probe")
    assert json.loads(run("probe", "--code", "--json").out)["code"] == text
    screen = on_terminal("probe", "--code")
    assert re.sub(rb"\x1b\[[0-9;]*m", b"", screen.shown).replace(b"\r\n", b"\n").decode().split() == text.split()
