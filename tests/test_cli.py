from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sockkit
from sockkit import addresses, names, rules
from sockkit.cli import COMMANDS, Verb
from sockkit.commands import connect, inspect, probe, serve
from sockkit.spec import GROUPS, SECONDS, Plan, options
from tests.harness import ENVIRONMENT, FORBIDDEN, SOCKKIT, TIMEOUT, Process, Result, check, listener, on_terminal, run

PLANS: dict[str, type[Plan]] = {
    "probe": probe.ProbePlan,
    "inspect": inspect.InspectPlan,
    "serve": serve.ServePlan,
    "connect": connect.ConnectPlan,
}


FORKED = """
import json, os, sys, tempfile
from sockkit.cli import main
from sockkit.commands import connect, inspect, probe, serve
for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            main(json.loads(line))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "surrogateescape"))
    print(json.dumps([status, *texts]), flush=True)
"""


@cache
def forker() -> subprocess.Popen[bytes]:
    """A Python that runs command lines in forked children: what costs, the imports, is paid once."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FORKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT
    )


@pytest.fixture(scope="module", autouse=True)
def _end_of_the_forker() -> Iterator[None]:
    yield
    if forker.cache_info().currsize:
        forker().communicate()
        forker.cache_clear()


def run_forked(*args: str) -> Result:
    """As ``run``, for the many command lines that end at once."""
    process = forker()
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(args).encode() + b"\n")
    process.stdin.flush()
    status, out, err = json.loads(process.stdout.readline())
    return check(Result(status, os.fsencode(out), os.fsencode(err)))


def refused(*args: str) -> list[str]:
    """The lines of a usage error: what holds for every one of them is checked here."""
    result = run_forked(*args)
    assert result.status == 2, result
    assert result.out == b""
    lines = result.said.splitlines()
    assert 1 <= len(lines) <= 3 and result.said.endswith("\n"), lines
    assert all(line.startswith("sockkit: ") and len(line) <= 240 for line in lines), lines
    return lines


def typed(lines: list[str]) -> list[str]:
    """The command that a usage error says to type."""
    command = lines[-1].partition("type: ")[2]
    words = shlex.split(command)
    assert words[:1] == ["sockkit"], lines
    return words[1:]


def parses(words: list[str]) -> bool:
    """That a command line makes a plan; nothing is run."""
    command, *rest = words
    made: list[Plan] = []
    verb = Verb(command, PLANS[command], lambda plan, env: made.append(plan))  # type: ignore[arg-type, return-value]
    context = verb.make_context(command, list(rest))
    address = context.params.pop("address")
    plan = PLANS[command](**context.params, **({"address": address} if verb.takes_address else {}))
    if not isinstance(plan, probe.ProbePlan) or plan.space() is None:
        plan.socket_spec()
    return True


# ---- help


def test_j12_alone() -> None:
    """The help is on stderr, since nothing was asked for: exit 2."""
    result = run()
    assert result.status == 2 and result.out == b""
    assert result.said == run("--help").text == run("-h").text
    examples = re.findall(r"^  (.*sockkit .*)$", result.said.partition("Examples:")[2], re.M)
    assert len(examples[:3]) == 3
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", result.said, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_j12_help_of_a_command_fits_a_screen(command: str) -> None:
    result = run(command, "--help")
    assert result.status == 0 and result.err == b"" and result == run(command, "-h")
    lines = result.text.splitlines()
    assert lines[0].startswith(f"Usage: sockkit {command} [OPTIONS]")
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    examples = [line for line in lines if line.startswith("  ") and f"sockkit {command}" in line]
    assert len(examples) == 3
    for example in examples:
        after = example[example.index("sockkit ") :]
        words = shlex.split(re.split(r" [|>]| \d?<", after)[0])[1:]
        assert parses(words), example
    shown = re.findall(r"^  (-\S.*?)  ", "\n".join(lines), re.M)
    assert 7 <= len(shown) <= 12
    groups = [name for name in GROUPS if any(row.group == name for row in options(PLANS[command]))]
    more = ["addresses"] if command in ("connect", "serve") else []
    assert lines[-1] == f"More: --help {'|'.join((*groups, *more, 'all'))}"


@pytest.mark.parametrize("command", ["connect", "serve"])
def test_help_of_addresses_has_every_family_of_this_platform(command: str) -> None:
    text = run(command, "--help", "addresses").text
    for row in addresses.rows():
        assert (f"\n  {row.name:<11} {row.syntax}\n" in text) == (row.number is not None)
        assert row.number is None or all(f" {shlex.join(example)}\n" in text for example in row.examples)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_all_shows_every_option(command: str) -> None:
    text = run(command, "--help", "all").text
    assert max(map(len, text.splitlines())) <= 100
    told = re.sub(r"\s+", " ", text)
    for row in options(PLANS[command]):
        start = ", ".join(row.names) + (f" {row.kind.metavar}" if row.kind.metavar else "")
        assert f" {start} {row.help}" in told, row
        assert row.group in GROUPS and row.help
    group = "socket" if command in ("probe", "inspect") else "session"
    part = run(command, "--help", group).text
    assert part.splitlines()[2] == f"{group.capitalize()}:"
    assert set(part.splitlines()) < set(text.splitlines())


def test_a_plan_is_made_from_keywords_and_frozen() -> None:
    plan = serve.ServePlan(mode="pipe", address=("8080",))
    assert (plan.mode, plan.address, plan.keep, plan.reply_wait) == ("pipe", ("8080",), False, 5.0)
    assert serve.ServePlan().mode == "echo"
    with pytest.raises(AttributeError, match="frozen"):
        plan.mode = "echo"
    with pytest.raises(TypeError, match="colour"):
        serve.ServePlan(colour="red")


def test_a_plan_has_its_own_options_only() -> None:
    shared = {row.field for row in options(Plan)}
    assert {"address", "mode"}.isdisjoint(shared)
    for plan in PLANS.values():
        rows = list(options(plan))
        assert shared < {row.field for row in rows} and len({row.field for row in rows}) == len(rows)
    assert "mode" not in {row.field for row in options(connect.ConnectPlan)}


def test_help_of_a_group_that_is_not() -> None:
    assert refused("probe", "--help", "sesion") == [
        "sockkit: --help: 'sesion' is no group of options of probe: socket, space, steps, output and all are"
    ]


def test_j12_version_and_module() -> None:
    assert run("--version") == (0, f"sockkit {sockkit.__version__}\n".encode(), b"")
    script = os.path.join(os.path.dirname(sys.executable), "sockkit")
    if os.path.exists(script):
        done = subprocess.run([script, "--version"], capture_output=True, check=False, timeout=TIMEOUT)
        assert done.stdout == f"sockkit {sockkit.__version__}\n".encode()


def test_docstring_of_the_package() -> None:
    found = doctest.testmod(sockkit)
    assert found.failed == 0 and found.attempted > 0


# ---- first run: what people type


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("localhost 80", "connect localhost 80"),
        ("127.0.0.1:80", "connect 127.0.0.1:80"),
        ("80", "connect 80"),
        ("/run/x.sock", "connect /run/x.sock"),
        ("localhost 80 -w 3", "connect -w 3 localhost 80"),
        ("-zv localhost 80", "connect -z -v localhost 80"),
        ("-u localhost 53", "connect -u localhost 53"),
        ("-q 1 localhost 80", "connect localhost 80"),
        ("-q1 -N localhost 80", "connect -N localhost 80"),
        ("-l 80", "serve --mode pipe 80"),
        ("connect -l 80", "serve --mode pipe 80"),
        ("serve -l 80", "serve --mode pipe 80"),
        ("-lvp 80", "serve --mode pipe -v -p 80"),
        ("-nlvkp 80", "serve --mode pipe -n -v -k -p 80"),
        ("-l -p 80 127.0.0.1", "serve --mode pipe -p 80 127.0.0.1"),
        ("-l -s 127.0.0.1 80", "serve --mode pipe 127.0.0.1 80"),
        ("-luk 80", "serve --mode pipe -u 80"),
        ("-lU /tmp/x", "serve --mode pipe -U /tmp/x"),
        ("--listen 80", "serve --mode pipe 80"),
        ("--listen --udp 80", "serve --mode pipe -u 80"),
        ("connect -q 1 -u localhost 80", "connect -u localhost 80"),
        ("connect -q1 localhost 80", "connect localhost 80"),
        ("--json probe --family INET6", "probe --json --family INET6"),
        ("prob --type DGRAM", "probe --type DGRAM"),
        ("conect localhost 80", "connect localhost 80"),
        ("probe INET DGRAM", "probe --family INET --type DGRAM"),
        ("probe localhost 80", "connect -z localhost 80"),
        ("'a b' 80", "connect 'a b' 80"),
    ],
)
def test_the_command_to_type(line: str, command: str) -> None:
    found = typed(refused(*shlex.split(line)))
    assert found == shlex.split(command)
    assert parses(found)


def test_a_host_without_a_port() -> None:
    assert typed(refused("localhost")) == ["connect", "localhost", "PORT"]
    assert "a port is missing: HOST PORT" in refused("connect", "localhost")[0]


def test_what_is_to_be_typed_works() -> None:
    """From netcat's command lines to a transfer, by typing what sockkit says."""
    with listener() as free:
        port = free.getsockname()[1]
    command = typed(refused("-lvp", str(port)))
    with Process(*command, stdin=subprocess.DEVNULL) as server:
        server.wait_for(rb"listening on 127\.0\.0\.1:%d\b" % port)
        again = typed(refused("-q", "1", "127.0.0.1", str(port)))
        assert run(*again, stdin=b"Hello, world\n") == (0, b"", b"")
        assert server.finish()[:2] == (0, b"Hello, world\n")


