"""Child programs: found, started, signalled, reaped. The one place that makes processes.

posix_spawn(3) says in one call all that a child gets, and no line of ours runs between fork and exec: three pipes as
descriptors 0 to 2, a session of its own (setsid(2): its group can be ended as one, and no terminal's Ctrl-C reaches it),
every signal at its default and none blocked. Everything else of ours is close-on-exec: what Python opens is from birth
(PEP 446), what we inherited from ``keep_descriptors`` on.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sockkit.syscalls import observed

if TYPE_CHECKING:
    from sockkit.events import Env

POSSIBLE: bool = hasattr(os, "posix_spawn") and hasattr(os, "wait4")
"""Windows has neither."""
SHELL = "/bin/sh"
PREFIX = "SOCKKIT_"
"""How the variables begin that a program gets from us; those that we got ourselves are not passed on."""
OURS = frozenset(("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET"))
"""What a service manager says to us alone."""
OTHERS = 32
"""Descriptors that are not a connection or a child's pipe: ours, files of recordings, those of a child that is being started."""
GONE = (ProcessLookupError,)
"""No refusal: nobody of them is left."""


class Command(NamedTuple):
    """What to run.

    Attributes:
        path: the file.
        argv: its arguments, as they were typed; the first is its name.
        name: that, without directories.
        text: all of it as it is typed in a shell.
    """

    path: str
    argv: tuple[str, ...]
    name: str
    text: str


class Child(NamedTuple):
    """A running program. The descriptors are ours, and never block.

    Attributes:
        pid: also the number of its process group and of its session.
        stdin, stdout, stderr: our ends of its pipes.
    """

    pid: int
    stdin: int
    stdout: int
    stderr: int


class Outcome(NamedTuple):
    """How a program ended.

    Attributes:
        status: its exit status, or None where a signal ended it.
        signal: that signal, or None.
        cpu: seconds of processor time, its own and of those whom it waited for.
    """

    status: int | None
    signal: int | None
    cpu: float


def find(argv: Sequence[str]) -> Command:
    """Look a program up as execvp(3) does, once: in PATH, unless its name has a slash.

    Raises:
        OSError: ENOENT where there is none; EACCES where there is one that we may not run.
    """
    import shlex

    name = argv[0]
    places = [name] if "/" in name else [os.path.join(place, name) for place in os.get_exec_path()] if name else []
    there = None
    for path in places:
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return Command(path, tuple(argv), os.path.basename(name), shlex.join(argv))
        if os.path.exists(path):
            there = path
    number = errno.ENOENT if there is None else errno.EACCES
    raise OSError(number, os.strerror(number), there or name)


def shell(line: str) -> Command:
    """A command line for /bin/sh. Raises OSError as ``find``."""
    return find((SHELL, "-c", line))


def keep_descriptors() -> None:
    """What we inherited is for us, not for a program: from now on it is closed by exec. 0 to 2 stay as they are.

    FD_CLOEXEC belongs to our descriptor, not to the open file: whoever lent it sees no difference.
    """
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            found = [int(name) for name in os.listdir(folder)]
            break
        except OSError:
            continue
    else:
        found = list(range(1024))
    for fd in found:
        if fd > 2:
            try:
                os.set_inheritable(fd, False)
            except OSError:  # the one that listed the folder, or none at all
                pass


