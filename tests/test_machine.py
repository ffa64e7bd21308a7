"""The host's sockets: the same as ss lists and more, who has them, and what is said of what cannot be seen."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from sockkit import machine, names, procfs, sockdiag, syscalls
from sockkit.errors import UsageError
from sockkit.machine import Query
from sockkit.sockdiag import Wanted
from tests.harness import (
    AS_NOBODY,
    ENVIRONMENT,
    SOCKKIT,
    TIMEOUT,
    Result,
    check,
    need,
    needs_linux,
    needs_root,
    nobody_can_run,
    run,
)

pytestmark = needs_linux

NETNS = ("unshare", "--net")


def inspected(*args: str, prefix: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON of ``sockkit inspect``. How much memory that takes depends on the host: see the benchmarks."""
    done = run("inspect", "--json", *args, prefix=prefix, memory=1 << 30)
    assert done.status == 0, done.said
    found: dict[str, Any] = json.loads(done.out)
    return found


def ours(found: dict[str, Any], pid: int | None = None) -> dict[int, dict[str, Any]]:
    """The sockets of a process (this one), by descriptor."""
    wanted = os.getpid() if pid is None else pid
    return {owner["fd"]: record for record in found["sockets"] for owner in record["owners"] if owner["pid"] == wanted}


def can_borrow() -> bool:
    """Whether a child of ours may borrow a descriptor of ours, as sockkit will."""
    if sys.platform != "linux":
        return False
    code = "import sys; from sockkit import syscalls\nwith syscalls.borrowed(syscalls.QUIET, *map(int, sys.argv[1:])): pass"
    with socket.socket() as sock:
        command = [sys.executable, "-c", code, str(os.getpid()), str(sock.fileno())]
        return subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT).returncode == 0


BORROWING = can_borrow()
needs_borrowing = pytest.mark.skipif(
    not BORROWING, reason="CANNOT: pidfd_getfd is not for us here (ptrace, seccomp or an old kernel)"
)


# ---- one of each


