"""Several ports in one word, as a person types them: ``22,80,443``, ``1-1024``, ``http,ssh``; and the names of services.

Names are read from the system's own file (services(5)); behind it stand the best known ones, for systems that lack it, as Debian's slim
images do. No name server is asked, as getservbyname(3) might.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache

from sockkit.errors import UsageError
from sockkit.text import preview, quoted

LAST = 65535
_FILE = (
    os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "drivers", "etc", "services")
    if sys.platform == "win32"
    else "/etc/services"
)
# From IANA's registry of service names and ports.
_WELL_KNOWN = {
    "tcp": "ftp-data=20 ftp=21 ssh=22 telnet=23 smtp=25 http=80 pop3=110 nntp=119 imap2=143 bgp=179 ldap=389 https=443"
    " microsoft-ds=445 submissions=465 submission=587 ipp=631 ldaps=636 rsync=873 imaps=993 pop3s=995 ms-sql-s=1433 mqtt=1883"
    " nfs=2049 mysql=3306 ms-wbt-server=3389 postgresql=5432 amqp=5672 x11=6000 redis=6379 http-alt=8080 mqtts=8883",
    "udp": "bootps=67 bootpc=68 tftp=69 ntp=123 netbios-ns=137 snmp=161 snmp-trap=162 https=443 isakmp=500 syslog=514"
    " openvpn=1194 radius=1812 nfs=2049 stun=3478 ipsec-nat-t=4500 sip=5060 mdns=5353",
}
_EITHER = "echo=7 discard=9 daytime=13 chargen=19 time=37 domain=53 kerberos=88 sunrpc=111 domain-s=853"


@lru_cache(3)
def services(protocol: str) -> dict[str, int]:
    """Every name of a service of ``tcp``, ``udp`` or ``sctp``, aliases included, with its port.

    Those of the system's file stand first, in its order; of two ports with one name the first counts.
    """
    found: dict[str, int] = {}
    try:
        with open(_FILE, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, where, *aliases = (*line.partition("#")[0].split(), "", "")
        number, _, kind = where.partition("/")
        if kind == protocol and number.isascii() and number.isdecimal() and 0 < int(number[:6]) <= LAST:
            for each in (name, *aliases):
                if each and each.isprintable():
                    found.setdefault(each, int(number))
    for word in f"{_WELL_KNOWN.get(protocol, '')} {_EITHER}".split():
        name, _, number = word.partition("=")
        found.setdefault(name, int(number))
    return found


@lru_cache(3)
def _names(protocol: str) -> dict[int, str]:
    """The first name of each port."""
    found: dict[int, str] = {}
    for name, port in services(protocol).items():
        found.setdefault(port, name)
    return found


def service(port: int, protocol: str) -> str:
    """The name of a port's usual service, or an empty text. What answers there may be anything."""
    return _names(protocol).get(port, "")


def parse(text: str, protocol: str = "tcp") -> tuple[int, ...]:
    """PORTS to numbers, in the order in which they were typed, each once.

    Raises:
        UsageError: what is wrong with one of them, and what would be right.
    """
    found: list[int] = []
    seen = bytearray(LAST + 1)
    for word in text.split(","):
        for port in _item(word.strip(), text, protocol):
            if not seen[port]:
                seen[port] = 1
                found.append(port)
    return tuple(found)


def _item(word: str, text: str, protocol: str) -> Sequence[int]:
    """One port, a range, or a service."""
    if not word:
        raise _wrong(f"{quoted(preview(text, 60))} has a comma with no port beside it")
    if _is_number(word):
        return (_port(word),)
    first, dash, last = word.partition("-")
    if dash and (_is_number(first) or _is_number(last)) and not (set(first) | set(last)) - set("0123456789"):
        if not (first and last):
            raise _wrong(f"{quoted(word)}: a range has two ends", f"type: {first or 1}-{last or LAST}")
        lowest, highest = _port(first), _port(last)
        if lowest > highest:
            raise _wrong(f"{quoted(word)}: the range runs backwards", f"type: {highest}-{lowest}")
        return range(lowest, highest + 1)
    return (_of_service(word, protocol),)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal()


def _port(word: str) -> int:
    if len(word) > 5 or int(word) > LAST:
        raise _wrong(f"{quoted(preview(word, 40))} is no port: 1 to {LAST} are")
    if int(word) == 0:
        raise _wrong(f"port 0 is nobody's to connect to: 1 to {LAST} are")
    return int(word)


def _of_service(word: str, protocol: str) -> int:
    known = services(protocol)
    for name in (word, word.lower()):
        if name in known:
            return known[name]
    hint = None
    if word[:1].isdecimal() or len(word) > 40:
        hint = "22,80,443 are ports, and so are 1-1024 and http,ssh"
    else:
        import difflib

        close = difflib.get_close_matches(word.lower(), known, 3)
        others = [kind for kind in ("tcp", "udp") if kind != protocol and word.lower() in services(kind)]
        if others:
            hint = f"it is one of {others[0]}{' (-u)' if others[0] == 'udp' else ''}"
        elif close:
            hint = f"did you mean {', '.join(close)}?"
    raise _wrong(f"{quoted(preview(word, 40))} is no port, no range and no {protocol} service that is known here", hint)


def _wrong(message: str, hint: str | None = None) -> UsageError:
    return UsageError(message, option="PORTS", hint=hint)


def text(ports: Iterable[int]) -> str:
    """Ports in ascending order with runs of them as ranges: ``22,80,8000-8010``. ``parse`` reads it back."""
    runs: list[list[int]] = []
    for port in sorted(set(ports)):
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def split(words: Sequence[str]) -> tuple[str, str]:
    """The words of an ADDRESS as host and PORTS: ``HOST PORTS``, ``HOST:PORTS``, ``[v6]:PORTS``, ``PORTS`` alone. Either may be empty."""
    if len(words) == 2:
        return words[0], words[1]
    if len(words) != 1:
        return "", ""
    word = words[0]
    if word.startswith("["):
        host, _, rest = word.partition("]")
        return f"{host}]", rest.removeprefix(":")
    host, colon, rest = word.rpartition(":")
    if colon and ":" not in host:
        return host, rest
    if "/" in word or word.startswith("@") or colon:
        return word, ""
    return ("", word) if "," in word or not set(word) - set("0123456789-") else (word, "")


def numbered(words: Sequence[str], port: int) -> list[str]:
    """The words of an ADDRESS with this number in place of its PORTS."""
    ports = split(words)[1]
    return [*words[:-1], f"{words[-1].removesuffix(ports)}{port}"] if ports else list(words)


def is_list(word: str) -> bool:
    """True for what stands for several ports by its looks: a list or a range, though it may be of one."""
    return "," in word or ("-" in word and not set(word) - set("0123456789-"))
