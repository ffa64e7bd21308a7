"""What happens at the end of input: played against sockkit and other netcats, and written down as docs/end-of-input.md.

``python -m tests.end_of_input`` plays every cell and writes the page's tables; ``tests/test_comparison.py`` plays them again.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.harness import ENVIRONMENT, SOCKKIT, listener, need
from tests.peers import exactly, free_port

PAGE = Path(__file__).resolve().parent.parent / "docs" / "end-of-input.md"
LATE = 1.5
"""Seconds after the end of input at which the other side goes on."""
PATIENCE = 4.0
"""Seconds after which whoever has not ended never does."""
VARIANTS = ("sockkit", "nc", "nc -N", "nc -q1", "ncat", "socat")


def words(variant: str, udp: bool, listen: int | None, call: int | None) -> list[str]:
    """The command line of a variant, to listen on a port or to call one."""
    tool, *flags = variant.split()
    if tool == "sockkit":
        role = ["serve", "--mode", "pipe", str(listen)] if listen else ["connect", "127.0.0.1", str(call)]
        return [*SOCKKIT, *role, *(["-u"] if udp else [])]
    path = need(tool)
    if tool == "socat":
        kind = "UDP" if udp else "TCP"
        return [path, "-", f"{kind}-LISTEN:{listen},bind=127.0.0.1" if listen else f"{kind}:127.0.0.1:{call}"]
    kind_flags = ["-u"] if udp else []
    return [path, *flags, *kind_flags, *(["-l"] if listen else []), "127.0.0.1", str(listen or call)]


@contextmanager
def running(command: list[str], *, stdin: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone afterwards."""
    with subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT, bufsize=0
    ) as popen:
        try:
            yield popen
        finally:
            popen.kill()


def end_of(popen: subprocess.Popen[bytes]) -> tuple[bytes, str]:
    """What is on its stdout in the end, and how it ended."""
    try:
        status = str(popen.wait(PATIENCE))
    except subprocess.TimeoutExpired:
        status = ""
        popen.kill()
    assert popen.stdout is not None
    out = popen.stdout.read()
    return out, f"exit {status}" if status else "hangs"


def say(popen: subprocess.Popen[bytes], data: bytes, *, end: bool = True) -> None:
    """On its stdin. Whoever does not listen any more is not forced to."""
    assert popen.stdin is not None
    try:
        popen.stdin.write(data)
        if end:
            popen.stdin.close()
    except BrokenPipeError:
        pass


def verdict(right: bool, good: str, ending: str, bad: str = "lost") -> str:
    """A cell: what went right and how it ended, or what was lost."""
    if not right:
        return f"**{bad}, {ending}**"
    return good if ending == "exit 0" else f"{good}, **then hangs**" if ending == "hangs" else f"{good}, {ending}"


# ---- TCP


def late_reply(variant: str) -> str:
    with listener() as server, running(words(variant, False, None, server.getsockname()[1])) as client:
        say(client, b"req\n")
        with server.accept()[0] as peer:
            assert exactly(peer, 4) == b"req\n"
            time.sleep(LATE)
            peer.sendall(b"late\n")
        out, ending = end_of(client)
    return verdict(out == b"late\n", "printed", ending)


def fin(variant: str) -> str:
    with listener() as server, running(words(variant, False, None, server.getsockname()[1])) as client:
        say(client, b"req\n")
        with server.accept()[0] as peer:
            assert exactly(peer, 4) == b"req\n"
            return "yes" if select.select([peer], [], [], LATE)[0] else "**no**"


def peer_ends(variant: str) -> str:
    with listener() as server, running(words(variant, False, None, server.getsockname()[1])) as client:
        with server.accept()[0] as peer:
            peer.sendall(b"bye\n")
        begun = time.monotonic()
        try:
            client.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return "**never ends**"
        took = time.monotonic() - begun
        return f"ends {'at once' if took < 0.35 else 'after 0.5 s' if took < 0.8 else 'after 1 s'}"


def late_input(variant: str) -> str:
    with listener() as server, running(words(variant, False, None, server.getsockname()[1])) as client:
        with server.accept()[0] as peer:
            peer.sendall(b"bye\n")
            peer.shutdown(socket.SHUT_WR)
            time.sleep(0.7)
            say(client, b"late\n")
            peer.settimeout(PATIENCE)
            try:
                got = peer.recv(100)
            except (TimeoutError, ConnectionError):
                got = b""
            _, ending = end_of(client)
    return verdict(got == b"late\n", "sent", ending)


def late_client(variant: str) -> str:
    port = free_port()
    with running(words(variant, False, port, None)) as server:
        say(server, b"hello\n")
        time.sleep(1)  # the client comes when stdin has ended
        with connected(port) as client:
            try:
                hello = exactly(client, 6)
                time.sleep(LATE)
                client.sendall(b"late\n")
                client.shutdown(socket.SHUT_WR)
            except (OSError, AssertionError):
                hello = b""
            out, ending = end_of(server)
    return verdict((hello, out) == (b"hello\n", b"late\n"), "both ways", ending)


