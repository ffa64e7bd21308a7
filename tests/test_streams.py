"""Streams, and messages over a connection: ``serve`` and ``connect`` as processes, against sockets and other netcats.

Names such as ``test_b6_…`` count the cases that every netcat has had bugs in: a data integrity and stdio, b ends of input,
c slow peers, d many clients, e exhausted resources, f signals, h Unix paths, j addresses, k hostile peers.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import pty
import random
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from tests.harness import (
    ENVIRONMENT,
    SOCKKIT,
    TIMEOUT,
    Process,
    Server,
    listener,
    need,
    needs_ipv6,
    needs_linux,
    needs_unix,
    on_terminal,
    receive_all,
    run,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes and signals as POSIX has them")

T = TypeVar("T")
MIB = 1 << 20
RANDOM = random.Random(65432)
BLOCK = RANDOM.randbytes(MIB)
DEFAULT_PORT = 65432
SEQPACKET: int = getattr(socket, "SOCK_SEQPACKET", -1)


# ---- tools


class Task(threading.Thread, Generic[T]):
    """A function that runs beside the test; ``get`` gives what it returned, or raises what it raised."""

    def __init__(self, function: Callable[..., T], *args: object) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._args = args
        self._result: list[T] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result.append(self._function(*self._args))
        except BaseException as error:
            self._error = error

    def get(self, timeout: float = TIMEOUT) -> T:
        self.join(timeout)
        assert not self.is_alive(), f"still busy after {timeout} s"
        if self._error is not None:
            raise self._error
        return self._result[0]


@contextmanager
def accepted(sock: socket.socket) -> Iterator[socket.socket]:
    """The next connection to a listener, with a timeout."""
    connection = sock.accept()[0]
    with connection:
        connection.settimeout(TIMEOUT)
        yield connection


def port_of(sock: socket.socket) -> str:
    return str(sock.getsockname()[1])


def reset(sock: socket.socket) -> None:
    """Close so that the peer gets a RST (socket(7), SO_LINGER 0)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        assert chunk, f"the end after {len(data)} of {size}: {bytes(data[:100])!r}"
        data += chunk
    return bytes(data)


def blocks(count: int) -> Iterator[bytes]:
    """``count`` MiB, no two alike."""
    for number in range(count):
        yield number.to_bytes(8, "big") + BLOCK[8:]


def pour(write: Callable[[bytes], object], count: int, end: Callable[[], object]) -> str:
    """Write ``blocks`` and an end; their SHA-256."""
    digest = hashlib.sha256()
    for block in blocks(count):
        digest.update(block)
        write(block)
    end()
    return digest.hexdigest()


def write_all(fd: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    return write


def drain_digest(read: Callable[[int], bytes]) -> tuple[int, str]:
    """Size and SHA-256 of everything up to the end."""
    digest, size = hashlib.sha256(), 0
    while data := read(MIB):
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def digest_of(count: int) -> str:
    digest = hashlib.sha256()
    for block in blocks(count):
        digest.update(block)
    return digest.hexdigest()


def eventually(condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
    """Wait for what no event tells, such as a number in /proc."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)


def ticks(pid: int) -> int:
    """CPU time used, in clock ticks (10 ms), proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def resident(pid: int) -> int:
    """Bytes of resident memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def send_until_stuck(sock: socket.socket) -> int:
    """Send until nothing more is taken for half a second; how much was."""
    sent = 0
    sock.settimeout(0.5)
    try:
        while True:
            assert sent < 64 * MIB, "there is no back-pressure"
            sent += sock.send(BLOCK)
    except TimeoutError:
        return sent
    finally:
        sock.settimeout(TIMEOUT)


def send_until_refused(sock: socket.socket) -> None:
    try:
        while True:
            sock.sendall(BLOCK)
    except ConnectionError:
        pass


def receive_end(sock: socket.socket) -> None:
    """The connection is over, in order or not."""
    try:
        assert sock.recv(1) == b""
    except ConnectionError:
        pass


def idle_descriptors(server: Server) -> int:
    """How many it has when it has served somebody and nobody is left."""
    with server.connect() as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
    server.wait_for(rb"#1 \S+ closed[^\n]*\n")
    return descriptors(server.pid)


def unsent(sock: socket.socket) -> int:
    """Bytes that the peer's kernel has not taken yet: SIOCOUTQ, tcp(7)."""
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), 0x5411, b"\0\0\0\0"))[0])


def is_idle(pid: int, window: float = 0.5, most: int = 2) -> bool:
    """True if it uses next to no CPU during ``window`` seconds."""
    before = ticks(pid)
    time.sleep(window)  # the window of a measurement, not a wait for anything
    return ticks(pid) - before <= most


def shell(*commands: str) -> list[str]:
    """A prefix that runs shell commands before sockkit, in the same process."""
    return ["bash", "-c", f'{"; ".join(commands)}; exec "$@"', "-"]


def free_port(type: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, type) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def need_default_port() -> None:
    try:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", DEFAULT_PORT))
    except OSError as error:
        pytest.skip(f"CANNOT: port {DEFAULT_PORT} is taken: {error}")


