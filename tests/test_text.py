"""Nothing that a peer sends drives the terminal, and nothing printable is changed."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sockkit.text
from sockkit.text import TerminalEscaper, escape, preview, unescape

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SPECIAL = (
    [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *BIDI, "\u2028", "\u2029"]
    + ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\U000e0041"]
)  # fmt: skip

SPICED_TEXT = st.text(st.one_of(st.characters(), st.sampled_from([*SPECIAL, "\\", "x", "u", "\udc80", "\ud800"])))
SPICED_BYTES = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from(
            [b"\x1b[2J", b"\xe2\x80\xae", b"\xe2\x80", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc2\x9b", b"\\"]
        ),
    ),
    max_size=12,
).map(b"".join)


def assert_harmless(text: str, allowed: str = "") -> None:
    for character in text:
        assert character in allowed or unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}, ascii(text)
        assert character not in BIDI


# escape


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", ""),
        (b"plain text ~", "plain text ~"),
        (b"line\r\n\tend\0", r"line\r\n\tend\x00"),
        (b"\x1b]0;PWN\x07\x1b[2J", r"\x1b]0;PWN\x07\x1b[2J"),
        (b"\x9b31m \x00 \xff", r"\x9b31m \x00 \xff"),
        ("\x9b31m", r"\u009b31m"),
        ("\x9b31m".encode(), r"\u009b31m"),
        (b"\x7f", r"\x7f"),
        (b"a\\b", r"a\\b"),
        (b"\\x00\0", r"\\x00\x00"),
        ("caf\u00e9 \u4f60\u597d \U0001f600".encode(), "caf\u00e9 \u4f60\u597d \U0001f600"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("a\u200bb\ufeff\u2028", r"a\u200bb\ufeff\u2028"),
        ("\U000e0041", r"\U000e0041"),
        (os.fsdecode(b"name\xff"), r"name\xff"),
        ("\ud800", r"\ud800"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        (b"\xc0\xaf", r"\xc0\xaf"),
        (b"\xe2\x82", r"\xe2\x82"),
        ("no\u00a0break", "no\u00a0break"),
    ],
)
def test_escape(data: bytes | str, shown: str) -> None:
    assert escape(data) == shown


def test_escape_leaves_backslashes_on_request() -> None:
    assert escape(b"a\\b\n", backslash=False) == "a\\b\\n"
    assert escape(b"a\\b", backslash=False) == "a\\b"


def test_escape_to_ascii() -> None:
    assert escape("caf\u00e9 \U0001f600 \x1b", ascii=True) == r"caf\u00e9 \U0001f600 \x1b"


@pytest.mark.parametrize("character", SPECIAL)
def test_no_special_character_passes(character: str) -> None:
    assert escape(character).isascii()
    assert escape(character.encode()) == escape(character)


@given(st.one_of(SPICED_BYTES, SPICED_TEXT), st.booleans(), st.booleans())
def test_escape_is_harmless(data: bytes | str, backslash: bool, only_ascii: bool) -> None:
    shown = escape(data, backslash=backslash, ascii=only_ascii)
    assert_harmless(shown)
    assert shown.isascii() or not only_ascii
    shown.encode()


@given(st.text().filter(str.isprintable))
def test_printable_text_is_unchanged(text: str) -> None:
    assert escape(text, backslash=False) == text
    assert escape(text.encode(), backslash=False) == text


@given(SPICED_BYTES, st.booleans())
def test_every_byte_can_be_had_back(data: bytes, only_ascii: bool) -> None:
    assert unescape(escape(data, ascii=only_ascii)).encode("utf-8", "surrogateescape") == data


@pytest.mark.parametrize("text", ["\\", "a\\", r"\q", r"\x", r"\x1", r"\xgg", r"\u12", r"\U0011", r"\U00110000", r"\0"])
def test_unescape_refuses_what_escape_does_not_write(text: str) -> None:
    with pytest.raises(ValueError):
        unescape(text)


# preview


@pytest.mark.parametrize(
    ("data", "width", "shown"),
    [
        (b"hello", 5, "hello"),
        (b"hello!", 5, "hell…"),
        (b"\0\0", 8, r"\x00\x00"),
        (b"\0\0", 7, r"\x00…"),
        (b"\0\0", 4, "…"),
        (b"ab\n\n", 5, r"ab\n…"),
        ("\u00e9\u00e9\u00e9".encode(), 2, "\u00e9…"),
        ("\U0001f600".encode() * 9, 3, "\U0001f600\U0001f600…"),
        (b"x", 0, ""),
        (b"", 0, ""),
        (b"x", -1, ""),
        (b"xy", 1, "…"),
    ],
)
def test_preview(data: bytes, width: int, shown: str) -> None:
    assert preview(data, width) == shown


def test_preview_in_ascii() -> None:
    assert preview(b"hello world", 8, ascii=True) == "hello..."
    assert preview("\u00e9\u00e9".encode(), 10, ascii=True) == r"\u00e9..."
    assert preview(b"hello", 2, ascii=True) == ".."


@given(SPICED_BYTES, st.integers(-1, 40), st.booleans())
def test_preview_fits_and_cuts_between_pieces(data: bytes, width: int, only_ascii: bool) -> None:
    shown = preview(data, width, ascii=only_ascii)
    whole = escape(data, ascii=only_ascii)
    ellipsis = "..." if only_ascii else "…"
    assert len(shown) <= max(width, 0)
    assert_harmless(shown)
    if len(whole) <= width:
        assert shown == whole
    elif width >= len(ellipsis):
        assert shown.endswith(ellipsis)
        head = shown.removesuffix(ellipsis)
        assert whole.startswith(head)
        unescape(head)  # raises if an escape was cut


def test_preview_looks_at_no_more_than_it_shows() -> None:
    class Watched(bytes):
        def decode(self, *_: str) -> str:
            raise AssertionError("all of it was decoded")

    assert preview(Watched(bytes(1 << 20)), 9) == r"\x00\x00…"


# TerminalEscaper


def escaped(*chunks: bytes, encoding: str = "utf-8") -> bytes:
    escaper = TerminalEscaper(encoding)
    return b"".join(map(escaper.feed, chunks)) + escaper.flush()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"two\n\tlines\n", b"two\n\tlines\n"),
        (b"crlf\r\n", b"crlf\\r\n"),
        (b"\x1b]0;PWN\x07\x1b[2J\x9b31m\0\xff", rb"\x1b]0;PWN\x07\x1b[2J\x9b31m\x00\xff"),
        (b"a\\b", b"a\\b"),
        ("\u009b \u202e".encode(), rb"\u009b \u202e"),
        ("\u00fcber\u200cjoin".encode(), "\u00fcber\u200cjoin".encode()),
        (b"cut \xe2\x82", rb"cut \xe2\x82"),
    ],
)
def test_terminal(data: bytes, shown: bytes) -> None:
    assert escaped(data) == shown


def test_a_character_split_over_reads_is_kept_together() -> None:
    escaper = TerminalEscaper()
    assert [escaper.feed(b"\xe2"), escaper.feed(b"\x82"), escaper.feed(b"\xac!")] == [b"", b"", "\u20ac!".encode()]
    assert escaper.feed(b"\xe2") + escaper.feed(b"plain") == rb"\xe2plain"
    assert escaper.flush() == b""


def test_flush_leaves_nothing_behind() -> None:
    escaper = TerminalEscaper()
    assert escaper.feed(b"\xf0\x9f") + escaper.flush() == rb"\xf0\x9f"
    assert escaper.feed(b"\x98\x80") + escaper.flush() == rb"\x98\x80"


def test_plain_ascii_is_passed_on_as_it_is() -> None:
    data = b"plain text\n" * 100
    assert TerminalEscaper().feed(data) is data


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", rb"\u00e9\u20ac\U0001f600"),
        ("latin-1", b"\xe9" + rb"\u20ac\U0001f600"),
        ("cp1252", b"\xe9\x80" + rb"\U0001f600"),
    ],
)
def test_what_the_terminal_lacks_is_escaped(encoding: str, shown: bytes) -> None:
    assert escaped("\u00e9\u20ac\U0001f600".encode(), encoding=encoding) == shown


def test_a_terminal_that_is_no_ascii() -> None:
    assert escaped(b"hello", encoding="cp037") == "hello".encode("cp037")


@given(SPICED_BYTES, st.lists(st.integers(0, 60)), st.sampled_from(["utf-8", "ascii", "latin-1"]))
@example(b"\xe0\x80", [1], "utf-8")
@example(b"\xed\xa0\x80", [1, 2], "utf-8")
@example(b"\xf4\x90\x80\x80", [1], "utf-8")
def test_chunks_make_no_difference_and_nothing_gets_through(data: bytes, cuts: list[int], encoding: str) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in pairwise(edges)]
    shown = escaped(*chunks, encoding=encoding)
    assert shown == escaped(data, encoding=encoding)
    assert_harmless(shown.decode(encoding), allowed="\n\t")


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_printable_payload_is_unchanged(text: str) -> None:
    data = (text + "\n\t").encode()
    assert escaped(data) == data


def test_importing_needs_nothing() -> None:
    code = "import sys; known = set(sys.modules); import sockkit.text; print(*sorted(set(sys.modules) - known))"
    path = str(Path(sockkit.text.__file__).parents[1])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {path!r}); import __future__, functools, typing; {code}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) <= {"sockkit", "sockkit.text"}
