"""The table of socket options, held against the kernel under our feet."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockkit import optvals, sockopts, syscalls
from sockkit.errors import UsageError
from sockkit.optvals import Kind
from sockkit.sockopts import OPTIONS, Moment, SockOption, applicable, find, parse_setting

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="CANNOT: measured on Linux")

ROOT = Path(__file__).resolve().parent.parent


# ---- real sockets

MAIN = {
    "tcp4": ("AF_INET", "SOCK_STREAM", 0),
    "udp4": ("AF_INET", "SOCK_DGRAM", 0),
    "tcp6": ("AF_INET6", "SOCK_STREAM", 0),
    "udp6": ("AF_INET6", "SOCK_DGRAM", 0),
    "unix stream": ("AF_UNIX", "SOCK_STREAM", 0),
    "unix dgram": ("AF_UNIX", "SOCK_DGRAM", 0),
}
MORE = {
    "unix seqpacket": ("AF_UNIX", "SOCK_SEQPACKET", 0),
    "udplite4": ("AF_INET", "SOCK_DGRAM", 136),
    "udplite6": ("AF_INET6", "SOCK_DGRAM", 136),
    "mptcp4": ("AF_INET", "SOCK_STREAM", 262),
    "mptcp6": ("AF_INET6", "SOCK_STREAM", 262),
    "raw4": ("AF_INET", "SOCK_RAW", 1),
    "raw6": ("AF_INET6", "SOCK_RAW", 58),
    "igmp": ("AF_INET", "SOCK_RAW", 2),
    "netlink": ("AF_NETLINK", "SOCK_RAW", 0),
    "packet": ("AF_PACKET", "SOCK_RAW", 0),
    "vsock": ("AF_VSOCK", "SOCK_STREAM", 0),
}
KINDS_OF_SOCKET = MAIN | MORE


def make(which: str) -> socket.socket:
    family, type, proto = KINDS_OF_SOCKET[which]
    if not hasattr(socket, family):
        pytest.skip(f"CANNOT: no {family} in Python's socket")
    try:
        sock = socket.socket(getattr(socket, family), getattr(socket, type), proto)
    except OSError as error:
        pytest.skip(f"CANNOT: no {which} socket here: {error}")
    if family == "AF_INET6":
        try:
            sock.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"CANNOT: no IPv6 here: {error}")
        finally:
            sock.close()
        sock = socket.socket(getattr(socket, family), getattr(socket, type), proto)
    return sock


@contextmanager
def connected(which: str) -> Iterator[socket.socket]:
    """A socket with a peer."""
    with ExitStack() as stack:
        sock = stack.enter_context(make(which))
        if sock.family == socket.AF_UNIX:
            one, other = socket.socketpair(sock.family, sock.type)
            stack.enter_context(other)
            yield stack.enter_context(one)
            return
        peer = stack.enter_context(make(which))
        peer.bind(("::1" if sock.family == socket.AF_INET6 else "127.0.0.1", 0))
        if sock.type == socket.SOCK_STREAM:
            peer.listen(7)
        sock.connect(peer.getsockname()[:2])
        yield sock


def as_reported(sock: socket.socket) -> tuple[int, int, int]:
    return tuple(sock.getsockopt(socket.SOL_SOCKET, number) for number in (39, 3, 38))  # type: ignore[return-value]


def read(sock: socket.socket, option: SockOption) -> object:
    return option.decode(syscalls.get_option(syscalls.QUIET, sock, option))


def write(sock: socket.socket, text: str) -> None:
    option, value, _ = parse_setting(text, as_reported(sock))
    syscalls.set_option(syscalls.QUIET, sock, option, value)


def refused_as_declared(option: SockOption, error: OSError, *, setting: bool = False) -> bool:
    """Whether the row says that this may happen. EOPNOTSUPP has two names."""
    name = errno.errorcode[error.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")
    return name in option.refusals or (setting and bool(option.privilege) and name in ("EPERM", "EACCES"))


SAFE_TO_READ = ("SO_ERROR", "SO_PEERPIDFD", "TCP_SAVED_SYN", "PACKET_STATISTICS")
"""Reading these changes something, but nothing that a test would miss."""


def read_or_declared(sock: socket.socket, option: SockOption) -> object:
    """The value, or None if it cannot be read, or the refusal is one that the row declares."""
    if not option.readable or (option.reading and option.name not in SAFE_TO_READ):
        return None
    try:
        return read(sock, option)
    except OSError as error:
        assert refused_as_declared(option, error), f"{option.name}: {error}"
        return None


def check_shown(option: SockOption, value: object) -> None:
    if option.name == "SO_PEERPIDFD" and isinstance(value, int):
        os.close(value)
    assert json.loads(json.dumps(value)) == value
    assert not (isinstance(value, dict) and "bytes" in value), f"{option.name} came in an unknown size: {value}"
    text = option.show(value)
    assert text and text == text.strip() and text.isprintable()


@linux
@pytest.mark.parametrize("which", KINDS_OF_SOCKET)
def test_every_applicable_option_reads(which: str) -> None:
    with make(which) as sock:
        options = applicable(*as_reported(sock))
        assert len(options) > 10
        for option in options:
            value = read_or_declared(sock, option)
            if value is not None:
                check_shown(option, value)


@linux
@pytest.mark.parametrize("which", MAIN)
def test_every_applicable_option_reads_on_a_connected_socket(which: str) -> None:
    with connected(which) as sock:
        for option in applicable(*as_reported(sock)):
            if option.name in ("IP_MTU", "IPV6_MTU"):
                assert isinstance(read(sock, option), int)
                continue
            value = read_or_declared(sock, option)
            if value is not None:
                check_shown(option, value)


@linux
@pytest.mark.parametrize("which", ["tcp4", "udp4", "tcp6", "udp6"])
def test_sysctls_give_fresh_sockets_their_values(which: str) -> None:
    looked = 0
    with make(which) as sock:
        for option in applicable(*as_reported(sock)):
            path = Path("/proc/sys", option.sysctl.replace(".", "/"))
            if not option.sysctl or " " in option.sysctl or not path.exists():
                continue
            value = read_or_declared(sock, option)
            text = path.read_text().strip()
            assert value is None or value == (text if isinstance(value, str) else int(text)), option.name
            looked += 1
    assert looked


CERTAIN = [
    (getattr(socket, family), getattr(socket, type), proto or {1: 6, 2: 17}[getattr(socket, type)])
    if "INET" in family
    else (getattr(socket, family), getattr(socket, type), proto)
    for family, type, proto in KINDS_OF_SOCKET.values()
    if hasattr(socket, family)
]
"""What the sockets above are, as the kernel reports them."""

HARMLESS = {
    "SO_SNDBUF": "8192",
    "SO_RCVBUF": "8192",
    "SO_RCVLOWAT": "2",
    "SO_SNDTIMEO": "2.5",
    "SO_RCVTIMEO": "2.5",
    "SO_LINGER": "on,5",
    "SO_PRIORITY": "5",
    "SO_MARK": "7",
    "SO_BINDTODEVICE": "lo",
    "SO_PEEK_OFF": "3",
    "SO_INCOMING_CPU": "0",
    "SO_BUSY_POLL": "0",
    "SO_MAX_PACING_RATE": "1000000",
    "IP_TTL": "33",
    "IP_TOS": "0x10",
    "IP_MTU_DISCOVER": "do",
    "IP_LOCAL_PORT_RANGE": "40000-41000",
    "IP_MULTICAST_IF": "127.0.0.1",
    "IP_MULTICAST_TTL": "3",
    "IPV6_UNICAST_HOPS": "33",
    "IPV6_TCLASS": "0x10",
    "IPV6_MTU": "1280",
    "IPV6_MTU_DISCOVER": "do",
    "IPV6_MULTICAST_IF": "1",
    "IPV6_MULTICAST_HOPS": "3",
    "TCP_MAXSEG": "1000",
    "TCP_KEEPIDLE": "61",
    "TCP_KEEPINTVL": "7",
    "TCP_KEEPCNT": "4",
    "TCP_SYNCNT": "3",
    "TCP_LINGER2": "11",
    "TCP_DEFER_ACCEPT": "3",
    "TCP_WINDOW_CLAMP": "70000",
    "TCP_CONGESTION": "reno",
    "TCP_USER_TIMEOUT": "5000",
    "TCP_FASTOPEN": "5",
    "TCP_NOTSENT_LOWAT": "4294967295",
    "UDP_SEGMENT": "1000",
    "UDPLITE_SEND_CSCOV": "20",
    "UDPLITE_RECV_CSCOV": "20",
    "SO_VM_SOCKETS_BUFFER_SIZE": "100000",
    "SO_VM_SOCKETS_BUFFER_MIN_SIZE": "1000",
    "SO_VM_SOCKETS_BUFFER_MAX_SIZE": "5000000000",
    "SO_VM_SOCKETS_CONNECT_TIMEOUT": "3",
    "SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW": "3.5",
    "SO_SNDTIMEO_NEW": "2.5",
    "SO_RCVTIMEO_NEW": "2.5",
    "SO_BUF_LOCK": "send+receive",
    "SO_BINDTOIFINDEX": "1",
    "SO_TIMESTAMPING": "rx_software+software",
    "SO_TIMESTAMPING_NEW": "rx_software+software+0x400",
    "SO_TXTIME": "clockid=1,flags=2",
    "SO_RESERVE_MEM": "0",
    "SO_TXREHASH": "0",
    "IP_MINTTL": "255",
    "IP_OPTIONS": "01010100",
    "IP_UNICAST_IF": "1",
    "IPV6_ADDRFORM": "2",
    "IPV6_MINHOPCOUNT": "255",
    "IPV6_CHECKSUM": "2",
    "IPV6_HOPOPTS": "0000010400000000",
    "IPV6_RTHDRDSTOPTS": "0000010400000000",
    "IPV6_DSTOPTS": "0000010400000000",
    "IPV6_RTHDR": "",
    "IPV6_FLOWLABEL_MGR": "dst=::1,action=0,share=1,flags=1",
    "IPV6_ADDR_PREFERENCES": "public",
    "IPV6_UNICAST_IF": "1",
    "IPV6_ROUTER_ALERT": "0",
    "TCP_RTO_MAX_MS": "60000",
    "TCP_RTO_MIN_US": "100000",
    "TCP_DELACK_MAX_US": "100000",
    "TCP_FASTOPEN_KEY": "000102030405060708090a0b0c0d0e0f",
    "TCP_TX_DELAY": "1000",
    "TCP_SAVE_SYN": "1",
    "TCP_ULP": "tls",
    "TCP_REPAIR": "on",
    "TCP_REPAIR_QUEUE": "send",
    "TCP_QUEUE_SEQ": "7",
    "TCP_REPAIR_WINDOW": "snd_wl1=0",
    "TCP_TIMESTAMP": "7",
    "UDP_ENCAP": "espinudp",
    "ICMP_FILTER": "8+11",
    "ICMPV6_FILTER": "128+200",
    "PACKET_COPY_THRESH": "1000",
    "PACKET_VERSION": "tpacket_v3",
    "PACKET_RESERVE": "16",
    "PACKET_TIMESTAMP": "1",
    "PACKET_VNET_HDR_SZ": "12",
    "PACKET_FANOUT": "0x10007",
}
"""A value for each settable option that is no switch."""

GOT = {
    "SO_SNDBUF": 16384,
    "SO_RCVBUF": 16384,
    "IPV6_MTU": None,  # what was set is not what is read
    "IPV6_FLOWLABEL_MGR": None,
    "IPV6_ADDR_PREFERENCES": None,  # the kernel adds what was not said
}
"""What the kernel makes of it, where it is not what was asked."""


@linux
def test_there_is_a_harmless_value_for_every_settable_option() -> None:
    ours = {option.name: option for asked in CERTAIN for option in applicable(*asked)}
    assert HARMLESS.keys() == {
        name
        for name, option in ours.items()
        if option.settable and option.readable and option.kind is not sockopts.BOOL
    }


SEEN = {
    "SO_TIMESTAMPING_NEW": "EINVAL",  # another layout of the same, already chosen
    "SO_TXTIME": "EINVAL EOPNOTSUPP",
    "IPV6_ADDRFORM": "ENOTCONN",
    "IPV6_CHECKSUM": "EINVAL ENOPROTOOPT",
    "IPV6_FLOWLABEL_MGR": "EINVAL ENOENT",
    "IPV6_ROUTER_ALERT": "EINVAL ENOPROTOOPT",
    "IP_TRANSPARENT": "EPERM",
    "MRT_ASSERT": "EACCES",
    "MRT_PIM": "EACCES",
    "PACKET_FANOUT": "EINVAL",
    "PACKET_VNET_HDR_SZ": "EINVAL",
    "SO_LOCK_FILTER": "EPERM EOPNOTSUPP",
    "SO_PREFER_BUSY_POLL": "EPERM",
    "SO_RESERVE_MEM": "EOPNOTSUPP",
    "SO_BUF_LOCK": "EOPNOTSUPP",  # MPTCP
    "TCP_FASTOPEN_CONNECT": "EOPNOTSUPP",
    "TCP_QUEUE_SEQ": "EPERM",
    "TCP_REPAIR_QUEUE": "EPERM",
    "TCP_REPAIR_WINDOW": "EPERM EINVAL",
    "TCP_TIMESTAMP": "EPERM",
    "TCP_ULP": "ENOENT ENOTCONN",
    "TLS_RX_EXPECT_NO_PAD": "ENOPROTOOPT",
    "TLS_TX_ZEROCOPY_RO": "ENOPROTOOPT",
    "UDP_ENCAP": "ENOPROTOOPT",
}
"""Refusals of a fresh socket that its state explains."""


@linux
@pytest.mark.parametrize("which", KINDS_OF_SOCKET)
def test_every_settable_option_sets_and_reads_back(which: str) -> None:
    tried = 0
    with make(which) as probe:
        options = [option for option in applicable(*as_reported(probe)) if option.settable and option.readable]
    for option in options:
        with make(which) as sock:  # a fresh one each: repair mode, for one, is no place for the others
            before = read_or_declared(sock, option)
            text = HARMLESS.get(option.name, "off" if before is True else "on")
            try:
                write(sock, f"{option.name}={text}")
            except OSError as error:
                name = errno.errorcode[error.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")
                if refused_as_declared(option, error, setting=True) or name in SEEN.get(option.name, "").split():
                    continue
                raise AssertionError(f"{option.name}={text}: {error}") from error
            tried += 1
            got = read_or_declared(sock, option)
            _, raw, asked = parse_setting(f"{option.name}={text}")
            expected = GOT.get(option.name, option.decode(raw))
            if isinstance(got, dict) and "seconds" in got and "microseconds" in got:
                assert got["seconds"] == int(text[0])
            elif expected is not None and not option.volatile:
                assert got == expected, option.name
                if option.name not in GOT:
                    assert option.show(got) == asked
    assert tried > 2


@linux
def test_read_only_options_refuse_to_be_set() -> None:
    for which in ("tcp4", "unix stream"):
        with make(which) as sock:
            for option in applicable(*as_reported(sock)):
                if option.moment is Moment.NEVER:
                    assert option.level_number is not None and option.number is not None
                    with pytest.raises(OSError) as caught:
                        sock.setsockopt(option.level_number, option.number, 1)
                    assert caught.value.errno in (errno.ENOPROTOOPT, errno.EINVAL, errno.EPERM), option.name


# ---- what the rows say about moments, and about what the kernel makes of values


def after(which: str, *settings: str) -> dict[str, object]:
    """The values of a fresh socket's options after these settings."""
    with make(which) as sock:
        for setting in settings:
            write(sock, setting)
        return {s.partition("=")[0]: read(sock, find(s.partition("=")[0])) for s in settings}


