"""The rules as a predictor: told what a kernel has registered and what the caller may, they give its answer to every combination.

Judged by what real kernels answered (the shipped matrices), and live by this host's kernel and the kernel lab's.
"""

from __future__ import annotations

import json
import os
import platform
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from sockkit import matrix, rules, sweep, syscalls
from sockkit.errors import errno_name
from sockkit.matrix import OK, Matrix, Space
from sockkit.sweep import Wishes
from tests import lab
from tests.harness import needs_linux, run
from tests.predictor import BECOME_NOBODY, ROOT, SETTINGS, ping_allowed, registered, world

RECORDED = [(kernel, user) for kernel in ("firecracker-6.18", "debian-12") for user in ("root", "nobody")]
WHOLE = Space(range(47), range(12), range(263))


@cache
def recorded(kernel: str, user: str) -> Matrix:
    found = matrix.load(f"{kernel}-{user}")
    assert found.complete and found.sweep["inferred"] == 0 and found.sweep["left"] == 0
    assert found.host["user"] == user
    return found


def predicted(family: int, type: int, proto: int, told: rules.World) -> str:
    rule = rules.predict(family, type, proto, told)
    return OK if rule is None else rule.errnos[0]


# ---- what was recorded


@pytest.mark.once
@pytest.mark.parametrize(("kernel", "user"), RECORDED)
def test_every_cell_is_predicted(kernel: str, user: str) -> None:
    """100 % of the whole space."""
    told = world(kernel, user)
    cells = 0
    for family, type, proto, answer in recorded(kernel, user).cells():
        assert predicted(family, type, proto, told) == answer.outcome, (family, type, proto)
        cells += 1
    assert cells == 47 * 12 * 263


