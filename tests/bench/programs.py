"""Programs that take part: started, found, waited for and ended by pid. Nothing here knows what is measured."""

from __future__ import annotations

import importlib.util
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

HERE = Path(__file__).parent
LIMIT = 120.0
"""Seconds after which a program that should have ended is killed, and its measurement is a failure."""
FILES = 65536
"""Descriptors that a server of 10,000 clients may have, where the hard limit allows it."""
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("PYTHON") and name not in ("FORCE_COLOR", "NO_COLOR", "NOTIFY_SOCKET", "LISTEN_FDS")
}


class Failure(Exception):
    """A measurement that did not happen: a program failed, bytes were lost, nobody answered."""


class Done(NamedTuple):
    """A program that ended: its exit status, what it said on stderr, the processor time that it used in seconds."""

    status: int
    said: str
    cpu: float


def sockkit_program() -> str:
    """The installed ``sockkit``: the one of this interpreter, or of PATH."""
    beside = Path(sys.executable).with_name("sockkit")
    found = str(beside) if beside.exists() else shutil.which("sockkit")
    if found is None:
        raise Failure("sockkit is not installed: pip install -e .")
    return found


def missing(needs: Sequence[str]) -> str | None:
    """What of it is not here, or None."""
    for need in needs:
        kind, _, name = need.rpartition(":")
        if (importlib.util.find_spec(name) if kind == "module" else shutil.which(name)) is None:
            return name
    return None


