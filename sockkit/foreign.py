"""The command lines of Debian's nc, of ncat and of socat, and how sockkit says the same.

One row an option. Who types one of theirs is told from these rows what to type instead; docs/coming-from.md is made from
them, its sockkit column by the same translation. Loaded only when a command line is wrong.

Sources: nc(1) of netcat-openbsd 1.219, ncat(1) 7.93, socat(1) 1.7.4.4.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from sockkit.commands.connect import ConnectPlan
from sockkit.commands.serve import ServePlan
from sockkit.errors import UsageError
from sockkit.spec import FLAG, options
from sockkit.text import escape, quoted

TOOLS = {"nc": ("nc",), "netcat": ("nc",), "ncat": ("ncat",), "socat": ()}
VERBS = {
    "listen": ["-l"],
    "chat": ["--chat"],
    "broadcast": ["--broker"],
    "scan": ["-z"],
    "client": [],
    "telnet": ["--telnet"],
}
"""What is typed where sockkit has its commands: a program's name, or what somebody may think that a command is called."""
OTHERS = {
    "ss": "inspect --all",
    "netstat": "inspect --all",
    "lsof": "inspect --all",
    "nmap": "connect -z HOST 1-1024",
    "openssl": "connect --tls HOST PORT",
}
"""Other programs, and the nearest that there is here."""
COMMANDS = {"serve": ServePlan, "connect": ConnectPlan}
PROXY_PORTS = {"http": "3128", "socks4": "1080", "socks4a": "1080", "socks5": "1080", "socks5h": "1080"}
"""What nc and ncat take where a proxy is named without its port."""


class Typed(NamedTuple):
    """A sockkit command line; ``after`` is what the shell does: ``< /dev/null``."""

    words: list[str]
    after: str = ""

    def __str__(self) -> str:
        return escape(f"{shlex.join(self.words)} {self.after}".rstrip(), backslash=False)


class Line:
    """What a foreign command line asks for, put together option by option.

    Attributes:
        flags: sockkit's options, in the order in which theirs were typed.
        program, shell: what is run for a connection, without and with a shell.
    """

    def __init__(self, *, listen: bool = False) -> None:
        self.listen = listen
        self.keep = self.zero = self.udp = False
        self.mode = self.to = self.source = self.shell = self.after = self.log = ""
        self.flags: list[tuple[str, ...]] = []
        self.address: list[str] = []
        self.program: list[str] = []
        self.proxy = self.proxy_type = self.proxy_user = self.proxy_dns = ""
        self.used: list[Row] = []

    def typed(self) -> Typed:
        """As it is typed for sockkit."""
        command = "serve" if self.listen else "connect"
        if ("--version",) in self.flags:
            return Typed(["sockkit", "--version"])
        if ("--help",) in self.flags:
            return Typed(["sockkit", command, "--help"])
        if self.program or self.shell:
            one = self.listen and not self.keep and not self.udp
            flags = [*([("--once",)] if one else []), *self.flags]
        elif self.listen:
            own = any(flag[0].startswith("--mode") for flag in self.flags)
            mode = [] if own or self.mode == "echo" else [("--mode", self.mode or "pipe")]
            one = not self.keep and self.mode in ("echo", "relay") and not self.udp
            flags = [*mode, *([("--once",)] if one else []), *self.flags]
            if self.to:
                flags.append(("--to", self.to))
        else:
            flags = list(self.flags)
        if not self.listen or self.udp or self.mode not in ("", "pipe") or self.program or self.shell:
            flags = [flag for flag in flags if flag != ("-k",)]
        scans = ("-z",) in flags
        if self.listen:
            flags = [flag for flag in flags if flag[0] != "--connect-timeout"]  # ncat's -w is about nothing there
            alone = flags[:1] == [("--mode", "pipe")]  # its clients come one after the other anyway
            flags = [flag for flag in flags if flag != ("-z",) and not (alone and flag[0] == "--max-conns")]
        elif scans:  # nc's -i is a pause between ports then
            flags = [_rate(flag[1]) if flag[0] == "--line-delay" else flag for flag in flags]
        address = list(self.address)
        if len(address) > 1 - self.listen and not scans:
            address[-1] = _number_of(address[-1])
        if self.source and self.listen and len(address) < 2:
            address.insert(0, self.source)
        elif self.source and not self.listen:
            flags.append(("-s", self.source))
        if self.proxy:
            flags.append(("--proxy", self._proxy_url()))
            if ":" in self.proxy_user:  # a password is not repeated
                flags.append(("--proxy-auth-file", "FILE"))
        plain = not any(flag[0] in ("-U", "--type", "--family") for flag in flags)  # a host then, with a port
        whole = len(address) != 1 or address[0].isdecimal() or set(address[0]) & set(":/@,") or not plain
        if not self.listen and not whole:
            address.append("PORT")
        words = ["sockkit", command, *(word for flag in dict.fromkeys(flags) for word in flag), *address]
        if self.shell:
            words[2:2] = ["--sh-exec", self.shell]
        if self.program:
            words += ["--exec", "--", *self.program]
        return Typed(words, f"{self.after} {self.log}".strip())

    def check(self) -> None:
        """Raises NoWay for what contradicts sockkit, though each of its options does not."""
        if self.listen and (self.proxy_type or self.proxy):
            raise NoWay("a proxy server: sockkit is none, it goes through one", option="--proxy-type")

    def _proxy_url(self) -> str:
        if "://" in self.proxy:  # sockkit's own way already
            return self.proxy
        kind = self.proxy_type or "http"
        if kind not in PROXY_PORTS:
            raise UsageError(
                f"{quoted(kind)} is no protocol of proxies: {', '.join(PROXY_PORTS)} are", option="--proxy"
            )
        if kind == "socks5" and self.proxy_dns != "local":
            kind = "socks5h"
        if kind == "socks4" and self.proxy_dns != "local":
            kind = "socks4a"
        host, colon, port = self.proxy.rpartition(":")
        if not colon or host.count(":") and not host.endswith("]"):  # none, or that of an IPv6 address
            host, port = self.proxy, PROXY_PORTS[kind]
        user = f"{self.proxy_user}@" if self.proxy_user and ":" not in self.proxy_user else ""
        return f"{kind}://{user}{host}:{port}"


def _number_of(port: str) -> str:
    """A port as sockkit takes it: theirs may be the name of a service."""
    if not port.isalpha():
        return port
    from sockkit.ports import services

    return str(services("tcp").get(port, port))


def _rate(pause: str) -> tuple[str, str]:
    """A pause between ports, in seconds, as ``--rate``."""
    try:
        return "--rate", f"{1 / float(pause):.3g}"
    except (ValueError, ZeroDivisionError):
        return "--line-delay", pause


Change = Callable[[Line, str], None]


class Row(NamedTuple):
    """An option of one of them, or an address of socat's.

    Attributes:
        names: every spelling.
        takes: the name of its value, empty for none.
        becomes: sockkit's words, ``{}`` for the value; or what is done to the line; None: there is no way.
        says: what is different, or why there is no way.
        example: a whole command line of theirs; words in capitals stand for what is given.
        played: the counterpart with which the example is played by tests/test_migration.py.
        unplayed: why it is not played.
    """

    tool: str
    names: tuple[str, ...]
    takes: str
    meaning: str
    becomes: str | Change | None
    says: str = ""
    example: str = ""
    played: str = ""
    unplayed: str = ""


NO_DATAGRAMS = "a program reads and writes streams: datagrams would lose their boundaries"


NOTHING = "sockkit has nothing like it"


class NoWay(UsageError):
    """Something of theirs that sockkit has not, with the reason."""


# ---- what options do to a line


def _listen(line: Line, value: str) -> None:
    line.listen = True


def _keep(line: Line, value: str) -> None:
    line.keep = True
    line.flags.append(("-k",))


def _udp(line: Line, value: str) -> None:
    line.udp = True
    line.flags.append(("-u",))


def _zero(line: Line, value: str) -> None:
    line.zero = True
    line.flags.append(("-z",))


def _source(line: Line, value: str) -> None:
    line.source = value


def _program(line: Line, value: str) -> None:
    line.program = shlex.split(value)


def _program_of(template: str) -> Change:
    def change(line: Line, value: str) -> None:
        line.program = template.format(value).split()

    return change


def _shell(line: Line, value: str) -> None:
    line.shell = value


def _tos(line: Line, value: str) -> None:
    number = TOS.get(value.lower(), value)
    line.flags.append(("--set", f"TCLASS={number}" if ("-6",) in line.flags else f"TOS={number}"))


def _ttl(line: Line, value: str) -> None:
    line.flags.append(("--set", f"UNICAST_HOPS={value}" if ("-6",) in line.flags else f"TTL={value}"))


def _minttl(line: Line, value: str) -> None:
    line.flags.append(("--set", f"MINHOPCOUNT={value}" if ("-6",) in line.flags else f"MINTTL={value}"))


def _nc_proxy(line: Line, value: str) -> None:
    line.proxy = value
    line.proxy_type = line.proxy_type or "socks5"


def _nc_proxy_type(line: Line, value: str) -> None:
    line.proxy_type = {"4": "socks4", "5": "socks5", "connect": "http"}.get(value.lower(), value)


def _proxy(line: Line, value: str) -> None:
    line.proxy = value


def _proxy_type(line: Line, value: str) -> None:
    line.proxy_type = value


def _proxy_user(line: Line, value: str) -> None:
    line.proxy_user = value


