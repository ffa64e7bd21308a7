"""sockkit on platforms that lack things: imports and ``--help`` everywhere, ``probe`` where that makes sense.

Each case is a process of its own in which names are taken away from the standard library before sockkit is imported.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import sockkit
from tests.harness import ENVIRONMENT, FORBIDDEN, TIMEOUT

PACKAGE = Path(sockkit.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.glob("**/*.py")
    if path.name != "__main__.py"
)

# What Python's socket has on every platform (Lib/socket.py itself needs the first ones).
ALWAYS = {"AF_INET", "SOCK_STREAM", "SOCK_DGRAM", "SOL_SOCKET", "SO_TYPE", "SO_ERROR", "SO_REUSEADDR", "MSG_PEEK"}
ALWAYS |= {
    "EAGAIN",
    "EBADF",
    "EWOULDBLOCK",
    "SOMAXCONN",
    "SHUT_WR",
    "SHUT_RD",
    "SHUT_RDWR",
    "IPPROTO_TCP",
    "IPPROTO_UDP",
    "IPPROTO_IP",
    "MSG_OOB",
}
OPTIONAL = sorted(
    name
    for name in dir(socket)
    if name.isupper() and isinstance(getattr(socket, name), int) and name not in ALWAYS and not name.startswith("EAI_")
)
WINDOWS = {
    "socket": ["AF_UNIX", "MSG_DONTWAIT", "socketpair", "SO_REUSEPORT", "CMSG_LEN", "sethostname", "if_nameindex"],
    "select": ["epoll", "poll", "PIPE_BUF"],
    "signal": ["SIGHUP", "SIGPIPE", "SIGCHLD", "SIGUSR1", "set_wakeup_fd"],
    "os": ["readv", "writev", "geteuid", "getuid", "fork", "register_at_fork", "openpty", "eventfd"],
    "modules": ["fcntl", "termios", "pwd", "grp", "resource"],
}

HIDE = """
import json, os, runpy, select, signal, socket, subprocess, sys
import ssl, urllib.request, click.shell_completion, prompt_toolkit, rich.padding, rich.table  # they ask for the platform too, and are not what is tested
wanted = json.loads(os.environ["HIDE"])
for module in ("socket", "select", "signal", "os"):
    for name in wanted.get(module, ()):
        for home in (module, "_" + module, "posix" if module == "os" else module):
            if home in sys.modules and hasattr(sys.modules[home], name):
                delattr(sys.modules[home], name)
for name in wanted.get("modules", ()):
    sys.modules[name] = None
if "platform" in wanted:
    sys.platform = wanted["platform"]
"""
IMPORT = HIDE + f"import importlib\nfor module in {MODULES!r}:\n    importlib.import_module(module)\n"
COMMAND = HIDE + 'sys.argv[0] = "sockkit"\nrunpy.run_module("sockkit", run_name="__main__", alter_sys=True)\n'


def python(code: str, hidden: dict[str, Any], *args: str, timeout: float = TIMEOUT) -> tuple[int, str, str]:
    """Status, stdout and stderr of Python without those names."""
    environment = {**ENVIRONMENT, "HIDE": json.dumps(hidden)}
    command = [sys.executable, "-W", "error", "-c", code, *args]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=timeout, check=False)
    for word in FORBIDDEN:
        assert word not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_each_constant_may_be_missing(tmp_path: Path) -> None:
    """Everything is imported in a forked process of its own for each constant that sockkit may be looking at.

    Those that no source of it has, not even without their prefix, are taken away together.
    """
    code = f"""
import importlib, json, os, socket, sys
sys.pycache_prefix, sys.dont_write_bytecode = {str(tmp_path)!r}, False  # compiled once, not in each child anew
missing = 0
for names in json.loads(sys.argv[1]):
    pid = os.fork()
    if pid == 0:
        try:
            for name in names:
                for module in ("socket", "_socket"):
                    if hasattr(sys.modules[module], name):
                        delattr(sys.modules[module], name)
            for module in {MODULES!r}:
                importlib.import_module(module)
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{{names}}: {{error!r}}\\n".encode())
            os._exit(1)
    missing += os.waitpid(pid, 0)[1] != 0
