"""One socket of another process: what it would read itself, nothing touched, and what is said where we may not."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sockkit import sockopts, syscalls
from sockkit.errors import errno_name
from tests.harness import ENVIRONMENT, TIMEOUT, need, needs_linux, needs_root, run
from tests.test_machine import as_nobody, needs_borrowing, needs_nobody

pytestmark = needs_linux


SERVER = """
import json, socket, sys, warnings
warnings.simplefilter("ignore", ResourceWarning)
from sockkit.commands.inspect import inspect, report
from sockkit.spec import SocketSpec
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
served, _ = listener.accept()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
a, b = socket.socketpair()
unbound = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
all = {"listener": listener, "client": client, "served": served, "datagrams": datagrams, "a": a, "unbound": unbound}
client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
served.send(b"12345")
client.recv(1, socket.MSG_PEEK)
print(json.dumps({name: sock.fileno() for name, sock in all.items()}), flush=True)
for line in sys.stdin:
    command, _, name = line.strip().partition(" ")
    if command == "look":
        print(json.dumps(report(inspect(SocketSpec(fileno=all[name].fileno())), 0.0).data), flush=True)
    elif command == "raw":
        name, _, wanted = name.partition(" ")
        told = {}
        for option, *where in json.loads(wanted):
            try:
                told[option] = all[name].getsockopt(*where).hex()
            except OSError as error:
                told[option] = error.errno
        print(json.dumps(told), flush=True)
    elif command == "close":
        all[name].close()
        print(json.dumps("closed"), flush=True)
    elif command == "read":
        print(json.dumps(all[name].recv(100).decode()), flush=True)
"""


class Peer:
    """A server of its own process that says what it sees of its sockets."""

    def __init__(self, *prefix: str) -> None:
        self.popen = subprocess.Popen(
            [*prefix, sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self.pid = self.popen.pid
        self.fds: dict[str, int] = self._answer()

    def _answer(self) -> Any:
        assert self.popen.stdout is not None
        return json.loads(self.popen.stdout.readline())

    def ask(self, command: str) -> Any:
        assert self.popen.stdin is not None
        self.popen.stdin.write(command + "\n")
        self.popen.stdin.flush()
        return self._answer()

    def close(self) -> None:
        for stream in (self.popen.stdin, self.popen.stdout):
            assert stream is not None
            stream.close()
        self.popen.wait(TIMEOUT)


@contextmanager
def peer(*prefix: str) -> Iterator[Peer]:
    made = Peer(*prefix)
    try:
        yield made
    finally:
        made.close()


def inspected(pid: int, fd: int, *args: str) -> dict[str, Any]:
    done = run("inspect", "--pid", str(pid), "--fileno", str(fd), "--json", *args)
    assert done.status == 0, done.said
    found: dict[str, Any] = json.loads(done.out)
    return found


def steady(name: str, option: dict[str, Any]) -> object:
    """What must be equal in both: all but what moves by itself, as the row says, field by field."""
    row = sockopts.find(name)
    return (row.steady(option["value"]), option["error"], option["changed"])


@needs_borrowing
@pytest.mark.parametrize("name", ["listener", "client", "served", "datagrams", "a", "unbound"])
def test_every_option_is_what_its_owner_reads_by_python_alone(name: str) -> None:
    """Without a line of ours in that process: getsockopt's bytes, decoded here."""
    with peer() as other:
        ours = inspected(other.pid, other.fds[name])
        family = ours["kernel"]["family"]["number"]
        rows = [sockopts.find(option) for option, told in ours["options"].items() if told["read"]]
        rows = [row for row in rows if row.kind.given is None]
        wanted = [(row.name, row.level_number, row.number, row.read_size(family)) for row in rows]
        theirs = other.ask(f"raw {name} {json.dumps(wanted)}")
        fields = 0
        for row in rows:
            told, raw = ours["options"][row.name], theirs[row.name]
            if isinstance(raw, int):
                assert told["error"] == errno_name(raw), row.name
                continue
            value = json.loads(json.dumps(row.decode(bytes.fromhex(raw))))
            assert row.steady(told["value"]) == row.steady(value), row.name
            fields += 1 if not isinstance(value, dict) else len(row.steady(value))  # type: ignore[arg-type]
            if isinstance(value, dict):
                assert told["value"].keys() == value.keys()
        assert fields > 40


