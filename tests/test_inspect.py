from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from sockkit import SocketSpec, inspect, optvals, sockopts
from sockkit.errors import errno_name
from sockkit.syscalls import QUIET, get_option
from tests.harness import ENVIRONMENT, TIMEOUT, has_family, listener, needs_linux, needs_unix, on_terminal, run


def seen(*args: str, fd: int | None = None) -> dict[str, Any]:
    """The JSON report, of a descriptor that is lent if ``fd`` is given."""
    lent = () if fd is None else (fd,)
    more = () if fd is None else ("--fileno", str(fd))
    result = run("inspect", "--json", *args, *more, pass_fds=lent)
    assert result.status == 0 and result.err == b"", result
    document = json.loads(result.out)
    assert isinstance(document, dict)
    return document


STEADY = [
    row
    for row in sockopts.applicable(2, 1, 6)
    if row.settable and row.looked_at and not row.volatile and not row.refusals
]

# ---- sockets in many states


@contextmanager
def closed() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


@contextmanager
def listening() -> Iterator[socket.socket]:
    with listener() as sock:
        sock.settimeout(None)
        yield sock


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(a client, its server's end), connected over TCP."""
    with listener() as server, socket.create_connection(server.getsockname(), TIMEOUT) as client:
        accepted, _ = server.accept()
        with accepted:
            client.settimeout(None)
            yield client, accepted


@contextmanager
def established() -> Iterator[socket.socket]:
    with pair() as (client, _):
        yield client


@contextmanager
def close_wait() -> Iterator[socket.socket]:
    with pair() as (client, accepted):
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""
        yield accepted


@contextmanager
def fin_wait() -> Iterator[socket.socket]:
    """FIN_WAIT2, once the peer has acknowledged our end."""
    with pair() as (client, accepted):
        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""
        yield client


@contextmanager
def syn_sent() -> Iterator[socket.socket]:
    """Nobody takes connections from the accept queue, so that SYNs beyond its length go unanswered."""
    with socket.socket() as server, ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
            if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x02":
                yield sock
                return
        pytest.skip("CANNOT: this kernel's accept queue is longer than asked")


@contextmanager
def udp() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


@contextmanager
def udp_connected() -> Iterator[socket.socket]:
    with udp() as peer, udp() as sock:
        sock.connect(peer.getsockname())
        yield sock


@contextmanager
def unix_stream() -> Iterator[socket.socket]:
    one, other = socket.socketpair()
    with one, other:
        yield one


@contextmanager
def unix_datagram() -> Iterator[socket.socket]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        yield one


@contextmanager
def unix_seqpacket() -> Iterator[socket.socket]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one


@contextmanager
def tuned() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


STATES: list[tuple[Callable[[], Any], str | None]] = [
    (closed, "CLOSE"),
    (listening, "LISTEN"),
    (established, "ESTABLISHED"),
    (close_wait, "CLOSE_WAIT"),
    (fin_wait, "FIN_WAIT2"),
    (syn_sent, "SYN_SENT"),
    (tuned, "CLOSE"),
    (udp, None),
    (udp_connected, None),
    (unix_stream, None),
    (unix_datagram, None),
    (unix_seqpacket, None),
]


def read(sock: socket.socket, level: int, number: int, size: int) -> bytes | str:
    """What Python's getsockopt gives, or the name of its errno."""
    try:
        return sock.getsockopt(level, number, size)
    except OSError as refused:
        return errno_name(refused.errno) or ""


@needs_linux
@pytest.mark.parametrize(("state", "name"), STATES, ids=lambda value: getattr(value, "__name__", ""))
def test_l1_values_are_those_of_getsockopt(state: Callable[[], Any], name: str | None) -> None:
    """L1: everything that is one number or a text is what this process reads from the same socket."""
    with state() as sock:
        report = seen(fd=sock.fileno())
        compared = 0
        for option, told in report["options"].items():
            row = sockopts.find(option)
            assert row.level_number is not None and row.number is not None
            if not told["read"] or row.kind.given is not None:
                continue
            raw = read(sock, row.level_number, row.number, row.read_size(sock.family))
            if isinstance(raw, str):
                assert told["error"] == raw
                continue
            value = told["value"]
            if row.volatile:
                continue
            if (
                isinstance(value, int) and row.kind is not optvals.NETWORK_INT
            ):  # read by Python alone, without our decoding
                assert value == int.from_bytes(raw, sys.byteorder, signed=value < 0), option
            assert row.steady(value) == row.steady(json.loads(json.dumps(row.decode(raw)))), option
            compared += 1
        assert compared > 30
        kernel = report["kernel"]
        assert kernel["family"]["number"] == sock.family
        assert kernel["type"]["number"] == sock.type
        assert kernel["proto"]["number"] == sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)
        assert bool(report["lies"]) is not sock.getblocking()
        assert report["options"].get("TCP_INFO", {"value": {"state": None}})["value"]["state"] == name


