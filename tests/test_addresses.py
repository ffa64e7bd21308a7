"""What may be typed for an address, what may not, and how the kernel's answers are shown."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sockkit import addresses
from sockkit.addresses import (
    ADDRESS_FAMILIES,
    AddressFamily,
    Target,
    format_address,
    is_loopback,
    is_wildcard,
    parse_target,
)
from sockkit.errors import UsageError
from sockkit.text import escape

INET = int(socket.AF_INET)
INET6 = int(getattr(socket, "AF_INET6", 10))
UNIX = int(getattr(socket, "AF_UNIX", 1))
BY_NAME = {row.name: row for row in ADDRESS_FAMILIES}
VSOCK = BY_NAME["VSOCK"].number
OTHERS = [row for row in ADDRESS_FAMILIES if row.name not in {"INET", "INET6", "UNIX", "VSOCK"} and row.number]

LOOPBACK_INTERFACE = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)

needs_linux = pytest.mark.skipif(
    sys.platform not in ("linux", "android"), reason="CANNOT: abstract names are Linux only"
)
needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="CANNOT: socket has no AF_UNIX")
needs_ipv6 = pytest.mark.skipif(not hasattr(socket, "AF_INET6"), reason="CANNOT: socket has no AF_INET6")
needs_vsock = pytest.mark.skipif(VSOCK is None, reason="CANNOT: no AF_VSOCK on this platform")
needs_lo = pytest.mark.skipif(LOOPBACK_INTERFACE is None, reason="CANNOT: no interface is called lo or lo0")


def encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeError:
        return False
    return True


def refusal(*words: str, **options: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_target(words, **options)
    assert_sayable(caught.value)
    return caught.value


def assert_sayable(error: UsageError) -> None:
    for line in (str(error), error.hint or ""):
        assert_one_safe_line(line)
        assert len(line) < 700
    assert not (error.hint or "").endswith(".")


def assert_one_safe_line(text: str) -> None:
    assert not {unicodedata.category(character) for character in text} & {"Cc", "Cs", "Zl", "Zp"}, ascii(text)
    text.encode()


# The grammar


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Target(INET, None, 65432, ("127.0.0.1", 65432))),
        (["80"], Target(INET, None, 80, ("127.0.0.1", 80))),
        (["0"], Target(INET, None, 0, ("127.0.0.1", 0))),
        (["65535"], Target(INET, None, 65535, ("127.0.0.1", 65535))),
        (["127.0.0.1", "80"], Target(INET, None, 80, ("127.0.0.1", 80))),
        (["127.0.0.1:80"], Target(INET, None, 80, ("127.0.0.1", 80))),
        (["example.org", "80"], Target(None, "example.org", 80, None)),
        (["example.org:80"], Target(None, "example.org", 80, None)),
        (["example.org.", "80"], Target(None, "example.org.", 80, None)),
        (["127.1", "80"], Target(None, "127.1", 80, None)),
        (["no-such.invalid", "80"], Target(None, "no-such.invalid", 80, None)),
        (["a_b.example", "80"], Target(None, "a_b.example", 80, None)),
        (["caf\u00e9.example", "80"], Target(None, "caf\u00e9.example", 80, None)),
        (["a" * 63 + ".b", "80"], Target(None, "a" * 63 + ".b", 80, None)),
    ],
)
def test_hosts_and_ports(words: list[str], expected: Target) -> None:
    assert parse_target(words) == expected


@needs_ipv6
@pytest.mark.parametrize("words", [["[::1]:80"], ["::1", "80"], ["0:0::0:1", "80"]])
def test_ipv6(words: list[str]) -> None:
    assert parse_target(words) == Target(INET6, None, 80, ("::1", 80, 0, 0))
    assert parse_target(words, family=INET6) == parse_target(words)


@needs_unix
@pytest.mark.parametrize(
    "path", ["/tmp/x.sock", "./x", "a/b", "/", "./@x", "10.0.0.1/24:80", os.fsdecode(b"/\xff\n\x1b")]
)
def test_unix_paths(path: str) -> None:
    assert parse_target([path]) == Target(UNIX, None, None, path)
    assert parse_target([path], family=UNIX) == parse_target([path])


@needs_unix
@pytest.mark.parametrize("path", ["x", "80", "x.sock:80", "http://x", "[::1]:80"])
def test_any_text_is_a_path_when_the_family_says_so(path: str) -> None:
    assert parse_target([path], family=UNIX) == Target(UNIX, None, None, path)


@needs_linux
@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("@name", b"\0name"),
        ("@a/b", b"\0a/b"),
        ("@@", b"\0@"),
        (r"@a\x00b\xFF", b"\0a\0b\xff"),
        (r"@back\\slash", b"\0back\\slash"),
        (os.fsdecode(b"@\xff"), b"\0\xff"),
    ],
)
def test_abstract_names(word: str, name: bytes) -> None:
    assert parse_target([word]).address == name
    assert parse_target([word], family=UNIX).address == name


@needs_linux
def test_at_sign_alone() -> None:
    target = parse_target(["@"], family=UNIX)
    assert (target.address, target.text) == ("", "@")
    assert "name" in str(refusal("@"))


@needs_linux
@pytest.mark.parametrize("word", ["@\\", r"@\q", r"@\x1", r"@\ud800"])
def test_broken_escapes_in_abstract_names(word: str) -> None:
    refusal(word)


def test_abstract_names_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_LINUX", False)
    error = refusal("@name")
    assert "Linux only" in str(error)
    assert error.hint == "a file: ./@name"


@needs_vsock
@pytest.mark.parametrize(
    ("words", "address"),
    [
        ([], (1, 65432)),
        (["5000"], (1, 5000)),
        (["2:5000"], (2, 5000)),
        (["2", "5000"], (2, 5000)),
        (["local", "0"], (1, 0)),
        (["HOST:70000"], (2, 70000)),
        (["any", "4294967295"], (4294967295, 4294967295)),
        (["hypervisor:1"], (0, 1)),
    ],
)
def test_vsock(words: list[str], address: tuple[int, int]) -> None:
    assert parse_target(words, family=VSOCK) == Target(VSOCK, None, address[1], address)


@needs_vsock
@pytest.mark.parametrize(
    "words", [["local"], ["x"], ["x:1"], ["1:x"], [":1"], ["1:"], ["4294967296:1"], ["1:4294967296"], ["-1", "1"], [""]]
)
def test_vsock_refusals(words: list[str]) -> None:
    refusal(*words, family=VSOCK)


@needs_vsock
def test_vsock_port_option() -> None:
    assert parse_target(["3"], family=VSOCK, port=70000).address == (3, 70000)
    assert parse_target([], family=VSOCK, port=9).address == (1, 9)
    assert refusal("3:4", family=VSOCK, port=9).option == "--port"
    assert refusal("3", "4", family=VSOCK, port=9).option == "--port"
    assert refusal(family=VSOCK, port=1 << 32).option == "--port"


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_other_families_take_a_literal(row: AddressFamily) -> None:
    assert parse_target(["('vcan0',)"], family=row.number).address == ("vcan0",)
    assert parse_target(["16"], family=row.number).address == 16
    assert row.syntax in str(refusal(family=row.number))
    assert row.syntax in str(refusal("a", "b", family=row.number))
    assert refusal("(0, 0)", family=row.number, port=1).option == "--port"


def test_families_without_a_row_take_a_literal_too() -> None:
    assert parse_target(["(1, b'x')"], family=45).address == (1, b"x")
    assert "family 45" in str(refusal(family=45))


@pytest.mark.parametrize(
    "word",
    ["vcan0", "", "(", "None", "True", "[1]", "{}", "{[]: 1}", "1.5", "__import__('os')", "1()", "'\\d", "\0", "\ud800"]
    + ["(" * 200, "(" * 4000, "-" * 4000 + "1", "9" * 5000, "1+" * 2000 + "1"],
)
def test_what_is_no_literal(word: str) -> None:
    refusal(word, family=45)


@pytest.mark.parametrize("row", ADDRESS_FAMILIES, ids=lambda row: row.name)
def test_every_row_tells_the_truth(row: AddressFamily) -> None:
    if row.number is None:
        pytest.skip(f"CANNOT: no AF_{row.name} on this platform")
    assert row.syntax
    assert row.examples
    for words in row.examples:
        if row.name == "UNIX" and words[0].startswith("@") and sys.platform not in ("linux", "android"):
            continue
        assert parse_target(words, family=row.number).family in (row.number, None)
    if row.default is None:
        assert row.syntax in str(refusal(family=row.number))
    else:
        assert parse_target([], family=row.number).text == row.default


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_python_takes_the_examples(row: AddressFamily) -> None:
    """The kernel may refuse them; that ``bind`` gets as far as the kernel is the point."""
    tries = [
        (kind, proto) for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET) for proto in range(8)
    ]
    made = 0
    for words in row.examples:
        complaints: list[Exception] = []
        for kind, proto in tries:
            try:
                one = socket.socket(row.number or 0, kind, proto)
            except OSError:
                continue
            made += 1
            with one:
                try:
                    one.bind(parse_target(words, family=row.number).address)  # type: ignore[arg-type]
                except OSError as error:
                    if error.errno is None:
                        complaints.append(error)
                        continue
                except (TypeError, ValueError) as error:
                    complaints.append(error)
                    continue
            break
        else:
            assert not complaints
    if not made:
        pytest.skip(f"CANNOT: no AF_{row.name} socket can be made here")


def test_the_cells_of_the_table_are_one_safe_line_each() -> None:
    for row in ADDRESS_FAMILIES:
        for cell in (row.name, row.syntax, *(word for example in row.examples for word in example)):
            assert_one_safe_line(cell)


# Family, port and default host as options


def test_the_family_fits_or_not() -> None:
    assert parse_target(["localhost", "80"], family=INET) == Target(INET, "localhost", 80, None)
    assert parse_target(["localhost", "80"], family=INET6) == Target(INET6, "localhost", 80, None)
    assert parse_target(["80"], family=0) == parse_target(["80"])
    for words in (["::1", "80"], ["[::1]:80"], ["fe80::1%lo", "80"]):
        assert "does not fit" in str(refusal(*words, family=INET))
    for words in (["127.0.0.1", "80"], ["127.0.0.1:80"]):
        error = refusal(*words, family=INET6)
        assert "does not fit" in str(error)
        assert error.hint == "the mapped form: ::ffff:127.0.0.1 80"
    for word in ("./x", "@x"):
        refusal(word, family=INET)
        refusal(word, "80", family=INET)


@needs_ipv6
def test_defaults_by_family() -> None:
    assert parse_target([], family=INET6).address == ("::1", 65432, 0, 0)
    assert parse_target(["80"], family=INET6).address == ("::1", 80, 0, 0)
    assert parse_target(["80"], family=INET6, default_host="0.0.0.0").address == ("::", 80, 0, 0)
    assert parse_target(["80"], default_host="::").address == ("::", 80, 0, 0)


def test_default_host() -> None:
    assert parse_target(["80"], default_host="0.0.0.0").address == ("0.0.0.0", 80)
    assert parse_target([], default_host="localhost") == Target(None, "localhost", 65432, None)


def test_port_option() -> None:
    assert parse_target([], port=80).address == ("127.0.0.1", 80)
    assert parse_target(["0.0.0.0"], port=80).address == ("0.0.0.0", 80)
    assert parse_target(["localhost"], port=0) == Target(None, "localhost", 0, None)
    assert parse_target(["3com"], port=80) == Target(None, "3com", 80, None)


@needs_ipv6
def test_port_option_with_ipv6() -> None:
    assert parse_target(["::1"], port=80).address == ("::1", 80, 0, 0)


@pytest.mark.parametrize("words", [["80"], ["localhost:80"], ["[::1]:80"], ["localhost", "80"], ["/tmp/x"], ["@x"]])
def test_a_port_too_many(words: list[str]) -> None:
    assert refusal(*words, port=80).option == "--port"


def test_a_unix_address_has_no_port() -> None:
    assert "no port" in (refusal("/tmp/x", "80").hint or "")
    assert refusal(family=UNIX, port=80).option == "--port"


@pytest.mark.parametrize("port", [-1, 65536, 70000, 1 << 40])
def test_port_option_out_of_range(port: int) -> None:
    error = refusal("localhost", port=port)
    assert error.option == "--port"
    assert "0 to 65535" in str(error)


# Battery J1, J4, J5, H5, H8


BAD_PORTS = ["70000", "65536", "-1", "0x50", "1e3", "99999999999999999999", "+80", " 80", "80 ", "8_0", "\u0668\u0660"]


@pytest.mark.parametrize("port", [*BAD_PORTS, "abc", "", "80\n", "80\0", "\x1b[2J", "\ud800", "http", "\u00b2"])
@pytest.mark.parametrize("family", [None, INET])
def test_bad_ports(port: str, family: int | None) -> None:
    for words in (["127.0.0.1", port], [f"127.0.0.1:{port}"], [f"localhost:{port}"]):
        error = refusal(*words, family=family)
        assert error.option == "PORT"
        assert "PORT" in str(error)
        assert "0 to 65535" in str(error)


@pytest.mark.parametrize("port", BAD_PORTS)
def test_bad_ports_alone(port: str) -> None:
    error = refusal(port)
    assert error.option == "PORT"
    assert "0 to 65535" in str(error)


def test_empty_word() -> None:
    refusal("")
    refusal("", port=80)
    refusal("", family=UNIX)
    refusal("", family=INET6)


def test_a_port_in_the_host_and_beside_it() -> None:
    refusal("localhost:80", "80")
    refusal("[::1]:80", "80")


def test_words_in_the_wrong_order() -> None:
    assert refusal("80", "127.0.0.1").hint == "the host comes first: 127.0.0.1 80"


@pytest.mark.parametrize(
    "host",
    ["", "a" * 64, "a..b", ".a", ".", "a" * 63 + "." + ".".join(["b" * 60] * 4), "\ud800", "\udcff", "[::1", "[::1]"]
    + ["a b", "a\tb", "127.0.0.1\0x", "127.0.0.1 x", "127.0.0.1%lo", "x\n", "\x1b[2J", "\u202e", "a" * 100_000]
    + ["::1::2", ":::", "fe80::1%", "-x", "user@host", "a\\b", "\u00fc" * 64, "\u00fc" * 5000, "\u3002"],
)
def test_bad_hosts(host: str) -> None:
    refusal(host, "80")
    refusal(host, port=80)
    refusal(host)


def test_the_cause_is_what_python_would_raise() -> None:
    assert isinstance(refusal("a..b", "80").cause, UnicodeError)
    assert isinstance(refusal("a" * 64, "80").cause, UnicodeError)


@pytest.mark.parametrize("word", ["localhost", "127.0.0.1", "no-such.invalid", "::1", "[::1]", "::1:80", "x.sock"])
def test_a_port_is_missing(word: str) -> None:
    error = refusal(word)
    assert "a port is missing" in str(error)
    assert error.option == "ADDRESS"
    assert error.hint


def test_the_name_of_the_argument() -> None:
    assert refusal("localhost", argument="TARGET").option == "TARGET"


@pytest.mark.parametrize("words", [["a", "1", "2"], ["127.0.0.1", "1", "2", "3"], ["/x", "y", "z"]])
@pytest.mark.parametrize("family", [None, UNIX, VSOCK, 45])
def test_too_many_words(words: list[str], family: int | None) -> None:
    refusal(*words, family=family)


@pytest.mark.parametrize("word", ["http://localhost:80/", "tcp://127.0.0.1:80"])
def test_urls_are_no_paths(word: str) -> None:
    assert "URL" in (refusal(word).hint or "")


@needs_ipv6
@needs_lo
def test_scope_ids() -> None:
    assert LOOPBACK_INTERFACE is not None
    index = socket.if_nametoindex(LOOPBACK_INTERFACE)
    for zone in (LOOPBACK_INTERFACE, str(index)):
        expected = ("fe80::1", 80, 0, index)
        assert parse_target([f"fe80::1%{zone}", "80"]).address == expected
        assert parse_target([f"[fe80::1%{zone}]:80"]).address == expected
        assert parse_target([f"fe80::1%{zone}"], port=80).address == expected
        assert parse_target([f"ff02::1%{zone}", "80"]).address == ("ff02::1", 80, 0, index)


@needs_ipv6
@pytest.mark.parametrize("zone", ["nosuch", "4294967295", "99999999999", "", "a%b", "\u00e9", "-1", "+1"])
def test_scopes_that_do_not_exist(zone: str) -> None:
    error = refusal(f"fe80::1%{zone}", "80")
    assert "interface" in str(error)
    assert LOOPBACK_INTERFACE is None or LOOPBACK_INTERFACE in (error.hint or "")


@needs_ipv6
def test_a_scope_id_where_there_is_none() -> None:
    error = refusal("::1%lo", "80")
    assert "scope id" in str(error)
    assert "::1" in (error.hint or "")
    refusal("2001:db8::1%1", "80")


@needs_ipv6
def test_link_local_without_scope() -> None:
    target = parse_target(["fe80::1", "80"])
    assert target.address == ("fe80::1", 80, 0, 0)
    with socket.socket(INET6, socket.SOCK_STREAM) as one:
        with pytest.raises(OSError) as caught:
            one.connect(target.address)
        if sys.platform == "linux":
            assert caught.value.errno == errno.EINVAL


@needs_unix
@pytest.mark.parametrize("length", [1, 90, 107, 108, 109, 200])
def test_long_paths(length: int, tmp_path: Path) -> None:
    """Exactly the paths that Python's own ``bind`` takes are taken."""
    path = "x" * length
    with contextlib.chdir(tmp_path), socket.socket(UNIX, socket.SOCK_STREAM) as one:
        try:
            target = parse_target([path], family=UNIX)
        except UsageError as error:
            assert_sayable(error)
            assert f"{length} bytes" in str(error)
            with pytest.raises(OSError, match=str(error.cause)) as caught:
                one.bind(path)
            assert caught.value.errno is None
            assert isinstance(error.cause, OSError)
            assert not list(tmp_path.iterdir())
        else:
            assert length < 108
            one.bind(target.address)  # type: ignore[arg-type]
            assert one.getsockname() == target.address == path


