"""``inspect --watch``: what changes, told as it changes; nothing held, a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sockkit.commands.watch import Watch, inode_of
from sockkit.events import Changed, Env, Event, Interest, Sample
from sockkit.machine import Query
from sockkit.render import Output
from sockkit.render.live import Live, amount, microseconds, sparkline
from sockkit.sockdiag import Wanted
from tests.harness import TIMEOUT, Process, needs_linux, needs_root, on_terminal, run

pytestmark = needs_linux


class Watching(Process):
    """``sockkit inspect --watch`` in the background, its lines as they come."""

    def __init__(self, *args: str, **kwargs: Any) -> None:
        super().__init__("inspect", "--watch", "0.05", *args, **kwargs)

    def lines(self) -> Iterator[dict[str, Any]]:
        for line in bytes(self.out).split(b"\n")[:-1]:
            yield json.loads(line)

    def changes(self) -> list[tuple[str, str | None, str | None]]:
        return [(line["what"], line["before"], line["after"]) for line in self.lines() if line["event"] == "changed"]

    def wait(self, pattern: bytes) -> None:
        self.wait_for(pattern, stream="out")


@contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """A listener, a client, and what was accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname(), timeout=TIMEOUT) as client:
            with listener.accept()[0] as served:
                served.settimeout(TIMEOUT)
                yield listener, client, served


def sampled(watch: Watch, told: list[Event]) -> list[dict[str, Any]]:
    """Look once; the sockets of that look."""
    watch.look()
    sample = [event for event in told if isinstance(event, Sample)][-1]
    return list(sample.sockets)  # type: ignore[arg-type]


def watching(told: list[Event], clock: list[float], fd: int) -> Watch:
    env = Env(0, 1, told.append, Interest.STATE, lambda: clock[0])
    inode = inode_of(None, fd)
    return Watch(env, Query(Wanted(inodes={inode}, details=True)), inode)


def test_rates_are_bytes_over_the_time_between_two_looks() -> None:
    told: list[Event] = []
    clock = [0.0]
    with connection() as (_, client, served):
        watch = watching(told, clock, client.fileno())
        (first,) = sampled(watch, told)
        assert (first["send_rate"], first["receive_rate"]) == (None, None)
        assert first["state"] == "ESTABLISHED" and first["rtt"] > 0 and first["cwnd"] > 0
        client.sendall(b"x" * 10_000)
        served.sendall(b"y" * 500)
        assert served.recv(10_000, socket.MSG_WAITALL) == b"x" * 10_000
        assert client.recv(500, socket.MSG_WAITALL) == b"y" * 500
        clock[0] = 2.0
        (second,) = sampled(watch, told)
        assert (second["send_rate"], second["receive_rate"]) == (5000, 250)
        assert (second["sent"], second["received"]) == (first["sent"] + 10_000, first["received"] + 500)
        assert second["owners"][0]["pid"] == os.getpid()


def test_queues_and_the_accept_queue() -> None:
    told: list[Event] = []
    with connection() as (listener, client, served):
        waiting = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        client.sendall(b"12345")
        served.recv(1, socket.MSG_PEEK)
        (listening,) = sampled(watching(told, [0.0], listener.fileno()), told)
        assert (listening["accept_queue"], listening["state"]) == (3, "LISTEN") and listening["backlog"] > 0
        assert listening["rtt"] is None
        (full,) = sampled(watching(told, [0.0], served.fileno()), told)
        assert full["receive_queue"] == 5
        for sock in waiting:
            sock.close()


def test_every_change_of_state_is_told_until_it_is_gone() -> None:
    told: list[Event] = []
    with connection() as (_, client, served):
        watch = watching(told, [0.0], client.fileno())
        watch.look()
        client.shutdown(socket.SHUT_WR)
        assert served.recv(1) == b""
        deadline = time.monotonic() + TIMEOUT
        while sampled(watch, told)[0]["state"] != "FIN_WAIT2" and time.monotonic() < deadline:
            pass  # the acknowledgement may be delayed
        served.close()
        client.recv(1)
        client.close()
        watch.look()
        changes = [(event.what, event.before, event.after) for event in told if isinstance(event, Changed)]
        assert changes[0][:2] == ("state", "ESTABLISHED")
        assert [after for _, _, after in changes if after not in ("FIN_WAIT1", None)] == ["FIN_WAIT2", "TIME_WAIT"]
        assert not watch.gone
    with connection() as (_, client, served):
        told.clear()
        watch = watching(told, [0.0], client.fileno())
        watch.look()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        watch.look()
        assert [event.what for event in told if isinstance(event, Changed)] == ["gone"]
        assert watch.gone


def test_new_and_gone_in_a_list() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with Watching("--port", port) as watch:
            watch.wait(rb'"event": "sample"')
            with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as served:
                watch.wait(rb'"what": "new"')
                assert served.getpeername() == client.getsockname()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
                watch.wait(rb'"what": "gone"')
            result = watch.stop(signal.SIGINT)
            assert result.status == -signal.SIGINT
            assert ("new", None, "ESTABLISHED") in watch.changes()
            last = list(watch.lines())[-1]
            assert (last["event"], last["more"], last["sockets"]) == ("sample", False, [])


