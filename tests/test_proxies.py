"""Going through proxies. Real ones where they are installed (marked ``once``), and scripted ones for what no honest proxy does."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import server as http_server
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from sockkit import proxies
from sockkit.commands import connect
from sockkit.errors import UsageError
from sockkit.events import Env, Event
from tests import docs
from tests.harness import TIMEOUT, Process, Server, need, needs_ipv6, needs_linux, receive_all, run, sockets
from tests.peers import eventually, free_port
from tests.test_json import checked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes as POSIX has them")

SECRET = "s3cr3t-p4ss"
GREETED = b"\x05\x00"
OPENED = b"\x05\x00\x00\x01\x0a\x01\x02\x03\x12\x34"


class Seen(list[bytes]):
    """What a scripted proxy received, in the pieces that its script asked for."""


@contextmanager
def scripted(
    talk: Callable[[socket.socket, Seen], None], connections: int = 1, host: str = "127.0.0.1"
) -> Iterator[tuple[str, Seen]]:
    """A proxy for one connection after the other: a function says what it does. Yields its HOST:PORT."""
    seen = Seen()

    def serve() -> None:
        for _ in range(connections):
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(TIMEOUT)
                try:
                    talk(sock, seen)
                except OSError as error:
                    seen.append(type(error).__name__.encode())

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        listening.settimeout(TIMEOUT)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}", seen
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            break
        data += more
    return data


def head(sock: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = sock.recv(1)
        if not more:
            break
        data += more
    return data


def echo(sock: socket.socket) -> None:
    sock.sendall(receive_all(sock))


def answering(*exchanges: tuple[int, bytes]) -> Callable[[socket.socket, Seen], None]:
    """A script: so many bytes are read, this is answered; then everything is echoed."""

    def talk(sock: socket.socket, seen: Seen) -> None:
        for size, answer in exchanges:
            seen.append(exactly(sock, size))
            sock.sendall(answer)
        echo(sock)

    return talk


def http(answer: bytes) -> Callable[[socket.socket, Seen], None]:
    def talk(sock: socket.socket, seen: Seen) -> None:
        seen.append(head(sock))
        sock.sendall(answer)
        echo(sock)

    return talk


def through(scheme: str, place: str, *args: str, login: str = "") -> tuple[str, ...]:
    return ("connect", "--proxy", f"{scheme}://{login}{place}", *args)


# ---- what is said, byte by byte


def test_socks5_with_a_name() -> None:
    with scripted(answering((3, GREETED), (19, OPENED))) as (place, seen):
        result = run(*through("socks5h", place, "example.test", "80", "-v"), stdin=b"hi")
    assert (result.status, result.out) == (0, b"hi")
    assert seen == [b"\x05\x01\x00", b"\x05\x01\x00\x03\x0cexample.test\x00\x50"]
    for words in ("chose no authentication", "asked for example.test:80 (it resolves the name)", "from 10.1.2.3:4660"):
        assert words in result.said
    assert f"example.test:80 via {place} connected" in result.said


def test_socks5_resolves_here() -> None:
    with scripted(answering((3, GREETED), (10, OPENED))) as (place, seen):
        result = run(*through("socks5", place, "127.0.0.1", "80"), stdin=b"hi")
    assert (result.status, result.out) == (0, b"hi")
    assert seen[1] == b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"


def test_socks5_with_ipv6_and_a_bound_name() -> None:
    answer = b"\x05\x00\x00\x03\x04here\x00\x09"
    with scripted(answering((3, GREETED), (22, answer))) as (place, seen):
        result = run(*through("socks5h", place, "[2001:db8::1]:443", "-4", "-v"), stdin=b"hi")
    assert (result.status, result.out) == (0, b"hi")
    assert seen[1] == b"\x05\x01\x00\x04" + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + b"\x01\xbb"
    assert "asked for [2001:db8::1]:443" in result.said and "from here:9" in result.said


def test_socks5_with_a_password() -> None:
    sent = b"\x01\x05b\xc3\xb6b:\x0b" + SECRET.encode()
    script = answering((4, b"\x05\x02"), (len(sent), b"\x01\x00"), (10, OPENED))
    with scripted(script) as (place, seen):
        args = through("socks5", place, "127.0.0.1", "80", "-v", login=f"b%C3%B6b%3a:{SECRET}@")
        result = run(*args, stdin=b"hi")
    assert (result.status, result.out) == (0, b"hi")
    assert seen[:2] == [b"\x05\x02\x00\x02", sent]
    assert "took the user name and password" in result.said
    assert "list of processes" in result.said and "--proxy-auth-file" in result.said
    assert SECRET not in result.said and "b%C3" not in result.said


def test_socks4_and_4a() -> None:
    granted = b"\x00\x5a\x00\x00\x00\x00\x00\x00"
    with scripted(answering((12, granted))) as (place, seen):
        result = run(*through("socks4", place, "127.0.0.1", "80", login="bob@"), stdin=b"hi")
    assert (result.status, result.out, seen[0]) == (0, b"hi", b"\x04\x01\x00\x50\x7f\x00\x00\x01bob\x00")
    assert not result.err, "a user name alone is no secret"
    with scripted(answering((22, granted))) as (place, seen):
        result = run(*through("socks4a", place, "example.test", "80"), stdin=b"hi")
    assert (result.status, result.out) == (0, b"hi")
    assert re.fullmatch(rb"\x04\x01\x00\x50\x00\x00\x00[^\x00]\x00example.test\x00", seen[0])


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        (("example.test", "80"), b"example.test:80"),
        (("::1", "443"), b"[::1]:443"),
        (("b\xfccher.test", "1"), b"xn--bcher-kva.test:1"),
    ],
)
def test_http_connect(target: tuple[str, ...], asked: bytes) -> None:
    with scripted(http(b"HTTP/1.0 200 Connection established\r\nProxy-Agent: x\r\n\r\n")) as (place, seen):
        result = run(*through("http", place, *target, "-v"), stdin=b"hi")
    assert (result.status, result.out) == (0, b"hi")
    assert seen[0].split(b"\r\n")[0] == b"CONNECT " + asked + b" HTTP/1.1"
    assert b"\r\nhost: " + asked + b"\r\n" in seen[0].lower().replace(asked.lower(), asked)
    assert b"uthorization" not in seen[0]
    assert "answered: 200 Connection established" in result.said


def test_http_with_a_password_from_the_environment() -> None:
    with scripted(http(b"HTTP/1.1 200 OK\r\n\r\n")) as (place, seen):
        env = {"SOCKKIT_PROXY_AUTH": f"Aladdin:{SECRET}"}
        result = run(*through("http", place, "example.test", "80", "-v"), stdin=b"hi", env=env)
    assert (result.status, result.out) == (0, b"hi")
    assert b"QWxhZGRpbjpzM2NyM3QtcDRzcw==" in seen[0]
    assert SECRET not in result.said and "QWxh" not in result.said and "list of processes" not in result.said


# ---- bytes behind the answer, and answers in pieces


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "http"])
@pytest.mark.parametrize("pieces", ["glued", "one by one"])
def test_what_follows_the_answer_at_once_is_the_targets(scheme: str, pieces: str) -> None:
    banner = b"220 \r\n\r\nHTTP/1.1 200 not yours\r\n\r\n\x05\x00" * 500
    answers = {
        "socks4": [(9, b"\x00\x5a" + bytes(6))],
        "socks5": [(3, GREETED), (10, OPENED)],
        "http": [(0, b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200 Content-Length lies\r\nContent-Length: 5\r\n\r\n")],
    }[scheme]

    def talk(sock: socket.socket, seen: Seen) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at, (size, answer) in enumerate(answers):
            exactly(sock, size) if size else head(sock)
            whole = answer + (banner if at == len(answers) - 1 else b"")
            if pieces == "glued":
                sock.sendall(whole)
                continue
            for byte in answer + b"2":
                sock.sendall(bytes((byte,)))
                time.sleep(0.001)  # so that they come apart
            sock.sendall(whole[len(answer) + 1 :])
        sock.sendall(receive_all(sock))

    if pieces == "one by one" and len(answers) > 1:
        answers = answers[-1:]
    with scripted(talk if len(answers) > 1 or scheme != "socks5" else _greet_first(talk)) as (place, _):
        result = run(*through(scheme, place, "127.0.0.1", "25"), stdin=b"QUIT")
    assert (result.status, result.out) == (0, banner + b"QUIT")


def _greet_first(talk: Callable[[socket.socket, Seen], None]) -> Callable[[socket.socket, Seen], None]:
    def both(sock: socket.socket, seen: Seen) -> None:
        exactly(sock, 3)
        sock.sendall(GREETED)
        talk(sock, seen)

    return both


# ---- proxies that say no, or nothing that makes sense


@pytest.mark.parametrize(
    ("scheme", "exchanges", "said"),
    [
        ("socks5", [(3, GREETED), (10, b"\x05\x05\x00\x01" + bytes(6))], ["Connection refused", "SOCKS5 reply 5"]),
        ("socks5", [(3, GREETED), (10, b"\x05\x02\x00\x01")], ["not allowed by ruleset", "reply 2"]),
        ("socks5", [(3, GREETED), (10, b"\x05\x63\x00\x01" + bytes(6))], ["reply 99"]),
        ("socks5", [(3, GREETED), (10, b"\x05\x00\x00\x09" + bytes(6))], ["type that does not exist: 9"]),
        ("socks5", [(3, b"\x05\xff")], ["authenticate", "--proxy-auth-file", "SOCKKIT_PROXY_AUTH"]),
        ("socks5", [(3, b"\x05\x02")], ["not offered", "user name and password"]),
        ("socks5", [(3, b"\x05\x01")], ["not offered", "GSSAPI"]),
        ("socks5", [(3, b"HTTP/1.1 400 Bad Request\r\n\r\n")], ["not SOCKS5", "http://"]),
        ("socks5", [(3, b"\x00\x5b" + bytes(6))], ["not SOCKS5", "socks4://"]),
        ("socks5", [(3, b"\x15\x03\x01\x00\x02\x02\x46")], ["looks like TLS"]),
        ("socks4", [(9, b"\x00\x5b" + bytes(6))], ["request rejected or failed", "SOCKS4 reply 91"]),
        ("socks4", [(9, b"\x00\x5d" + bytes(6))], ["report different user-ids", "reply 93"]),
        ("socks4", [(9, b"\x05\xff")], ["not SOCKS4", "socks5h://"]),
        ("http", [(0, b"HTTP/1.1 403 Forbidden \x1b[31m\r\nContent-Length: 3\r\n\r\nno!")], ["403 Forbidden", "443"]),
        (
            "http",
            [(0, b"HTTP/1.1 407 Wanted\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")],
            ["407", "--proxy-auth-file"],
        ),
        ("http", [(0, b"HTTP/1.1 407 Wanted\r\nProxy-Authenticate: Digest a=b\r\n\r\n")], ["Digest", "only Basic"]),
        ("http", [(0, b"HTTP/1.1 501 What\r\n\r\n")], ["no proxy"]),
        ("http", [(0, b"SSH-2.0-OpenSSH_9\r\n\r\n")], ["not HTTP", "SSH-2.0"]),
        ("http", [(0, b"\x05\xff\r\n\r\n")], ["not HTTP", "socks5h://"]),
        ("http", [(0, b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000)], ["no end within 16384 bytes"]),
        ("http", [(0, b"HTTP/1.1 102 Wait\r\n\r\n" * 1000)], ["no end within 16384 bytes"]),
    ],
)
def test_a_refusal_is_told_by_its_name(scheme: str, exchanges: list[tuple[int, bytes]], said: list[str]) -> None:
    address = socket.inet_aton("127.0.0.1")
    request = proxies.ask(proxies.Proxy(scheme, "h", 1), None, proxies.Destination(socket.AF_INET, address, 80))
    told = ""
    for size, answer in exchanges:
        assert len(request.to_send()) == size or (size == 0 and scheme == "http")
        try:
            assert request.receive(answer) > 0 and not request.done
        except proxies.ProxyError as error:
            told = f"{error}\n{error.hint}"
    for words in said:
        assert words in told, told


@pytest.mark.parametrize(
    ("scheme", "answer", "said"),
    [
        ("socks4", b"\x00\x5b" + bytes(6), "request rejected or failed [SOCKS4 reply 91]"),
        ("http", b"HTTP/1.1 403 \x1b[31mForbidden\r\nContent-Length: 3\r\n\r\nno!", "Forbidden [HTTP status 403]"),
    ],
)
def test_a_refusal_is_the_end_and_nothing_of_ours_was_sent(scheme: str, answer: bytes, said: str) -> None:
    def talk(sock: socket.socket, seen: Seen) -> None:
        seen.append(exactly(sock, 9) if scheme == "socks4" else head(sock))
        sock.sendall(answer)
        seen.append(receive_all(sock))

    with scripted(talk) as (place, seen):
        result = run(*through(scheme, place, "127.0.0.1", "80"), stdin=b"PAYLOAD")
    assert (result.status, result.out) == (1, b"") and said in result.said, result
    assert f"connect to 127.0.0.1:80 through {scheme}://{place}: the proxy says" in result.said
    assert b"PAYLOAD" not in b"".join(seen)


@pytest.mark.parametrize("sent", [b"", b"\x05"])
def test_a_proxy_that_ends_in_the_middle(sent: bytes) -> None:
    def talk(sock: socket.socket, seen: Seen) -> None:
        exactly(sock, 3)
        sock.sendall(sent)

    with scripted(talk) as (place, _):
        result = run(*through("socks5", place, "127.0.0.1", "80"), stdin=b"x")
    assert result.status == 1 and "ended the connection" in result.said
    assert ("in the middle" in result.said) == bool(sent)


def test_a_refused_password_is_not_told() -> None:
    with scripted(answering((4, b"\x05\x02"), (2 + 3 + 1 + len(SECRET), b"\x01\x01"))) as (place, _):
        result = run(*through("socks5", place, "127.0.0.1", "80", "-v", login=f"bob:{SECRET}@"), stdin=b"x")
    assert result.status == 1 and "refuses the user name and password [RFC 1929 status 1]" in result.said
    assert SECRET not in result.said


@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_a_silent_proxy_is_waited_for_within_the_timeout(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        result = run(*through(scheme, place, "127.0.0.1", "80", "--connect-timeout", "0.4"), stdin=b"x")
    assert result.status == 1 and "timed out after 0.4 s [ETIMEDOUT" in result.said and "does not answer" in result.said


def test_a_signal_while_the_proxy_is_silent() -> None:
    def talk(sock: socket.socket, seen: Seen) -> None:
        seen.append(exactly(sock, 3))
        seen.append(receive_all(sock))

    with scripted(talk) as (place, seen):
        with Process(*through("socks5", place, "127.0.0.1", "80", "-v")) as process:
            eventually(lambda: bool(seen))
            result = process.stop()
    assert result.status == -15 and seen == [b"\x05\x01\x00", b""]


def test_a_proxy_that_is_not_there() -> None:
    place = f"127.0.0.1:{free_port()}"
    result = run(*through("socks5", place, "127.0.0.1", "80", "--json", login=f"bob:{SECRET}@"))
    assert result.status == 1 and "ECONNREFUSED" in result.said and SECRET not in result.said
    assert "that is the proxy's address" in result.said


@needs_linux
def test_the_other_addresses_of_a_name_are_asked_for_too(tmp_path: Path) -> None:
    """A server may be on one address of its name alone: no fall-back is an old complaint."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 twice.test\n::1 twice.test\n")
    asked = []

    def talk(sock: socket.socket, seen: Seen) -> None:
        exactly(sock, 3)
        sock.sendall(GREETED)
        kind = exactly(sock, 4)[3]
        asked.append(kind)
        exactly(sock, {1: 6, 4: 18}[kind])
        if len(asked) == 1:
            sock.sendall(b"\x05\x05\x00\x01" + bytes(6))
        else:
            sock.sendall(OPENED)
            echo(sock)

    mounted = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts))
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("CANNOT: a mount namespace takes privileges")
    with scripted(talk, 2) as (place, _):
        result = run(*through("socks5", place, "twice.test", "80"), stdin=b"hi", prefix=mounted)
    assert (result.status, result.out) == (0, b"hi")
    assert sorted(asked) == [1, 4] and "Connection refused" in result.said


