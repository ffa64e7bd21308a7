"""What misbehaves on purpose, what stands between two others, and the small services of the first RFCs."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import struct
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit import faults
from sockkit.errors import UsageError
from sockkit.services import SINCE_1900
from tests.harness import TIMEOUT, Server, is_idle, needs_unix, receive_all, run
from tests.peers import free_port

posix = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes as POSIX has them")
BYTES = random.Random(3).randbytes(3000)


# ---- the rows, and what chance decides


def test_every_row_is_a_field_and_parses_its_own_words() -> None:
    values = {"TIME": "200ms", "SIZE": "10k", "SHARE": "5%", "": ""}
    for row in faults.ROWS:
        text = f"{row.name}={values[row.value]}" if row.value else row.name
        found = faults.parse([text], None)
        assert found is not None and getattr(found, row.field), text
        again = faults.parse([faults.words(found)], None)
        assert again == found
    assert {row.field for row in faults.ROWS} | {"seed"} == set(faults.Faults._fields)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("foo", "no fault"),
        ("delay", "needs a value"),
        ("delay=", "no time"),
        ("delay=-1", "no time"),
        ("delay=nan", "no time"),
        ("rate=0", "no size"),
        ("chunk=0.5", "no size"),
        ("drop=101%", "no share"),
        ("drop=0", "no share"),
        ("reset=1", "no value"),
        ("", "no fault"),
        ("delay=1s,,", "no fault"),
    ],
)
def test_bad_faults_are_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as found:
        faults.parse([text], None)
    assert found.value.option == "--fault"


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6), share=st.floats(0.01, 1.0))
def test_what_is_spoilt_depends_on_its_place_alone(data: bytes, cuts: list[int], share: float) -> None:
    def spoil(pieces: list[bytes]) -> tuple[bytes, int]:
        counts: list[int] = []
        transform = faults.corrupter(share, random.Random(1), counts.append)
        return b"".join(map(transform, pieces)), sum(counts)

    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(edges)]
    whole, count = spoil([data])
    assert spoil(pieces) == (whole, count)
    assert sum(a != b for a, b in zip(data, whole, strict=True)) == count
    assert all((a ^ b).bit_count() <= 1 for a, b in zip(data, whole, strict=True))


@given(messages=st.lists(st.binary(max_size=5), max_size=30), seed=st.integers(0, 50))
def test_reordered_and_doubled_nothing_is_lost(messages: list[bytes], seed: int) -> None:
    asked = faults.Faults(duplicate=0.5, reorder=0.5, seed=seed)

    def play() -> tuple[list[bytes], list[str]]:
        told: list[str] = []
        fates = faults.Fates(asked, asked.random(1), lambda fault, size: told.append(fault))
        sent = [piece for message in messages for piece in fates.of(message)]
        rest = fates.rest()
        return sent + ([] if rest is None else [rest]), told

    sent, told = play()
    assert play() == (sent, told)
    left = list(sent)
    for message in messages:
        left.remove(message)
    doubled = told.count("duplicate")
    assert len(left) <= doubled


# ---- streams


def exchange(server: Server, data: bytes) -> bytes:
    with server.connect() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock)


@posix
def test_delay_and_pieces_change_when_not_what() -> None:
    with Server("--fault", "delay=150ms,chunk=7", "-v") as server:
        begun = time.monotonic()
        assert exchange(server, BYTES) == BYTES
        assert time.monotonic() - begun >= 0.15
        said = server.stop().said
    assert "fault: delay=0.15s, chunk=7" in said


@posix
def test_a_rate_is_kept() -> None:
    with Server("--fault", "rate=10k") as server:
        begun = time.monotonic()
        assert exchange(server, bytes(8000)) == bytes(8000)
        assert 0.5 <= time.monotonic() - begun < TIMEOUT / 2
        server.stop()


@posix
@pytest.mark.parametrize("reset", [False, True])
def test_close_after(reset: bool) -> None:
    with Server("--fault", "close-after=1k" + ",reset" * reset) as server:
        with server.connect() as sock:
            sock.sendall(BYTES)
            got = b""
            try:
                while part := sock.recv(4096):
                    got += part
                ended = "FIN"
            except ConnectionResetError:
                ended = "RST"
        # Closing with something unread is a reset too (RFC 2525): what was echoed so far is what was asked for.
        assert got == BYTES[:1024]
        assert ended == "RST" if reset else ended in ("FIN", "RST")
        server.stop()


@posix
def test_half_close_ends_our_direction_and_goes_on_reading() -> None:
    with Server("--fault", "half-close", "-v") as server:
        with server.connect() as sock:
            assert sock.recv(1) == b""
            sock.sendall(BYTES)
        said = server.stop().said
    assert "fault: half-close" in said
    assert f"received {len(BYTES)} bytes, sent 0 bytes" in said


@posix
def test_corrupt_is_the_same_for_the_same_seed() -> None:
    found = []
    for _ in range(2):
        with Server("--fault", "corrupt=10%", "--seed", "7") as server:
            found.append(exchange(server, BYTES))
            server.stop()
    assert found[0] == found[1] != BYTES
    assert len(found[0]) == len(BYTES)


@posix
def test_never_read_and_never_accept_leave_the_peer_waiting() -> None:
    for fault in ("never-read", "never-accept"):
        with Server("--fault", fault) as server:
            result = run("connect", "--idle-timeout", "0.3", str(server.port), stdin=b"hello")
            assert result.status == 1 and "idle timeout" in result.said
            server.stop(busy=True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("serve", "--fault", "drop=5%"), "drop is for datagrams"),
        (("serve", "-u", "--fault", "chunk=1"), "chunk is for streams"),
        (("connect", "--fault", "never-accept", "127.0.0.1", "1"), "never-accept is for serve"),
        (("serve", "--seed", "1"), "no --fault"),
        (("serve", "--mode", "relay"), "needs the address"),
        (("serve", "--to", "127.0.0.1:1"), "for --mode relay"),
        (("serve", "-u", "--mode", "relay", "--to", "127.0.0.1:1", "--once"), "no session that ends"),
    ],
)
def test_what_means_nothing_is_refused(args: tuple[str, ...], said: str) -> None:
    result = run(*args)
    assert result.status == 2
    assert said in result.said


@posix
def test_connect_misbehaves_too() -> None:
    with Server("--mode", "discard") as server:
        result = run("connect", "--fault", "close-after=5,reset", str(server.port), stdin=b"0123456789")
        assert result.status in (0, 1)
        closed = server.wait_for(rb"closed: received (\d+) bytes?")
        assert int(closed[1]) <= 5
        server.stop()


# ---- datagrams


def talk(server: Server, count: int) -> list[bytes]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", server.port))
        sock.settimeout(0.5)
        for number in range(count):
            sock.send(b"%d" % number)
        found = []
        while True:
            try:
                found.append(sock.recv(100))
            except TimeoutError:
                if sys.platform != "linux" or is_idle(server.pid, 0.05):
                    return found


@posix
def test_datagrams_are_dropped_doubled_and_reordered_as_the_seed_says() -> None:
    sent = [b"%d" % number for number in range(40)]
    seen = []
    for _ in range(2):
        with Server("-u", "--fault", "drop=30%,duplicate=30%", "--seed", "5", "-v") as server:
            seen.append(talk(server, 40))
            said = server.stop().said
        assert len(re.findall("fault: drop, ", said)) == len(set(sent) - set(seen[-1])) > 0
        assert len(seen[-1]) == len(set(seen[-1])) + len(re.findall("fault: duplicate, ", said))
    assert seen[0] == seen[1]
    with Server("-u", "--fault", "reorder") as server:
        assert talk(server, 5) == [b"1", b"0", b"3", b"2", b"4"]
        server.stop()


# ---- relay


@posix
@needs_unix
def test_between_tcp_and_unix_disturbed_and_whole(tmp_path: Path) -> None:
    data = random.Random(9).randbytes(60_000)
    path = str(tmp_path / "server")
    with Server("-U", path, free_port=False) as server:
        with Server("--mode", "relay", "--to", path, "--fault", "delay=1ms,chunk=1") as between:
            result = run("connect", str(between.port), stdin=data)
            assert result.status == 0
            assert hashlib.sha256(result.out).hexdigest() == hashlib.sha256(data).hexdigest()
            between.stop()
        server.stop()


@posix
def test_a_relay_passes_ends_on_and_waits_for_a_late_reply() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        with Server("--mode", "relay", "--to", f"127.0.0.1:{listening.getsockname()[1]}", "-v") as between:
            with between.connect() as client:
                client.sendall(b"question")
                client.shutdown(socket.SHUT_WR)
                server, _ = listening.accept()
                with server:
                    server.settimeout(TIMEOUT)
                    assert receive_all(server) == b"question"
                    time.sleep(1.3)  # longer than an idle input of ours would be waited for
                    server.sendall(b"late reply")
                assert receive_all(client) == b"late reply"
            said = between.stop().said
    assert re.search(r"closed: received 8 bytes, sent 10 bytes in [^;]*; the peer ended first$", said, re.M)


@posix
def test_large_flows_pass_a_relay_unseen() -> None:
    data = random.Random(2).randbytes(5_000_000)
    with Server() as server:
        with Server("--mode", "relay", "--to", f"127.0.0.1:{server.port}") as between:
            result = run("connect", str(between.port), stdin=data)
            assert (result.status, result.out) == (0, data)
            between.stop()
        server.stop()


@posix
def test_a_server_that_is_not_there_is_said_and_the_next_client_may_come() -> None:
    with Server("--mode", "relay", "--to", f"127.0.0.1:{free_port()}") as between:
        for _ in range(2):
            with between.connect() as client:
                try:
                    assert client.recv(1) == b""
                except ConnectionResetError:
                    pass
        said = between.stop().said
    assert said.count("ECONNREFUSED") == 2


# ---- services


@posix
@pytest.mark.parametrize("udp", [False, True])
def test_time_daytime_and_quote(udp: bool) -> None:
    def ask(mode: str) -> bytes:
        with Server("--mode", mode, *(["-u"] if udp else [])) as server:
            if udp:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.settimeout(TIMEOUT)
                    sock.sendto(b"", ("127.0.0.1", server.port))
                    found = sock.recv(1000)
            else:
                with server.connect() as sock:
                    found = receive_all(sock)
            server.stop()
            return found

    (seconds,) = struct.unpack("!I", ask("time"))
    assert abs(seconds - SINCE_1900 - time.time()) < 60
    assert re.fullmatch(rb"\w+, \w+ \d\d, \d{4} \d\d:\d\d:\d\d-UTC\r\n", ask("daytime"))
    quote = ask("qotd")
    assert quote.endswith(b"\r\n") and 0 < len(quote) <= 512


@posix
def test_chargen() -> None:
    with Server("--mode", "chargen") as server:
        with server.connect() as sock:
            got = b""
            while len(got) < 100 * 74:
                got += sock.recv(65536)
        lines = got.split(b"\r\n")[:96]
        assert all(len(line) == 72 for line in lines)
        assert all(lines[i + 1].startswith(lines[i][1:]) for i in range(94))
        assert lines[0] == lines[95]
        server.stop(busy=True)
    with Server("-u", "--mode", "chargen") as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.sendto(b"anything", ("127.0.0.1", server.port))
            assert len(sock.recv(2000)) <= 512
        server.stop()