@contextmanager
def one_of_each() -> Iterator[dict[str, socket.socket]]:
    """Sockets of every family that can be made here without privilege, by a name for each."""
    with ExitStack() as stack:
        made: dict[str, socket.socket] = {}

        def make(name: str, family: int, type: int, proto: int = 0) -> socket.socket | None:
            try:
                sock = stack.enter_context(socket.socket(family, type, proto))
            except OSError:
                return None
            made[name] = sock
            return sock

        listener = make("listener", socket.AF_INET, socket.SOCK_STREAM)
        assert listener is not None
        listener.bind(("127.0.0.1", 0))
        listener.listen(7)
        client = make("client", socket.AF_INET, socket.SOCK_STREAM)
        assert client is not None
        client.connect(listener.getsockname())
        if datagrams := make("udp", socket.AF_INET, socket.SOCK_DGRAM):
            datagrams.bind(("127.0.0.1", 0))
        make("unbound", socket.AF_INET, socket.SOCK_STREAM)
        make("unbound6", socket.AF_INET6, socket.SOCK_DGRAM)
        if lite := make("udplite", socket.AF_INET, socket.SOCK_DGRAM, 136):
            lite.bind(("127.0.0.1", 0))
        if multipath := make("mptcp", socket.AF_INET, socket.SOCK_STREAM, 262):
            multipath.bind(("127.0.0.1", 0))
            multipath.listen()
        for name, pair in (("a", socket.SOCK_STREAM), ("b", socket.SOCK_SEQPACKET)):
            made[f"{name}1"], made[f"{name}2"] = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, pair))
        if abstract := make("abstract", socket.AF_UNIX, socket.SOCK_DGRAM):
            abstract.bind(f"\0sockkit-{os.getpid()}")
        if route := make("netlink", socket.AF_NETLINK, socket.SOCK_RAW):
            route.bind((0, 0))
        make("vsock", getattr(socket, "AF_VSOCK", 40), socket.SOCK_STREAM)
        make("raw", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        if packet := make("packet", socket.AF_PACKET, socket.SOCK_RAW):
            packet.bind(("lo", 3))
        make("xdp", 44, socket.SOCK_RAW)
        yield made


def test_every_socket_of_ours_is_there_with_its_family_type_protocol_and_owner() -> None:
    """The truth is what the sockets themselves say."""
    with one_of_each() as made:
        found = ours(inspected("--all"))
        for name, sock in made.items():
            record = found[sock.fileno()]
            assert record["inode"] == os.fstat(sock.fileno()).st_ino, name
            got = [sock.getsockopt(socket.SOL_SOCKET, option) for option in (39, socket.SO_TYPE, 38)]
            kind = names.FAMILIES.name(got[0]), names.TYPES.name(got[1])
            assert record["family"] == kind[0], name
            if record["listed"] or BORROWING:  # else the kernel's name of it does not always tell the type
                assert record["type"] == kind[1], name
            proto = names.protocols(got[0]).name(got[2]) or got[2]
            if name != "packet":
                assert record["proto"] == proto, name
            me = {"pid": os.getpid(), "fd": sock.fileno(), "name": procfs.command(os.getpid())}
            assert me in record["owners"], name


def test_unbound_sockets_are_there_though_no_list_has_them() -> None:
    with one_of_each() as made:
        found = ours(inspected("--all"))
        for name, sock in made.items():
            unlisted = name in ("unbound", "unbound6") or (
                name in ("vsock", "xdp") and not found[sock.fileno()]["listed"]
            )
            assert found[sock.fileno()]["listed"] is not unlisted, name
            if unlisted:
                assert found[sock.fileno()]["local"] is None


def test_addresses_states_and_queues() -> None:
    with one_of_each() as made:
        made["b1"].send(b"12345")
        found = ours(inspected("--all"))
        listener, client = found[made["listener"].fileno()], found[made["client"].fileno()]
        port = made["listener"].getsockname()[1]
        assert (listener["state"], listener["local"], listener["port"]) == ("LISTEN", f"127.0.0.1:{port}", port)
        assert (listener["accept_queue"], listener["backlog"], listener["peer"]) == (1, 7, None)
        assert (client["state"], client["peer"], client["peer_port"]) == ("ESTABLISHED", f"127.0.0.1:{port}", port)
        a1, a2 = found[made["a1"].fileno()], found[made["a2"].fileno()]
        assert (a1["peer_inode"], a2["peer_inode"]) == (a2["inode"], a1["inode"])
        assert {"pid": os.getpid(), "fd": made["a2"].fileno(), "name": procfs.command(os.getpid())} in a1["peer_owners"]
        assert found[made["b2"].fileno()]["receive_queue"] > 0
        assert found[made["abstract"].fileno()]["local"] == f"@sockkit-{os.getpid()}"
        # L14: looking took nobody out of the queue
        made["listener"].settimeout(TIMEOUT)
        made["listener"].accept()[0].close()


@needs_root
def test_every_state_of_tcp() -> None:
    """In a namespace whose loopback is taken down at the right moment, so that what is sent does not arrive."""
    code = """
import json, socket, subprocess, sys, warnings
warnings.simplefilter("ignore")
def lo(how): subprocess.run(["ip", "link", "set", "lo", how], check=True)
seen = set()
def look():
    done = subprocess.run([sys.executable, "-m", "sockkit", "inspect", "--all", "--json", "--proto", "TCP"],
                          stdout=subprocess.PIPE, check=True)
    seen.update(record["state"] for record in json.loads(done.stdout)["sockets"])
lo("up")
listener = socket.create_server(("127.0.0.1", 0), backlog=0)
def pair():
    client = socket.create_connection(listener.getsockname())
    return client, listener.accept()[0]
unbound = socket.socket()                  # CLOSE
a, b = pair()
a.shutdown(socket.SHUT_WR)                 # FIN_WAIT2, CLOSE_WAIT
b.recv(1)
look()
b.close(); a.recv(1); a.close()            # TIME_WAIT
c, d = pair()
e, f = pair()
f.shutdown(socket.SHUT_WR)
e.recv(1)
waiting = socket.create_connection(listener.getsockname())
refused = socket.socket(); refused.setblocking(False)
try: refused.connect(listener.getsockname())   # SYN_SENT: the queue for accept is full
except BlockingIOError: pass
lo("down")
c.shutdown(socket.SHUT_WR)                 # FIN_WAIT1
e.shutdown(socket.SHUT_WR)                 # LAST_ACK
look()
print(json.dumps(sorted(seen)))
"""
    done = subprocess.run(
        [*NETNS, sys.executable, "-c", code], capture_output=True, timeout=TIMEOUT, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr.decode()
    assert set(json.loads(done.stdout)) >= {
        "LISTEN", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
    }  # fmt: skip


# ---- the same as ss


def ss_keys() -> set[tuple[str, str]]:
    """What ss lists, each by what names it for good: cookie, inode, or netlink's protocol and port."""
    done = subprocess.run(["ss", "-a", "-n", "-e", "-O", "-H"], capture_output=True, check=False, timeout=TIMEOUT)
    keys = set()
    for line in done.stdout.decode().splitlines():
        fields = line.split()
        if fields[0] == "nl":
            keys.add(("netlink", fields[4]))
        elif fields[0].startswith("u_"):
            keys.add(("unix", fields[5]))
        elif fields[0] == "raw":
            keys.add(("raw", fields[4]))
        else:
            cookie = re.search(r"\bsk:([0-9a-f]+)", line)
            assert cookie is not None, line
            keys.add(("cookie", str(int(cookie[1], 16))))
    return keys


def sockkit_keys(found: machine.Listing) -> set[tuple[str, str]]:
    keys = set()
    for record in found.sockets:
        if record.family == sockdiag.AF_NETLINK:
            keys.add(("netlink", f"{record.proto}:{record.local.removeprefix('port ').replace('kernel', '0')}"))
        elif not record.listed:
            continue
        elif record.family == sockdiag.AF_UNIX:
            keys.add(("unix", str(record.inode)))
        elif record.type == sockdiag.RAW and record.family in (sockdiag.AF_INET, sockdiag.AF_INET6):
            keys.add(("raw", f"{record.local}:{record.proto}"))
        elif record.proto != sockdiag.UDPLITE:  # which ss cannot list
            keys.add(("cookie", str(record.cookie)))
    return keys


def differences() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """What only ss has, and what only we have. Both make a netlink socket of their own to ask with."""
    theirs, mine = ss_keys(), sockkit_keys(machine.listing(syscalls.QUIET, Query()))
    own = re.compile(r"4:[1-9]\d*")
    passing = {key for key in theirs ^ mine if key[0] == "netlink" and own.fullmatch(key[1])}
    return theirs - mine - passing, mine - theirs - passing


def test_the_same_sockets_as_ss() -> None:
    """On this host, where others come and go: what differs must be gone when looked at again."""
    need("ss")
    with one_of_each():
        only_theirs, only_ours = differences()
        deadline = time.monotonic() + TIMEOUT
        while (only_theirs or only_ours) and time.monotonic() < deadline:
            theirs, mine = differences()
            only_theirs &= theirs
            only_ours &= mine
    assert (only_theirs, only_ours) == (set(), set())


@needs_root
def test_the_same_sockets_as_ss_in_a_namespace_of_their_own() -> None:
    """Where nobody else is: the same at once, raw and packet sockets too."""
    need("ss")
    code = """
import subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
from tests.test_machine import differences, one_of_each
with one_of_each():
    print(differences())
"""
    done = subprocess.run([*NETNS, sys.executable, "-c", code], capture_output=True, timeout=TIMEOUT, check=False)
    assert (done.stdout, done.returncode) == (b"(set(), set())\n", 0), done.stderr.decode()


def test_what_ss_and_lsof_do_not_say() -> None:
    """What docs/inspect.md says of them."""
    need("ss")
    need("lsof")
    with one_of_each() as made:
        me = os.getpid()
        ss = subprocess.run(["ss", "-anp"], capture_output=True, check=False, timeout=TIMEOUT).stdout.decode()
        lsof = subprocess.run(["lsof", "-nP", "-a", "-p", str(me)], capture_output=True, check=False, timeout=TIMEOUT)
        of_fd = {line.split()[3][:-1]: line for line in lsof.stdout.decode().splitlines() if str(me) in line}
        seen = {int(fd) for pid, fd in re.findall(r"pid=(\d+),fd=(\d+)", ss) if int(pid) == me}
        for name in ("unbound", "unbound6", "udplite"):
            if name in made:
                assert made[name].fileno() not in seen, name
                assert made[name].fileno() in ours(inspected("--pid", str(me))), name
        assert made["client"].fileno() in seen
        assert of_fd[str(made["unbound"].fileno())].endswith("protocol: TCP")
        assert "UDPLITE" in of_fd[str(made["udplite"].fileno())]


# ---- filters


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["--state", "listen", "--proto", "TCP"], {"listener", "mptcp-flow"}),
        (["--family", "UNIX"], {"a1", "a2", "b1", "b2", "abstract"}),
        (["--family", "unix", "--type", "seqpacket"], {"b1", "b2"}),
        (["--type", "DGRAM", "--family", "INET"], {"udp", "udplite"}),
        (["--proto", "UDPLITE"], {"udplite"}),
        (["--family", "NETLINK"], {"netlink"}),
        (["--family", "INET6"], {"unbound6"}),
        (["--proto", "MPTCP"], {"mptcp"}),
        (["--family", "VSOCK"], {"vsock"}),
    ],
    ids=" ".join,
)
def test_filters(args: list[str], wanted: set[str]) -> None:
    with one_of_each() as made:
        fds = {sock.fileno() for name, sock in made.items() if name in wanted}
        fds |= {made["mptcp"].fileno()} if "mptcp-flow" in wanted and "mptcp" in made else set()
        assert set(ours(inspected("--all", *args))) == fds


