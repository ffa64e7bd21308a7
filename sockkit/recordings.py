"""Reads recordings back: ``.ndjson`` of our own, and ``.pcapng`` of our own or of anybody who captures TCP and UDP.

A conversation is told as both ends saw it: who began it is the client. What is cut short or no recording is refused: comparing
with half of what was said would find differences that are none.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from sockkit.errors import SystemRefusal, UsageError
from sockkit.text import escape, quoted

SCHEMA = 1
LAYER_TWO = {0: 4, 1: 14, 101: 0, 108: 4, 113: 16, 228: 0, 229: 0, 276: 20}
"""Bytes before the IP header by link type (tcpdump.org/linktypes.html): loopback, Ethernet, raw, OpenBSD's, cooked, IPv4, IPv6, cooked v2."""


class Step(NamedTuple):
    """What one end did.

    Attributes:
        time: seconds since 1970.
        client: the client did it.
        data: what it sent; None: its end of input (a FIN).
    """

    time: float
    client: bool
    data: bytes | None


class Conversation(NamedTuple):
    """One of those in a recording.

    Attributes:
        stream: what was sent has no boundaries.
        client, server: addresses as text.
    """

    stream: bool
    client: str
    server: str
    steps: tuple[Step, ...]


def read(path: str, option: str = "--replay") -> list[Conversation]:
    """The conversations of a recording, in their order.

    Raises:
        UsageError: no recording, one that is cut short, or one without payload. SystemRefusal: it cannot be read.
    """
    readers = {".ndjson": _read_ndjson, ".pcapng": _read_pcapng}
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in readers:
        raise UsageError(f"{quoted(os.path.basename(path))} is no recording: .ndjson and .pcapng are", option=option)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise SystemRefusal(f"read {path}", error) from error
    try:
        found = readers[suffix](data)
    except UsageError as error:
        raise UsageError(f"{escape(path, backslash=False)}: {error}", option=option, hint=error.hint) from error
    if not found:
        raise UsageError(f"{escape(path, backslash=False)} holds no conversation", option=option)
    return found


# ---- .ndjson


def _read_ndjson(data: bytes) -> list[Conversation]:
    lines = data.split(b"\n")
    if lines[-1]:
        raise UsageError(f"cut short: line {len(lines)} has no end")
    talks: dict[int, tuple[dict[str, Any], list[Step]]] = {}
    for number, line in enumerate(lines[:-1], 1):
        try:
            event = json.loads(line)
            if event.get("schema") != SCHEMA:
                raise UsageError(f"line {number} is not of schema {SCHEMA} of sockkit")
            _take(event, talks)
        except UsageError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"line {number} is no event of sockkit") from error
    found = []
    for opened, steps in talks.values():
        ends = (opened["peer"], opened["local"]) if opened["accepted"] else (opened["local"], opened["peer"])
        found.append(Conversation(opened["type"] == "SOCK_STREAM", *ends, tuple(steps)))
    return found


def _take(event: dict[str, Any], talks: dict[int, tuple[dict[str, Any], list[Step]]]) -> None:
    if "command" in event:  # a report
        return
    kind = event["event"]
    if kind == "opened":
        talks[event["session"]] = event, []
        return
    if kind not in ("data", "ended") or event["session"] not in talks:
        return
    opened, steps = talks[event["session"]]
    if kind == "ended":
        if event["side"] == "remote" or event["how"].endswith("sent"):
            ours = event["side"] == "local"
            steps.append(Step(event["at"], ours != opened["accepted"], None))
        return
    client = (event["direction"] == "sent") != opened["accepted"]
    payload, encoding = event["payload"], event["encoding"]
    if payload is None:
        hint = "record with -o FILE.ndjson, without --payload none"
        raise UsageError("it tells how much passed, not what", hint=hint)
    if encoding == "base64":
        from base64 import b64decode

        payload = b64decode(payload, validate=True)
    else:
        payload = payload.encode()
    if len(payload) != event["size"]:
        raise UsageError(f"of {event['size']} bytes it has {len(payload)}")
    steps.append(Step(event["at"], client, payload))


# ---- .pcapng