@linux
@pytest.mark.parametrize(
    ("which", "setting", "got"),
    [
        ("udp4", "SO_RCVLOWAT=0", 1),
        ("udp4", "SO_RCVLOWAT=-1", 2**31 - 1),
        ("tcp4", "IP_TOS=0xff", 0xFC),
        ("udp4", "IP_TOS=0x1ff", 0xFF),
        ("tcp6", "IPV6_TCLASS=0xff", 0xFC),
        ("udp6", "IPV6_TCLASS=-1", 0),
        ("udp4", "IP_MULTICAST_TTL=-1", 1),
        ("udp6", "IPV6_MULTICAST_HOPS=-1", 1),
        ("tcp4", "TCP_LINGER2=300", 120),
        ("tcp4", "TCP_LINGER2=-5", -1),
        ("tcp4", "TCP_DEFER_ACCEPT=2", 3),
        ("tcp4", "TCP_DEFER_ACCEPT=64", 127),
        ("udplite4", "UDPLITE_SEND_CSCOV=1", 8),
        ("udplite4", "UDPLITE_RECV_CSCOV=-1", 8),
        ("udplite4", "UDPLITE_SEND_CSCOV=70000", 65535),
        ("vsock", "SO_VM_SOCKETS_BUFFER_SIZE=1", 128),
        ("vsock", "SO_VM_SOCKETS_BUFFER_SIZE=1000000", 262144),
        ("udp4", "SO_MAX_PACING_RATE=unlimited", "unlimited"),
    ],
)
def test_what_the_kernel_makes_of_a_value(which: str, setting: str, got: object) -> None:
    assert list(after(which, setting).values()) == [got]