def test_a_socket_that_a_filter_leaves_out_is_not_taken_for_unbound() -> None:
    before = set(
        ours(inspected("--all", "--state", "unconn", "--proto", "TCP"))
    )  # what earlier tests left in this process
    with one_of_each() as made:
        found = ours(inspected("--all", "--state", "unconn", "--proto", "TCP"))
        assert set(found) - before == {made["unbound"].fileno()}
        found = ours(inspected("--all", "--state", "listen"))
        assert {made["listener"].fileno()} <= set(found)
        assert not {made["unbound"].fileno(), made["client"].fileno()} & set(found)
        port = made["listener"].getsockname()[1]
        assert made["unbound"].fileno() not in ours(inspected("--port", str(port)))


@needs_borrowing
@pytest.mark.skipif(not hasattr(socket, "AF_VSOCK"), reason="CANNOT: Python knows no VSOCK here")
def test_a_family_without_a_list_is_told_by_its_descriptors() -> None:
    """VSOCK, where this kernel has no vsock_diag; where it has, the same is in its list."""
    try:
        listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        listener.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        listener.listen()
    except OSError as error:
        pytest.skip(f"CANNOT: no VSOCK here: {error}")
    with listener:
        port = listener.getsockname()[1]
        for args in (["--all"], ["--state", "listen", "--family", "VSOCK"], ["--port", str(port)]):
            record = ours(inspected(*args))[listener.fileno()]
            assert (record["family"], record["state"], record["port"]) == ("AF_VSOCK", "LISTEN", port)