class Program:
    """A running program. Its stderr is read to the end when it is waited for."""

    def __init__(
        self, argv: Sequence[str], stdin: int | None, stdout: int | None, stderr: int | None, new_session: bool
    ) -> None:
        self.argv = list(argv)
        # A file in memory: to write a server's story to a disk would take longer than to serve.
        self.stderr = os.fdopen(os.memfd_create("stderr"), "w+b") if stderr is None else None
        self.popen = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            bufsize=0,
            stderr=self.stderr if stderr is None else stderr,
            env=ENVIRONMENT,
            start_new_session=new_session,
        )
        self.pid = self.popen.pid
        self.done: Done | None = None

    @property
    def name(self) -> str:
        """For complaints."""
        return " ".join([os.path.basename(self.argv[0]), *self.argv[1:]])[:120]

    @property
    def stdin(self) -> IO[bytes]:
        """Where it was asked for."""
        assert self.popen.stdin is not None
        return self.popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Where it was asked for."""
        assert self.popen.stdout is not None
        return self.popen.stdout

    def said(self) -> str:
        """stderr so far."""
        if self.stderr is None:
            return ""
        size = os.fstat(self.stderr.fileno()).st_size
        return os.pread(self.stderr.fileno(), size, 0).decode(errors="replace")

    def wait(self) -> Done:
        """Wait for its end."""
        if self.done is None:
            pidfd = os.pidfd_open(self.pid)
            try:
                if not readable(pidfd, LIMIT):
                    self.popen.kill()
                    os.waitpid(self.pid, 0)
                    self.popen.returncode = -9
                    raise Failure(f"{self.name}: still running after {LIMIT:g} s")
            finally:
                os.close(pidfd)
            _, status, usage = os.wait4(self.pid, 0)
            self.popen.returncode = os.waitstatus_to_exitcode(status)
            self.done = Done(self.popen.returncode, self.said(), usage.ru_utime + usage.ru_stime)
        return self.done

    def succeed(self) -> Done:
        """Wait for its end, which must be in order."""
        done = self.wait()
        if done.status:
            raise Failure(f"{self.name}: exit status {done.status}: {done.said.strip()[-500:]}")
        return done

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self.done is None and self.popen.returncode is None:
            self.popen.terminate()
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr, self.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


class Workshop:
    """What all measurements of a run share: compiled programs, the input file, a directory. Gone when it is closed."""

    def __init__(self, size: int, *, quick: bool) -> None:
        self.size = size
        self.quick = quick
        self.directory = Path(tempfile.mkdtemp(prefix="sockkit-bench-"))
        self._input: Path | None = None
        self.input_kind = "none"
        import resource  # not on Windows, where this module is imported too

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        if self._input is not None:
            self._input.unlink(missing_ok=True)

    def compiled(self, name: str) -> str:
        """A program of ``tests/bench/c``."""
        program = self.directory / name
        if not program.exists():
            source = HERE / "c" / f"{name}.c"
            done = subprocess.run(["cc", "-O2", "-o", str(program), str(source)], capture_output=True, check=False)
            if done.returncode:
                raise Failure(f"cc {source.name}: {done.stderr.decode(errors='replace')}")
        return str(program)

    def input_file(self) -> Path:
        """``size`` bytes in memory: real pages of tmpfs if there is room for them, else a sparse file."""
        if self._input is None:
            shared = Path("/dev/shm")
            where = shared if shared.is_dir() and os.access(shared, os.W_OK) else self.directory
            fd, name = tempfile.mkstemp(prefix="sockkit-bench-", dir=where)
            self._input = Path(name)
            try:
                room = os.fstatvfs(fd).f_bavail * os.fstatvfs(fd).f_frsize
                if where == shared and _memory_available() > 2 * self.size and room > 1.25 * self.size:
                    os.posix_fallocate(fd, 0, self.size)
                    self.input_kind = "tmpfs, allocated"
                else:
                    os.ftruncate(fd, self.size)
                    self.input_kind = "sparse"
            finally:
                os.close(fd)
        return self._input


class Bench:
    """What a contender gets for one measurement. Everything that it started has ended when the measurement has.

    Attributes:
        size: bytes of a bulk transfer.
        seconds: how long a rate is measured.
        shop: see ``Workshop``.
        trace: a directory for ``strace -c -f`` of each sockkit that is started, or None.
    """

    def __init__(self, shop: Workshop, *, trace: Path | None = None) -> None:
        self.shop = shop
        self.quick = shop.quick
        self.size = shop.size if trace is None else min(shop.size, 64 << 20)
        self.seconds = 0.4 if shop.quick or trace is not None else 1.0
        self.trace = trace
        self._programs: list[Program] = []
        self._cleanups: list[Callable[[], object]] = []
        self._traced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for program in reversed(self._programs):
            program.close()
        for cleanup in reversed(self._cleanups):
            cleanup()

    def later(self, cleanup: Callable[[], object]) -> None:
        """Call it when the measurement is over."""
        self._cleanups.append(cleanup)

    def start(
        self,
        *argv: str,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        new_session: bool = False,
    ) -> Program:
        """Start a program; None is /dev/null (stderr: kept, see ``Program.said``)."""
        program = Program(argv, stdin, stdout, stderr, new_session)
        self._programs.append(program)
        return program

    def sockkit(self, *args: str) -> list[str]:
        """The command line of the installed sockkit. With a trace, strace is its child and not its parent (``-D``)."""
        argv = [sockkit_program(), *args]
        if self.trace is None:
            return argv
        self._traced += 1
        out = self.trace / f"{self._traced} {' '.join(['sockkit', *args])[:80].replace('/', '∕')}"
        return ["strace", "-D", "-c", "-f", "-o", str(out), *argv]

    def c(self, name: str) -> str:
        """A program of ``tests/bench/c``, compiled."""
        return self.shop.compiled(name)

    def python(self, name: str) -> list[str]:
        """The command line of a program of ``tests/bench/peers``."""
        return [sys.executable, str(HERE / "peers" / f"{name}.py")]

    def path(self, name: str) -> str:
        """A path that does not exist yet, in a directory that does."""
        directory = Path(tempfile.mkdtemp(dir=self.shop.directory))
        self.later(lambda: shutil.rmtree(directory, ignore_errors=True))
        return str(directory / name)

    def input(self) -> int:
        """stdin for a bulk transfer: a file of ``size`` bytes."""
        path = self.shop.input_file()
        if self.size < self.shop.size:
            path = Path(self.path("input"))
            with path.open("wb") as file:
                file.truncate(self.size)
        fd = os.open(path, os.O_RDONLY)
        self.later(lambda: os.close(fd))
        return fd

    def listening(self, program: Program, *, udp: bool = False) -> str:
        """Wait until a server is ready: by its ``listening on ADDRESS`` if it says so, else by what the kernel knows of it.

        Returns:
            the port, or the path.
        """
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = re.search(r"listening on (\S+)", program.said())
            if found:
                return found[1].rpartition(":")[2]
            port = bound_port(program.pid, udp=udp)
            if port is not None:
                return str(port)
            if program.popen.poll() is not None:
                raise Failure(f"{program.name}: ended at once: {program.said().strip()[-500:]}")
            time.sleep(0.005)
        raise Failure(f"{program.name}: not listening after 20 s")


CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
DELIVERS = ("cubic", "reno")
"""Congestion control that is as fast as the receiver on a way without loss: the kernel's default, and its plainest."""


