"""Asks the kernel for a whole space of sockets: ``sweep`` fills a ``Matrix``, and asks for no more than it must.

How it knows without asking. The checks of ``rules`` say what each combination's answer hangs on: the numbers alone, and then facts such
as "AF_CAN is registered" or "this caller has CAP_NET_RAW". Combinations of one family for which all of that is the same are a
*class*: one of it is asked, and the others are answered as it was. An answer also teaches: EAFNOSUPPORT for one combination of AF_CAN
says that the family is not registered, so none of its other classes needs to be asked.

Why to believe it. Of what was inferred, a random hundredth is asked after all; where one answer differs (a filter, a security module, a
kernel that we do not know), its whole family is asked. Asking may load modules, and then answers change: passes are made until one
loads nothing, and the last one's answers count.

One descriptor is open at a time, and none is left, whatever happens. ``KeyboardInterrupt`` ends a sweep early and leaves what was
found, ``complete`` being False.
"""

from __future__ import annotations

import errno
import os
import platform
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from sockkit import names, rules, syscalls
from sockkit.errors import SystemRefusal, errno_name
from sockkit.events import Env, Progress
from sockkit.matrix import OK, Answer, Got, Matrix, Row, Space

BEAT = 0.1
"""Seconds between two tidings of progress."""
OURS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
"""Errnos that say something about this process or machine at this moment, and nothing about the combination."""


SAMPLE = 100
"""One in so many inferred cells is asked after all."""
PASSES = 4
"""Passes at most, should each of them load a module."""
SAME = -1
"""In what a class got: the protocol that was asked for, whichever it is."""


class Wishes(NamedTuple):
    """How to ask.

    Attributes:
        exhaustive: ask for every cell, infer none.
        load: may asking make the kernel load modules; if not, what might load one is left unasked.
    """

    exhaustive: bool = False
    load: bool = True


def modules() -> frozenset[str] | None:
    """The kernel modules that are loaded; None where the kernel has none or does not say."""
    try:
        with open("/proc/modules", encoding="ascii", errors="replace") as file:
            return frozenset(line.partition(" ")[0] for line in file)
    except OSError:
        return None


CAPABILITIES = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW", 21: "CAP_SYS_ADMIN"}
"""Those that socket(2) asks for, by number (include/uapi/linux/capability.h)."""


def _status() -> dict[str, str]:
    """/proc/self/status."""
    try:
        with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
            return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def capabilities() -> list[str]:
    """Those of ``CAPABILITIES`` that this process may use."""
    effective = int(_status().get("CapEff", "0"), 16)
    return [name for bit, name in CAPABILITIES.items() if effective >> bit & 1]


def _user() -> str | None:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError, AttributeError):
        return None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _container() -> str | None:
    """What kind of container this is, as far as it can be told."""
    if os.path.exists("/run/.containerenv"):
        return "podman"
    if os.path.exists("/.dockerenv"):
        return "docker"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    return _read("/run/systemd/container")


def _namespace() -> str | None:
    """``first`` or ``other``: which network namespace this is. Some settings are the machine's, and shown in its first one only."""
    if not os.path.exists("/proc/sys/net/core"):
        return None
    return "first" if os.path.exists("/proc/sys/net/core/dev_weight") else "other"


def _user_namespace() -> str | None:
    """``first`` or ``other``: in another one, capabilities count for less than their names say (user_namespaces(7))."""
    text = _read("/proc/self/uid_map")
    return None if text is None else "first" if text.split() == ["0", "0", "4294967295"] else "other"