@pytest.mark.parametrize(("kernel", "user"), RECORDED)
def test_where_answers_change_they_are_predicted(kernel: str, user: str) -> None:
    """The same at both ends of each run of equal answers and in its middle, which takes no time: it runs everywhere."""
    told = world(kernel, user)
    for family, type, first, last, answer in recorded(kernel, user).runs():
        for proto in {first, (first + last) // 2, last}:
            assert predicted(family, type, proto, told) == answer.outcome, (family, type, proto)


@pytest.mark.parametrize(("kernel", "user"), RECORDED)
def test_an_explanation_names_the_check_that_was_predicted(kernel: str, user: str) -> None:
    """``why`` is told the errno, ``predict`` is not: both must name a check of the same kind."""
    told, allowed = world(kernel, user), ROOT if user == "root" else ()
    for family, type, first, _, answer in recorded(kernel, user).runs():
        rule = rules.predict(family, type, first, told)
        why = rules.why(family, type, first, answer.outcome, "linux", allowed)
        assert (rule is None) == answer.ok
        if rule is not None:
            assert why is not None and why.source and why.text, (family, type, first)
            assert why.rule not in ("guard", "value"), (family, type, first, why)


def test_prediction_is_told_no_answer() -> None:
    """What it is told are registrations, in files that have no errno in them."""
    for kernel in ("firecracker-6.18", "debian-12"):
        text = Path(__file__).with_name("registered").joinpath(f"{kernel}.txt").read_text()
        rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
        assert len(rows) > 25 and all(len(row) == 3 for row in rows)
        assert "E" not in "".join(word for row in rows for word in row)


# ---- each row matters


CHECKS = rules.CHECKS


class Bent(NamedTuple):
    """The rules with one of them changed."""

    rule: rules.Rule
    how: str
    changed: rules.Rule | None


def bent() -> Iterator[Bent]:
    for rule in CHECKS:
        yield Bent(rule, "answers otherwise", rule._replace(errnos=("EXDEV",)))
        yield Bent(rule, "is gone", None)


MPTCP_OFF = SETTINGS - {"MPTCP enabled"}
BEYOND: tuple[tuple[tuple[int, int, int], frozenset[str], str], ...] = (
    ((1, 0x21, 0), SETTINGS, "EINVAL"),
    ((2, 1, 263), SETTINGS, "EINVAL"),
    ((10, 1, 263), SETTINGS, "EINVAL"),
    ((2, 1, 262), MPTCP_OFF, "ENOPROTOOPT"),
    ((10, 1, 262), MPTCP_OFF, "ENOPROTOOPT"),
)
"""What the space 47 x 12 x 263 never meets: combination, what the caller has, and the answer. Asked for live by
``test_checks_beyond_the_space`` and ``test_settings_decide``."""
UNJUDGED = {rules.X25, rules.CAIF, rules.MCTP}
"""Families that neither kernel has: their rows are read in the source, and no answer here judges them."""


def shadowed(rule: rules.Rule, how: str) -> str | None:
    """Why the recorded answers cannot tell that a row is changed; None where they must."""
    if rule.family in UNJUDGED:
        return "no kernel here has it"
    of_later_kernels = {(rules.INET, (256,)), (rules.INET6, (256,)), (rules.BLUETOOTH, (8,))}
    if rule.name == "protocol range" and (rule.family, rule.edges) in of_later_kernels:
        return "both kernels are later than 5.6, which has protocols above 255, and than 6.0, which has Bluetooth's 8"
    if (rule.name, rule.family) == ("protocol registered", rules.NFC):
        return "both of NFC's protocols come with the family"
    if (rule.name, rule.family) == ("protocol registered", rules.PHONET):
        return "all of Phonet is loaded there; see test_phonet_without_its_pipes"
    if how == "is gone" and (rule.name, rule.family) == ("protocol range", rules.NETLINK):
        return "what is out of range is not registered either, which is the same errno"
    return None


@pytest.mark.once
@pytest.mark.timeout(600)
def test_no_row_can_change_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row in turn answers with another errno, or is gone: then some recorded cell is not predicted any more."""
    unseen = []
    for rule, how, changed in list(bent()):
        rows = [changed if row is rule else row for row in CHECKS]
        monkeypatch.setattr(rules, "CHECKS", tuple(row for row in rows if row is not None))
        monkeypatch.setattr(rules, "_OF_FAMILY", {})
        seen = any(not agrees(kernel, user, rule) for kernel, user in RECORDED) or any(
            predicted(*ask, rules.World(registered("debian-12"), allowed)) != answer for ask, allowed, answer in BEYOND
        )
        reason = shadowed(rule, how)
        if not seen and reason is None:
            unseen.append((rule.name, rule.family, how))
        assert not (seen and reason), (rule.name, rule.family, how, reason)
    assert not unseen


def agrees(kernel: str, user: str, rule: rules.Rule) -> bool:
    """Is every recorded cell that this row could matter to still predicted."""
    told = world(kernel, user)
    for family, type, first, last, answer in recorded(kernel, user).runs():
        maker = rules.Ask(family, type, 0, "", "linux").maker
        if rule.family not in (rules.ANY, maker):
            continue
        for proto in {first, last}:
            if predicted(family, type, proto, told) != answer.outcome:
                return False
    return True


# ---- between two edges no check can tell a difference


@pytest.mark.once
def test_classes_are_what_the_checks_say() -> None:
    """A class is made from its ends: here each of its cells is looked at."""
    for family in WHOLE.families:
        seen = 0
        for group in sweep.groups(WHOLE, family):
            for type, begin, end in group.cells:
                for proto in range(begin, end):
                    checks = rules.checks(rules.Ask(family, type, proto, "", "linux"))
                    assert [(r, rules.alike(fact)) for r, fact in checks] == list(group.checks), (family, type, proto)
                seen += end - begin
        assert seen == 12 * 263


# ---- live


def asked(family: int, type: int, proto: int) -> str:
    try:
        socket.socket(family, type, proto).close()
        return OK
    except OSError as error:
        return rules.canonical(errno_name(error.errno) or "")


def live_world(user: str) -> rules.World:
    """This kernel's: from the file that was kept for it, else from its tables."""
    kept = {"6.18.44-fc-v669": "firecracker-6.18", "6.1.0-56-amd64": "debian-12"}.get(platform.release())
    rows = registered(kept) if kept else sweep.registered()
    allowed = SETTINGS | (ROOT if user == "root" else frozenset()) | ({"ping group"} if ping_allowed() else set())
    return rules.World(rows, allowed)


def as_nobody(code: str, timeout: int = 300) -> str:
    if os.geteuid() != 0:
        pytest.skip("CANNOT: only root can become nobody")
    command = [sys.executable, "-c", BECOME_NOBODY + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=lab.ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


EXHAUSTIVE = """
import json
space_ = matrix.Space(range(47), range(12), range(263))
whole = sweep.sweep(space_, syscalls.QUIET, sweep.Wishes(exhaustive=True))
quick = sweep.sweep(space_, syscalls.QUIET)
print(json.dumps([matrix.document(whole), matrix.document(quick)]))
"""


def both(user: str) -> tuple[Matrix, Matrix]:
    """The whole space, each cell asked for, and with what can be inferred."""
    if user == "nobody":
        whole, quick = map(matrix.from_document, json.loads(as_nobody(EXHAUSTIVE)))
        return whole, quick
    if os.geteuid() != 0:
        pytest.skip("CANNOT: not root")
    return sweep.sweep(WHOLE, syscalls.QUIET, Wishes(exhaustive=True)), sweep.sweep(WHOLE, syscalls.QUIET)


def judge(user: str) -> None:
    """By the kernel that runs: each cell is predicted, and what is inferred is what is asked, cell for cell."""
    open_before = os.listdir("/proc/self/fd")
    whole, quick = both(user)
    assert len(os.listdir("/proc/self/fd")) == len(open_before), "a descriptor was left"
    told = live_world(user)
    assert whole.sweep["asked"] == 47 * 12 * 263 and quick.sweep["distrusted"] == []
    assert isinstance(quick.sweep["asked"], int) and quick.sweep["asked"] < 3000
    for one, other in zip(whole.cells(), quick.cells(), strict=True):
        assert one[:3] == other[:3] and one.answer.same == other.answer.same, (one, other)
        assert predicted(*one[:3], told) == one.answer.outcome, one


def no_modules() -> None:
    if sys.platform != "linux":
        pytest.skip("CANNOT: these are Linux's rules")
    if Path("/proc/modules").exists():
        pytest.skip(
            "CANNOT: this kernel loads modules: each cell takes 14 ms or more, 148,332 of them a quarter of an hour"
        )


@pytest.mark.once
@pytest.mark.timeout(300)
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_this_kernel_is_predicted_and_inferred(user: str) -> None:
    no_modules()
    judge(user)


@pytest.mark.lab
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_the_labs_kernel_is_predicted_and_inferred(user: str) -> None:
    """With all modules loaded, and none to come."""
    lab.load_everything()
    try:
        judge(user)
    finally:
        lab.no_more_modules(False)


# ---- what the space never meets


@needs_linux
@pytest.mark.parametrize(
    "type", [0x21, 1 | rules.NONBLOCK, 2 | rules.CLOEXEC | rules.NONBLOCK, 15, 0x10 | rules.NONBLOCK]
)
@pytest.mark.parametrize("proto", [0, 6, 262, 263, 300])
@pytest.mark.parametrize("family", [1, 2, 10, 16, 46, 47, 300])
def test_checks_beyond_the_space(family: int, type: int, proto: int) -> None:
    told = live_world("nobody")
    assert predicted(family, type, proto, told) == asked(family, type, proto)


MPTCP = """
import socket
open("/proc/sys/net/mptcp/enabled", "w").write("0")
open("/proc/sys/net/ipv4/ping_group_range", "w").write("0 2147483647")
for family, type, proto in ((2, 1, 262), (10, 1, 262), (2, 2, 1), (10, 2, 58)):
    try:
        socket.socket(family, type, proto).close()
        print("ok")
    except OSError as error:
        import errno; print(errno.errorcode[error.errno])
"""


@needs_linux
def test_settings_decide() -> None:
    """MPTCP is switched off, and everybody may make ping sockets, in a network namespace of its own."""
    command = ["unshare", "--net", sys.executable, "-c", MPTCP]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr or "No such file" in done.stderr:
        pytest.skip("CANNOT: no network namespace, or no MPTCP")
    told = rules.World(registered("firecracker-6.18"), {"ping group", "protocols above 255"})
    expected = [predicted(*ask, told) for ask in ((2, 1, 262), (10, 1, 262), (2, 2, 1), (10, 2, 58))]
    assert done.stdout.split() == expected == ["ENOPROTOOPT", "ENOPROTOOPT", "ok", "ok"]


# ---- where the rules do not hold

SECCOMP = """
import ctypes, json, platform, struct
def filtered(argument, at_least, errno):
    "Refuse socket(AF_UNIX, ...) whose given argument is not below a number: a filter that no rule of the kernel knows."
    call = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    code = [(0x20, 0, 0, 0), (0x15, 0, 6, call), (0x20, 0, 0, 16), (0x15, 0, 4, 1), (0x20, 0, 0, 16 + 8 * argument),
            (0x54, 0, 0, 0xFFF & ~0x800), (0x35, 0, 1, at_least), (0x06, 0, 0, 0x50000 | errno), (0x06, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in code))
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    if libc.prctl(22, 2, ctypes.byref(Program(len(code), ctypes.addressof(program)))):
        raise SystemExit("no seccomp")
from sockkit import matrix, sweep, syscalls
space = matrix.Space((1, 2, 40), range(12), range(263))
filtered(ARGUMENTS)
quick = sweep.sweep(space, syscalls.QUIET)
whole = sweep.sweep(space, syscalls.QUIET, sweep.Wishes(exhaustive=True))
same = all(a[:3] == b[:3] and a.answer.same == b.answer.same for a, b in zip(quick.cells(), whole.cells(), strict=True))
print(json.dumps([quick.sweep, whole.sweep, same, sorted({c.answer.outcome for c in whole.cells() if c.family == 1})]))
"""


@needs_linux
@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        ("1, 99, 1", None),  # never met
        ("2, 100, 38", "ENOSYS"),  # within a class: only the random hundredth can find it
        ("1, 5, 1", "EPERM"),  # a type that a filter forbids: no rule explains it
    ],
)
def test_a_filter_makes_its_family_be_asked(arguments: str, outcome: str | None) -> None:
    code = SECCOMP.replace("ARGUMENTS", arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=lab.ROOT)
    if "no seccomp" in done.stderr:
        pytest.skip("CANNOT: this kernel has no seccomp filters")
    assert done.returncode == 0, done.stderr
    quick, whole, same, outcomes = json.loads(done.stdout)
    assert same
    assert quick["distrusted"] == ([] if outcome is None else [1])
    assert outcome is None or outcome in outcomes
    assert whole["inferred"] == 0 < quick["inferred"] <= whole["asked"]


