"""Group I: TLS. The peers are Python's own ssl and openssl's programs; certificates are trustme's."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from sockkit.carriers import Secured
from sockkit.tls import Credentials
from tests.harness import TIMEOUT, Server, need, needs_unix, receive_all, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CANNOT: pipes as POSIX has them")


class Papers:
    """An authority, its file, and a server's context."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.folder = folder

    def context(self, *names: str, **more: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names, **more).configure_cert(context)  # type: ignore[arg-type]
        return context

    def files(self, *names: str) -> tuple[str, str]:
        """(certificate, key) as files."""
        issued = self.authority.issue_cert(*names)
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        issued.private_key_pem.write_to_path(str(key))
        certificate.unlink(missing_ok=True)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(certificate), append=True)
        return str(certificate), str(key)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


@contextmanager
def tls_server(context: ssl.SSLContext, talk: Callable[[ssl.SSLSocket], None]) -> Iterator[tuple[int, list[bytes]]]:
    """A server for one client. What it received before an error is in the list, as are the errors, by name."""
    seen: list[bytes] = []

    def serve() -> None:
        sock, _ = listening.accept()
        sock.settimeout(TIMEOUT)
        try:
            with context.wrap_socket(sock, server_side=True) as secured:
                talk(secured)
        except (OSError, ssl.SSLError) as error:
            seen.append(type(error).__name__.encode())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], seen
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def echo(secured: ssl.SSLSocket) -> None:
    data = b""
    while part := secured.recv(65536):
        data += part
    secured.sendall(data)
    secured.unwrap()


def test_i1_a_certificate_that_nobody_vouches_for(papers: Papers) -> None:
    got: list[bytes] = []
    with tls_server(papers.context("localhost"), lambda secured: got.append(secured.recv(100))) as (port, seen):
        result = run("connect", "--tls", "localhost", str(port), "-4", stdin=b"PASSWORD")
    assert (result.status, result.out) == (1, b"")
    assert "certificate verify failed" in result.said and "X509_V_ERR_" in result.said and "--ca" in result.said
    assert not b"".join(got) and seen


def test_i2_a_certificate_for_another_name(papers: Papers) -> None:
    got: list[bytes] = []
    with tls_server(
        papers.context("elsewhere.example", "b.example"), lambda secured: got.append(secured.recv(100))
    ) as (port, _):
        result = run("connect", "--tls", "--ca", papers.ca, "localhost", str(port), "-4", stdin=b"PASSWORD")
    assert (result.status, result.out) == (1, b"")
    assert "HOSTNAME_MISMATCH" in result.said and "--server-name" in result.said
    assert "is for elsewhere.example, b.example" in result.said
    assert not b"".join(got)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_i4_a_good_certificate(papers: Papers, name: str) -> None:
    data = bytes(range(256)) * 2000
    with tls_server(papers.context(name), echo) as (port, seen):
        result = run("connect", "--tls", "--ca", papers.ca, name, str(port), "-4", "-v", stdin=data)
    assert (result.status, result.out, seen) == (0, data, [])
    assert "TLSv1.3" in result.said and "verified by" in result.said and "TLS close_notify received" in result.said


def test_i4_the_name_may_be_said_and_a_unix_socket_needs_it(papers: Papers) -> None:
    with tls_server(papers.context("service.example"), echo) as (port, _):
        args = ("--tls", "--ca", papers.ca, "--server-name", "service.example", "127.0.0.1", str(port))
        assert run("connect", *args, stdin=b"hi").out == b"hi"
    result = run("connect", "--tls", "-U", "/nowhere/at/all")
    assert result.status == 2 and "--server-name" in result.said


def test_i4_a_rooted_name(papers: Papers) -> None:
    """The dot at its end is the name server's: no certificate has it, and SNI must not (RFC 6066, section 3)."""
    sent: list[str | None] = []
    context = papers.context("service.example")
    context.sni_callback = lambda secured, name, _: sent.append(name)
    with tls_server(context, echo) as (port, _):
        args = ("--tls", "--ca", papers.ca, "--server-name", "service.example.", "127.0.0.1", str(port))
        result = run("connect", *args, stdin=b"hi")
    assert (result.status, result.out, sent) == (0, b"hi", ["service.example"]), result.said


