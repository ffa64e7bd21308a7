"""README's comparison with nc, ncat and socat: each measured cell is played here, against the programs themselves."""

from __future__ import annotations

import re
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme

from tests import end_of_input
from tests.harness import ENVIRONMENT, SOCKKIT, listener, need, receive_all
from tests.peers import free_port

TOOLS = ("sockkit", "nc", "ncat", "socat")
LATE = 1.5
"""Seconds after the end of input at which the peer replies. A reply that is late is what is measured."""

# Situation -> what each tool does, in the order of TOOLS: the words of README's table.
MEASURED = {
    "TCP reply 1.5 s after the end of stdin": ("printed", "printed", "printed", "**lost, exit 0**"),
    "UDP reply 1.5 s after the end of stdin": (
        "printed",
        "printed, then hangs",
        "**lost, exit 0**",
        "**lost, exit 0**",
    ),
    "the peer resets the connection": ("exit 1", "**exit 0, silent**", "exit 1", "**exit 0, silent**"),
    "UDP to a closed port": ("exit 1", "**exit 0, silent**", "exit 1", "exit 1"),
    "receives a UDP datagram of 20,000 bytes": ("20,000", "**16,384, silent**", "20,000", "**8,192, silent**"),
    "listens by default on": ("this host", "everywhere", "everywhere", "everywhere"),
    "a second UDP client of a listener": ("heard", "**unheard**", "**unheard**", "**unheard**"),
    "a program answers 1.5 s after its client ended its side": ("arrives", "–", "**lost**", "**lost**"),
    "over TLS the end of stdin reaches the peer as": ("close_notify", "–", "**a FIN alone: cut?**", "close_notify"),
    "a member of a chat that does not read": ("the others talk on", "–", "**the others wait**", "–"),
    "`-zv` of a UDP port sends": ("2 × nothing", "**5 × `X`**", "**1 × `\\0`**", "–"),
    "a Unix path, listened on twice in a row": ("yes", "yes", "**its own path is in the way**", "yes"),
}


def command(tool: str) -> list[str]:
    return SOCKKIT if tool == "sockkit" else [need(tool)]


def client(tool: str, port: int, *, udp: bool = False) -> list[str]:
    if tool == "socat":
        return [*command(tool), "-", f"{'UDP' if udp else 'TCP'}:127.0.0.1:{port}"]
    verb = ["connect"] if tool == "sockkit" else ["-N"] if tool == "nc" and not udp else []
    return [*command(tool), *verb, *(["-u"] if udp else []), "127.0.0.1", str(port)]


