"""The explanations, judged by a real kernel: it refuses, and each refusal must find its row."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import socket
import string
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sockkit import rules
from sockkit.errors import errno_name

LINUX = sys.platform == "linux"
linux_only = pytest.mark.skipif(not LINUX, reason="CANNOT: these are Linux's checks")

TYPES = (*range(12), 1 | rules.NONBLOCK, 2 | rules.CLOEXEC, 15, 0x21)
PROTOS = (0, 1, 2, 6, 17, 58, 132, 136, 255, 256, 262, 263, 300)
NOBODY = 65534
BECOME_NOBODY = f"""
import errno, itertools, json, os, socket, sys
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
"""
SWEEP = """
refused = []
for family, type, proto in json.load(sys.stdin):
    try:
        socket.socket(family, type, proto).close()
    except OSError as error:
        refused.append((family, type, proto, errno.errorcode[error.errno]))
print(json.dumps(refused))
"""
BIND_PORT_1 = """
with socket.socket() as sock:
    try:
        sock.bind(("127.0.0.1", 1))
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


MODULES = Path("/proc/modules").exists()
"""Where the kernel has modules, each call that misses makes it run modprobe (14 to 100 ms): fewer are made there."""


def combinations() -> Iterator[tuple[int, int, int]]:
    """Closing an AF_PACKET socket takes a kernel some 12 ms, so there are few of them."""
    for family, type, proto in itertools.product(range(48), TYPES, PROTOS):
        packet = family == rules.PACKET or (family == rules.INET and type & rules.TYPE_MASK == rules.PACKET_TYPE)
        common = family in (rules.UNIX, rules.INET, rules.NETLINK, rules.VSOCK)
        if (packet and proto not in (0, 300)) or (MODULES and not common and (type > 3 or proto not in (0, 1, 300))):
            continue
        yield family, type, proto