@needs_borrowing
@pytest.mark.parametrize("name", ["listener", "client", "served", "datagrams", "a", "unbound"])
def test_every_option_is_what_its_owner_reads(name: str) -> None:
    with peer() as other:
        theirs = other.ask(f"look {name}")
        ours = inspected(other.pid, other.fds[name])
        assert ours["borrowed"] is True and ours["refusal"] is None
        assert ours["options"].keys() == theirs["options"].keys()
        assert len(ours["options"]) > 15
        for option, told in ours["options"].items():
            assert steady(option, told) == steady(option, theirs["options"][option]), option
        assert {key: ours[key] for key in ("kernel", "listening", "send_queue", "receive_queue")} == {
            key: theirs[key] for key in ("kernel", "listening", "send_queue", "receive_queue")
        }
        assert (ours["local"], ours["peer"]) == (theirs["local"], theirs["peer"])
        assert (ours["blocking"], ours["inheritable"]) == (theirs["blocking"], theirs["inheritable"])
        unread = [option for option, told in ours["options"].items() if not told["read"]]
        assert "SO_ERROR" in unread


@needs_borrowing
def test_nothing_is_read_and_nothing_is_changed() -> None:
    """By the system calls themselves: on the borrowed descriptor only questions are asked."""
    strace = need("strace")
    with peer() as other:
        fd = other.fds["client"]
        done = run("inspect", "--pid", str(other.pid), "--fileno", str(fd), "-v", prefix=())
        assert done.status == 0
        number = re.search(r"pidfd_getfd\(\d+, \d+\) = (\d+)", done.said)
        assert number is not None
        traced = subprocess.run(
            [strace, "-f", "-qq", "-e", "trace=network,read,readv,fcntl,ioctl,desc", sys.executable, "-m", "sockkit",
             "inspect", "--pid", str(other.pid), "--fileno", str(fd)],
            capture_output=True, check=False, timeout=TIMEOUT, env=ENVIRONMENT,
        )  # fmt: skip
        assert traced.returncode == 0
        lines = traced.stderr.decode().splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("pidfd_getfd("))
        borrowed = lines[first].rpartition("= ")[2]
        last = next(i for i, line in enumerate(lines) if i > first and line.startswith(f"close({borrowed})"))
        names = {line.partition("(")[0] for line in lines[first + 1 : last] if re.match(rf"\w+\({borrowed}\b", line)}
        assert names <= {"getsockopt", "getsockname", "getpeername", "ioctl", "fcntl", "fstat", "newfstatat"}, names
        asked = [line for line in lines[first:last] if line.startswith((f"ioctl({borrowed}", f"fcntl({borrowed}"))]
        assert all(re.search(r"FIONREAD|SIOCOUTQ|SIOCINQ|TIOCOUTQ|F_GETFL|F_GETFD", line) for line in asked), asked
        assert other.ask("read client") == "12345"


