"""``probe --steps`` and ``--expect``: what each call answers, seen as a user sees it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit import SocketSpec, UsageError
from sockkit.commands import callsheet
from sockkit.commands.code import literal
from sockkit.commands.expect import parse
from sockkit.commands.steps import CALLS, compile_steps, split
from sockkit.syscalls import QUIET
from tests import lab
from tests.harness import Process, needs_ipv6, needs_linux, needs_unix, on_terminal, run


def steps(*args: str, status: int | None = None) -> dict[str, Any]:
    """The JSON report."""
    result = run("probe", "--json", *args)
    document = json.loads(result.out)
    assert isinstance(document, dict)
    assert status is None or result.status == status, result
    return document


def outcomes(*args: str) -> dict[str, str]:
    """Step to its outcome: ``ok``, an errno's name, or what it waited for."""
    found = {}
    for step in steps(*args)["steps"]:
        if step["step"] is not None:
            error = step["error"]
            found[step["step"]] = (
                "ok" if error is None else "waits" if step["waited"] else error["name"] or error["type"]
            )
    return found


# ---- the calls


@needs_linux
def test_every_call_of_the_list_on_a_fresh_stream() -> None:
    found = outcomes(
        "--steps",
        "bind,listen,accept,connect,send,recv,shutdown,getpeername,getsockname,sendto,recvfrom",
        "--step-timeout",
        "0.1",
    )
    assert found == {
        "bind": "ok",
        "listen": "ok",
        "accept": "waits",
        "connect": "EISCONN",
        "send": "EPIPE",
        "recv": "ENOTCONN",
        "shutdown": "ok",
        "getpeername": "ENOTCONN",
        "getsockname": "ok",
        "sendto": "EPIPE",
        "recvfrom": "ENOTCONN",
    }


