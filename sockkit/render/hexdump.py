"""A hex dump, in the form that ``xxd`` writes and ``xxd -r`` reads, each line with its direction before it.

``>   00000000: 4865 6c6c 6f2c 2077 6f72 6c64 0a         Hello, world.``

All lines of a dump are equally long, and their length is a multiple of eight. So they are not made one by one but laid out together:
each eighth column of them all is copied by one strided assignment of eight-byte items.
"""

from __future__ import annotations

from functools import cache

WIDTH = 16
"""Bytes of a line."""
OFFSET = 12
"""Columns of the key and the offset together."""
_LENGTH = 72
"""Columns of a line: those, ``: ``, eight groups of four digits and a space, one more space, the text, a newline."""
_DIGITS = 2
_LINES = 16**_DIGITS
"""Lines made at once: few enough for the processor's cache; their offsets differ in two hexadecimal digits only."""
_TEXT = bytes(byte if 0x20 <= byte < 0x7F else 0x2E for byte in range(256))
_HEX = OFFSET + 2
_SHOWN = _HEX + 41


@cache
def _counting() -> tuple[bytes, ...]:
    """The digits of the numbers of ``_LINES`` lines, by column."""
    digits = "".join(f"{i:0{_DIGITS}x}" for i in range(_LINES)).encode()
    return tuple(digits[i::_DIGITS] for i in range(_DIGITS))


def dump(data: bytes | memoryview, offset: int, key: str) -> bytes:
    """The lines for ``data``, which stands at ``offset`` of its stream, each beginning with ``key``."""
    view = memoryview(data)
    parts = []
    at = 0
    while at < len(view):
        first = (offset + at) // WIDTH % _LINES
        size = min((_LINES - first) * WIDTH, len(view) - at)
        parts.append(_block(bytes(view[at : at + size]), offset + at, first, key))
        at += size
    return b"".join(parts)


def _block(data: bytes, offset: int, first: int, key: str) -> bytearray:
    size = len(data)
    count = -(-size // WIDTH)
    rest = size % WIDTH
    if rest:
        data += bytes(WIDTH - rest)
    digits = f"{offset:08x}"
    line = f"{key:{OFFSET - len(digits)}}{digits}: {'':{_LENGTH - _HEX - 1}}\n".encode()
    length = len(line)
    out = bytearray(line * count)
    for i, counting in enumerate(_counting(), OFFSET - 1 - _DIGITS):
        out[i::length] = counting[first : first + count]
    _lay(out, data.hex(" ", 2).encode() + b" ", length, _HEX, 5)
    _lay(out, data.translate(_TEXT), length, _SHOWN, 2)
    if not rest:
        return out
    last = length * (count - 1)
    end = last + _SHOWN + rest
    blank = _HEX + rest * 5 // 2
    out[last + blank : last + _SHOWN - 1] = b" " * (_SHOWN - 1 - blank)
    out[end:] = b"\n"
    return out


def _lay(out: bytearray, columns: bytes, length: int, start: int, items: int) -> None:
    """Lay ``columns``, ``8 * items`` of each line, into the lines from ``start`` on."""
    source = memoryview(columns).cast("Q")
    room = len(out) - start
    sink = memoryview(out)[start : start + room - room % 8].cast("Q")
    for i in range(items):
        sink[i :: length // 8] = source[i::items]
