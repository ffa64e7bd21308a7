"""A person at a terminal: the line that is typed, the peer's text and the story on one screen. pyte says what is on it."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest

pytest.importorskip("termios", reason="CANNOT: no terminals as POSIX has them")
import termios

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from sockkit.editing import Editor, Screen
from tests.harness import ENVIRONMENT, SOCKKIT, TIMEOUT, fork_on_terminal, is_idle, listener, need, receive_all

COLUMNS, ROWS = 40, 12


class Person:
    """Somebody at a terminal of ``COLUMNS`` x ``ROWS``, where a program runs."""

    def __init__(self, *command: str, env: dict[str, str] | None = None, stdout: str = "") -> None:
        more = {"TERM": "xterm", "NO_COLOR": "1", **(env or {})}
        self.pid, self.master, self.before = fork_on_terminal(command, {**ENVIRONMENT, **more}, ROWS, COLUMNS, stdout)
        self.screen = pyte.HistoryScreen(COLUMNS, ROWS, history=100_000)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""

    def type(self, text: str | bytes) -> None:
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    @property
    def shown(self) -> list[str]:
        """The rows of the screen that have something in them."""
        return [row.rstrip() for row in self.screen.display if row.strip()]

    @property
    def everything(self) -> list[str]:
        """What has scrolled away, and what is shown."""
        above = ["".join(row[column].data for column in range(COLUMNS)).rstrip() for row in self.screen.history.top]
        return above + self.shown

    @property
    def place(self) -> tuple[str, int]:
        """The row of the cursor, and its column."""
        return self.screen.display[self.screen.cursor.y].rstrip(), self.screen.cursor.x

    def more(self, deadline: float) -> bool:
        if not select.select([self.master], [], [], max(deadline - time.monotonic(), 0))[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.written += data
        self._stream.feed(data)
        return bool(data)

    def wait(self, seen: Callable[[], object]) -> None:
        """Until it is so."""
        deadline = time.monotonic() + TIMEOUT
        while not seen():
            assert self.more(min(deadline, time.monotonic() + 0.05)) or time.monotonic() < deadline, (
                f"never seen: {self.shown}, cursor {self.screen.cursor.y, self.screen.cursor.x}, {self.written!r}"
            )

    def sees(self, *rows: str, cursor: int | None = None) -> None:
        """Wait until these are the last rows, and the cursor is in the last one."""
        self.wait(
            lambda: (
                self.shown[-len(rows) :] == list(rows)
                and (cursor is None or self.place == (rows[-1], cursor))
                and not self.more(time.monotonic() + 0.02)
            )
        )

    @property
    def edits(self) -> bool:
        """The terminal gives each key at once, and does not show it."""
        return not termios.tcgetattr(self.master)[3] & (termios.ICANON | termios.ECHO)

    def end(self) -> int:
        """Wait for the end of the program, and for what it writes until then."""
        while self.more(time.monotonic() + TIMEOUT):
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *more: object) -> None:
        if not failed and not self.pid:
            assert termios.tcgetattr(self.master) == self.before, "the terminal is as it was"
        os.close(self.master)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def python_path(*first: Path) -> str:
    """These before what the tests themselves were given."""
    return os.pathsep.join(filter(None, (*map(str, first), os.environ.get("PYTHONPATH"))))


@contextmanager
def calling(*options: str, quiet: bool = True, **more: object) -> Iterator[tuple[Person, socket.socket]]:
    """A person's ``connect``, and its peer."""
    with listener() as server:
        command = [*SOCKKIT, "connect", *(["-q"] if quiet else []), *options]
        with Person(*command, f"127.0.0.1:{server.getsockname()[1]}", **more) as person:  # type: ignore[arg-type]
            peer, _ = server.accept()
            with peer:
                peer.settimeout(TIMEOUT)
                yield person, peer


