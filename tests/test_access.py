"""Who may come, how many, and for how long: rules, and servers that keep to them."""

from __future__ import annotations

import ipaddress
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit.access import MOST_UID, Matches, Name, Network, Rule, Rules, Users, parse, words
from sockkit.commands import serve
from sockkit.door import Door, Limits
from sockkit.errors import UsageError
from sockkit.events import Denied, Env, Event, Interest
from sockkit.loop import Loop
from tests.harness import TIMEOUT, Process, Server, needs_ipv6, needs_linux, needs_root, needs_unix, receive_all, run

NOBODY = 65534


def rule(text: str) -> Rule:
    return Rule(text, "--allow")


# ---- the rules, pure

V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)
NETWORKS = st.one_of(
    st.tuples(V4, st.integers(0, 32)).map(lambda pair: ipaddress.ip_network(pair, strict=False)),
    st.tuples(V6, st.integers(0, 128)).map(lambda pair: ipaddress.ip_network(pair, strict=False)),
)


def plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    """As the door sees it: mapped addresses are IPv4's."""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).packed


@given(st.lists(NETWORKS, min_size=1, max_size=8), st.data())
def test_networks_match_as_ipaddress_says(networks: list[ipaddress.IPv4Network], data: st.DataObject) -> None:
    matches = Matches()
    for network in networks:
        matches.add(rule(str(network)))
    near = data.draw(st.sampled_from(networks))
    inside = near.network_address + data.draw(st.integers(0, near.num_addresses - 1))
    for address in (inside, data.draw(V4), data.draw(V6)):
        found = matches.of_address(plain(address))
        fits = [each for each in networks if _has(each, address)]
        assert (found is not None) == bool(fits)
        if found is not None:
            longest = max(each.prefixlen - (0 if each.version == 4 else 96 * _is_mapped(each)) for each in fits)
            told = ipaddress.ip_network(found.text)
            assert told.prefixlen - (0 if told.version == 4 else 96 * _is_mapped(told)) == longest


