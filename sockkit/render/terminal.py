"""For a person at a terminal: the same story and reports, with colour. The only module that imports rich."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rich.color import ColorSystem
from rich.console import Console
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from sockkit.events import Code, Event, Items, Progress, Report, Section
from sockkit.render import Output, Wish
from sockkit.render.plain import DROPPABLE, Plain, Story, list_lines, write
from sockkit.render.story import Line

COLOURS = {">": "green", "<": "cyan", "=": "", "x": "magenta", "!": "bold red", "*": "dim", "": "bold"}
MARKS = {"changed": "yellow", "error": "bold red", "good": "green", "faint": "dim", "": ""}
HEAT = {
    **MARKS,
    "ok": "black on green",
    "EAFNOSUPPORT": "grey50",
    "ESOCKTNOSUPPORT": "grey62 on grey15",
    "EPROTONOSUPPORT": "grey62 on grey23",
    "EPROTOTYPE": "white on dark_blue",
    "EINVAL": "grey50",
    "EPERM": "white on dark_red",
    "EACCES": "black on orange3",
    "family": "bold",
    "": "",
}
"""Outcomes in a heat map; any other is ``OTHER``. Greens work, reds are a matter of privilege, greys are not there."""
OTHER = "black on yellow"
BAR = 30
"""Columns of a bar of progress."""
NARROWEST = 60
"""Columns that a report has at least."""
_PADDING = re.compile(r"(?: |\x1b\[[0-9;]*m)+$")
"""What fills a cell behind its content."""


class Terminal(Story):
    """Colour and tables. Texts are made harmless before they come here, and are never read as markup."""

    def __init__(self, wish: Wish, output: Output, clock: Callable[[], float]) -> None:
        super().__init__(wish, output, clock)
        self._plain = Plain(wish, output, clock)
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        # What is narrower makes rich leave columns out: there the terminal breaks the lines.
        self._console.width = max(self._console.width, NARROWEST)
        self._bar = False
        self._coloured_story = output.stderr_terminal and output.color
        self.fit()

    def say(self, time: float, line: Line) -> None:
        """See ``Story``."""
        self._clear_bar()
        if not self._coloured_story:
            self._plain.say(time, line)
            return
        text = Text(self.spelt(time, line), style=COLOURS[line.key])
        with self._console.capture() as capture:
            self._console.print(text, end="\n")
        self.tell(capture.get(), droppable=line.droppable or line.key in DROPPABLE)

    def block(self, lines: bytes, key: str) -> None:
        """See ``Story``: one colour for all of them."""
        if self._coloured_story:
            before, after = (
                Style.parse(COLOURS[key]).render("\0", color_system=ColorSystem.STANDARD).encode().split(b"\0")
            )
            lines = before + lines[:-1] + after + b"\n"
        self.write(lines, droppable=True)

    def __call__(self, event: Event) -> None:
        """See ``Story``; progress is a line of its own that is renewed."""
        if isinstance(event, Progress):
            self._progress(event)
        else:
            super().__call__(event)

    def _progress(self, event: Progress) -> None:
        if not self._coloured_story or self.wish.quiet or self.wish.verbose:
            return
        if event.done >= event.total:
            self._clear_bar()
            return
        from rich.progress_bar import ProgressBar

        with self._console.capture() as capture:
            self._console.print(ProgressBar(event.total, event.done, BAR), end="")
        self._bar = True
        self.tell(f"\r{capture.get()} {event.done * 100 // event.total:3} % {event.what:<20}", droppable=True)

    def _clear_bar(self) -> None:
        if self._bar:
            self._bar = False
            self.tell("\r\x1b[K")

    def code(self, event: Code) -> None:
        """See ``Story``: in colour on a terminal, and then still the same characters."""
        if not (self.output.stdout_terminal and self.output.color):
            self._plain.code(event)
            return
        from rich.syntax import Syntax

        text = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(event.text.rstrip("\n"))
        with self._console.capture() as capture:
            self._console.print(text)
        write(self.output.stdout, capture.get().encode(self.encoding, "backslashreplace"))

    def report(self, event: Report) -> None:
        """See ``Story``."""
        self._clear_bar()
        if not (self.output.stdout_terminal and self.output.color):
            self._plain.report(event)
            return
        console = self._console
        with console.capture() as capture:
            if event.title:
                console.print(Text(event.title, style="bold"), soft_wrap=False)
            for section in event.sections:
                console.print()
                if section.title:
                    console.print(Text(f"{section.title}:", style="bold"))
                if isinstance(section.rows, Items):
                    self._list(section)
                elif any(row.marks for row in section.rows):
                    for line in _tiles(section):
                        console.print(line)
                else:
                    console.print(Padding(_table(section), (0, 0, 0, 2)), soft_wrap=False)
        text = "\n".join(_PADDING.sub(lambda end: end[0].replace(" ", ""), line) for line in capture.get().split("\n"))
        write(self.output.stdout, text.encode(self.encoding, "backslashreplace"))

    def _list(self, section: Section) -> None:
        """A long list: rich would need a second for a thousand rows."""
        styles = {mark: Style.parse(style) for mark, style in {**MARKS, "header": "dim"}.items()}
        system = ColorSystem.STANDARD
        ends = {mark: style.render("\0", color_system=system).split("\0") for mark, style in styles.items()}
        lines = []
        for line, mark in list_lines(section, self.columns() or self._console.width):
            before, after = ends[mark]
            lines.append(f"{before}{line}{after}")
        self._console.out("\n".join(lines), highlight=False)


def _tiles(section: Section) -> Iterator[Text]:
    """A table whose cells have colours of their own, side by side; where it is too wide, the terminal breaks the lines."""
    table = (
        [section.header, *(row.cells for row in section.rows)] if section.header else [r.cells for r in section.rows]
    )
    widths = [max(len(row[i]) for row in table if i < len(row)) + 1 for i in range(max(map(len, table)))]
    if section.header:
        yield Text(
            "  " + "".join(cell.ljust(width) for cell, width in zip(section.header, widths, strict=False)), "dim"
        )
    for row in section.rows:
        line = Text("  ")
        for i, cell in enumerate(row.cells):
            mark = row.marks[i] if i < len(row.marks) else ""
            line.append(cell.ljust(widths[i]), HEAT.get(mark, OTHER))
        yield line


def _table(section: Section) -> Table:
    table = Table(box=None, show_header=bool(section.header), pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    columns = max([len(section.header), *(len(row.cells) for row in section.rows)])
    for i in range(columns):
        header = Text(section.header[i]) if i < len(section.header) else Text("")
        table.add_column(header, overflow="fold", no_wrap=i == 0 and columns > 1)
    for row in section.rows:
        style = MARKS[row.mark]
        cells = [
            Text(cell, style="bold" if i == 0 and not style and columns > 1 else style)
            for i, cell in enumerate(row.cells)
        ]
        table.add_row(*cells)
    return table