@needs_linux
@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--type", "DGRAM", "--steps", "listen,accept"], {"listen": "EOPNOTSUPP", "accept": "EOPNOTSUPP"}),
        (["--steps", "send,recv"], {"send": "EPIPE", "recv": "ENOTCONN"}),
        (["--type", "DGRAM", "--steps", "send"], {"send": "EDESTADDRREQ"}),
        (["--type", "DGRAM", "--steps", "connect,fill=70000"], {"connect": "ok", "fill=70000": "EMSGSIZE"}),
        (["--steps", "bind,bind=127.0.0.1:0"], {"bind": "ok", "bind=127.0.0.1:0": "EINVAL"}),
        (
            ["--steps", "connect,shutdown=RD,recv,shutdown=wr,send"],
            {"connect": "ok", "shutdown=RD": "ok", "recv": "ok", "shutdown=wr": "ok", "send": "EPIPE"},
        ),
        (["--steps", "close,getsockname"], {"close": "ok", "getsockname": "EBADF"}),
        (["--type", "DGRAM", "--steps", "sendto=127.255.255.255:9"], {"sendto=127.255.255.255:9": "EACCES"}),
        (["--steps", "listen,getsockname,conn.send"], {"listen": "ok", "getsockname": "ok", "conn.send": "NameError"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_answers_of_linux(args: list[str], expected: dict[str, str]) -> None:
    assert outcomes(*args) == expected


@needs_linux
def test_each_refusal_has_its_reason() -> None:
    report = steps("--type", "DGRAM", "--steps", "listen,recv=10", "--step-timeout", "0.05", status=1)
    listen, recv = report["steps"]
    assert listen["error"]["name"] == "EOPNOTSUPP" and listen["why"] and listen["try"]
    assert recv["waited"] and "nothing arrived within 0.05 s" in recv["why"]
    assert report["asked"]["type"]["name"] == "SOCK_DGRAM" and report["got"]["proto"]["name"] == "IPPROTO_UDP"
    text = run("probe", "--type", "DGRAM", "--steps", "listen").text
    assert re.search(
        r"^  listen  Operation not supported \[EOPNOTSUPP 95\] +sockets of this kind have no connec", text, re.M
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="CANNOT: root binds every port")
def test_a_privileged_port() -> None:
    report = steps("--steps", "bind=127.0.0.1:1", status=1)
    assert report["steps"][0]["error"]["name"] == "EACCES"


def test_a_conversation_with_a_peer_of_our_own() -> None:
    report = steps(
        "--steps", "connect,peer.accept,conn.send=ping,recv,send=pong\\n,conn.recv,conn.close,recv", status=0
    )
    results = {step["step"]: step["result"] for step in report["steps"]}
    assert results["recv"] == "0 bytes: the end, or an empty message"  # the later of the two
    assert results["conn.recv"] == "5 bytes: pong\\n"
    assert [step["result"] for step in report["steps"] if step["step"] == "recv"][:1] == ["4 bytes: ping"]
    assert report["steps"][0]["step"] is None and "listening on 127.0.0.1:" in report["steps"][0]["result"]


def test_datagrams_from_a_peer() -> None:
    report = steps("--type", "DGRAM", "--steps", "bind,peer.connect,peer.send=hi,recvfrom", status=0)
    assert re.match(r"2 bytes from 127\.0\.0\.1:\d+: hi$", report["steps"][-1]["result"])


@needs_unix
def test_a_pair() -> None:
    report = steps("--steps", "socketpair,send=ab,peer.recv,close,peer.recv,peer.send", status=1)
    assert [step["result"] for step in report["steps"][:4]] == [
        "2 bytes",
        "2 bytes: ab",
        "done",
        "0 bytes: the end, or an empty message",
    ]
    assert report["steps"][4]["error"]["name"] == "EPIPE"
    refused = run("probe", "--family", "INET", "--steps", "socketpair")
    assert refused.status == 1 and "socketpair: " in refused.said and "EOPNOTSUPP" in refused.said


@needs_ipv6
def test_ipv6_stays_on_its_loopback() -> None:
    report = steps("--family", "INET6", "--steps", "bind,getsockname", status=0)
    assert report["steps"][1]["result"].startswith("[::1]:")


@needs_linux
def test_an_unbound_listener_hears_the_loopback_only() -> None:
    report = steps("--steps", "listen,getsockopt=SO_BINDTODEVICE", status=0)
    assert "SO_BINDTODEVICE" in report["steps"][0]["python"] and report["steps"][0]["step"] is None


@needs_unix
def test_a_path_that_was_bound_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "here.sock"
    report = steps("--family", "UNIX", "--steps", f"bind={path},bind={path}", status=1)
    assert [step["ok"] for step in report["steps"]] == [True, False]
    assert not path.exists()
    path.write_text("mine")
    report = steps("--family", "UNIX", "--steps", f"bind={path}", status=1)
    assert report["steps"][0]["error"]["name"] == "EADDRINUSE"
    assert path.read_text() == "mine"


def test_options_are_set_and_read() -> None:
    report = steps("--steps", "setsockopt=SO_RCVBUF=4096,getsockopt=SO_RCVBUF,setblocking=0,recv", status=1)
    assert report["steps"][1]["value"] == (8192 if sys.platform == "linux" else 4096)
    assert report["steps"][3]["error"]["name"] in ("ENOTCONN", "EAGAIN")


@needs_linux
def test_accept_is_bounded_where_the_kernel_forgets_its_timeout() -> None:
    """MPTCP's accept does not mind SO_RCVTIMEO."""
    result = run("probe", "--proto", "MPTCP", "--steps", "bind,listen,accept", "--step-timeout", "0.1", timeout=20)
    assert result.status == 1
    assert "it would wait for ever" in result.text or "ENOPROTOOPT" in result.text or "EPROTONOSUPPORT" in result.text


def test_a_socket_that_cannot_be_made_is_explained_as_ever() -> None:
    result = run("probe", "--type", "DGRAM", "--proto", "TCP", "--steps", "bind")
    assert result.status == 1 and "works here, nearest first" in result.text


def test_every_system_call_is_in_the_story() -> None:
    said = run("probe", "-v", "--steps", "bind,listen,getsockname").said
    for call in ("socket(", "bind(", "listen(", "getsockname(", "close("):
        assert call in said


@needs_linux
def test_ctrl_c_shows_what_was_done() -> None:
    with Process(
        "probe", "--steps", "bind,listen,getsockname,accept,getpeername", "--step-timeout", "60", "-v"
    ) as process:
        process.wait_for(rb"getsockname\(")
        process.kill(signal.SIGINT)
        result = process.finish()
    assert result.status == -signal.SIGINT
    assert re.search(r"^  listen +done$", result.text, re.M) and "getpeername" not in result.text


# ---- bad input


@pytest.mark.parametrize(
    ("args", "right"),
    [
        (["--steps", "bnd"], "did you mean bind?"),
        (["--steps", ""], "a step is empty"),
        (["--steps", "bind,,listen"], "a step is empty"),
        (["--steps", "send,socketpair"], "stands at the beginning"),
        (["--steps", "their.send"], "sock, peer, conn are the sockets here"),
        (["--steps", "accept=3"], "takes no value"),
        (["--steps", "shutdown=UP"], "RD, WR or RDWR"),
        (["--steps", "recv=-1"], "a whole number from 0"),
        (["--steps", "fill=99999999999999999999"], "a whole number from 0"),
        (["--steps", "send=\\q"], "a backslash begins an escape"),
        (["--steps", "setblocking=2"], "takes 0 or 1"),
        (["--steps", "getsockopt"], "takes the name of an option"),
        (["--steps", "connect=192.0.2.1:80"], "steps stay on this host"),
        (["--steps", "sendto=8.8.8.8:53"], "steps stay on this host"),
        (["--steps", "bind=0.0.0.0:80"], "steps stay on this host"),
        (["--steps", "connect=example.org:80"], "not a name"),
        (["--steps", "bind=127.0.0.1:70000"], "65535"),
        (["--steps", ",".join(["bind"] * 201)], "200 are the most"),
        (["--steps", "bind", "--step-timeout", "0"], "for ever"),
        (["--step-timeout", "1"], "there are none"),
        (["--fileno", "0", "--steps", "bind"], "does not touch"),
        (["--steps", "all", "--code"], "not for a table"),
        (["--steps", "bind", "--expect", "ok,ok"], "2 outcomes are expected, 1 comes"),
        (["--expect", "ok,EPERM"], "A|B takes either"),
        (["--expect", "EPROTONOSUP"], "EPROTONOSUPPORT"),
        (["--expect", "PERM"], "did you mean EPERM?"),
        (["--expect", ""], "ok, error, or a name such as"),
        (["--expect", "99999"], "no errno"),
        (["--proto", "0-999", "--type", "0-9", "--steps", "bind"], "1000 are the most"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_bad_input(args: list[str], right: str) -> None:
    result = run("probe", *args)
    assert result.status == 2 and result.out == b"", result
    assert right in result.said and "--" in result.said.split(":")[1], result.said


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="()\\"), max_size=10), min_size=1))
def test_commas_can_be_escaped(parts: list[str]) -> None:
    stripped = [part.strip() for part in parts]
    assert split([",".join(part.replace(",", "\\,") for part in stripped)]) == stripped


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        program = compile_steps([text], SocketSpec())
    except UsageError:
        return
    assert program.steps or program.pair


@given(
    st.recursive(
        st.integers() | st.text() | st.binary() | st.none(), lambda inner: st.tuples(inner) | st.tuples(inner, inner)
    )
)
def test_a_literal_is_the_value(value: object) -> None:
    assert eval(literal(value)) == value


# ---- the table


def test_every_call_is_in_the_table() -> None:
    called = {
        step.partition("=")[0].rpartition(".")[2]
        for state in callsheet.STATES
        for step in split([state.streams, state.datagrams])
    }
    assert {row.name for row in CALLS} - called <= {"getsockopt", "setsockopt", "setblocking"}


@needs_unix
@needs_linux
def test_the_table_of_calls_and_kinds() -> None:
    report = steps("--family", "UNIX", "--steps", "all", "--step-timeout", "0.05", status=0)
    assert [kind["kind"] for kind in report["kinds"]] == ["UNIX STREAM", "UNIX DGRAM", "UNIX SEQPACKET"]
    table = {
        kind["kind"]: {
            call: cell and cell["outcome"] for call, cell in zip(report["calls"], kind["cells"], strict=True)
        }
        for kind in report["kinds"]
    }
    assert table["UNIX STREAM"]["recv, not connected"] == "EINVAL"
    assert table["UNIX SEQPACKET"]["recv, not connected"] == "ENOTCONN"
    assert table["UNIX DGRAM"]["listen"] == "EOPNOTSUPP"
    assert table["UNIX DGRAM"]["send, not connected"] == "ENOTCONN"
    assert table["UNIX STREAM"]["accept, nobody there"] == "waits"
    assert table["UNIX DGRAM"]["accept, nobody there"] is None
    assert table["UNIX STREAM"]["recv"] == table["UNIX DGRAM"]["recv"] == "ok"
    assert table["UNIX STREAM"]["bind to port 1"] is None


@needs_linux
def test_a_cell_is_what_its_steps_say() -> None:
    """Any cell can be asked for again by hand: the table is no second truth."""
    kind = SocketSpec(socket.AF_INET, socket.SOCK_DGRAM, 0)
    (cells,) = callsheet.fill([kind], QUIET, 0.05).cells.values()
    for cell in cells[::7]:
        if cell.program is None or cell.outcome is None or cell.outcome.waited:
            continue
        texts = ",".join(step.text for step in cell.program.steps)
        again = run("probe", "--json", "--type", "DGRAM", "--steps", texts)
        last = json.loads(again.out)["steps"][-1]
        assert (last["error"] or {"name": "ok"})["name"] == cell.outcome.name, cell.state.what


@needs_linux
def test_steps_on_a_space() -> None:
    report = steps("--family", "INET,UNIX", "--type", "STREAM,DGRAM", "--steps", "bind,listen", status=0)
    assert {kind["kind"]: [cell["outcome"] for cell in kind["cells"]] for kind in report["kinds"]} == {
        "INET STREAM": ["ok", "ok"],
        "INET DGRAM": ["ok", "EOPNOTSUPP"],
        "UNIX STREAM": ["ok", "ok"],
        "UNIX DGRAM": ["ok", "EOPNOTSUPP"],
    }


@pytest.mark.once
@needs_linux
def test_the_whole_table_says_what_is_not_here() -> None:
    report = steps("--steps", "all", status=0)
    made = {kind["kind"] for kind in report["kinds"]}
    assert {"INET STREAM TCP", "INET DGRAM UDP"} <= made
    assert len(made) + len(report["missing"]) == len(callsheet.known_kinds(None, None, None))
    for kind in report["kinds"]:
        assert len(kind["cells"]) == len(callsheet.STATES)


@pytest.mark.once
@pytest.mark.timeout(400)
@needs_linux
def test_the_whole_table_where_nearly_every_family_is() -> None:
    """Some thirty kinds of sockets, more than a thousand rows of calls: each is over in time, and nothing is left out."""
    done = lab.run("python3", "-m", "sockkit", "probe", "--steps", "all", "--json")
    assert done.status == 0, done.said
    report = json.loads(done.out)
    table = {
        kind["kind"]: {
            call: cell and cell["outcome"] for call, cell in zip(report["calls"], kind["cells"], strict=True)
        }
        for kind in report["kinds"]
    }
    assert len(table) >= 28
    for kind in ("INET STREAM SCTP", "INET6 STREAM TCP", "UNIX SEQPACKET", "VSOCK STREAM", "SMC STREAM"):
        assert table[kind]["recv"] == table[kind]["accept"] == "ok", kind
        assert table[kind]["accept, nobody there"] == "waits", kind
        assert table[kind]["listen twice"] == "ok" and table[kind]["connect"] == "ok"
    assert table["INET SEQPACKET SCTP"]["accept, not listening"] == "EOPNOTSUPP"
    assert table["TIPC STREAM"]["listen twice"] == "EINVAL"
    assert table["ALG SEQPACKET"]["accept"] == "ok"
    for kind in table:
        assert table[kind]["any call after close"] == "EBADF" or kind.startswith(("KEY", "XDP")), kind


def test_the_table_on_a_terminal() -> None:
    screen = on_terminal("probe", "--family", "INET", "--type", "STREAM,DGRAM", "--steps", "bind,listen")
    assert screen.status == 0 and b"INET STREAM" in screen.shown and b"\x1b[" in screen.shown


# ---- --expect


@needs_linux
@pytest.mark.parametrize(
    ("args", "met"),
    [
        (["--expect", "ok"], True),
        (["--expect", "EPERM"], False),
        (["--type", "DGRAM", "--proto", "TCP", "--expect", "EPROTONOSUPPORT"], True),
        (["--type", "DGRAM", "--proto", "TCP", "--expect", "eprotonosupport"], True),
        (["--type", "DGRAM", "--proto", "TCP", "--expect", "93"], True),
        (["--type", "DGRAM", "--proto", "TCP", "--expect", "EPERM|EPROTONOSUPPORT"], True),
        (["--type", "DGRAM", "--proto", "TCP", "--expect", "error"], True),
        (["--type", "DGRAM", "--proto", "TCP", "--expect", "ok"], False),
        (["--type", "DGRAM", "--steps", "bind,listen", "--expect", "EOPNOTSUPP"], True),
        (["--type", "DGRAM", "--steps", "bind,listen", "--expect", "ENOTSUP"], True),
        (["--type", "DGRAM", "--steps", "bind,listen", "--expect", "ok,EOPNOTSUPP"], True),
        (["--type", "DGRAM", "--steps", "listen,accept", "--expect", "EOPNOTSUPP"], False),
        (["--type", "DGRAM", "--proto", "TCP", "--steps", "bind", "--expect", "EPROTONOSUPPORT"], True),
        (["--family", "INET", "--steps", "socketpair,send", "--expect", "EOPNOTSUPP"], True),
        (["--type", "STREAM,DGRAM", "--expect", "ok"], True),
        (["--type", "1-2", "--proto", "17", "--expect", "ok"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_expect_is_the_exit_status(args: list[str], met: bool) -> None:
    result = run("probe", *args)
    assert result.status == (0 if met else 1), result
    assert (b"expected" in result.err) is not met
    if "socketpair,send" not in args:
        report = json.loads(run("probe", "--json", *args).out)
        assert report["expected"]["met"] is met


def test_expectations_are_read() -> None:
    assert parse("ok,EPERM|eacces").wanted == (frozenset({"ok"}), frozenset({"EPERM", "EACCES"}))
    with pytest.raises(UsageError):
        parse("ok,")


def test_what_was_wrong_is_said() -> None:
    result = run("probe", "-q", "--expect", "EPERM")
    assert result.said == "sockkit: warning: expected EPERM, got ok\n" and result.status == 1