def _is_mapped(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None


def _has(network: ipaddress.IPv4Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """IPv4 in both of its forms is one thing."""
    if _is_mapped(network):
        low = getattr(network.network_address, "ipv4_mapped", None)
        network = ipaddress.IPv4Network((low, network.prefixlen - 96))
    address = getattr(address, "ipv4_mapped", None) or address
    return address.version == network.version and address in network


@given(V4, V4)
def test_a_range_is_all_between_its_ends(one: ipaddress.IPv4Address, other: ipaddress.IPv4Address) -> None:
    low, high = sorted((one, other))
    matches = Matches()
    matches.add(rule(f"{low}-{high}"))
    for address in (low, high, low + (int(high) - int(low)) // 2):
        assert matches.of_address(address.packed)
    for number in (int(low) - 1, int(high) + 1):
        if 0 <= number < 2**32:
            assert not matches.of_address(ipaddress.IPv4Address(number).packed)


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-fuser:./%-]{1,20}", fullmatch=True))
def test_whatever_is_typed_is_a_rule_or_a_usage_error(text: str) -> None:
    for word in words(text):
        try:
            meanings = parse(Rule(word, "--deny", "file:7"))
        except UsageError as error:
            assert error.option == "--deny" and str(error).startswith("file:7: ") and "\n" not in str(error)
        else:
            assert meanings and all(isinstance(each, (Network, Users, Name)) for each in meanings)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.1/8", "10.0.0.0/8 is the network, 10.0.0.1 the host"),
        ("2001:db8::1/32", "2001:db8::/32 is the network"),
        ("10.0.0.0/33", "the length behind the slash is 0 to 32"),
        ("10.0.0.0/255.0.255.0", "a mask is ones, then zeros"),
        ("::/129", "the length behind the slash is 0 to 128"),
        ("10.0.0.0/", "the length behind the slash is 0 to 32"),
        ("300.1.1.1", "is not a host, a network"),
        ("10.1.2", "is not a host, a network"),
        ("010.0.0.1", "is not a host, a network"),
        ("127.0.0.1:80", "is not a host, a network"),
        ("[::1]", "is not a host, a network"),
        ("10.0.0.1#x", "is not a host, a network"),
        ("10.0.0.9-5", "runs backwards: 10.0.0.5-10.0.0.9"),
        ("10.0.0.1-::2", "both ends are IPv4, or both IPv6"),
        ("10.0.0.1-300", "is not a host, a network"),
        ("fe80::1%lo", "leave %… out"),
        ("a..b", "is not a host, a network"),
        ("host.42", "ending in a number, no name"),
        ("uid:-1", "a uid is a number from 0 to"),
        ("uid:4294967295", "a uid is a number from 0 to"),
        ("uid:", "a uid is a number from 0 to"),
        ("uid:9-3", "runs backwards: uid:3-9"),
        ("user:no-such-user", "there is no user 'no-such-user' here"),
        ("user:1000", "uid:1000 is the user of that number"),
    ],
)
def test_what_is_no_rule(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        parse(rule(text))


def test_what_a_rule_means() -> None:
    assert parse(rule("0.0.0.0/0")) == [Network(32, 0, 0)]
    assert parse(rule("10.0.0.0/255.0.0.0")) == [Network(32, 8, 10)]
    assert parse(rule("::ffff:10.0.0.0/104")) == [Network(32, 8, 10)]
    assert parse(rule("10.0.0.4-7")) == [Network(32, 30, 0x0A000004 >> 2)]
    assert parse(rule("::4-::7")) == [Network(128, 126, 1)]
    assert parse(rule("uid:7")) == [Users(7, 7)]
    assert parse(rule(f"uid:0-{MOST_UID}")) == [Users(0, MOST_UID)]
    assert parse(rule("mail.example.org")) == [Name("mail.example.org")]


def test_denial_wins_and_an_allowance_excludes_all_others() -> None:
    rules = Rules()
    assert rules.refusal(bytes((10, 0, 0, 1))) is None
    rules.add(Rule("10.0.0.13", "--deny"), allow=False)
    assert rules.refusal(bytes((10, 0, 0, 1))) is None
    assert rules.refusal(bytes((10, 0, 0, 13))) == "--deny 10.0.0.13"
    rules.add(Rule("10.0.0.0/8", "--allow-file", "friends:3"), allow=True)
    assert rules.refusal(bytes((10, 0, 0, 1))) is None
    assert rules.refusal(bytes((10, 0, 0, 13))) == "--deny 10.0.0.13"
    assert rules.refusal(bytes((11, 0, 0, 1))) == "no --allow for it"
    assert rules.refusal(bytes(15) + b"\1") == "no --allow for it"
    assert rules.refusal(None) == "who it was is not known any more"


# ---- the door, with a clock of its own


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def door(limits: Limits, family: int = socket.AF_INET) -> tuple[Door, list[Event], Clock, Loop]:
    seen: list[Event] = []
    clock = Clock()
    loop = Loop(Env(0, 1, seen.append, Interest.STATE, clock))
    return Door(loop, family, limits, loop.stop), seen, clock, loop


def test_ten_a_second_are_told_and_the_others_counted() -> None:
    rules = Rules()
    rules.add(Rule("10.0.0.0/8", "--deny"), allow=False)
    rules.add(Rule("11.0.0.0/8", "--deny"), allow=False)
    shut, seen, clock, loop = door(Limits(rules, None, None))
    for second in range(3):
        clock.now = 100.0 + second
        loop.later(0, loop.stop)
        loop.run()  # timers that are due
        for at in range(100):
            assert not shut.takes((f"10.0.0.{at}", 7))
    shut.takes(("11.0.0.1", 7))
    assert shut.takes(("12.0.0.1", 7))
    shut.close()
    told = [event for event in seen if isinstance(event, Denied)]
    assert sum(event.number for event in told) == shut.denied == 301
    assert len(told) == 33
    assert [event.number for event in told if event.peer is None] == [90, 90, 91]
    assert told[-1].why == "--deny 10.0.0.0/8; --deny 11.0.0.0/8"


def test_a_peer_that_is_gone_already() -> None:
    rules = Rules()
    rules.add(Rule("10.0.0.0/8", "--deny"), allow=False)
    shut, seen, _, _ = door(Limits(rules, 1, None))
    one, other = socket.socketpair()
    with other:
        assert not shut.admits(one, None)
        assert other.recv(1) == b"", "whoever cannot be judged is not let in"
    (event,) = seen
    assert isinstance(event, Denied) and (event.peer, event.why) == ("(unknown)", "who it was is not known any more")
    shut.close()


def test_a_link_local_address_on_two_links_is_two_hosts() -> None:
    shut, _, _, _ = door(Limits(None, 1, None), socket.AF_INET6)
    ends = [socket.socketpair() for _ in range(3)]
    try:
        assert shut.admits(ends[0][0], ("fe80::1%1", 1, 0, 1))
        shut.enter(1)
        assert shut.admits(ends[1][0], ("fe80::1%2", 1, 0, 2))
        shut.enter(2)
        assert not shut.admits(ends[2][0], ("fe80::1%1", 2, 0, 1))
        shut.leave(1)
        assert shut.admits(ends[0][0], ("fe80::1%1", 3, 0, 1))
    finally:
        for pair in ends:
            for end in pair:
                end.close()
        shut.close()


# ---- servers


def refused(server: Server, source: str = "127.0.0.1", host: str = "127.0.0.1") -> int:
    """Be connected, then reset before anything is received. The source port.

    The reset may come before connect(2) has returned, and then it is connect's error.
    """
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET) as sock:
        sock.settimeout(TIMEOUT)
        sock.bind((source, 0))
        port: int = sock.getsockname()[1]
        with pytest.raises(ConnectionResetError):
            _knock(sock, host, server.port)
        return port


