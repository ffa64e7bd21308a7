from __future__ import annotations

import errno
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sockkit import Exit, SocketSpec, UsageError, inspect, names, probe
from tests.harness import ENVIRONMENT, has_family, needs_linux, needs_unix, on_terminal, run

needs_inet6_sockets = pytest.mark.skipif(not has_family("AF_INET6"), reason="CANNOT: no AF_INET6 sockets here")


def found(*args: str, status: int = 0, pass_fds: tuple[int, ...] = ()) -> dict[str, Any]:
    """The JSON report."""
    result = run("probe", "--json", *args, pass_fds=pass_fds)
    assert result.status == status and result.err == b"", result
    document = json.loads(result.out)
    assert isinstance(document, dict)
    return document


def python(expression: str, *fds: int) -> str:
    """What Python itself prints for an expression, in a process of its own that has these descriptors."""
    code = f"import socket; s = {expression}; print(repr(s)); s.detach()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, pass_fds=fds)
    return done.stdout.rstrip("\n")


def any_fd(text: str) -> str:
    return re.sub(r"\bfd=\d+", "fd=N", text)


def offered(text: str) -> list[list[str]]:
    """The commands that a report says work here."""
    _, _, rest = text.partition("works here")
    return [shlex.split(line)[1:] for line in rest.splitlines()[1:] if line.startswith("  sockkit ")]


# ---- the article's experiments: 3, the four parameters and their defaults


def test_defaults() -> None:
    result = run("probe")
    assert result.status == 0 and result.err == b""
    lines = result.text.splitlines()
    assert lines[0] == "socket.socket()"
    assert any_fd(lines[2]) == "  repr   " + any_fd(python("socket.socket()"))
    assert any_fd(lines[3]) == (
        "  names  <socket.socket fd=N, family=AF_INET, type=SOCK_STREAM, proto=0, laddr=('0.0.0.0', 0)>"
    )
    assert lines[5:8] == [
        "          asked                      the kernel says",
        "  family  AF_INET (2) (default)      AF_INET (2)",
        "  type    SOCK_STREAM (1) (default)  SOCK_STREAM (1)",
    ]


# ---- 4: the families of the man page


@pytest.mark.parametrize(
    ("name", "number"),
    [("LOCAL", 1), ("UNIX", 1), ("INET", 2), ("ROUTE", 16), ("KEY", 15), ("INET6", 10), ("VSOCK", 40)],
)
@needs_linux
def test_families_that_linux_has(name: str, number: int) -> None:
    for spelling in (name, f"PF_{name}", f"af_{name.lower()}", str(number)):
        assert SocketSpec.parse(spelling).family == number
    result = run("probe", "--json", "--family", f"PF_{name}")
    report = json.loads(result.out)
    assert result.status == (0 if report["ok"] else 1)
    assert report["asked"]["family"] == {"number": number, "name": names.FAMILIES.name(number)}
    assert report["ok"] or report["why"]["text"]


@pytest.mark.parametrize("name", ["SYSTEM", "NDRV"])
@needs_linux
def test_families_that_only_macos_has(name: str) -> None:
    result = run("probe", "--family", f"PF_{name}")
    assert result == (2, b"", f"sockkit: --family: AF_{name} exists on macOS only; this is Linux\n".encode())


# ---- 5: the types


@needs_linux
@pytest.mark.parametrize("name", ["STREAM", "DGRAM", "RAW", "RDM", "SEQPACKET"])
def test_types_are_known_by_name(name: str) -> None:
    result = run("probe", "--json", "--family", "UNIX", "--type", name.lower())
    report = json.loads(result.out)
    assert report["asked"]["type"] == {"number": getattr(socket, f"SOCK_{name}"), "name": f"SOCK_{name}"}
    if name == "RDM":
        assert (result.status, report["error"]["name"]) == (1, "ESOCKTNOSUPPORT")
    else:
        assert result.status == 0


# ---- 6: protocol numbers