@needs_unix
def test_the_limit_counts_bytes() -> None:
    if not encodable("\u00e9"):
        pytest.skip("CANNOT: file names are not Unicode in this locale")
    assert parse_target(["/" + "\u00e9" * 50]).address
    assert "121 bytes" in str(refusal("/" + "\u00e9" * 60))
    assert str(addresses._SUN_PATH - 1) in str(refusal("/" + "\u00e9" * 60))


@needs_unix
def test_a_nul_in_a_path() -> None:
    refusal("/tmp/a\0b")
    refusal("\0name", family=UNIX)
    refusal("/\ud800")


@needs_linux
@pytest.mark.parametrize("length", [1, 107, 108, 200])
def test_long_abstract_names(length: int) -> None:
    raw = os.urandom(8).hex().encode()[:length] + b"\0\xff\x1b" * 70
    raw = raw[:length]
    typed = "@" + "".join(f"\\x{byte:02x}" for byte in raw)
    with socket.socket(UNIX, socket.SOCK_STREAM) as one:
        if length > 107:
            assert "too long" in str(refusal(typed))
            with pytest.raises(OSError, match=r"AF_UNIX path too long"):
                one.bind(b"\0" + raw)
        else:
            one.bind(parse_target([typed]).address)  # type: ignore[arg-type]
            assert one.getsockname() == b"\0" + raw
            shown = format_address(UNIX, one.getsockname())
            assert_one_safe_line(shown)
            assert parse_target([shown]).address == one.getsockname()


