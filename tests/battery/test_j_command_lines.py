"""Addresses and command lines that cannot be."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

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
    exactly,
    pipe,
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


def test_j3_port_0_is_any_free_one_and_which_is_said() -> None:
    with Server("127.0.0.1", "0", free_port=False) as server:
        assert server.port > 0
        with server.connect() as client:
            client.sendall(b"x")
            assert exactly(client, 1) == b"x"
    result = run("connect", "127.0.0.1", "0")
    assert result.status == 2
    assert result.said.startswith("sockkit: PORT: port 0 is nobody's to connect to")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("", 2),
        ("x" * 64, (1, 2)),
        ("x" * 64 + ".test", (1, 2)),
        ("a..b", 2),
        (".", (1, 2)),
        ("\udcff", 2),
        ("[::1]", 2),
        ("no-such.invalid", 1),
        ("1.2.3.4.5", (1, 2)),
        ("0x7f.1.1.1.1", (1, 2)),
        ("::1::", 2),
        ("*", (1, 2)),
        ("127.0.0.1\n", (1, 2)),
    ],
    ids=ascii,
)
def test_j4_hosts_that_cannot_be(host: str, status: int | tuple[int, ...]) -> None:
    begun = time.monotonic()
    result = run("connect", "-n", host, "9")
    assert time.monotonic() - begun < 10
    assert result.status == status if isinstance(status, int) else result.status in status, result
    assert result.out == b""
    assert result.said.startswith("sockkit: ")


def test_j4_a_word_with_nul_never_gets_here() -> None:
    """execve(2) ends arguments at a NUL; what Python makes of '127.0.0.1\\0x' is nobody's address."""
    with pytest.raises(ValueError, match="null byte"):
        run("connect", "127.0.0.1\0x", "9")


@needs_linux
@pytest.mark.parametrize("kind", ["closed", "file", "pipe", "path only", "directory"])
@pytest.mark.parametrize("command", ["connect", "serve"])
def test_j7_descriptors_that_are_no_sockets(command: str, kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        fd = 99
        if kind == "pipe":
            fd = stack.enter_context(pipe())[0]
        elif kind != "closed":
            path = tmp_path if kind == "directory" else tmp_path / "file"
            flags = os.O_PATH if kind == "path only" else os.O_RDONLY
            (tmp_path / "file").write_bytes(b"precious")
            fd = os.open(path, flags)
            stack.callback(os.close, fd)
        (tmp_path / "stdin").write_bytes(b"not to be read")
        stdin = stack.enter_context((tmp_path / "stdin").open("rb"))
        result = run(command, "--fileno", str(fd), stdin=stdin.fileno(), pass_fds=() if fd == 99 else (fd,))
        assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0
    name = "EBADF" if kind in ("closed", "path only") else "ENOTSOCK"
    assert (result.status, result.out) == (1, b"")
    assert f"[{name} {getattr(errno, name)}]" in result.said.splitlines()[0]