class _Way:
    """One direction of a TCP connection: segments put in order, what came twice once."""

    def __init__(self) -> None:
        self.next: int | None = None
        self.waiting: dict[int, bytes] = {}

    def take(self, sequence: int, data: bytes) -> bytes:
        """What can be read now, with this segment."""
        if self.next is None:
            self.next = sequence
        self.waiting[sequence] = max(data, self.waiting.get(sequence, b""), key=len)
        found = b""
        while self.waiting:
            for start in sorted(self.waiting, key=lambda start: (start - self._at() + 2**31) % 2**32):
                behind = (self._at() - start + 2**31) % 2**32 - 2**31
                if behind < 0:
                    return found
                piece = self.waiting.pop(start)[behind:]
                found += piece
                self.next = (self._at() + len(piece)) % 2**32
                break
        return found

    def _at(self) -> int:
        assert self.next is not None
        return self.next


def _read_pcapng(data: bytes) -> list[Conversation]:
    try:
        import dpkt
    except ImportError as error:
        raise UsageError("to read .pcapng takes dpkt", hint="type: pip install 'sockkit[pcap]'") from error
    import io

    _check_blocks(data)
    talks: dict[tuple[Any, ...], _Talk] = {}
    found: list[_Talk] = []
    try:
        reader = dpkt.pcapng.Reader(io.BytesIO(data))
        skipped = LAYER_TWO.get(reader.datalink())
        if skipped is None:
            raise UsageError(f"its packets are of link type {reader.datalink()}, which is not read here")
        packets = [(time, bytes(packet)) for time, packet in reader]
    except (ValueError, dpkt.UnpackError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"no pcapng file: {error}") from error
    for time, packet in packets:
        try:
            _packet(dpkt, time, packet[skipped:], talks, found)
        except dpkt.UnpackError:
            continue  # no IP: ARP and the like
    return [talk.conversation() for talk in found if talk.steps]


def _check_blocks(data: bytes) -> None:
    """Every block is whole: type, length, body, length again."""
    if data[:4] != b"\n\r\r\n":
        raise UsageError("no pcapng file")
    order = "little" if data[8:12] == b"\x4d\x3c\x2b\x1a" else "big"
    at = count = 0
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], order)  # type: ignore[arg-type]
        if (
            length < 12
            or length % 4
            or at + length > len(data)
            or data[at + 4 : at + 8] != data[at + length - 4 : at + length]
        ):
            raise UsageError(f"cut short, or damaged, after {count} blocks")
        at += length
        count += 1


class _Talk:
    def __init__(self, stream: bool, client: tuple[Any, int], server: tuple[Any, int]) -> None:
        self.stream = stream
        self.ends = client, server
        self.steps: list[Step] = []
        self.ways = {True: _Way(), False: _Way()}
        self.ended: set[bool] = set()

    def conversation(self) -> Conversation:
        client, server = (f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip, port in self.ends)
        return Conversation(self.stream, client, server, tuple(self.steps))


def _packet(dpkt: Any, time: float, data: bytes, talks: dict[tuple[Any, ...], _Talk], found: list[_Talk]) -> None:
    import socket

    version = data[0] >> 4 if data else 0
    if version not in (4, 6):
        return
    ip = dpkt.ip.IP(data) if version == 4 else dpkt.ip6.IP6(data)
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    segment = ip.data
    if not isinstance(segment, (dpkt.tcp.TCP, dpkt.udp.UDP)):
        return
    stream = isinstance(segment, dpkt.tcp.TCP)
    source = socket.inet_ntop(family, ip.src), segment.sport
    sink = socket.inet_ntop(family, ip.dst), segment.dport
    flags = segment.flags if stream else 0
    new = flags & dpkt.tcp.TH_SYN and not flags & dpkt.tcp.TH_ACK
    talk = talks.get((stream, source, sink)) or talks.get((stream, sink, source))
    if talk is None or (new and talk.steps):
        talk = talks[stream, source, sink] = _Talk(stream, source, sink)
        talks.pop((stream, sink, source), None)
        found.append(talk)
    client = source == talk.ends[0]
    payload = bytes(segment.data)
    if not stream:
        talk.steps.append(Step(time, client, payload))
        return
    way = talk.ways[client]
    if flags & dpkt.tcp.TH_SYN:
        way.next = (segment.seq + 1) % 2**32
    if payload:
        ready = way.take(segment.seq, payload)
        if ready:
            talk.steps.append(Step(time, client, ready))
    if flags & dpkt.tcp.TH_FIN and client not in talk.ended:
        talk.ended.add(client)
        talk.steps.append(Step(time, client, None))
