"""``--netns`` and ``--interface``: sockets in network namespaces that the tests make themselves, as root or in a user namespace."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sockkit.commands import connect, serve
from sockkit.errors import UsageError
from sockkit.events import Env, Interest
from tests.harness import AS_NOBODY, Server, need, needs_ipv6, needs_root, needs_unix, nobody_can_run, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: network namespaces are Linux's own")

INSIDE = (
    "ip link set lo up; ip -6 addr add fe80::5/64 dev lo nodad;"
    " ip link add d0 type bridge && ip link set d0 up && ip -6 addr add fe80::6/64 dev d0 nodad;"
    " echo $$; exec sleep 300"
)
OUTSIDE = f"ip link set lo up; echo $$; unshare -n sh -c '{INSIDE}'"


class Places:
    """Two namespaces: one that sockkit runs in, and another one that it may enter."""

    def __init__(self) -> None:
        for tool in ("unshare", "nsenter", "ip"):
            need(tool)
        user = [] if os.geteuid() == 0 else ["-Ur"]
        self.process = subprocess.Popen(
            ["unshare", *user, "-n", "sh", "-c", OUTSIDE],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        home, there = self.process.stdout.readline(), self.process.stdout.readline()
        if not there.strip():
            self.close()
            pytest.skip(f"CANNOT: no network namespaces for us: {self.process.stderr.read().decode()!r}")
        self.there = there.decode().strip()
        entered = ["-U", "--preserve-credentials"] if user else []
        self.prefix = ["nsenter", "-t", home.decode().strip(), *entered, "-n"]

    def close(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    found = Places()
    try:
        yield found
    finally:
        found.close()
        for stream in (found.process.stdout, found.process.stderr):
            if stream is not None:
                stream.close()


def test_a_server_is_in_the_namespace_and_we_are_not(places: Places) -> None:
    with Server("-v", "--netns", places.there, prefix=places.prefix) as server:
        said = bytes(server.err).decode()
        assert f"listening on {server.address} (in network namespace '{places.there}'; that namespace only)\n" in said
        assert re.search(rf"the socket is in network namespace '{places.there}', net:\[\d+\]\n", said)
        outside = run("connect", "127.0.0.1", str(server.port), stdin=b"hello", prefix=places.prefix)
        assert outside.status == 1 and "ECONNREFUSED" in outside.said
        nobody = run("connect", "--netns", places.there, "127.0.0.1", "1", prefix=places.prefix)
        assert nobody.said.endswith(f"nobody listens on that port, in network namespace '{places.there}'\n")
        path = f"/proc/{places.there}/ns/net"
        inside = run("connect", "--netns", path, "127.0.0.1", str(server.port), stdin=b"hello", prefix=places.prefix)
        assert (inside.status, inside.out) == (0, b"hello")
        server.stop(busy=True)


def test_relaying_from_one_namespace_into_another(places: Places) -> None:
    """The server behind is dialed from where we are: a way out of a namespace that has none."""
    with Server(prefix=places.prefix) as behind:
        options = ("--netns", places.there, "--mode", "relay", "--to", behind.address)
        with Server(*options, prefix=places.prefix) as server:
            there = ("--netns", places.there, "127.0.0.1", str(server.port))
            result = run("connect", *there, stdin=b"through", prefix=places.prefix)
            assert (result.status, result.out) == (0, b"through")
            server.wait_for(rb"x #1 .* closed")
            server.stop()
        behind.stop()


def test_ports_are_asked_there(places: Places) -> None:
    with Server("--netns", places.there, prefix=places.prefix) as server:
        ports = f"{server.port},1"
        result = run("connect", "-z", "--netns", places.there, "127.0.0.1", ports, stdin=None, prefix=places.prefix)
        assert result.status == 0
        assert re.search(rf"(?m)^ +{server.port} +open ", result.text) and re.search(r"(?m)^ +1 +closed ", result.text)
        server.stop()


@needs_unix
def test_abstract_names_belong_to_a_namespace_and_paths_do_not(places: Places, tmp_path: Path) -> None:
    name = f"@sockkit-{os.getpid()}"
    with Server("-U", name, "--netns", places.there, free_port=False, prefix=places.prefix) as server:
        assert run("connect", "-U", name, stdin=b"x", prefix=places.prefix).status == 1
        inside = run("connect", "-U", name, "--netns", places.there, stdin=b"hello", prefix=places.prefix)
        assert (inside.status, inside.out) == (0, b"hello")
        server.stop(busy=True)
    result = run("serve", "-U", str(tmp_path / "s"), "--netns", places.there, stdin=None, prefix=places.prefix)
    assert result.status == 2 and "--netns: a path is the same in every network namespace" in result.said


def test_a_link_local_address_is_meant_on_the_interface(places: Places) -> None:
    here = ("--netns", places.there, "--interface", "lo")
    with Server("-v", *here, "fe80::5", prefix=places.prefix) as server:
        assert server.address == f"[fe80::5%lo]:{server.port}"
        assert b"SO_BINDTODEVICE: was none, asked lo, got lo\n" in server.err
        result = run("connect", *here, "fe80::5", str(server.port), stdin=b"hello", prefix=places.prefix)
        assert (result.status, result.out) == (0, b"hello")
        named = ("--netns", places.there, "fe80::5%lo", str(server.port))
        result = run("connect", *named, stdin=b"hello", prefix=places.prefix)
        assert (result.status, result.out) == (0, b"hello"), "the interface is one of that namespace"
        server.stop(busy=True)


def test_the_name_of_an_interface_is_that_of_its_namespace(places: Places) -> None:
    """Ours have other numbers: the name is not looked up here."""
    options = ("--netns", places.there, "--interface", "d0")
    with Server(*options, "fe80::6", prefix=places.prefix) as server:
        assert server.address.startswith("[fe80::6%d0]:")
        address = ("fe80::6", str(server.port))
        result = run("connect", *options, *address, stdin=b"hello", prefix=places.prefix)
        assert result.out == b"hello"
        server.wait_for(rb"= #1 \[fe80::6%d0\]:\d+ connected \(here: \[fe80::6%d0\]")
        server.stop(busy=True)


def test_multicast_comes_and_goes_by_the_interface(places: Places) -> None:
    there = ("-u", "--netns", places.there, "--interface", "d0")
    with Server(*there, "-v", "--mode", "pipe", "--once", "--join", "ff02::4711", "::", prefix=places.prefix) as server:
        groups = Path(f"/proc/{places.there}/net/igmp6").read_text()
        assert re.search(r"d0 +ff020000000000000000000000004711 ", groups)
        assert not re.search(r"lo +ff020000000000000000000000004711 ", groups)
        address = ("ff02::4711", str(server.port))
        sent = run(
            "connect", "--reply-wait", "0", *there, *address, stdin=b"to whom it may concern", prefix=places.prefix
        )
        assert sent.status == 0
        server.wait_for(b"to whom it may concern", stream="out")
        server.wait_for(rb"\[fe80::6%d0\]:\d+ connected")
        server.stop(busy=True)
    with Server(*there, "-v", "--join", "239.1.2.3", "0.0.0.0", prefix=places.prefix) as server:
        assert b"IP_MULTICAST_IF" in server.err and b"joined 239.1.2.3\n" in server.err
        server.stop(busy=True)


def test_an_interface_that_is_gone_at_the_end(places: Places) -> None:
    """Its groups went with it: the end is the one that was asked for."""
    ip = ["nsenter", "-t", places.there, *places.prefix[3:], "ip", "link"]
    subprocess.run([*ip, "add", "d9", "type", "bridge"], check=True)
    subprocess.run([*ip, "set", "d9", "up"], check=True)
    joined = ("-u", "-v", "--netns", places.there, "--join", "239.1.2.3%d9", "0.0.0.0")
    with Server(*joined, prefix=places.prefix) as server:
        subprocess.run([*ip, "del", "d9"], check=True)
        result = server.stop(busy=True)
    assert result.status == -signal.SIGTERM
    assert "left with the socket: there is no interface 'd9'" in result.said
    assert "total: 0 sessions" in result.said


def test_groups_that_cannot_be_joined(places: Places) -> None:
    there = ("serve", "-u", "--netns", places.there, "--port", "0")
    twice = run(*there, "--join", "239.1.2.3%d0", "--join", "239.1.2.3%d0", "0.0.0.0", prefix=places.prefix)
    assert (twice.status, twice.said.splitlines()) == (
        1,
        [
            "sockkit: join 239.1.2.3%d0: Address already in use [EADDRINUSE 98]",
            "sockkit: it is a member already: --join names that group twice",
        ],
    )
    nowhere = run(*there, "--join", "239.1.2.3", "0.0.0.0", prefix=places.prefix)
    assert nowhere.status == 1 and "[ENODEV 19]" in nowhere.said
    assert nowhere.said.endswith("nothing says by which interface: --join 239.1.2.3%IFACE does\n")


def test_an_interface_of_ours() -> None:
    with Server() as server:
        result = run("connect", "-v", "--interface", "lo", "127.0.0.1", str(server.port), stdin=b"hello")
        if b"EPERM" in result.err:
            pytest.skip("CANNOT: before Linux 5.7 SO_BINDTODEVICE takes CAP_NET_RAW")
        assert (result.status, result.out) == (0, b"hello")
        assert "SO_BINDTODEVICE: was none, asked lo, got lo\n" in result.said
        server.stop()


def test_loopback_is_on_no_interface_but_lo(places: Places) -> None:
    """A server there would wait for ever, and not know why."""
    with Server("--netns", places.there, "--interface", "d0", prefix=places.prefix) as server:
        server.wait_for(rb"warning: 127\.0\.0\.0/8 and ::1 are on lo, where nobody comes by d0 ")
        server.stop(busy=True)


def test_a_connection_that_is_put_off_is_no_answer(places: Places) -> None:
    """TCP Fast Open, with a cookie of the peer's: connect(2) succeeds, whoever listens or not."""
    allow = ["sh", "-c", "echo 3 > /proc/sys/net/ipv4/tcp_fastopen"]
    allowed = subprocess.run([*places.prefix, *allow], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip(f"CANNOT: net.ipv4.tcp_fastopen: {allowed.stderr!r}")
    put_off = ("connect", "-v", "--set", "TCP_FASTOPEN_CONNECT=1")
    with Server("--set", "TCP_FASTOPEN=5", prefix=places.prefix) as server:
        cookie = run(*put_off, server.address, stdin=b"hello", prefix=places.prefix)
        assert (cookie.status, cookie.out) == (0, b"hello")
        early = run(*put_off, server.address, stdin=b"hello", prefix=places.prefix)
        assert (early.status, early.out) == (0, b"hello")
        assert "the peer is asked with the first data that is sent, not before\n" in early.said
        nothing = run(*put_off, server.address, stdin=b"", prefix=places.prefix)
        assert nothing.status == 1
        assert "nothing was sent, so TCP_FASTOPEN_CONNECT never asked the peer for a connection\n" in nothing.said
        server.stop(busy=True)


@pytest.mark.parametrize(
    "asks", [["-z"], ["-z", "--parallel", "2"], ["--wait-for=1"], ["--retry", "1"], ["--recv-only"]]
)
def test_a_connection_that_is_put_off_is_not_asked_for_one(asks: list[str]) -> None:
    port = "1,2" if "--parallel" in asks else "1"
    result = run("connect", "--set", "FASTOPEN_CONNECT", *asks, "127.0.0.1", port, stdin=None)
    assert (result.status, result.out) == (2, b"")
    text = f"TCP_FASTOPEN_CONNECT asks nobody until something is sent: leave it or {asks[0].partition('=')[0]} out"
    assert result.said == f"sockkit: --set: {text}\n"


@needs_ipv6
def test_an_option_of_ipv4_on_an_ipv6_socket_is_said() -> None:
    with Server("::1") as server:
        there = ("::1", str(server.port))
        result = run("connect", "--set", "TTL=9", "--set", "TOS=16", *there)
        assert result.status == 0
        told = [line.rpartition("alone: ")[2] for line in result.said.splitlines()]
        assert told == ["--set IPV6_UNICAST_HOPS=9", "--set IPV6_TCLASS=0x10"]
        both = run("connect", "--set", "TTL=9", *told[0].split(), "--set", "TOS=16", *told[1].split(), *there)
        assert (both.status, both.said) == (0, "")
        server.stop(busy=True)


@needs_root
def test_a_namespace_by_its_name() -> None:
    """As `ip netns` has them."""
    name = f"sockkit-{os.getpid()}"
    made = subprocess.run([need("ip"), "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"CANNOT: ip netns add: {made.stderr!r}")
    try:
        with Server("--netns", name) as server:
            assert f"in network namespace '{name}'" in bytes(server.err).decode()
            server.stop()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_whoever_may_not_enter_is_told_why() -> None:
    root = os.geteuid() == 0
    if root and not nobody_can_run():
        pytest.skip("CANNOT: the user nobody cannot run this interpreter")
    prefix = AS_NOBODY if root else ()
    for where in ("/proc/self/ns/net", "1"):
        result = run("serve", "--port", "0", "--netns", where, stdin=None, prefix=prefix)
        assert result.status == 1
        assert re.search(r"sockkit: enter the network namespace '\S+': \S[^\n]+ \[E(PERM|ACCES) \d+\]\n", result.said)
        assert "sudo sockkit" in result.said and "listening" not in result.said


@pytest.mark.parametrize(
    ("command", "given", "told"),
    [
        (serve, {"netns": "no-such-namespace"}, "there is no network namespace 'no-such-namespace'"),
        (serve, {"netns": ""}, "there is no network namespace ''"),
        (serve, {"netns": "4194305"}, "there is no network namespace '4194305'"),
        (connect, {"interface": "nosuch0", "address": ("::1", "1")}, "there is no interface 'nosuch0' here"),
        (connect, {"interface": "", "address": ("::1", "1")}, "there is no interface '' here"),
        (serve, {"unix": True, "address": ("@x",), "interface": "lo"}, "only sockets of IPv4 and IPv6 keep to an"),
        (serve, {"interface": "lo", "settings": ("SO_BINDTODEVICE=lo",)}, "--interface sets SO_BINDTODEVICE itself"),
        (serve, {"interface": "lo", "settings": ("bindtoifindex=1",)}, "--interface sets SO_BINDTODEVICE itself"),
        (serve, {"fileno": "9", "netns": "1"}, "--netns is for a socket that is made, --fileno adopts one"),
        (connect, {"fileno": "9", "interface": "lo"}, "--interface is for a socket that is made, --fileno adopts one"),
    ],
)
def test_bad_input(command: ModuleType, given: dict[str, Any], told: str) -> None:
    plan = command.ServePlan if command is serve else command.ConnectPlan
    with pytest.raises(UsageError, match=re.escape(told)):
        command.run(plan(**given), Env(0, 1, lambda event: None, Interest.STATE, time.monotonic))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--interface", "l0", "0"], "--interface: there is no interface 'l0' here\nsockkit: did you mean lo?\n"),
        (["-u", "--join", "239.1.1.1%"], "--join: '239.1.1.1%': the interface is missing behind the %\n"),
    ],
)
def test_bad_input_is_told(args: list[str], told: str) -> None:
    result = run("serve", *args, stdin=None)
    assert (result.status, result.out) == (2, b"") and result.said.endswith(told)


def test_where_the_platform_has_no_such_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Env(0, 1, lambda event: None, Interest.STATE, time.monotonic)
    monkeypatch.delattr(socket, "SO_BINDTODEVICE")
    with pytest.raises(UsageError, match="this platform has no SO_BINDTODEVICE"):
        connect.run(connect.ConnectPlan(interface="lo", address=("::1", "1")), env)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="only Linux has network namespaces"):
        connect.run(connect.ConnectPlan(netns="1", address=("::1", "1")), env)


def test_a_listener_that_was_passed_is_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    env = Env(0, 1, lambda event: None, Interest.STATE, time.monotonic)
    with pytest.raises(UsageError, match="the service manager passed fd 3, and --netns is for a socket made here"):
        serve.run(serve.ServePlan(netns="1"), env)


def test_code_does_not_drop_it_in_silence(places: Places) -> None:
    options = ("--netns", places.there, "--interface", "lo")
    result = run("serve", *options, "--code", stdin=None, prefix=places.prefix)
    assert result.text.startswith("# Not in this code: --netns\n")
    assert 'setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")' in result.text


def test_the_wrong_interface_of_an_address(places: Places) -> None:
    options = ("--netns", places.there, "--interface", "d0")
    result = run("connect", *options, "fe80::5%lo", "80", stdin=None, prefix=places.prefix)
    assert result.status == 2
    assert "is not on d0: leave one of the two out" in result.said