def with_names(tmp_path: Path, resolv_conf: str, hosts: str, sources: str) -> list[str]:
    """A prefix that runs sockkit with a name service of the test's own, in a mount namespace."""
    contents = {"resolv.conf": resolv_conf, "hosts": hosts, "nsswitch.conf": f"hosts: {sources}\n"}
    script = ""
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        script += f"mount --bind {tmp_path / name} /etc/{name} && "
    prefix = [need("unshare"), "-m", "bash", "-c", script + 'exec "$@"', "-"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("CANNOT: no mount namespace may be made here")
    return prefix


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe; whichever was not closed by then is closed at the end."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for fd in ends:
            try:
                os.close(fd)
            except OSError:
                pass


def read_all(fd: int, pause: float = 0) -> bytes:
    data = bytearray()
    while chunk := os.read(fd, 65536):
        data += chunk
        time.sleep(pause)  # a slow reader is the case, where it is one
    return bytes(data)


# ---- hello


def test_hello_at_the_default_address() -> None:
    need_default_port()
    with Server(free_port=False) as server:
        assert server.address == f"127.0.0.1:{DEFAULT_PORT}"
        assert run("connect", stdin=b"Hello, world\n") == (0, b"Hello, world\n", b"")


@pytest.mark.parametrize("payload", [b"", b"x", b"Hello, world\n", b"no newline at the end", b"\n" * 5], ids=repr)
def test_echo(payload: bytes) -> None:
    with Server() as server:
        assert run("connect", str(server.port), stdin=payload) == (0, payload, b"")


def test_addresses_may_be_written_in_several_ways() -> None:
    with Server() as server:
        for words in (
            ["127.0.0.1", str(server.port)],
            [f"127.0.0.1:{server.port}"],
            ["-4", "localhost", str(server.port)],
        ):
            assert run("connect", *words, stdin=b"hi") == (0, b"hi", b"")


def test_discard_throws_away_and_ends() -> None:
    with Server("--mode", "discard") as server:
        assert run("connect", str(server.port), stdin=b"x" * MIB) == (0, b"", b"")
        server.wait_for(
            rb"#1 \S+ closed: received 1\.0 MiB \(1048576 bytes\), sent 0 bytes in \d+\.\d{3} s; the peer ended first"
        )


def test_the_story_of_a_server_is_one_line_per_open_and_close() -> None:
    with Server() as server:
        with server.connect() as client:
            where = "{}:{}".format(*client.getsockname())
            client.sendall(b"12345")
            assert exactly(client, 5) == b"12345"
        server.wait_for(rb"closed[^\n]*\n")
        result = server.stop()
    assert result.status == -signal.SIGTERM
    assert result.out == b""
    first, opened, closed, total = result.said.splitlines()
    assert first == f"listening on {server.address} (this host only; others: sockkit serve 0.0.0.0 {server.port})"
    assert opened == f"= #1 {where} connected (here: {server.address})"
    assert re.fullmatch(
        rf"x #1 {where} closed: received 5 bytes, sent 5 bytes in \d+\.\d{{3}} s; the peer ended first", closed
    )
    assert re.fullmatch(r"x total: 1 session, received 5 bytes, sent 5 bytes in \d+\.\d{3} s", total)


# ---- a: data integrity and stdio


def test_one_gib_through_serve_and_connect() -> None:
    count = 1024
    with (
        Server() as server,
        pipe() as (stdin, feed),
        pipe() as (drain, stdout),
        Process("connect", str(server.port), stdin=stdin, stdout=stdout) as client,
    ):
        os.close(stdin)
        os.close(stdout)
        feeding = Task(pour, write_all(feed), count, lambda: os.close(feed))
        draining = Task(drain_digest, lambda size: os.read(drain, size))
        sent = feeding.get(100)
        assert draining.get(100) == (count * MIB, sent)
        assert client.finish() == (0, b"", b"")


def exchange(
    connection: socket.socket, process: Process, out: int, count: int
) -> tuple[str, tuple[int, str], str, tuple[int, str]]:
    """``count`` MiB both ways at once between a peer's socket and a process's stdin and stdout."""
    assert process.popen.stdin is not None
    feed = process.popen.stdin.fileno()
    tasks = (
        Task(pour, connection.sendall, count, lambda: connection.shutdown(socket.SHUT_WR)),
        Task(drain_digest, lambda size: os.read(out, size)),
        Task(pour, write_all(feed), count, process.close_stdin),
        Task(drain_digest, connection.recv),
    )
    return tuple(task.get(60) for task in tasks)  # type: ignore[return-value]


@pytest.mark.parametrize("side", ["connect", "serve"])
def test_a1_64_mib_both_ways_at_once(side: str) -> None:
    count = 64
    with ExitStack() as stack:
        drain, stdout = stack.enter_context(pipe())
        if side == "connect":
            sock = stack.enter_context(listener())
            process: Process = stack.enter_context(Process("connect", port_of(sock), stdout=stdout))
            connection = stack.enter_context(accepted(sock))
        else:
            server = stack.enter_context(Server("--mode", "pipe", stdout=stdout))
            process, connection = server, stack.enter_context(server.connect())
        os.close(stdout)
        there_sent, here_got, here_sent, there_got = exchange(connection, process, drain, count)
        assert here_got == (count * MIB, there_sent)
        assert there_got == (count * MIB, here_sent)
        assert process.finish().status == 0


@pytest.mark.parametrize("side", ["connect", "serve"])
def test_a2_a_peer_that_sends_30_mb_before_it_reads(side: str, tmp_path: Path) -> None:
    content = BLOCK * 29  # 30,408,704 bytes
    stdin = tmp_path / "stdin"
    stdin.write_bytes(content[::-1])
    with ExitStack() as stack:
        drain, stdout = stack.enter_context(pipe())
        given = stack.enter_context(stdin.open("rb"))
        if side == "connect":
            sock = stack.enter_context(listener())
            process: Process = stack.enter_context(
                Process("connect", port_of(sock), stdin=given.fileno(), stdout=stdout)
            )
            peer = stack.enter_context(accepted(sock))
        else:
            server = stack.enter_context(Server("--mode", "pipe", stdin=given.fileno(), stdout=stdout))
            process, peer = server, stack.enter_context(server.connect())
        os.close(stdout)
        received = Task(read_all, drain)
        peer.sendall(content)
        peer.shutdown(socket.SHUT_WR)
        assert receive_all(peer) == content[::-1]
        assert received.get() == content
        assert process.finish().status == 0


def test_a4_a_prompt_without_a_newline_is_passed_on_at_once() -> None:
    with listener() as sock, Process("connect", port_of(sock)) as client, accepted(sock) as peer:
        begun = time.monotonic()
        peer.sendall(b"login: ")
        client.wait_for(rb"^login: $", stream="out")
        assert time.monotonic() - begun < 2
        client.send(b"root")  # no newline here either
        assert exactly(peer, 4) == b"root"
        client.close_stdin()
        assert peer.recv(1) == b""
        peer.close()
        assert client.finish() == (0, b"login: ", b"")


def test_a5_all_byte_values_cut_anywhere() -> None:
    every = bytes(range(256)) + b"\r\r\n\n\r\x1a\x04\xff"
    with listener() as sock, Process("connect", port_of(sock)) as client, accepted(sock) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(len(every) + 1):
            peer.sendall(every[:cut])
            peer.sendall(every[cut:])
            client.send(every[:cut])
            client.send(every[cut:])
        peer.shutdown(socket.SHUT_WR)
        client.close_stdin()
        whole = every * (len(every) + 1)
        assert receive_all(peer) == whole
        assert client.finish() == (0, whole, b"")


def test_a5_crlf_has_one_cr_per_lf_also_across_reads() -> None:
    with listener() as sock, Process("connect", "--crlf", port_of(sock)) as client, accepted(sock) as peer:
        client.send(b"a\r")
        assert exactly(peer, 2) == b"a\r", "so the CR is out before the LF is read"
        client.send(b"\nb\nc\r\n\r")
        assert exactly(peer, 8) == b"\nb\r\nc\r\n\r"
        client.send(b"d\n\n")
        client.close_stdin()
        assert receive_all(peer) == b"d\r\n\r\n"
        peer.close()
        assert client.finish() == (0, b"", b"")


def test_a5_crlf_changes_what_is_sent_not_what_is_received() -> None:
    with listener() as sock:
        reply = Task(lambda: _reply_with(sock, b"1\n2\r\n"))
        assert run("connect", "-C", port_of(sock), stdin=b"GET /\n\n") == (0, b"1\n2\r\n", b"")
        assert reply.get() == b"GET /\r\n\r\n"


def _reply_with(sock: socket.socket, reply: bytes) -> bytes:
    """Play a peer that reads to the end, then replies."""
    with accepted(sock) as peer:
        request = receive_all(peer)
        peer.sendall(reply)
        return request


def _file(stack: ExitStack, content: bytes, tmp_path: Path) -> int:
    (tmp_path / "stdin").write_bytes(content)
    return stack.enter_context((tmp_path / "stdin").open("rb")).fileno()


def _terminal(stack: ExitStack, content: bytes, tmp_path: Path) -> int:
    master, slave = pty.openpty()
    stack.callback(os.close, master)
    stack.callback(os.close, slave)
    os.write(master, content + b"\x04")  # Ctrl-D at the beginning of a line is the end of input
    return slave


def _socket(stack: ExitStack, content: bytes, tmp_path: Path) -> int:
    here, there = (stack.enter_context(sock) for sock in socket.socketpair())

    def feed() -> None:
        here.sendall(content)
        here.shutdown(socket.SHUT_WR)

    stack.callback(Task(feed).get)
    return there.fileno()


def _fifo(stack: ExitStack, content: bytes, tmp_path: Path) -> int:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    Task(lambda: path.write_bytes(content))
    return stack.enter_context(path.open("rb")).fileno()


@pytest.mark.parametrize(
    ("kind", "content"),
    [(_file, BLOCK), (_file, b""), (_terminal, b"typed\n"), (_socket, BLOCK), (_fifo, BLOCK)],
    ids=["file", "empty file", "terminal", "socketpair", "fifo"],
)
def test_a6_any_stdin(kind: Callable[[ExitStack, bytes, Path], int], content: bytes, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        stdin = kind(stack, content, tmp_path)
        before = fcntl.fcntl(stdin, fcntl.F_GETFL)
        assert run("connect", str(server.port), stdin=stdin) == (0, content, b"")
        assert fcntl.fcntl(stdin, fcntl.F_GETFL) == before, "O_NONBLOCK is the lender's"


def test_a6_dev_null_is_an_end_of_input_at_once() -> None:
    with listener() as sock:
        request = Task(lambda: _reply_with(sock, b"greeting"))
        result = run("connect", "-v", port_of(sock), stdin=None)
        assert request.get() == b""
    assert (result.status, result.out) == (0, b"greeting")
    assert "stdin ended" in result.said


def test_a6_a_directory_as_stdin_is_refused(tmp_path: Path) -> None:
    """By Python itself, before any code of ours runs; the words are its, the status is right."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with Server() as server:
            done = subprocess.run(
                [*SOCKKIT, "connect", str(server.port)], stdin=fd, capture_output=True, timeout=TIMEOUT, check=False
            )
    finally:
        os.close(fd)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is a directory" in done.stderr


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "nonblocking"])
def test_a9_a_slow_reader_of_stdout(blocking: bool) -> None:
    content = (BLOCK * 2)[:2_000_000]
    with listener() as sock, pipe() as (drain, stdout):
        os.set_blocking(stdout, blocking)
        with Process("connect", port_of(sock), stdin=subprocess.DEVNULL, stdout=stdout) as client:
            with accepted(sock) as peer:
                peer.sendall(content[:1000])
                sending = Task(peer.sendall, content[1000:])
                received = Task(read_all, drain, 0.002)
                sending.get()
            assert client.popen.wait(TIMEOUT) == 0
            assert os.get_blocking(stdout) is blocking, "O_NONBLOCK is the lender's"
            os.close(stdout)
            assert received.get() == content
            assert client.finish() == (0, b"", b"")


def test_a10_a_nonblocking_stdin_that_is_empty_at_first() -> None:
    with listener() as sock, pipe() as (stdin, feed):
        os.set_blocking(stdin, False)
        with Process("connect", port_of(sock), stdin=stdin) as client, accepted(sock) as peer:
            assert not select.select([peer], [], [], 0.3)[0], "nothing was there, so nothing comes, no end either"
            os.write(feed, b"late")
            os.close(feed)
            assert receive_all(peer) == b"late"
            peer.close()
            assert client.finish() == (0, b"", b"")


@needs_linux
def test_a12_signals_that_interrupt_system_calls() -> None:
    count = 32
    with listener() as sock, pipe() as (drain, stdout), Process("connect", port_of(sock), stdout=stdout) as client:
        os.close(stdout)
        with accepted(sock) as peer:
            transfer = Task(exchange, peer, client, drain, count)
            for turn in range(200):
                client.kill(signal.SIGWINCH)
                client.kill(signal.SIGCONT)
                if turn in (50, 150):
                    client.kill(signal.SIGSTOP)
                    os.waitid(os.P_PID, client.pid, os.WSTOPPED)
                    client.kill(signal.SIGCONT)
            there_sent, here_got, here_sent, there_got = transfer.get()
        assert here_got == (count * MIB, there_sent)
        assert there_got == (count * MIB, here_sent)
        assert client.finish() == (0, b"", b"")


def test_a15_out_of_band_data_is_sent_and_shown() -> None:
    with Server() as server:
        assert run("connect", "--oob", "!", str(server.port), stdin=b"hello\n") == (0, b"hello\n", b"")
        server.wait_for(rb"< #1 out-of-band: !\n")
        server.wait_for(rb"#1 \S+ closed: received 6 bytes, sent 6 bytes")


@needs_linux
def test_a15_an_urgent_byte_is_shown_and_is_not_in_the_stream() -> None:
    with listener() as sock, Process("connect", "-v", port_of(sock)) as client, accepted(sock) as peer:
        peer.sendall(b"abc")
        client.wait_for(rb"abc", stream="out")
        peer.send(b"\x07", socket.MSG_OOB)
        client.wait_for(rb"out-of-band: \\x07\n")
        peer.sendall(b"def")
        client.wait_for(rb"abcdef", stream="out")
        assert is_idle(client.pid), "it must not spin over the urgent byte"
        client.close_stdin()
        peer.close()
        result = client.finish()
    assert (result.status, result.out) == (0, b"abcdef")


def test_a15_an_urgent_byte_within_a_burst() -> None:
    with listener() as sock, Process("connect", "-v", port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"abc")
            peer.send(b"U", socket.MSG_OOB)
            peer.sendall(b"def")
        client.close_stdin()
        result = client.finish()
    assert (result.status, result.out) == (0, b"abcdef")
    assert "out-of-band: U\n" in result.said


# ---- b: half-close and ends


def test_b1_a_reply_that_comes_two_seconds_after_the_end_of_stdin() -> None:
    content = BLOCK[:1_000_000]

    def reply(sock: socket.socket) -> bytes:
        with accepted(sock) as peer:
            request = receive_all(peer)
            time.sleep(2)  # the case: longer than any patience that a netcat has
            peer.sendall(content)
            return request

    with listener() as sock:
        request = Task(reply, sock)
        assert run("connect", port_of(sock), stdin=b"x") == (0, content, b"")
        assert request.get() == b"x"


def test_b2_the_peer_ends_while_stdin_stays_open_and_idle() -> None:
    with listener() as sock, Process("connect", port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"bye")
        begun = time.monotonic()
        assert client.finish() == (0, b"bye", b"")
        assert time.monotonic() - begun < 2.5


def test_b2_the_peer_ends_while_a_terminal_stays_open() -> None:
    with listener() as sock:

        def bye() -> None:
            with accepted(sock) as peer:
                peer.sendall(b"bye")

        serving = Task(bye)
        begun = time.monotonic()
        screen = on_terminal("connect", port_of(sock))
        assert time.monotonic() - begun < 4
        serving.get()
    assert screen.status == 0
    assert b"bye" in screen.shown


def test_b2_after_end_says_how_long_an_idle_stdin_is_waited_for() -> None:
    with listener() as sock, Process("connect", "-v", "--after-end", "0.1", port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"bye")
        result = client.finish()
    assert (result.status, result.out) == (0, b"bye")
    assert "the peer ended; our input was still open, idle for 0.1 s\n" in result.said


def test_b2_a_stdin_that_is_not_idle_goes_on_after_the_peers_end() -> None:
    with listener() as sock, Process("connect", "--after-end", "0.4", port_of(sock)) as client, accepted(sock) as peer:
        peer.shutdown(socket.SHUT_WR)
        for number in range(8):
            client.send(b"%d" % number)
            assert exactly(peer, 1) == b"%d" % number
            time.sleep(0.1)  # the case: input that keeps coming, for longer than --after-end
        client.close_stdin()
        assert peer.recv(1) == b""
        assert client.finish() == (0, b"", b"")


def test_b4_input_that_was_there_before_the_client() -> None:
    with Server("--mode", "pipe") as server:
        server.send(b"hello\n")
        server.close_stdin()
        with server.connect() as client:
            client.sendall(b"late")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"hello\n"
        result = server.finish()
    assert (result.status, result.out) == (0, b"late")


def test_b6_a_reset_delivers_what_came_before_and_is_said() -> None:
    with listener() as sock, Process("connect", port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"0123456789")
            reset(peer)
        result = client.finish()
    assert (result.status, result.out) == (1, b"0123456789")
    assert re.fullmatch(
        rf"sockkit: #1 receive from 127\.0\.0\.1:\d+: Connection reset by peer \[ECONNRESET {errno.ECONNRESET}\]\n",
        result.said,
    )


def test_b6_a_reset_while_stdout_is_stuck_loses_nothing_that_was_received() -> None:
    with (
        listener() as sock,
        pipe() as (drain, stdout),
        Process("connect", port_of(sock), stdin=subprocess.DEVNULL, stdout=stdout) as client,
    ):
        os.close(stdout)
        with accepted(sock) as peer:
            peer.sendall(BLOCK[:120_000])  # more than a pipe holds, less than pipe and socket do
            eventually(lambda: unsent(peer) == 0)  # a reset would drop what has not left yet
            reset(peer)
        got = read_all(drain)
        result = client.finish()
    assert result.status == 1
    assert "Connection reset by peer" in result.said
    assert got == BLOCK[:120_000]


def test_b8_a_peer_that_closes_without_reading() -> None:
    with (
        listener() as sock,
        open("/dev/zero", "rb") as zeros,
        Process("connect", port_of(sock), stdin=zeros.fileno()) as client,
    ):
        with accepted(sock) as peer:
            exactly(peer, 1)
        begun = time.monotonic()
        result = client.finish()
        assert time.monotonic() - begun < 2
    assert (result.status, result.out) == (1, b"")
    assert re.search(r"(ECONNRESET|EPIPE) ", result.said)


def test_no_shutdown_keeps_the_end_of_stdin_to_itself() -> None:
    with listener() as sock, Process("connect", "--no-shutdown", port_of(sock)) as client:
        with accepted(sock) as peer:
            client.send(b"x")
            client.close_stdin()
            assert exactly(peer, 1) == b"x"
            assert not select.select([peer], [], [], 0.3)[0], "no FIN"
            peer.sendall(b"reply")
        assert client.finish() == (0, b"reply", b"")


def test_dash_n_is_the_default() -> None:
    with listener() as sock:
        request = Task(lambda: _reply_with(sock, b"reply"))
        assert run("connect", "-N", port_of(sock), stdin=b"x") == (0, b"reply", b"")
        assert request.get() == b"x"


def test_everything_is_delivered_to_the_peers_kernel_before_the_end() -> None:
    """Exit status 0 says that it was handed over: the send queue has run empty."""
    content = BLOCK * 4
    with listener() as sock, Process("connect", port_of(sock)) as client, accepted(sock) as peer:
        peer.shutdown(socket.SHUT_WR)

        def feed() -> None:
            client.send(content)
            client.close_stdin()

        feeding = Task(feed)
        assert exactly(peer, 1) == content[:1]
        with pytest.raises(subprocess.TimeoutExpired):
            client.popen.wait(0.5)
        if sys.platform == "linux":
            assert is_idle(client.pid, 0.5, 5), "it waits without spinning"
        assert receive_all(peer) == content[1:]
        feeding.get()
        assert client.finish() == (0, b"", b"")


def test_a_reset_after_all_was_sent_is_no_success() -> None:
    """The peer closes with unread data in its queue and ours: nobody may call that delivered."""
    with listener() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with Process("connect", port_of(sock)) as client, accepted(sock) as peer:
            peer.shutdown(socket.SHUT_WR)
            client.send(BLOCK[:200_000])
            client.close_stdin()
            exactly(peer, 1)
            reset(peer)
            result = client.finish()
    assert result.status == 1
    assert re.match(r"sockkit: #1 send to 127\.0\.0\.1:\d+: .* \[(ECONNRESET|EPIPE) \d+\]\n", result.said)


# ---- c: slow peers


@needs_linux
def test_c1_nobody_reads_our_stdout() -> None:
    with listener() as sock, pipe() as (_, stdout), Process("connect", port_of(sock), stdout=stdout) as client:
        os.close(stdout)
        with accepted(sock) as peer:
            before = resident(client.pid)
            sent = send_until_stuck(peer)
            assert sent <= 16 * MIB
            assert resident(client.pid) - before < 32 * MIB
            assert is_idle(client.pid)
        assert client.stop().status == -signal.SIGTERM


@needs_linux
def test_c2_the_peer_reads_nothing() -> None:
    with (
        listener() as sock,
        open("/dev/zero", "rb") as zeros,
        Process("connect", port_of(sock), stdin=zeros.fileno()) as client,
        accepted(sock),
    ):
        before = resident(client.pid)
        eventually(lambda: is_idle(client.pid, 0.2, 0))
        assert resident(client.pid) - before < 32 * MIB
        assert is_idle(client.pid)
        result = client.stop()
        assert (result.status, result.out) == (-signal.SIGTERM, b"")
        assert re.fullmatch(r"(sockkit: #1 lost \S.*: not handed over before the end\n)?", result.said)


@needs_linux
def test_c2_an_echo_whose_client_reads_nothing() -> None:
    with Server() as server, server.connect() as client:
        before = resident(server.pid)
        sent = send_until_stuck(client)
        assert resident(server.pid) - before < 32 * MIB
        assert is_idle(server.pid)
        ending = Task(client.shutdown, socket.SHUT_WR)
        size, _ = drain_digest(client.recv)
        ending.get()
        assert size == sent, "and when it reads at last, all of it is there"


def test_c4_idle_timeout() -> None:
    with listener() as sock, Process("connect", "--idle-timeout", "1", port_of(sock)) as client, accepted(sock) as peer:
        begun = time.monotonic()
        assert peer.recv(1) == b""
        assert 0.8 < time.monotonic() - begun < 2
        result = client.finish()
    assert (result.status, result.out) == (1, b"")
    assert result.said == f"sockkit: #1 idle timeout: nothing moved for 1 s [ETIMEDOUT {errno.ETIMEDOUT}]\n"


def test_c4_a_flow_in_one_direction_is_not_idle() -> None:
    with listener() as sock, Process("connect", "--idle-timeout", "0.6", port_of(sock)) as client:
        with accepted(sock) as peer:
            for number in range(15):
                peer.sendall(b"%x" % number)
                time.sleep(0.1)  # the case: a slow flow that lasts longer than the timeout
        client.close_stdin()
        assert client.finish() == (0, b"0123456789abcde", b"")


def test_c4_a_slow_peer_that_takes_what_the_kernel_holds_is_not_idle() -> None:
    content = BLOCK[:600_000]
    with listener() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        with Process("connect", "--idle-timeout", "0.8", port_of(sock)) as client, accepted(sock) as peer:
            peer.shutdown(socket.SHUT_WR)
            client.send(content)
            client.close_stdin()
            got = bytearray()
            while chunk := peer.recv(32768):
                got += chunk
                time.sleep(0.08)  # the case: it takes longer than the timeout, all in all
            assert got == content
            assert client.finish() == (0, b"", b"")


@contextmanager
def full_queue(family: int = socket.AF_INET, address: object = ("127.0.0.1", 0)) -> Iterator[socket.socket]:
    """A listener whose accept queue is full: whoever connects now waits."""
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.bind(address)  # type: ignore[arg-type]
        sock.listen(0)
        for _ in range(8):
            client = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            client.settimeout(0.3)
            try:
                client.connect(sock.getsockname())
            except (TimeoutError, BlockingIOError):
                break
        else:
            pytest.skip("CANNOT: this system's accept queue never fills")
        yield sock


def test_c6_a_full_accept_queue() -> None:
    with full_queue() as sock:
        begun, port = time.monotonic(), port_of(sock)
        result = run("connect", "--connect-timeout", "1", port, stdin=b"x")
        assert 0.9 < time.monotonic() - begun < 3
    assert (result.status, result.out) == (1, b"")
    expected = rf"sockkit: connect to 127\.0\.0\.1:{port}: timed out after 1 s \[ETIMEDOUT {errno.ETIMEDOUT}\]\n"
    assert re.match(expected, result.said)


@needs_unix
def test_c6_a_full_accept_queue_of_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with full_queue(socket.AF_UNIX, path) as sock:
        result = run("connect", "-w", "0.5", path, stdin=b"x")
        assert (result.status, result.out) == (1, b"")
        assert result.said.startswith(
            f"sockkit: connect to {path}: timed out after 0.5 s [ETIMEDOUT {errno.ETIMEDOUT}]\n"
        )
        with Process("connect", path) as client:  # it waits, and when there is room it gets in
            client.send(b"x")
            client.close_stdin()
            sock.settimeout(TIMEOUT)
            for _ in range(8):
                with sock.accept()[0] as peer:
                    peer.settimeout(TIMEOUT)
                    if select.select([peer], [], [], 0.5)[0]:
                        assert receive_all(peer) == b"x"
                        break
            assert client.finish() == (0, b"", b"")


def test_c7_a_peer_that_delays_its_end() -> None:
    with listener() as sock, Process("connect", port_of(sock), stdin=subprocess.DEVNULL) as client:
        with accepted(sock) as peer:
            assert peer.recv(1) == b""
            peer.sendall(b"first ")
            client.wait_for(rb"first ", stream="out")
            with pytest.raises(subprocess.TimeoutExpired):
                client.popen.wait(1.5)
            peer.sendall(b"last")
        assert client.finish() == (0, b"first last", b"")


# ---- d: many clients


@needs_linux
def test_d1_a_hundred_clients_get_their_own_bytes() -> None:
    def talk(server: Server, seed: int) -> None:
        own = random.Random(seed)
        with server.connect() as client:
            together.wait(TIMEOUT)
            for _ in range(8):
                data = own.randbytes(own.randint(1, 32768))
                client.sendall(data)
                assert exactly(client, len(data)) == data

    together = threading.Barrier(100)
    with Server() as server:
        idle = idle_descriptors(server)
        for task in [Task(talk, server, seed) for seed in range(100)]:
            task.get()
        eventually(lambda: descriptors(server.pid) == idle)
        result = server.stop()
    assert len(re.findall(r"^= #\d+ \S+ connected", result.said, re.M)) == 101
    assert len(re.findall(r"^x #\d+ \S+ closed.*the peer ended first$", result.said, re.M)) == 101


def test_d2_max_conns_defers_and_resets_nobody() -> None:
    with Server("--max-conns", "3") as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(12)]
        for number, client in enumerate(clients):
            client.sendall(b"%02d" % number)
        for turn in range(0, 12, 3):
            for number in range(turn, turn + 3):
                assert exactly(clients[number], 2) == b"%02d" % number
            waiting = clients[turn + 3 :]
            if waiting:
                assert not select.select(waiting, [], [], 0.1)[0], "the others wait"
            for number in range(turn, turn + 3):
                clients[number].close()


@needs_linux
def test_d3_two_hundred_resets_and_then_a_client() -> None:
    with Server() as server:
        idle = idle_descriptors(server)
        for _ in range(200):
            reset(server.connect())
        with server.connect() as client:
            client.sendall(b"still there?")
            assert exactly(client, 12) == b"still there?"
        eventually(lambda: descriptors(server.pid) == idle)
        assert is_idle(server.pid, 0.2)


@needs_linux
def test_k6_resets_at_any_offset() -> None:
    with Server() as server:
        idle = idle_descriptors(server)
        for _ in range(100):
            client = server.connect()
            client.sendall(BLOCK[: RANDOM.randint(0, 100_000)])
            size = RANDOM.randint(0, 1000)
            if size:
                client.recv(size) if select.select([client], [], [], 0)[0] else None
            reset(client)
        with server.connect() as client:
            client.sendall(b"still there?")
            assert exactly(client, 12) == b"still there?"
        eventually(lambda: descriptors(server.pid) == idle)
        result = server.stop()
    assert result.status == -signal.SIGTERM
    opened = len(re.findall(r"^= #\d+ \S+ connected", result.said, re.M))
    assert opened == len(re.findall(r"^x #\d+ \S+ closed", result.said, re.M)) == 102


@needs_linux
def test_d6_a_server_that_was_stopped_for_a_while() -> None:
    with Server() as server, ExitStack() as stack:
        server.kill(signal.SIGSTOP)
        os.waitid(os.P_PID, server.pid, os.WSTOPPED)
        clients = [stack.enter_context(server.connect()) for _ in range(100)]
        for client in clients:
            client.sendall(b"x")
        server.kill(signal.SIGCONT)
        for client in clients:
            assert exactly(client, 1) == b"x"


def test_d8_a_second_client_waits_and_is_never_mixed_in() -> None:
    with Server("--mode", "pipe", "-k") as server:
        with server.connect() as one, server.connect() as two:
            two.sendall(b"<two>")
            one.sendall(b"<one>")
            server.wait_for(rb"<one>", stream="out")
            server.send(b"for one")
            assert exactly(one, 7) == b"for one"
            one.sendall(b"<one again>")
            server.wait_for(rb"<one again>", stream="out")
            one.close()
            server.wait_for(rb"<two>", stream="out")
            server.send(b"for two")
            assert exactly(two, 7) == b"for two"
            server.close_stdin()
            assert two.recv(1) == b"", "the end of stdin is passed on"
        result = server.finish()
    assert (result.status, result.out) == (0, b"<one><one again><two>")


def test_d8_without_keep_open_a_pipe_ends_with_its_client() -> None:
    with (
        Server("--mode", "pipe", stdin=subprocess.DEVNULL) as server,
        server.connect() as one,
        server.connect() as two,
    ):
        one.sendall(b"one")
        two.sendall(b"two")
        one.shutdown(socket.SHUT_WR)
        assert receive_all(one) == b""
        result = server.finish()
        receive_end(two)
    assert (result.status, result.out) == (0, b"one")


def test_keep_open_ends_with_stdin() -> None:
    with Server("--mode", "pipe", "-k", stdin=subprocess.DEVNULL) as server:
        with server.connect() as client:
            assert client.recv(1) == b""
        assert server.finish().status == 0


@pytest.mark.parametrize("mode", ["echo", "discard", "pipe"])
def test_once_ends_after_the_first_session(mode: str) -> None:
    with Server("--once", "--mode", mode, stdin=subprocess.DEVNULL) as server:
        with server.connect() as client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == (b"x" if mode == "echo" else b"")
        assert server.finish().status == 0
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_once_says_by_its_status_that_the_session_failed() -> None:
    with Server("--once") as server:
        client = server.connect()
        client.sendall(b"x")
        exactly(client, 1)
        reset(client)
        result = server.finish()
    assert result.status == 1
    assert "Connection reset by peer" in result.said


def test_a_failed_session_is_not_the_failure_of_a_server_for_many() -> None:
    with Server() as server:
        reset(server.connect())
        server.wait_for(rb"#1 \S+ closed")
        with server.connect() as client:
            client.sendall(b"x")
            assert exactly(client, 1) == b"x"


# ---- e: exhausted resources


@needs_linux
def test_e1_out_of_descriptors() -> None:
    with Server(prefix=shell("ulimit -n 20")) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(40)]
        said = server.wait_for(rb"sockkit: accept: ([^\n]*)\nsockkit: ([^\n]*)\n")
        assert said[1] == b"Too many open files [EMFILE %d]" % errno.EMFILE
        assert b"ulimit -n" in said[2]
        before, lines = ticks(server.pid), server.err.count(b"\n")
        time.sleep(1.5)  # a window to count in
        assert ticks(server.pid) - before <= 15
        assert server.err.count(b"\n") - lines <= 6
        clients[0].sendall(b"x")
        assert exactly(clients[0], 1) == b"x", "those who are in are served"
        for client in clients:
            client.close()
        begun = time.monotonic()
        with server.connect() as client:
            client.sendall(b"y")
            assert exactly(client, 1) == b"y"
        assert time.monotonic() - begun < 2
        assert server.stop().status == -signal.SIGTERM


@needs_linux
def test_e3_stdout_is_full() -> None:
    with (
        open("/dev/full", "wb") as full,
        listener() as sock,
        Process("connect", port_of(sock), stdout=full.fileno()) as client,
        accepted(sock) as peer,
    ):
        peer.sendall(b"x")
        begun = time.monotonic()
        result = client.finish()
        assert time.monotonic() - begun < 2
        receive_end(peer)
    assert (result.status, result.out) == (1, b"")
    assert result.said.splitlines() == [
        f"sockkit: #1 write to stdout: No space left on device [ENOSPC {errno.ENOSPC}]",
        "sockkit: #1 lost 1 byte: not handed over before the end",
    ]


def test_e3_the_disk_that_is_full_is_not_ours_to_fill(tmp_path: Path) -> None:
    """A file size limit: the write fails as a full disk's does, and the bytes that went out before it stay."""
    path = tmp_path / "received"
    with (
        listener() as sock,
        path.open("wb") as file,
        Process("connect", port_of(sock), stdout=file.fileno(), prefix=shell("ulimit -f 1", "trap '' XFSZ")) as client,
        accepted(sock) as peer,
    ):
        peer.sendall(BLOCK[:2000])
        result = client.finish()
    assert result.status == 1
    assert "write to stdout: File too large [EFBIG" in result.said
    assert BLOCK.startswith(path.read_bytes())


def test_e5_a_reader_that_has_seen_enough() -> None:
    with listener() as sock, pipe() as (drain, stdout), Process("connect", port_of(sock), stdout=stdout) as client:
        os.close(stdout)

        def endless() -> None:
            with accepted(sock) as peer:
                send_until_refused(peer)

        sending = Task(endless)
        assert len(os.read(drain, 10)) == 10
        os.close(drain)
        begun = time.monotonic()
        assert client.finish() == (-signal.SIGPIPE, b"", b"")
        assert time.monotonic() - begun < 2
        sending.get()


def test_e5_also_with_input_that_is_not_sent_yet() -> None:
    """Not a word, as of a process that SIGPIPE kills, though bytes were under way both ways."""
    with (
        listener() as sock,
        pipe() as (drain, stdout),
        open("/dev/zero", "rb") as zeros,
        Process("connect", port_of(sock), stdin=zeros.fileno(), stdout=stdout) as client,
        accepted(sock) as peer,
    ):
        os.close(stdout)
        send_until_stuck(peer)
        os.close(drain)
        assert client.finish() == (-signal.SIGPIPE, b"", b"")


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("command", ["connect", "serve"])
def test_e9_a_reader_that_leaves_while_nothing_moves(command: str, kind: str) -> None:
    with ExitStack() as stack:
        if kind == "pipe":
            drain, stdout = stack.enter_context(pipe())
        else:
            drain, stdout = (sock.detach() for sock in socket.socketpair())
        if command == "connect":
            sock = stack.enter_context(listener())
            process: Process = stack.enter_context(Process("connect", port_of(sock), stdout=stdout))
            peer = stack.enter_context(accepted(sock))
        else:
            server = stack.enter_context(Server("--mode", "pipe", stdout=stdout))
            process, peer = server, stack.enter_context(server.connect())
        os.close(stdout)
        peer.sendall(b"x")
        assert os.read(drain, 10) == b"x"
        os.close(drain)
        result = process.finish(5)
        assert result.status == -signal.SIGPIPE
        if command == "connect":
            assert result.err == b""
        assert "write" not in result.said


# ---- f: signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_f1_f5_a_signal_ends_an_idle_connect(number: signal.Signals) -> None:
    with listener() as sock, Process("connect", port_of(sock)) as client, accepted(sock) as peer:
        client.send(b"x")
        assert exactly(peer, 1) == b"x"
        begun = time.monotonic()
        assert client.stop(number) == (-number, b"", b"")
        assert time.monotonic() - begun < 1
        assert peer.recv(1) == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_f1_f5_a_signal_ends_a_server_with_its_totals(number: signal.Signals) -> None:
    with Server() as server, server.connect() as client:
        client.sendall(b"hello")
        assert exactly(client, 5) == b"hello"
        begun = time.monotonic()
        result = server.stop(number)
        assert time.monotonic() - begun < 1
        assert client.recv(1) == b""
    assert result.status == -number
    assert len(re.findall(r"^x total: 1 session, received 5 bytes, sent 5 bytes in \S+ s$", result.said, re.M)) == 1


def test_f1_while_connecting() -> None:
    with full_queue() as sock, Process("connect", "-v", port_of(sock)) as client:
        client.wait_for(rb"connect\(")
        begun = time.monotonic()
        assert client.stop(signal.SIGINT).status == -signal.SIGINT
        assert time.monotonic() - begun < 1


@needs_linux
def test_f1_while_a_silent_name_server_is_asked(tmp_path: Path) -> None:
    prefix = with_names(tmp_path, "nameserver 127.0.0.1\noptions timeout:20\n", "", "dns")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        try:
            name_server.bind(("127.0.0.1", 53))
        except OSError as error:
            pytest.skip(f"CANNOT: the name server's port: {error}")
        name_server.settimeout(TIMEOUT)
        with Process("connect", "silent.invalid", "1", prefix=prefix) as client:
            name_server.recv(512)  # it asks, and we do not answer
            begun = time.monotonic()
            assert client.stop(signal.SIGINT) == (-signal.SIGINT, b"", b"")
            assert time.monotonic() - begun < 1
        result = run("connect", "-w", "1", "silent.invalid", "1", prefix=prefix)
    assert result.status == 1
    assert result.said == f"sockkit: look up silent.invalid:1: timed out after 1 s [ETIMEDOUT {errno.ETIMEDOUT}]\n"


@needs_unix
def test_f2_sigterm_removes_the_path(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Server("-U", str(path), free_port=False) as server:
        assert stat.S_ISSOCK(path.lstat().st_mode)
        begun = time.monotonic()
        assert server.stop(signal.SIGTERM).status == -signal.SIGTERM
        assert time.monotonic() - begun < 2
    assert not path.exists()


@pytest.mark.parametrize("name", ["INT", "HUP"])
def test_f_a_signal_that_was_inherited_as_ignored_stays_ignored(name: str) -> None:
    with Server(prefix=shell(f"trap '' {name}")) as server:
        server.kill(getattr(signal, f"SIG{name}"))
        with server.connect() as client:
            client.sendall(b"still there?")
            assert exactly(client, 12) == b"still there?"
        assert server.stop(signal.SIGTERM).status == -signal.SIGTERM


# ---- h: Unix paths


@needs_unix
def test_h_unix_streams(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Server("-U", path, free_port=False) as server:
        assert server.address == path
        assert run("connect", "-U", path, stdin=BLOCK) == (0, BLOCK, b"")
        assert run("connect", path, stdin=b"a slash says that it is a path") == (
            0,
            b"a slash says that it is a path",
            b"",
        )


@needs_unix
@pytest.mark.parametrize("replace", [[], ["--replace"]], ids=["", "replace"])
def test_h1_a_file_in_the_way_is_left_alone(tmp_path: Path, replace: list[str]) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    before = path.stat().st_ino
    result = run("serve", "-U", str(path), *replace)
    assert result.status == 1
    assert result.said.startswith(f"sockkit: bind to {path}: Address already in use [EADDRINUSE {errno.EADDRINUSE}]\n")
    assert (path.read_text(), path.stat().st_ino) == ("precious", before)


def stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@needs_unix
def test_h2_a_stale_path_is_explained_and_reclaimed_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale(path)
    result = run("serve", "-U", str(path))
    assert result.status == 1
    assert f"bind to {path}: Address already in use [EADDRINUSE" in result.said
    assert "--replace" in result.said
    refused = run("connect", str(path))
    assert refused.status == 1
    assert f"connect to {path}: Connection refused [ECONNREFUSED" in refused.said
    with Server("-U", str(path), "--replace", free_port=False) as server:
        assert run("connect", str(path), stdin=b"x") == (0, b"x", b"")
        server.stop()
    assert not path.exists()


@needs_unix
@pytest.mark.parametrize("type", ["STREAM", "SEQPACKET", "DGRAM"])
def test_h2_replace_takes_nothing_from_the_living(tmp_path: Path, type: str) -> None:
    path = tmp_path / "s"
    with listener(socket.AF_UNIX, getattr(socket, f"SOCK_{type}"), str(path)):
        before = path.lstat().st_ino
        result = run("serve", "--type", type, "--replace", str(path))
        assert result.status == 1
        assert "Address already in use" in result.said
        assert path.lstat().st_ino == before


@needs_unix
def test_h_only_the_path_that_we_made_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Server("-U", str(path), free_port=False) as server:
        path.unlink()
        stale(path)  # somebody else's by now
        server.stop()
    assert stat.S_ISSOCK(path.lstat().st_mode)


@needs_unix
def test_h_a_path_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Server("-U", str(path), free_port=False) as server:
        path.unlink()
        result = server.stop()
    assert result.status == -signal.SIGTERM
    assert "No such file" not in result.said


@needs_unix
@needs_linux
def test_h5_the_longest_path(tmp_path: Path) -> None:
    name = "./" + "n" * 105
    assert len(name) == 107
    with Server("-U", name, free_port=False, cwd=tmp_path) as server:
        assert server.address == name
        assert run("connect", name, stdin=b"x", cwd=tmp_path) == (0, b"x", b"")
        server.stop()
    assert os.listdir(tmp_path) == []


@needs_unix
@needs_linux
@pytest.mark.parametrize("length", [108, 109, 200])
@pytest.mark.parametrize("command", ["serve", "connect"])
def test_h5_longer_paths_are_refused_and_nothing_is_made(tmp_path: Path, command: str, length: int) -> None:
    result = run(command, "-U", "./" + "n" * (length - 2), cwd=tmp_path)
    assert result.status == 2
    assert "too long" in result.said
    assert f"{length} bytes, 107 is the limit" in result.said
    assert os.listdir(tmp_path) == []


@needs_unix
@pytest.mark.parametrize(
    ("umask", "options", "mode"),
    [
        ("077", [], 0o700),
        ("022", [], 0o755),
        ("000", [], 0o777),
        ("000", ["--socket-mode", "600"], 0o600),
        ("077", ["--socket-mode", "666"], 0o666),
    ],
)
def test_h6_permissions_of_the_path(tmp_path: Path, umask: str, options: list[str], mode: int) -> None:
    path = tmp_path / "s"
    with Server("-U", str(path), *options, free_port=False, prefix=shell(f"umask {umask}")):
        assert stat.S_IMODE(path.lstat().st_mode) == mode


@needs_linux
@pytest.mark.parametrize(
    ("name", "raw"),
    [
        (f"@sockkit-{os.getpid()}", b"\0sockkit-%d" % os.getpid()),
        ("@" + f"{os.getpid()}-".ljust(107, "x"), b"\0" + b"%d-".ljust(107, b"x") % os.getpid()),
        (rf"@{os.getpid()}\x00\x1b[31m\xff", b"\0%d\x00\x1b[31m\xff" % os.getpid()),
    ],
    ids=["plain", "long", "odd"],
)
def test_h8_abstract_names(tmp_path: Path, name: str, raw: bytes) -> None:
    if len(raw) > 108:
        raw, name = raw[:108], name[:108]
    with Server("-U", name, free_port=False, cwd=tmp_path) as server:
        assert server.address == name
        assert run("connect", name, stdin=b"x") == (0, b"x", b"")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(raw)
            client.sendall(b"y")
            assert exactly(client, 1) == b"y"
        server.stop()
    assert os.listdir(tmp_path) == []
    refused = run("connect", name)
    assert refused.status == 1
    assert f"connect to {name}: Connection refused" in refused.said


@needs_unix
@needs_linux
def test_h10_odd_names(tmp_path: Path) -> None:
    raw = b"\n\x1b]0;title\x07\xff\xc2\x9b[31m"
    name = os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)
    shown = f"{tmp_path}/" + r"\n\x1b]0;title\x07\xff\u009b[31m"
    with Server("-U", name, free_port=False) as server:
        assert server.address == shown
        result = run("connect", "-v", "-U", name, stdin=b"x")
        assert (result.status, result.out) == (0, b"x")
        assert shown in result.said
        server.stop()
    assert os.listdir(tmp_path) == []
    missing = run("connect", "-U", name)
    assert missing.status == 1
    assert f"connect to {shown}: No such file or directory [ENOENT" in missing.said


@needs_unix
def test_h11_connect_to_what_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir").mkdir()
    for name, error in (
        ("file", "ECONNREFUSED"),
        ("dir", "ECONNREFUSED"),
        ("missing", "ENOENT"),
        ("file/x", "ENOTDIR"),
    ):
        result = run("connect", "-U", str(tmp_path / name))
        assert result.status == 1
        number = getattr(errno, error)
        assert result.said.startswith(
            f"sockkit: connect to {tmp_path / name}: {os.strerror(number)} [{error} {number}]\n"
        )


@needs_unix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="CANNOT: root may connect to any socket")
def test_h11_connect_to_a_socket_that_we_may_not_use(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listener(socket.AF_UNIX, address=str(path)):
        path.chmod(0)
        result = run("connect", str(path))
    assert result.status == 1
    assert f"connect to {path}: Permission denied [EACCES {errno.EACCES}]" in result.said


# ---- j, k12: addresses


def test_j10_a_port_that_is_in_use() -> None:
    with listener() as sock:
        result = run("serve", port_of(sock))
        assert result.status == 1
        assert result.said.startswith(
            f"sockkit: bind to 127.0.0.1:{port_of(sock)}: Address already in use [EADDRINUSE {errno.EADDRINUSE}]\n"
        ) or result.said.startswith(
            f"sockkit: listen on 127.0.0.1:{port_of(sock)}: Address already in use [EADDRINUSE {errno.EADDRINUSE}]\n"
        )
        assert len(result.said.splitlines()) == 2, "and what to do about it"


def test_j10_an_address_that_is_not_ours() -> None:
    result = run("serve", "203.0.113.77", "0")
    assert result.status == 1
    number = errno.EADDRNOTAVAIL
    assert result.said.startswith(f"sockkit: bind to 203.0.113.77:0: {os.strerror(number)} [EADDRNOTAVAIL {number}]\n")


def test_k12_a_bare_serve_is_for_this_host_only() -> None:
    with Server() as server:
        assert server.address.startswith("127.0.0.1:")
        if sys.platform == "linux":
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", server.port), timeout=TIMEOUT)
        assert re.fullmatch(
            rb"listening on 127\.0\.0\.1:(\d+) \(this host only; others: sockkit serve 0\.0\.0\.0 \1\)\n",
            bytes(server.err),
        )


@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("::", marks=needs_ipv6)])
def test_k12_serving_everybody_is_warned_of(host: str) -> None:
    with Server(host) as server:
        server.wait_for(rb"sockkit: warning: whoever can reach this host over the network can connect")
        assert b"this host only" not in server.err[: server.err.index(b"\n")]


@needs_ipv6
def test_dual_stack_tells_who_is_who() -> None:
    with Server("::") as server:
        server.wait_for(rb"listening on \[::\]:\d+ \(IPv6, and IPv4 as ::ffff:a\.b\.c\.d\)\n")
        with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as old:
            server.wait_for(rb"= #1 \[::ffff:127\.0\.0\.1\]:%d connected" % old.getsockname()[1])
        with socket.create_connection(("::1", server.port), timeout=TIMEOUT) as new:
            server.wait_for(rb"= #2 \[::1\]:%d connected" % new.getsockname()[1])


@needs_ipv6
def test_serve_6_is_for_ipv6_alone() -> None:
    with Server("-6", "::") as server:
        server.wait_for(rb"listening on \[::\]:\d+ \(IPv6 only\)\n")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        assert run("connect", "::1", str(server.port), stdin=b"x") == (0, b"x", b"")


@needs_ipv6
def test_serve_6_without_an_address_is_the_ipv6_loopback() -> None:
    with Server("-6") as server:
        assert server.address == f"[::1]:{server.port}"
        assert run("connect", "-6", str(server.port), stdin=b"x") == (0, b"x", b"")
        assert run("connect", f"[::1]:{server.port}", stdin=b"x") == (0, b"x", b"")


@needs_ipv6
@needs_linux
def test_j5_scope_ids() -> None:
    missing = run("connect", "-w", "2", "fe80::1", "9")
    assert missing.status == 1
    assert "connect to [fe80::1]:9: Invalid argument [EINVAL" in missing.said
    assert "add it: fe80::1%" in missing.said
    through_lo = run("connect", "-w", "2", "fe80::1%lo", "9")
    assert through_lo.status == 1
    assert through_lo.said.startswith("sockkit: connect to [fe80::1%lo]:9: ")
    for host, why in (("fe80::1%nosuch", "interfaces here: lo"), ("::1%lo", "only link-local addresses")):
        wrong = run("connect", host, "9")
        assert wrong.status == 2
        assert why in wrong.said


# ---- k: hostile peers


EVIL = b"\x1b]0;PWN\x07\x1b[2J\x9b31m\x00\xff\r\x08\x7f[bold]x[/] [/nope] :smile:\n"


def test_k1_escapes_pass_a_pipe_unchanged() -> None:
    with listener() as sock:
        request = Task(lambda: _reply_with(sock, EVIL))
        assert run("connect", port_of(sock)) == (0, EVIL, b"")
        request.get()


def test_k1_escapes_do_not_reach_a_terminal() -> None:
    with listener() as sock:
        request = Task(lambda: _reply_with(sock, EVIL))
        screen = on_terminal("connect", port_of(sock), typed=b"\x04")
        request.get()
    assert screen.status == 0
    line = rb"\x1b]0;PWN\x07\x1b[2J\x9b31m\x00\xff\r\x08\x7f[bold]x[/] [/nope] :smile:"
    assert line in screen.shown
    for evil in (b"\x1b]0;", b"\x1b[2J", b"\x9b", b"\x00", b"\x07", b"\x7f", b"\xff"):
        assert evil not in screen.shown


def test_k1_raw_passes_everything() -> None:
    with listener() as sock:
        request = Task(lambda: _reply_with(sock, EVIL))
        screen = on_terminal("connect", "--raw", port_of(sock), typed=b"\x04")
        request.get()
    assert EVIL.rstrip(b"\n") in screen.shown


def test_k2_escapes_do_not_reach_the_story() -> None:
    with listener() as sock:
        request = Task(lambda: _reply_with(sock, EVIL))
        result = run("connect", "-v", port_of(sock))  # ``run`` checks that stderr has no control bytes
        request.get()
    assert (result.status, result.out) == (0, EVIL)
    assert r"\x1b]0;PWN\x07\x1b[2J\x9b31m\x00\xff" in result.said


def test_k1_a_character_cut_in_two_is_shown_whole_and_half_a_character_is_not_lost() -> None:
    def peer_of(sock: socket.socket) -> None:
        with accepted(sock) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in "héllo €\n".encode():
                peer.sendall(bytes([byte]))
            peer.sendall(b"half: \xe2\x82")

    with listener() as sock:
        serving = Task(peer_of, sock)
        screen = on_terminal("connect", port_of(sock), env={"LC_ALL": "C.UTF-8"})
        serving.get()
    assert screen.status == 0
    assert "héllo €".encode() in screen.shown
    assert rb"half: \xe2\x82" in screen.shown


def test_k1_half_a_character_before_a_reset_is_not_lost() -> None:
    def peer_of(sock: socket.socket) -> None:
        with accepted(sock) as peer:
            peer.sendall(b"half: \xe2\x82")
            reset(peer)

    with listener() as sock:
        serving = Task(peer_of, sock)
        screen = on_terminal("connect", port_of(sock), env={"LC_ALL": "C.UTF-8"})
        serving.get()
    assert screen.status == 1
    assert rb"half: \xe2\x82" in screen.shown


def test_k7_silent_clients_take_nothing_from_the_active_one() -> None:
    with Server("--idle-timeout", "1.5") as server, ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(100)]
        with server.connect() as active:
            begun = time.monotonic()
            while time.monotonic() - begun < 2:
                active.sendall(b"x")
                assert exactly(active, 1) == b"x"
                time.sleep(0.05)  # the case: active, and not in a hurry
            for client in silent:
                assert client.recv(1) == b""
            active.sendall(b"y")
            assert exactly(active, 1) == b"y"


