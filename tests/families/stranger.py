"""The independent peer: a client for each row of the table, which knows nothing of sockkit.

    python3 stranger.py NAME ADDRESS SIZE ANSWERED NEWLINE <payload >what-came-back

It is written from the man pages and the kernel's headers: Python's ``socket`` where that has an address for the family, the
C library by ctypes where not. It sends its input, as one stream or as the messages of the row, and writes what comes
back, up to as many bytes as it sent.
"""

# mypy: ignore-errors

import ctypes
import os
import select
import socket as s
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
PATIENCE = 20.0


def call(name, *arguments):
    result = getattr(LIBC, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def raw_bind(sock, address):
    call("bind", sock.fileno(), address, len(address))


def raw_connect(sock, address):
    call("connect", sock.fileno(), address, len(address))


def mac(device):
    with open(f"/sys/class/net/{device}/address") as file:
        return bytes.fromhex(file.read().strip().replace(":", ""))


def in4(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def in6(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def sockaddr_in(text):
    host, port = in4(text)
    return struct.pack("=H", s.AF_INET) + struct.pack("!H", port) + s.inet_aton(host) + bytes(8)


def sign(text):  # a callsign in an AX.25 address: letters shifted left by one
    return bytes(ord(c) << 1 for c in text.ljust(6)) + b"\0"


def ax25(family, text):  # struct sockaddr_ax25
    return struct.pack("=H7s3xi", family, sign(text), 0)


def ax25_by(text, device):  # struct full_sockaddr_ax25: a callsign of one's own, and the device's
    return struct.pack("=H7s3xi", 3, sign(text), 1) + sign(device) + bytes(49)


def rose(text):  # struct sockaddr_rose
    return struct.pack("=H5s7s2xi8x", 11, bytes.fromhex("2080123456"), sign(text), 0)


def phonet(device, item, resource):  # struct sockaddr_pn
    return struct.pack("=HBBB11x", 35, item, device, resource)


def appletalk(port):  # struct sockaddr_at
    return struct.pack("=HBx", 5, port) + struct.pack("!HB9x", 0, 2)


def llc(device, sap):  # struct sockaddr_llc
    return struct.pack("=HHBBBB6s2x", 26, 1, 0, 0, 0, sap, mac(device))


def pppoe(device, remote):  # struct sockaddr_pppox, packed
    return struct.pack("=HI2s6s16s", 24, 0, b"\0\1", mac(remote), device.encode())


def l2tp(connection):  # struct sockaddr_l2tpip
    return struct.pack("=HH4sI4x", s.AF_INET, 0, bytes((127, 0, 0, 1)), connection)


def made(family, kind, proto=0, *, bind=None, to=None, options=()):
    """A socket, bound and connected; addresses in bytes go by the C library."""
    sock = s.socket(family, kind, proto)
    for level, number, value in options:
        sock.setsockopt(level, number, value)
    if bind is not None:
        raw_bind(sock, bind) if isinstance(bind, bytes) and family != s.AF_UNIX else sock.bind(bind)
    if to is not None:
        raw_connect(sock, to) if isinstance(to, bytes) and family != s.AF_UNIX else sock.connect(to)
    return sock


def sending_to(sock, address):
    """Give an unconnected socket a ``send`` of its own."""

    class Sock:
        fileno, recv = sock.fileno, sock.recv

        def send(self, data):
            if isinstance(address, bytes):
                return call("sendto", sock.fileno(), data, len(data), 0, address, len(address))
            return sock.sendto(data, address)

    return Sock()


STREAM, DGRAM, RAW, RDM, SEQ, DCCP = 1, 2, 3, 4, 5, 6
SERVICE = ((269, 2, struct.pack("!I", 42)),)  # SOL_DCCP, DCCP_SOCKOPT_SERVICE
LOW = ((274, 4, struct.pack("=BB", 1, 0)),)  # SOL_BLUETOOTH, BT_SECURITY: low
BCM_HEAD = struct.Struct("@IIIllllII")  # struct bcm_msg_head: opcode, flags, count, two timevals, id, frames


def bcm(at):
    """TX_SEND of CAN_BCM: one frame at once."""
    sock = made(29, DGRAM, 2, to=("vcan0",))

    class Sock:
        fileno = sock.fileno

        def send(self, frame):
            head = BCM_HEAD.pack(4, 0, 0, 0, 0, 0, 0, struct.unpack_from("=I", frame)[0], 1)
            sock.send(head + frame)

    return Sock()


CLIENTS = {
    "unix-stream": lambda at: made(s.AF_UNIX, STREAM, to=b"\0" + at[1:].encode()),
    "unix-dgram": lambda at: made(s.AF_UNIX, DGRAM, bind="", to=b"\0" + at[1:].encode()),
    "unix-seqpacket": lambda at: made(s.AF_UNIX, SEQ, to=b"\0" + at[1:].encode()),
    "tcp4": lambda at: made(s.AF_INET, STREAM, to=in4(at)),
    "tcp6": lambda at: made(s.AF_INET6, STREAM, to=in6(at)),
    "udp4": lambda at: made(s.AF_INET, DGRAM, to=in4(at)),
    "udp6": lambda at: made(s.AF_INET6, DGRAM, to=in6(at)),
    "udplite4": lambda at: made(s.AF_INET, DGRAM, 136, to=in4(at)),
    "udplite6": lambda at: made(s.AF_INET6, DGRAM, 136, to=in6(at)),
    "udplite-coverage": lambda at: made(s.AF_INET, DGRAM, 136, to=in4(at), options=((136, 10, 8),)),
    "mptcp4": lambda at: made(s.AF_INET, STREAM, 262, to=in4(at)),
    "mptcp6": lambda at: made(s.AF_INET6, STREAM, 262, to=in6(at)),
    "raw4": lambda at: made(s.AF_INET, RAW, 253, to=("127.0.0.2", 0)),
    "raw6": lambda at: made(s.AF_INET6, RAW, 253, bind=("::1", 0), to=("::2", 0)),
    "netlink": lambda at: made(16, RAW, 2, to=(int(at), 0)),
    "packet-raw": lambda at: made(17, RAW, bind=("lo", 0x88B5)),
    "packet-dgram": lambda at: sending_to(made(17, DGRAM), ("lo", 0x88B5, 0, 0, bytes(6))),
    "packet-veth": lambda at: made(17, RAW, s.htons(0x88B5), bind=("eth0", 0x88B5)),
    "sctp4": lambda at: made(s.AF_INET, STREAM, 132, to=in4(at)),
    "sctp6": lambda at: made(s.AF_INET6, STREAM, 132, to=in6(at)),
    "sctp-seqpacket": lambda at: sending_to(made(s.AF_INET, SEQ, 132), in4(at)),
    "dccp4": lambda at: made(s.AF_INET, DCCP, 33, options=SERVICE, to=in4(at)),
    "dccp6": lambda at: made(s.AF_INET6, DCCP, 33, options=SERVICE, to=in6(at)),
    "can-fd": lambda at: made(29, RAW, 1, options=((101, 5, 1),), bind=("vcan0",)),  # SOL_CAN_RAW, CAN_RAW_FD_FRAMES
    "l2tp": lambda at: made(s.AF_INET, DGRAM, 115, bind=l2tp(9), to=l2tp(2)),
    "can-raw": lambda at: made(29, RAW, 1, bind=("vcan0",)),
    "can-bcm": bcm,
    "can-isotp": lambda at: made(29, DGRAM, 6, bind=("vcan0", 0x321, 0x123)),
    "can-j1939": lambda at: made(29, DGRAM, 7, bind=("vcan0", 0, 0x40000, 0x21), to=("vcan0", 0, 0x12300, 0x30)),
    "tipc-stream": lambda at: made(30, STREAM, to=(2, 18888, 17, 0)),
    "tipc-seqpacket": lambda at: made(30, SEQ, to=(2, 18889, 17, 0)),
    "tipc-rdm": lambda at: sending_to(made(30, RDM), (2, 18890, 17, 0)),
    "tipc-dgram": lambda at: sending_to(made(30, DGRAM), (2, 18891, 17, 0)),
    "vsock-stream": lambda at: made(40, STREAM, to=(1, int(at.partition(":")[2]))),
    "vsock-seqpacket": lambda at: made(40, SEQ, to=(1, int(at.partition(":")[2]))),
    "rds": lambda at: sending_to(made(21, SEQ, bind=("127.0.0.1", 4002)), ("127.0.0.1", 4000)),
    "qipcrtr": lambda at: made(42, DGRAM, to=(1, 5000)),
    "smc": lambda at: made(43, STREAM, to=sockaddr_in(at)),
    "llc": lambda at: sending_to(made(26, DGRAM, bind=llc("eth0", 0x48)), llc("eth1", 0x44)),
    "kcm": lambda at: s.socket(41, DGRAM, 0, 3),
    "pppoe": lambda at: made(24, STREAM, 0, to=pppoe("eth0", "eth1")),
    "phonet": lambda at: sending_to(made(35, DGRAM, 1, bind=phonet(0x10, 0, 0)), phonet(0x10, 0x40, 0x20)),
    "appletalk": lambda at: sending_to(made(5, DGRAM, bind=appletalk(202)), appletalk(201)),
    "ax25": lambda at: made(3, SEQ, bind=ax25_by("LABX", "LAB0"), to=ax25(3, "LAB1")),
    "netrom": lambda at: made(6, SEQ, bind=ax25(6, "LABN"), to=ax25(6, "LABN")),
    "rose": lambda at: made(11, SEQ, bind=rose("LABD"), to=rose("LABS")),
    "l2cap": lambda at: made(31, SEQ, 0, options=LOW, bind=(HCI[0], 0), to=(HCI[1], 0x1001)),
    "rfcomm": lambda at: made(31, STREAM, 3, options=LOW, bind=(HCI[0], 0), to=(HCI[1], 5)),
    "ieee802154": lambda at: made(36, RAW, options=((1, 25, b"wpan0\0"),)),  # SO_BINDTODEVICE
}
HCI = ("00:AA:01:00:00:00", "00:AA:01:01:00:01")
"""The addresses that BlueZ's btvirt gives to its first two controllers."""


def parts(payload, size):
    """Lines where size is 0, else pieces of that many bytes."""
    if size == 0:
        return payload.removesuffix(b"\n").split(b"\n")
    return [payload[start : start + size] for start in range(0, len(payload), size)]


def exchange(name, at, payload, size, answered, newline):
    """Send the payload and return what came back."""
    sock = CLIENTS[name](at)
    back = b""
    deadline = time.monotonic() + PATIENCE
    queue = parts(payload, size)
    sent = 0

    def take(wait):
        nonlocal back
        if answered and select.select([sock.fileno()], [], [], wait)[0]:
            data = sock.recv(1 << 18)
            back += data + (b"\n" if newline else b"")
            return True
        return False

    if size == 1 << 16:
        sock.setblocking(False)  # what is echoed has to be read while more is sent
    while queue and time.monotonic() < deadline:
        try:
            count = sock.send(queue[0][:4096] if size == 1 << 16 else queue[0])
        except BlockingIOError:
            count = 0
        except OSError as error:
            if error.errno not in (105, 11):  # ENOBUFS, EAGAIN
                raise
            count = 0
        if size == 1 << 16 and count is not None:  # a stream
            queue[0] = queue[0][count:]
            if queue[0]:
                take(0 if count else 0.01)
                continue
        elif count == 0 and queue[0]:
            take(0.01)
            continue
        queue.pop(0)
        sent += 1
        if answered and size != 1 << 16:  # no more under way than any queue holds
            while back.count(b"\n") < sent - 4 if newline else len(back) < size * (sent - 4):
                if time.monotonic() > deadline or not take(0.5):
                    break
        take(0)
    while answered and len(back) < len(payload) and time.monotonic() < deadline:
        take(0.5)
    return back


if __name__ == "__main__":
    row, where, width, answer, ends = sys.argv[1:6]
    sys.stdout.buffer.write(exchange(row, where, sys.stdin.buffer.read(), int(width), answer == "1", ends == "1"))