@linux
@pytest.mark.parametrize(
    ("which", "setting"),
    [
        ("tcp4", "TCP_KEEPIDLE=0"),
        ("tcp4", "TCP_KEEPIDLE=32768"),
        ("tcp4", "TCP_KEEPINTVL=32768"),
        ("tcp4", "TCP_KEEPCNT=128"),
        ("tcp4", "TCP_SYNCNT=128"),
        ("tcp4", "TCP_MAXSEG=32768"),
        ("tcp4", "IP_TTL=0"),
        ("tcp4", "IP_TTL=256"),
        ("udp4", "UDP_SEGMENT=65536"),
        ("udp4", "IP_MTU_DISCOVER=6"),
        ("udp4", "IP_MULTICAST_TTL=256"),
        ("udp6", "IPV6_UNICAST_HOPS=256"),
        ("udp6", "IPV6_TCLASS=256"),
        ("udp6", "IPV6_MTU=1279"),
    ],
)
def test_bounds_are_the_kernels(which: str, setting: str) -> None:
    """We let the value through; the kernel says no."""
    with make(which) as sock, pytest.raises(OSError) as caught:
        write(sock, setting)
    assert caught.value.errno == errno.EINVAL


@linux
@pytest.mark.parametrize(("option", "smallest"), [("SO_SNDBUF", 4608), ("SO_RCVBUF", 2304)])
def test_smallest_buffers(option: str, smallest: int) -> None:
    got = after("udp4", f"{option}=1")[option]
    assert isinstance(got, int) and got > 2
    if sys.maxsize > 2**32 and os.uname().machine in ("x86_64", "aarch64"):
        assert got == smallest
    assert f"at least {smallest}" in find(option).kernel


@linux
def test_timeouts_are_rounded_up_to_a_tick() -> None:
    got = after("udp4", "SO_RCVTIMEO=1.000001")["SO_RCVTIMEO"]
    assert isinstance(got, dict)
    assert got["seconds"] == 1 and 1 <= got["microseconds"] <= 10_000


@linux
def test_tos_sets_priority() -> None:
    with make("tcp4") as sock:
        write(sock, "IP_TOS=0x10")
        assert read(sock, find("SO_PRIORITY")) == 6


@linux
@pytest.mark.parametrize("which", ["tcp6", "udp6"])
def test_v6only_has_its_moment(which: str) -> None:
    assert find("IPV6_V6ONLY").moment is Moment.BEFORE_BIND
    with make(which) as sock:
        write(sock, "IPV6_V6ONLY=on")
        sock.bind(("::1", 0))
        with pytest.raises(OSError) as caught:
            write(sock, "IPV6_V6ONLY=on")
        assert caught.value.errno == errno.EINVAL


@linux
def test_maxseg_and_fastopen_have_their_moment() -> None:
    assert find("TCP_MAXSEG").moment is find("TCP_FASTOPEN").moment is Moment.BEFORE_CONNECT
    with connected("tcp4") as sock:
        own = read(sock, find("TCP_MAXSEG"))
        write(sock, "TCP_MAXSEG=1000")
        assert read(sock, find("TCP_MAXSEG")) == own != 1000
        with pytest.raises(OSError) as caught:
            write(sock, "TCP_FASTOPEN=5")
        assert caught.value.errno == errno.EINVAL


@linux
@pytest.mark.parametrize("which", MAIN)
def test_what_may_be_set_any_time_may_be_set_when_connected(which: str) -> None:
    with connected(which) as sock:
        for option in applicable(*as_reported(sock)):
            if option.settable and option.readable and option.moment is Moment.ANY:
                try:
                    write(sock, f"{option.name}={HARMLESS.get(option.name, 'on')}")
                except OSError as error:
                    name = errno.errorcode[error.errno or 0].replace("ENOTSUP", "EOPNOTSUPP")
                    seen = name in SEEN.get(option.name, "").split()
                    assert seen or refused_as_declared(option, error, setting=True), (option.name, error)


# ---- structures


@linux
def test_tcp_info_of_a_connection_and_of_a_listener() -> None:
    info = find("TCP_INFO")
    with make("tcp4") as fresh:
        value = read(fresh, info)
        assert isinstance(value, dict) and value["state"] == "CLOSE"
    with connected("tcp4") as sock:
        value = read(sock, info)
        assert isinstance(value, dict)
        assert value["state"] == "ESTABLISHED" and value["ca_state"] == "Open"
        assert value["pmtu"] == read(sock, find("IP_MTU"))
        assert value["advmss"] > 500 and value["rtt"] > 0
        assert "unacked" in value and "accept_queue" not in value
        shown = info.show(value)
        assert shown.startswith("state ESTABLISHED, ca_state Open, ")
        assert f"rtt {value['rtt']} us" in shown
    with make("tcp4") as listener, make("tcp4") as caller:
        listener.bind(("127.0.0.1", 0))
        listener.listen(7)
        caller.connect(listener.getsockname())
        value = read(listener, info)
        assert isinstance(value, dict)
        assert (value["state"], value["accept_queue"], value["backlog"]) == ("LISTEN", 1, 7)
        assert "unacked" not in value and "sacked" not in value