def _proxy_dns(line: Line, value: str) -> None:
    line.proxy_dns = value


def _broadcast(line: Line, value: str) -> None:
    line.listen, line.mode = True, "broadcast"


def _chat(line: Line, value: str) -> None:
    line.listen, line.mode = True, "chat"


def _hex(line: Line, value: str) -> None:
    line.flags.append(("-x",))
    _log(line, value)


def _log(line: Line, value: str) -> None:
    line.log = f"2> {shlex.quote(value)}"


def _record(line: Line, value: str) -> None:
    known = value.rpartition(".")[2] in ("html", "ndjson", "pcapng", "raw", "svg", "txt")
    line.flags.append(("-o", value if known else f"{value}.raw"))


def _quit_after(line: Line, value: str) -> None:
    if line.udp and not value.startswith("-"):  # a negative one: for ever
        line.flags.append(("--reply-wait", value))


def _nothing(line: Line, value: str) -> None:
    pass


TOS = {
    "critical": 0xA0,
    "inetcontrol": 0xC0,
    "lowcost": 0x02,
    "lowdelay": 0x10,
    "netcontrol": 0xE0,
    "throughput": 0x08,
    "reliability": 0x04,
    "ef": 0xB8,
    **{f"af{high}{low}": high << 5 | low << 3 for high in range(1, 5) for low in range(1, 4)},
    **{f"cs{number}": number << 5 for number in range(8)},
}
"""nc's words for a type of service: those of RFC 1349, and DSCPs (RFC 2474, 2597, 3246) with their two bits of ECN."""


def _row(
    tool: str,
    names: str,
    takes: str,
    meaning: str,
    becomes: str | Change | None,
    example: str = "",
    played: str = "",
    says: str = "",
    unplayed: str = "",
) -> Row:
    return Row(tool, tuple(names.split()), takes, meaning, becomes, says, example, played, unplayed)


def _nc() -> Iterator[Row]:
    row = partial(_row, "nc")
    # fmt: off
    yield row("-4", "", "IPv4 only", "-4", "nc -4 -N HOST PORT", "tcp server")
    yield row("-6", "", "IPv6 only", "-6", "nc -6 -N ::1 PORT", "tcp6 server")
    yield row("-b", "", "may send to broadcast addresses", "--set BROADCAST=1", "nc -b -u -w 1 HOST PORT", "udp server")
    yield row("-C", "", "LF is sent as CRLF", "-C", "nc -C -N HOST PORT", "tcp server")
    yield row("-D", "", "SO_DEBUG", "--set DEBUG=1", "nc -D -N HOST PORT", "tcp server", "hardly any protocol looks at it")
    yield row("-d", "", "stdin is not read", "--recv-only", "nc -d HOST PORT", "talking server")
    yield row("-F", "", "the connected socket itself is passed to stdout, for ssh's ProxyUseFdpass", None, says="no: sockkit carries the bytes, so that it can show them; without ProxyUseFdpass ssh takes `sockkit connect --proxy URL %h %p` as its ProxyCommand")
    yield row("-h", "", "help", "--help", unplayed="nothing is exchanged")
    yield row("-I", "N", "size of the receive buffer", "--set RCVBUF={}", "nc -I 65536 -N HOST PORT", "tcp server")
    yield row("-i", "S", "a pause after each line", "--line-delay {}", "nc -i 1 -N HOST PORT", "tcp server")
    yield row("-k", "", "with -l: the next client when one has gone", _keep, "nc -l -k HOST PORT", "tcp clients", says="ends when stdin has ended and the last client has gone; nc never")
    yield row("-l", "", "listen", _listen, "nc -l -N HOST PORT", "tcp client", says="without an address: this host only. Without --mode pipe it is an echo server")
    yield row("-M", "TTL", "hops that packets may make", _ttl, "nc -M 9 -u -w 1 HOST PORT", "udp server")
    yield row("-m", "TTL", "drop what has fewer hops left", _minttl, "nc -m 9 -N HOST PORT", "tcp server")
    yield row("-N", "", "pass the end of stdin on", "-N", "nc -N HOST PORT", "tcp server", says="the default here; --no-shutdown turns it off")
    yield row("-n", "", "ask no name server", "-n", "nc -n -N HOST PORT", "tcp server")
    yield row("-O", "N", "size of the send buffer", "--set SNDBUF={}", "nc -O 65536 -N HOST PORT", "tcp server")
    yield row("-P", "USER", "user name for an HTTP proxy", _proxy_user, "nc -X connect -P USER -x PROXYHOST:PROXYPORT HOST PORT", "", says="with a password: --proxy-auth-file FILE", unplayed="nc asks a terminal for the password")
    yield row("-p", "PORT", "source port; with -l the port", "-p {}", "nc -p SOURCEPORT -N HOST PORT", "tcp server")
    yield row("-q", "S", "end S seconds after the end of stdin", _quit_after, "nc -q 1 HOST PORT", "tcp server", says="not needed: the end of stdin is passed on, and the reply waited for. Of datagrams: --reply-wait S")
    yield row("-r", "", "ports in random order", "--random", "nc -z -r HOST PORT1-PORT2", "ports")
    yield row("-S", "", "TCP's MD5 signatures", None, says="no: Linux wants a key for each peer, and nc has none to give: `--set TCP_MD5SIG=…` takes one (RFC 2385)")
    yield row("-s", "ADDR", "source address; with -l the address", _source, "nc -s 127.0.0.1 -N HOST PORT", "tcp server")
    yield row("-T", "TOS", "type of service, by name or number", _tos, "nc -T lowdelay -u -w 1 HOST PORT", "udp server")
    yield row("-t", "", "refuse what telnet negotiates", "--telnet", "nc -t -N HOST PORT", "telnet server", "nc refuses, and prints the negotiation all the same: here it is taken out")
    yield row("-U", "", "Unix socket", "-U", "nc -U -N PATH", "unix server")
    yield row("-u", "", "UDP; with -U Unix datagrams", _udp, "nc -u -q 1 HOST PORT", "udp server", "nc -q loses a reply that comes after the end of stdin: here it is waited for")
    yield row("-V", "TABLE", "routing table", None, says="no: OpenBSD's own. On Linux a rule chooses the table by a mark: `--set MARK=N`")
    yield row("-v", "", "say more", "-v", "nc -v -N HOST PORT", "tcp server")
    yield row("-W", "N", "end after N packets were received", None, says="no: nothing counts packets for an end; `| head -c N` ends it after so many bytes, --idle-timeout S after a silence")
    yield row("-w", "S", "seconds for the connection, and of silence", "-w {}", "nc -w 1 HOST PORT", "silent server, open", says="after a silence status 1 and a word; nc ends with 0, silently, and with -l it ignores -w")
    yield row("-X", "4|5|connect", "the proxy's protocol", _nc_proxy_type, "nc -X connect -x PROXYHOST:PROXYPORT -N HOST PORT", "proxy")
    yield row("-x", "HOST:PORT", "a proxy", _nc_proxy, "nc -x PROXYHOST:PROXYPORT -N localhost PORT", "proxy")
    yield row("-Z", "", "DCCP", "--type DCCP --proto DCCP", says="Linux has no DCCP since 6.16", example="nc -Z -N HOST PORT", unplayed="the kernel has no DCCP")
    yield row("-z", "", "only see whether somebody listens", _zero, "nc -z HOST PORT", "silent server", says="with -u nc has status 0 without an answer, and without -v even where the port is closed; here only an answer is 0")
    yield row("PORT-PORT", "", "ports in a range, and lists of them", "--random", "nc -z HOST PORT1-PORT2", "ports", says="one after the other in nc, many at once here. With a list, commas: 22,80,8000-8010")
    # fmt: on


