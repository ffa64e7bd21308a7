"""``connect --retry``, ``--wait-for``, ``--reconnect``: real ports that open later, real servers that go and come back."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from sockkit.cli import sockkit
from sockkit.commands.connect import ConnectPlan
from sockkit.commands.connect import run as connect
from sockkit.errors import Exit, UsageError
from sockkit.events import Closed, Env, Event, Interest, Lost, Retrying
from sockkit.retry import JITTER, SHORTEST, Patience, Policy, passing
from sockkit.tls import TlsError, Truncated
from tests.harness import (
    TIMEOUT,
    Process,
    Server,
    is_idle,
    listener,
    needs_linux,
    needs_unix,
    on_terminal,
    receive_all,
    run,
)
from tests.peers import Task, accepted, eventually, exactly, free_port, port_of, reset, story_of, with_names
from tests.test_json import VALIDATOR

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes as POSIX has them")
QUICK = ("--retry-delay", "0.05")
SECOND = rb'"retrying".*"attempt": 2,'


@contextmanager
def held() -> Iterator[socket.socket]:
    """A port that nobody listens on, and that nobody else gets: who connects is refused until ``listen`` is called."""
    with socket.socket() as sock:
        sock.settimeout(TIMEOUT)
        sock.bind(("127.0.0.1", 0))
        yield sock


def checked(line: str) -> dict[str, Any]:
    """A line of JSON that is what the schema says."""
    event: dict[str, Any] = json.loads(line)
    VALIDATOR.validate(event)
    return event


def attempts_of(result_err: bytes) -> list[dict[str, Any]]:
    return [event for event in story_of(result_err) if event["event"] == "retrying"]


def stuck(sock: socket.socket, client: Process) -> None:
    """Wait until a client cannot send what it has, since nothing is read here: it sleeps although there is more on its stdin."""
    before = 0

    def asleep() -> bool:
        nonlocal before
        before, last = unread(sock), before
        assert client.popen.stdin is not None
        return before == last > 0 and unread(client.popen.stdin) > 0 and is_idle(client.pid, 0.05)

    eventually(asleep)


def unread(file: socket.socket | IO[bytes]) -> int:
    """Bytes that wait to be read: of a socket, or of a pipe by either end."""
    import fcntl
    import termios

    return int.from_bytes(fcntl.ioctl(file, termios.FIONREAD, bytes(4)), sys.byteorder)


# ---- what is decided


@given(
    attempts=st.one_of(st.integers(1, 20), st.just(float("inf"))),
    first=st.floats(SHORTEST, 100),
    most=st.floats(SHORTEST, 100),
    chance=st.lists(st.floats(0, 1, exclude_max=True), min_size=30, max_size=30),
)
def test_waits_double_up_to_a_bound_and_are_as_many_as_asked_for(
    attempts: float, first: float, most: float, chance: list[float]
) -> None:
    drawn = iter(chance)
    patience = Patience(Policy(attempts, None, first, most), 0.0, lambda: next(drawn))
    waits: list[float] = []
    while len(waits) < 25 and (wait := patience.next(0.0)) is not None:
        waits.append(wait)
    assert len(waits) == min(25, attempts - 1)
    for number, wait in enumerate(waits):
        base = min(first * 2**number, most)
        assert base * (1 - JITTER) <= wait <= base


@given(st.integers(0, 2**63 - 1))
def test_a_seed_repeats_the_waits(seed: int) -> None:
    import random

    one, other = (Patience(Policy(9), 5.0, random.Random(seed).random) for _ in range(2))
    assert [one.next(5.0) for _ in range(9)] == [other.next(5.0) for _ in range(9)]


@given(limit=st.floats(0.1, 1000), took=st.floats(0, 50), chance=st.floats(0, 1, exclude_max=True))
def test_with_a_limit_the_last_attempt_is_made_when_it_is_reached(limit: float, took: float, chance: float) -> None:
    now, count = 100.0, 0
    patience = Patience(Policy(float("inf"), limit, 0.1, 1.0), now, lambda: chance)
    while (wait := patience.next(now)) is not None:
        assert 0 < wait <= patience.left(now)  # type: ignore[operator]
        now += wait
        assert now <= 100 + limit + 1e-6
        now += took
        count += 1
        assert count < 2 * limit + 20
    assert now >= 100 + limit - 1e-6 and patience.left(now) == 0


def test_what_may_pass_and_what_does_not() -> None:
    for name in ("ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ENOENT", "EAGAIN", "ECONNRESET"):
        assert passing(OSError(getattr(errno, name), "")), name
    for name in ("EACCES", "EPERM", "EINVAL", "EAFNOSUPPORT", "ENOTDIR", "EADDRNOTAVAIL"):
        assert not passing(OSError(getattr(errno, name), "")), name
    assert passing(socket.gaierror(socket.EAI_AGAIN, "")) and not passing(socket.gaierror(socket.EAI_NONAME, ""))
    assert passing(socket.gaierror(socket.EAI_NONAME, ""), names=True)
    assert not passing(socket.gaierror(socket.EAI_FAMILY, ""), names=True)
    assert passing(Truncated()) and not passing(TlsError("certificate verify failed"))
    assert not passing(UnicodeError("label too long")) and not passing(OSError("AF_UNIX path too long"))


# ---- --retry


def test_a_port_that_opens_later(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)) * 500)
    with held() as sock, open(tmp_path / "in", "rb") as stdin:
        args = ("--retry", "9", *QUICK, "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args, stdin=stdin.fileno()) as client:
            client.wait_for(SECOND)
            assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0, "nothing is read before there is a connection"
            sock.listen()
            with accepted(sock) as peer:
                data = receive_all(peer)
                peer.sendall(data)
            result = client.finish()
    assert (result.status, result.out, data) == (0, bytes(range(256)) * 500, bytes(range(256)) * 500)
    tries = attempts_of(result.err)
    assert [event["attempt"] for event in tries] == list(range(2, 2 + len(tries)))
    assert {(event["attempts"], event["refused"][0]["error"]["name"]) for event in tries} == {(10, "ECONNREFUSED")}
    assert not [event for event in story_of(result.err) if event["event"] == "failed"], "it went well in the end"


def test_no_more_attempts_than_asked_for() -> None:
    with held() as sock:
        where = f"127.0.0.1:{port_of(sock)}"
        result = run("connect", "--retry", "2", *QUICK, where, "--seed", "1", "-v", stdin=b"never sent")
    assert (result.status, result.out) == (1, b"")
    assert result.said.count(f"connect(6, {where})") == 3
    assert "Connection refused [ECONNREFUSED 111]; attempt 2 of 3 in 0.0" in result.said
    assert "; attempt 3 of 3 in 0." in result.said
    assert f"connect to {where}: Connection refused [ECONNREFUSED" in result.said
    assert f"gave up on {where} after 3 attempts in " in result.said.splitlines()[-1]


def test_in_a_pipe_only_the_end_of_it_is_said() -> None:
    with held() as sock:
        result = run("connect", "--retry", "1", *QUICK, "127.0.0.1", port_of(sock))
    said = result.said.splitlines()
    assert result.status == 1 and len(said) == 3, said
    assert "ECONNREFUSED" in said[0] and "nobody listens" in said[1] and "gave up" in said[2]


def test_what_does_not_pass_by_waiting_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for args, name in (
        (("-n", "no-number", "80"), "EAI_NONAME"),
        (("-U", str(tmp_path / "file" / "socket")), "ENOTDIR"),
        (("127.0.0.1", "9", "-s", "192.0.2.1"), "EADDRNOTAVAIL"),
    ):
        result = run("connect", "--retry", "forever", *args, "-v")
        assert result.status == 1 and name in result.said, result.said
        assert "not tried again" in result.said and "attempt 2" not in result.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_at_once_and_stdin_is_as_it_was(number: int, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"kept")
    with held() as sock, open(tmp_path / "in", "rb") as stdin:
        args = ("--retry", "forever", "--retry-delay", "500", "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args, stdin=stdin.fileno()) as client:
            client.wait_for(SECOND)
            client.kill(number)
            result = client.finish()
        assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0
    assert result.status == -number
    assert attempts_of(result.err)[0]["attempts"] is None
    assert "interrupted while waiting for 127.0.0.1:" in story_of(result.err)[-1]["text"]
    assert "1 attempt in" in story_of(result.err)[-1]["text"] and "ECONNREFUSED" in story_of(result.err)[-1]["text"]


def test_whoever_reads_our_output_may_go_meanwhile() -> None:
    reading, writing = os.pipe()
    with held() as sock:
        args = ("--retry", "forever", "--retry-delay", "500", "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args, stdout=writing) as client:
            os.close(writing)
            client.wait_for(SECOND)
            os.close(reading)
            assert client.finish().status == -signal.SIGPIPE


def test_a_source_port_and_a_source_path_are_free_for_the_next_attempt(tmp_path: Path) -> None:
    with held() as sock:
        port = str(free_port())
        args = ("--retry", "9", *QUICK, "-p", port, "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args, stdin=subprocess.DEVNULL) as client:
            client.wait_for(SECOND)
            sock.listen()
            with accepted(sock) as peer:
                assert str(peer.getpeername()[1]) == port
            assert client.finish().status == 0
    path, mine = str(tmp_path / "there"), str(tmp_path / "mine")
    with Process("connect", "--wait-for", "20", "-U", path, "-s", mine, "--json", stdin=subprocess.DEVNULL) as client:
        client.wait_for(rb'"attempt": 3,')
        with listener(socket.AF_UNIX, socket.SOCK_STREAM, path) as sock, accepted(sock) as peer:
            assert peer.getpeername() == mine
        assert client.finish().status == 0
    assert not os.path.exists(mine)


@needs_linux
@pytest.mark.parametrize("sources", ["files dns", "files"])
def test_a_name_that_becomes_known(sources: str, tmp_path: Path) -> None:
    """Nobody answers at the name server (EAI_AGAIN); there is none (EAI_NONAME), which --wait-for waits for too."""
    prefix = with_names(tmp_path, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", "127.0.0.1 a\n", sources)
    how = ("--retry", "9", "--retry-delay", "0.3") if "dns" in sources else ("--wait-for", "20")
    with listener() as sock:
        with Process("connect", *how, "later.example", port_of(sock), "--json", prefix=prefix) as client:
            client.feed(b"hello")
            client.wait_for(SECOND)
            (tmp_path / "hosts").write_text("127.0.0.1 later.example\n")
            with accepted(sock) as peer:
                assert receive_all(peer) == b"hello"
            result = client.finish()
    first = attempts_of(result.err)[0]["refused"][0]
    assert result.status == 0 and first["operation"].startswith("look up later.example")
    assert first["error"]["errno"] == (socket.EAI_AGAIN if "dns" in sources else socket.EAI_NONAME)


# ---- --wait-for


def test_wait_for_a_port_as_scripts_do() -> None:
    with held() as sock:
        with Process("connect", "-z", "--wait-for", "20", "127.0.0.1", port_of(sock), stdin=subprocess.DEVNULL) as one:
            with Process("connect", "-z", "127.0.0.1", port_of(sock), "--wait-for", "--json") as other:
                other.wait_for(SECOND)
                assert other.popen.poll() is None and one.popen.poll() is None
                sock.listen()
                for _ in (one, other):
                    with accepted(sock):
                        pass
                result = one.finish()
                assert (result.status, result.out, result.err) == (0, b"", b"")
                assert other.finish().status == 0


@needs_unix
def test_wait_for_a_path_and_then_converse(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with Process("connect", "--wait-for=20", "-U", path, "--json") as client:
        client.wait_for(SECOND)
        with Server("-U", path, "--mode", "echo", free_port=False) as server:
            client.feed(b"hello")
            result = client.finish()
            server.stop()
    assert (result.status, result.out) == (0, b"hello")
    assert attempts_of(result.err)[0]["refused"][0]["error"]["name"] == "ENOENT"


@needs_unix
def test_wait_for_unix_datagrams_whose_connect_tells(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    args = ("connect", "-z", "-u", "-U", path, "--wait-for", "20", "--json")
    with Process(*args) as client:
        client.wait_for(SECOND)
        with listener(socket.AF_UNIX, socket.SOCK_DGRAM, path):
            assert client.finish().status == 0


def test_the_limit_of_the_wait_is_kept_and_it_is_no_busy_loop() -> None:
    with held() as sock:
        begun = time.monotonic()
        result = run("connect", "-z", "--wait-for", "1", "127.0.0.1", port_of(sock), "--json")
        took = time.monotonic() - begun
    assert result.status == 1 and 1 <= took < 15
    assert 2 <= len(attempts_of(result.err)) <= 8
    last = story_of(result.err)[-1]
    assert last["event"] == "failed" and last["error"]["name"] == "ECONNREFUSED" and "gave up" in last["operation"]


def test_a_program_begins_when_somebody_is_there(tmp_path: Path) -> None:
    with held() as sock:
        args = ("--retry", "9", *QUICK, "--sh-exec", f"echo run >> {tmp_path}/runs; cat", "127.0.0.1", port_of(sock))
        with Process("connect", *args, "--json") as client:
            client.wait_for(SECOND)
            sock.listen()
            with accepted(sock) as peer:
                peer.sendall(b"back")
                peer.shutdown(socket.SHUT_WR)
                assert receive_all(peer) == b"back"
            assert client.finish().status == 0
    assert (tmp_path / "runs").read_text() == "run\n"


# ---- --reconnect


def test_a_server_that_ends_in_order_and_comes_back(tmp_path: Path) -> None:
    """Nothing is lost: all that was sent had been read."""
    record = str(tmp_path / "all.ndjson")
    (tmp_path / "all.3.sent.raw").write_bytes(b"somebody else's")
    with listener() as sock:
        args = (
            "--reconnect",
            *QUICK,
            "127.0.0.1",
            port_of(sock),
            "--json",
            "-o",
            record,
            "-o",
            str(tmp_path / "all.raw"),
        )
        with Process("connect", *args) as client:
            for number in range(3):
                client.send(b"line %d\n" % number)
                with accepted(sock) as peer:
                    assert exactly(peer, 7) == b"line %d\n" % number
                    peer.sendall(b"answer %d\n" % number)
                client.wait_for(rb'"event": "closed", .*"session": %d' % (number + 1))
            client.send(b"last")
            client.close_stdin()
            with accepted(sock) as peer:
                assert receive_all(peer) == b"last"
                peer.sendall(b"bye")
            result = client.finish()
    assert (result.status, result.out) == (1, b"answer 0\nanswer 1\nanswer 2\nbye")
    (failed,) = (event for event in story_of(result.err) if event["event"] == "failed")
    assert failed["operation"].endswith("all.raw") and failed["error"]["name"] == "EEXIST", (
        "the one reason for status 1"
    )
    assert (tmp_path / "all.sent.raw").read_bytes() == b"line 0\n"
    assert (tmp_path / "all.2.received.raw").read_bytes() == b"answer 1\n"
    assert (tmp_path / "all.3.sent.raw").read_bytes() == b"somebody else's"
    recorded = [checked(line) for line in Path(record).read_text().splitlines()]
    opened = [event["session"] for event in recorded if event["event"] == "opened"]
    closed = [(event["session"], event["sent"]) for event in recorded if event["event"] == "closed"]
    assert opened == [1, 2, 3, 4] and closed == [(1, 7), (2, 7), (3, 7), (4, 4)]
    assert all(event["refused"] == [] for event in recorded if event["event"] == "retrying" and event["attempt"] == 1)


@needs_linux
def test_a_server_that_is_cut_off_in_the_middle_each_byte_is_accounted_for() -> None:
    data = os.urandom(30_000_000)
    with listener() as sock:
        with Process("connect", "--reconnect", *QUICK, "127.0.0.1", port_of(sock), "--json") as client:
            client.feed(data)
            with sock.accept()[0] as peer:
                peer.settimeout(TIMEOUT)
                read = exactly(peer, 1_000_000)
                stuck(peer, client)
                reset(peer)
            with accepted(sock) as peer:
                rest = receive_all(peer)
                peer.sendall(b"done")
            result = client.finish()
    events = story_of(result.err)
    sent = [event["sent"] for event in events if event["event"] == "closed"]
    lost = sum(event["size"] for event in events if event["event"] == "lost")
    assert read == data[:1_000_000] and result.out == b"done"
    assert rest == data[sent[0] :], "what the kernel had not taken goes to the next one, in order, once"
    assert sum(sent) == len(data)
    assert lost and 1_000_000 <= sent[0] - lost <= sent[0], "acknowledged is what was read, and what its kernel had"
    assert result.status == 1, "bytes were lost, and it was said how many"


@needs_linux
def test_a_peer_that_ends_but_does_not_read_is_given_a_moment_for_what_the_kernel_holds() -> None:
    data = os.urandom(30_000_000)
    with listener() as sock:
        args = ("--reconnect", *QUICK, "--after-end", "0.3", "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args) as client:
            client.feed(data)
            with sock.accept()[0] as peer:
                stuck(peer, client)
                peer.shutdown(socket.SHUT_WR)
                with accepted(sock) as second:
                    rest = receive_all(second)
            result = client.finish()
    events = story_of(result.err)
    sent = [event["sent"] for event in events if event["event"] == "closed"]
    lost = [event["why"] for event in events if event["event"] == "lost"]
    assert result.status == 1 and rest == data[sent[0] :] and sum(sent) == len(data)
    assert len(lost) == 1 and "never acknowledged" in lost[0]


@needs_unix
def test_a_unix_peer_that_had_not_read_all(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with listener(socket.AF_UNIX, socket.SOCK_STREAM, path) as sock:
        with Process("connect", "-U", path, "--reconnect", *QUICK, "--json") as client:
            client.send(b"read unread")
            with accepted(sock) as peer:
                assert exactly(peer, 4) == b"read"
            client.send(b"next")
            client.close_stdin()
            with accepted(sock) as peer:
                assert receive_all(peer) == b"next"
            result = client.finish()
    assert result.status == 1
    assert [event["why"] for event in story_of(result.err) if event["event"] == "lost"] == [
        "the peer ended without reading all that was sent"
    ]


@needs_linux
def test_what_nobody_took_in_the_end_is_said_too() -> None:
    data = os.urandom(30_000_000)
    with listener() as sock:
        args = ("--reconnect", "--retry", "1", *QUICK, "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args) as client:
            client.feed(data)
            peer = sock.accept()[0]
            stuck(peer, client)
            sock.close()
            reset(peer)
            result = client.finish()
    events = story_of(result.err)
    assert result.status == 1
    assert [event["attempts"] for event in events if event["event"] == "retrying"] == [1]
    lost = {event["why"]: event["size"] for event in events if event["event"] == "lost"}
    assert len(lost) == 2 and 0 < lost["read from stdin, and there was no further connection to take it"] <= 256 * 1024
    gave_up = [event for event in events if event["event"] == "failed" and "gave up" in event["operation"]]
    assert gave_up and "1 attempt in" in gave_up[0]["operation"]


def test_a_peer_that_always_ends_at_once_is_not_asked_without_end() -> None:
    with listener() as sock:
        args = ("--reconnect", "--retry", "3", *QUICK, "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args) as client:
            for _ in range(4):
                with accepted(sock):
                    pass
            result = client.finish()
    waits = [event["delay"] for event in attempts_of(result.err)]
    assert result.status == 1 and len(waits) == 3 and waits[0] < waits[1] < waits[2]


def test_a_connection_that_lived_begins_the_count_anew() -> None:
    """The clock jumps by a minute while the second connection lives."""
    jump = [0.0]
    events: list[Event] = []

    def clock() -> float:
        return time.monotonic() + jump[0]

    reading, writing = os.pipe()
    with listener() as sock, open(os.devnull, "wb") as out:
        plan = ConnectPlan(
            address=("127.0.0.1", port_of(sock)), reconnect=True, retry=2, retry_delay=0.05, retry_max_delay=2.0
        )

        def serve() -> None:
            for number in range(4):
                with accepted(sock) as peer:
                    if number == 1:
                        jump[0] = 60.0
                    if number == 3:
                        os.close(writing)
                        assert receive_all(peer) == b""

        server = Task(serve)
        env = Env(reading, out.fileno(), events.append, Interest.STATE, clock)
        assert connect(plan, env) is Exit.OK
        server.get()
        os.close(reading)
    assert [event.attempt for event in events if isinstance(event, Retrying)] == [1, 1, 2]
    assert len([event for event in events if isinstance(event, Closed)]) == 4
    assert not [event for event in events if isinstance(event, Lost)]


def test_the_first_connection_is_tried_once_unless_more_is_asked_for() -> None:
    with held() as sock:
        result = run("connect", "--reconnect", "127.0.0.1", port_of(sock))
    assert result.status == 1 and "ECONNREFUSED" in result.said and "gave up" not in result.said


def test_after_the_end_of_stdin_nobody_is_asked_again() -> None:
    with listener() as sock:
        with Process("connect", "--reconnect", *QUICK, "127.0.0.1", port_of(sock), stdin=subprocess.DEVNULL) as client:
            with accepted(sock) as peer:
                assert receive_all(peer) == b""
                peer.sendall(b"answer")
            result = client.finish()
    assert (result.status, result.out, result.err) == (0, b"answer", b"")


def test_who_only_receives_follows_a_server_whatever_becomes_of_stdin() -> None:
    with listener() as sock:
        args = ("--reconnect", "--recv-only", *QUICK, "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args, stdin=subprocess.DEVNULL) as client:
            for number in range(3):
                with accepted(sock) as peer:
                    peer.sendall(b"part %d\n" % number)
            client.wait_for(rb'"closed", .*"session": 3')
            result = client.stop()
    assert result.status == -signal.SIGTERM and result.out == b"part 0\npart 1\npart 2\n"


def test_a_text_is_sent_once_and_not_to_each_connection() -> None:
    with listener() as sock:
        args = ("--reconnect", "--send", "one", "--send", "two", "--line-delay", "1", *QUICK)
        with Process("connect", *args, "127.0.0.1", port_of(sock), "--json") as client:
            with accepted(sock) as peer:
                assert exactly(peer, 3) == b"one"
            with accepted(sock) as peer:
                assert receive_all(peer) == b"two"
            assert client.finish().status == 0


@needs_linux
def test_who_reaches_itself_has_reached_nobody() -> None:
    """Possible on Linux, where a port is asked that nobody has but who asks."""
    port = str(free_port())
    result = run("connect", "--retry", "1", *QUICK, "-p", port, "127.0.0.1", port, "-v")
    assert result.status == 1 and result.out == b""
    assert "; attempt 2 of 2" in result.said and "it connected to itself" in result.said


@needs_linux
@pytest.mark.parametrize("how", [pytest.param("--duration", marks=pytest.mark.once), "SIGTERM"])
def test_who_is_told_to_end_between_two_connections_says_what_nobody_takes(how: str) -> None:
    data = os.urandom(30_000_000)
    with listener() as sock:
        limit = ("--duration", "4") if how == "--duration" else ()
        args = ("--reconnect", "--retry-delay", "100", "--retry-max-delay", "100", *limit)
        with Process("connect", *args, "127.0.0.1", port_of(sock), "--json") as client:
            client.feed(data)
            peer = sock.accept()[0]
            stuck(peer, client)
            reset(peer)
            client.wait_for(rb'"retrying"')
            result = client.finish() if limit else client.stop()
    lost = {event["why"] for event in story_of(result.err) if event["event"] == "lost"}
    assert result.status == (1 if limit else -signal.SIGTERM)
    assert "read from stdin, and there was no further connection to take it" in lost and len(lost) == 2


def test_lines_end_as_asked_across_connections() -> None:
    data = b"one\n" * 5_000_000
    with listener() as sock:
        with Process("connect", "--reconnect", "-C", *QUICK, "127.0.0.1", port_of(sock), "--json") as client:
            client.feed(data)
            with sock.accept()[0] as peer:
                exactly(peer, 10_000)
                reset(peer)
            with accepted(sock) as peer:
                rest = receive_all(peer)
            result = client.finish()
    sent = [event["sent"] for event in story_of(result.err) if event["event"] == "closed"]
    whole = data.replace(b"\n", b"\r\n")
    assert rest == whole[sent[0] :] and sum(sent) == len(whole)


# ---- with TLS


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


def secured(authority: trustme.CA, sock: socket.socket, name: str = "localhost") -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    connection = sock.accept()[0]
    connection.settimeout(TIMEOUT)
    return context.wrap_socket(connection, server_side=True)


def test_a_handshake_that_is_cut_is_tried_again_and_each_connection_has_its_own(
    authority: trustme.CA, tmp_path: Path
) -> None:
    ca = ("--tls", "--ca", str(tmp_path / "ca.pem"), "--server-name", "localhost")
    with listener() as sock:
        args = ("--reconnect", "--retry", "5", *QUICK, *ca, "127.0.0.1", port_of(sock), "--json")
        with Process("connect", *args) as client:
            client.send(b"first")
            with accepted(sock):
                pass
            with secured(authority, sock) as peer:
                assert peer.recv(100) == b"first"
                peer.sendall(b"one")
                peer.unwrap()
            client.wait_for(rb'"closed", .*"session": 2')
            client.send(b"second")
            client.close_stdin()
            with secured(authority, sock) as peer:
                assert peer.recv(100) == b"second" and peer.recv(100) == b""
                peer.sendall(b"two")
                peer.unwrap()
            result = client.finish()
    events = story_of(result.err)
    assert (result.status, result.out) == (0, b"onetwo")
    assert [event["session"] for event in events if event["event"] == "handshake"] == [2, 3]
    assert "TLS handshake" in attempts_of(result.err)[0]["refused"][0]["operation"]


def test_a_verification_that_fails_is_final(authority: trustme.CA) -> None:
    def serve() -> str:
        try:
            secured(authority, sock).close()
        except (ssl.SSLError, OSError) as error:
            return type(error).__name__
        return "nothing failed"

    with listener() as sock:
        server = Task(serve)
        args = ("--retry", "5", *QUICK, "--tls", "localhost", port_of(sock), "-4", "-v")
        result = run("connect", *args, stdin=b"secret")
        server.get()
    assert result.status == 1 and "certificate verify failed" in result.said
    assert "not tried again" in result.said and "attempt 2" not in result.said


@needs_linux
def test_over_tls_nothing_is_sent_twice_and_what_is_lost_is_said(authority: trustme.CA, tmp_path: Path) -> None:
    data = os.urandom(30_000_000)
    with listener() as sock:
        args = ("--reconnect", *QUICK, "--tls", "--ca", str(tmp_path / "ca.pem"), "--server-name", "localhost")
        with Process("connect", *args, "127.0.0.1", port_of(sock), "--json") as client:
            client.feed(data)
            peer = secured(authority, sock)
            first = b""
            while len(first) < 500_000:
                first += peer.recv(65536)
            stuck(peer, client)
            reset(peer)
            rest = bytearray()
            with secured(authority, sock) as peer:
                while part := peer.recv(65536):
                    rest += part
                peer.unwrap()
            result = client.finish()
    events = story_of(result.err)
    sent = [event["sent"] for event in events if event["event"] == "closed"]
    assert data.startswith(first) and bytes(rest) == data[sent[0] :] and sum(sent) == len(data)
    assert sent[0] >= len(first) and result.status == 1
    assert any("TLS records" in event["why"] for event in events if event["event"] == "lost")


# ---- through a proxy, and on a terminal


def test_a_proxy_that_is_not_there_yet_and_then_cannot_reach_the_target() -> None:
    with held() as sock:
        args = ("--retry", "9", *QUICK, "--proxy", f"socks5://127.0.0.1:{port_of(sock)}", "192.0.2.1", "80", "--json")
        with Process("connect", *args) as client:
            client.feed(b"hello")
            client.wait_for(SECOND)
            sock.listen()
            for reply in (b"\5\5", b"\5\0"):  # refused by its destination; connected
                with accepted(sock) as peer:
                    assert exactly(peer, 3) == b"\5\1\0"
                    peer.sendall(b"\5\0")
                    assert exactly(peer, 10) == b"\5\1\0\1\xc0\0\2\1\0\x50"
                    peer.sendall(reply + b"\0\1\0\0\0\0\0\0")
                    if reply == b"\5\0":
                        assert receive_all(peer) == b"hello"
                        peer.sendall(b"bye")
            result = client.finish()
    assert (result.status, result.out) == (0, b"bye")
    whys = [event["refused"][0] for event in attempts_of(result.err)]
    assert whys[0]["error"]["name"] == "ECONNREFUSED" and "refused" in whys[-1]["error"]["text"], whys[-1]


def test_on_a_terminal_each_attempt_is_a_line() -> None:
    with held() as sock:
        screen = on_terminal("connect", "--retry", "2", *QUICK, "127.0.0.1", port_of(sock))
    assert screen.status == 1
    assert b"attempt 2 of 3 in" in screen.shown and b"attempt 3 of 3 in" in screen.shown
    assert b"gave up on" in screen.shown


def test_what_is_typed_between_two_connections_goes_to_the_next() -> None:
    def serve() -> bytes:
        with accepted(sock) as peer:
            peer.sendall(b"welcome\n")
        with accepted(sock) as peer:
            return receive_all(peer)

    with listener() as sock:
        server = Task(serve)
        args = ("--reconnect", "--retry-delay", "1", "127.0.0.1", port_of(sock))
        screen = on_terminal("connect", *args, typed=b"while away\r\x04", until=rb"connection gone")
        assert server.get() == b"while away\n"
    assert screen.status == 0 and b"welcome" in screen.shown


# ---- what means nothing


@pytest.mark.parametrize(
    ("args", "option", "words"),
    [
        (("--retry", "x"), "--retry", "forever"),
        (("--retry", "-1"), "--retry", "no number of attempts"),
        (("--retry", "1", "--retry-delay", "0"), "--retry-delay", "at least 0.01"),
        (("--retry", "1", "--retry-delay", "2", "--retry-max-delay", "1"), "--retry-max-delay", "shorter"),
        (("--retry-delay", "1"), "--retry-delay", "no --retry N"),
        (("--retry-max-delay", "1"), "--retry-max-delay", "no --retry N"),
        (("--wait-for", "localhost", "1"), "--wait-for", "no time"),
        (("--wait-for", "0"), "--wait-for", "no time to wait"),
        (("--wait-for", "1", "--retry", "1"), "--wait-for", "give one"),
        (("--wait-for", "1", "--reconnect", "--retry-delay", "1"), "--retry-delay", "by itself"),
        (("--reconnect", "-z"), "--reconnect", "-z"),
        (("--reconnect", "--replay", "x.ndjson"), "--reconnect", "recording"),
        (("--reconnect", "--sh-exec", "cat"), "--reconnect", "one conversation"),
        (("--reconnect", "-u"), "--reconnect", "datagram"),
        (("--retry", "1", "-u"), "--retry", "datagram"),
        (("--wait-for", "1", "-u"), "--wait-for", "datagram"),
        (("--reconnect", "-U", "/x", "--type", "SEQPACKET"), "--reconnect", "messages"),
        (("--reconnect", "-u", "-U", "/x"), "--reconnect", "datagram"),
        (("--retry", "1", "--fileno", "0"), "--retry", "lent"),
        (("--wait-for=1", "--fileno", "0"), "--wait-for", "lent"),
        (("--reconnect", "--fileno", "0"), "--reconnect", "lent"),
        (("--seed", "1"), "--seed", "--fault"),
    ],
)
def test_what_cannot_be_is_refused_by_name(args: tuple[str, ...], option: str, words: str) -> None:
    typed = ["connect", *args]
    with pytest.raises(UsageError, match=re.escape(words)) as refused:
        sockkit.main(typed, prog_name="sockkit", standalone_mode=False, obj=typed)
    assert refused.value.option == option


def test_code_says_that_it_tries_once() -> None:
    result = run("connect", "--retry", "3", "127.0.0.1", "80", "--code")
    assert result.status == 0 and "# Not in this code: --retry" in result.text
