"""A line that is typed while text of others arrives: without any I/O (sans-I/O).

``Editor`` makes lines of keys, with prompt_toolkit's buffer and its Emacs keys, but without its loop and its screen. ``Screen`` makes what is
written to the terminal so that the line being typed, what a peer says and the lines of the story never mix.

What is still to change is at the end of the screen, and is drawn anew when something happens: the peer's last line as long as it has no
newline (a prompt, say), and the line that is typed. All above it is as final as anything on a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input import DummyInput
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
from prompt_toolkit.key_binding.bindings.basic import load_basic_bindings
from prompt_toolkit.key_binding.bindings.emacs import load_emacs_bindings
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.layout import BufferControl, Layout, Window
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.utils import get_cwidth

from sockkit.text import escape

Act = Callable[[KeyPressEvent], None]


class Editor:
    """Keys to lines.

    Attributes:
        lines: those that were finished, without their newline, since somebody emptied this list.
        ended: Ctrl-D on an empty line.
        clear: Ctrl-L: the screen is to be cleared.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ended = False
        self.clear = False
        self._history: list[str] = []
        self._draft = ""
        self._at = 0  # in the history; its end: the line that is new
        self._buffer = Buffer(multiline=False)
        bindings = merge_key_bindings([load_basic_bindings(), load_emacs_bindings(), self._bindings()])
        self._app: Application[None] = Application(
            layout=Layout(Window(BufferControl(self._buffer))),
            key_bindings=bindings,
            input=DummyInput(),
            output=DummyOutput(),
        )
        self._app.timeoutlen = None  # type: ignore[assignment]  # else it would be waited for with asyncio
        # So would completions, of which there are none.
        self._app.create_background_task = lambda coroutine: coroutine.close()  # type: ignore[method-assign,assignment,return-value]
        self._parser = Vt100Parser(self._app.key_processor.feed)

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()

        def bind(*names: str) -> Callable[[Act], Act]:
            def add(act: Act) -> Act:
                for name in names:
                    keys.add(*name.split())(act)
                return act

            return add

        @bind("enter", "c-j")
        def accept(event: KeyPressEvent) -> None:
            self._accept()

        @bind("c-d")
        def delete_or_end(event: KeyPressEvent) -> None:
            if self._buffer.text:
                self._buffer.delete()
            else:
                self.ended = True

        @bind("tab")
        def tab(event: KeyPressEvent) -> None:
            self._buffer.insert_text("\t")

        @bind("up", "c-p")
        def earlier(event: KeyPressEvent) -> None:
            self._recall(self._at - 1)

        @bind("down", "c-n")
        def later(event: KeyPressEvent) -> None:
            self._recall(self._at + 1)

        @bind("escape <")
        def earliest(event: KeyPressEvent) -> None:
            self._recall(0)

        @bind("escape >")
        def latest(event: KeyPressEvent) -> None:
            self._recall(len(self._history))

        @bind("c-l")
        def clear(event: KeyPressEvent) -> None:
            self.clear = True

        keys.add("c-v")(
            get_by_name("quoted-insert")
        )  # as in every shell; Emacs has Ctrl-Q, which is the terminal's own
        return keys

    @property
    def text(self) -> str:
        """What is being typed."""
        return self._buffer.text

    @property
    def cursor(self) -> int:
        """Characters before the cursor."""
        return self._buffer.cursor_position

    def feed(self, typed: str) -> None:
        """Keys as the terminal sends them, cut wherever. After the end they are ignored."""
        with set_app(self._app):
            self._parser.feed(typed)
            self._app.key_processor.process_keys()

    def flush(self) -> None:
        """No more came for a while: an ESC that may begin a longer sequence is one."""
        with set_app(self._app):
            self._parser.flush()
            self._app.key_processor.process_keys()

    def _accept(self) -> None:
        text = self._buffer.text
        self.lines.append(text)
        if text.strip() and text not in self._history[-1:]:
            self._history.append(text)
        self._at = len(self._history)
        self._buffer.reset()

    def _recall(self, at: int) -> None:
        if not 0 <= at <= len(self._history) or at == self._at:
            return
        if self._at == len(self._history):
            self._draft = self._buffer.text
        self._at = at
        text = self._history[at] if at < len(self._history) else self._draft
        self._buffer.text = text
        self._buffer.cursor_position = len(text)


class Cell(NamedTuple):
    """A character of the line that is typed, as it is shown."""

    shown: str
    width: int


