"""``ls sockkit/`` is the architecture diagram: lower may never import higher, and each thing has its one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sockkit
from tests.harness import ENVIRONMENT

PACKAGE = Path(sockkit.__file__).parent

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "events", "text"),
    ("names", "optvals"),
    (
        "access",
        "addresses",
        "ancillary",
        "chat",
        "decoders",
        "editing",
        "families",
        "recordings",
        "relay",
        "retry",
        "rules",
        "semantics",
        "faults",
        "ports",
        "proxies",
        "services",
        "sockopts",
        "spec",
        "telnet",
        "tls",
    ),
    ("matrix",),
    ("compare",),
    ("libc", "netns", "syscalls"),
    ("processes", "resolve", "sockdiag", "stdio", "sweep", "systemd"),
    ("procfs",),
    ("machine",),
    ("loop",),
    ("carriers", "console", "nvt", "pace", "rights"),
    ("sessions",),
    ("associations", "calculation", "datagrams", "dial", "door", "hub", "programs", "replay", "scanning", "tunnel"),
    ("commands.place",),
    (
        "commands",
        "commands.again",
        "commands.against",
        "commands.callsheet",
        "commands.code",
        "commands.endpoint",
        "commands.expect",
        "commands.options",
        "commands.probe",
        "commands.space",
        "commands.steps",
        "commands.through",
    ),
    (
        "commands.connect",
        "commands.inspect",
        "commands.listing",
        "commands.other",
        "commands.scan",
        "commands.serve",
        "commands.watch",
    ),
    ("foreign",),
    (
        "render",
        "render.capture",
        "render.files",
        "render.hexdump",
        "render.live",
        "render.looks",
        "render.ndjson",
        "render.pages",
        "render.picture",
        "render.plain",
        "render.raw",
        "render.reports",
        "render.stderr",
        "render.story",
        "render.svg",
        "render.tables",
        "render.terminal",
    ),
    ("cli",),
    ("__main__",),
)
"""The layers, lowest first: the list's only copy. Within one, modules may import each other (render) or do not need to."""

PUBLIC = "the package itself: loads everything on demand, imports nothing"

HOMES: dict[str, set[str]] = {
    "click": {"cli"},
    "ctypes": {"libc"},
    "rich": {"render.live", "render.terminal"},
    "jinja2": {"render.pages"},
    "dpkt": {"recordings", "render.capture"},
    "threading": {"resolve"},
    "subprocess": set(),
    "multiprocessing": set(),
    "asyncio": set(),
    "socketserver": set(),
    "ssl": {"tls"},
    "socksio": {"proxies"},
    "h11": {"proxies"},
    # stdio needs PIPE_BUF; plain writes reports and the story, which have no loop, to what may be lent non-blocking.
    "select": {"loop", "render.plain", "render.stderr", "stdio"},
    "fcntl": {"syscalls"},
    "prompt_toolkit": {"editing"},
    "termios": {"console"},
}
"""What is imported in these modules only."""


