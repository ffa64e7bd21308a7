"""Who may come: rules of ``--allow`` and ``--deny``, parsed and applied. Pure: no socket, no name server, no file is touched here.

A rule is a host, a network or a range of hosts of IPv4 or IPv6, a host name (to be resolved once, by whoever has a resolver), or
one or several Unix users. Networks are kept by the length of their prefix: a decision takes as many look-ups as there are lengths, at
most 33 for IPv4 and 129 for IPv6, whether there are ten rules or a hundred thousand.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import NamedTuple

from sockkit.errors import UsageError
from sockkit.text import escape, quoted

MOST_UID = 2**32 - 2
"""(uid_t) -1 stands for nobody at all: chown(2), setreuid(2)."""
SYNTAX = (
    "a host, a network such as 192.0.2.0/24 or 2001:db8::/32, a range such as 192.0.2.10-20, a name, uid:N or user:NAME"
)
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class Rule(NamedTuple):
    """One rule as it was given."""

    text: str
    option: str
    where: str = ""
    """``FILE:LINE``, where it stands in a file."""

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return escape(f"{self.option} {self.text}{place}", backslash=False)

    def error(self, message: str) -> UsageError:
        """What is wrong with it, where it stands."""
        place = escape(f"{self.where}: ", backslash=False) if self.where else ""
        return UsageError(place + message, option=self.option)


class Network(NamedTuple):
    """The addresses whose first ``length`` bits are ``prefix``."""

    bits: int
    """32 or 128."""
    length: int
    prefix: int


class Users(NamedTuple):
    """Unix users by their numbers, both ends included."""

    first: int
    last: int


class Name(NamedTuple):
    """A host name: what it stands for has to be asked."""

    host: str


Meaning = Network | Users | Name


def words(text: str) -> list[str]:
    """The rules within one value or one line of a file: separated by commas or blanks."""
    return text.replace(",", " ").split()


def parse(rule: Rule) -> list[Meaning]:
    """What a rule means. A range of hosts is the networks that it consists of.

    Raises:
        UsageError: anything else, with what would be right.
    """
    text = rule.text
    kind, colon, value = text.partition(":")
    if colon and kind.lower() == "uid":
        return [_users(rule, value)]
    if colon and kind.lower() == "user":
        return [_user(rule, value)]
    if "/" not in text and ":" not in text and set(text) <= _NAME and any(c.isalpha() for c in text):
        return [_name(rule, text)]
    if "%" in text:
        raise rule.error(
            f"{quoted(text)}: a peer is known by its address alone: leave %… out (--interface is for that)"
        )
    first, dash, last = text.partition("-")
    if dash:
        return _range(rule, first, last)
    return [_network(rule, text)]


def _name(rule: Rule, text: str) -> Name:
    labels = text.removesuffix(".").split(".")
    if len(text) > 254 or any(not 0 < len(label) < 64 or label[0] == "-" or label[-1] == "-" for label in labels):
        raise rule.error(f"{quoted(text)} is not {SYNTAX}")
    if labels[-1].isdecimal():
        raise rule.error(f"{quoted(text)} is no address and, ending in a number, no name")
    return Name(text)


def _users(rule: Rule, text: str) -> Users:
    first, dash, last = text.partition("-")
    numbers = (first, last) if dash else (first, first)
    for number in numbers:
        if not (number.isascii() and number.isdecimal()) or int(number[:20]) > MOST_UID:
            raise rule.error(f"{quoted(rule.text)}: a uid is a number from 0 to {MOST_UID}, such as uid:1000")
    found = Users(int(numbers[0]), int(numbers[1]))
    if found.first > found.last:
        raise rule.error(f"{quoted(rule.text)} runs backwards: uid:{last}-{first}")
    return found


def _user(rule: Rule, name: str) -> Users:
    try:
        import pwd
    except ImportError:
        raise rule.error(f"{quoted(rule.text)}: this platform has no user database") from None
    try:
        uid = pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        hint = f": uid:{name} is the user of that number" if name.isdecimal() else ""
        raise rule.error(f"{quoted(rule.text)}: there is no user {quoted(name)} here{hint}") from None
    return Users(uid, uid)


def _network(rule: Rule, text: str) -> Network:
    import ipaddress

    host, slash, length = text.partition("/")
    address = _address(rule, host)
    bits = address.max_prefixlen
    try:
        found = ipaddress.ip_network(f"{address}/{length if slash else bits}", strict=False)
    except ValueError:
        mask = "." in length
        right = "a mask is ones, then zeros: 255.255.255.0" if mask else f"the length behind the slash is 0 to {bits}"
        raise rule.error(f"{quoted(text)}: {right}") from None
    if found.network_address != address:
        raise rule.error(
            f"{quoted(text)} has bits set behind its first {found.prefixlen}: {found} is the network, {address} the host"
        )
    return _plain(bits, found.prefixlen, int(address) >> (bits - found.prefixlen))


def _plain(bits: int, length: int, prefix: int) -> Network:
    """IPv4-mapped addresses (RFC 4291, section 2.5.5.2) are IPv4's."""
    if bits == 128 and length >= 96 and prefix >> (length - 96) == 0xFFFF:
        return Network(32, length - 96, prefix & ((1 << (length - 96)) - 1))
    return Network(bits, length, prefix)


def _address(rule: Rule, text: str):  # type: ignore[no-untyped-def]  # ipaddress is loaded only where a rule is parsed
    import ipaddress

    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise rule.error(f"{quoted(rule.text)} is not {SYNTAX}") from None


