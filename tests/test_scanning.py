"""``connect -z`` of several ports: which are open, closed or filtered, and never more said of one than is known."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockkit import ports, scanning
from sockkit.errors import UsageError
from sockkit.events import Env, Event, Interest, Note
from sockkit.loop import Loop
from tests.harness import (
    ENVIRONMENT,
    SOCKKIT,
    TIMEOUT,
    Process,
    Result,
    Server,
    listener,
    on_terminal,
    receive_all,
    run,
)
from tests.peers import free_port, full_queue, in_a_network_of_its_own, shell, with_names
from tests.test_cli import refused, typed
from tests.test_json import VALIDATOR
from tests.test_portability import COMMAND, LACKING, python

HERE = "127.0.0.1"
LINUX = sys.platform == "linux"
needs_linux = pytest.mark.skipif(not LINUX, reason="CANNOT: only Linux does this")


_PORTS: WeakKeyDictionary[socket.socket, int] = WeakKeyDictionary()


def port_of(sock: socket.socket) -> int:
    """Its port, also once it is closed, if it was asked before."""
    if sock not in _PORTS:
        _PORTS[sock] = int(sock.getsockname()[1])
    return _PORTS[sock]


@contextmanager
def several(count: int, type: int = socket.SOCK_STREAM) -> Iterator[list[socket.socket]]:
    """Sockets that listen (or, for datagrams, take what comes and never answer)."""
    with ExitStack() as stack:
        yield [stack.enter_context(listener(type=type)) for _ in range(count)]


def listed(*which: int | socket.socket) -> str:
    return ",".join(str(each if isinstance(each, int) else port_of(each)) for each in which)


def scan(*args: str, **kwargs: Any) -> dict[str, Any]:
    """The report of a scan of this host as a program reads it. It has to be what the schema says."""
    found: dict[str, Any] = json.loads(run("connect", "-z", "--json", *args, **kwargs).text)
    VALIDATOR.validate(found | {"ports": found["ports"][:1000]})
    return found


def alone(test: Callable[..., None]) -> Callable[..., None]:
    """Whoever asks many ports connects to all who listen there: not to those of others, where that can be helped."""

    @wraps(test)
    def play(*args: Any, **kwargs: Any) -> None:
        in_a_network_of_its_own(lambda: test(*args, **kwargs))

    return play


def states(found: dict[str, Any]) -> dict[int, str]:
    return {row["port"]: row["state"] for row in found["ports"]}


# ---- PORTS


PORT = st.integers(1, 65535)
ITEM = st.one_of(
    PORT.map(str),
    st.tuples(PORT, PORT).map(lambda ends: f"{min(ends)}-{max(ends)}"),
    st.sampled_from(["http", "SSH", "domain"]),
)


@given(st.lists(ITEM, min_size=1, max_size=6))
@settings(deadline=None, database=None)
def test_ports_are_read_as_typed_and_written_back(items: list[str]) -> None:
    found = ports.parse(",".join(items))
    assert len(set(found)) == len(found), "each once"
    assert all(1 <= port <= 65535 for port in found)
    first = ports.parse(items[0])
    assert found[: len(first)] == first, "in the order in which they were typed"
    assert sorted(ports.parse(ports.text(found))) == sorted(found)


@given(st.text(max_size=30))
@settings(deadline=None, database=None)
def test_any_text_is_ports_or_says_why_not(text: str) -> None:
    try:
        found = ports.parse(text)
    except UsageError as error:
        assert error.option == "PORTS" and "\n" not in str(error)
    else:
        assert found and all(1 <= port <= 65535 for port in found)


@given(st.lists(st.one_of(ITEM, st.text("0123456789-,:[]%@/. abc", max_size=9)), max_size=3))
@settings(deadline=None, database=None)
def test_any_words_are_split(words: list[str]) -> None:
    host, typed = ports.split(words)
    numbered = ports.numbered(words, 7)
    assert len(numbered) == len(words)
    if typed:
        assert ports.split(numbered) == (host, "7")
    else:
        assert numbered == words


def test_every_port_at_once() -> None:
    assert ports.parse("1-65535") == tuple(range(1, 65536))
    assert ports.parse(listed(*range(65535, 0, -1))) == tuple(range(65535, 0, -1))
    assert ports.text(range(1, 65536)) == "1-65535"


def test_a_port_that_is_typed_twice_is_asked_once() -> None:
    assert ports.parse("80,http,79-81") == (80, 79, 81)


def test_services_where_the_system_has_no_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for table in (ports.services, ports._names):
        table.cache_clear()
    monkeypatch.setattr(ports, "_FILE", str(tmp_path / "none"))
    try:
        assert ports.parse("ssh,https") == (22, 443)
        assert (ports.service(53, "udp"), ports.service(22, "udp"), ports.service(5, "tcp")) == ("domain", "", "")
        (tmp_path / "none").write_text("ours 7777/tcp mine # us\nbad x/tcp\nworse 70000/tcp\nhttp 8888/tcp\n")
        ports.services.cache_clear()
        assert ports.parse("OURS,mine,http") == (7777, 8888)
    finally:
        for table in (ports.services, ports._names):
            table.cache_clear()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1,"], "PORTS: '1,' has a comma with no port beside it"),
        (["0-5"], "PORTS: port 0 is nobody's"),
        (["1,65536"], "PORTS: '65536' is no port: 1 to 65535 are"),
        (["30-20"], "type: 20-30"),
        (["30-"], "type: 30-65535"),
        (["1-2-3,4"], "'1-2-3' is no port"),
        (["1,htttp"], "did you mean http"),
        (["1,ntp"], "it is one of udp (-u)"),
        ([HERE, "22", "80"], f"type: sockkit connect -z {HERE} 22,80"),
        (["-u", "1-2", "--tls"], "--tls: a scan only asks which ports are open"),
        (["1-2", "-x"], "-x: a scan only asks"),
        (["1-2", "--lines"], "--lines: a scan only asks"),
        (["1-2", "--fault", "reset"], "--fault: a scan only asks"),
        (["1-2", "--retry", "2"], "--retry: a scan only asks"),
        (["1-2", "--oob", "x"], "--oob: a scan only asks"),
        (["1-2", "--fileno", "3"], "--fileno: a scan only asks"),
        (["192.0.2.0/24", "1-2"], "is no host: one is asked"),
        (["-U", "1-2"], "-U: a scan only asks"),
        (["1-2", "-p", "4000"], "-p: one source port"),
        (["1-2", "--seed", "1"], "--seed: a seed is for --random"),
        (["1-2", "--tries", "3"], "--tries: only datagrams (-u)"),
        (["1-2", "--rate", "0"], "--rate: '0' is no rate"),
        (["1-2", "--parallel", "0"], "--parallel: '0' is no whole number from 1 to 65535"),
        (["1-2", "-w", "0"], "--connect-timeout: a timeout of 0 seconds"),
        (["1-2", "-4", "-6"], "-6: -4 and -6 contradict each other"),
        (["-6", f"{HERE}:1-2"], "does not fit AF_INET6"),
        (["-s", "localhost", "1-2"], "-s: 'localhost' is a name"),
        (["1-2", "--type", "RAW"], "PORTS: such a socket has no ports"),
        (["1-2", "-o", "x.pcapng"], "-o: .pcapng is for connect and serve: connect -z writes .json"),
        ([HERE, "80", "--rate", "1"], "--rate: it is for several ports: -z HOST PORTS"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_asked(words: list[str], said: str) -> None:
    assert said in " ".join(refused("connect", "-z", *words))


@pytest.mark.skipif(not hasattr(socket, "AF_VSOCK"), reason="CANNOT: no AF_VSOCK here")
def test_other_families_have_no_lists() -> None:
    said = refused("connect", "-z", "--family", "VSOCK", "local", "1-3")
    assert "PORTS: AF_VSOCK (40) has no lists of ports: IPv4 and IPv6 have" in said[0]


@pytest.mark.parametrize("words", [[HERE, "22,80"], ["22-25"], [f"{HERE}:1-4"]])
def test_a_conversation_has_one_port(words: list[str]) -> None:
    assert typed(refused("connect", *words)) == ["connect", "-z", *words]


# ---- TCP


def test_open_closed_filtered() -> None:
    """A table of all of them; 0 since one is open, and nothing on stderr."""
    with listener() as sock, full_queue() as full:
        closed = free_port()
        result = run("connect", "-z", "-w", "0.4", HERE, listed(sock, closed, full))
        with socket.socket() as peer:  # what was asked is as it was
            peer.connect(sock.getsockname())
    assert (result.status, result.err) == (0, b"")
    title, _, header, *rows = result.text.splitlines()
    assert re.fullmatch(r"127\.0\.0\.1: 3 TCP ports asked in [\d.]+ s", title)
    assert header.split() == ["port", "state", "service", "errno", "ms"]
    found = {int(row.split()[0]): row.split() for row in rows[:3]}
    assert found[port_of(sock)][1] == "open"
    assert found[closed][1:-1] == ["closed", "ECONNREFUSED"]
    assert found[port_of(full)][1:-1] == ["filtered", "ETIMEDOUT"]
    assert float(found[port_of(full)][-1]) >= 400
    assert list(found) == sorted(found)
    summary = [re.split(r"  +", row.strip()) for row in rows[4:]]
    assert summary == [
        ["open", "1"],
        ["closed", "1", f"Connection refused [ECONNREFUSED {errno.ECONNREFUSED}]"],
        ["filtered", "1", f"{os.strerror(errno.ETIMEDOUT)} [ETIMEDOUT {errno.ETIMEDOUT}]; nothing came back in 0.4 s"],
    ]


def test_the_report_of_a_program() -> None:
    with listener() as sock:
        closed = free_port()
        found = scan(HERE, listed(sock, closed))
    assert found["complete"] is True and found["command"] == "connect"
    assert found["scan"]["address"] == HERE and found["scan"]["protocol"] == "tcp" and found["scan"]["timeout"] == 2
    assert found["scan"]["ports"] == ports.text([port_of(sock), closed])
    assert found["counts"] == {"open": 1, "closed": 1, "filtered": 0, "no answer": 0, "not asked": 0}
    (opened,) = [row for row in found["ports"] if row["port"] == port_of(sock)]
    assert (opened["state"], opened["errno"], opened["name"]) == ("open", None, None) and 0 < opened["ms"] < 2000
    (refused,) = [row for row in found["ports"] if row["port"] == closed]
    assert (refused["errno"], refused["name"]) == (errno.ECONNREFUSED, "ECONNREFUSED")


def test_nobody_there_is_status_1() -> None:
    result = run("connect", "-z", HERE, f"{free_port()},{free_port()}")
    assert (result.status, result.err) == (1, b"") and " closed " in result.text


def test_looking_sends_nothing_and_ends_in_order() -> None:
    """The peer sees a connection and a FIN: no byte, no reset."""
    with listener() as sock:
        port = port_of(sock)
        assert run("connect", "-z", f"{port}-{port}").status == 0
        peer, _ = sock.accept()
        with peer:
            assert receive_all(peer) == b""


def test_a_range_of_one_is_a_scan_and_one_port_is_not() -> None:
    with listener() as sock:
        port = port_of(sock)
        assert run("connect", "-z", HERE, str(port)) == (0, b"", b"")
        assert b" open " in run("connect", "-z", HERE, f"{port}-{port}").out


def test_stdin_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "stdin").write_bytes(b"not to be read")
    with listener() as sock, (tmp_path / "stdin").open("rb") as stdin:
        assert run("connect", "-z", listed(sock, sock), stdin=stdin.fileno()).status == 0
        assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0


def test_a_service_by_name() -> None:
    result = run("connect", "-z", HERE, "ipp")
    assert result.status in (0, 1) and (result.status == 0 or f"connect to {HERE}:631: " in result.said)
    found = scan(HERE, "ipp,631,1")
    assert [(row["port"], row["service"]) for row in found["ports"]][-1] == (631, "ipp")
    assert len(found["ports"]) == 2


def test_a_name_is_asked_at_its_first_address() -> None:
    with listener() as sock:
        found = scan("-4", "localhost", listed(sock, free_port()))
    assert (found["scan"]["host"], found["scan"]["address"]) == ("localhost", HERE)
    result = run("connect", "-z", "no-such-host.invalid", "1-2")
    assert (result.status, result.out) == (1, b"") and "look up no-such-host.invalid: " in result.said


def test_the_other_addresses_of_a_name_are_said(tmp_path: Path) -> None:
    """No default reaches beyond the host named, and one address of it is asked."""
    prefix = with_names(tmp_path, "", "127.0.0.2 two.test\n127.0.0.3 two.test\n", "files")
    with listener(address=("127.0.0.3", 0)) as sock:
        words = ("connect", "-z", "two.test", listed(sock, 1))
        text = run(*words, prefix=prefix).text
        found = json.loads(run(*words, "--json", prefix=prefix).text)
    first, (other,) = found["scan"]["address"], found["scan"]["other_addresses"]
    assert {first, other} == {"127.0.0.2", "127.0.0.3"}
    assert states(found)[port_of(sock)] == ("open" if first == "127.0.0.3" else "closed")
    assert text.startswith(f"two.test ({first}): 2 TCP ports")
    assert f"two.test is {other} too" in text


def test_the_source_chooses_among_the_addresses(tmp_path: Path) -> None:
    prefix = with_names(tmp_path, "", "::1 both.test\n127.0.0.1 both.test\n", "files")
    for flags in ((), ("-u",)):
        result = run("connect", "-z", *flags, "-s", HERE, "both.test", "1-2", "--json", prefix=prefix)
        assert json.loads(result.text)["scan"]["address"] == HERE, result.said


def test_ipv6() -> None:
    try:
        with listener(socket.AF_INET6, address=("::1", 0)) as sock:
            text = run("connect", "-z", f"[::1]:{port_of(sock)},1").text
            assert states(scan("::1", listed(sock, 1)))[port_of(sock)] == "open"
            assert states(scan("-6", listed(sock, 1)))[port_of(sock)] == "open"
    except OSError as error:
        pytest.skip(f"CANNOT: no ::1 here: {error}")
    assert text.startswith("::1: 2 TCP ports asked in ")


@alone
def test_many_are_counted_unless_they_are_wanted(tmp_path: Path) -> None:
    """On stdout, in text and pictures, what people read; for programs every port."""
    with listener() as sock:
        port = port_of(sock)
        low = min(port, 65535 - 60)
        words = (HERE, f"{low}-{low + 60}")
        files = [f"r{suffix}" for suffix in (".json", ".ndjson", ".csv", ".html", ".md", ".svg", ".txt")]
        result = run("connect", "-z", *words, *(word for file in files for word in ("-o", file)), cwd=tmp_path)
        verbose = run("connect", "-z", *words, "-v")
    assert result.status == 0 and result.err == b""
    found = json.loads((tmp_path / "r.json").read_text())
    closed = found["counts"]["closed"]
    if closed <= 25:
        pytest.skip("CANNOT: too many listen here")
    assert f"closed  {closed}" in re.sub("  +", "  ", result.text) and "not listed: -v lists them" in result.text
    assert not re.search(r"(?m)^  \d+ +closed", result.text)
    assert re.search(rf"(?m)^  {port} +open ", result.text)
    assert len(re.findall(r"(?m)^  \d+ +closed", verbose.text)) == closed
    assert json.loads((tmp_path / "r.ndjson").read_text()) == found, "one line: no progress in it"
    VALIDATOR.validate(found)
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["port"]) for row in rows] == list(range(low, low + 61))
    assert {row["state"] for row in rows if int(row["port"]) == port} == {"open"}
    page = (tmp_path / "r.html").read_text()
    assert page.count("ECONNREFUSED</td>") == closed and f">{port}</th>" in page
    assert (tmp_path / "r.txt").read_text() == result.text
    assert f"| {port} | open |" in (tmp_path / "r.md").read_text()
    assert "not listed" in (tmp_path / "r.svg").read_text()


def order(result: Result) -> list[int]:
    """The ports in the order in which they were asked."""
    return [int(port) for port in re.findall(r" connect\(\d+, 127\.0\.0\.1:(\d+)\)", result.said)]


def test_random_order_can_be_repeated() -> None:
    words = ("connect", "-z", "-v", HERE, "1-40")
    assert order(run(*words)) == list(range(1, 41))
    one, same, other = (order(run(*words, "--random", "--seed", seed)) for seed in ("7", "7", "8"))
    assert one == same != other
    assert sorted(one) == list(range(1, 41)) != one
    assert sorted(order(run(*words, "--random"))) == list(range(1, 41))


def test_no_more_at_once_than_said() -> None:
    with several(9, socket.SOCK_DGRAM) as silent:
        result = run("connect", "-z", "-u", "-v", "-w", "0.3", "--parallel", "3", HERE, listed(*silent))
    open_now = most = 0
    for name in re.findall(r" (socket|close)\(", result.said):
        open_now += 1 if name == "socket" else -1
        most = max(most, open_now)
    assert (most, open_now) == (3, 0)
    assert result.status == 1 and result.text.count("no answer") == 10


def test_rate() -> None:
    found = scan(HERE, "1-6", "--rate", "20")
    assert found["scan"]["seconds"] >= 0.25 and len(found["ports"]) == 6


def test_settings_and_the_source_hold_for_every_socket() -> None:
    with several(2) as peers:
        words = ("connect", "-z", "-v", "-s", "127.0.0.9", "--set", "SO_KEEPALIVE=1", HERE, listed(*peers))
        result = run(*words)
        assert result.status == 0
        for sock in peers:
            peer, address = sock.accept()
            peer.close()
            assert address[0] == "127.0.0.9" or not LINUX
    assert result.said.count("setsockopt(") == 2
    assert len(re.findall(r"(?m)^= .*SO_KEEPALIVE", result.said)) == 1, "what came of it is told once"


def test_a_source_that_cannot_be_had() -> None:
    """Known with the first socket: it is not waited for, and nothing is said of the ports."""
    result = run("connect", "-z", "-s", "203.0.113.9", HERE, "1-9")
    assert (result.status, result.out) == (1, b"")
    assert f"bind to 203.0.113.9:0: {os.strerror(errno.EADDRNOTAVAIL)} [EADDRNOTAVAIL" in result.said


@needs_linux
def test_a_port_that_is_connected_to_itself_is_not_open() -> None:
    """Simultaneous open: the kernel connects an ephemeral port to itself, where nobody listens."""
    port = free_port()
    found = scan("-p", str(port), HERE, f"{port}-{port}")
    assert [(row["state"], row["errno"]) for row in found["ports"]] == [("closed", None)]
    text = run("connect", "-z", "-p", str(port), HERE, f"{port}-{port}").text
    assert "connected to itself: nobody listens there" in text
    one = run("connect", "-z", "-p", str(port), HERE, str(port))
    assert one.status == 1 and "it connected to itself" in one.said


@needs_linux
def test_unreachable_by_its_errno() -> None:
    """No packet leaves: the routing table of a network namespace says no."""
    inside = shell(
        "ip link set lo up", "ip route add unreachable 192.0.2.0/24", "ip route add prohibit 198.51.100.0/24"
    )
    prefix = ["unshare", "-rn", *inside]
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("CANNOT: no network namespace of one's own")
    for host, name in (("192.0.2.1", "EHOSTUNREACH"), ("198.51.100.1", "EACCES"), ("203.0.113.1", "ENETUNREACH")):
        found = scan(host, "1-3", prefix=prefix)
        assert {(row["state"], row["name"]) for row in found["ports"]} == {("filtered", name)}


def test_many_open_ports_on_a_terminal() -> None:
    with several(210) as peers:
        screen = on_terminal("connect", "-z", HERE, listed(*peers, 1))
    assert screen.status == 0
    assert len(re.findall(rb"\d+  open ", screen.shown)) == 210
    assert screen.shown.count(b"closed") == 2, "its row and its number"


@pytest.mark.parametrize("flags", [(), ("-u",)], ids=" ".join)
def test_code_asks_the_same(flags: tuple[str, ...]) -> None:
    with Server(*flags) as server:
        closed = free_port(socket.SOCK_DGRAM if flags else socket.SOCK_STREAM)
        for host in (HERE, "localhost"):
            words = (*flags, "-4", "-s", HERE, host, listed(server.port, closed))
            text = run("connect", "-z", *words, "--code").text
            done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
            assert (done.stdout, done.stderr) == (f"{server.port} open\n{closed} ECONNREFUSED\n", "")
        one = run("connect", "-z", *flags, "-4", "localhost", str(server.port), "--code").text
        done = subprocess.run([sys.executable, "-c", one], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "") and (
            "answered: b''" if flags else "connected to"
        ) in done.stdout
        server.stop()


# ---- this host is short of something


@needs_linux
def test_no_descriptor_left_is_no_answer() -> None:
    """EMFILE: fewer at once, and every port still has its own answer."""
    lent = [os.open(os.devnull, os.O_RDONLY) for _ in range(30)]
    prefix = shell("ulimit -n 45")
    try:
        with several(20, socket.SOCK_DGRAM) as silent, listener(type=socket.SOCK_DGRAM) as last:
            closed = port_of(last)
            last.close()
            words = ("connect", "-z", "-u", "-w", "0.2", "--json", HERE, listed(*silent, closed))
            result = run(*words, prefix=prefix, pass_fds=lent)
    finally:
        for fd in lent:
            os.close(fd)
    found = json.loads(result.text)
    assert found["complete"] is True
    assert found["counts"] == {"open": 0, "closed": 1, "filtered": 0, "no answer": 20, "not asked": 0}
    assert '"EMFILE' in result.said or "[EMFILE" in result.said


@needs_linux
def test_no_ephemeral_port_left_is_no_answer() -> None:
    with several(5, socket.SOCK_DGRAM) as silent:
        with listener(type=socket.SOCK_DGRAM) as given:
            low = port_of(given) & ~1  # a port that the system gives to those who ask for none
        narrow = f"IP_LOCAL_PORT_RANGE={low}-{low + 1}"
        result = run("connect", "-z", "-u", "-w", "0.2", "--set", narrow, HERE, listed(*silent))
    if "IP_LOCAL_PORT_RANGE" in result.said and result.status == 1 and not result.out:
        pytest.skip("CANNOT: IP_LOCAL_PORT_RANGE came with Linux 6.3")
    assert re.search(
        r"this host is short of something, which says nothing of the ports: .*\[E(AGAIN|ADDR)", result.said
    )
    assert len(re.findall(r"(?m)^  \d+ +no answer", result.text)) == 5


@needs_linux
def test_more_at_once_than_there_are_descriptors() -> None:
    result = run("connect", "-z", HERE, "1-60", prefix=shell("ulimit -n 64"))
    assert "no more than 40 ports are asked at once: RLIMIT_NOFILE" in result.said
    assert "60 TCP ports asked" in result.text


def observed(events: list[Event]) -> Env:
    return Env(0, 1, events.append, Interest.STATE, time.monotonic)


def test_what_this_host_stays_short_of_ends_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """After all pauses it is given up, and no port has an answer that it did not give."""
    monkeypatch.setattr(scanning, "BEAT", 0.001)  # the pauses are multiples of it
    events: list[Event] = []
    made = 0

    def make() -> socket.socket:
        nonlocal made
        made += 1
        if made == 2:
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0))
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with Loop(observed(events)) as loop:
        asked = [free_port(), free_port()]
        found = scanning.Scan(loop, asked, make, lambda port: (HERE, port), scanning.Wishes(), loop.stop)
        found.start()
        loop.run()
    assert found.error is not None and found.error.errno == errno.EMFILE and not found.done
    assert [answer.state for answer in found.findings] == [scanning.CLOSED]
    assert made == 2 + 1 + scanning.PAUSES
    notes = [event.text for event in events if isinstance(event, Note)]
    assert len(notes) == 1 and "says nothing of the ports: " in notes[0] and "[EMFILE" in notes[0]


def test_a_handshake_that_was_reset_at_once_was_a_handshake() -> None:
    """SO_ERROR is ECONNRESET, not ECONNREFUSED: somebody listens there."""
    with listener() as sock, Loop(observed([])) as loop:

        def make() -> socket.socket:
            client = socket.socket()
            client.setblocking(False)
            return client

        class Slow(scanning.Scan):
            def _begin(self, asked: Any) -> tuple[int, int] | None:
                with pytest.raises(BlockingIOError):
                    asked.sock.connect(self._address(asked.port))
                peer, _ = sock.accept()
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
                return None

        found = Slow(loop, [port_of(sock)], make, lambda port: (HERE, port), scanning.Wishes(), loop.stop)
        found.start()
        loop.run()
        (answer,) = found.findings
    assert (answer.state, answer.errno) == (scanning.OPEN, errno.ECONNRESET)


# ---- UDP


def test_udp_says_no_more_than_it_knows() -> None:
    """An echo server answers an empty datagram; a port that is shut is refused by ICMP; silence is silence."""
    with Server("-u") as server, listener(type=socket.SOCK_DGRAM) as silent:
        closed = free_port(socket.SOCK_DGRAM)
        found = scan("-u", "-w", "1", HERE, listed(server.port, closed, silent))
        result = run("connect", "-z", "-u", "-w", "0.4", HERE, listed(closed, silent))
        silent.settimeout(0.1)
        came = [silent.recv(10) for _ in range(4)]
        with pytest.raises(TimeoutError):
            silent.recv(10)
        server.stop()
    assert states(found) == {server.port: "open", closed: "closed", port_of(silent): "no answer"}
    assert found["scan"]["protocol"] == "udp"
    (row,) = [row for row in found["ports"] if row["state"] == "no answer"]
    assert row["errno"] is None and row["ms"] >= 1000
    assert came == [b""] * 4, "two empty datagrams from each run, and nothing else"
    assert result.status == 1
    assert "nothing came back in 0.4 s: open, filtered, or lost on the way, nothing tells which" in result.text
    assert "--rate 1 waits for them" in result.text


def test_udp_tries() -> None:
    with several(2, socket.SOCK_DGRAM) as silent:
        assert run("connect", "-z", "-u", "-w", "0.4", "--tries", "4", HERE, listed(*silent)).status == 1
        for sock in silent:
            sock.settimeout(0.1)
            assert [sock.recv(10) for _ in range(4)] == [b""] * 4
            with pytest.raises(TimeoutError):
                sock.recv(10)


def test_an_answer_to_the_second_datagram_counts() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:

        def answer() -> None:
            peer.recvfrom(10)
            _, address = peer.recvfrom(10)
            peer.sendto(b"here", address)

        thread = threading.Thread(target=answer)
        thread.start()
        found = scan("-u", "-w", "1", HERE, listed(peer, peer))
        thread.join()
    assert states(found) == {port_of(peer): "open"} and found["ports"][0]["ms"] >= 500


def test_one_udp_port_is_told_on_stderr() -> None:
    with Server("-u") as server:
        assert run("connect", "-z", "-u", HERE, str(server.port)) == (0, b"", b"")
        said = run("connect", "-z", "-u", "-v", HERE, str(server.port)).said
        assert re.search(rf"= +\S+ 127\.0\.0\.1:{server.port} answered an empty datagram after [\d.]+ ms", said)
        server.stop()
    closed = free_port(socket.SOCK_DGRAM)
    refused = run("connect", "-z", "-u", HERE, str(closed))
    assert (refused.status, refused.out) == (1, b"")
    assert f"send to 127.0.0.1:{closed}: Connection refused [ECONNREFUSED" in refused.said
    with listener(type=socket.SOCK_DGRAM) as silent:
        result = run("connect", "-z", "-u", "-w", "0.2", HERE, str(port_of(silent)))
    assert (result.status, result.out) == (1, b"")
    assert "did not answer: nothing came back in 0.2 s: open, filtered, or lost on the way" in result.said


VETH = """
set -e
ip link set lo up
unshare -n sleep 30 & peer=$!
trap "kill $peer" EXIT
while [ "$(readlink /proc/$peer/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
ip link add va type veth peer name vb
ip link set vb netns $peer
ip addr add 192.0.2.1/24 dev va
ip link set va up
nsenter -t $peer -n ip addr add 192.0.2.2/24 dev vb
nsenter -t $peer -n ip link set vb up
"$@"
"""
"""Another host: a network namespace, behind a veth pair (loopback knows no limit of ICMP)."""


@needs_linux
def test_udp_refusals_are_rationed() -> None:
    """Linux refuses six datagrams in a row, and then one a second (icmp_ratelimit): the others are not called anything."""
    prefix = ["unshare", "-rn", "bash", "-c", VETH, "-"]
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("CANNOT: no network namespaces with a veth pair between them")
    done = subprocess.run(
        [*prefix, *SOCKKIT, "connect", "-z", "-u", "-w", "0.4", "192.0.2.2", "1-12"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=TIMEOUT,
        check=False,
    )
    found = re.findall(r"(?m)^  \d+ +(closed|no answer) ", done.stdout)
    assert done.returncode == 1 and len(found) == 12, done
    assert 6 <= found.count("closed") < 12
    assert "a host may limit how many refusals it sends" in done.stdout


# ---- while it goes on


def test_ctrl_c_shows_what_was_found() -> None:
    with full_queue() as full:
        closed = free_port()
        with Process("connect", "-z", "-v", "--json", "-w", "30", HERE, listed(closed, full)) as process:
            process.wait_for(rb'(?s)"name": "connect".*"name": "connect"')
            result = process.stop(signal.SIGINT)
    assert result.status == -signal.SIGINT
    found = json.loads(result.text)
    VALIDATOR.validate(found)
    assert found["complete"] is False
    assert states(found) == {closed: "closed"} and found["counts"]["not asked"] == 1


def test_a_reader_that_is_gone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = run("connect", "-z", HERE, "1-9", stdout=writer)
    finally:
        os.close(writer)
    assert (result.status, result.err) == (-signal.SIGPIPE, b"")


def test_a_terminal_shows_how_far_it_has_come() -> None:
    with several(4, socket.SOCK_DGRAM) as silent:
        words = ("connect", "-z", "-u", "-w", "0.15", "--parallel", "1", HERE, listed(*silent))
        screen = on_terminal(*words)
        quiet = on_terminal(*words, "-q")
    assert screen.status == 1
    assert re.search(rb"\r.* (25|50|75) % 0 open", screen.shown)
    assert b"\r\x1b[K" in screen.shown, "the bar goes"
    assert b"no answer" in screen.shown.rpartition(b"\x1b[K")[2]
    assert b"%" not in quiet.shown


@alone
def test_every_port_of_this_host() -> None:
    """As many as there are, in bounded memory (``harness.MEMORY``), with no port mistaken."""
    with several(3) as peers:
        wanted = {port_of(sock) for sock in peers}
        found = scan(HERE, "1-65535", "--random", timeout=3 * TIMEOUT)
    assert wanted <= {port for port, state in states(found).items() if state == "open"}
    assert sum(found["counts"].values()) == len(found["ports"]) == 65535
    assert found["counts"]["closed"] > 60000


@pytest.mark.parametrize("system", ["windows", "darwin", "no optional constant"])
def test_other_systems(system: str) -> None:
    """Other waiting, other constants; the calls are this kernel's."""
    hidden = {name: value for name, value in LACKING[system].items() if name != "platform" or value == "darwin"}
    with listener() as sock:
        status, out, err = python(COMMAND, hidden, "connect", "-z", "--json", HERE, listed(sock, 1))
    assert (status, err) == (0, ""), err
    assert states(json.loads(out))[port_of(sock)] == "open"


@pytest.mark.skipif(not shutil.which("nc"), reason="CANNOT: no nc here")
@alone
def test_the_open_ports_are_those_that_nc_finds() -> None:
    with several(5) as peers:
        first, last = min(map(port_of, peers)), max(map(port_of, peers))
        done = subprocess.run(["nc", "-zvn", HERE, f"{first}-{last}"], capture_output=True, text=True, check=False)
        ours = scan(HERE, f"{first}-{last}")
    theirs = {int(port) for port in re.findall(r" (\d+) port \[.*succeeded", done.stderr)}
    if not theirs:
        pytest.skip("CANNOT: this nc does not say which")
    mine = {port_of(sock) for sock in peers}  # others come and go on this machine
    assert mine <= theirs and mine <= {port for port, state in states(ours).items() if state == "open"}
