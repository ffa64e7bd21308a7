"""The table: one row a family, type and protocol, with what both sides are told and what has to be there first."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

STREAM, DGRAM, RAW, RDM, SEQ, DCCP = 1, 2, 3, 4, 5, 6
WHOLE = 1 << 16
"""As a size: no messages, a stream."""
LINES = 0
"""As a size: each line is a message."""


class Row(NamedTuple):
    """One exchange.

    Attributes:
        family, type, proto: numbers, as the kernel has them.
        serve, connect: the arguments; ``{}`` in the second stands for the address that the server says.
        size: bytes of a message, ``LINES`` or ``WHOLE``.
        echo: the server answers; else it writes what it got to its stdout (``--mode pipe``).
        header: bytes that the kernel puts in front of each message that the server gets.
        message: makes one message of its number, where its form matters.
        setup: what has to be there first; raises where it cannot be.
        lent: makes the two sockets that are lent to both sides as descriptor 3 (``--fileno``).
        peer: what the independent peer is given, where that is not the payload.
    """

    name: str
    title: str
    family: int
    type: int
    proto: int
    serve: str
    connect: str
    size: int = WHOLE
    echo: bool = True
    header: int = 0
    message: Callable[[int], bytes] | None = None
    setup: Callable[[], None] | None = None
    lent: Callable[[], tuple[socket.socket, socket.socket]] | None = None
    lab: bool = False
    peer: Callable[[bytes], bytes] | None = None
    received: Callable[[bytes], bytes] | None = None
    """What the server's stdout holds for the payload, where that is not the payload."""

    @property
    def payload(self) -> bytes:
        """64 KiB, or a hundred messages. Never the same bytes twice in a row, and always the same in two runs."""
        noise = random.Random(self.name)
        if self.size == WHOLE:
            return noise.randbytes(WHOLE)
        if self.message is not None:
            return b"".join(map(self.message, range(100)))
        if self.size == LINES:
            return b"".join(b"%03d %s\n" % (i, noise.randbytes(20).hex().encode()) for i in range(100))
        return noise.randbytes(100 * self.size)


# ---- messages with a form


def text(number: int) -> bytes:
    return b"message %056d" % number


def ethernet(number: int) -> bytes:
    return b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x88\xb5" + b"%050d" % number


def can_frame(number: int) -> bytes:
    """struct can_frame: id, length, data."""
    return struct.pack("=IB3x8s", 0x123 if number % 2 else 0x18DA00F1 | 1 << 31, 8, b"%08d" % number)


def canfd_frame(number: int) -> bytes:
    """struct canfd_frame, with CANFD_FDF set, as it comes back."""
    return struct.pack("=IBB2x64s", 0x123, 64, 4, b"%064d" % number)


def bcm_frame(number: int) -> bytes:
    """What BCM takes: TX_SEND, which sends one frame at once."""
    frame = can_frame(number)
    return struct.pack("@IIIllllII", 4, 0, 0, 0, 0, 0, 0, struct.unpack_from("=I", frame)[0], 1) + frame


def bcm_sent(payload: bytes) -> bytes:
    return b"".join(payload[start + 56 : start + 72] for start in range(0, len(payload), 72))


def l2tp_message(number: int) -> bytes:
    """An L2TPv3 control message to connection 2: flags, length, connection, Ns, Nr."""
    return struct.pack("!HHIHH", 0xC803, 32, 2, 0, 0) + b"%020d" % number


def wpan_frame(number: int) -> bytes:
    """An IEEE 802.15.4 data frame to everybody, without a source."""
    return b"\x01\x08" + bytes((number,)) + b"\xff\xff\xff\xff" + b"%025d" % number


def ppp_frame(number: int) -> bytes:
    """PPP's LCP behind its protocol number."""
    return b"\xc0\x21%062d" % number


def wpan_payload(payload: bytes) -> bytes:
    """What a raw socket gets: the kernel has taken the header off."""
    return b"".join(payload[start + 7 : start + 32] for start in range(0, len(payload), 32))


def kcm_message(number: int) -> bytes:
    """Two bytes of length, as the program that is attached reads them."""
    return b"\0\x20%030d" % number


def atalk_message(number: int) -> bytes:
    return b"\1%031d" % number


# ---- what has to be there first


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def cable() -> None:
    """Two Ethernet devices joined by a cable, eth0 and eth1."""
    if not os.path.exists("/sys/class/net/eth0"):
        _run("ip", "link", "add", "eth0", "type", "veth")
        _run("ip", "link", "set", "veth0", "name", "eth1")
    for name in "eth0", "eth1":
        _run("ip", "link", "set", name, "up")