@linux
def test_tcp_info_counts_what_was_sent() -> None:
    with connected("tcp4") as sock:
        sock.sendall(b"x" * 1000)
        value = read(sock, find("TCP_INFO"))
        assert isinstance(value, dict)
        if "bytes_sent" in value:
            assert value["bytes_sent"] == 1000
            assert value["snd_wnd"] > 1000
        assert value["options"].split() == sorted(value["options"].split(), key=value["options"].index)
        assert ("wscale" in value["options"]) == bool(value["snd_wscale"] or value["rcv_wscale"])


def test_tcp_info_of_older_kernels_is_shorter() -> None:
    raw = bytes([1, 0, 0, 0, 0, 7, 0x73 if sys.byteorder == "little" else 0x37, 0]) + bytes(96)
    info = optvals.TCP_INFO.decode(raw)
    assert isinstance(info, dict)
    assert list(info)[-1] == "total_retrans"
    assert info["options"] == "timestamps sack wscale"
    assert (info["snd_wscale"], info["rcv_wscale"]) == (3, 7)
    assert optvals.TCP_INFO.size == 280


@linux
def test_meminfo_agrees_with_the_buffers() -> None:
    with make("udp4") as sock:
        value = read(sock, find("SO_MEMINFO"))
        assert isinstance(value, dict)
        assert value["rcvbuf"] == read(sock, find("SO_RCVBUF"))
        assert value["sndbuf"] == read(sock, find("SO_SNDBUF"))
        assert value["drops"] == 0


@linux
def test_peer_of_a_socketpair_is_ourselves() -> None:
    option = find("SO_PEERCRED")
    with connected("unix stream") as sock:
        value = read(sock, option)
        assert value == {"pid": os.getpid(), "uid": os.getuid(), "gid": os.getgid()}
        assert option.show(value) == f"pid {os.getpid()} uid {os.getuid()} gid {os.getgid()}"
    with make("unix stream") as sock:
        assert option.show(read(sock, option)) == "none"


@linux
def test_reading_changes() -> None:
    """Reading SO_ERROR clears it."""
    assert {option.name for option in OPTIONS if option.reading_changes} == {
        "SO_ERROR",
        "SO_PEERPIDFD",
        "TCP_SAVED_SYN",
        "TCP_ZEROCOPY_RECEIVE",
        "PACKET_STATISTICS",
        "SCTP_GET_ASSOC_STATS",
        "SCTP_SOCKOPT_PEELOFF",
        "SCTP_SOCKOPT_PEELOFF_FLAGS",
        "SCTP_SOCKOPT_CONNECTX3",
    }
    assert all(not option.looked_at for option in OPTIONS if option.reading)
    with make("udp4") as sock, make("udp4") as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
        gone.close()
        sock.connect(address)
        sock.send(b"anybody?")
        sock.setblocking(False)
        option = find("SO_ERROR")
        value = read(sock, option)
        assert value == errno.ECONNREFUSED
        assert option.show(value) == f"Connection refused [ECONNREFUSED {errno.ECONNREFUSED}]"
        assert option.show(read(sock, option)) == "none"


# ---- the table itself


def test_rows_are_unique_and_whole() -> None:
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    numbers = [(option.level_number, option.number) for option in OPTIONS if option.number is not None]
    assert len(set(numbers)) == len(numbers)
    for option in OPTIONS:
        assert option.meaning and option.source and option.kind.name, option.name
        assert option.unit in {"", "bytes", "bytes per second", "minutes", *optvals.SHORT_UNITS}
        for text in (option.meaning, option.kernel, option.privilege):
            assert not text.endswith(".") and text == text.strip()
        assert all(hasattr(errno, name) for name in option.refusals) or sys.platform == "win32"
        assert option.privilege == "" or option.privilege.startswith("CAP_")
        assert (option.moment is Moment.NEVER) <= (not option.settable), option.name
        assert option.kind.syntax or not option.settable
        assert option.readable or option.settable or option.kind is optvals.POINTER or not option.applies
        assert option.name in option.about and option.level in option.about and len(option.about) < 230
        layout = option.kind.layout
        if layout and option.kind.size and option.kind is not optvals.CC_INFO:
            assert optvals.size_of(layout) == option.kind.size, option.name


@linux
def test_every_row_is_for_some_socket() -> None:
    """Or says that there is nothing behind it."""
    for option in OPTIONS:
        if not option.applies:
            assert "nothing" in option.meaning or "control message" in option.meaning, option.name
            continue
        some = option.applies[0]
        family, type, proto = (next(iter(axis or {1})) for axis in some[:3])
        assert option in applicable(family, type, proto), option.name


def names(*asked: int) -> set[str]:
    return {option.name for option in applicable(*asked)}


@linux
def test_applicable_takes_what_the_kernel_reports() -> None:
    tcp, udp, unix = names(2, 1, 6), names(2, 2, 17), names(1, 1, 0)
    assert "TCP_NODELAY" in tcp and "TCP_NODELAY" not in udp | unix
    assert "UDP_CORK" in udp and "UDP_CORK" not in tcp | unix
    assert "SO_PEERCRED" in unix and "SO_PEERCRED" not in tcp | udp
    assert "IP_TTL" in tcp & udp & names(10, 1, 6) and "IP_TTL" not in unix | names(10, 3, 58)
    assert "IPV6_V6ONLY" in names(10, 2, 17) and "IPV6_V6ONLY" not in tcp
    assert "SO_RCVBUF" in tcp & udp & unix & names(16, 3, 0) & names(9999, 1, 0)
    assert {"SO_RCVTIMEO", "SO_MEMINFO", "SO_VM_SOCKETS_BUFFER_SIZE"} <= names(40, 1, 0)
    assert "SCTP_STATUS" in names(2, 5, 132) - tcp and "TIPC_IMPORTANCE" in names(30, 2, 0)
    assert "CAN_RAW_FILTER" in names(29, 3, 1) and "SO_J1939_PROMISC" in names(29, 2, 7) - names(29, 3, 1)
    assert "UDPLITE_SEND_CSCOV" in names(2, 2, 136) - udp


def test_numbers_are_pythons() -> None:
    for option in OPTIONS:
        exported = getattr(socket, option.name, None)
        if exported is not None and option.number is not None:
            assert option.number == exported
    for option in OPTIONS:
        if option.number is not None and hasattr(socket, option.level):
            assert option.level_number == getattr(socket, option.level)


