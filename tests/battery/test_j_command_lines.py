"""Addresses and command lines that cannot be."""

from __future__ import annotations

import errno
import os
import socket
import sys

import pytest

from tests.harness import (
    TIMEOUT,
    Server,
    listener,
    needs_ipv6,
    needs_linux,
    run,
)
from tests.peers import (
    port_of,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")


def test_j10_a_port_that_is_in_use() -> None:
    with listener() as sock:
        result = run("serve", port_of(sock))
        assert result.status == 1
        assert result.said.startswith(
            f"sockkit: bind to 127.0.0.1:{port_of(sock)}: Address already in use [EADDRINUSE {errno.EADDRINUSE}]\n"
        ) or result.said.startswith(
            f"sockkit: listen on 127.0.0.1:{port_of(sock)}: Address already in use [EADDRINUSE {errno.EADDRINUSE}]\n"
        )
        assert len(result.said.splitlines()) == 2, "and what to do about it"


def test_j10_an_address_that_is_not_ours() -> None:
    result = run("serve", "203.0.113.77", "0")
    assert result.status == 1
    number = errno.EADDRNOTAVAIL
    assert result.said.startswith(f"sockkit: bind to 203.0.113.77:0: {os.strerror(number)} [EADDRNOTAVAIL {number}]\n")


@needs_ipv6
def test_dual_stack_tells_who_is_who() -> None:
    with Server("::") as server:
        server.wait_for(rb"listening on \[::\]:\d+ \(IPv6, and IPv4 as ::ffff:a\.b\.c\.d\)\n")
        with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as old:
            server.wait_for(rb"= #1 \[::ffff:127\.0\.0\.1\]:%d connected" % old.getsockname()[1])
        with socket.create_connection(("::1", server.port), timeout=TIMEOUT) as new:
            server.wait_for(rb"= #2 \[::1\]:%d connected" % new.getsockname()[1])


@needs_ipv6
def test_serve_6_is_for_ipv6_alone() -> None:
    with Server("-6", "::") as server:
        server.wait_for(rb"listening on \[::\]:\d+ \(IPv6 only\)\n")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        assert run("connect", "::1", str(server.port), stdin=b"x") == (0, b"x", b"")


@needs_ipv6
def test_serve_6_without_an_address_is_the_ipv6_loopback() -> None:
    with Server("-6") as server:
        assert server.address == f"[::1]:{server.port}"
        assert run("connect", "-6", str(server.port), stdin=b"x") == (0, b"x", b"")
        assert run("connect", f"[::1]:{server.port}", stdin=b"x") == (0, b"x", b"")


@needs_ipv6
@needs_linux
def test_j5_scope_ids() -> None:
    missing = run("connect", "-w", "2", "fe80::1", "9")
    assert missing.status == 1
    assert "connect to [fe80::1]:9: Invalid argument [EINVAL" in missing.said
    assert "add it: fe80::1%" in missing.said
    through_lo = run("connect", "-w", "2", "fe80::1%lo", "9")
    assert through_lo.status == 1
    assert through_lo.said.startswith("sockkit: connect to [fe80::1%lo]:9: ")
    for host, why in (("fe80::1%nosuch", "interfaces here: lo"), ("::1%lo", "only link-local addresses")):
        wrong = run("connect", host, "9")
        assert wrong.status == 2
        assert why in wrong.said