def test_by_port_and_process() -> None:
    with one_of_each() as made:
        port = made["listener"].getsockname()[1]
        by_port = [  # others may have had that port before
            record for record in inspected("--port", str(port))["sockets"] if record["state"] != "TIME_WAIT"
        ]
        assert sorted(record["state"] for record in by_port) == ["ESTABLISHED", "ESTABLISHED", "LISTEN"]
        assert {port} <= {by_port[0]["port"], by_port[0]["peer_port"]}
        mine = inspected("--process", str(os.getpid()))
        assert {sock.fileno() for sock in made.values()} <= set(ours(mine))
        assert all(os.getpid() in {owner["pid"] for owner in record["owners"]} for record in mine["sockets"])
        name = procfs.command(os.getpid())
        assert name is not None
        assert set(ours(mine)) == set(ours(inspected("--process", name)))
        found = machine.by_port(syscalls.QUIET, port)
        assert {record.state for record in found.sockets} - {sockdiag.TIME_WAIT} == {1, sockdiag.LISTEN}
        assert all(record.port == port for record in found.sockets)


def test_without_owners_nothing_is_looked_for() -> None:
    with one_of_each() as made:
        found = inspected("--all", "--no-owners")
        assert not any(record["owners"] for record in found["sockets"])
        inodes = {record["inode"] for record in found["sockets"]}
        assert os.fstat(made["listener"].fileno()).st_ino in inodes
        assert os.fstat(made["unbound"].fileno()).st_ino not in inodes


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("listen", {"LISTEN"}),
        ("ESTAB", {"ESTABLISHED"}),
        ("time-wait,FIN_WAIT_1", {"TIME_WAIT", "FIN_WAIT1"}),
        ("unconn", {"CLOSE"}),
        ("bucket", {"SYN_RECV", "TIME_WAIT"}),
    ],
)
def test_states_as_typed(typed: str, meant: set[str]) -> None:
    mask = machine.parse_states(typed)
    assert {name for number, name in machine.STATES.items() if mask >> number & 1} == meant


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--state", "open"], "--state: 'open' is no state: ESTABLISHED, SYN_SENT"),
        (["--port", "4294967296"], "--port: '4294967296' is no PORT: a decimal number, 0 to 65535"),
        (["--process", "4194304999"], "--process: there is no process 4194304999"),
        (["--process", "no such process"], "--process: there is no process named 'no such process'"),
        (["--all", "--options", "changed"], "--options: a list has no options of sockets"),
        (["--netns", "no-such"], "--netns: there is no network namespace 'no-such'"),
        (["--pid", "0"], "--pid: '0' is no whole number from 1 to 4194304"),
        (["--pid", "-1"], "--pid: '-1' is no whole number from 1 to 4194304"),
        (["--pid", str(2**22 + 1)], "--pid: '4194305' is no whole number from 1 to 4194304"),
        (["--pid", str(2**31)], "--pid: '2147483648' is no whole number from 1 to 4194304"),
        (["--pid", "self"], "--pid: 'self' is no whole number from 1 to 4194304"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(args: list[str], said: str) -> None:
    done = run("inspect", *args)
    assert (done.status, done.out) == (2, b"")
    assert done.said.startswith(f"sockkit: {said}")


# ---- other network namespaces


@needs_root
def test_in_another_network_namespace() -> None:
    code = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 0))
