"""The battery's list: every case, and whether a test stands for it.

A test stands for the cases that its name begins with: ``test_a5_…``, ``test_f1_f5_…``, in whatever file it lives.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

CASES = {
    "A1": "64 MiB both ways at once",
    "A2": "a peer that sends 30 MB before it reads",
    "A4": "a prompt without a newline",
    "A5": "all byte values cut anywhere; CR and LF in different reads",
    "A6": "stdin of any kind",
    "A9": "a non-blocking stdout with a slow reader",
    "A10": "a non-blocking stdin that is empty at first",
    "A12": "signals that interrupt system calls",
    "A14": "A1 with every recording on",
    "A15": "urgent data",
    "A16": "a file that is sent stands where it should afterwards",
    "A17": "output amid what others write to the same file",
    "A18": "one socket is stdin and stdout",
    "A19": "/dev/null",
    "A20": "a file that shrinks while it is sent",
    "B1": "a reply long after the end of stdin",
    "B2": "the peer ends while stdin stays open and idle",
    "B4": "input that was there before the client",
    "B6": "a reset after data",
    "B8": "a peer that closes without reading",
    "B10": "the end of stdin sends no datagram",
    "C1": "nobody reads our stdout",
    "C2": "the peer reads nothing",
    "C4": "idle timeouts, and flows in one direction",
    "C5": "a reader that sleeps in the middle",
    "C6": "a full accept queue",
    "C7": "a peer that delays its end",
    "C8": "a cable that is pulled",
    "D1": "a hundred clients with a mebibyte each",
    "D2": "five hundred clients, fifty at a time",
    "D3": "two hundred resets, then a client",
    "D5": "a slot is free again after each kind of end",
    "D6": "a stopped server",
    "D8": "a second client of a server for one",
    "E1": "out of descriptors",
    "E3": "a full disk",
    "E5": "a reader that has seen enough",
    "E7": "little address space, a large transfer",
    "E9": "a reader that leaves while nothing moves",
    "E10": "no descriptor for a pipe",
    "E11": "no memory for a pipe: the user's quota is used up",
    "E12": "a disk that fills up amid a large flow",
    "E13": "a reader that leaves where SIGPIPE is ignored",
    "E14": "system calls that answer otherwise",
    "F1": "SIGINT in every idle state",
    "F2": "SIGTERM removes the path",
    "F5": "SIGHUP",
    "F7": "a second SIGINT",
    "F9": "a hundred child programs",
    "G1": "an empty datagram",
    "G4": "large datagrams",
    "G6": "more than a datagram on stdin",
    "G7": "one byte too many",
    "G8": "a closed port",
    "G10": "two peers",
    "G11": "Unix records",
    "G12": "no input, no datagram",
    "H1": "a file in the way",
    "H2": "a stale path",
    "H5": "the longest path",
    "H6": "permissions",
    "H8": "abstract names",
    "H10": "odd names",
    "H11": "connecting to what is no socket",
    "I1": "a certificate that nobody vouches for",
    "I2": "a certificate for another name",
    "I4": "a good certificate",
    "I5": "--insecure",
    "I6": "an end without close_notify",
    "I7": "a server without TLS",
    "I8": "a silent server",
    "I10": "a client without TLS",
    "I11": "escapes in a certificate",
    "I13": "keys that cannot be used",
    "J1": "ports that cannot be",
    "J3": "port 0",
    "J4": "hosts that cannot be",
    "J5": "scope ids",
    "J6": "options that contradict each other",
    "J7": "descriptors that cannot be",
    "J9": "times that cannot be",
    "J10": "an address that cannot be bound",
    "J12": "no arguments, unknown commands, --help, --version",
    "K1": "escapes in payload",
    "K2": "escapes and markup in the story",
    "K4": "100 MiB of NUL with a live hex dump",
    "K6": "resets at any offset",
    "K7": "silent clients beside an active one",
    "K8": "two hundred clients that dribble",
    "K10": "what a child program inherits",
    "K12": "a bare serve is for this host only",
    "L1": "values equal getsockopt's",
    "L2": "processes that come and go",
    "L3": "another user's process",
    "L4": "pids that cannot be",
    "L5": "a pending error stays pending",
    "L8": "a lent descriptor still works",
    "L11": "odd names of processes",
    "L12": "descriptors that are no sockets",
    "L13": "ten thousand sockets",
    "L14": "queued clients stay queued",
    "M1": "the Linux Test Project's table",
    "M2": "the whole space",
    "M3": "a hundred thousand creations",
    "M6": "a false declaration is flagged",
    "M7": "an adopted descriptor stays open",
    "M9": "flags of the type",
    "M10": "nothing is cut in a pipe",
    "M11": "an unprivileged user",
    "M12": "a sweep leaves no trace",
    "M14": "an interrupted sweep",
    "N1": "ASCII locales",
    "N2": "colour only where it is wanted",
    "N5": "SIGKILL while capturing",
    "N6": "a large write captured",
    "N7": "dumps that can be read back",
    "N9": "the mode of a capture",
}

PENDING: dict[str, str] = {}
"""Cases without a test, and why. A row whose case has a test by now may go."""

TESTS = Path(__file__).parent.parent


def named() -> dict[str, list[str]]:
    """The cases that tests are named after, each with its tests."""
    found: dict[str, list[str]] = {}
    for path in TESTS.glob("**/test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (match := re.match(r"test_((?:[a-n]\d+_)+)", node.name)):
                for case in match[1].upper().strip("_").split("_"):
                    found.setdefault(case, []).append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def test_each_case_has_a_test_or_a_reason() -> None:
    tested = named()
    assert {case: what for case, what in CASES.items() if case not in tested and case not in PENDING} == {}


def test_names_are_those_of_cases() -> None:
    assert {case: tests for case, tests in named().items() if case not in CASES} == {}
    assert PENDING.keys() <= CASES.keys()
