"""Recordings read back, and played: ``--replay FILE`` on both sides."""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockkit.errors import UsageError
from sockkit.recordings import Conversation, _Way, read
from tests.harness import TIMEOUT, Result, Server, listener, receive_all, run
from tests.test_json import VALIDATOR

NDJSON, PCAPNG = ".ndjson", ".pcapng"
both = pytest.mark.parametrize("suffix", [NDJSON, PCAPNG])


def recorded(tmp_path: Path, suffix: str, stdin: bytes = b"Hello, world\n") -> Path:
    path = tmp_path / f"talk{suffix}"
    with Server("--once") as server:
        assert run("connect", "-o", str(path), server.address, stdin=stdin).out == stdin
    return path


def said(talk: Conversation, *, client: bool) -> bytes:
    return b"".join(step.data for step in talk.steps if step.client is client and step.data is not None)


# ---- reading


@both
@pytest.mark.parametrize("side", ["client", "server"])
def test_what_was_recorded_is_read_whichever_side_recorded(suffix: str, side: str, tmp_path: Path) -> None:
    given = random.Random(1).randbytes(300_000)
    path = tmp_path / f"x{suffix}"
    ours, theirs = (("-o", str(path)), ()) if side == "server" else ((), ("-o", str(path)))
    with Server("--once", *ours) as server:
        assert run("connect", *theirs, server.address, stdin=given).out == given
        server.finish()
    (talk,) = read(str(path))
    assert said(talk, client=True) == said(talk, client=False) == given
    assert talk.stream and talk.server == server.address
    assert [step.client for step in talk.steps if step.data is None] == [True, False]
    times = [step.time for step in talk.steps]
    assert times == sorted(times)


