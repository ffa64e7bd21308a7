"""Runs sockkit as a user would: real processes, real sockets, and checks that hold for every run.

Nothing here sleeps to synchronise: a server is ready when it says ``listening on``, a process is over when it ends, and every
wait has a limit (``TIMEOUT``) whose passing is a failure.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import pytest

TIMEOUT = 30.0
SOCKKIT = [sys.executable, "-m", "sockkit"]
FORBIDDEN = (b"Traceback", b"Exception ignored", b"Fatal Python error", b"ResourceWarning", b"RuntimeWarning")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR", "NOTIFY_SOCKET")},
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "",
    "COLUMNS": "100",
}


class Result(NamedTuple):
    """What came of a run: exit status as the shell's ``$?`` (negative: killed by that signal), stdout, stderr."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """stdout as text."""
        return self.out.decode()

    @property
    def said(self) -> str:
        """stderr as text."""
        return self.err.decode()


def check(result: Result) -> Result:
    """What holds for every run: no traceback, no control bytes on stderr, no exit status of a crashed interpreter."""
    for word in FORBIDDEN:
        assert word not in result.err, result.said
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", result.err), result.err
    assert result.status not in (120, 134, 139, -6, -11), result
    return result


def run(
    *args: str,
    stdin: bytes | int | None = b"",
    timeout: float = TIMEOUT,
    env: dict[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: str | os.PathLike[str] | None = None,
    prefix: Sequence[str] = (),
) -> Result:
    """Run sockkit to its end. ``stdin``: bytes through a pipe, a descriptor, or None for /dev/null."""
    given: dict[str, Any] = (
        {"input": stdin} if isinstance(stdin, bytes) else {"stdin": subprocess.DEVNULL if stdin is None else stdin}
    )
    done = subprocess.run(
        [*prefix, *SOCKKIT, *args],
        capture_output=True,
        timeout=timeout,
        env={**ENVIRONMENT, **(env or {})},
        pass_fds=pass_fds,
        cwd=cwd,
        check=False,
        **given,
    )
    return check(Result(done.returncode, done.stdout, done.stderr))


class Process:
    """A sockkit that runs on. stdout and stderr are collected as they come; ``out`` and ``err`` are what came so far."""

    def __init__(
        self,
        *args: str,
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        env: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        cwd: str | os.PathLike[str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.popen = subprocess.Popen(
            [*prefix, *SOCKKIT, *args],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, **(env or {})},
            pass_fds=pass_fds,
            cwd=cwd,
            bufsize=0,
        )
        self.pid = self.popen.pid
        self.out = bytearray()
        self.err = bytearray()
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._collect, args=(stream, buffer), daemon=True)
            for stream, buffer in ((self.popen.stdout, self.out), (self.popen.stderr, self.err))
            if stream is not None
        ]
        for thread in self._threads:
            thread.start()

    def _collect(self, stream: object, buffer: bytearray) -> None:
        while data := stream.read(65536):  # type: ignore[attr-defined]
            with self._changed:
                buffer += data
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, pattern: bytes, *, stream: str = "err", timeout: float = TIMEOUT) -> re.Match[bytes]:
        """Wait until a regular expression is found in what came so far."""
        buffer: bytearray = getattr(self, stream)
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = re.search(pattern, bytes(buffer))
                if found:
                    return found
                over = self.popen.poll() is not None and not any(thread.is_alive() for thread in self._threads)
                left = deadline - time.monotonic()
                assert not over and left > 0, (
                    f"{pattern!r} never came; {stream}: {bytes(buffer)!r}; {bytes(self.err)!r}"
                )
                self._changed.wait(min(left, 0.2))

    def send(self, data: bytes) -> None:
        """Write to its stdin."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(data)
        self.popen.stdin.flush()

    def close_stdin(self) -> None:
        """End its stdin."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()

    def kill(self, number: int) -> None:
        """Send it a signal, by pid."""
        self.popen.send_signal(number)

    def finish(self, timeout: float = TIMEOUT) -> Result:
        """Wait for its end."""
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"still running after {timeout} s; {bytes(self.err)!r}") from None
        for thread in self._threads:
            thread.join(timeout)
        self.close()
        return check(Result(self.popen.returncode, bytes(self.out), bytes(self.err)))

    def stop(self, number: int = signal.SIGTERM) -> Result:
        """End it by a signal, as Ctrl-C would (SIGTERM, since a shell's background jobs ignore SIGINT)."""
        if self.popen.poll() is None:
            self.kill(number)
        return self.finish()

    def close(self) -> None:
        """Give back everything, whatever state it is in."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for thread in self._threads:
            thread.join(5)
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Server(Process):
    """``sockkit serve ARGS`` on a free port (unless the arguments say where), ready when the constructor returns.

    Attributes:
        address: what follows ``listening on``.
    """

    def __init__(self, *args: str, free_port: bool = True, **kwargs: object) -> None:
        where = ("--port", "0") if free_port else ()
        super().__init__("serve", *args, *where, **kwargs)  # type: ignore[arg-type]
        try:
            self.address = self.wait_for(rb"listening on (\S+)[^\n]*\n")[1].decode()
        except BaseException:
            self.close()
            raise

    @property
    def port(self) -> int:
        """The port that it got."""
        return int(self.address.rpartition(":")[2])

    def connect(self) -> socket.socket:
        """A plain TCP connection to it, with a timeout so that no test hangs."""
        host = self.address.rpartition(":")[0].strip("[]")
        return socket.create_connection((host, self.port), timeout=TIMEOUT)


@contextmanager
def listener(
    family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, address: object = ("127.0.0.1", 0)
) -> Iterator[socket.socket]:
    """A listening (or, for datagrams, bound) socket of the test's own, to play the peer with."""
    with socket.socket(family, type) as sock:
        sock.settimeout(TIMEOUT)
        sock.bind(address)  # type: ignore[arg-type]
        if type in (socket.SOCK_STREAM, getattr(socket, "SOCK_SEQPACKET", None)):
            sock.listen(16)
        yield sock


