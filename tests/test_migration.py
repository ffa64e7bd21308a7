"""Migration: docs/coming-from.md row by row, and what is said to who types another program's command line."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockkit import foreign
from sockkit.errors import UsageError
from sockkit.foreign import Row, Typed
from sockkit.spec import options
from tests import migration
from tests.test_cli import PLANS, _end_of_the_forker, parses, refused, run_forked  # noqa: F401

PLAYED = [row for row in foreign.ROWS if row.played]
EXAMPLES = [row for row in foreign.ROWS if row.example]
ALWAYS = ("nc -N", "nc -l", "nc -U", "ncat -p", "ncat --ssl-verify", "socat TCP", "socat UNIX-LISTEN", "socat EXEC")
"""Rows that are played with every interpreter; the others with one."""


def marked(row: Row) -> object:
    """Of SCTP: not every kernel has it, and no package brings it."""
    marks = () if migration.name(row) in ALWAYS or "sctp" in migration.name(row).lower() else pytest.mark.once
    return pytest.param(row, id=migration.name(row), marks=marks)


@pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: the programs compared are Debian's")
@pytest.mark.parametrize("row", [marked(row) for row in PLAYED])
def test_both_exchange_the_same(row: Row, tmp_path: Path) -> None:
    """Their command, then ours, against the same counterpart: what differs is what the row says."""
    typed = foreign.translated(row)
    assert typed is not None
    different = migration.DIFFERENT.get(migration.name(row), {})
    assert row.says or not different, "the page must say what differs"
    there = migration.play(row, migration.theirs(row), "", tmp_path / "theirs")
    here = migration.play(row, typed.words, typed.after, tmp_path / "ours")
    for field, (theirs, ours) in different.items():
        assert (getattr(there, field), getattr(here, field)) == (theirs, ours), field
    assert here == there._replace(**{field: getattr(here, field) for field in different})


def test_every_row_is_played_or_says_why_not() -> None:
    for row in foreign.ROWS:
        assert bool(row.played) != bool(row.unplayed) or row.becomes is None, row
        assert row.says.startswith("no: ") == (row.becomes is None), row
        assert bool(row.example) == bool(row.played) or row.unplayed, row


@pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: the programs compared are Debian's")
@pytest.mark.parametrize("tool", ["nc", "ncat"])
def test_every_option_of_theirs_has_its_row(tool: str) -> None:
    """Their own help is the list."""
    names = {name for row in foreign.ROWS if row.tool == tool for name in row.names}
    told = migration.help_of(tool)
    assert told - names == set()
    assert {name for name in names if name[0] == "-"} - told == set()


# ---- what is said to who types it


def filled(typed: Typed) -> list[str]:
    run = migration.Run(typed.words, "", Path())
    run.give(PORT1=1, PORT2=3, HOSTS="/dev/null", FILE="/nowhere/x")
    return [run.filled(word) for word in typed.words[1:]]


@pytest.mark.parametrize("row", EXAMPLES, ids=migration.name)
def test_every_suggestion_is_a_command(row: Row) -> None:
    """With values for the words in capitals it makes a plan."""
    typed = foreign.translated(row)
    assert typed is not None, "sockkit has nothing like it, and the row does not say so"
    assert parses(filled(typed))


@pytest.mark.once
def test_no_suggestion_is_refused(tmp_path: Path) -> None:
    """What it asks for does not contradict itself: --code, which does nothing, has no objection but its own."""
    (tmp_path / "hosts").write_text("127.0.0.1\n")
    for words in {tuple(filled(typed)) for row in EXAMPLES if (typed := foreign.translated(row)) is not None}:
        words = tuple(str(tmp_path / "hosts") if word == "/dev/null" else word for word in words)
        program = words.index("--exec") if "--exec" in words else len(words)
        result = run_forked(*words[:program], "--code", *words[program:])
        assert result.status == 0 or result.said.startswith(("sockkit: --code: ", "sockkit: -o: --code ")), result


def test_what_the_rows_name_is_there() -> None:
    """An option that a row's words recommend exists."""
    known = {name for plan in PLANS.values() for row in options(plan) for name in row.names}
    for row in foreign.ROWS:
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", row.says)) <= known, row


FLAGS = sorted({name for row in foreign.ROWS if row.tool != "socat" for name in row.names if name[0] == "-"})


