"""System calls through ctypes: what they return, and the errno of what they refuse."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from sockkit import libc
from tests.harness import needs_linux, needs_root

pytestmark = needs_linux


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