def receive_all(sock: socket.socket) -> bytes:
    """Everything until the peer's end."""
    data = bytearray()
    while chunk := sock.recv(65536):
        data += chunk
    return bytes(data)


class Screen(NamedTuple):
    """What a run on a terminal showed (stdout and stderr together, as a person sees them), and its exit status."""

    status: int
    shown: bytes


def on_terminal(
    *args: str,
    typed: bytes = b"",
    until: bytes | None = None,
    env: dict[str, str] | None = None,
    columns: int = 100,
) -> Screen:
    """Run sockkit on a pseudo-terminal. ``typed`` is typed once ``until`` (a regex) is on the screen."""
    import fcntl
    import struct
    import termios

    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(
            SOCKKIT[0],
            [*SOCKKIT, *args],
            {**ENVIRONMENT, "COLUMNS": str(columns), "TERM": "xterm-256color", **(env or {})},
        )
    try:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        shown = bytearray()
        deadline = time.monotonic() + TIMEOUT
        pending = typed
        while True:
            assert time.monotonic() < deadline, bytes(shown)
            if pending and (until is None or re.search(until, shown)):
                os.write(master, pending)
                pending = b""
            if not select.select([master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not data:
                break
            shown += data
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pid = 0
        return Screen(status, bytes(shown))
    finally:
        os.close(master)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def need(tool: str) -> str:
    """The path of a program that a test needs; without it the test cannot run, and CI must have it."""
    found = shutil.which(tool)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {tool}")
        pytest.skip(f"CANNOT: {tool} is not installed")
    return found


def has_ipv6() -> bool:
    """True if ::1 can be bound."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
            return True
    except (OSError, AttributeError):
        return False


def has_family(name: str, type: int = socket.SOCK_STREAM) -> bool:
    """True if a socket of that family can be made here."""
    family = getattr(socket, name, None)
    if family is None:
        return False
    try:
        socket.socket(family, type).close()
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="CANNOT: no IPv6: ::1 cannot be bound")
needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="CANNOT: no Unix sockets here")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: this is Linux's own")
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="CANNOT: not root")
