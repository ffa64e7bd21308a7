"""Data over every family, here and in the kernel lab: docs/families.md has the table that this run writes."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import struct

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


def checksum(packet: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    return int(~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


@needs_linux
@needs_root
def test_ping_over_a_raw_socket() -> None:
    """The kernel answers; both packets are read in the story, and stdout has them as they came."""
    request = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"data"
    request = request[:2] + struct.pack("!H", checksum(request)) + request[4:]
    call = ("connect", "-v", "--type", "RAW", "--proto", "ICMP", "127.0.0.1", "--reply-wait", "0.3")
    result = run(*call, stdin=request)
    assert result.status == 0
    assert "> " in result.said and "message of 12 bytes: ICMP echo request id 7 seq 1, 4 bytes: data" in result.said
    assert "IPv4 127.0.0.1 > 127.0.0.1 ttl 64 ICMP echo reply id 7 seq 1, 4 bytes: data" in result.said
    assert result.out[:1] == b"E" and result.out[-12:-11] == b"\0" and result.out.endswith(b"data")


@pytest.mark.lab
def test_sctp_tells_its_streams_and_events() -> None:
    event = "SCTP_EVENT=assoc_id=0,type=0x8001,on=1"
    options = ("--set", "SCTP_RECVRCVINFO=on", "--set", event)
    kind = ("--type", "SEQPACKET", "--proto", "SCTP")
    with Server("-v", *kind, *options, "127.0.0.1", "0", free_port=False) as server:
        result = run("connect", *kind, server.address, "--reply-wait", "1", stdin=b"hello", timeout=3 * TIMEOUT)
        assert (result.status, result.out) == (0, b"hello")  # an event is no payload
        server.wait_for(rb"SCTP: association \d+ shut down", timeout=3 * TIMEOUT)
        said = server.stop().said
    assert re.search(r"= +[\d.]+ SCTP: association \d+ up, \d+ streams out, \d+ in\n", said)
    assert re.search(r"message of 5 bytes \(end of record, stream 0 number 0 TSN \d+\): hello\n", said)


@pytest.mark.lab
def test_can_frames_are_read_in_the_story() -> None:
    frame = struct.pack("=IB3x8s", 0x123, 4, b"\xde\xad\xbe\xef")
    with Server("-v", "--family", "CAN", "vcan0", free_port=False) as server:
        call = ("connect", "-v", "--family", "CAN", "vcan0", "--reply-wait", "1")
        result = run(*call, stdin=frame, timeout=3 * TIMEOUT)
        assert (result.status, result.out) == (0, frame)
        assert result.said.count("CAN 123 [4] de ad be ef") == 2  # what went out, and the echo
        said = server.stop().said
    assert "message of 16 bytes (sent by this host): CAN 123 [4] de ad be ef" in said


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
