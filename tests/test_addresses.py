"""What may be typed for an address, what may not, and how the kernel's answers are shown."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sockkit import addresses, syscalls
from sockkit.addresses import (
    AddressFamily,
    Sockaddr,
    Target,
    format_address,
    is_loopback,
    is_wildcard,
    parse_target,
)
from sockkit.errors import UsageError
from sockkit.text import escape

STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5
INET = int(socket.AF_INET)
INET6 = int(getattr(socket, "AF_INET6", 10))
UNIX = int(getattr(socket, "AF_UNIX", 1))
ROWS = addresses.rows()
BY_NAME = {row.name: row for row in ROWS}
VSOCK = BY_NAME["VSOCK"].number
OTHERS = [row for row in ROWS if row.name not in {"INET", "INET6", "UNIX", "VSOCK"} and row.number]

NOT_IN_THE_LAB = {"X25", "IPX", "MCTP", "SYSTEM", "VSOCK"}
"""Debian's kernel has no such families, or they are told of elsewhere."""

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


@needs_linux
@pytest.mark.parametrize(
    ("family", "word", "address", "type", "proto"),
    [
        ("CAN", "can0", ("can0",), RAW, 1),
        ("CAN", "any", ("",), RAW, 1),
        ("CAN", "can0,0x123,0x321", ("can0", 0x123, 0x321), DGRAM, 6),
        ("CAN", "can0,0x18DA00F1,0x00000123", ("can0", 0x98DA00F1, 0x80000123), DGRAM, 6),
        ("CAN", "can0,-,-,-", ("can0", 0, 0x40000, 0xFF), DGRAM, 7),
        ("CAN", "can0,0x12,0x12300,0x20", ("can0", 0x12, 0x12300, 0x20), DGRAM, 7),
        ("NETLINK", "ROUTE", (0, 0), RAW, 0),
        ("NETLINK", "netlink_usersock:4711,0x2", (4711, 2), RAW, 2),
        ("NETLINK", "0,1", (0, 1), RAW, None),
        ("PACKET", "lo", ("lo", 3), RAW, None),
        ("PACKET", "lo,ip", ("lo", 0x800), RAW, None),
        ("PACKET", "lo,0x88B5,ff:ff:ff:ff:ff:ff", ("lo", 0x88B5, 0, 0, b"\xff" * 6), RAW, None),
        ("TIPC", "18888:17", (2, 18888, 17, 0, 2), STREAM, None),
        ("TIPC", "18888:0-99,node", (1, 18888, 0, 99, 3), STREAM, None),
        ("TIPC", "2739@0x1001001", (3, 0x1001001, 2739, 0, 0), STREAM, None),
        ("BLUETOOTH", "l2cap:01:23:45:67:89:ab,0x1001", ("01:23:45:67:89:AB", 0x1001), SEQPACKET, 0),
        ("BLUETOOTH", "rfcomm:any,5", ("00:00:00:00:00:00", 5), STREAM, 3),
        ("BLUETOOTH", "sco:any", b"00:00:00:00:00:00", SEQPACKET, 2),
        ("BLUETOOTH", "hci1", (1,), RAW, 1),
        ("BLUETOOTH", "mgmt", Sockaddr.of(31, b"\xff\xff\3\0"), RAW, 1),
        ("ALG", "skcipher/cbc(aes)", ("skcipher", "cbc(aes)"), SEQPACKET, None),
        ("QIPCRTR", "1:5000", (1, 5000), DGRAM, None),
        ("RDS", "127.0.0.1:4000", ("127.0.0.1", 4000), SEQPACKET, None),
        ("SMC", "127.0.0.1:80", Sockaddr.of(2, b"\0\x50\x7f\0\0\1" + bytes(8)), STREAM, 0),
        ("LLC", "00:01:02:03:04:05,0x44", Sockaddr.of(26, b"\1\0\0\0\0\x44\0\1\2\3\4\5\0\0"), DGRAM, None),
        ("PHONET", "0x10,1,0x20", Sockaddr.of(35, b"\1\x10\x20" + bytes(11)), DGRAM, 1),
        ("APPLETALK", "65280.2:201", Sockaddr.of(5, b"\xc9\0\xff\0\2" + bytes(9)), DGRAM, None),
        ("AX25", "lab0-1", Sockaddr.of(3, bytes(ord(c) << 1 for c in "LAB0  ") + b"\2" + bytes(7)), SEQPACKET, None),
        ("ATMPVC", "1.32", Sockaddr.of(8, b"\0\0\0\0\1\0\x20\0\0\0"), DGRAM, None),
        ("X25", "2342", Sockaddr.of(9, b"2342" + bytes(12)), SEQPACKET, None),
        ("XDP", "7,1", Sockaddr.of(44, b"\0\0\7\0\0\0\1\0\0\0" + bytes(4)), RAW, None),
    ],
)
def test_notations(family: str, word: str, address: object, type: int, proto: int | None) -> None:
    """The bytes are written out from each header, not packed by what is tested."""
    number = BY_NAME[family].number
    assert parse_target([word], family=number) == Target(number, None, None, address, type, proto)