# ---- answers that depend on what is loaded


@pytest.mark.lab
def test_what_changes_while_modules_are_loaded_is_settled_and_marked() -> None:
    """(AX25, SEQPACKET, 1 and 207) work until ROSE and NET/ROM are loaded, which this sweep does; that is after AX.25."""
    for module in ("rose", "netrom"):
        subprocess.run(["rmmod", module], check=False)
    document = json.loads(
        run("probe", "--json", "--family", "3,6,11", "--type", "all", "--proto", "all", timeout=200).out
    )
    assert {"rose", "netrom"} <= set(document["sweep"]["modules"])
    whole = matrix.from_document(document)
    changed = {cell[:3] for cell in whole.cells() if cell.answer.changed}
    assert changed == {(3, 5, 1), (3, 5, 207)}
    for cell in changed:
        answer = whole.at(*cell)
        assert answer is not None and answer.outcome == "ESOCKTNOSUPPORT" == asked(*cell)


@pytest.mark.lab
@pytest.mark.timeout(4000)
def test_the_labs_kernel_cold(tmp_path: Path) -> None:
    """On demand: from a fresh boot, what is inferred is what a loop over every cell finds afterwards. It takes half an hour."""
    if os.environ.get("SOCKKIT_LAB_COLD") != "1":
        pytest.skip("on demand: SOCKKIT_LAB_COLD=1 python -m tests.lab tests/test_predictor.py -k cold")
    quick = sweep.sweep(WHOLE, syscalls.QUIET)
    assert quick.sweep["modules"], "this was no fresh boot"
    for family, type, proto, answer in quick.cells():
        assert asked(family, type, proto) == answer.outcome, (family, type, proto)