def sources() -> dict[str, ast.Module]:
    """The modules by their name within the package."""
    found = {}
    for path in sorted(PACKAGE.glob("**/*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        found[name] = ast.parse(path.read_text(), str(path))
    return found


SOURCES = sources()


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every imported module with its line: within functions too, but not for type checkers only."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            skipped |= {inner for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, "imports are absolute"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            inside = [name for name in whole if name.removeprefix("sockkit.") in SOURCES]
            yield from ((name, node.lineno) for name in (inside or [node.module]))


def height(module: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if module in layer)


def test_every_module_has_its_layer() -> None:
    listed = [module for layer in LAYERS for module in layer]
    assert sorted(listed) == sorted(name for name in SOURCES if name)


@pytest.mark.parametrize("module", [name for name in SOURCES if name])
def test_lower_never_imports_higher(module: str) -> None:
    for imported, line in imports(SOURCES[module]):
        if not imported.startswith("sockkit."):
            continue
        other = imported.removeprefix("sockkit.")
        assert height(other) <= height(module), f"sockkit/{module} line {line} imports {imported}"


def test_the_package_itself_imports_nothing_of_ours() -> None:
    assert [name for name, _ in imports(SOURCES[""]) if name.startswith("sockkit")] == [], PUBLIC


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_its_home(library: str) -> None:
    found = {
        module for module, tree in SOURCES.items() for name, _ in imports(tree) if name.partition(".")[0] == library
    }
    assert found <= HOMES[library]


def calls(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every call as its source has it, ``socket.socket``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


@pytest.mark.parametrize(
    ("made", "home"),
    [
        ({"socket.socket", "socket.create_connection", "socket.create_server", "socket.fromfd"}, "syscalls"),
        ({"socket.socketpair", "socket.socket.__init__", "_socket.socket"}, "syscalls"),
        ({"socket.getaddrinfo", "socket.gethostbyname", "socket.getnameinfo"}, "resolve"),
        ({"select.epoll", "select.poll", "select.kqueue"}, "loop"),
        ({"select.select"}, "loop render.plain render.stderr"),
        ({"os.posix_spawn", "os.fork", "os.wait4", "os.waitpid", "os.killpg", "signal.pidfd_send_signal"}, "processes"),
    ],
    ids=["sockets", "pairs", "names", "waiting", "select", "processes"],
)
def test_each_call_has_its_home(made: set[str], home: str) -> None:
    found = {module: line for module, tree in SOURCES.items() for name, line in calls(tree) if name in made}
    assert found.keys() <= set(home.split()), found


def test_nobody_sleeps() -> None:
    found = [(module, line) for module, tree in SOURCES.items() for name, line in calls(tree) if name.endswith("sleep")]
    assert {module for module, _ in found} <= {"loop"}, found  # select(2) on Windows cannot wait for nothing


# ---- what a run loads

HEAVY = ("rich", "asyncio", "ssl", "subprocess", "multiprocessing", "concurrent", "http", "email", "unittest")
LOADED = (
    "import atexit, os, sys\n"
    "from sockkit import cli\n"
    "def end(status): os.write(2, ' '.join(sys.modules).encode()); os.kill(os.getpid(), 9)\n"
    "cli._exit = end\n"
    "cli.main(sys.argv[1:])\n"
)


def loaded(code: str, *args: str) -> set[str]:
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False)
    return set(done.stderr.decode().split())


def test_importing_the_package_loads_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import sockkit; print(*(set(sys.modules) - before), file=sys.stderr)"
    assert {name for name in loaded(code) if name.startswith("sockkit.")} == set()


@pytest.mark.parametrize(
    ("args", "not_needed"),
    [
        (
            ["probe"],
            {"sockkit.loop", "sockkit.sessions", "sockkit.resolve", "sockkit.sockopts", "sockkit.render.ndjson"},
        ),
        (["probe", "--json"], {"sockkit.loop", "sockkit.sockopts"}),
        (["probe", "--help"], {"sockkit.commands.serve", "sockkit.commands.connect", "sockkit.render.plain"}),
        (["inspect"], {"sockkit.commands.serve", "sockkit.commands.connect"}),
        (
            ["inspect", "--all"],
            {"sockkit.sockopts", "sockkit.optvals", "sockkit.rules", "sockkit.loop", "sockkit.commands.other"},
        ),
        (
            ["connect", "--help"],
            {"sockkit.proxies", "sockkit.tunnel", "sockkit.sockopts", "sockkit.rules", "sockkit.commands.serve"},
        ),
        (["--help"], {"sockkit.commands.probe", "sockkit.names", "sockkit.syscalls", "sockkit.rules"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_loads_what_it_needs(args: list[str], not_needed: set[str]) -> None:
    modules = loaded(LOADED, *args)
    assert "sockkit.cli" in modules
    assert not {name for name in modules if name.partition(".")[0] in HEAVY}
    assert not modules & not_needed
