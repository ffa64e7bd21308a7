"""System calls through ctypes: what they return, and the errno of what they refuse."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable

import pytest

from sockkit import libc
from tests.harness import needs_linux, needs_root

pytestmark = needs_linux
LOOPBACK = struct.pack("=HH4s8x", socket.AF_INET, 0, bytes((127, 0, 0, 1)))


def test_a_descriptor_of_another_process_is_the_same_open_file() -> None:
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # until its parent is done
        os._exit(0)
    os.close(reading)
    try:
        pidfd = os.pidfd_open(child)
        try:
            got = libc.pidfd_getfd(pidfd, theirs.fileno())
            assert os.fstat(got).st_ino == os.fstat(theirs.fileno()).st_ino
            assert not os.get_inheritable(got)
            os.close(got)
            with pytest.raises(OSError) as refused:
                libc.pidfd_getfd(pidfd, 1_000_000)
            assert refused.value.errno == errno.EBADF
        finally:
            os.close(pidfd)
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        ours.close()
        theirs.close()


def test_a_descriptor_that_is_no_process() -> None:
    reading, writing = os.pipe()
    with pytest.raises(OSError) as refused:
        libc.pidfd_getfd(reading, 0)
    assert refused.value.errno == errno.EBADF
    os.close(reading)
    os.close(writing)


@needs_root
def test_into_our_own_network_namespace() -> None:
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    before = os.readlink("/proc/self/ns/net")
    libc.setns(fd, libc.CLONE_NEWNET)
    assert os.readlink("/proc/self/ns/net") == before
    os.close(fd)


def test_not_a_namespace() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(OSError) as refused:
        libc.setns(fd, libc.CLONE_NEWNET)
    assert refused.value.errno == errno.EINVAL
    os.close(fd)


def test_addresses_as_bytes() -> None:
    """The same calls as Python's own, of which what they say is known."""
    with socket.socket() as server, socket.socket() as client:
        libc.bind(server.fileno(), LOOPBACK)
        server.listen(1)
        address = libc.getsockname(server.fileno())
        assert (
            address[:2] == LOOPBACK[:2] and address[2:8] == struct.pack("!H", server.getsockname()[1]) + LOOPBACK[4:8]
        )
        libc.connect(client.fileno(), address)
        assert client.getpeername() == server.getsockname()
        assert libc.getpeername(client.fileno()) == address
        fd, peer = libc.accept(server.fileno())
        with socket.socket(fileno=fd) as accepted:
            assert not os.get_inheritable(fd)
            assert peer == libc.getsockname(client.fileno())
            assert accepted.getpeername() == client.getsockname()


def test_datagrams_with_addresses_as_bytes() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        for sock in one, two:
            libc.bind(sock.fileno(), LOOPBACK)
        assert libc.sendto(one.fileno(), memoryview(b"ping"), 0, libc.getsockname(two.fileno())) == 4
        buffer = memoryview(bytearray(b"........"))
        assert libc.recvfrom_into(two.fileno(), buffer, 0) == (4, libc.getsockname(one.fileno()))
        assert bytes(buffer) == b"ping...."
        with pytest.raises(BlockingIOError):
            libc.recvfrom_into(two.fileno(), buffer, socket.MSG_DONTWAIT)


@pytest.mark.parametrize("call", [libc.bind, libc.connect])
def test_refusals_keep_their_errno(call: Callable[[int, bytes], None]) -> None:
    with socket.socket() as sock, pytest.raises(OSError) as refused:
        call(sock.fileno(), b"\xff\xff")
    assert refused.value.errno == errno.EINVAL
    for name in ("accept", "getsockname", "getpeername"):
        with pytest.raises(OSError) as refused:
            getattr(libc, name)(-1)
        assert refused.value.errno == errno.EBADF