def _range(rule: Rule, first: str, last: str) -> list[Meaning]:
    import ipaddress

    begin = _address(rule, first)
    # As nmap and ncat have it, the last of four numbers may stand alone behind the dash.
    short = begin.version == 4 and last.isascii() and last.isdecimal()
    end = _address(rule, f"{first.rpartition('.')[0]}.{last}" if short else last)
    if begin.version != end.version:
        raise rule.error(f"{quoted(rule.text)}: both ends are IPv4, or both IPv6")
    if end < begin:
        raise rule.error(f"{quoted(rule.text)} runs backwards: {end}-{begin}")
    bits = begin.max_prefixlen
    return [
        _plain(bits, found.prefixlen, int(found.network_address) >> (bits - found.prefixlen))
        for found in ipaddress.summarize_address_range(begin, end)
    ]


class Matches:
    """What rules match: one side, those that allow or those that deny."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.names: list[tuple[str, Rule]] = []
        self._lengths: dict[int, list[int]] = {32: [], 128: []}
        """By the bits of an address: the lengths that there are, as negative numbers: the longest first."""
        self._networks: dict[tuple[int, int], dict[int, Rule]] = {}
        self._users: list[tuple[Users, Rule]] = []

    def add(self, rule: Rule) -> None:
        """Take a rule; names wait in ``names`` until they are resolved. Raises UsageError as ``parse``."""
        self.rules.append(rule)
        for meaning in parse(rule):
            if isinstance(meaning, Name):
                self.names.append((meaning.host, rule))
            elif isinstance(meaning, Users):
                self._users.append((meaning, rule))
            else:
                self.insert(meaning, rule)

    def insert(self, network: Network, rule: Rule) -> None:
        """Take a network for a rule. The first rule for it stays."""
        bits, length, prefix = network
        table = self._networks.get((bits, length))
        if table is None:
            table = self._networks[bits, length] = {}
            insort(self._lengths[bits], -length)
        table.setdefault(prefix, rule)

    def of_address(self, address: bytes) -> Rule | None:
        """The rule for an address of 4 or 16 bytes; of several the one with the longest prefix. None: none fits."""
        bits, number = len(address) * 8, int.from_bytes(address)
        for negative in self._lengths[bits]:
            rule = self._networks[bits, -negative].get(number >> (bits + negative))
            if rule is not None:
                return rule
        return None

    def of_uid(self, uid: int) -> Rule | None:
        """The rule for a Unix user."""
        return next((rule for users, rule in self._users if users.first <= uid <= users.last), None)

    def has(self, bits: int) -> bool:
        """Whether any rule is about addresses of so many bits, or is a name that may be."""
        return bool(self._lengths[bits] or self.names)

    def about_users(self) -> Rule | None:
        """A rule for Unix users, if there is one."""
        return self._users[0][1] if self._users else None

    def about_addresses(self) -> Rule | None:
        """A rule for networks or names, if there is one."""
        if self.names:
            return self.names[0][1]
        return next((rule for table in self._networks.values() for rule in table.values()), None)

    def typed(self) -> Iterator[tuple[Network | Users, Rule]]:
        """What was typed on the command line, rather than written in a file."""
        for (bits, length), table in self._networks.items():
            yield from ((Network(bits, length, prefix), rule) for prefix, rule in table.items() if not rule.where)
        yield from ((users, rule) for users, rule in self._users if not rule.where)

    def covers(self, meaning: Network | Users) -> Rule | None:
        """A rule, typed too, that alone matches all of it."""
        if isinstance(meaning, Users):
            return next(
                (
                    rule
                    for users, rule in self._users
                    if users.first <= meaning.first and meaning.last <= users.last and not rule.where
                ),
                None,
            )
        bits, length, prefix = meaning
        for negative in self._lengths[bits]:
            if -negative <= length:
                rule = self._networks[bits, -negative].get(prefix >> (length + negative))
                if rule is not None and not rule.where:
                    return rule
        return None


class Rules:
    """Both sides. What is denied is refused; where anything is allowed, everything else is refused too.

    Attributes:
        only: somebody is allowed: then nobody else is.
    """

    def __init__(self) -> None:
        self.allow = Matches()
        self.deny = Matches()
        self.only = False

    def add(self, rule: Rule, *, allow: bool) -> None:
        """Take a rule. Raises UsageError as ``parse``."""
        self.only = self.only or allow
        (self.allow if allow else self.deny).add(rule)

    def check(self) -> None:
        """Raises UsageError for an allowance on the command line that a denial there takes back whole."""
        for meaning, rule in self.allow.typed():
            other = self.deny.covers(meaning)
            if other is not None:
                raise UsageError(
                    f"{other} refuses all of {escape(rule.text)}: leave one of the two out", option=rule.option
                )

    def refusal(self, address: bytes | None, uid: int | None = None) -> str | None:
        """Why a peer is refused, in words; None: it may come.

        Args:
            address: 4 or 16 bytes, IPv4-mapped ones as 4; None: it has none, or none any more.
            uid: of a Unix peer.
        """
        if address is None and uid is None:
            return "who it was is not known any more"
        denied = self.deny.of_address(address) if address is not None else self.deny.of_uid(uid or 0)
        if denied is not None:
            return str(denied)
        if self.only:
            allowed = self.allow.of_address(address) if address is not None else self.allow.of_uid(uid or 0)
            if allowed is None:
                return "no --allow for it"
        return None