def test_a_certificate_that_nobody_vouches_for_is_said(tmp_path: Path) -> None:
    """So that its fingerprint can be compared, and pinned."""
    with Server("--tls") as server:
        shown = re.search(rb"SHA-256 ([0-9a-f]{64})", server.err)
        result = run("connect", "--tls", "127.0.0.1", str(server.port), stdin=b"secret")
        said = server.stop().said
    assert shown and result.status == 1
    assert f"(SHA-256 {shown[1].decode()})" in result.said and "(CN=sockkit throw-away certificate)" in result.said
    assert "received 0 bytes" in said


def test_a_certificate_whose_time_is_over(papers: Papers) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    papers.authority.issue_cert(
        "localhost", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC)
    ).configure_cert(context)
    with tls_server(context, echo) as (port, _):
        result = run("connect", "--tls", "--ca", papers.ca, "localhost", str(port), "-4", stdin=b"secret")
    assert result.status == 1 and "X509_V_ERR_CERT_HAS_EXPIRED" in result.said
    assert "since 2021-01-01T00:00:00Z" in result.said


def test_i5_insecure_works_and_warns_every_time(papers: Papers) -> None:
    with tls_server(papers.context("elsewhere.example"), echo) as (port, _):
        result = run("connect", "--tls", "--insecure", "127.0.0.1", str(port), "-q", stdin=b"hi")
    assert (result.status, result.out) == (0, b"hi")
    assert "warning" in result.said and "anybody" in result.said


def test_i6_an_end_without_close_notify(papers: Papers) -> None:
    def cut(secured: ssl.SSLSocket) -> None:
        secured.sendall(b"PARTIAL")
        with socket.socket(fileno=secured.detach()) as sock:
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass

    with tls_server(papers.context("localhost"), cut) as (port, _):
        result = run("connect", "--tls", "--ca", papers.ca, "localhost", str(port), "-4")
    assert (result.status, result.out) == (1, b"PARTIAL")
    assert "truncated" in result.said


@contextmanager
def open_stdin(data: bytes) -> Iterator[int]:
    """It has some bytes, and stays open."""
    ours, theirs = os.pipe()
    try:
        os.write(theirs, data)
        yield ours
    finally:
        os.close(ours)
        os.close(theirs)


def leave(secured: ssl.SSLSocket) -> None:
    """Say close_notify, and wait for none (RFC 8446, section 6.1): as HTTP's servers do."""
    secured.setblocking(False)
    with pytest.raises(ssl.SSLError):  # it wants to read, or has read what is none
        secured.unwrap()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("request_", [b"", b"GET /"])
def test_a_peer_that_ends_first_and_takes_no_farewell(papers: Papers, version: ssl.TLSVersion, request_: bytes) -> None:
    """All was said: that the answer to its close_notify finds nobody is neither a loss nor a failure."""

    def talk(secured: ssl.SSLSocket) -> None:
        assert secured.recv(100) == request_ if request_ else True
        secured.sendall(b"page")
        leave(secured)

    context = papers.context("localhost")
    context.maximum_version = version
    with open_stdin(request_) as stdin, tls_server(context, talk) as (port, _):
        args = ("--tls", "--ca", papers.ca, "localhost", str(port), "-4", "--after-end", "0.2")
        result = run("connect", *args, stdin=stdin)
    assert (result.status, result.out, result.said) == (0, b"page", "")


@needs_unix
@pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: the kernel does not say what a peer left unread")
@pytest.mark.parametrize(("taken", "status"), [(60_000, 0), (10, 1)])
def test_a_unix_peer_that_ends_first(papers: Papers, tmp_path: Path, taken: int, status: int) -> None:
    """There the kernel says whether anything was left unread."""

    def serve() -> None:
        sock, _ = listening.accept()
        with context.wrap_socket(sock, server_side=True) as secured:
            size = 0
            while size < taken:
                size += len(secured.recv(min(16384, taken - size)))
            secured.sendall(b"page")
            leave(secured)

    context = papers.context("localhost")
    path = str(tmp_path / "u.sock")
    with open_stdin(bytes(60_000)) as stdin, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        args = ("--tls", "--ca", papers.ca, "--server-name", "localhost", "-U", path, "--after-end", "0.2")
        result = run("connect", *args, stdin=stdin)
        thread.join(TIMEOUT)
    assert (result.status, result.out) == (status, b"page"), result.said
    assert bool(result.said) == bool(status)