@pytest.mark.lab
def test_phonet_without_its_pipes() -> None:
    subprocess.run(["modprobe", "phonet"], check=True)
    subprocess.run(["rmmod", "pn_pep"], check=False, capture_output=True)
    lab.no_more_modules(True)
    try:
        told = rules.World(registered("debian-12") - {(rules.PHONET, rules.SEQPACKET, 2)}, SETTINGS | ROOT)
        answers = {(type, proto): asked(rules.PHONET, type, proto) for type in range(12) for proto in range(20)}
        assert answers[5, 2] == answers[5, 0] == "EPROTONOSUPPORT" and answers[2, 0] == OK
        for (type, proto), answer in answers.items():
            assert predicted(rules.PHONET, type, proto, told) == answer, (type, proto)
    finally:
        lab.no_more_modules(False)


@pytest.mark.lab
def test_nothing_is_loaded_if_so_wished() -> None:
    families = {"appletalk": 5, "af_key": 15, "llc2": 26, "phonet": 35, "kcm": 41}
    for module in families:
        subprocess.run(["rmmod", module], check=False, capture_output=True)
    before = sweep.modules()
    assert before is not None
    gone = [family for module, family in families.items() if module not in before]
    assert gone
    document = json.loads(run("probe", "--all", "--no-load", "--json", timeout=200).out)
    assert sweep.modules() == before
    assert document["sweep"]["modules"] == [] and document["sweep"]["left"] > 0
    whole = matrix.from_document(document)
    assert whole.at(2, 1, 6) == matrix.Answer(OK, None, False) or whole.at(2, 1, 6) == matrix.Answer(OK, None, True)
    for family in gone:
        assert not whole.working(family) and whole.at(family, 2, 0) is None, "it is not there, and asking would load it"


