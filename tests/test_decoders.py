"""Messages of protocols that are not text, as lines."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import struct
import subprocess
import tty
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit import names
from sockkit.decoders import ROWS, decoder
from tests.harness import Process, has_family, need, needs_linux, run

pytestmark = needs_linux

CAN, NETLINK, PACKET, BLUETOOTH, KEY, ALG = 29, 16, 17, 31, 15, 38
DGRAM, RAW, SEQPACKET = 2, 3, 5


def read(family: int, type: int, proto: int, message: bytes, received: bool = True) -> str:
    found = decoder(family, type, proto)
    assert found is not None
    return found(message, received)


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (struct.pack("=IB3x8s", 0x123, 4, b"\xde\xad\xbe\xef"), "CAN 123 [4] de ad be ef"),
        (struct.pack("=IB3x8s", 0x18DA00F1 | 1 << 31, 0, b""), "CAN 18DA00F1 extended [0]"),
        (struct.pack("=IB3x8s", 0x7FF | 1 << 30, 2, b""), "CAN 7FF remote request [2] 00 00"),
        (struct.pack("=IB3x8s", 0x20 | 1 << 29, 8, b"12345678"), "CAN 00000020 error [8] 31 32 33 34 35 36 37 38"),
        (struct.pack("=IBB2x64s", 0x5, 12, 5, b"x" * 12), f"CAN FD 005 bit rate switch [12] {'78 ' * 11}78"),
        (b"short", "too short or unknown: 73 68 6f 72 74"),
    ],
)
def test_can(frame: bytes, line: str) -> None:
    assert read(CAN, RAW, 1, frame) == line


def test_can_broadcast_manager() -> None:
    frame = struct.pack("=IB3x8s", 0x321, 4, b"tick")
    head = struct.pack("@IIIllllII", 1, 3, 0, 0, 0, 0, 20000, 0x321, 1)
    assert read(CAN, DGRAM, 2, head + frame) == (
        "TX_SETUP id 321 SETTIMER STARTTIMER every 0.02 s; CAN 321 [4] 74 69 63 6b"
    )


def test_netlink_control() -> None:
    error = struct.pack("=IHHIIi", 36, 2, 0, 7, 0, -1) + bytes(16)
    assert read(NETLINK, RAW, 0, error) == "ERROR EPERM: Operation not permitted (seq 7)"
    ack = struct.pack("=IHHIIi", 36, 2, 0, 7, 0, 0) + bytes(16)
    done = struct.pack("=IHHIIi", 20, 3, 2, 7, 0, 0)
    assert read(NETLINK, RAW, 0, ack + done) == "ACK (seq 7); DONE (seq 7)"
    dump = struct.pack("=IHHII", 20, 18, 0x301, 1, 0) + bytes(4)
    assert read(NETLINK, RAW, 0, dump, False) == "RTM_GETLINK all [REQUEST DUMP] (seq 1)"
    assert read(NETLINK, RAW, 16, dump, False) == "type 18, 4 bytes [REQUEST DUMP] (seq 1)"


def test_netlink_links_are_those_of_ip() -> None:
    """What the kernel answers, read by us and by iproute2."""
    need("ip")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.send(struct.pack("=IHHIIB3x", 20, 18, 0x301, 1, 0, 0))
        shown = ""
        while "DONE" not in shown:
            shown += read(NETLINK, RAW, 0, sock.recv(65536)) + "; "
    listed = subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout
    for link in json.loads(listed)[:4]:
        state = "up" if "UP" in link["flags"] else "down"
        assert f"RTM_NEWLINK {link['ifindex']}: {link['ifname']} mtu {link['mtu']} {state}" in shown


def test_netlink_addresses_and_routes() -> None:
    lo = struct.pack("=I", socket.if_nametoindex("lo"))
    address = struct.pack("=BBBBI", 2, 8, 0, 0, 1) + struct.pack("=HH4s", 8, 2, b"\x7f\0\0\1")
    message = struct.pack("=IHHII", 16 + len(address), 20, 0, 0, 0) + address
    assert read(NETLINK, RAW, 0, message) == "RTM_NEWADDR 127.0.0.1/8 dev lo"
    route = struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 0, 0, 1, 0) + struct.pack("=HH4s", 8, 1, b"\x0a\0\1\0")
    route += struct.pack("=HH4s", 8, 5, b"\x0a\0\0\1") + struct.pack("=HH4s", 8, 4, lo)
    message = struct.pack("=IHHII", 16 + len(route), 25, 0, 0, 0) + route
    assert read(NETLINK, RAW, 0, message) == "RTM_DELROUTE 10.0.1.0/24 via 10.0.0.1 dev lo"


ECHO = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"hi"
IPV4 = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 30, 0, 0, 64, 1, 0, b"\x7f\0\0\1", b"\x7f\0\0\2") + ECHO
UDP6 = struct.pack("!IHBB16s16s", 6 << 28, 10, 17, 5, bytes(15) + b"\1", bytes(15) + b"\2") + b"\0\x35\1\0\0\x0a\0\0hi"
ARP = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, b"\2" * 6, b"\x0a\0\0\1", bytes(6), b"\x0a\0\0\2")


@pytest.mark.parametrize(
    ("family", "type", "proto", "message", "received", "line"),
    [
        (2, RAW, 1, ECHO, False, "ICMP echo request id 7 seq 1, 2 bytes: hi"),
        (2, RAW, 1, IPV4, True, "IPv4 127.0.0.1 > 127.0.0.2 ttl 64 ICMP echo request id 7 seq 1, 2 bytes: hi"),
        (2, DGRAM, 1, ECHO, True, "ICMP echo request id 7 seq 1, 2 bytes: hi"),
        (10, RAW, 58, b"\x81" + ECHO[1:], True, "ICMPv6 echo reply id 7 seq 1, 2 bytes: hi"),
        (2, RAW, 253, b"\0\xff", False, "00 ff"),
        (PACKET, DGRAM, 0, UDP6, True, "IPv6 ::1 > ::2 hops 5 UDP 53 > 256, 10 bytes"),
        (
            *(PACKET, RAW, 0, b"\xff" * 6 + b"\2" * 6 + b"\x08\x06" + ARP, True),
            "02:02:02:02:02:02 > ff:ff:ff:ff:ff:ff ARP who has 10.0.0.2? tell 10.0.0.1",
        ),
        (
            *(PACKET, RAW, 0, bytes(12) + b"\x88\xb5ping", True),
            "00:00:00:00:00:00 > 00:00:00:00:00:00 802_EX1, 4 bytes: ping",
        ),
        (
            PACKET,
            RAW,
            0,
            bytes(12) + b"\x81\0\0\7\x08\0" + IPV4,
            True,
            f"{'00:' * 5}00 > {'00:' * 5}00 VLAN 7 IPv4 "
            "127.0.0.1 > 127.0.0.2 ttl 64 ICMP echo request id 7 seq 1, 2 bytes: hi",
        ),
        (ALG, SEQPACKET, 0, b"\xba\x78", True, "ba78"),
        (ALG, SEQPACKET, 0, b"abc", False, "abc"),
        (BLUETOOTH, RAW, 1, bytes((1, 0x01, 0x10, 0)), False, "HCI command 0x04|0x0001 [0]"),
        (BLUETOOTH, RAW, 1, b"\x04\x0e\2\1\2", True, "HCI event 0x0e [2] 01 02"),
        (BLUETOOTH, RAW, 1, b"\1\0\xff\xff\0\0", False, "mgmt command 0x0001"),
        (BLUETOOTH, RAW, 1, b"\1\0\1\0\2\0\x16\1", True, "mgmt event 0x0001 hci1 16 01"),
        (
            KEY,
            RAW,
            2,
            struct.pack("=BBBBHHII", 2, 7, 0, 3, 2, 0, 1, 9),
            True,
            "SADB_REGISTER for SA type 3, 16 bytes, seq 1 pid 9",
        ),
    ],
)
def test_packets(family: int, type: int, proto: int, message: bytes, received: bool, line: str) -> None:
    assert read(family, type, proto, message, received) == line


@pytest.mark.parametrize(("family", "type", "proto"), [(2, 1, 0), (2, DGRAM, 0), (1, DGRAM, 0), (10, 1, 6), (40, 1, 0)])
def test_what_is_shown_as_it_is(family: int, type: int, proto: int) -> None:
    assert decoder(family, type, proto) is None


@given(st.sampled_from(ROWS), st.binary(max_size=200), st.booleans())
def test_no_message_is_refused_or_acts_on_a_terminal(
    row: tuple[str, int | None, int | None, object], message: bytes, received: bool
) -> None:
    family = names.family_number(row[0])
    assert family is not None
    line = read(family, RAW if row[1] is None else row[1], 99 if row[2] is None else row[2], message, received)
    assert not {unicodedata.category(character) for character in line} & {"Cc", "Cs", "Zl", "Zp"}


DUMP = struct.pack("=IHHIIB3x", 20, 18, 0x301, 1, 0, 0)


def test_the_story_says_what_messages_mean() -> None:
    if not has_family("AF_NETLINK", socket.SOCK_RAW):
        pytest.skip("CANNOT: no AF_NETLINK here")
    result = run("connect", "--family", "NETLINK", "ROUTE", "-v", "--reply-wait", "0.3", stdin=DUMP)
    assert result.status == 0
    assert "#1 message of 20 bytes: RTM_GETLINK all [REQUEST DUMP] (seq 1)" in result.said
    assert "RTM_NEWLINK 1: lo mtu 65536 " in result.said
    first = struct.unpack_from("=IHHI", result.out)
    assert first[1:] == (16, 2, 1) and len(result.out) > first[0]


def test_json_has_the_meaning_and_the_payload() -> None:
    result = run(
        "connect", "--family", "NETLINK", "ROUTE", "--json", "--payload", "base64", "--reply-wait", "0.3", stdin=DUMP
    )
    found = [json.loads(line) for line in result.said.splitlines()]
    sent = next(row for row in found if row["event"] == "data")
    assert sent["meaning"] == "RTM_GETLINK all [REQUEST DUMP] (seq 1)"


@pytest.mark.parametrize("raw", [False, True])
def test_on_a_terminal_what_nobody_can_read_is_decoded(raw: bool) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    with Process("connect", "-q", "--family", "NETLINK", "ROUTE", *["--raw"] * raw, stdout=slave) as process:
        os.close(slave)
        process.send(DUMP)
        process.close_stdin()
        shown = b""
        while (b"\3\0\2\0" if raw else b"DONE (seq 1)\n") not in shown:
            shown += os.read(master, 65536)
        process.kill(signal.SIGTERM)
        process.popen.wait()
    os.close(master)
    assert (b"RTM_NEWLINK 1: lo mtu 65536" in shown) != raw
