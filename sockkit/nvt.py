"""A connection as telnet's network virtual terminal (RFC 854): between the socket, or its TLS, and the carriers of a session.

What is negotiated never reaches a carrier; each request is refused, and shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockkit import telnet
from sockkit.events import Direction, Env, Level, Negotiated, Note

if TYPE_CHECKING:
    from sockkit.carriers import Secured
    from sockkit.syscalls import Read, Write

SHOWN = 100
"""Commands that are told one by one. A peer that goes on is answered as well, and its commands are counted."""


class Nvt:
    """Plain bytes on one side, telnet's on the other. ``read`` and ``write`` are what ``syscalls`` means by these.

    Attributes:
        over: our direction has ended: nothing can be answered any more.
    """

    __slots__ = ("_env", "_machine", "_number", "_owed", "_read", "_secured", "_told", "_write", "over")

    def __init__(self, env: Env, number: int, read: Read, write: Write, secured: Secured | None) -> None:
        """
        Args:
            number: the session's.
            secured: the TLS below, or None.
        """
        self.over = False
        self._env = env
        self._number = number
        self._read = read
        self._write = write
        self._secured = secured
        self._machine = telnet.Machine()
        self._owed = bytearray()
        self._told = 0

    @property
    def more(self) -> bool:
        """See ``carriers.Secured``."""
        return self._secured is not None and self._secured.more

    @property
    def wants_output(self) -> bool:
        """A refusal, or half of an escaped byte, waits for the socket to take it."""
        return bool(self._owed) or (self._secured is not None and self._secured.wants_output)

    def flush(self) -> None:
        """Send what waits. Raises OSError where the connection is gone."""
        try:
            while self._owed:
                del self._owed[: self._write(bytes(self._owed))]
        except BlockingIOError:
            return
        if self._secured is not None:
            self._secured.flush()

    def read(self, buffer: memoryview) -> int:
        """See ``syscalls.Read``: plain bytes only."""
        size = self._read(buffer)
        if not size:
            if self._machine.unfinished:
                self._note("telnet: the peer ended within a command")
            return 0
        came = bytes(buffer[:size])
        found = self._machine.receive(came)
        if found is came:
            return size
        if self._machine.commands:
            self._answer()
        if not found:
            raise BlockingIOError
        buffer[: len(found)] = found
        return len(found)

    def _answer(self) -> None:
        for command in self._machine.commands:
            self._tell(Direction.RECEIVED, command)
            answer = command.answer
            # What waits already is not said twice: a peer that asks and asks, and never reads, costs no memory.
            if answer and not self.over and answer not in self._owed:
                self._owed += answer
                self._tell(Direction.SENT, telnet.Command(answer[1], answer[2]))
        self._machine.commands.clear()
        try:
            self.flush()
        except OSError:
            self._owed.clear()  # the connection is gone: whoever reads or writes next is told

    def _tell(self, direction: Direction, command: telnet.Command) -> None:
        self._told += 1
        if self._told > SHOWN:
            if self._told == SHOWN + 1:
                self._note(f"telnet: {SHOWN} commands were told; those that follow are answered, and not told")
            return
        option = None if command.option is None else telnet.option_name(command.option)
        data = command.data.hex() if command.code == telnet.SB else None
        self._env.observer(
            Negotiated(
                self._env.clock(), self._number, direction, telnet.name(command.code), option, data, command.size
            )
        )

    def _note(self, text: str) -> None:
        self._env.observer(Note(self._env.clock(), self._number, Level.INFO, text))

    def write(self, data: memoryview | bytes) -> int:
        """See ``syscalls.Write``: how many plain bytes were taken."""
        if self._owed:
            self.flush()
            if self._owed:
                raise BlockingIOError
        plain = bytes(data)
        sending = telnet.escaped(plain)
        sent = self._write(sending)
        if sent == len(sending):
            return len(plain)
        doubled = sending.count(b"\xff", 0, sent)
        if doubled % 2:  # cut between the two: the other one is owed
            self._owed += b"\xff"
        return sent - doubled // 2