def test_a_client_that_takes_no_farewell(papers: Papers) -> None:
    certificate, key = papers.files("localhost")
    args = ("--mode", "pipe", "--tls", "--cert", certificate, "--key", key, "--after-end", "0.2")
    with Server(*args, stdin=subprocess.PIPE) as server:
        context = ssl.create_default_context(cafile=papers.ca)
        with context.wrap_socket(server.connect(), server_hostname="localhost") as secured:
            secured.sendall(b"data")
            leave(secured)
        result = server.finish()
    assert (result.status, result.out) == (0, b"data"), result.said
    assert "lost" not in result.said


def test_what_a_peer_that_ends_first_did_not_take_is_lost(papers: Papers) -> None:
    """The other side of it: behind the peer's close_notify there was something of ours."""

    def talk(secured: ssl.SSLSocket) -> None:
        secured.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert secured.recv(100)
        leave(secured)

    with open_stdin(bytes(60_000)) as stdin, tls_server(papers.context("localhost"), talk) as (port, _):
        args = ("--tls", "--ca", papers.ca, "localhost", str(port), "-4", "--after-end", "0.2")
        result = run("connect", *args, stdin=stdin)
    assert result.status == 1 and re.search("ECONNRESET|EPIPE", result.said), result.said


def test_i7_a_server_without_tls() -> None:
    with Server("--mode", "chargen") as server:
        result = run("connect", "--tls", "127.0.0.1", str(server.port))
        server.stop(busy=True)
    assert result.status == 1 and "not TLS" in result.said and not result.out


def test_i8_a_silent_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        result = run("connect", "--tls", "--handshake-timeout", "0.5", "127.0.0.1", port, stdin=b"secret")
    assert result.status == 1 and "handshake" in result.said and "ETIMEDOUT" in result.said