def ping_sockets() -> None:
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


def second_ipv6() -> None:
    _run("ip", "addr", "replace", "::2/128", "dev", "lo")
    time.sleep(0.1)


def phonet() -> None:
    """Give lo the Phonet address 0x10: RTM_NEWADDR with IFA_LOCAL."""
    socket.socket(35, DGRAM, 1).close()
    with socket.socket(16, RAW, 0) as route:
        body = struct.pack("=BBBBI", 35, 0, 0, 0, socket.if_nametoindex("lo")) + struct.pack("=HHB3x", 5, 2, 0x10)
        route.send(struct.pack("=IHHII", 16 + len(body), 20, 5, 1, 0) + body)
        code = -struct.unpack_from("=i", route.recv(1000), 16)[0]
        if code not in (0, 17):
            raise OSError(code, os.strerror(code))


def appletalk() -> None:
    """Give lo the AppleTalk address 0.2: SIOCSIFADDR."""
    with socket.socket(5, DGRAM) as sock:
        request = b"lo".ljust(16, b"\0") + struct.pack("=HBx", 5, 0) + struct.pack("!HB9x", 0, 2)
        fcntl.ioctl(sock, 0x8916, request)


def call(text: str) -> bytes:
    return bytes(ord(c) << 1 for c in text.ljust(6)) + b"\0"


def hardware_address(device: str, kind: int, address: bytes) -> None:
    with socket.socket(socket.AF_INET, DGRAM) as sock:
        request = device.encode().ljust(16, b"\0") + struct.pack("=H14s", kind, address)
        fcntl.ioctl(sock, 0x8924, request.ljust(40, b"\0"))  # SIOCSIFHWADDR
    _run("ip", "link", "set", device, "up")


_relays: list[int] = []


def radio() -> None:
    """Two Ethernet devices joined by a program, and AX.25 on both.

    On a cable within one processor the answers come before the kernel has noted the question, and AX.25 sends twice.
    """
    if not _relays:
        _run("modprobe", "tun")  # which makes /dev/net/tun
        ends = []
        for tap in b"tap0", b"tap1":
            ends.append(os.open("/dev/net/tun", os.O_RDWR))
            fcntl.ioctl(ends[-1], 0x400454CA, struct.pack("=16sH22x", tap, 0x1002))  # TUNSETIFF: IFF_TAP, IFF_NO_PI
        pid = os.fork()
        if pid == 0:
            while True:
                for end in select.select(ends, [], [])[0]:
                    frame = os.read(end, 2000)
                    try:
                        os.write(ends[end == ends[0]], frame)
                    except OSError:
                        pass  # the other one is not up
        _relays.append(pid)
        for end in ends:
            os.close(end)
    for name in "tap0", "tap1":
        _run("ip", "link", "set", name, "up")
    _run("modprobe", "bpqether")
    lines = [line.split() for line in Path("/proc/net/bpqether").read_text().splitlines()]
    devices = {line[1]: line[0] for line in lines if len(line) > 1}
    for name, sign in ("tap0", "LAB0"), ("tap1", "LAB1"):
        hardware_address(devices[name], 3, call(sign))


def netrom() -> None:
    _run("modprobe", "netrom")
    hardware_address("nr0", 0, call("LABN"))


def rose() -> None:
    _run("modprobe", "rose")
    hardware_address("rose0", 270, bytes.fromhex("2080123456"))


_btvirt: list[subprocess.Popen[bytes]] = []


def bluetooth() -> None:
    """Two emulated controllers, up and connectable."""
    if _btvirt:
        return
    _btvirt.append(subprocess.Popen(["btvirt", "-l2"], stdout=subprocess.DEVNULL))
    _run("modprobe", "rfcomm")
    with socket.socket(31, RAW, 1) as sock:
        for device in 0, 1:
            for _ in range(100):
                try:
                    fcntl.ioctl(sock, 0x400448C9, device)  # HCIDEVUP
                    break
                except OSError as error:
                    if error.errno == 114:  # EALREADY
                        break
                    time.sleep(0.1)
            fcntl.ioctl(sock, 0x400448DD, struct.pack("=HxxI", device, 2))  # HCISETSCAN
    time.sleep(0.5)