# ---- messages over a connection


@pytest.fixture
def seqpacket() -> int:
    try:
        socket.socket(socket.AF_UNIX, SEQPACKET).close()
    except (OSError, AttributeError) as error:
        pytest.skip(f"CANNOT: no SEQPACKET over Unix sockets: {error}")
    return SEQPACKET


def test_seqpacket_an_echo_keeps_boundaries(seqpacket: int, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Server("--type", "SEQPACKET", path, free_port=False) as server:
        with socket.socket(socket.AF_UNIX, seqpacket) as client:
            client.settimeout(TIMEOUT)
            client.connect(path)
            messages = [b"a", b"", b"ccc", b"x" * 100_000, b"", b"end"]
            for message in messages:
                assert client.send(message) == len(message)
                assert client.recv(200_000) == message
            for message in messages[:3]:
                client.send(message)
            assert [client.recv(100) for _ in range(3)] == messages[:3]
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        size = rb"97\.7 KiB \(100011 bytes\)"
        server.wait_for(rb"#1 \S+ closed: received %b, sent %b in \S+ s; the peer ended first\n" % (size, size))


def test_seqpacket_messages_to_stdout(seqpacket: int, tmp_path: Path) -> None:
    with (
        listener(socket.AF_UNIX, seqpacket, str(tmp_path / "s")) as sock,
        Process("connect", "--type", "SEQPACKET", str(tmp_path / "s")) as client,
        accepted(sock) as peer,
    ):
        peer.send(b"first ")
        peer.send(b"")
        client.wait_for(rb"first ", stream="out")
        peer.send(b"last")
        client.wait_for(rb"last", stream="out")
        client.send(b"to the peer")
        assert peer.recv(100) == b"to the peer"
        client.close_stdin()
        assert peer.recv(100) == b""
        peer.close()
        assert client.finish() == (0, b"first last", b"")


def test_seqpacket_an_empty_message_is_not_the_end_though_the_peer_is_gone(seqpacket: int, tmp_path: Path) -> None:
    with listener(socket.AF_UNIX, seqpacket, str(tmp_path / "s")) as sock:
        command = ["connect", "--type", "SEQPACKET", "--lines", str(tmp_path / "s")]
        with Process(*command, stdin=subprocess.DEVNULL) as client:
            with accepted(sock) as peer:
                client.kill(signal.SIGSTOP)  # so that the peer is gone before anything is read
                os.waitid(os.P_PID, client.pid, os.WSTOPPED)
                for message in (b"a", b"", b"b", b"", b"", b"c"):
                    peer.send(message)
            client.kill(signal.SIGCONT)
            assert client.finish() == (0, b"a\n\nb\n\n\nc\n", b"")


@needs_linux
@pytest.mark.xfail(
    strict=True, reason="CANNOT: recv(2) says 0 for both, and nothing behind it tells that it was a message"
)
def test_seqpacket_an_empty_message_right_before_the_end(seqpacket: int, tmp_path: Path) -> None:
    with listener(socket.AF_UNIX, seqpacket, str(tmp_path / "s")) as sock:
        command = ["connect", "--type", "SEQPACKET", "--lines", str(tmp_path / "s")]
        with Process(*command, stdin=subprocess.DEVNULL) as client:
            with accepted(sock) as peer:
                client.kill(signal.SIGSTOP)
                os.waitid(os.P_PID, client.pid, os.WSTOPPED)
                peer.send(b"a")
                peer.send(b"")
            client.kill(signal.SIGCONT)
            assert client.finish() == (0, b"a\n\n", b"")


def test_seqpacket_lines_are_messages(seqpacket: int, tmp_path: Path) -> None:
    with (
        listener(socket.AF_UNIX, seqpacket, str(tmp_path / "s")) as sock,
        Process("connect", "--type", "SEQPACKET", "--lines", str(tmp_path / "s")) as client,
        accepted(sock) as peer,
    ):
        client.send(b"one\n\nthr")
        assert [peer.recv(100), peer.recv(100)] == [b"one", b""]
        client.send(b"ee\nfour")
        client.close_stdin()
        assert [peer.recv(100), peer.recv(100), peer.recv(100)] == [b"three", b"four", b""]
        peer.close()
        assert client.finish() == (0, b"", b"")


def test_seqpacket_in_pipe_mode(seqpacket: int, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Server("--type", "SEQPACKET", "--mode", "pipe", path, free_port=False) as server:
        with socket.socket(socket.AF_UNIX, seqpacket) as client:
            client.settimeout(TIMEOUT)
            client.connect(path)
            client.send(b"from the peer")
            server.wait_for(rb"from the peer", stream="out")
            server.send(b"to the peer")
            assert client.recv(100) == b"to the peer"
        result = server.finish()
    assert (result.status, result.out) == (0, b"from the peer")


# ---- readiness, inheritance


@pytest.mark.parametrize("quiet", [[], ["-q"]], ids=["", "quiet"])
def test_ready_fd_gets_one_line(quiet: list[str]) -> None:
    with (
        pipe() as (ready, told),
        Process("serve", *quiet, "--port", "0", "--ready-fd", str(told), pass_fds=[told]) as server,
    ):
        os.close(told)
        assert select.select([ready], [], [], TIMEOUT)[0]
        line = os.read(ready, 1000).decode()
        host, _, port = line.rpartition(":")
        assert (host, port[-1:]) == ("127.0.0.1", "\n")
        assert run("connect", port.strip(), stdin=b"x") == (0, b"x", b"")
        result = server.stop()
        assert os.read(ready, 1000) == b"", "one line, and no more"
    assert (result.err == b"") == bool(quiet)


def test_ready_fd_that_is_closed_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    result = run("serve", "-U", str(tmp_path / "s"), "--ready-fd", "99")
    assert result.status == 2
    assert "--ready-fd: 99 is no open descriptor" in result.said
    assert f"[EBADF {errno.EBADF}]" in result.said
    assert os.listdir(tmp_path) == []


@needs_linux
def test_a_service_manager_lends_the_socket_and_is_told(tmp_path: Path) -> None:
    with listener() as sock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(TIMEOUT)
        manager.bind(str(tmp_path / "notify"))
        before = fcntl.fcntl(sock, fcntl.F_GETFL)
        prefix = shell(f"exec 3<&{sock.fileno()} {sock.fileno()}<&-", "export LISTEN_FDS=1 LISTEN_PID=$$")
        with Server(
            free_port=False, pass_fds=[sock.fileno()], prefix=prefix, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}
        ) as server:
            told = manager.recv(1000).decode()
            assert told.splitlines() == ["READY=1", f"STATUS=listening on 127.0.0.1:{port_of(sock)}"]
            assert server.port == sock.getsockname()[1]
            for _ in range(2):
                assert run("connect", port_of(sock), stdin=b"x") == (0, b"x", b"")
            server.stop()
        assert fcntl.fcntl(sock, fcntl.F_GETFL) == before
        with socket.create_connection(sock.getsockname(), timeout=TIMEOUT) as client, accepted(sock):
            assert client  # the socket listens on: it was lent


@needs_linux
def test_listen_fds_of_another_process_are_not_ours() -> None:
    with listener() as sock:
        prefix = shell(f"exec 3<&{sock.fileno()}", "export LISTEN_FDS=1 LISTEN_PID=1")
        with Server(pass_fds=[sock.fileno()], prefix=prefix) as server:
            assert server.port != sock.getsockname()[1]


@needs_linux
def test_notify_to_an_abstract_name() -> None:
    name = f"sockkit-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(TIMEOUT)
        manager.bind("\0" + name)
        with Server(env={"NOTIFY_SOCKET": "@" + name}) as server:
            assert manager.recv(1000).decode() == f"READY=1\nSTATUS=listening on {server.address}\n"


def test_a_manager_that_went_away_is_no_failure(tmp_path: Path) -> None:
    with Server(env={"NOTIFY_SOCKET": str(tmp_path / "nobody")}) as server:
        assert run("connect", str(server.port), stdin=b"x") == (0, b"x", b"")


@pytest.mark.parametrize("command", ["connect", "serve"])
def test_closed_standard_streams_never_become_sockets(command: str, tmp_path: Path) -> None:
    closed = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "-"]
    if command == "connect":
        with listener() as sock, Process("connect", port_of(sock), prefix=closed) as client:
            with accepted(sock) as peer:
                assert peer.recv(10) == b"", "a closed stdin has ended; and nothing of ours is written to the socket"
                peer.sendall(b"reply")
            assert client.finish() == (0, b"", b"")
        return
    with (
        pipe() as (ready, told),
        Process("serve", "--port", "0", "--ready-fd", str(told), pass_fds=[told], prefix=closed) as server,
    ):
        assert select.select([ready], [], [], TIMEOUT)[0]
        port = os.read(ready, 1000).decode().rpartition(":")[2].strip()
        assert run("connect", port, stdin=b"x") == (0, b"x", b"")
        server.stop()