@needs_linux
@pytest.mark.parametrize(
    ("name", "number"), [("TCP", 6), ("UDP", 17), ("IPV6", 41), ("SCTP", 132), ("UDPLITE", 136), ("IPPROTO_MAX", 263)]
)
def test_protocol_numbers(name: str, number: int) -> None:
    result = run("probe", "--json", "--proto", name)
    asked = json.loads(result.out)["asked"]["proto"]
    assert asked["number"] == number and asked["name"].removeprefix("IPPROTO_") == name.removeprefix("IPPROTO_")


@needs_linux
def test_ipproto_max_is_no_protocol() -> None:
    report = found("--proto", "IPPROTO_MAX", status=1)
    assert report["error"]["name"] == "EINVAL" and "263" in report["why"]["text"]


def test_every_iana_number_resolves() -> None:
    for number in range(256):
        assert SocketSpec.parse(proto=number).proto == number
    assert sum(names.PROTOCOLS.name(number) is not None for number in range(256)) > 140


# ---- 7 to 10: proto with the right and the wrong type


@pytest.mark.parametrize(
    ("args", "expression", "kernel"),
    [
        (["--proto", "TCP"], "socket.socket(proto=6)", "IPPROTO_TCP (6)"),
        (["--type", "DGRAM", "--proto", "UDP"], "socket.socket(type=socket.SOCK_DGRAM, proto=17)", "IPPROTO_UDP (17)"),
    ],
)
@needs_linux
def test_proto_that_fits(args: list[str], expression: str, kernel: str) -> None:
    result = run("probe", *args)
    assert result.status == 0
    assert any_fd(python(expression)) in any_fd(result.text)
    assert re.search(rf"^  proto +{re.escape(kernel)} +{re.escape(kernel)}$", result.text, re.M)
    assert "rewritten" not in result.text


@pytest.mark.parametrize(
    ("args", "call", "why"),
    [
        (
            ["--proto", "UDP"],
            "socket.socket(proto=IPPROTO_UDP)",
            "SOCK_STREAM with IPPROTO_UDP: within AF_INET, IPPROTO_UDP is registered only for SOCK_DGRAM",
        ),
        (
            ["--type", "DGRAM", "--proto", "TCP"],
            "socket.socket(type=SOCK_DGRAM, proto=IPPROTO_TCP)",
            "SOCK_DGRAM with IPPROTO_TCP: within AF_INET, IPPROTO_TCP is registered only for SOCK_STREAM",
        ),
    ],
)
@needs_linux
def test_proto_that_does_not_fit(args: list[str], call: str, why: str) -> None:
    result = run("probe", *args)
    assert result.status == 1 and result.err == b""
    lines = result.text.splitlines()
    assert lines[:4] == [
        call,
        "",
        "  error  OSError: [Errno 93] Protocol not supported",
        "  errno  EPROTONOSUPPORT (93)",
    ]
    assert f"  why         {why}" in lines
    assert any(line.startswith("  checked in  inet_create, net/ipv4/af_inet.c") for line in lines)
    assert any("macOS answers EPROTOTYPE 41" in line for line in lines)


@needs_linux
@pytest.mark.parametrize(
    "args",
    [
        ("--type", "DGRAM", "--proto", "TCP"),
        ("--family", "UNIX", "--proto", "6"),
        ("--family", "CAN", "--type", "STREAM", "--proto", "CAN_BCM"),
        ("--type", "RAW"),
        ("--type", "SEQPACKET+NONBLOCK"),
    ],
)
def test_what_is_offered_works(args: tuple[str, ...]) -> None:
    result = run("probe", *args)
    assert result.status == 1
    commands = offered(result.text)
    assert 1 <= len(commands) <= 6 and len({tuple(command) for command in commands}) == len(commands)
    for command in commands:
        again = run(*command)
        assert again.status == 0, (command, again.text)


