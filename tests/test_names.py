"""names: every row in both directions, on this platform and on platforms that are not this one."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit import names
from sockkit.errors import Exit, UsageError
from sockkit.names import FAMILIES, PROTOCOLS, TYPES, Constant, Space, protocols

ROOT = Path(__file__).parents[1]
LINUX = sys.platform == "linux"
on_linux = pytest.mark.skipif(not LINUX, reason="CANNOT: numbers and messages of Linux")

SPACES = names._all_spaces()
ROWS = [(space, row) for space in SPACES for row in space.constants()]
HERE_ROWS = [(space, row, row.number) for space, row in ROWS if row.number is not None]
ELSEWHERE_ROWS = [(space, row) for space, row in ROWS if row.number is None]


def looks_like_a_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def spellings(space: Space, row: Constant) -> list[str]:
    """A name in full, bare, and with each prefix; what would read as a number only with a prefix."""
    bare = row.name.removeprefix(space.prefixes[0])
    return [prefix + bare for prefix in ("", *space.prefixes) if prefix or not looks_like_a_number(bare)]


def recased(text: str, upper: list[bool]) -> str:
    return "".join(c.upper() if up else c.lower() for c, up in zip(text, upper + [True] * len(text), strict=False))


def refusal(space: Space, text: str, **keywords: Any) -> names.UnknownName:
    with pytest.raises(names.UnknownName) as caught:
        space.parse(text, **keywords)
    return caught.value


# Round trips


@given(st.sampled_from(HERE_ROWS), st.data(), st.lists(st.booleans(), max_size=30))
def test_every_name_in_every_spelling_is_its_number(
    case: tuple[Space, Constant, int], data: st.DataObject, upper: list[bool]
) -> None:
    space, row, number = case
    text = recased(data.draw(st.sampled_from(spellings(space, row))), upper)
    assert space.parse(text) == number
    assert space.find(text) is row
    assert row.name in space.names(number)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_every_number_is_its_name(space: Space) -> None:
    for row in space.constants():
        if row.number is None:
            continue
        name = space.name(row.number)
        assert name is not None
        assert space.parse(name) == row.number
        assert space.names(row.number)[0] == name
        assert name in space.label(row.number)
        assert str(row.number) in space.label(row.number)
        assert space.meaning(row.number)


@given(st.sampled_from(SPACES), st.integers(), st.sampled_from(["{}", "{:+}", " {} ", "{:#x}"]))
def test_any_number_passes_unchanged(space: Space, number: int, form: str) -> None:
    assert space.parse(form.format(number)) == number


@given(st.sampled_from(SPACES), st.integers())
def test_any_number_can_be_shown(space: Space, number: int) -> None:
    assert str(number) in space.label(number)
    assert bool(space.names(number)) == (space.name(number) is not None) == (space.meaning(number) is not None)


@given(st.sampled_from([*SPACES, protocols(4711)]), st.text(max_size=80))
def test_any_text_is_a_number_or_a_usage_error(space: Space, text: str) -> None:
    try:
        assert isinstance(space.parse(text), int)
    except names.UnknownName as error:
        assert "\n" not in str(error)
        assert all(c.isprintable() for c in str(error))
        assert len(error.suggestions) <= 3
        for suggestion in error.suggestions:
            assert space.parse(suggestion) >= 0


# The tables


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_tables_are_consistent(space: Space) -> None:
    rows = space.constants()
    assert len({row.name.upper() for row in rows}) == len(rows)
    taken = [spelling.upper() for row in rows for spelling in spellings(space, row)]
    assert len(set(taken)) == len(taken), "two rows answer to one spelling"
    for row in rows:
        assert row.name.startswith(space.prefixes[0])
        assert row.name.isidentifier()
        assert row.meaning.strip() == row.meaning != ""
        assert set(row.platforms) <= set(names.PLATFORMS) and row.platforms
        assert (row.number is not None) == (names.HERE in row.platforms)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_constants_are_in_numeric_order(space: Space) -> None:
    numbers = [row.number for row in space.constants() if row.number is not None]
    if isinstance(space, names.PacketSpace):
        numbers = [socket.ntohs(number) for number in numbers]
    assert numbers == sorted(numbers)
    assert [row.number for row in space.constants()[len(numbers) :]] == [None] * (len(space.constants()) - len(numbers))


@pytest.mark.parametrize(
    ("space", "prefix"), [(FAMILIES, "AF_"), (FAMILIES, "PF_"), (TYPES, "SOCK_"), (PROTOCOLS, "IPPROTO_")]
)
def test_whatever_python_exports_is_known(space: Space, prefix: str) -> None:
    exported = {name: int(getattr(socket, name)) for name in dir(socket) if name.startswith(prefix)}
    for name, number in exported.items():
        assert space.parse(name) == number
        assert space.name(number) is not None


def test_iana_numbers_are_named() -> None:
    assigned = [*range(148), 253, 254, 255]
    assert [n for n in range(256) if PROTOCOLS.name(n)] == [
        *assigned[:148],
        *([240] if names.HERE == "FreeBSD" else []),
        *assigned[148:],
    ]
    assert all(PROTOCOLS.meaning(n) for n in assigned)


@pytest.mark.parametrize(
    ("number", "spellings"),
    [
        (0, "IP HOPOPT HOPOPTS"),
        (1, "ICMP"),
        (3, "GGP"),
        (4, "IPIP IPv4"),
        (6, "TCP"),
        (10, "BBN-RCC-MON"),
        (17, "UDP"),
        (39, "TP++"),
        (41, "IPv6"),
        (58, "ICMPv6 IPv6-ICMP"),
        (89, "OSPF OSPFIGP"),
        (93, "AX.25 AX25"),
        (107, "A/N"),
        (111, "IPX-in-IP"),
        (132, "SCTP"),
        (136, "UDPLite"),
        (137, "MPLS-in-IP"),
        (143, "Ethernet"),
        (255, "Reserved RAW"),
    ],
)
def test_iana_keywords(number: int, spellings: str) -> None:
    for spelling in spellings.split():
        assert PROTOCOLS.parse(spelling) == number
        assert PROTOCOLS.parse(spelling.lower()) == number


def test_the_system_agrees_on_protocol_numbers() -> None:
    file = Path("/etc/protocols")
    if not file.exists():
        pytest.skip("CANNOT: no /etc/protocols")
    compared = 0
    for line in file.read_text().splitlines():
        fields = line.partition("#")[0].split()
        if len(fields) < 2:
            continue
        for name in (fields[0], *fields[2:]):
            row = PROTOCOLS.find(name)
            if row is not None and name.upper() != "IPIP":  # 94 at IANA, 4 in every C header
                compared += 1
                assert row.number == int(fields[1]), name
    assert compared


@on_linux
def test_the_headers_agree() -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("CANNOT: no C compiler to ask")
    headers = ["sys/socket.h", "linux/netlink.h", "linux/if_ether.h", "linux/can.h", "linux/in6.h", "linux/atm.h"]
    headers += ["linux/nfc.h", "linux/phonet.h", "linux/pfkeyv2.h", "linux/kcm.h", "linux/if_pppox.h"]
    source = "".join(f"#if __has_include(<{header}>)\n#include <{header}>\n#endif\n" for header in headers)
    done = subprocess.run([compiler, "-E", "-dM", "-"], input=source, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"CANNOT: the C compiler lacks headers: {done.stderr[:200]}")
    macros = {}
    for line in done.stdout.splitlines():
        _, name, *rest = line.split(maxsplit=2)
        macros[name] = rest[0] if rest else ""
    compared = 0
    for space, row, number in HERE_ROWS:
        value = row.name
        while value in macros and value != macros[value]:
            value = macros[value]
        try:
            defined = int(value, 0)
        except ValueError:
            continue
        if not row.name.endswith("_MAX"):  # grows with the headers
            compared += 1
            assert number == (socket.htons(defined) if isinstance(space, names.PacketSpace) else defined), row.name
    if not compared:
        pytest.skip("CANNOT: no header to compare with")


@on_linux
def test_all_families_of_linux() -> None:
    assert [n for n in range(60) if FAMILIES.name(n)] == list(range(47))
    assert FAMILIES.names(1)[:2] == ("AF_UNIX", "AF_LOCAL")
    assert FAMILIES.names(16) == ("AF_NETLINK", "AF_ROUTE")
    assert FAMILIES.name(45) == "AF_MCTP"
    assert "limit" in (FAMILIES.meaning(46) or "")
    assert PROTOCOLS.name(256) == "IPPROTO_SMC"
    assert PROTOCOLS.name(262) == "IPPROTO_MPTCP"
    assert PROTOCOLS.parse("MAX") == 263


def test_labels() -> None:
    assert FAMILIES.label(socket.AF_INET) == "AF_INET (2)"
    assert FAMILIES.label(4711) == "4711"
    assert FAMILIES.label(-1) == "-1"
    assert FAMILIES.meaning(4711) is None


def test_family_number() -> None:
    assert names.family_number("INET") == names.family_number("PF_INET") == socket.AF_INET
    assert names.family_number("no such family") is None
    assert names.family_number("2") is None
    vsock = FAMILIES.find("AF_VSOCK")
    assert vsock is not None
    assert names.family_number("AF_VSOCK") == vsock.number


# Socket types


@on_linux
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("STREAM+NONBLOCK", 2049),
        ("stream|cloexec", 1 + 0x80000),
        ("1+2048", 2049),
        ("SOCK_DGRAM + nonblock|CLOEXEC", 2 + 2048 + 0x80000),
        ("NONBLOCK", 2048),
        ("STREAM+NONBLOCK+NONBLOCK", 2049),
        ("+1", 1),
        ("0x801", 2049),
    ],
)
def test_types_combine(text: str, number: int) -> None:
    assert TYPES.parse(text) == number


@pytest.mark.parametrize("text", ["STREAM+DGRAM", "1|2", "STREAM+STREAM", "-1+STREAM"])
def test_two_base_types_are_not_one_type(text: str) -> None:
    error = refusal(TYPES, text, option="--type")
    assert text in str(error)
    assert error.option == "--type"


@on_linux
@pytest.mark.parametrize(
    ("number", "label"),
    [
        (1, "SOCK_STREAM (1)"),
        (2049, "SOCK_STREAM+SOCK_NONBLOCK (2049)"),
        (2048, "SOCK_NONBLOCK (2048)"),
        (1 + 2048 + 0x80000, "SOCK_STREAM+SOCK_NONBLOCK+SOCK_CLOEXEC (526337)"),
        (2055, "7+SOCK_NONBLOCK (2055)"),
        (257, "SOCK_STREAM+0x100 (257)"),
        (7, "7"),
        (-1, "-1"),
    ],
)
def test_type_labels(number: int, label: str) -> None:
    assert TYPES.label(number) == label


@on_linux
@given(st.integers(min_value=0, max_value=2**40))
def test_a_type_is_its_parts(number: int) -> None:
    base, flags = TYPES.parts(number)
    assert base | flags == number and base & flags == 0
    assert TYPES.parse(TYPES.label(number).partition(" ")[0]) == number
    name = TYPES.name(number)
    assert name is None or TYPES.parse(name) == number


@on_linux
def test_parts() -> None:
    assert TYPES.parts(2049) == (1, 2048)
    assert TYPES.parts(-1) == (-1, 0)
    assert TYPES.meaning(2049) == f"{TYPES.meaning(1)}; {TYPES.meaning(2048)}"
    assert TYPES.names(2049) == ("SOCK_STREAM+SOCK_NONBLOCK",)


# Protocols of other families


def space_of(family: str) -> Space:
    number = names.family_number(family)
    if number is None:
        pytest.skip(f"CANNOT: this platform has no AF_{family}")
    return protocols(number)


@on_linux
@pytest.mark.parametrize(
    ("family", "name", "number"),
    [
        ("INET", "TCP", 6),
        ("INET6", "ICMPV6", 58),
        ("UNIX", "PF_UNIX", 1),
        ("CAN", "J1939", 7),
        ("CAN", "can_raw", 1),
        ("NETLINK", "NETLINK_GENERIC", 16),
        ("ROUTE", "kobject_uevent", 15),
        ("BLUETOOTH", "RFCOMM", 3),
        ("KEY", "PF_KEY_V2", 2),
        ("PPPOX", "OL2TP", 1),
        ("NFC", "LLCP", 1),
        ("PHONET", "PIPE", 2),
        ("CAIF", "CAIFPROTO_DATAGRAM", 1),
        ("SMC", "SMC6", 1),
        ("KCM", "CONNECTED", 0),
        ("RXRPC", "INET6", 10),
        ("ISDN", "ISDN_P_B_RAW", 0x21),
        ("ATMPVC", "AAL5", 5),
        ("PACKET", "ETH_P_ALL", socket.htons(3)),
    ],
)
def test_protocols_by_family(family: str, name: str, number: int) -> None:
    space = space_of(family)
    assert space.parse(name) == number
    assert space.name(number) is not None


@pytest.mark.parametrize("family", ["VSOCK", "TIPC", "RDS", "ALG", "XDP", "IEEE802154"])
def test_families_without_named_protocols(family: str) -> None:
    space = space_of(family)
    assert space.constants() == () == tuple(space.complete(""))
    assert space.parse("40") == 40
    assert space.label(40) == "40"
    assert f"AF_{family} has none by name" in str(refusal(space, "zzz"))


def test_an_unknown_family_has_an_empty_space() -> None:
    assert protocols(4711).parse("0x10") == 16
    assert "family 4711" in str(refusal(protocols(4711), "TCP"))
    assert protocols(socket.AF_INET) is PROTOCOLS


@on_linux
def test_ethertypes_are_in_network_byte_order() -> None:
    space = space_of("PACKET")
    everything = socket.htons(3)
    assert space.parse("all") == everything
    assert space.parse("3") == 3
    assert space.parse("0x0003") == 3
    assert space.label(everything) == f"ETH_P_ALL (0x0003, htons {everything})"
    assert space.label(3) == f"3 (ethertype 0x{socket.ntohs(3):04x})"
    assert space.label(0) == "0"
    assert space.label(1 << 20) == str(1 << 20)
    assert space.parse("802_3") == socket.htons(1)  # int() would read it as 8023
    assert space.parse("1588") == 1588
    assert space.parse("ETH_P_1588") == socket.htons(0x88F7)


# Errors


def test_an_unknown_name_is_a_usage_error() -> None:
    error = refusal(FAMILIES, "INTE", option="--family")
    assert isinstance(error, UsageError) and isinstance(error, ValueError)
    assert error.exit is Exit.USAGE
    assert error.option == "--family"
    assert error.text == "INTE"
    assert error.suggestions[0] == "INET"
    assert "INTE" in str(error) and "did you mean INET" in str(error) and "number is accepted" in str(error)
    assert refusal(FAMILIES, "INTE").option is None


@pytest.mark.parametrize(
    ("space", "text", "suggestion"),
    [
        (FAMILIES, "AF_UNX", "AF_UNIX"),
        (FAMILIES, "pf_inte", "PF_INET"),
        (FAMILIES, "IPv6", "INET6"),
        (FAMILIES, "ipv4", "INET"),
        (TYPES, "STREM", "STREAM"),
        (TYPES, "UDP", "DGRAM"),
        (TYPES, "tcp", "STREAM"),
        (TYPES, "STREAM+NONBLCK", "NONBLOCK") if LINUX else (TYPES, "DGRM", "DGRAM"),
        (PROTOCOLS, "ICMP6", "ICMPV6"),
    ],
)
def test_did_you_mean(space: Space, text: str, suggestion: str) -> None:
    error = refusal(space, text)
    assert error.suggestions[0] == suggestion
    assert suggestion in str(error)


@on_linux
@pytest.mark.parametrize(
    ("space", "text", "said"),
    [
        (TYPES, "INET", "AF_INET is an address family (use --family)"),
        (TYPES, "SOCK_INET", "AF_INET is an address family (use --family)"),
        (FAMILIES, "STREAM", "SOCK_STREAM is a socket type (use --type)"),
        (FAMILIES, "TCP", "IPPROTO_TCP is a protocol (use --proto)"),
        (FAMILIES, "CAN_BCM", "CAN_BCM is an AF_CAN protocol (use --proto)"),
        (PROTOCOLS, "inet6", "AF_INET6 is an address family (use --family)"),
        (PROTOCOLS, "BCM", "CAN_BCM is a protocol of AF_CAN"),
        (protocols(29), "TCP", "IPPROTO_TCP is a protocol of AF_INET and AF_INET6"),
        (protocols(29), "TCP", "named protocols of AF_CAN: CAN_RAW, CAN_BCM, "),
        (protocols(40), "TCP", "AF_VSOCK has none by name"),
    ],
)
def test_a_name_of_another_space_is_told_where_it_belongs(space: Space, text: str, said: str) -> None:
    assert said in str(refusal(space, text))


@pytest.mark.parametrize(("space", "row"), ELSEWHERE_ROWS, ids=lambda value: getattr(value, "name", ""))
def test_a_name_of_another_platform_says_where_it_exists(space: Space, row: Constant) -> None:
    error = refusal(space, row.name)
    assert all(platform in str(error) for platform in row.platforms)
    assert str(error).startswith(row.name)


@on_linux
def test_where_names_exist() -> None:
    assert str(refusal(FAMILIES, "system")) == "AF_SYSTEM exists on macOS only; this is Linux"
    assert "macOS, FreeBSD and Windows only" in str(refusal(FAMILIES, "PF_LINK"))


def test_what_is_shown_of_a_text_is_harmless() -> None:
    assert "\x1b" not in str(refusal(FAMILIES, "\x1b[31mred"))
    assert len(str(refusal(FAMILIES, "x" * 100_000))) < 500
    assert isinstance(refusal(FAMILIES, "9" * 5000).cause, ValueError)
    assert isinstance(refusal(TYPES, "9" * 5000).cause, ValueError)


@pytest.mark.parametrize("text", ["", " ", "+", "-", "0x", "1_0", "٣", "1.0", "AF_"])
def test_what_only_resembles_a_number_is_refused(text: str) -> None:
    refusal(FAMILIES, text)
    refusal(TYPES, text)


# Completion


def values(space: Space, incomplete: str) -> list[str]:
    return [value for value, _ in space.complete(incomplete)]


def test_completion() -> None:
    assert values(TYPES, "st") == ["STREAM"]
    assert values(TYPES, "SOCK_ST") == values(TYPES, "sock_st") == ["SOCK_STREAM"]
    assert {"AF_INET", "AF_INET6"} <= set(values(FAMILIES, "af_in"))
    assert {"PF_INET", "PF_INET6"} <= set(values(FAMILIES, "PF_IN"))
    assert "LOCAL" not in values(FAMILIES, "")
    assert "LOCAL" in values(FAMILIES, "lo")
    assert "AF_UNIX" in values(FAMILIES, "AF")
    assert values(PROTOCOLS, "udpl") == ["UDPLITE"]
    assert values(FAMILIES, "zzz") == []
    assert dict(FAMILIES.complete("INET6")) == {"INET6": "IPv6"}


@on_linux
def test_completion_of_flags() -> None:
    assert "NONBLOCK" not in values(TYPES, "")
    assert values(TYPES, "STREAM+") == ["STREAM+NONBLOCK", "STREAM+CLOEXEC"]
    assert values(TYPES, "stream|sock_n") == ["stream|SOCK_NONBLOCK"]
    assert values(TYPES, "STREAM+NONBLOCK+") == ["STREAM+NONBLOCK+CLOEXEC"]
    assert values(TYPES, "STREAM+D") == []
    assert values(space_of("PACKET"), "15") == []
    assert values(space_of("PACKET"), "ETH_P_15") == ["ETH_P_1588"]


@given(st.sampled_from(HERE_ROWS), st.data())
def test_what_is_offered_can_be_used(case: tuple[Space, Constant, int], data: st.DataObject) -> None:
    space, row, _ = case
    typed = data.draw(st.sampled_from(spellings(space, row)))
    typed = typed[: data.draw(st.integers(0, len(typed)))]
    for value, meaning in space.complete(typed):
        assert value.upper().startswith(typed.upper())
        assert space.find(value) is not None
        assert isinstance(space.parse(value), int)
        assert meaning
    assert len(values(space, typed)) == len(set(values(space, typed)))


# Python without its constants, and other platforms

HIDDEN = """
import json, socket, sys
for name in dir(socket):
    if isinstance(getattr(socket, name), int):
        delattr(socket, name)
