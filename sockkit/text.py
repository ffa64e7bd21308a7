"""Text that a peer, a file name or a command line brought, made harmless to a terminal.

What is escaped reads as it does in Python: ``\\n``, ``\\r`` and ``\\t``, then ``\\xHH`` for a *byte* (a control character of
ASCII, or a byte that is not UTF-8) and ``\\uHHHH`` or ``\\UHHHHHHHH`` for a *character* (C1 controls, bidirectional
overrides and their kin). So an escaped ``9b`` tells which of the two it was, and ``unescape`` gets every byte back.

No regular expression and no table is built until something needs escaping: most text is printable.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import cache

_Ranges = tuple[tuple[int, int], ...]

_ACTING: _Ranges = (
    (0x00, 0x1F),  # C0
    (0x7F, 0x9F),  # DEL and C1
    (0x061C, 0x061C),  # Arabic letter mark
    (0x200E, 0x200F),  # left-to-right and right-to-left mark
    (0x2028, 0x202E),  # line and paragraph separator, bidirectional embeddings and overrides
    (0x2066, 0x2069),  # bidirectional isolates
    (0xD800, 0xDFFF),  # surrogates: half a character, or a byte that could not be decoded
)
"""What makes a terminal do something else than show a character where the cursor is."""

_INVISIBLE: _Ranges = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x180E, 0x180E),  # Mongolian vowel separator
    (0x200B, 0x200D),  # zero-width space, non-joiner, joiner
    (0x2060, 0x206F),  # word joiner, invisible operators, deprecated controls
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFF9, 0xFFFB),  # interlinear annotation
    (0xE0000, 0xE007F),  # tags
)
"""What nobody sees: kept in payload, where languages need it, shown in the story, where two names must not look alike."""

_PLAIN = bytes(range(0x20, 0x7F)) + b"\n\t"
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_ERRORS = "sockkit.escape"


def escape(data: bytes | str, *, backslash: bool = True, ascii: bool = False) -> str:
    r"""One line of printable text for any bytes or text.

    Bytes are read as UTF-8 where they are UTF-8. In a ``str``, bytes that were smuggled in by ``surrogateescape`` (file
    names, ``sys.argv``) are bytes again.

    Args:
        backslash: double it, so that no text looks like the escape of another one.
        ascii: escape everything beyond ASCII too.

    >>> escape(b"\x1b[2J caf\xc3\xa9 \xff")
    '\\x1b[2J café \\xff'
    """
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    if not text.isprintable():
        text = text.translate(_story(backslash))
    elif backslash and "\\" in text:
        text = text.replace("\\", "\\\\")
    if ascii and not text.isascii():
        text = text.encode("ascii", _ERRORS).decode("ascii")
    return text


def unescape(text: str) -> str:
    r"""What ``escape`` was given, bytes that are not UTF-8 as surrogates: ``os.fsencode`` makes bytes of it.

    Raises:
        ValueError: a backslash is followed by something that ``escape`` does not write.
    """
    if "\\" not in text:
        return text
    import re

    short = {written[1]: plain for plain, written in _SHORT.items()}

    def plain(match: re.Match[str]) -> str:
        letter, byte, short_character, long_character = match.groups()
        if letter:
            return short[letter]
        if byte:
            code = int(byte, 16)
            return chr(code if code < 0x80 else 0xDC00 + code)
        if short_character or long_character:
            return chr(int(short_character or long_character, 16))
        raise ValueError("a backslash begins an escape: \\xHH is a byte, \\\\ is the backslash itself")

    pattern = r"\\(?:([\\nrt])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|)"
    return re.sub(pattern, plain, text)


def preview(data: bytes | str, width: int, *, ascii: bool = False) -> str:
    """The beginning of ``data``, escaped, in at most ``width`` characters; an ellipsis says that there is more.

    An escape sequence is never cut in two, and no more of ``data`` is looked at than can be shown.
    """
    ellipsis = "..." if ascii else "…"
    # A character takes four bytes at most, so this holds one character more than fits. If the cut makes a broken
    # character of the last one, that is the one that is not shown.
    text = escape(data[: 4 * (max(width, 0) + 1)], ascii=ascii)
    if len(text) <= width:
        return text
    room = width - len(ellipsis)
    if room < 0:
        return ellipsis[: max(width, 0)]
    end = 0
    for length in _pieces(text):
        if end + length > room:
            break
        end += length
    return text[:end] + ellipsis


def quoted(text: str) -> str:
    r"""What was typed, in quotes, for a message: harmless and not endless.

    >>> quoted("caf\xe9 \udcff")
    "'café \\xff'"
    """
    shown = preview(text, 60)
    return f"'{shown}'" if shown.isprintable() else ascii(text[:60])  # characters that Unicode has not assigned yet


class TerminalEscaper:
    r"""Payload on its way to a terminal: lines stay lines, and nothing in it moves the cursor or sets a colour.

    Newline and tab pass; other controls, bidirectional overrides and bytes that are not UTF-8 are escaped, ``\r`` too.
    Backslashes are left as they are: this is for reading, not for getting the bytes back.

    Args:
        encoding: what the terminal understands. A character that it lacks becomes ``\uHHHH``.
    """

    __slots__ = ("_decoder", "_encoding", "_passes", "_pending")

    def __init__(self, encoding: str = "utf-8") -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._encoding = encoding
        self._passes = _PLAIN.decode().encode(encoding, _ERRORS) == _PLAIN
        self._pending = False

    def feed(self, data: bytes) -> bytes:
        """What to write for these bytes. A character whose end has not come yet is kept back (three bytes at most)."""
        if self._passes and not self._pending and not data.translate(None, _PLAIN):
            return data
        text = self._decoder.decode(data)
        self._pending = bool(self._decoder.getstate()[0])
        return self._shown(text)

    def flush(self) -> bytes:
        """What to write at the end of input: the bytes that were kept back, escaped."""
        text = self._decoder.decode(b"", True)
        self._decoder.reset()
        self._pending = False
        return self._shown(text)

    def whole(self, data: bytes) -> bytes:
        """What to write for a message, which nothing of another one continues: nothing is kept back."""
        return self.feed(data) + self.flush()

    def _shown(self, text: str) -> bytes:
        if not text.replace("\n", "").replace("\t", "").isprintable():
            text = text.translate(_terminal())
        return text.encode(self._encoding, _ERRORS)


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _codes(ranges: _Ranges) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


@cache
def _story(backslash: bool) -> dict[int, str]:
    table = {code: _escaped(chr(code)) for code in _codes(_ACTING + _INVISIBLE)}
    if backslash:
        table[ord("\\")] = "\\\\"
    return table


@cache
def _terminal() -> dict[int, str]:
    table = {code: _escaped(chr(code)) for code in _codes(_ACTING)}
    del table[ord("\n")], table[ord("\t")]
    return table


def _pieces(text: str) -> Iterator[int]:
    """Lengths of the characters and escape sequences of escaped text, in order."""
    lengths = {"x": 4, "u": 6, "U": 10}
    at = 0
    while at < len(text):
        length = lengths.get(text[at + 1], 2) if text[at] == "\\" else 1
        yield length
        at += length


def _unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escaped, error.object[error.start : error.end])), error.end


codecs.register_error(_ERRORS, _unencodable)
