"""``sockkit inspect --watch``: sockets looked at again and again, from outside.

All of it comes from sock_diag: no descriptor is borrowed while we wait, since a socket that we hold cannot be closed by its owner.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

from sockkit import machine, netns, optvals, procfs
from sockkit.commands import listing
from sockkit.commands.other import check_fileno
from sockkit.errors import Exit, Signalled, SystemRefusal, UsageError
from sockkit.events import Changed, Env, Sample
from sockkit.loop import Loop
from sockkit.machine import Query
from sockkit.sockdiag import LISTEN, TCP, HostSocket, Wanted

if TYPE_CHECKING:
    from sockkit.commands.inspect import InspectPlan

METRICS = {
    "cwnd": "snd_cwnd",
    "ssthresh": "snd_ssthresh",
    "mss": "snd_mss",
    "rtt": "rtt",
    "rtt_variation": "rttvar",
    "rtt_least": "min_rtt",
    "retransmitted": "total_retrans",
    "lost": "lost",
    "unacknowledged": "unacked",
    "not_sent": "notsent_bytes",
    "delivery_rate": "delivery_rate",
    "pacing_rate": "pacing_rate",
}
"""What is told of TCP, by its name in ``struct tcp_info``: segments, microseconds, bytes, bytes a second."""


def _places() -> dict[str, tuple[struct.Struct, int]]:
    """Where the fields that are told stand in ``struct tcp_info``: to decode all seventy at every look costs ten times as much."""
    wanted = {*METRICS.values(), "bytes_sent", "bytes_acked", "bytes_retrans", "bytes_received"}
    found, at = {}, 0
    for field in optvals.fields(optvals.TCP_INFO_LAYOUT):
        if field.name in wanted:
            found[field.name] = struct.Struct(f"={field.format}"), at
        at += optvals.width(field.format)
    return found


class Watch:
    """What is watched, and what it was at the last look.

    Attributes:
        owners: tell who holds each.
        gone: the one socket that was watched is no more.

    Args:
        query: which sockets.
        inode: only this one, whose owner may close it: from then on it is known by its cookie and addresses.
    """

    def __init__(self, env: Env, query: Query, inode: int | None = None) -> None:
        self._env = env
        self._query = query
        self._inode = inode
        self._one: HostSocket | None = None
        self._places = _places()
        self._seen: dict[str, dict[str, Any]] = {}
        self._looked: float | None = None
        self._holders: dict[int, list[procfs.Holder]] = {}
        self._names: dict[int, str] = {}
        self.owners = True
        self.gone = False

    def look(self) -> None:
        """Look once, and tell what is and what changed.

        Raises:
            SystemRefusal, UsageError: see ``machine.listing``.
        """
        now = self._env.clock()
        try:
            found = self._listing()
        except UsageError:
            if self._looked is None:
                raise
            # The process that was asked for has ended; one of that name may come again, a number does not.
            found = machine.Listing([], {}, {}, {}, machine.Unseen(), "")
            self.gone = (self._query.process or "").isdecimal()
        self._owners(found)
        found = found._replace(holders=self._holders, names=self._names)
        seconds = None if self._looked is None else now - self._looked
        present = {}
        for record in found.sockets:
            told = self._told(record, found, seconds)
            present[str(told["id"])] = told
        if self._looked is not None or self._inode is not None:
            self._differences(now, present)
        self._seen, self._looked = present, now
        self._env.observer(Sample(now, tuple(present.values()), True))

    def end(self) -> None:
        """Tell that the last look was the last."""
        self._env.observer(Sample(self._env.clock(), (), False))

    def _listing(self) -> machine.Listing:
        if self._inode is None:
            return machine.listing(self._env, self._query)
        one = self._one
        if one is None:
            found = machine.listing(self._env, self._query)
            records = [record for record in found.sockets if record.inode == self._inode]
            record = max(records, key=lambda each: each.proto or 0, default=None)
            if record is not None and record.cookie:
                self._one = record
            return found._replace(sockets=[] if record is None else [record])
        families = None if one.family is None else frozenset({one.family})
        wanted = Wanted(families, one.type, one.proto, details=True)
        found = machine.listing(self._env, Query(wanted, owners=False))
        same = [record for record in found.sockets if record.cookie == one.cookie]
        if not same and one.proto == TCP and one.peer:  # TIME_WAIT is another object, with another cookie
            ends = one.local, one.peer
            same = [record for record in found.sockets if (record.local, record.peer) == ends]
        if same and same[0].peer:
            self._one = same[0]._replace(cookie=one.cookie)
        return found._replace(sockets=same[:1])

    def _owners(self, found: machine.Listing) -> None:
        """Who holds what is looked up anew only when there is a socket of which it is not known."""
        if not machine.LINUX:
            self._holders, self._names = found.holders, found.names
            return
        if not self.owners:
            return
        inodes = {inode for record in found.sockets for inode in (record.inode, record.peer_inode) if inode}
        if not inodes <= self._holders.keys():
            held = procfs.holders()
            self._holders = {inode: held.by_inode.get(inode, []) for inode in inodes}
            self._names = held.names

    def _told(self, record: HostSocket, found: machine.Listing, seconds: float | None) -> dict[str, Any]:
        cookie = self._one.cookie if self._one is not None else record.cookie
        kind = listing.kind(record)
        id = f"{cookie:x}" if cookie else f"inode {record.inode}"
        if found.source == "psutil":  # which numbers what it lists anew each time
            id = f"{kind} {record.local} {record.peer}"
        told: dict[str, Any] = {"id": id, "kind": kind, **listing.item(record, found)}
        before = self._seen.get(told["id"], {})
        info: dict[str, Any] | None = None
        if record.info is not None and record.state != LISTEN:
            size = len(record.info)  # older kernels tell less
            info = {
                name: part.unpack_from(record.info, at)[0]
                for name, (part, at) in self._places.items()
                if at + part.size <= size
            }
        for name, field in METRICS.items():
            told[name] = None if info is None else info.get(field)
        sent: Any = None
        received: Any = None
        if info is not None:
            sent, received = info.get("bytes_sent", info.get("bytes_acked")), info.get("bytes_received")
            if sent is not None:
                sent -= info.get("bytes_retrans") or 0
        told["sent"], told["received"] = sent, received
        for name, count, earlier in (
            ("send_rate", sent, before.get("sent")),
            ("receive_rate", received, before.get("received")),
        ):
            known = count is not None and earlier is not None and seconds
            told[name] = round(max(0, count - earlier) / seconds) if known else None
        return told

    def _differences(self, now: float, present: dict[str, dict[str, Any]]) -> None:
        tell = self._env.observer
        for id, told in present.items():
            before = self._seen.get(id)
            ends = told["local"], told["peer"]
            if before is None:
                if self._looked is not None:
                    tell(Changed(now, id, "new", None, told["state"], *ends))
                continue
            if before["state"] != told["state"]:
                tell(Changed(now, id, "state", before["state"], told["state"], *ends))
            if before["owners"] and not told["owners"]:
                owner = before["owners"][0]
                tell(Changed(now, id, "owner", f"{owner['name']}[{owner['pid']}]", None, *ends))
        for id, told in self._seen.items():
            if id not in present:
                tell(Changed(now, id, "gone", told["state"], None, told["local"], told["peer"]))
        self.gone |= self._inode is not None and not present


def inode_of(pid: int | None, fd: int) -> int:
    """The socket behind a descriptor, ours or another process's.

    Raises:
        SystemRefusal: there is none, or it is not for us to see.
    """
    import errno
    import stat

    operation = f"watch fd {fd}" + ("" if pid is None else f" of process {pid}")
    check_fileno(fd)
    if pid is None:
        try:
            status = os.fstat(fd)
        except OSError as error:
            raise SystemRefusal(operation, error) from error
        if not stat.S_ISSOCK(status.st_mode):
            raise SystemRefusal(operation, OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK)))
        return status.st_ino
    listing.check_process(pid)
    try:
        link = procfs.descriptor(pid, fd)
    except OSError as error:
        number = errno.EBADF if error.errno == errno.ENOENT else error.errno
        number = errno.ESRCH if procfs.ended(pid) else number
        hint = listing.why_not(pid) if number == errno.EACCES else None
        raise SystemRefusal(operation, OSError(number, os.strerror(number or 0)), hint=hint) from error
    inode = procfs.socket_inode(link)
    if inode is None:
        raise SystemRefusal(operation, OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK)), hint=f"it is {link}")
    return inode


def run(plan: InspectPlan, env: Env) -> Exit:
    """Watch until a signal, ``--count``, or until the one socket that is watched is gone.

    Raises:
        UsageError: options that contradict each other. SystemRefusal: the system will not tell. Signalled: Ctrl-C.
    """
    if plan.settings:
        raise UsageError("looking does not touch: --set is for new sockets", option="--set")
    if not machine.LINUX and plan.fileno is not None:
        raise UsageError("one socket can be watched on Linux only; --port PORT watches some", option="--watch")
    for path in plan.outputs:
        if not path.lower().endswith(".ndjson"):
            raise UsageError("--watch has no end that a report could have: it writes .ndjson", option="-o")
    spec = plan.socket_spec()
    inode = None
    if spec.fileno is not None:
        inode = inode_of(plan.pid, spec.fileno)
        query = Query(Wanted(inodes={inode}, details=True), None if plan.pid is None else str(plan.pid))
    else:
        if plan.pid is not None:
            listing.check_process(plan.pid)
        query = listing.query(plan)
        query = query._replace(wanted=query.wanted._replace(details=True))
        # What is bound to nothing does not change. Who holds the others is looked up here, and not at every look.
        if machine.LINUX:
            query = query._replace(owners=False)
    assert plan.watch is not None
    seconds: float = plan.watch
    network = plan.netns or listing.network_of(plan.pid)
    with netns.inside(network), Loop(env) as loop:
        watch = Watch(env, query, inode)
        watch.owners = not plan.no_owners
        looks = 0

        def look() -> None:
            nonlocal looks
            begun = env.clock()
            watch.look()
            looks += 1
            if watch.gone or looks == plan.count:
                loop.stop()
            else:
                loop.later(max(0.01, seconds - (env.clock() - begun)), look)

        look()
        loop.run()
        watch.end()
        signal = loop.signal
    if signal is not None:
        raise Signalled(signal)
    return Exit.OK