def as_nobody(code: str, stdin: str = "") -> str:
    """What a program prints that becomes nobody first. Its interpreter starts as root: nobody may not reach it."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("CANNOT: only root can become nobody")
    command = [sys.executable, "-I", "-c", BECOME_NOBODY + code]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(family: int, type: int, proto: int, name: str) -> rules.Explanation:
    """One refusal: it has an explanation, from a row that knows this errno, which speaks of this combination."""
    found = rules.why(family, type, proto, name)
    asked = f"{family}, {type}, {proto}, {name}"
    assert found is not None, asked
    table = rules.RULES if LINUX else rules.ELSEWHERE.get(sys.platform, rules._OTHERS)
    ask = rules.Ask(family, type, proto, name)
    rows = [rule for rule in table if (rule.name, rule.source) == (found.rule, found.source) and rule.applies(ask)]
    assert any(name in row.errnos for row in rows), asked
    mentions = (
        rules._family(family),
        rules._family(ask.maker),
        rules._type(type),
        rules._proto(family, proto),
    )
    assert any(word in found.text for word in mentions), (asked, found.text)
    assert not found.text.endswith(".")
    assert "None" not in found.text
    assert found.try_next is None or (found.try_next and not found.try_next.endswith("."))
    if LINUX:
        assert not {*rows} & {*rules.GUARDS, *rules.UNSPECIFIC}, f"{asked}: no row of its own"
    return found


def test_every_refusal_of_this_kernel_is_explained() -> None:
    refused = 0
    for family, type, proto in combinations():
        try:
            socket.socket(family, type, proto).close()
        except OSError as error:
            name = errno_name(error.errno)
            assert name is not None
            check(family, type, proto, rules.canonical(name))
            refused += 1
    assert refused > 1000


def test_every_refusal_that_nobody_gets_is_explained() -> None:
    asked = [ask for ask in combinations() if ask[0] <= 17 or ask[0] in (40, 44, 47)]
    refused = json.loads(as_nobody(SWEEP, json.dumps(asked)))
    for family, type, proto, name in refused:
        check(family, type, proto, name)
    seen = {(family, type, name) for family, type, _, name in refused}
    assert (rules.INET, rules.RAW, "EPERM") in seen


@pytest.mark.parametrize(
    ("family", "type", "proto", "name", "rule", "texts", "hint"),
    [
        (2, 0x21, 0, "EINVAL", "type flags", ["0x20", "SOCK_STREAM"], "SOCK_STREAM"),
        (46, 1, 0, "EAFNOSUPPORT", "family range", ["family 46"], "probe"),
        (46, 11, 0, "EAFNOSUPPORT", "family range", ["family 46"], "probe"),
        (2, 75, 0, "EINVAL", "type flags", ["0x40"], "type 11"),
        (2, 11, 0, "EINVAL", "type range", ["type 11"], "SOCK_STREAM"),
        (0, 1, 0, "EAFNOSUPPORT", "family registered", ["AF_UNSPEC"], "probe"),
        (
            29,
            3,
            1,
            "EAFNOSUPPORT",
            "family registered",
            ["AF_CAN", "net-pf-29"],
            "modprobe can (kernel module net-pf-29)",
        ),
        (26, 1, 0, "EAFNOSUPPORT", "family registered", ["AF_LLC", "container"], "modprobe llc2"),
        (10, 1, 0, "EAFNOSUPPORT", "family registered", ["AF_INET6"], "ipv6.disable"),
        (2, 1, 263, "EINVAL", "protocol range", ["proto 263", "262"], "0 to 262"),
        (2, 4, 0, "ESOCKTNOSUPPORT", "type within family", ["SOCK_RDM", "AF_INET"], "SOCK_STREAM for TCP"),
        (2, 5, 0, "ESOCKTNOSUPPORT", "type within family", ["SOCK_SEQPACKET", "SCTP"], "modprobe sctp"),
        (2, 6, 0, "ESOCKTNOSUPPORT", "type within family", ["SOCK_DCCP"], "modprobe dccp_ipv4"),
        (2, 1, 17, "EPROTONOSUPPORT", "protocol within type", ["SOCK_STREAM with IPPROTO_UDP"], "SOCK_DGRAM"),
        (
            2,
            2,
            6,
            "EPROTONOSUPPORT",
            "protocol within type",
            ["SOCK_DGRAM with IPPROTO_TCP: within AF_INET, IPPROTO_TCP is registered only for SOCK_STREAM"],
            "another type: SOCK_STREAM",
        ),
        (2, 1 | rules.NONBLOCK, 17, "EPROTONOSUPPORT", "protocol within type", ["SOCK_STREAM with"], "SOCK_DGRAM"),
        (2, 1, 132, "EPROTONOSUPPORT", "protocol within type", ["net-pf-2-proto-132-type-1"], "modprobe sctp"),
        (2, 2, 58, "EPROTONOSUPPORT", "protocol within type", ["belongs to AF_INET6"], "AF_INET6"),
        (2, 2, 2, "EPROTONOSUPPORT", "protocol within type", ["IPPROTO_IGMP"], "SOCK_RAW"),
        (2, 3, 0, "EPROTONOSUPPORT", "protocol within type", ["SOCK_RAW with proto 0"], "--proto ICMP"),
        (10, 3, 0, "EPROTONOSUPPORT", "protocol within type", ["AF_INET6"], "--proto ICMPV6"),
        (2, 3, 1, "EPERM", "privilege", ["SOCK_RAW", "CAP_NET_RAW"], "root"),
        (2, 2, 1, "EACCES", "ping group", ["IPPROTO_ICMP", "ping_group_range"], "sysctl net.ipv4.ping_group_range"),
        (10, 2, 58, "EACCES", "ping group", ["IPPROTO_ICMPV6"], "sysctl"),
        (2, 1, 262, "ENOPROTOOPT", "MPTCP switch", ["IPPROTO_MPTCP"], "net.mptcp.enabled"),
        (2, 10, 0, "EPERM", "privilege", ["AF_PACKET"], "CAP_NET_RAW"),
        (1, 1, 6, "EPROTONOSUPPORT", "protocol within family", ["proto 6", "AF_UNIX"], "proto 0"),
        (1, 4, 0, "ESOCKTNOSUPPORT", "type within family", ["SOCK_RDM", "AF_UNIX"], "SOCK_SEQPACKET"),
        (15, 1, 0, "EPERM", "privilege", ["AF_KEY", "whatever the type"], "CAP_NET_ADMIN"),
        (16, 1, 0, "ESOCKTNOSUPPORT", "type within family", ["AF_NETLINK"], "SOCK_RAW"),
        (16, 3, 32, "EPROTONOSUPPORT", "protocol range", ["proto 32", "31"], "NETLINK_ROUTE"),
        (16, 3, 6, "EPROTONOSUPPORT", "protocol registered", ["NETLINK_XFRM"], "modprobe xfrm_user"),
        (17, 1, 0, "EPERM", "privilege", ["AF_PACKET"], "CAP_NET_RAW"),
        (17, 1, 0, "ESOCKTNOSUPPORT", "type within family", ["SOCK_STREAM"], "SOCK_RAW"),
        (24, 1, 9, "EPROTOTYPE", "protocol range", ["proto 9"], "PX_PROTO_OE"),
        (29, 3, 8, "EINVAL", "protocol range", ["proto 8"], "CAN_RAW"),
        (29, 2, 1, "EPROTOTYPE", "type of protocol", ["SOCK_DGRAM with CAN_RAW"], "another type: SOCK_RAW"),
        (29, 3, 7, "EPROTOTYPE", "type of protocol", ["SOCK_RAW with CAN_J1939"], "another type: SOCK_DGRAM"),
        (29, 3, 6, "EPROTONOSUPPORT", "protocol registered", ["can-proto-6"], "modprobe can_isotp"),
        (29, 3, 0, "EPROTONOSUPPORT", "protocol registered", ["proto 0"], "CAN_RAW"),
        (30, 3, 0, "EPROTOTYPE", "type within family", ["SOCK_RAW", "AF_TIPC"], "SOCK_RDM"),
        (31, 1, 2, "ESOCKTNOSUPPORT", "type of protocol", ["BTPROTO_SCO"], "SOCK_SEQPACKET"),
        (31, 3, 0, "EPERM", "privilege", ["SOCK_RAW"], "CAP_NET_RAW"),
        (33, 2, 0, "EPROTONOSUPPORT", "protocol within family", ["AF_RXRPC"], "another protocol"),
        (35, 1, 0, "EPROTONOSUPPORT", "type of protocol", ["AF_PHONET"], "SOCK_SEQPACKET"),
        (3, 5, 0xCF, "ESOCKTNOSUPPORT", "protocol within type", ["keeps"], "240"),
        (8, 1, 0, "EINVAL", "type within family", ["AF_ATMPVC"], "SOCK_DGRAM"),
        (21, 5, 1, "ESOCKTNOSUPPORT", "protocol within family", ["AF_RDS"], "proto 0"),
        (38, 1, 0, "ESOCKTNOSUPPORT", "type within family", ["AF_ALG"], "SOCK_SEQPACKET"),
        (40, 2, 0, "ENODEV", "transport", ["SOCK_DGRAM", "AF_VSOCK"], "SOCK_STREAM"),
        (42, 1, 0, "EPROTOTYPE", "type within family", ["AF_QIPCRTR"], "SOCK_DGRAM"),
        (2, 1, 0, "EMFILE", "open files of the process", ["AF_INET"], "ulimit"),
        (2, 1, 0, "ENFILE", "open files of the system", ["SOCK_STREAM"], "fs.file-max"),
        (2, 1, 0, "ENOBUFS", "memory", ["AF_INET"], "close"),
        (2, 1, 0, "EPERM", "guard", ["seccomp"], "seccomp"),
        (1, 1, 0, "EACCES", "guard", ["security module"], "sandbox"),
    ],
)
def test_the_well_known_refusals_of_linux(
    family: int, type: int, proto: int, name: str, rule: str, texts: list[str], hint: str
) -> None:
    found = rules.why(family, type, proto, name, "linux")
    assert found is not None
    assert found.rule == rule
    for text in texts:
        assert text in found.text
    assert hint in (found.try_next or "")


def test_sources_name_function_and_file() -> None:
    found = rules.why(2, 2, 6, "EPROTONOSUPPORT", "linux")
    assert found is not None
    assert found.source == "inet_create, net/ipv4/af_inet.c"
    for rule in rules.RULES:
        assert ", " in rule.source or rule in rules.UNSPECIFIC


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        ((2, 2, 6, "EPROTONOSUPPORT"), "macOS answers EPROTOTYPE 41 here, Windows WSAEPROTONOSUPPORT 10043"),
        ((2, 4, 0, "ESOCKTNOSUPPORT"), "macOS answers EPROTONOSUPPORT 43 here, Windows WSAESOCKTNOSUPPORT 10044"),
        ((2, 3, 1, "EPERM"), "macOS answers EPERM 1 as well, Windows WSAEACCES 10013"),
        ((29, 3, 1, "EAFNOSUPPORT"), "macOS and Windows have no such sockets"),
        ((2, 5, 6, "ESOCKTNOSUPPORT"), "macOS answers EPROTOTYPE 41 here, Windows WSAESOCKTNOSUPPORT 10044"),
        ((2, 1, 132, "EPROTONOSUPPORT"), "macOS answers EPROTONOSUPPORT 43 here"),
        ((2, 3, 0, "EPROTONOSUPPORT"), "macOS makes this socket, for root"),
        ((2, 2, 1, "EACCES"), "macOS lets every user make ping sockets"),
        ((1, 4, 0, "ESOCKTNOSUPPORT"), "macOS answers EPROTONOSUPPORT 43 here"),
        ((1, 1, 1, "EPROTONOSUPPORT"), "macOS answers EPROTONOSUPPORT 43 here"),
        ((2, 1, 0, "EMFILE"), None),
    ],
)
def test_how_other_systems_answer(ask: tuple[int, int, int, str], text: str | None) -> None:
    found = rules.why(*ask, "linux")
    assert found is not None
    assert found.elsewhere == text


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("EPROTOTYPE", "protocol within type"),
        ("EPROTONOSUPPORT", "protocol registered"),
        ("WSAEAFNOSUPPORT", "family registered"),
        ("EMFILE", "open files of the process"),
    ],
)
def test_other_platforms_have_rows_of_their_own(platform: str, name: str, rule: str) -> None:
    found = rules.why(2, 2, 6, name, platform)
    assert found is not None
    assert found.rule == rule
    assert "net/" not in found.source
    assert found.elsewhere is None


def test_no_errno_and_no_known_errno_have_no_explanation() -> None:
    assert rules.why(2, 1, 0, None) is None
    assert rules.why(2, 1, 0, "EXDEV", "linux") is None


def test_the_tables_of_what_exists_agree_with_each_other() -> None:
    assert len(set(rules.KNOWN)) == len(rules.KNOWN)
    assert {row.family for row in rules.KNOWN} == set(rules.CREATE)
    assert not set(rules.CREATE) & set(rules.NO_SOCKETS)
    assert {*rules.FIRST_NAMESPACE_ONLY, *rules.UNREPORTED} <= set(rules.CREATE)
    sources = {rule.source for rule in rules.RULES}
    for family, (source, _) in rules.CREATE.items():
        assert source in sources, family


def test_a_known_combination_is_never_called_impossible() -> None:
    """Rows that speak of the numbers alone must not fit a combination that Linux has."""
    for row in rules.KNOWN:
        type = rules.DGRAM if row.type == rules.ANY else row.type
        proto = 1 if row.proto == rules.ANY else row.proto
        for name in ("EPROTOTYPE", "EINVAL"):
            found = rules.why(row.family, type, proto, name, "linux")
            if name == "EINVAL" and (
                (row.family, row.proto) == (rules.BLUETOOTH, 8) or (row.family in (2, 10) and row.proto > 255)
            ):
                continue  # ISO sockets came with Linux 6.0, MPTCP and its number with 5.6
            assert found is None or found.source == "the family's create", (row, found)


@linux_only
def test_a_combination_that_this_kernel_makes_is_known() -> None:
    for family, type, proto in combinations():
        if proto == 0 or type > rules.TYPE_MASK or (family, type) == (rules.INET, rules.PACKET_TYPE):
            continue
        with contextlib.suppress(OSError):
            socket.socket(family, type, proto).close()
            assert rules.known(family, type, proto), (family, type, proto)


# ---- what the kernel made of it


def identity(sock: socket.socket) -> tuple[int, int, int]:
    return (
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN),
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE),
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL),
    )


@linux_only
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((2, 1, 0), [("proto", "inet_create takes the first protocol registered for SOCK_STREAM: TCP")]),
        ((2, 2, 0), [("proto", "inet_create takes the first protocol registered for SOCK_DGRAM: UDP")]),
        ((10, 1, 0), [("proto", "inet6_create takes the first protocol registered for SOCK_STREAM: TCP")]),
        ((2, 1, 6), []),
        ((1, 1, 0), []),
        ((1, 3, 0), [("type", "SOCK_DGRAM of SOCK_RAW")]),
        ((1, 1, 1), [("proto", "PF_UNIX")]),
        ((40, 1, 40), [("proto", "PF_VSOCK")]),
        ((2, 10, 0), [("family", "AF_PACKET")]),
        ((2, 10, 3), [("family", "AF_PACKET"), ("proto", "Ethertype")]),
        ((17, 3, 8), [("proto", "Ethertype")]),
        (
            (1, 3 | rules.NONBLOCK | rules.CLOEXEC, 0),
            [("type", "O_NONBLOCK"), ("type", "FD_CLOEXEC"), ("type", "SOCK_RAW")],
        ),
    ],
)
def test_rewrites_by_this_kernel(asked: tuple[int, int, int], expected: list[tuple[str, str]]) -> None:
    try:
        with socket.socket(*asked) as sock:
            got = identity(sock)
    except OSError as error:
        pytest.skip(f"CANNOT: this kernel refuses {asked}: {error}")
    found = rules.rewrites(asked, got)
    assert [field for field, _ in found] == [field for field, _ in expected]
    for (_, text), (_, part) in zip(found, expected, strict=True):
        assert part in text


@pytest.mark.parametrize(
    ("asked", "got", "field", "part"),
    [
        ((2, 1, 0), (2, 1, 262), "proto", "MPTCP"),
        ((35, 2, 0), (35, 2, 1), "proto", "PN_PROTO_PHONET"),
        ((24, 3, 0), (24, 1, 0), "type", "AF_PPPOX"),
        ((29, 2, 2), (29, 2, 0), "proto", "CAN_BCM"),
        ((2, 1, 6), (2, 1, 99), "proto", "asked for IPPROTO_TCP"),
        ((2, 1, 0), (99, 1, 0), "family", "asked for AF_INET"),
    ],
)
def test_rewrites_by_other_kernels(
    asked: tuple[int, int, int], got: tuple[int, int, int], field: str, part: str
) -> None:
    ((found, text),) = rules.rewrites(asked, got)
    assert found == field
    assert part in text


def test_what_the_system_does_not_tell_is_no_difference() -> None:
    assert rules.rewrites((2, 1, 0), (None, 1, None)) == []


# ---- operations

Make = Callable[..., socket.socket]
LOOPBACK = "127.0.0.1"


@pytest.fixture
def make() -> Iterator[Make]:
    """Sockets that are closed at the end."""
    with contextlib.ExitStack() as stack:

        def new(*parameters: Any) -> socket.socket:
            try:
                sock = stack.enter_context(socket.socket(*parameters))
            except OSError as error:
                pytest.skip(f"CANNOT: no socket {parameters} here: {error}")
            return sock

        yield new


def refusal(call: Callable[[], object]) -> str:
    """The name of the errno that a call gives."""
    with pytest.raises(OSError) as caught:  # which one is the question
        call()
    name = errno_name(caught.value.errno)
    assert name is not None, caught.value
    return rules.canonical(name)


def explained(operation: str, call: Callable[[], object], expected: str, **facts: Any) -> rules.Meaning:
    """The meaning of a call's refusal, whose errno is that expected on Linux."""
    name = refusal(call)
    if LINUX:
        assert name == expected
    found = rules.meaning(operation, name, **facts)
    assert found is not None, (operation, name, facts)
    return found


