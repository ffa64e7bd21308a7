"""What the user asks for: a socket (``SocketSpec``), and the options from which the commands' plans are made.

A plan is frozen; each of its fields is declared with ``option(...)``, which carries the option's names,
help, group and kind. The command line derives its options from these fields, and so do the docs: adding an option
touches its field and the place that acts on it. The plan of a command stands in that command's module, so that only the
one that is invoked is loaded.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from sockkit.errors import UsageError
from sockkit.text import quoted

GROUPS = (
    *("socket", "space", "steps", "session", "data", "ancillary", "access", "programs", "proxy", "tls", "faults"),
    *("host", "output"),
)
"""Groups of options that ``--help GROUP`` knows, in the order of ``--help all``."""


class SocketSpec(NamedTuple):
    """The four parameters of Python's ``socket.socket``. None means: not given, Python's default applies.

    Attributes:
        family: address family number; default AF_INET (2 on every platform).
        type: socket type number, flags such as SOCK_NONBLOCK included; default SOCK_STREAM (1).
        proto: protocol number within the family; default 0, "the usual one for this family and type".
        fileno: file descriptor to adopt instead of making a socket; then Python asks the kernel for what is not given.

    Source: ``socket.socket`` in CPython's Lib/socket.py, socket(2).
    """

    family: int | None = None
    type: int | None = None
    proto: int | None = None
    fileno: int | None = None

    @classmethod
    def parse(
        cls,
        family: str | int | None = None,
        type: str | int | None = None,
        proto: str | int | None = None,
        fileno: str | int | None = None,
    ) -> SocketSpec:
        """Make a spec from names or numbers, each as on the command line: ``SocketSpec.parse("INET", type="DGRAM")``.

        Raises:
            UsageError: a name that is not known within its family, or a file descriptor that is no number.
        """
        from sockkit import names

        family_number = names.FAMILIES.parse(str(family), option="--family") if family is not None else None
        type_number = names.TYPES.parse(str(type), option="--type") if type is not None else None
        proto_number = None
        if proto is not None:
            space = names.protocols(2 if family_number is None else family_number)
            proto_number = space.parse(str(proto), option="--proto")
        return cls(family_number, type_number, proto_number, parse_fileno(str(fileno)) if fileno is not None else None)


FIRST_PASSED = 3
"""SD_LISTEN_FDS_START."""


def passed_fds() -> dict[int, str]:
    """The descriptors that a service manager passed to this very process, with their names (``LISTEN_FDS``, ``LISTEN_FDNAMES``).

    None where ``LISTEN_PID`` names another process. One without a name is called ``unknown``, as sd_listen_fds_with_names(3) has it.
    """
    import os

    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    count = os.environ.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdecimal() and len(count) < 5):
        return {}
    named = os.environ.get("LISTEN_FDNAMES", "")
    names = named.split(":") if named else []
    fds = range(FIRST_PASSED, FIRST_PASSED + int(count))
    return {fd: names[at] if at < len(names) and names[at] else "unknown" for at, fd in enumerate(fds)}


def parse_fileno(text: str) -> int:
    """A file descriptor as typed, or the name of one that a service manager passed.

    Its range is judged where the socket is made, by Python itself where Python does.

    Raises:
        UsageError: neither a whole decimal number nor such a name, or a name that several have.
    """
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdecimal() and len(digits) <= 40:
        return int(text)
    passed = passed_fds()
    found = [fd for fd, name in passed.items() if name == text]
    if len(found) == 1:
        return found[0]
    if passed:
        known = ", ".join(f"{fd} is {quoted(name)}" for fd, name in passed.items())
        raise UsageError(
            f"{quoted(text)} is {'several' if found else 'none'} of the descriptors that were passed: {known}",
            option="--fileno",
        )
    try:
        operator.index(text)  # type: ignore[arg-type]  # to show what socket.socket(fileno="abc") says of a text
    except TypeError as error:
        raise UsageError(
            f"{quoted(text)} is no file descriptor: a decimal number such as 3 is", option="--fileno", cause=error
        ) from error
    raise AssertionError("a str has no __index__")


class Kind(NamedTuple):
    """What an option takes.

    Attributes:
        metavar: how help calls the value; empty for a flag, which takes none.
        parse: text to value; raises ValueError (or UsageError) with a text that says what would be right.
        complete: the beginning of a value to its possible (value, help) pairs.
        implied: the value, as typed, of an option that may stand alone; None: it may not.
    """

    metavar: str = ""
    parse: Callable[[str], object] = str
    complete: Callable[[str], list[tuple[str, str]]] | None = None
    implied: str | None = None


def _seconds(text: str) -> float:
    """Seconds; as ncat has it, with a unit too."""
    scale = next((unit for unit in ("ms", "s", "m", "h") if text.endswith(unit)), "")
    try:
        value = float(text.removesuffix(scale)) * {"": 1, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}[scale]
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise UsageError(f"{quoted(text)} is no time: seconds from 0 to 999999999, such as 2, 0.5 or 500ms")
    return value


def interval(text: str) -> float:
    """Seconds between two looks.

    Raises:
        UsageError: no number, or so small that looking would be all that is done.
    """
    if text[:1] in ":[@/":
        raise UsageError(
            f"{quoted(text)} is no time", hint="the address stands before the option, or --watch=1 after it"
        )
    value = _seconds(text)
    if value < 0.05:
        raise UsageError(f"{quoted(text)} is too often: at least 0.05 seconds lie between two looks")
    return value


def number(metavar: str, lowest: int, highest: int) -> Kind:
    """A kind for whole decimal numbers within bounds."""

    def parse(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18 or not lowest <= int(text) <= highest:
            raise UsageError(f"{quoted(text)} is no whole number from {lowest} to {highest}")
        return int(text)

    return Kind(metavar, parse)


def choice(*values: str) -> Kind:
    """A kind for one word of several."""

    def parse(text: str) -> str:
        if text.lower() not in values:
            raise UsageError(f"{quoted(text)} is none of {', '.join(values)}")
        return text.lower()

    return Kind("|".join(values), parse, lambda start: [(value, "") for value in values if value.startswith(start)])


def _octal(text: str) -> int:
    if not 1 <= len(text) <= 4 or not set(text) <= set("01234567") or int(text, 8) > 0o777:
        raise UsageError(f"{quoted(text)} is no file mode: three octal digits such as 600")
    return int(text, 8)


def _completer(space: str) -> Callable[[str], list[tuple[str, str]]]:
    def complete(start: str) -> list[tuple[str, str]]:
        from sockkit import names

        head, comma, last = start.rpartition(",")  # of a list, its last part
        found: list[tuple[str, str]] = getattr(names, space).complete(last)
        return [(head + comma + value, meaning) for value, meaning in found]

    return complete


FLAG = Kind()
SECONDS = Kind("S", _seconds)
MODE = Kind("MODE", _octal)
FAMILY = Kind("F", str, _completer("FAMILIES"))
TYPE = Kind("T", str, _completer("TYPES"))
PROTOCOL = Kind("P", str, _completer("PROTOCOLS"))
PORT = number("PORT", 0, 65535)


def _any_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not int(text[:11]) < 2**32:
        raise UsageError(f"{quoted(text)} is no PORT: a decimal number, 0 to 65535 (0 to 4294967295 for VSOCK)")
    return int(text)


def _complete_setting(start: str) -> list[tuple[str, str]]:
    from sockkit import sockopts

    rows = (row for row in sockopts.OPTIONS if row.settable and row.name.startswith(start.upper()))
    return [(f"{row.name}=", row.meaning) for row in rows]


def _complete_options(start: str) -> list[tuple[str, str]]:
    from sockkit import sockopts

    head, comma, last = start.rpartition(",")
    words = [] if comma else [(word, meaning) for word, meaning in OPTION_WORDS.items() if word.startswith(last)]
    rows = (row for row in sockopts.OPTIONS if row.readable and row.name.startswith(last.upper()))
    return words + [(f"{head}{comma}{row.name}", row.meaning) for row in rows]


OPTION_WORDS = {"all": "all that apply to the socket", "changed": "those that somebody has set"}
SETTING = Kind("NAME=VALUE", str, _complete_setting)
OPTIONS = Kind("all|changed|NAME,…", str, _complete_options)


def _complete_fault(start: str) -> list[tuple[str, str]]:
    from sockkit import faults

    head, comma, last = start.rpartition(",")
    rows = (row for row in faults.ROWS if row.name.startswith(last))
    return [(f"{head}{comma}{row.name}{'=' * bool(row.value)}", row.meaning) for row in rows]


FAULT = Kind("NAME[=VALUE],..", str, _complete_fault)
ANY_PORT = Kind("PORT", _any_port)
"""A port of whichever family: its range is judged with the address."""


class Option(NamedTuple):
    """One option of the command line. As the value of a plan's field it enters itself into the plan's options."""

    field: str
    names: tuple[str, ...]
    kind: Kind
    group: str
    help: str
    multiple: bool
    default: object

    def __set_name__(self, plan: type[Declared], field: str) -> None:
        if "options" not in vars(plan):
            plan.options = dict(plan.options)
        plan.options[field] = self._replace(field=field)
        setattr(plan, field, self.default)


def option(
    *flags: str,
    help: str,
    group: str,
    kind: Kind = FLAG,
    default: object = None,
    multiple: bool = False,
) -> Any:
    """A field of a plan that is an option of the command line."""
    if kind is FLAG and default is None:
        default = False
    if multiple:
        default = ()
    return Option("", flags, kind, group, help, multiple, default)


def options(plan: type[Declared]) -> Iterator[Option]:
    """The options of a plan class, in the order of their fields."""
    return iter(plan.options.values())


class Declared:
    """What makes a class with annotated fields a plan: made from keywords, then frozen.

    As a dataclass would be, whose making costs two milliseconds of start-up for fifty fields: it compiles source text.
    """

    options: ClassVar[dict[str, Option]] = {}

    def __init__(self, **given: Any) -> None:
        for field in given:
            if not hasattr(type(self), field):
                raise TypeError(f"{type(self).__name__} has no {field}")
        self.__dict__.update(given)

    def __setattr__(self, field: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {field} stays")


class Plan(Declared):
    """What all four commands take. Texts are as typed: what depends on another option is parsed in ``socket_spec``."""

    FIRST: ClassVar[tuple[str | tuple[str, ...], ...]] = (
        *("family", "type", "proto", "fileno"),
        *("outputs", "quiet", "verbose", "json"),
    )
    """The fields whose options ``--help`` shows by itself, in that order, those of a tuple on one line; the others are in
    ``--help GROUP``."""

    family: str | None = option(
        "--family", kind=FAMILY, group="socket", help="address family, name or number (default INET)"
    )
    type: str | None = option(
        "--type", kind=TYPE, group="socket", help="socket type, flags joined by + (default STREAM)"
    )
    proto: str | None = option("--proto", kind=PROTOCOL, group="socket", help="protocol within the family (default 0)")
    fileno: str | None = option(
        "--fileno", kind=Kind("N"), group="socket", help="adopt this file descriptor; it is never closed"
    )
    settings: tuple[str, ...] = option(
        "--set", kind=SETTING, group="socket", multiple=True, help="set a socket option, at its own moment; repeatable"
    )
    quiet: bool = option("-q", "--quiet", group="output", help="no story; errors and losses are still said")
    verbose: bool = option("-v", "--verbose", group="output", help="say everything, every system call too")
    json: bool = option("--json", group="output", help="JSON: the report on stdout, the story on stderr")
    outputs: tuple[str, ...] = option(
        "-o",
        "--output",
        kind=Kind("FILE"),
        group="output",
        multiple=True,
        help="the report in a file too: .json .ndjson .csv .md .svg .html .txt; repeatable",
    )
    code: bool = option("--code", group="output", help="print the Python that does this, and do nothing")
    force: bool = option("--force", group="output", help="-o: write over a recording that exists")

    def socket_spec(self) -> SocketSpec:
        """The four parameters, parsed.

        Raises:
            UsageError: see ``SocketSpec.parse``.
        """
        return SocketSpec.parse(self.family, self.type, self.proto, self.fileno)