def _knock(sock: socket.socket, host: str, port: int) -> None:
    sock.connect((host, port))
    assert sock.recv(1) != b"", "a reset, not an end"
    raise AssertionError("something was sent")


def echoes(sock: socket.socket, data: bytes = b"hello") -> bool:
    sock.sendall(data)
    got = b""
    while len(got) < len(data):
        got += sock.recv(100)
    return got == data


def test_a_denied_peer_is_reset_and_said_and_the_others_are_served() -> None:
    with Server("--deny", "127.0.0.2,127.0.0.4-7") as server:
        with server.connect() as good:
            assert echoes(good)
            for host in ("127.0.0.2", "127.0.0.5"):
                port = refused(server, host)
                name = re.escape(f"{host}:{port}".encode())
                server.wait_for(rb"x " + name + rb" denied \(reset\): --deny 127\.0\.0\.[2457-]+\n")
            assert echoes(good)
        result = server.stop()
    assert re.search(r"total: 1 session, .*; 2 denied\n", result.said)
    assert "#2" not in result.said


def test_an_allowance_keeps_all_others_out(tmp_path: Path) -> None:
    friends = tmp_path / "friends"
    friends.write_text("# who may come\n\n127.0.0.1 ::1  # ourselves\n")
    with Server("--allowfile", str(friends), "--allow", "192.0.2.0/24") as server:
        with server.connect() as good:
            assert echoes(good)
        refused(server, "127.0.0.3")
        server.wait_for(rb"denied \(reset\): no --allow for it\n")
        server.stop()


def test_a_rule_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("# spammers\n192.0.2.0/24\n\n127.0.0.0/8\n")
    with Server("--denyfile", str(blocked)) as server:
        refused(server)
        server.wait_for(re.escape(f"denied (reset): --deny-file 127.0.0.0/8 ({blocked}:4)\n".encode()))
        server.stop()


@needs_ipv6
def test_ipv4_peers_of_a_dual_stack_listener_meet_ipv4_rules() -> None:
    with Server("--deny", "127.0.0.0/8", "::") as server:
        with socket.create_connection(("::1", server.port), timeout=TIMEOUT) as good:
            assert echoes(good)
        refused(server)
        server.wait_for(rb"x \[::ffff:127\.0\.0\.1\]:\d+ denied \(reset\): --deny 127\.0\.0\.0/8\n")
        server.stop()
    with Server("--deny", "::/0", "::") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as good:
            assert echoes(good)
        refused(server, "::1", "::1")
        server.stop()


def test_names_are_asked_for_once_at_the_start() -> None:
    with Server("-v", "--allow", "localhost") as server:
        said = bytes(server.err)
        assert re.search(rb"= +\S+ --allow localhost: [^\n]*127\.0\.0\.1[^\n]*\(asked once, now\)\n", said)
        with server.connect() as good:
            assert echoes(good)
        server.stop(busy=True)