def _ncat() -> Iterator[Row]:
    row = partial(_row, "ncat")
    # fmt: off
    yield row("-4", "", "IPv4 only", "-4", "ncat -4 HOST PORT", "tcp server")
    yield row("-6", "", "IPv6 only", "-6", "ncat -6 ::1 PORT", "tcp6 server")
    yield row("-U --unixsock", "", "Unix socket", "-U", "ncat -U PATH", "unix server")
    yield row("--vsock", "", "VSOCK", "--family VSOCK", "ncat --vsock CID PORT", says="", unplayed="virtual machines are needed")
    yield row("-C --crlf", "", "LF is sent as CRLF", "-C", "ncat -C HOST PORT", "tcp server")
    yield row("-c --sh-exec", "COMMAND", "run a command by the shell for each connection", _shell, "ncat -l HOST PORT -c 'sed -u y/elo/ELO/'", "program's client", "a client that ends its side first gets its answer too: ncat loses it")
    yield row("-e --exec", "COMMAND", "run a program for each connection", _program, "ncat -l HOST PORT -e '/bin/sed -u y/elo/ELO/'", "program's client", says="the program comes last, its environment is SOCKKIT_… instead of NCAT_…; a client that ends its side first gets its answer too: ncat loses it")
    yield row("--lua-exec", "FILE", "run a Lua script for each connection", _program_of("lua {}"), "ncat -l HOST PORT --lua-exec FILE", unplayed="Debian's ncat has its Lua inside; a script is one more program here")
    yield row("-g", "HOPS", "loose source routing", None, says="no: nearly every router drops it (RFC 7126); `--set IP_OPTIONS=HEX` says it byte by byte")
    yield row("-G", "N", "pointer into -g", None, says="no: as -g")
    yield row("-m --max-conns", "N", "serve N clients at once", "--max-conns {}", "ncat -l -k -m 2 HOST PORT -e /bin/cat", "program's clients", says="more wait in the queue; ncat refuses them")
    yield row("-h --help", "", "help", "--help", unplayed="nothing is exchanged")
    yield row("-d --delay", "TIME", "a pause after each line", "--line-delay {}", "ncat -d 1 HOST PORT", "tcp server")
    yield row("-o --output", "FILE", "record what passes", _record, "ncat -o FILE HOST PORT", "tcp server", says="ncat mixes the directions in one file; here FILE.sent.raw and FILE.received.raw, or .pcapng, .ndjson, .html …")
    yield row("-x --hex-dump", "FILE", "a hex dump of what passes", _hex, "ncat -x FILE HOST PORT", "tcp server", says="on stderr, with direction and time; with -o FILE.txt it goes to a file too")
    yield row("-i --idle-timeout", "TIME", "end when nothing passes", "--idle-timeout {}", "ncat -i 1 HOST PORT", "silent server, open")
    yield row("-p --source-port", "PORT", "source port; with -l the port", "-p {}", "ncat -p SOURCEPORT HOST PORT", "tcp server")
    yield row("-s --source", "ADDR", "source address", _source, "ncat -s 127.0.0.1 HOST PORT", "tcp server")
    yield row("-l --listen", "", "listen", _listen, "ncat -l HOST PORT", "tcp client", says="without an address: this host only. Without --mode pipe it is an echo server")
    yield row("-k --keep-open", "", "with -l: many clients", _keep, "ncat -l -k HOST PORT -e /bin/cat", "program's clients", says="with a program, many at once. With stdin ncat serves many at once and gives all of it to each; here one after the other")
    yield row("-n --nodns", "", "ask no name server", "-n", "ncat -n HOST PORT", "tcp server")
    yield row("-t --telnet", "", "refuse what telnet negotiates", "--telnet", "ncat -t HOST PORT", "telnet server", "ncat refuses, and prints the negotiation all the same: here it is taken out")
    yield row("-u --udp", "", "UDP; with -U Unix datagrams", _udp, "ncat -u HOST PORT", "udp server", says="a late reply is waited for; ncat ends with stdin")
    yield row("--sctp", "", "SCTP", "--proto SCTP", "ncat --sctp HOST PORT", "sctp server")
    yield row("-v --verbose", "", "say more", "-v", "ncat -v HOST PORT", "tcp server")
    yield row("-w --wait", "TIME", "seconds for the connection", "--connect-timeout {}", "ncat -w 5 HOST PORT", "tcp server", says="-w limits the silence too")
    yield row("-z", "", "only see whether somebody listens", _zero, "ncat -z HOST PORT", "silent server", says="with -u ncat has status 0 without an answer; here only an answer is 0")
    yield row("--append-output", "", "-o and -x add to a file", None, says="no: a recording has one beginning; -o never writes over one unless --force is given")
    yield row("--send-only", "", "ignore what comes, end with stdin", "--send-only", "ncat --send-only HOST PORT", "tcp server")
    yield row("--recv-only", "", "send nothing", "--recv-only", "ncat --recv-only HOST PORT", "talking server")
    yield row("--no-shutdown", "", "do not pass the end of stdin on", "--no-shutdown", "ncat --no-shutdown HOST PORT", "tcp server")
    yield row("--allow", "HOSTS", "serve these only", "--allow {}", "ncat -l HOST PORT --allow 127.0.0.1", "tcp client")
    yield row("--allowfile", "FILE", "serve these only", "--allowfile {}", "ncat -l HOST PORT --allowfile HOSTS", "tcp client")
    yield row("--deny", "HOSTS", "serve all but these", "--deny {}", "ncat -l -k HOST PORT --deny 127.0.0.1", "denied client", "whoever is both allowed and denied is refused; ncat serves him")
    yield row("--denyfile", "FILE", "serve all but these", "--denyfile {}", "ncat -l -k HOST PORT --denyfile HOSTS", "denied client")
    yield row("--broker", "", "what one sends all others get", _broadcast, "ncat -l --broker HOST PORT", "two clients")
    yield row("--chat", "", "the same, with names", _chat, "ncat -l --chat HOST PORT", "two talkers", says="the words differ: ncat writes <user5> before a line")
    yield row("--proxy", "HOST:PORT", "a proxy", _proxy, "ncat --proxy PROXYHOST:PROXYPORT HOST PORT", "proxy")
    yield row("--proxy-type", "http|socks4|socks5", "the proxy's protocol", _proxy_type, "ncat --proxy PROXYHOST:PROXYPORT --proxy-type socks5 localhost PORT", "proxy", says="with -l ncat is a proxy server itself: sockkit is none")
    yield row("--proxy-auth", "USER:PASSWORD", "who one is to the proxy", _proxy_user, "ncat --proxy PROXYHOST:PROXYPORT --proxy-auth USER:PASSWORD HOST PORT", "proxy with a password", says="FILE's first line is USER:PASSWORD (or SOCKKIT_PROXY_AUTH in the environment): the process list shows it to nobody")
    yield row("--proxy-dns", "WHERE", "where the name is looked up", _proxy_dns, "ncat --proxy PROXYHOST:PROXYPORT --proxy-type socks5 --proxy-dns local localhost PORT", "proxy", says="socks5 and socks4 look it up here; socks5h, socks4a and http leave it to the proxy")
    yield row("--ssl", "", "TLS", "--tls", "ncat --ssl HOST PORT", "tls server", says="the peer is verified; --insecure is ncat's way. ncat ends without close_notify: its peer cannot tell an end from a cut")
    yield row("--ssl-cert", "FILE", "our certificate", "--cert {}", "ncat -l --ssl --ssl-cert CERT --ssl-key KEY HOST PORT", "tls client", says="ncat ends TLS without close_notify")
    yield row("--ssl-key", "FILE", "its key", "--key {}", "ncat -l --ssl --ssl-cert CERT --ssl-key KEY HOST PORT", "tls client", says="ncat ends TLS without close_notify")
    yield row("--ssl-verify", "", "verify the peer", "--tls", "ncat --ssl-verify --ssl-trustfile CA localhost PORT", "tls server", says="ncat ends TLS without close_notify")
    yield row("--ssl-trustfile", "FILE", "trust these certificates only", "--ca {}", "ncat --ssl-verify --ssl-trustfile CA localhost PORT", "tls server", says="ncat ends TLS without close_notify")
    yield row("--ssl-ciphers", "LIST", "ciphers", None, says="no: those of Python's ssl, which are OpenSSL's for TLS 1.2 and later; OPENSSL_CONF changes them for a process")
    yield row("--ssl-servername", "NAME", "the server's name", "--server-name {}", "ncat --ssl --ssl-servername localhost HOST PORT", "tls server", says="ncat ends TLS without close_notify")
    yield row("--ssl-alpn", "LIST", "application protocols", "--alpn {}", "ncat --ssl --ssl-alpn http/1.1 localhost PORT", "tls server", says="ncat ends TLS without close_notify")
    yield row("--version", "", "the version", "--version", unplayed="nothing is exchanged")
    # fmt: on


# ---- socat: two addresses, each with options


class End:
    """One of socat's two addresses.

    Attributes:
        role: connect, listen, local (stdin, stdout, files), program or echo.
        opens: a path of which socat looks what it is: a file, or a Unix socket.
        reads, writes: what the shell says for a file: ``< FILE``, ``> FILE``; empty for stdin and stdout themselves.
        source, sink: whether it can be read from, and written to.
    """

    def __init__(self) -> None:
        self.role = "local"
        self.flags: list[tuple[str, ...]] = []
        self.address: list[str] = []
        self.reads = self.writes = self.path = ""
        self.source = self.sink = True
        self.fork = self.udp = self.append = self.opens = False
        self.bind = self.proxy = self.proxy_type = self.proxy_port = self.proxy_user = self.shell = ""
        self.program: list[str] = []


Part = Callable[[End, list[str]], None]


def _net(role: str, *flags: str, abstract: bool = False, once: bool = False) -> Part:
    """An address that is a socket."""

    def change(end: End, parts: list[str]) -> None:
        end.role = role
        end.udp = "-u" in flags or "RAW" in flags
        pairs = iter(flags)
        end.flags += [(flag,) if flag in ("-u", "-U", "--tls") else (flag, next(pairs)) for flag in pairs]
        if once:
            end.flags.append(("--once",))
        end.address = [f"@{part}" for part in parts] if abstract else [part.strip("[]") for part in parts]

    return change


def _raw(role: str) -> Part:
    """IP-SENDTO:HOST:PROTOCOL and its kin."""

    def change(end: End, parts: list[str]) -> None:
        end.role, end.udp = role, True
        end.flags += [("--type", "RAW"), ("--proto", parts[-1])]
        end.address = parts[:-1] or ["0.0.0.0"]

    return change


def _vsock(role: str) -> Part:
    def change(end: End, parts: list[str]) -> None:
        end.role = role
        end.flags.append(("--family", "VSOCK"))
        end.address = [":".join(parts)]

    return change


def _interface_end(end: End, parts: list[str]) -> None:
    end.role, end.udp = "connect", True
    end.flags += [("--family", "PACKET"), ("--type", "RAW")]
    end.address = [parts[0]]


