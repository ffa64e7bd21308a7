"""The rows of docs/coming-from.md, played: the other program's command, then sockkit's, against the same counterpart.

Each counterpart is a function that starts one command, plays the other side, and returns what was to be seen from there.
"""

from __future__ import annotations

import base64
import os
import re
import select
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from sockkit import foreign
from sockkit.foreign import Row
from tests.harness import ENVIRONMENT, SOCKKIT, has_ipv6, is_idle, need
from tests.peers import free_port

REQUEST = b"hello\nworld\nbye\n"
REPLY = b"answer\nover\n"
PATIENCE = 15.0


FILLED = {
    "PORT": "1",
    "CID": "3",
    "GROUP": "239.1.2.3",
    "SOURCEPORT": "1",
    "PROXYHOST": "127.0.0.1",
    "PROXYPORT": "1",
    "HEXADDRESS": "x0001x7f000001",
}
"""Values for the words that a counterpart does not fill in."""


class Seen(NamedTuple):
    """What an exchange was.

    Attributes:
        received: by the counterpart.
        end: how the command's side ended there: FIN, RST, or open while the counterpart still was.
        out: on the command's stdout.
        status: its exit status; None: it was stopped.
        more: what else the counterpart could tell: the source, the ttl.
    """

    received: bytes
    end: str
    out: bytes
    status: int | None
    more: object = None


