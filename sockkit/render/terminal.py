"""For a person at a terminal: the same story and reports, with colour. The only module that imports rich."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sockkit.events import Report, Section
from sockkit.render import Output, Wish
from sockkit.render.plain import Plain, Story, write
from sockkit.render.story import Line

COLOURS = {">": "green", "<": "cyan", "=": "", "x": "magenta", "!": "bold red", "*": "dim", "": "bold"}
MARKS = {"changed": "yellow", "error": "bold red", "good": "green", "faint": "dim", "": ""}
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
        self._coloured_story = output.stderr_terminal and output.color
        try:
            self.width = max(20, os.get_terminal_size(output.stderr).columns - 40)
        except OSError:
            pass

    def say(self, time: float, line: Line) -> None:
        """See ``Story``."""
        if not self._coloured_story:
            self._plain.say(time, line)
            return
        text = Text(self.spelt(time, line), style=COLOURS[line.key])
        with self._console.capture() as capture:
            self._console.print(text, end="\n")
        self.tell(capture.get())

    def report(self, event: Report) -> None:
        """See ``Story``."""
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
                console.print(Padding(_table(section), (0, 0, 0, 2)), soft_wrap=False)
        text = "\n".join(_PADDING.sub(lambda end: end[0].replace(" ", ""), line) for line in capture.get().split("\n"))
        write(self.output.stdout, text.encode(self.encoding, "backslashreplace"))


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
