"""The command line: click options from the fields of plans, exit statuses from what comes back. The only module that
imports click.

Parsing does nothing: a command's plan is made first, whole and checked, and only then run.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from sockkit import __version__, stdio
from sockkit.errors import Exit, OutputGone, Signalled, SockkitError, SystemRefusal, UsageError
from sockkit.spec import FLAG, GROUPS, Option, Plan, options
from sockkit.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

    from sockkit.events import Env

COMMANDS = {
    "probe": ("ProbePlan", "try to make a socket: what was asked, what was got, or why not"),
    "inspect": ("InspectPlan", "look at sockets: one in full, those of a process, all of the machine, live"),
    "serve": ("ServePlan", "listen: an echo server, or netcat's -l"),
    "connect": ("ConnectPlan", "connect: stdin to the socket, the socket to stdout"),
}
PAYLOAD = ("connect",)
"""Commands whose stdout carries payload; ``serve`` in pipe mode is one of them too."""


SOCATS = ("-LISTEN", "-L", "-CONNECT", "-CLIENT", "-SENDTO", "-RECV", "-RECVFROM", "-DATAGRAM")
"""Ends of the names of socat's addresses."""


class Value(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """A ``Kind`` for click. What is wrong is said by our own UsageError, which passes through click."""

    def __init__(self, option: Option) -> None:
        self.option = option
        self.name = option.kind.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        if not isinstance(value, str):
            return value
        try:
            return self.option.kind.parse(value)
        except UsageError as error:
            if error.option is None:
                error.option = self.option.names[-1]
            raise

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """See click."""
        from click.shell_completion import CompletionItem

        if self.option.kind.complete is None:
            return []
        complete = self.option.kind.complete
        given = ctx.params.get("family")
        if self.option.field == "proto" and given:
            from sockkit import names

            try:
                complete = names.protocols(names.FAMILIES.parse(given if isinstance(given, str) else given[0])).complete
            except UsageError:
                return []
        return [CompletionItem(value, help=help) for value, help in complete(incomplete)]


class Verb(click.Command):
    """One of the four, made from its plan."""

    def __init__(self, name: str, plan: type[Plan], run: Callable[[Any, Env], Exit]) -> None:
        self.plan = plan
        self.rows = list(options(plan))
        params: list[click.Parameter] = []
        for row in self.rows:
            if row.kind is FLAG:
                params.append(click.Option([*row.names, row.field], is_flag=True, default=False))
            else:
                alone: dict[str, Any] = (
                    {} if row.kind.implied is None else {"is_flag": False, "flag_value": row.kind.implied}
                )
                params.append(
                    click.Option(
                        [*row.names, row.field], type=Value(row), default=row.default, multiple=row.multiple, **alone
                    )
                )
        self.takes_address = hasattr(plan, "address")
        params.append(click.Argument(["address"], nargs=-1, metavar="ADDRESS"))
        params.append(
            click.Option(
                ["-h", "--help", "help_group"],
                is_flag=False,
                flag_value="",
                is_eager=True,
                expose_value=False,
                callback=self.show_help,
            )
        )
        self.run = run
        super().__init__(name, params=params, callback=self.go, add_help_option=False)

    def show_help(self, ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        """``--help`` and ``--help GROUP``."""
        if value is None or ctx.resilient_parsing:
            return
        click.echo(self.help_text(value))
        ctx.exit()

    def help_text(self, group: str) -> str:
        """Help as text: the most used options, or those of one group, or all of them."""
        groups = [name for name in GROUPS if any(row.group == name for row in self.rows)]
        if self.takes_address and not getattr(self.plan, "PORTS_ONLY", False):
            groups.append("addresses")
        if group not in ("", "all", *groups):
            known = f"{', '.join(groups)} and all are"
            raise UsageError(f"{quoted(group)} is no group of options of {self.name}: {known}", option="--help")
        doc = _doc(self.plan)
        lines = [f"Usage: {doc[0]}"]
        if group:
            for name in groups:
                rows = [row for row in self.rows if row.group == name and group in (name, "all")]
                if rows:
                    lines += ["", f"{name.capitalize()}:", *map(_option_line, rows)]
                if name == group == "addresses":
                    lines += ["", "Addresses, by --family:", *_address_lines()]
        else:
            by_field = {row.field: row for row in self.rows}
            lines += [*doc[1:], "", *(_first_line(by_field, field) for field in self.plan.FIRST)]
            lines += ["", f"More: --help {'|'.join((*groups, 'all'))}"]
        return "\n".join(lines)

    def get_help(self, ctx: click.Context) -> str:
        """See click."""
        return self.help_text("")

    def go(self, **given: Any) -> Exit:
        """Make the plan and run it."""
        words: list[str] = click.get_current_context().obj or []
        address = given.pop("address")
        for word in address:
            head, colon, _ = word.upper().partition(":")
            if colon and (head == "UNIX" or head.endswith(SOCATS)):  # a path or a host else, that nobody has
                meant = _as_socat(words)
                if meant is not None:
                    raise meant
        if given.get("exec"):
            address, given["program"] = _split(self.name or "", address, words)
        if self.takes_address and not (getattr(self.plan, "PORTS_ONLY", False) and not _is_port(address)):
            given["address"] = address
        elif address:
            raise _no_address(self.name or "", address)
        plan = self.plan(**given)
        _check_habits(plan, address, words)
        return _run(self.name or "", plan, self.run)


def _split(command: str, words: tuple[str, ...], typed: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The address before, and the program behind the ``--``, which click takes out of the words that are no options.

    Raises:
        UsageError: there is none, although words follow ``--exec``.
    """
    for at, word in enumerate(typed):
        behind = tuple(typed[at + 1 :])
        if word == "--" and words[len(words) - len(behind) :] == behind:
            return words[: len(words) - len(behind)], behind
    at = typed.index("--exec") if "--exec" in typed else len(typed)
    program = typed[at + 1 :]
    if len(program) == 1 and " " in program[0]:  # as ncat has it
        program = program[0].split()
    if not program:
        program = ["PROG", "ARGS"]
    hint = f"type: {_shell(['sockkit', *typed[:at], '--exec', '--', *program])}"
    if len(program) > 1 and program[-1].isdecimal() and len(words) == len(program):  # ncat's takes one word
        before = [*typed[:at], program[-1]]
        hint += f"\ntype: {_shell(['sockkit', *before, '--exec', '--', *program[:-1]])}  # {program[-1]} is the port"
    raise UsageError("the program stands behind a `--`, at the end", option="--exec", hint=hint)


def _doc(plan: type[Plan]) -> list[str]:
    import inspect

    return inspect.cleandoc(plan.__doc__ or "").splitlines()


def _address_lines() -> list[str]:
    """Every family's notation with its examples; what this platform lacks is left out."""
    import shlex

    from sockkit import addresses

    lines = []
    for row in addresses.rows():
        if row.number is not None:
            shown = [shlex.join(example) for example in row.examples]
            lines.append(f"  {row.name:<11} {row.syntax}" + "".join(f"\n{' ' * 16}{example}" for example in shown))
    return [*lines, "  any         hex:BYTES: the struct behind its family, as socat's SOCKET addresses have it"]


def _first_line(rows: dict[str, Option], fields: str | tuple[str, ...]) -> str:
    """A line of ``--help``: one option, or several short ones that belong together."""
    if isinstance(fields, str):
        return _option_line(rows[fields])
    names = ", ".join(f"{rows[field].names[0]} {rows[field].kind.metavar}".rstrip() for field in fields)
    return f"  {names:<{HELP_COLUMN}} {', '.join(rows[field].help.partition(': ')[0] for field in fields)}"


def _option_line(row: Option) -> str:
    """An option as help has it; what is longer than a line goes on below."""
    import textwrap

    names = ", ".join(row.names) + (f" {row.kind.metavar}" if row.kind.metavar else "")
    margin = " " * (HELP_COLUMN + 3)
    first = f"  {names:<{HELP_COLUMN}} " if len(names) <= HELP_COLUMN else f"  {names}\n{margin}"
    return first + f"\n{margin}".join(textwrap.wrap(row.help, 100 - len(margin), break_on_hyphens=False))


def _is_port(address: Sequence[str]) -> bool:
    """Nothing, or one ``:8080`` (or ``8080``)."""
    return not address or (len(address) == 1 and address[0].removeprefix(":").isdecimal())


def _no_address(command: str, words: Sequence[str]) -> UsageError:
    """``sockkit probe INET DGRAM``: names without their options; ``sockkit probe localhost 80``: a scan was meant."""
    from sockkit import names

    typed = []
    for word in words:
        space = next((s for s in (names.FAMILIES, names.TYPES, names.PROTOCOLS) if s.find(word) is not None), None)
        if space is not None:
            typed += [space.option, word]
    if len(typed) == 2 * len(words):
        hint = f"type: {_shell(['sockkit', command, *typed])}"
    else:
        target = words if len(words) > 1 or ":" in words[0] else [*words, "PORT"]
        hint = f"to see who answers there type: {_shell(['sockkit', 'connect', '-z', *target])}"
    return UsageError(f"{command} takes options only, not {quoted(words[0])}", option="ADDRESS", hint=hint)


def _check_habits(plan: Plan, address: Sequence[str], words: list[str]) -> None:
    """What other netcats' flags would mean with a value that sockkit's do not take."""
    number_first = len(address) > 1 and address[0].removeprefix("-").isdecimal()
    if plan.quiet and number_first and (len(address) == 3 or ":" in address[1] or "/" in address[1]):
        raise _quit_after(words)
    hex = getattr(plan, "hex", False)
    if hex and len(address) == 3:
        raise _meant(words, "-x") or UsageError("it takes no value here", option="-x")
    for one, other, given in (
        ("-q", "-v", plan.quiet and plan.verbose),
        ("-q", "-x", plan.quiet and hex),
        ("--json", "-x", plan.json and hex),
    ):
        if given:
            raise UsageError(f"{one} and {other} contradict each other: give one", option=other)
    if plan.code and plan.outputs:
        raise UsageError(
            "--code does nothing, so there is nothing to write: `> FILE` keeps what it prints", option="-o"
        )


def _meant(words: Sequence[str], name: str = "") -> UsageError | None:
    """What to type for a command line of nc's, ncat's or socat's."""
    from sockkit import foreign

    return foreign.answer(words, name)


def _is_nothing(meant: UsageError) -> bool:
    from sockkit import foreign

    return str(meant).startswith(foreign.NOTHING)


def _as_socat(words: list[str]) -> UsageError | None:
    """What to type instead of one of socat's addresses: ``sockkit connect TCP:host:80``."""
    if words[:1] not in (["serve"], ["connect"]):
        return None
    from sockkit import foreign

    return foreign.answer(words) if foreign.is_socat(words[1:]) else None


def _quit_after(words: list[str]) -> UsageError:
    meant = _meant(words, "-q")
    return UsageError(
        "it takes no value here: it silences the story. stdin's end is passed on and the reply waited for anyway",
        option="-q",
        hint=None if meant is None else meant.hint,
    )


class Sockkit(click.Group):
    """The four verbs; only the one that is invoked is loaded.

    ``--version`` and ``--help`` are options of its own: click's translate their help, and for that load the locale.
    """

    def __init__(self) -> None:
        params: list[click.Parameter] = [
            click.Option(names, is_flag=True, is_eager=True, expose_value=False, callback=say)
            for names, say in ((["--version"], self.show_version), (["-h", "--help"], self.show_help))
        ]
        super().__init__(
            "sockkit", params=params, callback=self.alone, add_help_option=False, invoke_without_command=True
        )

    def show_version(self, ctx: click.Context, param: click.Parameter, value: bool) -> None:
        """``--version``."""
        if value and not ctx.resilient_parsing:
            click.echo(f"sockkit {__version__}")
            ctx.exit()

    def show_help(self, ctx: click.Context, param: click.Parameter, value: bool) -> None:
        """``--help``."""
        if value and not ctx.resilient_parsing:
            click.echo(self.get_help(ctx))
            ctx.exit()

    def alone(self) -> None:
        """Without a command: help on stderr."""
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            click.echo(self.get_help(ctx), err=True)
            ctx.exit(Exit.USAGE)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        module = import_module(f"sockkit.commands.{cmd_name}")
        return Verb(cmd_name, getattr(module, COMMANDS[cmd_name][0]), module.run)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click; what is no command gets the command to type."""
        word = args[0]
        if word in COMMANDS:
            return super().resolve_command(ctx, args)
        if word == "help":
            typed = ["sockkit", *[name for name in args[1:2] if name in COMMANDS], "--help"]
            raise UsageError("help is an option here", hint=f"type: {_shell(typed)}")
        import difflib

        close = difflib.get_close_matches(word, COMMANDS, 1)
        text = f"{quoted(word)} is no command: {', '.join(COMMANDS)} are"
        if close:
            raise UsageError(text, hint=f"type: {_shell(['sockkit', close[0], *args[1:]])}")
        if "://" in word or word in ("curl", "wget") and "://" in args[-1]:
            from sockkit.addresses import no_urls

            raise UsageError(text, hint=no_urls(args[-1] if word in ("curl", "wget") else word))
        meant = _meant(args)
        if meant is not None and (meant.option or not meant.hint):
            raise meant
        raise UsageError(text, hint=None if meant is None else meant.hint)

    def get_help(self, ctx: click.Context) -> str:
        """See click."""
        verbs = "\n".join(f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items())
        return HELP.format(verbs=verbs)


HELP_COLUMN = 25
HELP = """\
Usage: sockkit COMMAND [OPTIONS] [ADDRESS]

See a socket: make one, watch what the kernel answers and what flows through.

{verbs}

Examples:
  sockkit probe --type DGRAM --proto TCP
  sockkit serve
  echo 'Hello, world' | sockkit connect

Options:
  --version                 the version
  -h, --help                this text; sockkit COMMAND --help tells of a command

Completion in bash: eval "$(_SOCKKIT_COMPLETE=bash_source sockkit)"; also zsh, fish"""


sockkit = Sockkit()


def _run(command: str, plan: Plan, run: Callable[[Any, Env], Exit]) -> Exit:
    from time import monotonic

    from sockkit.events import Env, Failed
    from sockkit.render import Wish, choose, surroundings

    scans = getattr(plan, "scans", False)
    payload = command in PAYLOAD or getattr(plan, "mode", "") == "pipe"
    if getattr(plan, "replay", None) is not None or getattr(plan, "runs_program", False):
        payload = False
    wish = Wish(
        "connect -z" if scans else command,
        plan.quiet,
        plan.verbose,
        plan.json,
        payload and not scans,
        getattr(plan, "payload", None),
        getattr(plan, "hex", False),
        getattr(plan, "time", None),
        getattr(plan, "watch", None) is not None,
    )
    chosen = choose(wish, surroundings(1, 2, stdio.same_terminal(1, 2)), monotonic)
    outputs = None
    if plan.outputs:
        from sockkit.render.files import open_outputs

        outputs = open_outputs(wish, plan.outputs, force=plan.force, story=chosen, clock=monotonic)
        chosen = outputs.chosen
    elif plan.force:
        raise UsageError("there is no -o FILE to write", option="--force")
    env = Env(0, 1, chosen.observer, chosen.interest, monotonic, chosen.preview, chosen.looked, chosen.backlog)
    gc.freeze()  # what is loaded stays: there is nothing to look for in it
    gc.enable()
    try:
        status = run(plan, env)
    except SystemRefusal as refusal:
        chosen.observer(Failed(monotonic(), 0, refusal.operation, refusal.error, refusal.hint))
        return Exit.FAILED
    except OSError as error:  # what no command expected, such as no descriptor left for its loop
        chosen.observer(Failed(monotonic(), 0, command, error, None))
        return Exit.FAILED
    finally:
        chosen.close()
    return Exit.FAILED if outputs is not None and outputs.failed else status


def main(args: Sequence[str] | None = None) -> NoReturn:
    """The entry point. Ends the process, with a status of ``Exit`` or by a signal."""
    stdio.reserve()
    words = list(sys.argv[1:] if args is None else args)
    ours = words[: words.index("--")] if "--" in words else words
    json = "--json" in ours and words[0] in COMMANDS
    try:
        status = sockkit.main(words, prog_name="sockkit", standalone_mode=False, obj=words)
        _flush()
    except SockkitError as error:
        about_place = isinstance(error, UsageError) and error.option in ("ADDRESS", "PORT")
        status = _complain((_as_socat(words) if about_place else None) or error, json=json)
    except click.ClickException as error:
        try:
            told = _translated(error, words)
        except UsageError as better:
            told = better
        status = _complain(told, json=json)
    except OutputGone:
        _end_by(getattr(signal, "SIGPIPE", None), 141)
    except SystemExit as end:  # click's, after completing a word, and for a reader that went away
        if "_SOCKKIT_COMPLETE" not in os.environ:
            _end_by(getattr(signal, "SIGPIPE", None), 141)
        status = end.code if isinstance(end.code, int) else Exit.FAILED
    except BrokenPipeError:
        _end_by(getattr(signal, "SIGPIPE", None), 141)
    except Signalled as signalled:
        _end_by(signalled.number, 128 + signalled.number)
    except (KeyboardInterrupt, click.Abort):
        _end_by(signal.SIGINT, 130)
    except OSError as error:  # help on a full disk
        status = _complain(SystemRefusal("write to stdout", error))
    _exit(Exit.OK if status is None else int(status))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _exit(status: int) -> NoReturn:
    """End at once: what a daemon thread still waits for (a name server) is of no interest any more."""
    try:
        _flush()
    except OSError:
        pass
    os._exit(status)


def _end_by(number: int | None, status: int) -> NoReturn:
    """End as the signal would have ended us, so that a shell sees the truth; PID 1 survives that: then by status."""
    if number is not None:
        try:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        except OSError:
            pass
    os._exit(status)


def _complain(error: SockkitError, *, json: bool = False) -> Exit:
    """Say what is wrong on stderr, for people or, with ``--json``, as one more object of the story."""
    from sockkit.errors import describe
    from sockkit.text import escape

    error.args, error.hint = (_unnamed(str(error)),), _unnamed(error.hint or "") or None
    if isinstance(error, UsageError) and error.option:
        error.option = _unnamed(error.option)
    if json:
        from sockkit.render.ndjson import complaint

        _say(complaint(error))
        return error.exit

    text = str(error)
    if isinstance(error, UsageError):
        if error.option:
            text = f"{error.option}: {text}"
        if error.cause is not None:
            text += f" (Python: {type(error.cause).__name__}: {describe(error.cause)})"
    found = [text, *(error.hint.split("\n") if error.hint else [])]
    for line in found:
        _say(f"sockkit: {escape(line, backslash=False)}")
    return error.exit


def _unnamed(text: str) -> str:
    """Without the user names and passwords of proxies: what was typed is repeated, in a command to type for one."""
    if "://" not in text and "auth" not in text:
        return text
    import re

    # A password may hold anything, and of what was cut nobody knows what it was.
    text = re.sub(r"(?m)://.*(@|…)", r"://...\1", text)
    return re.sub(r"(?m)\b(proxyauth|proxy-authorization)=[^,\s]+", r"\1=...", text)


def _say(line: str) -> None:
    """A line on stderr, if anybody is there: the exit status tells the rest."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
    except OSError:
        pass


def _translated(error: click.ClickException, words: list[str]) -> UsageError:
    """What click found wrong, in our words, with the sockkit way for a foreign flag."""
    name = str(getattr(error, "option_name", "") or "")
    command = next((word for word in words if word in COMMANDS), "")
    hint = f"sockkit {command} --help all lists the options" if command else "sockkit --help lists the commands"
    if isinstance(error, click.NoSuchOption):
        if command and words[0] != command and any(name in row.names for row in _options_of(command)):
            words = [command, *(word for word in words if word != command)]
            return UsageError("options follow the command", option=name, hint=f"type: {_shell(['sockkit', *words])}")
        if name[1:].isdecimal() and any(_is_cluster(word) and f"q{name[1:]}" in word for word in words):
            return _quit_after(words)
        meant = _meant(words, name) if command in ("", "serve", "connect") else None
        if meant is not None and not _is_nothing(meant):
            return meant
        if name == "--port" and command == "connect":
            return UsageError("the port stands in the ADDRESS: HOST PORT; a source port is -p", option=name)
        # Short ones mean other things elsewhere.
        theirs = [one for one in COMMANDS if any(name in row.names for row in _options_of(one))] if command else []
        if theirs and name.startswith("--"):
            return UsageError(f"it is an option of {' and '.join(theirs)}, not of {command}", option=name, hint=hint)
        if meant is not None:
            return meant
        close = f": did you mean {', '.join(sorted(error.possibilities))}?" if error.possibilities else ""
        return UsageError(f"there is no such option{close}", option=name, hint=hint)
    if isinstance(error, click.BadOptionUsage):
        if "not take a value" in error.message:
            return UsageError("it takes no value", option=name, hint=hint)
        rows = _options_of(command) if command else []
        metavar = next((row.kind.metavar for row in rows if name in row.names), "")
        return UsageError(f"its value is missing: {name} {metavar}", option=name, hint=hint)
    return UsageError(error.format_message(), hint=hint)


def _is_cluster(word: str) -> bool:
    """True for ``-l`` and ``-lvp``, not for ``--listen``, ``-`` and a negative number."""
    return len(word) > 1 and word[0] == "-" and word[1] not in "-0123456789"


def _options_of(command: str) -> list[Option]:
    from importlib import import_module

    return list(options(getattr(import_module(f"sockkit.commands.{command}"), COMMANDS[command][0])))


def _shell(words: Sequence[str]) -> str:
    """As it is typed in a shell."""
    import shlex

    return shlex.join(words)
