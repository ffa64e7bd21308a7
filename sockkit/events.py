"""What can happen, as values. Nothing here knows who looks, or how it is shown.

Every event is a NamedTuple (a frozen dataclass costs about a millisecond of start-up each, these a tenth of that) whose
first field is ``time``: seconds of ``env.clock()``, a monotonic clock. ``session`` numbers the conversations of one run
from 1; 0 is the run itself. Addresses are text, already formatted by ``addresses.format_address``.
"""

# Without annotations from the __future__: as text they are compiled again for each field of a NamedTuple, half of its cost.
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from typing import Protocol

    from sockkit.matrix import Matrix

    class Backlog(Protocol):
        """What of the story waits, since nobody reads it at the moment."""

        def attach(self, ring: Callable[[int], None] | None) -> None:
            """``ring`` is called with a descriptor as often as something begins to wait for it to become writable. None: never."""

        def flow(self) -> bool:
            """It is writable. True if nothing waits any more."""


T = TypeVar("T")


class Direction(StrEnum):
    """Which way, seen from us."""

    SENT = "sent"
    RECEIVED = "received"


class Side(StrEnum):
    """Which end of a session: ours (stdin, stdout, the echo) or the peer's."""

    LOCAL = "local"
    REMOTE = "remote"


class Level(StrEnum):
    """How much a note matters. Warnings are said even with ``-q``."""

    INFO = "info"
    WARNING = "warning"


class Call(NamedTuple):
    """A system call with its outcome: one line of ``-v``."""

    time: float
    name: str
    fd: int | None
    arguments: tuple[object, ...]
    result: object
    error: Exception | None
    duration: float
    """Seconds."""


class Listening(NamedTuple):
    """A socket takes connections or datagrams. Its line is a contract: scripts wait for it."""

    time: float
    address: str
    family: int
    """Number of the address family."""
    type: int
    """Number of the socket type, without flags."""
    remark: str
    """Who can reach it: ``this host only; others: …``; may be empty."""


class Attempt(NamedTuple):
    """One address of several is being tried (RFC 8305)."""

    time: float
    address: str


class Refused(NamedTuple):
    """What an attempt failed with, where it is not the last one."""

    operation: str
    error: Exception


class Retrying(NamedTuple):
    """No connection came about, or it is gone: there will be another attempt.

    Attributes:
        attempt: its number, from 1.
        attempts: how many there will be at most; None: as many as it takes.
        delay: seconds until then.
        refused: what the attempt before failed with, one item an address; empty where a connection is gone.
    """

    time: float
    attempt: int
    attempts: int | None
    delay: float
    refused: tuple[Refused, ...]


class Opened(NamedTuple):
    """A session began: accepted, connected, or the first datagram of a peer."""

    time: float
    session: int
    peer: str
    local: str
    family: int | None = None
    """Number of the address family; None where it is not known."""
    type: int | None = None
    """Number of the socket type, without flags."""
    accepted: bool = False
    """The peer came to us; else we went to it."""
    via: str | None = None
    """The proxy through which the peer is reached: its address. ``local`` is our end of the connection to it."""


class Proxied(NamedTuple):
    """A step on the way through a proxy: what it and we have agreed on. No payload has passed yet.

    Attributes:
        proxy: as in ``--proxy``, without user name and password.
        step: ``connected``, ``method``, ``authenticated``, ``request`` or ``reply``.
        code: the protocol's own number of it: a method or reply of SOCKS, a status of HTTP; None where it has none.
    """

    time: float
    session: int
    proxy: str
    step: str
    text: str
    code: int | None = None


class Denied(NamedTuple):
    """Somebody was not let in: ``--allow``, ``--deny``, ``--max-conns-per-peer``. No session began."""

    time: float
    peer: str | None
    """None: several, that are told as a count."""
    why: str
    """The rule that it met, as it was given."""
    how: str
    """``reset``, ``closed`` (where a family knows no reset), ``dropped`` (a datagram)."""
    number: int
    """1; or how many more there were, in a flood, than are told one by one."""


