"""``-o FILE.pcapng``, judged by Wireshark: tshark reads back what passed, and finds nothing wrong with the packets."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
from pathlib import Path

import dpkt
import pytest

from sockkit.render.capture import SUMMED, checksum
from tests.harness import TIMEOUT, Process, Server, listener, need, needs_ipv6, needs_linux, needs_root, needs_unix, run

once = pytest.mark.once
BINARY = bytes(range(256))
SUSPICIOUS = (
    "_ws.malformed || _ws.expert.severity >= 0x00600000 || ip.checksum.status == 0 || tcp.checksum.status == 0"
    " || udp.checksum.status == 0 || tcp.analysis.lost_segment || tcp.analysis.retransmission || tcp.analysis.ack_lost_segment || tcp.analysis.window_full"
)
"""Malformed, warnings and errors (a chat or a note about a connection's beginning and end is none), wrong sums, gaps, resends."""


def tshark(path: Path, *args: str) -> str:
    checks = [word for name in ("ip", "tcp", "udp") for word in ("-o", f"{name}.check_checksum:TRUE")]
    command = [need("tshark"), "-n", "-r", str(path), *checks, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT * 2)
    assert done.returncode == 0, done.stderr
    return done.stdout


def suspicious(path: Path, *, resets: bool = False) -> str:
    return tshark(path, "-Y", f"({SUSPICIOUS})" + (" && tcp.flags.reset == 0" if resets else ""))


def fields(path: Path, *names: str, only: str = "") -> list[list[str]]:
    words = [word for name in names for word in ("-e", name)]
    shown = tshark(path, "-T", "fields", *words, *(("-Y", only) if only else ()))
    return [line.split("\t") for line in shown.splitlines()]


def followed(path: Path, stream: int = 0, protocol: str = "tcp") -> tuple[bytes, bytes]:
    """What ``Follow TCP stream`` shows: from the client, from the server."""
    shown = tshark(path, "-q", "-z", f"follow,{protocol},raw,{stream}")
    client, server = bytearray(), bytearray()
    for line in shown.splitlines():
        word = line.strip()
        if word and set(word) <= set("0123456789abcdef") and "Node" not in line:
            (server if line.startswith("\t") else client).extend(bytes.fromhex(word))
    return bytes(client), bytes(server)


def packets(path: Path) -> list[tuple[float, bytes]]:
    with path.open("rb") as file:
        return list(dpkt.pcapng.Reader(file))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4095, 4096, 4097, 65472, 70001])