# Formatting


@pytest.mark.parametrize(
    ("family", "address", "shown"),
    [
        (INET, ("127.0.0.1", 65432), "127.0.0.1:65432"),
        (INET, ("0.0.0.0", 0), "0.0.0.0:0"),
        (INET, ("\x1b[2J", 0), r"\x1b[2J:0"),
        (INET, None, "(no address)"),
        (INET, (), "()"),
        (INET, ("127.0.0.1",), "('127.0.0.1',)"),
        (INET6, ("::1", 80, 0, 0), "[::1]:80"),
        (INET6, ("::1", 80), "[::1]:80"),
        (INET6, ("::ffff:127.0.0.1", 4000, 0, 0), "[::ffff:127.0.0.1]:4000"),
        (INET6, ("fe80::1", 80, 0, 4294967295), "[fe80::1%4294967295]:80"),
        (INET6, ("fe80::1", 80, 0, 1 << 70), f"[fe80::1%{1 << 70}]:80"),
        (INET6, ("fe80::1%eth9", 80, 0, 9), "[fe80::1%eth9]:80"),
        (UNIX, "/tmp/x.sock", "/tmp/x.sock"),
        (UNIX, "/tmp/a\n\x1b[2J\udcff", r"/tmp/a\n\x1b[2J\xff"),
        (UNIX, b"/tmp/\xff", r"/tmp/\xff"),
        (UNIX, "@file", "./@file"),
        (UNIX, b"\0name", "@name"),
        (UNIX, "\0name", "@name"),
        (UNIX, b"\0a\0b\xff", r"@a\x00b\xff"),
        (UNIX, "", "(unnamed)"),
        (UNIX, b"", "(unnamed)"),
        (UNIX, None, "(unnamed)"),
        (UNIX, 7, "7"),
        (45, ("vcan0",), "('vcan0',)"),
        (45, (45, b"\0\xff"), r"(45, b'\x00\xff')"),
        (45, None, "(no address)"),
    ],
)
def test_format(family: int, address: object, shown: str) -> None:
    assert format_address(family, address) == shown