@needs_linux
@pytest.mark.parametrize(
    ("family", "word"),
    [
        *[("CAN", word) for word in ("", "can0,1", "can0,1,2,3,4", "a/b", "a" * 16, "can0,0x1FFFFFFFFF,1", "can0,x,1")],
        *[("NETLINK", word) for word in ("NOSUCH", "ROUTE:x", "1,2,3", "-1", "4294967296", "(0, 0)")],
        *[("PACKET", word) for word in ("lo,NOSUCH", "lo,65536", "lo,IP,zz", "lo,IP,-,nobody", "lo,IP,-,host,70000")],
        *[("TIPC", word) for word in ("1", "1:", "1:2-", "1:2,galaxy", "@1", "x:1", "1@x")],
        *[("BLUETOOTH", word) for word in ("x", "hci", "l2cap:any", "sco:any,1", "01:23:45:67:89,1", "any,65536")],
        *[("ALG", word) for word in ("sha256", "/x", "x/", "hash/\u00e9", "hash/" + "a" * 64)],
        *[("SMC", word) for word in ("localhost:80", "/x")],
        *[("AX25", word) for word in ("TOOLONGCALL", "A-16", "A-x", "", "A,B,C,D,E,F,G,H,I,J")],
        *[("ROSE", word) for word in ("A", "A,123", "A,20801234567")],
        *[("LLC", word) for word in ("nosuch,1", "00:01:02:03:04:05", "00:01:02:03:04:05,256")],
        *[("APPLETALK", word) for word in ("1.2", "1:2", "65536.1:1", "1.256:1", "1.1:256")],
        *[("XDP", "nosuch,0"), ("X25", "12a"), ("IPX", "1.2"), ("KCM", "x"), ("KEY", "x"), ("PPPOX", "eth0,1")],
        *[("IEEE802154", "0x10000,1"), ("IEEE802154", "1,00:01"), ("MCTP", "1,2"), ("ATMPVC", "32")],
    ],
)
def test_what_is_no_address_of_its_family(family: str, word: str) -> None:
    assert refusal(word, family=BY_NAME[family].number).exit == 2


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_other_families_have_no_port_and_one_word(row: AddressFamily) -> None:
    if row.default is None:
        assert row.syntax in str(refusal(family=row.number))
    assert row.syntax in str(refusal("a", "b", family=row.number))
    assert refusal("x", family=row.number, port=1).option == "--port"


@needs_linux
def test_any_family_takes_bytes() -> None:
    assert parse_target(["hex:1f907f000001"], family=45).address == Sockaddr(b"\x2d\0\x1f\x90\x7f\0\0\1")
    assert parse_target(["HEX:1f:90"], family=INET).address == Sockaddr(b"\2\0\x1f\x90")
    assert parse_target(["hex:"], family=200) == Target(200, None, None, Sockaddr(b"\xc8\0"))
    assert "family 200" in str(refusal(family=200))
    assert refusal("hex:00", family=200, port=1).option == "--port"


