"""What the kernel says beside a message, and groups that are joined and left."""

from __future__ import annotations

import re
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit.ancillary import ROWS, notification, words
from tests.harness import TIMEOUT, Process, Server, needs_ipv6, needs_linux, run

pytestmark = needs_linux

INET, CAN = 2, 29


@pytest.mark.parametrize(
    ("family", "flags", "control", "text"),
    [
        (INET, 0, [], None),
        (INET, 0x80, [], "end of record"),
        (INET, 0x88, [], "end of record, control data cut"),
        (CAN, 0x804, [], "sent by this host, sent by this socket"),
        (INET, 0, [(17, 104, struct.pack("=i", 1200))], "in pieces of 1200 bytes (GRO)"),
        (INET, 0, [(0, 2, struct.pack("=i", 64)), (0, 1, b"\x10")], "ttl 64, tos 0x10"),
        (INET, 0, [(0, 8, struct.pack("=i4s4s", 1, bytes(4), b"\xef\1\2\3"))], "to 239.1.2.3 on lo"),
        (10, 0, [(41, 50, struct.pack("=16si", b"\xff\2" + bytes(13) + b"\1", 1))], "to ff02::1 on lo"),
        (
            *(INET, 0x80, [(132, 3, struct.pack("=HHHxxIIIIi", 3, 5, 0, socket.htonl(46), 77, 0, 0, 1))]),
            "end of record, stream 3 number 5 protocol 46 TSN 77",
        ),
        (
            *(INET, 0, [(132, 1, struct.pack("=HHHxxIIIIIi", 3, 0, 1, 0, 0, 0, 78, 0, 1))]),
            "stream 3 unordered TSN 78",
        ),
        (INET, 0, [(9, 9, b"\1\2")], "control 9:9 0102"),
        (INET, 0, [(17, 104, b"\1")], "control 17:104 01"),
    ],
)
def test_words(family: int, flags: int, control: list[tuple[int, int, bytes]], text: str | None) -> None:
    assert words(family, flags, control) == text


def test_notifications() -> None:
    up = struct.pack("=HHIHHHHi", 0x8001, 0, 20, 0, 0, 10, 65535, 7)
    assert notification(up) == "SCTP: association 7 up, 10 streams out, 65535 in"
    assert notification(struct.pack("=HHIi", 0x8005, 0, 12, 7)) == "SCTP: shutdown by the peer"
    assert notification(b"") == "SCTP: event 0x0"


@given(st.sampled_from(sorted(ROWS)), st.binary(max_size=48))
def test_any_control_message_is_said_somehow(kind: tuple[int, int], data: bytes) -> None:
    said = words(INET, 0, [(*kind, data)])
    assert said is not None and said.isprintable()
    assert notification(data).isprintable()


def test_datagrams_that_the_kernel_joined_are_shown_and_go_back_as_they_came() -> None:
    """UDP_GRO and UDP_SEGMENT, udp(7)."""
    with Server("-u", "-v", "--set", "UDP_GRO=on") as server:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(("127.0.0.1", server.port))
            try:
                sock.setsockopt(17, 103, 300)  # UDP_SEGMENT
                sock.send(b"x" * 1000)
            except OSError as error:
                pytest.skip(f"CANNOT: no UDP_SEGMENT here: {error}")
            assert [len(sock.recv(2000)) for _ in range(4)] == [300, 300, 300, 100]
        said = server.stop().said
    assert re.search(r"message of 1000 bytes \(in pieces of 300 bytes \(GRO\)\): x", said)
    assert said.count("> ") == 4


def test_a_multicast_group_is_joined_and_left() -> None:
    arguments = ("-u", "-v", "--join", "239.1.2.3%lo", "--set", "IP_PKTINFO=on", "0.0.0.0", "0")
    with Server(*arguments, free_port=False) as server:
        server.wait_for(rb"= +[\d.]+ joined 239.1.2.3%lo\n")
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.bind(("127.0.0.1", 0))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            sock.sendto(b"hello", ("239.1.2.3", server.port))
            server.wait_for(rb"message of 5 bytes \(to 239.1.2.3 on lo\): hello")
            assert sock.recv(100) == b"hello"
        said = server.stop().said
    assert re.search(r"= +[\d.]+ left 239.1.2.3%lo\n", said)


