"""``serve --mode broadcast`` and ``--mode chat``: what one says all others get, and nobody is held up by one who does not read."""

from __future__ import annotations

import hashlib
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit.chat import MOST_LINE, NAME_RULE, Lines, Names, shown
from sockkit.text import TerminalEscaper
from tests.harness import TIMEOUT, Process, Server, need, needs_linux, needs_unix, receive_all, resident, run
from tests.peers import BLOCK, EVIL, MIB, Task, eventually, exactly, pour, reset, story_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: signals as POSIX has them")


def until(sock: socket.socket, ending: bytes) -> bytes:
    """What comes, up to and with ``ending``."""
    data = bytearray()
    while True:
        before = len(data)
        data += sock.recv(65536, socket.MSG_PEEK)
        assert len(data) > before, f"the end after {bytes(data[-1000:])!r}"
        found = data.find(ending, max(0, before - len(ending)))
        del data[found + len(ending) if found >= 0 else len(data) :]
        exactly(sock, len(data) - before)
        if found >= 0:
            return bytes(data)


def receive_into(data: bytearray, sock: socket.socket) -> None:
    while chunk := sock.recv(MIB):
        data += chunk


def line(sock: socket.socket) -> str:
    return until(sock, b"\n").decode()


def nothing_to_read(sock: socket.socket) -> bool:
    return not select.select([sock], [], [], 0.1)[0]