@needs_linux
def test_nearest_comes_first() -> None:
    commands = offered(run("probe", "--type", "DGRAM", "--proto", "TCP").text)
    assert commands[:2] == [
        ["probe", "--family", "INET", "--type", "STREAM", "--proto", "TCP"],
        ["probe", "--family", "INET", "--type", "DGRAM", "--proto", "UDP"],
    ]


def test_a_protocol_of_one_family_is_not_offered_in_another() -> None:
    if probe(SocketSpec.parse("CAN", "RAW", "CAN_RAW")).ok:
        pytest.skip("CANNOT: this kernel has CAN, so nothing is offered")
    commands = offered(run("probe", "--family", "CAN", "--type", "RAW", "--proto", "CAN_RAW").text)
    assert commands and not [command for command in commands if "ICMP" in command]


# ---- 11: what proto=0 becomes


@needs_linux
@pytest.mark.parametrize(
    ("args", "chosen"),
    [
        ([], "IPPROTO_TCP (6)"),
        (["--type", "DGRAM"], "IPPROTO_UDP (17)"),
        pytest.param(["--family", "INET6"], "IPPROTO_TCP (6)", marks=needs_inet6_sockets),
        pytest.param(["--family", "INET6", "--type", "DGRAM"], "IPPROTO_UDP (17)", marks=needs_inet6_sockets),
    ],
)
def test_proto_0_is_rewritten(args: list[str], chosen: str) -> None:
    result = run("probe", *args)
    assert result.status == 0
    assert re.search(rf"^  proto +0 \(default\) +{re.escape(chosen)} +rewritten$", result.text, re.M), result.text
    create = "inet6_create" if "INET6" in args else "inet_create"
    assert re.search(rf"^  proto  {create} takes the first protocol registered for", result.text, re.M)


@needs_unix
@needs_linux
def test_unix_raw_is_rewritten() -> None:
    report = found("--family", "UNIX", "--type", "RAW")
    assert report["got"]["type"] == {"number": socket.SOCK_DGRAM, "name": "SOCK_DGRAM"}
    assert [row["field"] for row in report["rewrites"]] == ["type"]
    text = run("probe", "--family", "UNIX", "--type", "RAW").text
    assert re.search(r"^  type +SOCK_RAW \(3\) +SOCK_DGRAM \(2\) +rewritten$", text, re.M), text
    assert "unix_create makes a SOCK_DGRAM of SOCK_RAW" in text


@needs_linux
def test_m9_flags_of_the_type_are_decoded() -> None:
    """M9."""
    for typed in ("STREAM+NONBLOCK", "stream|nonblock", str(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)):
        report = found("--type", typed)
        number = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        assert report["asked"]["type"] == {"number": number, "name": "SOCK_STREAM+SOCK_NONBLOCK"}
        assert report["got"]["type"] == {"number": socket.SOCK_STREAM, "name": "SOCK_STREAM"}
    both = run("probe", "--type", "DGRAM+NONBLOCK+CLOEXEC").text
    assert "it became O_NONBLOCK" in both and "it became FD_CLOEXEC" in both


# ---- 12: CAN


@needs_linux
@pytest.mark.parametrize(
    ("type", "name", "number"),
    [("RAW", "CAN_RAW", 1), ("DGRAM", "BCM", 2), ("DGRAM", "can_isotp", 6), ("DGRAM", "J1939", 7)],
)
def test_can_protocols(type: str, name: str, number: int) -> None:
    result = run("probe", "--json", "--family", "CAN", "--type", type, "--proto", name)
    report = json.loads(result.out)
    assert report["asked"]["proto"]["number"] == number
    assert report["asked"]["proto"]["name"] == "CAN_" + name.upper().removeprefix("CAN_")
    assert result.status in (0, 1)


def test_a_protocol_of_another_family_is_explained() -> None:
    result = run("probe", "--proto", "CAN_RAW")
    assert result.status == 2 and result.out == b""
    assert "CAN_RAW is a protocol of AF_CAN" in result.said


# ---- 13 to 15: fileno


