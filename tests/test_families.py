"""Data over every family, here and in the kernel lab: docs/families.md has the table that this run writes."""

from __future__ import annotations

import hashlib
import signal
import socket

import pytest

from tests import lab
from tests.families import __main__ as families
from tests.families.rows import ROWS
from tests.families.stranger import CLIENTS
from tests.harness import TIMEOUT, Server, listener, needs_linux, needs_root, receive_all, run


def test_every_row_has_an_independent_peer() -> None:
    assert {row.name for row in ROWS} == set(CLIENTS)


@needs_linux
@pytest.mark.parametrize("observed", [[], ["-v"]], ids=["unobserved", "observed"])
def test_connections_where_python_has_no_address(observed: list[str]) -> None:
    """A TCP listener that Python takes for AF_SMC: its addresses are read as bytes, as those of a real one are."""
    with listener() as lent, socket.socket() as client:
        arguments = ["--family", "SMC", "--type", "STREAM", "--fileno", str(lent.fileno())]
        with Server(*arguments, *observed, free_port=False, pass_fds=[lent.fileno()]) as server:
            assert server.address == ":".join(map(str, lent.getsockname()))
            client.connect(lent.getsockname())
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"hello"
            server.wait_for(b"#1 %s:%d connected" % (b"127.0.0.1", client.getsockname()[1]))
            assert server.stop().status == -signal.SIGTERM


@needs_linux
@pytest.mark.parametrize("observed", [[], ["-v"]], ids=["unobserved", "observed"])
def test_datagrams_where_python_has_no_address(observed: list[str]) -> None:
    with listener(type=socket.SOCK_DGRAM) as lent, socket.socket(type=socket.SOCK_DGRAM) as client:
        arguments = ["--family", "NFC", "--type", "DGRAM", "--fileno", str(lent.fileno())]
        with Server(*arguments, *observed, free_port=False, pass_fds=[lent.fileno()]) as server:
            client.settimeout(TIMEOUT)
            for message in (b"one", b"", b"three"):
                client.sendto(message, lent.getsockname())
                assert client.recv(100) == message
            assert server.stop().status == -signal.SIGTERM


@needs_linux
def test_the_bytes_of_an_address_reach_the_kernel() -> None:
    """hex: for a family that needs none of it: whatever can be said by name can be said so too."""
    with Server() as server:
        address = f"hex:{server.port:04x}7f000001{'00' * 8}"
        result = run("connect", "--family", "INET", address, stdin=b"hello")
        assert result == (0, b"hello", b"")
    with Server("--family", "INET", f"hex:00007f000001{'00' * 8}", free_port=False) as server:
        with server.connect() as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"


@needs_linux
@needs_root
def test_an_echo_that_would_hear_itself() -> None:
    refused = run("serve", "--family", "PACKET", "lo,0x88b5")
    assert refused.status == 2
    assert refused.said.startswith("sockkit: --mode: an echo on lo hears itself, for ever: ")
    with Server("--type", "RAW", "--proto", "253", "127.0.0.3", free_port=False) as server:
        call = ("connect", "--type", "RAW", "--proto", "253", "-s", "127.0.0.3", "127.0.0.3", "--reply-wait", "0")
        for _ in range(2):
            assert run(*call, stdin=b"x").status == 0
        server.wait_for(b"(?s)(lost 21 bytes: an answer to this address would come back to us, for ever.*){2}")
        assert b"received 42 bytes, sent 0 bytes" in server.stop().err


@pytest.mark.lab
def test_the_kernel_calculates() -> None:
    """AF_ALG, judged by hashlib: a digest of stdin, however it comes."""
    for name, data in (("sha256", b"abc\n"), ("sha1", bytes(300_000)), ("md5", b"")):
        result = run("connect", "--family", "ALG", f"hash/{name}", stdin=data, timeout=3 * TIMEOUT)
        assert (result.status, result.out) == (0, hashlib.new(name, data).digest())
    result = run("connect", "--family", "ALG", "hash/nosuch", timeout=3 * TIMEOUT)
    assert result.status == 1 and result.said.startswith(
        "sockkit: bind to hash/nosuch: No such file or directory [ENOENT"
    )


@pytest.mark.once
@pytest.mark.timeout(1500)
def test_data_over_every_family() -> None:
    """Every row that this kernel has, and every row in the lab; the page shows that, and nothing else."""
    problem = lab.cannot()
    if problem is not None:
        pytest.skip(f"CANNOT: {problem}")
    host, guest = families.on_host(), families.in_lab()
    assert not [outcome for found in (host, guest) for outcome in found.values() if outcome.problem]
    assert len(guest) >= families.LEAST
    assert families.table(host, guest) == families.parts(families.PAGE.read_text())[1]