def test_i8_w_holds_for_the_handshake_too() -> None:
    """10 seconds of silence are not what ``-w 0.3`` asks for; ncat's and curl's limits have the handshake in them."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = run("connect", "--tls", "-w", "0.3", "127.0.0.1", str(silent.getsockname()[1]), stdin=b"secret")
    assert result.status == 1 and "handshake" in result.said and "after 0.3 s" in result.said


def test_i10_a_client_without_tls_and_then_a_good_one(papers: Papers) -> None:
    certificate, key = papers.files("localhost")
    with Server("--tls", "--cert", certificate, "--key", key) as server:
        with server.connect() as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                receive_all(plain)
            except ConnectionResetError:
                pass
        result = run("connect", "--tls", "--ca", papers.ca, "localhost", str(server.port), "-4", stdin=b"good")
        assert (result.status, result.out) == (0, b"good")
        assert "not TLS" in server.stop().said


def test_i11_escapes_in_a_certificate_drive_no_terminal(papers: Papers) -> None:
    context = papers.context("localhost", common_name="evil\x1b[31m\nname")
    with tls_server(context, echo) as (port, _):
        result = run("connect", "--tls", "--ca", papers.ca, "localhost", str(port), "-4", "-v", stdin=b"hi")
    assert result.out == b"hi"  # check(), in run, looks at every byte of stderr
    assert "evil" in result.said


def test_i13_keys_that_cannot_be_used(papers: Papers, tmp_path: Path) -> None:
    certificate, key = papers.files("localhost")
    other = trustme.CA().issue_cert("localhost")
    wrong = tmp_path / "wrong.pem"
    other.private_key_pem.write_to_path(str(wrong))
    locked = tmp_path / "locked.pem"
    openssl = need("openssl")
    subprocess.run([openssl, "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked], check=True)
    for keyfile, said in (
        (str(tmp_path / "none"), "No such file"),
        (str(wrong), "not the key"),
        (str(locked), "passphrase"),
    ):
        for command in (("serve",), ("connect", "localhost", "1")):
            result = run(*command, "--tls", "--cert", certificate, "--key", keyfile, stdin=b"data")
            assert result.status == 2 and said in result.said, result
            # OpenSSL's numbers are no errnos: they were shown as ESTALE; and who looked for a terminal found ENOTTY.
            assert "ESTALE" not in result.said and "ENOTTY" not in result.said and "[errno" not in result.said
    assert run("serve", "--tls", "--key", key).status == 2
    assert run("serve", "--tls", "--cert", str(tmp_path / "none")).status == 2
    assert run("connect", "--tls", "--ca", key, "localhost", "1").status == 2


def test_a_throw_away_certificate_is_said_and_can_be_pinned(tmp_path: Path) -> None:
    with Server("--tls") as server:
        shown = re.search(rb"SHA-256 ([0-9a-f]{64})", server.err)
        assert shown
        pinned = shown[1].decode()
        good = run("connect", "--tls", "--fingerprint", pinned, str(server.port), stdin=b"hi")
        assert (good.status, good.out) == (0, b"hi")
        other = run("connect", "--tls", "--fingerprint", "0" * 64, str(server.port), stdin=b"hi")
        assert (other.status, other.out) == (1, b"") and pinned in other.said
        assert "lost" not in other.said  # session tickets, of a connection that never was one
        assert "received 0 bytes" in server.stop().said


def test_client_certificates(papers: Papers, tmp_path: Path) -> None:
    certificate, key = papers.files("localhost")
    with Server("--tls", "--cert", certificate, "--key", key, "--ca", papers.ca, "-v") as server:
        to = ("--tls", "--ca", papers.ca, "localhost", str(server.port), "-4")
        assert run("connect", *to, "--cert", certificate, "--key", key, stdin=b"hi").out == b"hi"
        refused = run("connect", *to, stdin=b"hi")
        assert refused.status == 1 and not refused.out
        assert "verified by" in server.stop().said


def test_alpn_and_openssl_as_the_client(papers: Papers) -> None:
    openssl = need("openssl")
    certificate, key = papers.files("localhost")
    with Server("--tls", "--cert", certificate, "--key", key, "--alpn", "sockkit/1", "-v") as server:
        client = subprocess.Popen(
            [openssl, "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", papers.ca, "-verify_return_error"]
            + ["-servername", "localhost", "-alpn", "sockkit/1", "-quiet", "-no_ign_eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert client.stdin and client.stdout
        client.stdin.write(b"through openssl\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"through openssl\n"
        client.communicate(timeout=TIMEOUT)
        assert "ALPN sockkit/1" in server.stop().said


@needs_unix
def test_over_a_unix_socket(papers: Papers, tmp_path: Path) -> None:
    certificate, key = papers.files("localhost")
    path = str(tmp_path / "s")
    with Server("-U", path, "--tls", "--cert", certificate, "--key", key, free_port=False) as server:
        args = ("-U", path, "--tls", "--ca", papers.ca, "--server-name", "localhost")
        assert run("connect", *args, stdin=b"hi").out == b"hi"
        server.stop()


@pytest.mark.parametrize("unread", [0, 1, 10_000, 200_000])
def test_our_end_drops_nothing_that_has_come(papers: Papers, unread: int) -> None:
    """close_notify is said while the peer's records wait unread in memory: they are read afterwards, and the end too."""
    from sockkit import tls

    certificate, key = papers.files("localhost")
    server = tls.Credentials(server=True, certificate=certificate, key=key).machine()
    client = tls.Credentials(server=False, name="localhost", ca=papers.ca).machine()
    for side, other in 3 * ((client, server), (server, client)):
        try:
            side.handshake()
        except BlockingIOError:
            pass
        if records := side.to_send():
            other.receive(records)
    reply = bytes(range(256)) * (unread // 256) + b"x" * (unread % 256)
    for at in range(0, unread, 16_384):
        server.write(reply[at : at + 16_384])
    server.end()
    client.receive(server.to_send())
    client.end()
    got, buffer = b"", bytearray(1000)
    while size := client.read(memoryview(buffer)):
        got += buffer[:size]
    assert got == reply
    server.receive(client.to_send())
    assert server.read(memoryview(buffer)) == 0


def test_a_thousand_silent_clients_hold_nobody_up(papers: Papers) -> None:
    import resource

    certificate, key = papers.files("localhost")
    silent: list[socket.socket] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2200:
        pytest.skip(f"CANNOT: only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    try:
        papers_of_ours = ("--cert", certificate, "--key", key)
        with Server("--tls", *papers_of_ours, "--handshake-timeout", "1000", memory=160 << 20) as server:
            for number in range(1000):
                sock = server.connect()
                silent.append(sock)
                if number % 2:
                    sock.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello, and no more
            result = run("connect", "--tls", "--ca", papers.ca, "localhost", str(server.port), "-4", stdin=b"good")
            assert (result.status, result.out) == (0, b"good")
            for sock in silent:
                sock.setblocking(False)
                with pytest.raises(BlockingIOError):  # all of them are still connected
                    sock.recv(1)
            for sock in silent:
                sock.close()
            said = server.stop().said
        assert "total: 1001 sessions" in said.splitlines()[-1]
    finally:
        for sock in silent:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def half_hello(server: Server) -> Iterator[None]:
    """Two clients that come and say nothing, or the beginning of a ClientHello and no more."""
    with server.connect(), server.connect() as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        server.wait_for(rb"#2 [^\n]*connected")
        yield


SILENT = ("--tls", "--handshake-timeout", "1000")


@pytest.mark.parametrize("how", [("--mode", "pipe"), ("--mode", "pipe", "-k"), ("--once",), ("--once", "--exec")])
def test_a_silent_client_takes_nobodys_place(papers: Papers, how: tuple[str, ...]) -> None:
    certificate, key = papers.files("localhost")
    program = ("--", "cat") if "--exec" in how else ()
    args = (*how, *SILENT, "--cert", certificate, "--key", key, *program)
    with Server(*args, stdin=subprocess.PIPE) as server, half_hello(server):
        if "pipe" in how:
            server.feed(b"good")
        result = run("connect", "--tls", "--ca", papers.ca, "localhost", str(server.port), "-4", stdin=b"good")
        assert (result.status, result.out) == (0, b"good"), result.said
        done = server.finish()
    assert (done.status, done.out) == (0, b"good" if "pipe" in how else b"")
    assert "still listening" not in done.said and "total: 3 sessions" in done.said.splitlines()[-1]


def test_who_shook_hands_while_another_was_served_is_next(papers: Papers) -> None:
    certificate, key = papers.files("localhost")
    context = ssl.create_default_context(cafile=papers.ca)
    args = ("--mode", "pipe", "-k", *SILENT, "--cert", certificate, "--key", key, "--send", "welcome\n", "-v")
    with Server(*args, stdin=subprocess.DEVNULL) as server, half_hello(server):
        first, second, third = (server.connect() for _ in range(3))
        server.wait_for(rb"#5 [^\n]*connected")
        with context.wrap_socket(first, server_hostname="localhost") as one:
            assert one.recv(100) == b"welcome\n"
            with context.wrap_socket(second, server_hostname="localhost") as two:
                two.sendall(b"two")
                server.wait_for(rb"#4 [^\n]*it waits until")
                with context.wrap_socket(third, server_hostname="localhost") as three:
                    server.wait_for(rb"#5 [^\n]*it waits until")
                    three.close()
                    one.sendall(b"one")
                    one.unwrap()
                    assert two.recv(100) == b"welcome\n"
                    two.unwrap()
        with context.wrap_socket(server.connect(), server_hostname="localhost") as late:  # its queue has moved on
            assert late.recv(100) == b"welcome\n"
        done = server.stop(busy=True)
    assert done.out == b"onetwo", done.said


def test_who_waits_for_a_place_that_never_comes_is_told_the_end(papers: Papers) -> None:
    certificate, key = papers.files("localhost")
    context = ssl.create_default_context(cafile=papers.ca)
    args = ("--mode", "pipe", *SILENT, "--cert", certificate, "--key", key, "-v")
    with Server(*args, stdin=subprocess.PIPE) as server:
        first, second = server.connect(), server.connect()
        server.wait_for(rb"#2 [^\n]*connected")
        with context.wrap_socket(first, server_hostname="localhost") as one:
            with context.wrap_socket(second, server_hostname="localhost") as two:
                server.wait_for(rb"#2 [^\n]*it waits until")
                server.feed(b"all")
                assert one.recv(100) == b"all" and one.recv(100) == b""
                one.unwrap()
                assert two.recv(100) == b""
        done = server.finish()
    assert (done.status, done.out) == (0, b""), done.said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("connect", "--ca", "x", "127.0.0.1", "1"), "add --tls"),
        (("connect", "-u", "--tls", "127.0.0.1", "1"), "needs a stream"),
        (("connect", "--tls", "-z", "127.0.0.1", "1"), "-z"),
        (("connect", "--tls", "--insecure", "--ca", "x", "127.0.0.1", "1"), "--insecure"),
        (("connect", "--tls", "--fingerprint", "12", "127.0.0.1", "1"), "64 hex digits"),
        (("connect", "--tls", "--alpn", "a,,b", "127.0.0.1", "1"), "commas"),
        (("serve", "--tls", "-u"), "needs a stream"),
    ],
)
def test_what_means_nothing_is_refused(args: tuple[str, ...], said: str) -> None:
    result = run(*args)
    assert result.status == 2 and said in result.said