@both
def test_messages_and_several_conversations(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    with Server("-u", "-o", str(path)) as server:
        for name in (b"one", b"two"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(TIMEOUT)
                sock.connect(("127.0.0.1", server.port))
                for message in (name, b""):
                    sock.send(message)
                    assert sock.recv(100) == message
        server.stop()
    talks = read(str(path))
    assert [[step.data for step in talk.steps] for talk in talks] == [
        [name, name, b"", b""] for name in (b"one", b"two")
    ]
    assert not talks[0].stream
    done = run("connect", "-u", "--replay", str(path), server.address)
    assert (done.status, done.said) == (
        2,
        f"sockkit: --replay: {path} holds 2 conversations\nsockkit: --conversation N chooses one, 1 to 2\n",
    )
    assert "holds 2 only" in run("connect", "-u", "--replay", str(path), "--conversation", "3", "1").said
    done = run("connect", "--replay", str(path), "--conversation", "1", server.address)
    assert done.status == 2 and "holds datagrams or records, this would be a stream" in done.said


def refused(path: Path) -> str:
    done = run("connect", "--replay", str(path), "127.0.0.1:1")
    assert done.status == 2 and "ECONNREFUSED" not in done.said
    return done.said


@both
def test_one_that_is_cut_short(suffix: str, tmp_path: Path) -> None:
    path = recorded(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[:-5])
    assert re.match(rf"sockkit: --replay: {path}: cut short", refused(path))


@both
def test_one_that_is_not_ours(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    for content in (b"hello\n", b"\x00" * 100, b'{"schema": 99}\n', b"[]\n", b"{}\n", b'{"schema": 1}\n'):
        path.write_bytes(content)
        assert re.match(rf"sockkit: --replay: {path}: (line 1 |no pcapng file|cut short)", refused(path)), content
    path.write_bytes(b"")
    assert "--replay" in refused(path)
    assert "is no recording: .ndjson and .pcapng are" in refused(tmp_path / "x.raw")
    done = run("connect", "--replay", str(tmp_path / f"none{suffix}"), "127.0.0.1:1")
    assert done.status == 1 and "ENOENT" in done.said


def test_one_without_payload(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    with Server("--once") as server:
        run("connect", "-o", str(path), "--payload", "none", server.address, stdin=b"x")
    assert "it tells how much passed, not what\nsockkit: record with -o FILE.ndjson" in refused(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([NDJSON, PCAPNG]))
def test_whatever_is_read_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"anything{suffix}"
    for content in (data, b"\n\r\r\n" + data, b'{"schema": 1, "event": "data"' + data):
        path.write_bytes(content)
        with pytest.raises(UsageError):
            read(str(path))


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_segments_in_any_order_and_more_than_once(data: bytes, chance: random.Random, first: int) -> None:
    pieces = []
    at = 0
    while at < len(data):
        size = chance.randrange(1, 20)
        back = chance.randrange(0, min(at, 5) + 1)  # sent again with more
        pieces.append((at - back, data[at - back : at + size]))
        at += size
    pieces += chance.choices(pieces, k=3)
    chance.shuffle(pieces)
    way = _Way()
    way.next = first
    assert b"".join(way.take((first + at) % 2**32, piece) for at, piece in pieces) == data


def test_somebody_elses_capture(tmp_path: Path) -> None:
    """Ethernet, IPv6, a segment that came late and one that came twice, ARP in between."""
    path = tmp_path / "theirs.pcapng"
    client, server = (socket.inet_pton(socket.AF_INET6, name) for name in ("2001:db8::1", "2001:db8::2"))

    def frame(source: bytes, sink: bytes, ports: tuple[int, int], seq: int, flags: int, data: bytes = b"") -> bytes:
        tcp = dpkt.tcp.TCP(sport=ports[0], dport=ports[1], seq=seq, flags=flags, data=data)
        ip = dpkt.ip6.IP6(src=source, dst=sink, nxt=6, plen=len(tcp), data=tcp)
        return bytes(dpkt.ethernet.Ethernet(type=0x86DD, data=ip))

    there, back = (client, server, (1234, 80)), (server, client, (80, 1234))
    frames = [
        frame(*there, 99, dpkt.tcp.TH_SYN),
        frame(*back, 499, dpkt.tcp.TH_SYN | dpkt.tcp.TH_ACK),
        bytes(dpkt.ethernet.Ethernet(type=0x0806, data=bytes(28))),
        frame(*there, 104, dpkt.tcp.TH_ACK, b"late"),
        frame(*there, 100, dpkt.tcp.TH_ACK, b"too "),
        frame(*there, 100, dpkt.tcp.TH_ACK, b"too "),
        frame(*back, 500, dpkt.tcp.TH_ACK, b"never"),
        frame(*there, 108, dpkt.tcp.TH_FIN | dpkt.tcp.TH_ACK),
    ]
    with path.open("wb") as file:
        writer = dpkt.pcapng.Writer(file)
        for i, data in enumerate(frames):
            writer.writepkt(data, 1000.0 + i)
    (talk,) = read(str(path))
    assert (talk.client, talk.server) == ("[2001:db8::1]:1234", "[2001:db8::2]:80")
    assert (said(talk, client=True), said(talk, client=False)) == (b"too late", b"never")
    assert talk.steps[-1] == (1007.0, True, None)


# ---- playing


@both
def test_the_same_answer(suffix: str, tmp_path: Path) -> None:
    path = recorded(tmp_path, suffix)
    with Server("--once") as server:
        done = run("connect", "--replay", str(path), server.address, stdin=None)
        assert server.finish().err.count(b"received 13 bytes, sent 13 bytes") == 2
    assert (done.status, done.said) == (0, "")
    assert (
        done.text
        == f"replay of {path}: the server answered as recorded\n\nreceived:\n  recorded  13 bytes\n  now       13 bytes\n"
    )


@both
def test_another_answer_is_shown_and_fails(suffix: str, tmp_path: Path) -> None:
    path = recorded(tmp_path, suffix, b"one\ntwo\nthree\n")
    with listener() as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        heard: list[bytes] = []

        def peer() -> None:
            for _ in range(2):
                client = sock.accept()[0]
                with client:
                    heard.append(receive_all(client))
                    client.sendall(b"one\n2\nthree\n")

        thread = threading.Thread(target=peer)
        thread.start()
        done = run("connect", "--replay", str(path), "--reply-wait", "0.2", address)
        document = run("connect", "--json", "--replay", str(path), "--reply-wait", "0.2", address)
        thread.join(TIMEOUT)
    assert heard == [b"one\ntwo\nthree\n"] * 2
    assert done.status == document.status == 1
    assert "     one\\n\n  -  two\\n\n  +  2\\n\n     three\\n\n" in done.text
    found = json.loads(document.text)
    VALIDATOR.validate(found)
    assert (found["same"], found["first_difference"], found["recorded"], found["received"]) == (False, 4, 14, 12)
    assert found["differences"] == [{"which": "-", "text": "two\\n"}, {"which": "+", "text": "2\\n"}]


@both
def test_the_servers_side(suffix: str, tmp_path: Path) -> None:
    path = recorded(tmp_path, suffix)
    for stdin, status in ((b"Hello, world\n", 0), (b"Hello, moon!\n", 1)):
        with Server("--replay", str(path)) as server:
            assert run("connect", server.address, stdin=stdin).out == b"Hello, world\n"
            done = server.finish()
        assert done.status == status
        assert (b"answered as recorded" in done.out) == (status == 0)


def test_a_conversation_by_turns_with_its_pauses(tmp_path: Path) -> None:
    """The server speaks first; each waits for the other; what is said is played at the pace at which it was said, or another."""
    path = tmp_path / "turns.ndjson"
    lines = [
        ("received", b"hello?\n", 0.0),
        ("sent", b"me\n", 0.4),
        ("received", b"who?\n", 0.0),
        ("sent", b"I\n", 0.4),
    ]
    opened = {"peer": "127.0.0.1:1", "local": "127.0.0.1:2", "accepted": False, "type": "SOCK_STREAM"}
    events: list[dict[str, object]] = [{"event": "opened", "at": 1000.0, **opened}]
    now, offsets = 1000.0, {"sent": 0, "received": 0}
    for direction, data, pause in lines:
        now += pause
        text = {"direction": direction, "payload": data.decode(), "encoding": "text", "size": len(data)}
        events.append({"event": "data", "at": now, "offset": offsets[direction], "message": False, **text})
        offsets[direction] += len(data)
    path.write_text("".join(json.dumps({"schema": 1, "session": 1, **event}) + "\n" for event in events))
    for speed, least in (("1", 0.8), ("2", 0.4), ("0", 0.0)):
        log = tmp_path / f"{speed}.ndjson"
        with Server("--replay", str(path), "--speed", "0") as server:
            done = run("connect", "--replay", str(path), "--speed", speed, "-o", str(log), server.address)
            assert server.finish().status == 0
        assert done.status == 0, done.text
        (talk,) = read(str(log))
        took = [step.time for step in talk.steps if step.data is not None]
        assert took[-1] - took[0] >= least * 0.95


def test_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    with Server("-u") as server:
        given = ("-u", "--lines", "--reply-wait", "0.3")
        assert run("connect", *given, "-o", str(path), server.address, stdin=b"one\ntwo\n").status == 0
        done = run("connect", "-u", "--reply-wait", "0.3", "--replay", str(path), server.address)
    assert (done.status, done.said) == (0, "")
    with Server("-u", "--reply-wait", "0.3", "--replay", str(path)) as server:
        done = run("connect", *given, server.address, stdin=b"one\ntwo\n")
        assert done.out == b"one\ntwo\n"
        assert server.finish().status == 0


def test_nobody_there_is_an_error_as_ever(tmp_path: Path) -> None:
    path = recorded(tmp_path, NDJSON)
    with listener() as sock:
        port = sock.getsockname()[1]
    done = run("connect", "--replay", str(path), f"127.0.0.1:{port}")
    assert done.status == 1 and done.out == b"" and "ECONNREFUSED" in done.said


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["connect", "--ignore", "x"], "--ignore: there is no --replay FILE for it"),
        (["connect", "--speed", "2"], "--speed: there is no --replay FILE for it"),
        (["connect", "--replay", "FILE", "--ignore", "("], "--ignore: '(' is no regular expression"),
        (["connect", "--replay", "FILE", "--lines", "-u"], "--lines: what is sent is in the recording"),
        (["connect", "--replay", "FILE", "-z"], "-z: -z sends nothing"),
        (["serve", "--replay", "FILE", "-k"], "-k: --replay plays for one client"),
        (["serve", "--replay", "FILE", "--mode", "discard"], "--mode: --replay plays for one client"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_means_nothing(args: list[str], text: str, tmp_path: Path) -> None:
    path = recorded(tmp_path, NDJSON)
    done = run(*[str(path) if word == "FILE" else word for word in args])
    assert done.status == 2 and text in done.said


@both
def test_a_real_exchange_by_http(suffix: str, tmp_path: Path) -> None:
    """Python's http.server, recorded and asked again: the date is another one, and nothing else."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("<h1>caf\u00e9</h1>\n" * 5000)
    command = [sys.executable, "-u", "-m", "http.server", "-d", str(tmp_path / "www"), "-b", "127.0.0.1", "0"]
    talk = tmp_path / f"talk{suffix}"

    def again(*args: str) -> Result:
        return run("connect", "--replay", str(talk), *args, f"127.0.0.1:{port}")

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            port = int(re.search(rb"port (\d+)", process.stdout.readline())[1])  # type: ignore[index]
            request = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"
            first = run("connect", "-o", str(talk), f"127.0.0.1:{port}", stdin=request)
            assert first.out.startswith(b"HTTP/1.0 200 OK") and first.out.endswith("<h1>caf\u00e9</h1>\n".encode())
            same = again("--ignore", r"^Date: .*$")
            (tmp_path / "www" / "index.html").write_text("<h1>tea</h1>\n")
            other = again("--ignore", r"^Date: .*$", "--reply-wait", "0.2")
        finally:
            process.terminate()
    assert (same.status, same.said) == (0, "")
    assert other.status == 1 and "\n  +  <h1>tea</h1>\\n\n" in other.text
    with Server("--replay", str(talk)) as server:  # and the recording in place of the server
        assert run("connect", server.address, stdin=request).out == first.out
        assert server.finish().status == 0