@needs_linux
def test_addresses() -> None:
    with pair() as (client, accepted):
        report = seen(fd=accepted.fileno())
        assert report["local"] == f"127.0.0.1:{accepted.getsockname()[1]}"
        assert report["peer"] == f"127.0.0.1:{client.getsockname()[1]}"
        text = run("inspect", "--fileno", str(client.fileno()), pass_fds=(client.fileno(),)).text
        assert re.search(rf"^  local address +127\.0\.0\.1:{client.getsockname()[1]}$", text, re.M)
        assert re.search(rf"^  peer address +127\.0\.0\.1:{accepted.getsockname()[1]}$", text, re.M)


@needs_linux
def test_queues() -> None:
    with pair() as (client, accepted):
        client.sendall(b"12345")
        select.select([accepted], [], [], TIMEOUT)
        assert seen(fd=accepted.fileno())["receive_queue"] == 5
        assert accepted.recv(100) == b"12345", "it was looked at, not taken"


# ---- looking does not touch


@needs_linux
def test_l5_a_pending_error_stays_pending() -> None:
    """L5."""
    with udp() as gone:
        address = gone.getsockname()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(b"x")
        poll = select.poll()
        poll.register(sock, 0)
        assert poll.poll(TIMEOUT * 1000), "no ICMP came back"
        report = seen(fd=sock.fileno())
        assert report["options"]["SO_ERROR"]["read"] is False
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


@needs_linux
def test_l14_queued_clients_stay_queued() -> None:
    """L14."""
    with listener() as server, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(server.getsockname(), TIMEOUT))
        report = seen(fd=server.fileno())
        assert report["listening"] is True
        assert report["options"]["TCP_INFO"]["value"]["accept_queue"] == 3
        server.settimeout(TIMEOUT)
        for _ in range(3):
            accepted, _ = server.accept()
            accepted.close()
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@needs_unix
def test_l8_a_lent_descriptor_still_works() -> None:
    """L8: for the next command of the same shell; its flags are as before."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = theirs.fileno()
        theirs.setblocking(False)
        before = fcntl.fcntl(fd, fcntl.F_GETFL)
        code = f'"{sys.executable}" -m sockkit inspect --fileno {fd} >/dev/null && echo still >&{fd}'
        done = subprocess.run(
            ["bash", "-c", code], pass_fds=(fd,), stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
        )
        assert done.returncode == 0, done.stderr
        assert ours.recv(100) == b"still\n"
        assert fcntl.fcntl(fd, fcntl.F_GETFL) == before
        assert inspect(SocketSpec(fileno=fd)).asked.fileno == fd
        theirs.send(b"and so")
        assert ours.recv(100) == b"and so"


# ---- what Python believes and what the kernel says


@needs_linux
def test_a_false_family_is_shown_beside_the_true_one() -> None:
    """The article's s5."""
    if not has_family("AF_INET6"):
        pytest.skip("CANNOT: no AF_INET6 sockets here")
    with socket.socket(socket.AF_INET6) as sock:
        fd = sock.fileno()
        result = run("inspect", "--fileno", str(fd), "--family", "INET", pass_fds=(fd,))
        assert result.status == 0 and result.err == b""
        lines = result.text.splitlines()
        assert lines[0] == f"socket.socket(family=AF_INET, fileno={fd})"
        assert lines[2].startswith(f"  repr   <socket.socket fd={fd}, family=2, type=1, ")
        assert "          Python believes  the kernel says" in lines
        assert "  family  AF_INET (2)      AF_INET6 (10)    not true" in lines
        assert re.search(r"^  local address +\[::\]:0$", result.text, re.M), "read by the true family"
        honest = run("inspect", "--fileno", str(fd), pass_fds=(fd,))
        assert "not true" not in honest.text and re.search(
            r"^  family  AF_INET6 \(10\) +AF_INET6 \(10\)$", honest.text, re.M
        )