class Certificate(NamedTuple):
    """One certificate of a chain, as its bytes say. Texts may hold anything: whoever shows them escapes them.

    Attributes:
        subject, issuer: distinguished names, RFC 4514; empty where nothing here can read them.
        names: what it is valid for: DNS names and IP addresses.
        expires: ISO 8601, UTC.
        fingerprint: SHA-256 of its DER, in lower-case hex.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    expires: str
    fingerprint: str


class Handshake(NamedTuple):
    """TLS: who the peer is, as far as that was verified, and how the bytes are kept from others.

    Attributes:
        version: ``TLSv1.3``.
        cipher: its name in OpenSSL.
        alpn: the application protocol, or None.
        verified: how the peer's certificate was judged.
        chain: the peer's certificates, its own first; empty where it showed none.
    """

    time: float
    session: int
    version: str
    cipher: str
    alpn: str | None
    verified: str
    chain: tuple[Certificate, ...]


class Started(NamedTuple):
    """A program was started: its stdin and stdout are our end of the session (``--exec``)."""

    time: float
    session: int
    pid: int
    program: str
    """With its arguments, as it is typed in a shell."""


class Said(NamedTuple):
    """A line that a program wrote to its stderr, without its newline."""

    time: float
    session: int
    pid: int
    program: str
    """Its name."""
    text: str


class Exited(NamedTuple):
    """A program has ended, and was reaped."""

    time: float
    session: int
    pid: int
    program: str
    """Its name."""
    status: int | None
    """Its exit status; None where a signal ended it."""
    signal: str | None
    """That signal, such as ``SIGTERM``; None where it exited."""
    duration: float
    """Seconds from its start."""
    cpu: float
    """Seconds of processor time: its own, and of those whom it waited for."""


class Data(NamedTuple):
    """Payload passed. ``payload`` holds its first bytes if somebody asked to see them, else None."""

    time: float
    session: int
    direction: Direction
    offset: int
    """Bytes of this session and direction that came before."""
    size: int
    payload: bytes | memoryview | None
    message: bool
    """True if ``size`` is a whole datagram or record."""
    beside: str | None = None
    """What the kernel said beside it: the end of a record, the stream, the size of its pieces (recvmsg(2))."""
    meaning: str | None = None
    """What it says, where its protocol is one that ``decoders`` reads, and somebody asked to see the payload."""


class Urgent(NamedTuple):
    """Out-of-band data: not part of the byte stream, not counted in any offset."""

    time: float
    session: int
    direction: Direction
    payload: bytes


class Negotiated(NamedTuple):
    """A command of telnet (RFC 854), which is no part of the byte stream and not counted in any offset."""

    time: float
    session: int
    direction: Direction
    command: str
    """``DO``, ``WONT``, ``SB``, ``AYT`` … A number where it has no name."""
    option: str | None
    """``ECHO (RFC 857)``; None for a command that is about none."""
    data: str | None
    """The first bytes of a subnegotiation in hex; None for other commands."""
    size: int
    """Bytes of the whole subnegotiation."""


class Descriptor(NamedTuple):
    """A descriptor travelled with the data (SCM_RIGHTS)."""

    time: float
    session: int
    direction: Direction
    fd: int
    """Its number in this process."""
    what: str
    """``socket AF_INET SOCK_STREAM IPPROTO_TCP, 127.0.0.1:80, listening``, ``pipe``, ``file /etc/hosts``."""


class Ended(NamedTuple):
    """One direction is over and said so: ``how`` is ``stdin ended``, ``FIN sent``, ``FIN received``, ``RST received`` …"""

    time: float
    session: int
    side: Side
    how: str


class Disturbed(NamedTuple):
    """Something was spoilt on purpose (``--fault``)."""

    time: float
    session: int
    fault: str
    """Its name, as in ``--fault``; of a session that begins, all that was asked for."""
    size: int
    """Bytes that it concerns, or 0."""


class Named(NamedTuple):
    """A member of a chat has a name, or another one than before."""

    time: float
    session: int
    name: str
    before: str | None


class Behind(NamedTuple):
    """Somebody takes less than the others say (``--mode broadcast``, ``chat``), and is not waited for any more; or is again."""

    time: float
    session: int
    size: int
    """Bytes, or messages where boundaries are kept, that it has not taken; of one that caught up: those that it missed."""
    waited: bool
    """It has caught up: from now on it is waited for, as everybody."""


class Lost(NamedTuple):
    """Something did not arrive. Never dropped from the story, and exit status 1."""

    time: float
    session: int
    size: int
    """Bytes, or 0 where only the fact is known."""
    why: str


class Closed(NamedTuple):
    """A session is over."""

    time: float
    session: int
    peer: str
    sent: int
    received: int
    duration: float
    """Seconds from Opened to here."""
    first: Side | None
    """Who ended first; None where nobody did (datagrams, a signal)."""
    error: str | None
    """Why, if not in order: ``Connection reset by peer [ECONNRESET 104]``."""
    ignored: bool = False
    """What was received was to go nowhere (``--send-only``)."""


class Failed(NamedTuple):
    """A system call that mattered was refused. Never dropped from the story."""

    time: float
    session: int
    operation: str
    error: Exception
    hint: str | None


class Note(NamedTuple):
    """Anything else worth a line."""

    time: float
    session: int
    level: Level
    text: str


class Progress(NamedTuple):
    """How far something long has come. Shown on a terminal only, in one line that is renewed; ``done == total`` ends it."""

    time: float
    done: int
    total: int
    what: str


class Totals(NamedTuple):
    """The sum of a run, said once at its end."""

    time: float
    sessions: int
    sent: int
    received: int
    duration: float
    denied: int = 0
    """Peers, or datagrams, that were not let in."""


class Row(NamedTuple):
    """One line of a report: its cells as text, and what is remarkable about it.

    ``mark`` is one of ``""``, ``changed`` (not what was asked), ``error``, ``good``, ``faint``. ``marks`` has one for each cell
    instead; of a heat map these are the outcomes: ``ok``, or an errno's name.
    """

    cells: tuple[str, ...]
    mark: str = ""
    marks: tuple[str, ...] = ()


class Items(Generic[T]):
    """A long list in a report, made anew whenever it is read: nothing is made for nobody, and not kept.

    As ``Section.rows``, or as a value of ``Report.data``: JSON then has one item a line.
    """

    __slots__ = ("_make", "_size")

    def __init__(self, make: Callable[[], Iterator[T]], size: int) -> None:
        self._make = make
        self._size = size

    def __iter__(self) -> Iterator[T]:
        return self._make()

    def __len__(self) -> int:
        return self._size


class Section(NamedTuple):
    """A part of a report: a table. ``header`` may be empty: then the first cell of a row is its name."""

    title: str
    header: tuple[str, ...]
    rows: tuple[Row, ...] | Items[Row]


class Report(NamedTuple):
    """What ``probe`` and ``inspect`` found, for people (sections) and for programs (data, JSON-able)."""

    time: float
    command: str
    title: str
    data: dict[str, object]
    sections: tuple[Section, ...]
    matrix: "Matrix | None" = None
    """A whole space: a terminal draws its heat map before the sections."""
    whole: Section | None = None
    """A long table of which the sections, which people read, have a part: CSV and the page have all of it."""


class Code(NamedTuple):
    """A program that does what a command does: ``--code``. It goes to stdout as it is."""

    time: float
    command: str
    text: str


class Sample(NamedTuple):
    """How the sockets that are watched are now."""

    time: float
    sockets: tuple[object, ...]
    """One dict a socket: as in the list of ``inspect --all``, with ``id``, rates and TCP's numbers (docs/json.md)."""
    more: bool
    """False: it is the last one."""


