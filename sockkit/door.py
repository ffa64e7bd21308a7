"""The door of a server: who is let in, how many of one peer at once, and for how long nobody need come.

The kernel completes a connection before accept(2) tells who it is with, so a peer that is refused has been accepted: nothing is read of
it or sent to it, and it is reset. Datagrams of a peer that is refused are dropped. Each refusal is said, but no more than
``LINES_A_SECOND``; the others are counted, and the count is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from socket import socket
from typing import NamedTuple

from sockkit import access, syscalls
from sockkit.access import Network, Rule, Rules
from sockkit.addresses import format_address, packed
from sockkit.errors import UsageError, describe
from sockkit.events import Denied, Env, Level, Note
from sockkit.loop import Loop, Timer
from sockkit.text import quoted

LINES_A_SECOND = 10
LARGEST = 64 << 20
"""Bytes of a file of rules: about three million networks."""
AF_UNIX = 1
UNKNOWN = "(unknown)"


class Limits(NamedTuple):
    """What was asked for.

    Attributes:
        rules: who may come; None: everybody.
        per_peer: connections of one peer at once, or None.
        patience: seconds for which nobody need come, or None.
    """

    rules: Rules | None
    per_peer: int | None
    patience: float | None


def rules(given: Sequence[tuple[str, str, bool]], files: Sequence[tuple[str, str, bool]]) -> Rules | None:
    """All rules, or None without any.

    Args:
        given: (text as typed, option, whether it allows).
        files: (path, option, whether it allows).

    Raises:
        UsageError: what is no rule, a file that cannot be read, an allowance that a denial takes back.
    """
    if not given and not files:
        return None
    found = Rules()
    for text, option, allow in given:
        words = access.words(text)
        if not words:
            raise UsageError(f"{quoted(text)} is not {access.SYNTAX}", option=option)
        for word in words:
            found.add(Rule(word, option), allow=allow)
    for path, option, allow in files:
        count = 0
        for number, line in enumerate(_lines(path, option), 1):
            for word in access.words(line.partition("#")[0]):
                found.add(Rule(word, option, f"{path}:{number}"), allow=allow)
                count += 1
        if allow and not count:
            raise UsageError(f"{quoted(path)} has no rule: it would let nobody in", option=option)
    found.check()
    return found


def _lines(path: str, option: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{quoted(path)} cannot be read: {describe(error)}", option=option) from error
    if len(text) > LARGEST:
        raise UsageError(f"{quoted(path)} is no list of rules: it has more than {LARGEST >> 20} MiB", option=option)
    return text.splitlines()


def check(limits: Limits, family: int | None, connections: bool) -> None:
    """Raises UsageError where rules, or a count by peer, mean nothing for a socket of this family."""
    rule = None
    if limits.rules is not None:
        sides = (limits.rules.allow, limits.rules.deny)
        rule = next((side.rules[0] for side in sides if side.rules), None)
        if family == AF_UNIX:
            foreign = next((found for side in sides if (found := side.about_addresses())), None)
            if foreign is not None:
                raise foreign.error(
                    f"{quoted(foreign.text)}: peers of a Unix socket have no address: uid:N or user:NAME does"
                )
        elif family in syscalls.INTERNET:
            foreign = next((found for side in sides if (found := side.about_users())), None)
            if foreign is not None:
                raise foreign.error(f"{quoted(foreign.text)}: only over a Unix socket (-U) is the peer's user known")
    flag = rule.option if rule is not None else "--max-conns-per-peer" if limits.per_peer is not None else None
    if flag is None:
        return
    if family != AF_UNIX and family not in syscalls.INTERNET:
        raise UsageError("it knows peers of IPv4, IPv6 and Unix sockets only", option=flag)
    if family == AF_UNIX and not connections:
        raise UsageError("a Unix datagram does not say whose it is: use a stream, without -u", option=flag)
    if family == AF_UNIX and syscalls.SO_PEERCRED is None:
        raise UsageError("this platform does not tell the user at the other end of a Unix socket", option=flag)
    if limits.per_peer is not None and not connections:
        raise UsageError("datagrams have no connections to count: leave it out", option="--max-conns-per-peer")


def resolve(env: Env, found: Rules, look_up: Callable[[str], Sequence[tuple[int, object]]]) -> None:
    """Ask once for what names stand for, and say it.

    Args:
        look_up: a name to (family, address) of each address that it has.

    Raises:
        what ``look_up`` raises.
    """
    for side in (found.allow, found.deny):
        for host, rule in side.names:
            addresses = []
            for family, address in look_up(host):
                ip = packed(family, address)
                if ip is not None:
                    side.insert(Network(len(ip) * 8, len(ip) * 8, int.from_bytes(ip)), rule)
                    addresses.append(format_address(family, address).rpartition(":")[0])
            text = f"{rule}: {', '.join(dict.fromkeys(addresses))} (asked once, now)"
            env.observer(Note(env.clock(), 0, Level.INFO, text))


def unreachable(found: Rules, family: int, *, v6_only: bool) -> str | None:
    """Says so where what is allowed can be no peer of such a socket."""
    if not found.only or family == AF_UNIX:
        return None
    bits = [32] if family == 2 else [128] if v6_only else [32, 128]
    if any(found.allow.has(each) for each in bits):
        return None
    return (
        f"nobody can come: no --allow is for {'IPv4' if family == 2 else 'IPv6'} peers, and this socket has no others"
    )


class Door:
    """Of one run of a server. Without limits there is no door: then accepting costs nothing more.

    Attributes:
        denied: how many peers were (of datagrams: how many of these).
        served: how many came in.
    """

    def __init__(self, loop: Loop, family: int, limits: Limits, on_patience: Callable[[], None]) -> None:
        """
        Args:
            family: of the listener.
            on_patience: called when nobody was there for ``limits.patience`` seconds.
        """
        self.denied = self.served = 0
        self._loop = loop
        self._env = loop.env
        self._family = int(family)
        self._limits = limits
        self._on_patience = on_patience
        self._inside: dict[int, object] = {}
        """Who is in, by the number of the session."""
        self._counts: dict[object, int] = {}
        self._key: object = None
        self._timer: Timer | None = None
        self._window = -1.0
        self._told = 0
        self._more = 0
        self._why: set[str] = set()
        self._how = ""
        self._flush: Timer | None = None

    # ---- who may come

    def admits(self, sock: socket, address: syscalls.Address) -> bool:
        """Judge whom accept(2) returned. False: refused, reset and said."""
        uid = ip = None
        if self._family == AF_UNIX:
            uid, pid = syscalls.peer_user(self._env, sock)
            self._key = uid
        else:
            ip = packed(self._family, address)
            # The same link-local address on two links is two hosts.
            self._key = (ip, address[3]) if ip is not None and len(address) > 3 else ip
        limits = self._limits
        why = limits.rules.refusal(ip, uid) if limits.rules is not None else None
        if why is None and limits.per_peer is not None:
            count = self._counts.get(self._key, 0)
            if count >= limits.per_peer:
                why = f"--max-conns-per-peer {limits.per_peer}: it has {count}"
        if why is None:
            return True
        if self._family == AF_UNIX:
            peer, how = f"uid {uid} (pid {pid})" if uid is not None else UNKNOWN, "closed"
        else:
            peer, how = format_address(self._family, address) if ip is not None else UNKNOWN, "reset"
        try:
            syscalls.linger(self._env, sock, 0)
        except OSError:
            how = "closed"  # it is gone already, or the family knows no reset
        syscalls.close(self._env, sock)
        self._tell(peer, why, how)
        return False

    def takes(self, address: syscalls.Address) -> bool:
        """Judge the sender of a datagram. False: dropped and said."""
        if self._limits.rules is None:
            return True
        why = self._limits.rules.refusal(packed(self._family, address))
        if why is None:
            return True
        self._tell(format_address(self._family, address), why, "dropped")
        return False

    # ---- how many, how long

    def enter(self, number: int) -> None:
        """Whom ``admits`` let in last is session ``number`` now."""
        self.served += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._inside[number] = key = self._key
        if self._limits.per_peer is not None:
            self._counts[key] = self._counts.get(key, 0) + 1

    def leave(self, number: int) -> None:
        """A session is over."""
        key = self._inside.pop(number, None)
        count = self._counts.get(key, 0)
        if count > 1:
            self._counts[key] = count - 1
        else:
            self._counts.pop(key, None)
        if not self._inside:
            self.wait()

    def wait(self) -> None:
        """Nobody is in: begin to be patient."""
        patience = self._limits.patience
        if patience is not None and self._timer is None:
            self._timer = self._loop.later(patience, self._on_patience)

    # ---- what is said

    def _tell(self, peer: str, why: str, how: str) -> None:
        self.denied += 1
        now = self._env.clock()
        if now - self._window >= 1 and not self._more:
            self._window, self._told = now, 0
        if self._told < LINES_A_SECOND:
            self._told += 1
            self._env.observer(Denied(now, peer, why, how, 1))
            return
        self._more += 1
        self._how = how
        if len(self._why) < 4:
            self._why.add(why.partition(": it has")[0])
        if self._flush is None:
            self._flush = self._loop.later(max(0.0, self._window + 1 - now), self._sum)

    def _sum(self) -> None:
        """Say how many there were that had no line of their own."""
        if self._more:
            why = "; ".join(sorted(self._why)) if len(self._why) < 4 else "for several reasons"
            self._env.observer(Denied(self._env.clock(), None, why, self._how, self._more))
        self._more = 0
        self._why.clear()
        self._flush = None

    def close(self) -> None:
        """Say what was not said yet."""
        for timer in (self._timer, self._flush):
            if timer is not None:
                timer.cancel()
        self._timer = None
        self._limits = self._limits._replace(patience=None)
        self._sum()