@pytest.mark.parametrize("word", ["vcan0", "", "hex", "hex:0", "hex:xy", "hex:\u0661\u0661", "hex:" + "00" * 127, "\0"])
def test_what_are_no_bytes(word: str) -> None:
    refusal(word, family=200)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_tells_the_truth(row: AddressFamily) -> None:
    if row.number is None:
        pytest.skip(f"CANNOT: no AF_{row.name} on this platform")
    assert row.syntax
    assert row.examples or row.name in ("KCM", "KEY")
    for words in row.examples:
        if row.name == "UNIX" and words[0].startswith("@") and sys.platform not in ("linux", "android"):
            continue
        try:
            assert parse_target(words, family=row.number).family in (row.number, None)
        except UsageError as error:
            assert "no interface" in str(error)
    if row.default is None:
        assert row.syntax in str(refusal(family=row.number))
    else:
        assert parse_target([], family=row.number).text == row.default


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_the_kernel_is_asked_about_the_examples(row: AddressFamily) -> None:
    """The kernel may refuse them; that ``bind`` gets as far as the kernel is the point."""
    made = 0
    for words in row.examples:
        target = parse_target(words, family=row.number)
        try:
            one = socket.socket(row.number or 0, target.type or SEQPACKET, target.proto or 0)
        except OSError:
            continue
        made += 1
        with one:
            try:
                syscalls.bind(syscalls.QUIET, one, target.address)  # UsageError: Python would not pass it on
            except OSError as error:
                assert error.errno is not None, error  # nor would it here
    if not made and row.examples:
        pytest.skip(f"CANNOT: no AF_{row.name} socket can be made here")


@pytest.mark.lab
@pytest.mark.parametrize("row", [row for row in OTHERS if row.name not in NOT_IN_THE_LAB], ids=lambda row: row.name)
def test_a_kernel_with_all_families_is_asked_about_the_examples(row: AddressFamily) -> None:
    """None may be skipped there."""
    test_the_kernel_is_asked_about_the_examples(row)


def test_the_cells_of_the_table_are_one_safe_line_each() -> None:
    for row in ROWS:
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
        (200, ("vcan0",), "('vcan0',)"),
        (200, (45, b"\0\xff"), r"(45, b'\x00\xff')"),
        (200, None, "(no address)"),
        (200, Sockaddr(b""), "(no address)"),
        (200, Sockaddr.of(200, b"\1\xff"), "hex:01ff"),
        (INET, Sockaddr.of(2, b"\1\xff"), "hex:01ff"),
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
    assert parse_target(["hex:0001"], family=200).text == "hex:0001"


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
    if sys.platform in ("linux", "android"):
        yield st.binary(max_size=126).map(lambda data: (200, Sockaddr.of(200, data)))
        for name, strategy in others().items():
            yield st.tuples(st.just(BY_NAME[name].number or 0), strategy)