def test_the_first_session_is_not_one_that_was_denied() -> None:
    with Server("--once", "--deny", "127.0.0.2") as server:
        refused(server, "127.0.0.2")
        with server.connect() as good:
            assert echoes(good)
        result = server.finish()
    assert result.status == 0
    assert re.search(r"total: 1 session, received 5 bytes, sent 5 bytes .*; 1 denied\n", result.said)


def test_stdin_is_not_for_who_is_denied() -> None:
    with Server("--mode", "pipe", "--deny", "127.0.0.2") as server:
        server.feed(b"for the one who may")
        refused(server, "127.0.0.2")
        with server.connect() as good:
            assert receive_all(good) == b"for the one who may"
            good.sendall(b"thanks")
        result = server.finish()
    assert (result.status, result.out) == (0, b"thanks")


def test_nobody_is_dialed_for_who_is_denied() -> None:
    with Server() as behind, Server("--mode", "relay", "--to", behind.address, "--deny", "127.0.0.2") as server:
        refused(server, "127.0.0.2")
        with server.connect() as good:
            assert echoes(good)
        server.wait_for(rb"x #1 .* closed")
        behind.wait_for(rb"x #1 .* closed")
        assert "1 denied" in server.stop().said
        assert "total: 1 session" in behind.stop().said


def test_no_handshake_with_who_is_denied() -> None:
    with Server("--tls", "--deny", "127.0.0.0/8") as server:
        refused(server)
        assert "handshake" not in server.stop().said


def test_a_listener_that_was_lent_has_a_door_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = listening.fileno()
        with Server(
            "--fileno", str(fd), "--deny", "127.0.0.0/8", "--accept-timeout", "20", free_port=False, pass_fds=[fd]
        ) as server:
            refused(server)
            refused(server)
            assert "2 denied" in server.stop().said


def test_a_flood_is_counted_not_told_one_by_one(tmp_path: Path) -> None:
    """They all wait at the door when it opens: how fast they come is not for this machine to say."""
    recording = tmp_path / "story.ndjson"
    with Server("--deny", "127.0.0.0/8", "-o", str(recording)) as server, ExitStack() as stack:
        server.kill(signal.SIGSTOP)
        flood = [stack.enter_context(server.connect()) for _ in range(60)]
        server.kill(signal.SIGCONT)
        for sock in flood:
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        result = server.stop()
    assert re.search(r"x and \d+ more, not shown one by one, denied \(reset\): --deny 127\.0\.0\.0/8\n", result.said)
    events = [json.loads(line) for line in recording.read_text().splitlines()]
    denied = [event for event in events if event["event"] == "denied"]
    assert sum(event["number"] for event in denied) == 60, "each is in one of the counts"
    assert len(denied) < 40
    assert denied[0]["why"] == "--deny 127.0.0.0/8" and denied[0]["how"] == "reset"
    assert denied[0]["peer"].startswith("127.0.0.1:")
    assert events[-1]["denied"] == 60


def test_connections_of_one_peer_are_limited() -> None:
    with Server("--max-conns-per-peer", "2") as server:
        with server.connect() as first, server.connect() as second:
            assert echoes(first) and echoes(second)
            refused(server)
            server.wait_for(rb"denied \(reset\): --max-conns-per-peer 2: it has 2\n")
            with socket.socket() as other:
                other.settimeout(TIMEOUT)
                other.bind(("127.0.0.2", 0))
                other.connect(("127.0.0.1", server.port))
                assert echoes(other)
            server.wait_for(rb"x #3 .* closed")
            first.close()
            server.wait_for(rb"x #1 .* closed")
            with server.connect() as third:
                assert echoes(third)
            server.wait_for(rb"x #4 .* closed")
        server.stop()


def test_who_waits_for_room_is_not_counted_yet() -> None:
    with Server("--max-conns", "1", "--max-conns-per-peer", "1") as server:
        with server.connect() as first:
            assert echoes(first)
            waiting = server.connect()
            waiting.sendall(b"later")
        with waiting:
            assert waiting.recv(5) == b"later", "deferred, not refused"
        server.wait_for(rb"x #2 .* closed")
        assert "denied" not in server.stop().said