def test_a_line_is_edited_and_sent_whole() -> None:
    with calling() as (person, peer):
        person.wait(lambda: person.edits)
        person.type("hello wrold")
        person.sees("hello wrold", cursor=11)
        person.type("\x1b[D\x1b[D\x1b[D")  # three to the left, then exchange two
        person.type("\x14")
        person.sees("hello world", cursor=9)
        person.type("\x01say ")
        person.sees("say hello world", cursor=4)
        person.type("\x1bd\x04\x05!\r")  # a word away, a space away, the end
        assert peer.recv(100) == b"say world!\n"
        person.sees("say world!")
        person.type("é漢字\x7f\r")
        assert peer.recv(100) == "é漢\n".encode()
        person.type("\x1b[A")
        person.sees("é漢", cursor=3)
        person.type("\x1b[A")
        person.sees("say world!", cursor=10)
        person.type("\x1b[B\x1b[B")
        person.wait(lambda: person.place == ("", 0))
        person.type("\x04")
        assert receive_all(peer) == b""
        peer.close()
        assert person.end() == 0


def test_the_peers_text_is_never_in_ones_own_line() -> None:
    with calling() as (person, peer):
        person.wait(lambda: person.edits)
        person.type("half a li")
        person.sees("half a li")
        peer.sendall(b"one\ntwo\n")
        person.sees("one", "two", "half a li", cursor=9)
        peer.sendall(b"three ")
        person.sees("one", "two", "three", "half a li", cursor=9)
        peer.sendall(b"four\nfi")
        person.sees("three four", "fi", "half a li", cursor=9)
        person.type("\x01\x06")
        person.sees("fi", "half a li", cursor=1)
        peer.sendall(b"ve\n")
        person.sees("three four", "five", "half a li", cursor=1)
        person.type("\x05ne\r")
        assert peer.recv(100) == b"half a line\n"
        person.sees("five", "half a line")
        peer.sendall(b"name: ")
        person.sees("name:", cursor=6)
        person.type("me")
        person.sees("name: me", cursor=8)
        person.type("\r")
        assert peer.recv(100) == b"me\n"
        peer.sendall(b"hello \x1b[2J\r\xff\n")  # harmless
        person.sees("name: me", "hello \\x1b[2J\\r\\xff")
        person.type("\x04")
        assert receive_all(peer) == b""
        peer.close()
        assert person.end() == 0


@pytest.mark.once
def test_a_terminal_that_nobody_reads_for_a_while() -> None:
    """All of what the peer says comes, before what the story says of its end."""
    lines = [f"{number:06} {'.' * 60}" for number in range(2_000)]
    with calling("--set", "RCVBUF=4096", quiet=False) as (person, peer):
        person.wait(lambda: person.edits)
        person.type("half")
        person.sees("half")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        thread = threading.Thread(target=peer.sendall, args=("".join(f"{line}\n" for line in lines).encode(),))
        thread.start()  # it is held up by the terminal, which nobody reads
        while not is_idle(person.pid, 0.1):
            pass
        assert thread.is_alive()
        person.type("\x15\x04")
        person.wait(lambda: not thread.is_alive())
        peer.close()
        assert person.end() == 0
    everything = person.everything
    first = everything.index(f"{lines[0]}"[:COLUMNS])
    shown = [row for row in everything[first:] if "stdin ended" not in row and "FIN sent" not in row]
    expected = rows_of("\n".join(lines), COLUMNS)
    assert shown[: len(expected)] == expected
    assert "closed: received 132.8 KiB" in "".join(shown[len(expected) :])


def test_a_stopped_terminal_does_not_hold_up_a_signal() -> None:
    with calling() as (person, peer):
        person.wait(lambda: person.edits)
        person.type("\x13")  # Ctrl-S
        thread = threading.Thread(target=_send, args=(peer,))
        thread.start()
        while not is_idle(person.pid, 0.1):
            pass
        os.kill(person.pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(person.pid, 0)[1]) == -signal.SIGTERM
        person.pid = 0
    thread.join(TIMEOUT)  # nobody listens any more


def _send(peer: socket.socket) -> None:
    try:
        peer.sendall(b"line\n" * 1_000_000)
    except OSError:
        pass