# ---- with everything else


class Papers:
    """An authority's file, and a server's certificate with its key."""

    def __init__(self, folder: Path, name: str) -> None:
        authority = trustme.CA()
        self.ca, self.cert = str(folder / "ca.pem"), str(folder / "server.pem")
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(self.cert)


def relaying(sock: socket.socket, seen: Seen) -> None:
    """An honest SOCKS5 proxy of a few lines: for names under .test it is 127.0.0.1 that is meant."""
    exactly(sock, exactly(sock, 2)[1])
    sock.sendall(GREETED)
    kind = exactly(sock, 4)[3]
    host = exactly(sock, exactly(sock, 1)[0]) if kind == 3 else exactly(sock, 4)
    port = int.from_bytes(exactly(sock, 2), "big")
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as there:
        seen.append(host)
        sock.sendall(OPENED)

        def back() -> None:
            try:
                while data := there.recv(65536):
                    sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        try:
            while data := sock.recv(65536):
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        thread.join(TIMEOUT)


def test_tls_is_with_the_target(tmp_path: Path) -> None:
    papers = Papers(tmp_path, "target.test")
    data = bytes(range(256)) * 1000
    with Server("--tls", "--cert", papers.cert) as server, scripted(relaying, 2) as (place, seen):
        to = ("--tls", "--ca", papers.ca, "-v")
        result = run(*through("socks5h", place, "target.test", str(server.port), *to), stdin=data)
        assert (result.status, result.out) == (0, data)
        assert "TLSv1.3" in result.said and "verified by" in result.said
        other = run(*through("socks5h", place, "other.test", str(server.port), *to), stdin=b"PASSWORD")
        assert (other.status, other.out) == (1, b"") and "HOSTNAME_MISMATCH" in other.said
        assert "PASSWORD" not in server.stop().said
    assert seen == [b"target.test", b"other.test"]