@needs_unix
@needs_linux
def test_three_lies_at_once() -> None:
    with unix_stream() as sock:
        report = seen("--family", "INET6", "--type", "DGRAM", "--proto", "17", fd=sock.fileno())
    assert report["lies"] == [
        "family: Python says AF_INET6 (10), the kernel AF_UNIX (1)",
        "type: Python says SOCK_DGRAM (2), the kernel SOCK_STREAM (1)",
        "proto: Python says IPPROTO_UDP (17), the kernel 0",
    ]
    assert report["python"]["family"]["name"] == "AF_INET6" and report["kernel"]["family"]["name"] == "AF_UNIX"


@needs_linux
def test_a_descriptor_that_does_not_block() -> None:
    with closed() as sock:
        sock.setblocking(False)
        text = run("inspect", "--fileno", str(sock.fileno()), pass_fds=(sock.fileno(),)).text
    assert re.search(r"^  blocking +blocking +non-blocking +not true$", text, re.M), text
    assert re.search(r"^  blocking +no$", text, re.M)
    assert re.search(r"^  inheritable +yes$", text, re.M)


# ---- a new socket


@needs_linux
def test_a_new_socket_in_full() -> None:
    result = run("inspect")
    assert result.status == 0 and result.err == b""
    for line in (
        r"socket\.socket\(\)",
        r"  repr   <socket\.socket fd=\d+, family=2, type=1, proto=0, laddr=\('0\.0\.0\.0', 0\)>",
        r"  names  <socket\.socket fd=\d+, family=AF_INET, type=SOCK_STREAM, proto=0, laddr=\('0\.0\.0\.0', 0\)>",
        r"  proto   0                IPPROTO_TCP \(6\)  the kernel chose it",
        r"  peer address   none: not connected",
        r"  blocking       yes",
        r"  inheritable    no",
        r"  timeout        none",
        r"  send queue     0 bytes",
        r"  receive queue  0 bytes",
        r"options: SOL_SOCKET:",
        r"options: IPPROTO_TCP:",
        r"  SO_ERROR +not read +pending error \(reading it clears it\)",
        r"  TCP_NODELAY +off +send small pieces at once \(no Nagle\)",
        r"  state +CLOSE",
    ):
        assert re.search(rf"^{line}$", result.text, re.M), (line, result.text)
    assert max(map(len, result.text.splitlines())) <= 110


@needs_linux
def test_set_shows_what_the_kernel_makes_of_it() -> None:
    result = run("inspect", "--set", "RCVBUF=4096", "--set", "TCP_NODELAY=on")
    assert result.status == 0
    assert re.search(r"^  SO_RCVBUF +8192 bytes", result.text, re.M)
    assert re.search(r"^  TCP_NODELAY +on \(default off\)", result.text, re.M)
    table = r"^  SO_RCVBUF +\d+ bytes +4096 bytes +8192 bytes +doubled; at least 2304"
    assert re.search(table, result.text, re.M) and re.search(r"^  TCP_NODELAY +off +on +on$", result.text, re.M)


@needs_linux
def test_a_combination_that_cannot_be() -> None:
    result = run("inspect", "--proto", "UDP")
    assert result.status == 1 and result.out == b""
    lines = result.said.splitlines()
    assert lines[0] == "sockkit: socket.socket(proto=IPPROTO_UDP): Protocol not supported [EPROTONOSUPPORT 93]"
    assert lines[1].startswith("sockkit: SOCK_STREAM with IPPROTO_UDP: within AF_INET, IPPROTO_UDP is registered only")
    assert len(lines) == 2


# ---- what is no socket


def opened(kind: str, stack: ExitStack) -> int:
    """A descriptor of some other kind, closed with the stack."""
    if kind == "pipe":
        fds: tuple[int, ...] = os.pipe()
    elif kind == "directory":
        fds = (os.open("/", os.O_RDONLY),)
    elif kind == "path only":
        fds = (os.open("/", os.O_PATH),)
    elif kind == "epoll":
        epoll = stack.enter_context(select.epoll())
        return epoll.fileno()
    elif kind == "eventfd":
        fds = (os.eventfd(0),)
    else:
        fds = (os.open(__file__, os.O_RDONLY),)
    for fd in fds:
        stack.callback(os.close, fd)
    return fds[0]