def bound(make: Make, type: int = socket.SOCK_STREAM) -> tuple[socket.socket, int]:
    sock = make(socket.AF_INET, type)
    sock.bind((LOOPBACK, 0))
    return sock, sock.getsockname()[1]


def test_connect_to_a_port_without_listener(make: Make) -> None:
    _, port = bound(make)
    facts = {"family": socket.AF_INET, "type": socket.SOCK_STREAM, "address": LOOPBACK, "port": port}
    found = explained("connect", lambda: make().connect((LOOPBACK, port)), "ECONNREFUSED", **facts)
    assert "nobody listens on that port" in found.text
    assert f"`sockkit serve 127.0.0.1 {port}`" in (found.hint or "")


def test_the_default_port_is_answered_with_the_command_to_type() -> None:
    for address in (LOOPBACK, f"{LOOPBACK}:65432"):
        found = rules.meaning(
            f"connect to {LOOPBACK}:65432", "ECONNREFUSED", family=2, type=1, address=address, port=65432
        )
        assert found == (
            "this host answered, but nobody listens on port 65432",
            "start `sockkit serve` in another terminal",
        )
    elsewhere = rules.meaning("connect", "ECONNREFUSED", family=2, type=1, address="192.0.2.7", port=65432)
    assert elsewhere is not None
    assert "on that host" in (elsewhere.hint or "")