def kcm() -> tuple[socket.socket, socket.socket]:
    """Two KCM sockets at the ends of a TCP connection, with a BPF program that reads a message's length: r0 = htons(skb[0])."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(struct.pack("=BBhi", *row) for row in ((0xBF, 0x16, 0, 0), (0x28, 0, 0, 0), (0x95, 0, 0, 0)))
    program, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    fields = (1, 3, ctypes.addressof(program), ctypes.addressof(licence), 0, 0, 0, 0)
    attributes = ctypes.create_string_buffer(struct.pack("=IIQQIIQI", *fields), 128)
    bpf = libc.syscall(321, 5, attributes, 128)  # BPF_PROG_LOAD of a socket filter
    if bpf < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends = [socket.create_connection(listener.getsockname()), listener.accept()[0]]
    found = []
    for end in ends:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.append(socket.socket(41, DGRAM))
        fcntl.ioctl(found[-1], 0x89E0, struct.pack("=ii", end.fileno(), bpf))  # SIOCKCMATTACH
        end.close()
    os.close(bpf)
    return found[0], found[1]


def over() -> None:
    """End what the setups started."""
    for pid in _relays:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for process in _btvirt:
        process.terminate()
        process.wait()


def wpan() -> None:
    _run("modprobe", "mac802154_hwsim")
    for name in "wpan0", "wpan1":
        _run("ip", "link", "set", name, "up")


# ---- the table

IN4, IN6 = "127.0.0.1 0", "::1 0"

ROWS: tuple[Row, ...] = (
    Row("unix-stream", "Unix stream", 1, STREAM, 0, "@families-1", "{}"),
    Row("unix-dgram", "Unix datagram", 1, DGRAM, 0, "-u @families-2", "-u {}", LINES),
    Row("unix-seqpacket", "Unix seqpacket", 1, SEQ, 0, "--type SEQPACKET @families-3", "--type SEQPACKET {}", LINES),
    Row("tcp4", "TCP over IPv4", 2, STREAM, 6, IN4, "{}"),
    Row("tcp6", "TCP over IPv6", 10, STREAM, 6, IN6, "{}"),
    Row("udp4", "UDP over IPv4", 2, DGRAM, 17, f"-u {IN4}", "-u {}", LINES),
    Row("udp6", "UDP over IPv6", 10, DGRAM, 17, f"-u {IN6}", "-u {}", LINES),
    Row("udplite4", "UDP-Lite over IPv4", 2, DGRAM, 136, f"-u --proto UDPLITE {IN4}", "-u --proto UDPLITE {}", LINES),
    Row("udplite6", "UDP-Lite over IPv6", 10, DGRAM, 136, f"-u --proto UDPLITE {IN6}", "-u --proto UDPLITE {}", LINES),
    Row(
        "udplite-coverage",
        "UDP-Lite, 8 bytes covered",
        2,
        DGRAM,
        136,
        f"-u --proto UDPLITE --set UDPLITE_SEND_CSCOV=8 {IN4}",
        "-u --proto UDPLITE --set UDPLITE_SEND_CSCOV=8 {}",
        LINES,
    ),
    Row("mptcp4", "MPTCP over IPv4", 2, STREAM, 262, f"--proto MPTCP {IN4}", "--proto MPTCP {}"),
    Row("mptcp6", "MPTCP over IPv6", 10, STREAM, 262, f"--proto MPTCP {IN6}", "--proto MPTCP {}"),
    Row(
        "raw4",
        "raw IPv4, protocol 253",
        2,
        RAW,
        253,
        "--type RAW --proto 253 --mode pipe 127.0.0.2",
        "--type RAW --proto 253 --message-size 64 127.0.0.2",
        64,
        echo=False,
        header=20,
        message=text,
    ),
    Row(
        "raw6",
        "raw IPv6, protocol 253",
        10,
        RAW,
        253,
        "--type RAW --proto 253 ::2",
        "--type RAW --proto 253 --message-size 64 -s ::1 ::2",
        64,
        message=text,
        setup=second_ipv6,
    ),
    Row(
        "netlink",
        "NETLINK between programs",
        16,
        RAW,
        2,
        "--family NETLINK USERSOCK:4711",
        "--family NETLINK USERSOCK:4711",
        LINES,
    ),
    Row(
        "packet-raw",
        "PACKET, frames on lo",
        17,
        RAW,
        0,
        "--family PACKET --mode pipe lo,0x88b5",
        "--family PACKET --message-size 64 lo,0x88b5",
        64,
        echo=False,
        message=ethernet,
    ),
    Row(
        "packet-dgram",
        "PACKET without frame headers, on lo",
        17,
        DGRAM,
        0,
        "--family PACKET --type DGRAM --mode pipe lo,0x88b5",
        "--family PACKET --type DGRAM --message-size 64 lo,0x88b5",
        64,
        echo=False,
        message=text,
    ),
    Row(
        "vsock-stream", "VSOCK stream, loopback", 40, STREAM, 0, "--family VSOCK 5000", "--family VSOCK 5000", lab=True
    ),
    Row(
        "vsock-seqpacket",
        "VSOCK seqpacket, loopback",
        40,
        SEQ,
        0,
        "--family VSOCK --type SEQPACKET 5001",
        "--family VSOCK --type SEQPACKET 5001",
        LINES,
        lab=True,
    ),
    Row(
        "packet-veth",
        "PACKET, frames over a cable",
        17,
        RAW,
        0,
        "--family PACKET eth1,0x88b5",
        "--family PACKET --message-size 64 eth0,0x88b5",
        64,
        message=ethernet,
        setup=cable,
        lab=True,
    ),
    Row("sctp4", "SCTP one-to-one over IPv4", 2, STREAM, 132, f"--proto SCTP {IN4}", "--proto SCTP {}", lab=True),
    Row("sctp6", "SCTP one-to-one over IPv6", 10, STREAM, 132, f"--proto SCTP {IN6}", "--proto SCTP {}", lab=True),
    Row(
        "sctp-seqpacket",
        "SCTP one-to-many",
        2,
        SEQ,
        132,
        f"--type SEQPACKET --proto SCTP {IN4}",
        "--type SEQPACKET --proto SCTP {}",
        LINES,
        lab=True,
    ),
    Row(
        "dccp4",
        "DCCP over IPv4, service 42",
        2,
        DCCP,
        33,
        f"--type DCCP --proto DCCP --set DCCP_SOCKOPT_SERVICE=42 {IN4}",
        "--type DCCP --proto DCCP --set DCCP_SOCKOPT_SERVICE=42 {}",
        LINES,
        lab=True,
    ),
    Row(
        "dccp6",
        "DCCP over IPv6, service 42",
        10,
        DCCP,
        33,
        f"--type DCCP --proto DCCP --set DCCP_SOCKOPT_SERVICE=42 {IN6}",
        "--type DCCP --proto DCCP --set DCCP_SOCKOPT_SERVICE=42 {}",
        LINES,
        lab=True,
    ),
    Row(
        "can-fd",
        "CAN FD frames of 64 bytes",
        29,
        RAW,
        1,
        "--family CAN --set CAN_RAW_FD_FRAMES=1 vcan0",
        "--family CAN --set CAN_RAW_FD_FRAMES=1 --message-size 72 vcan0",
        72,
        message=canfd_frame,
        lab=True,
    ),
    Row(
        "l2tp",
        "L2TP over IP, its address in bytes",
        2,
        DGRAM,
        115,
        "-u --proto L2TP --family INET --mode pipe hex:00007f0000010200000000000000",
        "-u --proto L2TP --family INET --message-size 32 -s hex:00007f0000010900000000000000 hex:00007f0000010200000000000000",
        32,
        echo=False,
        message=l2tp_message,
        lab=True,
    ),
    Row(
        "can-raw", "CAN frames", 29, RAW, 1, "--family CAN vcan0", "--family CAN vcan0", 16, message=can_frame, lab=True
    ),
    Row(
        "can-bcm",
        "CAN broadcast manager to CAN frames",
        29,
        DGRAM,
        2,
        "--family CAN --mode pipe vcan0",
        "--family CAN --type DGRAM --proto BCM --message-size 72 vcan0",
        72,
        echo=False,
        message=bcm_frame,
        lab=True,
        peer=bcm_sent,
        received=bcm_sent,
    ),
    Row(
        "can-isotp",
        "CAN ISO-TP",
        29,
        DGRAM,
        6,
        "--family CAN vcan0,0x123,0x321",
        "--family CAN vcan0,0x321,0x123",
        LINES,
        lab=True,
    ),
    Row(
        "can-j1939",
        "CAN J1939",
        29,
        DGRAM,
        7,
        "--family CAN vcan0,-,-,0x30",
        "--family CAN -s vcan0,-,-,0x20 vcan0,-,0x12300,0x30",
        LINES,
        lab=True,
    ),
    Row("tipc-stream", "TIPC stream", 30, STREAM, 0, "--family TIPC 18888:17", "--family TIPC 18888:17", lab=True),
    Row(
        "tipc-seqpacket",
        "TIPC seqpacket",
        30,
        SEQ,
        0,
        "--family TIPC --type SEQPACKET 18889:0-99",
        "--family TIPC --type SEQPACKET 18889:17",
        LINES,
        lab=True,
    ),
    Row(
        "tipc-rdm",
        "TIPC reliable datagrams",
        30,
        RDM,
        0,
        "--family TIPC --type RDM 18890:17",
        "--family TIPC --type RDM 18890:17",
        LINES,
        lab=True,
    ),
    Row(
        "tipc-dgram",
        "TIPC datagrams",
        30,
        DGRAM,
        0,
        "--family TIPC --type DGRAM 18891:17",
        "--family TIPC --type DGRAM 18891:17",
        LINES,
        lab=True,
    ),
    Row(
        "rds",
        "RDS",
        21,
        SEQ,
        0,
        "--family RDS 127.0.0.1:4000",
        "--family RDS -s 127.0.0.1:4001 127.0.0.1:4000",
        LINES,
        lab=True,
    ),
    Row("qipcrtr", "QIPCRTR", 42, DGRAM, 0, "--family QIPCRTR 1:5000", "--family QIPCRTR 1:5000", LINES, lab=True),
    Row("smc", "SMC (falls back to TCP)", 43, STREAM, 0, "--family SMC 127.0.0.1:0", "--family SMC {}", lab=True),
    Row(
        "llc",
        "LLC datagrams over a cable",
        26,
        DGRAM,
        0,
        "--family LLC eth1,0x44",
        "--family LLC -s eth0,0x40 eth1,0x44",
        LINES,
        setup=cable,
        lab=True,
    ),
    Row(
        "pppoe",
        "PPPoE session over a cable",
        24,
        STREAM,
        0,
        "--family PPPOX eth1,1,eth0",
        "--family PPPOX --message-size 64 eth0,1,eth1",
        64,
        message=ppp_frame,
        setup=cable,
        lab=True,
    ),
    Row(
        "phonet",
        "PHONET datagrams",
        35,
        DGRAM,
        1,
        "--family PHONET 0x10,0x40,0x20",
        "--family PHONET -s 0x10,0,0 0x10,0x40,0x20",
        LINES,
        setup=phonet,
        lab=True,
    ),
    Row(
        "appletalk",
        "APPLETALK datagrams (DDP)",
        5,
        DGRAM,
        0,
        "--family APPLETALK 0.2:201",
        "--family APPLETALK --message-size 32 -s 0.2:200 0.2:201",
        32,
        message=atalk_message,
        setup=appletalk,
        lab=True,
    ),
    Row(
        "kcm",
        "KCM: messages over TCP, lent sockets",
        41,
        DGRAM,
        0,
        "--family KCM --type DGRAM --fileno 3",
        "--family KCM --type DGRAM --fileno 3 --message-size 32",
        32,
        message=kcm_message,
        lent=kcm,
        lab=True,
    ),
    Row(
        "ax25",
        "AX.25 over Ethernet (BPQ)",
        3,
        SEQ,
        0,
        "--family AX25 LAB1",
        "--family AX25 -s LAB0 LAB1",
        LINES,
        setup=radio,
        lab=True,
    ),
    Row(
        "netrom",
        "NET/ROM",
        6,
        SEQ,
        0,
        "--family NETROM LABN",
        "--family NETROM -s LABN LABN",
        LINES,
        setup=netrom,
        lab=True,
    ),
    Row(
        "rose",
        "ROSE",
        11,
        SEQ,
        0,
        "--family ROSE LABS,2080123456",
        "--family ROSE -s LABC,2080123456 LABS,2080123456",
        LINES,
        setup=rose,
        lab=True,
    ),
    Row(
        "l2cap",
        "Bluetooth L2CAP, virtual controllers",
        31,
        SEQ,
        0,
        "--family BLUETOOTH l2cap:00:AA:01:01:00:01,0x1001",
        "--family BLUETOOTH -s l2cap:00:AA:01:00:00:00,0 l2cap:00:AA:01:01:00:01,0x1001",
        LINES,
        setup=bluetooth,
        lab=True,
    ),
    Row(
        "rfcomm",
        "Bluetooth RFCOMM, virtual controllers",
        31,
        STREAM,
        3,
        "--family BLUETOOTH rfcomm:00:AA:01:01:00:01,5",
        "--family BLUETOOTH -s rfcomm:00:AA:01:00:00:00,0 rfcomm:00:AA:01:01:00:01,5",
        setup=bluetooth,
        lab=True,
    ),
    Row(
        "ieee802154",
        "IEEE 802.15.4 frames, simulated radios",
        36,
        RAW,
        0,
        "--family IEEE802154 --type RAW --mode pipe 0xffff,wpan1",
        "--family IEEE802154 --type RAW --message-size 32 0xffff,wpan0",
        32,
        echo=False,
        message=wpan_frame,
        setup=wpan,
        lab=True,
        received=wpan_payload,
    ),
)
