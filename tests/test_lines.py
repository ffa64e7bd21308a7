"""What is sent and how: line ends, pauses, texts, files, one direction alone, telnet. The peers are sockets of the test's own, Debian's
nc, nmap's ncat, and busybox's telnetd."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockkit import telnet
from sockkit.carriers import to_crlf
from tests.harness import TIMEOUT, Process, Server, is_idle, listener, need, needs_linux, receive_all, run
from tests.peers import free_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes as POSIX has them")


@contextmanager
def called(*args: str, server: socket.socket, **more: Any) -> Iterator[tuple[Process, socket.socket]]:
    """A ``connect`` and its connection, seen from the peer."""
    with Process("connect", *args, f"127.0.0.1:{server.getsockname()[1]}", **more) as process:
        peer, _ = server.accept()
        with peer:
            peer.settimeout(TIMEOUT)
            yield process, peer


def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data)) or pytest.fail(f"ended after {data!r}")
    return data


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


CUTS = st.lists(st.integers(0, 200), max_size=8)


# ---- line ends


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a"])).map(b"".join), CUTS)
def test_crlf_is_the_same_however_it_comes(data: bytes, cuts: list[int]) -> None:
    transform = to_crlf()
    assert b"".join(map(transform, split(data, cuts))) == re.sub(rb"(?<!\r)\n", b"\r\n", data)


def test_crlf_over_two_reads_and_nothing_changed_on_the_way_back() -> None:
    with listener() as server, called("-C", server=server) as (process, peer):
        process.send(b"one\r")
        assert receive(peer, 4) == b"one\r"
        process.send(b"\ntwo\nthree\r\n\rfour")
        assert receive(peer, 17) == b"\ntwo\r\nthree\r\n\rfou"
        peer.sendall(b"x\r\ny\nz\r")
        peer.shutdown(socket.SHUT_WR)
        process.close_stdin()
        assert receive_all(peer) == b"r"
        assert process.finish().out == b"x\r\ny\nz\r"


def test_crlf_of_a_server() -> None:
    with Server("--mode", "pipe", "-C") as server, server.connect() as peer:
        server.send(b"one\ntwo\r\n")
        assert receive(peer, 10) == b"one\r\ntwo\r\n"
        peer.sendall(b"x\ny\r\n")
        peer.shutdown(socket.SHUT_WR)
        server.close_stdin()
        receive_all(peer)
        assert server.finish().out == b"x\ny\r\n"


TYPED = b"a\nb\r\n\r\r\n\n\r-\xff\n"
"""A lone CR, a CRLF that is one already, an empty line: what nc, ncat and sockkit make of it is the same."""


@pytest.mark.once
@pytest.mark.parametrize("listening", [False, True], ids=["connect", "listen"])
@pytest.mark.parametrize("tool", ["sockkit", "nc", "ncat"])
def test_crlf_as_nc_and_ncat_mean_it(tool: str, listening: bool) -> None:
    sockkit = [sys.executable, "-m", "sockkit"]
    commands = {
        ("sockkit", False): [*sockkit, "connect", "-C"],
        ("sockkit", True): [*sockkit, "serve", "--mode", "pipe", "-C", "-v"],
        ("nc", False): ["nc", "-C", "-N"],
        ("nc", True): ["nc", "-C", "-N", "-l", "-v"],
        ("ncat", False): ["ncat", "-C"],
        ("ncat", True): ["ncat", "-C", "-l", "-v"],
    }
    if tool != "sockkit":
        need(tool)
    command = commands[tool, listening]
    with listener() as server, socket.socket() as calling:
        port = free_port() if listening else server.getsockname()[1]
        with subprocess.Popen(
            [*command, "127.0.0.1", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if listening else None,
        ) as popen:
            assert popen.stdin is not None and popen.stdout is not None
            if listening:
                assert popen.stderr is not None
                while b"istening on" not in (said := popen.stderr.readline()):
                    assert said, "it ended"
                calling.connect(("127.0.0.1", port))
                peer = calling
            else:
                peer, _ = server.accept()
            peer.settimeout(TIMEOUT)
            peer.sendall(b"x\ny\r\nz\r")
            popen.stdin.write(TYPED)
            popen.stdin.close()
            got = receive_all(peer)
            peer.close()
            assert popen.stdout.read() == b"x\ny\r\nz\r"  # none of them touches what is received
    assert got == b"a\r\nb\r\n\r\r\n\r\n\r-\xff\r\n"


def test_crlf_of_datagrams() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        address = f"127.0.0.1:{peer.getsockname()[1]}"
        run("connect", "-u", "-C", "--lines", "--reply-wait", "0", address, stdin=b"a\nb\r\n\nend")
        assert [peer.recv(100) for _ in range(4)] == [b"a\r\n", b"b\r\n", b"\r\n", b"end"]
        run("connect", "-u", "-C", "--reply-wait", "0", address, stdin=b"a\nb\r\n")
        assert peer.recv(100) == b"a\r\nb\r\n"


# ---- texts and files


def test_texts_are_sent_in_their_order_and_stdin_is_left_alone() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"untouched")
    os.close(writing)
    sent = ["--send", r"GET\t/ \\ \x00\xff\r\n", "--send", "café €\\n"]
    with listener() as server, called(*sent, server=server, stdin=reading) as (process, peer):
        assert receive_all(peer) == b"GET\t/ \\ \0" + b"\xff\r\n" + "café €\n".encode()
        peer.sendall(b"answer")
        peer.close()
        assert process.finish().out == b"answer"
    assert os.read(reading, 100) == b"untouched"
    os.close(reading)


def test_each_text_is_a_datagram() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        address = f"127.0.0.1:{peer.getsockname()[1]}"
        assert run("connect", "-u", "--send", "one", "--send", "t\\nwo", "--reply-wait", "0", address).status == 0
        assert [peer.recv(100), peer.recv(100)] == [b"one", b"t\nwo"]
        run("connect", "-u", "--send", "one", "--send", "t\\nwo\\n", "--lines", "--reply-wait", "0", address)
        assert [peer.recv(100), peer.recv(100)] == [b"onet", b"wo"]


@pytest.mark.parametrize("size", [0, 13, 3_000_000])
def test_a_file_is_sent(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    with (
        listener() as server,
        called("--file", str(path), "-v", server=server) as (
            process,
            peer,
        ),
    ):
        assert receive_all(peer) == path.read_bytes()
        peer.close()
        result = process.finish()
    assert result.status == 0 and f"{path} ended" in result.said


def test_a_named_pipe_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with (
        listener() as server,
        Process("connect", "--file", str(path), f"127.0.0.1:{server.getsockname()[1]}") as process,
    ):
        path.write_bytes(b"through the pipe")
        peer, _ = server.accept()
        with peer:
            assert receive_all(peer) == b"through the pipe"
        assert process.finish().status == 0


def test_a_named_pipe_that_nobody_writes_is_left_with_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with Process("connect", "-v", "--file", str(path), "127.0.0.1:9") as process:
        while not is_idle(process.pid, 0.1):
            pass
        process.kill(15)
        assert process.finish().status == -15


def test_a_server_gives_each_client_the_file_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the whole\n" * 1000)
    with Server("--mode", "pipe", "-k", "--file", str(path)) as server:
        for _ in range(3):
            with server.connect() as peer:
                peer.sendall(b"thanks\n")
                peer.shutdown(socket.SHUT_WR)
                assert receive_all(peer) == path.read_bytes()
        server.wait_for(rb"#3 .* closed")
        assert server.stop().out == b"thanks\n" * 3


def test_a_file_without_a_name_is_not_stdin() -> None:
    result = run("connect", "--file", "", "127.0.0.1", "1")
    assert (result.status, result.said) == (1, "sockkit: open '': No such file or directory [ENOENT 2]\n")


def test_nobody_is_called_for_a_file_that_cannot_be_sent(tmp_path: Path) -> None:
    with listener() as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        for path, said in (
            (tmp_path, "Is a directory [EISDIR"),
            (tmp_path / "none", "No such file or directory [ENOENT"),
        ):
            result = run("connect", "--file", str(path), address)
            assert result.status == 1 and said in result.said and str(path) in result.said
            assert run("serve", "-p", "0", "--mode", "pipe", "--file", str(path)).status == 1
        assert not select.select([server], [], [], 0)[0]


# ---- one direction alone


def test_send_only_ends_when_all_is_sent_and_says_what_it_ignored() -> None:
    with listener() as server, called("--send-only", "-v", server=server) as (process, peer):
        peer.sendall(b"ignore me")
        process.wait_for(rb"< .*ignore me")
        process.send(b"hello\n")
        process.close_stdin()
        assert receive_all(peer) == b"hello\n"
        result = process.finish()  # the peer has not ended
    assert (result.status, result.out) == (0, b"")
    assert "received 9 bytes, sent 6 bytes" in result.said and "what was received was ignored" in result.said
    assert "lost" not in result.said


def test_send_only_to_a_peer_that_talks_before_it_listens() -> None:
    size = 8_000_000
    data = os.urandom(size)

    def talk() -> None:
        peer.sendall(bytes(size))
        got.append(receive_all(peer))

    got: list[bytes] = []
    with listener() as server, called("--send-only", server=server) as (process, peer):
        thread = threading.Thread(target=talk)
        thread.start()
        process.feed(data)
        result = process.finish()
        thread.join(TIMEOUT)
    assert (result.status, result.out, got) == (0, b"", [data])


def test_send_only_datagrams_leave_at_once() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        address = f"127.0.0.1:{peer.getsockname()[1]}"
        result = run("connect", "-u", "--send-only", "--send", "x", "--reply-wait", "1000", address)
        assert result.status == 0 and peer.recv(10) == b"x"


def test_recv_only_sends_nothing_not_even_an_end() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"untouched")
    os.close(writing)
    with listener() as server, called("--recv-only", server=server, stdin=reading) as (process, peer):
        peer.sendall(b"hello\n")
        process.wait_for(b"hello", stream="out")
        peer.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.recv(1)
        peer.sendall(b"bye\n")
        peer.close()
        assert process.finish()[:2] == (0, b"hello\nbye\n")
    assert os.read(reading, 100) == b"untouched"
    os.close(reading)


def test_a_server_that_only_receives_takes_one_client_after_the_other() -> None:
    with Server("--mode", "pipe", "--recv-only", "-k", stdin=subprocess.DEVNULL) as server:
        for text in (b"one", b"two"):
            with server.connect() as peer:
                peer.sendall(text)
        server.wait_for(b"onetwo", stream="out")
        server.wait_for(rb"#2 .* closed")
        assert server.stop().out == b"onetwo"


@pytest.mark.parametrize("option", ["--send-only", "--recv-only"])
def test_one_direction_of_a_datagram_server(option: str) -> None:
    with Server("-u", "--mode", "pipe", option) as server, socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.settimeout(TIMEOUT)
        peer.connect(("127.0.0.1", server.port))
        peer.send(b"hello")
        if option == "--send-only":
            server.send(b"answer")
            assert peer.recv(100) == b"answer"
        else:
            server.wait_for(b"hello", stream="out")
        assert server.stop().out == (b"" if option == "--send-only" else b"hello")


# ---- pauses


def test_a_pause_between_lines() -> None:
    with listener() as server, called("--line-delay", "0.2", "-C", server=server) as (process, peer):
        begun = time.monotonic()
        process.send(b"one\ntwo\n\nrest")
        for number, line in enumerate((b"one\r\n", b"two\r\n", b"\r\n", b"rest")):
            assert receive(peer, len(line)) == line
            assert time.monotonic() - begun >= 0.2 * number
        begun = time.monotonic()
        for _ in range(50):
            process.send(b" and")  # within a line there is no pause
            assert receive(peer, 4) == b" and"
        assert time.monotonic() - begun < 50 * 0.2
        process.close_stdin()
        assert receive_all(peer) == b""
        peer.close()
        assert process.finish().status == 0


def test_a_pause_is_no_end(tmp_path: Path) -> None:
    """The peer has ended already, and what is left of our lines takes longer than an idle input would be waited for."""
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\nthree\n")
    options = ("--file", str(path), "--line-delay", "0.3", "--after-end", "0.1")
    with listener() as server, called(*options, server=server) as (process, peer):
        peer.shutdown(socket.SHUT_WR)
        assert receive_all(peer) == b"one\ntwo\nthree\n"
        assert process.finish().status == 0


def test_a_pause_between_datagrams_and_between_texts() -> None:
    with listener(type=socket.SOCK_DGRAM) as peer:
        options = ("--line-delay", "0.1", "--reply-wait", "0", f"127.0.0.1:{peer.getsockname()[1]}")
        begun = time.monotonic()
        assert run("connect", "-u", "--lines", *options, stdin=b"one\n\nthree").status == 0
        assert [peer.recv(100) for _ in range(3)] == [b"one", b"", b"three"]
        assert run("connect", "-u", "--send", "a", "--send", "b", *options).status == 0
        assert [peer.recv(100), peer.recv(100)] == [b"a", b"b"]
        assert time.monotonic() - begun > 0.3


def test_what_a_pause_held_back_is_lost_aloud() -> None:
    with listener() as server, called("--line-delay", "60", "-v", server=server) as (process, peer):
        process.send(b"one\ntwo\n")
        assert receive(peer, 4) == b"one\n"
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        result = process.finish()
    assert result.status == 1 and "lost 4 bytes: read, and not sent before the end" in result.said


@pytest.mark.parametrize("source", ["stdin", "text", "file"])
def test_what_a_pause_held_back_when_the_time_was_over_is_a_failure(source: str, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    options = {"stdin": (), "text": ("--send", r"one\ntwo\n"), "file": ("--file", str(path))}[source]
    with listener() as server:
        port = str(server.getsockname()[1])
        result = run("connect", "--line-delay", "60", "--duration", "0.5", *options, port, stdin=b"one\ntwo\n")
        assert (result.status, result.said) == (1, "sockkit: lost 4 bytes: read, and not sent before the end\n")
        peer, _ = server.accept()
        with peer:
            assert receive_all(peer) == b"one\n"


def test_what_a_pause_of_a_server_held_back_is_a_failure_too() -> None:
    with Server("--mode", "pipe", "--line-delay", "60", "--duration", "2", "--send", r"one\ntwo\n") as server:
        with server.connect() as sock:
            assert receive_all(sock) == b"one\n"
        result = server.finish()
    assert result.status == 1 and "lost 4 bytes: read, and not sent before the end\n" in result.said


# ---- telnet

SEQUENCES = st.one_of(
    st.binary(max_size=5).map(lambda data: (data.replace(b"\xff", b"\xff\xff"), data, b"")),
    st.integers(0, 255).map(lambda option: (bytes((255, 253, option)), b"", bytes((255, 252, option)))),
    st.integers(0, 255).map(lambda option: (bytes((255, 251, option)), b"", bytes((255, 254, option)))),
    st.integers(0, 255).map(lambda option: (bytes((255, 252, option)), b"", b"")),
    st.integers(0, 255).map(lambda option: (bytes((255, 254, option)), b"", b"")),
    st.integers(241, 249).map(lambda code: (bytes((255, code)), b"", b"")),
    st.binary(max_size=90).map(lambda data: (b"\xff\xfa" + data.replace(b"\xff", b"\xff\xff") + b"\xff\xf0", b"", b"")),
)
"""(on the wire, plain bytes in it, what is answered)."""


@settings(max_examples=200)
@given(st.lists(SEQUENCES, max_size=12), CUTS)
def test_telnet_is_the_same_however_it_comes(sequences: list[tuple[bytes, bytes, bytes]], cuts: list[int]) -> None:
    machine = telnet.Machine()
    wire = b"".join(sequence[0] for sequence in sequences)
    assert b"".join(map(machine.receive, split(wire, cuts))) == b"".join(sequence[1] for sequence in sequences)
    assert b"".join(command.answer for command in machine.commands) == b"".join(sequence[2] for sequence in sequences)
    assert not machine.unfinished
    assert all(len(command.data) <= telnet.KEPT for command in machine.commands)


@given(st.binary(max_size=100), CUTS)
def test_telnet_takes_anything(wire: bytes, cuts: list[int]) -> None:
    whole, parts = telnet.Machine(), telnet.Machine()
    assert whole.receive(wire) == b"".join(map(parts.receive, split(wire, cuts)))
    assert whole.commands == parts.commands and whole.unfinished == parts.unfinished
    assert telnet.Machine().receive(telnet.escaped(wire)) == wire


def test_telnet_refuses_and_tells(tmp_path: Path) -> None:
    wire = b"login\xff\xfd\x01:\xff\xfb\x03 \xff\xfc\x01\xff\xfe\x01\xff\xff\xff\xfa\x18\x01\xff\xf0\xff\xf6\xff\xfb\x4d\xff\xfb\x07\n"
    with listener() as server, called("--telnet", "-v", server=server) as (process, peer):
        for byte in wire:
            peer.sendall(bytes((byte,)))
        assert receive(peer, 12) == b"\xff\xfc\x01\xff\xfe\x03\xff\xfe\x4d\xff\xfe\x07"
        process.send(b"\xff\xfe me\n")
        assert receive(peer, 7) == b"\xff\xff\xfe me\n"
        peer.close()
        process.close_stdin()
        result = process.finish()
    assert (result.status, result.out) == (0, b"login: \xff\n")
    for line in (
        r"< .*#1 telnet: DO ECHO \(RFC 857\)",
        r"> .*#1 telnet: WONT ECHO \(RFC 857\)",
        r"< .*#1 telnet: WILL SUPPRESS-GO-AHEAD \(RFC 858\)",
        r"> .*#1 telnet: DONT SUPPRESS-GO-AHEAD \(RFC 858\)",
        r"< .*#1 telnet: SB TERMINAL-TYPE \(RFC 1091\), 1 byte: \\x01",
        r"< .*#1 telnet: AYT",
        r"< .*#1 telnet: WILL option 77",
    ):
        assert re.search(line, result.said), line
    assert not re.search("> .*telnet: (DO|WILL) ", result.said)


def test_telnet_in_json() -> None:
    with listener() as server, called("--telnet", "--json", server=server) as (process, peer):
        peer.sendall(b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0")
        receive(peer, 3)
        peer.close()
        process.close_stdin()
        story = [json.loads(line) for line in process.finish().said.splitlines()]
    told = [(e["direction"], e["command"], e["option"], e["data"]) for e in story if e["event"] == "negotiated"]
    option = "TERMINAL-TYPE (RFC 1091)"
    assert told == [("received", "DO", option, None), ("sent", "WONT", option, None), ("received", "SB", option, "01")]


def test_telnet_on_both_sides_keeps_every_byte() -> None:
    data = os.urandom(300_000) + bytes(range(256)) * 100 + b"\xff" * 50_001
    with Server("--telnet") as server:
        assert run("connect", "--telnet", server.address, stdin=data)[:2] == (0, data)
        assert server.stop().status == -15


def test_telnet_through_tls() -> None:
    with Server("--telnet", "--tls", "--mode", "pipe", "--send", "a\\xffb", "-v") as server:
        result = run("connect", "--telnet", "--tls", "--insecure", server.address, stdin=b"c\xff\xffd" * 1000)
        assert (result.status, result.out) == (0, b"a\xffb")
        assert server.finish().out == b"c\xff\xffd" * 1000


@pytest.mark.once
def test_a_peer_that_asks_without_end_and_never_reads() -> None:
    with listener() as server, called("--telnet", "-v", server=server, stdin=subprocess.DEVNULL) as (process, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(b"\xff\xfd\x01\xff\xfb\x03" * 300_000)
        peer.shutdown(socket.SHUT_WR)
        answers = receive_all(peer)
        result = process.finish()  # its memory is bounded: the harness looks
    assert result.status == 0 and len(result.err) < 40_000
    assert {answers[i : i + 3] for i in range(0, len(answers), 3)} <= {b"\xff\xfc\x01", b"\xff\xfe\x03"}


TELNETD = """
ip link set lo up
busybox telnetd -l /bin/sh
for i in $(seq 100); do "$@" connect -q -z 127.0.0.1 23 2>/dev/null && break; done
exec "$@" connect --telnet -C --send 'stty -echo; echo $((40 + 2)).; exit\\n' --no-shutdown -v 127.0.0.1 23
"""
"""busybox's telnetd has one port only and stays in the background: it gets a network and a process namespace of its own."""