@linux_only
def test_connect_to_port_0(make: Make) -> None:
    facts = {"family": socket.AF_INET, "address": LOOPBACK, "port": 0}
    assert "port 0" in explained("connect", lambda: make().connect((LOOPBACK, 0)), "ECONNREFUSED", **facts).text


def test_connect_twice(make: Make) -> None:
    listener, port = bound(make)
    listener.listen()
    caller = make()
    caller.connect((LOOPBACK, port))
    explained("connect", lambda: caller.connect((LOOPBACK, port)), "EISCONN", family=socket.AF_INET)


@linux_only
def test_connect_to_broadcast_by_tcp(make: Make) -> None:
    facts = {"family": 2, "type": 1, "address": "255.255.255.255", "port": 9}
    found = explained("connect", lambda: make().connect(("255.255.255.255", 9)), "ENETUNREACH", **facts)
    assert "`ip route get 255.255.255.255`" in (found.hint or "")


@linux_only
@pytest.mark.parametrize("operation", ["connect", "sendto"])
def test_broadcast_without_leave(make: Make, operation: str) -> None:
    sock = make(socket.AF_INET, socket.SOCK_DGRAM)
    target = ("127.255.255.255", 9)  # the loopback has one of its own: no network is needed
    call = (lambda: sock.connect(target)) if operation == "connect" else (lambda: sock.sendto(b"x", target))
    found = explained(operation, call, "EACCES", family=2, type=2, address=target[0], port=9)
    assert "SO_BROADCAST=1" in (found.hint or "")