def test_recordings_and_the_story_as_json(tmp_path: Path) -> None:
    files = [str(tmp_path / f"s.{suffix}") for suffix in ("ndjson", "pcapng", "txt", "raw", "html", "svg")]
    outputs = [word for file in files for word in ("-o", file)]
    with Server() as server, scripted(relaying, 2) as (place, _):
        to = (*through("socks5h", place, "target.test", str(server.port), login=f"bob:{SECRET}@"), "--json", "-v")
        result = run(*to, *outputs, stdin=b"recorded")
        assert (result.status, result.out) == (0, b"recorded")
        again = run(*through("socks5h", place, "target.test", str(server.port), "--replay", files[0], "-q"))
        assert again.status == 0, again
        server.stop()
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert data and SECRET.encode() not in data and b"bob" not in data, file
    events = checked(result.said)
    steps = [(event["step"], event["code"]) for event in events if event["event"] == "proxied"]
    assert steps == [("connected", None), ("method", 0), ("request", None), ("reply", 0)]
    (opened,) = [event for event in events if event["event"] == "opened"]
    assert (opened["peer"], opened["via"]) == (f"target.test:{server.port}", place)
    tshark = need("tshark") if os.environ.get("CI") else None
    if tshark:
        shown = subprocess.run([tshark, "-r", files[1]], capture_output=True, text=True, check=True).stdout
        assert f"{server.port}" in shown and "192.0.2.2" in shown