@needs_vsock
def test_format_vsock() -> None:
    assert VSOCK is not None
    assert format_address(VSOCK, (1, 5000)) == "1:5000"
    assert format_address(VSOCK, (1,)) == "(1,)"
    assert format_address(VSOCK, None) == "(no address)"


@needs_ipv6
@needs_lo
def test_format_names_the_scope() -> None:
    assert LOOPBACK_INTERFACE is not None
    address = ("fe80::1", 80, 0, socket.if_nametoindex(LOOPBACK_INTERFACE))
    assert format_address(INET6, address) == f"[fe80::1%{LOOPBACK_INTERFACE}]:80"


def test_format_of_hostile_objects() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    class Loud:
        def __repr__(self) -> str:
            return "\x1b[2J"

    deep: list[object] = []
    deep.append(deep)
    hostile: list[object] = [
        Hostile(),
        Loud(),
        (Hostile(), 1),
        ("x", Hostile()),
        ("x", 1, 0, Hostile()),
        deep,
        10**5000,
    ]
    for family in (INET, INET6, UNIX, VSOCK or 40, 45, -1, 1 << 80):
        for address in hostile:
            assert_one_safe_line(format_address(family, address))
    unhashable: Any = []
    assert format_address(unhashable, 1) == "1"


def test_text_of_targets() -> None:
    assert parse_target(["localhost", "80"]).text == "localhost:80"
    assert parse_target(["127.0.0.1", "80"]).text == "127.0.0.1:80"
    assert Target(None, "\x1b", 1, None).text == r"\x1b:1"
    assert parse_target(["(0, 1)"], family=45).text == "(0, 1)"