def test_datagrams_of_who_is_denied_are_dropped() -> None:
    with Server("-u", "--deny", "127.0.0.2", "--once") as server:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bad,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as good,
        ):
            for sock, host in ((bad, "127.0.0.2"), (good, "127.0.0.1")):
                sock.settimeout(TIMEOUT)
                sock.bind((host, 0))
                sock.connect(("127.0.0.1", server.port))
            bad.send(b"let me in")
            server.wait_for(rb"x 127\.0\.0\.2:\d+ denied \(dropped\): --deny 127\.0\.0\.2\n")
            good.send(b"hello")
            assert good.recv(100) == b"hello"
            bad.setblocking(False)
            with pytest.raises(BlockingIOError):
                bad.recv(100)
        result = server.finish()
    assert result.status == 0
    assert re.search(r"total: 1 session, received 5 bytes, sent 5 bytes .*; 1 denied\n", result.said)


@needs_unix
@needs_linux
def test_unix_peers_are_known_by_their_user(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    me = os.getuid()
    with Server("-U", path, "--allow", f"uid:{me}", "--max-conns-per-peer", "1", free_port=False) as server:
        with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as second:
            sock.connect(path)
            assert echoes(sock)
            second.connect(path)
            assert second.recv(1) == b""
            server.wait_for(
                rf"x uid {me} \(pid {os.getpid()}\) denied \(closed\): --max-conns-per-peer 1: it has 1\n".encode()
            )
        server.stop()
    with Server("-U", path, "--deny", f"uid:{me}", free_port=False) as server:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            assert sock.recv(1) == b""
        server.wait_for(rf"denied \(closed\): --deny uid:{me}\n".encode())
        server.stop()


@needs_unix
@needs_linux
def test_records_of_unix_peers_too(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Server("-U", path, "--type", "SEQPACKET", "--deny", f"uid:{os.getuid()}", free_port=False) as server:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(path)
            assert sock.recv(1) == b""
        server.wait_for(rb"denied \(closed\): --deny uid:")
        server.stop()


@needs_unix
@needs_root
def test_another_user_is_told_from_us() -> None:
    name = f"\0sockkit-{os.getpid()}"
    code = (
        f"import os, socket; os.setuid({NOBODY}); s = socket.socket(socket.AF_UNIX);"
        f" s.connect({name!r}); print(s.recv(1))"
    )
    with Server("-U", f"@{name[1:]}", "--allow", "user:root", free_port=False) as server:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=TIMEOUT, check=False)
        assert done.stdout == b"b''\n", done.stderr
        server.wait_for(rf"x uid {NOBODY} \(pid \d+\) denied \(closed\): no --allow for it\n".encode())
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(name)
            assert echoes(sock)
        server.stop()


# ---- how long


def test_nobody_came() -> None:
    begun = time.monotonic()
    result = run("serve", "--port", "0", "--accept-timeout", "0.3", stdin=None)
    assert time.monotonic() - begun >= 0.3
    assert result.status == 1
    assert re.search(r"sockkit: wait for a client on 127\.0\.0\.1:\d+: timed out after 0\.3 s \[ETIMEDOUT", result.said)


@contextmanager
def awaited(*args: str, count: int = 1, **more: Any) -> Iterator[tuple[Server, list[socket.socket]]]:
    """A server whose clients wait for it: they come in time, however slow this machine is."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(listening.getsockname(), TIMEOUT)) for _ in range(count)
        ]
        fd = listening.fileno()
        yield (
            stack.enter_context(Server("--fileno", str(fd), *args, free_port=False, pass_fds=[fd], **more)),
            clients,
        )


def test_who_is_denied_did_not_come() -> None:
    with awaited("--accept-timeout", "0.3", "--deny", "127.0.0.1") as (server, (sock,)):
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        result = server.finish()
    assert result.status == 1 and "1 denied" in result.said


def test_nobody_else_came() -> None:
    options = ("--accept-timeout", "0.3", "--mode", "pipe", "-k", "--after-end", "0.1")
    with awaited(*options, count=2) as (server, clients):
        for sock, word in zip(clients, (b"one ", b"two"), strict=True):
            sock.sendall(word)
            sock.shutdown(socket.SHUT_WR)
        result = server.finish()
    assert (result.status, result.out) == (0, b"one two"), "what is served by then is in order"


def test_as_long_as_somebody_is_there_nobody_else_need_come() -> None:
    with awaited("--accept-timeout", "0.2") as (server, (sock,)):
        assert echoes(sock)
        assert not select.select([sock], [], [], 0.6)[0], "it waits for nobody while a session is open"
        assert echoes(sock)
        sock.close()
        assert server.finish().status == 0


def test_datagrams_nobody_was_heard_from() -> None:
    result = run("serve", "-u", "--port", "0", "--accept-timeout", "0.2", stdin=None)
    assert result.status == 1 and "timed out after 0.2 s" in result.said


def test_a_server_for_a_while() -> None:
    with awaited("-v", "--duration", "1") as (server, (sock,)):
        assert echoes(sock)
        assert sock.recv(1) == b""
        result = server.finish()
    assert result.status == 0
    assert "the 1 s of --duration are over: 1 session still open" in result.said
    assert "total: 1 session, received 5 bytes, sent 5 bytes" in result.said


@pytest.mark.parametrize("mode", [["--mode", "echo"], ["--mode", "broadcast", "--patience", "60"]])
def test_what_a_server_cuts_when_the_time_is_over_is_a_failure(mode: list[str]) -> None:
    with Server("--duration", "2", *mode) as server, server.connect() as idle, server.connect() as sock:
        sock.settimeout(1)
        with pytest.raises(OSError):  # nobody reads the echo, nor what is said to the idle one
            sock.sendall(bytes(2**28))
        assert idle.fileno() != -1
        result = server.finish()
    assert result.status == 1 and re.search(
        r"lost (\S+ \S+ \()?\d+ bytes?\)?: not handed over before the end\n", result.said
    )


def test_a_conversation_for_a_while() -> None:
    """What had come by then is handed over, our end is passed on, and the status is 0."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        with Process("connect", "-v", "--duration", "1", "127.0.0.1", str(listening.getsockname()[1])) as process:
            process.send(b"question")
            sock, _ = listening.accept()
            with sock:
                sock.settimeout(TIMEOUT)
                sock.sendall(b"answer")
                assert receive_all(sock) == b"question", "then a FIN, not a reset"
                result = process.finish()
    assert (result.status, result.out) == (0, b"answer")
    assert "the 1 s of --duration are over" in result.said


def test_a_peer_that_takes_nothing_does_not_make_it_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full
        port = str(listening.getsockname()[1])
        with Process("connect", "--duration", "0.3", "--after-end", "0.2", "127.0.0.1", port) as process:
            process.feed(bytes(20_000_000))
            sock, _ = listening.accept()
            with sock:
                result = process.finish()
    assert result.status == 1
    assert re.search(
        r"lost [^\n]*: (the peer had not taken them at the end|not handed over before the end)", result.said
    )


def test_the_time_counts_across_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        port = str(listening.getsockname()[1])
        options = ("--duration", "1", "--reconnect", "--retry-delay", "0.05")
        with Process("connect", *options, "127.0.0.1", port, stdin=subprocess.PIPE) as process:
            listening.accept()[0].close()
            last, _ = listening.accept()
            listening.close()
            last.close()
            assert process.finish().status == 0


# ---- bad input


UNIX = {"unix": True, "address": ("/tmp/x",)}


@pytest.mark.parametrize(
    ("given", "option", "told"),
    [
        ({"deny": ("",)}, "--deny", "'' is not a host, a network"),
        ({"allow": ("uid:0",)}, "--allow", "'uid:0': only over a Unix socket (-U) is the peer's user known"),
        ({**UNIX, "deny": ("10.0.0.0/8",)}, "--deny", "'10.0.0.0/8': peers of a Unix socket have no address"),
        ({**UNIX, "deny": ("somebody",)}, "--deny", "'somebody': peers of a Unix socket have no address"),
        ({**UNIX, "udp": True, "allow": ("uid:0",)}, "--allow", "a Unix datagram does not say whose it is"),
        (
            {"family": "VSOCK", "address": ("1:9",), "allow": ("::1",)},
            "--allow",
            "it knows peers of IPv4, IPv6 and Unix",
        ),
        ({"allow_files": ("/no/such/file",)}, "--allow-file", "'/no/such/file' cannot be read: No such file"),
        ({"deny_files": ("/",)}, "--deny-file", "'/' cannot be read: Is a directory"),
        ({"allow_files": ("/dev/null",)}, "--allow-file", "'/dev/null' has no rule: it would let nobody in"),
        (
            {"allow": ("10.1.0.0/16",), "deny": ("10.0.0.0/8",)},
            "--allow",
            "--deny 10.0.0.0/8 refuses all of 10.1.0.0/16: leave one of the two out",
        ),
        ({"max_per_peer": 2, "udp": True}, "--max-conns-per-peer", "datagrams have no connections to count"),
        ({"max_per_peer": 2, "mode": "pipe"}, "--max-conns-per-peer", "--mode pipe serves one client"),
        ({"accept_timeout": 0.0}, "--accept-timeout", "a timeout of 0 seconds"),
        ({"duration": 0.0}, "--duration", "0 seconds end everything"),
        ({"deny": ("10.0.0.1",), "code": True}, "--code", "it is not known to --code"),
    ],
)
@needs_linux
def test_bad_input(given: dict[str, Any], option: str, told: str) -> None:
    seen: list[Event] = []
    with pytest.raises(UsageError, match=re.escape(told)) as caught:
        serve.run(serve.ServePlan(**given), Env(0, 1, seen.append, Interest.STATE, time.monotonic))
    assert caught.value.option == option and not seen


def test_bad_input_is_one_line() -> None:
    result = run("serve", "--allow", "10.0.0.1/8", stdin=None)
    assert (result.status, result.out) == (2, b"")
    assert result.said == (
        "sockkit: --allow: '10.0.0.1/8' has bits set behind its first 8: 10.0.0.0/8 is the network, 10.0.0.1 the host\n"
    )


def test_the_line_of_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text("# good\n192.0.2.1\n192.0.2.1/8\n")
    result = run("serve", "--denyfile", str(path), stdin=None)
    assert result.status == 2
    assert f"--deny-file: {path}:3: '192.0.2.1/8' has bits set" in result.said


def test_recordings_of_a_run_in_which_somebody_was_denied(tmp_path: Path) -> None:
    files = [str(tmp_path / f"run.{suffix}") for suffix in ("html", "svg", "pcapng", "txt", "raw")]
    outputs = [word for file in files for word in ("-o", file)]
    with Server("--deny", "127.0.0.2", *outputs) as server:
        refused(server, "127.0.0.2")
        with server.connect() as good:
            assert echoes(good)
        server.wait_for(rb"x #1 .* closed")
        assert server.stop().status == -signal.SIGTERM
    assert "denied (reset): --deny 127.0.0.2" in Path(files[3]).read_text()


def test_a_name_that_nobody_knows_lets_no_server_begin() -> None:
    result = run("serve", "-n", "--port", "0", "--deny", "no-such-name.invalid", stdin=None)
    assert result.status == 1
    assert "look up no-such-name.invalid, which a rule names: " in result.said and "EAI_" in result.said
    assert "listening" not in result.said


def test_who_never_listened_has_no_totals() -> None:
    result = run("serve", "0", "-n", "--allow", "localhost", stdin=None)
    assert result.status == 1
    assert re.fullmatch(
        r"sockkit: look up localhost, which a rule names: [^\n]+\nsockkit: -n asks no name server\n", result.said
    ), result.said


def test_whoever_says_who_may_come_is_not_warned_of_everybody() -> None:
    with Server("--allow", "127.0.0.1", "0.0.0.0") as server:
        assert b"warning" not in server.err
        with server.connect() as good:
            assert echoes(good)
        server.stop()
    with Server("--deny", "192.0.2.0/24", "0.0.0.0") as server:
        server.wait_for(rb"warning: whoever can reach this host over the network can connect")
        server.stop()


def test_an_allowance_that_can_fit_nobody_is_warned_of() -> None:
    with Server("--allow", "2001:db8::/32") as server:
        assert b"warning: nobody can come: no --allow is for IPv4 peers" in bytes(server.err)
        server.stop(signal.SIGINT)


def test_duration_is_for_conversations() -> None:
    assert "leave --duration out" in run("connect", "-z", "--duration", "1", "127.0.0.1", "1", stdin=None).said