@pytest.mark.parametrize("operation", ["connect", "bind"])
def test_link_local_without_interface(make: Make, operation: str) -> None:
    sock = make(socket.AF_INET6, socket.SOCK_STREAM)
    call = getattr(sock, operation)
    facts = {"family": socket.AF_INET6, "type": 1, "address": "[fe80::1]:40009", "port": 40009}
    if not LINUX:
        pytest.skip("CANNOT: other systems answer differently")
    found = explained(operation, lambda: call(("fe80::1", 40009)), "EINVAL", **facts)
    assert "link-local" in found.text
    assert "fe80::1%eth0" in (found.hint or "")


def test_bind_a_port_that_is_taken(make: Make) -> None:
    _, port = bound(make)
    facts = {"family": socket.AF_INET, "type": socket.SOCK_STREAM, "address": LOOPBACK, "port": port}
    found = explained("bind", lambda: make().bind((LOOPBACK, port)), "EADDRINUSE", **facts)
    assert str(port) in found.text
    assert "--set SO_REUSEADDR=1" in (found.hint or "")
    datagram = rules.meaning("bind", "EADDRINUSE", family=2, type=2, address=LOOPBACK, port=port)
    assert datagram is not None
    assert "TIME_WAIT" not in datagram.text


def test_bind_an_address_of_somebody_else(make: Make) -> None:
    facts = {"family": socket.AF_INET, "address": "192.0.2.1", "port": 0}
    found = explained("bind", lambda: make().bind(("192.0.2.1", 0)), "EADDRNOTAVAIL", **facts)
    assert "192.0.2.1 is not an address of this host" in found.text