# Where an address leads


@pytest.mark.parametrize(
    ("family", "address", "loopback", "wildcard"),
    [
        (INET, ("127.0.0.1", 1), True, False),
        (INET, ("127.255.0.9", 1), True, False),
        (INET, ("128.0.0.1", 1), False, False),
        (INET, ("0.0.0.0", 1), False, True),
        (INET, ("", 1), False, True),
        (INET, ("127.evil.example", 1), False, False),
        (INET, None, False, False),
        (INET, (), False, False),
        (INET, (1, 2), False, False),
        (INET6, ("::1", 1, 0, 0), True, False),
        (INET6, ("::ffff:127.0.0.1", 1, 0, 0), True, False),
        (INET6, ("::ffff:10.0.0.1", 1, 0, 0), False, False),
        (INET6, ("::ffff:0.0.0.0", 1, 0, 0), False, True),
        (INET6, ("::", 1, 0, 0), False, True),
        (INET6, ("fe80::1%lo", 1, 0, 1), False, False),
        (INET6, ("::2", 1, 0, 0), False, False),
        (UNIX, "/x", True, False),
        (UNIX, None, True, False),
        (45, ("127.0.0.1", 1), False, False),
    ],
)
def test_where_an_address_leads(family: int, address: object, loopback: bool, wildcard: bool) -> None:
    assert is_loopback(family, address) is loopback
    assert is_wildcard(family, address) is wildcard