def test_a_prompt_that_was_there_before_the_editor() -> None:
    with calling() as (person, peer):
        peer.sendall(b"Welcome\nlogin: ")
        person.wait(lambda: b"login: " in person.written)
        person.wait(lambda: person.edits and person.place == ("login:", 7))
        person.type("me")
        person.sees("Welcome", "login: me", cursor=9)
        peer.sendall(b"\nTimeout\n")
        person.sees("Welcome", "login:", "Timeout", "me", cursor=2)
        person.type("\r\x04")
        assert receive_all(peer) == b"me\n"
        peer.close()
        assert person.end() == 0


def test_a_library_that_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "prompt_toolkit.py").write_text("")
    with calling(env={"PYTHONPATH": python_path(tmp_path, Path.cwd())}) as (person, peer):
        peer.sendall(b"hello\n")
        person.sees("hello")
        person.type("halfx\x7f\n\x04")
        assert receive_all(peer) == b"half\n"
        peer.close()
        assert person.end() == 0 and not person.edits


def test_the_story_is_never_in_ones_own_line() -> None:
    with calling("-v", quiet=False) as (person, peer):
        person.wait(lambda: person.edits)
        peer.sendall(b"name: ")
        person.wait(lambda: person.place == ("name:", 6))
        person.type("half a li")
        person.wait(lambda: person.place == ("name: half a li", 15))
        peer.sendall(b"\nand more\n")
        person.wait(lambda: "and more" in person.shown and person.place == ("half a li", 9))
        person.type("ne\r")
        assert peer.recv(100) == b"half a line\n"
        peer.close()
        person.wait(lambda: any("FIN received" in row for row in person.shown))
        person.type("late")
        assert person.end() == 0
        story = person.written.decode().replace("\r\x1b[K", "")
        assert re.search(r"\n> .*12 bytes at 0: half a line\\n", story), story


def test_what_was_typed_and_not_sent_stays_to_be_seen() -> None:
    with calling(quiet=False) as (person, peer):
        person.wait(lambda: person.edits)
        person.type("unfinished")
        person.sees("unfinished")
        os.kill(person.pid, signal.SIGTERM)
        assert person.end() == -signal.SIGTERM
        assert "unfinished" in person.shown and person.screen.cursor.x == 0
    assert receive_all(peer) == b"" if peer.fileno() != -1 else True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP], ids=lambda number: number.name)
def test_the_terminal_is_as_it_was_after(number: signal.Signals) -> None:
    keys = {signal.SIGINT: "\x03", signal.SIGQUIT: "\x1c"}
    with calling() as (person, _):
        person.wait(lambda: person.edits)
        if number in keys:
            person.type(keys[number])
        else:
            os.kill(person.pid, number)
        assert person.end() == -number
        assert person.written.count(b"\x1b[?2004h") == person.written.count(b"\x1b[?2004l")


def test_stopped_and_continued() -> None:
    with calling() as (person, peer):
        person.wait(lambda: person.edits)
        person.type("half")
        person.sees("half")
        os.kill(person.pid, signal.SIGSTOP)
        os.waitpid(person.pid, os.WUNTRACED)
        termios.tcsetattr(person.master, termios.TCSANOW, person.before)  # as a shell does
        os.kill(person.pid, signal.SIGCONT)
        person.wait(lambda: person.edits)
        person.type(" a line\r")
        assert peer.recv(100) == b"half a line\n"
        person.type("\x04")
        peer.close()
        assert person.end() == 0


def test_ctrl_z_and_fg() -> None:
    with listener() as server:
        shell = [need("bash"), "--norc", "--noprofile", "--noediting", "-i"]
        with Person(*shell, env={"PS1": "$ ", "PYTHONPATH": python_path(Path.cwd())}) as person:
            person.type(f"{sys.executable} -m sockkit connect -q 127.0.0.1:{server.getsockname()[1]}\n")
            peer, _ = server.accept()
            with peer:
                person.wait(lambda: person.edits)
                person.type("half")
                person.wait(lambda: person.place == ("half", 4))
                person.type("\x1a")
                person.wait(lambda: any("Stopped" in row for row in person.shown) and person.place == ("$", 2))
                assert not person.edits
                peer.sendall(b"meanwhile\n")
                person.type("fg\n")
                person.wait(lambda: "meanwhile" in person.shown and person.place == ("half", 4))
                assert person.edits
                person.type(" a line\r\x04")
                assert receive_all(peer) == b"half a line\n"
            person.wait(lambda: person.place == ("$", 2) and not person.edits)
            person.type("exit\n")
            assert person.end() == 0