def congestion_control() -> str | None:
    """Of this network namespace."""
    try:
        return CONGESTION.read_text().strip()
    except OSError:
        return None


def in_own_network(arguments: Sequence[str]) -> int | None:
    """Run the benchmarks again in a network namespace of their own: nobody else's traffic, and no machine's own TCP.

    BBR paces what is sent, even over loopback: then a fast program waits for the clock of its TCP. There the namespace gets
    Reno, which every namespace may have, and the report says so.

    Returns:
        the exit status, or None where that is not possible (it takes root and ``unshare``).
    """
    if os.geteuid() != 0 or missing(("unshare", "ip")) is not None:
        return None
    script = 'ip link set lo up && exec "$@"'
    command = ["unshare", "--net", "sh", "-c", script, "-", sys.executable, "-m", "tests.bench", "--here", *arguments]
    if subprocess.run(["unshare", "--net", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        return None
    if congestion_control() not in DELIVERS:
        command[4] = f"echo {DELIVERS[-1]} > {CONGESTION} && {script}"
    return subprocess.run(command, check=False).returncode


def free_port() -> int:
    """A port that was free a moment ago, for programs that take no 0."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def bound_port(pid: int, *, udp: bool = False) -> int | None:
    """The port that a process listens on, by /proc; None while there is none."""
    inodes = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
            if link.startswith("socket:["):
                inodes.add(link[8:-1])
    except OSError:
        return None
    if not inodes:
        return None
    state = "07" if udp else "0A"
    for table in ("udp", "udp6") if udp else ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == state and words[9] in inodes:
                return int(words[1].rpartition(":")[2], 16)
    return None


def memory(pid: int, field: str = "VmRSS") -> int:
    """A figure of /proc/PID/status, in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    if found is None:
        raise Failure(f"/proc/{pid}/status has no {field}")
    return int(found[1]) * 1024


def processor_time(pid: int) -> float:
    """What a single-threaded process used so far, in seconds (/proc/PID/schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def readable(fd: int, seconds: float) -> bool:
    """Wait until there is something to read; False if there was nothing for so long."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def figures(text: str) -> dict[str, float]:
    """The ``name value`` lines of a load generator."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value:
            found[name] = float(value)
    return found


def traces(directory: Path) -> list[dict[str, Any]]:
    """What ``strace -c`` wrote: for each command its system calls, most frequent first."""
    result = []
    for path in sorted(directory.iterdir(), key=lambda path: int(path.name.partition(" ")[0])):
        deadline = time.monotonic() + 10
        while (
            not path.stat().st_size and time.monotonic() < deadline
        ):  # strace is nobody's child that we could wait for
            time.sleep(0.01)
        calls: dict[str, int] = {}
        for line in path.read_text().splitlines():
            found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if found and found[2] != "total":
                calls[found[2]] = int(found[1])
        ranked = dict(sorted(calls.items(), key=lambda item: -item[1]))
        result.append({"command": path.name.partition(" ")[2].replace("∕", "/"), "calls": ranked})
    return result


def _memory_available() -> int:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0
