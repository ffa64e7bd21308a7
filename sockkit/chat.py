"""Chat: what one member says becomes lines that others read, each with a name before it.

What is said ends up on other people's terminals, so nothing in it may drive one: it is cut into lines of a bounded length, and
control characters, bidirectional overrides and bytes that are not UTF-8 are escaped (``text.TerminalEscaper``). A line of somebody
begins with ``<``, a line of the server with ``--``, and no name has characters that could make one look like the other.
"""

from __future__ import annotations

from sockkit.text import TerminalEscaper

MOST_LINE = 4096
"""Bytes of one line: what is longer becomes several."""
MOST_NAME = 32
"""Characters of a name."""
WITHIN = "-_."
"""What a name may have beside letters and digits."""
DEFAULT = "user-"
COMMANDS = (b"/name", b"/who")
NAME_RULE = f"a name has 1 to {MOST_NAME} letters, digits, - _ or ."

_escaper = TerminalEscaper()


def shown(line: bytes) -> bytes:
    r"""What others get to read of a line.

    >>> shown(b"\x1b[2J caf\xc3\xa9 \xff")
    b'\\x1b[2J caf\xc3\xa9 \\xff'
    """
    return _escaper.whole(line)


class Lines:
    """What one member says, cut into lines. A carriage return before the newline belongs to the end of the line."""

    __slots__ = ("_continued", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._continued = False

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """The lines that are whole now, and of each whether it begins one: a long one comes in pieces."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        found: list[tuple[bytes, bool]] = []
        for line in whole:
            line = self._cut(line, found)
            if line or not self._continued:
                found.append((line.removesuffix(b"\r"), not self._continued))
            self._continued = False
        if len(self._rest) > MOST_LINE:
            self._rest = self._cut(self._rest, found)
        return found

    def end(self) -> list[tuple[bytes, bool]]:
        """The end of input: a line that was not finished is one, too."""
        return self.feed(b"\n") if self._rest else []

    def _cut(self, line: bytes, found: list[tuple[bytes, bool]]) -> bytes:
        """Cut pieces off a line that is too long; what is left of it."""
        while len(line) > MOST_LINE:
            at = MOST_LINE
            while at > MOST_LINE - 4 and line[at] & 0xC0 == 0x80:  # not in the middle of a character
                at -= 1
            found.append((line[:at], not self._continued))
            self._continued = True
            line = line[at:]
        return line


class Names:
    """Who is called what, by the number of a session. Everybody has a name, ``user-3`` until another one is chosen."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._owners: dict[str, int] = {}

    def __getitem__(self, number: int) -> str:
        return self._names[number]

    def __contains__(self, number: int) -> bool:
        return number in self._names

    def enter(self, number: int) -> str:
        """Somebody is new here. Returns the name."""
        name = self._names[number] = f"{DEFAULT}{number}"
        return name

    def leave(self, number: int) -> str:
        """Somebody is gone. Returns the name, which is free now."""
        name = self._names.pop(number)
        self._owners.pop(_same(name), None)
        return name

    def rename(self, number: int, wanted: bytes) -> str | None:
        """Choose a name. Returns why not, or None."""
        try:
            name = wanted.strip().decode()
        except UnicodeDecodeError:
            return NAME_RULE
        bare = name
        for character in WITHIN:
            bare = bare.replace(character, "")
        if not 0 < len(name) <= MOST_NAME or not bare.isalnum():
            return NAME_RULE
        if name.lower().startswith(DEFAULT) and name != f"{DEFAULT}{number}":
            return f"names that begin with {DEFAULT} are given by number"
        if self._owners.get(_same(name), number) != number:
            return f"{name} is somebody else's name"
        self._owners.pop(_same(self._names[number]), None)
        self._names[number] = name
        self._owners[_same(name)] = number
        return None


def _same(name: str) -> str:
    """What two names have in common that look alike: compatibility forms and case make no difference (UAX #15)."""
    import unicodedata

    return unicodedata.normalize("NFKC", name).casefold()