def test_a_group_is_asked_and_each_answer_is_heard() -> None:
    """As SSDP and mDNS do: the answers come from the members' own addresses, which a connected socket would not hear."""
    with ExitStack() as stack:
        members = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2)]
        asked = members[0]
        asked.bind(("0.0.0.0", 0))
        asked.settimeout(TIMEOUT)
        group = ("239.1.2.4", asked.getsockname()[1])
        asked.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group[0]) + socket.inet_aton("127.0.0.1")
        )
        options = ("-u", "-v", "--reply-wait", "1", "--set", "IP_MULTICAST_IF=127.0.0.1")
        client = stack.enter_context(Process("connect", *options, group[0], str(group[1])))
        client.send(b"who?")
        client.close_stdin()
        question, there = asked.recvfrom(100)
        for number, member in enumerate(members):
            member.sendto(b"it is %d\n" % number, ("127.0.0.1", there[1]))
        result = client.finish()
    assert (result.status, question) == (0, b"who?")
    assert sorted(result.out.splitlines()) == [b"it is 0", b"it is 1"]
    assert f"connected (here: 0.0.0.0:{there[1]})" in result.said
    assert f"message of 8 bytes (from 127.0.0.1:{group[1]}): it is 0" in result.said
    assert re.search(r"message of 8 bytes \(from 127.0.0.1:\d+\): it is 1", result.said)


def test_a_group_is_no_code() -> None:
    result = run("connect", "-u", "239.1.2.3", "5000", "--code")
    said = "sockkit: --code: its socket is connected, and would not hear who answers a group\n"
    assert (result.status, result.said) == (2, said)


def test_a_group_that_would_not_be_heard() -> None:
    """By default this host alone is listened for, and a socket there hears no group: said, not waited for in vain."""
    result = run("serve", "-u", "--join", "239.1.2.3%lo", "5000")
    assert (result.status, result.said.splitlines()) == (
        2,
        [
            "sockkit: --join: what is sent to 239.1.2.3%lo does not reach a socket on 127.0.0.1:5000",
            "sockkit: type: sockkit serve -u --join 239.1.2.3%lo 0.0.0.0 5000",
        ],
    )
    with Server("-u", "--join", "239.1.2.3%lo", "239.1.2.3", "0", free_port=False) as server:
        server.stop()


@needs_ipv6
def test_a_multicast_group_of_ipv6() -> None:
    """Judged by the kernel's own list of memberships."""
    groups = Path("/proc/net/igmp6")
    with Server("-u", "-v", "--join", "ff02::4711%lo", "::", "0", free_port=False) as server:
        assert "lo              ff020000000000000000000000004711" in groups.read_text()
        said = server.stop().said
    assert "joined ff02::4711%lo" in said and "left ff02::4711%lo" in said
    assert "ff020000000000000000000000004711" not in groups.read_text()


@pytest.mark.parametrize(
    ("group", "status", "said"),
    [
        ("127.0.0.1", 2, "'127.0.0.1' is no multicast group"),
        ("239.1.2.3%nosuch", 2, "there is no interface 'nosuch' here"),
        ("ff02::1", 2, "ff02::1 is no group of AF_INET"),
        ("x", 2, "'x' is no multicast group"),
    ],
)
def test_what_cannot_be_joined(group: str, status: int, said: str) -> None:
    result = run("serve", "-u", "--join", group, "--port", "0")
    assert result.status == status
    assert said in result.said


def test_a_stream_joins_no_group() -> None:
    result = run("connect", "--join", "239.1.2.3", "127.0.0.1", "1")
    assert (result.status, result.said) == (2, "sockkit: --join: a multicast group is for datagrams: add -u\n")