def test_the_checksum_is_the_internets(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert checksum(b"\x12\x34", data) % 0xFFFF == dpkt.dpkt.in_cksum(b"\x12\x34" + data) % 0xFFFF


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "dpkt.py").write_text("raise ImportError('hidden')")
    done = run(
        "connect",
        "-o",
        str(tmp_path / "x.pcapng"),
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.status == 2
    assert done.said == "sockkit: -o: to write .pcapng takes dpkt\nsockkit: type: pip install 'sockkit[pcap]'\n"


def test_a_library_reads_it_back(tmp_path: Path) -> None:
    """Where no Wireshark is: the same, less thorough."""
    with Server("--once", "-o", str(tmp_path / "s.pcapng")) as server:
        assert run("connect", "-o", str(tmp_path / "c.pcapng"), server.address, stdin=BINARY).out == BINARY
        server.finish()
    for name in ("c.pcapng", "s.pcapng"):
        found = [dpkt.ip.IP(data) for _, data in packets(tmp_path / name)]
        by_port: dict[int, bytes] = {}
        for ip in found:
            by_port[ip.tcp.sport] = by_port.get(ip.tcp.sport, b"") + bytes(ip.tcp.data)
        assert list(by_port.values()) == [BINARY, BINARY]
        assert by_port.keys() >= {server.port}
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@once
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_a_tcp_conversation(host: str, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(200_000)
    with Server("--once", "-o", str(tmp_path / "s.pcapng"), host) as server:
        done = run("connect", "-o", str(tmp_path / "c.pcapng"), server.address, stdin=data)
        assert done.out == data
        server.finish()
    for name in ("c.pcapng", "s.pcapng"):
        path = tmp_path / name
        assert suspicious(path) == ""
        assert followed(path) == (data, data)
        found = fields(path, "frame.len", "tcp.flags.str", "frame.time_epoch")
        assert max(int(row[0]) for row in found) <= 65535
        assert [row[1].strip("·") for row in found[:3]] == ["S", "A··S", "A"]
        assert sum("F" in row[1] for row in found) == 2
        times = [float(row[2]) for row in found]
        assert times == sorted(times)
        address = "ip.addr" if host != "::1" else "ipv6.addr"
        assert {row[0] for row in fields(path, address)} == {f"{host},{host}"}
        assert {row[0] for row in fields(path, "tcp.dstport", only="tcp.flags.syn == 1 && tcp.flags.ack == 0")} == {
            str(server.port)
        }


@once
def test_datagrams(tmp_path: Path) -> None:
    big = random.Random(2).randbytes(60_000)
    with Server("-u", "-o", str(tmp_path / "s.pcapng")) as server:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        ):
            for sock in (one, two):
                sock.settimeout(TIMEOUT)
                sock.connect(("127.0.0.1", server.port))
                for message in (b"first", b"", big):
                    sock.send(message)
                    assert sock.recv(65536) == message
        server.stop()
    path = tmp_path / "s.pcapng"
    assert suspicious(path) == ""
    lengths = [int(row[0]) - 8 for row in fields(path, "udp.length")]
    assert lengths == [5, 5, 0, 0, 60_000, 60_000] * 2
    assert followed(path, 0, "udp") == followed(path, 1, "udp") == (b"first" + big, b"first" + big)


@once
@needs_unix
@pytest.mark.parametrize("kind", ["stream", "datagram"])
def test_unix_sockets_as_what_wireshark_can_follow(kind: str, tmp_path: Path) -> None:
    given = ("-u",) if kind == "datagram" else ()
    path = tmp_path / "s.pcapng"
    with Server("-U", *given, "-o", str(path), str(tmp_path / "sock"), free_port=False) as server:
        done = run("connect", "-U", *given, "--reply-wait", "0.3", str(tmp_path / "sock"), stdin=BINARY)
        assert done.out == BINARY
        server.stop()
    assert suspicious(path) == ""
    assert followed(path, 0, "tcp" if kind == "stream" else "udp") == (BINARY, BINARY)
    assert f"{tmp_path}/sock (192.0.2.1)" in fields(path, "frame.comment")[0][0]


@once
@needs_linux
def test_n6_a_message_longer_than_a_packet_comes_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "s.pcapng"
    with Server(
        "-U", "--type", "SEQPACKET", "--once", "-o", str(path), str(tmp_path / "sock"), free_port=False
    ) as server:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(str(tmp_path / "sock"))
            sock.send(BINARY * 300)
            assert sock.recv(1 << 20) == BINARY * 300
        server.finish()
    assert suspicious(path) == ""
    assert followed(path, 0, "udp") == (BINARY * 300, BINARY * 300)
    assert "part 1 of 2 of a message of 76800 bytes" in [row[0] for row in fields(path, "frame.comment")]


@once
def test_a_reset_is_the_peers(tmp_path: Path) -> None:
    path = tmp_path / "c.pcapng"
    with listener() as sock, Process("connect", "-o", str(path), f"127.0.0.1:{sock.getsockname()[1]}") as process:
        port = sock.getsockname()[1]
        peer = sock.accept()[0]
        peer.sendall(b"0123456789")
        process.wait_for(b"0123456789", stream="out")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert process.finish().status == 1
    assert suspicious(path, resets=True) == ""
    assert fields(path, "tcp.srcport", only="tcp.flags.reset == 1") == [[str(port)]]
    assert followed(path) == (b"", b"0123456789")


@once
@needs_linux
def test_urgent_data_has_its_flag(tmp_path: Path) -> None:
    path = tmp_path / "c.pcapng"
    with Server("--once") as server:
        assert run("connect", "--oob", "!", "-o", str(path), server.address, stdin=b"abc").status == 0
    assert fields(path, "tcp.payload", only="tcp.flags.urg == 1") == [["21"]]


@once
def test_a14_everything_at_once_and_the_same_bytes(tmp_path: Path) -> None:
    """A14: the story, and three recordings, of a large transfer both ways."""
    data = random.Random(3).randbytes(SUMMED + (4 << 20))
    with Server("--once") as server:
        files = [tmp_path / f"x.{suffix}" for suffix in ("pcapng", "ndjson", "raw", "txt")]
        done = run("connect", "-v", *(word for file in files for word in ("-o", str(file))), server.address, stdin=data)
    assert (done.status, done.out == data) == (0, True)
    assert (tmp_path / "x.sent.raw").read_bytes() == (tmp_path / "x.received.raw").read_bytes() == data
    from tests.test_json import payload, recorded

    lines = recorded(files[1])
    assert payload(lines, "sent") == payload(lines, "received") == data
    assert followed(files[0]) == (data, data)
    assert tshark(files[0], "-Y", "_ws.malformed || tcp.analysis.lost_segment || tcp.analysis.retransmission") == ""


@once
@needs_linux
@pytest.mark.timeout(300)
def test_n5_what_was_recorded_before_a_kill_is_readable(tmp_path: Path) -> None:
    """N5: up to the last whole block."""
    chance = random.Random(5)
    for i in range(20):
        path = tmp_path / f"{i}.pcapng"
        with listener() as sock, open("/dev/urandom", "rb") as source:
            with Process(
                "connect", "-o", str(path), f"127.0.0.1:{sock.getsockname()[1]}", stdin=source.fileno()
            ) as process:
                peer = sock.accept()[0]
                with peer:
                    left = chance.randrange(1, 20_000_000)
                    while left > 0:
                        left -= len(peer.recv(1 << 20))
                    process.kill(signal.SIGKILL)
                    process.popen.wait()
        read = subprocess.run(
            [need("tshark"), "-r", str(path), "-T", "fields", "-e", "tcp.len"],
            capture_output=True,
            text=True,
            check=False,
        )
        sizes = [int(line) for line in read.stdout.split()]
        assert len(sizes) >= 3, read.stderr
        assert read.returncode == 0 or "cut short" in read.stderr


def test_a_recording_in_a_pipe(tmp_path: Path) -> None:
    """``wireshark -k -i PIPE`` watches live."""
    path = tmp_path / "live.pcapng"
    os.mkfifo(path)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as reader:
        with Server("--once") as server:
            assert run("connect", "-o", str(path), server.address, stdin=BINARY).out == BINARY
        assert reader.stdout is not None
        (tmp_path / "copy").write_bytes(reader.stdout.read())
    assert len(packets(tmp_path / "copy")) >= 7


@once
@needs_linux
def test_frames_of_a_can_bus_are_can_frames(tmp_path: Path) -> None:
    """By the events alone: there is no bus here. (The identifier is in the host's order, linux/can.h.)"""
    from sockkit.events import Closed, Data, Direction, Opened
    from sockkit.render import Wish
    from sockkit.render.capture import Capture

    path = tmp_path / "can.pcapng"
    capture = Capture(str(path), force=False, clock=lambda: 0.0, wish=Wish("connect", False, False, False, True))
    capture(Opened(0.0, 1, "(none)", "vcan0", int(socket.AF_CAN), int(socket.SOCK_RAW)))
    frame = struct.pack("=IB3x8s", 0x123, 3, b"abc".ljust(8, b"\0"))
    capture(Data(0.5, 1, Direction.SENT, 0, 16, frame, True))
    capture(Closed(1.0, 1, "(none)", 16, 0, 1.0, None, None))
    capture.close()
    assert fields(path, "can.id", "can.len", "frame.protocols") == [["291", "3", "can:data"]]
    assert suspicious(path) == ""


@once
@needs_linux
@needs_root
def test_frames_of_a_device_are_ethernets(tmp_path: Path) -> None:
    path = tmp_path / "lo.pcapng"
    frame = bytes(dpkt.ethernet.Ethernet(type=0x88B5, data=b"of sockkit's own"))  # IEEE: for local experiments
    with Process("connect", "--family", "PACKET", "--type", "RAW", "-o", str(path), "lo") as process:
        process.wait_for(b"", timeout=1)
        process.send(frame)
        process.wait_for(b"of sockkit's own", stream="out")
        process.stop()
    assert ["eth:ethertype:data"] in fields(path, "frame.protocols", only="eth.type == 0x88b5")