class Changed(NamedTuple):
    """A socket that is watched is not what it was."""

    time: float
    id: str
    """As in ``Sample``."""
    what: str
    """``new``, ``gone``, ``state``, ``owner``."""
    before: str | None
    after: str | None
    local: str | None
    peer: str | None


Event = (
    Sample
    | Changed
    | Report
    | Code
    | Call
    | Listening
    | Attempt
    | Retrying
    | Descriptor
    | Opened
    | Denied
    | Proxied
    | Handshake
    | Negotiated
    | Started
    | Said
    | Exited
    | Data
    | Urgent
    | Ended
    | Disturbed
    | Named
    | Behind
    | Lost
    | Closed
    | Failed
    | Note
    | Progress
    | Totals
)
Observer = Callable[[Event], None]


class Interest(int):
    """What the observer wants to be told, so that nothing is made for nobody.

    Plain numbers, not an IntFlag: every system call asks, and of an IntFlag the name alone takes a quarter of a microsecond.
    """

    STATE: Final = 1
    """Everything that is neither of the following. Always told."""
    DATA: Final = 2
    """A ``Data`` event for each transfer."""
    PAYLOAD: Final = 4
    """… with the first bytes in it. Without this flag ``Data.payload`` is None."""
    CALLS: Final = 8
    """A ``Call`` for every system call."""
    BORROWED: Final = 16
    """Payload may be a view of a buffer that is used again as soon as the observer returns: then none is copied."""


class Env(NamedTuple):
    """The surroundings of a command, so that a test can run one with pipes, a list and a fake clock."""

    stdin: int
    """File descriptor of the local input."""
    stdout: int
    """File descriptor of the local output: payload or report."""
    observer: Observer
    interest: int
    """Flags of ``Interest``."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    preview: int = 256
    """Payload bytes that a ``Data`` event carries at most, when they are wanted."""
    looked: int | None = None
    """Bytes of each direction of a stream whose payload is wanted: a large flow beyond them is told without. None: all."""
    backlog: "Backlog | None" = None
    """What the observer has not got rid of: a loop lets it flow."""