unbound = socket.socket()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([*NETNS, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        port = int(other.stdout.readline())
        for where in (str(other.pid), f"/proc/{other.pid}/ns/net"):
            found = inspected("--netns", where)
            theirs = ours(found, other.pid)
            assert {record["port"] for record in theirs.values()} == {port, None}
            assert {record["listed"] for record in theirs.values()} == {True, False}
            assert not ours(found)
        assert not ours(inspected("--all"), other.pid)
        other.stdin.close()


@needs_root
def test_a_network_namespace_by_its_name() -> None:
    name = f"sockkit-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False, timeout=TIMEOUT)
    if made.returncode:
        pytest.skip(f"CANNOT: ip netns add: {made.stderr.decode().strip()}")
    try:
        found = inspected("--netns", name)
        assert {record["family"] for record in found["sockets"]} == {"AF_NETLINK"}
        assert found["not_visible"]["sockets"] == 0
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True, timeout=TIMEOUT)


def as_nobody(*args: str) -> Result:
    """Run sockkit as the user nobody."""
    done = subprocess.run(
        [*AS_NOBODY, *SOCKKIT, *args], capture_output=True, timeout=TIMEOUT, check=False, env=ENVIRONMENT
    )
    return check(Result(done.returncode, done.stdout, done.stderr))


needs_nobody = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not nobody_can_run(),
    reason="CANNOT: the user nobody cannot run this interpreter",
)


@needs_nobody
def test_what_may_not_be_seen_is_counted() -> None:
    with one_of_each() as made:
        done = as_nobody("inspect", "--all", "--json")
        assert done.status == 0, done.said
        found = json.loads(done.out)
        port = made["listener"].getsockname()[1]
        (record,) = [each for each in found["sockets"] if each["port"] == port and each["state"] == "LISTEN"]
        assert record["owners"] == []
        unseen = found["not_visible"]
        assert unseen["processes"] > 0 and unseen["unowned"] > 0 and "root" in unseen["remedy"]
        assert unseen["sockets"] >= 2  # the two that are not bound
        shown = as_nobody("inspect", "--all").text
        assert re.search(r"not visible  \d+ more sockets that no list has", shown)
        assert "to see it" in shown


@needs_nobody
def test_l3_another_users_process() -> None:
    done = as_nobody("inspect", "--pid", str(os.getpid()))
    assert (done.status, done.out) == (1, b"")
    assert f"inspect process {os.getpid()}: Permission denied [EACCES 13]" in done.said
    assert "it runs as user 0, we as 65534" in done.said


@needs_nobody
def test_another_network_namespace_is_not_for_everybody() -> None:
    done = as_nobody("inspect", "--netns", "/proc/self/ns/net")
    assert done.status == 1 and "EPERM" in done.said and "CAP_SYS_ADMIN" in done.said


# ---- processes


def test_l4_a_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    done = run("inspect", "--pid", str(child.pid))
    assert done.status == 1
    assert f"inspect process {child.pid}: No such process [ESRCH 3]" in done.said


def test_l4_a_zombie() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        done = run("inspect", "--pid", str(pid))
        assert done.status == 0
        assert "it is a zombie: it has ended, and its descriptors are closed" in done.text
    finally:
        os.waitpid(pid, 0)


def kernel_thread() -> int | None:
    return next((pid for pid in procfs.processes() if procfs.status(pid).get("Kthread") == "1"), None)


