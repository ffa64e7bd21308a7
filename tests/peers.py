"""What plays the other side: sockets, payloads and helpers that several test files share."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import socket
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
    TIMEOUT,
    Process,
    Server,
    descriptors,
    is_idle,
    listener,
    need,
    receive_all,
)

T = TypeVar("T")


MIB = 1 << 20


RANDOM = random.Random(65432)


BLOCK = RANDOM.randbytes(MIB)


DEFAULT_PORT = 65432


LANES: tuple[list[str], ...] = ([], ["--copy"])
"""How bytes are moved: as sockkit likes it (where it can, by splice and sendfile), and by copying."""
EACH_LANE = pytest.mark.parametrize(
    "lane", [pytest.param([], id="default"), pytest.param(["--copy"], id="copy", marks=pytest.mark.once)]
)


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


def eventually(condition: Callable[[], bool], timeout: float = TIMEOUT, step: float = 0.02) -> None:
    """Wait for what no event tells, such as a number in /proc."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(step)


def send_and_end(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def send_until_stuck(sock: socket.socket, process: Process) -> int:
    """Send until nothing more is taken for half a second, and its receiver sleeps; how much was."""
    sent = 0
    sock.settimeout(0.5)
    deadline = time.monotonic() + 2 * TIMEOUT
    try:
        while True:
            assert sent < 64 * MIB, "there is no back-pressure"
            try:
                sent += sock.send(BLOCK)
            except TimeoutError:
                if sys.platform != "linux" or is_idle(process.pid, 0.05):
                    return sent
                assert time.monotonic() < deadline, "it takes nothing, and does not sleep"
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


def shell(*commands: str) -> list[str]:
    """A prefix that runs shell commands before sockkit, in the same process."""
    return ["bash", "-c", f'{"; ".join(commands)}; exec "$@"', "-"]


def _unasked() -> Iterator[int]:
    """Ports in any order, each once, of those that the system gives to nobody who did not ask for them."""
    least = 32768
    try:
        least = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        pass
    found = list(range(10_000, max(least, 20_000)))
    random.shuffle(found)
    return iter(found)


_UNASKED = _unasked()


def free_port(type: int = socket.SOCK_STREAM) -> int:
    """A port that nobody has, and that nobody gets for port 0; another one each time."""
    while True:
        port = next(_UNASKED)
        with socket.socket(socket.AF_INET, type) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


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


def in_a_network_of_its_own(function: Callable[[], T]) -> T:
    """Call it in a thread with a network namespace of its own, where one may be made; else as it is.

    For what leaves many connections behind: each host has room for so many in TIME_WAIT (tcp_max_tw_buckets), and when it
    is used up, whoever closes next is reset instead of remembered.
    """

    def run() -> T:
        import ctypes

        if sys.platform == "linux" and ctypes.CDLL(None).unshare(0x40000000) == 0:  # CLONE_NEWNET, of this thread alone
            subprocess.run([need("ip"), "link", "set", "lo", "up"], check=True)
        return function()

    return Task(run).get(300)


@contextmanager
def conversation(side: str, *args: str, **kwargs: Any) -> Iterator[tuple[Process, socket.socket, int]]:
    """``sockkit connect`` or ``serve --mode pipe``, its peer's socket, and the end of a pipe that is its stdout."""
    with ExitStack() as stack:
        drain, stdout = stack.enter_context(pipe())
        if side == "connect":
            sock = stack.enter_context(listener())
            process = stack.enter_context(Process("connect", *args, port_of(sock), stdout=stdout, **kwargs))
            peer = stack.enter_context(accepted(sock))
        else:
            process = server = stack.enter_context(Server("--mode", "pipe", *args, stdout=stdout, **kwargs))
            peer = stack.enter_context(server.connect())
        os.close(stdout)
        yield process, peer, drain


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


def reply_with(sock: socket.socket, reply: bytes) -> bytes:
    """Play a peer that reads to the end, then replies."""
    with accepted(sock) as peer:
        request = receive_all(peer)
        peer.sendall(reply)
        return request


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


def stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


EVIL = b"\x1b]0;PWN\x07\x1b[2J\x9b31m\x00\xff\r\x08\x7f[bold]x[/] [/nope] :smile:\n"


def story_of(result_err: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result_err.splitlines()]
