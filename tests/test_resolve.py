from __future__ import annotations

import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sockkit.resolve import Resolution, Resolved, interleaved
from tests.harness import TIMEOUT, Process, Server, listener, needs_ipv6, needs_linux, run

AT_ONCE = ("--reply-wait", "0")
SURROUNDINGS = """
import fcntl, os, socket, struct, subprocess, sys
folder, silent = sys.argv[1:3]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
for name in ("hosts", "resolv.conf", "nsswitch.conf"):
    if os.path.exists("/etc/" + name):
        subprocess.run(["mount", "--bind", os.path.join(folder, name), "/etc/" + name], check=True)
if silent == "silent":  # a name server that never answers: whoever comes next inherits it and knows nothing of it
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    os.set_inheritable(server.detach(), True)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Names as a test wants them: in a network and a mount namespace of its own, without any privilege outside."""


@pytest.fixture
def names(tmp_path: Path) -> Callable[..., list[str]]:
    """Makes a prefix for ``run`` under which names are what a hosts file says."""

    def prefix(hosts: str = "127.0.0.1 localhost\n", *, server: str = "silent") -> list[str]:
        unshare = shutil.which("unshare")
        if unshare is None or sys.platform != "linux":
            pytest.skip("CANNOT: no unshare(1) to make a namespace with")
        (tmp_path / "hosts").write_text(hosts)
        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30\n")
        (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
        words = [unshare, "-r", "-n", "-m", sys.executable, "-c", SURROUNDINGS, str(tmp_path), server]
        tried = subprocess.run([*words, "true"], capture_output=True, timeout=TIMEOUT, check=False)
        if tried.returncode:
            pytest.skip(f"CANNOT: no namespace of one's own here: {tried.stderr.decode().strip()[-200:]}")
        return words

    return prefix


def answer(look_up: Resolution) -> list[Resolved]:
    """What a look-up found."""
    assert look_up.fd is not None and select.select([look_up.fd], [], [], TIMEOUT)[0]
    return look_up.result()


# ---- the thread and its pipe


def test_an_address_resolves_to_itself() -> None:
    found = answer(Resolution("127.0.0.1", 80, None, socket.SOCK_STREAM, 0, numeric=True))
    assert found == [Resolved(socket.AF_INET, ("127.0.0.1", 80))]


def test_every_type_of_socket_gets_the_addresses() -> None:
    for type in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_RDM, socket.SOCK_SEQPACKET, 6):
        found = answer(Resolution("localhost", 80, socket.AF_INET, type, 0))
        assert found == [Resolved(socket.AF_INET, ("127.0.0.1", 80))]


def test_a_refusal_is_raised_where_it_is_asked_for() -> None:
    with pytest.raises(socket.gaierror) as refusal:
        answer(Resolution("localhost", 80, None, socket.SOCK_STREAM, 0, numeric=True))
    assert refusal.value.errno == socket.EAI_NONAME
    with pytest.raises(UnicodeError):
        answer(Resolution("a..b", 80, None, socket.SOCK_STREAM, 0))


def test_families_take_turns_and_nothing_comes_twice() -> None:
    four, six = int(socket.AF_INET), 10
    a, b, c = (Resolved(six, (f"fd00::{i}", 1, 0, 0)) for i in range(3))
    x, y = (Resolved(four, (f"192.0.2.{i}", 1)) for i in range(2))
    assert interleaved([a, b, c, x, y]) == [a, x, b, y, c]
    assert interleaved([x, a, a, x, b, c, y]) == [x, a, y, b, c]
    assert interleaved([x, x, y]) == [x, y]
    assert interleaved([]) == []


# ---- names that are none


@pytest.mark.parametrize("command", [("connect",), ("connect", "-u"), ("serve",), ("serve", "-u")], ids=" ".join)
def test_a_name_that_does_not_exist(command: tuple[str, ...]) -> None:
    begun = time.monotonic()
    result = run(*command, "no-such.invalid", "9")
    assert time.monotonic() - begun <= 20
    assert (result.status, result.out) == (1, b"")
    (line,) = result.said.splitlines()
    assert re.fullmatch(
        r"sockkit: look up no-such\.invalid:9: (.* \[EAI_\w+ -?\d+\]|timed out after 10 s \[ETIMEDOUT \d+\])", line
    )


@pytest.mark.parametrize("command", ["connect", "serve"])
@pytest.mark.parametrize("host", ["", "a" * 64, "a..b", "\udcff", "[::1]", "x y", "a\nb", "-"])
def test_a_host_that_is_none(command: str, host: str) -> None:
    begun = time.monotonic()
    result = run(command, "--", host, "9")
    assert time.monotonic() - begun <= 20
    assert result.status in (1, 2)
    assert result.out == b""
    assert all(line.startswith("sockkit: ") for line in result.said.splitlines())


@pytest.mark.parametrize("command", [("connect",), ("connect", "-u"), ("serve",), ("serve", "-u")], ids=" ".join)
def test_n_refuses_names(command: tuple[str, ...]) -> None:
    result = run(*command, "-n", "localhost", "9")
    assert (result.status, result.out) == (1, b"")
    refusal, *hint = result.said.splitlines()
    assert refusal.startswith("sockkit: look up localhost:9: ")
    assert "[EAI_NONAME" in refusal
    assert hint == ["sockkit: -n asks no name server"]


def test_n_takes_addresses() -> None:
    with Server("-n") as server:
        assert run("connect", "-n", "127.0.0.1", str(server.port), stdin=b"x") == (0, b"x", b"")


def test_a_protocol_by_name_with_a_host_by_name() -> None:
    with Server("--proto", "TCP", "localhost") as server:
        result = run("connect", "--proto", "TCP", "localhost", str(server.port), stdin=b"x")
        assert (result.status, result.out) == (0, b"x")