@contextmanager
def running(*args: str, **streams: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(args, env=ENVIRONMENT, stderr=subprocess.PIPE, **streams) as popen:  # type: ignore[call-overload]
        try:
            yield popen
        finally:
            popen.kill()


def converse(tool: str, port: int, *, udp: bool = False) -> tuple[bytes, int | None]:
    """What the client prints and its exit status; None if it has not ended after eight seconds."""
    done: tuple[bytes, int | None]
    with running(*client(tool, port, udp=udp), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        try:
            out, _ = popen.communicate(b"req\n", timeout=9)
            done = out, popen.returncode
        except subprocess.TimeoutExpired:
            popen.kill()
            out, _ = popen.communicate()
            done = out, None
    return done


def late_tcp(tool: str) -> str:
    with listener() as server:

        def peer() -> None:
            sock, _ = server.accept()
            with sock:
                sock.settimeout(10)
                while sock.recv(100):
                    pass
                time.sleep(LATE)
                try:
                    sock.sendall(b"late\n")
                except OSError:
                    pass

        thread = threading.Thread(target=peer)
        thread.start()
        said = outcome(*converse(tool, server.getsockname()[1]))
        thread.join()
        return said


def late_udp(tool: str) -> str:
    with listener(type=socket.SOCK_DGRAM) as server:

        def peer() -> None:
            _, address = server.recvfrom(100)
            time.sleep(LATE)
            server.sendto(b"late\n", address)

        thread = threading.Thread(target=peer)
        thread.start()
        said = outcome(*converse(tool, server.getsockname()[1], udp=True))
        thread.join()
        return said


def outcome(out: bytes, status: int | None) -> str:
    if out != b"late\n":
        return f"**lost, exit {status}**"
    return "printed" if status == 0 else "printed, then hangs" if status is None else f"printed, exit {status}"


def reset(tool: str) -> str:
    with listener() as server:

        def peer() -> None:
            sock, _ = server.accept()
            sock.recv(100)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

        thread = threading.Thread(target=peer)
        thread.start()
        with running(*client(tool, server.getsockname()[1]), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
            assert popen.stdin is not None
            popen.stdin.write(b"x\n")
            popen.stdin.flush()
            status = popen.wait(10)
            assert popen.stderr is not None
            said = popen.stderr.read()
        thread.join()
    return "**exit 0, silent**" if status == 0 and not said else f"exit {status}"


def refused_udp(tool: str) -> str:
    port = free_port(socket.SOCK_DGRAM)
    with running(*client(tool, port, udp=True), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        # The first datagram is what the refusal answers; whoever looks learns of it with the second.
        assert popen.stdin is not None
        popen.stdin.write(b"x\n")
        popen.stdin.flush()
        try:
            status = popen.wait(1)
        except subprocess.TimeoutExpired:
            popen.stdin.close()
            try:
                status = popen.wait(9)
            except subprocess.TimeoutExpired:
                return "hangs"
        assert popen.stderr is not None
        said = popen.stderr.read()
    return "**exit 0, silent**" if status == 0 and not said else f"exit {status}"


def large_datagram(tool: str) -> str:
    port = free_port(socket.SOCK_DGRAM)
    args = {
        "sockkit": ["serve", "--mode", "pipe", "-u", str(port)],
        "nc": ["-u", "-l", "127.0.0.1", str(port)],
        "ncat": ["-u", "-l", "127.0.0.1", str(port)],
        "socat": ["-u", f"UDP-RECV:{port},bind=127.0.0.1", "-"],
    }[tool]
    with running(*command(tool), *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        bound(port, "udp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"a" * 20_000, ("127.0.0.1", port))
            sock.sendto(b"END", ("127.0.0.1", port))
        assert popen.stdout is not None
        got = b""
        while not got.endswith(b"END"):
            got += popen.stdout.read(1)
        popen.kill()
        assert popen.stderr is not None
        said = b"cut" in popen.stderr.read()
    size = len(got) - 3
    return f"{size:,}" if size == 20_000 else f"**{size:,}{'' if said else ', silent'}**"


def bound(port: int, kind: str) -> str:
    """The local address to which a port is bound, once it is: from /proc/net, which tells of every process."""
    state = "0A" if kind == "tcp" else "07"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for table in (kind, f"{kind}6"):
            path = Path("/proc/net", table)
            for line in path.read_text().splitlines()[1:] if path.exists() else ():
                address, number = line.split()[1].split(":")
                if int(number, 16) == port and line.split()[3] == state:
                    return address
        time.sleep(0.01)
    raise AssertionError(f"nobody bound {kind} port {port}")


def default_bind(tool: str) -> str:
    port = free_port()
    args = {
        "sockkit": ["serve", str(port)],
        "nc": ["-l", str(port)],
        "ncat": ["-l", str(port)],
        "socat": [f"TCP-LISTEN:{port}", "-"],
    }[tool]
    with running(*command(tool), *args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
        address = bound(port, "tcp")
    return "everywhere" if set(address) == {"0"} else "this host" if address == "0100007F" else address


def second_udp_client(tool: str) -> str:
    port = free_port(socket.SOCK_DGRAM)
    args = {
        "sockkit": ["serve", "--mode", "pipe", "-u", str(port)],
        "nc": ["-u", "-l", "127.0.0.1", str(port)],
        "ncat": ["-u", "-l", "127.0.0.1", str(port)],
        "socat": [f"UDP-LISTEN:{port},bind=127.0.0.1", "-"],
    }[tool]
    with running(*command(tool), *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        bound(port, "udp")
        assert popen.stdout is not None
        with ExitStack() as stack:
            first, second = (stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
            first.sendto(b"first\n", ("127.0.0.1", port))
            assert popen.stdout.readline() == b"first\n"
            second.sendto(b"second\n", ("127.0.0.1", port))
            heard = select.select([popen.stdout], [], [], 1.0)[0]
            return "heard" if heard and popen.stdout.readline() == b"second\n" else "**unheard**"


def serving(tool: str, port: int, program: str) -> list[str]:
    """A server of a program, for many."""
    if tool == "sockkit":
        return [*SOCKKIT, "serve", str(port), "--sh-exec", program]
    if tool == "ncat":
        return [need("ncat"), "-l", "-k", "127.0.0.1", str(port), "-c", program]
    return [need("socat"), f"TCP-LISTEN:{port},bind=127.0.0.1,fork", f"SYSTEM:{program}"]


def late_program(tool: str) -> str:
    if tool == "nc":
        return "–"
    port = free_port()
    with running(*serving(tool, port, f"cat > /dev/null; sleep {LATE}; echo late"), stdin=subprocess.DEVNULL):
        bound(port, "tcp")
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"x\n")
            sock.shutdown(socket.SHUT_WR)
            return "arrives" if receive_all(sock) == b"late\n" else "**lost**"


def tls_end(tool: str) -> str:
    """A client whose stdin has ended, seen by its server."""
    if tool == "nc":
        return "–"
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with listener() as server, authority.cert_pem.tempfile() as ca:
        port = server.getsockname()[1]
        args = {
            "sockkit": ["connect", "--tls", "--ca", ca, "localhost", str(port)],
            "ncat": ["--ssl-verify", "--ssl-trustfile", ca, "localhost", str(port)],
            "socat": ["-", f"OPENSSL:localhost:{port},cafile={ca}"],
        }[tool]
        with running(*command(tool), *args, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as popen:
            with context.wrap_socket(server.accept()[0], server_side=True, suppress_ragged_eofs=False) as sock:
                assert popen.stdin is not None
                popen.stdin.write(b"x\n")
                popen.stdin.close()
                sock.settimeout(1.5)
                try:
                    while sock.recv(100):
                        pass
                except TimeoutError:
                    return "**never**"
                except ssl.SSLEOFError:
                    return "**a FIN alone: cut?**"
                return "close_notify"


def stalled_member(tool: str) -> str:
    if tool in ("nc", "socat"):
        return "–"
    port = free_port()
    args = {"sockkit": ["serve", "--mode", "chat", str(port)], "ncat": ["-l", "--chat", "127.0.0.1", str(port)]}[tool]
    with running(*command(tool), *args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL), ExitStack() as stack:
        bound(port, "tcp")
        talker, listener, stalled = (
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(3)
        )
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deadline = time.monotonic() + 90
        heard = said = 0
        line = b"a" * 999 + b"\n"
        for sock in (talker, listener):
            sock.settimeout(3)  # longer than anybody is waited for by sockkit
        try:
            while said < 16_000 and time.monotonic() < deadline:
                talker.sendall(line)
                said += 1
                while heard < said * 1000:
                    heard += len(listener.recv(65536))
        except TimeoutError:
            return "**the others wait**"
        return "the others talk on" if said == 16_000 else f"{said} lines"


def zero_udp(tool: str) -> str:
    if tool == "socat":
        return "–"
    with listener(type=socket.SOCK_DGRAM) as server:
        port = server.getsockname()[1]
        words = [*command(tool), *(["connect"] if tool == "sockkit" else []), "-u", "-z", "-v", "127.0.0.1", str(port)]
        with running(*words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as popen:
            popen.wait(10)
        server.settimeout(0.2)
        got = []
        try:
            while True:
                got.append(server.recv(100))
        except TimeoutError:
            pass
    text = got[0].decode().replace("\0", r"\0")
    assert got == got[:1] * len(got)
    return f"**{len(got)} × `{text}`**" if text else f"{len(got)} × nothing"


def unix_twice(tool: str) -> str:
    with TemporaryDirectory() as folder:
        path = str(Path(folder, "socket"))
        args = {
            "sockkit": ["serve", "--mode", "pipe", path],
            "nc": ["-l", "-U", path],
            "ncat": ["-l", "-U", path],
            "socat": [f"UNIX-LISTEN:{path}", "-"],
        }[tool]
        for _ in range(2):
            with running(*command(tool), *args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as popen:
                while popen.poll() is None:
                    try:
                        with socket.socket(socket.AF_UNIX) as sock:
                            sock.connect(path)
                            break
                    except (FileNotFoundError, ConnectionRefusedError):
                        time.sleep(0.01)
                if popen.wait(10):
                    assert popen.stderr is not None and b"in use" in popen.stderr.read()
                    return "**its own path is in the way**"
        return "yes"


PLAY: dict[str, Callable[[str], str]] = dict(
    zip(
        MEASURED,
        (
            *(late_tcp, late_udp, reset, refused_udp, large_datagram, default_bind, second_udp_client, late_program),
            *(tls_end, stalled_member, zero_udp, unix_twice),
        ),
        strict=True,
    )
)


@pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: the programs compared are Debian's")
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "situation",
    [name if at < 6 else pytest.param(name, marks=pytest.mark.once) for at, name in enumerate(MEASURED)],
)
def test_cell(situation: str, tool: str) -> None:
    assert PLAY[situation](tool) == MEASURED[situation][TOOLS.index(tool)]


def test_readme_shows_what_was_measured() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for situation, cells in MEASURED.items():
        row = f"| {' | '.join((situation, *cells))} |"
        assert re.sub(r" +", " ", row) in re.sub(r" +", " ", readme), row


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: the programs compared are Debian's")
@pytest.mark.parametrize("name", ["TCP", "UDP"])
def test_the_page_on_ends_of_input_shows_what_was_measured(name: str) -> None:
    assert end_of_input.differing(name) == {}
