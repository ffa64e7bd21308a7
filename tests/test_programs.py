"""Programs as our end of a conversation (``--exec``): what they get, what they are told, how they end."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sockkit import processes
from sockkit.events import Env
from sockkit.loop import Loop
from tests import harness
from tests.harness import TIMEOUT, Process, Server, listener, needs_linux, needs_unix, receive_all, resident, run
from tests.peers import eventually

pytestmark = pytest.mark.skipif(not processes.POSSIBLE, reason="CANNOT: no posix_spawn here")

SH = ("--exec", "--", "sh", "-c")


def ask(server: Server, data: bytes = b"") -> bytes:
    """A client that sends, ends its direction and reads until the end."""
    with server.connect() as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock)


def alive(pid: int) -> bool:
    """True if the process runs: one that nobody has reaped does not."""
    try:
        return harness.state(pid) not in "ZX"
    except OSError:
        return False


def wait_until_gone(pid: int) -> None:
    eventually(lambda: not alive(pid))


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ---- the conversation


@pytest.mark.parametrize("options", [(), ("-x",), ("--copy",)], ids=["plain", "hex", "copied"])
def test_ten_megabytes_there_and_back(options: tuple[str, ...]) -> None:
    data = random.Random(1).randbytes(10_000_000 if not options or options[0] != "-x" else 300_000)
    with Server(*options, "--exec", "--", "cat", free_port=True) as server:
        got = []
        with server.connect() as sock:
            thread = threading.Thread(target=lambda: got.append(receive_all(sock)))
            thread.start()
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            thread.join(TIMEOUT)
        server.stop()
    assert hashlib.sha256(got[0]).digest() == hashlib.sha256(data).digest()


def test_an_end_of_input_reaches_the_program_and_its_own_end_the_peer() -> None:
    """sort answers only after the end of its input; and what comes afterwards is for nobody any more."""
    with Server("--exec", "--", "sort") as server:
        assert ask(server, b"b\nc\na\n") == b"a\nb\nc\n"
        server.stop()


def test_a_program_that_closes_its_stdout_still_reads(tmp_path: Path) -> None:
    with Server(*SH, "exec >&-; cat > got", cwd=tmp_path) as server:
        with server.connect() as sock:
            assert sock.recv(100) == b""
            sock.sendall(b"late")
        server.wait_for(rb"x #1 ")
        server.stop()
    assert (tmp_path / "got").read_bytes() == b"late"


def test_connect_has_a_program_too() -> None:
    with listener() as sock:
        target = f"127.0.0.1:{sock.getsockname()[1]}"
        with Process("connect", target, "--exec", "--", "sed", "s/^/> /", stdin=-3, stdout=1) as process:
            peer = sock.accept()[0]
            with peer:
                peer.sendall(b"one\ntwo\n")
                peer.shutdown(socket.SHUT_WR)
                assert receive_all(peer) == b"> one\n> two\n"
            assert process.finish().status == 0


def test_two_programs_talk_to_each_other() -> None:
    with Server("--once", *SH, "read a; read b; echo $((a * b))") as server:
        talk = 'echo 6; echo 7; read answer; test "$answer" = 42'
        assert run("connect", server.address, "--exec", "--", "sh", "-c", talk).status == 0
        assert server.finish().status == 0


def test_arguments_go_through_no_shell(tmp_path: Path) -> None:
    odd = ["a b", "$HOME", "*", "'", '"', "", "--json", "--", "é", "\\"]
    with Server("--once", "--exec", "--", sys.executable, "-c", "import sys; print(sys.argv[1:])", *odd) as server:
        assert ask(server) == repr(odd).encode() + b"\n"
        assert server.finish().status == 0


def test_a_shell_by_name() -> None:
    with Server("--once", "--sh-exec", "tr a-z A-Z | rev") as server:
        assert ask(server, b"abc\n") == b"CBA\n"
        assert server.finish().status == 0


def test_many_at_once_and_each_its_own() -> None:
    with Server("--exec", "--", "cat") as server:
        clients = [server.connect() for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        assert [client.recv(100) for client in clients] == [b"%d" % number for number in range(100)]
        assert len(children(server.pid)) == 100
        for client in clients:
            client.close()
        assert server.stop().status == -signal.SIGTERM


@needs_linux
def test_whoever_there_is_no_descriptor_for_waits() -> None:
    prefix = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
    with Server("--exec", "--", "cat", prefix=prefix) as server:
        clients = [server.connect() for _ in range(30)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
            client.shutdown(socket.SHUT_WR)
        assert [receive_all(client) for client in clients] == [b"%d" % number for number in range(30)]
        for client in clients:
            client.close()
        assert b"EMFILE" not in server.stop().err


def test_no_more_programs_than_max_conns() -> None:
    """One that is slow to end counts until it has."""
    with Server("--max-conns", "1", *SH, "echo $$; exec <&- >&-; sleep 0.3") as server:
        first = server.connect()
        pid = int(receive_all(first))
        second = server.connect()
        other = int(receive_all(second))
        assert other != pid and not alive(pid)
        first.close()
        second.close()
        server.stop()


@needs_unix
def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    told = 'cat; echo "$SOCKKIT_FAMILY $SOCKKIT_LOCAL $SOCKKIT_PEER_UID $SOCKKIT_PEER_PID"'
    who = b"%d %d" % (os.getuid(), os.getpid()) if sys.platform == "linux" else b" "
    with Server("-U", str(path), *SH, told, free_port=False) as server:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"hi ")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"hi AF_UNIX %s %s\n" % (os.fsencode(path), who)
        server.stop()


def test_over_tls_what_is_known_of_it_is_told() -> None:
    told = 'cat; echo "$SOCKKIT_TLS_VERSION $SOCKKIT_TLS_CIPHER"'
    with Server("-v", "--tls", *SH, told) as server:
        done = run("connect", "--tls", "--insecure", server.address, stdin=b"secret\n")
        assert done.status == 0
        assert re.fullmatch(rb"secret\nTLSv1\.3 TLS_\w+\n", done.out)
        with server.connect() as silent:  # who does not get through the handshake gets no program
            silent.sendall(b"GET / HTTP/1.0\r\n\r\n")
            receive_all(silent)
        result = server.stop()
    assert re.findall(r"(?m)^= +[\d.]+ #(\d+) runs sh ", result.said) == ["1"]


def test_with_a_recording(tmp_path: Path) -> None:
    with Server("--once", "-o", str(tmp_path / "r.ndjson"), "--exec", "--", "rev") as server:
        assert ask(server, b"abc\n") == b"cba\n"
        assert server.finish().status == 0
    events = [json.loads(line) for line in (tmp_path / "r.ndjson").read_text().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.index("opened") < kinds.index("started") < kinds.index("data") < kinds.index("closed")
    assert [event["payload"] for event in events if event["event"] == "data"] == ["YWJjCg==", "Y2JhCg=="]


def test_with_faults() -> None:
    with Server("--once", "--fault", "chunk=1,close-after=3", "--exec", "--", "cat") as server:
        with server.connect() as sock:
            sock.sendall(b"abcdef")
            assert receive_all(sock) == b"abc"
        server.finish()


def test_the_hang_up_of_one_is_never_the_end_of_another() -> None:
    """A descriptor that is closed and made anew in one turn of the loop: what was reported of it is of the one before."""
    env = Env(0, 1, lambda event: None, 0, time.monotonic)
    pipes = [os.pipe() for _ in range(2)]
    for reading, _ in pipes:
        os.close(reading)
    healthy = os.pipe()
    called: list[str] = []
    with Loop(env) as loop:

        def replace(other: int) -> Callable[[int], None]:
            def handler(mask: int) -> None:
                called.append("before")
                loop.forget(other)
                os.dup2(healthy[1], other)
                loop.watch(other, 0, lambda mask: called.append("anew"))
                loop.forget(pipes[0][1] if other == pipes[1][1] else pipes[1][1])
                loop.later(0.01, loop.stop)

            return handler

        for (_, one), (_, other) in ((pipes[0], pipes[1]), (pipes[1], pipes[0])):
            loop.watch(one, 0, replace(other))
        loop.run()
    for fd in (pipes[0][1], pipes[1][1], *healthy):
        os.close(fd)
    assert called == ["before"]


# ---- what it gets


@needs_linux
def test_its_limit_of_descriptors_is_the_one_that_we_were_given() -> None:
    """Ours is raised, for a thousand clients; a program that calls select(2) would not survive that."""
    prefix = ("sh", "-c", 'ulimit -S -n 500; exec "$@"', "sh")
    with Server("--exec", "--", "sh", "-c", "ulimit -S -n", prefix=prefix) as server:
        assert ask(server) == ask(server) == b"500\n"
        limits = Path(f"/proc/{server.pid}/limits").read_text()
        assert not re.search(r"Max open files +500 ", limits)
        server.stop()


def test_it_is_told_who_talks() -> None:
    own = {"SOCKKIT_PEER": "of somebody else", "SOCKKIT_SECRET": "x", "KEPT": "yes", "LISTEN_FDS": "1"}
    with Server("--once", "--exec", "--", "env", env=own) as server:
        with server.connect() as sock:
            sock.shutdown(socket.SHUT_WR)
            told = dict(line.split("=", 1) for line in receive_all(sock).decode().splitlines())
            host, port = sock.getsockname()
        server.finish()
    assert {name: value for name, value in told.items() if name.startswith(("SOCKKIT", "KEPT", "LISTEN"))} == {
        "KEPT": "yes",
        "SOCKKIT_FAMILY": "AF_INET",
        "SOCKKIT_LOCAL": server.address,
        "SOCKKIT_LOCAL_HOST": "127.0.0.1",
        "SOCKKIT_LOCAL_PORT": str(server.port),
        "SOCKKIT_PEER": f"{host}:{port}",
        "SOCKKIT_PEER_HOST": host,
        "SOCKKIT_PEER_PORT": str(port),
        "SOCKKIT_SESSION": "1",
        "SOCKKIT_TYPE": "SOCK_STREAM",
    }


# ---- what it says, and how it ends


def test_the_story_tells_of_it_and_so_does_json() -> None:
    program = ("sh", "-c", "echo careful >&2; printf half >&2; kill -9 $$")
    with Server("-v", "--once", "--exec", "--", *program) as server:
        ask(server)
        said = server.finish().said
    pid = re.search(r"= +[\d.]+ #1 runs sh -c .* \(pid (\d+)\)\n", said)
    assert pid is not None
    assert re.findall(r"! +[\d.]+ #1 sh: (.*)\n", said) == ["careful", "half"]
    assert re.search(rf"! +[\d.]+ #1 sh \(pid {pid[1]}\) ended by SIGKILL after", said)
    with Process("serve", "--json", "--once", "-p", "0", "--exec", "--", *program) as process:
        port = int(process.wait_for(rb'"address": "127.0.0.1:(\d+)"')[1])
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
            receive_all(sock)
        result = process.finish()
    events = [json.loads(line) for line in result.said.splitlines()]
    found = {event["event"]: event for event in events}
    assert found["started"]["program"] == "sh -c 'echo careful >&2; printf half >&2; kill -9 $$'"
    assert [event["text"] for event in events if event["event"] == "said"] == ["careful", "half"]
    exited = found["exited"]
    assert (exited["status"], exited["signal"], exited["session"]) == (None, "SIGKILL", 1)
    assert exited["pid"] == found["started"]["pid"] and exited["duration"] >= 0 <= exited["cpu"]


def test_what_it_says_never_drives_the_terminal() -> None:
    with Server("--once", *SH, r"printf '\033[31mred\n\377\n' >&2") as server:
        ask(server)
        assert r"sh: \x1b[31mred" in server.finish().said


@pytest.mark.parametrize(("end", "status"), [("exit 0", 0), ("exit 3", 1), ("kill -TERM $$", 1)])
def test_its_status_is_ours_where_there_is_one_conversation(end: str, status: int) -> None:
    with Server("--once", *SH, f"cat; {end}") as server:
        assert ask(server, b"x") == b"x"
        result = server.finish()
    assert result.status == status
    assert bool(status) == ("sh (pid" in result.said)
    with listener() as sock:
        with Process("connect", f"127.0.0.1:{sock.getsockname()[1]}", *SH, f"cat; {end}") as process:
            with sock.accept()[0] as peer:
                peer.shutdown(socket.SHUT_WR)
                assert receive_all(peer) == b""
            assert process.finish().status == status


def test_a_program_that_wants_nothing_of_what_comes() -> None:
    """Its answer arrives whole although the peer sends all of its own first, and what it did not take is said."""
    with Server("--once", *SH, "exec <&-; head -c 3000000 /dev/zero") as server:
        with server.connect() as sock:
            sock.sendall(b"x" * 10_000_000)
            sock.shutdown(socket.SHUT_WR)
            assert len(receive_all(sock)) == 3_000_000
        result = server.finish()
    assert result.status == 0
    assert "#1 warning: 10000000 bytes came that sh did not take" in result.said


def test_a_program_that_has_seen_enough() -> None:
    with Server("--once", "--exec", "--", "head", "-n", "1") as server:
        with server.connect() as sock:
            sock.sendall(b"first\n")
            assert receive_all(sock) == b"first\n"
        assert server.finish().said.count("did not take") == 0
    with Server("--once", "--exec", "--", sys.executable, "-c", "import os; os.read(0, 3)") as server:
        with server.connect() as sock:
            sock.sendall(b"abcdef")
            assert receive_all(sock) == b""
        result = server.finish()
    assert result.status == 0 and "3 bytes came that" in result.said
    with Server("--once", "--exec", "--", "head", "-c", "3") as server:  # and the peer has ended long ago
        assert ask(server, b"abcdef") == b"abc"
        assert "3 bytes came that head did not take" in server.finish().said


@pytest.mark.once
@needs_linux
def test_a_program_that_never_reads_holds_the_peer_up_and_goes_with_it() -> None:
    with Server("--exec", "--", "sleep", "1000") as server:
        sock = server.connect()
        sock.setblocking(False)
        sent = 0
        try:
            while True:
                sent += sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
        server.settle()
        pid = int(children(server.pid)[0])
        assert resident(server.pid) < 56 << 20 and alive(pid)
        reset(sock)
        server.wait_for(rb"sleep \(pid \d+\) goes on although its conversation is over: SIGTERM")
        server.wait_for(rb"sleep \(pid \d+\) ended by SIGTERM")
        assert not alive(pid)
        server.wait_for(rb"lost .*: (not handed over before the end|received by the kernel, never read)")
        server.stop()


@pytest.mark.once
@needs_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_whoever_a_program_has_started_goes_with_us(number: signal.Signals, tmp_path: Path) -> None:
    line = "sleep 1000 & echo $! ; trap '' TERM; (trap '' TERM; echo $BASHPID; sleep 1000) & wait; sleep 1000"
    with Server("--sh-exec", line, cwd=tmp_path) as server:
        with server.connect() as sock:
            pid = int(sock.makefile("rb").readline())
            shell = int(children(server.pid)[0])
            assert alive(pid) and alive(shell)
            assert server.stop(number).status == -number
    wait_until_gone(pid)
    wait_until_gone(shell)


@needs_linux
def test_whoever_is_left_when_the_program_has_ended_goes_too() -> None:
    with Server("--sh-exec", "sleep 1000 > /dev/null 2>&1 & echo $!") as server:
        pid = int(ask(server))
        wait_until_gone(pid)
        server.wait_for(rb"x #1 ")
        server.stop()


@needs_linux
def test_nobody_is_left_where_orphans_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no subreapers, and where whoever started us ignores or blocks SIGCHLD."""
    code = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD]); signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from sockkit import libc; del libc.be_subreaper; libc.be_subreaper = lambda: os.close(-1)\n"
        "from sockkit.__main__ import main; main()\n"
    )
    monkeypatch.setattr(harness, "SOCKKIT", [sys.executable, "-c", code])
    with Server("--sh-exec", "sleep 1000 > /dev/null 2>&1 & echo $!; exit 4") as server:
        pid = int(ask(server))
        server.wait_for(rb"sh \(pid \d+\) exited with status 4")
        wait_until_gone(pid)
        server.stop()