def test_no_protocol_in_common(papers: Papers) -> None:
    """An alert that Python has no name for."""
    openssl = need("openssl")
    certificate, key = papers.files("localhost")
    args = [openssl, "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-alpn", "h2", "-rev"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            port = next(found[1] for line in server.stdout if (found := re.match(rb"ACCEPT .*:(\d+)", line))).decode()
            result = run("connect", "--tls", "--ca", papers.ca, "--alpn", "http/1.1", "localhost", port, "-4")
        finally:
            server.terminate()
    assert result.status == 1
    assert "tlsv1 alert no application protocol [SSL TLSV1_ALERT_NO_APPLICATION_PROTOCOL]" in result.said
    assert "none of the protocols of --alpn" in result.said and "_ssl.c" not in result.said


@pytest.mark.parametrize("name", ["", ".", ".a", "a..b", "a" * 64, "a" * 300])
def test_a_name_that_no_server_can_have(name: str) -> None:
    """It is known before anybody is called: nobody listens on that port."""
    result = run("connect", "--tls", "--server-name", name, "127.0.0.1", "1")
    assert result.status == 2 and result.said.startswith(f"sockkit: --server-name: {name!r} is no name of a server")
    assert "Traceback" not in result.said


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("connect", "127.0.0.1", "1")])
def test_secrets_that_cannot_be_written(command: tuple[str, ...], tmp_path: Path) -> None:
    log = tmp_path / "no" / "such"
    result = run(*command, "--tls", env={"SSLKEYLOGFILE": str(log)})
    assert result.status == 2
    assert result.said.startswith(
        f"sockkit: SSLKEYLOGFILE: secrets cannot be written to {log}: No such file or directory"
    )