CLOSER = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(client.fileno(), flush=True)
sys.stdin.readline()
client.close()
print("closed", flush=True)
sys.stdin.read()
"""


def test_watching_holds_nothing_so_the_fin_is_not_late() -> None:
    """Its owner closes while we watch: the peer sees the end at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", CLOSER, str(listener.getsockname()[1])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None and other.stdin is not None
            fd = other.stdout.readline().strip()
            served = listener.accept()[0]
            with Watching("--pid", str(other.pid), "--fileno", fd) as watch:
                watch.wait(rb'"event": "sample"')
                other.stdin.write("\n")
                other.stdin.flush()
                assert other.stdout.readline() == "closed\n"
                served.settimeout(TIMEOUT)
                assert served.recv(1) == b""
                watch.wait(rb'"after": "FIN_WAIT2"')
                watch.wait(rb'"what": "owner"')
                served.close()
                watch.wait(rb'"what": "state", "before": "FIN_WAIT2", "after": "TIME_WAIT"')
                assert watch.stop(signal.SIGINT).status == -signal.SIGINT
            other.stdin.close()


def test_a_process_that_dies_is_said_and_ends_the_watch() -> None:
    code = "import socket, sys\na, b = socket.socketpair()\nprint(a.fileno(), flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        fd = other.stdout.readline().decode().strip()
        with Watching("--pid", str(other.pid), "--fileno", fd) as one, Watching("--pid", str(other.pid)) as all_of_it:
            one.wait(rb'"event": "sample"')
            all_of_it.wait(rb'"event": "sample"')
            other.kill()
            other.wait()
            for watch in (one, all_of_it):
                assert watch.finish().status == 0
                assert "gone" in {what for what, _, _ in watch.changes()}


def test_so_many_looks() -> None:
    with connection() as (listener, _, _):
        result = run("inspect", "--watch", "0.05", "--count", "3", "--port", str(listener.getsockname()[1]))
        assert result.status == 0
        samples = [json.loads(line) for line in result.out.splitlines()]
        assert [sample["more"] for sample in samples] == [True, True, True, False]
        assert {sample["event"] for sample in samples} == {"sample"}
        from jsonschema import Draft202012Validator

        from tests.schema import schema

        validator = Draft202012Validator(json.loads(schema()))
        for sample in samples:
            validator.validate(sample)


