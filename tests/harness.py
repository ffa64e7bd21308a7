"""Runs sockkit as a user would: real processes, real sockets, and checks that hold for every run.

Nothing here sleeps to synchronise: a server is ready when it says ``listening on``, a process is over when it ends, and every
wait has a limit (``TIMEOUT``) whose passing is a failure (U7).

What holds for every run is checked here, whatever the test is about:

- U1: no traceback, no warning, no exit status of a crashed interpreter (``check``).
- U2: stderr has lines that say what they are, and no control bytes (``check``).
- U3: nobody of its process group is left, its port is free, its path gone, lent descriptors have the flags that they had
  (``Process.finish``, ``Server.finish``), the terminal is as it was (``on_terminal``).
- U4: a server that has nothing to do uses no CPU (``Server.settle``).
- U5: memory stays within ``MEMORY``, whatever passes through (``Process.finish``).
- U6: a server that nobody talks to any more has the sockets that it began with (``Server.settle``).
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
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

TIMEOUT = 30.0
MEMORY = (24 + 32) << 20
"""Bytes that a run may have resident: an interpreter with what it imports, and 32 MiB for whatever passes through."""
SOCKKIT = [sys.executable, "-m", "sockkit"]
KEYS = re.compile(r"sockkit: |listening on |[=<>x!*] |\{")
"""How each line of stderr begins."""
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
    is_help = result.said.startswith("Usage: sockkit ")
    for line in () if is_help else result.said.splitlines():
        assert KEYS.match(line), f"a line that does not say what it is: {line!r}"
    return result


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
        memory: int = MEMORY,
    ) -> None:
        self.memory = memory
        self.peak = 0
        self._lent = [(fd, *_file(fd)) for fd in (stdin, stdout) if fd >= 0]
        self.popen = subprocess.Popen(
            [*prefix, *SOCKKIT, *args],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, **(env or {})},
            pass_fds=pass_fds,
            cwd=cwd,
            bufsize=0,
            start_new_session=True,  # so that whoever is left behind can be found
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
                    self._look()
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

    def feed(self, data: bytes) -> None:
        """Write to its stdin in the background, and end it. A process that has seen enough is its own affair."""

        def write() -> None:
            try:
                self.send(data)
            except BrokenPipeError:
                pass
            try:
                self.close_stdin()
            except BrokenPipeError:
                pass

        self._threads.append(threading.Thread(target=write, daemon=True))
        self._threads[-1].start()

    def close_stdin(self) -> None:
        """End its stdin."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()

    def kill(self, number: int) -> None:
        """Send it a signal, by pid."""
        self._look()
        self.popen.send_signal(number)

    def _look(self) -> None:
        """Note how much memory it has had at most (VmHWM: of this program, not of what forked it)."""
        if sys.platform == "linux":
            self.peak = max(self.peak, _status(self.pid, "VmHWM"))

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.popen.poll() is None:
            self._look()
            left = deadline - time.monotonic()
            if left <= 0:
                self.popen.kill()
                self.popen.wait()
                raise AssertionError(f"still running after {timeout} s; {bytes(self.err)!r}")
            _wait_for_exit(self.popen, min(left, 0.1))

    def finish(self, timeout: float = TIMEOUT) -> Result:
        """Wait for its end."""
        self._wait(timeout)
        for thread in self._threads:
            thread.join(timeout)
        self.close()
        if sys.platform == "linux":
            with pytest.raises(ProcessLookupError):  # whoever it has started is gone too
                os.killpg(self.pid, 0)
        for fd, *before in self._lent:
            now = _file(fd)
            if now[0] == before[0] != "closed":
                assert now == tuple(before), "the flags of a lent descriptor are the lender's"
        assert self.peak <= self.memory, f"{self.peak >> 20} MiB resident"
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


def run(
    *args: str,
    stdin: bytes | int | None = b"",
    timeout: float = TIMEOUT,
    **kwargs: Any,
) -> Result:
    """Run sockkit to its end. ``stdin``: bytes through a pipe, a descriptor, or None for /dev/null."""
    source = subprocess.PIPE if isinstance(stdin, bytes) else subprocess.DEVNULL if stdin is None else stdin
    with Process(*args, stdin=source, **kwargs) as process:
        if isinstance(stdin, bytes):
            process.feed(stdin)
        return process.finish(timeout)