def test_the_servers_hint_is_for_a_server(papers: Papers, tmp_path: Path) -> None:
    """``serve`` has no --fingerprint."""
    certificate, key = papers.files("localhost")
    others = str(tmp_path / "others.pem")
    trustme.CA().cert_pem.write_to_path(others)
    with Server("--tls", "--cert", certificate, "--key", key, "--ca", others) as server:
        to = ("--tls", "--ca", papers.ca, "localhost", str(server.port), "-4")
        assert run("connect", *to, "--cert", certificate, "--key", key, stdin=b"hi").status == 1
        said = server.stop().said
    assert f"nobody in {others} (--ca) vouches for the client's certificate" in said and "--fingerprint" not in said


def test_a_reset_that_sending_has_met_is_no_end_without_close_notify() -> None:
    """The kernel tells of it once (tcp(7)): what is received afterwards is 0, as of a connection that was cut."""
    ours, theirs = (
        Credentials(server=server, insecure=not server, names=["localhost"]).machine() for server in (False, True)
    )
    for _ in range(3):
        for one, other in ((ours, theirs), (theirs, ours)):
            try:
                if not one.established:
                    one.handshake()
            except BlockingIOError:
                pass
            if records := one.to_send():
                other.receive(records)
    assert ours.established and theirs.established
    theirs.write(b"before")
    ours.receive(theirs.to_send())

    def refuse(data: memoryview | bytes) -> int:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    room = memoryview(bytearray(100))
    secured = Secured(ours, lambda buffer: 0, refuse, memoryview(bytearray(100)))
    assert secured.write(b"lost") == 4 and secured.pending > 4
    assert secured.read(room) == 6 and bytes(room[:6]) == b"before"
    with pytest.raises(ConnectionResetError):
        secured.read(room)
    with pytest.raises(ConnectionResetError):
        secured.write(b"more")