def test_bind_twice(make: Make) -> None:
    sock, _ = bound(make)
    explained("bind", lambda: sock.bind((LOOPBACK, 0)), "EINVAL", family=socket.AF_INET, address=LOOPBACK, port=0)


@linux_only
def test_a_low_port_as_nobody() -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
        pytest.skip("CANNOT: every port is free for everybody here")
    name = as_nobody(BIND_PORT_1).strip()
    found = rules.meaning("bind", name, family=2, type=1, address=LOOPBACK, port=1)
    assert found is not None
    assert "port 1 is below 1024" in found.text
    assert "CAP_NET_BIND_SERVICE" in (found.hint or "")


def test_listen_and_accept_on_datagrams(make: Make) -> None:
    sock = make(socket.AF_INET, socket.SOCK_DGRAM)
    listen = explained("listen", sock.listen, "EOPNOTSUPP", family=2, type=2)
    assert "`sockkit serve -u`" in (listen.hint or "")
    explained("accept", sock.accept, "EOPNOTSUPP", family=2, type=2)


def test_calls_in_the_wrong_order(make: Make) -> None:
    explained("accept", make().accept, "EINVAL", family=2, type=1)
    explained("recv", lambda: make().recv(1), "ENOTCONN", family=2, type=1)
    explained("shutdown", lambda: make().shutdown(socket.SHUT_WR), "ENOTCONN", family=2, type=1)
    explained("getpeername", make().getpeername, "ENOTCONN", family=2, type=1)
    datagram = make(socket.AF_INET, socket.SOCK_DGRAM)
    explained("send", lambda: datagram.send(b"x"), "EDESTADDRREQ", family=2, type=2)
    if LINUX:
        explained("send", lambda: make().send(b"x"), "EPIPE", family=2, type=1)


def test_nothing_to_receive_yet(make: Make) -> None:
    sock = make(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    explained("recv", lambda: sock.recv(1), "EAGAIN", family=2, type=2)


def test_a_datagram_that_is_too_long(make: Make) -> None:
    sock = make(socket.AF_INET, socket.SOCK_DGRAM)
    found = explained("send", lambda: sock.sendto(bytes(70_000), (LOOPBACK, 9)), "EMSGSIZE", family=2, type=2)
    assert "65507" in found.text


def test_the_answer_to_a_datagram_comes_with_the_next_call(make: Make) -> None:
    gone, port = bound(make, socket.SOCK_DGRAM)
    gone.close()
    sock = make(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((LOOPBACK, port))
    sock.settimeout(10)
    sock.send(b"x")
    facts = {"family": 2, "type": 2, "address": LOOPBACK, "port": port}
    found = explained("recv", lambda: sock.recv(1), "ECONNREFUSED", **facts)
    assert "earlier datagram" in found.text
    assert f"`sockkit serve -u 127.0.0.1 {port}`" in (found.hint or "")


def test_a_peer_that_resets(make: Make) -> None:
    listener, port = bound(make)
    listener.listen()
    caller = make()
    caller.connect((LOOPBACK, port))
    taken, _ = listener.accept()
    linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger if os.name != "nt" else b"\1\0\0\0")
    taken.close()
    found = explained("recv", lambda: caller.recv(1), "ECONNRESET", family=2, type=1)
    assert "RST" in found.text


def test_options(make: Make) -> None:
    sock = make()
    explained("setsockopt", lambda: sock.setsockopt(socket.SOL_SOCKET, 9999, 1), "ENOPROTOOPT", family=2)
    if not LINUX:
        return
    explained("setsockopt", lambda: sock.setsockopt(777, 1, 1), "ENOPROTOOPT", family=2)
    explained("getsockopt", lambda: sock.getsockopt(777, 1), "EOPNOTSUPP", family=2)
    explained("setsockopt", lambda: sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 300), "EINVAL", family=2)
    explained("setsockopt", lambda: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"none!"), "ENOENT")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="CANNOT: no Unix sockets")
