"""The command line: click options from the fields of plans, exit statuses from what comes back. The only module that
imports click.

Parsing does nothing: a command's plan is made first, whole and checked, and only then run.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from sockkit import __version__, stdio
from sockkit.errors import Exit, OutputGone, Signalled, SockkitError, SystemRefusal, UsageError
from sockkit.spec import FLAG, GROUPS, Option, Plan, options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

    from sockkit.events import Env, Observer

COMMANDS = {
    "probe": ("ProbePlan", "try to make a socket: what was asked, what was got, or why not"),
    "inspect": ("InspectPlan", "look at one socket in full, a new one or an inherited one"),
    "serve": ("ServePlan", "listen: an echo server, or netcat's -l"),
    "connect": ("ConnectPlan", "connect: stdin to the socket, the socket to stdout"),
}
PAYLOAD = ("connect",)
"""Commands whose stdout carries payload; ``serve`` in pipe mode is one of them too."""

FOREIGN = {
    "-e": "sockkit runs no programs: pipe stdin and stdout instead",
    "-c": "sockkit runs no programs: pipe stdin and stdout instead",
    "--exec": "sockkit runs no programs: pipe stdin and stdout instead",
    "--sh-exec": "sockkit runs no programs: pipe stdin and stdout instead",
    "-i": "there is no -i: --idle-timeout S ends a silent conversation",
    "-W": "there is no -W: --idle-timeout S ends a silent conversation",
    "-d": "there is no -d: `< /dev/null` gives no input",
    "-t": "there is no -t: sockkit does not answer telnet negotiation",
    "-x": "there is no -x: pipe stdout through xxd",
    "-o": "there is no -o: `> FILE` keeps what is received",
    "--output": "there is no --output: `> FILE` keeps what is received",
    "-T": "there is no -T: --set IP_TOS=N sets the type of service",
    "-m": "there is no -m: --max-conns N serves N at once",
    "--ssl": "sockkit speaks no TLS: openssl s_client does",
    "--tls": "sockkit speaks no TLS: openssl s_client does",
    "--proxy": "sockkit knows no proxies",
    "--sctp": "--proto SCTP makes an SCTP socket",
    "--vsock": "--family VSOCK makes one: sockkit connect --family VSOCK CID:PORT",
    "--unixsock": "-U makes a Unix socket",
    "--nodns": "-n asks no name server",
    "--delay": "there is no --delay",
    "--send-only": "there is no --send-only: `> /dev/null` drops what is received",
    "--recv-only": "there is no --recv-only: `< /dev/null` gives no input",
}
"""Flags that other netcats have and sockkit has not, with the sockkit way. ``-l`` becomes a command to type."""


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
        if self.option.field == "proto" and ctx.params.get("family"):
            from sockkit import names

            try:
                complete = names.protocols(names.FAMILIES.parse(ctx.params["family"])).complete
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
                params.append(
                    click.Option([*row.names, row.field], type=Value(row), default=row.default, multiple=row.multiple)
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
        if group not in ("", "all", *GROUPS):
            raise UsageError(f"{group!a} is no group of options: {', '.join(GROUPS)} and all are", option="--help")
        doc = _doc(self.plan)
        lines = [f"Usage: {doc[0]}"]
        if group:
            for name in GROUPS:
                rows = [row for row in self.rows if row.group == name and group in (name, "all")]
                if rows:
                    lines += ["", f"{name.capitalize()}:", *map(_option_line, rows)]
        else:
            by_field = {row.field: row for row in self.rows}
            lines += [*doc[1:], "", *(_option_line(by_field[field]) for field in self.plan.FIRST)]
        if not group:
            lines += ["", f"More: --help {', --help '.join(GROUPS)}, --help all"]
        return "\n".join(lines)

    def get_help(self, ctx: click.Context) -> str:
        """See click."""
        return self.help_text("")

    def go(self, **given: Any) -> Exit:
        """Make the plan and run it."""
        address = given.pop("address")
        if address and not self.takes_address:
            hint = f"to see who answers there type: sockkit connect -z {' '.join(address)}"
            raise UsageError(f"{self.name} takes no address: {address[0]!a}", option="ADDRESS", hint=hint)
        if self.takes_address:
            given["address"] = address
        plan = self.plan(**given)
        _check_habits(self.name or "", plan, address)
        return _run(self.name or "", plan, self.run)


def _doc(plan: type[Plan]) -> list[str]:
    import inspect

    return inspect.cleandoc(plan.__doc__ or "").splitlines()


def _option_line(row: Option) -> str:
    names = ", ".join(row.names) + (f" {row.kind.metavar}" if row.kind.metavar else "")
    return f"  {names:<25} {row.help}" if len(names) <= 25 else f"  {names}\n  {'':<25} {row.help}"


def _check_habits(command: str, plan: Plan, address: Sequence[str]) -> None:
    """What other netcats' flags would mean with a value that sockkit's do not take."""
    number_first = len(address) > 1 and address[0].removeprefix("-").isdecimal()
    if plan.quiet and number_first and (len(address) == 3 or ":" in address[1]):
        rest = " ".join(address[1:])
        raise UsageError(
            "-q takes no value here: it silences the story. The end of stdin is passed on and the reply waited for anyway",
            option="-q",
            hint=f"type: sockkit {command} {rest}",
        )
    if plan.quiet and plan.verbose:
        raise UsageError("-q and -v contradict each other: give one", option="-v")


class Sockkit(click.Group):
    """The four verbs; only the one that is invoked is loaded."""

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
        import difflib

        close = difflib.get_close_matches(word, COMMANDS, 1)
        if close:
            typed = " ".join(["sockkit", close[0], *args[1:]])
        else:
            typed = " ".join(["sockkit", "connect", *args])
        raise UsageError(f"{word!a} is no command: {', '.join(COMMANDS)} are", hint=f"type: {typed}")

    def get_help(self, ctx: click.Context) -> str:
        """See click."""
        verbs = "\n".join(f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items())
        return HELP.format(verbs=verbs)


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
  -h, --help                this text; sockkit COMMAND --help tells of a command"""


