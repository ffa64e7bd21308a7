"""Telnet without any I/O (sans-I/O): what is negotiated is taken out of what comes, and refused.

RFC 854 (the protocol), 855 (options), 1143 (how an answer never causes the next one). Every option is off at the beginning, and here it
stays so: a request to begin is refused; one to stop asks for what is so already, and is not answered. That is the whole of it.
"""

from __future__ import annotations

from typing import NamedTuple

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
COMMANDS = {
    236: "EOF",
    237: "SUSP",
    238: "ABORT",
    239: "EOR",
    SE: "SE",
    241: "NOP",
    242: "DM",
    243: "BRK",
    244: "IP",
    245: "AO",
    246: "AYT",
    247: "EC",
    248: "EL",
    249: "GA",
    SB: "SB",
    WILL: "WILL",
    WONT: "WONT",
    DO: "DO",
    DONT: "DONT",
}
"""Bytes that follow an IAC: RFC 854; EOF, SUSP and ABORT are RFC 1184's, EOR is RFC 885's."""
REFUSAL = {DO: WONT, WILL: DONT}
OPTIONS: dict[int, tuple[str, int | None]] = {
    0: ("BINARY", 856),
    1: ("ECHO", 857),
    2: ("RECONNECTION", None),
    3: ("SUPPRESS-GO-AHEAD", 858),
    4: ("APPROX-MESSAGE-SIZE", None),
    5: ("STATUS", 859),
    6: ("TIMING-MARK", 860),
    7: ("RCTE", 726),
    8: ("OUTPUT-LINE-WIDTH", None),
    9: ("OUTPUT-PAGE-SIZE", None),
    10: ("OUTPUT-CR-DISPOSITION", 652),
    11: ("OUTPUT-HTAB-STOPS", 653),
    12: ("OUTPUT-HTAB-DISPOSITION", 654),
    13: ("OUTPUT-FF-DISPOSITION", 655),
    14: ("OUTPUT-VTAB-STOPS", 656),
    15: ("OUTPUT-VTAB-DISPOSITION", 657),
    16: ("OUTPUT-LF-DISPOSITION", 658),
    17: ("EXTENDED-ASCII", 698),
    18: ("LOGOUT", 727),
    19: ("BYTE-MACRO", 735),
    20: ("DATA-ENTRY-TERMINAL", 1043),
    21: ("SUPDUP", 736),
    22: ("SUPDUP-OUTPUT", 749),
    23: ("SEND-LOCATION", 779),
    24: ("TERMINAL-TYPE", 1091),
    25: ("END-OF-RECORD", 885),
    26: ("TACACS-USER-ID", 927),
    27: ("OUTPUT-MARKING", 933),
    28: ("TERMINAL-LOCATION-NUMBER", 946),
    29: ("3270-REGIME", 1041),
    30: ("X.3-PAD", 1053),
    31: ("NAWS", 1073),
    32: ("TERMINAL-SPEED", 1079),
    33: ("REMOTE-FLOW-CONTROL", 1372),
    34: ("LINEMODE", 1184),
    35: ("X-DISPLAY-LOCATION", 1096),
    36: ("ENVIRON", 1408),
    37: ("AUTHENTICATION", 2941),
    38: ("ENCRYPT", 2946),
    39: ("NEW-ENVIRON", 1572),
    40: ("TN3270E", 2355),
    41: ("XAUTH", None),
    42: ("CHARSET", 2066),
    43: ("REMOTE-SERIAL-PORT", None),
    44: ("COM-PORT", 2217),
    45: ("SUPPRESS-LOCAL-ECHO", None),
    46: ("START-TLS", None),
    47: ("KERMIT", 2840),
    48: ("SEND-URL", None),
    49: ("FORWARD-X", None),
    138: ("PRAGMA-LOGON", None),
    139: ("SSPI-LOGON", None),
    140: ("PRAGMA-HEARTBEAT", None),
    255: ("EXTENDED-OPTIONS-LIST", 861),
}
"""Number of an option to its name and its RFC: IANA's list of telnet options. Those without an RFC have a draft or nothing at all."""
KEPT = 64
"""Bytes of a subnegotiation that are kept to be shown; it may be of any length."""