def test_z_asks_the_proxy_and_sends_nothing() -> None:
    with Server() as server, scripted(relaying, 2) as (place, seen):
        result = run(*through("socks5h", place, "target.test", str(server.port), "-z", "-v"))
        assert result.status == 0 and f"via {place} connected" in result.said
        assert "received 0 bytes" in server.stop().said
        assert run(*through("socks5h", place, "target.test", str(server.port), "-z")).status == 1
    assert seen == [b"target.test", b"ConnectionRefusedError"]


def test_tried_again_where_the_target_is_not_there_yet() -> None:
    def talk(sock: socket.socket, seen: Seen) -> None:
        exactly(sock, 3)
        sock.sendall(GREETED)
        exactly(sock, 10)
        seen.append(b"asked")
        if len(seen) < 3:
            sock.sendall(b"\x05\x05\x00\x01" + bytes(6))
            return
        sock.sendall(OPENED)
        echo(sock)

    with scripted(talk, 3) as (place, seen):
        args = through("socks5", place, "127.0.0.1", "80", "--retry", "5", "--retry-delay", "0.05", "-v")
        result = run(*args, stdin=b"hi")
    assert (result.status, result.out, len(seen)) == (0, b"hi", 3)
    assert "attempt 2 of 6" in result.said and "SOCKS5 reply 5" in result.said
    with scripted(answering((3, b"\x05\xff"))) as (place, _):
        result = run(*through("socks5", place, "127.0.0.1", "80", "--retry", "5", "--retry-delay", "0.05"))
    assert result.status == 1 and "does not pass by waiting" in result.said


