"""``serve``: what a client that never was one does to a single session, several sockets of a service manager, datagrams passed on."""

from __future__ import annotations

import socket
import ssl
import sys

import pytest

from tests.harness import Server, receive_all

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