def test_serve_over_a_lent_listener() -> None:
    with listener() as sock:
        before = fcntl.fcntl(sock, fcntl.F_GETFL)
        with Server("--fileno", str(sock.fileno()), free_port=False, pass_fds=[sock.fileno()]) as server:
            assert server.port == sock.getsockname()[1]
            for _ in range(2):
                assert run("connect", port_of(sock), stdin=b"x") == (0, b"x", b"")
            assert fcntl.fcntl(sock, fcntl.F_GETFL) == before
            server.stop()
        with socket.create_connection(sock.getsockname(), timeout=TIMEOUT), accepted(sock):
            pass


def test_serve_listens_on_a_lent_socket_that_is_only_bound() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with Server("--fileno", str(sock.fileno()), free_port=False, pass_fds=[sock.fileno()]):
            assert run("connect", port_of(sock), stdin=b"x") == (0, b"x", b"")


def test_serve_refuses_a_lent_connection() -> None:
    with listener() as sock, socket.create_connection(sock.getsockname(), timeout=TIMEOUT) as client, accepted(sock):
        result = run("serve", "--fileno", str(client.fileno()), pass_fds=[client.fileno()])
    assert result.status == 2
    assert f"sockkit connect --fileno {client.fileno()}" in result.said or "connect --fileno" in result.said