def test_unix_paths(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the whole path may be longer than an address takes
    unix = socket.AF_UNIX
    stream, datagram = (unix, socket.SOCK_STREAM), (unix, socket.SOCK_DGRAM)
    server = make(*stream)
    server.bind("path")
    facts: dict[str, Any] = {"family": unix, "type": socket.SOCK_STREAM, "address": "path"}

    found = explained("connect", lambda: make(*stream).connect("path"), "ECONNREFUSED", **facts)
    assert "stale" in found.text
    assert "`sockkit serve -U path --replace`" in (found.hint or "")
    found = explained("bind", lambda: make(*stream).bind("path"), "EADDRINUSE", **facts)
    assert "--replace" in (found.hint or "")

    missing = {**facts, "address": "no such"}
    found = explained("connect", lambda: make(*stream).connect("no such"), "ENOENT", **missing)
    assert "`sockkit serve -U 'no such'`" in (found.hint or "")
    explained("bind", lambda: make(*stream).bind("none/path"), "ENOENT", **{**facts, "address": "none/path"})
    (tmp_path / "file").touch()
    explained("connect", lambda: make(*stream).connect("file/x"), "ENOTDIR", **{**facts, "address": "file/x"})

    server.listen()
    other = {**facts, "type": socket.SOCK_DGRAM}
    found = explained("connect", lambda: make(*datagram).connect("path"), "EPROTOTYPE", **other)
    assert "SOCK_DGRAM" in found.text
    explained("send", lambda: make(*datagram).send(b"x"), "ENOTCONN", **other)
    explained("listen", make(*datagram).listen, "EOPNOTSUPP", **other)
    if LINUX:
        explained("listen", make(*stream).listen, "EINVAL", **facts)
        explained("recv", lambda: make(*stream).recv(1), "EINVAL", **facts)
        explained("send", lambda: make(*stream).sendto(b"x", "path"), "EOPNOTSUPP", **facts)
        abstract = {**facts, "address": "@sockkit-nobody"}
        found = explained("connect", lambda: make(*stream).connect("\0sockkit-nobody"), "ECONNREFUSED", **abstract)
        assert "@sockkit-nobody" in found.text
        taken = make(*datagram)
        taken.bind("d")
        explained("send", lambda: make(*datagram).sendto(bytes(10**7), "d"), "EMSGSIZE", **other)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="CANNOT: no Unix sockets")
def test_a_peer_that_is_gone() -> None:
    left, right = socket.socketpair()
    with left:
        right.close()
        found = explained("sendall", lambda: left.send(b"x"), "EPIPE", family=left.family, type=1)
    assert "the peer has closed" in found.text


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="CANNOT: no Unix sockets")
@pytest.mark.parametrize("operation", ["bind", "connect"])
def test_a_unix_path_that_python_refuses_without_an_errno(make: Make, operation: str) -> None:
    path = "x" * 108
    sock = make(socket.AF_UNIX, socket.SOCK_STREAM)
    with pytest.raises(OSError, match="too long") as caught:
        getattr(sock, operation)(path)
    assert caught.value.errno is None
    found = rules.meaning(operation, None, family=socket.AF_UNIX, address=path)
    assert found is not None
    assert "108" in found.text
    assert rules.meaning(operation, None, family=socket.AF_UNIX, address="short") is None


@linux_only
def test_vsock(make: Make) -> None:
    vsock = (socket.AF_VSOCK, socket.SOCK_STREAM)
    facts = {"family": socket.AF_VSOCK, "type": 1, "address": "77:1234"}
    found = explained("bind", lambda: make(*vsock).bind((77, 1234)), "EADDRNOTAVAIL", **facts)
    assert found.text.startswith("77 is not the context ID")
    explained("listen", make(*vsock).listen, "EINVAL", **facts)
    for name in ("ENODEV", "ETIMEDOUT", "ECONNRESET"):
        answer = rules.meaning("connect", name, family=socket.AF_VSOCK, type=1, address="77:1234")
        assert answer is not None
        assert "77" in answer.text or "1234" in answer.text


@pytest.mark.skipif(os.name == "nt", reason="CANNOT: descriptors are not sockets on Windows")
def test_descriptors_that_cannot_be_adopted() -> None:
    reading, writing = os.pipe()
    try:
        found = explained("open", lambda: socket.socket(fileno=reading), "ENOTSOCK")
        assert "pipe" in found.text
    finally:
        os.close(reading)
        os.close(writing)
    explained("socket", lambda: socket.socket(fileno=reading), "EBADF")