@pytest.mark.parametrize("answer", [b"500 Unable to connect", b"502 Bad Gateway", b"503 Busy", b"504 Gateway Timeout"])
def test_tried_again_where_an_http_proxy_did_not_reach_the_target(answer: bytes) -> None:
    """500 is tinyproxy's answer, 503 squid's."""

    def talk(sock: socket.socket, seen: Seen) -> None:
        seen.append(head(sock))
        sock.sendall(b"HTTP/1.1 " + (answer if len(seen) == 1 else b"200 OK") + b"\r\n\r\n")
        if len(seen) > 1:
            echo(sock)

    with scripted(talk, 2) as (place, seen):
        result = run(*through("http", place, "127.0.0.1", "80", "--wait-for", "20", "-v"), stdin=b"hi")
    assert (result.status, result.out, len(seen)) == (0, b"hi", 2), result.said
    assert f"HTTP status {int(answer[:3])}]; attempt 2" in result.said


def test_a_program_talks_through_a_proxy_and_inherits_no_password() -> None:
    env = {"SOCKKIT_PROXY_AUTH": f"bob:{SECRET}"}
    with Server("--mode", "pipe") as server, scripted(relaying) as (place, _):
        args = through("socks5h", place, "target.test", str(server.port), "--exec", "--", "/bin/sh", "-c", "env")
        assert run(*args, env=env).status == 0
        server.close_stdin()
        assert b"SOCKKIT_" in server.finish().out and SECRET.encode() not in server.out
        assert b"target.test" in server.out


def test_a_proxy_that_ends_both_directions_when_one_has_ended_is_doubted() -> None:
    def talk(sock: socket.socket, seen: Seen) -> None:
        exactly(sock, 3)
        sock.sendall(GREETED)
        exactly(sock, 10)
        sock.sendall(OPENED)
        seen.append(receive_all(sock))

    with scripted(talk) as (place, seen):
        result = run(*through("socks5", place, "127.0.0.1", "80"), stdin=b"hi")
    assert (result.status, result.out, seen) == (0, b"", [b"hi"])
    assert "warning: nothing was received" in result.said and "--no-shutdown" in result.said


# ---- user names and passwords


def test_a_file_with_the_password(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text(f"bob:{SECRET}\nnot this\n")
    file.chmod(0o600)
    login = b"\x01\x03bob\x0b" + SECRET.encode()
    script = answering((4, b"\x05\x02"), (len(login), b"\x01\x00"), (10, OPENED))
    with scripted(script, 2) as (place, seen):
        args = through("socks5", place, "127.0.0.1", "80", "--proxy-auth-file", str(file))
        private = run(*args, stdin=b"hi")
        file.chmod(0o644)
        public = run(*args, stdin=b"hi")
    assert (private.status, private.err) == (0, b"")
    assert public.status == 0 and "mode 644" in public.said and "chmod 600" in public.said and SECRET not in public.said
    assert seen[1] == login


@needs_linux
def test_a_password_from_a_descriptor_is_nowhere_to_be_seen() -> None:
    reading, writing = os.pipe()
    os.write(writing, f"bob:{SECRET}".encode())
    os.close(writing)

    def talk(sock: socket.socket, seen: Seen) -> None:
        seen.append(receive_all(sock))

    with scripted(talk) as (place, _):
        args = through("socks5", place, "127.0.0.1", "80", "-v", "--proxy-auth-file", f"/dev/fd/{reading}")
        with Process(*args, pass_fds=(reading,)) as process:
            process.wait_for(rb"connected \(here")
            assert SECRET.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
            assert SECRET not in process.stop().said
    os.close(reading)


@needs_linux
def test_a_password_before_the_payload_takes_nothing_of_it() -> None:
    login = b"\x01\x03bob\x01x"
    with scripted(answering((4, b"\x05\x02"), (len(login), b"\x01\x00"), (10, OPENED))) as (place, seen):
        args = through("socks5", place, "127.0.0.1", "80", "--proxy-auth-file", "/dev/stdin")
        result = run(*args, stdin=b"bob:x\npayload\n")
    assert (result.status, result.out, seen[1]) == (0, b"payload\n", login)


@needs_ipv6
def test_a_proxy_at_an_ipv6_address() -> None:
    script = answering((3, GREETED), (10, OPENED))
    with scripted(script, host="::1") as (place, _):
        result = run(*through("socks5", place, "127.0.0.1", "80", "-6", "-s", "::1", "-v"), stdin=b"hi")
    assert (result.status, result.out) == (0, b"hi") and f"127.0.0.1:80 via {place} connected" in result.said


def test_a_missing_file_is_not_named() -> None:
    """Whoever comes from ncat types the password itself there."""
    result = run(*through("socks5", "127.0.0.1:1", "127.0.0.1", "80", "--proxy-auth-file", f"bob:{SECRET}"))
    assert result.status == 2 and "cannot be read" in result.said and SECRET not in result.said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:1080", "SCHEME://HOST:PORT"),
        (f"bob:{SECRET}@127.0.0.1:1080", "SCHEME://HOST:PORT"),
        ("ftp://127.0.0.1:1080", "socks5h://"),
        (f"https://bob:{SECRET}@127.0.0.1:1080", "TLS to the proxy itself"),
        ("socks5://", "host is missing"),
        ("socks5://:1080", "host is missing"),
        (f"socks5://bob:{SECRET}", "no number from 1 to 65535"),
        ("socks5://127.0.0.1:0", "no number from 1 to 65535"),
        ("socks5://127.0.0.1:65536", "no number from 1 to 65535"),
        ("socks5://127.0.0.1:", "no number from 1 to 65535"),
        ("socks5://::1:1080", "brackets"),
        ("socks5://[::1:1080", "brackets"),
        ("socks5://[::1]1080", "brackets"),
        ("socks5://bad_host..:1080", "neither a name nor an address"),
        ("http://127.0.0.1", "port is missing"),
        ("http://127.0.0.1:3128/path", "nothing follows"),
        (f"http://bob:{SECRET}/@127.0.0.1:3128", "%2F"),
        (f"http://bob:{SECRET}%zz@127.0.0.1:3128", "%25"),
        (f"http://bob:{SECRET}%@127.0.0.1:3128", "%25"),
        (f"http://bob:{SECRET}%00@127.0.0.1:3128", "control character"),
        (f"http://b%3Ab:{SECRET}@127.0.0.1:3128", "colon"),
        (f"socks4://bob:{SECRET}@127.0.0.1:1080", "no password"),
        (f"socks5://:{SECRET}@127.0.0.1:1080", "user name is empty"),
        (f"socks5://bob:{SECRET * 30}@127.0.0.1:1080", "255"),
        (f"socks5://bob:{SECRET} x@127.0.0.1:1080", "character"),
    ],
)
def test_malformed_urls_are_refused_without_the_password(url: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        proxies.parse(url)
    assert said in f"{caught.value}" and SECRET not in f"{caught.value} {caught.value.hint} {caught.value.cause}"


def test_a_malformed_url_is_one_line() -> None:
    for more in ((), ("--json",)):
        url = f"socks5://bob:{SECRET}@127.0.0.1:99999"
        result = run("connect", "--proxy", url, "127.0.0.1", "80", *more, stdin=b"x")
        assert result.status == 2 and "--proxy" in result.said and SECRET not in result.said
        assert "its port is no number from 1 to 65535" in result.said and len(result.said.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "given", "option"),
    [
        ("127.0.0.1 80", {"udp": True}, "-u"),
        ("/tmp/none", {"unix": True}, "-U"),
        ("/tmp/none", {}, "ADDRESS"),
        ("127.0.0.1 80", {"type": "DGRAM"}, "--type"),
        ("/tmp/none", {"family": "UNIX"}, "--family"),
        ("", {"fileno": "0"}, "--fileno"),
        ("127.0.0.1 80", {"oob": b"x"}, "--oob"),
        ("127.0.0.1 80", {"code": True}, "--code"),
        ("127.0.0.1 80", {"send_fds": (0,)}, "--send-fd"),
        ("127.0.0.1 80", {"tls": True, "zero": True}, "-z"),
        ("example.test 80", {"numeric": True}, "-n"),
        ("fe80::1%1 80", {}, "ADDRESS"),
        ("127.0.0.1 0", {}, "PORT"),
        ("127.0.0.1 80", {"ipv6": True}, "--proxy"),
    ],
)
def test_what_does_not_go_through_a_proxy_is_refused_by_name(words: str, given: dict[str, object], option: str) -> None:
    proxy = proxies.parse(f"socks5h://bob:{SECRET}@127.0.0.1:1")
    events: list[Event] = []
    env = Env(0, 1, events.append, 0, time.monotonic)
    with pytest.raises(UsageError) as caught:
        connect.run(connect.ConnectPlan(proxy=proxy, address=tuple(words.split()), **given), env)
    assert caught.value.option == option and SECRET not in f"{caught.value} {caught.value.hint}"
    assert not events, "and nothing was done"