@needs_linux
def test_fileno_gives_an_equal_repr() -> None:
    with socket.socket(proto=socket.IPPROTO_TCP) as first:
        fd = first.fileno()
        report = found("--fileno", str(fd), pass_fds=(fd,))
        assert report["repr"] == repr(first) == python(f"socket.socket(fileno={fd})", fd)
        assert report["got"]["proto"]["number"] == socket.IPPROTO_TCP
        first.bind(("127.0.0.1", 0))  # it is open and unharmed


@needs_linux
def test_fileno_detects_the_other_family() -> None:
    if not has_family("AF_INET6"):
        pytest.skip("CANNOT: no AF_INET6 sockets here")
    with socket.socket(socket.AF_INET6) as sock:
        text = run("probe", "--fileno", str(sock.fileno()), pass_fds=(sock.fileno(),)).text
        assert re.search(r"^  family  \(from the descriptor\)  AF_INET6 \(10\)$", text, re.M), text


@needs_unix
@needs_linux
def test_m6_a_false_declaration_is_flagged() -> None:
    """M6: Python takes any family, type and proto for a descriptor, and repeats them."""
    one, other = socket.socketpair()
    with one, other:
        args = ("--fileno", str(one.fileno()), "--family", "INET", "--type", "DGRAM", "--proto", "17")
        result = run("probe", *args, pass_fds=(one.fileno(),))
        assert result.status == 0
        assert "family=2, type=2, proto=17" in result.text
        for row in (
            r"family  AF_INET \(2\) +AF_UNIX \(1\)",
            r"type    SOCK_DGRAM \(2\) +SOCK_STREAM \(1\)",
            r"proto   IPPROTO_UDP \(17\) +0",
        ):
            assert re.search(rf"^  {row} +not what was said$", result.text, re.M), result.text
        one.send(b"alive")
        assert other.recv(5) == b"alive"


@contextmanager
def descriptor(kind: str) -> Iterator[int]:
    """A descriptor that is no socket."""
    if kind == "pipe":
        fd, other = os.pipe()
    elif kind == "file":
        fd, other = os.open(__file__, os.O_RDONLY), -1
    else:
        fd, other = os.open("/", os.O_RDONLY), -1
    try:
        yield fd
    finally:
        os.close(fd)
        if other >= 0:
            os.close(other)


@pytest.mark.parametrize("kind", ["pipe", "file", "directory"])
def test_fileno_of_no_socket(kind: str) -> None:
    with descriptor(kind) as fd:
        result = run("probe", "--fileno", str(fd), pass_fds=(fd,))
    assert result.status == 1 and result.err == b""
    assert f"OSError: [Errno {errno.ENOTSOCK}] {os.strerror(errno.ENOTSOCK)}" in result.text
    assert "this descriptor is open, but it is no socket" in result.text


def test_fileno_that_is_closed() -> None:
    result = run("probe", "--fileno", "99")
    assert result.status == 1
    assert f"OSError: [Errno {errno.EBADF}] {os.strerror(errno.EBADF)}" in result.text
    assert "no file is open under this descriptor number" in result.text


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("-1", "-1 never reaches the kernel: it is 0 or more (Python: ValueError: negative file descriptor)"),
        ("abc", "(Python: TypeError: 'str' object cannot be interpreted as an integer)"),
        ("3.5", "'3.5' is no file descriptor: a decimal number such as 3 is"),
        ("True", "'True' is no file descriptor"),
        ("0x3", "'0x3' is no file descriptor"),
        ("4294967296", "4294967296 is too large: a file descriptor is at most 2147483647"),
    ],
)
def test_j7_fileno_that_cannot_be(typed: str, said: str) -> None:
    result = run("probe", "--fileno", typed)
    assert result.status == 2 and result.out == b""
    assert result.said.startswith("sockkit: --fileno: ") and said in result.said