@needs_linux
@pytest.mark.parametrize("kind", ["pipe", "file", "directory", "epoll", "eventfd", "path only"])
def test_l12_no_socket(kind: str) -> None:
    with ExitStack() as stack:
        fd = opened(kind, stack)
        result = run("inspect", "--fileno", str(fd), pass_fds=(fd,))
    assert result.status == 1 and result.out == b""
    lines = result.said.splitlines()
    name = "EBADF 9" if kind == "path only" else "ENOTSOCK 88"
    assert lines[0].startswith(f"sockkit: inspect fd {fd}: ") and lines[0].endswith(f"[{name}]")
    assert len(lines) == 2 and lines[1].startswith("sockkit: ")


def test_a_closed_descriptor() -> None:
    result = run("inspect", "--fileno", "99")
    assert result.status == 1 and result.out == b""
    assert result.said.startswith("sockkit: inspect fd 99: Bad file descriptor [EBADF 9]\n")


@pytest.mark.parametrize(("typed", "python"), [("-1", "ValueError: negative file descriptor"), ("x", "TypeError: ")])
def test_j7_a_descriptor_that_cannot_be(typed: str, python: str) -> None:
    result = run("inspect", "--fileno", typed)
    assert result.status == 2 and result.out == b""
    assert result.said.startswith("sockkit: --fileno: ") and f"(Python: {python}" in result.said


def test_an_adopted_descriptor_is_changed_only_as_asked() -> None:
    with socket.socket() as sock:
        fd = sock.fileno()
        before = {row.name: row.decode(get_option(QUIET, sock, row)) for row in STEADY}
        assert run("inspect", "--fileno", str(fd), pass_fds=(fd,)).status == 0
        assert {row.name: row.decode(get_option(QUIET, sock, row)) for row in STEADY} == before
        report = seen("--set", "KEEPALIVE=1", fd=fd)
        assert report["set"] == [{"name": "SO_KEEPALIVE", "before": "off", "asked": "on", "got": "on", "late": None}]
        after = {row.name: row.decode(get_option(QUIET, sock, row)) for row in STEADY}
        assert after == before | {"SO_KEEPALIVE": True}


# ---- JSON, terminals


def test_json_has_stable_keys() -> None:
    report = seen()
    assert report.keys() == {
        *("schema", "command", "complete", "call", "asked", "python", "kernel", "lies", "local", "peer", "blocking"),
        *("inheritable", "listening", "send_queue", "receive_queue", "options", "set"),
    }
    assert (report["schema"], report["command"], report["complete"]) == (1, "inspect", True)
    assert report["python"].keys() == {"family", "type", "proto", "repr", "decoded", "timeout"}
    assert report["kernel"].keys() == {"family", "type", "proto"}
    for option in report["options"].values():
        assert option.keys() == {
            *("level", "value", "shown", "unit", "default", "changed", "volatile", "read", "error"),
        }


@needs_linux
def test_on_a_terminal_of_80_columns() -> None:
    screen = on_terminal("inspect", columns=80)
    assert screen.status == 0
    lines = re.sub(rb"\x1b\[[0-9;]*m", b"", screen.shown).decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(re.match(r"  TCP_KEEPIDLE +7200 s +silence before the", line) for line in lines)


@pytest.mark.parametrize("columns", ["", "1", "500"])
def test_m10_nothing_is_cut_in_a_pipe(columns: str) -> None:
    """M10."""

    def words(env: dict[str, str]) -> list[str]:
        text = run("inspect", "--type", "DGRAM", env=env).text
        return re.sub(r"(SO_COOKIE +)0x[0-9a-f]+ *", r"\1", text).splitlines()

    assert words({"COLUMNS": columns}) == words({"COLUMNS": "100"})


# ---- --options and --set


@needs_linux
def test_changed_options_are_those_that_somebody_set() -> None:
    with tuned() as sock:
        report = seen("--options", "changed", fd=sock.fileno())
        assert report["options"].keys() == {"SO_RCVBUF", "SO_BUF_LOCK", "SO_KEEPALIVE", "TCP_NODELAY"}
        with socket.socket() as fresh:
            default = fresh.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert report["options"]["SO_RCVBUF"]["default"] == default
    with established() as sock:
        assert seen("--options", "changed", fd=sock.fileno())["options"] == {}, "what the kernel moved nobody has set"
    with unix_stream() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        assert list(seen("--options", "changed", fd=sock.fileno())["options"]) == ["SO_PASSCRED"]