HINTS = sorted(
    {
        command
        for module in (rules, addresses, names)
        for command in re.findall(r"`sockkit ([^`]+)`", Path(module.__file__ or "").read_text())
    }
)


@pytest.mark.parametrize("hint", HINTS)
def test_what_explanations_say_to_type_is_there(hint: str) -> None:
    """The commands in hints exist, with these options."""
    line = re.sub(r" \d?<.*", "", hint).replace("{target}", "127.0.0.1 80").replace("NAME", "INET")
    assert parses(shlex.split(line))


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("probe --famly INET", "--family"),
        ("probe --family INTE", "INET or INET6"),
        ("probe --type STREM", "STREAM"),
        ("probe --proto TPC", "TCP"),
        ("inspect --set RCVBUFF=1", "SO_RCVBUF"),
        ("connect --ipv44", "--ipv4"),
    ],
)
def test_did_you_mean(line: str, meant: str) -> None:
    assert re.search(rf"did you mean .*{re.escape(meant)}", "\n".join(refused(*line.split())))


def complete(line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    environment = {
        **ENVIRONMENT,
        "_SOCKKIT_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(SOCKKIT, capture_output=True, text=True, env=environment, check=False, timeout=TIMEOUT)
    assert done.stderr == "" and done.returncode == 0, done
    return [row.partition(",")[2] for row in done.stdout.splitlines()]


def test_completion() -> None:
    assert complete("sockkit pr") == ["probe"]
    assert complete("sockkit probe --family IN")[:2] == ["INET", "INET6"]
    assert "STREAM" in complete("sockkit probe --type ST")
    assert "INET,UNIX" in complete("sockkit probe --family INET,UN")
    assert complete("sockkit probe --type STREAM+N") == ["STREAM+NONBLOCK"]
    assert complete("sockkit serve --mode ")[:3] == ["echo", "discard", "pipe"]
    assert "--family" in complete("sockkit probe --fa")
    if sys.platform == "linux":
        assert "CAN_RAW" in complete("sockkit probe --family CAN --proto CAN_R")


# ---- bad input

PORTS = ["70000", "65536", "-1", "abc", "0x50", "1e3", "99999999999999999999", ""]


@pytest.mark.parametrize("port", PORTS)
def test_j1_ports(port: str) -> None:
    """J1: nothing listens on, or is contacted at, a port that was not typed."""
    assert refused("serve", "-p", port)[0].startswith("sockkit: --port: ")
    lines = refused("connect", "-p", port, "127.0.0.1", "1")
    assert lines == [f"sockkit: --source-port: {port!r} is no whole number from 0 to 65535"]
    positional = [refused("connect", "127.0.0.1", port)[0], refused("serve", "127.0.0.1", port)[0]]
    told = (
        "-1: there is no such option" if port == "-1" else f"PORT: {port!r} is not a PORT: a decimal number, 0 to 65535"
    )
    assert positional == [f"sockkit: {told}"] * 2
    refused("serve", port)


@pytest.mark.parametrize("option", ["family", "type", "proto"])
@pytest.mark.parametrize("number", [-1, 2**31, 2**70])
def test_numbers_that_never_reach_the_kernel(option: str, number: int) -> None:
    line = refused("probe", f"--{option}", str(number))[0]
    assert line.startswith(f"sockkit: --{option}: {number}")
    assert "2147483647" in line
    if number > 0:
        with pytest.raises(OverflowError) as raised:
            socket.socket(**{option: number})
        assert f"(Python: OverflowError: {raised.value})" in line
    else:
        assert "Python takes -1 for 'not given'" in line


@pytest.mark.parametrize("number", [-1, 2**31, 2**70])
def test_j7_descriptors_that_cannot_be(number: int) -> None:
    for command in ("probe", "inspect", "serve"):
        line = refused(command, "--fileno", str(number))[0]
        assert line.startswith(f"sockkit: --fileno: {number}")
        assert number > 0 or "(Python: ValueError: negative file descriptor)" in line


LONG = "/tmp/" + "x" * 120


@pytest.mark.parametrize(
    ("line", "option", "said"),
    [
        # names
        ("probe --family INTE", "--family", "no address family is called 'INTE'"),
        ("probe --family DGRAM", "--family", "SOCK_DGRAM is a socket type (use --type)"),
        ("probe --type STREAM+DGRAM", "--type", "is not one socket type with flags"),
        ("probe --proto NOPE", "--proto", "no protocol is called 'NOPE'"),
        ("probe --family UNIX --proto CAN_RAW", "--proto", "CAN_RAW is a protocol of AF_CAN"),
        # contradictions
        ("connect -4 -6", "-6", "-4 and -6 contradict each other"),
        ("serve -6 -4 80", "-6", "-4 and -6 contradict each other"),
        ("serve -U --family INET /tmp/x", "--family", "-U and --family contradict each other"),
        ("serve -U --port 80", "--port", "a Unix address has no port"),
        ("serve -U --port 80 /tmp/x", "--port", "a Unix address has no port"),
        ("connect -u --type STREAM", "--type", "-u is --type DGRAM already"),
        ("serve -k", "-k", "leave -k out"),
        ("serve --mode discard -k", "-k", "leave -k out"),
        ("serve --mode pipe -k --once", "--once", "-k and --once contradict each other"),
        ("serve --mode pipe --max-conns 2", "--max-conns", "one client at a time"),
        ("connect -q -v", "-v", "-q and -v contradict each other"),
        ("connect -N --no-shutdown", "--no-shutdown", "-N and --no-shutdown contradict each other"),
        ("serve --socket-mode 600 127.0.0.1 0", "--socket-mode", "Unix"),
        ("serve --port 80 127.0.0.1 81", "--port", "80"),
        # addresses
        ("serve -6 127.0.0.1 80", "ADDRESS", "'127.0.0.1' does not fit AF_INET6"),
        ("connect -4 ::1 80", "ADDRESS", "'::1' does not fit AF_INET"),
        ("connect a b c d", "ADDRESS", "one target has one word or two, here are 4"),
        ("connect http://localhost/", "ADDRESS", "is not a target"),
        ("connect localhost http", "PORT", "'http' is not a PORT"),
        ("connect a..b 80", "ADDRESS", "a part of it is empty"),
        ("connect fe80::1%nosuch0 80", "ADDRESS", "no interface 'nosuch0'"),
        ("connect 127.0.0.1 0", "PORT", "port 0 is nobody's to connect to"),
        ("connect -s localhost 127.0.0.1 1", "-s", "is a name: a source is a number"),
        (f"serve -U {LONG}", "ADDRESS", "107 is the limit (Python: OSError: AF_UNIX path too long)"),
        (f"connect {LONG}", "ADDRESS", "107 is the limit (Python: OSError: AF_UNIX path too long)"),
        # values
        ("serve --mode x", "--mode", "'x' is none of echo, discard, pipe"),
        ("serve -U --socket-mode 999 /tmp/x", "--socket-mode", "three octal digits such as 600"),
        ("serve --max-conns 0", "--max-conns", "a"),
        ("serve --backlog -1", "--backlog", "'-1' is no whole number from 0 to 2147483647"),
        ("serve --ready-fd x", "--ready-fd", "'x' is no whole number"),
        ("connect --oob=", "--oob", "must not be empty"),
        # socket options
        ("serve --set NO_SUCH=1", "--set", "no socket option is called 'NO_SUCH'"),
        ("serve --set SO_RCVBUF=x", "--set", "SO_RCVBUF (bytes) takes an integer"),
        ("connect --set SO_TYPE=1", "--set", "SO_TYPE (socket type) can only be read"),
        ("inspect --set SO_RCVBUF", "--set", "say SO_RCVBUF=VALUE"),
        # options themselves
        ("connect --udp=1", "--udp", "it takes no value"),
        ("probe --family", "--family", "its value is missing: --family F"),
        ("probe -w 1", "-w", "there is no such option"),
        ("serve --tls --insecure", "--insecure", "it is an option of connect, not of serve"),
        ("serve --retry 3", "--retry", "it is an option of connect, not of serve"),
        ("connect --max-conns 3", "--max-conns", "it is an option of serve, not of connect"),
        ("inspect --tls", "--tls", "it is an option of serve and connect, not of inspect"),
        ("serve --send x 0", "--send", "it is about what is sent and received here: --mode pipe"),
        ("connect --lines 80", "--lines", "a stream keeps no boundaries"),
    ],
)
def test_j6_bad_input(line: str, option: str, said: str) -> None:
    first = refused(*line.split(" "))[0]
    assert first.startswith(f"sockkit: {option}: ") and said in first


@pytest.mark.parametrize("seconds", ["-5", "nan", "inf", "1e309", "x", "", "ms", "1d", "1e9s", "-1ms", "300000h"])
def test_j9_times(seconds: str) -> None:
    """J9."""
    said = f"{seconds!r} is no time: seconds from 0 to 999999999, such as 2, 0.5 or 500ms"
    for option in ("--wait", "--idle-timeout", "--connect-timeout", "--reply-wait"):
        assert refused("connect", option, seconds, "127.0.0.1", "1") == [f"sockkit: {option}: {said}"]


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("2s", 2), ("1.5m", 90), ("2h", 7200), ("0.5", 0.5)])
def test_times_with_units(text: str, seconds: float) -> None:
    assert SECONDS.parse(text) == seconds