sys.platform = {platform!r}
from sockkit import names
from sockkit.names import *
def said(space, text):
    try:
        return space.parse(text)
    except names.UnknownName as error:
        return str(error)
"""


def elsewhere(platform: str, expression: str) -> Any:
    """The value of an expression in a Python without socket constants that believes to be on ``platform``."""
    code = HIDDEN.format(platform=platform) + f"print(json.dumps({expression}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ALL_NUMBERS = "{row.name: row.number for space in names._all_spaces() for row in space.constants()}"


@on_linux
def test_hidden_constants_have_their_numbers_all_the_same() -> None:
    table = elsewhere("linux", ALL_NUMBERS)
    compared = 0
    for _, row, number in HERE_ROWS:
        if hasattr(socket, row.name):
            compared += 1
            assert table[row.name] == number
    assert compared > 60


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", {"INET6": 10, "UNIX": 1, "LOCAL": 1, "ROUTE": 16, "VSOCK": 40, "SYSTEM": None, "KEY": 15}),
        ("darwin", {"INET6": 30, "UNIX": 1, "LOCAL": 1, "ROUTE": 17, "VSOCK": 40, "SYSTEM": 32, "NDRV": 27, "KEY": 29}),
        ("freebsd14", {"INET6": 28, "UNIX": 1, "LOCAL": 1, "ROUTE": 17, "VSOCK": None, "BLUETOOTH": 36, "KEY": 27}),
        ("win32", {"INET6": 23, "UNIX": 1, "LOCAL": 1, "ROUTE": None, "BLUETOOTH": 32, "HYPERV": 34}),
        ("openbsd7", {"INET6": None, "UNIX": 1, "INET": 2}),
    ],
)
def test_families_by_platform(platform: str, expected: dict[str, int | None]) -> None:
    assert elsewhere(platform, f"{{name: family_number(name) for name in {list(expected)}}}") == expected


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd14", "win32", "openbsd7"])
def test_everything_works_on_every_platform(platform: str) -> None:
    wrong = elsewhere(
        platform,
        "[row.name for space in names._all_spaces() for row in space.constants() if row.number is not None"
        " and (space.parse(row.name) != row.number or row.name not in space.names(row.number)"
        " or not space.label(row.number))]",
    )
    assert wrong == []
    assert "did you mean" in elsewhere(platform, "said(FAMILIES, 'INTE')")
    assert elsewhere(platform, "[said(TYPES, 'STREAM'), said(PROTOCOLS, 'TCP')]") == [1, 6]
    assert elsewhere(platform, "TYPES.complete('st')")[0][0] == "STREAM"


def test_macos() -> None:
    assert elsewhere("darwin", "protocols(32).parse('CONTROL')") == 2
    assert (
        elsewhere("darwin", "said(FAMILIES, 'NETLINK')") == "AF_NETLINK exists on Linux and FreeBSD only; this is macOS"
    )
    assert "only; this is macOS" in elsewhere("darwin", "said(TYPES, 'STREAM+NONBLOCK')")
    assert elsewhere("darwin", "[PROTOCOLS.parse('MAX'), TYPES.label(2049), TYPES.parts(2049)]") == [
        256,
        "2049",
        [2049, 0],
    ]


def test_freebsd() -> None:
    number = 1 + 0x20000000
    assert elsewhere("freebsd14", "TYPES.parse('STREAM+NONBLOCK')") == number
    assert elsewhere("freebsd14", f"TYPES.label({number})") == f"SOCK_STREAM+SOCK_NONBLOCK ({number})"
    assert elsewhere("freebsd14", "protocols(36).parse('RFCOMM')") == 136


def test_importing_is_lazy() -> None:
    code = (
        "import sys; from sockkit import names; before = 'difflib' in sys.modules, names.FAMILIES._constants\n"
        "try: names.FAMILIES.parse('INTE')\n"
        "except names.UnknownName: print(before, 'difflib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "(False, None) True\n", done.stderr