class Server(Process):
    """``sockkit serve ARGS`` on a free port (unless the arguments say where), ready when the constructor returns.

    Attributes:
        address: what follows ``listening on``.
    """

    def __init__(self, *args: str, free_port: bool = True, **kwargs: object) -> None:
        where = ("--port", "0") if free_port else ()
        super().__init__("serve", *where, *args, **kwargs)  # type: ignore[arg-type]
        try:
            self.address = self.wait_for(rb"listening on (\S+)[^\n]*\n")[1].decode()
        except BaseException:
            self.close()
            raise
        self._path = Path(str(kwargs.get("cwd") or "."), self.address)
        self._inode = self._path.lstat().st_ino if self._path.is_socket() else None
        self._first = sockets(self.pid) if sys.platform == "linux" else []

    @property
    def port(self) -> int:
        """The port that it got."""
        return int(self.address.rpartition(":")[2])

    def settle(self) -> None:
        """Where nothing is going on, nothing is done, and no socket is kept but the listener and those of open sessions."""
        deadline = time.monotonic() + TIMEOUT
        while sys.platform == "linux" and self.popen.poll() is None:
            found = sockets(self.pid)
            opened = len(re.findall(rb"(?m)^= #\d+ .* connected", self.err))
            closed = len(re.findall(rb"(?m)^x #\d+ .* closed", self.err))
            if len(found) <= len(self._first) + opened - closed and is_idle(self.pid, 0.015):
                return
            assert time.monotonic() < deadline, (
                f"{len(found)} sockets, {len(self._first)} at first, {opened} sessions opened, {closed} closed; {found}"
            )

    def stop(self, number: int = signal.SIGTERM, *, busy: bool = False) -> Result:
        """See ``Process.stop``; ``busy``: it has something to do, so do not wait until it has nothing."""
        if not busy:
            self.settle()
        return super().stop(number)

    def finish(self, timeout: float = TIMEOUT) -> Result:
        """See ``Process.finish``."""
        result = super().finish(timeout)
        if sys.platform == "linux" and result.status != -signal.SIGKILL:
            port = re.search(r":(\d+)$", self.address)
            if port is not None:
                ours = set(sockets(os.getpid()))  # a listener that the test lent it
                theirs = {int(name[8:-1]) for name in self._first if name not in ours}
                assert not bound(int(port[1])) & theirs, "its port is free again"  # or another's already
            if self._inode is not None and self._path.is_socket():
                assert self._path.lstat().st_ino != self._inode, "its path is gone"
        return result

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


def fork_on_terminal(
    command: Sequence[str], env: dict[str, str], rows: int, columns: int, stdout: str = ""
) -> tuple[int, int, list[Any]]:
    """A program on a terminal of its own: its pid, our side of the terminal, and what that was like before the program began."""
    import fcntl
    import struct
    import termios

    gate, go = os.pipe()
    pid, master = pty.fork()
    if pid == 0:
        os.close(go)
        os.read(gate, 1)
        if stdout:
            os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT), 1)
        os.execvpe(command[0], list(command), env)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    before = termios.tcgetattr(master)
    os.close(gate)
    os.close(go)
    return pid, master, before


def on_terminal(
    *args: str,
    typed: bytes = b"",
    until: bytes | None = None,
    env: dict[str, str] | None = None,
    columns: int = 100,
) -> Screen:
    """Run sockkit on a pseudo-terminal. ``typed`` is typed once ``until`` (a regex) is on the screen."""
    import termios

    more = {"COLUMNS": str(columns), "TERM": "xterm-256color", **(env or {})}
    pid, master, before = fork_on_terminal([*SOCKKIT, *args], {**ENVIRONMENT, **more}, 40, columns)
    try:
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
        assert termios.tcgetattr(master) == before, "the terminal is as it was"
        return Screen(status, bytes(shown))
    finally:
        os.close(master)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def ticks(pid: int) -> int:
    """CPU time used, in clock ticks (10 ms), proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def cpu_time(pid: int) -> float:
    """Seconds of CPU that the main thread has used, to the nanosecond: /proc/PID/schedstat."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def state(pid: int) -> str:
    """What it does: S: it sleeps until something happens; R: it runs, or waits for a processor; Z: it has ended. proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_idle(pid: int, window: float = 0.5, share: float = 0.05) -> bool:
    """True if it uses next to no CPU during ``window`` seconds, and not because others have all processors."""
    before, begun = cpu_time(pid), time.monotonic()
    time.sleep(window)  # the window of a measurement, not a wait for anything
    return cpu_time(pid) - before <= share * (time.monotonic() - begun) and state(pid) in "ST"


def _status(pid: int, field: str) -> int:
    """A size of /proc/PID/status in bytes; 0 for a process that is gone."""
    try:
        found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) * 1024 if found else 0


def resident(pid: int) -> int:
    """Bytes of resident memory."""
    return _status(pid, "VmRSS")


def descriptors(pid: int) -> int:
    """How many it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def sockets(pid: int) -> list[str]:
    """The sockets that it has open, as ``socket:[INODE]``; stdin, stdout and stderr do not count."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            name = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if name.startswith("socket:") and int(fd) > 2:
            found.append(name)
    return found


def bound(port: int) -> set[int]:
    """The inodes of the sockets that listen on a port, or have it for datagrams, in this network namespace: /proc/net."""
    found = set()
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        path = Path("/proc/net", table)
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(int(fields[9]))
    return found


def _file(fd: int) -> tuple[object, int]:
    """Which file a descriptor stands for, and its flags."""
    try:
        status = os.fstat(fd)
        import fcntl

        return (status.st_dev, status.st_ino), fcntl.fcntl(fd, fcntl.F_GETFL)
    except (ImportError, OSError):
        return "closed", 0


def _wait_for_exit(popen: subprocess.Popen[bytes], timeout: float) -> None:
    """Wait for the end of a process, at once where the system can tell of it."""
    if not hasattr(os, "pidfd_open"):
        try:
            popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        return
    fd = os.pidfd_open(popen.pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll(timeout * 1000)
    finally:
        os.close(fd)


def need(tool: str) -> str:
    """The path of a program that a test needs; without it the test cannot run, and CI must have it."""
    found = shutil.which(tool)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {tool}")
        pytest.skip(f"CANNOT: {tool} is not installed")
    return found


AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""Before a command of root's: the user nobody runs it."""


def nobody_can_run() -> bool:
    """An interpreter, a shared library or a sockkit in a folder of root's own is not for others."""
    command = [*AS_NOBODY, *SOCKKIT, "--version"]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False, env=ENVIRONMENT)
    return done.returncode == 0


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