def test_what_is_pasted_is_not_sent_before_enter() -> None:
    with calling() as (person, peer):
        person.wait(lambda: b"\x1b[?2004h" in person.written)
        person.type("\x1b[200~rm -rf\nnever\x1b[201~")
        person.sees("rm -rf\\nnever")
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(100)
        peer.settimeout(TIMEOUT)
        person.type("\r")
        assert peer.recv(100) == b"rm -rf\nnever\n"
        person.type("\x04")
        peer.close()
        assert person.end() == 0


def test_an_escape_that_begins_nothing() -> None:
    with calling() as (person, peer):
        person.wait(lambda: person.edits)
        person.type("a\x16\x1bb\x16\x01c\r")  # Ctrl-V: what follows is itself
        assert peer.recv(100) == b"a\x1bb\x01c\n"
        person.sees("a\\x1bb\\x01c")
        person.type("\x04")
        peer.close()
        assert person.end() == 0


def test_a_server_at_a_terminal() -> None:
    with Person(*SOCKKIT, "serve", "--mode", "pipe", "-p", "0") as person:
        person.wait(lambda: person.edits and re.search(rb"listening on (\S+)", person.written))
        found = re.search(rb"listening on \S+:(\d+)", person.written)
        assert found is not None
        person.type("early\rha")
        person.sees("early", "ha", cursor=2)
        with socket.create_connection(("127.0.0.1", int(found[1])), TIMEOUT) as peer:
            assert peer.recv(100) == b"early\n"
            peer.sendall(b"hello\n")
            person.wait(lambda: "hello" in person.shown and person.place == ("ha", 2))
            person.type("lf\r\x04")
            assert receive_all(peer) == b"half\n"
        assert person.end() == 0


def test_stdout_elsewhere(tmp_path: Path) -> None:
    path = f"{tmp_path}/out"
    with calling(quiet=False, stdout=path) as (person, peer):
        person.wait(lambda: person.edits)
        person.type("half")
        person.sees("half")
        peer.sendall(b"\x00\xff\n")
        person.wait(lambda: any("3 bytes at 0" in row for row in person.shown) and person.place == ("half", 4))
        person.type("\r")
        assert peer.recv(100) == b"half\n"
        person.type("\x04")
        peer.close()
        assert person.end() == 0
    with open(path, "rb") as file:
        assert file.read() == b"\x00\xff\n"


@pytest.mark.once
def test_what_was_typed_before_there_was_a_connection() -> None:
    with listener() as server:
        server.listen(0)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with socket.create_connection(server.getsockname()) as before:  # its queue is full: the connection has to wait
            with Person(*SOCKKIT, "connect", "-v", address) as person:
                person.wait(lambda: b"connect(" in person.written)
                person.type("one\rtwo\rhal")
                person.wait(lambda: person.place == ("hal", 3))
                assert not person.edits
                server.accept()[0].close()
                peer, _ = server.accept()
                before.close()
                with peer:
                    person.wait(lambda: person.edits and person.place == ("hal", 3))
                    person.type("f\r\x04")
                    assert receive_all(peer) == b"one\ntwo\nhalf\n"
                assert person.end() == 0


MISSING = "import sys; sys.modules['prompt_toolkit'] = None; from sockkit.__main__ import main; main()"