@needs_unix
def test_m7_an_adopted_descriptor_is_never_closed() -> None:
    """M7: as seen by the next command of the same shell, and by Python."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        code = f'"{sys.executable}" -m sockkit probe --fileno 0 >&2 && printf still >&0'
        done = subprocess.run(
            ["sh", "-c", code], stdin=theirs.fileno(), stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
        )
        assert done.returncode == 0, done.stderr
        assert ours.recv(100) == b"still"
        for _ in range(3):
            assert probe(SocketSpec(fileno=theirs.fileno())).ok
        theirs.send(b"and so")
        assert ours.recv(100) == b"and so"


# ---- JSON


TOP = {
    *("schema", "command", "complete", "ok", "call", "asked", "given", "got"),
    *("repr", "decoded", "rewrites", "error", "why", "nearest", "set", "platform"),
}


WHY = {"rule", "source", "text", "try_next", "elsewhere", "module"}


@pytest.mark.parametrize("args", [[], ["--type", "DGRAM", "--proto", "TCP"], ["--fileno", "99"]])
def test_json_has_stable_keys(args: list[str]) -> None:
    result = run("probe", "--json", *args)
    report = json.loads(result.out)
    assert report.keys() == TOP
    assert (report["schema"], report["command"], report["complete"]) == (1, "probe", True)
    assert report["asked"].keys() == {"family", "type", "proto", "fileno"}
    assert report["asked"]["family"].keys() == {"number", "name"}
    assert report["ok"] is (result.status == 0)
    if report["ok"]:
        assert report["got"].keys() == {"family", "type", "proto"} and report["error"] is None
    else:
        assert report["error"].keys() == {"type", "text", "errno", "name"} and report["got"] is None
        assert report["why"] is None or report["why"].keys() == WHY


def test_json_tells_what_was_given() -> None:
    report = found("--type", "dgram", "--proto", "17")
    assert report["given"] == ["type", "proto"]
    assert report["call"] == "socket.socket(type=SOCK_DGRAM, proto=IPPROTO_UDP)"


# ---- M1: the table of the Linux Test Project (socket01.c)


@needs_linux
@pytest.mark.parametrize(
    ("family", "type", "proto", "answer"),
    [
        (0, socket.SOCK_STREAM, 0, "EAFNOSUPPORT"),
        (socket.AF_INET, 75, 0, "EINVAL"),
        (1, socket.SOCK_DGRAM, 0, None),
        (socket.AF_INET, socket.SOCK_RAW, 0, "EPROTONOSUPPORT"),
        (socket.AF_INET, socket.SOCK_DGRAM, 17, None),
        (socket.AF_INET, socket.SOCK_STREAM, 17, "EPROTONOSUPPORT"),
        (socket.AF_INET, socket.SOCK_DGRAM, 6, "EPROTONOSUPPORT"),
        (socket.AF_INET, socket.SOCK_STREAM, 6, None),
        (socket.AF_INET, socket.SOCK_STREAM, 1, "EPROTONOSUPPORT"),
    ],
)
def test_m1_linux_test_project(family: int, type: int, proto: int, answer: str | None) -> None:
    result = run("probe", "--json", "--family", str(family), "--type", str(type), "--proto", str(proto))
    report = json.loads(result.out)
    assert result.status == (0 if answer is None else 1)
    assert (report["error"] or {"name": None})["name"] == answer
    assert answer is None or report["why"]["text"]


# ---- from Python


def test_public_api() -> None:
    made = probe(SocketSpec())
    assert made.ok and made.got is not None and made.got.type == socket.SOCK_STREAM and made.nearest == ()
    refused = probe(SocketSpec.parse(type="DGRAM", proto="TCP"))
    assert not refused.ok and isinstance(refused.error, OSError) and refused.nearest
    with pytest.raises(UsageError) as raised:
        probe(SocketSpec(family=2**31))
    assert isinstance(raised.value.cause, OverflowError) and raised.value.exit is Exit.USAGE
    with pytest.raises(UsageError, match="INTE"):
        SocketSpec.parse("INTE")


def test_no_descriptor_is_left() -> None:
    """M3, smaller: what was made is closed, whether it worked or not."""

    def lowest_free() -> int:
        fd = os.dup(0)
        os.close(fd)
        return fd

    before = lowest_free()
    with socket.socket() as lent:
        for _ in range(50):
            probe(SocketSpec())
            probe(SocketSpec.parse(type="DGRAM", proto="TCP"))
            probe(SocketSpec(fileno=lent.fileno()))
            inspect(SocketSpec())
    assert lowest_free() == before


@needs_linux
@pytest.mark.once
def test_m3_a_hundred_thousand_creations() -> None:
    """In one process: no descriptor more at any time, memory flat, within 30 seconds."""
    code = """