def test_what_modprobe_could_load_is_left_alone(tmp_path: Path) -> None:
    """By the tables and modprobe's files: what no module is known for can be asked."""
    (tmp_path / "modules.alias").write_text("# comment\nalias net-pf-29 can\nalias net-pf-2-proto-132 sctp\n")
    (tmp_path / "etc" / "modprobe.d").mkdir(parents=True)
    (tmp_path / "etc" / "modprobe.d" / "local.conf").write_text("install net-pf-30 /bin/false\noptions can x=1\n")
    (tmp_path / "etc" / "modprobe.d" / "ignored").write_text("alias net-pf-31 bluetooth\n")
    found = sweep.aliases(str(tmp_path / "modules.alias"), [str(tmp_path / "etc"), str(tmp_path / "none")])
    assert found == frozenset(("net-pf-29", "net-pf-2-proto-132", "net-pf-30"))
    assert sweep.aliases(str(tmp_path / "none"), [str(tmp_path / "etc")]) is None
    told = rules.World(registered("firecracker-6.18"), ())
    known, unknown = sweep.Present(told, found), sweep.Present(told, None)
    for cell, by_aliases, without in (
        ((2, 1, 6), True, True),  # registered
        ((1, 4, 9), True, True),  # the code of a family that is there decides
        ((29, 3, 1), False, False),
        ((30, 1, 0), False, False),
        ((31, 1, 0), True, False),  # not there, and nothing could be loaded
        ((2, 1, 132), False, False),
        ((2, 5, 132), False, False),
        ((2, 1, 99), True, False),
        ((2, 3, 0), True, False),
    ):
        assert (known.safe(*cell), unknown.safe(*cell)) == (by_aliases, without), cell


def test_the_sample_is_random_and_a_hundredth() -> None:
    space = Space((1,), range(11), range(263))
    found = sweep.sweep(space, syscalls.QUIET, chance=random.Random(1))
    if sys.platform != "linux":
        pytest.skip("CANNOT: elsewhere every cell is asked")
    inferred = found.sweep["inferred"]
    assert isinstance(inferred, int) and inferred > 2800
    assert found.sweep["checked"] == -(-inferred // 100)