def test_connect_over_a_lent_connection() -> None:
    with (
        listener() as sock,
        socket.create_connection(sock.getsockname(), timeout=TIMEOUT) as ours,
        accepted(sock) as peer,
    ):
        before = fcntl.fcntl(ours, fcntl.F_GETFL)
        with Process("connect", "--fileno", str(ours.fileno()), "--no-shutdown", pass_fds=[ours.fileno()]) as client:
            client.send(b"through sockkit")
            assert exactly(peer, 15) == b"through sockkit"
            peer.sendall(b"reply")
            client.wait_for(rb"reply", stream="out")
            client.close_stdin()
            peer.shutdown(socket.SHUT_WR)
            assert client.finish() == (0, b"reply", b"")
        assert fcntl.fcntl(ours, fcntl.F_GETFL) == before
        ours.sendall(b"still ours")
        assert exactly(peer, 10) == b"still ours"


def test_a_lent_connection_survives_for_the_next_command_of_a_shell() -> None:
    with (
        listener() as sock,
        socket.create_connection(sock.getsockname(), timeout=TIMEOUT) as ours,
        accepted(sock) as peer,
    ):
        fd = ours.fileno()
        script = f'"$@" connect --fileno {fd} --no-shutdown </dev/null; echo still >&{fd}'
        peer.sendall(b"hi")
        peer.shutdown(socket.SHUT_WR)
        done = subprocess.run(
            ["bash", "-c", script, "-", *SOCKKIT],
            pass_fds=[fd],
            env=ENVIRONMENT,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"hi", b"")
        assert exactly(peer, 6) == b"still\n"