@pytest.mark.parametrize(
    ("operation", "name", "part"),
    [
        ("connect", "ETIMEDOUT", "nobody answered"),
        ("connect", "EHOSTUNREACH", "no such host"),
        ("connect", "WSAECONNREFUSED", "nobody listens"),
        ("connect", "EADDRNOTAVAIL", "ephemeral"),
        ("connect", "EADDRINUSE", "source port"),
        ("bind", "EAFNOSUPPORT", "another family"),
        ("send", "ENOBUFS", "memory"),
        ("recv", "ETIMEDOUT", "stopped answering"),
        ("accept", "EMFILE", "queue"),
        ("setsockopt", "EPERM", "CAP_NET_ADMIN"),
        ("listen", "ENOTSUP", "connections"),
        ("whatever", "EINTR", "signal"),
    ],
)
def test_meanings_that_are_hard_to_provoke(operation: str, name: str, part: str) -> None:
    found = rules.meaning(operation, name, family=2, type=1, address="192.0.2.1", port=80)
    assert found is not None
    assert part in found.text


def test_without_facts_there_is_still_a_meaning() -> None:
    found = rules.meaning("connect to somewhere", "ECONNREFUSED")
    assert found is not None
    assert "{" not in found.text
    assert rules.meaning("connect", None) is None
    assert rules.meaning("connect", "EXDEV") is None


@pytest.mark.parametrize("type", [None, 1, 2, 5])
@pytest.mark.parametrize("port", [None, 0, 80, 65432])
@pytest.mark.parametrize("address", [None, "127.0.0.1", "fe80::1", "/tmp/{x}", "@name", "1:5"])
@pytest.mark.parametrize("family", [None, 1, 2, int(socket.AF_INET6), 16, 17, 29, 40])
def test_every_case_says_something_whole(
    family: int | None, address: str | None, port: int | None, type: int | None
) -> None:
    for case in rules.CASES:
        for operation, name in itertools.product(case.operations.split(), case.errnos.split()):
            found = rules.meaning(operation, name, family=family, type=type, address=address, port=port)
            if found is None:
                continue
            for text in filter(None, found):
                assert not text.endswith(".")
                assert "None" not in text
                assert "\n" not in text


def test_cases_are_well_formed() -> None:
    fields = {"address", "port", "target", "type"}
    for case in rules.CASES:
        for template in filter(None, (case.text, case.hint)):
            assert {name for _, name, _, _ in string.Formatter().parse(template) if name} <= fields
            for command in template.split("`sockkit ")[1:]:
                assert command.split()[0].strip("`") in {"probe", "inspect", "serve", "connect"}
        if LINUX:
            for name in case.errnos.split():
                assert hasattr(errno, name), name


def test_no_case_hides_behind_an_earlier_one() -> None:
    general: set[tuple[str, str]] = set()
    for case in rules.CASES:
        pairs = set(itertools.product(case.operations.split(), case.errnos.split()))
        assert pairs - general, case
        if case.when is rules._any:
            general |= pairs


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        ((2, 1, 0), None),
        ((2, 1, 6), None),
        ((2, 2, 6), "EPROTOTYPE"),
        ((2, 1, 17), "EPROTOTYPE"),
        ((2, 1, 1), "EPROTOTYPE"),
        ((2, 5, 0), "EPROTONOSUPPORT"),
        ((2, 1, 132), "EPROTONOSUPPORT"),
        ((2, 3, 0), None),
        ((2, 3, 99), None),
        ((30 if sys.platform == "darwin" else rules.INET6, 2, 58), None),
        ((1, 5, 0), "EPROTONOSUPPORT"),
        ((1, 1, 6), "EPROTONOSUPPORT"),
    ],
)
def test_what_macos_would_answer(ask: tuple[int, int, int], answer: str | None) -> None:
    """By the table; and where this is macOS, by macOS."""
    if sys.platform == "darwin":
        try:
            socket.socket(*ask).close()
            found = None
        except OSError as error:
            found = errno_name(error.errno)
        assert found == answer or found == "EPERM"
    else:
        assert rules.xnu(*ask) == answer


def test_rules_has_no_socket_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", never)
    assert rules.why(2, 2, 6, "EPROTONOSUPPORT")
    assert rules.meaning("connect", "ECONNREFUSED", family=2)


def test_every_sockkit_command_in_the_hints_is_one() -> None:
    import re
    import shlex
    from pathlib import Path

    from sockkit.cli import sockkit

    source = Path(rules.__file__).read_text()
    commands = set(re.findall(r"`sockkit ([^`]+)`", source))
    assert len(commands) > 3
    for command in commands:
        text = command.replace("{target}", "127.0.0.1 80").replace("{port}", "80").partition(" 3<>")[0]
        verb, *words = shlex.split(text)
        found = sockkit.get_command(None, verb)  # type: ignore[arg-type]
        assert found is not None, command
        found.make_context(verb, words)