@contextmanager
def members(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Members of a broadcast, each known to the server when it returns."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            number = len(re.findall(rb"#\d+ \S+ connected", server.err)) + 1
            found.append(stack.enter_context(server.connect()))
            server.wait_for(rb"#%d \S+ connected" % number)
        yield found


@contextmanager
def chatters(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Members of a chat, who have read what was said at their coming."""
    with ExitStack() as stack:
        found: list[socket.socket] = []
        for _ in range(count):
            new = stack.enter_context(server.connect())
            assert line(new).startswith("-- you are user-")
            for other in found:
                assert line(other).endswith(" joined\n")
            found.append(new)
        yield found


# ---- broadcast


def test_what_one_sends_all_others_get() -> None:
    data = bytes(range(256)) * 40
    with Server("--mode", "broadcast") as server, members(server, 3) as (one, two, three):
        one.sendall(data)
        assert exactly(two, len(data)) == exactly(three, len(data)) == data
        two.sendall(b"two")
        assert exactly(one, 3) == exactly(three, 3) == b"two"
        assert nothing_to_read(two), "nobody hears itself"
        server.stop()


def test_who_ends_its_input_still_hears_the_others() -> None:
    with Server("--mode", "broadcast") as server, members(server, 2) as (one, two):
        one.sendall(b"hi")
        one.shutdown(socket.SHUT_WR)
        assert exactly(two, 2) == b"hi"
        two.sendall(b"reply")
        assert exactly(one, 5) == b"reply"
        server.kill(signal.SIGTERM)
        assert receive_all(one) == b""
        result = server.finish()
    assert result.status == -signal.SIGTERM
    assert "sockkit: " not in result.said


def test_who_has_ended_and_is_gone_has_left_in_order() -> None:
    with Server("--mode", "broadcast") as server, members(server, 2) as (one, two):
        one.close()

        def gone() -> bool:
            two.sendall(b"x")  # TCP tells only who sends to it that a peer is gone
            return bool(re.search(rb"(?m)^x #1 .* closed", server.err))

        eventually(gone)
        server.wait_for(rb"(?m)^x #1 .* closed: received 0 bytes, sent [^\n]*; the peer ended first\n")
        assert b"sockkit: " not in server.err
        server.stop()


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_large_flows_arrive_whole_with_every_transport(kind: str, tmp_path: Path) -> None:
    count = 8
    path = str(tmp_path / "s")
    extra = {"tcp": (), "unix": ("-U", path), "tls": ("--tls",)}[kind]
    with (
        Server("--mode", "broadcast", "--patience", "30", *extra, free_port=kind != "unix") as server,
        ExitStack() as stack,
    ):

        def join() -> socket.socket:
            if kind == "unix":
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.settimeout(TIMEOUT)
                sock.connect(path)
                return sock
            sock = stack.enter_context(server.connect())
            if kind == "tls":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                sock = stack.enter_context(context.wrap_socket(sock))
            return sock

        listeners = [join() for _ in range(3)]
        sender = join()
        sender.sendall(b"!")  # whoever hears this is a member
        listeners = [each for each in listeners if exactly(each, 1)]
        tasks = [Task(lambda sock=each: hashlib.sha256(exactly(sock, count * MIB)).hexdigest()) for each in listeners]
        sent = pour(sender.sendall, count, lambda: None)
        assert [task.get() for task in tasks] == [sent] * 3
        server.stop()


def test_the_order_of_each_sender_is_kept() -> None:
    rounds, count = 400, 6
    with Server("--mode", "broadcast", "--patience", "30") as server, members(server, count) as all_of_them:

        def say(number: int) -> None:
            for turn in range(rounds):
                all_of_them[number].sendall(b"%d:%04d\n" % (number, turn))

        hearing = [Task(exactly, sock, rounds * 7 * (count - 1)) for sock in all_of_them]
        for saying in [Task(say, number) for number in range(count)]:
            saying.get()
        for number, task in enumerate(hearing):
            heard = task.get().split()
            for other in set(range(count)) - {number}:
                turns = [int(each[2:]) for each in heard if each[:1] == b"%d" % other]
                assert turns == list(range(rounds))
        server.stop()


def test_two_hundred_members() -> None:
    with Server("--mode", "broadcast", "--patience", "30") as server, members(server, 200) as all_of_them:
        for number in range(0, 200, 20):
            all_of_them[number].sendall(b"%03d" % number)
            expected = b"%03d" % number
            for other, sock in enumerate(all_of_them):
                if other != number:
                    assert exactly(sock, 3) == expected
        server.stop()


@needs_linux
def test_a_stalled_reader_holds_nobody_up() -> None:
    """It is waited for once, for as long as ``--patience`` says; then its connection is reset, and what it missed is said."""
    count = 48
    with (
        Server("--mode", "broadcast", "--patience", "1") as server,
        members(server, 4) as (stalled, one, two, sender),
    ):
        before = resident(server.pid)
        hearing = [
            Task(lambda sock=each: hashlib.sha256(exactly(sock, count * MIB)).hexdigest()) for each in (one, two)
        ]
        begun = time.monotonic()
        sent = pour(sender.sendall, count, lambda: None)
        assert [task.get() for task in hearing] == [sent] * 2
        assert time.monotonic() - begun < 15, "a second for each half of the log would be more"
        assert resident(server.pid) - before < 16 * MIB
        said = server.wait_for(rb"#1 lost \S+ \S+ \((\d+) bytes\): not handed over before the end")
        got = bytearray()
        with pytest.raises(ConnectionResetError):
            receive_into(got, stalled)
        assert len(got) + int(said[1]) <= count * MIB
        result = server.stop()
    assert "#1 send to 127.0.0.1" in result.said and "too far behind" in result.said and "ETIMEDOUT" in result.said
    assert len(re.findall("(?m)^sockkit: ", result.said)) == 2


@needs_linux
def test_many_stalled_readers_cost_no_memory(tmp_path: Path) -> None:
    """A hundred of them, that stall at different times, in a chat, which keeps them."""
    path, text = str(tmp_path / "s"), b"x" * 4000 + b"\n"
    with Server("--mode", "chat", "--patience", "1", "-U", path, free_port=False) as server, ExitStack() as stack:

        def join() -> socket.socket:
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.settimeout(TIMEOUT)
            sock.connect(path)
            assert line(sock).startswith("-- you are ")
            return sock

        for _ in range(100):
            join()
        reader, sender = join(), join()
        before = resident(server.pid)
        reading = Task(until, reader, b"> end\n")
        for _ in range(24 * MIB // len(text)):
            sender.sendall(text)
        sender.sendall(b"end\n")
        eventually(lambda: b"#1 is behind" in server.err and b"#100 is behind" in server.err)
        sender.sendall(b"/who\n")
        assert line(sender).count(" bytes behind)") >= 100
        assert resident(server.pid) - before < 24 * MIB
        assert b" missed" not in reading.get()
        server.stop(busy=True)


def test_a_slow_reader_that_is_within_the_window_gets_everything() -> None:
    with Server("--mode", "broadcast", "--patience", "0") as server, members(server, 2) as (slow, sender):
        pouring = Task(pour, sender.sendall, 3, lambda: None)
        sent = pouring.get()
        time.sleep(0.2)  # the case
        assert hashlib.sha256(exactly(slow, 3 * MIB)).hexdigest() == sent
        server.stop()


def test_a_member_that_is_reset() -> None:
    with Server("--mode", "broadcast") as server, members(server, 3) as (one, two, three):
        one.sendall(b"first ")
        assert exactly(two, 6) == exactly(three, 6) == b"first "
        reset(one)
        server.wait_for(rb"(?m)^sockkit: #1 receive from \S+: [^\n]*ECONNRESET")
        two.sendall(b"second")
        assert exactly(three, 6) == b"second"
        server.stop()


def test_nobody_there_is_said() -> None:
    with Server("--mode", "broadcast", "-v") as server, members(server, 1) as (one,):
        one.sendall(b"hello?")
        server.wait_for(rb"#1 nobody else is here: nobody hears this")
        server.stop(busy=True)


@needs_unix
def test_messages_keep_their_boundaries(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with (
        Server("--mode", "broadcast", "-U", "--type", "SEQPACKET", path, free_port=False) as server,
        ExitStack() as stack,
    ):
        found = []
        for number in range(3):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            sock.settimeout(TIMEOUT)
            sock.connect(path)
            server.wait_for(rb"#%d \S+ connected" % (number + 1))
            found.append(sock)
        for message in (b"a", b"", b"x" * 100_000, b"end"):
            found[0].send(message)
        for sock in found[1:]:
            assert [sock.recv(MIB) for _ in range(4)] == [b"a", b"", b"x" * 100_000, b"end"]
        server.stop()


@needs_unix
def test_messages_that_a_stalled_reader_missed_are_counted(tmp_path: Path) -> None:
    """Of a socket that keeps boundaries whole messages are missed, and the connection goes on."""
    path = str(tmp_path / "s")
    args = ("--mode", "broadcast", "-U", "--type", "SEQPACKET", "--patience", "0", path)
    size, count = 50_000, 400
    with Server(*args, free_port=False) as server, ExitStack() as stack:
        found = []
        for number in range(2):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            sock.settimeout(TIMEOUT)
            sock.connect(path)
            server.wait_for(rb"#%d \S+ connected" % (number + 1))
            found.append(sock)
        slow, sender = found
        for number in range(count):
            sender.send(b"%08d" % number * (size // 8))
        server.wait_for(rb"(?m)^= #1 is behind, and is not waited for")
        got: list[int] = []
        while not got or got[-1] != count - 1:
            message = slow.recv(MIB)
            assert len(message) == size and message == message[:8] * (size // 8)
            got.append(int(message[:8]))
        assert got == sorted(set(got)) and len(got) < count
        lost = server.wait_for(rb"(?m)^sockkit: #1 lost: (\d+) messages?, it was behind")
        assert int(lost[1]) + len(got) == count
        server.wait_for(rb"(?m)^= #1 has caught up")
        sender.send(b"again")
        assert slow.recv(100) == b"again"
        server.stop()


# ---- chat


def test_lines_names_and_who_is_here() -> None:
    with Server("--mode", "chat") as server, server.connect() as one:
        welcome = "-- you are user-{}: /name NAME changes that, /who tells who is here: {}\n"
        assert line(one) == welcome.format(1, "nobody else")
        with server.connect() as two:
            assert line(two) == welcome.format(2, "user-1")
            assert line(one) == "-- user-2 joined\n"
            one.sendall(b"/name alice\r\n")
            assert line(one) == line(two) == "-- user-1 is now alice\n"
            server.wait_for(rb"(?m)^= #1 is called alice \(was user-1\)")
            one.sendall(b"hel")
            one.sendall(b"lo\r\n\n")
            assert line(two) == "<alice> hello\n"
            assert line(two) == "<alice> \n"
            two.sendall("/name Zoë-2\n/who\n/whoever\n".encode())
            assert line(one) == "-- user-2 is now Zoë-2\n"
            assert line(two) == "-- user-2 is now Zoë-2\n"
            assert line(two) == "-- here: alice, Zoë-2\n"
            assert line(one) == "<Zoë-2> /whoever\n"
            assert nothing_to_read(two)
            two.sendall(b"unfinished")
            two.shutdown(socket.SHUT_WR)
            assert line(one) == "<Zoë-2> unfinished\n"
            assert line(one) == "-- Zoë-2 left\n"
            one.sendall(b"still there?\n")
            assert line(two) == "<alice> still there?\n", "who says nothing more still hears the others"
            one.sendall(b"/who\n")
            assert line(one) == "-- here: alice\n"
        server.stop()


def test_a_sender_that_is_gone_in_the_middle_of_a_line() -> None:
    with Server("--mode", "chat") as server, chatters(server, 2) as (one, two):
        one.sendall(b"/who\nI was about t")
        assert line(one) == "-- here: user-1, user-2\n"  # and what came with the question was received
        assert nothing_to_read(two)
        reset(one)
        assert line(two) == "<user-1> I was about t\n"
        assert line(two) == "-- user-1 left\n"
        server.stop()


def test_nothing_that_is_said_drives_a_terminal() -> None:
    with Server("--mode", "chat") as server, chatters(server, 2) as (one, two):
        one.sendall(EVIL)
        said = until(two, b"\n")
        assert said == rb"<user-1> \x1b]0;PWN\x07\x1b[2J\x9b31m\x00\xff\r\x08\x7f[bold]x[/] [/nope] :smile:" + b"\n"
        one.sendall("\u202eevil\u2028x\x85y\n".encode())
        assert line(two) == "<user-1> \\u202eevil\\u2028x\\x85y\n".replace("\\x85", "\\u0085")
        one.sendall(b"-- user-2 left\n")
        assert line(two) == "<user-1> -- user-2 left\n", "a line of the server cannot be forged"
        server.stop()


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (b"\x1b[2J", NAME_RULE),
        (b"", NAME_RULE),
        (b"two words", NAME_RULE),
        (b"<admin>", NAME_RULE),
        (b"\xff", NAME_RULE),
        ("a\u0301\u202e".encode(), NAME_RULE),
        (b"x" * 33, NAME_RULE),
        (b"user-7", "names that begin with user- are given by number"),
        (b"ALICE", "ALICE is somebody else's name"),
        ("\uff21lice".encode(), "\uff21lice is somebody else's name"),
    ],
    ids=ascii,
)
def test_names_that_are_refused(wanted: bytes, refusal: str) -> None:
    names = Names()
    assert names.enter(1) == "user-1"
    assert names.rename(1, b"alice") is None
    names.enter(2)
    assert names.rename(2, wanted) == refusal
    assert names[2] == "user-2"
    assert names.leave(1) == "alice"
    assert names.rename(2, b"Alice") is None, "and free again"
    assert names.rename(2, b"alice") is None, "one may change the case of one's own"


def test_a_name_of_ten_thousand_characters() -> None:
    with Server("--mode", "chat") as server, chatters(server, 2) as (one, two):
        one.sendall(b"/name " + b"A" * 10_000 + b"\n")
        assert line(one) == f"-- {NAME_RULE}\n"
        one.sendall(b"still user-1\n")
        assert line(two) == "<user-1> still user-1\n", "and nothing of it was said"
        server.stop()


def test_a_line_without_end_is_cut_and_nothing_of_it_is_lost() -> None:
    text = "é" * 50_000
    with Server("--mode", "chat") as server, chatters(server, 2) as (one, two):
        one.sendall(text.encode())
        one.shutdown(socket.SHUT_WR)
        got = until(two, b" left\n").decode().splitlines()
        assert got.pop() == "-- user-1 left"
        assert "".join(each.removeprefix("<user-1> ") for each in got) == text
        assert max(map(len, got)) <= MOST_LINE
        server.stop()


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 400))
def test_lines_whatever_way_they_come(pieces: list[bytes], size: int) -> None:
    data = b"\n".join(piece.replace(b"\n", b"") * 40 for piece in pieces)
    whole = Lines()
    expected = whole.feed(data) + whole.end()
    cut = Lines()
    found = [each for at in range(0, len(data), size) for each in cut.feed(data[at : at + size])] + cut.end()
    assert found == expected
    assert all(len(text) <= MOST_LINE and b"\n" not in text for text, _ in found)
    joined = b"".join((b"\n" if begins else b"") + text for text, begins in found).removeprefix(b"\n")
    lines = [each.removesuffix(b"\r") for each in data.split(b"\n")]
    assert joined == b"\n".join(lines[:-1] if not lines[-1] and not data.endswith(b"\r") else lines)


@given(st.binary(max_size=200))
def test_what_is_shown_is_one_harmless_line(data: bytes) -> None:
    text = shown(data.replace(b"\n", b"")).decode()
    assert text.replace("\t", "").isprintable() or TerminalEscaper().whole(text.encode()).decode() == text
    assert "\n" not in text and "\x1b" not in text


def test_a_chat_goes_on_after_a_gap() -> None:
    count, text = 16_000, b"%05d" + b"." * 995 + b"\n"
    with Server("--mode", "chat", "--patience", "0") as server, chatters(server, 2) as (slow, sender):
        for number in range(count):
            sender.sendall(text % number)
            if number % 1000 == 0:
                slow.sendall(b"what oneself says is not missed\n")
        server.wait_for(rb"(?m)^= #1 is behind, and is not waited for")
        sender.sendall(b"the end\n")
        got = until(slow, b"> the end\n").decode().splitlines()
        missed = [int(each.split()[1]) for each in got if each.startswith("-- ")]
        heard = [int(each[9:14]) for each in got[:-1] if not each.startswith("-- ")]
        assert all(
            re.fullmatch(r"<user-2> \d{5}\.{995}|-- \d+ bytes missed: you were behind", each) for each in got[:-1]
        )
        assert heard == sorted(set(heard)) and missed
        assert sum(missed) == (count - len(heard)) * len(b"<user-2> " + text % 0)
        lost = server.wait_for(rb"(?m)^sockkit: #1 lost .*it was behind, and was not waited for")
        assert lost
        server.wait_for(rb"(?m)^= #1 has caught up")
        server.stop()


# ---- with others


def test_ours_as_members() -> None:
    with (
        Server("--mode", "chat") as server,
        chatters(server, 1) as (one,),
        Process("connect", "--recv-only", server.address) as two,
    ):
        assert line(one) == "-- user-2 joined\n"
        assert run("connect", "--send-only", server.address, stdin=b"done\n") == (0, b"", b"")
        two.wait_for(rb"-- user-3 joined\n<user-3> done\n-- user-3 left\n", stream="out")
        assert until(one, b" left\n") == b"-- user-3 joined\n<user-3> done\n-- user-3 left\n"
        server.kill(signal.SIGTERM)
        assert two.finish().status == 0
        server.finish()


def test_crlf_is_what_members_get_where_it_is_asked_for() -> None:
    with Server("--mode", "chat", "-C") as server, ExitStack() as stack:
        one, two = stack.enter_context(server.connect()), None
        assert until(one, b"\n").endswith(b"nobody else\r\n")
        two = stack.enter_context(server.connect())
        until(two, b"\r\n")
        assert until(one, b"\n") == b"-- user-2 joined\r\n"
        one.sendall(b"a\nb\r\n")
        assert until(two, b"b\r\n") == b"<user-1> a\r\n<user-1> b\r\n"
        server.stop()
    with Server("--mode", "broadcast", "-C") as server, members(server, 2) as (one, two):
        one.sendall(b"a\nb\r\n")
        assert exactly(two, 6) == b"a\r\nb\r\n"
        server.stop()


def test_faults_disturb_what_each_gets() -> None:
    args = ("--mode", "broadcast", "--patience", "30", "--fault", "chunk=3,delay=5ms")
    with Server(*args) as server, members(server, 3) as (one, two, three):
        one.sendall(b"0123456789" * 5)
        assert exactly(two, 50) == exactly(three, 50) == b"0123456789" * 5
        server.stop()
    with Server("--mode", "broadcast", "--fault", "corrupt=50%", "--seed", "1") as server, members(server, 3) as found:
        found[0].sendall(bytes(100))
        spoilt = exactly(found[1], 100)
        assert spoilt == exactly(found[2], 100) != bytes(100)
        server.stop()


def test_recordings_have_what_each_said_and_got(tmp_path: Path) -> None:
    path = tmp_path / "r.ndjson"
    with Server("--mode", "broadcast", "-o", str(path)) as server, members(server, 2) as (one, two):
        one.sendall(b"recorded")
        assert exactly(two, 8) == b"recorded"
        server.stop()
    data = [each for each in story_of(path.read_bytes()) if each["event"] == "data"]
    assert [(each["session"], each["direction"], each["payload"]) for each in data] == [
        (1, "received", b64encode(b"recorded").decode()),
        (2, "sent", b64encode(b"recorded").decode()),
    ]


def test_an_idle_member_is_closed_where_that_is_asked_for() -> None:
    with Server("--mode", "broadcast", "--idle-timeout", "0.3") as server, members(server, 1) as (one,):
        assert receive_all(one) == b""
        server.wait_for(rb"#1 idle timeout")
        server.stop()


def test_max_conns_lets_others_wait() -> None:
    with Server("--mode", "chat", "--max-conns", "1") as server, server.connect() as one:
        assert line(one).startswith("-- you are user-1")
        with server.connect() as two:
            assert nothing_to_read(two)
            one.shutdown(socket.SHUT_WR)
            one.close()
            two.sendall(b"x\n")
        server.stop(busy=True)


@pytest.mark.once
@pytest.mark.parametrize("peer", ["ncat", "nc"])
def test_real_peers_are_members(peer: str) -> None:
    with Server("--mode", "chat") as server, chatters(server, 1) as (one,):
        command = [need(peer), *(("-N",) if peer == "nc" else ()), "127.0.0.1", str(server.port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdin is not None and process.stdout is not None
            assert line(one) == "-- user-2 joined\n"
            process.stdin.write(b"/name bob\nhello\n")
            assert line(one) == "-- user-2 is now bob\n"
            assert line(one) == "<bob> hello\n"
            one.sendall(b"hi bob\n")
            process.stdin.close()
            assert line(one) == "-- bob left\n"
            server.kill(signal.SIGTERM)
            out = process.stdout.read()
        assert out.endswith(b"-- user-2 is now bob\n<user-1> hi bob\n")
        server.finish()


# ---- bad input


@pytest.mark.parametrize(
    ("args", "option"),
    [
        (["--mode", "broadcast", "--once"], "--once"),
        (["--mode", "chat", "-k"], "-k"),
        (["--mode", "chat", "-u"], "--mode"),
        (["--mode", "chat", "--to", "127.0.0.1:1"], "--to"),
        (["--mode", "chat", "--message-size", "3", "-U", "--type", "SEQPACKET", "/nowhere/s"], "--message-size"),
        (["--mode", "broadcast", "--lines", "-u"], "--lines"),
        (["--mode", "broadcast", "-C", "-u"], "-C"),
        (["--mode", "broadcast", "--patience", "2", "-u"], "--patience"),
        (["--mode", "broadcast", "-u", "-U", "@sockkit-test-together"], "--mode"),
        (["--patience", "1"], "--patience"),
        (["--mode", "broadcast", "--patience", "-1"], "--patience"),
        (["--mode", "broadcast", "--code"], "--code"),
        (["--mode", "brodcast"], "--mode"),
    ],
    ids=" ".join,
)
def test_what_means_nothing_is_refused_by_name(args: list[str], option: str) -> None:
    result = run("serve", *args)
    assert (result.status, result.out) == (2, b"")
    assert option in result.said and len(result.said.splitlines()) <= 2


@pytest.mark.once
@needs_linux
def test_a_thousand_members_a_hundred_of_whom_never_read() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        pytest.skip(f"CANNOT: only {hard} descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    with (
        Server("--mode", "broadcast", "--patience", "5", memory=96 * MIB) as server,
        members(server, 1000) as everybody,
    ):
        before = resident(server.pid)
        sender, readers = everybody[-1], everybody[100:-1]

        def hear() -> None:
            heard = dict.fromkeys(readers, 0)
            poll = select.poll()
            by_number = {sock.fileno(): sock for sock in readers}
            for number in by_number:
                poll.register(number, select.POLLIN)
            while by_number:
                for number, _ in poll.poll(TIMEOUT * 1000):
                    sock = by_number[number]
                    chunk = sock.recv(MIB)
                    assert chunk == (BLOCK * 2)[heard[sock] % MIB :][: len(chunk)]
                    heard[sock] += len(chunk)
                    if heard[sock] == MIB:
                        poll.unregister(number)
                        del by_number[number]

        hearing = Task(hear)
        for at in range(0, MIB, 16384):
            sender.sendall(BLOCK[at : at + 16384])
        hearing.get(120)
        assert resident(server.pid) - before < 24 * MIB
        server.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- datagrams


@contextmanager
def udp_peers(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Peers that the server has heard from."""
    with ExitStack() as stack:
        found: list[socket.socket] = []
        for number in range(count):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.settimeout(TIMEOUT)
            sock.connect(("127.0.0.1", server.port))
            sock.send(b"here")
            server.wait_for(rb"#%d \S+ connected" % (number + 1))
            for other in found:
                assert other.recv(100) == b"here"
            found.append(sock)
        yield found


def test_datagrams_go_to_everybody_who_was_heard_from() -> None:
    with Server("--mode", "broadcast", "-u") as server, udp_peers(server, 3) as (one, two, three):
        for message in (b"", b"x" * 60_000, b"end"):
            one.send(message)
            assert two.recv(70_000) == three.recv(70_000) == message
        assert nothing_to_read(one)
        two.close()
        one.send(b"still")
        assert three.recv(100) == b"still"
        result = server.stop()
    assert "sockkit: " not in result.said