@pytest.mark.parametrize("how", ["--no-edit", "--raw", "dumb", "without the library"])
def test_else_the_terminal_edits(how: str) -> None:
    options = [how] if how.startswith("--") else []
    with listener() as server:
        command = [sys.executable, "-c", MISSING] if how == "without the library" else SOCKKIT
        address = f"127.0.0.1:{server.getsockname()[1]}"
        env = {"TERM": "dumb"} if how == "dumb" else {}
        with Person(*command, "connect", "-q", *options, address, env=env) as person:
            peer, _ = server.accept()
            with peer:
                peer.settimeout(TIMEOUT)
                peer.sendall(b"hello\n")
                person.sees("hello")
                assert not person.edits
                person.type("halfx\x7f\n\x04")
                assert receive_all(peer) == b"half\n"
            assert person.end() == 0
            assert b"\x1b" not in person.written


@pytest.mark.once
def test_a_terminal_that_is_made_wider_and_narrower() -> None:
    """tmux breaks lines anew, as most terminals do, and pyte does not."""
    tmux = [need("tmux"), "-L", f"sockkit-{os.getpid()}", "-f", "/dev/null"]

    def shown() -> list[str]:
        pane = subprocess.run(
            [*tmux, "capture-pane", "-p", "-S", "-99"], capture_output=True, text=True, check=True
        ).stdout
        return [row for row in pane.splitlines() if row]

    def wait(rows: list[str]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while shown() != rows:
            assert time.monotonic() < deadline, (shown(), rows)

    def told(columns: int) -> None:
        where = subprocess.run(
            [*tmux, "display", "-p", "#{pane_tty} #{pane_pid}"], capture_output=True, text=True, check=True
        )
        tty, pid = where.stdout.split()
        fd = os.open(tty, os.O_RDONLY | os.O_NOCTTY)
        try:
            while os.get_terminal_size(fd).columns != columns or not is_idle(int(pid), 0.1):
                pass
        finally:
            os.close(fd)

    with listener() as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [*tmux, "new-session", "-d", "-x", "40", "-y", "12", *SOCKKIT, "connect", "-q", address]
        subprocess.run(command, env={**ENVIRONMENT, "TERM": "xterm"}, check=True)
        try:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"hello\n")
                wait(["hello"])
                subprocess.run([*tmux, "send-keys", "-l", "x" * 60], check=True)
                wait(["hello", "x" * 40, "x" * 20])
                subprocess.run([*tmux, "resize-window", "-x", "100"], check=True)
                told(100)  # tmux has broken its lines anew before it says so
                wait(["hello", "x" * 60])
                peer.sendall(b"wide\n")
                wait(["hello", "wide", "x" * 60])
                subprocess.run([*tmux, "resize-window", "-x", "25"], check=True)
                told(25)
                wait(["hello", "wide", "x" * 25, "x" * 25, "x" * 10])
                peer.sendall(b"narrow\n")
                wait(["hello", "wide", "narrow", "x" * 25, "x" * 25, "x" * 10])
        finally:
            subprocess.run([*tmux, "kill-server"], check=False)


# ---- without a process


def rows_of(text: str, columns: int) -> list[str]:
    """How a terminal breaks a text that has only newlines in it."""
    found = []
    for line in text.split("\n"):
        row, width = "", 0
        for character in line:
            if width + get_cwidth(character) > columns:
                found.append(row)
                row, width = "", 0
            row, width = row + character, width + get_cwidth(character)
        found.append(row)
    return found


class Told:
    """What ought to be on the screen."""

    def __init__(self) -> None:
        self.final = ""  # ends with a newline, or is empty
        self.partial = ""
        self.text = ""
        self.joined = True

    def end(self, text: str) -> str:
        between = "\n" if self.partial and text and not self.joined else ""
        return self.partial + between + text


LETTERS = st.text("abé", max_size=30)
TYPED = st.text("ab漢é", max_size=30)
ACTS = st.one_of(
    st.tuples(st.just("say"), st.lists(LETTERS, max_size=3).map("\n".join)),
    st.tuples(st.just("edit"), st.tuples(TYPED, st.integers(0, 40))),
    st.tuples(st.just("accept"), st.none()),
    st.tuples(st.just("story"), LETTERS),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTS, max_size=10), st.integers(3, 17))
