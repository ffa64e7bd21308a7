"""A program for each session: its stdin and stdout are our end of the conversation (``--exec``).

A program's stdin ends when the peer has ended, and its stdout's end is passed on to the peer. What it writes to its stderr is told
line by line, so that the story stays one. When its session is over it has ``GRACE`` seconds to end by itself; then it and whoever
it has started are told to (SIGTERM), and after as long again made to (SIGKILL).
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sockkit import names, processes, syscalls
from sockkit.errors import SystemRefusal
from sockkit.events import Exited, Level, Note, Said, Started
from sockkit.loop import READ, Loop, Timer
from sockkit.stdio import LocalEnd
from sockkit.text import escape

if TYPE_CHECKING:
    from sockkit.events import Handshake
    from sockkit.processes import Command, Outcome
    from sockkit.sessions import Session

GRACE = 2.0
"""Seconds to end by itself, and again to end after SIGTERM."""
HASTE = 0.2
"""Seconds to end by itself where a signal has ended us."""
LINE = 4096
"""Bytes of stderr that are read at once, and of a line that is told as one."""
PROMPT = 0.1
"""Seconds after which the beginning of a line is told as it is: a prompt has no newline."""
LAST_WORDS = 64 * 1024
"""Bytes of stderr that are still read when a program has ended."""


class Program:
    """One process.

    Attributes:
        number: of its session.
        failed: it ended, but not with status 0, and not since we made it.
    """

    def __init__(
        self, loop: Loop, child: processes.Child, command: Command, number: int, on_end: Callable[[Program], None]
    ) -> None:
        """
        Args:
            on_end: called once, when it has been reaped and its session is over.
        """
        env = self._env = loop.env
        self.number = number
        self.failed = False
        self._loop = loop
        self._child = child
        self._name = escape(command.name, backslash=False)
        self._on_end = on_end
        self._begun = env.clock()
        self._outcome: Outcome | None = None
        self._alone = False
        self._over = False
        self._signalled = False
        self._timer: Timer | None = None
        self._prompt: Timer | None = None
        self._line = b""
        self._open = {child.stdin, child.stdout, child.stderr}
        self.source = LocalEnd(
            child.stdout,
            syscalls.file_reader(env, child.stdout),
            None,
            terminal=False,
            always=False,
            socket=False,
            opened=None,
            name=f"{self._name}'s stdout",
            finish=self._end_input,
        )
        self.sink = LocalEnd(
            child.stdin,
            None,
            syscalls.file_writer(env, child.stdin),
            terminal=False,
            always=False,
            socket=False,
            opened=None,
            name=self._name,
            finish=self._end_input,
            gone=lambda: syscalls.pipe_queue(env, child.stdin) or 0,
        )
        loop.watch(child.stderr, READ, self._on_stderr)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            self._loop.forget(fd)
            os.close(fd)

    def _end_input(self) -> None:
        self._close(self._child.stdin)

    def _note(self, text: str) -> None:
        self._env.observer(Note(self._env.clock(), self.number, Level.WARNING, f"{self._name} {text}"))

    # ---- what it says

    def _on_stderr(self, mask: int) -> None:
        if not self._read_stderr():
            self._close(self._child.stderr)

    def _read_stderr(self) -> int:
        """Read what is there, at most ``LINE`` bytes, and tell it; 0 at its end."""
        try:
            data = os.read(self._child.stderr, LINE)
        except BlockingIOError:
            return -1
        *whole, self._line = (self._line + data).split(b"\n")
        for line in whole:
            self._say(line)
        while len(self._line) > LINE or (self._line and not data):
            self._say(self._line[:LINE])
            self._line = self._line[LINE:]
        if self._line and self._prompt is None:
            self._prompt = self._loop.later(PROMPT, self._say_rest)
        return len(data)

    def _say_rest(self) -> None:
        self._prompt = None
        if self._line:
            self._say(self._line)
            self._line = b""

    def _say(self, line: bytes) -> None:
        text = line.removesuffix(b"\r").decode("utf-8", "backslashreplace")
        self._env.observer(Said(self._env.clock(), self.number, self.pid, self._name, text))

    # ---- its end

    @property
    def pid(self) -> int:
        """Its number; also of its group."""
        return self._child.pid

    def _signal(self, number: int) -> bool:
        """Tell it and whoever it has started; False if nobody is left."""
        if not self._alone and not processes.signal_group(self._env, self.pid, number):
            self._alone = self._outcome is not None
        return not self._alone

    def look(self) -> bool:
        """Somebody was reaped: is anybody still there whom it has started? (If not, its number is soon another's.)"""
        return self._signal(0)

    def ended(self, outcome: Outcome) -> None:
        """It was reaped."""
        self._outcome = outcome
        self.look()
        left = LAST_WORDS
        while left > 0 and self._child.stderr in self._open:
            size = self._read_stderr()
            if size == 0:
                self._close(self._child.stderr)
            elif size < 0:
                break
            left -= size
        self._say_rest()
        self.failed = not self._signalled and outcome.status != 0
        now = self._env.clock()
        by = processes.signal_name(outcome.signal) if outcome.signal is not None else None
        duration = now - self._begun
        self._env.observer(Exited(now, self.number, self.pid, self._name, outcome.status, by, duration, outcome.cpu))
        if self._over:
            self._end_others()

    def over(self) -> None:
        """Its session is over."""
        self._over = True
        self._close(self._child.stdin)
        self._close(self._child.stdout)
        if self._outcome is not None:
            self._end_others()
        else:
            self._later(GRACE, self._terminate)

    def hurry(self) -> None:
        """The run is over too: soon it is told to end."""
        if not self._signalled and self._outcome is None:
            self._later(HASTE, lambda: self._terminate(told=False))

    def kill(self) -> None:
        """End it now, and whoever it has started."""
        self._signalled = True
        if self._outcome is None:
            self._note(f"(pid {self.pid}) does not end: SIGKILL")
        self._signal(signal.SIGKILL)
        if self._outcome is not None:
            self._end()
        else:
            self._later(GRACE, self._give_up)

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.later(seconds, callback)

    def _terminate(self, *, told: bool = True) -> None:
        if told:
            self._note(f"(pid {self.pid}) goes on although its conversation is over: SIGTERM")
        self._signalled = True
        self._signal(signal.SIGTERM)
        self._later(GRACE, self.kill)

    def _give_up(self) -> None:
        self._note(f"(pid {self.pid}) cannot be ended: it is left behind")
        self._end()

    def _end_others(self) -> None:
        """It has ended; whoever it has started, and who is still of its group, is to end too."""
        if self._signal(signal.SIGTERM):
            deadline = self._env.clock() + GRACE

            def look() -> None:
                if not self._signal(0):
                    self._end()
                elif self._env.clock() >= deadline:
                    self.kill()
                else:
                    self._later(0.05, look)

            self._later(0.01, look)
        else:
            self._end()

    def _end(self) -> None:
        self._alone = True  # if they could not be ended: they are no longer ours to signal
        for timer in (self._timer, self._prompt):
            if timer is not None:
                timer.cancel()
        for fd in list(self._open):
            self._close(fd)
        self._on_end(self)


class Programs:
    """The programs of a run, one for each session.

    Attributes:
        running: by the number of the session; those too whose session is over, until they have ended.
        most: there may be at once; others wait in the accept queue.
    """

    def __init__(
        self,
        loop: Loop,
        command: Command,
        on_end: Callable[[Program], None],
        *,
        descriptors: int | None = None,
    ) -> None:
        """
        Args:
            on_end: called when a program has ended and its session is over.
            descriptors: see ``processes.start``.
        """
        self.running: dict[int, Program] = {}
        self.most = processes.most_at_once()
        self._by_pid: dict[int, Program] = {}
        self._loop = loop
        self._command = command
        self._on_end = on_end
        self._descriptors = descriptors
        self._closing = False
        self._left: set[Program] = set()
        processes.keep_descriptors()
        processes.adopt_orphans()
        loop.on_signal(signal.SIGCHLD, self._reap)

    def ends(self, session: Session, handshake: Handshake | None) -> tuple[LocalEnd, LocalEnd]:
        """Start one: a ``sessions.Ends``."""
        env, command = self._loop.env, self._command
        variables = processes.environment(told(session, handshake))
        try:
            child = processes.start(env, command, variables, self._descriptors)
        except OSError as error:
            raise SystemRefusal(f"run {command.path}", error, hint=why(error)) from error
        env.observer(Started(env.clock(), session.number, child.pid, escape(command.text, backslash=False)))
        program = self.running[session.number] = Program(self._loop, child, command, session.number, self._ended)
        self._by_pid[child.pid] = program
        return program.source, program.sink

    def _reap(self) -> None:
        for pid, outcome in processes.reap(self._loop.env):
            program = self._by_pid.pop(pid, None)
            if program is not None:
                program.ended(outcome)
                self._left.add(program)
            # Others are orphans of theirs, or were here before us.
        self._left = {program for program in self._left if program.look()}

    def over(self, session: Session) -> bool:
        """A session is over. False if it has no program (any more): nobody calls ``on_end`` for it then."""
        program = self.running.get(session.number)
        if program is None:
            return False
        program.over()
        return True

    def _ended(self, program: Program) -> None:
        del self.running[program.number]
        if not self._closing:
            self._on_end(program)
        elif not self.running:
            self._loop.stop()

    def close(self) -> None:
        """The run is over, and so are the sessions: end all that still run, and wait for it. Another signal makes it quick."""
        self._closing = True
        for program in list(self.running.values()):
            program.hurry()
        while self.running:
            self._loop.run_on()
            for program in list(self.running.values()):  # a signal, for the second time
                program.kill()


def told(session: Session, handshake: Handshake | None) -> dict[str, str]:
    """What a program is told of its session, by the names of variables without ``SOCKKIT_``."""
    family, type = session.kind
    found = {
        "SESSION": str(session.number),
        "FAMILY": names.FAMILIES.name(family) or str(family),
        "TYPE": names.TYPES.name(type) or str(type),
        "PEER": session.peer,
        "LOCAL": session.local,
    }
    if family in syscalls.INTERNET:
        for which in ("PEER", "LOCAL"):
            host, _, port = found[which].rpartition(":")
            found |= {f"{which}_HOST": host.strip("[]"), f"{which}_PORT": port}
    elif found["FAMILY"] == "AF_UNIX":
        user = zip(("PEER_UID", "PEER_PID"), syscalls.peer_user(session.env, session.sock), strict=True)
        found |= {name: str(number) for name, number in user if number is not None}
    if handshake is not None:
        found |= {"TLS_VERSION": handshake.version, "TLS_CIPHER": handshake.cipher, "TLS_VERIFIED": handshake.verified}
        if handshake.alpn is not None:
            found["TLS_ALPN"] = escape(handshake.alpn)
        for shown in handshake.chain[:1]:
            found |= {"TLS_PEER_SUBJECT": escape(shown.subject), "TLS_PEER_FINGERPRINT": shown.fingerprint}
    return found


HINTS: Mapping[int, str] = {
    errno.ENOENT: "a program without a slash in its name is looked for in PATH; of a script, its #! line may be wrong",
    errno.EACCES: "it is not executable (chmod +x), or its directory may not be entered",
    errno.ENOEXEC: "a script needs a first line such as #!/bin/sh",
    errno.EMFILE: "each client takes four descriptors and its program six for a moment: ulimit -n allows no more",
    errno.EAGAIN: "this user may have no more processes: ulimit -u",
}


def why(error: OSError) -> str | None:
    """What a refusal to run a program means, and what to try."""
    return HINTS.get(error.errno or 0)