def others() -> dict[str, st.SearchStrategy[object]]:
    """Every address that each further family's notation has a word for."""
    byte, short, word, long = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
    device = st.text(st.characters(codec="utf-8", exclude_characters=" ,/:\0", categories=("L", "N", "P")), min_size=1)
    device = device.filter(lambda name: name.isprintable() and len(name.encode()) < 16 and name != "any") | st.just("")
    real = st.sampled_from([name for name in device_names() if "," not in name])
    mac, call = st.binary(min_size=6, max_size=6), st.from_regex(r"[A-Z0-9]{1,6}", fullmatch=True)
    bluetooth = mac.map(lambda raw: raw.hex(":").upper())

    def struct_of(name: str, layout: str, *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[object]:
        number = BY_NAME[name].number
        return st.tuples(*fields).map(lambda values: Sockaddr(struct.pack(layout, number, *values)))

    def ax25(name: str) -> st.SearchStrategy[object]:
        signs = st.lists(st.tuples(call, st.integers(0, 15)).map(callsign), min_size=1, max_size=9)
        return signs.map(
            lambda raw: Sockaddr(
                struct.pack("=H7s3xi", BY_NAME[name].number, raw[0], len(raw) - 1)
                + (b"".join(raw[1:]).ljust(56, b"\0") if len(raw) > 1 else b"")
            )
        )

    ipv4 = st.binary(min_size=4, max_size=4)
    internet = st.tuples(short, ipv4).map(lambda row: struct.pack("=HH4s8x", INET, *row))
    internet |= st.tuples(short, st.binary(min_size=16, max_size=16)).map(
        lambda row: struct.pack("=HHI16sI", INET6, row[0], 0, row[1], 0)
    )
    return {
        "CAN": st.tuples(device) | st.tuples(device, word, word) | st.tuples(device, long, word, byte),
        "NETLINK": st.tuples(word, word),
        "PACKET": st.tuples(device, short) | st.tuples(device, short, byte, short, st.binary(max_size=8)),
        "TIPC": st.tuples(st.just(1), word, word, word, st.integers(0, 127))
        | st.tuples(st.just(2), word, word, st.just(0), st.integers(0, 127))
        | st.tuples(st.just(3), word, word, st.just(0), st.integers(0, 127)),
        "BLUETOOTH": st.tuples(bluetooth, short) | st.tuples(short) | bluetooth.map(str.encode),
        "ALG": st.tuples(st.sampled_from(["hash", "skcipher"]), st.from_regex(r"[a-z0-9()-]{1,60}", fullmatch=True)),
        "QIPCRTR": st.tuples(word, word),
        "RDS": st.tuples(ipv4.map(socket.inet_ntoa), short),
        "SMC": internet.map(Sockaddr),
        "RXRPC": st.tuples(short, internet).map(
            lambda row: Sockaddr(struct.pack("=HHHH", 33, row[0], 2, len(row[1])) + row[1].ljust(28, b"\0"))
        ),
        "LLC": struct_of("LLC", "=HHBBBB6s2x", *map(st.just, (1, 0, 0, 0)), byte, mac),
        "PPPOX": st.tuples(st.binary(min_size=2, max_size=2), mac, device.filter(bool)).map(
            lambda row: Sockaddr(struct.pack("=HI2s6s16s", 24, 0, *row[:2], row[2].encode()))
        )
        | struct_of("PPPOX", "=HI2s4s18x", st.just(2), st.binary(min_size=2, max_size=2), ipv4),
        "PHONET": struct_of("PHONET", "=HBBB11x", byte, byte, byte),
        "APPLETALK": struct_of("APPLETALK", "=HBxHB9x", byte, short, byte),
        "AX25": ax25("AX25"),
        "NETROM": ax25("NETROM"),
        "ROSE": st.tuples(st.from_regex(r"\d{10}", fullmatch=True), call, st.integers(0, 15)).map(
            lambda row: Sockaddr(
                struct.pack("=H5s7s2xi7sx", 11, bytes.fromhex(ascii_digits(row[0])), callsign(row[1:]), 0, b"")
            )
        ),
        "IEEE802154": struct_of("IEEE802154", "=HxxiHH8x", st.just(2), short, short)
        | struct_of("IEEE802154", "=HxxiH8s2x", st.just(3), short, st.binary(min_size=8, max_size=8)),
        "ATMPVC": struct_of("ATMPVC", "=HxxHHI", *[st.integers(0, 2**15 - 1)] * 2, st.integers(0, 2**31 - 1)),
        "XDP": st.tuples(short, real.map(socket.if_nametoindex), word, word).map(
            lambda row: Sockaddr(struct.pack("=HHIII", 44, *row))
        ),
        "X25": st.from_regex(r"[0-9]{1,15}", fullmatch=True).map(
            lambda text: Sockaddr(struct.pack("=H16s", 9, ascii_digits(text).encode()))
        ),
        "IPX": struct_of("IPX", "=HHI6s2x", short, word, mac),
        "NFC": struct_of("NFC", "=HxxIII", word, word, word),
        "MCTP": struct_of("MCTP", "=HxxIBBBx", word, byte, byte, byte),
        "ISDN": struct_of("ISDN", "=HBBBB", byte, byte, byte, byte),
    }


def device_names() -> list[str]:
    return [name for _, name in socket.if_nameindex()] or ["lo"]


def callsign(row: tuple[str, int]) -> bytes:
    return bytes(ord(c) << 1 for c in row[0].ljust(6)) + bytes((row[1] << 1,))


def ascii_digits(text: str) -> str:
    return "".join(str(int(c)) for c in text)


@needs_linux
def test_every_family_with_addresses_takes_part_in_the_round_trip() -> None:
    names = {row.name for row in OTHERS if row.examples}
    assert names == set(others())


@given(st.one_of(*known_addresses()))
def test_what_is_shown_can_be_typed(known: tuple[int, object]) -> None:
    family, address = known
    shown = format_address(family, address)
    assume(family != UNIX or encodable(shown))
    target = parse_target([shown], family=family)
    assert target.address == address
    assert type(target.address) is type(address)
    assert target.family == family
    assert target.text == shown


WORDS = st.one_of(
    st.text(),
    st.text("0123456789.:[]%@/\\abxe+-_ ('),lo\0\ud800\udcff\x1b\u0661"),
    st.sampled_from(["127.0.0.1", "::1", "80", "localhost", "[::1]:80", "@", "@x", "/x", "", "local", "(1, 2)"]),
)
ANY_FAMILY = st.sampled_from([None, 0, *(row.number for row in ROWS), 200, -1, 1 << 31])


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