def test_nothing_is_ever_mixed(acts: list[tuple[str, object]], columns: int) -> None:
    terminal = pyte.Screen(columns, 400)
    stream = pyte.Stream(terminal)
    terminal.set_mode(pyte.modes.LNM)  # as the kernel: a newline begins a row
    screen, told = Screen(columns, 400), Told()
    cursor = 0
    for act, what in acts:
        if act == "say":
            assert isinstance(what, str)
            stream.feed(screen.say(what))
            if told.text:
                told.joined = False
            done, newline, told.partial = (told.partial + what).rpartition("\n")
            told.final += done + newline
        elif act == "edit":
            assert isinstance(what, tuple)
            if what[0] and not told.text:
                told.joined = True
            told.text, cursor = what[0], min(what[1], len(what[0]))
            stream.feed(screen.hide())
            screen.edit(told.text, cursor)
        elif act == "accept":
            stream.feed(screen.accept(told.text))
            told.final += told.end(told.text) + "\n"
            told.partial = told.text = ""
            told.joined, cursor = True, 0
        else:
            # It comes before the last line, if that is not finished: as far as that has a row of its own.
            stream.feed(screen.hide() + f"{what}\n")
            *full, told.partial = rows_of(told.partial, columns)
            told.final += "".join(f"{row}\n" for row in full) + f"{what}\n"
        stream.feed(screen.show())
        shown = [row.rstrip() for row in terminal.display]
        whole = rows_of(told.final + told.end(told.text), columns)
        assert shown[: len(whole)] == whole and not any(shown[len(whole) :]), (shown[: len(whole) + 2], whole)
        before = rows_of(told.final + told.end(told.text[:cursor]), columns)
        if told.text[:cursor] or not told.text:
            place = len(before) - 1, sum(map(get_cwidth, before[-1]))
            following = told.text[cursor : cursor + 1]
            if place[1] + max(get_cwidth(following), 1) > columns and (following or place[1] == columns):
                place = place[0] + 1, 0
            assert (terminal.cursor.y, terminal.cursor.x) == place


@settings(max_examples=50, deadline=None)
@given(st.text("ab漢\t\x1b", max_size=400), st.integers(0, 400), st.integers(2, 30), st.integers(2, 6), LETTERS)
def test_a_line_that_is_longer_than_the_screen(text: str, cursor: int, columns: int, rows: int, said: str) -> None:
    terminal = pyte.Screen(columns, rows)
    stream = pyte.Stream(terminal)
    screen = Screen(columns, rows)
    screen.say(said)
    screen.edit(text, min(cursor, len(text)))
    stream.feed("above\r\n" if columns > 5 and rows > 2 else "")
    stream.feed(screen.show())
    stream.feed(screen.hide())
    assert (terminal.cursor.y, terminal.cursor.x)[1] == 0
    assert not "".join(terminal.display[terminal.cursor.y :]).strip()


KEYS = st.lists(
    st.one_of(
        st.text(max_size=3),
        st.integers(0, 31).map(chr),
        st.sampled_from(
            [
                "\x1b[A",
                "\x1b[B",
                "\x1b[C",
                "\x1b[D",
                "\x1b[H",
                "\x1b[3~",
                "\x1bb",
                "\x1bd",
                "\x1b<",
                "\x1b.",
                "\x1b-",
                "\x1b*",
            ]
        ),
        st.sampled_from(
            [
                "\x1b[1;5C",
                "\x1bOA",
                "\x1b[200~a\nb\x1b[201~",
                "\x1b?",
                "\x18\x18",
                "\x18(",
                "\x18)",
                "\x18e",
                "\x18\x15",
            ]
        ),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(KEYS, st.lists(st.integers(0, 60), max_size=6))
def test_no_key_breaks_the_editor(keys: list[str], cuts: list[int]) -> None:
    typed = "".join(keys)
    editor = Editor()
    places = sorted({0, len(typed), *(cut % (len(typed) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        editor.feed(typed[start:end])
    editor.flush()
    assert 0 <= editor.cursor <= len(editor.text)