class Command(NamedTuple):
    """What came behind an IAC.

    Attributes:
        code: one of ``COMMANDS``, or any other byte below 240.
        option: number of the option, for ``WILL``, ``WONT``, ``DO``, ``DONT`` and ``SB``; else None.
        data: the first bytes of a subnegotiation.
        size: … and how many they were altogether.
        answer: what is to be sent in return; may be empty.
    """

    code: int
    option: int | None = None
    data: bytes = b""
    size: int = 0
    answer: bytes = b""


class Machine:
    """One connection's incoming bytes, cut wherever.

    Attributes:
        commands: what was taken out of them since somebody emptied this list.
    """

    __slots__ = ("_code", "_data", "_option", "_size", "_state", "commands")

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self._state = self._plain
        self._code = 0
        self._option: int | None = None
        self._data = bytearray()
        self._size = 0

    @property
    def unfinished(self) -> bool:
        """What came ends within a command."""
        return self._state != self._plain

    def receive(self, data: bytes) -> bytes:
        """The plain bytes among these."""
        if self._state == self._plain and IAC not in data:
            return data
        found = bytearray()
        at, size = 0, len(data)
        while at < size:
            at = self._state(data, at, found)
        return bytes(found)

    # Each state takes some of the bytes and returns where the rest begins.

    def _plain(self, data: bytes, at: int, found: bytearray) -> int:
        end = data.find(IAC, at)
        if end < 0:
            end = len(data)
        else:
            self._state = self._command
        found += data[at:end]
        return end + 1

    def _command(self, data: bytes, at: int, found: bytearray) -> int:
        code = data[at]
        self._state = self._plain
        if code == IAC:
            found.append(IAC)
        elif code in (WILL, WONT, DO, DONT):
            self._code = code
            self._state = self._negotiation
        elif code == SB:
            self._option = None
            self._data.clear()
            self._size = 0
            self._state = self._within
        else:
            self.commands.append(Command(code))
        return at + 1

    def _negotiation(self, data: bytes, at: int, found: bytearray) -> int:
        code, option = self._code, data[at]
        answer = bytes((IAC, REFUSAL[code], option)) if code in REFUSAL else b""
        self.commands.append(Command(code, option, answer=answer))
        self._state = self._plain
        return at + 1

    def _within(self, data: bytes, at: int, found: bytearray) -> int:
        end = data.find(IAC, at)
        if end < 0:
            end = len(data)
        else:
            self._state = self._within_command
        self._keep(data[at:end])
        return end + 1

    def _within_command(self, data: bytes, at: int, found: bytearray) -> int:
        code = data[at]
        if code == IAC:
            self._keep(b"\xff")
            self._state = self._within
            return at + 1
        # SE ends it. Any other command too: whoever forgot the SE would else never be heard again.
        self.commands.append(Command(SB, self._option, bytes(self._data), self._size))
        self._state = self._plain if code == SE else self._command
        return at + 1 if code == SE else at

    def _keep(self, data: bytes) -> None:
        if self._option is None and data:
            self._option, data = data[0], data[1:]
        self._size += len(data)
        self._data += data[: KEPT - len(self._data)]


def escaped(data: bytes) -> bytes:
    """Plain bytes as they are sent: what would be an IAC is doubled."""
    return data.replace(b"\xff", b"\xff\xff")


def name(code: int) -> str:
    """``DO``; a number where it has no name."""
    return COMMANDS.get(code, str(code))


def option_name(option: int) -> str:
    """``ECHO (RFC 857)``; ``option 77`` where it has no name."""
    row = OPTIONS.get(option)
    if row is None:
        return f"option {option}"
    return row[0] if row[1] is None else f"{row[0]} (RFC {row[1]})"