def test_other_refusals() -> None:
    ipv6 = run("connect", "--proxy", "socks4a://127.0.0.1:1", "::1", "80")
    assert ipv6.status == 2 and "IPv4 alone" in ipv6.said
    alone = run("connect", "--proxy-auth-file", "x", "127.0.0.1", "80")
    assert alone.status == 2 and "--proxy URL" in alone.said
    twice = run(*through("socks5", "127.0.0.1:1", "127.0.0.1", "80", "--proxy-auth-file", "x", login="bob:x@"))
    assert twice.status == 2 and "give one" in twice.said
    env = {"SOCKKIT_PROXY_AUTH": SECRET}
    bare = run(*through("socks5", "127.0.0.1:1", "127.0.0.1", "80"), env=env)
    assert bare.status == 2 and "SOCKKIT_PROXY_AUTH" in bare.said and SECRET not in bare.said


URL = f"socks5://bob:{SECRET}@127.0.0.1:1"


@pytest.mark.parametrize(
    "words",
    [
        ("connet", "--proxy", URL, "127.0.0.1", "80"),
        ("-l", "--proxy", URL, "80"),
        ("connect", "--nothing", "--proxy", URL, "127.0.0.1", "80"),
        ("connect", "-q", "1", "--proxy", URL, "127.0.0.1", "80", "--json"),
        ("connect", URL),
        ("connect", URL.replace(SECRET, SECRET * 9)),
        ("connect", "--proxy-auth", f"bob:{SECRET}", "--proxy", "127.0.0.1:1", "127.0.0.1", "80"),
        ("connect", "--proxy-auth", f"bob:{SECRET}", "--proxy", "socks5://127.0.0.1:1", "127.0.0.1", "80"),
        ("-", f"PROXY:127.0.0.1:localhost:80,proxyauth=bob:{SECRET}"),
        (f"PROXY:127.0.0.1:localhost:80,proxyauth=bob:{SECRET}", "-"),
    ],
)
def test_no_complaint_repeats_a_password(words: tuple[str, ...]) -> None:
    """Some answer with the command to type, which is made of what was typed."""
    result = run(*words)
    assert result.status == 2 and SECRET not in result.said
    if "--proxy-auth" in words:
        assert "--proxy-auth-file FILE" in result.said