@needs_linux
def test_options_by_name_are_read_even_if_that_has_an_effect() -> None:
    with established() as sock:
        report = seen("--options", "nodelay,SO_ERROR,rcvbuf", fd=sock.fileno())
        assert list(report["options"]) == ["TCP_NODELAY", "SO_ERROR", "SO_RCVBUF"]
        assert report["options"]["SO_ERROR"]["read"] is True and report["options"]["SO_ERROR"]["value"] == 0
    with unix_stream() as sock:
        found = seen("--options", "SO_PEERPIDFD", fd=sock.fileno())["options"]["SO_PEERPIDFD"]
        assert found["error"] == "ENOPROTOOPT" or isinstance(found["value"], int)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--options", "NOSUCH"), "no socket option is called 'NOSUCH'"),
        (("--options", ","), "no option is named: all, changed, or names joined by commas"),
        (("--options", "IP_ADD_MEMBERSHIP"), "IP_ADD_MEMBERSHIP cannot be read"),
    ],
)
def test_options_that_cannot_be(words: tuple[str, ...], says: str) -> None:
    result = run("inspect", *words)
    assert result.status == 2 and says in result.said


@needs_linux
def test_too_late_is_said_with_the_row() -> None:
    if not has_family("AF_INET6"):
        pytest.skip("CANNOT: no AF_INET6 sockets here")
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        fd = sock.fileno()
        for command in (("inspect",), ("probe",), ("connect", "-z")):
            result = run(*command, "--fileno", str(fd), "--set", "v6only=off", pass_fds=(fd,))
            if command[0] == "connect" and result.status == 2:
                continue
            assert result.status == 1
            lines = result.said.splitlines()
            assert lines[0] == "sockkit: set IPV6_V6ONLY to off: Invalid argument [EINVAL 22]"
            assert lines[1] == (
                "sockkit: too late, it is bound already: "
                "IPV6_V6ONLY (IPPROTO_IPV6 26): no IPv4 peers; set before bind; EINVAL once bound"
            )
    with established() as sock:
        report = seen("--set", "maxseg=500", "--options", "SO_TYPE", fd=sock.fileno())
        (change,) = report["set"]
        assert change["got"] == change["before"] != change["asked"]
        assert change["late"] == "too late, it is connected or listens already"


@needs_linux
@pytest.mark.parametrize("command", ["probe", "inspect"])
def test_before_asked_got_on_a_new_socket(command: str) -> None:
    result = run(command, "--type", "DGRAM", "--set", "cork", "--set", "rcvbuf=1", "--json")
    assert result.status == 0 and result.err == b""
    first, second = json.loads(result.out)["set"]
    assert first == {"name": "UDP_CORK", "before": "off", "asked": "on", "got": "on", "late": None}
    assert (second["name"], second["asked"]) == ("SO_RCVBUF", "1 byte")
    assert int(second["got"].split()[0]) > 1
    result = run(command, "--set", "SO_NO_SUCH=1")
    assert result.status == 2 and "no socket option is called 'SO_NO_SUCH'" in result.said


@needs_linux
def test_set_in_connect_and_serve_has_its_moments() -> None:
    with listener() as server:
        port = server.getsockname()[1]
        result = run("connect", "-v", "--set", "maxseg=600", "--set", "IPV6_ADDRFORM=2", f"127.0.0.1:{port}", stdin=b"")
        assert result.status == 1
        said = result.said
        assert said.index("TCP_MAXSEG: was 536 bytes, asked 600 bytes, got 600 bytes") < said.index("connect(")
        assert said.index("connect(") < said.index("set IPV6_ADDRFORM to 2: "), "only a connection has this one"


@needs_linux
def test_completion_of_options() -> None:
    def completed(*words: str) -> list[str]:
        environment = ENVIRONMENT | {
            "_SOCKKIT_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("sockkit", *words)),
            "COMP_CWORD": str(len(words)),
        }
        done = subprocess.run(
            [sys.executable, "-m", "sockkit"], env=environment, capture_output=True, text=True, check=False
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert "SO_RCVBUF=" in completed("probe", "--set", "SO_RCVB")
    assert completed("inspect", "--options", "chan") == ["changed"]
    assert "SO_TYPE,TCP_INFO" in completed("inspect", "--options", "SO_TYPE,TCP_INF")