@pytest.mark.parametrize("name", FLAGS)
def test_flags_of_other_netcats(name: str) -> None:
    """Each is sockkit's own, or answered in words."""
    command = "serve" if len(name) % 2 else "connect"
    if any(name in row.names for row in options(PLANS[command])) or name in ("-h", "--help"):
        return
    rows = [row for row in foreign.ROWS if row.tool != "socat" and name in row.names]
    value = ["1"] if rows[0].takes else []
    lines = refused(command, name, *value, "127.0.0.1", "80")
    assert lines[0].startswith(f"sockkit: {name}: "), lines
    assert "no such option" not in lines[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-lvnp 4444", "type: sockkit serve --mode pipe -v -n -p 4444"),
        ("-zv localhost 20-25", "type: sockkit connect -z -v localhost 20-25"),
        ("-z localhost 22 80 100-200", "type: sockkit connect -z localhost 22,80,100-200"),
        (
            "connect -i 1 localhost 25",
            "type: sockkit connect --line-delay 1 localhost 25  # nc: a pause after each line",
        ),
        (
            "connect -i 1 localhost 25",
            "type: sockkit connect --idle-timeout 1 localhost 25  # ncat: end when nothing passes",
        ),
        ("connect -x gate:1080 host 22", "type: sockkit connect --proxy socks5h://gate:1080 host 22  # nc: a proxy"),
        ("-X 4 -x gate host 22", "type: sockkit connect --proxy socks4a://gate:1080 host 22"),
        ("-X connect -x [::1]:8 host 22", "type: sockkit connect --proxy 'http://[::1]:8' host 22"),
        ("--proxy gate --proxy-auth me:secret host 22", "--proxy-auth-file FILE"),
        ("-e /bin/sh -l 80", "type: sockkit serve --once 80 --exec -- /bin/sh"),
        ("-l -k 80 -c 'date; cat'", "type: sockkit serve --sh-exec 'date; cat' 80"),
        ("-T ef host 80", "type: sockkit connect --set TOS=184 host 80"),
        ("-6 -T af42 host 80", "type: sockkit connect -6 --set TCLASS=144 host 80"),
        ("-F host 80", "sockkit: -F: sockkit carries the bytes"),
        ("-u -l 80 -e /bin/cat", "datagrams would lose their boundaries"),
        ("TCP:host:80", "type: sockkit connect host 80"),
        ("nc -l 80", "type: sockkit serve --mode pipe 80"),
        ("nc -i 1 host 80", "type: sockkit connect --line-delay 1 host 80"),
        ("ncat -i 1 host 80", "type: sockkit connect --idle-timeout 1 host 80"),
        ("socat - TCP:host:80", "type: sockkit connect host 80"),
        ("scan host 1-100", "type: sockkit connect -z host 1-100"),
        ("chat 80", "type: sockkit serve --mode chat 80"),
        ("listen 80", "type: sockkit serve --mode pipe 80"),
        ("- TCP6:[::1]:80", "type: sockkit connect -6 ::1 80"),
        ("TCP-LISTEN:80,fork EXEC:cat", "type: sockkit serve 80 --exec -- cat"),
        ("TCP-LISTEN:80 PIPE", "type: sockkit serve --once 80"),
        ("TCP-LISTEN:80,fork TCP:host:81", "type: sockkit serve --mode relay --to host:81 80"),
        (
            "TCP-LISTEN:80,fork OPENSSL:host:443,verify=0",
            "type: sockkit serve 80 --exec -- sockkit connect --tls --insecure host 443",
        ),
        ("TCP:a:1 TCP:b:2", "type: sockkit connect a 1 --exec -- sockkit connect b 2"),
        ("-u OPEN:/etc/motd,rdonly TCP:host:80", "type: sockkit connect --send-only host 80 < /etc/motd"),
        ("/etc/motd!!- TCP:host:80", "type: sockkit connect host 80 < /etc/motd"),
        ("UDP-LISTEN:53,fork UDP:host:53", "type: sockkit serve --mode relay -u --to host:53 53"),
        ("UDP-LISTEN:53,fork TCP:host:53", "datagrams would lose their boundaries"),
        ("UDP-LISTEN:53,fork EXEC:cat", "datagrams would lose their boundaries"),
        ("TCP-LISTEN:1 TCP-LISTEN:2", "two that listen are not joined"),
        ("TCP:host:80,nonesuch -", "no word for this option"),
        ("- PTY", "one end is a socket"),
        ("TCP:host:80 EXEC:sh,pty", "sockkit: pty: "),
        ("nc -lvp 4444 -e /bin/sh", "type: sockkit serve --once -v -p 4444 --exec -- /bin/sh"),
        ("nc -h", "type: sockkit connect --help"),
        ("ncat -l --help", "type: sockkit serve --help"),
        ("ncat --version", "type: sockkit --version"),
        ("ncat -l 8888 --proxy-type http", "a proxy server: sockkit is none"),
        ("nc -u -q -1 host 80", "type: sockkit connect -u host 80"),
        ("nc -z -i 2 host 20-30", "type: sockkit connect -z --rate 0.5 host 20-30"),
        ("nc -z host ssh", "type: sockkit connect -z host ssh"),
        ("nc host ssh", "type: sockkit connect host 22"),
        ("nc -l http", "type: sockkit serve --mode pipe 80"),
        ("socat EXEC:a EXEC:b", "one end of sockkit is a socket"),
        ("socat - /run/x.sock", "type: sockkit connect -U /run/x.sock"),
        ("stdio /run/x.sock", "type: sockkit connect -U /run/x.sock"),
        ("socat -u /etc/motd -", "one end of sockkit is a socket"),
        ("-,raw,echo=0 TCP:host:80", "stty raw -echo"),
        ("-lf/tmp/log -t5 - TCP:host:80", "type: sockkit connect host 80 2> /tmp/log"),
        ("-lm - TCP:host:80", "logger"),
        ("-lpname - TCP:host:80", "type: sockkit connect host 80"),
        ("- IP6-RECV:253", "type: sockkit serve --mode pipe --type RAW --proto 253 -6 ::"),
        ("TCP-LISTEN:80,fork UNIX-CONNECT:/x", "type: sockkit serve --mode relay --to /x 80"),
        ("UNIX-LISTEN:x,fork ABSTRACT-CONNECT:y", "type: sockkit serve --mode relay -U --to @y x"),
        ("TCP4-LISTEN:www,fork TCP4:127.0.0.1:81", "type: sockkit serve --mode relay -4 --to 127.0.0.1:81 80"),
        ("TCP-LISTEN:80,fork TCP6:host:81", "type: sockkit serve 80 --exec -- sockkit connect -6 host 81"),
        ("TCP-LISTEN:80,reuseaddr,fork EXEC:date,stderr", "--sh-exec 'date 2>&1' --set REUSEADDR=1 80"),
        ("TCP-LISTEN:80,reuseaddr=0 -", "type: sockkit serve --mode pipe 80"),
        ("- TCP:host:80,linger=0,bind=:99", "type: sockkit connect --set LINGER=on,0 -p 99 host 80"),
        ("- TCP:host:80,bind=[::1]:99", "type: sockkit connect -p 99 -s ::1 host 80"),
        (
            "- UDP4-DATAGRAM:239.1.2.3:66,bind=:66,ip-add-membership=239.1.2.3:eth0",
            "type: sockkit connect -u -4 -p 66 --join 239.1.2.3%eth0 239.1.2.3 66",
        ),
        ("- UDP-DATAGRAM:host:66,range=10.0.0.0/8", "sockkit has nothing like it: connect has no such --allow"),
        ("ncat -m 3 -k -l 80", "type: sockkit serve --mode pipe -k 80"),
        ("ncat -m 3 -k -l 80 -e /bin/cat", "type: sockkit serve --max-conns 3 80 --exec -- /bin/cat"),
        ("ncat -l -w 5 80", "type: sockkit serve --mode pipe 80"),
        ("ss -tlnp", "type: sockkit inspect --all"),
    ],
)
def test_what_is_said(line: str, said: str) -> None:
    answer = foreign.answer(shlex.split(line), next((word for word in ("-F", "-i", "-x") if word in line.split()), ""))
    assert answer is not None
    assert said in f"sockkit: {answer.option}: {answer}\n{answer.hint}"
    assert "secret" not in f"{answer}{answer.hint}"