@click.group(cls=Sockkit, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="sockkit %(version)s")
@click.pass_context
def sockkit(ctx: click.Context) -> None:
    """See Sockkit.get_help."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Exit.USAGE)


def _run(command: str, plan: Plan, run: Callable[[Any, Env], Exit]) -> Exit:
    from time import monotonic

    from sockkit.events import Env, Failed
    from sockkit.render import Wish, choose, surroundings

    payload = command in PAYLOAD or getattr(plan, "mode", "") == "pipe"
    wish = Wish(command, plan.quiet, plan.verbose, plan.json, payload)
    chosen = choose(wish, surroundings(1, 2, stdio.same_terminal(1, 2)), monotonic)
    env = Env(0, 1, chosen.observer, chosen.interest, monotonic)
    try:
        return run(plan, env)
    except SystemRefusal as refusal:
        observer: Observer = chosen.observer
        observer(Failed(monotonic(), 0, refusal.operation, refusal.error, refusal.hint))
        return Exit.FAILED


def main(args: Sequence[str] | None = None) -> NoReturn:
    """The entry point. Ends the process, with a status of ``Exit`` or by a signal."""
    stdio.reserve()
    words = list(sys.argv[1:] if args is None else args)
    try:
        status = sockkit.main(words, prog_name="sockkit", standalone_mode=False)
        _flush()
    except SockkitError as error:
        status = _complain(error)
    except click.ClickException as error:
        status = _complain(_translated(error, words))
    except OutputGone:
        _end_by(getattr(signal, "SIGPIPE", None), 141)
    except BrokenPipeError:  # click.echo to a reader that went away
        _end_by(getattr(signal, "SIGPIPE", None), 141)
    except Signalled as signalled:
        _end_by(signalled.number, 128 + signalled.number)
    except (KeyboardInterrupt, click.Abort):
        _end_by(signal.SIGINT, 130)
    except OSError as error:  # help on a full disk
        status = _complain(SystemRefusal("write to stdout", error))
    _exit(Exit.OK if status is None else status)


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


def _complain(error: SockkitError) -> Exit:
    from sockkit.errors import describe
    from sockkit.text import escape

    text = str(error)
    if isinstance(error, UsageError):
        if error.option:
            text = f"{error.option}: {text}"
        if error.cause is not None:
            text += f" (Python: {type(error.cause).__name__}: {describe(error.cause)})"
    found = [text, *([error.hint] if error.hint else [])]
    for line in found:
        sys.stderr.write(f"sockkit: {escape(line, backslash=False)}\n")
    return error.exit


def _translated(error: click.ClickException, words: list[str]) -> UsageError:
    """What click found wrong, in our words, with the sockkit way for a foreign flag."""
    name = str(getattr(error, "option_name", "") or "")
    rest = [word for word in words if word not in COMMANDS]
    if isinstance(error, click.NoSuchOption):
        if name == "--listen" or (name.startswith("-") and not name.startswith("--") and "l" in name[1:2]):
            return UsageError(f"{name} is a command here", option=name, hint=f"type: {' '.join(_without_listen(rest))}")
        if name in FOREIGN:
            return UsageError(FOREIGN[name], option=name)
        close = f": did you mean {', '.join(sorted(error.possibilities))}?" if error.possibilities else ""
        return UsageError(f"there is no such option{close}", option=name, hint=_help_hint(words))
    return UsageError(error.format_message(), hint=_help_hint(words))


def _help_hint(words: list[str]) -> str:
    command = next((word for word in words if word in COMMANDS), "")
    return f"sockkit {command} --help all lists the options" if command else "sockkit --help lists the commands"


def _without_listen(words: list[str]) -> list[str]:
    kept = ["sockkit", "serve"]
    for word in words:
        if word == "--listen":
            continue
        if word.startswith("-") and not word.startswith("--"):
            word = word.replace("l", "", 1)
            if word == "-":
                continue
        kept.append(word)
    if "--mode" not in kept:
        kept[2:2] = ["--mode", "pipe"]
    return kept