@needs_linux
def test_a_program_that_complains_without_end_holds_nobody_up() -> None:
    """Its lines are dropped and counted where nobody reads them; memory stays bounded."""
    reading, writing = os.pipe()
    command = [*harness.SOCKKIT, "serve", "--port", "0", "--ready-fd", str(writing)]
    program = ["--sh-exec", "yes complaint | head -c 1200000 >&2; cat"]
    with subprocess.Popen(
        [*command, *program], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[writing]
    ) as popen:
        os.close(writing)
        with open(reading) as ready:
            port = int(ready.readline().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            assert resident(popen.pid) < harness.MEMORY
            popen.terminate()
            assert popen.stderr is not None
            err = popen.stderr.read()
    assert b"lines of the story dropped, as nobody read them in time" in err


def test_telnet_with_a_program() -> None:
    with Server("--telnet", "--once", "--exec", "--", "cat") as server:
        with server.connect() as sock:
            sock.sendall(b"a\xff\xfd\x01b\n")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"\xff\xfc\x01ab\n"
        assert server.finish().status == 0


def test_line_ends_of_what_a_program_says() -> None:
    with Server("-C", "--once", "--sh-exec", r"printf 'a\nb\r\n'; cat") as server:
        with server.connect() as sock:
            sock.sendall(b"c\n")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"a\r\nb\r\nc\r\n"
        assert server.finish().status == 0


@needs_linux
def test_on_a_listener_that_was_lent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        fd = sock.fileno()
        with Server("--fileno", str(fd), "--exec", "--", "cat", free_port=False, pass_fds=[fd]) as server:
            assert [ask(server, b"%d" % number) for number in range(3)] == [b"0", b"1", b"2"]
            server.stop()


@needs_linux
def test_a_second_signal_does_not_wait() -> None:
    with Server(*SH, "trap '' TERM; echo ready; while :; do sleep 1000; done") as server:
        with server.connect() as sock:
            assert sock.recv(100) == b"ready\n"
            server.kill(signal.SIGTERM)
            server.wait_for(rb"x #1 .* closed")
            server.kill(signal.SIGTERM)
            assert server.finish().status == -signal.SIGTERM
    assert b"SIGKILL" in server.err


@needs_linux
def test_orphans_are_reaped_too() -> None:
    """Whoever process 1 is: a program of a container often reaps nobody."""
    with Server("--sh-exec", "(sleep 0.05; echo late) & exit 3") as server:
        assert ask(server) == b"late\n"
        server.wait_for(rb"sh \(pid \d+\) exited with status 3")
        server.stop()
        assert b"SIGTERM" not in server.err


# ---- what cannot be


def test_a_program_that_is_not_there_or_may_not_be_run(tmp_path: Path) -> None:
    """Nobody listens, and nobody is called, before that is known."""
    (tmp_path / "notes").write_text("x")
    for program, text in (
        ("no-such-program", "ENOENT"),
        (str(tmp_path / "notes"), "EACCES"),
        (str(tmp_path), "EACCES"),
    ):
        for command in (("serve", "--port", "0"), ("connect", "127.0.0.1:1")):
            result = run(*command, "--exec", "--", program)
            assert result.status == 1 and text in result.said and f"run {program}: " in result.said
            assert "listening" not in result.said and "REFUSED" not in result.said


def test_a_program_that_the_kernel_refuses_is_said_for_each(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hi\n")
    script.chmod(0o755)
    with Server("--exec", "--", str(script)) as server:
        assert ask(server) == ask(server) == b""
        server.wait_for(rb"#2 run .*script: Exec format error \[ENOEXEC 8\]\n[^\n]*#!")
        server.stop()
    with listener() as sock:
        target = f"127.0.0.1:{sock.getsockname()[1]}"
        result = run("connect", target, "--exec", "--", str(script))
        assert result.status == 1 and "ENOEXEC" in result.said


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("serve", "--exec"), "--exec: the program stands behind a `--`"),
        (("serve", "--exec", "--"), "--exec: the program stands behind a `--`"),
        (("serve", "8080", "--exec", "/bin/cat"), "type: sockkit serve 8080 --exec -- /bin/cat"),
        (("connect", "h", "80", "--exec", "cat -n"), "type: sockkit connect h 80 --exec -- cat -n"),
        (("serve", "--sh-exec", "--"), "--sh-exec: it takes a command line"),
        (("serve", "--sh-exec", " "), "--sh-exec: it takes a command line"),
        (("serve", "--sh-exec", "cat", "--exec", "--", "cat"), "--sh-exec: --exec runs a program"),
        (("serve", "-u", "--exec", "--", "cat"), "--exec: a program reads and writes streams"),
        (("serve", "--mode", "pipe", "--exec", "--", "cat"), "leave --mode out"),
        (("serve", "--mode", "relay", "--to", "1", "--sh-exec", "cat"), "--sh-exec: a program has our end"),
        (("serve", "-k", "--exec", "--", "cat"), "leave -k out"),
        (("connect", "-z", "127.0.0.1:1", "--exec", "--", "cat"), "leave -z out"),
        (("connect", "-u", "127.0.0.1:1", "--exec", "--", "cat"), "--exec: a program reads and writes streams"),
        (("serve", "--code", "--exec", "--", "cat"), "leave --exec out"),
        (("serve", "--replay", "x.ndjson", "--exec", "--", "cat"), "leave --replay out"),
    ],
)
def test_what_contradicts_is_named(args: tuple[str, ...], says: str) -> None:
    result = run(*args)
    assert result.status == 2 and says in result.said, result.said


def test_words_behind_two_dashes_are_the_address_without_exec() -> None:
    with listener() as sock:
        port = str(sock.getsockname()[1])
        assert run("connect", "-z", "--", "127.0.0.1", port).status == 0


def test_where_programs_cannot_be_started() -> None:
    code = "import os; del os.posix_spawn; from sockkit.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--exec", "--", "cat"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "this platform cannot start programs" in done.stderr


@needs_linux
def test_whoever_is_not_of_this_host_is_warned_of() -> None:
    with Server("0.0.0.0", "--exec", "--", "cat") as server:
        server.wait_for(rb"warning: whoever can reach this host over the network runs a program here")
        server.stop()