def test_a_program_without_its_dashes() -> None:
    assert refused("serve", "--exec", "/bin/sh", "-i") == [
        "sockkit: --exec: the program stands behind a `--`, at the end",
        "sockkit: type: sockkit serve --exec -- /bin/sh -i",
    ]


def test_a_program_with_a_port_behind_it() -> None:
    """``ncat -l --exec /bin/cat 80``: a number is the program's, or the port."""
    assert refused("serve", "--exec", "/bin/cat", "80")[1:] == [
        "sockkit: type: sockkit serve --exec -- /bin/cat 80",
        "sockkit: type: sockkit serve 80 --exec -- /bin/cat  # 80 is the port",
    ]


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("connect https://me:secret@example.com/x?y=1", "sockkit connect --tls example.com 443"),
        ("connect http://[::1]:8080/", "sockkit connect ::1 8080"),
        ("connect telnet://example.com", "sockkit connect --telnet example.com 23"),
        ("connect gopher://example.com", "HOST PORT"),
        ("connect localhost http", "http is 80"),
        ("connect unix:///run/x.sock", "sockkit connect -U /run/x.sock"),
        ("https://me:secret@example.com/x", "sockkit connect --tls example.com 443"),
        ("curl -s http://example.com/", "sockkit connect example.com 80"),
        ("connect TCP:host:80", "type: sockkit connect host 80"),
        ("serve TCP-LISTEN:80,fork", "type: sockkit serve --mode pipe -k 80"),
        ("serve tcp4-listen:80", "type: sockkit serve --mode pipe -4 80"),
        ("connect UNIX-CONNECT:/run/x", "type: sockkit connect -U /run/x"),
        ("serve -q --duration 5 UDP-RECV:53", "type: sockkit serve --mode pipe -u -q --duration 5 53"),
        ("connect -v unix:/run/x", "type: sockkit connect -U -v /run/x"),
    ],
)
def test_urls_and_names_of_services(line: str, typed: str) -> None:
    said = refused(*line.split())
    assert said[-1].endswith(f": {typed}")
    assert "secret" not in said[-1]