@needs_vsock
def test_where_a_vsock_address_leads() -> None:
    assert VSOCK is not None
    assert is_loopback(VSOCK, (1, 5))
    assert not is_loopback(VSOCK, (2, 5))
    assert is_wildcard(VSOCK, (4294967295, 5))
    assert not is_wildcard(VSOCK, None)


# Properties


PORTS = st.integers(0, 65535)


def known_addresses() -> Iterator[st.SearchStrategy[tuple[int, object]]]:
    ipv4 = st.ip_addresses(v=4).map(str)
    yield st.tuples(st.just(INET), st.tuples(ipv4, PORTS))
    if hasattr(socket, "AF_INET6"):
        ipv6 = st.ip_addresses(v=6).map(lambda ip: socket.inet_ntop(INET6, ip.packed))
        yield st.tuples(st.just(INET6), st.tuples(ipv6, PORTS, st.just(0), st.just(0)))
        if LOOPBACK_INTERFACE:
            scope = st.just(socket.if_nametoindex(LOOPBACK_INTERFACE))
            local = st.ip_addresses(network="fe80::/10").map(lambda ip: socket.inet_ntop(INET6, ip.packed))
            yield st.tuples(st.just(INET6), st.tuples(local, PORTS, st.just(0), scope))
    if hasattr(socket, "AF_UNIX"):
        printable = st.text(st.characters(exclude_characters="@\\\0", codec="utf-8"), min_size=1, max_size=25)
        yield st.tuples(st.just(UNIX), printable.filter(lambda path: escape(path) == path and encodable(path)))
    if sys.platform in ("linux", "android"):
        yield st.tuples(st.just(UNIX), st.binary(min_size=1, max_size=107).map(lambda name: b"\0" + name))
    if VSOCK is not None:
        number = st.integers(0, 0xFFFFFFFF)
        yield st.tuples(st.just(VSOCK), st.tuples(number, number))
    yield st.tuples(st.just(45), st.tuples(st.integers(), st.text(), st.binary()))