def test_j9_a_time_of_0() -> None:
    for option in ("-w", "--idle-timeout", "--connect-timeout"):
        assert "a timeout of 0 seconds" in refused("connect", option, "0", "127.0.0.1", "1")[0]


def test_a_connected_descriptor_with_an_address() -> None:
    one, other = socket.socketpair()
    with one, other:
        result = run("connect", "--fileno", str(one.fileno()), "127.0.0.1", "80", pass_fds=(one.fileno(),))
        assert result.status == 2 and result.out == b""
        assert result.said.startswith(f"sockkit: --fileno: fd {one.fileno()} is connected already")
        served = run("serve", "--fileno", str(one.fileno()), pass_fds=(one.fileno(),))
        assert served.status == 2 and f"sockkit connect --fileno {one.fileno()}" in served.said
        one.send(b"x")
        assert other.recv(1) == b"x"


def test_what_was_typed_is_shown_harmless() -> None:
    for args in (
        ("connect", "\x1b[31m[/etc]", "80"),
        ("probe", "--family", "\x1b]0;x\x07"),
        ("\x1b[31m", "80"),
        ("connect", "127.0.0.1", "8\x9b0"),
        ("inspect", "--set", "\x1b[1m=1"),
        ("probe", "--\x1b[1m"),
        ("serve", "--mode", "\u202eohce"),
        ("connect", "no\nsuch", "80"),
    ):
        assert all(line.isprintable() for line in refused(*args))
    screen = on_terminal("connect", "\x1b[31m[/etc]", "80")
    assert screen.status == 2 and b"\x1b" not in screen.shown and rb"\x1b[31m[/etc]" in screen.shown