HEADERS = [
    "stdint.h",
    "netinet/in.h",
    "linux/types.h",
    "asm/socket.h",
    "linux/in.h",
    "linux/in6.h",
    "linux/tcp.h",
    "linux/udp.h",
    "linux/mptcp.h",
    "linux/tls.h",
    "linux/sctp.h",
    "linux/dccp.h",
    "linux/icmp.h",
    "linux/icmpv6.h",
    "linux/if_packet.h",
    "linux/netlink.h",
    "linux/vm_sockets.h",
    "linux/can/raw.h",
    "linux/can/isotp.h",
    "linux/can/j1939.h",
    "linux/tipc.h",
    "linux/if_alg.h",
    "linux/smc.h",
    "linux/if_xdp.h",
    "linux/rxrpc.h",
    "linux/rds.h",
    "linux/kcm.h",
    "linux/if_pppol2tp.h",
    "linux/llc.h",
    "linux/mctp.h",
    "linux/phonet.h",
    "linux/ax25.h",
    "linux/netrom.h",
    "linux/rose.h",
    "linux/x25.h",
    "linux/caif/caif_socket.h",
    "linux/nfc.h",
    "linux/mroute.h",
    "linux/mroute6.h",
    "linux/netfilter_ipv4.h",
    "linux/netfilter_ipv6/ip6_tables.h",
]
ALIASES = {"SO_VM_SOCKETS_CONNECT_TIMEOUT": "SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD", "SO_TIMESTAMP": "SO_TIMESTAMP_OLD"} | {
    name: f"{name}_OLD" for name in ("SO_RCVTIMEO", "SO_SNDTIMEO", "SO_TIMESTAMPNS", "SO_TIMESTAMPING")
}
"""What a header calls a row's option where its own name depends on the size of time_t."""
NO_HEADER = ("SOL_BLUETOOTH", "IPPROTO_UDPLITE")
"""Levels whose options the kernel does not export by a header."""


def compiled(directory: Path, names: list[str]) -> tuple[dict[str, int], list[str]]:
    """What the C compiler says that these names are, and those that its headers lack."""
    compiler = shutil.which("cc")
    there = [name for name in HEADERS if Path("/usr/include", name).exists()]
    there += [name for name in ("asm/socket.h",) if name not in there]
    if compiler is None or len(there) < 20:
        pytest.skip("CANNOT: no C compiler, or not the kernel's headers")
    head = "#include <stdio.h>\n" + "".join(f"#include <{name}>\n" for name in there)
    source, program = directory / "numbers.c", directory / "numbers"
    lacking: list[str] = []
    for _ in range(4):
        rest = [name for name in names if name not in lacking]
        lines = "".join(f'  printf("{name} %ld\\n", (long)({ALIASES.get(name, name)}));\n' for name in rest)
        source.write_text(f"{head}int main(void) {{\n{lines}}}\n")
        command = [compiler, "-fmax-errors=0", "-o", str(program), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
        if done.returncode == 0:
            break
        found = re.findall(r"error: ['‘](\w+)['’] undeclared", done.stderr)
        assert found, done.stderr[:2000]
        back = {ALIASES.get(name, name): name for name in names}
        lacking += [back[name] for name in found if name in back]
    said = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in (line.split() for line in said.splitlines())}, lacking


@linux
def test_numbers_are_those_of_the_kernels_headers(tmp_path: Path) -> None:
    """Number by number, by the C compiler."""
    rows = {option.name.replace("IPV6_MCAST_", "MCAST_"): option for option in OPTIONS if option.number is not None}
    levels = {option.level: option.level_number for option in OPTIONS if option.level != "AF_VSOCK"}
    told, lacking = compiled(tmp_path, [*rows, *levels])
    for name, number in told.items():
        assert number == (levels[name] if name in levels else rows[name].number), name
    assert len(told) > 440
    for name in lacking:
        if name in levels:
            continue  # several levels are named in the kernel's own linux/socket.h only
        option = rows[name]
        assert option.level in NO_HEADER or re.search(r"Linux 6\.([2-9]|1\d)\b", option.source), (
            f"{name} is in no header here, and its row does not say that it is newer than they are"
        )


HIDING = """
import json, socket, sys
for name in dir(socket):
    if name.startswith(("SO_", "TCP_", "IP_", "IPV6_", "UDP", "NETLINK_", "AF_VSOCK", "AF_NETLINK", "SOCK_SEQ")):
        delattr(socket, name)
{more}
from sockkit import optvals, sockopts, syscalls
sockopts.applicable(2, 1, 6)
try:
    sockopts.parse_setting("TCP_CORK")
except sockopts.UsageError as error:
    print(error, file=sys.stderr)
print(json.dumps({{row.name: row.number for row in sockopts.OPTIONS}}))
"""


def hidden(more: str = "") -> tuple[dict[str, int | None], str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HIDING.format(more=more)],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))},
    )
    return json.loads(done.stdout), done.stderr


@linux
def test_numbers_of_the_table_are_pythons() -> None:
    """With Python's constants hidden, the table's own numbers come to light."""
    numbers, _ = hidden()
    checked = 0
    for name, number in numbers.items():
        if hasattr(socket, name) and number is not None:
            assert number == getattr(socket, name), name
            checked += 1
    assert checked > 40
    assert numbers["SO_COOKIE"] == 57 and numbers["SO_VM_SOCKETS_BUFFER_SIZE"] is None


def test_elsewhere_no_number_is_invented() -> None:
    numbers, said = hidden("sys.platform = 'freebsd14'")
    assert set(numbers.values()) == {None}
    assert "this platform has no TCP_CORK" in said


@linux
def test_other_architectures_number_sol_socket_otherwise() -> None:
    numbers, _ = hidden("socket.SOL_SOCKET = 0xffff")
    assert numbers["SO_RCVBUF"] is None and numbers["TCP_CORK"] == 3


def test_import_is_cheap() -> None:
    code = "import sys, socket, typing, struct, sockkit.errors as e; a = set(sys.modules); import sockkit.sockopts;"
    code += "print(*(set(sys.modules) - a))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))},
    )
    assert sorted(done.stdout.split()) == ["sockkit.names", "sockkit.optvals", "sockkit.sockopts", "sockkit.text"]


# ---- find


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("SO_RCVBUF", "SO_RCVBUF"),
        ("so_rcvbuf", "SO_RCVBUF"),
        ("rcvbuf", "SO_RCVBUF"),
        (" RcvBuf ", "SO_RCVBUF"),
        ("nodelay", "TCP_NODELAY"),
        ("v6only", "IPV6_V6ONLY"),
        ("linger", "SO_LINGER"),
        ("linger2", "TCP_LINGER2"),
        ("user-timeout", "TCP_USER_TIMEOUT"),
        ("send_cscov", "UDPLITE_SEND_CSCOV"),
        ("buffer_size", "SO_VM_SOCKETS_BUFFER_SIZE"),
        ("cap_ack", "NETLINK_CAP_ACK"),
    ],
)
def test_find(typed: str, name: str) -> None:
    assert find(typed).name == name


@pytest.mark.parametrize(
    ("typed", "several"),
    [("mtu", "IP_MTU or IPV6_MTU"), ("cork", "TCP_CORK or UDP_CORK"), ("recverr", "IP_RECVERR or IPV6_RECVERR")],
)
def test_find_asks_which(typed: str, several: str) -> None:
    with pytest.raises(UsageError, match=several) as caught:
        find(typed)
    assert caught.value.option == "--set"


@pytest.mark.parametrize(
    ("typed", "meant"), [("SO_RCVBUFF", "SO_RCVBUF"), ("nodely", "TCP_NODELAY"), ("keepalives", "SO_KEEPALIVE")]
)
def test_find_knows_what_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"no socket option is called '{typed}'") as caught:
        find(typed)
    assert caught.value.hint is not None and meant in caught.value.hint and caught.value.option == "--set"


def test_find_points_to_numbers() -> None:
    with pytest.raises(UsageError) as caught:
        find("qqqqqqqq")
    assert caught.value.hint is not None and "LEVEL:NUMBER" in caught.value.hint