def host() -> dict[str, object]:
    """Who answers: what a difference between two matrices may come from."""
    from sockkit import __version__

    status = _status()
    system = platform.uname()
    return {
        "kernel": system.release,
        "version": system.version,
        "system": system.system,
        "machine": system.machine,
        "platform": sys.platform,
        "user": _user(),
        "uid": os.geteuid() if hasattr(os, "geteuid") else None,
        "capabilities": capabilities(),
        "seccomp": int(status["Seccomp"]) if status.get("Seccomp", "").isdecimal() else None,
        "lsm": _read("/sys/kernel/security/lsm"),
        "confined": _read("/proc/self/attr/current") or None,
        "container": _container(),
        "netns": _namespace(),
        "userns": _user_namespace(),
        "python": platform.python_version(),
        "sockkit": __version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class Asker:
    """Asks for one cell at a time and turns what comes into an ``Answer``; equal answers are one object.

    Attributes:
        asked: how often.
    """

    def __init__(self, env: Env) -> None:
        self._attempt = syscalls.attempter(env)
        self._cache: dict[tuple[str, Got | None], Answer] = {}
        self.asked = 0

    def __call__(self, family: int, type: int, proto: int) -> Answer:
        """Ask.

        Raises:
            SystemRefusal: for want of a descriptor or memory: that would be no answer.
        """
        self.asked += 1
        number, got = self._attempt(family, type, proto)
        if number in OURS:
            asked = f"socket({family}, {type}, {proto})"
            raise SystemRefusal(asked, OSError(number, os.strerror(number)))
        if got is None:
            name = errno_name(number)
            key: tuple[str, Got | None] = (rules.canonical(name) if name else f"E{number}", None)
        else:
            key = (OK, None if got == (family, type, proto) else got)
        answer = self._cache.get(key)
        if answer is None:
            answer = self._cache[key] = Answer(*key)
        return answer


class Group(NamedTuple):
    """Combinations of one family that are answered alike, whatever the kernel has and the caller may.

    Attributes:
        checks: what could refuse them, in the kernel's order.
        cells: (type, first index, end index) into the space's protocols.
    """

    checks: tuple[tuple[rules.Rule, rules.Fact], ...]
    cells: list[tuple[int, int, int]]


def groups(space: Space, family: int) -> list[Group]:
    """The classes of a family within a space: those that may load a module of their own first, so that what they bring is there."""
    found: dict[object, Group] = {}
    stretches = list(_stretches(space.protos, rules.edges(family)))
    for type in space.types:
        base = type & rules.TYPE_MASK
        for begin, end in stretches:
            proto = space.protos[begin]
            checks = rules.checks(rules.Ask(family, type, proto, "", "linux"))
            facts = tuple(rules.alike(fact) for _, fact in checks)
            key: object = facts, len(checks) and checks[-1][0]
            if rules.NEVER not in facts:  # it may be made: then what it becomes depends on its numbers too
                row = rules.known(family, base, proto)
                key = key, type, proto == 0, proto if row is not None and row.proto != rules.ANY else None
            group = found.get(key)
            if group is None:
                group = found[key] = Group(tuple(zip((rule for rule, _ in checks), facts, strict=True)), [])
            group.cells.append((type, begin, end))
    return sorted(found.values(), key=lambda group: -sum(fact.proto >= 0 for _, fact in group.checks))


def _stretches(protos: Sequence[int], edges: frozenset[int]) -> Iterator[tuple[int, int]]:
    """(begin, end) of neighbours between which no check can tell a difference."""
    begin = 0
    for i, (before, proto) in enumerate(pairwise(protos), 1):
        if proto in edges or proto != before + 1:
            yield begin, i
            begin = i
    yield begin, len(protos)


def sweep(space: Space, env: Env, wishes: Wishes | None = None, chance: random.Random | None = None) -> Matrix:
    """Ask for a whole space.

    Args:
        chance: picks what is asked of the inferred.

    Raises:
        SystemRefusal: no descriptor or memory is left.
    """
    wishes = wishes or Wishes()
    begun = time.monotonic()
    loaded = modules()
    matrix = Matrix(space, host())
    work = _Sweep(matrix, env, wishes, chance or random.Random())
    try:
        work.run()
    except KeyboardInterrupt:
        matrix.complete = False
    after = modules()
    matrix.sweep = {
        "exhaustive": wishes.exhaustive,
        "asked": work.ask.asked,
        "inferred": matrix.count(lambda answer: answer.inferred),
        "changed": matrix.count(lambda answer: answer.changed),
        "passes": work.passes,
        "checked": work.checked,
        "distrusted": sorted(work.distrusted),
        "left": work.left,
        "seconds": round(time.monotonic() - begun, 3),
        "modules": None if loaded is None or after is None else sorted(after - loaded),
    }
    return matrix


class _Sweep:
    """The state of one sweep.

    Attributes:
        distrusted: families for which nothing is inferred any more: an answer was not what the rules say.
        checked: how many of the inferred were asked after all.
        left: how many cells were not asked, since that might load a module.
    """

    def __init__(self, matrix: Matrix, env: Env, wishes: Wishes, chance: random.Random) -> None:
        self.matrix = matrix
        self.env = env
        self.ask = Asker(env)
        self.distrusted: set[int] = set()
        self.checked = 0
        self.left = 0
        self.passes = 0
        self._exhaustive = wishes.exhaustive or sys.platform not in ("linux", "android")
        self._present = None if wishes.load else present()
        self._chance = chance
        self._before: dict[tuple[int, int], Row] = {}
        self._beat = 0.0
        self._size = len(matrix.space.types) * len(matrix.space.protos)
        self._total = self._size * len(matrix.space.families)
        self._done = 0
        self._inferred: dict[Answer, Answer] = {}
        """An answer to the same one, marked as inferred."""

    def run(self) -> None:
        """Passes until one loads nothing, then the check; where that finds or loads something, again."""
        while True:
            loaded = modules()
            self._pass()
            self.passes += 1
            if modules() != loaded and self.passes < PASSES:
                continue
            wrong = self._check()
            self.distrusted |= wrong
            if self.passes >= PASSES or (not wrong and modules() == loaded):
                break
        self._tell(self._total, "")

    def _pass(self) -> None:
        matrix, self.left = self.matrix, 0
        before, matrix.rows = matrix.rows, {}
        try:
            for i, family in enumerate(matrix.space.families):
                self._done = i * self._size
                self._tell(self._done, family)
                try:
                    if self._exhaustive or family in self.distrusted:
                        self._ask_all(family)
                    else:
                        self._infer(family)
                finally:
                    self._mark_changes(family, before)
        finally:  # interrupted: what this pass did not come to is as the one before found it
            rows = before | matrix.rows
            matrix.rows = {key: rows[key] for key in sorted(rows, key=self._order)}

    def _order(self, key: tuple[int, int]) -> tuple[int, int]:
        space = self.matrix.space
        return space.families.index(key[0]), space.types.index(key[1])

    def _mark_changes(self, family: int, before: dict[tuple[int, int], Row]) -> None:
        """What an earlier pass was answered otherwise. An interrupted pass leaves the earlier answers where it did not come."""
        for type in self.matrix.space.types:
            old = before.get((family, type))
            if old is None:
                continue
            row = self.matrix.row(family, type)
            if row == old:  # mostly: and mostly they are the same objects
                continue
            for i, (was, now) in enumerate(zip(old, row, strict=True)):
                if now is None:
                    row[i] = was
                elif was is not None and (was.changed or was.same != now.same):
                    row[i] = now._replace(changed=True)

    def _tell(self, done: int, what: object) -> None:
        now = self.env.clock()
        if now - self._beat >= BEAT or done == self._total:
            self._beat = now
            name = names.FAMILIES.name(what) if isinstance(what, int) else None
            self.env.observer(Progress(now, done, self._total, name or str(what)))

    def _ask_all(self, family: int) -> None:
        done = self._done
        protos = self.matrix.space.protos
        present = self._present
        for type in self.matrix.space.types:
            row = self.matrix.row(family, type)
            for i, proto in enumerate(protos):
                if present is not None and not present.safe(family, type, proto):
                    self.left += 1
                    continue
                row[i] = self.ask(family, type, proto)
                if not i & 15:
                    self._tell(done + i, family)
            done += len(protos)

    def _infer(self, family: int) -> None:
        """One of each class, unless what is known already decides it."""
        known: dict[rules.Fact, tuple[bool, Answer | None]] = {}
        for group in groups(self.matrix.space, family):
            answer = next(
                (
                    refusal
                    for _, fact in group.checks
                    for holds, refusal in (known.get(fact, (True, None)),)
                    if not holds
                ),
                None,
            )
            asked = None
            if answer is None:
                asked = self._representative(family, group)
                if asked is None:
                    self.left += sum(end - begin for _, begin, end in group.cells)
                    continue
                type, i = asked
                proto = self.matrix.space.protos[i]
                answer = self.ask(family, type, proto)
                if not self._learn(family, group, answer, known):
                    self.distrusted.add(family)
                    return self._ask_all(family)
                self.matrix.row(family, type)[i] = answer
                if answer.got is not None and answer.got[2] == proto and proto:
                    answer = answer._replace(got=(*answer.got[:2], SAME))
            self._fill(family, group, answer, asked)
        return None

    def _representative(self, family: int, group: Group) -> tuple[int, int] | None:
        """The one cell of a class that is asked: the first that may be."""
        for type, begin, _ in group.cells:
            if self._present is None or self._present.safe(family, type, self.matrix.space.protos[begin]):
                return type, begin
        return None

    def _learn(
        self, family: int, group: Group, answer: Answer, known: dict[rules.Fact, tuple[bool, Answer | None]]
    ) -> bool:
        """What an answer says of the facts. False if the rules cannot explain it."""
        if answer.ok:
            if any(fact is rules.NEVER for _, fact in group.checks):
                return False
            known.update(dict.fromkeys((fact for _, fact in group.checks), (True, None)))
            return family in rules.CREATE
        refusing = [i for i, (rule, _) in enumerate(group.checks) if answer.outcome in rule.errnos]
        if not refusing:
            return False
        if len(refusing) == 1:
            last = refusing[0]
            known.update(dict.fromkeys((fact for _, fact in group.checks[:last]), (True, None)))
            if group.checks[last][1] is not rules.NEVER:
                known[group.checks[last][1]] = (False, answer)
        return True

    def _fill(self, family: int, group: Group, answer: Answer, asked: tuple[int, int] | None) -> None:
        """Answer the whole class as the one that was asked."""
        same = answer.got is not None and answer.got[2] == SAME
        whole = self._inferred.get(answer)
        if whole is None:
            whole = self._inferred[answer] = answer._replace(inferred=True)
        for type, begin, end in group.cells:
            row = self.matrix.row(family, type)
            if same:
                domain, kind, _ = answer.got or (None, None, None)
                for i in range(begin, end):
                    row[i] = Answer(answer.outcome, (domain, kind, self.matrix.space.protos[i]), True)
            elif asked is None or asked[0] != type:
                row[begin:end] = [whole] * (end - begin)
            else:
                kept = asked[1]
                for i in range(begin, end):
                    if i != kept:
                        row[i] = whole

    def _check(self) -> set[int]:
        """Ask a random hundredth of the inferred; the families of those that were answered otherwise."""
        rows, protos = list(self.matrix.rows.items()), self.matrix.space.protos
        wanted = -(-self.matrix.count(lambda answer: answer.inferred) // SAMPLE)
        places = len(rows) * len(protos)
        seen: set[int] = set()
        wrong: set[int] = set()
        while wanted and len(seen) < places:
            place = self._chance.randrange(places)
            if place in seen:
                continue
            seen.add(place)
            (family, type), row = rows[place // len(protos)]
            i = place % len(protos)
            believed = row[i]
            if believed is None or not believed.inferred:
                continue
            wanted -= 1
            if family in wrong or (self._present is not None and not self._present.safe(family, type, protos[i])):
                continue
            self._tell(self._total - 1, "asking again")
            self.checked += 1
            if self.ask(family, type, protos[i]).same != believed.same:
                wrong.add(family)
        return wrong


# ---- what is there already


class Present:
    """What can be asked for without making the kernel load a module.

    Args:
        world: what the kernel's tables say to be registered.
        aliases: what modprobe can load by the names that the kernel asks for (``net-pf-29``); None where that is not known.
    """

    def __init__(self, world: rules.World, aliases: frozenset[str] | None) -> None:
        self._world = world
        self._aliases = aliases

    def safe(self, family: int, type: int, proto: int) -> bool:
        """Nothing that this combination hangs on is missing and to be loaded, as far as it can be told."""
        ask = rules.Ask(family, type, proto, "", "linux")
        return all(self._world.holds(fact) or not self._loadable(rule.module(ask)) for rule, fact in rules.checks(ask))

    def _loadable(self, module: str | None) -> bool:
        if module is None:
            return False
        # First with the type, then without: inet_create, net/ipv4/af_inet.c.
        return self._aliases is None or not self._aliases.isdisjoint((module, module.partition("-type-")[0]))


def present() -> Present | None:
    """See ``Present``; None where the kernel cannot load modules, so that asking is always safe."""
    if modules() is None or _read("/proc/sys/kernel/modprobe") == "":
        return None
    return Present(rules.World(registered(), ()), aliases(f"/lib/modules/{platform.release()}/modules.alias"))


def aliases(
    path: str, directories: Sequence[str] = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
) -> frozenset[str] | None:
    """The names that modprobe knows: modules.alias, and modprobe.d in each of the directories (modprobe.d(5))."""
    texts = [_read(path)]
    if texts[0] is None:
        return None
    for directory in directories:
        folder = os.path.join(directory, "modprobe.d")
        try:
            texts += [_read(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith(".conf")]
        except OSError:
            continue
    lines = (line.split() for text in texts for line in (text or "").splitlines())
    return frozenset(words[1] for words in lines if len(words) > 2 and words[0] in ("alias", "install"))


def registered() -> frozenset[tuple[int, int, int]]:
    """What the kernel's tables tell to be registered: /proc/net/protocols, /proc/net/netlink, /proc/modules."""
    protocols = [line.split()[0] for line in (_read("/proc/net/protocols") or "").splitlines()[1:]]
    netlink = [line.split()[:3] for line in (_read("/proc/net/netlink") or "").splitlines()[1:]]
    own = [int(row[1]) for row in netlink if row[2] == "0"]  # of the kernel itself: port 0
    return rules.told(protocols, own, modules() or ())