def _any_family(role: str, *, type: bool) -> Part:
    """SOCKET-CONNECT:DOMAIN:PROTOCOL:ADDRESS, SOCKET-SENDTO:DOMAIN:TYPE:PROTOCOL:ADDRESS and their kin."""

    def change(end: End, parts: list[str]) -> None:
        end.role = role
        names = ("--family", "--type", "--proto") if type else ("--family", "--proto")
        end.flags += [(name, value) for name, value in zip(names, parts, strict=False) if value != "0"]
        end.address = ["hex:" + parts[-1].replace("x", "")]
        end.udp = type

    return change


def _through(kind: str, port: str) -> Part:
    """SOCKS4:SERVER:HOST:PORT, PROXY:PROXY:HOST:PORT."""

    def change(end: End, parts: list[str]) -> None:
        end.role = "connect"
        if len(parts) == 4:  # SOCKS5-CONNECT:SERVER:PORT:HOST:PORT
            end.proxy_port = parts.pop(1)
        end.proxy, end.proxy_type = parts[0], kind
        end.proxy_port = end.proxy_port or port
        end.address = parts[1:]

    return change


def _program_end(end: End, parts: list[str]) -> None:
    end.role, end.program = "program", shlex.split(":".join(parts))


def _shell_end(end: End, parts: list[str]) -> None:
    end.role, end.shell = "program", ":".join(parts)


def _standard(*, source: bool = True, sink: bool = True) -> Part:
    def change(end: End, parts: list[str]) -> None:
        end.source, end.sink = source, sink

    return change


def _descriptor(end: End, parts: list[str]) -> None:
    end.reads, end.writes = f"<&{parts[0]}", f">&{parts[0]}"


def _file(*, source: bool = True) -> Part:
    def change(end: End, parts: list[str]) -> None:
        end.path, end.source = ":".join(parts), source
        end.reads, end.writes = f"< {shlex.quote(end.path)}", f"> {shlex.quote(end.path)}"

    return change


def _pipe(end: End, parts: list[str]) -> None:
    if parts:
        _file()(end, parts)
    else:
        end.role = "echo"


def _fork(end: End, parts: list[str]) -> None:
    end.fork = True


def _bind(end: End, parts: list[str]) -> None:
    """``bind=ADDRESS``, ``bind=:PORT``, ``bind=ADDRESS:PORT``."""
    host, colon, port = parts[0].rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.endswith("]")):
        end.flags.append(("-p", port))
        end.bind = host
    else:
        end.bind = parts[0]


def _stderr(end: End, parts: list[str]) -> None:
    """The program's stderr goes to the peer too."""
    if end.role == "program":
        end.shell, end.program = f"{end.shell or shlex.join(end.program)} 2>&1", []


def _version(end: End, parts: list[str]) -> None:
    number = {"ip4": "-4", "ipv4": "-4", "2": "-4", "ip6": "-6", "ipv6": "-6", "10": "-6"}.get(parts[0].lower())
    end.flags.append((number,) if number else ("--family", parts[0]))


def _membership(end: End, parts: list[str]) -> None:
    """``GROUP:INTERFACE``, an IPv6 group in brackets."""
    group, colon, interface = parts[0].rpartition(":")
    end.flags.append(("--join", f"{group.strip('[]')}%{interface}" if colon and group else parts[0]))


def _option(name: str) -> Part:
    """A socket option; without a value it is switched on."""

    def change(end: End, parts: list[str]) -> None:
        end.flags.append(("--set", f"{name}={parts[0] or 1}"))

    return change


def _any_option(end: End, parts: list[str]) -> None:
    """``setsockopt-int=LEVEL:NAME:VALUE``."""
    level, name, value = (*parts[0].split(":"), "", "")[:3]
    end.flags.append(("--set", f"{level}:{name}={value}"))


def _append(end: End, parts: list[str]) -> None:
    end.writes = f">{end.writes}"


def _verify(end: End, parts: list[str]) -> None:
    if parts[0] == "0" and end.role == "connect":
        end.flags.append(("--insecure",))


def _proxy_port(end: End, parts: list[str]) -> None:
    end.proxy_port = parts[0]


def _proxy_name(end: End, parts: list[str]) -> None:
    end.proxy_user = parts[0]


def _none(end: End, parts: list[str]) -> None:
    pass


SHAPES: dict[str, Part] = {}
"""What socat's addresses and their options do to an end, by the first of the row's names; the rest become sockkit's words."""


