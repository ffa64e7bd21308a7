"""From events and reports to text. Only here is it decided how things look, and how much is said.

Each renderer is an ``Observer``. ``choose`` picks one for the surroundings: NDJSON if asked for, rich on a terminal,
plain text elsewhere; rich costs more to import than Python does to start, so it is loaded where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sockkit.events import Interest, Observer

if TYPE_CHECKING:
    from sockkit.events import Backlog
    from sockkit.render.plain import Story


class Chosen(NamedTuple):
    """A renderer and what it wants to be told.

    Attributes:
        close: called once, at the end of the run.
    """

    observer: Observer
    interest: int
    preview: int = 256
    """Payload bytes of each ``Data`` that it wants at most."""
    looked: int | None = None
    """Bytes of each direction of a stream that it wants to see; a large flow beyond is told without. None: all."""
    close: Callable[[], None] = lambda: None
    backlog: Backlog | None = None
    """What waits, as nobody reads stderr."""


WHOLE = 2**31 - 1
"""``preview`` for whoever needs every byte."""
LOOKED = 64 * 1024
"""What a story shows at most ten lines of a second need not see more of: the rest costs no copy."""


class Output(NamedTuple):
    """Where to write, and what is known of it.

    Attributes:
        stdout, stderr: file descriptors.
        stdout_terminal, stderr_terminal: a person reads them.
        same_terminal: both are one terminal, on which payload is seen already.
        color: escape sequences may be used on a terminal: no NO_COLOR, no TERM=dumb, or FORCE_COLOR.
    """

    stdout: int
    stderr: int
    stdout_terminal: bool
    stderr_terminal: bool
    same_terminal: bool
    color: bool


class Wish(NamedTuple):
    """How much the user wants to be told.

    Attributes:
        command: the verb: a connection's own end is silent where a server's is worth a line.
        payload_on_stdout: stdout carries payload.
        hex: a hex dump of all that passes.
        time: ``relative``, ``absolute`` or ``delta``; None: relative, where there are times.
        payload: how JSON tells what passed: ``text``, ``base64``, ``none``; None: not in the story, whole in a recording.
        watch: ``Sample`` and ``Changed`` are the report: a live view, or lines of JSON on stdout.
    """

    command: str
    quiet: bool
    verbose: bool
    json: bool
    payload_on_stdout: bool
    payload: str | None = None
    hex: bool = False
    time: str | None = None
    watch: bool = False


def choose(wish: Wish, output: Output, clock: Callable[[], float]) -> Chosen:
    """The renderer for these surroundings (docs/output.md has the table)."""
    chosen = _choose(wish, output, clock)
    if not wish.watch:
        return chosen
    if not wish.json and os.isatty(output.stdout) and os.environ.get("TERM") != "dumb":
        from sockkit.render.live import Live

        live = Live(chosen.observer, output, chosen.close)
        return chosen._replace(observer=live, close=live.close)
    from sockkit.render.ndjson import Samples

    return chosen._replace(observer=Samples(chosen.observer, output, clock))


def _choose(wish: Wish, output: Output, clock: Callable[[], float]) -> Chosen:
    interest = Interest.STATE
    if wish.verbose:
        interest |= Interest.CALLS
    seen_already = wish.payload_on_stdout and output.same_terminal
    if not wish.quiet and (wish.verbose or wish.json or wish.hex or (output.stderr_terminal and not seen_already)):
        interest |= Interest.DATA
    if wish.json:
        from sockkit.render.ndjson import Ndjson

        json = Ndjson(wish, output, clock)
        return Chosen(json, interest | json.interest, json.preview, close=json.close, backlog=json.backlog)
    interest |= Interest.PAYLOAD if interest & Interest.DATA else 0
    story: Story
    if output.color and (output.stderr_terminal or output.stdout_terminal):
        from sockkit.render.terminal import Terminal

        story = Terminal(wish, output, clock)
    else:
        from sockkit.render.plain import Plain

        story = Plain(wish, output, clock)
    looked = None if wish.verbose or wish.hex else LOOKED
    return Chosen(story, interest, WHOLE if wish.hex else 256, looked, story.close, story.out)


def surroundings(stdout: int, stderr: int, same_terminal: bool) -> Output:
    """What the environment says of our output."""
    forced = os.environ.get("FORCE_COLOR", "") not in ("", "0")
    color = forced or not (os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb")
    return Output(stdout, stderr, os.isatty(stdout) or forced, os.isatty(stderr), same_terminal, color)