@needs_root
@pytest.mark.skipif(kernel_thread() is None, reason="CANNOT: no thread of the kernel in this PID namespace")
def test_l4_a_thread_of_the_kernel() -> None:
    done = run("inspect", "--pid", str(kernel_thread()))
    assert done.status == 0
    assert "it is a thread of the kernel, which has no descriptors" in done.text


def test_l11_the_name_of_a_process_is_escaped() -> None:
    """L11: comm with newline and ESC."""
    code = """
import socket, sys
open("/proc/self/comm", "w").write("a\\n\\x1b[31mb")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        port = other.stdout.readline().decode().strip()
        done = run("inspect", "--port", port)
        assert f"a\\n\\x1b[31mb[{other.pid}] fd " in done.text
        assert inspected("--port", port)["sockets"][0]["owners"][0]["name"] == "a\\n\\x1b[31mb"
        other.stdin.close()


def test_l2_processes_that_come_and_go() -> None:
    """L2: no traceback, no error, whatever ends in between."""
    code = """
import os, socket, sys
while True:
    pid = os.fork()
    if pid == 0:
        keep = [socket.socket() for _ in range(5)] + list(socket.socketpair())
        os._exit(0)
    os.waitpid(pid, 0)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as restless:
        try:
            for _ in range(8):
                assert run("inspect", "--all", "--state", "big").status == 0
                assert run("inspect", "--pid", str(restless.pid)).status == 0
        finally:
            restless.kill()


def test_l13_ten_thousand_sockets_of_one_process() -> None:
    """L13."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 10_000
    if hard < count + 100:
        pytest.skip("CANNOT: this many descriptors are not allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    made: list[socket.socket] = []
    try:
        for _ in range(count // 2):
            made += socket.socketpair()
        found = inspected("--pid", str(os.getpid()))
        assert len(ours(found).keys() & {sock.fileno() for sock in made}) == count
    finally:
        for sock in made:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- where there is no sock_diag


def test_the_lists_in_proc_say_the_same() -> None:
    """What both tell of a socket is equal: the fall-back of old kernels."""
    with one_of_each() as made:
        inodes = {os.fstat(sock.fileno()).st_ino for sock in made.values()}
        wanted = Wanted(inodes=inodes)
        found = machine._listed(syscalls.QUIET, wanted).sockets
        diag = {(record.family, record.proto, record.inode): record for record in found}
        compared = 0
        for dump in sockdiag.DUMPS:
            for record in procfs.listed(dump, wanted) or ():
                other = diag[record.family, record.proto, record.inode]
                compared += 1
                assert (record.local, record.peer, record.state) == (other.local, other.peer, other.state)
                assert (record.port, record.peer_port) == (other.port, other.peer_port)
                assert other.type == record.type or record.family == sockdiag.AF_NETLINK
                if record.family in (sockdiag.AF_NETLINK, sockdiag.AF_PACKET):
                    continue  # whose queues fill while we look
                for field in ("receive_queue", "send_queue", "uid"):
                    mine, theirs = getattr(record, field), getattr(other, field)
                    assert mine is None or theirs is None or mine == theirs
        assert compared >= 8


def test_psutil_says_the_same() -> None:
    """The way of other systems, on this one."""
    pytest.importorskip("psutil")
    with one_of_each() as made:
        mine = os.getpid()
        found = machine.portable(syscalls.QUIET, Query(process=str(mine)))
        diag = ours(inspected("--process", str(mine)))
        compared = 0
        for record in found.sockets:
            (holder,) = found.holders[record.inode]
            if record.family not in (socket.AF_INET, socket.AF_INET6) or holder.fd not in diag:
                continue
            other = diag[holder.fd]
            assert (record.local or None, record.peer or None) == (other["local"], other["peer"])
            assert machine.state_name(record) == other["state"]
            compared += 1
        assert compared >= 3
        port = made["listener"].getsockname()[1]
        wanted = Wanted(ports=frozenset({port}), states=1 << sockdiag.LISTEN)
        assert [record.port for record in machine.portable(syscalls.QUIET, Query(wanted)).sockets] == [port]


def test_no_process_of_that_name() -> None:
    with pytest.raises(UsageError, match="a PID or the name as ps has it"):
        machine.listing(syscalls.QUIET, Query(process="no-such-name"))


def test_what_json_says_is_what_the_schema_says() -> None:
    from jsonschema import Draft202012Validator

    from tests.schema import schema

    validator = Draft202012Validator(json.loads(schema()))
    with one_of_each():
        for args in (["--all"], ["--pid", str(os.getpid())]):
            validator.validate(inspected(*args))