def test_find_by_number() -> None:
    option = find("6:1")
    assert (option.name, option.level_number, option.number, option.kind) == ("6:1", 6, 1, sockopts.INT)
    assert option.settable and option.show(5) == "5"
    assert (find("0x6:0x1").level_number, find("0x6:0x1").number) == (6, 1)
    assert option not in OPTIONS
    error = find("SO_ERROR")
    assert find(f"{error.level_number}:{error.number}").reading_changes
    for bad in ("6:", ":1", "6:x", "6:1:2", "-1:2", "6:2147483648", ":"):
        with pytest.raises(UsageError, match="LEVEL:NUMBER"):
            find(bad)


@linux
def test_a_number_can_be_set() -> None:
    with make("tcp4") as sock:
        write(sock, "6:1=1")
        assert read(sock, find("TCP_NODELAY")) is True


# ---- parse_setting


@pytest.mark.parametrize(
    ("text", "name", "value", "asked"),
    [
        ("SO_RCVBUF=4096", "SO_RCVBUF", 4096, "4096 bytes"),
        ("rcvbuf = 0x1000", "SO_RCVBUF", 4096, "4096 bytes"),
        ("rcvbuf=-1", "SO_RCVBUF", -1, "-1 bytes"),
        ("rcvbuf=0010", "SO_RCVBUF", 10, "10 bytes"),
        ("keepalive", "SO_KEEPALIVE", 1, "on"),
        ("keepalive=off", "SO_KEEPALIVE", 0, "off"),
        ("nodelay=YES", "TCP_NODELAY", 1, "on"),
        ("6:1=5", "6:1", 5, "5"),
    ],
)
def test_parse_setting(text: str, name: str, value: int, asked: str) -> None:
    option, given_value, shown = parse_setting(text)
    assert (option.name, given_value, shown) == (name, value, asked)


@linux
@pytest.mark.parametrize(
    ("text", "size", "asked"),
    [
        ("linger=on,5", 8, "on, 5 s"),
        ("linger=OFF", 8, "off"),
        ("rcvtimeo=2.5", 16, "2.5 s"),
        ("rcvtimeo=3", 16, "3 s"),
        ("rcvtimeo=0", 16, "none"),
        ("rcvtimeo=0.000001", 16, "0.000001 s"),
        ("congestion=cubic", 5, "cubic"),
        ("bindtodevice=", 0, "none"),
        ("multicast_if=192.0.2.1", 0, ""),
        ("max_pacing_rate=1000", 8, "1000 bytes per second"),
        ("max_pacing_rate=unlimited", 8, "unlimited"),
        ("local_port_range=40000-41000", 4, "40000-41000"),
        ("local_port_range=0-0", 4, "the system's"),
    ],
)
def test_parse_setting_of_structures(text: str, size: int, asked: str) -> None:
    if text.startswith("multicast_if"):
        with pytest.raises(UsageError, match="IP_MULTICAST_IF or IPV6_MULTICAST_IF"):
            parse_setting(text)
        text, size, asked = "ip_" + text, 4, "192.0.2.1"
    _, value, shown = parse_setting(text)
    assert isinstance(value, bytes)
    assert (len(value), shown) == (size, asked)


def test_unsigned_ints_reach_setsockopt_as_the_same_bits() -> None:
    _, value, asked = parse_setting("TCP_NOTSENT_LOWAT=4294967295")
    assert (value, asked) == (-1, "4294967295 bytes")


def test_words_and_numbers_of_path_mtu_discovery() -> None:
    assert parse_setting("IP_MTU_DISCOVER=do")[1:] == parse_setting("IP_MTU_DISCOVER=2")[1:] == (2, "do")
    assert parse_setting("IP_MTU_DISCOVER=9")[1:] == (9, "9")


@linux
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SO_RCVBUF=lots", "SO_RCVBUF (bytes) takes an integer, -2147483648 to 2147483647: got 'lots'"),
        ("SO_RCVBUF=", "SO_RCVBUF (bytes) takes an integer, -2147483648 to 2147483647: got ''"),
        ("SO_RCVBUF", "SO_RCVBUF (bytes) takes an integer, -2147483648 to 2147483647: say SO_RCVBUF=VALUE"),
        ("SO_RCVBUF=2147483648", "got '2147483648'; 2147483648 does not fit, -2147483648 to 2147483647 does"),
        ("SO_RCVBUF=1.5", "got '1.5'"),
        ("TCP_NODELAY=2", "TCP_NODELAY takes on or off: got '2'"),
        ("linger=5", "SO_LINGER (seconds) takes off, or on,SECONDS: got '5'"),
        ("linger=on", "takes off, or on,SECONDS: got 'on'; the seconds are missing"),
        ("linger=on,-1", "got 'on,-1'"),
        ("linger=on,", "got 'on,'"),
        ("rcvtimeo=-0.5", "got '-0.5'"),
        ("rcvtimeo=1.0000001", "six decimals"),
        ("congestion=waytoolongforthekernel", "22 bytes are too many"),
        ("congestion=a\0b", "a NUL would end it early"),
        ("congestion=\ud83d", "takes at most 15 bytes of text"),
        ("ip_multicast_if=1.2.3", "takes an IPv4 address"),
        ("ip_multicast_if=1.2.3.256", "takes an IPv4 address"),
        ("local_port_range=40000", "takes LOW-HIGH"),
        ("local_port_range=1-65536", "65536 does not fit"),
        ("so_type=1", "SO_TYPE (socket type) can only be read"),
        ("tcp_info", "TCP_INFO (facts about the connection) can only be read"),
        ("TCP_NOTSENT_LOWAT=-1", "0 to 4294967295"),
        ("TCP_KEEPIDLE=1" + "0" * 5000, "got '1000"),
        ("", "no socket option is called ''"),
        ("=5", "no socket option is called ''"),
    ],
)
def test_parse_setting_says_what_is_wrong_and_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_setting(text)
    assert says in str(caught.value)
    assert caught.value.option == "--set"


def test_a_wrong_value_gets_the_row_as_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        parse_setting("TCP_KEEPCNT=many")
    assert caught.value.hint == (
        "TCP_KEEPCNT (IPPROTO_TCP 6): unanswered probes that end the connection; set any time; 1 to 127"
    )


ANY_SETTING = st.one_of(
    st.text(),
    st.builds(
        "{}{}{}".format,
        st.sampled_from([option.name for option in OPTIONS] + ["6:1", "mtu", "keepalive", "linger", "0:"]),
        st.sampled_from(["", "=", " = ", ":"]),
        st.one_of(
            st.text(),
            st.integers().map(str),
            st.sampled_from(["on", "off", "on,5", "1.5", "cubic", "1-2", "127.0.0.1", "do"]),
            st.from_regex(r"[-+]?[0-9]{0,4}([.,:x-][0-9]{0,7}){0,4}"),
        ),
    ),
)


@given(ANY_SETTING)
def test_parse_setting_raises_only_usage_errors(text: str) -> None:
    try:
        option, value, asked = parse_setting(text)
    except UsageError as error:
        assert error.option == "--set" and str(error)
        return
    assert option.settable and isinstance(value, (int, bytes)) and asked
    if isinstance(value, int):
        assert -(2**63) <= value < 2**63
        assert option.kind.size == 0 or -(2**31) <= value < 2**31


# ---- kinds

KINDS = {option.kind.name: option.kind for option in OPTIONS}