def test_the_usual_variables_are_not_used_unasked() -> None:
    env = dict.fromkeys(("all_proxy", "ALL_PROXY", "http_proxy", "https_proxy"), "socks5://127.0.0.1:1")
    with Server() as server:
        result = run("connect", str(server.port), stdin=b"direct", env=env)
        assert (result.status, result.out) == (0, b"direct")
        server.stop()


def test_without_its_library_it_says_how_to_get_it(tmp_path: Path) -> None:
    for name in ("socksio", "h11"):
        (tmp_path / f"{name}.py").write_text("raise ImportError")
    env = {"PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))}
    for scheme, library in (("socks5", "socksio"), ("http", "h11")):
        result = run(*through(scheme, "127.0.0.1:1", "127.0.0.1", "80"), env=env)
        assert result.status == 2 and library in result.said and "pip install 'sockkit[proxy]'" in result.said


# ---- URLs, whatever they are

TEXT = st.text(max_size=20)


@given(
    scheme=st.sampled_from([*proxies.SCHEMES, "https", "ftp", ""]),
    user=TEXT,
    password=st.text(min_size=4, max_size=20).filter(lambda text: text.strip("/:@?#[]. ")),
    place=st.sampled_from(["127.0.0.1:1", "[::1]:80", "host", "", ":", "[", "a:b:c", "host:99999", "host/x", "host:1/"])
    | TEXT,
    separator=st.sampled_from(["://", ":", "//", ""]),
)
def test_any_url_is_taken_or_refused_without_repeating_it(
    scheme: str, user: str, password: str, place: str, separator: str
) -> None:
    password = f"<{password}>"
    try:
        found = proxies.parse(f"{scheme}{separator}{user}:{password}@{place}")
    except UsageError as error:
        assert password not in f"{error} {error.hint} {error.cause}"
    else:
        assert found.scheme == scheme and 1 <= found.port <= 65535
        assert password not in f"{found!r} {found.text}"


@given(user=st.binary(min_size=1, max_size=40), password=st.binary(max_size=40))
def test_percent_encoding_carries_any_bytes_but_controls(user: bytes, password: bytes) -> None:
    encoded = ["".join(f"%{byte:02X}" for byte in data) for data in (user, password)]
    url = f"socks5://{':'.join(encoded)}@h"
    if any(byte < 32 or byte == 127 for byte in user + password):
        with pytest.raises(UsageError):
            proxies.parse(url)
        return
    found = proxies.parse(url)
    assert found == ("socks5", "h", 1080, (user, password))


@given(
    data=st.binary(max_size=60)
    | st.sampled_from(
        [
            b"HTTP/1.1 101 X\r\n\r\n",
            b"HTTP/1.1 100 X\r\n\r\n" * 2,
            b"HTTP/1.1 204 X\r\n\r\n12345",
            b"HTTP/9 abc\r\n\r\n",
        ]
    ),
    begun=st.booleans(),
    scheme=st.sampled_from(["socks4", "socks4a", "socks5", "http"]),
    cut=st.integers(1, 9),
)
def test_any_answer_is_an_answer_or_a_proxy_error(data: bytes, begun: bool, scheme: str, cut: int) -> None:
    """Nothing else is raised, whatever comes in whatever pieces; and nothing behind the answer is taken."""
    proxy = proxies.Proxy(scheme, "h", 1)
    request = proxies.ask(proxy, proxies.Login(b"u", b"p"), proxies.Destination(None, b"name", 80))
    if begun:
        data = {"socks5": GREETED, "http": b"HTTP/1.1 200 "}.get(scheme, b"\x00\x5a") + data
    rest = data
    try:
        while rest and not request.done:
            taken = request.receive(rest[:cut])
            assert 0 < taken <= cut or request.done
            rest = rest[taken:]
            request.to_send()
        if not request.done:
            request.receive(b"")
            raise AssertionError("an end is never an answer")
    except proxies.ProxyError:
        return
    assert request.done


# ---- real proxies


@contextmanager
def program(*command: str | Path) -> Iterator[str]:
    """A proxy from Debian's packages, once it listens on a port of its own; yields its HOST:PORT."""
    started = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + TIMEOUT
        while True:
            found = _listens(started.pid)
            if found:
                break
            assert started.poll() is None, started.stderr and started.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)  # nothing that could be waited for says so
        yield f"127.0.0.1:{found}"
    finally:
        started.terminate()
        started.wait(TIMEOUT)
        if started.stderr:
            started.stderr.close()


def _listens(pid: int) -> int | None:
    """The port on which a process listens."""
    ours = {int(name[8:-1]) for name in sockets(pid)}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[9]) in ours:
            return int(fields[1].rpartition(":")[2], 16)
    return None


