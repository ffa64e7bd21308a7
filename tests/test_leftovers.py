"""``serve``: what a client that never was one does to a single session, and datagrams that are passed on."""

from __future__ import annotations

import re
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import TIMEOUT, Server, needs_unix, receive_all
from tests.peers import free_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: signals as POSIX has them")


def context() -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


@pytest.mark.parametrize("args", [["--mode", "pipe"], ["--once"]], ids=" ".join)
@pytest.mark.parametrize("first", [b"GET / HTTP/1.0\r\n\r\n", b""], ids=["plain text", "a scanner"])
def test_a_failed_handshake_is_no_session_that_a_single_one_waits_for(args: list[str], first: bytes) -> None:
    with Server(*args, "--tls") as server:
        if "pipe" in args:
            server.feed(b"hello")
        with server.connect() as stranger:
            if first:
                stranger.sendall(first)
            else:
                stranger.shutdown(socket.SHUT_WR)
            receive_all(stranger)
        server.wait_for(rb"(?m)^sockkit: #1 warning: no session came of it: still listening\n")
        with server.connect() as plain, context().wrap_socket(plain) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
            client.unwrap()
        result = server.finish()
    assert result.status == 0
    assert result.out == (b"hello" if "pipe" in args else b"")
    assert "TLS handshake with 127.0.0.1" in result.said


# ---- datagrams passed on to a server


@contextmanager
def udp_server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.bind(("127.0.0.1", 0))
        yield sock


@contextmanager
def udp_client(server: Server) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(("127.0.0.1", server.port))
        yield sock


def relay(behind: str, *args: str, **kwargs: Any) -> Server:
    return Server("--mode", "relay", "-u", "--to", behind, *args, **kwargs)


def test_each_peer_gets_the_answers_to_its_own_datagrams() -> None:
    with (
        udp_server() as behind,
        relay(f"127.0.0.1:{behind.getsockname()[1]}", "-v") as server,
        udp_client(server) as one,
        udp_client(server) as two,
    ):
        one.send(b"from one")
        data, first = behind.recvfrom(100)
        assert data == b"from one"
        two.send(b"")
        data, second = behind.recvfrom(100)
        assert data == b"" and first != second, "each by a way of its own"
        behind.sendto(b"to two", second)
        behind.sendto(b"x" * 60_000, first)
        behind.sendto(b"", first)
        assert one.recv(70_000) == b"x" * 60_000 and one.recv(100) == b""
        assert two.recv(100) == b"to two"
        one.send(b"again")
        assert behind.recvfrom(100) == (b"again", first)
        server.wait_for(rb"#2 passed on to 127\.0\.0\.1:")
        result = server.stop(busy=True)
    assert "sockkit: " not in result.said and "x " in result.said
    assert re.search(r"#1 \S+ closed: received 13 bytes, sent 58\.6 KiB \(60000 bytes\)", result.said)


def test_a_peer_that_is_silent_is_over_and_may_come_again() -> None:
    with (
        udp_server() as behind,
        relay(f"127.0.0.1:{behind.getsockname()[1]}", "--idle-timeout", "1") as server,
        udp_client(server) as one,
    ):
        one.send(b"first")
        first = behind.recvfrom(100)[1]
        server.wait_for(rb"(?m)^x #1 \S+ closed: received 5 bytes, sent 0 bytes")
        server.settle()
        one.send(b"second")
        data, second = behind.recvfrom(100)
        assert data == b"second"
        behind.sendto(b"late", first)
        behind.sendto(b"right", second)
        assert one.recv(100) == b"right"
        server.stop()


def test_a_server_that_is_not_there_is_said_and_what_it_missed() -> None:
    address = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    with relay(address) as server, udp_client(server) as one:
        one.send(b"anybody?")
        server.wait_for(rb"(?m)^sockkit: #1 receive from " + address.encode() + rb": Connection refused")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as behind:
            behind.settimeout(TIMEOUT)
            behind.bind(("127.0.0.1", int(address.rpartition(":")[2])))
            one.send(b"now")
            data, peer = behind.recvfrom(100)
            assert data == b"now"
            behind.sendto(b"yes", peer)
            assert one.recv(100) == b"yes"
        server.stop()


@needs_unix
def test_from_udp_to_a_unix_socket_and_back(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as behind:
        behind.settimeout(TIMEOUT)
        behind.bind(path)
        with relay(path) as server, udp_client(server) as one:
            one.send(b"ping")
            data, peer = behind.recvfrom(100)
            assert data == b"ping"
            behind.sendto(b"pong", peer)
            assert one.recv(100) == b"pong"
            server.stop()


def test_datagrams_that_are_held_back_on_purpose_stay_with_their_peer() -> None:
    with Server("-u", "--fault", "reorder=100%") as server, udp_client(server) as one, udp_client(server) as two:
        one.send(b"one")
        two.send(b"two")
        assert one.recv(100) == b"one"
        assert two.recv(100) == b"two"
        server.stop()
    with (
        udp_server() as behind,
        relay(f"127.0.0.1:{behind.getsockname()[1]}", "--fault", "duplicate=100%") as server,
        udp_client(server) as one,
    ):
        one.send(b"twice")
        for _ in range(2):
            data, peer = behind.recvfrom(100)
            assert data == b"twice"
        behind.sendto(b"and back", peer)
        assert one.recv(100) == one.recv(100) == b"and back"
        server.stop()