def test_a_word_that_is_not_utf8() -> None:
    for args in ([b"connect", b"\xff\xfe", b"80"], [b"probe", b"--family", b"\xff"], [b"\xff"]):
        done = subprocess.run([*SOCKKIT, *args], capture_output=True, env=ENVIRONMENT, check=False, timeout=TIMEOUT)
        assert done.returncode == 2 and done.stdout == b""
        assert done.stderr.startswith(b"sockkit: ") and rb"\xff" in done.stderr and b"\xff" not in done.stderr


WORDS = st.one_of(
    st.sampled_from([*COMMANDS, "--help", "-h", "--version", "--json", "-q", "-v", "-l", "-k", "-u", "-U", "-4", "-6"]),
    st.sampled_from(
        ["--family", "--type", "--proto", "--fileno", "--set", "--mode", "-p", "-w", "-s", "-z", "--", "-"]
    ),
    st.sampled_from(
        ["INET", "unix", "STREAM+", "TCP", "0", "1", "-1", "65536", "127.0.0.1", "::1", "[", "@", "/", "a:b"]
    ),
    st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=6),
)


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(WORDS, max_size=6))
def test_no_command_line_makes_a_traceback(words: list[str]) -> None:
    # What would really listen, or ask a name server, is not tried.
    words = [word for word in words if word != "serve" or "--help" in words]
    words = [*words, "-z", "-n"] if "connect" in words else words
    result = run_forked(*words)
    assert result.status in (0, 1, 2), words
    assert result.status != 2 or (result.err and not result.out), words