@contextmanager
def https(folder: Path) -> Iterator[int]:
    """Python's http.server with a page and a certificate for localhost, whose issuer is in ca.pem; yields its port."""
    papers = Papers(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.cert)

    class Page(http_server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello through the proxy\n")

        def log_message(self, format: str, *args: object) -> None:
            pass

        def finish(self) -> None:
            super().finish()
            self.connection.unwrap()  # http.server alone leaves TLS without its end  # type: ignore[attr-defined]

    with http_server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(TIMEOUT)


@pytest.mark.once
def test_an_https_get_through_a_socks5_proxy(tmp_path: Path) -> None:
    """As docs/proxies.md shows it: its commands are run, and must print what stands there."""
    page = docs.ROOT / "docs" / "proxies.md"
    shown = tmp_path / page.name
    shown.write_text(page.read_text().replace("```text", "```console"))
    with https(tmp_path) as port, program(need("microsocks"), "-i", "127.0.0.1", "-p", "0") as place:
        proxy = place.rpartition(":")[2]
        for example in docs.examples(shown):
            found = docs.actual(f"cp {tmp_path}/ca.pem .; proxy={proxy} port={port}; {example.command}")
            assert docs.matches(example.shown, found.replace("\r", "")), found


@pytest.mark.once
def test_microsocks_wants_a_password_and_knows_no_half_close(tmp_path: Path) -> None:
    wants = ("-i", "127.0.0.1", "-p", "0", "-u", "bob", "-P", SECRET)
    with Server("--sh-exec", "read x; sleep 1; echo late") as server, program(need("microsocks"), *wants) as place:
        args = through("socks5", place, "127.0.0.1", str(server.port), "-v")
        login = {"SOCKKIT_PROXY_AUTH": f"bob:{SECRET}"}
        good = run(*args, "--no-shutdown", stdin=b"hi\n", env=login)
        assert (good.status, good.out) == (0, b"late\n") and SECRET not in good.said
        cut = run(*args, stdin=b"hi\n", env=login)
        assert (cut.status, cut.out) == (0, b"") and "--no-shutdown" in cut.said
        wrong = run(*args, stdin=b"hi\n", env={"SOCKKIT_PROXY_AUTH": "bob:wrong"})
        assert wrong.status == 1 and "refuses the user name and password" in wrong.said
        nobody = run(*args, stdin=b"hi\n")
        assert nobody.status == 1 and "--proxy-auth-file" in nobody.said
        server.stop()


@pytest.mark.once
def test_dante_speaks_socks4_and_5_and_has_rules(tmp_path: Path) -> None:
    config, port = tmp_path / "danted.conf", free_port()
    with Server() as server:
        rules = f"pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = {server.port} }}"
        config.write_text(
            f"logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\nsocksmethod: none\n"
            f"clientmethod: none\nclient pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\nsocks {rules}\n"
        )
        data = os.urandom(300_000)
        with program(need("danted"), "-f", config) as place:
            for scheme in ("socks4", "socks5", "socks5h"):
                result = run(*through(scheme, place, "localhost", str(server.port), "-v"), stdin=data)
                assert (result.status, result.out) == (0, data), result.said
                assert "from 127.0.0.1:" in result.said
            for scheme, name in (("socks4", "SOCKS4 reply 91"), ("socks5", "not allowed by ruleset [SOCKS5 reply 2]")):
                result = run(*through(scheme, place, "127.0.0.1", "1"), stdin=b"x")
                assert result.status == 1 and name in result.said, result
        server.stop()


@pytest.mark.once
def test_tinyproxy_connects_and_wants_a_password(tmp_path: Path) -> None:
    config, port = tmp_path / "tinyproxy.conf", free_port()
    with Server("--tls") as server:
        config.write_text(
            f"Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 8\nBasicAuth bob {SECRET}\nConnectPort {server.port}\n"
        )
        pinned = re.search(rb"SHA-256 ([0-9a-f]{64})", server.err)
        assert pinned
        data = os.urandom(300_000)
        with program(need("tinyproxy"), "-d", "-c", config) as place:
            args = through("http", place, "localhost", str(server.port), "--tls", "--fingerprint", pinned[1].decode())
            login = {"SOCKKIT_PROXY_AUTH": f"bob:{SECRET}"}
            result = run(*args, "-v", stdin=data, env=login)
            assert (result.status, result.out) == (0, data), result.said
            assert "answered: 200" in result.said and SECRET not in result.said
            nobody = run(*args, stdin=b"x")
            assert nobody.status == 1 and "HTTP status 407" in nobody.said and "--proxy-auth-file" in nobody.said
            wrong = run(*args, stdin=b"x", env={"SOCKKIT_PROXY_AUTH": "bob:wrong"})
            assert wrong.status == 1 and "refuses the user name and password" in wrong.said
            forbidden = run(*through("http", place, "127.0.0.1", "1"), stdin=b"x", env=login)
            assert forbidden.status == 1 and "HTTP status 403" in forbidden.said
        server.stop()


@pytest.mark.once
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="CANNOT: no sshd here")
def test_ssh_speaks_socks4a(tmp_path: Path) -> None:
    """``ssh -D``, to an sshd of the test's own."""
    sshd, ssh, keygen = need("sshd"), need("ssh"), need("ssh-keygen")
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    config = tmp_path / "sshd.conf"
    config.write_text(
        f"Port {free_port()}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/user.pub\n"
        f"StrictModes no\nPidFile none\nUsePAM no\nPermitRootLogin yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # which it insists on
    with Server() as server, program(sshd, "-D", "-e", "-f", config) as there:
        client: list[str | Path] = [ssh, "-N", "-F", "none", "-i", tmp_path / "user", "-o", "StrictHostKeyChecking=no"]
        client += [
            "-o",
            f"UserKnownHostsFile={tmp_path}/known",
            "-p",
            there.rpartition(":")[2],
            "-D",
            f"127.0.0.1:{free_port()}",
        ]
        with program(*client, "127.0.0.1") as place:
            for scheme in ("socks4a", "socks5h"):
                result = run(*through(scheme, place, "localhost", str(server.port), "-4"), stdin=b"hi")
                assert (result.status, result.out) == (0, b"hi"), result.said
        server.stop()