@needs_linux
def test_no_thread_to_be_had() -> None:
    # A thread's stack is as large as RLIMIT_STACK: where that is more than there may be, there is no thread.
    limits = ["sh", "-c", 'ulimit -s 4000000 && ulimit -v 2000000 && exec "$@"', "sh"]
    if subprocess.run([*limits, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("CANNOT: these limits may not be set here")
    result = run("connect", "localhost", "9", prefix=limits)
    assert result.status == 1
    assert result.said.startswith("sockkit: look up localhost:9: can't start new thread [EAGAIN ")
    assert len(result.said.splitlines()) == 1


# ---- names with several addresses


def test_udp_uses_the_first_address_and_says_the_others(names: Callable[..., list[str]]) -> None:
    prefix = names("127.0.0.1 two\n127.0.0.2 two\n")
    result = run("connect", "-v", "-u", *AT_ONCE, "two", "9", stdin=None, prefix=prefix)
    assert result.status == 0
    connected = re.findall(r" connect\(\d+, (\S+)\) = ", result.said)
    (other,) = re.findall(r"two:9 has other addresses, which are not tried: (\S+)\n", result.said)
    assert sorted([*connected, other]) == ["127.0.0.1:9", "127.0.0.2:9"]
    assert f"#1 {connected[0]} connected" in result.said


def test_a_refusal_by_udp_names_the_others(names: Callable[..., list[str]]) -> None:
    prefix = names("127.0.0.1 two\n127.0.0.2 two\n")
    result = run("connect", "-u", "two", "9", stdin=b"x", prefix=prefix)
    assert result.status == 1
    (refused,) = re.findall(r"#1 receive from (\S+): Connection refused \[ECONNREFUSED 111\]\n", result.said)
    (other,) = re.findall(r"two:9 has other addresses, which are not tried: (\S+)\n", result.said)
    assert sorted([refused, other]) == ["127.0.0.1:9", "127.0.0.2:9"]


def test_tcp_tries_every_address_and_shows_every_error(names: Callable[..., list[str]]) -> None:
    prefix = names("127.0.0.1 three\n127.0.0.2 three\n127.0.0.3 three\n")
    result = run("connect", "three", "9", prefix=prefix)
    assert result.status == 1
    for i in (1, 2, 3):
        assert f"sockkit: connect to 127.0.0.{i}:9: Connection refused [ECONNREFUSED 111]\n" in result.said


@needs_ipv6
@pytest.mark.parametrize(("flag", "tried"), [("-4", "127.0.0.2:9"), ("-6", "[::1]:9")])
def test_4_and_6_choose(names: Callable[..., list[str]], flag: str, tried: str) -> None:
    result = run("connect", flag, "both", "9", prefix=names("127.0.0.2 both\n::1 both\n"))
    assert result.status == 1
    assert f"sockkit: connect to {tried}: Connection refused [ECONNREFUSED 111]\n" in result.said
    other = "::1" if flag == "-4" else "127.0.0"
    assert f"connect to {other}" not in result.said.replace("[", "")


@needs_ipv6
def test_both_families_are_tried(names: Callable[..., list[str]]) -> None:
    result = run("connect", "both", "9", prefix=names("127.0.0.2 both\n::1 both\n"))
    assert result.status == 1
    assert "connect to 127.0.0.2:9: Connection refused" in result.said
    assert "connect to [::1]:9: Connection refused" in result.said


def test_serve_says_which_addresses_it_does_not_serve(names: Callable[..., list[str]]) -> None:
    prefix = names("127.0.0.1 two\n127.0.0.2 two\n")
    with Server("-v", "-u", "two", prefix=prefix) as server:
        assert server.address.startswith("127.0.0.")
        other = {"127.0.0.1": "127.0.0.2", "127.0.0.2": "127.0.0.1"}[server.address.rpartition(":")[0]]
        assert f"has other addresses, not served: {other}:0".encode() in server.err


# ---- a name server that says nothing


@pytest.mark.parametrize("kind", [(), ("-u",)], ids=["tcp", "udp"])
def test_the_connect_timeout_covers_the_look_up(names: Callable[..., list[str]], kind: tuple[str, ...]) -> None:
    prefix = names()
    begun = time.monotonic()
    result = run("connect", *kind, "--connect-timeout", "1", "host.example", "9", prefix=prefix)
    assert 1 <= time.monotonic() - begun < 9
    assert (result.status, result.out) == (1, b"")
    assert result.said == "sockkit: look up host.example:9: timed out after 1 s [ETIMEDOUT 110]\n"


@pytest.mark.parametrize("command", ["connect", "serve"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_look_up(names: Callable[..., list[str]], command: str, number: int) -> None:
    with Process(command, "host.example", "9", prefix=names()) as process:
        deadline = time.monotonic() + TIMEOUT
        # Its question waits in the name server's receive queue.
        while not re.search(
            r" 0100007F:0035 \S+ \d+ \d{8}:(?!00000000)", Path(f"/proc/{process.pid}/net/udp").read_text()
        ):
            assert process.popen.poll() is None and time.monotonic() < deadline
        begun = time.monotonic()
        result = process.stop(number)
        assert time.monotonic() - begun < 5
    assert result.status == -number
    assert "Connection" not in result.said


def test_a_numeric_address_asks_nobody(names: Callable[..., list[str]]) -> None:
    begun = time.monotonic()
    with listener() as peer:
        peer_port = peer.getsockname()[1]
    result = run("connect", "127.0.0.1", str(peer_port), prefix=names())
    assert time.monotonic() - begun < 5
    assert "ECONNREFUSED" in result.said