@pytest.mark.once
@needs_linux
def test_a_shell_behind_busybox_telnetd() -> None:
    for tool in ("busybox", "ip"):
        need(tool)
    if b"telnetd" not in subprocess.run(["busybox"], capture_output=True).stdout:
        pytest.skip("CANNOT: this busybox has no telnetd")
    alone = [need("unshare"), "--net", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("CANNOT: namespaces are not for this user")
    command = [*alone, "sh", "-c", TELNETD, "sh", sys.executable, "-m", "sockkit"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
    assert b"42." in result.stdout and b"\xff" not in result.stdout, result
    story = result.stderr.decode()
    for line in ("< .*telnet: WILL ECHO ", "> .*telnet: DONT ECHO ", "< .*telnet: DO NAWS ", "> .*telnet: WONT NAWS "):
        assert re.search(line, story), story


# ---- what contradicts


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--send", "a", "--file", "b"), "--file: --send sends a text, --file sends a file: give one"),
        (("--send", "a", "--recv-only"), "--send sends a text, --recv-only sends nothing: give one"),
        (("--file", "a", "--recv-only"), "--file sends a file, --recv-only sends nothing: give one"),
        (("--send-only", "--recv-only"), "--send-only: --recv-only sends nothing: leave --send-only out"),
        (("-C", "--recv-only"), "-C: --recv-only sends nothing"),
        (("--telnet", "--recv-only"), "--telnet: --recv-only sends nothing"),
        (("--line-delay", "1", "--recv-only"), "--line-delay: --recv-only sends nothing"),
        (("-u", "--lines", "--recv-only"), "--lines: --recv-only sends nothing"),
        (("--send", ""), "--send: there must be something to send"),
        (("--send", "a\\q"), "begins no escape"),
        (("--send", "a\\x1"), "begins no escape"),
        (("--line-delay", "-1"), "--line-delay: '-1' is no time"),
        (("--line-delay", "nan"), "--line-delay: 'nan' is no time"),
        (("--line-delay", "2", "-w", "2"), "--line-delay: nothing moves for 2 s"),
        (("--telnet", "-u"), "--telnet: telnet needs a stream"),
        (("--replay", "x.ndjson", "--send", "a"), "--send: what is sent is in the recording"),
        (("--replay", "x.ndjson", "--send-only"), "--send-only: what is sent is in the recording"),
        (("--telnet", "--code"), "leave --telnet out"),
    ],
    ids=" ".join,
)
def test_what_contradicts(args: tuple[str, ...], said: str) -> None:
    result = run("connect", *args, "127.0.0.1", "9")
    assert result.status == 2 and said in result.said, result


@pytest.mark.parametrize("args", ["--send=a --file=b", "--send-only --recv-only", "--telnet -u", "--replay=x --file=a"])
def test_what_contradicts_for_a_server(args: str) -> None:
    mode = () if "--replay" in args else ("--mode", "pipe")
    assert run("serve", "-p", "0", *mode, *args.split()).status == 2


@pytest.mark.parametrize("args", ["--send=a", "--recv-only", "-C"])
def test_what_an_echo_has_no_use_for(args: str) -> None:
    result = run("serve", "-p", "0", args)
    assert result.status == 2 and "--mode pipe" in result.said


@pytest.mark.parametrize("args", ["--file=b", "--send-only", "--telnet"])
def test_what_a_look_has_no_use_for(args: str) -> None:
    result = run("connect", "-z", args, "127.0.0.1", "9")
    assert result.status == 2 and "-z" in result.said