import os, re, sys
from sockkit import SocketSpec, probe
def look():
    return len(os.listdir("/proc/self/fd")), int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
spec = SocketSpec()
for _ in range(1000):
    probe(spec)
fds, memory = look()
for turn in range(100):
    for _ in range(1000):
        assert probe(spec).ok
    now, size = look()
    assert now == fds, (turn, now, fds)
    assert size - memory < 1024, (turn, size, memory)
"""
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 30


# ---- without privileges


@needs_linux
def test_m11_without_the_privilege() -> None:
    """M11: what only root may is a refusal like others, and what is offered works for that user."""
    # Root without CAP_NET_RAW (13), which PR_CAPBSET_DROP (24) takes away, is in the way of nothing else of the tests.
    drop = "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 13); os.execv(sys.argv[1], sys.argv[1:])"
    prefix = [sys.executable, "-c", drop]
    result = run("probe", "--type", "RAW", "--proto", "ICMP", prefix=prefix)
    if result.status == 0:
        pytest.skip("CANNOT: this user may make raw sockets")
    assert result.status == 1 and result.err == b""
    assert "PermissionError: [Errno" in result.text
    assert "only for root or a process with CAP_NET_RAW" in result.text
    for command in offered(result.text)[:3]:
        assert run(*command, prefix=prefix).status == 0, command


# ---- how it looks


def test_verbose_shows_the_system_calls_on_stderr() -> None:
    plain, verbose = run("probe", "--proto", "TCP"), run("probe", "-v", "--proto", "TCP")
    assert any_fd(verbose.text) == any_fd(plain.text)
    calls = re.findall(r"(\w+\([^)]*\) = \S+)", verbose.said)
    assert calls[0].startswith("socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = ")
    assert calls[-1].startswith("close(")
    assert run("probe", "-q", "--proto", "TCP").status == 0


def test_quiet_leaves_the_report() -> None:
    assert any_fd(run("probe", "-q").text) == any_fd(run("probe").text)


@pytest.mark.parametrize("columns", ["", "1", "500"])
def test_m10_nothing_is_cut_in_a_pipe(columns: str) -> None:
    """M10."""
    args = ("probe", "--type", "DGRAM", "--proto", "TCP")
    assert run(*args, env={"COLUMNS": columns}).out == run(*args, env={"COLUMNS": "100"}).out


@needs_linux
def test_on_a_terminal_of_80_columns() -> None:
    screen = on_terminal("probe", "--type", "STREAM+NONBLOCK", columns=80)
    assert screen.status == 0
    lines = re.sub(rb"\x1b\[[0-9;]*m", b"", screen.shown).decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert "  type    SOCK_STREAM+SOCK_NONBLOCK (2049)  SOCK_STREAM (1)  rewritten" in lines
    assert not [line for line in lines if line != line.rstrip()] and b"\xe2\x80\xa6" not in screen.shown


def test_nothing_is_lost_on_a_narrow_terminal() -> None:
    shown = on_terminal("probe", "--type", "DGRAM", "--proto", "TCP", columns=20).shown
    words = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode().split()
    for line in run("probe", "--type", "DGRAM", "--proto", "TCP").text.splitlines():
        assert set(line.split()) <= set(words), line