# ---- exit codes and broken outputs


def test_a_reader_that_is_gone() -> None:
    """As a process that SIGPIPE killed, without a word."""
    for args in (["probe"], ["inspect", "--json"], ["--help"], ["probe", "--help"], ["--version"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([*SOCKKIT, *args], stdout=writer, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b""), args


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="CANNOT: no /dev/full")
def test_e3_a_full_disk() -> None:
    """E3."""
    for args in (["probe"], ["probe", "--json"], ["inspect"], ["--help"], ["probe", "--help"], ["--version"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*SOCKKIT, *args], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False)
        assert done.returncode == 1, args
        if "--json" in args:
            failed = json.loads(done.stderr)
            assert (failed["event"], failed["error"]["name"]) == ("failed", "ENOSPC")
        else:
            assert done.stderr == b"sockkit: write to stdout: No space left on device [ENOSPC 28]\n", args


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(closed: str) -> None:
    """No socket becomes descriptor 0, 1 or 2; nothing crashes."""
    for arguments, status in (("probe", 0), ("probe --family INTE", 2), ("--help", 0)):
        code = f"{shlex.join(SOCKKIT)} {arguments} {closed}"
        done = subprocess.run(["sh", "-c", code], capture_output=True, env=ENVIRONMENT, check=False, timeout=TIMEOUT)
        assert done.returncode == status, (code, done)
        assert not [word for word in FORBIDDEN if word in done.stderr], done
        if ">&-" not in closed.replace("2>&-", "") and arguments == "probe":
            assert b"fd=3," in done.stdout


# ---- pipes, terminals, locales


def test_reports_are_plain_in_a_pipe() -> None:
    for env in ({}, {"TERM": "xterm-256color"}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        result = run("probe", env=env)
        assert b"\x1b" not in result.out and result.status == 0


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_n2_no_colour_where_none_is_wanted(env: dict[str, str]) -> None:
    """N2."""
    screen = on_terminal("probe", env=env)
    assert screen.status == 0 and b"\x1b" not in screen.shown and b"IPPROTO_TCP (6)" in screen.shown


def test_colour_on_a_terminal_or_where_it_is_forced() -> None:
    assert b"\x1b[" in on_terminal("probe").shown
    forced = run("probe", env={"FORCE_COLOR": "1"})
    assert b"\x1b[" in forced.out and b"IPPROTO_TCP (6)" in forced.out


def test_n2_payload_is_never_coloured() -> None:
    """N2: FORCE_COLOR is for reports."""
    with Process("serve", "--port", "0", "--once", env={"FORCE_COLOR": "1"}) as server:
        port = server.wait_for(rb"listening on 127\.0\.0\.1:(\d+)")[1].decode()
        assert run("connect", port, stdin=b"plain\n", env={"FORCE_COLOR": "1"}) == (0, b"plain\n", b"")


@pytest.mark.parametrize(
    "env",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["encoding", "locale"],
)
def test_n1_ascii_locales(env: dict[str, str]) -> None:
    """N1."""
    for args, status in (
        (["probe"], 0),
        (["inspect"], 0),
        (["serve", "--help", "all"], 0),
        (["--help"], 0),
        (["probe", "--family", "Ünix…"], 2),
        (["connect", "-U", "/tmp/no-such-é"], 1),
    ):
        result = run(*args, env=env)
        assert result.status == status, result
        assert result.out.isascii() and result.err.isascii()
    screen = on_terminal("probe", env=env)
    assert screen.status == 0 and screen.shown.isascii()


def test_results_are_what_the_harness_says() -> None:
    """One command line of each exit status."""
    statuses = [run(*line.split()).status for line in ("probe", "probe --proto UDP", "probe --family INTE")]
    assert statuses == [0, 1, 2] and isinstance(run("--version"), Result)