def test_an_inherited_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        args = ("--watch", "--count", "1", "--fileno", str(ours.fileno()))
        result = run("inspect", *args, pass_fds=(ours.fileno(),))
        assert result.status == 0
        (told,) = json.loads(result.out.splitlines()[0])["sockets"]
        assert told["kind"] == "unix stream" and told["inode"] == os.fstat(ours.fileno()).st_ino


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["--fileno", "0"], 1, "watch fd 0: Socket operation on non-socket [ENOTSOCK 88]"),
        (["--fileno", "999"], 1, "watch fd 999: Bad file descriptor [EBADF 9]"),
        (["--pid", "4194304", "--fileno", "1"], 1, "inspect process 4194304: No such process [ESRCH 3]"),
        (["--set", "RCVBUF=1"], 2, "--set: looking does not touch"),
        (["-o", "/tmp/report.json"], 2, "-o: --watch has no end that a report could have: it writes .ndjson"),
        ([":8080"], 2, "sockkit: --watch: ':8080' is no time\nsockkit: the address stands before the option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(args: list[str], status: int, said: str) -> None:
    done = run("inspect", "--watch", *args)
    assert (done.status, done.out) == (status, b"")
    assert said in done.said


def test_the_reader_goes_away() -> None:
    with Watching("--family", "UNIX") as watch:
        watch.wait(rb'"event": "sample"')
        assert watch.popen.stdout is not None
    command = f"{sys.executable} -m sockkit inspect --watch 0.05 --family UNIX | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=TIMEOUT, check=False)
    assert (done.stdout.splitlines()[-1], done.stderr) == (b"141", b"")


@needs_root
def test_in_another_network_namespace() -> None:
    code = "import socket, sys\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\nsys.stdin.read()"
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        port = int(other.stdout.readline())
        result = run("inspect", "--watch", "--count", "1", "--netns", str(other.pid), "--state", "listen")
        (told,) = json.loads(result.out.splitlines()[0])["sockets"]
        assert (told["port"], told["owners"][0]["pid"]) == (port, other.pid)
        other.stdin.close()


# ---- for a person


def screen(shown: bytes) -> str:
    """What is on the screen at the end: only the sequences that rich uses."""
    rows: list[str] = [""]
    row = 0
    for part in re.split(rb"(\x1b\[[0-9;?]*[a-zA-Z]|\r|\n)", shown):
        if part == b"\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif part == b"\x1b[2K":
            rows[row] = ""
        elif part == b"\x1b[1A":
            row = max(0, row - 1)
        elif part and part != b"\r" and not part.startswith(b"\x1b"):
            rows[row] = part.decode() if not rows[row] else rows[row] + part.decode()
    return "\n".join(line.rstrip() for line in rows)


def test_a_live_view_of_80_columns_and_a_clean_end() -> None:
    with connection() as (listener, client, served):
        client.sendall(b"x" * 1000)
        served.recv(1, socket.MSG_PEEK)
        port = str(listener.getsockname()[1])
        shown = on_terminal("inspect", "--watch", "0.1", "--port", port, typed=b"\x03", until=rb"look 3", columns=80)
        assert shown.status == -signal.SIGINT
        text = screen(shown.shown)
        assert re.search(r"^3 sockets   \d\d:\d\d:\d\d   look \d+   Ctrl-C ends$", text, re.M)
        assert re.search(
            rf"^tcp ESTABLISHED 127\.0\.0\.1:\d+ - 127\.0\.0\.1:{port}  \S+\[{os.getpid()}\] fd \d+", text, re.M
        )
        assert re.search(r"accept queue 0/\d+", text) and "recvq 1 kB" in text and "cwnd" in text
        assert max(map(len, text.splitlines())) <= 80
        assert shown.shown.count(b"\x1b[?25l") == shown.shown.count(b"\x1b[?25h") == 1  # the cursor is there again
        assert b"\x1b[2J" not in shown.shown  # the screen is never cleared: nothing flickers


def test_a_live_view_of_one_socket() -> None:
    with connection() as (_, client, served):
        fd = str(client.fileno())
        client.sendall(b"hello")
        served.recv(5)
        args = ("inspect", "--watch", "0.1", "--pid", str(os.getpid()), "--fileno", fd)
        shown = on_terminal(*args, typed=b"\x03", until=rb"look 4", columns=80)
        text = screen(shown.shown)
        for label in ("sent a second", "round trip", "cwnd (segments)", "sent again", "send queue", "receive queue"):
            assert re.search(rf"^{re.escape(label)} +\S", text, re.M), label
        assert max(map(len, text.splitlines())) <= 80


def test_a_terminal_that_cannot_redraw_gets_lines() -> None:
    with connection() as (listener, _, _):
        args = ("inspect", "--watch", "0.05", "--count", "1", "--port", str(listener.getsockname()[1]))
        shown = on_terminal(*args, env={"TERM": "dumb"})
        assert shown.status == 0
        assert json.loads(shown.shown.splitlines()[0])["event"] == "sample"


def test_many_sockets_fit_the_screen() -> None:
    import io

    from rich.console import Console

    told: list[Event] = []
    env = Env(0, 1, told.append, Interest.STATE, time.monotonic)
    pairs = [socket.socketpair() for _ in range(60)]
    try:
        watch = Watch(env, Query(Wanted(details=True), str(os.getpid()), False))
        sockets = sampled(watch, told)
        console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True, color_system=None)
        live = Live(lambda event: None, Output(1, 2, True, True, True, True), console=console)
        live.remember(sockets)
        with console.capture() as capture:
            console.print(live.picture(sockets))
        lines = capture.get().splitlines()
        assert len(lines) <= 23 and max(map(len, lines)) <= 80
        assert any(re.fullmatch(r"\d+ more, less busy", line) for line in lines)
    finally:
        for pair in pairs:
            for end in pair:
                end.close()


def test_sparklines_and_amounts() -> None:
    assert sparkline([0, 1, 2, 4, 8], 5) == "▁▂▃▅█"
    assert sparkline([None, 0, 0], 4) == "  ▁▁"
    assert sparkline(list(range(100)), 3, bars="_^") == "^^^"
    assert [amount(value) for value in (None, 0, 999, 1000, 12_345, 5_600_000)] == [
        "", "0 B", "999 B", "1 kB", "12.3 kB", "5.6 MB",
    ]  # fmt: skip
    assert [microseconds(value) for value in (None, 40, 1250, 2_500_000)] == ["", "40 us", "1.25 ms", "2.5 s"]


def test_the_numbers_are_those_of_tcp_info() -> None:
    """The few fields that are told, against the whole structure as ``getsockopt`` gives it."""
    from sockkit import sockopts
    from sockkit.commands.watch import METRICS

    told: list[Event] = []
    with connection() as (_, client, served):
        client.sendall(b"x" * 1000)
        served.recv(1000, socket.MSG_WAITALL)
        (sample,) = sampled(watching(told, [0.0], client.fileno()), told)
        whole = sockopts.find("TCP_INFO").decode(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 280))
        assert isinstance(whole, dict)
        assert {name: sample[name] for name in METRICS} == {name: whole.get(field) for name, field in METRICS.items()}
        assert (sample["sent"], sample["received"]) == (whole["bytes_sent"], whole["bytes_received"])