def _socat() -> Iterator[Row]:
    row = partial(_row, "socat")

    def shaped(names: str, takes: str, meaning: str, part: Part, *more: str, **given: str) -> Row:
        SHAPES[names.split()[0]] = part
        return row(names, takes, meaning, "", *more, **given)

    def no(names: str, takes: str, meaning: str, why: str) -> Row:
        return row(names, takes, meaning, None, says=f"no: {why}")

    # addresses
    # fmt: off
    yield shaped("TCP TCP-CONNECT", "HOST:PORT", "a TCP connection", _net("connect"), "socat - TCP:HOST:PORT", "tcp server")
    yield shaped("TCP-LISTEN TCP-L", "PORT", "a TCP server", _net("listen"), "socat - TCP-LISTEN:PORT,bind=HOST", "tcp client", says="one client, as with socat; -k or a program serves more")
    yield shaped("UDP UDP-CONNECT", "HOST:PORT", "datagrams to one address", _net("connect", "-u"), "socat - UDP:HOST:PORT", "udp server")
    yield shaped("UDP-SENDTO", "HOST:PORT", "datagrams to one address, unconnected", _net("connect", "-u"), "socat - UDP-SENDTO:HOST:PORT", "udp server", says="the socket is connected, so that a refusal is seen")
    yield shaped("UDP-DATAGRAM", "HOST:PORT", "datagrams to one address, replies from any", _net("connect", "-u"), "socat - UDP-DATAGRAM:HOST:PORT", "udp server", says="of a group, and of 255.255.255.255, replies from any; else from that address only. Listening to a group: `sockkit serve -u --join GROUP GROUP PORT`")
    yield shaped("UDP-LISTEN UDP-L", "PORT", "datagrams with whoever comes first", _net("listen", "-u"), "socat - UDP-LISTEN:PORT,bind=HOST", "udp client", says="stdin goes to whoever sent last")
    yield shaped("UDP-RECVFROM", "PORT", "one datagram and its answer", _net("listen", "-u"), "socat - UDP-RECVFROM:PORT,bind=HOST", "udp client", says="further datagrams are taken too, until the end of stdin and --reply-wait")
    yield shaped("UDP-RECV", "PORT", "datagrams of all, no answers", _net("listen", "-u"), "socat -u UDP-RECV:PORT,bind=HOST -", "udp talker, stopped")
    yield shaped("UNIX-CONNECT UNIX LOCAL UNIX-CLIENT", "PATH", "a Unix connection", _net("connect", "-U"), "socat - UNIX-CONNECT:PATH", "unix server")
    yield shaped("UNIX-LISTEN UNIX-L", "PATH", "a Unix server", _net("listen", "-U"), "socat - UNIX-LISTEN:PATH", "unix client")
    yield shaped("UNIX-SENDTO", "PATH", "Unix datagrams", _net("connect", "-u", "-U"), "socat -u - UNIX-SENDTO:PATH", "unix datagram server")
    yield shaped("UNIX-RECV UNIX-RECVFROM", "PATH", "Unix datagrams of all", _net("listen", "-u", "-U"), "socat -u UNIX-RECV:PATH -", "unix talker, stopped")
    yield shaped("ABSTRACT-CONNECT ABSTRACT ABSTRACT-CLIENT", "NAME", "a Unix connection without a path", _net("connect", "-U", abstract=True), "socat - ABSTRACT-CONNECT:NAME", "unix server")
    yield shaped("ABSTRACT-LISTEN", "NAME", "a Unix server without a path", _net("listen", "-U", abstract=True), "socat - ABSTRACT-LISTEN:NAME", "unix client")
    yield shaped("ABSTRACT-SENDTO", "NAME", "Unix datagrams without a path", _net("connect", "-u", "-U", abstract=True), "socat -u - ABSTRACT-SENDTO:NAME", "unix datagram server")
    yield shaped("ABSTRACT-RECV ABSTRACT-RECVFROM", "NAME", "Unix datagrams of all, without a path", _net("listen", "-u", "-U", abstract=True), "socat -u ABSTRACT-RECV:NAME -", "unix talker, stopped")
    yield shaped("OPENSSL SSL OPENSSL-CONNECT", "HOST:PORT", "TLS, verified", _net("connect", "--tls"), "socat - OPENSSL:localhost:PORT,cafile=CA", "tls server")
    yield shaped("OPENSSL-LISTEN SSL-L OPENSSL-L", "PORT", "a TLS server", _net("listen", "--tls"), "socat - OPENSSL-LISTEN:PORT,bind=HOST,cert=CERT,key=KEY,verify=0", "tls client", says="clients are asked for certificates with --ca only; socat asks unless verify=0")
    yield no("OPENSSL-DTLS-CLIENT OPENSSL-DTLS-SERVER", "…", "TLS over datagrams", "Python's ssl has no DTLS")
    yield shaped("EXEC", "COMMAND", "a program, without a shell", _program_end, "socat TCP-LISTEN:PORT,bind=HOST EXEC:'tr a-z A-Z'", "tcp client")
    yield shaped("SYSTEM SHELL", "COMMAND", "a program, by the shell", _shell_end, "socat TCP-LISTEN:PORT,bind=HOST SYSTEM:'tr a-z A-Z'", "tcp client")
    yield shaped("STDIO -", "", "stdin and stdout", _standard(), "socat STDIO TCP:HOST:PORT", "tcp server")
    yield shaped("STDIN", "", "stdin alone", _standard(sink=False), "socat -u STDIN TCP:HOST:PORT", "tcp server")
    yield shaped("STDOUT STDERR", "", "stdout alone", _standard(source=False), "socat -u TCP:HOST:PORT STDOUT", "talking server")
    yield shaped("FD", "N", "a descriptor", _descriptor, "socat FD:0 TCP:HOST:PORT", says="by the shell's redirection; a socket: --fileno N", unplayed="the shell's redirection")
    yield shaped("OPEN GOPEN FILE", "FILE", "a file", _file(), "socat -u OPEN:FILE TCP:HOST:PORT", "tcp server")
    yield shaped("CREATE CREAT", "FILE", "a new file", _file(source=False), "socat -u TCP:HOST:PORT CREATE:FILE", "talking server")
    yield shaped("PIPE FIFO", "", "an echo; with a FILE a named pipe", _pipe, "socat TCP-LISTEN:PORT,bind=HOST PIPE", "tcp client", says="the default of serve")
    yield shaped("SOCKS4", "SERVER:HOST:PORT", "through a SOCKS4 server", _through("socks4", "1080"), "socat - SOCKS4:PROXYHOST:HOST:PORT,socksport=PROXYPORT,socksuser=me", "proxy")
    yield shaped("SOCKS4A", "SERVER:HOST:PORT", "likewise, the name looked up there", _through("socks4a", "1080"), "socat - SOCKS4A:PROXYHOST:localhost:PORT,socksport=PROXYPORT,socksuser=me", "proxy")
    yield shaped("SOCKS5 SOCKS5-CONNECT", "SERVER:PORT:HOST:PORT", "through a SOCKS5 server", _through("socks5h", "1080"), "socat - SOCKS5:PROXYHOST:PROXYPORT:HOST:PORT", unplayed="socat has it from 1.8 on")
    yield shaped("PROXY PROXY-CONNECT", "PROXY:HOST:PORT", "through an HTTP proxy", _through("http", "8080"), "socat - PROXY:PROXYHOST:HOST:PORT,proxyport=PROXYPORT", "proxy")
    yield shaped("SCTP SCTP-CONNECT", "HOST:PORT", "an SCTP association", _net("connect", "--proto", "SCTP"), "socat - SCTP:HOST:PORT", "sctp server")
    yield shaped("SCTP-LISTEN SCTP-L", "PORT", "an SCTP server", _net("listen", "--proto", "SCTP"), "socat - SCTP-LISTEN:PORT,bind=HOST", "sctp client")
    yield shaped("VSOCK-CONNECT VSOCK", "CID:PORT", "to a virtual machine or its host", _vsock("connect"), "socat - VSOCK-CONNECT:CID:PORT", unplayed="a virtual machine is needed")
    yield shaped("VSOCK-LISTEN VSOCK-L", "PORT", "a server for virtual machines", _vsock("listen"), "socat - VSOCK-LISTEN:PORT", unplayed="a virtual machine is needed")
    yield shaped("IP IP-SENDTO IP-DATAGRAM", "HOST:PROTOCOL", "a raw socket", _raw("connect"), "socat -u - IP-SENDTO:HOST:253", "raw server")
    yield shaped("IP-RECV IP-RECVFROM", "PROTOCOL", "packets of a protocol", _raw("listen"), "socat -u IP-RECV:253 -", "raw talker, stopped", "with the IP header, as the kernel hands it over; IPv6 has none")
    yield shaped("INTERFACE", "NAME", "all packets of an interface", _interface_end, "socat - INTERFACE:lo", unplayed="an interface hears everybody's packets", says="`sockkit serve --family PACKET lo` listens only")
    yield shaped("SOCKET-CONNECT", "DOMAIN:PROTOCOL:ADDRESS", "any family, by numbers", _any_family("connect", type=False), "socat - SOCKET-CONNECT:2:6:HEXADDRESS", "tcp server")
    yield shaped("SOCKET-LISTEN", "DOMAIN:PROTOCOL:ADDRESS", "a server of any family", _any_family("listen", type=False), "socat - SOCKET-LISTEN:2:6:HEXADDRESS", "tcp client")
    yield shaped("SOCKET-SENDTO SOCKET-DATAGRAM", "DOMAIN:TYPE:PROTOCOL:ADDRESS", "messages of any family", _any_family("connect", type=True), "socat - SOCKET-SENDTO:2:2:17:HEXADDRESS", "udp server")
    yield shaped("SOCKET-RECV SOCKET-RECVFROM", "DOMAIN:TYPE:PROTOCOL:ADDRESS", "messages of all, any family", _any_family("listen", type=True), "socat -u SOCKET-RECV:2:2:17:HEXADDRESS -", "udp talker, stopped")
    yield no("PTY", "", "a pseudo-terminal", "one end is a socket; `--sh-exec` runs `script -qc PROGRAM /dev/null` where a program needs a terminal")
    yield no("TUN", "NET", "a network interface of its own", "one end is a socket; `ip tuntap` makes interfaces")
    yield shaped("READLINE", "", "a line editor on the terminal", _standard(), "socat READLINE TCP:HOST:PORT", says="by itself on a terminal, where prompt_toolkit is installed; --no-edit turns it off", unplayed="Debian's socat has none")
    # options
    yield row("-V", "", "the version", "--version", unplayed="nothing is exchanged")
    yield row("-h -? -hh -hhh", "", "help", "--help", unplayed="nothing is exchanged")
    yield row("-d -dd -ddd -dddd", "", "say more", "-v", "socat -d -d - TCP:HOST:PORT", "tcp server")
    yield row("-v", "", "show what passes, as text", "-v", "socat -v - TCP:HOST:PORT", "tcp server")
    yield row("-x", "", "show what passes, in hex", "-x", "socat -x - TCP:HOST:PORT", "tcp server")
    yield row("-lf", "FILE", "log to a file", _log, "socat -lf FILE - TCP:HOST:PORT", "tcp server")
    yield row("-ly -lm", "FACILITY", "log to syslog", None, says="no: `2>&1 >/dev/null | logger` does")
    yield row("-lp", "NAME", "its name in the log", "", says="nothing that sockkit would need", unplayed="nothing is exchanged")
    yield row("-ls -lh -g -s -D", "", "of the log, of checks", "", says="nothing that sockkit would need", unplayed="nothing is exchanged")
    yield row("-lu", "", "microseconds in the log", "--time absolute", "socat -lu - TCP:HOST:PORT", "tcp server")
    yield row("-r -R", "FILE", "record what passes, each way", "-o {}.raw", "socat -r FILE - TCP:HOST:PORT", "tcp server", says="both ways at once")
    yield row("-b", "N", "size of the buffer", "", "socat -b 100 - TCP:HOST:PORT", "tcp server", says="not needed: see docs/performance.md")
    yield row("-t", "S", "wait S seconds after one end", "", "socat -t 5 - TCP:HOST:PORT", "tcp server", says="not needed: the reply is waited for")
    yield row("-T", "S", "end when nothing passes", "--idle-timeout {}", "socat -T 1 - TCP:HOST:PORT", "silent server, open", says="status 1 and a word; socat ends with 0, silently")
    yield row("-u", "", "from the first to the second only", _nothing, "socat -u - TCP:HOST:PORT", "tcp server")
    yield row("-U", "", "from the second to the first only", _nothing, "socat -U - TCP:HOST:PORT", "talking server")
    yield row("-L -W", "FILE", "a lock file", None, says="no: `flock FILE sockkit …` does")
    yield row("-4", "", "IPv4 rather than IPv6", "-4", "socat -4 - TCP:HOST:PORT", "tcp server", says="IPv4 only")
    yield row("-6", "", "IPv6 rather than IPv4", "-6", "socat -6 - TCP:[::1]:PORT", "tcp6 server", says="IPv6 only")
    # options of addresses
    yield shaped("fork", "", "serve many", _fork, "socat TCP-LISTEN:PORT,bind=HOST,fork EXEC:cat", "program's clients", says="without fork: --once, as socat means it")
    yield row("reuseaddr so-reuseaddr", "", "SO_REUSEADDR", "--set REUSEADDR=1", "socat - TCP-LISTEN:PORT,bind=HOST,reuseaddr", "tcp client", says="not set unless asked for")
    yield shaped("reuseport so-reuseport", "", "SO_REUSEPORT", _option("REUSEPORT"), "socat - TCP-LISTEN:PORT,bind=HOST,reuseport", "tcp client")
    yield shaped("pf protocol-family", "ip4|ip6", "the address family", _version, "socat - TCP:HOST:PORT,pf=ip4", "tcp server")
    yield shaped("ipv6only v6only ipv6-v6only", "0|1", "IPv6 alone, or IPv4 too", _option("IPV6_V6ONLY"), "socat - TCP6-LISTEN:PORT,bind=[::1],ipv6only=1", "tcp6 client")
    yield shaped("bind", "ADDRESS", "our address", _bind, "socat - TCP:HOST:PORT,bind=127.0.0.1", "tcp server", says="-s of connect, the address of serve")
    yield row("sourceport sp", "PORT", "source port", "-p {}", "socat - TCP:HOST:PORT,sourceport=SOURCEPORT", "tcp server")
    yield row("range", "NET", "serve these only", "--allow {}", "socat - TCP-LISTEN:PORT,bind=HOST,range=127.0.0.0/8", "tcp client")
    yield row("interface if so-bindtodevice", "NAME", "through this interface", "--interface {}", "socat - TCP:HOST:PORT,interface=lo", "tcp server")
    yield row("crlf crnl", "", "LF is sent as CRLF", "-C", "socat - TCP:HOST:PORT,crnl", "tcp server", says="what is received stays as it is; socat makes LF of it")
    yield row("keepalive so-keepalive", "", "SO_KEEPALIVE", "--set KEEPALIVE=1", "socat - TCP:HOST:PORT,keepalive", "tcp server")
    yield row("keepidle tcp-keepidle", "S", "TCP_KEEPIDLE", "--set KEEPIDLE={}", "socat - TCP:HOST:PORT,keepalive,keepidle=9", "tcp server")
    yield row("keepintvl tcp-keepintvl", "S", "TCP_KEEPINTVL", "--set KEEPINTVL={}", "socat - TCP:HOST:PORT,keepalive,keepintvl=9", "tcp server")
    yield row("keepcnt tcp-keepcnt", "N", "TCP_KEEPCNT", "--set KEEPCNT={}", "socat - TCP:HOST:PORT,keepalive,keepcnt=3", "tcp server")
    yield row("linger so-linger", "S", "SO_LINGER", "--set LINGER=on,{}", "socat - TCP:HOST:PORT,linger=5", "tcp server")
    yield shaped("cork tcp-cork", "", "TCP_CORK", _option("CORK"), "socat - TCP:HOST:PORT,cork", "tcp server")
    yield row("syncnt tcp-syncnt", "N", "TCP_SYNCNT", "--set SYNCNT={}", "socat - TCP:HOST:PORT,syncnt=3", "tcp server")
    yield row("defer-accept tcp-defer-accept", "S", "TCP_DEFER_ACCEPT", "--set DEFER_ACCEPT={}", "socat - TCP-LISTEN:PORT,bind=HOST,defer-accept=5", "tcp client")
    yield row("priority so-priority", "N", "SO_PRIORITY", "--set PRIORITY={}", "socat - TCP:HOST:PORT,priority=3", "tcp server")
    yield shaped("oobinline so-oobinline", "", "SO_OOBINLINE", _option("OOBINLINE"), "socat - TCP:HOST:PORT,oobinline", "tcp server")
    yield shaped("freebind ip-freebind", "", "IP_FREEBIND", _option("IP_FREEBIND"), "socat - TCP-LISTEN:PORT,bind=HOST,freebind", "tcp client")
    yield shaped("setsockopt-int sockopt-int", "LEVEL:OPTION:VALUE", "any option, by numbers", _any_option, "socat - TCP:HOST:PORT,setsockopt-int=6:1:1", "tcp server", says="by its name as well: --set NODELAY=1")
    yield row("nodelay tcp-nodelay", "", "TCP_NODELAY", "--set NODELAY=1", "socat - TCP:HOST:PORT,nodelay", "tcp server")
    yield row("tos ip-tos", "N", "type of service", "--set TOS={}", "socat - UDP:HOST:PORT,tos=16", "udp server")
    yield row("ttl ip-ttl", "N", "hops", "--set TTL={}", "socat - UDP:HOST:PORT,ttl=9", "udp server")
    yield row("rcvbuf so-rcvbuf", "N", "SO_RCVBUF", "--set RCVBUF={}", "socat - TCP:HOST:PORT,rcvbuf=65536", "tcp server")
    yield row("sndbuf so-sndbuf", "N", "SO_SNDBUF", "--set SNDBUF={}", "socat - TCP:HOST:PORT,sndbuf=65536", "tcp server")
    yield row("broadcast so-broadcast", "", "SO_BROADCAST", "--set BROADCAST=1", "socat - UDP:HOST:PORT,broadcast", "udp server")
    yield row("mss tcp-maxseg", "N", "TCP_MAXSEG", "--set MAXSEG={}", "socat - TCP:HOST:PORT,mss=1000", "tcp server")
    yield shaped("ip-add-membership membership ipv6-join-group join-group", "GROUP:INTERFACE", "join a multicast group", _membership, "socat -u UDP-RECV:PORT,bind=GROUP,ip-add-membership=GROUP:lo -", "group talker, stopped")
    yield row("ip-multicast-ttl multicast-ttl", "N", "hops of multicast", "--set IP_MULTICAST_TTL={}", "socat - UDP:HOST:PORT,ip-multicast-ttl=3", "udp server")
    yield row("ip-multicast-loop multicastloop", "0|1", "multicast comes back to this host", "--set IP_MULTICAST_LOOP={}", "socat - UDP:HOST:PORT,ip-multicast-loop=0", "udp server")
    yield row("ip-multicast-if multicast-if", "ADDRESS", "multicast leaves by this interface", "--set IP_MULTICAST_IF={}", "socat - UDP:HOST:PORT,ip-multicast-if=127.0.0.1", "udp server", says="by its name: --interface")
    yield row("accept-timeout listen-timeout", "S", "end when nobody comes", "--accept-timeout {}", "socat - TCP-LISTEN:PORT,bind=HOST,accept-timeout=9", "tcp client")
    yield row("netns", "NAME", "in a network namespace", "--netns {}", unplayed="socat has it from 1.8 on")
    yield row("backlog", "N", "the accept queue", "--backlog {}", "socat - TCP-LISTEN:PORT,bind=HOST,backlog=3", "tcp client")
    yield row("max-children", "N", "serve N at once", "--max-conns {}", "socat TCP-LISTEN:PORT,bind=HOST,fork,max-children=2 EXEC:cat", "program's clients")
    yield row("connect-timeout", "S", "seconds for the connection", "--connect-timeout {}", "socat - TCP:HOST:PORT,connect-timeout=5", "tcp server")
    yield row("retry", "N", "try again N times", "--retry {}", "socat - TCP:HOST:PORT,retry=20,interval=0.1", "late server")
    yield row("interval intervall", "S", "seconds between tries", "--retry-delay {}", "socat - TCP:HOST:PORT,retry=20,interval=0.1", "late server")
    yield row("forever", "", "try again for ever", "--retry forever", "socat - TCP:HOST:PORT,forever,interval=0.1", "late server")
    yield row("ignoreeof", "", "go on behind the end of a file", None, says="no: `tail -f FILE | sockkit connect …` does")
    yield row("shut-none", "", "do not pass the end on", "--no-shutdown", "socat -t 5 - TCP:HOST:PORT,shut-none", "tcp server")
    yield shaped("shut-down", "", "pass the end on", _none, "socat - TCP:HOST:PORT,shut-down", "tcp server", says="the default")
    yield no("shut-close shut-null null-eof", "", "an end by close, or by an empty datagram", "an end is a half-close here; `--lines` sends an empty line as an empty datagram")
    yield row("cafile openssl-cafile", "FILE", "trust these certificates only", "--ca {}", "socat - OPENSSL:localhost:PORT,cafile=CA", "tls server")
    yield row("cert certificate openssl-certificate", "FILE", "our certificate", "--cert {}", "socat - OPENSSL-LISTEN:PORT,bind=HOST,cert=CERT,key=KEY,verify=0", "tls client")
    yield row("key openssl-key", "FILE", "its key", "--key {}", "socat - OPENSSL-LISTEN:PORT,bind=HOST,cert=CERT,key=KEY,verify=0", "tls client")
    yield row("commonname openssl-commonname snihost", "NAME", "the name to verify", "--server-name {}", "socat - OPENSSL:HOST:PORT,cafile=CA,commonname=localhost", "tls server")
    yield shaped("verify openssl-verify", "0|1", "verify the peer", _verify, "socat - OPENSSL:HOST:PORT,verify=0", "tls server", says="--insecure for 0")
    yield shaped("proxyport socksport", "PORT", "the proxy's port", _proxy_port, "socat - SOCKS4:PROXYHOST:HOST:PORT,socksport=PROXYPORT,socksuser=me", "proxy")
    yield shaped("socksuser proxyauth proxy-authorization", "USER[:PASSWORD]", "who one is to the proxy", _proxy_name, "socat - SOCKS4:PROXYHOST:HOST:PORT,socksport=PROXYPORT,socksuser=me", "proxy")
    yield row("proxy-authorization-file proxyauthfile", "FILE", "who one is to the proxy, from a file", "--proxy-auth-file {}", "socat - PROXY:PROXYHOST:HOST:PORT,proxyport=PROXYPORT,proxyauthfile=FILE", unplayed="socat takes the newline of the file for a part of the password")
    yield no("capath cipher ciphers method min-proto-version openssl-min-proto-version openssl-max-proto-version nosni no-sni dhparam compress", "…", "of TLS", "`--ca FILE` takes a file; versions and ciphers are those of Python's ssl, 1.2 and later: OPENSSL_CONF changes them for a process")
    yield shaped("append", "", "add to a file", _append, "socat -u TCP:HOST:PORT OPEN:FILE,creat,append", "talking server", says="`>> FILE`")
    yield shaped("creat create o-creat excl trunc rdonly wronly rdwr", "", "how a file is opened", _none, says="as the shell's redirection does", unplayed="the shell opens it")
    yield row("mode perm", "MODE", "permissions of a Unix path", "--socket-mode {}", "socat - UNIX-LISTEN:PATH,mode=600", "unix client")
    yield row("unlink-early", "", "remove a path in the way", "--replace", "socat - UNIX-LISTEN:PATH,unlink-early", "unix client", says="a socket only, and only where nobody listens")
    yield no("user group user-early group-early user-late group-late umask", "…", "whose a file or path is", "`chown`, and the shell's umask; permissions: `--socket-mode`")
    yield shaped("unlink-close", "", "remove the path at the end", _none, "socat - UNIX-LISTEN:PATH,unlink-close", "unix client", says="always; a path that was there before is left")
    yield shaped("stderr", "", "a program's stderr goes to the peer too", _stderr, "socat TCP-LISTEN:PORT,bind=HOST EXEC:'tr a-z A-Z',stderr", "tcp client", says="a shell does it; without it stderr is told in the story")
    yield shaped("pipes setsid sigint sigquit sighup", "", "pipes, a session of its own", _none, "socat TCP-LISTEN:PORT,bind=HOST EXEC:'tr a-z A-Z',pipes,setsid", "tcp client", says="the default")
    yield no("pty ctty sane nofork su su-d setuid setgid chroot", "…", "how a program is run", "a program has three pipes, and is who sockkit is; `script`, `setpriv` and `chroot` are programs that run it otherwise")
    yield no("raw rawer cfmakeraw echo icanon isig b9600 b38400 b57600 b115200 crtscts link wait-slave", "…", "of terminals and serial lines", "`stty` sets them, before and after: `stty raw -echo; sockkit connect --raw --no-edit …; stty sane`")
    yield no("readbytes bytes", "N", "end after N bytes", "`| head -c N` does")
    yield no("tcpwrap tcpwrappers allow-table deny-table lowport", "…", "of hosts.allow, of a port below 1024", "`--allowfile` and `--denyfile` are its files; a source port is -p")
    yield no("escape history prompt noprompt noecho", "…", "of the line editor", "Ctrl-D ends the input; the history is that of one run")
    yield no("lockfile waitlock", "FILE", "a lock file", "`flock FILE sockkit …` does")
    yield shaped("nonblock cloexec noinherit cool-write end-close ignorecr tightsocklen", "", "of descriptors", _none, says="nothing that sockkit would need", unplayed="nothing is exchanged")
    # fmt: on