BRIEFLY = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
"""There are dozens of kinds, and machines that are busy."""
FLAGS = st.integers(0, 2**32 - 1).map(str)
TYPED: dict[str, st.SearchStrategy[str]] = {
    "bool": st.sampled_from(["on", "off"]),
    "linger": st.one_of(st.just("off"), st.integers(0, 2**16 - 1).map("on,{}".format)),
    "timeval": st.builds(
        "{}.{:06}".format, st.integers(0, 2**31 // 1000 - 1), st.integers(0, 999).map(lambda n: n * 1000)
    ),
    "string": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
    "rate": st.integers(0, 2**32 - 2).map(str),
    "IPv4 address": st.ip_addresses(v=4).map(str),
    "port range": st.builds("{}-{}".format, st.integers(0, 65535), st.integers(0, 65535)),
    "64-bit size": st.integers(0, 2**64 - 1).map(str),
    "64-bit id": st.integers(0, 2**64 - 1).map(str),
    "unsigned int": st.integers(0, 2**32 - 1).map(str),
    "unsigned int, shown in hex": st.integers(0, 2**32 - 1).map(hex),
    "locked buffers": FLAGS,
    "time stamping": FLAGS,
    "source address preferences": FLAGS,
    "options": FLAGS,
    "bool, not told": st.sampled_from(["on", "off"]),
}
SIGNED = st.integers(-(2**31), 2**31 - 1).map(str)


def test_typed_names_are_kinds() -> None:
    assert TYPED.keys() <= KINDS.keys()


@given(st.data())
@pytest.mark.parametrize(
    "name", [kind.name for kind in KINDS.values() if kind.encode and (kind.name in TYPED or kind.plain)]
)
def test_what_is_typed_comes_back(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    text = data.draw(TYPED.get(name, SIGNED))
    assert kind.encode is not None
    raw = kind.encode(text)
    value = kind.decode(raw)
    assert json.loads(json.dumps(value)) == value
    if name.startswith("string"):
        assert value == text and len(raw) < kind.size
        return
    assert len(raw) == (kind.size or 4) or sys.platform == "win32"
    if isinstance(value, bool):
        assert value == (text == "on")
    elif isinstance(value, int):
        assert value == int(text, 0)
    elif name == "linger":
        assert value == {"on": text != "off", "seconds": int(text.partition(",")[2] or 0)}
    elif name == "timeval":
        assert isinstance(value, dict)
        assert math.isclose(value["seconds"] + value["microseconds"] / 1e6, float(text))
        assert kind.show(value) == (f"{float(text):.6f}".rstrip("0").rstrip(".") + " s" if float(text) else "none")
    elif name == "port range":
        assert value == dict(zip(("low", "high"), map(int, text.split("-")), strict=True))
    else:
        assert value == text
    # What is shown can be typed again, words for special values aside.
    shown = kind.show(value)
    if (
        isinstance(value, int)
        and "descriptor" not in name
        and "errno" not in name
        and not shown.startswith(("AF", "SO"))
    ):
        assert kind.encode(shown) == raw


STRUCTURES = {option.kind.layout: option for option in OPTIONS if option.kind.layout and option.kind.encode}


@linux
@BRIEFLY
@given(st.data())
@pytest.mark.parametrize("option", STRUCTURES.values(), ids=lambda option: option.name)
def test_what_a_structure_shows_can_be_typed_field_by_field(option: SockOption, data: st.DataObject) -> None:
    values: dict[str, str] = {}
    for field in optvals.fields(option.kind.layout):
        bits = 8 * optvals.width(field.format)
        if not field.name:
            continue
        if field.format == "S":
            values[field.name] = data.draw(st.sampled_from(["192.0.2.1:80", "[2001:db8::1]:443"]))
        elif field.format == "6":
            values[field.name] = str(data.draw(st.ip_addresses(v=6)))
        elif field.format.endswith("s"):
            values[field.name] = data.draw(st.text("abc", max_size=5))
        else:
            low = -(1 << bits - 1) if field.format.islower() else 0
            values[field.name] = str(data.draw(st.integers(low, low + (1 << bits) - 1)))
    chosen = data.draw(st.lists(st.sampled_from(sorted(values)), min_size=1, unique=True))
    assert option.kind.encode is not None
    raw = option.kind.encode(",".join(f"{name}={values[name]}" for name in chosen))
    assert len(raw) == optvals.size_of(option.kind.layout)
    told = option.decode(raw)
    assert isinstance(told, dict)
    for name in chosen:
        if isinstance(told[name], str) and told[name].count(":") > 1 and "]" not in told[name]:
            assert ip_address(told[name]) == ip_address(values[name])
        else:
            assert str(told[name]) == values[name]
    for name in values.keys() - set(chosen):
        assert told[name] in (0, "", None, "::"), "what is not named is 0"


def test_a_structure_says_what_its_fields_are() -> None:
    with pytest.raises(UsageError, match="its fields are clockid, flags"):
        parse_setting("SO_TXTIME=clock=1")
    with pytest.raises(UsageError, match="4294967296 does not fit, 0 to 4294967295 does"):
        parse_setting("SO_TXTIME=flags=4294967296")


ONE_OF_EACH_KIND = list({option.kind.name: option for option in OPTIONS}.values())


@BRIEFLY
@given(st.binary(max_size=300))
@pytest.mark.parametrize("option", ONE_OF_EACH_KIND, ids=lambda option: option.kind.name)
def test_no_bytes_are_too_strange_to_show(option: SockOption, raw: bytes) -> None:
    value = option.decode(raw)
    json.dumps(value)
    assert isinstance(option.show(value), str)


def test_bytes_of_another_size_are_shown_as_they_are() -> None:
    option = find("SO_PEERCRED")
    value = option.decode(b"\x0a\x0b")
    assert value == {"bytes": "0a0b"}
    assert option.show(value) == "2 bytes, hex 0a0b"
    assert find("SO_RCVBUF").show(find("SO_RCVBUF").decode(b"")) == "0 bytes, hex "


def test_ints_of_other_sizes_are_ints() -> None:
    """Some systems answer one byte for a TTL, eight on AF_VSOCK."""
    ttl = find("IP_MULTICAST_TTL")
    assert ttl.decode(b"\xff") == 255
    assert ttl.decode((-1).to_bytes(4, sys.byteorder, signed=True)) == -1
    assert ttl.decode(2**32 - 1) == -1
    assert ttl.decode(5) == 5
    assert find("SO_VM_SOCKETS_BUFFER_SIZE").decode(2**33) == 2**33
    assert find("SO_REUSEADDR").decode(4) is True


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("SO_KEEPALIVE", True, "on"),
        ("SO_RCVBUF", 212992, "212992 bytes"),
        ("SO_RCVLOWAT", 1, "1 byte"),
        ("TCP_KEEPIDLE", 5, "5 s"),
        ("TCP_USER_TIMEOUT", 5, "5 ms"),
        ("SO_BUSY_POLL", 5, "5 us"),
        ("SO_MARK", 255, "0xff"),
        ("SO_LINGER", {"on": True, "seconds": 0}, "on, 0 s"),
        ("SO_LINGER", {"on": False, "seconds": 5}, "off"),
        ("SO_DOMAIN", int(socket.AF_INET), "AF_INET"),
        ("SO_DOMAIN", 9999, "9999"),
        ("SO_TYPE", int(socket.SOCK_STREAM), "SOCK_STREAM"),
        ("SO_TYPE", 9999, "9999"),
        ("SO_PROTOCOL", 6, "6"),
        ("SO_MAX_PACING_RATE", "unlimited", "unlimited"),
        ("TCP_CONGESTION", "cubic", "cubic"),
        ("SO_MEMINFO", {"rmem_alloc": 0, "drops": 3}, "rmem_alloc 0 bytes, drops 3 packets"),
        ("SO_PEERPIDFD", 5, "fd 5"),
    ],
)
def test_show(name: str, value: object, shown: str) -> None:
    assert find(name).show(value) == shown