@needs_borrowing
def test_l5_a_pending_error_is_left_to_its_owner() -> None:
    code = """
import socket, sys
gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); gone.bind(("127.0.0.1", 0))
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(gone.getsockname()); gone.close()
sock.send(b"x")
print(sock.fileno(), flush=True)
sys.stdin.readline()
print(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        fd = int(other.stdout.readline())
        assert inspected(other.pid, fd)["options"]["SO_ERROR"]["read"] is False
        other.stdin.write("\n")
        other.stdin.flush()
        assert int(other.stdout.readline()) == errno.ECONNREFUSED


@needs_borrowing
def test_holding_a_descriptor_delays_the_fin_so_we_do_not() -> None:
    """What borrowing costs the owner while it lasts, and that it is over when inspect has ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    code = "import socket, sys\ns = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n" + (
        "print(s.fileno(), flush=True)\nsys.stdin.readline()\ns.close()\nprint('closed', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(listener.getsockname()[1])]
    with (
        listener,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout is not None and other.stdin is not None
        served, _ = listener.accept()
        with served:
            fd = int(other.stdout.readline())
            assert run("inspect", "--pid", str(other.pid), "--fileno", str(fd)).status == 0
            with syscalls.borrowed(syscalls.QUIET, other.pid, fd):
                other.stdin.write("\n")
                other.stdin.flush()
                assert other.stdout.readline() == "closed\n"
                served.settimeout(0.3)
                with pytest.raises(TimeoutError):  # its owner has closed it, and no FIN comes
                    served.recv(1)
            served.settimeout(TIMEOUT)
            assert served.recv(1) == b""
        other.stdin.close()


def test_what_the_report_says_to_a_person() -> None:
    with peer() as other:
        shown = run("inspect", "--pid", str(other.pid), "--fileno", str(other.fds["listener"])).text
        assert re.match(rf"fd \d+ of \S+\[{other.pid}\]: socket:\[\d+\]\n", shown)
        for line in (
            "family +AF_INET",
            "type +SOCK_STREAM",
            "proto +IPPROTO_TCP",
            "kernel's name +TCP",
            "state +LISTEN",
        ):
            assert re.search(rf"^  {line}", shown, re.M), line
        assert re.search(r"^  accept queue +0 of \d+ wait for accept", shown, re.M)
        assert re.search(rf"^  held by +\S+\[{other.pid}\] fd {other.fds['listener']}$", shown, re.M)
        unix = run("inspect", "--pid", str(other.pid), "--fileno", str(other.fds["a"])).text
        assert re.search(rf"^  its other end +inode \d+, \S+\[{other.pid}\] fd \d+$", unix, re.M)
        unbound = run("inspect", "--pid", str(other.pid), "--fileno", str(other.fds["unbound"])).text
        assert re.search(r"^  state +in no list of the kernel's: not bound yet$", unbound, re.M)


@needs_borrowing
def test_the_options_of_every_socket_of_a_process() -> None:
    with peer() as other:
        shown = run("inspect", "--pid", str(other.pid), "--options", "changed")
        assert shown.status == 0
        client = re.search(rf"^fd {other.fds['client']}: tcp:\n((?: .*\n)+)", shown.text, re.M)
        assert client is not None and re.search(r"^  SO_KEEPALIVE +on \(default off\)", client[1], re.M)
        assert "SO_REUSEADDR" not in client[1]
        found = json.loads(run("inspect", "--pid", str(other.pid), "--options", "SO_KEEPALIVE", "--json").out)
        told = found["options_by_fd"]
        assert set(map(int, told)) >= set(other.fds.values())
        assert {int(fd) for fd in told if told[fd]["SO_KEEPALIVE"]["value"]} == {other.fds["client"]}


# ---- what is no socket, or not there


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("os.open('/dev/null', os.O_RDONLY)", "it is /dev/null"),
        ("os.pipe()[0]", "it is pipe:["),
        (
            "select.epoll().detach() if hasattr(select.epoll, 'detach') else keep(select.epoll()).fileno()",
            "it is anon_inode:",
        ),
        ("os.eventfd(0)", "it is anon_inode:"),
        ("os.open('/', os.O_PATH)", "it is /"),
    ],
    ids=["file", "pipe", "epoll", "eventfd", "O_PATH"],
)
def test_l12_no_socket(what: str, said: str) -> None:
    code = f"""
import os, select, socket, sys
kept = []
def keep(what):
    kept.append(what)
    return what
sock = socket.socket()
print({what}, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        fd = other.stdout.readline().decode().strip()
        done = run("inspect", "--pid", str(other.pid), "--fileno", fd)
        assert (done.status, done.out) == (1, b"")
        assert f"inspect fd {fd} of process {other.pid}: " in done.said and "[ENOTSOCK " in done.said
        assert said in done.said
        listed = run("inspect", "--pid", str(other.pid))
        assert listed.status == 0 and "unbound" in listed.text
        other.stdin.close()


def test_a_descriptor_that_is_not_open() -> None:
    done = run("inspect", "--pid", str(os.getpid()), "--fileno", "99999")
    assert done.status == 1
    assert f"inspect fd 99999 of process {os.getpid()}: Bad file descriptor [EBADF 9]" in done.said
    assert "it has descriptors 0" in done.said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--pid", "1", "--fileno", "-1"], "--fileno: -1 is no file descriptor"),
        (["--pid", "1", "--fileno", "x"], "--fileno: 'x' is no file descriptor"),
        (["--pid", "1", "--fileno", str(2**31)], "--fileno: 2147483648 is no file descriptor"),
        (["--all", "--fileno", "0"], "--fileno: it is one descriptor of ours: with --pid PID one of another process"),
        (["--pid", "1", "--set", "RCVBUF=1"], "--set: looking does not touch"),
        (["--count", "2"], "--count: it counts the looks of --watch"),
        (["--watch", "0"], "--watch: '0' is too often"),
        (["--watch=often"], "--watch: 'often' is no time"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(args: list[str], said: str) -> None:
    done = run("inspect", *args)
    assert (done.status, done.out) == (2, b"")
    assert done.said.startswith(f"sockkit: {said}"), done.said


def test_closed_or_killed_while_we_look() -> None:
    """L2: whatever happens in between is said in one line."""
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None and other.stdin is not None
            fds = json.loads(other.stdout.readline())
            with subprocess.Popen(
                [sys.executable, "-m", "sockkit", "inspect", "--pid", str(other.pid), "--fileno", str(fds["client"])],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT,
            ) as looking:  # fmt: skip
                other.send_signal(signal.SIGKILL)
                said = looking.communicate(timeout=TIMEOUT)[1].decode()
            assert looking.returncode in (0, 1)
            assert "Traceback" not in said
            if looking.returncode:
                assert "[ESRCH 3]" in said or "[EBADF 9]" in said, said


# ---- where we may not


@needs_root
def test_what_can_be_known_without_borrowing() -> None:
    """pidfd_getfd is refused (as Yama does to a process of the same user): /proc and sock_diag tell the rest."""
    strace = need("strace")
    with peer() as other:
        done = subprocess.run(
            [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=pidfd_getfd", "-e", "inject=pidfd_getfd:error=EPERM",
             sys.executable, "-m", "sockkit", "inspect", "--json",
             "--pid", str(other.pid), "--fileno", str(other.fds["client"])],
            capture_output=True, check=False, timeout=TIMEOUT, env=ENVIRONMENT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        found = json.loads(done.stdout)
        theirs = other.ask("look client")
        assert found["borrowed"] is False and found["options"] is None
        assert "[EPERM 1]" in found["refusal"] and "CAP_SYS_PTRACE" in found["remedy"]
        assert found["protocol_name"] == "TCP" and found["kernel"] == theirs["kernel"]
        for key in ("local", "peer", "blocking", "inheritable", "listening", "send_queue", "receive_queue"):
            assert found[key] == theirs[key], key
        info, own = found["tcp_info"], theirs["options"]["TCP_INFO"]["value"]
        for key in ("state", "snd_mss", "pmtu", "snd_cwnd", "bytes_received"):
            assert info[key] == own[key], key
        shown = subprocess.run(
            [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=pidfd_getfd", "-e", "inject=pidfd_getfd:error=EPERM",
             sys.executable, "-m", "sockkit", "inspect", "--pid", str(other.pid), "--fileno", str(other.fds["unbound"])],
            capture_output=True, check=False, timeout=TIMEOUT, env=ENVIRONMENT,
        ).stdout.decode()  # fmt: skip
        assert re.search(r"kernel's name +TCPv6", shown)
        assert "not visible" in shown and "its options: we may not borrow the descriptor" in shown
        assert re.search(r"to see it +root may", shown)


@needs_nobody
def test_a_process_of_another_user() -> None:
    with peer() as other:
        done = as_nobody("inspect", "--pid", str(other.pid), "--fileno", str(other.fds["client"]))
        assert (done.status, done.out) == (1, b"")
        assert "Permission denied [EACCES 13]" in done.said and "sudo" in done.said


@needs_root
def test_in_another_network_namespace() -> None:
    with peer("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh") as other:
        found = inspected(other.pid, other.fds["client"])
        assert found["borrowed"] and found["socket"]["state"] == "ESTABLISHED"
        listed = json.loads(run("inspect", "--pid", str(other.pid), "--json").out)
        states = sorted(str(record["state"]) for record in listed["sockets"])
        assert states.count("ESTABLISHED") >= 2 and "LISTEN" in states
