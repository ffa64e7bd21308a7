"""The story: what a line says, floods, a hex dump, and a reader who does not read."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from datetime import datetime

import pytest

from sockkit.events import Closed, Data, Direction, Event, Side
from sockkit.render.hexdump import dump
from sockkit.render.stderr import MOST, ROOM, Stderr
from sockkit.render.story import LINES_A_SECOND, Flood, lines
from tests.harness import SOCKKIT, TIMEOUT, Process, Server, is_idle, listener, need, needs_linux, on_terminal, run
from tests.peers import Task, eventually, read_all

BINARY = bytes(range(256))


def data(time: float, size: int = 1) -> Data:
    return Data(time, 1, Direction.SENT, 0, size, b"x", False)


# ---- the lines


def test_the_articles_exchange_as_a_story() -> None:
    with Server("-v") as server:
        done = run("connect", "-v", server.address, stdin=b"Hello, world")
        server.stop()
    ours = [re.sub(r"^(.) +[\d.]+ ", r"\1 ", line) for line in done.said.splitlines() if line[0] != "*"]
    local = re.search(r"here: ([^)]+)", ours[0])
    assert local is not None
    assert ours == [
        f"= #1 {server.address} connected (here: {local[1]})",
        "> #1 12 bytes at 0: Hello, world",
        "= #1 stdin ended",
        "= #1 FIN sent",
        "< #1 12 bytes at 0: Hello, world",
        "= #1 FIN received",
        f"x #1 {server.address} closed: received 12 bytes, sent 12 bytes in {ours[-1].split(' in ')[1][:5]} s; we ended first",
    ]
    assert re.search(rf"< +[\d.]+ #1 {local[1]} 12 bytes at 0: Hello, world\n".encode(), server.err)


def test_a_reset_is_seen() -> None:
    with listener() as sock, Process("connect", "-v", f"127.0.0.1:{sock.getsockname()[1]}") as process:
        peer = sock.accept()[0]
        peer.sendall(b"x")
        process.wait_for(b"x", stream="out")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        done = process.finish()
    assert done.status == 1
    assert re.search(r"(?m)^= +[\d.]+ #1 RST received$", done.said)
    assert re.search(r"(?m)^! +[\d.]+ #1 receive from [^\n]* \[ECONNRESET 104\]$", done.said)


def test_a_rate_where_there_is_one() -> None:
    closed = Closed(0.0, 1, "peer", 2_000_000, 500_000, 2.0, Side.LOCAL, None)
    assert lines(closed)[0].text.endswith("in 2.000 s, 1.2 MB/s; we ended first")


@pytest.mark.parametrize("kind", ["relative", "absolute", "delta"])
def test_times(kind: str) -> None:
    with Server() as server:
        done = run("connect", "-v", "--time", kind, server.address, stdin=b"x")
    found = [re.match(r". +(\S+(?: \d\d:\S+)?) ", line) for line in done.said.splitlines()]
    texts = [match[1] for match in found if match is not None]
    assert len(texts) == len(found) > 10
    if kind == "absolute":
        moments = [datetime.fromisoformat(text) for text in texts]
        assert abs((datetime.now() - moments[-1]).total_seconds()) < 60
    else:
        assert all(text.startswith("+") == (kind == "delta") for text in texts)
        numbers = [float(text) for text in texts]
        assert min(numbers) >= 0 and max(numbers) < TIMEOUT


def test_times_where_errors_alone_are_said() -> None:
    assert re.fullmatch(
        r"!   0\.\d{4} connect to [^\n]*\n!   0\.\d{4} [^\n]*\n",
        run("connect", "--time", "relative", "127.0.0.1:1").said,
    )


def test_previews_fill_the_terminal() -> None:
    for columns in (60, 120):
        with Server("--once") as server:
            screen = on_terminal(
                "connect", server.address, "-v", columns=columns, typed=b"y" * 200 + b"\n\x04", until=rb"connected"
            )
        shown = [line for line in screen.shown.decode().splitlines() if " at 0: yyy" in line]
        assert shown and all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) == columns and "…" in line for line in shown), (
            shown
        )


# ---- floods


def test_a_flood_is_counted_once_a_second() -> None:
    flood = Flood()
    said = []
    for i in range(300):  # three seconds, a hundred a second
        event = data(100 + i / 100, 10)
        summary = flood.summary(event)
        if summary is not None:
            said.append(summary.text)
        if flood.passes(event):
            said.append("line")
    rest = flood.summary(Closed(104.0, 1, "", 0, 0, 1.0, None, None))
    assert rest is not None
    counted = "and 90 more transfers, 900 bytes, not shown one by one"
    assert [*said, rest.text] == [*["line"] * LINES_A_SECOND, counted] * 3


# ---- a reader who does not read


def make_dropped(count: int) -> bytes:
    return b"dropped %d\n" % count


def test_what_nobody_reads_is_dropped_and_counted() -> None:
    read, write = os.pipe()
    try:
        story = Stderr(write, make_dropped)
        line = b"d" * 99 + b"\n"
        given = 0
        while given < 2 * ROOM:
            story.write(line, droppable=True)
            given += len(line)
        story.write(b"an error\n", droppable=False)
        os.set_blocking(read, False)
        found = bytearray()
        for _ in range(1000):  # it is read again: what waited comes, in order
            try:
                found += os.read(read, 1 << 20)
            except BlockingIOError:
                break
            story.write(b"more\n", droppable=True)
        found += collect(story, read)
    finally:
        os.close(write)
        os.close(read)
    rows = bytes(found).splitlines(keepends=True)
    whole = rows.count(line)
    (said,) = [row for row in rows if row.startswith(b"dropped")]
    assert rows.index(b"an error\n") == whole, "after what waited before it"
    assert int(said.split()[1]) == given // len(line) - whole
    assert b"more\n" in rows


def test_lines_about_states_are_bounded_too() -> None:
    """A server that nobody listens to for a week must not grow for it."""
    read, write = os.pipe()
    try:
        story = Stderr(write, make_dropped)
        line, given = b"=" * 99 + b"\n", 3 * MOST // 100
        for number in range(given):
            story.write(line, droppable=number % 2 == 0)
        reader = Task(read_all, read)
        story.close()
        os.close(write)
        found = reader.get()
    finally:
        os.close(read)
    rows = found.splitlines(keepends=True)
    (said,) = [row for row in rows if row.startswith(b"dropped")]
    assert rows.count(line) + int(said.split()[1]) == given
    assert MOST <= rows.count(line) * len(line) <= MOST + (1 << 17), "what may wait, and what the pipe holds"


@needs_linux
@pytest.mark.parametrize("args", [[], ["--json"]], ids=" ".join)
def test_a_line_that_waits_comes_when_it_is_read_not_with_the_next_event(args: list[str]) -> None:
    read, write = os.pipe()
    ready, tell = os.pipe()
    os.set_blocking(write, False)
    filled = 0
    try:
        while True:
            filled += os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    command = [*SOCKKIT, "serve", *args, "--port", "0", "--ready-fd", str(tell)]
    try:
        with subprocess.Popen(command, stderr=write, pass_fds=[tell]) as server:
            try:
                assert os.read(ready, 100).startswith(b"127.0.0.1:")
                data = b""
                while len(data) < filled or not data.endswith(b"\n"):
                    assert select.select([read], [], [], TIMEOUT)[0], data[filled:]
                    data += os.read(read, 65536)
                assert b"listening" in data[filled:]
                eventually(lambda: is_idle(server.pid))  # nothing is asked over and over
            finally:
                server.terminate()
    finally:
        for fd in (read, write, ready, tell):
            os.close(fd)


def collect(story: Stderr, read: int) -> bytes:
    """What comes while it is closed."""
    found = bytearray()

    def reader() -> None:
        os.set_blocking(read, True)
        while not done.is_set() or found[-5:] != b"more\n":
            found.extend(os.read(read, 1 << 20))

    done = threading.Event()
    thread = threading.Thread(target=reader)
    thread.start()
    story.write(b"more\n", droppable=True)
    story.close()
    done.set()
    thread.join(TIMEOUT)
    return bytes(found)


def test_nobody_to_read_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    story = Stderr(write, make_dropped)
    story.write(b"line\n", droppable=False)
    story.close()
    os.close(write)


@needs_linux
@pytest.mark.parametrize("args", [["-v"], ["--json", "--payload", "base64"], ["-x"], ["-v", "--json"]], ids=" ".join)
def test_a_blocked_stderr_never_stalls_the_flow(args: list[str]) -> None:
    """8 MiB echoed while nobody reads stderr at all."""
    given = random.Random(1).randbytes(8 << 20)
    read, write = os.pipe()
    try:
        with Server() as server:
            done = subprocess.run(
                [*SOCKKIT, "connect", *args, server.address],
                input=given, stdout=subprocess.PIPE, stderr=write, check=False, timeout=TIMEOUT,
            )  # fmt: skip
        assert done.stdout == given
        assert done.returncode == 0
    finally:
        os.close(write)
        os.close(read)


# ---- the hex dump


@pytest.mark.parametrize("offset", [0, 16, 3, 4090, 65520, (1 << 31) - 32])
@pytest.mark.parametrize("size", [0, 1, 2, 15, 16, 17, 4096, 70_001])
def test_the_dump_is_xxds(size: int, offset: int) -> None:
    given = random.Random(size).randbytes(size)
    judge = subprocess.run([need("xxd"), "-o", str(offset)], input=given, capture_output=True, check=True).stdout
    found = dump(given, offset, ">")
    assert b"".join(line[4:] for line in found.splitlines(keepends=True)) == judge
    assert all(line.startswith(b">   ") for line in found.splitlines())


def test_offsets_beyond_eight_digits() -> None:
    assert dump(b"abc", 1 << 36, "<") == b"< 1000000000: 6162 63                                  abc\n"


def undumped(said: bytes, key: bytes) -> bytes:
    rows = b"\n".join(
        row[4:] for row in said.splitlines() if row.startswith(key + b"   ") and row[4:].lstrip()[8:9] == b":"
    )
    return subprocess.run([need("xxd"), "-r"], input=rows + b"\n", capture_output=True, check=True).stdout


def test_n7_the_dump_read_backwards_is_what_passed() -> None:
    """N7."""
    given = random.Random(7).randbytes(100_000)
    with Server("--once", "-x") as server:
        done = run("connect", "-x", server.address, stdin=given)
        assert done.out == given
        result = server.finish()
    for said in (done.err, result.err):
        assert undumped(said, b">") == undumped(said, b"<") == given
    assert re.search(rb"(?m)^>   0\.\d{4} #1 [^\n]* at 0$", done.err), "a line with the time before each"


def test_the_dump_of_messages_begins_anew_with_each() -> None:
    with Server("-u", "-x") as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(("127.0.0.1", server.port))
            for message in (b"one", b"two"):
                sock.send(message)
                assert sock.recv(100) == message
        server.stop()
    assert server.err.count(b"<   00000000: ") == 2


def test_what_contradicts_a_dump() -> None:
    assert "-q and -x contradict" in run("connect", "-q", "-x").said
    assert "--json and -x contradict" in run("serve", "--json", "-x").said
    done = run("connect", "-x", "dump.txt", "localhost", "80")
    assert done.status == 2 and done.said.startswith("sockkit: -x: nc and ncat mean different things by it\n")
    assert "sockkit: type: sockkit connect -x localhost 80 2> dump.txt" in done.said


@needs_linux
def test_k4_a_dump_of_much_takes_no_memory_and_answers_a_signal() -> None:
    with listener() as sock, Process("connect", "-x", f"127.0.0.1:{sock.getsockname()[1]}") as process:
        peer = sock.accept()[0]
        with peer:
            left = 64
            while left:
                peer.sendall(bytes(1 << 20))
                left -= 1
                process.err.clear()
                process.out.clear()
            with open(f"/proc/{process.pid}/status") as status:
                memory = next(line for line in status if line.startswith("VmRSS"))
            assert int(memory.split()[1]) < 96 * 1024, memory
            begun = time.monotonic()
            process.kill(signal.SIGINT)
            process.popen.wait(TIMEOUT)
            assert time.monotonic() - begun < 5
            assert process.popen.returncode == -signal.SIGINT


def test_every_event_has_its_words() -> None:
    from typing import get_args

    from sockkit.events import Changed, Code, Progress, Report, Sample
    from sockkit.render.story import _WORDS

    assert set(_WORDS) == set(get_args(Event)) - {Report, Code, Progress, Sample, Changed}