ROWS: tuple[Row, ...] = (*_nc(), *_ncat(), *_socat())


# ---- from theirs to ours


def _by_name(tool: str) -> dict[str, Row]:
    return {name: row for row in ROWS if row.tool == tool for name in row.names}


def _own(name: str) -> bool | None:
    """Whether sockkit's own option of this name takes a value; None: there is none."""
    for plan in COMMANDS.values():
        for option in options(plan):
            if name in option.names:
                return option.kind is not FLAG and option.kind.implied is None
    return None


def translated(row: Row) -> Typed | None:
    """What a row's example becomes, if sockkit has all that it takes."""
    _, *words = shlex.split(row.example)
    try:
        typed = (socat(words) if row.tool == "socat" else netcat(words, row.tool)).typed()
    except UsageError:
        return None
    return typed if exists(typed) else None


def said(row: Row) -> str:
    """What a row says, unless it names an option that is not there."""
    known = {name for plan in COMMANDS.values() for option in options(plan) for name in option.names}
    named = re.findall(r"(?<![\w-])--[a-z][\w-]*", row.says)
    return row.says if set(named) <= known else ""


def exists(command: Typed) -> bool:
    """Whether sockkit has every option of a command line, and their values are some of theirs."""
    return not lacking(command)


def lacking(command: Typed) -> str:
    """The first word of a command line that sockkit does not know, or its value; empty: there is none."""
    _, verb, *rest = command.words
    if verb.startswith("-"):
        return ""
    rows = {name: row for row in options(COMMANDS[verb]) for name in row.names}
    while rest:
        word = rest.pop(0)
        if word in ("--", "--help"):
            break
        if not word.startswith("-") or word == "-":
            continue
        if word not in rows:
            return word
        if rows[word].kind is not FLAG and rows[word].kind.implied is None:
            try:
                value = rest.pop(0)
                if not re.search(r"\b[A-Z]{2,}\d?\b", value) or word == "--set":
                    rows[word].kind.parse(value)
            except (UsageError, IndexError):
                return word
    return ""