def test_connect_over_a_lent_socket_that_is_not_connected() -> None:
    with Server() as server, socket.socket() as ours:
        address = f"127.0.0.1:{server.port}"
        result = run("connect", "--fileno", str(ours.fileno()), address, stdin=b"x", pass_fds=[ours.fileno()])
        assert result == (0, b"x", b"")
        assert ours.recv(1) == b"", "it was connected, and is still open"
        server.wait_for(rb"= #1 127\.0\.0\.1:%d connected" % ours.getsockname()[1])
    with socket.socket() as ours:
        result = run("connect", "--fileno", str(ours.fileno()), pass_fds=[ours.fileno()])
        assert result.status == 2
        assert "not connected" in result.said


def test_connect_over_a_lent_end_of_a_socketpair() -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.settimeout(TIMEOUT)
        peer.sendall(b"hi")
        peer.shutdown(socket.SHUT_WR)
        received = Task(receive_all, peer)
        assert run("connect", "--fileno", str(ours.fileno()), stdin=b"x", pass_fds=[ours.fileno()]) == (0, b"hi", b"")
        assert received.get() == b"x"


# ---- connect


def test_refused_says_what_it_means() -> None:
    port = free_port()
    result = run("connect", str(port))
    assert result.status == 1
    first, second = result.said.splitlines()
    assert first == f"sockkit: connect to 127.0.0.1:{port}: Connection refused [ECONNREFUSED {errno.ECONNREFUSED}]"
    assert f"sockkit serve 127.0.0.1 {port}" in second