def test_a_new_kind_and_a_new_row_need_nothing_else() -> None:
    kind = Kind("shout", 3, bytes.decode, str.encode, str.upper, "text")
    option = find("SO_KEEPALIVE")._replace(name="SO_SHOUT", kind=kind)
    assert option.settable
    assert option.show(option.decode(b"abc")) == "ABC"


# ---- families that only the lab's kernel has

FAR = [
    ("sctp one-to-one", 2, 1, 132),
    ("sctp one-to-many", 10, 5, 132),
    ("dccp", 2, 6, 33),
    ("tipc stream", 30, 1, 0),
    ("tipc rdm", 30, 4, 0),
    ("can raw", 29, 3, 1),
    ("can bcm", 29, 2, 2),
    ("isotp", 29, 2, 6),
    ("j1939", 29, 2, 7),
    ("alg", 38, 5, 0),
    ("smc", 43, 1, 0),
    ("xdp", 44, 3, 0),
    ("rxrpc", 33, 2, 2),
    ("rds", 21, 5, 0),
    ("kcm", 41, 2, 0),
    ("pppox l2tp", 24, 2, 1),
    ("llc", 26, 2, 0),
    ("ax25", 3, 2, 0),
    ("netrom", 6, 5, 0),
    ("rose", 11, 5, 0),
    ("phonet", 35, 2, 0),
    ("nfc raw", 39, 5, 0),
    ("nfc llcp", 39, 1, 1),
    ("bluetooth l2cap", 31, 5, 0),
    ("bluetooth sco", 31, 5, 2),
    ("udplite", 2, 2, 136),
    ("mptcp", 10, 1, 262),
    ("vsock", 40, 1, 0),
]


@pytest.mark.lab
@pytest.mark.parametrize("which", FAR, ids=lambda row: row[0])
def test_options_of_far_families_read_and_set(which: tuple[str, int, int, int]) -> None:
    """Every option that applies reads as its kind, or is refused as its row says; its own level's can be set as it was read."""
    name, family, type, proto = which
    try:
        sock = socket.socket(family, type, proto)
    except OSError as error:
        pytest.skip(f"CANNOT: no {name} in this kernel: {error}")
    problems = []
    with sock:
        reported = as_reported(sock)
        for option in applicable(*reported):
            if not option.looked_at:
                continue
            try:
                value = read(sock, option)
            except OSError as error:
                # MPTCP says this of options that its kernel cannot pass on yet.
                if not refused_as_declared(option, error) and (proto, error.errno) != (262, errno.EOPNOTSUPP):
                    problems.append(f"{option.name}: {errno.errorcode[error.errno or 0]}")
                continue
            if isinstance(value, dict) and value.keys() == {"bytes"}:
                problems.append(f"{option.name}: {value}")
            elif not option.show(value):
                problems.append(f"{option.name} shows nothing")
    assert not problems


@pytest.mark.lab
@pytest.mark.parametrize(
    ("socket_", "setting", "got"),
    [
        ((2, 1, 132), "SCTP_NODELAY=on", True),
        ((2, 1, 132), "nodelay=on", True),
        ((2, 1, 132), "SCTP_MAXSEG=1000", 1000),
        ((2, 5, 132), "SCTP_AUTOCLOSE=7", 7),
        ((2, 1, 132), "SCTP_INITMSG=num_ostreams=5,max_attempts=3", {"num_ostreams": 5, "max_attempts": 3}),
        ((2, 1, 132), "SCTP_RTOINFO=initial=1500", {"initial": 1500}),
        ((2, 1, 132), "SCTP_DEFAULT_PRINFO=policy=0x10,value=200", {"policy": 16, "value": 200}),
        ((2, 1, 132), "SCTP_EVENTS=association=1,shutdown=1", {"association": 1, "shutdown": 1, "address": 0}),
        ((2, 1, 132), "SCTP_PEER_ADDR_PARAMS=hbinterval=5000,flags=1", {"hbinterval": 5000}),
        ((2, 1, 132), "SCTP_DELAYED_SACK=sack_delay=100,sack_freq=3", {"sack_delay": 100, "sack_freq": 3}),
        ((2, 6, 33), "DCCP_SOCKOPT_SERVICE=5", [5]),
        ((30, 4, 0), "TIPC_IMPORTANCE=high", 2),
        ((30, 4, 0), "TIPC_CONN_TIMEOUT=5000", 5000),
        ((29, 3, 1), "CAN_RAW_FILTER=123:7ff+20000456:7ff", [(0x123, 0x7FF), (0x20000456, 0x7FF)]),
        ((29, 3, 1), "CAN_RAW_FD_FRAMES=on", True),
        ((29, 3, 1), "CAN_RAW_ERR_FILTER=0x1fffffff", 0x1FFFFFFF),
        ((29, 2, 6), "CAN_ISOTP_OPTS=flags=4,txpad_content=0xaa", {"flags": 4, "txpad_content": 0xAA}),
        ((29, 2, 6), "CAN_ISOTP_RECV_FC=bs=8,stmin=2", {"bs": 8, "stmin": 2, "wftmax": 0}),
        ((29, 2, 7), "SO_J1939_PROMISC=on", True),
        ((29, 2, 7), "SO_J1939_SEND_PRIO=5", 5),
        ((26, 2, 0), "LLC_OPT_SIZE=500", 500),
        ((21, 5, 0), "RDS_RECVERR=on", True),
        ((3, 2, 0), "AX25_N2=5", 5),
        ((6, 5, 0), "NETROM_N2=7", 7),
        ((11, 5, 0), "ROSE_DEFER=on", True),
        ((40, 1, 0), "SO_VM_SOCKETS_BUFFER_SIZE=100000", 100000),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_options_of_far_families_are_set(socket_: tuple[int, int, int], setting: str, got: object) -> None:
    try:
        sock = socket.socket(*socket_)
    except OSError as error:
        pytest.skip(f"CANNOT: no such socket in this kernel: {error}")
    with sock:
        write(sock, setting)
        value = read(sock, find(setting.partition("=")[0], as_reported(sock)))
    if isinstance(got, dict):
        assert isinstance(value, dict) and got.items() <= value.items(), value
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        assert [tuple(one.values()) for one in value] == got
    else:
        assert value == got


@pytest.mark.lab
def test_options_of_an_sctp_association() -> None:
    with socket.socket(2, 1, 132) as server, socket.socket(2, 1, 132) as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
        port = server.getsockname()[1]
        assert read(client, find("SCTP_GET_PEER_ADDRS")) == [f"127.0.0.1:{port}"]
        status = read(client, find("SCTP_STATUS"))
        assert isinstance(status, dict) and status["primary"] == f"127.0.0.1:{port}" and status["outstrms"] > 0
        stats = read(client, find("SCTP_GET_ASSOC_STATS"))
        assert isinstance(stats, dict) and stats["octrlchunks"] > 0
        for option in applicable(*as_reported(client)):
            if option.looked_at:
                value = read_or_declared(client, option)
                if value is not None:
                    check_shown(option, value)