def connected(port: int) -> socket.socket:
    """A connection to whoever is about to listen."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


# ---- UDP


def late_datagram(variant: str) -> str:
    with (
        listener(type=socket.SOCK_DGRAM) as server,
        running(words(variant, True, None, server.getsockname()[1])) as client,
    ):
        say(client, b"req\n")
        _, address = server.recvfrom(100)
        time.sleep(LATE)
        server.sendto(b"late\n", address)
        try:
            out, ending = end_of_datagrams(client)
        finally:
            client.kill()
    return verdict(out == b"late\n", "printed", ending)


def end_of_datagrams(popen: subprocess.Popen[bytes]) -> tuple[bytes, str]:
    """As ``end_of``, with more patience: replies are waited for for five seconds."""
    try:
        popen.wait(7)
    except subprocess.TimeoutExpired:
        pass
    return end_of(popen)


def datagrams_at_the_end(variant: str) -> str:
    return _datagrams(variant, b"req\n", 1)


def datagrams_of_nothing(variant: str) -> str:
    return _datagrams(variant, b"", 0)


def _datagrams(variant: str, given: bytes, expected: int) -> str:
    with (
        listener(type=socket.SOCK_DGRAM) as server,
        running(words(variant, True, None, server.getsockname()[1])) as client,
    ):
        say(client, given)
        assert [server.recv(100) for _ in range(expected)] == [given][:expected]
        more = []
        server.settimeout(LATE)
        try:
            while True:
                more.append(server.recv(100))
        except TimeoutError:
            pass
    return "nothing" if not more else f"**{len(more)} empty**" if set(more) == {b""} else f"**{more}**"


def empty_datagram(variant: str) -> str:
    port = free_port(socket.SOCK_DGRAM)
    with running(words(variant, True, port, None)) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.1)
        deadline = time.monotonic() + 10
        assert server.stdout is not None
        while not select.select([server.stdout], [], [], 0.1)[0]:  # until it listens
            assert time.monotonic() < deadline
            try:
                client.send(b"a")
            except ConnectionRefusedError:
                pass
        client.send(b"")
        time.sleep(0.3)
        try:
            client.send(b"z")
        except ConnectionRefusedError:
            pass
        got = b""
        while select.select([server.stdout], [], [], LATE)[0]:
            chunk = server.stdout.read(100)
            if not chunk:
                break
            got += chunk
        status = server.poll()
    return "goes on" if b"z" in got else f"**ends, exit {status}**"


TCP: dict[str, Callable[[str], str]] = {
    "is told of the end of stdin (FIN)": fin,
    "a reply 1.5 s after the end of stdin": late_reply,
    "the peer ends, stdin stays open": peer_ends,
    "input 0.7 s after the peer's end": late_input,
    "listening, stdin ended before the client came": late_client,
}
UDP: dict[str, Callable[[str], str]] = {
    "a reply 1.5 s after the end of stdin": late_datagram,
    "the end of stdin sends": datagrams_at_the_end,
    "an empty stdin sends": datagrams_of_nothing,
    "listening, an empty datagram comes": empty_datagram,
}
Table = dict[tuple[str, str], str]


def play(situations: dict[str, Callable[[str], str]]) -> Table:
    """Every cell, several at once, since they mostly wait."""
    cells = [(variant, situation) for variant in VARIANTS for situation in situations]
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda cell: situations[cell[1]](cell[0]), cells)
        return dict(zip(cells, answers, strict=True))


def differing(name: str) -> dict[str, str]:
    """The rows of a table that are not what the page shows. What differs is played again with nothing beside it, as often as a
    busy machine may need: the cells are told apart by fractions of a second.
    """
    situations = TCP if name == "TCP" else UDP
    cells, page_rows = play(situations), shown()[name]
    for again in range(4):
        found_rows = table(situations, cells)
        differ = {page: found for found, page in zip(found_rows, page_rows, strict=True) if found != page}
        if not differ or again == 3:
            break
        for variant, found in zip(VARIANTS, found_rows[2:], strict=True):
            if found in differ.values():
                cells |= {(variant, situation): play_one(variant) for situation, play_one in situations.items()}
    return differ


def table(situations: dict[str, Callable[[str], str]], cells: Table) -> list[str]:
    """As Markdown: a row a tool."""
    lines = ["| | " + " | ".join(situations) + " |", "|---" * (len(situations) + 1) + "|"]
    return lines + [
        f"| {variant} | " + " | ".join(cells[variant, situation] for situation in situations) + " |"
        for variant in VARIANTS
    ]


def tables() -> dict[str, list[str]]:
    """Both tables, played now."""
    return {name: table(rows, play(rows)) for name, rows in (("TCP", TCP), ("UDP", UDP))}


def shown() -> dict[str, list[str]]:
    """The tables of the page."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            name = line[3:]
        elif line.startswith("|"):
            found.setdefault(name, []).append(line)
    return found


def main() -> int:
    """Write the tables into the page."""
    text = PAGE.read_text()
    for name, lines in tables().items():
        before, heading, after = text.partition(f"## {name}\n")
        said, following, rest = after.partition("\n## ")
        prose = "\n".join(line for line in said.splitlines() if not line.startswith("|")).strip()
        text = f"{before}{heading}\n{prose}\n\n" + "\n".join(lines) + f"\n{following}{rest}"
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