def test_refused_at_the_default_port_says_to_start_serve() -> None:
    need_default_port()
    result = run("connect")
    assert result.status == 1
    assert f"connect to 127.0.0.1:{DEFAULT_PORT}: Connection refused" in result.said
    assert re.search(r"start `sockkit serve\b[^`]*` in another terminal", result.said)


def two_addresses(tmp_path: Path) -> list[str]:
    """A prefix that makes ``both.test`` a name for ::1 and 127.0.0.1."""
    return with_names(tmp_path, "", "::1 both.test\n127.0.0.1 both.test\n", "files")


@needs_ipv6
@needs_linux
def test_every_address_that_failed_is_told(tmp_path: Path) -> None:
    prefix, port = two_addresses(tmp_path), free_port()
    result = run("connect", "both.test", str(port), prefix=prefix)
    assert result.status == 1
    for host in ("[::1]", "127.0.0.1"):
        line = f"sockkit: connect to {host}:{port}: Connection refused [ECONNREFUSED {errno.ECONNREFUSED}]\n"
        assert result.said.count(line) == 1
    assert result.said.count("sockkit serve") == 1, "the hint is said once"
    only = run("connect", "-4", "both.test", str(port), prefix=prefix)
    assert "[::1]" not in only.said


@needs_ipv6
@needs_linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_address_that_answers_is_used(tmp_path: Path, host: str) -> None:
    prefix = two_addresses(tmp_path)
    with Server(host) as server:
        result = run("connect", "-v", "both.test", str(server.port), stdin=b"x", prefix=prefix)
        assert (result.status, result.out) == (0, b"x")
        assert f"trying {server.address}\n" in result.said
        assert f"{server.address} connected (here: " in result.said
        if host == "127.0.0.1":
            assert f"trying [::1]:{server.port}\n" in result.said
            assert f"connect to [::1]:{server.port}: Connection refused" in result.said
        quiet = run("connect", "both.test", str(server.port), stdin=b"x", prefix=prefix)
        assert (quiet.status, quiet.out) == (0, b"x")
        family = "-4" if host == "::1" else "-6"
        assert run("connect", family, "both.test", str(server.port), prefix=prefix).status == 1


