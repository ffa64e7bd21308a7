"""What misbehaves on purpose: one row a fault, and the decisions, which a seed repeats.

``--fault delay=200ms,drop=5%`` becomes a ``Faults``; whoever moves the bytes asks it. No I/O and no clock here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sockkit.errors import UsageError
from sockkit.text import quoted

if TYPE_CHECKING:
    from random import Random

STREAM, DATAGRAM, BOTH = "streams", "datagrams", ""


class Faults(NamedTuple):
    """What was asked for; None and False: not.

    Attributes:
        delay: seconds by which each piece, or datagram, is sent later.
        rate: bytes a second at most.
        chunk: bytes in one send at most.
        close_after: bytes sent after which the connection is closed.
        reset: closing is a reset (RST).
        half_close: our direction ends at once, or after ``close_after``; the other goes on.
        never_read, never_accept: what their names say.
        corrupt: share of bytes of which one bit is turned.
        drop, duplicate, reorder: shares of datagrams.
        seed: makes the decisions repeatable.
    """

    delay: float | None = None
    rate: float | None = None
    chunk: int | None = None
    close_after: int | None = None
    reset: bool = False
    half_close: bool = False
    never_read: bool = False
    never_accept: bool = False
    corrupt: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    seed: int = 0

    def random(self, session: int) -> Random:
        """The decisions of one session: the same for the same seed, whatever the other sessions do."""
        from random import Random

        return Random(f"{self.seed}:{session}")


class Row(NamedTuple):
    """A fault.

    Attributes:
        name: as it is typed.
        value: what follows ``=`` as help has it; empty for none.
        parse: text to value.
        missing: the value where none is given; None: it must be.
        where: ``STREAM``, ``DATAGRAM`` or ``BOTH``.
        meaning: one line.
    """

    name: str
    value: str
    parse: Callable[[str], object]
    missing: object
    where: str
    meaning: str

    @property
    def field(self) -> str:
        """Of ``Faults``."""
        return self.name.replace("-", "_")


def _scaled(text: str, units: Mapping[str, float], what: str) -> float:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%")
    unit = text[len(digits) :]
    try:
        value = float(digits) * units[unit]
    except (ValueError, KeyError):
        value = -1.0
    if not 0 < value < 1e12:
        raise UsageError(f"{quoted(text)} is no {what}")
    return value


def _time(text: str) -> float:
    return _scaled(text, {"": 1, "s": 1, "ms": 1e-3, "us": 1e-6}, "time: 200ms, 1.5s, or seconds")


def _size(text: str) -> int:
    units = {"": 1, "k": 1024, "K": 1024, "M": 1024**2, "G": 1024**3}
    value = _scaled(text, units, "size: bytes, or such as 10k or 1M")
    if value < 1:
        raise UsageError(f"{quoted(text)} is no size: 1 byte or more")
    return int(value)


def _share(text: str) -> float:
    value = _scaled(text, {"": 0.01, "%": 0.01}, "share: more than 0% and at most 100%")
    if value > 1:
        raise UsageError(f"{quoted(text)} is no share: more than 0% and at most 100%")
    return value


def _flag(text: str) -> bool:
    raise UsageError("it takes no value")


ROWS = (
    Row("delay", "TIME", _time, None, BOTH, "send each piece so much later"),
    Row("rate", "SIZE", _size, None, STREAM, "send so many bytes a second at most"),
    Row("chunk", "SIZE", _size, None, STREAM, "send pieces of so many bytes at most"),
    Row("close-after", "SIZE", _size, None, STREAM, "close when so many bytes were sent"),
    Row("reset", "", _flag, True, STREAM, "close by a reset (RST) instead of an end (FIN)"),
    Row("half-close", "", _flag, True, STREAM, "end our direction at once, or at close-after, and go on reading"),
    Row("never-read", "", _flag, True, STREAM, "read nothing that the peer sends"),
    Row("never-accept", "", _flag, True, STREAM, "serve: let clients wait in the accept queue for ever"),
    Row("corrupt", "SHARE", _share, 0.01, BOTH, "turn a bit in so many of the bytes (1%)"),
    Row("drop", "SHARE", _share, None, DATAGRAM, "do not send so many of the datagrams"),
    Row("duplicate", "SHARE", _share, 1.0, DATAGRAM, "send so many of them twice (all)"),
    Row("reorder", "SHARE", _share, 1.0, DATAGRAM, "send so many of them after their successor (all)"),
)
"""Every fault that there is."""


def parse(texts: Sequence[str], seed: int | None) -> Faults | None:
    """``--fault``, each a list separated by commas; None where nothing is to misbehave.

    Raises:
        UsageError: an unknown fault, a value that is missing or is none; a seed without a fault.
    """
    if not texts:
        if seed is not None:
            raise UsageError("there is no --fault whose decisions it could repeat", option="--seed")
        return None
    given: dict[str, object] = {} if seed is None else {"seed": seed}
    for text in texts:
        for word in text.split(","):
            name, equals, value = word.partition("=")
            row = next((row for row in ROWS if row.name == name.strip().lower().replace("_", "-")), None)
            if row is None:
                known = ", ".join(row.name for row in ROWS)
                raise UsageError(f"{quoted(name)} is no fault: {known} are", option="--fault")
            if not equals and row.missing is None:
                raise UsageError(f"{row.name} needs a value: {row.name}={row.value}", option="--fault")
            try:
                given[row.field] = row.parse(value) if equals else row.missing
            except UsageError as error:
                raise UsageError(f"{row.name}: {error}", option="--fault") from error
    return Faults(**given)  # type: ignore[arg-type]  # the rows' parsers make the fields' types


def check(faults: Faults, *, messages: bool, serve: bool) -> None:
    """Raises UsageError for a fault that means nothing for such a socket, or on this side."""
    kind = DATAGRAM if messages else STREAM
    for row in ROWS:
        value = getattr(faults, row.field)
        if value and row.where not in (BOTH, kind):
            raise UsageError(f"{row.name} is for {row.where}: leave it out", option="--fault")
    if faults.never_accept and not serve:
        raise UsageError("never-accept is for serve: connect accepts nobody", option="--fault")


def words(faults: Faults) -> str:
    """What was asked for, in one line, as it is told when a session begins."""
    found = []
    for row in ROWS:
        value = getattr(faults, row.field)
        if value:
            if row.parse is _flag:
                found.append(row.name)
            elif row.parse is _share:
                found.append(f"{row.name}={value * 100:g}%")
            elif row.parse is _time:
                found.append(f"{row.name}={value:g}s")
            else:
                found.append(f"{row.name}={value:g}")
    return ", ".join(found)


def corrupter(share: float, random: Random, tell: Callable[[int], None]) -> Callable[[bytes], bytes]:
    """Turns one bit in that share of the bytes that pass, by their position alone; ``tell`` gets how many."""
    at = 0
    following = _gap(share, random)

    def transform(data: bytes) -> bytes:
        nonlocal at, following
        end = at + len(data)
        if following >= end:
            at = end
            return data
        spoilt = bytearray(data)
        count = 0
        while following < end:
            spoilt[following - at] ^= 1 << random.randrange(8)
            following += 1 + _gap(share, random)
            count += 1
        at = end
        tell(count)
        return bytes(spoilt)

    return transform


def _gap(share: float, random: Random) -> int:
    """How many bytes are spared before the next one that is not: geometric."""
    if share >= 1:
        return 0
    from math import log

    return int(log(1.0 - random.random()) / log(1.0 - share))


class Fates:
    """What becomes of datagrams: one decision after the other.

    Attributes:
        kept: the datagram that waits for its successor, or None.
    """

    __slots__ = ("_faults", "_random", "_tell", "kept")

    def __init__(self, faults: Faults, random: Random, tell: Callable[[str, int], None]) -> None:
        """
        Args:
            tell: is told of (fault, bytes of the datagram).
        """
        self._faults = faults
        self._random = random
        self._tell = tell
        self.kept: bytes | None = None

    def of(self, message: bytes) -> list[bytes]:
        """What to send instead of ``message``: nothing, itself, more."""
        faults, chance = self._faults, self._random.random
        if faults.drop and chance() < faults.drop:
            self._tell("drop", len(message))
            return []
        found = [message]
        if faults.duplicate and chance() < faults.duplicate:
            self._tell("duplicate", len(message))
            found.append(message)
        if self.kept is not None:
            found.append(self.kept)
            self.kept = None
        elif faults.reorder and chance() < faults.reorder:
            self._tell("reorder", len(message))
            self.kept = message
            return []
        return found

    def rest(self) -> bytes | None:
        """What was kept for a successor that did not come."""
        kept, self.kept = self.kept, None
        return kept