sys.exit(missing > 0)
"""
    # What costs is to import click and rich anew in each: they do not look at socket's constants.
    code = "import click, prompt_toolkit, rich.console, rich.live, rich.table, argparse\n" + code
    # The table of socket options looks all of its names up in one place: those are taken away together.
    text = " ".join(path.read_text() for path in PACKAGE.glob("**/*.py") if path.name != "sockopts.py")
    words = set(re.findall(r"\w+", text))
    named = [name for name in OPTIONAL if name in words or name.partition("_")[2] in words]
    cases = [[name] for name in named] + [[name for name in OPTIONAL if name not in named]]
    with ThreadPoolExecutor(2) as pool:
        for status, _, said in pool.map(
            lambda some: python(code, {}, json.dumps(some), timeout=110), (cases[::2], cases[1::2])
        ):
            assert (status, said) == (0, "")


LACKING: dict[str, dict[str, Any]] = {
    "no optional constant": {"socket": OPTIONAL},
    "windows": {**WINDOWS, "platform": "win32"},
    "windows without constants": {**WINDOWS, "socket": sorted({*OPTIONAL, *WINDOWS["socket"]}), "platform": "win32"},
    "darwin": {"select": ["epoll"], "socket": ["SO_PROTOCOL", "SO_DOMAIN", "AF_NETLINK"], "platform": "darwin"},
    "darwin without constants": {"select": ["epoll"], "socket": OPTIONAL, "platform": "darwin"},
    "freebsd": {"select": ["epoll"], "platform": "freebsd14"},
    "no splice, no eventfd": {"os": ["splice", "eventfd", "sendfile", "get_blocking", "set_blocking", "pidfd_open"]},
}


@pytest.mark.parametrize("hidden", LACKING.values(), ids=LACKING)
def test_imports_and_help(hidden: dict[str, Any]) -> None:
    assert python(IMPORT, hidden) == (0, "", "")
    for command in ("probe", "inspect", "serve", "connect"):
        status, out, err = python(COMMAND, hidden, command, "--help", "all")
        assert (status, err) == (0, "") and out.startswith(f"Usage: sockkit {command} ")


@pytest.mark.parametrize("hidden", LACKING.values(), ids=LACKING)
def test_reports(hidden: dict[str, Any]) -> None:
    """The calls are this kernel's, the surroundings another's: so what is said may differ, that it works may not."""
    for command in ("probe", "inspect"):
        status, out, err = python(COMMAND, hidden, command, "--json", "--type", "dgram")
        assert (status, err) == (0, ""), err
        assert json.loads(out)["command"] == command
    status, out, err = python(COMMAND, hidden, "probe", "--type", "STREAM", "--proto", "UDP")
    assert (status, err) == (1, "") and "IPPROTO_UDP" in out
    status, out, err = python(COMMAND, hidden, "probe", "--family", "NO_SUCH")
    assert (status, out) == (2, "") and err.startswith("sockkit: --family: ")


@pytest.mark.parametrize("hidden", LACKING.values(), ids=LACKING)
def test_spaces(hidden: dict[str, Any]) -> None:
    """Where it is not Linux, no rule is trusted: every cell is asked."""
    space = ("--family", "0-3", "--type", "0-6", "--proto", "0-20")
    status, out, err = python(COMMAND, hidden, "probe", "--json", *space)
    assert (status, err) == (0, ""), err
    found = json.loads(out)
    assert found["sweep"]["inferred"] == 0 or "platform" not in hidden
    assert sum(last - first + 1 for _, _, first, last, *_ in found["cells"]) == 4 * 7 * 21
    status, out, err = python(COMMAND, hidden, "probe", *space)
    assert (status, err) == (0, "") and "INET" in out


def test_all_is_what_the_platform_has() -> None:
    code = "from sockkit import matrix; print(*(len(matrix.everything(axis)) for axis in ('family', 'type', 'proto')))"
    sizes = {name: python(HIDE + code, {"platform": name})[1].split() for name in ("linux", "darwin", "win32")}
    assert sizes == {"linux": ["47", "12", "263"], "darwin": ["42", "12", "256"], "win32": ["36", "12", "256"]}


@pytest.mark.parametrize(
    ("name", "platform", "said"),
    [
        ("SYSTEM", "win32", "AF_SYSTEM exists on macOS only; this is Windows"),
        ("KEY", "win32", "AF_KEY exists on Linux, macOS and FreeBSD only; this is Windows"),
        ("NETLINK", "darwin", "AF_NETLINK exists on Linux and FreeBSD only; this is macOS"),
        ("PACKET", "darwin", "AF_PACKET exists on Linux only; this is macOS"),
    ],
)
def test_families_of_other_platforms(name: str, platform: str, said: str) -> None:
    hidden = {"socket": OPTIONAL, "platform": platform}
    assert python(COMMAND, hidden, "probe", "--family", name) == (2, "", f"sockkit: --family: {said}\n")


@pytest.mark.parametrize(("platform", "number"), [("darwin", 32), ("linux", None)])
def test_families_of_macos_on_macos(platform: str, number: int | None) -> None:
    status, out, err = python(COMMAND, {"platform": platform}, "probe", "--json", "--family", "SYSTEM")
    if number is None:
        assert status == 2 and "macOS only" in err
    else:
        assert status in (0, 1) and json.loads(out)["asked"]["family"]["number"] == number


@pytest.mark.parametrize("hidden", [LACKING["windows"], LACKING["no optional constant"]], ids=["windows", "constants"])
def test_a_conversation(hidden: dict[str, Any]) -> None:
    """serve and connect meet where poll, epoll, MSG_DONTWAIT, fcntl and Unix sockets are missing."""
    environment = {**ENVIRONMENT, "HIDE": json.dumps(hidden)}
    serve = [sys.executable, "-c", COMMAND, "serve", "--port", "0", "--once"]
    with subprocess.Popen(serve, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None
        try:
            line = server.stderr.readline().decode()
            assert line.startswith("listening on 127.0.0.1:"), line + server.stderr.read().decode()
            port = line.split()[2].rpartition(":")[2]
            done = subprocess.run(
                [sys.executable, "-c", COMMAND, "connect", port],
                env=environment,
                input=b"Hello, world\n",
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
            assert (done.returncode, done.stdout) == (0, b"Hello, world\n"), done.stderr.decode()
            assert server.wait(TIMEOUT) == 0
            rest = server.stderr.read()
            assert not [word for word in FORBIDDEN if word in rest], rest.decode()
        finally:
            if server.poll() is None:
                os.kill(server.pid, 9)


@pytest.mark.parametrize("name", ["windows", "darwin", "freebsd"])
def test_the_machine_elsewhere(name: str) -> None:
    """Without psutil it is said what to install; what only Linux can is said too."""
    hidden = {**LACKING[name], "modules": [*LACKING[name].get("modules", ()), "psutil"]}
    for args in (["--all"], ["--state", "listen"], ["--pid", "1"], ["--watch", "--count", "1"]):
        status, out, err = python(COMMAND, hidden, "inspect", *args)
        assert (status, out) == (2, ""), err
        assert err == (
            "sockkit: --all: listing the sockets of this system needs psutil\n"
            "sockkit: type: pip install 'sockkit[host]'\n"
        )
    status, out, err = python(COMMAND, hidden, "inspect", "--pid", "1", "--fileno", "0")
    assert (status, out) == (2, "")
    assert err == "sockkit: --pid: only Linux shows the sockets of another process one by one\n"