def test_a_name_that_does_not_exist() -> None:
    result = run("connect", "-n", "no-such-name.invalid", "1")
    assert result.status == 1
    assert re.fullmatch(
        r"sockkit: look up no-such-name\.invalid:1: .* \[EAI_NONAME -?\d+\]\nsockkit: -n asks no name server\n",
        result.said,
    )


@needs_linux
def test_source_address_and_port() -> None:
    port = free_port()
    with listener() as sock, Process("connect", "-s", "127.0.0.2", "-p", str(port), port_of(sock)) as client:
        connection, address = sock.accept()
        with connection:
            assert address == ("127.0.0.2", port)
        client.close_stdin()
        assert client.finish().status == 0


def test_a_source_that_cannot_be() -> None:
    with listener() as sock:
        result = run("connect", "-s", "203.0.113.77", port_of(sock))
    assert result.status == 1
    assert f"[EADDRNOTAVAIL {errno.EADDRNOTAVAIL}]" in result.said


def test_zero_sees_whether_somebody_answers_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "stdin").write_bytes(b"not to be read")
    with listener() as sock, (tmp_path / "stdin").open("rb") as stdin:
        assert run("connect", "-z", port_of(sock), stdin=stdin.fileno()) == (0, b"", b"")
        assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0
        with accepted(sock) as peer:
            assert receive_all(peer) == b""
        told = run("connect", "-z", "-v", port_of(sock))
        assert told.status == 0
        assert f"127.0.0.1:{port_of(sock)} connected (here: 127.0.0.1:" in told.said
    refused = run("connect", "-z", str(free_port()))
    assert (refused.status, refused.out) == (1, b"")
    assert "Connection refused" in refused.said


def test_w_is_both_timeouts() -> None:
    with listener() as sock, Process("connect", "-w", "0.5", port_of(sock)) as client, accepted(sock) as peer:
        assert peer.recv(1) == b""
        result = client.finish()
    assert result.status == 1
    assert "nothing moved for 0.5 s [ETIMEDOUT" in result.said
    with full_queue() as sock:
        assert "timed out after 0.5 s" in run("connect", "-w", "0.5", port_of(sock)).said


def test_verbose_shows_every_system_call() -> None:
    with Server("-v") as server:
        result = run("connect", "-v", str(server.port), stdin=b"Hello")
        server.wait_for(rb"close\(")
        server.stop()
    assert (result.status, result.out) == (0, b"Hello")
    for call in (
        "socket(AF_INET, SOCK_STREAM, 0) = ",
        "connect(",
        "read(0, ",
        "send(",
        "recv(",
        "shutdown(",
        "write(",
        "close(",
    ):
        assert call in result.said, call
    assert re.search(
        rf"connect\(\d+, 127\.0\.0\.1:{server.port}\) = (0|-1 Operation now in progress \[EINPROGRESS \d+\]) <\d+ us>",
        result.said,
    )
    assert re.search(r"> +[\d.]+ #1 5 bytes at 0: Hello\n", result.said)
    assert re.search(r"< +[\d.]+ #1 5 bytes at 0: Hello\n", result.said)
    for call in ("socket(", "bind(", "listen(", "accept(", "recv(", "send(", "close("):
        assert call in bytes(server.err).decode(), call


def test_quiet_is_silent_but_for_errors() -> None:
    with Process("serve", "-q", "--port", "0", "--ready-fd", "1") as server:
        port = server.wait_for(rb":(\d+)\n", stream="out")[1].decode()
        assert run("connect", "-q", port, stdin=b"x") == (0, b"x", b"")
        assert server.stop().err == b""
    result = run("connect", "-q", str(free_port()))
    assert result.status == 1
    assert "Connection refused" in result.said


def story_of(result_err: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result_err.splitlines()]


def test_json_is_one_object_a_line() -> None:
    with Server() as server:
        result = run("connect", "--json", str(server.port), stdin=b"Hello")
    assert (result.status, result.out) == (0, b"Hello")
    story = story_of(result.err)
    names = [event["event"] for event in story]
    assert names[0] == "opened"
    assert names[-1] == "closed"
    assert {"opened", "data", "ended", "closed"} <= set(names)
    assert all(event["schema"] == 1 for event in story)
    assert [event["time"] for event in story] == sorted(event["time"] for event in story)
    opened, closed = story[0], story[-1]
    assert opened["peer"] == server.address
    assert (closed["sent"], closed["received"], closed["first"], closed["error"]) == (5, 5, "local", None)
    for direction in ("sent", "received"):
        data = [event for event in story if event["event"] == "data" and event["direction"] == direction]
        assert sum(event["size"] for event in data) == 5
    assert [event["how"] for event in story if event["event"] == "ended"] == ["stdin ended", "FIN sent", "FIN received"]


def test_json_tells_of_failures_in_the_same_way() -> None:
    port = free_port()
    result = run("connect", "--json", str(port))
    assert result.status == 1
    (failed,) = (event for event in story_of(result.err) if event["event"] == "failed")
    assert failed["operation"] == f"connect to 127.0.0.1:{port}"
    assert failed["error"]["name"] == "ECONNREFUSED"
    assert failed["error"]["errno"] == errno.ECONNREFUSED
    with listener() as sock, Process("connect", "--json", port_of(sock)) as client:
        with accepted(sock) as peer:
            peer.sendall(b"x")
            reset(peer)
        story = story_of(client.finish().err)
    assert story[-1]["event"] == "closed"
    assert story[-1]["error"] == f"Connection reset by peer [ECONNRESET {errno.ECONNRESET}]"


def test_json_of_a_server() -> None:
    with Process("serve", "--json", "--port", "0") as server:
        found = server.wait_for(rb'"event": "listening"[^\n]*"address": "127\.0\.0\.1:(\d+)"[^\n]*\n')
        assert run("connect", found[1].decode(), stdin=b"x") == (0, b"x", b"")
        server.wait_for(rb'"event": "closed"[^\n]*\n')
        story = story_of(server.stop().err)
    assert [event["event"] for event in story if event["event"] not in ("data", "ended")] == [
        *("listening", "opened", "closed", "totals")
    ]
    assert {key: story[-1][key] for key in ("sessions", "sent", "received")} == {
        "sessions": 1,
        "sent": 1,
        "received": 1,
    }


def test_options_are_set_at_their_moment() -> None:
    with Server("--set", "SO_REUSEADDR=1") as server:
        result = run("connect", "-v", "--set", "TCP_NODELAY=1", str(server.port), stdin=b"x")
    assert (result.status, result.out) == (0, b"x")
    assert re.search(r"setsockopt\(\d+, IPPROTO_TCP, TCP_NODELAY, 1\) = 0", result.said)
    assert result.said.index("TCP_NODELAY, 1") < result.said.index("connect(")


# ---- other people's netcats


def client_of(tool: str, port: int) -> list[str]:
    return {
        "nc": ["nc", "-N", "127.0.0.1", str(port)],
        "ncat": ["ncat", "127.0.0.1", str(port)],
        "socat": ["socat", "-t", "10", "-", f"TCP:127.0.0.1:{port}"],
    }[tool]


def server_of(tool: str, port: int) -> tuple[list[str], bytes]:
    """Its command line, and what it says when it listens."""
    return {
        "nc": (["nc", "-v", "-N", "-l", "127.0.0.1", str(port)], rb"(?i)listening on"),
        "ncat": (["ncat", "-v", "-l", "127.0.0.1", str(port)], rb"Listening on"),
        "socat": (
            ["socat", "-d", "-d", "-t", "10", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "-"],
            rb"listening on",
        ),
    }[tool]


TOOLS = pytest.mark.parametrize("tool", ["nc", "ncat", "socat"])


def need_tool(tool: str) -> None:
    path = need(tool)
    if tool == "nc":
        told = subprocess.run([path, "-h"], capture_output=True, timeout=TIMEOUT, check=False)
        if b"OpenBSD" not in told.stderr + told.stdout:
            pytest.skip("CANNOT: this nc is not OpenBSD's, whose flags the test uses")


@TOOLS
def test_real_clients_get_their_echo(tool: str) -> None:
    need_tool(tool)
    with Server() as server:
        done = subprocess.run(
            client_of(tool, server.port), input=BLOCK, capture_output=True, timeout=TIMEOUT, check=False
        )
        assert (done.returncode, done.stdout) == (0, BLOCK)
        server.wait_for(rb"#1 \S+ closed: received [^;]*\(1048576 bytes\), sent [^;]*\(1048576 bytes\)")


@TOOLS
def test_real_clients_of_a_pipe(tool: str) -> None:
    need_tool(tool)
    with Server("--mode", "pipe") as server:
        server.send(b"from sockkit\n")
        talking = Task(
            lambda: subprocess.run(
                client_of(tool, server.port), input=BLOCK, capture_output=True, timeout=TIMEOUT, check=False
            )
        )
        # nc ends at the peer's end, whatever its own stdin still has: so this side ends last.
        eventually(lambda: len(server.out) == MIB)
        server.close_stdin()
        done = talking.get()
        result = server.finish()
    assert (done.returncode, done.stdout) == (0, b"from sockkit\n")
    assert (result.status, result.out) == (0, BLOCK)


@TOOLS
def test_real_servers(tool: str) -> None:
    need_tool(tool)
    port = free_port()
    command, ready = server_of(tool, port)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as peer:
        assert peer.stdin and peer.stdout and peer.stderr
        stdin, stdout, stderr = peer.stdin, peer.stdout, peer.stderr

        def feed() -> None:
            stdin.write(BLOCK[::-1])
            stdin.close()

        try:
            said = b""
            while not re.search(ready, said):
                assert select.select([stderr], [], [], TIMEOUT)[0]
                data = os.read(stderr.fileno(), 1000)
                assert data, said
                said += data
            Task(stderr.read)
            received, feeding = Task(stdout.read), Task(feed)
            with Process("connect", "--after-end", "20", str(port)) as client:
                client.send(BLOCK)
                eventually(lambda: len(client.out) == MIB)  # this side ends last: see above
                client.close_stdin()
                assert client.finish() == (0, BLOCK[::-1], b"")
            feeding.get()
            assert received.get() == BLOCK
            assert peer.wait(TIMEOUT) == 0
        finally:
            peer.kill()