def environment(told: Mapping[str, str]) -> dict[str, str]:
    """Ours, with ``told`` instead of whatever began with ``SOCKKIT_``; NUL bytes, which no variable can hold, as ``\\0``."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name not in OURS}
    return ours | {PREFIX + name: value.replace("\0", "\\0") for name, value in told.items()}


def start(env: Env, command: Command, variables: Mapping[str, str], descriptors: int | None = None) -> Child:
    """Start a program with pipes of ours as its stdin, stdout and stderr.

    Args:
        descriptors: its soft limit of them, where ours was raised (``syscalls.more_descriptors``).

    Raises:
        OSError: EMFILE (pipes), EAGAIN, ENOMEM, and what execve(2) says: ENOEXEC of a script without a ``#!`` line, ENOENT.
    """
    pipes: list[tuple[int, int]] = []
    try:
        for _ in range(3):
            pipes.append(observed(env, "pipe2", None, lambda: ("O_CLOEXEC",), os.pipe))
        (theirs_in, stdin), (stdout, theirs_out), (stderr, theirs_err) = pipes
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((theirs_in, theirs_out, theirs_err))]
        defaults = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

        def spawn() -> int:
            given = {"file_actions": actions, "setsigdef": defaults, "setsigmask": ()}
            try:
                return os.posix_spawn(command.path, command.argv, variables, setsid=True, **given)  # type: ignore[arg-type]
            except NotImplementedError:  # a system whose posix_spawn knows no sessions: then a group, as a shell's job
                return os.posix_spawn(command.path, command.argv, variables, setpgroup=0, **given)  # type: ignore[arg-type]

        with _limited(descriptors):
            pid = observed(env, "posix_spawn", None, lambda: (command.path, command.text), spawn)
    except BaseException:
        for pipe in pipes:
            for fd in pipe:
                os.close(fd)
        raise
    for fd in (theirs_in, theirs_out, theirs_err):
        os.close(fd)
    for fd in (stdin, stdout, stderr):
        os.set_blocking(fd, False)
    return Child(pid, stdin, stdout, stderr)


def most_at_once() -> int:
    """How many children of ours, each with a connection, there are descriptors for: RLIMIT_NOFILE, getrlimit(2)."""
    from resource import RLIMIT_NOFILE, getrlimit

    return max(1, (getrlimit(RLIMIT_NOFILE)[0] - OTHERS) // 4)


class _limited:  # noqa: N801 - a context manager by its use; contextlib's costs a generator a spawn
    """RLIMIT_NOFILE's soft limit for a moment: a child inherits it, and what we have open stays open (setrlimit(2))."""

    def __init__(self, soft: int | None) -> None:
        self._soft = soft

    def __enter__(self) -> None:
        if self._soft is not None:
            from resource import RLIMIT_NOFILE, getrlimit, setrlimit

            self._before = getrlimit(RLIMIT_NOFILE)
            setrlimit(RLIMIT_NOFILE, (self._soft, self._before[1]))

    def __exit__(self, *exception: object) -> None:
        if self._soft is not None:
            from resource import RLIMIT_NOFILE, setrlimit

            setrlimit(RLIMIT_NOFILE, self._before)


def signal_name(number: int) -> str:
    """``SIGTERM``; of a real-time signal its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def signal_group(env: Env, pid: int, number: int) -> bool:
    """Send a signal to a program and whoever of its group it has started: killpg(3).

    A number stays theirs as long as one of them is there, reaped or not; afterwards it may be another group's.

    Returns:
        False if nobody of them is left, or they run as somebody else now.
    """
    send = lambda: os.killpg(pid, number)
    try:
        observed(env, "kill", None, lambda: (-pid, signal_name(number) if number else 0), send, None, GONE)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def adopt_orphans() -> None:
    """Whoever a program leaves behind becomes our child, where the system can do that: so it is reaped, whoever process 1 is."""
    from sockkit import libc

    try:
        libc.be_subreaper()
    except OSError:
        pass


def reap(env: Env) -> Iterator[tuple[int, Outcome]]:
    """All children that have ended, with how: wait4(2)."""
    call = lambda: os.wait4(-1, os.WNOHANG)
    while True:
        try:
            pid, status, usage = observed(
                env, "wait4", None, lambda: (-1, "WNOHANG"), call, _waited, (ChildProcessError,)
            )
        except ChildProcessError:
            return
        if not pid:
            return
        code = os.waitstatus_to_exitcode(status)
        yield pid, Outcome(None if code < 0 else code, -code if code < 0 else None, usage.ru_utime + usage.ru_stime)


def _waited(found: tuple[int, int, object]) -> object:
    return found[0] and f"{found[0]}, {os.waitstatus_to_exitcode(found[1])}"