def _no_way(row: Row, name: str) -> NoWay:
    return NoWay(said(row).removeprefix("no: ") or NOTHING, option=name)


def _apply(line: Line, row: Row, name: str, value: str) -> None:
    line.used.append(row)
    if row.becomes is None:
        raise _no_way(row, name)
    if callable(row.becomes):
        row.becomes(line, value)
    elif row.becomes:
        line.flags.append(tuple(word.format(value) for word in row.becomes.split(" ")))


def netcat(words: Sequence[str], tool: str, *, listen: bool = False) -> Line:
    """A command line of nc's or ncat's (or, with the tool ``sockkit``, one that lacks its command), without the program's name.

    Raises:
        NoWay: for one of its options there is none.
        UsageError: neither the tool nor sockkit has such an option.
    """
    line, rest, rows = Line(listen=listen), list(words), _by_name(tool)

    def take(name: str, after: str | None) -> bool:
        """One option; whether it took what stands behind it."""
        row, own = rows.get(name), _own(name)
        if row is None and own is None:
            raise UsageError("there is no such option", option=name)
        takes = bool(row.takes) if row is not None else bool(own)
        if row is not None and name == "-q":  # sockkit's own, unless a number follows
            number = after if after else rest[0] if len(rest) > 1 else ""
            takes = bool(re.fullmatch(r"-?\d+", number))
            if not takes:
                row = None
        if row is not None and own and rest[:1] == ["--"]:
            row, takes = None, False
        value = ""
        if takes:
            if after is None and not rest:
                raise UsageError(f"its value is missing: {name} {row.takes if row else ''}".rstrip(), option=name)
            value = after if after is not None else rest.pop(0)
        if row is not None:
            _apply(line, row, name, value)
        else:
            line.flags.append((name, value) if takes else (name,))
        return takes

    while rest:
        word = rest.pop(0)
        if word == "--":
            line.address += rest
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            take(name, value if equals else None)
        elif len(word) > 1 and word[0] == "-" and word[1] not in "0123456789" or word[:2] in ("-4", "-6"):
            for at, letter in enumerate(word[1:], 2):
                if take(f"-{letter}", word[at:] or None):
                    break
        elif word[:1] == "-" and len(word) > 1:
            raise UsageError("there is no such option", option=word)
        else:
            line.address.append(word)
    if tool == "nc" and len(line.address) > 2 and line.zero:
        line.address[1:] = [",".join(line.address[1:])]
    if line.udp and (line.program or line.shell):
        raise NoWay(NO_DATAGRAMS, option=None)
    line.check()
    if len(line.address) > 2:
        raise UsageError(f"one target has one word or two, here are {len(line.address)}", option="ADDRESS")
    return line


WORD = re.compile(r"([A-Za-z][A-Za-z0-9-]*)(?=[:,]|$)")


def is_socat(words: Sequence[str]) -> bool:
    """Whether a command line holds an address as socat has it, with at least as many parts as such an address has."""
    plain = [word for word in words if word == "-" or word[:1] != "-"]
    others = [word for word in plain if word.upper() not in ("-", "STDIO")]
    joined = len(plain) == 2 and len(others) == 1
    if joined:
        found = WORD.match(others[0])
        joined = "/" in others[0] if found is None else _address(found[1])[0] is not None
    return joined or any(_is_address(word) for word in words)


def _is_address(word: str) -> bool:
    found = WORD.match(word)
    row = _address(found[1])[0] if found and "://" not in word else None
    if found is None or row is None or not row.takes:
        return False
    if row.names[0] in ("FD", "EXEC", "SYSTEM", "OPEN", "CREATE", "INTERFACE"):
        return False
    parts = _split(word.partition(",")[0], ":")[1:]
    return len(parts) > row.takes.count(":")


def _address(head: str) -> tuple[Row | None, str]:
    """The row of an address, and 4 or 6 for one that says so."""
    rows = _by_name("socat")
    upper = head.upper()
    if upper in rows and rows[upper].names[0].isupper() and rows[upper].names[0][0] != "-":
        return rows[upper], ""
    found = re.fullmatch(r"(TCP|UDP|SCTP|IP)([46])(.*)", upper)
    row = rows.get(found[1] + found[3]) if found else None
    return row, found[2] if found and row else ""