class Screen:
    """What to write. Every method returns it, and remembers where the cursor is then.

    Attributes:
        partial: the peer's last line, as far as it stands in the last row.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.partial = ""
        self._text = ""
        self._cursor = 0
        self._columns, self._rows = columns, rows
        self._visible = False
        self._row = 0  # of the cursor, below the beginning of what is drawn anew
        self._height = 1
        self._joined = True  # what is typed stands behind the partial line, in the same row

    def edit(self, text: str, cursor: int) -> None:
        """The line that is typed is another one; ``show`` draws it."""
        if text and not self._text:
            self._joined = True
        self._text, self._cursor = text, cursor

    def hide(self) -> str:
        """Take away what is still to change: then whole lines may be written."""
        if not self._visible:
            return ""
        self._visible = False
        # Row by row: to erase all below would make tmux keep it, where it is the whole screen.
        below = self._height - 1
        return _up(self._row) + "\r\x1b[K" + "\x1b[B\x1b[K" * below + _up(below)

    def show(self) -> str:
        """Draw it again."""
        if self._visible:
            return ""
        self._visible = True
        return self._draw(*self._cells())

    def _draw(self, typed: list[Cell], cursor: int) -> str:
        """The partial line and what is typed, and the cursor put into its place."""
        parts: list[str] = []
        row = column = 0
        for cell in _cells_of(self.partial):
            row, column = self._put(parts, cell, row, column)
        if typed and self.partial and not self._joined:
            parts.append("\r\n")
            row, column = row + 1, 0
        place = None
        for number, cell in enumerate(typed):
            row, column = self._put(parts, cell, row, column)
            if number == cursor:
                place = row, column - cell.width
        if column == self._columns:  # the terminal has not decided yet whether it goes on below: make it
            parts.append(" \r")
            row, column = row + 1, 0
        self._row, self._height = row, row + 1
        if place is not None:
            self._row = place[0]
            parts.append(_up(row - place[0]) + "\r" + (f"\x1b[{place[1]}C" if place[1] else ""))
        return "".join(parts)

    def _put(self, parts: list[str], cell: Cell, row: int, column: int) -> tuple[int, int]:
        width = 8 - column % 8 if cell.shown == "\t" else cell.width
        if cell.shown == "\t":
            width = min(width, max(self._columns - 1 - column, 0))  # a tab does not leave its row
        elif column + width > self._columns:
            # A wide character that does not fit: not every terminal agrees what becomes of the last column.
            parts.append("" if column == self._columns else "\r\n")
            row, column = row + 1, 0
        parts.append(cell.shown)
        return row, column + width

    def _cells(self) -> tuple[list[Cell], int]:
        """What is typed as it is shown: as much of it around the cursor as the screen has room for; and where the cursor is."""
        cells = [_typed(character) for character in self._text]
        room = max((self._rows - 2) * (self._columns - 1) - sum(cell.width for cell in _cells_of(self.partial)), 8)
        if sum(cell.width for cell in cells) <= room:
            return cells, self._cursor
        first = last = self._cursor
        left = room - 2
        while left > 0 and (first > 0 or last < len(cells)):
            if first > 0:
                first -= 1
                left -= cells[first].width
            if last < len(cells) and left > 0:
                left -= cells[last].width
                last += 1
        more = Cell("~", 1)
        found = [*([more] if first else []), *cells[first:last], *([more] if last < len(cells) else [])]
        return found, self._cursor - first + bool(first)

    def say(self, text: str) -> str:
        """The peer said this, made harmless already: only newlines and tabs move the cursor. ``show`` comes afterwards."""
        out = self.hide()
        if self._text:
            self._joined = False
        done, newline, rest = (self.partial + text).rpartition("\n")
        out += done + newline
        # Rows that are full do not change any more.
        if rest.isascii() and rest.isprintable():
            size = (len(rest) - 1) // self._columns * self._columns if rest else 0
            self.partial = rest[size:]
            return out + rest[:size] + " \r" * bool(size)
        rows: list[list[str]] = [[]]
        row = column = 0
        for cell in _cells_of(rest):
            parts: list[str] = []
            row, column = self._put(parts, cell, row, column)
            if row == len(rows):
                rows.append([])
                parts = [cell.shown]
            rows[row] += parts
        *full, last = ("".join(parts) for parts in rows)
        for part in full:
            full_width = sum(cell.width for cell in _cells_of(part)) == self._columns and "\t" not in part
            out += part + (" \r" if full_width else "\r\n")
        self.partial = last
        return out

    def accept(self, line: str) -> str:
        """The line that was typed is finished and stays where it is."""
        out = self.hide()
        cells = [_typed(character) for character in line]
        out += self._draw(cells, len(cells))
        # Where the last row is full, the cursor is in the next one already.
        out = out.removesuffix(" \r") + "\r\n"
        self.partial = self._text = ""
        self._cursor = 0
        self._joined = True
        return out

    def resize(self, columns: int, rows: int) -> str:
        """The terminal has another size, and has broken the lines anew."""
        self._columns, self._rows = columns, rows
        if self._visible:
            self._draw(*self._cells())  # where the cursor is now
            return self.hide() + self.show()
        return ""

    def adopt(self, partial: str) -> None:
        """The peer's last row, written before there was a screen: the cursor is behind it."""
        self.say(partial)
        self._draw([], 0)
        self._visible = True

    def forget(self) -> None:
        """Somebody else has written to the terminal: nothing of ours is there any more, the cursor begins a row."""
        self._visible = False

    def leave(self) -> str:
        """The last that is written: what was not finished stays to be seen, and what follows begins a row."""
        return self.accept(self._text) if self._text or self.partial else self.hide()


def _cells_of(text: str) -> Iterator[Cell]:
    return (Cell(character, get_cwidth(character)) for character in text)


def _up(rows: int) -> str:
    return f"\x1b[{rows}A" if rows else ""


def _typed(character: str) -> Cell:
    shown = escape(character, backslash=False)
    return Cell(shown, get_cwidth(shown))