@given(st.one_of(*known_addresses()))
def test_what_is_shown_can_be_typed(known: tuple[int, object]) -> None:
    family, address = known
    shown = format_address(family, address)
    assume(family != UNIX or encodable(shown))
    target = parse_target([shown], family=family)
    assert target.address == address
    assert target.family == family
    assert target.text == shown


WORDS = st.one_of(
    st.text(),
    st.text("0123456789.:[]%@/\\abxe+-_ ('),lo\0\ud800\udcff\x1b\u0661"),
    st.sampled_from(["127.0.0.1", "::1", "80", "localhost", "[::1]:80", "@", "@x", "/x", "", "local", "(1, 2)"]),
)
ANY_FAMILY = st.sampled_from([None, 0, *(row.number for row in ADDRESS_FAMILIES), 45, -1, 1 << 31])


@given(st.lists(WORDS, max_size=3), ANY_FAMILY, st.one_of(st.none(), st.integers()))
def test_any_text_is_an_address_or_a_usage_error(words: list[str], family: int | None, port: int | None) -> None:
    try:
        target = parse_target(words, family=family, port=port)
    except UsageError as error:
        assert_sayable(error)
    else:
        assert_one_safe_line(target.text)
        assert (target.host is None) != (target.address is None)


ADDRESSES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.floats()),
    lambda inner: st.one_of(st.tuples(inner), st.tuples(inner, inner), st.tuples(inner, inner, inner, inner)),
    max_leaves=6,
)