def test_a_reason_is_said_too() -> None:
    """Where there is nothing to type, the reason why is the answer."""
    assert refused("nc", "-u", "-l", "53", "-e", "/bin/cat")[0].endswith("datagrams would lose their boundaries")
    assert refused("socat", "-", "EXEC:date") == [
        "sockkit: one end of sockkit is a socket: the shell joins programs and files"
    ]


def test_a_typo_is_not_taken_for_anothers() -> None:
    assert refused("connect", "--nonesuch", "localhost", "80")[0].startswith(
        "sockkit: --nonesuch: there is no such option"
    )
    assert refused("--nonesuch", "localhost")[0] == "sockkit: --nonesuch: there is no such option"


def test_the_suggestion_is_on_lines_of_its_own() -> None:
    assert refused("connect", "-i", "1", "localhost", "25") == [
        "sockkit: -i: nc and ncat mean different things by it",
        "sockkit: type: sockkit connect --line-delay 1 localhost 25  # nc: a pause after each line",
        "sockkit: type: sockkit connect --idle-timeout 1 localhost 25  # ncat: end when nothing passes",
    ]


WORDS = st.one_of(
    st.sampled_from([name for row in foreign.ROWS for name in row.names]),
    st.sampled_from(["localhost", "80", "-", "1", "20-25", "[::1]", "--", "-lvnp", "connect", "serve", "=", ",", "!!"]),
    st.builds(
        lambda row, parts, more: ":".join([row.names[0], *parts]) + "".join(f",{each}" for each in more),
        st.sampled_from([row for row in foreign.ROWS if row.names[0].isupper()]),
        st.lists(st.sampled_from(["host", "80", "/tmp/x", "tr a z", "[::1]"]), max_size=4),
        st.lists(
            st.sampled_from(
                [f"{row.names[0]}{'=1' * bool(row.takes)}" for row in foreign.ROWS if row.names[0].islower()]
            ),
            max_size=2,
        ),
    ),
    st.text(max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_any_line_is_answered_with_a_command_that_exists(words: list[str]) -> None:
    """Whatever is typed: an answer or none, never another exception; and what is to be typed is there."""
    try:
        answer = foreign.answer(words)
    except UsageError:
        raise AssertionError("an answer is returned, not raised") from None
    for line in answer.hint.split("\n") if answer is not None and answer.hint else ():
        typed = line.partition("type: ")[2].partition("  # ")[0]
        command = shlex.split(re.split(r" (?:2>|>>?|<)[& ]", typed)[0])
        assert command[0] == "sockkit"
        assert foreign.exists(Typed(command))