def _split(text: str, at: str) -> list[str]:
    """Parts of an address, those in brackets and quotes whole."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += (letter == "[") - (letter == "]")
        if letter == at and not quote and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _end_of(word: str, used: list[Row]) -> End:
    """One of socat's addresses.

    Raises:
        NoWay, UsageError: see ``socat``.
    """
    end, (address, *given) = End(), _split(word, ",")
    head, *parts = _split(address, ":")
    version = ""
    if address == "-" or not address:
        row: Row | None = _by_name("socat")["-"]
    elif "/" in head:
        row, parts, end.opens = _by_name("socat")["OPEN"], [address], True
    elif head.isdecimal():
        row, parts = _by_name("socat")["FD"], [head]
    else:
        row, version = _address(head)
        end.opens = head.upper() == "GOPEN"
    if row is None:
        raise UsageError(f"{quoted(head)} is no address of socat's", option="ADDRESS")
    used.append(row)
    if row.becomes is None:
        raise _no_way(row, row.names[0])
    if len(parts) < (row.takes.count(":") + 1 if row.takes else 0):
        raise UsageError(f"{row.names[0]}:{row.takes} is how socat has it", option="ADDRESS")
    SHAPES[row.names[0]](end, parts)
    if version:
        end.flags.append((f"-{version}",))
    if version == "6" and end.address == ["0.0.0.0"]:
        end.address = ["::"]
    rows = _by_name("socat")
    for text in given:
        name, _, value = text.partition("=")
        found = rows.get(name.lower())
        if found is None or found.names[0].isupper() or found.names[0][0] == "-":
            raise UsageError("sockkit has no word for this option of socat's", option=name)
        used.append(found)
        if found.becomes is None:
            raise _no_way(found, name)
        if value == "0" and not found.takes:
            continue
        shape = SHAPES.get(found.names[0])
        if shape is not None:
            shape(end, [value])
        else:
            assert isinstance(found.becomes, str)
            end.flags.append(tuple(each.format(value) for each in found.becomes.split(" ")))
    return end


def socat(words: Sequence[str]) -> Line:
    """A command line of socat's, without its name.

    Raises:
        NoWay: sockkit has nothing like it.
        UsageError: it is none of socat's.
    """
    rows, rest, line = _by_name("socat"), list(words), Line()
    one_way = ""
    ends: list[list[End]] = []
    while rest:
        word = rest.pop(0)
        if word[:1] == "-" and word[1:2] not in ("", ",") and not ends:
            name, value = word, ""
            if name not in rows:  # its value stands behind it: -t5, -lf/tmp/log
                at = 3 if word[1] == "l" else 2
                name, value = word[:at], word[at:]
            row = rows.get(name)
            own = _own(word) if row is None else None
            if own is not None:  # sockkit's
                line.flags.append((word, rest.pop(0)) if own and rest else (word,))
                continue
            if row is None:
                raise UsageError("socat has no such option", option=word)
            if row.takes and not value:
                value = rest.pop(0) if rest else ""
            one_way = name if name in ("-u", "-U") else one_way
            _apply(line, row, name, value)
        else:
            ends.append([_end_of(each, line.used) for each in word.split("!!")])
    if len(ends) == 1:
        ends.append([_end_of("-", line.used)])
    if len(ends) != 2:
        raise UsageError(f"socat joins two addresses, here are {len(ends)}", option="ADDRESS")
    if one_way == "-U":
        ends.reverse()
    local = [each for each in ends if len(each) == 2]
    for pair in local:
        pair[0].writes, pair[0].sink = pair[1].writes, pair[1].sink
    return _joined(line, ends[0][0], ends[1][0], one_way=bool(one_way))


def _joined(line: Line, left: End, right: End, *, one_way: bool) -> Line:
    """One line from two ends: a socket's, and what is at its other side."""
    ends = (left, right)
    if not one_way and all(end.role == "local" for end in ends):
        for end in ends:
            if end.opens and not (left.path and right.path):  # `socat - /run/x.sock`
                end.role, end.address = "connect", [end.path]
                end.flags.append(("-U",))
    net = next((end for end in ends if end.role == "listen"), None) or next(
        (end for end in ends if end.role == "connect"), None
    )
    if net is None:
        raise NoWay("one end of sockkit is a socket: the shell joins programs and files", option=None)
    other = right if net is left else left
    line.listen, line.udp = net.role == "listen", net.udp
    if net.fork:
        _keep(line, "")
    if net.proxy:
        line.proxy, line.proxy_type, line.proxy_user = f"{net.proxy}:{net.proxy_port}", net.proxy_type, net.proxy_user
        line.proxy_dns = "local" if net.proxy_type == "socks4" else ""
    line.address = list(net.address)
    line.source = net.bind.strip("[]")
    line.flags[:0] = net.flags
    if other.role in ("connect", "listen"):
        _both_sockets(line, other)
    elif other.role == "program":
        line.program, line.shell = other.program, other.shell
    elif other.role == "echo":
        if line.listen:
            line.mode = "echo"
        else:
            line.program = ["cat"]
    else:
        receives, sends = (net is left, net is right) if one_way else (other.sink, other.source)
        if receives and sends and other.path and other.reads and other.writes:
            raise NoWay("a file is read or written here: with -u it is said which", option=other.path)
        if not sends:
            line.flags.append(("--recv-only",))
        elif not receives:
            line.flags.append(("--send-only",))
        line.after = " ".join(filter(None, (other.reads if sends else "", other.writes if receives else "")))
    if line.udp and (line.program or line.shell):
        raise NoWay(NO_DATAGRAMS, option=None)
    return line


def _both_sockets(line: Line, other: End) -> None:
    """Between two sockets: the mode relay, or a sockkit as the program."""
    if other.role == "listen":
        raise NoWay("two that listen are not joined: the one that connects decides", option="ADDRESS")
    plain = not other.proxy and not other.bind
    flags = [flag for flag in other.flags if flag != ("-u",)]
    if flags and flags[0] in (("-4",), ("-6",)) and other.address[0].strip("0123456789abcdef.:") == "":
        del flags[0]  # the number says it
    if line.listen and plain and not flags and len(other.address) == 2 and other.udp == line.udp:
        host, port = other.address[0], _number_of(other.address[1])
        line.mode, line.to = "relay", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return
    if line.listen and plain and flags == [("-U",)] and not line.udp and not other.udp:
        path = other.address[0]
        line.mode, line.to = "relay", path if "/" in path or path[0] == "@" else f"./{path}"
        return
    beyond = Line()
    stdio = End()
    line.program = _joined(beyond, other, stdio, one_way=False).typed().words


# ---- what is said


def answer(words: Sequence[str], at_fault: str = "") -> UsageError | None:
    """What to type instead of a command line that is another program's.

    Args:
        words: as typed, sockkit's command included if there is one.
        at_fault: the word that sockkit does not know.

    Returns:
        The error to show, or None: it is nobody's.
    """
    # The first that is one; `-X connect` is nc's.
    at = next((at for at, word in enumerate(words) if word in COMMANDS and words[at - 1 : at] != ["-X"]), None)
    command = "" if at is None else words[at]
    rest = list(words) if at is None else [*words[:at], *words[at + 1 :]]
    tools: tuple[str, ...] = ("nc", "ncat")
    typed_socat = not command and rest[:1] == ["socat"] and len(rest) > 1
    if not command and rest and rest[0] in OTHERS:
        hint = f"type: sockkit {OTHERS[rest[0]]}"
        return UsageError(f"{quoted(rest[0])} is no command here", option=None, hint=hint)
    if not command and rest and rest[0] in (*TOOLS, *VERBS):
        tools = TOOLS.get(rest[0], tools)
        rest[:1] = VERBS.get(rest[0], [])
    elif "--exec" in rest and at_fault in rest[rest.index("--exec") :] and "--" not in rest:
        at = rest.index("--exec")
        typed = Typed(["sockkit", command or "connect", *rest[:at], "--exec", "--", *rest[at + 1 :]])
        return UsageError("the program stands behind a `--`, at the end", option="--exec", hint=f"type: {typed}")
    if typed_socat or is_socat(rest):
        found = _attempt(partial(socat, rest))
        if isinstance(found, UsageError):
            return found
        return _told({"socat": found}, at_fault or next(filter(_is_address, rest), rest[0]))
    if not command:
        own = _attempt(partial(netcat, rest, "sockkit"))
        if isinstance(own, Line) and exists(own.typed()):
            return UsageError("options follow a command, here connect", option=at_fault, hint=f"type: {own.typed()}")
    tries = {tool: _attempt(partial(netcat, rest, tool, listen=command == "serve")) for tool in tools}
    if tools == ("nc",) and type(tries["nc"]) is UsageError:  # the traditional one has -e and -c, as ncat
        tries = {"ncat": _attempt(partial(netcat, rest, "ncat"))}
    lines = {tool: found for tool, found in tries.items() if isinstance(found, Line)}
    if lines:
        return _told(lines, at_fault)
    return next((found for found in tries.values() if isinstance(found, NoWay)), None)


def _attempt(make: Callable[[], Line]) -> Line | UsageError:
    try:
        line = make()
        line.typed()
    except UsageError as error:
        return error
    return line


def _told(lines: dict[str, Line], at_fault: str) -> UsageError:
    """The command to type; where two programs mean different things by the same letters, both."""
    typed = {tool: line.typed() for tool, line in lines.items()}
    there = {tool: command for tool, command in typed.items() if exists(command)}
    if not there:
        command = next(iter(typed.values()))
        return UsageError(f"{NOTHING}: {command.words[1]} has no such {lacking(command)}", option=at_fault)
    rows = {tool: next((row for row in lines[tool].used if at_fault in row.names), None) for tool in there}
    if len({str(command) for command in there.values()}) > 1:
        told = [
            f"type: {command}  # {tool}" + (f": {row.meaning}" if (row := rows[tool]) else "")
            for tool, command in there.items()
        ]
        return UsageError(f"{' and '.join(there)} mean different things by it", option=at_fault, hint="\n".join(told))
    tool, command = next(iter(there.items()))
    row = rows[tool]
    if at_fault in ("-l", "--listen"):
        text = "to listen is a command here"
    elif row is None:
        text = f"that is {tool}'s way to say it"
    else:
        others = " and ".join(other for other in there if rows[other] is not None)
        text = f"{others}: {row.meaning}" + (f"; {said(row)}" if said(row) else "")
    return UsageError(text, option=at_fault, hint=f"type: {command}")