@given(ANY_FAMILY.map(lambda family: family or 0), ADDRESSES)
def test_formatting_never_raises(family: int, address: object) -> None:
    assert_one_safe_line(format_address(family, address))
    assert is_loopback(family, address) in (True, False)
    assert is_wildcard(family, address) in (True, False)


@given(st.binary(min_size=1, max_size=100))
def test_any_path_bytes_reach_the_kernel_as_they_were_typed(raw: bytes) -> None:
    raw = b"./" + raw.replace(b"\0", b"")
    if hasattr(socket, "AF_UNIX") and sys.platform != "win32":
        address = parse_target([os.fsdecode(raw)]).address
        assert isinstance(address, str)
        assert os.fsencode(address) == raw


# Other platforms and start-up


def run_python(code: str) -> str:
    root = str(Path(addresses.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-bb", "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


MISSING = ["AF_UNIX", "AF_VSOCK", "AF_INET6", "if_nameindex", "if_nametoindex", "if_indextoname", "AF_CAN", "AF_PACKET"]


@pytest.mark.parametrize("names", [*([name] for name in MISSING), MISSING], ids=",".join)
def test_without_parts_of_the_socket_module(names: list[str]) -> None:
    code = f"""
import socket
for name in {names!r}:
    if hasattr(socket, name): delattr(socket, name)
from sockkit.addresses import *
from sockkit.errors import UsageError
assert parse_target(["localhost:80"]).host == "localhost"
assert parse_target(["80"]).address == ("127.0.0.1", 80)
assert format_address(2, ("127.0.0.1", 80)) == "127.0.0.1:80"
for words in (["::1", "80"], ["[fe80::1%lo]:80"], ["fe80::1", "80"], ["/x"], ["@x"]):
    for family in (None, 1, 10, 40, 29):
        try: target = parse_target(words, family=family)
        except UsageError: pass
        else: target.text
for family in (1, 2, 10, 40, 29):
    for address in (None, "", b"", "x", b"\\0x", ("fe80::1", 80, 0, 1), (1, 2)):
        format_address(family, address), is_loopback(family, address), is_wildcard(family, address)
"""
    run_python(f"exec({code!r})")


def test_start_up_loads_nothing_for_rare_cases() -> None:
    code = (
        "import socket, typing, sockkit.errors; known = set(sys.modules); import sockkit.addresses as a; "
        "a.parse_target(['127.0.0.1:80']); a.format_address(2, ('127.0.0.1', 80)); "
        "print(*sorted(set(sys.modules) - known))"
    )
    assert set(run_python(code).split()) <= {"sockkit.addresses", "sockkit.text"}