class Run:
    """One command, with the words in capitals filled in."""

    def __init__(self, words: list[str], after: str, folder: Path) -> None:
        self.words, self.after, self.folder = words, after, folder
        self.given: dict[str, str] = {"HOST": "127.0.0.1", **FILLED}
        self.popen: subprocess.Popen[bytes] | None = None
        self.input = REQUEST

    def uses(self, name: str) -> bool:
        return any(re.search(rf"\b{name}\b", word) for word in self.words)

    def give(self, **given: object) -> None:
        """Fill in words that stand for something."""
        self.given.update({name: str(value) for name, value in given.items()})

    def filled(self, text: str) -> str:
        filled = re.sub(r"\b[A-Z]+[0-9]?\b", lambda found: self.given.get(found[0], found[0]), text)
        return "hex:" + filled[4:].replace("x", "") if text == "hex:HEXADDRESS" else filled

    def start(self, *, stdin: bytes | None = REQUEST) -> None:
        """Start it. ``stdin`` None: open, with nothing in it."""
        tool, *words = [self.filled(word) for word in self.words]
        program = SOCKKIT if tool == "sockkit" else [need(tool)]
        if (
            tool == "sockkit"
            and ("-u" in words or "--type" in words)
            and "--reply-wait" not in words
            and "connect" in words
        ):
            words[1:1] = ["--reply-wait", "1"]  # or it waits for five seconds, as it should
        folder = self.folder
        line = f"exec {shlex.join([*program, *words])} {self.filled(self.after)}"
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        with (folder / "stderr").open("ab") as stderr:
            self.popen = subprocess.Popen(
                ["bash", "-c", line],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=folder,
                env={**ENVIRONMENT, "PATH": path, **self.environment()},
            )
        assert self.popen.stdin is not None
        if stdin is not None:
            try:
                self.popen.stdin.write(stdin)
                self.popen.stdin.close()
            except BrokenPipeError:
                pass

    def environment(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": self.given["CA"]} if "CA" in self.given else {}

    def said(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    def finish(self, *, stop: bool = False) -> tuple[bytes, int | None]:
        """Its stdout and its exit status; ``stop``: it has no end of its own."""
        assert self.popen is not None
        popen = self.popen
        if stop:
            popen.terminate()
        try:
            if popen.stdin is not None and popen.stdin.closed:
                popen.stdin = None
            out, _ = popen.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.communicate()
            raise AssertionError(f"it never ended: {self.words}; {self.said()}") from None
        if "FILE" in self.given and (self.folder / "FILE.out").exists():
            out += (self.folder / "FILE.out").read_bytes()
        return out, None if stop else popen.returncode

    def close(self) -> None:
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
            for stream in (self.popen.stdin, self.popen.stdout):
                if stream is not None:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass


def receive_request(sock: socket.socket, last: bytes = b"bye") -> tuple[bytes, str]:
    """Up to the last line of the request, or an end."""
    data = b""
    while not re.search(rb"%s\r?\n$" % last, data):
        try:
            chunk = sock.recv(65536)
        except ConnectionResetError:
            return data, "RST"
        if not chunk:
            return data, "FIN"
        data += chunk
    return data, ""


def until_end(sock: socket.socket, run: Run, patience: float = 2.0) -> tuple[bytes, str]:
    """The rest, and how it ended. It is open if nothing comes in the given time from a command that has nothing to do."""
    sock.settimeout(patience)
    deadline = time.monotonic() + PATIENCE
    data = b""
    assert run.popen is not None
    while True:
        try:
            chunk = sock.recv(65536)
        except TimeoutError:
            if time.monotonic() > deadline or (run.popen.poll() is None and is_idle(run.popen.pid, 0.05)):
                return data, "open"
        except ConnectionResetError:
            return data, "RST"
        else:
            if not chunk:
                return data, "FIN"
            data += chunk


@contextmanager
def listening(family: int, address: object, kind: int = socket.SOCK_STREAM, proto: int = 0) -> Iterator[socket.socket]:
    with socket.socket(family, kind, proto) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_STREAM:
            sock.listen(16)
        yield sock


def accept(sock: socket.socket, run: Run) -> socket.socket:
    """The command's connection. A command that has ended by then has failed."""
    sock.settimeout(0.2)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            peer, _ = sock.accept()
        except TimeoutError:
            assert run.popen is not None
            ended = run.popen.poll() is not None
            if ended and select.select([sock], [], [], 0)[0]:
                continue  # it connected, and has ended since
            assert not ended, f"it ended without a connection: {run.words}; {run.said()}"
            assert time.monotonic() < deadline, f"it never connected: {run.words}; {run.said()}"
        else:
            peer.settimeout(PATIENCE)
            return peer


def serve_one(run: Run, sock: socket.socket, *, talk: bool = False, **given: object) -> Seen:
    """A server for one client: it reads the request, replies, waits a moment for the end, closes."""
    run.give(**given)
    run.start()
    with accept(sock, run) as peer:
        name: Any = peer.getpeername()
        source = name[1] == run.given.get("SOURCEPORT") if run.uses("SOURCEPORT") else None
        if talk:
            peer.sendall(REPLY)
            peer.shutdown(socket.SHUT_WR)
            data, end = until_end(peer, run)
        else:
            data, end = receive_request(peer)
            if not end:
                try:
                    peer.sendall(REPLY)
                except ConnectionError:
                    end = "RST"
            if end != "RST":
                rest, end = until_end(peer, run)
                data += rest
    out, status = run.finish()
    return Seen(data, end, out, status, source)


def tcp_server(run: Run, address: tuple[str, int] = ("127.0.0.1", 0), talk: bool = False) -> Seen:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with listening(family, address) as sock:
        port = sock.getsockname()[1]
        packed = f"x{port:04x}x7f000001x0000000000000000"
        given: dict[str, object] = {"PORT": port, "SOURCEPORT": free_port(), "HEXADDRESS": packed}
        return serve_one(run, sock, talk=talk, **given)


def tcp6_server(run: Run) -> Seen:
    if not has_ipv6():
        pytest.skip("CANNOT: no IPv6: ::1 cannot be bound")
    return tcp_server(run, ("::1", 0))


def talking_server(run: Run) -> Seen:
    """It speaks at once and ends; nothing is to be sent to it."""
    return tcp_server(run, talk=True)


def silent_server(run: Run) -> Seen:
    """Whoever comes only looks."""
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        run.give(PORT=sock.getsockname()[1])
        run.start()
        with accept(sock, run) as peer:
            data, end = until_end(peer, run, 5)
        out, status = run.finish()
        return Seen(data, end, out, status)


def open_server(run: Run) -> Seen:
    """Neither side says anything: the command ends by itself."""
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        run.give(PORT=sock.getsockname()[1])
        run.start(stdin=None)
        with accept(sock, run) as peer:
            data, end = until_end(peer, run, 8)
            out, status = run.finish()
        return Seen(data, end, out, status)


def late_server(run: Run) -> Seen:
    """Nobody listens at first."""
    port = free_port()
    run.give(PORT=port)
    run.start()
    time.sleep(1.0)  # the case: it has to try more than once
    with listening(socket.AF_INET, ("127.0.0.1", port)) as sock:
        with accept(sock, run) as peer:
            data, end = receive_request(peer)
            if not end:
                peer.sendall(REPLY)
                rest, end = until_end(peer, run)
                data += rest
        out, status = run.finish()
        return Seen(data, end, out, status)


IP_RECVTTL, IP_RECVTOS = 12, 13
"""linux/in.h."""
IAC_DO_ECHO, IAC_WILL_SGA = b"\xff\xfd\x01", b"\xff\xfb\x03"


def telnet_server(run: Run) -> Seen:
    """It asks for options first."""
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        run.give(PORT=sock.getsockname()[1])
        run.start(stdin=None)
        with accept(sock, run) as peer:
            peer.sendall(IAC_DO_ECHO + IAC_WILL_SGA)
            data = b""
            while len(data) < 6:
                chunk = peer.recv(100)
                assert chunk, data
                data += chunk
            peer.sendall(REPLY)
            assert run.popen is not None and run.popen.stdin is not None
            run.popen.stdin.close()
        out, status = run.finish()
        return Seen(data, "", out, status)


def udp_server(run: Run) -> Seen:
    """It replies to each datagram that ends the request; it tells the hops and the type of service that came with it."""
    with listening(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
        port = sock.getsockname()[1]
        run.give(PORT=port, HEXADDRESS=f"x{port:04x}x7f000001x0000000000000000")
        run.start()
        data = b""
        while not data.endswith(b"bye\n"):
            chunk, said, _, there = sock.recvmsg(65536, 1024)
            data += chunk
        sock.sendto(REPLY, there)
        out, status = run.finish()
        return Seen(data, "", out, status, sorted((kind, bytes(value)[0]) for _, kind, value in said))


def unix_address(run: Run) -> object:
    if run.uses("NAME"):
        name = f"sockkit-{os.getpid()}-{run.words[0]}-{time.monotonic_ns()}"
        run.give(NAME=name)
        return f"\0{name}"
    path = run.folder / "socket"
    path.unlink(missing_ok=True)
    run.give(PATH=path)
    return str(path)


def unix_server(run: Run) -> Seen:
    with listening(socket.AF_UNIX, unix_address(run)) as sock:
        return serve_one(run, sock)


def unix_datagram_server(run: Run) -> Seen:
    with listening(socket.AF_UNIX, unix_address(run), socket.SOCK_DGRAM) as sock:
        run.start()
        data = b""
        while not data.endswith(b"bye\n"):
            data += sock.recv(65536)
        out, status = run.finish()
        return Seen(data, "", out, status)


def reach(run: Run, family: int, address: object, kind: int = socket.SOCK_STREAM, proto: int = 0) -> socket.socket:
    """Connect as soon as the command listens: the connection that succeeds is the one that it serves."""
    deadline = time.monotonic() + PATIENCE
    while True:
        sock = socket.socket(family, kind, proto)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(address)  # type: ignore[arg-type]
        except (ConnectionRefusedError, FileNotFoundError):
            sock.close()
            assert run.popen is not None
            assert run.popen.poll() is None, f"it ended: {run.words}; {run.said()}"
            assert time.monotonic() < deadline, f"it never listened: {run.words}; {run.said()}"
            time.sleep(0.01)
        else:
            return sock


def ask(sock: socket.socket, run: Run, data: bytes = REQUEST) -> tuple[bytes, str]:
    """A client: it sends, ends, and reads to the end."""
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    return until_end(sock, run, PATIENCE)


def tcp_port(run: Run) -> tuple[str, int]:
    """A port for the command to listen on."""
    port = free_port()
    (run.folder / "hosts").write_text("127.0.0.1\n")
    run.give(PORT=port, HOSTS=run.folder / "hosts", HEXADDRESS=f"x{port:04x}x7f000001x0000000000000000")
    return "127.0.0.1", port


def tcp_client(run: Run) -> Seen:
    address = tcp_port(run)
    run.start(stdin=REPLY)
    with reach(run, socket.AF_INET, address) as sock:
        data, end = ask(sock, run)
    out, status = run.finish()
    return Seen(data, end, out, status)


def tcp_clients(run: Run) -> Seen:
    """One after the other; stdin stays open."""
    address = tcp_port(run)
    run.start(stdin=None)
    data = b""
    for text in (b"one\n", b"two\n"):
        with reach(run, socket.AF_INET, address) as sock:
            sock.sendall(text)
        read_until(run, text)
    out, status = run.finish(stop=True)
    return Seen(data, "", out, status)


def read_until(run: Run, text: bytes) -> None:
    """Its stdout, until a text has come; it is kept for ``finish``."""
    assert run.popen is not None and run.popen.stdout is not None
    found = b""
    while not found.endswith(text):
        byte = os.read(run.popen.stdout.fileno(), 1)
        assert byte, found
        found += byte


def get(sock: socket.socket, data: bytes) -> bytes:
    """Send, and wait for as many bytes before anything else."""
    sock.sendall(data)
    found = b""
    while len(found) < len(data):
        chunk = sock.recv(len(data) - len(found))
        if not chunk:
            break
        found += chunk
    return found


def program_client(run: Run) -> Seen:
    """What a program says to each line; the client ends after its answer."""
    address = tcp_port(run)
    run.start(stdin=b"")
    with reach(run, socket.AF_INET, address) as sock:
        data = get(sock, REQUEST)
        rest, end = ask(sock, run, b"")
    out, status = run.finish()
    return Seen(data + rest, end, out, status)


def program_clients(run: Run) -> Seen:
    """Two at once, the first of which goes last."""
    address = tcp_port(run)
    run.start(stdin=b"")
    with reach(run, socket.AF_INET, address) as first, reach(run, socket.AF_INET, address) as second:
        data = get(second, b"second\n") + get(first, b"first\n")
    out, status = run.finish(stop=True)
    return Seen(data, "", out, status)


def denied_client(run: Run) -> Seen:
    """Who may not come gets nothing."""
    address = tcp_port(run)
    run.start(stdin=None)
    with reach(run, socket.AF_INET, address) as sock:
        data, _ = until_end(sock, run, PATIENCE)  # by a FIN or by a RST: both say no
    out, status = run.finish(stop=True)
    return Seen(data, "", out, status)


def two_clients(run: Run, *, named: bool = False) -> Seen:
    """What one says the other hears."""
    address = tcp_port(run)
    run.start(stdin=None)
    with reach(run, socket.AF_INET, address) as first, reach(run, socket.AF_INET, address) as second:
        data = b""
        first.settimeout(0.1)
        deadline = time.monotonic() + PATIENCE
        while b"hello" not in data:  # the first may not be known yet when the second speaks
            second.sendall(b"hello\n")
            try:
                data += first.recv(1000)
            except TimeoutError:
                assert time.monotonic() < deadline
    out, status = run.finish(stop=True)
    heard = re.search(rb"hello\n" if named else rb"^hello\n", data)
    return Seen(heard[0] if heard else data, "", out, status)


def two_talkers(run: Run) -> Seen:
    return two_clients(run, named=True)


def unix_client(run: Run) -> Seen:
    address = unix_address(run)
    run.start(stdin=REPLY)
    with reach(run, socket.AF_UNIX, address) as sock:
        data, end = ask(sock, run)
    out, status = run.finish()
    return Seen(data, end, out, status)


def unix_talker(run: Run) -> Seen:
    """Datagrams for a command that receives; it is stopped when they have arrived."""
    address = unix_address(run)
    run.start(stdin=b"")
    with reach(run, socket.AF_UNIX, address, socket.SOCK_DGRAM) as sock:
        sock.sendall(REQUEST)
        read_until(run, REQUEST)
    _, status = run.finish(stop=True)
    return Seen(b"", "", REQUEST, status)


def udp_bound(run: Run, port: int) -> None:
    """Wait until somebody has the port."""
    deadline = time.monotonic() + PATIENCE
    while not re.search(rf"(?m):{port:04X} ", Path("/proc/net/udp").read_text() + udp6()):
        assert run.popen is not None
        assert run.popen.poll() is None, f"it ended: {run.words}; {run.said()}"
        assert time.monotonic() < deadline, run.words
        time.sleep(0.01)


def udp6() -> str:
    path = Path("/proc/net/udp6")
    return path.read_text() if path.exists() else ""


def udp_client(run: Run) -> Seen:
    address = tcp_port(run)
    run.start(stdin=REPLY)
    udp_bound(run, address[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address)
        sock.sendall(REQUEST)
        data = sock.recv(65536)
        read_until(run, REQUEST)
        _, status = run.finish(stop=True)
    return Seen(data, "", REQUEST, status)


def udp_talker(run: Run) -> Seen:
    address = tcp_port(run)
    run.start(stdin=b"")
    udp_bound(run, address[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall(REQUEST)
        read_until(run, REQUEST)
    _, status = run.finish(stop=True)
    return Seen(b"", "", REQUEST, status)


def group_talker(run: Run) -> Seen:
    """Multicast over the loopback interface: said until it is heard, since nothing tells when a group is joined."""
    _, port = tcp_port(run)
    group = f"239.77.{port >> 8}.{port & 255}"
    run.give(GROUP=group)
    run.start(stdin=b"")
    assert run.popen is not None and run.popen.stdout is not None
    deadline = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        while not select.select([run.popen.stdout], [], [], 0.1)[0]:
            sock.sendto(REQUEST, (group, port))
            assert run.popen.poll() is None and time.monotonic() < deadline, run.said()
    out = os.read(run.popen.stdout.fileno(), 65536)
    _, status = run.finish(stop=True)
    return Seen(b"", "", out[: len(REQUEST)], status)


def tcp6_client(run: Run) -> Seen:
    if not has_ipv6():
        pytest.skip("CANNOT: no IPv6")
    port = tcp_port(run)[1]
    run.start(stdin=REPLY)
    with reach(run, socket.AF_INET6, ("::1", port)) as sock:
        data, end = ask(sock, run)
    out, status = run.finish()
    return Seen(data, end, out, status)


def papers(run: Run) -> trustme.CA:
    """A certificate for this host and who has signed it, in files."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(run.folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(run.folder / "key.pem"))
    (run.folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    run.give(CA=run.folder / "ca.pem", CERT=run.folder / "cert.pem", KEY=run.folder / "key.pem")
    return authority


def closed(sock: ssl.SSLSocket) -> str:
    """How TLS ended: by close_notify, as it should, or by a FIN alone."""
    sock.settimeout(PATIENCE)
    try:
        sock.unwrap().close()
    except ssl.SSLEOFError:
        return "cut"
    except OSError as error:
        return type(error).__name__
    return "close_notify"


def tls_server(run: Run) -> Seen:
    papers(run)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(run.given["CERT"], run.given["KEY"])
    context.set_alpn_protocols(["http/1.1"])
    names: list[str | None] = []
    context.sni_callback = lambda sock, name, context: names.append(name)
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        run.give(PORT=sock.getsockname()[1])
        run.start()
        with context.wrap_socket(accept(sock, run), server_side=True) as peer:
            data, end = receive_request(peer)
            if not end:
                peer.sendall(REPLY)
            alpn = peer.selected_alpn_protocol()
            end = closed(peer)
        out, status = run.finish()
        return Seen(data, end, out, status, (names if run.uses("localhost") else None, alpn))


def tls_client(run: Run) -> Seen:
    papers(run)
    context = ssl.create_default_context(cafile=run.given["CA"])
    address = tcp_port(run)
    run.start(stdin=REPLY)
    with context.wrap_socket(reach(run, socket.AF_INET, address), server_hostname="localhost") as sock:
        sock.sendall(REQUEST)
        data = b""
        while len(data) < len(REPLY):
            chunk = sock.recv(1000)
            assert chunk, data
            data += chunk
        end = closed(sock)
    out, status = run.finish()
    return Seen(data, end, out, status)


def honest_proxy(sock: socket.socket, login: str | None, asked: list[tuple[str, str, str]]) -> None:
    """SOCKS4, 4A, 5 and HTTP's CONNECT, told apart by the first byte; what is asked for is noted down, and done."""

    def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = sock.recv(size - len(data))
            assert chunk, data
            data += chunk
        return data

    def until(mark: bytes) -> bytes:
        data = b""
        while not data.endswith(mark):
            data += exactly(1)
        return data.removesuffix(mark)

    first = exactly(1)
    if first == b"\5":
        exactly(exactly(1)[0])
        sock.sendall(b"\5\0")
        kind = exactly(4)[3]
        host = socket.inet_ntoa(exactly(4)) if kind == 1 else exactly(exactly(1)[0]).decode()
        port, user, granted = int.from_bytes(exactly(2), "big"), "", b"\5\0\0\1" + bytes(6)
    elif first == b"\4":
        exactly(1)
        port, packed = int.from_bytes(exactly(2), "big"), exactly(4)
        user = until(b"\0").decode()
        host = until(b"\0").decode() if packed[:3] == bytes(3) else socket.inet_ntoa(packed)
        granted = b"\0\x5a" + bytes(6)
    else:
        head = (first + until(b"\r\n\r\n")).decode()
        host, _, number = head.split()[1].rpartition(":")
        said = re.search(r"(?i)^proxy-authorization: basic (\S+)", head, re.M)
        user = base64.b64decode(said[1]).decode() if said else ""
        port, granted = int(number), b"HTTP/1.0 200 yes\r\n\r\n"
        if login is not None and user != login:
            sock.sendall(b'HTTP/1.0 407 who?\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
            return
    asked.append((first.decode(), host, user))
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as there:
        sock.sendall(granted)
        back = threading.Thread(target=pour, args=(there, sock))
        back.start()
        pour(sock, there)
        back.join()


def pour(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def proxy(run: Run, login: str | None = None) -> Seen:
    """A server behind a proxy. What is asked of the proxy is compared too: a name or an address, and who asks."""
    asked: list[tuple[str, str, str]] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = front.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(PATIENCE)
                honest_proxy(sock, login, asked)

    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock, listening(socket.AF_INET, ("127.0.0.1", 0)) as front:
        front.settimeout(None)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = front.getsockname()[1]
        if login is not None:
            run.given["USER"], _, run.given["PASSWORD"] = login.partition(":")
            Path(run.given["FILE"]).write_text(login + "\n")
            Path(run.given["FILE"]).chmod(0o600)
        try:
            seen = serve_one(run, sock, PORT=sock.getsockname()[1], PROXYPORT=port)
        finally:
            front.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
        return seen._replace(more=asked)


def guarded_proxy(run: Run) -> Seen:
    return proxy(run, "someone:secret")


def ports(run: Run) -> Seen:
    """Three ports in a row, the one in the middle closed."""
    with ExitStack() as stack:
        for _ in range(50):
            first = free_port()
            try:
                for port in (first, first + 2):
                    stack.enter_context(listening(socket.AF_INET, ("127.0.0.1", port)))
                break
            except OSError:
                continue
        run.give(PORT1=first, PORT2=first + 2)
        run.start(stdin=b"")
        _, status = run.finish()
        return Seen(b"", "", b"", status)


def sctp_server(run: Run) -> Seen:
    sctp_or_skip()
    with listening(socket.AF_INET, ("127.0.0.1", 0), proto=socket.IPPROTO_SCTP) as sock:
        return serve_one(run, sock, PORT=sock.getsockname()[1])


def sctp_client(run: Run) -> Seen:
    sctp_or_skip()
    address = tcp_port(run)
    run.start(stdin=REPLY)
    with reach(run, socket.AF_INET, address, proto=socket.IPPROTO_SCTP) as sock:
        data, end = ask(sock, run)
    out, status = run.finish()
    return Seen(data, end, out, status)


def sctp_or_skip() -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        pytest.skip("CANNOT: this kernel has no SCTP")


def raw_server(run: Run) -> Seen:
    with raw() as sock:
        run.start()
        packet = sock.recv(65536)
        out, status = run.finish()
        return Seen(packet[20:], "", out, status)


def raw_talker(run: Run) -> Seen:
    with raw() as sock:
        run.start(stdin=b"")
        deadline = time.monotonic() + PATIENCE
        assert run.popen is not None and run.popen.stdout is not None
        while not select.select([run.popen.stdout], [], [], 0.1)[0]:
            sock.sendto(REQUEST, ("127.0.0.1", 0))
            assert run.popen.poll() is None and time.monotonic() < deadline, run.said()
        out = os.read(run.popen.stdout.fileno(), 65536)
        _, status = run.finish(stop=True)
        header = "with its header" if out[:1] == b"\x45" else "without its header"
        return Seen(b"", "", out[:36][-len(REQUEST) :], status, header)


@contextmanager
def raw() -> Iterator[socket.socket]:
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
    except PermissionError:
        pytest.skip("CANNOT: raw sockets are root's")
    with sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        yield sock


SCENES: dict[str, Callable[[Run], Seen]] = {
    "tcp server": tcp_server,
    "tcp6 server": tcp6_server,
    "talking server": talking_server,
    "silent server": silent_server,
    "silent server, open": open_server,
    "late server": late_server,
    "telnet server": telnet_server,
    "udp server": udp_server,
    "unix server": unix_server,
    "unix datagram server": unix_datagram_server,
    "tcp client": tcp_client,
    "program's client": program_client,
    "program's clients": program_clients,
    "tcp clients": tcp_clients,
    "denied client": denied_client,
    "two clients": two_clients,
    "two talkers": two_talkers,
    "unix client": unix_client,
    "unix talker, stopped": unix_talker,
    "udp client": udp_client,
    "udp talker, stopped": udp_talker,
    "tcp6 client": tcp6_client,
    "group talker, stopped": group_talker,
    "tls server": tls_server,
    "tls client": tls_client,
    "proxy": proxy,
    "proxy with a password": guarded_proxy,
    "ports": ports,
    "sctp server": sctp_server,
    "sctp client": sctp_client,
    "raw server": raw_server,
    "raw talker, stopped": raw_talker,
}


def play(row: Row, words: list[str], after: str, folder: Path) -> Seen:
    """One side of a row."""
    folder.mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "sockkit").write_text(f'#!/bin/sh\nexec {shlex.join(SOCKKIT)} "$@"\n')
    (folder / "bin" / "sockkit").chmod(0o755)
    run = Run(words, after, folder)
    file = folder / "file"
    if row.played != "talking server":
        file.write_bytes(REQUEST)
    run.give(FILE=file)
    try:
        seen = SCENES[row.played](run)
    finally:
        run.close()
    if row.played == "talking server" and file.exists():
        seen = seen._replace(out=seen.out + file.read_bytes())
    return seen


def theirs(row: Row) -> list[str]:
    """The example's words. Debian's netcat, whatever else is called nc."""
    tool, *words = shlex.split(row.example)
    return [shutil.which("nc.openbsd") and "nc.openbsd" or tool if tool == "nc" else tool, *words]


class Either:
    """One of these: how fast they are decides which."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return other in self.values

    def __hash__(self) -> int:
        return hash(self.values)


DIFFERENT: dict[str, dict[str, tuple[object, object]]] = {
    **{
        f"ncat --ssl{end}": {"end": (Either("cut", "close_notify"), "close_notify")}
        for end in ("", "-cert", "-key", "-verify", "-trustfile", "-servername", "-alpn")
    },
    **{f"{tool} -t": {"out": (IAC_DO_ECHO + IAC_WILL_SGA + REPLY, REPLY)} for tool in ("nc", "ncat")},
    "socat IP-RECV": {"more": ("without its header", "with its header")},
    "nc -u": {"out": (b"", REPLY)},
    "ncat -u": {"out": (Either(b"", REPLY), REPLY)},  # it leaves with the end of stdin, and a reply may be faster
    "socat -T": {"status": (0, 1)},
    "nc -w": {"status": (0, 1)},
}
"""Where the two are not the same, and it is meant: field -> (theirs, ours). The row says it."""


def name(row: Row) -> str:
    return f"{row.tool} {row.names[0]}"


def help_of(tool: str) -> set[str]:
    """The options that its help names, without those that Debian's build has not."""
    if tool == "nc":
        text = subprocess.run([need("nc.openbsd"), "-h"], capture_output=True, text=True, check=False).stderr
        return set(re.findall(r"^\s+(-\w)\s", text, re.M))
    text = subprocess.run([need("ncat"), "--help"], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+|-[A-Za-z0-9])(?=[ ,\n])", text))


# ---- docs/coming-from.md


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def table(tool: str) -> str:
    """The rows of one program."""
    lines = ["| theirs | what it does | an example | sockkit | besides | played |", "|---|---|---|---|---|---|"]
    for row in foreign.ROWS:
        if row.tool != tool:
            continue
        names = ", ".join(_code(each) for each in row.names)
        names += f" {_cell(row.takes)}" if row.takes else ""
        typed = foreign.translated(row) if row.example else None
        says = foreign.said(row)
        if typed is not None:
            sockkit = _code(str(typed))
        elif (
            row.becomes is not None
            and not row.example
            and isinstance(row.becomes, str)
            and says
            or not row.example
            and isinstance(row.becomes, str)
        ):
            sockkit = _code(row.becomes.format(row.takes)) or "–"
        else:
            sockkit = "**no**"
            says = says.removeprefix("no: ")
        played = (
            row.played.partition(",")[0] if typed is not None and row.played else row.unplayed and f"no: {row.unplayed}"
        )
        lines.append(
            f"| {names} | {_cell(row.meaning)} | {_code(row.example)} | {sockkit} | {_cell(says)} | {_cell(played)} |"
        )
    return "\n".join(lines)
